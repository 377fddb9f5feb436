-- Who customers are, what is known of them, who of the staff has served them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\pset format unaligned
\pset footer off

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
