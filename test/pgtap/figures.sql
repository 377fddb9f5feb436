-- Figures of the business: four worked examples by hand, and that every level of
-- both trees is the sum of the sheets, folded or not.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SET jit = off;
SELECT no_plan();

----------------------------------------------------------------------------------------------------
-- Four tickets by hand
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('hand') \g /dev/null
SELECT settle.add_rule('hand', 'intake', 'intake', 'customer', 'escrow', base => 'amount', applies_when => $$ channel = 'mall' $$);
SELECT settle.add_rule('hand', 'fee', 'fee', 'escrow', 'hq', base => 'amount', tiers => '15%', applies_when => $$ channel = 'mall' $$);
SELECT settle.add_rule('hand', 'vat', 'vat', 'escrow', 'tax:vat', base => 'tax', applies_when => $$ channel = 'mall' AND tax > 0 $$);
SELECT settle.add_rule('hand', 'dealer', 'dealer', 'escrow', 'dealer:{dealer}', remainder => true, applies_when => $$ channel = 'mall' $$);
SELECT settle.add_rule('hand', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => $$ channel IS DISTINCT FROM 'mall' $$);
SELECT settle.add_rule('hand', 'penalty', 'penalty', 'staff:{worker}', 'hq', base => '5', applies_when => 'rush');
SELECT settle.add_rule('hand', 'voucher', 'voucher', 'hq', 'customer:{customer}', base => '20', applies_when => 'night');
SELECT settle.add_rule('hand', 'points', 'points', 'hq', 'staff:{worker}', base => 'amount', unit => 'POINTS', applies_when => 'night');
INSERT INTO hand.ticket (ticket_id, done_at, project, region, channel, dealer, worker, customer, amount, cost, tax, rush, night) VALUES
    -- 1000 to escrow, 150 to hq, 56.60 to the tax office, 793.40 to the dealer: revenue 1000 - 56.60, profit 943.40 - 793.40
    ('1', '2025-11-03 10:00', 'repair.fridge', 'cn.east.sh', 'mall', 'd1', NULL, NULL, 1000, 0, 56.60, false, false),
    -- no tax said: revenue 500, payout 75 less to hq, so 425; 120 of parts; profit 500 - 120 - 425
    ('2', '2025-11-03 23:59', 'repair.fridge', 'cn.east.hz', 'mall', 'd1', NULL, NULL, 500, 120, 0, false, false),
    -- a wage of 20, of which 5 come back; revenue 200, cost 30, profit 200 - 30 - 15
    ('3', '2025-11-04 00:01', 'repair.tv', 'cn.east.sh', 'app', NULL, 'w1', NULL, 200, 30, 0, true, false),
    -- a wage of 8; the voucher is the customer's, points are no money; profit 80 - 8
    ('4', '2025-11-04 10:00', 'install', 'cn.west', NULL, NULL, 'w1', '88', 80, 0, 0, false, true);
SELECT settle.run('hand') \g /dev/null
PREPARE ticket_cells AS SELECT project, region, tickets, revenue, cost, payout, profit, margin FROM hand.revenue_matrix
    WHERE period = '2025-11-01' AND (project_level, region_level) IN ((2, 3), (1, 2)) AND (project, region) NOT IN (('repair', 'cn.east'));
SELECT bag_eq('ticket_cells', $$ VALUES
    ('repair.fridge', 'cn.east.sh', 1::bigint, 943.40, 0.00, 793.40, 150.00, 0.1590),
    ('repair.fridge', 'cn.east.hz', 1, 500.00, 120.00, 425.00, -45.00, -0.0900),
    ('repair.tv', 'cn.east.sh', 1, 200.00, 30.00, 15.00, 155.00, 0.7750),
    ('install', 'cn.west', 1, 80.00, 0.00, 8.00, 72.00, 0.9000) $$, 'each ticket');
SELECT bag_eq($$ SELECT project, region, tickets, revenue, cost, payout, profit, margin, heat FROM hand.revenue_matrix WHERE project_level = 1 AND region_level IN (0, 2) $$, $$ VALUES
    ('repair', '', 3::bigint, 1643.40, 150.00, 1233.40, 260.00, 0.1582, 9), ('install', '', 1, 80.00, 0.00, 8.00, 72.00, 0.9000, 0),
    ('repair', 'cn.east', 3, 1643.40, 150.00, 1233.40, 260.00, 0.1582, 9), ('install', 'cn.west', 1, 80.00, 0.00, 8.00, 72.00, 0.9000, 0) $$,
    'nodes have what stands below them, and heat is the place among those of the same levels');
