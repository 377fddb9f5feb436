-- Two books of the same rules: one that settles at commit, one that queues.
--
-- Whatever a writer does, what the tickets of a book are worth sums to the same
-- total: he moves money between tickets, splits some off, gives it back.  What a
-- customer pays for a ticket goes through escrow, which pays all of it out: so
-- what each ticket has brought and given is its amount, or nothing.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
\o /dev/null
CREATE EXTENSION scrm_settle CASCADE;
SELECT settle.create_book('runs'), settle.create_book('commits', settle_on => 'commit');
SELECT settle.add_rule(b, 'sale', 'sale', 'customer', 'escrow', base => 'amount'),
	settle.add_rule(b, 'fee', 'fee', 'escrow', 'staff:{worker}', base => 'amount', tiers => '5%'),
	settle.add_rule(b, 'tax', 'tax', 'escrow', 'bureau', base => 'amount', tiers => '6%'),
	settle.add_rule(b, 'rest', 'rest', 'escrow', 'dealer:{dealer}', remainder => true),
	settle.add_rule(b, 'bonus', 'bonus', 'hq', 'staff:{level}', base => 'amount', tiers => '1% to 20000, 3%', accumulate => 'month')
FROM (VALUES ('runs'::regnamespace), ('commits')) AS v (b);
UPDATE runs.source SET on_delete = 'reverse';
UPDATE commits.source SET on_delete = 'reverse';
UPDATE runs.book SET max_correction = NULL;
CREATE SEQUENCE public.number;

-- 200 tickets of 1,000 each, of four months, six of the staff and three dealers.
CREATE FUNCTION public.place(n integer, OUT done_at timestamptz, OUT project text, OUT worker text, OUT dealer text, OUT level text) LANGUAGE sql AS $$
	SELECT timestamptz '2025-06-10' + n % 4 * interval '1 month', 'p' || n % 5 || '.x', (n % 6)::text, (n % 3)::text, ((n + 3) % 6)::text
$$;
INSERT INTO runs.ticket (ticket_id, region, amount, done_at, project, worker, dealer, level)
SELECT 'b' || n, 'c.d', 1000, p.done_at, p.project::ltree, p.worker, p.dealer, p.level FROM generate_series(1, 200) AS n, public.place(n) AS p;
INSERT INTO commits.ticket (ticket_id, region, amount, done_at, project, worker, dealer, level)
SELECT 'b' || n, 'c.d', 1000, p.done_at, p.project::ltree, p.worker, p.dealer, p.level FROM generate_series(1, 200) AS n, public.place(n) AS p;

