-- a cell of the matrix: kinds of work by areas
SELECT project, project_name, region, region_name, period, currency, tickets, revenue, cost, payout, profit, margin, heat, color
FROM revenue_matrix
WHERE project_level = 2 AND region_level = 2
