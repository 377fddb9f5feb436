-- trace: from a payment to the tickets behind it, and from a ticket to its payments

CREATE FUNCTION settle._source_rows(book regnamespace, source_id smallint, keys text[]) RETURNS TABLE (ticket_key text, ticket jsonb)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	relation regclass;
	key_expression text;
BEGIN
	EXECUTE format('SELECT s.relation, s.key FROM %1$s.source AS s JOIN pg_class AS c ON c.oid = s.relation WHERE s.source_id = $1', book)
		INTO relation, key_expression USING source_id;
	-- only to whom the table itself would show it, and all of it
	IF relation IS NOT NULL AND has_table_privilege(relation, 'SELECT') AND has_table_privilege(session_user, relation, 'SELECT')
		AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = relation AND c.relrowsecurity)
	THEN
		RETURN QUERY EXECUTE format('SELECT r.ticket_key, r.ticket FROM (SELECT (%2$s)::text AS ticket_key, to_jsonb(source_row) AS ticket FROM %1$s AS source_row) AS r WHERE r.ticket_key = ANY ($1)',
			relation, key_expression) USING keys;
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._source_rows(regnamespace, smallint, text[]) IS 'rows of a source as they are now, by key, where the owner of the book and who asks may read it and no row policy hides some';

CREATE FUNCTION settle.trace_payout(
	book regnamespace, party text, period date, unit text DEFAULT NULL,
	OUT reference text, OUT paid_at timestamptz, OUT state text, OUT kind text, OUT component text, OUT amount numeric, OUT corrects_period date,
	OUT source name, OUT ticket_key text, OUT revision integer, OUT run_id bigint, OUT relation regclass, OUT ticket jsonb
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C;
COMMENT ON FUNCTION settle.trace_payout(regnamespace, text, date, text) IS
	'what a payment, or a statement that is not paid yet, consists of: a row a line with its ticket and the row of the source as it is now, and rows for what was brought forward, held and carried; the amounts sum to what is payable';

CREATE FUNCTION settle._trace_payout(
	book regnamespace, party text, period date, unit text
) RETURNS TABLE (
	reference text, paid_at timestamptz, state text, kind text, component text, amount numeric, corrects_period date,
	source name, ticket_key text, revision integer, run_id bigint, relation regclass, ticket jsonb
)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		WITH mine AS (
			SELECT s.* FROM %1$s.statement AS s
			WHERE s.party = $1 AND s.period = $2 AND s.unit = coalesce($3, (SELECT b.currency FROM %1$s.book AS b))
		), lines AS (
			SELECT l.* FROM settle._party_lines($4, settle._statement_range($4, $2), $1) AS l WHERE l.unit = (SELECT m.unit FROM mine AS m)
		), rows AS (
			SELECT so.source_id, r.ticket_key, r.ticket
			FROM %1$s.source AS so
			CROSS JOIN LATERAL settle._source_rows($4, so.source_id, (SELECT array_agg(DISTINCT l.ticket_key) FROM lines AS l WHERE l.source_id = so.source_id)) AS r
		), parts AS (
			SELECT 0 AS place, 'brought_forward' AS kind, m.brought_forward AS amount FROM mine AS m WHERE m.brought_forward <> 0
			UNION ALL
			SELECT 2, 'held', -m.held FROM mine AS m WHERE m.held <> 0
			UNION ALL
			SELECT 3, 'carried', -m.carried FROM mine AS m WHERE m.carried <> 0
		)
		SELECT p.reference, p.paid_at, m.state, x.kind, x.component, x.amount, x.corrects_period, x.source, x.ticket_key, x.revision, x.run_id, x.relation, x.ticket
		FROM mine AS m
		LEFT JOIN %1$s.payment AS p ON p.period = m.period AND p.party = m.party AND p.unit = m.unit
		CROSS JOIN (
			SELECT 1 AS place, l.sheet_id, l.line, l.kind, l.component, l.amount, l.corrects_period, so.source, l.ticket_key, sh.revision, sh.run_id, so.relation, r.ticket
			FROM lines AS l
			JOIN %1$s.sheet AS sh ON sh.sheet_id = l.sheet_id
			JOIN %1$s.source AS so ON so.source_id = l.source_id
			LEFT JOIN rows AS r ON r.source_id = l.source_id AND r.ticket_key = l.ticket_key
			UNION ALL
			SELECT t.place, NULL, NULL, t.kind, NULL, t.amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM parts AS t
		) AS x
		ORDER BY x.place, x.sheet_id, x.line, x.kind
	$sql$, book) USING party, period, unit, book;
END
$function$;
COMMENT ON FUNCTION settle._trace_payout(regnamespace, text, date, text) IS 'body of settle.trace_payout';
REVOKE ALL ON FUNCTION settle._trace_payout(regnamespace, text, date, text) FROM PUBLIC;

CREATE FUNCTION settle.trace_ticket(
	book regnamespace, source name, key text,
	OUT revision integer, OUT period date, OUT corrects_period date, OUT component text, OUT payer text, OUT payee text, OUT amount numeric, OUT unit text,
	OUT party text, OUT statement_period date, OUT state text, OUT reference text, OUT paid_at timestamptz
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.trace_ticket(regnamespace, name, text) IS
	'the lines of a ticket and where each went: a row a line and party that has statements, with the statement''s period, its state and payment; these are null while the period is open';

CREATE FUNCTION settle._trace_ticket(
	book regnamespace, source name, key text
) RETURNS TABLE (
	revision integer, period date, corrects_period date, component text, payer text, payee text, amount numeric, unit text,
	party text, statement_period date, state text, reference text, paid_at timestamptz
)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		SELECT
			sh.revision, sh.period, sh.corrects_period, r.component || CASE WHEN l.retier THEN '.retier' WHEN sh.source_id = 0 THEN '.fx' ELSE '' END,
			payer.party, payee.party, l.amount, coalesce(r.unit, sh.currency), me.party, s.period, s.state, p.reference, p.paid_at
		FROM %1$s.source AS so
		JOIN %1$s.sheet AS sh ON sh.source_id = so.source_id
		CROSS JOIN LATERAL settle._unpack(sh.lines) AS l
		JOIN %1$s.rule AS r ON r.rule_id = l.rule_id
		JOIN %1$s.party AS payer ON payer.party_id = l.payer_id
		JOIN %1$s.party AS payee ON payee.party_id = l.payee_id
		LEFT JOIN %1$s.party AS me ON me.party_id IN (l.payer_id, l.payee_id) AND me.side IN ('outside', 'tax')
		LEFT JOIN %1$s.statement AS s ON s.party = me.party AND s.unit = coalesce(r.unit, sh.currency)
			AND s.period = (SELECT min(c.period) FROM %1$s.period AS c WHERE c.period >= sh.period AND c.state = 'closed')
		LEFT JOIN %1$s.payment AS p ON p.period = s.period AND p.party = s.party AND p.unit = s.unit
		WHERE so.source = $1 AND sh.ticket_key = $2
		ORDER BY sh.revision, l.line, me.party COLLATE "C"
	$sql$, book) USING source, key;
END
$function$;
COMMENT ON FUNCTION settle._trace_ticket(regnamespace, name, text) IS 'body of settle.trace_ticket';
REVOKE ALL ON FUNCTION settle._trace_ticket(regnamespace, name, text) FROM PUBLIC;
