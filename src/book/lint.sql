-- lint: what is wrong with the rules of a book

CREATE FUNCTION settle._rules_from_now(book regnamespace, packs text[])
	RETURNS settle.ruleset AS 'MODULE_PATHNAME', 'settle_rules_from_now' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION settle._rules_from_now(regnamespace, text[]) IS 'the rules of a book as they are if packs are enabled now';

CREATE FUNCTION settle._lint(book regnamespace, packs text[]) RETURNS SETOF record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($query$
		SELECT l.severity, l.kind, l.object, l.detail, l.hint
		FROM (SELECT array_agg(s.source ORDER BY s.source_id) AS sources, array_agg(s.relation ORDER BY s.source_id) AS relations
			FROM %1$s.source AS s JOIN pg_class AS c ON c.oid = s.relation) AS s,
			%1$s.book AS b,
			LATERAL (
				SELECT r.severity, r.kind, r.object, r.detail, r.hint FROM settle._lint_rules($1, coalesce(s.sources, '{}'), coalesce(s.relations, '{}'), b.settle_on = 'commit',
					ARRAY(SELECT DISTINCT f.field FROM %1$s.form_field AS f WHERE f.privacy IS NOT NULL OR f.kind = 'place')) AS r
				WHERE r.kind <> 'unused' OR NOT EXISTS (SELECT FROM %1$s.type_team AS y WHERE r.object = format('decision %%s', y.decision))
				UNION ALL
				SELECT 'warning', 'personal code', 'ticket', format('the customer of ticket "%%s" looks like a phone or an identity card', t.ticket_id),
					'Name customers by codes that say nothing of them: what rules read of a ticket is sealed.'
				FROM (SELECT k.ticket_id FROM %1$s.ticket AS k WHERE settle.looks_personal(k.customer) LIMIT 1) AS t
				UNION ALL
				SELECT 'warning', 'team', format('type %%s', y.type), format('No ticket type "%%s" is enabled.', y.type), 'Enable it, or correct the row of type_team.'
				FROM %1$s.type_team AS y WHERE NOT EXISTS (SELECT FROM %1$s.ticket_type AS k WHERE k.type = y.type AND k.enabled_at IS NOT NULL)
				UNION ALL
				SELECT 'warning', 'team', format('type %%s', y.type), format('Decision "%%s", which is to choose its team, does not exist.', y.decision), 'Add it, or correct the row of type_team.'
				FROM %1$s.type_team AS y WHERE NOT EXISTS (SELECT FROM %1$s.decision AS d WHERE d.decision = y.decision)
			) AS l
		ORDER BY array_position('{error,warning,note}', l.severity), l.kind, l.object, l.detail
	$query$, book)
	USING CASE WHEN packs IS NULL THEN settle.rules(book) ELSE settle._rules_from_now(book, packs) END;
END
$function$;
COMMENT ON FUNCTION settle._lint(regnamespace, text[]) IS 'what settle.lint runs as the owner of the book';
REVOKE ALL ON FUNCTION settle._lint(regnamespace, text[]) FROM PUBLIC;

CREATE FUNCTION settle.lint(
	book regnamespace, packs text[] DEFAULT NULL,
	OUT severity text, OUT kind text, OUT object text, OUT detail text, OUT hint text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.lint(regnamespace, text[]) IS
	'what is wrong with the rules of a book, as they are or as they would be with some packs from now on: errors, warnings and notes';
