-- A row for each thing that is not as it must be in the book that runs settle,
-- before what is pending is settled and after.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
SELECT 'check', c.* FROM settle.check('runs') AS c;
SELECT 'verify', v.* FROM settle.verify('runs') AS v;
CALL settle.run_all('runs');
SELECT 'sums', misses('runs');
SELECT 'check after a run', c.* FROM settle.check('runs') AS c;
