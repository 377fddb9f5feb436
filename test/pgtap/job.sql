-- settle.tick: what is due is done once, in parts with commits; what fails stands
-- in job_run and stops nothing else; pg_cron calls it where it is there.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS job_clerk, job_owner;
CREATE ROLE job_clerk;
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT settle.create_book('repairs') \g /dev/null
SELECT settle.grant_access('repairs', 'job_clerk', 'clerk') \g /dev/null
SELECT settle.add_rule('repairs', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%') \g /dev/null
CREATE VIEW public.job_run AS SELECT job_run_id, what, actor, figures ->> 'tickets' AS tickets, figures ->> 'runs' AS runs, error FROM repairs.job_run;

CALL settle.tick('repairs');
SELECT is_empty('SELECT * FROM public.job_run', 'nothing is due, and nothing is noted');
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) SELECT i, '2025-11-11', 'a', 'b', i, 100 FROM generate_series(1, 5) AS i;
CALL settle.tick('repairs');
SELECT results_eq('SELECT what, actor, tickets, runs, error FROM public.job_run ORDER BY job_run_id', $$ VALUES ('run', 'postgres', '5', NULL, NULL::text), ('fold', 'postgres', NULL, NULL, NULL), ('seal', 'postgres', NULL, '1', NULL) $$, 'five tickets are settled, their sheets added to the totals, and their run is sealed');
SELECT is((SELECT count(*) FROM repairs.sheet), 5::bigint, 'they are');
SELECT ok(settle.anchor('repairs') LIKE '1:%' AND NOT EXISTS (SELECT FROM settle.verify('repairs')) AND NOT EXISTS (SELECT FROM settle.check('repairs')), 'it is, and all is well');
CALL settle.tick('repairs');
SELECT is((SELECT count(*) FROM public.job_run), 3::bigint, 'the next one finds nothing to do');
-- what a ticket waits for is due when its time has come
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('later', now() + interval '1 hour', 'a', 'b', 1, 100);
CALL settle.tick('repairs');
SELECT is((SELECT count(*) FROM repairs.sheet WHERE ticket_key = 'later'), 0::bigint, 'not before');
UPDATE repairs.waiting SET due_at = now();
UPDATE repairs.ticket SET done_at = now() WHERE ticket_id = 'later';
CALL settle.tick('repairs');
SELECT is((SELECT count(*) FROM repairs.sheet WHERE ticket_key = 'later'), 1::bigint, 'then');

-- it commits, so it is no part of a transaction
SELECT throws_ok($$ CALL settle.tick('repairs') $$, '2D000', NULL, 'inside a transaction');
SELECT throws_ok(format('CALL settle.tick(''repairs'', %s)', coalesce(seconds, 'null')), '22023', 'seconds must be positive, not ' || coalesce(seconds, 'null'), 'no time') FROM unnest('{0,-1,null}'::text[]) AS seconds;
SELECT throws_ok($$ SELECT settle.work('repairs', 'x') $$, '22023', 'unknown step "x"', 'a step that is none');
SELECT throws_ok($$ SELECT settle.work('repairs', NULL) $$, '22023', NULL, 'no step');

-- what fails is noted and tried again, and the rest is done
ALTER TABLE repairs.ticket RENAME COLUMN worker TO technician;
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, technician, amount) VALUES ('6', '2025-11-11', 'a', 'b', 6, 100);
DELETE FROM repairs.job_run;
INSERT INTO repairs.unsealed SELECT run_id FROM repairs.run ORDER BY run_id LIMIT 0;
CALL settle.tick('repairs');
CALL settle.tick('repairs');
SELECT is((SELECT string_agg(what || ' ' || left(error, 5), ', ' ORDER BY job_run_id) FROM public.job_run), 'run 42703, run 42703', 'a rule that does not compile any more');
SELECT is((SELECT count(*) || ' ' || min(object) FROM repairs.alert WHERE kind = 'job' AND ended_at IS NULL), '1 run', 'one alert');
SELECT results_eq($$ SELECT step, failures, error, last_run > last_success FROM repairs.job $$,
    $$ VALUES ('ingest', 0::bigint, NULL::text, false), ('customers', 0, NULL, false), ('links', 0, NULL, false), ('campaigns', 0, NULL, false), ('staff', 0, NULL, false), ('orders', 0, NULL, false), ('assign', 0, NULL, false), ('special', 0, NULL, false), ('run', 2, '42703: name "worker" is not known here', true), ('fold', 0, NULL, false), ('watch', 0, NULL, false), ('seal', 0, NULL, false), ('reduce', 0, NULL, false), ('clean', 0, NULL, false), ('alerts', 0, NULL, false) $$, 'the view tells which step fails, how often and why');
