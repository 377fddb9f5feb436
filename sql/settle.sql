-- Runs: what changed is settled, a correction is the difference, nothing is
-- lost and nothing is paid twice.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off

SELECT settle.create_book('shop');
SELECT settle.add_rule('shop', 'intake', 'intake', 'customer', 'escrow', base => 'amount');
SELECT settle.add_rule('shop', 'channel', 'channel', 'escrow', 'hq', base => 'amount', tiers => '15%');
SELECT settle.add_rule('shop', 'rest', 'rest', 'escrow', 'dealer:{dealer}', remainder => true);
SELECT settle.add_rule('shop', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8% to 5000, 10%', accumulate => 'month');

-- what was posted, revision by revision; numbers of runs and times are left out
CREATE VIEW shop.posted AS SELECT ticket_key COLLATE "C" AS ticket_key, revision AS rev, component, payer, payee, base::numeric(12,2), amount, period, region FROM shop.line_detail WHERE amount <> 0 OR base <> 0;
CREATE VIEW shop.standing AS SELECT ticket_key COLLATE "C" AS ticket_key, string_agg(component || ' ' || payee || ' ' || amount, ', ' ORDER BY component, payee) AS lines
    FROM (SELECT ticket_key, component, payee, sum(amount) AS amount FROM shop.line_detail GROUP BY 1, 2, 3) AS l WHERE amount <> 0 GROUP BY 1;

-- three tickets, one not done yet
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES
    ('T1', '2025-11-03 10:00+08', 'repair.fridge', 'cn.north', '1001', 'd1', 800),
    ('T2', '2025-11-11 15:30+08', 'repair.fridge', 'cn.north', '1001', 'd1', 900),
    ('T3', NULL, 'install.ac', 'cn.east', '1002', 'd2', 4000);
SELECT ticket_key, scanned FROM shop.pending ORDER BY 1;
SELECT * FROM settle.run('shop');
SELECT * FROM shop.posted ORDER BY ticket_key, rev, component;
SELECT * FROM shop.tally;
-- again: nothing is pending, nothing is posted
SELECT * FROM settle.run('shop');
-- a column that no rule reads changes nothing either
UPDATE shop.ticket SET level = 'gold' WHERE ticket_id = 'T1';
SELECT * FROM settle.run('shop');
SELECT count(*) AS sheets FROM shop.sheet;

-- the ticket is done
UPDATE shop.ticket SET done_at = '2025-11-20 09:15+08' WHERE ticket_id = 'T3';
SELECT * FROM settle.run('shop');
SELECT * FROM shop.posted WHERE ticket_key = 'T3' ORDER BY component;

-- an amount was wrong: a further revision holds the difference, and the tally what T2 is now due less
UPDATE shop.ticket SET amount = 300 WHERE ticket_id = 'T1';
SELECT tickets, lines, amount, corrections FROM settle.run('shop');
SELECT * FROM shop.posted WHERE ticket_key LIKE 'T1' AND rev > 1 ORDER BY component;
SELECT * FROM shop.posted WHERE ticket_key LIKE 'comm%';
SELECT * FROM shop.tally ORDER BY owner;
SELECT * FROM shop.standing ORDER BY 1;

-- the ticket moves to another region: taken back where it stood, posted anew where it stands
UPDATE shop.ticket SET region = 'cn.south' WHERE ticket_id = 'T3';
SELECT tickets, lines, amount, corrections FROM settle.run('shop');
SELECT rev, component, amount, region FROM shop.posted WHERE ticket_key = 'T3' AND rev > 1 ORDER BY rev, component;
SELECT project, region, tickets, revenue, payout, profit FROM shop.revenue_matrix WHERE (project_level, region_level) IN ((0, 0), (2, 2)) ORDER BY 1, 2;
-- to another month
UPDATE shop.ticket SET done_at = '2025-12-01 00:00+08' WHERE ticket_id = 'T3';
SELECT tickets, lines, amount, corrections FROM settle.run('shop');
SELECT rev, period, count(*) AS lines, sum(amount) AS amount FROM shop.posted WHERE ticket_key = 'T3' GROUP BY 1, 2 ORDER BY 1;
-- and it was not done after all
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id = 'T3';
SELECT tickets, lines, amount, corrections FROM settle.run('shop');
SELECT count(*) AS revisions, sum(tickets) AS settled, sum(revenue) AS revenue, sum(payout) AS payout FROM shop.sheet WHERE ticket_key = 'T3';
SELECT * FROM shop.standing ORDER BY 1;

-- done at a time to come
UPDATE shop.ticket SET done_at = clock_timestamp() + interval '0.3 s' WHERE ticket_id = 'T3';
SELECT tickets FROM settle.run('shop');
SELECT ticket_key FROM shop.waiting;
SELECT pg_sleep(0.5);
SELECT tickets FROM settle.run('shop');
SELECT count(*) AS waiting FROM shop.waiting;
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id = 'T3';
SELECT tickets FROM settle.run('shop');

-- a settled ticket vanishes: its money stays until somebody decides
DELETE FROM shop.ticket WHERE ticket_id = 'T2';
SELECT * FROM settle.run('shop');
SELECT ticket_key, rule_code, sqlstate, message, hint FROM shop.problem;
SELECT ticket_key FROM shop.standing ORDER BY 1;
-- written again as it was, it is no problem any more
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES ('T2', '2025-11-11 15:30+08', 'repair.fridge', 'cn.north', '1001', 'd1', 900);
SELECT * FROM settle.run('shop');
SELECT count(*) AS problems FROM shop.problem;
-- where the source says reverse, a deletion takes the money back
UPDATE shop.source SET on_delete = 'reverse' WHERE source = 'ticket';
DELETE FROM shop.ticket WHERE ticket_id = 'T2';
SELECT tickets, lines, amount, corrections, held FROM settle.run('shop');
SELECT * FROM shop.standing ORDER BY 1;
SELECT * FROM shop.tally WHERE period < '2026-01-01' ORDER BY owner, period;
-- where it says ignore, the money stays and that is all
UPDATE shop.source SET on_delete = 'ignore' WHERE source = 'ticket';
DELETE FROM shop.ticket WHERE ticket_id = 'T1';
SELECT * FROM settle.run('shop');
SELECT (SELECT count(*) FROM shop.problem) AS problems, (SELECT count(*) FROM shop.standing) AS standing;
SELECT * FROM settle.check('shop');
-- a TRUNCATE always holds: it is no hundred cancellations
UPDATE shop.source SET on_delete = 'reverse' WHERE source = 'ticket';
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount) SELECT 'S' || n, '2025-11-05 10:00+08', 'repair.fridge', 'cn.north', '1003', 'd3', 100 FROM generate_series(1, 3) AS n;
SELECT tickets, amount FROM settle.run('shop');
TRUNCATE shop.ticket;
SELECT ticket_key, scanned FROM shop.pending;
SELECT tickets, amount, held FROM settle.run('shop');
SELECT ticket_key, sqlstate, message, detail FROM shop.problem ORDER BY 1;

