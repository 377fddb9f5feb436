-- Packs: rules that are drafted, submitted, approved by another person, enabled
-- and disabled together; their scope, choices among them, the base once a
-- period has closed.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS packs_owner, packs_maker, packs_checker, packs_reader;
CREATE ROLE packs_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO packs_owner', current_database()) \gexec
CREATE ROLE packs_maker;
CREATE ROLE packs_checker;
CREATE ROLE packs_reader;
SET ROLE packs_owner;
SELECT settle.create_book('repairs') \g /dev/null
RESET ROLE;
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
SELECT results_eq($$ SELECT * FROM settle.check('repairs') $$, $$ VALUES ('a pack is what was submitted until it is enabled', 'east', 'is approved, and its content has another digest') $$, 'and so does the check');
SET session_replication_role = replica;
UPDATE repairs.rule SET tiers = '7%' WHERE pack = 'east' AND code = 'visit';
RESET session_replication_role;
SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'east', 'infinity') $$, '22023', NULL, 'never is no time');
SELECT lives_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.enable_pack('repairs', 'east', '2025-11-11') $q$) $$, 'enabled from a day on');
SELECT is((SELECT edited_by FROM repairs.pack WHERE pack = 'east'), '{}', 'the drafter is no further editor, nor is who gives a pack back');
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

----------------------------------------------------------------------------------------------------
-- The base once a period has closed
----------------------------------------------------------------------------------------------------
SELECT settle.add_decision('repairs', 'level', fallback => '1'), settle.add_outcome('repairs', 'level', 'rush', '2'), settle.add_choice('repairs', 'season', 'first') \g /dev/null
INSERT INTO repairs.period (period, state, changed_by) VALUES ('2025-09-01', 'closing', 'test');
SELECT lives_ok($$ SELECT settle.add_rule('repairs', 'gift', 'gift', 'hq', 'p', base => '1', valid => '[2026-01-01,)') $$, 'a period that is closing does not keep it');
UPDATE repairs.period SET state = 'closed';
SELECT throws_ok(statement, '55000', 'pack "base" of book "repairs" can no longer be changed directly', statement) FROM (VALUES
	($$ SELECT settle.add_rule('repairs', 'more', 'more', 'hq', 'p', base => '1') $$), ($$ SELECT settle.end_rule('repairs', 'parts', '2027-01-01') $$),
	($$ UPDATE repairs.rule SET base = 'cost * 2' WHERE code = 'gift' $$), ($$ UPDATE repairs.rule SET valid = '(,2025-11-10)' WHERE code = 'visit' AND pack = 'base' $$),
	($$ UPDATE repairs.rule SET valid = '(,2025-11-12)' WHERE code = 'visit' AND pack = 'base' $$), ($$ DELETE FROM repairs.rule WHERE code = 'gift' $$),
	($$ SELECT settle.add_outcome('repairs', 'level', 'night', '3') $$), ($$ UPDATE repairs.outcome SET outcome = '4' $$), ($$ DELETE FROM repairs.outcome $$), ($$ TRUNCATE repairs.outcome $$),
	($$ SELECT settle.add_decision('repairs', 'other') $$), ($$ UPDATE repairs.decision SET fallback = '7' $$), ($$ SELECT settle.add_choice('repairs', 'other', 'first') $$),
	($$ UPDATE repairs.choice SET policy = 'unique' $$), ($$ DELETE FROM repairs.choice $$),
	($$ SELECT settle.load_rules('repairs', jsonb_set(settle.rules('repairs')::jsonb, '{rules,1,title}', '"x"')::settle.ruleset) $$)) AS v(statement);
