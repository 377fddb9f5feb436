-- Payloads become rows: the samples of test/payloads, every order of arrival,
-- mappings that are vetted, quarantine and what it costs.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

\i test/payloads/payloads.sql
CALL payloads.prepare();
\set sample `test/payloads/bundle test/payloads/sample`
:sample
CALL payloads.check_all();
SELECT is_empty($$ SELECT file, what, expected, got FROM payloads.result WHERE verdict = 'failed' $$, 'every sample becomes what its manifest says');
SELECT is((SELECT report FROM payloads.report() WITH ORDINALITY AS r (report, n) ORDER BY n DESC LIMIT 1), '42 passed, 0 failed, 0 skipped', 'all of them were read');
SELECT is((SELECT array_agg(format('%s %s %s %s', kind, field, reason, sqlstate) ORDER BY staging_id) FROM payload_book.quarantine),
    '{"order id_precision_lost id_precision_lost 23514","order payable_amount amount_type 22P02","order payable_amount negative_amount 22003","order lifecycle status 22023","order created_at timestamp 22007","  nul_char 22P05","order created_at timestamp 22007","order payable_amount amount_type 22P02"}'::text[],
    'quarantine names field, reason and SQLSTATE');
SELECT is((SELECT array_agg(external_key ORDER BY external_key) FROM payload_book.staging WHERE kind IN ('bill', 'contact')),
    '{"7301000000000000001 6930000000000000101 settled","external_userid wm2 wecom:contact:wm2"}'::text[], 'a key of several parts is told as a whole');
SELECT is((SELECT flags FROM payload_book.platform_ticket WHERE platform = 'kf5'), '{amount:amount_type}', 'a lenient field is left out and flagged');
SELECT ok((SELECT tied FROM payload_book.shop_order WHERE order_no = '4400000000000000017'), 'an order with two contents of one second says so');
SELECT is((SELECT count(*) FROM payload_book.staging WHERE state = 'new'), 0::bigint, 'nothing is left new');
SELECT throws_ok($$ DELETE FROM payload_book.staging $$, '55000', NULL, 'what landed stays');

SELECT settle.create_book('other') \g /dev/null

-- Every order of arrival ends alike.
CREATE TABLE shape (n int, body jsonb);
INSERT INTO shape
SELECT n, jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', '5', 'seller_nick', 's', 'modified', modified, 'created', '2025-11-11 00:00:00', 'status', status,
    'pay_time', CASE WHEN status <> 'WAIT_BUYER_PAY' THEN '2025-11-11 00:00:05' END, 'payment', '10.00', 'post_fee', '0.00', 'seller_memo', memo, 'buyer_open_uid', 'u', 'orders',
    jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid_str', l::text, 'num', 1, 'price', '5.00', 'payment', '5.00', 'divide_order_fee', '5.00', 'refund_status', 'NO_REFUND')) FROM generate_series(1, lines) AS l)))))
FROM (VALUES (1, '2025-11-11 00:00:01', 'WAIT_BUYER_PAY', 'older', 3), (2, '2025-11-11 00:00:06', 'WAIT_SELLER_SEND_GOODS', 'now', 2), (3, '2025-11-11 00:00:06', 'WAIT_SELLER_SEND_GOODS', 'the same second', 1),
    (4, '2025-11-11 00:00:06', 'WAIT_SELLER_SEND_GOODS', 'now', 2), (5, '2025-11-11 00:00:06', 'WAIT_BUYER_PAY', 'the same second, an earlier state', 4)) AS v (n, modified, status, memo, lines);
CREATE TABLE ending (way text, arrival int[], state text);
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_array((SELECT jsonb_agg(to_jsonb(o) - '{staging_id}'::text[]) FROM other.shop_order AS o), (SELECT jsonb_agg(to_jsonb(l) ORDER BY line_no) FROM other.order_line AS l),
        (SELECT jsonb_agg(to_jsonb(i) - '{staging_id}'::text[]) FROM other.customer_identity AS i))::text
$$;
DO $$
DECLARE
    arrival int[];
    way text;
    which int;
BEGIN
    FOR arrival IN
        SELECT ARRAY[a, b, c, d, e] FROM generate_series(1, 5) AS a, generate_series(1, 5) AS b, generate_series(1, 5) AS c, generate_series(1, 5) AS d, generate_series(1, 5) AS e
        WHERE (SELECT count(DISTINCT x) FROM unnest(ARRAY[a, b, c, d, e]) AS x) = 5
    LOOP
        FOREACH way IN ARRAY '{together,alone}'::text[] LOOP
            DELETE FROM other.shop_order;
            DELETE FROM other.order_line;
            DELETE FROM other.customer_identity;
            FOREACH which IN ARRAY arrival LOOP
                INSERT INTO other.staging (platform, payload) SELECT 'taobao', s.body FROM shape AS s WHERE s.n = which;
                IF way = 'alone' THEN PERFORM settle.ingest('other'); END IF;
            END LOOP;
            PERFORM settle.ingest('other');
            INSERT INTO ending VALUES (way, arrival, pg_temp.state());
        END LOOP;
    END LOOP;
