-- Profit sharing within an order: legs, their limit, their states, what comes back.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
-- 1,000 to escrow, 15 % to hq, VAT, 5 % to whoever referred, the rest to the dealer
SELECT settle.create_book('shared') \g /dev/null
SELECT settle.add_rule('shared', 'intake', 'intake', 'customer', 'escrow', base => 'amount') \g /dev/null
SELECT settle.add_rule('shared', 'channel', 'channel', 'escrow', 'hq', base => 'amount', tiers => '15%') \g /dev/null
SELECT settle.add_rule('shared', 'vat', 'vat', 'escrow', 'tax:vat', base => 'amount - amount / 1.06') \g /dev/null
SELECT settle.add_rule('shared', 'referral', 'referral', 'escrow', 'partner:{worker}', base => 'amount', tiers => '5%', applies_when => 'worker IS NOT NULL') \g /dev/null
SELECT settle.add_rule('shared', 'dealer', 'dealer', 'escrow', 'dealer:{dealer}', remainder => true) \g /dev/null
INSERT INTO shared.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES ('T1', '2025-11-03', 'a', 'b', 'p1', 'd1', 1000), ('T2', '2025-11-03', 'a', 'b', NULL, 'd1', 200);
SELECT settle.run('shared') \g /dev/null

SELECT results_eq($$ SELECT party, unit, part, amount, state FROM settle.make_legs('shared', 'ticket', 'T1') $$,
    $$ VALUES ('dealer:d1', 'CNY', 1, 743.40, 'planned'), ('partner:p1', 'CNY', 1, 50.00, 'planned') $$, 'a leg each for the outside parties; hq and the tax office have none');
SELECT results_eq($$ SELECT leg_id, amount FROM settle.make_legs('shared', 'ticket', 'T1') $$, $$ VALUES (1::bigint, 743.40), (2, 50.00) $$, 'made again they are the same');
SELECT is_empty($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'nothing') $$, 'an order without lines has no legs');

-- the limit: what others than the main receiver get
UPDATE shared.book SET leg_share_limit = 0.04;
SELECT throws_ok($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'T1') $$, '23514', 'ticket "T1" shares more than 4 % of the order', 'more than the limit is refused');
CREATE FUNCTION pg_temp.detail(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
    RETURN d;
END $$;
SELECT is(pg_temp.detail($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'T1') $$), 'Others than the main receiver get 50.00 of 1000.00 CNY, 5 %; at most 40 may go to them.', 'with the figures');
UPDATE shared.book SET leg_share_limit = 0.05;
SELECT lives_ok($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'T1') $$, 'the limit itself is allowed');
UPDATE shared.book SET leg_share_limit = 0.30, leg_main_receiver = 'partner';
SELECT is(pg_temp.detail($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'T1') $$), 'Others than the main receiver get 743.40 of 1000.00 CNY, 74.34 %; at most 300 may go to them.', 'the main receiver can be named');
UPDATE shared.book SET leg_main_receiver = 'dealer';
SELECT lives_ok($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'T1') $$, 'by kind');

-- states
SELECT throws_ok($$ SELECT settle.note_leg('shared', 1, 'sent', 'wx-1') $$, '55000', 'party "dealer:d1" is not confirmed and cannot be paid', 'an unconfirmed party is not paid by a leg either');
SELECT settle.confirm_party('shared', party, 'contract seen') FROM shared.party WHERE side = 'outside' \g /dev/null
SELECT throws_ok($$ SELECT settle.note_leg('shared', 1, 'paid') $$, '55000', 'leg 1 is planned and cannot become paid', 'a move that the table does not allow');
SELECT throws_ok($$ SELECT settle.note_leg('shared', 99, 'paid') $$, 'P0002', 'leg 99 does not exist', 'a leg that is not there');
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 1, 'r') $$, '55000', 'leg 1 is planned: nothing can come back of it', 'only what was paid comes back');
SELECT settle.note_leg('shared', 1, 'sent', 'wx-1', '2025-11-04'), settle.note_leg('shared', 1, 'failed'), settle.note_leg('shared', 1, 'sent', 'wx-2', '2025-11-05'),
    settle.note_leg('shared', 1, 'paid', 'wx-2', '2025-11-05 12:00+08'), settle.note_leg('shared', 1, 'paid', 'wx-2', '2025-11-06') \g /dev/null
SELECT results_eq($$ SELECT state, reference, paid_at FROM shared.leg WHERE leg_id = 1 $$, $$ VALUES ('paid', 'wx-2', '2025-11-05 12:00+08'::timestamptz) $$, 'sent, failed, sent again, paid; told twice it is noted once');

