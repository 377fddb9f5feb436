-- settle: the triggers on sources, and what becomes of them when a book settles otherwise

CREATE FUNCTION settle.capture() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_capture' LANGUAGE C;
COMMENT ON FUNCTION settle.capture() IS 'row trigger on a source: notes which tickets changed; made by settle.add_source';

CREATE FUNCTION settle.settle_at_commit() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_at_commit' LANGUAGE C;
COMMENT ON FUNCTION settle.settle_at_commit() IS 'deferred trigger on a source: settles the tickets that the transaction changed; made by settle.add_source';

-- By their arguments, not by the sources of the book: a partition that was
-- detached keeps its triggers.  Clones on partitions go with their parent's.
CREATE FUNCTION settle._captures_of(book regnamespace) RETURNS TABLE (relation regclass, trigger name, owner regrole)
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT t.tgrelid::pg_catalog.regclass, t.tgname, c.relowner::pg_catalog.regrole
		FROM pg_catalog.pg_namespace AS n
		CROSS JOIN pg_catalog.pg_trigger AS t
		JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid
		WHERE n.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
			AND t.tgfoid OPERATOR(pg_catalog.=) ANY (ARRAY['settle.capture()'::pg_catalog.regprocedure, 'settle.settle_at_commit()'::pg_catalog.regprocedure]::pg_catalog.oid[])
			AND pg_catalog.position(t.tgargs, pg_catalog.convert_to(n.nspname::pg_catalog.text, pg_catalog.getdatabaseencoding()) OPERATOR(pg_catalog.||) E'\\x00'::pg_catalog.bytea) OPERATOR(pg_catalog.=) 1
			AND t.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
		ORDER BY t.tgrelid, t.tgname;
	END;
COMMENT ON FUNCTION settle._captures_of(regnamespace) IS 'triggers that tell a book of changes of its sources';

CREATE FUNCTION settle.change_capture() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	book regnamespace := quote_ident(TG_TABLE_SCHEMA);
	capture record;
BEGIN
	-- whoever writes tickets commits first, as they were meant to be settled
	FOR capture IN SELECT DISTINCT c.relation FROM settle._captures_of(book) AS c ORDER BY c.relation LOOP
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', capture.relation);
	END LOOP;
	FOR capture IN SELECT * FROM settle._captures_of(book) LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', capture.trigger, capture.relation);
	END LOOP;
	PERFORM settle.complete_capture(book);
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION settle.change_capture() IS
	'row trigger on the settings of a book: makes the triggers of its sources anew when settle_on changes; a relation of somebody else is an error (42501), one that this transaction has written to too (55006)';
