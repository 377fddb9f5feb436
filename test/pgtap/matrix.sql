-- The revenue matrix against GROUP BY, on random tickets, in every form that a
-- matrix takes: state, value, text, binary, stored, summed, forged, damaged.
-- The seed is printed; psql -v seed=... repeats a run.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(62);
\if :{?seed}
\else
SELECT floor(random() * 1000000)::int AS seed \gset
\endif
SELECT diag('seed ' || :seed);
SELECT setseed(:seed / 1000000.0) \g /dev/null

CREATE SCHEMA matrix_test;
SET LOCAL search_path = matrix_test, public;

-- Projects and regions share names, lack some levels, are empty or null.
CREATE TABLE ticket AS
SELECT n,
    CASE WHEN pick < 0.03 THEN NULL WHEN pick < 0.05 THEN ''::ltree WHEN pick < 0.2 THEN subpath(project, 0, 2) ELSE project END AS project,
    CASE WHEN pick > 0.97 THEN NULL WHEN pick > 0.9 THEN project ELSE region END AS region,
    CASE WHEN random() < 0.02 THEN NULL WHEN random() < 0.01 THEN 'infinity' WHEN random() < 0.01 THEN '-infinity'
         ELSE date '2024-11-01' + (random() * 20)::int * 31 END AS period,
    CASE WHEN random() < 0.05 THEN NULL ELSE round(((random() - 0.3) * 10 ^ (random() * 8))::numeric, 2) END AS revenue,
    CASE WHEN random() < 0.3 THEN NULL ELSE round((random() * 1000)::numeric, 2) END AS cost,
    round((random() - 0.5)::numeric, (random() * 12)::int) * 10::numeric ^ (random() * 45)::int AS huge
FROM (SELECT n, random() AS pick,
          text2ltree('install.kind' || (random() * 4)::int || '.m' || (random() * 12)::int) AS project,
          text2ltree('cn.area' || (random() * 3)::int || '.p' || (random() * 10)::int || '.s' || (random() * 2)::int) AS region
      FROM generate_series(1, 20000) n) t;
ANALYZE ticket;

-- Enough cells for a large state.
CREATE TABLE wide AS
SELECT n, n % 3 AS key, n / 15000 AS part, text2ltree('w.p' || n % 97) AS project, text2ltree('cn.r' || n % 89) AS region,
    date '2025-01-01' + n % 7 AS period, (n % 1000)::numeric / 8 AS revenue, n::numeric AS cost
FROM generate_series(1, 60000) n;
ANALYZE wide;

-- The queries that are compared.

CREATE FUNCTION matrix_of(source text, amounts text DEFAULT 'revenue, cost') RETURNS text
RETURN format('SELECT settle.revenue_matrix(project, region, period, %s) FROM %s', amounts, source);

CREATE FUNCTION cells_of(matrix text, subtotals text DEFAULT 'cube', amounts text DEFAULT 'revenue::text, cost::text') RETURNS text
RETURN format('SELECT project, region, period, "grouping", tickets, %3$s FROM settle.cells((%1$s), %2$L)', matrix, subtotals, amounts);

