-- The books close, and yesterday's tickets go on changing.
--
-- Random histories as in accumulation.sql, with all that reaches back: refunds
-- that name their ticket, tickets that come late, are opened again or corrected
-- in a month that is closed, rules edited in the past, months closed and opened
-- again.  Whatever happened, what stands for the tickets' own months equals the
-- oracle and the survivors settled afresh, and what was closed stays as it was.
--
--     psql -v seeds=17,18 -v rounds=20 -v workers=500 -f test/pgtap/closing.sql
--
-- A case that fails is printed with its seed, round, place and both values.

\set ON_ERROR_STOP on
\if :{?seeds} \else \set seeds 4,20261122 \endif
\if :{?rounds} \else \set rounds 8 \endif
\if :{?workers} \else \set workers 100 \endif

SET client_min_messages = warning;
SET timezone = 'America/New_York';		-- any zone but the book's
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir ../oracle/oracle.sql
\ir ../oracle/history.sql

----------------------------------------------------------------------------------------------------
-- What reaches back
----------------------------------------------------------------------------------------------------

-- Refunds name their ticket and take part of it, or all that is left; some are taken back.
CREATE PROCEDURE history.refund(come int, go int)
LANGUAGE sql
BEGIN ATOMIC
	INSERT INTO history.job (id, done_at, worker, kind, region, amount, reverses)
	SELECT nextval('history.job_id'), c.done_at, 0, 'refund', 'us', -c.part, c.id
	FROM (
		SELECT s.id, history.random_time() AS done_at,
			CASE WHEN random() < 0.3 THEN s.remains ELSE round(s.remains * random()::numeric, 2) END AS part
		FROM (
			SELECT j.id, (v.value ->> 'amount')::numeric AS remains
			FROM history.job AS j JOIN history.survivor AS v ON v.key = j.id::text
			WHERE j.amount > 0 AND (v.value ->> 'amount')::numeric > 0
			ORDER BY j.id
		) AS s
		ORDER BY random() LIMIT come
	) AS c
	WHERE c.part > 0;
	DELETE FROM history.job AS j
	USING (SELECT r.id FROM (SELECT b.id FROM history.job AS b WHERE b.reverses IS NOT NULL ORDER BY b.id) AS r ORDER BY random() LIMIT go) AS c
	WHERE c.id = j.id;
END;

-- Tickets are opened again, and some of those are done at last, at a time that may be long ago.
CREATE PROCEDURE history.open_again(n int)
LANGUAGE sql
BEGIN ATOMIC
	UPDATE history.job AS j SET done_at = history.random_time()
	FROM (SELECT w.id FROM (SELECT b.id FROM history.job AS b WHERE b.done_at IS NULL ORDER BY b.id) AS w ORDER BY random() LIMIT n / 2) AS c
	WHERE c.id = j.id;
	UPDATE history.job AS j SET done_at = NULL
	FROM (SELECT w.id FROM (SELECT b.id FROM history.job AS b WHERE b.done_at IS NOT NULL AND b.reverses IS NULL ORDER BY b.id) AS w ORDER BY random() LIMIT n) AS c
	WHERE c.id = j.id;
END;

-- A rule's version ends at an instant in the past and another one, with the tiers of any rule of
-- the same kind, takes its place until it would have ended.  Once a month has closed that takes a
-- pack, which another person approves.
CREATE PROCEDURE history.edit_rule(book text)
LANGUAGE plpgsql
AS $$
DECLARE
	edited timestamptz := date_trunc('minute', timestamptz '2025-11-02 00:00+08' + random() * interval '55 days');
	base_is_free boolean;
	old oracle.rule;
	scale int;
	version int;
	draft text;
