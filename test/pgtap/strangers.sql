-- What a stranger can make of it: forged books that a superuser runs, forged
-- triggers, operators and functions that are found first, the name of a book
-- that is gone.  Nothing of it may run with another's rights, end the server or
-- show what he may not see.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS strangers_mallory, strangers_owner, strangers_writer;
CREATE ROLE strangers_mallory;
CREATE ROLE strangers_owner;
CREATE ROLE strangers_writer;
SELECT format('GRANT CREATE ON DATABASE %I TO strangers_mallory, strangers_owner', current_database()) \gexec
GRANT CREATE ON SCHEMA public TO strangers_mallory;		-- where ltree stands
CREATE TABLE public.trap (fired_as name, fired_by text);
GRANT INSERT, SELECT ON public.trap TO PUBLIC;
SELECT settle.create_book('repairs') \g /dev/null
SELECT settle.add_rule('repairs', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 100, 10%', accumulate => 'month') \g /dev/null

----------------------------------------------------------------------------------------------------
-- A forged trigger
----------------------------------------------------------------------------------------------------
SET ROLE strangers_mallory;
CREATE SCHEMA mallory;
CREATE TABLE mallory.ticket (ticket_id text, done_at timestamptz);
CREATE TRIGGER t AFTER INSERT ON mallory.ticket FOR EACH ROW EXECUTE FUNCTION settle.capture('repairs', 'ticket');
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '55000', '"ticket" is not the source "ticket" of book "repairs"', 'a trigger on a table that is no source');
DROP TRIGGER t ON mallory.ticket;
CREATE TRIGGER t AFTER INSERT ON mallory.ticket FOR EACH ROW EXECUTE FUNCTION settle.capture('repairs');
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '39P01', 'trigger "t" does not name a book and a source', 'a trigger without arguments');
DROP TRIGGER t ON mallory.ticket;
CREATE TRIGGER t BEFORE INSERT ON mallory.ticket FOR EACH ROW EXECUTE FUNCTION settle.capture('repairs', 'ticket');
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '39P01', NULL, 'a trigger before the row');
DROP TRIGGER t ON mallory.ticket;
CREATE TRIGGER t AFTER INSERT ON mallory.ticket FOR EACH STATEMENT EXECUTE FUNCTION settle.capture('repairs', 'ticket');
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, NULL, NULL, 'a trigger on the statement');
DROP TRIGGER t ON mallory.ticket;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON mallory.ticket DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settle.settle_at_commit('repairs', 'ticket', 'commit');
SELECT lives_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, 'a deferred trigger without changes does nothing');
DROP TRIGGER t ON mallory.ticket;
CREATE TRIGGER t AFTER INSERT ON mallory.ticket FOR EACH STATEMENT EXECUTE FUNCTION settle.note_rule_change();
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '42704', 'schema "mallory" is not a book', 'a rule change outside of a book');
DROP TRIGGER t ON mallory.ticket;
RESET ROLE;

