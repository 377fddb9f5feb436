-- What rules of the source period are for: guarantees, caps, accelerators,
-- bonuses, draws, withholding.  Every figure is worked out beside it by hand.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

SELECT settle.create_book('pay') \g /dev/null
SELECT settle.add_rule('pay', 'install', 'install', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => 'channel IS NULL') \g /dev/null
SELECT settle.add_rule('pay', 'sale', 'sale', 'hq', 'staff:{worker}', base => 'amount', tiers => '1%', applies_when => 'channel = ''shop''') \g /dev/null
SELECT settle.add_rule('pay', 'fast', 'fast', 'hq', 'staff:{worker}', base => '1', applies_when => 'channel IS NULL AND details ->> ''minutes'' <= ''30''', unit => 'COUNT') \g /dev/null
CREATE SEQUENCE pg_temp.ticket_number;
CREATE FUNCTION pg_temp.ticket(done_at timestamptz, worker text, amount numeric, channel text DEFAULT NULL, details jsonb DEFAULT '{"minutes": "45"}') RETURNS text LANGUAGE sql AS $$
	INSERT INTO pay.ticket (ticket_id, done_at, project, region, worker, amount, channel, details)
	VALUES (nextval('pg_temp.ticket_number'), done_at, 'a', 'b', worker, amount, channel, details) RETURNING ticket_id
$$;
-- what the rules of a component gave parties for a period
CREATE FUNCTION pg_temp.given(wanted text, wanted_period date) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(party || ' ' || amount, ', ' ORDER BY party) FROM (
		SELECT x.party, sum(x.amount) AS amount FROM pay.line_detail AS l, LATERAL (VALUES (l.payee, l.amount), (l.payer, -l.amount)) AS x(party, amount)
		WHERE l.source = 'period' AND l.component = wanted AND coalesce(l.corrects_period, l.period) = wanted_period AND x.party LIKE 'staff:%'
		GROUP BY 1 HAVING sum(x.amount) <> 0) AS t
$$;

----------------------------------------------------------------------------------------------------
-- Rules: once a period has closed the base stays as it is, so all stand here
----------------------------------------------------------------------------------------------------
-- 3000 a month at least, by days in force
SELECT settle.add_rule('pay', 'guarantee', 'guarantee', 'hq', '{party}', source => 'period', valid => '(,2023-12-01 00:00+08)',
	base => 'greatest(0, 3000.0 * days_in_force / days - settle.part(earned, ''install'') - settle.part(earned, ''sale''))') \g /dev/null
-- at most 8000 from installs and sales together: a negative line takes the rest back
SELECT settle.add_rule('pay', 'cap', 'cap', 'hq', '{party}', source => 'period', valid => '[2023-12-01 00:00+08, 2024-01-01 00:00+08)',
	base => 'least(0, 8000 - settle.part(earned, ''install'') - settle.part(earned, ''sale''))') \g /dev/null
-- a sales target of the team: below 80 % nothing, then 1, 2 and from 120 % on 4 % of what each has sold himself
SELECT settle.add_decision('pay', 'target') \g /dev/null
SELECT settle.add_outcome('pay', 'target', 'team = ''north''', '200000', source => 'period'), settle.add_outcome('pay', 'target', 'true', '100000', source => 'period') \g /dev/null
SELECT settle.add_rule('pay', 'accelerator', 'accelerator', 'hq', '{party}', source => 'period', valid => '[2023-12-01 00:00+08, 2024-01-01 00:00+08)',
	base => 'settle.part(base, ''sale'')', measure => 'settle.part(team_base, ''sale'') / d.target * 100', tiers => 'volume 0% below 80, 1% below 100, 2% below 120, 4%', accumulate => 'month') \g /dev/null
-- 600 for each team that earned 10,000 or more, in equal parts
SELECT settle.add_rule('pay', 'team', 'team', 'hq', '{party}', source => 'period', valid => '[2023-12-01 00:00+08, 2024-01-01 00:00+08)',
	applies_when => 'settle.part(team_earned, ''install'') + settle.part(team_earned, ''sale'') >= 10000', base => '600.0 / team_size') \g /dev/null
