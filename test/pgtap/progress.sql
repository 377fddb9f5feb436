-- How far parties are: what they have earned by component, compared with their
-- lines; the next tier and what it brings, compared with a ticket that reaches
-- it; tallies of stores, several versions, modes without a next tier, ranks.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();

----------------------------------------------------------------------------------------------------
-- settle.next_tier
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.next(tiers settle.tiers, quantity numeric) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', 'from ' || trim_scale(tier_from), 'next ' || trim_scale(next_tier_at), trim_scale(next_rate), trim_scale(next_fee)) FROM settle.next_tier(tiers, quantity)
$$;
SELECT is(public.next(t::settle.tiers, q), said, format('%s of %s', q, t)) FROM (VALUES
    ('5% to 1000, 8% below 5000, 10% + 20 flat', 0, 'from 0 next 1000 0.08 50'),
    ('5% to 1000, 8% below 5000, 10% + 20 flat', 1000, 'from 0 next 1000 0.08 50'),
    ('5% to 1000, 8% below 5000, 10% + 20 flat', 1000.01, 'from 1000 next 5000 0.1 390'),
    ('5% to 1000, 8% below 5000, 10% + 20 flat', 4999.99, 'from 1000 next 5000 0.1 390'),
    ('5% to 1000, 8% below 5000, 10% + 20 flat', 5000, 'from 5000'),
    ('5% below 1000, 8%', -300, 'from 0 next 1000 0.08 50'),
    ('volume 3% to 10000, 5% + 20 flat below 50000, 8%', 9000, 'from 0 next 10000 0.05 520'),
    ('volume 3% to 10000, 5% + 20 flat below 50000, 8%', 10001, 'from 10000 next 50000 0.08 4000'),
    ('volume 10 flat below 5, 40 flat', 4, 'from 0 next 5 0 40'),
    ('5% to 1000, 8%; min 60', 10, 'from 0 next 1000 0.08 60'),
    ('volume 5% to 1000, 8%; max 70', 10, 'from 0 next 1000 0.08 70'),
    ('5% to 1000, 8%; first 100 free', 50, 'from 0 next 1100 0.08 50'),
    ('5% to 1000, 8%; first 100 free', 1200, 'from 1100'),
    ('2 each to 10, 3 each; divide by 60', 100, 'from 0 next 600 0.05 20'),
    ('interpolated 10 spread to 1000, 40 spread to 3000', 500, 'from 0 next 1000 0.02 10'),
    ('interpolated 10 spread to 1000, 40 spread to 3000', 2000, 'from 1000 next 3000 0 50'),
    ('10%', 7, 'from 0'),
    ('2 each to 10, 3 each; divide by 60 rounded up', 100, ''), ('package of 100 at 15 after 20', 50, ''), ('blocks_all 10 blocks of 100 at 1, blocks of 1000 at 0.5', 5, ''),
    ('percentage 1.3% + 2 flat', 5, ''), ('capacity 10 flat within (100), 30 flat within (any)', 5, '')) AS v(t, q, said);
-- the fee there is that of the least beyond the bound
CREATE TEMP TABLE scale AS
SELECT (kind || string_agg(format('%s%% + %s flat %s %s', 1 + (g * 7 + s) % 20, (g * s) % 3 * 5, CASE WHEN (g + s) % 2 = 0 THEN 'to' ELSE 'below' END, g * 100 + s % 50), ', ' ORDER BY g) || ', 30%' || options)::settle.tiers AS tiers
FROM generate_series(1, 20) AS s, generate_series(1, 4) AS g, unnest('{"","volume "}'::text[]) AS kind, unnest('{"","; min 20","; max 60","; first 30 free"}'::text[]) AS options GROUP BY s, kind, options;
SELECT is_empty($$ SELECT tiers, q, n.*, settle.fee(tiers, n.next_tier_at + 1e-9) FROM scale, generate_series(0, 500, 37) AS q, settle.next_tier(tiers, q) AS n
    WHERE abs(n.next_fee - settle.fee(tiers, n.next_tier_at + 1e-9)) > 1e-6 OR n.next_tier_at < q OR n.tier_from > q $$, 'in random scales the fee of the next tier is that just beyond its bound');

