-- pack: rules that are drafted, checked, approved and switched on together

CREATE FUNCTION settle.keep_packs() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_keep_packs' LANGUAGE C;
COMMENT ON FUNCTION settle.keep_packs() IS 'statement trigger on packs and the rule tables of a book: only drafts, and the base until a period has closed, can be changed';

CREATE FUNCTION settle._lock_rules(book regnamespace) RETURNS void AS 'MODULE_PATHNAME', 'settle_lock_rules' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._lock_rules(regnamespace) IS 'makes edits of the rules wait until this transaction ends';

CREATE FUNCTION settle._create_pack_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	table_name text;
	timing text;
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.pack (
			pack text PRIMARY KEY CHECK (pack <> ''),
			state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'submitted', 'approved', 'enabled', 'disabled')),
			applies_when text NOT NULL DEFAULT 'true',
			source name REFERENCES %1$I.source (source),
			choice name,
			priority integer NOT NULL DEFAULT 0,
			ends text[] NOT NULL DEFAULT '{}',
			title text,
			valid tstzrange,
			digest bytea,
			drafted_by text NOT NULL DEFAULT settle.actor(%2$L),
			drafted_at timestamptz NOT NULL DEFAULT now(),
			edited_by text[] NOT NULL DEFAULT '{}',
			submitted_by text, submitted_at timestamptz,
			approved_by text, approved_at timestamptz,
			enabled_by text, enabled_at timestamptz,
			disabled_by text, disabled_at timestamptz,
			reason text,
			CONSTRAINT in_force_once_enabled CHECK ((valid IS NOT NULL) = (state IN ('enabled', 'disabled'))),
			CONSTRAINT fixed_once_submitted CHECK (pack = 'base' OR (digest IS NOT NULL AND submitted_by IS NOT NULL) = (state <> 'draft')),
			CONSTRAINT approved_by_another CHECK (pack = 'base' OR state IN ('draft', 'submitted')
				OR (approved_by IS NOT NULL AND approved_by <> drafted_by AND approved_by <> submitted_by AND approved_by <> ALL (edited_by)))
		);
		COMMENT ON TABLE %1$I.pack IS 'packs of rules: what limits them, who drafted, edited, approved and enabled them, and when they are in force; the base stands in every book';
		INSERT INTO %1$I.pack (pack, state, valid, title) VALUES ('base', 'enabled', '(,)', 'what stands in no other pack');
		CREATE TRIGGER append_only BEFORE TRUNCATE ON %1$I.pack FOR EACH STATEMENT EXECUTE FUNCTION settle.refuse_change();
	$tables$, book, quote_ident(book));
	FOREACH table_name IN ARRAY ARRAY['pack', 'choice', 'decision', 'outcome', 'rule'] LOOP
		IF table_name <> 'pack' THEN
			EXECUTE format('ALTER TABLE %1$I.%2$I ADD FOREIGN KEY (pack) REFERENCES %1$I.pack', book, table_name);
		END IF;
		EXECUTE format('CREATE TRIGGER packs_lock BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION settle.keep_packs()', book, table_name);
		FOREACH timing IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
			EXECUTE format('CREATE TRIGGER %I AFTER %s ON %I.%I %s%s%s FOR EACH STATEMENT EXECUTE FUNCTION settle.keep_packs()',
				'packs_keep_' || lower(timing), timing, book, table_name,
				CASE WHEN timing <> 'TRUNCATE' THEN 'REFERENCING' END,
				CASE WHEN timing IN ('UPDATE', 'DELETE') THEN ' OLD TABLE AS older' END,
				CASE WHEN timing IN ('INSERT', 'UPDATE') THEN ' NEW TABLE AS newer' END);
		END LOOP;
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._create_pack_tables(name) IS 'makes the table of packs and what keeps their contents';

