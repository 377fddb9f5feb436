-- The desk: kinds of tickets, who does the work, by when, in parts, and the board.
-- repair.sql, school.sql and clinic.sql tell whole stories.
SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE; RESET client_min_messages;
\pset null -
\pset format unaligned
\set SHOW_CONTEXT never
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = ISO;
SELECT settle.create_book('desk_test');

-- 1. A kind of tickets is a document. Its next version asks for more; a ticket keeps
--    the version that it was opened under until it is moved over.
SELECT settle.add_type('desk_test', $json${
    "type": "repair", "title": "Repair", "project": "repair.ac",
    "fields": [{"field": "fault", "kind": "choice", "choices": ["cold", "noise", "water"], "required": true}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "done", "ready": true, "ends": "done"}],
    "moves": [{"move": "begin", "from_stage": "new", "to_stage": "work"}, {"move": "finish", "from_stage": "work", "to_stage": "done"}]
}$json$), settle.enable_type('desk_test', 'repair');
SELECT settle.open_ticket('desk_test', 'repair', '{"fault": "water"}', region => 'cn.east', worker => '1001', ticket_id => 'V1');
SELECT settle.add_type('desk_test', jsonb_insert(settle.type_document('desk_test', 'repair'), '{fields,1}',
    '{"field": "litres", "kind": "numeric", "shown": "form.fault = ''water''", "required": true}')) AS version, settle.enable_type('desk_test', 'repair') AS enabled;
SELECT settle.open_ticket('desk_test', 'repair', '{"fault": "water"}', region => 'cn.east', ticket_id => 'V2');
SELECT settle.move_ticket('desk_test', 'V1', 'begin');
SELECT settle.upgrade_ticket('desk_test', 'V1');
SELECT settle.upgrade_ticket('desk_test', 'V1', '{"litres": 2.5}', reason => 'measured');
SELECT ticket_id, type_version, stage, details FROM desk_test.ticket;
SELECT what, was, now, changes, reason FROM desk_test.ticket_timeline WHERE ticket_id = 'V1' ORDER BY event_id;

-- 2. Who does the work. Repairs of the west go to the team there, gas to who has
--    the skill; the others to whoever is at work and has the least to do.
SELECT settle.add_decision('desk_test', 'team', returns => 'jsonb', fallback => '{"team": "service"}');
SELECT settle.add_outcome('desk_test', 'team', $$region <@ 'cn.west'$$, '{"team": "west"}');
SELECT settle.add_outcome('desk_test', 'team', $$details ->> 'fault' = 'cold'$$, '{"team": "service", "skills": ["gas"]}');
INSERT INTO desk_test.type_team (type, decision) VALUES ('repair', 'team');
INSERT INTO desk_test.team (team, strategy) VALUES ('service', 'least_open'), ('west', 'least_open');
INSERT INTO desk_test.team_member (team, staff, skills, weight, capacity) VALUES ('service', '1001', '{gas}', 2, 3), ('service', '1002', '{}', 1, 1), ('west', '2001', '{}', 1, 5);
INSERT INTO desk_test.absence (staff, during, reason) VALUES ('2001', '[2025-11-01,)', 'left');
SELECT settle.open_ticket('desk_test', 'repair', jsonb_build_object('fault', fault, 'litres', CASE fault WHEN 'water' THEN 1 END), region => region, ticket_id => id)
FROM (VALUES ('Q1', 'noise', 'cn.east'), ('Q2', 'cold', 'cn.east'), ('Q3', 'water', 'cn.east'), ('Q4', 'noise', 'cn.east'), ('Q5', 'cold', 'cn.east'), ('Q6', 'noise', 'cn.west')) AS v (id, fault, region);
SELECT assigned, waiting FROM settle.assign_open('desk_test');
SELECT t.ticket_id, t.worker, a.team, a.open_before, a.capacity FROM desk_test.ticket AS t JOIN desk_test.assignment AS a ON a.ticket_id = t.ticket_id ORDER BY 1;
SELECT ticket_id, team, reason FROM desk_test.unassigned ORDER BY 1;
SELECT settle.assign_ticket('desk_test', 'Q5', '1002', 'has learned it');
SELECT settle.assign_ticket('desk_test', 'Q5');
SELECT object, message, ended_at IS NOT NULL AS ended FROM desk_test.alert WHERE kind = 'unassigned' ORDER BY 1;
-- 3. Deadlines. An air conditioner is cleaned within 20 working hours, for a gold
--    customer in half an hour. National Day is free, the Sunday before it works as a Tuesday.
INSERT INTO desk_test.calendar (calendar, time_zone) VALUES ('shop', 'Asia/Shanghai');
INSERT INTO desk_test.calendar_hours (calendar, weekday, opens, closes) SELECT 'shop', day, '09:00', '18:00' FROM generate_series(1, 5) AS day;
INSERT INTO desk_test.calendar_day (calendar, day, weekday, title) VALUES ('shop', '2025-09-28', 2, 'makes up for National Day');
INSERT INTO desk_test.calendar_day (calendar, day, title) SELECT 'shop', day::date, 'National Day' FROM generate_series(timestamp '2025-10-01', '2025-10-08', '1 day') AS day;
SELECT settle.add_working_time('desk_test', 'shop', since, '2 hours') AS due, title FROM (VALUES
    (timestamptz '2025-09-26 17:00+08', 'Friday evening'), ('2025-09-30 17:00+08', 'the last evening before the holiday'), ('2025-11-11 03:00+08', 'at night')) AS v (since, title);