----------------------------------------------------------------------------------------------------
-- Progress
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('shop') \g /dev/null
SELECT settle.add_decision('shop', 'level', fallback => '1') \g /dev/null
SELECT settle.add_outcome('shop', 'level', $$level = 'senior'$$, '1.5') \g /dev/null
SELECT settle.add_rule('shop', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8% below 5000, 10% + 20 flat', accumulate => 'month', factors => '{level}'),
    settle.add_rule('shop', 'store', 'store', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% below 2000, 2.5% below 3000, 3%', accumulate => 'quarter', tally_by => 'store:{dealer}'),
    settle.add_rule('shop', 'count', 'count', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% below 4, 2%', measure => '1', accumulate => 'ever'),
    settle.add_rule('shop', 'call', 'call', 'hq', 'staff:{worker}', base => '30'),
    settle.add_rule('shop', 'points', 'points', 'hq', 'staff:{worker}', base => 'amount', tiers => '1%', unit => 'POINTS', rounding => 'down 1'),
    settle.add_rule('shop', 'tax', 'tax', 'staff:{worker}', 'tax:pit', base => 'c.call * 0.1') \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount, level) VALUES
    ('T1', '2025-11-03 10:00', 'a', 'b', '1', 's1', 800, 'junior'), ('T2', '2025-11-04 10:00', 'a', 'b', '1', 's1', 700, 'senior'),
    ('T3', '2025-11-05 10:00', 'a', 'b', '2', 's1', 100, 'junior'), ('T4', '2025-10-06 10:00', 'a', 'b', '2', 's2', 5000, 'junior');
SELECT settle.run('shop') \g /dev/null
CREATE FUNCTION public.of(who text, what text, month date DEFAULT '2025-11-01') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', p.tickets || ' tickets', p.amount, p.unit, p.rule_code, 'at ' || trim_scale(p.quantity), 'from ' || trim_scale(p.tier_from), 'next ' || trim_scale(p.next_tier_at),
        'missing ' || trim_scale(p.to_next_tier), trim_scale(p.next_rate), 'gain ' || p.next_gain, p.rank || ' of ' || p.ranked_of)
    FROM shop.progress AS p WHERE p.party = who AND p.component = what AND p.period = month
$$;
-- 800 at 1, 700 at 1.5: W / X = 1850 / 1500; F(5000) - F(1500) = 390 - 90
SELECT is(public.of('staff:1', 'commission'), '2 tickets 111.00 CNY commission at 1500 from 1000 next 5000 missing 3500 0.1 gain 370.00 1 of 2', 'a commission with factors');
SELECT is(public.of('staff:1', 'store'), '2 tickets 15.00 CNY store at 1600 from 0 next 2000 missing 400 0.025 gain 34.00 1 of 2', 'a tally of a store is the progress of whoever adds to it');
SELECT is(public.of('staff:2', 'store'), '1 tickets 1.00 CNY store at 1600 from 0 next 2000 missing 400 0.025 gain 34.00 2 of 2', 'of everybody alike');
SELECT is(public.of('staff:2', 'store', '2025-10-01'), '1 tickets 150.00 CNY store at 5000 from 3000 1 of 1', 'at the top nothing is missing');
SELECT is(public.of('staff:1', 'count'), '2 tickets 15.00 CNY count at 2 from 0 next 4 missing 2 0.02 gain 45.00 1 of 2', 'where tickets are counted, those to come weigh as those there are');
SELECT is(public.of('staff:2', 'count'), '1 tickets 1.00 CNY count at 2 from 0 next 4 missing 2 0.02 gain 153.00 2 of 2', 'what has no end is seen in every period');
SELECT is(public.of('staff:1', 'call'), '2 tickets 60.00 CNY call 1 of 2', 'what does not accumulate has no tiers to climb');
SELECT is(public.of('staff:1', 'points'), '2 tickets 15.00 POINTS points 1 of 2', 'another unit');
SELECT is(public.of('staff:1', 'tax'), '2 tickets -6.00 CNY tax 2 of 2', 'what one gives is negative');
-- what reaching it brings is what it brings
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount, level) VALUES ('T5', '2025-11-06 10:00', 'a', 'b', '3', 's1', 400, 'junior');
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT sum(amount) FROM shop.tally WHERE rule_code = 'store' AND owner = 'store:s1'), 16.00 + 34.00, 'the store has got there, and its tally owes as much more');
SELECT is(public.of('staff:3', 'store'), '1 tickets 34.00 CNY store at 2000 from 2000 next 3000 missing 1000 0.03 gain 40.00 1 of 3', 'the line of the ticket that has got there carries the step');
SELECT is(public.of('staff:1', 'store'), '2 tickets 15.00 CNY store at 2000 from 2000 next 3000 missing 1000 0.03 gain 40.00 2 of 3', 'and all of them see the next tier');

