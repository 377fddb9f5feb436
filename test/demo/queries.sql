-- What each dealer got, month by month.
SELECT payee, period, component, sum(amount) FROM chain.line_detail
WHERE payee LIKE 'dealer:yn-%' GROUP BY payee, period, component ORDER BY 1, 2, 3;

-- Where one technician stands in the tiers.
SELECT period, rule_code, quantity, amount FROM chain.tally WHERE owner = 'staff:w2356' ORDER BY 1, 2;

-- Which service earns its keep, and in which part of the country.
SELECT subpath(project, 0, 2) AS service, subpath(region, 0, 2) AS area,
       sum(revenue) AS revenue, sum(payout) AS payout, sum(profit) AS profit
FROM chain.revenue_matrix GROUP BY ROLLUP (1, 2) ORDER BY 1, 2;

-- What could not be settled, and why.
SELECT ticket_key, rule_code, message FROM chain.problem ORDER BY ticket_key;

-- Name the missing technician and settle again: only what changed is posted.
UPDATE chain.ticket SET worker = 'w0001' WHERE worker IS NULL AND dealer IS NULL;
SELECT * FROM settle.run('chain', 1000);