-- What writers do, each a transaction; the company locks its own rows in order.
CREATE FUNCTION public.move(book name, VARIADIC tickets integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	keys text[] := ARRAY(SELECT DISTINCT 'b' || t FROM unnest(tickets) AS t);
BEGIN
	EXECUTE format('SELECT FROM %I.ticket WHERE ticket_id = ANY ($1) ORDER BY ticket_id FOR NO KEY UPDATE', book) USING keys;
	EXECUTE format('UPDATE %I.ticket SET amount = amount + CASE ticket_id WHEN $1[1] THEN cardinality($1) - 1 ELSE -1 END * 0.37 WHERE ticket_id = ANY ($1)', book) USING keys;
END $$;
CREATE FUNCTION public.split(book name, ticket integer, parts integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.ticket SET amount = amount - $2 WHERE ticket_id = ''b'' || $1', book) USING ticket, parts;
	EXECUTE format('INSERT INTO %I.ticket (ticket_id, region, amount, done_at, project, worker, dealer, level)
		SELECT ''n'' || nextval(''public.number''), ''c.d'', 1, p.done_at, p.project::ltree, p.worker, p.dealer, p.level FROM generate_series(1, $2) AS n, public.place($1 + n * 7) AS p', book)
		USING ticket, parts;
END $$;
CREATE FUNCTION public.give_back(book name, ticket integer, number integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	given numeric;
BEGIN
	EXECUTE format('DELETE FROM %I.ticket WHERE ticket_id = ''n'' || $1 RETURNING amount', book) INTO given USING number;
	EXECUTE format('UPDATE %I.ticket SET amount = amount + $2 WHERE ticket_id = ''b'' || $1', book) USING ticket, coalesce(given, 0);
END $$;
-- somebody else has done it, somewhere else, in another month; or it is not done after all
CREATE FUNCTION public.correct(book name, ticket integer, otherwise integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.ticket AS t SET done_at = CASE WHEN $2 %% 5 > 0 THEN p.done_at END, project = p.project::ltree, worker = p.worker, dealer = p.dealer, level = p.level
		FROM public.place($2) AS p WHERE t.ticket_id = ''b'' || $1', book) USING ticket, otherwise;
END $$;
CREATE FUNCTION public.close(book regnamespace) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	month date;
BEGIN
	EXECUTE format('SELECT coalesce(max(p.period) + interval ''1 month'', ''2025-06-01'')::date FROM %s.period AS p WHERE p.state = ''closed''', book) INTO month;
	IF month < '2025-09-01' THEN
		PERFORM settle.close_period(book, month, 'a month of the bank');
	END IF;
END $$;

-- What is not as it must be, in one statement and so in one snapshot: a row each.
CREATE FUNCTION public.make_seen(book name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($view$
		CREATE VIEW public.seen_%1$s AS
		WITH line AS MATERIALIZED (
			SELECT l.ticket_key, l.component, l.payer, l.payee, l.amount FROM %1$I.line_detail AS l
		), ticket AS (
			SELECT l.ticket_key, sum(l.amount) FILTER (WHERE l.component = 'sale') AS brought, sum(l.amount) FILTER (WHERE l.payer = 'escrow') AS given
			FROM line AS l WHERE l.component NOT LIKE '%%retier' GROUP BY l.ticket_key
		)
		SELECT 'half a ticket' AS what, t.ticket_key AS object, format('brought %%s, given %%s', t.brought, t.given) AS detail FROM ticket AS t WHERE t.brought IS DISTINCT FROM t.given
		UNION ALL
		SELECT 'not settled', k.ticket_id, format('%%s, not %%s', t.brought, k.amount) FROM %1$I.ticket AS k LEFT JOIN ticket AS t ON t.ticket_key = k.ticket_id
		WHERE coalesce(t.brought, 0) <> CASE WHEN k.done_at IS NULL THEN 0 ELSE k.amount END AND NOT EXISTS (SELECT FROM %1$I.pending AS p WHERE p.ticket_key = k.ticket_id)
		UNION ALL
		SELECT 'gone', t.ticket_key, t.brought::text FROM ticket AS t
		WHERE t.brought <> 0 AND NOT EXISTS (SELECT FROM %1$I.ticket AS k WHERE k.ticket_id = t.ticket_key) AND NOT EXISTS (SELECT FROM %1$I.pending AS p WHERE p.ticket_key = t.ticket_key)
		UNION ALL
		SELECT 'total', 'tickets', sum(k.amount)::text FROM %1$I.ticket AS k HAVING sum(k.amount) <> 200000
		UNION ALL
		SELECT 'party', coalesce(b.party, l.payee), format('%%s in sums, %%s in sheets', b.earned, l.amount)
		FROM (SELECT p.party, sum(p.earned) AS earned FROM %1$I.party_balance AS p WHERE p.party ~ '^(staff|dealer|bureau)' GROUP BY p.party) AS b
		FULL JOIN (SELECT l.payee, sum(l.amount) AS amount FROM line AS l WHERE l.payee ~ '^(staff|dealer|bureau)' GROUP BY l.payee) AS l ON l.payee = b.party
		WHERE coalesce(b.earned, 0) <> coalesce(l.amount, 0)
		UNION ALL
		SELECT 'run', coalesce(p.party, l.payee), format('%%s by runs, %%s in sheets', p.received, l.amount)
		FROM (SELECT p.party, sum(s.received) AS received FROM %1$I.party_sum AS s JOIN %1$I.party AS p USING (party_id) WHERE p.party ~ '^(staff|dealer|bureau)' GROUP BY p.party) AS p
		FULL JOIN (SELECT l.payee, sum(l.amount) AS amount FROM line AS l WHERE l.payee ~ '^(staff|dealer|bureau)' GROUP BY l.payee) AS l ON l.payee = p.party
		WHERE coalesce(p.received, 0) <> coalesce(l.amount, 0)
		UNION ALL
		SELECT 'totals', 'revenue', format('%%s, not %%s', m.revenue, l.amount)
		FROM (SELECT sum(m.revenue) AS revenue FROM %1$I.revenue_matrix AS m WHERE m.project_level = 0 AND m.region_level = 0) AS m, (SELECT sum(l.amount) AS amount FROM line AS l WHERE l.component = 'sale') AS l
		WHERE coalesce(m.revenue, 0) <> coalesce(l.amount, 0)
	$view$, book);
END $$;
SELECT public.make_seen('runs'), public.make_seen('commits');
