-- settle.drill: the tickets of a cell sum to the cell, at any level of either tree,
-- after corrections and moves; from there to the explanation of one.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('shop') \g /dev/null
UPDATE shop.book SET max_correction = NULL;
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '10% to 1000, 7%', accumulate => 'month', tally_by => 'dealer:{dealer}') \g /dev/null
SELECT settle.add_rule('shop', 'pay', 'pay', 'hq', '{party}', base => '5', source => 'period') \g /dev/null
SELECT settle.add_to_roster('shop', 'dealer:d1') \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, dealer, amount, cost, currency)
SELECT 'T' || i, '2025-09-30 20:00+08'::timestamptz + i * interval '9 hours', ('{repair.fridge,repair.tv,repair.tv.big,install}'::ltree[])[1 + i % 4], ('{cn.east,cn.east.sh,cn.west,hk}'::ltree[])[1 + i / 3 % 4],
    'd' || i % 5, 100 + i % 37, i % 3, CASE WHEN i % 11 = 0 THEN 'HKD' END
FROM generate_series(1, 240) AS i;
SELECT settle.run('shop') \g /dev/null
-- what a ticket was corrected by, moved inside a cell and out of it, and withdrawn
UPDATE shop.ticket SET amount = amount + 0.005 WHERE ticket_id LIKE '%3';
UPDATE shop.ticket SET project = 'repair.tv.big' WHERE project = 'repair.tv' AND ticket_id LIKE '%5';
UPDATE shop.ticket SET region = 'hk' WHERE region = 'cn.west' AND ticket_id LIKE '%6';
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id LIKE '%7';
SELECT settle.run('shop') \g /dev/null
SELECT settle.close_period('shop', '2025-10-01') \g /dev/null
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id LIKE '%1';
SELECT settle.run('shop') \g /dev/null

-- every cell there can be, said by the lines of the tables themselves
CREATE TEMPORARY VIEW cell AS
SELECT p.project, r.region, sh.period, sh.currency, sum(sh.tickets) FILTER (WHERE so.source <> 'period') AS tickets, sum(sh.revenue) AS revenue, sum(sh.cost) AS cost, sum(sh.payout) AS payout, sum(sh.revenue - sh.cost - sh.payout) AS profit
FROM shop.sheet AS sh JOIN shop.source AS so USING (source_id)
CROSS JOIN LATERAL (SELECT '' AS project UNION ALL SELECT subpath(sh.project, 0, n)::text FROM generate_series(1, nlevel(sh.project)) AS n) AS p
CROSS JOIN LATERAL (SELECT '' AS region UNION ALL SELECT subpath(sh.region, 0, n)::text FROM generate_series(1, nlevel(sh.region)) AS n) AS r
GROUP BY 1, 2, 3, 4;
SELECT cmp_ok((SELECT count(*) FROM cell), '>', 100::bigint, 'the cells of two trees, three periods and two currencies');
SELECT is_empty($$ SELECT c.* FROM cell AS c LEFT JOIN LATERAL settle.drill('shop', c.project, c.region, c.period, c.currency) AS d ON true
    GROUP BY c.project, c.region, c.period, c.currency, c.tickets, c.revenue, c.cost, c.payout, c.profit
    HAVING (coalesce(c.tickets, 0), c.revenue, c.cost, c.payout, c.profit) IS DISTINCT FROM (coalesce(sum(d.tickets), 0), coalesce(sum(d.revenue), 0), coalesce(sum(d.cost), 0), coalesce(sum(d.payout), 0), coalesce(sum(d.profit), 0)) $$,
    'the tickets of every cell sum to it');
