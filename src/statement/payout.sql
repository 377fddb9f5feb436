-- payout: what a bank or a payment provider is told, and what it answers

CREATE FUNCTION settle._payout_reference(book regnamespace, party text, period date, unit text) RETURNS text
	LANGUAGE sql
	IMMUTABLE STRICT
	RETURN 'S'::text OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
		pg_catalog.jsonb_build_array(book::pg_catalog.text, party, period, unit)::pg_catalog.text, 'UTF8')), 'hex'), 31);
COMMENT ON FUNCTION settle._payout_reference(regnamespace, text, date, text) IS
	'the reference of a statement at the payment provider: always the same 32 letters and digits, so that a file sent twice pays once';

CREATE FUNCTION settle.payout_file(
	book regnamespace, period date, unit text DEFAULT NULL,
	OUT order_no bigint, OUT line_no bigint, OUT reference text, OUT party text, OUT account text, OUT amount_minor bigint, OUT currency text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.payout_file(regnamespace, date, text) IS
	'the approved statements of a period that are to be paid, to confirmed parties with an account: amounts in whole minor units, at most 50 receivers an order, the same reference for the same statement';

CREATE FUNCTION settle._payout_file(
	book regnamespace, period date, unit text
) RETURNS TABLE (
	order_no bigint, line_no bigint, reference text, party text, account text, amount_minor bigint, currency text
)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	state text;
	of_party text;
	in_unit text;
	submitted bytea;
BEGIN
	EXECUTE format('SELECT p.state FROM %1$s.period AS p WHERE p.period = $1', book) INTO state USING period;
	IF state <> 'closed' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('cannot pay out period %s: it is %s', period, state),
			HINT = 'They are made anew when it is closed.';
	END IF;
	EXECUTE format($sql$
		SELECT s.party, s.unit, s.content FROM %1$s.statement AS s
		LEFT JOIN settle._statement_content($1, $2) AS c ON c.statement_party = s.party AND c.unit = s.unit
		WHERE s.period = $2 AND s.state = 'approved' AND s.content IS DISTINCT FROM c.content
		ORDER BY s.party COLLATE "C" LIMIT 1
	$sql$, book) INTO of_party, in_unit, submitted USING book, period;
	IF of_party IS NOT NULL THEN
		PERFORM settle._require_content(book, of_party, period, in_unit, submitted);
	END IF;
	RETURN QUERY EXECUTE format($sql$
		SELECT (f.n - 1) / 50 + 1, (f.n - 1) %% 50 + 1, settle._payout_reference($1, f.party, $2, f.unit), f.party, f.account,
			(f.payable * 10::numeric ^ settle._minor_units(f.unit))::bigint, f.unit
		FROM (
			SELECT s.party, s.unit, s.payable, p.account, row_number() OVER (ORDER BY s.party COLLATE "C") AS n
			FROM %1$s.statement AS s
			JOIN %1$s.party AS p ON p.party = s.party
			WHERE s.period = $2 AND s.unit = coalesce($3, (SELECT b.currency FROM %1$s.book AS b))
			AND s.state = 'approved' AND s.payable > 0 AND p.confirmed_at IS NOT NULL AND p.account IS NOT NULL
		) AS f
		ORDER BY f.n
	$sql$, book) USING book, period, unit;
END
$function$;
COMMENT ON FUNCTION settle._payout_file(regnamespace, date, text) IS 'body of settle.payout_file';
REVOKE ALL ON FUNCTION settle._payout_file(regnamespace, date, text) FROM PUBLIC;

CREATE FUNCTION settle.pay_statement(
	book regnamespace, party text, period date, unit text DEFAULT NULL,
	reference text DEFAULT NULL, paid_at timestamptz DEFAULT pg_catalog.now(), reason text DEFAULT NULL
) RETURNS text AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.pay_statement(regnamespace, text, date, text, text, timestamptz, text) IS
	'notes that an approved statement was paid, and returns its reference: that of settle.payout_file unless given. Noted again with the same reference it changes nothing';

CREATE FUNCTION settle._pay_statement(
	book regnamespace, party text, period date, unit text, reference text, paid_at timestamptz, reason text
) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	move record;
	in_unit text;
	known text;
	platform text;
BEGIN
	PERFORM settle._pass_gate(book);
	EXECUTE format('SELECT coalesce($1, b.currency), b.payout_platform FROM %1$s.book AS b', book) INTO in_unit, platform USING unit;
	reference := coalesce(reference, settle._payout_reference(book, party, period, in_unit));
	-- a provider may tell of a payment more than once
	EXECUTE format($sql$
		SELECT p.reference FROM %1$s.statement AS s JOIN %1$s.payment AS p ON p.period = s.period AND p.party = s.party AND p.unit = s.unit
		WHERE s.period = $1 AND s.party = $2 AND s.unit = $3 FOR UPDATE OF s
	$sql$, book) INTO known USING period, party, in_unit;
	IF known = reference THEN
		RETURN known;
	ELSIF known IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the statement of "%s" for %s in %s is paid already', party, period, in_unit),
			DETAIL = format('It was paid with the reference "%s", not "%s".', known, reference);
	END IF;

	move := settle._begin_move(book, party, period, in_unit, 'pay');
	PERFORM settle._require_confirmed(book, party);
	IF move.payable = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the statement of "%s" for %s in %s has nothing to be paid', party, period, in_unit),
			DETAIL = 'A negative balance is carried into the next statement, never paid out.';
	END IF;
	PERFORM settle._require_content(book, party, period, in_unit, move.content);
	EXECUTE format('INSERT INTO %1$s.payment (party, period, unit, reference, amount, paid_at, actor, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', book)
		USING party, period, in_unit, reference, move.payable, coalesce(paid_at, now()), settle.actor(book), reason;
	EXECUTE format('UPDATE %1$s.statement AS s SET paid = s.payable WHERE s.period = $1 AND s.party = $2 AND s.unit = $3', book)
		USING period, party, in_unit;
	PERFORM settle._end_move(book, party, period, in_unit, 'pay', move.to_state, coalesce(reason, reference));
	IF platform IS NOT NULL THEN
		PERFORM settle.send(book, platform, 'payout sent', party, jsonb_build_object(
				'party', party, 'period', period, 'currency', in_unit, 'amount', move.payable, 'reference', reference, 'paid_at', coalesce(paid_at, now())),
			key => format('payout sent %s', settle._payout_reference(book, party, period, in_unit)));
	END IF;
	RETURN reference;
END
$function$;
COMMENT ON FUNCTION settle._pay_statement(regnamespace, text, date, text, text, timestamptz, text) IS 'body of settle.pay_statement';
REVOKE ALL ON FUNCTION settle._pay_statement(regnamespace, text, date, text, text, timestamptz, text) FROM PUBLIC;
