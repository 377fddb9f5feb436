-- Who of the staff served an order line: the first evidence that gives anybody,
-- by the aliases and followings in force when it was ordered; an estimate until
-- it is confirmed, and then nothing moves it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS staff_reader;
CREATE ROLE staff_reader;
SELECT settle.create_book('served') \g /dev/null
SELECT settle.grant_access('served', 'staff_reader', 'reader') \g /dev/null

-- an order of three lines as Taobao sends it; guides: of the order, then of its lines
CREATE FUNCTION public.sell(no text, ordered text, guides text[] DEFAULT '{}', memo text DEFAULT NULL, buyer text DEFAULT NULL, version text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO served.staging (platform, payload) SELECT 'taobao', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object(
        'tid_str', no, 'seller_nick', 'corner', 'status', 'WAIT_SELLER_SEND_GOODS', 'created', '2025-11-' || ordered || ':00', 'pay_time', '2025-11-' || ordered || ':00',
        'modified', '2025-11-' || coalesce(version, ordered) || ':00', 'payment', '30.00', 'seller_memo', memo, 'buyer_open_uid', buyer, 'o2o_guide_id', guides[1], 'alipay_no', 'pay' || no,
        'orders', jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid_str', no || '-' || n, 'num', 1, 'price', '10.00', 'payment', '10.00', 'divide_order_fee', '10.00',
            'refund_status', 'NO_REFUND', 'o2o_guide_id', guides[n + 1])) FROM generate_series(1, 3) AS n))))) $$;
