-- Rows that take a ticket back, in part or whole: the ticket is settled as if
-- its amounts had been smaller from the start.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('shop') \g /dev/null
CREATE TABLE public.sale (id bigint PRIMARY KEY, refund_of bigint, at timestamptz, amount numeric(12,2), tax numeric(12,2), quantity int, worker int, note text);
CREATE INDEX ON public.sale (refund_of);
SELECT settle.add_source('shop', 'sale', 'sale', key => 'id', ready_at => 'at', revenue => 'amount', tax => 'tax', reverses => 'refund_of', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', source => 'sale', valid => '[2025-01-01,2025-11-10)') \g /dev/null
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '50%', source => 'sale', valid => '[2025-11-10,)') \g /dev/null
SELECT settle.add_rule('shop', 'piece', 'piece', 'hq', 'staff:{worker}', base => 'quantity', tiers => '2 each to 3, 4 each', accumulate => 'month', source => 'sale', applies_when => 'amount >= 100') \g /dev/null
CREATE FUNCTION pg_temp.run() RETURNS text LANGUAGE sql AS $$ SELECT format('%s tickets, %s, %s corrections, %s held, %s problems', tickets, amount, corrections, held, problems) FROM settle.run('shop') $$;
CREATE FUNCTION pg_temp.lines(name) RETURNS TABLE (ticket text, rule text, payee text, amount numeric) LANGUAGE sql AS $$
    SELECT ticket_key, rule_code, payee, sum(amount) FROM shop.line_detail WHERE source = $1 GROUP BY 1, 2, 3 HAVING sum(amount) <> 0 ORDER BY 1, 2, 3 $$;

----------------------------------------------------------------------------------------------------
-- One sale
----------------------------------------------------------------------------------------------------
INSERT INTO sale VALUES (1, NULL, '2025-11-02', 1000, 56.60, 3, 7);
SELECT is(pg_temp.run(), '1 tickets, 56.00, 0 corrections, 0 held, 0 problems', 'a sale');
-- its worker is nobody's, its note is text, what it has above zero counts for nothing
INSERT INTO sale VALUES (2, 1, '2025-12-24', -300, -16.98, -1, -1, 'refund'), (3, 1, '2025-12-24', NULL, 5, 0, 9, NULL);
SELECT is(pg_temp.run(), '1 tickets, -17.00, 1 corrections, 0 held, 0 problems', 'is taken back in part: 5 % of 300, and one piece of 2');
SELECT results_eq($$ SELECT * FROM pg_temp.lines('sale') $$, $$ VALUES ('1', 'fee', 'staff:7', 35.00), ('1', 'piece', 'staff:7', 4.00) $$, 'in its own tally, with the rule of its own time');
SELECT results_eq($$ SELECT sum(revenue), sum(tickets) FROM shop.sheet WHERE ticket_key = '1' $$, $$ VALUES (660.38, 1::bigint) $$, 'revenue less tax');
SELECT results_eq($$ SELECT owner, tickets, quantity::int, amount FROM shop.tally $$, $$ VALUES ('staff:7', 1::bigint, 2, 4.00) $$, 'the tally holds one ticket of two pieces');
SELECT is((SELECT count(*) FROM shop.sheet WHERE ticket_key IN ('2', '3')), 0::bigint, 'a row that takes back is no ticket');
SELECT is((SELECT sum(amount) FROM settle.explain('shop', 'sale', '1') WHERE kind = 'line'), 39.00, 'explain shows what is left');
INSERT INTO sale VALUES (4, 1, '2025-12-25', -200, 0, 0, 7);
SELECT is(pg_temp.run(), '1 tickets, -10.00, 1 corrections, 0 held, 0 problems', 'a second one adds up');
SELECT is(pg_temp.run(), '0 tickets, 0, 0 corrections, 0 held, 0 problems', 'nothing more');
UPDATE sale SET amount = -250 WHERE id = 4;
SELECT is(pg_temp.run(), '1 tickets, -2.50, 1 corrections, 0 held, 0 problems', 'it is changed');
UPDATE sale SET amount = 2000 WHERE id = 1;
SELECT is(pg_temp.run(), '1 tickets, 50.00, 1 corrections, 0 held, 0 problems', 'the sale is changed');
DELETE FROM sale WHERE id = 4;
SELECT is(pg_temp.run(), '1 tickets, 12.50, 1 corrections, 0 held, 0 problems', 'a deleted refund gives it back');
INSERT INTO sale VALUES (5, 1, '2025-12-26', -1700, 0, -2, 7);
SELECT is(pg_temp.run(), '1 tickets, -89.00, 1 corrections, 0 held, 0 problems', 'the rest');
SELECT is_empty($$ SELECT * FROM pg_temp.lines('sale') $$, 'leaves nothing');
UPDATE sale SET amount = -1700.01 WHERE id = 5;
SELECT is(pg_temp.run(), '0 tickets, 0, 0 corrections, 0 held, 1 problems', 'and a cent more');
SELECT results_eq($$ SELECT ticket_key, rule_code, sqlstate, message, detail FROM shop.problem $$,
    $$ VALUES ('1', 'reverses', 'ST009', 'rows take back more than ticket "1" had', 'Its revenue would be -0.01.') $$, 'is a problem');
