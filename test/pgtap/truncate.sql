-- What no DELETE told of: a TRUNCATE, a partition that is detached or dropped, a
-- view with another filter.  1 % of the tickets is little enough to be taken for
-- cancellations, and on_delete says that these are reversed.  Their money stays
-- all the same, and they come back when their rows do.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
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
CREATE FUNCTION pg_temp.run(book regnamespace) RETURNS text LANGUAGE sql AS $$ SELECT format('%s tickets, %s, %s held, %s problems', tickets, amount, held, problems) FROM settle.run(book) $$;
CREATE FUNCTION pg_temp.paid(name) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE result numeric;
BEGIN
	EXECUTE format('SELECT sum(amount) FROM %I.line_detail', $1) INTO result;
	RETURN result;
END $$;
INSERT INTO visit SELECT i, '2025-10-15', 10 FROM generate_series(1, 3) AS i;
SELECT is(pg_temp.run('parts'), '0 tickets, 0, 0 held, 0 problems', 'rows that are written again are the tickets they were');
SELECT is_empty('TABLE parts.problem', 'and no problem any more');

-- detached, and attached again
ALTER TABLE visit DETACH PARTITION visit_10;
SELECT is(pg_temp.run('parts'), '0 tickets, 0, 0 held, 0 problems', 'nobody hears of a DETACH');
SELECT is((SELECT count(*) FROM settle.check('parts') WHERE detail LIKE 'is settled and has no row%'), 3::bigint, 'check does');
SELECT settle.rescan('parts') \g /dev/null
SELECT is(pg_temp.run('parts'), '0 tickets, 0, 3 held, 3 problems', 'a scan holds what went with it, little as it is');
SELECT is(pg_temp.paid('parts'), 2990.00, 'its money stays');
SELECT is((SELECT detail FROM parts.problem LIMIT 1), 'No DELETE was noted: it went with a TRUNCATE or a partition, or while its trigger did not fire.', 'the problem says why');
UPDATE visit_10 SET amount = 11 WHERE id = 2;
DELETE FROM visit_10 WHERE id = 3;
SELECT is_empty('TABLE parts.pending', 'a detached partition is no source any more');
ALTER TABLE visit ATTACH PARTITION visit_10 FOR VALUES FROM ('2025-10-01') TO ('2025-11-01');
SELECT is(settle.complete_capture('parts'), 0, 'it has kept the trigger of its TRUNCATE');
SELECT settle.rescan('parts', '2025-10-01+08', '2025-11-01+08') \g /dev/null
SELECT is(pg_temp.run('parts'), '1 tickets, 1.00, 1 held, 1 problems', 'attached again its rows are found as they are now; what was deleted meanwhile is held');
INSERT INTO visit VALUES (3, '2025-10-15', 10);
DELETE FROM visit WHERE id = 3;
SELECT is(pg_temp.run('parts'), '1 tickets, -10.00, 0 held, 0 problems', 'until it is deleted in sight of all');

-- attached later: captured, but for its TRUNCATE
CREATE TABLE visit_12 PARTITION OF visit FOR VALUES FROM ('2025-12-01') TO ('2026-01-01');
INSERT INTO visit VALUES (401, '2025-12-15', 10), (402, '2025-12-15', 10);
SELECT is(pg_temp.run('parts'), '2 tickets, 20.00, 0 held, 0 problems', 'rows of a partition made later');
SELECT results_eq('SELECT invariant, object FROM settle.check(''parts'')', $$ VALUES ('a TRUNCATE of a source is noted', 'visit public.visit_12') $$, 'check names what is missing');
BEGIN;
TRUNCATE visit_12;
SELECT is_empty('TABLE parts.pending', 'a TRUNCATE of it is not noted');
SELECT settle.rescan('parts') \g /dev/null
SELECT is(pg_temp.run('parts'), '0 tickets, 0, 2 held, 2 problems', 'but no scan takes it for deletions');
ROLLBACK;
SELECT is(settle.complete_capture('parts'), 1, 'the trigger is made');
SELECT is_empty('SELECT * FROM settle.check(''parts'')', 'check finds nothing');
TRUNCATE visit_12;
SELECT is(pg_temp.run('parts'), '0 tickets, 0, 2 held, 2 problems', 'from then on it is');
INSERT INTO visit VALUES (401, '2025-12-15', 10), (402, '2025-12-15', 10);
SELECT settle.run('parts') \g /dev/null
DROP TABLE visit_12;
SELECT settle.rescan('parts', '2025-12-01', NULL) \g /dev/null
SELECT is(pg_temp.run('parts'), '0 tickets, 0, 2 held, 2 problems', 'a dropped partition');
SELECT is(pg_temp.paid('parts'), 3001.00, 'the money stays');
TRUNCATE visit;
SELECT is(split_part(pg_temp.run('parts'), ', ', 3), '300 held', 'a TRUNCATE of all');
SELECT is(pg_temp.paid('parts'), 3001.00, 'the money stays');

