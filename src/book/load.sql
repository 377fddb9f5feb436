-- load: a ruleset kept as a file, applied to a book as a difference

CREATE FUNCTION settle._file_instant(value jsonb) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	-- the one that is not finite: until then nothing is in force
	RETURN CASE WHEN value #>> '{}' = '-infinity' THEN '-infinity' ELSE settle._instant((value #>> '{}')::timestamptz) END;
END
$function$;
COMMENT ON FUNCTION settle._file_instant(jsonb) IS 'an instant of a document, spelled as settle.rules does';

CREATE FUNCTION settle._items_of(part jsonb)
	RETURNS TABLE (kind text, object text, key text, item jsonb, place bigint)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY
		SELECT 'choice', c.key, jsonb_build_array(c.key)::text, jsonb_build_object('choice', c.key, 'policy', c.value), 1::bigint
		FROM jsonb_each(part -> 'choices') AS c;
	RETURN QUERY
		SELECT 'decision', d.key, jsonb_build_array(d.key)::text, d.value || jsonb_build_object('decision', d.key), 1::bigint
		FROM jsonb_each(part -> 'decisions') AS d;
	RETURN QUERY
		SELECT 'outcome', (o.item ->> 'decision') || ': ' || (o.item ->> 'applies_when'),
			jsonb_build_array(o.item -> 'decision', o.item -> 'source', o.item -> 'applies_when', o.item -> 'from',
				row_number() OVER (PARTITION BY o.item -> 'decision', o.item -> 'source', o.item -> 'applies_when', o.item -> 'from' ORDER BY o.place))::text,
			o.item, o.place
		FROM (
			SELECT jsonb_build_object('outcome', v.value -> 'outcome') || jsonb_strip_nulls(jsonb_build_object(
				'decision', v.value ->> 'decision', 'source', v.value ->> 'source', 'applies_when', v.value ->> 'applies_when',
				'priority', coalesce(nullif(v.value -> 'priority', 'null'), '0'),
				'from', settle._file_instant(v.value -> 'from'), 'until', settle._file_instant(v.value -> 'until'), 'title', v.value ->> 'title')) AS item,
				v.ordinality AS place
			FROM jsonb_array_elements(part -> 'outcomes') WITH ORDINALITY AS v
		) AS o;
	RETURN QUERY
		SELECT 'rule', r.item ->> 'code', jsonb_build_array(r.item -> 'code', r.item -> 'from')::text, r.item, r.place
		FROM (
			SELECT jsonb_strip_nulls(jsonb_build_object(
				'code', v.value ->> 'code', 'component', v.value ->> 'component', 'source', v.value ->> 'source',
				'payer', v.value ->> 'payer', 'payee', v.value ->> 'payee', 'payees', v.value ->> 'payees',
				'base', v.value ->> 'base', 'remainder', coalesce(nullif(v.value -> 'remainder', 'null'), 'false'), 'applies_when', v.value ->> 'applies_when',
				'tiers', (v.value ->> 'tiers')::settle.tiers::text, 'factors', coalesce(nullif(v.value -> 'factors', 'null'), '[]'),
				'accumulate', v.value ->> 'accumulate', 'tally_by', v.value ->> 'tally_by', 'measure', v.value ->> 'measure',
				'clock', nullif(v.value ->> 'clock', 'ticket'), 'share', nullif(v.value ->> 'share', 'fee'), 'repeats', nullif(v.value ->> 'repeats', 'skip'),
				'at_least', v.value ->> 'at_least', 'at_most', v.value ->> 'at_most', 'rounding', v.value ->> 'rounding', 'unit', v.value ->> 'unit',
				'choice', v.value ->> 'choice', 'priority', coalesce(nullif(v.value -> 'priority', 'null'), '0'),
				'overrides', coalesce(nullif(v.value -> 'overrides', 'null'), '[]'),
				'from', settle._file_instant(v.value -> 'from'), 'until', settle._file_instant(v.value -> 'until'), 'title', v.value ->> 'title')) AS item,
				v.ordinality AS place
			FROM jsonb_array_elements(part -> 'rules') WITH ORDINALITY AS v
		) AS r;
END
$function$;
COMMENT ON FUNCTION settle._items_of(jsonb) IS
	'the choices, decisions, outcomes and rules of a part of a ruleset, spelled as settle.rules does whatever a file leaves out; key tells versions apart';

CREATE FUNCTION settle._wanted_part(book regnamespace, document jsonb, pack text) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	stands CONSTANT jsonb := settle.rules(book, packs => ARRAY[pack])::jsonb;
	setting text;
