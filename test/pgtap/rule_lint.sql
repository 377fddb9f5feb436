-- settle.lint: every finding once as it should be told, once as it must not be;
-- the worked configurations, of which nothing is wrong; many rules.  (lint.sql
-- is about the catalogue of the extension.)
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'America/New_York';		-- any zone but the book's
SELECT no_plan();

SELECT settle.create_book('shop') \g /dev/null
-- Rules as [code, condition, further parameters]; they replace those that are there.
CREATE PROCEDURE pg_temp.rules(rules jsonb) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM shop.rule; DELETE FROM shop.outcome; DELETE FROM shop.decision; DELETE FROM shop.choice;
	INSERT INTO shop.choice VALUES ('best', 'first');
	PERFORM pg_temp.more(rules);
END $$;
CREATE FUNCTION pg_temp.more(rules jsonb) RETURNS void LANGUAGE sql AS $$
	INSERT INTO shop.rule (code, component, payer, payee, base, applies_when, tiers, choice, priority, overrides, accumulate, measure, at_least, at_most, valid, remainder, unit, tally_by)
	SELECT r ->> 0, coalesce(p ->> 'component', 'fee'), coalesce(p ->> 'payer', 'hq'), coalesce(p ->> 'payee', 'staff:{worker}'),
		CASE WHEN p ? 'remainder' THEN NULL ELSE coalesce(p ->> 'base', 'amount') END, r ->> 1,
		coalesce(p ->> 'tiers', '100%')::settle.tiers, p ->> 'choice', coalesce((p ->> 'priority')::int, 0),
		coalesce(ARRAY(SELECT jsonb_array_elements_text(p -> 'overrides')), '{}'), p ->> 'accumulate', p ->> 'measure', p ->> 'at_least', p ->> 'at_most',
		coalesce((p ->> 'valid')::tstzrange, '(,)'), p ? 'remainder', p ->> 'unit', p ->> 'tally_by'
	FROM jsonb_array_elements(rules) AS e(r), coalesce(r -> 2, '{}') AS p
$$;
-- A decision with outcomes [condition, value, priority] replaces everything.
CREATE PROCEDURE pg_temp.decision(policy text, outcomes jsonb, fallback jsonb DEFAULT NULL, returns text DEFAULT 'numeric') LANGUAGE plpgsql AS $$
BEGIN
	CALL pg_temp.rules('[]');
	INSERT INTO shop.decision (decision, policy, returns, fallback) VALUES ('x', policy, returns, fallback);
	INSERT INTO shop.outcome (decision, applies_when, outcome, priority, source) SELECT 'x', o ->> 0, o -> 1, coalesce((o ->> 2)::int, 0), 'ticket'
		FROM jsonb_array_elements(outcomes) WITH ORDINALITY AS e(o, n) ORDER BY n;
END $$;
CREATE FUNCTION pg_temp.found() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s, %s: %s', severity, kind, object, detail) FROM settle.lint('shop') WHERE kind <> 'unused'
$$;
CREATE FUNCTION pg_temp.finds(VARIADIC expected text[]) RETURNS text LANGUAGE sql AS $$
	SELECT set_eq('SELECT pg_temp.found()', expected, coalesce(nullif(array_to_string(expected, '; '), ''), 'nothing'))
$$;
CREATE FUNCTION pg_temp.finds_nothing(why text) RETURNS text LANGUAGE sql AS $$ SELECT is_empty('SELECT pg_temp.found()', why) $$;

------------------------------------------------------------------------------
-- conditions that never hold
------------------------------------------------------------------------------
SELECT pg_temp.finds_nothing('a book without rules');
CALL pg_temp.rules($$ [
	["text", "channel = 'a' AND channel = 'b'"], ["list", "channel IN ('a', 'b') AND channel NOT IN ('a', 'b', 'c')"],
	["number", "amount > 10 AND amount <= 10"], ["path", "project <@ 'install.ac' AND NOT project <@ 'install'"], ["boolean", "rush AND NOT rush"],
	["null", "dealer IS NULL AND dealer = 'd1'"], ["either", "(channel = 'a' OR channel = 'b') AND channel = 'c'"], ["false", "1 > 2"],
	["mapped", "t.region <@ 'cn.east' AND region <@ 'cn.north'"], ["time", "done_at < '2025-11-01'", {"valid": "[2025-12-01 00:00+08,)"}]] $$);
