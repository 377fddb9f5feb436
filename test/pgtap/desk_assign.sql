-- Assignment: teams by decision, people by strategy, skills, working times,
-- capacity, choice by hand, waiting; and the choice against one in plain SQL.
-- More of it: psql -v seeds=100 -v tickets=60 -f test/pgtap/desk_assign.sql
\set ON_ERROR_STOP on
\if :{?seeds} \else \set seeds 6 \endif
\if :{?tickets} \else \set tickets 30 \endif
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS assign_anna, assign_boris;
CREATE ROLE assign_anna; CREATE ROLE assign_boris;
SELECT settle.create_book('desk') \g /dev/null
SELECT settle.grant_access('desk', 'assign_anna', 'clerk'), settle.grant_access('desk', 'assign_boris', 'staff') \g /dev/null
SET search_path = public, desk;
CREATE FUNCTION public.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(hint, ''));
END $$;
CREATE FUNCTION public.as_user(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SET SESSION AUTHORIZATION %I', who);
    BEGIN
        EXECUTE statement INTO answer;
    EXCEPTION WHEN OTHERS THEN
        answer := SQLSTATE || ': ' || SQLERRM;
    END;
    RESET SESSION AUTHORIZATION;
    RETURN answer;
END $$;
SELECT settle.add_type('desk', '{"type": "repair", "project": "repair", "fields": [{"field": "fault", "kind": "text"}, {"field": "site", "kind": "place", "privacy": "sensitive"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "done", "ready": true, "ends": "done"}, {"stage": "gone", "ends": "cancelled"}],
    "moves": [{"move": "begin", "from_stage": "new", "to_stage": "work"}, {"move": "finish", "from_stage": "new", "to_stage": "done"}, {"move": "finish", "from_stage": "work", "to_stage": "done"},
        {"move": "reopen", "from_stage": "done", "to_stage": "work"}, {"move": "cancel", "from_stage": "new", "to_stage": "gone"}]}') \g /dev/null
SELECT settle.add_type('desk', '{"type": "note", "project": "note", "stages": [{"stage": "new", "initial": true}]}') \g /dev/null
SELECT settle.enable_type('desk', t) FROM unnest('{repair,note}'::text[]) AS t \g /dev/null
CREATE FUNCTION public.opened(id text, fault text DEFAULT 'none', region text DEFAULT 'cn', customer text DEFAULT NULL, worker text DEFAULT NULL, lon float8 DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT settle.open_ticket('desk', 'repair', jsonb_strip_nulls(jsonb_build_object('fault', fault, 'site', CASE WHEN lon IS NOT NULL THEN jsonb_build_object('lon', lon, 'lat', 31.2, 'system', 'WGS-84') END)),
        region => region, ticket_id => id, customer => customer, worker => worker);
$$;
-- who is given tickets one after another
CREATE FUNCTION public.given(VARIADIC ids text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(settle.assign_ticket('desk', i), '-'), ' ' ORDER BY n) FROM unnest(ids) WITH ORDINALITY AS u (i, n);
$$;

----------------------------------------------------------------------------------------------------
-- Team by decision
----------------------------------------------------------------------------------------------------
SELECT settle.add_decision('desk', 'team', returns => 'jsonb', fallback => '"sales"') \g /dev/null
SELECT settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'gas'$$, '{"team": "service", "skills": ["gas"]}', 3),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'nobody'$$, '{"team": "nobody"}', 3),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'wrong'$$, '{"skills": []}', 3),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'list'$$, '{"team": "sales", "skills": "gas"}', 3),
    settle.add_outcome('desk', 'team', $$(details ->> 'fault')::int > 0$$, '"turns"', -1),
    settle.add_outcome('desk', 'team', $$region <@ 'cn.north'$$, '"north"', 2),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'turn'$$, '"turns"', 1), settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'near'$$, '"near"', 1),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'again'$$, '"again"', 1), settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'night'$$, '"night"', 1),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'away'$$, '"away"', 1), settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'empty'$$, '"empty"', 1),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'none'$$, '"sales"', 1),
    settle.add_outcome('desk', 'team', $$details ->> 'fault' = 'sale'$$, '"service"', 4, valid => '[2025-11-01,2025-12-01)') \g /dev/null
