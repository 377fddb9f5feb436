-- stage: opening tickets and moving them

CREATE FUNCTION settle.vet_ticket() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_vet_ticket' LANGUAGE C;
COMMENT ON FUNCTION settle.vet_ticket() IS 'row trigger before tickets of a book that have a type are written: has their details as the form says, and refuses stages that no move leads to';

CREATE FUNCTION settle._create_stage_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($table$
		CREATE TABLE %1$I.ticket_approval (
			ticket_id text,
			move text,
			node smallint,
			actor text NOT NULL,
			content bytea NOT NULL,
			approved_at timestamptz NOT NULL DEFAULT now(),
			reason text,
			PRIMARY KEY (ticket_id, move, node)
		);
		COMMENT ON TABLE %1$I.ticket_approval IS 'approvals of moves that were not made yet, with a digest of what was approved; the journal keeps all';
	$table$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_stage_tables(name) IS 'makes the table of approvals of moves of a book';

CREATE FUNCTION settle._ticket_content(details jsonb, amount numeric) RETURNS bytea
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws(' ', pg_catalog.trim_scale(amount)::text, details::text), 'UTF8'));
COMMENT ON FUNCTION settle._ticket_content(jsonb, numeric) IS 'digest of what is approved of a ticket: its amount and its details';

CREATE FUNCTION settle.open_ticket(
	book regnamespace, type text, fields jsonb DEFAULT '{}', region text DEFAULT NULL, project text DEFAULT NULL, amount numeric DEFAULT 0,
	customer text DEFAULT NULL, worker text DEFAULT NULL, dealer text DEFAULT NULL, channel text DEFAULT NULL, order_ref text DEFAULT NULL,
	stage text DEFAULT NULL, ticket_id text DEFAULT NULL, opened_at timestamptz DEFAULT NULL, reason text DEFAULT NULL
) RETURNS text AS 'MODULE_PATHNAME', 'settle_open_ticket' LANGUAGE C;
COMMENT ON FUNCTION settle.open_ticket IS
	'opens a ticket of a type and returns its id; the project is that of the type and the stage its first one unless given';

CREATE FUNCTION settle.move_ticket(book regnamespace, ticket_id text, move text, fields jsonb DEFAULT NULL, reason text DEFAULT NULL)
	RETURNS text AS 'MODULE_PATHNAME', 'settle_move_ticket' LANGUAGE C;
COMMENT ON FUNCTION settle.move_ticket(regnamespace, text, text, jsonb, text) IS
	'makes a move of a ticket, filling in fields of its form, and returns the stage that it leads to';

CREATE FUNCTION settle._require_ticket(book regnamespace, ticket_id text) RETURNS void
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	typed boolean;
BEGIN
	EXECUTE format('SELECT t.type IS NOT NULL FROM %s.ticket AS t WHERE t.ticket_id = $1', book) INTO typed USING ticket_id;
	IF typed IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no ticket "%s"', book, ticket_id);
	ELSIF NOT typed THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('ticket "%s" has no type', ticket_id),
			HINT = 'Give it one: UPDATE the column type of its row.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._require_ticket(regnamespace, text) IS 'raises 42704 or 55000 where there is no such ticket, or it has no type';

