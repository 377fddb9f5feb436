-- Settles what waits in the book and says how fast.
SELECT clock_timestamp() AS started \gset
CALL settle.run_all('chain');
SELECT extract(epoch FROM clock_timestamp() - :'started') AS seconds \gset
SELECT count(DISTINCT ticket_key) AS tickets, count(*) AS lines FROM chain.line_detail \gset
\pset tuples_only on
\pset format unaligned
SELECT format('%s tickets with %s lines in %s seconds: %s tickets and %s lines a second.',
              :tickets, :lines, round(:seconds, 1), round(:tickets / :seconds), round(:lines / :seconds));
