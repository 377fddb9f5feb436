-- Closing periods: order, what stands in the way, opening again, who may.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

SELECT settle.create_book('shop') \g /dev/null
SELECT settle.add_rule('shop', 'install', 'install', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => 'channel IS DISTINCT FROM ''free''') \g /dev/null
-- a ticket whose time cannot be told
UPDATE shop.source SET ready_at = 'CASE WHEN details ? ''bad'' THEN 1 / (length(ticket_id) - length(ticket_id)) * interval ''1 day'' + done_at ELSE done_at END' WHERE source = 'ticket';
CREATE FUNCTION pg_temp.ticket(id text, done_at timestamptz, worker text, amount numeric) RETURNS void LANGUAGE sql
	AS $$ INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) VALUES (id, done_at, 'a', 'b', worker, amount) $$;
-- what a statement changed nothing of
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql
	AS $$ SELECT concat_ws(' ', (SELECT count(*) FROM shop.sheet), (SELECT count(*) FROM shop.pending), (SELECT string_agg(period || ' ' || state, ', ' ORDER BY period) FROM shop.period)) $$;

----------------------------------------------------------------------------------------------------
-- Periods by their first day
----------------------------------------------------------------------------------------------------
SELECT is(settle.period_of('shop', '2023-10-31 16:00+00'), '2023-11-01'::date, 'a period begins in book time');
SELECT is(settle.period_of('shop', '2023-10-31 15:59+00'), '2023-10-01'::date, 'and ends there');
SELECT is((SELECT string_agg(kind || ' ' || settle._period_start(kind, '2025-11-30 23:00') || ' ' || settle._period_after(kind, settle._period_start(kind, '2025-11-30 23:00')), ', ')
	FROM unnest('{day,week,month,quarter,year}'::text[]) AS kind),
	'day 2025-11-30 2025-12-01, week 2025-11-24 2025-12-01, month 2025-11-01 2025-12-01, quarter 2025-10-01 2026-01-01, year 2025-01-01 2026-01-01',
	'first days, and those of the period that follows');
SELECT is(settle.next_period('shop', '2023-12-01'), '2024-01-01'::date, 'the next period of the book');

----------------------------------------------------------------------------------------------------
-- Order
----------------------------------------------------------------------------------------------------
SELECT pg_temp.ticket('1', '2023-10-05', 'w', 100), pg_temp.ticket('2', '2023-11-05', 'w', 200) \g /dev/null
SELECT throws_ok($$ SELECT settle.close_period('shop', NULL) $$, '22004', 'period is null');
SELECT throws_ok($$ SELECT settle.close_period(NULL, '2023-10-01') $$, '22004', 'book is null');
SELECT throws_ok($$ SELECT settle.close_period('shop', '2023-10-02') $$, '22023', '2023-10-02 is not the first day of a month');
SELECT throws_ok($$ SELECT settle.close_period('shop', settle.period_of('shop', now())) $$, '55000', format('period %s of book "shop" has not ended', settle.period_of('shop', now())));
SELECT pg_temp.state() AS before \gset
SELECT throws_ok($$ SELECT settle.close_period('shop', '2023-11-01') $$, '55000', 'period 2023-11-01 of book "shop" cannot be closed before 2023-10-01', 'a period that nobody has settled yet comes first');
SELECT is(pg_temp.state(), :'before', 'a refusal leaves nothing behind');
SELECT throws_ok($$ SELECT settle.reopen_period('shop', '2023-10-01', 'x') $$, '55000', 'period 2023-10-01 of book "shop" is not the last closed one', 'nothing is closed');
SELECT lives_ok($$ SELECT settle.close_period('shop', '2023-10-01', 'October is done') $$, 'the oldest one closes');
SELECT is(pg_temp.state(), '2 0 2023-10-01 closed', 'what was pending is settled, of later periods too');
SELECT is((SELECT concat_ws(' ', state, changed_by, reason) FROM shop.period), concat_ws(' ', 'closed', session_user, 'October is done'), 'the period says who and why');
SELECT throws_ok($$ SELECT settle.close_period('shop', '2023-10-01') $$, '55000', 'period 2023-10-01 of book "shop" is closed already', 'twice');
SELECT throws_ok($$ SELECT settle.close_period('shop', '2023-09-01') $$, '55000', 'period 2023-09-01 of book "shop" is closed already', 'one before the books begin');
SELECT throws_ok($$ SELECT settle.close_period('shop', '2023-12-01') $$, '55000', 'period 2023-12-01 of book "shop" cannot be closed before 2023-11-01', 'out of order');
SELECT lives_ok($$ SELECT settle.close_period('shop', '2023-11-01') $$, 'the next one');
SELECT lives_ok($$ SELECT settle.close_period('shop', '2023-12-01') $$, 'one in which nothing happened');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT settle.close_period('shop', '2024-01-01') $$, '25001', 'a run cannot be made in isolation level repeatable read', 'not under an old snapshot');
ROLLBACK;
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'the book agrees with itself');

