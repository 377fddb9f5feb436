-- Decision tables of others as decisions of a ruleset: cells become SQL
-- conditions, output cells outcomes, facts the columns of a row; arithmetic that
-- runs after the tables becomes rules over the decisions.  What hits and what it
-- comes to is for settle.evaluate_decision and settle.evaluate to say.

-- The alternatives of a cell; none where it says nothing.
CREATE FUNCTION tests(cell text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT trim(m[1])
    FROM regexp_matches(cell, '((?:"[^"]*"|[][(][^][()"]*\.\.[^][()"]*[][)]|\([^)]*\)|[^,"])+)', 'g') m
    WHERE trim(cell) NOT IN ('', '-');
END;

-- A constant of a cell, a text in double quotes or a number, in SQL.
CREATE FUNCTION constant(word text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN word ~ '^"' THEN quote_literal(trim('"' FROM word)) ELSE word END;

-- One test of a fact as a SQL condition; what has none of these forms is handed
-- on as it is, for the extension to refuse.
CREATE FUNCTION condition(fact text, type text, test text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    part text[];
BEGIN
    part := regexp_match(test, '^(<=|>=|<|>|) *("[^"]*"|-?[0-9.]+|true|false)$');
    IF part IS NOT NULL THEN
        RETURN format('%I %s %s', fact, coalesce(nullif(part[1], ''), '='), vectors.constant(part[2]));
    END IF;
    part := regexp_match(test, '^([][(]) *(.*?) *\.\. *(.*?) *([][)])$');
    IF part IS NOT NULL THEN
        RETURN format('%I %s %s AND %1$I %4$s %5$s', fact, CASE part[1] WHEN '[' THEN '>=' ELSE '>' END, vectors.constant(part[2]),
            CASE part[4] WHEN ']' THEN '<=' ELSE '<' END, vectors.constant(part[3]));
    END IF;
    part := regexp_match(test, '^contains\( *("[^"]*") *\)$');
    IF part IS NOT NULL THEN
        RETURN format(CASE type WHEN 'text[]' THEN '%2$s = ANY (%1$I)' ELSE 'strpos(%1$I, %2$s) > 0' END, fact, vectors.constant(part[1]));
    END IF;
    RETURN test;
END $$;

-- The facts as columns.  Numbers are written as texts: a fact is a number if it
-- looks like one, unless all that is asked of it is a text.
CREATE FUNCTION facts(input jsonb, tables jsonb) RETURNS TABLE (fact text, value jsonb, type text)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT f.key, f.value, CASE
        WHEN jsonb_typeof(f.value) = 'array' THEN 'text[]'
        WHEN jsonb_typeof(f.value) = 'boolean' OR (f.value = 'null' AND bool_or(test IN ('true', 'false'))) THEN 'boolean'
        WHEN bool_and(test ~ '"') THEN 'text'
        WHEN f.value = 'null' OR f.value #>> '{}' ~ '^-?[0-9]+(\.[0-9]+)?$' THEN 'numeric'
        ELSE 'text' END
    FROM jsonb_each(input -> 'facts') f
        LEFT JOIN (jsonb_array_elements(tables) t
            CROSS JOIN jsonb_array_elements_text(t -> 'inputs') WITH ORDINALITY i(name, n)
            CROSS JOIN jsonb_array_elements(t -> 'rules') r
            CROSS JOIN LATERAL vectors.tests(r -> 'in' ->> (i.n - 1)::int) test) ON i.name = f.key
    GROUP BY f.key, f.value;
END;

-- Whether a table gives one value, not an object of its outputs.
CREATE FUNCTION is_scalar(tab jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN coalesce((tab ->> 'scalar')::boolean, jsonb_array_length(tab -> 'outputs') = 1);

-- Output cells as one value; a blank one leaves its key out.
CREATE FUNCTION outcome(tab jsonb, cells jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN (SELECT CASE WHEN vectors.is_scalar(tab) THEN given -> (tab #>> '{outputs,0,name}') ELSE given END
        FROM (SELECT coalesce(jsonb_object_agg(o ->> 'name', (cells ->> (i - 1)::int)::jsonb)
                  FILTER (WHERE trim(cells ->> (i - 1)::int) NOT IN ('', '-')), '{}') AS given
              FROM jsonb_array_elements(tab -> 'outputs') WITH ORDINALITY t(o, i)) g);

-- Every combination of the listed output values: the first output counts most,
-- and of each the first value.
CREATE FUNCTION output_values(tab jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    combined jsonb := '[{}]';
    output jsonb;
BEGIN
    FOR output IN SELECT o FROM jsonb_array_elements(tab -> 'outputs') o WHERE o ? 'values' LOOP
        combined := (SELECT jsonb_agg(c || jsonb_build_object(output ->> 'name', v::jsonb) ORDER BY i, n)
                     FROM jsonb_array_elements(combined) WITH ORDINALITY a(c, i),
                          jsonb_array_elements_text(output -> 'values') WITH ORDINALITY b(v, n));
    END LOOP;
    RETURN CASE WHEN vectors.is_scalar(tab) THEN jsonb_path_query_array(combined, '$[*].*') ELSE combined END;
END $$;

-- A table as a decision, whose rows hit only where one more condition holds.
CREATE FUNCTION decision(tab jsonb, facts jsonb, only_when text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    policy text := lower(coalesce(tab ->> 'aggregation', replace(tab ->> 'hit_policy', ' ', '_')));
    is_list boolean := policy IN ('rule_order', 'output_order', 'collect');
    scalar boolean := vectors.is_scalar(tab);
    outcomes jsonb;
    types text[];
    fallback jsonb;
BEGIN
    SELECT jsonb_agg(jsonb_build_object('applies_when', applies_when, 'outcome', outcome) ORDER BY i), array_agg(DISTINCT jsonb_typeof(outcome))
    INTO outcomes, types
    FROM (SELECT i, vectors.outcome(tab, r -> 'out') AS outcome, concat_ws(' AND ', only_when, coalesce((
                 SELECT string_agg('(' || cell || ')', ' AND ')
                 FROM (SELECT (SELECT string_agg(vectors.condition(name, facts ->> name, test), ' OR ')
                               FROM vectors.tests(r -> 'in' ->> (n - 1)::int) test) AS cell
                       FROM jsonb_array_elements_text(tab -> 'inputs') WITH ORDINALITY c(name, n)) cells), 'true')) AS applies_when
          FROM jsonb_array_elements(tab -> 'rules') WITH ORDINALITY t(r, i)) rows;

    IF tab -> 'outputs' @? '$[*].default' THEN
        fallback := vectors.outcome(tab, (SELECT jsonb_agg(coalesce(o ->> 'default', '') ORDER BY i) FROM jsonb_array_elements(tab -> 'outputs') WITH ORDINALITY t(o, i)));
        IF is_list THEN
            fallback := jsonb_build_array(fallback);
        END IF;
    ELSIF tab ? 'scalar' AND NOT is_list THEN
        -- a table of a graph adds nothing to it where no row hits
        fallback := CASE WHEN NOT scalar THEN '{}' WHEN policy = 'sum' THEN '0' END;
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'policy', policy,
        'returns', CASE WHEN NOT scalar OR types[2] IS NOT NULL THEN 'jsonb'
                        ELSE CASE types[1] WHEN 'number' THEN 'numeric' WHEN 'boolean' THEN 'boolean' ELSE 'text' END END,
        'fallback', fallback,
        'output_values', CASE WHEN policy IN ('priority', 'output_order') THEN vectors.output_values(tab) END,
        'outcomes', outcomes));
END $$;

-- What arithmetic over the tables may name, as expressions: facts, outputs,
-- other formulas.  A name that nothing else explains is that of a table which
-- gives one value, in the order of such names and tables.
CREATE FUNCTION names(input jsonb, tables jsonb, formulas jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    names jsonb := (SELECT jsonb_object_agg(name, expression)
        FROM (SELECT o ->> 'name' AS name, format('(d.table%s ->> %L)::numeric', n, o ->> 'name') AS expression
              FROM jsonb_array_elements(tables) WITH ORDINALITY t(tab, n), jsonb_array_elements(tab -> 'outputs') o
              WHERE NOT vectors.is_scalar(tab)
              UNION ALL SELECT key, quote_ident(key) FROM jsonb_object_keys(input -> 'facts') key
              UNION ALL SELECT f ->> 0, 'c.' || quote_ident(f ->> 0) FROM jsonb_array_elements(formulas) f) n);
BEGIN
    RETURN '{"min": "least", "max": "greatest"}'::jsonb || names || coalesce((
        SELECT jsonb_object_agg(name, 'd.table' || number)
        FROM (SELECT name, row_number() OVER (ORDER BY name) AS i
              FROM (SELECT DISTINCT m[1] AS name FROM jsonb_array_elements(formulas) f,
                        regexp_matches(f ->> 1, '[A-Za-z_]\w*\M(?! *\()', 'g') m) words
              WHERE NOT names ? name) n
            JOIN (SELECT number, row_number() OVER (ORDER BY number) AS i
                  FROM jsonb_array_elements(tables) WITH ORDINALITY t(tab, number) WHERE vectors.is_scalar(tab)) t USING (i)), '{}');
END $$;

CREATE FUNCTION hit_policies(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    tables jsonb := coalesce(input -> 'tables', jsonb_build_array(input -> 'table'));
    combine text := input ->> 'combine';
    gap text := (regexp_match(combine, '^second table only when the first gives no (\w+)$'))[1];
    formulas jsonb := CASE WHEN combine IS NOT NULL AND gap IS NULL THEN jsonb_build_array(jsonb_build_array('result', combine))
                           ELSE coalesce(input -> 'formulas', '[]') END;
    facts jsonb := (SELECT jsonb_object_agg(fact, type) FROM vectors.facts(input, tables));
    facts_row text := (SELECT string_agg(format('%L::%s AS %I', CASE type
            WHEN 'text[]' THEN ARRAY(SELECT jsonb_array_elements_text(value))::text ELSE value #>> '{}' END, type, fact), ', ')
        FROM vectors.facts(input, tables));
    names jsonb := vectors.names(input, tables, formulas);
    rules settle.ruleset := jsonb_build_object('format', 1, 'time_zone', 'UTC', 'currency', 'CNY', 'period', 'month',
        'sources', '{"facts": {"key": "''facts''", "ready_at": "timestamptz ''2025-01-01 00:00Z''"}}'::jsonb,
        'decisions', (SELECT jsonb_object_agg('table' || n, vectors.decision(tab, facts, CASE WHEN n = 2 AND gap IS NOT NULL THEN format('NOT d.table1 ? %L', gap) END))
                      FROM jsonb_array_elements(tables) WITH ORDINALITY t(tab, n)),
        'rules', (SELECT coalesce(jsonb_agg(jsonb_build_object('code', f ->> 0, 'component', f ->> 0, 'source', 'facts', 'payer', 'a', 'payee', 'b',
                      'applies_when', 'true', 'tiers', '100%', 'rounding', 'half_up 0.00000000000000000001',
                      'base', (SELECT string_agg(coalesce(names ->> m[1], m[1]), '' ORDER BY i)
                               FROM regexp_matches(f ->> 1, '([A-Za-z_]\w*|[^A-Za-z_]+)', 'g') WITH ORDINALITY w(m, i)))), '[]')
                  FROM jsonb_array_elements(formulas) f));
    result jsonb;
BEGIN
    IF formulas <> '[]' THEN
        EXECUTE format('SELECT jsonb_object_agg(l.component, l.amount::text) FROM (SELECT %s) t, settle.unnest(settle.evaluate($1, t)) l', facts_row)
        INTO result USING rules;
        RETURN CASE WHEN combine IS NULL THEN jsonb_build_object('result', result) ELSE result END;
    END IF;
    -- what several tables give is put together, key by key
    FOR i IN 1 .. jsonb_array_length(tables) LOOP
        EXECUTE format('SELECT coalesce($1 || v, v) FROM (SELECT settle.evaluate_decision($2, %L, t) AS v FROM (SELECT %s) t) d', 'table' || i, facts_row)
        INTO result USING result, rules;
    END LOOP;
    RETURN jsonb_build_object('result', result);
END $$;
