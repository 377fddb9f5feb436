-- Payloads of one thing end alike in whatever order they arrive.
--
-- Of each kind that has versions an older payload, the current one, the same
-- again and another of the same second are landed in every order, one by one
-- and together; refunds have a later one besides that must not reopen them.
-- Each order of arrival is a shop of its own, so the contents are the same.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE public.thing (what text PRIMARY KEY, platform text, entity text, template text, version text[], status text[]);
INSERT INTO public.thing VALUES
    ('taobao order', 'taobao', 'shop_order', '{"trade_fullinfo_get_response": {"trade": {"tid_str": "5", "modified": "%1$s", "status": "%2$s", "created": "2025-11-11 00:00:00", "pay_time": "2025-11-11 00:00:05", "payment": "10.00", "post_fee": "0.00", "seller_memo": "%3$s",
        "orders": {"order": [{"oid_str": "5", "num": 1, "price": "10.00", "payment": "10.00", "divide_order_fee": "10.00", "title": "%3$s"}]}}}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07}', '{WAIT_BUYER_PAY,WAIT_SELLER_SEND_GOODS}'),
    ('youzan order', 'youzan', 'shop_order', '{"data": {"full_order_info": {"order_info": {"tid": "E20251111000000000000005", "update_time": "%1$s", "status": "%2$s", "created": "2025-11-11 00:00:00", "pay_time": "2025-11-11 00:00:05", "refund_state": 0},
        "orders": [{"oid": "1", "num": 1, "price": "10.00", "payment": "10.00", "title": "%3$s"}], "pay_info": {"total_fee": "10.00", "post_fee": "0.00", "payment": "10.00", "real_payment": "10.00"}, "remark_info": {"trade_memo": "%3$s"}}}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07}', '{WAIT_BUYER_PAY,WAIT_SELLER_SEND_GOODS}'),
    ('doudian order', 'doudian', 'shop_order', '{"data": {"shop_order_detail": {"order_id": "6", "update_time": %1$s, "main_status": %2$s, "order_status": 2, "create_time": 1762790400, "pay_time": 1762790405, "order_amount": 1000, "pay_amount": 1000, "post_amount": 0, "seller_words": "%3$s",
        "sku_order_list": [{"order_id": "6", "main_status": %2$s, "item_num": 1, "origin_amount": 1000, "pay_amount": 1000, "product_name": "%3$s"}]}}}', '{1762790406,1762790407}', '{2,3}'),
    ('pdd order', 'pdd', 'shop_order', '{"order_info_get_response": {"order_info": {"order_sn": "251111-000000000000005", "updated_at": "%1$s", "order_status": %2$s, "confirm_status": 1, "refund_status": 1, "created_time": "2025-11-11 00:00:00", "pay_time": "2025-11-11 00:00:05", "pay_amount": 10.0, "goods_amount": 10.0, "postage": 0.0, "remark": "%3$s",
        "item_list": [{"sku_id": 1, "goods_count": 1, "goods_price": 10.0, "goods_name": "%3$s"}]}}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07}', '{1,2}'),
    ('jd order', 'jd', 'shop_order', '{"jingdong_pop_order_search_responce": {"searchorderinfo_result": {"orderInfoList": [{"orderId": "284500000005", "modified": "%1$s", "orderState": "%2$s", "orderStartTime": "2025-11-11 00:00:00", "paymentConfirmTime": "2025-11-11 00:00:05", "orderTotalPrice": "10.00", "orderPayment": "10.00", "freightPrice": "0.00", "venderRemark": "%3$s",
        "itemInfoList": [{"skuId": "1", "jdPrice": "10.00", "itemTotal": "1", "skuName": "%3$s"}]}]}}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07}', '{WAIT_SELLER_STOCK_OUT,WAIT_GOODS_RECEIVE_CONFIRM}'),
    ('wxshop order', 'wxshop', 'shop_order', '{"order": {"order_id": "3719", "update_time": %1$s, "status": %2$s, "create_time": 1762790400, "order_detail": {"pay_info": {"pay_time": 1762790405}, "price_info": {"product_price": 1000, "order_price": 1000, "freight": 0}, "ext_info": {"merchant_notes": "%3$s"},
        "product_infos": [{"sku_id": "1", "sku_cnt": 1, "sale_price": 1000, "real_price": 1000, "title": "%3$s"}]}}}', '{1762790406,1762790407}', '{20,30}'),
    ('taobao refund', 'taobao', 'refund', '{"refund_get_response": {"refund": {"refund_id": "9", "tid": 5, "oid": 5, "refund_version": %1$s, "status": "%2$s", "refund_fee": "1.00", "dispute_type": "%3$s", "created": "2025-11-11 00:00:00", "modified": "2025-11-11 00:00:00"}}}', '{1762790406000,1762790407000,1762790408000}', '{WAIT_SELLER_AGREE,SUCCESS,CLOSED}'),
    ('youzan refund', 'youzan', 'refund', '{"data": {"refund_id": "9", "tid": "E20251111000000000000005", "oid": "1", "version": %1$s, "status": "%2$s", "refund_fee": "1.00", "refund_type": "%3$s", "created": "2025-11-11 00:00:00"}}', '{1762790406000,1762790407000,1762790408000}', '{WAIT_SELLER_AGREE,SUCCESS,CLOSED}'),
    ('doudian refund', 'doudian', 'refund', '{"data": {"items": [{"aftersale_info": {"aftersale_id": "9", "related_id": "6", "update_time": %1$s, "aftersale_status": %2$s, "refund_amount": 100, "aftersale_type": "%3$s"}, "order_info": {"shop_order_id": "6"}}]}}', '{1762790406,1762790407,1762790408}', '{6,12,28}'),
    ('pdd refund', 'pdd', 'refund', '{"refund_increment_get_response": {"refund_list": [{"id": 9, "order_sn": "251111-000000000000005", "updated_time": "%1$s", "after_sales_status": %2$s, "refund_amount": "1.00", "after_sales_type": "%3$s"}]}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07,2025-11-11 00:00:08}', '{2,10,11}'),
    ('wxshop refund', 'wxshop', 'refund', '{"after_sale_order": {"after_sale_order_id": "9", "order_id": "3719", "update_time": %1$s, "status": "%2$s", "type": "%3$s", "refund_info": {"amount": 100}}}', '{1762790406,1762790407,1762790408}', '{MERCHANT_PROCESSING,MERCHANT_REFUND_SUCCESS,USER_CANCELD}'),
    ('tmallsc ticket', 'tmallsc', 'platform_ticket', '{"tmall_servicecenter_workcard_query_response": {"result": {"result_data": {"data_list": {"workcard_d_t_o": [{"id": 7, "gmt_modify": "%1$s", "status_code": %2$s, "gmt_create": "2025-11-11 00:00:00", "service_definition": {"service_code": "%3$s"}}]}}}}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07}', '{4,5}'),
    ('zendesk ticket', 'zendesk', 'platform_ticket', '{"ticket": {"id": 7, "updated_at": "%1$s", "status": "%2$s", "created_at": "2025-11-11T00:00:00Z", "subject": "%3$s"}}', '{2025-11-11T00:00:06Z,2025-11-11T00:00:07Z}', '{open,solved}'),
    ('sobot ticket', 'sobot', 'platform_ticket', '{"item": {"ticketId": "7", "ticketCode": 7, "updateTime": %1$s, "ticketStatus": %2$s, "createTime": 1762790400000, "ticketTitle": "%3$s"}}', '{1762790406000,1762790407000}', '{3,98}'),
    ('udesk ticket', 'udesk', 'platform_ticket', '{"contents": [{"id": 7, "updated_at": "%1$s", "status": "%2$s", "created_at": "2025-11-11 00:00:00 +0800", "subject": "%3$s"}]}', '{2025-11-11 00:00:06 +0800,2025-11-11 00:00:07 +0800}', '{open,resolved}'),
    ('weiban ticket', 'weiban', 'platform_ticket', '{"work_order": {"order_no": "7", "updated_at": %1$s, "status": %2$s, "created_at": 1762790400, "title": "%3$s"}}', '{1762790406,1762790407}', '{1,3}'),
    ('kf5 ticket', 'kf5', 'platform_ticket', '{"request": {"id": 7, "updated_at": "%1$s", "status": "%2$s", "created_at": "2025-11-11 00:00:00", "title": "%3$s"}}', '{2025-11-11 00:00:06,2025-11-11 00:00:07}', '{open,solved}');
