-- Where somebody was for a ticket: measured against its place or a service area, what that means
-- for money, what is corrected by hand, in whose areas a visit lies, and whose whereabouts they are.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS place_worker, place_mate, place_approver, place_reader, place_officer;
CREATE ROLE place_worker; CREATE ROLE place_mate; CREATE ROLE place_approver; CREATE ROLE place_reader; CREATE ROLE place_officer;
SELECT settle.create_book('desk') \g /dev/null
SELECT settle.grant_access('desk', ('place_' || r)::regrole, l) FROM (VALUES ('worker', 'staff'), ('mate', 'staff'), ('mate', 'approver'), ('approver', 'approver'), ('reader', 'reader'), ('officer', 'personal')) AS v (r, l) \g /dev/null
SET search_path = public, desk;
CREATE FUNCTION public.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
-- whoever logs in is the session user; one connection is several people here
CREATE FUNCTION public.as_user(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SET SESSION AUTHORIZATION %I', who);
    answer := public.failure(statement);
    RESET SESSION AUTHORIZATION;
    RETURN answer;
END $$;
-- a place so many metres east of the site of most tickets, and what somebody who is there is told
CREATE FUNCTION public.east(metres numeric) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('lon', round(121.5 + metres / 95304.3, 7), 'lat', 31.2, 'system', 'WGS-84');
CREATE FUNCTION public.checked_in(ticket text, place jsonb, accuracy numeric DEFAULT 0) RETURNS text LANGUAGE sql
RETURN (SELECT concat_ws(' ', CASE WHEN c.away THEN 'away' ELSE 'there' END, round(c.distance), c.area) FROM settle.check_in('desk', ticket, place, accuracy) AS c);
CREATE FUNCTION public.stands(ticket text) RETURNS text LANGUAGE sql
RETURN (SELECT concat_ws(' ', t.away, t.areas, t.area_parties) FROM desk.ticket AS t WHERE t.ticket_id = ticket);

SELECT settle.add_type('desk', '{"type": "repair", "project": "repair",
    "fields": [{"field": "site", "kind": "place", "privacy": "sensitive"}, {"field": "depot", "kind": "place"}],
    "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true}],
    "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done"}, {"move": "reopen", "from_stage": "done", "to_stage": "new"}]}'),
    settle.add_type('desk', '{"type": "survey", "project": "survey", "radius": 50,
    "fields": [{"field": "site", "kind": "place"}], "stages": [{"stage": "new", "initial": true}, {"stage": "done", "ready": true, "ends": "done"}], "moves": [{"move": "finish", "from_stage": "new", "to_stage": "done"}]}'),
    settle.enable_type('desk', 'repair'), settle.enable_type('desk', 'survey') \g /dev/null
CREATE FUNCTION public.opened(ticket text, type text DEFAULT 'repair', fields jsonb DEFAULT jsonb_build_object('site', public.east(0)), region text DEFAULT 'cn.east') RETURNS text LANGUAGE sql
RETURN settle.open_ticket('desk', type, fields, region => region, amount => 100, customer => 'customer:1', worker => '7', ticket_id => ticket);
SELECT public.opened(t) FROM unnest('{A,B,C,D,E,F}'::text[]) AS t \g /dev/null

----------------------------------------------------------------------------------------------------
-- How far from where he should be
----------------------------------------------------------------------------------------------------
SELECT is(public.checked_in('A', public.east(499)), 'there 499', 'within the radius of the book');
SELECT is(public.checked_in('B', public.east(502)), 'away 502', 'beyond it');
SELECT is(public.checked_in('C', public.east(502), 30), 'there 502', 'what the device does not know is in his favour');
SELECT is(public.checked_in('D', public.east(1100), 100000), 'away 1100', 'as much as the radius at most');
SELECT is(public.checked_in('E', '{"lon": 121.5045, "lat": 31.198, "system": "GCJ-02"}'), 'there 8', 'a phone that says where it is in GCJ-02');
SELECT is(public.checked_in('F', '{"lon": 121.5045, "lat": 31.198, "system": "WGS-84"}'), 'there 483', 'the same numbers in WGS-84 are elsewhere');
SELECT is((SELECT round(settle.distance_m(c.place, settle.to_wgs84(point(121.5045, 31.198), 'GCJ-02'))::numeric, 3) FROM check_in AS c WHERE c.ticket_id = 'E'), 0.000, 'kept in WGS-84');
SELECT public.opened('S', 'survey') \g /dev/null
SELECT is(public.checked_in('S', public.east(60)), 'away 60', 'a type has a radius of its own');
SELECT is(settle.type_document('desk', 'survey') -> 'radius', '50', 'which its document has');
UPDATE book SET check_in_radius = 1000;
SELECT is(public.checked_in('D', public.east(900)), 'there 900', 'the radius of the book can be changed');
UPDATE book SET check_in_radius = 500;
-- a ticket that serves two places: the nearer one
SELECT public.opened('P', fields => jsonb_build_object('site', public.east(0), 'depot', public.east(9000))) \g /dev/null
SELECT is(public.checked_in('P', public.east(8900)), 'there 100', 'at either of its places he is where he should be');
SELECT is((SELECT field FROM check_in WHERE ticket_id = 'P'), 'depot', 'it says at which');
SELECT is((SELECT string_agg(concat_ws(' ', ticket_id, away), ', ' ORDER BY ticket_id) FROM ticket), 'A f, B t, C f, D f, E f, F f, P f, S t', 'readable in the ticket');