SELECT is((SELECT (tickets, revenue, cost, payout, profit, margin, heat, project, region) FROM hand.revenue_matrix WHERE project_level = 0 AND region_level = 0),
    (4::bigint, 1723.40, 150.00, 1241.40, 332.00, 0.1926, 5, ''::text, ''::text), 'all together');
SELECT bag_eq($$ SELECT project, revenue, total, share FROM hand.revenue_share WHERE project_level = 1 $$, $$ VALUES ('repair', 1643.40, 1723.40, 0.9536), ('install', 80.00, 1723.40, 0.0464) $$, 'shares of the projects');
SELECT bag_eq($$ SELECT region, tickets, revenue, cost, payout, profit, margin FROM hand.margin_by_region WHERE region_level = 2 $$,
    $$ VALUES ('cn.east', 3::bigint, 1643.40, 150.00, 1233.40, 260.00, 0.1582), ('cn.west', 1, 80.00, 0.00, 8.00, 72.00, 0.9000) $$, 'margin by region');
SELECT bag_eq($$ SELECT channel, tickets, revenue, cost, payout, profit, margin FROM hand.margin_by_channel $$,
    $$ VALUES ('mall', 2::bigint, 1443.40, 120.00, 1218.40, 105.00, 0.0727), ('app', 1, 200.00, 30.00, 15.00, 155.00, 0.7750), ('', 1, 80.00, 0.00, 8.00, 72.00, 0.9000) $$, 'margin by channel');
SELECT bag_eq($$ SELECT grain, start, region, tickets, revenue, cost, payout, profit, moving_average FROM hand.trend $$, $$ SELECT grain, start::date, region, tickets, revenue, cost, payout, profit, moving_average FROM (VALUES
    ('day', '2025-11-03', 2::bigint, 1443.40, 120.00, 1218.40, 105.00, 1443.40), ('day', '2025-11-04', 2, 280.00, 30.00, 23.00, 227.00, 861.70),
    ('week', '2025-11-03', 4, 1723.40, 150.00, 1241.40, 332.00, 1723.40), ('month', '2025-11-01', 4, 1723.40, 150.00, 1241.40, 332.00, 1723.40))
    AS v (grain, start, tickets, revenue, cost, payout, profit, moving_average), unnest('{"", cn}'::text[]) AS region $$, 'days are those of book time');
SELECT bag_eq($$ SELECT ticket_key, period, project, region, channel, currency, revenue, cost, payout, profit, lines FROM hand.ticket_profit WHERE source = 'ticket' $$, $$ VALUES
    ('1', '2025-11-01'::date, 'repair.fridge', 'cn.east.sh', 'mall', 'CNY', 943.40, 0.00, 793.40, 150.00, 4::bigint), ('2', '2025-11-01', 'repair.fridge', 'cn.east.hz', 'mall', 'CNY', 500.00, 120.00, 425.00, -45.00, 3),
    ('3', '2025-11-01', 'repair.tv', 'cn.east.sh', 'app', 'CNY', 200.00, 30.00, 15.00, 155.00, 2), ('4', '2025-11-01', 'install', 'cn.west', NULL, 'CNY', 80.00, 0.00, 8.00, 72.00, 3) $$, 'profit of each ticket');
SELECT is_empty(format($$ SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'hand' AND table_name = ANY (%L)
    AND (data_type = 'numeric' AND numeric_precision IS DISTINCT FROM 18 OR data_type NOT IN ('text', 'numeric', 'integer', 'bigint', 'date', 'timestamp with time zone')
        OR col_description(format('hand.%%I', table_name)::regclass, ordinal_position) IS NULL) $$, '{revenue_matrix,revenue_share,margin_by_region,margin_by_channel,trend,ticket_profit}'), 'columns have plain types and a comment');

----------------------------------------------------------------------------------------------------
-- A year ago
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('years') \g /dev/null
SELECT settle.add_rule('years', 'wage', 'wage', 'hq', 'staff', base => 'amount', tiers => '10%', valid => '(,)');
INSERT INTO years.ticket (ticket_id, done_at, project, region, amount) VALUES
    ('1', '2024-11-05', 'a', 'cn.x', 100), ('2', '2025-11-05', 'a', 'cn.y', 150), ('3', '2025-11-08', 'a', 'cn.x', 50), ('4', '2025-11-08', 'a', 'us', 30);