BEGIN
	EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I.period AS p WHERE p.state = ''closed'')', book) INTO base_is_free;
	SELECT r.* INTO old
	FROM (
		SELECT o.* FROM oracle.rule AS o
		WHERE o.valid_from < edited AND o.valid_until > edited AND (base_is_free OR o.valid_until = 'infinity') AND o.code <> 'halfway'
		ORDER BY o.rule
	) AS r
	ORDER BY random() LIMIT 1;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT r.rule INTO scale
	FROM (SELECT o.rule FROM oracle.rule AS o WHERE o.code <> 'halfway' AND o.accumulates = old.accumulates ORDER BY o.rule) AS r
	ORDER BY random() LIMIT 1;
	SELECT max(o.rule) + 1 INTO version FROM oracle.rule AS o;

	UPDATE oracle.rule AS o SET valid_until = edited WHERE o.rule = old.rule;
	INSERT INTO oracle.rule
	SELECT version, old.code, old.component, edited, old.valid_until, old.payee_kind, old.payee_key, old.base, o.mode, old.decisions, old.accumulates
	FROM oracle.rule AS o WHERE o.rule = scale;
	INSERT INTO oracle.tier SELECT version, t.step, t.upper, t.inclusive, t.rate, t.flat FROM oracle.tier AS t WHERE t.rule = scale;
	INSERT INTO oracle.condition SELECT version, c.name, c.test, c.operand FROM oracle.condition AS c WHERE c.rule = old.rule;

	IF base_is_free THEN
		PERFORM settle.end_rule(book::regnamespace, old.code, edited);
		CALL history.add_rule(book, version);
		RETURN;
	END IF;
	draft := 'edit_' || version;
	PERFORM settle.add_pack(book::regnamespace, draft, ends => ARRAY[old.code]);
	CALL history.add_rule(book, version, draft);
	PERFORM settle.submit_pack(book::regnamespace, draft, 'a rate was wrong');
	SET SESSION AUTHORIZATION history_approver;
	PERFORM settle.approve_pack(book::regnamespace, draft, 'it was');
	RESET SESSION AUTHORIZATION;
	PERFORM settle.enable_pack(book::regnamespace, draft, edited, reach_back => true);
END
$$;

-- What stood in a month when it was closed.
CREATE TABLE history.frozen (period date, payer text, payee text, component text, amount numeric);

CREATE PROCEDURE history.close(book text, month date)
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM settle.run(book::regnamespace);
	PERFORM settle.excuse(book::regnamespace, u.source, u.ticket_key, 'nobody is paid for it')
	FROM history_live.unpaid AS u WHERE u.excused_at IS NULL;
	PERFORM settle.close_period(book::regnamespace, month, 'the month is over');
	INSERT INTO history.frozen
	SELECT l.period, l.payer, l.payee, l.component, sum(l.amount)
	FROM history_live.line_detail AS l WHERE l.period = month GROUP BY 1, 2, 3, 4;
END
$$;

----------------------------------------------------------------------------------------------------
-- One history
----------------------------------------------------------------------------------------------------

CREATE TABLE history.planned (component text, payee text, period date, corrects_period date, lines bigint, amount numeric);

CREATE PROCEDURE history.play(seed int, rounds int, workers int)
LANGUAGE plpgsql
AS $$
DECLARE
	did record;
	wrong record;
	last_run bigint;
	closed date;
	anchor text;
