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