-- tickets that cannot be settled stand aside and say why; the run goes on
SELECT settle.create_book('desk', currency => 'USD', time_zone => 'UTC');
SELECT settle.add_decision('desk', 'coefficient');
SELECT settle.add_outcome('desk', 'coefficient', $$ region <@ 'us.west' $$, '1.2');
SELECT settle.add_rule('desk', 'hourly', 'work', 'hq', 'staff:{worker}', base => $$ amount / (details->>'hours')::numeric $$, applies_when => $$ project <@ 'job' $$, factors => '{coefficient}');
SELECT settle.add_rule('desk', 'rush', 'work', 'hq', 'staff:{worker}', base => 'amount', applies_when => 'rush');
INSERT INTO desk.ticket (ticket_id, done_at, project, region, worker, amount, rush, details) VALUES
    ('fine', '2025-11-03', 'job', 'us.west', 'w1', 100, false, '{"hours": "8"}'), ('no hours', '2025-11-03', 'job', 'us.west', 'w1', 100, false, '{}'),
    ('zero', '2025-11-03', 'job', 'us.west', 'w1', 100, false, '{"hours": "0"}'), ('words', '2025-11-03', 'job', 'us.west', 'w1', 100, false, '{"hours": "eight"}'),
    ('east', '2025-11-03', 'job', 'us.east', 'w1', 100, false, '{"hours": "8"}'), ('both', '2025-11-03', 'job', 'us.west', 'w1', 100, true, '{"hours": "8"}'),
    ('nobody', '2025-11-03', 'job', 'us.west', NULL, 100, false, '{"hours": "8"}'), ('huge', '2025-11-03', 'job', 'us.west', 'w1', 1e20, false, '{"hours": "8"}'),
    ('nan', '2025-11-03', 'job', 'us.west', 'w1', 'NaN', false, '{"hours": "8"}'), ('for ever', '-infinity', 'job', 'us.west', 'w1', 1, false, '{"hours": "8"}'),
    ('advice', '2025-11-03', 'advice', 'us.west', 'w1', 100, false, '{}');
