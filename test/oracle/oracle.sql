-- The oracle: what a settlement must come to, said a second time.
--
-- It shares no code with the extension: joins, window functions and core's own
-- numeric, nothing else, and no clever step.  A test fills the tables (the
-- tickets that survive, and the rules in relational form), says
--
--     REFRESH MATERIALIZED VIEW oracle.hit;
--
-- and reads three views: oracle.tally, oracle.line and oracle.arrival.
--
-- Nothing is rounded but the final amounts.  A quotient is carried as numerator
-- and denominator and rounded with the integer division div(), because the
-- operator / of numeric rounds: 1.005 exactly and 1.00499999999999999999 differ
-- by a cent.

SET jit = off;		-- the views are estimated at millions of rows; compiling them takes longer than running them

CREATE SCHEMA oracle;

CREATE TABLE oracle.setting (
	time_zone text NOT NULL
);

-- A surviving ticket: its time, and whatever rules ask for, by name.
CREATE TABLE oracle.ticket (
	key text PRIMARY KEY,
	at timestamptz NOT NULL,
	value jsonb NOT NULL
);

-- One version of a rule.
CREATE TABLE oracle.rule (
	rule int PRIMARY KEY,
	code text NOT NULL,
	component text NOT NULL,
	valid_from timestamptz NOT NULL DEFAULT '-infinity',
	valid_until timestamptz NOT NULL DEFAULT 'infinity',
	payee_kind text NOT NULL,		-- the payee is <payee_kind>:<value of payee_key>,
	payee_key text,					-- or <payee_kind> alone
	base text NOT NULL,				-- the value that is priced
	mode text NOT NULL DEFAULT 'graduated' CHECK (mode IN ('graduated', 'volume')),
	decisions text[] NOT NULL DEFAULT '{}',		-- factors, multiplied
	accumulates boolean NOT NULL DEFAULT false	-- by month
);

CREATE TABLE oracle.tier (
	rule int NOT NULL REFERENCES oracle.rule,
	step int NOT NULL,
	upper numeric,					-- null: open
	inclusive boolean NOT NULL DEFAULT true,	-- the bound belongs to this step ("to"), or not ("below")
	rate numeric NOT NULL DEFAULT 0,
	flat numeric NOT NULL DEFAULT 0,
	PRIMARY KEY (rule, step)
);

-- A rule applies where all its conditions hold.
CREATE TABLE oracle.condition (
	rule int NOT NULL REFERENCES oracle.rule,
	name text NOT NULL,
	test text NOT NULL CHECK (test IN ('is', 'in', 'under', 'at least', 'below')),
	operand text NOT NULL
);

-- The first outcome that holds gives the factor; the last one, without a name, always holds.
CREATE TABLE oracle.outcome (
	decision text NOT NULL,
	step int NOT NULL,
	name text,
	test text,
	operand text,
	factor numeric NOT NULL,
	PRIMARY KEY (decision, step)
);

-- True where a value passes a test; 'in' takes a list with commas, 'under' a path.
CREATE FUNCTION oracle.holds(value text, test text, operand text) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce(CASE test
	WHEN 'is' THEN value = operand
	WHEN 'in' THEN value = ANY (string_to_array(operand, ','))
	WHEN 'under' THEN starts_with(value || '.', operand || '.')
	WHEN 'at least' THEN value::numeric >= operand::numeric
	WHEN 'below' THEN value::numeric < operand::numeric
END, false);

-- Half away from zero, to cents, of num / den with den > 0.
CREATE FUNCTION oracle.cents(num numeric, den numeric DEFAULT 1) RETURNS numeric
LANGUAGE sql IMMUTABLE
RETURN (sign(num) * div(200 * abs(num) + den, 2 * den) * 0.01)::numeric(30, 2);

CREATE AGGREGATE oracle.product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1');

