-- The statements of docs/start.md; times as book time has them, dates as psql.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = ISO;
\set SHOW_CONTEXT never

CREATE ROLE anna LOGIN;         -- enters
CREATE ROLE boris LOGIN;        -- approves
CREATE ROLE puller LOGIN;       -- the program that fetches from the platforms
CREATE ROLE helpdesk LOGIN;     -- may see whom to call

SELECT settle.create_book('shop');
SELECT settle.grant_access('shop', 'anna', 'clerk'), settle.grant_access('shop', 'boris', 'approver'),
    settle.grant_access('shop', 'puller', 'connector'), settle.grant_access('shop', 'helpdesk', 'personal');
GRANT SELECT (ticket_id), UPDATE (worker, amount, done_at) ON shop.ticket TO anna;

SELECT platform, kind, title FROM shop.mapping
WHERE platform IN ('taobao', 'youzan', 'wecom', 'zendesk') AND kind IN ('order', 'refund', 'contact', 'ticket') ORDER BY platform, kind;

SET SESSION AUTHORIZATION anna;
SELECT settle.set_region('shop', 'cn.zj', '浙江省'), settle.set_region('shop', 'cn.zj.hz', '浙江省', '杭州市');
SELECT settle.set_product('shop', 'ac', 'AC-35');
SELECT settle.set_staff_alias('shop', 'wecom', '', 'xiaoman', '1001');
SELECT settle.set_staff_alias('shop', 'taobao', '', '小满', '1001', kind => 'word');

SELECT settle.add_order_ticket_rule('shop', 'sale', $$paid > 0 AND NOT estimate$$,
    amount => 'net_paid', ready => 'completed_at');
SELECT settle.add_rule('shop', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount',
    tiers => '3% to 2000, 5%', accumulate => 'month', applies_when => $$t.project <@ 'sale'$$);

RESET SESSION AUTHORIZATION;
SELECT settle.add_source('shop', 'complaint', 'shop.platform_ticket',
    key => $$platform || ':' || shop || ':' || ticket_no$$, ready_at => 'completed_at',
    project => $$'complaint'$$, region => $$'cn'$$);
SET SESSION AUTHORIZATION anna;
SELECT settle.add_rule('shop', 'answer', 'answer', 'hq', 'agent:{staff_ref}', base => '1', tiers => '8 each', source => 'complaint');

SELECT settle.add_type('shop', '{
    "type": "repair", "project": "repair",
    "fields": [
        {"field": "fault", "kind": "choice", "choices": ["water", "noise"], "required": true},
        {"field": "phone", "kind": "phone", "privacy": "personal"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true, "ends": "done"}],
    "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done", "guard": "worker IS NOT NULL AND amount > 0"}]}');
SELECT settle.add_rule('shop', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '20%', applies_when => $$type = 'repair'$$);
SET SESSION AUTHORIZATION boris;
SELECT settle.enable_type('shop', 'repair');

SET SESSION AUTHORIZATION puller;
INSERT INTO shop.staging (platform, payload) VALUES
('taobao', '{"trade_fullinfo_get_response": {"trade": {
    "tid_str": "4400000000000000017", "seller_nick": "corner", "status": "TRADE_FINISHED", "seller_memo": "小满接待",
    "created": "2025-11-10 10:00:00", "pay_time": "2025-11-10 10:00:29", "end_time": "2025-11-20 10:00:30", "modified": "2025-11-20 10:00:30",
    "payment": "3000.00", "receiver_name": "张三丰", "receiver_mobile": "13800138000", "receiver_state": "浙江省", "receiver_city": "杭州市",
    "orders": {"order": [{"oid_str": "4400000000000000018", "outer_sku_id": "AC-35", "num": 1, "price": "3000.00",
        "payment": "3000.00", "divide_order_fee": "3000.00", "refund_status": "NO_REFUND"}]}}}}'),
('youzan', '{"data": {"full_order_info": {
    "order_info": {"tid": "E20251112080000000000001", "node_kdt_id": 63077, "status": "TRADE_SUCCESS",
        "created": "2025-11-12 08:00:00", "pay_time": "2025-11-12 08:00:20", "success_time": "2025-11-19 09:00:00", "update_time": "2025-11-19 09:00:00",
        "order_extra": {"sales_guide": {"order_sales_staff": ["guide-7"]}}},
    "address_info": {"delivery_province": "浙江省", "delivery_city": "宁波市"},
    "orders": [{"oid": "1", "outer_sku_id": "FAN-1", "num": 2, "price": "200.00", "payment": "400.00"}],
    "pay_info": {"payment": "400.00"}}}}'),
('youzan', '{"data": {"refund_id": "88", "tid": "E20251112080000000000001", "oid": "1", "kdt_id": 63077, "status": "SUCCESS",
    "refund_type": "BUYER_APPLY_REFUND", "refund_fee": "100.00", "created": "2025-11-21 08:00:00",
    "refund_account_time": "2025-11-21 08:10:00", "modified": "2025-11-21 08:10:00"}}'),
