-- What a session remembers of a book is never older than what others have
-- committed, and never what was rolled back.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(15);
CREATE EXTENSION dblink;
\set connection 'host=' :HOST ' port=' :PORT ' user=' :USER ' dbname=' :DBNAME
SELECT dblink_connect('other', :'connection') \g /dev/null

SELECT settle.create_book('till', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('till', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
CREATE FUNCTION public.sell(id int, day date, worker text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO till.ticket (ticket_id, done_at, project, region, worker, amount) VALUES (id, day + time '10:00' AT TIME ZONE 'Asia/Shanghai', 'a', 'b', worker, 100)
$$;
-- what a ticket's last sheet says
CREATE FUNCTION public.sheet(id int) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.period, s.corrects_period, trim_scale(s.payout), get_byte(s.inputs, 0) = 2, r.actor IS NOT NULL)
    FROM till.sheet AS s LEFT JOIN till.run AS r USING (run_id) WHERE s.ticket_key = id::text ORDER BY s.revision DESC LIMIT 1
$$;

-- the rules are kept, and a party is numbered, in what is rolled back
BEGIN;
SAVEPOINT s;
SELECT public.sell(1, '2025-10-05', 'w') \g /dev/null
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK TO s;
SELECT public.sell(2, '2025-10-05', 'w') \g /dev/null
COMMIT;
SELECT is(public.sheet(2), '2025-10-01 10 t t', 'what a savepoint knew is looked up again');
SELECT is_empty($$ SELECT * FROM settle.verify('till') $$, 'and the rules are kept');
BEGIN;
SELECT public.sell(3, '2025-10-05', 'z') \g /dev/null
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
SELECT public.sell(4, '2025-10-05', 'z') \g /dev/null
SELECT is((SELECT string_agg(payee, ' ') FROM till.line_detail WHERE ticket_key = '4'), 'staff:z', 'a party that was rolled back is numbered anew');

-- settings, by this session and by another
BEGIN;
UPDATE till.book SET keep_inputs = false;
SELECT public.sell(5, '2025-10-05', 'w') \g /dev/null
SET CONSTRAINTS ALL IMMEDIATE;
SELECT public.sheet(5) AS now \gset
ROLLBACK;
SELECT is(:'now'::text, '2025-10-01 10 f t', 'a setting of this transaction');
SELECT public.sell(6, '2025-10-05', 'w') \g /dev/null
SELECT is(public.sheet(6), '2025-10-01 10 t t', 'and none that it took back');
SELECT dblink_exec('other', 'UPDATE till.book SET keep_inputs = false') \g /dev/null
SELECT public.sell(7, '2025-10-05', 'w') \g /dev/null
SELECT is(public.sheet(7), '2025-10-01 10 f t', 'a setting of another session');
SELECT dblink_exec('other', 'SET session_replication_role = replica; UPDATE till.book SET keep_inputs = true; RESET session_replication_role') \g /dev/null
SELECT public.sell(8, '2025-10-05', 'w') \g /dev/null
SELECT is(public.sheet(8), '2025-10-01 10 t t', 'one that replication applies');

-- the side of a party, and the source
SELECT dblink_exec('other', $$ UPDATE till.party SET side = 'own' WHERE party = 'staff:w' $$) \g /dev/null
SELECT public.sell(9, '2025-10-05', 'w') \g /dev/null
SELECT is(public.sheet(9), '2025-10-01 0 t t', 'a party is on another side');
SELECT dblink_exec('other', $$ UPDATE till.source SET on_delete = 'reverse' WHERE source = 'ticket' $$) \g /dev/null
DELETE FROM till.ticket WHERE ticket_id = '4';
SELECT is((SELECT sum(amount) FROM till.line_detail WHERE ticket_key = '4'), 0.00, 'a source says otherwise what becomes of a ticket that is gone');

-- a period is closed and opened again
SELECT settle.run('till') \g /dev/null
SELECT public.sell(10, '2025-10-06', 'z') \g /dev/null
SELECT is(public.sheet(10), '2025-10-01 10 t t', 'October is open');
SELECT * FROM dblink('other', $$ SELECT settle.close_period('till', '2025-10-01', 'done')::text $$) AS c (t text) \g /dev/null
SELECT public.sell(11, '2025-10-06', 'z') \g /dev/null
SELECT is(public.sheet(11), '2025-11-01 2025-10-01 10 t t', 'it is closed');
SELECT * FROM dblink('other', $$ SELECT settle.reopen_period('till', '2025-10-01', 'something is missing')::text $$) AS c (t text) \g /dev/null
SELECT public.sell(12, '2025-10-06', 'z') \g /dev/null
SELECT is(public.sheet(12), '2025-10-01 10 t t', 'and open again');

-- a transaction that keeps its snapshot knows what was committed before it
SELECT public.sell(13, '2025-11-06', 'z') \g /dev/null
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM till.book \g /dev/null
SELECT dblink_exec('other', 'UPDATE till.book SET keep_inputs = false') \g /dev/null
SELECT public.sell(14, '2025-11-06', 'z') \g /dev/null
COMMIT;
SELECT is(public.sheet(14), '2025-11-01 10 t t', 'one snapshot');
SELECT public.sell(15, '2025-11-06', 'z') \g /dev/null
SELECT is(public.sheet(15), '2025-11-01 10 f t', 'and what it knew is not remembered');
SELECT is_empty($$ SELECT * FROM settle.check('till') $$, 'all agrees');
SELECT dblink_disconnect('other') \g /dev/null
SELECT * FROM finish();
