-- A chain that repairs household appliances, from a form to money in the bank:
-- dispatched, done in parts, settled with coefficients and dealer's shares,
-- paid, and corrected when the machine leaks again.
SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE; RESET client_min_messages;
\pset null -
\pset format unaligned
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = ISO;
CREATE ROLE repair_desk;        -- takes calls and dispatches
CREATE ROLE repair_clerk;       -- enters rules, runs, submits
CREATE ROLE repair_chief;       -- approves
SELECT settle.create_book('repair');
SELECT settle.grant_access('repair', 'repair_desk', 'staff'), settle.grant_access('repair', 'repair_clerk', 'clerk'), settle.grant_access('repair', 'repair_chief', 'approver');
GRANT USAGE ON SCHEMA repair TO repair_desk;
GRANT SELECT, UPDATE (worker, dealer, amount, done_at) ON repair.ticket TO repair_desk;

-- 1. What a repair is. The customer names the product, model and warranty come
--    from the company's own table. In the north a visit begins with an
--    installation check, elsewhere at once with the repair.
CREATE TABLE repair_product (product_no text PRIMARY KEY, model text, warranty_until date);
INSERT INTO repair_product VALUES ('P7', 'KFR-35', '2027-05-01'), ('P8', 'BCD-216', '2024-01-01');
SELECT settle.add_type('repair', $json${
    "type": "repair", "title": "Repair at the customer's", "project": "repair.ac",
    "fields": [
        {"field": "product", "kind": "reference", "relation": "public.repair_product", "key": "product_no", "required": true},
        {"field": "model", "kind": "text", "takes": "product.model"},
        {"field": "in_warranty", "kind": "boolean", "takes": "product.warranty_until >= opened_at::date"},
        {"field": "fault", "kind": "choice", "choices": ["cold", "noise", "water"], "required": true},
        {"field": "litres", "kind": "numeric", "shown": "form.fault = 'water'", "required": true},
        {"field": "phone", "kind": "phone", "required": true, "privacy": "personal"},
        {"field": "home", "kind": "place", "privacy": "personal"},
        {"field": "visit_at", "kind": "timestamp"},
        {"field": "serial", "kind": "text", "pattern": "[A-Z]{2}[0-9]{4}"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "booked"}, {"stage": "check", "work": true}, {"stage": "work", "work": true}, {"stage": "parts", "waits": "collect"},
        {"stage": "done", "ready": true, "ends": "done"}, {"stage": "cancelled", "ends": "cancelled"}],
    "moves": [
        {"move": "book", "from_stage": "new", "to_stage": "booked", "requires": ["visit_at"]},
        {"move": "begin", "from_stage": "booked", "to_stage": "work"},
        {"move": "begin", "from_stage": "booked", "to_stage": "check", "region": "cn.north"},
        {"move": "go_on", "from_stage": "check", "to_stage": "work"},
        {"move": "divide", "from_stage": "work", "to_stage": "parts"}, {"move": "collect", "from_stage": "parts", "to_stage": "work"},
        {"move": "finish", "from_stage": "work", "to_stage": "done", "requires": ["serial"], "guard": "worker IS NOT NULL AND (amount > 0 OR form.in_warranty)"},
        {"move": "reopen", "from_stage": "done", "to_stage": "work"},
        {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"}, {"move": "cancel", "from_stage": "booked", "to_stage": "cancelled"}],
    "nodes": [{"move": "reopen", "node": 1, "title": "store manager"}],
    "follow_ups": [{"move": "finish", "follow_up": "tell", "platform": "youzan", "kind": "ticket done", "payload": "jsonb_build_object('ticket', ticket_id, 'model', form.model)"}]
}$json$), settle.add_type('repair', $json${
    "type": "bench", "title": "Part of a repair in the workshop", "project": "repair.bench",
    "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true, "ends": "done"}],
    "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done", "guard": "worker IS NOT NULL"}]
}$json$);
SET SESSION AUTHORIZATION repair_chief;
SELECT settle.enable_type('repair', 'repair'), settle.enable_type('repair', 'bench');
RESET SESSION AUTHORIZATION;

