-- Names that somebody has put where ours are looked for: a schema first in the
-- path with every function and operator of PostgreSQL once more, exactly as they
-- are declared, and temporary tables with the name of every table of a book.
-- Nothing of the extension may call or read one of them, whoever runs it.  A
-- function written without care walks into each trap: that is shown first.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

-- ---- the traps ----

-- Each tells, which no rollback takes back, and goes on as the real one would.
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE SEQUENCE evil.sprung MINVALUE 0 START 0;
GRANT ALL ON SEQUENCE evil.sprung TO PUBLIC;
CREATE TABLE evil.trap (what text, fired_as name DEFAULT current_user);
GRANT ALL ON evil.trap TO PUBLIC;
CREATE FUNCTION evil.spring(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM nextval('evil.sprung');
    BEGIN
        INSERT INTO evil.trap (what) VALUES ($1);
    EXCEPTION WHEN OTHERS THEN NULL;     -- where nothing can be written, the sequence tells
    END;
    RETURN true;
END $$;
DO $$
DECLARE
    f record;
    made int := 0;
BEGIN
    FOR f IN
        SELECT p.proname, p.oid::regprocedure::text AS signature, pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
            (SELECT string_agg('$' || i, ', ') FROM generate_series(1, p.pronargs) AS i) AS actual, p.proretset, p.provolatile
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0 AND p.proargmodes IS NULL
            AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.oid = ANY (p.proargtypes || p.prorettype) AND (t.typtype = 'p' OR t.typcategory = 'Z')
                AND t.typname NOT IN ('void', 'anyelement', 'anyarray', 'anycompatible', 'anycompatiblearray', 'any', 'anynonarray', 'record', 'anyrange'))
            AND NOT ('"any"'::regtype = ANY (p.proargtypes)) AND p.prorettype <> 'record'::regtype
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS %L', f.proname, f.arguments, f.result,
                format('BEGIN PERFORM evil.spring(%L); RETURN %s pg_catalog.%I(%s); END', f.signature, CASE WHEN f.proretset THEN 'QUERY SELECT * FROM' WHEN f.result = 'void' THEN '; PERFORM' ELSE '' END, f.proname, f.actual));
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    FOR f IN
        SELECT o.oprname, o.oid::regoperator::text AS signature, p.proname, o.oprleft::regtype AS l, o.oprright::regtype AS r, pg_get_function_result(p.oid) AS result
        FROM pg_operator AS o JOIN pg_proc AS p ON p.oid = o.oprcode WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft <> 0
    LOOP
        BEGIN
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.%I, LEFTARG = %s, RIGHTARG = %s)', f.oprname, f.proname, f.l, f.r);
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    PERFORM set_config('attack.made', made::text, false);
END $$;
-- aggregates, and what is called without parentheses
CREATE AGGREGATE evil.count(*) (SFUNC = pg_catalog.int8inc, STYPE = int8, INITCOND = '1000');
CREATE AGGREGATE evil.sum(numeric) (SFUNC = pg_catalog.numeric_add, STYPE = numeric, INITCOND = '1000');
CREATE FUNCTION evil.mapped(text, text, text) RETURNS text LANGUAGE sql RETURN CASE WHEN evil.spring('string_agg') THEN 'mapped' END;
CREATE AGGREGATE evil.string_agg(text, text) (SFUNC = evil.mapped, STYPE = text);
SELECT cmp_ok(current_setting('attack.made')::int, '>', 2000, 'functions and operators of PostgreSQL stand there once more');

-- ---- the naive, who walk into them ----

CREATE FUNCTION public.naive(a bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN abs(a) + 1; END $$;
CREATE FUNCTION public.naive_count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM sheet); END $$;
CREATE FUNCTION public.walks_into(statement text) RETURNS boolean LANGUAGE plpgsql SET search_path = evil, pg_catalog, public AS $$
DECLARE
    before bigint := pg_catalog.nextval('evil.sprung');
BEGIN
    EXECUTE statement;
    RETURN pg_catalog.int8gt(pg_catalog.nextval('evil.sprung'), before OPERATOR(pg_catalog.+) 1);
END $$;
SELECT ok(public.walks_into('SELECT public.naive(-1)'), 'a body that says abs and + calls the trap');
SELECT ok(public.walks_into('SELECT 1::bigint = 2::bigint'), 'and so does = of a statement');
SELECT ok(NOT public.walks_into('SELECT 1::bigint OPERATOR(pg_catalog.=) 2::bigint'), 'but not one that is said with its schema');

-- ---- the life of a book, among them ----

