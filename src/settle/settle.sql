-- settle: runs, corrections, captures, explanations, checks

CREATE FUNCTION settle.capture() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_capture' LANGUAGE C;
COMMENT ON FUNCTION settle.capture() IS 'row trigger on a source: notes which tickets changed; made by settle.add_source';

CREATE FUNCTION settle.settle_at_commit() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_at_commit' LANGUAGE C;
COMMENT ON FUNCTION settle.settle_at_commit() IS 'deferred trigger on a source: settles the tickets that the transaction changed; made by settle.add_source';

CREATE FUNCTION settle.run(
	book regnamespace, max_tickets bigint DEFAULT NULL,
	OUT tickets bigint, OUT lines bigint, OUT amount numeric, OUT corrections bigint, OUT held bigint, OUT problems bigint, OUT unpaid bigint
) AS 'MODULE_PATHNAME', 'settle_run' LANGUAGE C;
COMMENT ON FUNCTION settle.run(regnamespace, bigint) IS
	'settles what is pending, at most max_tickets changes, in this transaction; amount is the sum of its lines in the currency of the book';

CREATE PROCEDURE settle.run_all(book regnamespace, max_tickets bigint DEFAULT NULL)
	LANGUAGE plpgsql
AS $procedure$
DECLARE
	done record;
	total bigint := 0::bigint;
BEGIN
	LOOP
		done := settle.run(run_all.book, run_all.max_tickets);
		EXIT WHEN NOT settle._has_pending(run_all.book);
		total := total OPERATOR(pg_catalog.+) done.tickets;
		RAISE NOTICE '% tickets settled', total;
		COMMIT;
	END LOOP;
END
$procedure$;
COMMENT ON PROCEDURE settle.run_all(regnamespace, bigint) IS 'settles until nothing is pending, with a commit after each run; max_tickets cuts a backlog into runs of at most so many changes';

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

CREATE FUNCTION settle.check(book regnamespace, OUT invariant text, OUT object text, OUT detail text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_check' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.check(regnamespace) IS 'one row for each place where an invariant of the book does not hold; no row when all is well';

CREATE FUNCTION settle._tally_fee(tiers settle.tiers[], counts bigint[], quantities numeric[], weighted numeric[], rounding text, unit text)
	RETURNS numeric AS 'MODULE_PATHNAME', 'settle_tally_fee_sql' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle._tally_fee(settle.tiers[], bigint[], numeric[], numeric[], text, text) IS
	'what a tally owes, from its state for each version of its rule in order';

CREATE FUNCTION settle._bench_evaluate(book regnamespace, source name)
	RETURNS bigint AS 'MODULE_PATHNAME', 'settle_bench_evaluate' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._bench_evaluate(regnamespace, name) IS 'reads, matches and prices every ticket of a source without writing, for benchmarks; returns the number of lines';
REVOKE ALL ON FUNCTION settle._bench_evaluate(regnamespace, name) FROM PUBLIC;

CREATE FUNCTION settle.excuse(book regnamespace, source name, key text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_excuse' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.excuse(regnamespace, name, text, text) IS 'says of a ready ticket that no rule is to pay it; the reason stands in <book>.unpaid';
