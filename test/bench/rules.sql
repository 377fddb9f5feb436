-- Rule sets of 10, 20, 200, 2,000 and 10,000 conditions over bench.ticket, of
-- which about five apply to a ticket, four to six and seldom seven.  This table
-- is the only definition: the book's rules (book.sql) and the peers' rules are
-- both made from it.
--
-- Every set cuts the same tickets ever finer, so each gives a ticket the same
-- number of lines, but for campaigns.  Within a component no two rules meet:
--   commission   all; to the worker, graduated by the worker's month, regional coefficient
--   service      all; to the worker, by project: subtrees, lists, single ones, amount ranges
--   area         all; to the dealer, by region: subtrees, lists of sites, amount ranges, regional coefficient
--   traffic      all; to the channel, by channel, level, amount range, province
--   material     from 150 on, 87 of 100; to the dealer, by region subtree, level, dealer, amount range
--   care         rush, 15 of 100; to the worker, a sum, by night, channel, level, province
--   campaign     to the dealer: offers of single dealers that few tickets meet

CREATE TABLE bench.rule (
	rules int,					-- size of the set
	rule int,					-- number in the set
	code text NOT NULL,
	component text NOT NULL,
	payee text NOT NULL CHECK (payee IN ('staff', 'dealer', 'channel')),
	accumulates boolean NOT NULL,
	coefficient boolean NOT NULL,
	-- conditions, all of which must hold; null asks for nothing
	project ltree,				-- subtree
	projects ltree[],			-- list
	region ltree,				-- subtree
	regions ltree[],			-- list
	amount_from numeric,
	amount_below numeric,
	channel text,
	level text,
	rush boolean,
	night boolean,
	dealer int,
	PRIMARY KEY (rules, rule),
	UNIQUE (rules, code)
);

-- Graduated tiers: above lower, up to and with upper.
CREATE TABLE bench.tier (
	rules int,
	rule int,
	lower numeric,
	upper numeric,
	rate numeric NOT NULL,
	flat numeric NOT NULL DEFAULT 0,
	fee_below numeric NOT NULL DEFAULT 0,
	PRIMARY KEY (rules, rule, lower)
);

CREATE TEMP TABLE family AS
SELECT row_number() OVER (ORDER BY subpath(project, 0, 2)) AS n, subpath(project, 0, 2) AS family,
	array_agg(project ORDER BY project) AS leaves
FROM bench.project GROUP BY 2;

-- The bounds of the i-th of n amount ranges: even ones below 1,000, the last one open.
CREATE FUNCTION bench.bound(i int, n int) RETURNS numeric
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN i BETWEEN 1 AND n - 1 THEN i * 1000 / n END;

CREATE PROCEDURE bench.define_rules(size int)
LANGUAGE plpgsql
AS $$
DECLARE
	channels text[] := '{store, app, web, call, partner, insurer}';
	levels text[] := '{plain, bronze, silver, gold, diamond}';
	dealers int[] := ARRAY(SELECT generate_series(1, 300));
	provinces ltree[] := ARRAY(SELECT region FROM bench.province ORDER BY n);
	areas ltree[] := ARRAY(SELECT DISTINCT subpath(region, 0, 2) FROM bench.province ORDER BY 1);
