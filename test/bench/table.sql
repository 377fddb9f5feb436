-- The table of make bench in Markdown, a line each, from bench.figure and bench.goal.
WITH ratio AS (
	SELECT g.*, o.seconds AS of_ours, q.seconds AS of_peer,
		CASE WHEN g.side IS NULL THEN o.seconds WHEN g.at_most OR g.unit = '/s' THEN o.seconds / q.seconds ELSE q.seconds / o.seconds END AS ratio
	FROM bench.goal AS g
	JOIN bench.figure AS o ON o.work = g.figure AND o.side = g.ours
	LEFT JOIN bench.figure AS q ON q.work = g.figure AND q.side = g.side AND q.round = o.round
	WHERE g.side IS NULL OR q.side IS NOT NULL
), summary AS (
	SELECT n, work, peer, side, unit, at_most, goal,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY of_ours)::numeric AS of_ours,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY of_peer)::numeric AS of_peer,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio)::numeric AS ratio,
		min(ratio) AS lowest, max(ratio) AS highest, count(*) AS rounds
	FROM ratio GROUP BY n, work, peer, side, unit, at_most, goal
)
SELECT '| work | ours | peer | its | ratio | spread | goal | |'
UNION ALL SELECT '|---|---|---|---|---|---|---|---|'
UNION ALL (
	SELECT format('| %s | %s | %s | %s | %s | %s | %s | %s |', work, bench.figure_text(of_ours) || ' ' || unit, peer, bench.figure_text(of_peer) || ' ' || unit,
		CASE WHEN side IS NOT NULL THEN bench.figure_text(ratio) END,
		CASE WHEN side IS NOT NULL AND rounds > 1 THEN bench.figure_text(lowest) || ' to ' || bench.figure_text(highest) END,
		CASE WHEN side IS NULL THEN 'under ' || trim_scale(goal) || ' ' || unit WHEN at_most THEN 'at most ' || trim_scale(goal) ELSE 'at least ' || trim_scale(goal) END,
		CASE WHEN goal IS NULL THEN NULL WHEN (ratio <= goal) = at_most THEN 'met' ELSE 'missed' END)
	FROM summary ORDER BY n
);