----------------------------------------------------------------------------------------------------
-- Service areas
----------------------------------------------------------------------------------------------------
SELECT public.opened('N', fields => '{}', region => 'cn.south') \g /dev/null
SELECT is(public.failure($$ SELECT settle.check_in('desk', 'N', public.east(0)) $$),
    '55000 | nobody knows where ticket "N" is | Its form has no place, and no service area serves region "cn.south" then. | A field of kind place, or a row of desk.service_area, says where.', 'nothing to measure against');
SELECT is((SELECT count(*) FROM check_in WHERE ticket_id = 'N'), 0::bigint, 'nothing half done');
-- a square of 0.1 degrees, a smaller circle in it that belongs to another dealer, and one beyond
INSERT INTO service_area (area, polygon, circle, region, party, weight) VALUES
    ('city', '((121.45,31.15),(121.55,31.15),(121.55,31.25),(121.45,31.25),(121.45,31.15))', NULL, 'cn.east.sh', 'dealer:1', 2),
    ('port', NULL, '<(121.52,31.2),1000>', 'cn.east', 'dealer:2', 1),
    ('west', '((121.35,31.15),(121.45,31.15),(121.45,31.25),(121.35,31.25))', NULL, 'cn.east', 'dealer:1', 1.50),
    ('nobody', NULL, '<(122.2,31.2),20000>', '', NULL, 1);
SELECT is(settle.area_at('desk', public.east(0)), 'city', 'the area that holds a place');
SELECT is(settle.area_at('desk', public.east(1904)), 'port', 'of two the smaller one');
SELECT is(settle.area_at('desk', '{"lon": 100, "lat": 31.2, "system": "WGS-84"}'), NULL, 'no area');
SELECT is(settle.area_at('desk', '{"lon": 121.553, "lat": 31.2, "system": "GCJ-02"}'), 'city', 'told apart by the system');
SELECT is(settle.area_at('desk', '{"lon": 121.553, "lat": 31.2, "system": "WGS-84"}'), NULL, 'which makes half a kilometre');
SELECT public.opened('R' || n, fields => '{}', region => r) FROM (VALUES (1, 'cn.east'), (2, 'cn.east.sh.pudong'), (3, 'cn.south'), (4, 'cn.east')) AS v (n, r) \g /dev/null
SELECT is(public.checked_in('R1', public.east(0)), 'there 0 city', 'a ticket without a place: the areas of its region');
SELECT is(public.checked_in('R2', public.east(4800)), 'away 35', 'beyond the border, of the areas that serve the region');
SELECT is(public.checked_in('R2', public.east(4800), 40), 'there 35 city', 'unless the device may be wrong by so much');
SELECT is(public.checked_in('R3', public.east(0)), 'away 46713', 'in the south only the one of everywhere counts');
UPDATE service_area SET valid = tstzrange(NULL, now() - interval '1 hour') WHERE area = 'port';
INSERT INTO service_area (area, valid, circle, party) VALUES ('port', tstzrange(now() - interval '1 hour', NULL), '<(121.52,31.2),3000>', 'dealer:3');
SELECT is(settle.area_at('desk', public.east(400)) || settle.area_at('desk', public.east(400), now() - interval '1 day'), 'portcity', 'an area may be another one from a time on');
UPDATE service_area SET circle = '<(121.52,31.2),1000>' WHERE area = 'port';