SELECT settle.run('years') \g /dev/null
SELECT bag_eq($$ SELECT grain, start, revenue, moving_average, year_before, year_on_year FROM years.trend WHERE region = 'cn' $$, $$ VALUES
    ('day', '2024-11-05'::date, 100.00, 100.00, NULL, NULL), ('day', '2025-11-05', 150.00, 21.43, 100.00, 0.5000), ('day', '2025-11-08', 50.00, 28.57, NULL, NULL),
    ('week', '2024-11-04', 100.00, 100.00, NULL, NULL), ('week', '2025-11-03', 200.00, 50.00, 100.00, 1.0000),
    ('month', '2024-11-01', 100.00, 100.00, NULL, NULL), ('month', '2025-11-01', 200.00, 66.67, 100.00, 1.0000) $$, 'what was a year ago, and averages over the days that have passed');
SELECT bag_eq($$ SELECT region, revenue, moving_average FROM years.trend WHERE grain = 'month' AND start = '2025-11-01' $$, $$ VALUES ('', 230.00, 76.67), ('cn', 200.00, 66.67), ('us', 30.00, 30.00) $$, 'each first level of the regions, and all');

----------------------------------------------------------------------------------------------------
-- Totals are the sheets, however they were folded
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('folds') \g /dev/null
UPDATE folds.source SET on_delete = 'reverse';
SELECT settle.add_rule('folds', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', valid => '(,)');
SELECT settle.add_rule('folds', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% to 1000, 2%', accumulate => 'month', valid => '(,)');
SELECT settle.add_rule('folds', 'guarantee', 'guarantee', 'hq', '{party}', base => '7', source => 'period', valid => '(,)');
INSERT INTO folds.ticket (ticket_id, done_at, project, region, channel, worker, amount, cost, currency)
SELECT n, '2025-10-01'::timestamptz + n * interval '5 hours',
    (ARRAY['repair', 'repair.fridge', 'repair.fridge.door', 'install.ac', 'install'])[1 + n % 5]::ltree, (ARRAY['cn', 'cn.east', 'cn.east.sh', 'cn.east.hz', 'us.ca', ''])[1 + n % 6]::ltree,
    (ARRAY['app', 'mall', '', NULL])[1 + n % 4], 'w' || n % 3, 10 * n, n, CASE WHEN n % 7 = 0 THEN 'USD' ELSE 'CNY' END
FROM generate_series(1, 240) AS n;
SELECT settle.add_to_roster('folds', 'staff:w1') \g /dev/null
-- what the views must say, of the sheets alone
CREATE VIEW public.cell AS
SELECT CASE p WHEN 0 THEN '' ELSE subpath(project, 0, p)::text END AS project, CASE r WHEN 0 THEN '' ELSE subpath(region, 0, r)::text END AS region, period, currency,
    sum(tickets) FILTER (WHERE source <> 'period') AS tickets, sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout, p AS project_level, r AS region_level
FROM (SELECT coalesce(h.project, '') AS project, coalesce(h.region, '') AS region, h.period, h.currency, h.tickets, h.revenue, h.cost, h.payout, source FROM folds.sheet AS h JOIN folds.source USING (source_id)) AS s,
    generate_series(0, nlevel(project)) AS p, generate_series(0, nlevel(region)) AS r
GROUP BY 1, 2, 3, 4, p, r HAVING (sum(tickets), sum(revenue), sum(cost), sum(payout)) <> (0, 0, 0, 0);
PREPARE by_sheets AS SELECT project, region, period, currency, coalesce(tickets, 0), revenue, cost, payout, revenue - cost - payout, project_level, region_level FROM public.cell;
PREPARE by_view AS SELECT project, region, period, currency, tickets, revenue, cost, payout, profit, project_level, region_level FROM folds.revenue_matrix;
SELECT settle.run('folds', 100) \g /dev/null
SELECT settle.run('folds') \g /dev/null
SELECT bag_eq('by_view', 'by_sheets', 'before any fold');
SELECT is(settle._fold('folds', 7), 7::bigint, 'a part of a run is folded');
SELECT is((SELECT (count(*), sum(last_sheet - first_sheet + 1) > 200) FROM folds.unfolded), (2::bigint, true), 'the rest of it waits');
SELECT bag_eq('by_view', 'by_sheets', 'with a part of a run folded');
SELECT is_empty($$ SELECT * FROM settle.check('folds') $$, 'the book agrees with itself');
SELECT is(settle._fold('folds', 150), 150::bigint, 'the rest of a run and a part of the next');
SELECT bag_eq('by_view', 'by_sheets', 'with two runs folded in part');
SELECT settle.work('folds', 'fold') \g /dev/null
SELECT is((SELECT figures FROM folds.job_run WHERE what = 'fold'), format('{"sheets": %s}', (SELECT count(*) FROM folds.sheet) - 157)::jsonb, 'the tick folds what is left');
SELECT is(settle._fold('folds'), 0::bigint, 'then there is nothing to fold');
SELECT is(settle._tick_fold('folds'), NULL, 'and the tick has nothing to say');
SELECT bag_eq('by_view', 'by_sheets', 'all folded');

-- tickets move, change and go; a period closes, and what comes late stands in the next
UPDATE folds.ticket SET region = 'us.ny', amount = amount + 1 WHERE ticket_id::int % 10 = 1;
UPDATE folds.ticket SET project = 'install.ac' WHERE ticket_id::int % 10 = 2;
UPDATE folds.ticket SET channel = 'web' WHERE ticket_id::int % 10 = 5;
DELETE FROM folds.ticket WHERE ticket_id::int % 10 = 3;
SELECT settle.run('folds') \g /dev/null
SELECT bag_eq('by_view', 'by_sheets', 'corrections that wait');
SELECT bag_eq($$ SELECT ticket_key, revision, tickets, channel FROM folds.sheet WHERE ticket_key IN ('5', '15') AND revision > 1 $$,
    $$ VALUES ('5', 2, -1::smallint, 'mall'), ('5', 3, 1, 'web'), ('15', 2, -1, NULL), ('15', 3, 1, 'web') $$, 'a ticket of another channel is taken back where it stood');
SELECT settle._fold('folds', 50) \g /dev/null
SELECT bag_eq('by_view', 'by_sheets', 'corrections folded in part');
SELECT settle.close_period('folds', '2025-10-01', 'all is in') \g /dev/null
UPDATE folds.ticket SET cost = cost + 5 WHERE ticket_id::int % 10 = 4;
SELECT settle.run('folds') \g /dev/null
SELECT is((SELECT count(*) > 10 FROM folds.sheet WHERE corrects_period = '2025-10-01'), true, 'October is corrected in November');
SELECT bag_eq('by_view', 'by_sheets', 'and the views follow');
SELECT settle._fold('folds') \g /dev/null
SELECT bag_eq('by_view', 'by_sheets', 'folded as well');
SELECT bag_eq($$ SELECT channel, period, currency, tickets, revenue, cost, payout, profit FROM folds.margin_by_channel $$,
    $$ SELECT coalesce(h.channel, '') AS channel, h.period, h.currency, coalesce(sum(h.tickets) FILTER (WHERE source <> 'period'), 0) AS tickets, sum(h.revenue) AS revenue, sum(h.cost) AS cost, sum(h.payout) AS payout, sum(h.revenue - h.cost - h.payout) AS profit
        FROM folds.sheet AS h JOIN folds.source USING (source_id) GROUP BY 1, 2, 3 $$, 'channels are the sheets'' too');
SELECT bag_eq($$ SELECT period, currency, sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout, sum(profit) AS profit FROM folds.ticket_profit GROUP BY 1, 2 $$,
    $$ SELECT period, currency, revenue, cost, payout, profit FROM folds.revenue_matrix WHERE project_level = 0 AND region_level = 0 $$, 'and so are the profits of tickets');
SELECT bag_eq($$ SELECT start, region, currency, tickets, revenue, cost, payout, profit FROM folds.trend WHERE grain = 'month' $$,
    $$ SELECT period, region, currency, tickets, revenue, cost, payout, profit FROM folds.revenue_matrix WHERE project_level = 0 AND region_level <= 1 $$, 'months of the trend are those of the matrix');
SELECT is_empty($$ SELECT * FROM settle.check('folds') $$, 'the book agrees with itself once more');
-- of the sheets that correct October, the day is the first of November; of what a tally owes, which is posted now, the last of October
SELECT bag_eq($$ SELECT day, sum(tickets) AS tickets, sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout FROM folds.day_total GROUP BY 1 $$,
    $$ SELECT d, coalesce(sum(tickets) FILTER (WHERE source <> 'period'), 0), sum(revenue) AS r, sum(cost) AS c, sum(payout) AS p FROM (
        SELECT least(greatest((ticket_time AT TIME ZONE 'Asia/Shanghai')::date, period), (period + interval '1 month - 1 day')::date) AS d, s.*, source FROM folds.sheet AS s JOIN folds.source USING (source_id)) AS s GROUP BY 1 $$,
    'days are those of the tickets in book time, of corrections the nearest in their period');
SELECT is_empty($$ SELECT FROM folds.day_total WHERE date_trunc('month', day) <> period $$, 'so that days sum to their period');
-- the calendar of what is settled stays
SELECT throws_ok($$ UPDATE folds.book SET time_zone = 'America/New_York' $$, '55000', 'book "folds" keeps its time zone and its kind of period: it has settled tickets', 'days would be other days');
SELECT throws_ok($$ UPDATE folds.book SET period = 'week' $$, '55000', NULL, 'and periods other periods');
SELECT lives_ok($$ UPDATE folds.book SET time_zone = time_zone, settle_on = 'schedule' $$, 'what says the same is no change');
SELECT settle.create_book('fresh') \g /dev/null
SELECT lives_ok($$ UPDATE fresh.book SET time_zone = 'America/New_York', period = 'week' $$, 'a book that has settled nothing has another calendar');
UPDATE folds.cell_total SET revenue = revenue + 1 WHERE project = 'install' AND region = 'us' AND period = '2025-11-01' AND currency = 'CNY';
UPDATE folds.day_total SET tickets = tickets + 1 WHERE day = '2025-11-03' AND region = 'us' AND currency = 'CNY';
SELECT bag_eq($$ SELECT invariant, object FROM settle.check('folds') $$, $$ VALUES
    ('totals by nodes equal the sheets that are folded', 'install us 2025-11-01'), ('totals by day equal the sheets that are folded', '2025-11-03 us app') $$, 'settle.check finds a total that is not the sum of its sheets');
-- as docs/report.md mends it, in the middle of a fold
BEGIN;
TRUNCATE ONLY folds.unfolded, folds.cell_total, folds.day_total, folds.party_total, folds.rule_total;
INSERT INTO folds.unfolded (run_id, first_sheet, last_sheet) SELECT s.run_id, min(s.sheet_id), max(s.sheet_id) FROM folds.sheet AS s
    WHERE NOT EXISTS (SELECT FROM folds.fresh_run AS f WHERE f.run_id = s.run_id) GROUP BY s.run_id;
COMMIT;
SELECT bag_eq('by_view', 'by_sheets', 'totals are made anew of the sheets');
SELECT settle._fold('folds', 100) \g /dev/null
SELECT bag_eq('by_view', 'by_sheets', 'and folded again');
SELECT is_empty($$ SELECT * FROM settle.check('folds') $$, 'with nothing to find');

----------------------------------------------------------------------------------------------------
-- Names
----------------------------------------------------------------------------------------------------
SELECT settle.set_label('hand', 'project', 'repair', '维修', 'Repair', reason => 'names for the report'), settle.set_label('hand', 'region', '', '全部') \g /dev/null
SELECT bag_eq($$ SELECT project_name, region_name FROM hand.revenue_matrix WHERE project_level = 1 AND region_level = 0 $$, $$ VALUES ('维修', '全部'), ('install', '全部') $$,
    'names in any script, the path where there is none');
SELECT is((SELECT reason FROM hand.change WHERE table_name = 'label' AND after ->> 'path' = 'repair'), 'names for the report', 'a name is journalled');
SELECT settle.set_label('hand', 'project', 'repair') \g /dev/null
SELECT is((SELECT project_name FROM hand.revenue_matrix WHERE project = 'repair' AND region_level = 0), 'repair', 'a null name takes it away');
SELECT throws_ok($$ SELECT settle.set_label('hand', 'project', 'repair') $$, '42704', 'project "repair" has no name');
SELECT settle.set_label('hand', 'channel', 'mall', '商城') \g /dev/null
SELECT is((SELECT channel_name FROM hand.margin_by_channel WHERE channel = 'mall'), '商城', 'a channel has a name as well');
SELECT throws_ok($$ SELECT settle.set_label('hand', 'city', 'sh', '上海') $$, '22023', 'unknown tree "city"');
SELECT throws_ok($$ SELECT settle.set_label('hand', 'region', NULL, 'x') $$, '22004', 'a label needs a tree and a path');
SELECT throws_ok($$ SELECT settle.set_label('hand', 'region', 'cn..east', 'x') $$, '42601', 'ltree syntax error at character 4');

----------------------------------------------------------------------------------------------------
-- Whose side a party is on
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('sides') \g /dev/null
SELECT settle.add_rule('sides', 'wage', 'wage', 'hq', 'shop:{dealer}', base => 'amount', tiers => '10%');
INSERT INTO sides.ticket (ticket_id, done_at, project, region, dealer, amount) SELECT n, '2025-11-05', 'a', 'cn', CASE WHEN n < 4 THEN 'own' ELSE 'other' END, 100 FROM generate_series(1, 6) AS n;
SELECT settle.run('sides') \g /dev/null
UPDATE sides.ticket SET dealer = CASE dealer WHEN 'own' THEN 'other' ELSE 'own' END WHERE ticket_id IN ('3', '6');
SELECT settle.run('sides') \g /dev/null
SELECT settle._fold('sides') \g /dev/null
-- a line named it first, so it was outside; then somebody says that it is ours
SELECT settle.add_party('sides', 'shop:own', side => 'own') \g /dev/null
SELECT bag_eq($$ SELECT DISTINCT source_id, ticket_key FROM sides.pending $$, $$ SELECT source_id, k FROM sides.source, unnest('{1,2,3,6}'::text[]) AS k WHERE source = 'ticket' $$, 'its tickets, one that a correction gave to it, too, are looked at again, no others');
SELECT settle.run('sides') \g /dev/null
SELECT is((SELECT (payout, profit) FROM sides.revenue_matrix WHERE project_level = 0 AND region_level = 0), (30.00, 570.00), 'what goes to an own party is no payout, whenever that was said');
SELECT is((SELECT (count(*), sum(amount)) FROM sides.line_detail), (10::bigint, 60.00), 'no line was posted for it');
SELECT settle.run('sides') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.check('sides') $$, 'the book agrees with itself');
INSERT INTO sides.party_total SELECT 999, period, rule_id, owner_id, unit, tickets, amount FROM sides.party_total LIMIT 1;
SELECT is((SELECT object FROM settle.check('sides')), '? 2025-11-01 wage', 'a total of nobody is told');
TRUNCATE ONLY sides.unfolded, sides.party_total, sides.cell_total, sides.day_total, sides.rule_total;
INSERT INTO sides.unfolded (run_id, first_sheet, last_sheet) SELECT s.run_id, min(s.sheet_id), max(s.sheet_id) FROM sides.sheet AS s GROUP BY s.run_id;
ALTER TABLE sides.sheet DISABLE TRIGGER append_only;
UPDATE sides.sheet SET payout = payout + 1 WHERE ticket_key = '4';
SELECT set_eq($$ SELECT invariant, object, detail FROM settle.check('sides') WHERE object = 'ticket 4' $$, $$ VALUES
    ('what a ticket pays out is what its lines say by the sides of their parties', 'ticket 4', 'sheets pay out 11.00 CNY, lines 10.00, to tax parties 0') $$, 'a payout that its lines do not give is told');

-- what no index could hold is a problem of its ticket
INSERT INTO hand.ticket (ticket_id, done_at, project, region, channel, worker, amount) VALUES
    ('long', '2025-11-05', text2ltree(repeat('a.', 130) || 'a'), 'cn', 'app', 'w1', 1), ('wide', '2025-11-05', 'a', 'cn', repeat('x', 1001), 'w1', 1);
SELECT settle.run('hand') \g /dev/null
SELECT bag_eq($$ SELECT ticket_key, rule_code, message, detail FROM hand.problem $$, $$ VALUES
    ('long', 'project', 'project of a ticket has 1052 bytes', 'It may have at most 1000 bytes.'), ('wide', 'channel', 'channel of a ticket has 1001 bytes', 'It may have at most 1000 bytes.') $$, 'paths and channels of more than 1,000 bytes');

SELECT * FROM finish();
