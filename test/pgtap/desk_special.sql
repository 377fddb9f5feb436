-- Special tickets: figures of journals, what is usual, rules that find tickets
-- special, alerts that are told once, and the next quote.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS special_reader, special_writer;
CREATE ROLE special_reader; CREATE ROLE special_writer;
SELECT settle.create_book('shop') \g /dev/null
SELECT settle.grant_access('shop', 'special_reader', 'reader') \g /dev/null
SET search_path = public, shop;
SELECT settle.add_type('shop', $json${
    "type": "repair", "project": "repair.ac",
    "fields": [{"field": "visit_at", "kind": "timestamp"}, {"field": "day", "kind": "date", "privacy": "personal"}, {"field": "fault", "kind": "text"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "done", "ready": true}, {"stage": "filed", "ready": true, "ends": "done"}, {"stage": "cancelled", "ends": "cancelled"}],
    "moves": [{"move": "begin", "from_stage": "new", "to_stage": "work"}, {"move": "postpone", "from_stage": "work", "to_stage": "new"}, {"move": "finish", "from_stage": "work", "to_stage": "done"}, {"move": "file", "from_stage": "done", "to_stage": "filed"},
        {"move": "reopen", "from_stage": "done", "to_stage": "work"}, {"move": "reopen", "from_stage": "filed", "to_stage": "work"}, {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"}]
}$json$), settle.enable_type('shop', 'repair') \g /dev/null
CREATE FUNCTION public.open_alerts() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', kind, object), ', ' ORDER BY kind, object) FROM shop.alert WHERE ended_at IS NULL AND kind IN ('special', 'unjudged')
$$;
CREATE FUNCTION public.special() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(ticket_id || ' ' || why, ', ' ORDER BY ticket_id, why) FROM shop.special_ticket WHERE ended_at IS NULL
$$;
-- the journal as if it had happened so much earlier
CREATE FUNCTION public.age(t text, by interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    ALTER TABLE shop.ticket_event DISABLE TRIGGER append_only;
    UPDATE shop.ticket_event SET at = at - by WHERE ticket_id = t;
    ALTER TABLE shop.ticket_event ENABLE TRIGGER append_only;
END $$;

----------------------------------------------------------------------------------------------------
-- What a journal comes to
----------------------------------------------------------------------------------------------------
INSERT INTO ticket (ticket_id, type, project, region, amount, cost, customer, worker, opened_at, details) VALUES
    ('A', 'repair', 'repair.ac', 'cn', 100, 40, 'customer:1', '7', now() - interval '10 hours', '{"visit_at": "2025-11-11 10:00", "day": "2025-11-11"}');
SELECT results_eq($$ SELECT moves, assignments, reopened, rescheduled, visits_before, made, changed, response, handling, duration, cost_norm, cost_ratio, duration_ratio, currency FROM ticket_figure $$,
    $$ VALUES (0::bigint, 1::bigint, 0::bigint, 0::numeric, 0::bigint, '{}'::jsonb, '{}'::jsonb, NULL::interval, NULL::interval, (SELECT now() - opened_at FROM ticket), NULL::numeric, NULL::numeric, NULL::numeric, 'CNY') $$, 'a ticket that was opened');
UPDATE ticket SET details = details || '{"visit_at": "2025-11-12 10:00"}';
UPDATE ticket SET details = details || '{"fault": "noise"}';
UPDATE ticket SET details = details || '{"fault": "water", "day": "2025-11-12"}', worker = '8';
SELECT public.age('A', '9 hours') \g /dev/null
UPDATE ticket SET stage = 'work', details = details || '{"visit_at": "2025-11-13 10:00"}';
SELECT public.age('A', '30 minutes') \g /dev/null
UPDATE ticket SET stage = 'new', worker = NULL;
UPDATE ticket SET details = details - 'visit_at';
UPDATE ticket SET details = details || '{"visit_at": "2025-11-14 10:00"}';
SELECT results_eq($$ SELECT moves, assignments, rescheduled, made, changed, date_trunc('minute', response + interval '30 seconds'), date_trunc('minute', handling + interval '30 seconds') FROM ticket_figure $$,
    $$ VALUES (2::bigint, 2::bigint, 3::numeric, '{"begin": 1, "postpone": 1}'::jsonb, '{"day": 1, "fault": 1, "visit_at": 2}'::jsonb, interval '9 hours 30 minutes', interval '30 minutes') $$,
    'a date that is put in place of another is one put off, whoever may read it; one that is filled in, or taken out, is not');
UPDATE ticket SET stage = 'work'; UPDATE ticket SET stage = 'done'; UPDATE ticket SET stage = 'filed'; UPDATE ticket SET stage = 'work'; UPDATE ticket SET stage = 'done';
SELECT results_eq($$ SELECT moves, reopened, settle.part(made, 'finish'), settle.part(made, 'nothing') FROM ticket_figure $$, $$ VALUES (7::bigint, 1::bigint, 2::numeric, 0::numeric) $$, 'from done to filed is not reopened');
UPDATE ticket SET done_at = opened_at + interval '4 hours';
SELECT is((SELECT duration FROM ticket_figure), interval '4 hours', 'until it was done');

-- a name that is given again
INSERT INTO ticket (ticket_id, type, project, region, amount, opened_at, details) VALUES ('G', 'repair', 'repair.ac', 'cn', 100, now() - interval '10 hours', '{"visit_at": "2025-11-11 10:00", "fault": "noise"}');
INSERT INTO service_area (area, circle, system) VALUES ('east', '<(121.5,31.2),1000>', 'WGS-84');
UPDATE ticket SET details = details || '{"visit_at": "2025-11-12 10:00"}', stage = 'work' WHERE ticket_id = 'G';
SELECT settle.check_in('shop', 'G', '{"lon": 121.5, "lat": 31.2, "system": "WGS-84"}') \g /dev/null
UPDATE ticket SET stage = 'done' WHERE ticket_id = 'G'; UPDATE ticket SET stage = 'work' WHERE ticket_id = 'G';
SELECT results_eq($$ SELECT moves, reopened, rescheduled, visits, response IS NOT NULL, handling IS NOT NULL FROM ticket_figure WHERE ticket_id = 'G' $$, $$ VALUES (3::bigint, 1::bigint, 1::numeric, 1::bigint, true, true) $$, 'what it comes to');
DELETE FROM ticket WHERE ticket_id = 'G';
INSERT INTO ticket (ticket_id, type, project, region, amount) VALUES ('G', 'repair', 'repair.ac', 'cn', 100);
SELECT results_eq($$ SELECT moves, reopened, rescheduled, visits, made, changed, response, handling FROM ticket_figure WHERE ticket_id = 'G' $$,
    $$ VALUES (0::bigint, 0::bigint, 0::numeric, 0::bigint, '{}'::jsonb, '{}'::jsonb, NULL::interval, NULL::interval) $$, 'the next one of that name begins anew');
DELETE FROM ticket WHERE ticket_id = 'G';
DELETE FROM service_area;

-- visits
INSERT INTO ticket (ticket_id, type, project, region, amount, customer, opened_at, follows) VALUES
    ('V0', 'repair', 'repair.ac', 'cn', 1, 'customer:2', now() - interval '45 days', NULL), ('V1', 'repair', 'repair.ac', 'cn', 1, 'customer:2', now() - interval '29 days', NULL), ('V2', 'repair', 'repair.ac', 'cn', 1, 'customer:2', now() - interval '20 days', NULL),
    ('V3', 'repair', 'repair.ac.wall', 'cn', 1, 'customer:2', now() - interval '19 days', NULL), ('V4', 'repair', 'repair.ac', 'cn', 1, 'customer:2', now() - interval '18 days', 'V2'), ('V5', 'repair', 'repair.ac', 'cn', 1, 'customer:2', now() - interval '1 day', NULL),
    ('W1', 'repair', 'repair.ac', 'cn', 1, 'customer:3', now() - interval '1 day', NULL), ('N1', 'repair', 'repair.ac', 'cn', 1, NULL, now() - interval '1 day', NULL), ('N2', 'repair', 'repair.ac', 'cn', 1, NULL, now(), NULL);
INSERT INTO ticket (ticket_id, project, region, amount, customer, opened_at) VALUES ('F', 'repair.ac', 'cn', 1, 'customer:2', now() - interval '2 days');
CREATE FUNCTION public.visits() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(ticket_id || ' ' || visits_before, ', ' ORDER BY ticket_id) FROM shop.ticket_figure WHERE ticket_id ~ '^[VWN]' $$;
SELECT is(public.visits(), 'N1 0, N2 0, V0 0, V1 1, V2 2, V3 0, V4 2, V5 3, W1 0', 'visits of the same customer for the same matter, in thirty days; what follows was asked for');
UPDATE ticket SET stage = 'cancelled' WHERE ticket_id = 'V2';
SELECT settle.merge_tickets('shop', '{V4}', 'V5', 'one matter') \g /dev/null
SELECT is(public.visits(), 'N1 0, N2 0, V0 0, V1 1, V2 2, V3 0, V5 1, W1 0', 'one that was cancelled was none, and what is merged is part of another');
UPDATE book SET repeat_days = 10;
SELECT is(public.visits(), 'N1 0, N2 0, V0 0, V1 0, V2 1, V3 0, V5 0, W1 0', 'in as many days as the book says');
UPDATE book SET repeat_days = DEFAULT;
INSERT INTO service_area (area, circle) VALUES ('here', '<(121.5,31.2),5000>');
SELECT settle.check_in('shop', 'V1', jsonb_build_object('lon', lon, 'lat', 31.2, 'system', 'WGS-84'), at => (current_date - days)::timestamptz + interval '10 hours' + make_interval(mins => mins))
FROM (VALUES (121.5, 3, 0), (121.5, 3, 50), (121.5, 2, 0), (125, 1, 0)) AS v (lon, days, mins) \g /dev/null
SELECT is((SELECT visits FROM ticket_figure WHERE ticket_id = 'V1'), 2::bigint, 'days on which somebody was there, once each; who was away was not');

----------------------------------------------------------------------------------------------------
-- What is usual
----------------------------------------------------------------------------------------------------
DELETE FROM ticket WHERE ticket_id IN ('V0', 'V1', 'V2', 'V3', 'W1', 'N1', 'N2');
INSERT INTO ticket (ticket_id, type, project, region, amount, cost, currency, opened_at, stage) SELECT 'P' || n, 'repair', 'sale', 'cn', n * 10, n, CASE WHEN n > 12 THEN 'USD' END, now() - interval '100 days', 'new' FROM generate_series(1, 14) AS n;
UPDATE ticket SET stage = 'work' WHERE project = 'sale'; UPDATE ticket SET stage = 'done' WHERE project = 'sale';
UPDATE ticket SET done_at = opened_at + make_interval(hours => substr(ticket_id, 2)::integer) WHERE project = 'sale';
SELECT is(settle.reckon_norms('shop'), 2::bigint, 'a norm for the project and one for the type; two in dollars are too few');
SELECT results_eq('SELECT project::text, currency, tickets, amount, cost FROM project_norm', $$ VALUES ('sale', 'CNY', 12::bigint, 60::numeric, 6::numeric) $$, 'the lower one in the middle');
SELECT results_eq('SELECT type, tickets, duration FROM type_norm', $$ VALUES ('repair', 15::bigint, interval '7 hours') $$, 'the type in all projects and currencies: one of 4 hours too');
SELECT results_eq($$ SELECT ticket_id, cost_norm, cost_ratio, amount_ratio, duration_ratio FROM ticket_figure WHERE ticket_id IN ('P1', 'P9', 'P13', 'A') ORDER BY 1 $$,
    $$ VALUES ('A', NULL::numeric, NULL::numeric, NULL::numeric, 0.57), ('P1', 6, 0.17, 0.17, 0.14), ('P13', NULL, NULL, NULL, 1.86), ('P9', 6, 1.50, 1.50, 1.29) $$, 'and what is against it');
UPDATE book SET norm_tickets = 2;
SELECT is(settle.reckon_norms('shop'), 3::bigint, 'two are enough if the book says so');
UPDATE book SET norm_tickets = DEFAULT, norm_days = 99;
SELECT is(settle.reckon_norms('shop'), 0::bigint, 'what is long ago says nothing');
UPDATE book SET norm_days = DEFAULT;
SELECT settle.reckon_norms('shop') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Rules and alerts
----------------------------------------------------------------------------------------------------
DELETE FROM special_pending;
SELECT is(settle.work('shop', 'special'), false, 'nothing has changed');
SELECT is(public.special(), NULL, 'and nobody looks at what has not');
UPDATE ticket SET cost = 11.9 WHERE ticket_id = 'P9'; UPDATE ticket SET cost = 12 WHERE ticket_id = 'P10';
UPDATE ticket SET details = details || '{"visit_at": "2025-11-15 10:00"}' WHERE ticket_id = 'A';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'A rescheduled, P10 cost', 'twice what is usual; put off three times');
SELECT is(public.open_alerts(), 'special A rescheduled, special P10 cost', 'with their alerts');
SELECT is((SELECT title || ': ' || (figures ->> 'cost') || ' of ' || (figures ->> 'cost_norm') FROM special_ticket WHERE ticket_id = 'P10'), 'costs far more than is usual in its project: 12 of 6', 'and the figures at that time');
SELECT is((SELECT level FROM alert WHERE object = 'P10 cost'), 'info', 'to be looked at');
-- told once, ended when it is over, and told again when it comes back
UPDATE ticket SET cost = 13 WHERE ticket_id = 'P10';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT results_eq($$ SELECT count(*), min(figures ->> 'cost') FROM special_ticket WHERE ticket_id = 'P10' $$, $$ VALUES (1::bigint, '12') $$, 'it goes on');
SELECT is((SELECT count(*) FROM alert WHERE object = 'P10 cost'), 1::bigint, 'and is not told again');
UPDATE alert SET ended_at = now() WHERE object = 'P10 cost';
UPDATE ticket SET cost = 14 WHERE ticket_id = 'P10';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.open_alerts(), 'special A rescheduled', 'nor when somebody has ended the alert');
UPDATE ticket SET cost = 6 WHERE ticket_id = 'P10';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'A rescheduled', 'it is not special any more');
UPDATE ticket SET cost = 60 WHERE ticket_id = 'P10';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.open_alerts(), 'special A rescheduled, special P10 cost', 'and is again');
SELECT is((SELECT count(*) FROM special_ticket WHERE ticket_id = 'P10'), 2::bigint, 'which is another row');
UPDATE ticket SET cost = 0 WHERE ticket_id = 'P10';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is((SELECT string_agg(reason, ' ') FROM alert WHERE object = 'P10 cost' AND ended_at IS NOT NULL AND reason IS NOT NULL), 'is not special any more', 'its alert says why it ended');
-- the other two
INSERT INTO ticket (ticket_id, type, project, region, amount, customer, opened_at) SELECT 'V' || n, 'repair', 'repair.ac', 'cn', 1, 'customer:4', now() - make_interval(days => 20 - n) FROM generate_series(1, 3) AS n;
UPDATE ticket SET done_at = opened_at + interval '21 hours' WHERE ticket_id = 'P7';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'A rescheduled, P7 duration, V1 duration, V2 duration, V3 duration, V3 repeat', 'the third visit, and three times as long as usual: those that stand for weeks too');
-- gone, merged
DELETE FROM ticket WHERE ticket_id IN ('P7', 'V1');
UPDATE ticket SET customer = 'customer:5' WHERE ticket_id IN ('V2', 'V3');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'one that has gone waits to be judged');
SELECT settle.merge_tickets('shop', '{V3}', 'V2', 'one matter') \g /dev/null
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'A rescheduled, V2 duration', 'what has gone or is merged is not special');
SELECT is(public.open_alerts(), 'special A rescheduled, special V2 duration', 'nor told');

