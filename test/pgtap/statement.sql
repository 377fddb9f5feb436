-- Statements: what they consist of, how they are approved and disputed, and that
-- no cent is paid twice or lost between them.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS statement_clerk, statement_lead, statement_chief, statement_app;
CREATE ROLE statement_clerk; CREATE ROLE statement_lead; CREATE ROLE statement_chief; CREATE ROLE statement_app;

SELECT settle.create_book('pay') \g /dev/null
SELECT settle.grant_access('pay', 'statement_clerk', 'clerk'), settle.grant_access('pay', 'statement_lead', 'approver'), settle.grant_access('pay', 'statement_chief', 'approver'),
    settle.grant_access('pay', 'statement_app', 'delegate'), settle.grant_access('pay', 'statement_app', 'approver') \g /dev/null
SELECT settle.add_rule('pay', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => 'amount > 0') \g /dev/null
SELECT settle.add_rule('pay', 'fine', 'fine', 'staff:{worker}', 'hq', base => '-amount', applies_when => 'amount < 0') \g /dev/null
SELECT settle.add_rule('pay', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'c.wage', tiers => '3%', applies_when => 'amount > 0') \g /dev/null
SELECT settle.add_rule('pay', 'points', 'points', 'hq', 'staff:{worker}', base => 'amount', unit => 'POINTS', rounding => 'down 1', applies_when => 'rush') \g /dev/null

CREATE FUNCTION pg_temp.totals(of_party text, of_period date, of_unit text DEFAULT 'CNY') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', trim_scale(brought_forward), trim_scale(earned), trim_scale(corrections), trim_scale(withheld), '=', trim_scale(payable), trim_scale(held), trim_scale(carried))
    FROM pay.statement WHERE party = of_party AND period = of_period AND unit = of_unit $$;
CREATE FUNCTION pg_temp.state(of_party text, of_period date) RETURNS text LANGUAGE sql AS $$
    SELECT state FROM pay.statement WHERE party = of_party AND period = of_period AND unit = 'CNY' $$;

----------------------------------------------------------------------------------------------------
-- Making
----------------------------------------------------------------------------------------------------
INSERT INTO pay.ticket (ticket_id, done_at, project, region, worker, amount, rush) VALUES
    ('1', '2025-11-03', 'a', 'b', 'w1', 1000, true), ('2', '2025-11-04', 'a', 'b', 'w1', 500, false), ('3', '2025-11-05', 'a', 'b', 'w2', 800, false),
    ('4', '2025-11-06', 'a', 'b', 'w3', 300, false), ('5', '2025-11-07', 'a', 'b', 'w3', -50, false), ('6', '2025-11-08', 'a', 'b', 'w4', 2000, false);
SELECT settle.run('pay') \g /dev/null
SELECT settle.close_period('pay', '2025-11-01') \g /dev/null
SELECT is(pg_temp.totals('staff:w1', '2025-11-01'), '0 150 0 -4.5 = 145.5 0 0', 'earned, withheld, payable');
SELECT is(pg_temp.totals('staff:w1', '2025-11-01', 'POINTS'), '0 1000 0 0 = 1000 0 0', 'each unit has a statement');
SELECT is(pg_temp.totals('staff:w3', '2025-11-01'), '0 -20 0 -0.9 = 0 0 -20.9', 'a negative balance is carried, never payable');
SELECT is(pg_temp.totals('tax:iit', '2025-11-01'), '0 13.8 0 0 = 13.8 0 0', 'a tax party has a statement');
SELECT is_empty($$ SELECT party FROM pay.statement WHERE party IN ('hq') $$, 'own parties have none');
SELECT results_eq($$ SELECT kind, component, tickets, amount FROM pay.statement_item WHERE party = 'staff:w1' AND unit = 'CNY' ORDER BY kind $$,
    $$ VALUES ('earned', 'wage', 2::bigint, 150.00), ('withheld', 'tax', 2, -4.50) $$, 'items: a component and kind, with its tickets');
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'all figures agree');