-- on_delete: a deleted row is held, taken back or of no interest
SELECT settle.create_book('deleted') \g /dev/null
SELECT format('CREATE TABLE %1$I (id int PRIMARY KEY, at date, amount numeric)', mode), format('SELECT settle.add_source(%L, %L, %L, key => %L, ready_at => %L, on_delete => %L)', 'deleted', mode, mode, 'id', 'at::timestamptz', mode),
	format('SELECT settle.add_rule(%L, %L, %L, %L, %L, base => %L, source => %L)', 'deleted', mode, mode, 'hq', 'p', 'amount', mode), format('INSERT INTO %I VALUES (1, %L, 10), (2, NULL, 10)', mode, '2025-11-11')
FROM unnest('{hold,reverse,ignore}'::text[]) AS mode \gexec
SELECT is(pg_temp.run('deleted'), '3 tickets, 30.00, 0 held, 0 problems', 'one ticket each');
DELETE FROM hold; DELETE FROM reverse; DELETE FROM ignore;
SELECT is(pg_temp.run('deleted'), '1 tickets, -10.00, 1 held, 1 problems', 'deleted, one is held, one taken back');
SELECT results_eq('SELECT source, ticket_key, detail FROM deleted.problem', $$ VALUES ('hold'::name, '1', NULL::text) $$, 'the one that its source holds; what was not settled is no problem');
SELECT results_eq('SELECT source COLLATE "C", sum(amount) FROM deleted.line_detail GROUP BY 1 ORDER BY source COLLATE "C"', $$ VALUES ('hold'::text COLLATE "C", 10.00), ('ignore', 10.00), ('reverse', 0.00) $$, 'and its money stays');
SELECT is_empty('SELECT * FROM settle.check(''deleted'')', 'check finds nothing');
INSERT INTO hold VALUES (1, '2025-11-11', 10); INSERT INTO reverse VALUES (1, '2025-11-11', 10); INSERT INTO ignore VALUES (1, '2025-11-11', 10);
SELECT is(pg_temp.run('deleted'), '1 tickets, 10.00, 0 held, 0 problems', 'written again they are what they were');
SELECT is_empty('TABLE deleted.problem', 'and no problem');

-- a view whose filter changes
SELECT settle.create_book('views') \g /dev/null
CREATE TABLE raw (id int PRIMARY KEY, at date, region text);
CREATE VIEW good AS SELECT * FROM raw;
SELECT settle.add_source('views', 'good', 'good', key => 'id', ready_at => 'at::timestamptz', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('views', 'good', 'good', 'hq', 'p', base => '1', source => 'good') \g /dev/null
INSERT INTO raw SELECT i, '2025-11-11', CASE WHEN i <= 5 THEN 'west' ELSE 'east' END FROM generate_series(1, 300) AS i;
SELECT settle.rescan('views') \g /dev/null
SELECT is(pg_temp.run('views'), '300 tickets, 300.00, 0 held, 0 problems', 'a view');
CREATE OR REPLACE VIEW good AS SELECT * FROM raw WHERE region = 'east';
SELECT settle.rescan('views') \g /dev/null
SELECT is(pg_temp.run('views'), '0 tickets, 0, 5 held, 5 problems', 'with another filter misses too many to be cancellations');
SELECT is((SELECT detail FROM views.problem LIMIT 1), 'Too many tickets are missing at once to be cancellations.', 'the problem says why');
CREATE OR REPLACE VIEW good AS SELECT * FROM raw WHERE id > 2;
SELECT settle.rescan('views') \g /dev/null
SELECT is(pg_temp.run('views'), '2 tickets, -2.00, 0 held, 0 problems', 'those that come back are no problem; a few are cancellations');
SELECT is(pg_temp.paid('views'), 298.00, 'as its source says');
SELECT is_empty('SELECT * FROM settle.check(''views'')', 'check finds nothing');
SELECT * FROM finish();