END
$$;
SELECT is((SELECT count(*) FROM ending), 240::bigint, 'a hundred and twenty orders of arrival, together and one by one');
SELECT is((SELECT count(DISTINCT state) FROM ending), 1::bigint, 'end in one state');
SELECT is((SELECT lifecycle FROM other.shop_order), 'paid', 'the further one of the same second stands');
SELECT ok((SELECT count(*) IN (1, 2) FROM other.order_line), 'with its own lines');

-- What a payload would become, without storing anything.
SELECT is((SELECT columns ->> 'paid_amount' FROM settle.map_payload('other', 'taobao', NULL, (SELECT body FROM shape WHERE n = 2)) WHERE entity = 'shop_order'), '10.00', 'map_payload shows the row');
SELECT is((SELECT format('%s %s %s', field, reason, sqlstate) FROM settle.map_payload('other', 'taobao', 'order', '{"trade_fullinfo_get_response": {"trade": {"tid": 1}}}')), 'version missing_version 23502', 'or why there is none');
SELECT is((SELECT reason FROM settle.map_payload('other', 'taobao', 'horoscope', '{}')), 'mapping', 'a kind that nobody has mapped');
SELECT is((SELECT reason FROM settle.map_payload('other', 'youzan', NULL, '{}')), 'mapping', 'a payload that no marker knows');
SELECT is((SELECT reason FROM settle.map_payload('other', 'taobao', 'order', '{}')), 'empty', 'nothing to read in it');
SELECT throws_ok($$ SELECT settle.map_payload('other', 'taobao') $$, '22023', 'either payload or raw must be given', 'nothing to map');

-- A bill of a platform that says only the most needed, and one landed twice.
SELECT is((SELECT format('%s %s %s %s', columns ->> 'bill_no', columns ->> 'line_no', columns ->> 'trade_type', columns ->> 'amount') FROM settle.map_payload('other', 'doudian', payload =>
    '{"data": {"data": [{"order_id": "69", "settle_amount": 1250, "trade_type": 3, "settle_time": "2025-11-20 00:00:00"}]}}')), '69/1763568000 69 refunded_elsewhere -12.50', 'what a settled amount is named by, where the bill has no number');
SELECT is((SELECT string_agg(amount::text, ' ' ORDER BY bill_no) FROM payload_book.platform_bill), '91.20 -30.40 48.00', 'what is taken back is negative, however it is printed');
SELECT is((SELECT string_agg(array_to_string(flags, ','), '|' ORDER BY bill_no) FROM payload_book.platform_bill), '|sign_turned|', 'and says so');
INSERT INTO payload_book.staging (platform, payload) SELECT 'doudian', payload FROM payload_book.staging WHERE kind = 'bill';
SELECT is((SELECT duplicates FROM settle.ingest('payload_book')), 1::bigint, 'fetched twice it counts once');

-- A mapping is rows, and what is wrong with it is refused when it is saved.
INSERT INTO other.mapping (platform, kind, marker) VALUES ('corner', 'sale', '$.sale');
INSERT INTO other.mapping_part (platform, kind, part, entity, rows) VALUES ('corner', 'sale', 'order', 'shop_order', '{$.sale}');
INSERT INTO other.mapping_field (platform, kind, part, field, form, path, required, place) VALUES ('corner', 'sale', 'order', 'order_no', 'id', '{$.no}', true, 1), ('corner', 'sale', 'order', 'payable_amount', 'fen', '{$.sum}', false, 2);
INSERT INTO other.mapping_field (platform, kind, part, field, form, expression, place) VALUES ('corner', 'sale', 'order', 'lifecycle', 'text', 'case when payable_amount > 0 then ''paid'' else ''created'' end', 3);
INSERT INTO other.staging (platform, payload) VALUES ('corner', '{"sale": {"no": "A-1", "sum": 1050}}');
SELECT is((SELECT applied FROM settle.ingest('other')), 1::bigint, 'a new platform is rows');
SELECT is((SELECT lifecycle || ' ' || payable_amount FROM other.shop_order WHERE platform = 'corner'), 'paid 10.50', 'that are followed');
PREPARE field AS INSERT INTO other.mapping_field (platform, kind, part, field, form, expression, place) VALUES ('corner', 'sale', 'order', $1, $2, $3, 9);
SELECT throws_ok($$ EXECUTE field ('paid_amount', 'fen', 'pg_sleep(1)') $$, '0A000', NULL, 'an expression passes the gateway');
SELECT throws_ok($$ EXECUTE field ('paid_amount', 'fen', 'nothing_there') $$, '42703', NULL, 'names only what stands before it');
SELECT throws_ok($$ EXECUTE field ('paid_amount', 'text', '''a''') $$, '42804', 'field "paid_amount" of a mapping is text, its column numeric', 'has the type of its column');
SELECT throws_ok($$ EXECUTE field ('horoscope', 'text', '''a''') $$, '42703', 'table "shop_order" has no column "horoscope"', 'has a column');
SELECT throws_ok($$ INSERT INTO other.mapping_part (platform, kind, part, entity, rows) VALUES ('corner', 'sale', 'line', 'order_line', '{$.lines[*]}') $$, '22023',
    'part "line" of mapping corner/sale does not stand within a part that it can belong to', 'a line stands in an order');
