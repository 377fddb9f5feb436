-- The board: open tickets by type, stage, region and team, how old they are, how
-- many are late and what is due next; and the same counted ticket by ticket.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS board_reader, board_staff;
CREATE ROLE board_reader; CREATE ROLE board_staff;
SELECT settle.create_book('desk') \g /dev/null
SELECT settle.grant_access('desk', 'board_reader', 'reader'), settle.grant_access('desk', 'board_staff', 'staff') \g /dev/null
SET search_path = public, desk;
SELECT settle.add_type('desk', $json${
    "type": "repair", "project": "repair.ac",
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "waiting", "pauses": true}, {"stage": "done", "ready": true}, {"stage": "cancelled", "ends": "cancelled"}],
    "moves": [{"move": "begin", "from_stage": "new", "to_stage": "work"}, {"move": "ask", "from_stage": "work", "to_stage": "waiting"}, {"move": "finish", "from_stage": "work", "to_stage": "done"}, {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"}]
}$json$), settle.enable_type('desk', 'repair') \g /dev/null
SELECT settle.add_type('desk', '{"type": "care", "project": "care", "stages": [{"stage": "new", "initial": true}], "moves": []}'), settle.enable_type('desk', 'care') \g /dev/null
SELECT settle.add_decision('desk', 'team', returns => 'jsonb', fallback => '{"team": "service"}'), settle.add_outcome('desk', 'team', $$region <@ 'cn.west'$$, '{"team": "west"}') \g /dev/null
INSERT INTO type_team (type, decision) VALUES ('repair', 'team');
INSERT INTO team (team, strategy) VALUES ('service', 'least_open'), ('west', 'least_open');
INSERT INTO team_member (team, staff, capacity) VALUES ('service', '1001', 3), ('west', '2001', 0);
INSERT INTO deadline_target (type, kind, within) VALUES ('repair', 'response', '2 hours'), ('repair', 'done', '10 hours');
CREATE FUNCTION public.rows_of_board() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s %s %s: %s, %s late', type, stage, region, coalesce(team, '-'), count, late) FROM desk.board ORDER BY 1
$$;
SELECT is_empty('SELECT * FROM board', 'nothing is open');

INSERT INTO ticket (ticket_id, type, project, region, amount, opened_at, worker) VALUES
    ('E1', 'repair', 'repair.ac', 'cn.east', 1, now() - interval '3 hours', NULL), ('E2', 'repair', 'repair.ac', 'cn.east', 1, now() - interval '11 hours', NULL),
    ('E3', 'repair', 'repair.ac', 'cn.east', 1, now() - interval '1 hour', NULL), ('E4', 'repair', 'repair.ac', 'cn.east', 1, now(), '9'),
    ('W1', 'repair', 'repair.ac', 'cn.west', 1, now() - interval '1 hour', NULL), ('W2', 'repair', 'repair.ac', 'cn.west.x', 1, now() - interval '1 hour', NULL),
    ('F1', 'repair', 'repair.ac', 'cn.east', 1, now() + interval '1 day', NULL), ('C1', 'care', 'care', 'cn.east', 1, now() - interval '9 days', NULL);
INSERT INTO ticket (ticket_id, project, region, amount) VALUES ('N1', 'repair', 'cn.east', 1);
SELECT set_eq('SELECT public.rows_of_board()', $$ VALUES
    ('care new cn.east -: 1, 0 late'), ('repair new cn.east -: 4, 2 late'), ('repair new cn.west -: 1, 0 late'), ('repair new cn.west.x -: 1, 0 late') $$, 'what no team has seen yet has none; what has no type, and what is opened tomorrow, is not there');
SELECT settle.assign_open('desk') \g /dev/null
SELECT set_eq('SELECT public.rows_of_board()', $$ VALUES
    ('care new cn.east -: 1, 0 late'), ('repair new cn.east service: 3, 2 late'), ('repair new cn.east -: 1, 0 late'), ('repair new cn.west west: 1, 0 late'), ('repair new cn.west.x west: 1, 0 late') $$,
    'by the team that gave them, or for which they wait; by hand, none');