CREATE FUNCTION public.contact(customer text, follows jsonb, unionid text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO served.staging (platform, payload) SELECT 'wecom', jsonb_build_object('external_contact', jsonb_build_object('external_userid', customer, 'unionid', unionid, 'type', 1), 'follow_user',
        (SELECT jsonb_agg(jsonb_build_object('userid', f ->> 0, 'createtime', extract(epoch FROM ('2025-11-' || (f ->> 1))::timestamptz)::bigint, 'add_way', f -> 2)) FROM jsonb_array_elements(follows) AS f)) $$;
CREATE FUNCTION public.push(change text, staff text, customer text, at text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO served.staging (platform, payload) SELECT 'wecom', jsonb_build_object('ToUserName', 'corp', 'FromUserName', 'sys', 'CreateTime', extract(epoch FROM ('2025-11-' || at)::timestamptz)::bigint::text,
        'ChangeType', change, 'UserID', staff, 'ExternalUserID', customer) $$;
-- the order and the contact are of one person
CREATE FUNCTION public.same_person(no text, customer text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO served.customer_identity (platform, shop, scope, key_type, key_value, subject, version, precedence, tied, flags, staging_id)
    SELECT split_part(s, ':', 1), '', '', 'unionid', 'union-' || customer, s, now(), '', false, '{}', 0
    FROM unnest(ARRAY['taobao:order:' || no, 'wecom:contact:' || customer]) AS s ON CONFLICT DO NOTHING $$;
CREATE PROCEDURE public.tick() LANGUAGE plpgsql AS $$ BEGIN
    PERFORM settle.ingest('served');
    WHILE settle.work('served', 'customers') LOOP END LOOP;
    WHILE settle.work('served', 'links') OR settle.work('served', 'campaigns') OR settle.work('served', 'staff') LOOP END LOOP;
END $$;
CREATE FUNCTION public.served(no text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s:%s %s%s', right(line_no, 1), staffs, evidence, CASE WHEN estimate THEN '?' END), ', ' ORDER BY line_no)
    FROM (SELECT line_no, evidence, estimate, string_agg(staff || CASE WHEN weight <> 1 THEN '*' || weight ELSE '' END, '+' ORDER BY staff) AS staffs FROM served.order_staff WHERE order_no = no GROUP BY 1, 2, 3) AS x $$;

-- guides of lines and of the order; what nobody knows is seen and kept
SELECT public.sell('1001', '12 10:00', '{G9,G1}') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1001'), NULL, 'references that nobody knows give nobody');
SELECT results_eq($$ SELECT kind, platform, shop, reference, orders, amount FROM served.unknown_alias ORDER BY reference $$,
    $$ VALUES ('person', 'taobao', 'corner', 'G1', 1::bigint, 10.00), ('person', 'taobao', 'corner', 'G9', 1, 30.00) $$, 'they stand in a view with the money that waits');
SELECT settle.set_staff_alias('served', 'taobao', 'corner', 'G1', '1001', reason => 'entered late') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1001'), '1:1001 line_guide', 'an alias attributes what hung on it');
SELECT settle.set_staff_alias('served', 'taobao', '', 'G9', '1009') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1001'), '1:1001 line_guide, 2:1009 order_guide, 3:1009 order_guide', 'the guide of a line comes before that of the order; an alias without a shop is for all');
SELECT is_empty('SELECT * FROM served.unknown_alias', 'nothing is unknown any more');
SELECT settle.set_staff_alias('served', 'taobao', 'corner', 'G9', '1010') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1001'), '1:1001 line_guide, 2:1010 order_guide, 3:1010 order_guide', 'that of the shop comes first');
SELECT is((SELECT string_agg(weights::text || CASE WHEN replaced_at IS NULL THEN '' ELSE ' until the next' END, ', ' ORDER BY attribution_id) FROM served.attribution WHERE line_no = '1001-2'),
    '{"1009": 1} until the next, {"1010": 1}', 'what was said before is kept');
SELECT is((SELECT count(*) FROM served.attribution AS a JOIN served.attribution AS b USING (line_no) WHERE a.replaced_at IS NOT NULL AND b.attribution_id > a.attribution_id AND a.replaced_at <> b.attributed_at), 0::bigint, 'one ends when the next begins');
SELECT is((SELECT string_agg(DISTINCT step, ',') FROM served.order_changed), 'orders', 'each order goes on to the next step');

-- who left keeps what is from before; a reference passes to another
SELECT settle.end_staff_alias('served', 'taobao', 'corner', 'G1', '2025-11-13 00:00', reason => 'left') \g /dev/null
SELECT public.sell('1002', '13 10:00', '{NULL,G1}') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1001'), '1:1001 line_guide, 2:1010 order_guide, 3:1010 order_guide', 'an order from before he left stays his');
SELECT is(public.served('1002'), NULL, 'one from after it does not');
SELECT is((SELECT reference || ' ' || orders FROM served.unknown_alias), 'G1 1', 'but is seen');
SELECT settle.set_staff_alias('served', 'taobao', 'corner', 'G1', '1005', since => '2025-11-13 09:00') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1002'), '1:1005 line_guide', 'the account is somebody else''s now');
SELECT results_eq($$ SELECT staff, valid FROM served.staff_alias WHERE staff_ref = 'G1' ORDER BY valid $$,
    $$ VALUES ('1001', tstzrange(NULL, '2025-11-13 00:00+08')), ('1005', tstzrange('2025-11-13 09:00+08', NULL)) $$, 'aliases have times');
SELECT settle.set_staff_alias('served', 'taobao', 'corner', 'G1', '1006', since => '2025-11-12 12:00') \g /dev/null
SELECT results_eq($$ SELECT staff, valid FROM served.staff_alias WHERE staff_ref = 'G1' ORDER BY valid $$,
    $$ VALUES ('1001', tstzrange(NULL, '2025-11-12 12:00+08')), ('1006', tstzrange('2025-11-12 12:00+08', '2025-11-13 00:00+08')), ('1005', tstzrange('2025-11-13 09:00+08', NULL)) $$, 'one in between ends where the one it cuts ended');
SELECT throws_ok($$ INSERT INTO served.staff_alias (platform, shop, staff_ref, staff, valid) VALUES ('taobao', 'corner', 'G1', '1007', '[2025-11-01,2025-11-02)') $$, '23P01', NULL, 'a reference means one at a time');
SELECT settle.set_staff_alias('served', 'taobao', 'corner', 'G1', NULL, since => '2025-11-13 09:00') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('1002'), NULL, 'nobody of the staff');
SELECT is_empty('SELECT * FROM served.unknown_alias', 'and known to be');

-- followers, at the time of the order
SELECT settle.set_staff_alias('served', 'wecom', '', 'ann', '1001') \g /dev/null
SELECT settle.set_staff_alias('served', 'wecom', '', 'bob', '1002') \g /dev/null
SELECT settle.set_staff_alias('served', 'wecom', '', 'cat', '1003') \g /dev/null
SELECT public.contact('w1', '[["ann", "01 10:00", 1], ["bob", "05 10:00", 1], ["cat", "07 10:00", 202]]', 'union-w1') \g /dev/null
SELECT public.push('del_follow_user', 'bob', 'w1', '10 10:00') \g /dev/null
SELECT public.sell('2001', '04 10:00'), public.sell('2002', '06 10:00'), public.sell('2003', '08 10:00'), public.sell('2004', '10 12:00'), public.sell('2005', '01 09:00') \g /dev/null
SELECT public.same_person(n::text, 'w1') FROM generate_series(2001, 2005) AS n \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('2001'), '1:1001 follower, 2:1001 follower, 3:1001 follower', 'one follower');
SELECT is(split_part(public.served('2002'), ',', 1), '1:1002 follower', 'the last before the order');
SELECT is(split_part(public.served('2003'), ',', 1), '1:1003 follower', 'an assigned one counts');
SELECT is(public.served('2005'), NULL, 'nobody followed yet');
UPDATE served.book SET follower_inherited = false;
CALL public.tick() \g /dev/null
SELECT is(split_part(public.served('2003'), ',', 1), '1:1002 follower', 'or does not count');
SELECT is(split_part(public.served('2004'), ',', 1), '1:1001 follower', 'who was removed before the order does not');
UPDATE served.book SET follower_policy = 'first';
CALL public.tick() \g /dev/null
SELECT is(split_part(public.served('2002'), ',', 1), '1:1001 follower', 'the first one');
UPDATE served.book SET follower_policy = 'last', follower_inherited = true;
SELECT public.push('del_external_contact', 'ann', 'w1', '03 10:00') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('2001'), NULL, 'a push that comes late takes back what it contradicts');
SELECT results_eq($$ SELECT staff_ref, to_char(lower(valid), 'DD HH24:MI'), to_char(upper(valid), 'DD HH24:MI'), how, ended_by FROM served.follow_period ORDER BY 1, 2 $$,
    $$ VALUES ('ann', '01 10:00', '03 10:00', 'added', 'removed_by_staff'), ('bob', '05 10:00', '10 10:00', 'added', 'removed_by_customer'), ('cat', '07 10:00', NULL, 'inherited', NULL) $$, 'periods');
SELECT public.push('transfer_fail', 'cat', 'w1', '07 20:00'), public.push('transfer_fail', 'bob', 'w1', '06 20:00') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is((SELECT string_agg(staff_ref || ' ' || ended_by, ', ' ORDER BY staff_ref) FROM served.follow_period), 'ann removed_by_staff, bob removed_by_customer, cat transfer_failed', 'a transfer that failed ends what was inherited and nothing else');
SELECT is((SELECT count(*) FROM served.signal), 4::bigint, 'pushes are signals as before');

-- payments to the staff, live rooms, memos
SELECT public.sell('3001', '12 10:00', '{}', '客户说 小满二号 跟进'), public.sell('3002', '12 10:00', '{G9}', '小满') \g /dev/null
INSERT INTO served.staff_alias (platform, kind, staff_ref, staff) VALUES ('', 'word', '小满', '1001'), ('taobao', 'word', '小满二号', '1002'), ('', 'word', 'ＢＯＢ', '1003');
INSERT INTO served.staging (platform, payload) VALUES ('wecom', '{"bill_list": [
    {"transaction_id": "pay3002", "out_trade_no": "W1", "mch_id": "m", "trade_state": 1, "external_userid": "w1", "payee_userid": "ann", "total_fee": 2000, "total_refund_fee": 0, "pay_time": 1762912800},
    {"transaction_id": "t2", "out_trade_no": "W2", "mch_id": "m", "trade_state": 3, "external_userid": "w1", "payee_userid": "bob", "total_fee": 3000, "total_refund_fee": 2000, "pay_time": 1762912800, "remark": "3002"},
    {"transaction_id": "t3", "out_trade_no": "W3", "mch_id": "m", "trade_state": 3, "external_userid": "w1", "payee_userid": "cat", "total_fee": 500, "total_refund_fee": 500, "pay_time": 1762912800, "remark": "3002"}]}');
