-- commit: tickets of the book that its own code writes, where tickets settle at commit

/*
 * Code of a book runs in a security-restricted operation, which may leave no
 * trigger for later: what it writes into <book>.ticket is settled at the end of
 * its own statement instead.
 */
CREATE FUNCTION settle._settle_at_once(book regnamespace, at_once boolean) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	trigger_name name;
BEGIN
	FOR trigger_name IN
		SELECT c.conname FROM pg_constraint AS c WHERE c.conrelid = format('%s.ticket', book)::regclass AND c.contype = 't' AND c.condeferrable
	LOOP
		EXECUTE format('SET CONSTRAINTS %s.%I %s', book, trigger_name, CASE WHEN at_once THEN 'IMMEDIATE' ELSE 'DEFERRED' END);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._settle_at_once(regnamespace, boolean) IS 'begins, or ends, that the book''s own tickets settle at the end of each statement where else they do at commit; code of a book that writes into <book>.ticket stands between the two';
