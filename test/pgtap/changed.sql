-- The queue of changed orders: who fills it, and how steps take from it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('queue') \g /dev/null
CREATE FUNCTION public.land_order(shop text, order_no text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO queue.shop_order (platform, shop, order_no, lifecycle, version, precedence, tied, flags, staging_id)
    VALUES ('taobao', shop, order_no, 'paid', '2025-11-11', '1', false, '{}', 1)
    ON CONFLICT (platform, shop, order_no) DO UPDATE SET precedence = '2' $$;
CREATE FUNCTION public.land_refund(shop text, refund_no text, order_no text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO queue.refund (platform, shop, refund_no, order_no, status, version, precedence, tied, flags, staging_id)
    VALUES ('taobao', shop, refund_no, order_no, 'success', '2025-11-11', '1', false, '{}', 1)
    ON CONFLICT (platform, shop, refund_no) DO UPDATE SET order_no = excluded.order_no $$;
-- what stands in the queue for its first step, which forgets it
CREATE FUNCTION public.noted() RETURNS text LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM queue.order_changed RETURNING *)
    SELECT string_agg(DISTINCT shop || ' ' || order_no, ', ' ORDER BY shop || ' ' || order_no) FROM gone WHERE step = (settle._order_steps())[1] $$;

SELECT public.land_order('corner', 'A') \g /dev/null
SELECT is(public.noted(), 'corner A', 'an order that comes');
SELECT public.land_order('corner', 'A') \g /dev/null
SELECT is(public.noted(), 'corner A', 'one that changes');
SELECT public.land_refund('', 'R1', 'A') \g /dev/null
SELECT is(public.noted(), 'corner A', 'a refund, under the shop of its order where it names none itself');
SELECT public.land_refund('', 'R1', 'B') \g /dev/null
SELECT is(public.noted(), ' B, corner A', 'one that moves to another order changes both');
SELECT public.land_refund('corner', 'R2', NULL) \g /dev/null
SELECT is(public.noted(), 'corner R2', 'one that names no order stands for itself');
DELETE FROM queue.refund WHERE refund_no = 'R2';
SELECT is(public.noted(), 'corner R2', 'and one that goes');
UPDATE queue.refund SET shop = 'corner' WHERE false;
SELECT is(public.noted(), NULL, 'nothing has changed');

INSERT INTO queue.order_changed (step, platform, shop, order_no)
SELECT s, 'taobao', 'corner', n FROM unnest(settle._order_steps()) AS s, unnest('{A,A,B}'::text[]) AS n;
DO $$
DECLARE
    step text;
BEGIN
    DELETE FROM queue.order_changed WHERE order_changed.step <> (settle._order_steps())[1];
    FOREACH step IN ARRAY settle._order_steps() LOOP
        IF (SELECT string_agg(t.order_no, ' ' ORDER BY t.order_no) FROM settle._take_changed_orders('queue', step, 10) AS t) IS DISTINCT FROM 'A B' THEN
            RAISE 'step % did not get what changed', step;
        END IF;
    END LOOP;
END $$;
SELECT pass('each step takes an order once, after the one before it');
SELECT is((SELECT count(*) FROM queue.order_changed), 0::bigint, 'the last one passes it to nobody');
INSERT INTO queue.order_changed (step, platform, shop, order_no) SELECT 'orders', 'taobao', 'corner', n FROM unnest('{A,B,C}'::text[]) AS n;
SELECT is((SELECT count(*) FROM settle._take_changed_orders('queue', 'orders', 2)), 2::bigint, 'so many entries at most');
SELECT is((SELECT string_agg(order_no, ' ') FROM queue.order_changed WHERE step = 'orders'), 'C', 'the oldest first');
DROP FUNCTION public.land_order(text, text), public.land_refund(text, text, text), public.noted();
SELECT * FROM finish();