SELECT is(public.failure('INSERT INTO service_area (area, ' || s), e, s) FROM (VALUES
    ($$polygon, circle) VALUES ('x', NULL, NULL)$$, '23514 | new row for relation "service_area" violates check constraint "polygon_or_circle" | Failing row contains (x, (,), null, null, null, WGS-84, , null, 1, null, null).'),
    ($$polygon) VALUES ('x', '((121,31),(122,32),(122,31),(121,32))')$$, '22023 | sides 1 and 3 of an area meet | Name its corners, points of longitude and latitude, one after the other along the border.'),
    ($$polygon) VALUES ('x', '((121,31),(122,32))')$$, '22023 | an area needs three corners, not 2 | Name its corners, points of longitude and latitude, one after the other along the border.'),
    ($$polygon) VALUES ('x', '((121,31),(122,32),(123,33))')$$, '22023 | the corners of an area lie on one line | Name its corners, points of longitude and latitude, one after the other along the border.'),
    ($$polygon) VALUES ('x', '((31,121),(32,122),(31,122))')$$, '22003 | latitude 121 is out of range | A place is a point of longitude and latitude in degrees, such as point(121.47, 31.23).'),
    ($$polygon) VALUES ('x', '((-179,0),(179,0),(179,1),(-179,1))')$$, '22023 | an area from longitude -179 to 179 is wider than half of the earth | One that lies across the line of 180 degrees is two areas.'),
    ($$polygon, system) VALUES ('x', '((121,31),(122,32),(122,31))', 'gcj')$$, '22023 | unknown system of coordinates "gcj" | Known are WGS-84, GCJ-02 and BD-09.'),
    ($$circle) VALUES ('x', '<(31,121),500>')$$, '22003 | latitude 121 is out of range | A place is a point of longitude and latitude in degrees, such as point(121.47, 31.23).')) AS v (s, e);
SELECT throws_ok($$ INSERT INTO service_area (area, circle) VALUES ('x', '<(121,31),0.01>') $$, '23514', 'new row for relation "service_area" violates check constraint "radius_is_in_metres"', 'a radius in degrees');
SELECT throws_ok($$ INSERT INTO service_area (area, valid, circle) VALUES ('city', '[2026-01-01,)', '<(121,31),10>') $$, '23P01', NULL, 'an area is one at a time');
SELECT throws_ok($$ INSERT INTO service_area (area, circle, weight) VALUES ('x', '<(121,31),10>', 0) $$, '23514', NULL, 'a weight is positive');
SELECT is((SELECT count(*) FROM change WHERE table_name = 'service_area' AND object ~ '^port' AND action = 'update'), 2::bigint, 'the journal has who changed an area');

----------------------------------------------------------------------------------------------------
-- Several check-ins, in any order
----------------------------------------------------------------------------------------------------
SELECT is(public.stands('B'), 't', 'one who was away');
SELECT is(public.checked_in('B', public.east(10)), 'there 10 city', 'comes');
SELECT is(public.checked_in('B', public.east(2000)), 'away 2000', 'and goes on');
SELECT is(public.stands('B'), 'f {"city": 2} {"dealer:1": 2}', 'one who was there once was there');
SELECT is(public.checked_in('R4', public.east(0)), 'there 0 city', 'a route: the city,');
SELECT is(public.checked_in('R4', public.east(1904)), 'there 0 port', 'the port,');
SELECT is(public.checked_in('R4', '{"lon": 121.4, "lat": 31.2, "system": "WGS-84"}'), 'there 0 west', 'the west,');
SELECT is(public.checked_in('R4', public.east(0)), 'there 0 city', 'and the city again,');
SELECT is(public.stands('R4'), 'f {"city": 2, "port": 1, "west": 1.5} {"dealer:1": 3.5, "dealer:3": 1}', 'each area counts once, a party has the weight of all that are his');
UPDATE service_area SET weight = 100, party = 'dealer:9' WHERE area = 'west';
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'what an area is worth later changes no visit');
SELECT is(public.checked_in('F', '{"lon": 121.5045, "lat": 31.198, "system": "WGS-84"}'), 'there 483 city', 'one at the place of the ticket is in the area that holds it');

