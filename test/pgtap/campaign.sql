-- Campaigns: names that are one, the order of evidence, dates, what is ambiguous
-- or unknown, gifts, and what is told when an alias changes.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

-- names
SELECT is(settle.normalize_text(written), one, written) FROM (VALUES
    ('双十一特惠价', '双11特惠价'), ('11.11特惠价', '双11特惠价'), ('11·11 特惠价', '双11特惠价'), ('１１．１１特惠价', '双11特惠价'), ('1111特惠价', '双11特惠价'), ('【双11】特惠价', '双11特惠价'), ('双 １１（特惠价）', '双11特惠价'), ('双11·11特惠价', '双11特惠价'),
    ('11・11特惠价', '双11特惠价'), ('双十二', '双12'), ('12.12', '双12'), ('六一八年中', '618年中'), ('6.18年中', '618年中'), ('6·18 年中', '618年中'), ('ＡＢＣ Shop', 'abcshop'), ('满二十五减十', '满25减10'), ('九十九元', '99元'), ('二十', '20'),
    ('9.9包邮', '9.9包邮'), ('20251111', '20251111'), ('2025.11.11', '2025.11.11'), ('11.115', '11.115'), ('111.11', '111.11'), ('A·B', 'ab'), ('ÉT É', 'ÉtÉ'), ('', '')) AS v (written, one);
SELECT is(settle.normalize_text(NULL), NULL, 'nothing is no name');
SELECT is(settle.normalize_text(settle.normalize_text(t)), settle.normalize_text(t), 'once is enough: ' || t) FROM unnest('{11.11狂欢价 跨店满减,双十一11.11,六一八6.18,(双)(11),十十一,1·1}'::text[]) AS t;
SELECT is((SELECT concat(provolatile, proparallel) FROM pg_proc WHERE oid = 'settle.normalize_text(text)'::regprocedure), 'is', 'immutable, parallel safe');
CREATE COLLATION turkish (provider = icu, locale = 'tr');
SELECT is(settle.normalize_text('TITLE I' COLLATE turkish), 'titlei', 'whatever the collation says of an I');