DELETE FROM sale WHERE id = 5;
SELECT settle.run('shop') \g /dev/null
SELECT is_empty('TABLE shop.problem', 'until it is mended');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'check finds nothing');

----------------------------------------------------------------------------------------------------
-- A ticket that is not there
----------------------------------------------------------------------------------------------------
INSERT INTO sale VALUES (12, 11, '2025-11-05', -30, 0, 0, 7);
SELECT is(pg_temp.run(), '0 tickets, 0, 0 corrections, 0 held, 1 problems', 'the refund comes first');
SELECT results_eq($$ SELECT ticket_key, sqlstate, message, hint FROM shop.problem $$,
    $$ VALUES ('11', 'ST009', 'a row takes back ticket "11", which is not there', 'It is settled as soon as the ticket comes.') $$, 'and waits among the problems');
INSERT INTO sale VALUES (11, NULL, '2025-11-05', 90, 0, 0, 7);
SELECT is(pg_temp.run(), '1 tickets, 3.00, 0 corrections, 0 held, 0 problems', 'for its sale');
SELECT is_empty('TABLE shop.problem', 'which clears it');
INSERT INTO sale VALUES (13, NULL, '2025-11-05', 50, 0, 0, 8);
UPDATE sale SET refund_of = 13 WHERE id = 12;
SELECT is(pg_temp.run(), '2 tickets, 2.50, 1 corrections, 0 held, 0 problems', 'a refund that moves is noted for both');
SELECT results_eq($$ SELECT * FROM pg_temp.lines('sale') WHERE ticket IN ('11', '13') $$, $$ VALUES ('11', 'fee', 'staff:7', 4.50), ('13', 'fee', 'staff:8', 1.00) $$, 'the one has it back, the other less');
UPDATE sale SET refund_of = 12 WHERE id = 12;
SELECT is(pg_temp.run(), '1 tickets, 1.50, 1 corrections, 0 held, 1 problems', 'a row that takes itself back is no ticket');
UPDATE sale SET refund_of = NULL, amount = 30 WHERE id = 12;
SELECT is(pg_temp.run(), '1 tickets, 1.50, 0 corrections, 0 held, 0 problems', 'until it does not');
UPDATE sale SET refund_of = 13, amount = -30 WHERE id = 12;
SELECT is(pg_temp.run(), '2 tickets, -3.00, 2 corrections, 0 held, 0 problems', 'a settled ticket that becomes a refund is gone, as if deleted');
INSERT INTO sale VALUES (14, 12, '2025-11-06', -10, 0, 0, 7);
SELECT is(pg_temp.run(), '0 tickets, 0, 0 corrections, 0 held, 1 problems', 'nothing takes a refund back');
DELETE FROM sale WHERE id = 14;
DELETE FROM sale WHERE id = 13;
SELECT is(pg_temp.run(), '1 tickets, -1.00, 1 corrections, 0 held, 1 problems', 'the sale is deleted, its refund stands alone');
DELETE FROM sale WHERE id = 12;
SELECT settle.run('shop') \g /dev/null
SELECT is_empty('TABLE shop.problem', 'and goes');
UPDATE shop.source SET on_delete = 'hold' WHERE source = 'sale';
INSERT INTO sale VALUES (15, NULL, '2025-11-05', 50, 0, 0, 8), (16, 15, '2025-11-05', -20, 0, 0, 8);
SELECT settle.run('shop') \g /dev/null
DELETE FROM sale WHERE id = 15;
SELECT is(pg_temp.run(), '0 tickets, 0, 0 corrections, 1 held, 1 problems', 'a settled sale that is held');
SELECT is((SELECT sqlstate FROM shop.problem WHERE ticket_key = '15'), 'ST005', 'has vanished before all');
INSERT INTO sale VALUES (15, NULL, '2025-11-05', 50, 0, 0, 8);
SELECT settle.run('shop') \g /dev/null
SELECT is_empty('TABLE shop.problem', 'comes back');

