-- Who customers are, what is known of them, who of the staff has served them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\pset format unaligned
\pset footer off

----------------------------------------------------------------------------------------------------
-- Who a customer is: docs/customer.md
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('shop');
INSERT INTO shop.staging (platform, shop, payload) VALUES
  ('wecom', 'ww1', '{"external_contact": {"external_userid": "wmA", "type": 1, "unionid": "oU-1"}, "follow_user": [{"userid": "xiaoman", "createtime": 1699599600, "remark_mobiles": ["13800138000"]}]}'),
  ('wxshop', 'sph1', '{"order": {"order_id": "3719", "status": 20, "openid": "oX-1", "unionid": "oU-1", "create_time": 1699754400, "update_time": 1699754500, "order_detail": {"product_infos": [{"product_id": "1", "sku_id": "11", "sku_cnt": 1, "sale_price": 100, "real_price": 100}], "pay_info": {"transaction_id": "4200-1"}, "price_info": {"product_price": 100, "order_price": 100, "freight": 0}}}}'),
  ('youzan', '63077', '{"data": {"full_order_info": {"order_info": {"tid": "E2023", "status": "TRADE_PAID", "created": "2023-11-11 09:15:00", "update_time": "2023-11-11 09:15:22"}, "buyer_info": {"yz_open_id": "yz-1", "outer_user_id": "oM-1", "buyer_phone": "13800138000"}, "pay_info": {"payment": "1.00"}, "orders": [{"oid": "1", "num": 1, "price": "1.00", "payment": "1.00"}]}}}'),
  ('wechatpay', NULL, '{"appid": "wxM", "mchid": "16", "out_trade_no": "CY1", "transaction_id": "4200-2", "trade_state": "SUCCESS", "success_time": "2023-11-11T09:15:22+08:00", "payer": {"openid": "oM-1"}, "amount": {"total": 100, "payer_total": 100}}');
SELECT applied, quarantined FROM settle.ingest('shop');
SELECT settle.work('shop', 'customers');
SELECT subject, customer FROM shop.subject_customer ORDER BY subject COLLATE "C";
SELECT customer, other, state FROM shop.customer_suggestion;
SELECT settle.accept_suggestion('shop', suggestion_id, 'said so at the counter') FROM shop.customer_suggestion;
SELECT subject, customer FROM shop.subject_customer ORDER BY subject COLLATE "C";
SELECT customer, key_type, scope, key_value, subjects FROM shop.customer_key ORDER BY key_type COLLATE "C", key_value COLLATE "C";

-- it was his wife who paid
SELECT settle.split_customer('shop', '{wechatpay:payment:4200-2}', 'paid by his wife');
SELECT subject, customer FROM shop.subject_customer ORDER BY subject COLLATE "C";
SELECT kind, customer, other, subjects, evidence, reason FROM shop.customer_event ORDER BY event_id;

-- another unionid with the same openid
INSERT INTO shop.staging (platform, shop, payload) VALUES
  ('wxshop', 'sph1', '{"order": {"order_id": "3720", "status": 20, "openid": "oX-1", "unionid": "oU-2", "create_time": 1699754400, "update_time": 1699754500, "order_detail": {"price_info": {"order_price": 100}}}}');
SELECT applied FROM settle.ingest('shop');
SELECT settle.work('shop', 'customers');
SELECT key_type, scope, key_value, customers, subjects FROM shop.customer_conflict;
SELECT kind, message FROM shop.alert;
SELECT settle.cut_key('shop', 'wxshop:order:3720', 'openid', 'oX-1', 'the page was still his');
SELECT count(*) AS conflicts FROM shop.customer_conflict;
SELECT settle.merge_customers('shop', 2, 3, 'same name');
SELECT * FROM settle.check('shop');
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
RESET client_min_messages;

----------------------------------------------------------------------------------------------------
-- Personal data: docs/person.md
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('shop');
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
  "tid_str": "4400000000000000017", "status": "WAIT_SELLER_SEND_GOODS", "modified": "2025-11-12 10:00:30",
  "created": "2025-11-12 10:00:00", "pay_time": "2025-11-12 10:00:29", "payment": "15.00", "seller_memo": "张三丰 13800138000",
  "receiver_name": "张三丰", "receiver_mobile": "+86 138-0013-8000", "receiver_state": "浙江省", "receiver_city": "杭州市",
  "receiver_district": "西湖区", "receiver_address": "文三路 1 号"}}}');
SELECT applied FROM settle.ingest('shop');
SELECT role, name, phone, phone_form, city, district FROM shop.person_masked;
SELECT name, phone, address FROM settle.reveal_person('shop', 'taobao:order:4400000000000000017', 'call 7, asks for another day');
SELECT * FROM settle.erase_person('shop', 'taobao:order:4400000000000000017', 'letter 12');
SELECT order_no, paid_amount, city, seller_memo FROM shop.shop_order;
SELECT state, payload, kept -> 0 ->> 'entity' AS entity, kept -> 0 ->> 'paid_amount' AS paid FROM shop.staging;
SELECT action, person, reason, figures FROM shop.person_log;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
RESET client_min_messages;

----------------------------------------------------------------------------------------------------
-- Who of the staff has served: docs/staff.md
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('shop');
INSERT INTO shop.staging (platform, payload) VALUES
  ('wecom', '{"external_contact": {"external_userid": "wm1", "type": 1, "unionid": "u1"}, "follow_user": [
    {"userid": "xiaoman", "createtime": 1762800000, "add_way": 1}, {"userid": "laozhou", "createtime": 1762900000, "add_way": 202}]}'),
  ('wxshop', '{"order": {"order_id": "3705115058471208928", "status": 20, "create_time": 1762912800, "update_time": 1762912830, "unionid": "u1",
    "order_detail": {"price_info": {"order_price": 30000}, "pay_info": {"pay_time": 1762912829}, "ext_info": {"merchant_notes": "小满的老客户"},
    "product_infos": [{"sku_id": "501", "sku_cnt": 1, "sale_price": 30000, "real_price": 30000}]}}}');
CALL settle.tick('shop');
SELECT kind, platform, reference, orders, amount FROM shop.unknown_alias;
SELECT settle.set_staff_alias('shop', 'wecom', '', 'xiaoman', '1001');
SELECT settle.set_staff_alias('shop', 'wecom', '', 'laozhou', '1002');
SELECT settle.set_staff_alias('shop', 'wxshop', '', '小满', '1001', kind => 'word');
CALL settle.tick('shop');
SELECT order_no, line_no, staff, weight, evidence, estimate FROM shop.order_staff;
SELECT place, evidence, reference, staff, estimate, wins FROM settle.explain_staff('shop', 'wxshop', '', '3705115058471208928');

-- the customer has refused: the assignment failed before he ordered
INSERT INTO shop.staging (platform, payload) VALUES ('wecom', '{"ToUserName": "corp", "FromUserName": "sys", "CreateTime": "1762905000",
  "ChangeType": "transfer_fail", "UserID": "laozhou", "ExternalUserID": "wm1", "FailReason": "customer_refused"}');
CALL settle.tick('shop');
SELECT staff_ref, how, ended_by FROM shop.follow_period ORDER BY 1;
SELECT weights, evidence, replaced_at IS NULL AS stands FROM shop.attribution ORDER BY attribution_id;
SELECT settle.confirm_staff('shop', 'wxshop', '', '3705115058471208928', NULL, NULL, 'asked the store');
SELECT place, evidence, reference, staff, wins FROM settle.explain_staff('shop', 'wxshop', '', '3705115058471208928');
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
RESET client_min_messages;