-- registrations that hold nulls, other types, or no key that can be read
SET ROLE strangers_mallory;
CREATE TABLE mallory.book (time_zone text);
CREATE TABLE mallory.source (source_id int2, source name, relation regclass, key text, reverses text);
CREATE TABLE mallory.pending (source_id int2 NOT NULL, ticket_key text, scanned boolean NOT NULL);
CREATE TRIGGER t AFTER INSERT ON mallory.ticket FOR EACH ROW EXECUTE FUNCTION settle.capture('mallory', 's');
INSERT INTO mallory.source VALUES (NULL, NULL, NULL, NULL), (1, 's', NULL, 'ticket_id'), (NULL, 's', 'mallory.ticket', 'ticket_id'), (1, 's', 'mallory.ticket', NULL);
INSERT INTO mallory.book VALUES (NULL);
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '55000', NULL, 'a registration of nulls');
INSERT INTO mallory.source VALUES (1, 's', 'mallory.ticket', 'ticket_id');
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '55000', NULL, 'a book without a time zone');
UPDATE mallory.book SET time_zone = 'Mars';
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '22023', 'time zone "Mars" is not known', 'a time zone of Mars');
UPDATE mallory.book SET time_zone = 'UTC';
UPDATE mallory.source SET key = '(SELECT current_user)' WHERE key IS NOT NULL;
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '0A000', 'a sub-select cannot be used in an expression', 'a key that is no expression');
ALTER TABLE mallory.source ALTER COLUMN source_id TYPE text;
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '42703', 'table "source" of the book has no column "source_id" of type smallint', 'a column of another type');
DROP TABLE mallory.source;
CREATE VIEW mallory.source AS SELECT 1::int2 AS source_id, 's'::name AS source, 'mallory.ticket'::regclass AS relation, 'ticket_id'::text AS key;
SELECT throws_ok($$ INSERT INTO mallory.ticket VALUES ('x', '2025-11-11') $$, '55000', NULL, 'a view for a table');
RESET ROLE;
DROP SCHEMA mallory CASCADE;

