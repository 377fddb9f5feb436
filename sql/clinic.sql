-- A clinic: an operation with the approval that it needs, two teams that share
-- its fee, care calls that come due and are late, and a patient who wants to be
-- forgotten.
SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE; RESET client_min_messages;
\pset null -
\pset format unaligned
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = ISO;
CREATE ROLE clinic_desk;        -- nurses
CREATE ROLE clinic_clerk;       -- enters rules and runs
CREATE ROLE clinic_chief;       -- the head physician approves
SELECT settle.create_book('clinic');
SELECT settle.grant_access('clinic', 'clinic_desk', 'staff'), settle.grant_access('clinic', 'clinic_clerk', 'clerk'), settle.grant_access('clinic', 'clinic_chief', 'approver');
GRANT USAGE ON SCHEMA clinic TO clinic_desk;
GRANT SELECT, UPDATE (worker, amount, cost, done_at) ON clinic.ticket TO clinic_desk;

-- 1. An operation, the work of each team in it, and the call after it. What was
--    done to whom is sensitive; who is anaesthetized must have fasted.
SELECT settle.add_type('clinic', $json${
    "type": "surgery", "project": "clinic.surgery",
    "fields": [{"field": "procedure", "kind": "text", "required": true, "privacy": "sensitive", "pattern": "[A-Z][0-9]{2}"}, {"field": "anaesthesia", "kind": "boolean", "required": true},
        {"field": "fasting", "kind": "boolean", "shown": "form.anaesthesia", "required": "form.anaesthesia"}],
    "stages": [{"stage": "planned", "initial": true}, {"stage": "theatre", "waits": "wake"}, {"stage": "ward", "work": true}, {"stage": "home", "ready": true, "ends": "done"}, {"stage": "off", "ends": "cancelled"}],
    "moves": [
        {"move": "admit", "from_stage": "planned", "to_stage": "ward", "guard": "form.fasting OR NOT form.anaesthesia"},
        {"move": "operate", "from_stage": "ward", "to_stage": "theatre"}, {"move": "wake", "from_stage": "theatre", "to_stage": "ward"},
        {"move": "discharge", "from_stage": "ward", "to_stage": "home"}, {"move": "cancel", "from_stage": "planned", "to_stage": "off"}],
    "nodes": [{"move": "discharge", "node": 1, "title": "physician in charge"}],
    "follow_ups": [
        {"move": "discharge", "follow_up": "day_1", "after": "1 day", "opens": "care", "fields": "'{\"about\": \"first day at home\"}'"},
        {"move": "discharge", "follow_up": "day_7", "after": "7 days", "opens": "care", "fields": "'{\"about\": \"stitches\"}'"},
        {"move": "discharge", "follow_up": "note", "note": "home, care calls on day 1 and day 7"}]
}$json$), settle.add_type('clinic', $json${
    "type": "team", "project": "clinic.team",
    "stages": [{"stage": "due", "initial": true}, {"stage": "over", "ready": true, "ends": "done"}],
    "moves": [{"move": "end", "from_stage": "due", "to_stage": "over"}]
}$json$), settle.add_type('clinic', $json${
    "type": "care", "project": "clinic.care",
    "fields": [{"field": "about", "kind": "text", "required": true}, {"field": "pain", "kind": "integer", "privacy": "sensitive"}],
    "stages": [{"stage": "due", "initial": true}, {"stage": "called", "ready": true, "ends": "done"}],
    "moves": [{"move": "call", "from_stage": "due", "to_stage": "called", "requires": ["pain"], "who": ["clinic_desk"]}]
}$json$);
SET SESSION AUTHORIZATION clinic_chief;
SELECT settle.enable_type('clinic', type) FROM unnest('{surgery,team,care}'::text[]) AS type;
RESET SESSION AUTHORIZATION;
INSERT INTO clinic.deadline_target (type, kind, within) VALUES ('care', 'done', '4 hours');
INSERT INTO clinic.manager (staff, manager) VALUES ('nurse', 'matron'), ('matron', 'chief');

-- 2. The insurance pays the tariff, the patient a tenth of it; a team has its part,
--    by night half as much again; a care call is 15.
SET SESSION AUTHORIZATION clinic_clerk;
SELECT settle.add_decision('clinic', 'night', fallback => '1'), settle.add_outcome('clinic', 'night', 'night', '1.5');
SELECT settle.add_rule('clinic', 'insurer', 'tariff', 'insurer', 'hq', base => 'amount * 0.9', applies_when => $$type = 'surgery'$$),
    settle.add_rule('clinic', 'patient', 'share', 'customer', 'hq', base => 'amount - c.tariff', applies_when => $$type = 'surgery'$$),
    settle.add_rule('clinic', 'team', 'team', 'hq', 'staff:{worker}', base => 'amount', tiers => '40%', factors => '{night}', applies_when => $$type = 'team'$$),
    settle.add_rule('clinic', 'care', 'care', 'hq', 'staff:{worker}', base => '15', applies_when => $$type = 'care'$$);
SELECT severity, kind, object FROM settle.lint('clinic');

-- 3. The operation. Without fasting nobody is admitted; what was done stands in the
--    form and in no message.
SET SESSION AUTHORIZATION clinic_desk;
SELECT settle.open_ticket('clinic', 'surgery', '{"procedure": "hernia", "anaesthesia": true, "fasting": false}', region => 'cn.south', amount => 9000, customer => 'patient:9', ticket_id => 'S1');
SELECT settle.open_ticket('clinic', 'surgery', '{"procedure": "K40", "anaesthesia": true, "fasting": false}', region => 'cn.south', amount => 9000, customer => 'patient:9', ticket_id => 'S1', opened_at => '2025-10-06 08:00');
SELECT settle.move_ticket('clinic', 'S1', 'admit');
SELECT settle.move_ticket('clinic', 'S1', 'admit', '{"fasting": true}');

