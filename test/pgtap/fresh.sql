-- Runs that settled at commit, before and after they are absorbed: whoever reads
-- sees no difference.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(23);

SELECT settle.create_book('till', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('till', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
SELECT settle.add_rule('till', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8%', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('till', 'points', 'points', 'hq', 'staff:{worker}', base => 'amount', unit => 'POINTS') \g /dev/null
SELECT settle.add_party('till', 'staff:1') \g /dev/null
CREATE FUNCTION public.sell(ids int[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO till.ticket (ticket_id, done_at, project, region, worker, amount)
    SELECT i, timestamptz '2025-11-05 10:00+08' + i * interval '1 minute', 'a', 'b', i % 3, 100 * i FROM unnest(ids) AS i
$$;
\o /dev/null
SELECT format('SELECT public.sell(''{%s}'')', i) FROM generate_series(1, 20) AS i \gexec
\o
SELECT public.sell('{21,22,23}') \g /dev/null
UPDATE till.ticket SET amount = 50, worker = '1' WHERE ticket_id = '3';
SELECT settle._fold('till') \g /dev/null
SELECT is((SELECT count(*) FROM till.fresh_run), 0::bigint, 'folding absorbs');
\o /dev/null
SELECT format('SELECT public.sell(''{%s}'')', i) FROM generate_series(24, 40) AS i \gexec
\o
DELETE FROM till.ticket WHERE ticket_id = '24';
UPDATE till.ticket SET amount = amount + 1, done_at = '2025-12-03 10:00+08' WHERE ticket_id IN ('5', '25');
SELECT is((SELECT count(*) FROM till.fresh_run), 18::bigint, 'a row for each transaction that posted');

CREATE FUNCTION public.seen() RETURNS text[] LANGUAGE sql AS $$
    SELECT ARRAY[
        (SELECT string_agg(concat_ws(' ', r.run_id, r.settled_on, r.tickets, r.lines, r.amount, r.corrections, r.actor, md5(r.digest), r.input_names), E'\n' ORDER BY r.run_id) FROM till.run AS r),
        (SELECT string_agg(u.run_id::text, ' ' ORDER BY u.run_id) FROM till.unsealed AS u),
        (SELECT string_agg(concat_ws(' ', u.run_id, u.first_sheet, u.last_sheet), E'\n' ORDER BY u.run_id) FROM till.unfolded AS u),
        (SELECT string_agg(concat_ws(' ', d.party_id, d.period, d.unit, d.run_id, trim_scale(d.received), trim_scale(d.given), d.sheets), E'\n' ORDER BY d.party_id, d.period, d.unit, d.run_id) FROM till.party_sum AS d),
        (SELECT string_agg(b::text, E'\n' ORDER BY b.party, b.unit) FROM till.party_balance AS b),
        (SELECT string_agg(m::text, E'\n' ORDER BY m::text) FROM till.revenue_matrix AS m),
        (SELECT string_agg(i::text, E'\n' ORDER BY i::text) FROM till.sheet_inputs AS i),
        (SELECT string_agg(l::text, E'\n' ORDER BY l::text) FROM settle.lines_of('till', 'staff:1', '[2025-11-01,2026-01-01)') AS l),
        (SELECT string_agg(x::text, E'\n' ORDER BY x::text) FROM settle._party_lines('till', '[2025-11-01,2026-01-01)', 'staff:2') AS x),
        (SELECT string_agg(p::text, E'\n' ORDER BY p::text) FROM till.progress AS p),
        (SELECT string_agg(a::text, E'\n' ORDER BY a::text) FROM till.rule_activity AS a),
        (SELECT string_agg(e::text, E'\n' ORDER BY e.step) FROM settle.explain('till', 'ticket', '30') AS e)
    ]
$$;
SELECT public.seen() AS before \gset
SELECT is_empty($$ SELECT * FROM settle.check('till') WHERE invariant NOT LIKE 'every settled%' $$, 'all agrees');
SELECT is_empty($$ SELECT * FROM settle.replay('till') $$, 'and is computed again');
SELECT is_empty($$ SELECT * FROM settle.verify('till') $$, 'and waits to be sealed');

-- what stands in the queue is nobody's to change
SELECT throws_ok('UPDATE till.fresh_run SET actor = ''somebody''', '55000', 'table "fresh_run" of a book is append-only', 'a record is not changed');
SELECT throws_ok('TRUNCATE till.unfolded', '55000', 'table "fresh_run" of a book is append-only', 'nor is it lost with a queue that it stands in');
SELECT throws_ok('DELETE FROM till.run', '55000', 'table "run" of a book is append-only', 'nor as a run');
BEGIN;
ALTER TABLE till.fresh_run DISABLE TRIGGER append_only;
UPDATE till.fresh_run SET last_sheet = last_sheet - 1 WHERE run_id = (SELECT max(run_id) FROM till.fresh_run);
SELECT count(*) > 0 AS found FROM settle.check('till') WHERE invariant = 'what parties received and gave equals the lines' \gset
ROLLBACK;
SELECT ok(:'found', 'settle.check finds a sheet that stands outside of its run');
BEGIN;
INSERT INTO till.run SELECT (jsonb_populate_record(NULL::till.run, to_jsonb(f))).* FROM till.fresh_run AS f WHERE f.run_id = (SELECT max(run_id) FROM till.fresh_run);
SELECT count(*) > 0 AS found FROM settle.check('till') WHERE invariant = 'a run is sealed once or waits for it' \gset
ROLLBACK;
SELECT ok(:'found', 'and a run that stands twice');
BEGIN;
DELETE FROM till.fresh_run WHERE run_id = (SELECT max(run_id) FROM till.fresh_run);
SELECT count(*) AS found FROM settle.verify('till') WHERE finding LIKE '%belongs to no run' \gset
ROLLBACK;
SELECT is(:found, 5, 'settle.verify finds the sheets whose record is gone');

SELECT is(settle._absorb('till'), 18::bigint, 'they are absorbed');
SELECT is((SELECT count(*) FROM till.fresh_run), 0::bigint, 'and gone');
SELECT is(settle._absorb('till'), 0::bigint, 'once');
SELECT results_eq('SELECT unnest(public.seen())', format('SELECT unnest(%L::text[])', :'before'), 'whoever reads sees what he saw before');
SELECT is_empty($$ SELECT * FROM settle.check('till') WHERE invariant NOT LIKE 'every settled%' $$, 'all agrees');

-- a trigger of somebody that keeps a row out: sheets without their record, or a record without its sheets
CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER swallow BEFORE INSERT ON till.fresh_run FOR EACH ROW EXECUTE FUNCTION public.swallow();
SELECT throws_ok($$ SELECT public.sell('{42}'); SET CONSTRAINTS ALL IMMEDIATE $$, '09000', '1 rows of table "fresh_run" were not written', 'no sheets without a record');
DROP TRIGGER swallow ON till.fresh_run;
CREATE TRIGGER swallow BEFORE INSERT ON till.sheet FOR EACH ROW EXECUTE FUNCTION public.swallow();
SELECT throws_ok($$ SELECT public.sell('{42}'); SET CONSTRAINTS ALL IMMEDIATE $$, '09000', '1 rows of table "sheet" were not written', 'and no tallies without sheets');
DROP TRIGGER swallow ON till.sheet;
SELECT is_empty($$ SELECT * FROM settle.check('till') WHERE invariant NOT LIKE 'every settled%' $$, 'nothing is half done');

-- sealed and folded as they stand
SELECT public.sell('{41}') \g /dev/null
SELECT cmp_ok(settle._seal('till'), '>', 18::bigint, 'sealing absorbs');
SELECT is((SELECT count(*) FROM till.unsealed), 0::bigint, 'nothing waits for a seal');
-- many at once are settled as any run is
SELECT public.sell(ARRAY(SELECT generate_series(101, 150))) \g /dev/null
SELECT is((SELECT count(*) FROM till.fresh_run), 0::bigint, 'a transaction of many tickets leaves a run');
SELECT is_empty($$ SELECT * FROM settle.verify('till') $$, 'all is proven');
SELECT * FROM finish();
