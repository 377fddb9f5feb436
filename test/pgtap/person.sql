-- Personal data: where it stands, who sees what of it, how it goes.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET jit = off;	-- the places that are searched are many and small
SELECT no_plan();
SELECT settle.create_book('shop') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Persons come from payloads
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.taobao(order_no text, at text, more jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', order_no, 'seller_nick', 's', 'modified', at, 'created', at,
    'status', 'WAIT_SELLER_SEND_GOODS', 'pay_time', at, 'payment', '10.00', 'post_fee', '0.00', 'receiver_state', '浙江省', 'receiver_city', '杭州市', 'receiver_district', '西湖区',
    'orders', jsonb_build_object('order', jsonb_build_array(jsonb_build_object('oid_str', order_no, 'num', 1, 'price', '10.00', 'payment', '10.00', 'divide_order_fee', '10.00', 'refund_status', 'NO_REFUND', 'invoice_no', 'SF1000000000' || right(order_no, 3))))) || more));
CREATE FUNCTION public.persons(platform text, payload jsonb) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg((m.columns - '{platform,shop,version}'::text[])::text, ' ' ORDER BY m.columns ->> 'role') FROM settle.map_payload('shop', platform, payload => payload) AS m WHERE m.entity = 'person');
SELECT is(public.persons('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": "王芳", "receiver_mobile": "", "receiver_phone": "0571-88888888", "receiver_address": "文三路 1 号", "receiver_town": "北山街道", "buyer_nick": "芳芳"}')),
    '{"nick": "芳芳", "role": "buyer", "subject": "taobao:order:5100000000000000001"} {"city": "杭州市", "name": "王芳", "role": "receiver", "town": "北山街道", "phone": "0571-88888888", "address": "文三路 1 号", "subject": "taobao:order:5100000000000000001", "district": "西湖区", "province": "浙江省"}',
    'receiver and buyer of an order');
