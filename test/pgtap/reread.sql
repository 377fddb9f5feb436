-- A mapping changes; what was read before it is read again when somebody asks.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(27);

SELECT settle.create_book('again') \g /dev/null
CREATE FUNCTION pg_temp.trade(n int, second int, memo text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', 'T' || n, 'seller_nick', 's', 'modified', '2025-11-11 00:00:' || to_char(second, 'FM00'),
        'created', '2025-11-11 00:00:00', 'status', 'WAIT_SELLER_SEND_GOODS', 'pay_time', '2025-11-11 00:00:05', 'payment', '10.00', 'seller_memo', memo, 'guide', 'G' || n, 'orders',
        jsonb_build_object('order', jsonb_build_array(jsonb_build_object('oid_str', '1', 'num', 1, 'price', '10.00', 'divide_order_fee', '10.00', 'note', 'blue', 'refund_status', 'NO_REFUND'))))))
$$;
INSERT INTO again.staging (platform, payload)
VALUES ('taobao', pg_temp.trade(1, 10, 'old')), ('taobao', pg_temp.trade(1, 20, 'new')), ('taobao', pg_temp.trade(2, 10, 'two')), ('taobao', pg_temp.trade(3, 10, 'a')),
    ('taobao', pg_temp.trade(3, 10, 'b')), ('taobao', pg_temp.trade(1, 20, 'new')), ('taobao', pg_temp.trade(4, 10, 'gone'));
SELECT is((SELECT format('%s %s %s', applied, duplicates, ties) FROM settle.ingest('again')), '5 1 1', 'read once');
SELECT is_empty('SELECT * FROM again.outdated_payload', 'nothing is outdated');
UPDATE again.staging SET payload = NULL WHERE external_key = 'T4';
TRUNCATE again.order_changed;
CREATE TABLE before AS SELECT order_no, version, precedence, tied, staging_id FROM again.shop_order;