-- what is checked: somebody changes a statement, an item, a line behind the extension's back
CREATE FUNCTION pg_temp.broken(change text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE change;
        RETURN QUERY SELECT DISTINCT c.invariant FROM settle.check('pay') AS c ORDER BY 1;
        RAISE EXCEPTION USING ERRCODE = 'ZZ999', MESSAGE = 'undo';
    EXCEPTION WHEN SQLSTATE 'ZZ999' THEN NULL;
    END;
END $$;
SELECT results_eq($$ SELECT pg_temp.broken('UPDATE pay.statement SET earned = earned + 1, payable = payable + 1 WHERE party = ''staff:w1'' AND unit = ''CNY''') $$,
    $$ VALUES ('a statement equals the lines of its period'), ('the items of a statement sum to it') $$, 'a statement that is not its lines');
SELECT results_eq($$ SELECT pg_temp.broken('DELETE FROM pay.statement_item WHERE party = ''staff:w2''') $$, $$ VALUES ('the items of a statement sum to it') $$, 'an item that is missing');
SELECT results_eq($$ SELECT pg_temp.broken('UPDATE pay.statement SET held = held + 1, payable = payable - 1 WHERE party = ''staff:w2''') $$, $$ VALUES ('a statement holds what is in dispute') $$, 'held for no dispute');
SELECT throws_ok($$ UPDATE pay.statement SET earned = earned + 1 WHERE party = 'staff:w1' $$, '23514', NULL, 'a statement adds up');
SELECT throws_ok($$ DELETE FROM pay.statement $$, '55000', NULL, 'statements are kept');

----------------------------------------------------------------------------------------------------
-- Moves and approvals
----------------------------------------------------------------------------------------------------
UPDATE pay.approval_node SET title = 'team lead' WHERE node = 1;
INSERT INTO pay.approval_node (node, title, above, approvers) VALUES (2, 'finance', 190, '{statement_chief,staff:cfo}');
SET SESSION AUTHORIZATION statement_clerk;
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w1', '2025-11-01') $$, '42501', NULL, 'a clerk does not approve');
SELECT throws_ok($$ SELECT settle.submit_statement('pay', 'staff:w9', '2025-11-01') $$, 'P0002', 'party "staff:w9" has no statement of 2025-11-01 in CNY', 'a party without a statement');
SELECT throws_ok($$ SELECT settle.submit_statement('pay', NULL, '2025-11-01') $$, '22004', 'a statement needs a party and a period', 'no party');
SELECT throws_ok($$ SELECT settle.pay_statement('pay', 'staff:w1', '2025-11-01') $$, '55000', 'cannot pay the statement of "staff:w1" for 2025-11-01 in CNY: it is draft', 'a draft is not paid');
SELECT is(settle.submit_statement('pay', 'staff:w1', '2025-11-01', reason => 'checked with the sheet'), 'submitted', 'a draft is submitted');
SELECT throws_ok($$ SELECT settle.submit_statement('pay', 'staff:w1', '2025-11-01') $$, '55000', 'cannot submit the statement of "staff:w1" for 2025-11-01 in CNY: it is submitted', 'it is submitted once');
SELECT settle.submit_statement('pay', 'staff:w4', '2025-11-01') \g /dev/null
RESET SESSION AUTHORIZATION;

-- the hint lists what may be done
CREATE FUNCTION pg_temp.hint(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE h text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
    RETURN h;
END $$;
SELECT is(pg_temp.hint($$ SELECT settle.submit_statement('pay', 'staff:w1', '2025-11-01') $$), 'What may be done with it: approve, dispute, reject.', 'the hint lists the legal moves');

SET SESSION AUTHORIZATION statement_lead;
SELECT is(settle.approve_statement('pay', 'staff:w1', '2025-11-01'), 'approved', 'a small amount takes one approval');
SELECT is(settle.approve_statement('pay', 'staff:w4', '2025-11-01', reason => 'sample looked at'), 'submitted', 'a large one takes two');
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w4', '2025-11-01') $$, '42501', '"statement_lead" cannot give approval 2 (finance)', 'a node names its people');
RESET SESSION AUTHORIZATION;
UPDATE pay.approval_node SET approvers = approvers || '{statement_lead}' WHERE node = 2;
SET SESSION AUTHORIZATION statement_lead;
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w4', '2025-11-01') $$, '42501', '"statement_lead" has approved the statement of "staff:w4" for 2025-11-01 in CNY already', 'one person does not approve twice');
-- a delegate acts for others, never for the party itself
SET SESSION AUTHORIZATION statement_app;
BEGIN;
SELECT settle.act_as('pay', 'staff:w4') \g /dev/null
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w4', '2025-11-01') $$, '42501', '"staff:w4" cannot approve the statement of "staff:w4" for 2025-11-01 in CNY', 'nobody approves the own statement');
ROLLBACK;
BEGIN;
SELECT settle.act_as('pay', 'staff:1') \g /dev/null
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w4', '2025-11-01') $$, '42501', '"staff:1" cannot give approval 2 (finance)', 'who is acted for must be named');
ROLLBACK;
BEGIN;
SELECT settle.act_as('pay', 'staff:cfo') \g /dev/null
SELECT is(settle.approve_statement('pay', 'staff:w4', '2025-11-01'), 'approved', 'the last approval makes it approved');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT node::integer, actor, amount FROM pay.approval WHERE party = 'staff:w4' AND voided_at IS NULL ORDER BY node $$,
    $$ VALUES (1, 'statement_lead', 194.00), (2, 'staff:cfo', 194.00) $$, 'approvals hold who and how much');
SELECT is((SELECT count(*) FROM pay.approval AS a JOIN pay.statement AS s USING (party, period, unit) WHERE a.content = s.content), 3::bigint, 'and what');

-- maker and checker
SELECT settle.submit_statement('pay', 'staff:w2', '2025-11-01') \g /dev/null
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w2', '2025-11-01') $$, '42501', format('"%s" cannot approve the statement of "staff:w2" for 2025-11-01 in CNY', session_user), 'who submitted does not approve');
-- a rejection takes approvals with it and needs a reason
SET SESSION AUTHORIZATION statement_lead;
SELECT throws_ok($$ SELECT settle.reject_statement('pay', 'staff:w4', '2025-11-01') $$, '22004', 'rejecting a statement needs a reason', 'no reason');
SELECT is(settle.reject_statement('pay', 'staff:w4', '2025-11-01', reason => 'ticket 6 is another one''s'), 'rejected', 'what is approved can still be rejected');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM pay.approval WHERE party = 'staff:w4' AND voided_because = 'ticket 6 is another one''s'), 2::bigint, 'its approvals are voided and kept');
-- an amount below every node needs no approval
BEGIN;
UPDATE pay.approval_node SET above = 100 WHERE node = 1;
SELECT is(settle.submit_statement('pay', 'tax:iit', '2025-11-01'), 'approved', 'an amount that no approval is for');
ROLLBACK;
-- the table of moves is obeyed
BEGIN;
DELETE FROM pay.statement_move WHERE from_state = 'approved' AND action = 'dispute';
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'x') $$, '55000', 'cannot dispute the statement of "staff:w1" for 2025-11-01 in CNY: it is approved', 'a move that the table does not allow');
ROLLBACK;
-- a statement that was changed in its table is not approved
BEGIN;
UPDATE pay.statement SET earned = earned + 1000, payable = payable + 1000 WHERE party = 'staff:w2';
SET SESSION AUTHORIZATION statement_lead;
SELECT throws_ok($$ SELECT settle.approve_statement('pay', 'staff:w2', '2025-11-01') $$, '55000', 'the statement of "staff:w2" for 2025-11-01 in CNY is not what was submitted', 'an approval is of what was submitted');
RESET SESSION AUTHORIZATION;
ROLLBACK;
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'all figures agree after the moves');
SELECT results_eq($$ SELECT action, from_state, to_state, actor, reason FROM pay.statement_log WHERE party = 'staff:w1' ORDER BY log_id $$,
    $$ VALUES ('submit', 'draft', 'submitted', 'statement_clerk', 'checked with the sheet'), ('approve', 'submitted', 'approved', 'statement_lead', NULL) $$, 'every move is noted');