-- 1 older, 2 current, 3 the same again, 4 another of its second, 5 later and not to be heard
CREATE TABLE public.shape AS
SELECT t.what, t.platform, s.n, format(t.template, t.version[s.version], t.status[s.version], s.word)::jsonb AS body
FROM public.thing AS t
CROSS JOIN (VALUES (1, 1, 'first'), (2, 2, 'second'), (3, 2, 'second'), (4, 2, 'other'), (5, 3, 'later')) AS s (n, version, word)
WHERE s.version <= cardinality(t.version);
CREATE TABLE public.arrival AS
WITH RECURSIVE way AS (
    SELECT t.what, 0 AS length, '{}'::int[] AS shapes FROM public.thing AS t
    UNION ALL
    SELECT w.what, w.length + 1, w.shapes || s.n FROM way AS w JOIN public.shape AS s USING (what) WHERE s.n <> ALL (w.shapes)
)
SELECT what, array_to_string(shapes, '') AS shop, shapes FROM way AS w WHERE length = (SELECT count(*) FROM public.shape AS s WHERE s.what = w.what);

SELECT settle.create_book('alone'), settle.create_book('together') \g /dev/null
INSERT INTO together.staging (platform, shop, payload)
SELECT s.platform, a.shop, s.body FROM public.arrival AS a CROSS JOIN LATERAL unnest(a.shapes) WITH ORDINALITY AS u (n, place) JOIN public.shape AS s USING (what, n) ORDER BY u.place, a.shop;
SELECT settle.ingest('together') \g /dev/null
DO $$
BEGIN
    FOR place IN 1 .. 5 LOOP
        INSERT INTO alone.staging (platform, shop, payload) SELECT s.platform, a.shop, s.body FROM public.arrival AS a JOIN public.shape AS s ON s.what = a.what AND s.n = a.shapes[place];
        PERFORM settle.ingest('alone');
    END LOOP;
