-- What was kept computes what was posted: whatever has happened to the source
-- since, and not where a sheet was changed behind the triggers.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT no_plan();

SELECT settle.create_book('shop') \g /dev/null
CREATE TYPE public.rgb AS ENUM ('red');
CREATE TABLE job (id bigint PRIMARY KEY, at timestamptz, done date, hours interval, price numeric(12,2), pieces int, worker varchar(10), note text, tags text[], attrs jsonb, rush boolean, grade "char", code char(4), home ltree, spare rgb);
CREATE TABLE worker (id text PRIMARY KEY, leader text);
INSERT INTO worker SELECT 'w' || i, 'staff:' || i % 3 FROM generate_series(0, 9) AS i;
INSERT INTO job SELECT i, '2025-01-31 12:00+00'::timestamptz + i * interval '7 hours', '2025-01-31'::date + i / 5, make_interval(mins => i * 7), i * 1.37, i, 'w' || i % 10,
    CASE i % 4 WHEN 0 THEN 'plain' WHEN 1 THEN E'quote " back \\ line\nend' WHEN 2 THEN '发票 ✓' END, ARRAY['a', 'b "c"', NULL], jsonb_build_object('k', i, 'x', NULL), i % 2 = 0, 'A', 'ab', 'a.b', 'red'
FROM generate_series(1, 240) AS i;
SELECT settle.add_source('shop', 'job', 'job', key => 'id', ready_at => 'at', project => 'home', revenue => 'price', currency => $$ CASE WHEN rush THEN 'USD' END $$) \g /dev/null
SELECT settle.add_fact('shop', 'leader', 'worker', key => 'id', lookup => 'worker') \g /dev/null
SELECT settle.set_rate('shop', 'CNY', 'USD', 0.1406, '2000-01-01') \g /dev/null
SELECT settle.add_rule('shop', 'own', 'own', 'hq', 'staff:{worker}', base => 'price', tiers => '10%', source => 'job') \g /dev/null
SELECT settle.add_rule('shop', 'lead', 'lead', 'hq', '{f.leader}', base => 'price', tiers => '3%', unit => 'USD', source => 'job') \g /dev/null
SELECT settle.add_rule('shop', 'month', 'month', 'hq', 'staff:{worker}', base => 'price', tiers => '5% to 100, 8% to 500, 10%', accumulate => 'month', source => 'job') \g /dev/null
SELECT settle.add_rule('shop', 'count', 'count', 'hq', 'team:{worker}', base => 'price', tiers => 'volume 1% to 10, 2%', measure => 'pieces', accumulate => 'quarter', clock => 'posting', source => 'job') \g /dev/null
SELECT settle.add_rule('shop', 'all', 'all', 'hq', payees => $$ jsonb_build_object('staff:' || worker, 2, 'x', 1) $$, base => 'extract(epoch FROM hours) + length(note) + (attrs ->> $k$k$k$)::numeric', source => 'job',
    applies_when => $$ note LIKE '%"%' AND tags[2] = 'b "c"' AND code = 'ab' AND done >= '2025-01-31'::date $$) \g /dev/null
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT count(*) FROM shop.sheet WHERE source_id <> 0 AND inputs IS NOT NULL), 240::bigint, 'every sheet of a ticket keeps its inputs');
SELECT is_empty($$ SELECT * FROM shop.problem $$, 'all are settled');
SELECT is((SELECT inputs::text FROM shop.sheet_inputs WHERE source = 'job' AND ticket_key = '1'),
    $${"c":{"id":1,"at":"2025-02-01 03:00:00+08","done":"2025-01-31","hours":"00:07:00","price":1.37,"pieces":1,"worker":"w1","note":"quote \" back \\ line\nend","tags":"{a,\"b \\\"c\\\"\",NULL}","attrs":{"k": 1, "x": null},"rush":false,"code":"ab  ","home":"a.b"},"f":{"leader":"staff:1","CNY/USD":0.1406}}$$,
    'the text of the columns, facts and rates that rules have read');
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'all is computed again');