SELECT throws_ok($$ DELETE FROM pay.statement_log $$, '55000', NULL, 'and kept');

----------------------------------------------------------------------------------------------------
-- Disputes hold lines, not the statement
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01') $$, '22004', 'a dispute needs a reason', 'no reason');
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'x', component => 'wage') $$, '22004', 'a dispute of a source or a component needs a ticket_key', 'a component of no ticket');
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'x', ticket_key => '3') $$, 'P0002', 'the statement of "staff:w1" for 2025-11-01 in CNY has no line of ticket "3"', 'a ticket of somebody else');
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'not his visit', ticket_key => '2') AS dispute \gset
RESET SESSION AUTHORIZATION;
SELECT is(pg_temp.totals('staff:w1', '2025-11-01'), '0 150 0 -4.5 = 97 48.5 0', 'the lines of a ticket are held, the rest is payable');
SELECT is(pg_temp.state('staff:w1', '2025-11-01'), 'draft', 'what was approved was another amount');
SELECT is((SELECT voided_because FROM pay.approval WHERE party = 'staff:w1'), 'not his visit', 'and its approval is void');
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'x', ticket_key => '2', component => 'wage') $$, '55000', 'ticket "2" of "staff:w1" is in dispute already', 'a ticket is held once');
SELECT settle.dispute_statement('pay', 'staff:w3', '2025-11-01', reason => 'the fine', ticket_key => '5', component => 'fine') \g /dev/null
SELECT is(pg_temp.totals('staff:w3', '2025-11-01'), '0 -20 0 -0.9 = 0 0 -20.9', 'a disputed deduction holds nothing');
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.submit_statement('pay', 'staff:w1', '2025-11-01') \g /dev/null
SET SESSION AUTHORIZATION statement_lead;
SELECT is(settle.approve_statement('pay', 'staff:w1', '2025-11-01'), 'approved', 'the rest is approved');
-- dismissed before the next statement is made: it is payable under the same one, which is another than what was approved
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'and the first visit', ticket_key => '1') AS first \gset
SELECT settle.dispute_statement('pay', 'staff:w2', '2025-11-01', reason => 'wrong day') AS hasty \gset
RESET SESSION AUTHORIZATION;
SELECT is(pg_temp.totals('staff:w1', '2025-11-01'), '0 150 0 -4.5 = 0 145.5 0', 'two tickets are held');
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.submit_statement('pay', 'staff:w1', '2025-11-01') \g /dev/null
SET SESSION AUTHORIZATION statement_lead;
SELECT settle.approve_statement('pay', 'staff:w1', '2025-11-01') \g /dev/null
SELECT settle.resolve_dispute('pay', :first, 'dismissed', 'signed for'), settle.resolve_dispute('pay', :hasty, 'dismissed', 'it was that day') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is(pg_temp.totals('staff:w1', '2025-11-01'), '0 150 0 -4.5 = 97 48.5 0', 'what one of them held is payable again');
SELECT is(pg_temp.state('staff:w1', '2025-11-01') || ', ' || (SELECT a.voided_because FROM pay.approval AS a WHERE a.party = 'staff:w1' AND a.period = '2025-11-01' ORDER BY a.approval_id DESC LIMIT 1), 'draft, signed for', 'which nobody has approved');
SELECT is(pg_temp.totals('staff:w2', '2025-11-01') || ' ' || pg_temp.state('staff:w2', '2025-11-01'), '0 80 0 -2.4 = 77.6 0 0 draft', 'so is the whole of a statement');
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'all figures agree after it');
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.submit_statement('pay', 'staff:w1', '2025-11-01') \g /dev/null
SET SESSION AUTHORIZATION statement_lead;
SELECT settle.approve_statement('pay', 'staff:w1', '2025-11-01') \g /dev/null
-- the whole statement
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.dispute_statement('pay', 'staff:w2', '2025-11-01', reason => 'wrong month') AS whole \gset
RESET SESSION AUTHORIZATION;
SELECT is(pg_temp.totals('staff:w2', '2025-11-01'), '0 80 0 -2.4 = 0 77.6 0', 'without a ticket all that was payable is held');
SELECT is(pg_temp.state('staff:w2', '2025-11-01'), 'disputed', 'and the statement is disputed');
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w2', '2025-11-01', reason => 'x', ticket_key => '3') $$, '55000', 'cannot dispute the statement of "staff:w2" for 2025-11-01 in CNY: it is disputed', 'what is disputed is not disputed again');

