-- Payloads that a connector lands become an order, its lines and a refund; what
-- cannot be used says why; a platform of one's own is rows.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\pset format unaligned
\pset footer off
SELECT settle.create_book('shop');
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
  "tid": 4400000000000000017, "tid_str": "4400000000000000017", "seller_nick": "corner", "status": "WAIT_SELLER_SEND_GOODS",
  "created": "2025-11-12 10:00:00", "pay_time": "2025-11-12 10:00:29", "modified": "2025-11-12 10:00:30",
  "total_fee": "12.00", "post_fee": "5.00", "payment": "15.00",
  "orders": {"order": [
    {"oid_str": "4400000000000000018", "num": 1, "price": "4.00", "payment": "4.00", "divide_order_fee": "3.34", "refund_status": "NO_REFUND"},
    {"oid_str": "4400000000000000019", "num": 2, "price": "4.00", "payment": "8.00", "divide_order_fee": "6.66", "refund_status": "NO_REFUND"}]}}}}');
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"refund_get_response": {"refund": {
  "refund_id": "9902", "tid": 4400000000000000017, "oid": 4400000000000000018, "seller_nick": "corner", "status": "SUCCESS",
  "refund_fee": "3.34", "payment": "11.66", "refund_version": 1763000000000, "dispute_type": "REFUND", "modified": "2025-11-13 10:00:00"}}}');
INSERT INTO shop.staging (platform, payload) VALUES ('doudian', '{"data": {"shop_order_detail": {"order_id": "6930000000000000001", "main_status": 2, "create_time": 1762912800000, "update_time": 1762912830, "pay_amount": 100}}}');
SELECT * FROM settle.ingest('shop');
SELECT order_no, lifecycle, refund_state, paid_amount, refunded_amount, status FROM shop.order_status;
SELECT line_no, qty, line_amount, line_paid FROM shop.order_line ORDER BY position;
SELECT platform, kind, field, reason, sqlstate, message FROM shop.quarantine;

INSERT INTO shop.mapping (platform, kind, marker) VALUES ('corner', 'sale', '$.sale');
INSERT INTO shop.mapping_part (platform, kind, part, entity, rows) VALUES
  ('corner', 'sale', 'order', 'shop_order', '{$.sale}');
INSERT INTO shop.mapping_part (platform, kind, part, entity, rows, within) VALUES
  ('corner', 'sale', 'line', 'order_line', '{$.goods[*]}', 'order');
INSERT INTO shop.mapping_field (platform, kind, part, field, form, path, required, place) VALUES
  ('corner', 'sale', 'order', 'order_no', 'id', '{$.no}', true, 1),
  ('corner', 'sale', 'order', 'version', 'epoch_s', '{$.changed}', true, 2),
  ('corner', 'sale', 'order', 'payable_amount', 'fen', '{$.sum}', true, 3),
  ('corner', 'sale', 'order', '_till', 'text', '{$.till,$.terminal}', false, 4),
  ('corner', 'sale', 'line', 'line_no', 'id', '{$.sku}', true, 1),
  ('corner', 'sale', 'line', '_weight', 'fen', '{$.price}', false, 2);
INSERT INTO shop.mapping_field (platform, kind, part, field, form, expression, place) VALUES
  ('corner', 'sale', 'order', 'lifecycle', 'text', '''completed''', 5),
  ('corner', 'sale', 'order', 'paid_amount', 'fen', 'payable_amount', 6),
  ('corner', 'sale', 'order', 'store', 'text', '''till '' || _till', 7);
SELECT entity, columns - '{platform,shop,version}'::text[] AS columns, reason FROM settle.map_payload('shop', 'corner',
  payload => '{"sale": {"no": "A-7", "changed": 1762912830, "sum": 1000, "till": "3", "goods": [{"sku": "a", "price": 400}, {"sku": "b", "price": 400}, {"sku": "c", "price": 400}]}}');
SELECT field, reason, message FROM settle.map_payload('shop', 'corner', payload => '{"sale": {"no": "A-8", "changed": 1762912830, "sum": "10.00"}}');

SELECT settle.retry_quarantine('shop');
SELECT state, reason, payloads FROM shop.staging_state ORDER BY 1, 2;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
