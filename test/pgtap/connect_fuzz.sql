-- Whatever lands, every payload ends in a state, nothing raises, and a bad one
-- costs the others nothing: payloads that are hostile, and samples in which
-- values were replaced at random.  Other seeds, or more of them:
-- psql -v seed=7 -v rounds=50 -f test/pgtap/connect_fuzz.sql
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?seed}
\else
    \set seed 1
\endif
\if :{?rounds}
\else
    \set rounds 3
\endif
SELECT no_plan();

\i test/payloads/payloads.sql
CALL payloads.prepare();
\set sample `test/payloads/bundle test/payloads/sample`
:sample
SELECT settle.create_book('wild') \g /dev/null

-- ---- hostile payloads ----

CREATE FUNCTION pg_temp.trade(trade jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', '{"tid_str": "5", "seller_nick": "s", "modified": "2025-11-11 00:00:01", "created": "2025-11-11 00:00:00", "status": "WAIT_BUYER_PAY", "payment": "10.00"}'::jsonb || trade))
$$;
CREATE TABLE hostile (n int GENERATED ALWAYS AS IDENTITY, what text, platform text DEFAULT 'taobao', payload jsonb, raw bytea, state text, reason text);
INSERT INTO hostile (what, payload, state, reason) VALUES
    ('a scalar', '1', 'quarantined', 'mapping'), ('a text', '"x"', 'quarantined', 'mapping'), ('null', 'null', 'quarantined', 'mapping'), ('an empty array', '[]', 'quarantined', 'mapping'), ('nothing', '{}', 'quarantined', 'mapping'),
    ('a thousand levels', (repeat('{"a":', 1000) || '1' || repeat('}', 1000))::jsonb, 'quarantined', 'mapping'),
    ('a thousand levels of arrays', (repeat('[', 1000) || repeat(']', 1000))::jsonb, 'quarantined', 'mapping'),
    ('levels where a text is read', pg_temp.trade(jsonb_build_object('seller_memo', (repeat('[', 1000) || repeat(']', 1000))::jsonb)), 'quarantined', 'type'),
    ('an array where an object stands', '{"trade_fullinfo_get_response": {"trade": [{"tid_str": "6", "seller_nick": "s", "modified": "2025-11-11 00:00:01", "created": "2025-11-11 00:00:00", "status": "WAIT_BUYER_PAY", "payment": "10.00"}]}}', 'applied', NULL),
    ('keys with quotes and backslashes', pg_temp.trade('{"tid_str": "7", "a\"b": 1, "$.status": 2, "\\": 3, "": 4}'), 'applied', NULL),
    ('a number of 10,000 digits as amount', pg_temp.trade(jsonb_build_object('payment', repeat('9', 10000)::numeric)), 'quarantined', 'amount_type'),
    ('a text of 10,000 digits as amount', pg_temp.trade(jsonb_build_object('payment', repeat('9', 10000))), 'quarantined', 'amount_type'),
    ('a number of 10,000 digits as number', pg_temp.trade(jsonb_build_object('tid_str', repeat('9', 10000)::numeric)), 'quarantined', 'id_type'),
    ('NaN', pg_temp.trade('{"payment": "NaN"}'), 'quarantined', 'amount_type'), ('Infinity', pg_temp.trade('{"payment": "Infinity"}'), 'quarantined', 'amount_type'), ('a minus', pg_temp.trade('{"payment": "-"}'), 'quarantined', 'amount_type'),
    ('a point', pg_temp.trade('{"payment": "."}'), 'quarantined', 'amount_type'), ('hexadecimal', pg_temp.trade('{"payment": "0x10"}'), 'quarantined', 'amount_type'), ('full width', pg_temp.trade('{"payment": "１０"}'), 'quarantined', 'amount_type'),
    ('1e400', pg_temp.trade('{"payment": 1e400}'), 'quarantined', 'amount_type'), ('minus zero', pg_temp.trade('{"tid_str": "8", "payment": "-0.00"}'), 'applied', NULL),
    ('infinity as time', pg_temp.trade('{"modified": "infinity"}'), 'quarantined', 'timestamp'), ('now', pg_temp.trade('{"modified": "now"}'), 'quarantined', 'timestamp'), ('February 30', pg_temp.trade('{"modified": "2025-02-30 00:00:00"}'), 'quarantined', 'timestamp'),
    ('the 25th hour', pg_temp.trade('{"modified": "2025-02-20 25:00:00"}'), 'quarantined', 'timestamp'), ('a time that goes on', pg_temp.trade('{"modified": "2025-02-20 05:00:00x"}'), 'quarantined', 'timestamp'),
    ('a text of 10 MB', pg_temp.trade(jsonb_build_object('tid_str', '9', 'seller_memo', repeat('雪', 3500000))), 'applied', NULL),
    ('10 MB beside what is read', pg_temp.trade(jsonb_build_object('tid_str', '10', 'x', repeat('x', 10000000))), 'applied', NULL),
    ('a hundred thousand lines', pg_temp.trade(jsonb_build_object('tid_str', '11', 'orders', jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid_str', n::text, 'num', 1, 'price', '1.00', 'refund_status', 'NO_REFUND')) FROM generate_series(1, 100000) AS n)))), 'applied', NULL),
    ('one line twice', pg_temp.trade('{"tid_str": "12", "orders": {"order": [{"oid_str": "1"}, {"oid_str": "1"}, {"oid_str": "1#2"}]}}'), 'applied', NULL),
    ('lines that are none', pg_temp.trade('{"tid_str": "13", "orders": {"order": [1, null, "", [], {}]}}'), 'quarantined', 'missing_line_id'),
    ('an id with a quote', pg_temp.trade('{"tid_str": "1''; DROP TABLE x --"}'), 'applied', NULL),
    ('an order of another platform', '{"data": {"full_order_info": {}}}', 'quarantined', 'mapping');
INSERT INTO hostile (what, raw, state, reason) VALUES ('no UTF-8', '\xff', 'quarantined', 'encoding'), ('a zero byte', '\x7b007d', 'quarantined', 'nul_char'), ('half a document', '{"a":', 'quarantined', 'error'), ('no bytes', '', 'quarantined', 'error'),
    ('XML without an end', '<xml><a>', 'quarantined', 'encoding'), ('XML of a depth', '<xml><a><b>1</b></a></xml>', 'quarantined', 'encoding'), ('ten thousand levels', convert_to(repeat('[', 10000), 'UTF8'), 'quarantined', 'error'),
    ('half a character', '\x22e9'::bytea, 'quarantined', 'encoding'), ('a lone surrogate', '"\\ud800"', 'quarantined', 'error');
INSERT INTO wild.staging (platform, payload, raw) SELECT platform, payload, raw FROM hostile ORDER BY n;
SELECT lives_ok($$ SELECT settle.ingest('wild') $$, 'whatever lands, ingesting does not fail');
SELECT is((SELECT array_agg(format('%s: %s %s', h.what, s.state, s.reason) ORDER BY h.n) FROM hostile AS h JOIN wild.staging AS s ON s.staging_id = h.n
        WHERE s.state <> h.state OR (s.reason IS DISTINCT FROM h.reason AND h.state = 'quarantined')), NULL, 'and each gets the verdict that it deserves');
SELECT is((SELECT count(*) FROM wild.order_line WHERE order_no = '11'), 100000::bigint, 'an order may have a hundred thousand lines');
SELECT is((SELECT array_agg(line_no ORDER BY position) FROM wild.order_line WHERE order_no = '12'), '{1,1#2,1#2#2}', 'lines are told apart, however they are called');
SELECT is((SELECT max(length(message)) < 500 FROM wild.staging), true, 'messages quote no more than they must');

-- ---- samples in which values were replaced ----

-- One scalar of a document, chosen at random, becomes something else.
CREATE FUNCTION pg_temp.mutated(document jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    spot text[];
    odd constant jsonb[] := ARRAY['null', 'true', '0', '-1', '1.5', '1e30', '""', '"null"', '"x"', '[]', '{}', '[{}]', '{"a": [1]}', '"2025-13-01 00:00:00"', '"9223372036854775808"', '99999999999999999999', '"-0.005"', '"锟斤拷"', '"6.9E+18"', '"\u0001"'];
BEGIN
    WITH RECURSIVE places AS (
        SELECT '{}'::text[] AS at, document AS value
        UNION ALL
        SELECT p.at || k.key, k.value FROM places AS p
        CROSS JOIN LATERAL (SELECT o.key, o.value FROM jsonb_each(CASE jsonb_typeof(p.value) WHEN 'object' THEN p.value ELSE '{}' END) AS o
            UNION ALL SELECT (a.n - 1)::text, a.value FROM jsonb_array_elements(CASE jsonb_typeof(p.value) WHEN 'array' THEN p.value ELSE '[]' END) WITH ORDINALITY AS a (value, n)) AS k
    )
    SELECT at INTO spot FROM places WHERE cardinality(at) > 0 ORDER BY random() LIMIT 1;
    RETURN CASE WHEN spot IS NULL THEN document WHEN random() < 0.2 THEN document #- spot ELSE jsonb_set(document, spot, odd[1 + floor(random() * cardinality(odd))::int]) END;
END
$$;
CREATE FUNCTION pg_temp.document_of(body bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
SELECT setseed(:seed / 1000.0) \g /dev/null
CREATE TABLE sample AS SELECT file, split_part(file, '_', 1) AS platform, pg_temp.document_of(body) AS document FROM payloads.file;
INSERT INTO wild.staging (platform, payload)
SELECT s.platform, CASE n % 3 WHEN 0 THEN pg_temp.mutated(s.document) WHEN 1 THEN pg_temp.mutated(pg_temp.mutated(s.document)) ELSE pg_temp.mutated(pg_temp.mutated(pg_temp.mutated(s.document))) END
FROM generate_series(1, :rounds * 10) AS n CROSS JOIN sample AS s WHERE s.document IS NOT NULL ORDER BY s.file, n;
SELECT lives_ok($$ SELECT settle.ingest('wild') $$, format('seed %s: samples with values replaced do not make it fail', :seed));
SELECT is((SELECT count(*) FROM wild.staging WHERE state = 'new' OR ingested_at IS NULL), 0::bigint, format('seed %s: every payload ends in a state', :seed));
SELECT is((SELECT count(*) FROM wild.staging WHERE state = 'quarantined' AND (reason IS NULL OR sqlstate IS NULL OR message IS NULL)), 0::bigint, 'and says why it is quarantined');
SELECT cmp_ok((SELECT count(*) FROM wild.staging WHERE state <> 'quarantined'), '>', (SELECT count(*) / 10 FROM wild.staging), 'many are used');
SELECT is((SELECT count(*) FROM wild.order_line AS l WHERE NOT EXISTS (SELECT FROM wild.shop_order AS o WHERE (o.platform, o.shop, o.order_no) = (l.platform, l.shop, l.order_no))), 0::bigint, 'no line is without its order');
SELECT is((SELECT count(*) FROM wild.shop_order AS o WHERE NOT EXISTS (SELECT FROM wild.staging AS s WHERE s.staging_id = o.staging_id AND s.state <> 'quarantined')), 0::bigint, 'no order comes from a payload that was refused');

-- read again they come to the same
CREATE TABLE once AS SELECT platform, shop, order_no, precedence, to_jsonb(o) AS o FROM wild.shop_order AS o;
SELECT lives_ok($$ SELECT settle.reread('wild', m.platform, m.kind) FROM wild.mapping AS m $$, 'all of it read again');
SELECT is((SELECT count(*) FROM once FULL JOIN (SELECT platform, shop, order_no, to_jsonb(o) AS o FROM wild.shop_order AS o) AS now USING (platform, shop, order_no) WHERE once.o IS DISTINCT FROM now.o), 0::bigint, 'comes to the same');

-- ---- one of many ----

INSERT INTO wild.staging (platform, payload)
SELECT 'taobao', pg_temp.trade(jsonb_build_object('tid_str', 'M' || n, 'payment', CASE WHEN n = 617 THEN 'ten' ELSE '10.00' END)) FROM generate_series(1, 1000) AS n;
INSERT INTO wild.staging (platform, raw) VALUES ('taobao', '{');
SELECT is((SELECT format('%s %s', applied, quarantined) FROM settle.ingest('wild')), '999 2', 'of a thousand the bad ones are refused, alone');
SELECT * FROM finish();
