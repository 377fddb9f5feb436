-- period: the roster, what parties earned in a period, closing and opening again

CREATE FUNCTION settle.part(parts jsonb, component text) RETURNS numeric AS 'MODULE_PATHNAME', 'settle_part' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.part(jsonb, text) IS 'one number of an object of numbers, 0 where it is not there: settle.part(earned, ''install'') in a rule of the source period';

-- ---- tables ----

CREATE FUNCTION settle._create_period_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	ops name := (SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'btree_gist');
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.roster (
			party text NOT NULL CHECK (party <> ''),
			team text CHECK (team <> ''),
			valid daterange NOT NULL DEFAULT '(,)' CHECK (NOT isempty(valid)),
			CONSTRAINT party_is_in_one_team_at_a_time EXCLUDE USING gist (party %2$I.gist_text_ops WITH =, valid WITH &&)
		);
		COMMENT ON TABLE %1$I.roster IS 'whose periods are settled by rules of the source period: parties, the team that each is in, and the days for which that holds';

		CREATE TABLE %1$I.party_period (
			party text NOT NULL,
			period date NOT NULL,
			ready_at timestamptz,
			period_at timestamptz NOT NULL,
			period_end date NOT NULL,
			days integer NOT NULL,
			days_in_force integer NOT NULL,
			team text,
			team_size integer NOT NULL,
			earned jsonb NOT NULL,
			base jsonb NOT NULL,
			tickets jsonb NOT NULL,
			team_earned jsonb NOT NULL,
			team_base jsonb NOT NULL,
			team_tickets jsonb NOT NULL,
			carried jsonb NOT NULL,
			brought numeric NOT NULL,
			PRIMARY KEY (period, party)
		);
		COMMENT ON TABLE %1$I.party_period IS 'the source period: one row a party on the roster and period, written when the period closes and again where a later close finds that late tickets changed it';
		COMMENT ON COLUMN %1$I.party_period.party IS 'party on the roster';
		COMMENT ON COLUMN %1$I.party_period.period IS 'first day of the period';
		COMMENT ON COLUMN %1$I.party_period.ready_at IS 'when the period was closed first; null before, and no rule prices the row then';
		COMMENT ON COLUMN %1$I.party_period.period_at IS 'last instant of the period, in book time: the versions of rules in force then price it';
		COMMENT ON COLUMN %1$I.party_period.period_end IS 'day after the last of the period';
		COMMENT ON COLUMN %1$I.party_period.days IS 'days of the period';
		COMMENT ON COLUMN %1$I.party_period.days_in_force IS 'days of the period on which the party is on the roster';
		COMMENT ON COLUMN %1$I.party_period.team IS 'team of the party on the last of those days, null for none';
		COMMENT ON COLUMN %1$I.party_period.team_size IS 'parties of the team in the period; 0 without a team';
		COMMENT ON COLUMN %1$I.party_period.earned IS 'by component, what the party received less what it gave for tickets of the period, in the currency of the book; lines of the source period do not count';
		COMMENT ON COLUMN %1$I.party_period.base IS 'by component, the bases of those lines in any unit, less those of lines that the party pays';
		COMMENT ON COLUMN %1$I.party_period.tickets IS 'by component, the tickets of the period that give the party a line with a base or an amount; one that two rules of the component pay counts twice';
		COMMENT ON COLUMN %1$I.party_period.team_earned IS 'earned, summed over the team';
		COMMENT ON COLUMN %1$I.party_period.team_base IS 'base, summed over the team';
		COMMENT ON COLUMN %1$I.party_period.team_tickets IS 'tickets, summed over the team: one of two members counts twice';
		COMMENT ON COLUMN %1$I.party_period.carried IS 'by component, what rules of the source period gave the party less what they took for all earlier periods, in the currency of the book: a draw that is not recovered yet';
		COMMENT ON COLUMN %1$I.party_period.brought IS 'what the statement before it leaves: a negative balance, what is in dispute; in the currency of the book';
	$tables$, book, ops);
	PERFORM settle._journal(book, 'roster', '{party,valid}');
	EXECUTE format('CREATE TRIGGER journal AFTER UPDATE OF deferred_at ON %I.problem FOR EACH ROW WHEN (OLD.deferred_at IS DISTINCT FROM NEW.deferred_at) EXECUTE FUNCTION settle.journal(''{source,ticket_key}'', ''{}'')', book);
