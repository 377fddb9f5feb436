-- approve: how a statement moves from draft to approved

/*
 * Whoever moves a statement first passes the gate of the book beside other
 * movers, then locks the statement.  Closing and opening a period and runs take
 * the gate for themselves, so no statement is made anew between the look at it
 * and the move.
 */
CREATE FUNCTION settle._begin_move(
	book regnamespace, party text, period date, INOUT unit text, action text,
	OUT state text, OUT to_state text, OUT payable numeric, OUT content bytea, OUT submitted_by text
)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	legal text;
	subject text;
	hint text;
BEGIN
	IF party IS NULL OR period IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a statement needs a party and a period';
	END IF;
	PERFORM settle._pass_gate(book);
	EXECUTE format('SELECT coalesce($1, b.currency) FROM %1$s.book AS b', book) INTO unit USING unit;
	EXECUTE format('SELECT s.state, s.payable, s.content, s.submitted_by FROM %1$s.statement AS s WHERE s.period = $1 AND s.party = $2 AND s.unit = $3 FOR UPDATE', book)
		INTO state, payable, content, submitted_by USING period, party, unit;
	IF state IS NULL THEN
		PERFORM settle._check_period(book, period);
		EXECUTE format($sql$
			SELECT CASE WHEN EXISTS (SELECT FROM %1$s.period AS p WHERE p.period = $1 AND p.state = 'closed')
				THEN coalesce((SELECT 'It has one in ' || string_agg(s.unit, ', ' ORDER BY s.unit) || '.' FROM %1$s.statement AS s WHERE s.period = $1 AND s.party = $2),
					'No line of that period names it. Parties are named as in lines: kind, colon, code.')
				ELSE 'Statements are made when their period is closed, and this one is not.' END
		$sql$, book) INTO hint USING period, party;
		RAISE EXCEPTION USING ERRCODE = 'no_data_found',
			MESSAGE = format('party "%s" has no statement of %s in %s', party, period, unit),
			HINT = hint;
	END IF;
	subject := format('the statement of "%s" for %s in %s', party, period, unit);
	EXECUTE format($sql$
		SELECT max(m.to_state) FILTER (WHERE m.action = $2), string_agg(m.action, ', ' ORDER BY m.action) FILTER (WHERE m.action <> 'change')
		FROM %1$s.statement_move AS m WHERE m.from_state = $1
	$sql$, book) INTO to_state, legal USING state, action;
	IF to_state IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('cannot %s %s: it is %s', action, subject, state),
			HINT = coalesce(format('What may be done with it: %s.', legal), 'Nothing more may be done with it.');
	END IF;
	EXECUTE format('SELECT p.state FROM %1$s.period AS p WHERE p.period = $1', book) INTO legal USING period;
	IF legal IS DISTINCT FROM 'closed' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('cannot %s %s: the period is %s', action, subject, coalesce(legal, 'open')),
			HINT = 'Its statements are made anew when it is closed.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._begin_move(regnamespace, text, date, text, text) IS 'locks a statement that is to be moved; raises 55000 unless statement_move has the action for its state';

