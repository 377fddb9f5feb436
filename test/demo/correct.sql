-- Takes 1,000 yuan off the ticket that was explained, whose month is closed, and
-- shows what that posts in the open one.
\pset footer off
SELECT ticket_key AS key FROM chain.line_detail WHERE period = '2025-10-01'
GROUP BY ticket_key ORDER BY count(*) DESC, ticket_key DESC LIMIT 1 \gset
UPDATE chain.ticket SET amount = amount - 1000 WHERE ticket_id = :'key';
\o /dev/null
SELECT settle.run('chain');
\o
SELECT CASE source WHEN 'ticket' THEN ticket_key ELSE 'its tally' END AS ticket, component, payer, payee, base::numeric(18, 2), amount,
       period AS posted_in, corrects_period AS corrects
FROM chain.line_detail
WHERE run_id = (SELECT max(run_id) FROM chain.run) ORDER BY source DESC, ticket_key, line;
