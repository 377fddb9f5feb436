-- Tickets of platforms and their orders: the order of evidence, what waits, what
-- is decided by hand, every order of arrival, and random texts against a reader
-- that goes from character to character.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

SELECT settle.create_book('shop') \g /dev/null
INSERT INTO shop.mapping_field (platform, kind, part, field, form, path, strict, place)
VALUES ('zendesk', 'ticket', 'ticket', 'order_ref', 'id', '{$.order}', false, 1000);

CREATE FUNCTION public.land_ticket(ticket_no text, subject text, description text DEFAULT NULL, field text DEFAULT NULL, version int DEFAULT 1) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop.staging (platform, payload) VALUES ('zendesk', jsonb_build_object('ticket', jsonb_build_object('id', ticket_no, 'subject', subject, 'description', description, 'order', field,
        'status', 'open', 'created_at', '2025-11-12T05:00:00Z', 'updated_at', to_char(timestamp '2025-11-12 05:00:00' + make_interval(mins => version), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))) $$;
CREATE FUNCTION public.land_order(order_no text, lines text[] DEFAULT '{}', pay_trade_no text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop.staging (platform, payload) VALUES ('taobao', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', order_no, 'seller_nick', 'corner', 'alipay_no', pay_trade_no,
        'modified', '2025-11-11 00:00:06', 'created', '2025-11-11 00:00:00', 'status', 'WAIT_SELLER_SEND_GOODS', 'pay_time', '2025-11-11 00:00:05', 'payment', '10.00', 'post_fee', '0.00', 'buyer_open_uid', 'u',
        'orders', jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid_str', l, 'num', 1, 'price', '5.00', 'payment', '5.00', 'divide_order_fee', '5.00', 'refund_status', 'NO_REFUND', 'invoice_no', 'YT' || l)) FROM unnest(CASE lines WHEN '{}' THEN ARRAY[order_no] ELSE lines END) AS l))))))  $$;
CREATE FUNCTION public.land_refund(refund_no text, order_no text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop.staging (platform, payload) VALUES ('taobao', jsonb_build_object('refund_get_response', jsonb_build_object('refund', jsonb_build_object('refund_id', refund_no, 'tid', order_no::numeric, 'oid', order_no::numeric,
        'seller_nick', 'corner', 'status', 'SUCCESS', 'refund_fee', '3.34', 'payment', '6.66', 'refund_version', 1763000000000, 'dispute_type', 'REFUND', 'modified', '2025-11-13 10:00:00')))) $$;
-- takes in what has landed and links
CREATE FUNCTION public.link() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    done record;
    step text;
BEGIN
    PERFORM settle.ingest('shop');
    FOREACH step IN ARRAY settle._tick_steps() LOOP
        EXIT WHEN step = 'links';
        WHILE step <> 'ingest' AND settle.work('shop', step) LOOP END LOOP;
    END LOOP;
    done := settle.link_tickets('shop');
    RETURN format('%s linked, %s ambiguous, %s pending, %s suggested, %s unlinked', done.linked, done.ambiguous, done.pending, done.suggested, done.unlinked);
END $$;
CREATE FUNCTION public.link_of(ticket text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', l.state, l.evidence, l.order_no, l.line_no) FROM shop.ticket_link AS l WHERE l.ticket_no = ticket $$;

-- the order of evidence
SELECT public.land_order('2290118844770334261', '{2290118844770334271,2290118844770334272}', '2025111122001400001'), public.land_order('2290118844770334262'), public.land_refund('210033445566771', '2290118844770334262') \g /dev/null
SELECT public.land_ticket('1', '安装', field => '2290118844770334261'), public.land_ticket('2', '安装 订单号：２２９０１１８８４４７７０３３４２６１加急'), public.land_ticket('3', '两单', field => '2290118844770334261，2290118844770334262'),
    public.land_ticket('4', '投诉', '没有订单信息'), public.land_ticket('5', '子订单2290118844770334272坏了'), public.land_ticket('6', '退款210033445566771没到'), public.land_ticket('7', '快递YT2290118844770334271呢'),
    public.land_ticket('8', '支付宝2025111122001400001扣了两次'), public.land_ticket('9', '订单2290118844770334999空调'), public.land_ticket('10', '换新', field => '6.9219001188447704E18'),
    public.land_ticket('11', '换新 2290118844770334261', field => '6.9219001188447704E18'), public.land_ticket('12', '2290118844770334261和2290118844770334262'),
    public.land_ticket('13', '订单2290118844770334262', field => '2290118844770334261'), public.land_ticket('14', '退款210033445566771，订单2290118844770334261'), public.land_ticket('15', '手机13800138000，6.2290118844770334261') \g /dev/null
SELECT is(public.link(), '8 linked, 2 ambiguous, 1 pending, 1 suggested, 3 unlinked', 'all are looked at');
SELECT is(public.link_of('1'), 'linked order_ref 2290118844770334261', 'the field for it');
SELECT is(public.link_of('2'), 'linked text 2290118844770334261', 'a number in a text, Chinese and full-width digits around it');
SELECT is(public.link_of('3'), 'ambiguous order_ref', 'two in the field');
SELECT is((SELECT jsonb_path_query_array(candidates, '$[*].order_no') FROM shop.unlinked_ticket WHERE ticket_no = '3'), '["2290118844770334261", "2290118844770334262"]', 'both are shown');
SELECT is(public.link_of('4'), 'unlinked', 'none at all');
SELECT is(public.link_of('5'), 'linked text 2290118844770334261 2290118844770334272', 'the number of a line');
SELECT is(public.link_of('6'), 'linked refund 2290118844770334262 2290118844770334262', 'that of a refund');
SELECT is(public.link_of('7'), 'linked shipment 2290118844770334261 2290118844770334271', 'of a parcel');
SELECT is(public.link_of('8'), 'linked payment 2290118844770334261', 'of a payment');
SELECT is(public.link_of('9'), 'pending text', 'an order that is not there yet');
SELECT is(public.link_of('10'), 'unlinked number_lost', 'a number without its digits is none');
SELECT is(public.link_of('11'), 'suggested text', 'and what the text says beside it is for a person to see');
SELECT is(public.link_of('12'), 'ambiguous text', 'two in the text');
SELECT is(public.link_of('13'), 'linked order_ref 2290118844770334261', 'the field goes before the text');
SELECT is(public.link_of('14'), 'linked text 2290118844770334261', 'an order before a refund');
SELECT is(public.link_of('15'), 'unlinked', 'neither a phone nor what follows a point is an order');

-- what staging says
SELECT is((SELECT array_agg(s.state || coalesce(' ' || s.reason, '') ORDER BY s.staging_id) FROM shop.staging AS s WHERE s.platform = 'zendesk'),
    '{applied,"applied order_in_text",applied,unlinked,"applied order_in_text",applied,applied,applied,applied,"unlinked order_ref:id_precision_lost","unlinked order_ref:id_precision_lost",applied,applied,"applied order_in_text",unlinked}'::text[],
    'payloads about no order are unlinked, those linked by text alone flagged');
SELECT is(public.link(), '0 linked, 0 ambiguous, 0 pending, 0 suggested, 0 unlinked', 'nothing has changed, nothing is looked at');
SELECT is((SELECT settle.work('shop', 'links')), false, 'nor is anything due');

-- what waits links when it lands, or is given up, and links even then
SELECT public.land_order('2290118844770334999') \g /dev/null
SELECT is(public.link(), '1 linked, 0 ambiguous, 0 pending, 0 suggested, 0 unlinked', 'one ticket has waited');
SELECT is(public.link_of('9'), 'linked text 2290118844770334999', 'for this order');
SELECT public.land_ticket('16', '订单2290118844770334888') \g /dev/null
SELECT public.link() \g /dev/null
UPDATE shop.ticket_link SET first_seen_at = now() - interval '31 days', waits_until = now() - interval '1 day' WHERE ticket_no = '16';
SELECT is(public.link(), '0 linked, 0 ambiguous, 0 pending, 0 suggested, 1 unlinked', 'after link_days nobody waits');
SELECT public.land_order('2290118844770334888') \g /dev/null
SELECT public.link() \g /dev/null
SELECT is(public.link_of('16'), 'linked text 2290118844770334888', 'though the order may still come');

-- a later version says another thing
SELECT public.land_ticket('1', '安装', field => '2290118844770334262', version => 2) \g /dev/null
SELECT public.link() \g /dev/null
SELECT is(public.link_of('1'), 'linked order_ref 2290118844770334262', 'a corrected ticket moves');
SELECT public.land_ticket('4', '投诉 2290118844770334262', version => 2) \g /dev/null
SELECT public.link() \g /dev/null
SELECT is((SELECT array_agg(s.state ORDER BY s.staging_id) FROM shop.staging AS s WHERE s.platform = 'zendesk' AND s.external_key = '4'), '{applied,applied}'::text[], 'the payload that named none is settled');
SELECT is((SELECT count(*) FROM shop.unlinked_ticket), 5::bigint, 'what is left for people');

-- by hand
SELECT settle.link_ticket('shop', 'zendesk', '12', '2290118844770334261', 'called the customer') \g /dev/null
SELECT is(public.link_of('12'), 'linked hand 2290118844770334261', 'somebody knows');
SELECT public.land_ticket('12', '2290118844770334262', version => 2) \g /dev/null
SELECT public.link() \g /dev/null
SELECT is(public.link_of('12'), 'linked hand 2290118844770334261', 'a later version does not know better');
SELECT is((SELECT reason FROM shop.change WHERE table_name = 'ticket_link' ORDER BY change_id DESC LIMIT 1), 'called the customer', 'the journal knows why');
SELECT settle.unlink_ticket('shop', 'zendesk', '12', 'another shop') \g /dev/null
SELECT is(public.link_of('12'), 'unlinked hand', 'or that there is none');
SELECT is(settle.relink_ticket('shop', 'zendesk', '12', 'wrong'), 'linked', 'what was decided can be forgotten');
SELECT is(public.link_of('12'), 'linked text 2290118844770334262', 'and evidence counts again');
SELECT throws_ok($$ SELECT settle.link_ticket('shop', 'zendesk', '12', '2290118844770334261', ' ') $$, '22004', 'a link by hand needs a reason');
SELECT throws_ok($$ SELECT settle.link_ticket('shop', 'zendesk', '12', '1', 'x') $$, '42704', 'book "shop" has no order "1"');
SELECT throws_ok($$ SELECT settle.link_ticket('shop', 'zendesk', '12', '2290118844770334261', 'x', line_no => '7') $$, '42704', 'book "shop" has no order "2290118844770334261 line 7"');
SELECT throws_ok($$ SELECT settle.unlink_ticket('shop', 'zendesk', '99', 'x') $$, '42704', 'book "shop" has no ticket "99" of platform "zendesk"');
SELECT throws_ok($$ SELECT settle.link_tickets('shop', -1) $$, '22023', 'max_rows must not be negative, it is -1');

-- patterns are rows, and vetted
PREPARE pattern AS INSERT INTO shop.order_pattern (platform, pattern) VALUES ('corner', $1);
SELECT throws_ok($$ EXECUTE pattern ('([0-9]+') $$, '2201B', 'pattern "([0-9]+" is no regular expression');
SELECT throws_ok($$ EXECUTE pattern ('([0-9])\1+') $$, '2201B', 'pattern "([0-9])\1+" refers back to what it has matched');
SELECT throws_ok($$ EXECUTE pattern ('[0-9]*') $$, '22023', 'pattern "[0-9]*" matches an empty text');
SELECT throws_ok($$ EXECUTE pattern (repeat('a', 301)) $$, '54000', 'a pattern of 301 characters is too long');
EXECUTE pattern ('单号(A-[0-9]+)');
INSERT INTO shop.shop_order (platform, shop, order_no, lifecycle, version, precedence, tied, flags, staging_id) VALUES ('corner', '', 'A-7', 'paid', now(), '1', false, '{}', 1);
SELECT public.land_ticket('20', '单号A-7灯不亮'), public.land_ticket('21', '灯不亮', field => ' A-7 ') \g /dev/null
SELECT public.link() \g /dev/null
SELECT is(public.link_of('20') || ', ' || public.link_of('21'), 'linked text A-7, linked order_ref A-7', 'orders of a platform of one''s own');

SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all invariants hold');

-- the same customer and product: suggested, and linked by a return
SELECT settle.create_book('talk') \g /dev/null
INSERT INTO talk.mapping_part (platform, kind, part, entity, rows, within, place) VALUES ('zendesk', 'ticket', 'buyer', 'customer_identity', '{$.buyer}', 'ticket', 1001);
INSERT INTO talk.mapping_field (platform, kind, part, field, form, path, expression, place) VALUES
    ('zendesk', 'ticket', 'ticket', 'product_ref', 'id', '{$.product}', NULL, 1000), ('zendesk', 'ticket', 'buyer', 'key_value', 'id', '{$}', NULL, 1001), ('zendesk', 'ticket', 'buyer', 'key_type', 'text', NULL, $$'open_uid'$$, 1002),
    ('zendesk', 'ticket', 'buyer', 'scope', 'text', NULL, $$''$$, 1003), ('zendesk', 'ticket', 'buyer', 'subject', 'text', NULL, $$'zendesk:ticket:' || p.ticket_no$$, 1004);
CREATE FUNCTION public.talk(action text, n int, buyer text DEFAULT 'anna', product text DEFAULT 'kettle-01', day int DEFAULT 10) RETURNS void LANGUAGE sql AS $$
    INSERT INTO talk.staging (platform, payload) SELECT CASE action WHEN 'ticket' THEN 'zendesk' ELSE 'taobao' END, CASE action
        WHEN 'ticket' THEN jsonb_build_object('ticket', jsonb_build_object('id', n, 'subject', 'which kettle?', 'buyer', buyer, 'product', product, 'status', 'open',
            'created_at', format('2025-11-%sT05:00:00Z', day), 'updated_at', format('2025-11-%sT05:00:00Z', day)))
        WHEN 'order' THEN jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', '55000000000000' || 1000 + n, 'modified', '2025-11-11 00:00:06', 'created', format('2025-11-%s 00:00:00', day),
            'status', 'WAIT_SELLER_SEND_GOODS', 'pay_time', '2025-11-11 00:00:05', 'payment', '10.00', 'post_fee', '0.00', 'buyer_open_uid', buyer,
            'orders', jsonb_build_object('order', jsonb_build_array(jsonb_build_object('oid_str', '55000000000000' || 1000 + n, 'outer_sku_id', product, 'num', 1, 'price', '10.00', 'payment', '10.00', 'divide_order_fee', '10.00', 'refund_status', 'NO_REFUND'))))))
        ELSE jsonb_build_object('refund_get_response', jsonb_build_object('refund', jsonb_build_object('refund_id', '77' || 1000 + n, 'tid', ('55000000000000' || 1000 + n)::numeric, 'oid', ('55000000000000' || 1000 + n)::numeric,
            'status', 'WAIT_BUYER_RETURN_GOODS', 'created', format('2025-11-%s 10:00:00', day), 'refund_fee', '10.00', 'payment', '0.00', 'refund_version', 1763000000000, 'dispute_type', 'REFUND', 'modified', '2025-11-13 10:00:00'))) END $$;
CREATE FUNCTION public.talked() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle.work('talk', 'ingest'), settle.work('talk', 'customers'), settle.work('talk', 'links');
    RETURN (SELECT string_agg(concat_ws(' ', l.ticket_no, l.state, l.evidence, right(l.order_no, 1)), ', ' ORDER BY l.ticket_no) FROM talk.ticket_link AS l);
END $$;
SELECT public.talk('ticket', 1), public.talk('order', 1), public.talk('ticket', 2, product => 'pot-0001'), public.talk('ticket', 3, buyer => 'boris'), public.talk('ticket', 4, day => 10, product => 'lamp-001'), public.talk('order', 4, product => 'lamp-001', day => 11), public.talk('order', 5, product => 'lamp-001', day => 12) \g /dev/null
SELECT is(public.talked(), '1 suggested customer, 2 unlinked, 3 unlinked, 4 suggested customer', 'who has bought what he asked about is a suggestion');
SELECT is((SELECT array_agg(state ORDER BY staging_id) FROM talk.staging WHERE platform = 'zendesk'), '{applied,applied,applied,applied}'::text[], 'their customers are known, so nothing is lost');
SELECT public.talk('refund', 1, day => 9), public.talk('refund', 5, day => 14) \g /dev/null
SELECT is(public.talked(), '1 suggested customer, 2 unlinked, 3 unlinked, 4 linked return 5', 'what he sends back after he asked belongs to the ticket');
SELECT public.talk('refund', 4, day => 15) \g /dev/null
SELECT is(public.talked(), '1 suggested customer, 2 unlinked, 3 unlinked, 4 ambiguous return', 'unless it is two');
UPDATE talk.book SET link_returns = false;
SELECT is(settle.relink_ticket('talk', 'zendesk', '4', 'asked again'), 'suggested', 'where the book does not want it, it is a suggestion');
-- the order may come first, and the customer may be found out last
SELECT public.talk('order', 7, buyer => 'carla'), public.talked() \g /dev/null
SELECT public.talk('ticket', 7, buyer => 'dora') \g /dev/null
SELECT is(right(public.talked(), 10), '7 unlinked', 'two people');
INSERT INTO talk.customer_identity (platform, shop, scope, key_type, key_value, subject, version, precedence, tied, flags, staging_id)
SELECT 'wecom', '', '', 'open_uid', k, 'wecom:contact:1', now(), '1', false, '{}', 1 FROM unnest('{carla,dora}'::text[]) AS k;
SELECT is(right(public.talked(), 20), '7 suggested customer', 'who are one after all');
-- a field that was found to hold the order: payloads about no order are read again
INSERT INTO talk.staging (platform, payload) VALUES ('zendesk', '{"ticket": {"id": 8, "subject": "x", "where": "550000000000001007", "status": "open", "created_at": "2025-11-10T05:00:00Z", "updated_at": "2025-11-10T05:00:00Z"}}');
SELECT public.talked() \g /dev/null
SELECT is((SELECT state FROM talk.staging ORDER BY staging_id DESC LIMIT 1), 'unlinked', 'nobody knows where');
INSERT INTO talk.mapping_field (platform, kind, part, field, form, path, strict, place) VALUES ('zendesk', 'ticket', 'ticket', 'order_ref', 'id', '{$.where}', false, 1005);
SELECT settle.reread('talk', 'zendesk', 'ticket') \g /dev/null
SELECT is(right(public.talked(), 20), '8 linked order_ref 7', 'until the mapping says it');
SELECT is((SELECT state FROM talk.staging ORDER BY staging_id DESC LIMIT 1), 'applied', 'and the payload is settled');
SELECT is_empty($$ SELECT * FROM settle.check('talk') $$, 'all invariants hold there');

-- Every order of arrival ends alike: two orders, a refund, a ticket that names
-- one of them and a number of the other, and its correction. Each permutation
-- has numbers of its own, so that all of them land at once, step by step.
CREATE TABLE arrival AS
SELECT row_number() OVER () AS p, ARRAY[a, b, c, d, e] AS actions
FROM generate_series(1, 5) AS a, generate_series(1, 5) AS b, generate_series(1, 5) AS c, generate_series(1, 5) AS d, generate_series(1, 5) AS e
WHERE (SELECT count(DISTINCT x) FROM unnest(ARRAY[a, b, c, d, e]) AS x) = 5;
CREATE FUNCTION public.act(p bigint, action int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first text := '33000000000' || (10000000 + p);
    second text := '44000000000' || (10000000 + p);
BEGIN
    CASE action
        WHEN 1 THEN PERFORM public.land_order(first);
        WHEN 2 THEN PERFORM public.land_order(second);
        WHEN 3 THEN PERFORM public.land_refund('9900' || p + 100000, second);
        WHEN 4 THEN PERFORM public.land_ticket('p' || p, '订单' || first || '有问题');
        WHEN 5 THEN PERFORM public.land_ticket('p' || p, '不是订单，是退款9900' || p + 100000, field => CASE WHEN p % 2 = 0 THEN second END, version => 2);
    END CASE;
END $$;
DO $$
BEGIN
    FOR round IN 1 .. 5 LOOP
        PERFORM public.act(a.p, a.actions[round]) FROM arrival AS a WHERE a.p <= 120 ORDER BY a.p;
        PERFORM public.link();
    END LOOP;
    -- the same, linked once
    PERFORM public.act(a.p + 1000, a.actions[round]) FROM generate_series(1, 5) AS round, arrival AS a ORDER BY round, a.p;
    PERFORM public.link();
END $$;
SELECT is((SELECT array_agg(DISTINCT concat_ws(' ', l.state, l.evidence, left(l.order_no, 2), jsonb_array_length(l.candidates))) FROM shop.ticket_link AS l WHERE l.ticket_no LIKE 'p%' AND right(l.ticket_no, -1)::int % 2 = 0),
    '{"linked order_ref 44 2"}', 'a hundred and twenty orders of arrival, linked step by step or once, end alike: by the field');
SELECT is((SELECT array_agg(DISTINCT concat_ws(' ', l.state, l.evidence, left(l.order_no, 2), jsonb_array_length(l.candidates))) FROM shop.ticket_link AS l WHERE l.ticket_no LIKE 'p%' AND right(l.ticket_no, -1)::int % 2 = 1),
    '{"linked refund 44 1"}', 'or by the refund');

-- Random texts: numbers of all platforms, landed or not, among characters of all
-- kinds. The reader knows nothing of regular expressions.
\if :{?seed}
\else
    \set seed 0.5
\endif
\if :{?texts}
\else
    \set texts 600
\endif
SELECT setseed(:seed) \g /dev/null
CREATE FUNCTION public.digits(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT string_agg(floor(random() * 10)::int::text, '') FROM generate_series(1, n) $$;
CREATE TABLE landed (platform text, number text, PRIMARY KEY (platform, number));
INSERT INTO landed SELECT 'taobao', '1' || public.digits(15 + n % 4) FROM generate_series(1, 12) AS n;
INSERT INTO landed SELECT 'doudian', '2' || public.digits(18) FROM generate_series(1, 12) AS n;
INSERT INTO landed SELECT 'youzan', 'E' || public.digits(23) FROM generate_series(1, 12) AS n;
INSERT INTO landed SELECT 'pdd', '24' || public.digits(4) || '-' || public.digits(15) FROM generate_series(1, 12) AS n;
INSERT INTO landed SELECT 'jd', '2' || public.digits(9 + n % 4) FROM generate_series(1, 12) AS n;
INSERT INTO shop.shop_order (platform, shop, order_no, lifecycle, version, precedence, tied, flags, staging_id)
SELECT platform, 'random', number, 'paid', now(), '1', false, '{}', 1 FROM landed;
CREATE TABLE random_text AS
SELECT t.n, (
    SELECT string_agg(
        CASE floor(random() * 9 + 0 * t.n)::int
            WHEN 0 THEN (ARRAY['订单', '单号：', '№', ' ', '（', '，', 'x', '-', '.', '·'])[1 + floor(random() * 10)::int]
            WHEN 1 THEN (ARRAY['E', '0.', 'e', '1', '12', '6-', 'abc', '号'])[1 + floor(random() * 8)::int]
            WHEN 2 THEN '13' || public.digits(9)
            WHEN 3 THEN '7' || public.digits(17)
            WHEN 4 THEN (ARRAY['E18', 'E+18', '.5', '。', '元', 'A', ')', '/'])[1 + floor(random() * 8)::int]
            WHEN 5 THEN '空调'
            ELSE (ARRAY['', '、', ' 单', '订'])[1 + floor(random() * 4)::int] || CASE WHEN random() < 0.5 THEN l.number ELSE translate(l.number, '0123456789E-', '０１２３４５６７８９Ｅ－') END
        END, '' ORDER BY g.i)
    FROM generate_series(1, 1 + t.n % 4) AS g (i)
    CROSS JOIN LATERAL (SELECT l.number FROM landed AS l WHERE g.i > 0 AND t.n > 0 ORDER BY random() LIMIT 1) AS l) AS body
FROM generate_series(1, :texts) AS t (n);
CREATE FUNCTION public.read_numbers(body text) RETURNS TABLE (form text, number text) LANGUAGE plpgsql AS $$
DECLARE
    t text := normalize(body, NFKC);
    at int := 1;
    stop int;
    dash int;
    before text;
    behind text;
BEGIN
    WHILE at <= length(t) LOOP
        IF position(substr(t, at, 1) IN '0123456789') = 0 THEN at := at + 1; CONTINUE; END IF;
        stop := at;
        WHILE stop < length(t) AND position(substr(t, stop + 1, 1) IN '0123456789') > 0 LOOP stop := stop + 1; END LOOP;
        before := CASE WHEN at > 1 THEN substr(t, at - 1, 1) ELSE '' END;
        behind := substr(t, stop + 1, 1);
        -- youzan: an E that follows no letter and no digit, and 23 digits
        IF stop - at = 22 AND before = 'E' AND (at < 3 OR ascii(substr(t, at - 2, 1)) > 127 OR position(lower(substr(t, at - 2, 1)) IN '0123456789abcdefghijklmnopqrstuvwxyz') = 0) THEN
            RETURN QUERY SELECT 'youzan', 'E' || substr(t, at, 23);
        END IF;
        -- pdd: six digits, a hyphen, 12 to 16
        IF stop - at = 5 AND behind = '-' AND before <> '-' THEN
            dash := stop + 1;
            WHILE dash < length(t) AND position(substr(t, dash + 1, 1) IN '0123456789') > 0 LOOP dash := dash + 1; END LOOP;
            IF dash - stop - 1 BETWEEN 12 AND 16 THEN
                RETURN QUERY SELECT 'pdd', substr(t, at, dash - at + 1);
            END IF;
        END IF;
        -- the others: a whole run of digits, no part of a word or of a decimal number
        IF (before = '' OR ascii(before) > 127 OR position(lower(before) IN 'abcdefghijklmnopqrstuvwxyz') = 0)
            AND NOT (before = '.' AND at > 2 AND position(substr(t, at - 2, 1) IN '0123456789') > 0)
            AND NOT (behind = '.' AND substr(t, stop + 2, 1) <> '' AND position(substr(t, stop + 2, 1) IN '0123456789') > 0)
            AND NOT (behind IN ('E', 'e') AND substr(t, stop + 2, 1) <> '' AND position(substr(t, stop + 2, 1) IN '0123456789+-') > 0) THEN
            IF stop - at BETWEEN 15 AND 18 THEN
                RETURN QUERY SELECT f, substr(t, at, stop - at + 1) FROM unnest('{taobao,doudian,wxshop}'::text[]) AS f;
            ELSIF stop - at BETWEEN 9 AND 12 AND NOT (stop - at = 10 AND substr(t, at, 1) = '1' AND position(substr(t, at + 1, 1) IN '3456789') > 0) THEN
                RETURN QUERY SELECT 'jd', substr(t, at, stop - at + 1);
            END IF;
        END IF;
        at := stop + 1;
    END LOOP;
END $$;
SELECT public.land_ticket('r' || n, body) FROM random_text \g /dev/null
SELECT public.link() \g /dev/null
SELECT is_empty(format($$
    SELECT r.body, e.state, e.orders, l.state, l.evidence, l.candidates
    FROM random_text AS r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(DISTINCT n.number) FILTER (WHERE d.number IS NOT NULL) = 1 THEN 'linked' WHEN count(DISTINCT n.number) FILTER (WHERE d.number IS NOT NULL) > 1 THEN 'ambiguous'
                WHEN bool_or(n.form <> 'jd') THEN 'pending' ELSE 'unlinked' END AS state,
            coalesce(jsonb_agg(DISTINCT n.number) FILTER (WHERE d.number IS NOT NULL), '[]') AS orders
        FROM public.read_numbers(r.body) AS n LEFT JOIN landed AS d ON d.platform = n.form AND d.number = n.number) AS e
    JOIN shop.ticket_link AS l ON l.ticket_no = 'r' || r.n
    WHERE l.state <> e.state OR l.state IN ('linked', 'ambiguous') AND NOT (jsonb_path_query_array(l.candidates, '$[*] ? (@.landed == true).order_no') @> e.orders AND e.orders @> jsonb_path_query_array(l.candidates, '$[*] ? (@.landed == true).order_no'))
    -- seed %s $$, :'seed'), 'random texts are read as character by character, seed ' || :'seed');
SELECT cmp_ok((SELECT count(DISTINCT state) FROM shop.ticket_link WHERE ticket_no LIKE 'r%'), '=', 4::bigint, 'to all ends');

-- what was linked stays linked when its body is reduced, and when its person is erased
CREATE TABLE linked AS SELECT l.ticket_no, public.link_of(l.ticket_no) AS link FROM shop.ticket_link AS l WHERE l.state = 'linked' AND l.decided_by IS NULL;
SELECT cmp_ok((SELECT count(DISTINCT split_part(link, ' ', 2)) FROM linked), '>=', 5::bigint, 'linked by the field, texts, refunds, parcels and payments');
ALTER TABLE shop.staging DISABLE TRIGGER append_only;
UPDATE shop.staging SET received_at = now() - interval '100 days';
ALTER TABLE shop.staging ENABLE TRIGGER append_only;
DO $$ BEGIN WHILE settle.work('shop', 'reduce') LOOP END LOOP; END $$;
SELECT is((SELECT count(*) FROM shop.staging WHERE num_nonnulls(payload, raw) = 1 AND state <> 'new'), 0::bigint, 'no body is left');
INSERT INTO shop.ticket_changed (platform, shop, ticket_no) SELECT platform, shop, ticket_no FROM shop.platform_ticket;
SELECT public.link() \g /dev/null
SELECT is_empty($$ SELECT * FROM linked WHERE link <> public.link_of(ticket_no) $$, 'tickets whose body is gone are linked as before');
SELECT count(settle.erase_person('shop', 'zendesk:ticket:' || ticket_no, 'letter 12')) FROM linked WHERE ticket_no ~ '^[0-9]+$' \g /dev/null
SELECT is((SELECT count(*) FROM shop.platform_ticket AS t JOIN linked AS l USING (ticket_no) WHERE ticket_no ~ '^[0-9]+$' AND t.title ~ '加急|坏了|没到|快递|扣了'), 0::bigint, 'their texts are gone');
SELECT cmp_ok((SELECT count(*) FROM shop.ticket_changed), '>', 0::bigint, 'and they are looked at again');
SELECT public.link() \g /dev/null
SELECT is_empty($$ SELECT * FROM linked WHERE link <> public.link_of(ticket_no) $$, 'tickets whose text is gone are linked as before');
SELECT public.land_ticket('60', '退款210033445566771没到'), settle.ingest('shop'), settle.erase_person('shop', 'zendesk:ticket:60', 'letter 13') \g /dev/null
SELECT public.link() \g /dev/null
SELECT is(public.link_of('60'), 'linked refund 2290118844770334262 2290118844770334262', 'so is one whose text went before it was read');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all invariants still hold');

DROP FUNCTION public.land_ticket(text, text, text, text, int), public.land_order(text, text[], text), public.land_refund(text, text), public.link(), public.link_of(text), public.act(bigint, int), public.talk(text, int, text, text, int), public.talked(), public.digits(int), public.read_numbers(text);
SELECT * FROM finish();
