-- A real pg_cron: a ticket that is inserted becomes a line, and so does an order
-- whose payload a connector lands, which may do nothing else.  Nobody calls
-- anything, and it takes less than five minutes.  One book stands in the database where pg_cron lives, another in this one.  The
-- wait ends when both have settled, at the next full minute.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT settle.create_book('other "book''s') \g /dev/null
-- what an error says beside its message
CREATE FUNCTION public.advice(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', detail, hint);
END $$;
CREATE FUNCTION public.schedule() RETURNS text LANGUAGE sql AS $$ SELECT public.advice('SELECT settle.schedule(''"other ""book''''s"'')') $$;
CREATE FUNCTION public.unschedule() RETURNS text LANGUAGE sql AS $$ SELECT public.advice('SELECT settle.unschedule(''"other ""book''''s"'')') $$;
SELECT is(settle._crontab_line('*/5 * * * *', $$CALL settle.tick('50%')$$), format($$*/5 * * * * psql -Xq -d '%s' -c 'CALL settle.tick('\''50\%%'\'')'$$, current_database()), 'the line of a crontab, for cron and for a shell');
SELECT throws_ok($$ SELECT settle.schedule('"other ""book''s"', '* * * * * *') $$, '22023', 'schedule "* * * * * *" has 6 fields, not five', 'seconds, which pg_cron would take for minutes');

SELECT coalesce((SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.database_name' AND s.setting IN (SELECT d.datname FROM pg_database AS d)), '') AS cron \gset
SELECT :'cron' <> '' AS there \gset
\if :there
    SELECT is(public.unschedule(), format(E'A server has it in one database, which its setting cron.database_name names: %I.\nWhere pg_cron is, a superuser says: %s', :'cron',
        format('SELECT cron.unschedule(j.jobid) FROM cron.job AS j WHERE j.jobname = %L AND j.database = %L;', 'scrm_settle "other ""book''s"', current_database())), 'where a job of another database is ended');
    -- the settings of pg_cron are not shown to everybody
    CREATE ROLE cron_other;
    ALTER SCHEMA "other ""book's" OWNER TO cron_other;
    SELECT ok(public.schedule() LIKE E'A server has it in one database, which its setting cron.database_name names.\nAny other scheduler does, by a line of a crontab: * * * * * psql % Where pg_cron is, a superuser says: SELECT cron.schedule\\_in\\_database(%', 'who is not shown them is told both');
    ALTER SCHEMA "other ""book's" OWNER TO CURRENT_USER;
    DROP ROLE cron_other;
    -- people are told to send what stands at the end of the hint
    SELECT substring(public.schedule() FROM 'SELECT cron\.schedule_in_database\(.*\);$') AS schedule, substring(public.unschedule() FROM 'SELECT cron\.unschedule\(.*;$') AS unschedule \gset
    \set connection 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=' :cron
    SELECT dblink_connect('cron', :'connection') \g /dev/null
    -- its database is one file's at a time
    SELECT locked FROM dblink('cron', 'SELECT pg_advisory_lock(hashtext(''pg_cron''))::text') AS l (locked text) \g /dev/null
    CREATE FUNCTION public.cron(statement text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(a, E'\n') FROM dblink('cron', statement) AS t(a text) $$;
    -- pg_cron 1.4 looks at what was changed once a second, and misses the change of
    -- a job that thousands of others drown: it is given time for each
    SELECT dblink_exec('cron', 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE') \g /dev/null
    SELECT public.cron('SELECT settle.create_book(''cron_test'')'), pg_sleep(2) \g /dev/null
    SELECT dblink_exec('cron', 'CREATE EXTENSION pg_cron'), pg_sleep(2) \g /dev/null

    -- an owner who may not
    SELECT dblink_exec('cron', 'DROP ROLE IF EXISTS cron_owner; CREATE ROLE cron_owner; CREATE SCHEMA cron_owner; ALTER SCHEMA cron_test OWNER TO cron_owner') \g /dev/null
    SELECT throws_ok($$ SELECT public.cron('SELECT settle.schedule(''cron_test'')') $$, '42501', 'role "cron_owner" may not use pg_cron', 'the owner of a book needs pg_cron');
    SELECT dblink_exec('cron', 'GRANT USAGE ON SCHEMA cron TO cron_owner') \g /dev/null
    SELECT throws_ok($$ SELECT public.cron('SELECT settle.schedule(''cron_test'')') $$, '55000', 'role "cron_owner" cannot log in', 'and to log in');
    SELECT dblink_exec('cron', 'REVOKE USAGE ON SCHEMA cron FROM cron_owner; ALTER SCHEMA cron_test OWNER TO CURRENT_USER; DROP SCHEMA cron_owner; DROP ROLE cron_owner') \g /dev/null

    SELECT ok(public.cron('SELECT settle.schedule(''cron_test'')') ~ '^\d+$', 'one job for the book beside pg_cron');
    SELECT ok(public.cron(:'schedule') ~ '^\d+$', 'one by the statement in the hint');
    SELECT settle.add_rule('"other ""book''s"', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', applies_when => 'channel IS NULL') \g /dev/null
    SELECT settle.add_rule('"other ""book''s"', 'install', 'install', 'hq', 'dealer:{t.region}', base => 'amount', tiers => '10%', applies_when => $$t.project <@ 'install'$$) \g /dev/null
    SELECT settle.add_order_ticket_rule('"other ""book''s"', 'install', $$needs_install AND lifecycle <> 'closed'$$, ticket => 'install', amount => 'net_paid', ready => 'completed_at') \g /dev/null
    INSERT INTO "other ""book's".region_alias VALUES ('浙江省', NULL, NULL, 'cn.zj');
    INSERT INTO "other ""book's".product (sku_code, project, needs_install) VALUES ('AC-35', 'ac', true);
    CREATE ROLE cron_puller;
    GRANT USAGE ON SCHEMA "other ""book's" TO cron_puller;
    GRANT INSERT (platform, payload) ON "other ""book's".staging TO cron_puller;
    SET ROLE cron_puller;
    INSERT INTO "other ""book's".staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
        "tid": 4400000000000000017, "seller_nick": "corner", "status": "TRADE_FINISHED", "created": "2025-11-02 10:00:00", "pay_time": "2025-11-02 10:00:29",
        "end_time": "2025-11-09 10:00:00", "modified": "2025-11-09 10:00:00", "total_fee": "2400.00", "post_fee": "50.00", "payment": "2450.00", "receiver_state": "浙江省",
        "orders": {"order": [{"oid": 4400000000000000018, "num": 1, "outer_sku_id": "AC-35", "price": "2400.00", "payment": "2400.00", "divide_order_fee": "2400.00", "refund_status": "NO_REFUND"}]}}}}');
    RESET ROLE;
    REVOKE ALL ON "other ""book's".staging FROM cron_puller;
    REVOKE ALL ON SCHEMA "other ""book's" FROM cron_puller;
    DROP ROLE cron_puller;
    INSERT INTO "other ""book's".ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-11', 'a', 'b', 1, 100);
    SELECT dblink_exec('cron', $$
        DO 'BEGIN PERFORM settle.add_rule(''cron_test'', ''fee'', ''fee'', ''hq'', ''staff:{worker}'', base => ''amount'', tiers => ''5%''); END';
        INSERT INTO cron_test.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-11', 'a', 'b', 1, 100) $$) \g /dev/null
    -- a run noted by pg_cron long ago goes with ours
    SELECT dblink_exec('cron', $$ INSERT INTO cron.job_run_details (jobid, runid, database, username, command, end_time) VALUES (0, 0, current_database(), current_user, 'CALL settle.tick(''cron_test'')', now() - interval '31 days') $$) \g /dev/null
    DO $$
    DECLARE
        here bigint;
        there bigint;
    BEGIN
        -- nearly five minutes, which are the statement_timeout of make check
        FOR half_second IN 1 .. 580 LOOP
            SELECT count(*) INTO here FROM "other ""book's".job_run WHERE what = 'seal';
            there := public.cron('SELECT count(*) FROM cron_test.job_run WHERE what = ''clean''');
            EXIT WHEN here > 0 AND there > 0;
            PERFORM pg_sleep(0.5);
        END LOOP;
    END $$;
    SELECT results_eq($$ SELECT payee, amount FROM "other ""book's".line_detail WHERE ticket_key = '1' $$, $$ VALUES ('staff:1', 5.00) $$, 'a ticket has become a line');
    SELECT results_eq($$ SELECT ticket_key, payee, amount FROM "other ""book's".line_detail WHERE ticket_key <> '1' $$,
        $$ VALUES ('taobao:corner:4400000000000000017:4400000000000000018:install', 'dealer:cn.zj', 240.00) $$, 'and a payload that was landed');
    SELECT is(public.cron('SELECT concat_ws('' '', ticket_key, payee, amount) FROM cron_test.line_detail'), '1 staff:1 5.00', 'in the other database too');
    SELECT results_eq($$ SELECT step, last_success IS NOT NULL, delay, failures, error FROM "other ""book's".job $$,
        $$ SELECT s, true, interval '0', 0::bigint, NULL::text FROM unnest(settle._tick_steps()) AS s $$, 'every step has run, none is late');
    SELECT is(public.cron('SELECT count(*) FROM cron.job_run_details WHERE jobid = 0'), '0', 'what pg_cron noted long ago is gone');

    SELECT is(public.cron('SELECT settle.unschedule(''cron_test'')'), '', 'the end of one');
    SELECT is(public.cron(:'unschedule'), 't', 'and of the other');
    SELECT throws_ok($$ SELECT public.cron('SELECT settle.unschedule(''cron_test'')') $$, '42704', 'book "cron_test" is not scheduled', 'which is told');
    SELECT public.cron('SELECT settle.schedule(''cron_test'')') \g /dev/null
    SELECT ok(public.cron('SELECT settle.drop_book(''cron_test'', ''end of test'', discard => true)') ~ '^\d+:', 'a book that is scheduled is dropped');
    SELECT is(public.cron('SELECT count(*) FROM cron.job'), '0', 'no job is left');
    SELECT dblink_exec('cron', 'DROP EXTENSION pg_cron'), pg_sleep(2) \g /dev/null
    SELECT dblink_exec('cron', 'DROP EXTENSION scrm_settle'), dblink_disconnect('cron') \g /dev/null
\else
    SELECT ok(public.schedule() LIKE format(E'The server does not load it%%\n%%* * * * * psql -Xq -d ''%s'' -c ''CALL settle.tick(%%', current_database()), 'without pg_cron the hint has the line of a crontab');
    SELECT skip('pg_cron is not loaded on this server', 16);
\endif
SELECT * FROM finish();
