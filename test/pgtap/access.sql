-- Who may do what, who did it and why: levels on every function that takes a
-- book, act_as, the journal, parties and the second person who confirms them.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(96);
DROP ROLE IF EXISTS access_stranger, access_reader, access_clerk, access_approver, access_staff, access_connector, access_personal, access_delegate, access_admin, access_member, access_both;
CREATE ROLE access_stranger; CREATE ROLE access_reader; CREATE ROLE access_clerk; CREATE ROLE access_approver; CREATE ROLE access_staff; CREATE ROLE access_connector; CREATE ROLE access_personal;
CREATE ROLE access_delegate; CREATE ROLE access_admin; CREATE ROLE access_both;
CREATE ROLE access_member IN ROLE access_clerk;
SELECT settle.create_book('repairs') \g /dev/null
SELECT settle.grant_access('repairs', ('access_' || l)::regrole, l, 'the first day') FROM unnest('{reader,clerk,approver,staff,connector,personal,delegate,admin}'::text[]) AS l \g /dev/null
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2025-11-11', 'a', 'b', 100);
SELECT settle.add_rule('repairs', 'fee', 'fee', 'hq', 'dealer:1', base => 'amount', tiers => '10%') \g /dev/null
-- whoever logs in is the session user; one connection is several people here
CREATE FUNCTION public.as_user(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SET SESSION AUTHORIZATION %I', who);
    BEGIN
        EXECUTE statement INTO answer;
    EXCEPTION WHEN OTHERS THEN
        answer := SQLSTATE || ': ' || SQLERRM;
    END;
    RESET SESSION AUTHORIZATION;
    RETURN answer;
END $$;

----------------------------------------------------------------------------------------------------
-- Levels, as docs/access.md has them
----------------------------------------------------------------------------------------------------
\set page `cat docs/access.md`
CREATE TEMP TABLE documented AS
SELECT m[1] AS function, m[2] AS level FROM regexp_matches(:'page', '^\| `([a-z_]+)` \| ([a-z]+) \|$', 'gn') AS m;
-- a call with values of the right types for the parameters that must be given
CREATE TEMP VIEW call AS
SELECT p.oid, p.proname::text AS function, (CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END) || format(' settle.%I(%s)', p.proname,
    (SELECT string_agg(CASE WHEN n = 1 THEN '''repairs''' ELSE CASE t::text
            WHEN 'regclass' THEN 'repairs.ticket'::regclass::oid::text WHEN 'regrole' THEN '''access_stranger''' WHEN 'record' THEN 'ROW(1)'
            WHEN 'settle.ruleset' THEN 'settle.rules(''repairs'')' WHEN 'text' THEN '''x''' WHEN 'name' THEN '''x''' WHEN 'text[]' THEN '''{x}''' WHEN 'bigint[]' THEN '''{1}''' WHEN 'bytea' THEN '''x'''
            WHEN 'jsonb' THEN '''{}''' WHEN 'boolean' THEN 'true' WHEN 'settle.tiers' THEN '''5%''' WHEN 'daterange' THEN '''(,)''' WHEN 'tstzrange' THEN '''(,)'''
            WHEN 'date' THEN '''2025-11-01''' WHEN 'timestamp with time zone' THEN '''2025-11-11''' WHEN 'interval' THEN '''1 day''' ELSE '1' END || '::' || t END, ', ' ORDER BY n)
     FROM unnest(p.proargtypes::regtype[]) WITH ORDINALITY AS u(t, n) WHERE n <= p.pronargs - p.pronargdefaults)) AS statement
FROM pg_proc AS p
WHERE p.pronamespace = 'settle'::regnamespace AND p.proname NOT LIKE '\_%' AND p.proargtypes[0] = 'regnamespace'::regtype
    -- they tell whoever asks of himself
    AND p.proname NOT IN ('actor', 'reason', 'own_parties');
-- says whether a call got past the check of the level, and undoes what it did
CREATE FUNCTION public.outcome(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text := 'allowed';
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', who);
        EXECUTE statement;
        RAISE EXCEPTION SQLSTATE 'ZZ999';
    EXCEPTION WHEN insufficient_privilege THEN
        IF SQLERRM ~ '^(permission denied for book|role ".*" acts for nobody)' THEN answer := 'refused'; END IF;
    WHEN OTHERS THEN NULL;
    END;
    RETURN answer;
END $$;
SELECT set_eq('SELECT function FROM call', 'SELECT function FROM documented', 'every function that takes a book has its level in docs/access.md');
SELECT is_empty($$ SELECT statement FROM call WHERE public.outcome('access_stranger', statement) <> 'refused' $$, 'a stranger is refused everywhere');
SELECT is_empty(format($$ SELECT statement FROM call JOIN documented USING (function) WHERE public.outcome(%L, statement) <> CASE WHEN level = ANY (%L) THEN 'allowed' ELSE 'refused' END $$,
    'access_' || who, may), format('level %s may what is documented', who))
FROM (VALUES ('reader', '{reader}'::text[]), ('clerk', '{reader,clerk,staff,connector}'), ('approver', '{reader,approver}'), ('staff', '{staff}'), ('connector', '{connector}'), ('personal', '{reader,personal}'), ('delegate', '{reader,delegate}'),
    ('member', '{reader,clerk,staff,connector}'), ('admin', '{reader,clerk,approver,staff,connector,admin}')) AS v(who, may);
BEGIN;
SET LOCAL ROLE access_delegate;
SELECT settle.act_as('repairs', 'staff:7') \g /dev/null
RESET ROLE;
SELECT coalesce(string_agg(statement, '; ') FILTER (WHERE public.outcome('access_delegate', statement) <> CASE WHEN level IN ('admin', 'personal') THEN 'refused' ELSE 'allowed' END), '') AS otherwise,
    coalesce(string_agg(statement, '; ') FILTER (WHERE public.outcome('access_stranger', statement) <> 'refused'), '') AS let_in
FROM call LEFT JOIN documented USING (function) \gset
ROLLBACK;
SELECT is(:'otherwise'::text, '', 'a delegate who acts for somebody may all but administer and see personal data');
SELECT is(:'let_in'::text, '', 'a stranger in the same transaction is still one');

-- what a level reads without a function
SELECT is((SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class AS c WHERE c.relnamespace = 'repairs'::regnamespace AND c.relkind = 'r' AND has_table_privilege('access_' || l, c.oid, 'SELECT')),
    CASE WHEN l NOT IN ('staff', 'connector') THEN 'alert approval dispute external_figure held job_run label leg leg_return party_period payment period person_log problem release roster run special_ticket statement statement_item statement_log unpaid' END, format('tables that level %s reads', l)) FROM unnest('{reader,clerk,approver,staff,connector,personal,delegate,admin}'::text[]) AS l;
SELECT results_eq($$ SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'repairs'::regnamespace AND c.relkind = 'v' AND NOT has_table_privilege('access_reader', c.oid, 'SELECT') $$, ARRAY['sheet_inputs'::name], 'a reader reads every view but what the rows of the source said');
SET ROLE access_reader;
SELECT is((SELECT count(*) FROM repairs.line_detail), 0::bigint, 'indeed');
SELECT throws_ok('DELETE FROM repairs.alert', '42501', NULL, 'and writes nothing');
RESET ROLE;
SELECT throws_ok($$ SELECT settle.grant_access('repairs', 'access_both', 'boss') $$, '22023', 'unknown level "boss"', 'a level that is none');
SELECT throws_ok($$ SELECT settle.grant_access('repairs', 'access_nobody', 'clerk') $$, '42704', 'role "access_nobody" does not exist', 'a role that is none');
SELECT throws_ok($$ SELECT settle.grant_access('repairs', NULL, 'clerk') $$, '22004', NULL, 'no role');
SELECT throws_ok($$ SELECT settle.grant_access('repairs', '-', 'clerk') $$, '22004', NULL, 'nobody');
SELECT settle.grant_access('repairs', 'access_both', 'clerk'), settle.grant_access('repairs', 'access_both', 'clerk'), settle.grant_access('repairs', 'access_both', 'approver') \g /dev/null
SELECT is((SELECT count(*) FROM repairs.access WHERE role = 'access_both'::regrole), 2::bigint, 'a level is given once');
SELECT settle.revoke_access('repairs', 'access_both', 'clerk') \g /dev/null
SELECT ok(has_table_privilege('access_both', 'repairs.line_detail', 'SELECT'), 'one level is left, and with it the reports');
SELECT settle.revoke_access('repairs', 'access_both', 'approver', 'left') \g /dev/null
SELECT ok(NOT has_table_privilege('access_both', 'repairs.line_detail', 'SELECT') AND NOT has_schema_privilege('access_both', 'repairs', 'USAGE'), 'none is left');
SELECT throws_ok($$ SELECT settle.revoke_access('repairs', 'access_both', 'approver') $$, '42704', 'role "access_both" does not have the level "approver" in book "repairs"', 'nothing to revoke');

-- what is not the owner's is not read for others
CREATE SCHEMA access_clerk AUTHORIZATION access_clerk;
SELECT settle.add_decision('repairs', 'level', fallback => '1') \g /dev/null
SET ROLE access_clerk;
CREATE VIEW access_clerk.trap AS SELECT 'w'::text AS worker, 1 AS outcome;
GRANT USAGE ON SCHEMA access_clerk TO PUBLIC;
GRANT SELECT ON access_clerk.trap TO PUBLIC;
RESET ROLE;
CREATE TABLE public.wages AS SELECT 'w'::text AS worker, 1 AS outcome;
SELECT is(public.as_user('access_clerk', $$ SELECT settle.add_table('repairs', 'level', '{worker}', 'access_clerk.trap') $$), '42501: permission denied for relation "trap"', 'a view of his own');
SELECT is(public.as_user('access_clerk', $$ SELECT settle.add_table('repairs', 'level', '{worker}', 'public.wages') $$), '42501: permission denied for relation "wages"', 'a table that he may not read');
SELECT is(public.as_user('access_admin', $$ SELECT settle.add_source('repairs', 'trap', 'access_clerk.trap', 'worker', 'now()') $$), '42501: permission denied for relation "trap"', 'an admin neither');
GRANT SELECT ON public.wages TO access_clerk;
SELECT is(public.as_user('access_clerk', $$ SELECT settle.add_table('repairs', 'level', '{worker}', 'public.wages') $$), '1', 'a table of the owner that he may read');

----------------------------------------------------------------------------------------------------
-- Who acts, and why
----------------------------------------------------------------------------------------------------
SELECT is(public.as_user('access_clerk', 'SELECT settle.actor() || settle.actor(''repairs'')'), 'access_clerkaccess_clerk', 'the session user');
SET ROLE access_clerk;
SELECT is(settle.actor('repairs'), 'postgres', 'whatever role he has set');
RESET ROLE;
SELECT is(public.as_user('access_delegate', $$ SELECT settle.rescan('repairs') $$), '42501: role "access_delegate" acts for nobody in book "repairs"', 'a delegate in his own name');
SELECT is(public.as_user('access_admin', $$ SELECT settle.act_as('repairs', 'staff:7') $$), '42501: permission denied for book "repairs"', 'an admin does not act for others');
BEGIN;
SET LOCAL ROLE access_delegate;
SELECT throws_ok($$ SELECT settle.act_as('repairs', NULL) $$, '22004', 'party is null', 'for nobody');
SELECT throws_ok($$ SELECT settle.act_as('repairs', ' ') $$, '22023', 'party is empty', 'for nothing');
SELECT settle.act_as('repairs', 'staff:7', 'form 1') \g /dev/null
SELECT is(settle.actor() || settle.reason(), 'staff:7form 1', 'for one, for a reason');
SAVEPOINT s;
SELECT settle.act_as('repairs', 'staff:8', 'form 2') \g /dev/null
SELECT is(settle.actor() || settle.reason(), 'staff:8form 2', 'for another');
ROLLBACK TO s;
SELECT is(settle.actor() || settle.reason(), 'staff:7form 1', 'a savepoint takes it back');
SAVEPOINT s;
SELECT settle.act_as('repairs', 'staff:8') \g /dev/null
RELEASE s;
SELECT is(settle.actor() || settle.reason(), 'staff:8form 1', 'and keeps it, with the reason that was given');
SELECT settle.because('a call') \g /dev/null
SELECT is(settle.reason('repairs'), 'a call', 'the latest reason counts');
SELECT settle.run('repairs') \g /dev/null
RESET ROLE;
SELECT is((SELECT actor FROM repairs.run), 'staff:8', 'a run tells for whom');
COMMIT;
SELECT is(settle.actor('repairs') || coalesce(settle.reason(), ' nothing'), 'postgres nothing', 'the transaction is over');
SELECT throws_ok('SELECT settle.because(NULL)', '22004', 'reason is null', 'no reason');
-- a delegate in a book of his own is nobody elsewhere
SELECT format('GRANT CREATE ON DATABASE %I TO access_clerk', current_database()) \gexec
SET ROLE access_clerk;
SELECT settle.create_book('own') \g /dev/null
SELECT settle.grant_access('own', 'access_clerk', 'delegate') \g /dev/null
BEGIN;
SELECT settle.act_as('own', 'boss', 'a trick') \g /dev/null
SELECT settle.add_party('repairs', 'dealer:9') \g /dev/null
RESET ROLE;
SELECT is((SELECT actor || coalesce(reason, ' nothing') FROM repairs.change WHERE object = 'dealer:9'), 'postgres nothing', 'acting in one book is not acting in another');
ROLLBACK;
-- nor is a trigger that somebody put on his book
SET ROLE access_clerk;
CREATE FUNCTION access_clerk.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM settle.act_as('own', 'boss'); RETURN NEW; END $$;
CREATE TRIGGER fire BEFORE INSERT ON own.party FOR EACH ROW EXECUTE FUNCTION access_clerk.fire();
SELECT throws_ok($$ SELECT settle.add_party('own', 'x') $$, '42501', 'cannot call settle.act_as within security-restricted operation', 'the code of a book does not say who acts');
RESET ROLE;

----------------------------------------------------------------------------------------------------
-- The journal
----------------------------------------------------------------------------------------------------
SELECT is((SELECT string_agg(object || ' ' || (after ->> 'reason'), ', ' ORDER BY change_id) FROM repairs.change WHERE table_name = 'access' AND reason = 'the first day'),
    (SELECT string_agg(format('access_%s %s the first day', l, l), ', ' ORDER BY n) FROM unnest('{reader,clerk,approver,staff,connector,personal,delegate,admin}'::text[]) WITH ORDINALITY AS u(l, n)), 'who got which level and why');
SELECT is((SELECT action || ' ' || reason FROM repairs.change WHERE table_name = 'access' AND object = 'access_both approver' ORDER BY change_id DESC LIMIT 1), 'delete left', 'and who lost it');
CREATE FUNCTION public.last_change() RETURNS text LANGUAGE sql STABLE
RETURN (SELECT concat_ws(' ', actor, login, reason, table_name, action, object) FROM repairs.change ORDER BY change_id DESC LIMIT 1);
SELECT settle.add_rule('repairs', 'bonus', 'bonus', 'hq', 'dealer:1', base => 'amount', tiers => '1%') \g /dev/null
SELECT is(public.last_change(), 'postgres postgres rule insert bonus', 'a rule');
BEGIN;
SELECT settle.because('the old contract') \g /dev/null
UPDATE repairs.rule SET title = 'Bonus' WHERE code = 'bonus';
SELECT is(public.last_change(), 'postgres postgres the old contract rule update bonus', 'a plain UPDATE');
SELECT is((SELECT concat_ws(' ', before ->> 'title', after ->> 'title') FROM repairs.change ORDER BY change_id DESC LIMIT 1), 'Bonus', 'before and after');
COMMIT;
SELECT settle.add_choice('repairs', 'best', 'highest') \g /dev/null
SELECT is(public.last_change(), 'postgres postgres choice insert best', 'a choice');
DELETE FROM repairs.choice;
SELECT is(public.last_change(), 'postgres postgres choice delete best', 'and its end');
TRUNCATE repairs.choice;
SELECT is(public.last_change(), 'postgres postgres choice truncate choice', 'a TRUNCATE');
SELECT settle.add_outcome('repairs', 'level', 'rush', '2') \g /dev/null
SELECT alike(public.last_change(), 'postgres postgres outcome insert level %', 'an outcome');
UPDATE repairs.book SET currency = 'EUR';
SELECT is(public.last_change(), 'postgres postgres book update book', 'a setting');
SELECT is((SELECT count(*) FROM repairs.change WHERE table_name = 'book'), 2::bigint, 'its revision is no change of the book');
UPDATE repairs.rule SET title = 'Bonus' WHERE code = 'bonus';
SELECT is(public.last_change(), 'postgres postgres book update book', 'an UPDATE that changes nothing is none');
INSERT INTO repairs.period (period, state, changed_by) VALUES ('2025-10-01', 'closed', 'x');
SELECT is(public.last_change(), 'postgres postgres period insert 2025-10-01', 'a period');
SET datestyle = 'German'; SET timezone = 'Asia/Tokyo';
UPDATE repairs.period SET changed_at = '2025-11-11 12:00+00';
SELECT is((SELECT object || ' ' || (after ->> 'changed_at') FROM repairs.change ORDER BY change_id DESC LIMIT 1), '2025-10-01 2025-11-11T12:00:00+00:00', 'the same whatever the session''s habits');
RESET datestyle; RESET timezone;
UPDATE repairs.period SET state = 'open';      -- a closed one would keep the base as it is
UPDATE repairs.ticket SET worker = 'w' WHERE ticket_id = '1';
SELECT is((SELECT count(*) FROM repairs.change WHERE table_name = 'ticket'), 0::bigint, 'tickets are no decisions');
BEGIN;
UPDATE repairs.ticket SET amount = 0;
DELETE FROM repairs.rule WHERE code = 'bonus';
SELECT settle.end_rule('repairs', 'fee', '2025-01-01'), settle.run('repairs') \g /dev/null
SELECT settle.excuse('repairs', 'ticket', '1', 'a trial') \g /dev/null
SELECT is(public.last_change(), 'postgres postgres a trial unpaid update ticket 1', 'a ticket is excused, and why');
ROLLBACK;
SELECT throws_ok(format('%s repairs.change', verb), '55000', 'table "change" of a book is append-only', verb) FROM unnest('{DELETE FROM,TRUNCATE}'::text[]) AS verb;
-- whoever may write a table of the book needs no right on the journal
GRANT USAGE ON SCHEMA repairs TO access_stranger;
GRANT INSERT ON repairs.choice TO access_stranger;
SELECT is(public.as_user('access_stranger', $$ INSERT INTO repairs.choice (choice) VALUES ('mine') RETURNING 'done' $$), 'done', 'a grant of the owner''s');
SELECT is(public.last_change(), 'access_stranger access_stranger choice insert mine', 'and who used it');
SELECT is(public.as_user('access_stranger', 'SELECT count(*) FROM repairs.change'), '42501: permission denied for table change', 'he does not read the journal');

----------------------------------------------------------------------------------------------------
-- Parties
----------------------------------------------------------------------------------------------------
SELECT is((SELECT concat_ws(' ', party, kind, side, entered_by, confirmed_by) FROM repairs.party WHERE party = 'dealer:1'), 'dealer:1 dealer outside', 'a line named it, and nobody confirmed it');
SELECT is((SELECT count(*) FROM repairs.change WHERE table_name = 'party'), 0::bigint, 'which is no decision');
SELECT is(public.as_user('access_approver', $$ SELECT settle.confirm_party('repairs', 'dealer:1', 'known') $$), '', 'confirmed');
SELECT is(public.last_change(), 'access_approver access_approver known party update dealer:1', 'by whom and why');
SELECT is(public.as_user('access_approver', $$ SELECT settle.confirm_party('repairs', 'dealer:1', 'known') $$), '55000: party "dealer:1" is confirmed already, by "access_approver"', 'once');
SELECT settle.grant_access('repairs', 'access_both', 'clerk'), settle.grant_access('repairs', 'access_both', 'approver') \g /dev/null
SELECT is(public.as_user('access_both', $$ SELECT settle.add_party('repairs', 'dealer:1', account => 'A1') $$), '', 'a new account');
SELECT is((SELECT concat_ws(' ', account, entered_by, confirmed_by, confirmed_at) FROM repairs.party WHERE party = 'dealer:1'), 'A1 access_both', 'voids the confirmation');
SELECT is(public.as_user('access_both', $$ SELECT settle.confirm_party('repairs', 'dealer:1', 'mine') $$), '42501: party "dealer:1" was entered by "access_both"', 'not by the one who entered it');
SELECT is(public.as_user('access_approver', $$ SELECT settle.confirm_party('repairs', 'dealer:1', 'seen') $$), '', 'by another');
SELECT is(public.as_user('access_clerk', $$ SELECT settle.add_party('repairs', 'dealer:1', title => 'Yunnan 7') $$), '', 'a new title');
SELECT is((SELECT concat_ws(' ', title, account, entered_by, confirmed_by) FROM repairs.party WHERE party = 'dealer:1'), 'Yunnan 7 A1 access_both access_approver', 'voids nothing');
UPDATE repairs.party SET account = 'A2', confirmed_by = 'me', confirmed_at = now() WHERE party = 'dealer:1';
SELECT is((SELECT concat_ws(' ', account, entered_by, confirmed_by) FROM repairs.party WHERE party = 'dealer:1'), 'A2 postgres', 'a plain UPDATE voids it too, whatever it says');
UPDATE repairs.party SET side = 'own' WHERE party = 'dealer:1';
SELECT is(public.last_change(), 'postgres postgres party update dealer:1', 'a new side stands in the journal');
SELECT throws_ok($$ UPDATE repairs.party SET confirmed_by = 'postgres', confirmed_at = now() WHERE party = 'dealer:1' $$, '23514', NULL, 'nobody confirms himself, by no way');
INSERT INTO repairs.party (party, side, account, confirmed_by, confirmed_at) VALUES ('dealer:2', 'outside', 'A9', 'me', now());
SELECT is((SELECT concat_ws(' ', entered_by, confirmed_by) FROM repairs.party WHERE party = 'dealer:2'), 'postgres', 'nor is one entered as confirmed');
SELECT is((SELECT count(*) FROM repairs.alert), 0::bigint, 'no two have one account');
SELECT settle.add_party('repairs', 'staff:7', account => 'A9') \g /dev/null
SELECT is((SELECT kind || ': ' || object || ': ' || message FROM repairs.alert), 'shared account: dealer:2, staff:7: parties dealer:2, staff:7 are paid to one account', 'two have');
SELECT throws_ok($$ SELECT settle.add_party('repairs', 'x', side => 'inside') $$, '23514', NULL, 'a side that is none');
SELECT throws_ok($$ SELECT settle.add_party('repairs', '') $$, '22004', 'a party must be given', 'no party');
SELECT throws_ok($$ SELECT settle.confirm_party('repairs', 'nobody', 'x') $$, '42704', 'book "repairs" has no party "nobody"', 'a party that is not there');
SELECT throws_ok($$ SELECT settle.confirm_party('repairs', 'dealer:2', NULL) $$, '22004', 'a party and a reason must be given', 'no reason');
BEGIN;
SET LOCAL ROLE access_delegate;
SELECT settle.act_as('repairs', 'staff:1') \g /dev/null
SELECT settle.add_party('repairs', 'dealer:3', account => 'A3') \g /dev/null
SELECT throws_ok($$ SELECT settle.confirm_party('repairs', 'dealer:3', 'fine') $$, '42501', 'party "dealer:3" was entered by "staff:1"', 'behind one login there are two people');
SELECT settle.act_as('repairs', 'staff:2') \g /dev/null
SELECT lives_ok($$ SELECT settle.confirm_party('repairs', 'dealer:3', 'fine') $$, 'and the second one confirms');
COMMIT;

DROP SCHEMA own CASCADE;
DROP OWNED BY access_stranger, access_reader, access_clerk, access_approver, access_staff, access_connector, access_personal, access_delegate, access_admin, access_member, access_both CASCADE;
DROP ROLE access_stranger, access_reader, access_clerk, access_approver, access_staff, access_connector, access_personal, access_delegate, access_admin, access_member, access_both;
SELECT * FROM finish();
