-- dispute: lines that are held until somebody has looked at them

CREATE FUNCTION settle._disputed_amount(book regnamespace, party text, period date, unit text, source name, ticket_key text, component text) RETURNS numeric
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	amount numeric;
BEGIN
	EXECUTE format($sql$
		SELECT greatest(0, sum(l.amount))
		FROM settle._party_lines($7, settle._statement_range($7, $2), $1) AS l
		JOIN %1$s.source AS so ON so.source_id = l.source_id
		WHERE l.unit = $3 AND so.source = $4 AND l.ticket_key = $5 AND ($6 IS NULL OR l.component = $6)
	$sql$, book) INTO amount USING party, period, unit, source, ticket_key, component, book;
	RETURN coalesce(amount, 0);
END
$function$;
COMMENT ON FUNCTION settle._disputed_amount(regnamespace, text, date, text, name, text, text) IS
	'what the lines of a ticket add to a statement; a deduction in dispute holds nothing, since holding it would pay more';

CREATE FUNCTION settle._hold(book regnamespace, party text, period date, unit text, amount numeric) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($sql$
		UPDATE %1$s.statement AS s SET held = s.held + $4, payable = due.payable, carried = s.payable + s.carried - $4 - due.payable
		FROM (
			SELECT greatest(0, trunc(o.payable + o.carried - $4, settle._minor_units(o.unit))) AS payable
			FROM %1$s.statement AS o WHERE o.period = $1 AND o.party = $2 AND o.unit = $3
		) AS due
		WHERE s.period = $1 AND s.party = $2 AND s.unit = $3
	$sql$, book) USING period, party, unit, amount;
END
$function$;
COMMENT ON FUNCTION settle._hold(regnamespace, text, date, text, numeric) IS 'holds an amount of a statement, or frees it where negative; the statement is locked';

CREATE FUNCTION settle.dispute_statement(
	book regnamespace, party text, period date, unit text DEFAULT NULL, reason text DEFAULT NULL,
	source name DEFAULT NULL, ticket_key text DEFAULT NULL, component text DEFAULT NULL
) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.dispute_statement(regnamespace, text, date, text, text, name, text, text) IS
	'holds the lines of a ticket, or of one component of it, in a statement; without a ticket all that is payable. Returns the number of the dispute';

CREATE FUNCTION settle._dispute_statement(
	book regnamespace, party text, period date, unit text, reason text, source name, ticket_key text, component text
) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	move record;
	of_source name := coalesce(source, CASE WHEN ticket_key IS NOT NULL THEN 'ticket'::name END);
	found_lines boolean;
	later date;
	other bigint;
	number bigint;
	amount numeric;
