-- order: from what platforms sent to campaigns, links and tickets
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset null -
SELECT settle.create_book('corner');

--------------------------------------------------------------------------------
-- Tickets of platforms and their orders
--------------------------------------------------------------------------------
-- in this company the order number is the field 27642 of its Zendesk
INSERT INTO corner.mapping_field (platform, kind, part, field, form, path, strict, place)
VALUES ('zendesk', 'ticket', 'ticket', 'order_ref', 'id', ARRAY['$.custom_fields[*] ? (@.id == 27642).value']::jsonpath[], false, 1000);
INSERT INTO corner.staging (platform, payload) VALUES ('pdd', '{"order_info_get_response": {"order_info": {
  "order_sn": "251111-118844770334261", "mall_id": 77, "order_status": 1, "confirm_status": 1, "refund_status": 1, "pay_amount": 12.5, "goods_amount": 12.5,
  "created_time": "2025-11-11 00:00:10", "pay_time": "2025-11-11 00:00:29", "updated_at": "2025-11-11 00:01:00",
  "item_list": [{"sku_id": 5, "goods_count": 1, "goods_price": 12.5}]}}}');
INSERT INTO corner.staging (platform, payload)
SELECT 'zendesk', jsonb_build_object('ticket', jsonb_build_object('id', n, 'subject', subject, 'status', 'open', 'created_at', '2025-11-12T05:00:00Z', 'updated_at', '2025-11-12T05:00:00Z',
  'custom_fields', jsonb_build_array(jsonb_build_object('id', 27642, 'value', field))))
FROM (VALUES (1, 'broken glass', '251111-118844770334261'), (2, '订单号：２５１１１１－１１８８４４７７０３３４２６１，少发一件', NULL),
  (3, '订单2290118844770334270空调', NULL), (4, '两单一起处理', '251111-118844770334261，2290118844770334270'), (5, '退差价', '6.92E+18'), (6, '投诉', NULL)) AS t (n, subject, field);
SELECT applied FROM settle.ingest('corner');
SELECT * FROM settle.link_tickets('corner');
SELECT ticket_no, state, evidence, order_platform, order_no FROM corner.ticket_link ORDER BY ticket_no;
SELECT ticket_no, jsonb_path_query_array(candidates, '$[*].order_no') AS could_be FROM corner.unlinked_ticket ORDER BY ticket_no;
SELECT external_key, state, reason FROM corner.staging WHERE platform = 'zendesk' ORDER BY staging_id;
-- the order of ticket 3 lands
INSERT INTO corner.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
  "tid_str": "2290118844770334270", "seller_nick": "corner", "status": "WAIT_SELLER_SEND_GOODS", "created": "2025-11-11 10:00:00", "pay_time": "2025-11-11 10:00:29", "modified": "2025-11-11 10:00:30",
  "payment": "15.00", "orders": {"order": [{"oid_str": "2290118844770334270", "num": 1, "price": "15.00", "divide_order_fee": "15.00"}]}}}}');
SELECT applied FROM settle.ingest('corner');
SELECT tickets, linked, ambiguous FROM settle.link_tickets('corner');
SELECT state, evidence, order_no FROM corner.ticket_link WHERE ticket_no = '3';
-- somebody knows which of the two it is
SELECT settle.link_ticket('corner', 'zendesk', '4', '2290118844770334270', 'the customer sent a picture');
SELECT state, evidence, order_no, reason FROM corner.ticket_link WHERE ticket_no = '4';
SELECT settle.link_ticket('corner', 'zendesk', '6', '1', 'a guess');
INSERT INTO corner.order_pattern (platform, pattern) VALUES ('corner', '([0-9');
INSERT INTO corner.order_pattern (platform, pattern) VALUES ('corner', '(a+)\1');

