
-- replay: tickets computed again from what their sheets keep

CREATE FUNCTION settle._replay_ticket(
	book regnamespace, source name, digest bytea, inputs json,
	OUT rule text, OUT payer text, OUT payee text, OUT unit text, OUT owner text, OUT tally_period date,
	OUT base numeric, OUT quantity numeric, OUT factor numeric, OUT amount numeric, OUT problem text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_replay_ticket' LANGUAGE C ROWS 5;
COMMENT ON FUNCTION settle._replay_ticket(regnamespace, name, bytea, json) IS 'the lines that a ruleset in use says of kept inputs, or why it says none';
REVOKE ALL ON FUNCTION settle._replay_ticket(regnamespace, name, bytea, json) FROM PUBLIC;

CREATE FUNCTION settle._replay_sample(book regnamespace, since timestamptz, sample bigint)
	RETURNS TABLE (source name, ticket_key text, run_id bigint, rule text, expected text, found text)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	-- lines are compared by whom they go between; in a tally, whose amounts follow from its state, by what they add to it
	RETURN QUERY EXECUTE format($replay$
		WITH taken AS MATERIALIZED (
			SELECT so.source, h.source_id, h.ticket_key, h.run_id, n.digest, h.inputs
			FROM (
				SELECT s.source_id, s.ticket_key, max(s.revision) AS revision FROM %1$s.sheet AS s
				WHERE s.source_id <> 0 GROUP BY s.source_id, s.ticket_key HAVING sum(s.tickets) = 1
			) AS l
			JOIN %1$s.sheet AS h ON h.source_id = l.source_id AND h.ticket_key = l.ticket_key AND h.revision = l.revision
			JOIN %1$s.source AS so ON so.source_id = h.source_id
			JOIN %1$s.run AS n ON n.run_id = h.run_id
			WHERE (n.started_at >= $1 OR $1 IS NULL) AND h.inputs ->> 'sha256' IS NULL
			ORDER BY hashtextextended(h.ticket_key, h.source_id), h.ticket_key LIMIT $2
		),
		computed AS MATERIALIZED (
			SELECT t.source_id, t.ticket_key, c.* FROM (SELECT * FROM taken ORDER BY source_id, digest) AS t
			CROSS JOIN LATERAL settle._replay_ticket($3, t.source, t.digest, t.inputs) AS c
		),
		line AS (
			SELECT c.source_id, c.ticket_key, c.rule, c.payer, c.payee, c.unit, c.owner, c.tally_period,
				CASE WHEN c.owner IS NOT NULL THEN c.factor END AS factor, true AS is_computed,
				c.amount, CASE WHEN c.owner IS NOT NULL THEN c.base END AS base, c.quantity, CASE WHEN c.owner IS NOT NULL THEN 1 END AS count
			FROM computed AS c WHERE c.problem IS NULL
			UNION ALL
			SELECT t.source_id, t.ticket_key, coalesce(r.code, 'rule number ' || u.rule_id), p.party, q.party, coalesce(r.unit, s.currency), o.party,
				CASE WHEN r.clock = 'ticket' THEN u.tally_period END,
				CASE WHEN u.owner_id IS NOT NULL THEN u.factor END, false,
				CASE WHEN u.owner_id IS NULL THEN u.amount END, CASE WHEN u.owner_id IS NOT NULL THEN u.base END, u.quantity, u.count
			FROM taken AS t JOIN %1$s.sheet AS s ON s.source_id = t.source_id AND s.ticket_key = t.ticket_key
			CROSS JOIN LATERAL settle._unpack(s.lines) AS u
			LEFT JOIN %1$s.rule AS r ON r.rule_id = u.rule_id
			LEFT JOIN %1$s.party AS p ON p.party_id = u.payer_id
			LEFT JOIN %1$s.party AS q ON q.party_id = u.payee_id
			LEFT JOIN %1$s.party AS o ON o.party_id = u.owner_id
			WHERE NOT EXISTS (SELECT FROM computed AS c WHERE c.source_id = t.source_id AND c.ticket_key = t.ticket_key AND c.problem IS NOT NULL)
		),
		total AS (
			SELECT l.source_id, l.ticket_key, l.rule, l.payer, l.payee, l.unit, l.owner, l.tally_period, l.factor, l.is_computed,
				sum(l.amount) AS amount, sum(l.base) AS base, sum(l.quantity) AS quantity, sum(l.count) AS count
			FROM line AS l GROUP BY l.source_id, l.ticket_key, l.rule, l.payer, l.payee, l.unit, l.owner, l.tally_period, l.factor, l.is_computed
			HAVING sum(l.amount) <> 0 OR sum(l.base) <> 0 OR sum(l.quantity) <> 0 OR sum(l.count) <> 0
		),
		said AS (
			SELECT a.*, CASE WHEN a.owner IS NULL THEN format('%%s %%s from %%s to %%s', trim_scale(a.amount), a.unit, a.payer, a.payee)
				ELSE format('%%s times %%s on %%s, factor %%s, for %%s%%s, %%s from %%s to %%s', a.count, trim_scale(a.base), trim_scale(a.quantity),
					trim_scale(a.factor), a.owner, ' in ' || a.tally_period, a.unit, a.payer, a.payee) END AS text
			FROM total AS a
		)
		SELECT t.source, t.ticket_key, t.run_id, d.rule, d.expected, d.found
		FROM (
			SELECT s.source_id, s.ticket_key, s.rule, min(s.text) FILTER (WHERE s.is_computed) AS expected, min(s.text) FILTER (WHERE NOT s.is_computed) AS found
			FROM said AS s GROUP BY s.source_id, s.ticket_key, s.rule, s.payer, s.payee, s.unit, s.owner, s.tally_period, s.factor
		) AS d
		JOIN taken AS t ON t.source_id = d.source_id AND t.ticket_key = d.ticket_key
		WHERE d.expected IS DISTINCT FROM d.found
		UNION ALL
		SELECT t.source, min(t.ticket_key), min(t.run_id), NULL, format('%%s; so for %%s tickets', c.problem, count(*)), NULL
		FROM computed AS c JOIN taken AS t ON t.source_id = c.source_id AND t.ticket_key = c.ticket_key
		WHERE c.problem IS NOT NULL GROUP BY t.source, t.digest, c.problem
		ORDER BY 1, 2, 4, 5
	$replay$, (SELECT quote_ident(n.nspname) FROM pg_namespace AS n WHERE n.oid = book::oid)) USING since, sample, book;
END
$function$;
COMMENT ON FUNCTION settle._replay_sample(regnamespace, timestamptz, bigint) IS 'settle.replay of so many tickets, always the same ones; null for all';
REVOKE ALL ON FUNCTION settle._replay_sample(regnamespace, timestamptz, bigint) FROM PUBLIC;

CREATE FUNCTION settle.replay(book regnamespace, since timestamptz DEFAULT NULL)
	RETURNS TABLE (source name, ticket_key text, run_id bigint, rule text, expected text, found text)
	AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C;
COMMENT ON FUNCTION settle.replay(regnamespace, timestamptz) IS
	'computes every settled ticket posted since again, from the inputs and the ruleset that were kept, and returns what differs from what is posted: no row when nothing does';

CREATE FUNCTION settle._replay(book regnamespace, since timestamptz)
	RETURNS TABLE (source name, ticket_key text, run_id bigint, rule text, expected text, found text)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY SELECT r.* FROM settle._replay_sample(book, since, NULL) AS r;
END
$function$;
COMMENT ON FUNCTION settle._replay(regnamespace, timestamptz) IS 'body of settle.replay';
REVOKE ALL ON FUNCTION settle._replay(regnamespace, timestamptz) FROM PUBLIC;
