-- Rule sets of 10, 100, 200, 1,000 and 10,000 conditions over bench.ticket, of
-- which about three apply to a ticket.  This table is the only definition: the
-- book's rules (book.sql) and the peers' rules are both made from it.
--
-- Four components; within each no two rules meet on one ticket:
--   commission   one rule for all: graduated by the worker's month, regional coefficient
--   service      to the worker, by project: subtrees, lists, single ones with amount ranges
--   area         to the dealer, by region: subtrees with amount ranges, lists of sites, regional coefficient
--   care         to the worker, by flags, channel, level, province or dealer
--   campaign     to the dealer: offers of single dealers that few tickets meet

CREATE TABLE bench.rule (
	rules int,					-- size of the set
	rule int,					-- number in the set
	code text NOT NULL,
	component text NOT NULL,
	payee text NOT NULL CHECK (payee IN ('staff', 'dealer')),
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
BEGIN
	CREATE TEMP TABLE made AS SELECT * FROM bench.rule WITH NO DATA;
	INSERT INTO made (component, payee, accumulates, coefficient) VALUES ('commission', 'staff', true, true);

	IF size = 10 THEN
		INSERT INTO made (component, payee, project)
		SELECT DISTINCT 'service', 'staff', subpath(project, 0, 1) FROM bench.project ORDER BY 3;
		INSERT INTO made (component, payee, coefficient, region, amount_from, amount_below)
		SELECT 'area', 'dealer', true, 'cn', bench.bound(i, 3), bench.bound(i + 1, 3) FROM generate_series(0, 2) AS i;
	ELSIF size = 100 THEN
		-- each family as a subtree or as a list
		INSERT INTO made (component, payee, project, projects)
		SELECT 'service', 'staff', CASE n % 2 WHEN 0 THEN family END, CASE n % 2 WHEN 1 THEN leaves END FROM family ORDER BY n;
		INSERT INTO made (component, payee, coefficient, region)
		SELECT 'area', 'dealer', true, region FROM bench.province ORDER BY n;
	ELSIF size = 200 THEN
		-- each family in two amount ranges or in two lists
		INSERT INTO made (component, payee, project, projects, amount_from, amount_below)
		SELECT 'service', 'staff', CASE n % 2 WHEN 0 THEN family END, CASE n % 2 WHEN 1 THEN leaves[i * 10 + 1 : i * 10 + 10] END,
			CASE n % 2 WHEN 0 THEN bench.bound(i, 2) END, CASE n % 2 WHEN 0 THEN bench.bound(i + 1, 2) END
		FROM family CROSS JOIN generate_series(0, 1) AS i ORDER BY n, i;
		INSERT INTO made (component, payee, coefficient, region, amount_from, amount_below)
		SELECT 'area', 'dealer', true, region, bench.bound(i, 2), bench.bound(i + 1, 2)
		FROM bench.province CROSS JOIN generate_series(0, 1) AS i ORDER BY n, i;
	ELSIF size = 1000 THEN
		-- each family in ten amount ranges or ten lists of two
		INSERT INTO made (component, payee, project, projects, amount_from, amount_below)
		SELECT 'service', 'staff', CASE n % 2 WHEN 0 THEN family END, CASE n % 2 WHEN 1 THEN leaves[i * 2 + 1 : i * 2 + 2] END,
			CASE n % 2 WHEN 0 THEN bench.bound(i, 10) END, CASE n % 2 WHEN 0 THEN bench.bound(i + 1, 10) END
		FROM family CROSS JOIN generate_series(0, 9) AS i ORDER BY n, i;
		INSERT INTO made (component, payee, coefficient, region, amount_from, amount_below)
		SELECT 'area', 'dealer', true, region, bench.bound(i, 10), bench.bound(i + 1, 10)
		FROM bench.province CROSS JOIN generate_series(0, 9) AS i ORDER BY n, i;
	ELSIF size = 10000 THEN
		-- each project in five amount ranges, sites three by three
		INSERT INTO made (component, payee, projects, amount_from, amount_below)
		SELECT 'service', 'staff', ARRAY[project], bench.bound(i, 5), bench.bound(i + 1, 5)
		FROM bench.project CROSS JOIN generate_series(0, 4) AS i ORDER BY n, i;
		INSERT INTO made (component, payee, coefficient, regions)
		SELECT 'area', 'dealer', true, array_agg(region ORDER BY n) FROM bench.site GROUP BY n / 3 ORDER BY n / 3;
	ELSE
		RAISE EXCEPTION 'no set of % rules', size;
	END IF;

	-- rush, and night without rush where there is room for it, ever finer
	INSERT INTO made (component, payee, rush, night, channel, level, region, dealer)
	SELECT 'care', 'staff', f.rush, f.night, c.channel, l.level, p.region, d.dealer
	FROM (VALUES (true, NULL::boolean), (false, true)) AS f (rush, night)
	CROSS JOIN (SELECT NULL AS channel WHERE size = 10
		UNION ALL SELECT unnest(ARRAY['store', 'app', 'web', 'call', 'partner', 'insurer']) WHERE size > 10) AS c
	CROSS JOIN (SELECT NULL AS level WHERE size <> 200
		UNION ALL SELECT unnest(ARRAY['silver', 'gold', 'diamond']) WHERE size = 200) AS l
	CROSS JOIN (SELECT NULL::ltree AS region WHERE size <> 1000
		UNION ALL SELECT region FROM bench.province WHERE size = 1000) AS p
	CROSS JOIN (SELECT NULL::int AS dealer WHERE size <> 10000
		UNION ALL SELECT generate_series(1, 300) WHERE size = 10000) AS d
	WHERE f.rush OR size IN (100, 200)
	ORDER BY f.night NULLS FIRST, c.channel, l.level, p.region, d.dealer;

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
		SELECT 0, NULL, 0, 8 + r.rule % 13 * 0.5, 0 WHERE r.component = 'care'
		UNION ALL
		SELECT 0, NULL, 0.01, 0, 0 WHERE r.component = 'campaign'
	) AS t
	WHERE r.rules = size;
END
$$;

SELECT format('CALL bench.define_rules(%s)', n) FROM unnest('{10,100,200,1000,10000}'::int[]) AS n \gexec
ANALYZE bench.rule, bench.tier;
