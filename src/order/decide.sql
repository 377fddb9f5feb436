-- decide: what people say about which order a ticket is about

CREATE FUNCTION settle._open_link(book regnamespace, platform text, ticket_no text, shop text) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	found text[];
BEGIN
	IF platform IS NULL OR ticket_no IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a platform and a ticket must be given';
	END IF;
	EXECUTE format('SELECT array_agg(t.shop ORDER BY t.shop) FROM %s.platform_ticket AS t WHERE t.platform = $1 AND t.ticket_no = $2 AND ($3 IS NULL OR t.shop = $3)', book)
		INTO found USING platform, ticket_no, shop;
	IF found IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no ticket "%s" of platform "%s"', book, ticket_no, platform);
	END IF;
	IF cardinality(found) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'ambiguous_parameter',
			MESSAGE = format('platform "%s" has %s tickets "%s"', platform, cardinality(found), ticket_no),
			HINT = format('Name the shop, one of %s.', array_to_string(found, ', '));
	END IF;
	-- linking and deciding wait for each other
	EXECUTE format('LOCK TABLE %s.ticket_link IN SHARE ROW EXCLUSIVE MODE', book);
	EXECUTE format($sql$
		INSERT INTO %1$s.ticket_link (platform, shop, ticket_no, state, staging_id)
		SELECT t.platform, t.shop, t.ticket_no, 'unlinked', t.staging_id FROM %1$s.platform_ticket AS t WHERE (t.platform, t.shop, t.ticket_no) = ($1, $2, $3)
		ON CONFLICT (platform, shop, ticket_no) DO NOTHING
	$sql$, book) USING platform, found[1], ticket_no;
	RETURN found[1];
END
$function$;
COMMENT ON FUNCTION settle._open_link(regnamespace, text, text, text) IS 'has a row of ticket_link to decide about, and gives the shop of its ticket; raises an error where there is no such ticket, or several';