SELECT results_eq($$ SELECT what, now, changes - 'at', reason FROM ticket_timeline WHERE ticket_id = 'B' AND what <> 'opened' AND what <> 'assigned' ORDER BY event_id $$,
    $$ VALUES ('checked in', 'away: 502.0 m from site', '{"away": [null, true]}'::jsonb, NULL), ('checked in', 'there: 10.0 m from site', '{"away": [true, false], "areas": [null, {"city": 2}]}', NULL), ('checked in', 'away: 2000.0 m from site', NULL, NULL) $$,
    'the journal has each of them');

----------------------------------------------------------------------------------------------------
-- Money: withheld, paid when he was there, divided among areas
----------------------------------------------------------------------------------------------------
SELECT settle.add_rule('desk', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => 'not away'),
    settle.add_rule('desk', 'areas', 'areas', 'hq', payees => 'area_parties', base => 'amount', applies_when => $$type = 'repair' and areas is not null$$),
    settle.add_rule('desk', 'far', 'far', 'hq', 'staff:{worker}', base => '5', applies_when => $$areas ? 'port'$$) \g /dev/null
CREATE FUNCTION public.paid(ticket text) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(x.payee || ' ' || trim_scale(x.amount), ', ' ORDER BY x.payee COLLATE "C") FROM (SELECT l.payee, sum(l.amount) AS amount FROM desk.line_detail AS l WHERE l.ticket_key = ticket GROUP BY l.payee HAVING sum(l.amount) <> 0) AS x);
SELECT public.opened('M') \g /dev/null
SELECT public.checked_in('M', public.east(700)), settle.move_ticket('desk', 'M', 'finish'), settle.move_ticket('desk', 'R4', 'finish') \g /dev/null
SELECT * FROM settle.run('desk') \g /dev/null
SELECT is(public.paid('M'), NULL, 'who was away is not paid');
SELECT is(public.paid('R4'), 'dealer:1 77.78, dealer:3 22.22, staff:7 15', 'a visit across areas is divided by their weights, nothing is lost');
SELECT is((SELECT count(*) FROM alert WHERE kind = 'away' AND object = 'M' AND ended_at IS NULL), 1::bigint, 'somebody looks at it');
SELECT is(public.as_user('place_worker', $$ SELECT settle.check_in('desk', 'M', public.east(0), at => now() + interval '1 minute') $$), 'none', 'a check-in that comes late and says when it was');
SELECT is((SELECT concat_ws(' ', actor, worker, at <= noted_at) FROM check_in WHERE ticket_id = 'M' ORDER BY check_in_id DESC LIMIT 1), 'place_worker 7 t', 'who says so, and who had the ticket; a clock that is ahead is put right');
SELECT is((SELECT ended_by || ': ' || reason FROM alert WHERE kind = 'away' AND object = 'M'), 'place_worker: there: 0.0 m from site', 'the alert has ended');
SELECT * FROM settle.run('desk') \g /dev/null
SELECT is(public.paid('M'), 'dealer:1 100, staff:7 10', 'and is paid');

-- by hand
SELECT is(public.as_user('place_worker', $$ SELECT settle.overrule_check_in('desk', 'M', false, 'x') $$), '42501 | permission denied for book "desk" | This needs the level approver. | Its owner, role "postgres", gives it with settle.grant_access.', 'no staff');
SELECT is(public.as_user('place_approver', $$ SELECT settle.overrule_check_in('desk', 'M', true, 'the shop was closed that day') $$), 'none', 'an approver says that he was not there');
SELECT is(public.stands('M'), 't', 'what is said by hand counts');
SELECT is(public.checked_in('M', public.east(0)), 'there 0 city', 'he says so again');
SELECT is(public.stands('M'), 't', 'also against what is said later');
SELECT * FROM settle.run('desk') \g /dev/null
SELECT is(public.paid('M'), NULL, 'the money is taken back');
SELECT is(public.as_user('place_approver', $$ SELECT settle.overrule_check_in('desk', 'M', NULL, 'it was open after all') $$), 'none', 'he takes it back');
SELECT is(public.stands('M'), 'f {"city": 2} {"dealer:1": 2}', 'and check-ins count');
SELECT is(public.as_user('place_approver', $$ SELECT settle.overrule_check_in('desk', 'N', false, 'no signal in the cellar', 'port') $$), 'none', 'where nobody has checked in');
SELECT is(public.stands('N'), 'f {"port": 1} {"dealer:3": 1}', 'he says in which area');
SELECT results_eq($$ SELECT actor, what, now, changes, reason FROM ticket_timeline WHERE ticket_id = 'N' AND what = 'overruled' $$,
    $$ VALUES ('place_approver', 'overruled', 'there in area port', '{"away": [null, false], "areas": [null, {"port": 1}]}'::jsonb, 'no signal in the cellar') $$, 'visible in the journal');