INSERT INTO desk.type_team VALUES ('repair', 'team');
SELECT is_empty($$ SELECT object FROM settle.lint('desk') WHERE kind = 'unused' $$, 'lint knows that the decision is read');
INSERT INTO desk.type_team VALUES ('repiar', 'teem') \g /dev/null
SELECT results_eq($$ SELECT severity, object, detail FROM settle.lint('desk') WHERE kind = 'team' $$,
    $$ VALUES ('warning', 'type repiar', 'Decision "teem", which is to choose its team, does not exist.'), ('warning', 'type repiar', 'No ticket type "repiar" is enabled.') $$, 'and tells of a row for nothing');
DELETE FROM desk.type_team WHERE type = 'repiar';
INSERT INTO desk.team (team, strategy) VALUES ('sales', 'least_open'), ('service', 'least_open'), ('north', 'least_open'), ('turns', 'round_robin'), ('near', 'nearest'), ('again', 'same_as_last'), ('night', 'least_open'), ('away', 'least_open'), ('empty', 'least_open');
INSERT INTO desk.team_member (team, staff, skills, weight, capacity) VALUES ('sales', 's1', '{}', 1, NULL), ('sales', 's2', '{}', 2, NULL), ('service', 'g1', '{gas,water}', 1, 1), ('service', 'g2', '{water}', 1, NULL), ('north', 'n1', '{}', 1, 1);
SELECT public.opened('A' || n) FROM generate_series(1, 6) AS n \g /dev/null
SELECT is(public.given('A1', 'A2', 'A3', 'A4', 'A5', 'A6'), 's2 s1 s2 s2 s1 s2', 'least_open: of twice the weight takes twice the tickets, whose turn is longer ago first');
SELECT settle.move_ticket('desk', 'A2', 'finish'), settle.move_ticket('desk', 'A5', 'begin'), settle.move_ticket('desk', 'A5', 'finish') FROM public.opened('A7') \g /dev/null
SELECT is(public.given('A7'), 's1', 'what is done counts no more');
SELECT public.opened('N1', region => 'cn.north.beijing'), public.opened('N2', region => 'cn.north') \g /dev/null
SELECT is(public.given('N1', 'N2'), 'n1 -', 'a region has its team, and the team its capacity');
SELECT is((SELECT reason FROM desk.unassigned WHERE ticket_id = 'N2'), 'all in team "north" who could take it are at capacity', 'the view says why nobody could take it');
SELECT public.opened('G1', 'gas'), public.opened('G2', 'gas') \g /dev/null
SELECT is(public.given('G1', 'G2'), 'g1 -', 'only who has the skills');
SELECT is(public.failure($$ SELECT public.opened('X1', 'nobody'); SELECT settle.assign_ticket('desk', 'X1') $$), '42704 | decision "team" gives team "nobody" for ticket "X1", which does not exist', 'a team that is not there');
SELECT is(public.failure($$ SELECT public.opened('X1', 'wrong'); SELECT settle.assign_ticket('desk', 'X1') $$), '22023 | decision "team" gives {"skills": []} for ticket "X1", which is no team | It gives the name of a team, or an object with "team" and a list "skills".', 'an outcome without a team');
SELECT is(public.failure($$ SELECT public.opened('X1', 'list'); SELECT settle.assign_ticket('desk', 'X1') $$), '22023 | decision "team" gives {"team": "sales", "skills": "gas"} for ticket "X1", which is no team | It gives the name of a team, or an object with "team" and a list "skills".', 'skills that are no list');