--------------------------------------------------------------------------------
-- Campaigns
--------------------------------------------------------------------------------
-- Youzan, Taobao and JD call the sale of 11.11 what they like
SELECT t AS written, settle.normalize_text(t) AS one FROM unnest('{双十一特惠价,11·11特惠价,１１．１１ 特惠价,【1111】特惠价,六一八,6.18}'::text[]) AS t;
INSERT INTO corner.shop_order (platform, shop, order_no, lifecycle, paid_at, version, precedence, tied, flags, staging_id)
SELECT p, 'corner', p || '-' || n, 'paid', at::timestamptz, at::timestamptz, '1', false, '{}', 1
FROM (VALUES ('youzan', 1, '2025-11-11 00:01+08'), ('taobao', 2, '2025-11-11 00:02+08'), ('jd', 3, '2025-11-11 00:03+08'), ('jd', 4, '2025-11-11 00:04+08'), ('taobao', 5, '2025-11-13 00:05+08')) AS o (p, n, at);
INSERT INTO corner.order_line (platform, shop, order_no, line_no, position, unit_price, line_paid)
SELECT platform, shop, order_no, l, 1, price, price FROM corner.shop_order CROSS JOIN (VALUES ('a', 100.00), ('gift', 0.00)) AS l (l, price) WHERE order_no LIKE '%-_';
INSERT INTO corner.promotion (platform, shop, order_no, position, kind, title) VALUES ('youzan', 'corner', 'youzan-1', 1, 'order', '双十一特惠价'), ('taobao', 'corner', 'taobao-2', 1, 'promotion', '11.11狂欢价 跨店满减'),
  ('jd', 'corner', 'jd-3', 1, 'coupon', '双11立减'), ('jd', 'corner', 'jd-4', 1, 'coupon', '11·11会员日'), ('taobao', 'corner', 'taobao-5', 1, 'promotion', '11.11狂欢价 跨店满减');
CALL settle.tick('corner');
SELECT settle.add_campaign('corner', 'd11-2025', '[2025-10-24 00:00+08,2025-11-12 00:00+08)', 'double eleven');
SELECT settle.add_campaign('corner', 'club', '[2025-01-01 00:00+08,2026-01-01 00:00+08)');
SELECT settle.add_campaign_alias('corner', 'd11-2025', '11.11特惠价'), settle.add_campaign_alias('corner', 'd11-2025', '双11狂欢价', 'prefix'), settle.add_campaign_alias('corner', 'd11-2025', '双11会员', 'prefix'), settle.add_campaign_alias('corner', 'club', '双11会员日', 'prefix');
SELECT * FROM corner.order_campaign ORDER BY order_no;
SELECT problem, platform, title, orders, amount, candidates, suggested FROM corner.campaign_review ORDER BY problem, title COLLATE "C";
SELECT settle.accept_campaign_alias('corner', 'd11-2025', '双11立减', 'the plan of the sale');
SELECT settle.add_campaign_alias('corner', 'd11-2025', '双11会员', 'prefix', priority => 1);
SELECT * FROM corner.order_campaign ORDER BY order_no;
SELECT day, platform, orders, amount, without_campaign, share_without FROM corner.campaign_share WHERE amount > 0 ORDER BY day, platform;
SELECT settle.add_campaign_alias('corner', 'd12-2025', '双12');
SELECT settle.add_campaign_alias('corner', 'club', '会员.*|.*', 'pattern');
SELECT * FROM settle.check('corner');
SET client_min_messages = warning;
DROP SCHEMA corner CASCADE;

--------------------------------------------------------------------------------
-- From order to ticket
--------------------------------------------------------------------------------
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = 'ISO';
SELECT settle.create_book('shop');
INSERT INTO shop.region_alias VALUES ('浙江省', NULL, NULL, 'cn.zj'), ('浙江省', '杭州市', NULL, 'cn.zj.hz');
INSERT INTO shop.product (sku_code, project, needs_install) VALUES ('AC-35GW', 'ac.wall', true);
SELECT settle.add_order_ticket_rule('shop', 'install', $$needs_install AND paid > 0 AND lifecycle <> 'closed'$$,
    ticket => 'install', amount => 'net_paid', ready => 'completed_at');
