-- a cell of the matrix: kinds of work by areas; a name alone may stand for several nodes
SELECT project, project || ' ' || project_name AS work, region, region_name AS area, period, currency, tickets, revenue, cost, payout, profit, margin, heat, color
FROM revenue_matrix
WHERE project_level = 2 AND region_level = 2