BEGIN
	PERFORM setseed((seed % 1000000) / 1000000.0);
	CALL history.make_book('history_live', 'history.job', reverses => 'reverses');
	UPDATE history_live.book SET max_correction = NULL;
	PERFORM settle.grant_access('history_live', 'history_approver', 'approver');
	COMMIT;
	FOR round IN 1 .. rounds LOOP
		CALL history.change_tickets(workers, CASE round WHEN 1 THEN 5 * workers ELSE workers / 3 END, workers / 3, workers / 6);
		CALL history.refund(workers / 5, workers / 20);
		COMMIT;
		CALL history.open_again(workers / 10);
		IF round > 1 THEN
			CALL history.edit_rule('history_live');
			CALL history.edit_rule('history_live');
		END IF;
		COMMIT;
		-- What is rolled back never happened.
		CALL history.refund(20, 5);
		CALL history.edit_rule('history_live');
		PERFORM settle.run('history_live');
		ROLLBACK;
		FOR cut IN 1 .. floor(random() * 3) LOOP
			PERFORM settle.run('history_live', 1 + floor(random() * workers)::int);
			COMMIT;
		END LOOP;
		CALL history.add_halfway(workers + 2 * round);

		-- The run does what the plan says.
		TRUNCATE history.planned;
		INSERT INTO history.planned
		SELECT p.component, p.payee, p.period, p.corrects_period, sum(p.lines), sum(p.amount)
		FROM settle.plan('history_live') AS p GROUP BY 1, 2, 3, 4;
		SELECT coalesce(max(r.run_id), 0) INTO last_run FROM history_live.run AS r;
		PERFORM settle.run('history_live');
		WITH did AS (
			SELECT l.component, l.payee, l.period, l.corrects_period, count(*) AS lines, sum(l.amount) AS amount
			FROM history_live.line_detail AS l WHERE l.run_id > last_run GROUP BY 1, 2, 3, 4
		), side_by_side AS (
			SELECT coalesce(p.component, d.component) AS component, coalesce(p.payee, d.payee) AS payee, coalesce(p.period, d.period) AS period,
				p.lines AS planned_lines, d.lines, p.amount AS planned, d.amount
			FROM history.planned AS p
			FULL JOIN did AS d ON (p.component, p.payee, p.period) = (d.component, d.payee, d.period)
				AND p.corrects_period IS NOT DISTINCT FROM d.corrects_period
		), wrong AS (
			INSERT INTO history.mismatch
			SELECT seed, round, 'plan', concat_ws(' ', component, payee, period), planned, amount
			FROM side_by_side WHERE planned IS DISTINCT FROM amount OR planned_lines IS DISTINCT FROM side_by_side.lines
		)
		INSERT INTO history.compared SELECT seed, round, 'plan', count(*) FROM side_by_side;
		COMMIT;
		SELECT * INTO did FROM settle.run('history_live');
		IF did.tickets <> 0 OR did.lines <> 0 OR did.problems <> 0 THEN
			INSERT INTO history.mismatch VALUES (seed, round, 'second run: ' || did::text);
		END IF;

		-- October, November, November again, December.
		SELECT max(p.period) INTO closed FROM history_live.period AS p WHERE p.state = 'closed';
		CASE round
			WHEN 2 THEN CALL history.close('history_live', '2025-10-01');
			WHEN 3 THEN CALL history.close('history_live', '2025-11-01');
			WHEN 5 THEN
				PERFORM settle.reopen_period('history_live', '2025-11-01', 'a contract was forgotten');
				DELETE FROM history.frozen AS f WHERE f.period = '2025-11-01';
			WHEN 6 THEN CALL history.close('history_live', '2025-11-01');
			WHEN 7 THEN CALL history.close('history_live', '2025-12-01');
			ELSE NULL;
		END CASE;
		COMMIT;

		-- What was closed is as it was.
		WITH got AS (
			SELECT l.period, l.payer, l.payee, l.component, sum(l.amount) AS amount
			FROM history_live.line_detail AS l
			WHERE l.period IN (SELECT f.period FROM history.frozen AS f) GROUP BY 1, 2, 3, 4
		), side_by_side AS (
			SELECT period, payer, payee, component, g.amount AS got, f.amount AS want
			FROM got AS g FULL JOIN history.frozen AS f USING (period, payer, payee, component)
		), wrong AS (
			INSERT INTO history.mismatch
			SELECT seed, round, 'closed month', concat_ws(' ', period, payer, payee, component), got, want
			FROM side_by_side WHERE got IS DISTINCT FROM want
		)
		INSERT INTO history.compared SELECT seed, round, 'closed month', count(*) FROM side_by_side;
		INSERT INTO history.compared
		SELECT seed, round, 'correction of a closed month', count(*) FROM history_live.sheet AS s WHERE s.corrects_period IS NOT NULL;

		-- The survivors, settled afresh by the rules as they are now.
		CREATE TABLE history.fresh_job (LIKE history.job INCLUDING ALL);
		INSERT INTO history.fresh_job SELECT * FROM (SELECT * FROM history.job ORDER BY id) AS j ORDER BY random();
		CALL history.make_book('history_fresh', 'history.fresh_job', reverses => 'reverses');
		PERFORM settle.rescan('history_fresh');
		PERFORM settle.run('history_fresh');
		COMMIT;

		CALL history.compare(seed, round);
		FOR wrong IN
			SELECT b.book, c::text AS said FROM (VALUES ('history_live'), ('history_fresh')) AS b (book)
			CROSS JOIN LATERAL settle.check(b.book::regnamespace) AS c
			UNION ALL
			SELECT 'history_live, replayed', r::text FROM settle.replay('history_live') AS r
		LOOP
			INSERT INTO history.mismatch VALUES (seed, round, 'settle.check of ' || wrong.book || ': ' || wrong.said);
		END LOOP;

		-- What was sealed is as it was.
		PERFORM settle._seal('history_live');
		FOR wrong IN SELECT v::text AS said FROM settle.verify('history_live', anchor) AS v LOOP
			INSERT INTO history.mismatch VALUES (seed, round, 'settle.verify: ' || wrong.said);
		END LOOP;
		anchor := settle.anchor('history_live');

		DROP SCHEMA history_fresh CASCADE;
		DROP TABLE history.fresh_job;
		COMMIT;
	END LOOP;
	CALL history.end_history();
	TRUNCATE history.frozen;
	DELETE FROM oracle.tier AS t WHERE t.rule > 17;
	DELETE FROM oracle.condition AS c WHERE c.rule > 17;
	DELETE FROM oracle.rule AS r WHERE r.rule > 17;
	UPDATE oracle.rule AS r SET valid_until = o.valid_until FROM history.rule_at_first AS o WHERE o.rule = r.rule;
	COMMIT;
