-- statement: what each party gets for a period, from closed periods to money out

/*
 * A statement belongs to a party, a period and a unit.  It is made when the
 * period closes, of the lines that name the party, and says
 *
 *	brought_forward + earned + corrections + withheld = payable + held + carried
 *
 * What is payable stays due under this statement until it is paid; the rest, what
 * is held for disputes and what is carried because it is negative or less than a
 * minor unit, is brought forward by the next one.  A line stands in the
 * statement of the first period, from its own on, that is closed.
 */
CREATE FUNCTION settle._create_statement_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	table_name text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.statement (
			party text NOT NULL REFERENCES %1$I.party (party),
			period date NOT NULL,
			unit text NOT NULL,
			state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'submitted', 'approved', 'paid', 'disputed', 'rejected')),
			brought_forward numeric NOT NULL,
			earned numeric NOT NULL,
			corrections numeric NOT NULL,
			withheld numeric NOT NULL,
			held numeric NOT NULL CHECK (held >= 0),
			payable numeric NOT NULL CHECK (payable >= 0),
			carried numeric NOT NULL,
			paid numeric NOT NULL DEFAULT 0 CHECK (paid = 0 OR paid = payable),
			content bytea,
			submitted_by text,
			submitted_at timestamptz,
			made_at timestamptz NOT NULL DEFAULT now(),
			PRIMARY KEY (period, party, unit),
			CONSTRAINT statement_adds_up CHECK (brought_forward + earned + corrections + withheld = payable + held + carried)
		);
		COMMENT ON TABLE %1$I.statement IS 'what one party gets for one period in one unit; what is not payable is brought forward by the next one';
		COMMENT ON COLUMN %1$I.statement.party IS 'whoever gets it, an outside or a tax party';
		COMMENT ON COLUMN %1$I.statement.period IS 'first day of the period';
		COMMENT ON COLUMN %1$I.statement.unit IS 'currency, or a unit such as POINTS';
		COMMENT ON COLUMN %1$I.statement.state IS 'draft, submitted, approved, paid, disputed or rejected; statement_move says what may follow';
		COMMENT ON COLUMN %1$I.statement.brought_forward IS 'held and carried of the statement before it';
		COMMENT ON COLUMN %1$I.statement.earned IS 'received less given in lines of the period';
		COMMENT ON COLUMN %1$I.statement.corrections IS 'received less given in lines that correct an earlier period';
		COMMENT ON COLUMN %1$I.statement.withheld IS 'given to tax parties, negative';
		COMMENT ON COLUMN %1$I.statement.held IS 'of lines in dispute';
		COMMENT ON COLUMN %1$I.statement.payable IS 'what is due under this statement, in whole minor units, never negative';
		COMMENT ON COLUMN %1$I.statement.carried IS 'what the next one takes over beside held: a negative balance, or less than a minor unit';
		COMMENT ON COLUMN %1$I.statement.paid IS 'payable once it is paid, else 0';
		COMMENT ON COLUMN %1$I.statement.content IS 'sha256 of what was submitted';
		COMMENT ON COLUMN %1$I.statement.submitted_by IS 'who submitted it last';
		COMMENT ON COLUMN %1$I.statement.submitted_at IS 'and when';
		COMMENT ON COLUMN %1$I.statement.made_at IS 'when the period was closed, for the last time';

		CREATE TABLE %1$I.statement_item (
			party text NOT NULL,
			period date NOT NULL,
			unit text NOT NULL,
			kind text NOT NULL CHECK (kind IN ('earned', 'correction', 'withheld')),
			component text NOT NULL,
			corrects_period date,
			tickets bigint NOT NULL,
			amount numeric NOT NULL,
			CONSTRAINT statement_item_once UNIQUE NULLS NOT DISTINCT (period, party, unit, kind, component, corrects_period)
		);
		COMMENT ON TABLE %1$I.statement_item IS 'what a statement consists of: one row a kind, component and corrected period';
		COMMENT ON COLUMN %1$I.statement_item.party IS 'party of the statement';
		COMMENT ON COLUMN %1$I.statement_item.period IS 'period of the statement';
		COMMENT ON COLUMN %1$I.statement_item.unit IS 'unit of the statement';
		COMMENT ON COLUMN %1$I.statement_item.kind IS 'earned, correction of an earlier period, or withheld for a tax party';
		COMMENT ON COLUMN %1$I.statement_item.component IS 'component of the lines, with .retier for what a tally owes beyond its tickets, .fx for what corrections gain or lose by rates';
		COMMENT ON COLUMN %1$I.statement_item.corrects_period IS 'period that a correction corrects';
		COMMENT ON COLUMN %1$I.statement_item.tickets IS 'tickets whose lines it sums';
		COMMENT ON COLUMN %1$I.statement_item.amount IS 'received less given by the party';

		CREATE TABLE %1$I.statement_move (
			from_state text NOT NULL,
			action text NOT NULL,
			to_state text NOT NULL,
			PRIMARY KEY (from_state, action)
		);
		COMMENT ON TABLE %1$I.statement_move IS 'what may be done with a statement in a state, and where it leads; the functions obey it';
		INSERT INTO %1$I.statement_move VALUES
			('draft', 'submit', 'submitted'), ('rejected', 'submit', 'submitted'),
			('submitted', 'approve', 'approved'),
			('submitted', 'reject', 'rejected'), ('approved', 'reject', 'rejected'),
			('draft', 'dispute', 'disputed'), ('submitted', 'dispute', 'disputed'), ('approved', 'dispute', 'disputed'), ('rejected', 'dispute', 'disputed'),
			('disputed', 'resolve', 'draft'),
			('submitted', 'change', 'draft'), ('approved', 'change', 'draft'), ('rejected', 'change', 'draft'),
			('approved', 'pay', 'paid');

		CREATE TABLE %1$I.statement_log (
			log_id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			party text NOT NULL,
			period date NOT NULL,
			unit text NOT NULL,
			action text NOT NULL,
			from_state text NOT NULL,
			to_state text NOT NULL,
			payable numeric NOT NULL,
			actor text NOT NULL,
			reason text,
			at timestamptz NOT NULL DEFAULT now()
		);
		CREATE INDEX statement_log_statement ON %1$I.statement_log (period, party, unit);
		COMMENT ON TABLE %1$I.statement_log IS 'every move of a statement: who, when, why, and what was payable then; append-only';

		CREATE TABLE %1$I.approval_node (
			node smallint PRIMARY KEY,
			title text NOT NULL,
			above numeric NOT NULL DEFAULT 0,
			unit text,
			approvers text[],
			not_submitter boolean NOT NULL DEFAULT true
		);
		COMMENT ON TABLE %1$I.approval_node IS 'the approvals that a statement needs, in order of node';
		COMMENT ON COLUMN %1$I.approval_node.above IS 'a statement whose payable reaches this amount needs the approval';
		COMMENT ON COLUMN %1$I.approval_node.unit IS 'unit of the statements that it is for; null: all';
		COMMENT ON COLUMN %1$I.approval_node.approvers IS 'roles, or parties that a delegate acts for, who may approve here; null: whoever has the level approver';
		COMMENT ON COLUMN %1$I.approval_node.not_submitter IS 'whether it takes another than who submitted the statement';
		INSERT INTO %1$I.approval_node (node, title) VALUES (1, 'approval');

		CREATE TABLE %1$I.approval (
			approval_id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			party text NOT NULL,
			period date NOT NULL,
			unit text NOT NULL,
			node smallint NOT NULL,
			amount numeric NOT NULL,
			content bytea NOT NULL,
			actor text NOT NULL,
			reason text,
			approved_at timestamptz NOT NULL DEFAULT now(),
			voided_at timestamptz,
			voided_because text
		);
		CREATE UNIQUE INDEX approval_once ON %1$I.approval (period, party, unit, node) WHERE voided_at IS NULL;
		CREATE UNIQUE INDEX approval_of_one_person_once ON %1$I.approval (period, party, unit, actor) WHERE voided_at IS NULL;
		COMMENT ON TABLE %1$I.approval IS 'approvals of statements: digest and amount of what was approved; voided, and kept, when the statement changes';

		CREATE TABLE %1$I.dispute (
			dispute_id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			party text NOT NULL,
			period date NOT NULL,
			unit text NOT NULL,
			source name,
			ticket_key text,
			component text,
			amount numeric NOT NULL CHECK (amount >= 0),
			reason text NOT NULL,
			opened_by text NOT NULL,
			opened_at timestamptz NOT NULL DEFAULT now(),
			outcome text CHECK (outcome IN ('upheld', 'dismissed')),
			resolved_by text,
			resolved_at timestamptz,
			resolution text,
			held_until date
		);
		CREATE INDEX dispute_statement ON %1$I.dispute (party, unit, period);
		COMMENT ON TABLE %1$I.dispute IS 'disputes of statements and what each holds; without a ticket it holds all that was payable';
		COMMENT ON COLUMN %1$I.dispute.period IS 'period of the disputed statement; this and the following ones hold the amount';
		COMMENT ON COLUMN %1$I.dispute.held_until IS 'last period whose statement holds the amount; null until the dispute is resolved';

		CREATE TABLE %1$I.payment (
			party text NOT NULL,
			period date NOT NULL,
			unit text NOT NULL,
			reference text NOT NULL,
			amount numeric NOT NULL CHECK (amount > 0),
			paid_at timestamptz NOT NULL,
			actor text NOT NULL,
			reason text,
			noted_at timestamptz NOT NULL DEFAULT now(),
			PRIMARY KEY (period, party, unit)
		);
		CREATE INDEX payment_reference ON %1$I.payment (reference);
		COMMENT ON TABLE %1$I.payment IS 'payments of statements, one each; append-only';
	$tables$, book);
	FOREACH table_name IN ARRAY ARRAY['statement_log', 'payment'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book, table_name);
	END LOOP;
	FOREACH table_name IN ARRAY ARRAY['statement', 'approval', 'dispute'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book, table_name);
	END LOOP;
	PERFORM settle._journal(book, 'statement_move', '{from_state,action}');
	PERFORM settle._journal(book, 'approval_node', '{node}');
