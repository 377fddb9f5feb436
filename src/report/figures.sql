-- figures: what the business earns, by project, region, channel and time, for BI tools

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
				FROM (SELECT f.*, f.revenue - f.cost - f.payout AS profit FROM %1$I.cell_figure AS f) AS c
				WINDOW cells AS (PARTITION BY c.project_level, c.region_level, c.period, c.currency)
			) AS m
			LEFT JOIN %1$I.label AS p ON p.tree = 'project' AND p.path = m.project
			LEFT JOIN %1$I.label AS r ON r.tree = 'region' AND r.path = m.region;
		COMMENT ON VIEW %1$I.revenue_matrix IS 'one row a node of the projects, a node of the regions, a period and a currency, with all that stands on them or below; rows of one project_level and one region_level add up, rows of several do not. Name both levels, and what is read is that and no more';
		COMMENT ON COLUMN %1$I.revenue_matrix.project IS 'path of the project; empty: all projects, and what stands on none';
		COMMENT ON COLUMN %1$I.revenue_matrix.region IS 'path of the region; empty: all regions, and what stands in none';
		COMMENT ON COLUMN %1$I.revenue_matrix.tickets IS 'tickets that are settled';
		COMMENT ON COLUMN %1$I.revenue_matrix.heat IS 'place of the profit among the cells of the same period, currency and levels, from 0 to 9';
		COMMENT ON COLUMN %1$I.revenue_matrix.color IS 'colour of the heat, #rrggbb';

		CREATE VIEW %1$I.revenue_share AS
			SELECT
				c.project COLLATE "default" AS project, c.period, c.currency COLLATE "default" AS currency,
				c.revenue::numeric(18,%2$s) AS revenue,
				a.revenue::numeric(18,%2$s) AS total,
				(CASE WHEN a.revenue > 0 THEN c.revenue / a.revenue END)::numeric(18,4) AS share,
				c.project_level,
				coalesce(p.name, c.project COLLATE "default") AS project_name
			FROM %1$I.cell_figure AS c
			JOIN %1$I.cell_figure AS a ON a.project_level = 0 AND a.region_level = 0 AND a.period = c.period AND a.currency = c.currency
			LEFT JOIN %1$I.label AS p ON p.tree = 'project' AND p.path = c.project
			WHERE c.region_level = 0;
		COMMENT ON VIEW %1$I.revenue_share IS 'one row a node of the projects, a period and a currency: its part of the revenue of all; rows of one project_level add up, rows of several do not';
		COMMENT ON COLUMN %1$I.revenue_share.project IS 'path of the project; empty: all projects';
		COMMENT ON COLUMN %1$I.revenue_share.revenue IS 'revenue of the project';
		COMMENT ON COLUMN %1$I.revenue_share.total IS 'revenue of all projects';
		COMMENT ON COLUMN %1$I.revenue_share.share IS 'revenue by total, a fraction; null where the total is not positive';

		CREATE VIEW %1$I.margin_by_region AS
			SELECT
				c.region COLLATE "default" AS region, c.period, c.currency COLLATE "default" AS currency, c.tickets,
				c.revenue::numeric(18,%2$s) AS revenue,
				c.cost::numeric(18,%2$s) AS cost,
				c.payout::numeric(18,%2$s) AS payout,
				(c.revenue - c.cost - c.payout)::numeric(18,%2$s) AS profit,
				(CASE WHEN c.revenue > 0 THEN (c.revenue - c.cost - c.payout) / c.revenue END)::numeric(18,4) AS margin,
				c.region_level,
				coalesce(r.name, c.region COLLATE "default") AS region_name
			FROM %1$I.cell_figure AS c
			LEFT JOIN %1$I.label AS r ON r.tree = 'region' AND r.path = c.region
			WHERE c.project_level = 0;
		COMMENT ON VIEW %1$I.margin_by_region IS 'one row a node of the regions, a period and a currency, all projects together; rows of one region_level add up, rows of several do not';
		COMMENT ON COLUMN %1$I.margin_by_region.region IS 'path of the region; empty: all regions, and what stands in none';
		COMMENT ON COLUMN %1$I.margin_by_region.tickets IS 'tickets that are settled';

		CREATE VIEW %1$I.margin_by_channel AS
			SELECT
				c.channel COLLATE "default" AS channel, c.period, c.currency COLLATE "default" AS currency, c.tickets,
				c.revenue::numeric(18,%2$s) AS revenue,
				c.cost::numeric(18,%2$s) AS cost,
				c.payout::numeric(18,%2$s) AS payout,
				(c.revenue - c.cost - c.payout)::numeric(18,%2$s) AS profit,
				(CASE WHEN c.revenue > 0 THEN (c.revenue - c.cost - c.payout) / c.revenue END)::numeric(18,4) AS margin,
				coalesce(n.name, c.channel COLLATE "default") AS channel_name
			FROM (
				SELECT f.channel, f.period, f.currency, sum(f.tickets)::bigint AS tickets, sum(f.revenue) AS revenue, sum(f.cost) AS cost, sum(f.payout) AS payout
				FROM %1$I.day_figure AS f
				GROUP BY f.channel, f.period, f.currency
			) AS c
			LEFT JOIN %1$I.label AS n ON n.tree = 'channel' AND n.path = c.channel
			WHERE c.tickets <> 0 OR c.revenue <> 0 OR c.cost <> 0 OR c.payout <> 0;
		COMMENT ON VIEW %1$I.margin_by_channel IS 'one row a channel, a period and a currency; rows of a period and currency sum to all';
		COMMENT ON COLUMN %1$I.margin_by_channel.channel IS 'channel, as the source maps it; empty: none';
		COMMENT ON COLUMN %1$I.margin_by_channel.tickets IS 'tickets that are settled';
		COMMENT ON COLUMN %1$I.margin_by_channel.channel_name IS 'name of the channel (settle.set_label), else the channel';

		CREATE VIEW %1$I.ticket_profit AS
			SELECT
				so.source::text AS source, t.ticket_key, t.ticket_time, t.period, t.project::text AS project, t.region::text AS region, t.channel, t.currency,
				t.revenue::numeric(18,%2$s) AS revenue,
				t.cost::numeric(18,%2$s) AS cost,
				t.payout::numeric(18,%2$s) AS payout,
				(t.revenue - t.cost - t.payout)::numeric(18,%2$s) AS profit,
				t.lines
			FROM (
				SELECT
					sh.source_id, sh.ticket_key, (array_agg(sh.ticket_time ORDER BY sh.revision DESC))[1] AS ticket_time,
					sh.period, sh.project, sh.region, sh.channel, sh.currency,
					sum(sh.revenue) AS revenue, sum(sh.cost) AS cost, sum(sh.payout) AS payout, sum((SELECT count(*) FROM settle._unpack(sh.lines)))::bigint AS lines
				FROM %1$I.sheet AS sh
				GROUP BY sh.source_id, sh.ticket_key, sh.period, sh.project, sh.region, sh.channel, sh.currency
				HAVING sum(sh.tickets) <> 0 OR sum(sh.revenue) <> 0 OR sum(sh.cost) <> 0 OR sum(sh.payout) <> 0
			) AS t
			JOIN %1$I.source AS so ON so.source_id = t.source_id;
		COMMENT ON VIEW %1$I.ticket_profit IS 'one row a ticket, and period, project, region, channel and currency in which anything of it is left: as a rule one row a ticket; what was corrected after its period had closed, or moved then, stands in two';
		COMMENT ON COLUMN %1$I.ticket_profit.source IS 'source of the ticket; tally: what tallies owe beyond their tickets, period: what rules of the period give';
		COMMENT ON COLUMN %1$I.ticket_profit.ticket_time IS 'time of the ticket, as its last sheet has it';
		COMMENT ON COLUMN %1$I.ticket_profit.period IS 'first day of the period in which it is posted, in book time';
		COMMENT ON COLUMN %1$I.ticket_profit.project IS 'path of the project; null: none';
		COMMENT ON COLUMN %1$I.ticket_profit.region IS 'path of the region; null: none';
		COMMENT ON COLUMN %1$I.ticket_profit.channel IS 'channel; null: none';
		COMMENT ON COLUMN %1$I.ticket_profit.lines IS 'lines of its sheets';
	$views$, book, digits);
	PERFORM settle._create_trend_view(book, digits);
