-- The house as a whole: what holds for every object of the extension.
BEGIN;
SELECT plan(9);

\set version `sed -n "s/^default_version *= *'\(.*\)'/\1/p" scrm_settle.control`
SELECT is(
    (SELECT extversion FROM pg_extension WHERE extname = 'scrm_settle'), :'version',
    'the installed version is the one of the control file');

\set upwards `test/rooms`
SELECT is(:'upwards'::text, '', 'rooms use only rooms before them');

-- The extension holds code, a book holds data.
SELECT is_empty($$
    SELECT c.oid::regclass
    FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'S')
      AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'scrm_settle')$$,
    'the extension owns no table and no sequence');

CREATE TEMP VIEW our_function AS
SELECT p.*
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'scrm_settle');

SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE prosecdef $$,
    'no function runs with the rights of its owner');

SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE pronamespace <> 'settle'::regnamespace $$,
    'every function stands in the schema settle');

-- Those that stay are reached by statements that run with the caller's own
-- rights: what a reader asks of line_detail, what a book's owner asks of
-- create_book, rules, run_all and check, and what bodies call, which run as the
-- owner of a book.
SELECT set_eq($$
    SELECT proname::text FROM our_function
    WHERE proname LIKE '\_%' AND has_function_privilege('public', oid, 'EXECUTE')$$,
    ARRAY['_rows_of_runs', '_line_figures', '_sides', '_sum', '_create_activity_tables', '_create_activity_views', '_create_balance_views', '_alert_conditions', '_end_solved_alerts', '_tick_alerts', '_begin_progress', '_note_progress', '_end_progress', '_progress', '_run_aloud', '_create_alert_table', '_alert_level', '_raise_alerts', '_end_alerts', '_keep_alerts', '_unpack', '_inputs', '_create_views', '_create_repeats_tables', '_create_fact_tables', '_replay_ticket', '_ltree_schema', '_lock_gate', '_version', '_is_later', '_shape', '_plain', '_fresh_shape', '_upgrade_steps', '_minor_units', '_instant', '_has_pending', '_tally_fee', '_journal', '_create_change_table', '_create_party_table', '_create_rule_tables', '_create_sheet_tables', '_readable',
        '_create_pack_tables', '_create_edit_tables', '_create_brake_tables', '_changed_keys', '_check_pack_time', '_file_instant', '_items_of', '_lock_rules', '_order_outcomes', '_pack_digest', '_part_of_ruleset', '_plan_load', '_redraft_pack', '_take_pack', '_wanted_part',
        '_lint_rules', '_rules_from_now',
        '_create_progress_views', '_create_party_total_tables', '_create_own_tables', '_own_views',
        '_create_statement_tables', '_create_leg_tables', '_create_reconcile_tables', '_make_statements', '_paid_statements', '_party_lines', '_statement_range', '_statement_content', '_content_now', '_require_content', '_require_reason', '_require_confirmed', '_touch_legs', '_pass_gate', '_begin_move', '_end_move', '_hold', '_void_changed', '_next_node', '_is_one_of', '_disputed_amount', '_payout_reference', '_source_rows',
        '_create_connect_tables', '_create_canonical_tables', '_create_connect_views', '_create_changed_table', '_watch', '_create_reread_tables', '_continue_reread', '_order_steps', '_take_changed_orders',
        '_vet_pattern', '_create_campaign_tables', '_tick_campaigns', '_create_link_tables', '_read_ticket_numbers', '_judge_tickets', '_mark_payloads', '_tick_links', '_open_link', '_decide_link',
        '_settle_at_once', '_create_order_tables', '_create_sold_tables', '_create_sold_views', '_shares', '_open_since', '_order_ticket_rules', '_wanted_tickets', '_write_order_tickets', '_wrong_order_tickets', '_ticket_differences', '_tick_orders',
        '_vet_staff', '_create_alias_tables', '_cut_alias', '_no_alias', '_create_follow_tables', '_derive_follow', '_create_staff_tables', '_staff_mention_query', '_staff_evidence_query', '_staff_found_query', '_unknown_alias_query', '_staff_found', '_attribute_orders', '_queue_alias_changes', '_queue_read_results', '_tick_staff',
        '_create_period_tables', '_shut_gate', '_period_start', '_period_after', '_next_period', '_period_transfers', '_period_sums', '_build_period', '_carry_into', '_closed_until', '_check_period', '_first_open', '_check_order', '_settle_period', '_period_obstacles', '_seal', '_create_seal_tables', '_absorb', '_create_fresh_tables', '_create_job_tables', '_tick_steps', '_tick_ingest', '_tick_run', '_tick_seal', '_tick_clean', '_tick_command', '_uses_cron', '_clean_cron', '_end_job', '_unsettled', '_dependents', '_captures_of', '_crontab_line', '_require_cron',
        '_create_assign_tables', '_team_of', '_choose_staff', '_lock_staff', '_give_ticket', '_note_waiting', '_end_waiting', '_tick_assign',
        '_create_type_tables', '_create_stage_tables', '_create_event_tables', '_type_parts', '_require_ticket', '_is_event', '_ticket_content', '_masked_details', '_erase_form',
        '_create_place_tables', '_place', '_places_of', '_nearest_area', '_lock_visit', '_take_verdict', '_erase_points', '_reduce_points',
        '_create_split_tables', '_lock_tickets', '_refuse_family', '_require_one_currency', '_go_on', '_follow_parts', '_check_parts', '_take_in',
        '_create_calendar_tables', '_clock_change', '_working_ranges', '_require_span', '_seconds', '_working_time', '_add_working_time', '_create_deadline_tables', '_drop_due', '_create_watch_tables', '_create_board_view', '_create_figure_tables', '_create_special_tables', '_special_rules', '_judge_special', '_tick_special', '_create_service_tables', '_service_measure_query', '_service_query', '_tell_alerts', '_watch_deadlines', '_watch_stuck', '_watch_at', '_tick_watch',
        '_create_customer_tables', '_mask_key', '_unite', '_components', '_link_keys', '_place_customers', '_note_conflicts', '_suggest_customers', '_tick_customers', '_say', '_founder_of', '_set_cut', '_decide_suggestion',
        '_create_personal_tables', '_create_person_tables', '_is_cipher', '_is_personal_key', '_free_text', '_essence', '_hide_values', '_subject_numbers', '_map_staging', '_reduce', '_forget', '_tick_reduce',
        '_subjects_of', '_vet_look', '_log_person', '_log_look', '_concerned', '_personal_values', '_holds', '_holds_value', '_telling_words', '_bodies_of', '_forget_messages', '_forget_forms', '_codes_of',
        '_words', '_create_comments', '_create_label_table', '_create_total_tables', '_create_figure_views', '_create_trend_view', '_nodes', '_sheet_day', '_fold', '_tick_fold',
        '_create_outbox_tables', '_create_watermark_tables', '_bury_message', '_clean_outbox', '_no_watermark'],
    'private helpers are revoked from PUBLIC, but for those that a caller needs');

-- A body runs as the owner of its book, who need not be a superuser.
SELECT is_empty($$
    SELECT f.oid::regprocedure, c.oid::regprocedure AS caller
    FROM our_function AS f JOIN our_function AS c ON c.prokind IN ('f', 'p')
    WHERE NOT has_function_privilege('public', f.oid, 'EXECUTE')
      AND position(format('settle.%s(', f.proname) IN CASE WHEN c.prosqlbody IS NULL THEN c.prosrc ELSE pg_get_function_sqlbody(c.oid) END) > 0$$,
    'what the body of a function calls is open to the owner of a book');

SELECT is_empty($$ SELECT oid::regprocedure FROM our_function WHERE obj_description(oid, 'pg_proc') IS NULL $$,
    'every function has a comment');

-- String bodies are parsed under the caller's search_path, at every call.
SELECT is_empty($$
    SELECT p.oid::regprocedure
    FROM our_function p JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname = 'sql' AND p.prosqlbody IS NULL$$,
    'every SQL function has a parsed body');

SELECT * FROM finish();
ROLLBACK;
