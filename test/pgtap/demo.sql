-- The demo's chain in small: what make demo shows is true, and it can be shown.
-- Not in one transaction: the run commits.
\set tickets 3000
\o /dev/null
\ir ../demo/shop.sql
\ir ../demo/book.sql
\ir ../demo/tickets.sql
CALL settle.run_all('chain');
\o
SELECT plan(13);

SELECT is(
    (SELECT md5(string_agg(concat_ws('|', ticket_id, rework_of, done_at AT TIME ZONE 'UTC', project, region, channel, customer,
                                     worker, dealer, amount, cost, rush, night, details), E'\n' ORDER BY ticket_id)) FROM chain.ticket),
    'd6308c17641e40e56f92e90068bfa21a', 'the generated tickets are the same on every machine');

SELECT is_empty($$ SELECT * FROM settle.check('chain') $$, 'every figure of the book agrees with every other');

SELECT is_empty($$ SELECT ticket_id FROM chain.ticket
    WHERE done_at IS NOT NULL
      AND ticket_id NOT IN (SELECT ticket_key FROM chain.line_detail)
      AND ticket_id NOT IN (SELECT ticket_key FROM chain.problem) $$,
    'every finished ticket has lines or stands among the problems');

SELECT set_eq($$ SELECT DISTINCT ticket_key FROM chain.problem $$,
    $$ SELECT ticket_id FROM chain.ticket WHERE worker IS NULL AND dealer IS NULL AND done_at IS NOT NULL $$,
    'the problems are the tickets without a technician');

SELECT is_empty($$
    SELECT ticket_key FROM chain.line_detail
    WHERE 'escrow' IN (payer, payee)
    GROUP BY ticket_key HAVING sum(CASE payee WHEN 'escrow' THEN amount ELSE -amount END) <> 0 $$,
    'escrow is empty on every ticket');

SELECT is(
    (SELECT sum(revenue) FROM chain.revenue_matrix WHERE project_level = 0 AND region_level = 0),
    (SELECT sum(amount - tax) FROM chain.ticket WHERE ticket_id IN (SELECT ticket_key FROM chain.line_detail)),
    'the matrix holds the revenue of the settled tickets');

SELECT is((SELECT lines FROM settle.run('chain', 100000)), 0::bigint, 'a second run posts nothing');

-- The drawings, as text because nobody watches.
\set matrix `psql -XqAtF"$(printf '\037')" -f test/demo/matrix.sql | test/demo/paint matrix`
\set earners `psql -XqAtF"$(printf '\037')" -f test/demo/earners.sql | test/demo/paint earners`
\set ticket `psql -XqAtF"$(printf '\037')" -f test/demo/ticket.sql | test/demo/paint ticket`
SELECT is(regexp_count(:'matrix', '^ *[^ ]+ [a-z]+ .* [0-9,]+( [.:=+*#%@-])?$', 1, 'n'), 1 + 7 + 31,
    'the heat map has a row for the country, each area and each province');
SELECT is(regexp_count(:'earners', '^ *[0-9]+ +staff:w', 1, 'n'), 10, 'ten earners are shown');
SELECT is(regexp_count(:'ticket', ' -> ', 1, 'n'),
    (SELECT count(*)::int FROM chain.line_detail WHERE period = '2025-10-01' GROUP BY ticket_key ORDER BY 1 DESC LIMIT 1),
    'every line of the ticket with the most of them is explained');

-- The months close, and a ticket of a closed one is corrected in the open one.
\o /dev/null
\ir ../demo/close.sql
\ir ../demo/correct.sql
\pset tuples_only on
\pset format unaligned
\o
SELECT is((SELECT sum(payable + held + carried) FROM chain.statement WHERE period = '2025-11-01'),
    (SELECT sum(brought_forward + earned + corrections + withheld) FROM chain.statement WHERE period = '2025-11-01'),
    'the statements of November add up');
SELECT is((SELECT array_agg(DISTINCT period || ' for ' || corrects_period) FROM chain.line_detail WHERE run_id = (SELECT max(run_id) FROM chain.run)),
    '{2025-12-01 for 2025-10-01}', 'a ticket of October is corrected in December');

-- The last queries name the missing technicians.
\o /dev/null
\ir ../demo/queries.sql
\o
SELECT is_empty($$ SELECT * FROM chain.problem $$, 'the queries of the demo run and clear the problems');

SELECT * FROM finish();