SELECT is(public.persons('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": "", "buyer_nick": null}')), NULL, 'an order of which nothing personal is known has no person');
SELECT is((SELECT m.reason FROM settle.map_payload('shop', 'taobao', payload => public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": {"a": "王芳"}, "receiver_mobile": "13900000001"}')) AS m WHERE m.reason IS NOT NULL), NULL, 'a name that is no text does not cost the order');
SELECT is(public.persons('zendesk', '{"ticket": {"id": 7, "status": "open", "updated_at": "2025-11-14T05:00:00Z", "via": {"source": {"from": {"name": "王芳", "phone": "+8613900000001", "address": "fang@example.invalid"}}}}}'),
    '{"name": "王芳", "role": "contact", "email": "fang@example.invalid", "phone": "+8613900000001", "subject": "zendesk:ticket:7"}', 'the requester of a ticket');
SELECT is(public.persons('wecom', '{"external_contact": {"external_userid": "wm1", "name": "芳芳", "type": 1}, "follow_user": [{"userid": "anna", "createtime": 1762912830, "remark": "王芳", "remark_mobiles": ["13900000001"]}]}'),
    '{"name": "王芳", "nick": "芳芳", "role": "contact", "phone": "13900000001", "subject": "wecom:contact:wm1"}', 'a contact, with what the staff noted of him');

----------------------------------------------------------------------------------------------------
-- Forms and masks
----------------------------------------------------------------------------------------------------
SELECT results_eq($q$ SELECT p, settle.phone_form(p), settle.mask_phone(p) FROM unnest('{13800138000,１３８００１３８０００,+86 138 0013 8000,0086-138-0013-8000,86 13800138000,(86)13800138000,13800138000-4471,13800138000转12,138****8000,1*********2,138****8000-4471,0571-88888888,400-800-1234,+85291234567,$$InventedCipherTel==$1$$,aa==1xEncTel==,call me,12345}'::text[]) AS p $q$,
    $q$ VALUES ('13800138000', 'plain', '138****8000'), ('１３８００１３８０００', 'plain', '138****8000'), ('+86 138 0013 8000', 'plain', '138****8000'), ('0086-138-0013-8000', 'plain', '138****8000'), ('86 13800138000', 'plain', '138****8000'), ('(86)13800138000', 'plain', '138****8000'),
        ('13800138000-4471', 'virtual', '138****8000'), ('13800138000转12', 'virtual', '138****8000'), ('138****8000', 'masked', '138****8000'), ('1*********2', 'masked', '1*********2'), ('138****8000-4471', 'masked', '138****8000-4471'),
        ('0571-88888888', 'plain', '0571****'), ('400-800-1234', 'plain', '400-****'), ('+85291234567', 'plain', '+852****'), ('$$InventedCipherTel==$1$$', 'encrypted', NULL), ('aa==1xEncTel==', 'encrypted', NULL), ('call me', 'other', '****'), ('12345', 'other', '****') $q$,
    'phones in all their forms');
SELECT is(settle.normalize_phone('+86 138-0013-8000'), '13800138000', 'a phone without its code and hyphens');
SELECT is((SELECT string_agg(settle.mask_name(n), ' ') FROM unnest('{张三丰,张三,张**,John Smith,##InventedCipherName==#1##}'::text[]) AS n), '张** 张** 张** J**', 'names; what is encrypted is hidden');
SELECT is(settle.mask_email('zhang.san@example.com'), 'z***@example.com', 'mail');
SELECT is(settle.mask_text('王芳 13800138000, 138-0013-8000，１３８００１３８０００; 身份证 110101199003071234, a.b@example.com, 订单 2290118844770334270 和 231111-118844770334260'),
    '王芳 138****8000, 138****8000，１３８****８０００; 身份证 110101************, ***@example.com, 订单 2290118844770334270 和 231111-118844770334260', 'free text: phones, cards and mail; numbers of orders stay');
SELECT is((SELECT string_agg(c, ' ') FROM unnest('{staff:1001,customer:13800138000,13800138000,customer:110101199003071234,customer:11010119900307123X,order:5100000000000000001,customer:138001380001,dealer:yn-07}'::text[]) AS c WHERE settle.looks_personal(c)),
    'customer:13800138000 13800138000 customer:110101199003071234 customer:11010119900307123X', 'codes that are no codes');

----------------------------------------------------------------------------------------------------
-- A customer, in all the places that he may come to
----------------------------------------------------------------------------------------------------
DROP ROLE IF EXISTS person_reader, person_clerk, person_officer, person_admin, person_delegate;
CREATE ROLE person_reader; CREATE ROLE person_clerk; CREATE ROLE person_officer; CREATE ROLE person_admin; CREATE ROLE person_delegate;
SELECT settle.grant_access('shop', ('person_' || r)::regrole, l) FROM (VALUES ('reader', 'reader'), ('clerk', 'clerk'), ('officer', 'personal'), ('admin', 'admin'), ('delegate', 'delegate')) AS v (r, l) \g /dev/null
-- whoever logs in is the session user; one connection is several people here
CREATE FUNCTION public.as_user(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SET SESSION AUTHORIZATION %I', who);
    BEGIN
        EXECUTE statement INTO answer;
    EXCEPTION WHEN OTHERS THEN
        answer := SQLSTATE || ': ' || SQLERRM;
    END;
    RESET SESSION AUTHORIZATION;
    RETURN answer;
END $$;
-- every column of every table and view of the book in which one of the secrets stands
CREATE FUNCTION public.places() RETURNS TABLE (secret text, place text) LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind IN ('r', 'v') LOOP
        RETURN QUERY EXECUTE format('WITH v AS MATERIALIZED (SELECT e.key, e.value FROM %1$s AS x CROSS JOIN LATERAL jsonb_each_text(to_jsonb(x)) AS e (key, value))
            SELECT DISTINCT s.secret, %2$L || v.key FROM v JOIN public.secret AS s ON strpos(v.value, s.secret) > 0 OR strpos(v.value, encode(convert_to(s.secret, ''UTF8''), ''hex'')) > 0', relation, regexp_replace(relation::text, '^shop\.', '') || '.');
    END LOOP;
END $$;
CREATE TABLE public.secret (secret text PRIMARY KEY);
INSERT INTO public.secret VALUES ('王芳'), ('芳芳的店'), ('13900000001'), ('文三路 1 号'), ('fang@example.invalid');
INSERT INTO shop.staging (platform, payload) VALUES
    ('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": "王芳", "receiver_mobile": "13900000001", "receiver_address": "文三路 1 号", "buyer_nick": "芳芳的店", "buyer_open_uid": "u1", "seller_memo": "王芳 13900000001, 见订单 5100000000000000001, 客户改期, 小满"}')),
    ('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:00', '{"receiver_name": "王芳", "receiver_mobile": "13900000001"}')),
    ('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:01', '{"receiver_name": "王芳", "receiver_mobile": "13900000001", "receiver_address": "文三路 1 号", "buyer_nick": "芳芳的店", "buyer_open_uid": "u1", "seller_memo": "王芳 13900000001, 见订单 5100000000000000001, 客户改期, 小满"}')),
    ('taobao', public.taobao('5100000000000000001', '2025-11-11 00:00:02', '{"receiver_name": "王芳", "receiver_mobile": "13900000001", "status": "NO_SUCH_STATUS"}')),
    ('taobao', '{"refund_get_response": {"refund": {"refund_id": "9100000001", "tid": 5100000000000000001, "oid": 5100000000000000001, "seller_nick": "s", "buyer_nick": "芳芳的店", "status": "CLOSED", "refund_fee": "3.00", "refund_version": 1763000000000, "modified": "2025-11-13 10:00:00"}}}'),
    ('zendesk', '{"ticket": {"id": 7, "status": "open", "updated_at": "2025-11-14T05:00:00Z", "subject": "王芳 5100000000000000001", "description": "电话 13900000001", "via": {"source": {"from": {"name": "王芳", "phone": "+8613900000001", "address": "fang@example.invalid"}}}, "custom_fields": [{"id": 1, "value": "5100000000000000001"}]}}'),
    ('kuaidi100', '{"status": "polling", "lastResult": {"nu": "SF1000000000001", "com": "shunfeng", "state": "3", "data": [{"ftime": "2025-11-13 09:00:00", "context": "已签收, 王芳 13900000001", "statusCode": "3"}]}}'),
    ('taobao', public.taobao('5100000000000000002', '2025-11-11 00:00:01', '{"receiver_name": "李雷", "receiver_mobile": "13900000002", "receiver_address": "文三路 2 号", "seller_memo": "小满"}')),
    ('taobao', '{"trade_fullinfo_get_response": {"trade": {"tid_str": "5100000000000000003", "modified": "2025-11-11 00:00:01", "status": "WAIT_SELLER_SEND_GOODS", "payment": "王芳 13900000001"}}}');
INSERT INTO shop.staging (platform, raw) VALUES ('taobao', convert_to('{"refund_get_response": {"refund": {"refund_id": "9100000002", "tid": 5100000000000000001, "status": "CLOSED", "refund_fee": "1.00", "refund_version": 1763000000000, "reason": "王芳", "modified": "2025-11-13 10:00:00"}}}', 'UTF8'));
INSERT INTO shop.mapping_field (platform, kind, part, field, form, path, strict, place) VALUES ('zendesk', 'ticket', 'ticket', 'order_ref', 'id', '{$.custom_fields[*] ? (@.id == 1).value}', false, 1000);
SELECT settle.add_order_ticket_rule('shop', 'no_install', $$position('改期' IN seller_memo) > 0$$, 'cancel', ticket => 'install', valid => '(,)') \g /dev/null
INSERT INTO shop.staff_alias (platform, staff_ref, kind, staff) VALUES ('taobao', '小满', 'word', '1001');
SELECT settle.ingest('shop') \g /dev/null
SELECT results_eq('SELECT state, count(*) FROM shop.staging GROUP BY state ORDER BY state', $$ VALUES ('applied', 6::bigint), ('duplicate', 1), ('quarantined', 2), ('stale', 1) $$, 'payloads of every fate');
SELECT settle.send('shop', 'taobao', 'address', '5100000000000000001', '{"order_no": "5100000000000000001", "person": {"name": "王芳", "phone": "13900000001"}}', key => 'a1') AS told,
    settle.send('shop', 'taobao', 'address', '5100000000000000001', '{"order_no": "5100000000000000001", "person": {"name": "王芳"}}') AS untold,
    settle.send('shop', 'sms', 'text', '1', '{"to": "13900000001"}') AS sms, settle.send('shop', 'taobao', 'ship', '5100000000000000001', '{"order_no": "5100000000000000001"}') AS other \gset
SELECT settle.done_outbox('shop', ARRAY[:told]) \g /dev/null
INSERT INTO shop.alert (kind, object, message) VALUES ('outbox', 'sms', 'no answer from 13900000001');

-- what is settled of him
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'customer:{customer}', base => 'amount', tiers => '10%') \g /dev/null
INSERT INTO shop.ticket (ticket_id, order_ref, done_at, project, region, customer, amount) VALUES ('T1', '5100000000000000001', '2025-11-12', 'install', 'cn.zj', '88', 100);
SELECT settle.run('shop') \g /dev/null
SELECT settle.work('shop', 'seal') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Who sees what
----------------------------------------------------------------------------------------------------
SELECT set_eq($$ SELECT place FROM public.places() $$,
    '{staging.payload,staging.raw,staging.message,person.name,person.nick,person.phone,person.email,person.address,shop_order.seller_memo,platform_ticket.title,platform_ticket.description,shipment_event.context,outbox.payload,alert.message,order_sold.seller_memo,sold.seller_memo}'::text[],
    'where he stands');
SELECT string_agg(quote_literal(secret), ', ') AS secrets FROM public.secret \gset
SELECT is_empty(format($$ SELECT r FROM settle._readable('shop') AS r WHERE r <> 'shop.alert'::regclass AND public.as_user('person_reader', format('SELECT count(*) FROM %%s AS x, unnest(ARRAY[%%s]) AS s WHERE strpos(x::text, s) > 0', r, %L)) <> '0' $$, :'secrets'),
    'a reader reads all that readers may, and sees nothing of him');
SELECT results_eq($$ SELECT role, name, nick, phone, phone_form, email, province, city, district FROM shop.person_masked WHERE subject IN ('taobao:order:5100000000000000001', 'zendesk:ticket:7') ORDER BY subject, role $$,
    $$ VALUES ('buyer', NULL, '芳**', NULL, NULL, NULL, NULL, NULL, NULL), ('receiver', '王**', NULL, '139****0001', 'plain', NULL, '浙江省', '杭州市', '西湖区'), ('contact', '王**', NULL, '139****0001', 'plain', 'f***@example.invalid', NULL, NULL, NULL) $$, 'what readers see of him');
SELECT is((SELECT message FROM shop.quarantine WHERE field = 'payable_amount'), 'an amount in yuan expected, not "***"', 'a message does not quote what people write');
SELECT is(public.as_user('person_reader', format('SELECT count(*) FROM shop.%I', t)), format('42501: permission denied for table %s', t), format('a reader does not read %s', t)) FROM unnest('{staging,person,shop_order,platform_ticket,shipment_event,outbox,erased}'::text[]) AS t;

SELECT is(public.as_user(who, $$ SELECT count(*) FROM settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'call 7') $$), '42501: permission denied for book "shop"', format('%s sees no clear text', who)) FROM unnest('{person_reader,person_clerk,person_admin}'::name[]) AS who;
SELECT is(public.as_user('person_delegate', $$ SELECT count(*) FROM settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'call 7') $$), '42501: role "person_delegate" acts for nobody in book "shop"', 'nor does a delegate');
BEGIN;
SET LOCAL ROLE person_delegate;
SELECT settle.act_as('shop', 'staff:7') \g /dev/null
RESET ROLE;
SELECT public.as_user('person_delegate', $$ SELECT count(*) FROM settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'call 7') $$) AS answer \gset
ROLLBACK;
SELECT is(:'answer'::text, '42501: permission denied for book "shop"', 'who acts for others has that right by nobody');
SELECT is(public.as_user('person_officer', $$ SELECT string_agg(concat_ws(' ', role, name, nick, phone, phone_form, town, address), ', ' ORDER BY role) FROM settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'call 7') $$),
    'buyer 芳芳的店, receiver 王芳 13900000001 plain 文三路 1 号', 'clear text, for who may see it');