-- the guide, which the shipped mapping does not read there, and a note of the line
INSERT INTO again.mapping_field (platform, kind, part, field, form, path, place) VALUES ('taobao', 'order', 'order', '_guide', 'text', '{$.guide}', 900);
UPDATE again.mapping_field SET path = NULL, expression = '''guide '' || _guide', place = 901 WHERE (platform, kind, part, field) = ('taobao', 'order', 'order', 'staff_ref');
UPDATE again.mapping_field SET path = '{$.note}' WHERE (platform, kind, part, field) = ('taobao', 'order', 'line', 'sku_code');
SELECT is((SELECT format('%s %s %s %s', platform, kind, payloads, unreadable) FROM again.outdated_payload WHERE kind = 'order'), 'taobao order 5 1', 'now they are, and one of them has no body any more');
SELECT is((SELECT string_agg(coalesce(staff_ref, 'none'), ' ' ORDER BY order_no) FROM again.shop_order), 'none none none none', 'a changed mapping rewrites nothing');
SELECT is((SELECT payloads FROM settle.ingest('again')), 0::bigint, 'nor does ingesting');

SELECT is((SELECT format('%s %s %s', payloads, unreadable, finished) FROM settle.reread('again', 'taobao', 'order', reason => 'guides are read now')), '5 1 t', 'all of them are read again that have a body');
SELECT is((SELECT string_agg(coalesce(staff_ref, 'none'), ' ' ORDER BY order_no) FROM again.shop_order), 'guide G1 guide G2 guide G3 none', 'rows have the new columns');
SELECT is((SELECT string_agg(coalesce(sku_code, 'none'), ' ' ORDER BY order_no) FROM again.order_line), 'blue blue blue none', 'lines too');
SELECT results_eq('SELECT order_no, version, precedence, tied, staging_id FROM again.shop_order ORDER BY 1', 'SELECT * FROM before ORDER BY 1', 'and the versions that stood stand, tied where they were');
SELECT is((SELECT seller_memo FROM again.shop_order WHERE order_no = 'T1'), 'new', 'the older version does not come back');
SELECT is((SELECT count(*) FROM again.order_line), 4::bigint, 'nothing is there twice');
SELECT is((SELECT string_agg(DISTINCT order_no, ' ' ORDER BY order_no) FROM again.order_changed), 'T1 T2 T3', 'whoever looks at changed orders looks at them');
SELECT is((SELECT string_agg(state, ' ' ORDER BY staging_id) FROM again.staging), 'applied applied applied applied tie duplicate applied', 'every payload has a state, mostly the one it had');
SELECT is((SELECT format('%s %s', payloads, unreadable) FROM again.outdated_payload WHERE kind = 'order'), '0 1', 'only the one without a body is still as it was read');
SELECT is((SELECT format('%s %s', c.reason, c.after ->> 'platform') FROM again.change AS c WHERE c.table_name = 'reread'), 'guides are read now taobao', 'the journal says who wanted it and why');

-- what the mapping reads the version from has changed
UPDATE again.mapping_field SET path = '{$.pay_time}' WHERE (platform, kind, part, field) = ('taobao', 'order', 'order', 'version');
SELECT settle.reread('again', 'taobao', 'order') \g /dev/null
SELECT is((SELECT DISTINCT version FROM again.shop_order WHERE order_no IN ('T1', 'T2', 'T3')), '2025-11-11 00:00:05+08'::timestamptz, 'a row gives way to what its own payload says now, though that is older');
-- what a mapping cannot read any more
UPDATE again.mapping_field SET form = 'fen' WHERE (platform, kind, part, field) = ('taobao', 'order', 'order', 'payable_amount');
SELECT settle.reread('again', 'taobao', 'order') \g /dev/null
SELECT is((SELECT count(*) FROM again.quarantine WHERE field = 'payable_amount'), 5::bigint, 'what cannot be read any more is quarantined');
SELECT is((SELECT count(*) FROM again.shop_order), 4::bigint, 'and its rows stay as they were');
UPDATE again.mapping_field SET form = 'yuan_text' WHERE (platform, kind, part, field) = ('taobao', 'order', 'order', 'payable_amount');
SELECT is((SELECT quarantined FROM settle.retry_quarantine('again', 'taobao')), 0::bigint, 'once it can, it is');
SELECT is((SELECT payloads FROM settle.reread('again', 'taobao', 'order', since => now() + interval '1 day')), 0::bigint, 'those received since a time');

-- more than a call reads
INSERT INTO again.mapping (platform, kind, marker) VALUES ('corner', 'sale', '$.no');
INSERT INTO again.mapping_part (platform, kind, part, entity, rows) VALUES ('corner', 'sale', 'order', 'shop_order', '{$}');
INSERT INTO again.mapping_field (platform, kind, part, field, form, path, place) VALUES ('corner', 'sale', 'order', 'order_no', 'id', '{$.no}', 1);
INSERT INTO again.mapping_field (platform, kind, part, field, form, expression, place) VALUES ('corner', 'sale', 'order', 'lifecycle', 'text', '''created''', 2);
INSERT INTO again.staging (platform, payload) SELECT 'corner', jsonb_build_object('no', n::text) FROM generate_series(1, 20001) AS n;
SELECT is((SELECT applied FROM settle.ingest('again')), 20001::bigint, 'many payloads');
UPDATE again.mapping_field SET expression = '''paid''' WHERE (platform, field) = ('corner', 'lifecycle');
SELECT is((SELECT format('%s %s', payloads, finished) FROM settle.reread('again', 'corner', 'sale')), '20000 f', 'a call reads a slice');
SELECT is((SELECT settle._tick_ingest('again') ->> 'applied'), '1', 'and the tick goes on with it');
SELECT is((SELECT count(*) FROM again.shop_order WHERE platform = 'corner' AND lifecycle = 'paid'), 20001::bigint, 'to the end');
SELECT is(settle._tick_ingest('again'), NULL, 'then nothing is due');

SELECT throws_ok($$ SELECT settle.reread('again', 'taobao', 'horoscope') $$, '42704', 'platform "taobao" has no mapping for kind "horoscope"', 'a kind that nobody has mapped');
SELECT throws_ok($$ SELECT settle.reread('again', 'taobao', NULL) $$, '22004', 'platform and kind must be given', 'all of everything is not asked for by mistake');
SELECT * FROM finish();