SELECT pg_temp.finds(
	'error unreachable, rule text: No value of channel is left by its condition: channel = ''a'' AND channel = ''b''.',
	'error unreachable, rule list: No value of channel is left by its condition: channel IN (''a'', ''b'') AND channel NOT IN (''a'', ''b'', ''c'').',
	'error unreachable, rule number: No value of amount is left by its condition: amount > 10 AND amount <= 10.',
	'error unreachable, rule path: No value of project is left by its condition: project <@ ''install.ac'' AND NOT project <@ ''install''.',
	'error unreachable, rule boolean: No value of rush is left by its condition: rush AND NOT rush.',
	'error unreachable, rule null: No value of dealer is left by its condition: dealer IS NULL AND dealer = ''d1''.',
	'error unreachable, rule either: No value of channel is left by its condition: (channel = ''a'' OR channel = ''b'') AND channel = ''c''.',
	'error unreachable, rule false: Its condition is never true: 1 > 2.',
	'error unreachable, rule mapped: No value of region is left by its condition: t.region <@ ''cn.east'' AND region <@ ''cn.north''.',
	'error unreachable, rule time: No done_at is both in its condition and in its validity: done_at < ''2025-11-01''.');
CALL pg_temp.rules($$ [
	["text", "channel = 'a' AND (channel = 'b' OR rush)"], ["unread", "upper(channel) = 'A' AND lower(channel) = 'b'"],
	["path", "project <@ 'install' AND NOT project <@ 'install.ac'"], ["null", "channel IS DISTINCT FROM 'a' AND channel IS NULL", {"component": "x"}],
	["time", "channel = 'z' AND done_at < '2025-12-02'", {"valid": "[2025-12-01 00:00+08,)"}], ["whole", "amount > 9.99 AND amount < 10", {"component": "y"}]] $$);
SELECT is_empty($$ SELECT f FROM pg_temp.found() AS f WHERE f LIKE '%unreachable%' $$, 'conditions that can hold, or may');

-- decisions have no other values than they give
CALL pg_temp.decision('first', '[["amount > 100", "gold"], ["amount > 10", "silver"]]', '"plain"', 'text');
SELECT pg_temp.more($$ [["a", "d.x = 'gold'"], ["b", "d.x = 'sliver'"], ["c", "d.x = 'plain'"]] $$) \g /dev/null
SELECT pg_temp.finds('error unreachable, rule b: No value of d.x is left by its condition: d.x = ''sliver''.');
SELECT is((SELECT hint FROM settle.lint('shop') WHERE kind = 'unreachable'), 'The decision gives ''gold'' or ''plain'' or ''silver''.', 'the values it has');

------------------------------------------------------------------------------
-- behind others
------------------------------------------------------------------------------
CALL pg_temp.decision('first', '[["region <@ ''cn''", 1], ["region <@ ''cn.north''", 2], ["region = ''us'' AND rush", 3], ["region = ''us'' AND NOT rush", 4], ["region = ''us''", 5], ["region = ''uk'' AND upper(channel) = ''A''", 6], ["region = ''uk'' AND rush", 7], ["region = ''uk'' AND rush AND upper(channel) = ''A''", 8], ["true", 9]]');
SELECT pg_temp.finds(
	'error unreachable, decision x: region <@ ''cn.north'': Whenever it holds, an earlier outcome holds too: "region <@ ''cn''".',
	'error unreachable, decision x: region = ''uk'' AND rush AND upper(channel) = ''A'': Whenever it holds, an earlier outcome holds too: "region = ''uk'' AND upper(channel) = ''A''".');
CALL pg_temp.decision('first', '[["amount < 10", 1], ["amount >= 10 AND amount < 20", 2], ["amount > 5 AND amount < 15", 3], ["amount > 5 AND amount < 25", 4]]', '0');
SELECT pg_temp.finds('error unreachable, decision x: amount > 5 AND amount < 15: Whenever it holds, an earlier outcome holds too: "amount < 10".');
CALL pg_temp.rules($$ [["wide", "amount > 0", {"choice": "best", "priority": 2}], ["narrow", "amount > 10", {"choice": "best", "priority": 1}], ["free", "amount > -1", {"choice": "best"}]] $$);
SELECT pg_temp.finds('error unreachable, rule narrow: Whenever it holds, a rule of higher priority in the choice "best" holds too: "wide".');
CALL pg_temp.rules($$ [["wide", "amount > 0", {"choice": "best", "priority": 2}], ["narrow", "amount > 10", {"choice": "best", "priority": 1}], ["other", "amount > 100", {"choice": "all", "component": "z", "overrides": ["wide"]}]] $$);
SELECT pg_temp.finds_nothing('a rule that another takes away leaves its place');
CALL pg_temp.rules($$ [["base", "amount > 10"], ["exception", "amount > 5", {"overrides": ["base"]}]] $$);
SELECT pg_temp.finds('warning unreachable, rule base: Whenever it holds, a rule that overrides it holds too: "exception".');
CALL pg_temp.rules($$ [["base", "amount > 10"], ["exception", "amount > 5", {"overrides": ["base"], "valid": "[2025-11-11 00:00+08,2025-11-12 00:00+08)"}]] $$);
SELECT pg_temp.finds_nothing('an exception for a day');