-- 300 where nine of ten installs began within half an hour
SELECT settle.add_rule('pay', 'response', 'response', 'hq', '{party}', source => 'period', valid => '[2023-12-01 00:00+08, 2024-01-01 00:00+08)',
	applies_when => 'settle.part(tickets, ''install'') > 0 AND settle.part(tickets, ''fast'') >= 0.9 * settle.part(tickets, ''install'')', base => '300') \g /dev/null
-- up to 3000 is paid now and recovered from what is earned above it; nothing is left below zero
SELECT settle.add_rule('pay', 'draw', 'draw', 'hq', '{party}', source => 'period', applies_when => 'party = ''staff:dan''', valid => '[2024-01-01 00:00+08, 2024-05-01 00:00+08)',
	base => 'greatest(3000 - settle.part(earned, ''install''), - settle.part(carried, ''draw''))') \g /dev/null
-- a bonus, and a tax on the year's total that takes it in
SELECT settle.add_rule('pay', 'bonus', 'bonus', 'hq', '{party}', source => 'period', applies_when => 'party = ''staff:ann''', base => '500', valid => '[2024-05-01 00:00+08,)') \g /dev/null
SELECT settle.add_rule('pay', 'tax', 'tax', '{party}', 'tax:iit', source => 'period', applies_when => 'party = ''staff:ann''', valid => '[2024-05-01 00:00+08,)',
	base => 'settle.part(earned, ''install'') + c.bonus', tiers => '0% to 5000, 3% to 41000, 10%', accumulate => 'year', clock => 'posting', tally_by => '{party}') \g /dev/null
SELECT settle.add_rule('pay', 'flat', 'flat', 'hq', '{party}', source => 'period', base => '10', valid => '[2024-08-01 00:00+08,)') \g /dev/null

----------------------------------------------------------------------------------------------------
-- The rows
----------------------------------------------------------------------------------------------------
SELECT settle.add_to_roster('pay', 'staff:ann', 'north'), settle.add_to_roster('pay', 'staff:bob', 'north'), settle.add_to_roster('pay', 'staff:cid', 'south', '[2023-01-01,2023-11-16)'),
	settle.add_to_roster('pay', 'staff:cid', 'north', '[2023-11-16,)'), settle.add_to_roster('pay', 'staff:dan', valid => '[2023-11-21,)'), settle.add_to_roster('pay', 'staff:eve', valid => '[2023-12-01,)'), settle.add_to_roster('pay', 'staff:fay', valid => '[2023-12-01,2024-01-01)') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_to_roster('pay', 'staff:ann', 'south', '[2023-06-01,)') $$, '23P01', NULL, 'a party is in one team at a time');
SELECT throws_ok($$ SELECT settle.add_to_roster('pay', 'staff:zoe', 'south', 'empty') $$, '23514', NULL, 'an empty range of days');
SELECT throws_ok($$ SELECT settle.leave_roster('pay', 'staff:zoe', '2023-12-01') $$, 'P0002', 'party "staff:zoe" is not on the roster before and on 2023-12-01');

-- ann: two installs of 10,000, one of them in half an hour; bob: a sale; cid an install; hal is on no roster, nor fay yet, who pays an install back
SELECT pg_temp.ticket('2023-11-03', 'ann', 10000), pg_temp.ticket('2023-11-04', 'ann', 10000, details => '{"minutes": "20"}'), pg_temp.ticket('2023-11-05', 'bob', 50000, 'shop'),
	pg_temp.ticket('2023-11-06', 'cid', 5000), pg_temp.ticket('2023-11-07', 'hal', 1000), pg_temp.ticket('2023-11-08', 'fay', -1000), pg_temp.ticket('2023-12-07', 'ann', 90000) \g /dev/null
SELECT settle.run('pay') \g /dev/null
SELECT settle.refresh_period('pay', '2023-11-01') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', party, days, days_in_force, coalesce(team, '-'), team_size), E'\n' ORDER BY party) FROM pay.party_period),
	E'staff:ann 30 30 north 3\nstaff:bob 30 30 north 3\nstaff:cid 30 30 north 3\nstaff:dan 30 10 - 0', 'a row a party on the roster: its days in force, the team of the last of them');
