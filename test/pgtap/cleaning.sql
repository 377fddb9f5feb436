-- Cleaning, point by point: what platforms get wrong, leave out or write in two
-- ways, and what the book makes of it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('shop') \g /dev/null

-- one order of each platform; what is given goes over it
CREATE FUNCTION public.taobao(trade jsonb, lines jsonb DEFAULT '[{}]') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', '{"tid_str": "4400000000000000017", "status": "WAIT_SELLER_SEND_GOODS", "created": "2025-11-11 10:00:00", "modified": "2025-11-11 10:00:30", "pay_time": "2025-11-11 10:00:29", "payment": "10.00", "post_fee": "0.00"}'
        || trade || jsonb_build_object('orders', jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid_str', '440000000000000010' || n, 'num', 1, 'price', '10.00', 'refund_status', 'NO_REFUND') || l ORDER BY n) FROM jsonb_array_elements(lines) WITH ORDINALITY AS l (l, n)))))) $$;
CREATE FUNCTION public.jd(o jsonb, items jsonb, coupons jsonb DEFAULT '[]') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('r', jsonb_build_object('searchorderinfo_result', jsonb_build_object('orderInfoList', jsonb_build_array(
        '{"orderId": "284500000001", "orderState": "WAIT_SELLER_STOCK_OUT", "modified": "2025-11-11 00:20:40", "paymentConfirmTime": "2025-11-11 00:20:39", "orderPayment": "10.00", "freightPrice": "0.00"}' || o
        || jsonb_build_object('itemInfoList', items, 'couponDetailList', coupons))))) $$;
CREATE FUNCTION public.doudian(o jsonb, lines jsonb DEFAULT '[]') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('data', jsonb_build_object('shop_order_detail', '{"order_id": "6930000000000000001", "main_status": 2, "create_time": 1762912800, "update_time": 1762912830, "pay_time": 1762912829, "pay_amount": 1000}' || o || jsonb_build_object('sku_order_list', lines))) $$;
CREATE FUNCTION public.pdd(o jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('order_info_get_response', jsonb_build_object('order_info', '{"order_sn": "251111-118844770334261", "order_status": 1, "confirm_status": 1, "refund_status": 1, "pay_amount": 10, "created_time": "2025-11-11 00:00:10", "pay_time": "2025-11-11 00:00:29", "updated_at": "2025-11-11 00:01:00", "item_list": [{"sku_id": 5, "goods_count": 1, "goods_price": 10}]}' || o)) $$;
CREATE FUNCTION public.refund(r jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('refund_get_response', jsonb_build_object('refund', '{"refund_id": "9902", "tid": 4400000000000000017, "oid": 4400000000000000018, "status": "SUCCESS", "refund_fee": "3.34", "payment": "6.66", "refund_version": 1763000000000, "modified": "2025-11-13 10:00:00"}' || r)) $$;
CREATE FUNCTION public.said(platform text, payload jsonb, entity text, columns text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg((SELECT string_agg(coalesce(m.columns ->> c, '-'), ' ' ORDER BY n) FROM unnest(said.columns) WITH ORDINALITY AS c (c, n)), ', ' ORDER BY (m.columns ->> 'position')::int)
    FROM settle.map_payload('shop', platform, payload => payload) AS m WHERE m.entity = said.entity $$;
CREATE FUNCTION public.verdict(platform text, payload jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT coalesce(m.reason, array_to_string(m.flags, ',')), ' ') FROM settle.map_payload('shop', platform, payload => payload) AS m $$;

-- ids
SELECT is(public.verdict('taobao', public.taobao('{"tid": 4400000000000000000, "tid_str": "4400000000000000000", "sid": "4400000000000000017"}')), 'id_precision_lost', 'an id that a program has rounded contradicts its twin');
SELECT is(public.verdict('taobao', public.taobao('{"tid_str": 9223372036854775808123}')), 'id_gt_int63', 'one beyond 2^63 is a text like others, and flagged');
SELECT is(public.said('taobao', public.taobao('{"tid_str": 9223372036854775808123}'), 'shop_order', '{order_no}'), '9223372036854775808123', 'with all its digits');
SELECT is(public.verdict('taobao', public.taobao('{"tid_str": "4.4E+18"}')), 'id_precision_lost', 'as a spreadsheet writes it');
SELECT is(public.said('doudian', public.doudian('{}', '[{"order_id": "6930000000000000001", "pay_amount": 600}, {"order_id": "6930000000000000002", "pay_amount": 400}]'), 'order_line', '{order_no,line_no,line_paid}'),
    '6930000000000000001 6930000000000000001 6.00, 6930000000000000001 6930000000000000002 4.00', 'the first part of an order of Doudian has the number of the order');

-- amounts
SELECT is(public.said('taobao', public.taobao('{"payment": "10.00"}', '[{"payment": "9.00", "divide_order_fee": "3.34"}, {"payment": "9.00", "divide_order_fee": "3.33"}, {"payment": "9.00", "divide_order_fee": "3.33"}]'), 'order_line', '{line_amount,line_paid}'),
    '9.00 3.34, 9.00 3.33, 9.00 3.33', 'what was paid for lines is what discounts of the order have left');
SELECT is(public.said('jd', public.jd('{}', '[{"skuId": "1", "jdPrice": "5.00", "itemTotal": "1"}, {"skuId": "2", "jdPrice": "5.00", "itemTotal": "1"}, {"skuId": "3", "jdPrice": "5.00", "itemTotal": "1"}]'), 'order_line', '{line_no,line_paid,allocated}'),
    '1 3.34 true, 2 3.33 true, 3 3.33 true', 'cents that do not divide go to the first of the largest remainders');
SELECT is(public.said('jd', public.jd('{"orderPayment": "16.00", "freightPrice": "6.00"}', '[{"skuId": "1", "jdPrice": "12.00", "itemTotal": "1"}, {"skuId": "2", "jdPrice": "3.00", "itemTotal": "2"}, {"skuId": "3", "jdPrice": "0.00", "itemTotal": "1"}]', '[{"skuId": "1", "couponType": "30", "couponPrice": "8.00"}, {"skuId": "", "couponType": "41-x", "couponPrice": "1.00"}]'),
    'order_line', '{line_no,line_paid,is_gift}'), '1 4.00 false, 2 6.00 false, 3 0.00 true', 'without freight, after the line''s own coupon, and nothing to a gift');
SELECT is(public.said('taobao', public.taobao('{}', '[{"payment": "20.00"}, {"payment": "5.00", "is_free_gift": true}, {"payment": "5.00", "price": "0.00"}]'), 'order_line', '{line_paid,is_gift}'), '10.00 false, 0.00 true, 0.00 true', 'gifts bear no discount and no payment');
SELECT is(public.said('youzan', '{"data": {"full_order_info": {"order_info": {"tid": "E20251111092000000600044", "status": "TRADE_PAID", "update_time": "2025-11-11 10:00:00", "created": "2025-11-11 09:00:00"}, "pay_info": {"payment": "10.00", "post_fee": "0.00"}, "orders": [{"oid": "1", "num": 1, "price": "10.00", "payment": "10.00", "is_present": false}, {"oid": "2", "num": 1, "price": "0.00", "payment": "0.00", "is_present": false}, {"oid": "3", "num": 1, "price": "9.00", "payment": "0.00", "is_present": true}]}}}',
    'order_line', '{is_gift}'), 'false, true, true', 'a present, or a price of nothing');
SELECT is(public.said('doudian', public.doudian('{}', '[{"order_id": "1", "pay_amount": 1000, "origin_amount": 1000}, {"order_id": "2", "pay_amount": 0, "origin_amount": 900, "given_product_type": "FREE"}, {"order_id": "3", "pay_amount": 0, "origin_amount": 0}]'), 'order_line', '{is_gift}'), 'false, true, true', 'as Doudian says it');
SELECT is(public.verdict('taobao', public.taobao('{"payment": "10.05"}', '[{"divide_order_fee": "3.34"}, {"divide_order_fee": "3.33"}, {"divide_order_fee": "3.33"}]')), 'amount_mismatch', 'more than a cent a line is flagged');
SELECT is(public.verdict('taobao', public.taobao('{"payment": "10.03"}', '[{"divide_order_fee": "3.34"}, {"divide_order_fee": "3.33"}, {"divide_order_fee": "3.33"}]')), '', 'a cent a line is not');
SELECT is(public.said('pdd', public.pdd('{"pay_amount": 154.70000000000002}'), 'shop_order', '{payable_amount}'), '154.70', 'noise of doubles');
SELECT is(public.said('pdd', public.pdd('{"pay_amount": 0.285}'), 'shop_order', '{payable_amount}'), '0.29', 'is rounded half up');
SELECT is(public.verdict('taobao', public.taobao(('{"payment": ' || v || '}')::jsonb)), reason, 'a payment of ' || v) FROM (VALUES ('"1,299.00"', 'amount_type'), ('"１２.５"', 'amount_type'), ('"NaN"', 'amount_type'), ('"1e3"', 'amount_type'), ('"12.50元"', 'amount_type'), ('"-1.00"', 'negative_amount'), ('" 12.5 "', 'amount_type'), ('true', 'amount_type')) AS v (v, reason);
SELECT is(public.verdict('doudian', public.doudian('{"pay_amount": "161.20"}')), 'amount_type', 'fen with a point are an error, no guess');
SELECT is(public.said('taobao', public.refund('{}'), 'refund', '{refund_amount,effective_amount}'), '3.34 3.34', 'what a refund moved, not what the seller keeps');
SELECT is(public.said('taobao', public.refund(('{"dispute_type": "' || t || '"}')::jsonb), 'refund', '{refund_amount,effective_amount,moves_money}'), '3.34 0 false', t || ' moves no money') FROM unnest('{TMALL_EXCHANGE,REPAIR,RESHIPPING}'::text[]) AS t;

-- what was paid
SELECT is(public.said('taobao', public.taobao('{"status": "TRADE_CLOSED_BY_TAOBAO", "pay_time": null, "payment": "199.00"}'), 'shop_order', '{paid_amount,payable_amount}'), '0 199.00', 'an order that was never paid prints a payment');
SELECT is(public.said('taobao', public.taobao('{"status": "WAIT_BUYER_PAY", "pay_time": null, "step_trade_status": "FRONT_PAID_FINAL_NOPAID", "step_paid_fee": "100.00", "payment": "899.00"}'), 'shop_order', '{paid_amount,presale_step,lifecycle}'), '100.00 deposit_paid created', 'one that waits for its final payment has a deposit');
SELECT is(public.said('taobao', public.taobao('{"status": "TRADE_CLOSED", "pay_time": null, "step_trade_status": "FRONT_PAID_FRONT_FORFEITED", "step_paid_fee": "100.00"}'), 'shop_order', '{paid_amount,presale_step}'), '100.00 deposit_forfeited', 'which may stay with the seller');
SELECT is((public.said('doudian', public.doudian('{"trade_type": 2, "main_status": 103, "pay_time": 0, "order_phase_list": [{"current_phase": 1, "pay_success": true, "phase_payable_price": 5000, "phase_pay_time": 1762912829}, {"current_phase": 2, "pay_success": false, "phase_payable_price": 44900, "phase_pay_time": 0}]}'), 'shop_order', '{deposit_at,paid_at}')), '2025-11-12T10:00:29+08:00 -', 'when it was paid');

-- times that are none
SELECT is(public.said('jd', public.jd(jsonb_build_object('orderEndTime', t, 'orderState', 'FINISHED_L'), '[]'), 'shop_order', '{completed_at}'), '-', t || ' means none') FROM unnest('{"0001-01-01 00:00:00","1970-01-01 08:00:00","0000-00-00 00:00:00",""}'::text[]) AS t;
SELECT is(public.said('doudian', public.doudian('{"pay_time": 0}'), 'shop_order', '{paid_at,paid_amount}'), '- 0', 'so does 0');
SELECT is(public.verdict('taobao', public.taobao(jsonb_build_object('pay_time', t))), 'timestamp', t || ' is no time') FROM unnest('{now,infinity,20251111,2025-11-11,11/12/2025,"2025-02-30 00:00:00","2025-11-11 24:00:01","2025年04月01日 17:58:11",1762912829}'::text[]) AS t;
SELECT is(public.verdict('doudian', public.doudian('{"create_time": 1762912800000}')), 'timestamp', 'nor are milliseconds where seconds are declared');

-- text
SELECT is(public.said('taobao', public.taobao(jsonb_build_object('alipay_no', v)), 'shop_order', '{pay_trade_no}'), '-', 'null in all its spellings') FROM unnest(ARRAY['null', '""', '"null"']::jsonb[]) AS v;
SELECT is((SELECT count(*) FROM settle.map_payload('shop', 'taobao', payload => public.taobao(jsonb_build_object('buyer_open_uid', v))) AS m WHERE m.entity = 'customer_identity'), 0::bigint, 'which is nobody''s key') FROM unnest(ARRAY['null', '""', '"null"']::jsonb[]) AS v;
SELECT is(public.verdict('taobao', public.taobao('{"tid_str": "null"}')), 'missing_order_id', 'nor an order');
SELECT is(public.said('taobao', public.taobao('{}', '[{"title": "云朵🍊 茶"}]'), 'order_line', '{title}'), '云朵🍊 茶', 'emoji are characters');
SELECT is(public.verdict('taobao', public.taobao('{}', jsonb_build_array(jsonb_build_object('title', t)))), 'garbled_text', t || ' was read in a wrong encoding once, amounts are used') FROM unnest(ARRAY['³ÎÒ°Æì½¢µê', '锟斤拷茶', U&'tea \FFFD']) AS t;
SELECT is(public.said('taobao', '{"topic": "taobao_trade_TradeBuyerPay", "id": "1", "content": "{\"tid\": 4400000000000000017}", "time": "2025-11-11 10:00:00"}', 'shop_order', '{order_no}'), NULL, 'a push changes no order');
SELECT is((SELECT array_agg(DISTINCT entity) FROM settle.map_payload('shop', 'weiban', payload => '{"work_order": {"order_no": "202511140000456", "status": 3, "title": "x", "created_at": 1762912800, "updated_at": 1762912800}}')), '{platform_ticket}', 'what Weiban calls order_no is the number of its ticket');
SELECT is(public.said('weiban', '{"work_order": {"order_no": "202511140000456", "status": 3, "title": "x", "created_at": 1762912800, "updated_at": 1762912800}}', 'platform_ticket', '{ticket_no,order_ref}'), '202511140000456 -', 'and names no order');

DROP FUNCTION public.taobao(jsonb, jsonb), public.jd(jsonb, jsonb, jsonb), public.doudian(jsonb, jsonb), public.pdd(jsonb), public.refund(jsonb), public.said(text, jsonb, text, text[]), public.verdict(text, jsonb);
SELECT * FROM finish();
