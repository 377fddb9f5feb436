-- seal: proof that what was posted has not been changed since

CREATE FUNCTION settle._create_seal_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	table_name text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.seal (
			seal_id bigint PRIMARY KEY,
			sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
			previous bytea,
			digest bytea NOT NULL,
			runs bigint NOT NULL,
			sheets bigint NOT NULL
		);
		COMMENT ON TABLE %1$I.seal IS 'chain of digests over runs and their sheets; keep what settle.anchor gives outside of this server';
		CREATE TABLE %1$I.sealed_run (
			run_id bigint PRIMARY KEY,
			seal_id bigint NOT NULL,
			digest bytea NOT NULL,
			sheets bytea NOT NULL
		);
		CREATE INDEX sealed_run_seal ON %1$I.sealed_run (seal_id);
		ALTER TABLE %1$I.sealed_run ALTER COLUMN sheets SET STORAGE EXTERNAL;
		COMMENT ON TABLE %1$I.sealed_run IS 'which seal covers a run, the digest of its record, and of each sheet its number and the beginning of its digest, by which settle.verify says what differs';
		CREATE TABLE %1$I.unsealed (run_id bigint NOT NULL);
		COMMENT ON TABLE %1$I.unsealed IS 'runs that wait for a seal';
		CREATE INDEX sheet_run ON %1$I.sheet USING brin (run_id) WITH (pages_per_range = 32, autosummarize = on);
	$tables$, book);
	FOREACH table_name IN ARRAY ARRAY['seal', 'sealed_run'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book, table_name);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._create_seal_tables(name) IS 'makes the tables of the seals of a book';

CREATE FUNCTION settle._seal(book regnamespace, max_runs integer DEFAULT NULL) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_seal' LANGUAGE C;
COMMENT ON FUNCTION settle._seal(regnamespace, integer) IS 'seals runs that are committed and not sealed, at most so many; returns their number';

CREATE FUNCTION settle.anchor(book regnamespace) RETURNS text AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C;
COMMENT ON FUNCTION settle.anchor(regnamespace) IS 'the last seal as text, to be kept outside of this server; null while nothing is sealed';

CREATE FUNCTION settle._anchor(book regnamespace) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	anchor text;
BEGIN
	EXECUTE format('SELECT s.seal_id || '':'' || encode(s.digest, ''hex'') FROM %s.seal AS s ORDER BY s.seal_id DESC LIMIT 1', book) INTO anchor;
	RETURN anchor;
END
$function$;
COMMENT ON FUNCTION settle._anchor(regnamespace) IS 'body of settle.anchor';
REVOKE ALL ON FUNCTION settle._anchor(regnamespace) FROM PUBLIC;

CREATE FUNCTION settle.verify(
	book regnamespace, anchor text DEFAULT NULL,
	OUT seal_id bigint, OUT run_id bigint, OUT source text, OUT ticket_key text, OUT finding text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_verify' LANGUAGE C;
COMMENT ON FUNCTION settle.verify(regnamespace, text) IS
	'one row for whatever was changed, added or removed behind the back of the extension after it was sealed; no row when all is well';