END
$function$;
COMMENT ON FUNCTION settle._create_statement_tables(name) IS 'makes the tables of statements, approvals, disputes and payments of a book';

-- what each side of a line adds to its party; one ticket may have several
CREATE FUNCTION settle._party_lines(book regnamespace, during daterange, party text DEFAULT NULL) RETURNS TABLE (
	party_id integer, unit text, kind text, component text, corrects_period date,
	source_id smallint, ticket_key text, sheet_id bigint, line integer, amount numeric
)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	sheets bigint[];
BEGIN
	-- the sheets of one party are known without reading all, but for those of a party that is on most
	IF party IS NOT NULL THEN
		EXECUTE format($sql$
			WITH mine AS (
				SELECT d.run_id, d.sheets FROM %1$s.party AS p JOIN %1$s.party_sum AS d ON d.party_id = p.party_id
				WHERE p.party = $1 AND d.period <@ $2
			)
			SELECT coalesce(array_agg(x.sheet_id), '{}') FROM (
				SELECT unnest(m.sheets) AS sheet_id FROM mine AS m
				UNION
				SELECT s.sheet_id FROM %1$s.sheet AS s WHERE s.run_id IN (SELECT m.run_id FROM mine AS m WHERE m.sheets IS NULL)
			) AS x
		$sql$, book) INTO sheets USING party, during;
	END IF;
	RETURN QUERY EXECUTE format($sql$
		SELECT
			me.party_id,
			coalesce(r.unit, sh.currency),
			CASE
				WHEN sh.corrects_period IS NOT NULL THEN 'correction'
				WHEN me.party_id = l.payer_id AND other.side = 'tax' THEN 'withheld'
				ELSE 'earned'
			END,
			r.component || CASE WHEN l.retier THEN '.retier' WHEN sh.source_id = 0 THEN '.fx' ELSE '' END,
			sh.corrects_period, sh.source_id, sh.ticket_key, sh.sheet_id, l.line,
			CASE WHEN me.party_id = l.payee_id THEN l.amount ELSE -l.amount END
		FROM %1$s.sheet AS sh
		CROSS JOIN LATERAL settle._unpack(sh.lines) AS l
		JOIN %1$s.rule AS r ON r.rule_id = l.rule_id
		CROSS JOIN LATERAL (VALUES (l.payee_id, l.payer_id), (l.payer_id, l.payee_id)) AS sides (party_id, other_id)
		JOIN %1$s.party AS me ON me.party_id = sides.party_id AND me.side IN ('outside', 'tax')
		JOIN %1$s.party AS other ON other.party_id = sides.other_id
		WHERE sh.period <@ $1 AND l.payer_id <> l.payee_id%2$s
	$sql$, book, CASE WHEN party IS NOT NULL THEN ' AND me.party = $2 AND sh.sheet_id = ANY ($3)' END) USING during, party, sheets;
