-- A training school: a parent asks, the child tries a lesson, somebody calls
-- three days after it, the family enrols, the teacher is paid by the lesson; and
-- what becomes of the commission when they leave.
SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE; RESET client_min_messages;
\pset null -
\pset format unaligned
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET TimeZone = 'Asia/Shanghai';
SET DateStyle = ISO;
CREATE ROLE school_desk;        -- guides: they answer parents and move tickets
CREATE ROLE school_clerk;       -- enters rules and runs
CREATE ROLE school_chief;       -- approves
SELECT settle.create_book('school');
SELECT settle.grant_access('school', 'school_desk', 'staff'), settle.grant_access('school', 'school_clerk', 'clerk'), settle.grant_access('school', 'school_chief', 'approver');
GRANT USAGE ON SCHEMA school TO school_desk;
GRANT SELECT, UPDATE (worker, amount, done_at) ON school.ticket TO school_desk;

-- 1. Three kinds of tickets. The age of a child is nobody's business but the
--    school's. The east also asks for the grade at school. Enrolling during the
--    November sale leads through a gift check, at other times it does not.
SELECT settle.add_type('school', $json${
    "type": "course", "title": "From a question to a course", "project": "school.course",
    "fields": [
        {"field": "child_born", "kind": "date", "required": true, "privacy": "sensitive"},
        {"field": "subjects", "kind": "choices", "choices": ["english", "piano", "drawing"], "required": true},
        {"field": "level", "kind": "choice", "choices": ["beginner", "advanced"], "takes": "case when 'piano' = any(form.subjects) then 'beginner' end"},
        {"field": "grade", "kind": "integer", "region": "cn.east", "required": true},
        {"field": "lessons", "kind": "integer", "takes": "48"}],
    "stages": [{"stage": "asked", "initial": true}, {"stage": "tried"}, {"stage": "gift"}, {"stage": "enrolled", "ready": true}, {"stage": "left", "ends": "cancelled"}],
    "moves": [
        {"move": "try", "from_stage": "asked", "to_stage": "tried"},
        {"move": "enrol", "from_stage": "tried", "to_stage": "enrolled", "requires": ["lessons"], "guard": "amount >= 1000"},
        {"move": "enrol", "from_stage": "tried", "off": true, "valid": "[2025-11-01 00:00+08,2125-12-01 00:00+08)", "to_stage": "enrolled"},
        {"move": "check_gift", "from_stage": "tried", "to_stage": "gift", "valid": "[2025-11-01 00:00+08,2125-12-01 00:00+08)"},
        {"move": "enrol", "from_stage": "gift", "to_stage": "enrolled", "requires": ["lessons"], "guard": "amount >= 1000"},
        {"move": "leave", "from_stage": "asked", "to_stage": "left"}, {"move": "leave", "from_stage": "tried", "to_stage": "left"}, {"move": "give_back", "from_stage": "enrolled", "to_stage": "left"}],
    "nodes": [{"move": "give_back", "node": 1, "title": "head of school"}],
    "follow_ups": [{"move": "try", "follow_up": "call", "after": "3 days", "opens": "call", "fields": "jsonb_build_object('about', array_length(form.subjects, 1) || ' subjects')"}]
}$json$), settle.add_type('school', $json${
    "type": "call", "project": "school.call", "fields": [{"field": "about", "kind": "text", "required": true}, {"field": "said", "kind": "text"}],
    "stages": [{"stage": "due", "initial": true}, {"stage": "made", "ready": true, "ends": "done"}],
    "moves": [{"move": "note", "from_stage": "due", "to_stage": "made", "requires": ["said"]}]
}$json$), settle.add_type('school', $json${
    "type": "lesson", "project": "school.lesson", "fields": [{"field": "topic", "kind": "text"}],
    "stages": [{"stage": "planned", "initial": true}, {"stage": "given", "ready": true, "ends": "done"}, {"stage": "missed", "ends": "cancelled"}],
    "moves": [{"move": "give", "from_stage": "planned", "to_stage": "given", "requires": ["topic"]}, {"move": "miss", "from_stage": "planned", "to_stage": "missed"}]
}$json$);
SET SESSION AUTHORIZATION school_chief;
SELECT settle.enable_type('school', type) FROM unnest('{course,call,lesson}'::text[]) AS type;

