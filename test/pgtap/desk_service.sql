-- How long people and teams take, by period of the book, as a base of rules of the
-- source period: a bonus for answering fast is the same in the preview, at the
-- close and ever after, whatever happens to the tickets later.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS service_reader;
CREATE ROLE service_reader;
SELECT settle.create_book('shop') \g /dev/null
SELECT settle.grant_access('shop', 'service_reader', 'reader') \g /dev/null
SET search_path = public, shop;
SELECT settle.add_type('shop', $json${
    "type": "repair", "project": "repair.ac",
    "stages": [{"stage": "new", "initial": true}, {"stage": "work", "work": true}, {"stage": "waiting", "pauses": true}, {"stage": "done", "ready": true}, {"stage": "filed", "ready": true, "ends": "done"}, {"stage": "cancelled", "ends": "cancelled"}],
    "moves": [{"move": "begin", "from_stage": "new", "to_stage": "work"}, {"move": "ask", "from_stage": "work", "to_stage": "waiting"}, {"move": "answer", "from_stage": "waiting", "to_stage": "work"}, {"move": "finish", "from_stage": "work", "to_stage": "done"},
        {"move": "file", "from_stage": "done", "to_stage": "filed"}, {"move": "reopen", "from_stage": "done", "to_stage": "work"}, {"move": "cancel", "from_stage": "new", "to_stage": "cancelled"}]
}$json$), settle.enable_type('shop', 'repair') \g /dev/null
-- what a statement does, as if the clock had shown that time
CREATE FUNCTION public.at(moment timestamptz, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last bigint := (SELECT coalesce(max(event_id), 0) FROM shop.ticket_event);
BEGIN
    EXECUTE statement;
    ALTER TABLE shop.ticket_event DISABLE TRIGGER append_only;
    UPDATE shop.ticket_event SET at = moment WHERE event_id > last;
    ALTER TABLE shop.ticket_event ENABLE TRIGGER append_only;
    UPDATE shop.ticket SET done_at = moment WHERE done_at = now();
END $$;
CREATE FUNCTION public.move(moment timestamptz, t text, move text) RETURNS void LANGUAGE sql AS $$
    SELECT public.at(moment, format('SELECT settle.move_ticket(%L, %L, %L)', 'shop', t, move))
$$;
CREATE FUNCTION public.times() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s %s %s: %s, %s, %s', to_char(period, 'YYYY-MM'), measure, who, name, n, p50, p90) FROM shop.service_time
$$;
CREATE FUNCTION public.given(wanted text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s %s%s', to_char(l.period, 'MM'), l.payee, l.amount::numeric(18, 2), ' for ' || to_char(l.corrects_period, 'MM')), ', ' ORDER BY l.period, l.corrects_period, l.payee)
    FROM shop.line_detail AS l WHERE l.component = wanted
$$;

INSERT INTO team (team, strategy) VALUES ('service', 'least_open');
INSERT INTO team_member (team, staff, valid) VALUES ('service', '7', '(,)'), ('service', '8', '[2025-11-15 00:00+08,)');
-- the worked example of docs/deadline.md: a tenth of what he has earned for who answers nine of ten tickets within half an hour, and 100 for each of a team that does within an hour
SELECT settle.add_rule('shop', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%');
SELECT settle.add_fact('shop', 'response', 'shop.service_person', key => 'worker', valid => 'valid', value => 'response_p90', lookup => 'split_part(party, '':'', 2)', source => 'period');
SELECT settle.add_fact('shop', 'team_response', 'shop.service_team', key => 'team', valid => 'valid', value => 'response_p90', lookup => 'team', source => 'period');
SELECT settle.add_rule('shop', 'fast', 'fast', 'hq', '{party}', source => 'period', applies_when => 'f.response <= 30 * 60', base => 'settle.part(earned, ''wage'')', tiers => '10%');
SELECT settle.add_rule('shop', 'fast_team', 'fast_team', 'hq', '{party}', source => 'period', applies_when => 'f.team_response <= 60 * 60', base => '100');
SELECT settle.add_to_roster('shop', 'staff:7', 'service'), settle.add_to_roster('shop', 'staff:8', 'service');

----------------------------------------------------------------------------------------------------
-- What is measured
----------------------------------------------------------------------------------------------------
INSERT INTO ticket (ticket_id, type, project, region, worker, amount, opened_at) VALUES
    ('A', 'repair', 'repair.ac', 'cn', '7', 300.30, '2025-11-10 10:00'), ('B', 'repair', 'repair.ac', 'cn', '7', 199.99, '2025-11-20 10:00'), ('C', 'repair', 'repair.ac', 'cn', '8', 500, '2025-11-20 10:00'), ('D', 'repair', 'repair.ac', 'cn', '8', 100, '2025-11-10 10:00');
SELECT public.move('2025-11-10 10:20', 'A', 'begin'), public.move('2025-11-10 11:20', 'A', 'ask'), public.move('2025-11-10 15:00', 'A', 'answer'), public.move('2025-11-10 15:30', 'A', 'finish') \g /dev/null
SELECT public.move('2025-11-20 10:30', 'B', 'begin') \g /dev/null
SELECT public.at('2025-11-20 11:00', $$UPDATE shop.ticket SET worker = '8' WHERE ticket_id = 'B'$$) \g /dev/null
SELECT public.move('2025-11-20 12:30', 'B', 'finish') \g /dev/null
SELECT public.move('2025-11-20 10:50', 'C', 'begin'), public.move('2025-11-20 11:10', 'C', 'finish'), public.move('2025-11-21 09:00', 'C', 'file') \g /dev/null
SELECT public.move('2025-11-14 10:00', 'D', 'begin') \g /dev/null
SELECT set_eq('SELECT public.times()', $$ VALUES
    ('2025-11 response person 7: 2, 00:20:00, 00:30:00'), ('2025-11 response person 8: 2, 00:50:00, 4 days'), ('2025-11 response team service: 3, 00:30:00, 00:50:00'),
    ('2025-11 handling person 7: 1, 01:30:00, 01:30:00'), ('2025-11 handling person 8: 2, 00:20:00, 02:00:00'), ('2025-11 handling team service: 3, 01:30:00, 02:00:00') $$,
    'of who had the ticket then, and of his team if he was in it then; waiting is no work');
SELECT is((SELECT string_agg(what || ' ' || coalesce(worker, '-'), ', ' ORDER BY event_id) FROM ticket_event WHERE ticket_id = 'B'), 'opened 7, assigned 7, moved 7, assigned 8, moved 8', 'the journal says who has it');
SELECT is_empty('SELECT * FROM service_person', 'facts are of periods that close');

-- a move and another worker in one statement: it is the new one's
INSERT INTO ticket (ticket_id, type, project, region, amount, opened_at) VALUES ('E', 'repair', 'repair.ac', 'cn', 0, '2025-10-01 10:00');
SELECT public.at('2025-10-01 10:01', $$UPDATE shop.ticket SET stage = 'work', worker = '9' WHERE ticket_id = 'E'$$) \g /dev/null
-- reopened in the same month it was not done, in the next one it was; cancelling is no handling, nobody's tickets are nobody's
SELECT public.move('2025-10-01 11:01', 'E', 'finish'), public.move('2025-10-02 10:00', 'E', 'reopen') \g /dev/null
SELECT set_eq($$ SELECT t FROM public.times() AS t WHERE t ~ '^2025-10' $$, $$ VALUES ('2025-10 response person 9: 1, 00:01:00, 00:01:00') $$, 'reopened in the same month it was not done');
SELECT public.move('2025-10-02 10:30', 'E', 'finish'), public.move('2025-12-01 00:00', 'E', 'reopen'), public.move('2025-12-01 00:10', 'E', 'finish') \g /dev/null
SELECT set_eq($$ SELECT t FROM public.times() AS t WHERE t ~ 'handling person 9' $$, $$ VALUES ('2025-10 handling person 9: 1, 01:30:00, 01:30:00'), ('2025-12 handling person 9: 1, 01:40:00, 01:40:00') $$, 'done, it counts with all its work; done in another month again, there as well');
INSERT INTO ticket (ticket_id, type, project, region, worker, amount, opened_at) VALUES ('G', 'repair', 'repair.ac', 'cn', '6', 1, '2025-10-01 10:00'), ('H', 'repair', 'repair.ac', 'cn', NULL, 1, '2025-10-01 10:00');
SELECT public.move('2025-10-03 10:00', 'G', 'cancel'), public.move('2025-10-03 10:00', 'H', 'begin') \g /dev/null
SELECT set_eq($$ SELECT t FROM public.times() AS t WHERE t ~ '^2025-10' AND t !~ '9:' $$, $$ VALUES ('2025-10 response person 6: 1, 2 days, 2 days') $$, 'cancelling answers; what nobody has is nobody''s');
DELETE FROM ticket WHERE ticket_id IN ('E', 'G', 'H');
SELECT is_empty($$ SELECT t FROM public.times() AS t WHERE t !~ '^2025-11' $$, 'what has gone says nothing of a period that is open');

----------------------------------------------------------------------------------------------------
-- The bonus
----------------------------------------------------------------------------------------------------
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT party, component, amount FROM settle.preview_period('shop', '2025-11-01') WHERE party <> 'hq' $$, $$ VALUES ('staff:7', 'fast', 3.00::numeric), ('staff:7', 'fast_team', 100), ('staff:8', 'fast_team', 100) $$,
    '7 answered within 30 minutes: a tenth of 30.03; the team within 50, 8 alone has one of 96 hours');
SELECT is_empty('SELECT * FROM service_kept', 'a preview keeps nothing');
SELECT settle.close_period('shop', '2025-11-01') \g /dev/null
SELECT is(public.given('fast') || '; ' || public.given('fast_team'), '11 staff:7 3.00; 11 staff:7 100.00, 11 staff:8 100.00', 'the close pays what the preview said');
SELECT results_eq($$ SELECT worker, responses, response_p50, response_p90, handlings, handling_p50, handling_p90 FROM service_person ORDER BY 1 $$, $$ VALUES ('7', 2::bigint, 1200::numeric, 1800::numeric, 1::bigint, 5400::numeric, 5400::numeric), ('8', 2, 3000, 345600, 2, 1200, 7200) $$, 'in seconds');
SELECT is((SELECT valid FROM service_team), '["2025-11-01 00:00:00+08","2025-12-01 00:00:00+08")'::tstzrange, 'valid in its period');
SELECT is((SELECT count(*) FROM public.times()), 6::bigint, 'and the view still says so');

-- the journal goes on, and so does everything else that was measured by
SELECT public.move('2025-12-02 10:00', 'D', 'finish'), public.at('2025-12-02 11:00', $$UPDATE shop.ticket SET worker = '8' WHERE ticket_id = 'A'$$), public.move('2025-12-02 12:00', 'A', 'reopen'), public.move('2025-12-03 12:00', 'A', 'finish') \g /dev/null
UPDATE ticket SET opened_at = '2025-11-01' WHERE ticket_id = 'B';
DELETE FROM team_member WHERE staff = '7';
SELECT set_eq($$ SELECT t FROM public.times() AS t WHERE t ~ '^2025-11' $$, $$ VALUES
    ('2025-11 response person 7: 2, 00:20:00, 00:30:00'), ('2025-11 response person 8: 2, 00:50:00, 4 days'), ('2025-11 response team service: 3, 00:30:00, 00:50:00'),
    ('2025-11 handling person 7: 1, 01:30:00, 01:30:00'), ('2025-11 handling person 8: 2, 00:20:00, 02:00:00'), ('2025-11 handling team service: 3, 01:30:00, 02:00:00') $$, 'a period that closed is as it was');
INSERT INTO team_member (team, staff) VALUES ('service', '7');
-- a ticket of November that comes late: more was earned, the times stay
INSERT INTO ticket (ticket_id, project, region, worker, amount, opened_at, done_at) VALUES ('L', 'repair.ac', 'cn', '7', 1000, '2025-11-05', '2025-11-06');
INSERT INTO ticket (ticket_id, type, project, region, worker, amount, opened_at) VALUES ('M', 'repair', 'repair.ac', 'cn', '7', 200, '2025-12-05 10:00');
SELECT public.move('2025-12-05 11:01', 'M', 'begin'), public.move('2025-12-05 12:00', 'M', 'finish') \g /dev/null
SELECT results_eq($$ SELECT party, component, amount FROM settle.preview_period('shop', '2025-12-01') WHERE party <> 'hq' $$, $$ VALUES ('staff:7', 'fast', 7.00::numeric) $$, 'a tenth of 100.00 for November, less what was paid: L came late, and A was done again in December');
SELECT settle.close_period('shop', '2025-12-01') \g /dev/null
SELECT is(public.given('fast') || '; ' || public.given('fast_team'), '11 staff:7 3.00, 12 staff:7 7.00 for 11; 11 staff:7 100.00, 11 staff:8 100.00', 'December revises the row of November: by what is earned, not by how fast it was');
SELECT set_eq($$ SELECT t FROM public.times() AS t WHERE t ~ '^2025-12' $$, $$ VALUES ('2025-12 response person 7: 1, 01:01:00, 01:01:00'), ('2025-12 response team service: 1, 01:01:00, 01:01:00'),
    ('2025-12 handling person 7: 1, 00:59:00, 00:59:00'), ('2025-12 handling person 8: 2, 1 day 01:30:00, 18 days'), ('2025-12 handling team service: 3, 1 day 01:30:00, 18 days') $$, 'December has its own');
SELECT is_empty($$ SELECT * FROM settle.replay('shop') $$, 'what was paid is computed again from what the sheets keep');
SELECT settle.rescan('shop', since => '2025-01-01'), settle.run('shop') \g /dev/null
SELECT is(public.given('fast'), '11 staff:7 3.00, 12 staff:7 7.00 for 11', 'nothing changes when all is looked at again');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all is well');

-- opened again, a period is measured when it closes again
SELECT settle.reopen_period('shop', '2025-12-01', 'a visit was forgotten') \g /dev/null
SELECT settle.close_period('shop', '2025-12-01') \g /dev/null
SELECT is(public.given('fast'), '11 staff:7 3.00, 12 staff:7 7.00 for 11', 'opened and closed again it gives the same');
SELECT is((SELECT count(*) FROM public.times()), 11::bigint, 'once');

-- as plain SQL says it, of many tickets
CREATE FUNCTION public.play() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t text;
BEGIN
    FOR n IN 1 .. 40 LOOP
        t := 'Z' || n;
        INSERT INTO shop.ticket (ticket_id, type, project, region, worker, amount, opened_at) VALUES (t, 'repair', 'repair.ac', 'cn', (n % 3)::text, 1, timestamptz '2026-01-01 00:00' + make_interval(hours => n * 30));
        FOR k IN 1 .. n % 7 LOOP
            PERFORM public.at(timestamptz '2026-01-01 00:00' + make_interval(hours => n * 30 + k * k, mins => n), format('UPDATE shop.ticket SET stage = %L, worker = %L WHERE ticket_id = %L', (ARRAY['work', 'waiting', 'work', 'done', 'work', 'done'])[k], (n * k % 4)::text, t));
        END LOOP;
    END LOOP;
END $$;
SELECT public.play() \g /dev/null
CREATE FUNCTION public.plain() RETURNS TABLE (period date, measure text, worker text, lasted interval[]) LANGUAGE sql AS $$
    SELECT m.period, m.measure, m.worker, array_agg(m.lasted ORDER BY m.lasted) FROM (
        SELECT date_trunc('month', e.at)::date AS period, 'response' AS measure, e.worker, e.at - t.opened_at AS lasted
        FROM shop.ticket AS t, LATERAL (SELECT x.at, x.worker FROM shop.ticket_event AS x WHERE x.ticket_id = t.ticket_id AND x.what = 'moved' ORDER BY x.event_id LIMIT 1) AS e WHERE t.type IS NOT NULL
        UNION ALL
        SELECT d.period, 'handling', d.worker, (SELECT sum(y.at - x.at) FROM shop.ticket_event AS x, LATERAL (SELECT z.at FROM shop.ticket_event AS z WHERE z.ticket_id = x.ticket_id AND z.what = 'moved' AND z.event_id > x.event_id ORDER BY z.event_id LIMIT 1) AS y
            WHERE x.ticket_id = d.ticket_id AND x.event_id < d.event_id AND x.now = 'work' AND x.what = 'moved')
        FROM (SELECT DISTINCT ON (x.ticket_id, date_trunc('month', x.at)) date_trunc('month', x.at)::date AS period, x.* FROM shop.ticket_event AS x WHERE x.what = 'moved' ORDER BY x.ticket_id, date_trunc('month', x.at), x.event_id DESC) AS d
        WHERE d.now = 'done') AS m
    WHERE m.period >= '2026-01-01' AND m.worker IS NOT NULL GROUP BY 1, 2, 3
$$;
SELECT set_eq($$ SELECT period, measure, name, n, p50, p90 FROM service_time WHERE who = 'person' AND period >= '2026-01-01' $$,
    $$ SELECT period, measure, worker, cardinality(lasted)::bigint, lasted[ceil(cardinality(lasted) * 0.5)::integer] AS p50, lasted[ceil(cardinality(lasted) * 0.9)::integer] AS p90 FROM public.plain() $$, 'the same in plain SQL');
SELECT ok((SELECT count(*) FROM public.plain()) > 10, 'of both measures, several people and months');

SET SESSION AUTHORIZATION service_reader;
SELECT is((SELECT count(*) > 0 FROM shop.service_time) AND (SELECT count(*) > 0 FROM shop.service_person), true, 'a reader sees times of service');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = ANY ('{service_time,service_person,service_team}'::regclass[]) AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL), 0::bigint, 'every column says what it is');
INSERT INTO service_kept VALUES ('2027-01-01', '[2027-01-01,2027-02-01)', 'response', 'person', '7', 1, '1 minute', '1 minute');
SELECT set_eq($$ SELECT invariant, object FROM settle.check('shop') $$, $$ VALUES ('times of service are kept of periods that were closed', 'person 7 response 2027-01-01') $$, 'what nobody closed is not kept');

-- the page
\set page `cat docs/deadline.md`
\set statements `cat test/pgtap/desk_service.sql`
SELECT is_empty($$ SELECT line FROM regexp_split_to_table(substring($$ || quote_literal(:'page') || $$ FROM E'```sql\n(SELECT settle.add_fact.*?)\n```'), E'\n') AS line WHERE strpos($$ || quote_literal(:'statements') || $$, line) = 0 $$, 'the statements of docs/deadline.md are those of this test');

SELECT finish();
DROP SCHEMA shop CASCADE;
DROP ROLE service_reader;
DROP FUNCTION public.at(timestamptz, text), public.move(timestamptz, text, text), public.times(), public.given(text), public.play(), public.plain();
