-- Evidence: what was posted and sealed cannot be changed, added to or taken from
-- without settle.verify saying what and where; and nothing else moves it: not a
-- dump, not another session's habits.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(67);
DROP ROLE IF EXISTS seal_reader;
CREATE ROLE seal_reader;
CREATE EXTENSION IF NOT EXISTS dblink;
\set connection 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=' :DBNAME

SELECT settle.create_book('repairs') \g /dev/null
SELECT settle.grant_access('repairs', 'seal_reader', 'reader') \g /dev/null
SELECT settle.add_rule('repairs', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8%', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('repairs', 'share', 'share', 'hq', 'dealer:"{dealer}"', base => 'amount', tiers => '12.5%') \g /dev/null
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, dealer, amount)
SELECT 'T' || i, '2025-11-01 00:00+08'::timestamptz + i * interval '7 hours', 'repair.fridge', 'cn.north', i % 3, '安' || i % 2, 10.50 * i FROM generate_series(1, 60) AS i;
SELECT is(settle.anchor('repairs'), NULL, 'nothing is sealed');
SELECT is((SELECT count(*) FROM settle.verify('repairs')), 0::bigint, 'which is no finding');
SELECT is(settle._seal('repairs'), 0::bigint, 'there is nothing to seal');
SELECT settle.run('repairs') \g /dev/null
UPDATE repairs.ticket SET amount = amount * 2 WHERE ticket_id IN ('T1', 'T2', 'T3');
SELECT settle.run('repairs') \g /dev/null
DELETE FROM repairs.ticket WHERE ticket_id = 'T4';
SELECT settle.run('repairs') \g /dev/null
SELECT is(settle._seal('repairs', 1), 1::bigint, 'one run');
SELECT settle.anchor('repairs') AS first \gset
SELECT is(settle._seal('repairs'), 2::bigint, 'the others');
SELECT is(settle._seal('repairs'), 0::bigint, 'none is left');
SELECT settle.anchor('repairs') AS anchor \gset
SELECT results_eq('SELECT seal_id, runs, sheets FROM repairs.seal ORDER BY 1', format('SELECT * FROM (VALUES (1::bigint, 1::bigint, 60::bigint), (2, 2, %s)) AS v', (SELECT count(*) FROM repairs.sheet WHERE run_id > 1)),
    'two seals cover three runs and all sheets');
SELECT is((SELECT previous FROM repairs.seal WHERE seal_id = 2), (SELECT digest FROM repairs.seal WHERE seal_id = 1), 'the second follows the first');
SELECT is(:'anchor'::text, '2:' || (SELECT encode(digest, 'hex') FROM repairs.seal WHERE seal_id = 2), 'the anchor names the last');
SELECT is((SELECT count(*) FROM settle.check('repairs')), 0::bigint, 'every invariant holds');

CREATE FUNCTION public.findings(anchor text DEFAULT NULL) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(concat_ws('|', seal_id, run_id, source, ticket_key, finding), E'\n' ORDER BY seal_id, run_id, source, ticket_key COLLATE "C", finding) FROM settle.verify('repairs', anchor));
SELECT is(public.findings(anchor), NULL, 'nothing has changed') FROM unnest(ARRAY[:'anchor', :'first', NULL]) AS anchor;
SET ROLE seal_reader;
SELECT is(settle.anchor('repairs'), :'anchor', 'a reader asks for the anchor');
SELECT is((SELECT count(*) FROM settle.verify('repairs')), 0::bigint, 'and verifies');
RESET ROLE;

