-- What a book does that may take long, each with the longest stretch on which it
-- does not look for a cancel.  The variable scale is 1 in full.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
\o /dev/null
CREATE TABLE interrupt.work (n int GENERATED ALWAYS AS IDENTITY, work text, longest float8, calls text);
CREATE PROCEDURE interrupt.measure(work text, statement text) LANGUAGE plpgsql AS $$
DECLARE
	stretch record;
BEGIN
	PERFORM interrupt.begin();
	EXECUTE statement;
	COMMIT;
	stretch := interrupt.end();
	INSERT INTO interrupt.work (work, longest, calls) VALUES (measure.work, stretch.longest, stretch.calls);
END $$;
CREATE EXTENSION scrm_settle CASCADE;
SELECT settle.create_book('runs'), settle.create_book('commits', settle_on => 'commit');
UPDATE runs.book SET max_correction = NULL;
SELECT settle.add_choice('runs', 'area', 'all');
SELECT settle.add_rule(b, 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%'),
	settle.add_rule(b, 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '3% to 2000, 5%', accumulate => 'month')
FROM (VALUES ('runs'::regnamespace), ('commits')) AS v (b);

-- about two of the rules apply to a ticket
CALL interrupt.measure('adding rules', format($sql$
	INSERT INTO runs.rule (code, component, source, payer, payee, base, applies_when, tiers)
	SELECT 'area_' || i, 'area', 'ticket', 'hq', 'dealer:{worker}', 'amount',
		CASE i %% 2 WHEN 0 THEN format('region <@ %%L AND worker = %%L', 'cn.p' || i %% 30, i %% 5000)
			ELSE format('project = %%L AND worker <> ''x'' AND amount > 100', 'k.f' || i %% 50 || '.m' || i) END,
		CASE i %% 3 WHEN 0 THEN '2%%' ELSE '6%% to 500, 4%%' END::settle.tiers
	FROM generate_series(1, %s) AS i $sql$, (10000 * :scale)::integer));
CALL interrupt.measure('the ruleset', $$ SELECT settle.rules('runs') $$);
CALL interrupt.measure('a ruleset read', $$ SELECT settle.rules('runs')::text::settle.ruleset $$);
CALL interrupt.measure('writing tickets', format($sql$
	INSERT INTO runs.ticket (ticket_id, done_at, project, region, worker, amount)
	SELECT 't' || i, timestamptz '2025-09-03' + i %% 3 * interval '1 month', text2ltree('k.f' || i %% 50 || '.m' || i %% 1000), text2ltree('cn.p' || i %% 30 || '.s' || i %% 300), i %% 5000, i %% 10000 + 0.5
	FROM generate_series(1, %s) AS i $sql$, (40000 * :scale)::integer));
CALL interrupt.measure('a run', $$ SELECT settle.run('runs') $$);
CALL interrupt.measure('changing tickets', 'UPDATE runs.ticket SET amount = amount + 1');
CALL interrupt.measure('a run of corrections', $$ SELECT settle.run('runs') $$);
CALL interrupt.measure('a run of what is the same', $$ SELECT settle.rescan('runs'), settle.run('runs') $$);
CALL interrupt.measure('deleting tickets', $$ DELETE FROM runs.ticket WHERE ticket_id LIKE 't%7' $$);
CALL interrupt.measure('a plan', $$ SELECT count(*) FROM settle.plan('runs') $$);
CALL interrupt.measure('a run of what is gone', $$ SELECT settle.run('runs') $$);
CALL interrupt.measure('folding', $$ SELECT settle._fold('runs') $$);
CALL interrupt.measure('sealing', $$ SELECT settle._seal('runs') $$);
CALL interrupt.measure('verifying', $$ SELECT count(*) FROM settle.verify('runs') $$);
CALL interrupt.measure('checking', $$ SELECT count(*) FROM settle.check('runs') $$);
CALL interrupt.measure('replaying', $$ SELECT count(*) FROM settle.replay('runs', '2025-09-01') $$);
CALL interrupt.measure('simulating', $$ SELECT count(*) FROM settle.simulate('runs', '2025-09-01', '2025-10-01', 'base') $$);
CALL interrupt.measure('the roster', format('SELECT settle.add_to_roster(%L, %L || i) FROM generate_series(1, %s) AS i', 'runs', 'staff:', (1000 * :scale)::integer));
TRUNCATE runs.problem;
CALL interrupt.measure('closing', $$ SELECT settle.close_period('runs', '2025-09-01') $$);
CALL interrupt.measure('lines', 'SELECT count(*), sum(amount) FROM runs.line_detail');
CALL interrupt.measure('the matrix of the book', 'SELECT count(*) FROM runs.revenue_matrix');
CALL interrupt.measure('a matrix', $$ SELECT count(*) FROM (SELECT settle.revenue_matrix(project, region, done_at::date, amount, 0) AS m FROM runs.ticket) AS m, settle.cells(m.m) $$);
CALL interrupt.measure('a matrix as text', $$ SELECT length((SELECT settle.revenue_matrix(project, region, done_at::date, amount, 0) FROM runs.ticket)::text::settle.matrix::text) $$);
CALL interrupt.measure('allocating', format('SELECT settle.allocate(1000000, array_agg(i::numeric)) FROM generate_series(1, %s) AS i', (10000 * :scale)::integer));
CALL interrupt.measure('tiers', $$ SELECT (string_agg('1% to ' || i, ', ' ORDER BY i) || ', 2%')::settle.tiers::text::settle.tiers FROM generate_series(1, 990) AS i $$);
CALL interrupt.measure('fees', format('SELECT sum(f) FROM (SELECT settle.tiered_fee(i, %L) OVER (ORDER BY i) AS f FROM generate_series(1, %s) AS i) AS x', '1% to 100, 2%', (40000 * :scale)::integer));
CALL interrupt.measure('settling at commit', format($sql$
	INSERT INTO commits.ticket (ticket_id, done_at, project, region, worker, amount) SELECT 'u' || i, '2025-11-03', 'a.b', 'c.d', i %% 500, i FROM generate_series(1, %s) AS i $sql$, (20000 * :scale)::integer));
CALL interrupt.measure('settling one by one', format('DO $do$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; FOR i IN 1..%s LOOP UPDATE commits.ticket SET amount = amount + 1 WHERE ticket_id = %L || i; END LOOP; END $do$', (200 * :scale)::integer, 'u'));
CALL interrupt.measure('absorbing', $$ SELECT settle._absorb('commits') $$);
CALL interrupt.measure('dropping a book', $$ SELECT settle.drop_book('commits', 'a test', discard => true) $$);
\o
