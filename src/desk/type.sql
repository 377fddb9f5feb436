-- type: kinds of tickets, as rows: their forms, stages, moves and what follows

CREATE FUNCTION settle.note_type_change() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_note_type_change' LANGUAGE C;
COMMENT ON FUNCTION settle.note_type_change() IS 'statement trigger on the tables of ticket types of a book: refuses enabled types that do not compile and gives them a new revision';

CREATE FUNCTION settle.keep_enabled_type() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	old_row jsonb := to_jsonb(OLD);
	new_row jsonb := to_jsonb(NEW);
	enabled boolean;
BEGIN
	EXECUTE format('SELECT bool_or(t.enabled_at IS NOT NULL) FROM %I.ticket_type AS t WHERE (t.type, t.version) IN (($1, $2), ($3, $4))', TG_TABLE_SCHEMA)
		INTO enabled USING old_row ->> 'type', (old_row ->> 'version')::integer, new_row ->> 'type', (new_row ->> 'version')::integer;
	-- the title is for people; another stage breaks no ticket
	IF enabled AND NOT (TG_TABLE_NAME = 'stage' AND TG_OP = 'INSERT') AND old_row - 'title' IS DISTINCT FROM new_row - 'title' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('version %s of ticket type "%s" is enabled, its %s stay',
				coalesce(old_row, new_row) ->> 'version', coalesce(old_row, new_row) ->> 'type', CASE TG_TABLE_NAME WHEN 'stage' THEN 'stages' WHEN 'form_field' THEN 'fields' ELSE 'rows' END),
			HINT = 'Tickets were opened under it. Draft another version with settle.add_type.';
	END IF;
	RETURN coalesce(NEW, OLD);
END
$function$;
COMMENT ON FUNCTION settle.keep_enabled_type() IS 'row trigger on the types, fields and stages of a book: refuses to change what tickets may have been opened under';

