-- What a session keeps for as long as it lives does not grow: contexts below the
-- server's own, before and after so many evaluations, failing ones inside
-- savepoints, edits of rules, and books that are made and dropped.
--
--     psql -v evaluations=1000000 -v failing=100000 -v edits=10000 -v books=100 -f test/leaks/leaks.sql
--
-- Everything is done once before it is measured, more often than what is
-- remembered has places.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET jit = off;
\if :{?evaluations} \else \set evaluations 10000 \endif
\if :{?failing} \else \set failing 2000 \endif
\if :{?edits} \else \set edits 200 \endif
\if :{?books} \else \set books 5 \endif
SELECT plan(8);

-- Bytes in use in contexts that outlive statements and transactions.
CREATE FUNCTION public.kept() RETURNS TABLE (context text, bytes bigint, contexts bigint) LANGUAGE sql AS $$
    WITH RECURSIVE context AS (
        SELECT m.name, coalesce(m.ident, '') AS ident, m.parent, m.level, m.used_bytes,
            m.name IN ('TopMemoryContext', 'CacheMemoryContext') OR m.parent IN ('TopMemoryContext', 'CacheMemoryContext')
                AND m.name NOT IN ('MessageContext', 'TopPortalContext', 'TopTransactionContext', 'ErrorContext', 'RowDescriptionContext', 'TransactionAbortContext', 'SPI Proc', 'SPI Exec', 'Portal hash', 'PortalHoldContext')
                OR m.name LIKE 'scrm\_settle%' OR m.name LIKE 'settle%' OR m.name LIKE 'CachedPlan%' AS is_kept
        FROM pg_backend_memory_contexts AS m
    )
    SELECT name, sum(used_bytes)::bigint, count(*) FROM context WHERE is_kept GROUP BY name
$$;
CREATE TABLE public.seen (n int, context text, bytes bigint, contexts bigint);
-- What has grown since the nth look, the largest first.
CREATE FUNCTION public.grown(earlier int, later int) RETURNS TABLE (bytes bigint, contexts bigint, what text) LANGUAGE sql AS $$
    SELECT sum(d.bytes)::bigint, sum(d.contexts)::bigint, string_agg(format('%s %s (%s)', d.context, d.bytes, d.contexts), ', ' ORDER BY d.bytes DESC) FILTER (WHERE d.bytes <> 0 OR d.contexts <> 0)
    FROM (SELECT context, coalesce(b.bytes, 0) - coalesce(a.bytes, 0) AS bytes, coalesce(b.contexts, 0) - coalesce(a.contexts, 0) AS contexts
        FROM (SELECT * FROM public.seen WHERE n = earlier) AS a FULL JOIN (SELECT * FROM public.seen WHERE n = later) AS b USING (context)) AS d
$$;
CREATE PROCEDURE public.look(n int) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen SELECT look.n, k.* FROM public.kept() AS k;
END $$;

-- A book that settles at commit, one that runs settle, one whose rules are edited.
SELECT settle.create_book('till', settle_on => 'commit'), settle.create_book('shop'), settle.create_book('desk') \g /dev/null
SELECT settle.add_decision(b, 'place', fallback => '1'), settle.add_outcome(b, 'place', $$ region = 'west' $$, '1.25'),
    settle.add_rule(b, 'fee', 'fee', 'hq', 'dealer:{dealer}', base => '100 / amount', tiers => '10%', factors => '{place}'),
    settle.add_rule(b, 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 5% to 1000, 8%', accumulate => 'month')
FROM unnest('{till,shop,desk}'::regnamespace[]) AS b \g /dev/null
SELECT settle.add_pack('shop', 'winter', ends => '{fee}'), settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '12%', pack => 'winter') \g /dev/null
UPDATE shop.book SET max_correction = NULL;
UPDATE till.book SET max_correction = NULL;
CREATE TABLE public.ruleset AS SELECT settle.rules('shop') AS r;
INSERT INTO desk.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES (1, '2025-11-05', 'a.b', 'west', 1, 1, 10), (2, '2025-11-05', 'a.b', 'west', 1, 1, 0);