CREATE FUNCTION settle.add_pack(
	book regnamespace, pack text, applies_when text DEFAULT 'true', source name DEFAULT 'ticket',
	choice name DEFAULT NULL, priority integer DEFAULT 0, ends text[] DEFAULT '{}', title text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_add_definition' LANGUAGE C;
COMMENT ON FUNCTION settle.add_pack(regnamespace, text, text, name, name, integer, text[], text) IS
	'drafts a pack: rules and outcomes that are approved and enabled together, for the tickets of its scope; ends names the rules that it takes the place of';

CREATE FUNCTION settle._part_of_ruleset(document jsonb, pack text) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	choices CONSTANT jsonb := coalesce(nullif(document -> 'choices', 'null'), '{}');
	decisions CONSTANT jsonb := coalesce(nullif(document -> 'decisions', 'null'), '{}');
	rules CONSTANT jsonb := coalesce(nullif(document -> 'rules', 'null'), '[]');
BEGIN
	RETURN jsonb_build_object(
		'choices', (SELECT coalesce(jsonb_object_agg(c.key, coalesce(c.value -> 'policy', c.value)), '{}') FROM jsonb_each(choices) AS c
			WHERE coalesce(c.value ->> 'pack', 'base') = pack),
		'decisions', (SELECT coalesce(jsonb_object_agg(d.key, d.value - '{pack,outcomes}'::text[]), '{}') FROM jsonb_each(decisions) AS d
			WHERE coalesce(d.value ->> 'pack', 'base') = pack),
		'outcomes', (SELECT coalesce(jsonb_agg(o.value - 'pack' || jsonb_build_object('decision', d.key) ORDER BY d.key, o.ordinality), '[]')
			FROM jsonb_each(decisions) AS d CROSS JOIN LATERAL jsonb_array_elements(d.value -> 'outcomes') WITH ORDINALITY AS o
			WHERE coalesce(o.value ->> 'pack', 'base') = pack),
		'rules', (SELECT coalesce(jsonb_agg(r.value - 'pack' ORDER BY r.ordinality), '[]') FROM jsonb_array_elements(rules) WITH ORDINALITY AS r
			WHERE coalesce(r.value ->> 'pack', 'base') = pack));
END
$function$;
COMMENT ON FUNCTION settle._part_of_ruleset(jsonb, text) IS 'what the document of a ruleset says in one pack';

CREATE FUNCTION settle._pack_digest(book regnamespace, pack text) RETURNS bytea
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	limits jsonb;
BEGIN
	EXECUTE format('SELECT to_jsonb(k.*) FROM (SELECT applies_when, source, choice, priority, ends FROM %s.pack WHERE pack = $1) AS k', book)
		INTO limits USING pack;
	RETURN sha256(convert_to((settle._part_of_ruleset(settle.rules(book, packs => ARRAY[pack])::jsonb, pack) || limits)::text, 'UTF8'));
END
$function$;
COMMENT ON FUNCTION settle._pack_digest(regnamespace, text) IS 'sha256 of all that a pack says';

CREATE FUNCTION settle._take_pack(book regnamespace, pack text, states text[], as_submitted boolean) RETURNS jsonb
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	taken jsonb;
BEGIN
	PERFORM settle._lock_rules(book);
	EXECUTE format('SELECT to_jsonb(k) FROM %s.pack AS k WHERE k.pack = $1', book) INTO taken USING pack;
	IF taken IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('pack "%s" does not exist', pack),
			HINT = 'Make it with settle.add_pack.';
	END IF;
	IF pack = 'base' OR taken ->> 'state' <> ALL (states) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('pack "%s" is %s, not %s', pack, CASE WHEN pack = 'base' THEN 'in force for ever' ELSE taken ->> 'state' END, array_to_string(states, ' or ')),
			HINT = 'A pack is drafted, submitted, approved, enabled and disabled, one after the other.';
	END IF;
	IF as_submitted AND (taken ->> 'digest')::bytea <> settle._pack_digest(book, pack) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('pack "%s" is not what was submitted', pack),
			DETAIL = 'Its content has another digest than the one that was fixed when it was submitted.',
			HINT = 'Make it a draft again with settle.redraft_pack, look at it and submit it anew.';
	END IF;
	RETURN taken;
END
$function$;
COMMENT ON FUNCTION settle._take_pack(regnamespace, text, text[], boolean) IS 'locks the rules and gives a pack that stands in one of some states, and is still what was submitted where that is asked';

CREATE FUNCTION settle.submit_pack(book regnamespace, pack text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.submit_pack(regnamespace, text, text) IS 'asks for the approval of a draft: from now on it cannot be edited';

CREATE FUNCTION settle._submit_pack(book regnamespace, pack text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	findings text;
BEGIN
	PERFORM settle._take_pack(book, pack, '{draft}', false);
	-- what is wrong without the pack, too, is no fault of it
	findings := (SELECT string_agg(l.object || ': ' || l.detail, E'\n' ORDER BY l.object, l.detail) FROM (
		SELECT w.object, w.detail FROM settle.lint(book, ARRAY[pack]) AS w WHERE w.severity = 'error'
		EXCEPT
		SELECT o.object, o.detail FROM settle.lint(book) AS o WHERE o.severity = 'error') AS l);
	IF findings IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('pack "%s" cannot be submitted: settle.lint finds errors', pack),
			DETAIL = findings,
			HINT = 'Correct them, or ask settle.lint for all that it finds.';
	END IF;
	-- the table's trigger compiles the pack with what is in force now
	EXECUTE format('UPDATE %s.pack SET state = ''submitted'', submitted_by = settle.actor($1), submitted_at = clock_timestamp(), reason = $3, '
		'digest = settle._pack_digest($1, $2) WHERE pack = $2', book) USING book, pack, reason;
END
$function$;
COMMENT ON FUNCTION settle._submit_pack(regnamespace, text, text) IS 'body of settle.submit_pack';
REVOKE ALL ON FUNCTION settle._submit_pack(regnamespace, text, text) FROM PUBLIC;

CREATE FUNCTION settle.redraft_pack(book regnamespace, pack text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.redraft_pack(regnamespace, text, text) IS 'takes back a pack that is submitted or approved: it is a draft again';

CREATE FUNCTION settle._redraft_pack(book regnamespace, pack text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM settle._take_pack(book, pack, '{submitted,approved}', false);
	EXECUTE format('UPDATE %s.pack SET state = ''draft'', digest = NULL, submitted_by = NULL, submitted_at = NULL, approved_by = NULL, approved_at = NULL, reason = $2 '
		'WHERE pack = $1', book) USING pack, reason;
END
$function$;
COMMENT ON FUNCTION settle._redraft_pack(regnamespace, text, text) IS 'body of settle.redraft_pack';

CREATE FUNCTION settle.reject_pack(book regnamespace, pack text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.reject_pack(regnamespace, text, text) IS 'gives a submitted or approved pack back to who drafted it: it is a draft again';

CREATE FUNCTION settle._reject_pack(book regnamespace, pack text, reason text) RETURNS void
	LANGUAGE sql
	BEGIN ATOMIC
		SELECT settle._redraft_pack(book, pack, reason);
	END;
COMMENT ON FUNCTION settle._reject_pack(regnamespace, text, text) IS 'body of settle.reject_pack';
REVOKE ALL ON FUNCTION settle._reject_pack(regnamespace, text, text) FROM PUBLIC;

CREATE FUNCTION settle.approve_pack(book regnamespace, pack text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.approve_pack(regnamespace, text, text) IS 'approves what was submitted; whoever drafted, edited or submitted it cannot';

CREATE FUNCTION settle._approve_pack(book regnamespace, pack text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	taken CONSTANT jsonb := settle._take_pack(book, pack, '{submitted}', true);
	actor CONSTANT text := settle.actor(book);
BEGIN
	IF actor IN (taken ->> 'drafted_by', taken ->> 'submitted_by') OR taken -> 'edited_by' ? actor THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('pack "%s" needs the approval of another person', pack),
			DETAIL = format('"%s" has drafted, edited or submitted it.', actor);
	END IF;
	EXECUTE format('UPDATE %s.pack SET state = ''approved'', approved_by = $2, approved_at = clock_timestamp(), reason = $3 WHERE pack = $1', book)
		USING pack, actor, reason;
END
$function$;
COMMENT ON FUNCTION settle._approve_pack(regnamespace, text, text) IS 'body of settle.approve_pack';
REVOKE ALL ON FUNCTION settle._approve_pack(regnamespace, text, text) FROM PUBLIC;

CREATE FUNCTION settle._check_pack_time(book regnamespace, pack text, at timestamptz, reach_back boolean) RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	opens_at timestamptz;
	time_zone text;
BEGIN
	IF at IS NULL OR NOT isfinite(at) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a pack is enabled and disabled at an instant, not at %s', coalesce(at::text, 'null'));
	END IF;
	EXECUTE format('SELECT settle._period_after(b.period, max(p.period))::timestamp AT TIME ZONE b.time_zone, b.time_zone '
		'FROM %1$s.book AS b JOIN %1$s.period AS p ON p.state = ''closed'' GROUP BY b.period, b.time_zone', book) INTO opens_at, time_zone;
	IF at < opens_at AND reach_back IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('pack "%s" would change what was settled in closed periods', pack),
			DETAIL = format('%s lies before %s, when the oldest open period begins in book time.', at AT TIME ZONE time_zone, opens_at AT TIME ZONE time_zone),
			HINT = 'Choose a later instant, or say reach_back => true: its tickets are settled again, and the differences posted in the open period.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._check_pack_time(regnamespace, text, timestamptz, boolean) IS 'refuses an instant at which a pack would reach into closed periods without being told to';

CREATE FUNCTION settle.enable_pack(book regnamespace, pack text, at timestamptz DEFAULT now(), reach_back boolean DEFAULT false)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.enable_pack(regnamespace, text, timestamptz, boolean) IS
	'puts an approved pack into force from an instant on, where the rules end that its ends name; reach_back lets that be in a closed period';

CREATE FUNCTION settle._enable_pack(book regnamespace, pack text, at timestamptz, reach_back boolean) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM settle._take_pack(book, pack, '{approved}', true);
	PERFORM settle._check_pack_time(book, pack, at, reach_back);
	-- one statement, so that what is checked after it is the whole
	EXECUTE format($enable$
		WITH enabled AS (
			UPDATE %1$s.pack SET state = 'enabled', valid = tstzrange($2, NULL), enabled_by = settle.actor($3), enabled_at = clock_timestamp()
			WHERE pack = $1
			RETURNING ends
		), ended AS (
			SELECT r.rule_id, coalesce(greatest(lower(r.valid), lower(k.valid)) >= $2, false) AS is_later
			FROM enabled AS e JOIN %1$s.rule AS r ON r.code = ANY (e.ends) JOIN %1$s.pack AS k ON k.pack = r.pack
			WHERE k.state = 'enabled' AND k.pack <> $1 AND (upper(r.valid) <= $2) IS NOT TRUE
		), gone AS (
			DELETE FROM %1$s.rule AS r USING ended AS e WHERE r.rule_id = e.rule_id AND e.is_later
		)
		UPDATE %1$s.rule AS r SET valid = tstzrange(lower(r.valid), $2) FROM ended AS e WHERE r.rule_id = e.rule_id AND NOT e.is_later
	$enable$, book) USING pack, at, book;
END
$function$;
COMMENT ON FUNCTION settle._enable_pack(regnamespace, text, timestamptz, boolean) IS 'body of settle.enable_pack';
REVOKE ALL ON FUNCTION settle._enable_pack(regnamespace, text, timestamptz, boolean) FROM PUBLIC;

CREATE FUNCTION settle.disable_pack(book regnamespace, pack text, at timestamptz DEFAULT now(), reach_back boolean DEFAULT false)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.disable_pack(regnamespace, text, timestamptz, boolean) IS
	'ends a pack at an instant, for good; one that is not after its start withdraws it as if it had never been in force';

CREATE FUNCTION settle._disable_pack(book regnamespace, pack text, at timestamptz, reach_back boolean) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM settle._take_pack(book, pack, '{enabled}', false);
	PERFORM settle._check_pack_time(book, pack, at, reach_back);
	EXECUTE format('UPDATE %s.pack SET state = ''disabled'', valid = valid * tstzrange(NULL, $2), disabled_by = settle.actor($3), disabled_at = clock_timestamp() '
		'WHERE pack = $1', book) USING pack, at, book;
END
$function$;
COMMENT ON FUNCTION settle._disable_pack(regnamespace, text, timestamptz, boolean) IS 'body of settle.disable_pack';
REVOKE ALL ON FUNCTION settle._disable_pack(regnamespace, text, timestamptz, boolean) FROM PUBLIC;
