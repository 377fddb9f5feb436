-- Packs: rules that are drafted, submitted, approved by another person, enabled
-- and disabled together; their scope, choices among them, the base once a
-- period has closed.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS packs_maker, packs_checker, packs_reader;
CREATE ROLE packs_maker;
CREATE ROLE packs_checker;
CREATE ROLE packs_reader;
SELECT settle.create_book('repairs') \g /dev/null
INSERT INTO repairs.access (role, level, granted_by) VALUES ('packs_maker', 'clerk', 'test'), ('packs_checker', 'approver', 'test'), ('packs_reader', 'reader', 'test');
-- what tests ask of the book's tables is asked by the owner
GRANT USAGE ON SCHEMA repairs TO PUBLIC;

SELECT settle.add_rule('repairs', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%') \g /dev/null
SELECT settle.add_rule('repairs', 'parts', 'parts', 'hq', 'depot', base => 'cost') \g /dev/null
CREATE FUNCTION repairs.add_ticket(id text, done timestamptz, region ltree DEFAULT 'cn.east.sh', amount numeric DEFAULT 1000, channel text DEFAULT 'web') RETURNS void LANGUAGE sql AS
$$ INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, cost, channel) VALUES (id, done, 'install', region, 'w1', amount, 10, channel) $$;
CREATE FUNCTION repairs.pays(id text) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(rule_code || ' ' || trim_scale(amount), ', ' ORDER BY rule_code) FROM (SELECT rule_code, sum(amount) AS amount FROM repairs.line_detail WHERE ticket_key = id GROUP BY rule_code HAVING sum(amount) <> 0) AS l $$;
CREATE FUNCTION repairs.quote(id text, packs text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(u.rule || ' ' || trim_scale(u.amount), ', ' ORDER BY u.rule) FROM repairs.ticket AS t, settle.evaluate(settle.rules('repairs', packs => packs), t) AS l, settle.unnest(l) AS u WHERE t.ticket_id = id $$;
-- runs a statement in the session of somebody else
CREATE FUNCTION public.by(role name, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	before CONSTANT name := session_user;
BEGIN
	PERFORM set_config('session_authorization', role, true);
	EXECUTE statement;
	PERFORM set_config('session_authorization', before, true);
END $$;

----------------------------------------------------------------------------------------------------
-- The life of a pack
----------------------------------------------------------------------------------------------------
SELECT repairs.add_ticket('t1', '2025-11-05'), repairs.add_ticket('t2', '2025-11-20'), repairs.add_ticket('t3', '2025-11-20', 'cn.west.cd') \g /dev/null
SELECT results_eq('SELECT pack, state, valid FROM repairs.pack', $$ VALUES ('base', 'enabled', '(,)'::tstzrange) $$, 'the base stands in every book');
SELECT settle.digest(settle.rules('repairs')) AS before \gset
SELECT lives_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.add_pack('repairs', 'east', $s$region <@ 'cn.east'$s$, ends => '{visit}', title => 'East, new rates') $q$) $$, 'a clerk drafts');
SELECT lives_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.add_rule('repairs', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '7%', pack => 'east') $q$) $$, 'with a rule that is to take the place of another');
SELECT lives_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.add_rule('repairs', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => '9', pack => 'east') $q$) $$, 'and one of its own');
SELECT is(settle.digest(settle.rules('repairs'))::text, :'before', 'a draft changes nothing');
SELECT is(repairs.quote('t2'), 'parts 10, visit 50', 'nor what a ticket gives');
SELECT is(repairs.quote('t2', '{east}'), 'bonus 9, parts 10, visit 70', 'unless it is asked for');
SELECT is(repairs.quote('t3', '{east}'), 'parts 10', 'its scope limits its rules, not what it ends');
SELECT is((SELECT drafted_by FROM repairs.pack WHERE pack = 'east'), 'packs_maker', 'who drafted is known');

SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'east') $$, '55000', 'pack "east" is draft, not approved', 'a draft cannot be enabled');
SELECT throws_ok($$ SELECT settle.approve_pack('repairs', 'east', 'good') $$, '55000', 'pack "east" is draft, not submitted', 'nor approved');
SELECT throws_ok($$ SELECT settle.submit_pack('repairs', 'esat', 'rates of 2026') $$, '42704', 'pack "esat" does not exist', 'a pack that is none');
SELECT throws_ok($$ SELECT public.by('packs_reader', $q$ SELECT settle.submit_pack('repairs', 'east', 'x') $q$) $$, '42501', NULL, 'a reader submits nothing');
SELECT lives_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.submit_pack('repairs', 'east', 'rates of 2026') $q$) $$, 'submitted');
SELECT throws_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.add_rule('repairs', 'more', 'more', 'hq', 'p', base => '1', pack => 'east') $q$) $$, '55000', 'pack "east" is submitted and cannot be changed', 'what is submitted takes no further rule');
SELECT throws_ok(statement, '55000', 'pack "east" is submitted and cannot be changed', statement) FROM (VALUES
	($$ UPDATE repairs.rule SET tiers = '9%' WHERE pack = 'east' AND code = 'visit' $$), ($$ DELETE FROM repairs.rule WHERE pack = 'east' $$),
	($$ UPDATE repairs.rule SET pack = 'base' WHERE pack = 'east' AND code = 'bonus' $$), ($$ UPDATE repairs.rule SET pack = 'east' WHERE code = 'parts' $$),
	($$ SELECT settle.end_rule('repairs', 'visit', '2027-01-01', pack => 'east') $$), ($$ UPDATE repairs.pack SET applies_when = 'true' WHERE pack = 'east' $$),
	($$ SELECT settle.add_decision('repairs', 'd', pack => 'east') $$), ($$ SELECT settle.add_choice('repairs', 'c', 'first', pack => 'east') $$)) AS v(statement);
SELECT throws_ok($$ DELETE FROM repairs.pack WHERE pack = 'east' $$, NULL, NULL, 'and it does not go');
SELECT throws_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.approve_pack('repairs', 'east', 'good') $q$) $$, '42501', NULL, 'a clerk does not approve');
SELECT throws_ok($$ UPDATE repairs.pack SET state = 'enabled', valid = '[2025-01-01,)' WHERE pack = 'east' $$, NULL, NULL, 'no step is left out');
SELECT throws_ok($$ INSERT INTO repairs.pack (pack, state, valid, digest, submitted_by, approved_by) VALUES ('x', 'enabled', '(,)', '\x00', 'a', 'b') $$, '55000', 'pack "x" cannot begin as enabled', 'nor by writing the row');
SELECT lives_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.reject_pack('repairs', 'east', 'no bonus in a year of losses') $q$) $$, 'an approver gives it back');
SELECT lives_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.submit_pack('repairs', 'east', 'agreed with the regions') $q$) $$, 'and it is submitted again');
-- maker and checker, whatever their levels
INSERT INTO repairs.access (role, level, granted_by) VALUES ('packs_maker', 'approver', 'test');
SELECT throws_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.approve_pack('repairs', 'east', 'good') $q$) $$, '42501', 'pack "east" needs the approval of another person', 'nobody approves his own');
SELECT throws_ok($$ UPDATE repairs.pack SET state = 'approved', approved_by = drafted_by WHERE pack = 'east' $$, '23514', NULL, 'the table says so, too');
SELECT lives_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.approve_pack('repairs', 'east', 'good') $q$) $$, 'another person does');
SELECT throws_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.approve_pack('repairs', 'east', 'good') $q$) $$, '55000', 'pack "east" is approved, not submitted', 'once');
SELECT throws_ok($$ SELECT settle.add_rule('repairs', 'more', 'more', 'hq', 'p', base => '1', pack => 'east') $$, '55000', 'pack "east" is approved and cannot be changed', 'what is approved stays as it is');
SELECT is(settle.digest(settle.rules('repairs'))::text, :'before', 'and is still not in force');
SELECT * FROM settle.run('repairs') \g /dev/null
SELECT is(repairs.pays('t2'), 'parts 10, visit 50', 'what is posted by then');
-- behind the back of the triggers
SET session_replication_role = replica;
UPDATE repairs.rule SET tiers = '70%' WHERE pack = 'east' AND code = 'visit';
RESET session_replication_role;
SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'east') $$, '55000', 'pack "east" is not what was submitted', 'the digest tells');
SET session_replication_role = replica;
UPDATE repairs.rule SET tiers = '7%' WHERE pack = 'east' AND code = 'visit';
RESET session_replication_role;
SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'east', 'infinity') $$, '22023', NULL, 'never is no time');
SELECT lives_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.enable_pack('repairs', 'east', '2025-11-11') $q$) $$, 'enabled from a day on');
SELECT results_eq($$ SELECT state, valid, drafted_by, submitted_by, approved_by, enabled_by, reason FROM repairs.pack WHERE pack = 'east' $$,
	$$ VALUES ('enabled', '[2025-11-11,)'::tstzrange, 'packs_maker', 'packs_maker', 'packs_checker', 'packs_checker', 'good') $$, 'who did what');