SELECT is((SELECT string_agg(concat_ws(' ', party, earned, base, tickets), E'\n' ORDER BY party) FROM pay.party_period),
	E'staff:ann {"fast": 0, "install": 2000.00} {"fast": 1, "install": 20000} {"fast": 1, "install": 2}\nstaff:bob {"sale": 500.00} {"sale": 50000} {"sale": 1}\nstaff:cid {"install": 500.00} {"install": 5000} {"install": 1}\nstaff:dan {} {} {}',
	'what it earned, its bases and tickets; money in the currency of the book alone');
SELECT is((SELECT concat_ws(' ', team_earned, team_base, team_tickets) FROM pay.party_period WHERE party = 'staff:cid'),
	'{"fast": 0, "sale": 500.00, "install": 2500.00} {"fast": 1, "sale": 50000, "install": 25000} {"fast": 1, "sale": 1, "install": 3}', 'and the same of its team');
SELECT results_eq($$ SELECT DISTINCT ready_at, period_at, period_end FROM pay.party_period $$, $$ VALUES (NULL::timestamptz, '2023-11-30 15:59:59.999999+00'::timestamptz, '2023-12-01'::date) $$, 'no rule prices it before the period closes');
SELECT is(settle.part('{"a": 1.5}', 'a'), 1.5, 'a part');
SELECT is(settle.part('{"a": 1.5}', 'b'), 0::numeric, 'a part that is not there');
SELECT throws_ok($$ SELECT settle.part('[1]', 'a') $$, '22023', 'settle.part reads an object of numbers, not another json value');
SELECT throws_ok($$ SELECT settle.part('{"a": "1"}', 'a') $$, '22023', '"a" is not a number');

----------------------------------------------------------------------------------------------------
-- A guarantee, by days in force
----------------------------------------------------------------------------------------------------
-- ann 3000 - 2000, bob 3000 - 500, cid 3000 - 500, dan 3000 / 3
SELECT is((SELECT string_agg(concat_ws(' ', party, component, amount, unit), ', ') FROM settle.preview_period('pay', '2023-11-01') WHERE party <> 'hq'),
	'staff:ann guarantee 1000.00 CNY, staff:bob guarantee 2500.00 CNY, staff:cid guarantee 2500.00 CNY, staff:dan guarantee 1000.00 CNY', 'previewed');
SELECT is((SELECT amount FROM settle.preview_period('pay', '2023-11-01') WHERE party = 'hq'), -7000.00, 'with who pays it');
SELECT is((SELECT concat_ws(' ', (SELECT count(*) FROM pay.period), (SELECT count(*) FROM pay.sheet WHERE source_id = 2), (SELECT count(*) FROM pay.party_period WHERE ready_at IS NOT NULL))), '0 0 0', 'which writes nothing');
SELECT is((SELECT string_agg(concat_ws(' ', party, component, amount), ', ') FROM settle.preview_period('pay', '2023-12-01') WHERE party <> 'hq'), 'staff:ann cap -1000.00',
	'a later month, as if those before it were closed');
SELECT settle.close_period('pay', '2023-11-01') \g /dev/null
SELECT is(pg_temp.given('guarantee', '2023-11-01'), 'staff:ann 1000.00, staff:bob 2500.00, staff:cid 2500.00, staff:dan 1000.00', 'and paid when the period closes');
SELECT is_empty($$ SELECT FROM pay.unpaid $$, 'a row that no rule pays is none to worry about');
SELECT throws_ok($$ SELECT * FROM settle.preview_period('pay', '2023-11-01') $$, '55000', 'period 2023-11-01 of book "pay" is closed already');
-- a guarantee does not eat itself
SELECT settle.reopen_period('pay', '2023-11-01', 'to look again') \g /dev/null
SELECT settle.close_period('pay', '2023-11-01') \g /dev/null
SELECT is(pg_temp.given('guarantee', '2023-11-01'), 'staff:ann 1000.00, staff:bob 2500.00, staff:cid 2500.00, staff:dan 1000.00', 'closed twice, the same');
-- dan left later than the roster said; nothing moves by itself
UPDATE pay.roster SET valid = '[2023-11-16,)' WHERE party = 'staff:dan';
SELECT settle.run('pay') \g /dev/null
SELECT is(pg_temp.given('guarantee', '2023-11-01'), 'staff:ann 1000.00, staff:bob 2500.00, staff:cid 2500.00, staff:dan 1000.00', 'a change of the roster does not reach back');
SELECT settle.reopen_period('pay', '2023-11-01', 'dan came earlier') \g /dev/null
SELECT settle.close_period('pay', '2023-11-01') \g /dev/null
SELECT is(pg_temp.given('guarantee', '2023-11-01'), 'staff:ann 1000.00, staff:bob 2500.00, staff:cid 2500.00, staff:dan 1500.00', 'before somebody asks for it');

