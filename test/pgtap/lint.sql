-- The catalogue, read as a reviewer would: functions, types and views of the
-- extension, and the tables that it makes for a book.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
CREATE TEMP VIEW our AS
SELECT d.classid, d.objid FROM pg_depend AS d
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'scrm_settle');
CREATE TEMP VIEW our_function AS
SELECT p.*, l.lanname FROM our JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid JOIN pg_language AS l ON l.oid = p.prolang;

SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE lanname NOT IN ('c', 'sql', 'plpgsql') AND prokind <> 'a' $$, 'functions are C, SQL or PL/pgSQL');
SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE prosecdef OR proleakproof $$, 'none is SECURITY DEFINER or LEAKPROOF');
SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE lanname = 'plpgsql' AND prokind = 'f' AND (proconfig IS NULL OR NOT proconfig @> '{"search_path=pg_catalog, pg_temp"}') $$,
    'a function in PL/pgSQL has a path of its own');
SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE lanname = 'plpgsql' AND prokind = 'p' AND (prosrc ~ '\m(SELECT|INSERT|UPDATE|DELETE|EXECUTE|PERFORM)\M') $$,
    'a procedure, which cannot have one, only calls functions');
SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE proparallel = 's' AND provolatile = 'v' AND proname NOT LIKE '\_%' $$, 'what is volatile is not parallel safe');
SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE proname NOT LIKE '\_%' AND pronargs > 1 AND proargnames IS NULL AND prorettype <> 'cstring'::regtype
    AND NOT EXISTS (SELECT FROM pg_operator AS o WHERE o.oprcode = our_function.oid) AND NOT EXISTS (SELECT FROM pg_amproc AS a WHERE a.amproc = our_function.oid)
    AND NOT EXISTS (SELECT FROM pg_type AS t WHERE our_function.oid IN (t.typinput, t.typreceive)) AND prokind <> 'a' $$, 'parameters have names');
SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE obj_description(oid, 'pg_proc') IS NULL AND proname NOT LIKE '\_%' $$, 'every function has a comment');
SELECT is_empty($$ SELECT oid::regtype FROM our JOIN pg_type AS t ON classid = 'pg_type'::regclass AND t.oid = objid WHERE typtype = 'b' AND typcategory <> 'A' AND obj_description(t.oid, 'pg_type') IS NULL $$, 'every type has a comment');
SELECT is_empty($$ SELECT pg_describe_object(classid, objid, 0) FROM our WHERE classid IN ('pg_class'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_event_trigger'::regclass) $$,
    'no table, view, policy or event trigger belongs to the extension');
SELECT is_empty($$ SELECT pg_describe_object(classid, objid, 0) FROM our WHERE classid = 'pg_cast'::regclass AND EXISTS (SELECT FROM pg_cast AS c WHERE c.oid = objid AND c.castcontext = 'i') $$,
    'no cast is implicit');
-- C functions that take nulls look at each argument themselves
SELECT set_eq($$ SELECT DISTINCT proname::text FROM our_function WHERE lanname = 'c' AND NOT proisstrict AND prorettype <> 'trigger'::regtype $$,
    ARRAY['add_source', 'add_fact', 'add_rule', 'add_choice', 'add_decision', 'add_outcome', 'add_table', 'run', 'rescan', 'simulate', 'evaluate', 'evaluate_decision', 'decide', 'act_as', 'because', 'actor', 'reason', 'grant_access', 'revoke_access', 'add_party', 'confirm_party', 'lint', 'check_expression', 'replay', '_replay_ticket', '_inputs', '_matrix_step', '_matrix_combine', '_matrix_final', '_seal', 'anchor', 'verify', 'work', 'schedule', 'unschedule', 'drop_book', 'upgrade_book',
        'add_pack', 'submit_pack', 'redraft_pack', 'reject_pack', 'approve_pack', 'enable_pack', 'disable_pack', 'rules', 'load_rules',
        'submit_statement', 'approve_statement', 'reject_statement', 'dispute_statement', 'resolve_dispute', 'payout_file', 'pay_statement', 'note_leg', 'return_leg', 'reconcile', 'audit_differences', 'trace_payout',
        'ingest', 'map_payload', 'retry_quarantine', 'load_mappings', 'reread',
        'set_staff_alias', 'end_staff_alias', 'set_store_alias', 'end_store_alias', 'confirm_staff', 'explain_staff', 'add_order_ticket_rule', 'set_region', 'set_product', 'release_ticket', 'recompute_order',
        'merge_customers', 'split_customer', 'cut_key', 'restore_key', 'accept_suggestion', 'refuse_suggestion', 'reveal_person', 'reveal_check_ins', 'erase_person',
        'add_type', 'type_document', 'enable_type', 'open_ticket', 'move_ticket', 'upgrade_ticket', 'legal_moves', 'approve_move', 'assign_ticket', '_choose_staff', '_give_ticket', 'assign_open', 'working_time', 'add_working_time', 'watch', 'hold_escalation', 'split_ticket', 'unsplit_ticket', 'merge_tickets', 'unmerge_tickets', '_masked_details', 'check_in', 'overrule_check_in', 'area_at',
        'add_to_roster', 'close_period', 'reopen_period',
        'add_campaign', 'add_campaign_alias', 'accept_campaign_alias', 'link_tickets', 'link_ticket', 'unlink_ticket', 'relink_ticket',
        'drill', '_run_aloud', 'set_label', '_nodes', 'grant_party', 'revoke_party', 'acknowledge_alert', 'send', 'take_outbox', 'fail_outbox', 'set_watermark', 'advance_watermark'],
    'functions that are called with nulls');

-- PL/pgSQL that another program has read
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'plpgsql_check') AS there \gset
\if :there
	CREATE EXTENSION plpgsql_check;
	-- what schedules and cleans calls pg_cron, which is not there; a parameter of the name reason is taken by who calls the body, RETURN QUERY EXECUTE fills columns that the checker cannot see, the number of digits that makers of views put into a type is an integer, what settle._rows_of_runs writes is a query, and what changes by dynamic SQL it does not see changing
	SELECT is_empty($$ SELECT p.oid::regprocedure, c.* FROM our_function AS p, LATERAL plpgsql_check_function(p.oid, extra_warnings => true, performance_warnings => true, security_warnings => p.proname !~ '^_create_(.*views?|(fresh|total|activity)_tables)$') AS c
		WHERE p.lanname = 'plpgsql' AND p.prorettype <> 'trigger'::regtype AND p.proname NOT IN ('_schedule', '_end_job', '_clean_cron') AND c <> 'warning extra:00000:unused parameter "reason"'
			AND NOT (p.prosrc ~ '\mEXECUTE\M' AND c ~ '^performance:00000:routine is marked as VOLATILE|^Detail: attention: cannot to determine volatility|^Hint: When you fix this issue')
			AND NOT (p.prosrc ~ 'RETURN QUERY EXECUTE' AND c ~ '^warning extra:00000:OUT variable ".*" is maybe unmodified$|^Detail: cannot to determine result of dynamic SQL$') $$, 'plpgsql_check finds nothing');
