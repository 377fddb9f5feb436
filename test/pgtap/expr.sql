-- The gateway of expressions: what it refuses and in which words, that stored
-- texts mean what PostgreSQL means by them and mean it in every session, and
-- that nobody's objects get in.
BEGIN;
SELECT plan(28);
SET LOCAL client_min_messages = warning;

CREATE SCHEMA expr_test;
CREATE TYPE expr_test.stage AS ENUM ('open', 'done', 'refunded');
CREATE DOMAIN expr_test.money_amount AS numeric(12,2) CHECK (value >= 0);
CREATE DOMAIN expr_test.label AS text;
CREATE TYPE expr_test.place AS (city text, spot point);
CREATE TABLE expr_test.ticket (
    id bigint, amount numeric, stage expr_test.stage, note text, worker_id int,
    done_at timestamptz, on_day date, project ltree, tags text[], form jsonb,
    deposit expr_test.money_amount, code varchar(20), ratio float8, place expr_test.place,
    labels expr_test.label[], receipt xml, paid money, "Order" int);

CREATE TEMP TABLE one_ticket ON COMMIT DROP AS
SELECT (jsonb_populate_record(NULL::expr_test.ticket, $$
    {"id": 5, "amount": 12.345, "stage": "done", "note": "abc-d", "worker_id": 77,
     "done_at": "2026-03-31T18:30:00+08:00", "on_day": "2026-03-31", "project": "a.b.c",
     "tags": ["x", "a"], "form": {"a": "q", "k": 1, "when": "2026-04-01 00:30", "day": "today"},
     "deposit": 9.50, "code": "b", "ratio": 1.25, "Order": 3} $$)).*;

-- What an expression becomes: its canonical text, or SQLSTATE and message.
CREATE FUNCTION expr_test.reading(expression text, time_zone text DEFAULT 'Asia/Shanghai', result text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN settle.check_expression(expression, 'expr_test.ticket', time_zone, result);
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;

-- The value of an expression for the ticket, or SQLSTATE and message.
CREATE FUNCTION expr_test.value(expression text, time_zone text DEFAULT 'Asia/Shanghai', template boolean DEFAULT false)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT settle._evaluate_expression(expression, t, time_zone, template) FROM pg_temp.one_ticket t);
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;

CREATE TEMP TABLE setting_before ON COMMIT DROP AS SELECT name, setting FROM pg_settings WHERE name <> 'escape_string_warning';

-- Refusals.  ------------------------------------------------------------------

