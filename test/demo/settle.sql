-- Settles what waits in the book, says how fast, and has every figure checked.
\pset tuples_only on
\pset format unaligned
SELECT clock_timestamp() AS started \gset
CALL settle.run_all('chain');
SELECT extract(epoch FROM clock_timestamp() - :'started') AS seconds \gset
SELECT format('%s tickets with %s lines in %s seconds: %s tickets and %s lines a second.',
              to_char(sum(tickets), 'FM999,999'), to_char(sum(lines), 'FM9,999,999'), round(:seconds, 1),
              to_char(sum(tickets) / :seconds, 'FM999,999'), to_char(sum(lines) / :seconds, 'FM9,999,999'))
FROM chain.run;
SELECT format('%s tickets are not done yet; %s name no technician and stand in chain.problem.',
              to_char(count(*) FILTER (WHERE done_at IS NULL), 'FM999,999'), (SELECT count(*) FROM chain.problem))
FROM chain.ticket;
\echo 'Checking every line against every sum ...'
SELECT clock_timestamp() AS started \gset
SELECT count(*) AS faults FROM settle.check('chain') \gset
SELECT format('%s, says settle.check after %s seconds.',
              CASE :faults WHEN 0 THEN 'All figures of the book agree' ELSE :faults || ' figures of the book do not agree' END,
              round(extract(epoch FROM clock_timestamp() - :'started'), 1));
