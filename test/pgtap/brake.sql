-- The brake: a run that would correct too many settled tickets posts what is
-- new and holds the corrections until somebody releases them.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
-- months are closed by hand here, without statements

SELECT settle.create_book('shop') \g /dev/null
SELECT is((SELECT max_correction FROM shop.book), 1000, 'a thousand, unless somebody says otherwise');
SELECT throws_ok($$ UPDATE shop.book SET max_correction = -1 $$, '23514', NULL, 'less than none is refused');
SELECT settle.add_rule('shop', 'r', 'c', 'hq', 'p:{worker}', base => 'amount', tiers => '5% to 1000, 10%', accumulate => 'month') \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount)
    SELECT n, '2025-11-03 10:00+08'::timestamptz + n * interval '1 minute', 'a', 'b', n % 7, 100 + n FROM generate_series(1, 500) AS n;
SELECT settle.run('shop') \g /dev/null
UPDATE shop.book SET max_correction = 3;

CREATE FUNCTION pg_temp.run() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', tickets, corrections, held) FROM settle.run('shop') $$;
CREATE FUNCTION pg_temp.held() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(ticket_key || CASE WHEN release_id IS NULL THEN '' ELSE '!' END, ' ' ORDER BY ticket_key::int) FROM shop.held $$;

----------------------------------------------------------------------------------------------------
-- Where it trips
----------------------------------------------------------------------------------------------------
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int <= 5;
SELECT is(pg_temp.run(), '5 5 0', 'five of five hundred settled tickets are 1 %: more than three, and allowed');
SELECT is((SELECT count(*) FROM shop.alert), 0::bigint, 'no alert');
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int <= 6;
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) SELECT n, '2025-11-05 10:00+08', 'a', 'b', 'new', 10 FROM generate_series(1001, 1010) AS n;
SELECT sum(amount) AS before FROM shop.line_detail \gset
SELECT is(pg_temp.run(), '10 0 6', 'six are too many: the new tickets are posted, the corrections held');
SELECT is(pg_temp.held(), '1 2 3 4 5 6', 'each stands in held');
SELECT is((SELECT array_agg(DISTINCT run_id) FROM shop.held), (SELECT array_agg(max) FROM (SELECT max(run_id) FROM shop.run) AS r), 'with the run that held it');
SELECT is((SELECT sum(amount) FROM shop.line_detail) - :before, 5.00, 'no money but that of the new tickets moved');
SELECT is((SELECT string_agg(concat_ws(' ', kind, message), '; ') FROM shop.alert WHERE ended_at IS NULL), 'max_correction 6 corrections are held: more than 5 settled tickets would be corrected at once', 'an alert is raised');
SELECT is((SELECT held FROM shop.run ORDER BY run_id DESC LIMIT 1), 6::bigint, 'the run counts what it held');
SELECT is_empty($$ SELECT * FROM settle.check('shop') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- Held
----------------------------------------------------------------------------------------------------
SELECT is(pg_temp.run(), '0 0 0', 'what is held stays held');
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id = '1';
UPDATE shop.ticket SET amount = amount - 1 WHERE ticket_id = '2';
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id = '50';
SELECT is(pg_temp.run(), '1 1 1', 'one that changes again is held again, though alone it would pass; another one passes');
SELECT is(pg_temp.held(), '1 3 4 5 6', 'once; one that is as it was before is free');
DELETE FROM shop.ticket WHERE ticket_id = '3';
UPDATE shop.source SET on_delete = 'reverse';
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id = '4';
SELECT is(pg_temp.run(), '0 0 2', 'one that is deleted or cancelled by now is held, too');
SELECT is((SELECT count(*) FROM shop.alert), 1::bigint, 'nobody is told twice');
SELECT is_empty($$ SELECT * FROM settle.check('shop') WHERE invariant !~ 'statement' $$, 'what is held is no disagreement');

----------------------------------------------------------------------------------------------------
-- Released
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.release('shop', '') $$, '22023', 'reason is empty', 'without a reason');
SELECT is(settle.release('shop', 'price list of November'), 5::bigint, 'five corrections are released');
SELECT throws_ok($$ SELECT settle.release('shop', 'again') $$, '55000', 'book "shop" holds no corrections', 'there is nothing more to release');
SELECT is((SELECT string_agg(concat_ws(' ', released_by, reason, tickets), '; ') FROM shop.release), session_user || ' price list of November 5', 'who, why and how many is on record');
SELECT throws_ok($$ DELETE FROM shop.release $$, '55000', NULL, 'for ever');
SELECT is((SELECT string_agg(concat_ws(' ', ended_by, reason), '; ') FROM shop.alert WHERE kind = 'max_correction'), session_user || ' price list of November', 'the alert is settled');
UPDATE shop.ticket SET amount = amount + 7 WHERE ticket_id = '1';
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int BETWEEN 101 AND 106;
SELECT is(pg_temp.run(), '5 5 6', 'the next run makes them with the latest state, whatever it holds beside them');
SELECT is(pg_temp.held(), '101 102 103 104 105 106', 'it holds others now');
SELECT settle.release('shop', 'all right') \g /dev/null
SELECT settle.run('shop', 2) \g /dev/null
SELECT is((SELECT count(*) FROM shop.held), 4::bigint, 'a run of two takes two of them');
CALL settle.run_all('shop', 2);
SELECT is(pg_temp.held(), NULL, 'and the others follow');
SELECT settle.create_book('twin') \g /dev/null
INSERT INTO twin.rule SELECT * FROM shop.rule;
INSERT INTO twin.ticket SELECT * FROM shop.ticket;
SELECT settle.run('twin') \g /dev/null
SELECT is((SELECT array_agg(concat_ws(' ', owner, tickets, quantity, amount) ORDER BY owner) FROM shop.tally), (SELECT array_agg(concat_ws(' ', owner, tickets, quantity, amount) ORDER BY owner) FROM twin.tally),
    'in the end everybody has what he would have without the brake');