END
$function$;
COMMENT ON FUNCTION settle._party_lines(regnamespace, daterange, text) IS 'the lines of outside and tax parties, or of one of them, in some periods';

CREATE FUNCTION settle._statement_range(book regnamespace, period date) RETURNS daterange
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	before date;
BEGIN
	EXECUTE format('SELECT max(p.period) FROM %1$s.period AS p WHERE p.state = $2 AND p.period < $1', book) INTO before USING period, 'closed';
	RETURN daterange(before, period, '(]');
END
$function$;
COMMENT ON FUNCTION settle._statement_range(regnamespace, date) IS 'the periods whose lines stand in the statements of a period: its own, and those since the one that was closed before it';

CREATE FUNCTION settle._statement_content(book regnamespace, period date, party text DEFAULT NULL) RETURNS TABLE (statement_party text, unit text, content bytea)
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		SELECT s.party, s.unit, sha256(convert_to(jsonb_build_array(
			s.party, s.period, s.unit,
			trim_scale(s.brought_forward), trim_scale(s.earned), trim_scale(s.corrections), trim_scale(s.withheld),
			trim_scale(s.held), trim_scale(s.payable), trim_scale(s.carried),
			(SELECT jsonb_agg(jsonb_build_array(i.kind, i.component, i.corrects_period, i.tickets, trim_scale(i.amount))
					ORDER BY i.kind COLLATE "C", i.component COLLATE "C", i.corrects_period)
				FROM %1$s.statement_item AS i WHERE i.period = s.period AND i.party = s.party AND i.unit = s.unit)
		)::text, 'UTF8'))
		FROM %1$s.statement AS s
		WHERE s.period = $1 AND ($2 IS NULL OR s.party = $2)
	$sql$, book) USING period, party;