END
$function$;
COMMENT ON FUNCTION settle._create_period_tables(name) IS 'makes the tables of a book that closing its periods needs';

-- ---- the roster ----

CREATE FUNCTION settle.add_to_roster(book regnamespace, party text, team text DEFAULT NULL, valid daterange DEFAULT '(,)')
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.add_to_roster(regnamespace, text, text, daterange) IS 'puts a party on the roster, in a team or none, for a range of days: it has a row in the source period from then on';
CREATE FUNCTION settle._add_to_roster(book regnamespace, party text, team text, valid daterange) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format('INSERT INTO %s.roster (party, team, valid) VALUES ($1, $2, $3)', book) USING party, team, valid;
END
$function$;
COMMENT ON FUNCTION settle._add_to_roster(regnamespace, text, text, daterange) IS 'body of settle.add_to_roster';
REVOKE ALL ON FUNCTION settle._add_to_roster(regnamespace, text, text, daterange) FROM PUBLIC;

CREATE FUNCTION settle.leave_roster(book regnamespace, party text, at date)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.leave_roster(regnamespace, text, date) IS 'ends what the roster says of a party: the day is the first on which it is not on it any more';
CREATE FUNCTION settle._leave_roster(book regnamespace, party text, at date) RETURNS void
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	changed bigint;
BEGIN
	EXECUTE format('UPDATE %s.roster SET valid = daterange(lower(valid), $2) WHERE party = $1 AND valid @> $2 AND lower(valid) IS DISTINCT FROM $2', book)
		USING party, at;
	GET DIAGNOSTICS changed = ROW_COUNT;
	IF changed = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('party "%s" is not on the roster before and on %s', party, at);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._leave_roster(regnamespace, text, date) IS 'body of settle.leave_roster';
REVOKE ALL ON FUNCTION settle._leave_roster(regnamespace, text, date) FROM PUBLIC;

-- ---- the rows of the source period ----

-- These are sets against sets, of tables that may have been filled in this very
-- transaction.  Without statistics a nested loop looks cheap, and is quadratic;
-- so it is taken only where nothing else will do, for what a row is unpacked to.

CREATE FUNCTION settle._period_transfers(
	book regnamespace, periods date[], posted_until date,
	OUT period date, OUT party_id integer, OUT rule_id integer, OUT currency text, OUT amount numeric, OUT base numeric, OUT tickets bigint
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_period_transfers' LANGUAGE C STABLE STRICT ROWS 20000;
COMMENT ON FUNCTION settle._period_transfers(regnamespace, date[], date) IS
	'what each rule gave parties of the roster, less what it took, for tickets of some periods, as far as it is posted in periods up to another';

CREATE FUNCTION settle._period_sums(book regnamespace, periods date[], posted_until date)
	RETURNS TABLE (period date, party text, component text, earned numeric, base numeric, tickets bigint)
	LANGUAGE plpgsql STABLE STRICT ROWS 20000
	SET search_path = pg_catalog, pg_temp
	SET enable_nestloop = off
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		SELECT t.period, p.party, r.component,
			coalesce(sum(t.amount) FILTER (WHERE coalesce(r.unit, t.currency) = b.currency), 0), sum(t.base), sum(t.tickets)::bigint
		FROM settle._period_transfers($1, $2, $3) AS t
		JOIN %1$s.party AS p ON p.party_id = t.party_id
		JOIN %1$s.rule AS r ON r.rule_id = t.rule_id AND r.source <> 'period'
		CROSS JOIN %1$s.book AS b
		GROUP BY t.period, p.party, r.component$sql$, book)
	USING book, periods, posted_until;
END
$function$;
COMMENT ON FUNCTION settle._period_sums(regnamespace, date[], date) IS
	'what parties of the roster earned for tickets of some periods, by component, as far as it is posted in periods up to another';