----------------------------------------------------------------------------------------------------
-- Strategies
----------------------------------------------------------------------------------------------------
INSERT INTO desk.team_member (team, staff, place, capacity) VALUES ('turns', 't1', NULL, NULL), ('turns', 't2', NULL, NULL), ('turns', 't3', NULL, NULL),
    ('near', 'p1', point(121.4, 31.2), 1), ('near', 'p2', point(121.6, 31.2), NULL), ('near', 'p3', NULL, NULL), ('again', 'l1', NULL, 2), ('again', 'l2', NULL, NULL);
SELECT public.opened('T' || n, 'turn') FROM generate_series(1, 5) AS n \g /dev/null
SELECT is(public.given('T1', 'T2', 'T3', 'T4'), 't1 t2 t3 t1', 'round_robin: one after another');
UPDATE desk.team_member SET valid = '(,2020-01-01)' WHERE team = 'turns' AND staff = 't2';
SELECT is(public.given('T5'), 't3', 'who left has no turn');
SELECT public.opened('P' || n, 'near', lon => CASE n WHEN 4 THEN NULL ELSE 121.45 END) FROM generate_series(1, 4) AS n \g /dev/null
SELECT is(public.given('P1', 'P2', 'P3', 'P4'), 'p1 p2 p2 p3', 'nearest: of whose who have room; a ticket without a place goes to who has the least open');
SELECT public.opened('L1', 'again', customer => 'customer:1'), public.opened('L2', 'again', customer => 'customer:2'), public.opened('L3', 'again', customer => 'customer:1'), public.opened('L4', 'again', customer => 'customer:1'), public.opened('L5', 'again') \g /dev/null
SELECT is(public.given('L1', 'L2', 'L3', 'L4', 'L5'), 'l1 l2 l1 l2 l2', 'same_as_last: the same customer has the same person, while he has room; else who has the least open');

----------------------------------------------------------------------------------------------------
-- Working times
----------------------------------------------------------------------------------------------------
INSERT INTO desk.team_member (team, staff) VALUES ('night', 'w1'), ('night', 'w2');
INSERT INTO desk.shift (team, staff, weekdays, starts, ends) VALUES ('night', NULL, '{1,2,3,4,5}', '09:00', '18:00'), ('night', 'w2', '{5}', '22:00', '06:00');
INSERT INTO desk.absence (staff, during, reason) VALUES ('w1', '[2025-11-11 00:00,2025-11-12 00:00)', 'leave');
SELECT is(concat_ws(' ', coalesce(c.staff, '-'), to_char(c.until, 'MM-DD HH24:MI')), answer, format('%s: %s', at, answer))
FROM (VALUES ('2025-11-10 09:00'::timestamptz, 'w1'), ('2025-11-10 08:59:59', '- 11-10 09:00'), ('2025-11-10 18:00', '- 11-12 09:00'), ('2025-11-14 23:00', 'w2'), ('2025-11-15 05:59', 'w2'), ('2025-11-15 06:00', '- 11-17 09:00'), ('2025-11-11 10:00', '- 11-12 09:00')) AS v (at, answer),
    LATERAL settle._choose_staff('desk', NULL, 'night', '{}', v.at) AS c;
SELECT is((SELECT reason FROM settle._choose_staff('desk', NULL, 'night', '{}', '2025-11-15 06:00')), 'nobody in team "night" who could take it is at work until 2025-11-17 09:00', 'and so it says');
INSERT INTO desk.team_member (team, staff) VALUES ('away', 'a1');
INSERT INTO desk.absence (staff, during) VALUES ('a1', '(,)');
SELECT is((SELECT concat_ws(' ', reason, until) FROM settle._choose_staff('desk', NULL, 'away', '{}', now())), 'nobody in team "away" who could take it is at work in the next fortnight', 'an absence without an end');
SELECT is((SELECT reason FROM settle._choose_staff('desk', NULL, 'empty', '{}', now())), 'team "empty" has no members', 'an empty team');
SELECT is((SELECT reason FROM settle._choose_staff('desk', NULL, 'service', '{gas,electricity}', now())), 'nobody in team "service" has the skills gas, electricity', 'skills that nobody has');