-- corrections: a ticket goes to another, one is cancelled, one is priced anew
UPDATE shop.ticket SET worker = '2' WHERE ticket_id = 'T2';
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id = 'T3';
UPDATE shop.ticket SET amount = 900 WHERE ticket_id = 'T1';
SELECT settle.run('shop') \g /dev/null
SELECT is(public.of('staff:1', 'call'), '1 tickets 30.00 CNY call 1 of 3', 'a ticket less');
SELECT is(public.of('staff:2', 'call'), '1 tickets 30.00 CNY call 1 of 3', 'one more and one less');
SELECT is(public.of('staff:1', 'points'), '1 tickets 9.00 POINTS points 1 of 3', 'priced anew it is the same ticket');
SELECT is(public.of('store:s1', 'store'), '0 tickets -30.00 CNY store at 2000 from 2000 next 3000 missing 1000 0.03 gain 40.00 1 of 1', 'what is due beyond the tickets is the store''s');
SELECT is((SELECT sum(amount) FROM shop.progress WHERE component = 'store' AND party <> 'hq' AND period = '2025-11-01'), 2000 * 0.025, 'together they have what the tally owes');
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id = 'T5';
SELECT settle.run('shop') \g /dev/null
SELECT is(public.of('staff:3', 'call'), '0 tickets 0.00 CNY call 3 of 3', 'nothing is left');

-- a new version of the rule
SELECT settle.end_rule('shop', 'commission', '2025-11-20 00:00') \g /dev/null
SELECT settle.add_rule('shop', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '20% to 950, 30%', accumulate => 'month', valid => '[2025-11-20 00:00+08,)') \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES ('T6', '2025-11-25 10:00', 'a', 'b', '1', 's1', 30);
SELECT settle.run('shop') \g /dev/null
SELECT is(public.of('staff:1', 'commission'), '2 tickets 51.00 CNY commission at 930 from 0 next 950 missing 20 0.3 gain 4.00 2 of 3', 'the tiers in force at the end of the month count');

-- in all periods and components it is the sum of the lines
SELECT set_eq('SELECT party, period, component, unit, amount, tickets FROM shop.progress', $$
    SELECT party, period, regexp_replace(component, '[.](retier|fx)$', ''), unit, sum(amount)::numeric(18,2) AS earned, sum(l.count)::bigint AS tickets
    FROM (SELECT s.period, r.component, coalesce(r.unit, s.currency) AS unit, side.party_id, side.amount, u.count
        FROM shop.sheet AS s, settle._unpack(s.lines) AS u, shop.rule AS r, LATERAL (VALUES (u.payee_id, u.amount), (u.payer_id, -u.amount)) AS side(party_id, amount) WHERE r.rule_id = u.rule_id) AS l
    JOIN shop.party USING (party_id) GROUP BY 1, 2, 3, 4 $$, 'progress is the sum of the lines');
-- a line counts while something of it stands
SELECT set_eq('SELECT party, component, unit, sum(tickets) FROM shop.progress GROUP BY 1, 2, 3', $$
    SELECT party, component, unit, count(*) FILTER (WHERE base <> 0 OR amount <> 0)::numeric
    FROM (SELECT party, regexp_replace(component, '[.](retier|fx)$', '') AS component, unit, CASE WHEN source <> 'tally' THEN sum(base) ELSE 0 END AS base, CASE WHEN source <> 'tally' THEN sum(l.amount) ELSE 0 END AS amount
        FROM shop.line_detail AS l, LATERAL (VALUES (payer), (payee)) AS p(party) GROUP BY party, 2, unit, source, ticket_key, rule_code, payer, payee, factor) AS t GROUP BY 1, 2, 3 $$, 'tickets are those of which lines stand');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'the book agrees with itself');

-- folded, in part and whole, it says the same; a wrong sum is found
CREATE TEMP TABLE waiting AS SELECT * FROM shop.progress;
SELECT settle._fold('shop', 3) \g /dev/null
SELECT ok(EXISTS (SELECT FROM shop.unfolded) AND EXISTS (SELECT FROM shop.party_total), 'a part is folded');
SELECT set_eq('SELECT * FROM shop.progress', 'SELECT * FROM waiting', 'and the same is said');
SELECT settle._fold('shop') \g /dev/null
SELECT ok(NOT EXISTS (SELECT FROM shop.unfolded), 'the rest is folded');
SELECT set_eq('SELECT * FROM shop.progress', 'SELECT * FROM waiting', 'and the same is said again');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'the sums are those of the lines');
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES ('T7', '2025-11-26 10:00', 'a', 'b', '3', 's2', 40);
UPDATE shop.ticket SET worker = '3' WHERE ticket_id = 'T2';
SELECT settle.run('shop') \g /dev/null
SELECT is(public.of('staff:3', 'call'), '2 tickets 60.00 CNY call 1 of 3', 'what waits is added');
SELECT is(public.of('staff:2', 'call'), '0 tickets 0.00 CNY call 3 of 3', 'or taken away');
BEGIN;
UPDATE shop.party_total SET tickets = tickets + 1 WHERE party_id = (SELECT party_id FROM shop.party WHERE party = 'staff:1') AND rule_id = (SELECT rule_id FROM shop.rule WHERE code = 'call') AND period = '2025-11-01';
SELECT format('%s: %s: %s', invariant, object, detail) AS found FROM settle.check('shop') \gset
ROLLBACK;
SELECT is(:'found'::text, 'totals of parties equal the lines of the sheets that are folded: staff:1 2025-11-01 call: totals 3 60.00, lines 2 60.00', 'one that is wrong is found');

