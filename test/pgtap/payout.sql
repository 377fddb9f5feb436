-- Payouts: the file for the bank, payments that are noted once, whom nobody pays.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS payout_clerk, payout_lead;
CREATE ROLE payout_clerk; CREATE ROLE payout_lead;
SELECT settle.create_book('out') \g /dev/null
SELECT settle.grant_access('out', 'payout_clerk', 'clerk'), settle.grant_access('out', 'payout_lead', 'approver') \g /dev/null
SELECT settle.add_rule('out', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', rounding => 'half_up 0.001') \g /dev/null
INSERT INTO out.ticket (ticket_id, done_at, project, region, worker, amount)
SELECT n, '2025-11-03', 'a', 'b', to_char(n, 'FM000'), n + 0.455 FROM generate_series(1, 120) AS n;
INSERT INTO out.ticket (ticket_id, done_at, project, region, worker, amount, currency) VALUES ('k', '2025-11-03', 'a', 'b', '001', 7.125, 'KWD'), ('j', '2025-11-03', 'a', 'b', '001', 300, 'JPY'), ('minus', '2025-11-03', 'a', 'b', 'minus', -5, NULL);
SELECT settle.run('out') \g /dev/null
SELECT settle.close_period('out', '2025-11-01') \g /dev/null
SELECT results_eq($$ SELECT payable, carried FROM out.statement WHERE party = 'staff:007' $$, $$ VALUES (7.45, 0.005) $$, 'what is less than a minor unit is carried');

SET SESSION AUTHORIZATION payout_clerk;
SELECT settle.add_party('out', 'staff:' || to_char(n, 'FM000'), account => 'CN-' || n) FROM generate_series(1, 118) AS n \g /dev/null
SELECT settle.add_party('out', 'staff:120', title => 'has no account') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.payout_file('out', '2025-11-01') $$, 'drafts are not paid');
RESET SESSION AUTHORIZATION;
SELECT settle.submit_statement('out', party, period, unit) FROM out.statement \g /dev/null
SET SESSION AUTHORIZATION payout_lead;
SELECT settle.confirm_party('out', 'staff:' || to_char(n, 'FM000'), 'papers seen') FROM generate_series(1, 120) AS n WHERE n NOT IN (118, 119) \g /dev/null
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA out TO payout_lead;
GRANT SELECT ON out.statement TO payout_lead;
SET SESSION AUTHORIZATION payout_lead;
SELECT settle.approve_statement('out', party, period, unit) FROM out.statement WHERE party <> 'staff:117' \g /dev/null
SET SESSION AUTHORIZATION payout_clerk;

SELECT results_eq($$ SELECT order_no, count(*), max(line_no) FROM settle.payout_file('out', '2025-11-01') GROUP BY 1 ORDER BY 1 $$,
    $$ VALUES (1::bigint, 50::bigint, 50::bigint), (2, 50, 50), (3, 16, 16) $$, 'at most 50 receivers an order; not approved, not confirmed and without account are left out');
SELECT results_eq($$ SELECT order_no, line_no, party, account, amount_minor, currency FROM settle.payout_file('out', '2025-11-01') WHERE line_no = 1 AND order_no < 3 ORDER BY 1 $$,
    $$ VALUES (1::bigint, 1::bigint, 'staff:001', 'CN-1', 145::bigint, 'CNY'), (2, 1, 'staff:051', 'CN-51', 5145, 'CNY') $$, 'whole minor units, in order of party');
SELECT results_eq($$ SELECT party, amount_minor FROM settle.payout_file('out', '2025-11-01', 'KWD') $$, $$ VALUES ('staff:001', 7125::bigint) $$, 'a dinar has a thousand fils');
SELECT results_eq($$ SELECT party, amount_minor FROM settle.payout_file('out', '2025-11-01', 'JPY') $$, $$ VALUES ('staff:001', 300::bigint) $$, 'a yen has no sen');
SELECT is_empty($$ SELECT 1 FROM settle.payout_file('out', '2025-11-01') GROUP BY reference HAVING count(*) > 1 $$, 'references are unique');
SELECT is_empty($$ SELECT reference FROM settle.payout_file('out', '2025-11-01') WHERE reference !~ '^S[0-9a-f]{31}$' $$, 'letters and digits that every provider takes');
SELECT is_empty($$ SELECT * FROM settle.payout_file('out', '2025-12-01') $$, 'a period without statements gives no row');