DROP ROLE IF EXISTS attack_path_owner, attack_path_clerk;
CREATE ROLE attack_path_owner;
CREATE ROLE attack_path_clerk;
SELECT format('GRANT CREATE ON DATABASE %I TO attack_path_owner', current_database()) \gexec
CREATE TABLE public.told (n serial, statement text, state text, message text);
GRANT ALL ON public.told, public.told_n_seq TO PUBLIC;

-- Every statement of a life; %s is the book.  What it says itself is said with schemas.
CREATE TABLE public.life AS SELECT row_number() OVER () AS n, statement FROM unnest(ARRAY[
    $$ SELECT settle.create_book('%s') $$,
    $$ SELECT settle.grant_access('%s', 'attack_path_clerk', 'clerk') $$,
    $$ SELECT settle.add_decision('%s', 'level', fallback => '1') $$,
    $$ SELECT settle.add_outcome('%s', 'level', 'project <@ ''a'' and amount >= 5.0', '1.1') $$,
    $$ CREATE TABLE %s.rank (worker text, rank numeric) $$,
    $$ INSERT INTO %s.rank VALUES ('w', 2) $$,
    $$ SELECT settle.add_fact('%s', 'rank', '%s.rank', key => 'worker') $$,
    $$ SELECT settle.add_rule('%s', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%% to 100, 10%%', factors => '{level}', accumulate => 'month') $$,
    $$ SELECT settle.add_rule('%s', 'call', 'call', 'hq', 'staff:{worker}', base => '30 + coalesce(f.rank, 0)', applies_when => 'region = ''b'' and upper(worker) = ''W''') $$,
    $$ SELECT settle.add_pack('%s', 'winter') $$,
    $$ SELECT settle.add_rule('%s', 'winter', 'winter', 'hq', 'staff:{worker}', base => '5', pack => 'winter') $$,
    $$ SELECT settle.lint('%s') $$,
    $$ INSERT INTO %s.ticket (ticket_id, done_at, project, region, worker, amount) SELECT i::text, '2025-11-03 10:00+08', 'a.c', 'b', 'w', 100 OPERATOR(pg_catalog.+) i FROM pg_catalog.generate_series(1, 30) AS i $$,
    $$ SELECT settle.plan('%s') $$, $$ SELECT settle.run('%s') $$,
    $$ UPDATE %s.ticket SET amount = 60, worker = 'v' WHERE ticket_id OPERATOR(pg_catalog.=) '1' $$, $$ DELETE FROM %s.ticket WHERE ticket_id OPERATOR(pg_catalog.=) '2' $$,
    $$ SELECT settle.rescan('%s') $$, $$ SELECT settle.run('%s', 100) $$,
    $$ SELECT settle.rules('%s') $$, $$ SELECT settle.explain('%s', 'ticket', '3') $$, $$ SELECT settle.lines_of('%s', 'staff:w') $$,
    $$ SELECT settle.evaluate(settle.rules('%s'), t, source => 'ticket') FROM %s.ticket AS t LIMIT 1 $$, $$ SELECT settle.decide('%s', 'level', t, 'ticket') FROM %s.ticket AS t LIMIT 1 $$,
    $$ SELECT settle.simulate('%s', '2025-11-01', '2025-12-01', 'winter') $$, $$ SELECT settle.replay('%s', '2025-01-01') $$,
    $$ SELECT settle.check('%s') $$, $$ SELECT settle.add_order_ticket_rule('%s', 'line', 'true', ticket => 'sale', amount => 'net_paid', ready => 'completed_at') $$,
    $$ INSERT INTO %s.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {"tid": "O1", "seller_nick": "corner", "status": "TRADE_FINISHED", "created": "2025-10-30 09:00:00", "pay_time": "2025-10-30 09:01:00", "end_time": "2025-11-08 12:00:00", "modified": "2025-11-08 12:00:00", "total_fee": "100.00", "payment": "100.00", "receiver_mobile": "13900000001", "orders": {"order": [{"oid": "L1", "num": 1, "title": "x", "price": "100.00", "payment": "100.00", "divide_order_fee": "100.00", "refund_status": "NO_REFUND"}]}}}}') $$,
    $$ SELECT settle.ingest('%s') $$, $$ SELECT settle._tick_steps(), settle._tick_fold('%s'), settle._tick_orders('%s'), settle._tick_customers('%s'), settle._tick_links('%s'), settle._tick_seal('%s'), settle._tick_alerts('%s'), settle._tick_watch('%s'), settle._tick_staff('%s') $$,
    $$ SELECT settle.defer('%s', source, ticket_key, 'gone') FROM %s.problem $$, $$ SELECT settle.close_period('%s', '2025-11-01', 'month end') $$, $$ SELECT settle.submit_statement('%s', 'staff:w', '2025-11-01', 'CNY', 'complete') $$,
    $$ SELECT settle.send('%s', 'tmall', 'note', 'T1', '{"text": "one"}') $$, $$ SELECT settle.take_outbox('%s', 'tmall', 5) $$,
    $$ SELECT settle.anchor('%s') $$, $$ SELECT settle.verify('%s') $$, $$ SELECT settle.books() $$,
    $$ SELECT settle.upgrade_book('%s') $$]) AS u(statement);