----------------------------------------------------------------------------------------------------
-- What is the same
----------------------------------------------------------------------------------------------------
SET datestyle = 'SQL, DMY'; SET timezone = 'Pacific/Apia'; SET bytea_output = 'escape'; SET extra_float_digits = -3; SET search_path = public, pg_catalog; SET intervalstyle = 'iso_8601';
SELECT is(public.findings(:'anchor'), NULL, 'another session''s habits');
RESET ALL;
SET client_min_messages = warning;
-- a dump of the schema, restored into another database
SELECT :'DBNAME' || '_copy' AS copy \gset
SELECT format('DROP DATABASE IF EXISTS %I', :'copy') \gexec
SELECT format('CREATE DATABASE %I', :'copy') \gexec
\set restored `{ psql -Xq -h :'HOST' -p :'PORT' -U :'USER' -d :'copy' -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' && pg_dump -h :'HOST' -p :'PORT' -U :'USER' -n repairs :'DBNAME' | psql -Xq -o /dev/null -h :'HOST' -p :'PORT' -U :'USER' -d :'copy' -v ON_ERROR_STOP=1; } 2>&1 | grep -v '^$' | tail -3`
SELECT is(:'restored'::text, '', 'pg_dump and restore of the schema');
SELECT is((SELECT n FROM dblink(replace(:'connection', :'DBNAME', :'copy'), format('SELECT count(*) FROM settle.verify(''repairs'', %L)', :'anchor')) AS t(n bigint)), 0::bigint, 'the copy verifies with the anchor of the original');
SELECT is((SELECT n FROM dblink(replace(:'connection', :'DBNAME', :'copy'), 'SELECT count(*) FROM settle.check(''repairs'')') AS t(n bigint)), 0::bigint, 'and every invariant holds there');
SELECT format('DROP DATABASE %I', :'copy') \gexec
-- numbers of the book and scales are nothing that was decided
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE repairs.sheet SET revenue = revenue + 0.0000, cost = 0.00;
UPDATE repairs.party SET title = 'x', account = '1';
SELECT is(public.findings(:'anchor'), NULL, 'zeros at the end, titles and accounts');
ROLLBACK;