----------------------------------------------------------------------------------------------------
-- December: a cap over components, an accelerator, bonuses, a draw, a tax
----------------------------------------------------------------------------------------------------
-- ann has 9000 from installs.  bob sells 150,000 and cid 90,000: 120 % of the target; eve does two installs of 1000 in half an hour
SELECT pg_temp.ticket('2023-12-08', 'bob', 150000, 'shop'), pg_temp.ticket('2023-12-09', 'cid', 90000, 'shop'),
	pg_temp.ticket('2023-12-10', 'eve', 1000, details => '{"minutes": "10"}'), pg_temp.ticket('2023-12-11', 'eve', 1000, details => '{"minutes": "30"}') \g /dev/null
SELECT settle.close_period('pay', '2023-12-01') \g /dev/null
SELECT is(pg_temp.given('cap', '2023-12-01'), 'staff:ann -1000.00', 'a cap over components: 8000 - 9000');
SELECT is(pg_temp.given('accelerator', '2023-12-01'), 'staff:bob 6000.00, staff:cid 3600.00', 'an accelerator: 4 % of 150,000 and of 90,000');
SELECT is(pg_temp.given('team', '2023-12-01'), 'staff:ann 200.00, staff:bob 200.00, staff:cid 200.00', 'a bonus of the team: 600 / 3, for 9000 + 1500 + 900');
SELECT is(pg_temp.given('response', '2023-12-01'), 'staff:eve 300.00', 'a bonus for two of two in time');
SELECT is(pg_temp.given('guarantee', '2023-12-01'), NULL, 'the guarantee has ended');
SELECT is((SELECT string_agg(party || ' ' || brought::numeric(9,2), ', ') FROM pay.party_period WHERE brought <> 0), 'staff:fay -100.00', 'what a statement leaves is brought forward');
-- a sale is taken back while the month is open: 115 % of the target
SELECT settle.reopen_period('pay', '2023-12-01', 'a sale was returned') \g /dev/null
UPDATE pay.ticket SET amount = 80000 WHERE amount = 90000 AND channel = 'shop';
SELECT settle.close_period('pay', '2023-12-01') \g /dev/null
SELECT is(pg_temp.given('accelerator', '2023-12-01'), 'staff:bob 3000.00, staff:cid 1600.00', 'the accelerator is one step lower for all: 2 % of 150,000 and of 80,000');

----------------------------------------------------------------------------------------------------
-- A draw: up to 3000 is paid now and recovered from what is earned above it
----------------------------------------------------------------------------------------------------
-- 1000, 4200, 5500 and 9000 earned
SELECT pg_temp.ticket('2024-01-08', 'dan', 10000), pg_temp.ticket('2024-02-08', 'dan', 42000), pg_temp.ticket('2024-03-08', 'dan', 55000), pg_temp.ticket('2024-04-08', 'dan', 90000) \g /dev/null
SELECT settle.close_period('pay', p::date) FROM generate_series('2024-01-01'::date, '2024-04-01', '1 month') AS p \g /dev/null
SELECT is(pg_temp.given('draw', '2024-01-01'), 'staff:dan 2000.00', 'January: 3000 - 1000 is drawn');
SELECT is(pg_temp.given('draw', '2024-02-01'), 'staff:dan -1200.00', 'February: what is above 3000 goes back');
SELECT is(pg_temp.given('draw', '2024-03-01'), 'staff:dan -800.00', 'March: no more than is left of the draw');
SELECT is(pg_temp.given('draw', '2024-04-01'), NULL, 'April: nothing is left');
SELECT is((SELECT string_agg(carried::text, ' ' ORDER BY period) FROM pay.party_period WHERE party = 'staff:dan' AND period >= '2024-01-01'),
	'{"guarantee": 1500.00} {"draw": 2000.00, "guarantee": 1500.00} {"draw": 800.00, "guarantee": 1500.00} {"guarantee": 1500.00}', 'what rules of the source gave for earlier months is carried');

