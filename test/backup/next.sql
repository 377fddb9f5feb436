-- The next settlement, and what it comes to: new tickets, corrections, a TRUNCATE,
-- a period that closes.
\set ON_ERROR_STOP 1
\set QUIET 1
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
\o /dev/null
UPDATE chain.book SET max_correction = 1000;
SELECT settle.release('chain', 'goes on') FROM chain.held HAVING count(*) > 0;
INSERT INTO chain.ticket (ticket_id, done_at, project, region, worker, amount) SELECT 'next' || i, '2025-11-20', 'repair.ac', 'cn.east.shanghai', '1001', 100 * i FROM generate_series(1, 20) AS i;
DELETE FROM chain.ticket WHERE ticket_id = (SELECT min(ticket_key COLLATE "C") FROM chain.line_detail WHERE period = '2025-11-01');
INSERT INTO company.visit SELECT i, '2025-12-20'::timestamptz, 'repair', '1001', 900 FROM generate_series(101, 110) AS i;
UPDATE company.visit SET fee = fee + 50 WHERE id = 3;
TRUNCATE company.visit_11;
CALL settle.tick('chain');
CALL settle.tick('"shop ""A"""');
SELECT settle.defer('chain', source, ticket_key, 'the branch still looks for the technician') FROM chain.problem WHERE period < '2025-12-01';
SELECT settle.close_period('chain', '2025-11-01', 'all branches have reported');
CALL settle.tick('chain');
\o
-- what belongs to no ticket has the time of its run
SELECT format('SELECT %L, t - ''ticket_time'' FROM (SELECT to_jsonb(v) AS t FROM %s AS v) AS q ORDER BY t::text COLLATE "C"', v, v)
FROM (SELECT format('%s.%s', b.book, v) AS v FROM settle.books() AS b, unnest('{line_detail,party_balance,tally,revenue_matrix}'::text[]) AS v ORDER BY 1) AS q \gexec
SELECT party, period, unit, state, earned, corrections, held, payable, carried, paid FROM chain.statement ORDER BY period, party COLLATE "C", unit;
SELECT what, figures, error FROM chain.job_run WHERE what <> 'clean' ORDER BY job_run_id;
SELECT b.book, settle.anchor(b.book) IS NOT NULL FROM settle.books() AS b ORDER BY b.book::text COLLATE "C";
SELECT 'FINDING ' || c::text FROM settle.books() AS b, settle.check(b.book) AS c WHERE c.detail !~ 'is settled and has no row' ORDER BY 1;
SELECT 'FINDING ' || v::text FROM settle.books() AS b, settle.verify(b.book, settle.anchor(b.book)) AS v ORDER BY 1;