BEGIN
	PERFORM settle._require_reason('a dispute', reason);
	IF ticket_key IS NULL AND (component IS NOT NULL OR source IS NOT NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a dispute of a source or a component needs a ticket_key';
	END IF;
	move := settle._begin_move(book, party, period, unit, 'dispute');
	-- what the next statements bring forward has been said
	later := nullif(settle._closed_until(book), period);
	IF later IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('cannot dispute the statement of "%s" for %s in %s: statements of %s are made', party, period, move.unit, later),
			HINT = 'Reject the statement, or let the ticket be corrected.';
	END IF;

	IF ticket_key IS NULL THEN
		amount := move.payable;
	ELSE
		EXECUTE format($sql$
			SELECT EXISTS (SELECT FROM settle._party_lines($7, settle._statement_range($7, $2), $1) AS l JOIN %1$s.source AS so ON so.source_id = l.source_id
				WHERE l.unit = $3 AND so.source = $4 AND l.ticket_key = $5 AND ($6 IS NULL OR l.component = $6))
		$sql$, book) INTO found_lines USING party, period, move.unit, of_source, ticket_key, component, book;
		IF NOT found_lines THEN
			RAISE EXCEPTION USING ERRCODE = 'no_data_found',
				MESSAGE = format('the statement of "%s" for %s in %s has no line of %s "%s"', party, period, move.unit, of_source,
					ticket_key || coalesce(' ' || component, '')),
				HINT = 'settle.trace_payout lists the lines of a statement.';
		END IF;
		EXECUTE format($sql$
			SELECT min(d.dispute_id) FROM %1$s.dispute AS d
			WHERE d.period = $1 AND d.party = $2 AND d.unit = $3 AND d.source = $4 AND d.ticket_key = $5 AND d.held_until IS NULL
			AND (d.component = $6 OR d.component IS NULL OR $6 IS NULL)
		$sql$, book) INTO other USING period, party, move.unit, of_source, ticket_key, component;
		IF other IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('%s "%s" of "%s" is in dispute already', of_source, ticket_key, party),
				DETAIL = format('It is dispute %s.', other),
				HINT = 'settle.resolve_dispute ends a dispute.';
		END IF;
		amount := settle._disputed_amount(book, party, period, move.unit, of_source, ticket_key, component);
	END IF;

	EXECUTE format($sql$
		INSERT INTO %1$s.dispute (party, period, unit, source, ticket_key, component, amount, reason, opened_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING dispute_id
	$sql$, book) INTO number USING party, period, move.unit, of_source, ticket_key, component, amount, reason, settle.actor(book);
	PERFORM settle._hold(book, party, period, move.unit, amount);
	IF ticket_key IS NULL THEN
		EXECUTE format('UPDATE %1$s.approval AS a SET voided_at = now(), voided_because = $4 WHERE a.period = $1 AND a.party = $2 AND a.unit = $3 AND a.voided_at IS NULL', book)
			USING period, party, move.unit, reason;
		PERFORM settle._end_move(book, party, period, move.unit, 'dispute', move.to_state, reason);
	ELSE
		PERFORM settle._void_changed(book, period, party, reason);
	END IF;
	RETURN number;
END
$function$;
COMMENT ON FUNCTION settle._dispute_statement(regnamespace, text, date, text, text, name, text, text) IS 'body of settle.dispute_statement';
REVOKE ALL ON FUNCTION settle._dispute_statement(regnamespace, text, date, text, text, name, text, text) FROM PUBLIC;

CREATE FUNCTION settle.resolve_dispute(book regnamespace, dispute bigint, outcome text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.resolve_dispute(regnamespace, bigint, text, text) IS
	'ends a dispute: dismissed, what it held is payable under the same statement, if that is of the last closed period and not paid; else, or upheld, whose ticket is then corrected by its data, in the statement that is made next';

CREATE FUNCTION settle._resolve_dispute(book regnamespace, dispute bigint, outcome text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	me text := settle.actor(book);
	party text;
	period date;
	unit text;
	ticket_key text;
	opened_by text;
	known text;
	amount numeric;
	is_free boolean;
	move record;
BEGIN
	PERFORM settle._require_reason('resolving a dispute', reason);
	IF outcome IS NULL OR outcome NOT IN ('upheld', 'dismissed') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown outcome "%s" of a dispute', outcome),
			HINT = 'Known are upheld and dismissed.';
	END IF;
	PERFORM settle._pass_gate(book);
	EXECUTE format('SELECT d.party, d.period, d.unit, d.ticket_key, d.opened_by, d.outcome, d.amount FROM %1$s.dispute AS d WHERE d.dispute_id = $1 FOR UPDATE', book)
		INTO party, period, unit, ticket_key, opened_by, known, amount USING dispute;
	IF party IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('dispute %s does not exist', dispute);
	ELSIF known IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('dispute %s is %s already', dispute, known);
	ELSIF me IN (opened_by, party) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('"%s" cannot resolve dispute %s', me, dispute),
			DETAIL = 'Who opened a dispute, or gets the money, does not resolve it.';
	END IF;
	IF ticket_key IS NULL THEN
		move := settle._begin_move(book, party, period, unit, 'resolve');
	END IF;
	-- what later statements bring forward has been said, and those of a period that is open again are made anew
	EXECUTE format('SELECT s.state <> $4 AND s.period = (SELECT max(p.period) FROM %1$s.period AS p WHERE p.state = $5) FROM %1$s.statement AS s WHERE s.period = $1 AND s.party = $2 AND s.unit = $3 FOR UPDATE', book)
		INTO is_free USING period, party, unit, 'paid', 'closed';
	is_free := is_free AND outcome = 'dismissed';
	IF is_free THEN
		PERFORM settle._hold(book, party, period, unit, -amount);
	END IF;
	EXECUTE format($sql$
		UPDATE %1$s.dispute AS d SET outcome = $2, resolution = $3, resolved_by = $4, resolved_at = now(),
			held_until = CASE WHEN $5 THEN d.period - 1 ELSE (SELECT max(s.period) FROM %1$s.statement AS s WHERE s.party = d.party AND s.unit = d.unit) END
		WHERE d.dispute_id = $1
	$sql$, book) USING dispute, outcome, reason, me, is_free;
	IF ticket_key IS NULL THEN
		PERFORM settle._end_move(book, party, period, unit, 'resolve', move.to_state, reason);
	ELSIF is_free THEN
		PERFORM settle._void_changed(book, period, party, reason);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._resolve_dispute(regnamespace, bigint, text, text) IS 'body of settle.resolve_dispute';
REVOKE ALL ON FUNCTION settle._resolve_dispute(regnamespace, bigint, text, text) FROM PUBLIC;