SELECT is((SELECT count(*) FROM repairs.sheet WHERE ticket_key = '6'), 0::bigint, 'nothing half done');
ALTER TABLE repairs.ticket RENAME COLUMN technician TO worker;
CALL settle.tick('repairs');
SELECT is((SELECT string_agg(what, ' ' ORDER BY job_run_id) FROM public.job_run WHERE error IS NULL), 'run fold seal', 'and once it does again');
SELECT is((SELECT count(*) FROM repairs.sheet WHERE ticket_key = '6'), 1::bigint, 'the ticket is settled');

SELECT results_eq($$ SELECT step, failures, error, delay FROM repairs.job WHERE step = 'run' $$, $$ VALUES ('run', 0::bigint, NULL::text, interval '0') $$, 'and that it does no more');
-- nobody calls it: the view tells, and what was missed is caught up with
BEGIN;
UPDATE repairs.job_step SET succeeded_at = now() - interval '10 minutes' WHERE step = 'run';
DELETE FROM repairs.job_step WHERE step = 'seal';
UPDATE repairs.book SET created_at = now() - interval '1 hour';
SELECT results_eq($$ SELECT step, last_run IS NULL, delay FROM repairs.job WHERE step IN ('run', 'seal') $$, $$ VALUES ('run', false, interval '9 minutes'), ('seal', true, interval '59 minutes') $$, 'late by so much more than a minute; one that never ran since the book was made');
UPDATE repairs.book SET tick_interval = '10 minutes';
SELECT results_eq($$ SELECT step, delay FROM repairs.job WHERE step IN ('run', 'seal') $$, $$ VALUES ('run', interval '0'), ('seal', interval '50 minutes') $$, 'or than what the book says');
ROLLBACK;

-- old rows go
UPDATE repairs.job_run SET started_at = now() - interval '31 days';
UPDATE repairs.ticket SET amount = 200 WHERE ticket_id = '6';
SET SESSION AUTHORIZATION job_clerk;
CALL settle.tick('repairs', 1);
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT what, actor FROM public.job_run ORDER BY job_run_id', $$ VALUES ('run', 'job_clerk'), ('fold', 'job_clerk'), ('seal', 'job_clerk'), ('clean', 'job_clerk') $$, 'what is older than thirty days is gone; a clerk may call it, and stands there');