CREATE FUNCTION settle._end_move(book regnamespace, party text, period date, unit text, action text, to_state text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($sql$
		INSERT INTO %1$s.statement_log (party, period, unit, action, from_state, to_state, payable, actor, reason)
		SELECT s.party, s.period, s.unit, $4, s.state, $5, s.payable, $6, $7
		FROM %1$s.statement AS s WHERE s.period = $1 AND s.party = $2 AND s.unit = $3
	$sql$, book) USING period, party, unit, action, to_state, settle.actor(book), reason;
	EXECUTE format('UPDATE %1$s.statement AS s SET state = $4 WHERE s.period = $1 AND s.party = $2 AND s.unit = $3', book)
		USING period, party, unit, to_state;
END
$function$;
COMMENT ON FUNCTION settle._end_move(regnamespace, text, date, text, text, text, text) IS 'gives a statement its new state and notes who, when and why';

CREATE FUNCTION settle._void_changed(book regnamespace, period date, party text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	any_submitted boolean;
BEGIN
	EXECUTE format($sql$
		SELECT EXISTS (SELECT FROM %1$s.statement AS s JOIN %1$s.statement_move AS m ON m.from_state = s.state AND m.action = 'change'
			WHERE s.period = $1 AND ($2 IS NULL OR s.party = $2))
	$sql$, book) INTO any_submitted USING period, party;
	IF NOT any_submitted THEN
		RETURN;
	END IF;
	EXECUTE format($sql$
		WITH changed AS (
			SELECT s.party, s.unit, s.state, m.to_state, s.payable
			FROM %1$s.statement AS s
			JOIN %1$s.statement_move AS m ON m.from_state = s.state AND m.action = 'change'
			JOIN settle._statement_content($2, $1, $3) AS c ON c.statement_party = s.party AND c.unit = s.unit
			WHERE s.period = $1 AND c.content IS DISTINCT FROM s.content
		), voided AS (
			UPDATE %1$s.approval AS a SET voided_at = now(), voided_because = $4
			FROM changed AS c WHERE a.period = $1 AND a.party = c.party AND a.unit = c.unit AND a.voided_at IS NULL
		), noted AS (
			INSERT INTO %1$s.statement_log (party, period, unit, action, from_state, to_state, payable, actor, reason)
			SELECT c.party, $1, c.unit, 'change', c.state, c.to_state, c.payable, $5, $4 FROM changed AS c
		)
		UPDATE %1$s.statement AS s SET state = c.to_state FROM changed AS c WHERE s.period = $1 AND s.party = c.party AND s.unit = c.unit
	$sql$, book) USING period, book, party, reason, settle.actor(book);
END
$function$;
COMMENT ON FUNCTION settle._void_changed(regnamespace, date, text, text) IS 'sends statements back to draft that are no longer what was submitted, and voids their approvals';

CREATE FUNCTION settle._next_node(
	book regnamespace, party text, period date, unit text, amount numeric,
	OUT node smallint, OUT title text, OUT approvers text[], OUT not_submitter boolean
)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($sql$
		SELECT n.node, n.title, n.approvers, n.not_submitter
		FROM %1$s.approval_node AS n
		WHERE n.above <= $4 AND (n.unit IS NULL OR n.unit = $3) AND NOT EXISTS (
			SELECT FROM %1$s.approval AS a WHERE a.period = $1 AND a.party = $2 AND a.unit = $3 AND a.node = n.node AND a.voided_at IS NULL)
		ORDER BY n.node
		LIMIT 1
	$sql$, book) INTO node, title, approvers, not_submitter USING period, party, unit, amount;
END
$function$;
COMMENT ON FUNCTION settle._next_node(regnamespace, text, date, text, numeric) IS 'the next approval that a statement needs';

CREATE FUNCTION settle.submit_statement(book regnamespace, party text, period date, unit text DEFAULT NULL, reason text DEFAULT NULL)
	RETURNS text AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.submit_statement(regnamespace, text, date, text, text) IS
	'submits a statement for approval and returns its state: submitted, or approved where its amount needs no approval; unit is the currency of the book unless given';

CREATE FUNCTION settle._submit_statement(book regnamespace, party text, period date, unit text, reason text) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	move record;
	next_node record;
BEGIN
	move := settle._begin_move(book, party, period, unit, 'submit');
	EXECUTE format('UPDATE %1$s.statement AS s SET content = $4, submitted_by = $5, submitted_at = now() WHERE s.period = $1 AND s.party = $2 AND s.unit = $3', book)
		USING period, party, move.unit, settle._content_now(book, party, period, move.unit), settle.actor(book);
	PERFORM settle._end_move(book, party, period, move.unit, 'submit', move.to_state, reason);
	next_node := settle._next_node(book, party, period, move.unit, move.payable);
	IF next_node.node IS NULL THEN
		move := settle._begin_move(book, party, period, move.unit, 'approve');
		PERFORM settle._end_move(book, party, period, move.unit, 'approve', move.to_state, 'its amount needs no approval');
	END IF;
	RETURN move.to_state;
END
$function$;
COMMENT ON FUNCTION settle._submit_statement(regnamespace, text, date, text, text) IS 'body of settle.submit_statement';
REVOKE ALL ON FUNCTION settle._submit_statement(regnamespace, text, date, text, text) FROM PUBLIC;

CREATE FUNCTION settle.approve_statement(book regnamespace, party text, period date, unit text DEFAULT NULL, reason text DEFAULT NULL)
	RETURNS text AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.approve_statement(regnamespace, text, date, text, text) IS
	'gives the next approval that a submitted statement needs and returns its state: approved after the last one';

CREATE FUNCTION settle._approve_statement(book regnamespace, party text, period date, unit text, reason text) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	me text := settle.actor(book);
	move record;
	next_node record;
	given smallint;
BEGIN
	move := settle._begin_move(book, party, period, unit, 'approve');
	next_node := settle._next_node(book, party, period, move.unit, move.payable);
	IF me = party OR (next_node.not_submitter AND me = move.submitted_by) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('"%s" cannot approve the statement of "%s" for %s in %s', me, party, period, move.unit),
			DETAIL = CASE WHEN me = party THEN 'It is the own statement.' ELSE 'Who submitted a statement does not approve it.' END;
	END IF;
	IF next_node.approvers IS NOT NULL AND NOT settle._is_one_of(me, next_node.approvers) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('"%s" cannot give approval %s (%s)', me, next_node.node, next_node.title),
			DETAIL = format('It is for %s.', array_to_string(next_node.approvers, ', '));
	END IF;
	EXECUTE format('SELECT a.node FROM %1$s.approval AS a WHERE a.period = $1 AND a.party = $2 AND a.unit = $3 AND a.actor = $4 AND a.voided_at IS NULL', book)
		INTO given USING period, party, move.unit, me;
	IF given IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('"%s" has approved the statement of "%s" for %s in %s already', me, party, period, move.unit),
			DETAIL = format('Approval %s (%s) takes another person than approval %s.', next_node.node, next_node.title, given);
	END IF;
	PERFORM settle._require_content(book, party, period, move.unit, move.content);

	IF next_node.node IS NOT NULL THEN
		EXECUTE format('INSERT INTO %1$s.approval (party, period, unit, node, amount, content, actor, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', book)
			USING party, period, move.unit, next_node.node, move.payable, move.content, me, reason;
		next_node := settle._next_node(book, party, period, move.unit, move.payable);
	END IF;
	IF next_node.node IS NOT NULL THEN
		move.to_state := move.state;
	END IF;
	PERFORM settle._end_move(book, party, period, move.unit, 'approve', move.to_state, reason);
	RETURN move.to_state;
END
$function$;
COMMENT ON FUNCTION settle._approve_statement(regnamespace, text, date, text, text) IS 'body of settle.approve_statement';
REVOKE ALL ON FUNCTION settle._approve_statement(regnamespace, text, date, text, text) FROM PUBLIC;

CREATE FUNCTION settle._is_one_of(actor text, people text[]) RETURNS boolean
	LANGUAGE sql
	STABLE STRICT
	-- a role counts by its members, unless the actor is somebody a delegate acts for
	RETURN actor OPERATOR(pg_catalog.=) ANY (people) OR (actor OPERATOR(pg_catalog.=) session_user::pg_catalog.text AND EXISTS (
		SELECT FROM pg_catalog.pg_roles AS r
		WHERE r.rolname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (people) AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')));
COMMENT ON FUNCTION settle._is_one_of(text, text[]) IS 'whether somebody is one of some people, or a member of one of some roles';

CREATE FUNCTION settle.reject_statement(book regnamespace, party text, period date, unit text DEFAULT NULL, reason text DEFAULT NULL)
	RETURNS text AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.reject_statement(regnamespace, text, date, text, text) IS 'rejects a submitted or approved statement and voids its approvals; needs a reason';

CREATE FUNCTION settle._reject_statement(book regnamespace, party text, period date, unit text, reason text) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	move record;
BEGIN
	PERFORM settle._require_reason('rejecting a statement', reason);
	move := settle._begin_move(book, party, period, unit, 'reject');
	EXECUTE format('UPDATE %1$s.approval AS a SET voided_at = now(), voided_because = $4 WHERE a.period = $1 AND a.party = $2 AND a.unit = $3 AND a.voided_at IS NULL', book)
		USING period, party, move.unit, reason;
	PERFORM settle._end_move(book, party, period, move.unit, 'reject', move.to_state, reason);
	RETURN move.to_state;
END
$function$;
COMMENT ON FUNCTION settle._reject_statement(regnamespace, text, date, text, text) IS 'body of settle.reject_statement';
REVOKE ALL ON FUNCTION settle._reject_statement(regnamespace, text, date, text, text) FROM PUBLIC;
