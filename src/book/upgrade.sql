-- upgrade: the shape of a book, and how a book of an earlier version comes to it

CREATE FUNCTION settle._version() RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	BEGIN ATOMIC
		SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname OPERATOR(pg_catalog.=) 'scrm_settle';
	END;
COMMENT ON FUNCTION settle._version() IS 'version of the extension in this database';

CREATE FUNCTION settle._is_later(version text, other text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN pg_catalog.string_to_array(version, '.')::integer[] OPERATOR(pg_catalog.>) pg_catalog.string_to_array(other, '.')::integer[];
COMMENT ON FUNCTION settle._is_later(text, text) IS 'whether one version comes after another';

CREATE FUNCTION settle._shape(book regnamespace) RETURNS TABLE (object text, definition text)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY
	WITH relation AS (
		SELECT c.*, format('%I', c.relname) AS name, pg_get_userbyid(c.relowner) AS owner FROM pg_class AS c WHERE c.relnamespace = book AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
	)
	SELECT 'schema', concat_ws(' ', 'owner ' || pg_get_userbyid(n.nspowner), 'comment ' || obj_description(n.oid, 'pg_namespace'))
	FROM pg_namespace AS n WHERE n.oid = book
	UNION ALL
	SELECT concat_ws(' ', CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'table' END, r.name),
		concat_ws(' ', 'owner ' || r.owner::text, a.amname, CASE WHEN r.relpersistence <> 'p' THEN 'not logged' END, r.reloptions, t.reloptions,
			s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle,
			CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END, 'comment ' || obj_description(r.oid, 'pg_class'))
	FROM relation AS r
	LEFT JOIN pg_class AS t ON t.oid = r.reltoastrelid
	LEFT JOIN pg_am AS a ON a.oid = r.relam
	LEFT JOIN pg_sequence AS s ON s.seqrelid = r.oid
	UNION ALL
	SELECT format('column %s.%I', r.name, a.attname),
		concat_ws(' ', format_type(a.atttypid, a.atttypmod), 'collation ' || nullif(a.attcollation, 0)::regcollation::text, CASE WHEN a.attnotnull THEN 'not null' END,
			CASE WHEN a.attgenerated <> '' THEN 'generated ' ELSE 'default ' END || pg_get_expr(d.adbin, d.adrelid), 'identity ' || nullif(a.attidentity, '')::text,
			'storage ' || a.attstorage::text, 'compression ' || nullif(a.attcompression, '')::text, 'statistics ' || nullif(a.attstattarget, -1),
			-- others than those that the server keeps for itself
			(SELECT string_agg(o, ' ') FROM unnest(a.attoptions) AS o WHERE o !~ '^pg_'), 'comment ' || col_description(r.oid, a.attnum))
	FROM relation AS r
	JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
	WHERE r.relkind <> 'S'
	UNION ALL
	SELECT format('constraint %I of %s', c.conname, r.name), concat_ws(' ', pg_get_constraintdef(c.oid), 'comment ' || obj_description(c.oid, 'pg_constraint'))
	FROM relation AS r JOIN pg_constraint AS c ON c.conrelid = r.oid
	UNION ALL
	SELECT format('index %I of %s', c.relname, r.name),
		concat_ws(' ', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'not valid' END, CASE WHEN i.indisclustered THEN 'clustered' END, 'comment ' || obj_description(c.oid, 'pg_class'))
	FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid JOIN pg_class AS c ON c.oid = i.indexrelid
	UNION ALL
	SELECT format('trigger %I of %s', t.tgname, r.name), concat_ws(' ', pg_get_triggerdef(t.oid), 'enabled ' || t.tgenabled::text, 'comment ' || obj_description(t.oid, 'pg_trigger'))
	FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
	UNION ALL
	SELECT format('rule %I of %s', w.rulename, r.name), concat_ws(' ', pg_get_ruledef(w.oid), 'enabled ' || w.ev_enabled::text)
	FROM relation AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
	UNION ALL
	SELECT format('replica identity of %s', r.name), r.relreplident::text
	FROM relation AS r WHERE r.relreplident NOT IN ('d', 'n')
	UNION ALL
	SELECT format('row security of %s', r.name), CASE WHEN r.relforcerowsecurity THEN 'forced' ELSE '' END
	FROM relation AS r WHERE r.relrowsecurity
	UNION ALL
	SELECT format('policy %I of %s', p.polname, r.name),
		concat_ws(' ', p.polcmd, CASE WHEN NOT p.polpermissive THEN 'restrictive' END, p.polroles::regrole[], 'using ' || pg_get_expr(p.polqual, r.oid), 'check ' || pg_get_expr(p.polwithcheck, r.oid))
	FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
	UNION ALL
	SELECT format('statistics %I', x.stxname), concat_ws(' ', pg_get_statisticsobjdef(x.oid), 'target ' || nullif(x.stxstattarget, -1))
	FROM pg_statistic_ext AS x WHERE x.stxnamespace = book
	UNION ALL
	SELECT format('grant of %s on %s to %s', g.privilege_type, o.what, coalesce(nullif(g.grantee, 0)::regrole::text, 'public')), concat_ws(' ', 'by ' || g.grantor::regrole::text, CASE WHEN g.is_grantable THEN 'with grant option' END)
	FROM (
		SELECT 'the schema', n.nspacl FROM pg_namespace AS n WHERE n.oid = book
		UNION ALL
		SELECT r.name, r.relacl FROM relation AS r
		UNION ALL
		SELECT format('%s.%I', r.name, a.attname), a.attacl FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attacl IS NOT NULL
	) AS o (what, acl)
	CROSS JOIN LATERAL aclexplode(o.acl) AS g
	WHERE g.grantee <> g.grantor;
END
$function$;
COMMENT ON FUNCTION settle._shape(regnamespace) IS 'all that a book consists of but its rows, as text without numbers of the database: equal where books are of one shape';

-- A definition that was dumped and restored reads otherwise where it means the
-- same: AND is flat then, and a column without a name has one from its cast.
CREATE FUNCTION settle._plain(definition text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
	RETURN pg_catalog.regexp_replace(
		pg_catalog.regexp_replace(definition, E'(::[a-z][a-z ."]*(\\([0-9,]+\\))?(\\[\\])?) AS "?\\w+"?', E'\\1', 'g'),
		'[()[:space:]]', '', 'g');
COMMENT ON FUNCTION settle._plain(text) IS 'a definition of settle._shape as it is compared: without parentheses, spaces and names after casts';

/*
 * The book is renamed and a new one made under its name, so that both are called
 * the same in whatever names them; then all of it is undone.
 */
CREATE FUNCTION settle._fresh_shape(book regnamespace) RETURNS jsonb
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	label name := (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = book);
	fresh regnamespace;
	shape jsonb;
BEGIN
	BEGIN
		EXECUTE format('ALTER SCHEMA %s RENAME TO %I', book, 'settle ' || gen_random_uuid());
		EXECUTE format('SELECT settle.create_book($1, b.time_zone, b.currency, b.period, b.settle_on) FROM %s.book AS b', book) INTO STRICT fresh USING label;
		shape := (SELECT jsonb_object_agg(s.object, s.definition) FROM settle._shape(fresh) AS s);
		RAISE EXCEPTION 'undone';
	EXCEPTION WHEN OTHERS THEN
		IF shape IS NULL THEN
			RAISE;
		END IF;
	END;
	RETURN shape;
END
$function$;
COMMENT ON FUNCTION settle._fresh_shape(regnamespace) IS 'the shape that a book of the same name and settings has when it is made now: objects and their definitions';

-- A step is a function settle._upgrade_<x>_<y>_<z>(book): it gives a book the shape
-- of that version, and finds the one of the version before.
CREATE FUNCTION settle._upgrade_steps(book regnamespace) RETURNS TABLE (version text, step regproc)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	has text;
BEGIN
	EXECUTE format('SELECT b.version FROM %s.book AS b', book) INTO STRICT has;
	RETURN QUERY
		SELECT s.version, s.step
		FROM (
			SELECT replace(substring(p.proname FROM E'^_upgrade_(\\d+_\\d+_\\d+)$'), '_', '.') AS version, p.oid::regproc AS step
			FROM pg_proc AS p
			WHERE p.pronamespace = 'settle'::regnamespace AND p.proargtypes[0] = 'regnamespace'::regtype AND p.pronargs = 1
		) AS s
		WHERE settle._is_later(s.version, has)
		ORDER BY string_to_array(s.version, '.')::integer[];
END
$function$;
COMMENT ON FUNCTION settle._upgrade_steps(regnamespace) IS 'what brings a book to the shape of the installed version, in order';

CREATE FUNCTION settle.upgrade_book(book regnamespace, OUT object text, OUT expected text, OUT found text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_admin_of_any_version' LANGUAGE C;
COMMENT ON FUNCTION settle.upgrade_book(regnamespace) IS
	'brings the tables of a book to the shape of the installed version, with their rows; one row for whatever is not as in a new book, no row when all is well';

CREATE FUNCTION settle._upgrade_book(book regnamespace, OUT object text, OUT expected text, OUT found text) RETURNS SETOF record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $function$
DECLARE
	has text;
	pending record;
BEGIN
	IF book NOT IN (SELECT b.book FROM settle.books() AS b) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('schema "%s" is not a book', book),
			HINT = 'settle.create_book makes one; settle.books() lists those that exist.';
	END IF;
	EXECUTE format('SELECT b.version FROM %s.book AS b', book) INTO STRICT has;
	IF settle._is_later(has, settle._version()) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('book "%s" is of version %s, the extension of %s', book, has, settle._version()),
			HINT = 'Install the later version and say ALTER EXTENSION scrm_settle UPDATE.';
	END IF;
	FOR pending IN SELECT * FROM settle._upgrade_steps(book) LOOP
		EXECUTE format('LOCK TABLE %s.gate IN ACCESS EXCLUSIVE MODE', book);
		EXECUTE format('SELECT %s($1)', pending.step) USING book;
		EXECUTE format('UPDATE %s.book SET version = $1', book) USING pending.version;
	END LOOP;
	RETURN QUERY
		SELECT f.key, f.value, s.definition
		FROM jsonb_each_text(settle._fresh_shape(book)) AS f
		LEFT JOIN settle._shape(book) AS s ON s.object = f.key
		WHERE settle._plain(s.definition) IS DISTINCT FROM settle._plain(f.value)
		ORDER BY f.key;
END
$function$;
COMMENT ON FUNCTION settle._upgrade_book(regnamespace) IS 'body of settle.upgrade_book';
REVOKE ALL ON FUNCTION settle._upgrade_book(regnamespace) FROM PUBLIC;
