-- What rules say of a ticket, without any table: a ruleset is a value, and
-- settle.evaluate is a function of it and of a row.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never

CREATE SCHEMA rule_test;
CREATE TYPE rule_test.ticket AS (
    id int, done_at timestamptz, project ltree, worker text, helper text, amount numeric, hours numeric, rush boolean, details jsonb);

-- A document with what these tests have in common: book, source, defaults of rules.
CREATE FUNCTION rule_test.document(rules jsonb, decisions jsonb DEFAULT '{}', choices jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('format', 1, 'time_zone', 'Asia/Shanghai', 'currency', 'CNY', 'period', 'month',
    'sources', '{"ticket": {"key": "id", "ready_at": "done_at", "project": "project", "revenue": "amount"}}'::jsonb,
    'decisions', decisions, 'choices', choices,
    'rules', (SELECT coalesce(jsonb_agg('{"component": "fee", "source": "ticket", "payer": "hq", "applies_when": "true", "tiers": "100%",
        "rounding": "half_up"}'::jsonb || r ORDER BY n), '[]') FROM jsonb_array_elements(rules) WITH ORDINALITY AS e(r, n)));

CREATE FUNCTION rule_test.ticket(amount numeric DEFAULT 1000, done_at timestamptz DEFAULT '2025-11-11 10:00+08', project ltree DEFAULT 'repair.fridge',
    worker text DEFAULT '1001', helper text DEFAULT NULL, hours numeric DEFAULT 2, rush boolean DEFAULT false, details jsonb DEFAULT '{}')
RETURNS rule_test.ticket LANGUAGE sql
RETURN ROW(7, done_at, project, worker, helper, amount, hours, rush, details)::rule_test.ticket;

-- The lines that rules give a ticket.
CREATE FUNCTION rule_test.says(rules jsonb, ticket rule_test.ticket DEFAULT rule_test.ticket(), decisions jsonb DEFAULT '{}', choices jsonb DEFAULT '{}',
    before jsonb DEFAULT NULL, facts jsonb DEFAULT NULL)
RETURNS TABLE (rule text, component text, payer text, payee text, base numeric, factor numeric, amount numeric, unit text) LANGUAGE sql
BEGIN ATOMIC
    SELECT u.rule, u.component, u.payer, u.payee, u.base, u.factor, u.amount, u.unit
    FROM settle.unnest(settle.evaluate(rule_test.document(rules, decisions, choices)::settle.ruleset, ticket, before, facts => facts)) AS u;
END;

-- What a statement is refused with.
CREATE FUNCTION rule_test.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; context text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''),
        'CONTEXT: ' || nullif(regexp_replace(context, '(\n?ruleset of source|\n?SQL statement|\n?PL/pgSQL).*', ''), ''));
END $$;
CREATE FUNCTION rule_test.refused(rules jsonb, ticket rule_test.ticket DEFAULT rule_test.ticket(), decisions jsonb DEFAULT '{}', choices jsonb DEFAULT '{}')
RETURNS text LANGUAGE sql
RETURN rule_test.error_of(format('SELECT settle.evaluate(%L::settle.ruleset, %L::rule_test.ticket)', rule_test.document(rules, decisions, choices), ticket));

\pset format unaligned
\pset footer off

-- the value: a document, one spelling of it, one digest
SELECT rule_test.document('[{"code": "r", "payee": "staff:{worker}", "base": "amount", "tiers": "5% to 1000, 8%"}]')::settle.ruleset;
SELECT a = b AS same_text, settle.digest(a::settle.ruleset) = settle.digest(b::settle.ruleset) AS same_digest, length(settle.digest(a::settle.ruleset)) AS bytes
FROM (VALUES ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month"}', '{"period":"month","currency":"CNY","time_zone":"UTC","format":1}')) AS v(a, b);
SELECT d::settle.ruleset::jsonb = d AS through_jsonb, d::settle.ruleset::text::settle.ruleset::jsonb = d AS through_text
FROM rule_test.document('[{"code": "r", "payee": "p", "base": "1"}]') AS d;

-- what is no ruleset
SELECT rule_test.error_of(format('SELECT %L::settle.ruleset', d)) AS refused FROM (VALUES
    ('[]'), ('7'), ('{"format": 2}'), ('{"format": 1, "currency": "CNY"}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "fortnight"}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month", "ruels": []}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month", "rules": {}}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month", "sources": {"t": {"key": "id"}}}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month", "choices": {"c": "best"}}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY", "period": "month", "decisions": {"d": {"policy": "best", "returns": "numeric"}}}'),
    ('{"format": 1, "time_zone": "UTC", "currency": "CNY"')) AS v(d);
SELECT rule_test.error_of(format('SELECT %L::settle.ruleset', rule_test.document(jsonb_build_array('{"code": "r", "payee": "p", "base": "1"}'::jsonb || wrong)))) AS refused FROM (VALUES
    ('{"overides": ["x"]}'::jsonb), ('{"overrides": "x"}'), ('{"overrides": [1]}'), ('{"priority": "high"}'), ('{"remainder": "yes"}'), ('{"tiers": "5"}'),
    ('{"accumulate": "fortnight"}'), ('{"share": "half"}'), ('{"from": "2025-11-11"}'), ('{"from": "2025-11-11T00:00:00+08:00x"}'), ('{"code": ""}')) AS v(wrong);
SELECT rule_test.error_of(format('SELECT %L::settle.ruleset', rule_test.document('[]', jsonb_build_object('d',
    '{"policy": "first", "returns": "numeric", "outcomes": []}'::jsonb || wrong)))) AS refused FROM (VALUES
    ('{"outcomes": [{"applies_when": "true"}]}'::jsonb), ('{"outcomes": [{"outcome": 1}]}'), ('{"outcomes": [7]}'), ('{"falback": 1}')) AS v(wrong);

-- 1,000 from a customer: 15 % fee, VAT of 6 % that the price contains, the rest to the dealer
\set worked '[{"code": "intake", "component": "intake", "payer": "customer", "payee": "escrow", "base": "amount"}, {"code": "channel", "component": "channel", "payer": "escrow", "payee": "hq", "base": "amount", "tiers": "15%"}, {"code": "vat", "component": "vat", "payer": "escrow", "payee": "tax:vat", "base": "amount - amount / 1.06"}, {"code": "dealer", "component": "dealer", "payer": "escrow", "payee": "dealer:{worker}", "remainder": true}]'
SELECT rule, payer, payee, round(base, 4) AS base, amount FROM rule_test.says(:'worked');
SELECT sum(CASE payee WHEN 'escrow' THEN amount ELSE 0 END) - sum(CASE payer WHEN 'escrow' THEN amount ELSE 0 END) AS escrow
FROM rule_test.says(:'worked', rule_test.ticket(333.33));

-- a rule reads what rules before it gave (c), mapped values (t); the order of the document does not matter
SELECT component, base, amount FROM rule_test.says('[
    {"code": "night", "component": "night", "payee": "p", "base": "(c.service + c.rush) * 0.1"},
    {"code": "rush", "component": "rush", "payee": "p", "base": "c.service * 0.3"},
    {"code": "service", "component": "service", "payee": "p", "base": "hours * 80"},
    {"code": "visit", "component": "visit", "payee": "p", "base": "50", "applies_when": "t.project <@ ''install'' or t.revenue > 5000"},
    {"code": "none", "component": "none", "payee": "p", "base": "c.visit + 1"}]', rule_test.ticket(hours => 2.5));
SELECT rule_test.refused('[{"code": "a", "component": "x", "payee": "p", "base": "c.y"}, {"code": "b", "component": "y", "payee": "p", "base": "c.x"}]');

-- two rules of one component: a conflict that names both, unless they say how they share
\set two '[{"code": "small", "payee": "p", "base": "10"}, {"code": "large", "payee": "p", "base": "30", "applies_when": "amount >= 1000"}]'
SELECT rule_test.refused(:'two');
SELECT rule, amount FROM rule_test.says(:'two', rule_test.ticket(999));
SELECT policy, rule, amount FROM unnest('{first,highest,lowest,all}'::text[]) WITH ORDINALITY AS p(policy, n),
    rule_test.says((SELECT jsonb_agg(r || jsonb_build_object('choice', 'bonus', 'priority', (r->>'base')::int)) FROM jsonb_array_elements(:'two') AS r),
        choices => jsonb_build_object('bonus', policy)) ORDER BY n, rule;
SELECT rule, amount FROM rule_test.says((SELECT jsonb_agg(r || '{"choice": "all"}') FROM jsonb_array_elements(:'two') AS r));
SELECT rule_test.refused((SELECT jsonb_agg(r || '{"choice": "bonus"}') FROM jsonb_array_elements(:'two') AS r), choices => '{"bonus": "first"}');
SELECT rule_test.refused((SELECT jsonb_agg(r || '{"choice": "bonus"}') FROM jsonb_array_elements(:'two') AS r));
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "1", "accumulate": "month", "choice": "bonus"}]', choices => '{"bonus": "highest"}');

-- an exception for one contract is one new rule; whoever overrides may be overridden, and a condition is all that counts
\set base '{"code": "base", "payee": "p", "base": "10"}'
\set vip '{"code": "vip", "component": "vip", "payee": "p", "base": "20", "overrides": ["base"], "applies_when": "rush"}'
\set contract '{"code": "contract", "component": "special", "payee": "p", "base": "30", "overrides": ["vip", "vip"], "applies_when": "hours > 2"}'
SELECT rush, hours, rule, amount FROM (VALUES (false, 2), (true, 2), (true, 3), (false, 3)) AS v(rush, hours),
    rule_test.says(jsonb_build_array(:'base'::jsonb, :'vip'::jsonb, :'contract'::jsonb), rule_test.ticket(rush => v.rush, hours => v.hours)) ORDER BY 1, 2, 3;
SELECT rule_test.refused(jsonb_build_array(:'base'::jsonb || '{"overrides": ["base"]}'));
SELECT rule_test.refused('[{"code": "a", "payee": "p", "base": "1", "overrides": ["b"]}, {"code": "b", "payee": "p", "base": "1", "overrides": ["a"]}]');
SELECT rule_test.refused(jsonb_build_array(:'vip'::jsonb));

-- decisions: one table, every hit policy
\set factor '[{"code": "r", "payee": "p", "base": "amount", "tiers": "10%", "factors": ["coef"]}]'
\set outcomes '[{"applies_when": "rush", "outcome": 1.5, "title": "rush"}, {"applies_when": "hours > 2", "outcome": "1.2", "priority": 5, "title": "long"}, {"applies_when": "amount > 5000", "outcome": 0.9}]'
CREATE FUNCTION rule_test.decision(policy text, outcomes jsonb, fallback jsonb DEFAULT NULL, returns text DEFAULT 'numeric') RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('coef', jsonb_strip_nulls(jsonb_build_object('policy', policy, 'returns', returns, 'outcomes', outcomes, 'fallback', fallback)));
SELECT policy, factor, amount FROM unnest('{first,product,sum,min,max}'::text[]) WITH ORDINALITY AS p(policy, n),
    rule_test.says(:'factor', rule_test.ticket(rush => true, hours => 3), rule_test.decision(policy, :'outcomes')) ORDER BY n;
SELECT policy, factor, amount FROM unnest('{unique,first,product,sum,min,max}'::text[]) WITH ORDINALITY AS p(policy, n),
    rule_test.says(:'factor', rule_test.ticket(), rule_test.decision(policy, :'outcomes', '0.8')) ORDER BY n;
SELECT factor, amount FROM rule_test.says(:'factor', rule_test.ticket(rush => true), rule_test.decision('unique', :'outcomes'));
SELECT rule_test.refused(:'factor', rule_test.ticket(rush => true, hours => 3), rule_test.decision('unique', :'outcomes'));
SELECT rule_test.refused(:'factor', decisions => rule_test.decision('first', :'outcomes'));
SELECT rule_test.refused(:'factor', decisions => rule_test.decision('max', :'outcomes', returns => 'text'));
SELECT rule_test.refused(:'factor', decisions => rule_test.decision('first', :'outcomes', returns => 'money'));
SELECT rule_test.refused(:'factor', decisions => rule_test.decision('first', '[{"applies_when": "true", "outcome": "high"}]'));
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "amount", "factors": ["coeff"]}]', decisions => rule_test.decision('first', :'outcomes'));
-- two factors multiply; decisions of other types stand in expressions and templates
SELECT payee, factor, amount FROM rule_test.says('[{"code": "r", "payee": "{d.team}", "base": "amount", "factors": ["coef", "season"], "applies_when": "d.open"}]', rule_test.ticket(rush => true),
    rule_test.decision('first', :'outcomes') || '{"season": {"policy": "first", "returns": "numeric", "fallback": 0.5}, "team": {"policy": "first", "returns": "text",
    "outcomes": [{"applies_when": "t.project <@ ''repair''", "outcome": "team:blue"}], "fallback": "team:red"}, "open": {"policy": "unique", "returns": "boolean", "fallback": true}}');
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "1", "factors": ["team"]}]', decisions => '{"team": {"policy": "first", "returns": "text", "fallback": "x"}}');
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "1"}]', decisions => '{"a": {"policy": "first", "returns": "numeric", "outcomes": [{"applies_when": "d.b > 1", "outcome": 1}]}, "b": {"policy": "first", "returns": "numeric", "outcomes": [{"applies_when": "d.a > 1", "outcome": 1}]}}');

