-- figure: what the journal of a ticket comes to, against what is usual

CREATE FUNCTION settle._create_figure_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	column_name text;
	says text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.special_pending (
			ticket_id text NOT NULL
		);
		COMMENT ON TABLE %1$I.special_pending IS 'tickets that have a type and were written since they were judged last, in no order and with repetitions. Keep it free of indexes, triggers and further columns: the desk appends to its heap';

		CREATE TABLE %1$I.project_norm (
			project %2$I.ltree,
			currency text,
			tickets bigint NOT NULL,
			amount numeric NOT NULL,
			cost numeric NOT NULL,
			PRIMARY KEY (project, currency)
		);
		COMMENT ON TABLE %1$I.project_norm IS 'what is usual in a project: medians of amount and cost of the tickets with a type that were done in the last norm_days, where there are norm_tickets of them';
		CREATE TABLE %1$I.type_norm (
			type text PRIMARY KEY,
			tickets bigint NOT NULL,
			duration interval NOT NULL
		);
		COMMENT ON TABLE %1$I.type_norm IS 'what is usual for a type: median of the time from opening to done of the tickets that were done in the last norm_days, where there are norm_tickets of them';
		CREATE TABLE %1$I.norm_mark (
			singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
			reckoned_at timestamptz NOT NULL
		);
		INSERT INTO %1$I.norm_mark (reckoned_at) VALUES ('-infinity');
		COMMENT ON TABLE %1$I.norm_mark IS 'when the norms were reckoned last; settle.tick does it once a day';

		CREATE VIEW %1$I.ticket_figure AS
			SELECT t.ticket_id, t.type, t.stage, t.project, t.region, t.channel, t.customer, t.level, t.worker, t.opened_at, t.done_at, m.currency, t.amount, t.cost,
				e.moves, e.assignments, e.reopened, coalesce(c.rescheduled, 0) AS rescheduled, coalesce(i.visits, 0) AS visits, coalesce(v.visits_before, 0) AS visits_before,
				coalesce(e.made, '{}') AS made, coalesce(c.changed, '{}') AS changed,
				CASE WHEN e.first_move IS NOT NULL THEN greatest(e.first_move - t.opened_at, interval '0') END AS response, w.handling,
				greatest(coalesce(t.done_at, CASE WHEN s.ends IS NOT NULL THEN e.last_move END, now()) - t.opened_at, interval '0') AS duration,
				p.amount AS amount_norm, round(t.amount / nullif(p.amount, 0), 2) AS amount_ratio,
				p.cost AS cost_norm, round(t.cost / nullif(p.cost, 0), 2) AS cost_ratio,
				y.duration AS duration_norm,
				round(extract(epoch FROM greatest(coalesce(t.done_at, CASE WHEN s.ends IS NOT NULL THEN e.last_move END, now()) - t.opened_at, interval '0'))
					/ nullif(extract(epoch FROM y.duration), 0), 2) AS duration_ratio
			FROM %1$I.ticket AS t
			CROSS JOIN %1$I.book AS b
			CROSS JOIN LATERAL (SELECT coalesce(t.currency, b.currency) AS currency) AS m
			-- of another ticket, which had its name and is gone, is nothing counted
			CROSS JOIN LATERAL (SELECT coalesce(max(q.event_id), 0) AS event_id, coalesce(max(q.at), '-infinity') AS at FROM %1$I.ticket_event AS q WHERE q.ticket_id = t.ticket_id AND q.what = 'deleted') AS gone
			LEFT JOIN %1$I.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage
			LEFT JOIN %1$I.project_norm AS p ON p.project OPERATOR(%2$I.=) t.project AND p.currency = m.currency
			LEFT JOIN %1$I.type_norm AS y ON y.type = t.type
			CROSS JOIN LATERAL (
				SELECT count(*) FILTER (WHERE x.what = 'moved') AS moves, count(*) FILTER (WHERE x.what = 'assigned' AND x.now IS NOT NULL) AS assignments,
					count(*) FILTER (WHERE x.what = 'moved' AND (f.ready OR f.ends IS NOT NULL) AND NOT (n.ready OR n.ends IS NOT NULL)) AS reopened,
					min(x.at) FILTER (WHERE x.what = 'moved') AS first_move, max(x.at) FILTER (WHERE x.what = 'moved') AS last_move,
					(SELECT jsonb_object_agg(o.move, o.times) FROM (
						SELECT z.move, count(*) AS times FROM %1$I.ticket_event AS z WHERE z.ticket_id = t.ticket_id AND z.event_id > gone.event_id AND z.what = 'moved' GROUP BY z.move) AS o) AS made
				FROM %1$I.ticket_event AS x
				LEFT JOIN %1$I.stage AS f ON f.type = t.type AND f.version = t.type_version AND f.stage = x.was AND x.what = 'moved'
				LEFT JOIN %1$I.stage AS n ON n.type = t.type AND n.version = t.type_version AND n.stage = x.now AND x.what = 'moved'
				WHERE x.ticket_id = t.ticket_id AND x.event_id > gone.event_id
			) AS e
			LEFT JOIN LATERAL (
				SELECT sum(o.times) FILTER (WHERE o.is_time) AS rescheduled, jsonb_object_agg(o.field, o.times) AS changed
				FROM (
					SELECT d.key AS field, count(*) AS times,
						EXISTS (SELECT FROM %1$I.form_field AS f WHERE f.type = t.type AND f.version = t.type_version AND f.field = d.key AND f.kind IN ('date', 'timestamp')) AS is_time
					FROM %1$I.ticket_event AS x CROSS JOIN LATERAL jsonb_each(x.changes) AS d
					WHERE x.ticket_id = t.ticket_id AND x.event_id > gone.event_id AND x.what IN ('form', 'moved') AND x.changes IS NOT NULL
						AND jsonb_typeof(d.value -> 0) <> 'null' AND jsonb_typeof(d.value -> 1) <> 'null'
					GROUP BY d.key) AS o
			) AS c ON true
			LEFT JOIN LATERAL (
				SELECT count(DISTINCT (x.at AT TIME ZONE b.time_zone)::date) AS visits
				FROM %1$I.check_in AS x WHERE x.ticket_id = t.ticket_id AND x.noted_at > gone.at AND NOT x.by_hand AND NOT x.away
			) AS i ON true
			LEFT JOIN LATERAL (
				SELECT count(*) AS visits_before
				FROM %1$I.ticket AS x
				LEFT JOIN %1$I.stage AS g ON g.type = x.type AND g.version = x.type_version AND g.stage = x.stage
				WHERE x.type IS NOT NULL AND x.customer = t.customer AND x.opened_at < t.opened_at AND x.opened_at >= t.opened_at - make_interval(days => b.repeat_days)
					AND x.project OPERATOR(%2$I.=) t.project AND x.part_of IS NULL AND x.merged_into IS NULL AND g.ends IS DISTINCT FROM 'cancelled'
					AND x.ticket_id IS DISTINCT FROM t.part_of AND x.ticket_id IS DISTINCT FROM t.follows
			) AS v ON true
			CROSS JOIN LATERAL (SELECT sum(l.lasted) AS handling FROM %1$I.ticket_timeline AS l WHERE l.ticket_id = t.ticket_id AND l.of_ticket = t.ticket_id AND l.event_id > gone.event_id AND l.work) AS w
			WHERE t.type IS NOT NULL AND t.merged_into IS NULL;
		COMMENT ON VIEW %1$I.ticket_figure IS 'one row a ticket that has a type and is not merged into another one: what its journal comes to, and how that compares with what is usual; conditions of <book>.special_rule read it';
	$tables$, book, settle._ltree_schema());
	FOR column_name, says IN VALUES
		('ticket_id', 'the ticket'), ('type', 'its type'), ('stage', 'stage in which it stands'), ('project', 'its project'), ('region', 'its region'), ('channel', 'its channel'),
		('customer', 'its customer, a code'), ('level', 'its level'), ('worker', 'who has it'), ('opened_at', 'when it was opened'), ('done_at', 'when it was done; null: not yet, or withheld'),
		('currency', 'its currency, that of the book unless it names one'), ('amount', 'what it amounts to'), ('cost', 'what it costs'),
		('moves', 'how many moves were made'), ('assignments', 'how often somebody was given it'), ('reopened', 'how often it left a stage that is ready or an end for one that is neither'),
		('rescheduled', 'how often a date or time of its form that had a value was given another one'),
		('visits', 'days, in book time, on which somebody checked in who was not away'),
		('visits_before', 'tickets of the same customer and project that were opened in the repeat_days before it: not cancelled, no parts, not merged, not the one that it follows or is part of'),
		('made', 'by move, how often it was made'), ('changed', 'by field, how often a value was replaced by another one'),
		('response', 'from opening to the first move; null before it'), ('handling', 'time in stages that count as work; null: none'), ('duration', 'from opening until it was done or ended, or until now'),
		('amount_norm', 'median amount of its project; null where there is no norm'), ('amount_ratio', 'amount as a multiple of that, to two places'),
		('cost_norm', 'median cost of its project; null where there is no norm'), ('cost_ratio', 'cost as a multiple of that, to two places'),
		('duration_norm', 'median duration of its type; null where there is no norm'), ('duration_ratio', 'duration as a multiple of that, to two places')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.ticket_figure.%I IS %L', book, column_name, says);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._create_figure_tables(name) IS 'makes the queue of changed tickets, the norms and the view of what journals come to';