-- rules are rows
SELECT throws_ok(statement, code, message) FROM (VALUES
    ($$ INSERT INTO special_rule VALUES ('x', 'nothing > 1', 'x') $$, '42703', NULL), ($$ INSERT INTO special_rule VALUES ('x', 'moves', 'x') $$, '42804', NULL), ($$ UPDATE special_rule SET applies_when = 'now() > opened_at' $$, NULL, NULL),
    ($$ INSERT INTO special_rule VALUES ('two words', 'true', 'x') $$, '23514', NULL), ($$ INSERT INTO special_rule VALUES ('cost', 'true', 'x') $$, '23505', NULL)) AS v (statement, code, message);
UPDATE special_rule SET applies_when = 'rescheduled >= 5' WHERE code = 'rescheduled';
DELETE FROM special_rule WHERE code = 'duration';
INSERT INTO special_rule VALUES ('dear', $$project <@ 'repair' AND amount < 3$$, 'brings nothing');
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'V2 dear, V5 dear', 'a change looks at what is special and what is not done');
SELECT is((SELECT string_agg(action || ' ' || object, ', ' ORDER BY change_id) FROM change WHERE table_name = 'special_rule'), 'update rescheduled, delete duration, insert dear', 'and is in the journal');
-- one that fails keeps nobody from being judged, and is told once
UPDATE ticket SET cost = 5, amount = 5 WHERE ticket_id = 'V5';
INSERT INTO special_rule VALUES ('rate', 'amount / (cost - 5) > 1', 'divides by zero');
UPDATE ticket SET cost = 50 WHERE ticket_id = 'P10';
SELECT is(settle._tick_special('shop') ->> 'failed', '1', 'one ticket');
SELECT is(public.special(), 'P10 cost, P10 rate, V2 dear, V5 dear', 'stays as it was, others are judged');
SELECT is((SELECT object || ': ' || message FROM alert WHERE kind = 'unjudged'), 'division by zero: rules of special tickets fail, for ticket "V5" first', 'and somebody is told');
UPDATE special_rule SET applies_when = 'amount / nullif(cost - 5, 0) > 1' WHERE code = 'rate';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'P10 cost, P10 rate, V2 dear', 'until the rule is mended');
SELECT is(public.open_alerts(), 'special P10 cost, special P10 rate, special V2 dear', 'which ends the alert');
DELETE FROM special_rule WHERE code NOT IN ('cost', 'repeat');
SELECT settle.work('shop', 'special') \g /dev/null
DELETE FROM special_rule;
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), NULL, 'without rules nothing is special');