-- versions and seasons begin at midnight in book time, whatever the session's zone is
SET timezone = 'America/New_York';
SELECT at, rule, factor, amount FROM (VALUES ('2025-10-31 15:59:59Z'::timestamptz), ('2025-10-31 16:00Z'), ('2025-11-10 15:59:59.999999Z'), ('2025-11-10 16:00Z')) AS v(at),
    rule_test.says('[{"code": "r", "payee": "p", "base": "100", "until": "2025-11-01T00:00:00+08:00", "factors": ["coef"]},
        {"code": "r", "payee": "p", "base": "200", "from": "2025-11-01T00:00:00+08:00", "factors": ["coef"]}]', rule_test.ticket(done_at => at),
        rule_test.decision('first', '[{"applies_when": "done_at >= ''2025-11-11''", "outcome": 1.1}]', '1'));
RESET timezone;
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "1"}, {"code": "r", "payee": "p", "base": "2", "from": "2025-11-01T00:00:00Z"}]');

-- several payees: the priced fee is divided, or the base is
SELECT payee, base, amount FROM rule_test.says('[{"code": "r", "payees": "array[''a'', ''b'', ''c'']", "base": "amount", "tiers": "10%"}]');
SELECT payee, base, amount FROM rule_test.says('[{"code": "r", "payees": "array[''a'', ''b'', ''c'']", "base": "-amount", "tiers": "10%"}]');
SELECT payee, base, amount FROM rule_test.says('[{"code": "r", "payees": "details->''split''", "base": "amount", "tiers": "10%"}]', rule_test.ticket(details => '{"split": {"staff:1": 0.6, "staff:2": 0.4, "staff:3": 0}}'));
SELECT share, payee, base, amount FROM unnest('{fee,base}'::text[]) AS share,
    rule_test.says(jsonb_build_array('{"code": "r", "payees": "jsonb_build_object(''a'', 3, ''b'', 1)", "base": "amount", "tiers": "5% to 500, 10%"}'::jsonb || jsonb_build_object('share', share)));