SELECT is_empty($$ SELECT * FROM settle.load_rules('repairs', settle.rules('repairs')) $$, 'what stands can be loaded');
SELECT is_empty(format($$ SELECT * FROM settle.load_rules('repairs', settle.rules('repairs'), %L) $$, pack), pack || ', too') FROM unnest('{east,late,right}'::text[]) AS pack;
SELECT throws_ok($$ SELECT * FROM settle.load_rules('repairs', jsonb_set(settle.rules('repairs')::jsonb, '{rules,0,base}', '"99"')::settle.ruleset, 'east') $$, '55000', 'pack "east" is disabled and cannot be changed', 'but nothing else into what was enabled');
SELECT lives_ok($$ UPDATE repairs.rule SET title = title $$ || ' WHERE false', 'a statement that changes nothing is none');
SELECT settle.add_pack('repairs', 'y2026', ends => '{parts,gift}', title => 'What changes in 2026') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_rule('repairs', 'parts', 'parts', 'hq', 'depot', base => 'cost * d.wear', pack => 'y2026') $$, '42703', NULL, 'a draft is compiled at each edit');
SELECT throws_ok($$ SELECT settle.add_rule('repairs', 'visit', 'visit', 'hq', 'depot', base => 'cost', pack => 'y2026') $$, '23P01', 'two versions of rule "visit" are in force at the same time', 'together with what is in force');
SELECT settle.add_decision('repairs', 'wear', fallback => '1', pack => 'y2026'), settle.add_outcome('repairs', 'wear', $$channel = 'phone'$$, '2', pack => 'y2026') \g /dev/null
SELECT settle.add_outcome('repairs', 'level', 'night', '3', pack => 'y2026') \g /dev/null
SELECT settle.add_rule('repairs', 'parts', 'parts', 'hq', 'depot', base => 'cost * d.level * d.wear', pack => 'y2026') \g /dev/null
SELECT ok(settle.rules('repairs')::text !~ 'wear', 'decisions and outcomes of a draft are not in force');
SELECT repairs.pass('y2026') \g /dev/null
SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'y2026', '2025-09-15') $$, '55000', 'pack "y2026" would change what was settled in closed periods', 'nothing reaches back by accident');
SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'y2026', '2025-09-30 23:59') $$, '55000', NULL, 'to the last minute in book time');
SELECT lives_ok($$ SELECT settle.enable_pack('repairs', 'y2026', '2025-11-01') $$, 'an open period is open');
SELECT results_eq($$ SELECT pack, valid FROM repairs.rule WHERE code IN ('parts', 'gift') $$, $$ VALUES ('y2026', '(,)'::tstzrange), ('base', '(,2025-11-01)'::tstzrange) $$, 'a rule of the base ends; one that was to begin later goes');
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, cost, channel, night) VALUES ('t5', '2025-11-02', 'install', 'cn.west', 'w1', 0, 10, 'phone', true), ('t6', '2025-10-02', 'install', 'cn.west', 'w1', 0, 10, 'phone', true);
SELECT * FROM settle.run('repairs') \g /dev/null
SELECT is(repairs.pays('t5'), 'parts 60', 'its decisions and outcomes apply from then on');
SELECT is(repairs.pays('t6'), 'parts 10', 'and not before');
SELECT throws_ok($$ SELECT settle.disable_pack('repairs', 'y2026', '2025-09-30') $$, '55000', NULL, 'nor does its end reach back by accident');
SELECT is_empty($$ SELECT * FROM settle.check('repairs') $$, 'and the book agrees');
SELECT settle.add_pack('repairs', 'back', ends => '{parts}') \g /dev/null
INSERT INTO repairs.access (role, level, granted_by) VALUES ('packs_checker', 'clerk', 'test');
SELECT public.by('packs_checker', $$ SELECT settle.add_rule('repairs', 'mine', 'mine', 'hq', 'staff:checker', base => '1', pack => 'back') $$) \g /dev/null
DELETE FROM repairs.rule WHERE code = 'mine';
SELECT settle.submit_pack('repairs', 'back', 'test') \g /dev/null
SELECT throws_ok($$ SELECT public.by('packs_checker', $q$ SELECT settle.approve_pack('repairs', 'back', 'good') $q$) $$, '42501', 'pack "back" needs the approval of another person', 'who edited a draft does not approve it');
SELECT settle.redraft_pack('repairs', 'back', 'test') \g /dev/null
DELETE FROM repairs.pack WHERE pack = 'back';
SELECT settle.add_pack('repairs', 'back', ends => '{parts}') \g /dev/null
SELECT settle.add_rule('repairs', 'flat', 'parts', 'hq', 'depot', base => '5', pack => 'back') \g /dev/null
SELECT repairs.pass('back') \g /dev/null
SELECT throws_ok($$ SELECT settle.enable_pack('repairs', 'back', '2025-09-20', reach_back => true) $$, '55000', 'rule "parts" has settled tickets and can only be ended', 'what begins later and was used cannot go');
SELECT is((SELECT state FROM repairs.pack WHERE pack = 'back'), 'approved', 'then nothing has happened');
SELECT lives_ok($$ SELECT settle.enable_pack('repairs', 'back', '2025-11-02', reach_back => true) $$, 'from a later moment it ends');

