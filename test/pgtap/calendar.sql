-- Working time: against an oracle that asks of every minute what the clock shows.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Pacific/Auckland';
SELECT no_plan();
SELECT settle.create_book('hours') \g /dev/null
SET search_path = public, hours;
INSERT INTO calendar (calendar, time_zone) VALUES
    ('china', 'Asia/Shanghai'), ('berlin', 'Europe/Berlin'), ('york', 'America/New_York'), ('lord', 'Australia/Lord_Howe'), ('paulo', 'America/Sao_Paulo'), ('apia', 'Pacific/Apia'), ('always', 'Europe/Berlin'), ('never', 'UTC');
INSERT INTO calendar_hours (calendar, weekday, opens, closes)
SELECT c, d, o::time, x::time FROM (VALUES ('china', 5, '09:00', '12:00'), ('china', 5, '13:30', '18:00'), ('berlin', 7, '00:00', '24:00'), ('york', 7, '01:30', '02:20'), ('york', 7, '02:40', '06:00'), ('york', 7, '22:00', '24:00'),
    ('lord', 7, '01:10', '02:50'), ('paulo', 7, '00:00', '03:00'), ('paulo', 7, '23:30', '24:00'), ('apia', 7, '20:00', '24:00'), ('never', 0, '00:00', '01:00')) AS v (c, last, o, x), generate_series(1, last) AS d
UNION ALL VALUES ('china', 8, time '09:00', time '12:00'), ('never', 99, '00:00', '01:00');
INSERT INTO calendar_day (calendar, day, weekday, title)
SELECT 'china', d::date, NULL, 'National Day' FROM generate_series(timestamp '2025-10-01', '2025-10-08', '1 day') AS d
UNION ALL VALUES ('china', date '2025-09-28', 2::smallint, 'makes up'), ('china', '2025-10-11', 5, 'makes up'), ('china', '2025-12-31', 8, 'half a day'), ('always', '2025-12-25', NULL, 'Christmas');

----------------------------------------------------------------------------------------------------
-- What people know
----------------------------------------------------------------------------------------------------
SELECT is(settle.add_working_time('hours', 'china', since::timestamptz, working::interval), due::timestamptz, title) FROM (VALUES
    ('2025-09-26 17:00+08', '2 hours', '2025-09-28 10:00+08', 'a Sunday that makes up for a holiday works'),
    ('2025-09-30 17:00+08', '2 hours', '2025-10-09 10:00+08', 'a holiday of eight days does not'),
    ('2025-10-10 18:00+08', '30 minutes', '2025-10-11 09:30+08', 'a Saturday works as a Friday'),
    ('2025-12-31 08:00+08', '4 hours', '2026-01-01 10:00+08', 'half a day'),
    ('2025-09-26 11:30+08', '1 hour', '2025-09-26 14:00+08', 'nobody works at noon'),
    ('2025-09-26 03:00+08', '0', '2025-09-26 03:00+08', 'no time is at once'),
    ('2025-09-26 13:30+08', '4.5 hours', '2025-09-26 18:00+08', 'until the end of a day, not the beginning of the next')) AS v (since, working, due, title);
SELECT is(settle.working_time('hours', 'china', '2025-09-26 00:00+08', '2025-10-13 00:00+08'), '52:30'::interval, 'a Friday, a Sunday, two days, two days and a Saturday: seven times 7.5 hours');
SELECT is(settle.working_time('hours', 'china', '2025-10-13 00:00+08', '2025-09-26 00:00+08'), '-52:30'::interval, 'backwards');
SELECT is(settle.working_time('hours', c, '2025-03-29 12:00+01', '2025-03-31 12:00+02'), '47:00'::interval, coalesce('around the clock: ' || c, 'no calendar')) FROM unnest(ARRAY['berlin', 'always', '', NULL]) AS c;
SELECT is(settle.working_time('hours', 'always', '2025-12-24 12:00+01', '2025-12-26 12:00+01'), '24:00'::interval, 'a holiday of a calendar without hours');
SELECT is(settle.working_time('hours', 'york', '2025-03-09 00:00-05', '2025-03-09 12:00-04'), '03:00'::interval + '30 minutes', 'from half past one to two and from three to six: the clock skips an hour');
SELECT is(settle.working_time('hours', 'york', '2025-11-02 00:00-04', '2025-11-02 12:00-05'), '04:40'::interval, 'what the clock shows twice is twice');
SELECT is(settle.working_time('hours', 'apia', '2011-12-29 00:00-10', '2012-01-01 00:00+14'), '08:00'::interval, 'a day that was left out of the calendar');
SELECT is(settle.working_time('hours', NULL, NULL, now()), NULL, 'nothing is nothing');
SELECT is(settle.working_time('hours', 'china', now(), NULL), NULL, 'nor in a calendar');
SELECT is(settle.add_working_time('hours', 'china', NULL, '1 hour'), NULL, 'nor until when');

