-- Late tickets: what is corrected in the open period changes the rows of the
-- period that it belongs to, once, and what those rows are priced at.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

SELECT settle.create_book('late') \g /dev/null
UPDATE late.source SET on_delete = 'reverse' WHERE source = 'ticket';
SELECT settle.add_rule('late', 'install', 'install', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
-- a graduated bonus on tickets, so that a late one moves the tally of its own month
SELECT settle.add_rule('late', 'volume', 'volume', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 0% below 30000, 1%', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('late', 'draw', 'draw', 'hq', '{party}', source => 'period',
	base => 'greatest(3000 - settle.part(earned, ''install''), - settle.part(carried, ''draw''))') \g /dev/null
CREATE FUNCTION pg_temp.ticket(id text, done_at timestamptz, amount numeric, worker text DEFAULT 'w') RETURNS void LANGUAGE sql
	AS $$ INSERT INTO late.ticket (ticket_id, done_at, project, region, worker, amount) VALUES (id, done_at, 'a', 'b', worker, amount) $$;
-- lines of a component by own period and period in which they are posted
CREATE FUNCTION pg_temp.lines(wanted text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', own, CASE WHEN own <> posted THEN 'in ' || posted END, amount), ', ' ORDER BY own, posted) FROM (
		SELECT to_char(coalesce(corrects_period, period), 'MM') AS own, to_char(period, 'MM') AS posted, sum(CASE WHEN payer = 'hq' THEN amount ELSE -amount END) AS amount
		FROM late.line_detail WHERE component LIKE wanted GROUP BY 1, 2 HAVING sum(amount) <> 0) AS l $$;
SELECT settle.add_to_roster('late', 'staff:w') \g /dev/null

-- earned: 1000, 4000, 4500: drawn 2000, back 1000, back 1000
SELECT pg_temp.ticket('1', '2023-01-10', 10000), pg_temp.ticket('2', '2023-02-10', 40000), pg_temp.ticket('3', '2023-03-10', 45000) \g /dev/null
SELECT settle.close_period('late', p::date) FROM generate_series('2023-01-01'::date, '2023-03-01', '1 month') AS p \g /dev/null
SELECT is(pg_temp.lines('draw'), '01 2000.00, 02 -1000.00, 03 -1000.00', 'a draw and its recovery');
SELECT is(pg_temp.lines('volume%'), '02 400.00, 03 450.00', 'a bonus on the volume of a month');

-- a ticket of January comes in April: 25,000, so that January is 3500 and 35,000
SELECT pg_temp.ticket('4', '2023-01-20', 25000), pg_temp.ticket('5', '2023-04-10', 30000) \g /dev/null
SELECT settle.run('late') \g /dev/null
SELECT is(pg_temp.lines('install'), '01 1000.00, 01 in 04 2500.00, 02 4000.00, 03 4500.00, 04 3000.00', 'it is posted in the open period and says which it corrects');
SELECT is(pg_temp.lines('volume%'), '01 in 04 350.00, 02 400.00, 03 450.00, 04 300.00', 'in the tally of its own month, with what that owes beyond it');
SELECT is(pg_temp.lines('draw'), '01 2000.00, 02 -1000.00, 03 -1000.00', 'the rules of the period wait for the next close');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'and the rows are still as they were closed');
SELECT settle.refresh_period('late', '2023-01-01') \g /dev/null
SELECT is((SELECT settle.part(earned, 'install') FROM late.party_period WHERE period = '2023-01-01'), 1000.00, 'refreshing a closed period does not count them before');

-- January needs no draw then; what February and March took back for it is given back
SELECT is((SELECT string_agg(concat_ws(' ', component, amount), ', ') FROM settle.preview_period('late', '2023-04-01') WHERE party = 'staff:w'), NULL, 'what goes and what comes is even');
SELECT settle.close_period('late', '2023-04-01') \g /dev/null
SELECT is(pg_temp.lines('draw'), '01 2000.00, 01 in 04 -2000.00, 02 -1000.00, 02 in 04 1000.00, 03 -1000.00, 03 in 04 1000.00', 'the close prices January anew, and what hangs on it');
SELECT results_eq($$ SELECT settle.part(earned, 'install'), settle.part(tickets, 'install'), settle.part(earned, 'volume'), settle.part(carried, 'draw') FROM late.party_period ORDER BY period $$,
	$$ VALUES (3500.00, 2::numeric, 350.00, 0::numeric), (4000, 1, 400, 0), (4500, 1, 450, 0), (3000, 1, 300, 0) $$, 'each ticket counts in its own period, once');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'the book agrees with itself');

