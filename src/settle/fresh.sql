-- fresh: runs of tickets that settled at their commit, until the tick absorbs them

/*
 * Whoever settles at commit writes one row for all that a run leaves beside its
 * sheets: its record, its place in the queue of the seals and in that of the
 * totals.  The table inherits from the three, so whoever reads one of them sees
 * it there; whoever takes from one takes from it ONLY, and absorbs first.  What
 * parties got is not written at all: views sum it up from the sheets.
 */
CREATE FUNCTION settle._create_fresh_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.fresh_run () INHERITS (%1$I.run, %1$I.unsealed, %1$I.unfolded);
		COMMENT ON TABLE %1$I.fresh_run IS 'runs of tickets that settled at their commit, not absorbed yet: a row is the record of the run and waits to be sealed and folded. Keep it free of indexes: each commit appends to it';
		CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON %1$I.fresh_run FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change();

		CREATE VIEW %1$I.fresh_delta AS
			SELECT x.party_id, s.period, coalesce((SELECT r.unit FROM %1$I.rule AS r WHERE r.rule_id = l.rule_id), s.currency) AS unit, s.run_id, sum(x.received) AS received, sum(x.given) AS given, array_agg(DISTINCT s.sheet_id) AS sheets
			FROM %2$s AS s
			CROSS JOIN LATERAL settle._unpack(s.lines) AS l
			CROSS JOIN LATERAL (VALUES (l.payee_id, l.amount, 0::numeric), (l.payer_id, 0::numeric, l.amount)) AS x (party_id, received, given)
			GROUP BY 1, 2, 3, 4;
		COMMENT ON VIEW %1$I.fresh_delta IS 'the rows that fresh runs will have in party_delta';

		CREATE VIEW %1$I.party_sum AS
			SELECT d.party_id, d.period, d.unit, d.run_id, d.received, d.given, d.sheets FROM %1$I.party_delta AS d
			UNION ALL
			SELECT f.party_id, f.period, f.unit, f.run_id, f.received, f.given, f.sheets FROM %1$I.fresh_delta AS f;
		COMMENT ON VIEW %1$I.party_sum IS 'what each run gave to and took from a party, and in which sheets: party_delta and what is not absorbed yet';
		COMMENT ON COLUMN %1$I.fresh_delta.party_id IS 'number of the party';
		COMMENT ON COLUMN %1$I.fresh_delta.received IS 'what lines give to the party';
		COMMENT ON COLUMN %1$I.fresh_delta.given IS 'what lines take from it';
		COMMENT ON COLUMN %1$I.fresh_delta.sheets IS 'numbers of the sheets that have those lines';
		COMMENT ON COLUMN %1$I.party_sum.party_id IS 'number of the party';
		COMMENT ON COLUMN %1$I.party_sum.received IS 'what lines give to the party';
		COMMENT ON COLUMN %1$I.party_sum.given IS 'what lines take from it';
		COMMENT ON COLUMN %1$I.party_sum.sheets IS 'numbers of the sheets that have those lines; null for a party that is on most of the run';
	$tables$, book, settle._rows_of_runs(quote_ident(book), 'sheet', format('unnest(ARRAY(SELECT f FROM %I.fresh_run AS f))', book)));
END
$function$;
COMMENT ON FUNCTION settle._create_fresh_tables(name) IS 'makes the queue of runs that settled at commit, and the views of what they gave to parties';

-- One statement, which reads what fresh runs gave as it was before it: what leaves the queue is what others get.
CREATE FUNCTION settle._absorb(book regnamespace) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET jit = off
	SET work_mem = '64MB'
AS $function$
DECLARE
	absorbed bigint;
BEGIN
	EXECUTE format($sql$
		WITH taken AS (
			DELETE FROM %1$s.fresh_run RETURNING *
		), recorded AS (
			INSERT INTO %1$s.run (run_id, started_at, finished_at, settled_on, digest, actor, tickets, lines, amount, corrections, held, problems, unpaid, counted, input_names)
			SELECT
				t.run_id, t.started_at, t.finished_at, t.settled_on, t.digest, t.actor, t.tickets, t.lines, t.amount, t.corrections, t.held, t.problems, t.unpaid,
				t.counted, t.input_names
			FROM taken AS t ORDER BY t.run_id
		), to_seal AS (
			INSERT INTO %1$s.unsealed (run_id) SELECT t.run_id FROM taken AS t
		), to_fold AS (
			INSERT INTO %1$s.unfolded (run_id, first_sheet, last_sheet) SELECT t.run_id, t.first_sheet, t.last_sheet FROM taken AS t
		), summed AS (
			INSERT INTO %1$s.party_delta (party_id, period, unit, run_id, received, given, sheets)
			SELECT d.party_id, d.period, d.unit, d.run_id, d.received, d.given, d.sheets
			FROM %1$s.fresh_delta AS d WHERE d.run_id IN (SELECT t.run_id FROM taken AS t)
		)
		SELECT count(*) FROM taken
	$sql$, book) INTO absorbed;
	RETURN absorbed;
END
$function$;
COMMENT ON FUNCTION settle._absorb(regnamespace) IS 'turns fresh runs into what runs leave: their record, their place in the queues and the sums of parties; returns how many';