CALL public.tick() \g /dev/null
SELECT is(split_part(public.served('3001'), ',', 1), '1:1002 memo?', 'a word inside a longer one that was found is not meant; a memo is an estimate');
SELECT is((SELECT string_agg(staff || ' ' || weight, ', ' ORDER BY staff) || ' ' || min(evidence) FROM served.order_staff WHERE line_no = '3002-1'), '1001 20.00, 1002 10.00 payment', 'money that the staff took is the strongest; they share by what they kept');
UPDATE served.evidence SET enabled = false WHERE evidence = 'payment';
CALL public.tick() \g /dev/null
SELECT is(split_part(public.served('3002'), ',', 1), '1:1010 order_guide', 'the order of evidence is data');
INSERT INTO served.evidence (evidence, platform, rank) VALUES ('memo', 'taobao', 5);
CALL public.tick() \g /dev/null
SELECT is(split_part(public.served('3002'), ',', 1), '1:1001 memo', 'a platform may have its own');
DELETE FROM served.evidence WHERE platform = 'taobao';
UPDATE served.evidence SET enabled = true WHERE evidence = 'payment';
INSERT INTO served.staging (platform, payload) VALUES ('doudian', '{"data": {"shop_order_detail": {"order_id": "D1", "shop_id": 7, "main_status": 2, "create_time": 1762912800, "update_time": 1762912830, "pay_amount": 200, "sku_order_list": [
    {"order_id": "D1", "item_num": 1, "origin_amount": 100, "pay_amount": 100, "author_id": 555, "room_id_str": "R1"}, {"order_id": "D2", "item_num": 1, "origin_amount": 100, "pay_amount": 100, "author_id": 0, "room_id_str": "0"}]}}}');