END
$$;
CREATE TABLE public.ending (what text, way text, shop text, version timestamptz, tied boolean, body jsonb);
SELECT format($$INSERT INTO public.ending SELECT %1$L, %2$L, shop, version, tied, to_jsonb(r) - '{shop,staging_id}'::text[] || jsonb_build_object('lines', (SELECT jsonb_agg(to_jsonb(l) - 'shop') FROM %2$I.order_line AS l WHERE l.platform = r.platform AND l.shop = r.shop))
    FROM %2$I.%3$I AS r WHERE platform = %4$L$$, t.what, b.way, t.entity, t.platform)
FROM public.thing AS t CROSS JOIN unnest('{alone,together}'::text[]) AS b (way) \gexec

SELECT is((SELECT string_agg(format('%s %s %s', kind, state, reason), E'\n') FROM (SELECT * FROM alone.staging UNION ALL SELECT * FROM together.staging) AS s WHERE state = 'quarantined'), NULL, 'all of them can be read');
SELECT is((SELECT jsonb_object_agg(what, n) FROM (SELECT what, count(*) AS n FROM public.ending GROUP BY what) AS e),
    (SELECT jsonb_object_agg(what, CASE entity WHEN 'refund' THEN 240 ELSE 48 END) FROM public.thing), 'every order of arrival ends somewhere');
SELECT is((SELECT string_agg(what, ', ') FROM (SELECT what FROM public.ending GROUP BY what HAVING count(DISTINCT body) > 1) AS e), NULL, 'and of each kind all of them end alike');
SELECT is((SELECT string_agg(DISTINCT what, ', ') FROM public.ending WHERE NOT tied), NULL, 'knowing that there was another of that second');
SELECT is((SELECT string_agg(DISTINCT what, ', ') FROM public.ending WHERE body ->> 'status' IS DISTINCT FROM 'success' AND what LIKE '%refund'), NULL, 'a refund that has succeeded stays so');
SELECT * FROM finish();