SELECT results_eq($$ SELECT pack, valid FROM repairs.rule WHERE code = 'visit' ORDER BY pack $$, $$ VALUES ('base', '(,2025-11-11)'::tstzrange), ('east', '(,)') $$, 'what it replaces has ended');
SELECT settle.rescan('repairs');
SELECT * FROM settle.run('repairs') \g /dev/null
SELECT is(repairs.pays('t1'), 'parts 10, visit 50', 'before it, all is as it was');
SELECT is(repairs.pays('t2'), 'bonus 9, parts 10, visit 70', 'from then on its rules apply');
SELECT is(repairs.pays('t3'), 'parts 10', 'where its scope holds');
SELECT is_empty($$ SELECT * FROM settle.check('repairs') $$, 'and the book agrees');
SELECT throws_ok($$ SELECT settle.end_rule('repairs', 'bonus', '2026-01-01', pack => 'east') $$, '55000', 'pack "east" is enabled and cannot be changed', 'an enabled pack is ended as a whole');
SELECT throws_ok($$ SELECT public.by('packs_maker', $q$ SELECT settle.redraft_pack('repairs', 'east', 'x') $q$) $$, '55000', 'pack "east" is enabled, not submitted or approved', 'and is no draft again');
SELECT lives_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.disable_pack('repairs', 'east', '2025-11-25') $q$) $$, 'disabled');
SELECT repairs.add_ticket('t4', '2025-11-26') \g /dev/null
SELECT * FROM settle.run('repairs') \g /dev/null
SELECT is(repairs.pays('t4'), 'parts 10', 'after its end it applies no more, and brings nothing back');
SELECT is(repairs.pays('t2'), 'bonus 9, parts 10, visit 70', 'what it gave stays');
SELECT throws_ok($$ SELECT settle.disable_pack('repairs', 'base') $$, '55000', 'pack "base" is in force for ever, not enabled', 'the base stays');

-- one that was wrong from its start is withdrawn; another takes its place from the same day
CREATE FUNCTION repairs.pass(name text) RETURNS void LANGUAGE sql AS $$
	SELECT settle.submit_pack('repairs', name, 'test');
	SELECT public.by('packs_checker', format('SELECT settle.approve_pack(''repairs'', %L, ''test'')', name)) $$;
SELECT settle.add_pack('repairs', 'late', ends => '{}') \g /dev/null
SELECT settle.add_rule('repairs', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '2%', pack => 'late', accumulate => 'month', valid => '[2025-11-25,)') \g /dev/null
SELECT repairs.pass('late') \g /dev/null
SELECT settle.enable_pack('repairs', 'late', '2025-11-25') \g /dev/null
SELECT settle.rescan('repairs');
SELECT * FROM settle.run('repairs') \g /dev/null
SELECT is(repairs.pays('t4'), 'parts 10, visit 20', 'a pack with a wrong rate');
SELECT settle.disable_pack('repairs', 'late', '2025-11-25') \g /dev/null
SELECT is((SELECT isempty(valid) FROM repairs.pack WHERE pack = 'late'), true, 'withdrawn');
SELECT settle.add_pack('repairs', 'right') \g /dev/null
SELECT settle.add_rule('repairs', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '4%', pack => 'right', accumulate => 'month') \g /dev/null
SELECT repairs.pass('right') \g /dev/null
SELECT settle.enable_pack('repairs', 'right', '2025-11-25') \g /dev/null
SELECT settle.rescan('repairs');
SELECT * FROM settle.run('repairs') \g /dev/null
SELECT is(repairs.pays('t4'), 'parts 10, visit 40', 'what the withdrawn pack gave is taken back');
SELECT is_empty($$ SELECT * FROM settle.check('repairs') $$, 'and the book agrees');
SELECT is(settle.rules('repairs')::text::settle.ruleset::text, settle.rules('repairs')::text, 'a ruleset with packs reads as it prints');
SELECT is(settle.rules('repairs')::jsonb #> '{packs}', '{"east": {"source": "ticket", "applies_when": "region <@ ''cn.east''", "from": "2025-11-10T16:00:00.000000Z", "until": "2025-11-24T16:00:00.000000Z"},
	"late": {"until": "-infinity"}, "right": {"from": "2025-11-24T16:00:00.000000Z"}}'::jsonb, 'what limits them');
SELECT is(jsonb_path_query_array(settle.rules('repairs', '[2025-11-12,2025-11-13)')::jsonb, '$.rules[*].pack'), '["east", "east"]', 'those in force in some days');

SELECT * FROM finish();
DROP SCHEMA repairs CASCADE;
DROP ROLE packs_maker, packs_checker, packs_reader;
