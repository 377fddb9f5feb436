-- figures: what the business earns, by project, region and time, for BI tools

CREATE FUNCTION settle._create_figure_views(book name, digits integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($views$
		CREATE VIEW %1$I.revenue_matrix AS
			SELECT
				m.project COLLATE "default" AS project, m.region COLLATE "default" AS region, m.period, m.currency COLLATE "default" AS currency, m.tickets,
				m.revenue::numeric(18,%2$s) AS revenue,
				m.cost::numeric(18,%2$s) AS cost,
				m.payout::numeric(18,%2$s) AS payout,
				m.profit::numeric(18,%2$s) AS profit,
				(CASE WHEN m.revenue > 0 THEN m.profit / m.revenue END)::numeric(18,4) AS margin,
				m.heat,
				settle.heat_color(m.heat) AS color,
				m.project_level, m.region_level,
				coalesce(p.name, m.project COLLATE "default") AS project_name,
				coalesce(r.name, m.region COLLATE "default") AS region_name
			FROM (
				SELECT c.*, settle.heat(c.profit, min(c.profit) OVER cells, max(c.profit) OVER cells) AS heat
				FROM (
					SELECT s.*, s.revenue - s.cost - s.payout AS profit
					FROM (
						SELECT
							a.project_level, a.region_level, a.period, a.currency, a.project, a.region,
							sum(a.tickets)::bigint AS tickets, sum(a.revenue) AS revenue, sum(a.cost) AS cost, sum(a.payout) AS payout
						FROM (
							SELECT
								t.project_level, t.region_level, t.period, t.currency, t.project, t.region,
								t.tickets, t.revenue, t.cost, t.payout
							FROM %1$I.cell_total AS t
							UNION ALL
							SELECT p.level, r.level, f.period, f.currency, p.node COLLATE "C", r.node COLLATE "C", f.tickets, f.revenue, f.cost, f.payout
							FROM %1$I.unfolded_figure AS f
							CROSS JOIN LATERAL settle._nodes(f.project) AS p
							CROSS JOIN LATERAL settle._nodes(f.region) AS r
						) AS a
						GROUP BY a.project_level, a.region_level, a.period, a.currency, a.project, a.region
					) AS s
					WHERE s.tickets <> 0 OR s.revenue <> 0 OR s.cost <> 0 OR s.payout <> 0
				) AS c
				WINDOW cells AS (PARTITION BY c.project_level, c.region_level, c.period, c.currency)
			) AS m
			LEFT JOIN %1$I.label AS p ON p.tree = 'project' AND p.path = m.project
			LEFT JOIN %1$I.label AS r ON r.tree = 'region' AND r.path = m.region;
		COMMENT ON VIEW %1$I.revenue_matrix IS 'one row a node of the projects, a node of the regions, a period and a currency, with all that stands on them or below; rows of one project_level and one region_level add up, rows of several do not. Name both levels, and what is read is that and no more';
		COMMENT ON COLUMN %1$I.revenue_matrix.project IS 'path of the project; empty: all projects, and what stands on none';
		COMMENT ON COLUMN %1$I.revenue_matrix.region IS 'path of the region; empty: all regions, and what stands in none';
		COMMENT ON COLUMN %1$I.revenue_matrix.period IS 'first day of the period, in book time';
		COMMENT ON COLUMN %1$I.revenue_matrix.currency IS 'currency of the amounts';
		COMMENT ON COLUMN %1$I.revenue_matrix.tickets IS 'tickets that are settled';
		COMMENT ON COLUMN %1$I.revenue_matrix.revenue IS 'what the source says, less tax inside it';
		COMMENT ON COLUMN %1$I.revenue_matrix.cost IS 'what the source says';
		COMMENT ON COLUMN %1$I.revenue_matrix.payout IS 'what leaves own and transit parties to outside and tax parties, less what comes back';
		COMMENT ON COLUMN %1$I.revenue_matrix.profit IS 'revenue less cost less payout';
		COMMENT ON COLUMN %1$I.revenue_matrix.margin IS 'profit by revenue, a fraction; null without revenue';
		COMMENT ON COLUMN %1$I.revenue_matrix.heat IS 'place of the profit among the cells of the same period, currency and levels, from 0 to 9';
		COMMENT ON COLUMN %1$I.revenue_matrix.color IS 'colour of the heat, #rrggbb';
		COMMENT ON COLUMN %1$I.revenue_matrix.project_level IS 'number of labels of project; 0: all projects';
		COMMENT ON COLUMN %1$I.revenue_matrix.region_level IS 'number of labels of region; 0: all regions';
		COMMENT ON COLUMN %1$I.revenue_matrix.project_name IS 'name of the project (settle.set_label), else its path';
		COMMENT ON COLUMN %1$I.revenue_matrix.region_name IS 'name of the region (settle.set_label), else its path';
	$views$, book, digits);
END
$function$;
COMMENT ON FUNCTION settle._create_figure_views(name, integer) IS 'makes the views of what the business earns; amounts show so many decimal places';
