-- What a line pays, against numeric: amounts of all sizes and places, rates, tiers,
-- factors and roundings drawn at random, of which most are priced in numbers of
-- 64 bits and the others are not.
\set ON_ERROR_STOP on
\pset pager off
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;

SELECT plan(4);

SELECT setseed(0.125) \g /dev/null
CREATE FUNCTION draw(n int) RETURNS int LANGUAGE sql VOLATILE RETURN floor(random() * n)::int;
-- a number of at most so many digits, of which some are places
CREATE FUNCTION number(digits int, places int) RETURNS numeric LANGUAGE sql VOLATILE
RETURN trunc(random()::numeric * 10::numeric ^ digits) * 10::numeric ^ (-places);

CREATE TABLE sale (id int PRIMARY KEY, done_at timestamptz NOT NULL, amount numeric NOT NULL);
INSERT INTO sale
SELECT i, timestamptz '2025-11-01 00:00+00', CASE draw(20) WHEN 0 THEN 0 WHEN 1 THEN 0.005 ELSE CASE draw(3) WHEN 0 THEN -1 ELSE 1 END * number(1 + least(draw(14), 13), draw(10)) END
FROM generate_series(1, 600) AS i;

SELECT settle.create_book('price', time_zone => 'UTC', currency => 'CNY') \g /dev/null
SELECT settle.add_source('price', 'sale', 'sale', key => 'id', ready_at => 'done_at', revenue => 'amount') \g /dev/null
SELECT settle.add_decision('price', 'place', 'first', fallback => '1.05') \g /dev/null
SELECT settle.add_decision('price', 'season', 'first', fallback => '0.123456789012') \g /dev/null
CREATE TABLE drawn AS
SELECT n, n % 3 AS kind, round(random()::numeric, 2 + draw(8)) AS rate, number(4, 4) AS rate_above, number(3, 1) + 1 AS bound,
	1 + draw(50) AS most, draw(3) AS factors, (ARRAY[100, 100, 10, 20])[1 + draw(4)] AS pieces
FROM generate_series(1, 90) AS n;
INSERT INTO price.rule (code, component, choice, source, payer, payee, base, tiers, factors, rounding)
SELECT 'r' || n, 'pay', 'all', 'sale', 'hq', 'staff:1', 'amount',
	(CASE kind WHEN 0 THEN trim_scale(rate * 100) || '%'
		ELSE format('%s%% to %s, %s%%', trim_scale(rate * 100), bound, trim_scale(rate_above * 100)) || CASE kind WHEN 2 THEN '; max ' || most ELSE '' END END)::settle.tiers,
	(ARRAY['place', 'season'])[1:factors], format('half_up %s', trim_scale(1.0 / pieces))
FROM drawn;

CREATE TABLE got AS
SELECT s.id, substr(l.rule, 2)::int AS n, l.amount
FROM sale AS s CROSS JOIN LATERAL settle.unnest(settle.evaluate((SELECT settle.rules('price')), s, source => 'sale')) AS l;
CREATE TABLE wanted AS
SELECT s.id, d.n, round(exact * pieces) / pieces AS amount, exact
FROM sale AS s CROSS JOIN drawn AS d
CROSS JOIN LATERAL (SELECT CASE kind WHEN 0 THEN amount * rate
	ELSE sign(amount) * least(least(abs(amount), bound) * rate + greatest(abs(amount) - bound, 0) * rate_above, CASE kind WHEN 2 THEN most END) END AS fee) AS f
CROSS JOIN LATERAL (SELECT fee * (ARRAY[1, 1.05, 1.05 * 0.123456789012])[1 + factors] AS exact) AS e;

SELECT is((SELECT count(*) FROM got), 600 * 90::bigint, 'every rule pays every sale');
SELECT is_empty('SELECT * FROM got JOIN wanted AS w USING (id, n) WHERE got.amount <> w.amount', 'what numeric says, rounded once');
SELECT cmp_ok((SELECT count(*) FROM wanted WHERE abs(exact) * 10::numeric ^ min_scale(exact) < 9e18), '>', 20000::bigint, 'most fit 64 bits');
SELECT cmp_ok((SELECT count(*) FROM wanted WHERE abs(exact) * 10::numeric ^ min_scale(exact) > 1e19), '>', 2000::bigint, 'and many do not');

SELECT finish();
