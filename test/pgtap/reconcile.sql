-- Reconciliation: figures of others against those of the book, and when they call for an audit.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
SELECT settle.create_book('recon') \g /dev/null
SELECT settle.add_rule('recon', 'intake', 'intake', 'customer', 'escrow', base => 'amount') \g /dev/null
SELECT settle.add_rule('recon', 'freight', 'freight', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '10%') \g /dev/null
INSERT INTO recon.ticket (ticket_id, done_at, project, region, dealer, amount)
SELECT m || '-' || n, make_date(2025, m, 10), 'a', 'b', 'd' || n, 100 * n FROM generate_series(8, 11) AS m, generate_series(1, 4) AS n;
SELECT settle.run('recon') \g /dev/null

-- per order
UPDATE recon.figure_kind SET component = 'intake' WHERE kind = 'channel_bill';
INSERT INTO recon.external_figure (kind, period, source, ticket_key, unit, amount) VALUES
    ('channel_bill', '2025-11-01', 'ticket', '11-1', 'CNY', 60), ('channel_bill', '2025-11-01', 'ticket', '11-1', 'CNY', 40.00),
    ('channel_bill', '2025-11-01', 'ticket', '11-2', 'CNY', 210), ('channel_bill', '2025-11-01', 'ticket', 'unknown', 'CNY', 5),
    ('channel_bill', '2025-11-01', 'ticket', '11-4', 'USD', 400);
SELECT results_eq($$ SELECT * FROM settle.reconcile('recon', 'channel_bill', '2025-11-01') $$, $$ VALUES
    ('matched', 'ticket'::name, '11-1', NULL::text, NULL::text, 'CNY', 100::numeric, 100.00, 0.00),
    ('different', 'ticket', '11-2', NULL, NULL, 'CNY', 200, 210, 10),
    ('missing_there', 'ticket', '11-3', NULL, NULL, 'CNY', 300, NULL, -300),
    ('missing_there', 'ticket', '11-4', NULL, NULL, 'CNY', 400, NULL, -400),
    ('missing_here', 'ticket', '11-4', NULL, NULL, 'USD', NULL, 400, 400),
    ('missing_here', 'ticket', 'unknown', NULL, NULL, 'CNY', NULL, 5, 5) $$, 'matched, different, missing there and here, by order and unit');
SELECT results_eq($$ SELECT count(*), sum(book_amount) FROM settle.reconcile('recon', 'sign_off', '2025-10-01') $$, $$ VALUES (4::bigint, 1000::numeric) $$, 'without a component it is the revenue');
UPDATE recon.figure_kind SET source = 'elsewhere' WHERE kind = 'sign_off';
SELECT is_empty($$ SELECT * FROM settle.reconcile('recon', 'sign_off', '2025-10-01') $$, 'of one source alone');
SELECT throws_ok($$ SELECT * FROM settle.reconcile('recon', 'gossip', '2025-11-01') $$, '42704', 'unknown kind of figures "gossip"', 'a kind that is not there');
SELECT throws_ok($$ INSERT INTO recon.external_figure (kind, period, source, ticket_key, party, unit, amount) VALUES ('sign_off', '2025-11-01', 'ticket', '1', 'p', 'CNY', 1) $$, '23514', NULL, 'a figure is of an order or of a party');

-- per party and period
INSERT INTO recon.external_figure (kind, period, party, unit, amount)
SELECT 'erp_invoice', make_date(2025, m, 1), 'dealer:d' || n, 'CNY', 10 * n * CASE n WHEN 1 THEN 1 WHEN 2 THEN 1.05 WHEN 3 THEN 1.06 ELSE CASE WHEN m = 10 THEN 1 ELSE 0.5 END END
FROM generate_series(8, 11) AS m, generate_series(1, 4) AS n;
SELECT results_eq($$ SELECT outcome, party, book_amount, external_amount, difference FROM settle.reconcile('recon', 'erp_invoice', '2025-11-01') $$, $$ VALUES
    ('matched', 'dealer:d1', 10.00, 10.00, 0.00), ('different', 'dealer:d2', 20.00, 21.00, 1.00), ('different', 'dealer:d3', 30.00, 31.80, 1.80), ('different', 'dealer:d4', 40.00, 20.0, -20.00) $$,
    'parties against what they received less what they gave');
UPDATE recon.figure_kind SET parties = 'dealer:d1' WHERE kind = 'erp_invoice';
SELECT results_eq($$ SELECT outcome, party FROM settle.reconcile('recon', 'erp_invoice', '2025-11-01') $$, $$ VALUES ('matched', 'dealer:d1'), ('missing_here', 'dealer:d2'), ('missing_here', 'dealer:d3'), ('missing_here', 'dealer:d4') $$, 'of some parties alone');
UPDATE recon.figure_kind SET parties = 'dealer' WHERE kind = 'erp_invoice';