----------------------------------------------------------------------------------------------------
-- Scans
----------------------------------------------------------------------------------------------------
ALTER TABLE sale DISABLE TRIGGER ALL;
INSERT INTO sale VALUES (21, 1, '2026-02-01', -100, 0, 0, 7), (22, 9999, '2026-02-02', -100, 0, 0, 7);
SELECT is_empty('TABLE shop.pending', 'nobody has noted these');
SELECT results_eq($$ SELECT object FROM settle.check('shop') WHERE invariant LIKE 'a row that reverses%' $$, $$ VALUES ('sale 9999') $$, 'check knows of a refund of nothing');
SELECT settle.rescan('shop', '2026-02-01', '2026-02-02') \g /dev/null
SELECT results_eq('SELECT ticket_key FROM shop.pending', $$ VALUES ('1') $$, 'a time span finds a refund by its own time');
SELECT is(pg_temp.run(), '1 tickets, -5.00, 1 corrections, 0 held, 0 problems', 'and settles its sale');
SELECT settle.rescan('shop') \g /dev/null
SELECT is(pg_temp.run(), '0 tickets, 0, 0 corrections, 0 held, 1 problems', 'a whole scan finds the other');
UPDATE sale SET amount = -200 WHERE id = 21;
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop', 1) \g /dev/null
CALL settle.run_all('shop', 1);
SELECT results_eq($$ SELECT amount FROM pg_temp.lines('sale') WHERE ticket = '1' AND rule = 'fee' $$, $$ VALUES (75.00) $$, 'small runs do it, too');
DELETE FROM sale WHERE id IN (21, 22);
ALTER TABLE sale ENABLE TRIGGER ALL;
ALTER TABLE sale ENABLE ALWAYS TRIGGER settle_shop_sale, ENABLE ALWAYS TRIGGER settle_shop_sale_all;
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT amount FROM pg_temp.lines('sale') WHERE ticket = '1' AND rule = 'fee' $$, $$ VALUES (85.00) $$, 'gone without a word they are gone');

----------------------------------------------------------------------------------------------------
-- Keys and columns of every type
----------------------------------------------------------------------------------------------------
-- numbers named by a text that may be anything
CREATE TABLE public.mixed (id int PRIMARY KEY, takes text, at timestamptz, small smallint, whole int, big bigint, price numeric);
SELECT settle.add_source('shop', 'mixed', 'mixed', key => 'id', ready_at => 'at', reverses => 'takes', revenue => 'price') \g /dev/null
SELECT settle.add_rule('shop', 'mixed', 'm', 'hq', 'p', base => 'small + whole + big + price', source => 'mixed') \g /dev/null
INSERT INTO mixed VALUES (1, NULL, '2025-11-11', 10, 10, 10, 10.5), (2, '1', NULL, -1, -2, -3, -4.5), (3, 'abc', NULL, -1, -2, -3, -4), (4, '99999999999999999999', NULL, 0, 0, 0, 0), (5, '9223372036854775808', NULL, 0, 0, 0, 0),
    (6, NULL, '2025-11-11', -32768, 1, 1, 1), (7, '6', NULL, -1, 0, 0, 0), (8, NULL, '2025-11-11', NULL, 1, 1, 1), (9, '8', NULL, -5, -1, 0, 0);
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT ticket, amount FROM pg_temp.lines('mixed') $$, $$ VALUES ('1', 30.00) $$, 'columns of every integer type; a refund needs no time');
SELECT results_eq($$ SELECT ticket_key, sqlstate FROM shop.problem WHERE source = 'mixed' ORDER BY ticket_key COLLATE "C" $$,
    $$ VALUES ('6', '22003'), ('8', 'ST004'), ('9223372036854775808', 'ST009'), ('99999999999999999999', 'ST009'), ('abc', 'ST009') $$,
    'what leaves the range of its type is a problem of the ticket, what is null stays null, and a name that is no number names nothing');