CREATE FUNCTION settle._decide_link(
	book regnamespace, platform text, shop text, ticket_no text, state text, reason text,
	order_platform text DEFAULT NULL, order_shop text DEFAULT NULL, order_no text DEFAULT NULL, line_no text DEFAULT NULL
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	payload bigint;
BEGIN
	EXECUTE format($sql$
		UPDATE %1$s.ticket_link AS l
		SET state = $4, evidence = 'hand', order_platform = $6, order_shop = $7, order_no = $8, line_no = $9, waits_until = NULL,
			decided_by = settle.actor($10), decided_at = now(), reason = $5
		WHERE (l.platform, l.shop, l.ticket_no) = ($1, $2, $3)
		RETURNING l.staging_id
	$sql$, book) INTO payload USING platform, shop, ticket_no, state, reason, order_platform, order_shop, order_no, line_no, book;
	PERFORM settle._mark_payloads(book, ARRAY[payload]);
END
$function$;
COMMENT ON FUNCTION settle._decide_link(regnamespace, text, text, text, text, text, text, text, text, text) IS 'writes down what somebody has decided about a ticket';

CREATE FUNCTION settle.link_ticket(
	book regnamespace, platform text, ticket_no text, order_no text, reason text,
	line_no text DEFAULT NULL, shop text DEFAULT NULL, order_platform text DEFAULT NULL, order_shop text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.link_ticket(regnamespace, text, text, text, text, text, text, text, text) IS
	'links a ticket of a platform to an order by hand; it stays so over all later versions of the ticket';

CREATE FUNCTION settle._link_ticket(
	book regnamespace, platform text, ticket_no text, order_no text, reason text,
	line_no text, shop text, order_platform text, order_shop text
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	orders bigint;
	found_platform text;
	found_shop text;
	which text;
	of_shop text;
BEGIN
	IF order_no IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'an order must be given';
	END IF;
	PERFORM settle._require_reason('a link by hand', reason);
	of_shop := settle._open_link(book, platform, ticket_no, shop);
	EXECUTE format($sql$
		SELECT count(*), min(o.platform), min(o.shop), string_agg(concat_ws(' ', o.platform, nullif(o.shop, '')), ', ' ORDER BY o.platform, o.shop)
		FROM %1$s.shop_order AS o
		WHERE o.order_no = $1 AND ($2 IS NULL OR o.platform = $2) AND ($3 IS NULL OR o.shop = $3)
			AND ($4 IS NULL OR EXISTS (SELECT FROM %1$s.order_line AS l WHERE (l.platform, l.shop, l.order_no, l.line_no) = (o.platform, o.shop, o.order_no, $4)))
	$sql$, book) INTO orders, found_platform, found_shop, which USING order_no, order_platform, order_shop, line_no;
	IF orders = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no order "%s"', book, concat_ws(' ', order_platform, order_shop, order_no, 'line ' || line_no));
	END IF;
	IF orders > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'ambiguous_parameter',
			MESSAGE = format('there are %s orders "%s"', orders, order_no),
			HINT = format('Name platform and shop: %s.', which);
	END IF;
	PERFORM settle._decide_link(book, platform, of_shop, ticket_no, 'linked', reason, found_platform, found_shop, order_no, line_no);
END
$function$;
COMMENT ON FUNCTION settle._link_ticket(regnamespace, text, text, text, text, text, text, text, text) IS 'body of settle.link_ticket';
REVOKE ALL ON FUNCTION settle._link_ticket(regnamespace, text, text, text, text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle.unlink_ticket(book regnamespace, platform text, ticket_no text, reason text, shop text DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.unlink_ticket(regnamespace, text, text, text, text) IS
	'says by hand that a ticket of a platform is about no order; it stays so over all later versions of the ticket';

CREATE FUNCTION settle._unlink_ticket(book regnamespace, platform text, ticket_no text, reason text, shop text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM settle._require_reason('an end of a link', reason);
	PERFORM settle._decide_link(book, platform, settle._open_link(book, platform, ticket_no, shop), ticket_no, 'unlinked', reason);
END
$function$;
COMMENT ON FUNCTION settle._unlink_ticket(regnamespace, text, text, text, text) IS 'body of settle.unlink_ticket';
REVOKE ALL ON FUNCTION settle._unlink_ticket(regnamespace, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle.relink_ticket(book regnamespace, platform text, ticket_no text, reason text, shop text DEFAULT NULL)
	RETURNS text AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.relink_ticket(regnamespace, text, text, text, text) IS
	'forgets what was decided by hand about a ticket of a platform, and links it by evidence again; returns its state';

CREATE FUNCTION settle._relink_ticket(book regnamespace, platform text, ticket_no text, reason text, shop text) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	of_shop text;
	state text;
BEGIN
	PERFORM settle._require_reason('linking anew', reason);
	of_shop := settle._open_link(book, platform, ticket_no, shop);
	EXECUTE format('UPDATE %s.ticket_link AS l SET decided_by = NULL, decided_at = NULL, reason = NULL WHERE (l.platform, l.shop, l.ticket_no) = ($1, $2, $3)', book)
		USING platform, of_shop, ticket_no;
	PERFORM settle._read_ticket_numbers(book, ARRAY[platform], ARRAY[of_shop], ARRAY[ticket_no]);
	PERFORM settle._mark_payloads(book, settle._judge_tickets(book, ARRAY[platform], ARRAY[of_shop], ARRAY[ticket_no]));
	EXECUTE format('SELECT l.state FROM %s.ticket_link AS l WHERE (l.platform, l.shop, l.ticket_no) = ($1, $2, $3)', book) INTO state USING platform, of_shop, ticket_no;
	RETURN state;
END
$function$;
COMMENT ON FUNCTION settle._relink_ticket(regnamespace, text, text, text, text) IS 'body of settle.relink_ticket';
REVOKE ALL ON FUNCTION settle._relink_ticket(regnamespace, text, text, text, text) FROM PUBLIC;
