-- From order to ticket: what was sold, the rules over it, and the life of an
-- order, its refunds and its tickets, settled and corrected.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
SELECT settle.create_book('trade') \g /dev/null

CREATE FUNCTION public.land(order_no text, status text, modified text, goods numeric[], more jsonb DEFAULT '{}', freight numeric DEFAULT 0) RETURNS void LANGUAGE sql AS $$
    INSERT INTO trade.staging (platform, payload) SELECT 'taobao', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object(
        'tid', order_no, 'seller_nick', 'corner', 'status', status, 'created', '2025-10-30 09:00:00', 'modified', modified,
        'total_fee', sum(g)::text, 'post_fee', freight::text, 'payment', (sum(g) + freight)::text, 'receiver_state', '浙江省', 'receiver_city', '杭州市',
        'orders', jsonb_build_object('order', jsonb_agg(jsonb_build_object('oid', order_no || n, 'num', 1, 'outer_sku_id', 'AC-' || n, 'title', '空调 ' || n,
            'price', g::text, 'payment', g::text, 'divide_order_fee', g::text, 'refund_status', 'NO_REFUND') ORDER BY n)))
        || CASE WHEN status NOT LIKE 'TRADE_CLOSED_BY%' AND status <> 'WAIT_BUYER_PAY' THEN '{"pay_time": "2025-10-30 09:01:00"}' ELSE '{}'::jsonb END
        || CASE WHEN status = 'TRADE_FINISHED' THEN '{"end_time": "2025-11-08 12:00:00"}' ELSE '{}'::jsonb END || more))
    FROM unnest(goods) WITH ORDINALITY AS u (g, n) $$;
CREATE FUNCTION public.land_refund(refund_no text, order_no text, line_no text, amount numeric, status text DEFAULT 'SUCCESS', version bigint DEFAULT 1764500000000) RETURNS void LANGUAGE sql AS $$
    INSERT INTO trade.staging (platform, payload) SELECT 'taobao', jsonb_build_object('refund_get_response', jsonb_build_object('refund', jsonb_strip_nulls(jsonb_build_object(
        'refund_id', refund_no, 'tid', order_no, 'oid', line_no, 'seller_nick', 'corner', 'status', status, 'refund_fee', amount::text, 'refund_version', version,
        'dispute_type', 'REFUND', 'modified', '2025-12-02 10:00:00', 'created', '2025-12-01 10:00:00')))) $$;
CREATE FUNCTION public.tickets(number text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', replace(t.ticket_id, 'taobao:corner:', ''), t.amount, to_char(t.done_at, 'MM-DD')), ', ' ORDER BY t.ticket_id COLLATE "C")
    FROM trade.ticket AS t WHERE t.details #>> '{order,order_no}' = number $$;
CREATE FUNCTION public.lines(number text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', replace(l.ticket_key, 'taobao:corner:', ''), to_char(l.period, 'MM'), l.amount), ', ' ORDER BY l.ticket_key COLLATE "C", l.run_id)
    FROM trade.line_detail AS l WHERE l.ticket_key LIKE 'taobao:corner:' || number || ':%' $$;
CREATE FUNCTION public.wrong() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' | ', invariant, object, detail), E'\n') FROM settle.check('trade') $$;

-- What was sold
INSERT INTO trade.region_alias VALUES ('浙江省', NULL, NULL, 'cn.zj'), ('浙江省', '杭州市', NULL, 'cn.zj.hz'), ('江苏省', NULL, NULL, 'cn.js');
INSERT INTO trade.product (platform, sku_code, title_pattern, project, needs_install) VALUES
    (NULL, 'AC-1', NULL, 'ac.wall', true), ('taobao', 'AC-1', NULL, 'ac.taobao', true), (NULL, NULL, '空调%', 'ac', true), (NULL, NULL, '空调 3%', 'ac.third', false);
