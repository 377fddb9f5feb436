-- Exact decimals, rounding, allocation, withholding: properties and errors.
BEGIN;
SELECT plan(44);

------------------------------------------------------------------------------
-- decimals
------------------------------------------------------------------------------
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS seed \gset
SELECT diag('seed ' || :seed);
SELECT setseed((:seed % 1000000) / 1000000.0);
-- each pair goes through reading, writing, sum, difference, product, comparison and four roundings
SELECT cmp_ok(settle._amount_selftest(:seed, 1000000), '>', 250000::bigint,
    'fixed point equals numeric on a million random pairs, many of them too large for it');
SELECT is(settle._amount_selftest(1, 20000), settle._amount_selftest(1, 20000), 'the self-test repeats with its seed');
SELECT ok(NOT has_function_privilege('public', 'settle._amount_selftest(bigint, bigint)', 'EXECUTE'),
    'the self-test is not for everybody');

-- every form that the server stores a numeric in: short and long headers, weights below and above zero
CREATE TEMP TABLE stored AS
SELECT (sign || repeat(digit, whole) || '5' || CASE WHEN places > 0 THEN '.' || repeat('0', zeros) || repeat(digit, places) ELSE '' END)::numeric AS x
FROM unnest('{"",-}'::text[]) sign, unnest('{0,1,3,9}'::text[]) digit,
     unnest('{0,1,4,17,38,60,300}'::int[]) whole, unnest('{0,1,3,20,36,70,300}'::int[]) places, unnest('{0,2,30}'::int[]) zeros;
SELECT is_empty($$ SELECT x FROM stored WHERE settle.fee('1 each', x) <> x $$,
    'every stored form of numeric is read for what it is');
SELECT is_empty($$ SELECT x FROM stored WHERE settle.round_amount(x, 36) <> round(x, 36) $$,
    'and rounded as the server rounds it');
SELECT is_empty($$
    SELECT x FROM (SELECT (random() * 10 ^ (random() * 30 - 10))::numeric * (CASE WHEN random() < 0.5 THEN -1 ELSE 1 END) AS x, i % 7 AS d
                   FROM generate_series(1, 100000) i) r
    WHERE settle.round_amount(x, d) <> round(x, d) OR scale(settle.round_amount(x, d)) <> d $$,
    'half_up at minor units is round(), with the places of the minor unit');

------------------------------------------------------------------------------
-- rounding against plain SQL
------------------------------------------------------------------------------
-- div() and the remainder are exact; everything else follows from them
CREATE FUNCTION pg_temp.oracle(x numeric, step numeric, mode text) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT step * (n + CASE WHEN r = 0 THEN 0
        WHEN mode = 'up' OR (mode = 'ceil' AND x > 0) OR (mode = 'floor' AND x < 0)
          OR (mode IN ('half_up', 'half_even', 'half_down') AND 2 * r > step)
          OR (mode = 'half_up' AND 2 * r = step)
          OR (mode = 'half_even' AND 2 * r = step AND n % 2 <> 0) THEN sign(x) ELSE 0 END)
    FROM (SELECT div(x, step) AS n, abs(x - step * div(x, step)) AS r) q $$;
SELECT is_empty($$
    SELECT x, step, mode
    FROM (SELECT (floor(random() * 20001) - 10000)::numeric / (ARRAY[1, 2, 8, 100, 1000])[1 + i % 5] AS x,
                 (ARRAY[0.01, 0.05, 0.1, 0.25, 1, 5, 100, 0.007])[1 + i % 8] AS step FROM generate_series(1, 20000) i) r,
         unnest('{half_up,half_even,half_down,down,up,ceil,floor}'::text[]) mode
    WHERE settle.round_amount(x, 2, mode || ' ' || step) <> pg_temp.oracle(x, step, mode) $$,
    'every mode at every step equals the definition in SQL');