SELECT settle.working_time('desk_test', 'shop', '2025-09-01 00:00+08', '2025-11-01 00:00+08');
SELECT settle.add_type('desk_test', $json${"type": "clean", "project": "clean.ac",
    "stages": [{"stage": "new", "initial": true}, {"stage": "asked", "pauses": true}, {"stage": "done", "ready": true}],
    "moves": [{"move": "ask", "from_stage": "new", "to_stage": "asked"}, {"move": "go_on", "from_stage": "asked", "to_stage": "new"}, {"move": "finish", "from_stage": "new", "to_stage": "done"}]}$json$), settle.enable_type('desk_test', 'clean');
INSERT INTO desk_test.deadline_target (type, kind, level, within, calendar) VALUES ('clean', 'done', NULL, '20 hours', 'shop'), ('clean', 'done', 'gold', '30 minutes', NULL);
-- gold or north, but what of gold in the north?
INSERT INTO desk_test.deadline_target (type, kind, region, within) VALUES ('clean', 'done', 'cn.north', '1 hour');
INSERT INTO desk_test.manager (staff, manager) VALUES ('7', '70'), ('70', '700');
INSERT INTO desk_test.ticket (ticket_id, type, opened_at, project, region, level, worker, amount) VALUES
    ('C1', 'clean', '2025-09-30 10:00+08', 'clean.ac', 'cn.east', NULL, '7', 80), ('C2', 'clean', '2025-09-30 10:00+08', 'clean.ac', 'cn.east', 'gold', '7', 80);
SELECT ticket_id, kind, stage, state, due_at, within, calendar FROM desk_test.ticket_deadline ORDER BY ticket_id;
-- both are late, and the manager knows; a minute later there is nothing to say
SELECT settle.watch('desk_test');
SELECT settle.watch('desk_test');
SELECT kind, object, message FROM desk_test.alert WHERE object LIKE 'C%' AND ended_at IS NULL ORDER BY object, kind;
-- one may wait, which is more than a tenth
SELECT settle.hold_escalation('desk_test', 'C1', now() + interval '2 days', 'the part arrives tomorrow');
SELECT settle.hold_escalation('desk_test', 'C2', now() + interval '2 days', 'and this one');
-- five hours later
SELECT settle._watch_at('desk_test', now() + interval '5 hours') - 'stuck';
SELECT ticket_id, state, late_by > interval '1 day' AS late, escalated_to, escalations FROM desk_test.ticket_deadline ORDER BY ticket_id;
SELECT settle.move_ticket('desk_test', t, 'finish') FROM unnest('{C1,C2}'::text[]) AS t;
SELECT settle.watch('desk_test');
SELECT ticket_id, state FROM desk_test.ticket_deadline ORDER BY ticket_id;

