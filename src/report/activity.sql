-- activity: how often each rule applies, what it moves and who bears it

CREATE FUNCTION settle._create_activity_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.rule_total (
			source_id smallint NOT NULL,
			rule_id integer NOT NULL,
			retier boolean NOT NULL,
			payer_id integer NOT NULL,
			period date NOT NULL,
			unit text COLLATE "C" NOT NULL,
			hits bigint NOT NULL,
			lines bigint NOT NULL,
			amount numeric NOT NULL,
			PRIMARY KEY (source_id, rule_id, retier, payer_id, period, unit)
		) WITH (fillfactor = 80);
		COMMENT ON TABLE %1$I.rule_total IS 'sums of the lines of folded sheets by rule and payer; the rule 0 counts the tickets of a source. Read <book>.rule_activity and <book>.cost_share, which add what is not folded yet';

		-- a rule hits a ticket while the ticket has a line of it that says something; what a further revision changes of that is told by all of them together
		CREATE VIEW %1$I.hit_change AS
			SELECT
				sh.sheet_id, sh.run_id, sh.source_id, sh.period, l.rule_id, l.retier, l.payer_id,
				coalesce((SELECT r.unit FROM %1$I.rule AS r WHERE r.rule_id = l.rule_id), sh.currency) COLLATE "C" AS unit,
				coalesce(t.says, false)::integer - coalesce(t.said, false)::integer AS hits
			FROM %1$I.sheet AS sh
			CROSS JOIN LATERAL (SELECT DISTINCT u.rule_id, u.retier, u.payer_id FROM settle._unpack(sh.lines) AS u) AS l
			CROSS JOIN LATERAL (
				SELECT bool_or(g.says) AS says, bool_or(g.said) AS said
				FROM (
					SELECT
						sum(x.base) <> 0 OR sum(x.count) <> 0 OR x.owner_id IS NULL AND sum(x.amount) <> 0 AS says,
						sum(x.base) FILTER (WHERE h.revision < sh.revision) <> 0 OR sum(x.count) FILTER (WHERE h.revision < sh.revision) <> 0
							OR x.owner_id IS NULL AND sum(x.amount) FILTER (WHERE h.revision < sh.revision) <> 0 AS said
					FROM %1$I.sheet AS h
					CROSS JOIN LATERAL settle._unpack(h.lines) AS x
					WHERE h.source_id = sh.source_id AND h.ticket_key = sh.ticket_key AND h.revision <= sh.revision AND x.rule_id = l.rule_id AND x.payer_id = l.payer_id
					GROUP BY x.payee_id, x.factor, x.owner_id
				) AS g
			) AS t
			WHERE sh.revision > 1 AND sh.source_id <> 0;
		COMMENT ON VIEW %1$I.hit_change IS 'one row a further revision of a ticket, rule and payer: what it changes of the hits of the rule';

		CREATE VIEW %1$I.rule_figure AS
			SELECT l.sheet_id, l.run_id, l.source_id, l.period, l.rule_id, l.retier, l.payer_id, l.unit, l.hits, 1 AS lines, l.amount FROM %1$I.line_figure AS l
			UNION ALL
			SELECT c.sheet_id, c.run_id, c.source_id, c.period, c.rule_id, c.retier, c.payer_id, c.unit, c.hits, 0, 0 FROM %1$I.hit_change AS c
			UNION ALL
			SELECT sh.sheet_id, sh.run_id, sh.source_id, sh.period, 0, false, 0, '', sh.tickets, 0, 0 FROM %1$I.sheet AS sh;
		COMMENT ON VIEW %1$I.rule_figure IS 'rows that sum to what sheets add to rule_total: one a line, one a hit that a revision changes, and one a sheet, of rule 0';

		CREATE VIEW %1$I.rule_sum AS
			SELECT a.source_id, a.rule_id, a.retier, a.payer_id, a.period, a.unit, sum(a.hits) AS hits, sum(a.lines) AS lines, sum(a.amount) AS amount
			FROM (
				SELECT t.source_id, t.rule_id, t.retier, t.payer_id, t.period, t.unit, t.hits, t.lines, t.amount FROM %1$I.rule_total AS t
				UNION ALL
				SELECT f.source_id, f.rule_id, f.retier, f.payer_id, f.period, f.unit, f.hits, f.lines, f.amount
				FROM %2$s AS f
			) AS a
			GROUP BY a.source_id, a.rule_id, a.retier, a.payer_id, a.period, a.unit;
		COMMENT ON VIEW %1$I.rule_sum IS 'rule_total with what is not folded yet';
	$tables$, book, settle._rows_of_runs(quote_ident(book), 'rule_figure'));
