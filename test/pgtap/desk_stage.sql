-- Stages and moves: the law of the trigger, who may make a move, approvals, what
-- follows, what is switched by region and date, the journal, and the money.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS desk_anna, desk_boris, desk_clara, desk_app, desk_team, desk_writer;
CREATE ROLE desk_anna; CREATE ROLE desk_boris; CREATE ROLE desk_clara; CREATE ROLE desk_app; CREATE ROLE desk_team; CREATE ROLE desk_writer;
GRANT desk_team TO desk_anna;
SELECT settle.create_book('desk') \g /dev/null
SELECT settle.grant_access('desk', 'desk_anna', 'staff'), settle.grant_access('desk', 'desk_boris', 'approver'), settle.grant_access('desk', 'desk_clara', 'approver'), settle.grant_access('desk', 'desk_clara', 'staff'),
    settle.grant_access('desk', 'desk_app', 'delegate') \g /dev/null
SET search_path = public, desk;
CREATE FUNCTION public.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(regexp_replace(detail, ' at 20[0-9-]{8} [0-9:]{5}(?=[.]$)', ''), ''), nullif(hint, ''));
END $$;
-- whoever logs in is the session user; one connection is several people here
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

SELECT settle.add_type('desk', $json${
    "type": "repair", "project": "repair.ac",
    "fields": [{"field": "serial", "kind": "text"}, {"field": "parts", "kind": "integer"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "check"}, {"stage": "done", "ready": true, "ends": "done"},
        {"stage": "cancelled", "ends": "cancelled"}, {"stage": "sold", "initial": true, "ready": true}],
    "moves": [
        {"move": "begin", "from_stage": "new", "to_stage": "work", "title": "Begin the work"},
        {"move": "finish", "from_stage": "work", "to_stage": "done", "requires": ["serial"], "guard": "amount > 0 and coalesce(form.parts, 0) < 10"},
        {"move": "check", "from_stage": "work", "to_stage": "check", "who": ["staff:{worker}", "desk_team"]},
        {"move": "pass", "from_stage": "check", "to_stage": "done"},
        {"move": "fail", "from_stage": "check", "to_stage": "work"},
        {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"},
        {"move": "cancel", "from_stage": "work", "to_stage": "cancelled"},
        {"move": "give_up", "from_stage": "work", "to_stage": "cancelled"},
        {"move": "reopen", "from_stage": "done", "to_stage": "work"}],
    "nodes": [{"move": "reopen", "node": 1, "title": "store"}, {"move": "reopen", "node": 2, "title": "head office", "approvers": ["desk_clara"]}],
    "follow_ups": [
        {"move": "finish", "follow_up": "visit", "after": "3 days", "opens": "visit", "fields": "jsonb_build_object('about', form.serial)"},
        {"move": "finish", "follow_up": "bulky", "applies_when": "form.parts > 5", "note": "{form.parts} parts"},
        {"move": "finish", "follow_up": "tell", "after": "1 hour", "platform": "youzan", "kind": "done", "payload": "jsonb_build_object('stage', stage)"}]
}$json$) \g /dev/null
SELECT settle.add_type('desk', '{"type": "visit", "fields": [{"field": "about", "kind": "text", "required": true}], "stages": [{"stage": "due", "initial": true}, {"stage": "made", "ready": true, "ends": "done"}],
    "moves": [{"move": "make", "from_stage": "due", "to_stage": "made"}]}') \g /dev/null
SELECT settle.enable_type('desk', t, reason => 'first') FROM unnest('{repair,visit}'::text[]) AS t \g /dev/null

----------------------------------------------------------------------------------------------------
-- Opening
----------------------------------------------------------------------------------------------------
SELECT is(settle.open_ticket('desk', 'repair', region => 'cn.east', amount => 100, worker => '7', ticket_id => 'A', reason => 'called'), 'A', 'opened');
SELECT is((SELECT format('%s %s %s %s %s', type_version, stage, project, done_at, move) FROM ticket), '1 new repair.ac  ', 'in its first stage, of the type''s project');
SELECT matches(settle.open_ticket('desk', 'repair', region => 'cn.east'), '^repair-\d+$', 'a ticket without a name gets one');
SELECT is(public.failure(statement), refused, statement) FROM (VALUES
    ($$SELECT settle.open_ticket('desk', 'repair')$$, '22004 | a ticket needs a type and a region'),
    ($$SELECT settle.open_ticket('desk', 'visit', '{"about": "x"}', region => 'cn')$$, '22004 | a ticket of type "visit" needs a project | Its type has none that a ticket could take.'),
    ($$SELECT settle.open_ticket('desk', 'repair', region => 'cn', stage => 'work', ticket_id => 'B')$$, '23514 | ticket "B" of type "repair" cannot be opened in stage "work" | It may be opened in new, sold.'),
    ($$SELECT settle.open_ticket('desk', 'repair', region => 'cn', ticket_id => 'A')$$, '23505 | duplicate key value violates unique constraint "ticket_pkey" | Key (ticket_id)=(A) already exists.'),
    ($$INSERT INTO ticket (ticket_id, type, move, project, region, amount) VALUES ('B', 'repair', 'begin', 'x', 'cn', 1)$$, '23514 | ticket "B" is opened, not brought to its stage by move "begin"'),
    ($$INSERT INTO ticket (ticket_id, type, done_at, project, region, amount) VALUES ('B', 'repair', '2025-11-11', 'x', 'cn', 1)$$,
        '23514 | done_at of ticket "B" does not go with its stage "new" | A ticket in that stage is not ready to be settled. | It is set and taken back by moves; while a ticket is ready, another time may be written.')) AS v (statement, refused);
INSERT INTO ticket (ticket_id, type, stage, done_at, project, region, amount) VALUES ('S', 'repair', 'sold', '2025-11-11', 'x', 'cn', 1);
SELECT is((SELECT done_at FROM ticket WHERE ticket_id = 'S'), '2025-11-11', 'what is opened ready has its own time');
INSERT INTO ticket (ticket_id, stage, done_at, project, region, amount) VALUES ('free', 'anything', '2025-11-11', 'x', 'cn', 1);
UPDATE ticket SET stage = 'else', details = '{"x": 1}', done_at = NULL WHERE ticket_id = 'free';
SELECT is((SELECT count(*) FROM ticket_event WHERE ticket_id = 'free'), 0::bigint, 'a ticket without a type is free');
INSERT INTO ticket (ticket_id, stage, project, region, amount) VALUES ('late', 'anything', 'x', 'cn', 1);
UPDATE ticket SET type = 'repair', stage = NULL WHERE ticket_id = 'late';
SELECT is((SELECT format('%s %s %s', t.stage, t.type_version, (SELECT string_agg(e.what, ' ') FROM ticket_event AS e WHERE e.ticket_id = 'late')) FROM ticket AS t WHERE t.ticket_id = 'late'), 'new 1 opened', 'until it is given one');

----------------------------------------------------------------------------------------------------
-- Moves
----------------------------------------------------------------------------------------------------
SELECT results_eq($$ SELECT * FROM settle.legal_moves('desk', 'A') $$, $$ VALUES ('begin', 'work', 'Begin the work', NULL, NULL), ('cancel', 'cancelled', NULL, NULL, NULL) $$, 'what may be done');
SELECT is(settle.move_ticket('desk', 'A', 'begin'), 'work', 'a move');
SELECT results_eq($$ SELECT move, missing FROM settle.legal_moves('desk', 'A') $$, $$ VALUES ('cancel', NULL), ('check', NULL), ('finish', 'serial'), ('give_up', NULL) $$, 'and then');
SELECT is(public.failure(statement), refused, statement) FROM (VALUES
    ($$SELECT settle.move_ticket('desk', 'A', 'begin')$$, '55000 | cannot make move "begin" of ticket "A": it is in stage "work" | It came there from "new" by move "begin", made by postgres. | Moves from stage "work": cancel (to cancelled), check (to check), finish (to done), give_up (to cancelled).'),
    ($$SELECT settle.move_ticket('desk', 'A', 'finish')$$, '23502 | cannot make move "finish" of ticket "A" without serial | Give the move what it requires: fields => ''{...}''.'),
    ($$SELECT settle.move_ticket('desk', 'A', 'finish', '{"serial": "1", "parts": 12}')$$, '55000 | cannot make move "finish" of ticket "A": its guard does not hold | The guard is: amount > 0 and coalesce(form.parts, 0) < 10. | Moves from stage "work": cancel (to cancelled), check (to check), give_up (to cancelled).'),
    ($$SELECT settle.move_ticket('desk', 'A', 'fly')$$, '42704 | ticket type "repair" has no move "fly" | Moves from stage "work": cancel (to cancelled), check (to check), finish (to done), give_up (to cancelled).'),
    ($$SELECT settle.move_ticket('desk', 'A', NULL)$$, '22004 | a book, a ticket and a move must be given'),
    ($$SELECT settle.move_ticket('desk', 'none', 'begin')$$, '42704 | book "desk" has no ticket "none"'),
    ($$SELECT settle.move_ticket('desk', 'free', 'begin')$$, '55000 | ticket "free" has no type | Give it one: UPDATE the column type of its row.'),
    ($$SELECT * FROM settle.legal_moves('desk', 'none')$$, '42704 | book "desk" has no ticket "none"'),
    -- no back door
    ($$UPDATE ticket SET stage = 'new' WHERE ticket_id = 'A'$$, '55000 | ticket "A" cannot go from stage "work" to "new" | It came there from "new" by move "begin", made by postgres. | Moves from stage "work": cancel (to cancelled), check (to check), finish (to done), give_up (to cancelled).'),
    ($$UPDATE ticket SET stage = 'done' WHERE ticket_id = 'A'$$, '23502 | cannot make move "finish" of ticket "A" without serial | Give the move what it requires: fields => ''{...}''.'),
    ($$UPDATE ticket SET stage = 'cancelled' WHERE ticket_id = 'A'$$, '42725 | moves "cancel" and "give_up" lead ticket "A" from stage "work" to "cancelled" | Name the one that is meant. | Moves from stage "work": cancel (to cancelled), check (to check), finish (to done), give_up (to cancelled).'),
    ($$UPDATE ticket SET stage = 'done', move = 'check' WHERE ticket_id = 'A'$$, '23514 | move "check" of ticket "A" leads to stage "check", not to "done" | Moves from stage "work": cancel (to cancelled), check (to check), finish (to done), give_up (to cancelled).'),
    ($$UPDATE ticket SET move = 'pass' WHERE ticket_id = 'A'$$, '55000 | cannot make move "pass" of ticket "A": it is in stage "work" | It came there from "new" by move "begin", made by postgres. | Moves from stage "work": cancel (to cancelled), check (to check), finish (to done), give_up (to cancelled).'),
    ($$UPDATE ticket SET done_at = now() WHERE ticket_id = 'A'$$, '23514 | done_at of ticket "A" does not go with its stage "work" | A ticket in that stage is not ready to be settled. | It is set and taken back by moves; while a ticket is ready, another time may be written.'),
    ($$UPDATE ticket SET type_version = NULL WHERE ticket_id = 'A'$$, '23502 | type_version of ticket "A" is null'),
    ($$UPDATE ticket SET stage = NULL, move = NULL WHERE ticket_id = 'A'$$, '23502 | stage of ticket "A" is null')) AS v (statement, refused);
UPDATE ticket SET stage = 'cancelled', move = 'give_up' WHERE ticket_id = 'A';
SELECT is((SELECT stage || ' ' || move FROM ticket WHERE ticket_id = 'A'), 'cancelled give_up', 'a plain UPDATE that the law allows');
SELECT is(public.failure($$SELECT settle.move_ticket('desk', 'A', 'begin')$$), '55000 | cannot make move "begin" of ticket "A": it is in stage "cancelled" | It came there from "work" by move "give_up", made by postgres. | No move can be made from stage "cancelled".', 'the end');

-- who
SELECT settle.open_ticket('desk', 'repair', region => 'cn.east', amount => 100, worker => '7', ticket_id => 'W'), settle.move_ticket('desk', 'W', 'begin') \g /dev/null
SELECT is(public.as_user('desk_clara', $$SELECT settle.move_ticket('desk', 'W', 'check')$$), '42501: "desk_clara" cannot make move "check" of ticket "W"', 'a move is for some');
SELECT is(public.as_user('desk_clara', $$SELECT string_agg(move, ' ') FROM settle.legal_moves('desk', 'W')$$), 'cancel finish give_up', 'and is not shown to others');
SELECT is(public.as_user('desk_boris', $$SELECT settle.move_ticket('desk', 'W', 'cancel')$$), '42501: permission denied for book "desk"', 'an approver moves nothing');
SELECT is(public.as_user('desk_anna', $$SELECT settle.move_ticket('desk', 'W', 'check')$$), 'check', 'a member of a team');
SELECT is(settle.move_ticket('desk', 'W', 'fail'), 'work', 'back');
BEGIN;
SET LOCAL SESSION AUTHORIZATION desk_app;
SELECT settle.act_as('desk', 'staff:8') \g /dev/null
SELECT public.failure($$SELECT settle.move_ticket('desk', 'W', 'check')$$) AS other \gset
SELECT settle.act_as('desk', 'staff:7', 'at the customer''s') \g /dev/null
SELECT settle.move_ticket('desk', 'W', 'check') AS own \gset
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT is(:'other'::text, '42501 | "staff:8" cannot make move "check" of ticket "W" | It is for staff:{worker}, desk_team. | Moves from stage "work": cancel (to cancelled), finish (to done), give_up (to cancelled).', 'another worker');
SELECT is(:'own'::text, 'check', 'the worker of the ticket, for whom a delegate acts');
SELECT is((SELECT concat_ws(' ', actor, what, move, was, now, reason) FROM ticket_event WHERE ticket_id = 'W' ORDER BY event_id DESC LIMIT 1), 'staff:7 moved check work check at the customer''s', 'the journal knows him');
-- whoever may write tickets needs no right on the book
GRANT USAGE ON SCHEMA desk TO desk_writer; GRANT INSERT, SELECT, UPDATE ON desk.ticket TO desk_writer;
SELECT is(public.as_user('desk_writer', $$WITH x AS (UPDATE desk.ticket SET stage = 'done' WHERE ticket_id = 'W' RETURNING stage) SELECT stage FROM x$$), 'done', 'a program that writes the table');
SELECT is(public.as_user('desk_writer', $$INSERT INTO desk.ticket (ticket_id, type, project, region, amount) VALUES ('P', 'repair', 'x', 'cn', 1) RETURNING stage$$), 'new', 'and opens tickets');

----------------------------------------------------------------------------------------------------
-- Approvals
----------------------------------------------------------------------------------------------------
SELECT is((SELECT approvals FROM settle.legal_moves('desk', 'W')), '1 (store), 2 (head office)', 'what a move lacks');
SELECT is(public.failure($$SELECT settle.move_ticket('desk', 'W', 'reopen')$$), '55000 | move "reopen" of ticket "W" is not approved | It lacks approval 1 (store), 2 (head office) of the ticket as it would be. | settle.approve_move gives it. Fill in the form first: an approval holds for what it says.', 'it is not made without');
SELECT is(public.as_user('desk_boris', $$SELECT settle.approve_move('desk', 'W', 'reopen', 'the customer called')$$), 'false', 'the first approval');
SELECT is(public.as_user('desk_boris', $$SELECT settle.approve_move('desk', 'W', 'reopen')$$), '42501: "desk_boris" cannot give approval 2 (head office)', 'the second is for another');
SELECT is(public.as_user('desk_clara', $$SELECT settle.approve_move('desk', 'W', 'reopen')$$), 'true', 'the last approval');
SELECT is(public.failure($$SELECT settle.approve_move('desk', 'W', 'reopen')$$), '55000 | no approval of move "reopen" of ticket "W" is wanted in stage "done"', 'no more');
SELECT is(public.as_user('desk_clara', $$SELECT settle.move_ticket('desk', 'W', 'reopen')$$), '42501: "desk_clara" cannot make move "reopen" of ticket "W"', 'who approves does not make it');
SELECT is(public.as_user('desk_anna', $$SELECT settle.move_ticket('desk', 'W', 'reopen', '{"parts": 3}')$$), '55000: move "reopen" of ticket "W" is not approved', 'what was approved is what is moved');
SELECT is(public.as_user('desk_anna', $$SELECT settle.move_ticket('desk', 'W', 'reopen')$$), 'work', 'and now it is');
SELECT is((SELECT count(*) FROM ticket_approval), 0::bigint, 'approvals are used up');
SELECT is((SELECT string_agg(actor || ' ' || move || ' ' || now, ', ' ORDER BY event_id) FROM ticket_event WHERE what = 'approved'), 'desk_boris reopen store, desk_clara reopen head office', 'and kept in the journal');

----------------------------------------------------------------------------------------------------
-- What follows
----------------------------------------------------------------------------------------------------
SELECT is(settle.move_ticket('desk', 'W', 'finish', '{"serial": "AB1", "parts": 6}'), 'done', 'finished');
SELECT results_eq($$ SELECT type, stage, follows, project::text, details, opened_at - now() BETWEEN interval '2 days 23 hours' AND interval '3 days' FROM ticket WHERE ticket_id = 'W:visit' $$,
    $$ VALUES ('visit', 'due', 'W', 'repair.ac', '{"about": "AB1"}'::jsonb, true) $$, 'a ticket opens, due in three days');
SELECT results_eq($$ SELECT kind, object, payload, due_at > now() + interval '50 minutes' FROM outbox $$, $$ VALUES ('done', 'W', '{"stage": "done"}'::jsonb, true) $$, 'a message waits');
SELECT is((SELECT reason FROM ticket_event WHERE ticket_id = 'W' AND what = 'note'), '6 parts', 'a note stands in the journal');
UPDATE ticket SET details = details || '{"parts": 2}' WHERE ticket_id = 'W';
SELECT public.as_user('desk_boris', $$SELECT settle.approve_move('desk', 'W', 'reopen')$$), public.as_user('desk_clara', $$SELECT settle.approve_move('desk', 'W', 'reopen')$$), settle.move_ticket('desk', 'W', 'reopen'), settle.move_ticket('desk', 'W', 'finish') \g /dev/null
SELECT is((SELECT count(*) FROM ticket WHERE follows = 'W'), 1::bigint, 'made again, the move opens no other ticket');
SELECT is((SELECT count(*) FROM ticket_event WHERE ticket_id = 'W' AND what = 'note'), 1::bigint, 'and a condition keeps back the note');
SELECT is((SELECT count(*) FROM outbox), 2::bigint, 'the platform is told each time');
-- what follows fails: nothing is done
SELECT settle.open_ticket('desk', 'repair', region => 'cn.east', amount => 100, ticket_id => 'F'), settle.move_ticket('desk', 'F', 'begin') \g /dev/null
UPDATE follow_up SET fields = '''{}''::jsonb' WHERE follow_up = 'visit';
SELECT is(public.failure($$SELECT settle.move_ticket('desk', 'F', 'finish', '{"serial": "1"}')$$), '23502 | field "about" of ticket "F:visit" is required', 'a follow-up that its form refuses');
SELECT is((SELECT stage FROM ticket WHERE ticket_id = 'F'), 'work', 'the move is not made');

----------------------------------------------------------------------------------------------------
-- Regions and dates
----------------------------------------------------------------------------------------------------
SELECT settle.add_type('desk', $json${"type": "sale", "project": "sale", "stages": [{"stage": "new", "initial": true}, {"stage": "install"}, {"stage": "repair"}, {"stage": "gift"}, {"stage": "done"}],
    "moves": [{"move": "start", "from_stage": "new", "to_stage": "repair"}, {"move": "start", "from_stage": "new", "to_stage": "install", "region": "cn.north"},
        {"move": "start", "from_stage": "new", "to_stage": "install", "region": "cn.north.beijing", "off": true}]}$json$), settle.enable_type('desk', 'sale') \g /dev/null
SELECT settle.open_ticket('desk', 'sale', region => r, ticket_id => r) FROM unnest('{cn.south,cn.north,cn.north.tianjin,cn.north.beijing,cn.northern}'::text[]) AS r \g /dev/null
SELECT is((SELECT coalesce(string_agg(move || ' ' || to_stage, ', '), 'none') FROM settle.legal_moves('desk', r)), leads, r) FROM (VALUES ('cn.south', 'start repair'), ('cn.northern', 'start repair'), ('cn.north', 'start install'), ('cn.north.tianjin', 'start install'), ('cn.north.beijing', 'none')) AS v (r, leads);
-- a sale begins: its moves are added to what is enabled, and take another one away while it lasts
SELECT is(settle.add_type('desk', format($json${"type": "sale", "version": 1, "moves": [{"move": "gift", "from_stage": "new", "to_stage": "gift", "valid": "[%1$s,%2$s)"}, {"move": "start", "from_stage": "new", "to_stage": "repair", "off": true, "valid": "[%1$s,%2$s)"},
    {"move": "late", "from_stage": "new", "to_stage": "done", "valid": "[%2$s,)"}]}$json$, now() - interval '1 day', now() + interval '1 day')::jsonb), 1, 'moves are added to an enabled version');
SELECT is((SELECT string_agg(move, ' ') FROM settle.legal_moves('desk', 'cn.south')), 'gift', 'a sale switches moves');
SELECT is(public.failure($$SELECT settle.move_ticket('desk', 'cn.south', 'start')$$), '55000 | move "start" of ticket "cn.south" is not made in region "cn.south" now | Moves from stage "new": gift (to gift).', 'and says so');
SELECT is((SELECT string_agg(move, ' ') FROM settle.legal_moves('desk', 'cn.north')), 'gift start', 'of its region');
DELETE FROM move WHERE type = 'sale' AND valid <> '(,)';
SELECT is(settle.move_ticket('desk', 'cn.south', 'start'), 'repair', 'and ends');
SELECT is(settle.add_type('desk', '{"type": "sale", "version": 1, "stages": [{"stage": "spare"}]}'), 1, 'a stage may come');
SELECT is(public.failure(statement), refused, statement) FROM (VALUES
    ($$INSERT INTO move (type, version, move, from_stage, to_stage, guard) VALUES ('sale', 1, 'odd', 'new', 'done', 'form.x = 1')$$, '42703 | name "form.x" is not known here'),
    ($$INSERT INTO move (type, version, move, from_stage, to_stage, requires) VALUES ('sale', 1, 'odd', 'new', 'done', '{x}')$$, '42703 | move "odd" of ticket type "sale" requires field "x", which its form does not have'),
    ($$INSERT INTO move (type, version, move, from_stage, to_stage) VALUES ('sale', 1, 'start', 'install', 'done')$$, '42P16 | move "start" of ticket type "sale" both begins and ends in stage "install" | Give one of the ways another name.'),
    ($$INSERT INTO move_node (type, version, move, node, title) VALUES ('sale', 1, 'odd', 1, 'x')$$, '42704 | approval 1 of ticket type "sale" belongs to move "odd", which does not exist'),
    ($$INSERT INTO follow_up (type, version, move, follow_up, note) VALUES ('sale', 1, 'odd', 'x', 'x')$$, '42704 | follow-up "x" of ticket type "sale" belongs to move "odd", which does not exist'),
    ($$SELECT settle.add_type('desk', '{"type": "empty"}'), settle.enable_type('desk', 'empty')$$, '42P16 | version 1 of ticket type "empty" has no initial stage | Tickets are opened in the first stage that is marked initial.'),
    ($$SELECT settle.add_type('desk', '{"type": "told", "fields": [{"field": "phone", "kind": "phone", "privacy": "personal"}], "stages": [{"stage": "a", "initial": true}, {"stage": "b"}], "moves": [{"move": "m", "from_stage": "a", "to_stage": "b"}],
        "follow_ups": [{"move": "m", "follow_up": "n", "note": "call {details ->> ''phone''}"}]}'), settle.enable_type('desk', 'told')$$,
        '42P16 | note of "n", which follows move "m" of ticket type "told" reads field "phone", which is personal or sensitive | The journal is kept when a person is erased.')) AS v (statement, refused);

----------------------------------------------------------------------------------------------------
-- Moving over to a version with other stages
----------------------------------------------------------------------------------------------------
SELECT settle.add_type('desk', '{"type": "sale", "project": "sale", "stages": [{"stage": "new", "initial": true}, {"stage": "fitting"}, {"stage": "paid", "ready": true}]}'), settle.enable_type('desk', 'sale') \g /dev/null
SELECT is(settle.upgrade_ticket('desk', 'cn.north'), 2, 'a stage that is there');
SELECT is(public.failure($$SELECT settle.upgrade_ticket('desk', 'cn.south')$$), '23514 | ticket "cn.south" cannot be moved over to version 2 in stage "repair" | It stays in stage "repair"; where the version has none of that name, say another that is ready and final where this one is.', 'one that is not');
SELECT alike(public.failure($$SELECT settle.upgrade_ticket('desk', 'cn.south', stage => 'paid')$$), '23514 | ticket "cn.south" cannot be moved over to version 2 in stage "paid"%', 'moving over makes no money');
SELECT alike(public.failure($$SELECT settle.upgrade_ticket('desk', 'cn.northern', stage => 'fitting')$$), '23514 | ticket "cn.northern" cannot be moved over to version 2 in stage "fitting"%', 'nor a move');
SELECT is(settle.upgrade_ticket('desk', 'cn.south', stage => 'fitting'), 2, 'a stage that means the same');

----------------------------------------------------------------------------------------------------
-- Money follows the stage
----------------------------------------------------------------------------------------------------
SELECT settle.add_rule('desk', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => $$type = 'repair' AND worker = '42'$$) \g /dev/null
SELECT settle.open_ticket('desk', 'repair', region => 'cn.east', amount => 500, worker => '42', ticket_id => 'M'), settle.move_ticket('desk', 'M', 'begin') \g /dev/null
SELECT settle.run('desk') \g /dev/null
SELECT is((SELECT count(*) FROM line_detail WHERE ticket_key = 'M'), 0::bigint, 'work in progress is not paid');
SELECT settle.move_ticket('desk', 'M', 'check'), settle.move_ticket('desk', 'M', 'pass'), settle.run('desk') \g /dev/null
SELECT is((SELECT sum(amount) FROM line_detail WHERE ticket_key = 'M'), 50.00, 'a ready stage is');
SELECT public.as_user('desk_boris', $$SELECT settle.approve_move('desk', 'M', 'reopen')$$), public.as_user('desk_clara', $$SELECT settle.approve_move('desk', 'M', 'reopen')$$), settle.move_ticket('desk', 'M', 'reopen') \g /dev/null
SELECT is((SELECT done_at FROM ticket WHERE ticket_id = 'M'), NULL, 'a stage taken back is not done');
SELECT settle.run('desk') \g /dev/null
SELECT is((SELECT sum(amount) || ' in ' || count(*) FROM line_detail WHERE ticket_key = 'M'), '0.00 in 2', 'and its money comes back');
SELECT settle.move_ticket('desk', 'M', 'check'), settle.move_ticket('desk', 'M', 'pass') \g /dev/null
UPDATE ticket SET done_at = '2025-11-11' WHERE ticket_id = 'M';
SELECT settle.run('desk') \g /dev/null
SELECT is((SELECT sum(amount) || ' ' || max(period) FROM line_detail WHERE ticket_key = 'M' AND period = '2025-11-01'), '50.00 2025-11-01', 'the time of a ready ticket may be mended');
UPDATE ticket SET done_at = NULL WHERE ticket_id = 'M';
SELECT settle.run('desk') \g /dev/null
SELECT is((SELECT sum(amount) FROM line_detail WHERE ticket_key = 'M'), 0.00, 'and may be withheld');
UPDATE ticket SET done_at = '2025-11-11' WHERE ticket_id = 'M';

-- the journal
SELECT is(public.failure(statement), '55000 | table "ticket_event" of a book is append-only | Change the ticket or the rules: a run posts the difference as a further revision.', statement)
FROM unnest('{"DELETE FROM ticket_event", "UPDATE ticket_event SET actor = ''x''", "TRUNCATE ticket_event"}'::text[]) AS statement;
DELETE FROM ticket WHERE ticket_id = 'P';
SELECT is((SELECT array_agg(what ORDER BY event_id) FROM ticket_event WHERE ticket_id = 'P'), '{opened,deleted}', 'a ticket that is deleted has been there');
-- a guard that fails takes no other move away
SELECT settle.add_type('desk', '{"type": "share", "project": "x", "stages": [{"stage": "new", "initial": true}, {"stage": "dear"}, {"stage": "cheap"}], "moves": [{"move": "dear", "from_stage": "new", "to_stage": "dear", "guard": "cost / amount > 0.5"}, {"move": "cheap", "from_stage": "new", "to_stage": "cheap"}]}'),
    settle.enable_type('desk', 'share') \g /dev/null
SELECT settle.open_ticket('desk', 'share', region => 'cn', ticket_id => 'SH') \g /dev/null
SELECT results_eq($$ SELECT move FROM settle.legal_moves('desk', 'SH') $$, $$ VALUES ('cheap') $$, 'it is listed without it');
SELECT is(public.failure($$SELECT settle.move_ticket('desk', 'SH', 'begin')$$), '42704 | ticket type "share" has no move "begin" | Moves from stage "new": cheap (to cheap).', 'and hinted at without it');
SELECT is(public.failure($$SELECT settle.move_ticket('desk', 'SH', 'dear')$$), '22012 | division by zero', 'who makes it is told why not');
UPDATE ticket SET amount = 2, cost = 2 WHERE ticket_id = 'SH';
SELECT is(settle.move_ticket('desk', 'SH', 'dear'), 'dear', 'where it does not fail it is one as others');
-- a name is what the journal knows a ticket by; money and times are such that they can be added
SELECT is(public.failure(statement), refused, statement) FROM (VALUES
    ($$UPDATE ticket SET ticket_id = 'Z' WHERE ticket_id = 'A'$$, '55000 | ticket "A" keeps its name | Its journal, and its money where it was split or merged, are under that name.'),
    ($$TRUNCATE ticket$$, '55000 | book "desk" has tickets that have a type, which a TRUNCATE does not take | DELETE them: their journal notes each, and those that belong together stay.'),
    ($$SELECT settle.open_ticket('desk', 'repair', region => 'cn', amount => 'NaN', ticket_id => 'Z')$$, '22003 | amount of ticket "Z" cannot be NaN'),
    ($$UPDATE ticket SET cost = '-Infinity' WHERE ticket_id = 'M'$$, '22003 | cost of ticket "M" cannot be -Infinity'),
    ($$UPDATE ticket SET tax = 'NaN' WHERE ticket_id = 'M'$$, '22003 | tax of ticket "M" cannot be NaN'),
    ($$SELECT settle.open_ticket('desk', 'repair', region => 'cn', opened_at => '-infinity', ticket_id => 'Z')$$, '22008 | opened_at of ticket "Z" cannot be -infinity'),
    ($$SELECT settle.open_ticket('desk', 'repair', region => 'cn', opened_at => '10000-01-01 00:00+00', ticket_id => 'Z')$$, '22008 | opened_at of ticket "Z" cannot be 10000-01-01 00:00:00+00'),
    ($$UPDATE ticket SET done_at = 'infinity' WHERE ticket_id = 'M'$$, '22008 | done_at of ticket "M" cannot be infinity')) AS v (statement, refused);
INSERT INTO ticket (ticket_id, project, region, amount, opened_at) VALUES ('loose', 'x', 'cn', 'NaN', '-infinity');
UPDATE ticket SET ticket_id = 'looser' WHERE ticket_id = 'loose';
DELETE FROM ticket WHERE ticket_id = 'looser';
SELECT results_eq($$ SELECT what, move, now, work, lasted IS NOT NULL FROM ticket_timeline WHERE ticket_id = 'A' ORDER BY event_id $$,
    $$ VALUES ('opened', NULL, 'new', false, true), ('assigned', NULL, '7', NULL, false), ('moved', 'begin', 'work', true, true), ('moved', 'give_up', 'cancelled', false, false) $$, 'the timeline of a ticket');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all of it holds');
-- what the invariants would show
ALTER TABLE ticket DISABLE TRIGGER vet_ticket; ALTER TABLE ticket DISABLE TRIGGER note_ticket;
UPDATE ticket SET stage = 'new' WHERE ticket_id = 'M'; UPDATE ticket SET stage = 'nowhere' WHERE ticket_id = 'F';
ALTER TABLE ticket ENABLE TRIGGER vet_ticket; ALTER TABLE ticket ENABLE TRIGGER note_ticket;
SELECT set_eq($$ SELECT object, detail FROM settle.check('desk') $$, $$ VALUES ('M', 'stage "new", done_at 2025-11-10 16:00:00+00'), ('F', 'type "repair" has no stage "nowhere"'),
    ('M', 'stands in new, the journal says done'), ('F', 'stands in nowhere, the journal says work') $$, 'invariants see what went past the law');

----------------------------------------------------------------------------------------------------
-- A book that settles at commit
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('atonce', settle_on => 'commit') \g /dev/null
SELECT settle.add_type('atonce', settle.type_document('desk', 'repair') - 'follow_ups' - 'nodes'), settle.enable_type('atonce', 'repair'),
    settle.add_rule('atonce', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
SELECT settle.open_ticket('atonce', 'repair', region => 'cn.east', amount => 500, worker => '42', ticket_id => 'Q'), settle.move_ticket('atonce', 'Q', 'begin') \g /dev/null
SELECT settle.move_ticket('atonce', 'Q', 'finish', '{"serial": "1"}') \g /dev/null
SELECT is((SELECT sum(amount) FROM atonce.line_detail), 50.00, 'a move that makes a ticket ready has it settled');
SELECT is((SELECT count(*) FROM atonce.pending), 0::bigint, 'nothing is left to a run');
UPDATE atonce.ticket SET stage = 'work' WHERE ticket_id = 'Q';
SELECT is((SELECT sum(amount) FROM atonce.line_detail), 0.00, 'so has a plain UPDATE');
SELECT is_empty($$ SELECT * FROM settle.check('atonce') $$, 'all of it holds there');

DROP SCHEMA desk CASCADE;
DROP OWNED BY desk_anna, desk_boris, desk_clara, desk_app, desk_team, desk_writer;
DROP ROLE desk_anna, desk_boris, desk_clara, desk_app, desk_team, desk_writer;
SELECT * FROM finish();
