-- label: names of projects, regions and channels, in any script

CREATE FUNCTION settle._create_label_table(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($table$
		CREATE TABLE %1$I.label (
			tree text NOT NULL CHECK (tree IN ('project', 'region', 'channel')),
			path text COLLATE "C" NOT NULL CHECK (tree = 'channel' OR path::%2$I.ltree::text = path),
			name text NOT NULL CHECK (name <> ''),
			name_en text CHECK (name_en <> ''),
			PRIMARY KEY (tree, path)
		);
		COMMENT ON TABLE %1$I.label IS 'names of projects, regions and channels, in any script: paths are codes; the empty path of a tree is all of it, the empty channel none';
	$table$, book, settle._ltree_schema());
	PERFORM settle._journal(book, 'label', '{tree,path}');
END
$function$;
COMMENT ON FUNCTION settle._create_label_table(name) IS 'makes the table of the names of projects, regions and channels of a book';

CREATE FUNCTION settle.set_label(
	book regnamespace, tree text, path text, name text DEFAULT NULL, name_en text DEFAULT NULL, reason text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.set_label(regnamespace, text, text, text, text, text) IS
	'names a project, a region or a channel, as views show it; a null name takes the name away';

CREATE FUNCTION settle._set_label(book regnamespace, tree text, path text, name text, name_en text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	touched bigint;
BEGIN
	IF tree IS NULL OR path IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a label needs a tree and a path';
	END IF;
	IF tree NOT IN ('project', 'region', 'channel') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown tree "%s"', tree),
			HINT = 'Known are project, region and channel.';
	END IF;
	IF name IS NOT NULL THEN
		EXECUTE format($sql$
			INSERT INTO %1$s.label AS l (tree, path, name, name_en) VALUES ($1, CASE $1 WHEN 'channel' THEN $2 ELSE $2::%2$I.ltree::text END, $3, $4)
			ON CONFLICT (tree, path) DO UPDATE SET name = excluded.name, name_en = excluded.name_en
				WHERE (l.name, l.name_en) IS DISTINCT FROM (excluded.name, excluded.name_en)
		$sql$, book, settle._ltree_schema()) USING tree, path, name, name_en;
		RETURN;
	END IF;
	EXECUTE format('DELETE FROM %s.label AS l WHERE l.tree = $1 AND l.path = $2', book) USING tree, path;
	GET DIAGNOSTICS touched = ROW_COUNT;
	IF touched = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('%s "%s" has no name', tree, path);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._set_label(regnamespace, text, text, text, text, text) IS 'body of settle.set_label';
REVOKE ALL ON FUNCTION settle._set_label(regnamespace, text, text, text, text, text) FROM PUBLIC;
