-- The oracle is trusted by the other tests, so it is itself held against figures worked out by hand.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
BEGIN;
\ir ../oracle/oracle.sql
SELECT plan(9);

INSERT INTO oracle.setting VALUES ('Asia/Shanghai');
INSERT INTO oracle.rule (rule, code, component, valid_from, valid_until, payee_kind, payee_key, base, mode, decisions, accumulates) VALUES
	(1, 'a', 'a', '-infinity', '2025-11-15 00:00+08', 'staff', 'worker', 'amount', 'graduated', '{region}', true),
	(2, 'a', 'a', '2025-11-15 00:00+08', 'infinity', 'staff', 'worker', 'amount', 'volume', '{region}', true),
	(3, 'b', 'b', '-infinity', 'infinity', 'hq', NULL, 'amount', 'graduated', '{}', false);
INSERT INTO oracle.tier (rule, step, upper, inclusive, rate, flat) VALUES
	(1, 1, 100, true, 0.1, 2), (1, 2, 200, false, 0, 5), (1, 3, NULL, true, 0.2, 0),
	(2, 1, 100, true, 0.1, 2), (2, 2, 200, false, 0.05, 0), (2, 3, NULL, true, 0.2, 7),
	(3, 1, NULL, true, 0.5, 0);
INSERT INTO oracle.condition VALUES (3, 'region', 'under', 'cn.north');
INSERT INTO oracle.outcome VALUES
	('region', 1, 'region', 'under', 'cn.north', 1.5), ('region', 2, NULL, NULL, NULL, 1);

-- graduated: 0.1 each and 2 to 100; 5 below 200; 0.2 each above
SELECT results_eq(
	'SELECT q, f.fee FROM unnest(ARRAY[0, 0.01, 100, 100.01, 199.99, 200, 210, -210]) AS q CROSS JOIN LATERAL oracle.fee(1, q) AS f',
	'VALUES (0::numeric, 0::numeric), (0.01, 2.001), (100, 12), (100.01, 17), (199.99, 17), (200, 17), (210, 19), (-210, -19)',
	'graduated fees around their bounds');
-- volume: the tier reached prices the whole
SELECT results_eq(
	'SELECT q, f.fee, f.unit_price FROM unnest(ARRAY[0, 100, 100.2, 200, -200]) AS q CROSS JOIN LATERAL oracle.fee(2, q) AS f',
	'VALUES (0::numeric, 0::numeric, 0.1::numeric), (100, 12, 0.1), (100.2, 5.01, 0.05), (200, 47, 0.2), (-200, -47, 0.2)',
	'volume fees around their bounds');

SELECT results_eq(
	'SELECT n, d, oracle.cents(n, d) FROM (VALUES (1.005, 1), (-1.005, 1), (2.01, 2), (1, 3), (-2, 3), (0, 7)) AS v (n, d)',
	'VALUES (1.005, 1, 1.01), (-1.005, 1, -1.01), (2.01, 2, 1.01), (1, 3, 0.33), (-2, 3, -0.67), (0, 7, 0.00)',
	'cents are rounded half away from zero, exactly');
SELECT is((SELECT c[1] / c[2] FROM (SELECT oracle.sum_fraction(1, n) AS c FROM unnest('{2,3,6}'::numeric[]) AS n) AS s), 1::numeric,
	'a half, a third and a sixth are one');

INSERT INTO oracle.ticket VALUES
	-- one version, two factors: 60 at 1.5 and 60 at 1; F(120) = 17, C = 17 * 150 / 120 = 21.25
	('1', '2025-11-02 00:00+08', '{"worker":1,"region":"cn.north.bj","amount":60}'),
	('2', '2025-11-03 00:00+08', '{"worker":1,"region":"cn.east","amount":60}'),
	-- two versions: C = 12 * 150 / 100, and F2(150) - F2(100) = 7.5 - 12 for 50 at 1
	('3', '2025-11-02 00:00+08', '{"worker":2,"region":"cn.north","amount":100}'),
	('4', '2025-11-20 00:00+08', '{"worker":2,"region":"us","amount":50}'),
	-- base zero, not empty: the first tier's 0.1 times 80 * 1.5 - 80
	('5', '2025-11-02 00:00+08', '{"worker":3,"region":"cn.north","amount":80}'),
	('6', '2025-11-03 00:00+08', '{"worker":3,"region":"us","amount":-80}'),
	-- the last moment of November and the first of December in Shanghai
	('7', '2025-11-30 15:59:59.999999+00', '{"worker":4,"region":"cn.northern","amount":10}'),
	('8', '2025-11-30 16:00+00', '{"worker":4,"region":"cn.northern","amount":10}');

REFRESH MATERIALIZED VIEW oracle.hit;
SELECT results_eq(
	'SELECT code, payee, month, n::int, versions::int, amount FROM oracle.tally ORDER BY payee, month',
	$$VALUES ('a', 'staff:1', '2025-11', 2, 1, 21.25), ('a', 'staff:2', '2025-11', 2, 2, 13.50),
		('a', 'staff:3', '2025-11', 2, 1, 4.00), ('a', 'staff:4', '2025-11', 1, 1, 3.00), ('a', 'staff:4', '2025-12', 1, 1, 3.00)$$,
	'tallies of one version, two versions, base zero, two months');
-- ticket 2 comes on top of 60 at 1.5: G = 8 * 1.5 = 12, m = F(120) - F(60) = 9
SELECT results_eq(
	$$SELECT key, amount FROM oracle.arrival WHERE key IN ('1', '2', '3', '4', '6') ORDER BY key$$,
	$$VALUES ('1', 12.00), ('2', 9.00), ('3', 18.00), ('4', -4.50), ('6', -10.00)$$,
	'lines on arrival');
SELECT results_eq(
	'SELECT key, payee, amount FROM oracle.line ORDER BY key',
	$$VALUES ('1', 'hq', 30.00), ('3', 'hq', 50.00), ('5', 'hq', 40.00)$$,
	'ordinary lines, and a path is not a prefix');
SELECT is((SELECT count(*) FROM oracle.hit), 11::bigint, 'every ticket meets one version of each rule that applies');
DELETE FROM oracle.ticket;
REFRESH MATERIALIZED VIEW oracle.hit;
SELECT is_empty('SELECT * FROM oracle.tally', 'no ticket, no tally');

SELECT * FROM finish();
ROLLBACK;