-- a correction: the planned leg follows, of the paid one something is to come back
UPDATE shared.ticket SET amount = 400 WHERE ticket_id = 'T1';
SELECT settle.run('shared') \g /dev/null
SELECT results_eq($$ SELECT party, amount, state, to_return FROM settle.make_legs('shared', 'ticket', 'T1') $$,
    $$ VALUES ('dealer:d1', 743.40, 'paid', 446.04), ('partner:p1', 20.00, 'planned', 0::numeric) $$, 'what is due less is to come back');
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 743.41, 'r1', '2025-12-01') $$, '22023', 'cannot return 743.41 CNY of leg 1', 'no more than was paid');
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 0, 'r1', '2025-12-01') $$, '22023', 'cannot return 0 CNY of leg 1', 'something');
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 10, NULL) $$, '22004', 'a return needs a leg, an amount and a reference', 'a reference');
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 10, 'r1', '2026-05-05') $$, '55000', 'leg 1 was paid more than 180 days ago', 'in 180 days');
SELECT settle.return_leg('shared', 1, 400, 'r1', '2025-12-01'), settle.return_leg('shared', 1, 400, 'r1', '2025-12-02') \g /dev/null
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 300, 'r1') $$, '55000', 'return "r1" of leg 1 is 400, not 300', 'one reference is one return');
SELECT results_eq($$ SELECT returned, to_return FROM shared.leg WHERE leg_id = 1 $$, $$ VALUES (400::numeric, 46.04) $$, 'part has come back');
SELECT throws_ok($$ SELECT settle.return_leg('shared', 1, 343.41, 'r2', '2025-12-01') $$, '22023', 'cannot return 343.41 CNY of leg 1', 'returns add up to no more than was paid');
SELECT results_eq($$ SELECT to_return FROM settle.make_legs('shared', 'ticket', 'T1') WHERE leg_id = 1 $$, $$ VALUES (46.04) $$, 'made again the rest is still to come back');
SELECT settle.return_leg('shared', 1, 46.04, 'r2', '2025-12-01') \g /dev/null
-- worth more again: a further part
UPDATE shared.ticket SET amount = 500 WHERE ticket_id = 'T1';
SELECT settle.run('shared') \g /dev/null
SELECT results_eq($$ SELECT party, part, amount, state, returned, to_return FROM settle.make_legs('shared', 'ticket', 'T1') $$,
    $$ VALUES ('dealer:d1', 1, 743.40, 'paid', 446.04, 0::numeric), ('dealer:d1', 2, 74.34, 'planned', 0, 0), ('partner:p1', 1, 25.00, 'planned', 0, 0) $$, 'what is due more is a further part');
-- gone altogether
UPDATE shared.source SET on_delete = 'reverse' WHERE source = 'ticket';
DELETE FROM shared.ticket WHERE ticket_id = 'T1';
SELECT settle.run('shared') \g /dev/null
SELECT results_eq($$ SELECT party, part, state, to_return FROM settle.make_legs('shared', 'ticket', 'T1') $$,
    $$ VALUES ('dealer:d1', 1, 'paid', 297.36), ('dealer:d1', 2, 'closed', 0::numeric), ('partner:p1', 1, 'closed', 0) $$, 'of a cancelled order all comes back and nothing more is sent');

-- a part fails while a further one waits: one of them holds what is due, and nothing is to come back of what never went
SELECT settle.make_legs('shared', 'ticket', 'T2') \g /dev/null
SELECT leg_id AS first_leg FROM shared.leg WHERE ticket_key = 'T2' \gset
SELECT settle.note_leg('shared', :first_leg, 'sent', 'wx-3') \g /dev/null
UPDATE shared.ticket SET amount = 300 WHERE ticket_id = 'T2';
SELECT settle.run('shared') \g /dev/null
SELECT results_eq($$ SELECT part, amount, state FROM settle.make_legs('shared', 'ticket', 'T2') $$, $$ VALUES (1, 158.68, 'sent'), (2, 79.34, 'planned') $$, 'one part is sent, a further one waits');
SELECT settle.note_leg('shared', :first_leg, 'failed') \g /dev/null
SELECT results_eq($$ SELECT part, amount, state FROM settle.make_legs('shared', 'ticket', 'T2') $$, $$ VALUES (1, 238.02, 'failed'), (2, 79.34, 'closed') $$, 'the one that failed holds all that is due');
SELECT settle.note_leg('shared', :first_leg, 'sent', 'wx-4') \g /dev/null
UPDATE shared.ticket SET amount = 100 WHERE ticket_id = 'T2';
SELECT settle.run('shared') \g /dev/null
SELECT is((SELECT (state, to_return)::text FROM settle.make_legs('shared', 'ticket', 'T2') WHERE leg_id = :first_leg), '(sent,158.68)', 'a sent one is too much');
SELECT settle.note_leg('shared', :first_leg, 'failed') \g /dev/null
SELECT is((SELECT (amount, state, to_return)::text FROM settle.make_legs('shared', 'ticket', 'T2') WHERE leg_id = :first_leg), '(79.34,failed,0)', 'it fails: it becomes what is due');

-- out of a transit party into which nothing came
SELECT settle.add_rule('shared', 'gift', 'gift', 'escrow:gift', 'partner:x', base => '5', applies_when => 'worker = ''g'''), settle.add_rule('shared', 'gift2', 'gift2', 'escrow:gift', 'partner:y', base => '5', applies_when => 'worker = ''g''') \g /dev/null
SELECT settle.end_rule('shared', code, '2026-01-01') FROM unnest('{intake,channel,vat,referral,dealer}'::text[]) AS code \g /dev/null
INSERT INTO shared.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('G', '2026-01-02', 'a', 'b', 'g', 0);
SELECT settle.run('shared') \g /dev/null
SELECT is(pg_temp.detail($$ SELECT * FROM settle.make_legs('shared', 'ticket', 'G') $$), 'Others than the main receiver get 10.00 of 0 CNY; at most 0 may go to them.', 'nothing can be shared of nothing');
SELECT is_empty($$ SELECT * FROM settle.check('shared') $$, 'all figures agree');
BEGIN;
UPDATE shared.leg SET returned = returned - 1 WHERE leg_id = 1;
SELECT string_agg(invariant || ': ' || object, ', ') AS found FROM settle.check('shared') \gset
ROLLBACK;
SELECT is(:'found'::text, 'what came back of a leg equals its returns: leg 1', 'and check tells where not');
DROP SCHEMA shared CASCADE;
SELECT * FROM finish();
