-- Who a customer is: what keys are worth, numbers, what people say, errors, who
-- is told. That the order of arrival does not matter: customer_random.sql.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('who') \g /dev/null
CREATE FUNCTION pg_temp.see(subject text, key_type text, key_value text, scope text DEFAULT '') RETURNS void LANGUAGE sql AS $$
    INSERT INTO who.customer_identity (platform, shop, scope, key_type, key_value, subject, version, precedence, tied, flags, staging_id)
    VALUES (split_part(subject, ':', 1), '', scope, key_type, key_value, subject, now(), '', false, '{}', 0) $$;
CREATE FUNCTION pg_temp.whose(subject text) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT c.customer FROM who.subject_customer AS c WHERE c.subject = whose.subject $$;
CREATE FUNCTION pg_temp.place() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM settle.work('who', 'customers'); RETURN (SELECT error FROM who.job_step WHERE step = 'customers'); END $$;

-- scopes
SELECT pg_temp.see('p:order:1', 'openid', 'x', 'A'), pg_temp.see('p:order:2', 'openid', 'x'), pg_temp.see('p:order:3', 'openid', 'y', 'A'), pg_temp.see('p:order:4', 'openid', 'y', 'B') \g /dev/null
SELECT is(pg_temp.place(), NULL, 'the step succeeds');
SELECT is(pg_temp.whose('p:order:1'), pg_temp.whose('p:order:2'), 'a key without a scope is that of the only one in which it is known');
SELECT isnt(pg_temp.whose('p:order:3'), pg_temp.whose('p:order:4'), 'the same value in two apps is two keys');
SELECT pg_temp.see('p:order:5', 'openid', 'x', 'B'), pg_temp.place() \g /dev/null
SELECT is((SELECT count(DISTINCT customer) FROM who.subject_customer WHERE subject IN ('p:order:1', 'p:order:2', 'p:order:5')), 3::bigint, 'with a second scope it is of neither');

-- weak, never, patterns, limits
SELECT pg_temp.see('q:order:1', 'phone', md5('13800138000')), pg_temp.see('q:order:2', 'phone', md5('13800138000')), pg_temp.see('q:order:3', 'phone', '138****8000'), pg_temp.see('q:order:4', 'phone', '138****8000'),
    pg_temp.see('q:order:5', 'nick', 'z'), pg_temp.see('q:order:6', 'nick', 'z'), pg_temp.see('q:order:7', 'of my own', 'z'), pg_temp.see('q:order:8', 'of my own', 'z'), pg_temp.place() \g /dev/null
SELECT is((SELECT count(DISTINCT customer) FROM who.subject_customer WHERE platform = 'q'), 8::bigint, 'weak keys, masked phones, nicks and unknown types join nobody');
SELECT results_eq($$ SELECT customer, other, state FROM who.customer_suggestion $$, $$ VALUES (pg_temp.whose('q:order:1'), pg_temp.whose('q:order:2'), 'open') $$, 'a whole phone suggests, a masked one does not');
SELECT is((SELECT key_value FROM who.customer_key WHERE key_type = 'phone' LIMIT 1), left(md5('13800138000'), 3) || '****' || right(md5('13800138000'), 4), 'the view masks it');
SELECT pg_temp.see('r:order:' || n, 'phone', md5('10086')) FROM generate_series(1, 7) AS n \g /dev/null
SELECT pg_temp.place() \g /dev/null
SELECT is((SELECT count(*) FROM who.customer_suggestion AS g JOIN who.identity_key AS k USING (key_id) WHERE k.key_value = md5('10086')), 0::bigint, 'what more than suggestion_limit have suggests nothing');
SELECT lives_ok($$ INSERT INTO who.key_type (key_type, strength) VALUES ('of my own', 'strong') $$, 'a type of one''s own');
SELECT pg_temp.place() \g /dev/null
SELECT is(pg_temp.whose('q:order:7'), pg_temp.whose('q:order:8'), 'joins once it is declared');
SELECT throws_ok($$ UPDATE who.key_type SET exclusive = true WHERE key_type = 'phone' $$, '23514', NULL, 'a weak type excludes nothing');
SELECT throws_ok($$ UPDATE who.key_type SET pattern = '(' WHERE key_type = 'phone' $$, '2201B', NULL, 'a pattern is a regular expression');

