-- Work that was entered or done twice: whatever the order of arrival, the first
-- ticket of an order and project is paid, the others are duplicates, and rework
-- is paid by no rule that does not ask for it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('twice') \g /dev/null
SELECT settle.add_rule('twice', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
SELECT settle.add_rule('twice', 'month', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '1% to 500, 2%', accumulate => 'month') \g /dev/null

CREATE FUNCTION pg_temp.work(id text, ref text, at text, amount numeric DEFAULT 100, rework_of text DEFAULT NULL, project text DEFAULT 'install') RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO twice.ticket (ticket_id, order_ref, rework_of, done_at, project, region, worker, amount)
    VALUES (id, ref, rework_of, at::timestamptz, project::ltree, 'cn', 'w', amount) $$;
CREATE FUNCTION pg_temp.paid(pattern text DEFAULT '%') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(ticket_key || ' ' || amount, ', ' ORDER BY ticket_key COLLATE "C") FROM (
        SELECT ticket_key, sum(amount) AS amount FROM twice.line_detail WHERE component <> 'bonus' AND ticket_key LIKE pattern AND source = 'ticket'
        GROUP BY 1 HAVING sum(amount) <> 0) AS l $$;
CREATE FUNCTION pg_temp.alerts() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(kind || ': ' || message, E'\n' ORDER BY object COLLATE "C") FROM twice.alert WHERE ended_at IS NULL $$;

----------------------------------------------------------------------------------------------------
-- One order, three tickets, one of another project
----------------------------------------------------------------------------------------------------
SELECT pg_temp.work('A2', 'A', '2025-11-02'), pg_temp.work('A3', 'A', '2025-11-03'), pg_temp.work('A9', 'A', '2025-11-01', project => 'repair'), pg_temp.work('B', NULL, '2025-11-01') \g /dev/null
SELECT results_eq($$ SELECT tickets, problems, unpaid FROM settle.run('twice') $$, $$ VALUES (3::bigint, 0::bigint, 0::bigint) $$, 'two of one order in one batch');
SELECT is(pg_temp.paid(), 'A2 10.00, A9 10.00, B 10.00', 'the first of them is paid, and one of another project, and one of no order');
SELECT is(pg_temp.alerts(), 'duplicate: ticket "A3" is a duplicate of ticket "A2" of the order "A", and no rule pays it', 'the other has an alert');
SELECT is_empty('TABLE twice.unpaid', 'and does not stand in unpaid');
SELECT is((SELECT object FROM twice.alert), 'ticket A3', 'the alert names source and key');
SELECT is((SELECT lines FROM settle.run('twice')), 0::bigint, 'a second run posts nothing');
SELECT settle.rescan('twice') \g /dev/null
SELECT is((SELECT lines FROM settle.run('twice')), 0::bigint, 'nor does a scan');

SELECT pg_temp.work('A1', 'A', '2025-11-01') \g /dev/null
SELECT results_eq($$ SELECT tickets, corrections, amount FROM settle.run('twice') $$, $$ VALUES (2::bigint, 1::bigint, 0.00) $$, 'an earlier one arrives late');
SELECT is(pg_temp.paid('A%'), 'A1 10.00, A9 10.00', 'it is the original now');
SELECT is(pg_temp.alerts(), E'duplicate: ticket "A2" is a duplicate of ticket "A1" of the order "A", and no rule pays it\nduplicate: ticket "A3" is a duplicate of ticket "A1" of the order "A", and no rule pays it',
    'the alerts name the new original');
UPDATE twice.ticket SET done_at = NULL WHERE ticket_id = 'A1';
SELECT is((SELECT amount FROM settle.run('twice')), 0.00, 'the original is not ready any more');
SELECT is(pg_temp.paid('A%'), 'A2 10.00, A9 10.00', 'the next one is');
SELECT is(pg_temp.alerts(), 'duplicate: ticket "A3" is a duplicate of ticket "A2" of the order "A", and no rule pays it', 'its alert is settled');
UPDATE twice.ticket SET project = 'repair' WHERE ticket_id = 'A2';
SELECT settle.run('twice') \g /dev/null
SELECT is(pg_temp.paid('A%'), 'A3 10.00, A9 10.00', 'a ticket that moves to another project leaves one group and joins the other');
UPDATE twice.ticket SET order_ref = 'A''' WHERE ticket_id = 'A2';
UPDATE twice.ticket SET order_ref = '' WHERE ticket_id = 'A9';
SELECT settle.run('twice') \g /dev/null
SELECT is(pg_temp.paid('A%'), 'A2 10.00, A3 10.00, A9 10.00', 'another order; an empty one is none');
SELECT is(pg_temp.alerts(), NULL, 'no alert is open');
SELECT is((SELECT count(*) FROM twice.order_ticket WHERE order_ref = ''), 0::bigint, 'nor is it remembered');

-- vanished: what is held keeps its place, what is taken back gives it up
SELECT pg_temp.work('A4', 'A', '2025-11-04') \g /dev/null
DELETE FROM twice.ticket WHERE ticket_id = 'A3';
SELECT settle.run('twice') \g /dev/null
SELECT is(pg_temp.paid('A%'), 'A2 10.00, A3 10.00, A9 10.00', 'the original is deleted and held: nobody is paid in its place');
SELECT pg_temp.work('A3', 'A', '2025-11-03') \g /dev/null
UPDATE twice.source SET on_delete = 'reverse' WHERE source = 'ticket';
DELETE FROM twice.ticket WHERE ticket_id = 'A3';
SELECT settle.run('twice') \g /dev/null
SELECT is(pg_temp.paid('A%'), 'A2 10.00, A4 10.00, A9 10.00', 'reversed, it leaves its place to the next');
SELECT pg_temp.work('A5', 'A', '2025-11-05') \g /dev/null
SELECT settle.run('twice') \g /dev/null
DELETE FROM twice.ticket WHERE ticket_id = 'A5';
SELECT settle.run('twice') \g /dev/null
SELECT is(pg_temp.alerts(), NULL, 'a duplicate that is deleted takes its alert with it');
SELECT is_empty($$ SELECT * FROM settle.check('twice') $$, 'check finds nothing');

----------------------------------------------------------------------------------------------------
-- Every order of arrival
----------------------------------------------------------------------------------------------------
CREATE TEMP TABLE permutation AS
SELECT row_number() OVER () AS p, ARRAY[a, b, c, d] AS places
FROM generate_series(1, 4) a, generate_series(1, 4) b, generate_series(1, 4) c, generate_series(1, 4) d
WHERE a <> b AND a <> c AND a <> d AND b <> c AND b <> d AND c <> d;
-- two of the four are ready at the same instant: the smaller key is the first
CREATE PROCEDURE pg_temp.arrive(book name, prefix text) LANGUAGE plpgsql AS $$
BEGIN
    FOR step IN 1..4 LOOP
        EXECUTE format('INSERT INTO %I.ticket (ticket_id, order_ref, done_at, project, region, worker, amount)
            SELECT $1 || p || ''-'' || places[$2], $1 || p, (ARRAY[''2025-11-02'', ''2025-11-01'', ''2025-11-01'', ''2025-11-03''])[places[$2]]::timestamptz, ''p'', ''r'', ''w'', 100 + places[$2]
            FROM permutation ORDER BY p', book) USING prefix, step;
        EXECUTE format('SELECT settle.run(%L)', book);
    END LOOP;
END $$;
CALL pg_temp.arrive('twice', 'P');
SELECT is((SELECT count(*) FROM permutation), 24::bigint, 'twenty-four orders of arrival');
SELECT is(pg_temp.paid('P%'), (SELECT string_agg('P' || p || '-2 10.20', ', ' ORDER BY 'P' || p || '-2' COLLATE "C") FROM permutation), 'give the same lines');
SELECT is((SELECT count(*) FROM twice.alert WHERE ended_at IS NULL AND message LIKE '%is a duplicate of ticket "P%-2"%'), 72::bigint, 'and the same alerts');
SELECT is_empty($$ SELECT * FROM settle.check('twice') $$, 'check finds nothing');
SELECT settle.create_book('commits', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('commits', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
CALL pg_temp.arrive('commits', 'C');
SELECT results_eq($$ SELECT ticket_key, sum(amount) FROM commits.line_detail GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY ticket_key COLLATE "C" $$,
    $$ SELECT 'C' || p || '-2', 10.20 FROM permutation ORDER BY 'C' || p || '-2' COLLATE "C" $$, 'at commit, too');
SELECT is_empty($$ SELECT * FROM settle.check('commits') $$, 'check finds nothing');

-- a random history, against the orders as they stand at its end
CREATE TABLE public.job (id int PRIMARY KEY, ref text, at timestamptz, kind text, amount numeric);
SELECT settle.add_source('twice', 'job', 'job', key => 'id', ready_at => 'at', project => 'kind', revenue => 'amount', on_delete => 'reverse', order_ref => 'ref') \g /dev/null
SELECT settle.add_rule('twice', 'job', 'job', 'hq', 'staff:1', base => 'amount', source => 'job') \g /dev/null
CREATE PROCEDURE pg_temp.live(rounds int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(0.25);
    FOR round IN 1..rounds LOOP
        FOR i IN 1..(random() * 12)::int LOOP
            IF random() < 0.2 THEN
                DELETE FROM job WHERE id = (random() * 60)::int;
            ELSE
                INSERT INTO job SELECT (random() * 60)::int, nullif((random() * 9)::int, 0)::text, timestamptz '2025-11-01' + floor(random() * 5) * interval '1 day',
                    (ARRAY['a', 'b', NULL])[1 + (random() * 2)::int], (random() * 100)::int
                ON CONFLICT (id) DO UPDATE SET ref = excluded.ref, at = CASE WHEN random() < 0.9 THEN excluded.at END, kind = excluded.kind, amount = excluded.amount;
            END IF;
        END LOOP;
        IF random() < 0.2 THEN
            PERFORM settle.rescan('twice', source => 'job');
        END IF;
        -- a small run leaves the rest to the next
        PERFORM settle.run('twice', CASE WHEN random() < 0.5 THEN 3 END);
    END LOOP;
    PERFORM settle.run('twice');
END $$;
CALL pg_temp.live(150);
SELECT results_eq($$ SELECT ticket_key, sum(amount) FROM twice.line_detail WHERE source = 'job' GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY 1 $$,
    $$ SELECT id::text, amount FROM (SELECT *, row_number() OVER (PARTITION BY ref, coalesce(kind, '') ORDER BY at, id::text COLLATE "C") AS place FROM job WHERE at IS NOT NULL) AS j
       WHERE (ref IS NULL OR place = 1) AND amount <> 0 ORDER BY 1 $$, 'after a random history the first of each order is paid');
SELECT results_eq($$ SELECT object FROM twice.alert WHERE ended_at IS NULL AND object LIKE 'job %' ORDER BY object $$,
    $$ SELECT 'job ' || id FROM (SELECT *, row_number() OVER (PARTITION BY ref, coalesce(kind, '') ORDER BY at, id::text COLLATE "C") AS place FROM job WHERE at IS NOT NULL) AS j
       WHERE ref IS NOT NULL AND place > 1 ORDER BY 1 $$, 'and the others have alerts');
SELECT is_empty($$ SELECT * FROM settle.check('twice') $$, 'check finds nothing');

----------------------------------------------------------------------------------------------------
-- Rework, and rules that want repeats
----------------------------------------------------------------------------------------------------
SELECT pg_temp.work('R1', NULL, '2025-12-01'), pg_temp.work('R2', NULL, '2025-12-02', rework_of => 'R1'), pg_temp.work('R3', NULL, '2025-12-03', rework_of => 'R3'),
    pg_temp.work('R4', 'R', '2025-12-04'), pg_temp.work('R5', 'R', '2025-12-05', rework_of => 'R1') \g /dev/null
SELECT settle.run('twice') \g /dev/null
SELECT is(pg_temp.paid('R%'), 'R1 10.00, R3 10.00, R4 10.00', 'rework is not paid; no ticket is rework of itself');
SELECT is((SELECT string_agg(kind || ': ' || message, E'\n' ORDER BY object) FROM twice.alert WHERE ended_at IS NULL AND object LIKE 'ticket R%'),
    E'rework: ticket "R2" is rework of ticket "R1", and no rule pays it\nrework: ticket "R5" is rework of ticket "R1", and no rule pays it', 'its alerts; a duplicate that is rework is rework');
SELECT is((SELECT string_agg(name || ' ' || detail, ', ') FROM settle.explain('twice', 'ticket', 'R5') WHERE name LIKE '% of' AND kind = 'ticket' AND name <> 'rules of'), 'rework of R1, duplicate of R4', 'explain says so');

-- somebody has looked at one of them
UPDATE twice.alert SET ended_at = now(), ended_by = 'lin', reason = 'known' WHERE object = 'ticket R2';
SELECT settle.rescan('twice') \g /dev/null
SELECT settle.run('twice') \g /dev/null
SELECT is((SELECT count(*) FROM twice.alert WHERE ended_at IS NULL AND object LIKE 'ticket R%'), 1::bigint, 'what a person has settled is not raised again');
SELECT is_empty($$ SELECT * FROM settle.check('twice') $$, 'check finds nothing');

SELECT settle.add_rule('twice', 'deduct', 'deduct', 'staff:{worker}', 'hq', base => '30', applies_when => 't.rework_of IS NOT NULL', repeats => 'only') \g /dev/null
SELECT settle.add_rule('twice', 'way', 'way', 'hq', 'staff:{worker}', base => '5', repeats => 'pay', applies_when => $$ t.key LIKE 'R%' $$) \g /dev/null
SELECT settle.add_rule('twice', 'first', 'first', 'hq', 'staff:{worker}', base => '1', repeats => 'only', applies_when => $$ t.duplicate_of = 'R4' AND t.order_ref = 'R' $$) \g /dev/null
SELECT settle.rescan('twice') \g /dev/null
SELECT settle.run('twice') \g /dev/null
SELECT is((SELECT string_agg(ticket_key || ' ' || lines, E'\n' ORDER BY ticket_key) FROM (
    SELECT ticket_key, string_agg(component || ' ' || amount, ', ' ORDER BY component) AS lines FROM twice.line_detail WHERE ticket_key LIKE 'R%' AND component <> 'bonus' GROUP BY 1) AS l),
    E'R1 wage 10.00, way 5.00\nR2 deduct 30.00, way 5.00\nR3 wage 10.00, way 5.00\nR4 wage 10.00, way 5.00\nR5 deduct 30.00, first 1.00, way 5.00',
    'rules for repeats alone, and for all');
SELECT is((SELECT string_agg(object, ' ') FROM twice.alert WHERE ended_at IS NULL AND object LIKE 'ticket R%'), NULL, 'what is paid has no alert');
SELECT is(settle.rules('twice')::jsonb -> 'rules' @> '[{"code": "deduct", "repeats": "only"}]', true, 'a ruleset says so');
SELECT is(jsonb_path_exists(settle.rules('twice')::jsonb, '$.rules[*] ? (@.code == "wage" && exists (@.repeats))'), false, 'and is silent about the usual');
SELECT is(settle.evaluate(settle.rules('twice'), t, source => 'ticket')::text, settle.evaluate((settle.rules('twice')::text)::settle.ruleset, t, source => 'ticket')::text, 'a ruleset that was read back pays the same')
FROM twice.ticket AS t WHERE ticket_id = 'R2';
SELECT results_eq($$ SELECT l.component FROM twice.ticket AS t, settle.unnest(settle.evaluate(settle.rules('twice'), t, source => 'ticket')) AS l WHERE ticket_id = 'R2' ORDER BY 1 $$,
    $$ VALUES ('deduct'), ('way') $$, 'a rework is known by its row alone');

SELECT settle.create_book('copied'), settle.create_book('original') \g /dev/null
SELECT settle.add_rule('original', repeats, repeats, 'hq', 'p', base => '1', repeats => repeats) FROM unnest('{skip,pay,only}'::text[]) AS repeats \g /dev/null
SELECT settle.load_rules('copied', settle.rules('original'), 'base') \g /dev/null
SELECT results_eq($$ SELECT code, repeats FROM copied.rule ORDER BY code COLLATE "C" $$, $$ VALUES ('only', 'only'), ('pay', 'pay'), ('skip', 'skip') $$, 'a ruleset that is loaded says the same');

----------------------------------------------------------------------------------------------------
-- What is refused
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.add_rule('twice', 'x', 'x', 'hq', 'p', base => '1', repeats => 'never') $$, '22023', 'unknown value of repeats "never"', 'a misspelt repeats');
SELECT throws_ok($$ SELECT settle.add_source('twice', 'self', 'job', key => 'id', ready_at => 'at', order_ref => 't.duplicate_of') $$, '42P17', NULL, 'an order that depends on its duplicates');
SELECT throws_ok($$ SELECT settle.add_source('twice', 'self', 'job', key => 'id', ready_at => 'at', project => 't.duplicate_of', order_ref => 'ref') $$, '42P17', NULL, 'a project that does');
SELECT pg_temp.work('L', repeat('x', 1001), '2025-12-01') \g /dev/null
SELECT settle.run('twice') \g /dev/null
SELECT results_eq($$ SELECT rule_code, sqlstate, message FROM twice.problem WHERE ticket_key = 'L' $$, $$ VALUES ('order_ref', 'ST006', 'order_ref of a ticket has 1001 bytes') $$, 'a reference as long as a novel');
UPDATE twice.order_ticket SET duplicate_of = 'A2' WHERE ticket_key = 'R4';
SELECT results_eq($$ SELECT object, detail FROM settle.check('twice') WHERE invariant LIKE 'the first ticket%' $$,
    $$ VALUES ('ticket R4', 'taken for a duplicate of A2, the first is R4') $$, 'check knows which is the first');
-- a duplicate that leaves its order is paid, by a run and at commit
SELECT settle.create_book('leaves') \g /dev/null
SELECT settle.create_book('leaves_now', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule(b, 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount') FROM unnest('{leaves,leaves_now}'::regnamespace[]) AS b \g /dev/null
INSERT INTO leaves.ticket (ticket_id, order_ref, done_at, project, region, worker, amount) VALUES ('1', 'A', '2025-11-02', 'a', 'b', '1', 10), ('2', 'A', '2025-11-03', 'a', 'b', '2', 20);
INSERT INTO leaves_now.ticket (ticket_id, order_ref, done_at, project, region, worker, amount) VALUES ('1', 'A', '2025-11-02', 'a', 'b', '1', 10), ('2', 'A', '2025-11-03', 'a', 'b', '2', 20);
SELECT settle.run('leaves') \g /dev/null
UPDATE leaves.ticket SET order_ref = NULL WHERE ticket_id = '2';
UPDATE leaves_now.ticket SET order_ref = NULL WHERE ticket_id = '2';
SELECT settle.run('leaves') \g /dev/null
SELECT results_eq($$ SELECT payee, sum(amount) FROM leaves.line_detail GROUP BY 1 ORDER BY 1 $$, $$ VALUES ('staff:1', 10.00), ('staff:2', 20.00) $$, 'a duplicate that leaves its order is paid');
SELECT results_eq($$ SELECT payee, sum(amount) FROM leaves_now.line_detail GROUP BY 1 ORDER BY 1 $$, $$ VALUES ('staff:1', 10.00), ('staff:2', 20.00) $$, 'at commit, too');
SELECT is_empty($$ SELECT kind, object FROM leaves.alert WHERE ended_at IS NULL UNION ALL SELECT kind, object FROM leaves_now.alert WHERE ended_at IS NULL $$, 'and its alert is settled');
SELECT is_empty($$ SELECT * FROM settle.check('leaves') UNION ALL SELECT * FROM settle.check('leaves_now') $$, 'all agrees');

SELECT * FROM finish();
