-- calendar: the periods of a book, by their first day

CREATE FUNCTION settle._period_start(kind text, at timestamp) RETURNS date
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN pg_catalog.date_trunc(kind, at)::date;
COMMENT ON FUNCTION settle._period_start(text, timestamp) IS 'first day of the day, week, month, quarter or year that a local time falls in';

CREATE FUNCTION settle._period_after(kind text, period date) RETURNS date
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (period OPERATOR(pg_catalog.+) CASE kind
		WHEN 'day' THEN interval '1 day' WHEN 'week' THEN interval '7 days' WHEN 'month' THEN interval '1 month' WHEN 'quarter' THEN interval '3 months' WHEN 'year' THEN interval '1 year'
	END)::date;
COMMENT ON FUNCTION settle._period_after(text, date) IS 'first day of the period that follows one';

CREATE FUNCTION settle.period_of(book regnamespace, at timestamptz DEFAULT now()) RETURNS date
	AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION settle.period_of(regnamespace, timestamptz) IS 'first day of the period of a book that an instant falls in, in book time';
CREATE FUNCTION settle._period_of(book regnamespace, at timestamptz) RETURNS date
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	result date;
BEGIN
	EXECUTE format('SELECT settle._period_start(b.period, $1 AT TIME ZONE b.time_zone) FROM %s.book AS b', book) INTO result USING at;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION settle._period_of(regnamespace, timestamptz) IS 'body of settle.period_of';
REVOKE ALL ON FUNCTION settle._period_of(regnamespace, timestamptz) FROM PUBLIC;

CREATE FUNCTION settle.next_period(book regnamespace, period date) RETURNS date
	AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION settle.next_period(regnamespace, date) IS 'first day of the period of a book that follows one';
CREATE FUNCTION settle._next_period(book regnamespace, period date) RETURNS date
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	result date;
BEGIN
	EXECUTE format('SELECT settle._period_after(b.period, $1) FROM %s.book AS b', book) INTO result USING period;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION settle._next_period(regnamespace, date) IS 'body of settle.next_period';