BEGIN
	FOREACH setting IN ARRAY '{time_zone,currency,period}'::text[] LOOP
		IF document ->> setting <> stands ->> setting THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('the ruleset has the %s "%s", book "%s" has "%s"', setting, document ->> setting, book, stands ->> setting),
				HINT = 'Its rules would mean something else in this book.';
		END IF;
	END LOOP;
	IF NOT stands -> 'sources' @> coalesce(nullif(document -> 'sources', 'null'), '{}') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the ruleset reads its sources otherwise than book "%s"', book),
			HINT = 'Sources are no part of a pack: add them with settle.add_source, or correct their mapping on one side.';
	END IF;
	IF (document #> ARRAY['packs', pack]) - '{from,until}'::text[] <> (stands #> ARRAY['packs', pack]) - '{from,until}'::text[] THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the ruleset limits pack "%s" otherwise than book "%s"', pack, book),
			DETAIL = format('There it is %s, here %s.', (document #> ARRAY['packs', pack]) - '{from,until}'::text[], (stands #> ARRAY['packs', pack]) - '{from,until}'::text[]),
			HINT = 'Correct the scope or choice on one side; that of a draft stands in the table pack of the book.';
	END IF;
	IF pack = 'base' OR document -> 'packs' ? pack THEN
		RETURN settle._part_of_ruleset(document, pack);
	END IF;
	IF jsonb_typeof(document -> 'packs') = 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('the ruleset has no pack "%s"', pack),
			HINT = 'One that names packs is loaded pack by pack; one that names none can be loaded whole into any.';
	END IF;
	RETURN settle._part_of_ruleset(document, 'base');
END
$function$;
COMMENT ON FUNCTION settle._wanted_part(regnamespace, jsonb, text) IS 'what a document says for one pack of a book, once it is certain that it means the same there';

-- Rules that sheets refer to stay what they were, and so does what they and the
-- outcomes of a book that has settled tickets are made of: they can be ended.
CREATE FUNCTION settle._plan_load(book regnamespace, pack text, wanted jsonb, stands jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	steps jsonb;
BEGIN
	EXECUTE format($plan$
		WITH numbered AS (
			SELECT 'rule' AS kind, jsonb_build_array(r.code, settle._instant(lower(r.valid)))::text AS key, r.rule_id AS id, r.valid
			FROM %1$s.rule AS r WHERE r.pack = $1
			UNION ALL
			SELECT 'outcome', jsonb_build_array(o.decision, o.source, o.applies_when, settle._instant(lower(o.valid)),
				row_number() OVER (PARTITION BY o.decision, o.source, o.applies_when, lower(o.valid) ORDER BY o.outcome_id))::text, o.outcome_id, o.valid
			FROM %1$s.outcome AS o WHERE o.pack = $1
		), w AS MATERIALIZED (
			SELECT * FROM settle._items_of($2)
		), difference AS MATERIALIZED (
			SELECT coalesce(w.kind, s.kind) AS kind, coalesce(w.object, s.object) AS object, w.item AS wanted, s.item AS stands, w.place, n.id, n.valid
			FROM w FULL JOIN settle._items_of($3) AS s ON s.kind = w.kind AND s.key = w.key
			LEFT JOIN numbered AS n ON n.kind = s.kind AND n.key = s.key
			WHERE w.item IS DISTINCT FROM s.item
		), used AS (
			SELECT DISTINCT l.rule_id
			FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l
			WHERE EXISTS (SELECT FROM difference AS d WHERE d.kind = 'rule' AND d.id IS NOT NULL)
		), judged AS (
			SELECT d.*, settle._changed_keys(d.stands, d.wanted) AS keys,
				CASE d.kind WHEN 'rule' THEN d.id IN (SELECT u.rule_id FROM used AS u)
					ELSE EXISTS (SELECT FROM %1$s.sheet) AND (lower(d.valid) >= now()) IS NOT TRUE END AS is_used,
				-- a version that follows says when it ends
				coalesce(CASE WHEN d.kind = 'rule' AND d.wanted IS NULL THEN
					(SELECT min((w.item ->> 'from')::timestamptz) FROM w
					WHERE w.kind = 'rule' AND w.object = d.object AND ((w.item ->> 'from')::timestamptz <= lower(d.valid)) IS NOT TRUE) END, now()) AS ends_at
			FROM difference AS d
		)
		SELECT coalesce(jsonb_agg(jsonb_build_object('action', v.action, 'kind', j.kind, 'object', j.object,
			'detail', CASE v.action WHEN 'changed' THEN array_to_string(j.keys, ', ') WHEN 'ended' THEN 'at ' || settle._instant(j.ends_at)
				ELSE 'from ' || (coalesce(j.wanted, j.stands) ->> 'from') END,
			'id', j.id, 'at', j.ends_at, 'item', j.wanted, 'place', j.place,
			'is_never', coalesce(j.wanted ->> 'until' = '-infinity', false),
			'is_refused', v.action = 'changed' AND j.is_used AND j.kind IN ('rule', 'outcome') AND NOT j.keys <@ '{until,title}')
			ORDER BY array_position('{choice,decision,outcome,rule}', j.kind), j.object, j.stands IS NULL, coalesce(j.wanted, j.stands) ->> 'from' NULLS FIRST, j.place), '[]')
		FROM judged AS j
		CROSS JOIN LATERAL (SELECT CASE WHEN j.stands IS NULL THEN 'added' WHEN j.wanted IS NOT NULL THEN 'changed'
			WHEN NOT j.is_used THEN 'removed' WHEN j.kind IN ('rule', 'outcome') AND (upper(j.valid) <= j.ends_at) IS NOT TRUE THEN 'ended' END) AS v (action)
		WHERE v.action IS NOT NULL
	$plan$, book) INTO steps USING pack, wanted, stands;
	RETURN steps;
END
$function$;
COMMENT ON FUNCTION settle._plan_load(regnamespace, text, jsonb, jsonb) IS 'the steps that make of the part of a pack that stands the part that is wanted';

CREATE FUNCTION settle._changed_keys(before jsonb, after jsonb) RETURNS text[]
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN ARRAY(
		SELECT coalesce(b.key, a.key)
		FROM jsonb_each(coalesce(before, '{}')) AS b FULL JOIN jsonb_each(coalesce(after, '{}')) AS a ON a.key = b.key
		WHERE b.value IS DISTINCT FROM a.value
		ORDER BY 1);
END
$function$;
COMMENT ON FUNCTION settle._changed_keys(jsonb, jsonb) IS 'the keys whose values differ between two objects';

CREATE FUNCTION settle._order_outcomes(book regnamespace, pack text, wanted jsonb) RETURNS SETOF text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	decisions text[];
	ids integer[];
	highest integer;
	moved boolean;
BEGIN
	PERFORM settle._lock_rules(book);
	EXECUTE format($order$
		SELECT array_agg(w.item ->> 'decision' ORDER BY w.item ->> 'decision', w.place), array_agg(n.outcome_id ORDER BY w.item ->> 'decision', w.place)
		FROM settle._items_of($2) AS w
		JOIN (SELECT o.outcome_id, jsonb_build_array(o.decision, o.source, o.applies_when, settle._instant(lower(o.valid)),
				row_number() OVER (PARTITION BY o.decision, o.source, o.applies_when, lower(o.valid) ORDER BY o.outcome_id))::text AS key
			FROM %s.outcome AS o WHERE o.pack = $1) AS n ON n.key = w.key
		WHERE w.kind = 'outcome'
	$order$, book) INTO decisions, ids USING pack, wanted;
	FOR i IN 1 .. coalesce(cardinality(ids), 0) LOOP
		IF i = 1 OR decisions[i] <> decisions[i - 1] THEN
			highest := 0;
			moved := false;
		END IF;
		IF ids[i] > highest AND NOT moved THEN
			highest := ids[i];
			CONTINUE;
		END IF;
		IF NOT moved THEN
			moved := true;
			RETURN NEXT decisions[i];
		END IF;
		-- from here on each comes after all that there are
		EXECUTE format('UPDATE %s.outcome SET outcome_id = DEFAULT WHERE outcome_id = $1', book) USING ids[i];
	END LOOP;
END
$function$;
COMMENT ON FUNCTION settle._order_outcomes(regnamespace, text, jsonb) IS 'gives outcomes the order of a document, which decides between those of one priority; returns the decisions where it was another';

CREATE FUNCTION settle.load_rules(book regnamespace, ruleset settle.ruleset, pack text DEFAULT 'base')
	RETURNS TABLE (action text, kind text, object text, detail text) AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.load_rules(regnamespace, settle.ruleset, text) IS
	'makes a pack what a ruleset says, and returns what that has changed: nothing where it says what stands';

CREATE FUNCTION settle._load_rules(book regnamespace, ruleset settle.ruleset, pack text)
	RETURNS TABLE (action text, kind text, object text, detail text)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	document CONSTANT jsonb := ruleset::jsonb;
	wanted jsonb;
	stands jsonb;
	steps jsonb;
	refused jsonb;
	state text;
BEGIN
	IF ruleset IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'ruleset is null';
	END IF;
	PERFORM settle._lock_rules(book);
	EXECUTE format('SELECT k.state FROM %s.pack AS k WHERE k.pack = $1', book) INTO state USING pack;
	IF state IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('pack "%s" does not exist', pack),
			HINT = 'Make it with settle.add_pack.';
	END IF;
	wanted := settle._wanted_part(book, document, pack);
	stands := settle._part_of_ruleset(settle.rules(book, packs => CASE WHEN state NOT IN ('enabled', 'disabled') THEN ARRAY[pack] END)::jsonb, pack);
	steps := settle._plan_load(book, pack, wanted, stands);
	-- what was enabled is compared as it is in force, not as its rows stand
	IF steps <> '[]' AND pack <> 'base' AND state <> 'draft' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('pack "%s" is %s and cannot be changed', pack, state),
			HINT = 'Load what is to be into a draft.';
	END IF;
	SELECT s INTO refused FROM jsonb_array_elements(steps) AS s WHERE (s ->> 'is_refused')::boolean OR (s ->> 'is_never')::boolean LIMIT 1;
	IF (refused ->> 'is_never')::boolean THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('%s "%s" of the ruleset is never in force', refused ->> 'kind', refused ->> 'object'),
			DETAIL = 'Its pack was withdrawn, or another pack that the ruleset was asked for ends it from the beginning.',
			HINT = 'Leave it out, or take the ruleset without that pack.';
	END IF;
	IF refused IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s "%s" has settled tickets and cannot be changed', refused ->> 'kind', refused ->> 'object'),
			DETAIL = format('The ruleset has another %s.', refused ->> 'detail'),
			HINT = 'Let it stand in the ruleset with an "until", and give the version that follows a "from".';
	END IF;

	-- one statement, so that what is checked after it is the whole; each part waits for the one before
	IF steps <> '[]' THEN
		EXECUTE format($apply$
			WITH step AS MATERIALIZED (
				SELECT s.action, s.kind, s.object, s.id, s.at, s.item, s.place
				FROM jsonb_to_recordset($1) AS s (action text, kind text, object text, id integer, at timestamptz, item jsonb, place bigint)
			), gone_outcome AS (
				DELETE FROM %1$s.outcome AS o USING step AS s WHERE s.kind = 'outcome' AND s.action = 'removed' AND o.outcome_id = s.id RETURNING 1
			), gone_rule AS (
				DELETE FROM %1$s.rule AS r USING step AS s WHERE s.kind = 'rule' AND s.action = 'removed' AND r.rule_id = s.id RETURNING 1
			), changed_rule AS (
				UPDATE %1$s.rule AS r SET component = v.component, source = v.source, payer = v.payer, payee = v.payee, payees = v.payees, base = v.base,
					remainder = v.remainder, applies_when = v.applies_when, tiers = v.tiers::settle.tiers, factors = v.factors, accumulate = v.accumulate,
					tally_by = v.tally_by, measure = v.measure, clock = coalesce(v.clock, 'ticket'), share = coalesce(v.share, 'fee'), repeats = coalesce(v.repeats, 'skip'), at_least = v.at_least,
					at_most = v.at_most, rounding = v.rounding, unit = v.unit, choice = v.choice, priority = v.priority, overrides = v.overrides, title = v.title,
					valid = tstzrange(lower(r.valid), v.until)
				FROM step AS s CROSS JOIN LATERAL jsonb_to_record(s.item) AS v (component text, source name, payer text, payee text, payees text, base text,
					remainder boolean, applies_when text, tiers text, factors text[], accumulate text, tally_by text, measure text, clock text, share text, repeats text, at_least text,
					at_most text, rounding text, unit text, choice text, priority integer, overrides text[], title text, until timestamptz)
				WHERE s.kind = 'rule' AND s.action = 'changed' AND r.rule_id = s.id AND (SELECT count(*) FROM gone_rule) >= 0
				RETURNING 1
			), ended_rule AS (
				UPDATE %1$s.rule AS r SET valid = tstzrange(lower(r.valid), s.at)
				FROM step AS s WHERE s.kind = 'rule' AND s.action = 'ended' AND r.rule_id = s.id AND (SELECT count(*) FROM changed_rule) >= 0
				RETURNING 1
			), added_rule AS (
				INSERT INTO %1$s.rule (code, component, source, payer, payee, payees, base, remainder, applies_when, tiers, factors, accumulate, tally_by, measure,
					clock, share, repeats, at_least, at_most, rounding, unit, choice, priority, overrides, title, valid, pack)
				SELECT v.code, v.component, v.source, v.payer, v.payee, v.payees, v.base, v.remainder, v.applies_when, v.tiers::settle.tiers, v.factors, v.accumulate,
					v.tally_by, v.measure, coalesce(v.clock, 'ticket'), coalesce(v.share, 'fee'), coalesce(v.repeats, 'skip'), v.at_least, v.at_most, v.rounding, v.unit, v.choice, v.priority,
					v.overrides, v.title, tstzrange(v."from", v.until), $2
				FROM step AS s CROSS JOIN LATERAL jsonb_to_record(s.item) AS v (code text, component text, source name, payer text, payee text, payees text, base text,
					remainder boolean, applies_when text, tiers text, factors text[], accumulate text, tally_by text, measure text, clock text, share text, repeats text, at_least text,
					at_most text, rounding text, unit text, choice text, priority integer, overrides text[], title text, "from" timestamptz, until timestamptz)
				WHERE s.kind = 'rule' AND s.action = 'added' AND (SELECT count(*) FROM ended_rule) >= 0
				ORDER BY s.place
			), changed_outcome AS (
				UPDATE %1$s.outcome AS o SET outcome = s.item -> 'outcome', priority = (s.item ->> 'priority')::integer, title = s.item ->> 'title',
					valid = tstzrange(lower(o.valid), (s.item ->> 'until')::timestamptz)
				FROM step AS s WHERE s.kind = 'outcome' AND s.action = 'changed' AND o.outcome_id = s.id
			), ended_outcome AS (
				UPDATE %1$s.outcome AS o SET valid = tstzrange(lower(o.valid), s.at)
				FROM step AS s WHERE s.kind = 'outcome' AND s.action = 'ended' AND o.outcome_id = s.id
			), added_outcome AS (
				INSERT INTO %1$s.outcome (decision, source, applies_when, outcome, priority, title, valid, pack)
				SELECT s.item ->> 'decision', s.item ->> 'source', s.item ->> 'applies_when', s.item -> 'outcome', (s.item ->> 'priority')::integer, s.item ->> 'title',
					tstzrange((s.item ->> 'from')::timestamptz, (s.item ->> 'until')::timestamptz), $2
				FROM step AS s WHERE s.kind = 'outcome' AND s.action = 'added'
				ORDER BY s.place
			), gone_decision AS (
				DELETE FROM %1$s.decision AS d USING step AS s
				WHERE s.kind = 'decision' AND s.action = 'removed' AND d.decision = s.object AND (SELECT count(*) FROM gone_outcome) >= 0
			), changed_decision AS (
				UPDATE %1$s.decision AS d SET policy = s.item ->> 'policy', returns = s.item ->> 'returns', fallback = s.item -> 'fallback', output_values = s.item -> 'output_values'
				FROM step AS s WHERE s.kind = 'decision' AND s.action = 'changed' AND d.decision = s.item ->> 'decision'
			), added_decision AS (
				INSERT INTO %1$s.decision (decision, policy, returns, fallback, output_values, pack)
				SELECT s.item ->> 'decision', s.item ->> 'policy', s.item ->> 'returns', s.item -> 'fallback', s.item -> 'output_values', $2
				FROM step AS s WHERE s.kind = 'decision' AND s.action = 'added'
			), gone_choice AS (
				DELETE FROM %1$s.choice AS c USING step AS s WHERE s.kind = 'choice' AND s.action = 'removed' AND c.choice = s.object
			), changed_choice AS (
				UPDATE %1$s.choice AS c SET policy = s.item ->> 'policy' FROM step AS s
				WHERE s.kind = 'choice' AND s.action = 'changed' AND c.choice = s.item ->> 'choice'
			)
			INSERT INTO %1$s.choice (choice, policy, pack)
			SELECT s.item ->> 'choice', s.item ->> 'policy', $2 FROM step AS s WHERE s.kind = 'choice' AND s.action = 'added'
		$apply$, book) USING steps, pack;
	END IF;

	RETURN QUERY SELECT s ->> 'action', s ->> 'kind', s ->> 'object', s ->> 'detail' FROM jsonb_array_elements(steps) AS s;
	RETURN QUERY SELECT 'changed', 'decision', o, 'order of outcomes' FROM settle._order_outcomes(book, pack, wanted) AS o;
END
$function$;
COMMENT ON FUNCTION settle._load_rules(regnamespace, settle.ruleset, text) IS 'body of settle.load_rules';
REVOKE ALL ON FUNCTION settle._load_rules(regnamespace, settle.ruleset, text) FROM PUBLIC;