-- 4. Two teams work on one repair at the same time; then two tickets turn out to
--    be one matter.
SELECT settle.add_type('desk_test', $json${
    "type": "fault", "project": "repair",
    "stages": [{"stage": "new", "initial": true}, {"stage": "parts", "waits": "collect"}, {"stage": "done", "ready": true, "ends": "done"}],
    "moves": [{"move": "divide", "from_stage": "new", "to_stage": "parts"}, {"move": "collect", "from_stage": "parts", "to_stage": "done"},
        {"move": "finish", "from_stage": "new", "to_stage": "done"}, {"move": "divide", "from_stage": "done", "to_stage": "parts"}, {"move": "reopen", "from_stage": "done", "to_stage": "new"}]
}$json$), settle.enable_type('desk_test', 'fault');
SELECT settle.open_ticket('desk_test', 'fault', region => 'cn.east', amount => 100, customer => 'customer:7', ticket_id => 'F1'), settle.open_ticket('desk_test', 'fault', region => 'cn.east', amount => 20, customer => 'customer:7', ticket_id => 'F2');
SELECT settle.split_ticket('desk_test', 'F1', '[{"type": "fault", "weight": 2, "worker": "hardware"}, {"type": "fault", "weight": 1, "worker": "software"}]', 'board and firmware');
SELECT ticket_id, stage, worker, amount, part_of FROM desk_test.ticket WHERE ticket_id ~ '^F' ORDER BY ticket_id;
SELECT settle.move_ticket('desk_test', 'F1', 'collect');
SELECT settle.move_ticket('desk_test', 'F1/1', 'finish'), settle.move_ticket('desk_test', 'F1/2', 'finish');
SELECT stage, move FROM desk_test.ticket WHERE ticket_id = 'F1';
SELECT settle.move_ticket('desk_test', 'F1/2', 'reopen');
SELECT settle.merge_tickets('desk_test', '{F2}', 'F1', 'the same machine');
SELECT settle.move_ticket('desk_test', 'F2', 'finish');
SELECT of_ticket, what, move, was, now, changes, reason FROM desk_test.ticket_timeline WHERE ticket_id = 'F1' ORDER BY event_id;
SELECT settle.unmerge_tickets('desk_test', 'F1', 'another machine');
SELECT settle.move_ticket('desk_test', 'F1/1', 'reopen');
SELECT settle.unsplit_ticket('desk_test', 'F1', 'one team is enough');
SELECT ticket_id, stage, amount, merged_into FROM desk_test.ticket WHERE ticket_id ~ '^F' ORDER BY ticket_id;

-- 5. The board: what is open, where, with which team, and how much of it is late.
INSERT INTO desk_test.ticket (ticket_id, type, opened_at, project, region, level, amount) VALUES
    ('C3', 'clean', now(), 'clean.ac', 'cn.east', NULL, 80), ('C4', 'clean', now(), 'clean.ac', 'cn.east', 'gold', 80), ('C5', 'clean', '2025-09-30 10:00+08', 'clean.ac', 'cn.east', 'gold', 80);
SELECT type, stage, region, team, count, late, next_due < now() + interval '1 hour' AS within_the_hour FROM desk_test.board ORDER BY type, stage, region, team;

-- 6. Where somebody was. A survey goes through the areas of two dealers; whoever is
--    not at the place of a customer, or in an area of his region, is not paid.
SELECT settle.add_type('desk_test', $json${"type": "survey", "project": "survey", "radius": 300,
    "fields": [{"field": "site", "kind": "place", "privacy": "sensitive"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true}], "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done"}]}$json$), settle.enable_type('desk_test', 'survey');