SELECT is(public.as_user('place_mate', $$ SELECT settle.check_in('desk', 'N', public.east(0)) $$), 'none', 'somebody checks in who is an approver as well');
SELECT is(public.as_user('place_mate', $$ SELECT settle.overrule_check_in('desk', 'N', true, 'x') $$), '42501 | "place_mate" has checked in for ticket "N" | Another person says whether that counts.', 'he does not overrule himself');
SELECT settle.move_ticket('desk', t, 'finish') FROM unnest('{B,N,R1,R3}'::text[]) AS t \g /dev/null
SELECT * FROM settle.run('desk') \g /dev/null
SELECT is(concat_ws('; ', public.paid('B'), public.paid('N'), public.paid('R3')), 'dealer:1 100, staff:7 10; dealer:3 100, staff:7 15', 'as they stand');
SELECT is_empty($$ SELECT * FROM settle.replay('desk') $$, 'what was paid can be computed again, without a place');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all of it holds');

----------------------------------------------------------------------------------------------------
-- The law: nobody writes what check-ins do not say
----------------------------------------------------------------------------------------------------
\set law '23514 | whether ticket "%s" is away, and in which areas it was, is what its check-ins say | settle.check_in notes where somebody is, settle.overrule_check_in corrects what that says.'
SELECT is(public.failure(s), format(:'law', t), s) FROM (VALUES
    ('B', $$UPDATE ticket SET away = true WHERE ticket_id = 'B'$$),
    ('B', $$UPDATE ticket SET away = NULL WHERE ticket_id = 'B'$$),
    ('B', $$UPDATE ticket SET areas = '{"west": 1}' WHERE ticket_id = 'B'$$),
    ('B', $$UPDATE ticket SET area_parties = '{"dealer:8": 1}', amount = 1 WHERE ticket_id = 'B'$$),
    ('R2x', $$INSERT INTO ticket (ticket_id, type, project, region, amount, away) VALUES ('R2x', 'repair', 'repair', 'cn.east', 1, false)$$)) AS v (t, s);
SELECT lives_ok($$ UPDATE ticket SET away = away, amount = 101 WHERE ticket_id = 'B' $$, 'what they say may be written');
SELECT lives_ok($$ INSERT INTO ticket (ticket_id, project, region, amount, away) VALUES ('own', 'repair', 'cn.east', 1, true) $$, 'a ticket without a type is as free as its table');
SELECT is(public.failure($$ UPDATE ticket SET type = 'repair' WHERE ticket_id = 'own' $$), format(:'law', 'own'), 'until it comes to the desk');
DELETE FROM ticket WHERE ticket_id = 'own';
SELECT is(public.failure(s), e, s) FROM (VALUES
    ($$UPDATE check_in SET away = false WHERE ticket_id = 'B'$$, '55000 | table "check_in" of a book is append-only | Nothing but the point of a check-in may be taken away. | settle.overrule_check_in corrects what a check-in says.'),
    ($$UPDATE check_in SET place = point(1, 1) WHERE ticket_id = 'B'$$, '55000 | table "check_in" of a book is append-only | Nothing but the point of a check-in may be taken away. | settle.overrule_check_in corrects what a check-in says.'),
    ($$DELETE FROM check_in WHERE ticket_id = 'B'$$, '55000 | table "check_in" of a book is append-only | Change the ticket or the rules: a run posts the difference as a further revision.'),
    ($$SELECT settle.check_in('desk', 'none', public.east(0))$$, '42704 | book "desk" has no ticket "none"'),
    ($$SELECT settle.check_in('desk', 'A', NULL)$$, '22004 | a place and its accuracy must be given'),
    ($$SELECT settle.check_in('desk', 'A', '{"lon": 121.5, "lat": 31.2}')$$, '22023 | a place is an object with lon, lat and system | Such as {"lon": 121.47, "lat": 31.23, "system": "GCJ-02"}; the systems are WGS-84, GCJ-02 and BD-09.'),
    ($$SELECT settle.check_in('desk', 'A', '[121.5, 31.2]')$$, '22023 | a place is an object with lon, lat and system | Such as {"lon": 121.47, "lat": 31.23, "system": "GCJ-02"}; the systems are WGS-84, GCJ-02 and BD-09.'),
    ($$SELECT settle.check_in('desk', 'A', public.east(0) || '{"system": "GPS"}')$$, '22023 | unknown system of coordinates "GPS" | Known are WGS-84, GCJ-02 and BD-09.'),
    ($$SELECT settle.check_in('desk', 'A', public.east(0), -1)$$, '22023 | accuracy -1 is no number of metres'),
    ($$SELECT settle.check_in('desk', 'A', public.east(0), 'NaN')$$, '22023 | accuracy NaN is no number of metres'),
    ($$SELECT settle.overrule_check_in('desk', 'A', true, ' ')$$, '22004 | overruling check-ins needs a reason'),
    ($$SELECT settle.overrule_check_in('desk', 'N', true, 'x', 'port')$$, '22023 | a ticket that is away was not in area "port" | An area goes with away => false.'),
    ($$SELECT settle.overrule_check_in('desk', 'R2x', true, 'x')$$, '42704 | book "desk" has no ticket "R2x"'),
    ($$SELECT settle.overrule_check_in('desk', 'N', false, 'x', 'moon')$$, '42704 | book "desk" has no service area "moon"')) AS v (s, e);