------------------------------------------------------------------------------
-- overlaps
------------------------------------------------------------------------------
CALL pg_temp.rules($$ [["north", "region <@ 'cn.north'"], ["rush", "rush AND region <@ ANY ('{cn.north.beijing,cn.east}')", {"valid": "[2025-11-11 00:00+08,)"}], ["ended", "true", {"valid": "(,2025-01-01 00:00+08)"}]] $$);
SELECT is((SELECT count(*) FROM pg_temp.found() AS f WHERE f LIKE 'error overlap, choice fee: "north" and "rush" hold together for done_at = ''2025-11-11 00:00:00+08'', region = ''cn.north.beijing'', rush = true.'), 1::bigint, 'a ticket for which both hold is named');
SELECT is((SELECT count(*) FROM pg_temp.found() AS f WHERE f LIKE 'error overlap, choice fee: "ended" and "north"%'), 1::bigint, 'versions of different rules overlap in time');
SELECT is((SELECT count(*) FROM pg_temp.found()), 2::bigint, 'those never in force together do not');
CALL pg_temp.rules($$ [["a", "channel = 'a'"], ["not_a", "channel <> 'a'"], ["none", "channel IS NULL"]] $$);
SELECT pg_temp.finds_nothing('a value, all others, none');
CALL pg_temp.rules($$ [["install", "project <@ 'install'"], ["repair", "project <@ 'repair'"], ["rest", "NOT (project <@ 'install' OR project <@ 'repair')"]] $$);
SELECT pg_temp.finds_nothing('paths beside each other');
CALL pg_temp.rules($$ [["day", "extract(hour FROM done_at) < 12"], ["night", "extract(hour FROM done_at) >= 12"]] $$);
SELECT pg_temp.finds('warning overlap, choice fee: "day" and "night" may hold together for every ticket, where further terms hold.');
CALL pg_temp.rules($$ [["a", "rush"], ["b", "night", {"overrides": ["a"]}], ["c", "rush AND night", {"choice": "all"}]] $$);
SELECT pg_temp.finds_nothing('one overrides the other, or all may');
CALL pg_temp.rules($$ [["a", "rush", {"choice": "best"}], ["b", "night", {"choice": "best"}], ["c", "rush AND night", {"choice": "best", "priority": 1}]] $$);
SELECT pg_temp.finds('error overlap, choice best: "a" and "b" hold together for rush = true, night = true.');
CALL pg_temp.decision('unique', '[["amount < 10", 1], ["amount >= 9", 2]]');
SELECT pg_temp.finds('error overlap, decision x: "amount < 10" and "amount >= 9" hold together for amount = 9.');
CALL pg_temp.decision('any', '[["amount <= 10", 1], ["amount >= 9", 1.0], ["amount = 10", 2]]');
SELECT pg_temp.finds('error overlap, decision x: "amount <= 10" and "amount = 10" hold together for amount = 10.',
	'error overlap, decision x: "amount >= 9" and "amount = 10" hold together for amount = 10.');
CALL pg_temp.decision('sum', '[["amount <= 10", 1], ["amount >= 9", 2]]');
SELECT pg_temp.finds_nothing('outcomes that are put together may overlap');