-- 4. Two teams work at once. The fee is divided, nothing of it is lost, and the
--    patient wakes up when both are done.
SELECT settle.split_ticket('clinic', 'S1', '[{"type": "team", "amount": 2000.01, "worker": "surgeon"}, {"type": "team", "amount": 1000, "worker": "anaesthetist"}]', 'K. and L. operate');
SELECT settle.move_ticket('clinic', 'S1/1', 'end');
SELECT settle.move_ticket('clinic', 'S1', 'wake');
SELECT settle.move_ticket('clinic', 'S1/2', 'end');
SELECT ticket_id, stage, amount FROM clinic.ticket ORDER BY ticket_id;
SELECT settle.move_ticket('clinic', 'S1', 'discharge');
SET SESSION AUTHORIZATION clinic_chief;
SELECT settle.approve_move('clinic', 'S1', 'discharge', 'the wound is dry');
SET SESSION AUTHORIZATION clinic_desk;
SELECT settle.move_ticket('clinic', 'S1', 'discharge');
SELECT ticket_id, stage, details ->> 'about' AS about, opened_at - (SELECT s.done_at FROM clinic.ticket AS s WHERE s.ticket_id = 'S1') AS after FROM clinic.ticket WHERE follows = 'S1' ORDER BY opened_at;
UPDATE clinic.ticket SET worker = 'nurse' WHERE follows = 'S1';

-- 5. Nobody calls. After a day and four hours the matron knows, four hours later
--    the head physician, and each is told once.
SET SESSION AUTHORIZATION clinic_clerk;
SELECT settle.watch('clinic') AS at_once;
RESET SESSION AUTHORIZATION;
SELECT settle._watch_at('clinic', now() + interval '1 day 4 hours 1 minute') - 'stuck' AS late;
SELECT settle._watch_at('clinic', now() + interval '1 day 4 hours 2 minutes') - 'stuck' AS a_minute_later;
SELECT settle._watch_at('clinic', now() + interval '1 day 8 hours 2 minutes') - 'stuck' AS four_hours_later;
SELECT ticket_id, state, escalated_to, escalations FROM clinic.ticket_deadline ORDER BY ticket_id;
SELECT kind, object FROM clinic.alert WHERE ended_at IS NULL AND kind <> 'stuck' ORDER BY kind, object;
SET SESSION AUTHORIZATION clinic_desk;
SELECT settle.move_ticket('clinic', 'S1:day_1', 'call', '{"pain": 3}'), settle.move_ticket('clinic', 'S1:day_7', 'call', '{"pain": 0}');
UPDATE clinic.ticket SET done_at = CASE ticket_id WHEN 'S1:day_1' THEN timestamptz '2025-10-09 10:00' WHEN 'S1:day_7' THEN '2025-10-15 10:00' ELSE '2025-10-08 10:00' END WHERE done_at IS NOT NULL;

-- 6. October is settled and closed; the surgeon has his statement.
SET SESSION AUTHORIZATION clinic_clerk;
SELECT tickets, lines, amount, problems FROM settle.run('clinic');
SELECT ticket_key, component, payer, payee, base, factor, amount FROM clinic.line_detail ORDER BY ticket_key, component;
SET SESSION AUTHORIZATION clinic_chief;
SELECT settle.close_period('clinic', '2025-10-01', 'all wards have reported');
SELECT party, earned, payable, state FROM clinic.statement ORDER BY party;

-- 7. In November it turns out that the operation was by night: who works it out
--    in October's figures finds them as they were paid.
RESET SESSION AUTHORIZATION;
UPDATE clinic.ticket SET night = true WHERE part_of = 'S1';
SET SESSION AUTHORIZATION clinic_clerk;
SELECT tickets, lines, amount, corrections FROM settle.run('clinic');
SELECT ticket_key, component, payee, factor, amount, period, corrects_period FROM clinic.line_detail WHERE corrects_period IS NOT NULL ORDER BY ticket_key;
SET SESSION AUTHORIZATION clinic_chief;
SELECT settle.close_period('clinic', '2025-11-01', 'all wards have reported');
SELECT party, brought_forward, earned, corrections, payable FROM clinic.statement WHERE period = '2025-11-01' ORDER BY party;

-- 8. The patient asks to be forgotten. What was done to him goes, what was paid
--    for it stays.
RESET SESSION AUTHORIZATION;
SELECT ticket_id, details FROM clinic.ticket_masked WHERE customer = 'patient:9' ORDER BY ticket_id;
SELECT persons, texts FROM settle.erase_person('clinic', 'patient:9', 'letter 12');
SELECT ticket_id, details FROM clinic.ticket WHERE customer = 'patient:9' ORDER BY ticket_id;
SELECT ticket_id, replace(actor, session_user, 'me') AS actor, what, move, was, now, changes, reason FROM clinic.ticket_timeline WHERE ticket_id IN ('S1', 'S1/2') AND of_ticket = ticket_id ORDER BY ticket_id, event_id;
SELECT * FROM settle.check('clinic');
SET client_min_messages = warning;
DROP SCHEMA clinic CASCADE;
DROP ROLE clinic_desk, clinic_clerk, clinic_chief;