UPDATE ticket SET done_at = '2026-01-10 12:00+08', opened_at = '2026-01-10 08:00+08' WHERE ticket_id = 'M';
SELECT is(public.failure(format($$SELECT settle.check_in('desk', 'M', public.east(0), at => '2026-01-10 %s+08')$$, t)), e, t) FROM (VALUES ('08:30', 'none'), ('12:04', 'none'),
    ('12:06', '22023 | nobody was there for ticket "M" at 2026-01-10 12:06 | It is from 2026-01-10 08:00 to 2026-01-10 12:00. | A ticket that is done is reopened first, by a move, or an approver says what counts with settle.overrule_check_in.'),
    ('07:54', '22023 | nobody was there for ticket "M" at 2026-01-10 07:54 | It is from 2026-01-10 08:00 to 2026-01-10 12:00. | A ticket that is done is reopened first, by a move, or an approver says what counts with settle.overrule_check_in.')) AS v (t, e);
SELECT alike(public.failure($$ SELECT settle.check_in('desk', 'A', public.east(0), at => now() + interval '1 hour') $$), '22023 | nobody was there for ticket "A" at %', 'a time to come');
SELECT alike(public.failure($$ SELECT settle.check_in('desk', 'A', public.east(0), at => '-infinity') $$), '22023 | nobody was there for ticket "A" at -infinity |%', 'a time that is none');
-- one that rests, one that was deleted and whose name comes back
SELECT settle.merge_tickets('desk', '{C}', 'D', 'one matter') \g /dev/null
SELECT is(public.failure($$ SELECT settle.check_in('desk', 'C', public.east(0)) $$), '55000 | ticket "C" was merged into another one | Check in for ticket "D".', 'a merged ticket rests');
DELETE FROM ticket WHERE ticket_id = 'E';
SELECT public.opened('E') \g /dev/null
SELECT is(public.checked_in('E', public.east(1000)), 'away 1000', 'another ticket of the same name');
SELECT is(public.stands('E'), 't', 'has nothing of the first one');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all of it holds');
BEGIN;
ALTER TABLE ticket DISABLE TRIGGER vet_ticket;
UPDATE ticket SET away = true WHERE ticket_id = 'A';
SELECT string_agg(invariant || ': ' || object || ' ' || detail, ', ') AS found FROM settle.check('desk') WHERE invariant ~ 'away' \gset
ROLLBACK;
SELECT is(:'found'::text, 'a ticket is away, and was in areas, as its check-ins say: A away true in none, its check-ins say false in none', 'settle.check finds what was written past the law');