SELECT settle.set_staff_alias('served', 'doudian', '', '555', '1004') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('D1'), '1:1004 live_room, 2:1004 live_room', 'the author of a broadcast');
SELECT settle.set_staff_alias('served', 'doudian', '', '555', NULL), settle.set_staff_alias('served', 'doudian', '7', 'R1', '1008', kind => 'room') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('D1'), '1:1008 live_room, 2:1008 live_room', 'or whose room it was');

-- a weaker evidence below a name that nobody knows is an estimate
SELECT public.sell('4001', '12 10:00', '{G9,G77}') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('4001'), '1:1010 order_guide?, 2:1010 order_guide, 3:1010 order_guide', 'somebody unknown may be the one');

-- Youzan: an estimate until the result is announced and fetched
CREATE FUNCTION public.youzan(staff jsonb, received text, version text DEFAULT '12 10:00:00') RETURNS void LANGUAGE sql AS $$
    INSERT INTO served.staging (platform, received_at, payload) SELECT 'youzan', ('2025-11-' || received)::timestamptz, jsonb_build_object('data', jsonb_build_object('full_order_info', jsonb_build_object(
        'order_info', jsonb_build_object('tid', 'E20251112100000000000017', 'status', 'WAIT_SELLER_SEND_GOODS', 'created', '2025-11-12 09:00:00', 'pay_time', '2025-11-12 09:01:00', 'update_time', '2025-11-' || version, 'node_kdt_id', 9, 'refund_state', 0),
        'pay_info', jsonb_build_object('payment', '30.00', 'real_payment', '30.00'),
        'orders', jsonb_build_array(jsonb_build_object('oid', '1', 'num', 1, 'price', '20.00', 'payment', '20.00', 'item_sales_staff', staff), jsonb_build_object('oid', '2', 'num', 1, 'price', '10.00', 'payment', '10.00', 'item_sales_staff', '[]'::jsonb))))) $$;
