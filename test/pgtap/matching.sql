-- The index over conditions against PostgreSQL's own evaluation of them: random
-- rules over paths, texts, numbers and flags, each of which pays 1, must give a
-- line for exactly the tickets that their condition is true of.  And however
-- the rules come, in a session or in its workers, the lines are the same.
\set ON_ERROR_STOP on
\pset pager off
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;

SELECT plan(8);

CREATE TABLE visit (id int PRIMARY KEY, done_at timestamptz NOT NULL, region ltree, kind text, code int, far bigint, rush boolean, amount numeric);
SELECT setseed(0.25) \g /dev/null
-- labels of one to twenty bytes, some of which begin as others do
CREATE TABLE label AS SELECT row_number() OVER () AS n, l AS label
FROM unnest('{a,b,a1,a10,abc,abcd,abcdefg,abcdefgh,abcdefghi,abcdefghj,abcdefghijklmnopqrst,x_2}'::text[]) AS l;
CREATE FUNCTION draw(n int) RETURNS int LANGUAGE sql VOLATILE RETURN floor(random() * n)::int;
CREATE FUNCTION path() RETURNS text LANGUAGE sql VOLATILE
RETURN (SELECT coalesce(string_agg(l.label, '.'), '') FROM generate_series(1, draw(5)) AS level CROSS JOIN LATERAL (SELECT label FROM label WHERE n = 1 + draw(12 - 2 * level) LIMIT 1) AS l);

INSERT INTO visit
SELECT i, timestamptz '2025-11-01 00:00+00' + i * interval '1 minute', CASE WHEN draw(20) > 0 THEN path()::ltree END,
	CASE WHEN draw(20) > 0 THEN (SELECT label FROM label WHERE n = 1 + i % 12) END,
	CASE WHEN draw(20) > 0 THEN draw(60) - 10 END, CASE draw(3) WHEN 0 THEN draw(9)::bigint * 1000000007 ELSE draw(9) END,
	CASE draw(5) WHEN 0 THEN NULL ELSE draw(2) = 1 END,
	CASE draw(40) WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-Infinity' ELSE (draw(4001) - 2000) * 0.25 END
FROM generate_series(1, 1500) AS i;

SELECT settle.create_book('matching', time_zone => 'UTC', currency => 'CNY') \g /dev/null
SELECT settle.add_source('matching', 'visit', 'visit', key => 'id', ready_at => 'done_at') \g /dev/null
CREATE TABLE condition AS
SELECT n, concat_ws(' AND ',
	CASE draw(3) WHEN 0 THEN format('region <@ %L', path()) WHEN 1 THEN format('region IN (%L, %L)', path(), path()) END,
	CASE draw(4) WHEN 0 THEN format('kind = %L', (SELECT label FROM label WHERE label.n = 1 + draw(12) LIMIT 1)) WHEN 1 THEN 'kind IN (''a'', ''abcdefghi'', ''nowhere'')' END,
	CASE draw(4) WHEN 0 THEN format('code = %s', draw(60) - 10) WHEN 1 THEN 'code IN (-10, 3, 2000000)' WHEN 2 THEN format('code >= %s', draw(60) - 10) END,
	CASE draw(6) WHEN 0 THEN format('far = %s', draw(9)::bigint * 1000000007) WHEN 1 THEN 'far IN (1, 2, 7000000049)' END,
	CASE draw(5) WHEN 0 THEN 'rush' WHEN 1 THEN 'NOT rush' END,
	CASE draw(3) WHEN 0 THEN format('amount > %s', (draw(4001) - 2000) * 0.25) WHEN 1 THEN format('amount <= %s', (draw(4001) - 2000) * 0.125) END,
	'id > 0') AS condition
FROM generate_series(1, 1400) AS n;
INSERT INTO matching.rule (code, component, choice, source, payer, payee, base, applies_when, tiers)
SELECT 'r' || n, 'pay', 'all', 'visit', 'hq', 'staff:1', '1', condition, '100%' FROM condition;
-- of few rules all are intersected, of many only those that are left
SELECT settle.create_book('few', time_zone => 'UTC', currency => 'CNY') \g /dev/null
SELECT settle.add_source('few', 'visit', 'visit', key => 'id', ready_at => 'done_at') \g /dev/null
INSERT INTO few.rule (code, component, choice, source, payer, payee, base, applies_when, tiers)
SELECT 'r' || n, 'pay', 'all', 'visit', 'hq', 'staff:1', '1', condition, '100%' FROM condition WHERE n <= 300;

CREATE TABLE wanted (id int, rule text);
SELECT format('INSERT INTO wanted SELECT id, %L FROM visit WHERE %s', 'r' || n, condition) FROM condition \gexec
CREATE TABLE kept AS SELECT settle.rules('matching') AS rules;
CREATE TABLE got AS
SELECT v.id, l.rule FROM visit AS v CROSS JOIN LATERAL settle.unnest(settle.evaluate((SELECT settle.rules('matching')), v, source => 'visit')) AS l;

SELECT cmp_ok((SELECT count(*) FROM wanted), '>', 5000::bigint, 'conditions hold often');
SELECT is_empty('TABLE got EXCEPT TABLE wanted', 'no rule pays where its condition does not hold');
SELECT is_empty('TABLE wanted EXCEPT TABLE got', 'every rule pays where its condition holds');
SELECT is((SELECT count(*) FROM got), (SELECT count(*) FROM wanted), 'and once');
SELECT results_eq($$ SELECT v.id, l.rule FROM visit AS v CROSS JOIN LATERAL settle.unnest(settle.evaluate((SELECT settle.rules('few')), v, source => 'visit')) AS l ORDER BY 1, 2 $$,
	'SELECT * FROM wanted WHERE ltrim(rule, ''r'')::int <= 300 ORDER BY 1, 2', 'nor do few rules pay otherwise than many');

SELECT cmp_ok((SELECT pg_column_size(rules) FROM kept), '<', (SELECT pg_column_size(settle.rules('matching'))), 'a ruleset in a table is packed');
SELECT results_eq($$ SELECT v.id, l.rule FROM kept, visit AS v CROSS JOIN LATERAL settle.unnest(settle.evaluate(kept.rules, v, source => 'visit')) AS l ORDER BY 1, 2 $$,
	'SELECT * FROM got ORDER BY 1, 2', 'and gives the same lines');

SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT results_eq($$ SELECT count(*), count(DISTINCT v.id) FROM visit AS v CROSS JOIN LATERAL settle.unnest(settle.evaluate((SELECT settle.rules('matching')), v, source => 'visit')) AS l $$,
	'SELECT count(*), count(DISTINCT id) FROM got', 'so do workers that share the table');

SELECT finish();