SELECT * FROM settle.run('desk');
SELECT ticket_key, payee, base, factor, amount, unit FROM desk.line_detail;
SELECT ticket_key, rule_code, sqlstate, message FROM desk.problem ORDER BY ticket_key COLLATE "C";
SELECT detail, hint FROM desk.problem WHERE ticket_key = 'both';
SELECT ticket_key, ready_at FROM desk.unpaid;
SELECT * FROM settle.check('desk');
-- they are tried again when the row changes, or when the rules do
UPDATE desk.ticket SET details = '{"hours": "4"}' WHERE ticket_id IN ('no hours', 'zero');
SELECT settle.add_outcome('desk', 'coefficient', 'true', '1', priority => -1);
SELECT settle.add_rule('desk', 'advice', 'advice', 'hq', 'staff:{worker}', base => '20', applies_when => $$ project = 'advice' $$);
SELECT * FROM settle.run('desk');
SELECT ticket_key FROM desk.problem ORDER BY ticket_key COLLATE "C";
SELECT count(*) AS unpaid FROM desk.unpaid;
SELECT ticket_key, factor, amount FROM desk.line_detail ORDER BY ticket_key COLLATE "C";
-- a settled ticket that fails keeps its lines
UPDATE desk.ticket SET details = '{"hours": "x"}' WHERE ticket_id = 'fine';
SELECT tickets, amount, problems FROM settle.run('desk');
SELECT amount FROM desk.line_detail WHERE ticket_key = 'fine';
-- that a ready ticket is paid nothing may be right
INSERT INTO desk.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('gift', '2025-11-04', 'gift', 'us.west', 'w1', 0);
SELECT tickets, unpaid FROM settle.run('desk');
SELECT settle.excuse('desk', 'ticket', 'gift', 'a present');
SELECT ticket_key, excused_at IS NOT NULL AS excused, reason FROM desk.unpaid;