BEGIN
	CREATE TEMP TABLE made AS SELECT * FROM bench.rule WITH NO DATA;
	INSERT INTO made (component, payee, accumulates, coefficient) VALUES ('commission', 'staff', true, true);

	-- service: roots; families as subtrees in amount ranges, or as lists of their projects; single projects in amount ranges
	INSERT INTO made (component, payee, project)
	SELECT DISTINCT 'service', 'staff', subpath(project, 0, 1) FROM bench.project WHERE size <= 20 ORDER BY 3;
	INSERT INTO made (component, payee, project, projects, amount_from, amount_below)
	SELECT 'service', 'staff', CASE n % 2 WHEN 0 THEN family END, CASE n % 2 WHEN 1 THEN leaves[i * (20 / parts) + 1 : (i + 1) * (20 / parts)] END,
		CASE n % 2 WHEN 0 THEN bench.bound(i, parts) END, CASE n % 2 WHEN 0 THEN bench.bound(i + 1, parts) END
	FROM (SELECT CASE size WHEN 200 THEN 2 ELSE 20 END AS parts) AS p CROSS JOIN family CROSS JOIN generate_series(0, parts - 1) AS i
	WHERE size IN (200, 2000) ORDER BY n, i;
	INSERT INTO made (component, payee, projects, amount_from, amount_below)
	SELECT 'service', 'staff', ARRAY[project], bench.bound(i, 5), bench.bound(i + 1, 5)
	FROM bench.project CROSS JOIN generate_series(0, 4) AS i WHERE size = 10000 ORDER BY n, i;

	-- area: the country, its areas, provinces in amount ranges, lists of three sites in amount ranges
	INSERT INTO made (component, payee, coefficient, region)
	SELECT DISTINCT 'area', 'dealer', true, subpath(region, 0, CASE size WHEN 10 THEN 1 ELSE 2 END) FROM bench.province WHERE size <= 20 ORDER BY 4;
	INSERT INTO made (component, payee, coefficient, region, amount_from, amount_below)
	SELECT 'area', 'dealer', true, region, bench.bound(i, parts), bench.bound(i + 1, parts)
	FROM (SELECT CASE size WHEN 200 THEN 1 ELSE 10 END AS parts) AS p CROSS JOIN bench.province CROSS JOIN generate_series(0, parts - 1) AS i
	WHERE size IN (200, 2000) ORDER BY n, i;
	INSERT INTO made (component, payee, coefficient, regions, amount_from, amount_below)
	SELECT 'area', 'dealer', true, regions, bench.bound(i, 15), bench.bound(i + 1, 15)
	FROM (SELECT n / 3 AS n, array_agg(region ORDER BY n) AS regions FROM bench.site GROUP BY n / 3) AS s CROSS JOIN generate_series(0, 14) AS i
	WHERE size = 10000 ORDER BY n, i;

	-- traffic: any, channels, with levels, with amount ranges, with provinces
	INSERT INTO made (component, payee, channel, level, amount_from, amount_below, region)
	SELECT 'traffic', 'channel', c, l, bench.bound(i, parts), bench.bound(i + 1, parts), r
	FROM (SELECT CASE size WHEN 2000 THEN 5 ELSE 1 END AS parts) AS p
	CROSS JOIN LATERAL unnest(CASE WHEN size > 10 THEN channels ELSE '{null}' END) AS c
	CROSS JOIN LATERAL unnest(CASE WHEN size > 20 THEN levels ELSE '{null}' END) AS l
	CROSS JOIN generate_series(0, parts - 1) AS i
	CROSS JOIN LATERAL unnest(CASE WHEN size = 10000 THEN provinces ELSE '{null}' END) WITH ORDINALITY AS r (r, n)
	ORDER BY c, l, i, n;

	-- material: any, areas in amount ranges, provinces with levels, dealers in amount ranges
	INSERT INTO made (component, payee, region, level, dealer, amount_from, amount_below)
	SELECT 'material', 'dealer', r, l, d, coalesce(bench.bound(i, parts), 150), bench.bound(i + 1, parts)
	FROM (SELECT CASE size WHEN 200 THEN 3 WHEN 10000 THEN 2 ELSE 1 END AS parts) AS p
	CROSS JOIN LATERAL unnest(CASE size WHEN 200 THEN areas WHEN 2000 THEN provinces ELSE '{null}' END) WITH ORDINALITY AS r (r, n)
	CROSS JOIN LATERAL unnest(CASE size WHEN 2000 THEN levels ELSE '{null}' END) AS l
	CROSS JOIN LATERAL unnest(CASE size WHEN 10000 THEN dealers ELSE '{null}' END) AS d
	CROSS JOIN generate_series(0, parts - 1) AS i
	ORDER BY n, l, d, i;

	-- care: rush, by day and night with channels, with provinces, with levels
	INSERT INTO made (component, payee, rush, night, channel, region, level)
	SELECT 'care', 'staff', true, f, c, r, l
	FROM unnest(CASE WHEN size > 20 THEN '{false, true}' ELSE '{null}'::boolean[] END) AS f
	CROSS JOIN LATERAL unnest(CASE WHEN size > 20 THEN channels ELSE '{null}' END) AS c
	CROSS JOIN LATERAL unnest(CASE WHEN size > 200 THEN provinces ELSE '{null}' END) WITH ORDINALITY AS r (r, n)
	CROSS JOIN LATERAL unnest(CASE WHEN size > 2000 THEN levels ELSE '{null}' END) AS l
	ORDER BY f, c, n, l;

	-- what is left to make the number full
	INSERT INTO made (component, payee, dealer, project, amount_from)
	SELECT 'campaign', 'dealer', n, 'install', 5000 FROM generate_series(1, size - (SELECT count(*) FROM made)) AS n;

	UPDATE made SET rules = size, rule = n.n, code = made.component || '_' || n.n,
		accumulates = coalesce(made.accumulates, false), coefficient = coalesce(made.coefficient, false)
	FROM (SELECT ctid AS place, row_number() OVER (ORDER BY ctid) AS n FROM made) AS n WHERE made.ctid = n.place;
	INSERT INTO bench.rule SELECT * FROM made;
	DROP TABLE made;

	INSERT INTO bench.tier (rules, rule, lower, upper, rate, flat, fee_below)
	SELECT r.rules, r.rule, t.*
	FROM bench.rule AS r
	CROSS JOIN LATERAL (
		SELECT v.*
		FROM (VALUES (0, 20000, 0.03, 0, 0), (20000, 50000, 0.05, 0, 600), (50000, NULL, 0.08, 0, 2100)) AS v
		WHERE r.component = 'commission'
		UNION ALL	-- one service in four is graduated within the ticket
		SELECT v.*
		FROM (VALUES (0, 500, 0.06 + r.rule % 7 * 0.005, 0, 0),
				(500, NULL::numeric, 0.04, 0, 500 * (0.06 + r.rule % 7 * 0.005))) AS v
		WHERE r.component = 'service' AND r.rule % 4 = 0
		UNION ALL
		SELECT 0, NULL, 0.05 + r.rule % 11 * 0.0025, 0, 0 WHERE r.component = 'service' AND r.rule % 4 <> 0
		UNION ALL
		SELECT 0, NULL, 0.02 + r.rule % 5 * 0.001, 0, 0 WHERE r.component = 'area'
		UNION ALL
		SELECT 0, NULL, 0.01 + r.rule % 6 * 0.0025, 0, 0 WHERE r.component = 'traffic'
		UNION ALL	-- cheaper above 300
		SELECT v.*
		FROM (VALUES (0, 300, 0.03 + r.rule % 3 * 0.005, 0, 0),
				(300, NULL::numeric, 0.02, 0, 300 * (0.03 + r.rule % 3 * 0.005))) AS v
		WHERE r.component = 'material'
		UNION ALL
		SELECT 0, NULL, 0, 8 + r.rule % 13 * 0.5, 0 WHERE r.component = 'care'
		UNION ALL
		SELECT 0, NULL, 0.01, 0, 0 WHERE r.component = 'campaign'
	) AS t
	WHERE r.rules = size;
END
$$;

SELECT format('CALL bench.define_rules(%s)', n) FROM unnest('{10,20,200,2000,10000}'::int[]) AS n \gexec
ANALYZE bench.rule, bench.tier;