----------------------------------------------------------------------------------------------------
-- Packs in a choice
----------------------------------------------------------------------------------------------------
SET ROLE packs_owner;
SELECT settle.create_book('shop') \g /dev/null
RESET ROLE;
SELECT settle.add_choice('shop', 'season', 'first'), settle.add_choice('shop', 'model', 'unique'), settle.add_choice('shop', 'most', 'highest') \g /dev/null
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'p', base => 'amount', tiers => '1%'), settle.add_decision('shop', 'season', returns => 'text', fallback => '"none"') \g /dev/null
INSERT INTO shop.access (role, level, granted_by) VALUES ('packs_checker', 'approver', 'test');
CREATE FUNCTION shop.enable(name text, at timestamptz DEFAULT '2025-01-01') RETURNS void LANGUAGE sql AS $$
	SELECT settle.submit_pack('shop', name, 'test');
	SELECT public.by('packs_checker', format('SELECT settle.approve_pack(''shop'', %L, ''test'')', name));
	SELECT settle.enable_pack('shop', name, at) $$;
CREATE FUNCTION shop.says(amount numeric, region ltree DEFAULT 'cn.east', done timestamptz DEFAULT '2025-11-11', channel text DEFAULT 'web') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(u.rule || ' ' || trim_scale(u.amount), ', ' ORDER BY u.rule) FROM (SELECT amount, done AS done_at, region, region AS project, '1' AS ticket_id, 0 AS cost, 0 AS tax, NULL AS currency, NULL AS order_ref, NULL AS rework_of, channel, false AS rush) AS t,
	settle.evaluate(settle.rules('shop'), t) AS l, settle.unnest(l) AS u $$;
SELECT settle.add_pack('shop', 'double11', $$done_at >= '2025-11-11' AND done_at < '2025-11-12'$$, choice => 'season', priority => 10),
	settle.add_pack('shop', 'autumn', $$done_at >= '2025-09-01' AND done_at < '2025-12-01'$$, choice => 'season', priority => 5) \g /dev/null
SELECT settle.add_rule('shop', 'd11', 'bonus', 'hq', 'p', base => '11', applies_when => 'amount > 100', pack => 'double11'),
	settle.add_rule('shop', 'autumn', 'bonus', 'hq', 'p', base => '5', pack => 'autumn'),
	settle.add_outcome('shop', 'season', 'true', '"double"', pack => 'double11'), settle.add_outcome('shop', 'season', 'true', '"autumn"', pack => 'autumn') \g /dev/null
SELECT shop.enable('double11'), shop.enable('autumn', '2025-10-01') \g /dev/null
SELECT is(shop.says(1000), 'd11 11, fee 10', 'first: the pack of the highest priority counts');
SELECT is(shop.says(10), 'fee 0.1', 'whether its rules hit or not');
SELECT is(shop.says(1000, done => '2025-11-12'), 'autumn 5, fee 10', 'the other where its scope does not hold');
SELECT is(shop.says(1000, done => '2025-09-12'), 'fee 10', 'and none before it is in force');
SELECT is((SELECT string_agg(settle.decide('shop', 'season', t, 'ticket')::text, ' ' ORDER BY n) FROM (VALUES (1, '2025-11-11'::timestamptz), (2, '2025-11-12'), (3, '2025-09-12')) AS v(n, done),
	LATERAL (SELECT 10 AS amount, v.done AS done_at, 'a'::ltree AS region, 'a'::ltree AS project, '1' AS ticket_id, 0 AS cost, 0 AS tax, NULL::text AS currency, NULL::text AS order_ref, NULL::text AS rework_of, ''::text AS channel) AS t),
	'"double" "autumn" "none"', 'outcomes of packs that do not count do not hold');