----------------------------------------------------------------------------------------------------
-- By hand
----------------------------------------------------------------------------------------------------
SELECT is(public.as_user('assign_boris', $$ SELECT settle.assign_ticket('desk', 'A1', 's1') $$), '42501: permission denied for book "desk"', 'staff do not give tickets');
SELECT is(public.as_user('assign_anna', $$ SELECT settle.assign_ticket('desk', 'N2', 'n1', 'he knows the house') $$), 'n1', 'a clerk gives a ticket over capacity');
SELECT results_eq($$ SELECT was, now, actor, reason FROM desk.ticket_event WHERE ticket_id = 'N2' AND what = 'assigned' $$, $$ VALUES (NULL::text, 'n1', 'assign_anna', 'he knows the house') $$, 'the journal has who and why');
SELECT is((SELECT ended_at IS NOT NULL FROM desk.alert WHERE kind = 'unassigned' AND object = 'N2'), true, 'its alert is over');
SELECT settle.assign_ticket('desk', 'A1', 'x9', 'outside help') \g /dev/null
SELECT is(public.given('A1'), 'x9', 'the strategy does not undo what was chosen by hand');
UPDATE desk.ticket SET worker = 's1' WHERE ticket_id = 'A3';
SELECT is(public.given('A3'), 's1', 'nor what was written into the row');
SELECT settle.assign_ticket('desk', 'A4', 's2', 'stays') \g /dev/null
INSERT INTO desk.absence (staff, during) VALUES ('s2', '(,)');
SELECT is(public.given('A4', 'A6'), 's2 s1', 'who was given a ticket by hand keeps it though he is away, one that a team gave goes to another');
UPDATE desk.ticket SET worker = NULL WHERE ticket_id = 'A1';
SELECT is(public.given('A1'), 's1', 'taken away from him by hand it is the team''s again');
SELECT public.opened('W1', 'away') \g /dev/null
SELECT is(settle.assign_ticket('desk', 'W1'), NULL, 'nobody can take it');
SELECT settle.assign_ticket('desk', 'W1') \g /dev/null
SELECT is((SELECT count(*) FROM desk.alert WHERE kind = 'unassigned' AND object = 'W1'), 1::bigint, 'which is told once');
DELETE FROM desk.absence WHERE staff IN ('s2', 'a1');

SELECT is(public.failure($$ SELECT settle.assign_ticket('desk', 'none') $$), '42704 | book "desk" has no ticket "none"', 'a ticket that is not there');
SELECT is(public.failure($$ SELECT settle.assign_ticket('desk', 'A1', '') $$), '22023 | nobody is named for ticket "A1" | Without staff the strategy of its team chooses.', 'nobody');
SELECT settle.open_ticket('desk', 'note', region => 'cn', ticket_id => 'M1') \g /dev/null
SELECT is(public.failure($$ SELECT settle.assign_ticket('desk', 'M1') $$), '55000 | tickets of type "note" go to no team | A row of desk.type_team names the decision that chooses one.', 'a type that goes to no team');
SELECT is(settle.assign_ticket('desk', 'M1', 's1'), 's1', 'and is given by hand all the same');
SELECT is(public.failure($$ SELECT settle.assign_ticket('desk', 'A2') $$), '55000 | ticket "A2" is in stage "done", where no team takes it | Name somebody of the staff to have its work stand with him.', 'what is done');
SELECT is(public.failure('SELECT * FROM settle.assign_open(''desk'', 0)'), '22023 | max must be positive, not 0', 'none');
INSERT INTO desk.ticket (ticket_id, project, region, amount) VALUES ('F1', 'x', 'cn', 0);
SELECT is(public.failure($$ SELECT settle.assign_ticket('desk', 'F1', 's1') $$), '55000 | ticket "F1" has no type | Give it one: UPDATE the column type of its row.', 'a ticket without a type');
SELECT is(public.failure(statement), refused, refused)
FROM (VALUES ($$ INSERT INTO desk.team VALUES ('x', 'best') $$, '23514 | new row for relation "team" violates check constraint "strategy_is_known"'),
    ($$ INSERT INTO desk.shift (team, weekdays, starts, ends) VALUES ('sales', '{0}', '09:00', '18:00') $$, '23514 | new row for relation "shift" violates check constraint "weekdays_are_1_to_7"'),
    ($$ UPDATE desk.team_member SET place = point(31.2, 121.4) WHERE staff = 'p1' $$, '23514 | new row for relation "team_member" violates check constraint "place_is_one_of_the_earth"'),
    ($$ DELETE FROM desk.team_member WHERE staff = 't2' $$, '23503 | update or delete on table "team_member" violates foreign key constraint "assignment_team_staff_fkey" on table "assignment"'),
    ($$ DELETE FROM desk.assignment $$, '55000 | table "assignment" of a book is append-only | Change the ticket or the rules: a run posts the difference as a further revision.')) AS v (statement, refused);