SELECT is((SELECT oldest FROM board WHERE team = 'service'), (SELECT opened_at FROM ticket WHERE ticket_id = 'E2'), 'the oldest');
SELECT is((SELECT next_due FROM board WHERE team = 'service'), (SELECT due_at FROM ticket_due WHERE ticket_id = 'E3' AND kind = 'response'), 'what is past is late, what is to come next is due');
SELECT is((SELECT next_due FROM board WHERE type = 'care'), NULL, 'no deadline, nothing due');

-- moves
SELECT settle.move_ticket('desk', 'E1', 'begin'), settle.move_ticket('desk', 'E2', 'begin'), settle.move_ticket('desk', 'E3', 'begin') \g /dev/null
SELECT set_eq($$ SELECT r FROM public.rows_of_board() AS r WHERE r ~ 'service' $$, $$ VALUES ('repair work cn.east service: 3, 1 late') $$, 'answered, they are late for being done alone');
SELECT settle.move_ticket('desk', 'E1', 'ask'), settle.move_ticket('desk', 'E3', 'finish') \g /dev/null
SELECT set_eq($$ SELECT r FROM public.rows_of_board() AS r WHERE r ~ 'service' $$, $$ VALUES ('repair work cn.east service: 1, 1 late'), ('repair waiting cn.east service: 1, 0 late') $$, 'what is done is open no more');
SELECT results_eq($$ SELECT next_due FROM board WHERE team = 'service' $$, $$ VALUES (NULL::timestamptz), (NULL) $$, 'a clock that stands is not due, one that is past is not to come');
UPDATE ticket SET done_at = NULL WHERE ticket_id = 'E3';
SELECT is((SELECT count(*) FROM board WHERE stage = 'done'), 0::bigint, 'nor when it is withheld');
SELECT settle.move_ticket('desk', 'W2', 'cancel') \g /dev/null
SELECT is((SELECT count(*) FROM board WHERE region = 'cn.west.x'), 0::bigint, 'nor is what is cancelled');
SELECT settle.assign_ticket('desk', 'E2', '2001', 'knows it') \g /dev/null
SELECT set_eq($$ SELECT r FROM public.rows_of_board() AS r WHERE r ~ 'work' $$, $$ VALUES ('repair work cn.east -: 1, 1 late') $$, 'given on by hand it is no team''s');
UPDATE ticket SET worker = '1001' WHERE ticket_id = 'E2';
SELECT set_eq($$ SELECT r FROM public.rows_of_board() AS r WHERE r ~ 'work' $$, $$ VALUES ('repair work cn.east -: 1, 1 late') $$, 'whoever writes the worker');

-- merged
UPDATE ticket SET customer = 'customer:1' WHERE ticket_id IN ('E4', 'W1');
SELECT settle.merge_tickets('desk', '{W1}', 'E4', 'one matter') \g /dev/null
SELECT is((SELECT count(*) FROM board WHERE region = 'cn.west'), 0::bigint, 'what is merged is part of the survivor');
SELECT is((SELECT sum(count) FROM board), 4::numeric, 'each open ticket once');
SELECT is_empty($$ (SELECT type, stage, region, team, 1 FROM board GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) $$, 'one row a type, stage, region and team');
SELECT is((SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = 'board'::regclass AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL), 0::bigint, 'every column says what it is');

SET SESSION AUTHORIZATION board_reader;
SELECT is((SELECT sum(count) FROM desk.board), 4::numeric, 'a reader sees the board');
SET SESSION AUTHORIZATION board_staff;
SELECT throws_ok('SELECT FROM desk.board', '42501', NULL, 'who only moves tickets does not');
RESET SESSION AUTHORIZATION;

SELECT finish();
DROP SCHEMA desk CASCADE;
DROP ROLE board_reader, board_staff;
DROP FUNCTION public.rows_of_board();
