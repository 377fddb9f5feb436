-- settle.explain: the numbers add up for random rules, and the steps of a ticket
-- wherever it stands.
--
--     psql -v seeds=17,18 -v rounds=50 -f test/pgtap/explain.sql
\if :{?seeds} \else \set seeds 20251111,7 \endif
\if :{?rounds} \else \set rounds 4 \endif
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

------------------------------------------------------------------------------
-- base x rate x factors, what bounds, rounding and division change: the line
------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.one_of(VARIADIC texts text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT texts[1 + floor(random() * cardinality(texts))::int] $$;
CREATE FUNCTION pg_temp.make(book name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tiers text;
	accumulates boolean;
	measured boolean;
BEGIN
	EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', book);
	PERFORM settle.create_book(book);
	PERFORM settle.add_decision(book::text::regnamespace, d, 'first', fallback => '1') FROM unnest('{region,level}'::name[]) AS d;
	PERFORM settle.add_outcome(book::text::regnamespace, 'region', format('region <@ %L', r), to_jsonb(round((0.5 + random())::numeric, 2)), title => r) FROM unnest('{cn.north,cn.east}'::text[]) AS r;
	PERFORM settle.add_outcome(book::text::regnamespace, 'level', 'rush', to_jsonb(round((0.5 + random())::numeric, 3)));
	FOR i IN 1 .. 8 LOOP
		accumulates := random() < 0.4;
		measured := accumulates AND random() < 0.3;
		tiers := CASE WHEN measured THEN 'volume 10% to 2, 7.5% to 4, 12%'
			ELSE pg_temp.one_of('100%', '7.25%', '0.0333%', '5% to 500, 8% to 2000, 10%', 'volume 3% to 300, 5% + 20 flat', 'package of 50 at 4 after 100', '2.5 each; first 100 free', '5% to 500, 8%; min 30; max 90', 'package of 100 at 15', '10 flat to 200, 5%') END;
		PERFORM settle.add_rule(book::text::regnamespace, 'r' || i, 'c' || i, 'hq', CASE WHEN i % 3 > 0 OR accumulates THEN 'staff:{worker}' END,
			CASE WHEN i % 3 = 0 AND NOT accumulates THEN pg_temp.one_of('''{a,b,c}''::text[]', 'jsonb_build_object(''a'', 3, ''b'', 2, ''c'', 2)') END,
			pg_temp.one_of('amount', 'amount / 7', 'cost * 1.0333'), tiers => tiers::settle.tiers, factors => pg_temp.one_of('{}', '{region}', '{region,level}')::text[],
			accumulate => CASE WHEN accumulates THEN 'month' END, measure => CASE WHEN measured THEN '1' END,
			share => CASE WHEN i % 3 = 0 AND NOT accumulates THEN pg_temp.one_of('fee', 'base') ELSE 'fee' END,
			at_least => CASE WHEN NOT accumulates AND random() < 0.3 THEN '12.345' END, at_most => CASE WHEN NOT accumulates AND random() < 0.3 THEN 'amount / 3' END,
			rounding => pg_temp.one_of('half_up', 'half_even', 'down', 'up 0.1'));
	END LOOP;
	EXECUTE format($insert$ INSERT INTO %I.ticket (ticket_id, done_at, project, region, worker, amount, cost, rush)
		SELECT 't' || n, timestamptz '2025-11-01 12:00+08' + n * interval '1 day', 'a', pg_temp.one_of('cn.north', 'cn.east', 'cn.west')::ltree, 'w' || n %% 3,
			round((random() * 1500)::numeric, 2), round((random() * 100)::numeric, 1), random() < 0.5 FROM generate_series(1, 12) AS n $insert$, book);
	PERFORM settle.run(book::text::regnamespace);
END $$;

-- Lines of a book whose steps do not sum to them.
CREATE FUNCTION pg_temp.wrong(book regnamespace, OUT ticket text, OUT name text, OUT detail text, OUT amount numeric, OUT summed numeric) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH steps AS (SELECT t.ticket_id, e.*, count(*) FILTER (WHERE e.kind = 'line') OVER w AS line, count(*) FILTER (WHERE e.kind = 'tally') OVER w > 0 AND e.kind <> 'line' AS is_after,
				count(*) FILTER (WHERE e.kind = 'posted') OVER w > 0 AS is_posted
			FROM %1$s.ticket AS t, settle.explain(%2$L, t.ticket_id) AS e WINDOW w AS (PARTITION BY t.ticket_id ORDER BY e.step)),
		grouped AS (SELECT s.*, count(*) FILTER (WHERE s.kind = 'tally') OVER (PARTITION BY s.ticket_id, s.line ORDER BY s.step) AS tallies,
				bool_or(s.kind = 'before') OVER (PARTITION BY s.ticket_id, s.line) AS has_before, bool_or(s.kind = 'tally') OVER (PARTITION BY s.ticket_id, s.line) AS has_tally
			FROM steps AS s WHERE s.line > 0 AND NOT s.is_posted)
		SELECT l.ticket_id, l.name, l.detail, l.amount, l.factor * CASE WHEN l.detail LIKE '%% at %%' THEN coalesce(x.fee, 0) ELSE l.base END + coalesce(x.changes, 0)
		FROM grouped AS l, LATERAL (
			SELECT sum(g.amount) FILTER (WHERE g.kind = 'tier') AS fee, sum(g.amount) FILTER (WHERE g.kind IN ('bound', 'rounding', 'division', 'since')) AS changes
			FROM grouped AS g WHERE g.ticket_id = l.ticket_id AND g.line = l.line AND g.tallies = 0) AS x
		WHERE l.kind = 'line' AND (NOT l.has_tally OR l.has_before)
			AND l.amount <> l.factor * CASE WHEN l.detail LIKE '%% at %%' THEN coalesce(x.fee, 0) ELSE l.base END + coalesce(x.changes, 0)
	$query$, book, book);
END $$;
-- Tickets whose lines, or whose posted steps, are not those of line_detail.
CREATE FUNCTION pg_temp.differs(book regnamespace, OUT ticket text, OUT kind text, OUT component text, OUT payee text, OUT told numeric, OUT written numeric) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		SELECT coalesce(t.ticket_id, l.ticket_key), coalesce(t.kind, l.kind), coalesce(t.name, l.component), coalesce(t.payee, l.payee), t.amount, l.amount
		FROM (SELECT t.ticket_id, e.kind, e.name, e.payee, sum(e.amount) AS amount FROM %1$s.ticket AS t, settle.explain(%2$L, 'ticket', t.ticket_id) AS e WHERE e.kind IN ('line', 'posted') GROUP BY 1, 2, 3, 4) AS t
		FULL JOIN (SELECT d.ticket_key, k AS kind, d.component, d.payee, sum(d.amount) AS amount FROM %1$s.line_detail AS d, unnest('{line,posted}'::text[]) AS k WHERE d.source = 'ticket' GROUP BY 1, 2, 3, 4) AS l
			ON l.ticket_key = t.ticket_id AND l.kind = t.kind AND l.component = t.name AND l.payee = t.payee
		WHERE t.amount IS DISTINCT FROM l.amount
	$query$, book, book);
END $$;
CREATE FUNCTION pg_temp.play(seed integer, round integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM setseed(seed / 100000000.0 + round / 1000.0);
	PERFORM pg_temp.make('random');
	RETURN NEXT is_empty('SELECT * FROM pg_temp.wrong(''random'')', format('seed %s, round %s: steps sum to their lines', seed, round));
	RETURN NEXT is_empty('SELECT * FROM pg_temp.differs(''random'')', format('seed %s, round %s: lines are those that are posted', seed, round));
END $$;
-- a transaction for each
SELECT format('SELECT pg_temp.play(%s, %s)', seed, round) FROM unnest(ARRAY[:seeds]) AS seed, generate_series(1, :rounds) AS round \gexec

------------------------------------------------------------------------------
-- one ticket, wherever it stands
------------------------------------------------------------------------------
SELECT settle.create_book('repairs') \g /dev/null
SELECT settle.add_decision('repairs', 'region', fallback => '1'), settle.add_outcome('repairs', 'region', $$region <@ 'cn.north'$$, '1.2', title => 'north') \g /dev/null
SELECT settle.add_choice('repairs', 'best', 'first') \g /dev/null
SELECT settle.add_rule('repairs', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8%', factors => '{region}', accumulate => 'month'),
	settle.add_rule('repairs', 'visit', 'visit', 'hq', payees => $$'{a,b,c}'::text[]$$, base => '40 + 0 * amount', tiers => '25%', at_most => '9.999'),
	settle.add_rule('repairs', 'gold', 'extra', 'hq', 'staff:{worker}', base => '5', choice => 'best', priority => 2, applies_when => $$level = 'gold'$$),
	settle.add_rule('repairs', 'plain', 'extra', 'hq', 'staff:{worker}', base => '3', choice => 'best'),
	settle.add_rule('repairs', 'old', 'other', 'hq', 'staff:{worker}', base => '1'), settle.add_rule('repairs', 'new', 'other', 'hq', 'staff:{worker}', base => '2', applies_when => 'rush', overrides => '{old}') \g /dev/null
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, level, rush) VALUES
	('T1', '2025-11-03 12:00+08', 'r', 'cn.north', '1001', 800, NULL, false), ('T2', '2025-11-11 12:00+08', 'r', 'cn.north.bj', '1001', 900, 'gold', true);
SELECT settle.run('repairs') \g /dev/null
CREATE FUNCTION pg_temp.told(key text, VARIADIC kinds text[]) RETURNS TABLE (kind text, name text, base numeric, factor numeric, amount numeric, detail text) LANGUAGE sql AS $$
	SELECT e.kind, e.name, e.base, e.factor, e.amount, e.detail FROM settle.explain('repairs', key) AS e WHERE e.kind = ANY (kinds) ORDER BY e.step $$;
SELECT results_eq($$ SELECT kind, name, detail FROM pg_temp.told('T2', 'decision', 'beaten', 'overridden', 'factor') $$, $$ VALUES
	('decision', 'region', '1.2, by north'), ('factor', 'region', 'by north'), ('beaten', 'plain', 'in its choice, by rule gold'), ('overridden', 'old', 'by rule new') $$,
	'decisions, what was beaten, what was overridden');
SELECT results_eq($$ SELECT kind, name, base, amount FROM pg_temp.told('T2', 'line', 'before', 'tier', 'rounding', 'after') WHERE name NOT IN ('visit', 'extra', 'other') LIMIT 6 $$, $$ VALUES
	('line', 'commission', 900::numeric, 79.20), ('before', 'commission', 800, 48.00), ('tier', 'step 1', 200, 10), ('tier', 'step 2', 700, 56),
	('after', 'commission', 1700, 127.20), ('tier', 'step 1', 1000, 50) $$, 'the tally before and after, and the tiers between');
SELECT results_eq($$ SELECT kind, name, amount, detail FROM pg_temp.told('T1', 'line', 'bound', 'rounding', 'division') WHERE detail NOT LIKE 'rule %' OR name = 'visit' LIMIT 4 $$, $$ VALUES
	('line', 'visit', 3.34, 'rule visit: 40 + 0 * amount at 25%, part 1 of 3'), ('bound', 'at_most', -0.001, '9.999 instead of 10'),
	('rounding', 'half_up', 0.001, 'of 9.999'), ('division', 'a', -6.66, '3.34 of 10.00, divided among 3') $$, 'bound, rounding and division');
SELECT results_eq($$ SELECT kind, name FROM pg_temp.told('T1', 'revision', 'difference', 'state') $$, $$ VALUES ('revision', '1') $$, 'settled once');

-- corrected: revision by revision
UPDATE repairs.ticket SET amount = 300 WHERE ticket_id = 'T1';
SELECT results_eq($$ SELECT kind, name, detail FROM pg_temp.told('T1', 'state') $$, $$ VALUES ('state', 'pending', 'changed since it was last looked at; the next run settles what differs') $$, 'a change that waits for the next run');
SELECT settle.run('repairs') \g /dev/null
SELECT results_eq($$ SELECT kind, name, amount FROM pg_temp.told('T1', 'posted', 'revision', 'difference') WHERE name IN ('commission', '1', '2') $$, $$ VALUES
	('posted', 'commission', 25.20), ('revision', '1', NULL), ('difference', 'commission', 48.00), ('revision', '2', NULL), ('difference', 'commission', -22.80) $$, 'the sum of its revisions, and each of them');
SELECT matches((SELECT detail FROM pg_temp.told('T1', 'revision') WHERE name = '2'), '^run \d+, posted at .*, in the period of 2025-11-01: what has changed$', 'with its run, time and period');

-- not settled
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('later', now() + interval '1 day', 'r', 'cn', '1', 100), ('never', NULL, 'r', 'cn', '1', 100), ('nobody', '2025-11-12', 'r', 'cn', NULL, 100);
SELECT settle.run('repairs') \g /dev/null
SELECT results_eq($$ SELECT name FROM pg_temp.told('later', 'state', 'posted') $$, $$ VALUES ('waiting') $$, 'ready at a known time');
SELECT is((SELECT detail FROM pg_temp.told('never', 'ticket') WHERE name = 'ready at'), 'not ready', 'not ready at all: as if it were now');
SELECT results_eq($$ SELECT kind, name, regexp_replace(detail, '; since .*', '') FROM settle.explain('repairs', 'nobody') WHERE kind IN ('state', 'problem', 'line', 'ticket') $$, $$ VALUES
	('state', 'problem', 'ST004 in commission: payee of rule "commission" is null'),
	('problem', 'commission', 'payee of rule "commission" is null. Give it a value for every ticket that it applies to, for example with coalesce().') $$, 'a ticket that cannot be priced, and why');
DELETE FROM repairs.rule WHERE rule_id NOT IN (SELECT r.rule_id FROM repairs.rule AS r JOIN repairs.line_detail AS l ON l.rule_code = r.code) AND code <> 'plain';
UPDATE repairs.rule SET valid = '(,2025-12-01)';
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('unpaid', '2025-12-12', 'r', 'cn', '1', 100);
SELECT settle.run('repairs') \g /dev/null
SELECT matches((SELECT name || ': ' || detail FROM pg_temp.told('unpaid', 'state')), '^unpaid: no rule gives it a line; since ', 'no rule gives it a line');
SELECT settle.excuse('repairs', 'ticket', 'unpaid', 'a test') \g /dev/null
SELECT matches((SELECT detail FROM pg_temp.told('unpaid', 'state')), ' none is to: .*, a test$', 'and none is to');
DELETE FROM repairs.ticket WHERE ticket_id = 'T2';
SELECT results_eq($$ SELECT name, amount FROM pg_temp.told('T2', 'state', 'line', 'posted') WHERE name IN ('vanished', 'commission', 'pending') $$, $$ VALUES
	('vanished', NULL::numeric), ('pending', NULL), ('commission', 79.20) $$, 'a row that is gone: from what is posted');

------------------------------------------------------------------------------
-- which source, whose right
------------------------------------------------------------------------------
CREATE TABLE repairs.jobs (id int PRIMARY KEY, at timestamptz, worker text);
SELECT settle.add_source('repairs', 'jobs', 'repairs.jobs', key => 'id', ready_at => 'at'), settle.add_rule('repairs', 'job', 'job', 'hq', 'staff:{worker}', base => '7', source => 'jobs') \g /dev/null
INSERT INTO repairs.jobs VALUES (7, '2025-11-20', 'w'), (8, '2025-11-20', 'w');
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('8', '2025-11-20', 'r', 'cn', '1', 100);
SELECT is((SELECT amount FROM pg_temp.told('7', 'line')), 7.00, 'of the only source that has the key');
SELECT isnt((SELECT count(*) FROM pg_temp.told('8', 'line')), 1::bigint, 'of the source ticket where that has it');
SELECT throws_ok($$ SELECT * FROM settle.explain('repairs', 'nowhere') $$, 'P0002', 'book "repairs" has no ticket "nowhere"', 'of none');
CREATE TABLE repairs.more (id int PRIMARY KEY, at timestamptz);
SELECT settle.add_source('repairs', 'more', 'repairs.more', key => 'id', ready_at => 'at') \g /dev/null
INSERT INTO repairs.more VALUES (7, '2025-11-20');
SELECT throws_ok($$ SELECT * FROM settle.explain('repairs', '7') $$, '42P08', 'sources "jobs" and "more" both have a ticket "7"', 'of two');
CREATE ROLE explain_reader;
SET ROLE explain_reader;
SELECT throws_ok($$ SELECT * FROM settle.explain('repairs', 'T1') $$, '42501', 'permission denied for book "repairs"', 'a stranger');
RESET ROLE;
SELECT settle.grant_access('repairs', 'explain_reader', 'reader') \g /dev/null
SET ROLE explain_reader;
SELECT isnt_empty($$ SELECT * FROM settle.explain('repairs', 'T1') $$, 'a reader');
RESET ROLE;
SELECT settle.revoke_access('repairs', 'explain_reader', 'reader') \g /dev/null
DROP ROLE explain_reader;
SELECT is_empty($$ SELECT * FROM settle.check('repairs') WHERE invariant !~ 'known|row' $$, 'nothing was written');

------------------------------------------------------------------------------
-- Facts, rates, what is held, what a revision corrects
------------------------------------------------------------------------------
SELECT settle.create_book('told') \g /dev/null
CREATE TABLE staffing (worker text PRIMARY KEY, leader text);
INSERT INTO staffing VALUES ('w1', 'staff:8');
SELECT settle.add_fact('told', 'leader', 'staffing', key => 'worker') \g /dev/null
SELECT settle.add_rule('told', 'override', 'override', 'hq', '{f.leader}', base => 'amount', tiers => '3%', applies_when => 'f.leader IS NOT NULL') \g /dev/null
SELECT settle.add_rule('told', 'licence', 'licence', 'hq', 'dealer:us', base => 'amount', tiers => '2%', unit => 'USD') \g /dev/null
SELECT settle.set_rate('told', 'CNY', 'USD', 0.1374, '2025-11-01 00:00+08') \g /dev/null
INSERT INTO told.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('T1', '2025-11-03 10:00+08', 'a', 'b', 'w1', 900), ('T3', '2025-11-03 10:00+08', 'a', 'b', 'w7', 900);
SELECT settle.run('told') \g /dev/null
SET TimeZone = 'Asia/Shanghai';
SELECT results_eq($$ SELECT ticket, kind, name, factor, detail FROM (SELECT 'T1' AS ticket, * FROM settle.explain('told', 'T1') UNION ALL SELECT 'T3', * FROM settle.explain('told', 'T3')) AS x WHERE kind IN ('fact', 'rate') ORDER BY ticket, kind $$, $$ VALUES
	('T1', 'fact', 'leader', NULL::numeric, 'staff:8, of w1'), ('T1', 'rate', 'CNY/USD', 0.1374, 'in force at 2025-11-03 10:00:00+08'),
	('T3', 'fact', 'leader', NULL, 'null, of w7'), ('T3', 'rate', 'CNY/USD', 0.1374, 'in force at 2025-11-03 10:00:00+08') $$, 'each fact and rate that its rules asked for, with its key and value');
UPDATE told.book SET max_correction = 0;
SELECT settle.close_period('told', '2025-11-01') \g /dev/null
UPDATE told.ticket SET amount = 1000 WHERE ticket_id = 'T1';
SELECT settle.run('told') \g /dev/null
SELECT matches((SELECT name || ': ' || detail FROM settle.explain('told', 'T1') WHERE kind = 'state'), '^held: the brake holds its correction since .*, by run [0-9]+$', 'the brake holds it');
SELECT settle.release('told', 'a test') \g /dev/null
SELECT results_eq($$ SELECT name, detail FROM settle.explain('told', 'T1') WHERE kind = 'state' $$, $$ VALUES ('held', 'its correction is released; the next run makes it'), ('pending', 'changed since it was last looked at; the next run settles what differs') $$, 'or did');
SELECT settle.run('told') \g /dev/null
SELECT matches((SELECT detail FROM settle.explain('told', 'T1') WHERE kind = 'revision' AND name = '2'), 'in the period of 2025-12-01, for that of 2025-11-01: what has changed$', 'a revision says which period it corrects');
SELECT * FROM finish();
