-- plan: what the next run would do is what it does, and nothing is written.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
-- months are closed by hand here, without statements
SELECT setseed(0.42) \g /dev/null

SELECT settle.create_book('shop') \g /dev/null
UPDATE shop.source SET on_delete = 'reverse';
UPDATE shop.book SET max_correction = NULL;
CREATE TABLE visit (id int PRIMARY KEY, at timestamptz, worker int, hours numeric);
SELECT settle.add_source('shop', 'visit', 'visit', key => 'id', ready_at => 'at', revenue => 'hours', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('shop', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 5% to 1000, 8%', accumulate => 'month'),
    settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '10%'),
    settle.add_rule('shop', 'hour', 'fee', 'hq', 'staff:{worker}', base => 'hours', tiers => '30 each', unit => 'POINTS', source => 'visit'),
    settle.add_rule('shop', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'amount', tiers => '1% to 2000, 3%', accumulate => 'month', clock => 'posting') \g /dev/null

CREATE FUNCTION pg_temp.change() RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount)
        SELECT coalesce((SELECT max(ticket_id::int) FROM shop.ticket), 0) + n, '2025-10-02'::timestamptz + random() * interval '58 days', 'a', 'b', 1 + floor(random() * 6), 1 + floor(random() * 40), round(random()::numeric * 500, 2) FROM generate_series(1, 30) AS n;
    UPDATE shop.ticket SET amount = round(random()::numeric * 500, 2) WHERE random() < 0.1;
    UPDATE shop.ticket SET region = 'c' WHERE random() < 0.05;
    UPDATE shop.ticket SET cost = 3 WHERE random() < 0.05;
    UPDATE shop.ticket SET done_at = CASE WHEN done_at IS NULL THEN timestamptz '2025-10-05' END WHERE random() < 0.05;
    DELETE FROM shop.ticket WHERE random() < 0.03;
    INSERT INTO visit SELECT coalesce((SELECT max(id) FROM visit), 0) + n, '2025-11-20', 1 + floor(random() * 6), 1 FROM generate_series(1, 3) AS n;
    UPDATE visit SET hours = hours + 1 WHERE random() < 0.3;
$$;
-- what the last run posted, as a plan says it
CREATE VIEW done AS
    SELECT l.source, l.component, l.payee, l.period, l.corrects_period, l.unit, count(DISTINCT l.ticket_key) FILTER (WHERE l.source <> 'tally') AS tickets, count(*) AS lines, sum(l.amount) AS amount
    FROM shop.line_detail AS l WHERE l.run_id = (SELECT max(run_id) FROM shop.run) GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT so.source, NULL, NULL, s.period, s.corrects_period, s.currency, count(*), 0, 0
    FROM shop.sheet AS s JOIN shop.source AS so USING (source_id) WHERE s.run_id = (SELECT max(run_id) FROM shop.run) AND NOT EXISTS (SELECT FROM settle._unpack(s.lines)) GROUP BY 1, 4, 5, 6;
CREATE TABLE planned AS SELECT * FROM settle.plan('shop');
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    state text := '';
    part text;
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind IN ('r', 'S') ORDER BY relname LOOP
        EXECUTE format('SELECT md5(string_agg(row(t.*)::text, E''\n'' ORDER BY row(t.*)::text)) FROM %s AS t', relation) INTO part;
        state := state || coalesce(part, '-');
    END LOOP;
    RETURN md5(state);
END $$;

