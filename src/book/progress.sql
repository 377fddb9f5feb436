-- progress: how far long operations are

CREATE FUNCTION settle._begin_progress(book regnamespace, operation text) RETURNS void AS 'MODULE_PATHNAME', 'settle_begin_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._begin_progress(regnamespace, text) IS 'shows an operation in settle.stat_progress() until _end_progress or the end of the transaction';

CREATE FUNCTION settle._note_progress(phase text) RETURNS void AS 'MODULE_PATHNAME', 'settle_note_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._note_progress(text) IS 'shows what the operation is at';

CREATE FUNCTION settle._end_progress() RETURNS void AS 'MODULE_PATHNAME', 'settle_end_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._end_progress() IS 'takes the operation out of settle.stat_progress()';

CREATE FUNCTION settle._progress(
	OUT book text, OUT pid integer, OUT operation text, OUT phase text, OUT done bigint, OUT total bigint, OUT started_at timestamptz, OUT since timestamptz
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._progress() IS 'what sessions of this database are at in books that the caller may use; since is the beginning of what done and total are of';

CREATE FUNCTION settle.stat_progress() RETURNS TABLE (
	book text, pid integer, operation text, phase text, done bigint, total bigint, rate numeric, expected_end timestamptz, started_at timestamptz
)
	LANGUAGE sql
	BEGIN ATOMIC
		SELECT
			p.book, p.pid, p.operation, p.phase, p.done, p.total, pg_catalog.round(r.rate, 1),
			CASE WHEN p.total OPERATOR(pg_catalog.>=) p.done AND r.rate OPERATOR(pg_catalog.>) 0
				THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => ((p.total OPERATOR(pg_catalog.-) p.done)::pg_catalog.numeric OPERATOR(pg_catalog./) r.rate)::pg_catalog.float8) END,
			p.started_at
		FROM settle._progress() AS p
		CROSS JOIN LATERAL (
			SELECT p.done::pg_catalog.numeric OPERATOR(pg_catalog./) greatest(extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.since), 0.001) AS rate
		) AS r;
	END;
COMMENT ON FUNCTION settle.stat_progress() IS
	'one row a session that is at a long operation in a book of this database whose schema the caller may use: how far it is, how fast, and when it may be done';
