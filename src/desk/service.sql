-- service: how long people and teams take, by period, as a base of rules

/*
 * What is measured follows from the journal, which only grows: the first move
 * of a ticket, and its work until it was done, belong to the period in which
 * they happened and to whoever had the ticket then.  So what comes later
 * changes no period that is over.
 *
 * The times of a period are kept when it closes, by a trigger on <book>.period:
 * the rows of the source period are priced after that, in the close or its
 * preview, and read one row of a table each.
 *
 * Of the journal are read the tickets that moved since what is kept: a time from
 * and one until have that read by its index, where one alone looks like a third
 * of it.
 */
CREATE FUNCTION settle._service_measure_query(book regnamespace, until timestamptz) RETURNS text
	LANGUAGE sql STABLE STRICT
	RETURN pg_catalog.format($query$
		SELECT v.at, settle._period_start(b.period, v.at AT TIME ZONE b.time_zone) AS period, m.measure, v.worker, v.ticket_id, m.lasted
		FROM (
			SELECT u.*, count(*) FILTER (WHERE u.moved) OVER w AS nth_move, sum(u.at - u.since) FILTER (WHERE u.was_work) OVER w AS worked,
				min(u.at) FILTER (WHERE NOT u.done) OVER (w ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS left_at
			FROM (
				SELECT e.ticket_id, e.event_id, e.at, e.worker, t.opened_at, e.what = 'moved' AS moved, d.done,
					lag(e.at) OVER w AS since, lag(s.work) OVER w AS was_work, lag(d.done) OVER w AS was_done
				FROM %1$s.ticket_event AS e
				JOIN %1$s.ticket AS t ON t.ticket_id = e.ticket_id AND t.type IS NOT NULL
				LEFT JOIN %1$s.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = e.now
				CROSS JOIN LATERAL (SELECT (s.ready OR s.ends = 'done') IS TRUE AS done) AS d
				WHERE e.ticket_id IN (
						SELECT x.ticket_id FROM %1$s.ticket_event AS x
						WHERE x.what = 'moved' AND x.at >= (SELECT coalesce(max(upper(k.valid)), '-infinity') FROM %1$s.service_kept AS k) AND x.at <= %2$L::timestamptz)
					AND (e.what IN ('opened', 'moved', 'moved over') OR e.what = 'unmerged' AND e.now IS NOT NULL OR e.what = 'merged' AND e.changes ? 'merged_into')
				WINDOW w AS (PARTITION BY e.ticket_id ORDER BY e.event_id)
			) AS u
			WINDOW w AS (PARTITION BY u.ticket_id ORDER BY u.event_id)
		) AS v
		CROSS JOIN %1$s.book AS b
		CROSS JOIN LATERAL (VALUES
			('response', CASE WHEN v.nth_move = 1 THEN greatest(v.at - v.opened_at, interval '0') END),
			('handling', CASE WHEN v.done AND NOT v.was_done AND settle._period_start(b.period, v.at AT TIME ZONE b.time_zone) IS DISTINCT FROM settle._period_start(b.period, v.left_at AT TIME ZONE b.time_zone) THEN v.worked END)
		) AS m (measure, lasted)
		WHERE v.moved AND v.worker IS NOT NULL AND m.lasted IS NOT NULL AND v.at >= (SELECT coalesce(max(upper(k.valid)), '-infinity') FROM %1$s.service_kept AS k)
	$query$, book, until);
COMMENT ON FUNCTION settle._service_measure_query(regnamespace, timestamptz) IS 'the query for what is measured of tickets that moved since the last period that is kept, and until a time';

CREATE FUNCTION settle._service_query(book regnamespace, until timestamptz DEFAULT NULL) RETURNS text
	LANGUAGE sql STABLE
	RETURN pg_catalog.format($query$
		WITH measure AS (
			SELECT m.* FROM %2$s AS m
		), theirs AS (
			SELECT m.period, m.measure, m.lasted, 'person' AS who, m.worker AS name FROM measure AS m
			UNION ALL
			SELECT m.period, m.measure, m.lasted, 'team', g.team FROM measure AS m JOIN %1$s.team_member AS g ON g.staff = m.worker AND g.valid @> m.at
		)
		SELECT t.period, t.measure, t.who, t.name, count(*) AS n,
			percentile_disc(0.5) WITHIN GROUP (ORDER BY t.lasted) AS p50,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY t.lasted) AS p90,
			tstzrange(t.period::timestamp AT TIME ZONE b.time_zone, settle._period_after(b.period, t.period)::timestamp AT TIME ZONE b.time_zone) AS valid
		FROM theirs AS t CROSS JOIN %1$s.book AS b
		GROUP BY t.period, t.measure, t.who, t.name, b.period, b.time_zone
	$query$, book, coalesce('(' OPERATOR(pg_catalog.||) settle._service_measure_query(book, until) OPERATOR(pg_catalog.||) ')', pg_catalog.format('%s.service_measure', book)));
COMMENT ON FUNCTION settle._service_query(regnamespace, timestamptz) IS 'the query for the times of people and teams, by period, of what was measured until a time; null: until now';

CREATE FUNCTION settle.keep_service() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	book CONSTANT regnamespace := quote_ident(TG_TABLE_SCHEMA)::regnamespace;
	until timestamptz;