-- texts named by a number, through a partition whose columns stand in another order
CREATE TABLE public.bill (no text, takes bigint, at timestamptz, amount numeric) PARTITION BY LIST ((at IS NULL));
CREATE TABLE public.bill_open (amount numeric, at timestamptz, gone int, takes bigint, no text);
ALTER TABLE public.bill_open DROP COLUMN gone;
ALTER TABLE public.bill ATTACH PARTITION public.bill_open DEFAULT;
SELECT settle.add_source('shop', 'bill', 'bill', key => 'no', ready_at => 'at', reverses => 'nullif(takes, 0)', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('shop', 'bill', 'b', 'hq', 'p', base => 'amount', source => 'bill') \g /dev/null
INSERT INTO bill VALUES ('7', NULL, '2025-11-11', 10), ('x', 0, '2025-11-11', 20), ('y', 7, '2025-11-11', -4);
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT ticket, amount FROM pg_temp.lines('bill') $$, $$ VALUES ('7', 6.00), ('x', 20.00) $$, 'a text key named by an expression over a number');
-- through a view, which only scans see
CREATE VIEW public.paper AS SELECT 'v' || no AS no, 'v' || takes AS takes, at, amount FROM bill;
SELECT settle.add_source('shop', 'paper', 'paper', key => 'no', ready_at => 'at', reverses => 'takes', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('shop', 'paper', 'b', 'hq', 'p', base => 'amount', source => 'paper') \g /dev/null
UPDATE bill SET takes = NULL WHERE no = 'x';
SELECT settle.rescan('shop', source => 'paper') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT ticket, amount FROM pg_temp.lines('paper') $$, $$ VALUES ('v7', 6.00), ('vx', 20.00) $$, 'a view');