----------------------------------------------------------------------------------------------------
-- What a superuser does behind the back of the extension
----------------------------------------------------------------------------------------------------
SELECT throws_ok(statement, '55000', NULL, statement) FROM unnest(ARRAY['DELETE FROM repairs.seal', 'UPDATE repairs.sealed_run SET seal_id = 7', 'TRUNCATE repairs.seal', 'UPDATE repairs.sheet SET cost = 1']) AS statement;
-- each by its statement, and what is found of it, once with triggers disabled
CREATE TEMP TABLE tampering (n serial, what text, statement text, found text);
INSERT INTO tampering (what, statement, found) VALUES
    ('an amount inside of lines', $$ UPDATE repairs.sheet AS s SET lines = o.lines FROM repairs.sheet AS o WHERE s.ticket_key = 'T7' AND o.ticket_key = 'T10' AND s.revision = 1 AND o.revision = 1 $$,
        '1|1|ticket|T7|sheet 7 was changed'),
    ('a revenue', $$ UPDATE repairs.sheet SET revenue = revenue + 1 WHERE ticket_key = 'T60' $$, '1|1|ticket|T60|sheet 60 was changed'),
    ('a hundredth', $$ UPDATE repairs.sheet SET payout = payout - 0.01 WHERE ticket_key IN ('T5', 'T9') $$, E'1|1|ticket|T5|sheet 5 was changed\n1|1|ticket|T9|sheet 9 was changed'),
    ('a time by a millionth', $$ UPDATE repairs.sheet SET ticket_time = ticket_time + interval '1 microsecond' WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('a region', $$ UPDATE repairs.sheet SET region = NULL WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('a period', $$ UPDATE repairs.sheet SET corrects_period = period WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('a currency', $$ UPDATE repairs.sheet SET currency = 'USD' WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('what it was priced with', $$ UPDATE repairs.sheet SET inputs = '\x00'::bytea || '{"amount": 1}' WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('a byte of it', $$ UPDATE repairs.sheet SET inputs = set_byte(inputs, 4, 32) WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('something that is none', $$ UPDATE repairs.sheet SET inputs = '' WHERE ticket_key = 'T5' $$, '1|1|ticket|T5|sheet 5 was changed'),
    ('the names of inputs', $$ UPDATE repairs.run SET input_names = replace(input_names::text, 'amount', 'price')::jsonb WHERE run_id = 2 $$,
        (SELECT string_agg(format('2|2|ticket|%s|sheet %s was changed', ticket_key, sheet_id), E'\n' ORDER BY ticket_key COLLATE "C") FROM repairs.sheet WHERE run_id = 2 AND inputs IS NOT NULL)),
    ('a ticket''s name', $$ UPDATE repairs.sheet SET ticket_key = 'T5a' WHERE ticket_key = 'T5' $$, '1|1|ticket|T5a|sheet 5 was changed'),
    ('a correction', $$ DELETE FROM repairs.sheet WHERE ticket_key = 'T1' AND revision = 2 $$,
        (SELECT format('2|2|sheet %s was removed', sheet_id) FROM repairs.sheet WHERE ticket_key = 'T1' AND revision = 2)),
    ('the first and the last sheet', $$ DELETE FROM repairs.sheet WHERE sheet_id IN (1, 60) $$, E'1|1|sheet 1 was removed\n1|1|sheet 60 was removed'),
    ('a sheet more', $$ INSERT INTO repairs.sheet SELECT (jsonb_populate_record(s, '{"sheet_id": 9000, "ticket_key": "T99"}')).* FROM repairs.sheet AS s WHERE ticket_key = 'T7' $$, '1|1|ticket|T99|sheet 9000 was added'),
    ('a sheet in between', $$ UPDATE repairs.sheet SET sheet_id = 0 WHERE ticket_key = 'T7' $$, E'1|1|ticket|T7|sheet 0 was added\n1|1|sheet 7 was removed'),
    ('a sheet of another run', $$ UPDATE repairs.sheet SET run_id = 3 WHERE ticket_key = 'T7' $$, E'1|1|sheet 7 was removed\n2|3|ticket|T7|sheet 7 was added'),
    ('a sheet of no run', $$ UPDATE repairs.sheet SET run_id = 99 WHERE ticket_key = 'T7' $$, E'1|1|sheet 7 was removed\n99|ticket|T7|sheet 7 belongs to no run'),
    ('who ran', $$ UPDATE repairs.run SET actor = 'somebody' WHERE run_id = 2 $$, '2|2|the record of the run was changed'),
    ('a run', $$ DELETE FROM repairs.run WHERE run_id = 3 $$, '2|3|the record of the run was removed'),
    ('a run more', $$ INSERT INTO repairs.run SELECT (jsonb_populate_record(r, '{"run_id": 99}')).* FROM repairs.run AS r WHERE run_id = 1 $$, '99|the run is not sealed and does not wait for it'),
    ('the rules that were used', $$ UPDATE repairs.ruleset_used SET ruleset = settle.ruleset(jsonb_set(settle.to_jsonb(ruleset), '{currency}', '"EUR"')) $$,
        (SELECT string_agg(format('the ruleset of digest %s is another', encode(digest, 'hex')), E'\n') FROM repairs.ruleset_used)),
    ('rules forgotten', $$ DELETE FROM repairs.ruleset_used $$, E'1|the ruleset that the run has used is missing\n2|the ruleset that the run has used is missing\n3|the ruleset that the run has used is missing'),
    ('who a party is', $$ UPDATE repairs.party SET party = 'staff:9' WHERE party = 'staff:1' $$, NULL),
    ('which component a rule is for', $$ UPDATE repairs.rule SET component = 'gift' WHERE code = 'share' $$, NULL),
    ('a seal', $$ DELETE FROM repairs.seal WHERE seal_id = 1 $$, E'1|1|the seal of the run is missing\n1|the seal is missing\n2|the seal does not follow the one before it'),
    ('a digest', $$ UPDATE repairs.seal SET digest = sha256('x') WHERE seal_id = 1 $$, E'1|the seal does not fit what it covers\n2|the seal does not follow the one before it'),
    ('what a seal covers', $$ DELETE FROM repairs.sealed_run WHERE run_id = 3 $$, E'2|the seal does not fit what it covers\n3|the run is not sealed and does not wait for it'),
    ('a list cut short', $$ UPDATE repairs.sealed_run SET sheets = substring(sheets FOR 13) WHERE run_id = 2 $$, NULL),
    ('a sheet, and its place in the list', $$ UPDATE repairs.sheet SET cost = 1 WHERE sheet_id = 1; UPDATE repairs.sealed_run SET sheets = overlay(sheets PLACING
        (SELECT substring(sheets FROM 2 FOR 8) FROM repairs.sealed_run WHERE run_id = 2) FROM 2 FOR 8) WHERE run_id = 1 $$, '1|1|ticket|T1|sheet 1 was changed');
CREATE FUNCTION public.found(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    SET LOCAL session_replication_role = replica;
    EXECUTE statement;
    found := public.findings();
    RAISE EXCEPTION SQLSTATE 'ZZ999' USING MESSAGE = coalesce(found, 'nothing');
EXCEPTION WHEN SQLSTATE 'ZZ999' THEN
    RETURN SQLERRM;
END $$;
SELECT is(public.found(statement), found, what) FROM tampering WHERE found IS NOT NULL ORDER BY n;
SELECT isnt(public.found(statement), 'nothing', what) FROM tampering WHERE found IS NULL ORDER BY n;
SELECT is(public.findings(:'anchor'), NULL, 'all was undone');

-- who may write everything rebuilds the whole chain, and only the anchor tells
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE repairs.sheet SET revenue = 1000000 WHERE sheet_id = 1;
DELETE FROM repairs.seal; DELETE FROM repairs.sealed_run;
INSERT INTO repairs.unsealed SELECT run_id FROM repairs.run WHERE run_id = 1;
SELECT settle._seal('repairs') \g /dev/null
INSERT INTO repairs.unsealed SELECT run_id FROM repairs.run WHERE run_id > 1;
SELECT settle._seal('repairs') \g /dev/null
SELECT is(public.findings(), NULL, 'the chain fits itself');
SELECT is(public.findings(anchor), left(anchor, 1) || '|the seal is another than that of the anchor', 'not what was kept outside') FROM unnest(ARRAY[:'first', :'anchor']) AS anchor;
DELETE FROM repairs.seal WHERE seal_id = 2; DELETE FROM repairs.sealed_run WHERE seal_id = 2;
SELECT is((SELECT count(*) FROM settle.verify('repairs', :'anchor') WHERE finding = 'the seal of the anchor is missing'), 1::bigint, 'nor is a seal missed');
ROLLBACK;
SELECT throws_ok(format('SELECT settle.verify(''repairs'', %L)', anchor), '22023', format('"%s" is not an anchor', anchor), 'no anchor') FROM unnest(ARRAY['x', '1:ab']) AS anchor;

----------------------------------------------------------------------------------------------------
-- A run that commits later with a smaller number goes into a later seal
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('fast', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('fast', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%') \g /dev/null
-- parties that both name are known, or one waits for the other
INSERT INTO fast.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('first', now(), 'a', 'b', 1, 100);
SELECT is(settle._seal('fast'), 1::bigint, 'the first');
SELECT dblink_connect('early', :'connection'), dblink_exec('early', 'SET client_min_messages = warning; BEGIN') \g /dev/null
SELECT dblink_exec('early', $$ INSERT INTO fast.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('early', now(), 'a', 'b', 1, 100); SET CONSTRAINTS ALL IMMEDIATE $$) \g /dev/null
INSERT INTO fast.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('late', now(), 'a', 'b', 1, 100);
SELECT is(settle._seal('fast'), 1::bigint, 'one is committed');
SELECT dblink_exec('early', 'COMMIT'), dblink_disconnect('early') \g /dev/null
SELECT is(settle._seal('fast'), 1::bigint, 'then the other');
SELECT is((SELECT string_agg(s.ticket_key, ' ' ORDER BY r.seal_id) FROM fast.sealed_run AS r JOIN fast.sheet AS s USING (run_id)), 'first late early', 'each in its seal');
SELECT ok((SELECT (array_agg(run_id ORDER BY seal_id))[2] > (array_agg(run_id ORDER BY seal_id))[3] FROM fast.sealed_run), 'the later seal has the smaller number');
SELECT is((SELECT count(*) FROM settle.verify('fast', settle.anchor('fast'))) + (SELECT count(*) FROM settle.check('fast')), 0::bigint, 'and all is well');

DROP OWNED BY seal_reader;
DROP ROLE seal_reader;
SELECT * FROM finish();