INSERT INTO desk_test.service_area (area, polygon, system, region, party, weight) VALUES
    ('pudong', '((121.51,31.10),(121.80,31.10),(121.80,31.40),(121.51,31.40))', 'GCJ-02', 'cn.east.shanghai', 'dealer:pd', 2), ('puxi', '((121.35,31.10),(121.51,31.10),(121.51,31.40),(121.35,31.40))', 'GCJ-02', 'cn.east.shanghai', 'dealer:px', 1);
INSERT INTO desk_test.service_area (area, polygon, region) VALUES ('bad', '((121,31),(122,32),(122,31),(121,32))', 'cn.east');
SELECT settle.add_rule('desk_test', 'survey_area', 'survey', 'hq', payees => 'area_parties', base => '100', applies_when => $$type = 'survey' and not away$$),
    settle.add_rule('desk_test', 'survey_worker', 'visit', 'hq', 'staff:{worker}', base => '20', applies_when => $$type = 'survey' and not away$$);
SELECT settle.open_ticket('desk_test', 'survey', region => 'cn.east.shanghai', worker => '7', ticket_id => 'G1'),
    settle.open_ticket('desk_test', 'survey', '{"site": {"lon": 121.5045, "lat": 31.2990, "system": "GCJ-02"}}', region => 'cn.east.shanghai', worker => '7', customer => 'customer:7', ticket_id => 'G2');
SELECT * FROM settle.check_in('desk_test', 'G1', '{"lon": 121.60, "lat": 31.20, "system": "GCJ-02"}', 15);
SELECT * FROM settle.check_in('desk_test', 'G1', '{"lon": 121.45, "lat": 31.20, "system": "BD-09"}', 15);
-- the same numbers, but the phone meant another system
SELECT * FROM settle.check_in('desk_test', 'G2', '{"lon": 121.5045, "lat": 31.2990, "system": "WGS-84"}', 15);
SELECT ticket_id, away, areas, area_parties FROM desk_test.ticket WHERE type = 'survey' ORDER BY ticket_id;
UPDATE desk_test.ticket SET away = false WHERE ticket_id = 'G2';
SELECT settle.move_ticket('desk_test', t, 'finish') FROM unnest('{G1,G2}'::text[]) AS t;
SELECT tickets, amount FROM settle.run('desk_test');
SELECT ticket_key, component, payee, amount FROM desk_test.line_detail WHERE ticket_key ~ '^G' ORDER BY ticket_key, payee;
-- an approver, who has not checked in, believes the photograph
CREATE ROLE desk_approver;
SELECT settle.grant_access('desk_test', 'desk_approver', 'approver');
SET SESSION AUTHORIZATION desk_approver;
SELECT settle.overrule_check_in('desk_test', 'G2', false, 'the photograph shows the meter', 'puxi');
RESET SESSION AUTHORIZATION;
SELECT tickets, amount FROM settle.run('desk_test');
SELECT ticket_key, component, payee, amount FROM desk_test.line_detail WHERE ticket_key = 'G2' ORDER BY payee;
SELECT ticket_id, nullif(actor, current_user) AS actor, what, now, changes, reason FROM desk_test.ticket_timeline WHERE ticket_id ~ '^G' AND what IN ('checked in', 'overruled') ORDER BY ticket_id, event_id;
-- the points go with the customer, the rest stays
SELECT settle._erase_form('desk_test', 'customer:7') > 0 AS erased;
SELECT ticket_id, place IS NULL AS gone, distance, away, area FROM desk_test.check_in ORDER BY check_in_id;

SELECT * FROM settle.check('desk_test');
SELECT type, version, string_agg(DISTINCT stage, ' ' ORDER BY stage) AS stages FROM desk_test.stage GROUP BY type, version ORDER BY type;
SET client_min_messages = warning;
DROP SCHEMA desk_test CASCADE;
DROP ROLE desk_approver;
