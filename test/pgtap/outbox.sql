-- The outbox: what is sent is taken, in order for each object, until somebody
-- says that it was delivered or it is given up.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS outbox_connector, outbox_clerk;
CREATE ROLE outbox_connector; CREATE ROLE outbox_clerk;
SELECT settle.create_book('out box') \g /dev/null
SELECT settle.grant_access('"out box"', 'outbox_connector', 'connector'), settle.grant_access('"out box"', 'outbox_clerk', 'clerk') \g /dev/null
SET search_path = public, "out box";

----------------------------------------------------------------------------------------------------
-- Sending
----------------------------------------------------------------------------------------------------
SELECT settle.send('"out box"', 'youzan', 'ticket done', 'T1', '{"ticket": "T1"}') AS first \gset
SELECT results_eq($$ SELECT platform, shop, kind, object, payload, state, attempts, error FROM outbox $$,
    $$ VALUES ('youzan', '', 'ticket done', 'T1', '{"ticket": "T1"}'::jsonb, 'waiting', 0, NULL::text) $$, 'a message waits');
SELECT is(settle.send('"out box"', 'youzan', 'points changed', 'C1', '{"points": 5}', key => 'points 1'), settle.send('"out box"', 'youzan', 'points changed', 'C1', '{"points": 5.0}', key => 'points 1'), 'a key is sent once');
SELECT throws_ok($$ SELECT settle.send('"out box"', 'youzan', 'points changed', 'C1', '{"points": 6}', key => 'points 1') $$, '23505', 'the key "points 1" was sent to "youzan" with another message', 'and means one message');
SELECT lives_ok($$ SELECT settle.send('"out box"', 'doudian', 'points changed', 'C1', '{"points": 6}', key => 'points 1') $$, 'of one platform');
SELECT is((SELECT count(*) FROM outbox), 3::bigint, 'three messages');
SELECT throws_ok(format('SELECT settle.send(''"out box"'', %s)', arguments), state, NULL, arguments)
FROM (VALUES ($$NULL, 'k', 'o', '{}'$$, '22004'), ($$'p', NULL, 'o', '{}'$$, '22004'), ($$'p', 'k', NULL, '{}'$$, '22004'), ($$'p', 'k', 'o', NULL$$, '22004'), ($$'p', 'k', 'o', '{}', NULL$$, '22004'),
    ($$'', 'k', 'o', '{}'$$, '23514'), ($$'p', '', 'o', '{}'$$, '23514'), ($$'p', 'k', '', '{}'$$, '23514')) AS v(arguments, state);
DELETE FROM outbox;

----------------------------------------------------------------------------------------------------
-- Taking
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.names(messages text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SELECT string_agg(payload #>> ''{}'', '' '') FROM %s', messages) INTO answer;
    RETURN answer;
END $$;
SELECT settle.send('"out box"', 'youzan', 'k', object, to_jsonb(object || n), shop => 'S' || n % 2) FROM (VALUES ('a', 2), ('a', 4), ('b', 6), ('a', 1), ('c', 8)) AS v(object, n) \g /dev/null
SET SESSION AUTHORIZATION outbox_connector;
SELECT is(public.names($$ settle.take_outbox('"out box"', 'tmall', 10) $$), NULL, 'another platform');
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10, of_shop => 'S1') $$), 'a1', 'of one shop, whose object a is another');
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 2) $$), 'a2 b6', 'two, the first of each object');
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10) $$), 'c8', 'what is left');
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10) $$), NULL, 'a4 has to wait for a2');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT payload #>> '{}', state, attempts, taken_by::text COLLATE "default", due_at > now() + '50 seconds' FROM outbox ORDER BY message_id $$,
    $$ VALUES ('a2', 'leased', 1, 'outbox_connector', true), ('a4', 'waiting', 0, NULL, false), ('b6', 'leased', 1, 'outbox_connector', true), ('a1', 'leased', 1, 'outbox_connector', true), ('c8', 'leased', 1, 'outbox_connector', true) $$, 'leases of a minute');
SELECT throws_ok($$ UPDATE outbox SET state = 'leased' WHERE payload = '"a4"' $$, '23505', NULL, 'two of one object are never in flight');
SELECT message_id AS a2 FROM outbox WHERE payload = '"a2"' \gset
SELECT message_id AS b6 FROM outbox WHERE payload = '"b6"' \gset
SELECT message_id AS c8 FROM outbox WHERE payload = '"c8"' \gset
SET SESSION AUTHORIZATION outbox_connector;
SELECT is(settle.done_outbox('"out box"', ARRAY[:a2, :a2, 0]), 1::bigint, 'delivered');
SELECT is(settle.done_outbox('"out box"', ARRAY[:a2]), 0::bigint, 'said twice');
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10) $$), 'a4', 'and the next may go');
RESET SESSION AUTHORIZATION;