UPDATE served.book SET staging_days = 100000;
CREATE FUNCTION public.announce(msg text, received text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO served.staging (platform, received_at, payload) VALUES ('youzan', ('2025-11-' || received)::timestamptz, jsonb_build_object('msg_id', msg, 'kdt_id', 9, 'type', 'youzan_guide_OrderAttributeResult', 'id', 'E20251112100000000000017', 'version', 1762912800)) $$;
SELECT settle.set_staff_alias('served', 'youzan', '', 'Y' || n, '200' || n) FROM generate_series(1, 3) AS n \g /dev/null
SELECT public.youzan('["Y1", "Y2"]', '12 10:05') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('E20251112100000000000017'), '1:2001+2002 line_guide?', 'two of the staff share; a line that names nobody is nobody''s; an estimate');
SELECT public.announce('m1', '12 11:00') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('E20251112100000000000017'), '1:2001+2002 line_guide?', 'the announcement says nothing itself');
SELECT public.youzan('["Y1", "Y2"]', '12 11:05') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(public.served('E20251112100000000000017'), '1:2001+2002 line_guide', 'fetched since, though nothing was new: final');
SELECT results_eq('SELECT line_no, weights, confirmed_by FROM served.staff_confirmation', $$ VALUES ('1', '{"2001": 1, "2002": 1}'::jsonb, 'youzan') $$, 'and confirmed');
INSERT INTO served.staging (platform, payload) VALUES ('wecom', '{"bill_list": [{"transaction_id": "t9", "out_trade_no": "E20251112100000000000017", "mch_id": "m", "trade_state": 1, "payee_userid": "ann", "total_fee": 3000, "total_refund_fee": 0, "pay_time": 1762912800}]}');
CALL public.tick() \g /dev/null
SELECT is(public.served('E20251112100000000000017'), '1:2001+2002 line_guide, 2:1001*30.00 payment', 'nothing moves a confirmed line');
DELETE FROM served.shop_payment WHERE payment_no = 't9';
SELECT public.youzan('["Y3"]', '12 12:00', '12 11:30:00') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is(split_part(public.served('E20251112100000000000017'), ',', 1), '1:2001+2002 line_guide', 'another final result does not either');
SELECT results_eq($$ SELECT object, message FROM served.alert WHERE kind = 'staff' AND ended_at IS NULL $$,
    $$ VALUES ('youzan 9 E20251112100000000000017 1', 'confirmed as {"2001": 1, "2002": 1} by youzan, the platform says {"2003": 1}') $$, 'it is shown');
SELECT settle.confirm_staff('served', 'youzan', '9', 'E20251112100000000000017', '1', '2003', 'asked the shop') \g /dev/null
SELECT is(split_part(public.served('E20251112100000000000017'), ',', 1), '1:2003 confirmed', 'until somebody decides');
SELECT is((SELECT ended_by || ': ' || reason FROM served.alert WHERE kind = 'staff'), session_user || ': asked the shop', 'which settles the alert');
SELECT is((SELECT count(*) FROM served.order_changed WHERE platform = 'youzan' AND step = (settle._order_steps())[1]), 1::bigint, 'and the order is looked at by the steps behind');
CALL public.tick() \g /dev/null
SELECT is((SELECT count(*) FROM served.alert WHERE kind = 'staff' AND ended_at IS NULL), 0::bigint, 'it is not raised again');
SELECT is((SELECT reason FROM served.change WHERE table_name = 'staff_confirmation' ORDER BY change_id DESC LIMIT 1), 'asked the shop', 'the journal has it');