SELECT throws_ok($$ INSERT INTO other.mapping_field (platform, kind, part, field, form, path) VALUES ('corner', 'sale', 'order', 'paid_at', 'moon', '{$.x}') $$, '23514', NULL, 'a form must be known');

-- A document that stands in a text of its payload, as a form has it: %XX is a byte, + a space, and a % before anything else is itself.
INSERT INTO other.mapping (platform, kind, marker, inner_text, uses) VALUES ('corner', 'form', '$.form', '$.form', 'sale');
CREATE FUNCTION pg_temp.order_no(form text) RETURNS text LANGUAGE sql AS $$ SELECT columns ->> 'order_no' FROM settle.map_payload('other', 'corner', 'form', jsonb_build_object('form', form)) $$;
SELECT is(pg_temp.order_no(format('%%7B"sale":+%%7b"no":+"%s",+"sum":+1%%7D%%7d', form)), text, format('%s of a form', form))
FROM (VALUES ('A%2d1', 'A-1'), ('%E6%B1%9F+1', '江 1'), ('5%+5', '5% 5'), ('5% 5', '5% 5'), ('5%-5', '5%-5'), ('5%5g', '5%5g'), ('5%0x', '5%0x'), ('5%%41', '5%A')) AS v(form, text);
SELECT is(pg_temp.order_no('{"sale": {"no": "5%2d+5"}}'), '5%2d+5', 'one that is not of a form stays as it is');
SELECT is((SELECT sqlstate FROM settle.map_payload('other', 'corner', 'form', jsonb_build_object('form', form))), refused, format('%s is refused', form))
FROM (VALUES ('%7B"sale": {"no": "1"}}%', '22P02'), ('%7B"sale": {"no": "1"}}%7', '22P02'), ('%7B"sale": {"no": "1"}}%00', '22021'), ('%7B"sale": {"no": "%ff"}}', '22021')) AS v(form, refused);
DELETE FROM other.mapping WHERE kind = 'form';

-- Quarantine, and out of it.
INSERT INTO other.staging (platform, payload) VALUES ('jd', '{"x": {"searchorderinfo_result": {"orderInfoList": [{"orderId": "9", "orderState": "ON_A_BOAT", "modified": "2025-11-11 00:00:00"}]}}}');
SELECT is((SELECT quarantined FROM settle.ingest('other')), 1::bigint, 'an unknown status is not guessed');
SELECT is((SELECT message FROM other.quarantine), 'status "ON_A_BOAT" stands in no status map "lifecycle" of platform "jd"', 'the message says what to do');
INSERT INTO other.status_map VALUES ('jd', 'lifecycle', 'ON_A_BOAT', 'shipped');
SELECT is((SELECT applied FROM settle.retry_quarantine('other', 'jd', reason => 'status')), 1::bigint, 'once it is known it is read again');
SELECT is((SELECT lifecycle FROM other.shop_order WHERE order_no = '9'), 'shipped', 'and stands');
SELECT throws_ok($$ SELECT settle.retry_quarantine('other', 'tabao') $$, '42704', 'there is no mapping for platform "tabao"', 'a platform that nobody has mapped is no platform without quarantine');

-- What was paid, where the order does not say it.
SELECT is_empty($$
    SELECT v.platform, v.kind FROM (SELECT f.platform, f.kind, bool_or(f.field = 'paid_amount_missing') AS flagged FROM settle.shipped_field() AS f JOIN settle.shipped_part() AS p USING (platform, kind, part)
        WHERE p.entity = 'shop_order' GROUP BY f.platform, f.kind HAVING bool_or(f.field = 'paid_amount')) AS v WHERE NOT v.flagged $$, 'every mapping of an amount paid says where it is missing');
