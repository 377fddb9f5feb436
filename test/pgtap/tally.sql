-- Tallies: whose they are, what moves along the tiers, in which period they
-- stand, and where the rest of their change goes.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
CREATE SCHEMA tally;
CREATE FUNCTION tally.lines(book name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT string_agg(concat_ws('' '', k, component, payer, payee, amount, period), E''\n'' ORDER BY k COLLATE "C", component, payee, period) FROM
        (SELECT CASE WHEN source = ''tally'' THEN ''tally'' ELSE ticket_key END AS k, component, payer, payee, sum(amount) AS amount, period FROM %I.line_detail WHERE rule_code = $1 GROUP BY 1, 2, 3, 4, 6 HAVING sum(amount) <> 0) AS l', book)
    INTO result USING rule;
    RETURN result;
END $$;
CREATE FUNCTION tally.ticket(book name, id text, done_at timestamptz, worker text, amount numeric, dealer text DEFAULT 'd') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES ($1, $2, ''a'', ''b'', $3, $4, $5)', book) USING id, done_at, worker, dealer, amount;
END $$;

----------------------------------------------------------------------------------------------------
-- Owners and payees
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('owner') \g /dev/null
UPDATE owner.source SET on_delete = 'reverse';
SELECT settle.add_rule('owner', 'own', 'own', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% to 1000, 10%', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('owner', 'shop', 'shop', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% to 1000, 10%', accumulate => 'month', tally_by => 'store:{dealer}') \g /dev/null
SELECT settle.add_rule('owner', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'amount', tiers => 'volume 1% to 1000, 10%', accumulate => 'month', tally_by => 'staff:{worker}') \g /dev/null
SELECT settle.add_rule('owner', 'pair', 'pair', 'hq', payees => $$ array['staff:' || worker, 'pool'] $$, base => 'amount', tiers => 'volume 1% to 1000, 10%', accumulate => 'month') \g /dev/null
SELECT tally.ticket('owner', '1', '2025-11-03', 'w', 800), tally.ticket('owner', '2', '2025-11-04', 'v', 800), tally.ticket('owner', '3', '2025-11-05', 'w', 900) \g /dev/null
SELECT settle.run('owner') \g /dev/null
SELECT is(tally.lines('owner', 'own'), E'1 own hq staff:w 8.00 2025-11-01\n2 own hq staff:v 8.00 2025-11-01\n3 own hq staff:w 162.00 2025-11-01', 'each payee has his own tally');
SELECT is(tally.lines('owner', 'shop'), E'1 shop hq staff:w 8.00 2025-11-01\n2 shop hq staff:v 152.00 2025-11-01\n3 shop hq staff:w 90.00 2025-11-01', 'two payees share a tally of the store');
SELECT is(tally.lines('owner', 'tax'), E'1 tax staff:w tax:iit 8.00 2025-11-01\n2 tax staff:v tax:iit 8.00 2025-11-01\n3 tax staff:w tax:iit 162.00 2025-11-01', 'a withholding adds up by payer');
SELECT is(tally.lines('owner', 'pair'), E'1 pair hq pool 4.00 2025-11-01\n1 pair hq staff:w 4.00 2025-11-01\n2 pair hq pool 4.00 2025-11-01\n2 pair hq staff:v 4.00 2025-11-01\n3 pair hq pool 117.00 2025-11-01\n3 pair hq staff:w 4.50 2025-11-01',
    'each party''s tally gets its part of the base');
DELETE FROM owner.ticket WHERE ticket_id = '3';
SELECT settle.run('owner') \g /dev/null
SELECT is(tally.lines('owner', 'own'), E'1 own hq staff:w 8.00 2025-11-01\n2 own hq staff:v 8.00 2025-11-01', 'the last ticket leaves: nothing is left over');
DELETE FROM owner.ticket WHERE ticket_id = '1';
SELECT tally.ticket('owner', '4', '2025-11-04', 'w', 100) \g /dev/null
SELECT settle.run('owner') \g /dev/null
SELECT is(tally.lines('owner', 'shop'), E'2 shop hq staff:v 152.00 2025-11-01\n4 shop hq staff:w 1.00 2025-11-01\ntally shop.retier hq store:d -144.00 2025-11-01', 'the rest of a shared tally goes to its owner');
SELECT tally.ticket('owner', '5', '2025-11-06', 'w', 950) \g /dev/null
SELECT settle.run('owner') \g /dev/null
DELETE FROM owner.ticket WHERE ticket_id = '4';
SELECT settle.run('owner') \g /dev/null
SELECT is(tally.lines('owner', 'tax'), E'2 tax staff:v tax:iit 8.00 2025-11-01\n5 tax staff:w tax:iit 104.00 2025-11-01\ntally tax.retier staff:w tax:iit -94.50 2025-11-01', 'the rest of a withholding goes back from the tax office');
SELECT is((SELECT sum(amount) FROM owner.line_detail WHERE payer = payee), NULL, 'nobody pays himself');
SELECT is((SELECT count(*) FROM settle.check('owner')), 0::bigint, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- Periods
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('span', period => 'quarter') \g /dev/null
UPDATE span.source SET on_delete = 'reverse';
SELECT settle.add_rule('span', s, s, 'hq', 'p', base => 'amount', tiers => 'volume 1% to 1000, 10%', accumulate => s) FROM unnest('{day,week,month,quarter,year,ever}'::text[]) AS s \g /dev/null
-- a Sunday and the Monday after it, the last of a year and the first; each a minute from midnight in Shanghai
SELECT tally.ticket('span', '1', '2025-11-02 23:59+08', 'w', 600), tally.ticket('span', '2', '2025-11-03 00:01+08', 'w', 600), tally.ticket('span', '3', '2025-12-31 23:59+08', 'w', 600), tally.ticket('span', '4', '2026-01-01 00:01+08', 'w', 600) \g /dev/null
SELECT settle.run('span') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', rule_code, period, tickets, amount), E'\n' ORDER BY array_position('{day,week,month,quarter,year,ever}', rule_code), period) FROM span.tally), E'day 2025-11-02 1 6.00
day 2025-11-03 1 6.00
day 2025-12-31 1 6.00
day 2026-01-01 1 6.00
week 2025-10-27 1 6.00
week 2025-11-03 1 6.00
week 2025-12-29 2 120.00
month 2025-11-01 2 120.00
month 2025-12-01 1 6.00
month 2026-01-01 1 6.00
quarter 2025-10-01 3 180.00
quarter 2026-01-01 1 6.00
year 2025-01-01 3 180.00
year 2026-01-01 1 6.00
ever -infinity 4 240.00', 'days, weeks from Monday, months, quarters, years begin at midnight of book time');
DELETE FROM span.ticket WHERE ticket_id = '2';
SELECT settle.run('span') \g /dev/null
SELECT is((SELECT string_agg(DISTINCT period::text, ' ') FROM span.line_detail), '2025-10-01 2026-01-01', 'every line stands in a period of the book, the rest of a tally in that of the tickets that moved');
SELECT is((SELECT count(*) FROM settle.check('span')), 0::bigint, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- What moves along the tiers, and by which clock
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('clock') \g /dev/null
UPDATE clock.source SET on_delete = 'reverse';
SELECT settle.add_rule('clock', 'count', 'count', 'hq', 'staff:{worker}', base => 'amount', measure => '1', tiers => 'volume 10% to 2, 12%', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('clock', 'late', 'late', 'staff:{worker}', 'tax:iit', base => 'amount', tiers => '1% to 1000, 10%', accumulate => 'month', tally_by => 'staff:{worker}', clock => 'posting') \g /dev/null
SELECT tally.ticket('clock', '1', '2025-11-03', 'w', 100), tally.ticket('clock', '2', '2025-11-04', 'w', 200), tally.ticket('clock', '3', '2025-11-05', 'w', 300) \g /dev/null
SELECT settle.run('clock') \g /dev/null
SELECT is((SELECT sum(amount) FROM clock.line_detail WHERE rule_code = 'count'), 72.00, 'the third ticket of a month raises the rate of all: 12 % of 600');
SELECT is((SELECT amount FROM clock.tally WHERE rule_code = 'late' AND period = date_trunc('month', now() AT TIME ZONE 'Asia/Shanghai')::date), 6.00, 'by posting time November''s tickets stand in this month');
DELETE FROM clock.ticket WHERE ticket_id = '1';
UPDATE clock.ticket SET amount = 1200 WHERE ticket_id = '2';
SELECT settle.run('clock') \g /dev/null
SELECT is((SELECT sum(amount) FROM clock.line_detail WHERE rule_code = 'count'), 150.00, 'two tickets: 10 % of 1,500');
SELECT is((SELECT sum(amount) FROM clock.line_detail WHERE rule_code = 'late'), 60.00, '10 + 10 % of what is over 1,000');
SELECT is((SELECT count(*) FROM settle.check('clock')), 0::bigint, 'the book agrees with itself');
SELECT throws_ok(format($$ SELECT settle.add_rule('clock', 'x', 'x', 'hq', 'p', base => '1', %s) $$, arguments), '22023', message, arguments) FROM (VALUES
    ($$ measure => '1' $$, 'rule "x" has measure and does not accumulate'), ($$ clock => 'posting' $$, 'rule "x" has clock and does not accumulate'),
    ($$ measure => '1', accumulate => 'month', tiers => '5% to 10, 6%' $$, 'rule "x" has a measure and tiers that are not volume rates'),
    ($$ clock => 'noon', accumulate => 'month' $$, 'unknown clock "noon"'),
    ($$ tally_by => 'store:{dealer}' $$, 'rule "x" has tally_by and does not accumulate')) AS v(arguments, message);

----------------------------------------------------------------------------------------------------
-- Flat amounts, floors, empty tallies, factors that cancel
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('edge') \g /dev/null
UPDATE edge.source SET on_delete = 'reverse';
SELECT settle.add_decision('edge', 'f', fallback => '1'), settle.add_outcome('edge', 'f', $$ worker = 'minus' $$, '-1') \g /dev/null
SELECT settle.add_rule('edge', 'floor', 'floor', 'hq', 'p:{worker}', base => 'amount', tiers => '5%; min 30; max 100', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('edge', 'flat', 'flat', 'hq', 'p:{worker}', base => 'amount', tiers => '5% + 20 flat to 100, 1% + 7 flat', accumulate => 'month') \g /dev/null
SELECT settle.add_rule('edge', 'sign', 'sign', 'hq', 'p', base => 'amount', tiers => '5% to 100, 10%', accumulate => 'month', factors => '{f}') \g /dev/null
SELECT tally.ticket('edge', '1', '2025-11-03', 'a', 10), tally.ticket('edge', '2', '2025-11-04', 'a', 3000), tally.ticket('edge', '3', '2025-11-05', 'b', 0), tally.ticket('edge', '4', '2025-11-06', 'minus', 3010) \g /dev/null
SELECT settle.run('edge') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', rule_code, owner, amount), ', ' ORDER BY rule_code, owner) FROM edge.tally),
    'flat p:a 61.10, flat p:b 0.00, flat p:minus 61.10, floor p:a 100.00, floor p:b 0.00, floor p:minus 100.00, sign p 0.00', 'caps of the total, nothing for a quantity of nothing, signs that cancel');
SELECT is(tally.lines('edge', 'floor'), E'1 floor hq p:a 30.00 2025-11-01\n2 floor hq p:a 70.00 2025-11-01\n3 floor hq p:b 30.00 2025-11-01\n4 floor hq p:minus 100.00 2025-11-01\ntally floor.retier hq p:b -30.00 2025-11-01', 'a floor is owed from the first quantity on');
DELETE FROM edge.ticket;
SELECT settle.run('edge') \g /dev/null
SELECT is((SELECT sum(abs(amount)) FROM (SELECT sum(amount) AS amount FROM edge.line_detail GROUP BY rule_code, payee) AS l), 0.00, 'all gone: nobody has anything');
SELECT is((SELECT count(*) FROM settle.check('edge')), 0::bigint, 'the book agrees with itself');

SELECT * FROM finish();
