-- book: a schema of ordinary tables in which one operation is settled

CREATE FUNCTION settle.note_rule_change() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_note_rule_change' LANGUAGE C;
COMMENT ON FUNCTION settle.note_rule_change() IS 'statement trigger on the rule tables of a book: refuses rules that do not compile and gives the rules a new revision';

CREATE FUNCTION settle.refuse_change() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_refuse_change' LANGUAGE C;
COMMENT ON FUNCTION settle.refuse_change() IS 'statement trigger on append-only tables of a book';

CREATE FUNCTION settle.forget_rows() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_forget_rows' LANGUAGE C;
COMMENT ON FUNCTION settle.forget_rows() IS 'statement trigger on tables of a book whose rows sessions remember: has them look again';

CREATE FUNCTION settle._lock_gate(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
		RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
			MESSAGE = format('what is settled cannot be asked for in isolation level %s', current_setting('transaction_isolation')),
			DETAIL = 'All that others have posted must be seen, and the snapshot of this transaction may be older.',
			HINT = 'Use read committed.';
	END IF;
	EXECUTE format('LOCK TABLE %I.gate IN SHARE ROW EXCLUSIVE MODE', book);
END
$function$;
COMMENT ON FUNCTION settle._lock_gate(name) IS 'locks the gate of a book as a run does, for a trigger that asks what is settled: its next statement sees all that others have posted, and nobody posts before it commits';

CREATE FUNCTION settle.keep_calendar() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	is_settled boolean;
BEGIN
	PERFORM settle._lock_gate(TG_TABLE_SCHEMA);
	EXECUTE format('SELECT EXISTS (SELECT FROM %I.sheet)', TG_TABLE_SCHEMA) INTO is_settled;
	IF is_settled THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('book "%s" keeps its time zone and its kind of period: it has settled tickets', TG_TABLE_SCHEMA),
			DETAIL = 'Their days and periods are those of the book as it was.',
			HINT = 'Make another book, and settle there from the beginning of a period on.';
	END IF;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION settle.keep_calendar() IS 'row trigger on the settings of a book: days and periods mean the same for all that it has settled';

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
			settle_on text NOT NULL CHECK (settle_on IN ('schedule', 'commit')),
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
			desk_revision bigint NOT NULL DEFAULT 1,
			follower_policy text NOT NULL DEFAULT 'last' CHECK (follower_policy IN ('first', 'last')),
			follower_inherited boolean NOT NULL DEFAULT true,
			link_days integer NOT NULL DEFAULT 30 CHECK (link_days > 0),
			link_returns boolean NOT NULL DEFAULT true,
			campaign_presale text NOT NULL DEFAULT 'final' CHECK (campaign_presale IN ('final', 'deposit')),
			campaign_memo boolean NOT NULL DEFAULT false,
			suggestion_limit integer NOT NULL DEFAULT 5 CHECK (suggestion_limit > 1),
			staging_days integer NOT NULL DEFAULT 90 CHECK (staging_days > 0),
			due_soon interval NOT NULL DEFAULT '1 hour' CHECK (due_soon >= interval '0'),
			stuck_after interval NOT NULL DEFAULT '24 hours' CHECK (stuck_after >= interval '1 minute'),
			escalation_interval interval NOT NULL DEFAULT '4 hours' CHECK (escalation_interval > interval '0' AND extract(year FROM escalation_interval) = 0 AND extract(month FROM escalation_interval) = 0),
			hold_share numeric NOT NULL DEFAULT 0.10 CHECK (hold_share BETWEEN 0 AND 1),
			hold_window interval NOT NULL DEFAULT '30 days' CHECK (hold_window > interval '0'),
			duty_manager text CHECK (duty_manager <> ''),
			alert_platform text CHECK (alert_platform <> ''),
			norm_days integer NOT NULL DEFAULT 180 CHECK (norm_days > 0),
			norm_tickets integer NOT NULL DEFAULT 10 CHECK (norm_tickets > 0),
			repeat_days integer NOT NULL DEFAULT 30 CHECK (repeat_days > 0),
			special_days integer NOT NULL DEFAULT 365 CHECK (special_days > 0),
			show_rank boolean NOT NULL DEFAULT false,
			alert_tickets integer NOT NULL DEFAULT 100 CHECK (alert_tickets > 0),
			rate_factor numeric DEFAULT 3 CHECK (rate_factor > 0),
			margin_bound numeric CHECK (margin_bound <= 1),
			quarantine_limit integer DEFAULT 100 CHECK (quarantine_limit > 0),
			job_delay interval DEFAULT '15 minutes' CHECK (job_delay > interval '0'),
			check_in_radius numeric NOT NULL DEFAULT 500 CHECK (check_in_radius > 0 AND check_in_radius < 'Infinity'),
			place_days integer NOT NULL DEFAULT 90 CHECK (place_days > 0),
			version text NOT NULL DEFAULT settle._version() CHECK (version ~ '^[0-9]+[.][0-9]+[.][0-9]+$'),
			CONSTRAINT fx_needs_the_rates_that_were_used CHECK (fx_party IS NULL OR keep_inputs)
		);
		COMMENT ON TABLE %1$I.book IS 'settings of the book, one row; rule_revision is another number after every change of its rules, desk_revision of its ticket types; a backlog that would correct more than max_correction settled tickets, and more than 1 %% of them, has its corrections held (null: never)';
		COMMENT ON COLUMN %1$I.book.singleton IS 'keeps it one row';
		COMMENT ON COLUMN %1$I.book.time_zone IS 'time zone of the book: its days, periods and rules are of it';
		COMMENT ON COLUMN %1$I.book.currency IS 'currency of tickets that name none';
		COMMENT ON COLUMN %1$I.book.period IS 'how long a period is: day, week, month, quarter or year';
		COMMENT ON COLUMN %1$I.book.settle_on IS 'whether tickets are settled on a schedule, or at the commit of who writes them';
		COMMENT ON COLUMN %1$I.book.rule_revision IS 'another number after every change of the rules';
		COMMENT ON COLUMN %1$I.book.keep_inputs IS 'whether sheets keep what their rules have read; else a hash of it';
		COMMENT ON COLUMN %1$I.book.fx_party IS 'party that has what corrections gain or lose because the rate of the day on which they are posted is not that of the ticket; null: nobody asks';
		COMMENT ON COLUMN %1$I.book.max_correction IS 'so many settled tickets, or 1 %% of those of the open periods where that is more, are corrected before corrections are held; null: any number';
		COMMENT ON COLUMN %1$I.book.created_at IS 'when the book was made';
		COMMENT ON COLUMN %1$I.book.created_by IS 'who made it';
		COMMENT ON COLUMN %1$I.book.leg_share_limit IS 'part of an order that others than its main receiver may get, a fraction';
		COMMENT ON COLUMN %1$I.book.leg_main_receiver IS 'main receiver of an order, a code or what stands before its colon; null: whoever gets most';
		COMMENT ON COLUMN %1$I.book.leg_return_days IS 'so many days after it was paid may a leg come back';
		COMMENT ON COLUMN %1$I.book.audit_percent IS 'per cent of the figure of the book by which the one of others may differ';
		COMMENT ON COLUMN %1$I.book.audit_periods IS 'after so many periods in a row that differ by more there is an alert';
		COMMENT ON COLUMN %1$I.book.payout_platform IS 'platform that is sent what was paid; null: none';
		COMMENT ON COLUMN %1$I.book.outbox_attempts IS 'so often is a message tried';
		COMMENT ON COLUMN %1$I.book.outbox_backoff IS 'how long a message that failed waits, twice as long after each further attempt';
		COMMENT ON COLUMN %1$I.book.outbox_backoff_limit IS 'how long it waits at most';
		COMMENT ON COLUMN %1$I.book.outbox_days IS 'how long a message is kept that is done';
		COMMENT ON COLUMN %1$I.book.tick_interval IS 'how often settle.tick is to be called';
		COMMENT ON COLUMN %1$I.book.job_days IS 'how long <book>.job_run is kept';
		COMMENT ON COLUMN %1$I.book.desk_revision IS 'another number after every change of the ticket types';
		COMMENT ON COLUMN %1$I.book.follower_policy IS 'of several of the staff who have a customer as a contact when he orders, who counts: first, the one who has had him longest, or last, who added him last';
		COMMENT ON COLUMN %1$I.book.follower_inherited IS 'whether a contact counts that was assigned to the staff by others';
		COMMENT ON COLUMN %1$I.book.link_days IS 'so many days apart may a ticket of a platform and the order be that it is linked to by customer and product';
		COMMENT ON COLUMN %1$I.book.link_returns IS 'whether a return of the same customer and product links a ticket to its order';
		COMMENT ON COLUMN %1$I.book.campaign_presale IS 'whether a presale is of the campaign in which the rest was paid (final), or the deposit';
		COMMENT ON COLUMN %1$I.book.campaign_memo IS 'whether the memo of the seller is evidence of a campaign';
		COMMENT ON COLUMN %1$I.book.suggestion_limit IS 'a weak key that more customers have than this suggests nothing';
		COMMENT ON COLUMN %1$I.book.staging_days IS 'how long bodies of payloads are kept';
		COMMENT ON COLUMN %1$I.book.due_soon IS 'how long before a deadline there is an alert, a quarter of its time at most';
		COMMENT ON COLUMN %1$I.book.stuck_after IS 'a ticket to which nothing has happened for so long is stuck';
		COMMENT ON COLUMN %1$I.book.escalation_interval IS 'working time that each manager has before what is late goes to the next';
		COMMENT ON COLUMN %1$I.book.hold_share IS 'share of the tickets that were late in the last hold_window whose escalation may be held by hand';
		COMMENT ON COLUMN %1$I.book.hold_window IS 'tickets that were late in this time are those that hold_share is a share of';
		COMMENT ON COLUMN %1$I.book.duty_manager IS 'who gets what is late of tickets whose worker has no manager, or that have none';
		COMMENT ON COLUMN %1$I.book.alert_platform IS 'platform to which alerts of deadlines are sent; null: none';
		COMMENT ON COLUMN %1$I.book.norm_days IS 'what was done in so many days says what is usual in a project and for a type of tickets';
		COMMENT ON COLUMN %1$I.book.norm_tickets IS 'fewer tickets than this say nothing of what is usual';
		COMMENT ON COLUMN %1$I.book.repeat_days IS 'a ticket of the same customer and project within so many days is another visit for the same matter';
		COMMENT ON COLUMN %1$I.book.special_days IS 'how long a special ticket stands against its customer and project once it is over';
		COMMENT ON COLUMN %1$I.book.show_rank IS 'whether my_progress says the place of a party among those of its kind';
		COMMENT ON COLUMN %1$I.book.alert_tickets IS 'a rate or margin of fewer tickets in a period raises no alert';
		COMMENT ON COLUMN %1$I.book.rate_factor IS 'by how many times its spread the rate of a rule differs from its past when it is far off; null: none is';
		COMMENT ON COLUMN %1$I.book.margin_bound IS 'a fraction: where the margin of a cell of the first levels is less there is an alert; null: nobody asks';
		COMMENT ON COLUMN %1$I.book.quarantine_limit IS 'with so many payloads of a platform quarantined within a day there is an alert; null: nobody asks';
		COMMENT ON COLUMN %1$I.book.job_delay IS 'with a step of settle.tick delayed by more there is an alert; null: nobody asks';
		COMMENT ON COLUMN %1$I.book.check_in_radius IS 'metres around the place of a ticket within which somebody who checks in is there, unless its type says otherwise';
		COMMENT ON COLUMN %1$I.book.place_days IS 'so many days after a check-in the point where it was is taken away';
		COMMENT ON COLUMN %1$I.book.version IS 'version of scrm_settle whose shape the tables have';

		CREATE TABLE %1$I.access (
			role regrole NOT NULL,
			level text NOT NULL CHECK (level IN ('reader', 'clerk', 'approver', 'staff', 'connector', 'personal', 'delegate', 'admin')),
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
		CREATE INDEX period_closed ON %1$I.period (period) WHERE state = 'closed';
		COMMENT ON TABLE %1$I.period IS 'periods that were closed, being closed or opened again, by their first day; changed_at is the moment itself, under the gate: what runs post after it stands in no closed period; every period after the last closed one is open, whether it has a row or not';

		CREATE TABLE %1$I.gate ();
		COMMENT ON TABLE %1$I.gate IS 'locked by whoever posts: SHARE ROW EXCLUSIVE by a run, ROW EXCLUSIVE by tickets that settle at commit';

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
			details jsonb NOT NULL DEFAULT '{}',
			type text,
			type_version integer,
			stage text,
			move text,
			follows text,
			part_of text,
			merged_into text,
			away boolean,
			areas jsonb,
			area_parties jsonb
		);
		COMMENT ON TABLE %1$I.ticket IS 'the own tickets of the book, ready when done_at is set; one that has a type goes the way of the desk, by moves from stage to stage; a book may settle other relations instead or as well';
	$book$, book, settle._ltree_schema());

	-- room by room
	PERFORM settle._create_alert_table(book);
	PERFORM settle._create_rule_tables(book);
	PERFORM settle._create_pack_tables(book);
	PERFORM settle._create_fact_tables(book);
	PERFORM settle._create_edit_tables(book);
	PERFORM settle._create_party_table(book);
	PERFORM settle._create_outbox_tables(book);
	PERFORM settle._create_watermark_tables(book);
	PERFORM settle._create_sheet_tables(book);
	PERFORM settle._create_repeats_tables(book);
	PERFORM settle._create_brake_tables(book);
	PERFORM settle._create_seal_tables(book);
	PERFORM settle._create_fresh_tables(book);
	PERFORM settle._create_change_table(book);
	PERFORM settle._create_own_tables(book);
	PERFORM settle._create_period_tables(book);
	PERFORM settle._create_statement_tables(book);
	PERFORM settle._create_leg_tables(book);
	PERFORM settle._create_reconcile_tables(book);
	PERFORM settle._create_type_tables(book);
	PERFORM settle._create_stage_tables(book);
	PERFORM settle._create_split_tables(book);
	PERFORM settle._create_event_tables(book);
	PERFORM settle._create_place_tables(book);
	PERFORM settle._create_assign_tables(book);
	PERFORM settle._create_calendar_tables(book);
	PERFORM settle._create_deadline_tables(book);
	PERFORM settle._create_watch_tables(book);
	PERFORM settle._create_board_view(book);
	PERFORM settle._create_figure_tables(book);
	PERFORM settle._create_special_tables(book);
	PERFORM settle._create_service_tables(book);
	PERFORM settle._create_label_table(book);
	PERFORM settle._create_total_tables(book);
	PERFORM settle._create_party_total_tables(book);
	PERFORM settle._create_views(book, greatest(2, settle._minor_units(currency)));
	PERFORM settle._create_figure_views(book, greatest(2, settle._minor_units(currency)));
	PERFORM settle._create_progress_views(book, greatest(2, settle._minor_units(currency)));
	PERFORM settle._create_activity_tables(book);
	PERFORM settle._create_activity_views(book, greatest(2, settle._minor_units(currency)));
	PERFORM settle._create_balance_views(book, greatest(2, settle._minor_units(currency)));
	PERFORM settle._create_job_tables(book);

	EXECUTE format('INSERT INTO %I.book (time_zone, currency, period, settle_on, rule_revision) VALUES ($1, $2, $3, $4, nextval(%L::regclass))',
			book, format('%I.rule_revision', book))
		USING time_zone, currency, period, settle_on;
	EXECUTE format('INSERT INTO %I.source (source_id, source) VALUES (0, %L)', book, 'tally');
	FOREACH table_name IN ARRAY ARRAY['source', 'choice', 'decision', 'outcome', 'rule', 'pack'] LOOP
		EXECUTE format('CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.note_rule_change()', book, table_name);
		EXECUTE format('ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER rules_changed', book, table_name);
	END LOOP;
	FOREACH table_name IN ARRAY ARRAY['book', 'period', 'source'] LOOP
		EXECUTE format('CREATE TRIGGER rows_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.forget_rows()', book, table_name);
		EXECUTE format('ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER rows_changed', book, table_name);
	END LOOP;
	EXECUTE format('CREATE TRIGGER rules_changed AFTER UPDATE OF time_zone, currency, period ON %1$I.book FOR EACH STATEMENT EXECUTE FUNCTION settle.note_rule_change(); ALTER TABLE %1$I.book ENABLE ALWAYS TRIGGER rules_changed', book);
	EXECUTE format('CREATE TRIGGER calendar_kept BEFORE UPDATE OF time_zone, period ON %1$I.book FOR EACH ROW WHEN ((OLD.time_zone, OLD.period) IS DISTINCT FROM (NEW.time_zone, NEW.period)) EXECUTE FUNCTION settle.keep_calendar(); ALTER TABLE %1$I.book ENABLE ALWAYS TRIGGER calendar_kept', book);
	EXECUTE format('CREATE TRIGGER capture_changed AFTER UPDATE OF settle_on ON %1$I.book FOR EACH ROW WHEN (OLD.settle_on <> NEW.settle_on) EXECUTE FUNCTION settle.change_capture(); ALTER TABLE %1$I.book ENABLE ALWAYS TRIGGER capture_changed', book);

	PERFORM settle.add_source(quote_ident(book)::regnamespace, 'ticket', format('%I.ticket', book)::regclass,
		key => 'ticket_id', ready_at => 'done_at', project => 'project', region => 'region', channel => 'channel',
		revenue => 'amount', cost => 'cost', tax => 'tax', currency => 'currency',
		order_ref => 'order_ref', rework_of => 'rework_of');
	PERFORM settle.add_source(quote_ident(book)::regnamespace, 'period', format('%I.party_period', book)::regclass,
		key => $$party || ' ' || period::text$$, ready_at => 'ready_at', rules_at => 'period_at', period_at => 'period_at', revenue => '0', on_delete => 'reverse');
	PERFORM settle._create_connect_tables(book);
	PERFORM settle._create_customer_tables(book);
	PERFORM settle._create_alias_tables(book);
	PERFORM settle._create_follow_tables(book);
	PERFORM settle._create_staff_tables(book);
	PERFORM settle._create_link_tables(book);
	PERFORM settle._create_campaign_tables(book);
	PERFORM settle._create_order_tables(book);
	PERFORM settle._create_person_tables(book);
	PERFORM settle._create_comments(book);
	RETURN quote_ident(book)::regnamespace;
END
$function$;
COMMENT ON FUNCTION settle.create_book(name, text, text, text, text) IS
	'makes a schema with the tables of a book, owned by the caller; time_zone is book time, settle_on is schedule or commit';

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
