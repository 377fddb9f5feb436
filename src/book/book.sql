-- book: a schema of ordinary tables in which one operation is settled

CREATE FUNCTION settle.note_rule_change() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_note_rule_change' LANGUAGE C;
COMMENT ON FUNCTION settle.note_rule_change() IS 'statement trigger on the rule tables of a book: refuses rules that do not compile and gives the rules a new revision';

CREATE FUNCTION settle.refuse_change() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_refuse_change' LANGUAGE C;
COMMENT ON FUNCTION settle.refuse_change() IS 'statement trigger on append-only tables of a book';

CREATE FUNCTION settle.keep_used_rule() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_keep_used_rule' LANGUAGE C;
COMMENT ON FUNCTION settle.keep_used_rule() IS 'row trigger on the rules of a book: refuses to remove or change a version that has settled tickets';

CREATE FUNCTION settle.side_of(party text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE
		WHEN party OPERATOR(pg_catalog.=) 'hq' OR pg_catalog.starts_with(party, 'hq:') THEN 'own'
		WHEN party OPERATOR(pg_catalog.=) 'escrow' OR pg_catalog.starts_with(party, 'escrow:') THEN 'transit'
		WHEN party OPERATOR(pg_catalog.=) 'customer' OR pg_catalog.starts_with(party, 'customer:') THEN 'customer'
		WHEN party OPERATOR(pg_catalog.=) 'tax' OR pg_catalog.starts_with(party, 'tax:') THEN 'tax'
		ELSE 'outside'
	END;
COMMENT ON FUNCTION settle.side_of(text) IS 'side that a new party is given: own (hq), transit (escrow), customer, tax, else outside';

CREATE FUNCTION settle._ltree_schema() RETURNS name
	LANGUAGE sql STABLE PARALLEL SAFE
	BEGIN ATOMIC
		SELECT n.nspname
		FROM pg_catalog.pg_extension AS e
		JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
		WHERE e.extname OPERATOR(pg_catalog.=) 'ltree';
	END;
COMMENT ON FUNCTION settle._ltree_schema() IS 'schema that the extension ltree stands in';

CREATE FUNCTION settle._minor_units(unit text) RETURNS integer AS 'MODULE_PATHNAME', 'settle_minor_units_sql' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle._minor_units(text) IS 'decimal places of the minor unit of a currency; 2 for what ISO 4217 does not list';

CREATE FUNCTION settle.create_book(
	book name,
	time_zone text DEFAULT 'Asia/Shanghai',
	currency text DEFAULT 'CNY',
	period text DEFAULT 'month',
	settle_on text DEFAULT 'schedule'
) RETURNS regnamespace
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	table_name text;
BEGIN
	IF book IS NULL OR time_zone IS NULL OR currency IS NULL OR period IS NULL OR settle_on IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a book needs a value for every parameter';
	END IF;
	IF EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = book) THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_schema',
			MESSAGE = format('schema "%s" exists already', book),
			HINT = 'A book is a schema of its own; choose another name.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = time_zone) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown time zone "%s"', time_zone),
			HINT = 'pg_timezone_names lists the names, for example Asia/Shanghai.';
	END IF;
	IF currency !~ '^[A-Z][A-Z0-9_]*$' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('"%s" is not a currency code', currency),
			HINT = 'Use the ISO 4217 code in capitals, for example CNY.';
	END IF;
	IF period NOT IN ('day', 'week', 'month', 'quarter', 'year') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown period "%s"', period),
			HINT = 'Known are day, week, month, quarter and year.';
	END IF;
	IF settle_on NOT IN ('schedule', 'commit') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown settle_on "%s"', settle_on),
			HINT = 'Known are schedule (settle.run takes what is pending) and commit (tickets are settled in their own transaction).';
	END IF;

	EXECUTE format('CREATE SCHEMA %I', book);
	EXECUTE format($book$
		COMMENT ON SCHEMA %1$I IS 'a book of scrm_settle';

		CREATE SEQUENCE %1$I.rule_revision;
		CREATE TABLE %1$I.book (
			singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
			time_zone text NOT NULL,
			currency text NOT NULL,
			period text NOT NULL,
			settle_on text NOT NULL,
			rule_revision bigint NOT NULL,
			keep_inputs boolean NOT NULL DEFAULT true,
			fx_party text CHECK (fx_party <> ''),
			max_correction integer DEFAULT 1000 CHECK (max_correction >= 0),
			created_at timestamptz NOT NULL DEFAULT now(),
			created_by name NOT NULL DEFAULT session_user,
			leg_share_limit numeric NOT NULL DEFAULT 0.30 CHECK (leg_share_limit BETWEEN 0 AND 1),
			leg_main_receiver text,
			leg_return_days integer NOT NULL DEFAULT 180 CHECK (leg_return_days >= 0),
			audit_percent numeric NOT NULL DEFAULT 5 CHECK (audit_percent >= 0),
			audit_periods integer NOT NULL DEFAULT 3 CHECK (audit_periods > 0),
			payout_platform text CHECK (payout_platform <> ''),
			outbox_attempts integer NOT NULL DEFAULT 12 CHECK (outbox_attempts > 0),
			outbox_backoff interval NOT NULL DEFAULT '30 seconds' CHECK (outbox_backoff > interval '0'),
			outbox_backoff_limit interval NOT NULL DEFAULT '1 hour' CHECK (outbox_backoff_limit > interval '0'),
			outbox_days integer NOT NULL DEFAULT 30 CHECK (outbox_days > 0),
			tick_interval interval NOT NULL DEFAULT '1 minute' CHECK (tick_interval > interval '0'),
			job_days integer NOT NULL DEFAULT 30 CHECK (job_days > 0),
			CONSTRAINT fx_needs_the_rates_that_were_used CHECK (fx_party IS NULL OR keep_inputs)
		);
		COMMENT ON TABLE %1$I.book IS 'settings of the book, one row; rule_revision is another number after every change of its rules; a backlog that would correct more than max_correction settled tickets, and more than 1 %% of them, has its corrections held (null: never)';
		COMMENT ON COLUMN %1$I.book.fx_party IS 'party that has what corrections gain or lose because the rate of the day on which they are posted is not that of the ticket; null: nobody asks';

		CREATE TABLE %1$I.access (
			role regrole NOT NULL,
			level text NOT NULL CHECK (level IN ('reader', 'clerk', 'approver', 'staff', 'connector', 'delegate', 'admin')),
			granted_at timestamptz NOT NULL DEFAULT now(),
			granted_by text NOT NULL,
			reason text,
			PRIMARY KEY (role, level)
		);
		COMMENT ON TABLE %1$I.access IS 'who may do what in the book beside its owner: every function of the book runs as the owner once the level of its caller is known';

		CREATE TABLE %1$I.period (
			period date PRIMARY KEY,
			state text NOT NULL CHECK (state IN ('open', 'closing', 'closed')),
			changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
			changed_by text NOT NULL,
			reason text
		);
		COMMENT ON TABLE %1$I.period IS 'periods that were closed, being closed or opened again, by their first day; changed_at is the moment itself, under the gate: what runs post after it stands in no closed period; every period after the last closed one is open, whether it has a row or not';

		CREATE TABLE %1$I.alert (
			alert_id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			kind text NOT NULL,
			object text NOT NULL,
			message text NOT NULL,
			raised_at timestamptz NOT NULL DEFAULT now(),
			settled_at timestamptz,
			settled_by text,
			reason text
		);
		CREATE UNIQUE INDEX alert_once ON %1$I.alert (kind, object) WHERE settled_at IS NULL;
		COMMENT ON TABLE %1$I.alert IS 'what somebody should look at; one open row for each kind and object';

		CREATE TABLE %1$I.gate ();
		COMMENT ON TABLE %1$I.gate IS 'locked by whoever posts: SHARE ROW EXCLUSIVE by a run, ROW EXCLUSIVE by tickets that settle at commit';

		CREATE TABLE %1$I.source (
			source_id smallint PRIMARY KEY,
			source name NOT NULL UNIQUE,
			relation regclass,
			key text, ready_at text, rules_at text, period_at text,
			project text, region text, revenue text, cost text, tax text, currency text,
			reverses text, order_ref text, rework_of text,
			on_delete text NOT NULL DEFAULT 'hold' CHECK (on_delete IN ('hold', 'reverse', 'ignore'))
		);
		COMMENT ON TABLE %1$I.source IS 'relations that the book settles, and the SQL expressions that read their rows as tickets; source 0 holds what tallies owe beyond their tickets';

		CREATE TABLE %1$I.choice (
			choice name PRIMARY KEY,
			policy text NOT NULL DEFAULT 'unique',
			pack text NOT NULL DEFAULT 'base',
			CONSTRAINT all_is_no_choice CHECK (choice <> 'all')
		);
		COMMENT ON TABLE %1$I.choice IS 'which of the rules that hit a ticket apply; a rule without a choice stands in one named as its component, with policy unique';

		CREATE TABLE %1$I.decision (
			decision name PRIMARY KEY,
			policy text NOT NULL DEFAULT 'first',
			returns text NOT NULL DEFAULT 'numeric',
			fallback jsonb,
			output_values jsonb,
			pack text NOT NULL DEFAULT 'base'
		);
		COMMENT ON TABLE %1$I.decision IS 'named values that depend on the ticket: regional coefficient, level, season, project';
		CREATE TABLE %1$I.outcome (
			outcome_id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			decision name NOT NULL REFERENCES %1$I.decision,
			applies_when text NOT NULL,
			outcome jsonb NOT NULL,
			priority integer NOT NULL DEFAULT 0,
			source name REFERENCES %1$I.source (source),
			pack text NOT NULL DEFAULT 'base',
			valid tstzrange NOT NULL DEFAULT '(,)',
			title text,
			CONSTRAINT valid_is_from_its_start_to_before_its_end CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid))
		);
		COMMENT ON TABLE %1$I.outcome IS 'outcomes of decisions, tried from the highest priority down, then in the order they were added';

		CREATE TABLE %1$I.rule (
			rule_id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			code text NOT NULL CHECK (code <> ''),
			component text NOT NULL CHECK (component <> ''),
			source name NOT NULL DEFAULT 'ticket' REFERENCES %1$I.source (source),
			payer text NOT NULL,
			payee text,
			payees text,
			base text,
			remainder boolean NOT NULL DEFAULT false,
			applies_when text NOT NULL DEFAULT 'true',
			tiers settle.tiers NOT NULL DEFAULT '100%%',
			factors text[] NOT NULL DEFAULT '{}',
			accumulate text,
			tally_by text,
			measure text,
			clock text NOT NULL DEFAULT 'ticket',
			share text NOT NULL DEFAULT 'fee',
			repeats text NOT NULL DEFAULT 'skip',
			at_least text,
			at_most text,
			rounding text NOT NULL DEFAULT 'half_up',
			unit text,
			choice text,
			priority integer NOT NULL DEFAULT 0,
			overrides text[] NOT NULL DEFAULT '{}',
			pack text NOT NULL DEFAULT 'base',
			valid tstzrange NOT NULL DEFAULT '(,)',
			title text,
			CONSTRAINT valid_is_from_its_start_to_before_its_end CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
			CONSTRAINT rule_versions_do_not_overlap EXCLUDE USING gist (code WITH =, pack WITH =, valid WITH &&)
		);
		COMMENT ON TABLE %1$I.rule IS 'versions of rules, each in force from the start of valid to before its end';

		CREATE TABLE %1$I.party (
			party_id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			party text NOT NULL UNIQUE,
			side text NOT NULL CHECK (side IN ('own', 'outside', 'customer', 'tax', 'transit')),
			title text,
			kind text NOT NULL GENERATED ALWAYS AS (split_part(party, ':', 1)) STORED,
			account text,
			entered_by text,
			entered_at timestamptz,
			confirmed_by text,
			confirmed_at timestamptz,
			CONSTRAINT confirmed_by_another CHECK (confirmed_by <> entered_by AND (confirmed_by IS NULL) = (confirmed_at IS NULL))
		);
		COMMENT ON TABLE %1$I.party IS 'whoever gives or gets; codes are surrogates, names stand elsewhere. One that a line named first accrues and is not paid until somebody confirms it; entered_by is who gave it its side and account';

		CREATE TABLE %1$I.ruleset_used (
			digest bytea PRIMARY KEY,
			ruleset settle.ruleset NOT NULL,
			first_used timestamptz NOT NULL DEFAULT now()
		);
		COMMENT ON TABLE %1$I.ruleset_used IS 'every ruleset that tickets were priced with, for ever';

		CREATE TABLE %1$I.run (
			run_id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			started_at timestamptz NOT NULL,
			finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
			settled_on text NOT NULL,
			digest bytea NOT NULL REFERENCES %1$I.ruleset_used,
			actor text NOT NULL DEFAULT settle.actor(%3$L),
			tickets bigint NOT NULL,
			lines bigint NOT NULL,
			amount numeric NOT NULL,
			corrections bigint NOT NULL,
			held bigint NOT NULL,
			problems bigint NOT NULL,
			unpaid bigint NOT NULL,
			counted bigint NOT NULL DEFAULT 0
		);
		COMMENT ON TABLE %1$I.run IS 'one execution: what settle.run did, or the tickets of one transaction settled at its commit';
		COMMENT ON COLUMN %1$I.run.counted IS 'corrections that count towards max_correction and go on counting, since the run left tickets pending; 0 where it left none';

		CREATE TABLE %1$I.sheet (
			sheet_id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
			source_id smallint NOT NULL,
			ticket_key text NOT NULL,
			revision integer NOT NULL,
			ticket_time timestamptz NOT NULL,
			period date NOT NULL,
			corrects_period date,
			project %2$I.ltree,
			region %2$I.ltree,
			currency text NOT NULL,
			revenue numeric NOT NULL,
			cost numeric NOT NULL,
			payout numeric NOT NULL,
			tickets smallint NOT NULL,
			lines settle.lines NOT NULL,
			run_id bigint NOT NULL,
			inputs json,
			UNIQUE (source_id, ticket_key, revision)
		) WITH (autovacuum_vacuum_insert_scale_factor = 0.02);
		CREATE INDEX sheet_period ON %1$I.sheet USING brin (period);
		COMMENT ON TABLE %1$I.sheet IS 'what a run decided for a ticket; append-only, a correction is a further revision that holds differences';

		CREATE TABLE %1$I.tally_state (
			rule_id integer NOT NULL REFERENCES %1$I.rule,
			owner_id integer NOT NULL REFERENCES %1$I.party,
			period date NOT NULL,
			unit text NOT NULL,
			payer_id integer NOT NULL REFERENCES %1$I.party,
			payee_id integer NOT NULL REFERENCES %1$I.party,
			count bigint NOT NULL,
			quantity numeric NOT NULL,
			weighted numeric NOT NULL,
			amount numeric NOT NULL,
			PRIMARY KEY (rule_id, owner_id, period, unit)
		) WITH (fillfactor = 70);
		COMMENT ON TABLE %1$I.tally_state IS 'state of each tally and rule version: tickets, what moves along the tiers, sum of factor times base, and the sum of its lines';

		CREATE TABLE %1$I.party_delta (
			party_id integer NOT NULL,
			period date NOT NULL,
			unit text NOT NULL,
			run_id bigint NOT NULL,
			received numeric NOT NULL,
			given numeric NOT NULL,
			sheets bigint[]
		);
		ALTER TABLE %1$I.party_delta ALTER COLUMN sheets SET STORAGE external;
		CREATE INDEX party_delta_party ON %1$I.party_delta (party_id, period);
		COMMENT ON TABLE %1$I.party_delta IS 'what one run gave to and took from a party, and in which sheets; sheets is null for a party that is on most of them';

		CREATE TABLE %1$I.pending (
			source_id smallint NOT NULL,
			ticket_key text,
			scanned boolean NOT NULL
		);
		COMMENT ON TABLE %1$I.pending IS 'tickets that changed since they were last looked at, in no order and with repetitions; scanned where a scan queued them, not a change of the row; a null key stands for all tickets of the source. Keep it free of indexes, triggers and further columns: capture appends to its heap';
		CREATE TABLE %1$I.waiting (
			source_id smallint NOT NULL,
			ticket_key text NOT NULL,
			due_at timestamptz NOT NULL,
			PRIMARY KEY (source_id, ticket_key)
		);
		CREATE INDEX waiting_due ON %1$I.waiting (due_at);
		COMMENT ON TABLE %1$I.waiting IS 'tickets that become ready at a known time';

		CREATE TABLE %1$I.problem (
			source name NOT NULL,
			ticket_key text NOT NULL,
			rule_code text,
			sqlstate text NOT NULL,
			message text NOT NULL,
			detail text,
			hint text,
			first_seen timestamptz NOT NULL DEFAULT now(),
			last_seen timestamptz NOT NULL DEFAULT now(),
			period date,
			deferred_at timestamptz,
			deferred_by text,
			reason text,
			PRIMARY KEY (source, ticket_key)
		);
		COMMENT ON TABLE %1$I.problem IS 'tickets that cannot be settled as they stand; what they were settled with before stays. rule_code names the rule, decision or mapping at fault; period, null where it is not known, does not close before the ticket is settled or deferred';
		CREATE TABLE %1$I.unpaid (
			source name NOT NULL,
			ticket_key text NOT NULL,
			ready_at timestamptz NOT NULL,
			period date NOT NULL,
			first_seen timestamptz NOT NULL DEFAULT now(),
			excused_by text,
			excused_at timestamptz,
			reason text,
			PRIMARY KEY (source, ticket_key)
		);
		COMMENT ON TABLE %1$I.unpaid IS 'ready tickets to which no rule gives a line, until a rule does or a person excuses them; their period does not close before';

		CREATE TABLE %1$I.ticket (
			ticket_id text PRIMARY KEY,
			order_ref text,
			rework_of text,
			opened_at timestamptz NOT NULL DEFAULT now(),
			done_at timestamptz,
			project %2$I.ltree NOT NULL,
			region %2$I.ltree NOT NULL,
			channel text,
			customer text,
			level text,
			worker text,
			dealer text,
			amount numeric NOT NULL,
			cost numeric NOT NULL DEFAULT 0,
			tax numeric NOT NULL DEFAULT 0,
			currency text,
			rush boolean NOT NULL DEFAULT false,
			night boolean NOT NULL DEFAULT false,
			details jsonb NOT NULL DEFAULT '{}'
		);
		COMMENT ON TABLE %1$I.ticket IS 'the own tickets of the book, ready when done_at is set; a book may settle other relations instead or as well';
	$book$, book, settle._ltree_schema(), quote_ident(book));

	PERFORM settle._create_seal_tables(book);
	PERFORM settle._create_job_tables(book);
	PERFORM settle._create_pack_tables(book);
	PERFORM settle._create_fact_tables(book);
	PERFORM settle._create_edit_tables(book);
	PERFORM settle._create_brake_tables(book);
	PERFORM settle._create_change_table(book);
	PERFORM settle._watch_parties(book);
	PERFORM settle._create_outbox_tables(book);
	PERFORM settle._create_watermark_tables(book);
	PERFORM settle._create_repeats_tables(book);
	EXECUTE format('INSERT INTO %I.book (time_zone, currency, period, settle_on, rule_revision) VALUES ($1, $2, $3, $4, nextval(%L::regclass))',
			book, format('%I.rule_revision', book))
		USING time_zone, currency, period, settle_on;
	EXECUTE format('INSERT INTO %I.source (source_id, source) VALUES (0, %L)', book, 'tally');
	FOREACH table_name IN ARRAY ARRAY['source', 'choice', 'decision', 'outcome', 'rule', 'pack'] LOOP
		EXECUTE format('CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.note_rule_change()', book, table_name);
		EXECUTE format('ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER rules_changed', book, table_name);
	END LOOP;
	EXECUTE format('CREATE TRIGGER rules_changed AFTER UPDATE OF time_zone, currency, period ON %1$I.book FOR EACH STATEMENT EXECUTE FUNCTION settle.note_rule_change(); ALTER TABLE %1$I.book ENABLE ALWAYS TRIGGER rules_changed', book);
	FOREACH table_name IN ARRAY ARRAY['sheet', 'run', 'ruleset_used'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book, table_name);
	END LOOP;
	EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OF party_id, party OR DELETE OR TRUNCATE ON %I.party FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book);
	EXECUTE format('CREATE TRIGGER append_only BEFORE TRUNCATE ON %I.rule FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change()', book);
	EXECUTE format('CREATE TRIGGER used_rules_stay BEFORE DELETE ON %I.rule FOR EACH ROW EXECUTE FUNCTION settle.keep_used_rule()', book);
	-- the end of its validity and its title may change
	EXECUTE format('CREATE TRIGGER used_rules_can_be_ended BEFORE UPDATE ON %I.rule FOR EACH ROW WHEN (
			(OLD.rule_id, OLD.code, OLD.component, OLD.source, OLD.payer, OLD.payee, OLD.payees, OLD.base, OLD.remainder, OLD.applies_when, OLD.tiers::text,
			OLD.factors, OLD.accumulate, OLD.tally_by, OLD.measure, OLD.clock, OLD.share, OLD.repeats, OLD.at_least, OLD.at_most, OLD.rounding, OLD.unit, OLD.choice, OLD.priority, OLD.overrides,
			OLD.pack, lower(OLD.valid))
			IS DISTINCT FROM
			(NEW.rule_id, NEW.code, NEW.component, NEW.source, NEW.payer, NEW.payee, NEW.payees, NEW.base, NEW.remainder, NEW.applies_when, NEW.tiers::text,
			NEW.factors, NEW.accumulate, NEW.tally_by, NEW.measure, NEW.clock, NEW.share, NEW.repeats, NEW.at_least, NEW.at_most, NEW.rounding, NEW.unit, NEW.choice, NEW.priority, NEW.overrides,
			NEW.pack, lower(NEW.valid)))
		EXECUTE FUNCTION settle.keep_used_rule()', book);
	PERFORM settle._create_period_tables(book);
	PERFORM settle._create_statement_tables(book);
	PERFORM settle._create_leg_tables(book);
	PERFORM settle._create_reconcile_tables(book);
	PERFORM settle._create_views(book, greatest(2, settle._minor_units(currency)));
	PERFORM settle.add_source(quote_ident(book)::regnamespace, 'ticket', format('%I.ticket', book)::regclass,
		key => 'ticket_id', ready_at => 'done_at', project => 'project', region => 'region',
		revenue => 'amount', cost => 'cost', tax => 'tax', currency => 'currency',
		order_ref => 'order_ref', rework_of => 'rework_of');
	PERFORM settle.add_source(quote_ident(book)::regnamespace, 'period', format('%I.party_period', book)::regclass,
		key => $$party || ' ' || period::text$$, ready_at => 'ready_at', rules_at => 'period_at', period_at => 'period_at', revenue => '0', on_delete => 'reverse');
	PERFORM settle._create_connect_tables(book);
	RETURN quote_ident(book)::regnamespace;
