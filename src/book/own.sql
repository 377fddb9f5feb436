-- own: whose rows a role may call its own

CREATE FUNCTION settle._create_own_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($table$
		CREATE TABLE %1$I.party_role (
			role regrole NOT NULL,
			party text NOT NULL CHECK (party <> ''),
			granted_at timestamptz NOT NULL DEFAULT now(),
			granted_by text NOT NULL,
			reason text,
			PRIMARY KEY (role, party)
		);
		COMMENT ON TABLE %1$I.party_role IS 'which roles see the rows of which parties in the views my_*; a role sees those of the roles that it is a member of';
		COMMENT ON COLUMN %1$I.party_role.role IS 'role that reads; it needs the level staff beside this';
		COMMENT ON COLUMN %1$I.party_role.party IS 'code of a party, known yet or not';
		COMMENT ON COLUMN %1$I.party_role.granted_at IS 'since when';
		COMMENT ON COLUMN %1$I.party_role.granted_by IS 'who said so';
		COMMENT ON COLUMN %1$I.party_role.reason IS 'why';
	$table$, book);
	PERFORM settle._journal(book, 'party_role', '{role,party}');
END
$function$;
COMMENT ON FUNCTION settle._create_own_tables(name) IS 'makes the table of a book that says whose rows a role may call its own';

CREATE FUNCTION settle.own_parties(book regnamespace) RETURNS text[] AS 'MODULE_PATHNAME', 'settle_own_parties' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION settle.own_parties(regnamespace) IS
	'the parties whose rows the current user may call his own: those of his roles in <book>.party_role, or the one that he acts for as a delegate';

CREATE FUNCTION settle.grant_party(book regnamespace, party text, role regrole, reason text DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_admin' LANGUAGE C;
COMMENT ON FUNCTION settle.grant_party(regnamespace, text, regrole, text) IS 'lets a role see the rows of a party as its own';

CREATE FUNCTION settle._grant_party(book regnamespace, party text, role regrole, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF coalesce(party, '') = '' OR role IS NULL OR role = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a party and a role must be given';
	END IF;
	EXECUTE format('INSERT INTO %s.party_role (role, party, granted_by, reason) VALUES ($1, $2, settle.actor($3), $4) ON CONFLICT DO NOTHING', book)
		USING role, party, book, reason;
END
$function$;
COMMENT ON FUNCTION settle._grant_party(regnamespace, text, regrole, text) IS 'body of settle.grant_party';
REVOKE ALL ON FUNCTION settle._grant_party(regnamespace, text, regrole, text) FROM PUBLIC;

CREATE FUNCTION settle.revoke_party(book regnamespace, party text, role regrole, reason text DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_admin' LANGUAGE C;
COMMENT ON FUNCTION settle.revoke_party(regnamespace, text, regrole, text) IS 'has a role see the rows of a party as its own no more';

CREATE FUNCTION settle._revoke_party(book regnamespace, party text, role regrole, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	removed bigint;
BEGIN
	EXECUTE format('DELETE FROM %s.party_role AS r WHERE r.role = $1 AND r.party = $2', book) USING role, party;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('role "%s" does not have the party "%s" in book "%s"', role, party, book);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._revoke_party(regnamespace, text, regrole, text) IS 'body of settle.revoke_party';
REVOKE ALL ON FUNCTION settle._revoke_party(regnamespace, text, regrole, text) FROM PUBLIC;