INSERT INTO shop.ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2025-11-11', 'a', 'cn.east', 1000);
SELECT * FROM settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT name, detail FROM settle.explain('shop', 'ticket', '1') WHERE kind = 'beaten' $$, $$ VALUES ('autumn', 'its pack autumn, in its choice, by pack double11') $$, 'explain names the pack that beats');
-- unique: two are an error that names both
SELECT settle.add_pack('shop', 'franchise', $$channel = 'shop'$$, choice => 'model'), settle.add_pack('shop', 'east', $$region <@ 'cn.east' AND amount > 500$$, choice => 'model') \g /dev/null
SELECT settle.add_rule('shop', 'franchise', 'model', 'hq', 'p', base => '1', pack => 'franchise'), settle.add_rule('shop', 'east', 'other', 'hq', 'p', base => '2', pack => 'east') \g /dev/null
SELECT shop.enable('franchise'), shop.enable('east') \g /dev/null
SELECT is(shop.says(1000, 'cn.east.sh'), 'd11 11, east 2, fee 10', 'a region');
SELECT is(shop.says(1000, 'cn.west', channel => 'shop'), 'd11 11, fee 10, franchise 1', 'a model of its own');
SELECT throws_ok($$ SELECT shop.says(1000, 'cn.east.sh', channel => 'shop') $$, 'ST001', 'packs "east" and "franchise" both apply', 'both hold: a conflict that names them');
SELECT is(shop.says(100, 'cn.east.sh', channel => 'shop'), 'fee 1, franchise 1', 'which depends on scopes alone');
SELECT settle.add_pack('shop', 'black', $$done_at >= '2025-11-11'$$, choice => 'season', priority => 10) \g /dev/null
SELECT throws_ok($$ SELECT u.rule FROM shop.ticket AS t, settle.evaluate(settle.rules('shop', packs => '{black}'), t) AS l, settle.unnest(l) AS u $$, 'ST001', 'packs "black" and "double11" both apply', 'first: two of one priority');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', choice => 'most') $$, '22023', 'pack "x" stands in the choice "most", which is not for packs', 'no other policy');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', choice => 'sesaon') $$, '42704', 'pack "x" names the choice "sesaon", which does not exist', 'a choice that is none');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', 'amuont > 1') $$, '42703', NULL, 'a scope that does not compile');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', 'amount') $$, '42804', NULL, 'one that is no condition');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', 'c.fee > 1') $$, '42703', NULL, 'nor does it read what rules give');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', 'true', source => 'tikcet') $$, '23503', NULL, 'a source that is none');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', ends => '{fee,feee}') $$, '42704', 'pack "x" ends the rule "feee", which does not exist', 'a misspelt end');
SELECT throws_ok($$ SELECT settle.add_pack('shop', '') $$, '23514', NULL, 'no name');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'base') $$, '23505', NULL, 'the base is there');
SELECT throws_ok($$ SELECT settle.add_rule('shop', 'r', 'r', 'hq', 'p', base => '1', pack => 'x') $$, '23503', NULL, 'a pack that is not');
SELECT throws_ok($$ SELECT settle.rules('shop', packs => '{black,esat}') $$, '42704', 'pack "esat" does not exist', 'nor can be asked for');
-- sources
CREATE TABLE shop.visit (id int PRIMARY KEY, at timestamptz, km int);
ALTER TABLE shop.visit OWNER TO packs_owner;
SELECT settle.add_source('shop', 'visit', 'shop.visit', 'id', 'at') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_rule('shop', 'km', 'km', 'hq', 'p', base => 'km', source => 'visit', pack => 'black') $$, '22023', 'rule "km" is of source "visit", and its pack "black" is not', 'a scope reads one source');
SELECT throws_ok($$ SELECT settle.add_outcome('shop', 'season', 'true', '"x"', source => NULL, pack => 'black') $$, '22023', NULL, 'so does an outcome of every source');
SELECT throws_ok($$ SELECT settle.add_pack('shop', 'x', 'amount > 1', source => NULL) $$, '42703', NULL, 'or all');
SELECT settle.add_pack('shop', 'both', $$t.revenue IS NOT NULL$$, source => NULL), settle.add_pack('shop', 'plain') \g /dev/null
SELECT lives_ok($$ SELECT settle.add_rule('shop', 'km', 'km', 'hq', 'p', base => 'km', source => 'visit', pack => 'both'), settle.add_rule('shop', 'more', 'more', 'hq', 'p', base => 'amount', pack => 'both') $$, 'what every source has');
SELECT lives_ok($$ SELECT settle.add_rule('shop', 'km2', 'km2', 'hq', 'p', base => 'km', source => 'visit', pack => 'plain') $$, 'without a scope no source is asked for');

----------------------------------------------------------------------------------------------------
-- load_rules
----------------------------------------------------------------------------------------------------
SET ROLE packs_owner;
SELECT settle.create_book('git') \g /dev/null
RESET ROLE;
CREATE FUNCTION git.load(document jsonb, pack text DEFAULT 'base') RETURNS SETOF text LANGUAGE sql AS
$$ SELECT concat_ws(' ', action, kind, object, detail) FROM settle.load_rules('git', document::settle.ruleset, pack) $$;
SELECT set_eq($$ SELECT git.load(settle.rules('shop', packs => '{base}')::jsonb - '{sources,packs,rules,decisions}'::text[]) $$,
	ARRAY['added choice season', 'added choice model', 'added choice most'], 'choices of another book');