SELECT public.land('S', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{100,60,40}', freight => 10) \g /dev/null
SELECT public.land_refund('S-r1', 'S', 'S2', 70), public.land_refund('S-r2', 'S', NULL, 40), public.land_refund('S-r3', 'S', 'S1', 5, 'WAIT_SELLER_AGREE') \g /dev/null
SELECT settle.ingest('trade') \g /dev/null
SELECT results_eq($$ SELECT part, line_no, line_paid, paid, refunded, net_paid, project::text, region::text, needs_install FROM trade.sold WHERE order_no = 'S' ORDER BY part, line_no $$,
    $$ VALUES ('line', 'S1', 100.00, 100.00, 35.71, 64.29, 'ac.taobao', 'cn.zj.hz', true),
        ('line', 'S2', 60.00, 60.00, 60.00, 0.00, 'ac', 'cn.zj.hz', true),
        ('line', 'S3', 40.00, 40.00, 14.29, 25.71, 'ac.third', 'cn.zj.hz', false),
        ('order', '', NULL, 10.00, 0.00, 10.00, 'unknown', 'cn.zj.hz', false),
        ('refund', 'S-r1', 60.00, 0, 70.00, 0, 'ac', 'cn.zj.hz', true),
        ('refund', 'S-r2', NULL, 0, 40.00, 0, 'unknown', 'cn.zj.hz', false),
        ('refund', 'S-r3', 100.00, 0, 0.00, 0, 'ac.taobao', 'cn.zj.hz', true) $$,
    'a refund stands with its line as far as that was paid, all else of refunds with what is left of the lines, then with the freight');
SELECT is((SELECT string_agg(concat_ws(' ', what, value, rows), ', ') FROM trade.unmapped), NULL, 'every place and product is known');
DELETE FROM trade.order_changed;

-- The rules
SELECT settle.add_rule('trade', 'service', 'service', 'hq', 'dealer:{t.region}', base => 'amount', tiers => '10%') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'lifecyle = ''paid''', amount => 'paid') $$, '42703', 'name "lifecyle" is not known here', 'a condition is vetted');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true; DROP TABLE trade.ticket', amount => 'paid') $$, '42601', NULL, 'and nothing but an expression');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'qty', amount => 'paid') $$, '42804', NULL, 'that is true or false');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true', amount => 'price') $$, '23514', '"price" is no amount of what was sold', 'an amount that is none');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true', amount => 'paid', ready => 'at') $$, '23514', '"at" is no time of what was sold', 'a time that is none');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true') $$, '23514', NULL, 'a ticket without an amount');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true', 'done') $$, '23514', NULL, 'done without a time');
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true', 'pay', amount => 'paid') $$, '23514', NULL, 'an action that is none');
SELECT throws_ok($$ SELECT settle.end_order_ticket_rule('trade', 'x', '2025-12-01 00:00Z') $$, '42704', 'no version of rule "x" is in force before and at 2025-12-01 00:00:00+00', 'a rule that is not there cannot end');
SELECT settle.add_order_ticket_rule('trade', 'install', $$needs_install AND lifecycle <> 'closed' AND paid > 0$$, ticket => 'install', amount => 'net_paid', ready => 'completed_at') \g /dev/null
SELECT settle.add_order_ticket_rule('trade', 'aftersale', $$refund_status <> 'closed' AND known_order$$, ticket => 'aftersale', part => 'refund', amount => 'refunded', ready => 'refunded_at') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'install', 'true', amount => 'paid') $$, '23P01', NULL, 'versions of a rule do not overlap');
SELECT is((SELECT string_agg(DISTINCT order_no, ' ') FROM trade.order_changed WHERE step = 'orders'), 'S', 'a rule that comes has the orders of its time looked at again');
DELETE FROM trade.ticket WHERE false;
CALL settle.tick('trade');
SELECT is(public.tickets('S'), 'S:S1:install 64.29 11-08, S:S2:install 0.00 11-08, S:refund:S-r1:aftersale 70.00 12-02, S:refund:S-r2:aftersale 40.00 12-02, S:refund:S-r3:aftersale 0', 'an install for each line that needs one, an after-sales ticket for each refund');
SELECT public.land('B', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{10}', '{"buyer_open_uid": "AAG1"}'), public.land('B2', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{10}', '{"buyer_open_uid": "AAG1"}') \g /dev/null
CALL settle.tick('trade');
SELECT ok((SELECT count(*) = 2 AND count(DISTINCT t.customer) = 1 AND bool_and(t.customer LIKE 'customer:%') FROM trade.ticket AS t WHERE t.ticket_id LIKE 'taobao:corner:B%'), 'tickets of one customer name him');
SELECT settle.set_staff_alias('trade', 'taobao', 'corner', 'G1', '1001'), settle.set_staff_alias('trade', 'taobao', 'corner', 'G2', '1002'), settle.set_store_alias('trade', 'taobao', 'corner', 'O7', 'hz-7', 'cn.js.store') \g /dev/null
SELECT public.land('W', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{10,20}', '{"o2o_guide_id": "G1", "o2o_shop_id": "O7", "receiver_state": "nowhere", "receiver_city": null}') \g /dev/null
CALL settle.tick('trade');
SELECT results_eq($$ SELECT part, staff, staff_weights, estimate, store, region::text FROM trade.sold WHERE order_no = 'W' AND line_no <> 'W2' ORDER BY part $$,
    $$ VALUES ('line', '1001', '{"staff:1001": 1}'::jsonb, false, 'hz-7', 'cn.js.store'), ('order', '1001', '{"staff:1001": 1}', false, 'hz-7', 'cn.js.store') $$, 'who served it, in which store, and its region where the place is not known');
SELECT is((SELECT concat_ws(' ', t.worker, t.details #>> '{order,staff}') FROM trade.ticket AS t WHERE t.ticket_id = 'taobao:corner:W:W1:install'), '1001 {"staff:1001": 1}', 'its ticket names them');
SELECT settle.set_staff_alias('trade', 'taobao', 'corner', 'G1', '1002', reason => 'she took the account over') \g /dev/null
CALL settle.tick('trade');
SELECT is((SELECT t.worker FROM trade.ticket AS t WHERE t.ticket_id = 'taobao:corner:W:W1:install'), '1002', 'and follows who they are found to be');
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', t.order_ref, t.project, t.region, t.channel), ', ') FROM trade.ticket AS t WHERE t.ticket_id LIKE '%S1:install'), 'S/S1 install.ac.taobao cn.zj.hz taobao', 'it names the line it is of');
SELECT is(public.wrong(), NULL, 'all is well');

-- The life of an order: not paid, paid, sent, finished, refunded while the month is open and after it has closed
SELECT public.land('L', 'WAIT_BUYER_PAY', '2025-10-30 09:00:00', '{500}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('L'), NULL, 'an order that is not paid has no ticket');
SELECT public.land('L', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{500}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('L'), 'L:L1:install 500.00', 'paid: the install is open');
SELECT is(public.lines('L'), NULL, 'and nothing earned');
SELECT public.land('L', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{500}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.lines('L'), 'L:L1:install 11 50.00', 'finished: it is settled, in the month in which it was done');
SELECT public.land_refund('L-r1', 'L', 'L1', 100) \g /dev/null
CALL settle.tick('trade');
SELECT is(public.lines('L'), 'L:L1:install 11 50.00, L:L1:install 11 -10.00, L:refund:L-r1:aftersale 12 10.00', 'a part is paid back: the difference');
SELECT settle.close_period('trade', '2025-11-01', 'month end') \g /dev/null
SELECT public.land_refund('L-r2', 'L', 'L1', 400) \g /dev/null
CALL settle.tick('trade');
SELECT is((SELECT string_agg(concat_ws(' ', l.period, l.corrects_period, l.amount), ', ' ORDER BY l.run_id) FROM trade.line_detail AS l WHERE l.ticket_key = 'taobao:corner:L:L1:install'),
    '2025-11-01 50.00, 2025-11-01 -10.00, 2025-12-01 2025-11-01 -40.00', 'the rest is paid back after the month has closed: a correction in the open one');
SELECT is(public.tickets('L'), 'L:L1:install 0.00 11-08, L:refund:L-r1:aftersale 100.00 12-02, L:refund:L-r2:aftersale 400.00 12-02', 'the ticket amounts to nothing, and is done when it was done');

-- Closed before it was earned, and after
SELECT public.land('C', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{300}') \g /dev/null
CALL settle.tick('trade');
SELECT public.land('C', 'TRADE_CLOSED', '2025-11-09 10:00:00', '{300}') \g /dev/null
CALL settle.tick('trade');
SELECT results_eq($$ SELECT t.done_at, k.cancelled FROM trade.ticket AS t JOIN trade.sold_ticket AS k USING (ticket_id) WHERE k.order_no = 'C' $$, $$ VALUES (NULL::timestamptz, true) $$, 'closed: the install is not asked for any more');
SELECT public.land('D', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{300}') \g /dev/null
CALL settle.tick('trade');
SELECT settle.add_order_ticket_rule('trade', 'no_install', $$position('改期' IN seller_memo) > 0$$, 'cancel', ticket => 'install', valid => '(,)') \g /dev/null
SELECT public.land('D', 'TRADE_FINISHED', '2025-11-08 12:00:01', '{300}', '{"seller_memo": "客户改期"}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.lines('D'), 'D:D1:install 12 30.00, D:D1:install 12 -30.00', 'a rule cancels what was earned: it is taken back');
SELECT public.land('D', 'TRADE_FINISHED', '2025-11-08 12:00:02', '{300}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.lines('D'), 'D:D1:install 12 30.00, D:D1:install 12 -30.00, D:D1:install 12 30.00', 'and given back once it does not hold any more');
SELECT is(public.wrong(), NULL, 'all is well after cancelling');

-- done and correct: rules of higher priority over what open says
SELECT settle.add_order_ticket_rule('trade', 'early', $$store IS NULL AND line_paid = 77$$, 'done', ticket => 'install', ready => 'paid_at', valid => '(,)') \g /dev/null
SELECT settle.add_order_ticket_rule('trade', 'gross', $$line_paid = 77$$, 'correct', ticket => 'install', amount => 'paid', priority => 1, valid => '(,)') \g /dev/null
SELECT settle.add_order_ticket_rule('trade', 'not_this', $$line_paid = 77$$, 'correct', ticket => 'install', amount => 'freight', valid => '(,)') \g /dev/null
SELECT public.land('E', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{77}'), public.land_refund('E-r1', 'E', 'E1', 7) \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('E'), 'E:E1:install 77.00 10-30, E:refund:E-r1:aftersale 7.00 12-02', 'another time and another amount, by priority');
SELECT settle.end_order_ticket_rule('trade', 'gross', '2025-01-01'), settle.end_order_ticket_rule('trade', 'not_this', '2025-01-01') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('E'), 'E:E1:install 70.00 10-30, E:refund:E-r1:aftersale 7.00 12-02', 'a rule that ends has its orders looked at again');

-- Presale: a deposit earns nothing while more is due, a forfeited one is the seller's
SELECT settle.add_order_ticket_rule('trade', 'forfeited', $$presale_step = 'deposit_forfeited'$$, ticket => 'deposit', amount => 'paid', ready => 'closed_at', project => 'deposit', valid => '(,)') \g /dev/null
SELECT settle.add_order_ticket_rule('trade', 'sale', $$lifecycle <> 'closed' AND line_paid = 900$$, ticket => 'sale', amount => 'paid', ready => 'created_at', valid => '(,)') \g /dev/null
SELECT public.land('P', 'WAIT_BUYER_PAY', '2025-10-30 09:05:00', '{900}', '{"step_trade_status": "FRONT_PAID_FINAL_NOPAID", "step_paid_fee": "90.00", "pay_time": "2025-10-30 09:04:00"}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('P'), 'P:P1:install 90.00, P:P1:sale 90.00', 'an unpaid final instalment does not earn, whatever time the rule names');
SELECT public.land('P', 'WAIT_SELLER_SEND_GOODS', '2025-11-01 09:05:00', '{900}', '{"step_trade_status": "FRONT_PAID_FINAL_PAID", "step_paid_fee": "900.00", "pay_time": "2025-11-01 09:04:00"}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('P'), 'P:P1:install 900.00, P:P1:sale 900.00 10-30', 'it is paid');
SELECT public.land('Q', 'TRADE_CLOSED', '2025-11-10 09:05:00', '{900}', '{"step_trade_status": "FRONT_PAID_FRONT_FORFEITED", "step_paid_fee": "90.00", "pay_time": "2025-10-30 09:04:00", "end_time": "2025-11-10 09:00:00"}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('Q'), 'Q:Q1:deposit 90.00 11-10', 'a forfeited deposit stays with the seller');

-- Refunds without an order: on the account of the shop, until the order comes
SELECT settle.add_order_ticket_rule('trade', 'no_source', $$NOT known_order$$, part => 'refund', ticket => 'orphan', amount => 'net_paid', ready => 'refunded_at', valid => '(,)') \g /dev/null
SELECT public.land_refund('N-r1', 'N', 'N1', 20) \g /dev/null
CALL settle.tick('trade');
SELECT is(public.lines('N'), 'N:refund:N-r1:orphan 12 -2.00', 'a refund whose order is not there takes from who is named for such');
SELECT public.land('N', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{120}') \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('N'), 'N:N1:install 100.00 11-08, N:refund:N-r1:aftersale 20.00 12-02, N:refund:N-r1:orphan -20.00', 'the order comes and has it');
SELECT is((SELECT sum(amount) FROM trade.line_detail WHERE ticket_key = 'taobao:corner:N:refund:N-r1:orphan'), 0.00, 'what was booked without it is taken back');

-- What people write
UPDATE trade.ticket SET amount = 1, dealer = 'yn-07', details = details || '{"note": "call first"}' WHERE ticket_id = 'taobao:corner:P:P1:install';
SELECT is(public.wrong(), 'tickets of orders are what the rules say | taobao:corner:P:P1:install | is 1 not ready install.ac.taobao cn.zj.hz, should be 900.00 not ready install.ac.taobao cn.zj.hz', 'the check tells of it');
SELECT results_eq($$ SELECT * FROM settle.recompute_order('trade', 'taobao', 'corner', 'P', 'written by mistake') $$, $$ VALUES ('taobao:corner:P:P1:install', 'amount', '1'::jsonb, '900.00'::jsonb) $$, 'an order that is computed again: columns of the rules are theirs');
SELECT results_eq($$ SELECT dealer, details ->> 'note' FROM trade.ticket WHERE ticket_id = 'taobao:corner:P:P1:install' $$, $$ VALUES ('yn-07', 'call first') $$, 'all others stay');
SELECT is((SELECT concat_ws(', ', order_no, recomputed_by = current_user, reason, jsonb_array_length(changes)) FROM trade.order_recompute), 'P, t, written by mistake, 1', 'and it is noted');
SELECT throws_ok($$ SELECT settle.recompute_order('trade', 'taobao', 'corner', 'P', '') $$, '22004', 'computing an order again needs a reason', 'a reason is given');
SELECT throws_ok($$ SELECT settle.recompute_order('trade', 'taobao', 'corner', 'none', 'why') $$, '42704', 'order "none" of shop "corner" of platform "taobao" does not exist', 'an order that is not there');
SELECT throws_ok($$ DELETE FROM trade.order_recompute $$, '55000', NULL, 'what was noted stays');
SELECT settle.release_ticket('trade', 'taobao:corner:P:P1:install', 'priced by hand') \g /dev/null
UPDATE trade.ticket SET amount = 850, done_at = '2025-12-03' WHERE ticket_id = 'taobao:corner:P:P1:install';
SELECT public.land_refund('P-r1', 'P', 'P1', 900) \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('P'), 'P:P1:install 850 12-03, P:P1:sale 900.00 10-30, P:refund:P-r1:aftersale 900.00 12-02', 'a ticket that the rules have let go stays as people write it');
SELECT is(public.wrong(), NULL, 'and that is well');
SELECT settle.release_ticket('trade', 'taobao:corner:P:P1:install', 'all is paid back', false) \g /dev/null
CALL settle.tick('trade');
SELECT is(public.tickets('P'), 'P:P1:install 0.00, P:P1:sale 900.00 10-30, P:refund:P-r1:aftersale 900.00 12-02', 'until it is given back to them');
SELECT is((SELECT string_agg(action || ' ' || reason, ', ' ORDER BY change_id) FROM trade.change WHERE table_name = 'sold_ticket'), 'update priced by hand, update all is paid back', 'both stand in the journal');
SELECT throws_ok($$ SELECT settle.release_ticket('trade', 'none', 'why') $$, '42704', 'no rule has made a ticket "none"', 'a ticket that no rule has made');
DELETE FROM trade.ticket WHERE ticket_id = 'taobao:corner:C:C1:install';
INSERT INTO trade.ticket (ticket_id, done_at, project, region, amount, details) SELECT 'copy', done_at, 'copy', region, amount, details FROM trade.ticket WHERE ticket_id = 'taobao:corner:D:D1:install';
SELECT is((SELECT object || ' | ' || detail FROM settle.check('trade') WHERE invariant = 'nothing that was sold earns twice'), 'taobao corner D D1 | its ticket install stands 2 times: copy, taobao:corner:D:D1:install', 'a ticket that somebody has copied is found');
DELETE FROM trade.ticket WHERE ticket_id = 'copy';
-- settle.check looks at a day's sample of the orders; few are looked at all
BEGIN;
UPDATE trade.ticket SET amount = amount + 1 WHERE details ? 'order';
SELECT count(*) AS found, count(DISTINCT t.details #>> '{order,order_no}') AS orders FROM settle._wrong_order_tickets('trade') AS w JOIN trade.ticket AS t ON t.ticket_id = w.object \gset all_
SELECT count(DISTINCT t.details #>> '{order,order_no}') AS orders FROM settle._wrong_order_tickets('trade', 3) AS w JOIN trade.ticket AS t ON t.ticket_id = w.object \gset some_
SELECT count(*) AS found FROM settle.check('trade') WHERE invariant = 'tickets of orders are what the rules say' \gset check_
SELECT count(*) AS found FROM settle._wrong_order_tickets('trade', 0) \gset no_
ROLLBACK;
SELECT cmp_ok(:all_orders, '>', 3, 'tickets that somebody has changed are found');
SELECT cmp_ok(:some_orders, '<=', 3, 'in a sample only its own');
SELECT is(:no_found, 0, 'in none nothing');
SELECT is(:check_found, :all_found, 'and the sample of settle.check has all of a few orders');

-- An open install that a technician ends himself, cancelled and opened again
SELECT settle.add_order_ticket_rule('trade', 'by_hand', $$line_paid = 55 AND lifecycle <> 'closed'$$, ticket => 'visit', amount => 'paid', valid => '(,)') \g /dev/null
SELECT public.land('H', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{55}') \g /dev/null
CALL settle.tick('trade');
UPDATE trade.ticket SET done_at = '2025-12-04' WHERE ticket_id = 'taobao:corner:H:H1:visit';
SELECT public.land('H', 'TRADE_CLOSED', '2025-10-30 09:02:00', '{55}') \g /dev/null
CALL settle.tick('trade');
SELECT is((SELECT done_at FROM trade.ticket WHERE ticket_id = 'taobao:corner:H:H1:visit'), NULL, 'closed: not ready');
SELECT public.land('H', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:03:00', '{55}') \g /dev/null
CALL settle.tick('trade');
SELECT is((SELECT done_at FROM trade.ticket WHERE ticket_id = 'taobao:corner:H:H1:visit'), '2025-12-04 00:00+08'::timestamptz, 'open again: done when he said');

-- A ticket with a type goes the way of the desk, and the order takes part in it
SELECT settle.add_type('trade', '{"type": "fitting", "fields": [{"field": "wall", "kind": "text"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true, "ends": "done"}], "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done", "requires": ["wall"]}]}') \g /dev/null
SELECT settle.enable_type('trade', 'fitting') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true', amount => 'paid', ready => 'paid_at', type => 'fitting') $$, '23514', NULL, 'stages say when a ticket of a type is done');
SELECT settle.add_order_ticket_rule('trade', 'fit', $$line_paid = 66 AND lifecycle <> 'closed'$$, ticket => 'fit', amount => 'net_paid', type => 'fitting', valid => '(,)') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_order_ticket_rule('trade', 'x', 'true', amount => 'paid', type => 'unheard_of') $$, '42704', 'there is no ticket type "unheard_of"', 'a type that there is not');
SELECT throws_ok($$ UPDATE trade.order_ticket_rule SET type = 'unheard_of' WHERE code = 'fit' $$, '42704', 'there is no ticket type "unheard_of"', 'nor by writing the table');
SELECT settle.add_type('trade', '{"type": "unheard_of", "stages": [{"stage": "new", "initial": true}]}') \g /dev/null
SELECT settle.add_order_ticket_rule('trade', 'unheard', $$line_paid = 67$$, ticket => 'fit', amount => 'net_paid', type => 'unheard_of', valid => '(,)') \g /dev/null
SELECT public.land('T', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{66}'), public.land('U', 'WAIT_SELLER_SEND_GOODS', '2025-10-30 09:01:00', '{67}') \g /dev/null
CALL settle.tick('trade');
SELECT is((SELECT order_no FROM trade.order_problem), 'U', 'a type that nobody has enabled costs its order alone');
SELECT settle.end_order_ticket_rule('trade', 'unheard', '2025-01-01') \g /dev/null
SELECT settle.assign_ticket('trade', 'taobao:corner:T:T1:fit', '77', 'knows the house') \g /dev/null
SELECT settle.move_ticket('trade', 'taobao:corner:T:T1:fit', 'finish', '{"wall": "brick"}') \g /dev/null
CALL settle.tick('trade');
SELECT results_eq($$ SELECT stage, details ->> 'wall', done_at IS NOT NULL FROM trade.ticket WHERE ticket_id = 'taobao:corner:T:T1:fit' $$, $$ VALUES ('done', 'brick', true) $$, 'a move makes it ready');
SELECT public.land_refund('T-r1', 'T', 'T1', 6) \g /dev/null
CALL settle.tick('trade');
SELECT is((SELECT sum(amount) FROM trade.line_detail WHERE ticket_key = 'taobao:corner:T:T1:fit'), 6.00, 'a refund corrects it where it stands');
SELECT is((SELECT worker FROM trade.ticket WHERE ticket_id = 'taobao:corner:T:T1:fit'), '77', 'and whom the desk has given it keeps it');
SELECT public.land('T', 'TRADE_CLOSED', '2025-10-30 09:02:00', '{66}') \g /dev/null
CALL settle.tick('trade');
SELECT results_eq($$ SELECT t.stage, t.done_at IS NULL, (SELECT sum(l.amount) FROM trade.line_detail AS l WHERE l.ticket_key = t.ticket_id) FROM trade.ticket AS t WHERE t.ticket_id = 'taobao:corner:T:T1:fit' $$,
    $$ VALUES ('done', true, 0.00) $$, 'an order that is closed withholds it');
SELECT is(concat_ws(', ', public.wrong(), (SELECT count(*) FROM trade.order_problem)), '0', 'all is well at the desk');

-- A condition that fails costs the order that it fails for, and no other
SELECT settle.add_order_ticket_rule('trade', 'fails', $$100 / (line_paid - 13) < -1000$$, ticket => 'odd', amount => 'paid', valid => '(,)') \g /dev/null
CALL settle.tick('trade');
SELECT public.land('F', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{13}'), public.land('G', 'TRADE_FINISHED', '2025-11-08 12:00:00', '{14}') \g /dev/null
CALL settle.tick('trade');
SELECT results_eq($$ SELECT order_no, sqlstate, message FROM trade.order_problem $$, $$ VALUES ('F', '22012', 'division by zero') $$, 'an order that cannot be computed is noted');
SELECT is((SELECT concat_ws(' ', object, message, ended_at) FROM trade.alert WHERE kind = 'order' AND object LIKE '% F'), 'taobao corner F division by zero', 'and raises an alert');
SELECT is(public.tickets('G'), 'G:G1:install 14.00 11-08', 'those beside it have their tickets');
SELECT is(public.wrong(), NULL, 'and the check does not stumble over it');
SELECT settle.end_order_ticket_rule('trade', 'fails', '2025-01-01') \g /dev/null
CALL settle.tick('trade');
SELECT is(concat_ws(', ', public.tickets('F'), (SELECT count(*) FROM trade.order_problem)), 'F:F1:install 13.00 11-08, 0', 'once the rule is gone it has its ticket');
SELECT is((SELECT reason FROM trade.alert WHERE kind = 'order' AND object LIKE '% F'), 'its tickets are made', 'and the alert is settled');

-- Names of places and products
UPDATE trade.region_alias SET region = 'cn.east' WHERE city = '杭州市';
DELETE FROM trade.product WHERE title_pattern IS NOT NULL OR platform IS NOT NULL;
INSERT INTO trade.product (project) VALUES ('other');
CALL settle.tick('trade');
SELECT is((SELECT concat_ws(' ', project, region) FROM trade.ticket WHERE ticket_id = 'taobao:corner:P:P1:install'), 'install.ac.wall cn.east', 'names that change reach the orders they concern');
DELETE FROM trade.region_alias;
DELETE FROM trade.product;
SELECT bag_eq($$ SELECT DISTINCT what, value FROM trade.unmapped WHERE value IN ('浙江省 杭州市', 'AC-2 空调 2') $$, $$ VALUES ('region', '浙江省 杭州市'), ('project', 'AC-2 空调 2') $$, 'what nobody knows is listed');
SELECT is((SELECT count(*) FROM trade.order_changed WHERE step = 'orders') > 0, true, 'and is looked at');
CALL settle.tick('trade');
SELECT is((SELECT count(*) FROM trade.order_changed), 0::bigint, 'the queue is empty');
SELECT is(settle._tick_orders('trade'), NULL, 'and then nothing is due');
SELECT is(public.wrong(), NULL, 'all is well at the end');

-- Tickets that settle at commit settle with the step
SELECT settle.create_book('till', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('till', 'fee', 'fee', 'hq', 'staff:7', base => 'amount', tiers => '10%') \g /dev/null
SELECT settle.add_order_ticket_rule('till', 'sale', 'paid > 0', amount => 'net_paid', ready => 'paid_at') \g /dev/null
INSERT INTO till.staging (platform, payload) SELECT platform, payload FROM trade.staging WHERE payload #>> '{trade_fullinfo_get_response,trade,tid}' = 'D' LIMIT 1;
SELECT settle.ingest('till') \g /dev/null
SELECT settle.work('till', s) FROM unnest(settle._order_steps()) AS s \g /dev/null
SELECT results_eq($$ SELECT payee, amount FROM till.line_detail $$, $$ VALUES ('staff:7', 30.00) $$, 'and no run is needed');
SELECT is((SELECT count(*) FROM settle.check('till')), 0::bigint, 'nothing is wrong in it');

-- Clerks name places and goods
CREATE ROLE order_clerk;
SELECT settle.create_book('names') \g /dev/null
SELECT settle.grant_access('names', 'order_clerk', 'clerk') \g /dev/null
SET SESSION AUTHORIZATION order_clerk;
SELECT settle.set_region('names', 'cn'), settle.set_region('names', 'cn.zj', '浙江省'), settle.set_region('names', 'cn.zj.hz', '浙江省', '杭州市') \g /dev/null
SELECT settle.set_product('names', 'ac', 'AC-35'), settle.set_product('names', 'fan', title_pattern => '%fan%') \g /dev/null
SELECT settle.set_region('names', 'cn.zhejiang', '浙江省', reason => 'spelled out'), settle.set_product('names', 'ac.wall', 'AC-35', needs_install => true) \g /dev/null
SELECT settle.set_region('names', NULL, '浙江省', '杭州市'), settle.set_product('names', NULL, title_pattern => '%fan%') \g /dev/null
SELECT throws_ok($$ SELECT settle.set_region('names', NULL, '浙江省', '杭州市') $$, '42704', 'there is no region of the place "浙江省 杭州市"', 'a place that is not there is not forgotten');
SELECT throws_ok($$ SELECT settle.set_product('names', NULL, 'FAN-1') $$, '42704', 'there is no product "FAN-1"', 'nor is a product');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT a.province, a.region::text FROM names.region_alias AS a ORDER BY a.province NULLS FIRST $$, $$ VALUES (NULL, 'cn'), ('浙江省', 'cn.zhejiang') $$, 'a place has one region, the last that it was given');
SELECT results_eq($$ SELECT p.sku_code, p.project::text, p.needs_install FROM names.product AS p $$, $$ VALUES ('AC-35', 'ac.wall', true) $$, 'and goods one project');
SELECT is((SELECT concat_ws(' ', c.actor, c.action, c.reason) FROM names.change AS c WHERE c.table_name = 'region_alias' AND c.reason IS NOT NULL), 'order_clerk update spelled out', 'the journal says who named it, and why');
DROP SCHEMA names CASCADE;
DROP ROLE order_clerk;

-- unmapped looks places and goods up once each: what it says is what sold says
UPDATE trade.shop_order SET city = NULL WHERE order_no = 'S';
DELETE FROM trade.region_alias WHERE city IS NULL;
DELETE FROM trade.product WHERE sku_code IS NULL;
SELECT cmp_ok((SELECT count(DISTINCT what) FROM trade.unmapped), '=', 2::bigint, 'places and goods are unknown');
SELECT bag_eq('SELECT what, platform, value, rows, first_at FROM trade.unmapped', $$
    SELECT 'region', s.platform, concat_ws(' ', s.province, s.city, s.district), count(*), min(s.at) FROM trade.sold AS s WHERE s.part = 'order' AND s.region::text = 'unknown' GROUP BY 1, 2, 3
    UNION ALL
    SELECT 'project', s.platform, concat_ws(' ', s.sku_code, s.title), count(*), min(s.at) FROM trade.sold AS s WHERE s.part = 'line' AND s.project::text = 'unknown' GROUP BY 1, 2, 3 $$, 'as the rows of sold say');

-- The page shows what the golden test shows.
\set page `cat docs/order.md`
\set statements `cat sql/order.sql`
\set transcript `cat expected/order.out`
SELECT is_empty($$ SELECT block[1] FROM regexp_matches($$ || quote_literal(:'page') || $$, E'```sql\n(SELECT settle.create_book.*?)\n```', 'g') AS block WHERE strpos($$ || quote_literal(:'statements') || $$, block[1]) = 0 $$, 'the statements of docs/order.md are those of sql/order.sql');
SELECT is_empty($$ SELECT block[1] FROM regexp_matches($$ || quote_literal(:'page') || $$, E'\n```\n( .*?)\n```\n', 'g') AS block
    WHERE strpos(regexp_replace($$ || quote_literal(:'transcript') || $$, ' +$', '', 'ng'), regexp_replace(block[1], ' +$', '', 'ng')) = 0 $$, 'and its results those of expected/order.out');
SELECT * FROM finish();
