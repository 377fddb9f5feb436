-- settle.stat_progress(): other sessions see how far a long operation is, while it
-- is not committed; an end, an error and a cancel take it out. Others are held at
-- a lock while they are looked at.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS progress_reader, progress_stranger;
CREATE ROLE progress_reader;
CREATE ROLE progress_stranger;
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT settle.create_book('shop') \g /dev/null
UPDATE shop.book SET max_correction = NULL;
SELECT settle.grant_access('shop', 'progress_reader', 'reader') \g /dev/null
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '10%') \g /dev/null
SELECT settle.add_rule('shop', 'bad', 'bad', 'hq', 'dealer:{dealer}', base => 'amount / (amount - 13)', applies_when => $$channel = 'bad'$$) \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, dealer, amount) SELECT i, '2025-10-15', 'a', 'b', i % 7, 100 FROM generate_series(1, 3000) AS i;
SELECT current_database() AS database \gset
\set connection 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=' :database
SELECT dblink_connect('worker', :'connection'), dblink_connect('holder', :'connection') \g /dev/null
SELECT pid AS worker FROM dblink('worker', 'SELECT pg_backend_pid()') AS t(pid integer) \gset

-- has the worker begin a statement that a lock of the holder will stop, and waits until it stands there
CREATE PROCEDURE public.stop_at(held name, statement text, worker integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dblink_exec('holder', format('BEGIN; LOCK TABLE shop.%I IN SHARE MODE', held));
    PERFORM dblink_send_query('worker', statement);
    FOR i IN 1..200 LOOP
        EXIT WHEN EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = worker AND NOT l.granted AND l.relation = format('shop.%I', held)::regclass);
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
CREATE FUNCTION public.go_on() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM dblink_exec('holder', 'ROLLBACK');
    BEGIN
        SELECT r INTO answer FROM dblink_get_result('worker') AS t(r text);
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        answer := SQLSTATE;
    END;
    PERFORM * FROM dblink_get_result('worker', false) AS t(r text);
    RETURN answer;
END $$;
CREATE FUNCTION public.progress() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', book, operation || ':', phase || ',', done, 'of', coalesce(total::text, '?')), '; ') FROM settle.stat_progress() $$;

SELECT is(public.progress(), NULL, 'nobody is at anything');
CALL public.stop_at('sheet', 'SELECT tickets::text FROM settle.run(''shop'')', :worker);
SELECT is(public.progress(), 'shop run: posting, 3000 of 3000', 'a run, before anything of it is committed');
SELECT is((SELECT pid FROM settle.stat_progress()), :worker, 'whose it is');
SELECT ok(rate > 0 AND started_at < clock_timestamp() AND expected_end >= started_at, 'how fast it goes, and until when') FROM settle.stat_progress();
SET ROLE progress_reader;
SELECT is(public.progress(), 'shop run: posting, 3000 of 3000', 'who may read the book sees it, without pg_read_all_stats');
SELECT is((SELECT count(*) FROM pg_stat_get_progress_info('COPY') WHERE pid = :worker AND param20 IS NOT NULL), 0::bigint, 'where PostgreSQL shows him the process only');
SET ROLE progress_stranger;
SELECT is(public.progress(), NULL, 'a stranger does not');
RESET ROLE;
SELECT is(public.go_on(), '3000', 'it ends');
SELECT is(public.progress(), NULL, 'and is not shown any more');

-- cancelled, and failed
UPDATE shop.ticket SET amount = 200;
CALL public.stop_at('sheet', 'SELECT tickets::text FROM settle.run(''shop'')', :worker);
SELECT is(public.progress(), 'shop run: posting, 3000 of 3000', 'another run');
SELECT is(dblink_cancel_query('worker'), 'OK', 'is cancelled');
SELECT is(public.go_on(), '57014', 'so it fails');
SELECT is(public.progress(), NULL, 'and is not shown any more');
UPDATE shop.ticket SET channel = 'bad', amount = 13 WHERE ticket_id::integer <= 1000;
SELECT is((SELECT r FROM dblink('worker', $$ DO $do$ BEGIN PERFORM settle.run('shop'); EXCEPTION WHEN division_by_zero THEN NULL; END $do$ $$) AS t(r text)), 'DO', 'one that fails in a block');
SELECT is(public.progress(), NULL, 'is not shown any more');
UPDATE shop.ticket SET channel = NULL WHERE ticket_id::integer > 10;
-- chunks that fail roll back to a savepoint, which takes the place away
CALL public.stop_at('sheet', 'SELECT tickets::text FROM settle.run(''shop'')', :worker);
SELECT is(split_part(public.progress(), ',', 1), 'shop run: posting', 'a run some of whose tickets fail');
SELECT isnt(public.go_on(), '57014', 'goes on');
SELECT is(public.progress(), NULL, 'to its end');