END
$function$;
COMMENT ON FUNCTION settle.create_book(name, text, text, text, text) IS
	'makes a schema with the tables of a book, owned by the caller; time_zone is book time, settle_on is schedule or commit';

CREATE FUNCTION settle.add_source(
	book regnamespace,
	source name,
	relation regclass,
	key text,
	ready_at text,
	rules_at text DEFAULT NULL,
	period_at text DEFAULT NULL,
	project text DEFAULT NULL,
	region text DEFAULT NULL,
	revenue text DEFAULT NULL,
	cost text DEFAULT '0',
	tax text DEFAULT '0',
	currency text DEFAULT NULL,
	reverses text DEFAULT NULL,
	on_delete text DEFAULT 'hold',
	order_ref text DEFAULT NULL,
	rework_of text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_add_source' LANGUAGE C;
COMMENT ON FUNCTION settle.add_source IS
	'lets the book settle a relation; all but relation and on_delete are SQL expressions over its columns; a null ready_at means not ready yet, and a row that reverses names the ticket that it takes back';

CREATE FUNCTION settle.complete_capture(book regnamespace) RETURNS integer AS 'MODULE_PATHNAME', 'settle_complete_capture' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.complete_capture(regnamespace) IS
	'makes the triggers that partitions and children lack which came after their source was added; returns on how many tables';

CREATE FUNCTION settle.add_rule(
	book regnamespace,
	code text,
	component text,
	payer text,
	payee text DEFAULT NULL,
	payees text DEFAULT NULL,
	base text DEFAULT NULL,
	remainder boolean DEFAULT false,
	applies_when text DEFAULT 'true',
	tiers settle.tiers DEFAULT '100%',
	factors text[] DEFAULT '{}',
	accumulate text DEFAULT NULL,
	tally_by text DEFAULT NULL,
	measure text DEFAULT NULL,
	clock text DEFAULT 'ticket',
	share text DEFAULT 'fee',
	at_least text DEFAULT NULL,
	at_most text DEFAULT NULL,
	rounding text DEFAULT 'half_up',
	unit text DEFAULT NULL,
	choice text DEFAULT NULL,
	priority integer DEFAULT 0,
	overrides text[] DEFAULT '{}',
	source name DEFAULT 'ticket',
	pack text DEFAULT 'base',
	valid tstzrange DEFAULT NULL,
	title text DEFAULT NULL,
	repeats text DEFAULT 'skip'
) RETURNS void AS 'MODULE_PATHNAME', 'settle_add_definition' LANGUAGE C;
COMMENT ON FUNCTION settle.add_rule IS 'adds a version of a rule: who pays whom how much for which tickets';

CREATE FUNCTION settle.add_choice(book regnamespace, choice name, policy text, pack text DEFAULT 'base')
	RETURNS void AS 'MODULE_PATHNAME', 'settle_add_definition' LANGUAGE C;
COMMENT ON FUNCTION settle.add_choice(regnamespace, name, text, text) IS 'names a choice among rules: unique, first, highest, lowest or all; or among packs: unique or first';

CREATE FUNCTION settle.add_decision(
	book regnamespace, decision name, policy text DEFAULT 'first', returns text DEFAULT 'numeric',
	fallback jsonb DEFAULT NULL, output_values jsonb DEFAULT NULL, pack text DEFAULT 'base'
) RETURNS void AS 'MODULE_PATHNAME', 'settle_add_definition' LANGUAGE C;
COMMENT ON FUNCTION settle.add_decision(regnamespace, name, text, text, jsonb, jsonb, text) IS
	'names a value that depends on the ticket: d.<decision> in expressions, a factor in rules; output_values lists what its outcomes may be, the first ranks highest';

CREATE FUNCTION settle.add_outcome(
	book regnamespace, decision name, applies_when text, outcome jsonb, priority integer DEFAULT 0,
	source name DEFAULT 'ticket', pack text DEFAULT 'base', valid tstzrange DEFAULT NULL, title text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_add_definition' LANGUAGE C;
COMMENT ON FUNCTION settle.add_outcome(regnamespace, name, text, jsonb, integer, name, text, tstzrange, text) IS
	'adds an outcome to a decision, for one source or, where source is null, for all but the source period';

CREATE FUNCTION settle.add_table(
	book regnamespace, decision name, keys text[], relation regclass, source name DEFAULT 'ticket', pack text DEFAULT 'base'
) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_add_table' LANGUAGE C;
COMMENT ON FUNCTION settle.add_table(regnamespace, name, text[], regclass, name, text) IS
	'adds the rows of a relation as outcomes of a decision: its columns keys against those of the ticket, and its columns outcome, priority, valid, title; returns their number';

CREATE FUNCTION settle.decide(book regnamespace, decision name, ticket record, source name DEFAULT NULL)
	RETURNS jsonb AS 'MODULE_PATHNAME', 'settle_decide' LANGUAGE C STABLE COST 1000;
COMMENT ON FUNCTION settle.decide(regnamespace, name, record, name) IS 'what a decision of the book gives for a row, in a table or not';

CREATE FUNCTION settle.end_rule(book regnamespace, code text, at timestamptz, pack text DEFAULT 'base')
	RETURNS void AS 'MODULE_PATHNAME', 'settle_end_rule' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.end_rule(regnamespace, text, timestamptz, text) IS 'ends the version of a rule that is in force at an instant';

CREATE FUNCTION settle._instant(at timestamptz) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN pg_catalog.isfinite(at) THEN pg_catalog.to_char(pg_catalog.timezone('UTC', at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END;
COMMENT ON FUNCTION settle._instant(timestamptz) IS 'an instant as rulesets spell it, in UTC; null where unbounded';

CREATE FUNCTION settle.rules(book regnamespace, during tstzrange DEFAULT '(,)', packs text[] DEFAULT NULL)
	RETURNS settle.ruleset AS 'MODULE_PATHNAME', 'settle_rules' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.rules(regnamespace, tstzrange, text[]) IS
	'the rules of a book in force at any time of a range, as one value; packs that are named are in it as if they had always been enabled';

CREATE FUNCTION settle.books() RETURNS TABLE (book regnamespace, owner regrole)
	LANGUAGE sql STABLE PARALLEL SAFE
	BEGIN ATOMIC
		SELECT DISTINCT n.oid::pg_catalog.regnamespace, n.nspowner::pg_catalog.regrole
		FROM pg_catalog.pg_trigger AS t
		JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid
		JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
		WHERE t.tgfoid OPERATOR(pg_catalog.=) 'settle.note_rule_change()'::pg_catalog.regprocedure::pg_catalog.oid
			AND c.relname OPERATOR(pg_catalog.=) 'rule'
		ORDER BY 1;
	END;
COMMENT ON FUNCTION settle.books() IS 'the books of this database and their owners';
