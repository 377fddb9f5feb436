-- What a correction is worth at another day's rate than the ticket's own: a
-- line of its own, between the rule's payer and the fx_party of the book.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
SELECT settle.create_book('fx') \g /dev/null
UPDATE fx.book SET max_correction = NULL;
UPDATE fx.source SET on_delete = 'reverse';
SELECT settle.add_rule('fx', 'licence', 'licence', 'hq', 'dealer:us', base => 'amount', tiers => '10%', unit => 'USD', applies_when => 'project = ''a''') \g /dev/null
SELECT settle.add_rule('fx', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '1%') \g /dev/null
SELECT settle.add_rule('fx', 'fee', 'fee', 'hq', 'dealer:eu', base => 'amount', tiers => '2%', unit => 'EUR', applies_when => 'project = ''e''') \g /dev/null
SELECT settle.add_rule('fx', 'bonus', 'bonus', 'hq', 'dealer:{worker}', base => 'amount', tiers => '5% to 10000, 10%', accumulate => 'month', unit => 'USD', applies_when => 'project = ''t''') \g /dev/null
SELECT settle.set_rate('fx', 'CNY', 'USD', 0.1400, '2025-11-01'), settle.set_rate('fx', 'CNY', 'USD', 0.1500, '2026-01-01') \g /dev/null
INSERT INTO fx.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('T1', '2025-11-03', 'a', 'b', '1', 10000), ('T2', '2025-11-04', 'a', 'b', '1', 5000);
SELECT settle.run('fx') \g /dev/null

-- lines of the rate that the last run has posted, and what they follow
CREATE FUNCTION pg_temp.posted() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', source, ticket_key, component, payer, payee, base, amount, unit, period, '<- ' || corrects_period), E'\n' ORDER BY source, ticket_key, component, line)
    FROM fx.line_detail WHERE run_id = (SELECT max(run_id) FROM fx.run) AND unit = 'USD'
$$;

----------------------------------------------------------------------------------------------------
-- Off, and on
----------------------------------------------------------------------------------------------------
UPDATE fx.ticket SET amount = 5100 WHERE ticket_id = 'T2';
SELECT settle.run('fx') \g /dev/null
SELECT is(pg_temp.posted(), 'ticket T2 licence hq dealer:us 100.000000 1.40 USD 2025-11-01', 'without an fx_party the correction alone');
SELECT throws_ok($$ UPDATE fx.book SET fx_party = 'hq:fx', keep_inputs = false $$, '23514', NULL, 'the rates that were used must be kept');
SELECT throws_ok($$ UPDATE fx.book SET fx_party = '' $$, '23514', NULL, 'a party has a code');
UPDATE fx.book SET fx_party = 'hq:fx';
SELECT settle.close_period('fx', '2025-11-01') \g /dev/null

-- 10,000 at 10 % and 0.14 were 140.00; 8,000 are 112.00: 28.00 less, which at 0.15 are worth 30.00
UPDATE fx.ticket SET amount = 8000 WHERE ticket_id = 'T1';
SELECT bag_eq($$ SELECT component, amount, unit, corrected FROM settle.plan('fx') $$, $$ VALUES ('licence', -28.00, 'USD', 1::bigint), ('licence.fx', -2.00, 'USD', 0), ('wage', -20.00, 'CNY', 1) $$, 'a plan shows it before');
SELECT is((SELECT count(*) FROM fx.party WHERE party = 'hq:fx'), 0::bigint, 'and adds no party');
SELECT settle.run('fx') \g /dev/null
SELECT is(pg_temp.posted(), E'tally fx ticket T1 licence.fx hq hq:fx -28.000000 -2.00 USD 2025-12-01 <- 2025-11-01\nticket T1 licence hq dealer:us -2000.000000 -28.00 USD 2025-12-01 <- 2025-11-01', 'the correction at the ticket''s rate, and what today''s adds, on no ticket');
SELECT is((SELECT inputs::text FROM fx.sheet_inputs WHERE source = 'tally'), '{"own":{"CNY/USD":0.1400},"now":{"CNY/USD":0.1500}}', 'both rates are kept');
SELECT is_empty($$ SELECT * FROM settle.check('fx') $$, 'all figures agree');

-- another correction, another rate: 1,100 more are 15.40, at 0.133 14.63
SELECT settle.set_rate('fx', 'CNY', 'USD', 0.1330, now()) \g /dev/null
UPDATE fx.ticket SET amount = 9100 WHERE ticket_id = 'T1';
SELECT settle.run('fx') \g /dev/null
SELECT is(pg_temp.posted(), E'tally fx ticket T1 licence.fx hq hq:fx 15.400000 -0.77 USD 2025-12-01 <- 2025-11-01\nticket T1 licence hq dealer:us 1100.000000 15.40 USD 2025-12-01 <- 2025-11-01', 'each correction by the rate of its own posting');
SELECT is((SELECT array_agg(revision ORDER BY revision) FROM fx.sheet WHERE source_id = 0), '{1,2}', 'revisions of one key');
SELECT results_eq($$ SELECT name, payee, base, amount, detail FROM settle.explain('fx', 'T1') WHERE name = 'licence.fx' $$, $$ VALUES
    ('licence.fx', 'hq:fx', -28.00, -2.00, 'rule licence, -28.00 at the rates of its posting, {"CNY/USD":0.1500}, not its own, {"CNY/USD":0.1400}'),
    ('licence.fx', 'hq:fx', 15.40, -0.77, 'rule licence, 15.40 at the rates of its posting, {"CNY/USD":0.1330}, not its own, {"CNY/USD":0.1400}') $$, 'explain says it at the revision');
