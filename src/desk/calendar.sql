-- calendar: working time, exact over changes of the clock

CREATE FUNCTION settle._create_calendar_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	ops name := (SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'btree_gist');
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.calendar (
			calendar text PRIMARY KEY CHECK (calendar <> ''),
			time_zone text NOT NULL CHECK ((timestamp '2000-01-01' AT TIME ZONE time_zone) IS NOT NULL),
			title text
		);
		COMMENT ON TABLE %1$I.calendar IS 'calendars of working time; one that has no working hours works around the clock';

		CREATE TABLE %1$I.calendar_hours (
			calendar text REFERENCES %1$I.calendar,
			weekday smallint CHECK (weekday BETWEEN 1 AND 99),
			opens time,
			closes time NOT NULL CHECK (closes > opens),
			PRIMARY KEY (calendar, weekday, opens),
			CONSTRAINT hours_do_not_overlap EXCLUDE USING gist (calendar %2$I.gist_text_ops WITH =, weekday %2$I.gist_int2_ops WITH =, numrange(extract(epoch FROM opens), extract(epoch FROM closes)) WITH &&)
		);
		COMMENT ON TABLE %1$I.calendar_hours IS 'when the clock shows a time from opens to before closes, it is working time; a night shift is two rows';
		COMMENT ON COLUMN %1$I.calendar_hours.weekday IS '1 to 7 are Monday to Sunday; other numbers are kinds of days that calendar_day names, such as a half day';

		CREATE TABLE %1$I.calendar_day (
			calendar text REFERENCES %1$I.calendar,
			day date CHECK (isfinite(day)),
			weekday smallint CHECK (weekday BETWEEN 1 AND 99),
			title text,
			PRIMARY KEY (calendar, day)
		);
		COMMENT ON TABLE %1$I.calendar_day IS 'days that work as another weekday, such as the weekends that make up for a holiday; weekday null: a holiday';
	$tables$, book, ops);
	PERFORM settle._journal(book, 'calendar', '{calendar}');
	PERFORM settle._journal(book, 'calendar_hours', '{calendar,weekday,opens}');
	PERFORM settle._journal(book, 'calendar_day', '{calendar,day}');
END
$function$;
COMMENT ON FUNCTION settle._create_calendar_tables(name) IS 'makes the tables of working calendars of a book';