SELECT results_eq($$ SELECT table_name, count(*) FROM desk.change WHERE table_name IN ('team', 'team_member', 'shift', 'absence', 'type_team') GROUP BY 1 ORDER BY 1 $$, $$ VALUES ('absence', 5::bigint), ('shift', 2), ('team', 9), ('team_member', 17), ('type_team', 3) $$, 'what people decide stands in the journal');

----------------------------------------------------------------------------------------------------
-- All of them, step by step; money
----------------------------------------------------------------------------------------------------
SELECT settle.add_rule('desk', 'wage', 'wage', 'hq', 'staff:{worker}', base => '100') \g /dev/null
SELECT public.opened('B' || n) FROM generate_series(1, 4) AS n \g /dev/null
SELECT public.opened('B5', 'bad'), public.opened('B6', worker => 's9'), settle.move_ticket('desk', public.opened('B7'), 'cancel') \g /dev/null
INSERT INTO desk.ticket (ticket_id, type, project, region, amount, opened_at) VALUES ('B8', 'repair', 'repair', 'cn', 0, now() + interval '3 days');
SELECT is((SELECT (d.assigned, d.waiting, d.more)::text FROM settle.assign_open('desk', 3) AS d), '(3,0,t)', 'so many at once');
SELECT is((SELECT (d.assigned, d.waiting, d.more)::text FROM settle.assign_open('desk') AS d), '(2,1,f)', 'then the rest, those first that were not tried; one begins to wait');
SELECT results_eq('SELECT ticket_id, reason FROM desk.unassigned ORDER BY 1', $$ VALUES ('B5', 'invalid input syntax for type integer: "bad"'), ('G2', 'all in team "service" who could take it are at capacity') $$, 'a decision that fails holds up one ticket');
SELECT is((SELECT string_agg(ticket_id || ' ' || coalesce(worker, '-'), ', ' ORDER BY ticket_id) FROM desk.ticket WHERE ticket_id IN ('B6', 'B7', 'B8', 'W1')), 'B6 s9, B7 -, B8 -, W1 a1', 'what somebody has, is cancelled or opens later is not given');
SELECT is(settle._tick_assign('desk'), NULL, 'nothing to tell where nothing has changed');
SELECT settle.move_ticket('desk', 'G1', 'finish') \g /dev/null
CALL settle.tick('desk');
SELECT is((SELECT worker FROM desk.ticket WHERE ticket_id = 'G2'), 'g1', 'the tick gives it when there is room');
SELECT is((SELECT sum(amount) FROM desk.line_detail WHERE ticket_key = 'G1' AND payee = 'staff:g1'), 100.00, 'who has it is paid');
SELECT settle.assign_ticket('desk', 'G1', 'g2', 'it was he who went') \g /dev/null
CALL settle.tick('desk');
SELECT is((SELECT string_agg(payee || ' ' || amount, ', ' ORDER BY payee) FROM (SELECT payee, sum(amount) AS amount FROM desk.line_detail WHERE ticket_key = 'G1' GROUP BY payee) AS p), 'staff:g1 0.00, staff:g2 100.00', 'another person for settled work is a correction');
SELECT settle.move_ticket('desk', 'G1', 'reopen') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all is well');
ALTER TABLE desk.team_member DISABLE TRIGGER ALL;
ALTER TABLE desk.assignment DISABLE TRIGGER ALL;
UPDATE desk.assignment SET capacity = open_before + 1 WHERE team = 'sales';
INSERT INTO desk.assignment (ticket_id, staff, team, strategy, open_before, capacity, actor) VALUES ('B6', 's9', 'sales', 'least_open', 0, 1, 'x');
UPDATE desk.assignment SET open_before = 0, capacity = 1 WHERE ticket_id = 'B4';
SELECT results_eq($$ SELECT invariant, object FROM settle.check('desk') ORDER BY 1 $$, $$ VALUES ('no team gives somebody more open tickets than his capacity', 'B4'), ('who has a ticket by the choice of a team is a member of it', 'B6') $$, 'settle.check finds what is wrong');