SELECT is((SELECT sum(amount) FROM settle.explain('fx', 'T1') WHERE kind = 'posted' AND name = 'licence'), 127.40, 'what is posted for the ticket is its own');

-- what does not change the line, and what is not converted, has none
UPDATE fx.ticket SET worker = '2' WHERE ticket_id = 'T2';
SELECT settle.run('fx') \g /dev/null
SELECT is(pg_temp.posted(), NULL, 'another line than that of the rate');
SELECT settle.rescan('fx') \g /dev/null
SELECT is((SELECT lines FROM settle.run('fx')), 0::bigint, 'it is never priced again');

-- taken back, and settled again: 127.40 at 0.133 are 121.03
UPDATE fx.ticket SET done_at = NULL WHERE ticket_id = 'T1';
SELECT settle.run('fx') \g /dev/null
SELECT is(pg_temp.posted(), E'tally fx ticket T1 licence.fx hq hq:fx -127.400000 6.37 USD 2025-12-01 <- 2025-11-01\nticket T1 licence hq dealer:us -9100.000000 -127.40 USD 2025-12-01 <- 2025-11-01', 'a ticket that is taken back, by the rate that its sheet keeps');
SELECT is((SELECT sum(amount) FROM fx.line_detail WHERE ticket_key = 'T1'), 0.00, 'its own lines return to zero');
UPDATE fx.ticket SET done_at = '2025-11-03' WHERE ticket_id = 'T1';
SELECT settle.run('fx') \g /dev/null
SELECT is((SELECT sum(amount) FROM fx.line_detail WHERE component = 'licence.fx'), -2.77, 'and back again it loses what it gained');
UPDATE fx.ticket SET project = 'z' WHERE ticket_id = 'T2';
SELECT settle.run('fx') \g /dev/null
SELECT is(pg_temp.posted(), E'tally fx ticket T2 licence.fx hq hq:fx -71.400000 3.57 USD 2025-12-01 <- 2025-11-01\nticket T2 licence hq dealer:us -5100.000000 -71.40 USD 2025-12-01 <- 2025-11-01', 'a ticket that the rule does not pay any more');
SELECT is_empty($$ SELECT * FROM settle.check('fx') $$, 'all figures agree after withdrawals');
SELECT is_empty($$ SELECT * FROM settle.replay('fx') $$, 'and are computed again');
SELECT settle.add_pack('fx', 'empty') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.simulate('fx', '2025-11-01', '2026-01-01', 'empty') WHERE difference <> 0 $$, 'what the rules say has no rate of today in it');

----------------------------------------------------------------------------------------------------
-- No rate today
----------------------------------------------------------------------------------------------------
SELECT settle.set_rate('fx', 'CNY', 'EUR', 0.1200, '2025-12-01') \g /dev/null
UPDATE fx.rate SET valid = tstzrange('2025-12-01', '2026-01-01') WHERE to_unit = 'EUR';
INSERT INTO fx.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('E1', '2025-12-03', 'e', 'b', '1', 1000);
SELECT settle.run('fx') \g /dev/null
UPDATE fx.ticket SET amount = 2000 WHERE ticket_id = 'E1';
SELECT is((SELECT concat_ws(' ', tickets, problems) FROM settle.run('fx')), '0 1', 'a correction without a rate of today is a problem');
SELECT results_eq($$ SELECT sqlstate, rule_code, message ~ '^no rate from "CNY" to "EUR" at .*, when its correction is posted$' FROM fx.problem $$, $$ VALUES ('ST008', 'fee', true) $$, 'that says so');
SELECT is((SELECT sum(amount) FROM fx.line_detail WHERE ticket_key = 'E1'), 12.40, 'and nothing of it is posted: 2.40 EUR and 10.00 CNY stand');
UPDATE fx.ticket SET amount = 1000, cost = 3 WHERE ticket_id = 'E1';
SELECT is((SELECT concat_ws(' ', tickets, problems) FROM settle.run('fx')), '1 0', 'one that leaves the line as it is needs none');
UPDATE fx.ticket SET amount = 2000 WHERE ticket_id = 'E1';
SELECT settle.run('fx') \g /dev/null
SELECT settle.set_rate('fx', 'CNY', 'EUR', 0.1260, '2026-01-01') \g /dev/null
SELECT settle.rescan('fx') \g /dev/null
SELECT settle.run('fx') \g /dev/null
SELECT results_eq($$ SELECT component, amount FROM fx.line_detail WHERE run_id = (SELECT max(run_id) FROM fx.run) AND unit = 'EUR' ORDER BY component $$, $$ VALUES ('fee', 2.40), ('fee.fx', 0.12) $$, 'with a rate it goes on: 2.40 at 0.126 instead of 0.12, within an open period');
SELECT is((SELECT count(*) FROM fx.problem), 0::bigint, 'and the problem is gone');

