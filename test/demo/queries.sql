-- What one dealer got and gave in November, found through an index.
SELECT component, count(*) AS lines,
       sum(CASE payee WHEN 'dealer:yn-03' THEN amount ELSE -amount END) AS amount
FROM settle.lines_of('chain', 'dealer:yn-03', '[2025-11-01,2025-12-01)')
GROUP BY component ORDER BY component;

-- Where the best earner stands in the tiers.
SELECT period, rule_code, tickets, quantity, amount FROM chain.tally
WHERE owner = 'staff:w2356' ORDER BY period, rule_code;

-- Which service earns its keep, and in which part of the country.
SELECT project, region, sum(tickets) AS tickets, sum(revenue) AS revenue, sum(cost) AS cost,
       sum(payout) AS payout, sum(profit) AS profit, round(sum(profit) / sum(revenue), 3) AS margin
FROM chain.revenue_matrix
WHERE project_level <= 1 AND region_level IN (0, 2)
GROUP BY project, region ORDER BY 1, 2;

-- What could not be settled, and why.
SELECT ticket_key, rule_code, message FROM chain.problem ORDER BY ticket_key;

-- Name the missing technicians: what is late is posted in December, and says what it corrects.
UPDATE chain.ticket SET worker = 'w0001' WHERE worker IS NULL AND dealer IS NULL;
SELECT * FROM settle.run('chain');
SELECT corrects_period, count(*) AS lines, sum(amount) AS amount FROM chain.line_detail
WHERE run_id = (SELECT max(run_id) FROM chain.run) GROUP BY 1 ORDER BY 1;

-- What one dealer's statement of November consists of.
SELECT kind, component, tickets, amount, state FROM chain.statement_detail
WHERE party = 'dealer:yn-03' AND period = '2025-11-01' ORDER BY component;