-- the queue, if somebody gives it an index; whoever writes tickets needs no right on it
CREATE INDEX special_pending_index ON special_pending (ticket_id);
GRANT USAGE ON SCHEMA shop TO special_writer;
GRANT SELECT, INSERT, UPDATE ON ticket TO special_writer;
SET ROLE special_writer;
INSERT INTO ticket (ticket_id, type, project, region, amount) VALUES ('Q1', 'repair', 'repair', 'cn', 1);
RESET ROLE;
SELECT is((SELECT string_agg(ticket_id, ' ') FROM special_pending), 'Q1', 'the long way');
DROP INDEX special_pending_index;
SET ROLE special_writer;
INSERT INTO ticket (ticket_id, type, project, region, amount) VALUES ('Q2', 'repair', 'repair', 'cn', 1);
INSERT INTO ticket (ticket_id, project, region, amount) VALUES ('Q3', 'repair', 'cn', 1);
UPDATE ticket SET amount = 2 WHERE ticket_id ~ 'Q';
RESET ROLE;
SELECT is((SELECT string_agg(ticket_id, ' ' ORDER BY ticket_id) FROM special_pending), 'Q1 Q1 Q2 Q2', 'and the short one; a ticket without a type is none');
INSERT INTO special_pending SELECT 'Q1' FROM generate_series(1, 2500);
SELECT is(settle._tick_special('shop') ->> 'more', 'true', 'a thousand at a time');
SELECT settle._tick_special('shop'), settle._tick_special('shop') \g /dev/null
SELECT is(settle._tick_special('shop'), NULL, 'until nothing is left');
UPDATE norm_mark SET reckoned_at = now() - interval '1 day';
SELECT is(settle._tick_special('shop') ->> 'norms', '2', 'norms once a day');
SELECT is(settle._tick_special('shop'), NULL, 'and not again');