CREATE FUNCTION settle._build_period(book regnamespace, period date, posted_until date, ready_at timestamptz) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_nestloop = off
AS $function$
BEGIN
	EXECUTE format($sql$
		WITH span AS (
			SELECT daterange($1, e.period_end) AS days, e.period_end, e.period_end::timestamp AT TIME ZONE e.time_zone - interval '1 microsecond' AS period_at
			FROM (SELECT b.time_zone, settle._period_after(b.period, $1) AS period_end FROM %1$s.book AS b) AS e
		), member AS (
			SELECT o.party, sum(upper(o.valid * span.days) - lower(o.valid * span.days)) AS days_in_force,
				(array_agg(o.team ORDER BY o.valid DESC))[1] AS team
			FROM %1$s.roster AS o JOIN span ON o.valid && span.days
			GROUP BY o.party
		), part AS MATERIALIZED (
			SELECT * FROM settle._period_sums($4, ARRAY[$1], $2)
		), own AS (
			SELECT s.party, jsonb_object_agg(s.component, s.earned) AS earned, jsonb_object_agg(s.component, s.base) AS base, jsonb_object_agg(s.component, s.tickets) AS tickets
			FROM part AS s GROUP BY s.party
		), team AS (
			SELECT s.team, jsonb_object_agg(s.component, s.earned) AS earned, jsonb_object_agg(s.component, s.base) AS base, jsonb_object_agg(s.component, s.tickets) AS tickets
			FROM (
				SELECT m.team, x.component, sum(x.earned) AS earned, sum(x.base) AS base, sum(x.tickets) AS tickets
				FROM member AS m JOIN part AS x ON x.party = m.party WHERE m.team IS NOT NULL GROUP BY m.team, x.component
			) AS s GROUP BY s.team
		), size AS (
			SELECT m.team, count(*) AS parties FROM member AS m GROUP BY m.team
		), brought AS (
			SELECT s.party, s.held + s.carried AS amount
			FROM %1$s.statement AS s JOIN %1$s.book AS b ON b.currency = s.unit
			WHERE s.period = (SELECT max(o.period) FROM %1$s.statement AS o WHERE o.period < $1)
		), gone AS (
			DELETE FROM %1$s.party_period AS p WHERE p.period = $1 AND p.party NOT IN (SELECT m.party FROM member AS m)
		)
		INSERT INTO %1$s.party_period AS p (party, period, ready_at, period_at, period_end, days, days_in_force, team, team_size,
			earned, base, tickets, team_earned, team_base, team_tickets, carried, brought)
		SELECT m.party, $1, $3, span.period_at, span.period_end, span.period_end - $1, m.days_in_force, m.team, coalesce(z.parties, 0),
			coalesce(o.earned, '{}'), coalesce(o.base, '{}'), coalesce(o.tickets, '{}'),
			coalesce(t.earned, '{}'), coalesce(t.base, '{}'), coalesce(t.tickets, '{}'), '{}', coalesce(r.amount, 0)
		FROM member AS m
		CROSS JOIN span
		LEFT JOIN own AS o ON o.party = m.party
		LEFT JOIN team AS t ON t.team = m.team
		LEFT JOIN size AS z ON z.team = m.team
		LEFT JOIN brought AS r ON r.party = m.party
		ON CONFLICT ON CONSTRAINT party_period_pkey DO UPDATE SET
			ready_at = coalesce(p.ready_at, excluded.ready_at), period_at = excluded.period_at, period_end = excluded.period_end, days = excluded.days,
			days_in_force = excluded.days_in_force, team = excluded.team, team_size = excluded.team_size,
			earned = excluded.earned, base = excluded.base, tickets = excluded.tickets,
			team_earned = excluded.team_earned, team_base = excluded.team_base, team_tickets = excluded.team_tickets, brought = excluded.brought
		WHERE (coalesce(p.ready_at, excluded.ready_at), excluded.days_in_force, excluded.team, excluded.team_size, excluded.earned, excluded.base, excluded.tickets,
			excluded.team_earned, excluded.team_base, excluded.team_tickets, excluded.brought)
			IS DISTINCT FROM (p.ready_at, p.days_in_force, p.team, p.team_size, p.earned, p.base, p.tickets,
			p.team_earned, p.team_base, p.team_tickets, p.brought)$sql$, book)
	USING period, posted_until, ready_at, book;
END
$function$;
COMMENT ON FUNCTION settle._build_period(regnamespace, date, date, timestamptz) IS
	'writes the rows of the source period for one period, where they differ from what stands: carried apart, from what is posted in periods up to another';