SELECT settle.create_book('shop') \g /dev/null
CREATE FUNCTION public.land(order_no text, paid timestamp, promotions jsonb DEFAULT '[]', memo text DEFAULT NULL, platform text DEFAULT 'taobao', created timestamp DEFAULT NULL, step text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.shop_order (platform, shop, order_no, lifecycle, paid_at, created_at, presale_step, seller_memo, payable_amount, version, precedence, tied, flags, staging_id)
    VALUES (platform, '', order_no, 'paid', paid AT TIME ZONE 'Asia/Shanghai', coalesce(created, paid) AT TIME ZONE 'Asia/Shanghai', step, memo, 100, now(), '1', false, '{}', 1);
    INSERT INTO shop.order_line (platform, shop, order_no, line_no, position, unit_price, line_paid, is_gift)
    VALUES (platform, '', order_no, 'a', 1, 60, 60, false), (platform, '', order_no, 'b', 2, 35, 35, NULL), (platform, '', order_no, 'gift', 3, 0, 0.00, NULL), (platform, '', order_no, 'present', 4, 9, 1, true);
    INSERT INTO shop.promotion (platform, shop, order_no, position, kind, title, promotion_ref, line_no)
    SELECT platform, '', order_no, n, 'promotion', p ->> 0, p ->> 1, p ->> 2 FROM jsonb_array_elements(promotions) WITH ORDINALITY AS p (p, n);
    PERFORM settle.work('shop', 'links'), settle.work('shop', 'campaigns');
END $$;
CREATE FUNCTION public.campaign_of(which text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', c.campaign, c.amount) FROM shop.order_campaign AS c WHERE c.order_no = which $$;

SELECT settle.add_campaign('shop', 'd11-2023', '[2023-10-24 00:00+08,2023-11-12 00:00+08)'), settle.add_campaign('shop', 'd11-2024', '[2024-10-24 00:00+08,2024-11-12 00:00+08)', 'double eleven'), settle.add_campaign('shop', 'club', '[2023-01-01,2025-01-01)') \g /dev/null
SELECT settle.add_campaign_alias('shop', c, '双十一特惠价'), settle.add_campaign_alias('shop', c, '11.11狂欢价', 'prefix') FROM unnest('{d11-2023,d11-2024}'::text[]) AS c \g /dev/null
SELECT settle.add_campaign_alias('shop', 'club', '会员日'), settle.add_campaign_alias('shop', 'club', '^会员.*双11$', 'pattern'), settle.add_campaign_alias('shop', 'club', 'tool-7', 'promotion_ref'), settle.add_campaign_alias('shop', 'club', '双11特惠价', 'prefix', platform => 'jd', priority => 5) \g /dev/null
SELECT public.land('1', '2023-11-11 00:01', '[["双11特惠价"]]'), public.land('2', '2023-11-11 00:01', '[["１１．１１狂欢价 跨店满减"]]'), public.land('3', '2024-11-11 00:01', '[["11·11狂欢价"]]'), public.land('4', '2023-11-12 00:00', '[["双11特惠价"]]'),
    public.land('5', '2023-11-11 23:59:59', '[["双十一特惠价", null, "a"]]'), public.land('6', '2023-11-11 00:01', '[["双11特惠价", "tool-7"]]'), public.land('7', '2023-11-11 00:01', '[["会员专享双11"], ["双11狂欢价满减"]]'),
    public.land('8', '2023-11-11 00:01', '[["会员日"], ["双11特惠价"]]'), public.land('9', '2023-11-11 00:01', '[["双11特惠价", null, "gift"], ["双11特惠价", null, "present"]]'), public.land('10', '2023-11-11 00:01', '[["双11满减"]]'),
    public.land('11', NULL, '[["双11特惠价"]]', created => '2023-11-11 00:01'), public.land('12', '2023-11-11 00:01', '[["双11特惠价"]]', platform => 'jd'), public.land('13', '2023-11-11 00:01', memo => '11.11狂欢价 老客'), public.land('14', '2023-11-11 00:01') \g /dev/null
SELECT is(public.campaign_of('1') || ', ' || public.campaign_of('2'), 'd11-2023 95.00, d11-2023 95.00', '双十一特惠价 and 11.11狂欢价 are one campaign, gifts not counted');
SELECT is(public.campaign_of('3'), 'd11-2024 95.00', 'the same name is another campaign in another year');
SELECT is(public.campaign_of('4'), NULL, 'and none a second after its end');
SELECT is(public.campaign_of('5'), 'd11-2023 60.00', 'a promotion of one line concerns this line');
SELECT is(public.campaign_of('6'), 'club 95.00', 'the number of a promotion goes before its name');
SELECT is(public.campaign_of('7'), 'd11-2023 95.00', 'how a name begins before a pattern');
SELECT is(public.campaign_of('8'), NULL, 'two campaigns claim it alike: neither has it');
SELECT is(public.campaign_of('9'), NULL, 'what a gift came with tells nothing');
SELECT is(concat(public.campaign_of('10'), public.campaign_of('11'), public.campaign_of('14')), '', 'an unknown name, an unpaid order, none at all');
SELECT is(public.campaign_of('12'), 'd11-2023 95.00', 'exact before prefix, whatever its priority');
SELECT is(public.campaign_of('13'), NULL, 'memos are not read');
UPDATE shop.book SET campaign_memo = true;
SELECT is(public.campaign_of('13'), 'd11-2023 95.00', 'but where the book says so');
UPDATE shop.book SET campaign_memo = false;

-- for people
SELECT results_eq($$ SELECT problem, platform, title, orders, amount, candidates, suggested FROM shop.campaign_review ORDER BY problem, title COLLATE "C" $$, $$ VALUES
    ('ambiguous', 'taobao', '会员日', 1::bigint, 95.00, '{club,d11-2023}'::text[], NULL::text[]),
    ('ambiguous', 'taobao', '双11特惠价', 1, 95.00, '{club,d11-2023}', NULL),
    ('unknown', 'taobao', '双11满减', 1, 95.00, NULL, '{d11-2023}'),
    ('unknown', 'taobao', '双11特惠价', 1, 95.00, NULL, NULL) $$, 'names, their orders and amounts');
SELECT results_eq($$ SELECT sum(orders), sum(amount), sum(without_campaign), sum(ambiguous) FROM shop.campaign_share WHERE day = '2023-11-11' $$, $$ VALUES (11::numeric, 1045.00, 380.00, 95.00) $$, 'what was sold on a day, and what of it is in no campaign');
SELECT is((SELECT share_without FROM shop.campaign_share WHERE day = '2024-11-11'), 0.0000, 'none of it');
SELECT is((SELECT share_without FROM shop.campaign_share WHERE day = '2023-11-12'), 1.0000, 'or all');

-- a suggestion counts once somebody accepts it
INSERT INTO shop.campaign_alias (campaign, text, source) VALUES ('d11-2023', '双11满减', 'suggested');
SELECT is(public.campaign_of('10'), NULL, 'what a program suggests counts for nothing');
SELECT settle.accept_campaign_alias('shop', 'd11-2023', '11.11满减', 'the sales plan') \g /dev/null
SELECT is(public.campaign_of('10'), 'd11-2023 95.00', 'until it is accepted');
SELECT is((SELECT count(*) || ' ' || min(source) FROM shop.campaign_alias WHERE name = '双11满减'), '1 human', 'it is the same alias');
SELECT is((SELECT reason FROM shop.change WHERE table_name = 'campaign_alias' ORDER BY change_id DESC LIMIT 1), 'the sales plan', 'the journal knows why');
-- what is ambiguous is decided by a priority
SELECT settle.add_campaign_alias('shop', 'club', '会员日', priority => 1) \g /dev/null
SELECT is(public.campaign_of('8'), 'club 95.00', 'the higher priority');

-- presales
SELECT public.land('20', '2023-11-20 10:00', '[["双11特惠价"]]', created => '2023-10-24 20:00', step => 'final_paid'), public.land('21', '2023-11-20 10:00', '[["双11特惠价"]]', created => '2023-10-24 20:00') \g /dev/null
SELECT is(public.campaign_of('20'), NULL, 'a presale counts when it is paid');
UPDATE shop.book SET campaign_presale = 'deposit';
SELECT is(public.campaign_of('20'), 'd11-2023 95.00', 'or when its deposit was, as the book says');
SELECT is(public.campaign_of('21'), NULL, 'which is of presales alone');
UPDATE shop.shop_order SET deposit_at = '2023-10-23 20:00+08' WHERE order_no = '20';
SELECT is(public.campaign_of('20'), NULL, 'by the time that the platform gives it');

-- who has to look again
DELETE FROM shop.order_changed;
SELECT settle.add_campaign_alias('shop', 'd11-2023', '双11狂欢价满减') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT order_no) FROM shop.order_changed), '{7}', 'orders with the name of a new alias');
DELETE FROM shop.order_changed;
SELECT settle.add_campaign('shop', 'd11-2024', '[2024-10-24 00:00+08,2024-11-11 00:00+08)') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT order_no) FROM shop.order_changed), '{3}', 'or of a campaign that was on when they were paid');
DELETE FROM shop.order_changed;
DELETE FROM shop.campaign_alias WHERE match = 'promotion_ref';
SELECT is((SELECT array_agg(DISTINCT order_no) FROM shop.order_changed), '{6}', 'or with an alias that is gone');

