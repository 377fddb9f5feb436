SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;

-- the text form: what is written, what is shown, the jsonb form
CREATE TEMP TABLE scale (n serial, written text);
INSERT INTO scale (written) VALUES
    ('5% to 1000, 8% to 5000, 10%'), ('Graduated 5.00% TO 1000.0,10%'),
    ('volume 3% to 10000, 5% + 20 flat below 50000, 8%'),
    ('0 each to 60, 2.5 each; min 30; max 2000'), ('10 flat'), ('0% + 10 flat; first flat at zero'),
    ('1 each; first 20 free; divide by 1000 rounded up'), ('1 each; multiply by 0.001'),
    ('package of 100 at 15 after 20'), ('package of 1 at 2 + 5 flat'),
    ('blocks_all 10 blocks of 100 at 1, blocks of 1000 at 0.5'), ('blocks_top 10 blocks of 100 at 1 + 2 flat, blocks of 1000 at 0.5'),
    ('interpolated 10 spread to 1000, 40 spread to 3000'),
    ('capacity 10 flat within (100, any), 20 flat within (any, any)'),
    ('percentage 1.3% + 2 flat; first 3 events free; first 500 free; min 1; max 12');
SELECT n, written::settle.tiers AS shown FROM scale ORDER BY n;
SELECT n, written::settle.tiers::jsonb AS jsonb FROM scale ORDER BY n;
SELECT bool_and(t::text::settle.tiers = t AND t::jsonb::settle.tiers = t) AS round_trips
FROM (SELECT written::settle.tiers AS t FROM scale) s;
SELECT settle.tiers_send('5% to 1000, -0.25 each');

-- fees
SELECT q, settle.fee('5% to 1000, 8% to 5000, 10%', q) AS graduated,
       settle.fee('volume 3% below 1000, 5% + 20 flat to 5000, 8%', q) AS volume,
       settle.fee('0 each to 60, 2.5 each; min 30; max 2000', q) AS bounded,
       settle.fee('10 flat to 1000, 2 flat', q) AS flat
FROM unnest('{0,0.01,60,1000,1000.01,5000,5000.01,-1000.01}'::numeric[]) q;
SELECT settle.fee('5% to 1000, 8% to 5000, 10%', 500, before => 4800) AS on_top,
       settle.fee('0% + 10 flat; first flat at zero', 0) AS first_flat,
       settle.fee('volume 10 flat', 0) AS volume_flat;
SELECT q, settle.fee('package of 100 at 15 after 20', q) AS package,
       settle.fee('blocks_all 2 blocks of 100 at 1, 2 blocks of 10 at 5 + 3 flat, blocks of 1000 at 0.5', q) AS blocks_all,
       settle.fee('blocks_top 2 blocks of 100 at 1, 2 blocks of 10 at 5 + 3 flat, blocks of 1000 at 0.5', q) AS blocks_top,
       settle.fee('interpolated 10 spread to 100, 90 spread to 250', q) AS interpolated,
       settle.fee('capacity 10 flat within (100), 30 flat within (any)', q) AS capacity,
       settle.fee('percentage 1% + 2 flat; first 20 free; min 2.5; max 4', q) AS percentage
FROM unnest('{0,20,20.5,120,200,201,221,1000,-221}'::numeric[]) q;
SELECT q, settle.fee('1 each to 5, 0.5 each; divide by 1000 rounded up', q) AS rounded_up,
       settle.fee('1 each to 5, 0.5 each; divide by 1000 rounded half_up; first 2 free', q) AS less_free,
       settle.fee('3 each; divide by 7', q) AS exact, settle.fee('1 each; divide by 7', q) AS endless
FROM unnest('{0,700,7400,-7400}'::numeric[]) q;

-- fees that need more than one quantity
SELECT settle.fee_at('volume 2 each + 10 flat to 100, 1 each to 200, 0.5 each + 50 flat', 198.6, reached => 300);
SELECT settle.event_fees('percentage 1.3% + 2 flat; first 3 events free; first 500 free', '{50,100,250,400,10}'),
       settle.event_fees('percentage 1% + 5 flat; first 15 free', '{4,4,4,4,10,-2}'),
       settle.event_fees('percentage 2.99%; min 1.75; max 12', '{10,80,10000,-10}');
SELECT settle.capacity_fee('capacity 10 flat within (100, 1000), 20 flat within (200, any), 30 flat within (any, any)', q)
FROM (VALUES ('{100,1000}'::numeric[]), ('{100,1001}'), ('{201,0}')) v(q);
SELECT settle.prorated_fee('10 each + 100 flat to 5, 5 each + 50 flat to 15, 2 each', '{2,5,10,-6}', '{1.4,2.5,2,-2.2}');

-- how a fee comes about
SELECT * FROM settle.fee_steps('5% to 1000, 8% + 5 flat to 5000, 10%', 6000);
SELECT * FROM settle.fee_steps('5% to 1000, 8% to 5000, 10%; max 100', -6000);
SELECT * FROM settle.fee_steps('volume 3% below 1000, 5% + 20 flat to 5000, 8%; min 100', 1000);
SELECT * FROM settle.fee_steps('blocks_all 2 blocks of 100 at 1, blocks of 10 at 5 + 3 flat', 215);
SELECT * FROM settle.fee_steps('interpolated 10 spread to 30, 90 spread to 250', 100);
SELECT * FROM settle.fee_steps('package of 100 at 15 after 20', 10);

