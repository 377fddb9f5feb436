-- The same text of a rule means the same in every session: four connections
-- with other time zones, date styles, paths and habits define a book, write its
-- tickets, run it and evaluate, and all come to the same.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT plan(15);
\set connection 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=' :DBNAME

-- a stranger's idea of comparing, adding and lower case, which comes first on one session's path
CREATE SCHEMA stranger;
CREATE FUNCTION stranger.never(numeric, numeric) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN false;
CREATE FUNCTION stranger.never(numeric, int) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN false;
CREATE FUNCTION stranger.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN false;
CREATE FUNCTION stranger.lower(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'stranger';
CREATE OPERATOR stranger.>= (FUNCTION = stranger.never, LEFTARG = numeric, RIGHTARG = numeric);
CREATE OPERATOR stranger.>= (FUNCTION = stranger.never, LEFTARG = numeric, RIGHTARG = int);
CREATE OPERATOR stranger.>= (FUNCTION = stranger.never, LEFTARG = timestamptz, RIGHTARG = timestamptz);
CREATE TYPE stranger.ltree AS (x int);

CREATE TABLE public.visit (id int, at timestamptz, fee numeric);
-- what each session does
CREATE FUNCTION public.define(book name) RETURNS void LANGUAGE sql AS $sql$
    SELECT settle.create_book(book, time_zone => 'Asia/Shanghai');
    -- midnight of book time, the order of day and month, a backslash, a null, a path, a number as text
    SELECT settle.add_rule(book::text::regnamespace, 'sale', 'sale', 'hq', 'staff:{lower(worker)}', base => 'amount', tiers => '10%',
        applies_when => $$ done_at >= '2025-11-11' and done_at < '2025-11-12 00:00' and amount >= 5 $$);
    SELECT settle.add_rule(book::text::regnamespace, 'date', 'date', 'hq', 'on:{done_at::date}', base => 'extract(day from done_at) + extract(hour from done_at) / 100',
        applies_when => $$ done_at::date >= '2025-01-02' $$);
    SELECT settle.add_rule(book::text::regnamespace, 'text', 'text', 'hq', 'p', base => '1', applies_when => $$ channel = 'a\nb' and project <@ 'job' $$);
    SELECT settle.add_rule(book::text::regnamespace, 'null', 'null', 'hq', 'p', base => '1', applies_when => $$ level = null $$);
    SELECT settle.add_rule(book::text::regnamespace, 'month', 'month', 'hq', 'p:{to_char(done_at, ''Mon YYYY'')}', base => 'amount', tiers => '1%', accumulate => 'month');
    SELECT settle.add_source(book::text::regnamespace, 'visit', 'public.visit', key => $$ id || '/' || at::date $$, ready_at => 'at', revenue => 'fee');
    SELECT settle.add_rule(book::text::regnamespace, 'visit', 'visit', 'hq', 'p', base => 'fee', source => 'visit');
$sql$;
CREATE TABLE public.session (n int, book name, settings text);
INSERT INTO public.session VALUES
    (1, 'one', $$ SET timezone = 'Asia/Shanghai' $$),
    (2, 'two', $$ SET timezone = 'America/New_York'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'iso_8601'; SET search_path = stranger, pg_catalog, public $$),
    (3, 'three', $$ SET timezone = '<x>-11'; SET datestyle = 'German'; SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on; SET search_path = ''  $$),
    (4, 'four', $$ SET timezone = 'Pacific/Apia'; SET datestyle = 'Postgres, MDY'; SET transform_null_equals = on; SET extra_float_digits = -3; SET bytea_output = 'escape'; SET quote_all_identifiers = on;
        SET timezone_abbreviations = 'India'; SET lc_time = 'C.UTF-8'; SET plan_cache_mode = 'force_generic_plan'; SET force_parallel_mode = on; SET enable_seqscan = off $$);
SELECT dblink_connect('s' || n, :'connection'), dblink_exec('s' || n, settings) FROM public.session \g /dev/null
CREATE FUNCTION public.say(n int, statement text) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(row, E'\n') FROM dblink('s' || n, statement) AS t(row text));

SELECT public.say(n, format('SELECT public.define(%L)::text', book)) FROM public.session ORDER BY n \g /dev/null
SELECT is((SELECT count(DISTINCT settle.digest(settle.rules(book::text::regnamespace))) FROM public.session), 1::bigint, 'four sessions define the same rules');

-- each writes the same tickets, here and there of midnight in Shanghai
SELECT dblink_exec('s' || n, format($$ INSERT INTO %I.ticket (ticket_id, done_at, project, region, channel, worker, level, amount) VALUES
    ('1', '2025-11-10T15:59:59Z', 'job', 'cn', E'a\\nb', 'W', NULL, 100), ('2', '2025-11-10T16:00:00Z', 'job', 'cn', E'a\nb', 'W', 'gold', 100),
    ('3', '2025-11-11T15:59:59Z', 'job', 'cn', NULL, 'W', NULL, 5), ('4', '2025-11-11T16:00:00Z', 'job', 'cn', NULL, 'W', NULL, 7) $$, book)) FROM public.session ORDER BY n \g /dev/null