----------------------------------------------------------------------------------------------------
-- Withholding: what is declared is declared
----------------------------------------------------------------------------------------------------
-- 4500 + 500: nothing; 20,000 + 500 more: 3 % of 20,500; 30,000 + 500 more: 3 % of 15,500 and 10 % of 15,000
SELECT pg_temp.ticket('2024-05-08', 'ann', 45000), pg_temp.ticket('2024-06-08', 'ann', 200000), pg_temp.ticket('2024-07-08', 'ann', 300000) \g /dev/null
SELECT settle.close_period('pay', p::date) FROM generate_series('2024-05-01'::date, '2024-07-01', '1 month') AS p \g /dev/null
SELECT is(concat_ws(' ', coalesce(pg_temp.given('tax', '2024-05-01'), '0'), pg_temp.given('tax', '2024-06-01'), pg_temp.given('tax', '2024-07-01')),
	'0 staff:ann -615.00 staff:ann -1965.00', 'a tax on the year''s total, of what was earned and of the bonus of the same period');
SELECT is((SELECT concat_ws(' ', owner, period, quantity::int, amount) FROM pay.tally WHERE rule_code = 'tax'), format('staff:ann %s 56000 2580.00', date_trunc('year', now())::date), 'in the year in which it is posted');

SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- What settle.check sees
----------------------------------------------------------------------------------------------------
BEGIN;
UPDATE pay.party_period SET earned = '{"install": 1}' WHERE party = 'staff:eve' AND period = '2023-12-01';
SELECT is((SELECT object || ': ' || detail FROM settle.check('pay') WHERE invariant = 'what the rows of closed periods say was earned equals the lines'),
	'staff:eve 2023-12-01: row {"install": 1} {"fast": 2, "install": 2000} {"fast": 2, "install": 2}, lines {"fast": 0, "install": 200.00} {"fast": 2, "install": 2000} {"fast": 2, "install": 2}',
	'a row that does not agree with the lines');
ROLLBACK;
-- a row that goes takes its lines back
SELECT settle.leave_roster('pay', 'staff:ann', '2024-08-01') \g /dev/null
SELECT settle.close_period('pay', '2024-08-01') \g /dev/null
SELECT is((SELECT count(*) FROM pay.party_period WHERE party = 'staff:ann' AND period = '2024-08-01'), 0::bigint, 'who has left the roster has no row');
SELECT settle.reopen_period('pay', '2024-08-01', 'eve was never there') \g /dev/null
SELECT settle.rescan('pay', source => 'period') \g /dev/null
SELECT is((SELECT concat_ws(' ', lines, corrections) FROM settle.run('pay')), '0 0', 'rows of an open period that did not change give nothing');
SELECT is(pg_temp.given('flat', '2024-08-01'), 'staff:bob 10.00, staff:cid 10.00, staff:dan 10.00, staff:eve 10.00', 'what was paid stays until the period closes again');
DELETE FROM pay.roster WHERE party = 'staff:eve';
SELECT settle.close_period('pay', '2024-08-01') \g /dev/null
SELECT is(pg_temp.given('flat', '2024-08-01'), 'staff:bob 10.00, staff:cid 10.00, staff:dan 10.00', 'who never was on it gives his lines back');
SELECT is_empty($$ SELECT * FROM settle.check('pay') $$, 'the book agrees with itself');

SELECT * FROM finish();