-- The sum of fractions: {numerator, denominator}, never reduced, never divided.
CREATE FUNCTION oracle.add_fraction(state numeric[], num numeric, den numeric) RETURNS numeric[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY[state[1] * den + num * state[2], state[2] * den];

CREATE AGGREGATE oracle.sum_fraction(num numeric, den numeric) (
	sfunc = oracle.add_fraction, stype = numeric[], initcond = '{0,1}'
);

-- Tiers with where they begin and what lies below them.
CREATE VIEW oracle.step AS
SELECT s.*,
	coalesce(sum(CASE s.mode WHEN 'volume' THEN 0 ELSE (s.upper - s.lower) * s.rate + s.flat END) OVER (
		PARTITION BY s.rule ORDER BY s.step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS fee_below
FROM (
	SELECT t.*, r.mode,
		coalesce(lag(t.upper) OVER w, 0) AS lower,
		NOT coalesce(lag(t.inclusive) OVER w, true) AS owns_lower	-- begins with its lower bound
	FROM oracle.tier AS t
	JOIN oracle.rule AS r USING (rule)
	WINDOW w AS (PARTITION BY t.rule ORDER BY t.step)
) AS s;

-- F(quantity), F(-q) = -F(q), and the unit price of the tier that quantity stands in.
-- A function with one SELECT, so that the planner can put it in line.
CREATE FUNCTION oracle.fee(for_rule int, quantity numeric) RETURNS TABLE (fee numeric, unit_price numeric)
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
	SELECT sign(quantity) * (s.flat + s.fee_below
			+ s.rate * (abs(quantity) - CASE s.mode WHEN 'volume' THEN 0 ELSE s.lower END)),
		s.rate
	FROM oracle.step AS s
	WHERE s.rule = for_rule
		AND (abs(quantity) > s.lower OR (abs(quantity) = s.lower AND (s.owns_lower OR s.step = 1)))
		AND (s.upper IS NULL OR abs(quantity) < s.upper OR (abs(quantity) = s.upper AND s.inclusive));
END;

-- Which version of which rule applies to which ticket, with base and factor.
CREATE MATERIALIZED VIEW oracle.hit AS
SELECT t.key, t.at, r.rule, r.code, r.component, r.accumulates, r.valid_from,
	r.payee_kind || coalesce(':' || (t.value ->> r.payee_key), '') AS payee,
	to_char(t.at AT TIME ZONE s.time_zone, 'YYYY-MM') AS month,
	(t.value ->> r.base)::numeric AS base,
	f.factor
FROM oracle.ticket AS t
CROSS JOIN oracle.setting AS s
JOIN oracle.rule AS r ON t.at >= r.valid_from AND t.at < r.valid_until
CROSS JOIN LATERAL (
	SELECT oracle.product((
		SELECT o.factor
		FROM oracle.outcome AS o
		WHERE o.decision = d.decision AND (o.name IS NULL OR oracle.holds(t.value ->> o.name, o.test, o.operand))
		ORDER BY o.step
		LIMIT 1
	)) AS factor
	FROM unnest(r.decisions) AS d (decision)
) AS f
WHERE NOT EXISTS (
	SELECT FROM oracle.condition AS c
	WHERE c.rule = r.rule AND NOT oracle.holds(t.value ->> c.name, c.test, c.operand)
)
WITH NO DATA;

-- What each version adds to a tally: (F(X up to and with it) - F(X before it)) * W / X,
-- and the price of the tier reached times W where X is 0.
CREATE VIEW oracle.tally_version AS
SELECT v.code, v.component, v.payee, v.month, v.rule, v.valid_from, v.n, v.x, v.w, v.x_before,
	CASE WHEN v.x = 0 THEN reached.unit_price * v.w ELSE sign(v.x) * (reached.fee - before.fee) * v.w END AS num,
	CASE WHEN v.x = 0 THEN 1 ELSE abs(v.x) END AS den
FROM (
	SELECT h.code, h.component, h.payee, h.month, h.rule, h.valid_from,
		count(*) AS n, sum(h.base) AS x, sum(h.base * h.factor) AS w,
		coalesce(sum(sum(h.base)) OVER (
			PARTITION BY h.code, h.component, h.payee, h.month ORDER BY h.valid_from
			ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS x_before
	FROM oracle.hit AS h
	WHERE h.accumulates
	GROUP BY h.code, h.component, h.payee, h.month, h.rule, h.valid_from
) AS v
CROSS JOIN LATERAL oracle.fee(v.rule, v.x_before) AS before
CROSS JOIN LATERAL oracle.fee(v.rule, v.x_before + v.x) AS reached;

-- What a tally owes: n tickets in so many versions, the exact fee num / den, and it rounded.
CREATE VIEW oracle.tally AS
SELECT s.code, s.component, s.payee, s.month, s.n, s.versions, s.c[1] AS num, s.c[2] AS den,
	oracle.cents(s.c[1], s.c[2]) AS amount
FROM (
	SELECT v.code, v.component, v.payee, v.month, sum(v.n) AS n, count(*) AS versions,
		oracle.sum_fraction(v.num, v.den) AS c
	FROM oracle.tally_version AS v
	GROUP BY v.code, v.component, v.payee, v.month
) AS s;

-- Ordinary lines: one rule, one ticket, rounded once.
CREATE VIEW oracle.line AS
SELECT h.key, h.code, h.component, h.payee, h.month, h.base, h.factor,
	oracle.cents(p.fee * h.factor) AS amount
FROM oracle.hit AS h
CROSS JOIN LATERAL oracle.fee(h.rule, h.base) AS p
WHERE NOT h.accumulates;

-- A ticket's own accumulating line, had all tickets come in the order of time and key:
-- round(G + m) - round(G), G the exact fee of what came before, m its marginal price.
CREATE VIEW oracle.arrival AS
SELECT a.key, a.code, a.component, a.payee, a.month,
	oracle.cents(a.g[1] + a.m * a.g[2], a.g[2]) - oracle.cents(a.g[1], a.g[2]) AS amount
FROM (
	SELECT h.key, h.code, h.component, h.payee, h.month,
		(after.fee - before.fee) * h.factor AS m,
		oracle.add_fraction(
			coalesce(older.c, '{0,1}'),
			CASE
				WHEN h.x_of_version = 0 THEN before.unit_price * h.w_of_version
				ELSE sign(h.x_of_version) * (before.fee - start.fee) * h.w_of_version
			END,
			CASE WHEN h.x_of_version = 0 THEN 1 ELSE abs(h.x_of_version) END
		) AS g
	FROM (
		SELECT i.*,
			coalesce(sum(i.base) OVER (PARTITION BY i.code, i.payee, i.month ORDER BY i.at, i.key COLLATE "C"
				ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS x,
			coalesce(sum(i.base) OVER same, 0) AS x_of_version,
			coalesce(sum(i.base * i.factor) OVER same, 0) AS w_of_version
		FROM oracle.hit AS i
		WHERE i.accumulates
		WINDOW same AS (PARTITION BY i.code, i.payee, i.month, i.rule ORDER BY i.at, i.key COLLATE "C"
			ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
	) AS h
	LEFT JOIN (
		SELECT v.code, v.payee, v.month, v.rule,
			oracle.sum_fraction(v.num, v.den) OVER (PARTITION BY v.code, v.payee, v.month ORDER BY v.valid_from
				ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS c
		FROM oracle.tally_version AS v
	) AS older USING (code, payee, month, rule)
	CROSS JOIN LATERAL oracle.fee(h.rule, h.x - h.x_of_version) AS start
	CROSS JOIN LATERAL oracle.fee(h.rule, h.x) AS before
	CROSS JOIN LATERAL oracle.fee(h.rule, h.x + h.base) AS after
) AS a;