-- payments
SELECT reference FROM settle.payout_file('out', '2025-11-01') WHERE party = 'staff:002' \gset
SELECT is(settle.pay_statement('out', 'staff:002', '2025-11-01', paid_at => '2025-12-10 10:00+08'), :'reference', 'without a reference it is that of the file');
SELECT is(settle.pay_statement('out', 'staff:002', '2025-11-01', reference => :'reference'), :'reference', 'told twice it is noted once');
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:002', '2025-11-01', reference => 'other') $$, '55000', 'the statement of "staff:002" for 2025-11-01 in CNY is paid already', 'paid by another reference it is refused');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT amount, actor, paid_at FROM out.payment $$, $$ VALUES (2.45, 'payout_clerk', '2025-12-10 10:00+08'::timestamptz) $$, 'one payment');
SELECT results_eq($$ SELECT state, payable, paid FROM out.statement WHERE party = 'staff:002' $$, $$ VALUES ('paid', 2.45, 2.45) $$, 'the statement is paid');
SELECT throws_ok($$ UPDATE out.payment SET amount = 1 $$, '55000', NULL, 'payments are kept');
SET SESSION AUTHORIZATION payout_clerk;
SELECT is((SELECT reference FROM settle.payout_file('out', '2025-11-01') WHERE party = 'staff:003'), settle.pay_statement('out', 'staff:003', '2025-11-01'), 'the reference of a statement is always the same');
SELECT is((SELECT count(*) FROM settle.payout_file('out', '2025-11-01')), 114::bigint, 'what is paid leaves the file');
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:117', '2025-11-01') $$, '55000', 'cannot pay the statement of "staff:117" for 2025-11-01 in CNY: it is submitted', 'what is not approved is not paid');
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:119', '2025-11-01') $$, '55000', 'party "staff:119" is not confirmed and cannot be paid', 'an unconfirmed party is not paid');
SELECT throws_ok($$ SELECT settle.dispute_statement('out', 'staff:002', '2025-11-01', reason => 'late') $$, '55000', 'cannot dispute the statement of "staff:002" for 2025-11-01 in CNY: it is paid', 'what is paid is corrected, not disputed');
-- a new account is confirmed anew
SELECT settle.add_party('out', 'staff:004', account => 'CN-elsewhere') \g /dev/null
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:004', '2025-11-01') $$, '55000', 'party "staff:004" is not confirmed and cannot be paid', 'nor one whose account is new');
SELECT is_empty($$ SELECT * FROM settle.payout_file('out', '2025-11-01') WHERE party = 'staff:004' $$, 'it is not in the file');
RESET SESSION AUTHORIZATION;
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:minus', '2025-11-01') $$, '55000', NULL, 'a negative balance is never paid out');
SET SESSION AUTHORIZATION payout_lead;
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:005', '2025-11-01') $$, '42501', 'permission denied for book "out"', 'who approves does not pay');
RESET SESSION AUTHORIZATION;
-- changed in its table after it was approved
BEGIN;
UPDATE out.statement SET earned = earned + 100, payable = payable + 100 WHERE party = 'staff:005';
SELECT throws_ok($$ SELECT settle.pay_statement('out', 'staff:005', '2025-11-01') $$, '55000', 'the statement of "staff:005" for 2025-11-01 in CNY is not what was submitted', 'what was not approved is not paid');
SELECT throws_ok($$ SELECT * FROM settle.payout_file('out', '2025-11-01') $$, '55000', 'the statement of "staff:005" for 2025-11-01 in CNY is not what was submitted', 'nor handed to the bank');
SELECT set_eq($$ SELECT invariant FROM settle.check('out') $$, ARRAY['a statement equals the lines of its period', 'the items of a statement sum to it', 'a submitted statement is what was submitted, and what was approved of it'], 'and check tells');
ROLLBACK;
SELECT is(settle._paid_statements('out', '2025-11-01'), 2::bigint, 'a period with payments is known');

-- where a paid statement is made anew after all, the payment stays and the difference is carried
UPDATE out.period SET state = 'open';
SELECT throws_ok($$ SELECT * FROM settle.payout_file('out', '2025-11-01') $$, '55000', 'cannot pay out period 2025-11-01: it is open', 'a period that is open again is not paid out');
UPDATE out.ticket SET amount = 1.455 WHERE ticket_id = '2';
UPDATE out.ticket SET amount = 9.455 WHERE ticket_id = '3';
SELECT settle.run('out') \g /dev/null
SELECT settle.close_period('out', '2025-11-01') \g /dev/null
SELECT results_eq($$ SELECT party, state, earned, payable, paid, carried FROM out.statement WHERE party IN ('staff:002', 'staff:003') ORDER BY 1 $$,
    $$ VALUES ('staff:002', 'paid', 1.455, 2.45, 2.45, -0.995), ('staff:003', 'paid', 9.455, 3.45, 3.45, 6.005) $$, 'the difference is carried');
SELECT settle.close_period('out', '2025-12-01') \g /dev/null
SELECT results_eq($$ SELECT party, payable, carried FROM out.statement WHERE period = '2025-12-01' AND party IN ('staff:002', 'staff:003') ORDER BY 1 $$,
    $$ VALUES ('staff:002', 0::numeric, -0.995), ('staff:003', 6.00, 0.005) $$, 'and stands in the next one');
SELECT is_empty($$ SELECT * FROM settle.check('out') $$, 'all figures agree');
DROP SCHEMA out CASCADE;
DROP ROLE payout_clerk, payout_lead;
SELECT * FROM finish();