CREATE FUNCTION settle._carry_into(book regnamespace, period date, posted_until date) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_nestloop = off
AS $function$
BEGIN
	EXECUTE format($sql$
		WITH part AS (
			SELECT p.party, r.component, sum(side.sign * l.amount) AS amount
			FROM %1$s.source AS so
			JOIN %1$s.sheet AS s ON s.source_id IN (0, so.source_id)
			CROSS JOIN %1$s.book AS b
			CROSS JOIN LATERAL settle._unpack(s.lines) AS l
			JOIN %1$s.rule AS r ON r.rule_id = l.rule_id AND r.source = so.source AND coalesce(r.unit, s.currency) = b.currency
			CROSS JOIN LATERAL (VALUES (l.payee_id, 1), (l.payer_id, -1)) AS side(party_id, sign)
			JOIN %1$s.party AS p ON p.party_id = side.party_id
			WHERE so.source = 'period' AND s.period <= $2 AND coalesce(s.corrects_period, s.period) < $1 AND (s.source_id <> 0 OR l.retier)
				AND p.party IN (SELECT o.party FROM %1$s.party_period AS o WHERE o.period = $1)
			GROUP BY p.party, r.component
		), carried AS (
			SELECT o.party, coalesce(jsonb_object_agg(x.component, x.amount) FILTER (WHERE x.amount <> 0), '{}') AS amounts
			FROM %1$s.party_period AS o LEFT JOIN part AS x ON x.party = o.party WHERE o.period = $1 GROUP BY o.party
		)
		UPDATE %1$s.party_period AS p SET carried = c.amounts
		FROM carried AS c WHERE p.period = $1 AND p.party = c.party AND p.carried IS DISTINCT FROM c.amounts$sql$, book)
	USING period, posted_until;
END
$function$;
COMMENT ON FUNCTION settle._carry_into(regnamespace, date, date) IS 'writes into the rows of one period what rules of the source period gave for earlier ones';

CREATE FUNCTION settle.refresh_period(book regnamespace, period date)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.refresh_period(regnamespace, date) IS
	'writes the rows of the source period anew: to look at those of an open period, or to let a change of the roster reach into a closed one; the next run settles what changes';
CREATE FUNCTION settle._refresh_period(book regnamespace, period date) RETURNS void
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	closed_until date;
BEGIN
	PERFORM settle._shut_gate(book);
	PERFORM settle._check_period(book, period);
	closed_until := settle._closed_until(book);
	-- late tickets wait for the next close, as they did when the period closed
	PERFORM settle._build_period(book, period, greatest(period, closed_until), NULL);
	PERFORM settle._carry_into(book, period, greatest(period, closed_until));
END
$function$;
COMMENT ON FUNCTION settle._refresh_period(regnamespace, date) IS 'body of settle.refresh_period';
REVOKE ALL ON FUNCTION settle._refresh_period(regnamespace, date) FROM PUBLIC;

-- ---- closing ----

CREATE FUNCTION settle._closed_until(book regnamespace) RETURNS date
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	result date;
BEGIN
	EXECUTE format('SELECT max(p.period) FROM %s.period AS p WHERE p.state = ''closed''', book) INTO result;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION settle._closed_until(regnamespace) IS 'the last closed period of a book, null where none is closed';

CREATE FUNCTION settle._check_period(book regnamespace, period date) RETURNS void
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	kind text;
	start date;
BEGIN
	EXECUTE format('SELECT b.period, settle._period_start(b.period, $1::timestamp) FROM %s.book AS b', book) INTO kind, start USING period;
	IF start <> period THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('%s is not the first day of a %s', period, kind),
			HINT = format('The period that it falls in begins on %s.', start);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._check_period(regnamespace, date) IS 'raises 22023 where a day is not the first of a period';

CREATE FUNCTION settle._first_open(book regnamespace, otherwise date) RETURNS date
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	result date;
BEGIN
	-- the books begin with the first period that is closed, not after their oldest sheet
	EXECUTE format('SELECT coalesce((SELECT settle._period_after(b.period, settle._closed_until($1)) FROM %1$s.book AS b),
		least($2, (SELECT min(s.period) FROM %1$s.sheet AS s)))', book) INTO result USING book, otherwise;
	RETURN result;