----------------------------------------------------------------------------------------------------
-- A tally
----------------------------------------------------------------------------------------------------
SELECT settle.set_rate('fx', 'CNY', 'USD', 0.1400, '2025-12-01') \g /dev/null
INSERT INTO fx.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('B1', '2025-12-03', 't', 'b', 'm', 8000), ('B2', '2025-12-04', 't', 'b', 'm', 4000);
SELECT settle.run('fx') \g /dev/null
-- 8,000 at 5 % were 56.00, the next 4,000 42.00; alone they are 28.00
DELETE FROM fx.ticket WHERE ticket_id = 'B1';
SELECT settle.run('fx') \g /dev/null
SELECT results_eq($$ SELECT component, payee, amount FROM fx.line_detail WHERE run_id = (SELECT max(run_id) FROM fx.run) AND unit = 'USD' ORDER BY component $$, $$ VALUES
    ('bonus', 'dealer:m', -56.00), ('bonus.fx', 'hq:fx', 2.80), ('bonus.retier', 'dealer:m', -14.00) $$, 'the ticket''s own line has a rate of today; what the tally owes beyond it stands at the rates of its tickets');
SELECT is_empty($$ SELECT * FROM settle.check('fx') $$, 'the tally knows nothing of it');

----------------------------------------------------------------------------------------------------
-- Statements, seals
----------------------------------------------------------------------------------------------------
UPDATE fx.book SET fx_party = 'bank:fx';
UPDATE fx.ticket SET amount = 10000 WHERE ticket_id = 'T1';
SELECT settle.run('fx') \g /dev/null
SELECT settle.close_period('fx', '2025-12-01') \g /dev/null
-- 900 at 10 % are 12.60 USD more, at 0.133 0.63 less
SELECT results_eq($$ SELECT kind, component, tickets, amount FROM fx.statement_item WHERE party = 'bank:fx' $$, $$ VALUES ('correction', 'licence.fx', 0::bigint, -0.63) $$, 'an outside party has it on its statement');
CALL settle.tick('fx');
SELECT is_empty($$ SELECT * FROM settle.verify('fx', settle.anchor('fx')) $$, 'the seals hold');
SELECT is_empty($$ SELECT * FROM settle.check('fx') $$, 'all figures agree at the end');
ALTER TABLE fx.sheet DISABLE TRIGGER USER;
DELETE FROM fx.sheet WHERE ticket_key = 'T1' AND run_id = (SELECT max(run_id) FROM fx.sheet WHERE ticket_key = 'fx ticket T1');
SELECT isnt_empty($$ SELECT * FROM settle.check('fx') WHERE invariant = 'what a correction gains or loses by a rate is of its difference' AND object = 'fx ticket T1' $$, 'a check finds one whose correction is not there');
DROP SCHEMA fx CASCADE;
-- what a line by posting time leaves behind stays in the currency in which the ticket stood
SELECT settle.create_book('left') \g /dev/null
SELECT settle.add_rule('left', 'count', 'count', 'hq', 'staff:{worker}', base => 'amount', tiers => '1% to 100, 2%', accumulate => 'quarter', clock => 'posting');
INSERT INTO "left".ticket (ticket_id, done_at, project, region, worker, amount) SELECT n, '2025-11-05', 'a', 'cn', 'w', 80 FROM generate_series(1, 3) AS n;
SELECT settle.run('left') \g /dev/null
UPDATE "left".ticket SET currency = 'USD' WHERE ticket_id = '1';
SELECT settle.run('left') \g /dev/null
SELECT isnt((SELECT sum(payout) FROM "left".sheet WHERE ticket_key = '1' AND currency = 'CNY'), 0.00, 'the ticket has gone at another price than it came');
SELECT settle.rescan('left') \g /dev/null
SELECT settle.run('left') \g /dev/null
SELECT is((SELECT count(*) FROM "left".sheet WHERE ticket_key = '1'), 3::bigint, 'a ticket that has not changed is not corrected');
UPDATE "left".ticket SET currency = 'CNY' WHERE ticket_id = '1';
SELECT settle.run('left') \g /dev/null
SELECT settle.rescan('left') \g /dev/null
SELECT settle.run('left') \g /dev/null
SELECT bag_eq($$ SELECT currency, sum(payout) FROM "left".sheet GROUP BY 1 $$, $$ SELECT unit, sum(amount) FROM "left".line_detail GROUP BY 1 $$, 'payouts are what the lines say, wherever it has been');
SELECT is_empty($$ SELECT * FROM settle.check('left') $$, 'and the book agrees with itself');

SELECT * FROM finish();