----------------------------------------------------------------------------------------------------
-- At commit
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('now', settle_on => 'commit') \g /dev/null
CREATE TABLE public.sold (id uuid PRIMARY KEY, takes uuid, at timestamptz, amount numeric);
SELECT settle.add_source('now', 'sold', 'sold', key => 'id', ready_at => 'at', reverses => 'takes', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('now', 'sold', 's', 'hq', 'p', base => 'amount', source => 'sold') \g /dev/null
INSERT INTO sold VALUES ('00000000-0000-0000-0000-00000000000A', NULL, '2025-11-11', 100);
INSERT INTO sold VALUES ('00000000-0000-0000-0000-00000000000B', '00000000-0000-0000-0000-00000000000A', NULL, -30);
SELECT is((SELECT sum(amount) FROM now.line_detail), 70.00, 'a refund is settled in its own transaction');
DELETE FROM sold WHERE takes IS NOT NULL;
SELECT is((SELECT sum(amount) FROM now.line_detail), 100.00, 'and its deletion');
SELECT is_empty($$ SELECT * FROM settle.check('now') $$, 'check finds nothing');

----------------------------------------------------------------------------------------------------
-- A random history, against the same sales settled with what was left of them
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('life') \g /dev/null
CREATE TABLE public.act (id int PRIMARY KEY, takes int, at timestamptz, amount numeric, quantity int, worker text);
CREATE TABLE public.net (LIKE public.act);
SELECT settle.add_source('life', 'act', 'act', key => 'id', ready_at => 'at', reverses => 'takes', revenue => 'amount', on_delete => 'reverse'),
    settle.add_source('life', 'net', 'net', key => 'id', ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('life', source || '_fee', 'fee', 'hq:' || source, source || ':{worker}', base => 'amount', tiers => '5% to 200, 8%', source => source::name),
    settle.add_rule('life', source || '_month', 'month', 'hq:' || source, source || ':{worker}', base => 'quantity', tiers => '1 each to 20, 3 each', accumulate => 'month', source => source::name, choice => 'all')
FROM unnest('{act,net}'::text[]) AS source \g /dev/null
CREATE PROCEDURE pg_temp.live(rounds int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(0.75);
    FOR round IN 1..rounds LOOP
        FOR i IN 1..(random() * 10)::int LOOP
            IF random() < 0.15 THEN
                DELETE FROM act WHERE id = (random() * 80)::int;
            ELSIF random() < 0.4 THEN
                INSERT INTO act SELECT 40 + (random() * 40)::int, (random() * 45)::int, '2025-11-11', -(random() * 20)::int, -(random() * 2)::int, 'nobody'
                ON CONFLICT (id) DO UPDATE SET takes = excluded.takes, amount = excluded.amount, quantity = excluded.quantity;
            ELSE
                INSERT INTO act SELECT (random() * 40)::int, NULL, timestamptz '2025-11-11' + (random() * 40)::int * interval '1 day', (random() * 400)::int, (random() * 9)::int, 'w' || (random() * 3)::int
                ON CONFLICT (id) DO UPDATE SET takes = NULL, at = excluded.at, amount = excluded.amount, quantity = excluded.quantity, worker = excluded.worker;
            END IF;
        END LOOP;
        PERFORM settle.run('life', CASE WHEN random() < 0.5 THEN 5 END);
    END LOOP;
    -- what takes back too much is held as it was before: here nothing may
    DELETE FROM act AS a WHERE takes IS NOT NULL AND (SELECT amount FROM act AS b WHERE b.id = a.takes) < (SELECT -sum(amount) FROM act AS c WHERE c.takes = a.takes);
END $$;
CALL pg_temp.live(150);
SELECT settle.run('life') \g /dev/null
INSERT INTO net SELECT a.id, NULL, a.at, a.amount + coalesce(r.amount, 0), a.quantity + coalesce(r.quantity, 0), a.worker
FROM act AS a LEFT JOIN (SELECT takes, sum(amount) AS amount, sum(quantity) AS quantity FROM act GROUP BY 1) AS r ON r.takes = a.id WHERE a.takes IS NULL;
SELECT settle.run('life') \g /dev/null
SELECT cmp_ok((SELECT count(*) FROM act WHERE takes IN (SELECT id FROM act)), '>', 10::bigint, 'there are refunds');
SELECT results_eq($$ SELECT ticket_key, sum(amount) FROM life.line_detail WHERE component = 'fee' AND source = 'act' GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY 1 $$,
    $$ SELECT ticket_key, sum(amount) FROM life.line_detail WHERE component = 'fee' AND source = 'net' GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY 1 $$, 'tickets are worth what was left of them');
SELECT results_eq($$ SELECT substr(owner, 4), period, tickets, quantity, amount FROM life.tally WHERE owner LIKE 'act%' AND tickets > 0 ORDER BY 1, 2 $$,
    $$ SELECT substr(owner, 4), period, tickets, quantity, amount FROM life.tally WHERE owner LIKE 'net%' AND tickets > 0 ORDER BY 1, 2 $$, 'and tallies hold it');
SELECT is_empty($$ SELECT * FROM settle.check('life') $$, 'check finds nothing');

----------------------------------------------------------------------------------------------------
-- What is refused
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.add_source('shop', 'bad', 'sale', key => 'id', ready_at => 'at', reverses => 't.key') $$, '22023', 'reverses of source "bad" uses more than its columns', 'reverses over mapped values');
SELECT throws_ok($$ SELECT settle.add_source('shop', 'bad', 'sale', key => 'id', ready_at => 'at', reverses => 'refunds') $$, '42703', 'name "refunds" is not known here', 'a column that is not there');
SELECT * FROM finish();