SELECT is((SELECT concat_ws(' ', columns ->> 'paid_amount', flags) FROM settle.map_payload('other', 'taobao', 'order', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', '2290118844770334261',
    'modified', '2025-11-11 00:00:06', 'created', '2025-11-11 00:00:00', 'status', status) || paid))) WHERE entity = 'shop_order'), expected, title)
FROM (VALUES
    ('WAIT_SELLER_SEND_GOODS', '{"pay_time": "2025-11-11 00:00:05", "payment": ""}'::jsonb, '{paid_amount_missing}', 'it was paid, nobody says how much'),
    ('WAIT_SELLER_SEND_GOODS', '{"pay_time": "2025-11-11 00:00:05", "payment": "0.00"}', '0.00 {}', 'nothing is an amount'),
    ('WAIT_BUYER_PAY', '{"payment": ""}', '0 {}', 'nobody has paid yet')) AS v (status, paid, expected, title);

-- An expression that fails is the verdict on one payload, not on the batch.
EXECUTE field ('_share', 'fen', '1 / (payable_amount - 7)');
INSERT INTO other.staging (platform, payload) SELECT 'corner', jsonb_build_object('sale', jsonb_build_object('no', 'B-' || n, 'sum', n * 100)) FROM generate_series(1, 600) AS n;
SELECT is((SELECT format('%s %s', applied, quarantined) FROM settle.ingest('other')), '593 7', 'of six hundred one divides by zero and six are negative');
SELECT is((SELECT count(*) FROM other.quarantine WHERE sqlstate = '22012'), 1::bigint, 'for that payload alone');
SELECT cmp_ok((SELECT count(*) FROM other.shop_order WHERE order_no LIKE 'B-%'), '>=', 590::bigint, 'the rest of its batch is there');

SELECT is((SELECT payloads FROM settle.ingest('other', 0)), 0::bigint, 'max_rows bounds a call');
INSERT INTO other.staging (platform, payload) SELECT 'corner', jsonb_build_object('sale', jsonb_build_object('no', 'C-' || n, 'sum', 800)) FROM generate_series(1, 5) AS n;
SELECT is((SELECT payloads FROM settle.ingest('other', 2)), 2::bigint, 'to so many payloads');
SELECT is((SELECT count(*) FROM other.staging WHERE state = 'new'), 3::bigint, 'and leaves the rest');

-- What a table would refuse is the verdict on one payload as well.
INSERT INTO other.staging (platform, shop, payload) VALUES ('corner', repeat('x', 3000), '{"sale": {"no": "E-1", "sum": 800}}'), ('corner', NULL, '{"sale": {"no": "E-2", "sum": 800}}');
SELECT is((SELECT format('%s %s', quarantined, payloads - applied) FROM settle.ingest('other')), '1 1', 'a key that no index holds');
SELECT is((SELECT sqlstate FROM other.quarantine WHERE reason = 'key_length'), '54000', 'says so');
DELETE FROM other.mapping_field WHERE (platform, field) = ('corner', 'lifecycle');
SELECT is((SELECT reason FROM settle.map_payload('other', 'corner', payload => '{"sale": {"no": "E-3", "sum": 800}}')), 'missing_lifecycle', 'and so does a mapping that forgets what must be there');

-- Who may do what.
CREATE ROLE connect_puller;
GRANT USAGE ON SCHEMA other TO connect_puller;
GRANT INSERT (platform, kind, shop, payload, raw) ON other.staging TO connect_puller;
SET ROLE connect_puller;
INSERT INTO other.staging (platform, payload) VALUES ('corner', '{"sale": {"no": "D-1", "sum": 800}}');
SELECT throws_ok($$ SELECT * FROM other.staging $$, '42501', NULL, 'a connector lands and reads nothing');
SELECT throws_ok($$ INSERT INTO other.staging (platform, payload, state) VALUES ('corner', '{}', 'applied') $$, '42501', NULL, 'nor says that it was read');
SELECT throws_ok($$ SELECT settle.ingest('other') $$, '42501', 'permission denied for book "other"', 'to ingest is for clerks');
RESET ROLE;
DROP OWNED BY connect_puller;
DROP ROLE connect_puller;

SELECT is(settle.load_mappings('other', 'jd'), 2::bigint, 'the shipped mappings can be taken anew');
SELECT throws_ok($$ SELECT settle.load_mappings('other', 'moon') $$, '42704', 'no mapping is shipped for platform "moon"', 'those that there are');
SELECT is((SELECT count(*) FROM other.mapping WHERE platform = 'corner'), 1::bigint, 'one''s own stay');

SELECT * FROM finish();