-- the others
CALL public.stop_at('sealed_run', 'SELECT settle._seal(''shop'')::text', :worker);
SELECT matches(public.progress(), '^shop seal: hashing, [1-9][0-9]* of [1-9][0-9]*$', 'a seal');
SELECT is(public.go_on(), '2', 'of two runs');
UPDATE shop.ticket SET channel = NULL;
CALL public.stop_at('statement', 'SELECT settle.close_period(''shop'', ''2025-10-01'')::text', :worker);
SELECT is(public.progress(), 'shop close_period: making statements, 0 of ?', 'a close');
SELECT is(public.go_on(), '', 'that ends');
UPDATE shop.ticket SET amount = 300, done_at = '2025-11-15';
CALL public.stop_at('sheet', 'SELECT settle.close_period(''shop'', ''2025-11-01'')::text', :worker);
SELECT is(public.progress(), 'shop close_period: posting, 3000 of 3000', 'the run that a close makes goes by its name');
SELECT is(public.go_on(), '', 'that ends');
INSERT INTO shop.staging (platform, kind, shop, payload) SELECT 'nobody', 'order', '1', '{"a": 1}' FROM generate_series(1, 300);
CALL public.stop_at('staging', 'SELECT payloads::text FROM settle.ingest(''shop'')', :worker);
SELECT is(public.progress(), 'shop ingest: merging, 300 of 300', 'an ingest');
SELECT is(public.go_on(), '300', 'that ends');
SELECT is(public.progress(), NULL, 'nobody is at anything');

----------------------------------------------------------------------------------------------------
-- settle.run_all says how far it is, to its client and by its name
----------------------------------------------------------------------------------------------------
UPDATE shop.ticket SET amount = 400;
CALL public.stop_at('sheet', 'CALL settle.run_all(''shop'', 1000)', :worker);
SELECT is((SELECT application_name FROM pg_stat_activity WHERE pid = :worker), 'scrm_settle: run_all shop, 0 tickets', 'its name says what a session is at');
SELECT is(dblink_cancel_query('worker'), 'OK', 'it is cancelled');
SELECT is(public.go_on(), '57014', 'so it fails');
SELECT is((SELECT r FROM dblink('worker', 'SHOW application_name') AS t(r text)), '', 'and the name is as before');
\setenv PGAPPNAME before
\set said `psql -Xq -c "CALL settle.run_all('shop', 1000, '0 seconds')" -c 'SHOW application_name' -At 2>&1 | sed -E 's/[0-9]+ a second, [0-9]+ sec/N a second, N sec/' | uniq`
SELECT matches(:'said'::text, '^NOTICE:  [0-9]+ of 1000 tickets of book "shop", N a second, N seconds left\n', 'how far each run is');
SELECT matches(:'said'::text, E'\nNOTICE:  1000 tickets settled\n', 'how far it is itself');
SELECT matches(:'said'::text, E'\nbefore$', 'and its name is given back');
UPDATE shop.ticket SET amount = 500 WHERE ticket_id::integer > 2000;
\set said `psql -Xq -c "CALL settle.run_all('shop', 100)" 2>&1`
SELECT is(:'said'::text, '', 'what is done soon says nothing');
UPDATE shop.ticket SET amount = 600 WHERE ticket_id::integer > 2000;
\set said `psql -Xq -c "CALL settle.run_all('shop', 100, NULL)" 2>&1`
SELECT is(:'said'::text, '', 'nor what is told not to');
SELECT is((SELECT count(*) FROM shop.pending), 0::bigint, 'all is settled');

SELECT dblink_disconnect('worker'), dblink_disconnect('holder') \g /dev/null
DROP OWNED BY progress_reader;
DROP ROLE progress_reader, progress_stranger;
SELECT * FROM finish();