----------------------------------------------------------------------------------------------------
-- Random check-ins: the ticket against a second opinion
----------------------------------------------------------------------------------------------------
SELECT setseed(0.6) \g /dev/null
SELECT public.opened('Z' || n, fields => CASE WHEN n % 2 = 0 THEN jsonb_build_object('site', public.east(0)) ELSE '{}' END) FROM generate_series(1, 8) AS n \g /dev/null
DO $$
BEGIN
    FOR n IN 1 .. 150 LOOP
        IF random() < 0.85 THEN
            PERFORM settle.check_in('desk', 'Z' || 1 + n % 8, public.east((random() * 24000 - 12000)::numeric), round((random() * 300)::numeric));
        ELSIF random() < 0.6 THEN
            SET LOCAL SESSION AUTHORIZATION place_approver;
            PERFORM settle.overrule_check_in('desk', 'Z' || 1 + n % 8, (ARRAY[true, false, NULL])[1 + floor(random() * 3)::integer], 'by chance');
            RESET SESSION AUTHORIZATION;
        ELSE
            UPDATE desk.service_area AS a SET weight = 1 + floor(random() * 5) WHERE a.area = (ARRAY['city', 'port', 'west'])[1 + floor(random() * 3)::integer];
        END IF;
    END LOOP;
END $$;
DO $$
DECLARE
    t record; c record; hand boolean; there boolean; seen boolean; held jsonb;
BEGIN
    CREATE TABLE public.opinion (ticket_id text, away boolean, areas jsonb);
    FOR t IN SELECT ticket_id FROM desk.ticket WHERE ticket_id ~ '^Z' LOOP
        hand := NULL; there := false; seen := false; held := '{}';
        FOR c IN SELECT * FROM desk.check_in WHERE ticket_id = t.ticket_id ORDER BY check_in_id LOOP
            IF c.by_hand THEN
                hand := c.away;
            ELSE
                seen := true;
                IF NOT c.away THEN
                    there := true;
                    IF c.area IS NOT NULL THEN held := held || jsonb_build_object(c.area, c.weight); END IF;
                END IF;
            END IF;
        END LOOP;
        IF hand IS NULL AND seen THEN hand := NOT there; END IF;
        INSERT INTO public.opinion VALUES (t.ticket_id, hand, CASE WHEN NOT hand THEN nullif(held, '{}') END);
    END LOOP;
END $$;
SELECT set_eq($$ SELECT ticket_id, away, areas FROM desk.ticket WHERE ticket_id ~ '^Z' $$, $$ SELECT * FROM public.opinion $$, 'whatever the order, seed 0.6');
SELECT ok((SELECT count(DISTINCT away) = 2 AND count(areas) > 0 FROM public.opinion), 'there was something to compare');
SELECT is_empty($$ SELECT t.ticket_id FROM desk.ticket AS t WHERE (SELECT sum(v.value::numeric) FROM jsonb_each_text(t.area_parties) AS v) <> (SELECT sum(v.value::numeric) FROM jsonb_each_text(t.areas) AS v) $$, 'parties have the weights of their areas');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all of it holds');