-- Medians are of the values there are, the lower one of two: nothing is between two amounts that nobody paid.
CREATE FUNCTION settle.reckon_norms(book regnamespace) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.reckon_norms(regnamespace) IS 'reckons what is usual in projects and for types anew, as settle.tick does once a day; returns how many norms there are';

CREATE FUNCTION settle._reckon_norms(book regnamespace) RETURNS bigint
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	norms bigint;
BEGIN
	EXECUTE format('UPDATE %s.norm_mark SET reckoned_at = now()', book);
	EXECUTE format('DELETE FROM %s.project_norm', book);
	EXECUTE format('DELETE FROM %s.type_norm', book);
	EXECUTE format($sql$
		WITH done AS (
			SELECT t.project, coalesce(t.currency, b.currency) AS currency, t.type, t.amount, t.cost, greatest(t.done_at - t.opened_at, interval '0') AS duration, b.norm_tickets
			FROM %1$s.ticket AS t CROSS JOIN %1$s.book AS b
			WHERE t.type IS NOT NULL AND t.done_at > now() - make_interval(days => b.norm_days) AND t.done_at <= now()
		), of_projects AS (
			INSERT INTO %1$s.project_norm (project, currency, tickets, amount, cost)
			SELECT d.project, d.currency, count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY d.amount), percentile_disc(0.5) WITHIN GROUP (ORDER BY d.cost)
			FROM done AS d GROUP BY d.project, d.currency, d.norm_tickets HAVING count(*) >= d.norm_tickets
			RETURNING tickets
		), of_types AS (
			INSERT INTO %1$s.type_norm (type, tickets, duration)
			SELECT d.type, count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY d.duration)
			FROM done AS d GROUP BY d.type, d.norm_tickets HAVING count(*) >= d.norm_tickets
			RETURNING tickets
		)
		SELECT (SELECT count(*) FROM of_projects) + (SELECT count(*) FROM of_types)
	$sql$, book) INTO norms;
	RETURN norms;
END
$function$;
COMMENT ON FUNCTION settle._reckon_norms(regnamespace) IS 'body of settle.reckon_norms';
REVOKE ALL ON FUNCTION settle._reckon_norms(regnamespace) FROM PUBLIC;