-- per order reference: what is billed of an order is compared with the sum of its tickets, in whatever source they are
CREATE TABLE delivery (parcel text PRIMARY KEY, done_at timestamptz, project text, region text, order_no text, amount numeric);
SELECT settle.add_source('recon', 'delivery', 'delivery', 'parcel', 'done_at', project => 'project', region => 'region', revenue => 'amount', order_ref => 'order_no') \g /dev/null
SELECT settle.add_rule('recon', 'delivered', 'intake', 'customer', 'escrow', base => 'amount', source => 'delivery') \g /dev/null
INSERT INTO delivery VALUES ('P1', '2025-12-03', 'a', 'b', 'O-1', 70), ('P2', '2025-12-04', 'c', 'b', 'O-1', 50), ('P3', '2025-12-05', 'a', 'b', 'O-2', 80), ('P4', '2025-12-05', 'a', 'b', NULL, 20), ('P5', '2025-12-06', 'a', 'b', 'O-4', 5);
SELECT settle.run('recon') \g /dev/null
INSERT INTO recon.external_figure (kind, period, order_ref, unit, amount) VALUES
    ('channel_bill', '2025-12-01', 'O-1', 'CNY', 100), ('channel_bill', '2025-12-01', 'O-2', 'CNY', 80), ('channel_bill', '2025-12-01', 'O-3', 'CNY', 9);
INSERT INTO recon.external_figure (kind, period, source, ticket_key, unit, amount) VALUES ('channel_bill', '2025-12-01', 'delivery', 'P2', 'CNY', 20), ('channel_bill', '2025-12-01', 'delivery', 'P4', 'CNY', 25);
SELECT results_eq($$ SELECT outcome, source, ticket_key, order_ref, unit, book_amount, external_amount, difference FROM settle.reconcile('recon', 'channel_bill', '2025-12-01') $$, $$ VALUES
    ('different', 'delivery'::name, 'P4', NULL::text, 'CNY', 20::numeric, 25::numeric, 5::numeric),
    ('missing_there', 'delivery', 'P5', NULL, 'CNY', 5, NULL, -5),
    ('matched', NULL, NULL, 'O-1', 'CNY', 120, 120, 0),
    ('matched', NULL, NULL, 'O-2', 'CNY', 80, 80, 0),
    ('missing_here', NULL, NULL, 'O-3', 'CNY', NULL, 9, 9) $$, 'two tickets of an order are one sum, and what is billed of one of them goes there, too; a ticket whose order nobody names stands for itself');
UPDATE recon.figure_kind SET source = 'ticket' WHERE kind = 'channel_bill';
SELECT results_eq($$ SELECT outcome, order_ref, book_amount FROM settle.reconcile('recon', 'channel_bill', '2025-12-01') WHERE order_ref IS NOT NULL $$, $$ VALUES
    ('missing_here', 'O-1', NULL::numeric), ('missing_here', 'O-2', NULL), ('missing_here', 'O-3', NULL) $$, 'of one source alone');
UPDATE recon.figure_kind SET source = NULL WHERE kind = 'channel_bill';
SELECT throws_ok($$ INSERT INTO recon.external_figure (kind, period, source, order_ref, unit, amount) VALUES ('channel_bill', '2025-11-01', 'delivery', 'O-1', 'CNY', 1) $$, '23514', NULL, 'an order is named by its reference alone');

-- an audit is due when a party differs by more than 5 % three periods in a row
SELECT settle.close_period('recon', '2025-08-01'), settle.close_period('recon', '2025-09-01') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.audit_differences('recon') $$, 'two periods are not three');
SELECT settle.close_period('recon', '2025-10-01') \g /dev/null
SELECT results_eq($$ SELECT kind, party, unit, periods FROM settle.audit_differences('recon') $$, $$ VALUES ('erp_invoice', 'dealer:d3', 'CNY', 3::bigint) $$, 'three are; 5 % itself is not more, and one month without a difference ends the row');
SELECT results_eq($$ SELECT object, message FROM recon.alert WHERE kind = 'audit' $$,
    $$ VALUES ('erp_invoice dealer:d3 CNY', 'differs by more than 5 % in 3 periods up to 2025-10-01: 1.8 of 30, 1.8 of 30, 1.8 of 30') $$, 'an alert says what and how much');
UPDATE recon.book SET audit_periods = 1, audit_percent = 4.9;
SELECT set_eq($$ SELECT party FROM settle.audit_differences('recon') $$, ARRAY['dealer:d2', 'dealer:d3'], 'percentage and number are settings');
UPDATE recon.book SET audit_periods = 3, audit_percent = 5;
-- a period whose figures are not loaded yet neither counts nor ends the row
SELECT settle.close_period('recon', '2025-11-01'), settle.close_period('recon', '2025-12-01') \g /dev/null
SELECT set_eq($$ SELECT party FROM settle.audit_differences('recon') $$, ARRAY['dealer:d3'], 'the last periods that have figures count');
SELECT is((SELECT count(*) FROM recon.alert WHERE kind = 'audit' AND object LIKE '%d3%'), 1::bigint, 'one open alert a party');
SELECT is_empty($$ SELECT * FROM settle.check('recon') $$, 'all figures agree');
DROP SCHEMA recon CASCADE;
SELECT * FROM finish();
