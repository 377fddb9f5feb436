-- settle: runs, corrections, explanations

CREATE FUNCTION settle._shut_gate(book regnamespace) RETURNS void AS 'MODULE_PATHNAME', 'settle_shut_gate' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._shut_gate(regnamespace) IS 'locks the gate of a book as a run does; it must be the whole of a statement';

CREATE FUNCTION settle._pass_gate(book regnamespace) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format('LOCK TABLE %1$s.gate IN ROW EXCLUSIVE MODE', book);
END
$function$;
COMMENT ON FUNCTION settle._pass_gate(regnamespace) IS 'passes the gate of the book beside others; waits for runs and for a period that is being closed or opened';

CREATE FUNCTION settle.run(
	book regnamespace, max_tickets bigint DEFAULT NULL,
	OUT tickets bigint, OUT lines bigint, OUT amount numeric, OUT corrections bigint, OUT held bigint, OUT problems bigint, OUT unpaid bigint
) AS 'MODULE_PATHNAME', 'settle_run' LANGUAGE C;
COMMENT ON FUNCTION settle.run(regnamespace, bigint) IS
	'settles what is pending, at most max_tickets changes, in this transaction; amount is the sum of its lines in the currency of the book';

CREATE FUNCTION settle._run_aloud(
	book regnamespace, max_tickets bigint, every bigint,
	OUT tickets bigint, OUT lines bigint, OUT amount numeric, OUT corrections bigint, OUT held bigint, OUT problems bigint, OUT unpaid bigint
) AS 'MODULE_PATHNAME', 'settle_run' LANGUAGE C;
COMMENT ON FUNCTION settle._run_aloud(regnamespace, bigint, bigint) IS 'as settle.run, and tells its client every so many milliseconds how far it is';

CREATE PROCEDURE settle.run_all(book regnamespace, max_tickets bigint DEFAULT NULL, notice_every interval DEFAULT '5 seconds')
	LANGUAGE plpgsql
AS $procedure$
DECLARE
	done record;
	total bigint := 0::bigint;
	told timestamptz := pg_catalog.clock_timestamp();
BEGIN
	LOOP
		-- until the transaction ends, in whatever way
		RAISE DEBUG 'application_name is "%"', pg_catalog.set_config('application_name', pg_catalog.format('scrm_settle: run_all %s, %s tickets', run_all.book, total), true);
		done := settle._run_aloud(run_all.book, run_all.max_tickets, (1000 OPERATOR(pg_catalog.*) extract(epoch FROM run_all.notice_every))::bigint);
		EXIT WHEN NOT settle._has_pending(run_all.book);
		total := total OPERATOR(pg_catalog.+) done.tickets;
		IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) (told OPERATOR(pg_catalog.+) notice_every) THEN
			RAISE NOTICE '% tickets settled', total;
			told := pg_catalog.clock_timestamp();
		END IF;
		COMMIT;
	END LOOP;
END
$procedure$;
COMMENT ON PROCEDURE settle.run_all(regnamespace, bigint, interval) IS
	'settles until nothing is pending, with a commit after each run, and says every notice_every (null: never) how far it is; max_tickets cuts a backlog into runs of at most so many changes';

CREATE FUNCTION settle._has_pending(book regnamespace) RETURNS boolean AS 'MODULE_PATHNAME', 'settle_has_pending' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._has_pending(regnamespace) IS 'whether tickets are pending';

CREATE FUNCTION settle.rescan(book regnamespace, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, source name DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_rescan' LANGUAGE C;
COMMENT ON FUNCTION settle.rescan(regnamespace, timestamptz, timestamptz, name) IS
	'queues the tickets of a time span, all without bounds, for the next run: those from before the source was added, and those that vanished';

CREATE FUNCTION settle.explain(
	book regnamespace, source name, key text,
	OUT step integer, OUT kind text, OUT name text, OUT payer text, OUT payee text,
	OUT base numeric, OUT factor numeric, OUT amount numeric, OUT unit text, OUT detail text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_explain' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.explain(regnamespace, name, text) IS
	'the steps that give the lines of one ticket: mapped values, decisions, rules that applied or were beaten, tiers, tallies';

CREATE FUNCTION settle.explain(
	book regnamespace, ticket_key text,
	OUT step integer, OUT kind text, OUT name text, OUT payer text, OUT payee text,
	OUT base numeric, OUT factor numeric, OUT amount numeric, OUT unit text, OUT detail text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_explain_key' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.explain(regnamespace, text) IS
	'the steps that give the lines of one ticket, of the source "ticket" or of the only one that has the key';

CREATE FUNCTION settle._bench_evaluate(book regnamespace, source name)
	RETURNS bigint AS 'MODULE_PATHNAME', 'settle_bench_evaluate' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._bench_evaluate(regnamespace, name) IS 'reads, matches and prices every ticket of a source without writing, for benchmarks; returns the number of lines';
REVOKE ALL ON FUNCTION settle._bench_evaluate(regnamespace, name) FROM PUBLIC;

CREATE FUNCTION settle.excuse(book regnamespace, source name, key text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.excuse(regnamespace, name, text, text) IS 'says of a ready ticket that no rule is to pay it; the reason stands in <book>.unpaid';
CREATE FUNCTION settle._excuse(book regnamespace, source name, key text, reason text) RETURNS void
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	changed bigint;
BEGIN
	EXECUTE format('UPDATE %s.unpaid SET excused_by = $4, excused_at = now(), reason = $3 WHERE source = $1 AND ticket_key = $2', book)
		USING source, key, reason, settle.actor(book);
	GET DIAGNOSTICS changed = ROW_COUNT;
	IF changed = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('ticket "%s" of source "%s" is not unpaid', key, source);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._excuse(regnamespace, name, text, text) IS 'body of settle.excuse';
REVOKE ALL ON FUNCTION settle._excuse(regnamespace, name, text, text) FROM PUBLIC;
