-- The table of make bench-core, from the seconds in bench.figure.

\pset title ''
WITH pair (n, work, figure, our_side, peer, peer_side, at_most, goal) AS (VALUES
	(1, 'match and price, 200 rules', 'match', '200', 'sum(amount)', 'sum', true, 8),
	(2, 'match and price, 100 rules', 'match', '100', 'itself, 10 rules', '10', true, NULL),
	(3, 'match and price, 1,000 rules', 'match', '1000', 'itself, 10 rules', '10', true, NULL),
	(4, 'match and price, 10,000 rules', 'match', '10000', 'itself, 10 rules', '10', true, 2),
	(5, 'settle.run_all, 200 rules', 'run', 'ours', 'COPY of its lines', 'copy', true, 0.7),
	(6, 'settle.run_all, 200 rules', 'run', 'ours', 'SQL by sets, paths resolved first', 'sets', false, 4),
	(7, 'settle.run_all, 200 rules', 'run', 'ours', 'SQL by sets, rule columns joined *', 'join', false, 4),
	(8, 'settle.run_all, 200 rules', 'run', 'ours', 'PL/pgSQL row loop *', 'loop', false, 30),
	(9, 'tiered_fee(amount)', 'total', 'ours', 'sum(amount)', 'sum', true, 1.5),
	(10, 'tiered_fee(amount) over a month', 'running', 'ours', 'PL/pgSQL of sum(amount) over it', 'plpgsql', false, 30),
	(11, 'fee(tiers, amount)', 'fee', 'ours', 'PL/pgSQL of amount', 'plpgsql', false, 30),
	(12, 'revenue_matrix, dense', 'dense GROUP BY CUBE', 'ours', 'GROUP BY CUBE', 'cube', false, 3),
	(13, 'revenue_matrix, dense', 'dense GROUP BY CUBE over text', 'ours', 'GROUP BY CUBE, paths as text', 'cube', false, 3),
	(14, 'revenue_matrix, sparse', 'sparse GROUP BY CUBE', 'ours', 'GROUP BY CUBE', 'cube', false, 3),
	(15, 'revenue_matrix, sparse', 'sparse GROUP BY CUBE over text', 'ours', 'GROUP BY CUBE, paths as text', 'cube', false, 3)
), ratio AS (
	SELECT p.*, o.seconds AS ours_s, q.seconds AS peer_s,
		CASE WHEN p.at_most THEN o.seconds / q.seconds ELSE q.seconds / o.seconds END AS ratio
	FROM pair AS p
	JOIN bench.figure AS o ON o.work = p.figure AND o.side = p.our_side
	JOIN bench.figure AS q ON q.work = p.figure AND q.side = p.peer_side AND q.round = o.round
), summary AS (
	SELECT n, work, peer, at_most, goal,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY ours_s)::numeric AS ours_s,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY peer_s)::numeric AS peer_s,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio)::numeric AS ratio,
		min(ratio) AS lowest, max(ratio) AS highest, count(*) AS rounds
	FROM ratio GROUP BY n, work, peer, at_most, goal
)
SELECT work, peer, round(ours_s, 2) AS "ours s", round(peer_s, 2) AS "peer s", round(ratio, 2) AS ratio,
	CASE WHEN rounds > 1 THEN round(lowest, 2) || ' to ' || round(highest, 2) END AS spread,
	CASE WHEN goal IS NOT NULL THEN CASE WHEN at_most THEN 'at most ' ELSE 'at least ' END || goal END AS goal,
	CASE WHEN goal IS NOT NULL THEN CASE WHEN (ratio <= goal) = at_most THEN 'met' ELSE 'missed' END END AS result
FROM summary ORDER BY n;

\echo :tickets 'tickets; one backend; medians of the rounds. Where a goal says at most, ratio is ours by the'
\echo 'peer, else the peer by ours. * measured on the tickets of' :workers 'of 3,000 workers and scaled.'
