-- progress: how far long operations are

CREATE FUNCTION settle._begin_progress(book regnamespace, operation text) RETURNS void AS 'MODULE_PATHNAME', 'settle_begin_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._begin_progress(regnamespace, text) IS 'shows an operation in settle.stat_progress until _end_progress or the end of the transaction';

CREATE FUNCTION settle._note_progress(phase text) RETURNS void AS 'MODULE_PATHNAME', 'settle_note_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._note_progress(text) IS 'shows what the operation is at';

CREATE FUNCTION settle._end_progress() RETURNS void AS 'MODULE_PATHNAME', 'settle_end_progress' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._end_progress() IS 'takes the operation out of settle.stat_progress';

CREATE FUNCTION settle._progress(
	OUT book text, OUT pid integer, OUT operation text, OUT phase text, OUT done bigint, OUT total bigint, OUT started_at timestamptz, OUT since timestamptz
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_progress' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION settle._progress() IS 'what sessions of this database are at in books that the caller may use';

CREATE VIEW settle.stat_progress AS
	SELECT
		p.book, p.pid, p.operation, p.phase, p.done, p.total,
		r.rate::pg_catalog.numeric(18,1) AS rate,
		CASE WHEN p.total OPERATOR(pg_catalog.>=) p.done AND r.rate OPERATOR(pg_catalog.>) 0
			THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => ((p.total OPERATOR(pg_catalog.-) p.done)::pg_catalog.numeric OPERATOR(pg_catalog./) r.rate)::pg_catalog.float8) END AS expected_end,
		p.started_at
	FROM settle._progress() AS p
	CROSS JOIN LATERAL (
		SELECT p.done::pg_catalog.numeric OPERATOR(pg_catalog./) greatest(extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.since), 0.001) AS rate
	) AS r;
GRANT SELECT ON settle.stat_progress TO PUBLIC;
COMMENT ON VIEW settle.stat_progress IS 'one row a session that is at a long operation in a book of this database whose schema the reader may use';
COMMENT ON COLUMN settle.stat_progress.book IS 'name of the book';
COMMENT ON COLUMN settle.stat_progress.pid IS 'process of the session, as in pg_stat_activity';
COMMENT ON COLUMN settle.stat_progress.operation IS 'run, close_period, ingest or seal';
COMMENT ON COLUMN settle.stat_progress.phase IS 'what it is at';
COMMENT ON COLUMN settle.stat_progress.done IS 'tickets of a run, payloads of an ingest, sheets of a seal so far; of a close, of the run that is under way';
COMMENT ON COLUMN settle.stat_progress.total IS 'how many there are, as far as that is known before; null: it is not';
COMMENT ON COLUMN settle.stat_progress.rate IS 'done a second';
COMMENT ON COLUMN settle.stat_progress.expected_end IS 'when all is done at that rate; null where that cannot be said';
COMMENT ON COLUMN settle.stat_progress.started_at IS 'when the operation began';