-- the next period brings forward what was held and carried, and still holds what is in dispute
INSERT INTO pay.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('11', '2025-12-03', 'a', 'b', 'w1', 100), ('12', '2025-12-04', 'a', 'b', 'w3', 1000);
SELECT settle.run('pay') \g /dev/null
SELECT settle.close_period('pay', '2025-12-01') \g /dev/null
SELECT is(pg_temp.totals('staff:w1', '2025-12-01'), '48.5 10 0 -0.3 = 9.7 48.5 0', 'the next statement holds what is still in dispute');
SELECT is(pg_temp.totals('staff:w2', '2025-12-01'), '77.6 0 0 0 = 0 77.6 0', 'a party without lines has a statement while something is left');
SELECT is(pg_temp.totals('staff:w3', '2025-12-01'), '-20.9 100 0 -3 = 76.1 0 0', 'a negative balance is made good first');
SELECT is_empty($$ SELECT party FROM pay.statement WHERE period = '2025-12-01' AND party = 'staff:w4' $$, 'what is payable stays due under its own statement');
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w1', '2025-11-01', reason => 'x', ticket_key => '1') $$, '55000', 'cannot dispute the statement of "staff:w1" for 2025-11-01 in CNY: statements of 2025-12-01 are made', 'what was carried on is not changed');
SELECT throws_ok($$ SELECT settle.dispute_statement('pay', 'staff:w4', '2025-11-01', reason => 'x') $$, '55000', 'cannot dispute the statement of "staff:w4" for 2025-11-01 in CNY: statements of 2025-12-01 are made', 'nor where the party has none in the next period: nobody would bring forward what is held');
-- resolved by another, once, with an outcome
SET SESSION AUTHORIZATION statement_lead;
SELECT throws_ok(format($$ SELECT settle.resolve_dispute('pay', %s, 'maybe', 'x') $$, :dispute), '22023', 'unknown outcome "maybe" of a dispute', 'an outcome');
SELECT throws_ok($$ SELECT settle.resolve_dispute('pay', 99, 'upheld', 'x') $$, 'P0002', 'dispute 99 does not exist', 'a dispute that is not there');
SELECT settle.resolve_dispute('pay', :dispute, 'dismissed', 'it was his visit'), settle.resolve_dispute('pay', :whole, 'upheld', 'ticket is corrected') \g /dev/null
SELECT throws_ok(format($$ SELECT settle.resolve_dispute('pay', %s, 'upheld', 'x') $$, :dispute), '55000', format('dispute %s is dismissed already', :dispute), 'it is resolved once');
RESET SESSION AUTHORIZATION;
SELECT throws_ok($$ SELECT settle.resolve_dispute('pay', 2, 'upheld', 'x') $$, '42501', format('"%s" cannot resolve dispute 2', session_user), 'who opened a dispute does not resolve it');
SELECT is(pg_temp.state('staff:w2', '2025-11-01'), 'draft', 'a disputed statement is a draft again');
SELECT is(pg_temp.totals('staff:w1', '2025-12-01'), '48.5 10 0 -0.3 = 9.7 48.5 0', 'statements that are made stay as they are');
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'all figures agree after the disputes');
SELECT settle.close_period('pay', '2026-01-01') \g /dev/null
SELECT is(pg_temp.totals('staff:w1', '2026-01-01'), '48.5 0 0 0 = 48.5 0 0', 'what was held is payable in the next one');
SELECT is(pg_temp.totals('staff:w2', '2026-01-01'), '77.6 0 0 0 = 77.6 0 0', 'also what a whole statement held');

