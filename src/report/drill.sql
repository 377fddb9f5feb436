-- drill: from a cell of the matrix to its tickets

CREATE FUNCTION settle.drill(
	book regnamespace, project text, region text, period date, currency text DEFAULT NULL,
	OUT source text, OUT ticket_key text, OUT ticket_time timestamptz, OUT project text, OUT region text, OUT currency text,
	OUT revenue numeric, OUT cost numeric, OUT payout numeric, OUT profit numeric, OUT tickets bigint
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.drill(regnamespace, text, text, date, text) IS
	'the tickets of a cell: of the subtrees of a project and a region ('''' is all) in a period and currency (null is any); their sums are the cell';

-- IN and OUT may share a name in C, not in PL/pgSQL
CREATE FUNCTION settle._drill(book regnamespace, within_project text, within_region text, in_period date, in_currency text)
	RETURNS TABLE (
		source text, ticket_key text, ticket_time timestamptz, project text, region text, currency text,
		revenue numeric, cost numeric, payout numeric, profit numeric, tickets bigint
	)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF within_project IS NULL OR within_region IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a project and a region must be given',
			HINT = 'The empty text is all of them.';
	END IF;
	-- a ticket that was moved inside the cell has sheets of either place: what the last one says of it counts
	RETURN QUERY EXECUTE format($sql$
		SELECT
			so.source::text, d.ticket_key, d.ticket_time, d.project::text, d.region::text, d.currency,
			d.revenue, d.cost, d.payout, d.revenue - d.cost - d.payout, CASE WHEN so.source = 'period' THEN 0 ELSE d.tickets END
		FROM (
			SELECT
				sh.source_id, sh.ticket_key, sh.currency,
				(array_agg(sh.ticket_time ORDER BY sh.revision DESC))[1] AS ticket_time,
				(array_agg(sh.project ORDER BY sh.revision DESC))[1] AS project,
				(array_agg(sh.region ORDER BY sh.revision DESC))[1] AS region,
				sum(sh.revenue) AS revenue, sum(sh.cost) AS cost, sum(sh.payout) AS payout, sum(sh.tickets) AS tickets
			FROM %1$s.sheet AS sh
			WHERE ($1 = '' OR sh.project OPERATOR(%2$I.<@) $1::%2$I.ltree)
				AND ($2 = '' OR sh.region OPERATOR(%2$I.<@) $2::%2$I.ltree)
				AND ($3 IS NULL OR sh.period = $3)
				AND ($4 IS NULL OR sh.currency = $4)
			GROUP BY sh.source_id, sh.ticket_key, sh.currency
			HAVING sum(sh.tickets) <> 0 OR sum(sh.revenue) <> 0 OR sum(sh.cost) <> 0 OR sum(sh.payout) <> 0
		) AS d
		JOIN %1$s.source AS so ON so.source_id = d.source_id
		ORDER BY d.ticket_time, so.source, d.ticket_key
	$sql$, book, settle._ltree_schema()) USING within_project, within_region, in_period, in_currency;
END
$function$;
COMMENT ON FUNCTION settle._drill(regnamespace, text, text, date, text) IS 'body of settle.drill';
REVOKE ALL ON FUNCTION settle._drill(regnamespace, text, text, date, text) FROM PUBLIC;