----------------------------------------------------------------------------------------------------
-- The run does what the plan says
----------------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.compare(label text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT text := pg_temp.state();
    ran record;
BEGIN
    TRUNCATE planned;
    INSERT INTO planned SELECT * FROM settle.plan('shop');
    RETURN NEXT is(pg_temp.state(), before, label || ': looking changes nothing');
    ran := settle.run('shop');
    RETURN NEXT set_eq('SELECT source, component, payee, period, corrects_period, unit, tickets, lines, amount FROM planned', 'SELECT * FROM done', label || ': the run posts what was planned');
    RETURN NEXT is((SELECT coalesce(sum(lines), 0) FROM planned), ran.lines::numeric, label || ': so many lines');
    RETURN NEXT is_empty('SELECT * FROM planned WHERE source <> ''tally'' AND tickets <> new + corrected + withdrawn', label || ': a ticket is new, corrected or withdrawn');
END $$;
SELECT pg_temp.change() \g /dev/null
SELECT pg_temp.compare('all new');
SELECT is((SELECT sum(corrected + withdrawn) FROM planned), 0::numeric, 'all new: nothing is corrected');
SELECT is_empty($$ SELECT * FROM settle.plan('shop') $$, 'nothing is left to do');
SELECT pg_temp.change() FROM generate_series(1, 5) \g /dev/null
SELECT pg_temp.compare('all sorts of changes');
SELECT ok(count(*) FILTER (WHERE new > 0) > 0 AND count(*) FILTER (WHERE corrected > 0) > 0 AND count(*) FILTER (WHERE withdrawn > 0) > 0, 'some of each') FROM planned;
INSERT INTO shop.period (period, state, changed_by) VALUES ('2025-10-01', 'closed', 'test');
SELECT pg_temp.change() \g /dev/null
SELECT pg_temp.compare('October is closed');
SELECT ok(count(*) > 0, 'October is corrected in November') FROM planned WHERE (period, corrects_period) = ('2025-11-01', '2025-10-01');
SELECT settle.rescan('shop') \g /dev/null
SELECT pg_temp.compare('a scan of all');
DELETE FROM shop.ticket WHERE ticket_id::int % 3 = 0;
DELETE FROM shop.pending;
SELECT settle.rescan('shop', '2025-01-01', '2027-01-01') \g /dev/null
SELECT pg_temp.compare('a scan that misses many');
SELECT is((SELECT count(*) FROM planned), 0::bigint, 'a thin scan plans nothing');
TRUNCATE shop.ticket;
SELECT pg_temp.compare('a TRUNCATE');

----------------------------------------------------------------------------------------------------
-- An edit, shown before it is made
----------------------------------------------------------------------------------------------------
UPDATE shop.period SET state = 'open', changed_at = clock_timestamp();
BEGIN;
SELECT settle.end_rule('shop', 'hour', '2025-11-15') \g /dev/null
SELECT settle.add_rule('shop', 'hour', 'fee', 'hq', 'crew:{worker}', base => 'hours', tiers => '40 each', unit => 'POINTS', source => 'visit', valid => '[2025-11-15,)') \g /dev/null
CREATE TEMP TABLE shown ON COMMIT DROP AS SELECT * FROM settle.plan('shop');
SELECT is((SELECT concat_ws(' ', sum(amount) FILTER (WHERE payee LIKE 'staff:%'), sum(amount) FILTER (WHERE payee LIKE 'crew:%')) FROM shown), (SELECT concat_ws(' ', -30 * sum(hours) || '.00', 40 * sum(hours) || '.00') FROM visit),
    'an edit in the same transaction: so much money moves');
SELECT is((SELECT count(*) FROM shop.party WHERE party LIKE 'crew:%'), 0::bigint, 'parties that are new are not added');
SELECT is((SELECT count(DISTINCT payee) FROM shown WHERE payee LIKE 'crew:%'), (SELECT count(DISTINCT worker) FROM visit), 'and have their names');
ROLLBACK;
SELECT is_empty($$ SELECT * FROM settle.plan('shop') $$, 'rolled back, there is nothing to do');
INSERT INTO visit VALUES (100000, '2025-11-20', 77, 2);
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT is((SELECT concat_ws(' ', payee, amount) FROM settle.plan('shop')), 'staff:77 60.00', 'a read-only transaction may ask');
COMMIT;
INSERT INTO visit VALUES (100001, now() + interval '1 day', 78, 2);
SELECT settle.run('shop') \g /dev/null
UPDATE shop.waiting SET due_at = now() - interval '1 day';
UPDATE visit SET at = '2025-11-20' WHERE id = 100001;
DELETE FROM shop.pending;
SELECT pg_temp.compare('a ticket that has become due');
UPDATE visit SET hours = 0 WHERE id = 100001;
INSERT INTO shop.pending (source_id, ticket_key, scanned) SELECT source_id, '100001', true FROM shop.source WHERE source = 'visit';
SELECT pg_temp.compare('queued twice');
SELECT is((SELECT concat_ws(' ', tickets, lines, amount) FROM planned), '1 1 -60.00', 'it counts once');

-- corrections that the brake holds
UPDATE shop.book SET max_correction = 0;
UPDATE visit SET hours = hours + 1;
SELECT is((SELECT sum(amount) FROM settle.plan('shop')), (SELECT 30.00 * count(*) FROM visit), 'a plan knows no brake');
SELECT settle.run('shop') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.plan('shop') $$, 'what is held is not for the next run');
SELECT is((SELECT sum(amount) FROM settle.plan('shop', true)), (SELECT 30.00 * count(*) FROM visit), 'unless it is asked for');
SELECT settle.release('shop', 'seen') \g /dev/null
SELECT pg_temp.compare('released');

-- problems, and who may ask
SELECT settle.add_rule('shop', 'bad', 'bad', 'hq', 'p', base => '1 / (hours - 3)', source => 'visit', valid => '[2025-12-01,)') \g /dev/null
INSERT INTO visit VALUES (100002, '2025-12-02', 1, 3), (100003, '2025-12-02', 1, 4);
SELECT is((SELECT sum(new) FROM settle.plan('shop') WHERE component = 'fee'), 1::numeric, 'a ticket that fails is not planned');
SELECT is((SELECT count(*) FROM shop.problem WHERE ticket_key = '100002'), 0::bigint, 'nor written down');
CREATE ROLE plan_nobody;
SET ROLE plan_nobody;
SELECT throws_ok($$ SELECT * FROM settle.plan('shop') $$, '42501', 'permission denied for book "shop"', 'a stranger sees nothing');
RESET ROLE;
DROP ROLE plan_nobody;
SELECT is_empty($$ SELECT * FROM settle.check('shop') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

SELECT * FROM finish();