----------------------------------------------------------------------------------------------------
-- The choice, against one in plain SQL
----------------------------------------------------------------------------------------------------
SET check_function_bodies = off;
-- whether somebody works at an instant, by weekday and hour
CREATE FUNCTION public.works(of_team text, who text, at timestamptz) RETURNS boolean LANGUAGE sql AS $$
    WITH own AS (SELECT s.* FROM random.shift AS s WHERE s.team = of_team AND s.staff = who),
    shifts AS (SELECT * FROM own UNION ALL SELECT s.* FROM random.shift AS s WHERE s.team = of_team AND s.staff IS NULL AND NOT EXISTS (SELECT FROM own)),
    local AS (SELECT (at AT TIME ZONE 'Asia/Shanghai')::time AS hour, extract(isodow FROM at AT TIME ZONE 'Asia/Shanghai')::int AS day)
    SELECT (NOT EXISTS (SELECT FROM shifts) OR EXISTS (SELECT FROM shifts AS s, local AS l WHERE CASE
            WHEN s.starts < s.ends THEN l.day = ANY (s.weekdays) AND l.hour >= s.starts AND l.hour < s.ends
            ELSE l.day = ANY (s.weekdays) AND l.hour >= s.starts OR (l.day + 5) % 7 + 1 = ANY (s.weekdays) AND l.hour < s.ends END))
        AND NOT EXISTS (SELECT FROM random.absence AS a WHERE a.staff = who AND lower(a.during) <= at AND upper(a.during) > at)
