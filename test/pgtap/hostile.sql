-- Payloads, names and rows that somebody has thought up to do harm: money that
-- is counted twice, a step that fails for ever, an erasure that takes more than
-- its person.  The book has a name that format() and quoting stumble over.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
SELECT settle.create_book('My "book" %s') \g /dev/null
\set book '''"My ""book"" %s"'''
SET search_path = "My ""book"" %s", public;

CREATE FUNCTION public.land(order_no text, line_no text, amount text DEFAULT '100.00', more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    INSERT INTO staging (platform, payload) SELECT 'taobao', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object(
        'tid', order_no, 'seller_nick', 'corner', 'status', 'TRADE_FINISHED', 'created', '2025-10-30 09:00:00', 'pay_time', '2025-10-30 09:01:00', 'end_time', '2025-11-08 12:00:00',
        'modified', '2025-11-08 12:00:00', 'total_fee', amount, 'post_fee', '0.00', 'payment', amount,
        'orders', jsonb_build_object('order', jsonb_build_array(jsonb_build_object('oid', line_no, 'num', 1, 'title', '空调', 'price', amount, 'payment', amount, 'divide_order_fee', amount, 'refund_status', 'NO_REFUND')))) || more)) $$;
CREATE FUNCTION public.land_refund(refund_no text, order_no text, shop text, amount numeric, status text, version bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO staging (platform, payload) SELECT 'taobao', jsonb_build_object('refund_get_response', jsonb_build_object('refund', jsonb_strip_nulls(jsonb_build_object(
        'refund_id', refund_no, 'tid', order_no, 'seller_nick', shop, 'status', status, 'refund_fee', amount::text, 'refund_version', version,
        'dispute_type', 'REFUND', 'modified', '2025-12-02 10:00:00', 'created', '2025-12-01 10:00:00')))) $$;
CREATE FUNCTION public.wrong() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' | ', invariant, object, detail), E'\n') FROM settle.check('"My ""book"" %s"') $$;
CREATE FUNCTION public.failures() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(step || ' ' || error, E'\n') FROM job WHERE failures > 0 $$;

SELECT settle.add_rule(:book, 'service', 'service', 'hq', 'staff:x', base => 'amount', tiers => '10%') \g /dev/null
SELECT settle.add_order_ticket_rule(:book, 'line', 'true', ticket => 'sale', amount => 'net_paid', ready => 'completed_at'),
    settle.add_order_ticket_rule(:book, 'order', 'true', ticket => 'sale', part => 'order', amount => 'net_paid', ready => 'completed_at'),
    settle.add_order_ticket_rule(:book, 'refund', 'true', ticket => 'aftersale', part => 'refund', amount => 'refunded', ready => 'refunded_at') \g /dev/null

-- Orders whose tickets would have the key of another
SELECT public.land('A', 'a'), public.land('X', 'order'), public.land('Y', 'a:b'), public.land('Y:a', 'b') \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT string_agg(order_no || ' ' || sqlstate, ', ' ORDER BY order_no COLLATE "C") FROM order_problem), 'X 23505, Y:a 23505', 'an order whose ticket has the key of another is a problem');
SELECT is((SELECT string_agg(ticket_id || ' ' || amount, ', ' ORDER BY ticket_id COLLATE "C") FROM ticket WHERE ticket_id LIKE 'taobao:corner:Y%'), 'taobao:corner:Y:a:b:sale 100.00, taobao:corner:Y:order:sale 0.00', 'and takes nothing from it');
SELECT is(public.failures(), NULL, 'no step fails');
SELECT is(public.wrong(), NULL, 'all is well');

-- One order that no error code was thought of for
CREATE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.order_ref LIKE 'bad%' THEN RAISE EXCEPTION USING ERRCODE = '54000', MESSAGE = 'too much'; END IF; RETURN NEW; END $$;
CREATE TRIGGER poison BEFORE INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION public.poison();
SELECT public.land('bad', 'b'), public.land('good', 'g') \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT sqlstate || ' ' || message FROM order_problem WHERE order_no = 'bad'), '54000 too much', 'an order that raises whatever it is stands aside');
SELECT is((SELECT amount FROM ticket WHERE ticket_id = 'taobao:corner:good:g:sale'), 100.00, 'and those beside it do not wait');
SELECT is(public.failures(), NULL, 'the step goes on');
DROP TRIGGER poison ON ticket;
SELECT settle.recompute_order(:book, 'taobao', 'corner', 'bad', 'the trigger is gone') \g /dev/null
SELECT is((SELECT amount FROM ticket WHERE ticket_id = 'taobao:corner:bad:b:sale'), 100.00, 'it is made once the cause is gone');
SELECT throws_ok(format('INSERT INTO product (title_pattern, project) VALUES (%L, ''ac'')', pattern), '23514', NULL, 'a pattern that no title can be compared with: ' || pattern) FROM unnest('{空调\\,\\,a\\\\\\}'::text[]) AS pattern;
SELECT lives_ok(format('INSERT INTO product (title_pattern, project) VALUES (%L, ''ac'')', pattern), 'one that can: ' || pattern) FROM unnest(ARRAY['空调\\', '100\%', E'a\nb']) AS pattern;

