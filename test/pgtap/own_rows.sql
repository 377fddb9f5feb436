-- What staff see is their own: every view of a book is attacked by somebody who
-- wants to read the rows of others, through leaky functions and operators, plans
-- and estimates, statistics, error texts, settings, roles, cursors and prepared
-- statements.  Views come from the catalogue, so a new one is attacked too.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS own_anna, own_anna2, own_bob, own_lead, own_boss, own_later, own_nobody, own_without, own_delegate, own_reader;
CREATE ROLE own_anna; CREATE ROLE own_anna2; CREATE ROLE own_bob; CREATE ROLE own_lead; CREATE ROLE own_nobody; CREATE ROLE own_without; CREATE ROLE own_delegate; CREATE ROLE own_reader;
CREATE ROLE own_boss IN ROLE own_anna;
CREATE ROLE own_later NOINHERIT IN ROLE own_anna;
SELECT settle.create_book('own') \g /dev/null
-- on a ticket of anna stand lines of bob and of a dealer; what is theirs alone says so
SELECT settle.add_rule('own', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8% below 5000, 10%', accumulate => 'month'),
    settle.add_rule('own', 'call', 'call', 'hq', 'staff:{worker}', base => '30'),
    settle.add_rule('own', 'secret help', 'secret_help', 'hq', 'staff:1002', base => '777.01', title => 'secret title'),
    settle.add_rule('own', 'secret dealer', 'secret_dealer', 'hq', 'dealer:secret', base => '888.02') \g /dev/null
INSERT INTO own.ticket (ticket_id, done_at, project, region, worker, dealer, amount)
SELECT CASE w WHEN 1001 THEN 'A' ELSE 'secret' || w || '-' END || i, '2025-11-01 10:00+08'::timestamptz + i * interval '1 hour', CASE w WHEN 1001 THEN 'mine' ELSE 'secret' END::ltree, 'cn', w, 's', CASE w WHEN 1001 THEN 100 + i ELSE 7777.07 END
FROM generate_series(1001, 1003) AS w, generate_series(1, 40) AS i;
SELECT settle.run('own') \g /dev/null
SELECT settle.close_period('own', '2025-11-01', 'month end') \g /dev/null
UPDATE own.ticket SET worker = '1003' WHERE ticket_id = 'A40';
SELECT settle.run('own') \g /dev/null
SELECT settle.add_party('own', 'staff:1002', title => 'secret name', account => 'secret account'), settle.add_party('own', 'staff:1001', title => 'Anna') \g /dev/null
SELECT settle.grant_access('own', r, 'staff') FROM unnest('{own_anna,own_anna2,own_bob,own_lead,own_nobody}'::regrole[]) AS r \g /dev/null
SELECT settle.grant_access('own', 'own_delegate', 'delegate'), settle.grant_access('own', 'own_reader', 'reader') \g /dev/null
SELECT settle.grant_party('own', 'staff:1001', 'own_anna', 'hired'), settle.grant_party('own', 'staff:1001', 'own_anna2'), settle.grant_party('own', 'staff:1002', 'own_bob'),
    settle.grant_party('own', 'staff:1001', 'own_lead'), settle.grant_party('own', 'staff:1003', 'own_lead'), settle.grant_party('own', 'staff:1001', 'own_without') \g /dev/null
ANALYZE;

-- who sees what
CREATE FUNCTION public.sees(who name, relation text DEFAULT 'own.my_progress') RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', who);
    EXECUTE format('SELECT coalesce(string_agg(DISTINCT party, '' '' ORDER BY party), ''nobody'') FROM %s', relation) INTO answer;
    RETURN answer;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN SQLERRM;
END $$;
CREATE VIEW public.own_view AS
SELECT c.oid, c.relname::text COLLATE "C" AS name, 'own.' || quote_ident(c.relname) AS view, c.reloptions FROM pg_class AS c WHERE c.relnamespace = 'own'::regnamespace AND c.relkind IN ('v', 'm', 'f');
CREATE VIEW public.of_staff AS SELECT * FROM public.own_view AS v WHERE has_table_privilege('own_anna', v.oid, 'SELECT');
SELECT set_eq('SELECT name FROM public.of_staff', ARRAY['my_items', 'my_progress', 'my_statement', 'my_statement_item'], 'staff read their own views and no other');
SELECT is_empty($$ SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'own'::regnamespace AND c.relkind IN ('r', 'p', 'S') AND
    CASE c.relkind WHEN 'S' THEN has_sequence_privilege('own_anna', c.oid, 'SELECT, USAGE, UPDATE') ELSE has_table_privilege('own_anna', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege('own_anna', c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') END $$, 'nor any table');
SELECT is_empty($$ SELECT name FROM public.of_staff WHERE 'security_barrier=true' <> ALL (coalesce(reloptions, '{}')) OR pg_get_viewdef(oid) !~ 'OFFSET 0;$' $$, 'all of them are barriers, and no condition is carried into them');
SELECT set_eq($$ SELECT name FROM public.own_view WHERE NOT has_table_privilege('own_reader', oid, 'SELECT') $$, ARRAY['sheet_inputs'], 'a view is for readers, unless it is the owner''s');
SELECT is(public.sees(who)::text, whom, format('%s sees %s', who, whom)) FROM (VALUES
    ('own_anna', 'staff:1001'), ('own_anna2', 'staff:1001'), ('own_bob', 'staff:1002'), ('own_lead', 'staff:1001 staff:1003'), ('own_boss', 'staff:1001'),
    ('own_nobody', 'nobody'), ('own_reader', 'nobody'), ('own_delegate', 'nobody'), ('own_without', 'permission denied for schema own'), ('own_later', 'permission denied for schema own'),
    ('postgres', 'nobody')) AS v(who, whom);
SELECT is(public.sees('own_anna', view), 'staff:1001', 'anna in ' || name) FROM public.of_staff;
SELECT is(public.sees('own_nobody', view), 'nobody', 'who has no party in ' || name) FROM public.of_staff;
BEGIN;
SET LOCAL ROLE own_later;
SET LOCAL ROLE own_anna;
SELECT public.sees('own_anna') AS become \gset
ROLLBACK;
SELECT is(:'become'::text, 'staff:1001', 'a member that inherits nothing becomes her');

-- what anna sees is what the lines say
SET ROLE own_anna;
CREATE TEMP TABLE item AS SELECT * FROM own.my_items;
CREATE TEMP TABLE earned AS SELECT * FROM own.my_progress;
RESET ROLE;
SELECT set_eq('SELECT source, ticket_key, revision, line, component, amount FROM item',
    $$ SELECT source, ticket_key, revision, line, component, CASE payee WHEN 'staff:1001' THEN amount ELSE -amount END FROM own.line_detail WHERE 'staff:1001' IN (payer, payee) $$, 'her items are the lines that name her');
SELECT set_eq('SELECT period, component, unit, amount FROM earned',
    $$ SELECT period, regexp_replace(component, '[.](retier|fx)$', ''), unit, sum(CASE payee WHEN 'staff:1001' THEN amount ELSE -amount END) FROM own.line_detail WHERE 'staff:1001' IN (payer, payee) GROUP BY 1, 2, 3 $$, 'her progress is their sum');
SELECT set_eq('SELECT * FROM (SELECT party, period, component, unit, tickets, amount, rule_code, quantity, next_tier_at, next_gain FROM earned) AS e',
    $$ SELECT party, period, component, unit, tickets, amount, rule_code, quantity, next_tier_at, next_gain FROM own.progress WHERE party = 'staff:1001' $$, 'and what a manager sees of her');

----------------------------------------------------------------------------------------------------
-- Attacks.  What others have says "secret", is 777.01, 888.02 or 7777.07, or names them.
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.is_secret(said text) RETURNS boolean LANGUAGE sql RETURN said ~ 'secret|777[.]01|888[.]02|7777[.]07|staff:100[23]';
-- tells what it is asked about; it says that it is harmless and costs nothing
CREATE FUNCTION public.leak(said text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 0.0000001 AS $$
BEGIN
    IF public.is_secret(said) THEN
        PERFORM set_config('own.told', left(current_setting('own.told', true), 1000) || ' ' || said, false);
    END IF;
    RETURN true;
END $$;
CREATE FUNCTION public.leak(a text, b text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 0.0000001 RETURN public.leak(a);
-- estimators that try operators on the commonest values
CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = public.leak, RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE OPERATOR public.<<< (LEFTARG = text, RIGHTARG = text, FUNCTION = public.leak, RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR public.~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = public.leak, RESTRICT = matchingsel, JOIN = matchingjoinsel);
-- runs a statement as somebody; returns all that he is told: rows, errors, what functions have seen
CREATE FUNCTION public.told(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text := '';
    line text;
BEGIN
    PERFORM set_config('own.told', '', false);
    EXECUTE format('SET SESSION AUTHORIZATION %I', who);
    BEGIN
        IF statement ~ '^(SELECT|EXPLAIN)' THEN
            FOR line IN EXECUTE statement LOOP
                answer := answer || E'\n' || coalesce(line, '');
            END LOOP;
        ELSE
            EXECUTE statement;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS line = PG_EXCEPTION_DETAIL;
        answer := answer || E'\n' || SQLSTATE || ' ' || SQLERRM || ' ' || line;
    END;
    RESET SESSION AUTHORIZATION;
    RETURN answer || E'\n' || current_setting('own.told');
END $$;
-- the detector works: on the same rows without a barrier it is told everything
CREATE VIEW public.careless AS SELECT l.* FROM own.line_detail AS l WHERE 'staff:1001' IN (l.payer, l.payee);
GRANT SELECT ON public.careless TO own_anna;
SELECT ok(public.is_secret(public.told('own_anna', $$ SELECT count(*)::text FROM public.careless WHERE public.leak(payee) AND public.leak(component) $$)), 'a careless view tells');

CREATE TEMP TABLE attack AS
SELECT v.view, a.attname AS column, w.what, format(w.statement, v.view, quote_ident(a.attname)) AS statement
FROM public.own_view AS v
JOIN pg_attribute AS a ON a.attrelid = v.oid AND a.attnum > 0
CROSS JOIN (VALUES
    ('function', 'SELECT count(*)::text FROM %1$s WHERE public.leak(%2$s::text)'),
    ('operator, =', 'SELECT count(*)::text FROM %1$s WHERE %2$s::text OPERATOR(public.===) ''x'''),
    ('operator, <', 'SELECT count(*)::text FROM %1$s WHERE %2$s::text OPERATOR(public.<<<) ''x'''),
    ('operator, ~', 'SELECT count(*)::text FROM %1$s WHERE %2$s::text OPERATOR(public.~~~) ''x'''),
    ('its plan', 'EXPLAIN (VERBOSE) SELECT * FROM %1$s WHERE %2$s::text OPERATOR(public.===) ''x'' AND public.leak(%2$s::text)'),
    ('its plan, run', 'EXPLAIN (ANALYZE, VERBOSE, TIMING OFF) SELECT * FROM %1$s WHERE public.leak(%2$s::text)'),
    ('division', 'SELECT count(*)::text FROM %1$s WHERE 1 / CASE WHEN public.is_secret(%2$s::text) THEN 0 ELSE 1 END = 1'),
    ('cast', 'SELECT count(*)::text FROM %1$s WHERE (%2$s::text || ''x'')::integer > 0'),
    ('joined with itself', 'SELECT count(*)::text FROM %1$s AS a JOIN %1$s AS b ON public.leak(a.%2$s::text || b.%2$s::text)'),
    ('grouped', 'SELECT %2$s::text FROM %1$s GROUP BY %2$s HAVING public.leak(%2$s::text)'),
    ('ordered', 'SELECT %2$s::text FROM %1$s ORDER BY public.leak(%2$s::text)'),
    ('counted', 'SELECT string_agg(DISTINCT %2$s::text, '' '') FROM %1$s'),
    ('update', 'UPDATE %1$s SET %2$s = %2$s WHERE public.leak(%2$s::text) RETURNING ''secret''')
) AS w(what, statement)
-- what is refused is refused for every column alike
WHERE CASE WHEN v.view IN (SELECT o.view FROM public.of_staff AS o) THEN a.attnum = 1 OR w.what IN ('function', 'operator, =', 'operator, <', 'its plan', 'division', 'cast', 'counted') ELSE a.attnum = 1 END;
CREATE TEMP TABLE outcome AS SELECT k.*, public.told('own_anna', k.statement) AS said FROM attack AS k;
SELECT is_empty($$ SELECT view, "column", what, said FROM outcome WHERE public.is_secret(said) OR said ~ '22012' $$, format('%s attacks on %s views tell nothing of others', count(*), count(DISTINCT view))) FROM outcome;
SELECT is_empty($$ SELECT view, what, said FROM outcome WHERE view NOT IN (SELECT view FROM public.of_staff) AND said !~ '^\n(42501 permission denied for view|55000 cannot update view|0A000 cannot update column)' $$, 'what is not theirs is refused');
SELECT is((SELECT count(DISTINCT what) FROM outcome WHERE view IN (SELECT view FROM public.of_staff) AND said !~ '42501'), 13::bigint, 'the attacks ran');

-- estimates: a value that stands there and one that does not are expected alike
CREATE FUNCTION public.expected(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', who);
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || statement INTO answer;
    RESET ROLE;
    RETURN regexp_replace(answer, '(secret|absent|100[0-9])', 'value', 'g');
END $$;
SELECT is_empty($$
    SELECT v.view, x.value FROM public.of_staff AS v
    JOIN pg_attribute AS a ON a.attrelid = v.oid AND a.attname IN ('party', 'component', 'rule_code', 'ticket_key', 'project', 'other_party', 'state')
    CROSS JOIN (VALUES ('secret', 'absent'), ('staff:1002', 'staff:1009')) AS x(value, absent)
    WHERE public.expected('own_anna', format('SELECT * FROM %s WHERE %I = %L', v.view, a.attname, x.value)) <> public.expected('own_anna', format('SELECT * FROM %s WHERE %I = %L', v.view, a.attname, x.absent)) $$,
    'the planner expects as much of a value of others as of one that nobody has');
SELECT is(public.told('own_anna', $$ SELECT tablename || attname || most_common_vals::text FROM pg_stats WHERE schemaname = 'own' AND tablename NOT LIKE 'my\_%' $$), E'\n', 'no statistics of the book''s tables are hers');
SELECT matches(public.told('own_anna', 'SELECT stavalues1::text FROM pg_statistic'), '42501', 'nor those of the catalogue');
SELECT ok(EXISTS (SELECT FROM pg_stats WHERE schemaname = 'own' AND public.is_secret(most_common_vals::text)), 'though there are some');

-- settings, paths, names that are put in front
CREATE SCHEMA evil; GRANT CREATE, USAGE ON SCHEMA evil TO own_anna; GRANT USAGE ON SCHEMA evil TO own_bob;
SET ROLE own_anna;
CREATE TABLE evil.party AS SELECT 2 AS party_id, 'staff:1001' AS party;
CREATE TABLE evil.party_role AS SELECT 'own_anna'::regrole AS role, 'staff:1002' AS party;
CREATE FUNCTION evil.own_parties(regnamespace) RETURNS text[] LANGUAGE sql AS $$ SELECT '{staff:1002}'::text[] $$;
CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
SET search_path = evil, pg_temp, own, pg_catalog;
CREATE TEMP TABLE party AS SELECT 2 AS party_id, 'staff:1001' AS party;
SET row_security = off;
SET own.party = 'staff:1002';
SET settle.actor = 'staff:1002';
SET enable_hashjoin = off; SET enable_indexscan = off; SET enable_material = off; SET plan_cache_mode = force_generic_plan; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT string_agg(DISTINCT p.party, ' ') AS settings FROM own.my_progress AS p \gset
SELECT string_agg(DISTINCT p.party, ' ') AS settings_items FROM own.my_items AS p \gset
RESET ALL; RESET ROLE; SET client_min_messages = warning;
SELECT is(:'settings' || ' ' || :'settings_items', 'staff:1001 staff:1001', 'no setting and no path makes her another');
SELECT matches(public.told('own_anna', s), '42501', s) FROM unnest(ARRAY[
    'SET ROLE own_bob', 'SELECT settle.act_as(''own'', ''staff:1002'')', 'SELECT settle.grant_party(''own'', ''staff:1002'', ''own_anna'')::text', 'SELECT settle.lines_of(''own'', ''staff:1002'')::text',
    'SELECT party FROM own.party_role', 'INSERT INTO own.party_role VALUES (''own_anna'', ''staff:1002'')', 'SELECT lines::text FROM own.sheet', 'ALTER VIEW own.my_items RESET (security_barrier)',
    'CREATE OR REPLACE VIEW own.my_items AS SELECT 1', 'SELECT settle.explain(''own'', ''secret1'')::text', 'SELECT own::text FROM own.progress AS own']) AS s;

-- a view or function of hers, used by bob, shows him his own; hers to him only what she gives herself
SET ROLE own_anna;
CREATE VIEW evil.shared AS SELECT * FROM own.my_progress;
CREATE FUNCTION evil.invoker() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(DISTINCT party, ' ') FROM own.my_progress $$;
CREATE FUNCTION evil.definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT string_agg(DISTINCT party, ' ') FROM own.my_progress $$;
GRANT SELECT ON evil.shared TO own_bob;
RESET ROLE;
SELECT is(public.sees('own_bob', 'evil.shared'), 'staff:1002', 'a view of hers shows bob his rows');
SELECT is(btrim(public.told('own_bob', 'SELECT evil.invoker()'), E' \n'), 'staff:1002', 'a function too');
SELECT is(btrim(public.told('own_bob', 'SELECT evil.definer()'), E' \n'), 'staff:1001', 'unless she lets others act as herself');

-- prepared once, run as several; cursors; COPY
PREPARE mine AS SELECT coalesce(string_agg(DISTINCT party, ' '), 'nobody') AS party FROM own.my_items;
SET plan_cache_mode = force_generic_plan;
SET ROLE own_anna;
EXECUTE mine \gset first_
RESET ROLE; SET ROLE own_bob;
EXECUTE mine \gset second_
RESET ROLE; SET ROLE own_nobody;
EXECUTE mine \gset third_
RESET ROLE; RESET plan_cache_mode;
SELECT is(concat_ws(' ', :'first_party', :'second_party', :'third_party'), 'staff:1001 staff:1002 nobody', 'a statement that was prepared by another answers who runs it');
BEGIN;
SET LOCAL ROLE own_anna;
DECLARE c SCROLL CURSOR FOR SELECT party FROM own.my_items;
FETCH 1 FROM c \gset fetched_
MOVE LAST FROM c \g /dev/null
FETCH PRIOR FROM c \gset last_
DECLARE held CURSOR WITH HOLD FOR SELECT DISTINCT party FROM own.my_items;
COMMIT;
SET ROLE own_nobody;
FETCH ALL FROM held \gset held_
RESET ROLE; CLOSE held;
SELECT is(concat_ws(' ', :'fetched_party', :'last_party', :'held_party'), 'staff:1001 staff:1001 staff:1001', 'a cursor has the rows of who opened it');
SET ROLE own_anna;
COPY (SELECT * FROM own.my_items) TO STDOUT \g build/own_rows.copy
RESET ROLE;
\set copied `cat build/own_rows.copy; rm build/own_rows.copy`
SELECT ok(NOT public.is_secret(:'copied') AND :'copied' ~ 'staff:1001', 'COPY writes her rows');
SELECT matches(public.told('own_anna', 'COPY own.my_items TO STDOUT'), '42809|0A000', 'and no view as such');

-- policies of the owner's change nothing for whom views serve
SELECT format('ALTER TABLE own.%I ENABLE ROW LEVEL SECURITY', t) FROM unnest('{sheet,party_delta,party,statement,tally_state}'::text[]) AS t \gexec
SELECT is(public.sees('own_anna'), 'staff:1001', 'with row security on tables she sees the same');
SELECT is((SELECT count(*) FROM own.my_items), 0::bigint, 'and a superuser is not everybody');
SELECT format('ALTER TABLE own.%I DISABLE ROW LEVEL SECURITY', t) FROM unnest('{sheet,party_delta,party,statement,tally_state}'::text[]) AS t \gexec

-- delegates: as whom they act, in this book, in this transaction
BEGIN;
SET LOCAL SESSION AUTHORIZATION own_delegate;
SELECT settle.act_as('own', 'staff:1002', 'form 7') \g /dev/null
SELECT string_agg(DISTINCT party, ' ') AS acting FROM own.my_items \gset
SAVEPOINT s;
SELECT settle.act_as('own', 'staff:1003') \g /dev/null
SELECT string_agg(DISTINCT party, ' ') AS other FROM own.my_items \gset
ROLLBACK TO s;
SELECT string_agg(DISTINCT party, ' ') AS again FROM own.my_items \gset
RESET SESSION AUTHORIZATION;
SET LOCAL ROLE own_anna;
SELECT string_agg(DISTINCT party, ' ') AS become FROM own.my_items \gset
COMMIT;
SELECT is(concat_ws(', ', :'acting', :'other', :'again', :'become'), 'staff:1002, staff:1003, staff:1002, staff:1001', 'a delegate sees whom he acts for; who becomes anna since sees hers');
SELECT is(public.sees('own_delegate'), 'nobody', 'and nobody afterwards');

-- taking it back
SELECT is((SELECT string_agg(action || ' ' || object || ' ' || coalesce(reason, '-'), ', ' ORDER BY change_id) FROM own.change WHERE table_name = 'party_role' AND object ~ 'own_anna[^2]*$'), 'insert own_anna staff:1001 hired', 'who sees whom stands in the journal');
SELECT settle.revoke_party('own', 'staff:1001', 'own_anna', 'left') \g /dev/null
SELECT is(public.sees('own_anna'), 'nobody', 'she has left');
SELECT settle.revoke_access('own', 'own_anna', 'staff', 'left') \g /dev/null
SELECT is(public.sees('own_anna'), 'permission denied for schema own', 'for good');
SELECT throws_ok($$ SELECT settle.revoke_party('own', 'staff:1001', 'own_anna') $$, '42704', 'role "own_anna" does not have the party "staff:1001" in book "own"', 'nothing to take back');
SELECT throws_ok($$ SELECT settle.grant_party('own', '', 'own_anna') $$, '22004', 'a party and a role must be given', 'no party');
SELECT throws_ok($$ SELECT settle.grant_party('own', 'staff:1', '-') $$, '22004', 'a party and a role must be given', 'nobody');
SELECT throws_ok($$ SELECT settle.grant_party('own', 'staff:1', 'own_no_such_role') $$, '42704', NULL, 'a role that is none');
SELECT settle.grant_access('own', 'own_bob', 'reader') \g /dev/null
SELECT settle.revoke_access('own', 'own_bob', 'reader') \g /dev/null
SELECT is(public.sees('own_bob') || (SELECT string_agg(name, ' ' ORDER BY name) FROM public.own_view WHERE has_table_privilege('own_bob', oid, 'SELECT')), 'staff:1002my_items my_progress my_statement my_statement_item', 'who reads no more still sees his own');

DROP SCHEMA own, evil CASCADE;
DROP OWNED BY own_anna, own_anna2, own_bob, own_lead, own_boss, own_later, own_nobody, own_without, own_delegate, own_reader CASCADE;
DROP ROLE own_anna, own_anna2, own_bob, own_lead, own_boss, own_later, own_nobody, own_without, own_delegate, own_reader;
SELECT * FROM finish();
