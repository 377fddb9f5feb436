-- A reader: each statement alone, and two statements of one snapshot.  A row for
-- each thing that is not as it must be.
\set ON_ERROR_STOP 1
SELECT 'a statement', 'commits', s.* FROM public.seen_commits AS s LIMIT 5;
SELECT 'a statement', 'runs', s.* FROM public.seen_runs AS s LIMIT 5;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT sum(p.earned) AS sums, (SELECT count(*) FROM runs.pending) AS pending FROM commits.party_balance AS p WHERE p.party ~ '^(staff|dealer|bureau)' \gset
SELECT 'a snapshot', 'commits', s.* FROM public.seen_commits AS s LIMIT 5;
SELECT 'a snapshot', 'runs', s.* FROM public.seen_runs AS s LIMIT 5;
SELECT 'a snapshot', 'commits', 'sums', :'sums', sum(l.amount) FROM commits.line_detail AS l WHERE l.payee ~ '^(staff|dealer|bureau)' HAVING sum(l.amount) <> :'sums';
SELECT 'a snapshot', 'runs', 'pending', :pending, count(*) FROM runs.pending HAVING count(*) <> :pending;
COMMIT;