SELECT is(public.as_user('person_officer', 'SELECT name FROM shop.person_masked WHERE role = ''receiver'' ORDER BY subject LIMIT 1'), '王**', 'who reads the views as everybody does');
SELECT results_eq('SELECT action, person, actor, login, reason, figures FROM shop.person_log', $$ VALUES ('reveal', 'taobao:order:5100000000000000001', 'person_officer', 'person_officer', 'call 7', '{"persons": 2}'::jsonb) $$, 'each look is written down');
SELECT is(public.as_user('person_reader', 'SELECT count(*) FROM shop.person_log'), '1', 'for all to read');
SELECT throws_ok(format('%s shop.person_log', verb), '55000', 'table "person_log" of a book is append-only', verb) FROM unnest('{DELETE FROM,TRUNCATE}'::text[]) AS verb;
SELECT throws_ok($$ SELECT settle.reveal_person('shop', 'taobao:order:9', 'call 7') $$, '42704', 'book "shop" knows no person "taobao:order:9"', 'nobody of that name');
SELECT throws_ok($$ SELECT settle.reveal_person('shop', '13900000001', 'call 7') $$, '42704', 'book "shop" knows no person "139****0001"', 'a phone names nobody, and is not repeated');
SELECT throws_ok($$ SELECT settle.reveal_person('shop', NULL, 'call 7') $$, '22004', 'a person and a reason must be given', 'no person');
SELECT throws_ok($$ SELECT settle.reveal_person('shop', 'taobao:order:5100000000000000001', NULL) $$, '22004', 'a person and a reason must be given', 'no reason');
SELECT throws_ok($$ SELECT settle.reveal_person('shop', 'taobao:order:5100000000000000001', ' ') $$, '22023', 'reason is empty', 'an empty reason');
SELECT throws_ok($$ SELECT settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'asked by 13900000001') $$, '22023', 'a phone or an identity card stands in the reason', 'a reason that tells of him');
BEGIN READ ONLY;
SELECT public.as_user('person_officer', $$ SELECT count(*) FROM settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'call 8') $$) AS answer \gset
ROLLBACK;
SELECT is(:'answer'::text, '25006: cannot show clear text in a read-only transaction', 'no look that could not be written down');
SELECT is((SELECT count(*) FROM shop.person_log), 1::bigint, 'looks that failed showed nothing');

