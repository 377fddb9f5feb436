-- The ten who earned most in November, for paint, and where the month's
-- installations brought them in the tiers of their commission.
WITH earned AS (
    SELECT party, sum(amount) AS amount, count(DISTINCT ticket_key) AS tickets
    FROM (SELECT payee AS party, amount, ticket_key FROM chain.line_detail
          WHERE ticket_time >= '2025-11-01' AND ticket_time < '2025-12-01'
          UNION ALL
          SELECT payer, -amount, NULL FROM chain.line_detail
          WHERE ticket_time >= '2025-11-01' AND ticket_time < '2025-12-01') l
    WHERE party LIKE 'staff:%'
    GROUP BY party
    ORDER BY amount DESC, party
    LIMIT 10
)
SELECT row_number() OVER (ORDER BY earned.amount DESC, party), party, region.name, earned.tickets, earned.amount,
       tally.quantity, step.lower, step.upper, step.rate, next.rate
FROM earned
JOIN shop.region ON substr(party, 8)::int BETWEEN first_worker + 1 AND first_worker + workers
LEFT JOIN chain.tally ON owner = party AND tally.rule_code = 'install_commission' AND tally.period = '2025-11-01'
CROSS JOIN (SELECT tiers FROM chain.rule WHERE code = 'install_commission') rule
LEFT JOIN LATERAL settle.fee_steps(rule.tiers, 1000000) step ON tally.quantity > step.lower AND (tally.quantity <= step.upper OR step.upper IS NULL)
LEFT JOIN LATERAL settle.fee_steps(rule.tiers, 1000000) next ON next.step = step.step + 1
ORDER BY 1;