------------------------------------------------------------------------------
-- gaps
------------------------------------------------------------------------------
CALL pg_temp.decision('unique', '[["amount < 100", 1], ["amount > 100 AND amount <= 200", 2], ["amount >= 250", 3]]');
SELECT pg_temp.finds('warning gap, decision x: No outcome holds for amount 100 or above 200 to below 250.');
CALL pg_temp.decision('unique', '[["amount < 100", 1], ["amount > 100", 3]]', '0');
SELECT pg_temp.finds_nothing('a fallback fills every gap');
CALL pg_temp.decision('unique', '[["level = ''gold'' AND rush", 1], ["level = ''gold'' AND NOT rush", 2], ["level = ''silver'' AND rush", 3]]');
SELECT pg_temp.finds('warning gap, decision x: No outcome holds for level ''silver'', rush false.');
CALL pg_temp.decision('first', '[["done_at >= ''2025-11-01'' AND done_at < ''2025-11-11''", 1], ["done_at >= ''2025-11-12'' AND done_at < ''2025-12-01''", 2]]');
SELECT pg_temp.finds('warning gap, decision x: No outcome holds for done_at from ''2025-11-11 00:00:00+08'' to before ''2025-11-12 00:00:00+08''.');
CALL pg_temp.decision('first', '[["level = ''gold''", 1], ["level = ''silver'' AND rush AND upper(channel) = ''A''", 2], ["level = ''silver'' AND amount > 7", 2]]');
SELECT is((SELECT count(*) FROM pg_temp.found() AS f WHERE f LIKE '%gap%'), 0::bigint, 'what may be filled is no gap');
CALL pg_temp.rules($$ [["small", "amount < 100 AND rush"], ["large", "amount >= 200 AND rush"], ["calm", "amount >= 300 AND NOT rush"]] $$);
SELECT pg_temp.finds('warning gap, choice fee: Between "small" and "large" no rule holds for amount from 100 to below 200, rush true.');
CALL pg_temp.rules($$ [["small", "amount < 100"], ["large", "amount >= 100"], ["n1", "done_at < '2025-01-01'", {"component": "y"}], ["n2", "done_at >= '2025-02-01'", {"component": "y"}]] $$);
SELECT pg_temp.finds_nothing('bounds that meet, and seasons');

------------------------------------------------------------------------------
-- what rules are made of
------------------------------------------------------------------------------
CALL pg_temp.rules($$ [["falls", "rush", {"tiers": "volume 10% to 1000, 8% to 5000, 9% + 20 flat"}], ["below", "NOT rush", {"tiers": "volume 10% below 1000, 8%"}],
	["flat", "rush", {"tiers": "volume 30 flat to 10, 5 flat", "component": "b"}], ["floor", "rush", {"tiers": "volume 10% to 100, 5%; min 30", "component": "c"}],
	["count", "rush", {"tiers": "volume 10% to 50, 8%", "measure": "1", "accumulate": "month", "component": "d"}], ["up", "NOT rush", {"tiers": "5% to 1000, 3% to 5000, 1%", "component": "d"}],
	["cap", "rush", {"tiers": "volume 5% to 100, 8%; max 6", "component": "e"}]] $$);
SELECT pg_temp.finds('warning cliff, rule falls: More pays less at 1000: the fee falls from 100 to 80.', 'warning cliff, rule below: More pays less at 1000: the fee falls from 100 to 80.',
	'warning cliff, rule flat: More pays less at 10: the fee falls from 30 to 5.', 'warning cliff, rule count: More pays less at 50: the rate falls from 0.1 to 0.08.');
CALL pg_temp.rules($$ [["limits", "rush", {"at_least": "30", "at_most": "20"}], ["good", "NOT rush", {"at_least": "20", "at_most": "30"}]] $$);
SELECT pg_temp.finds('warning bounds, rule limits: at_least 30 is more than at_most 20, so every ticket gives 20.');
CALL pg_temp.rules($$ [["intake", "dealer IS NOT NULL", {"component": "intake"}], ["fee", "dealer IS NULL", {"base": "c.intake"}], ["tax", "dealer = 'd1'", {"base": "c.intake", "component": "tax"}]] $$);
SELECT pg_temp.finds('warning empty component, rule fee: It reads c.intake, which no rule makes for a ticket that it applies to: it is always 0.');
CALL pg_temp.rules($$ [["rest", "dealer IS NOT NULL", {"component": "rest", "payer": "escrow", "remainder": true}], ["bonus", "dealer = 'd1'", {"payer": "escrow", "accumulate": "month"}], ["other", "dealer IS NULL", {"payer": "escrow", "accumulate": "month"}], ["points", "dealer = 'd2'", {"payer": "escrow", "accumulate": "month", "unit": "POINTS"}]] $$);
SELECT pg_temp.finds('warning remainder, rule bonus: It accumulates and is paid by "escrow", which rule "rest" empties: a ticket to which both apply is a problem.');
CALL pg_temp.rules($$ [["sale", "true", {"component": "a"}], ["leader", "true", {"component": "b", "base": "c.a"}], ["head", "true", {"component": "c", "base": "c.b"}], ["top", "true", {"component": "d", "base": "c.c"}], ["house", "true", {"component": "e", "base": "c.c", "payee": "hq"}]] $$);
SELECT pg_temp.finds('warning chain, rule top: It is a share, of "head", of "leader", of "sale": more than 2 levels of shares of shares.');
CALL pg_temp.rules($$ [["all", "true", {"accumulate": "month", "tally_by": "shop"}], ["each", "true", {"accumulate": "month", "component": "b"}]] $$);
SELECT pg_temp.finds_nothing('a schedule takes one tally for all');
UPDATE shop.book SET settle_on = 'commit';
SELECT pg_temp.finds('note hot tally, rule all: All its tickets of a period add to one tally, that of "shop", and the book settles at commit: they wait for each other.');
UPDATE shop.book SET settle_on = 'schedule';

