-- What both sides of a settlement must agree on, and what they cost.

-- Lines as one value: their sums by ticket, and a hash of these.  The commission,
-- which a ticket's lines divide by the order in which a worker's tickets arrive,
-- is taken by its tallies, which that order does not change.  "lines" is a
-- relation shaped like bench.line; of its lines those of the tickets of a table
-- are taken, whose workers have no other tickets.
CREATE FUNCTION bench.digest(lines text, tickets regclass) RETURNS text
LANGUAGE plpgsql
SET work_mem = '1GB'
AS $$
DECLARE
	digest text;
BEGIN
	EXECUTE format($digest$
		WITH line AS (
			SELECT CASE WHEN l.component NOT LIKE 'commission%%' THEN l.ticket_id END AS ticket_id, l.period,
				split_part(l.component, '.', 1) AS component, l.rule_code, l.payer, l.payee, trim_scale(sum(l.base)) AS base, trim_scale(sum(l.amount)) AS amount
			FROM %s AS l
			WHERE %s
			GROUP BY 1, 2, 3, 4, 5, 6
			HAVING sum(l.amount) <> 0
		)
		SELECT concat_ws(' ', count(*), sum(amount), sum(hash_record_extended(line, 0)::numeric)) FROM line
		$digest$, lines, CASE WHEN tickets = 'bench.ticket'::regclass THEN 'true' ELSE format(
			$sample$CASE WHEN l.component LIKE 'commission%%' THEN l.payee IN (SELECT 'staff:' || worker FROM %1$s) ELSE l.ticket_id IN (SELECT id FROM %1$s) END$sample$, tickets) END)
	INTO digest;
	RETURN digest;
END
$$;

-- Keeps the lines that a book has for the tickets of a table, as bench.settled.
CREATE PROCEDURE bench.keep_lines(book text, tickets regclass)
LANGUAGE plpgsql
AS $$
BEGIN
	DROP TABLE IF EXISTS bench.settled;
	EXECUTE format($keep$
		CREATE TABLE bench.settled AS
		SELECT CASE l.source WHEN 'visit' THEN l.ticket_key::bigint END AS ticket_id, l.period::date AS period, l.component, l.rule_code, l.payer, l.payee,
			l.base::numeric AS base, l.factor::numeric AS factor, l.amount::numeric(18, 2) AS amount
		FROM %I.line_detail AS l %s$keep$, book, CASE WHEN tickets <> 'bench.ticket'::regclass THEN format(
			$sample$WHERE l.source = 'visit' AND l.ticket_key IN (SELECT id::text FROM %1$s) OR l.source = 'tally' AND l.payee IN (SELECT 'staff:' || worker FROM %1$s)$sample$, tickets) END);
END
$$;

-- Seconds, or whatever else is measured, of one side of some work in one round.
CREATE TABLE bench.figure (work text, side text, round int, seconds numeric, PRIMARY KEY (work, side, round));

-- A figure with about three digits.
CREATE FUNCTION bench.figure_text(figure numeric) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN round(figure, CASE WHEN figure >= 100 THEN 0 WHEN figure >= 10 THEN 1 WHEN figure >= 0.1 THEN 2 ELSE 4 END)::text;