END
$function$;
COMMENT ON FUNCTION settle._statement_content(regnamespace, date, text) IS 'sha256 of each statement of a period as it stands, items included';

CREATE FUNCTION settle._content_now(book regnamespace, party text, period date, unit text) RETURNS bytea
	LANGUAGE sql
	STABLE
	BEGIN ATOMIC
		SELECT c.content FROM settle._statement_content(book, period, party) AS c WHERE c.unit OPERATOR(pg_catalog.=) _content_now.unit;
	END;
COMMENT ON FUNCTION settle._content_now(regnamespace, text, date, text) IS 'sha256 of one statement as it stands';

CREATE FUNCTION settle._require_content(book regnamespace, party text, period date, unit text, content bytea) RETURNS void
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF content IS DISTINCT FROM settle._content_now(book, party, period, unit) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('the statement of "%s" for %s in %s is not what was submitted', party, period, unit),
			DETAIL = 'Its digest is another one: somebody has changed it in its table.',
			HINT = 'settle.check says where the statement and its lines differ.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._require_content(regnamespace, text, date, text, bytea) IS 'raises 55000 where a statement is no longer what was submitted';

CREATE FUNCTION settle._paid_statements(book regnamespace, period date) RETURNS bigint
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	found_statements bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM %1$s.statement AS s WHERE s.period = $1 AND s.state = $2', book) INTO found_statements USING period, 'paid';
	RETURN found_statements;
END
$function$;
COMMENT ON FUNCTION settle._paid_statements(regnamespace, date) IS 'number of statements of a period that are paid';

/*
 * Runs under the gate that closing a period holds.  A period that was opened
 * again is made anew: what was submitted or approved and is another now goes
 * back to draft, and what is paid stays paid, the difference being carried.
 * Statements of later periods, which are open again too, are made anew after it.
 */