CREATE TEMP TABLE refused (expression text, message text) ON COMMIT DROP;
INSERT INTO refused VALUES
-- not one expression
('', '42601 expression is empty'),
(' ', '42601 expression is empty'),
('-- nothing', '42601 syntax error at end of expression'),
('1; drop table x', '42601 syntax error at or near ";"'),
('amount > 10 urgent', '42601 syntax error at or near "urgent"'),
('amount > 10 limit 0', '42601 syntax error at or near "limit"'),
('amount > 10 where false', '42601 syntax error at or near "where"'),
('amount > 10 order by 1', '42601 syntax error at or near "order"'),
('amount > 10 group by 1 having false', '42601 syntax error at or near "group"'),
('amount as x', '42601 syntax error at or near "as"'),
('distinct amount', '42601 syntax error at or near "distinct"'),
('amount into x', '42601 syntax error at or near "into"'),
('1 union select 2', '42601 syntax error at or near "union"'),
('*', '42601 syntax error at or near "*"'),
('amount >', '42601 syntax error at end of expression'),
('(amount', '42601 syntax error at end of expression'),
('amount, id', '42601 the text is not one expression'),
('amount) + (id', '42601 the text is not one expression'),
('amount > 10) or (true', '42601 the text is not one expression'),
('amount) from pg_class where (true', '42601 the text is not one expression'),
('amount), (id', '42601 the text is not one expression'),
('amount /* all of it', '42601 unterminated /* comment at or near "/* all of it"'),
('''abc', '42601 unterminated quoted string at or near "''abc"'),
('$1', '0A000 a parameter cannot be used in an expression'),
('default', '0A000 DEFAULT cannot be used in an expression'),
-- names
('nothing_near', '42703 name "nothing_near" is not known here'),
('amuont > 1', '42703 name "amuont" is not known here'),
('t.amount', '42703 name "t.amount" is not known here'),
('a.b.c.d', '42703 name "a.b.c.d" has too many parts'),
('tableoid = 1', '42703 name "tableoid" is not known here'),
('ctid is null', '42703 name "ctid" is not known here'),
('xmin is null', '42703 name "xmin" is not known here'),
('ticket is null', '42703 name "ticket" is not known here'),
('ticket.*', '0A000 a whole row cannot be used in an expression'),
('stage = "done"', '42703 name "done" is not known here'),
-- more than the row
('(select 1)', '0A000 a sub-select cannot be used in an expression'),
('id in (select 1)', '0A000 a sub-select cannot be used in an expression'),
('exists (select 1)', '0A000 a sub-select cannot be used in an expression'),
('array(select 1)', '0A000 a sub-select cannot be used in an expression'),
('sum(amount)', '0A000 aggregate function sum cannot be used in an expression'),
('count(*)', '0A000 an aggregate function cannot be used in an expression'),
('sum(amount) filter (where true)', '0A000 an aggregate function cannot be used in an expression'),
('string_agg(note, '','')', '0A000 aggregate function string_agg cannot be used in an expression'),
('row_number() over ()', '0A000 a window function cannot be used in an expression'),
('sum(amount) over (partition by id)', '0A000 a window function cannot be used in an expression'),
('row_number()', '0A000 window function row_number cannot be used in an expression'),
('generate_series(1, 3)', '0A000 set-returning function generate_series cannot be used in an expression'),
('unnest(tags)', '0A000 set-returning function unnest cannot be used in an expression'),
('grouping(id)', '0A000 GROUPING cannot be used in an expression'),
-- another result at another time
('random() < 0.5', '0A000 function random cannot be used in an expression'),
('now() > done_at', '0A000 function now cannot be used in an expression'),
('current_date', '0A000 the current time or user cannot be used in an expression'),
('current_user = ''x''', '0A000 the current time or user cannot be used in an expression'),
('current_setting(''x'')', '0A000 function current_setting cannot be used in an expression'),
('nextval(''s'') = 1', '0A000 function nextval cannot be used in an expression'),
('pg_sleep(9) is null', '0A000 function pg_sleep cannot be used in an expression'),
('age(done_at)', '42P17 function age(timestamp with time zone) does not always give the same result'),
('done_at > ''now''', '42P17 the constant ''now'' would mean another time at each reading'),
('done_at > '' TODAY ''', '42P17 the constant '' TODAY '' would mean another time at each reading'),
('on_day = ''tomorrow''', '42P17 the constant ''tomorrow'' would mean another time at each reading'),
('date ''yesterday'' = on_day', '42P17 the constant ''yesterday'' would mean another time at each reading'),
('on_day = any (''{2026-01-01,today}'')', '42P17 the constant ''{2026-01-01,today}'' would mean another time at each reading'),
('on_day = any (''{"to\day"}'')', '42P17 the constant ''{"to\day"}'' would mean another time at each reading'),
('done_at <@ ''[now,)''::tstzrange', '42P17 the constant ''[now,)'' would mean another time at each reading'),
('on_day in (''2026-01-01'', ''today'')', '42P17 the constant ''today'' would mean another time at each reading'),
('cast(''now'' as time) is null', '42P17 the constant ''now'' would mean another time at each reading'),
('(''now''::text)::date = on_day', '22007 "now" would mean another time at each reading'),
-- strangers' and dangerous objects
('expr_test.value(note) = ''''', '0A000 function expr_test.value cannot be used in an expression'),
('no_such(note)', '42883 function no_such does not exist'),
('deposit::expr_test.money_amount', '0A000 type expr_test.money_amount cannot be used in an expression'),
('expr_test.label ''x'' = note', '0A000 type expr_test.label cannot be used in an expression'),
('place is null', '0A000 a column of type expr_test.place cannot be used in an expression'),
('labels is null', '0A000 a column of type expr_test.label[] cannot be used in an expression'),
('''(x,)''::expr_test.place is null', '0A000 type expr_test.place cannot be used in an expression'),
('''{x}''::expr_test.label[] is null', '0A000 type expr_test.label[] cannot be used in an expression'),
('''ticket''::regclass is null', '0A000 type regclass cannot be used in an expression'),
('to_regclass(''x'') is null', '0A000 function to_regclass cannot be used in an expression'),
('xmlelement(name a) is null', '0A000 XML cannot be used in an expression'),
('xmlparse(content note) is null', '0A000 XML cannot be used in an expression'),
('note::xml is null', '0A000 type xml cannot be used in an expression'),
('to_tsvector(''english'', note) is null', '0A000 function to_tsvector cannot be used in an expression'),
('note @@ note', '0A000 operator @@(text,text) cannot be used in an expression'),
('paid > 1::numeric::money', '0A000 type money cannot be used in an expression'),
('paid = paid', '0A000 a column of type money cannot be used in an expression'),
('form @? ''$.a''', '0A000 type jsonpath cannot be used in an expression'),
('time with time zone ''12:00'' is null', '0A000 type time with time zone cannot be used in an expression'),
('b''101'' is null', '0A000 a value of type bit cannot be used in an expression'),
('row(1, 2) is null', '0A000 a row value cannot be used in an expression'),
('hash_record(row(1)) = 1', '0A000 function hash_record cannot be used in an expression'),
-- no bound on the cost
('repeat(''x'', 900000000) = note', '0A000 function repeat cannot be used in an expression'),
('lpad(note, 900000000) = note', '0A000 function lpad cannot be used in an expression'),
('format(''%900000000s'', note) = note', '0A000 function format cannot be used in an expression'),
('factorial(30000) = 1', '0A000 function factorial cannot be used in an expression'),
('array_fill(1, array[100000000]) is null', '0A000 function array_fill cannot be used in an expression'),
('regexp_replace(note, ''a'', ''b'') = ''''', '0A000 function regexp_replace cannot be used in an expression'),
('concat(note, code) = ''''', '0A000 function concat cannot be used in an expression'),
('replace(note, ''a'', ''aa'') = ''''', '0A000 replace() in an expression must replace a constant by a constant that is not longer'),
('replace(note, code, '''') = ''''', '0A000 replace() in an expression must replace a constant by a constant that is not longer'),
('note ~ code', '0A000 a pattern in an expression must be a constant'),
('note ~ any (tags)', '0A000 a choice of patterns cannot be used in an expression'),
('note ~ ''(a)\1''', '0A000 a pattern with back-references or lookaround cannot be used in an expression'),
('note ~ ''a(?=b)''', '0A000 a pattern with back-references or lookaround cannot be used in an expression'),
('note ~ ''(((x{1,50}){1,50}){1,50})''', '54000 expression has more than 10000 copies of a part of a pattern'),
('note ~ ''[a''', '2201B invalid regular expression: brackets [] not balanced'),
('project ~ note::lquery', '0A000 only a constant can be read as lquery in an expression'),
('project ~ ''*.a.*.b.*.c.*.d.*''', '54000 expression has more than 4 wildcards in an lquery'),
('to_char(done_at, note) = ''''', '0A000 a format in an expression must be a constant'),
('amount ^ 101 > 0', '0A000 the exponent of a numeric power must be a constant between -100 and 100'),
('amount ^ worker_id > 0', '0A000 the exponent of a numeric power must be a constant between -100 and 100'),
('power(amount, ''NaN'') > 0', '0A000 the exponent of a numeric power must be a constant between -100 and 100'),
('amount > 1e100', '54000 a number in an expression has at most 100 digits on either side of the point'),
('amount > ''1e-101''', '54000 a number in an expression has at most 100 digits on either side of the point'),
('form @> ''{"a": [1e131071]}''', '54000 a number in an expression has at most 100 digits on either side of the point'),
('amount = any (''{1,1e131071}'')', '54000 a number in an expression has at most 100 digits on either side of the point'),
('amount <@ ''[1e131071,)''::numrange', '54000 a number in an expression has at most 100 digits on either side of the point'),
('note::jsonb is null', '0A000 only a constant can be read as jsonb in an expression'),
('note::text[] is null', '0A000 only a constant can be read as text[] in an expression'),
('note::expr_test.stage = ''done''', '0A000 only a constant can be read as expr_test.stage in an expression'),
('note::character(1001) is null', '54000 character(1001) cannot be used in an expression'),
(repeat('true and ', 30000) || 'true', '54000 expression is longer than 65536 bytes'),
(repeat('note||', 101) || 'note', '54000 expression has more than 100 concatenations, powers and the like'),
(repeat('to_jsonb(', 5) || 'note' || repeat('::text)', 5), '54000 expression has more than 4 levels of json or quoted text'),
(repeat('(', 30) || 'true' || repeat(' between true and true)', 30), '54000 expression has more than 100000 terms'),
('(' || repeat('id+', 9000) || '1) in (' || repeat('id,', 9000) || '1)', '54000 expression has more than 100000 terms'),
(repeat('not ', 15000) || 'true', '54001 expression is nested too deeply'),
(repeat('id+', 20000) || '1', '54001 stack depth limit exceeded'),
('id in (' || repeat('1,', 30000) || '1)', '54000 expression is longer than 65536 bytes when every cast is written out'),
-- constants that fail
('1/0', '22012 division by zero'),
('amount > 5 and 1/0 = 1', '22012 division by zero'),
('amount > ''x''', '22P02 invalid input syntax for type numeric: "x"'),
('stage = ''dome''', '22P02 invalid input value for enum expr_test.stage: "dome"');

SELECT is_empty($$
    SELECT left(expression, 60), expr_test.reading(expression), message FROM refused
    WHERE expr_test.reading(expression) IS DISTINCT FROM message$$,
    'each of them is refused with its SQLSTATE and message');

SELECT results_eq($$
    SELECT expr_test.reading(expression, result => wanted)
    FROM (VALUES ('amount', 'boolean'), ('amount > 1', 'numeric'), ('amount', 'expr_test.money_amount'),
                 ('worker_id', 'numeric'), ('done_at', 'date'), ('note', 'ltree')) v(expression, wanted)$$,
    ARRAY['42804 expression must be of type boolean, not numeric',
          '42804 expression must be of type numeric, not boolean',
          '0A000 an expression cannot give type expr_test.money_amount',
          '(worker_id)::numeric', '(done_at)::date',
          '42804 expression must be of type ltree, not text'],
    'the result is coerced by the rules of assignment');

SELECT throws_ok($$ SELECT settle.check_expression('amount', 'expr_test.ticket', 'Asia/Shangai') $$,
    '22023', 'time zone "Asia/Shangai" is not known');
SELECT throws_ok($$ SELECT settle.check_expression('amount', 'expr_test.ticket', 'UTC+8') $$,
    '22023', 'time zone "UTC+8" is not known', 'a POSIX rule, which counts westwards, is no time zone');

-- Hints and positions.  -------------------------------------------------------

CREATE FUNCTION expr_test.diagnosis(expression text, template boolean DEFAULT false, OUT hint text, OUT context text)
LANGUAGE plpgsql AS $$
BEGIN
    IF template THEN
        hint := settle.check_template(expression, 'expr_test.ticket');
    ELSE
        hint := settle.check_expression(expression, 'expr_test.ticket');
    END IF;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    context := split_part(context, E'\n', 1);
END $$;

SELECT results_eq($$
    SELECT (expr_test.diagnosis(expression)).hint
    FROM (VALUES ('amuont > 1'), ('stage = "done"'), ('stage = “done”'), ('tagz = "x"'), ('xmin = 1'), ('now()'), ('uper(note)'),
                 ('deposit::expr_test.money_amount')) v(expression)$$,
    ARRAY['Perhaps you meant "amount".',
          'A text constant takes single quotes: ''done''.',
          'Quotes, parentheses, commas and operators are those of a Latin keyboard.',
          'Perhaps you meant "tags".',
          'A column that PostgreSQL itself keeps is not part of the row.',
          'settle.expression_functions() lists them.',
          'Perhaps you meant the function "upper".',
          'Cast to the type under the domain, numeric.'],
    'hints say what to write instead');

SELECT is((expr_test.diagnosis('note = ''空调'' and nope')).context, 'expression, at character 17', 'a position counts characters of the text');
SELECT is((expr_test.diagnosis('员工:{worker_id}/{nope}', true)).context, 'template, at character 17', 'and characters of the whole template');
SELECT is((expr_test.diagnosis('amount >')).context, 'expression, at character 9', 'what is missing, is missing behind the text');

-- What legal texts mean.  -----------------------------------------------------

CREATE TEMP TABLE legal (expression text) ON COMMIT DROP;
INSERT INTO legal VALUES
('amount > 10'), ('amount'), ('-amount'), ('+ id'), ('- -5'), ('null'), ('true'), ('''x'''), ('$$a$$'), ('E''a\nb'''),
('stage = ''done'''), ('stage in (''open'', ''done'')'), ('stage > ''open'''), ('stage::text'), ('''s:'' || stage'),
('note = ''空调'''), ('note like ''a%'''), ('note not ilike ''A!%'' escape ''!'''), ('note similar to ''a%'''), ('note ~ ''^a.c'''),
('note !~* ''^(\d{1,3}\.){3}$'''), ('like_escape(note, ''!'')'), ('substring(note from ''b(.)'')'), ('substring(note from 2 for 2)'),
('overlay(note placing ''x'' from 2)'), ('position(''b'' in note)'), ('trim(both ''a'' from note)'), ('replace(note, ''-'', '''')'),
('split_part(note, ''-'', 2)'), ('upper(left(note, 2))'), ('note || id || amount'), ('code || code'), ('code in (''a'', ''b'')'),
('code::character(3)'), ('note::varchar(2)'), ('note collate "C" < ''b'''), ('note is null'), ('note is not distinct from code'),
('nullif(note, '''')'), ('coalesce(note, code, ''x'')'), ('greatest(amount, deposit, 4)'), ('least(id, 2.5)'), ('num_nulls(note, ''x'', null)'),
('case when amount > 1 then ''a'' end'), ('case worker_id when 77 then 1 when 78 then 2.5 else id end'), ('case code when ''b'' then 1 end'),
('deposit'), ('deposit in (9.5, 2)'), ('deposit + 1 between 2 and 100'), ('id between symmetric 9 and 1'), ('(amount, id) < (13, 1)'),
('row(id, amount) in (row(5, 1), row(5, 12.345))'), ('id = any (array[id, amount])'), ('ratio = any (array[id, 1.25])'),
('id not in (1, null)'), ('amount::int'), ('amount::numeric(5,1)'), ('(amount > 1) is not unknown'), ('not (amount > 1 or note is null)'),
('1e5'), ('.5'), ('2147483648'), ('''NaN''::numeric'), ('ratio * 2'), ('ratio::numeric'), ('1.05 ^ 12'), ('2 ^ 10'), ('round(amount / 7, 2)'),
('mod(id, 2) = 1'), ('id % 2'), ('id & 4 | 1'), ('width_bucket(amount, 0, 100, 10)'), ('to_char(amount, ''FM9990.00'')'), ('to_number(''12.5'', ''99.9'')'),
('done_at >= ''2026-03-01'''), ('done_at at time zone ''Asia/Tokyo'''), ('extract(year from done_at)'), ('date_part(''dow'', on_day)'),
('date_trunc(''month'', done_at)'), ('date_trunc(''day'', done_at, ''UTC'')'), ('done_at::date'), ('done_at::date = on_day'), ('on_day::timestamptz = done_at'),
('done_at + interval ''1 month'''), ('done_at - timestamptz ''2026-01-01'''), ('on_day + 7'), ('interval ''1'' day'), ('interval ''1 day'' * 3'),
('age(done_at, ''2020-02-29'')'), ('make_date(2026, 1, 2)'), ('make_interval(days => 3)'), ('make_timestamptz(2026, 1, 2, 3, 4, 5)'),
('(on_day, on_day + 9) overlaps (date ''2026-04-01'', interval ''1 day'')'), ('to_char(done_at, ''YYYY-MM-DD HH24:MI'')'), ('to_date(''2026-01-02'', ''YYYY-MM-DD'')'),
('done_at <@ tstzrange(''2026-03-01'', ''2026-04-01'')'), ('lower(daterange(on_day, null))'), ('int4range(1, worker_id) @> 5'), ('''epoch''::date'), ('''infinity''::timestamptz'),
('(form->>''when'')::timestamptz'), ('(form->>''when'')::date'), ('(form->>''k'')::int + 1'), ('form->''a'''), ('form[''k'']'), ('form @> ''{"k": 1}'''), ('form ? ''a'''), ('form ?| array[''z'', ''k'']'),
('jsonb_build_object(''staff:'' || worker_id, 0.6, ''s'', null)'), ('jsonb_build_array(''a'', id)'), ('to_jsonb(done_at)'), ('jsonb_typeof(form->''k'')'), ('form - ''a'''),
('tags && array[''a'']'), ('tags[1]'), ('tags[1:1]'), ('array_length(tags, 1)'), ('''a'' = any (tags)'), ('tags @> ''{a}'''), ('array[]::int[]'), ('array[[1, 2], [3, id]]'), ('array[1, id]::numeric[]'), ('array[id]::text'),
('array_position(tags, ''a'')'), ('cardinality(string_to_array(note, ''-''))'), ('tags || array[note]'),
('project <@ ''a.b'''), ('project ~ ''a.*{1,2}'''), ('project ? array[''x.*'', ''a.*'']::lquery[]'), ('project @ ''a & b'''), ('nlevel(project)'), ('subpath(project, 0, 1)'), ('project || ''x'''), ('lca(project, ''a.b.x'')'), ('project = any (array[''a''::ltree, ''a.b.c''])'), ('project::text'),
('point(1, 2) <@ box ''((0,0),(3,3))'''), ('"Order" + 1'), ('receipt is null'), ('paid is null'), ('pg_catalog.upper(note)'), ('id operator(pg_catalog.+) 1');

SELECT is_empty($$
    SELECT expression, expr_test.reading(expression) FROM legal
    WHERE expr_test.reading(expr_test.reading(expression)) IS DISTINCT FROM expr_test.reading(expression)
       OR expr_test.reading(expression) ~ '^[0-9A-Z]{5} '$$,
    'a canonical text is its own canonical text');

-- The value that PostgreSQL itself gives, for a text in a SELECT list.
CREATE FUNCTION expr_test.value_in_select(expression text) RETURNS text LANGUAGE plpgsql
SET TimeZone = 'Asia/Shanghai' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    value text;
BEGIN
    EXECUTE 'SELECT format(''%s'', v) FROM (SELECT ' || expression || ' AS v FROM pg_temp.one_ticket) s' INTO value;
    RETURN value;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;

SELECT is_empty($$
    SELECT expression, expr_test.value(expression), expr_test.value_in_select(expression) FROM legal
    WHERE expr_test.value_in_select(expression) IS DISTINCT FROM coalesce(expr_test.value(expression), '')
       OR expr_test.value_in_select(expression) IS DISTINCT FROM coalesce(expr_test.value(expr_test.reading(expression)), '')$$,
    'a text and its canonical text have the value that PostgreSQL gives');

-- The same for random texts.
CREATE FUNCTION expr_test.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE
RETURN choices[1 + floor(random() * cardinality(choices))::int];

CREATE FUNCTION expr_test.random_text(kind text, depth int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    shape text;
BEGIN
    shape := CASE kind || CASE WHEN depth > 0 THEN '' ELSE ' leaf' END
        WHEN 'number leaf' THEN expr_test.pick('amount', 'deposit', 'id', 'ratio', '"Order"', '1', '2.5', '-3', '1e3', '''7''::numeric', 'null::int', 'length(note)')
        WHEN 'number' THEN expr_test.pick('(N + N)', '(N * N - N)', 'abs(N)', 'coalesce(N, N)', 'greatest(N, N)', 'case when B then N else N end', 'nullif(N, N)',
            'round((N)::numeric, 2)', 'extract(epoch from D)', '- N', '(N)::numeric(12,2)', '(N)::float8', 'case N when N then N when 5 then 1 end')
        WHEN 'text leaf' THEN expr_test.pick('note', 'code', 'form->>''a''', 'stage::text', '''abc''', '''it''''s''', '''a"b''', 'null::text', '''{today}''')
        WHEN 'text' THEN expr_test.pick('(T || T)', 'upper(T)', '(N)::text', 'coalesce(T, T)', 'to_char(D, ''YYYY-MM'')', 'case when B then T end', 'substring(T from 1 for 2)',
            'split_part(T, ''-'', 1)', '(T collate "C")', '(T)::varchar(5)', '(T || N)')
        WHEN 'time leaf' THEN expr_test.pick('done_at', 'on_day::timestamptz', 'timestamptz ''2026-03-08 02:30''', '''2026-01-01''::timestamptz')
        WHEN 'time' THEN expr_test.pick('(D + interval ''1 month'')', 'date_trunc(''month'', D)', 'greatest(D, D)', '(D)::date::timestamptz', '(D at time zone ''Asia/Tokyo'')::timestamptz')
        WHEN 'condition leaf' THEN expr_test.pick('true', 'amount > 1', 'note is null', 'stage = ''done''', 'project <@ ''a.b''', 'tags && array[''x'']', 'form ? ''k''', 'on_day < ''2026-05-05''',
            'null::bool', 'code in (''a'', ''b'')', 'deposit in (1, 2.5)', 'on_day between ''2026-01-01'' and ''2026-12-01''', '(amount, note) < (1, ''x'')')
        WHEN 'condition' THEN expr_test.pick('(B and B)', '(B or B)', 'not B', '(N < N)', '(N is distinct from N)', '(T >= T)', '(D < D)', '(B) is not true', '(N in (N, 1, 2.5, id))',
            '(N between N and N)', '(D >= on_day)', '(N = any (array[N, N]))')
    END;
    RETURN (SELECT string_agg(CASE part
                WHEN 'N' THEN expr_test.random_text('number', depth - 1) WHEN 'T' THEN expr_test.random_text('text', depth - 1)
                WHEN 'D' THEN expr_test.random_text('time', depth - 1) WHEN 'B' THEN expr_test.random_text('condition', depth - 1)
                ELSE part END, '' ORDER BY n)
            FROM regexp_split_to_table(shape, '\m|\M') WITH ORDINALITY p(part, n));
END $$;

SELECT setseed(0.2511);
CREATE TEMP TABLE random_expression ON COMMIT DROP AS
SELECT expr_test.random_text((ARRAY['number', 'text', 'time', 'condition'])[1 + n % 4], 1 + n / 4 % 4) AS expression, NULL::text AS canonical
FROM generate_series(1, 2000) n;
UPDATE random_expression SET canonical = expr_test.reading(expression);

SELECT cmp_ok((SELECT count(*) FROM random_expression WHERE canonical !~ '^[0-9A-Z]{5} '), '>', 1500::bigint,
    'most random texts are legal');
SELECT is_empty($$
    SELECT expression, canonical FROM random_expression
    WHERE canonical ~ '^XX' OR (canonical !~ '^[0-9A-Z]{5} ' AND expr_test.reading(canonical) IS DISTINCT FROM canonical)$$,
    'a canonical text is its own canonical text, for random texts');
SELECT is_empty($$
    SELECT expression, canonical, expr_test.value(canonical), expr_test.value_in_select(expression) FROM random_expression
    WHERE canonical !~ '^[0-9A-Z]{5} '
      AND coalesce(expr_test.value(canonical), '') IS DISTINCT FROM expr_test.value_in_select(expression)$$,
    'it has the value that PostgreSQL gives, for random texts');

-- Templates.  -----------------------------------------------------------------

SELECT results_eq($$
    SELECT expr_test.value(template, template => true)
    FROM (VALUES ('hq'), (''), ('staff:{worker_id}'), ('{stage}:{deposit}:{done_at}'), ('{{{note}}}'), ('{{}}'), ('a{note || ''}''}b'),
                 ('x{null}'), ('{form->>''zz''}'), ('{tags}'), ('s:{worker_id'), ('s:worker_id}'), ('{}'), ('{amount, id}'), ('{amount} {'),
                 (repeat('{id}', 101))) v(template)$$,
    ARRAY['hq', '', 'staff:77', 'done:9.50:2026-03-31 18:30:00+08', '{abc-d}', '{}', 'aabc-d}b', NULL, NULL, '{x,a}',
          '42601 brace "{" at character 3 has no partner', '42601 brace "}" at character 12 has no partner',
          '42601 expression is empty', '42601 the text is not one expression', '42601 brace "{" at character 10 has no partner',
          '54000 template has more than 100 expressions'],
    'braces of a template hold expressions, whose values stand there as text');

SELECT is_empty($$
    SELECT template, canonical
    FROM (VALUES ('staff:{worker_id}'), ('{{{note || ''{}''}}}'), ('{"Order"}-{stage = ''done''}'), ('{case when id = 1 then ''}'' end}')) v(template),
         settle.check_template(template, 'expr_test.ticket') canonical
    WHERE settle.check_template(canonical, 'expr_test.ticket') <> canonical
       OR expr_test.value(canonical, template => true) IS DISTINCT FROM expr_test.value(template, template => true)$$,
    'the canonical text of a template is a template');

-- Book time, whatever the session says.  --------------------------------------

SELECT results_eq($$
    SELECT expr_test.value(expression, zone)
    FROM (VALUES ('extract(hour from done_at)'), ('done_at > ''2026-03-31 18:00'''), ('(form->>''when'')::timestamptz')) e(expression),
         (VALUES ('Asia/Shanghai'), ('UTC'), ('America/New_York')) z(zone)$$,
    ARRAY['18', '10', '6', 't', 'f', 'f', '2026-04-01 00:30:00+08', '2026-04-01 00:30:00+00', '2026-04-01 00:30:00-04'],
    'times are those of the zone of the book');
SELECT is(expr_test.value('(form->>''day'')::date = on_day'), '22007 "today" would mean another time at each reading',
    'a ticket cannot say today');

CREATE TEMP TABLE setting (name text, value text) ON COMMIT DROP;
INSERT INTO setting VALUES
('TimeZone', 'America/New_York'), ('DateStyle', 'German, DMY'), ('DateStyle', 'SQL, MDY'), ('IntervalStyle', 'sql_standard'), ('search_path', 'expr_test'), ('search_path', ''),
('standard_conforming_strings', 'off'), ('transform_null_equals', 'on'), ('extra_float_digits', '-15'), ('bytea_output', 'escape'), ('array_nulls', 'off'),
('quote_all_identifiers', 'on'), ('backslash_quote', 'on'), ('timezone_abbreviations', 'Australia'), ('row_security', 'on'), ('default_text_search_config', 'pg_catalog.german');
INSERT INTO legal VALUES
('''a\nb'''), ('note = null'), ('on_day = ''01-02-2026'''), ('(''2026-'' || ''01-02 10:00 EST'')::timestamptz'), ('ratio / 3 || '''''), ('array[null, ''NULL'']::text[]'), ('''\x41''::bytea'),
('''1 day -02:00''::interval'), ('(''{1,NULL}''::int[])[2]'), ('''\x41''::bytea || ''''::bytea');

CREATE TEMP TABLE meaning ON COMMIT DROP AS
SELECT 'none' AS setting, expression, expr_test.reading(expression) AS canonical, expr_test.value(expression) AS value FROM legal;
DO $$
DECLARE
    s record;
    before text;
BEGIN
    FOR s IN SELECT * FROM pg_temp.setting LOOP
        before := pg_catalog.current_setting(s.name);
        PERFORM pg_catalog.set_config('escape_string_warning', 'off', true), pg_catalog.set_config(s.name, s.value, true);
        INSERT INTO pg_temp.meaning
        SELECT s.name OPERATOR(pg_catalog.||) s.value, expression, expr_test.reading(expression), expr_test.value(expression) FROM pg_temp.legal;
        PERFORM pg_catalog.set_config(s.name, before, true);
    END LOOP;
END $$;
SELECT is_empty($$
    SELECT m.setting, m.expression, m.canonical, m.value, n.canonical, n.value
    FROM meaning m JOIN meaning n USING (expression)
    WHERE n.setting = 'none' AND (m.canonical, m.value) IS DISTINCT FROM (n.canonical, n.value)$$,
    'no setting of the session changes what a text means');
SELECT is(count(DISTINCT setting), 17::bigint, 'all of them were tried') FROM meaning;
SELECT is_empty('SELECT name, s.setting, b.setting FROM pg_settings s JOIN setting_before b USING (name) WHERE s.setting <> b.setting',
    'every setting is as it was, after texts that were read and texts that were refused');

-- Strangers' objects.  --------------------------------------------------------

CREATE SEQUENCE expr_test.runs;
CREATE FUNCTION expr_test.hostile(text) RETURNS boolean LANGUAGE sql RETURN nextval('expr_test.runs') > 0;
CREATE DOMAIN public.hostile AS text CHECK (expr_test.hostile(value));
CREATE TYPE public.hostile_row AS (word public.hostile);
CREATE FUNCTION public.hostile_operator(point, public.hostile_row) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN true;
CREATE OPERATOR public.= (leftarg = point, rightarg = public.hostile_row, function = public.hostile_operator);
CREATE FUNCTION public.hostile_comparison(numeric, int) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN true;
CREATE OPERATOR public.>= (leftarg = numeric, rightarg = int, function = public.hostile_comparison);
CREATE FUNCTION public.nlevel(text) RETURNS int LANGUAGE sql IMMUTABLE RETURN 1;
CREATE FUNCTION public.upper(int, public.hostile_row) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'x';
CREATE FUNCTION pg_temp.upper(text) RETURNS text LANGUAGE sql RETURN 'stolen';
CREATE TYPE pg_temp.ltree AS (a int);
CREATE TYPE pg_temp."numeric" AS (a int);
CREATE VIEW expr_test.spot AS SELECT point(1, 2) AS spot, NULL::public.hostile AS word, amount, note, project FROM expr_test.ticket;

CREATE FUNCTION expr_test.reading_of_spot(expression text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN settle.check_expression(expression, 'expr_test.spot');
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;

SELECT results_eq($$
    SELECT regexp_replace(expr_test.reading_of_spot(expression), 'pg_temp_\d+', 'pg_temp')
    FROM (VALUES ('amount >= 5'), ('(amount >= (5)::numeric)'), ('nlevel(note)'), ('nlevel(project)'), ('upper(note)'), ('pg_temp.upper(note)'),
                 ('upper(1, ''("x")'')'), ('public.upper(1, ''("x")'')'), ('spot = ''("x")'''), ('spot operator(public.=) ''("x")'''), ('spot is distinct from ''("x")'''),
                 ('spot in (''("x")'')'), ('''("x")''::public.hostile_row is null'), ('''{x}''::public.hostile[] is null'), ('''x''::public.hostile = note'),
                 ('word = ''x'''), ('word in (''x'', ''y'')'), ('coalesce(word, '''')'), ('amount::numeric'), ('project = ''a.b''')) v(expression)$$,
    ARRAY['0A000 operator >=(numeric,integer) cannot be used in an expression', '(amount >= (5)::numeric)',
          '0A000 function nlevel(text) cannot be used in an expression', 'nlevel(project)', 'upper(note)',
          '0A000 function pg_temp.upper(text) cannot be used in an expression',
          '0A000 type hostile_row cannot be used in an expression', '0A000 type hostile_row cannot be used in an expression',
          '0A000 type hostile_row cannot be used in an expression', '0A000 type hostile_row cannot be used in an expression',
          '0A000 type hostile_row cannot be used in an expression', '0A000 type hostile_row cannot be used in an expression',
          '0A000 type hostile_row cannot be used in an expression', '0A000 type hostile[] cannot be used in an expression',
          '0A000 type hostile cannot be used in an expression',
          '((word)::text = ''x''::text)', '((word)::text = ANY (ARRAY[''x''::text, ''y''::text]))', 'COALESCE((word)::text, ''''::text)',
          'amount', '(project = ''a.b''::ltree)'],
    'objects of strangers are refused where they would be taken, and change nothing else');
SELECT is((SELECT is_called FROM expr_test.runs), false, 'reading a text runs nobody''s code');

-- Rights.  --------------------------------------------------------------------

CREATE ROLE expr_test_stranger;
GRANT USAGE ON SCHEMA expr_test TO expr_test_stranger;
SET LOCAL ROLE expr_test_stranger;
SELECT is(settle.check_expression('amount', 'expr_test.ticket'), 'amount', 'checking needs no privilege on the relation');
SELECT throws_ok($$ SELECT settle._evaluate_expression('id', ROW(1), 'UTC') $$, '42501', 'permission denied for function _evaluate_expression');
RESET ROLE;

-- The lists.  -----------------------------------------------------------------

SELECT is_empty($$
    SELECT purpose, function FROM settle.expression_functions()
    WHERE NOT EXISTS (
        SELECT FROM pg_proc p
        WHERE proname = function AND prokind = 'f' AND provolatile <> 'v'
          AND (purpose NOT IN ('paths (ltree)', 'settlement (schema settle)') AND pronamespace = 'pg_catalog'::regnamespace
               OR EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                          WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                            AND e.extname = CASE purpose WHEN 'paths (ltree)' THEN 'ltree' WHEN 'settlement (schema settle)' THEN 'scrm_settle' END)))$$,
    'every function of the list is there');

\set documentation `cat docs/expr.md`
SELECT results_eq(
    $$ SELECT '| ' || purpose || ' | ' || string_agg('`' || function || '`', ' ' ORDER BY function COLLATE "C") || ' |'
       FROM settle.expression_functions() GROUP BY purpose ORDER BY 1 $$,
    format($$ SELECT line FROM unnest(string_to_array(%L, E'\n')) line WHERE line ~ '^\| [a-z ()]+ \| `[a-z_0-9]+`' ORDER BY 1 $$, :'documentation'),
    'docs/expr.md lists the same functions');

-- Another home for ltree, found by a session that knew the old one.  -----------

CREATE SCHEMA "other ltree";
ALTER EXTENSION ltree SET SCHEMA "other ltree";
SELECT is(expr_test.reading('project <@ ''a.b'' and nlevel(project) = 3'), '((project <@ ''a.b''::ltree) AND (nlevel(project) = 3))',
    'the text is the same where ltree stands in another schema');
SELECT is(expr_test.value('project <@ ''a.b'' and nlevel(project) = 3'), 't', 'and its value');

SELECT * FROM finish();
ROLLBACK;
