-- Orders change in every order of arrival, and their tickets end alike.
--
-- A pool of payloads (versions of orders, refunds, duplicates, payloads of the
-- same second) is landed once as it came to be, with one tick at the end, and
-- then in random orders, with ticks in between and a month that closes on the
-- way.  Tickets, and what their lines come to in the months they are of, are the
-- same.
--
--     psql -v seeds=17,18 -v orders=200 -f test/pgtap/order_random.sql
--
-- A case that fails names its seed.
\set ON_ERROR_STOP on
\if :{?seeds} \else \set seeds 3,20261123,7 \endif
\if :{?orders} \else \set orders 40 \endif
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();

CREATE TABLE public.pool (payload_id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, payload jsonb);
SELECT setseed(0.42) \g /dev/null
-- each order goes some steps of the way from ordered to finished or closed, and sometimes through a presale
INSERT INTO public.pool (payload)
SELECT jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object(
        'tid', '88' || o.n, 'seller_nick', 'corner', 'created', '2025-11-03 09:00:00', 'modified', to_char(timestamp '2025-11-03 09:00' + s.step * interval '1 day' - CASE WHEN o.n % 7 = 0 AND s.step = 3 THEN interval '1 day' ELSE interval '0' END, 'YYYY-MM-DD HH24:MI:SS'),
        'status', CASE s.step WHEN 1 THEN 'WAIT_BUYER_PAY' WHEN 2 THEN 'WAIT_SELLER_SEND_GOODS' WHEN 3 THEN 'WAIT_BUYER_CONFIRM_GOODS' ELSE CASE WHEN o.n % 5 = 0 THEN 'TRADE_CLOSED' ELSE 'TRADE_FINISHED' END END,
        'o2o_guide_id', 'G' || (o.n + s.step) % 3, 'total_fee', o.goods::text, 'post_fee', '8.00', 'payment', (o.goods + 8)::text, 'seller_memo', CASE WHEN s.step = 3 AND o.n % 3 = 0 THEN 'void' END,
        'orders', jsonb_build_object('order', jsonb_build_array(
            jsonb_build_object('oid', '88' || o.n || '1', 'num', 1, 'price', '60.00', 'payment', '60.00', 'divide_order_fee', '60.00', 'refund_status', 'NO_REFUND', 'title', 'fan'),
            jsonb_build_object('oid', '88' || o.n || '2', 'num', 1, 'price', (o.goods - 60)::text, 'payment', (o.goods - 60)::text, 'divide_order_fee', (o.goods - 60)::text, 'refund_status', 'NO_REFUND', 'title', 'lamp'))))
        || CASE WHEN s.step > 1 THEN '{"pay_time": "2025-11-04 10:00:00"}' ELSE '{}'::jsonb END
        || CASE WHEN s.step = 4 THEN '{"end_time": "2025-11-07 12:00:00"}' ELSE '{}'::jsonb END
        || CASE WHEN o.n % 4 = 0 AND s.step < 3 THEN jsonb_build_object('step_trade_status', CASE s.step WHEN 1 THEN 'FRONT_PAID_FINAL_NOPAID' ELSE 'FRONT_PAID_FINAL_PAID' END, 'step_paid_fee', CASE s.step WHEN 1 THEN '20.00' ELSE (o.goods + 8)::text END, 'pay_time', '2025-11-03 09:30:00') ELSE '{}'::jsonb END))
FROM (SELECT n, 100 + round(random()::numeric * 100, 2) AS goods, 1 + floor(random() * 4)::int AS steps FROM generate_series(1, :orders) AS n) AS o
CROSS JOIN LATERAL generate_series(1, o.steps) AS s (step);
-- refunds of a line, of the whole order, of orders that never come; asked for, refused or paid, in two versions
INSERT INTO public.pool (payload)
SELECT jsonb_build_object('refund_get_response', jsonb_build_object('refund', jsonb_strip_nulls(jsonb_build_object(
    'refund_id', 'r' || r.n, 'tid', '88' || r.of_order, 'oid', CASE r.kind WHEN 0 THEN '88' || r.of_order || '1' WHEN 1 THEN '88' || r.of_order || '2' END, 'seller_nick', 'corner',
    'status', CASE WHEN v.version = 1 THEN 'WAIT_SELLER_AGREE' WHEN r.n % 6 = 0 THEN 'CLOSED' ELSE 'SUCCESS' END, 'refund_fee', r.amount::text, 'refund_version', 1764000000000 + v.version,
    'created', '2025-11-20 08:00:00', 'modified', '2025-11-2' || v.version || ' 10:00:00', 'dispute_type', CASE WHEN r.n % 9 = 0 THEN 'TMALL_EXCHANGE' ELSE 'REFUND' END))))
FROM (SELECT n, 1 + floor(random() * (:orders + 3))::int AS of_order, floor(random() * 3)::int AS kind, round(random()::numeric * 70 + 1, 2) AS amount FROM generate_series(1, :orders) AS n) AS r
CROSS JOIN generate_series(1, 2) AS v (version);
INSERT INTO public.pool (payload) SELECT payload FROM public.pool WHERE random() < 0.15;

