-- Who has to wait for whom: another session holds what would spoil a call, and the
-- call waits for it before it reads or writes anything.  Where both would only
-- write the same row at the end, test/isolation says more; here the lock itself
-- is asked for, and a call without it goes through.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT dblink_connect('other', format('host=%s port=%s user=%s dbname=%s', :'HOST', :'PORT', :'USER', :'DBNAME')) \g /dev/null
SELECT dblink_exec('other', 'SET client_min_messages = warning') \g /dev/null
SET lock_timeout = '10ms';

-- Has a call made while the other session holds a table or rows.
CREATE FUNCTION pg_temp.waits(what text, held text, call text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dblink_exec('other', 'BEGIN'), dblink_exec('other', CASE WHEN held ~ '^LOCK' THEN held ELSE format('DO %L', format('BEGIN PERFORM %s; END', held)) END);
    RETURN NEXT throws_ok(call, '55P03', 'canceling statement due to lock timeout', what);
    PERFORM dblink_exec('other', 'ROLLBACK');
END $$;

-- Returns when another backend waits for somebody, within 10 s.
CREATE PROCEDURE pg_temp.await(pid int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..1000 LOOP
        IF cardinality(pg_blocking_pids(pid)) > 0 THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;

----------------------------------------------------------------------------------------------------
-- The gate of a book: who posts, and who asks what is posted
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('own') \g /dev/null
SELECT settle.add_rule('own', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%') \g /dev/null
SELECT settle.add_rule('own', 'intake', 'intake', 'customer', 'escrow', base => 'amount') \g /dev/null
SELECT settle.add_rule('own', 'share', 'share', 'escrow', 'partner:{worker}', base => 'amount', tiers => '2%') \g /dev/null
SELECT settle.create_book('fast', settle_on => 'commit') \g /dev/null
INSERT INTO own.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('T1', '2025-11-03', 'a', 'b', 'w1', 1000), ('T2', '2025-11-04', 'a', 'b', 'w2', 200);
SELECT settle.run('own') \g /dev/null
SELECT pg_temp.waits(what, held, call) FROM (VALUES
    ('a run waits for whoever settles', 'LOCK TABLE own.gate IN ROW EXCLUSIVE MODE', $$ SELECT settle.run('own') $$),
    ('a ticket settled at commit waits for a run', 'LOCK TABLE fast.gate IN SHARE MODE', $$ INSERT INTO fast.ticket (ticket_id, done_at, project, region, amount) VALUES ('T', '2025-11-03', 'a', 'b', 1); SET CONSTRAINTS ALL IMMEDIATE $$),
    ('what is moved in a statement waits for a period that is closed', 'LOCK TABLE own.gate IN SHARE MODE', $$ SELECT settle._pass_gate('own') $$),
    ('who changes the time zone waits for whoever settles', 'LOCK TABLE own.gate IN ROW EXCLUSIVE MODE', $$ UPDATE own.book SET time_zone = 'Asia/Tokyo' $$),
    ('so does who changes a rule', 'LOCK TABLE own.gate IN ROW EXCLUSIVE MODE', $$ UPDATE own.rule SET base = 'amount + 1' WHERE code = 'fee' $$),
    ('so does who releases held corrections', 'LOCK TABLE own.gate IN ROW EXCLUSIVE MODE', $$ SELECT settle.release('own', 'looked at') $$),
    ('seals are made one after the other', 'LOCK TABLE own.seal IN ROW EXCLUSIVE MODE', $$ SELECT settle._seal('own', NULL) $$),
    ('sums are folded one after the other', 'LOCK TABLE own.cell_total IN ROW EXCLUSIVE MODE', $$ SELECT settle._fold('own') $$),
    ('edits of rules wait for each other', 'FROM own.book FOR SHARE', $$ SELECT settle._lock_rules('own') $$),
    ('whoever reads a book locks all its tables against ALTER', 'LOCK TABLE own.sealed_run IN ACCESS EXCLUSIVE MODE', $$ SELECT settle._lock_rules('own') $$),
    ('a book is dropped after whoever reads its gate', 'LOCK TABLE own.gate IN ACCESS SHARE MODE', $$ SELECT settle.drop_book('own', 'at the end', false) $$),
    ('and after whoever writes its tickets', 'LOCK TABLE own.ticket IN ACCESS SHARE MODE', $$ SELECT settle.drop_book('own', 'at the end', false) $$)
) AS v(what, held, call);
CREATE FUNCTION settle._upgrade_0_0_2(book regnamespace) RETURNS void LANGUAGE sql BEGIN ATOMIC END;
UPDATE fast.book SET version = '0.0.1';
SELECT pg_temp.waits('a book is upgraded after whoever reads its gate', 'LOCK TABLE fast.gate IN ACCESS SHARE MODE', $$ SELECT settle.upgrade_book('fast') $$);

-- A tally is read under its lock, by the index and, where a table has a policy, by a statement: a ticket waits for whoever has locked it, and then reads what he has written.
SELECT dblink_connect('third', format('host=%s port=%s user=%s dbname=%s', :'HOST', :'PORT', :'USER', :'DBNAME')) \g /dev/null
SELECT pid AS third FROM dblink('third', 'SELECT pg_backend_pid()') AS d(pid int) \gset
SELECT settle.create_book('month', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('month', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 10%', accumulate => 'month') \g /dev/null
CREATE FUNCTION pg_temp.ticket(worker text, n int, amount int) RETURNS text LANGUAGE sql
RETURN format('INSERT INTO month.ticket (ticket_id, done_at, project, region, worker, amount) VALUES (%L, %L, ''a'', ''b'', %L, %s)', worker || n, '2025-11-03', worker, amount);
SELECT dblink_exec('other', pg_temp.ticket('w1', 1, 100)), dblink_exec('other', 'BEGIN'), dblink_exec('other', 'DO $$ BEGIN PERFORM FROM month.tally_state FOR NO KEY UPDATE; END $$') \g /dev/null
SELECT dblink_send_query('third', pg_temp.ticket('w1', 3, 1000)) \g /dev/null
CALL pg_temp.await(:third);
SELECT cmp_ok(cardinality(pg_blocking_pids(:third)), '>', 0, 'who has locked a tally is waited for (by the index)');
SELECT dblink_exec('other', pg_temp.ticket('w1', 2, 900)), dblink_exec('other', 'COMMIT') \g /dev/null
SELECT results_eq('SELECT status FROM dblink_get_result(''third'', false) AS d(status text)', 'VALUES (''INSERT 0 1'')', 'it is written');
SELECT status FROM dblink_get_result('third') AS d(status text) \g /dev/null
SELECT is((SELECT sum(l.amount) FROM month.line_detail AS l WHERE l.payee = 'staff:w1'), 150.00, 'and paid by what the first has left of the tier');
ALTER TABLE month.tally_state ENABLE ROW LEVEL SECURITY;
SELECT dblink_exec('other', pg_temp.ticket('w2', 1, 100)), dblink_exec('other', 'BEGIN'), dblink_exec('other', 'DO $$ BEGIN PERFORM FROM month.tally_state FOR NO KEY UPDATE; END $$') \g /dev/null
SELECT dblink_send_query('third', pg_temp.ticket('w2', 3, 1000)) \g /dev/null
CALL pg_temp.await(:third);
SELECT cmp_ok(cardinality(pg_blocking_pids(:third)), '>', 0, 'who has locked a tally is waited for (by a statement)');
SELECT dblink_exec('other', pg_temp.ticket('w2', 2, 900)), dblink_exec('other', 'COMMIT') \g /dev/null
SELECT results_eq('SELECT status FROM dblink_get_result(''third'', false) AS d(status text)', 'VALUES (''INSERT 0 1'')', 'it is written');
SELECT status FROM dblink_get_result('third') AS d(status text) \g /dev/null
SELECT is((SELECT sum(l.amount) FROM month.line_detail AS l WHERE l.payee = 'staff:w2'), 150.00, 'and paid by what the first has left of the tier');
SELECT results_eq('SELECT count(*) FROM settle.check(''month'')', 'VALUES (0::bigint)', 'and sums agree');

-- New parties are written in the order of their codes, however tickets meet them: who writes some and waits for another holds nothing that the other comes to.
SELECT settle.create_book('shares', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('shares', 'first', 'first', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '1%'), settle.add_rule('shares', 'second', 'second', 'hq', 'dealer:{channel}', base => 'amount', tiers => '1%') \g /dev/null
CREATE FUNCTION pg_temp.shared(first text, second text) RETURNS text LANGUAGE sql
RETURN format('INSERT INTO shares.ticket (ticket_id, done_at, project, region, dealer, channel, amount) VALUES (%L, %L, ''a'', ''b'', %L, %L, 100)', first || second, '2025-11-03', first, second);
SELECT dblink_exec('other', 'BEGIN'), dblink_exec('other', pg_temp.shared('m', 'm')), dblink_exec('other', 'SET CONSTRAINTS ALL IMMEDIATE') \g /dev/null
SELECT dblink_send_query('third', pg_temp.shared('m', 'z')) \g /dev/null
CALL pg_temp.await(:third);
SELECT is(dblink_exec('other', pg_temp.shared('z', 'z')), 'INSERT 0 1', 'a party that another one waits to write is written');
SELECT is(dblink_exec('other', 'COMMIT'), 'COMMIT', 'and committed');
SELECT results_eq('SELECT status FROM dblink_get_result(''third'', false) AS d(status text)', 'VALUES (''INSERT 0 1'')', 'and then the other one writes his');
SELECT status FROM dblink_get_result('third') AS d(status text) \g /dev/null
SELECT is((SELECT string_agg(ticket_key || ' ' || payee, ', ' ORDER BY ticket_key, payee) FROM shares.line_detail), 'mm dealer:m, mm dealer:m, mz dealer:m, mz dealer:z, zz dealer:z, zz dealer:z', 'all are paid');

-- Who changes when a book settles waits for its sources before he reads which triggers they have: one may be dropped meanwhile.
SELECT tgname AS capture FROM pg_trigger WHERE tgrelid = 'month.ticket'::regclass AND tgname LIKE 'settle%' AND NOT tgisinternal ORDER BY 1 LIMIT 1 \gset
SELECT dblink_exec('other', 'BEGIN'), dblink_exec('other', format('DROP TRIGGER %I ON month.ticket', :'capture')) \g /dev/null
SELECT dblink_send_query('third', $$ UPDATE month.book SET settle_on = 'schedule' $$) \g /dev/null
CALL pg_temp.await(:third);
SELECT dblink_exec('other', 'COMMIT') \g /dev/null
SELECT results_eq('SELECT status FROM dblink_get_result(''third'', false) AS d(status text)', 'VALUES (''UPDATE 1'')', 'who changes when a book settles reads its triggers under the locks of its sources');
SELECT dblink_disconnect('third') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Statements, parties, legs
----------------------------------------------------------------------------------------------------
SELECT settle.close_period('own', '2025-11-01') \g /dev/null
SELECT leg_id FROM settle.make_legs('own', 'ticket', 'T1') \gset
INSERT INTO own.payment (party, period, unit, reference, amount, paid_at, actor) VALUES ('staff:w2', '2025-11-01', 'CNY', 'paid before', 10, now(), 'bank');
INSERT INTO own.dispute (party, period, unit, source, ticket_key, amount, reason, opened_by) VALUES ('staff:w1', '2025-11-01', 'CNY', 'ticket', 'T1', 0, 'wrong hours', 'w1') RETURNING dispute_id \gset
SELECT pg_temp.waits(what, held, call) FROM (VALUES
    ('legs are made one order after the other', 'LOCK TABLE own.leg IN ROW EXCLUSIVE MODE', $$ SELECT settle.make_legs('own', 'ticket', 'T2') $$),
    ('who touches a leg waits for whoever makes legs', 'LOCK TABLE own.leg IN SHARE MODE', $$ SELECT settle._touch_legs('own') $$),
    ('the state of a leg is read under its lock', format('FROM own.leg WHERE leg_id = %s FOR KEY SHARE', :leg_id), format($$ SELECT settle.note_leg('own', %s, 'planned') $$, :leg_id)),
    ('so is what has come back of it', format('FROM own.leg WHERE leg_id = %s FOR KEY SHARE', :leg_id), format($$ SELECT settle.return_leg('own', %s, 1, 'r') $$, :leg_id)),
    ('who confirmed a party is read under its lock', $$ FROM own.party WHERE party = 'staff:w1' FOR KEY SHARE $$, $$ SELECT settle.confirm_party('own', 'staff:w1', 'seen') $$),
    ('the state of a statement is read under its lock', $$ FROM own.statement WHERE party = 'staff:w1' FOR KEY SHARE $$, $$ SELECT settle._begin_move('own', 'staff:w1', '2025-11-01', NULL, 'submit') $$),
    ('so is whether it is paid', $$ FROM own.statement WHERE party = 'staff:w2' FOR KEY SHARE $$, $$ SELECT settle.pay_statement('own', 'staff:w2', '2025-11-01', NULL, 'paid before') $$),
    ('a dispute is resolved once', format('FROM own.dispute WHERE dispute_id = %s FOR KEY SHARE', :dispute_id), format($$ SELECT settle.resolve_dispute('own', %s, 'dismissed', 'looked at') $$, :dispute_id)),
    ('and under the lock of its statement', $$ FROM own.statement WHERE party = 'staff:w1' FOR KEY SHARE $$, format($$ SELECT settle.resolve_dispute('own', %s, 'dismissed', 'looked at') $$, :dispute_id))
) AS v(what, held, call);

----------------------------------------------------------------------------------------------------
-- Messages and watermarks
----------------------------------------------------------------------------------------------------
SELECT settle.send('own', 'bank', 'pay', 'T1', '{}') AS message \gset
SELECT settle.set_watermark('own', 'taobao', '', 'orders', now() - interval '2 hours') \g /dev/null
SELECT pg_temp.waits(what, held, call) FROM (VALUES
    ('a message is done once', format('FROM own.outbox WHERE message_id = %s FOR KEY SHARE', :message), format($$ SELECT settle.done_outbox('own', '{%s}') $$, :message)),
    ('a message fails once', format('FROM own.outbox WHERE message_id = %s FOR KEY SHARE', :message), format($$ SELECT settle.fail_outbox('own', %s, 'no answer') $$, :message)),
    ('a watermark is read under its lock', 'FROM own.watermark FOR KEY SHARE', $$ SELECT settle.advance_watermark('own', 'taobao', '', 'orders', now() - interval '2 hours', now() - interval '1 hour', now() - interval '1 hour') $$)
) AS v(what, held, call);
UPDATE own.outbox SET state = 'leased', attempts = 1000, due_at = now() - interval '1 hour', taken_by = 'a connector';
SELECT dblink_exec('other', 'BEGIN'), dblink_exec('other', 'DO $$ BEGIN PERFORM FROM own.outbox FOR UPDATE; END $$') \g /dev/null
SELECT is_empty($$ SELECT FROM settle.take_outbox('own', 'bank', 10) $$, 'a message that another one gives up is left to him');
SELECT dblink_exec('other', 'ROLLBACK') \g /dev/null
UPDATE own.outbox SET state = 'dead', finished_at = now();
SELECT pg_temp.waits('a dead message is revived once', format('FROM own.outbox WHERE message_id = %s FOR KEY SHARE', :message), format($$ SELECT settle.retry_outbox('own', '{%s}') $$, :message));

----------------------------------------------------------------------------------------------------
-- Orders, customers, links
----------------------------------------------------------------------------------------------------
INSERT INTO own.order_changed (platform, shop, order_no, step) VALUES ('taobao', '', '1', (settle._order_steps())[1]);
INSERT INTO own.subject_changed (platform, subject, removed) VALUES ('taobao', 'taobao:order:1', false);
INSERT INTO own.reread (platform, kind, last_id) VALUES ('taobao', 'order', 0);
INSERT INTO own.platform_ticket (platform, shop, ticket_no, status, title, version, precedence, tied, flags, staging_id)
VALUES ('desk', '', '1', 'open', 'order 2290118844770334261 is broken', now(), '1', false, ARRAY[]::text[], 1);
SELECT pg_temp.waits(what, held, call) FROM (VALUES
    ('a step takes changed orders after the one that takes them', 'LOCK TABLE own.order_changed IN SHARE UPDATE EXCLUSIVE MODE', $$ SELECT settle._take_changed_orders('own', (settle._order_steps())[1], 10) $$),
    ('who confirms who served an order waits for the steps', 'LOCK TABLE own.order_changed IN SHARE UPDATE EXCLUSIVE MODE', $$ SELECT settle.confirm_staff('own', 'taobao', '', '1', NULL, '1', 'seen') $$),
    ('so does who has an order computed again', 'LOCK TABLE own.order_changed IN SHARE UPDATE EXCLUSIVE MODE', $$ SELECT settle.recompute_order('own', 'taobao', '', '1', 'seen') $$),
    ('payloads are read again by one at a time', 'FROM own.reread FOR KEY SHARE', $$ SELECT settle._continue_reread('own', NULL) $$),
    ('an ingest waits for whoever ingests', 'LOCK TABLE own.mapping IN ROW EXCLUSIVE MODE', $$ SELECT settle.ingest('own') $$),
    ('a person is erased after the ingest that runs', 'LOCK TABLE own.mapping IN ROW EXCLUSIVE MODE', $$ SELECT settle.erase_person('own', 'customer:1', 'asked for') $$),
    ('customers are placed one after the other', 'LOCK TABLE own.customer IN ROW EXCLUSIVE MODE', $$ SELECT settle._tick_customers('own') $$),
    ('merged', 'LOCK TABLE own.customer IN ROW EXCLUSIVE MODE', $$ SELECT settle.merge_customers('own', 1, 2, 'the same') $$),
    ('split', 'LOCK TABLE own.customer IN ROW EXCLUSIVE MODE', $$ SELECT settle.split_customer('own', '{taobao:order:1}', 'another') $$),
    ('their keys cut', 'LOCK TABLE own.customer IN ROW EXCLUSIVE MODE', $$ SELECT settle.cut_key('own', 'taobao:order:1', 'phone', '1', 'not his') $$),
    ('suggestions decided', 'LOCK TABLE own.customer IN ROW EXCLUSIVE MODE', $$ SELECT settle.refuse_suggestion('own', 1, 'not the same') $$),
    ('and looked at again when a type of keys changes', 'LOCK TABLE own.customer IN ROW EXCLUSIVE MODE', $$ INSERT INTO own.key_type (key_type, strength) VALUES ('badge', 'strong') $$),
    ('who followed whom is derived one after the other', 'LOCK TABLE own.follow_period IN ROW EXCLUSIVE MODE', $$ INSERT INTO own.follow_event (customer_no, staff_ref, event_no, shop, platform, what, happened_at, version, precedence, tied, flags, staging_id) VALUES ('c', 's', '1', '', 'wecom', 'added', now(), now(), '1', false, '{}', 1) $$),
    ('aliases of staff are cut one after the other', 'LOCK TABLE own.staff_alias IN ROW EXCLUSIVE MODE', $$ SELECT settle._cut_alias('own', 'staff_alias', 'taobao', '', 'person', 'x', now()) $$),
    ('tickets are linked one after the other', 'LOCK TABLE own.ticket_link IN ROW EXCLUSIVE MODE', $$ SELECT settle.link_tickets('own') $$),
    ('and after whoever decides about one', 'LOCK TABLE own.ticket_link IN ROW EXCLUSIVE MODE', $$ SELECT settle.unlink_ticket('own', 'desk', '1', 'another shop') $$)
) AS v(what, held, call);

----------------------------------------------------------------------------------------------------
-- The desk
----------------------------------------------------------------------------------------------------
INSERT INTO own.ticket_type (type, version, project) VALUES ('job', 1, 'job');
INSERT INTO own.stage (type, version, stage, place, initial, ready) VALUES ('job', 1, 'work', 1, true, false), ('job', 1, 'done', 3, false, true);
INSERT INTO own.move (type, version, move, from_stage, to_stage) VALUES ('job', 1, 'finish', 'work', 'done');
SELECT settle.enable_type('own', 'job') \g /dev/null
INSERT INTO own.deadline_target (type, kind, within) VALUES ('job', 'done', '1 hour');
SELECT settle.open_ticket('own', 'job', region => 'cn', ticket_id => 'D1'), settle.open_ticket('own', 'job', region => 'cn', ticket_id => 'D2') \g /dev/null
INSERT INTO own.special_pending (ticket_id) VALUES ('D1');
SELECT pg_temp.waits(what, held, call) FROM (VALUES
    ('special tickets are judged one after the other', 'LOCK TABLE own.special_pending IN SHARE UPDATE EXCLUSIVE MODE', $$ SELECT settle._tick_special('own') $$),
    ('escalations are held one after the other: they share a limit', 'LOCK TABLE own.escalation_hold IN ROW EXCLUSIVE MODE', $$ SELECT settle.hold_escalation('own', 'D1', now() + interval '1 hour', 'waits for a part') $$),
    ('a ticket is split and merged under its lock', $$ FROM own.ticket WHERE ticket_id = 'D1' FOR KEY SHARE $$, $$ SELECT settle._lock_tickets('own', '{D1,D2}') $$),
    ('a move is approved under the lock of the ticket', $$ FROM own.ticket WHERE ticket_id = 'D1' FOR KEY SHARE $$, $$ SELECT settle.approve_move('own', 'D1', 'finish') $$),
    ('a ticket is assigned under its lock', $$ FROM own.ticket WHERE ticket_id = 'D1' FOR SHARE $$, $$ SELECT settle.assign_ticket('own', 'D1', 'nobody') $$),
    ('a ticket is moved under its lock', $$ FROM own.ticket WHERE ticket_id = 'D1' FOR SHARE $$, $$ SELECT settle.move_ticket('own', 'D1', 'no such move') $$),
    ('a check-in reads the ticket under its lock', $$ FROM own.ticket WHERE ticket_id = 'D1' FOR SHARE $$, $$ SELECT settle._lock_visit('own', 'D1') $$),
    ('what is stuck is watched by one at a time', 'FROM own.watch_mark FOR KEY SHARE', $$ SELECT settle._watch_stuck('own', now(), 10) $$)
) AS v(what, held, call);

-- a tick leaves alone the deadlines that another one has taken
SELECT dblink_exec('other', 'BEGIN'), dblink_exec('other', 'DO $$ BEGIN PERFORM FROM own.ticket_due FOR UPDATE; END $$') \g /dev/null
SELECT lives_ok($$ SELECT settle._watch_deadlines('own', now() + interval '2 hours', 10) $$, 'deadlines that another tick has taken are left to it');
SELECT is((SELECT count(*) FROM own.alert WHERE kind IN ('late', 'deadline')), 0::bigint, 'and raise no alert twice');
SELECT dblink_exec('other', 'ROLLBACK') \g /dev/null

SELECT dblink_disconnect('other') \g /dev/null
SELECT * FROM finish();
