-- Peer: settlement by sets, the plain way: tickets joined with the columns of
-- the rule table, tiers by LATERAL, the commission by a window.
--
-- Reads the tickets of the table :tickets and the rules of bench.rule with
-- rules = :rules, writes bench.line.

INSERT INTO bench.line
WITH ticket AS MATERIALIZED (
	SELECT t.*, date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai')::date AS period, p.factor AS coefficient
	FROM :tickets AS t
	JOIN bench.site AS s ON s.n = t.site_no
	JOIN bench.province AS p ON s.region <@ p.region
)
SELECT t.id, t.period, r.component, r.code, 'hq',
	CASE r.payee WHEN 'staff' THEN 'staff:' || t.worker WHEN 'dealer' THEN 'dealer:' || t.dealer ELSE 'channel:' || t.channel END,
	t.amount, f.factor, round(fee.fee * f.factor, 2)
FROM ticket AS t
JOIN bench.rule AS r ON (r.project IS NULL OR t.project <@ r.project)
	AND (r.projects IS NULL OR t.project = ANY (r.projects))
	AND (r.region IS NULL OR t.region <@ r.region)
	AND (r.regions IS NULL OR t.region = ANY (r.regions))
	AND (r.amount_from IS NULL OR t.amount >= r.amount_from)
	AND (r.amount_below IS NULL OR t.amount < r.amount_below)
	AND (r.channel IS NULL OR t.channel = r.channel)
	AND (r.level IS NULL OR t.level = r.level)
	AND (r.rush IS NULL OR t.rush = r.rush)
	AND (r.night IS NULL OR t.night = r.night)
	AND (r.dealer IS NULL OR t.dealer = r.dealer)
CROSS JOIN LATERAL (SELECT CASE WHEN r.coefficient THEN t.coefficient ELSE 1 END AS factor) AS f
CROSS JOIN LATERAL (
	SELECT v.fee_below + (t.amount - v.lower) * v.rate + v.flat AS fee
	FROM bench.tier AS v
	WHERE v.rules = r.rules AND v.rule = r.rule AND t.amount > v.lower AND (v.upper IS NULL OR t.amount <= v.upper)
) AS fee
WHERE r.rules = :rules AND NOT r.accumulates
UNION ALL
SELECT c.id, c.period, c.component, c.code, 'hq', 'staff:' || c.worker, c.amount, c.coefficient,
	c.fee - lag(c.fee, 1, 0::numeric) OVER (PARTITION BY c.worker, c.period ORDER BY c.done_at, c.id)
FROM (
	SELECT b.*, round(fee.fee * b.coefficient, 2) AS fee
	FROM (
		SELECT t.*, r.rules, r.rule, r.component, r.code,
			sum(t.amount) OVER (PARTITION BY t.worker, t.period ORDER BY t.done_at, t.id ROWS UNBOUNDED PRECEDING) AS so_far
		FROM ticket AS t
		JOIN bench.rule AS r ON r.rules = :rules AND r.accumulates
	) AS b
	CROSS JOIN LATERAL (
		SELECT v.fee_below + (b.so_far - v.lower) * v.rate + v.flat AS fee
		FROM bench.tier AS v
		WHERE v.rules = b.rules AND v.rule = b.rule AND b.so_far > v.lower AND (v.upper IS NULL OR b.so_far <= v.upper)
	) AS fee
) AS c;