-- what is erased takes no money from who served
SELECT persons, texts FROM settle.erase_person('served', 'taobao:order:3001', 'letter') \g /dev/null
CALL public.tick() \g /dev/null
SELECT is((SELECT seller_memo FROM served.shop_order WHERE order_no = '3001'), '小满 小满二号', 'of the memo the words for staff stay');
SELECT is(split_part(public.served('3001'), ',', 1), '1:1002 memo?', 'and whom it named');

-- explain
SELECT results_eq($$ SELECT line_no, place, evidence, reference, staff, weight, estimate, wins, note FROM settle.explain_staff('served', 'taobao', 'corner', '4001') WHERE line_no = '4001-1' $$,
    $$ VALUES ('4001-1', 1::bigint, 'line_guide', 'taobao corner G77', NULL, 1::numeric, false, false, 'unknown'), ('4001-1', 2, 'order_guide', 'taobao corner G9', '1010', 1, false, true, NULL) $$, 'all that was found, in order');
SELECT results_eq($$ SELECT evidence, reference, staff, wins, note FROM settle.explain_staff('served', 'youzan', '9', 'E20251112100000000000017') WHERE line_no = '1' $$,
    $$ VALUES ('confirmed', 'confirmed by ' || (session_user::text COLLATE "default"), '2003', true, 'platform says {"2003": 1}'), ('line_guide', 'youzan 9 Y3', '2003', false, 'final') $$, 'what was confirmed comes first');
SET SESSION AUTHORIZATION staff_reader;
SELECT is((SELECT count(*) FROM settle.explain_staff('served', 'taobao', 'corner', '4001')), 4::bigint, 'readers ask');
SELECT is((SELECT count(*) > 5 FROM served.order_staff), true, 'and read');
SELECT is((SELECT count(*) FROM served.unknown_alias WHERE reference = 'G77'), 1::bigint, 'what is unknown, too');
SELECT throws_ok($$ SELECT settle.confirm_staff('served', 'taobao', 'corner', '4001', NULL, '1', 'r') $$, '42501', 'permission denied for book "served"', 'but do not confirm');
SELECT throws_ok($$ SELECT settle.set_staff_alias('served', 'taobao', '', 'G1', '1') $$, '42501', 'permission denied for book "served"', 'nor name anybody');
RESET SESSION AUTHORIZATION;

-- stores
SELECT settle.set_store_alias('served', 'taobao', '', 'S1', 'jingan', 'cn.sh'), settle.set_store_alias('served', 'taobao', '', 'S1', 'pudong', 'cn.sh', since => '2025-11-12') \g /dev/null
UPDATE served.shop_order SET store = 'S1' WHERE order_no IN ('2001', '3001');
UPDATE served.shop_order SET store = 'S2' WHERE order_no = '3002';
SELECT results_eq('SELECT order_no, store_ref, store, region::text FROM served.order_store ORDER BY 1', $$ VALUES ('2001', 'S1', 'jingan', 'cn.sh'), ('3001', 'S1', 'pudong', 'cn.sh'), ('3002', 'S2', NULL, NULL) $$, 'the store of each order, at its time');
SELECT results_eq($$ SELECT kind, reference, orders, amount FROM served.unknown_alias WHERE kind = 'store' $$, $$ VALUES ('store', 'S2', 1::bigint, 30.00) $$, 'an unknown one');
SELECT $$SELECT e.kind, e.system, e.system_shop, e.reference, min(e.ordered_at), max(e.ordered_at), count(DISTINCT (e.platform, e.shop, e.order_no)) FROM ($$
    || settle._staff_evidence_query('served', 'served.shop_order') || $$) AS e WHERE NOT e.known GROUP BY 1, 2, 3, 4$$ AS unknown \gset
SELECT bag_eq($$ SELECT kind, platform, shop, reference, first_seen, last_seen, orders FROM served.unknown_alias WHERE kind <> 'store' $$, :'unknown', 'and all that evidence names and nobody knows');
SELECT cmp_ok((SELECT count(*) FROM served.unknown_alias WHERE kind <> 'store'), '>', 0::bigint, 'which is something');
SELECT settle.end_store_alias('served', 'taobao', '', 'S1', '2025-11-12') \g /dev/null
SELECT is((SELECT string_agg(store, ',') FROM served.store_alias), 'jingan', 'ended from its first moment, it never was');