$$;
CREATE FUNCTION public.oracle(id text, of_team text, wanted text[], at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    how text := (SELECT strategy FROM random.team WHERE team = of_team);
    last text := (SELECT o.worker FROM random.ticket AS t, random.ticket AS o WHERE t.ticket_id = id AND o.customer = t.customer AND o.ticket_id <> id AND o.worker IS NOT NULL ORDER BY o.opened_at DESC, o.ticket_id COLLATE "C" DESC LIMIT 1);
    lon float8 := (SELECT (details #>> '{site,lon}')::float8 FROM random.ticket WHERE ticket_id = id);
    answer text;
BEGIN
    CREATE TEMP TABLE can AS
        SELECT m.staff, m.weight, m.place, (SELECT count(*) FROM random.ticket AS t WHERE t.worker = m.staff AND t.stage = 'new' AND t.ticket_id <> id) AS load,
            coalesce((SELECT max(a.assignment_id) FROM random.assignment AS a WHERE a.staff = m.staff AND a.team = of_team), 0) AS turn
        FROM random.team_member AS m
        WHERE m.team = of_team AND m.valid @> at AND NOT EXISTS (SELECT FROM unnest(wanted) AS w WHERE w <> ALL (m.skills)) AND public.works(of_team, m.staff, at);
    DELETE FROM can AS c USING random.team_member AS m WHERE m.team = of_team AND m.staff = c.staff AND c.load >= m.capacity;
    IF how = 'same_as_last' AND EXISTS (SELECT FROM can WHERE staff = last) THEN
        answer := last;
    ELSE
        IF how = 'nearest' AND lon IS NOT NULL AND EXISTS (SELECT FROM can WHERE place IS NOT NULL) THEN
            DELETE FROM can AS c WHERE c.place IS NULL OR settle.distance_m(c.place, point(lon, 31.2)) > (SELECT min(settle.distance_m(o.place, point(lon, 31.2))) FROM can AS o);
        END IF;
        IF how <> 'round_robin' THEN
            DELETE FROM can AS c WHERE EXISTS (SELECT FROM can AS o WHERE (o.load + 1) * c.weight < (c.load + 1) * o.weight);
        END IF;
        answer := (SELECT staff FROM can ORDER BY turn, staff COLLATE "C" LIMIT 1);
    END IF;
    DROP TABLE can;
    RETURN answer;
END $$;
CREATE TABLE public.played (seed int, given bigint, waited bigint);
CREATE FUNCTION public.play(seed int, tickets int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    differences text;
    given int := 0;
    waited int := 0;
    step timestamptz;
    at timestamptz;
    goes text;
    wanted text[];
    id text;
    c record;
    first timestamptz;
BEGIN
    PERFORM setseed((seed % 1000) / 1000.0);
    PERFORM settle.create_book('random');
    PERFORM settle.add_type('random', '{"type": "job", "project": "job", "fields": [{"field": "site", "kind": "place"}], "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true, "ends": "done"}], "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done"}]}');
    PERFORM settle.enable_type('random', 'job');
    INSERT INTO random.team SELECT 't' || n, ('{least_open,round_robin,nearest,same_as_last}'::text[])[1 + floor(random() * 4)] FROM generate_series(1, 3) AS n;
    INSERT INTO random.team_member
        SELECT t.team, 'm' || n, ARRAY(SELECT s FROM unnest('{gas,water}'::text[]) AS s WHERE random() < 0.6 + 0 * n), 1 + floor(random() * 3), CASE WHEN random() < 0.6 THEN floor(random() * 6) END,
            CASE WHEN random() < 0.8 THEN point(121 + floor(random() * 5) / 10, 31.2) END, CASE WHEN random() < 0.2 THEN '[2025-11-10,2025-11-20)' ELSE '(,)' END::tstzrange
        FROM random.team AS t, generate_series(1, 6) AS n WHERE random() < 0.7;
    INSERT INTO random.shift (team, staff, weekdays, starts, ends)
        SELECT t.team, CASE WHEN random() < 0.6 THEN 'm' || 1 + floor(random() * 6)::int END, ARRAY(SELECT d FROM generate_series(1, 7) AS d WHERE random() < 0.5 + 0 * n UNION SELECT 1), make_time(floor(random() * 24)::int, 30, 0), make_time(floor(random() * 24)::int, 0, 0)
        FROM random.team AS t, generate_series(1, 4) AS n WHERE random() < 0.7;
    INSERT INTO random.absence (staff, during)
        SELECT 'm' || 1 + n % 6, tstzrange(s, s + make_interval(hours => 1 + floor(random() * 100)::int)) FROM (SELECT n, '2025-11-03 00:00+08'::timestamptz + make_interval(hours => floor(random() * 600)::int) AS s FROM generate_series(1, 8) AS n) AS x;
    FOR n IN 1 .. tickets LOOP
        at := '2025-11-03 00:00+08'::timestamptz + make_interval(mins => floor(random() * 40000)::int);
        goes := 't' || 1 + floor(random() * 3)::int;
        wanted := ARRAY(SELECT s FROM unnest('{gas,water}'::text[]) AS s WHERE random() < 0.2);
        id := settle.open_ticket('random', 'job', CASE WHEN random() < 0.8 THEN jsonb_build_object('site', jsonb_build_object('lon', 121 + floor(random() * 10) / 20, 'lat', 31.2, 'system', 'WGS-84')) ELSE '{}' END,
            region => 'cn', customer => CASE WHEN random() < 0.8 THEN 'customer:' || floor(random() * 4)::int END);
        c := settle._choose_staff('random', id, goes, wanted, at);
        IF c.staff IS DISTINCT FROM public.oracle(id, goes, wanted, at) THEN
            differences := concat_ws(chr(10), differences, format('ticket %s of team %s at %s: %s, not %s', id, goes, at, coalesce(c.staff, c.reason), coalesce(public.oracle(id, goes, wanted, at), 'nobody')));
        END IF;
        IF c.staff IS NOT NULL THEN
            given := given + 1;
            PERFORM settle._lock_staff('random', ARRAY[c.staff]);
            PERFORM settle._give_ticket('random', id, c.staff, goes, c.strategy, c.open_before, c.capacity);
        ELSE
            waited := waited + 1;
            -- shifts and absences begin and end at half hours
            first := NULL;
            FOR step IN SELECT g FROM generate_series(date_trunc('hour', at), at + interval '13 days', interval '30 minutes') AS g WHERE g > at AND c.reason ~ 'is at work' LOOP
                first := step;
                EXIT WHEN EXISTS (SELECT FROM random.team_member AS m WHERE m.team = goes AND m.valid @> at AND m.skills @> wanted AND public.works(goes, m.staff, step));
                first := NULL;
            END LOOP;
            IF c.reason ~ 'is at work' AND (first IS DISTINCT FROM c.until AND NOT (first IS NULL AND c.until > at + interval '13 days')) OR c.reason !~ 'is at work' AND c.until IS NOT NULL THEN
                differences := concat_ws(chr(10), differences, format('ticket %s of team %s at %s: %s, not %s', id, goes, at, c.reason, first));
            END IF;
        END IF;
        IF random() < 0.3 THEN
            PERFORM settle.move_ticket('random', (SELECT ticket_id FROM random.ticket WHERE stage = 'new' ORDER BY random() LIMIT 1), 'finish');
        END IF;
    END LOOP;
    differences := nullif(concat_ws(chr(10), differences, (SELECT string_agg(concat_ws(' | ', invariant, object, detail), chr(10)) FROM settle.check('random'))), '');
    DROP SCHEMA random CASCADE;
    INSERT INTO public.played VALUES (seed, given, waited);
    RETURN differences;
END $$;
SELECT format('SELECT is(public.play(%s, %s), NULL, ''seed %1$s: chosen as in plain SQL'')', seed, :tickets) FROM generate_series(1, :seeds) AS seed \gexec
SELECT ok(min(given) > 0 AND min(waited) > 0, 'in all some are given and some wait') FROM public.played;

-- The page shows what the golden test shows.
\set page `cat docs/assign.md`
\set statements `cat sql/desk.sql`
\set transcript `cat expected/desk.out`
SELECT is_empty($$ SELECT block[1] FROM regexp_matches($$ || quote_literal(:'page') || $$, E'```sql\n(.*?)\n```', 'g') AS block WHERE strpos($$ || quote_literal(:'statements') || $$, block[1]) = 0 $$, 'the statements of docs/assign.md are those of sql/desk.sql');
SELECT is_empty($$ SELECT line FROM regexp_matches($$ || quote_literal(:'page') || $$, E'\n\n```\n(.*?)\n```\n', 'g') AS block, unnest(string_to_array(block[1], E'\n')) AS line WHERE strpos($$ || quote_literal(:'transcript') || $$, line) = 0 $$, 'and its results those of expected/desk.out');
SET client_min_messages = warning;
DROP SCHEMA desk CASCADE;
DROP ROLE assign_anna, assign_boris;
SELECT * FROM finish();