SELECT is_empty($$
    SELECT x, mode FROM (SELECT (random() * 1000)::numeric(20, 4) AS x FROM generate_series(1, 5000)) r,
         unnest('{half_up,half_even,half_down,down,up}'::text[]) mode
    WHERE settle.round_amount(-x, 2, mode) <> -settle.round_amount(x, 2, mode) $$,
    'negative mirrors positive');
SELECT is_empty($$
    SELECT a, b, c FROM (SELECT (random() * 1e6)::numeric(20, 3) AS a, (1 + floor(random() * 31))::numeric AS b,
                                (1 + floor(random() * 31))::numeric AS c FROM generate_series(1, 20000)) r
    WHERE settle.prorate(a, b, c) <> div(2 * a * b * 100 + c, 2 * c) / 100 $$,
    'a prorated amount is rounded once, from the exact quotient');
SELECT is(settle.round_amount(('1' || repeat('0', 60) || '.005')::numeric, 2), ('1' || repeat('0', 60) || '.01')::numeric,
    'what does not fit 128 bits is rounded all the same');
SELECT throws_ok($$ SELECT settle.round_amount(1, 2, 'bankers') $$, '22023', 'unknown rounding "bankers"');
SELECT throws_ok($$ SELECT settle.round_amount(1, 2, 'up -1') $$, '22023', 'rounding step -1 is not positive');
SELECT throws_ok($$ SELECT settle.round_amount(1, 2, 'up x') $$, '22P02', '"x" is not a decimal number');
SELECT throws_ok($$ SELECT settle.round_amount(1, 37) $$, '22023', '37 is no number of minor units');
SELECT throws_ok($$ SELECT settle.round_amount('infinity', 2) $$, '22003', 'Infinity is not an amount');

------------------------------------------------------------------------------
-- allocation
------------------------------------------------------------------------------
CREATE TEMP TABLE division AS
SELECT i, amount, weights, step, mode, settle.allocate(amount, weights, step, mode) AS parts,
       (SELECT sum(w) FROM unnest(weights) w) AS total
FROM (SELECT i, step, (floor(random() * 20001)::numeric - 10000) * step AS amount,
             ARRAY(SELECT (floor(random() * 5) * (ARRAY[1, 0.1, 7.3])[1 + (i + k) % 3])::numeric
                   FROM generate_series(1, 1 + i % 9) k) || (1 + i % 3)::numeric AS weights
      FROM (SELECT i, (ARRAY[0.01, 0.05, 1])[1 + i % 3] AS step FROM generate_series(1, 3000) i) s) d,
     unnest('{largest_remainder,first,first_incl_zero,last,largest_weight,sequential_from_last,separate,block_separate}'::text[]) mode;
SELECT is_empty($$
    SELECT i, mode FROM division
    WHERE (SELECT sum(p) FROM unnest(parts) p) <> amount AND mode NOT LIKE '%separate' $$,
    'parts add up to the amount');
SELECT is_empty($$
    SELECT i, mode FROM division, unnest(parts) p WHERE p <> div(p, step) * step $$,
    'every part is a multiple of the step');
SELECT is_empty($$
    SELECT i, mode FROM division, unnest(parts, weights) u(p, w)
    WHERE CASE mode WHEN 'largest_remainder' THEN abs(p * total - amount * w) >= step * total
                    WHEN 'block_separate' THEN false        -- a block may be many steps
                    WHEN 'sequential_from_last' THEN false  -- the first takes what all others left
                    ELSE abs(p * total - amount * w) > step * total END $$,
    'no part is more than a step from its exact share, and with largest remainder less');
SELECT is_empty($$
    SELECT i FROM division, unnest(parts, weights) u(p, w)
    WHERE mode = 'largest_remainder' AND amount * w = div(amount * w, total * step) * total * step AND p * total <> amount * w $$,
    'with largest remainder an exact share never moves');