CREATE FUNCTION settle.legal_moves(
	book regnamespace, ticket_id text,
	OUT move text, OUT to_stage text, OUT title text, OUT missing text, OUT approvals text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_legal_moves' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.legal_moves(regnamespace, text) IS
	'the moves of a ticket that whoever asks may make now, with the fields and the approvals that each still needs';

CREATE FUNCTION settle.approve_move(book regnamespace, ticket_id text, move text, reason text DEFAULT NULL)
	RETURNS boolean AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.approve_move(regnamespace, text, text, text) IS
	'gives the next approval that a move of a ticket needs, for its amount and form as they are; true when it was the last one';

CREATE FUNCTION settle._approve_move(book regnamespace, ticket_id text, move text, reason text) RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	me text := settle.actor(book);
	of_type text;
	of_version integer;
	in_stage text;
	approved bytea;
	next_node smallint;
	next_title text;
	approvers text[];
	given smallint;
	last boolean;
BEGIN
	IF ticket_id IS NULL OR move IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a ticket and a move must be given';
	END IF;
	EXECUTE format('SELECT t.type, t.type_version, t.stage, settle._ticket_content(t.details, t.amount) FROM %s.ticket AS t WHERE t.ticket_id = $1 AND t.type IS NOT NULL FOR UPDATE', book)
		INTO of_type, of_version, in_stage, approved USING ticket_id;
	IF of_type IS NULL THEN
		PERFORM settle._require_ticket(book, ticket_id);
	END IF;
	-- what was approved of it as it was before counts no more
	EXECUTE format('DELETE FROM %s.ticket_approval AS a WHERE a.ticket_id = $1 AND a.content <> $2', book) USING ticket_id, approved;
	EXECUTE format($sql$
		SELECT n.node, n.title, n.approvers FROM %1$s.move_node AS n
		WHERE n.type = $1 AND n.version = $2 AND n.move = $3
			AND EXISTS (SELECT FROM %1$s.move AS m WHERE m.type = $1 AND m.version = $2 AND m.move = $3 AND m.from_stage = $4 AND NOT m.off)
			AND NOT EXISTS (SELECT FROM %1$s.ticket_approval AS a WHERE a.ticket_id = $5 AND a.move = $3 AND a.node = n.node)
		ORDER BY n.node LIMIT 1
	$sql$, book) INTO next_node, next_title, approvers USING of_type, of_version, move, in_stage, ticket_id;
	IF next_node IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('no approval of move "%s" of ticket "%s" is wanted in stage "%s"', move, ticket_id, in_stage);
	END IF;
	IF approvers IS NOT NULL AND NOT settle._is_one_of(me, approvers) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('"%s" cannot give approval %s (%s)', me, next_node, next_title),
			DETAIL = format('It is for %s.', array_to_string(approvers, ', '));
	END IF;
	EXECUTE format('SELECT a.node FROM %s.ticket_approval AS a WHERE a.ticket_id = $1 AND a.move = $2 AND a.actor = $3', book) INTO given USING ticket_id, move, me;
	IF given IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('"%s" has approved move "%s" of ticket "%s" already', me, move, ticket_id),
			DETAIL = format('Approval %s (%s) takes another person than approval %s.', next_node, next_title, given);
	END IF;
	EXECUTE format('INSERT INTO %s.ticket_approval (ticket_id, move, node, actor, content, reason) VALUES ($1, $2, $3, $4, $5, $6)', book)
		USING ticket_id, move, next_node, me, approved, reason;
	EXECUTE format('INSERT INTO %s.ticket_event (ticket_id, actor, what, move, now, reason) VALUES ($1, $2, $3, $4, $5, $6)', book)
		USING ticket_id, me, 'approved', move, next_title, reason;
	EXECUTE format($sql$
		SELECT NOT EXISTS (SELECT FROM %1$s.move_node AS n WHERE n.type = $1 AND n.version = $2 AND n.move = $3 AND n.node > $4)
	$sql$, book) INTO last USING of_type, of_version, move, next_node;
	RETURN last;
END
$function$;
COMMENT ON FUNCTION settle._approve_move(regnamespace, text, text, text) IS 'body of settle.approve_move';
REVOKE ALL ON FUNCTION settle._approve_move(regnamespace, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle.upgrade_ticket(book regnamespace, ticket_id text, fields jsonb DEFAULT NULL, stage text DEFAULT NULL, version integer DEFAULT NULL, reason text DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME', 'settle_as_staff' LANGUAGE C;
COMMENT ON FUNCTION settle.upgrade_ticket(regnamespace, text, jsonb, text, integer, text) IS
	'moves a ticket over to another version of its type, the last one unless given, and returns its number; fields that it does not have are left out, a null in fields leaves out one that it has';

CREATE FUNCTION settle._upgrade_ticket(book regnamespace, ticket_id text, fields jsonb, stage text, version integer, reason text) RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	number integer;
BEGIN
	PERFORM settle._settle_at_once(book, true);
	EXECUTE format($sql$
		UPDATE %1$s.ticket AS t SET type_version = v.version, stage = coalesce($3, t.stage),
			details = (SELECT coalesce(jsonb_object_agg(d.key, d.value), '{}') FROM jsonb_each(t.details) AS d
				WHERE EXISTS (SELECT FROM %1$s.form_field AS f WHERE f.type = t.type AND f.version = v.version AND f.field = d.key)) || coalesce($2, '{}')
		FROM (SELECT x.type, coalesce($4, max(y.version)) AS version FROM %1$s.ticket AS x JOIN %1$s.ticket_type AS y ON y.type = x.type AND y.enabled_at IS NOT NULL
			WHERE x.ticket_id = $1 GROUP BY x.type) AS v
		WHERE t.ticket_id = $1
		RETURNING t.type_version
	$sql$, book) INTO number USING ticket_id, fields, stage, version;
	PERFORM settle._settle_at_once(book, false);
	IF number IS NULL THEN
		PERFORM settle._require_ticket(book, ticket_id);
	END IF;
	RETURN number;
END
$function$;
COMMENT ON FUNCTION settle._upgrade_ticket(regnamespace, text, jsonb, text, integer, text) IS 'body of settle.upgrade_ticket';
REVOKE ALL ON FUNCTION settle._upgrade_ticket(regnamespace, text, jsonb, text, integer, text) FROM PUBLIC;
