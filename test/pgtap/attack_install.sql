-- What a stranger has put into a database before an administrator installs the
-- extension there: its schema, and, in the schema of ltree, functions and operators
-- that are nearer in type than PostgreSQL's own.  The first makes CREATE EXTENSION
-- fail, the second are neither called nor bound to.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS attack_install_mallory;
CREATE ROLE attack_install_mallory;
SELECT format('GRANT CREATE ON DATABASE %I TO attack_install_mallory', current_database()) \gexec
GRANT CREATE ON SCHEMA public TO attack_install_mallory;     -- as it is where a database comes from before version 15
CREATE TABLE public.trap (what text, fired_as name DEFAULT current_user);
GRANT INSERT ON public.trap TO PUBLIC;
DROP EXTENSION scrm_settle CASCADE;

-- ---- the schema is there already ----
SET ROLE attack_install_mallory;
CREATE SCHEMA settle;
CREATE FUNCTION settle.run(book regnamespace, max_tickets bigint DEFAULT NULL) RETURNS text LANGUAGE sql RETURN 'mine';
RESET ROLE;
SELECT throws_ok('CREATE EXTENSION scrm_settle', '42P06', 'schema "settle" already exists', 'a schema that a stranger has made is not taken over');
SELECT is((SELECT count(*) FROM pg_extension WHERE extname = 'scrm_settle'), 0::bigint, 'nothing is installed into it');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'settle'::regnamespace), 1::bigint, 'nor left behind');
DROP SCHEMA settle CASCADE;
-- nor objects of ours, wherever they might be put
SET ROLE attack_install_mallory;
CREATE SCHEMA naive_extension;
CREATE FUNCTION naive_extension.f() RETURNS text LANGUAGE sql RETURN 'mine';
RESET ROLE;
CREATE OR REPLACE FUNCTION naive_extension.f() RETURNS text LANGUAGE sql RETURN 'ours';
SELECT is((SELECT proowner::regrole::text FROM pg_proc WHERE oid = 'naive_extension.f()'::regprocedure), 'attack_install_mallory', 'CREATE OR REPLACE would have left him its owner');