----------------------------------------------------------------------------------------------------
-- Messages to platforms
----------------------------------------------------------------------------------------------------
SELECT is((SELECT payload FROM shop.outbox WHERE message_id = :told), '{"order_no": "5100000000000000001"}', 'a message that was delivered has no person any more');
SELECT is(settle.send('shop', 'taobao', 'address', '5100000000000000001', '{"order_no": "5100000000000000001", "person": {"name": "王芳", "phone": "13900000001"}}', key => 'a1'), :told::bigint, 'and is not sent again');
SELECT throws_ok($$ SELECT settle.send('shop', 'taobao', 'address', '5100000000000000001', '{"order_no": "5100000000000000002"}', key => 'a1') $$, '23505', NULL, 'nor another under its key');

----------------------------------------------------------------------------------------------------
-- Reduction
----------------------------------------------------------------------------------------------------
BEGIN;
SELECT settle.work('shop', 'reduce') AS early \gset
SELECT count(*) AS bodies FROM shop.staging WHERE num_nonnulls(payload, raw) = 1 \gset
ALTER TABLE shop.staging DISABLE TRIGGER append_only;
UPDATE shop.staging SET received_at = now() - interval '89 days 23 hours' WHERE external_key = '5100000000000000002';
UPDATE shop.staging SET received_at = now() - interval '91 days 1 hour' WHERE external_key IS DISTINCT FROM '5100000000000000002';
ALTER TABLE shop.staging ENABLE TRIGGER append_only;
INSERT INTO shop.staging (platform, payload, received_at) VALUES ('taobao', '{"new": 1}', now() - interval '100 days');
SELECT string_agg(object || ' ' || split_part(detail, ',', 1), ', ' ORDER BY object) AS finding FROM settle.check('shop') WHERE invariant LIKE 'no payload keeps%' \gset
SELECT settle.work('shop', 'reduce') AS more \gset
SELECT string_agg(coalesce(external_key, state) || ' ' || state, ', ' ORDER BY staging_id) AS still FROM shop.staging WHERE num_nonnulls(payload, raw) = 1 \gset
SELECT coalesce(string_agg(DISTINCT s.staging_id::text, ' '), '') AS telling FROM shop.staging AS s, public.secret WHERE num_nonnulls(payload, raw) = 0 AND strpos(s::text, secret) > 0 \gset
SELECT kept AS kept FROM shop.staging WHERE state = 'stale' \gset
SELECT bool_and(kept IS NULL = (state = 'quarantined') AND content_hash IS NULL = (state = 'quarantined')) AS keeps FROM shop.staging WHERE num_nonnulls(payload, raw) = 0 \gset
SELECT message AS alert FROM shop.alert WHERE kind = 'quarantine' \gset
SELECT payloads AS retried FROM settle.retry_quarantine('shop') \gset
ROLLBACK;
SELECT is(:'early'::text || ' ' || :'bodies', 'f 10', 'nothing is old enough');
SELECT is(:'finding'::text, 'kuaidi100 bodies: 1, taobao bodies: 8, zendesk bodies: 1', 'settle.check tells of bodies that are kept for too long');
SELECT is(:'more'::text, 'f', 'one step takes them');
SELECT is(:'still'::text, '5100000000000000002 applied, new new', 'what is younger, and what was not read yet, keeps its body');
SELECT is(:'telling'::text, '', 'what is kept of the others tells nothing of him');
SELECT is(:'kept'::jsonb #- '{0,created_at}', (SELECT jsonb_agg(jsonb_build_object('entity', m.entity) || m.columns) FROM settle.map_payload('shop', 'taobao', payload => public.taobao('5100000000000000001', '2025-11-11 00:00:00', '{}')) AS m) #- '{0,created_at}', 'a version that another came after keeps the rows that it became');
SELECT ok(:'keeps'::boolean, 'and so do all that were read');
SELECT is(:'alert'::text, 'payloads of taobao were quarantined for 90 days and have lost their body: fetch them again', 'what nobody has put right in time has to be fetched again');
SELECT is(:'retried'::text, '1', 'and is not tried without its body: this was the new one');
SELECT throws_ok('UPDATE shop.book SET staging_days = 0', '23514', NULL, 'a day at least');

----------------------------------------------------------------------------------------------------
-- Erasing
----------------------------------------------------------------------------------------------------
SELECT settle.anchor('shop') AS anchor \gset
SELECT is(public.as_user(who, $$ SELECT settle.erase_person('shop', 'taobao:order:5100000000000000001', 'letter 12') $$), '42501: permission denied for book "shop"', format('%s erases nobody', who)) FROM unnest('{person_reader,person_clerk,person_officer}'::name[]) AS who;
SELECT throws_ok($$ SELECT settle.erase_person('shop', 'taobao:order:9', 'letter 12') $$, '42704', 'book "shop" knows no person "taobao:order:9"', 'nobody of that name');
SELECT throws_ok($$ SELECT settle.erase_person('shop', 'taobao:order:5100000000000000001', NULL) $$, '22004', 'a person and a reason must be given', 'no reason');
CREATE TABLE public.before AS SELECT o.order_no, o.paid_amount, o.lifecycle, o.province FROM shop.shop_order AS o;
SELECT is(public.as_user('person_admin', $$ SELECT settle.erase_person('shop', 'taobao:order:5100000000000000001', 'letter 12') $$), '(3,3,3,0,9,2)', 'an order, its ticket and its parcel');
SELECT is_empty('SELECT * FROM public.places()', 'nothing of him is left in any column of any table');
SELECT is((SELECT string_agg(subject, ' ' ORDER BY subject) FROM shop.erased), 'parcel:SF1000000000001 taobao:order:5100000000000000001 zendesk:ticket:7', 'that he was erased is remembered');
SELECT is((SELECT seller_memo FROM shop.shop_order WHERE order_no = '5100000000000000001'), '5100000000000000001 小满 改期', 'of a memo stays what is read of it');
SELECT is((SELECT concat_ws('|', title, description, order_ref) FROM shop.platform_ticket), '5100000000000000001|5100000000000000001', 'and of a ticket');
SELECT is((SELECT string_agg(concat_ws(' ', message_id = :told, message_id = :untold, message_id = :sms, state, payload, error), ', ' ORDER BY message_id) FROM shop.outbox),
    't f f done {"order_no": "5100000000000000001"}, f t f dead {"order_no": "5100000000000000001"} the person was erased, f f t dead {} the person was erased, f f f waiting {"order_no": "5100000000000000001"}', 'messages that told of him are given up');
SELECT set_eq('SELECT order_no, paid_amount, lifecycle, province FROM shop.shop_order', 'SELECT * FROM public.before', 'orders and their amounts stay');
SELECT is_empty('SELECT * FROM settle.check(''shop'')', 'the book is whole');
SELECT is_empty(format($$ SELECT * FROM settle.verify('shop', %L) $$, :'anchor'), 'its seals hold');
SELECT is((SELECT count(*) FROM shop.person_masked WHERE subject = 'taobao:order:5100000000000000002'), 1::bigint, 'others stay');
SELECT is((SELECT count(*) FROM shop.staging WHERE strpos(payload::text, '李雷') > 0), 1::bigint, 'with their payloads');
SELECT results_eq($$ SELECT action, person, login, reason, figures FROM shop.person_log WHERE action = 'erase' $$,
    $$ VALUES ('erase', 'taobao:order:5100000000000000001', 'person_admin', 'letter 12', '{"keys": 0, "texts": 3, "bodies": 9, "persons": 3, "tickets": 0, "messages": 2, "subjects": 3}'::jsonb) $$, 'who erased whom, when, why and how much');
SELECT is(settle.erase_person('shop', 'taobao:order:5100000000000000001', 'letter 12')::text, '(3,0,0,0,0,0)', 'erasing again erases nothing');
SELECT is((SELECT count(*) FROM settle.reveal_person('shop', 'taobao:order:5100000000000000001', 'call 9')), 0::bigint, 'there is nothing to see');

-- what arrives of him later
INSERT INTO shop.staging (platform, payload) VALUES
    ('taobao', public.taobao('5100000000000000001', '2025-11-12 00:00:01', '{"receiver_name": "王芳", "receiver_mobile": "13900000001", "buyer_nick": "芳芳的店", "payment": "10.00", "status": "TRADE_FINISHED", "seller_memo": "王芳 13900000001"}')),
    ('taobao', public.taobao('5100000000000000001', '2025-11-10 00:00:01', '{"receiver_name": "王芳", "receiver_mobile": "13900000001", "receiver_address": "文三路 1 号"}')),
    ('zendesk', '{"ticket": {"id": 7, "status": "solved", "updated_at": "2025-11-15T05:00:00Z", "subject": "王芳", "description": "电话 13900000001"}}'),
    ('kuaidi100', '{"status": "shutdown", "lastResult": {"nu": "SF1000000000001", "com": "shunfeng", "state": "3", "data": [{"ftime": "2025-11-14 09:00:00", "context": "已签收, 王芳 13900000001", "statusCode": "3"}]}}'),
    ('taobao', '{"refund_get_response": {"refund": {"refund_id": "9100000003", "tid": 5100000000000000001, "seller_nick": "s", "buyer_nick": "芳芳的店", "status": "SUCCESS", "refund_fee": "2.00", "refund_version": 1763000000000, "modified": "2025-11-13 10:00:00"}}}');
SELECT settle.ingest('shop') \g /dev/null
SELECT is_empty('SELECT * FROM public.places()', 'what arrives later lands without what is personal');
SELECT is((SELECT lifecycle || ' ' || refunded_amount FROM shop.order_status WHERE order_no = '5100000000000000001'), 'completed 2.00', 'and is used all the same');
SELECT is((SELECT string_agg(state, ' ' ORDER BY staging_id) FROM shop.staging WHERE kept IS NOT NULL AND staging_id > 10), 'applied stale applied applied applied', 'whatever becomes of it');
SELECT is_empty('SELECT * FROM settle.check(''shop'')', 'the book is whole');
INSERT INTO shop.person (platform, shop, subject, role, name, version, precedence, tied, flags, staging_id) VALUES ('zendesk', '', 'zendesk:ticket:7', 'contact', 'x', now(), '', false, '{}', 1);
SELECT results_eq('SELECT * FROM settle.check(''shop'')', $$ VALUES ('nothing personal is left of who was erased', 'zendesk:ticket:7', 'stands in person') $$, 'settle.check tells of one who has come back');
DELETE FROM shop.person WHERE subject = 'zendesk:ticket:7';

----------------------------------------------------------------------------------------------------
-- A customer with all that is his
----------------------------------------------------------------------------------------------------
TRUNCATE public.secret;
INSERT INTO public.secret VALUES ('韩梅梅'), ('13900000005'), ('文三路 5 号'), (md5('13900000005'));
INSERT INTO shop.staging (platform, payload) VALUES
    ('taobao', public.taobao('5100000000000000005', '2025-11-11 00:00:01', '{"receiver_name": "韩梅梅", "receiver_mobile": "13900000005", "receiver_address": "文三路 5 号", "buyer_open_uid": "u5"}')),
    ('taobao', public.taobao('5100000000000000006', '2025-11-11 00:00:01', '{"receiver_name": "韩梅梅", "receiver_mobile": "13900000005", "receiver_address": "文三路 5 号", "buyer_open_uid": "u5"}'));
INSERT INTO shop.customer_identity (platform, shop, scope, key_type, key_value, subject, version, precedence, tied, flags, staging_id)
SELECT 'taobao', 's', '', 'phone', md5('13900000005'), 'taobao:order:5100000000000000005', now(), '', false, '{}', max(staging_id) FROM shop.staging;
SELECT settle.ingest('shop'), settle.work('shop', 'customers') \g /dev/null
SELECT customer AS his FROM shop.person_masked WHERE subject = 'taobao:order:5100000000000000006' \gset
SELECT settle.add_type('shop', '{"type": "visit", "fields": [{"field": "who", "kind": "text", "privacy": "personal"}, {"field": "storey", "kind": "integer"}], "stages": [{"stage": "open", "initial": true}]}'), settle.enable_type('shop', 'visit') \g /dev/null
INSERT INTO shop.ticket (ticket_id, type, project, region, customer, order_ref, amount, details) VALUES
    ('V1', 'visit', 'install', 'cn.zj', :'his', NULL, 50, '{"who": "韩梅梅 13900000005", "storey": 5}'), ('V2', 'visit', 'install', 'cn.zj', NULL, '5100000000000000006', 50, '{"who": "韩梅梅", "storey": 5}'),
    ('V3', 'visit', 'install', 'cn.zj', 'customer:0', NULL, 50, '{"who": "李雷"}');
SELECT is((SELECT string_agg(subject, ' ' ORDER BY subject) FROM settle.reveal_person('shop', :'his', 'call 10')), 'taobao:order:5100000000000000005 taobao:order:5100000000000000006', 'a customer is seen with all his orders');
SELECT is(settle.erase_person('shop', :'his', 'letter 13')::text, '(4,2,0,1,2,0)', 'and erased with them and their parcels');
SELECT is((SELECT figures -> 'tickets' FROM shop.person_log WHERE person = :'his' AND action = 'erase'), '2', 'and the forms of his tickets');
SELECT settle.work('shop', 'customers') \g /dev/null
SELECT is_empty('SELECT * FROM public.places()', 'nothing of him is left, no digest of his phone either');
SELECT is((SELECT string_agg(details::text, ' ' ORDER BY ticket_id) FROM shop.ticket WHERE type = 'visit'), '{"who": null, "storey": 5} {"who": null, "storey": 5} {"who": "李雷"}', 'what a form does not call personal stays, and so do others');
SELECT is((SELECT string_agg(DISTINCT 'customer:' || customer, ' ') FROM shop.subject_customer WHERE subject IN ('taobao:order:5100000000000000005', 'taobao:order:5100000000000000006')), :'his', 'he stays one customer, by the codes that platforms gave him');
SELECT throws_ok($$ SELECT settle.erase_person('shop', 'customer:999999', 'letter 13') $$, '42704', 'book "shop" knows no person "customer:999999"', 'no such customer');
SELECT throws_ok($$ SELECT settle.erase_person('shop', 'customer:13900000005', 'letter 13') $$, '42704', 'book "shop" knows no person "customer:139****0005"', 'nor one by his phone');
-- whom no platform knows, a ticket of the desk does
SELECT settle.add_type('shop', '{"type": "call", "fields": [{"field": "phone", "kind": "phone", "privacy": "personal"}], "stages": [{"stage": "new", "initial": true}]}'), settle.enable_type('shop', 'call'),
    settle.open_ticket('shop', 'call', '{"phone": "13900000077"}', project => 'call', region => 'cn', customer => code, ticket_id => 'C-' || code) FROM unnest('{customer:990,family-7}'::text[]) AS code \g /dev/null
SELECT is(settle.erase_person('shop', code, 'letter 14')::text, '(0,0,0,0,0,0)', format('%s is known by his tickets', code)) FROM unnest('{customer:990,family-7}'::text[]) AS code;
SELECT is(array_agg(details ORDER BY ticket_id), '{"{\"phone\": null}","{\"phone\": null}"}'::jsonb[], 'and his form is erased') FROM shop.ticket WHERE type = 'call';

----------------------------------------------------------------------------------------------------
-- Codes
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.add_party('shop', 'staff:13900000001') $$, '22023', 'the code "staff:13900000001" looks like a phone or an identity card', 'a phone is no code');
INSERT INTO shop.party (party, side) VALUES ('customer:13900000001', 'customer');
SELECT results_eq('SELECT * FROM settle.check(''shop'')', $$ VALUES ('the code of a party is no phone and no identity card', 'customer:139****0001', 'stands in sheets, which nothing changes') $$, 'one that came otherwise is found');
UPDATE shop.ticket SET customer = '13900000001' WHERE ticket_id = 'T1';
SELECT results_eq($$ SELECT severity, kind, object, detail FROM settle.lint('shop') WHERE kind = 'personal code' $$, $$ VALUES ('warning', 'personal code', 'ticket', 'the customer of ticket "T1" looks like a phone or an identity card') $$, 'and one on a ticket is warned of');

DROP OWNED BY person_reader, person_clerk, person_officer, person_admin, person_delegate;
DROP ROLE person_reader, person_clerk, person_officer, person_admin, person_delegate;
SELECT * FROM finish();