-- A refund that comes with its shop and without, in every order
SELECT public.land('R1', 'r1'), public.land('R2', 'r2'), public.land('R3', 'r3') \g /dev/null
SELECT public.land_refund('f1', 'R1', 'corner', 30, 'SUCCESS', 1764500000000), public.land_refund('f1', 'R1', NULL, 30, 'SUCCESS', 1764500000001),
    public.land_refund('f2', 'R2', NULL, 30, 'SUCCESS', 1764500000001), public.land_refund('f3', 'R3', 'corner', 30, 'SUCCESS', 1764500000000) \g /dev/null
CALL settle.tick(:book);
SELECT public.land_refund('f2', 'R2', 'corner', 30, 'WAIT_SELLER_AGREE', 1764500000002), public.land_refund('f3', 'R3', NULL, 40, 'SUCCESS', 1764500000001) \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT string_agg(concat_ws(' ', order_no, refunded_amount), ', ' ORDER BY order_no) FROM order_status WHERE order_no LIKE 'R_'), 'R1 30.00, R2 30.00, R3 40.00', 'a refund that came with its shop and without is one refund');
SELECT is((SELECT string_agg(concat_ws(' ', replace(ticket_id, 'taobao:corner:', ''), amount), ', ' ORDER BY ticket_id COLLATE "C") FROM ticket WHERE ticket_id LIKE 'taobao:corner:R_:%' AND ticket_id NOT LIKE '%order%'),
    'R1:r1:sale 70.00, R1:refund:f1:aftersale 30.00, R2:r2:sale 70.00, R2:refund:f2:aftersale 30.00, R3:r3:sale 60.00, R3:refund:f3:aftersale 40.00', 'and has one ticket');
SELECT public.land_refund('f4', 'R4', 'corner', 30, 'SUCCESS', 1764500000000) \g /dev/null
CALL settle.tick(:book);
SELECT public.land_refund('f4', 'R4', NULL, 30, 'SUCCESS', 1764500000001) \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT string_agg(concat_ws(' ', ticket_id, amount), ', ') FROM ticket WHERE ticket_id LIKE 'taobao:%:R4:%' AND done_at IS NOT NULL), 'taobao::R4:refund:f4:aftersale 30.00', 'one whose order is not there is ready once');
SELECT is(public.wrong(), NULL, 'all is well');

-- Columns, triggers and constraints of somebody's own
CREATE FUNCTION public.own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.order_no = 'refused' THEN RAISE EXCEPTION 'not here'; END IF; NEW.own := 'own'; RETURN NEW; END $$;
ALTER TABLE shop_order ADD COLUMN own text, ADD COLUMN shout text GENERATED ALWAYS AS (upper(order_no)) STORED, ADD CONSTRAINT own CHECK (order_no <> 'checked');
CREATE TRIGGER own BEFORE INSERT OR UPDATE ON shop_order FOR EACH ROW EXECUTE FUNCTION public.own();
SELECT public.land('own' || i, 'o') FROM generate_series(1, 60) AS i \g /dev/null
SELECT public.land('refused', 'o'), public.land('own61', 'o'), public.land('checked', 'o'), public.land('own62', 'o') \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT count(*) FROM shop_order WHERE own = 'own' AND shout LIKE 'OWN%'), 62::bigint, 'columns and triggers of somebody''s own are served');
SELECT is((SELECT string_agg(concat_ws(' ', reason, sqlstate, message), ', ' ORDER BY staging_id) FROM quarantine), 'error P0001 not here, error 23514 new row for relation "***"', 'and what they refuse is quarantined');
SELECT is((SELECT count(*) FROM staging WHERE state = 'new'), 0::bigint, 'all others are taken in');
ALTER TABLE shop_order DROP CONSTRAINT own;
DROP TRIGGER own ON shop_order;
SELECT applied, quarantined FROM settle.retry_quarantine(:book) \gset
SELECT is(:'applied'::text || ' ' || :'quarantined', '2 0', 'until nothing refuses it any more');

-- Numbers whose ticket would have a key that is too long to be settled
SELECT public.land(repeat('o', 500), repeat('l', 490)) \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT sqlstate FROM order_problem WHERE length(order_no) = 500), '23514', 'an order whose ticket could not be settled is a problem');
SELECT is(public.wrong(), NULL, 'all is well');
SELECT set_config('hostile.problems', (SELECT string_agg(order_no, ' ' ORDER BY order_no) FROM order_problem), false) \g /dev/null

