-- A row for each thing that is not as it must be, before anything is settled
-- again and after.  build/crash has what clients were told of.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE TEMPORARY TABLE acked_run (run_id bigint, tickets bigint, lines bigint, amount numeric);
CREATE TEMPORARY TABLE acked_ticket (book name, name text, n integer);
\copy acked_run FROM 'build/crash/acked_runs' DELIMITER '|'
\copy acked_ticket FROM 'build/crash/acked_tickets' DELIMITER '|'
SELECT 'check', b, c.* FROM unnest('{runs,commits}'::regnamespace[]) AS b, settle.check(b) AS c;
SELECT 'verify', b, v.* FROM unnest('{runs,commits}'::regnamespace[]) AS b, settle.verify(b) AS v;
SELECT 'a run is lost', a.* FROM acked_run AS a WHERE (a.run_id, a.tickets, a.lines, a.amount) NOT IN (SELECT r.run_id, r.tickets, r.lines, r.amount FROM runs.run AS r);
SELECT 'tickets are lost', a.* FROM acked_ticket AS a
LEFT JOIN (SELECT split_part(t.ticket_id, '.', 1) AS name, count(*) AS n FROM (TABLE runs.ticket UNION ALL TABLE commits.ticket) AS t GROUP BY 1) AS f USING (name)
WHERE f.n IS DISTINCT FROM a.n;
SELECT 'not settled at commit', t.ticket_id FROM commits.ticket AS t WHERE t.ticket_id NOT IN (SELECT s.ticket_key FROM commits.sheet AS s);
SELECT 'settled twice', b, s.ticket_key, s.n FROM (
	SELECT 'runs' AS b, s.ticket_key, count(*) AS n FROM runs.line_detail AS s WHERE s.component = 'fee' AND s.revision = 1 GROUP BY s.ticket_key
	UNION ALL
	SELECT 'commits', s.ticket_key, count(*) FROM commits.line_detail AS s WHERE s.component = 'fee' GROUP BY s.ticket_key
) AS s WHERE s.n <> 1;
SELECT 'sums', misses('commits');
CALL settle.run_all('runs');
SELECT 'sums', misses('runs');
SELECT 'check after a run', c.* FROM settle.check('runs') AS c;