----------------------------------------------------------------------------------------------------
-- Opened again
----------------------------------------------------------------------------------------------------
SET SESSION AUTHORIZATION statement_clerk;
SELECT settle.submit_statement('pay', 'staff:w1', '2026-01-01'), settle.submit_statement('pay', 'staff:w2', '2026-01-01') \g /dev/null
SET SESSION AUTHORIZATION statement_lead;
SELECT settle.approve_statement('pay', 'staff:w1', '2026-01-01'), settle.approve_statement('pay', 'staff:w2', '2026-01-01') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT throws_ok($$ SELECT settle._make_statements('pay', '2025-12-01') $$, '55000', 'statements of 2025-12-01 cannot be made any more', 'only the last period is made anew');
SELECT settle.reopen_period('pay', '2026-01-01', 'a ticket was wrong') \g /dev/null
SELECT throws_ok($$ SELECT settle.reject_statement('pay', 'staff:w1', '2026-01-01', reason => 'x') $$, '55000', 'cannot reject the statement of "staff:w1" for 2026-01-01 in CNY: the period is open', 'nothing moves while the period is open again');
INSERT INTO pay.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('21', '2026-01-03', 'a', 'b', 'w1', 200);
SELECT settle.run('pay') \g /dev/null
SELECT settle.close_period('pay', '2026-01-01') \g /dev/null
SELECT is(pg_temp.totals('staff:w1', '2026-01-01'), '48.5 20 0 -0.6 = 67.9 0 0', 'it is made anew');
SELECT is(pg_temp.state('staff:w1', '2026-01-01') || ' ' || pg_temp.state('staff:w2', '2026-01-01'), 'draft approved', 'what changed goes back to draft, what did not stays approved');
SELECT is((SELECT voided_because FROM pay.approval WHERE party = 'staff:w1' AND period = '2026-01-01'), 'the period was closed anew', 'its approval is void');
SELECT is(settle._paid_statements('pay', '2026-01-01'), 0::bigint, 'none of it is paid');
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'all figures agree after a period was made anew');

-- which parties have statements is not changed afterwards
SELECT throws_ok($$ SELECT settle.add_party('pay', 'staff:w2', side => 'own') $$, '55000', 'party "staff:w2" stays outside: it has lines in closed periods', 'a party with statements stays on its side');
SELECT throws_ok($$ UPDATE pay.party SET side = 'outside' WHERE party = 'hq' $$, '55000', 'party "hq" stays own: it has lines in closed periods', 'one without does, too');
SELECT lives_ok($$ SELECT settle.add_party('pay', 'staff:w2', side => 'outside', title => 'Wei') $$, 'saying the same again is no change');
INSERT INTO pay.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('31', '2026-02-03', 'a', 'b', 'w9', 200);
SELECT settle.run('pay') \g /dev/null
SELECT lives_ok($$ SELECT settle.add_party('pay', 'staff:w9', side => 'own') $$, 'one that is new is put where it belongs');
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'all figures agree');

DROP SCHEMA pay CASCADE;
DROP ROLE statement_clerk, statement_lead, statement_chief, statement_app;
SELECT * FROM finish();