END
$$;

----------------------------------------------------------------------------------------------------
-- Play and judge.
----------------------------------------------------------------------------------------------------

CREATE ROLE history_approver;
GRANT USAGE ON SCHEMA settle TO history_approver;
CREATE TABLE history.rule_at_first AS SELECT r.rule, r.valid_until FROM oracle.rule AS r;

SELECT format('CALL history.play(%s, %s, %s)', seed, :rounds, :workers)
FROM unnest(string_to_array(:'seeds', ',')) WITH ORDINALITY AS s (seed, ordinal) ORDER BY ordinal \gexec

SELECT plan(13);

SELECT diag(format('seeds %s; %s rounds of %s workers', :'seeds', :rounds, :workers));
SELECT diag(format('%s: %s cases', what, sum(cases))) FROM history.compared WHERE what <> 'shape' GROUP BY what ORDER BY what;

SELECT is_empty($$SELECT * FROM history.wrong('tally of history_live')$$, 'every tally sums to round(C), whatever reached back');
SELECT is_empty($$SELECT * FROM history.wrong('tally of history_fresh')$$, 'every tally settled afresh sums to round(C)');
SELECT is_empty($$SELECT * FROM history.wrong('ordinary line')$$, 'every ordinary line is what the oracle says, in its own month');
SELECT is_empty($$SELECT * FROM history.wrong('withdrawn line')$$, 'the lines of a withdrawn ticket sum to zero');
SELECT is_empty($$SELECT * FROM history.wrong('payee settled afresh')$$, 'every payee has what settling the survivors afresh gives');
SELECT is_empty($$SELECT * FROM history.wrong('closed month')$$, 'what stood in a closed month stays');
SELECT is_empty($$SELECT * FROM history.wrong('plan')$$, 'a run does what the plan said before it');
SELECT is_empty($$SELECT * FROM history.wrong('second run')$$, 'a second run does nothing and meets no problem');
SELECT is_empty($$SELECT * FROM history.wrong('settle.check')$$, 'settle.check and settle.replay find nothing');
SELECT is_empty($$SELECT * FROM history.wrong('settle.verify')$$, 'what was sealed is as it was');
SELECT is((SELECT count(*) FROM history.mismatch), 0::bigint, 'no case of any kind is wrong');
SELECT cmp_ok((SELECT sum(cases) FROM history.compared WHERE what = 'correction of a closed month'), '>=', (:rounds * :workers)::numeric,
	'closed months were corrected often enough');
SELECT cmp_ok((SELECT sum(cases) FROM history.compared WHERE what = 'closed month'), '>', 0::numeric, 'closed months were looked at');

SELECT * FROM finish();

DROP SCHEMA history CASCADE;
DROP SCHEMA oracle CASCADE;
DROP OWNED BY history_approver;
DROP ROLE history_approver;