-- books may begin before their first ticket
SELECT settle.create_book('early', period => 'quarter') \g /dev/null
INSERT INTO early.ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2023-11-05', 'a', 'b', 100);
SELECT settle.add_rule('early', 'r', 'c', 'hq', 'p', base => 'amount') \g /dev/null
SELECT lives_ok($$ SELECT settle.close_period('early', '2023-07-01') $$, 'a first period without tickets');
SELECT throws_ok($$ SELECT settle.close_period('early', '2023-11-01') $$, '22023', '2023-11-01 is not the first day of a quarter');
SELECT lives_ok($$ SELECT settle.close_period('early', '2023-10-01') $$, 'quarters follow each other');

----------------------------------------------------------------------------------------------------
-- Opening again
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.reopen_period('shop', '2023-11-01', 'x') $$, '55000', 'period 2023-11-01 of book "shop" is not the last closed one', 'only the last one');
SELECT throws_ok($$ SELECT settle.reopen_period('shop', '2023-12-01', ' ') $$, '22004', 'opening a period again needs a reason');
SELECT throws_ok($$ SELECT settle.reopen_period('shop', '2023-12-01', NULL) $$, '22004', 'opening a period again needs a reason');
SELECT lives_ok($$ SELECT settle.reopen_period('shop', '2023-12-01', 'a branch was late') $$, 'the last one opens again');
SELECT is(pg_temp.state(), '2 0 2023-10-01 closed, 2023-11-01 closed, 2023-12-01 open', 'and stands as open');
SELECT is((SELECT string_agg(concat_ws(' ', action, after ->> 'state', reason), ', ' ORDER BY change_id) FROM shop.change WHERE table_name = 'period' AND object = '2023-12-01' AND actor = session_user),
	'insert closing, update closed, update open a branch was late',
	'the journal keeps what was done to it');
SELECT pg_temp.ticket('3', '2023-12-05', 'w', 300) \g /dev/null
SELECT settle.close_period('shop', '2023-12-01', 'now with the branch') \g /dev/null
SELECT results_eq($$ SELECT period, corrects_period FROM shop.line_detail WHERE ticket_key = '3' $$, $$ VALUES ('2023-12-01'::date, NULL::date) $$, 'what comes while it is open is posted in it');

----------------------------------------------------------------------------------------------------
-- What stands in the way
----------------------------------------------------------------------------------------------------
SELECT pg_temp.ticket('4', '2024-01-05', NULL, 400), pg_temp.ticket('5', '2024-01-06', 'w', 500) \g /dev/null
UPDATE shop.ticket SET channel = 'free' WHERE ticket_id = '5';
SELECT pg_temp.state() AS before \gset
SELECT throws_ok($$ SELECT settle.close_period('shop', '2024-01-01') $$, '55000', 'period 2024-01-01 of book "shop" cannot be closed: 2 tickets stand in its way');
SELECT is(pg_temp.state(), :'before', 'a refusal leaves nothing behind, the tickets pending');
SELECT throws_ok($$ SELECT settle.defer('shop', 'ticket', '4', 'next month') $$, 'P0002', 'ticket "4" of source "ticket" is not in problem', 'nobody has looked at it yet');
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', kind, source, ticket_key, detail), ', ') FROM settle.period_obstacles('shop', '2024-01-01')),
	'problem ticket 4 payee of rule "install" is null, unpaid ticket 5 no rule gives it a line', 'they are listed');
SELECT is_empty($$ SELECT * FROM settle.period_obstacles('shop', '2023-12-01') $$, 'for their own period');
SELECT is((SELECT concat_ws(' ', p.ticket_key, p.period, u.ticket_key, u.period) FROM shop.problem AS p, shop.unpaid AS u), '4 2024-01-01 5 2024-01-01', 'a ticket that cannot be settled has a period');
SELECT settle.excuse('shop', 'ticket', '5', 'a favour') \g /dev/null
SELECT throws_ok($$ SELECT settle.defer('shop', 'ticket', '4', '') $$, '22004', 'deferring a ticket needs a reason');
SELECT settle.defer('shop', 'ticket', '4', 'the worker is being looked for') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.period_obstacles('shop', '2024-01-01') $$, 'deferred and excused');
SELECT is((SELECT deferred_by || ' ' || reason FROM shop.problem), session_user || ' the worker is being looked for', 'the problem says who deferred it and why');
SELECT is((SELECT string_agg(actor || ' ' || reason, ', ') FROM shop.change WHERE table_name = 'problem'), session_user || ' the worker is being looked for', 'and so does the journal');
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT count(*) FROM shop.problem WHERE deferred_at IS NOT NULL), 1::bigint, 'the same problem stays deferred');
UPDATE shop.ticket SET worker = repeat('w', 300) WHERE ticket_id = '4';
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT num_nulls(deferred_at, deferred_by, reason) FROM shop.problem), 3, 'another problem is not');
SELECT throws_like($$ SELECT settle.close_period('shop', '2024-01-01') $$, '%1 ticket stands in its way', 'and the period does not close');