SELECT payee, amount FROM rule_test.says('[{"code": "r", "payees": "array[''a'', ''a'', ''b'']", "base": "100"}]');
SELECT rule_test.refused(jsonb_build_array('{"code": "r", "base": "amount"}'::jsonb || jsonb_build_object('payees', payees))) FROM (VALUES
    ('array[helper]'), ('''{}''::text[]'), ('details->''split'''), ('jsonb_build_array(1)'), ('jsonb_build_object(''a'', ''b'')'), ('jsonb_build_object(''a'', -1, ''b'', 2)'),
    ('jsonb_build_object(''a'', 0)'), ('jsonb_build_object(''a'', -1)'), ('17'), ('array['''']')) AS v(payees);

-- bounds of one ticket, rounding, units
SELECT amount_of, b.amount, c.amount AS points FROM unnest('{100,1000,9000}'::numeric[]) AS amount_of,
    rule_test.says('[{"code": "r", "payee": "p", "base": "amount", "tiers": "5%", "at_least": "30", "at_most": "hours * 100"}]', rule_test.ticket(amount_of)) AS b,
    rule_test.says('[{"code": "r", "payee": "p", "base": "amount", "tiers": "0.7%", "unit": "POINTS", "rounding": "down 1"}]', rule_test.ticket(amount_of)) AS c;
SELECT rounding, a.amount, b.amount AS negative FROM unnest('{half_up,half_even,down,up,half_up 0.1,up 5}'::text[]) WITH ORDINALITY AS r(rounding, n),
    rule_test.says(jsonb_build_array('{"code": "r", "payee": "p", "base": "12.345"}'::jsonb || jsonb_build_object('rounding', rounding))) AS a,
    rule_test.says(jsonb_build_array('{"code": "r", "payee": "p", "base": "-12.345"}'::jsonb || jsonb_build_object('rounding', rounding))) AS b ORDER BY n;
SELECT unit, amount FROM unnest('{JPY,CNY,KWD}'::text[]) AS u, rule_test.says(jsonb_build_array('{"code": "r", "payee": "p", "base": "1234.5675"}'::jsonb || jsonb_build_object('unit', u)), facts => '{"CNY/JPY": 1, "CNY/KWD": 1}');

-- accumulating rules stand on what their tally held before
\set month '[{"code": "r", "payee": "staff:{worker}", "base": "amount", "tiers": "5% to 1000, 8% to 5000, 10%", "accumulate": "month"}]'
SELECT before, s.base, s.amount FROM (VALUES (NULL::jsonb), ('{"r": {"staff:1001": {"count": 2, "quantity": 900, "weighted": 900}}}'), ('{"r": {"staff:1001": {"count": 9, "quantity": "4900", "weighted": "4900"}}}'),
    ('{"r": {"staff:1002": {"count": 9, "quantity": 4900, "weighted": 4900}}}')) AS v(before), rule_test.says(:'month', before => v.before) AS s;
SELECT u.owner, u.tally_period, u.amount FROM unnest('{day,week,month,quarter,year,ever}'::text[]) WITH ORDINALITY AS a(span, n),
    settle.unnest(settle.evaluate(rule_test.document(jsonb_build_array((:'month'::jsonb -> 0) || jsonb_build_object('accumulate', span, 'tally_by', 'store:{project}')))::settle.ruleset, rule_test.ticket())) AS u ORDER BY n;
SELECT rule_test.error_of(format('SELECT * FROM rule_test.says(%L, before => %L)', :'month', '{"r": {"staff:1001": {"count": 2}}}'));

-- the remainder may be a loss, is no line when nothing is left, and does not mix with accumulating lines
SELECT rule, amount FROM rule_test.says('[{"code": "in", "component": "in", "payer": "customer", "payee": "escrow", "base": "10"}, {"code": "out", "component": "out", "payer": "escrow", "payee": "p", "base": "hours * 6"},
    {"code": "rest", "component": "rest", "payer": "escrow", "payee": "hq", "remainder": true}]');
SELECT rule, amount FROM rule_test.says('[{"code": "in", "component": "in", "payer": "customer", "payee": "escrow", "base": "12"}, {"code": "out", "component": "out", "payer": "escrow", "payee": "p", "base": "hours * 6"},
    {"code": "rest", "component": "rest", "payer": "escrow", "payee": "hq", "remainder": true}]');
SELECT rule_test.refused('[{"code": "out", "component": "out", "payer": "escrow", "payee": "p", "base": "1", "accumulate": "month"}, {"code": "rest", "component": "rest", "payer": "escrow", "payee": "hq", "remainder": true}]');

-- a ticket that rules cannot price
SELECT rule_test.refused(jsonb_build_array('{"code": "r", "payee": "p", "base": "amount"}'::jsonb || wrong), rule_test.ticket(worker => NULL)) FROM (VALUES
    ('{"base": "null::numeric"}'::jsonb), ('{"payee": "staff:{worker}"}'), ('{"base": "amount / (hours - 2)"}'), ('{"base": "amount * 1e90"}'), ('{"at_least": "null::numeric"}'),
    ('{"payee": "{helper}"}'), ('{"payee": "{left(worker, 0)}"}'), ('{"applies_when": "amount / (hours - 2) > 1"}')) AS v(wrong);
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "amount"}]', rule_test.ticket(amount => 'NaN'));
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "amount"}]', rule_test.ticket(done_at => 'infinity'));
SELECT rule_test.refused('[{"code": "r", "payee": "p", "base": "amount"}]', rule_test.ticket(done_at => NULL));

-- rules that are none
SELECT rule_test.refused(jsonb_build_array('{"code": "r", "payee": "p", "base": "amount"}'::jsonb || wrong)) FROM (VALUES
    ('{"payee": null}'::jsonb), ('{"payees": "array[worker]"}'), ('{"base": null}'), ('{"remainder": true}'), ('{"base": null, "remainder": true, "tiers": "5%"}'),
    ('{"base": "amount::float8"}'), ('{"base": "rush"}'), ('{"applies_when": "amount"}'), ('{"base": "amuont"}'), ('{"base": "c.fees"}'), ('{"base": "t.amount"}'),
    ('{"tally_by": "x"}'), ('{"share": "base"}'), ('{"accumulate": "month", "at_most": "5"}'), ('{"rounding": "sideways"}'), ('{"unit": ""}'),
    ('{"unit": "A_UNIT_OF_MORE_THAN_23_BYTES"}')) AS v(wrong);

-- lines: text, parts, parties; the source must be named where there are several
SELECT settle.evaluate(rule_test.document('[{"code": "r", "payee": "staff:{worker}", "base": "amount", "tiers": "5%", "accumulate": "month"}]')::settle.ruleset, rule_test.ticket()) AS lines;
SELECT settle.parties(l) AS parties, l::text::settle.lines::text = l::text AS through_text, (SELECT count(*) FROM settle.unnest(l)) AS lines
FROM settle.evaluate(rule_test.document(:'worked')::settle.ruleset, rule_test.ticket()) AS l;
SELECT rule_test.error_of(format('SELECT %L::settle.lines', l)) FROM (VALUES ('[]'), ('{}'), ('{"lines": 7}'), ('{"lines": [{"rule": "r"}]}'), ('{"lines": [], "more": 1}')) AS v(l);
SELECT rule_test.error_of(format('SELECT settle.evaluate(%L, rule_test.ticket())', rule_test.document('[]') || '{"sources": {}}'));
SELECT rule_test.error_of(format('SELECT settle.evaluate(%L, rule_test.ticket(), source => ''order'')', rule_test.document('[]')));
-- any row will do that has the columns: a table's, a view's, a sub-select's
SELECT (settle.unnest(settle.evaluate(rule_test.document('[{"code": "r", "payee": "p", "base": "amount", "tiers": "5%"}]')::settle.ruleset, s))).amount
FROM (SELECT n AS amount, n::int AS id, now() AS done_at, NULL::ltree AS project FROM unnest('{10,20}'::numeric[]) AS n) AS s;

SET client_min_messages = warning;
DROP SCHEMA rule_test CASCADE;