-- a lease that ends
UPDATE outbox SET due_at = now() WHERE message_id = :b6;
SET SESSION AUTHORIZATION outbox_connector;
SELECT results_eq($$ SELECT payload #>> '{}', attempt, shop, kind, object, key FROM settle.take_outbox('"out box"', 'youzan', 10, '5 minutes') $$, $$ VALUES ('b6', 2, 'S0', 'k', 'b', NULL::text) $$, 'it is given out again');
SELECT is(settle.fail_outbox('"out box"', :b6, 'timeout', 1), 'leased', 'who had it before cannot fail it');
SELECT is(settle.fail_outbox('"out box"', :b6, 'timeout', 2), 'waiting', 'who has it can');
SELECT is(settle.fail_outbox('"out box"', :b6, 'timeout'), 'waiting', 'once');
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10) $$), NULL, 'it is not due at once');
RESET SESSION AUTHORIZATION;
SELECT results_eq(format('SELECT error, date_trunc(''second'', due_at - clock_timestamp() + ''500 ms'') FROM outbox WHERE message_id = %s', :b6), $$ VALUES ('timeout', interval '1 minute') $$, 'after the second attempt in a minute');

-- longer after each attempt, and no more after the last
CREATE TEMP TABLE pause (attempt integer, pause interval);
DO $$
DECLARE
    id bigint := (SELECT message_id FROM outbox WHERE payload = '"c8"');
    taken integer;
BEGIN
    FOR round IN 1 .. 11 LOOP
        PERFORM settle.fail_outbox('"out box"', id, 'error ' || round);
        INSERT INTO pause SELECT attempts, date_trunc('second', due_at - clock_timestamp() + '500 ms') FROM outbox WHERE message_id = id;
        UPDATE outbox SET due_at = now() WHERE message_id = id;
        SELECT attempt INTO STRICT taken FROM settle.take_outbox('"out box"', 'youzan', 1);
        ASSERT taken = round + 1;
    END LOOP;
END $$;
SELECT is((SELECT string_agg(extract(epoch FROM pause)::int::text, ' ' ORDER BY attempt) FROM pause), '30 60 120 240 480 960 1920 3600 3600 3600 3600', 'pauses');
SELECT is(settle.fail_outbox('"out box"', :c8, 'gone'), 'dead', 'the twelfth attempt is the last');
SELECT results_eq($$ SELECT kind, object, message FROM alert $$, format($$ VALUES ('outbox', 'youzan', 'message %s (k, c) was given up after 12 attempts: gone') $$, :c8), 'somebody is told');
UPDATE "out box".book SET outbox_attempts = 2;
UPDATE outbox SET state = 'leased', attempts = 2, due_at = now() WHERE message_id = :b6;
SELECT settle.send('"out box"', 'youzan', 'k', 'b', '"b7"') \g /dev/null
SELECT settle.send('"out box"', 'youzan', 'k', 'b', '"b8"', shop => 'S0') \g /dev/null
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10) $$), 'b7 b8', 'a message that ends its connector is given up too; what follows it goes on');
SELECT results_eq($$ SELECT state, attempts, error FROM outbox WHERE payload = '"b6"' $$, $$ VALUES ('dead', 2, 'the lease ended without an answer') $$, 'and says why');
SELECT is((SELECT count(*) FROM alert), 1::bigint, 'one open alert a platform');

