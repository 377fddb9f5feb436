-- board: how many tickets stand where, how old they are and how many are late

CREATE FUNCTION settle._create_board_view(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	-- the last assignment is the one that none follows: said so it can be hashed, ORDER BY and LIMIT for each ticket take several times as long
	EXECUTE format($view$
		CREATE VIEW %1$I.board AS
			SELECT t.type, t.stage, t.region::text AS region, g.team,
				count(*) AS count, min(t.opened_at) AS oldest, count(*) FILTER (WHERE d.is_late) AS late, min(d.next_due) AS next_due
			FROM %1$I.ticket AS t
			JOIN %1$I.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage AND NOT s.ready AND s.ends IS NULL
			LEFT JOIN (
				SELECT c.ticket_id, bool_or(c.due_at < now()) AS is_late, min(c.due_at) FILTER (WHERE c.due_at >= now()) AS next_due
				FROM %1$I.ticket_due AS c WHERE c.state = 'running' GROUP BY c.ticket_id
			) AS d ON d.ticket_id = t.ticket_id
			LEFT JOIN %1$I.assignment_wait AS w ON w.ticket_id = t.ticket_id AND t.worker IS NULL
			LEFT JOIN %1$I.assignment AS l ON l.ticket_id = t.ticket_id AND l.staff = t.worker
				AND NOT EXISTS (SELECT FROM %1$I.assignment AS n WHERE n.ticket_id = l.ticket_id AND n.assignment_id > l.assignment_id)
			CROSS JOIN LATERAL (SELECT coalesce(l.team, w.team) AS team) AS g
			WHERE t.type IS NOT NULL AND t.done_at IS NULL AND t.merged_into IS NULL AND t.opened_at <= now()
			GROUP BY t.type, t.stage, t.region, g.team;
		COMMENT ON VIEW %1$I.board IS 'open tickets, one row a type, stage, region and team: those in a stage that is neither ready nor an end, not merged into another one, and opened by now';
		COMMENT ON COLUMN %1$I.board.type IS 'type of the tickets, whichever versions they were opened under';
		COMMENT ON COLUMN %1$I.board.stage IS 'stage in which they stand';
		COMMENT ON COLUMN %1$I.board.region IS 'region that they name, without those below it';
		COMMENT ON COLUMN %1$I.board.team IS 'team that gave them to who has them, or for which they wait; null: given by hand, or to nobody by no team yet';
		COMMENT ON COLUMN %1$I.board.count IS 'how many they are';
		COMMENT ON COLUMN %1$I.board.oldest IS 'when the first of them was opened';
		COMMENT ON COLUMN %1$I.board.late IS 'how many of them have a deadline that runs and is past, each once';
		COMMENT ON COLUMN %1$I.board.next_due IS 'the first deadline of them that is still to come; null: none runs, or all are past';
	$view$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_board_view(name) IS 'makes the view of open tickets by type, stage, region and team of a book';