-- corrections, withdrawals, another month, another version of a rule
UPDATE job SET price = price + 1 WHERE id % 5 = 0;
UPDATE job SET at = at + interval '1 month' WHERE id % 7 = 0;
UPDATE job SET at = NULL WHERE id % 11 = 0;
UPDATE job SET rush = NOT rush WHERE id % 13 = 0;
SELECT settle.run('shop') \g /dev/null
SELECT settle.end_rule('shop', 'month', '2025-03-01 00:00+08') \g /dev/null
SELECT settle.add_rule('shop', 'month', 'month', 'hq', 'staff:{worker}', base => 'price', tiers => '6%', accumulate => 'month', source => 'job', valid => '[2025-03-01 00:00+08,)') \g /dev/null
UPDATE worker SET leader = 'staff:9' WHERE id = 'w3';
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'whatever revisions stand on each other');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'and all agrees');

-- what the source and the facts are now does not matter
SELECT count(*) AS posted FROM shop.sheet \gset
BEGIN;
UPDATE job SET price = 0, worker = 'zz', at = NULL;
UPDATE worker SET leader = 'gone';
DELETE FROM shop.rate;
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'rows of the source that changed since');
DELETE FROM job;
DROP TABLE worker;
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'or are gone, with the relation of a fact');
ROLLBACK;

