-- The statements of README.md; dates as psql has them, not as pg_regress.
SET DateStyle = ISO;

CREATE EXTENSION scrm_settle CASCADE;

SELECT settle.create_book('repairs', settle_on => 'commit');

SELECT settle.add_rule('repairs', 'commission', component => 'commission',
    payer => 'hq', payee => 'staff:{worker}', base => 'amount',
    tiers => '5% to 1000, 8% to 5000, 10%', accumulate => 'month');

INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, cost)
VALUES ('T1', '2025-11-03 10:00+08', 'repair.fridge', 'cn.north.beijing', '1001',  800, 120),
       ('T2', '2025-11-11 15:30+08', 'repair.fridge', 'cn.north.beijing', '1001',  900,  80),
       ('T3', '2025-11-20 09:15+08', 'install.ac',    'cn.north.beijing', '1001', 4000, 600),
       ('T4', '2025-11-08 11:20+08', 'repair.fridge', 'cn.east.shanghai', '2001', 1200, 150),
       ('T5', '2025-11-21 16:45+08', 'install.ac',    'cn.east.shanghai', '2001', 2600, 390);

SELECT project, region, tickets, revenue, cost, payout, profit, margin, heat
FROM repairs.revenue_matrix
WHERE period = '2025-11-01' AND project_level = 2 AND region_level = 3
ORDER BY project, region;

CREATE ROLE anna LOGIN;
CREATE ROLE boris LOGIN;
SELECT settle.grant_access('repairs', 'anna', 'clerk'), settle.grant_access('repairs', 'boris', 'approver');

-- nobody on the roster gets less than 300 for a month
SELECT settle.add_to_roster('repairs', 'staff:1001'), settle.add_to_roster('repairs', 'staff:2001');
SELECT settle.add_rule('repairs', 'guarantee', component => 'guarantee', source => 'period',
    payer => 'hq', payee => '{party}', base => $$greatest(0, 300 - settle.part(earned, 'commission'))$$);

-- the customer of T2 gets 300 back
UPDATE repairs.ticket SET amount = 600 WHERE ticket_id = 'T2';

SET SESSION AUTHORIZATION boris;
SELECT settle.close_period('repairs', '2025-11-01', 'all branches have reported');
SELECT party, kind, component, tickets, amount FROM repairs.statement_detail ORDER BY party, amount DESC;

-- in December somebody finds a ticket of November
RESET SESSION AUTHORIZATION;
INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, cost)
VALUES ('T6', '2025-11-29 18:30+08', 'repair.fridge', 'cn.east.shanghai', '2001', 500, 40);
SELECT settle.close_period('repairs', '2025-12-01');
SELECT ticket_key, component, payee, amount, period, corrects_period
FROM repairs.line_detail
WHERE corrects_period IS NOT NULL
ORDER BY amount DESC;

SET SESSION AUTHORIZATION anna;
SELECT settle.add_party('repairs', 'staff:1001', account => '6222 0212');
SELECT settle.submit_statement('repairs', 'staff:1001', '2025-11-01');

SET SESSION AUTHORIZATION boris;
SELECT settle.confirm_party('repairs', 'staff:1001', 'bank card seen');
SELECT settle.approve_statement('repairs', 'staff:1001', '2025-11-01');

SET SESSION AUTHORIZATION anna;
SELECT order_no, line_no, party, account, amount_minor, currency FROM settle.payout_file('repairs', '2025-11-01');

RESET SESSION AUTHORIZATION;
SELECT settle.create_book('shop');
SELECT settle.set_staff_alias('shop', 'taobao', 'corner', 'G7', '1001');    -- whose account it is
SELECT settle.add_order_ticket_rule('shop', 'sale', 'paid > 0', amount => 'net_paid', ready => 'completed_at');
SELECT settle.add_rule('shop', 'commission', component => 'commission',
    payer => 'hq', payee => 'staff:{worker}', base => 'amount', tiers => '3%');

INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"trade_fullinfo_get_response": {"trade": {
    "tid_str": "4400000000000000017", "seller_nick": "corner", "status": "TRADE_FINISHED", "o2o_guide_id": "G7",
    "created": "2025-11-12 10:00:00", "pay_time": "2025-11-12 10:00:29", "end_time": "2025-11-20 09:00:00",
    "modified": "2025-11-20 09:00:00", "payment": "1000.00", "orders": {"order": [
        {"oid_str": "4400000000000000018", "num": 1, "price": "1000.00", "payment": "1000.00", "divide_order_fee": "1000.00"}]}}}}');
CALL settle.tick('shop');
INSERT INTO shop.staging (platform, payload) VALUES ('taobao', '{"refund_get_response": {"refund": {
    "refund_id": "9902", "tid": 4400000000000000017, "oid": 4400000000000000018, "seller_nick": "corner",
    "status": "SUCCESS", "refund_fee": "300.00", "modified": "2025-11-25 10:00:00"}}}');
CALL settle.tick('shop');

SELECT period, component, payee, base, amount FROM shop.line_detail ORDER BY run_id;

-- what follows is not in the README
SELECT * FROM settle.check('repairs');
SELECT * FROM settle.check('shop');
SET client_min_messages = warning;
DROP SCHEMA repairs, shop CASCADE;
DROP ROLE anna, boris;