-- a ticket whose time cannot be told may belong to any period
UPDATE shop.ticket SET details = '{"bad": 1}' WHERE ticket_id = '4';
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT concat_ws(' ', sqlstate, coalesce(period::text, '?')) FROM shop.problem), '22012 ?', 'a problem of an unknown period');
SELECT isnt_empty($$ SELECT * FROM settle.period_obstacles('shop', '2023-12-01') $$, 'stands in the way of all');
-- a settled ticket that cannot be settled anew stands in the period in which it is settled
UPDATE shop.ticket SET details = '{"bad": 1}' WHERE ticket_id = '3';
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT period FROM shop.problem WHERE ticket_key = '3' $$, $$ VALUES ('2023-12-01'::date) $$, 'a settled ticket has the period it is posted in');
UPDATE shop.ticket SET details = '{}', worker = 'w', done_at = '2024-01-05' WHERE ticket_id IN ('3', '4');
UPDATE shop.ticket SET done_at = '2023-12-05' WHERE ticket_id = '3';
DELETE FROM shop.ticket WHERE ticket_id = '2';
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', ticket_key, sqlstate, period), ', ') FROM shop.problem), '2 ST005 2023-11-01', 'so has one that vanished');
SELECT settle.defer('shop', 'ticket', '2', 'the branch deleted it') \g /dev/null
SELECT lives_ok($$ SELECT settle.close_period('shop', '2024-01-01') $$, 'mended and deferred: it closes');
SELECT is((SELECT count(*) FROM shop.problem), 1::bigint, 'the deferred one stays');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- What settle.check sees
----------------------------------------------------------------------------------------------------
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO shop.sheet (source_id, ticket_key, revision, ticket_time, period, currency, revenue, cost, payout, tickets, lines, run_id)
	SELECT source_id, 'x', 1, ticket_time, '2023-09-01', currency, 0, 0, 0, 0, lines, run_id FROM shop.sheet WHERE ticket_key = '1';
DELETE FROM shop.period WHERE period = '2023-11-01';
SELECT set_has($$ SELECT invariant, object FROM settle.check('shop') $$,
	$$ VALUES ('no sheet stands before the books begin', 'ticket x'), ('periods are closed one after the other', '2023-11-01') $$, 'periods with a gap, sheets before the first');
ROLLBACK;

----------------------------------------------------------------------------------------------------
-- Who may
----------------------------------------------------------------------------------------------------
CREATE ROLE period_reader;
CREATE ROLE period_clerk;
CREATE ROLE period_approver;
SELECT settle.grant_access('shop', 'period_reader', 'reader'), settle.grant_access('shop', 'period_clerk', 'clerk'), settle.grant_access('shop', 'period_approver', 'approver') \g /dev/null
SET ROLE period_reader;
SELECT is(settle.period_of('shop', '2024-02-10'), '2024-02-01'::date, 'a reader asks for a period');
SELECT lives_ok($$ SELECT * FROM settle.period_obstacles('shop', '2024-02-01') $$, 'and for what stands in its way');
SELECT lives_ok($$ SELECT * FROM settle.preview_period('shop', '2024-02-01') $$, 'and for what it would give');
SELECT throws_ok($$ SELECT settle.add_to_roster('shop', 'staff:w') $$, '42501', 'permission denied for book "shop"', 'a reader enters nobody');
SET ROLE period_clerk;
SELECT lives_ok($$ SELECT settle.add_to_roster('shop', 'staff:w') $$, 'a clerk does');
SELECT throws_ok($$ SELECT settle.close_period('shop', '2024-02-01') $$, '42501', 'permission denied for book "shop"', 'a clerk does not close');
SELECT throws_ok($$ SELECT settle.defer('shop', 'ticket', '2', 'x') $$, '42501', 'permission denied for book "shop"', 'nor defer');
SET ROLE period_approver;
SELECT lives_ok($$ SELECT settle.close_period('shop', '2024-02-01') $$, 'an approver closes');
SELECT throws_ok($$ SELECT settle.reopen_period('shop', '2024-02-01', 'x') $$, '42501', 'permission denied for book "shop"', 'but does not open again');
RESET ROLE;
SELECT lives_ok($$ SELECT settle.reopen_period('shop', '2024-02-01', 'x') $$, 'the owner does');
DROP SCHEMA shop CASCADE;
DROP ROLE period_reader, period_clerk, period_approver;

SELECT * FROM finish();
