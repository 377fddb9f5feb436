-- Two books of the same rules: one that runs settle, one that settles at commit.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
\o /dev/null
CREATE EXTENSION scrm_settle CASCADE;
SELECT settle.create_book('runs'), settle.create_book('commits', settle_on => 'commit');
SELECT settle.add_rule(b, 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%'),
	settle.add_rule(b, 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '3% to 2000, 5%', accumulate => 'month')
FROM unnest('{runs,commits}'::regnamespace[]) AS b;
UPDATE runs.book SET max_correction = NULL;

-- Tickets of three months, numbered under a name; what it gives back a client is told once all is committed.
CREATE PROCEDURE public.write(INOUT book name, INOUT name text, INOUT n integer) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I.ticket (ticket_id, done_at, project, region, worker, amount)
		SELECT $1 || ''.'' || i, timestamptz ''2025-09-03'' + i %% 3 * interval ''1 month'', ''a.b'', ''c.d'', i %% 7, i + 0.5
		FROM generate_series(1, $2) AS i', book) USING name, n;
END $$;
-- What parties should have by the tickets alone, and have.
CREATE FUNCTION public.misses(book name) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		WITH owed AS (
			SELECT 'staff:' || t.worker AS payee, sum(round(t.amount * 0.05, 2)) AS fee, round(settle.fee('3%% to 2000, 5%%', sum(t.amount)), 2) AS commission
			FROM %1$I.ticket AS t GROUP BY t.worker, date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai')
		), wanted AS (
			SELECT o.payee, sum(o.fee + o.commission) AS amount FROM owed AS o GROUP BY o.payee
		), found AS (
			SELECT l.payee, sum(l.amount) AS amount FROM %1$I.line_detail AS l GROUP BY l.payee
		)
		SELECT format('%%s: %%s has %%s, not %%s', %1$L, payee, f.amount, w.amount) FROM wanted AS w FULL JOIN found AS f USING (payee)
		WHERE coalesce(w.amount, 0) <> coalesce(f.amount, 0)
	$sql$, book);
END $$;