END
$function$;
COMMENT ON FUNCTION settle._create_figure_views(name, integer) IS 'makes the views of what the business earns; amounts show so many decimal places';

-- Each grain has windows of its own, and a query of one reads no other.  Windows
-- go by dates: where nothing was done there is no row, and yet a day has passed.
CREATE FUNCTION settle._create_trend_view(book name, digits integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	grains text;
BEGIN
	SELECT string_agg(format($grain$
			SELECT
				%2$L::text AS grain, g.start, g.region, g.currency, g.tickets, g.revenue, g.cost, g.payout,
				sum(g.revenue) OVER (series RANGE BETWEEN %3$L::interval PRECEDING AND CURRENT ROW)
					/ least(%4$s, %5$s + 1) AS moving_average,
				sum(g.revenue) OVER (series RANGE BETWEEN %6$L::interval PRECEDING AND %6$L::interval PRECEDING) AS year_before
			FROM (
				SELECT
					date_trunc(%2$L, f.day::timestamp)::date AS start, r.region, f.currency,
					sum(f.tickets)::bigint AS tickets, sum(f.revenue) AS revenue, sum(f.cost) AS cost, sum(f.payout) AS payout
				FROM %1$I.day_figure AS f
				CROSS JOIN LATERAL (SELECT '' UNION SELECT f.region) AS r (region)
				GROUP BY 1, 2, 3
			) AS g
			WINDOW series AS (PARTITION BY g.region, g.currency ORDER BY g.start)
		$grain$, book, v.grain, v.back, v.steps, v.since, v.year), 'UNION ALL')
	INTO grains
	FROM (VALUES
		('day', '6 days', 7, 'g.start - first_value(g.start) OVER series', '1 year'),
		('week', '3 weeks', 4, '(g.start - first_value(g.start) OVER series) / 7', '52 weeks'),
		('month', '2 months', 3, '(extract(year FROM age(g.start, first_value(g.start) OVER series)) * 12 + extract(month FROM age(g.start, first_value(g.start) OVER series)))', '1 year')
	) AS v (grain, back, steps, since, year);
	EXECUTE format($view$
		CREATE VIEW %1$I.trend AS
			SELECT
				t.grain, t.start, t.region COLLATE "default" AS region, t.currency COLLATE "default" AS currency, t.tickets,
				t.revenue::numeric(18,%2$s) AS revenue,
				t.cost::numeric(18,%2$s) AS cost,
				t.payout::numeric(18,%2$s) AS payout,
				(t.revenue - t.cost - t.payout)::numeric(18,%2$s) AS profit,
				t.moving_average::numeric(18,%2$s) AS moving_average,
				t.year_before::numeric(18,%2$s) AS year_before,
				(CASE WHEN t.year_before > 0 THEN t.revenue / t.year_before - 1 END)::numeric(18,4) AS year_on_year,
				coalesce(r.name, t.region COLLATE "default") AS region_name
			FROM (%3$s) AS t
			LEFT JOIN %1$I.label AS r ON r.tree = 'region' AND r.path = t.region;
		COMMENT ON VIEW %1$I.trend IS 'one row a day, week or month, a first level of the regions or all, and a currency, where anything was posted; rows of one grain add up, and those of all regions are the sum of the others and of what stands in none';
		COMMENT ON COLUMN %1$I.trend.grain IS 'day, week or month';
		COMMENT ON COLUMN %1$I.trend.start IS 'first day of it, in book time; a week begins on Monday';
		COMMENT ON COLUMN %1$I.trend.region IS 'first level of the regions; empty: all regions, and what stands in none';
		COMMENT ON COLUMN %1$I.trend.tickets IS 'tickets that are settled';
		COMMENT ON COLUMN %1$I.trend.moving_average IS 'revenue a grain, of the last 7 days, 4 weeks or 3 months, this one included, or of as many as there are since the first';
		COMMENT ON COLUMN %1$I.trend.year_before IS 'revenue of the same day or month of the year before, or of the week 52 weeks before; null where there is none';
		COMMENT ON COLUMN %1$I.trend.year_on_year IS 'revenue by year_before, less 1: a fraction; null where year_before is not positive';
	$view$, book, digits, grains);
END
$function$;
COMMENT ON FUNCTION settle._create_trend_view(name, integer) IS 'makes the view of figures by day, week and month';
