-- Peers of the totals that a book keeps of its sheets for the matrix: sums for
-- each pair of a node of the projects and one of the regions.  A materialised
-- view, and a table of sums that a trigger keeps, as pg_ivm would (Debian has no
-- package of it).
--
-- Both are given bench.seen_sheet, what was settled as an ordinary table with a
-- column for each level of the two trees.

-- In two steps, since there are fewer cells than tickets.
CREATE FUNCTION bench.sums(relation text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format($sums$
	SELECT
		3 - (GROUPING(p1) + GROUPING(p2) + GROUPING(p3)) AS project_level, 4 - (GROUPING(r1) + GROUPING(r2) + GROUPING(r3) + GROUPING(r4)) AS region_level,
		period, currency, coalesce(p3, p2, p1, '') COLLATE "C" AS project, coalesce(r4, r3, r2, r1, '') COLLATE "C" AS region,
		sum(tickets)::bigint AS tickets, sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout
	FROM (
		SELECT p1, p2, p3, r1, r2, r3, r4, period, currency, count(*) AS tickets, sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout
		FROM %s GROUP BY p1, p2, p3, r1, r2, r3, r4, period, currency
		OFFSET 0
	) AS cell
	GROUP BY period, currency, ROLLUP (p1, p2, p3), ROLLUP (r1, r2, r3, r4)$sums$, relation);

SELECT 'CREATE MATERIALIZED VIEW bench.seen_view AS' || bench.sums('bench.seen_sheet') \gexec
CREATE UNIQUE INDEX ON bench.seen_view (project_level, region_level, period, currency, project, region);

CREATE TABLE bench.seen_total AS TABLE bench.seen_view;
ALTER TABLE bench.seen_total ADD PRIMARY KEY (project_level, region_level, period, currency, project, region);
SELECT format($trigger$
	CREATE FUNCTION bench.seen_count() RETURNS trigger LANGUAGE plpgsql AS $body$
	BEGIN
		INSERT INTO bench.seen_total AS t %s
		ORDER BY 1, 2, 3, 4, 5, 6
		ON CONFLICT (project_level, region_level, period, currency, project, region) DO UPDATE SET
			tickets = t.tickets + excluded.tickets, revenue = t.revenue + excluded.revenue, cost = t.cost + excluded.cost, payout = t.payout + excluded.payout;
		RETURN NULL;
	END $body$$trigger$, bench.sums('added')) \gexec
CREATE TRIGGER count AFTER INSERT ON bench.seen_sheet REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION bench.seen_count();
VACUUM (ANALYZE) bench.seen_view, bench.seen_total;