-- ---- names in the schema of ltree ----
SET ROLE attack_install_mallory;
CREATE FUNCTION public.spring(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trap VALUES (what); RETURN true; END $$;
SELECT format('CREATE FUNCTION public.%I(%s, %s) RETURNS boolean LANGUAGE plpgsql AS %L; CREATE OPERATOR public.%s (FUNCTION = public.%1$I, LEFTARG = %2$s, RIGHTARG = %3$s)',
    'spring_' || row_number() OVER (), l, r, format('BEGIN RETURN public.spring(%L); END', concat_ws(' ', l, op, r)), op)
FROM unnest('{=,<>,<,>,>=,||,+,-,@>,->>,~}'::text[]) AS op,
    unnest('{text,name,int2,int4,int8,numeric,date,timestamptz,oid,regclass,regnamespace,daterange,tstzrange,text[],name[],int8[],bytea,jsonb,bool,interval,"char"}'::text[]) AS l,
    unnest('{text,name,int2,int4,int8,numeric,date,timestamptz,oid,regclass,regnamespace,daterange,tstzrange,text[],name[],int8[],bytea,jsonb,bool,interval,"char"}'::text[]) AS r
WHERE NOT EXISTS (SELECT FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname = op AND o.oprleft = l::regtype AND o.oprright = r::regtype) \gexec
CREATE FUNCTION public.lower(tstzrange) RETURNS timestamptz LANGUAGE sql RETURN CASE WHEN public.spring('lower') THEN now() END;
CREATE FUNCTION public.upper(tstzrange) RETURNS timestamptz LANGUAGE sql RETURN CASE WHEN public.spring('upper') THEN now() END;
CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC SELECT ''::text WHERE public.spring('unnest'); END;
CREATE FUNCTION public.unnest(name[]) RETURNS SETOF name LANGUAGE sql BEGIN ATOMIC SELECT ''::name WHERE public.spring('unnest'); END;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql RETURN public.spring('format')::text;
CREATE FUNCTION public.format(text, regnamespace) RETURNS text LANGUAGE sql RETURN public.spring('format')::text;
CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE sql RETURN public.spring('format')::text;
CREATE FUNCTION public.concat_ws(text, text, text) RETURNS text LANGUAGE sql RETURN public.spring('concat_ws')::text;
CREATE FUNCTION public.jsonb_build_object(text, text) RETURNS jsonb LANGUAGE sql RETURN to_jsonb(public.spring('jsonb_build_object'));
CREATE FUNCTION public.to_jsonb(text) RETURNS jsonb LANGUAGE sql RETURN pg_catalog.jsonb_build_array(public.spring('to_jsonb'));
CREATE FUNCTION public.cardinality(text[]) RETURNS int LANGUAGE sql RETURN public.spring('cardinality')::int;
CREATE FUNCTION public.left(name, int) RETURNS text LANGUAGE sql RETURN public.spring('left')::text;
CREATE FUNCTION public.numeric(settle_stranger text) RETURNS numeric LANGUAGE sql RETURN public.spring('numeric')::int;
-- a naive body binds to them
RESET ROLE;
SET search_path = pg_catalog, public;
CREATE FUNCTION public.naive(spans tstzrange, book name) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT format('%s', book) FROM unnest(ARRAY[book]) AS u WHERE spans @> NULL; END;
SET search_path = pg_catalog;
CREATE VIEW public.bound AS
    SELECT DISTINCT d.objid::regprocedure::text AS member, pg_describe_object(d.refclassid, d.refobjid, 0) AS what
    FROM pg_depend AS d
    WHERE d.classid = 'pg_proc'::regclass AND EXISTS (SELECT FROM pg_proc AS p WHERE d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid AND pg_get_userbyid(p.proowner) = 'attack_install_mallory'
        UNION ALL SELECT FROM pg_operator AS o WHERE d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid AND pg_get_userbyid(o.oprowner) = 'attack_install_mallory');
-- our own statements step around them, and pgTAP comes when they are gone
SELECT count(*) AS naive FROM public.bound WHERE member ~ 'naive' \gset
TRUNCATE public.trap;
CREATE EXTENSION scrm_settle;
SELECT coalesce(string_agg(member || ' uses ' || what, E'\n'), '') AS bodies FROM public.bound WHERE member LIKE 'settle.%' \gset
SELECT coalesce(string_agg(pg_describe_object(d.classid, d.objid, 0) || ' uses ' || pg_describe_object(d.refclassid, d.refobjid, 0), E'\n'), '') AS others
FROM pg_depend AS d JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid AND pg_get_userbyid(o.oprowner) = 'attack_install_mallory'
WHERE d.classid <> 'pg_proc'::regclass AND d.deptype = 'n' AND pg_describe_object(d.classid, d.objid, 0) LIKE '%settle%' \gset
SELECT coalesce(string_agg(pg_describe_object(classid, objid, 0), ', '), '') AS his FROM pg_shdepend
WHERE refobjid = 'attack_install_mallory'::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND deptype = 'o' AND pg_describe_object(classid, objid, 0) LIKE '%settle.%' \gset
SELECT coalesce(string_agg(DISTINCT what, ', '), '') AS sprung FROM public.trap \gset
-- a book that is made and settled among them
SELECT settle.create_book('root') \g /dev/null
SELECT settle.add_rule('root', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', accumulate => 'month') \g /dev/null
INSERT INTO root.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-03', 'a', 'b', 'w', 100);
CALL settle.run_all('root');
SELECT * FROM settle.check('root') \g /dev/null
SELECT coalesce(string_agg(DISTINCT what, ', '), '') AS sprung_by_book FROM public.trap \gset
SELECT format('DROP FUNCTION %s CASCADE', p.oid::regprocedure) FROM pg_proc AS p WHERE pg_get_userbyid(p.proowner) = 'attack_install_mallory' AND proname LIKE 'spring\_%' \gexec
RESET search_path;
DROP FUNCTION IF EXISTS public.naive;
DROP OWNED BY attack_install_mallory CASCADE;
DROP ROLE attack_install_mallory;

SELECT cmp_ok(:naive, '>', 0, 'a body that is written without care is bound to a stranger''s functions');
SELECT is(:'bodies'::text, '', 'none of the extension''s bodies is');
SELECT is(:'others'::text, '', 'nor anything else of it');
SELECT is(:'his'::text, '', 'nothing of it is his');
SELECT is(:'sprung'::text, '', 'no trap is sprung while it is made');
SELECT is(:'sprung_by_book'::text, '', 'nor by a book');
SELECT is((SELECT sum(amount) FROM root.line_detail), 5.00, 'which was settled');
SELECT * FROM finish();