SELECT is_empty($$
    SELECT i, mode FROM division, unnest(parts, weights) u(p, w) WHERE w = 0 AND p <> 0 AND mode <> 'first_incl_zero' $$,
    'no weight, nothing');
SELECT is_empty($$
    SELECT i, mode FROM division WHERE settle.allocate(-amount, weights, step, mode) <> ARRAY(SELECT -p FROM unnest(parts) p) $$,
    'a negative amount mirrors the positive one');
SELECT is_empty($$
    SELECT i FROM division, LATERAL (
        SELECT array_agg((d.floored + CASE WHEN d.place <= d.left_over THEN 1 ELSE 0 END) * step * sign(amount) ORDER BY d.k) AS parts
        FROM (SELECT k, floored, row_number() OVER (ORDER BY remainder DESC, k) AS place,
                     abs(amount) / step - sum(floored) OVER () AS left_over
              FROM (SELECT k, div(abs(amount) / step * w, total) AS floored, mod(abs(amount) / step * w, total) AS remainder
                    FROM unnest(weights) WITH ORDINALITY u(w, k)) f) d) oracle
    WHERE mode = 'largest_remainder' AND division.parts <> oracle.parts $$,
    'largest remainder equals the definition in SQL');
SELECT is_empty($$
    SELECT amount, caps FROM (SELECT floor(random() * 200)::numeric AS amount,
            ARRAY(SELECT floor(random() * 50)::numeric FROM generate_series(1, 1 + i % 5)) AS caps FROM generate_series(1, 3000) i) c,
        LATERAL (SELECT settle.allocate(amount, caps, 1, 'proportional_with_caps') AS parts OFFSET 0) p
    WHERE (SELECT sum(x) FROM unnest(parts) x) <> least(amount, (SELECT sum(c) FROM unnest(caps) c))
       OR EXISTS (SELECT FROM unnest(parts, caps) u(x, c) WHERE x > c) $$,
    'caps hold, and what they cannot take stays');
SELECT is(settle.allocate(12345678901234567890123456789012345678901234567890.01, '{1,2}'),
    '{4115226300411522630041152263004115226300411522630.00,8230452600823045260082304526008230452600823045260.01}'::numeric[],
    'amounts that do not fit 128 bits are divided all the same');
SELECT throws_ok($$ SELECT settle.allocate(1, '{0,0}') $$, '22023', 'no weight is positive');
SELECT throws_ok($$ SELECT settle.allocate(1, '{1,-2}') $$, '22023', 'weight 2 is negative: -2');
SELECT throws_ok($$ SELECT settle.allocate(1, '{1,NULL}') $$, '22004', 'weight 2 is null');
SELECT throws_ok($$ SELECT settle.allocate(1, '{1,NaN}') $$, '22003', 'NaN is not an amount');
SELECT throws_ok($$ SELECT settle.allocate(0.015, '{1}') $$, '22023', 'amount 0.015 is not a multiple of 0.01');

-- nested
SELECT is_empty($$
    SELECT amount FROM (SELECT (floor(random() * 2000001)::numeric - 1000000) / 100 AS amount FROM generate_series(1, 3000)) a
    WHERE (SELECT coalesce(sum(part), 0) FROM settle.allocate('["split", [["33.3", ["to", "a"]],
        ["12.7", ["seq", [["10", ["to", "b"]], ["remaining", ["split", [["50", ["to", "c"]], ["50", ["to", "a"]]]]]]]],
        ["remaining", ["to", "d"]]]]', amount)) <> amount $$,
    'a nested split loses no cent');
SELECT results_eq($$ SELECT * FROM settle.allocate('["split", [["10", ["seq", [["10", ["to", "fees"]], ["remaining", ["to", "dest"]]]]], ["remaining", ["to", "dest"]]]]', 1000) $$,
    $$ VALUES ('fees', 10.00), ('dest', 990.00) $$, 'the excess over a cap goes on');
