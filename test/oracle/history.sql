-- Random histories: tickets that come, change and go in two books, the live one
-- and one that settles the survivors afresh, both held against the oracle.
--
-- Read after oracle.sql by the tests that play them.  A test makes changes and
-- runs as it likes, then calls history.compare(seed, round), which writes what
-- it found wrong into history.mismatch and what it compared into
-- history.compared.

CREATE SCHEMA history;

----------------------------------------------------------------------------------------------------
-- The rules, once for the oracle; the book's text is made from them.
----------------------------------------------------------------------------------------------------

INSERT INTO oracle.setting VALUES ('Asia/Shanghai');

INSERT INTO oracle.rule (rule, code, component, valid_from, valid_until, payee_kind, payee_key, base, mode, decisions, accumulates) VALUES
	-- three versions of one rule in two months
	(1, 'commission', 'commission', '2025-11-01 00:00+08', '2025-11-15 00:00+08', 'staff', 'worker', 'amount', 'graduated', '{region}', true),
	(2, 'commission', 'commission', '2025-11-15 00:00+08', '2025-12-10 00:00+08', 'staff', 'worker', 'amount', 'volume', '{region}', true),
	(3, 'commission', 'commission', '2025-12-10 00:00+08', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{region}', true),
	-- another rule of the same component, without factor
	(4, 'commission_visit', 'commission', '-infinity', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{}', true),
	-- flat amounts, two factors
	(5, 'upsell', 'upsell', '-infinity', '2025-11-20 12:00+08', 'staff', 'worker', 'amount', 'graduated', '{region,grade}', true),
	(6, 'upsell', 'upsell', '2025-11-20 12:00+08', 'infinity', 'staff', 'worker', 'amount', 'volume', '{region,grade}', true),
	-- one component, accumulating here and not there
	(7, 'bonus_north', 'bonus', '-infinity', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{grade}', true),
	(8, 'bonus_east', 'bonus', '-infinity', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{grade}', false),
	-- few tallies with many tickets
	(9, 'team', 'team', '-infinity', 'infinity', 'team', 'kind', 'amount', 'graduated', '{region}', true),
	-- three quotients that are no decimals and whose sum stands exactly between two cents
	(15, 'halfway', 'halfway', '-infinity', '2025-11-10 00:00+08', 'staff', 'worker', 'amount', 'graduated', '{region}', true),
	(16, 'halfway', 'halfway', '2025-11-10 00:00+08', '2025-11-20 00:00+08', 'staff', 'worker', 'amount', 'graduated', '{region}', true),
	(17, 'halfway', 'halfway', '2025-11-20 00:00+08', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{region}', true),
	-- ordinary lines
	(10, 'piece', 'piece', '-infinity', '2025-11-30 18:00+08', 'staff', 'worker', 'amount', 'graduated', '{}', false),
	(11, 'piece', 'piece', '2025-11-30 18:00+08', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{grade}', false),
	(12, 'graded', 'graded', '-infinity', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{region,grade}', false),
	-- two rules of one component that may both pay
	(13, 'extra_small', 'extra', '-infinity', 'infinity', 'staff', 'worker', 'amount', 'graduated', '{}', false),
	(14, 'extra_large', 'extra', '-infinity', 'infinity', 'staff', 'worker', 'amount', 'volume', '{region}', false);

INSERT INTO oracle.tier (rule, step, upper, inclusive, rate, flat) VALUES
	(1, 1, 20000, true, 0.03, 0), (1, 2, 50000, true, 0.05, 0), (1, 3, NULL, true, 0.08, 0),
	(2, 1, 10000, true, 0.03, 0), (2, 2, 50000, false, 0.05, 20), (2, 3, NULL, true, 0.08, 0),
	(3, 1, 5000, true, 0.02, 10), (3, 2, 8000, false, 0, 20), (3, 3, NULL, true, 0.065, 0),
	(4, 1, 1000, true, 0.5, 0), (4, 2, NULL, true, 0.255, 0),
	(5, 1, 3000, true, 0, 50), (5, 2, NULL, true, 0.01, 0),
	(6, 1, 1000, true, 0.01, 0), (6, 2, 5000, false, 0, 30), (6, 3, NULL, true, 0.02, 5),
	(7, 1, NULL, true, 0.02125, 0),
	(8, 1, NULL, true, 0.015, 0),
	(9, 1, 500000, true, 0.01, 0), (9, 2, 1000000, true, 0.02, 0), (9, 3, NULL, true, 0.03, 0),
	(10, 1, NULL, true, 0, 12.5),
	(11, 1, NULL, true, 0, 13.25),
	(12, 1, 100, true, 0.03, 0), (12, 2, 500, false, 0.05, 0), (12, 3, NULL, true, 0.08, 3),
	(13, 1, NULL, true, 0.00333, 0),
	(14, 1, 1000, false, 0.7, 0), (14, 2, NULL, true, 0.6, 0),
	(15, 1, NULL, true, 0, 25),
	(16, 1, 4, true, 0, 0), (16, 2, NULL, true, 0, 25),
	(17, 1, 8, true, 0, 0), (17, 2, NULL, true, 0, 11950.075);

INSERT INTO oracle.condition VALUES
	(1, 'kind', 'in', 'install,repair'), (2, 'kind', 'in', 'install,repair'), (3, 'kind', 'in', 'install,repair'),
	(4, 'kind', 'is', 'visit'),
	(5, 'amount', 'at least', '500'), (6, 'amount', 'at least', '500'),
	(7, 'region', 'under', 'cn.north'),
	(8, 'region', 'under', 'cn.east'), (8, 'amount', 'below', '9000'),
	(10, 'kind', 'is', 'visit'), (11, 'kind', 'is', 'visit'),
	(13, 'amount', 'below', '300'),
	(14, 'amount', 'at least', '100'), (14, 'kind', 'is', 'consult'),
	(15, 'kind', 'is', 'halfway'), (16, 'kind', 'is', 'halfway'), (17, 'kind', 'is', 'halfway');

INSERT INTO oracle.outcome VALUES
	('region', 1, 'region', 'under', 'cn.north', 1.2),
	('region', 2, 'region', 'under', 'cn.east', 1.1),
	('region', 3, 'region', 'under', 'cn.south', 0.875),
	('region', 4, 'region', 'under', 'cn.west', 0),
	('region', 5, NULL, NULL, NULL, 1),
	('grade', 1, 'kind', 'is', 'install', 1.05),
	('grade', 2, 'kind', 'is', 'visit', 0.333),
	('grade', 3, NULL, NULL, NULL, 1);

-- A condition of the oracle as an expression of the book.
CREATE FUNCTION history.expression(name text, test text, operand text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE test
	WHEN 'is' THEN format('%I = %L', name, operand)
	WHEN 'in' THEN format('%I IN (%s)', name,
		(SELECT string_agg(quote_literal(o), ', ') FROM unnest(string_to_array(operand, ',')) AS o))
	WHEN 'under' THEN format('%I <@ %L', name, operand)
	WHEN 'at least' THEN format('%I >= %s', name, operand)
	WHEN 'below' THEN format('%I < %s', name, operand)
END;

-- The tiers of a rule as text: 'volume 3% to 10000, 5% + 20 flat below 50000, 8%'.
CREATE FUNCTION history.tiers_text(for_rule int) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE r.mode WHEN 'volume' THEN 'volume ' ELSE '' END
		|| string_agg(
			concat_ws(' + ',
				CASE WHEN t.rate > 0.2 THEN trim_scale(t.rate) || ' each'
					WHEN t.rate > 0 OR t.flat = 0 THEN trim_scale(t.rate * 100) || '%' END,
				CASE WHEN t.flat > 0 THEN trim_scale(t.flat) || ' flat' END)
			|| CASE WHEN t.inclusive THEN coalesce(' to ' || t.upper, '') ELSE ' below ' || t.upper END,
			', ' ORDER BY t.step)
	FROM oracle.rule AS r
	JOIN oracle.tier AS t USING (rule)
	WHERE r.rule = for_rule
	GROUP BY r.mode;
END;

-- One version of a rule of the oracle as a rule of the book.
CREATE PROCEDURE history.add_rule(book text, version int, pack text DEFAULT 'base')
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM settle.add_rule(book::regnamespace, r.code, r.component, 'hq',
		r.payee_kind || ':{' || r.payee_key || '}',
		base => r.base,
		tiers => history.tiers_text(r.rule)::settle.tiers,
		factors => r.decisions,
		accumulate => CASE WHEN r.accumulates THEN 'month' END,
		applies_when => coalesce((SELECT string_agg(history.expression(c.name, c.test, c.operand), ' AND ')
			FROM oracle.condition AS c WHERE c.rule = r.rule), 'true'),
		source => 'job',
		pack => pack,
		valid => tstzrange(nullif(r.valid_from, '-infinity'), nullif(r.valid_until, 'infinity')))
	FROM oracle.rule AS r WHERE r.rule = version;
END
$$;

-- A book over a relation of tickets with the oracle's rules.
CREATE PROCEDURE history.make_book(book text, relation regclass, reverses text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	version int;
BEGIN
	PERFORM settle.create_book(book::name, time_zone => 'Asia/Shanghai', currency => 'CNY');
	PERFORM settle.add_source(book::regnamespace, 'job', relation, key => 'id', ready_at => 'done_at',
		region => 'region', revenue => 'amount', reverses => reverses, on_delete => 'reverse');
	PERFORM settle.add_choice(book::regnamespace, 'extra', 'all');
	PERFORM settle.add_decision(book::regnamespace, o.decision, 'first', fallback => to_jsonb(o.factor))
	FROM oracle.outcome AS o WHERE o.name IS NULL;
	PERFORM settle.add_outcome(book::regnamespace, o.decision, history.expression(o.name, o.test, o.operand),
		to_jsonb(o.factor), priority => -o.step, source => 'job')
	FROM oracle.outcome AS o WHERE o.name IS NOT NULL ORDER BY o.decision, o.step;
	FOR version IN SELECT r.rule FROM oracle.rule AS r ORDER BY r.rule LOOP
		CALL history.add_rule(book, version);
	END LOOP;
END
$$;

----------------------------------------------------------------------------------------------------
-- The tickets.  Ids have one length, so that keys sort alike as numbers and as text.
----------------------------------------------------------------------------------------------------

CREATE SEQUENCE history.job_id START 100000;
CREATE TABLE history.job (
	id bigint PRIMARY KEY,
	done_at timestamptz,			-- null: not ready, or opened again
	worker int NOT NULL,
	kind text NOT NULL,
	region ltree NOT NULL,
	amount numeric NOT NULL,
	reverses bigint					-- a refund: takes its amount off that ticket
);
CREATE TABLE history.leaving (LIKE history.job);

-- Ends a history: its book and its tickets go, and the table is as it was.
CREATE PROCEDURE history.end_history()
LANGUAGE plpgsql
AS $$
DECLARE
	capture name;
BEGIN
	DROP SCHEMA history_live CASCADE;
	FOR capture IN SELECT t.tgname FROM pg_trigger AS t WHERE t.tgrelid = 'history.job'::regclass LOOP
		EXECUTE format('DROP TRIGGER %I ON history.job', capture);
	END LOOP;
	TRUNCATE history.job;
END
$$;

-- What is to be settled in the end: tickets that are ready, less their refunds.
CREATE VIEW history.survivor AS
SELECT j.id::text AS key, j.done_at AS at,
	to_jsonb(j) || jsonb_build_object('amount', j.amount + coalesce(r.refunded, 0)) AS value
FROM history.job AS j
LEFT JOIN (SELECT b.reverses, sum(b.amount) AS refunded FROM history.job AS b GROUP BY b.reverses) AS r ON r.reverses = j.id
WHERE j.reverses IS NULL AND j.done_at IS NOT NULL;

CREATE FUNCTION history.pick(choices text[]) RETURNS text
LANGUAGE sql VOLATILE
RETURN choices[1 + floor(random() * cardinality(choices))::int];

-- Mostly November and December; some on the very bounds of versions and months, some before any version.
CREATE FUNCTION history.random_time() RETURNS timestamptz
LANGUAGE sql VOLATILE
RETURN CASE floor(random() * 16)::int
	WHEN 0 THEN history.pick('{2025-11-01 00:00+08, 2025-11-14 23:59:59.999999+08, 2025-11-15 00:00+08,
		2025-11-20 12:00+08, 2025-11-30 18:00+08, 2025-11-30 23:59:59.999999+08, 2025-12-01 00:00+08,
		2025-12-09 23:59:59.999999+08, 2025-12-10 00:00+08}')::timestamptz
	WHEN 1 THEN timestamptz '2025-10-31 00:00+08' + random() * interval '24 hours'
	ELSE timestamptz '2025-11-01 00:00+08' + random() * interval '61 days'
END;

-- Some workers' amounts cancel each other, some stand on the bounds of tiers, some have more digits than cents.
CREATE FUNCTION history.random_amount(worker int) RETURNS numeric
LANGUAGE sql VOLATILE
RETURN CASE
	WHEN worker % 5 = 0 THEN history.pick('{-600,-100,-50,0,50,100,600}')::numeric
	WHEN worker % 5 = 1 THEN history.pick('{100,500,1000,3000,5000,8000,10000,20000,30000,50000,-10000,-20000,0.01,-0.01}')::numeric
	WHEN worker % 5 = 2 THEN round((random() * 9000 - 1000)::numeric, 4)
	WHEN random() < 0.1 THEN -round((random() * 3000)::numeric, 2)
	ELSE round((random() * 12000)::numeric, 2)
END;

-- Tickets come, change and go.
CREATE PROCEDURE history.change_tickets(workers int, come int, change int, go int)
LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO history.job (id, done_at, worker, kind, region, amount)
	SELECT nextval('history.job_id'), history.random_time(), n.worker,
		history.pick('{install,install,repair,repair,visit,consult}'),
		history.pick('{cn.north.bj,cn.north.tj,cn.east.sh,cn.east.hz,cn.south.gz,cn.west.xj,cn.northern,us}')::ltree,
		history.random_amount(n.worker)
	FROM (SELECT 1 + floor(random() * workers)::int AS worker FROM generate_series(1, come)) AS n;

	-- What is drawn is drawn in the order of ids, not in whatever order rows are joined.
	WITH chosen AS MATERIALIZED (
		SELECT * FROM (SELECT * FROM history.job WHERE reverses IS NULL ORDER BY id) AS j ORDER BY random() LIMIT change
	), drawn AS MATERIALIZED (
		SELECT c.id, floor(random() * 6)::int AS what, history.random_amount(c.worker) AS amount,
			history.pick('{cn.north.bj,cn.east.sh,cn.south.gz,cn.west.xj,us}')::ltree AS region,
			1 + floor(random() * workers)::int AS worker, history.random_time() AS done_at,
			history.pick('{install,repair,visit,consult}') AS kind
		FROM chosen AS c
	), spent AS (	-- another amount has no refunds yet
		DELETE FROM history.job AS j USING drawn AS d WHERE j.reverses = d.id AND d.what IN (0, 1)
	)
	UPDATE history.job AS j
	SET amount = CASE WHEN d.what IN (0, 1) THEN d.amount ELSE j.amount END,
		region = CASE WHEN d.what = 2 THEN d.region ELSE j.region END,
		worker = CASE WHEN d.what = 3 THEN d.worker ELSE j.worker END,
		done_at = CASE WHEN d.what = 4 THEN d.done_at ELSE j.done_at END,
		kind = CASE WHEN d.what = 5 THEN d.kind ELSE j.kind END
	FROM drawn AS d
	WHERE d.id = j.id;

	WITH chosen AS MATERIALIZED (
		SELECT id FROM (SELECT id FROM history.job WHERE reverses IS NULL ORDER BY id) AS j ORDER BY random() LIMIT go
	)
	DELETE FROM history.job AS j USING chosen AS c WHERE c.id IN (j.id, j.reverses);

	-- Some leave and return under their keys within one transaction.
	INSERT INTO history.leaving SELECT * FROM (SELECT * FROM history.job WHERE reverses IS NULL ORDER BY id) AS j ORDER BY random() LIMIT 3;
	DELETE FROM history.job AS j USING history.leaving AS l WHERE l.id = j.id;
	INSERT INTO history.job SELECT id, done_at, worker, kind, region, amount + 1 FROM history.leaving;
	DELETE FROM history.leaving;
END
$$;

-- (25 + 25 + 11950.075) * 3.4 / 3 is 13600.085 and owes 13600.09, and its mirror the same below zero;
-- the three quotients add up to a little less, rounded to whatever digit.
CREATE PROCEDURE history.add_halfway(worker int)
LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO history.job (id, done_at, worker, kind, region, amount)
	SELECT nextval('history.job_id'), d.done_at, add_halfway.worker + w.shift, 'halfway', t.region, t.amount * w.sign
	FROM (VALUES (timestamptz '2025-11-03 10:00+08'), ('2025-11-13 10:00+08'), ('2025-11-23 10:00+08')) AS d (done_at)
	CROSS JOIN (VALUES (ltree 'cn.north.bj', 1), ('cn.east.sh', 2)) AS t (region, amount)
	CROSS JOIN (VALUES (0, 1), (1, -1)) AS w (shift, sign);
END
$$;

----------------------------------------------------------------------------------------------------
-- What was compared, and what was found wrong.
----------------------------------------------------------------------------------------------------

CREATE TABLE history.mismatch (seed int, round int, what text, place text, got numeric, want numeric);
CREATE TABLE history.compared (seed int, round int, what text, cases bigint, shape int DEFAULT 0);

-- The lines of both books; a retier line is given its tally's component.
CREATE TABLE history.line (
	book text, source text, key text, code text, component text, payee text, month text, retier boolean, amount numeric
);
CREATE TABLE history.tally AS SELECT * FROM oracle.tally WITH NO DATA;
CREATE TABLE history.ordinary AS SELECT * FROM oracle.line WITH NO DATA;
CREATE VIEW history.accumulating AS SELECT DISTINCT r.code FROM oracle.rule AS r WHERE r.accumulates;

CREATE PROCEDURE history.read_lines(book text)
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($query$
		INSERT INTO history.line
		SELECT %1$L, l.source, l.ticket_key, l.rule_code, regexp_replace(l.component, '\.retier$', ''), l.payee,
			left(coalesce(l.corrects_period::text, l.period::text), 7), l.component LIKE '%%.retier', l.amount
		FROM %1$I.line_detail AS l$query$, book);
END
$$;

-- Holds the live book, and the same survivors settled afresh, against the oracle.
CREATE PROCEDURE history.compare(of_seed int, of_round int)
LANGUAGE plpgsql
AS $$
BEGIN
	TRUNCATE oracle.ticket, history.line, history.tally, history.ordinary;
	INSERT INTO oracle.ticket SELECT * FROM history.survivor;
	ANALYZE oracle.ticket;
	REFRESH MATERIALIZED VIEW oracle.hit;
	ANALYZE oracle.hit;
	INSERT INTO history.tally SELECT * FROM oracle.tally;
	INSERT INTO history.ordinary SELECT * FROM oracle.line;
	CALL history.read_lines('history_live');
	CALL history.read_lines('history_fresh');
	ANALYZE history.line, history.tally, history.ordinary;

	-- Every tally: its lines sum to round(C), in both books.
	WITH got AS (
		SELECT l.book, l.code, l.component, l.payee, l.month, sum(l.amount) AS got
		FROM history.line AS l
		WHERE l.code IN (SELECT a.code FROM history.accumulating AS a)
		GROUP BY l.book, l.code, l.component, l.payee, l.month
	), want AS (
		SELECT b.book, t.code, t.component, t.payee, t.month, t.amount AS want
		FROM history.tally AS t CROSS JOIN (VALUES ('history_live'), ('history_fresh')) AS b (book)
	), side_by_side AS (
		SELECT * FROM got FULL JOIN want USING (book, code, component, payee, month)
	), wrong AS (
		INSERT INTO history.mismatch
		SELECT of_seed, of_round, 'tally of ' || book, concat_ws(' ', code, component, payee, month), got, want
		FROM side_by_side WHERE coalesce(got, 0) <> coalesce(want, 0)
	)
	INSERT INTO history.compared
	SELECT of_seed, of_round, 'tally', count(*) FROM side_by_side WHERE book = 'history_live';

	-- Ordinary lines, ticket by ticket; what no longer applies is at zero.
	WITH got AS (
		SELECT l.book, l.key, l.code, l.component, l.payee, l.month, sum(l.amount) AS got
		FROM history.line AS l
		WHERE l.code NOT IN (SELECT a.code FROM history.accumulating AS a)
		GROUP BY l.book, l.key, l.code, l.component, l.payee, l.month
	), want AS (
		SELECT b.book, o.key, o.code, o.component, o.payee, o.month, o.amount AS want
		FROM history.ordinary AS o CROSS JOIN (VALUES ('history_live'), ('history_fresh')) AS b (book)
	), side_by_side AS (
		SELECT * FROM got FULL JOIN want USING (book, key, code, component, payee, month)
	), wrong AS (
		INSERT INTO history.mismatch
		SELECT of_seed, of_round, 'ordinary line of ' || book, concat_ws(' ', 'ticket', key, code, component, payee, month), got, want
		FROM side_by_side WHERE coalesce(got, 0) <> coalesce(want, 0)
	)
	INSERT INTO history.compared
	SELECT of_seed, of_round, 'ordinary line', count(*) FROM side_by_side WHERE book = 'history_live';

	-- A ticket that left a tally has lines there that sum to zero.
	WITH gone AS (
		SELECT l.book, l.key, l.code, l.component, l.payee, l.month, sum(l.amount) AS amount
		FROM history.line AS l
		LEFT JOIN oracle.hit AS h USING (key, code, component, payee, month)
		WHERE NOT l.retier AND h.key IS NULL
		GROUP BY l.book, l.key, l.code, l.component, l.payee, l.month
	), wrong AS (
		INSERT INTO history.mismatch
		SELECT of_seed, of_round, 'withdrawn line of ' || book, concat_ws(' ', 'ticket', key, code, component, payee, month), amount, 0
		FROM gone WHERE amount <> 0
	)
	INSERT INTO history.compared SELECT of_seed, of_round, 'withdrawn line', count(*) FROM gone;

	-- Settled afresh in one run, every ticket's own line is its marginal price on arrival.
	WITH got AS (
		SELECT l.key, l.code, l.component, l.payee, l.month, sum(l.amount) AS got
		FROM history.line AS l
		WHERE l.book = 'history_fresh' AND NOT l.retier AND l.code IN (SELECT a.code FROM history.accumulating AS a)
		GROUP BY l.key, l.code, l.component, l.payee, l.month
	), side_by_side AS (
		SELECT * FROM got
		FULL JOIN (SELECT a.key, a.code, a.component, a.payee, a.month, a.amount AS want FROM oracle.arrival AS a) AS want
			USING (key, code, component, payee, month)
	), wrong AS (
		INSERT INTO history.mismatch
		SELECT of_seed, of_round, 'line on arrival', concat_ws(' ', 'ticket', key, code, component, payee, month), got, want
		FROM side_by_side WHERE coalesce(got, 0) <> coalesce(want, 0)
	)
	INSERT INTO history.compared SELECT of_seed, of_round, 'line on arrival', count(*) FROM side_by_side;

	-- Every payee has the same in both books.
	WITH total AS (
		SELECT l.payee, coalesce(sum(l.amount) FILTER (WHERE l.book = 'history_live'), 0) AS live,
			coalesce(sum(l.amount) FILTER (WHERE l.book = 'history_fresh'), 0) AS fresh
		FROM history.line AS l GROUP BY l.payee
	), wrong AS (
		INSERT INTO history.mismatch
		SELECT of_seed, of_round, 'payee settled afresh', payee, live, fresh FROM total WHERE live <> fresh
	)
	INSERT INTO history.compared SELECT of_seed, of_round, 'payee settled afresh', count(*) FROM total;

	-- Retier lines stand on their tally, all others on a ticket.
	INSERT INTO history.mismatch
	SELECT of_seed, of_round, 'place of a line', concat_ws(' ', l.book, l.code, l.component, l.payee, l.source, l.key), l.amount, NULL
	FROM history.line AS l WHERE l.source <> CASE WHEN l.retier THEN 'tally' ELSE 'job' END;

	-- What the history was made of, so that one that never met a hard case does not pass.
	INSERT INTO history.compared
	SELECT of_seed, of_round, 'shape', count(*), s.shape
	FROM (
		SELECT count(*) AS versions,
			CASE WHEN count(*) > 1 THEN 1 ELSE 0 END
				| CASE WHEN bool_or(v.x = 0 AND v.w <> 0) THEN 2 ELSE 0 END
				| CASE WHEN bool_or(v.x_before + v.x < 0) THEN 4 ELSE 0 END
				| CASE WHEN bool_or((v.num * 10000) % v.den <> 0) THEN 8 ELSE 0 END AS shape
		FROM oracle.tally_version AS v
		GROUP BY v.code, v.payee, v.month
	) AS s
	GROUP BY s.shape;
END
$$;

-- Twenty of a kind are enough to see what is wrong.
CREATE FUNCTION history.wrong(kind text) RETURNS SETOF history.mismatch
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT m.* FROM history.mismatch AS m WHERE starts_with(m.what, kind) ORDER BY m.seed, m.round, m.place LIMIT 20;
END;
