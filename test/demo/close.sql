-- Closes October and November, and says what their statements come to.
\pset footer off
SELECT count(*) AS missing FROM chain.problem \gset
\o /dev/null
SELECT settle.run('chain');
SELECT settle.defer('chain', source, ticket_key, 'the branch still looks for the technician')
FROM chain.problem WHERE period < '2025-12-01';
SELECT clock_timestamp() AS started \gset
SELECT settle.close_period('chain', '2025-10-01', 'all branches have reported');
SELECT settle.close_period('chain', '2025-11-01', 'all branches have reported');
\o
SELECT extract(epoch FROM clock_timestamp() - :'started') AS seconds \gset
\pset tuples_only on
\pset format unaligned
SELECT format('Closed in %s seconds, %s tickets without a technician put off.', round(:seconds, 1),
              count(*) FILTER (WHERE deferred_at IS NOT NULL)) FROM chain.problem;
\echo
\pset tuples_only off
\pset format aligned
SELECT p.side, p.kind AS party, count(*) AS statements, sum(s.earned) AS earned, sum(s.payable) AS payable, sum(s.carried) AS carried
FROM chain.statement AS s JOIN chain.party AS p ON p.party = s.party
WHERE s.period = '2025-11-01'
GROUP BY 1, 2 ORDER BY 1, 2;