-- 2. What is paid. Wages graduate by month, Beijing counts 1.2; who was not there
--    has none. Warranty is at the maker's cost. What a customer pays at a dealer's
--    is divided: 15 % fee, 6 % tax, the rest is the dealer's.
SET SESSION AUTHORIZATION repair_clerk;
SELECT settle.add_decision('repair', 'place', fallback => '1'), settle.add_outcome('repair', 'place', $$t.region <@ 'cn.north.beijing'$$, '1.2');
SELECT settle.add_rule('repair', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10% to 1000, 15%', factors => '{place}', accumulate => 'month', applies_when => $$dealer IS NULL AND amount > 0 AND away IS NOT TRUE$$);
SELECT settle.add_rule('repair', 'warranty', 'warranty', 'maker', 'staff:{worker}', base => '80', applies_when => $$type = 'repair' AND (details ->> 'in_warranty')::boolean$$);
SELECT settle.add_rule('repair', 'intake', 'intake', 'customer', 'escrow', base => 'amount', applies_when => 'dealer IS NOT NULL'),
    settle.add_rule('repair', 'fee', 'fee', 'escrow', 'hq', base => 'amount', tiers => '15%', applies_when => 'dealer IS NOT NULL'),
    settle.add_rule('repair', 'tax', 'tax', 'escrow', 'tax:vat', base => 'amount', tiers => '6%', applies_when => 'dealer IS NOT NULL'),
    settle.add_rule('repair', 'dealer', 'dealer_share', 'escrow', 'dealer:{dealer}', remainder => true, applies_when => 'dealer IS NOT NULL');
SELECT severity, kind, object FROM settle.lint('repair');

-- 3. Calls come in. A form that lacks something says what.
SET SESSION AUTHORIZATION repair_desk;
SELECT settle.open_ticket('repair', 'repair', '{"product": "P8", "fault": "water", "phone": "138 0013 8000"}', region => 'cn.north.beijing', amount => 1200, ticket_id => 'R1');
SELECT settle.open_ticket('repair', 'repair', details, region => region, amount => amount, worker => worker, ticket_id => id, opened_at => at)
FROM (VALUES
    ('R1', '{"product": "P8", "fault": "water", "litres": "2.5", "phone": "138 0013 8000", "home": {"lon": 116.404, "lat": 39.915, "system": "GCJ-02"}}'::jsonb, 'cn.north.beijing', 1200, '1001', timestamptz '2025-10-10 09:00'),
    ('R2', '{"product": "P7", "fault": "noise", "phone": "138 0013 8001"}', 'cn.east.shanghai', 0, '1002', '2025-10-11 10:00'),
    ('R3', '{"product": "P8", "fault": "cold", "phone": "138 0013 8002"}', 'cn.south.yunnan', 1000, '2001', '2025-10-12 11:00'),
    ('R4', '{"product": "P8", "fault": "cold", "phone": "138 0013 8003", "home": {"lon": 121.4737, "lat": 31.2304, "system": "GCJ-02"}}', 'cn.east.shanghai', 900.01, '1002', '2025-10-13 21:00')) AS v (id, details, region, amount, worker, at);
SELECT ticket_id, stage, details -> 'model' AS model, details -> 'in_warranty' AS in_warranty FROM repair.ticket ORDER BY 1;
UPDATE repair.ticket SET dealer = 'yn-07' WHERE ticket_id = 'R3';
SELECT settle.move_ticket('repair', 'R1', 'begin');
SELECT ticket_id, settle.move_ticket('repair', ticket_id, 'book', '{"visit_at": "2025-10-20 10:00"}') FROM repair.ticket ORDER BY 1;
SELECT ticket_id, settle.move_ticket('repair', ticket_id, 'begin') FROM repair.ticket ORDER BY 1;
SELECT move, to_stage, missing FROM settle.legal_moves('repair', 'R1');
SELECT settle.move_ticket('repair', 'R1', 'go_on', reason => 'pipes are sound');
-- the phone of 1001 says where he is in other coordinates, 1002 is at home
SELECT away, distance FROM settle.check_in('repair', 'R1', '{"lon": 116.4105, "lat": 39.9211, "system": "BD-09"}', 20);
SELECT away, distance FROM settle.check_in('repair', 'R4', '{"lon": 121.60, "lat": 31.20, "system": "WGS-84"}', 20);

-- 4. R4 needs the workshop: the board goes to one, the firmware to another. The
--    visit keeps what is left, and goes on when both are done.
SELECT settle.split_ticket('repair', 'R4', '[{"type": "bench", "amount": 400, "worker": "3001"}, {"type": "bench", "amount": 200, "worker": "3002"}]', 'board and firmware');
SELECT settle.move_ticket('repair', 'R4', 'finish', '{"serial": "BC0216"}');
SELECT settle.move_ticket('repair', 'R4/1', 'finish'), settle.move_ticket('repair', 'R4/2', 'finish');
SELECT ticket_id, stage, worker, amount FROM repair.ticket WHERE ticket_id ~ '^R4' ORDER BY 1;
SELECT ticket_id, settle.move_ticket('repair', ticket_id, 'finish', '{"serial": "KF0035"}') FROM repair.ticket WHERE type = 'repair' ORDER BY 1;
UPDATE repair.ticket SET done_at = '2025-10-20 16:00' WHERE stage = 'done';

-- 5. October is settled. Nobody is paid for R4 until the store manager has asked.
--    Why did 1001 get what he got?
SET SESSION AUTHORIZATION repair_clerk;
SELECT tickets, lines, amount, unpaid FROM settle.run('repair');
SELECT source, ticket_key FROM repair.unpaid;
SET SESSION AUTHORIZATION repair_chief;
SELECT settle.overrule_check_in('repair', 'R4', false, 'the lift has no signal, the customer says that he was there');
SET SESSION AUTHORIZATION repair_clerk;
SELECT tickets, lines, amount, unpaid FROM settle.run('repair');
SELECT ticket_key, component, payer, payee, base, factor, amount FROM repair.line_detail ORDER BY ticket_key, component;
SELECT step, kind, name, payee, base, factor, amount, detail FROM settle.explain('repair', 'R1') WHERE kind IN ('decision', 'tier', 'factor', 'line', 'posted') ORDER BY step;

-- 6. The month closes. Whoever submits does not approve, and nobody is paid whose
--    account was not confirmed.
SET SESSION AUTHORIZATION repair_chief;
SELECT settle.close_period('repair', '2025-10-01', 'all stores have reported');
SELECT party, earned, payable, state FROM repair.statement ORDER BY party;
SET SESSION AUTHORIZATION repair_clerk;
SELECT settle.add_party('repair', 'staff:1001', account => '6222 0212'), settle.add_party('repair', 'dealer:yn-07', account => '6217 0099');
SELECT party, settle.submit_statement('repair', party, '2025-10-01') FROM unnest('{staff:1001,dealer:yn-07}'::text[]) AS party;
SELECT settle.approve_statement('repair', 'staff:1001', '2025-10-01');
SET SESSION AUTHORIZATION repair_chief;
SELECT party, settle.approve_statement('repair', party, '2025-10-01') FROM unnest('{staff:1001,dealer:yn-07}'::text[]) AS party;
SET SESSION AUTHORIZATION repair_clerk;
SELECT settle.pay_statement('repair', 'staff:1001', '2025-10-01', reference => 'bank 1');
SET SESSION AUTHORIZATION repair_chief;
SELECT settle.confirm_party('repair', 'staff:1001', 'bank card seen'), settle.confirm_party('repair', 'dealer:yn-07', 'contract 2025-118');
SET SESSION AUTHORIZATION repair_clerk;
SELECT party, account, amount_minor, currency FROM settle.payout_file('repair', '2025-10-01') ORDER BY party;
SELECT party, settle.pay_statement('repair', party, '2025-10-01', reference => 'bank ' || party) FROM unnest('{staff:1001,dealer:yn-07}'::text[]) AS party;

-- 7. In November the machine leaks again, and a customer of October gets 200 back.
--    October stays as it was paid: November takes back what is too much.
SET SESSION AUTHORIZATION repair_desk;
SELECT settle.move_ticket('repair', 'R1', 'reopen');
SET SESSION AUTHORIZATION repair_chief;
SELECT settle.approve_move('repair', 'R1', 'reopen', 'it leaks again');
SET SESSION AUTHORIZATION repair_desk;
SELECT settle.move_ticket('repair', 'R1', 'reopen');
UPDATE repair.ticket SET amount = 800 WHERE ticket_id = 'R3';
SET SESSION AUTHORIZATION repair_clerk;
SELECT tickets, lines, amount, corrections FROM settle.run('repair');
SELECT ticket_key, component, payee, amount, period, corrects_period FROM repair.line_detail WHERE corrects_period IS NOT NULL ORDER BY ticket_key, component;
SET SESSION AUTHORIZATION repair_desk;
SELECT settle.move_ticket('repair', 'R1', 'finish', reason => 'a new seal');
UPDATE repair.ticket SET done_at = '2025-11-12 16:00' WHERE ticket_id = 'R1';
SET SESSION AUTHORIZATION repair_chief;
SELECT settle.close_period('repair', '2025-11-01', 'all stores have reported');
SELECT party, carried, earned, payable, state FROM repair.statement WHERE period = '2025-11-01' ORDER BY party;
RESET SESSION AUTHORIZATION;

-- 8. What stands of it: the way of R1, and the figures of both months.
SELECT replace(actor, session_user, 'me') AS actor, what, move, was, now, reason FROM repair.ticket_timeline WHERE ticket_id = 'R1' ORDER BY event_id;
SELECT platform, kind, object, payload FROM repair.outbox ORDER BY object;
SELECT * FROM settle.check('repair');
SET client_min_messages = warning;
DROP SCHEMA repair CASCADE;
DROP TABLE repair_product;
DROP ROLE repair_desk, repair_clerk, repair_chief;