CREATE FUNCTION settle._create_type_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	table_name text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.ticket_type (
			type text CHECK (type ~ '^[a-z][a-z0-9_]*$'),
			version integer CHECK (version > 0),
			title text,
			project %2$I.ltree,
			enabled_at timestamptz,
			enabled_by text,
			radius numeric CHECK (radius > 0 AND radius < 'Infinity'),
			PRIMARY KEY (type, version)
		);
		COMMENT ON COLUMN %1$I.ticket_type.radius IS 'metres around the place of a ticket within which somebody who checks in is there; null: check_in_radius of the book';
		COMMENT ON TABLE %1$I.ticket_type IS 'kinds of tickets in versions: one without enabled_at is a draft, the last that is enabled is what tickets are opened under; project is that of a ticket that names none';

		CREATE TABLE %1$I.form_field (
			type text,
			version integer,
			field text CHECK (field ~ '^[a-z][a-z0-9_]*$' AND field <> 'order'),
			region %2$I.ltree DEFAULT '',
			place integer NOT NULL,
			kind text NOT NULL CHECK (kind IN ('text', 'integer', 'numeric', 'boolean', 'date', 'timestamp', 'choice', 'choices', 'phone', 'place', 'reference')),
			title text,
			required text NOT NULL DEFAULT 'false',
			shown text NOT NULL DEFAULT 'true',
			takes text,
			choices text[] CHECK (cardinality(choices) > 0 AND array_position(choices, NULL) IS NULL),
			pattern text,
			relation regclass,
			key name,
			privacy text CHECK (privacy IN ('personal', 'sensitive')),
			PRIMARY KEY (type, version, field, region),
			FOREIGN KEY (type, version) REFERENCES %1$I.ticket_type,
			CONSTRAINT choices_of_a_choice CHECK ((choices IS NOT NULL) = (kind IN ('choice', 'choices'))),
			CONSTRAINT pattern_of_a_text CHECK (pattern IS NULL OR kind IN ('text', 'phone')),
			CONSTRAINT reference_names_a_relation_and_its_key CHECK ((kind = 'reference') = (relation IS NOT NULL) AND (relation IS NULL) = (key IS NULL))
		);
		COMMENT ON TABLE %1$I.form_field IS 'fields of forms, in order of place: of several rows of a field that of the nearest region counts; required and shown are conditions, takes an expression, over the ticket and the fields before it';
		COMMENT ON COLUMN %1$I.form_field.privacy IS 'personal or sensitive: masked in views, not kept in the journal, erased with the person, refused in rules';

		CREATE TABLE %1$I.stage (
			type text,
			version integer,
			stage text CHECK (stage ~ '^[a-z][a-z0-9_]*$'),
			place integer NOT NULL,
			title text,
			initial boolean NOT NULL DEFAULT false,
			ready boolean NOT NULL DEFAULT false,
			work boolean NOT NULL DEFAULT false,
			pauses boolean NOT NULL DEFAULT false,
			ends text CHECK (ends IN ('done', 'cancelled')),
			waits text,
			PRIMARY KEY (type, version, stage),
			FOREIGN KEY (type, version) REFERENCES %1$I.ticket_type
		);
		COMMENT ON TABLE %1$I.stage IS 'where tickets of a type stand: initial ones may be opened in, the first by place is where they are; ready ones are settled; in work ones time counts as work; in pausing ones, which wait for somebody else, the clock of deadlines stands; ends says how the way of a ticket ends there; in one that waits a ticket stands until its parts have ended, then it makes the move that waits names';

		CREATE TABLE %1$I.move (
			type text,
			version integer,
			move text CHECK (move ~ '^[a-z][a-z0-9_]*$'),
			from_stage text,
			to_stage text NOT NULL,
			region %2$I.ltree DEFAULT '',
			valid tstzrange DEFAULT '(,)' CHECK (NOT isempty(valid)),
			off boolean NOT NULL DEFAULT false,
			title text,
			guard text NOT NULL DEFAULT 'true',
			requires text[] NOT NULL DEFAULT '{}',
			who text[],
			PRIMARY KEY (type, version, move, from_stage, region, valid),
			FOREIGN KEY (type, version, from_stage) REFERENCES %1$I.stage (type, version, stage),
			FOREIGN KEY (type, version, to_stage) REFERENCES %1$I.stage (type, version, stage)
		);
		COMMENT ON TABLE %1$I.move IS 'ways from stage to stage: of the rows of a move that of the nearest region counts, of these the one that began last; off takes the move away there and then';
		COMMENT ON COLUMN %1$I.move.who IS 'who may make it: templates of roles, and of parties that a delegate acts for, such as staff:{worker}; null: whoever may change tickets';

		CREATE TABLE %1$I.move_node (
			type text,
			version integer,
			move text,
			node smallint,
			title text NOT NULL,
			approvers text[],
			PRIMARY KEY (type, version, move, node),
			FOREIGN KEY (type, version) REFERENCES %1$I.ticket_type
		);
		COMMENT ON TABLE %1$I.move_node IS 'approvals that a move needs, each by another person and none by who makes it; approvers null: whoever has the level approver';

		CREATE TABLE %1$I.follow_up (
			type text,
			version integer,
			move text,
			follow_up text CHECK (follow_up ~ '^[a-z][a-z0-9_]*$'),
			applies_when text NOT NULL DEFAULT 'true',
			after interval NOT NULL DEFAULT '0' CHECK (after >= '0'),
			opens text,
			fields text,
			platform text CHECK (platform <> ''),
			kind text CHECK (kind <> ''),
			payload text,
			note text,
			PRIMARY KEY (type, version, move, follow_up),
			FOREIGN KEY (type, version) REFERENCES %1$I.ticket_type,
			CONSTRAINT opens_a_ticket_or_sends_a_message_or_notes CHECK (num_nonnulls(opens, platform, note) = 1),
			CONSTRAINT fields_of_a_ticket CHECK (fields IS NULL OR opens IS NOT NULL),
			CONSTRAINT kind_and_payload_of_a_message CHECK ((platform IS NULL) = (kind IS NULL) AND (platform IS NULL) = (payload IS NULL))
		);
		COMMENT ON TABLE %1$I.follow_up IS 'what a move brings with it: a ticket of the type opens, a message to a platform, or a note; fields and payload are expressions that give jsonb, note is a template';

		CREATE SEQUENCE %1$I.ticket_serial;

		CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON %1$I.ticket_type FOR EACH ROW WHEN (OLD.enabled_at IS NOT NULL) EXECUTE FUNCTION settle.keep_enabled_type();
		CREATE TRIGGER kept BEFORE INSERT OR UPDATE OR DELETE ON %1$I.form_field FOR EACH ROW EXECUTE FUNCTION settle.keep_enabled_type();
		CREATE TRIGGER kept BEFORE INSERT OR UPDATE OR DELETE ON %1$I.stage FOR EACH ROW EXECUTE FUNCTION settle.keep_enabled_type();
	$tables$, book, settle._ltree_schema());
	FOREACH table_name IN ARRAY ARRAY['ticket_type', 'form_field', 'stage', 'move', 'move_node', 'follow_up'] LOOP
		EXECUTE format('CREATE TRIGGER types_changed AFTER INSERT OR UPDATE OR DELETE ON %1$I.%2$I FOR EACH STATEMENT EXECUTE FUNCTION settle.note_type_change()', book, table_name);
		EXECUTE format('CREATE TRIGGER append_only BEFORE TRUNCATE ON %1$I.%2$I FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book, table_name);
	END LOOP;
	PERFORM settle._journal(book, 'ticket_type', '{type,version}');
	PERFORM settle._journal(book, 'form_field', '{type,version,field,region}');
	PERFORM settle._journal(book, 'stage', '{type,version,stage}');
	PERFORM settle._journal(book, 'move', '{type,version,move,from_stage,region}');
	PERFORM settle._journal(book, 'move_node', '{type,version,move,node}');
	PERFORM settle._journal(book, 'follow_up', '{type,version,move,follow_up}');
END
$function$;
COMMENT ON FUNCTION settle._create_type_tables(name) IS 'makes the tables of ticket types of a book';

-- The lists of a type's document, the table of each, and what stands in a row where the document does not say.
CREATE FUNCTION settle._type_parts() RETURNS TABLE (part text, relation text, defaults jsonb)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	BEGIN ATOMIC
		SELECT v.part, v.relation, v.defaults
		FROM (VALUES
			('fields', 'form_field', '{"region": "", "required": "false", "shown": "true"}'::jsonb),
			('stages', 'stage', '{"initial": false, "ready": false, "work": false, "pauses": false}'),
			('moves', 'move', '{"region": "", "valid": "(,)", "off": false, "guard": "true", "requires": []}'),
			('nodes', 'move_node', '{}'),
			('follow_ups', 'follow_up', '{"applies_when": "true", "after": "0"}')) AS v (part, relation, defaults);
	END;
COMMENT ON FUNCTION settle._type_parts() IS 'the lists that the document of a ticket type holds';

CREATE FUNCTION settle.add_type(book regnamespace, definition jsonb, reason text DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME', 'settle_add_type' LANGUAGE C;
COMMENT ON FUNCTION settle.add_type(regnamespace, jsonb, text) IS
	'drafts a version of a ticket type from a document and returns its number; a document that names a version adds its rows to that one';

CREATE FUNCTION settle._add_type(book regnamespace, definition jsonb, reason text) RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	of_type text := definition ->> 'type';
	number integer;
	part record;
	unknown text;
	columns text;
	said text;
	failing text;
	schema_name text;
	relation text;
	broken text;
	law text;
BEGIN
	IF definition IS NULL OR jsonb_typeof(definition) <> 'object' OR of_type IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'the document of a ticket type names no type',
			HINT = 'It is an object with "type", "fields", "stages", "moves", and what else docs/desk.md lists.';
	END IF;
	SELECT k INTO unknown FROM jsonb_object_keys(definition) AS k
	WHERE k <> ALL ('{type,version,title,project,radius}') AND k NOT IN (SELECT p.part FROM settle._type_parts() AS p) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_column',
			MESSAGE = format('the document of ticket type "%s" has "%s", which means nothing', of_type, unknown),
			HINT = 'It has type, version, title, project, radius, fields, stages, moves, nodes and follow_ups.';
	END IF;

	number := (definition ->> 'version')::integer;
	IF number IS NULL THEN
		EXECUTE format('SELECT coalesce(max(t.version), 0) + 1 FROM %s.ticket_type AS t WHERE t.type = $1', book) INTO number USING of_type;
		EXECUTE format('INSERT INTO %s.ticket_type SELECT (jsonb_populate_record(NULL::%1$s.ticket_type, $1)).*', book)
			USING jsonb_build_object('type', of_type, 'version', number, 'title', definition -> 'title', 'project', definition -> 'project', 'radius', definition -> 'radius');
	ELSE
		EXECUTE format('SELECT t.version FROM %s.ticket_type AS t WHERE t.type = $1 AND t.version = $2', book) INTO number USING of_type, number;
		IF number IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('ticket type "%s" has no version %s', of_type, definition ->> 'version'),
				HINT = 'Without a version the document drafts the next one.';
		END IF;
	END IF;
	FOR part IN SELECT p.part, p.relation, p.defaults FROM settle._type_parts() AS p WHERE definition ? p.part LOOP
		IF jsonb_typeof(definition -> part.part) <> 'array' OR definition -> part.part @? '$[*] ? (@.type() != "object")' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" of ticket type "%s" is no list of objects', part.part, of_type);
		END IF;
		SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) INTO columns FROM pg_attribute AS a
		WHERE a.attrelid = format('%s.%I', book, part.relation)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL ('{type,version}');
		SELECT k INTO unknown FROM jsonb_array_elements(definition -> part.part) AS e, jsonb_object_keys(e) AS k
		WHERE k <> ALL (string_to_array(columns, ', ')) LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_column',
				MESSAGE = format('"%s" of ticket type "%s" have no "%s"', part.part, of_type, unknown),
				HINT = format('They have %s.', columns);
		END IF;
		EXECUTE format($sql$
			INSERT INTO %1$s.%2$I
			SELECT (jsonb_populate_record(NULL::%1$s.%2$I, $1 || jsonb_build_object('place', e.place) || e.element || $2)).*
			FROM jsonb_array_elements($3) WITH ORDINALITY AS e (element, place)
		$sql$, book, part.relation) USING part.defaults, jsonb_build_object('type', of_type, 'version', number), definition -> part.part;
	END LOOP;
	RETURN number;
EXCEPTION WHEN check_violation THEN
	GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, failing = PG_EXCEPTION_DETAIL, schema_name = SCHEMA_NAME, relation = TABLE_NAME, broken = CONSTRAINT_NAME;
	SELECT pg_get_expr(c.conbin, c.conrelid) INTO law FROM pg_constraint AS c
	WHERE c.contype = 'c' AND c.conname = broken AND c.conrelid = to_regclass(format('%I.%I', schema_name, relation));
	IF law IS NULL THEN
		RAISE;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = said, DETAIL = failing, HINT = format('It wants %s.', law),
		SCHEMA = schema_name, TABLE = relation, CONSTRAINT = broken;
END
$function$;
COMMENT ON FUNCTION settle._add_type(regnamespace, jsonb, text) IS 'body of settle.add_type';
REVOKE ALL ON FUNCTION settle._add_type(regnamespace, jsonb, text) FROM PUBLIC;

CREATE FUNCTION settle.type_document(book regnamespace, type text, version integer DEFAULT NULL)
	RETURNS jsonb AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.type_document(regnamespace, text, integer) IS
	'a version of a ticket type, its last one unless given, as a document of which settle.add_type drafts the next';

CREATE FUNCTION settle._type_document(book regnamespace, type text, version integer) RETURNS jsonb
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	document jsonb;
	number integer;
	part record;
	rows jsonb;
BEGIN
	EXECUTE format($sql$
		SELECT t.version, jsonb_strip_nulls(jsonb_build_object('type', t.type, 'title', t.title, 'project', t.project::text, 'radius', t.radius))
		FROM %s.ticket_type AS t WHERE t.type = $1 AND ($2 IS NULL OR t.version = $2) ORDER BY t.version DESC LIMIT 1
	$sql$, book) INTO number, document USING type, version;
	IF document IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('ticket type "%s" does not exist%s', type, ' in version ' || version);
	END IF;
	FOR part IN SELECT p.part, p.relation, p.defaults FROM settle._type_parts() AS p LOOP
		EXECUTE format($sql$
			SELECT jsonb_agg(e.element - 'place' ORDER BY (e.element -> 'place')::integer, e.element::text)
			FROM (SELECT (SELECT jsonb_object_agg(k.key, k.value) FROM jsonb_each(jsonb_strip_nulls(to_jsonb(r) - '{type,version}'::text[])) AS k WHERE $3 -> k.key IS DISTINCT FROM k.value) AS element
				FROM %1$s.%2$I AS r WHERE r.type = $1 AND r.version = $2) AS e
		$sql$, book, part.relation) INTO rows USING type, number,
			-- as to_jsonb spells them
			part.defaults || CASE WHEN part.relation = 'follow_up' THEN '{"after": "00:00:00"}'::jsonb ELSE '{}' END;
		IF rows IS NOT NULL THEN
			document := document || jsonb_build_object(part.part, rows);
		END IF;
	END LOOP;
	RETURN document;
END
$function$;
COMMENT ON FUNCTION settle._type_document(regnamespace, text, integer) IS 'body of settle.type_document';
REVOKE ALL ON FUNCTION settle._type_document(regnamespace, text, integer) FROM PUBLIC;

CREATE FUNCTION settle.enable_type(book regnamespace, type text, version integer DEFAULT NULL, reason text DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.enable_type(regnamespace, text, integer, text) IS
	'has tickets opened under a version of a type, its last draft unless given, and returns its number; those that are open keep theirs';

CREATE FUNCTION settle._enable_type(book regnamespace, type text, version integer, reason text) RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	number integer;
BEGIN
	EXECUTE format($sql$
		UPDATE %1$s.ticket_type AS t SET enabled_at = now(), enabled_by = $3
		WHERE t.enabled_at IS NULL AND t.type = $1
			AND t.version = coalesce($2, (SELECT max(d.version) FROM %1$s.ticket_type AS d WHERE d.type = $1 AND d.enabled_at IS NULL))
		RETURNING t.version
	$sql$, book) INTO number USING type, version, settle.actor(book);
	IF number IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('ticket type "%s" has no draft%s', type, ' of version ' || version),
			HINT = 'settle.add_type makes one.';
	END IF;
	RETURN number;
END
$function$;
COMMENT ON FUNCTION settle._enable_type(regnamespace, text, integer, text) IS 'body of settle.enable_type';
REVOKE ALL ON FUNCTION settle._enable_type(regnamespace, text, integer, text) FROM PUBLIC;