SELECT is_empty($$ SELECT * FROM settle.check('shop') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

-- a backlog is one, however many runs it is cut into
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int BETWEEN 201 AND 220;
SELECT max(run_id) AS last FROM shop.run \gset
CALL settle.run_all('shop', 2);
SELECT is((SELECT concat_ws(' ', sum(corrections), sum(held)) FROM shop.run WHERE run_id > :last), '4 16', 'two runs of two go through, the third would be beyond five and holds its own, as do those after it');
SELECT is((SELECT count(*) FROM shop.held), 16::bigint, 'what is left is held');
SELECT is((SELECT array_agg(DISTINCT counted = 0 ORDER BY counted = 0) FROM shop.run WHERE run_id > :last), '{f,t}', 'the last run, which left nothing, begins anew');
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int BETWEEN 301 AND 305;
SELECT is(pg_temp.run(), '5 5 0', 'so that five more pass');
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int BETWEEN 401 AND 408;
SELECT settle.run('shop', 4) \g /dev/null
SELECT settle.release('shop', 'all right') \g /dev/null
SELECT is((SELECT concat_ws(' ', sum(h.corrections), sum(h.held)) FROM generate_series(1, 10) AS n CROSS JOIN LATERAL settle.run('shop', 4 + 0 * n) AS h), '20 0', 'a release begins anew, too: four that it let nobody hold, and the sixteen');
SELECT is(pg_temp.held(), NULL, 'nothing is held');
SELECT settle.run('twin') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Edits of the past, many tickets, no brake
----------------------------------------------------------------------------------------------------
SELECT settle.add_rule('shop', 's', 's', 'hq', 'q', base => '1', valid => '(,)') \g /dev/null
SELECT is(pg_temp.run(), '0 0 508', 'a rule for all time would correct every ticket');
SELECT is((SELECT count(*) FROM shop.edit), 0::bigint, 'the edit is taken: what it touches is held');
SELECT is((SELECT sum(tickets) FROM settle.plan('shop', true) WHERE component = 's'), 508::numeric, 'settle.plan shows what would be released');
DELETE FROM shop.rule WHERE code = 's';
SELECT is(pg_temp.run(), '0 0 0', 'the rule is removed');
SELECT is(pg_temp.held(), NULL, 'and nothing is held any more');
UPDATE shop.book SET max_correction = NULL;
UPDATE shop.ticket SET amount = amount + 1;
SELECT is(pg_temp.run(), '508 508 0', 'without max_correction there is no brake');
UPDATE shop.book SET max_correction = 0;
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id::int < 7;
INSERT INTO shop.period (period, state, changed_by) VALUES ('2025-11-01', 'closed', 'test');
SELECT is(pg_temp.run(), '0 0 4', 'the share is one of what is settled in open periods: nothing yet');
SELECT settle.release('shop', 'yes') \g /dev/null
SELECT is(pg_temp.run(), '4 4 0', 'posted in the open one');

-- more than a batch: what the first batches posted is taken back before the brake is put on
UPDATE shop.period SET state = 'open';
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) SELECT n, '2025-11-06 10:00+08', 'a', 'b', n % 100, 10 FROM generate_series(10001, 80000) AS n;
UPDATE shop.book SET max_correction = 1000;
SELECT is(pg_temp.run(), '70000 0 0', 'seventy thousand new tickets are no correction');
UPDATE shop.ticket SET amount = amount + 1;
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) SELECT n, '2025-11-06 10:00+08', 'a', 'b', 'fresh', 10 FROM generate_series(80001, 80003) AS n;
SELECT is(pg_temp.run(), '3 0 70508', 'all of them corrected at once are');
SELECT is_empty($$ SELECT * FROM settle.check('shop') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');
SELECT settle.release('shop', 'yes') \g /dev/null
SELECT is(pg_temp.run(), '70508 70508 0', 'released, all go in one run');
SELECT is_empty($$ SELECT * FROM settle.check('shop') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

-- an error goes out as before, and leaves nothing behind
SELECT settle.add_rule('shop', 'bad', 'bad', 'hq', 'q', base => '1 / (amount - 11)', valid => '(,)') \g /dev/null
SELECT count(*) AS pending FROM shop.pending \gset
UPDATE shop.ticket SET amount = amount;
SELECT throws_like($$ SELECT settle.run('shop') $$, '"bad" fails for %', 'a rule that is broken stops the run');
SELECT is((SELECT count(*) FROM shop.pending) - :pending, (SELECT count(*) FROM shop.ticket), 'and everything is still pending');
DELETE FROM shop.rule WHERE code = 'bad';
SELECT is(pg_temp.run(), '0 0 0', 'the rule is removed');

----------------------------------------------------------------------------------------------------
-- Who, and at commit
----------------------------------------------------------------------------------------------------
CREATE ROLE brake_clerk;
CREATE ROLE brake_approver;
SELECT settle.grant_access('shop', 'brake_clerk', 'clerk'), settle.grant_access('shop', 'brake_approver', 'approver') \g /dev/null
UPDATE shop.book SET max_correction = 0;
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id = '1';
DELETE FROM shop.ticket WHERE ticket_id::int > 2;
SELECT settle.run('shop') \g /dev/null
SET ROLE brake_clerk;
SELECT throws_ok($$ SELECT settle.release('shop', 'me') $$, '42501', 'permission denied for book "shop"', 'a clerk releases nothing');
SET ROLE brake_approver;
SELECT ok(settle.release('shop', 'approved') > 0, 'an approver does');
RESET ROLE;
SELECT throws_ok($$ SELECT settle._release('shop', 'me') FROM (SELECT set_config('role', 'brake_clerk', true)) AS r $$, '42501', NULL, 'nobody calls the body');
RESET ROLE;

SELECT settle.create_book('now', settle_on => 'commit') \g /dev/null
UPDATE now.book SET max_correction = 0;
SELECT settle.add_rule('now', 'r', 'c', 'hq', 'p', base => 'amount') \g /dev/null
INSERT INTO now.ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2025-11-03', 'a', 'b', 10), ('2', '2025-11-03', 'a', 'b', 20);
UPDATE now.ticket SET amount = amount + 1;
SELECT is((SELECT sum(amount) FROM now.line_detail), 32.00, 'who settles at commit is not braked');
SELECT settle.add_rule('now', 's', 's', 'hq', 'q', base => '1', valid => '(,)') \g /dev/null
SELECT is((SELECT held FROM settle.run('now')), 2::bigint, 'a run is');
UPDATE now.ticket SET amount = 5 WHERE ticket_id = '1';
SELECT is((SELECT string_agg(ticket_key, ' ') FROM now.held), '2', 'a held ticket that settles at its own commit is held no more');
SELECT is((SELECT sum(amount) FROM now.line_detail), 27.00, 'by the rules as they are');
SELECT is_empty($$ SELECT * FROM settle.check('now') $$, 'the book agrees with itself');

-- what 1 % is taken of: tickets that runs have settled are counted once, those that settled at commit when they are asked for
SELECT settle.release('now', 'yes') \g /dev/null
INSERT INTO now.ticket (ticket_id, done_at, project, region, amount) SELECT n, '2025-11-03', 'a', 'b', n + 1000 FROM generate_series(3, 300) AS n;
CREATE FUNCTION pg_temp.run_now() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', corrections, held) FROM settle.run('now') $$;
SELECT is(pg_temp.run_now(), '1 0', 'what was released is posted');
SELECT is((SELECT string_agg(concat_ws(' ', period, tickets), ', ') FROM now.settled_total), '2025-11-01 300', 'every ticket is counted, by whomever it was settled');
SELECT settle.add_rule('now', 't3', 't3', 'hq', 'q', base => '1', applies_when => 'amount <= 1003', valid => '(,)') \g /dev/null
SELECT is(pg_temp.run_now(), '3 0', 'three of three hundred may be corrected');
INSERT INTO now.ticket (ticket_id, done_at, project, region, amount) SELECT n, '2025-11-03', 'a', 'b', n + 1000 FROM generate_series(301, 400) AS n;
SELECT settle.add_rule('now', 't4', 't4', 'hq', 'q', base => '1', applies_when => 'amount <= 1004', valid => '(,)') \g /dev/null
SELECT is(pg_temp.run_now(), '4 0', 'four of four hundred, of which no run has counted a hundred');
SELECT settle.add_rule('now', 't5', 't5', 'hq', 'q', base => '1', applies_when => 'amount <= 1005', valid => '(,)') \g /dev/null
SELECT is(pg_temp.run_now(), '0 5', 'not five');
SELECT is_empty($$ SELECT * FROM settle.check('now') $$, 'the book agrees with itself');
UPDATE now.settled_total SET tickets = tickets + 1;
SELECT results_eq($$ SELECT invariant, object, detail FROM settle.check('now') $$,
    $$ VALUES ('tickets settled by period are those of the sheets that runs have counted', '2025-11-01', 'counted 401, sheets settle 400') $$, 'a wrong count is found');

SELECT * FROM finish();
SELECT settle.revoke_access('shop', 'brake_clerk', 'clerk'), settle.revoke_access('shop', 'brake_approver', 'approver') \g /dev/null
DROP ROLE brake_clerk, brake_approver;