CALL pg_temp.decision('product', '[["region <@ ''cn.north''", 1.2], ["region <@ ''cn.south''", 1.1]]', '1');
SELECT results_eq($$ SELECT severity, kind, object, detail FROM settle.lint('shop') $$,
	$$ VALUES ('note', 'unused', 'choice best', 'No rule and no pack stands in it.'), ('note', 'unused', 'decision x', 'No rule, mapping or other decision reads it.') $$, 'what nothing uses is noted');
SELECT pg_temp.more($$ [["north", "region <@ 'cn.north'", {"base": "amount * d.x"}]] $$) \g /dev/null
SELECT pg_temp.finds('warning unreached, decision x: region <@ ''cn.south'': No rule that reads the decision applies to a ticket for which the outcome holds.');

------------------------------------------------------------------------------
-- order, rights, packs
------------------------------------------------------------------------------
SELECT results_eq($$ SELECT severity FROM settle.lint('shop') $$, ARRAY['warning', 'note'], 'the worst comes first');
SELECT throws_ok($$ SELECT settle.lint('shop', '{nowhere}') $$, '42704', 'pack "nowhere" does not exist', 'no such pack');
SELECT throws_ok($$ SELECT settle.lint(NULL) $$, '22004', 'book is null', 'no book');
SELECT throws_ok($$ SELECT settle.lint('pg_catalog') $$, '42704', 'schema "pg_catalog" is not a book', 'not a book');
CREATE ROLE rule_lint_stranger;
SELECT 'shop.ticket'::regclass::oid AS ticket \gset
SET ROLE rule_lint_stranger;
SELECT throws_ok($$ SELECT settle.lint('shop') $$, '42501', 'permission denied for book "shop"', 'a stranger');
SELECT throws_ok(format($$ SELECT settle._lint_rules('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month"}', '{ticket}', '{%s}', false, '{}') $$, :ticket), '42501', 'permission denied for table ticket', 'the part in C looks at no relation that the caller may not read');
RESET ROLE;
DROP ROLE rule_lint_stranger;

-- a draft is looked at with what is in force, in the place of what it ends
CALL pg_temp.rules($$ [["base", "region <@ 'cn'"], ["wrong", "rush AND NOT rush"]] $$);
SELECT settle.add_pack('shop', 'north', $$region <@ 'cn.north'$$), settle.add_rule('shop', 'north_fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', applies_when => 'amount > 7', pack => 'north'),
	settle.add_rule('shop', 'south_fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', applies_when => $$region <@ 'cn.south'$$, pack => 'north') \g /dev/null
SELECT pg_temp.finds('error unreachable, rule wrong: No value of rush is left by its condition: rush AND NOT rush.');
SELECT results_eq($$ SELECT object, regexp_replace(detail, 'done_at = ''[^'']*'', ', '') FROM settle.lint('shop', '{north}') WHERE severity = 'error' $$, $$ VALUES
	('choice fee', '"base" and "north_fee" hold together for region = ''cn.north'', amount = 8.'),
	('rule south_fee', 'No value of region is left by its condition: region <@ ''cn.south'', in the scope of pack "north".'),
	('rule wrong', 'No value of rush is left by its condition: rush AND NOT rush.') $$, 'with the pack');
