-- total: sums of the sheets by nodes of the two trees, by day and by party, which the tick keeps

CREATE FUNCTION settle._nodes(path ltree, OUT level integer, OUT node text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_nodes' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION settle._nodes(ltree) IS 'the nodes of a tree that a path stands on or below, from level 0, which is all; a null path stands nowhere else';

CREATE FUNCTION settle._sheet_day(kind text, period date, at timestamp) RETURNS date
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN least(greatest(at::date, period), settle._period_after(kind, period) OPERATOR(pg_catalog.-) 1);
COMMENT ON FUNCTION settle._sheet_day(text, date, timestamp) IS
	'day of a sheet: that of its ticket, or the nearest to it in the period that the sheet stands in, so that days sum to their period';

CREATE FUNCTION settle._line_figures(
	lines settle.lines,
	OUT rule_id integer, OUT retier boolean, OUT payer_id integer, OUT payee_id integer, OUT owner_id integer, OUT tickets integer, OUT hits integer, OUT amount numeric
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_line_figures' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION settle._line_figures(settle.lines) IS
	'what the packed lines of a sheet add to sums by party and rule; hits is 1 on the first line of each rule and payer that says something';

CREATE FUNCTION settle._sides(payer_id integer, payee_id integer, owner_id integer, amount numeric, OUT party_id integer, OUT tally_of integer, OUT received numeric)
	RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 2
	BEGIN ATOMIC
		SELECT
			CASE WHEN s.receives THEN payee_id ELSE payer_id END,
			CASE WHEN s.receives OR owner_id OPERATOR(pg_catalog.=) payer_id THEN owner_id END,
			CASE WHEN s.receives THEN amount ELSE OPERATOR(pg_catalog.-) amount END
		FROM (VALUES (true), (false)) AS s (receives)
		WHERE payer_id OPERATOR(pg_catalog.<>) payee_id;
	END;
COMMENT ON FUNCTION settle._sides(integer, integer, integer, numeric) IS
	'what a line is to its two parties: whoever receives has the owner of the tally, who pays only if it is he; nothing where they are one';

-- Sums of groups that hold hardly more than one number each: the first is taken
-- as it is, where sum() makes room for a long addition.
CREATE AGGREGATE settle._sum(numeric) (SFUNC = pg_catalog.numeric_add, STYPE = numeric, COMBINEFUNC = pg_catalog.numeric_add, PARALLEL = SAFE);
COMMENT ON AGGREGATE settle._sum(numeric) IS 'the sum, at its best where groups are small';

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
				sh.sheet_id, sh.run_id, sh.source_id, sh.period,
				settle._sheet_day((SELECT b.period FROM %1$I.book AS b), sh.period, sh.ticket_time AT TIME ZONE (SELECT b.time_zone FROM %1$I.book AS b)) AS day,
				sh.currency COLLATE "C" AS currency, sh.project, sh.region, coalesce(sh.channel, '') COLLATE "C" AS channel,
				CASE WHEN so.source = 'period' THEN 0 ELSE sh.tickets END AS tickets, sh.tickets AS settled, sh.revenue, sh.cost, sh.payout
			FROM %1$I.sheet AS sh
			LEFT JOIN %1$I.source AS so ON so.source_id = sh.source_id;
		COMMENT ON COLUMN %1$I.sheet_figure.settled IS '1, 0 or -1: whether a ticket comes to be settled, a row of the source period too';
		COMMENT ON VIEW %1$I.sheet_figure IS 'one row a sheet: what it adds to the figures of its day and period; a row of the source period is no ticket';

		CREATE VIEW %1$I.line_figure AS
			SELECT
				sh.sheet_id, sh.run_id, sh.source_id, sh.period, sh.currency COLLATE "C" AS currency, l.rule_id, l.retier, l.payer_id, l.payee_id, l.owner_id,
				coalesce((SELECT r.unit FROM %1$I.rule AS r WHERE r.rule_id = l.rule_id), sh.currency) COLLATE "C" AS unit,
				l.tickets, CASE WHEN sh.revision = 1 AND sh.source_id <> 0 THEN l.hits ELSE 0 END AS hits, l.amount
			FROM %1$I.sheet AS sh
			CROSS JOIN LATERAL settle._line_figures(sh.lines) AS l;
		COMMENT ON COLUMN %1$I.line_figure.payee_id IS 'number of the party that receives';
		COMMENT ON COLUMN %1$I.line_figure.owner_id IS 'number of the owner of the tally that the line adds to; null: to none';
		COMMENT ON VIEW %1$I.line_figure IS 'one row a line: what it adds to rule_total and party_total. The unit is looked up, not joined: no plan is worse for what it knows of the rules';

		CREATE VIEW %1$I.unfolded_figure AS SELECT f.* FROM %2$s AS f;
		COMMENT ON COLUMN %1$I.unfolded_figure.settled IS '1, 0 or -1: whether a ticket comes to be settled, a row of the source period too';
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
	$tables$, book, settle._rows_of_runs(quote_ident(book), 'sheet_figure'));
END
$function$;
COMMENT ON FUNCTION settle._create_total_tables(name) IS 'makes the tables of the sums of a book, and the views of what they are summed from';

/*
 * One statement: what leaves the queue is what is added.  Lines are summed as
 * finely as parties and rules need them together, cells are summed up one tree
 * after the other, so that a pair of nodes is made of those below it; and nodes
 * are numbers while that is done, in the order of the table.  Groups are hashed,
 * whatever the planner supposes of tables that nobody has analyzed.
 */
CREATE FUNCTION settle._fold(book regnamespace, max_sheets bigint DEFAULT 100000) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET jit = off
	SET enable_sort = off
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
			SELECT q.run_id, q.first_sheet, least(q.last_sheet, q.first_sheet + $1 - q.before - 1)::bigint AS last_sheet, q.last_sheet AS until
			FROM queue AS q WHERE q.before < $1
		), done AS (
			DELETE FROM ONLY %1$s.unfolded AS u USING taken AS t WHERE u.run_id = t.run_id AND t.last_sheet = t.until
		), begun AS (
			UPDATE ONLY %1$s.unfolded AS u SET first_sheet = t.last_sheet + 1 FROM taken AS t WHERE u.run_id = t.run_id AND t.last_sheet < t.until
		),

		sheet AS MATERIALIZED (
			SELECT
				f.source_id, f.day, f.period, f.currency, coalesce(f.project::text, '') COLLATE "C" AS project, coalesce(f.region::text, '') COLLATE "C" AS region,
				f.channel, f.tickets, f.settled, f.revenue, f.cost, f.payout
			FROM %3$s AS f
		), by_day AS (
			INSERT INTO %1$s.day_total AS t (day, period, currency, region, channel, tickets, revenue, cost, payout)
			SELECT s.day, s.period, s.currency, split_part(s.region, '.', 1), s.channel, sum(s.tickets), sum(s.revenue), sum(s.cost), sum(s.payout)
			FROM sheet AS s GROUP BY 1, 2, 3, 4, 5
			ON CONFLICT (day, period, currency, region, channel) DO UPDATE SET
				tickets = t.tickets + excluded.tickets, revenue = t.revenue + excluded.revenue, cost = t.cost + excluded.cost, payout = t.payout + excluded.payout
		),

		cell AS MATERIALIZED (
			SELECT
				s.period, s.currency, s.project, s.region,
				sum(s.tickets)::numeric AS tickets, settle._sum(s.revenue) AS revenue, settle._sum(s.cost) AS cost, settle._sum(s.payout) AS payout
			FROM sheet AS s GROUP BY 1, 2, 3, 4
		), project_node AS MATERIALIZED (
			SELECT p.project, n.level, n.node, dense_rank() OVER (ORDER BY n.level, n.node COLLATE "C") AS number
			FROM (SELECT DISTINCT c.project FROM cell AS c) AS p CROSS JOIN LATERAL settle._nodes(p.project::%2$I.ltree) AS n
		), region_node AS MATERIALIZED (
			SELECT r.region, n.level, n.node, dense_rank() OVER (ORDER BY n.level, n.node COLLATE "C") AS number
			FROM (SELECT DISTINCT c.region FROM cell AS c) AS r CROSS JOIN LATERAL settle._nodes(r.region::%2$I.ltree) AS n
		), up AS MATERIALIZED (
			SELECT
				n.number, c.period, c.currency, c.region,
				settle._sum(c.tickets) AS tickets, settle._sum(c.revenue) AS revenue, settle._sum(c.cost) AS cost, settle._sum(c.payout) AS payout
			FROM cell AS c JOIN project_node AS n ON n.project = c.project
			GROUP BY 1, 2, 3, 4
		), pair AS MATERIALIZED (
			SELECT
				u.number AS project, n.number AS region, u.period, u.currency,
				settle._sum(u.tickets) AS tickets, settle._sum(u.revenue) AS revenue, settle._sum(u.cost) AS cost, settle._sum(u.payout) AS payout
			FROM up AS u JOIN region_node AS n ON n.region = u.region
			GROUP BY 1, 2, 3, 4
		), by_cell AS (
			INSERT INTO %1$s.cell_total AS t (project_level, region_level, period, currency, project, region, tickets, revenue, cost, payout)
			SELECT s.project_level, s.region_level, s.period, s.currency, s.project, s.region, s.tickets, s.revenue, s.cost, s.payout
			FROM (
				-- those of a level side by side; what is sorted by stands first in the row, where it is found at once
				SELECT p.level AS project_level, r.level AS region_level, c.period, p.number, r.number, c.currency, p.node AS project, r.node AS region, c.tickets, c.revenue, c.cost, c.payout
				FROM pair AS c
				JOIN (SELECT DISTINCT n.number, n.level, n.node FROM project_node AS n) AS p ON p.number = c.project
				JOIN (SELECT DISTINCT n.number, n.level, n.node FROM region_node AS n) AS r ON r.number = c.region
				ORDER BY 1, 2, 3, 4, 5
				OFFSET 0
			) AS s
			ON CONFLICT (project_level, region_level, period, currency, project, region) DO UPDATE SET
				tickets = t.tickets + excluded.tickets, revenue = t.revenue + excluded.revenue, cost = t.cost + excluded.cost, payout = t.payout + excluded.payout
		),

		line AS MATERIALIZED (
			SELECT
				g.*, coalesce((SELECT r.unit FROM %1$s.rule AS r WHERE r.rule_id = g.rule_id), g.currency) COLLATE "C" AS unit
			FROM (
				SELECT
					f.source_id, f.period, f.currency, f.rule_id, f.retier, f.payer_id, f.payee_id, f.owner_id,
					sum(f.tickets) AS tickets, sum(f.hits) AS hits, count(*) AS lines, settle._sum(f.amount) AS amount
				FROM %4$s AS f
				GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
			) AS g
		), by_party AS (
			INSERT INTO %1$s.party_total AS t (party_id, period, rule_id, owner_id, unit, tickets, amount)
			SELECT s.party_id, l.period, l.rule_id, s.tally_of, l.unit, sum(l.tickets), settle._sum(s.received)
			FROM line AS l
			CROSS JOIN LATERAL settle._sides(l.payer_id, l.payee_id, l.owner_id, l.amount) AS s
			GROUP BY 1, 2, 3, 4, 5
			ON CONFLICT ON CONSTRAINT party_total_once DO UPDATE SET tickets = t.tickets + excluded.tickets, amount = t.amount + excluded.amount
		), by_rule AS (
			INSERT INTO %1$s.rule_total AS t (source_id, rule_id, retier, payer_id, period, unit, hits, lines, amount)
			SELECT f.source_id, f.rule_id, f.retier, f.payer_id, f.period, f.unit, sum(f.hits), sum(f.lines), sum(f.amount)
			FROM (
				SELECT l.source_id, l.rule_id, l.retier, l.payer_id, l.period, l.unit, l.hits, l.lines, l.amount FROM line AS l
				UNION ALL
				SELECT c.source_id, c.rule_id, c.retier, c.payer_id, c.period, c.unit, c.hits, 0, 0 FROM %5$s AS c
				UNION ALL
				SELECT s.source_id, 0, false, 0, s.period, '', sum(s.settled), 0, 0 FROM sheet AS s GROUP BY s.source_id, s.period
			) AS f
			GROUP BY 1, 2, 3, 4, 5, 6
			ON CONFLICT (source_id, rule_id, retier, payer_id, period, unit) DO UPDATE SET
				hits = t.hits + excluded.hits, lines = t.lines + excluded.lines, amount = t.amount + excluded.amount
		)
		SELECT count(*) FROM sheet
	$sql$, book, settle._ltree_schema(), settle._rows_of_runs(book::text, 'sheet_figure', 'taken'),
		settle._rows_of_runs(book::text, 'line_figure', 'taken'), settle._rows_of_runs(book::text, 'hit_change', 'taken'))
	INTO folded USING max_sheets;
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
