-- The property to protect: what a tally owes is a function of what is in it,
-- never of how it came there.
--
-- A history is random tickets that come, change and go, in random order and cut
-- into runs at random.  After every round each tally, each ordinary line and
-- each withdrawn ticket is held against the oracle, and the survivors are
-- settled afresh in a second book.  One history for each seed:
--
--     psql -v seeds=17,18 -v rounds=20 -v workers=500 -f test/pgtap/accumulation.sql
--
-- A case that fails is printed with its seed, round, tally and both values.

\set ON_ERROR_STOP on
\if :{?seeds} \else \set seeds 20251111,7,1000003 \endif
\if :{?rounds} \else \set rounds 10 \endif
\if :{?workers} \else \set workers 200 \endif

SET client_min_messages = warning;
SET timezone = 'America/New_York';		-- any zone but the book's
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir ../oracle/oracle.sql
\ir ../oracle/history.sql

-- One history: rounds of changes, commits and runs cut in between, then a full run and the comparison.
CREATE PROCEDURE history.play(seed int, rounds int, workers int)
LANGUAGE plpgsql
AS $$
DECLARE
	did record;
	wrong record;
BEGIN
	PERFORM setseed((seed % 1000000) / 1000000.0);
	CALL history.make_book('history_live', 'history.job');
	COMMIT;
	FOR round IN 1 .. rounds LOOP
		FOR part IN 1 .. 1 + floor(random() * 3) LOOP
			CALL history.change_tickets(workers, CASE round WHEN 1 THEN 2 * workers ELSE workers / 3 END, workers / 3, workers / 5);
			COMMIT;
			-- What is rolled back never happened.
			CALL history.change_tickets(workers, 20, 20, 20);
			ROLLBACK;
			FOR cut IN 1 .. floor(random() * 4) LOOP
				PERFORM settle.run('history_live', 1 + floor(random() * workers)::int);
				COMMIT;
			END LOOP;
			-- Changes before and after a run, in its transaction.
			IF random() < 0.3 THEN
				CALL history.change_tickets(workers, 10, 10, 10);
				PERFORM settle.run('history_live', 1 + floor(random() * workers)::int);
				CALL history.change_tickets(workers, 10, 10, 10);
				COMMIT;
			END IF;
		END LOOP;
		FOR wrong IN SELECT c::text AS said FROM settle.check('history_live') AS c LOOP
			INSERT INTO history.mismatch VALUES (seed, round, 'settle.check between runs: ' || wrong.said);
		END LOOP;
		CALL history.add_halfway(workers + 2 * round);
		PERFORM settle.run('history_live');
		COMMIT;
		SELECT * INTO did FROM settle.run('history_live');
		IF did.tickets <> 0 OR did.lines <> 0 OR did.problems <> 0 THEN
			INSERT INTO history.mismatch VALUES (seed, round, 'second run: ' || did::text);
		END IF;

		-- The survivors, settled afresh.
		CREATE TABLE history.fresh_job (LIKE history.job INCLUDING ALL);
		INSERT INTO history.fresh_job SELECT * FROM (SELECT * FROM history.job ORDER BY id) AS j ORDER BY random();
		CALL history.make_book('history_fresh', 'history.fresh_job');
		PERFORM settle.rescan('history_fresh');
		PERFORM settle.run('history_fresh');
		COMMIT;

		CALL history.compare(seed, round);
		FOR wrong IN
			SELECT b.book, c::text AS said FROM (VALUES ('history_live'), ('history_fresh')) AS b (book)
			CROSS JOIN LATERAL settle.check(b.book::regnamespace) AS c
		LOOP
			INSERT INTO history.mismatch VALUES (seed, round, 'settle.check of ' || wrong.book || ': ' || wrong.said);
		END LOOP;
		DROP SCHEMA history_fresh CASCADE;
		DROP TABLE history.fresh_job;
		COMMIT;
	END LOOP;
	CALL history.end_history();
	COMMIT;
END
$$;

----------------------------------------------------------------------------------------------------
-- Play and judge.
----------------------------------------------------------------------------------------------------

SELECT format('CALL history.play(%s, %s, %s)', seed, :rounds, :workers)
FROM unnest(string_to_array(:'seeds', ',')) WITH ORDINALITY AS s (seed, ordinal) ORDER BY ordinal \gexec

SELECT plan(12);

SELECT diag(format('seeds %s; %s rounds of %s workers', :'seeds', :rounds, :workers));
SELECT diag(format('%s: %s cases', what, sum(cases))) FROM history.compared WHERE what <> 'shape' GROUP BY what ORDER BY what;
SELECT diag(format('tallies with several versions: %s; base zero: %s; base below zero: %s; no exact decimal: %s',
	sum(cases) FILTER (WHERE shape & 1 <> 0), sum(cases) FILTER (WHERE shape & 2 <> 0),
	sum(cases) FILTER (WHERE shape & 4 <> 0), sum(cases) FILTER (WHERE shape & 8 <> 0)))
FROM history.compared WHERE what = 'shape';

SELECT is_empty($$SELECT * FROM history.wrong('tally of history_live')$$, 'every tally sums to round(C), whatever its history');
SELECT is_empty($$SELECT * FROM history.wrong('tally of history_fresh')$$, 'every tally settled afresh sums to round(C)');
SELECT is_empty($$SELECT * FROM history.wrong('ordinary line')$$, 'every ordinary line is what the oracle says');
SELECT is_empty($$SELECT * FROM history.wrong('withdrawn line')$$, 'the lines of a withdrawn ticket sum to zero');
SELECT is_empty($$SELECT * FROM history.wrong('line on arrival')$$, 'the own line of a ticket is its marginal price on arrival');
SELECT is_empty($$SELECT * FROM history.wrong('payee settled afresh')$$, 'every payee has what settling the survivors afresh gives');
SELECT is_empty($$SELECT * FROM history.wrong('place of a line')$$, 'retier lines stand on their tally, all others on a ticket');
SELECT is_empty($$SELECT * FROM history.wrong('second run')$$, 'a second run does nothing and meets no problem');
SELECT is_empty($$SELECT * FROM history.wrong('settle.check')$$, 'settle.check finds nothing, between runs and after');
SELECT is((SELECT count(*) FROM history.mismatch), 0::bigint, 'no case of any kind is wrong');
SELECT cmp_ok((SELECT sum(cases) FROM history.compared WHERE what = 'tally'), '>=', (:rounds * :workers)::numeric,
	'as many tallies were compared as there are rounds times workers');
SELECT is((SELECT bit_or(shape) FROM history.compared WHERE what = 'shape'), 15,
	'tallies of several versions, of base zero and below, and of no exact decimal all occurred');

SELECT * FROM finish();

DROP SCHEMA history CASCADE;
DROP SCHEMA oracle CASCADE;