END
$function$;
COMMENT ON FUNCTION settle._first_open(regnamespace, date) IS 'the period of a book that is to be closed next; where none is closed the one asked for, unless sheets stand before it';

CREATE FUNCTION settle._check_order(book regnamespace, period date) RETURNS void
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	first_open date := settle._first_open(book, period);
BEGIN
	IF period < first_open THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('period %s of book "%s" is closed already', period, book::text),
			HINT = 'settle.reopen_period opens the last closed period again.';
	ELSIF period > first_open THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('period %s of book "%s" cannot be closed before %s', period, book::text, first_open),
			HINT = 'Periods close in order.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._check_order(regnamespace, date) IS 'raises 55000 where a period is not the one to be closed next';

CREATE FUNCTION settle._settle_period(book regnamespace, period date) RETURNS void
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	touched date[];
	each_period date;
BEGIN
	EXECUTE format('INSERT INTO %s.period AS p (period, state, changed_by) VALUES ($1, ''closing'', $2)
		ON CONFLICT ON CONSTRAINT period_pkey DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at, changed_by = excluded.changed_by', book)
		USING period, settle.actor(book);
	PERFORM settle.run(book);
	EXECUTE format('SELECT array_agg(DISTINCT s.corrects_period) FROM %1$s.sheet AS s WHERE s.period = $1 AND s.corrects_period < $1', book)
		INTO touched USING period;
	-- one after the other: what the rules give for one period is carried into those after it
	FOR each_period IN EXECUTE format('SELECT p.period FROM %s.period AS p WHERE p.period BETWEEN $1 AND $2 ORDER BY 1', book)
		USING coalesce((SELECT min(t) FROM unnest(touched) AS t), period), period
	LOOP
		IF each_period = period OR each_period = ANY (touched) THEN
			PERFORM settle._note_progress('writing the period');
			PERFORM settle._build_period(book, each_period, period, now());
		END IF;
		PERFORM settle._carry_into(book, each_period, period);
		PERFORM settle.run(book);
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._settle_period(regnamespace, date) IS
	'settles what is pending, then the rows of the source period: of the period itself and of those before it that were corrected in it';

CREATE FUNCTION settle.period_obstacles(book regnamespace, period date, OUT kind text, OUT source text, OUT ticket_key text, OUT detail text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION settle.period_obstacles(regnamespace, date) IS
	'tickets that keep a period from closing: in problem and not deferred, unpaid and not excused, or held by the brake, of the period, an earlier one or an unknown one';
CREATE FUNCTION settle._period_obstacles(book regnamespace, period date, OUT kind text, OUT source text, OUT ticket_key text, OUT detail text)
	RETURNS SETOF record
	LANGUAGE plpgsql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		SELECT 'problem', p.source::text, p.ticket_key, p.message FROM %1$s.problem AS p
		WHERE p.deferred_at IS NULL AND coalesce(p.period, $1) <= $1
		UNION ALL
		SELECT 'unpaid', u.source::text, u.ticket_key, 'no rule gives it a line' FROM %1$s.unpaid AS u
		WHERE u.excused_at IS NULL AND u.period <= $1
		UNION ALL
		SELECT 'held', so.source::text, h.ticket_key, 'the brake holds its correction' FROM %1$s.held AS h JOIN %1$s.source AS so ON so.source_id = h.source_id
		WHERE EXISTS (SELECT FROM %1$s.sheet AS s WHERE s.source_id = h.source_id AND s.ticket_key = h.ticket_key AND coalesce(s.corrects_period, s.period) <= $1)
		ORDER BY 1, 2, 3$sql$, book)
	USING period;
END
$function$;
COMMENT ON FUNCTION settle._period_obstacles(regnamespace, date) IS 'body of settle.period_obstacles';

CREATE FUNCTION settle.defer(book regnamespace, source name, key text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.defer(regnamespace, name, text, text) IS
	'lets periods close though a ticket stands in problem, until something else is wrong with it; once it is settled it is a late ticket';
CREATE FUNCTION settle._defer(book regnamespace, source name, key text, reason text) RETURNS void
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	changed bigint;
BEGIN
	PERFORM settle._require_reason('deferring a ticket', reason);
	EXECUTE format('UPDATE %s.problem SET deferred_at = now(), deferred_by = $4, reason = $3 WHERE source = $1 AND ticket_key = $2', book)
		USING source, key, reason, settle.actor(book);
	GET DIAGNOSTICS changed = ROW_COUNT;
	-- what is wrong with a row of the source period is found while its period closes, and goes with a close that is refused
	IF changed = 0 AND source = 'period' AND key ~ '^.+ [0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN
		EXECUTE format('INSERT INTO %s.problem (source, ticket_key, sqlstate, message, period, deferred_at, deferred_by, reason)
			SELECT $1, $2, $5, $6, right($2, 10)::date, now(), $4, $3 FROM %1$s.roster AS r WHERE $2 = r.party || '' '' || right($2, 10) LIMIT 1', book)
			USING source, key, reason, settle.actor(book), '00000', 'deferred before its period closes';
		GET DIAGNOSTICS changed = ROW_COUNT;
	END IF;
	IF changed = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('ticket "%s" of source "%s" is not in problem', key, source);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._defer(regnamespace, name, text, text) IS 'body of settle.defer';
REVOKE ALL ON FUNCTION settle._defer(regnamespace, name, text, text) FROM PUBLIC;

CREATE FUNCTION settle.close_period(book regnamespace, period date, reason text DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.close_period(regnamespace, date, text) IS
	'settles what is pending and the rows of the source period, and closes a period that has ended: what comes later for it is posted in the next one';
CREATE FUNCTION settle._close_period(book regnamespace, period date, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	ends timestamptz;
	zone text;
	list text;
	total bigint;
BEGIN
	IF period IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'period is null';
	END IF;
	PERFORM settle._shut_gate(book);
	PERFORM settle._begin_progress(book, 'close_period');
	PERFORM settle._check_period(book, period);
	PERFORM settle._check_order(book, period);
	EXECUTE format('SELECT settle._period_after(b.period, $1)::timestamp AT TIME ZONE b.time_zone, b.time_zone FROM %s.book AS b', book) INTO ends, zone USING period;
	IF now() < ends THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('period %s of book "%s" has not ended', period, book::text),
			DETAIL = format('It ends at %s, %s.', ends AT TIME ZONE zone, zone);
	END IF;

	PERFORM settle._settle_period(book, period);
	-- a run may have brought sheets of before the books began
	PERFORM settle._check_order(book, period);
	SELECT count(*), string_agg(o.line, E'\n' ORDER BY o.at) FILTER (WHERE o.at <= 10) INTO total, list
	FROM (SELECT row_number() OVER () AS at, format('%s: ticket "%s" of source "%s": %s', x.kind, x.ticket_key, x.source, x.detail) AS line
		FROM settle._period_obstacles(book, period) AS x) AS o;
	IF total > 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('period %s of book "%s" cannot be closed: %s %s in its way', period, book::text, total, CASE total WHEN 1 THEN 'ticket stands' ELSE 'tickets stand' END),
			DETAIL = list || CASE WHEN total > 10 THEN format(E'\nand %s more.', total - 10) ELSE '' END,
			HINT = 'After settle.run, settle.period_obstacles lists them all. Mend them, or put them off: settle.defer for a problem, settle.excuse for a ticket that nobody pays; settle.release lets a held correction go.';
	END IF;

	EXECUTE format('UPDATE %s.period SET state = ''closed'', changed_at = clock_timestamp(), reason = $2 WHERE period = $1', book) USING period, reason;
	PERFORM settle._note_progress('making statements');
	PERFORM settle._make_statements(book, period);
	PERFORM settle._end_progress();
END
$function$;
COMMENT ON FUNCTION settle._close_period(regnamespace, date, text) IS 'body of settle.close_period';
REVOKE ALL ON FUNCTION settle._close_period(regnamespace, date, text) FROM PUBLIC;

CREATE FUNCTION settle.reopen_period(book regnamespace, period date, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_admin' LANGUAGE C;
COMMENT ON FUNCTION settle.reopen_period(regnamespace, date, text) IS 'opens the last closed period again; <book>.change says who did and why';
CREATE FUNCTION settle._reopen_period(book regnamespace, period date, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	closed_until date;
	paid bigint;
BEGIN
	IF period IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'period is null';
	END IF;
	PERFORM settle._require_reason('opening a period again', reason);
	PERFORM settle._shut_gate(book);
	closed_until := settle._closed_until(book);
	IF closed_until IS DISTINCT FROM period THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('period %s of book "%s" is not the last closed one', period, book::text),
			DETAIL = CASE WHEN closed_until IS NULL THEN 'No period is closed.' ELSE format('The last closed one is %s.', closed_until) END,
			HINT = 'Periods are opened again from the last one back.';
	END IF;
	paid := settle._paid_statements(book, period);
	IF paid > 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('period %s of book "%s" has %s', period, book::text, CASE paid WHEN 1 THEN 'a statement that is paid' ELSE format('%s statements that are paid', paid) END),
			HINT = 'Correct the tickets: what changes is posted in the next period.';
	END IF;
	EXECUTE format('UPDATE %s.period SET state = ''open'', changed_at = clock_timestamp(), changed_by = $3, reason = $2 WHERE period = $1', book)
		USING period, reason, settle.actor(book);
END
$function$;
COMMENT ON FUNCTION settle._reopen_period(regnamespace, date, text) IS 'body of settle.reopen_period';
REVOKE ALL ON FUNCTION settle._reopen_period(regnamespace, date, text) FROM PUBLIC;

CREATE FUNCTION settle.preview_period(book regnamespace, period date, OUT party text, OUT component text, OUT amount numeric, OUT unit text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_as_reader' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.preview_period(regnamespace, date) IS
	'what the rules of the source period would give each party if the period, and those before it that are open, were closed now; writes nothing';
CREATE FUNCTION settle._preview_period(book regnamespace, period date, OUT party text, OUT component text, OUT amount numeric, OUT unit text)
	RETURNS SETOF record
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	parties text[];
	components text[];
	amounts numeric[];
	units text[];
	each_period date;
BEGIN
	PERFORM settle._check_period(book, period);
	-- as closing does it, in a block that is rolled back; its lock of the gate goes with it
	BEGIN
		PERFORM settle._shut_gate(book);
		each_period := settle._first_open(book, period);
		IF period < each_period THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('period %s of book "%s" is closed already', period, book::text),
				HINT = format('What it gave stands in %s.statement_detail and %s.line_detail.', book, book);
		END IF;
		WHILE each_period < period LOOP
			PERFORM settle._settle_period(book, each_period);
			EXECUTE format('UPDATE %s.period SET state = ''closed'' WHERE period = $1', book) USING each_period;
			each_period := settle._next_period(book, each_period);
		END LOOP;
		PERFORM settle._settle_period(book, period);
		EXECUTE format($sql$
			SELECT array_agg(t.party), array_agg(t.component), array_agg(t.amount), array_agg(t.unit)
			FROM (
				SELECT p.party, r.component, coalesce(r.unit, s.currency) AS unit, sum(side.sign * l.amount) AS amount
				FROM %1$s.sheet AS s
				CROSS JOIN LATERAL settle._unpack(s.lines) AS l
				JOIN %1$s.rule AS r ON r.rule_id = l.rule_id AND r.source = 'period'
				CROSS JOIN LATERAL (VALUES (l.payee_id, 1), (l.payer_id, -1)) AS side(party_id, sign)
				JOIN %1$s.party AS p ON p.party_id = side.party_id
				WHERE s.period = $1
				GROUP BY p.party, r.component, coalesce(r.unit, s.currency)
				HAVING sum(side.sign * l.amount) <> 0
				ORDER BY p.party, r.component, 3
			) AS t$sql$, book)
		INTO parties, components, amounts, units USING period;
		RAISE EXCEPTION USING ERRCODE = 'ST000', MESSAGE = 'the preview is over';
	EXCEPTION
		WHEN SQLSTATE 'ST000' THEN NULL;
	END;
	RETURN QUERY SELECT u.* FROM unnest(parties, components, amounts, units) AS u(party, component, amount, unit);
END
$function$;
COMMENT ON FUNCTION settle._preview_period(regnamespace, date) IS 'body of settle.preview_period';
REVOKE ALL ON FUNCTION settle._preview_period(regnamespace, date) FROM PUBLIC;