-- Orders that have no lines, and amounts that leave no room for a sum, stop nobody else
SELECT public.land('none', 'n', more => '{"orders": {"order": []}}'), public.land('lost', 'l'), public.land('big', 'b', '999999999999999.99'), public.land('small', 's') \g /dev/null
SELECT public.land_refund('big' || i, 'big', 'corner', 999999999999999.99, 'SUCCESS', 1764500000000) FROM generate_series(1, 12) AS i \g /dev/null
CALL settle.tick(:book);
SELECT public.land('lost', 'l', more => '{"orders": {"order": []}, "modified": "2025-11-09 12:00:00"}') \g /dev/null
CALL settle.tick(:book);
SELECT is((SELECT string_agg(concat_ws(' ', replace(ticket_id, 'taobao:corner:', ''), amount), ', ' ORDER BY ticket_id COLLATE "C") FROM ticket WHERE done_at IS NOT NULL AND details #>> '{order,order_no}' = ANY ('{none,lost,big,small}') AND ticket_id NOT LIKE '%aftersale'),
    'big:b:sale 0.00, big:order:sale -10999999999999999.89, lost:order:sale 100.00, none:order:sale 100.00, small:order:sale 0.00, small:s:sale 100.00', 'an order without lines is of the part order, one paid back twelve times is below zero');
SELECT is((SELECT string_agg(order_no, ' ' ORDER BY order_no) FROM order_problem), current_setting('hostile.problems'), 'and none is a problem');
SELECT is((SELECT count(*) FROM problem WHERE ticket_key = 'taobao:corner:big:order:sale' AND sqlstate = '22003'), 1::bigint, 'what cannot be settled stands in problem');
SELECT is(public.failures(), NULL, 'no step fails');
SELECT is(public.wrong(), NULL, 'all is well');

-- A number that is longer than any id
INSERT INTO order_pattern (platform, pattern) VALUES ('taobao', '[0-9]+');
INSERT INTO staging (platform, payload) SELECT 'zendesk', jsonb_build_object('ticket', jsonb_build_object('id', 7, 'status', 'open', 'updated_at', '2025-11-14T05:00:00Z', 'subject', 'x',
    'description', string_agg(('x' || md5(i::text))::bit(32)::bigint::text, '' ORDER BY i))) FROM generate_series(1, 1500) AS i;
CALL settle.tick(:book);
SELECT is(public.failures(), NULL, 'no step fails');
SELECT is((SELECT state FROM ticket_link WHERE ticket_no = '7'), 'unlinked', 'it is the number of no order');

-- Words that programs write where they know nobody join nobody
INSERT INTO staging (platform, shop, payload) SELECT 'wxshop', 'sph1', jsonb_build_object('order', jsonb_build_object('order_id', word || n, 'status', 20, 'unionid', word, 'create_time', 1699754400, 'update_time', 1699754500))
FROM unnest('{0,000,NULL,None,undefined," ",-,o6_bm***,oU-real}'::text[]) AS word, generate_series(1, 2) AS n;
CALL settle.tick(:book);
SELECT is((SELECT string_agg(c.subjects, ', ') FROM (SELECT string_agg(subject, ' ' ORDER BY subject) AS subjects FROM subject_customer WHERE platform = 'wxshop' GROUP BY customer HAVING count(*) > 1) AS c),
    'wxshop:order:oU-real1 wxshop:order:oU-real2', 'two without a unionid are not one customer');

-- Whoever is erased chose his own name
SELECT public.land('E1', 'e1', more => '{"receiver_name": "order_no", "buyer_nick": "seller_nick", "receiver_mobile": "13900000001"}') \g /dev/null
SELECT public.land('E' || i, 'e' || i) FROM generate_series(2, 1005) AS i \g /dev/null
SELECT settle.ingest(:book) \g /dev/null
SELECT settle.send(:book, 'taobao', 'ship', 'E2', '{"order_no": "E2", "seller_nick": "corner"}') AS other, settle.send(:book, 'sms', 'text', '1', '{"to": "13900000001"}') AS his \gset
SELECT bodies, messages FROM settle.erase_person(:book, 'taobao:order:E1', 'letter 7') \gset
SELECT is(:'bodies'::text || ' ' || :'messages', '1 1', 'a name that stands in every payload takes none of them away, and no message');
SELECT is((SELECT string_agg(state || ' ' || payload, ', ' ORDER BY message_id) FROM outbox), 'waiting {"order_no": "E2", "seller_nick": "corner"}, dead {}', 'the message to him is given up, that about another one is not');
SELECT is(public.wrong(), NULL, 'all is well');

-- A few orders among many cost themselves alone
CALL settle.tick(:book);
ANALYZE;
-- what the session has read before may not be reported yet
\set read 'SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) AS read FROM pg_stat_xact_user_tables WHERE relid = ''order_line''::regclass'
BEGIN;
:read \gset before_
INSERT INTO order_changed (step, platform, shop, order_no) SELECT 'orders', 'taobao', 'corner', 'E' || i FROM generate_series(10, 19) AS i;
SELECT settle._tick_orders(:book) ->> 'orders' AS orders \gset
:read \gset after_
ROLLBACK;
SELECT is(:orders, 10, 'ten orders');
SELECT cmp_ok(:after_read - :before_read, '<', 60, 'of a thousand are found without reading the others');

SELECT * FROM finish();
