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

-- All that the book holds from one payload, under the names of manifests.
CREATE FUNCTION payloads.facts(id bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT jsonb_build_object('reason', s.reason)
		|| coalesce((SELECT to_jsonb(o) || jsonb_build_object('refund_state', t.refund_state, 'paid_yuan', o.paid_amount, 'refunded_yuan', t.refunded_amount, 'merchant_receivable', t.merchant_receivable,
				'live_room_id', o.live_room, 'author_id', o.live_author, 'staff_id', o.staff_ref, 'status', t.status, 'unionid', (SELECT key_value FROM payload_book.customer_identity AS i WHERE i.staging_id = id AND i.key_type = 'unionid'),
				'line_count', l.lines, 'sum_line_payment', l.amount, 'sum_allocated', l.paid, 'line_paid', l.each)
			FROM payload_book.shop_order AS o JOIN payload_book.order_status AS t USING (platform, shop, order_no)
			CROSS JOIN LATERAL (SELECT count(*) AS lines, sum(line_amount) AS amount, sum(line_paid) AS paid, jsonb_agg(line_paid::text ORDER BY position) AS each FROM payload_book.order_line AS l WHERE (l.platform, l.shop, l.order_no) = (o.platform, o.shop, o.order_no)) AS l
			WHERE o.staging_id = id), '{}')
		|| coalesce((SELECT to_jsonb(r) || jsonb_build_object('refund_yuan', r.refund_amount, 'effective_yuan', r.effective_amount) FROM payload_book.refund AS r WHERE r.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(p) || jsonb_build_object('transaction_id', p.payment_no, 'bills', count(*) OVER (), 'total_yuan', sum(p.total_amount) OVER (), 'payer_yuan', sum(p.payer_amount) OVER (), 'refund_yuan', sum(p.refunded_amount) OVER ()) FROM payload_book.shop_payment AS p WHERE p.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(p) || jsonb_build_object('shared_yuan', sum(p.amount) FILTER (WHERE p.status = 'success') OVER ()) FROM payload_book.profit_share AS p WHERE p.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(h) FROM payload_book.shipment AS h WHERE h.staging_id = id), '{}')
		|| coalesce((SELECT jsonb_build_object('external_userid', max(key_value) FILTER (WHERE key_type = 'external_userid'), 'unionid', max(key_value) FILTER (WHERE key_type = 'unionid'))
			FROM payload_book.customer_identity WHERE staging_id = id AND platform = 'wecom' HAVING count(*) > 0), '{}')
		|| coalesce((SELECT to_jsonb(w) || jsonb_build_object('ticket_no', w.ticket_no, 'amount_yuan', w.amount, 'amount_raw', w.raw_amount, 'external_userid', w.customer_ref, 'fee_yuan', w.amount, 'worker_id', w.staff_ref, 'staff_id', w.staff_ref) FROM payload_book.platform_ticket AS w WHERE w.staging_id = id), '{}')
		|| coalesce((SELECT jsonb_build_object('order_no', l.order_no, 'link', l.state, 'order_nos', jsonb_path_query_array(l.candidates, '$[*].order_no'))
			|| CASE l.state WHEN 'pending' THEN jsonb_build_object('order_no', l.candidates -> 0 -> 'order_no') ELSE '{}' END FROM payload_book.ticket_link AS l WHERE l.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(f) || jsonb_build_object('ticket_no', f.ticket_no, 'rows', count(*) OVER (), 'adjust_yuan', f.amount) FROM payload_book.platform_ticket_fee AS f WHERE f.staging_id = id LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(b) || jsonb_build_object('rows', count(*) OVER (), 'settle_yuan', sum(b.amount) OVER (), 'amount_yuan', b.amount, 'commission_yuan', b.commission, 'service_fee_yuan', b.service_fee) FROM payload_book.platform_bill AS b WHERE b.staging_id = id ORDER BY b.bill_no LIMIT 1), '{}')
		|| coalesce((SELECT to_jsonb(g) || jsonb_build_object('notify_id', g.signal_no, 'external_userid', g.customer_no, 'version', g.raw_version) FROM payload_book.signal AS g WHERE g.staging_id = id LIMIT 1), '{}')
	FROM payload_book.staging AS s WHERE s.staging_id = id
$$;

-- What the payload itself says, whatever stands in the book.
CREATE FUNCTION payloads.said(platform text, body bytea) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce((SELECT m.columns || jsonb_build_object('paid_yuan', m.columns -> 'paid_amount', 'refund_state', m.columns -> 'refund_hint', 'refund_yuan', m.columns -> 'refund_amount', 'external_userid', m.columns -> 'customer_no', 'amount_yuan', m.columns -> 'amount')
		FROM settle.map_payload('payload_book', platform, payload => convert_from(body, 'UTF8')::jsonb) AS m LIMIT 1), '{}')
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
		IF s.state <> payloads.wanted_state(e.outcome) THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'state', payloads.wanted_state(e.outcome), concat_ws(' ', s.state, s.field, s.reason, s.message), 'failed');
			CONTINUE;
		END IF;
		IF e.outcome IN ('accept_warn', 'accept_text_id', 'accept_fuzzy') AND s.reason IS NULL THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'flag', e.outcome, 'none', 'failed');
		END IF;
		facts := CASE WHEN e.outcome IN ('stale', 'duplicate', 'tie') THEN payloads.said(s.platform, e.body) ELSE payloads.facts(id) END;
		IF e.outcome = 'ambiguous' AND facts ->> 'link' IS DISTINCT FROM 'ambiguous' THEN
			INSERT INTO payloads.result VALUES (e.n, e.file, 'link', 'ambiguous', coalesce(facts ->> 'link', 'none'), 'failed');
		END IF;
		FOR k, v IN SELECT * FROM jsonb_each(e.expect) LOOP
			IF k = 'reason' AND e.outcome = 'accept_text_id' THEN
				IF s.reason IS NULL OR (v #>> '{}') <> ALL (string_to_array(s.reason, ',')) THEN
					INSERT INTO payloads.result VALUES (e.n, e.file, k, v::text, s.reason, 'failed');
				END IF;
			-- refunds may land after their order: asked at the end, unless the order has moved on by then
			ELSIF k IN ('refund_state', 'refunded_yuan') AND e.outcome LIKE 'accept%' AND NOT payloads.same(v, facts -> k) THEN
				late := late || jsonb_build_object('n', e.n, 'file', e.file, 'id', id, 'k', k, 'v', v, 'got', facts -> k);
			ELSIF NOT payloads.same(v, facts -> k) THEN
				INSERT INTO payloads.result VALUES (e.n, e.file, k, v::text, coalesce((facts -> k)::text, 'nothing'), 'failed');
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