-- errors
SELECT throws_ok($$ SELECT settle.add_campaign('shop', NULL, '(,)') $$, '22004', 'a campaign and its dates must be given');
SELECT throws_ok($$ SELECT settle.add_campaign('shop', 'x', 'empty') $$, '23514', NULL, 'dates without a day');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'moon', 'x') $$, '42704', 'book "shop" has no campaign "moon"');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', 'x', 'like') $$, '22023', 'unknown match "like"');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', ' 【】 ') $$, '22023', '" 【】 " is no name');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', NULL) $$, '22004', 'an alias needs a campaign, a text, a match, a priority and dates');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', '(', 'pattern') $$, '2201B', 'pattern "(" is no regular expression');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', '(a|b)\1', 'pattern') $$, '2201B', 'pattern "(a|b)\1" refers back to what it has matched');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', '.*', 'pattern') $$, '22023', 'pattern ".*" matches an empty text');
SELECT throws_ok($$ SELECT settle.add_campaign_alias('shop', 'club', '***=x', 'pattern') $$, '2201B', 'pattern "***=x" begins with a director');
SELECT throws_ok($$ SELECT settle.accept_campaign_alias('shop', 'club', 'x', '') $$, '22004', 'an alias that is accepted needs a reason');

-- in every order of aliases and orders the views say the same: a second book, the other way round
SELECT settle.create_book('again') \g /dev/null
INSERT INTO again.shop_order SELECT * FROM shop.shop_order;
INSERT INTO again.order_line SELECT * FROM shop.order_line;
INSERT INTO again.promotion SELECT * FROM shop.promotion ORDER BY order_no DESC;
SELECT settle.work('again', 'links'), settle.work('again', 'campaigns') \g /dev/null
UPDATE again.book SET campaign_presale = 'deposit';
INSERT INTO again.campaign SELECT * FROM shop.campaign;
INSERT INTO again.campaign_alias (campaign, match, text, platform, valid, priority, source) SELECT campaign, match, text, platform, valid, priority, source FROM shop.campaign_alias ORDER BY alias_id DESC;
SELECT is_empty($$ (TABLE again.order_campaign EXCEPT TABLE shop.order_campaign) UNION ALL (TABLE shop.order_campaign EXCEPT TABLE again.order_campaign) $$, 'orders first or aliases first');
SELECT is_empty($$ SELECT * FROM settle.check('again') $$, 'all invariants hold');

DROP FUNCTION public.land(text, timestamp, jsonb, text, text, timestamp, text), public.campaign_of(text);
SELECT * FROM finish();
