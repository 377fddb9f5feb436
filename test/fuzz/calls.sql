-- Calls every function of schema settle with whatever its types allow: nothing,
-- extremes, names of the books and of strangers, rows that somebody has forged
-- before.  Expects the books of test/backup/books.sql and a superuser.
--
-- A call ends well, or with an error that a user can make.  XX000 is what cannot
-- happen, of which a helper may speak where its callers never do what was done;
-- XX001 is what only a forged value may cause; anything else that is no
-- error of the caller raises here, and a crash ends the connection.  Whatever a
-- call did is undone.

-- Values of each type, as SQL; text stands for every type that has no line.
CREATE TABLE fuzz.pool (type regtype, literal text);
INSERT INTO fuzz.pool SELECT 'text', quote_literal(v) FROM unnest(ARRAY['', 'x', 'hq', 'staff:1001', 'dealer:*', 'ticket', 'visit', 'period', 'base', 'winter', 'level', 'CNY', 'EUR',
    'month', 'ever', 'reader', 'admin', 'first', 'half_up', 'schedule', 'commit', 'tmall', 'true', 'amount', 'd.level', 'c.fee * 2', '(SELECT 1)', 'now()', '1/0', 'pg_sleep(9)', 'repeat(''x'', 900000000)',
    '{worker}', 'staff:{worker_id}', '2025-11-01', '100%', '''', '"', '$$', E'a\nb', 'a"b', '%s', '漢字', repeat('n', 63), repeat('n', 5000), '; DROP TABLE x', '{}', '[]', 'NaN', '-1', '9223372036854775807']) AS v;
INSERT INTO fuzz.pool SELECT 'text', quote_literal(v) FROM (
    (SELECT ticket_key FROM chain.sheet LIMIT 4) UNION ALL (SELECT code FROM chain.rule LIMIT 4) UNION ALL (SELECT party FROM chain.party LIMIT 4)
    UNION ALL (SELECT ticket_key FROM "shop ""A""".sheet LIMIT 2) UNION ALL (SELECT step::text FROM chain.job LIMIT 3)) AS known(v);
INSERT INTO fuzz.pool SELECT 'name', literal FROM fuzz.pool WHERE type = 'text'::regtype AND length(literal) < 60;
INSERT INTO fuzz.pool SELECT v.type::regtype, format('%L::%s', u.value, v.type) FROM (VALUES
    ('regnamespace', '{chain,chain,chain,"\"shop \"\"A\"\"\"","\"shop \"\"A\"\"\"",public,pg_catalog,settle,0,4294967295}'::text[]),
    ('regclass', '{chain.ticket,chain.sheet,company.visit,company.paid,pg_class,chain.rule,0,4294967295,1247}'), ('regrole', '{backup_owner,backup_reader,postgres,0,4294967295}'),
    ('timestamptz', '{-infinity,infinity,2025-11-11,2025-10-01 00:00+08,4713-01-01 BC,294276-12-31,now}'), ('timestamp', '{-infinity,infinity,2025-11-11,4713-01-01 BC,294276-12-31}'),
    ('date', '{-infinity,infinity,2025-11-01,2025-10-01,2025-12-01,4713-01-01 BC,5874897-12-31}'), ('tstzrange', '{empty,"(,)","[2025-10-01,2025-12-01)","[2025-11-01,2025-11-01]","(-infinity,infinity)"}'),
    ('daterange', '{empty,"(,)","[2025-10-01,2025-12-01)","[-infinity,infinity]"}'), ('interval', '{0,"1 day","-1 day","178000000 years","1 month -30 days",1 us}'),
    ('numeric', '{0,1,-1,0.005,100,9223372036854775807,-9223372036854775808,99999999999999999999999999999999999999,1e131071,-1e-16383,NaN,Infinity,-Infinity}'),
    ('int8', '{0,1,-1,2,9223372036854775807,-9223372036854775808}'), ('int4', '{0,1,-1,2,7,2147483647,-2147483648}'), ('int2', '{0,1,-1,32767,-32768}'), ('bool', '{true,false}'),
    ('bytea', '{"","\\x00","\\x01","\\x02","\\x0200002002808080fcb7b2ecf202ffc10346726570616972443130303220da042002","\\x02ffffffffffffffffffffffffffffffffffff03","\\x00ff","\\x017878"}'),
    ('ltree', '{"",a,install.ac,cn.east.sh,x.y.z}'), ('point', '{"(0,0)","(121.4,31.2)","(NaN,1)","(Infinity,-Infinity)","(1e308,-1e308)"}'), ('polygon', '{"((0,0))","((0,0),(1,1),(1,0))","((NaN,0),(1e308,1),(1,0))"}'),
    ('circle', '{"<(0,0),1>","<(121,31),0>","<(NaN,0),Infinity>"}'),
    ('settle.tiers', '{10%,"5% to 1000, 8%","package of 100 at 15 after 20","capacity 10 flat within (100, any), 30 flat within (any, any)","percentage 1.3% + 2 flat; first 3 events free","interpolated 10 spread to 1000, 40 spread to 3001"}'),
    ('settle.tiered_fee_state', '{"0 0 10%","1 5 10%","9223372036854775807 99999999999999999999999999999999999999 10%"}'), ('settle.matrix', '{"{\"paths\": [], \"cells\": []}","{\"paths\": [\"a\", \"b\"], \"cells\": [[0, 1, \"2025-11-01\", 9223372036854775807, \"7\", null]]}"}'),
    ('settle.lines', '{"{\"lines\": []}","{\"packed\": []}","{\"packed\": [{\"rule_id\": 4294967295, \"payer_id\": 1, \"payee_id\": 2147483648, \"base\": \"1\", \"amount\": \"99999999999999999999999999999999999999\", \"owner_id\": 4294967295, \"tally_period\": \"infinity\", \"count\": 1}]}","{\"packed\": [{\"rule_id\": 1, \"payer_id\": 1, \"payee_id\": 2, \"base\": \"1\", \"amount\": \"1.00\"}]}","{\"lines\": [{\"rule\": \"\", \"component\": \"x\", \"payer\": \"hq\", \"payee\": \"hq\", \"base\": \"0\", \"amount\": \"1\", \"unit\": \"CNY\"}]}"}')
    ) AS v(type, vals), unnest(v.vals) AS u(value);
INSERT INTO fuzz.pool VALUES ('settle.ruleset', 'settle.rules(''chain'')'), ('settle.ruleset', 'settle.rules(''"shop ""A"""'')'),
    ('settle.ruleset', '''{"format": 1, "time_zone": "Mars/Base", "currency": "x", "period": "day"}''::settle.ruleset'),
    ('record', '(SELECT t FROM chain.ticket AS t LIMIT 1)'), ('record', '(SELECT v FROM company.visit AS v LIMIT 1)'), ('record', 'ROW()'), ('record', 'ROW(1, NULL, ''x''::text)');
INSERT INTO fuzz.pool SELECT 'jsonb', quote_literal(v) FROM unnest(ARRAY['null', '{}', '[]', '1', '"x"', '{"a": {"b": [1, null]}}', '{"rules": [{}]}', '{"format": 1}', '[[[[[[[[]]]]]]]]', '{"tid": 1, "amount": 1e400}', '{"ticket": {"c": ["amount"], "f": []}}', '{"staff:1001": 1, "hq": -1}']) AS v;

-- Values that a parameter of this name takes, of whatever type: those of the books.
CREATE TABLE fuzz.known (name text, literal text);
INSERT INTO fuzz.known
SELECT 'book', v FROM unnest(ARRAY['''chain''', '''"shop ""A"""''']) AS v UNION ALL
SELECT n, quote_literal(v) FROM unnest('{key,ticket_key,ticket,tickets,ticket_id}'::text[]) AS n, ((SELECT ticket_key FROM chain.sheet LIMIT 6) UNION ALL (SELECT ticket_key FROM "shop ""A""".sheet LIMIT 4) UNION ALL (SELECT ticket_key FROM chain.problem LIMIT 3)) AS t(v) UNION ALL
SELECT n, quote_literal(v) FROM unnest('{party,payer,payee,owner,worker,staff,handler}'::text[]) AS n, (SELECT party FROM chain.party LIMIT 12) AS t(v) UNION ALL
SELECT n, quote_literal(v) FROM unnest('{code,rule,rule_code,overrides}'::text[]) AS n, (SELECT code FROM chain.rule LIMIT 8) AS t(v) UNION ALL
SELECT n, quote_literal(v) FROM unnest('{period,month,from_period,to_period,since,until,at}'::text[]) AS n, unnest('{2025-10-01,2025-11-01,2025-12-01}'::text[]) AS v UNION ALL
SELECT n, quote_literal(v) FROM (VALUES ('source', 'ticket'), ('source', 'visit'), ('source', 'period'), ('unit', 'CNY'), ('currency', 'EUR'), ('pack', 'winter'), ('pack', 'base'), ('decision', 'level'), ('level', 'reader'), ('level', 'staff'), ('level', 'admin'),
    ('platform', 'tmall'), ('platform', 'taobao'), ('kind', 'order'), ('role', 'backup_reader'), ('fact', 'level'), ('stage', 'new'), ('type', 'repair')) AS t(n, v) UNION ALL
SELECT 'component', quote_literal(v) FROM (SELECT DISTINCT component FROM chain.rule LIMIT 5) AS t(v);

CREATE FUNCTION fuzz.value(wanted regtype, name text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    element regtype := (SELECT t.typelem FROM pg_type AS t WHERE t.oid = wanted AND t.typcategory = 'A');
    picked text;
BEGIN
    IF random() < 0.75 AND EXISTS (SELECT FROM fuzz.known AS k WHERE k.name = value.name) AND wanted <> 'tstzrange'::regtype THEN
        SELECT k.literal INTO picked FROM fuzz.known AS k WHERE k.name = value.name OFFSET floor(random() * (SELECT count(*) FROM fuzz.known AS k WHERE k.name = value.name)) LIMIT 1;
        RETURN CASE WHEN element IS NULL THEN format('%s::%s', picked, wanted) ELSE format('ARRAY[%s]::%s', picked, wanted) END;
    ELSIF random() < 0.08 THEN
        RETURN 'NULL::' || CASE WHEN wanted = 'record'::regtype THEN 'chain.ticket' ELSE wanted::text END;
    ELSIF element IS NOT NULL THEN
        RETURN format('ARRAY[%s]::%s', (SELECT string_agg(fuzz.value(element), ', ') FROM generate_series(1, floor(random() * 4)::int)), wanted);
    END IF;
    SELECT literal INTO picked FROM fuzz.pool WHERE type = wanted OFFSET floor(random() * (SELECT count(*) FROM fuzz.pool WHERE type = wanted)) LIMIT 1;
    RETURN coalesce(picked, 'NULL') || CASE WHEN wanted = 'record'::regtype THEN '' ELSE '::' || wanted END;
END $$;

-- What is called: what people call, and helpers in C, which could crash.  Of "internal" SQL has no value.
CREATE TABLE fuzz.routine AS
SELECT row_number() OVER (ORDER BY p.oid::regprocedure::text COLLATE "C") AS n, p.oid::regprocedure AS routine, p.prokind, p.proargtypes::oid[] AS arguments, p.proargnames AS names, p.proname LIKE '\_%' AS is_helper
FROM pg_proc AS p
WHERE p.pronamespace = 'settle'::regnamespace AND NOT p.proargtypes::oid[] && '{internal,cstring}'::regtype[]::oid[] AND p.prorettype NOT IN ('trigger'::regtype, 'cstring'::regtype)
    AND (p.proname NOT LIKE '\_%' OR p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c'));

CREATE FUNCTION fuzz.call_of(r fuzz.routine) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    arguments text := (SELECT string_agg(fuzz.value(a::regtype, r.names[i]), ', ' ORDER BY i) FROM unnest(r.arguments) WITH ORDINALITY AS u(a, i));
    called text := format('%s(%s)', (SELECT format('settle.%I', proname) FROM pg_proc WHERE oid = r.routine), coalesce(arguments, ''));
BEGIN
    RETURN CASE r.prokind WHEN 'p' THEN 'CALL ' || called WHEN 'a' THEN 'SELECT ' || called || ' FROM generate_series(1, 3)' ELSE 'SELECT count(r) FROM ' || called || ' AS r' END;
END $$;

-- Columns of the books that somebody may write before a call.
CREATE TABLE fuzz.place AS
SELECT c.oid::regclass AS book_table, a.attname, a.atttypid::regtype AS type
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('chain'::regnamespace, '"shop ""A"""'::regnamespace)
ORDER BY c.oid::regclass::text COLLATE "C", a.attnum;

CREATE FUNCTION fuzz.forgery() RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT format('UPDATE %s AS t SET %I = %s WHERE t.ctid IN (SELECT f.ctid FROM %1$s AS f LIMIT %s)', p.book_table, p.attname, fuzz.value(p.type), ceil(random() * 5))
    FROM (SELECT q.* FROM fuzz.place AS q OFFSET floor(random() * (SELECT count(*) FROM fuzz.place)) LIMIT 1) AS p;
END;

-- One call, with what was forged before it; true where it ended well.  Raises what is not to be.
CREATE FUNCTION fuzz.call(r fuzz.routine, forge boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    forged text := '';
    made boolean := false;
    statement text;
    state text;
    message text;
    context text;
BEGIN
    BEGIN
        IF forge THEN
            SET LOCAL session_replication_role = replica;
            FOR i IN 1 .. 3 LOOP
                statement := fuzz.forgery();
                BEGIN
                    EXECUTE statement;
                    forged := forged || statement || '; ';
                    made := true;
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
            END LOOP;
            SET LOCAL session_replication_role = origin;
        END IF;
        statement := fuzz.call_of(r);
        EXECUTE statement;
        RAISE 'undo' USING ERRCODE = 'FZ000';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
    END;
    IF state ~ '^(XX|58|F0|57)' AND NOT (state = 'XX001' AND made) AND NOT (state = 'XX000' AND r.is_helper) THEN
        RAISE '% %', state, message USING DETAIL = forged || statement, HINT = context;
    END IF;
    RETURN state = 'FZ000';
END $$;

-- A call of each, with forgery and without.
CREATE FUNCTION fuzz.calls(seed float8, OUT well int, OUT refused int)
LANGUAGE plpgsql AS $$
DECLARE
    r fuzz.routine;
BEGIN
    PERFORM setseed(seed);
    well := 0;
    refused := 0;
    FOR r IN SELECT * FROM fuzz.routine ORDER BY n LOOP
        IF fuzz.call(r, random() < 0.5) THEN
            well := well + 1;
        ELSE
            refused := refused + 1;
        END IF;
    END LOOP;
END $$;
