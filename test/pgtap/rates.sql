-- Rates between currencies: what converts, at which day's rate, and what is
-- refused.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT no_plan();

SELECT settle.create_book('shop', time_zone => 'UTC') \g /dev/null
SELECT settle.add_rule('shop', 'usd', 'usd', 'hq', 'dealer:us', base => 'amount', tiers => '10%', unit => 'USD') \g /dev/null
SELECT settle.add_rule('shop', 'jpy', 'jpy', 'hq', 'dealer:jp', base => 'amount', tiers => '10%', unit => 'JPY', applies_when => 'rush', at_least => '150') \g /dev/null
SELECT settle.add_rule('shop', 'points', 'points', 'hq', 'customer:{customer}', base => 'amount', unit => 'POINTS', rounding => 'down 1') \g /dev/null
SELECT settle.add_rule('shop', 'tally', 'tally', 'hq', 'staff:{worker}', base => 'amount', tiers => '10% to 1000, 20%', unit => 'USD', accumulate => 'month') \g /dev/null
SELECT settle.set_rate('shop', 'CNY', 'USD', 0.14, '2025-01-01') \g /dev/null
SELECT settle.set_rate('shop', 'CNY', 'JPY', 20.125, '2025-01-01') \g /dev/null

----------------------------------------------------------------------------------------------------
-- set_rate
----------------------------------------------------------------------------------------------------
SELECT settle.set_rate('shop', 'CNY', 'USD', 0.15, '2025-03-01') \g /dev/null
SELECT settle.set_rate('shop', 'CNY', 'USD', 0.145, '2025-02-01') \g /dev/null
SELECT results_eq($$ SELECT valid, rate FROM shop.rate WHERE to_unit = 'USD' ORDER BY valid $$,
    $$ VALUES ('[2025-01-01,2025-02-01)'::tstzrange, 0.14), ('[2025-02-01,2025-03-01)', 0.145), ('[2025-03-01,)', 0.15) $$, 'each rate ends the one before it, and one between two ends with the next');
SELECT throws_ok($$ SELECT settle.set_rate('shop', 'CNY', 'USD', 0.2, '2025-03-01') $$, '23505', 'a rate from "CNY" to "USD" begins at 2025-03-01 00:00:00+00 already', 'a rate is not replaced in silence');
SELECT throws_ok($$ SELECT settle.set_rate('shop', 'CNY', 'CNY', 1) $$, '22023', 'a rate from "CNY" to itself is always 1', 'a unit and itself');
SELECT throws_ok($$ SELECT settle.set_rate('shop', 'CNY', 'usd', 1) $$, '22023', '"usd" is not a currency code', 'no code');
SELECT throws_ok($$ SELECT settle.set_rate('shop', 'CNY', 'EUR', '$$ || v || $$') $$, '22003', 'a rate must be positive, not ' || v, v || ' as a rate') FROM unnest('{0,-1,NaN}'::numeric[]) AS v;
SELECT throws_ok($$ SELECT settle.set_rate('shop', 'CNY', 'EUR', 1, 'infinity') $$, '22008', NULL, 'a rate that never begins');
SELECT throws_ok($$ INSERT INTO shop.rate VALUES ('CNY', 'USD', '[2025-05-01,2025-06-01)', 1) $$, '23P01', NULL, 'two rates at a time');
SELECT throws_ok($$ INSERT INTO shop.rate VALUES ('CNY', 'EUR', '(,)', 'Infinity') $$, '23514', NULL, 'a rate without end');

----------------------------------------------------------------------------------------------------
-- What converts
----------------------------------------------------------------------------------------------------
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, customer, amount, rush, currency) VALUES
    ('a', '2025-01-31 23:59:59+00', 'p', 'r', 'w', 'c', 600, false, NULL),
    ('b', '2025-02-01', 'p', 'r', 'w', 'c', 600.50, true, NULL),
    ('c', '2025-02-02', 'p', 'r', 'w', 'c', 600, false, 'USD'),
    ('d', '2025-02-03', 'p', 'r', 'w', 'c', 600, true, NULL),
    ('e', '2024-12-31 23:59:59+00', 'p', 'r', 'w', 'c', 600, false, NULL),
    ('f', '2025-02-01', 'p', 'r', 'w', 'c', 600, false, 'EUR');
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT ticket_key, component, trim_scale(base), trim_scale(factor), amount, unit FROM shop.line_detail WHERE component !~ '^tally' ORDER BY 1, 2 $$,
    $$ VALUES ('a', 'points', 600.0, 1.0, 600.00, 'POINTS'), ('a', 'usd', 600, 0.14, 8.40, 'USD'),
              ('b', 'jpy', 600.5, 20.125, 1209, 'JPY'), ('b', 'points', 600.5, 1, 600, 'POINTS'), ('b', 'usd', 600.5, 0.145, 8.71, 'USD'),
              ('c', 'points', 600, 1, 600, 'POINTS'), ('c', 'usd', 600, 1, 60, 'USD'),
              ('d', 'jpy', 600, 20.125, 1208, 'JPY'), ('d', 'points', 600, 1, 600, 'POINTS'), ('d', 'usd', 600, 0.145, 8.70, 'USD') $$,
    'the rate of the ticket''s own time is a factor; points and the same currency take the base as it is');