-- ranks are for managers, and for staff where the book shows them
DROP ROLE IF EXISTS progress_one;
CREATE ROLE progress_one;
SELECT settle.grant_access('shop', 'progress_one', 'staff'), settle.grant_party('shop', 'staff:1', 'progress_one') \g /dev/null
SET ROLE progress_one;
CREATE TEMP TABLE mine AS SELECT * FROM shop.my_progress;
RESET ROLE;
SELECT is_empty('SELECT * FROM mine WHERE rank IS NOT NULL OR ranked_of IS NOT NULL', 'no rank');
SELECT set_eq('SELECT party, title, period, component, unit, tickets, amount, rule_code, quantity, tier_from, next_tier_at, to_next_tier, next_rate, next_gain FROM mine',
    $$ SELECT party, title, period, component, unit, tickets, amount, rule_code, quantity, tier_from, next_tier_at, to_next_tier, next_rate, next_gain FROM shop.progress WHERE party = 'staff:1' $$, 'otherwise the same row');
UPDATE shop.book SET show_rank = true;
SET ROLE progress_one;
CREATE TEMP TABLE ranked AS SELECT * FROM shop.my_progress;
RESET ROLE;
SELECT set_eq('SELECT * FROM ranked', $$ SELECT * FROM shop.progress WHERE party = 'staff:1' $$, 'with it, just the same');
-- of a party that is on most sheets no list is kept: it is found by runs
SELECT settle._fold('shop') \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount) SELECT 'M' || i, '2025-11-27 10:00', 'a', 'b', '1', 's1', 10 FROM generate_series(1, 1100) AS i;
SELECT settle.run('shop') \g /dev/null
SELECT ok(EXISTS (SELECT FROM shop.party_delta JOIN shop.party USING (party_id) WHERE party = 'staff:1' AND sheets IS NULL), 'staff:1 is on most');
SET ROLE progress_one;
CREATE TEMP TABLE many AS SELECT * FROM shop.my_progress;
CREATE TEMP TABLE items AS SELECT * FROM shop.my_items;
RESET ROLE;
SELECT set_eq('SELECT * FROM many', $$ SELECT * FROM shop.progress WHERE party = 'staff:1' $$, 'his progress while sheets wait');
SELECT set_eq('SELECT source, ticket_key, revision, line FROM items', $$ SELECT source, ticket_key, revision, line FROM shop.line_detail WHERE 'staff:1' IN (payer, payee) $$, 'and his items');
DROP OWNED BY progress_one CASCADE;
DROP ROLE progress_one;

-- what docs/progress.md shows is what the golden transcript has
\set page `cat docs/progress.md`
\set transcript `cat expected/report.out`
SELECT is_empty($$ SELECT shown FROM regexp_split_to_table($$ || quote_literal(:'page') || $$, E'\n') AS line, regexp_replace(substr(line, 5), ' *[|] *', '|', 'g') AS shown
    WHERE line LIKE '--  %' AND btrim(shown) <> ALL (regexp_split_to_array($$ || quote_literal(:'transcript') || $$, E'\n')) $$, 'docs/progress.md shows what came out');

-- every column says what it is
SELECT is_empty($$ SELECT a.attrelid::regclass, a.attname FROM pg_attribute AS a WHERE a.attrelid = ANY ('{shop.progress,shop.my_progress,shop.my_items,shop.my_statement,shop.my_statement_item}'::regclass[]) AND a.attnum > 0
    AND (col_description(a.attrelid, a.attnum) IS NULL OR a.atttypid <> ALL ('{text,date,numeric,bigint,timestamptz,integer}'::regtype[]) OR a.atttypid = 'numeric'::regtype AND a.atttypmod < 0) $$, 'plain types, with comments');
SELECT * FROM finish();