\else
	SELECT skip('plpgsql_check is not installed');
\endif

-- The tables of a book
SELECT settle.create_book('lint') \g /dev/null
CREATE TEMP VIEW of_book AS SELECT * FROM pg_class WHERE relnamespace = 'lint'::regnamespace;
SELECT is_empty($$ SELECT relname FROM of_book WHERE relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL $$, 'tables and views have comments');
SELECT is_empty($$ SELECT conname FROM pg_constraint WHERE connamespace = 'lint'::regnamespace AND condeferrable $$, 'no constraint is deferrable');
SELECT is_empty($$ SELECT attrelid::regclass, attname FROM pg_attribute JOIN of_book ON oid = attrelid WHERE attnum > 0 AND format_type(atttypid, atttypmod) ~ '^(real|double|money|regnamespace|regproc|regconfig|timestamp without)' $$,
    'no float, no type that pg_upgrade refuses');
SELECT is_empty($$ SELECT oid::regclass FROM of_book WHERE relkind = 'v' AND reloptions::text ~ 'security_invoker' $$, 'views read with the rights of the owner');
SELECT set_eq($$ SELECT relname::text FROM of_book WHERE relkind = 'r' AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = of_book.oid AND tgname = 'append_only') $$,
    ARRAY['sheet', 'run', 'ruleset_used', 'party', 'rule', 'change', 'release', 'seal', 'sealed_run', 'pack', 'order_recompute',
        'ticket_type', 'form_field', 'stage', 'move', 'move_node', 'follow_up', 'ticket_event', 'ticket_share', 'deadline_target', 'escalation_hold', 'assignment', 'check_in',
        'fresh_run', 'statement', 'statement_log', 'approval', 'dispute', 'payment', 'leg_return', 'staging', 'customer_event', 'attribution', 'person_log'], 'what was posted is kept');
SELECT set_eq($$ SELECT relname::text FROM of_book WHERE EXISTS (SELECT FROM pg_trigger WHERE tgrelid = of_book.oid AND tgname = 'rules_changed' AND tgenabled = 'A') $$,
    ARRAY['book', 'source', 'fact', 'choice', 'decision', 'outcome', 'rule', 'pack'], 'whatever changes the rules gives them a new revision');
SELECT is_empty($$ SELECT attname FROM pg_attribute, pg_trigger AS t WHERE attrelid = 'lint.rule'::regclass AND attnum > 0 AND t.tgrelid = attrelid AND tgname = 'used_rules_can_be_ended'
    AND attname NOT IN ('valid', 'title') AND position(format('old.%I', attname) IN lower(pg_get_triggerdef(t.oid))) = 0 $$, 'whatever a rule is made of stays once it has settled tickets');
SELECT is_empty($$ SELECT c.conrelid::regclass, c.conname FROM pg_constraint AS c WHERE c.contype = 'f' AND c.connamespace = 'lint'::regnamespace AND c.confdeltype <> 'a' $$, 'no foreign key takes rows with it');

SELECT * FROM finish();