\set file '{"format": 1, "time_zone": "Asia/Shanghai", "currency": "CNY", "period": "month", "choices": {"tip": "first"}, "decisions": {"coef": {"policy": "first", "returns": "numeric", "fallback": 1, "outcomes": [{"applies_when": "rush", "outcome": 2}, {"applies_when": "night", "outcome": 3}]}}, "rules": [{"code": "visit", "component": "visit", "source": "ticket", "payer": "hq", "payee": "p", "base": "amount", "applies_when": "true", "tiers": "5 %", "rounding": "half_up", "factors": ["coef"]}, {"code": "tip", "component": "tip", "source": "ticket", "payer": "hq", "payee": "p", "base": 3, "applies_when": "rush", "tiers": "100%", "rounding": "half_up", "choice": "tip", "until": "2026-01-01T00:00:00+08:00"}]}'
SELECT results_eq(format('SELECT git.load(%L)', :'file'), ARRAY['removed choice model', 'removed choice most', 'removed choice season', 'added choice tip', 'added decision coef', 'added outcome coef: night', 'added outcome coef: rush', 'added rule tip', 'added rule visit'], 'a file as it stands in git');
SELECT is_empty(format('SELECT git.load(%L)', :'file'), 'twice changes nothing');
SELECT is_empty($$ SELECT git.load(settle.rules('git')::jsonb) $$, 'what the book says changes nothing');
SELECT settle.digest(settle.rules('git')) AS loaded \gset
SELECT results_eq($$ SELECT git.load(jsonb_set(settle.rules('git')::jsonb, '{decisions,coef,outcomes}', '[{"applies_when": "night", "outcome": 3, "source": "ticket"}, {"applies_when": "rush", "outcome": 2, "source": "ticket"}]')) $$,
	ARRAY['removed outcome coef: night', 'added outcome coef: night', 'removed outcome coef: rush', 'added outcome coef: rush'], 'outcomes of one source are others');