-- dead ones
SET SESSION AUTHORIZATION outbox_clerk;
SELECT is(settle.retry_outbox('"out box"', ARRAY[:b6, :c8, :a2]), 2::bigint, 'what is dead is sent after all');
RESET SESSION AUTHORIZATION;
SELECT is(public.names($$ settle.take_outbox('"out box"', 'youzan', 10) $$), 'c8', 'b8 is in flight');
SELECT settle.done_outbox('"out box"', ARRAY(SELECT message_id FROM outbox WHERE payload = '"b8"')) \g /dev/null
SELECT results_eq($$ SELECT payload #>> '{}', attempt FROM settle.take_outbox('"out box"', 'youzan', 10) $$, $$ VALUES ('b6', 1) $$, 'with all its attempts');
UPDATE outbox SET state = 'dead', finished_at = now() WHERE message_id = :b6;
SELECT is(settle.done_outbox('"out box"', ARRAY[:b6]), 1::bigint, 'somebody has delivered it by hand');

-- errors
SELECT throws_ok(format('SELECT * FROM settle.take_outbox(''"out box"'', %s)', arguments), state, message, message)
FROM (VALUES ($$'p', 0$$, '22023', 'the number of messages must be positive, not 0'), ($$'p', 1, '-1 s'$$, '22023', 'a lease must be positive, not -00:00:01'),
    ($$NULL, 1$$, '22004', 'a platform, a number of messages and a lease must be given'), ($$'p', NULL$$, '22004', 'a platform, a number of messages and a lease must be given')) AS v(arguments, state, message);
SELECT throws_ok($$ SELECT settle.fail_outbox('"out box"', 0, 'x') $$, '42704', 'book ""out box"" has no message 0', 'no such message');
SELECT throws_ok($$ SELECT settle.fail_outbox('"out box"', 1, NULL) $$, '22004', 'a message and an error must be given', 'no error');
SET SESSION AUTHORIZATION outbox_connector;
SELECT throws_ok(statement, '42501', 'permission denied for book "out box"', statement)
FROM unnest(ARRAY[$$ SELECT settle.send('"out box"', 'p', 'k', 'o', '{}') $$, $$ SELECT settle.retry_outbox('"out box"', '{1}') $$, $$ SELECT settle.run('"out box"') $$]) AS statement;
SELECT throws_ok('SELECT * FROM "out box".outbox', '42501', NULL, 'a connector reads what it takes');
RESET SESSION AUTHORIZATION;

----------------------------------------------------------------------------------------------------
-- What is delivered is kept for a while
----------------------------------------------------------------------------------------------------
UPDATE outbox SET state = 'done', finished_at = coalesce(finished_at, now()), due_at = now();
UPDATE outbox SET finished_at = now() - interval '31 days' WHERE message_id = :a2;
UPDATE outbox SET finished_at = now() - interval '31 days', state = 'dead' WHERE message_id = :b6;
SELECT settle.send('"out box"', 'youzan', 'k', 'old', '{}') \g /dev/null
UPDATE outbox SET created_at = now() - interval '1 year' WHERE object = 'old';
SELECT count(*) AS before FROM outbox \gset
CALL settle.tick('"out box"');
SELECT is((SELECT count(*) FROM outbox), :before - 1::bigint, 'what was delivered a month ago goes, dead and waiting messages stay');
SELECT is((SELECT figures ->> 'messages' FROM job_run WHERE what = 'clean'), '1', 'tick has done it');

----------------------------------------------------------------------------------------------------
-- payout sent
----------------------------------------------------------------------------------------------------
SELECT settle.add_rule('"out box"', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount') \g /dev/null
INSERT INTO ticket (ticket_id, done_at, project, region, worker, amount) SELECT n, '2025-11-03', 'a', 'b', n, 10 FROM generate_series(1, 2) AS n;
SELECT settle.run('"out box"') \g /dev/null
SELECT settle.close_period('"out box"', '2025-11-01') \g /dev/null
SET SESSION AUTHORIZATION outbox_clerk;
SELECT settle.add_party('"out box"', party, account => 'A ' || party) FROM unnest('{staff:1,staff:2}'::text[]) AS party \g /dev/null
SELECT settle.submit_statement('"out box"', party, '2025-11-01', 'CNY') FROM unnest('{staff:1,staff:2}'::text[]) AS party \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT settle.confirm_party('"out box"', party, 'papers seen') FROM unnest('{staff:1,staff:2}'::text[]) AS party \g /dev/null
SELECT settle.approve_statement('"out box"', party, '2025-11-01', 'CNY') FROM unnest('{staff:1,staff:2}'::text[]) AS party \g /dev/null
SET SESSION AUTHORIZATION outbox_clerk;
SELECT settle.pay_statement('"out box"', 'staff:1', '2025-11-01', reference => 'R1') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is_empty($$ SELECT FROM outbox WHERE kind = 'payout sent' $$, 'nobody is told unless the book says whom');
UPDATE "out box".book SET payout_platform = 'wecom';
SET SESSION AUTHORIZATION outbox_clerk;
SELECT settle.pay_statement('"out box"', 'staff:2', '2025-11-01', reference => 'R2', paid_at => '2025-12-10 10:00+08') FROM generate_series(1, 2) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT kind, object, payload FROM settle.take_outbox('"out box"', 'wecom', 10) $$,
    $$ VALUES ('payout sent', 'staff:2', '{"party": "staff:2", "period": "2025-11-01", "currency": "CNY", "amount": 10.00, "reference": "R2", "paid_at": "2025-12-10T02:00:00+00:00"}'::jsonb) $$, 'a payment is told of once');
SELECT is_empty($$ SELECT * FROM settle.check('"out box"') $$, 'all figures agree');

RESET search_path;
DROP SCHEMA "out box" CASCADE;
DROP OWNED BY outbox_connector, outbox_clerk;
DROP ROLE outbox_connector, outbox_clerk;
SELECT * FROM finish();