SELECT throws_ok($$ SELECT settle.submit_pack('shop', 'north', 'for november') $$, '55000', 'pack "north" cannot be submitted: settle.lint finds errors', 'a pack with errors');
DELETE FROM shop.rule WHERE code = 'south_fee';
UPDATE shop.pack SET ends = '{base}' WHERE pack = 'north';
SELECT is_empty($$ SELECT * FROM settle.lint('shop', '{north}') WHERE severity = 'error' AND object <> 'rule wrong' $$, 'what it ends is not in its way');
SELECT lives_ok($$ SELECT settle.submit_pack('shop', 'north', 'for november') $$, 'what was wrong before is no fault of it');
SELECT settle.redraft_pack('shop', 'north', 'again') \g /dev/null
-- of packs in a choice one counts
INSERT INTO shop.choice VALUES ('season', 'first');
SELECT settle.add_pack('shop', 'may', 'amount > 10', choice => 'season', priority => 2), settle.add_pack('shop', 'june', 'amount > 20', choice => 'season', priority => 1), settle.add_pack('shop', 'july', 'amount > 0', choice => 'season'), settle.add_pack('shop', 'august', 'amount < 5', choice => 'season') \g /dev/null
SELECT settle.add_rule('shop', p, 'seasonal', 'hq', 'staff:{worker}', base => 'amount', pack => p) FROM unnest('{may,june,july,august}'::text[]) AS p \g /dev/null
SELECT results_eq($$ SELECT severity, object, regexp_replace(detail, 'done_at from ''[^'']*'', ', '') FROM settle.lint('shop', '{may,june,july,august}') WHERE severity <> 'note' AND object <> 'rule wrong' ORDER BY object $$, $$ VALUES
	('warning', 'choice season', '"august" and "july" may hold together for amount above 0 to below 5.'),
	('error', 'pack june', 'Whenever its scope holds, that of a pack of higher priority in the choice "season" holds too: "may".') $$, 'packs that hold together, and one that never counts');

------------------------------------------------------------------------------
-- configurations that people run
------------------------------------------------------------------------------
SELECT settle.create_book('svc') \g /dev/null
CREATE TYPE svc.tier AS ENUM ('gold', 'silver', 'plain');
CREATE TABLE svc.work_order (
	id bigint PRIMARY KEY, started_at timestamptz, finished_at timestamptz, project_path ltree, region_path ltree, worker_id int, dealer_id text, buyer_id int, channel text,
	fee numeric, paid numeric, freight numeric, list_price numeric, level text, tier svc.tier, rush boolean, live_room_id int, prior_orders int, course ltree, lesson_fee numeric, teacher_id int, campus text,
	w1 int, w2 int, w3 int, k1 numeric, k2 numeric, k3 numeric);