SELECT is(settle.rules('git')::jsonb #> '{decisions,coef,outcomes,0,applies_when}', '"night"', 'in the order of the file');
SELECT results_eq($$ SELECT git.load(jsonb_set(settle.rules('git')::jsonb, '{decisions,coef,outcomes}', '[{"applies_when": "rush", "outcome": 2.5, "source": "ticket"}, {"applies_when": "night", "outcome": 3, "source": "ticket"}]')) $$,
	ARRAY['changed outcome coef: rush outcome', 'changed decision coef order of outcomes'], 'another value, another order');
SELECT is((SELECT string_agg(o ->> 'outcome', ' ') FROM jsonb_array_elements(settle.rules('git')::jsonb #> '{decisions,coef,outcomes}') AS o), '2.5 3', 'as it says');
SELECT results_eq(format('SELECT git.load(jsonb_set(%L::jsonb, %L, %L))', settle.rules('git'), '{rules,0,base}', '"amount / 2"'), ARRAY['changed rule tip base'], 'a rule that was not used is replaced');
SELECT count(*) FROM git.load(:'file') \g /dev/null
SELECT is(settle.digest(settle.rules('git'))::text, :'loaded', 'loading the file again brings all of it back');
-- once tickets are settled
INSERT INTO git.ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2025-11-11', 'a', 'b', 1000);
SELECT * FROM settle.run('git') \g /dev/null
SELECT throws_ok(format('SELECT git.load(jsonb_set(%L, %L, %L))', :'file', '{rules,0,tiers}', '"6%"'), '55000', 'rule "visit" has settled tickets and cannot be changed', 'a version that lines refer to');
SELECT throws_ok(format('SELECT git.load(jsonb_set(%L, %L, %L))', :'file', '{decisions,coef,outcomes,0,outcome}', '7'), '55000', 'outcome "coef: rush" has settled tickets and cannot be changed', 'and an outcome');
SELECT results_eq(format('SELECT git.load(jsonb_set(%L, %L, %L))', :'file', '{rules,0,title}', '"Visits"'), ARRAY['changed rule visit title'], 'but for its title');
SELECT is_empty(format('SELECT git.load(jsonb_set(%L, %L, %L))', :'file', '{rules,0,title}', '"Visits"'), 'once');
SELECT results_eq(format('SELECT git.load(jsonb_set(jsonb_set(%L, %L, %L), %L, %L))', :'file', '{rules,0,tiers}', '"6%"', '{rules,0,from}', '"2126-02-01T00:00:00+08:00"'),
	ARRAY['ended rule visit at 2126-01-31T16:00:00.000000Z', 'added rule visit from 2126-01-31T16:00:00.000000Z'], 'a version that begins later ends the one before');
SELECT is_empty(format('SELECT git.load(jsonb_set(jsonb_set(%L, %L, %L), %L, %L))', :'file', '{rules,0,tiers}', '"6%"', '{rules,0,from}', '"2126-02-01T00:00:00+08:00"'), 'once');
SELECT is((SELECT string_agg(tiers::text, ' then ' ORDER BY valid) FROM git.rule WHERE code = 'visit'), '5% then 6%', 'both stand');
SELECT results_eq(format('SELECT split_part(l, %L, 1) FROM git.load(%L::jsonb #- %L #- %L #- %L) AS l', ' at ', :'file', '{rules,0}', '{decisions}', '{choices,tip}'),
	ARRAY['ended outcome coef: night', 'ended outcome coef: rush', 'ended rule visit', 'removed rule visit from 2126-01-31T16:00:00.000000Z'], 'what is not in the file ends, or goes');
SELECT is_empty(format('SELECT git.load(%L::jsonb #- %L #- %L #- %L)', :'file', '{rules,0}', '{decisions}', '{choices,tip}'), 'once');
SELECT is_empty($$ SELECT * FROM settle.check('git') $$, 'and the book agrees');
-- packs
SELECT settle.add_pack('git', 'next', 'rush', ends => '{tip}') \g /dev/null
SELECT results_eq(format('SELECT git.load(%L::jsonb #- %L #- %L #- %L, %L)', :'file', '{rules,0}', '{choices}', '{decisions}', 'next'), ARRAY['added rule tip'], 'a file that names no pack is loaded whole into any');
SELECT is_empty($$ SELECT git.load(settle.rules('git', packs => '{next}')::jsonb, 'next') $$, 'a draft as the book prints it');
SELECT throws_ok($$ SELECT git.load(jsonb_set(settle.rules('git', packs => '{next}')::jsonb, '{packs,next,applies_when}', '"night"'), 'next') $$, '22023', 'the ruleset limits pack "next" otherwise than book "git"', 'with another scope');
SELECT settle.add_pack('git', 'after') \g /dev/null
SELECT throws_ok($$ SELECT git.load(settle.rules('git', packs => '{next}')::jsonb, 'after') $$, '42704', 'the ruleset has no pack "after"', 'one that names packs says what belongs where');
SELECT throws_ok($$ SELECT git.load(settle.rules('git', packs => '{next}')::jsonb) $$, '22023', 'rule "tip" of the ruleset is never in force', 'what the draft ends is not what stands in the base');
SELECT throws_ok($$ SELECT git.load(settle.rules('git')::jsonb, 'nowhere') $$, '42704', 'pack "nowhere" does not exist', 'a pack that is none');
SELECT throws_ok($$ SELECT git.load(settle.rules('git')::jsonb || '{"time_zone": "UTC"}') $$, '22023', 'the ruleset has the time_zone "UTC", book "git" has "Asia/Shanghai"', 'rules of another time');
SELECT throws_ok($$ SELECT git.load(jsonb_set(settle.rules('git')::jsonb, '{sources,ticket,revenue}', '"cost"')) $$, '22023', 'the ruleset reads its sources otherwise than book "git"', 'or of another mapping');
SELECT throws_ok($$ SELECT settle.load_rules('git', NULL) $$, '22004', 'ruleset is null', 'no ruleset');
SELECT throws_ok(format('SELECT git.load(jsonb_set(%L, %L, %L))', :'file', '{rules,1,overrides}', '["nobody"]'), '42704', NULL, 'a file that does not compile');

SELECT * FROM finish();
DROP SCHEMA git, shop CASCADE;
DROP FUNCTION public.by;
DROP SCHEMA repairs CASCADE;
DROP OWNED BY packs_owner, packs_maker, packs_checker, packs_reader CASCADE;
DROP ROLE packs_owner, packs_maker, packs_checker, packs_reader;
