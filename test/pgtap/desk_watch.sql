-- Deadlines: targets, clocks that are set by whatever writes tickets, alerts that
-- are told once, escalation and its manual door.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS due_reader;
CREATE ROLE due_reader;
SELECT settle.create_book('desk') \g /dev/null
SELECT settle.grant_access('desk', 'due_reader', 'reader') \g /dev/null
SET search_path = public, desk;
SELECT settle.add_type('desk', $json${
    "type": "repair", "project": "repair.ac", "fields": [{"field": "note", "kind": "text"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "waiting", "pauses": true}, {"stage": "done", "ready": true}, {"stage": "cancelled", "ends": "cancelled"}],
    "moves": [{"move": "begin", "from_stage": "new", "to_stage": "work"}, {"move": "ask", "from_stage": "work", "to_stage": "waiting"}, {"move": "answer", "from_stage": "waiting", "to_stage": "work"},
        {"move": "finish", "from_stage": "work", "to_stage": "done"}, {"move": "reopen", "from_stage": "done", "to_stage": "work"}, {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"}, {"move": "cancel", "from_stage": "work", "to_stage": "cancelled"}]
}$json$), settle.enable_type('desk', 'repair') \g /dev/null
SELECT is((SELECT settle.type_document('desk', 'repair') @? '$.stages[*] ? (@.stage == "waiting" && @.pauses == true)'), true, 'that a stage pauses is part of the document');
INSERT INTO calendar VALUES ('day', 'Asia/Shanghai');
INSERT INTO calendar_hours SELECT 'day', d, '09:00', '17:00' FROM generate_series(1, 5) AS d;

----------------------------------------------------------------------------------------------------
-- Targets
----------------------------------------------------------------------------------------------------
SELECT throws_ok(statement, code, message) FROM (VALUES
    ($$ INSERT INTO deadline_target (type, kind, within) VALUES ('school', 'done', '1 hour') $$, '42704', 'ticket type "school" does not exist'),
    ($$ INSERT INTO deadline_target (type, kind, stage, within) VALUES ('repair', 'stage', 'lost', '1 hour') $$, '42704', 'ticket type "repair" does not exist, or has no stage "lost"'),
    ($$ INSERT INTO deadline_target (type, kind, stage, within) VALUES ('repair', 'done', 'work', '1 hour') $$, '23514', NULL),
    ($$ INSERT INTO deadline_target (type, kind, within) VALUES ('repair', 'done', '0') $$, '23514', NULL),
    ($$ INSERT INTO deadline_target (type, kind, within) VALUES ('repair', 'done', '1 month') $$, '23514', NULL),
    ($$ INSERT INTO deadline_target (type, kind, within, calendar) VALUES ('repair', 'done', '1 hour', 'mars') $$, '23503', NULL),
    ($$ INSERT INTO deadline_target (target_id, type, kind, within) VALUES (1, 'repair', 'done', '1 hour'), (2, 'repair', 'done', '2 hours') $$, '23P01', 'targets 1 and 2 for the done of type "repair" are ambiguous'),
    ($$ INSERT INTO deadline_target (target_id, type, kind, level, region, within) VALUES (1, 'repair', 'done', 'gold', '', '1 hour'), (2, 'repair', 'done', NULL, 'cn.north', '2 hours') $$, '23P01', 'targets 1 and 2 for the done of type "repair" are ambiguous')) AS v (statement, code, message);
INSERT INTO deadline_target (type, kind, level, region, stage, within, calendar) VALUES
    ('repair', 'done', NULL, '', NULL, '40 hours', 'day'), ('repair', 'done', 'gold', '', NULL, '20 hours', 'day'), ('repair', 'done', NULL, 'cn.north', NULL, '30 hours', 'day'), ('repair', 'done', 'gold', 'cn.north', NULL, '10 hours', NULL),
    ('repair', 'response', NULL, '', NULL, '4 hours', NULL), ('repair', 'stage', NULL, '', NULL, '8 hours', NULL), ('repair', 'stage', NULL, '', 'work', '6 hours', NULL);
INSERT INTO deadline_target (type, kind, region, valid, within) VALUES ('repair', 'response', 'cn.south', '(,2020-01-01)', '1 hour'), ('repair', 'response', 'cn.south', '[2020-01-01,)', '2 hours');
SELECT throws_ok($$ DELETE FROM deadline_target WHERE level = 'gold' AND region = 'cn.north' $$, '23P01', NULL, 'what decides between two cannot go alone');
INSERT INTO ticket (ticket_id, type, opened_at, project, region, level, amount) VALUES
    ('plain', 'repair', '2025-11-10 09:00', 'repair', 'cn.east', NULL, 1), ('gold', 'repair', '2025-11-10 09:00', 'repair', 'cn.east', 'gold', 1), ('north', 'repair', '2025-11-10 09:00', 'repair', 'cn.north.x', 'silver', 1), ('both', 'repair', '2025-11-10 09:00', 'repair', 'cn.north', 'gold', 1),
    ('south', 'repair', '2025-11-10 09:00', 'repair', 'cn.south.y', NULL, 1), ('old', 'repair', '2019-11-11 09:00', 'repair', 'cn.south', NULL, 1);
INSERT INTO ticket (ticket_id, stage, project, region, amount) VALUES ('free', 'new', 'repair', 'cn', 1);
SELECT results_eq($$ SELECT ticket_id, string_agg(concat_ws(' ', kind, to_char(due_at, 'YYYY-MM-DD HH24:MI')), ', ' ORDER BY kind) FROM ticket_due GROUP BY 1 ORDER BY 1 $$, $$ VALUES
    ('both', 'done 2025-11-10 19:00, response 2025-11-10 13:00, stage 2025-11-10 17:00'), ('gold', 'done 2025-11-12 13:00, response 2025-11-10 13:00, stage 2025-11-10 17:00'),
    ('north', 'done 2025-11-13 15:00, response 2025-11-10 13:00, stage 2025-11-10 17:00'), ('old', 'done 2019-11-15 17:00, response 2019-11-11 10:00, stage 2019-11-11 17:00'),
    ('plain', 'done 2025-11-14 17:00, response 2025-11-10 13:00, stage 2025-11-10 17:00'), ('south', 'done 2025-11-14 17:00, response 2025-11-10 11:00, stage 2025-11-10 17:00') $$, 'the most specific target counts, from when the ticket was opened');
SELECT throws_ok($$ DELETE FROM deadline_target WHERE kind = 'stage' $$, '23503', NULL, 'what deadlines came from stays');
DELETE FROM ticket;
SELECT is((SELECT array_agg(DISTINCT state) FROM ticket_due), '{dropped}', 'deadlines go with their tickets');

----------------------------------------------------------------------------------------------------
-- The clock, as plain statements move it
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.dues(t text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s %s', kind, stage, state), ', ' ORDER BY due_id) FROM desk.ticket_due WHERE ticket_id = t
$$;
-- as if it had happened so much earlier
CREATE FUNCTION public.age(t text, by interval) RETURNS void LANGUAGE sql AS $$
    UPDATE desk.ticket_due SET started_at = started_at - by, due_at = due_at - by, paused_at = paused_at - by, next_at = next_at - by WHERE ticket_id = t AND done_at IS NULL
$$;
UPDATE deadline_target SET calendar = NULL;
SELECT settle.open_ticket('desk', 'repair', region => 'cn', ticket_id => 'A', worker => '1') \g /dev/null
SELECT is(public.dues('A'), 'done new running, response new running, stage new running', 'three clocks');
UPDATE ticket SET worker = '2', details = '{"note": "x"}' WHERE ticket_id = 'A';
SELECT is(public.dues('A'), 'done new running, response new running, stage new running', 'neither the worker nor the form moves them');
UPDATE ticket SET stage = 'work' WHERE ticket_id = 'A';
SELECT is(public.dues('A'), 'done new running, response new met, stage new met, stage work running', 'a move answers');
SELECT is((SELECT within FROM ticket_due WHERE ticket_id = 'A' AND stage = 'work'), '6 hours', 'a stage has its target');
SELECT public.age('A', '5 hours') \g /dev/null
UPDATE ticket SET stage = 'waiting' WHERE ticket_id = 'A';
SELECT is(public.dues('A'), 'done new paused, response new met, stage new met, stage work met', 'a stage that waits stops the clock');
SELECT is((SELECT date_trunc('hour', used + interval '1 minute') FROM ticket_due WHERE ticket_id = 'A' AND state = 'paused'), '5 hours', 'with what was used');
SELECT public.age('A', '30 hours') \g /dev/null
UPDATE ticket SET stage = 'work' WHERE ticket_id = 'A';
SELECT is((SELECT round(extract(epoch FROM due_at - now()) / 3600) FROM ticket_due WHERE ticket_id = 'A' AND kind = 'done'), 35::numeric, 'and goes on with what is left');
UPDATE ticket SET stage = 'done' WHERE ticket_id = 'A';
SELECT is(public.dues('A'), 'done new met, response new met, stage new met, stage work met, stage work met', 'done in time');
UPDATE ticket SET stage = 'work' WHERE ticket_id = 'A';
SELECT is(public.dues('A'), 'done new met, response new met, stage new met, stage work met, stage work met, done work running, stage work running', 'reopened, it has to be done again');
SELECT public.age('A', '41 hours') \g /dev/null
UPDATE ticket SET stage = 'waiting' WHERE ticket_id = 'A';
SELECT is((SELECT string_agg(kind || ' ' || state, ', ' ORDER BY due_id) FROM ticket_due WHERE ticket_id = 'A' AND due_at < now()), 'done running, stage missed', 'what is late is not stopped any more');
SELECT is((SELECT count(*) FROM ticket_deadline WHERE ticket_id = 'A' AND late_by BETWEEN '59 minutes' AND '36 hours'), 2::bigint, 'the view says by how much');
UPDATE ticket SET stage = 'work' WHERE ticket_id = 'A';
UPDATE ticket SET stage = 'cancelled' WHERE ticket_id = 'A';
SELECT is((SELECT array_agg(state ORDER BY due_id DESC) FROM (SELECT * FROM ticket_due WHERE ticket_id = 'A' ORDER BY due_id DESC LIMIT 1) AS d), '{dropped}', 'a cancelled ticket has none');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all is well');

----------------------------------------------------------------------------------------------------
-- Alerts and escalation
----------------------------------------------------------------------------------------------------
DELETE FROM ticket;
INSERT INTO deadline_target (type, kind, region, stage, within) VALUES ('repair', 'response', 'x', NULL, '1000 hours'), ('repair', 'stage', 'x', NULL, '1000 hours'), ('repair', 'stage', 'x', 'work', '1000 hours');
UPDATE book SET alert_platform = 'wecom', duty_manager = '99';
INSERT INTO manager (staff, manager) VALUES ('1', '10'), ('10', '100'), ('100', '1000'), ('1000', '10');
SELECT throws_ok($$ INSERT INTO manager VALUES ('1', '11', '[2025-01-01,)') $$, '23P01', NULL, 'one manager at a time');
CREATE FUNCTION public.open_alerts() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(kind || ' ' || object, ', ' ORDER BY alert_id) FROM desk.alert WHERE ended_at IS NULL
$$;
SELECT settle.open_ticket('desk', 'repair', region => 'x', ticket_id => 'E', worker => '1') \g /dev/null
SELECT settle._watch_at('desk', now() + '38 hours') - 'stuck' IS NOT NULL \g /dev/null
UPDATE alert SET ended_at = now() WHERE kind = 'stuck';
SELECT is(public.open_alerts(), NULL, 'nothing is due yet');
SELECT settle._watch_at('desk', now() + '39 hours 1 minute') \g /dev/null
SELECT is(public.open_alerts(), 'due E done', 'due soon');
SELECT is(settle._watch_at('desk', now() + '39 hours 2 minutes'), NULL, 'is said once');
SELECT settle._watch_at('desk', now() + '40 hours 1 minute') \g /dev/null
SELECT is(public.open_alerts(), 'late E done, escalated E done to 10', 'late, and the manager knows');
SELECT is(settle._watch_at('desk', now() + '44 hours'), NULL, 'he has his time');
SELECT settle._watch_at('desk', now() + '400 hours') \g /dev/null
SELECT is(public.open_alerts(), 'late E done, escalated E done to 10, escalated E done to 100', 'after a long time without a watch the next one, not all');
SELECT settle._watch_at('desk', now() + '405 hours'), settle._watch_at('desk', now() + '410 hours'), settle._watch_at('desk', now() + '500 hours') \g /dev/null
SELECT is((SELECT escalated_to FROM ticket_due WHERE ticket_id = 'E' AND kind = 'done'), '{10,100,1000}', 'a line that comes round ends');
SELECT is((SELECT escalated_to || ' ' || escalations FROM ticket_deadline WHERE ticket_id = 'E' AND kind = 'done'), '1000 3', 'readers see with whom');
SELECT set_eq($$ SELECT kind, object, payload ->> 'to' FROM outbox $$, $$ VALUES ('ticket stuck', 'E', NULL), ('ticket due', 'E', NULL), ('ticket escalated', 'E', '10'), ('ticket late', 'E', NULL), ('ticket escalated', 'E', '100'), ('ticket escalated', 'E', '1000') $$, 'and the platform was told');
UPDATE ticket SET stage = 'work' WHERE ticket_id = 'E';
UPDATE ticket SET stage = 'done' WHERE ticket_id = 'E';
SELECT is(settle.watch('desk') - 'more', '{"deadlines": 1, "raised": 0, "ended": 4}', 'what has moved on');
SELECT is(public.open_alerts(), NULL, 'is ended');
SELECT is(settle.watch('desk'), NULL, 'then nothing is due');
-- late before anybody looked: no alert that it would be due soon
SELECT settle.open_ticket('desk', 'repair', region => 'x', ticket_id => 'F') \g /dev/null
SELECT settle._watch_at('desk', now() + '100 hours') \g /dev/null
SELECT is((SELECT string_agg(kind || ' ' || object, ', ' ORDER BY kind) FROM alert WHERE ended_at IS NULL), 'escalated F done to 99, late F done', 'a ticket of nobody goes to who is on duty');
SELECT throws_ok($$ INSERT INTO desk.alert (kind, object, message) VALUES ('late', 'F done', 'again') $$, '23505', NULL, 'an alert is open once');
DELETE FROM ticket WHERE ticket_id = 'F';
SELECT settle._watch_at('desk', now() + '100 hours') \g /dev/null
SELECT is(public.open_alerts(), NULL, 'a ticket that has gone has no alerts');

----------------------------------------------------------------------------------------------------
-- Held by hand
----------------------------------------------------------------------------------------------------
SELECT throws_ok(statement, code, message) FROM (VALUES
    ($$ SELECT settle.hold_escalation('desk', 'E', now() + '1 day', ' ') $$, '22004', NULL),
    ($$ SELECT settle.hold_escalation('desk', 'E', now() - interval '1 day', 'x') $$, '22023', NULL),
    ($$ SELECT settle.hold_escalation('desk', 'E', 'infinity', 'x') $$, '22023', 'cannot hold an escalation of ticket "E" until infinity'),
    ($$ SELECT settle.hold_escalation('desk', 'nobody', now() + '1 day', 'x') $$, '42704', 'book "desk" has no ticket "nobody"'),
    ($$ SELECT settle.hold_escalation('desk', 'E', now() + '1 day', 'x') $$, '55000', 'no deadline of ticket "E" runs')) AS v (statement, code, message);
UPDATE ticket_due SET late_at = NULL;
INSERT INTO ticket (ticket_id, type, opened_at, project, region, worker, amount) SELECT 'H' || n, 'repair', now() - '41 hours'::interval, 'repair', 'x', '1', 1 FROM generate_series(1, 11) AS n;
SELECT settle.hold_escalation('desk', 'H1', now() + '2 days', 'the part is on its way') \g /dev/null
SELECT settle.watch('desk') \g /dev/null
SELECT is((SELECT string_agg(ticket_id, ' ') FROM ticket_deadline WHERE escalated_to IS NULL AND late_by IS NOT NULL AND state = 'running' AND kind = 'done'), 'H1', 'ten are escalated, one is held');
SELECT is((SELECT count(*) FROM alert WHERE kind = 'late' AND ended_at IS NULL), 11::bigint, 'all are late');
SELECT lives_ok($$ SELECT settle.hold_escalation('desk', 'H1', now() + '3 days', 'once more') $$, 'the same one may be held longer');
SELECT lives_ok($$ SELECT settle.hold_escalation('desk', 'H2', now() + '2 days', 'a tenth of eleven, rounded up') $$, 'two of eleven');
SELECT throws_ok($$ SELECT settle.hold_escalation('desk', 'H3', now() + '2 days', 'x') $$, '53400', 'cannot hold the escalation of ticket "H3": 2 of 11 late tickets are held already');
SELECT is((SELECT count(*) FROM escalation_hold), 3::bigint, 'who held what stays');
SELECT throws_ok($$ DELETE FROM desk.escalation_hold $$, '55000', NULL, 'for ever');
SELECT settle._watch_at('desk', now() + '25 hours') \g /dev/null
SELECT is((SELECT string_agg(ticket_id || ' ' || coalesce(escalated_to, 'nobody'), ', ' ORDER BY ticket_id) FROM ticket_deadline WHERE ticket_id IN ('H1', 'H2', 'H3') AND kind = 'done'), 'H1 nobody, H2 10, H3 100', 'what is held goes no further');
SELECT settle._watch_at('desk', now() + '73 hours') \g /dev/null
SELECT is((SELECT string_agg(ticket_id || ' ' || coalesce(escalated_to, 'nobody'), ', ' ORDER BY ticket_id) FROM ticket_deadline WHERE ticket_id IN ('H1', 'H2') AND kind = 'done'), 'H1 10, H2 100', 'until its time has come');
UPDATE book SET hold_share = 0;
SELECT throws_ok($$ SELECT settle.hold_escalation('desk', 'H4', now() + '2 days', 'x') $$, '53400', NULL, 'a book may shut the door');

----------------------------------------------------------------------------------------------------
-- Stuck
----------------------------------------------------------------------------------------------------
DELETE FROM ticket;
SELECT settle._watch_at('desk', now()) \g /dev/null
UPDATE watch_mark SET seen_until = now();
SELECT settle.open_ticket('desk', 'repair', region => 'x', ticket_id => t, opened_at => now() + after) FROM (VALUES ('S1', interval '0'), ('S2', '0'), ('S3', '0'), ('S4', '48 hours')) AS v (t, after) \g /dev/null
UPDATE ticket SET stage = 'work' WHERE ticket_id IN ('S2', 'S3');
UPDATE ticket SET stage = 'waiting' WHERE ticket_id = 'S2';
UPDATE ticket SET stage = 'done' WHERE ticket_id = 'S3';
CREATE FUNCTION public.stuck() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(object, ' ' ORDER BY object) FROM desk.alert WHERE kind = 'stuck' AND ended_at IS NULL $$;
SELECT settle._watch_at('desk', now() + '23 hours') \g /dev/null
SELECT is(public.stuck(), NULL, 'a day has not passed');
SELECT settle._watch_at('desk', now() + '24 hours 1 minute') \g /dev/null
SELECT is(public.stuck(), 'S1', 'who waits, is done, or is for later is not stuck');
SELECT settle._watch_at('desk', now() + '71 hours') \g /dev/null
SELECT is(public.stuck(), 'S1', 'nor again');
SELECT settle._watch_at('desk', now() + '72 hours 1 minute', 1), settle._watch_at('desk', now() + '72 hours 1 minute', 1) \g /dev/null
SELECT is(public.stuck(), 'S1 S4', 'but when its own time has come');
UPDATE ticket SET details = '{"note": "called"}' WHERE ticket_id = 'S1';
SELECT settle._watch_at('desk', now()) \g /dev/null
SELECT is(public.stuck(), 'S4', 'something happened');

----------------------------------------------------------------------------------------------------
-- Figures, readers, the tick
----------------------------------------------------------------------------------------------------
INSERT INTO team (team, strategy) VALUES ('west', 'least_open');
INSERT INTO team_member (team, staff) VALUES ('west', '1');
SELECT settle.open_ticket('desk', 'repair', region => 'cn', ticket_id => 'T1', worker => '1'), settle.open_ticket('desk', 'repair', region => 'cn', ticket_id => 'T2', worker => '1') \g /dev/null
SELECT settle.move_ticket('desk', 'T1', 'begin'), settle.move_ticket('desk', 'T2', 'begin'), settle.move_ticket('desk', 'T1', 'finish') \g /dev/null
SELECT results_eq($$ SELECT measure, who, name, n, p50 < '1 minute' FROM service_time ORDER BY 1, 2 $$, $$ VALUES ('handling', 'person', '1', 1::bigint, true), ('handling', 'team', 'west', 1, true), ('response', 'person', '1', 2, true), ('response', 'team', 'west', 2, true) $$,
    'how long people and teams take');
SELECT is(settle.work('desk', 'watch'), false, 'a step of the tick');
SELECT is_empty($$ SELECT * FROM desk.job_step WHERE step = 'watch' AND error IS NOT NULL $$, 'that succeeds');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all is well');
UPDATE ticket_due SET alerted = false;
UPDATE ticket_due SET stage = 'elsewhere' WHERE ticket_id = 'S1' AND kind = 'stage';
SELECT set_eq($$ SELECT invariant, object FROM settle.check('desk') WHERE object LIKE 'S1%' $$, $$ VALUES ('a deadline runs for a ticket that is on its way, and no longer', 'S1 stage'), ('an alert of a deadline is open while its row is one that was told', 'S1 done') $$, 'unless somebody meddles');
SET SESSION AUTHORIZATION due_reader;
SELECT is((SELECT count(*) FROM desk.ticket_deadline WHERE ticket_id = 'S1'), 3::bigint, 'a reader sees deadlines');
SELECT is(settle.add_working_time('desk', 'day', '2025-11-14 16:00', '2 hours'), '2025-11-17 10:00'::timestamptz, 'and reckons working time');
SELECT throws_ok($$ SELECT settle.watch('desk') $$, '42501', NULL, 'but does not watch');
RESET SESSION AUTHORIZATION;

SELECT finish();
DROP SCHEMA desk CASCADE;
DROP ROLE due_reader;
DROP FUNCTION public.dues(text), public.age(text, interval), public.open_alerts(), public.stuck();
