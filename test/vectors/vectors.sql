-- Runs numeric facts of others through the SQL surface of the extension.
--
-- One function a file of vectors turns the words of an input into values and
-- calls of schema settle, and names the result; prices, splits and taxes are
-- computed by the extension alone.  vectors.check() compares; README.md beside
-- this file says how to run it.
CREATE SCHEMA vectors;
SET search_path = vectors, pg_catalog;

CREATE TABLE vector (
    file text NOT NULL,
    id text NOT NULL,
    input jsonb NOT NULL,
    target jsonb NOT NULL,
    PRIMARY KEY (file, id)
);

-- Takes files in, an object of file -> its array; the target of a vector is
-- "naive" where that does not agree with the peer.
CREATE FUNCTION load(files jsonb) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO vectors.vector
    SELECT file, v ->> 'id', v -> 'input',
           CASE WHEN (v ->> 'naive_agrees')::boolean THEN v -> 'expected' ELSE v -> 'naive' END
    FROM jsonb_each(files) f(file, content), jsonb_array_elements(content) v;
END;

-- Why a vector is not run; null where it is.
CREATE FUNCTION skip_reason(file text, input jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN file = 'ledger'
    THEN 'a workflow of documents: holds that are later posted or voided; a settlement posts lines and corrects them' END;

------------------------------------------------------------------------------
-- words
------------------------------------------------------------------------------

-- Tiers whose last one ends somewhere cost nothing beyond it.
CREATE FUNCTION open_ended(tiers jsonb, beyond jsonb DEFAULT '{"unit": "0"}') RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN (tiers -> -1 ->> 'up_to') IS NULL THEN tiers ELSE tiers || jsonb_build_array(beyond) END;

-- The options of an input that a scale has too, under the names that it has.
CREATE FUNCTION options(input jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN jsonb_strip_nulls(jsonb_build_object(
    'min', input -> 'min', 'max', coalesce(input -> 'max', input -> 'max_cost'),
    'divide_by', input -> 'divide_by', 'multiply_by', input -> 'multiply_by', 'round', input -> 'round',
    'free_units', coalesce(input -> 'free_units', input -> 'discount_units', input -> 'usage_discount')));

CREATE FUNCTION percent(rate text) RETURNS settle.tiers
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('tiers', jsonb_build_array(jsonb_build_object('rate_percent', rate)))::settle.tiers;

CREATE FUNCTION each(price text) RETURNS settle.tiers
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('tiers', jsonb_build_array(jsonb_build_object('unit', price)))::settle.tiers;

CREATE FUNCTION rounded(amount numeric, how jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE
RETURN settle.round_amount(amount, 0, coalesce(how ->> 'mode', 'half_up') || ' ' || coalesce(how ->> 'step', '0.01'));

CREATE FUNCTION numbers(list jsonb) RETURNS numeric[]
LANGUAGE sql IMMUTABLE
RETURN ARRAY(SELECT n::numeric FROM jsonb_array_elements_text(list) WITH ORDINALITY t(n, i) ORDER BY i);

CREATE FUNCTION value(number numeric) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('value', number::text);

------------------------------------------------------------------------------
-- files
------------------------------------------------------------------------------

CREATE FUNCTION graduated(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    one jsonb := input -> 'single_tier';
    tiers jsonb := input -> 'tiers';
BEGIN
    IF one IS NOT NULL THEN
        -- one tier of a scale alone: the others cost nothing
        tiers := jsonb_build_array(one - 'lower');
        IF (one ->> 'lower')::numeric > 0 THEN
            tiers := jsonb_build_array(jsonb_build_object('up_to', one -> 'lower', 'unit', '0')) || tiers;
        END IF;
        input := input || '{"first_flat_at_zero": true}';
    END IF;
    IF input ->> 'mode' = 'interpolated' THEN
        RETURN vectors.value(settle.fee((jsonb_build_object('mode', 'interpolated', 'tiers', tiers)
            || vectors.options(input))::settle.tiers, (input ->> 'quantity')::numeric));
    END IF;
    RETURN vectors.value(settle.fee((jsonb_build_object(
        'tiers', vectors.open_ended(tiers), 'first_flat_at_zero', coalesce(input -> 'first_flat_at_zero', 'false'))
        || vectors.options(input))::settle.tiers, (input ->> 'quantity')::numeric));
END $$;

CREATE FUNCTION volume(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    tiers settle.tiers;
BEGIN
    IF input ->> 'mode' = 'capacity' THEN
        tiers := (jsonb_build_object('mode', 'capacity', 'tiers', input -> 'tiers') || vectors.options(input))::settle.tiers;
        RETURN vectors.value(settle.capacity_fee(tiers, vectors.numbers(input -> 'quantities')));
    END IF;
    tiers := (jsonb_build_object('mode', 'volume', 'tiers', vectors.open_ended(input -> 'tiers'))
        || vectors.options(input))::settle.tiers;
    IF input ? 'tier_quantity' THEN
        RETURN vectors.value(settle.fee_at(tiers, (input ->> 'quantity')::numeric, (input ->> 'tier_quantity')::numeric));
    END IF;
    RETURN vectors.value(settle.fee(tiers, (input ->> 'quantity')::numeric));
END $$;

-- Blocks as tiers.  What is beyond bounded blocks costs nothing when all tiers
-- are filled; the last tier takes it when the reached one prices everything.
CREATE FUNCTION blocks(mode text, blocks jsonb) RETURNS settle.tiers
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('mode', mode, 'tiers', CASE
    WHEN (blocks -> -1 ->> 'max_blocks') IS NULL THEN blocks
    WHEN mode = 'blocks_all' THEN blocks || '[{"size": "1", "price": "0"}]'
    ELSE jsonb_set(blocks, '{-1,max_blocks}', 'null') END)::settle.tiers;

-- Rating by increments: each segment is a tier of blocks, the connect fee its flat.
CREATE FUNCTION increments(input jsonb) RETURNS settle.tiers
LANGUAGE sql IMMUTABLE
RETURN (SELECT (jsonb_build_object('mode', 'blocks_all', 'tiers',
            jsonb_agg(jsonb_build_object(
                'size', s ->> 'increment', 'price', s ->> 'price_per_increment',
                'max_blocks', (((s ->> 'until')::numeric - since) / (s ->> 'increment')::numeric)::text,
                'flat', CASE WHEN i = 1 THEN input -> 'connect_fee' END) ORDER BY i)
            || CASE WHEN bool_or(last AND s ->> 'until' IS NOT NULL) THEN '[{"size": "1", "price": "0"}]' ELSE '[]'::jsonb END)
            || vectors.options(input))::settle.tiers
        FROM (SELECT s, i, coalesce((lag(s) OVER (ORDER BY i) ->> 'until')::numeric, 0) AS since,
                     i = count(*) OVER () AS last
              FROM jsonb_array_elements(input -> 'segments') WITH ORDINALITY t(s, i)) q);

CREATE FUNCTION package(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    mode text := input ->> 'mode';
    quantity numeric := (input ->> 'quantity')::numeric;
    tiers settle.tiers;
    units numeric;
BEGIN
    CASE
    WHEN mode = 'package' THEN
        RETURN vectors.value(settle.fee((jsonb_build_object('mode', mode, 'package_size', input -> 'package_size',
            'package_price', input -> 'package_price') || vectors.options(input))::settle.tiers, quantity));
    WHEN mode = 'package_count' THEN
        RETURN vectors.value(settle.fee(jsonb_build_object('mode', 'package', 'package_size', input -> 'package_size',
            'package_price', '1')::settle.tiers, quantity));
    WHEN mode IN ('tiered_blocks_all', 'tiered_blocks_top') THEN
        mode := replace(mode, 'tiered_', '');
        RETURN vectors.value((
            SELECT sum(settle.fee(vectors.blocks(mode, u -> 'blocks'), (u ->> 'quantity')::numeric))
            FROM jsonb_array_elements(coalesce(input -> 'units', jsonb_build_array(input))) u));
    WHEN mode LIKE 'convert%' THEN
        tiers := (jsonb_build_object('tiers', coalesce(vectors.open_ended(input -> 'tiers'),
            jsonb_build_array(jsonb_build_object('unit', coalesce(input -> 'unit', '"1"')))))
            || vectors.options(input))::settle.tiers;
        IF mode = 'convert_split' THEN
            RETURN vectors.value(settle.fee(tiers, quantity, (input ->> 'previous_quantity')::numeric));
        END IF;
        RETURN vectors.value(settle.fee(tiers, quantity));
    WHEN mode = 'increments' THEN
        RETURN vectors.value(settle.fee(vectors.increments(input), (input ->> 'duration')::numeric));
    WHEN mode IN ('increments_per_unit_rounding', 'increments_total_rounding') THEN
        units := (input ->> 'duration')::numeric;
        IF input ? 'increment' THEN
            -- started increments, in units again
            units := settle.fee(jsonb_build_object('mode', 'package', 'package_size', input -> 'increment',
                'package_price', input -> 'increment')::settle.tiers, units);
        END IF;
        RETURN vectors.value(vectors.rounded(settle.fee(jsonb_build_object(
            'tiers', jsonb_build_array(jsonb_build_object('unit', input -> 'rate', 'flat', input -> 'connect_fee')),
            'divide_by', input -> 'rate_unit')::settle.tiers, units), input -> 'round'));
    END CASE;
END $$;

CREATE FUNCTION percentage(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    rule jsonb := input -> 'rule';
    gross boolean := coalesce((rule ->> 'gross_base')::boolean, false);
    quantity numeric := coalesce((input ->> 'quantity')::numeric, 1);
    tiers settle.tiers;
    fees numeric[];
    base numeric;
BEGIN
    IF rule -> 'max_by_currency' ? (input ->> 'currency') THEN
        rule := rule || jsonb_build_object('max', rule -> 'max_by_currency' -> (input ->> 'currency'));
    END IF;
    tiers := (jsonb_build_object('mode', 'percentage')
        || (rule - '{gross_base,max_by_currency,fixed_per_unit}'::text[]))::settle.tiers;
    IF input ? 'events' THEN
        fees := settle.event_fees(tiers, vectors.numbers(input -> 'events'));
        RETURN jsonb_build_object('amount', (SELECT sum(fee)::text FROM unnest(fees) fee), 'per_event', to_jsonb(fees::text[]));
    END IF;
    -- the base of a sale: what was paid for the things, with or without the tax
    base := coalesce((input ->> 'price')::numeric, (input ->> 'unit_price')::numeric * quantity)
        - coalesce((input ->> 'discount')::numeric, 0);
    IF gross THEN
        base := base + coalesce((input ->> 'vat_on_top')::numeric, 0);
    ELSE
        base := base - coalesce((input ->> 'included_vat')::numeric, 0);
    END IF;
    RETURN vectors.value(settle.fee(tiers, base)
        + settle.fee(vectors.each(coalesce(rule ->> 'fixed_per_unit', input ->> 'fixed_per_unit', '0')), quantity));
END $$;

-- Weights as decimals with the same ratios: "1/3" and "2/3" are 1 and 2.
CREATE FUNCTION weights(list jsonb) RETURNS numeric[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    common numeric := 1;
    denominator numeric;
BEGIN
    FOR denominator IN
        SELECT split_part(w, '/', 2)::numeric FROM jsonb_array_elements_text(list) w WHERE w LIKE '%/%'
    LOOP
        common := lcm(common, denominator);
    END LOOP;
    RETURN ARRAY(
        SELECT split_part(w, '/', 1)::numeric * common / coalesce(nullif(split_part(w, '/', 2), ''), '1')::numeric
        FROM jsonb_array_elements_text(list) WITH ORDINALITY t(w, i) ORDER BY i);
END $$;

CREATE FUNCTION parties(spec jsonb, amount numeric, step numeric) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('parties',
    (SELECT jsonb_object_agg(party, part::text) FROM settle.allocate(spec, amount, step)));

CREATE FUNCTION allocation(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    mode text := input ->> 'mode';
    amount numeric := (input ->> 'amount')::numeric;
    step numeric := (input ->> 'step')::numeric;
    weights numeric[];
    parts numeric[];
    place int[];
BEGIN
    CASE mode
    WHEN 'nested_split' THEN
        RETURN vectors.parties(input -> 'spec', amount, step);
    WHEN 'fixed_percent_left' THEN
        RETURN vectors.parties((
            SELECT jsonb_build_array('split', jsonb_agg(jsonb_build_array(
                CASE WHEN d ->> 1 = 'left' THEN to_jsonb('remaining'::text)
                     WHEN d ->> 1 LIKE '%\%' THEN to_jsonb(rtrim(d ->> 1, '%'))
                     ELSE jsonb_build_object('fixed', d -> 1) END,
                jsonb_build_array('to', d -> 0)) ORDER BY i))
            FROM jsonb_array_elements(input -> 'distribution') WITH ORDINALITY t(d, i)), amount, step);
    WHEN 'percent_sum_check' THEN
        -- a split that does not sum to 100 raises
        BEGIN
            PERFORM settle.allocate((
                SELECT jsonb_build_array('split', jsonb_agg(jsonb_build_array(p, jsonb_build_array('to', 'party ' || i))))
                FROM jsonb_array_elements_text(input -> 'percents') WITH ORDINALITY t(p, i)), 100);
            RETURN '{"ok": true}';
        EXCEPTION WHEN invalid_parameter_value THEN
            RETURN '{"ok": false}';
        END;
    WHEN 'independent_rounding' THEN
        SELECT array_agg(vectors.rounded(settle.fee(vectors.percent(p), amount),
            jsonb_build_object('mode', input -> 'rounding', 'step', input -> 'step')) ORDER BY i) INTO parts
        FROM jsonb_array_elements_text(input -> 'legs_percent') WITH ORDINALITY t(p, i);
        RETURN jsonb_build_object('parts', to_jsonb(parts::text[]), 'sum', (SELECT sum(p)::text FROM unnest(parts) p));
    WHEN 'residual_party' THEN
        parts[1] := vectors.rounded(settle.fee(vectors.percent(input ->> 'rate_percent'), amount),
            jsonb_build_object('mode', input -> 'rounding', 'step', input -> 'step'));
        RETURN jsonb_build_object(input ->> 'rounded_party', parts[1]::text,
            CASE input ->> 'rounded_party' WHEN 'platform' THEN 'vendor' ELSE 'platform' END, (amount - parts[1])::text);
    ELSE
        weights := vectors.weights(coalesce(input -> 'weights', input -> 'caps'));
        IF input ? 'keys' THEN
            -- ties go by the order of the keys
            SELECT array_agg(i ORDER BY CASE WHEN k ~ '^[0-9]+$' THEN k::numeric END, k, i) INTO place
            FROM jsonb_array_elements_text(input -> 'keys') WITH ORDINALITY t(k, i);
            parts := settle.allocate(amount, ARRAY(SELECT weights[p] FROM unnest(place) WITH ORDINALITY t(p, i) ORDER BY i), step, mode);
            SELECT array_agg(parts[i] ORDER BY p) INTO parts FROM unnest(place) WITH ORDINALITY t(p, i);
        ELSE
            parts := settle.allocate(amount, weights, step, mode);
        END IF;
        RETURN jsonb_build_object('parts', to_jsonb(parts::text[]),
            'remainder', (amount - (SELECT sum(p) FROM unnest(parts) p))::text);
    END CASE;
END $$;

-- Sections with both ends included: what lies between two of them earns nothing.
CREATE FUNCTION sections(sections jsonb) RETURNS settle.tiers
LANGUAGE sql IMMUTABLE
RETURN (SELECT jsonb_build_object('mode', 'volume', 'tiers', vectors.open_ended(jsonb_agg(t ORDER BY n, part)))::settle.tiers
        FROM (SELECT s, row_number() OVER w AS n,
                     coalesce((lag(s) OVER w ->> 'to')::numeric, 0) AS before
              FROM jsonb_array_elements(sections) s WINDOW w AS (ORDER BY (s ->> 'from')::numeric)) q,
        LATERAL (VALUES (1, CASE WHEN (s ->> 'from')::numeric > before
                                 THEN jsonb_build_object('below', s -> 'from', 'unit', '0') END),
                        (2, jsonb_strip_nulls(jsonb_build_object('up_to', s -> 'to', 'flat', s -> 'fixed', 'rate_percent', s -> 'percent')))
                ) v(part, t)
        WHERE t IS NOT NULL);

CREATE FUNCTION section_commission(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    base numeric := (input ->> 'base')::numeric;
    words text[];
    first_part numeric;
BEGIN
    CASE input ->> 'mode'
    WHEN 'section_total' THEN
        RETURN vectors.value(settle.fee(vectors.sections(input -> 'sections'), base));
    WHEN 'section_marginal' THEN
        RETURN vectors.value(settle.fee((
            SELECT jsonb_build_object('tiers', vectors.open_ended(
                CASE WHEN min((s ->> 'from')::numeric) > 0
                     THEN jsonb_build_array(jsonb_build_object('up_to', min((s ->> 'from')::numeric)::text, 'unit', '0'))
                     ELSE '[]' END
                || jsonb_agg(jsonb_build_object('up_to', s -> 'to', 'rate_percent', s -> 'percent') ORDER BY (s ->> 'from')::numeric)))::settle.tiers
            FROM jsonb_array_elements(input -> 'sections') s), base));
    WHEN 'criteria_by_discount' THEN
        RETURN vectors.value(settle.fee(vectors.sections(input -> 'sections'), (input ->> 'discount_percent')::numeric));
    WHEN 'fixed_percent' THEN
        RETURN vectors.value(settle.fee(vectors.percent(input ->> 'percent'),
            (SELECT sum(i::numeric) FROM jsonb_array_elements_text(input -> 'invoices') i)));
    WHEN 'global_percent' THEN
        RETURN vectors.value(settle.fee(vectors.percent(input ->> 'percent'), base));
    WHEN 'criteria' THEN
        RETURN vectors.value(settle.fee(CASE input ->> 'type'
            WHEN 'percent' THEN vectors.percent(input ->> 'value')
            WHEN 'fixed' THEN format('%s flat', input ->> 'value')::settle.tiers END, base));
    WHEN 'margin' THEN
        RETURN vectors.value(settle.fee(vectors.percent(input ->> 'percent'),
            greatest((input ->> 'price')::numeric - (input ->> 'cost')::numeric, 0)));
    WHEN 'agents' THEN
        RETURN vectors.value((SELECT sum(settle.fee(vectors.percent(input ->> 'percent'), base))
            FROM generate_series(1, (input ->> 'agents')::int)));
    WHEN 'formula' THEN
        words := regexp_match(input ->> 'formula', '^([0-9.]+) percent, plus ([0-9.]+) percent of that$');
        first_part := settle.fee(vectors.percent(words[1]), base);
        RETURN vectors.value(first_part + settle.fee(vectors.percent(words[2]), first_part));
    END CASE;
END $$;

CREATE FUNCTION tax_withholding(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    rule jsonb := input -> 'rule';
    model text := CASE rule #>> '{}'
        WHEN 'cn_labour_remuneration' THEN 'cn_labour'
        WHEN 'cn_author_remuneration' THEN 'cn_author'
        WHEN 'cn_wages_cumulative' THEN 'cn_wages'
        WHEN 'cn_brackets_annual' THEN 'cn_annual'
        ELSE rule #>> '{}' END;
    payment text;
    so_far jsonb := '{}';
    withheld text[];
BEGIN
    IF jsonb_typeof(rule) = 'object' THEN
        model := (rule || jsonb_strip_nulls(jsonb_build_object('certificate', input -> 'certificate')))::text;
    END IF;
    IF coalesce(input ->> 'amount', input ->> 'taxable') IS NOT NULL THEN
        RETURN vectors.value(settle.withhold(model, '{}', coalesce(input ->> 'amount', input ->> 'taxable')::numeric));
    END IF;
    FOR payment IN SELECT jsonb_array_elements_text(coalesce(input -> 'transactions', input -> 'monthly')) LOOP
        IF input ? 'monthly_deductions' THEN
            -- they hold the allowance of the month too
            so_far := so_far || jsonb_build_object('months', '0',
                'deductions', (coalesce((so_far ->> 'deductions')::numeric, 0) + (input ->> 'monthly_deductions')::numeric)::text);
        END IF;
        withheld := withheld || settle.withhold(model, so_far, payment::numeric)::text;
        so_far := settle.withhold_next(model, so_far, payment::numeric);
    END LOOP;
    RETURN jsonb_build_object('withheld', to_jsonb(withheld));
END $$;

CREATE FUNCTION cumulative(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    model jsonb := input -> 'model';
    shape jsonb;
    tiers settle.tiers;
    discount settle.tiers := vectors.percent((100 - coalesce((model ->> 'discount_percent')::numeric, 0))::text);
    snapshot text;
    billed numeric := 0;
    due numeric;
    deltas text[] := '{}';
    period int := 0;
    drawn record;
    balance numeric := 0;
    periods jsonb := '[]';
BEGIN
    IF model ->> 'type' = 'recoverable_draw' THEN
        FOR snapshot IN SELECT jsonb_array_elements_text(input -> 'earnings') LOOP
            period := period + 1;
            SELECT * INTO drawn FROM settle.draw(snapshot::numeric, (model ->> 'guarantee')::numeric, balance,
                period >= (model ->> 'recovery_starts_period')::int);
            balance := drawn.new_balance;
            periods := periods || jsonb_build_object('draw', drawn.draw::text, 'paid', drawn.paid::text, 'balance', balance::text);
        END LOOP;
        RETURN jsonb_build_object('periods', periods);
    END IF;

    shape := CASE model ->> 'type'
        WHEN 'unit' THEN jsonb_build_object('tiers', jsonb_build_array(jsonb_build_object('unit', model -> 'unit')))
        WHEN 'package' THEN jsonb_build_object('mode', 'package', 'package_size', model -> 'package_size', 'package_price', model -> 'package_price')
        ELSE jsonb_build_object('mode', model -> 'type', 'tiers', vectors.open_ended(model -> 'tiers')) END
        || vectors.options(model);
    -- the minimum is due when the period closes
    tiers := (shape - 'min')::settle.tiers;
    FOR snapshot IN SELECT jsonb_array_elements_text(input -> 'snapshots') LOOP
        due := vectors.rounded(settle.fee(discount, settle.fee(tiers, snapshot::numeric)), input);
        deltas := deltas || (due - billed)::text;
        billed := due;
    END LOOP;
    IF (coalesce(input -> 'finalize', model -> 'finalize'))::boolean THEN
        due := vectors.rounded(settle.fee(shape::settle.tiers, snapshot::numeric), input);
        deltas := deltas || greatest(due - billed, 0)::text;
    END IF;
    RETURN jsonb_build_object('deltas', to_jsonb(deltas));
END $$;

CREATE FUNCTION rounding(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    exact numeric;
    total numeric;
BEGIN
    IF input ? 'expression' THEN
        RETURN vectors.value(settle.prorate(split_part(input ->> 'expression', '/', 1)::numeric, 1,
            split_part(input ->> 'expression', '/', 2)::numeric, 0, (input ->> 'mode') || ' ' || (input ->> 'step')));
    ELSIF input ? 'sum_of_rounded_lines' THEN
        total := vectors.rounded((input ->> 'exact_total')::numeric, input);
        RETURN jsonb_build_object('rounded_total', total::text,
            'drift', (total - (input ->> 'sum_of_rounded_lines')::numeric)::text);
    END IF;
    exact := CASE
        WHEN input ? 'value' THEN (input ->> 'value')::numeric
        WHEN input ? 'price' THEN settle.fee(vectors.percent(input ->> 'rate_percent'), (input ->> 'price')::numeric)
        WHEN input ? 'fee' THEN settle.fee(vectors.percent(input ->> 'tax_percent'), (input ->> 'fee')::numeric)
        WHEN input ? 'base_minor' THEN (SELECT sum(settle.fee(vectors.percent(t), (input ->> 'base_minor')::numeric))
                                        FROM jsonb_array_elements_text(input -> 'tax_percents') t)
        WHEN input ? 'amount' THEN settle.fee(vectors.each(input ->> 'rate'), (input ->> 'amount')::numeric) END;
    RETURN vectors.value(vectors.rounded(exact, input));
END $$;

CREATE FUNCTION proration(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    CASE input ->> 'mode'
    WHEN 'convert' THEN
        RETURN vectors.value(settle.fee(vectors.each(input ->> 'conversion_rate'), (input ->> 'amount')::numeric));
    WHEN 'min_commitment_true_up' THEN
        RETURN vectors.value(settle.true_up((input ->> 'minimum')::numeric, (input ->> 'used')::numeric,
            (input ->> 'days')::numeric, (input ->> 'period_days')::numeric, 2,
            coalesce(input #>> '{round,mode}', 'half_up') || ' ' || coalesce(input #>> '{round,step}', input ->> 'step', '0.01')));
    WHEN 'prorated_graduated' THEN
        RETURN vectors.value(vectors.rounded(settle.prorated_fee(
            jsonb_build_object('tiers', vectors.open_ended(input -> 'tiers'), 'first_flat_at_zero', true)::settle.tiers,
            ARRAY(SELECT (e ->> 'units')::numeric FROM jsonb_array_elements(input -> 'events') WITH ORDINALITY t(e, i) ORDER BY i),
            ARRAY(SELECT (e ->> 'prorated_units')::numeric FROM jsonb_array_elements(input -> 'events') WITH ORDINALITY t(e, i) ORDER BY i)),
            input -> 'round'));
    END CASE;
END $$;

\ir hit_policies.sql

------------------------------------------------------------------------------
-- comparison
------------------------------------------------------------------------------

-- Equal as decimals where both are numbers, member by member where they are lists or objects.
CREATE FUNCTION same(expected jsonb, got jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF jsonb_typeof(expected) = 'object' AND jsonb_typeof(got) = 'object' THEN
        RETURN (SELECT bool_and(coalesce(vectors.same(expected -> k, got -> k), false)) FROM jsonb_object_keys(expected) k)
            AND NOT EXISTS (SELECT FROM jsonb_object_keys(got) k WHERE NOT expected ? k);
    ELSIF jsonb_typeof(expected) = 'array' AND jsonb_typeof(got) = 'array' THEN
        RETURN jsonb_array_length(expected) = jsonb_array_length(got)
            AND (SELECT coalesce(bool_and(vectors.same(expected -> i, got -> i)), true)
                 FROM generate_series(0, jsonb_array_length(expected) - 1) i);
    ELSIF (expected #>> '{}') ~ '^-?[0-9]+(\.[0-9]+)?$' AND (got #>> '{}') ~ '^-?[0-9]+(\.[0-9]+)?$' THEN
        RETURN (expected #>> '{}')::numeric = (got #>> '{}')::numeric;
    END IF;
    RETURN expected = got;
END $$;

-- Gives a result the keys of what is expected: a single value its name, and
-- nothing that is not asked for.  An error must be the one that is expected.
CREATE FUNCTION named(expected jsonb, got jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN got ? 'error' THEN CASE expected ->> 'error'
        WHEN 'invalid_weights' THEN CASE WHEN got ->> 'error' ~ '^22023: no weight is positive' THEN expected ELSE got END
        WHEN 'rate_out_of_range' THEN CASE WHEN got ->> 'error' ~ '^22P02: .* is not between 0% and 100%' THEN expected ELSE got END
        ELSE CASE
            -- a decision that cannot be made: outcomes in conflict, none at all (null to some), a cell that fails
            WHEN expected ->> 'result' ~ '^ERROR:.*conflict' THEN CASE WHEN got ->> 'error' ~ '^ST002' THEN expected ELSE got END
            WHEN expected -> 'result' = 'null' OR expected ->> 'result' ~ '^ERROR:.*(no_|none)' THEN CASE WHEN got ->> 'error' ~ '^ST003' THEN expected ELSE got END
            WHEN expected ->> 'result' ~ '^ERROR:' THEN expected
            ELSE got END END
    WHEN expected -> 'result' = 'null' AND got -> 'result' IN ('[]', '{}') THEN expected
    WHEN got ? 'value' AND (SELECT count(*) FROM jsonb_object_keys(expected)) = 1
        THEN (SELECT jsonb_build_object(k, got -> 'value') FROM jsonb_object_keys(expected) k)
    WHEN got ?| ARRAY(SELECT jsonb_object_keys(expected))
        THEN (SELECT jsonb_object_agg(k, v) FROM jsonb_each(got) e(k, v) WHERE expected ? k)
    ELSE got END;

-- What the extension says to an input.
CREATE FUNCTION run(file text, input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    EXECUTE format('SELECT vectors.%I($1)', file) INTO got USING input;
    RETURN got;
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('error', SQLSTATE || ': ' || SQLERRM);
END $$;

-- Every vector with what came out: passed is null where it was skipped.
CREATE FUNCTION check_all(OUT id text, OUT input jsonb, OUT expected jsonb, OUT got jsonb, OUT passed boolean, OUT reason text)
RETURNS SETOF record
LANGUAGE sql
BEGIN ATOMIC
    SELECT v.id, v.input, v.target, r.got,
           CASE WHEN s.reason IS NULL THEN coalesce(vectors.same(v.target, r.got), false) END, s.reason
    FROM vectors.vector v,
         LATERAL (SELECT vectors.skip_reason(v.file, v.input) AS reason OFFSET 0) s,
         LATERAL (SELECT CASE WHEN s.reason IS NULL THEN vectors.named(v.target, vectors.run(v.file, v.input)) END AS got OFFSET 0) r
    ORDER BY v.file, v.id;
END;

-- The report: failures, skips, and the count alone on the last line.
CREATE FUNCTION report() RETURNS SETOF text
LANGUAGE sql
BEGIN ATOMIC
    WITH checked AS MATERIALIZED (SELECT * FROM vectors.check_all())
    SELECT line FROM (
        SELECT 1 AS part, id, format(E'FAILED %s\n  input    %s\n  expected %s\n  got      %s', id, input, expected, got) AS line
        FROM checked WHERE NOT passed
        UNION ALL
        SELECT 2, min(id), format('skipped %s (%s)', string_agg(id, ', ' ORDER BY id), reason)
        FROM checked WHERE passed IS NULL GROUP BY reason
        UNION ALL
        SELECT 3, '', format('%s passed, %s failed, %s skipped', count(*) FILTER (WHERE passed),
                             count(*) FILTER (WHERE NOT passed), count(*) FILTER (WHERE passed IS NULL))
        FROM checked) lines
    ORDER BY part, id;
END;

RESET search_path;
