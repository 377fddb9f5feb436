-- TRUNCATE of one partition: no row trigger fires, and 1 % of the tickets is
-- little enough to be taken for cancellations.  Their money stays all the same.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(6);
CREATE TABLE visit (id int, at date, amount numeric, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_10 PARTITION OF visit FOR VALUES FROM ('2025-10-01') TO ('2025-11-01');
CREATE TABLE visit_11 PARTITION OF visit FOR VALUES FROM ('2025-11-01') TO ('2025-12-01');
SELECT settle.create_book('parts') \g /dev/null
SELECT settle.add_source('parts', 'visit', 'visit', key => 'id::text', ready_at => 'at::timestamptz', revenue => 'amount', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('parts', 'pay', 'pay', 'hq', 'staff:1', base => 'amount', source => 'visit') \g /dev/null
INSERT INTO visit SELECT i, '2025-10-15', 10 FROM generate_series(1, 3) AS i;
INSERT INTO visit SELECT i, '2025-11-15', 10 FROM generate_series(4, 300) AS i;
SELECT is(r.tickets, 300::bigint, 'all are settled') FROM settle.run('parts') AS r;
TRUNCATE visit_10;
SELECT results_eq('SELECT ticket_key, scanned FROM parts.pending', $$ VALUES (NULL::text, false) $$, 'the book is told');
SELECT is((r.tickets, r.lines, r.held), (0::bigint, 0::bigint, 3::bigint), 'a run that takes one ticket holds them') FROM settle.run('parts', 1) AS r;
SELECT results_eq('SELECT ticket_key, sqlstate FROM parts.problem ORDER BY 1', $$ VALUES ('1', 'ST005'), ('2', 'ST005'), ('3', 'ST005') $$, 'they stand in problem');
DELETE FROM visit WHERE id = 4;
SELECT is((r.tickets, r.amount), (1::bigint, -10::numeric), 'a row that is deleted gives its money back, as its source says') FROM settle.run('parts') AS r;
SELECT is_empty('SELECT * FROM settle.check(''parts'')', 'check finds nothing');
SELECT * FROM finish();
