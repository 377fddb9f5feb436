-- What the page of a book holds, read as a reader in one snapshot: every row is a
-- JSON array whose first element says what it is.  Amounts are text.  psql sets
-- book, periods (the newest that are shown), and the bounds cells, tickets,
-- parties and alerts.
\set QUIET on
\pset format unaligned
\pset tuples_only on
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT rules ->> 'time_zone' AS time_zone, rules ->> 'currency' AS currency, rules ->> 'period' AS kind
FROM (SELECT settle.rules(:'book')::text::jsonb AS rules) AS r \gset
SET LOCAL TimeZone = :'time_zone';
SET LOCAL DateStyle = ISO;
SET LOCAL work_mem = '128MB';

SELECT json_build_array('book', :'book', :'currency', :'kind', :'time_zone', to_char(now(), 'YYYY-MM-DD HH24:MI'), current_user,
    (SELECT extversion FROM pg_extension WHERE extname = 'scrm_settle'),
    (SELECT array_agg(settle.heat_color(level) ORDER BY level) FROM generate_series(0, 9) AS level),
    (SELECT coalesce(json_object_agg(period, state), '{}') FROM :"book".period));

-- The cells of both trees, levels and all, with the place of each figure among
-- the cells of its period, currency and levels.  How far they go is depth plus
-- age: the newest period is shown deepest.  Of what is left out the count stays.
WITH cell AS MATERIALIZED (
    SELECT m.*, dense_rank() OVER (ORDER BY period DESC) - 1 AS age
    FROM :"book".revenue_matrix AS m
), slice AS (
    SELECT period, currency, project_level, region_level, count(*) AS cells,
        min(revenue) AS revenue_low, max(revenue) AS revenue_high, min(profit) AS profit_low, max(profit) AS profit_high,
        min(margin) AS margin_low, max(margin) AS margin_high, min(tickets) AS tickets_low, max(tickets) AS tickets_high,
        sum(count(*)) OVER (ORDER BY project_level + region_level + age, age, currency, project_level) <= :cells AS taken
    FROM cell
    WHERE age < :periods
    GROUP BY period, age, currency, project_level, region_level
)
SELECT json_build_array('slice', period, currency, project_level, region_level, cells, taken,
    ARRAY[revenue_low, revenue_high]::text[], ARRAY[profit_low, profit_high]::text[], ARRAY[margin_low, margin_high]::text[], ARRAY[tickets_low, tickets_high]::text[])
FROM slice
UNION ALL
SELECT json_build_array('cell', period, currency, project_level, region_level, project, region, project_name, region_name,
    tickets::text, revenue::text, cost::text, payout::text, profit::text, margin::text,
    settle.heat(revenue, revenue_low, revenue_high), heat, settle.heat(margin, margin_low, margin_high), settle.heat(tickets, tickets_low, tickets_high))
FROM cell
JOIN slice USING (period, currency, project_level, region_level)
WHERE taken;

SELECT json_build_array('label', tree, path, name_en) FROM :"book".label WHERE tree IN ('project', 'region') AND name_en IS NOT NULL;

