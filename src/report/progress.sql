-- progress: what parties have earned and how far they are along their tiers, and what each of them sees of it himself

/*
 * Sums of parties are kept as those of the figures are (report/total.sql): what
 * sheets say is folded into party_total, and the views add what waits.
 */
CREATE FUNCTION settle._create_party_total_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.party_total (
			party_id integer NOT NULL,
			period date NOT NULL,
			rule_id integer NOT NULL,
			owner_id integer,
			unit text NOT NULL,
			tickets bigint NOT NULL,
			amount numeric NOT NULL,
			CONSTRAINT party_total_once UNIQUE NULLS NOT DISTINCT (party_id, period, rule_id, owner_id, unit)
		) WITH (fillfactor = 80);
		CREATE INDEX party_total_rule ON %1$I.party_total (rule_id, period);
		COMMENT ON TABLE %1$I.party_total IS 'sums of the folded sheets by party, period, rule version and the tally that the lines add to; read <book>.progress, which adds what is not folded yet';

		CREATE VIEW %1$I.party_figure AS
			SELECT l.sheet_id, l.run_id, s.party_id, l.period, l.rule_id, s.tally_of AS owner_id, l.unit COLLATE "default" AS unit, l.tickets, s.received AS amount
			FROM %1$I.line_figure AS l
			CROSS JOIN LATERAL settle._sides(l.payer_id, l.payee_id, l.owner_id, l.amount) AS s;
		COMMENT ON COLUMN %1$I.party_figure.party_id IS 'number of the party';
		COMMENT ON COLUMN %1$I.party_figure.owner_id IS 'number of the owner of the tally that the line adds to; null: to none, or to one that the party only pays into';
		COMMENT ON COLUMN %1$I.party_figure.tickets IS '1, 0 or -1: whether a ticket comes to have the line';
		COMMENT ON COLUMN %1$I.party_figure.amount IS 'what the party receives, negative for what it gives';
		COMMENT ON VIEW %1$I.party_figure IS 'one row a side of a line: what it adds to the sums of its party; tickets is 1 where a ticket comes to have the line, -1 where it has it no more';
	$tables$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_party_total_tables(name) IS 'makes the table of the sums of parties of a book, and the view of what they are summed from';

/*
 * A sheet holds the lines of all parties of its ticket, so no policy on sheets
 * can keep them apart.  What staff see are views that belong to the book's
 * owner, read with his rights and keep the rows of settle.own_parties, which
 * runs as whoever asks.  They are security barriers, and end in OFFSET 0: every
 * condition, the harmless ones too, is asked of rows that are his, so neither an
 * error nor what the planner expects of a condition tells of others.
 */
