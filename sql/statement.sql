-- From a closed period to money out: statements, approvals, disputes, payouts, and the way back.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = ISO;
CREATE ROLE pays_clerk;
CREATE ROLE pays_lead;

SELECT settle.create_book('pays');
SELECT settle.grant_access('pays', 'pays_clerk', 'clerk'), settle.grant_access('pays', 'pays_lead', 'approver');
SELECT settle.add_rule('pays', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => 'amount > 0');
SELECT settle.add_rule('pays', 'iit', 'iit', 'staff:{worker}', 'tax:iit', base => 'c.wage', tiers => '3%', applies_when => 'amount > 0');
SELECT settle.add_rule('pays', 'fine', 'fine', 'staff:{worker}', 'hq', base => '-amount', applies_when => 'amount < 0');
INSERT INTO pays.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('T1', '2025-11-03', 'repair', 'cn.north', '1001', 8000), ('T2', '2025-11-04', 'repair', 'cn.north', '1001', 500),
    ('T3', '2025-11-05', 'repair', 'cn.north', '1002', 300), ('T4', '2025-11-06', 'repair', 'cn.north', '1002', -50);
SELECT tickets, lines FROM settle.run('pays');
SELECT settle.submit_statement('pays', 'staff:1001', '2025-11-01');
SELECT settle.close_period('pays', '2025-11-01');
SELECT settle.submit_statement('pays', '1001', '2025-11-01');
SELECT settle.submit_statement('pays', 'staff:1001', '2025-11-30');
SELECT settle.submit_statement('pays', 'staff:1001', '2025-11-01', 'compared with the roster');

-- one statement a party and unit; a negative balance is carried
SELECT party, state, brought_forward AS brought, earned, corrections, withheld, payable, held, carried FROM pays.statement ORDER BY party;
SELECT party, kind, component, tickets, amount FROM pays.statement_detail ORDER BY party, kind, component;

-- submitted by one, approved by another
SET SESSION AUTHORIZATION pays_clerk;
SELECT settle.submit_statement('pays', 'staff:1001', '2025-11-01', reason => 'compared with the roster');
SELECT settle.pay_statement('pays', 'staff:1001', '2025-11-01');
SELECT settle.add_party('pays', 'staff:1001', account => '6222 0212');
SET SESSION AUTHORIZATION pays_lead;
SELECT settle.approve_statement('pays', 'staff:1001', '2025-11-01');

-- a dispute holds the lines of a ticket; what was approved was another amount
SET SESSION AUTHORIZATION pays_clerk;
SELECT settle.dispute_statement('pays', 'staff:1001', '2025-11-01', reason => 'T2 was the visit of 1002', ticket_key => 'T2');
SELECT party, state, payable, held FROM pays.statement WHERE party = 'staff:1001';
SELECT settle.submit_statement('pays', 'staff:1001', '2025-11-01');
SET SESSION AUTHORIZATION pays_lead;
SELECT settle.approve_statement('pays', 'staff:1001', '2025-11-01', reason => 'without T2');
SELECT node, actor, amount, reason, voided_because FROM pays.approval ORDER BY approval_id;

-- what the bank is told, and what it answers
SET SESSION AUTHORIZATION pays_clerk;
SELECT * FROM settle.payout_file('pays', '2025-11-01');
SELECT settle.pay_statement('pays', 'staff:1001', '2025-11-01');
SET SESSION AUTHORIZATION pays_lead;
SELECT settle.confirm_party('pays', 'staff:1001', 'bank card seen');
SET SESSION AUTHORIZATION pays_clerk;
SELECT order_no, line_no, party, account, amount_minor, currency FROM settle.payout_file('pays', '2025-11-01');
SELECT settle.pay_statement('pays', 'staff:1001', '2025-11-01', reference => 'BANK-20251210-7', paid_at => '2025-12-10 10:00');
SELECT settle.pay_statement('pays', 'staff:1001', '2025-11-01', reference => 'BANK-20251210-7');
SELECT settle.pay_statement('pays', 'staff:1001', '2025-11-01', reference => 'BANK-20251211-1');

-- the dispute is right: the ticket is corrected by its data, and the lines follow
SET SESSION AUTHORIZATION pays_lead;
SELECT settle.resolve_dispute('pays', 1, 'upheld', 'check-in of 1002 at the door');
RESET SESSION AUTHORIZATION;
UPDATE pays.ticket SET worker = '1002' WHERE ticket_id = 'T2';
SELECT tickets, lines, corrections FROM settle.run('pays');
SELECT settle.close_period('pays', '2025-12-01');
SELECT party, period, brought_forward AS brought, earned, corrections, withheld, payable, paid, carried FROM pays.statement ORDER BY party, period;

-- both ways
SELECT reference, kind, component, amount, ticket_key, ticket->>'amount' AS price FROM settle.trace_payout('pays', 'staff:1001', '2025-11-01');
SELECT revision, period, corrects_period, component, payer, payee, amount, party, statement_period, state, reference FROM settle.trace_ticket('pays', 'ticket', 'T2') WHERE component = 'wage';
SELECT action, from_state, to_state, payable, actor, reason FROM pays.statement_log ORDER BY log_id;

-- the figures of others
INSERT INTO pays.external_figure (kind, period, party, unit, amount) VALUES ('erp_invoice', '2025-11-01', 'staff:1001', 'CNY', 824.50), ('erp_invoice', '2025-11-01', 'staff:1002', 'CNY', 10), ('erp_invoice', '2025-11-01', 'staff:1003', 'CNY', 1);
SELECT outcome, party, book_amount, external_amount, difference FROM settle.reconcile('pays', 'erp_invoice', '2025-11-01');

-- profit shared within an order: the dealer is the main receiver, the partner gets a leg beside him
SELECT settle.create_book('shares');
SELECT settle.add_rule('shares', 'intake', 'intake', 'customer', 'escrow', base => 'amount');
SELECT settle.add_rule('shares', 'referral', 'referral', 'escrow', 'partner:{worker}', base => 'amount', tiers => '5%');
SELECT settle.add_rule('shares', 'dealer', 'dealer', 'escrow', 'dealer:{dealer}', remainder => true);
INSERT INTO shares.ticket (ticket_id, done_at, project, region, dealer, worker, amount) VALUES ('S1', '2025-11-03', 'shop', 'cn.east', 'yn-07', 'blog', 1000);
SELECT tickets FROM settle.run('shares');
SELECT * FROM settle.make_legs('shares', 'ticket', 'S1');
SELECT settle.confirm_party('shares', 'dealer:yn-07', 'contract 2025-118');
SELECT settle.note_leg('shares', 1, 'sent', 'wx-1', '2025-11-04'), settle.note_leg('shares', 1, 'paid', 'wx-1', '2025-11-04');
UPDATE shares.ticket SET amount = 600 WHERE ticket_id = 'S1';
SELECT tickets FROM settle.run('shares');
SELECT * FROM settle.make_legs('shares', 'ticket', 'S1');
SELECT settle.return_leg('shares', 1, 380, 'wx-r-1', '2025-12-01');
SELECT leg_id, party, amount, state, returned, to_return FROM shares.leg ORDER BY leg_id;
SELECT * FROM settle.check('pays');
SELECT * FROM settle.check('shares');

SET client_min_messages = warning;
DROP SCHEMA pays, shares CASCADE;
DROP ROLE pays_clerk, pays_lead;