SELECT public.say(n, format('SELECT tickets::text FROM settle.run(%L::regnamespace)', book)) FROM public.session ORDER BY n \g /dev/null
CREATE FUNCTION public.lines(book name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE lines text;
BEGIN
    EXECUTE format('SELECT string_agg(l, E''\n'' ORDER BY l COLLATE "C") FROM (SELECT concat_ws('' '', ticket_key, component, payee, base, amount, period) FROM %I.line_detail WHERE source = ''ticket'') AS x(l)', book) INTO lines;
    RETURN lines;
END $$;
SET datestyle = 'ISO';
SELECT is(public.lines('one'), array_to_string(ARRAY[
    '1 date on:2025-11-10 10.230000 10.23 2025-11-01', '1 month p:Nov 2025 100.000000 1.00 2025-11-01', '1 text p 1.000000 1.00 2025-11-01',
    '2 date on:2025-11-11 11.000000 11.00 2025-11-01', '2 month p:Nov 2025 100.000000 1.00 2025-11-01', '2 sale staff:w 100.000000 10.00 2025-11-01',
    '3 date on:2025-11-11 11.230000 11.23 2025-11-01', '3 month p:Nov 2025 5.000000 0.05 2025-11-01', '3 sale staff:w 5.000000 0.50 2025-11-01',
    '4 date on:2025-11-12 12.000000 12.00 2025-11-01', '4 month p:Nov 2025 7.000000 0.07 2025-11-01'], E'\n'), 'the day begins at midnight in Shanghai');
SELECT is(public.lines(book), public.lines('one'), format('session %s pays the same (%s)', n, left(settings, 30))) FROM public.session WHERE n > 1 ORDER BY n;

-- evaluating needs no book: the same value, the same row, the same lines
CREATE TABLE public.rules AS SELECT settle.rules('one') AS r;
CREATE VIEW public.evaluated AS SELECT string_agg(settle.evaluate(r, t, source => 'ticket')::text, E'\n' ORDER BY t.ticket_id) AS lines FROM public.rules, one.ticket AS t;
SELECT is(public.say(n, 'SELECT lines FROM public.evaluated'), (SELECT lines FROM public.evaluated), format('session %s evaluates the same', n)) FROM public.session ORDER BY n;

-- a key that is made of a date is one key, whoever writes the row
SELECT dblink_exec('s' || n, format($$ INSERT INTO public.visit VALUES (%s, '2025-11-10T16:30:00Z', 10) $$, n)) FROM public.session \g /dev/null
SELECT dblink_exec('s' || n, format($$ UPDATE public.visit SET fee = 20 WHERE id = %s $$, n % 4 + 1)) FROM public.session \g /dev/null
SELECT is((SELECT string_agg(DISTINCT ticket_key, ' ') FROM one.pending), '1/2025-11-11 2/2025-11-11 3/2025-11-11 4/2025-11-11', 'four sessions note one key for a row');
SELECT is(public.say(2, $$ SELECT tickets || ' ' || amount FROM settle.run('one') $$), '4 80.00', 'a run finds their rows');
SELECT is((SELECT count(*) FROM settle.check('one')), 0::bigint, 'nothing is left over');

SELECT dblink_disconnect('s' || n) FROM public.session \g /dev/null

-- the extension and a book are made in a session that takes a backslash for an escape
CREATE DATABASE settings_escapes TEMPLATE template0;
\set there 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=settings_escapes'
SELECT dblink_connect('there', :'there') \g /dev/null
SELECT dblink_exec('there', statement) FROM (VALUES (1, 'SET standard_conforming_strings = off'), (2, 'SET client_min_messages = error'), (3, 'SET escape_string_warning = off'),
    (4, 'CREATE EXTENSION scrm_settle CASCADE'), (5, $$ DO 'BEGIN PERFORM settle.create_book(''four''); END' $$), (6, 'RESET standard_conforming_strings')) AS v (n, statement) ORDER BY n \g /dev/null
\set functions 'SELECT md5(string_agg(coalesce(p.prosrc, \'\') || coalesce(pg_get_function_sqlbody(p.oid), \'\'), \'\' ORDER BY p.oid::regprocedure::text COLLATE "C")) FROM pg_proc AS p WHERE p.pronamespace = \'settle\'::regnamespace'
\set fields 'SELECT md5(string_agg(f::text, \'\' ORDER BY f::text COLLATE "C")) FROM four.mapping_field AS f'
CREATE TABLE public.here AS SELECT (:functions) AS functions, (:fields) AS fields;
SELECT is(t.x, h.functions, 'functions are the same where a backslash escapes') FROM public.here AS h, dblink('there', :'functions') AS t (x text);
SELECT is(t.x, h.fields, 'and so is what a book reads of payloads') FROM public.here AS h, dblink('there', :'fields') AS t (x text);
SELECT is(t.x, '139****5678', 'and what is masked') FROM dblink('there', $$ SELECT settle.mask_phone('13912345678') $$) AS t (x text);
SELECT dblink_disconnect('there') \g /dev/null
DROP DATABASE settings_escapes;
SELECT * FROM finish();