-- The five tickets of each cell that moved it most, by profit or loss, and their
-- explanations, as far as the bound goes: the first before the second, upper
-- levels before lower ones, newer periods before older ones.  The five of a cell
-- are among the five of the cells below it.
WITH age AS (
    SELECT period, row_number() OVER (ORDER BY period DESC) - 1 AS age
    FROM (SELECT DISTINCT period FROM :"book".revenue_matrix WHERE project_level = 0 AND region_level = 0) AS p
    ORDER BY period DESC
    LIMIT :periods
), ticket AS (
    SELECT t.*, age, row_number() OVER (ORDER BY abs(profit) DESC, source, ticket_key) AS number
    FROM (
        SELECT source COLLATE "C" AS source, ticket_key COLLATE "C" AS ticket_key, ticket_time, period,
            coalesce(project, '') COLLATE "C" AS project, coalesce(region, '') COLLATE "C" AS region, currency, revenue, cost, payout, profit,
            row_number() OVER (PARTITION BY period, currency COLLATE "C", project COLLATE "C", region COLLATE "C" ORDER BY abs(profit) DESC, source COLLATE "C", ticket_key COLLATE "C") AS place
        FROM :"book".ticket_profit
    ) AS t
    JOIN age USING (period)
    WHERE place <= 5
), project_node AS (
    SELECT project, level, dense_rank() OVER (ORDER BY CASE level WHEN 0 THEN '' ELSE subpath(project::ltree, 0, level) END) AS node
    FROM (SELECT DISTINCT project FROM ticket) AS p, generate_series(0, nlevel(project::ltree)) AS level
), region_node AS (
    SELECT region, level, dense_rank() OVER (ORDER BY CASE level WHEN 0 THEN '' ELSE subpath(region::ltree, 0, level) END) AS node
    FROM (SELECT DISTINCT region FROM ticket) AS r, generate_series(0, nlevel(region::ltree)) AS level
), placed AS (
    SELECT number, 2 * (p.level + r.level) + age + row_number() OVER cell AS turn, row_number() OVER cell AS place
    FROM ticket
    JOIN project_node AS p USING (project)
    JOIN region_node AS r USING (region)
    WINDOW cell AS (PARTITION BY p.node, r.node, age, currency ORDER BY number)
), chosen AS MATERIALIZED (
    SELECT t.*
    FROM (SELECT number, min(turn) AS turn FROM placed WHERE place <= 5 GROUP BY number) AS p
    JOIN ticket AS t USING (number)
    ORDER BY p.turn, age, number
    LIMIT :tickets
)
SELECT json_build_array('ticket', source, ticket_key, to_char(ticket_time, 'YYYY-MM-DD HH24:MI'), period, project, region, currency,
    revenue::text, cost::text, payout::text, profit::text)
FROM chosen
UNION ALL
SELECT json_build_array('explanation', source, ticket_key,
    (SELECT json_agg(json_build_array(kind, name, payer, payee, base::text, factor::text, amount::text, unit, detail) ORDER BY step)
     FROM settle.explain(:'book', c.source, c.ticket_key)))
FROM (SELECT DISTINCT source, ticket_key FROM chosen WHERE source <> 'tally') AS c;

-- Lines through time: all regions together and the twelve with most revenue.
WITH trend AS MATERIALIZED (
    SELECT * FROM :"book".trend
), shown AS (
    SELECT region FROM trend WHERE grain = 'month' GROUP BY region ORDER BY region <> '', sum(revenue) DESC, region LIMIT 13
), line AS (
    SELECT t.*, dense_rank() OVER (PARTITION BY grain ORDER BY start DESC) AS age
    FROM trend AS t WHERE region IN (SELECT region FROM shown)
)
SELECT json_build_array('trend', grain, start, region, region_name, currency, tickets::text, revenue::text, cost::text, payout::text, profit::text, moving_average::text, year_before::text, year_on_year::text)
FROM line WHERE age <= CASE grain WHEN 'day' THEN 100 WHEN 'week' THEN 60 ELSE 36 END
ORDER BY grain, region, start;

-- Where parties stand in their tiers, in the last two periods; a kind of party is
-- staff, dealer ...
WITH standing AS (
    SELECT p.*, split_part(party, ':', 1) AS kind, dense_rank() OVER (ORDER BY period DESC) AS age
    FROM :"book".progress AS p
    WHERE quantity IS NOT NULL
), placed AS (
    SELECT s.*, row_number() OVER own AS place, count(*) OVER (PARTITION BY period, component, unit, kind) AS parties
    FROM standing AS s
    WHERE age <= 2
    WINDOW own AS (PARTITION BY period, component, unit, kind ORDER BY amount DESC, party)
)
SELECT json_build_array('progress', period, component, kind, unit, parties, party, title, tickets::text, amount::text,
    quantity::text, tier_from::text, next_tier_at::text, to_next_tier::text, next_rate::text, next_gain::text, rank)
FROM placed WHERE place <= :parties
ORDER BY period DESC, component, kind, unit, place;

SELECT json_build_array('alert', kind, object, message, level, to_char(first_seen, 'YYYY-MM-DD HH24:MI'), to_char(acknowledged_at, 'YYYY-MM-DD HH24:MI'), acknowledged_by,
    count(*) OVER ())
FROM :"book".alert
WHERE ended_at IS NULL
ORDER BY first_seen DESC, kind, object
LIMIT :alerts;
COMMIT;
