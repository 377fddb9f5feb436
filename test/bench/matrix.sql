-- Tables for the revenue matrix, into the schema that comes first; :tickets rows each.
SELECT setseed(0.5) \g /dev/null
-- 60 projects x 31 provinces x 12 months: nearly every cell has tickets
CREATE TABLE dense AS
	SELECT text2ltree('install.kind' || p / 10 || '.model' || p) AS project, text2ltree('cn.area' || r / 6 || '.province' || r) AS region,
		(date '2025-01-01' + m * interval '1 month')::date AS period, revenue, round(revenue * 0.6, 2) AS cost
	FROM (SELECT floor(random() * 60)::int AS p, floor(random() * 31)::int AS r, floor(random() * 12)::int AS m,
			(50 + random() * 2000)::numeric(12,2) AS revenue
		FROM generate_series(1, :tickets)) t;
-- 1,000 projects x 300 sites x 12 months: nearly every ticket has a cell of its own
CREATE TABLE sparse AS
	SELECT text2ltree('install.kind' || p / 100 || '.family' || p / 10 || '.model' || p) AS project,
		text2ltree('cn.area' || r / 60 || '.province' || r / 10 || '.site' || r) AS region,
		(date '2025-01-01' + m * interval '1 month')::date AS period, revenue, round(revenue * 0.6, 2) AS cost
	FROM (SELECT floor(random() * 1000)::int AS p, floor(random() * 300)::int AS r, floor(random() * 12)::int AS m,
			(50 + random() * 2000)::numeric(12,2) AS revenue
		FROM generate_series(1, :tickets)) t;
VACUUM ANALYZE dense, sparse;