SELECT results_eq($$ SELECT round(sum(factor * base), 9), sum(amount) FROM shop.line_detail WHERE (component = 'tally' AND ticket_time >= '2025-02-01') OR component = 'tally.retier' $$,
    $$ SELECT round(w, 9), round((100 + 800.50 * 0.20) * w / 1800.50, 2) FROM (VALUES (600.50 * 0.145 + 600 + 600 * 0.145)) AS v(w) $$, 'in a tally it weighs the base, whose tiers are in the ticket''s currency');
SELECT results_eq($$ SELECT ticket_key, rule_code, sqlstate, message FROM shop.problem ORDER BY 1 $$,
    $$ VALUES ('e', 'tally', 'ST008', 'no rate from "CNY" to "USD" at 2024-12-31 23:59:59+00'), ('f', 'tally', 'ST008', 'no rate from "EUR" to "USD" at 2025-02-01 00:00:00+00') $$,
    'a day without a rate, and a currency without one, are problems');
SELECT is((SELECT inputs -> 'f' ->> 'CNY/USD' FROM shop.sheet_inputs WHERE ticket_key = 'b'), '0.145', 'the rate is kept among the inputs');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all agrees');

-- the rate of the other direction is not guessed
SELECT settle.set_rate('shop', 'USD', 'EUR', 0.9, '2025-01-01') \g /dev/null
UPDATE shop.ticket SET amount = 601 WHERE ticket_id = 'f';
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT sqlstate FROM shop.problem WHERE ticket_key = 'f'), 'ST008', 'not one over it');
SELECT settle.set_rate('shop', 'EUR', 'USD', 1.1, '2025-01-01') \g /dev/null
UPDATE shop.ticket SET amount = 602 WHERE ticket_id = 'f';
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT sum(amount) FROM shop.line_detail WHERE ticket_key = 'f' AND component = 'usd'), 66.22, 'the rate that was set');

----------------------------------------------------------------------------------------------------
-- A correction is priced with the rate of the ticket's own time
----------------------------------------------------------------------------------------------------
UPDATE shop.ticket SET amount = 1200 WHERE ticket_id = 'a';
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT trim_scale(factor), sum(amount) FROM shop.line_detail WHERE ticket_key = 'a' AND component = 'usd' GROUP BY 1 $$, $$ VALUES (0.14, 16.80) $$,
    'a correction keeps the rate of the ticket''s time');
-- what changes in the rates re-prices nothing until a rescan
UPDATE shop.rate SET rate = 0.16 WHERE rate = 0.145;
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT sum(amount) FROM shop.line_detail WHERE ticket_key = 'd' AND component = 'usd'), 8.70, 'a mended rate waits');
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT sum(amount) FROM shop.line_detail WHERE ticket_key = 'd' AND component = 'usd'), 9.60, 'for a rescan');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all agrees after it');
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'and is computed again from what was kept');

-- settle.evaluate is given its rates
SELECT is(u.amount, 12.00, 'a given rate') FROM shop.ticket AS t, settle.unnest(settle.evaluate(settle.rules('shop'), t, facts => '{"CNY/USD": 0.1}')) AS u WHERE ticket_id = 'a' AND component = 'usd';
SELECT throws_ok($$ SELECT settle.evaluate(settle.rules('shop'), t) FROM shop.ticket AS t WHERE ticket_id = 'a' $$, 'ST008', NULL, 'and refuses to guess one');

-- who may set one
CREATE ROLE rates_nobody;
SET ROLE rates_nobody;
SELECT throws_ok($$ SELECT settle.set_rate('shop', 'CNY', 'EUR', 1) $$, '42501', NULL, 'not anybody');
RESET ROLE;
DROP ROLE rates_nobody;

SELECT * FROM finish();
