-- report: the views of a book

CREATE FUNCTION settle._create_views(book name, digits integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($views$
		CREATE VIEW %1$I.line_detail AS
			SELECT
				so.source::text AS source,
				sh.ticket_key,
				sh.ticket_time,
				sh.period,
				r.component || CASE WHEN l.retier THEN '.retier' WHEN sh.source_id = 0 THEN '.fx' ELSE '' END AS component,
				r.code AS rule_code,
				payer.party AS payer,
				payee.party AS payee,
				l.base::numeric(24,6) AS base,
				l.factor::numeric(24,6) AS factor,
				l.amount::numeric(18,%2$s) AS amount,
				coalesce(r.unit, sh.currency) AS unit,
				sh.project::text AS project,
				sh.region::text AS region,
				sh.run_id,
				sh.corrects_period,
				sh.revision,
				l.line
			FROM %1$I.sheet AS sh
			JOIN %1$I.source AS so ON so.source_id = sh.source_id
			CROSS JOIN LATERAL settle._unpack(sh.lines) AS l
			JOIN %1$I.rule AS r ON r.rule_id = l.rule_id
			JOIN %1$I.party AS payer ON payer.party_id = l.payer_id
			JOIN %1$I.party AS payee ON payee.party_id = l.payee_id;
		COMMENT ON VIEW %1$I.line_detail IS 'one row a line: a transfer from payer to payee, by a rule, for a ticket; corrections are further rows, so sums are right';

		CREATE VIEW %1$I.sheet_inputs AS
			SELECT so.source::text AS source, sh.ticket_key, sh.revision, sh.run_id, settle._inputs(n.input_names, so.source, sh.inputs) AS inputs
			FROM %1$I.sheet AS sh
			JOIN %1$I.source AS so ON so.source_id = sh.source_id
			LEFT JOIN %1$I.run AS n ON n.run_id = sh.run_id
			WHERE sh.inputs IS NOT NULL;
		COMMENT ON VIEW %1$I.sheet_inputs IS 'one row a sheet that keeps what it was priced with: columns, facts and rates that its rules have read, or the digest of that';

		CREATE VIEW %1$I.tally AS
			SELECT
				r.code AS rule_code, r.component, o.party AS owner, t.period, t.unit,
				sum(t.count)::bigint AS tickets,
				sum(t.quantity)::numeric(24,6) AS quantity,
				sum(t.amount)::numeric(18,%2$s) AS amount
			FROM %1$I.tally_state AS t
			JOIN %1$I.rule AS r ON r.rule_id = t.rule_id
			JOIN %1$I.party AS o ON o.party_id = t.owner_id
			GROUP BY r.code, r.component, o.party, t.period, t.unit;
		COMMENT ON VIEW %1$I.tally IS 'one row an accumulating rule, owner and accumulation period: how far it is along the tiers, and what its lines sum to';

		CREATE VIEW %1$I.statement_detail AS
			SELECT
				s.party, p.title, p.side, s.period, s.unit, s.state, i.kind, i.component, i.corrects_period, i.tickets,
				i.amount::numeric(18,%2$s) AS amount
			FROM %1$I.statement AS s
			JOIN %1$I.party AS p ON p.party = s.party
			JOIN %1$I.statement_item AS i ON i.period = s.period AND i.party = s.party AND i.unit = s.unit;
		COMMENT ON VIEW %1$I.statement_detail IS 'one row an item of a statement, with the statement it stands in';
	$views$, book, digits);
END
$function$;
COMMENT ON FUNCTION settle._create_views(name, integer) IS 'makes the reporting views of a book; amounts show so many decimal places';

CREATE FUNCTION settle.lines_of(
	book regnamespace, party text, during daterange DEFAULT '(,)',
	OUT source text, OUT ticket_key text, OUT ticket_time timestamptz, OUT period date, OUT component text, OUT rule_code text,
	OUT payer text, OUT payee text, OUT base numeric, OUT factor numeric, OUT amount numeric, OUT unit text,
	OUT project text, OUT region text, OUT run_id bigint
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_lines_of' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.lines_of(regnamespace, text, daterange) IS
	'the lines that name a party as payer or payee, in the periods that begin in a range; found through an index, where a filter on line_detail reads every sheet';