CREATE FUNCTION public.open_book(book name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle.create_book(book);
    PERFORM settle.set_staff_alias(book::text::regnamespace, 'taobao', 'corner', 'G' || n, (1000 + n)::text) FROM generate_series(1, 2) AS n;
    PERFORM settle.add_rule(book::text::regnamespace, 'share', 'share', 'hq', 'dealer:{details #>> ''{order,ticket}''}', base => 'amount', tiers => '5% to 1000, 8%', accumulate => 'month');
    PERFORM settle.add_rule(book::text::regnamespace, 'flat', 'flat', 'hq', 'dealer:flat', base => '1', tiers => '100%', applies_when => 'amount > 0');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'sale', $r$paid > 0 AND lifecycle <> 'closed'$r$, amount => 'net_paid', ready => 'paid_at', valid => '(,)');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'void', $r$seller_memo = 'void'$r$, 'cancel', valid => '(,)');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'install', $r$title = 'lamp' AND lifecycle IN ('paid', 'shipped', 'completed')$r$, ticket => 'install', amount => 'paid', ready => 'completed_at', valid => '(,)');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'less', $r$refunded > 30$r$, 'correct', ticket => 'install', amount => 'net_paid', valid => '(,)');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'freight', $r$net_paid > 0 AND lifecycle = 'completed'$r$, part => 'order', ticket => 'freight', amount => 'net_paid', ready => 'completed_at', valid => '(,)');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'aftersale', $r$known_order AND refund_status <> 'closed'$r$, part => 'refund', ticket => 'aftersale', amount => 'refunded', ready => 'refunded_at', valid => '(,)');
    PERFORM settle.add_order_ticket_rule(book::text::regnamespace, 'orphan', $r$NOT known_order$r$, part => 'refund', ticket => 'orphan', amount => 'net_paid', ready => 'refunded_at', valid => '(,)');
END $$;
CREATE FUNCTION public.result(book name) RETURNS TABLE (what text, key text, value text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT 'ticket', t.ticket_id, concat_ws(' ', t.order_ref, t.opened_at, coalesce(t.done_at::text, 'open'), t.project, t.region, t.channel, t.worker, t.amount, t.details)
        FROM %1$I.ticket AS t JOIN %1$I.sold_ticket AS k ON k.ticket_id = t.ticket_id WHERE NOT k.cancelled
        UNION ALL
        SELECT 'lines', concat_ws(' ', coalesce(l.corrects_period, l.period), l.payee), sum(l.amount)::text FROM %1$I.line_detail AS l GROUP BY 2 HAVING sum(l.amount) <> 0
        UNION ALL
        SELECT 'flat', concat_ws(' ', l.ticket_key, coalesce(l.corrects_period, l.period)), sum(l.amount)::text FROM %1$I.line_detail AS l WHERE l.component = 'flat' GROUP BY 2 HAVING sum(l.amount) <> 0
        UNION ALL
        SELECT 'problem', p.ticket_key, p.message FROM %1$I.problem AS p
    $q$, book);
END $$;
CREATE FUNCTION public.differences(one name, other name) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', what, key, a.value, b.value), E'\n')
    FROM public.result(one) AS a FULL JOIN public.result(other) AS b USING (what, key) WHERE a.value IS DISTINCT FROM b.value $$;

SELECT public.open_book('afresh') \g /dev/null
INSERT INTO afresh.staging (platform, payload) SELECT 'taobao', payload FROM public.pool ORDER BY payload_id;
CALL settle.tick('afresh');
SELECT ok((SELECT count(DISTINCT k.ticket) = 5 FROM afresh.sold_ticket AS k) AND (SELECT count(*) FROM afresh.line_detail) > :orders, 'the pool makes tickets of every kind');
SELECT is((SELECT string_agg(concat_ws(' | ', invariant, object, detail), E'\n') FROM settle.check('afresh')), NULL, 'and all is well with them');

CREATE PROCEDURE public.play(seed int) LANGUAGE plpgsql AS $$
DECLARE
    parts int;
BEGIN
    DROP SCHEMA IF EXISTS played CASCADE;
    PERFORM public.open_book('played');
    PERFORM setseed((seed % 1000) / 1000.0);
    parts := 2 + floor(random() * 8)::int;
    CREATE TEMP TABLE hand ON COMMIT PRESERVE ROWS AS SELECT payload, floor(random() * parts)::int AS part, random() AS place FROM public.pool;
    FOR round IN 0 .. parts - 1 LOOP
        INSERT INTO played.staging (platform, payload) SELECT 'taobao', h.payload FROM hand AS h WHERE h.part = round ORDER BY h.place;
        COMMIT;
        IF round = parts - 1 OR random() < 0.7 THEN
            CALL settle.tick('played');
        END IF;
        IF round = parts / 2 AND seed % 2 = 1 THEN
            PERFORM settle.close_period('played', '2025-11-01', 'on the way');
        END IF;
        COMMIT;
    END LOOP;
    DROP TABLE hand;
END $$;
SELECT format('CALL public.play(%s)', seed),
    format('SELECT is(public.differences(''afresh'', ''played''), NULL, ''seed %s: the same tickets and lines'')', seed),
    format('SELECT is((SELECT string_agg(concat_ws('' | '', invariant, object, detail), chr(10)) FROM settle.check(''played'')), NULL, ''seed %s: all is well'')', seed)
FROM unnest(string_to_array(:'seeds', ',')) AS seed \gexec
SELECT * FROM finish();