-- tickets of orders move with who served them
SELECT settle.add_order_ticket_rule('served', 'sale', 'paid > 0', amount => 'net_paid') \g /dev/null
CALL settle.tick('served');
SELECT results_eq($$ SELECT worker, details #> '{order,staff}', details #> '{order,estimate}' FROM served.ticket WHERE order_ref = '3002/3002-1' $$,
    $$ VALUES ('1001', '{"staff:1001": 20.00, "staff:1002": 10.00}'::jsonb, 'false'::jsonb) $$, 'the one with most weight, and all of them');
SELECT settle.confirm_staff('served', 'taobao', 'corner', '3002', '3002-1', '1002', 'they agreed') \g /dev/null
CALL settle.tick('served');
SELECT is((SELECT worker FROM served.ticket WHERE order_ref = '3002/3002-1'), '1002', 'the ticket moves');
SELECT is((SELECT worker FROM served.ticket WHERE order_ref = '3002/3002-2'), '1001', 'that of another line does not');

-- errors
SELECT throws_ok($$ SELECT settle.confirm_staff('served', 'taobao', 'corner', '4001', '9', '1', 'r') $$, '42704', 'order "4001" of shop "corner" at "taobao" has no line "9"', 'no such line');
SELECT throws_ok($$ SELECT settle.confirm_staff('served', 'taobao', 'corner', 'none', NULL, '1', 'r') $$, '42704', 'order "none" of shop "corner" at "taobao" has no lines', 'no such order');
SELECT throws_ok($$ SELECT settle.confirm_staff('served', 'taobao', 'corner', '2001', NULL, NULL, 'r') $$, '55000', 'order "2001" of shop "corner" at "taobao" has lines that are attributed to nobody', 'nobody to confirm');
SELECT throws_ok($$ SELECT settle.confirm_staff('served', 'taobao', 'corner', '4001', NULL, '1', ' ') $$, '22004', 'who served an order needs a reason', 'no reason');
SELECT throws_ok($$ SELECT settle.end_staff_alias('served', 'taobao', 'corner', 'G5', '2025-11-12') $$, '42704', '"G5" of shop "corner" at "taobao" has no alias in force at 2025-11-11 16:00:00+00', 'no alias to end');
SELECT throws_ok($$ SELECT settle.set_staff_alias('served', 'taobao', NULL, 'G5', '1') $$, '22004', 'an alias needs a platform, a shop, a reference and a time', 'no shop');
SELECT throws_ok($$ SELECT settle.set_staff_alias('served', 'taobao', '', 'G5', '1', kind => 'horse') $$, '23514', NULL, 'no such kind');
SELECT throws_ok($$ SELECT settle.set_staff_alias('served', 'taobao', '', 'G5', 'staff:1001') $$, '22023', 'staff "staff:1001" is named with its kind', 'a party for a staff');
SELECT throws_ok($$ SELECT settle.confirm_staff('served', 'taobao', 'corner', '4001', NULL, 'staff:1001', 'r') $$, '22023', 'staff "staff:1001" is named with its kind', 'also where it is confirmed');
SELECT throws_ok($$ DELETE FROM served.attribution $$, NULL, NULL, 'what was attributed stays');
SELECT throws_ok($$ INSERT INTO served.evidence (evidence, rank) VALUES ('rumour', 1) $$, '23514', NULL, 'no such evidence');

SELECT is(settle.work('served', 'staff'), false, 'nothing is due');
SELECT is((SELECT count(*) FROM served.job_run WHERE error IS NOT NULL), 0::bigint, 'no step has failed');
SELECT is_empty($$ SELECT * FROM settle.check('served') $$, 'all figures agree');

DROP SCHEMA served CASCADE;
DROP OWNED BY staff_reader;
DROP ROLE staff_reader;
SELECT * FROM finish();