SELECT settle.add_order_ticket_rule('shop', 'aftersale', $$known_order AND refund_status <> 'closed'$$,
    part => 'refund', ticket => 'aftersale', amount => 'refunded', ready => 'refunded_at');
SELECT settle.add_rule('shop', 'install_fee', 'install', 'hq', 'dealer:{t.region}', base => 'amount', tiers => '8%', applies_when => $$t.project <@ 'install'$$);
SELECT settle.add_rule('shop', 'aftersale_fee', 'aftersale', 'hq', 'staff:desk', base => '1', tiers => '5 each', applies_when => $$t.project <@ 'aftersale'$$);

-- paid on 2 November
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
  "tid": 4400000000000000017, "seller_nick": "corner", "status": "WAIT_SELLER_SEND_GOODS", "created": "2025-11-02 10:00:00", "pay_time": "2025-11-02 10:00:29",
  "modified": "2025-11-02 10:00:30", "total_fee": "2400.00", "post_fee": "50.00", "payment": "2450.00", "receiver_state": "浙江省", "receiver_city": "杭州市",
  "orders": {"order": [{"oid": 4400000000000000018, "num": 1, "outer_sku_id": "AC-35GW", "price": "2400.00", "payment": "2400.00", "divide_order_fee": "2400.00", "refund_status": "NO_REFUND"}]}}}}');
CALL settle.tick('shop');
SELECT ticket_id, done_at, project, region, amount FROM shop.ticket;

-- finished on the 9th; November closes
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
  "tid": 4400000000000000017, "seller_nick": "corner", "status": "TRADE_FINISHED", "created": "2025-11-02 10:00:00", "pay_time": "2025-11-02 10:00:29", "end_time": "2025-11-09 10:00:00",
  "modified": "2025-11-09 10:00:00", "total_fee": "2400.00", "post_fee": "50.00", "payment": "2450.00", "receiver_state": "浙江省", "receiver_city": "杭州市",
  "orders": {"order": [{"oid": 4400000000000000018, "num": 1, "outer_sku_id": "AC-35GW", "price": "2400.00", "payment": "2400.00", "divide_order_fee": "2400.00", "refund_status": "NO_REFUND"}]}}}}');
CALL settle.tick('shop');
SELECT settle.close_period('shop', '2025-11-01');

-- 300 of it are paid back in December, which closes as well
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"refund_get_response": {"refund": {
  "refund_id": "9902", "tid": 4400000000000000017, "oid": 4400000000000000018, "seller_nick": "corner", "status": "SUCCESS", "refund_fee": "300.00",
  "refund_version": 1764700000000, "dispute_type": "REFUND", "created": "2025-12-03 09:00:00", "modified": "2025-12-03 10:00:00"}}}');
CALL settle.tick('shop');
SELECT ticket_id, done_at, amount FROM shop.ticket ORDER BY ticket_id;
SELECT settle.close_period('shop', '2025-12-01');

SELECT s.period, s.party, d.kind, d.component, d.amount, s.payable, s.carried
FROM shop.statement AS s JOIN shop.statement_detail AS d USING (period, party, unit) ORDER BY s.period, s.party;
SELECT part, line_no, paid, refunded, net_paid FROM shop.sold ORDER BY part;
SELECT invariant, object, detail FROM settle.check('shop');
-- what a rule may not say
SELECT settle.add_order_ticket_rule('shop', 'x', $$lifecyle = 'paid'$$, amount => 'paid');
SELECT settle.add_order_ticket_rule('shop', 'x', 'qty + 1', amount => 'paid');
SELECT settle.add_order_ticket_rule('shop', 'x', 'true', amount => 'price');
SELECT settle.add_order_ticket_rule('shop', 'x', 'true');
SELECT settle.recompute_order('shop', 'taobao', 'corner', '1', 'a refund is missing');
RESET TimeZone;
RESET DateStyle;
DROP SCHEMA shop CASCADE;