-- what people say
SELECT settle.refuse_suggestion('who', (SELECT suggestion_id FROM who.customer_suggestion WHERE state = 'open'), 'one household') \g /dev/null
SELECT pg_temp.see('q:order:9', 'phone', md5('13800138000')), pg_temp.place() \g /dev/null
SELECT is((SELECT count(*) FROM who.customer_suggestion WHERE state = 'open' AND other = pg_temp.whose('q:order:2')), 0::bigint, 'what was refused is not suggested again');
SELECT pg_temp.see('q:order:1', 'openid', 'h', 'A'), pg_temp.see('q:order:2', 'openid', 'h', 'A'), pg_temp.place() \g /dev/null
SELECT is((SELECT customers FROM who.customer_conflict WHERE key_value = 'h'), ARRAY[pg_temp.whose('q:order:1'), pg_temp.whose('q:order:2')], 'and a strong key that would join them is a conflict');
SELECT is((SELECT count(*) FROM who.alert WHERE kind = 'customer conflict' AND ended_at IS NULL), 1::bigint, 'with an alert');
SELECT settle.merge_customers('who', pg_temp.whose('q:order:1'), pg_temp.whose('q:order:2'), 'one after all') \g /dev/null
SELECT is((SELECT count(*) FROM who.alert WHERE kind = 'customer conflict' AND ended_at IS NULL), 0::bigint, 'a merge takes back what was said');

SELECT pg_temp.see('s:order:1', 'openid', 'm', 'A'), pg_temp.see('s:order:2', 'openid', 'n', 'A'), pg_temp.place() \g /dev/null
SELECT pg_temp.whose('s:order:1') AS one, pg_temp.whose('s:order:2') AS other \gset
SELECT pg_temp.see('s:order:3', 'openid', 'm', 'A'), pg_temp.see('s:order:3', 'openid', 'n', 'A'), pg_temp.place() \g /dev/null
SELECT is(pg_temp.whose('s:order:2'), :one::bigint, 'the smaller number stays');
SELECT results_eq($$ SELECT customer, other, subjects FROM who.customer_event WHERE kind = 'merged' ORDER BY event_id DESC LIMIT 1 $$, format($$ VALUES (%s::bigint, %s::bigint, '{s:order:2}'::text[]) $$, :one, :other), 'a merge is an event');
SELECT settle.split_customer('who', '{s:order:3}', 'two baskets') \g /dev/null
SELECT is(pg_temp.whose('s:order:2'), :other::bigint, 'taken apart, the older number is again whose it was');
SELECT pg_temp.see('s:order:4', 'openid', 'm', 'A'), pg_temp.place() \g /dev/null
SELECT is(pg_temp.whose('s:order:4'), :one::bigint, 'who comes with a key of the rest is of the rest');
SELECT isnt(pg_temp.whose('s:order:3'), :one::bigint, 'and joins it with nobody who has left');

-- subjects that contradict themselves
SELECT pg_temp.see('t:order:1', 'unionid', '1'), pg_temp.see('t:order:2', 'unionid', '2'), pg_temp.see('t:order:3', 'unionid', '1'), pg_temp.see('t:order:3', 'unionid', '2'), pg_temp.place() \g /dev/null
SELECT is((SELECT count(DISTINCT customer) FROM who.subject_customer WHERE platform = 't'), 3::bigint, 'an order with two unionids is joined with nothing');
SELECT is((SELECT subjects FROM who.customer_conflict WHERE what = 'subject'), '{t:order:3}', 'and stands among the conflicts');
SELECT settle.cut_key('who', 't:order:3', 'unionid', '2', 'misread') \g /dev/null
SELECT is(pg_temp.whose('t:order:3'), pg_temp.whose('t:order:1'), 'until one is cut');
SELECT settle.restore_key('who', 't:order:3', 'unionid', '2', 'not misread') \g /dev/null
SELECT is((SELECT subjects FROM who.customer_conflict WHERE what = 'subject'), '{t:order:3}', 'restored, it contradicts itself again');

-- who is told
INSERT INTO who.shop_order (platform, shop, order_no, lifecycle, version, precedence, tied, flags, staging_id) SELECT 'u', 'z', n::text, 'paid', now(), '', false, '{}', 0 FROM generate_series(1, 3) AS n;
SELECT pg_temp.see('u:order:1', 'openid', 'c', 'A'), pg_temp.see('u:order:2', 'openid', 'd', 'A'), pg_temp.see('u:order:3', 'openid', 'e', 'A'), pg_temp.place() \g /dev/null
DELETE FROM who.order_changed;
SELECT pg_temp.see('u:order:2', 'openid', 'c', 'A'), pg_temp.place() \g /dev/null
SELECT results_eq($$ SELECT platform, shop, order_no FROM who.order_changed $$, $$ VALUES ('u', 'z', '2') $$, 'the orders that have another customer are noted, and no other');