-- 2. The guide has 5 % of a course, a call is 8, and the teacher's lessons cost
--    more the more he gives in a month. The family gets a point for each yuan.
SET SESSION AUTHORIZATION school_clerk;
SELECT settle.add_rule('school', 'guide', 'guide', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', applies_when => $$type = 'course'$$),
    settle.add_rule('school', 'call', 'call', 'hq', 'staff:{worker}', base => '1', tiers => '8 each', applies_when => $$type = 'call'$$),
    settle.add_rule('school', 'teach', 'teach', 'hq', 'staff:{worker}', base => '1', tiers => 'volume 90 each to 3, 100 each', accumulate => 'month', applies_when => $$type = 'lesson'$$),
    settle.add_rule('school', 'points', 'points', 'hq', '{customer}', base => 'amount', unit => 'POINTS', applies_when => $$type = 'course' AND customer IS NOT NULL$$);
-- a rule that looks at the age of a child is found before anybody is paid by it
SELECT settle.add_rule('school', 'young', 'bonus', 'hq', 'staff:{worker}', base => '50', applies_when => $$(details ->> 'child_born')::date > '2020-01-01'$$);
SELECT severity, object, detail FROM settle.lint('school') WHERE kind = 'private';
RESET SESSION AUTHORIZATION;
DELETE FROM school.rule WHERE code = 'young';

-- 3. Mother asks, and so does father: one matter. What the form lacks it says.
SET SESSION AUTHORIZATION school_desk;
SELECT settle.open_ticket('school', 'course', '{"child_born": "2018-05-01", "subjects": ["piano", "english"]}', region => 'cn.east.shanghai', customer => 'customer:7', worker => '11', ticket_id => 'L1');
SELECT settle.open_ticket('school', 'course', '{"child_born": "2018-05-01", "subjects": ["piano", "english"], "grade": 2}', region => 'cn.east.shanghai', customer => 'customer:7', worker => '11', ticket_id => id, opened_at => at)
FROM (VALUES ('L1', timestamptz '2025-10-03 10:00'), ('L2', '2025-10-03 11:30')) AS v (id, at);
SELECT settle.open_ticket('school', 'course', '{"child_born": "2016-02-01", "subjects": ["drawing"]}', region => 'cn.west.chengdu', customer => 'customer:8', worker => '12', ticket_id => 'L3', opened_at => '2025-10-04 15:00');
SELECT settle.merge_tickets('school', '{L2}', 'L1', 'father has asked too');
SELECT settle.move_ticket('school', id, 'try') FROM unnest('{L1,L3}'::text[]) AS id;
SELECT ticket_id, type, stage, opened_at > now() + interval '2 days' AS is_to_come, customer, details FROM school.ticket WHERE follows IS NOT NULL ORDER BY ticket_id;
SELECT settle.move_ticket('school', 'L1:call', 'note', '{"said": "she wants to go on"}');

-- 4. They enrol, through the gift check, and only for money.
SELECT settle.move_ticket('school', 'L1', 'enrol');
SELECT move, to_stage FROM settle.legal_moves('school', 'L1');
SELECT settle.move_ticket('school', id, 'check_gift', reason => 'a bear') FROM unnest('{L1,L3}'::text[]) AS id;
SELECT settle.move_ticket('school', 'L1', 'enrol');
UPDATE school.ticket SET amount = 4800 WHERE ticket_id = 'L1';
UPDATE school.ticket SET amount = 2400.50 WHERE ticket_id = 'L3';
SELECT settle.move_ticket('school', id, 'enrol') FROM unnest('{L1,L3}'::text[]) AS id;

-- 5. Four lessons are given in October, one is missed.
SELECT settle.open_ticket('school', 'lesson', '{"topic": "scales"}', region => 'cn.east.shanghai', customer => 'customer:7', worker => '21', ticket_id => 'T' || n) FROM generate_series(1, 5) AS n;
SELECT settle.move_ticket('school', 'T' || n, CASE n WHEN 5 THEN 'miss' ELSE 'give' END) FROM generate_series(1, 5) AS n;
UPDATE school.ticket SET done_at = '2025-10-20 16:00' WHERE done_at IS NOT NULL;

SET SESSION AUTHORIZATION school_clerk;
SELECT tickets, lines, problems, unpaid FROM settle.run('school');
SELECT component, payee, unit, count(*), sum(amount) AS amount FROM school.line_detail GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT kind, name, base, factor, amount, detail FROM settle.explain('school', 'T4') WHERE kind IN ('line', 'tier', 'retier', 'posted') ORDER BY step;
SET SESSION AUTHORIZATION school_chief;
SELECT settle.close_period('school', '2025-10-01', 'all classes have reported');
SELECT ticket_key, rule_code, message FROM school.problem;
SET SESSION AUTHORIZATION school_clerk;
SELECT settle.assign_ticket('school', 'L1:call', '11', 'she knows the family');
SET SESSION AUTHORIZATION school_chief;
SELECT settle.close_period('school', '2025-10-01', 'all classes have reported');
SELECT party, unit, earned, payable, state FROM school.statement ORDER BY party, unit;

-- 6. A teacher says that the fourth lesson was a long one: its line waits, the rest
--    is paid.
SET SESSION AUTHORIZATION school_clerk;
SELECT settle.add_party('school', 'staff:' || n, account => '6222 00' || n) FROM unnest('{11,12,21}'::int[]) AS n;
SELECT settle.dispute_statement('school', 'staff:21', '2025-10-01', reason => 'it took two hours', source => 'ticket', ticket_key => 'T4') > 0 AS disputed;
SELECT party, settle.submit_statement('school', party, '2025-10-01') FROM unnest('{staff:11,staff:21}'::text[]) AS party;
SET SESSION AUTHORIZATION school_chief;
SELECT settle.confirm_party('school', 'staff:' || n, 'bank card seen') FROM unnest('{11,12,21}'::int[]) AS n;
SELECT party, settle.approve_statement('school', party, '2025-10-01') FROM unnest('{staff:11,staff:21}'::text[]) AS party;
SET SESSION AUTHORIZATION school_clerk;
SELECT party, account, amount_minor FROM settle.payout_file('school', '2025-10-01') ORDER BY party;
SELECT party, settle.pay_statement('school', party, '2025-10-01', reference => 'bank ' || party) FROM unnest('{staff:11,staff:21}'::text[]) AS party;

-- 7. In November one family moves away: the course is given back, with the
--    guide's commission and the points, in November. The dispute is
--    dismissed, so what it held is paid with November.
SET SESSION AUTHORIZATION school_desk;
SELECT settle.move_ticket('school', 'L1', 'give_back');
SET SESSION AUTHORIZATION school_chief;
SELECT settle.approve_move('school', 'L1', 'give_back', 'they move to Xi''an');
SET SESSION AUTHORIZATION school_desk;
SELECT settle.move_ticket('school', 'L1', 'give_back', reason => 'no lesson was taken');
SET SESSION AUTHORIZATION school_chief;
SELECT settle.resolve_dispute('school', dispute_id, 'dismissed', 'the plan says one hour') FROM school.dispute;
SET SESSION AUTHORIZATION school_clerk;
SELECT tickets, lines, corrections FROM settle.run('school');
SET SESSION AUTHORIZATION school_chief;
SELECT settle.close_period('school', '2025-11-01', 'all classes have reported');
SELECT party, unit, brought_forward, earned, corrections, payable, carried FROM school.statement WHERE period = '2025-11-01' ORDER BY party, unit;
RESET SESSION AUTHORIZATION;

-- 8. What stands of it. The child's birthday is told to nobody.
SELECT of_ticket, replace(actor, session_user, 'me') AS actor, what, move, was, now, changes, reason FROM school.ticket_timeline WHERE ticket_id = 'L1' ORDER BY event_id;
SELECT ticket_id, details FROM school.ticket_masked WHERE ticket_id = 'L1';
SELECT * FROM settle.erase_person('school', 'customer:7', 'letter of the parents');
SELECT ticket_id, details FROM school.ticket WHERE customer = 'customer:7' AND type = 'course' ORDER BY 1;
SELECT * FROM settle.check('school');
SET client_min_messages = warning;
DROP SCHEMA school CASCADE;
DROP ROLE school_desk, school_clerk, school_chief;
