-- Orders of every platform become tickets and lines: the samples of
-- test/payloads, and those in the folder that the environment variable
-- SETTLE_PAYLOADS names, else ../shared/connectors/samples.  Sums are compared
-- with those of the tables of orders and refunds, said once more in plain SQL.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
\getenv folder SETTLE_PAYLOADS
\if :{?folder} \else \set folder ../shared/connectors/samples \endif
\setenv SETTLE_PAYLOADS :folder
\set more `test -r "$SETTLE_PAYLOADS/manifest.json" && test/payloads/bundle "$SETTLE_PAYLOADS" || true`

CREATE SCHEMA payloads;
CREATE TABLE payloads.file (file text, body bytea NOT NULL);
CREATE TABLE payloads.expectation (n bigint, file text NOT NULL, outcome text NOT NULL, expect jsonb NOT NULL);
\set sample `test/payloads/bundle test/payloads/sample`
:sample
:more
SELECT settle.create_book('mall') \g /dev/null
SELECT settle.add_rule('mall', 'sale', 'sale', 'hq', 'shop:{channel}', base => 'amount', tiers => '100%') \g /dev/null
SELECT settle.add_order_ticket_rule('mall', 'paid', $$paid > 0 AND presale_step IS NULL$$, amount => 'net_paid', ready => 'paid_at') \g /dev/null
SELECT settle.add_order_ticket_rule('mall', 'presale', $$presale_step IS NOT NULL$$, amount => 'net_paid', ready => 'created_at') \g /dev/null
SELECT settle.add_order_ticket_rule('mall', 'rest', $$paid <> 0 OR refunded <> 0$$, part => 'order', ticket => 'rest', amount => 'net_paid', ready => 'created_at') \g /dev/null
SELECT settle.add_order_ticket_rule('mall', 'orphan', $$NOT known_order AND refunded > 0$$, part => 'refund', ticket => 'orphan', amount => 'net_paid', ready => 'refunded_at') \g /dev/null
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT file, split_part(file, '_', 1) AS platform, body FROM payloads.file ORDER BY md5(file) LOOP
        BEGIN
            INSERT INTO mall.staging (platform, payload) VALUES (f.platform, convert_from(f.body, 'UTF8')::jsonb);
        EXCEPTION WHEN data_exception THEN
            INSERT INTO mall.staging (platform, raw) VALUES (f.platform, f.body);
        END;
    END LOOP;
END $$;
CALL settle.tick('mall');

SELECT is((SELECT string_agg(concat_ws(' ', platform, order_no, message), E'\n') FROM mall.order_problem), NULL, 'no order is a problem');
SELECT is((SELECT string_agg(concat_ws(' ', ticket_key, message), E'\n') FROM mall.problem), NULL, 'no ticket is one');
SELECT is((SELECT string_agg(concat_ws(' | ', invariant, object, detail), E'\n') FROM settle.check('mall')), NULL, 'all is well');
SELECT cmp_ok((SELECT count(DISTINCT channel) FROM mall.ticket WHERE done_at IS NOT NULL), '>=', 3::bigint, 'tickets of several platforms');
CREATE TEMP VIEW refunded AS
SELECT o.platform, o.shop, o.order_no, coalesce(nullif(sum(r.effective_amount), 0), o.refund_hint_amount, CASE o.refund_hint WHEN 'full' THEN o.paid_amount END, 0) AS amount
FROM mall.shop_order AS o LEFT JOIN mall.refund AS r ON r.platform = o.platform AND r.order_no = o.order_no AND (r.shop = o.shop OR '' IN (r.shop, o.shop))
GROUP BY o.platform, o.shop, o.order_no;
SELECT is_empty($$
    SELECT o.platform, o.order_no, o.paid_amount - r.amount, t.amount
    FROM mall.shop_order AS o JOIN refunded AS r USING (platform, shop, order_no)
    LEFT JOIN (
        SELECT k.platform, k.shop, k.order_no, sum(t.amount) AS amount FROM mall.sold_ticket AS k JOIN mall.ticket AS t USING (ticket_id) WHERE NOT k.cancelled GROUP BY 1, 2, 3
    ) AS t USING (platform, shop, order_no)
    WHERE coalesce(o.paid_amount, 0) - r.amount <> coalesce(t.amount, 0) $$, 'tickets of an order amount to what was paid for it less what was paid back');
SELECT is_empty($$
    SELECT s.platform, s.order_no FROM mall.sold AS s GROUP BY s.platform, s.shop, s.order_no
    HAVING sum(s.net_paid) FILTER (WHERE s.known_order) <> min(s.order_paid - s.order_refunded) $$, 'so do the rows of what was sold');
SELECT is_empty($$
    SELECT platform, order_no, line_no, paid, refunded FROM mall.sold WHERE part = 'line' AND (refunded NOT BETWEEN 0 AND paid OR paid > line_paid) $$, 'no line has more back than was paid for it, nor more paid than it owes');
SELECT is((SELECT sum(l.amount) FROM mall.line_detail AS l),
    (SELECT coalesce(sum(o.paid_amount - r.amount), 0) FROM mall.shop_order AS o JOIN refunded AS r USING (platform, shop, order_no) WHERE coalesce(o.presale_step, '') NOT IN ('deposit_unpaid', 'deposit_paid'))
    - (SELECT coalesce(sum(r.effective_amount), 0) FROM mall.refund AS r WHERE NOT EXISTS (SELECT FROM mall.shop_order AS o WHERE o.platform = r.platform AND o.order_no = r.order_no AND (r.shop = o.shop OR '' IN (r.shop, o.shop)))),
    'lines come to all orders but those whose final instalment is due, less refunds without an order');
SELECT is_empty($$ SELECT k.ticket_id FROM mall.sold_ticket AS k JOIN mall.ticket AS t USING (ticket_id) JOIN mall.shop_order AS o USING (platform, shop, order_no)
    WHERE o.presale_step IN ('deposit_unpaid', 'deposit_paid') AND t.done_at IS NOT NULL $$, 'which earn nothing');
SELECT CASE WHEN :'more' = '' THEN skip('no samples in ' || :'folder', 1)
    ELSE cmp_ok((SELECT count(*) FROM mall.shop_order), '>', 30::bigint, 'the samples were read') END;
SELECT * FROM finish();
