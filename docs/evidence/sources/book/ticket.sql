-- the tickets of the last month, with the kind of work whose page shows them
SELECT split_part(project, '.', 1) || '.' || split_part(project, '.', 2) AS project, ticket_key, ticket_time, period, region, channel, currency, revenue, cost, payout, profit, lines
FROM ticket_profit
WHERE project LIKE '%.%' AND period = (SELECT max(period) FROM revenue_matrix WHERE project_level = 0 AND region_level = 0)
