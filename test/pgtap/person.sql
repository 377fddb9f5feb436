-- Personal data: where it stands, who sees what of it, how it goes.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('shop') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Persons come from payloads
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.taobao(order_no text, at text, more jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', order_no, 'seller_nick', 's', 'modified', at, 'created', at,
    'status', 'WAIT_SELLER_SEND_GOODS', 'pay_time', at, 'payment', '10.00', 'post_fee', '0.00', 'receiver_state', '浙江省', 'receiver_city', '杭州市', 'receiver_district', '西湖区',
    'orders', jsonb_build_object('order', jsonb_build_array(jsonb_build_object('oid_str', order_no, 'num', 1, 'price', '10.00', 'payment', '10.00', 'divide_order_fee', '10.00', 'refund_status', 'NO_REFUND', 'invoice_no', 'SF1000000000' || right(order_no, 3))))) || more));
CREATE FUNCTION public.persons(platform text, payload jsonb) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg((m.columns - '{platform,shop,version}'::text[])::text, ' ' ORDER BY m.columns ->> 'role') FROM settle.map_payload('shop', platform, payload => payload) AS m WHERE m.entity = 'person');
SELECT is(public.persons('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": "王芳", "receiver_mobile": "", "receiver_phone": "0571-88888888", "receiver_address": "文三路 1 号", "receiver_town": "北山街道", "buyer_nick": "芳芳"}')),
    '{"nick": "芳芳", "role": "buyer", "subject": "taobao:order:5100000000000000001"} {"city": "杭州市", "name": "王芳", "role": "receiver", "town": "北山街道", "phone": "0571-88888888", "address": "文三路 1 号", "subject": "taobao:order:5100000000000000001", "district": "西湖区", "province": "浙江省"}',
    'receiver and buyer of an order');
SELECT is(public.persons('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": "", "buyer_nick": null}')), NULL, 'an order of which nothing personal is known has no person');
SELECT is((SELECT m.reason FROM settle.map_payload('shop', 'taobao', payload => public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": {"a": "王芳"}, "receiver_mobile": "13900000001"}')) AS m WHERE m.reason IS NOT NULL), NULL, 'a name that is no text does not cost the order');
SELECT is(public.persons('zendesk', '{"ticket": {"id": 7, "status": "open", "updated_at": "2025-11-14T05:00:00Z", "via": {"source": {"from": {"name": "王芳", "phone": "+8613900000001", "address": "fang@example.invalid"}}}}}'),
    '{"name": "王芳", "role": "contact", "email": "fang@example.invalid", "phone": "+8613900000001", "subject": "zendesk:ticket:7"}', 'the requester of a ticket');
SELECT is(public.persons('wecom', '{"external_contact": {"external_userid": "wm1", "name": "芳芳", "type": 1}, "follow_user": [{"userid": "anna", "createtime": 1762912830, "remark": "王芳", "remark_mobiles": ["13900000001"]}]}'),
    '{"name": "王芳", "nick": "芳芳", "role": "contact", "phone": "13900000001", "subject": "wecom:contact:wm1"}', 'a contact, with what the staff noted of him');

SELECT * FROM finish();