CREATE FUNCTION settle._create_progress_views(book name, digits integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	own_party text := format('(SELECT settle.own_parties(%L::regnamespace))::text[]', quote_ident(book));
	own text := format('WITH own AS MATERIALIZED (SELECT p.party_id FROM %I.party AS p WHERE p.party = ANY (%s))', book, own_party);
	-- the sheets that name a party of his, by what party_sum knows; as an array, which the planner supposes to be short, and a range that it supposes to be narrow
	own_sheets text := $sql$
		unnest(ARRAY(
			SELECT unnest(d.sheets)
			FROM own JOIN %1$I.party_sum AS d ON d.party_id = own.party_id
			WHERE d.sheets IS NOT NULL AND %2$s
			UNION
			SELECT s.sheet_id
			FROM (
				SELECT DISTINCT d.run_id, d.period
				FROM own JOIN %1$I.party_sum AS d ON d.party_id = own.party_id
				WHERE d.sheets IS NULL AND %2$s
			) AS m
			CROSS JOIN LATERAL (
				SELECT sh.sheet_id FROM %1$I.sheet AS sh WHERE sh.run_id BETWEEN m.run_id AND m.run_id AND sh.period = m.period OFFSET 0
			) AS s
		)) AS mine (sheet_id)
	$sql$;
	waits text := format('EXISTS (SELECT FROM %1$I.unfolded) AND d.run_id IN (SELECT w.run_id FROM %1$I.unfolded AS w)', book);
	-- sums of his parties, and of all
	own_sums text := format($sql$
		SELECT t.party_id, t.period, t.rule_id, t.owner_id, t.unit, t.tickets, t.amount
		FROM own JOIN %1$I.party_total AS t ON t.party_id = own.party_id
		UNION ALL
		SELECT f.party_id, f.period, f.rule_id, f.owner_id, f.unit, f.tickets, f.amount
		FROM %2$s
		CROSS JOIN LATERAL (SELECT x.* FROM %1$I.party_figure AS x WHERE x.sheet_id = mine.sheet_id OFFSET 0) AS f
		JOIN %1$I.unfolded AS u ON u.run_id = f.run_id AND f.sheet_id >= u.first_sheet
		JOIN own ON own.party_id = f.party_id
	$sql$, book, format(own_sheets, book, waits));
	all_sums text := format($sql$
		SELECT t.party_id, t.period, t.rule_id, t.owner_id, t.unit, t.tickets, t.amount
		FROM %1$I.party_total AS t
		UNION ALL
		SELECT f.party_id, f.period, f.rule_id, f.owner_id, f.unit, f.tickets, f.amount
		FROM %2$s AS f
	$sql$, book, settle._rows_of_runs(quote_ident(book), 'party_figure'));
	-- by component, with the tally that most of it comes of, and where that stands
	progress text := $sql$
		SELECT
			p.party, p.title, c.period, c.component, c.unit, c.tickets,
			c.amount::numeric(18,%2$s) AS amount,
			c.rule_code,
			t.quantity::numeric(24,6) AS quantity,
			n.tier_from::numeric(24,6) AS tier_from,
			n.next_tier_at::numeric(24,6) AS next_tier_at,
			(n.next_tier_at - t.quantity)::numeric(24,6) AS to_next_tier,
			n.next_rate::numeric(24,6) AS next_rate,
			((n.next_fee - settle.fee(v.tiers, t.quantity)) * t.weight)::numeric(18,%2$s) AS next_gain,
			%4$s
		FROM %1$I.book AS b
		CROSS JOIN (
			SELECT s.party_id, s.period, r.component, s.unit, sum(s.tickets)::bigint AS tickets, sum(s.amount) AS amount,
				(array_agg(r.code ORDER BY s.owner_id IS NULL, abs(s.amount) DESC, r.code COLLATE "C", s.owner_id))[1] AS rule_code,
				(array_agg(s.owner_id ORDER BY s.owner_id IS NULL, abs(s.amount) DESC, r.code COLLATE "C", s.owner_id))[1] AS owner_id
			FROM (
				SELECT x.party_id, x.period, x.rule_id, x.owner_id, x.unit, sum(x.tickets) AS tickets, sum(x.amount) AS amount
				FROM (%3$s) AS x
				GROUP BY x.party_id, x.period, x.rule_id, x.owner_id, x.unit
			) AS s
			JOIN %1$I.rule AS r ON r.rule_id = s.rule_id
			GROUP BY s.party_id, s.period, r.component, s.unit
		) AS c
		JOIN %1$I.party AS p ON p.party_id = c.party_id
		LEFT JOIN LATERAL (
			SELECT
				e.ends,
				sum(x.quantity) AS quantity,
				sum(x.weighted) / nullif(sum(x.quantity), 0) * CASE WHEN bool_or(x.payer_id = c.party_id) THEN -1 ELSE 1 END AS weight
			FROM %1$I.rule AS r
			JOIN %1$I.tally_state AS x ON x.rule_id = r.rule_id AND x.owner_id = c.owner_id AND x.unit = c.unit
			CROSS JOIN LATERAL (SELECT CASE WHEN r.accumulate = 'ever' THEN 'infinity' ELSE settle._period_after(r.accumulate, x.period) END AS ends) AS e
			WHERE r.code = c.rule_code AND x.period < settle._period_after(b.period, c.period) AND e.ends > c.period
			GROUP BY x.period, e.ends
			ORDER BY x.period DESC
			LIMIT 1
		) AS t ON true
		LEFT JOIN LATERAL (
			SELECT r.tiers
			FROM %1$I.rule AS r
			JOIN %1$I.pack AS k ON k.pack = r.pack
			CROSS JOIN LATERAL (SELECT least(now(), t.ends::timestamp AT TIME ZONE b.time_zone - interval '1 microsecond') AS at) AS i
			WHERE r.code = c.rule_code AND r.valid @> i.at AND k.valid @> i.at
			ORDER BY greatest(lower(r.valid), lower(k.valid)) DESC NULLS LAST, nullif(r.pack, 'base') COLLATE "C" DESC NULLS LAST
			LIMIT 1
		) AS v ON t.quantity IS NOT NULL
		LEFT JOIN LATERAL settle.next_tier(v.tiers, t.quantity) AS n ON true
	$sql$;
	view_name text;
BEGIN
	EXECUTE format('CREATE VIEW %I.progress AS %s', book, format(progress, book, digits, all_sums,
		'rank() OVER kind AS rank, count(*) OVER (PARTITION BY c.period, c.component, c.unit, p.kind) AS ranked_of')
		|| ' WINDOW kind AS (PARTITION BY c.period, c.component, c.unit, p.kind ORDER BY c.amount DESC)');
	EXECUTE format('CREATE VIEW %I.my_progress WITH (security_barrier) AS %s %s', book, own, format(progress, book, digits, own_sums, 'o.rank, o.ranked_of')
		|| format($sql$
			LEFT JOIN LATERAL (
				SELECT 1 + count(*) FILTER (WHERE y.amount > c.amount) AS rank, count(*) AS ranked_of
				FROM (
					SELECT s.party_id, sum(s.amount) AS amount
					FROM (%2$s) AS s
					JOIN %1$I.party AS q ON q.party_id = s.party_id AND q.kind = p.kind
					WHERE s.period = c.period AND s.unit = c.unit AND s.rule_id = ANY (ARRAY(SELECT r.rule_id FROM %1$I.rule AS r WHERE r.component = c.component))
						AND b.show_rank
					GROUP BY s.party_id
				) AS y
			) AS o ON b.show_rank
			OFFSET 0
		$sql$, book, all_sums));

	EXECUTE format($view$
		CREATE VIEW %1$I.my_items WITH (security_barrier) AS
			%5$s
			SELECT
				me.party,
				so.source::text AS source,
				sh.ticket_key,
				sh.ticket_time,
				sh.period,
				sh.corrects_period,
				r.component || CASE WHEN l.retier THEN '.retier' WHEN sh.source_id = 0 THEN '.fx' ELSE '' END AS component,
				r.code AS rule_code,
				r.title AS rule_title,
				other.party AS other_party,
				l.base::numeric(24,6) AS base,
				l.factor::numeric(24,6) AS factor,
				(CASE WHEN side.receives THEN l.amount ELSE -l.amount END)::numeric(18,%2$s) AS amount,
				coalesce(r.unit, sh.currency) AS unit,
				sh.project::text AS project,
				sh.region::text AS region,
				sh.revision,
				l.line
			FROM %3$s
			CROSS JOIN LATERAL (SELECT x.* FROM %1$I.sheet AS x WHERE x.sheet_id = mine.sheet_id OFFSET 0) AS sh
			JOIN %1$I.source AS so ON so.source_id = sh.source_id
			CROSS JOIN LATERAL settle._unpack(sh.lines) AS l
			JOIN %1$I.rule AS r ON r.rule_id = l.rule_id
			CROSS JOIN (VALUES (true), (false)) AS side (receives)
			JOIN own ON own.party_id = CASE WHEN side.receives THEN l.payee_id ELSE l.payer_id END
			JOIN %1$I.party AS me ON me.party_id = own.party_id
			JOIN %1$I.party AS other ON other.party_id = CASE WHEN side.receives THEN l.payer_id ELSE l.payee_id END
			WHERE l.payer_id <> l.payee_id
			OFFSET 0;

		CREATE VIEW %1$I.my_statement WITH (security_barrier) AS
			SELECT
				s.party, p.title, s.period, s.unit, s.state,
				s.brought_forward::numeric(18,%2$s) AS brought_forward,
				s.earned::numeric(18,%2$s) AS earned,
				s.corrections::numeric(18,%2$s) AS corrections,
				s.withheld::numeric(18,%2$s) AS withheld,
				s.held::numeric(18,%2$s) AS held,
				s.payable::numeric(18,%2$s) AS payable,
				s.carried::numeric(18,%2$s) AS carried,
				s.paid::numeric(18,%2$s) AS paid,
				y.paid_at, y.reference
			FROM %1$I.statement AS s
			JOIN %1$I.party AS p ON p.party = s.party
			LEFT JOIN %1$I.payment AS y ON y.period = s.period AND y.party = s.party AND y.unit = s.unit
			WHERE s.party = ANY (%4$s)
			OFFSET 0;

		CREATE VIEW %1$I.my_statement_item WITH (security_barrier) AS
			SELECT i.party, i.period, i.unit, i.kind, i.component, i.corrects_period, i.tickets, i.amount::numeric(18,%2$s) AS amount
			FROM %1$I.statement_item AS i
			WHERE i.party = ANY (%4$s)
			OFFSET 0;
	$view$, book, digits, format(own_sheets, book, 'true'), own_party, own);

	EXECUTE format($comments$
		COMMENT ON VIEW %1$I.progress IS 'one row a party, period, component and unit: what it has earned, how far it is along the tiers and what the next one needs and would bring; what its tallies owe beyond their tickets, and what corrections gain or lose by rates, is in it';
		COMMENT ON VIEW %1$I.my_progress IS 'one row a party of the current user, period, component and unit: the rows of progress that are his own';
		COMMENT ON VIEW %1$I.my_items IS 'one row a line that names a party of the current user: what he got or gave, of which ticket, by which rule; corrections are further rows, so sums are right';
		COMMENT ON VIEW %1$I.my_statement IS 'one row a statement of a party of the current user';
		COMMENT ON VIEW %1$I.my_statement_item IS 'one row an item of a statement of a party of the current user';
		COMMENT ON COLUMN %1$I.my_items.party IS 'party of the current user that the line names';
		COMMENT ON COLUMN %1$I.my_items.source IS 'source of the ticket; tally: on no ticket';
		COMMENT ON COLUMN %1$I.my_items.ticket_time IS 'time of the ticket that chose its rules';
		COMMENT ON COLUMN %1$I.my_items.period IS 'first day of the period that the line stands in';
		COMMENT ON COLUMN %1$I.my_items.corrects_period IS 'period that it corrects; null: its own';
		COMMENT ON COLUMN %1$I.my_items.component IS 'component, with .retier for what a tally owes beyond its tickets, .fx for what a correction gains or loses by rates';
		COMMENT ON COLUMN %1$I.my_items.rule_code IS 'rule that gave it';
		COMMENT ON COLUMN %1$I.my_items.rule_title IS 'title of the rule';
		COMMENT ON COLUMN %1$I.my_items.other_party IS 'who paid it, or whom it was paid to';
		COMMENT ON COLUMN %1$I.my_items.base IS 'what it was priced on';
		COMMENT ON COLUMN %1$I.my_items.factor IS 'what the price was multiplied by';
		COMMENT ON COLUMN %1$I.my_items.amount IS 'positive where the party received it, negative where it gave it';
		COMMENT ON COLUMN %1$I.my_items.project IS 'project of the ticket';
		COMMENT ON COLUMN %1$I.my_items.region IS 'region of the ticket';
		COMMENT ON COLUMN %1$I.my_items.revision IS 'revision of the ticket''s sheet that the line stands in';
		COMMENT ON COLUMN %1$I.my_items.line IS 'its place in the sheet';
		COMMENT ON COLUMN %1$I.my_statement.party IS 'party of the current user';
		COMMENT ON COLUMN %1$I.my_statement.state IS 'draft, submitted, approved, paid, disputed or rejected';
		COMMENT ON COLUMN %1$I.my_statement.brought_forward IS 'held and carried of the statement before it';
		COMMENT ON COLUMN %1$I.my_statement.earned IS 'received less given in lines of the period';
		COMMENT ON COLUMN %1$I.my_statement.corrections IS 'received less given in lines that correct an earlier period';
		COMMENT ON COLUMN %1$I.my_statement.withheld IS 'given to tax parties, negative';
		COMMENT ON COLUMN %1$I.my_statement.held IS 'of lines in dispute';
		COMMENT ON COLUMN %1$I.my_statement.payable IS 'what is due under this statement';
		COMMENT ON COLUMN %1$I.my_statement.carried IS 'what the next one takes over beside held';
		COMMENT ON COLUMN %1$I.my_statement.paid IS 'payable once it is paid, else 0';
		COMMENT ON COLUMN %1$I.my_statement.reference IS 'reference of the payment';
		COMMENT ON COLUMN %1$I.my_statement_item.party IS 'party of the current user';
		COMMENT ON COLUMN %1$I.my_statement_item.period IS 'period of the statement';
		COMMENT ON COLUMN %1$I.my_statement_item.unit IS 'unit of the statement';
		COMMENT ON COLUMN %1$I.my_statement_item.kind IS 'earned, correction of an earlier period, or withheld for a tax party';
		COMMENT ON COLUMN %1$I.my_statement_item.component IS 'component of the lines';
		COMMENT ON COLUMN %1$I.my_statement_item.corrects_period IS 'period that a correction corrects';
		COMMENT ON COLUMN %1$I.my_statement_item.tickets IS 'tickets whose lines it sums';
		COMMENT ON COLUMN %1$I.my_statement_item.amount IS 'received less given by the party';
	$comments$, book);
	FOREACH view_name IN ARRAY ARRAY['progress', 'my_progress'] LOOP
		EXECUTE format($comments$
			COMMENT ON COLUMN %1$I.%2$I.component IS 'component of the rules';
			COMMENT ON COLUMN %1$I.%2$I.tickets IS 'lines of tickets that stand now: a ticket counts once for each rule that names the party for it';
			COMMENT ON COLUMN %1$I.%2$I.amount IS 'received less given by the party';
			COMMENT ON COLUMN %1$I.%2$I.rule_code IS 'rule that most of it comes of; where it adds to tallies, the one of the tally that the next columns are about: the one that gave most';
			COMMENT ON COLUMN %1$I.%2$I.quantity IS 'how far that tally is along the tiers: all that is in it, of others too where several add to one; null where nothing adds up';
			COMMENT ON COLUMN %1$I.%2$I.tier_from IS 'quantity at which the tier begins that it stands in, by the version of the rule in force now, or at the end of the tally''s span; null of scales whose tiers are no steps of a quantity';
			COMMENT ON COLUMN %1$I.%2$I.next_tier_at IS 'quantity at which the next tier begins: reached if the bound is written with below, to be gone beyond if it is written with to; null: there is none';
			COMMENT ON COLUMN %1$I.%2$I.to_next_tier IS 'what is missing to it';
			COMMENT ON COLUMN %1$I.%2$I.next_rate IS 'price of one more unit in the next tier';
			COMMENT ON COLUMN %1$I.%2$I.next_gain IS 'what the tally owes more where the next tier begins than now, if what is still to come weighs as what is there: the difference of the two fees, times weighted base by quantity';
			COMMENT ON COLUMN %1$I.%2$I.rank IS 'place of the amount among those of parties of the same kind; %3$s';
			COMMENT ON COLUMN %1$I.%2$I.ranked_of IS 'how many parties of the kind there are; %3$s';
		$comments$, book, view_name, CASE view_name WHEN 'progress' THEN '1 is the most' ELSE 'null unless show_rank of the book is set' END);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._create_progress_views(name, integer) IS 'makes the views of what parties have earned, and of what each sees himself; amounts show so many decimal places';