-- Between two times with one change of the clock, the first second after it.
CREATE FUNCTION settle._clock_change(time_zone text, before timestamptz, after timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	clock_after interval := (after AT TIME ZONE time_zone) - (after AT TIME ZONE 'UTC');
	middle timestamptz;
BEGIN
	IF (before AT TIME ZONE time_zone) - (before AT TIME ZONE 'UTC') = clock_after THEN
		RETURN before;
	END IF;
	WHILE after - before > interval '1 second' LOOP
		middle := date_trunc('second', before + (after - before) / 2);
		IF (middle AT TIME ZONE time_zone) - (middle AT TIME ZONE 'UTC') = clock_after THEN
			after := middle;
		ELSE
			before := middle;
		END IF;
	END LOOP;
	RETURN after;
END
$function$;
COMMENT ON FUNCTION settle._clock_change(text, timestamptz, timestamptz) IS 'when the clock of a time zone changed between two times';

/*
 * What stands in a calendar are times of a clock, and working time is real time.
 * A day has one piece, or two where the clock changes in it; in a piece the clock
 * runs evenly, so hours of the clock are moved to real time by its offset, and cut
 * where the piece ends: what the clock skips nobody works, what it shows twice
 * counts twice.
 */
CREATE FUNCTION settle._working_ranges(book regnamespace, calendar text, since timestamptz, until timestamptz)
	RETURNS TABLE (starts timestamptz, ends timestamptz)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	ROWS 100
AS $function$
DECLARE
	zone text;
	hours_weekday smallint[];
	hours_opens time[];
	hours_closes time[];
	special_day date[];
	special_weekday smallint[];
BEGIN
	-- what is read of the book is little; the long query has one plan for the session
	EXECUTE format($sql$
		SELECT c.time_zone, h.weekday, h.opens, h.closes, x.day, x.weekday
		FROM %1$s.calendar AS c
		CROSS JOIN LATERAL (SELECT array_agg(y.weekday) AS weekday, array_agg(y.opens) AS opens, array_agg(y.closes) AS closes FROM %1$s.calendar_hours AS y WHERE y.calendar = c.calendar) AS h
		CROSS JOIN LATERAL (SELECT array_agg(y.day) AS day, array_agg(y.weekday) AS weekday FROM %1$s.calendar_day AS y
			WHERE y.calendar = c.calendar AND y.day BETWEEN $2::date - 2 AND $3::date + 2) AS x
		WHERE c.calendar = $1
	$sql$, book) INTO zone, hours_weekday, hours_opens, hours_closes, special_day, special_weekday USING calendar, since, until;
	IF zone IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no calendar "%s"', book, calendar);
	END IF;
	IF hours_weekday IS NULL THEN
		hours_weekday := '{1,2,3,4,5,6,7}';
		hours_opens := array_fill(time '00:00', '{7}');
		hours_closes := array_fill(time '24:00', '{7}');
	END IF;
	RETURN QUERY
		SELECT r.starts, r.ends
		FROM generate_series(date_trunc('day', since AT TIME ZONE zone) - interval '1 day', (until AT TIME ZONE zone) + interval '1 day', interval '1 day') AS d (day)
		LEFT JOIN unnest(special_day, special_weekday) AS x (day, weekday) ON x.day = d.day::date
		JOIN unnest(hours_weekday, hours_opens, hours_closes) AS h (weekday, opens, closes) ON h.weekday = CASE WHEN x.day IS NULL THEN extract(isodow FROM d.day) ELSE x.weekday END
		CROSS JOIN LATERAL (SELECT d.day AT TIME ZONE zone AS begins, (d.day + interval '1 day') AT TIME ZONE zone AS is_over) AS real
		CROSS JOIN LATERAL (SELECT
			(real.begins AT TIME ZONE zone) - (real.begins AT TIME ZONE 'UTC') AS first,
			(real.is_over AT TIME ZONE zone) - (real.is_over AT TIME ZONE 'UTC') AS last) AS clock
		CROSS JOIN LATERAL (SELECT CASE WHEN clock.first = clock.last THEN real.is_over ELSE settle._clock_change(zone, real.begins, real.is_over) END AS at) AS change
		CROSS JOIN LATERAL (VALUES (real.begins, change.at, clock.first), (change.at, real.is_over, clock.last)) AS piece (begins, is_over, clock)
		CROSS JOIN LATERAL (SELECT
			greatest(((d.day + h.opens) AT TIME ZONE 'UTC') - piece.clock, piece.begins, since) AS starts,
			least(((d.day + h.closes) AT TIME ZONE 'UTC') - piece.clock, piece.is_over, until) AS ends) AS r
		WHERE r.starts < r.ends;
END
$function$;
COMMENT ON FUNCTION settle._working_ranges(regnamespace, text, timestamptz, timestamptz) IS 'working times of a calendar between two times';

CREATE FUNCTION settle._require_span(since timestamptz, until timestamptz) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF NOT isfinite(since) OR NOT isfinite(until) OR until - since > interval '36525 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow',
			MESSAGE = 'working time is asked for over more than a hundred years',
			DETAIL = 'That is as far as a calendar is read.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._require_span(timestamptz, timestamptz) IS 'raises 22008 for more time than a calendar is read for';

-- Exact to the microsecond for 285 years, and in hours: a day of working time is no day.
CREATE FUNCTION settle._seconds(seconds numeric) RETURNS interval
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN (seconds OPERATOR(pg_catalog.*) 1000000)::pg_catalog.float8 OPERATOR(pg_catalog.*) interval '1 microsecond';
COMMENT ON FUNCTION settle._seconds(numeric) IS 'so many seconds as an interval without days';

CREATE FUNCTION settle.working_time(book regnamespace, calendar text, since timestamptz, until timestamptz)
	RETURNS interval AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.working_time(regnamespace, text, timestamptz, timestamptz) IS
	'working time of a calendar between two times, negative where the second is before the first; calendar null or empty: around the clock';

CREATE FUNCTION settle._working_time(book regnamespace, calendar text, since timestamptz, until timestamptz) RETURNS interval
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	seconds numeric;
BEGIN
	IF since > until THEN
		RETURN - settle._working_time(book, calendar, until, since);
	END IF;
	IF calendar IS NULL OR calendar = '' THEN
		RETURN settle._seconds(extract(epoch FROM until) - extract(epoch FROM since));
	END IF;
	PERFORM settle._require_span(since, until);
	SELECT coalesce(sum(extract(epoch FROM r.ends) - extract(epoch FROM r.starts)), 0) INTO seconds
	FROM settle._working_ranges(book, calendar, since, until) AS r;
	RETURN CASE WHEN since IS NOT NULL AND until IS NOT NULL THEN settle._seconds(seconds) END;
END
$function$;
COMMENT ON FUNCTION settle._working_time(regnamespace, text, timestamptz, timestamptz) IS 'body of settle.working_time';

CREATE FUNCTION settle.add_working_time(book regnamespace, calendar text, since timestamptz, working interval)
	RETURNS timestamptz AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.add_working_time(regnamespace, text, timestamptz, interval) IS
	'the first time until which a calendar has so much working time; calendar null or empty: around the clock';

CREATE FUNCTION settle._add_working_time(book regnamespace, calendar text, since timestamptz, working interval) RETURNS timestamptz
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	seconds numeric := extract(epoch FROM working);
	from_here timestamptz := since;
	days integer := 8;
	found_at timestamptz;
	passed numeric;
BEGIN
	IF seconds < 0 OR extract(year FROM working) <> 0 OR extract(month FROM working) <> 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('working time cannot be %s', working),
			HINT = 'It is in hours and minutes; a day in it is 24 hours.';
	END IF;
	IF since IS NULL OR seconds IS NULL OR seconds = 0 OR calendar IS NULL OR calendar = '' THEN
		RETURN since + settle._seconds(seconds);
	END IF;
	-- twice as far every time, until there is as much
	LOOP
		PERFORM settle._require_span(since, from_here + make_interval(days => days));
		SELECT min(w.ends - settle._seconds(w.passed - seconds)) FILTER (WHERE w.passed >= seconds), max(w.passed) INTO found_at, passed
		FROM (SELECT r.ends, sum(extract(epoch FROM r.ends) - extract(epoch FROM r.starts)) OVER (ORDER BY r.starts) AS passed
			FROM settle._working_ranges(book, calendar, from_here, from_here + make_interval(hours => days * 24)) AS r) AS w;
		EXIT WHEN found_at IS NOT NULL;
		seconds := seconds - coalesce(passed, 0);
		from_here := from_here + make_interval(hours => days * 24);
		days := days * 2;
	END LOOP;
	RETURN found_at;
END
$function$;
COMMENT ON FUNCTION settle._add_working_time(regnamespace, text, timestamptz, interval) IS 'body of settle.add_working_time';