SELECT throws_ok($$ SELECT settle.allocate('["split", [["10", ["to", "a"]], ["58.02", ["to", "b"]], ["31.97", ["to", "c"]]]]', 100) $$,
    '22023', 'invalid split: the shares of a split sum to 99.99%', 'portions are compared exactly');
SELECT throws_ok($$ SELECT settle.allocate((repeat('["split", [["remaining", ', 5000) || '["to", "a"]' || repeat(']]]', 5000))::jsonb, 100) $$,
    '54001', NULL, 'a split nested too deep is an error');
SELECT throws_ok($$
    SELECT settle.allocate(jsonb_build_array('split', (SELECT jsonb_agg('["0.01", ["to", "a"]]'::jsonb) FROM generate_series(1, 10001))), 1) $$,
    '54000', 'invalid split: there are more than 10000 legs');

------------------------------------------------------------------------------
-- withholding
------------------------------------------------------------------------------
-- Runs payments through a model, each with the state that the one before it left.
CREATE FUNCTION pg_temp.withheld(model text, payments numeric[], so_far jsonb DEFAULT '{}') RETURNS numeric[]
LANGUAGE plpgsql AS $$
DECLARE
    payment numeric;
    taxes numeric[] := '{}';
BEGIN
    FOREACH payment IN ARRAY payments LOOP
        taxes := taxes || settle.withhold(model, so_far, payment);
        so_far := settle.withhold_next(model, so_far, payment);
    END LOOP;
    RETURN taxes;
END $$;
SELECT is(pg_temp.withheld('{"rate_percent": 5, "single_threshold": 500, "cumulative_threshold": 1000}', '{400,500,99,1,10}'),
    '{0,25,0,25,0.5}', 'the crossing payment is taxed with all that was not taxed before');
SELECT is(pg_temp.withheld('{"rate_percent": 5, "cumulative_threshold": 1000, "excess_only": true}', '{999,1,100,-50,-200}'),
    '{0,0,5,-2.5,-2.5}', 'excess only: above the threshold, and taken back as far as it was taxed');
SELECT is(pg_temp.withheld('{"rate_percent": 5, "single_threshold": 500}', '{500,100,-100}'),
    '{25,0,-5}', 'a refund takes back tax');
SELECT is(pg_temp.withheld('{"rate_percent": 5, "single_threshold": 500, "sticky": true}', '{100,500,100}'),
    '{0,25,5}', 'sticky: once taxed, always taxed');
SELECT is(pg_temp.withheld('{"rate_percent": 10, "certificate": {"rate_percent": 2, "limit": 150}}', '{100,100,100}'),
    '{2,6,10}', 'a certificate is used up');
SELECT is(pg_temp.withheld('cn_platform', '{10000,10000}', '{"months": 2}'), '{0,180}',
    'platform workers: 20 % and 5,000 a month off, cumulatively');
SELECT is_empty($$
    SELECT taxable FROM (SELECT (random() * 2000000)::numeric(12, 2) AS taxable FROM generate_series(1, 2000)) t
    WHERE settle.withhold('cn_annual', '{}', taxable)
       <> settle.fee('3% to 36000, 10% to 144000, 20% to 300000, 25% to 420000, 30% to 660000, 35% to 960000, 45%', taxable) $$,
    'the brackets of comprehensive income are a graduated scale');
SELECT is(settle.withhold('cn_platform', '{"on": "2025-10-01"}', 10000), settle.withhold('cn_platform', '{}', 10000), 'a model is in force on its first day');
SELECT throws_ok($$ SELECT settle.withhold('cn_platform', '{"on": "2025-01-01"}', 1) $$, '22023',
    'withholding model cn_platform is not in force on 2025-01-01');
SELECT throws_ok($$ SELECT settle.withhold('{"rate_percent": "10", "certificate": {"rate_percent": "2", "from": "2026-05-01"}}', '{}', 0) $$, '22023', NULL, 'nothing is paid on a day, too');

SELECT * FROM finish();
ROLLBACK;