-- the ticket turns out to be half as large, then goes: corrections of a correction
UPDATE late.ticket SET amount = 12500 WHERE ticket_id = '4';
SELECT settle.close_period('late', '2023-05-01') \g /dev/null
-- January earns 2250: 750 are drawn and taken back in February
SELECT is((SELECT string_agg(concat_ws(' ', own, amount), ', ' ORDER BY own) FROM (SELECT to_char(coalesce(corrects_period, period), 'MM') AS own, sum(CASE WHEN payer = 'hq' THEN amount ELSE -amount END) AS amount
	FROM late.line_detail WHERE component = 'draw' GROUP BY 1 HAVING sum(CASE WHEN payer = 'hq' THEN amount ELSE -amount END) <> 0) AS l),
	'01 750.00, 02 -750.00, 05 3000.00', 'what each month is due in the end, May with nothing earned');
DELETE FROM late.ticket WHERE ticket_id = '4';
SELECT settle.reopen_period('late', '2023-05-01', 'a ticket was none') \g /dev/null
SELECT settle.close_period('late', '2023-05-01') \g /dev/null
SELECT results_eq($$ SELECT settle.part(earned, 'install'), settle.part(tickets, 'install'), settle.part(earned, 'volume') FROM late.party_period ORDER BY period $$,
	$$ VALUES (1000.00, 1::numeric, 0::numeric), (4000, 1, 400), (4500, 1, 450), (3000, 1, 300), (0, 0, 0) $$, 'a ticket that is gone counts nowhere');
SELECT is((SELECT string_agg(concat_ws(' ', own, amount), ', ' ORDER BY own) FROM (SELECT to_char(coalesce(corrects_period, period), 'MM') AS own, sum(CASE WHEN payer = 'hq' THEN amount ELSE -amount END) AS amount
	FROM late.line_detail WHERE component = 'draw' GROUP BY 1 HAVING sum(CASE WHEN payer = 'hq' THEN amount ELSE -amount END) <> 0) AS l),
	'01 2000.00, 02 -1000.00, 03 -1000.00, 05 3000.00', 'and all is as if it had never come');

-- the ticket of one moves to another of the roster, in a closed month
SELECT settle.add_to_roster('late', 'staff:v', valid => '[2023-02-01,)') \g /dev/null
SELECT is((SELECT count(*) FROM late.party_period WHERE party = 'staff:v'), 0::bigint, 'a change of the roster does not reach back by itself');
UPDATE late.ticket SET worker = 'v' WHERE ticket_id = '2';
SELECT settle.close_period('late', '2023-06-01') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', party, settle.part(earned, 'install'), settle.part(tickets, 'install')), ', ' ORDER BY party) FROM late.party_period WHERE period = '2023-02-01'),
	'staff:v 4000.00 1, staff:w 0.00 0', 'but a period that is corrected is built from the roster as it is now');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'the book agrees with itself');
SELECT settle.refresh_period('late', '2023-03-01') \g /dev/null
SELECT settle.run('late') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', party, days_in_force), ', ' ORDER BY party) FROM late.party_period WHERE period = '2023-03-01'), 'staff:v 31, staff:w 31', 'or where somebody asks for it');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'the book agrees with itself');

-- the brake
UPDATE late.book SET max_correction = 0;
UPDATE late.ticket SET amount = amount + 100 WHERE ticket_id IN ('1', '3');
SELECT settle.run('late') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', kind, ticket_key), ', ') FROM settle.period_obstacles('late', '2023-07-01')), 'held 1, held 3', 'held corrections stand in the way');
SELECT throws_ok($$ SELECT settle.close_period('late', '2023-07-01') $$, '55000', 'period 2023-07-01 of book "late" cannot be closed: 2 tickets stand in its way');
SELECT settle.release('late', 'they are right') \g /dev/null
SELECT settle.run('late') \g /dev/null
SELECT lives_ok($$ SELECT settle.close_period('late', '2023-07-01') $$, 'released they do not; what they change in rows of periods is not held');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'the book agrees with itself');

-- two periods are opened again, the later one with corrections of the earlier one, and closed in order
UPDATE late.book SET max_correction = 1000;
SELECT settle.close_period('late', '2023-08-01') \g /dev/null
SELECT pg_temp.ticket('11', '2023-08-11', 500) \g /dev/null
SELECT settle.close_period('late', '2023-09-01') \g /dev/null
SELECT settle.reopen_period('late', '2023-09-01', 'a ticket is missing') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'while a period is open again that corrected another, all agrees');
SELECT settle.reopen_period('late', '2023-08-01', 'another one, too') \g /dev/null
SELECT pg_temp.ticket('12', '2023-08-12', 40), pg_temp.ticket('13', '2023-09-13', 60) \g /dev/null
SELECT settle.close_period('late', '2023-08-01') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'and when the earlier one is closed');
SELECT lives_ok($$ SELECT settle.close_period('late', '2023-09-01') $$, 'then the later one closes, too');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'and all agrees');
SELECT is((SELECT sum(payable + held + carried - brought_forward) FROM late.statement WHERE party = 'staff:w'),
    (SELECT sum(received - given) FROM late.party_delta JOIN late.party USING (party_id) WHERE party = 'staff:w'), 'what statements say is what the lines say');

SELECT * FROM finish();