SET SESSION AUTHORIZATION special_reader;
SELECT is((SELECT count(*) > 0 FROM shop.ticket_figure) AND (SELECT count(*) > 0 FROM shop.special_ticket), true, 'a reader sees figures and what was special');
SELECT throws_ok($$ SELECT settle.reckon_norms('shop') $$, '42501', NULL, 'but reckons nothing');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = ANY ('{ticket_figure,special_customer,special_project}'::regclass[]) AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL), 0::bigint, 'every column says what it is');
INSERT INTO special_ticket (ticket_id, why, title, figures) VALUES ('nobody', 'cost', 'x', '{}');
INSERT INTO alert (kind, object, message) VALUES ('special', 'P1 cost', 'x');
SELECT set_eq($$ SELECT invariant, object FROM settle.check('shop') $$, $$ VALUES ('what is special is a ticket of the desk', 'nobody cost'), ('an alert of a special ticket is open while it is special', 'P1 cost') $$, 'somebody who meddles is found');
DROP SCHEMA shop CASCADE;

----------------------------------------------------------------------------------------------------
-- The next quote, as docs/special.md has it
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('shop') \g /dev/null
SELECT settle.add_type('shop', $json${"type": "repair", "project": "repair.ac", "fields": [{"field": "visit_at", "kind": "timestamp"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true}, {"stage": "cancelled", "ends": "cancelled"}],
    "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done"}, {"move": "reopen", "from_stage": "done", "to_stage": "new"}, {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"}]}$json$), settle.enable_type('shop', 'repair') \g /dev/null
SELECT code, applies_when, title FROM shop.special_rule ORDER BY code;
SELECT settle.add_fact('shop', 'special', 'shop.special_customer', key => 'customer', valid => 'valid');
SELECT settle.add_decision('shop', 'visit', fallback => '1');
SELECT settle.add_outcome('shop', 'visit', 'f.special >= 1', '1.2');
SELECT settle.add_rule('shop', 'fee', 'fee', '{customer}', 'hq', base => 'amount', factors => '{visit}');
CREATE FUNCTION public.quote(whose text, project text DEFAULT 'repair.ac') RETURNS numeric LANGUAGE sql AS $$
    SELECT round(v.amount * settle.decide('shop', 'visit', v)::text::numeric, 2)
    FROM jsonb_populate_record(NULL::shop.ticket, jsonb_build_object('customer', whose, 'project', project, 'amount', 99.50)) AS v
$$;
CREATE FUNCTION public.lines(t text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(amount::numeric(18, 2)::text, ' ' ORDER BY amount) FROM shop.line_detail WHERE ticket_key = t $$;
SELECT is(public.quote('customer:88'), 99.50, 'a quote');
SELECT settle.open_ticket('shop', 'repair', '{"visit_at": "2025-11-11 10:00"}', customer => 'customer:88', region => 'cn', amount => 99.50, ticket_id => 'R1') \g /dev/null
UPDATE shop.ticket SET details = details || '{"visit_at": "2025-11-12 10:00"}'; UPDATE shop.ticket SET details = details || '{"visit_at": "2025-11-13 10:00"}'; UPDATE shop.ticket SET details = details || '{"visit_at": "2025-11-14 10:00"}';
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.special(), 'R1 rescheduled', 'put off three times');
SELECT is(public.quote('customer:88'), 99.50, 'while it goes on it changes no price');
SELECT settle.move_ticket('shop', 'R1', 'finish') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is(public.lines('R1'), '99.50', 'nor its own');
SELECT is(public.quote('customer:88'), 119.40, 'the next quote is another one');
SELECT is(public.quote('customer:89'), 99.50, 'for this customer');
SELECT settle.open_ticket('shop', 'repair', customer => 'customer:88', region => 'cn', amount => 99.50, ticket_id => 'R2'), settle.move_ticket('shop', 'R2', 'finish') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is(public.lines('R2'), '119.40', 'and that is what it costs');
SELECT settle.rescan('shop'), settle.run('shop') \g /dev/null
SELECT is(public.lines('R1') || ', ' || public.lines('R2'), '99.50, 119.40', 'looked at again, both stay');
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'and are what was computed then');
SELECT results_eq('SELECT special, why FROM shop.special_customer', $$ VALUES (1::bigint, '{rescheduled}'::text[]) $$, 'one stands against him');
SELECT results_eq($$ SELECT project, special FROM shop.special_project $$, $$ VALUES ('repair.ac', 1::bigint) $$, 'and against the project');
-- another one, then less
UPDATE shop.special_rule SET applies_when = 'amount < 50' WHERE code = 'cost';
SELECT settle.open_ticket('shop', 'repair', customer => 'customer:88', region => 'cn', amount => 1, ticket_id => 'R3'), settle.move_ticket('shop', 'R3', 'cancel') \g /dev/null
SELECT settle.work('shop', 'special') \g /dev/null
SELECT results_eq('SELECT special, why, upper(valid) - lower(valid) > interval ''350 days'' FROM shop.special_customer ORDER BY valid', $$ VALUES (1::bigint, '{rescheduled}'::text[], false), (2, '{cost,repeat,rescheduled}', true), (1, '{cost,repeat}', false) $$, 'stretches of time follow each other; one that was cancelled counts too');
SELECT is_empty('SELECT FROM shop.special_customer AS a JOIN shop.special_customer AS b ON a.customer = b.customer AND a.valid && b.valid AND a.valid <> b.valid', 'and do not overlap');
UPDATE shop.book SET special_days = 1;
SELECT is((SELECT max(upper(valid)) < now() + interval '25 hours' FROM shop.special_customer), true, 'as long as the book says');
DELETE FROM shop.special_rule;
SELECT settle.work('shop', 'special') \g /dev/null
SELECT is(public.quote('customer:88'), 99.50, 'what is not special any more does not count');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all is well');

-- the page
\set page `cat docs/special.md`
\set statements `cat test/pgtap/desk_special.sql`
SELECT is_empty($$ SELECT line FROM regexp_split_to_table(substring($$ || quote_literal(:'page') || $$ FROM E'```sql\n(SELECT code.*?)\n\n'), E'\n') AS line WHERE strpos($$ || quote_literal(:'statements') || $$, line) = 0 $$, 'the statements of docs/special.md are those of this test');
SELECT is_empty($$ SELECT r.code FROM (VALUES ('cost', 'cost_ratio >= 2'), ('duration', 'duration_ratio >= 3'), ('repeat', 'visits >= 3 OR visits_before >= 2'), ('rescheduled', 'rescheduled >= 3')) AS r (code, applies_when) WHERE $$ || quote_literal(:'page') || $$ !~ format(E'\n %s +\\| %s +\\|', r.code, r.applies_when) $$, 'and so are the rules');

SELECT finish();
DROP SCHEMA shop CASCADE;
DROP ROLE special_reader, special_writer;
DROP FUNCTION public.open_alerts(), public.special(), public.age(text, interval), public.visits(), public.quote(text, text), public.lines(text);
