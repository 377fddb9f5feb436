SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;

-- rounding: to minor units or to a step
SELECT mode, settle.round_amount(2.5, 0, mode), settle.round_amount(-2.5, 0, mode), settle.round_amount(3.5, 0, mode),
       settle.round_amount(2.51, 0, mode), settle.round_amount(-2.49, 0, mode), settle.round_amount(7, 0, mode)
FROM unnest('{half_up,half_even,half_down,down,up,ceil,floor}'::text[]) mode;
SELECT settle.round_amount(1234.565, 2), settle.round_amount(1234.565, 2, 'half_up 0.05'),
       settle.round_amount(1234.565, 2, 'half_up 0.1'), settle.round_amount(1234.565, 2, 'up 100'),
       settle.round_amount(1.2, 3);
SELECT settle.round_amount(1, 2, 'sideways');
SELECT settle.round_amount(1, 2, 'up 0');
SELECT settle.round_amount(1, -1);
SELECT settle.round_amount('NaN', 2);
SELECT settle.round_amount('-Infinity', 2);

-- a part of an amount, rounded once; a minimum; a recoverable draw
SELECT settle.prorate(100, 10, 30), settle.prorate(100, 10, 30, 0, 'up'), settle.prorate(-20, 1, 3, 3, 'half_even');
SELECT settle.prorate(100, 10, 0);
SELECT settle.true_up(minimum => 3000, used => 900, days => 10, period_days => 30),
       settle.true_up(3000, 1200, 10, 30), settle.true_up(100, 33.335, 1, 3);
SELECT * FROM settle.draw(earned => 400, guarantee => 1000, balance => 800);
SELECT * FROM settle.draw(1500, 1000, 800);
SELECT * FROM settle.draw(2500, 1000, 800);
SELECT * FROM settle.draw(2500, 1000, 800, recovers => false);

-- allocation
SELECT settle.allocate(100, '{1,1,1}'), settle.allocate(-100, '{1,1,1}'), settle.allocate(0.05, '{3,0,2}');
SELECT mode, settle.allocate(19535, '{0.025,0.025,0.125,0,0.125,0.4,0.3}', 1, mode) AS parts
FROM unnest('{largest_remainder,first,first_incl_zero,last,largest_weight,sequential_from_last,separate,block_separate}'::text[]) mode;
SELECT settle.allocate(10, '{3,4,5}', 1, 'proportional_with_caps'), settle.allocate(100, '{3,4,5}', 1, 'proportional_with_caps');
SELECT settle.allocate(100, '{}');
SELECT settle.allocate(100, '{0,0}');
SELECT settle.allocate(100, '{2,-1}');
SELECT settle.allocate(100, '{2,NULL}');
SELECT settle.allocate(100, '{{1},{2}}');
SELECT settle.allocate(100.005, '{1,1}');
SELECT settle.allocate(100, '{1,1}', 0);
SELECT settle.allocate(100, '{1,1}', 0.01, 'by luck');

-- nested splits
SELECT * FROM settle.allocate('["split", [
    ["15", ["split", [["20", ["to", "tax:vat"]], ["remaining", ["seq", [["200", ["to", "platform"]], ["remaining", ["to", "hq"]]]]]]]],
    [{"fixed": "500"}, ["to", "carrier"]],
    ["remaining", ["to", "dealer"]]]]', 10000);
SELECT * FROM settle.allocate('["split", [["33.33", ["to", "a"]], ["33.33", ["to", "b"]], ["33.34", ["to", "c"]]]]', -100.01);
SELECT * FROM settle.allocate('["split", [[{"fixed": "40"}, ["to", "a"]], ["60", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["split", [["33.33", ["to", "a"]], ["66.66", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["split", [["60", ["to", "a"]], ["41", ["to", "b"]], ["remaining", ["to", "c"]]]]', 100);
SELECT * FROM settle.allocate('["split", [["remaining", ["to", "a"]], ["remaining", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["split", [[{"fixed": "101"}, ["to", "a"]], ["remaining", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["split", [[{"fixed": "0.001"}, ["to", "a"]], ["remaining", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["split", [["-1", ["to", "a"]], ["remaining", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["split", [[{"fix": "1"}, ["to", "a"]], ["remaining", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["seq", [["60", ["to", "a"]], ["30", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["seq", [["remaining", ["to", "a"]], ["30", ["to", "b"]]]]', 100);
SELECT * FROM settle.allocate('["give", "hq"]', 100);
SELECT * FROM settle.allocate('["to", 7]', 100);
SELECT * FROM settle.allocate('{"to": "hq"}', 100);
SELECT * FROM settle.allocate('["to", "hq"]', 0.001);

-- withholding: thresholds
SELECT settle.withhold('{"rate_percent": "10", "cumulative_threshold": "30000"}', '{"income": "20000"}', 10000) AS whole,
       settle.withhold('{"rate_percent": "10", "cumulative_threshold": "30000", "excess_only": true}', '{"income": "20000"}', 12000) AS excess,
       settle.withhold('{"rate_percent": "10", "single_threshold": "15000"}', '{}', 15000) AS single,
       settle.withhold('{"rate_percent": "10", "single_threshold": "15000"}', '{"income": "15000", "taxed": "15000"}', 100) AS not_sticky,
       settle.withhold('{"rate_percent": "10", "single_threshold": "15000", "sticky": true}', '{"income": "15000", "taxed": "15000"}', 100) AS sticky;
SELECT settle.withhold_next('{"rate_percent": "10", "cumulative_threshold": "30000"}', '{"income": "20000"}', 10000);
SELECT settle.withhold('{"rate_percent": "10", "certificate": {"rate_percent": "2", "limit": "5000", "from": "2026-01-01", "until": "2026-03-31"}}',
                       jsonb_build_object('certificate_used', used, 'on', day), 4000) AS tax, used, day
FROM (VALUES ('0', '2026-01-01'), ('3000', '2026-03-31'), ('0', '2026-04-01')) v(used, day);
-- individual income tax of China
SELECT amount, settle.withhold('cn_labour', '{}', amount) AS labour, settle.withhold('cn_author', '{}', amount) AS author,
       settle.withhold('cn_wages', '{}', amount) AS wages, settle.withhold('cn_platform', '{}', amount) AS platform,
       settle.withhold('cn_annual', '{}', amount) AS annual
FROM unnest('{800,4000,25000,62500,100000,1000000}'::numeric[]) amount;
SELECT settle.withhold('cn_wages', '{"income": "20000", "months": 3, "deductions": "7500", "withheld": "150"}', 10000);
SELECT settle.withhold('cn_platform', '{"on": "2025-09-30"}', 10000);
SELECT settle.withhold('cn_wage', '{}', 10000);
SELECT settle.withhold('{"rate_percent": "101"}', '{}', 10000);
SELECT settle.withhold('{"rate_percent": "10", "threshold": "5"}', '{}', 10000);
SELECT settle.withhold('{"rate_percent": "10", "excess_only": true}', '{}', 10000);
SELECT settle.withhold('{"rate_percent": "10", "certificate": {"rate_percent": "2", "from": "1 May"}}', '{}', 10000);
SELECT settle.withhold('{"rate_percent": "10", "certificate": {"rate_percent": "2", "from": "2026-05-01"}}', '{}', 10000);
SELECT settle.withhold('cn_wages', '{"month": 3}', 10000);
SELECT settle.withhold('cn_wages', '[]', 10000);
