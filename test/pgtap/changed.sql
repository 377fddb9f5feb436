-- The queue of changed orders: who fills it, and how steps take from it; triggers
-- on the tables that settle.ingest writes.
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
-- what settle.ingest writes is noted as what a statement writes: the same triggers fire
CREATE FUNCTION public.land(orders int4range) RETURNS void LANGUAGE sql AS $$
    INSERT INTO queue.staging (platform, payload)
    SELECT 'taobao', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object('tid_str', (4400000000000000000 + n)::text, 'seller_nick', 'corner',
        'status', 'WAIT_SELLER_SEND_GOODS', 'created', '2025-11-11 10:00:00', 'modified', '2025-11-11 10:00:30', 'pay_time', '2025-11-11 10:00:29', 'payment', '10.00', 'post_fee', '0.00',
        'buyer_open_uid', 'u' || n, 'orders', '{"order": [{"oid_str": "4500000000000000001", "num": 1, "price": "10.00", "refund_status": "NO_REFUND"}]}'::jsonb)))
    FROM generate_series(lower(orders), upper(orders) - 1) AS n;
    SELECT settle.ingest('queue') $$;
-- both queues, which forget it
CREATE FUNCTION public.queued() RETURNS jsonb LANGUAGE sql AS $$
    WITH orders AS (DELETE FROM queue.order_changed RETURNING step, platform, shop, order_no), subjects AS (DELETE FROM queue.subject_changed RETURNING *)
    SELECT jsonb_build_array((SELECT jsonb_agg(to_jsonb(o) ORDER BY o.order_no) FROM orders AS o), (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.subject) FROM subjects AS s)) $$;
SELECT public.queued() \g /dev/null
SELECT public.land('[1, 1200]') \g /dev/null
SELECT public.queued() AS by_ingest \gset
CREATE TABLE public.orders AS SELECT * FROM queue.shop_order WHERE order_no LIKE '44%';
CREATE TABLE public.identities AS SELECT * FROM queue.customer_identity;
DELETE FROM queue.shop_order WHERE order_no LIKE '44%';
DELETE FROM queue.customer_identity;
SELECT public.queued() \g /dev/null
INSERT INTO queue.shop_order SELECT * FROM public.orders;
INSERT INTO queue.customer_identity SELECT * FROM public.identities;
SELECT is(jsonb_array_length(:'by_ingest'::jsonb -> 0) || ' ' || jsonb_array_length(:'by_ingest'::jsonb -> 1), '1200 1200', 'ingesting notes orders and subjects');
SELECT is(public.queued(), :'by_ingest'::jsonb, 'as a statement does that writes the same rows');

-- triggers of the user's own: what each saw, in order
CREATE TABLE public.fired (fired_id int GENERATED ALWAYS AS IDENTITY, name text, rows bigint, standing bigint);
CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        INSERT INTO public.fired (name, rows, standing) SELECT TG_NAME, 1, count(*) FROM queue.order_line AS l WHERE (l.platform, l.shop, l.order_no, l.line_no) = (NEW.platform, NEW.shop, NEW.order_no, NEW.line_no);
    ELSIF TG_WHEN = 'AFTER' THEN
        INSERT INTO public.fired (name, rows, standing) SELECT TG_NAME, count(*), count(l) FROM landed LEFT JOIN queue.order_line AS l USING (platform, shop, order_no, line_no);
    ELSE
        INSERT INTO public.fired (name) VALUES (TG_NAME);
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION public.seen() RETURNS text LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM public.fired RETURNING *), named AS (SELECT name, count(*) AS times, sum(rows) AS rows, sum(standing) AS standing, min(fired_id) AS first FROM gone GROUP BY name)
    SELECT string_agg(concat_ws(' ', name, times, rows, standing), ', ' ORDER BY first) FROM named $$;
CREATE TRIGGER before_all BEFORE INSERT ON queue.order_line FOR EACH STATEMENT EXECUTE FUNCTION public.fire();
CREATE TRIGGER after_each AFTER INSERT ON queue.order_line FOR EACH ROW WHEN (NEW.order_no LIKE '%7') EXECUTE FUNCTION public.fire();
CREATE TRIGGER after_all AFTER INSERT ON queue.order_line REFERENCING NEW TABLE AS landed FOR EACH STATEMENT EXECUTE FUNCTION public.fire();
SELECT public.land('[2001, 2600]') \g /dev/null
SELECT is(public.seen(), 'before_all 1, after_each 60 60 60, after_all 1 600 600', 'triggers of the user''s fire, and those that come after see the rows');
CREATE TRIGGER before_each BEFORE INSERT ON queue.order_line FOR EACH ROW EXECUTE FUNCTION public.fire();
SELECT public.land('[3001, 3010]') \g /dev/null
SELECT is(public.seen(), 'before_all 1, before_each 10 10 0, after_each 1 1 1, after_all 1 10 10', 'with one that may change a row, too');
DROP TRIGGER before_each ON queue.order_line;
ALTER TABLE queue.order_line DISABLE TRIGGER after_all;
ALTER TABLE queue.order_line ADD FOREIGN KEY (order_no, shop, platform) REFERENCES queue.shop_order DEFERRABLE;
SELECT public.land('[4001, 4010]') \g /dev/null
SELECT is(public.seen(), 'before_all 1, after_each 1 1 1', 'one that is disabled does not');
CREATE FUNCTION public.remove_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM queue.shop_order AS o USING added AS a WHERE o.order_no = a.order_no; RETURN NULL; END $$;
CREATE TRIGGER a_removes AFTER INSERT ON queue.shop_order REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.remove_order();
SELECT throws_ok($$ SELECT public.land('[5001, 5002]') $$, '23503', 'insert or update on table "order_line" violates foreign key constraint "order_line_order_no_shop_platform_fkey"', 'a foreign key is checked');
DROP TRIGGER a_removes ON queue.shop_order;
DELETE FROM queue.order_line;
ALTER TABLE queue.order_line ADD UNIQUE (line_no) DEFERRABLE;
SELECT throws_ok($$ SELECT public.land('[6001, 6002]') $$, '23505', 'duplicate key value violates unique constraint "order_line_line_no_key"', 'and uniqueness that waits for the end of the statement');
DROP TABLE public.orders, public.identities;
DROP FUNCTION public.land_order(text, text), public.land_refund(text, text, text), public.noted();
SELECT * FROM finish();