END
$function$;
COMMENT ON FUNCTION settle._create_activity_tables(name) IS 'makes the table of the sums of rules of a book, and the views of what they are summed from';

/*
 * A rate is far off where it differs from that of the former periods by more
 * than rate_factor times its spread: how much the former rates differ among
 * themselves and how much so many tickets differ by chance, and a twentieth of
 * the rate at least, or a rule that has always applied would be off with one
 * ticket that it spares.  Half a ticket keeps what was never seen from being
 * impossible.
 */
CREATE FUNCTION settle._create_activity_views(book name, digits integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($views$
		CREATE VIEW %1$I.rule_activity AS
			WITH sums AS MATERIALIZED (
				SELECT s.* FROM %1$I.rule_sum AS s
			), settled AS (
				SELECT s.source_id, s.period, s.hits AS tickets FROM sums AS s WHERE s.rule_id = 0
			), version AS (
				SELECT r.rule_id, r.code, r.component, so.source_id, so.source, coalesce(least(upper(r.valid), upper(k.valid)), 'infinity') AS until
				FROM %1$I.rule AS r
				JOIN %1$I.source AS so ON so.source = r.source
				JOIN %1$I.pack AS k ON k.pack = r.pack
			), code AS (
				SELECT v.code, max(v.component) AS component, min(v.source_id) AS source_id, min(v.source) AS source, max(v.until) AS until FROM version AS v GROUP BY v.code
			), seen AS (
				SELECT v.code, s.unit, s.period, sum(s.hits) AS hits, sum(s.lines) AS lines, sum(s.amount) AS amount
				FROM sums AS s JOIN version AS v ON v.rule_id = s.rule_id
				GROUP BY v.code, s.unit, s.period
			), span AS (
				SELECT e.code, e.unit, min(e.period) AS since, max(e.period) AS latest FROM seen AS e GROUP BY e.code, e.unit
			), rate AS (
				SELECT
					c.code, c.component, c.source, p.unit, t.period, coalesce(e.hits, 0) AS hits, coalesce(e.lines, 0) AS lines, coalesce(e.amount, 0) AS amount,
					t.tickets, coalesce(e.hits, 0) / nullif(t.tickets, 0) AS rate
				FROM span AS p
				JOIN code AS c ON c.code = p.code
				CROSS JOIN %1$I.book AS b
				-- periods in which it gave nothing are rows, too, as long as it is in force
				JOIN settled AS t ON t.source_id = c.source_id AND t.period >= p.since
					AND (t.period <= p.latest OR t.period::timestamp AT TIME ZONE b.time_zone < c.until)
				LEFT JOIN seen AS e ON e.code = p.code AND e.unit = p.unit AND e.period = t.period
			), past AS (
				SELECT
					r.*, count(r.rate) OVER former AS periods, coalesce(var_samp(r.rate) OVER former, 0) AS variance,
					sum(r.hits) OVER former / nullif(sum(r.tickets) OVER former, 0) AS former_rate,
					(sum(r.hits) OVER former + 0.5) / (sum(r.tickets) OVER former + 1) AS expected
				FROM rate AS r
				WINDOW former AS (PARTITION BY r.code, r.unit ORDER BY r.period ROWS BETWEEN 12 PRECEDING AND 1 PRECEDING)
			), judged AS (
				SELECT
					q.*,
					CASE WHEN q.periods > 0 THEN greatest(sqrt(q.variance + greatest(q.expected * (1 - q.expected), 0) / nullif(q.tickets, 0)), q.expected / 20) END AS spread
				FROM past AS q
			)
			SELECT
				j.code AS rule_code, j.component, j.source::text AS source, j.period, j.unit COLLATE "default" AS unit,
				j.hits::bigint AS hits, j.tickets::bigint AS tickets, j.rate::numeric(18,6) AS rate,
				j.lines::bigint AS lines, j.amount::numeric(18,%2$s) AS amount,
				j.periods AS former_periods, j.former_rate::numeric(18,6) AS former_rate, j.spread::numeric(18,6) AS spread,
				((j.rate - j.expected) / j.spread)::numeric(18,2) AS deviation,
				coalesce(j.periods >= 3 AND j.tickets >= b.alert_tickets AND abs(j.rate - j.expected) > b.rate_factor * j.spread, false) AS is_off
			FROM judged AS j
			CROSS JOIN %1$I.book AS b;
		COMMENT ON VIEW %1$I.rule_activity IS 'one row a rule, period and unit: how often it applied, and whether that is far off its own past; from its first period on, as long as it is in force, periods without a hit included';
		COMMENT ON COLUMN %1$I.rule_activity.rule_code IS 'code of the rule, all its versions together';
		COMMENT ON COLUMN %1$I.rule_activity.component IS 'component of its lines';
		COMMENT ON COLUMN %1$I.rule_activity.source IS 'source of the tickets that it is for';
		COMMENT ON COLUMN %1$I.rule_activity.unit IS 'unit of the amount';
		COMMENT ON COLUMN %1$I.rule_activity.hits IS 'tickets that have lines of it, less those that have none any more: what was posted in the period';
		COMMENT ON COLUMN %1$I.rule_activity.tickets IS 'tickets of the source that were settled in it, less those withdrawn';
		COMMENT ON COLUMN %1$I.rule_activity.rate IS 'hits by tickets, a fraction; null without tickets';
		COMMENT ON COLUMN %1$I.rule_activity.lines IS 'lines that were posted by it, corrections and tallies included';
		COMMENT ON COLUMN %1$I.rule_activity.amount IS 'sum of those lines';
		COMMENT ON COLUMN %1$I.rule_activity.former_periods IS 'how many periods before this one the rate is judged by, twelve at most';
		COMMENT ON COLUMN %1$I.rule_activity.former_rate IS 'rate in those periods together; null without any';
		COMMENT ON COLUMN %1$I.rule_activity.spread IS 'how far the rate may well be from that; null without former periods';
		COMMENT ON COLUMN %1$I.rule_activity.deviation IS 'by how many spreads it is, negative where it is less';
		COMMENT ON COLUMN %1$I.rule_activity.is_off IS 'whether it is far off: three former periods at least, alert_tickets tickets at least, and a deviation beyond rate_factor of the book';

		CREATE VIEW %1$I.cost_share AS
			SELECT
				c.payer, p.title, p.side, c.component, c.period, c.unit COLLATE "default" AS unit,
				c.amount::numeric(18,%2$s) AS amount, c.total::numeric(18,%2$s) AS total,
				(c.amount / nullif(c.total, 0))::numeric(18,6) AS share, c.lines::bigint AS lines
			FROM (
				SELECT g.*, sum(g.amount) OVER (PARTITION BY g.component, g.period, g.unit) AS total
				FROM (
					SELECT y.party AS payer, s.period, s.unit, sum(s.amount) AS amount, sum(s.lines) AS lines,
						r.component || CASE WHEN s.retier THEN '.retier' WHEN s.source_id = 0 THEN '.fx' ELSE '' END AS component
					FROM %1$I.rule_sum AS s
					JOIN %1$I.rule AS r ON r.rule_id = s.rule_id
					JOIN %1$I.party AS y ON y.party_id = s.payer_id
					GROUP BY y.party, s.period, s.unit, 6
				) AS g
			) AS c
			JOIN %1$I.party AS p ON p.party = c.payer;
		COMMENT ON VIEW %1$I.cost_share IS 'one row a payer, component, period and unit: who bears how much of what is given for the component';
		COMMENT ON COLUMN %1$I.cost_share.side IS 'whose side it is on: own, transit, outside, customer or tax';
		COMMENT ON COLUMN %1$I.cost_share.component IS 'component of the lines, with .retier for what a tally owes beyond its tickets, .fx for what corrections gain or lose by rates';
		COMMENT ON COLUMN %1$I.cost_share.amount IS 'what it gave';
		COMMENT ON COLUMN %1$I.cost_share.total IS 'what all payers gave for the component in the period and unit';
		COMMENT ON COLUMN %1$I.cost_share.share IS 'amount by total, a fraction; null where the total is zero';
		COMMENT ON COLUMN %1$I.cost_share.lines IS 'how many lines that are';
	$views$, book, digits);
END
$function$;
COMMENT ON FUNCTION settle._create_activity_views(name, integer) IS 'makes the views of what rules do and who bears it; amounts show so many decimal places';