SELECT settle.add_source('svc', 'work', 'svc.work_order', key => 'id', ready_at => 'finished_at', project => 'project_path', region => 'region_path', revenue => 'fee') \g /dev/null
CREATE FUNCTION pg_temp.rule(code text, component text, payer text, payee text, base text, applies_when text DEFAULT 'true', tiers settle.tiers DEFAULT '100%', factors text[] DEFAULT '{}',
	accumulate text DEFAULT NULL, remainder boolean DEFAULT false, choice text DEFAULT NULL, priority int DEFAULT 0, unit text DEFAULT NULL, overrides text[] DEFAULT '{}', payees text DEFAULT NULL,
	at_least text DEFAULT NULL, tally_by text DEFAULT NULL, measure text DEFAULT NULL, valid tstzrange DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT settle.add_rule('svc', code, component, payer, payee, payees, base, remainder, applies_when, tiers, factors, accumulate, tally_by, measure,
		at_least => at_least, unit => unit, choice => choice, priority => priority, overrides => overrides, source => 'work', valid => valid) $$;
-- a regional coefficient, a graduated commission, a night fee
SELECT settle.add_decision('svc', 'city', fallback => '1'), settle.add_outcome('svc', 'city', $$region_path <@ 'cn.north.beijing'$$, '1.2', source => 'work') \g /dev/null
SELECT pg_temp.rule('install', 'install_commission', 'hq', 'staff:{worker_id}', 'fee', $$project_path <@ 'install'$$, '5% to 10000, 8% to 30000, 10%', '{city}', 'month'),
	pg_temp.rule('night', 'night_fee', 'hq', 'staff:{worker_id}', '50', $$extract(hour FROM started_at) NOT BETWEEN 6 AND 21$$) \g /dev/null
-- an order of a dealer: intake, fee, tax inside the price, the rest
\set yunnan 'channel = ''youzan'' AND region_path <@ ''cn.southwest.yunnan'''
SELECT pg_temp.rule('yn_order', 'intake', 'customer:{buyer_id}', 'escrow', 'paid', :'yunnan'), pg_temp.rule('yn_fee', 'channel_fee', 'escrow', 'hq', 'c.intake', 'c.intake > 0', '15%'),
	pg_temp.rule('yn_vat', 'vat', 'escrow', 'tax:vat', 'c.intake / 1.06', 'c.intake > 0', '6%'), pg_temp.rule('yn_rest', 'dealer_share', 'escrow', 'dealer:{dealer_id}', NULL, :'yunnan', remainder => true) \g /dev/null
-- tax in the east, freight in the north, points in the south
SELECT pg_temp.rule('vat_east', 'tax_east', 'hq', 'tax:vat', 'paid / 1.13', $$region_path <@ 'cn.east'$$, '13%'), pg_temp.rule('freight_north', 'freight', 'hq', 'dealer:{dealer_id}', 'freight', $$region_path <@ 'cn.north'$$, '30%'),
	pg_temp.rule('points_south', 'points', 'hq', 'customer:{buyer_id}', 'paid', $$region_path <@ 'cn.south'$$, unit => 'POINTS') \g /dev/null
-- a guide's commission by where the sale came from
SELECT settle.add_decision('svc', 'origin', returns => 'text', fallback => '"store"'), settle.add_outcome('svc', 'origin', 'live_room_id IS NOT NULL', '"live"', 2, 'work'), settle.add_outcome('svc', 'origin', 'prior_orders > 0', '"repurchase"', 1, 'work') \g /dev/null
SELECT pg_temp.rule('g_' || o, 'guide', 'hq', 'staff:{worker_id}', 'paid', format('d.origin = %L', o), t::settle.tiers) FROM (VALUES ('live', '3%'), ('repurchase', '5%'), ('store', '4%')) AS v(o, t) \g /dev/null
-- surcharges and discounts that add up
SELECT settle.add_decision('svc', 'discount', 'sum', fallback => '0'), settle.add_outcome('svc', 'discount', $$level = 'gold'$$, '-0.10', source => 'work'), settle.add_outcome('svc', 'discount', 'extract(month FROM finished_at) = 11', '-0.05', source => 'work') \g /dev/null
SELECT pg_temp.rule('fee', 'service_fee', 'customer:{buyer_id}', 'hq', 'list_price'), pg_temp.rule('rush', 'rush_fee', 'customer:{buyer_id}', 'hq', 'c.service_fee', 'rush', '30%'),
	pg_temp.rule('disc', 'discount', 'customer:{buyer_id}', 'hq', '(c.service_fee + c.rush_fee) * d.discount', at_least => '-0.2 * list_price') \g /dev/null
-- hours, the first one free
SELECT pg_temp.rule('hours', 'service_hours', 'customer:{buyer_id}', 'hq', 'ceil(extract(epoch FROM finished_at - started_at) / 1800) / 2', tiers => '0 each to 1, 80 each') \g /dev/null
-- a team of three and its leader
SELECT pg_temp.rule('team', 'team_share', 'hq', NULL, 'fee', tiers => '20%', payees => $$jsonb_build_object('staff:' || w1, k1, 'staff:' || w2, k2, 'staff:' || w3, k3)$$),
	pg_temp.rule('leader', 'leader_share', 'hq', 'staff:9', 'c.team_share', tiers => '5%') \g /dev/null
-- attainment of a store, visits that are counted
SELECT pg_temp.rule('store', 'store_rate', 'hq', 'staff:{worker_id}', 'paid', tiers => 'volume 0% to 240000, 2% to 300000, 3% to 360000, 5%', accumulate => 'month', tally_by => 'store:{campus}'),
	pg_temp.rule('visits', 'visit_fee', 'hq', 'staff:{worker_id}', 'fee', tiers => 'volume 10% to 50, 12%', accumulate => 'month', measure => '1') \g /dev/null
-- a lesson's income: teacher, campus, house, by the kind of course
SELECT pg_temp.rule(k || '_teacher', 'teacher_share', 'pool', 'teacher:{teacher_id}', 'lesson_fee', format('course <@ %L', p), t::settle.tiers),
	pg_temp.rule(k || '_campus', 'campus_share', 'pool', 'campus:{campus}', 'lesson_fee', format('course <@ %L', p), '30%') FROM (VALUES ('live', 'online.live', '40%'), ('camp', 'camp', '35%'), ('omo', 'omo', '50 flat')) AS v(k, p, t) \g /dev/null
-- double points on the member day, more for gold, not both
SELECT settle.add_decision('svc', 'px', 'max', fallback => '1'), settle.add_outcome('svc', 'px', 'extract(day FROM finished_at) = 8', '2', source => 'work'), settle.add_outcome('svc', 'px', $$level = 'gold'$$, '1.5', source => 'work') \g /dev/null
SELECT pg_temp.rule('member_points', 'member_points', 'hq', 'customer:{buyer_id}', 'paid', factors => '{px}', unit => 'POINTS') \g /dev/null
-- one contract at 12 %
SELECT pg_temp.rule('contract', 'dealer_fee', 'dealer:{dealer_id}', 'hq', 'paid', 'dealer_id IS NOT NULL', '15%'), pg_temp.rule('contract_17', 'dealer_fee', 'dealer:{dealer_id}', 'hq', 'paid', $$dealer_id = 'd17'$$, '12%', overrides => '{contract}') \g /dev/null
-- an enum: a price for each label, of whom one has none
SELECT settle.add_decision('svc', 'per_tier'), settle.add_outcome('svc', 'per_tier', $$tier = 'gold'$$, '3', source => 'work'), settle.add_outcome('svc', 'per_tier', $$tier <> 'gold' AND tier <> 'plain'$$, '2', source => 'work') \g /dev/null
SELECT pg_temp.rule('per_tier', 'per_tier', 'hq', 'staff:{worker_id}', 'd.per_tier') \g /dev/null
SELECT results_eq($$ SELECT severity, kind, object, detail FROM settle.lint('svc') $$,
	$$ VALUES ('warning', 'gap', 'decision per_tier', 'No outcome holds for tier ''plain''.') $$, 'nothing else is wrong with what people run');
SELECT settle.add_outcome('svc', 'per_tier', $$tier = 'plain'$$, '1', source => 'work') \g /dev/null
-- a price list of dealers and projects: 100 x 20, and one row twice
CREATE TABLE svc.price (dealer_id text, project_path ltree, outcome numeric);
INSERT INTO svc.price SELECT 'd' || d, ('p' || p)::ltree, d + p FROM generate_series(1, 100) AS d, generate_series(1, 20) AS p;
INSERT INTO svc.price VALUES ('d17', 'p3', 1);
SELECT settle.add_decision('svc', 'price', 'unique', fallback => '0'), settle.add_table('svc', 'price', '{dealer_id,project_path}', 'svc.price', 'work') \g /dev/null
SELECT pg_temp.rule('list', 'list', 'hq', 'dealer:{dealer_id}', 'd.price', 'dealer_id IS NOT NULL') \g /dev/null
SELECT is((SELECT string_agg(kind || ' of ' || object || ' ' || substring(detail FROM 'for .*'), ';') FROM settle.lint('svc')), 'overlap of decision price for project_path = ''p3'', dealer_id = ''d17''.', 'one of 2,001 prices');
-- 10,000 rules of one component
INSERT INTO svc.rule (code, component, payer, payee, base, applies_when, source)
	SELECT 'r' || n, 'many', 'hq', 'staff:{worker_id}', 'fee', format('dealer_id = %L AND project_path <@ %L AND fee >= %s AND fee < %s', 'x' || n % 500, 'p' || n / 500 % 4, n / 2000 * 100, n / 2000 * 100 + 100), 'work'
	FROM generate_series(0, 9999) AS n;
SELECT is((SELECT count(*) FROM settle.lint('svc')), 1::bigint, '10,000 rules that exclude each other');
SELECT pg_temp.rule('r_more', 'many', 'hq', 'staff:{worker_id}', 'fee', $$dealer_id = 'x7' AND project_path <@ 'p2.q' AND fee > 250$$) \g /dev/null
SELECT is((SELECT count(*) FROM settle.lint('svc') WHERE severity = 'error' AND detail ~ 'r_more'), 3::bigint, 'and one that does not');

\ir ../demo/book.sql
SELECT is_empty($$ SELECT * FROM settle.lint('chain') $$, 'the rules of the demo');
SELECT * FROM finish();