----------------------------------------------------------------------------------------------------
-- Tampering, behind the triggers
----------------------------------------------------------------------------------------------------
-- inputs may be kept as their text, too
CREATE FUNCTION said(ticket text) RETURNS text LANGUAGE sql RETURN (SELECT i.inputs::text FROM shop.sheet_inputs AS i WHERE i.source = 'job' AND i.ticket_key = ticket ORDER BY i.revision DESC LIMIT 1);
CREATE FUNCTION spelt(json text) RETURNS bytea LANGUAGE sql RETURN '\x00'::bytea || convert_to(json, 'UTF8');
CREATE FUNCTION found(changes text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    ALTER TABLE shop.sheet DISABLE TRIGGER ALL;
    EXECUTE changes;
    RETURN QUERY SELECT r.ticket_key || ' ' || coalesce(r.rule, '-') || ': ' || coalesce(r.expected, '-') || ' / ' || coalesce(r.found, '-') FROM settle.replay('shop') AS r;
    RAISE EXCEPTION SQLSTATE 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
SELECT is((SELECT count(*) FROM found($c$ UPDATE shop.sheet SET lines = (SELECT s.lines FROM shop.sheet AS s WHERE s.ticket_key = '102' AND s.revision = 1) WHERE ticket_key = '1' $c$) AS f), 10::bigint, 'another ticket''s lines');
SELECT results_eq($$ SELECT found($c$ UPDATE shop.sheet SET inputs = spelt(replace(said('1'), '"price":1.37', '"price":1.97')) WHERE ticket_key = '1' $c$) $$,
    ARRAY['1 count: 1 times 1.97 on 1, factor 1, for team:w1, CNY from hq to team:w1 / 1 times 1.37 on 1, factor 1, for team:w1, CNY from hq to team:w1',
        '1 month: 1 times 1.97 on 1.97, factor 1, for staff:w1 in 2025-02-01, CNY from hq to staff:w1 / 1 times 1.37 on 1.37, factor 1, for staff:w1 in 2025-02-01, CNY from hq to staff:w1',
        '1 own: 0.2 CNY from hq to staff:w1 / 0.14 CNY from hq to staff:w1'], 'other inputs');
SELECT results_eq($$ SELECT found($c$ UPDATE shop.sheet SET inputs = NULL WHERE ticket_key IN ('1', '2') $c$) $$, ARRAY['1 -: no inputs are kept; so for 2 tickets / -'], 'inputs that are gone');
SELECT results_eq($$ SELECT found($c$ UPDATE shop.sheet SET inputs = spelt('[]') WHERE ticket_key = '1' $c$) $$, ARRAY['1 -: inputs have no object "c"; so for 1 tickets / -'], 'inputs that are none');
SELECT results_eq(format($$ SELECT found('UPDATE shop.sheet SET inputs = %s WHERE ticket_key = ''1'' AND source_id <> 0') $$, replace(value, '''', '''''')),
    ARRAY['1 -: inputs are not what a run has kept; so for 1 tickets / -'], what)
FROM (VALUES ($$ '' $$, 'no byte'), ($$ '\xff' $$, 'another form'), ($$ '\x02' $$, 'nothing behind the form'), ($$ '\x020000' $$, 'values that are missing'), ($$ inputs || '\x00' $$, 'a byte more'),
    ($$ substr(inputs, 1, length(inputs) - 1) $$, 'a byte less'), ($$ set_byte(inputs, 2, 255) $$, 'a kind that there is not'), ($$ set_byte(inputs, 4, 255) $$, 'what is no text'), ($$ '\x02ffffffffffffffffffffffffffffffffffffff7f' $$, 'a number that is too large')) AS v(value, what);
SELECT format('%s -: inputs are not what a run has kept; so for %s tickets / -', min(l.ticket_key), count(*)) AS unnamed
FROM (SELECT ticket_key, (array_agg(run_id ORDER BY revision DESC))[1] AS run_id FROM shop.sheet WHERE source_id <> 0 GROUP BY ticket_key HAVING sum(tickets) = 1) AS l WHERE l.run_id = 1 \gset
SELECT results_eq($$ SELECT found($c$ ALTER TABLE shop.run DISABLE TRIGGER ALL; UPDATE shop.run SET input_names = input_names #- '{job,c,0}' WHERE run_id = 1 $c$) $$, ARRAY[:'unnamed'], 'names that do not fit');
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'nothing of it stays');

----------------------------------------------------------------------------------------------------
-- Columns that are gone or of another type say so
----------------------------------------------------------------------------------------------------
CREATE FUNCTION after(changes text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE changes;
    RETURN QUERY SELECT coalesce(r.rule, '-') || ': ' || coalesce(r.expected, '-') || ' / ' || coalesce(r.found, '-') FROM settle.replay('shop') AS r;
    RAISE EXCEPTION SQLSTATE 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
SELECT set_eq($$ SELECT regexp_replace(after('ALTER TABLE job RENAME pieces TO units'), 'for \d+', 'for n') $$, ARRAY['-: name "pieces" is not known here; so for n tickets / -'], 'a column under another name');
SELECT is_empty($$ SELECT after('ALTER TABLE job ADD COLUMN more text, DROP COLUMN spare, ALTER pieces TYPE bigint') $$, 'other columns, and a wider type, are no difference');
SELECT isnt_empty($$ SELECT after('ALTER TABLE job ALTER pieces TYPE date USING done') $$, 'a type that the rules cannot use');
SELECT set_eq($$ SELECT regexp_replace(after('DROP TABLE job CASCADE'), 'for \d+', 'for n') $$, ARRAY['-: the relation of its source is gone; so for n tickets / -'], 'a relation that is gone');

----------------------------------------------------------------------------------------------------
-- Since, digests, the sample of settle.check
----------------------------------------------------------------------------------------------------
SELECT is_empty($$ SELECT found('UPDATE shop.sheet SET inputs = NULL WHERE false') $$, 'no difference');
SELECT is_empty($$ SELECT * FROM settle.replay('shop', since => now() + interval '1 day') $$, 'nothing was posted since tomorrow');
CREATE FUNCTION checked(changes text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    ALTER TABLE shop.sheet DISABLE TRIGGER ALL;
    EXECUTE changes;
    RETURN QUERY SELECT c.invariant FROM settle.check('shop') AS c;
    RAISE EXCEPTION SQLSTATE 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
SELECT set_eq($$ SELECT checked($c$ UPDATE shop.sheet AS s SET inputs = spelt(replace(said(s.ticket_key), '"price":', '"price":1')) WHERE source_id <> 0 $c$) $$,
    ARRAY['tickets computed again from what was kept give what is posted'], 'settle.check computes a sample again');
UPDATE shop.book SET keep_inputs = false;
UPDATE job SET price = price + 1, at = coalesce(at, '2025-05-01');
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT count(*) FROM shop.sheet_inputs WHERE inputs::text ~ '^\{"sha256":"[0-9a-f]{64}"\}$' AND source = 'job'), (SELECT count(*) FROM job), 'keep_inputs false keeps a digest of the same text');
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'which cannot be computed again');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'and all agrees');

SELECT * FROM finish();
