-- Peer: settlement by sets, as a careful SQL developer writes it.
--
-- Conditions on paths are resolved once a project, once a site and once a
-- combination of flags instead of once a ticket; what is left are hash joins on
-- integers, ranges of amounts, and one window over the month for the commission.
-- Reads the tickets of the table :tickets and the rules of bench.rule with
-- rules = :rules, writes bench.line.

BEGIN;

-- Rules with their tiers; a rule is found by project where it names one, else by region, else by flags.
CREATE TEMP TABLE offer ON COMMIT DROP AS
SELECT r.*, t.lower, t.upper, t.rate, t.flat, t.fee_below
FROM bench.rule AS r JOIN bench.tier AS t USING (rules, rule)
WHERE r.rules = :rules AND NOT r.accumulates;

CREATE TEMP TABLE offer_of_project ON COMMIT DROP AS
SELECT p.n AS project_no, o.*
FROM bench.project AS p
JOIN offer AS o ON (o.project IS NULL OR p.project <@ o.project) AND (o.projects IS NULL OR p.project = ANY (o.projects))
WHERE o.project IS NOT NULL OR o.projects IS NOT NULL;

CREATE TEMP TABLE offer_of_site ON COMMIT DROP AS
SELECT s.n AS site_no, o.*, CASE WHEN o.coefficient THEN s.factor ELSE 1 END AS factor
FROM bench.site AS s
JOIN offer AS o ON (o.region IS NULL OR s.region <@ o.region) AND (o.regions IS NULL OR s.region = ANY (o.regions))
WHERE (o.region IS NOT NULL OR o.regions IS NOT NULL) AND o.project IS NULL AND o.projects IS NULL;

CREATE TEMP TABLE offer_of_flags ON COMMIT DROP AS
SELECT f.channel AS of_channel, f.level AS of_level, f.rush AS of_rush, f.night AS of_night, o.*
FROM (SELECT DISTINCT channel, level, rush, night FROM :tickets) AS f
JOIN offer AS o ON (o.channel IS NULL OR f.channel = o.channel) AND (o.level IS NULL OR f.level = o.level)
	AND (o.rush IS NULL OR f.rush = o.rush) AND (o.night IS NULL OR f.night = o.night)
WHERE o.project IS NULL AND o.projects IS NULL AND o.region IS NULL AND o.regions IS NULL;

ANALYZE offer_of_project, offer_of_site, offer_of_flags;

INSERT INTO bench.line
SELECT t.id, date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai')::date, o.component, o.code, 'hq',
	CASE o.payee WHEN 'staff' THEN 'staff:' || t.worker WHEN 'dealer' THEN 'dealer:' || t.dealer ELSE 'channel:' || t.channel END,
	t.amount, f.factor, round((o.fee_below + (t.amount - o.lower) * o.rate + o.flat) * f.factor, 2)
FROM :tickets AS t
JOIN offer_of_project AS o USING (project_no)
JOIN bench.site AS s ON s.n = t.site_no
CROSS JOIN LATERAL (SELECT CASE WHEN o.coefficient THEN s.factor ELSE 1 END AS factor) AS f
WHERE t.amount > o.lower AND (o.upper IS NULL OR t.amount <= o.upper)
	AND (o.amount_from IS NULL OR t.amount >= o.amount_from) AND (o.amount_below IS NULL OR t.amount < o.amount_below)
	AND (o.region IS NULL OR t.region <@ o.region) AND (o.regions IS NULL OR t.region = ANY (o.regions))
	AND (o.channel IS NULL OR t.channel = o.channel) AND (o.level IS NULL OR t.level = o.level)
	AND (o.rush IS NULL OR t.rush = o.rush) AND (o.night IS NULL OR t.night = o.night)
	AND (o.dealer IS NULL OR t.dealer = o.dealer)
UNION ALL
SELECT t.id, date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai')::date, o.component, o.code, 'hq',
	CASE o.payee WHEN 'staff' THEN 'staff:' || t.worker WHEN 'dealer' THEN 'dealer:' || t.dealer ELSE 'channel:' || t.channel END,
	t.amount, o.factor, round((o.fee_below + (t.amount - o.lower) * o.rate + o.flat) * o.factor, 2)
FROM :tickets AS t
JOIN offer_of_site AS o USING (site_no)
WHERE t.amount > o.lower AND (o.upper IS NULL OR t.amount <= o.upper)
	AND (o.amount_from IS NULL OR t.amount >= o.amount_from) AND (o.amount_below IS NULL OR t.amount < o.amount_below)
	AND (o.channel IS NULL OR t.channel = o.channel) AND (o.level IS NULL OR t.level = o.level)
	AND (o.rush IS NULL OR t.rush = o.rush) AND (o.night IS NULL OR t.night = o.night)
	AND (o.dealer IS NULL OR t.dealer = o.dealer)
UNION ALL
SELECT t.id, date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai')::date, o.component, o.code, 'hq',
	CASE o.payee WHEN 'staff' THEN 'staff:' || t.worker WHEN 'dealer' THEN 'dealer:' || t.dealer ELSE 'channel:' || t.channel END,
	t.amount, f.factor, round((o.fee_below + (t.amount - o.lower) * o.rate + o.flat) * f.factor, 2)
FROM :tickets AS t
JOIN offer_of_flags AS o ON o.of_channel = t.channel AND o.of_level = t.level AND o.of_rush = t.rush AND o.of_night = t.night
JOIN bench.site AS s ON s.n = t.site_no
CROSS JOIN LATERAL (SELECT CASE WHEN o.coefficient THEN s.factor ELSE 1 END AS factor) AS f
WHERE t.amount > o.lower AND (o.upper IS NULL OR t.amount <= o.upper)
	AND (o.amount_from IS NULL OR t.amount >= o.amount_from) AND (o.amount_below IS NULL OR t.amount < o.amount_below)
	AND (o.dealer IS NULL OR t.dealer = o.dealer)
UNION ALL
-- A worker's coefficient is that of the home province, so the fee of the month so far is F(base so far) * factor.
SELECT c.id, c.period, r.component, r.code, 'hq', 'staff:' || c.worker, c.amount, c.factor,
	c.fee - lag(c.fee, 1, 0::numeric) OVER (PARTITION BY c.worker, c.period ORDER BY c.done_at, c.id)
FROM bench.rule AS r
CROSS JOIN (
	SELECT b.*, round((t.fee_below + (b.so_far - t.lower) * t.rate + t.flat) * b.factor, 2) AS fee
	FROM (
		SELECT t.id, t.done_at, t.worker, m.period, t.amount, s.factor,
			sum(t.amount) OVER (PARTITION BY t.worker, m.period ORDER BY t.done_at, t.id ROWS UNBOUNDED PRECEDING) AS so_far
		FROM :tickets AS t
		JOIN bench.site AS s ON s.n = t.site_no
		CROSS JOIN LATERAL (SELECT date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai')::date AS period) AS m
	) AS b
	JOIN bench.rule AS r ON r.rules = :rules AND r.accumulates
	JOIN bench.tier AS t ON t.rules = r.rules AND t.rule = r.rule AND b.so_far > t.lower AND (t.upper IS NULL OR b.so_far <= t.upper)
) AS c
WHERE r.rules = :rules AND r.accumulates;

COMMIT;