-- two versions of a rule in one month: each prices its part of the total, each ticket by its own time
SELECT settle.create_book('versions');
SELECT settle.add_rule('versions', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 10%', accumulate => 'month', valid => '(,2025-11-15 00:00+08)');
SELECT settle.add_rule('versions', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '6% to 1500, 12%', accumulate => 'month', valid => '[2025-11-15 00:00+08,)');
INSERT INTO versions.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('1', '2025-11-14 23:59+08', 'a', 'b', 'w', 1200), ('2', '2025-11-15 00:00+08', 'a', 'b', 'w', 500), ('3', '2025-11-20 00:00+08', 'a', 'b', 'w', 100);
SELECT tickets, amount FROM settle.run('versions');
SELECT ticket_key, base, amount FROM versions.line_detail ORDER BY 1;
UPDATE versions.source SET on_delete = 'reverse';
DELETE FROM versions.ticket WHERE ticket_id = '1';
SELECT tickets, amount FROM settle.run('versions');
SELECT ticket_key, component, sum(amount) AS amount FROM versions.line_detail GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM versions.tally;
SELECT * FROM settle.check('versions');

-- how the lines of a ticket came about
SET timezone = 'UTC';
SELECT step, kind, name, payee, base, factor, amount, detail FROM settle.explain('versions', 'ticket', '2') WHERE kind <> 'revision';
SELECT step, kind, name, payee, base, factor, amount, detail FROM settle.explain('desk', 'fine') WHERE kind NOT IN ('ticket', 'revision', 'state');
UPDATE desk.ticket SET details = '{"hours": "8"}' WHERE ticket_id = 'fine';
SELECT step, kind, name, payee, base, factor, amount, detail FROM settle.explain('desk', 'fine') WHERE kind NOT IN ('ticket', 'revision', 'state');
SELECT * FROM settle.explain('desk', 'ticket', 'nowhere');
SELECT * FROM settle.explain('desk', 'order', 'fine');

-- a limited run takes so many changes; run_all goes on to the end, with a commit after each
INSERT INTO versions.ticket (ticket_id, done_at, project, region, worker, amount) SELECT 'n' || n, '2025-12-05 00:00+08', 'a', 'b', 'w' || n % 3, n FROM generate_series(1, 25) AS n;
SELECT tickets, lines FROM settle.run('versions', max_tickets => 10);
SELECT count(*) AS pending FROM versions.pending;
CALL settle.run_all('versions', max_tickets => 10);
SELECT count(*) AS pending FROM versions.pending;
SELECT settle.run('versions', 0);
-- a look at every ticket of a time span finds nothing new
SELECT settle.rescan('versions', since => '2025-12-01', until => '2026-01-01');
SELECT count(*) AS pending, bool_and(scanned) AS scanned FROM versions.pending;
SELECT tickets, corrections FROM settle.run('versions');
SELECT settle.rescan('versions', source => 'order');
-- but finds what no trigger saw
ALTER TABLE versions.ticket DISABLE TRIGGER USER;
UPDATE versions.ticket SET amount = 2 WHERE ticket_id = 'n1';
DELETE FROM versions.ticket WHERE ticket_id = 'n2';
INSERT INTO versions.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('n26', '2025-12-05 00:00+08', 'a', 'b', 'w', 26);
SELECT invariant, object, detail FROM settle.check('versions') ORDER BY invariant COLLATE "C", object COLLATE "C";
ALTER TABLE versions.ticket ENABLE ALWAYS TRIGGER settle_versions_ticket;
ALTER TABLE versions.ticket ENABLE ALWAYS TRIGGER settle_versions_ticket_all;
SELECT settle.rescan('versions');
SELECT tickets, corrections, held FROM settle.run('versions');
SELECT ticket_key, detail FROM versions.problem;
SELECT * FROM settle.check('versions');

-- values of other relations, another currency, and what a sheet keeps of them
SELECT settle.create_book('abroad');
CREATE TABLE staffing (worker text, leader text, days daterange, PRIMARY KEY (worker, days));
INSERT INTO staffing VALUES ('w1', 'staff:8', '[2025-01-01,2025-06-01)'), ('w1', 'staff:9', '[2025-06-01,)'), ('w2', 'staff:8', '(,)'), ('w2', 'staff:9', '[2025-06-02,)');
SELECT settle.add_fact('abroad', 'leader', 'staffing', key => 'worker', valid => 'days');
SELECT settle.add_rule('abroad', 'override', 'override', payer => 'hq', payee => '{f.leader}', base => 'amount', tiers => '3%', applies_when => 'f.leader IS NOT NULL');
SELECT settle.add_rule('abroad', 'maker', 'licence', payer => 'hq', payee => 'dealer:us', base => 'amount', tiers => '2%', unit => 'USD');
SELECT settle.set_rate('abroad', 'CNY', 'USD', 0.1369, '2025-05-01 00:00+08');
SELECT settle.set_rate('abroad', 'CNY', 'USD', 0.1374, '2025-06-01 00:00+08');
INSERT INTO abroad.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('T1', '2025-05-31 17:00+08', 'ac', 'cn.sh', 'w1', 900), ('T2', '2025-06-01 09:00+08', 'ac', 'cn.sh', 'w1', 900), ('T3', '2025-06-01 10:00+08', 'ac', 'cn.sh', 'w7', 900),
    ('too early', '2025-04-30 10:00+08', 'ac', 'cn.sh', 'w7', 900), ('two leaders', '2025-06-02 10:00+08', 'ac', 'cn.sh', 'w2', 900);
SELECT tickets, lines, amount, problems FROM settle.run('abroad');
SELECT ticket_key, component, payee, factor, amount, unit FROM abroad.line_detail ORDER BY ticket_key, component COLLATE "C";
SELECT ticket_key, rule_code, sqlstate, message FROM abroad.problem ORDER BY ticket_key;
SELECT inputs FROM abroad.sheet_inputs WHERE ticket_key = 'T2';
SELECT settle.rules('abroad')::jsonb -> 'facts' AS facts;
-- what changes later re-prices nothing, and whoever changes a sheet is found
UPDATE staffing SET leader = 'staff:1';
SELECT * FROM settle.replay('abroad');
ALTER TABLE abroad.sheet DISABLE TRIGGER append_only;
UPDATE abroad.sheet AS s SET inputs = '\x00'::bytea || convert_to(replace(i.inputs::text, '"amount":900', '"amount":9000'), 'UTF8') FROM abroad.sheet_inputs AS i WHERE i.ticket_key = s.ticket_key AND s.ticket_key = 'T2';
SELECT * FROM settle.replay('abroad');
SELECT * FROM settle.check('abroad') ORDER BY detail COLLATE "C";

-- settled in the transaction of the ticket itself, at its commit
SELECT settle.create_book('counter', settle_on => 'commit');
SELECT settle.add_rule('counter', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%');
BEGIN;
INSERT INTO counter.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-01', 'a', 'b', 'w', 100), ('2', '2025-11-01', 'a', 'b', 'w', 200);
UPDATE counter.ticket SET amount = 150 WHERE ticket_id = '1';
SELECT count(*) AS before_commit FROM counter.line_detail;
COMMIT;
SELECT ticket_key, amount, revision FROM counter.line_detail ORDER BY 1;
-- what a rolled-back savepoint wrote is not settled; what it settled is settled again
BEGIN;
INSERT INTO counter.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('3', '2025-11-01', 'a', 'b', 'w', 300);
SAVEPOINT s;
INSERT INTO counter.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('4', '2025-11-01', 'a', 'b', 'w', 400);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(*) AS settled FROM counter.line_detail WHERE ticket_key IN ('3', '4');
ROLLBACK TO s;
SELECT count(*) AS settled FROM counter.line_detail WHERE ticket_key IN ('3', '4');
COMMIT;
SELECT ticket_key, amount, revision FROM counter.line_detail WHERE ticket_key IN ('3', '4');
SELECT settled_on, tickets, lines, amount FROM counter.run ORDER BY run_id;
SELECT * FROM settle.check('counter');

-- check sees what was tampered with
ALTER TABLE counter.sheet DISABLE TRIGGER USER;
DELETE FROM counter.sheet WHERE ticket_key = '2';
SELECT * FROM settle.check('counter') ORDER BY invariant COLLATE "C", object COLLATE "C";
UPDATE versions.tally_state SET amount = amount + 1 WHERE period = '2025-11-01' AND count = 2;
SELECT * FROM settle.check('versions') ORDER BY invariant COLLATE "C";

SET client_min_messages = warning;
DROP SCHEMA shop, desk CASCADE;
DROP SCHEMA versions, abroad, counter CASCADE;
DROP TABLE staffing;