-- errors
SELECT throws_ok($$ SELECT settle.merge_customers('who', 1, 2, ' ') $$, '22004', 'a merge needs a reason');
SELECT throws_ok($$ SELECT settle.merge_customers('who', 1, 999999, 'x') $$, '42704', 'book "who" has no customer 999999');
SELECT throws_ok(format('SELECT settle.merge_customers(%L, %s, %s, %L)', 'who', pg_temp.whose('s:order:1'), pg_temp.whose('s:order:4'), 'x'), '55000', NULL, 'one cannot be merged with himself');
SELECT throws_ok(format('SELECT settle.merge_customers(%L, %s, %s, %L)', 'who', pg_temp.whose('t:order:1'), pg_temp.whose('t:order:2'), 'x'), '23000',
    format('customers %s and %s have different keys of the type unionid', pg_temp.whose('t:order:1'), pg_temp.whose('t:order:2')), 'two unionids are never one customer, whoever says so');
SELECT throws_ok($$ SELECT settle.split_customer('who', '{s:order:77}', 'x') $$, '42704', 'book "who" knows no subject "s:order:77"');
SELECT throws_ok($$ SELECT settle.split_customer('who', '{}', 'x') $$, '22004', 'subjects must be given');
SELECT throws_ok($$ SELECT settle.split_customer('who', '{s:order:3}', 'x') $$, '22023', format('nothing would be left of customer %s', pg_temp.whose('s:order:3')));
SELECT throws_ok($$ SELECT settle.split_customer('who', '{s:order:3,t:order:1}', 'x') $$, '22023', NULL, 'one customer at a time');
SELECT throws_ok($$ SELECT settle.cut_key('who', 's:order:1', 'openid', 'none', 'x') $$, '42704', '"s:order:1" has no key of the type openid with that value');
SELECT throws_ok($$ SELECT settle.accept_suggestion('who', 999999, 'x') $$, '42704', 'book "who" has no suggestion 999999');
SELECT throws_ok($$ SELECT settle.accept_suggestion('who', (SELECT min(suggestion_id) FROM who.customer_suggestion WHERE state = 'refused'), 'x') $$, '55000', NULL, 'what is decided is decided');
SELECT throws_ok($$ DELETE FROM who.customer_event $$, '55000', NULL, 'what happened stays');
SELECT is_empty($$ SELECT * FROM settle.check('who') $$, 'settle.check finds nothing');
UPDATE who.customer_subject SET customer = pg_temp.whose('s:order:1') WHERE subject = 't:order:1';
SELECT isnt_empty($$ SELECT * FROM settle.check('who') WHERE invariant LIKE 'customers are the components%' $$, 'and finds who stands in the wrong place');

-- what the shipped mappings find
SELECT bag_eq($$ SELECT m.columns ->> 'key_type' AS key_type, m.columns ->> 'key_value' AS key_value FROM settle.map_payload('who', 'youzan', payload =>
    '{"data": {"full_order_info": {"order_info": {"tid": "E1", "node_kdt_id": 7, "status": "TRADE_PAID", "created": "2023-11-11 09:15:00", "update_time": "2023-11-11 09:15:22"}, "buyer_info": {"outer_user_id": "o", "buyer_phone": "+8613800138000"}, "pay_info": {"payment": "1.00", "transaction": ["42"]}}}}') AS m WHERE m.entity = 'customer_identity' $$,
    $$ VALUES ('openid', 'o'), ('phone', md5('13800138000')), ('transaction', '42') $$, 'a plain phone is a digest');
SELECT bag_eq($$ SELECT m.columns ->> 'key_type' AS key_type, m.columns ->> 'scope' AS scope FROM settle.map_payload('who', 'youzan', payload =>
    '{"data": {"full_order_info": {"order_info": {"tid": "E1", "node_kdt_id": 7, "status": "TRADE_PAID", "created": "2023-11-11 09:15:00", "update_time": "2023-11-11 09:15:22"}, "buyer_info": {"buyer_phone": "aa==1x=="}, "pay_info": {"payment": "1.00"}}}}') AS m WHERE m.entity = 'customer_identity' $$,
    $$ VALUES ('phone_cipher', 'youzan:7') $$, 'an encrypted one is the same within a shop');
SELECT is_empty($$ SELECT m.columns FROM settle.map_payload('who', 'youzan', payload =>
    '{"data": {"full_order_info": {"order_info": {"tid": "E1", "node_kdt_id": 7, "status": "TRADE_PAID", "created": "2023-11-11 09:15:00", "update_time": "2023-11-11 09:15:22"}, "buyer_info": {"buyer_phone": "138****8000"}, "pay_info": {"payment": "1.00"}}}}') AS m WHERE m.entity = 'customer_identity' $$, 'a masked one is no key');
SELECT * FROM finish();