BEGIN
	EXECUTE format('DELETE FROM %s.service_kept AS k WHERE k.period >= $1', book) USING NEW.period;
	EXECUTE format('SELECT settle._period_after(b.period, $1)::timestamp AT TIME ZONE b.time_zone FROM %s.book AS b', book) INTO until USING NEW.period;
	EXECUTE format($sql$
		INSERT INTO %1$s.service_kept (period, valid, measure, who, name, n, p50, p90)
		SELECT o.period, o.valid, o.measure, o.who, o.name, o.n, o.p50, o.p90 FROM (%2$s) AS o WHERE o.period <= $1
	$sql$, book, settle._service_query(book, until)) USING NEW.period;
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION settle.keep_service() IS 'row trigger on the periods of a book: one that is closing has the times of its service kept, and those of earlier ones that never closed';

CREATE FUNCTION settle._create_service_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	whose text;
	key text;
	says text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.service_kept (
			period date,
			valid tstzrange NOT NULL,
			measure text,
			who text CHECK (who IN ('person', 'team')),
			name text,
			n bigint NOT NULL,
			p50 interval NOT NULL,
			p90 interval NOT NULL,
			PRIMARY KEY (who, name, period, measure)
		);
		COMMENT ON TABLE %1$I.service_kept IS 'times of service as they were when their period closed';
	$tables$, book);
	EXECUTE format('CREATE VIEW %I.service_measure AS %s', book, settle._service_measure_query(quote_ident(book)::regnamespace, 'infinity'));
	EXECUTE format('CREATE VIEW %I.service_open AS %s', book, settle._service_query(quote_ident(book)::regnamespace));
	EXECUTE format($views$
		COMMENT ON VIEW %1$I.service_measure IS 'of periods that are not kept yet, one row for each first move of a ticket (response, since it was opened) and each time it was done (handling, its work until then), of whoever had it then; one that is reopened in the same period was not done';

		COMMENT ON VIEW %1$I.service_open IS 'times of service of periods that are not kept yet, as the journal has them now';

		CREATE VIEW %1$I.service_time AS
			SELECT k.period, k.measure, k.who, k.name, k.n, k.p50, k.p90, k.valid FROM %1$I.service_kept AS k
			UNION ALL
			SELECT o.period, o.measure, o.who, o.name, o.n, o.p50, o.p90, o.valid FROM %1$I.service_open AS o;
		COMMENT ON VIEW %1$I.service_time IS 'one row a period of the book, measure, and person or team: from opening to the first move (response), and time in stages that count as work until a ticket was done (handling); of periods that closed as they were then';
		COMMENT ON COLUMN %1$I.service_time.period IS 'first day of the period, in book time';
		COMMENT ON COLUMN %1$I.service_time.measure IS 'response or handling';
		COMMENT ON COLUMN %1$I.service_time.who IS 'person or team';
		COMMENT ON COLUMN %1$I.service_time.name IS 'as in worker of a ticket, or the team, of which he was a member then';
		COMMENT ON COLUMN %1$I.service_time.n IS 'how many were measured';
		COMMENT ON COLUMN %1$I.service_time.p50 IS 'the shortest time within which half of them were';
		COMMENT ON COLUMN %1$I.service_time.p90 IS 'the shortest time within which nine tenths of them were';
		COMMENT ON COLUMN %1$I.service_time.valid IS 'the period as a range of time';

		CREATE TRIGGER keep_service AFTER INSERT OR UPDATE ON %1$I.period FOR EACH ROW WHEN (NEW.state = 'closing') EXECUTE FUNCTION settle.keep_service();
	$views$, book);

	-- facts of rules of the source period: one row a person or team, and period that was closed
	FOR whose, key, says IN VALUES ('person', 'worker', 'as in worker of a ticket'), ('team', 'team', 'the team') LOOP
		EXECUTE format($view$
			CREATE VIEW %1$I.%2$I AS
				SELECT k.name AS %3$I, k.period, k.valid,
					coalesce(max(k.n) FILTER (WHERE k.measure = 'response'), 0) AS responses,
					extract(epoch FROM max(k.p50) FILTER (WHERE k.measure = 'response')) AS response_p50,
					extract(epoch FROM max(k.p90) FILTER (WHERE k.measure = 'response')) AS response_p90,
					coalesce(max(k.n) FILTER (WHERE k.measure = 'handling'), 0) AS handlings,
					extract(epoch FROM max(k.p50) FILTER (WHERE k.measure = 'handling')) AS handling_p50,
					extract(epoch FROM max(k.p90) FILTER (WHERE k.measure = 'handling')) AS handling_p90
				FROM %1$I.service_kept AS k WHERE k.who = %4$L GROUP BY k.name, k.period, k.valid;
			COMMENT ON VIEW %1$I.%2$I IS %6$L;
			COMMENT ON COLUMN %1$I.%2$I.%3$I IS %5$L;
			COMMENT ON COLUMN %1$I.%2$I.period IS 'first day of the period';
			COMMENT ON COLUMN %1$I.%2$I.valid IS 'the period as a range of time';
			COMMENT ON COLUMN %1$I.%2$I.responses IS 'tickets that were answered';
			COMMENT ON COLUMN %1$I.%2$I.response_p50 IS 'seconds within which half of them were; null: none';
			COMMENT ON COLUMN %1$I.%2$I.response_p90 IS 'seconds within which nine tenths of them were; null: none';
			COMMENT ON COLUMN %1$I.%2$I.handlings IS 'tickets that were done, and had work';
			COMMENT ON COLUMN %1$I.%2$I.handling_p50 IS 'seconds of work within which half of them were; null: none';
			COMMENT ON COLUMN %1$I.%2$I.handling_p90 IS 'seconds of work within which nine tenths of them were; null: none';
		$view$, book, 'service_' || whose, key, whose, says, format('times of service of each %s in periods that were closed, or are while they are previewed: facts for rules of the source period', whose));
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._create_service_tables(name) IS 'makes the views of how long people and teams take, and what is kept of them when periods close';