CREATE FUNCTION cube_of(source text, amounts text DEFAULT 'sum(revenue)::text, sum(cost)::text') RETURNS text
RETURN format('SELECT project, region, period, GROUPING(project, region, period), count(*), %2$s
    FROM %1$s GROUP BY CUBE (project, region, period)', source, amounts);

CREATE FUNCTION nodes(path ltree) RETURNS TABLE (node ltree, total int) BEGIN ATOMIC
    SELECT path, 0
    UNION ALL SELECT subpath(path, 0, n), 0 FROM generate_series(1, nlevel(path) - 1) n
    UNION ALL SELECT NULL, 1;
END;

CREATE FUNCTION tree_of(source text) RETURNS text
RETURN format('SELECT p.node, r.node, CASE WHEN d = 0 THEN period END, p.total * 4 + r.total * 2 + d, count(*),
        sum(revenue)::text, sum(cost)::text
    FROM %s, nodes(project) p, nodes(region) r, generate_series(0, 1) d
    GROUP BY p.node, p.total, r.node, r.total, CASE WHEN d = 0 THEN period END, d', source);

-- Rows of a query that those of another lack, counting repetitions.
CREATE FUNCTION differing(a text, b text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM ((%1$s EXCEPT ALL %2$s) UNION ALL (%2$s EXCEPT ALL %1$s)) d', a, b) INTO n;
    RETURN n;
END $$;

CREATE FUNCTION text_of(matrix text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result settle.matrix;
BEGIN
    EXECUTE matrix INTO result;
    RETURN result::text;
END $$;

-- Equal with SQL

SELECT is(differing(cells_of(matrix_of('ticket')), cube_of('ticket')), 0::bigint,
    'cube: rows, counts, sums and their places as GROUP BY CUBE gives them');
SELECT is(differing(cells_of(matrix_of('ticket WHERE n <= 7')), cube_of('ticket WHERE n <= 7')), 0::bigint, 'cube of a few tickets');
SELECT is(differing(cells_of(matrix_of('ticket WHERE false')), cube_of('ticket WHERE false')), 0::bigint,
    'cube of nothing: a grand total of no tickets');
SELECT is(differing(cells_of(matrix_of('wide')), cube_of('wide')), 0::bigint, 'cube of many cells');
SELECT is(differing(cells_of(matrix_of('ticket', 'huge, -huge'), 'cube', 'revenue, cost'), cube_of('ticket', 'sum(huge), sum(-huge)')), 0::bigint,
    'sums beyond 128 bits, of many scales, are exact');
CREATE VIEW there_and_back AS
SELECT project, region, period, unnest(ARRAY[huge, -huge, 0.10]) AS x FROM ticket;
SELECT is(differing(cells_of(matrix_of('there_and_back', 'x, null'), 'cube', 'revenue, cost'), cube_of('there_and_back', 'sum(x), null::numeric')),
    0::bigint, 'what outgrows 128 bits comes back from there');
SELECT is(differing(cells_of(matrix_of('ticket'), 'none'),
        'SELECT project, region, period, 0, count(*), sum(revenue)::text, sum(cost)::text FROM ticket GROUP BY project, region, period'),
    0::bigint, 'none: rows as GROUP BY gives them');
SELECT is(differing(cells_of(matrix_of('ticket WHERE n <= 2000'), 'tree'), tree_of('(SELECT * FROM ticket WHERE n <= 2000) t')), 0::bigint,
    'tree: every level of both paths sums what lies below it');
SELECT is(differing(cells_of(matrix_of('ticket WHERE false'), 'tree'), cube_of('ticket WHERE false')), 0::bigint, 'tree of nothing is its grand total');
SELECT is_empty($$
    SELECT * FROM settle.cells((SELECT settle.revenue_matrix(project, region, period, revenue, cost) FROM ticket))
    WHERE profit IS DISTINCT FROM revenue - cost OR margin IS DISTINCT FROM CASE WHEN revenue > 0 THEN round(profit / revenue, 4) END
       OR project_level IS DISTINCT FROM nlevel(project) OR region_level IS DISTINCT FROM nlevel(region)$$,
    'profit, margin and levels follow from the other columns');

-- States: grown in place, large, hashed, windowed, parallel, summed

CREATE TABLE serial AS
SELECT 'ticket' AS source, settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM ticket
UNION ALL SELECT 'wide', settle.revenue_matrix(project, region, period, revenue, cost) FROM wide
UNION ALL SELECT 'huge', settle.revenue_matrix(project, region, period, huge, cost) FROM ticket;

SET LOCAL enable_sort = off;
SELECT is_empty($$
    SELECT project FROM (SELECT project, settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM ticket GROUP BY project) g
    WHERE m::text <> text_of(matrix_of(format('ticket WHERE project IS NOT DISTINCT FROM %L', project)))$$,
    'groups with small states');
SELECT is_empty($$
    SELECT key FROM (SELECT key, settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM wide GROUP BY key) g
    WHERE m::text <> text_of(matrix_of('wide WHERE key = ' || key))$$,
    'hashed groups with large states');
RESET enable_sort;
SELECT is_empty($$
    SELECT n FROM (SELECT n, settle.revenue_matrix(project, region, period, revenue, cost) OVER (ORDER BY n) AS m FROM ticket WHERE n <= 200) w
    WHERE m::text <> text_of(matrix_of('ticket WHERE n <= ' || n))$$,
    'as a window function, every row has the matrix up to it');
SELECT is_empty($$
    SELECT part FROM (SELECT n, part, settle.revenue_matrix(project, region, period, revenue, cost) OVER (PARTITION BY part) AS m FROM wide) w
    WHERE n % 15000 = 7 AND m::text <> text_of(matrix_of('wide WHERE part = ' || part))$$,
    'as a window function with large states');
SELECT is((SELECT settle.revenue_matrix(project, region, period, revenue, cost ORDER BY n DESC)::text FROM ticket),
    (SELECT m::text FROM serial WHERE source = 'ticket'), 'the order of tickets has no say');

CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    lines text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        lines := lines || line || E'\n';
    END LOOP;
    RETURN lines;
END $$;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT matches(plan_of(matrix_of('wide')), 'Finalize Aggregate.*Gather.*Partial Aggregate', 'parallel query aggregates in the workers');
SELECT is((SELECT settle.revenue_matrix(project, region, period, revenue, cost)::text FROM ticket),
    (SELECT m::text FROM serial WHERE source = 'ticket'), 'parallel is serial');
SELECT is((SELECT settle.revenue_matrix(project, region, period, revenue, cost)::text FROM wide),
    (SELECT m::text FROM serial WHERE source = 'wide'), 'parallel is serial, many cells');
SELECT is(differing(cells_of(matrix_of('ticket', 'huge, cost'), 'none', 'revenue, cost'),
        cells_of($$SELECT m FROM serial WHERE source = 'huge'$$, 'none', 'revenue, cost')),
    0::bigint, 'parallel is serial, beyond 128 bits');
SELECT is((SELECT settle.revenue_matrix(project, region, period, revenue, cost)::text FROM wide WHERE n < 0),
    '{"paths": [], "cells": []}', 'parallel over nothing');
SET LOCAL parallel_leader_participation = off;
SELECT is((SELECT settle.revenue_matrix(project, region, period, revenue, cost)::text FROM wide),
    (SELECT m::text FROM serial WHERE source = 'wide'), 'parallel without the leader');
CREATE TEMP TABLE by_key AS
SELECT key, settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM wide GROUP BY key;
RESET parallel_leader_participation;
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT is_empty($$SELECT key FROM by_key WHERE m::text <> text_of(matrix_of('wide WHERE key = ' || key))$$, 'parallel groups');

CREATE TEMP TABLE parts AS
SELECT n % 40 AS part, settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM ticket GROUP BY 1;
SELECT is((SELECT settle.matrix_sum(m)::text FROM parts), (SELECT m::text FROM serial WHERE source = 'ticket'),
    'stored matrices sum up to that of all tickets');
SELECT is((SELECT settle.matrix_sum(m)::text FROM by_key), (SELECT m::text FROM serial WHERE source = 'wide'), 'large matrices sum up');
SELECT is((SELECT settle.matrix_sum(m)::text FROM (SELECT m FROM parts WHERE part = 3 UNION ALL SELECT NULL) x),
    (SELECT m::text FROM parts WHERE part = 3), 'a null matrix adds nothing');
SELECT is((SELECT settle.matrix_sum(m)::text FROM parts WHERE part < 0), '{"paths": [], "cells": []}', 'the sum of no matrix is empty');

-- Forms

SELECT is_empty('SELECT source FROM serial WHERE m::text::settle.matrix::text <> m::text', 'text reads back as what was written');
SELECT is_empty('SELECT source FROM serial WHERE m::jsonb::settle.matrix::text <> m::text', 'so does jsonb, which orders the members anew');
SELECT is((SELECT sum(tickets) FROM serial, settle.cells(m, 'none') WHERE source = 'ticket'), 20000::numeric, 'a stored value reads back');

SELECT current_setting('data_directory') || '/matrix_test.' || pg_backend_pid() AS file \gset
SELECT set_config('matrix_test.file', :'file', true) \g /dev/null
CREATE TEMP TABLE copy (source text, m settle.matrix);
COPY serial TO :'file' (FORMAT binary);
COPY copy FROM :'file' (FORMAT binary);
SELECT is((SELECT count(*) FROM copy JOIN serial USING (source) WHERE copy.m::text = serial.m::text), 3::bigint,
    'binary reads back as what was written');

-- An aggregate of somebody's own, without a final function, stores states as they are.
CREATE AGGREGATE raw_matrix(ltree, ltree, date, numeric, numeric) (SFUNC = settle._matrix_step, STYPE = settle.matrix);
CREATE AGGREGATE raw_sum(settle.matrix) (SFUNC = settle._matrix_combine, STYPE = settle.matrix, INITCOND = '{"paths": [], "cells": []}');
CREATE TABLE raw AS
SELECT 'ticket' AS source, raw_matrix(project, region, period, revenue, cost) AS m FROM ticket
UNION ALL SELECT 'wide', raw_matrix(project, region, period, revenue, cost) FROM wide
UNION ALL SELECT 'huge', raw_matrix(project, region, period, huge, cost) FROM ticket;
SELECT is((SELECT count(*) FROM raw JOIN serial USING (source) WHERE raw.m::text = serial.m::text), 3::bigint, 'an unsorted matrix prints sorted');
SELECT is(differing(cells_of($$SELECT m FROM raw WHERE source = 'ticket'$$), cells_of($$SELECT m FROM serial WHERE source = 'ticket'$$)), 0::bigint,
    'and shows the same rows');
SELECT is((SELECT string_agg(sum::text, '' ORDER BY source) FROM (SELECT source, raw_sum(m) AS sum FROM raw GROUP BY source) x),
    (SELECT string_agg(m::text, '' ORDER BY source) FROM serial), 'and sums up, from any start');

-- Text is read strictly

CREATE FUNCTION reads(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM $1::settle.matrix;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TEMP TABLE well_formed (t text);
INSERT INTO well_formed VALUES
    ('{"paths": [], "cells": []}'), (E' {\n"cells" : [ ] ,\t"paths" : [ ] } '), ('{"paths":["a"],"cells":[[0,null,null,1,null,null]]}'),
    ('{"paths":["a.b",""],"cells":[[1,0,"infinity",1,"-1.50","0"],[0,1,"-infinity",9223372036854775807,"1","2"]]}'),
    ('{"paths":[],"cells":[[null,null,"0044-03-15 BC",1,null,"1"]]}'),
    ('{"paths":["A_1"],"cells":[[0,0,"12025-12-31",1,"123456789012345678901234567890123456789012345678901234567890.5",null]]}'),
    ('{"paths":["' || repeat('x', 255) || '"],"cells":[[0,0,null,1,null,null]]}');
SELECT is_empty($$SELECT t FROM well_formed WHERE reads(t) <> 'accepted'$$, 'well-formed texts are read');
CREATE TEMP TABLE ill_formed (t text);
INSERT INTO ill_formed VALUES
    (''), ('{'), ('{}'), ('null'), ('[]'), ('{"paths"'), ('{"paths": []}'), ('{"cells": []}'), ('{"paths": [], "paths": []}'),
    ('{"cells": [], "cells": []}'), ('{"paths": [], "cells": []} x'), ('{"paths": [], "cells": [],}'), ('{"paths": []; "cells": []}'),
    ('{"paths": [], "cells": [], "more": 1}'), ('{"paths": [}'), ('{"paths": ["a'), ('{"paths": ["a"], "cells": [[[[[');
-- each of these stands for the paths, and one cell names all of them
INSERT INTO ill_formed SELECT '{"paths": [' || p || '], "cells": [[0, 0, null, 1, null, null]]}' FROM unnest(ARRAY[
    '', '1', 'null', '"a", "a"', '"a", "b"', '"a..b"', '".a"', '"a."', '"a b"', '"."', '"a\u0041"', '"a"b', '"' || repeat('x', 256) || '"']) p;
-- each of these stands for the cells, over one path
INSERT INTO ill_formed SELECT '{"paths": ["a"], "cells": [' || c || ']}' FROM unnest(ARRAY[
    '', '[]', '[1, 0, null, 1, null, null]', '[-1, 0, null, 1, null, null]', '[0, 0.0, null, 1, null, null]', '["a", 0, null, 1, null, null]',
    '[00, 0, null, 1, null, null]', '[0, 0, null, 0, null, null]', '[0, 0, null, -1, null, null]', '[0, 0, null, null, null, null]',
    '[0, 0, null, 9223372036854775808, null, null]', '[0, 0, null, 1, null]', '[0, 0, null, 1, null, null, null]',
    '[0, 0, null, 1, 1.5, null]', '[0, 0, null, 1, "1,5", null]', '[0, 0, null, 1, "NaN", null]', '[0, 0, null, 1, "", null]',
    '[0, 0, null, 1, "1e5", null]', '[0, 0, null, 1, null, null], [0, 0, null, 1, null, null]', '[0, 0, null, 1, null, null',
    '[0, 0, "2025-02-30", 1, null, null]', '[0, 0, "2025-2-3", 1, null, null]', '[0, 0, "today", 1, null, null]',
    '[0, 0, "01/02/2025", 1, null, null]', '[0, 0, "99999999-01-01", 1, null, null]', '[0, 0, "4714-11-23 BC", 1, null, null]',
    '[0, 0, "", 1, null, null]', '[0, 0, 20250101, 1, null, null]']) c;
SELECT is_empty($$SELECT t, reads(t) FROM ill_formed WHERE reads(t) <> '22P02'$$, 'other texts are 22P02');
SELECT throws_ok($$SELECT '{"paths": ["a"], "cells": [[0, 0, "2025-02-30", 1, null, null]]}'::settle.matrix$$, '22P02',
    'invalid input syntax for type settle.matrix', 'with a message of one clause');
SET LOCAL DateStyle = 'German, DMY';
SELECT is('{"paths": [], "cells": [[null, null, "2025-01-02", 1, null, null]]}'::settle.matrix::text,
    '{"paths": [], "cells": [[null, null, "2025-01-02", 1, null, null]]}', 'DateStyle has no say in the text form');
RESET DateStyle;

-- Forged messages: bytes changed, lost, added.  A binary COPY file of bytea is one of any type.

CREATE TEMP TABLE forged (b bytea);
CREATE TEMP TABLE received (m settle.matrix);
CREATE FUNCTION receive(bytes bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('matrix_test.file');
    again text;
BEGIN
    DELETE FROM forged;
    DELETE FROM received;
    INSERT INTO forged VALUES (bytes);
    EXECUTE format('COPY forged TO %L (FORMAT binary)', file);
    EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
    SELECT m::text INTO again FROM received;
    PERFORM count(*) FROM received, settle.cells(m, 'tree');
    RETURN CASE WHEN again = again::settle.matrix::text THEN 'accepted' ELSE 'unreadable: ' || again END;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION spoil(bytes bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    at int;
BEGIN
    FOR i IN 1 .. 1 + floor(random() * 3)::int LOOP
        EXIT WHEN length(bytes) < 2;
        at := floor(random() * length(bytes))::int;
        bytes := CASE floor(random() * 6)::int
            WHEN 0 THEN substr(bytes, 1, at)
            WHEN 1 THEN substr(bytes, 1, at) || substr(bytes, at + 2)
            WHEN 2 THEN substr(bytes, 1, at) || '\x00'::bytea || substr(bytes, at + 1)
            WHEN 3 THEN set_byte(bytes, at, 255)
            WHEN 4 THEN set_byte(bytes, at, 0)
            ELSE set_byte(bytes, at, floor(random() * 256)::int) END;
    END LOOP;
    RETURN bytes;
END $$;
CREATE TEMP TABLE sample AS
SELECT '{"paths": ["a", "a.b", "c.d_1"], "cells": [[0, 2, "2025-01-01", 3, "10.50", "-3"], [1, 2, null, 1, null, "0.001"],
    [2, null, "infinity", 7, "12345678901234567890123456789012345678901234567890.5", null]]}'::settle.matrix AS m;
SELECT is(receive(settle.matrix_send(m)), 'accepted', 'the sample is received as it was sent') FROM sample;
CREATE TEMP TABLE outcome AS SELECT receive(spoil(settle.matrix_send(m))) AS state FROM sample, generate_series(1, 1500);
SELECT is_empty($$
    SELECT state, count(*) FROM outcome WHERE state NOT IN ('accepted', '22P02', '22P03', '22003', '22021', '08P01', '54000') GROUP BY 1$$,
    'forged messages are refused cleanly or read as what they say');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE state <> 'accepted'), '>', 500::bigint, 'most of them are refused');
SELECT is(receive('\x01ffffffff'), '08P01', 'a false count of paths');
SELECT is(receive('\x0100000000ffffffff'), '08P01', 'a false count of cells');
SELECT is(receive('\x02'), '22P03', 'another version');
SELECT is(receive(settle.matrix_send(m) || '\x00'), '22P03', 'bytes left over') FROM sample;
SELECT is(receive('\x010000000000000001ffffffffffffffff800000000000000000000001ffffffffffffffff'), 'accepted', 'the cell of nothing but nulls');
SELECT is(receive('\x010000000000000001fffffffffffffffffffffffd0000000000000001ffffffffffffffff'), '22P03', 'the mark of a total is no period');
SELECT is(receive('\x010000000000000001fffffffeffffffff800000000000000000000001ffffffffffffffff'), '22P03', 'nor is there such a project');

-- Damaged storage: what only a superuser or a broken disk can do.

CREATE TYPE stored;
CREATE FUNCTION stored_in(cstring) RETURNS stored AS 'byteain' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION stored_out(stored) RETURNS cstring AS 'byteaout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE stored (INPUT = stored_in, OUTPUT = stored_out, ALIGNMENT = double, STORAGE = extended);
CREATE CAST (settle.matrix AS stored) WITHOUT FUNCTION;
CREATE CAST (stored AS settle.matrix) WITHOUT FUNCTION;
CREATE FUNCTION use(m settle.matrix) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM length(m::text), settle.matrix_send(m), count(*) FROM settle.cells(m, 'tree');
    PERFORM settle.matrix_sum(x) FROM unnest(ARRAY[m, m]) x;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT is(use(m::stored::settle.matrix), 'accepted', 'the sample works as it is stored') FROM sample;
CREATE TEMP TABLE damage AS
SELECT use(spoil(m::stored::text::bytea)::text::stored::settle.matrix) AS state
FROM (SELECT m FROM sample UNION ALL SELECT raw_matrix(project, region, period, revenue, cost) FROM ticket WHERE n <= 5) s, generate_series(1, 1000);
SELECT is_empty($$SELECT state, count(*) FROM damage WHERE state NOT IN ('accepted', 'XX001', '22003', '22P03') GROUP BY 1$$,
    'damaged values are refused cleanly or read as what they say');
SELECT cmp_ok((SELECT count(*) FROM damage WHERE state = 'XX001'), '>', 500::bigint, 'most of them are refused');

-- Limits and rights

SELECT throws_ok($$SELECT settle.revenue_matrix('a', 'b', '2025-01-01', 'NaN', 0)$$, '22003', NULL, 'NaN is no revenue');
SELECT throws_ok($$SELECT settle.revenue_matrix('a', 'b', '2025-01-01', 0, 'infinity')$$, '22003', NULL, 'infinity is no cost');
SELECT throws_ok($$SELECT settle.matrix_sum('{"paths": [], "cells": [[null, null, null, 9223372036854775807, null, null]]}') FROM generate_series(1, 2)$$,
    '22003', NULL, 'more tickets than a bigint counts');
SELECT throws_ok($$SELECT settle.cells('{"paths": [], "cells": []}', 'cubes')$$, '22023', 'unknown kind of subtotals "cubes"',
    'an unknown kind of subtotals');
SELECT throws_ok($$SELECT settle._matrix_step(NULL, 'a', 'b', '2025-01-01', 1, 1)$$, '22023', NULL, 'support functions work in aggregates only');
CREATE ROLE matrix_test_anybody;
SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'settle'::regnamespace AND proname ~ '^(_?matrix|revenue_matrix|cells|heat)'
        AND has_function_privilege('matrix_test_anybody', oid, 'EXECUTE') = (proname ~ '^_')$$,
    'everybody may use what is public, and only that');

-- Heat

SELECT results_eq($$
    SELECT settle.heat(v, -10, 90) FROM unnest(ARRAY[-1e30, -10, -0.01, 0, 9.99, 10, 79.99999, 80, 89.9, 90, 1e30, NULL]) WITH ORDINALITY u(v, n) ORDER BY n$$,
    ARRAY[0, 0, 0, 1, 1, 2, 8, 9, 9, 9, 9, NULL], 'ten equal steps from lowest to highest');
SELECT results_eq('SELECT settle.heat(v, 7, 7.00) FROM unnest(ARRAY[6.9, 7, 7.1]) WITH ORDINALITY u(v, n) ORDER BY n',
    ARRAY[0, 5, 9], 'no span at all: the middle');
CREATE TEMP TABLE span AS
SELECT round((random() * 200 - 50)::numeric, 3) AS v, round((random() * 20)::numeric, 2) AS low, round((30 + random() * 1000)::numeric, 2) AS high
FROM generate_series(1, 500);
SELECT is_empty('SELECT * FROM span WHERE settle.heat(v, low, high) <> greatest(0, least(9, floor((v - low) * 10 / (high - low))))', 'as computed by hand');
SELECT throws_ok('SELECT settle.heat(1, 2, 1)', '22023', 'lowest value 2 is above the highest, 1', 'lowest above highest');
SELECT ok(bool_and(settle.heat_color(n) ~ '^#[0-9a-f]{6}$') AND count(DISTINCT settle.heat_color(n)) = 10, 'ten colours')
FROM generate_series(0, 9) n;
SELECT throws_ok('SELECT settle.heat_color(10)', '22023', 'heat level 10 does not exist', 'no eleventh colour');

SELECT * FROM finish();
ROLLBACK;
\setenv MATRIX_TEST_FILE :file
\! rm -f "$MATRIX_TEST_FILE"