-- the aggregate
CREATE TEMP TABLE sale (staff int, n int, amount numeric);
INSERT INTO sale SELECT i % 3, i, i * 111.11 FROM generate_series(1, 30) i;
INSERT INTO sale VALUES (0, 31, NULL), (3, 32, NULL);
SELECT staff, sum(amount), settle.tiered_fee(amount, '5% to 1000, 8% to 5000, 10%') FROM sale GROUP BY staff ORDER BY staff;
SELECT n, amount, settle.tiered_fee(amount, '5% to 300, 8%') OVER (ORDER BY n ROWS 1 PRECEDING) FROM sale WHERE n <= 5 OR n > 30 ORDER BY n;
SELECT settle.tiered_fee(amount, CASE WHEN n > 3 THEN '5%' ELSE '6%' END::settle.tiers) FROM sale;
SELECT settle.tiered_fee(amount, 'percentage 5%') FROM sale;
SELECT '2 250.50 5% to 100, 8%'::settle.tiered_fee_state, settle.tiered_fee_state_send('2 250.50 5% to 100, 8%');
SELECT '2 250.50'::settle.tiered_fee_state;
SELECT '-2 250.50 8%'::settle.tiered_fee_state;
SELECT 'x 250.50 8%'::settle.tiered_fee_state;
SELECT '0 250.50 8%'::settle.tiered_fee_state;

-- comparison
SELECT count(DISTINCT t), count(*) FROM (SELECT written::settle.tiers AS t FROM scale UNION ALL SELECT '10.0 flat'::settle.tiers) s;
SELECT '10%'::settle.tiers = '10.00%' AS same, '10%'::settle.tiers = '0.1 each' AS priced_alike, '10%'::settle.tiers IS DISTINCT FROM '10%; min 0';

-- errors
SELECT '30 to 60, 2.5 each'::settle.tiers;
SELECT '5% to 1000, 8% to 500, 10%'::settle.tiers;
SELECT '5% to 1000, 8% below 1000, 10%'::settle.tiers;
SELECT '5% to 1000, 8% to 5000'::settle.tiers;
SELECT '5%, 8%'::settle.tiers;
SELECT '5% to -5, 8%'::settle.tiers;
SELECT '5% to 0, 8%'::settle.tiers;
SELECT '5% from 0 to 100, 8%'::settle.tiers;
SELECT '120%'::settle.tiers;
SELECT 'NaN each'::settle.tiers;
SELECT '5% to infinity'::settle.tiers;
SELECT '1e3 each'::settle.tiers;
SELECT '5% to 10,000, 8%'::settle.tiers;
SELECT '20 flat + 5%'::settle.tiers;
SELECT '5% + 3 each'::settle.tiers;
SELECT '5%; min 3; min 4'::settle.tiers;
SELECT '5%; min 4; max 3'::settle.tiers;
SELECT '5%; maximum 3'::settle.tiers;
SELECT '5%; first flat at zero; first 3 events free'::settle.tiers;
SELECT 'volume 5%; first flat at zero'::settle.tiers;
SELECT '5%; divide by 0'::settle.tiers;
SELECT '5%; divide by 7 rounded sideways'::settle.tiers;
SELECT '5%8%'::settle.tiers;
SELECT '5% to 10 to 20, 8%'::settle.tiers;
SELECT '提成 5%'::settle.tiers;
SELECT ''::settle.tiers;
SELECT 'volume'::settle.tiers;
SELECT 'package of 0 at 1'::settle.tiers;
SELECT 'package of 5'::settle.tiers;
SELECT 'package of 5 at 1, of 10 at 2'::settle.tiers;
SELECT 'package of 5 at 1; first 3 free'::settle.tiers;
SELECT 'blocks_all 2 blocks of 5 at 1'::settle.tiers;
SELECT 'blocks_top blocks of 5 at 1, blocks of 2 at 1'::settle.tiers;
SELECT 'blocks_all 2.5 blocks of 5 at 1, blocks of 2 at 1'::settle.tiers;
SELECT 'interpolated 10 spread to 100, 20 spread to 50'::settle.tiers;
SELECT 'interpolated 10 spread below 100'::settle.tiers;
SELECT 'capacity 10 flat within (1, 2), 20 flat within (any)'::settle.tiers;
SELECT 'capacity 10 flat within (1), 20 flat within (3)'::settle.tiers;
SELECT 'percentage 2 each'::settle.tiers;
SELECT ('1' || repeat('0', 38) || ' each')::settle.tiers;
SELECT '{"tiers": [{"from": "0", "up_to": "10", "unit": "1"}, {"from": "11", "unit": "2"}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"up_to": "10", "unit": "1"}, {"from": "9", "unit": "2"}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"up_to": "10", "unit": "1"}, {"up_to": "20", "unit": "2"}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"unit": "1", "rate_percent": "2"}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"up_to": 5, "below": 6, "unit": "1"}, {"unit": "1"}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"up_to": null}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"unit": "NaN"}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"unit": true}]}'::jsonb::settle.tiers;
SELECT '{"tiers": [{"unit": "1"}], "maxx": "5"}'::jsonb::settle.tiers;
SELECT '{"tiers": []}'::jsonb::settle.tiers;
SELECT '{"tiers": {"unit": "1"}}'::jsonb::settle.tiers;
SELECT '{"mode": "flat"}'::jsonb::settle.tiers;
SELECT '"5%"'::jsonb::settle.tiers;
SELECT settle.fee('capacity 10 flat within (100, 1000), 30 flat within (any, any)', 5);
SELECT settle.capacity_fee('capacity 10 flat within (100, 1000), 30 flat within (any, any)', '{5}');
SELECT settle.fee_at('5%', 1, 2);
SELECT settle.prorated_fee('5%', '{1,2}', '{1}');
SELECT settle.fee('5%', 'NaN');
