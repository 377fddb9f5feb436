-- total: sums of the sheets by nodes of the two trees, by day and by party, which the tick keeps

CREATE FUNCTION settle._nodes(path ltree, OUT level integer, OUT node text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_nodes' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION settle._nodes(ltree) IS 'the nodes of a tree that a path stands on or below, from level 0, which is all; a null path stands nowhere else';

CREATE FUNCTION settle._sheet_day(kind text, period date, at timestamp) RETURNS date
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN least(greatest(at::date, period), settle._period_after(kind, period) OPERATOR(pg_catalog.-) 1);
COMMENT ON FUNCTION settle._sheet_day(text, date, timestamp) IS
	'day of a sheet: that of its ticket, or the nearest to it in the period that the sheet stands in, so that days sum to their period';

CREATE FUNCTION settle._create_total_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.cell_total (
			project_level integer NOT NULL,
			region_level integer NOT NULL,
			period date NOT NULL,
			currency text COLLATE "C" NOT NULL,
			project text COLLATE "C" NOT NULL,
			region text COLLATE "C" NOT NULL,
			tickets bigint NOT NULL,
			revenue numeric NOT NULL,
			cost numeric NOT NULL,
			payout numeric NOT NULL,
			PRIMARY KEY (project_level, region_level, period, currency, project, region)
		) WITH (fillfactor = 80);
		CREATE STATISTICS %1$I.cell_total_levels (mcv) ON project_level, region_level FROM %1$I.cell_total;
		COMMENT ON TABLE %1$I.cell_total IS 'sums of the folded sheets for each pair of a node of the projects and one of the regions; read <book>.cell_figure, which adds what is not folded yet';

		CREATE TABLE %1$I.day_total (
			day date NOT NULL,
			period date NOT NULL,
			currency text COLLATE "C" NOT NULL,
			region text COLLATE "C" NOT NULL,
			channel text COLLATE "C" NOT NULL,
			tickets bigint NOT NULL,
			revenue numeric NOT NULL,
			cost numeric NOT NULL,
			payout numeric NOT NULL,
			PRIMARY KEY (day, period, currency, region, channel)
		) WITH (fillfactor = 80);
		COMMENT ON TABLE %1$I.day_total IS 'sums of the folded sheets by day, first level of the regions and channel; read <book>.day_figure, which adds what is not folded yet';

		CREATE VIEW %1$I.sheet_figure AS
			SELECT
				sh.sheet_id, sh.run_id, sh.period,
				settle._sheet_day((SELECT b.period FROM %1$I.book AS b), sh.period, sh.ticket_time AT TIME ZONE (SELECT b.time_zone FROM %1$I.book AS b)) AS day,
				sh.currency COLLATE "C" AS currency, sh.project, sh.region, coalesce(sh.channel, '') COLLATE "C" AS channel,
				CASE WHEN so.source = 'period' THEN 0 ELSE sh.tickets END AS tickets, sh.revenue, sh.cost, sh.payout
			FROM %1$I.sheet AS sh
			LEFT JOIN %1$I.source AS so ON so.source_id = sh.source_id;
		COMMENT ON VIEW %1$I.sheet_figure IS 'one row a sheet: what it adds to the figures of its day and period; a row of the source period is no ticket';

		-- the queue as an array, which the planner supposes to be short: each run is found by the numbers of its sheets
		CREATE VIEW %1$I.unfolded_figure AS
			SELECT s.*
			FROM unnest(ARRAY(SELECT q FROM %1$I.unfolded AS q)) AS u
			CROSS JOIN LATERAL (
				SELECT f.* FROM %1$I.sheet_figure AS f WHERE f.sheet_id BETWEEN u.first_sheet AND u.last_sheet AND f.run_id = u.run_id OFFSET 0
			) AS s;
		COMMENT ON VIEW %1$I.unfolded_figure IS 'the rows of sheet_figure that cell_total and day_total do not hold yet';

		CREATE VIEW %1$I.cell_figure AS
			SELECT s.*
			FROM (
				SELECT
					a.project_level, a.region_level, a.period, a.currency, a.project, a.region,
					sum(a.tickets)::bigint AS tickets, sum(a.revenue) AS revenue, sum(a.cost) AS cost, sum(a.payout) AS payout
				FROM (
					SELECT t.* FROM %1$I.cell_total AS t
					UNION ALL
					SELECT p.level, r.level, f.period, f.currency, p.node COLLATE "C", r.node COLLATE "C", f.tickets, f.revenue, f.cost, f.payout
					FROM %1$I.unfolded_figure AS f
					CROSS JOIN LATERAL settle._nodes(f.project) AS p
					CROSS JOIN LATERAL settle._nodes(f.region) AS r
				) AS a
				GROUP BY a.project_level, a.region_level, a.period, a.currency, a.project, a.region
			) AS s
			WHERE s.tickets <> 0 OR s.revenue <> 0 OR s.cost <> 0 OR s.payout <> 0;
		COMMENT ON VIEW %1$I.cell_figure IS 'one row a pair of a node of the projects and one of the regions, a period and a currency: cell_total and what is not folded yet, where anything is left of it';

		CREATE VIEW %1$I.day_figure AS
			SELECT t.* FROM %1$I.day_total AS t
			UNION ALL
			SELECT f.day, f.period, f.currency, split_part(coalesce(f.region::text, ''), '.', 1) COLLATE "C", f.channel, f.tickets, f.revenue, f.cost, f.payout
			FROM %1$I.unfolded_figure AS f;
		COMMENT ON VIEW %1$I.day_figure IS 'rows that sum to the figures of a day, first level of the regions and channel: day_total and what is not folded yet';
	$tables$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_total_tables(name) IS 'makes the tables of the sums of a book, and the views of what they are summed from';

-- One statement: what leaves the queue is what is added.  Sums go up one tree
-- after the other, so that a pair of nodes is made of those below it.
CREATE FUNCTION settle._fold(book regnamespace, max_sheets bigint DEFAULT 100000) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET jit = off
	SET work_mem = '64MB'
AS $function$
DECLARE
	folded bigint;
BEGIN
	EXECUTE format('LOCK TABLE %s.cell_total IN SHARE ROW EXCLUSIVE MODE', book);
	PERFORM settle._absorb(book);
	EXECUTE format($sql$
		WITH queue AS (
			SELECT u.*, sum(u.last_sheet - u.first_sheet + 1) OVER (ORDER BY u.run_id) - (u.last_sheet - u.first_sheet + 1) AS before
			FROM (SELECT q.* FROM ONLY %1$s.unfolded AS q ORDER BY q.run_id LIMIT 10000) AS u
		), taken AS MATERIALIZED (
			SELECT q.run_id, q.first_sheet, least(q.last_sheet, q.first_sheet + $1 - q.before - 1)::bigint AS until, q.last_sheet
			FROM queue AS q WHERE q.before < $1
		), done AS (
			DELETE FROM ONLY %1$s.unfolded AS u USING taken AS t WHERE u.run_id = t.run_id AND t.until = t.last_sheet
		), begun AS (
			UPDATE ONLY %1$s.unfolded AS u SET first_sheet = t.until + 1 FROM taken AS t WHERE u.run_id = t.run_id AND t.until < t.last_sheet
		), sheet AS MATERIALIZED (
			SELECT
				s.day, s.period, s.currency, coalesce(s.project::text, '') COLLATE "C" AS project, coalesce(s.region::text, '') COLLATE "C" AS region,
				s.channel, s.tickets, s.revenue, s.cost, s.payout
			FROM taken AS t
			CROSS JOIN LATERAL (
				SELECT f.* FROM %1$s.sheet_figure AS f WHERE f.sheet_id BETWEEN t.first_sheet AND t.until AND f.run_id = t.run_id OFFSET 0
			) AS s
		), cell AS MATERIALIZED (
			SELECT s.period, s.currency, s.project, s.region, sum(s.tickets) AS tickets, sum(s.revenue) AS revenue, sum(s.cost) AS cost, sum(s.payout) AS payout
			FROM sheet AS s GROUP BY 1, 2, 3, 4
		), project_node AS MATERIALIZED (
			SELECT p.project, n.level, n.node COLLATE "C" AS node
			FROM (SELECT DISTINCT c.project FROM cell AS c) AS p CROSS JOIN LATERAL settle._nodes(p.project::%2$I.ltree) AS n
		), region_node AS MATERIALIZED (
			SELECT r.region, n.level, n.node COLLATE "C" AS node
			FROM (SELECT DISTINCT c.region FROM cell AS c) AS r CROSS JOIN LATERAL settle._nodes(r.region::%2$I.ltree) AS n
		), up AS MATERIALIZED (
			SELECT n.level, n.node, c.period, c.currency, c.region, sum(c.tickets) AS tickets, sum(c.revenue) AS revenue, sum(c.cost) AS cost, sum(c.payout) AS payout
			FROM cell AS c JOIN project_node AS n ON n.project = c.project
			GROUP BY 1, 2, 3, 4, 5
		), summed AS (
			INSERT INTO %1$s.cell_total AS t (project_level, region_level, period, currency, project, region, tickets, revenue, cost, payout)
			SELECT p.*
			FROM (
				SELECT u.level, n.level, u.period, u.currency, u.node, n.node, sum(u.tickets), sum(u.revenue), sum(u.cost), sum(u.payout)
				FROM up AS u JOIN region_node AS n ON n.region = u.region
				GROUP BY u.node, n.node, u.period, u.currency, u.level, n.level
				OFFSET 0
			) AS p
			-- those of a level side by side
			ORDER BY 1, 2, 3, 4, 5, 6
			ON CONFLICT (project_level, region_level, period, currency, project, region) DO UPDATE SET
				tickets = t.tickets + excluded.tickets, revenue = t.revenue + excluded.revenue, cost = t.cost + excluded.cost, payout = t.payout + excluded.payout
		), by_day AS (
			INSERT INTO %1$s.day_total AS t (day, period, currency, region, channel, tickets, revenue, cost, payout)
			SELECT s.day, s.period, s.currency, split_part(s.region, '.', 1), s.channel, sum(s.tickets), sum(s.revenue), sum(s.cost), sum(s.payout)
			FROM sheet AS s GROUP BY 1, 2, 3, 4, 5
			ON CONFLICT (day, period, currency, region, channel) DO UPDATE SET
				tickets = t.tickets + excluded.tickets, revenue = t.revenue + excluded.revenue, cost = t.cost + excluded.cost, payout = t.payout + excluded.payout
		), by_party AS (
			INSERT INTO %1$s.party_total AS t (party_id, period, rule_id, owner_id, unit, tickets, amount)
			SELECT s.party_id, s.period, s.rule_id, s.owner_id, s.unit, sum(s.tickets), sum(s.amount)
			FROM taken AS k
			CROSS JOIN LATERAL (
				SELECT f.* FROM %1$s.party_figure AS f WHERE f.sheet_id BETWEEN k.first_sheet AND k.until AND f.run_id = k.run_id OFFSET 0
			) AS s
			GROUP BY 1, 2, 3, 4, 5
			ON CONFLICT ON CONSTRAINT party_total_once DO UPDATE SET tickets = t.tickets + excluded.tickets, amount = t.amount + excluded.amount
		), by_rule AS (
			INSERT INTO %1$s.rule_total AS t (source_id, rule_id, retier, payer_id, period, unit, hits, lines, amount)
			SELECT f.source_id, f.rule_id, f.retier, f.payer_id, f.period, f.unit, sum(f.hits), sum(f.lines), sum(f.amount)
			FROM taken AS t
			CROSS JOIN LATERAL (
				SELECT x.* FROM %1$s.rule_figure AS x WHERE x.sheet_id BETWEEN t.first_sheet AND t.until AND x.run_id = t.run_id OFFSET 0
			) AS f
			GROUP BY 1, 2, 3, 4, 5, 6
			ON CONFLICT (source_id, rule_id, retier, payer_id, period, unit) DO UPDATE SET
				hits = t.hits + excluded.hits, lines = t.lines + excluded.lines, amount = t.amount + excluded.amount
		)
		SELECT count(*) FROM sheet
	$sql$, book, settle._ltree_schema()) INTO folded USING max_sheets;
	RETURN folded;
END
$function$;
COMMENT ON FUNCTION settle._fold(regnamespace, bigint) IS 'adds sheets of the runs in <book>.unfolded to the totals, about so many at most; returns how many';

CREATE FUNCTION settle._tick_fold(book regnamespace) RETURNS jsonb
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	folded bigint := settle._fold(book);
	more boolean;
BEGIN
	EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s.unfolded)', book) INTO more;
	RETURN CASE WHEN folded > 0 OR more THEN jsonb_build_object('sheets', folded, 'more', more) END;
END
$function$;
COMMENT ON FUNCTION settle._tick_fold(regnamespace) IS 'step of settle.tick: adds what was posted to the totals';