SELECT is((SELECT count(*) - count(DISTINCT (source, ticket_key, currency)) FROM settle.drill('shop', '', '', NULL)), 0::bigint, 'one row a ticket');
SELECT is((SELECT sum(tickets) FROM settle.drill('shop', '', '', NULL)), (SELECT count(*) FROM shop.ticket WHERE done_at IS NOT NULL)::numeric, 'without a period all there are');
SELECT is_empty($$ SELECT ticket_key FROM settle.drill('shop', 'repair.tv', '', '2025-11-01') JOIN shop.ticket ON ticket_id = ticket_key WHERE NOT ticket.project <@ 'repair.tv' $$, 'what has moved away is not there');
SELECT is_empty($$ SELECT d.ticket_key FROM settle.drill('shop', 'repair', '', NULL) AS d JOIN shop.ticket AS t ON t.ticket_id = d.ticket_key WHERE (d.project, d.region) IS DISTINCT FROM (t.project::text, t.region::text) $$, 'a ticket stands where it is now');
SELECT is((SELECT string_agg(DISTINCT source, ' ' ORDER BY source) FROM settle.drill('shop', '', '', '2025-10-01')), 'period tally ticket', 'all has what stands in no project, too');
SELECT is((SELECT string_agg(DISTINCT source, ' ') FROM settle.drill('shop', 'repair', '', '2025-10-01')), 'ticket', 'a project has not');
SELECT is_empty($$ SELECT FROM settle.drill('shop', 'nothing.here', '', '2025-10-01') $$, 'a project that is not there has no tickets');

-- from the cell to the explanation of each, one statement that a tool can bind
PREPARE of_cell (text, text, date, text) AS SELECT count(*) FROM settle.drill('shop', $1, $2, $3, $4);
SELECT is((SELECT sum(e.amount) FROM settle.drill('shop', 'repair.tv', 'cn', '2025-11-01') AS d CROSS JOIN LATERAL settle.explain('shop', d.source::name, d.ticket_key) AS e WHERE e.kind = 'posted' AND d.tickets = 1),
    (SELECT sum(l.amount) FROM settle.drill('shop', 'repair.tv', 'cn', '2025-11-01') AS d JOIN shop.line_detail AS l ON l.source = d.source AND l.ticket_key = d.ticket_key WHERE d.tickets = 1), 'its explanations say what is posted');
SELECT lives_ok($$ EXECUTE of_cell('repair', 'cn.east', '2025-11-01', NULL) $$, 'as a prepared statement');

-- a cell of few tickets does not read the periods before it
INSERT INTO shop.ticket (ticket_id, done_at, project, region, dealer, amount) SELECT 'M' || i, '2026-01-02'::timestamptz + i / 5000 * interval '31 days', 'install', 'hk', 'd1', 1 FROM generate_series(1, 20000) AS i;
SELECT settle.run('shop') \g /dev/null
VACUUM ANALYZE shop.sheet;
SELECT relpages AS pages FROM pg_class WHERE oid = 'shop.sheet'::regclass \gset
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT heap_blks_read + heap_blks_hit AS blocks FROM pg_statio_user_tables WHERE relid = 'shop.sheet'::regclass \gset
SELECT count(*) AS found FROM settle.drill('shop', 'install', 'cn', '2025-12-01', 'USD') \gset
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT is(:found::bigint, 0::bigint, 'it is empty');
SELECT cmp_ok(heap_blks_read + heap_blks_hit - :blocks, '<', (:pages / 2)::bigint, 'and reads the part of the sheets where its period lies') FROM pg_statio_user_tables WHERE relid = 'shop.sheet'::regclass;

SELECT throws_ok($$ SELECT * FROM settle.drill('shop', NULL, '', '2025-10-01') $$, '22004', 'a project and a region must be given', 'no project');
SELECT throws_ok($$ SELECT * FROM settle.drill('shop', '', NULL, '2025-10-01') $$, '22004', NULL, 'no region');
SELECT throws_ok($$ SELECT * FROM settle.drill('shop', 'a..b', '', '2025-10-01') $$, '42601', NULL, 'a project that is no path');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all is well');
SELECT * FROM finish();
