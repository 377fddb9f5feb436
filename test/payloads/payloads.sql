-- Payloads of platforms with what each must become, loaded one after the other
-- into a book of their own and compared: see README.md beside this file.

CREATE SCHEMA payloads;
SET check_function_bodies = off;	-- the book comes later
CREATE TABLE payloads.file (file text PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE payloads.expectation (n bigint PRIMARY KEY, file text NOT NULL, outcome text NOT NULL, expect jsonb NOT NULL);
CREATE TABLE payloads.result (n bigint, file text, what text, expected text, got text, verdict text NOT NULL);

-- The tenant of the samples: which of its own fields of ticket systems hold what.
CREATE PROCEDURE payloads.prepare() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM settle.create_book('payload_book');
	INSERT INTO payload_book.mapping_field (platform, kind, part, field, form, path, strict, place)
	SELECT t.platform, 'ticket', 'ticket', f.field, f.form, ARRAY[t.path]::jsonpath[], false, 1000
	FROM (VALUES
		('zendesk', 'order', '$.custom_fields[*] ? (@.id == 27642).value'), ('zendesk', 'amount', '$.custom_fields[*] ? (@.id == 27648).value'),
		('udesk', 'order', '$.custom_fields.TextField_12'), ('udesk', 'amount', '$.custom_fields.TextField_15'),
		('kf5', 'order', '$.custom_fields[*] ? (@.name == "field_8").value'), ('kf5', 'amount', '$.custom_fields[*] ? (@.name == "field_9").value')) AS t (platform, what, path)
	JOIN (VALUES ('order', 'order_ref', 'id'), ('amount', 'raw_amount', 'text'), ('amount', 'amount', 'yuan_text')) AS f (what, field, form) USING (what);
END
$$;

-- Lands a file as a connector would: as jsonb, or as bytes where jsonb refuses it.
CREATE FUNCTION payloads.land(platform text, body bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	id bigint;
BEGIN
	INSERT INTO payload_book.staging (platform, payload) VALUES (platform, convert_from(body, 'UTF8')::jsonb) RETURNING staging_id INTO id;
	RETURN id;
EXCEPTION WHEN data_exception THEN
	INSERT INTO payload_book.staging (platform, raw) VALUES (platform, body) RETURNING staging_id INTO id;
	RETURN id;
END
$$;

-- Has the book take in what has landed, as settle.tick does: the steps up to the
-- links of tickets to orders.
CREATE FUNCTION payloads.take_in() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	step text;
BEGIN
	FOREACH step IN ARRAY settle._tick_steps() LOOP
		WHILE settle.work('payload_book', step) LOOP END LOOP;
		EXIT WHEN step = 'links';
	END LOOP;
END
$$;

-- What manifests call things, and the columns that hold them: the first that is there.
CREATE TABLE payloads.synonym (name text PRIMARY KEY, columns text[] NOT NULL);
INSERT INTO payloads.synonym
SELECT s.name, string_to_array(s.columns, ' ')
FROM (VALUES
	('paid_yuan', 'paid_amount'), ('payable_yuan', 'payable_amount'), ('payment', 'payable_amount'), ('goods_yuan', 'goods_amount'), ('freight_yuan', 'freight_amount'), ('freight', 'freight_amount'), ('post_fee', 'freight_amount'),
	('refunded', 'refunded_amount'), ('refunded_yuan', 'refunded_amount'), ('platform_borne_yuan', 'platform_borne'), ('merchant_receivable_yuan', 'merchant_receivable'),
	('shop_id', 'shop'), ('org_id', 'org'), ('store_id', 'store store_ref'), ('staff_id', 'staff_ref'), ('staff', 'staff_ref'), ('guide_id', 'staff_ref'), ('userid', 'staff_ref'), ('staff_userid', 'staff_ref'), ('payee_userid', 'staff_ref'), ('worker_id', 'staff_ref'), ('handler_id', 'staff_ref'), ('assignee_id', 'staff_ref'), ('sharer_unionid', 'staff_ref'), ('staff_ids', 'staff_refs'),
	('live_room_id', 'live_room'), ('room_id', 'live_room'), ('live_id', 'live_room'), ('author_id', 'live_author'), ('buyer_id', 'buyer_ref'), ('buyer_open_uid', 'buyer_ref'), ('yz_open_id', 'buyer_ref'), ('doudian_open_id', 'buyer_ref'), ('memo', 'seller_memo'),
	('version_at', 'version'), ('refund_yuan', 'refund_amount'), ('effective_yuan', 'effective_amount'), ('refund_status', 'status'), ('aftersale_id', 'refund_no'), ('refund_id', 'refund_no'), ('out_refund_no', 'refund_no'),
	('transaction_id', 'payment_no pay_trade_no'), ('out_trade_no', 'order_ref'), ('out_order_no', 'share_no'), ('out_return_no', 'share_no'), ('openid', 'openid payer_ref'), ('trade_state', 'raw_status'),
	('total_yuan', 'total_amount'), ('payer_yuan', 'payer_amount'), ('amount_yuan', 'amount'), ('fee_yuan', 'fee_amount amount'), ('adjust_yuan', 'adjust_amount amount'), ('settle_yuan', 'settled_amount settle_amount'), ('commission_yuan', 'commission'), ('service_fee_yuan', 'service_fee'), ('shared_yuan', 'shared_amount'), ('return_yuan', 'amount'), ('amount_raw', 'raw_amount'), ('amount_claimed', 'amount'),
	('com', 'carrier'), ('nu', 'tracking_no'), ('event_count', 'events'), ('node_count', 'events'), ('new_carrier', 'carrier_corrected'), ('com_new', 'carrier_corrected'),
	('external_userid', 'external_userid customer_no customer_ref'), ('customer_id', 'customer_ref customer_no'), ('createtime', 'followed_at'), ('change_type', 'topic'), ('tag', 'topic'), ('notify_id', 'signal_no'), ('msg_id', 'signal_no'), ('msg_key', 'signal_no'),
	('members', 'member_count'), ('lines_paid', 'line_paid'), ('line_paid_yuan', 'line_paid'), ('allocation', 'line_paid'), ('allocated_yuan', 'line_paid'), ('shares', 'line_paid'), ('store_code', 'store_ref store'), ('staff_unionid', 'staff_ref'), ('ticket_status', 'status'), ('ticket_id', 'ticket_no'), ('workcard_id', 'ticket_no')
) AS s (name, columns);
CREATE FUNCTION payloads.with_synonyms(facts jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT coalesce(jsonb_object_agg(s.name, facts -> c.name), '{}') || facts
	FROM payloads.synonym AS s
	CROSS JOIN LATERAL (SELECT u.name FROM unnest(s.columns) WITH ORDINALITY AS u (name, place) WHERE facts ? u.name ORDER BY facts -> u.name = 'null', place LIMIT 1) AS c
$$;

-- All that the book holds from one payload.
CREATE FUNCTION payloads.held(id bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT jsonb_build_object('reason', s.reason, 'state', s.state, 'message', s.message, 'content_hash', s.content_hash)
		|| coalesce((SELECT jsonb_object_agg(key_type, key_value) FROM payload_book.customer_identity WHERE staging_id = id), '{}')
		|| coalesce((SELECT to_jsonb(o) || jsonb_build_object('orders', count(*) OVER (), 'refund_state', t.refund_state, 'refunded_amount', t.refunded_amount, 'merchant_receivable', t.merchant_receivable, 'refund_mismatch', t.refund_mismatch, 'status', t.status)
				|| to_jsonb(l) || to_jsonb(d)
				|| jsonb_build_object('staff_ref', coalesce(o.staff_ref, l.line_staff_ref), 'store', coalesce(o.store, l.line_store), 'live_room', coalesce(o.live_room, l.line_live_room), 'live_author', coalesce(o.live_author, l.line_live_author))
			FROM payload_book.shop_order AS o JOIN payload_book.order_status AS t USING (platform, shop, order_no)
			CROSS JOIN LATERAL (SELECT count(*) AS line_count, sum(line_amount) AS sum_line_payment, sum(line_paid) AS sum_allocated, sum(line_paid) AS sum_line_paid, jsonb_agg(line_paid::text ORDER BY position) AS line_paid,
					jsonb_agg(line_no ORDER BY position) AS line_nos, min(line_no) AS line_no, sum(qty) AS qty, count(*) FILTER (WHERE is_gift) AS gift_count,
					min(staff_ref) AS line_staff_ref, min(store) AS line_store, min(live_room) AS line_live_room, min(live_author) AS line_live_author
				FROM payload_book.order_line AS l WHERE (l.platform, l.shop, l.order_no) = (o.platform, o.shop, o.order_no)) AS l
			CROSS JOIN LATERAL (SELECT count(*) AS promo_count, jsonb_agg(title ORDER BY position) AS promotions
				FROM payload_book.promotion AS d WHERE (d.platform, d.shop, d.order_no) = (o.platform, o.shop, o.order_no)) AS d
			WHERE o.staging_id = id ORDER BY o.order_no LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(r) || jsonb_build_object('refunds', count(*) OVER ()) FROM payload_book.refund AS r WHERE r.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(p) || jsonb_build_object('bills', count(*) OVER (), 'total_amount', sum(p.total_amount) OVER (), 'payer_amount', sum(p.payer_amount) OVER (), 'refund_amount', sum(p.refunded_amount) OVER ()) FROM payload_book.shop_payment AS p WHERE p.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(p) || jsonb_build_object('shared_amount', sum(p.amount) FILTER (WHERE p.status = 'success') OVER (), 'receivers', count(*) OVER (), 'failed_receivers', count(*) FILTER (WHERE p.status = 'closed') OVER ()) FROM payload_book.profit_share AS p WHERE p.staging_id = id ORDER BY p.amount DESC LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(h) FROM payload_book.shipment AS h WHERE h.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(f) || jsonb_build_object('state', f.channel, 'staff_refs', jsonb_agg(f.staff_ref) OVER (), 'follow_count', count(*) OVER ()) FROM payload_book.customer_follow AS f WHERE f.staging_id = id ORDER BY f.followed_at, f.staff_ref LIMIT 1), '{}')
		-- groups themselves are not kept, the customers in them are
		|| CASE WHEN s.payload ? 'group_chat' THEN (s.payload -> 'group_chat') || jsonb_build_object('member_count', jsonb_array_length(s.payload -> 'group_chat' -> 'member_list'), 'external_count', (SELECT count(*) FROM payload_book.customer_identity WHERE staging_id = id AND key_type = 'external_userid')) ELSE '{}' END
		|| coalesce((SELECT to_jsonb(w) || jsonb_build_object('tickets', count(*) OVER ()) FROM payload_book.platform_ticket AS w WHERE w.staging_id = id ORDER BY w.ticket_no LIMIT 1), '{}')
		|| coalesce((SELECT jsonb_build_object('order_no', l.order_no, 'link', l.state, 'order_nos', jsonb_path_query_array(l.candidates, '$[*].order_no'))
			|| CASE l.state WHEN 'pending' THEN jsonb_build_object('order_no', l.candidates -> 0 -> 'order_no') ELSE '{}' END FROM payload_book.ticket_link AS l WHERE l.staging_id = id ORDER BY l.ticket_no LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(f) || jsonb_build_object('rows', count(*) OVER ()) FROM payload_book.platform_ticket_fee AS f WHERE f.staging_id = id ORDER BY f.fee_no LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(b) || jsonb_build_object('rows', count(*) OVER (), 'settled_amount', sum(b.amount) OVER ()) FROM payload_book.platform_bill AS b WHERE b.staging_id = id ORDER BY b.bill_no LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(g) || jsonb_build_object('version', g.raw_version, 'signals', count(*) OVER (), 'staff_ref', (SELECT e.staff_ref FROM payload_book.follow_event AS e WHERE e.staging_id = id LIMIT 1)) FROM payload_book.signal AS g WHERE g.staging_id = id LIMIT 1), '{}')
	FROM payload_book.staging AS s WHERE s.staging_id = id
$$;
CREATE FUNCTION payloads.facts(id bigint) RETURNS jsonb LANGUAGE sql STABLE RETURN payloads.with_synonyms(payloads.held(id));

-- What the payload itself says, whatever stands in the book.
CREATE FUNCTION payloads.said(platform text, body bytea) RETURNS jsonb LANGUAGE sql AS $$
	SELECT payloads.with_synonyms(coalesce((SELECT m.columns || CASE WHEN m.columns ? 'refund_hint' THEN jsonb_build_object('refund_state', m.columns -> 'refund_hint') ELSE '{}' END
		FROM settle.map_payload('payload_book', platform, payload => convert_from(body, 'UTF8')::jsonb) AS m WHERE m.entity IS NOT NULL LIMIT 1), '{}'))
$$;

-- Whether there are facts of a name at all: columns of the book, what stands for
-- them, and what facts are computed besides.
CREATE FUNCTION payloads.knows(name text) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM information_schema.columns AS c WHERE c.table_schema = 'payload_book' AND c.column_name = knows.name)
		OR EXISTS (SELECT FROM payloads.synonym AS s WHERE s.name = knows.name)
		OR (SELECT prosrc FROM pg_proc WHERE oid = 'payloads.held(bigint)'::regprocedure) ~ ('\m' || name || '\M')
$$;

-- Two values are the same where they are the same number, instant or text.
CREATE FUNCTION payloads.same(a jsonb, b jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
	x text := a #>> '{}';
	y text := b #>> '{}';
BEGIN
	IF x IS NOT DISTINCT FROM y OR a @> b AND b @> a THEN RETURN true; END IF;
	IF x ~ '^-?[0-9.]+$' AND y ~ '^-?[0-9.]+$' THEN RETURN x::numeric = y::numeric; END IF;
	IF x ~ '^\d{4}-\d\d-\d\dT' AND y ~ '^\d{4}-\d\d-\d\d' THEN RETURN x::timestamptz = y::timestamptz; END IF;
	RETURN false;
END
$$;

-- The state of staging that an outcome of a manifest is.
CREATE FUNCTION payloads.wanted_state(outcome text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN outcome IN ('duplicate', 'stale', 'tie', 'unlinked') THEN outcome WHEN outcome LIKE 'reject%' THEN 'quarantined' ELSE 'applied' END
$$;

CREATE PROCEDURE payloads.check_all() LANGUAGE plpgsql AS $$
DECLARE
	e record;
	s record;
	id bigint;
	facts jsonb;
	k text;
	v jsonb;
	late jsonb := '[]';
	item jsonb;
BEGIN
	FOR e IN SELECT x.*, f.body FROM payloads.expectation AS x LEFT JOIN payloads.file AS f USING (file) ORDER BY n LOOP
		IF e.body IS NULL THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'file', 'there', 'missing', 'failed');
			CONTINUE;
		END IF;
		id := payloads.land(split_part(e.file, '_', 1), e.body);
		PERFORM payloads.take_in();
		SELECT * INTO s FROM payload_book.staging WHERE staging_id = id;
		-- ids and warnings are told of payloads that may be of the same order and second as one before
		IF s.state <> payloads.wanted_state(e.outcome) AND NOT (e.outcome IN ('accept_warn', 'accept_text_id') AND s.state = 'tie') THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'state', payloads.wanted_state(e.outcome), concat_ws(' ', s.state, s.field, s.reason, s.message), 'failed');
			CONTINUE;
		END IF;
		IF e.outcome IN ('accept_warn', 'accept_text_id', 'accept_fuzzy') AND s.reason IS NULL THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'flag', e.outcome, 'none', 'failed');
		END IF;
		facts := CASE WHEN s.state IN ('stale', 'duplicate', 'tie') THEN payloads.said(s.platform, e.body) ELSE payloads.facts(id) END;
		IF e.outcome = 'ambiguous' AND facts ->> 'link' IS DISTINCT FROM 'ambiguous' THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'link', 'ambiguous', coalesce(facts ->> 'link', 'none'), 'failed');
		END IF;
		FOR k, v IN SELECT * FROM jsonb_each(e.expect) LOOP
			-- one of the reasons, the field that it is about left out
			IF k = 'reason' AND v <> 'null' THEN
				IF s.reason IS NULL OR (v #>> '{}') <> ALL (string_to_array(replace(s.reason, ':', ','), ',')) THEN
					INSERT INTO payloads.result VALUES (e.n, e.file, k, v::text, s.reason, 'failed');
				END IF;
			-- refunds may land after their order: asked at the end, unless the order has moved on by then
			ELSIF k IN ('refund_state', 'refunded_yuan') AND e.outcome LIKE 'accept%' AND NOT payloads.same(v, facts -> k) THEN
				late := late || jsonb_build_object('n', e.n, 'file', e.file, 'id', id, 'k', k, 'v', v, 'got', facts -> k);
			ELSIF NOT payloads.same(v, facts -> k) THEN
				INSERT INTO payloads.result VALUES (e.n, e.file, k, v::text, coalesce((facts -> k)::text, CASE WHEN payloads.knows(k) THEN 'nothing' ELSE 'nothing: no fact has this name' END), 'failed');
			END IF;
		END LOOP;
		INSERT INTO payloads.result VALUES (e.n, e.file, NULL, NULL, NULL, 'done');
	END LOOP;
	FOR item IN SELECT * FROM jsonb_array_elements(late) LOOP
		facts := payloads.facts((item -> 'id')::bigint);
		-- an order that does not tell by itself whether it was refunded
		IF NOT payloads.same(to_jsonb(regexp_replace(item ->> 'v', '_by_refund_api$', '')), coalesce(facts -> (item ->> 'k'), item -> 'got')) THEN
			INSERT INTO payloads.result VALUES ((item -> 'n')::bigint, item ->> 'file', item ->> 'k', item ->> 'v', coalesce(facts -> (item ->> 'k'), item -> 'got')::text, 'failed');
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION payloads.report() RETURNS SETOF text LANGUAGE sql STABLE AS $$
	SELECT format('FAILED %s: %s expected %s, got %s', file, what, expected, got) FROM (SELECT * FROM payloads.result WHERE verdict = 'failed' ORDER BY n) AS f
	UNION ALL
	SELECT format('skipped %s (%s)', file, what) FROM (SELECT * FROM payloads.result WHERE verdict = 'skipped' ORDER BY n) AS k
	UNION ALL
	SELECT format('%s passed, %s failed, %s skipped',
		count(*) FILTER (WHERE worst = 'done'), count(*) FILTER (WHERE worst = 'failed'), count(*) FILTER (WHERE worst = 'skipped'))
	FROM (SELECT n, CASE WHEN bool_or(verdict = 'failed') THEN 'failed' WHEN bool_or(verdict = 'skipped') THEN 'skipped' ELSE 'done' END AS worst FROM payloads.result GROUP BY n) AS r
$$;
