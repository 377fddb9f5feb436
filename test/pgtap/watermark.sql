-- Watermarks: windows overlap, never move backwards, never pass what was
-- fetched, and move on where a shop has sold nothing for days.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS watermark_connector;
CREATE ROLE watermark_connector;
SELECT settle.create_book('marks') \g /dev/null
SELECT settle.grant_access('marks', 'watermark_connector', 'connector') \g /dev/null
CREATE FUNCTION public.advance(since text, upto text, seen text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT to_char(settle.advance_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', ('2025-11-' || since)::timestamptz, ('2025-11-' || upto)::timestamptz, ('2025-11-' || seen)::timestamptz), 'DD HH24:MI') $$;
CREATE FUNCTION public.window() RETURNS text LANGUAGE sql AS $$
    SELECT to_char(since, 'DD HH24:MI') || ' to ' || to_char(upto, 'DD HH24:MI') FROM settle.next_window('marks', 'taobao', 'S1', 'trades.sold.increment') $$;

SELECT throws_ok('SELECT public.window()', '42704', '"trades.sold.increment" of shop "S1" at "taobao" has no watermark', 'nothing is read by itself');
SELECT throws_ok($$ SELECT public.advance('10 00:00', '11 00:00') $$, '42704', '"trades.sold.increment" of shop "S1" at "taobao" has no watermark', 'nor advanced');
SELECT settle.set_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', '2025-11-10 00:00+08', reason => 'the shop opens') \g /dev/null
SELECT settle.set_watermark('marks', 'taobao', 'S1', 'refunds.receive', '2025-11-01 00:00+08', overlap => '5 minutes', longest => '30 minutes') \g /dev/null
SET SESSION AUTHORIZATION watermark_connector;
SELECT is(public.window(), '09 23:50 to 10 23:50', 'ten minutes back, a day long');
SELECT is(public.window(), '09 23:50 to 10 23:50', 'asked again it is the same');
SELECT is(public.advance('09 23:50', '10 23:50', '10 21:00'), '10 23:40', 'read completely: to the overlap before its end');
SELECT is(public.advance('10 23:30', '11 23:30', '11 23:29'), '11 23:29', 'or to the latest row that was seen');
SELECT is(public.advance('09 23:50', '10 23:50', '10 23:50'), '11 23:29', 'a window that another has read in the meantime: never backwards');
SELECT is(public.advance('11 23:19', '12 23:19'), '12 23:09', 'an empty day is passed');
SELECT is(public.window(), '12 22:59 to 13 22:59', 'the next one');
SELECT throws_ok($$ SELECT public.advance('12 22:59', '13 22:59', '13 23:00') $$, '22023', 'a row of 2025-11-13 15:00:00+00 lies behind the window, which ends at 2025-11-13 14:59:00+00', 'never past what was fetched');
SELECT throws_ok($$ SELECT public.advance('12 23:10', '13 22:59') $$, '22023', 'the window begins at 2025-11-12 15:10:00+00, after the watermark at 2025-11-12 15:09:00+00', 'a gap');
SELECT throws_ok($$ SELECT public.advance('12 22:59', '12 22:58') $$, '22023', 'a window from 2025-11-12 14:59:00+00 to 2025-11-12 14:58:00+00 cannot have been read', 'an end before its beginning');
SELECT throws_ok($$ SELECT settle.advance_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', '2025-11-12', now() + interval '1 hour') $$, '22023', NULL, 'the future');
SELECT throws_ok($$ SELECT settle.advance_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', NULL, '2025-11-12') $$, '22004', NULL, 'no beginning');
SELECT throws_ok($$ SELECT settle.set_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', '2025-11-01') $$, '42501', 'permission denied for book "marks"', 'a connector does not set it back');
RESET SESSION AUTHORIZATION;
SELECT is(public.window(), '12 22:59 to 13 22:59', 'nothing has moved it');
SELECT results_eq($$ SELECT api, position FROM marks.watermark WHERE api = 'refunds.receive' $$, $$ VALUES ('refunds.receive', '2025-11-01 00:00+08'::timestamptz) $$, 'refunds have their own');

-- up to now
SELECT settle.set_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', date_trunc('minute', now()) - interval '2 minutes') \g /dev/null
SELECT since, upto, settle.advance_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', since, upto) AS stays FROM settle.next_window('marks', 'taobao', 'S1', 'trades.sold.increment') \gset
SELECT is(:'upto'::timestamptz - :'since' BETWEEN interval '12 minutes' AND interval '15 minutes', true, 'a window ends now');
SELECT is(:'stays'::timestamptz - :'since', interval '10 minutes', 'with nothing in it the watermark stays: the clock of the platform may be another');

-- by hand
SELECT settle.set_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', '2025-11-05', overlap => '1 hour', longest => '3 hours', reason => 'read again after the outage') \g /dev/null
SELECT is(public.window(), '04 23:00 to 05 02:00', 'set back');
SELECT settle.set_watermark('marks', 'taobao', 'S1', 'trades.sold.increment', '2025-11-06') \g /dev/null
SELECT is(public.window(), '05 23:00 to 06 02:00', 'what is not said stays');
SELECT results_eq($$ SELECT action, object, reason FROM marks.change WHERE table_name = 'watermark' AND object LIKE '%trades%' ORDER BY change_id LIMIT 1 $$, $$ VALUES ('insert', 'taobao S1 trades.sold.increment', 'the shop opens') $$, 'the journal has it');
SELECT is((SELECT string_agg(coalesce(reason, '-'), ', ' ORDER BY change_id) FROM marks.change WHERE table_name = 'watermark' AND action = 'update'), '-, read again after the outage, -', 'what connectors advance is not noted');
SELECT throws_ok($$ SELECT settle.set_watermark('marks', 'p', '', 'a', now() + interval '1 day') $$, '22023', NULL, 'not into the future');
SELECT throws_ok($$ SELECT settle.set_watermark('marks', 'p', '', 'a', '-infinity') $$, '23514', NULL, 'nor for ever back');
SELECT throws_ok($$ SELECT settle.set_watermark('marks', 'p', '', 'a', '2025-11-01', overlap => '1 hour', longest => '2 hours') $$, '23514', NULL, 'a window that would not move on');
SELECT throws_ok($$ SELECT settle.set_watermark('marks', 'p', NULL, 'a', '2025-11-01') $$, '22004', 'a watermark needs a platform, a shop, an interface and a time', 'no shop');
SELECT lives_ok($$ SELECT settle.set_watermark('marks', 'wecom', '', 'externalcontact', '2025-11-01') $$, 'a platform without shops');

DROP SCHEMA marks CASCADE;
DROP OWNED BY watermark_connector;
DROP ROLE watermark_connector;
SELECT * FROM finish();