CREATE FUNCTION settle._make_statements(book regnamespace, period date) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	closed_until date := settle._closed_until(book);
BEGIN
	IF period < closed_until THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('statements of %s cannot be made any more', period),
			DETAIL = format('Those of %s bring forward what they carry.', closed_until);
	END IF;

	EXECUTE format('DELETE FROM %1$s.statement_item AS i WHERE i.period = $1', book) USING period;
	EXECUTE format($sql$
		INSERT INTO %1$s.statement_item (party, period, unit, kind, component, corrects_period, tickets, amount)
		SELECT p.party, $1, i.unit, i.kind, i.component, i.corrects_period, i.tickets, i.amount
		FROM (
			SELECT t.party_id, t.unit, t.kind, t.component, t.corrects_period, count(*) FILTER (WHERE t.source_id <> 0) AS tickets, sum(t.amount) AS amount
			FROM (
				SELECT l.party_id, l.unit, l.kind, l.component, l.corrects_period, l.source_id, l.ticket_key, sum(l.amount) AS amount
				FROM settle._party_lines($2, settle._statement_range($2, $1)) AS l
				GROUP BY l.party_id, l.unit, l.kind, l.component, l.corrects_period, l.source_id, l.ticket_key
			) AS t
			GROUP BY t.party_id, t.unit, t.kind, t.component, t.corrects_period
		) AS i
		JOIN %1$s.party AS p ON p.party_id = i.party_id
	$sql$, book) USING period, book;

	-- disputes that were resolved while the period was open again hold nothing of it; of the others the lines may be others now
	EXECUTE format('UPDATE %1$s.dispute AS d SET held_until = $1 - 1 WHERE d.held_until >= $1', book) USING period;
	EXECUTE format($sql$
		UPDATE %1$s.dispute AS d
		SET amount = CASE WHEN d.ticket_key IS NULL THEN 0 ELSE settle._disputed_amount($2, d.party, d.period, d.unit, d.source, d.ticket_key, d.component) END
		WHERE d.period = $1 AND d.held_until IS NULL
	$sql$, book) USING period, book;

	EXECUTE format($sql$
		INSERT INTO %1$s.statement AS s (party, period, unit, brought_forward, earned, corrections, withheld, held, payable, carried)
		SELECT t.party, $1, t.unit, t.brought_forward, t.earned, t.corrections, t.withheld, t.held, due.payable, t.total - t.held - due.payable
		FROM (
			SELECT
				x.party, x.unit,
				sum(x.brought_forward) AS brought_forward,
				coalesce(sum(x.amount) FILTER (WHERE x.kind = 'earned'), 0) AS earned,
				coalesce(sum(x.amount) FILTER (WHERE x.kind = 'correction'), 0) AS corrections,
				coalesce(sum(x.amount) FILTER (WHERE x.kind = 'withheld'), 0) AS withheld,
				sum(x.held) AS held,
				sum(x.brought_forward + x.amount) AS total
			FROM (
				SELECT i.party, i.unit, i.kind, i.amount, 0 AS brought_forward, 0 AS held
				FROM %1$s.statement_item AS i WHERE i.period = $1
				UNION ALL
				SELECT b.party, b.unit, NULL, 0, b.held + b.carried, 0
				FROM %1$s.statement AS b
				WHERE b.period = (SELECT max(y.period) FROM %1$s.statement AS y WHERE y.period < $1) AND b.held + b.carried <> 0
				UNION ALL
				SELECT d.party, d.unit, NULL, 0, 0, d.amount
				FROM %1$s.dispute AS d WHERE d.period <= $1 AND (d.held_until IS NULL OR d.held_until >= $1)
				UNION ALL
				SELECT o.party, o.unit, NULL, 0, 0, 0
				FROM %1$s.statement AS o WHERE o.period = $1
			) AS x
			GROUP BY x.party, x.unit
		) AS t
		CROSS JOIN LATERAL (SELECT greatest(0, trunc(t.total - t.held, settle._minor_units(t.unit))) AS payable) AS due
		ON CONFLICT ON CONSTRAINT statement_pkey DO UPDATE SET
			brought_forward = excluded.brought_forward, earned = excluded.earned, corrections = excluded.corrections, withheld = excluded.withheld,
			held = excluded.held, made_at = excluded.made_at,
			payable = CASE WHEN s.state = 'paid' THEN s.payable ELSE excluded.payable END,
			carried = excluded.carried + CASE WHEN s.state = 'paid' THEN excluded.payable - s.payable ELSE 0 END
	$sql$, book) USING period;
	EXECUTE format($sql$
		WITH whole AS (
			UPDATE %1$s.dispute AS d SET amount = s.payable
			FROM %1$s.statement AS s
			WHERE d.period = $1 AND d.ticket_key IS NULL AND d.held_until IS NULL AND s.period = d.period AND s.party = d.party AND s.unit = d.unit
			RETURNING d.party, d.unit
		)
		UPDATE %1$s.statement AS s SET held = s.held + s.payable, payable = 0
		FROM whole AS w WHERE s.period = $1 AND s.party = w.party AND s.unit = w.unit
	$sql$, book) USING period;
	PERFORM settle._void_changed(book, period, NULL, 'the period was closed anew');
	PERFORM settle.audit_differences(book);
END
$function$;
COMMENT ON FUNCTION settle._make_statements(regnamespace, date) IS 'makes the statements of a period that is being closed, the last step of settle.close_period';