----------------------------------------------------------------------------------------------------
-- pg_cron
----------------------------------------------------------------------------------------------------
SELECT throws_ok(statement, '55000', format('pg_cron is not in database "%s"', current_database()), statement) FROM unnest(ARRAY['SELECT settle.schedule(''repairs'')', 'SELECT settle.unschedule(''repairs'')']) AS statement;
-- it lives in one database of a server
SELECT coalesce((SELECT d.datname FROM pg_database AS d WHERE d.datname = current_setting('cron.database_name', true)), '') AS cron \gset
SELECT :'cron' <> '' AND current_setting('shared_preload_libraries') LIKE '%pg_cron%' AS there \gset
\if :there
    \set connection 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=' :cron
    SELECT dblink_connect('cron', :'connection') \g /dev/null
    -- its database is one file's at a time
    SELECT locked FROM dblink('cron', 'SELECT pg_advisory_lock(hashtext(''pg_cron''))::text') AS l (locked text) \g /dev/null
    SELECT dblink_exec('cron', 'SET client_min_messages = warning; CREATE EXTENSION pg_cron; CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE') \g /dev/null
    CREATE FUNCTION public.cron(statement text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE answer text;
    BEGIN
        SELECT string_agg(a, E'\n') INTO answer FROM dblink('cron', statement) AS t(a text);
        RETURN answer;
    EXCEPTION WHEN OTHERS THEN
        RETURN SQLSTATE || ': ' || SQLERRM;
    END $$;
    SELECT public.cron($$ SELECT settle.create_book('job book') $$) \g /dev/null
    SELECT is(public.cron($$ SELECT settle.unschedule('"job book"') $$), '42704: book ""job book"" is not scheduled', 'nothing to end');
    SELECT is(public.cron($$ SELECT settle.schedule('"job book"', 'at noon') $$), '22023: invalid schedule: at noon', 'a schedule that is none');
    SELECT public.cron($$ SELECT settle.schedule('"job book"', '0 3 1 1 *') $$) AS first, public.cron($$ SELECT settle.schedule('"job book"', '0 4 1 1 *') $$) AS second \gset
    SELECT is(:'first'::text, :'second'::text, 'a book has one job');
    SELECT is(public.cron($$ SELECT concat_ws('|', schedule, command, database, username, active) FROM cron.job WHERE jobname LIKE 'scrm_settle%' $$),
        format('0 4 1 1 *|CALL settle.tick(''"job book"'')|%s|postgres|t', :'cron'), 'as the owner of the book');
    SELECT is(public.cron($$ SELECT settle.unschedule('"job book"') $$), '', 'its end');
    SELECT is(public.cron($$ SELECT count(*) FROM cron.job $$), '0', 'no job is left');
    -- an owner like any other, to whom pg_cron shows what is his own
    SELECT dblink_exec('cron', format('CREATE ROLE job_owner LOGIN; GRANT USAGE ON SCHEMA cron TO job_owner; GRANT CREATE ON DATABASE %I TO job_owner; SET SESSION AUTHORIZATION job_owner', :'cron')) \g /dev/null
    SELECT public.cron('SELECT settle.create_book(''job_own'')') \g /dev/null
    SELECT ok(public.cron('SELECT settle.schedule(''job_own'')') ~ '^\d+$', 'his job');
    SELECT is(public.cron('SELECT concat_ws(''|'', command, username) FROM cron.job'), 'CALL settle.tick(''job_own'')|job_owner', 'runs as he');
    SELECT is(public.cron('SELECT settle.unschedule(''job_own'')'), '', 'he ends it');
    SELECT dblink_exec('cron', $$ RESET SESSION AUTHORIZATION; INSERT INTO cron.job_run_details (jobid, runid, database, username, command, end_time)
        SELECT 0, n, current_database(), who, 'CALL settle.tick(''job_own'')', now() - days * interval '1 day' FROM (VALUES (-1, 'job_owner', 31), (-2, 'job_owner', 29), (-3, 'postgres', 31)) AS v(n, who, days) $$) \g /dev/null
    SELECT is(public.cron('SELECT settle.work(''job_own'', ''clean'')'), 'f', 'his tick');
    SELECT is(public.cron('SELECT figures - ''messages'' FROM job_own.job_run'), '{"job_runs": 0, "cron_runs": 1}', 'cleans');
    SELECT is(public.cron('SELECT string_agg(runid::text, '' '' ORDER BY runid) FROM cron.job_run_details WHERE jobid = 0'), '-3 -2', 'what is old and his');
    SELECT dblink_exec('cron', 'DROP SCHEMA job_own CASCADE; DROP OWNED BY job_owner; DROP ROLE job_owner') \g /dev/null
    -- pg_cron 1.4 notices that it was dropped only where nothing drowns it
    SELECT dblink_exec('cron', 'DROP EXTENSION pg_cron'), pg_sleep(2) \g /dev/null
    SELECT dblink_exec('cron', 'DROP SCHEMA "job book" CASCADE; DROP EXTENSION scrm_settle'), dblink_disconnect('cron') \g /dev/null
\else
    SELECT skip('pg_cron is not loaded on this server', 12);
\endif
DROP OWNED BY job_clerk;
DROP ROLE job_clerk;
SELECT * FROM finish();
