SELECT grain, start AS starts, region, coalesce(region_name, region) AS region_name, currency, tickets, revenue, payout, profit, moving_average, year_before, year_on_year
FROM trend
