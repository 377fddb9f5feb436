-- a kind of work, all regions together; address is what its page is called
SELECT project, replace(project, '.', '-') AS address, project || ' ' || project_name AS work, period, currency, tickets, revenue, cost, payout, profit, margin
FROM revenue_matrix
WHERE project_level = 2 AND region_level = 0