----------------------------------------------------------------------------------------------------
-- Every minute
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.minutes(c text, since timestamptz, until timestamptz) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(since, until - interval '1 minute', '1 minute') AS m
    JOIN hours.calendar AS k ON k.calendar = c
    CROSS JOIN LATERAL (SELECT m AT TIME ZONE k.time_zone AS clock) AS l
    LEFT JOIN hours.calendar_day AS d ON d.calendar = c AND d.day = l.clock::date
    WHERE EXISTS (SELECT FROM hours.calendar_hours AS h WHERE h.calendar = c AND h.weekday = CASE WHEN d.day IS NULL THEN extract(isodow FROM l.clock) ELSE d.weekday END AND l.clock::time >= h.opens AND l.clock::time < h.closes)
$$;
SELECT setseed(0.20251111) \g /dev/null
CREATE TABLE public.span AS
SELECT n, c AS calendar, t + (random() * 4000)::int * interval '1 minute' AS since, t + ((4000 + random() * 8000)::int) * interval '1 minute' AS until
FROM generate_series(1, 12) AS n, (VALUES ('china', timestamptz '2025-09-26 00:00+00'), ('berlin', '2025-03-26 00:00+00'), ('berlin', '2025-10-23 00:00+00'), ('york', '2025-03-06 00:00+00'), ('york', '2025-10-30 00:00+00'),
    ('lord', '2025-04-02 00:00+00'), ('lord', '2025-10-02 00:00+00'), ('paulo', '2018-10-31 00:00+00'), ('paulo', '2019-02-13 00:00+00'), ('apia', '2011-12-26 00:00+00')) AS z (c, t);
SELECT is_empty($$ SELECT s.*, public.minutes(s.calendar, s.since, s.until), settle.working_time('hours', s.calendar, s.since, s.until) FROM public.span AS s
    WHERE settle.working_time('hours', s.calendar, s.since, s.until) <> public.minutes(s.calendar, s.since, s.until) * interval '1 minute' $$, 'working time is the minutes in which the clock shows it');
SELECT is_empty($$ SELECT s.*, a.due FROM public.span AS s
    CROSS JOIN LATERAL (SELECT settle.working_time('hours', s.calendar, s.since, s.until) AS worked) AS w
    CROSS JOIN LATERAL (SELECT settle.add_working_time('hours', s.calendar, s.since, w.worked) AS due) AS a
    WHERE w.worked > '0' AND (a.due > s.until OR settle.working_time('hours', s.calendar, s.since, a.due) <> w.worked OR settle.working_time('hours', s.calendar, s.since, a.due - interval '1 second') >= w.worked) $$,
    'and the first time until which there is as much');
SELECT is(settle.working_time('hours', 'china', '2025-01-01 00:00+08', settle.add_working_time('hours', 'china', '2025-01-01 00:00+08', '20000 hours')), '20000 hours'::interval, 'ten years');

----------------------------------------------------------------------------------------------------
-- What is refused
----------------------------------------------------------------------------------------------------
SELECT throws_ok(statement, code, message) FROM (VALUES
    ($$ SELECT settle.working_time('hours', 'mars', now(), now()) $$, '42704', 'book "hours" has no calendar "mars"'),
    ($$ SELECT settle.add_working_time('hours', 'china', now(), '-1 hour') $$, '22023', 'working time cannot be -01:00:00'),
    ($$ SELECT settle.add_working_time('hours', 'china', now(), '1 month') $$, '22023', 'working time cannot be 1 mon'),
    ($$ SELECT settle.working_time('hours', 'china', now(), 'infinity') $$, '22008', 'working time is asked for over more than a hundred years'),
    ($$ SELECT settle.add_working_time('hours', 'never', '2025-01-01 00:00+00', '1 hour') $$, '22008', 'working time is asked for over more than a hundred years'),
    ($$ INSERT INTO calendar VALUES ('x', 'Mars/Base') $$, '22023', 'time zone "Mars/Base" not recognized'),
    ($$ INSERT INTO calendar_hours VALUES ('china', 1, '11:00', '13:00') $$, '23P01', 'conflicting key value violates exclusion constraint "hours_do_not_overlap"'),
    ($$ INSERT INTO calendar_hours VALUES ('china', 1, '22:00', '06:00') $$, '23514', NULL)) AS v (statement, code, message);

SELECT finish();
DROP SCHEMA hours CASCADE;
DROP TABLE public.span;
DROP FUNCTION public.minutes(text, timestamptz, timestamptz);