----------------------------------------------------------------------------------------------------
-- A forged book, run by a superuser
----------------------------------------------------------------------------------------------------
SET ROLE strangers_mallory;
SELECT settle.create_book('evil') \g /dev/null
SELECT settle.add_rule('evil', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', accumulate => 'month') \g /dev/null
INSERT INTO evil.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-11', 'a', 'b', 'w', 100);
SELECT settle.add_decision('evil', 'level', fallback => '1') \g /dev/null
CREATE TABLE evil.level AS SELECT 'w'::text AS worker, 2 AS outcome;
CREATE FUNCTION evil.fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.trap VALUES (current_user, tg_table_name);
    RETURN coalesce(NEW, OLD);
END $$;
SELECT format('CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON evil.%I FOR EACH ROW EXECUTE FUNCTION evil.fire()', relname)
FROM pg_class WHERE relnamespace = 'evil'::regnamespace AND relkind = 'r' \gexec
RESET ROLE;
SELECT lives_ok($$ SELECT settle.run('evil') $$, 'triggers on every table fire');
SELECT settle.add_choice('evil', 'x', 'first'), settle.add_rule('evil', 's', 's', 'hq', 'p', base => '1'), settle.end_rule('evil', 's', now()), settle.rescan('evil') \g /dev/null
CALL settle.run_all('evil');
SELECT count(*) FROM settle.check('evil') \g /dev/null
SELECT count(*) FROM settle.explain('evil', 'ticket', '1') \g /dev/null
SELECT count(*) FROM settle.lines_of('evil', 'hq') \g /dev/null
SELECT settle.rules('evil') \g /dev/null
SELECT settle.decide('evil', 'level', t, 'ticket') FROM evil.ticket AS t \g /dev/null
SELECT settle.add_table('evil', 'level', '{worker}', 'evil.level', 'ticket') \g /dev/null
SELECT isnt((SELECT count(*) FROM public.trap), 0::bigint, 'they did');
SELECT is((SELECT string_agg(DISTINCT fired_as, ' ') FROM public.trap), 'strangers_mallory', 'as the owner of the forged book, never as the superuser');
TRUNCATE public.trap;

-- nor can they become him
SET ROLE strangers_mallory;
CREATE FUNCTION evil.climb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE current_setting('strangers.climb'); RETURN NEW; END $$;
CREATE TRIGGER climb BEFORE INSERT ON evil.run FOR EACH ROW EXECUTE FUNCTION evil.climb();
RESET ROLE;
CREATE FUNCTION public.climbing(how text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('strangers.climb', how, false); SELECT settle.rescan('evil'); SELECT 'SELECT settle.run(''evil'')' $$;
SELECT throws_ok(public.climbing(how), '42501', message, how) FROM (VALUES
    ('RESET ROLE', 'cannot set parameter "role" within security-definer function'), ('SET ROLE postgres', 'cannot set parameter "role" within security-definer function'),
    ('SET SESSION AUTHORIZATION DEFAULT', 'cannot set parameter "session_authorization" within security-definer function'),
    ('CREATE TEMP TABLE x ()', 'cannot create temporary table within security-restricted operation')) AS v(how, message);
SET ROLE strangers_mallory;
DROP TRIGGER climb ON evil.run;
-- a deferred trigger would fire at commit, when the superuser is himself again
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON evil.run DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.fire();
RESET ROLE;
SELECT throws_ok($$ SELECT settle.run('evil') FROM settle.rescan('evil') $$, '42501', 'cannot fire deferred trigger within security-restricted operation', 'a deferred trigger');
SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE tgfoid = 'evil.fire'::regproc \gexec
TRUNCATE public.trap;

-- tables that are views, columns of other types, nulls: no book
DROP TRIGGER rules_changed ON evil.book;
CREATE FUNCTION evil.fires() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trap VALUES (current_user, 'view'); RETURN true; END $$;
CREATE FUNCTION public.every_entry() RETURNS SETOF text LANGUAGE sql
BEGIN ATOMIC
    SELECT unnest(ARRAY['SELECT settle.run(''evil'')', 'SELECT settle.rescan(''evil'')', 'SELECT * FROM settle.check(''evil'')', 'SELECT * FROM settle.explain(''evil'', ''ticket'', ''1'')',
        'SELECT * FROM settle.lines_of(''evil'', ''hq'')', 'SELECT settle.rules(''evil'')', 'SELECT settle.add_choice(''evil'', ''z'', ''first'')', 'CALL settle.run_all(''evil'')',
        'SELECT settle.excuse(''evil'', ''ticket'', ''1'', ''x'')', 'SELECT settle.end_rule(''evil'', ''r'', now())', 'SELECT settle.decide(''evil'', ''level'', t, ''ticket'') FROM evil.ticket AS t', 'SELECT settle.add_table(''evil'', ''level'', ''{worker}'', ''evil.level'', ''ticket'')',
        'SELECT settle.add_source(''evil'', ''z'', ''evil.ticket'', ''ticket_id'', ''done_at'')']);
END;
CREATE FUNCTION public.refused_everywhere(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE statement text; state text; answers text[] := '{}';
BEGIN
    BEGIN
        -- the views of the book hold the columns they read
        FOR statement IN SELECT format('DROP VIEW IF EXISTS evil.%I CASCADE', relname) FROM pg_class WHERE relnamespace = 'evil'::regnamespace AND relkind = 'v' LOOP
            EXECUTE statement;
        END LOOP;
        EXECUTE change;
        FOR statement IN SELECT * FROM public.every_entry() LOOP
            BEGIN
                EXECUTE statement;
                answers := answers || ('accepted: ' || statement);
            EXCEPTION WHEN OTHERS THEN
                IF SQLSTATE <> '42704' THEN answers := answers || (SQLSTATE || ': ' || SQLERRM || ' in ' || statement); END IF;
            END;
        END LOOP;
        RAISE 'undo' USING ERRCODE = 'XXUDO';
    EXCEPTION WHEN SQLSTATE 'XXUDO' THEN NULL;
    END;
    RETURN array_to_string(answers, E'\n');
END $$;
SELECT is(public.refused_everywhere(change), '', change) FROM (VALUES
    ('ALTER TABLE evil.book ALTER COLUMN currency TYPE int USING 7'), ('ALTER TABLE evil.book ALTER COLUMN rule_revision TYPE text'), ('ALTER TABLE evil.book ALTER COLUMN time_zone DROP NOT NULL'),
    ('ALTER TABLE evil.source ALTER COLUMN on_delete DROP NOT NULL'), ('ALTER TABLE evil.sheet ALTER COLUMN revenue TYPE text'), ('ALTER TABLE evil.party DROP COLUMN side CASCADE'),
    ('ALTER TABLE evil.tally_state ALTER COLUMN amount TYPE int'), ('ALTER TABLE evil.book RENAME TO real_book; CREATE VIEW evil.book AS SELECT * FROM evil.real_book WHERE evil.fires()'),
    ('ALTER TABLE evil.source RENAME TO real_source; CREATE VIEW evil.source AS SELECT * FROM evil.real_source WHERE evil.fires()'),
    ('ALTER TABLE evil.sheet RENAME TO real_sheet; CREATE VIEW evil.sheet AS SELECT * FROM evil.real_sheet WHERE evil.fires()'),
    ('ALTER TABLE evil.pending RENAME TO real_pending; CREATE VIEW evil.pending AS SELECT * FROM evil.real_pending WHERE evil.fires()'),
    ('DROP TABLE evil.rule CASCADE'), ('DROP TABLE evil.gate')) AS v(change);
SELECT is((SELECT count(*) FROM public.trap), 0::bigint, 'no view was looked into');

-- a source that is a stranger's view, default or policy runs as the owner of the book
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SET ROLE strangers_mallory;
CREATE FUNCTION evil.log(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trap VALUES (current_user, $1); RETURN true; END $$;
CREATE VIEW evil.tickets AS SELECT 'v1' AS id, '2025-11-11'::timestamptz AS at, 5::numeric AS amount WHERE evil.log('view');
SELECT settle.add_source('evil', 'tickets', 'evil.tickets', 'id', 'at') \g /dev/null
SELECT settle.add_rule('evil', 'v', 'v', 'hq', 'p', base => 'amount', source => 'tickets') \g /dev/null
ALTER TABLE evil.run ADD COLUMN extra boolean DEFAULT evil.log('default'), ADD CHECK (evil.log('check'));
RESET ROLE;
TRUNCATE public.trap;
SELECT lives_ok($$ SELECT settle.run('evil') FROM settle.rescan('evil') $$, 'a view, a default and a constraint of a stranger');
SELECT is((SELECT string_agg(DISTINCT fired_as || ' ' || fired_by, ', ') FROM public.trap WHERE fired_by IN ('view', 'default', 'check')),
    'strangers_mallory check, strangers_mallory default, strangers_mallory view', 'run as their author');

----------------------------------------------------------------------------------------------------
-- Rights on a book
----------------------------------------------------------------------------------------------------
SET ROLE strangers_mallory;
SELECT throws_ok(replace(statement, 'evil', 'repairs'), '42501', 'permission denied for book "repairs"', replace(statement, 'evil', 'repairs')) FROM public.every_entry() AS statement WHERE statement NOT LIKE ALL ('{%add_source%,%add_table%,%decide%}');
SELECT throws_ok($$ SELECT settle.add_source('repairs', 'z', 'public.trap', 'fired_by', 'now()') $$, '42501', 'permission denied for book "repairs"', 'a source for another''s book');
RESET ROLE;
SELECT set_eq($$ SELECT DISTINCT relname::text FROM pg_class, LATERAL aclexplode(coalesce(relacl, acldefault('r', relowner))) AS a
    WHERE relnamespace = 'repairs'::regnamespace AND relkind IN ('r', 'v') AND a.grantee <> relowner $$, ARRAY[]::text[], 'a new book is open to its owner alone');

-- who may write tickets of another's book acts with nobody's rights but the owner's, and only as far as settling goes
SET ROLE strangers_owner;
SELECT settle.create_book('shop', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('shop', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', accumulate => 'month') \g /dev/null
GRANT USAGE ON SCHEMA shop TO strangers_writer;
GRANT INSERT ON shop.ticket TO strangers_writer;
CREATE FUNCTION shop.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trap VALUES (current_user, tg_table_name); RETURN NEW; END $$;
CREATE TRIGGER fire BEFORE INSERT ON shop.sheet FOR EACH ROW EXECUTE FUNCTION shop.fire();
CREATE TRIGGER fire BEFORE INSERT ON shop.party FOR EACH ROW EXECUTE FUNCTION shop.fire();
RESET ROLE;
TRUNCATE public.trap;
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('by root', '2025-11-11', 'a', 'b', 'w', 100);
SET ROLE strangers_writer;
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('by writer', '2025-11-11', 'a', 'b', 'w', 100);
RESET ROLE;
SELECT is((SELECT string_agg(DISTINCT fired_as, ' ') FROM public.trap), 'strangers_owner', 'at commit, too, a book''s code runs as its owner, whoever writes');
SELECT is((SELECT sum(amount) FROM shop.line_detail), 10.00, 'both tickets are settled');

----------------------------------------------------------------------------------------------------
-- Operators and functions in the schema of ltree, closer in type than PostgreSQL's own
----------------------------------------------------------------------------------------------------
SET ROLE strangers_mallory;
CREATE FUNCTION public.spring(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trap VALUES (current_user, what); RETURN true; END $$;
SELECT format('CREATE FUNCTION public.%I(%s, %s) RETURNS boolean LANGUAGE plpgsql AS %L; CREATE OPERATOR public.%s (FUNCTION = public.%1$I, LEFTARG = %2$s, RIGHTARG = %3$s)',
    'spring_' || row_number() OVER (), l, r, format('BEGIN RETURN public.spring(%L); END', concat_ws(' ', l, op, r)), op)
FROM unnest('{=,<>,<,<=,>,>=,||,+,-,*,<@,@>,&&}'::text[]) AS op,
    unnest('{text,name,int2,int4,int8,numeric,date,timestamptz,oid,regclass,daterange,tstzrange,text[],int8[],bytea,jsonb,bool}'::text[]) AS l,
    unnest('{text,name,int2,int4,int8,numeric,date,timestamptz,oid,regclass,daterange,tstzrange,text[],int8[],bytea,jsonb,bool}'::text[]) AS r
WHERE NOT EXISTS (SELECT FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname = op AND o.oprleft = l::regtype AND o.oprright = r::regtype) \gexec
CREATE FUNCTION public.lower(tstzrange) RETURNS timestamptz LANGUAGE sql RETURN CASE WHEN public.spring('lower') THEN now() END;
CREATE FUNCTION public.upper(tstzrange) RETURNS timestamptz LANGUAGE sql RETURN CASE WHEN public.spring('upper') THEN now() END;
CREATE FUNCTION public.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql BEGIN ATOMIC SELECT 1::bigint WHERE public.spring('unnest'); END;
CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC SELECT ''::text WHERE public.spring('unnest'); END;
CREATE FUNCTION public.format(text, bigint, numeric, numeric, numeric) RETURNS text LANGUAGE sql RETURN public.spring('format')::text;
CREATE FUNCTION public.jsonb_build_object(text, text) RETURNS jsonb LANGUAGE sql RETURN to_jsonb(public.spring('jsonb_build_object'));
CREATE FUNCTION public.first(text, text) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'stranger';
CREATE AGGREGATE public.array_agg(text) (SFUNC = public.first, STYPE = text);
RESET ROLE;
TRUNCATE public.trap;
SET search_path = pg_catalog;		-- our own statements step around them; any error here ends the test
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-11', 'a.b', 'b', 'w', 100), ('2', '2025-11-11', 'a', 'b', 'w', 50), ('3', NULL, 'a', 'b', NULL, 50);
SELECT settle.add_decision('repairs', 'd', fallback => '1'), settle.add_outcome('repairs', 'd', $$ project <@ 'a' and amount >= 5.0 $$, '1.1') \g /dev/null
SELECT settle.add_rule('repairs', 's', 's', 'hq', payees => $$ array['p' || worker, 'q'] $$, base => 'amount', factors => '{d}', applies_when => $$ region = 'b' $$, valid => '[2025-01-01,)') \g /dev/null
CREATE TABLE repairs.level AS SELECT 'w'::text AS worker, 2 AS outcome, 1 AS priority;
SELECT settle.add_table('repairs', 'd', '{worker}', 'repairs.level', 'ticket'), settle.decide('repairs', 'd', t, 'ticket') FROM repairs.ticket AS t LIMIT 1 \g /dev/null
SELECT settle.run('repairs') \g /dev/null
UPDATE repairs.ticket SET amount = 60, worker = 'v' WHERE ticket_id = '1';
DELETE FROM repairs.ticket WHERE ticket_id = '2';
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('4', clock_timestamp() + interval '1 day', 'a', 'b', 'w', 1), ('5', '2025-11-11', 'a', 'b', NULL, 1);
SELECT settle.run('repairs', 100) \g /dev/null
SELECT settle.rescan('repairs'), settle.rescan('repairs', '2025-01-01', '2026-01-01', 'ticket') \g /dev/null
CALL settle.run_all('repairs', 2);
SELECT * FROM settle.check('repairs') \g /dev/null
SELECT * FROM settle.explain('repairs', 'ticket', '1') \g /dev/null
SELECT * FROM settle.lines_of('repairs', 'hq', '[2025-01-01,2026-01-01)') \g /dev/null
SELECT settle.rules('repairs'), settle.end_rule('repairs', 's', '2025-12-01') \g /dev/null
SELECT * FROM settle.books() \g /dev/null
SELECT settle.create_book('among') \g /dev/null
SELECT settle.add_source('among', 'company', 'repairs.ticket', 'ticket_id', 'done_at') \g /dev/null
SELECT * FROM repairs.line_detail, repairs.revenue_matrix, repairs.tally \g /dev/null
UPDATE repairs.rule SET title = 'x';
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('2', '2025-11-11', 'a', 'b', 'w', 100);
SELECT format('DROP OPERATOR %s', o.oid::regoperator) FROM pg_operator AS o WHERE oprnamespace = 'public'::regnamespace AND oprowner = 'strangers_mallory'::regrole \gexec
RESET search_path;
SELECT is((SELECT string_agg(DISTINCT fired_as || ': ' || fired_by, ', ') FROM public.trap WHERE fired_by NOT IN ('sheet', 'party')), NULL, 'no trap was sprung');
SELECT is((SELECT count(*) FROM repairs.run), 6::bigint, 'although there was something to do');

----------------------------------------------------------------------------------------------------
-- The name of a book that is gone
----------------------------------------------------------------------------------------------------
CREATE TABLE public.secret (id int PRIMARY KEY, at timestamptz, pin text);
SELECT settle.create_book('going') \g /dev/null
SELECT settle.add_source('going', 's', 'public.secret', 'id', 'at') \g /dev/null
DROP SCHEMA going CASCADE;
SET ROLE strangers_mallory;
CREATE SCHEMA going;
CREATE TABLE going.book (time_zone text);
INSERT INTO going.book VALUES ('UTC');
CREATE TABLE going.source (source_id int2, source name, relation regclass, key text, reverses text);
INSERT INTO going.source VALUES (1, 's', 'public.secret', 'pin');
CREATE TABLE going.pending (source_id int2 NOT NULL, ticket_key text, scanned boolean NOT NULL);
RESET ROLE;
SELECT throws_ok($$ INSERT INTO public.secret VALUES (1, now(), '1234') $$, '55000', NULL, 'whoever takes its name gets an error');
SELECT is((SELECT count(*) FROM going.pending), 0::bigint, 'and no pin');

DROP OWNED BY strangers_mallory, strangers_owner, strangers_writer CASCADE;
DROP ROLE strangers_mallory, strangers_owner, strangers_writer;
SELECT * FROM finish();
