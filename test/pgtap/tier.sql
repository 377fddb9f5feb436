-- Price scales: fees against plain SQL, the aggregate in all its ways, forms, errors.
BEGIN;
SELECT plan(72);

SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS seed \gset
SELECT diag('seed ' || :seed);
SELECT setseed((:seed % 1000000) / 1000000.0);

------------------------------------------------------------------------------
-- fees against the definitions in SQL, which share no code with the extension
------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.rows_of(j jsonb) RETURNS TABLE (i int, lower numeric, upper numeric, inclusive boolean, rate numeric, flat numeric)
LANGUAGE sql IMMUTABLE AS $$
    SELECT n::int, coalesce(lag(bound) OVER (ORDER BY n), 0), bound, t ? 'up_to',
           coalesce((t ->> 'unit')::numeric, (t ->> 'rate_percent')::numeric * 0.01, 0), coalesce((t ->> 'flat')::numeric, 0)
    FROM (SELECT n, t, coalesce(t ->> 'up_to', t ->> 'below')::numeric AS bound
          FROM jsonb_array_elements(j -> 'tiers') WITH ORDINALITY e(t, n)) r $$;

-- The fee of q >= 0 before floor and cap.
CREATE FUNCTION pg_temp.bare(j jsonb, q numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE j ->> 'mode'
        WHEN 'volume' THEN (
            SELECT q * rate + flat FROM pg_temp.rows_of(j)
            WHERE upper IS NULL OR q < upper OR (q = upper AND inclusive) ORDER BY i LIMIT 1)
        WHEN 'graduated' THEN (
            SELECT sum(CASE WHEN q > lower THEN (least(q, coalesce(upper, q)) - lower) * rate ELSE 0 END
                     + CASE WHEN q > lower OR (i > 1 AND q = lower AND NOT lower_inclusive)
                              OR (q = 0 AND i = 1 AND (j ->> 'first_flat_at_zero')::boolean) THEN flat ELSE 0 END)
            FROM (SELECT *, coalesce(lag(inclusive) OVER (ORDER BY i), true) AS lower_inclusive FROM pg_temp.rows_of(j)) r)
        END $$;
CREATE FUNCTION pg_temp.oracle(j jsonb, q numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT (CASE WHEN q < 0 THEN -1 ELSE 1 END)
        * least(greatest(pg_temp.bare(j, abs(q)), (j ->> 'min')::numeric), (j ->> 'max')::numeric) $$;

CREATE FUNCTION pg_temp.random_scale(seed int) RETURNS jsonb
LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object('mode', mode, 'tiers', (
               SELECT jsonb_agg(jsonb_build_object(
                   CASE WHEN random() < 0.5 THEN 'up_to' ELSE 'below' END, CASE WHEN k < n THEN bound::text END,
                   CASE WHEN random() < 0.5 THEN 'unit' ELSE 'rate_percent' END, round((random() * 30)::numeric, floor(random() * 4)::int)::text,
                   'flat', CASE WHEN random() < 0.3 THEN round((random() * 50)::numeric, 2)::text END) ORDER BY k)
               FROM (SELECT k, sum(round((1 + random() * width)::numeric, places)) OVER (ORDER BY k) AS bound FROM generate_series(1, n) k) b))
        || CASE WHEN random() < 0.3 AND mode = 'graduated' THEN '{"first_flat_at_zero": true}' ELSE '{}'::jsonb END
        || CASE WHEN random() < 0.3 THEN '{"min": "7.5"}' ELSE '{}'::jsonb END
        || CASE WHEN random() < 0.3 THEN '{"max": "900"}' ELSE '{}'::jsonb END
    FROM (SELECT (ARRAY['graduated', 'volume'])[1 + seed % 2] AS mode, 1 + seed % 12 AS n,
                 10 ^ (random() * 6) AS width, floor(random() * 4)::int AS places) p $$;

CREATE TEMP TABLE scale AS
SELECT i, pg_temp.random_scale(i) AS j FROM generate_series(1, 120) i;
-- quantities inside, on and beside the bounds, very small and very large
CREATE TEMP TABLE priced AS
SELECT i, j, j::settle.tiers AS t, q
FROM scale, LATERAL (
    SELECT x * s AS q
    FROM (SELECT unnest(ARRAY[0, 0.000001, round((random() * 10)::numeric, 3), round((random() * 100000)::numeric, 2),
                              99999999999999999.99, 1234567890123456789012345678901234567])
          UNION ALL
          SELECT upper + d FROM pg_temp.rows_of(j), unnest('{-0.0000001,0,0.01}'::numeric[]) d WHERE upper IS NOT NULL) v(x),
         unnest('{1,-1}'::int[]) s) u;
SELECT cmp_ok((SELECT count(*) FROM priced), '>', 3000::bigint, 'thousands of fees are compared');
SELECT is_empty($$ SELECT i, t, q, settle.fee(t, q), pg_temp.oracle(j, q) FROM priced WHERE settle.fee(t, q) <> pg_temp.oracle(j, q) LIMIT 5 $$,
    'every fee equals the definition in SQL');
SELECT is_empty($$ SELECT i, t, q FROM priced WHERE q <> 0 AND settle.fee(t, -q) <> -settle.fee(t, q) LIMIT 5 $$,
    'negative mirrors positive');
SELECT is_empty($$
    SELECT i, t, q FROM priced WHERE settle.fee(t, q) <> (SELECT sum(fee) FROM settle.fee_steps(t, q)) LIMIT 5 $$,
    'the steps sum up to the fee');
SELECT is_empty($$
    SELECT i, t, q FROM priced, settle.fee_steps(t, q) s WHERE s.fee <> s.quantity * s.rate + s.flat LIMIT 5 $$,
    'every step is quantity x rate + flat');
SELECT is_empty($$
    SELECT a.t, a.q, b.q FROM priced a JOIN priced b USING (i)
    WHERE settle.fee(a.t, a.q, before => b.q) <> pg_temp.oracle(a.j, a.q + b.q) - pg_temp.oracle(a.j, b.q) AND a.q > 0 AND b.q > 0 LIMIT 5 $$,
    'what a quantity adds on top of another is a difference of fees');
SELECT is_empty($$
    SELECT t, q FROM priced
    WHERE CASE WHEN j ->> 'mode' = 'volume' THEN settle.fee_at(t, q, q) <> settle.fee(t, q) END LIMIT 5 $$,
    'a quantity at the tier that it reaches itself is the volume fee');

-- the fixed-point path against numeric on two million quantities, up to the largest that fit and beyond
CREATE TEMP TABLE quantity AS
SELECT round((random() * 10 ^ (random() * (ARRAY[5, 5, 5, 8, 18, 38, 60])[1 + i % 7]))::numeric, i % 9) * (CASE WHEN i % 4 = 0 THEN -1 ELSE 1 END) AS q
FROM generate_series(1, 1000000) i;
SELECT is((SELECT count(*) FROM quantity
           WHERE settle.fee('5.5% + 1.25 flat to 1000.5, 0.08 each below 5000, 10% + 7 flat to 1000000, 0.123456789%', q) IS DISTINCT FROM sign(q) * CASE
               WHEN q = 0 THEN 0
               WHEN abs(q) <= 1000.5 THEN abs(q) * 0.055 + 1.25
               WHEN abs(q) < 5000 THEN 56.2775 + (abs(q) - 1000.5) * 0.08
               WHEN abs(q) <= 1000000 THEN 376.2375 + (abs(q) - 5000) * 0.1 + 7
               ELSE 99883.2375 + (abs(q) - 1000000) * 0.00123456789 END), 0::bigint, 'a million graduated fees equal numeric arithmetic');
SELECT is((SELECT count(*) FROM quantity
           WHERE settle.fee('volume 5.5% + 1.25 flat to 1000.5, 0.08 each below 5000, 10% + 7 flat to 1000000, 0.123456789%; max 50000', q) IS DISTINCT FROM
               (CASE WHEN q < 0 THEN -1 ELSE 1 END) * least(CASE
               WHEN abs(q) <= 1000.5 THEN abs(q) * 0.055 + 1.25
               WHEN abs(q) < 5000 THEN abs(q) * 0.08
               WHEN abs(q) <= 1000000 THEN abs(q) * 0.1 + 7
               ELSE abs(q) * 0.00123456789 END, 50000)), 0::bigint, 'a million volume fees equal numeric arithmetic');

-- scales that turn into each other
SELECT is_empty($$
    SELECT i, q FROM priced, LATERAL (SELECT (j - '{min,max}'::text[] || '{"divide_by": "3"}')::settle.tiers AS divided) d
    WHERE settle.fee(divided, q * 3) <> settle.fee((j - '{min,max}'::text[])::settle.tiers, q) LIMIT 5 $$,
    'a quantity divided by three costs what a third of it costs, exactly');
SELECT is_empty($$
    SELECT i, q FROM priced, LATERAL (SELECT (j || '{"multiply_by": "0.001"}')::settle.tiers AS multiplied) d
    WHERE settle.fee(multiplied, q) <> pg_temp.oracle(j, q * 0.001) LIMIT 5 $$,
    'a quantity multiplied costs what its multiple costs');
SELECT is_empty($$
    SELECT i, q FROM priced, LATERAL (SELECT (j || '{"divide_by": "7", "round": "up", "free_units": "2.5"}')::settle.tiers AS converted) d
    WHERE q >= 0 AND settle.fee(converted, q) <> pg_temp.oracle(j, greatest(ceil(q / 7) - 2.5, 0)) AND q < 1e15 LIMIT 5 $$,
    'conversion, rounding, free allowance, price: in this order');
SELECT is_empty($$
    SELECT q, size, price FROM (SELECT (random() * 1000)::numeric(10, 2) AS q, (1 + random() * 50)::numeric(10, 1) AS size,
                                       (random() * 20)::numeric(10, 2) AS price, floor(random() * 100)::numeric AS free FROM generate_series(1, 5000)) p,
    LATERAL (SELECT greatest(q - free, 0) AS units) u
    WHERE settle.fee(format('package of %s at %s after %s', size, price, free)::settle.tiers, q)
       <> (div(units, size) + CASE WHEN mod(units, size) > 0 THEN 1 ELSE 0 END) * price $$,
    'a started package is a whole one');
SELECT is_empty($$
    SELECT q FROM (SELECT (random() * 400)::numeric(10, 2) AS q FROM generate_series(1, 3000)) p
    WHERE settle.fee('blocks_all 3 blocks of 20 at 7, 5 blocks of 10 at 3, blocks of 100 at 20', q)
       <> ceil(least(q, 60) / 20) * 7 + ceil(least(greatest(q - 60, 0), 50) / 10) * 3 + ceil(greatest(q - 110, 0) / 100) * 20
       OR settle.fee('blocks_top 3 blocks of 20 at 7, 5 blocks of 10 at 3, blocks of 100 at 20', q)
       <> CASE WHEN q <= 60 THEN ceil(q / 20) * 7 WHEN q <= 110 THEN ceil(q / 10) * 3 ELSE ceil(q / 100) * 20 END $$,
    'blocks of all tiers, blocks of the reached one');
SELECT is_empty($$
    SELECT q FROM (SELECT (random() * 400)::numeric(10, 2) AS q FROM generate_series(1, 3000)) p
    WHERE round(settle.fee('interpolated 10 spread to 70, 90 spread to 250, 5 spread to 300', q), 12)
       <> round(10 * least(q, 70) / 70 + 90 * least(greatest(q - 70, 0), 180) / 180 + 5 * least(greatest(q - 250, 0), 50) / 50, 12) $$,
    'an interpolated tier is worth its amount when it is full');
SELECT is_empty($$
    SELECT e FROM (SELECT ARRAY(SELECT (random() * 100)::numeric(10, 2) FROM generate_series(1, 1 + i % 8)) AS e FROM generate_series(1, 2000) i) p,
    LATERAL (SELECT array_agg(CASE WHEN k <= 4 AND total <= 200 THEN 0
                 ELSE least(greatest((CASE WHEN k <= 4 THEN least(x, total - 200) ELSE x END) * 0.02 + 0.5, 1), 2) END ORDER BY k) AS fees
             FROM (SELECT k, x, sum(x) OVER (ORDER BY k) AS total FROM unnest(e) WITH ORDINALITY u(x, k)) r) o
    WHERE settle.event_fees('percentage 2% + 0.5 flat; first 4 events free; first 200 free; min 1; max 2', e) <> o.fees $$,
    'events: free while both limits hold, on the excess when crossing, each bounded');
SELECT is_empty($$
    SELECT q FROM (SELECT (random() * 500)::numeric(10, 2) AS q FROM generate_series(1, 1000)) p
    WHERE settle.fee('percentage 2% + 0.5 flat; first 200 free; min 1; max 2', q)
       <> (settle.event_fees('percentage 2% + 0.5 flat; first 200 free; min 1; max 2', ARRAY[q]))[1] $$,
    'one quantity is one event');
SELECT is_empty($$
    SELECT a, b FROM (SELECT (random() * 300)::numeric(10, 1) AS a, (random() * 300)::numeric(10, 1) AS b FROM generate_series(1, 1000)) p
    WHERE settle.capacity_fee('capacity 1 flat within (100, 50), 2 flat within (any, 100), 3 flat within (200, any), 4 flat within (any, any)', ARRAY[a, b])
       <> CASE WHEN a <= 100 AND b <= 50 THEN 1 WHEN b <= 100 THEN 2 WHEN a <= 200 THEN 3 ELSE 4 END $$,
    'the first capacity whose limits all hold');
SELECT is(settle.prorated_fee('10 each + 100 flat to 5, 5 each + 50 flat', '{5,-5,5}', '{5,-5,5}'), 150::numeric,
    'units that are not prorated cost the graduated fee of what is left, flats once');
SELECT is_empty($$
    SELECT u FROM (SELECT ARRAY(SELECT floor(random() * 10)::numeric FROM generate_series(1, 1 + i % 6)) AS u FROM generate_series(1, 500) i) p
    WHERE settle.prorated_fee('10 each + 100 flat to 5, 5 each + 50 flat to 20, 2 each', u, u)
       <> settle.fee('10 each + 100 flat to 5, 5 each + 50 flat to 20, 2 each', (SELECT sum(x) FROM unnest(u) x)) $$,
    'and so they do when they only grow');

------------------------------------------------------------------------------
-- the aggregate
------------------------------------------------------------------------------
CREATE TABLE sale AS
SELECT i, i % 97 AS staff, (ARRAY['5% to 1000, 8% to 5000, 10%', 'volume 3% to 1000, 5% + 20 flat; max 900', '2.5 each to 10; min 3'])[1 + i % 3]::text AS plan,
       CASE WHEN i % 11 = 0 THEN NULL ELSE round((random() * 2000 - 300)::numeric, (i % 5)::int) END AS amount
FROM generate_series(1, 60000) i;
UPDATE sale SET plan = replace(plan, '2.5 each to 10;', '2.5 each to 10, 1 each;');
ALTER TABLE sale ALTER plan TYPE settle.tiers USING plan::settle.tiers;
ANALYZE sale;
CREATE TEMP TABLE expected AS
SELECT staff, plan, settle.fee(plan, sum(amount)) AS fee FROM sale GROUP BY staff, plan;

SET LOCAL max_parallel_workers_per_gather = 0;
SELECT results_eq('SELECT staff, plan, settle.tiered_fee(amount, plan)::text FROM sale GROUP BY staff, plan ORDER BY 1, 2',
    'SELECT staff, plan, fee::text FROM expected ORDER BY 1, 2', 'the aggregate is the fee of the sum, and prints alike');
SET LOCAL enable_hashagg = off;
SELECT results_eq('SELECT staff, plan, settle.tiered_fee(amount, plan)::text FROM sale GROUP BY staff, plan ORDER BY 1, 2',
    'SELECT staff, plan, fee::text FROM expected ORDER BY 1, 2', 'sorted groups too');
SET LOCAL enable_hashagg = on;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END $$;
SELECT is((SELECT count(*) FROM pg_temp.plan_of('SELECT staff, plan, settle.tiered_fee(amount, plan) FROM sale GROUP BY staff, plan') l
           WHERE l ~ 'Partial HashAggregate|Gather'), 2::bigint, 'the aggregate runs in parallel');
SELECT results_eq('SELECT staff, plan, settle.tiered_fee(amount, plan)::text FROM sale GROUP BY staff, plan ORDER BY 1, 2',
    'SELECT staff, plan, fee::text FROM expected ORDER BY 1, 2', 'and gives the same');
SET LOCAL max_parallel_workers_per_gather = 0;

SELECT is_empty($$
    SELECT i, moving, plain FROM (
        SELECT i, settle.tiered_fee(amount, '5% to 1000, 8% to 5000, 10%') OVER w AS moving,
               settle.fee('5% to 1000, 8% to 5000, 10%', sum(amount) OVER w) AS plain
        FROM sale WHERE i <= 5000 WINDOW w AS (ORDER BY i ROWS BETWEEN 7 PRECEDING AND 2 FOLLOWING)) m
    WHERE moving::text IS DISTINCT FROM plain::text $$,
    'a moving frame is the fee of its sum, and prints alike');
SELECT is_empty($$
    SELECT i FROM (
        SELECT i, settle.tiered_fee(amount, plan) OVER w AS moving, settle.fee(plan, amount) AS plain
        FROM sale WHERE i <= 3000 WINDOW w AS (ORDER BY i ROWS BETWEEN CURRENT ROW AND CURRENT ROW)) m
    WHERE moving IS DISTINCT FROM plain $$,
    'a moving frame that has become empty may go on with other tiers');
SELECT is_empty($$
    SELECT i FROM (
        SELECT i, settle.tiered_fee(amount, '2 each') OVER w AS moving, 2 * sum(amount) OVER w AS plain
        FROM (SELECT i, CASE WHEN i % 3 = 0 THEN 10::numeric ^ 60 + amount ELSE amount END AS amount FROM sale WHERE i <= 2000) s
        WINDOW w AS (ORDER BY i ROWS 2 PRECEDING)) m
    WHERE moving IS DISTINCT FROM plain $$,
    'sums too large for 128 bits come and go');
SELECT is_empty($$
    SELECT i FROM (
        SELECT i, settle.tiered_fee(amount, '5% to 1000, 8%') OVER w AS running, settle.fee('5% to 1000, 8%', sum(amount) OVER w) AS plain
        FROM sale WHERE i <= 3000 WINDOW w AS (ORDER BY i)) m
    WHERE running::text IS DISTINCT FROM plain::text $$,
    'a growing frame too');
SELECT is((SELECT settle.tiered_fee(amount, '5%') FROM sale WHERE false), NULL, 'no row, no fee');
SELECT is((SELECT settle.tiered_fee(x * 10::numeric ^ 38 + 0.25, '5%') FROM generate_series(1, 9) x), 0.05 * (45 * 10::numeric ^ 38 + 2.25), 'a sum grows beyond 128 bits');
SELECT is((SELECT settle.tiered_fee(x, '1 each') FROM unnest('{170141183460469231731687303715884105727,1,-2,0.5}'::numeric[]) x), 170141183460469231731687303715884105726.5, 'and comes back');
SELECT is((SELECT settle.tiered_fee(NULL, '5%') FROM sale WHERE i < 10), NULL, 'nulls are skipped');
SELECT is((SELECT settle.tiered_fee(x, '5%; min 3') FROM unnest('{0,NULL}'::numeric[]) x), 3::numeric, 'a row of zero is a row');
SELECT throws_ok($$ SELECT settle.tiered_fee(amount, plan) FROM sale $$, '22023', 'settle.tiered_fee met different tiers in one group');
SELECT throws_ok($$ SELECT settle.tiered_fee(amount, 'percentage 5%') FROM sale $$, '0A000', 'tiers of mode percentage price single events, not a sum');

-- the state is an ordinary value, as another node would send it
SELECT is((SELECT settle._tiered_fee_final(settle._tiered_fee_combine('2 900.10 5% to 1000, 8%', '1 200 5% to 1000, 8%'))),
    settle.fee('5% to 1000, 8%', 1100.10), 'states combine');
SELECT is(settle._tiered_fee_combine('0 0 0 each', '1 200 5%')::text, '1 200 5%', 'an empty state has no tiers yet');
SELECT throws_ok($$ SELECT settle._tiered_fee_combine('2 900 5%', '1 200 6%') $$, '22023', 'settle.tiered_fee met different tiers in one group');
SELECT is(settle._tiered_fee_step('1 200 5%', 50, '5%')::text, '2 250 5%', 'a state that no aggregate owns is copied');
SELECT throws_ok($$ SELECT '1 NaN 5%'::settle.tiered_fee_state $$, '22P02', '"NaN" is not a decimal number');
SELECT throws_ok($$ SELECT '1 5 5% to 3'::settle.tiered_fee_state $$, '22P02', 'invalid tiers: the last tier ends at 3');

------------------------------------------------------------------------------
-- forms
------------------------------------------------------------------------------
SELECT is_empty($$ SELECT t FROM priced WHERE t::text::settle.tiers <> t OR t::jsonb::settle.tiers <> t $$,
    'text and jsonb round-trip');
SELECT is_empty($$ SELECT t FROM priced WHERE settle.tiers_send(t) <> settle.tiers_send(t::text::settle.tiers) $$,
    'one value has one binary form');
CREATE TABLE long_scale AS
SELECT (string_agg(g || '.5 each to ' || g * 7, ', ' ORDER BY g) || ', 1 each')::settle.tiers AS t FROM generate_series(1, 999) g;
SELECT is((SELECT settle.fee(t, 6000.5) FROM long_scale),
    (SELECT sum((least(6000.5, g * 7) - (g - 1) * 7) * (g + 0.5)) FROM generate_series(1, 858) g), 'a thousand tiers, stored and compressed');
CREATE TABLE kept (id int PRIMARY KEY, t settle.tiers UNIQUE);
INSERT INTO kept VALUES (1, '10%'), (2, '5% to 1000, 8%'), (3, 'volume 5% to 1000, 8%');
SELECT is((SELECT count(*) FROM kept a JOIN kept b ON a.t = b.t), 3::bigint, 'tiers join');
SELECT throws_ok($$ INSERT INTO kept VALUES (4, '5.0% to 1000.00, 8%') $$, '23505', NULL, 'tiers are unique where a key says so');
SELECT is((SELECT array_agg(id ORDER BY t) FROM kept), (SELECT array_agg(id ORDER BY settle.tiers_send(t)) FROM kept), 'tiers sort by their bytes');

------------------------------------------------------------------------------
-- errors
------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT '30 to 60, 2.5 each'::settle.tiers $$, '22P02', 'invalid tiers: the bare number 30 does not say what it is');
SELECT throws_ok($$ SELECT '5% to 1000, 8% to 500, 10%'::settle.tiers $$, '22P02', 'invalid tiers: bound 500 is not above 1000');
SELECT throws_ok($$ SELECT '5% to 1000, 8% to 5000'::settle.tiers $$, '22P02', 'invalid tiers: the last tier ends at 5000');
SELECT throws_ok($$ SELECT '5% to -1, 8%'::settle.tiers $$, '22P02', 'invalid tiers: bound -1 is negative');
SELECT throws_ok($$ SELECT 'NaN%'::settle.tiers $$, '22P02', 'invalid tiers: a price is missing');
SELECT throws_ok($$ SELECT '5% to infinity, 8%'::settle.tiers $$, '22P02', 'invalid tiers: a bound is missing');
SELECT throws_ok($$ SELECT '100.01%'::settle.tiers $$, '22P02', 'invalid tiers: 100.01% is not between 0% and 100%');
SELECT throws_ok($$ SELECT '{"tiers": [{"up_to": 10, "unit": 1}, {"from": 11, "unit": 2}]}'::jsonb::settle.tiers $$,
    '22P02', 'invalid tiers: there is a gap between 10 and 11');
SELECT throws_ok($$ SELECT '{"tiers": [{"up_to": 10, "unit": 1}, {"from": 9, "unit": 2}]}'::jsonb::settle.tiers $$,
    '22P02', 'invalid tiers: there is an overlap between 10 and 9');
SELECT throws_ok($$ SELECT '{"tiers": [{"up_to": 10, "unit": 1}]}'::jsonb::settle.tiers $$, '22P02', 'invalid tiers: the last tier ends at 10');
SELECT throws_ok($$ SELECT '{"tiers": [{"up_to": -10, "unit": 1}, {"unit": 1}]}'::jsonb::settle.tiers $$, '22P02', 'invalid tiers: bound -10 is negative');
SELECT throws_ok($$ SELECT repeat('5% to 1, ', 1200000)::settle.tiers $$, '54000', 'invalid tiers: the text has 10800000 bytes', 'a text of 10 MB');
SELECT throws_ok($$ SELECT repeat('9', 1000000)::settle.tiers $$, '22P02', 'invalid tiers: a number is too long', 'a number of a million digits');
SELECT throws_ok($$ SELECT repeat(' ', 1000000)::settle.tiers $$, '22P02', 'invalid tiers: there is no tier', 'a million blanks');
SELECT throws_ok($$ SELECT string_agg('1%to' || g, ',')::settle.tiers FROM generate_series(1, 65536) g $$, '54000',
    'invalid tiers: there are more than 1000 tiers', '65,536 tiers as text');
SELECT throws_ok($$ SELECT jsonb_build_object('tiers', jsonb_agg(jsonb_build_object('up_to', g, 'unit', 1)))::settle.tiers FROM generate_series(1, 65536) g $$,
    '54000', 'invalid tiers: 65536 tiers are more than 1000', '65,536 tiers as jsonb');
SELECT throws_ok($$ SELECT ('1' || repeat('0', 39) || ' each')::settle.tiers $$, '22003',
    'invalid tiers: a price has too many digits: 1000000000000000000000000000000000000000', 'a number that does not fit');
SELECT is(settle.fee('5%; min 3; max 3', 1000), 3::numeric, 'a minimum that is the maximum is a price');
SELECT throws_ok($$ SELECT settle.fee('5%', 'infinity') $$, '22003', 'Infinity is not an amount');

-- what a price, a limit and an option cannot be
SELECT throws_ok(format('SELECT %L::settle.tiers', tiers), '22P02', 'invalid tiers: ' || message, tiers) FROM (VALUES
    ('120%', '120% is not between 0% and 100%'),
    ('capacity 10 flat within (-1), 20 flat within (any)', 'limit -1 is negative'),
    ('capacity 10 flat within (any), 20 flat within (any)', 'tier 1 of 2 has no limit'),
    ('capacity 10 flat within (any); first 5 free', 'capacities have no conversion and no free allowance'),
    ('percentage 1%; first 1.5 events free', '1.5 free events are not a whole number')) AS v(tiers, message);
SELECT throws_ok($$ SELECT '{"tiers": [{"unit": "1"}], "round": "up"}'::jsonb::settle.tiers $$, '22P02', 'invalid tiers: units are rounded but not converted', 'units are rounded once they are converted');

SELECT * FROM finish();
ROLLBACK;