----------------------------------------------------------------------------------------------------
-- Whose whereabouts they are
----------------------------------------------------------------------------------------------------
SELECT is(public.as_user('place_reader', 'SELECT place FROM desk.check_in'), '42501 | permission denied for table check_in', 'a reader sees no points');
SELECT is(public.as_user('place_reader', 'SELECT distance, away FROM desk.check_in_masked'), 'none', 'but what they mean');
SELECT is(public.as_user('place_reader', $$ SELECT settle.reveal_check_ins('desk', 'A', 'complaint 12') $$), '42501 | permission denied for book "desk" | This needs the level personal. | Its owner, role "postgres", gives it with settle.grant_access.', 'nobody is shown one');
SET SESSION AUTHORIZATION place_officer;
SELECT is((SELECT concat_ws(' ', actor, worker, round(lon::numeric, 3), lat, accuracy) FROM settle.reveal_check_ins('desk', 'A', 'complaint 12')), 'postgres 7 121.505 31.2 0', 'who may see personal data is');
SELECT throws_ok($$ SELECT settle.reveal_check_ins('desk', 'A', NULL) $$, '22004', 'a ticket and a reason must be given', 'no reason');
SELECT is(public.failure($$ SELECT settle.reveal_check_ins('desk', 'A', 'call 13800138000') $$), '22023 | a phone or an identity card stands in the reason | The reason is kept for ever. | Say why, and refer to a letter or a call by its number.', 'a reason that may be kept');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT concat_ws(' ', action, person, actor, reason, figures) FROM person_log), 'reveal ticket:A place_officer complaint 12 {"points": 1}', 'and that is written down');
SELECT is((SELECT string_agg(x.row, ' ') FROM (SELECT e::text AS row FROM ticket_event AS e UNION ALL SELECT a::text FROM alert AS a UNION ALL SELECT c::text FROM change AS c WHERE table_name <> 'service_area' UNION ALL SELECT t::text FROM ticket_masked AS t WHERE ticket_id NOT IN ('P', 'S') UNION ALL SELECT s::text FROM sheet_inputs AS s) AS x WHERE x.row ~ '121[.][0-9]'), NULL, 'no point stands anywhere else');
-- a rule that reads a place would keep it for ever
SELECT settle.add_rule('desk', 'near', 'near', 'hq', 'staff:{worker}', base => '5', applies_when => $$(details #>> '{depot,lon}')::numeric < 121$$) \g /dev/null
SELECT is((SELECT string_agg(severity || ' ' || object, ', ') FROM settle.lint('desk') WHERE kind = 'private'), 'error rule near', 'lint refuses places in rules; away and areas are fine');
DELETE FROM rule WHERE code = 'near';
-- erased with who checked in, and with the customer
SELECT settle.erase_person('desk', 'place_worker', 'he has left') \g /dev/null
SELECT is((SELECT string_agg(DISTINCT c.ticket_id || ' ' || c.actor, ', ') FROM check_in AS c WHERE c.ticket_id = 'M' AND c.place IS NOT NULL), 'M postgres', 'erased with who was there');
SELECT count(*) AS others FROM check_in AS c JOIN ticket AS t USING (ticket_id) WHERE t.customer = 'customer:2' AND c.place IS NOT NULL \gset
UPDATE ticket SET customer = 'customer:2' WHERE ticket_id = 'A';
SELECT public.stands('B') AS before \gset
SELECT settle.erase_person('desk', 'customer:1', 'letter 12') \g /dev/null
SELECT is((SELECT string_agg(DISTINCT c.ticket_id, ' ') FROM check_in AS c JOIN ticket AS t USING (ticket_id) WHERE c.place IS NOT NULL), 'A', 'erased with the person');
SELECT is(public.stands('B'), :'before', 'what they meant stays');
SELECT is_empty($$ SELECT * FROM settle.check('desk') $$, 'all of it holds');
-- and after a time
SELECT coalesce(settle._tick_reduce('desk')::text, 'nothing') AS early \gset
ALTER TABLE check_in DISABLE TRIGGER kept;
UPDATE check_in SET noted_at = now() - interval '92 days' WHERE ticket_id = 'A';
ALTER TABLE check_in ENABLE TRIGGER kept;
SELECT is((SELECT string_agg(invariant || ': ' || left(detail, 9), ', ') FROM settle.check('desk')), 'no check-in keeps its point for longer than place_days and a day: points: 1', 'settle.check sees what was not reduced');
SELECT is(:'early'::text || ' ' || settle._tick_reduce('desk')::text, 'nothing {"more": false, "bodies": 0, "points": 1}', 'after place_days the point goes');
SELECT is(settle._tick_reduce('desk'), NULL, 'once');
SELECT is((SELECT concat_ws(' ', place, distance, away) FROM check_in WHERE ticket_id = 'A'), '499.0 f', 'and the verdict stays');
SELECT is((SELECT count(*) FROM settle.check('desk')), 0::bigint, 'all of it holds');

-- The page shows what the golden test shows.
\set page `cat docs/place.md`
\set statements `cat sql/desk.sql`
\set transcript `cat expected/desk.out`
SELECT is_empty($$ SELECT line FROM regexp_matches($$ || quote_literal(:'page') || $$, E'```sql\n(.*?)\n```', 'g') AS block, unnest(string_to_array(block[1], E'\n')) AS line WHERE strpos($$ || quote_literal(:'statements') || $$, line) = 0 $$, 'the statements of docs/place.md are those of sql/desk.sql');
SELECT is_empty($$ SELECT line FROM regexp_matches($$ || quote_literal(:'page') || $$, E'\n\n```\n(.*?)\n```\n', 'g') AS block, unnest(string_to_array(block[1], E'\n')) AS line WHERE strpos($$ || quote_literal(:'transcript') || $$, line) = 0 $$, 'and its results those of expected/desk.out');
SELECT * FROM finish();
RESET search_path;
DROP SCHEMA desk CASCADE;
DROP ROLE place_worker, place_mate, place_approver, place_reader, place_officer;