GRANT SELECT ON public.life TO PUBLIC;

-- Lives a life under the path of the session; an error is told and the life goes on.
CREATE PROCEDURE public.live(book text) LANGUAGE plpgsql AS $$
DECLARE
    step record;
    said text;
BEGIN
    FOR step IN SELECT n, pg_catalog.replace(statement, '%s', book) AS statement FROM public.life ORDER BY n LOOP
        BEGIN
            EXECUTE pg_catalog.replace(step.statement, '%%', '%');
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS said = MESSAGE_TEXT;
            INSERT INTO public.told (statement, state, message) VALUES (step.statement, SQLSTATE, said);
        END;
    END LOOP;
END $$;
-- What came of it.
CREATE FUNCTION public.outcome(book text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
BEGIN
    EXECUTE format('SELECT concat_ws(''; '', (SELECT string_agg(concat_ws('' '', ticket_key, component, payee, amount), '', '' ORDER BY ticket_key, component, payee, amount) FROM %1$I.line_detail),
        (SELECT string_agg(concat_ws('' '', order_no, refunded_amount), '', '') FROM %1$I.order_status), (SELECT count(*) FROM %1$I.statement), (SELECT string_agg(sqlstate, '' '') FROM %1$I.problem))', book) INTO outcome;
    RETURN outcome;
END $$;

-- alone first: what should come of it
CALL public.live('alone');
SELECT is((SELECT string_agg(concat_ws(' ', statement, state, message), E'\n') FROM public.told), NULL, 'a life where nobody has put anything');

-- as a superuser, whose path begins with the traps
TRUNCATE public.told, evil.trap;
SELECT last_value AS sprung FROM evil.sprung \gset
SET search_path = evil, pg_catalog, public;
CALL public.live('root');
SELECT pg_catalog.set_config('search_path', 'public', false) \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', statement, state, message), E'\n') FROM public.told), NULL, 'a superuser among traps');
SELECT is((SELECT last_value FROM evil.sprung), :sprung::bigint, 'springs none ' || coalesce((SELECT string_agg(DISTINCT what || ' as ' || fired_as, ', ') FROM evil.trap), ''));
SELECT is(public.outcome('root'), replace(public.outcome('alone'), 'alone', 'root'), 'and is paid what is paid without them');

-- as one who owns a book, with temporary tables of the names of all tables and views of it
SET SESSION AUTHORIZATION attack_path_owner;
SELECT format('CREATE TEMP TABLE %I AS SELECT 7 AS x', relname) FROM pg_class WHERE relnamespace = 'root'::regnamespace AND relkind IN ('r', 'v') \gexec
SELECT is(public.naive_count(), 1::bigint, 'a body that says sheet reads the temporary table');
SET search_path = evil, pg_catalog, public;
CALL public.live('owner');
SELECT pg_catalog.set_config('search_path', 'public', false) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is((SELECT string_agg(concat_ws(' ', statement, state, message), E'\n') FROM public.told), NULL, 'an owner among traps and temporary tables');
SELECT is((SELECT last_value FROM evil.sprung), :sprung::bigint, 'springs none ' || coalesce((SELECT string_agg(DISTINCT what || ' as ' || fired_as, ', ') FROM evil.trap), ''));
SELECT is(public.outcome('owner'), replace(public.outcome('alone'), 'alone', 'owner'), 'and is paid what is paid without them');

-- among overloads that are nearer in type
CREATE SCHEMA near;
CREATE FUNCTION near.run(book regnamespace, max_tickets int) RETURNS text LANGUAGE sql RETURN evil.spring('run')::text;
CREATE FUNCTION near.fee(settle.tiers, int) RETURNS numeric LANGUAGE sql RETURN evil.spring('fee')::int;
SET search_path = near, settle, public;
SELECT ok(fee('10%'::settle.tiers, 100) = 1, 'a name without its schema takes what is nearer');
TRUNCATE evil.trap;
SELECT settle.run('root', 5) \g /dev/null
SELECT settle.check('root') \g /dev/null
RESET search_path;
SELECT is((SELECT count(*) FROM evil.trap), 0::bigint, 'ours never does');

DROP OWNED BY attack_path_owner, attack_path_clerk CASCADE;
DROP ROLE attack_path_owner, attack_path_clerk;
SELECT * FROM finish();