('wecom', '{"external_contact": {"external_userid": "wm1", "type": 1, "unionid": "u1"},
    "follow_user": [{"userid": "xiaoman", "createtime": 1762000000, "add_way": 1}]}'),
('wxshop', '{"order": {"order_id": "3705115058471208928", "status": 100, "create_time": 1762912800, "update_time": 1763600000, "unionid": "u1",
    "order_detail": {"price_info": {"order_price": 50000}, "pay_info": {"pay_time": 1762912829}, "ext_info": {"confirm_receipt_time": 1763600000},
    "product_infos": [{"sku_id": "501", "sku_code": "AC-35", "sku_cnt": 1, "sale_price": 50000, "real_price": 50000}],
    "delivery_info": {"address_info": {"province_name": "浙江省", "city_name": "杭州市"}}}}}'),
('zendesk', '{"ticket": {"id": 1, "subject": "4400000000000000017 漏水", "status": "solved", "assignee_id": 77,
    "created_at": "2025-11-22T05:00:00Z", "updated_at": "2025-11-24T05:00:00Z"}}'),
('taobao', '{"refund_get_response": {"refund": {"refund_id": "9902", "tid": 4400000000000000017, "seller_nick": "corner", "status": "SOMETHING_NEW",
    "refund_fee": "1.00", "modified": "2025-11-13 10:00:00"}}}');

SET SESSION AUTHORIZATION anna;
CALL settle.tick('shop');

SELECT platform, kind, field, reason, message FROM shop.quarantine;

SELECT what, platform, value, rows FROM shop.unmapped;

SELECT kind, platform, reference, orders, amount FROM shop.unknown_alias;

SELECT platform, order_no, paid, net_paid, staff, estimate FROM shop.sold
WHERE part = 'line' AND paid > 0 AND (staff IS NULL OR estimate) ORDER BY platform;

RESET SESSION AUTHORIZATION;
INSERT INTO shop.status_map VALUES ('taobao', 'refund', 'SOMETHING_NEW', 'closed');
SET SESSION AUTHORIZATION anna;
SELECT payloads, applied, quarantined FROM settle.retry_quarantine('shop', 'taobao');

SELECT settle.set_product('shop', 'fan', 'FAN-1');
SELECT settle.set_staff_alias('shop', 'youzan', '', 'guide-7', '1002');
CALL settle.tick('shop');
SELECT settle.confirm_staff('shop', platform, shop, order_no, NULL, NULL, 'list of the store')
FROM shop.sold WHERE part = 'line' AND estimate;

SELECT settle.open_ticket('shop', 'repair', '{"fault": "water", "phone": "138 0013 8000"}', region => 'cn.zj.hz', ticket_id => 'R1');
UPDATE shop.ticket SET worker = '2001', amount = 300 WHERE ticket_id = 'R1';
SELECT settle.move_ticket('shop', 'R1', 'finish');
UPDATE shop.ticket SET done_at = '2025-11-25 16:00+08' WHERE ticket_id = 'R1';

CALL settle.tick('shop');
SELECT source, project, region, component, payee, base, amount FROM shop.line_detail ORDER BY ticket_time;

SELECT source, ticket_key, message FROM shop.problem;
SELECT source, ticket_key FROM shop.unpaid;
SELECT kind, object, message FROM shop.alert WHERE ended_at IS NULL;
SELECT step, error FROM shop.job WHERE failures > 0 OR delay > '3 minutes';
SELECT severity, kind, object, detail FROM settle.lint('shop');
SELECT invariant, object, detail FROM settle.check('shop');

SET SESSION AUTHORIZATION boris;
SELECT settle.close_period('shop', '2025-11-01', 'all stores have reported');
SELECT party, earned, payable, state FROM shop.statement ORDER BY party;

SET SESSION AUTHORIZATION anna;
SELECT settle.add_party('shop', 'staff:1001', account => '6222 0212');
SELECT settle.submit_statement('shop', 'staff:1001', '2025-11-01');
SET SESSION AUTHORIZATION boris;
SELECT settle.confirm_party('shop', 'staff:1001', 'bank card seen');
SELECT settle.approve_statement('shop', 'staff:1001', '2025-11-01');
SET SESSION AUTHORIZATION anna;
SELECT order_no, line_no, party, account, amount_minor, currency FROM settle.payout_file('shop', '2025-11-01');

SELECT subject, role, name, phone, city FROM shop.person_masked;

SET SESSION AUTHORIZATION helpdesk;
SELECT name, phone FROM settle.reveal_person('shop', 'taobao:order:4400000000000000017', 'complaint 1: asks for another day');

RESET SESSION AUTHORIZATION;
SELECT persons, texts, bodies FROM settle.erase_person('shop', 'taobao:order:4400000000000000017', 'letter 12');

SELECT action, person, reason FROM shop.person_log;

-- what follows is not on the page
SELECT source, ticket_key, payee, amount FROM shop.line_detail ORDER BY ticket_time;
SELECT * FROM settle.check('shop');
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
DROP ROLE anna, boris, puller, helpdesk;