-- evaluations: of a value, of a row of a book; decisions; aggregates
CREATE PROCEDURE public.evaluate(n int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(settle.evaluate(r.r, t)) FROM public.ruleset AS r, desk.ticket AS t, generate_series(1, n / 2) WHERE t.amount > 0;
    FOR i IN 1..n / 10000 LOOP
        PERFORM count(settle.evaluate(r.r, t)), count(settle.decide('desk', 'place', t)), count(settle.evaluate(settle.rules('desk'), t)) FROM public.ruleset AS r, desk.ticket AS t, generate_series(1, 1000) WHERE t.amount > 0;
        PERFORM settle.revenue_matrix(t.project, t.region, '2025-11-01'::date, g, 1), settle.tiered_fee(g, '3% to 100, 5%') FROM desk.ticket AS t, generate_series(1, 1000) AS g;
        COMMIT;
    END LOOP;
    PERFORM settle.simulate('shop', '2025-11-01', '2025-12-01', 'winter');
    COMMIT;
END $$;

-- those that fail, each in a subtransaction that is rolled back
CREATE PROCEDURE public.fail(n int) LANGUAGE plpgsql AS $$
DECLARE
    failed int := 0;
BEGIN
    FOR i IN 1..n LOOP
        BEGIN
            IF i % 10 = 0 THEN
                PERFORM settle.evaluate(settle.rules('desk'), t) FROM desk.ticket AS t WHERE t.amount = 0;
            ELSE
                PERFORM settle.evaluate(r.r, t) FROM public.ruleset AS r, desk.ticket AS t WHERE t.amount = 0;
            END IF;
        EXCEPTION WHEN division_by_zero THEN
            failed := failed + 1;
        END;
        IF i % 100 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
    IF failed <> n THEN
        RAISE EXCEPTION '% of % have failed', failed, n;
    END IF;
END $$;

-- settled by runs and at commit, some that stand in problem, corrections, some rolled back
CREATE PROCEDURE public.settle(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        BEGIN
            INSERT INTO till.ticket (ticket_id, done_at, project, region, worker, dealer, amount)
                SELECT nextval('public.number'), '2025-11-05'::timestamptz, 'a.b', 'west', i % 7, i % 3, CASE WHEN i % 5 = 0 THEN 0 ELSE i END;
            SET CONSTRAINTS ALL IMMEDIATE;
            IF i % 4 = 0 THEN
                RAISE division_by_zero;
            END IF;
        EXCEPTION WHEN division_by_zero THEN
        END;
        COMMIT;
        INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount)
            SELECT nextval('public.number'), '2025-11-05'::timestamptz + g * interval '1 hour', 'a.b', 'west', g % 7, g % 3, g % 20 FROM generate_series(1, 20) AS g;
        COMMIT;
        UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id = (currval('public.number') - i % 20)::text;
        COMMIT;
        PERFORM settle.run('shop');
        COMMIT;
    END LOOP;
END $$;
CREATE SEQUENCE public.number;

-- edits of rules, every second rolled back, each followed by a price
CREATE PROCEDURE public.edit(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        BEGIN
            UPDATE desk.rule SET tiers = format('%s%%', 1 + i % 50)::settle.tiers WHERE code = 'fee';
            PERFORM settle.evaluate(settle.rules('desk'), t) FROM desk.ticket AS t WHERE t.amount > 0;
            IF i % 2 = 0 THEN
                RAISE division_by_zero;
            END IF;
        EXCEPTION WHEN division_by_zero THEN
        END;
        COMMIT;
        PERFORM settle.evaluate(settle.rules('desk'), t) FROM desk.ticket AS t WHERE t.amount > 0;
        COMMIT;
    END LOOP;
END $$;

-- books that come and go, with tickets that settled in each
CREATE PROCEDURE public.come_and_go(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        PERFORM settle.create_book('short', settle_on => 'commit');
        PERFORM settle.add_rule('short', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '10%');
        COMMIT;
        INSERT INTO short.ticket (ticket_id, done_at, project, region, dealer, amount) VALUES (1, '2025-11-05', 'a', 'b', 1, 0);
        COMMIT;
        PERFORM settle.evaluate(settle.rules('short'), t) FROM short.ticket AS t;
        PERFORM settle.run('short');
        PERFORM settle.drop_book('short', 'a test', discard => true);
        COMMIT;
    END LOOP;
END $$;

-- each once, then as often as is asked for
CALL public.evaluate(10000);
CALL public.look(1);
CALL public.evaluate(:evaluations);
CALL public.look(2);
CALL public.fail(100);
CALL public.look(3);
CALL public.fail(:failing);
CALL public.look(4);
CALL public.settle(20);
CALL public.look(5);
CALL public.settle(:edits);
CALL public.look(6);
CALL public.edit(40);
CALL public.look(7);
CALL public.edit(:edits);
CALL public.look(8);

\set limit 65536
SELECT CASE WHEN g.bytes <= :limit THEN ok(true, format('%s: %s bytes more', name, g.bytes))
    ELSE ok(false, format('%s: %s bytes more in %s', name, g.bytes, g.what)) END
FROM (VALUES (1, 2, format('%s evaluations', :evaluations)), (3, 4, format('%s that fail in savepoints', :failing)),
    (5, 6, format('%s times settled at commit and by a run', :edits)), (7, 8, format('%s edits of rules', :edits))) AS v (earlier, later, name), LATERAL public.grown(earlier, later) AS g;
SELECT cmp_ok(sum(g.contexts), '<=', 0::numeric, 'no more contexts and plans than before') FROM (VALUES (1, 2), (3, 4), (5, 6), (7, 8)) AS v (earlier, later), LATERAL public.grown(earlier, later) AS g;

-- The server keeps what it looked up in vain of tables that are gone: only what is ours is counted.
CALL public.come_and_go(:books);
CALL public.look(9);
CALL public.come_and_go(:books);
CALL public.look(10);
DELETE FROM public.seen WHERE n > 8 AND context NOT LIKE 'scrm\_settle%';
SELECT cmp_ok(contexts, '<=', 6::bigint, 'triggers of books that are gone are forgotten') FROM public.seen WHERE n = 10 AND context = 'scrm_settle capture';
DELETE FROM public.seen WHERE n > 8 AND context = 'scrm_settle capture';
SELECT cmp_ok(bytes, '<=', 65536::bigint, format('%s books that came and went: %s bytes more in %s', :books, bytes, what)) FROM public.grown(9, 10);

-- The test of the test: statements that nobody deallocates.
CALL public.look(11);
SELECT format('PREPARE s%s AS SELECT %s', i, i) FROM generate_series(1, 60) AS i \gexec
CALL public.look(12);
SELECT cmp_ok(bytes, '>', 65536::bigint, 'what is kept is seen') FROM public.grown(11, 12);
SELECT * FROM finish();
