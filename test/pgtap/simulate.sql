-- simulate: what a pack would have paid is what it pays once it is enabled.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT setseed(0.7) \g /dev/null

SELECT settle.create_book('shop') \g /dev/null
UPDATE shop.source SET on_delete = 'reverse';
UPDATE shop.book SET max_correction = NULL;
SELECT settle.add_decision('shop', 'place', fallback => '1'), settle.add_outcome('shop', 'place', $$ region = 'west' $$, '1.25') \g /dev/null
SELECT settle.add_rule('shop', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 5% to 1000, 8%', accumulate => 'month'),
    settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '10%', factors => '{place}'),
    settle.add_rule('shop', 'year', 'year', 'hq', 'club', base => 'amount', tiers => '1% to 5000, 2%', accumulate => 'year') \g /dev/null
CREATE PROCEDURE pg_temp.add(n int) LANGUAGE sql AS $$
    INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, dealer, amount)
        SELECT coalesce((SELECT max(ticket_id::int) FROM shop.ticket), 0) + i, '2025-09-01 00:00+08'::timestamptz + random() * interval '90 days', 'a', CASE WHEN random() < 0.3 THEN 'west'::ltree ELSE 'east' END,
            1 + floor(random() * 6), 1 + floor(random() * 20), round(random()::numeric * 900, 2) FROM generate_series(1, n) AS i
$$;
CALL pg_temp.add(300);
SELECT settle.run('shop') \g /dev/null
UPDATE shop.ticket SET amount = amount / 2 WHERE random() < 0.2;
UPDATE shop.ticket SET done_at = NULL WHERE random() < 0.05;
SELECT settle.run('shop') \g /dev/null

-- what stands, as simulate says it: the rest of tallies with their tickets
CREATE VIEW paid AS
    SELECT regexp_replace(component, '\.retier$', '') AS component, payee, coalesce(corrects_period, period) AS month, unit, sum(amount) AS amount
    FROM shop.line_detail GROUP BY 1, 2, 3, 4;
CREATE TABLE simulated (component text, payee text, month date, unit text, posted numeric, simulated numeric, difference numeric);
CREATE FUNCTION pg_temp.approve(pack text) RETURNS void LANGUAGE sql AS $$
    UPDATE shop.pack SET state = 'submitted', submitted_by = 'maker', digest = settle._pack_digest('shop', pack) WHERE pack = $1;
    UPDATE shop.pack SET state = 'approved', approved_by = 'checker' WHERE pack = $1;
$$;

----------------------------------------------------------------------------------------------------
-- A pack that changes nothing; whole months
----------------------------------------------------------------------------------------------------
SELECT settle.add_pack('shop', 'empty') \g /dev/null
INSERT INTO simulated SELECT * FROM settle.simulate('shop', '2025-01-01 00:00+08', '2026-01-01 00:00+08', 'empty');
SELECT is_empty('SELECT * FROM simulated WHERE posted <> simulated OR difference <> 0', 'what does not change is shown as it is');
SELECT set_eq('SELECT component, payee, month, unit, posted FROM simulated WHERE posted <> 0', 'SELECT * FROM paid WHERE amount <> 0', 'and is what stands');
SELECT set_eq($$ SELECT * FROM settle.simulate('shop', '2025-01-01 00:00+08', '2026-01-01 00:00+08', 'base') $$, 'TABLE simulated', 'and so is what is in force anyway');

SELECT settle.add_pack('shop', 'winter', $$ region = 'west' $$, ends => '{fee,bonus}') \g /dev/null
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '12%', factors => '{place}', pack => 'winter'),
    settle.add_rule('shop', 'bonus', 'bonus', 'hq', 'team:{worker}', base => 'amount', tiers => '4% to 800, 9%', accumulate => 'month', pack => 'winter'),
    settle.add_rule('shop', 'heat', 'heat', 'hq', 'staff:{worker}', base => '5', pack => 'winter') \g /dev/null
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT max(sheet_id) FROM shop.sheet), (SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM shop.tally_state AS t), (SELECT count(*) FROM shop.party), (SELECT count(*) FROM shop.run), (SELECT count(*) FROM shop.pending), (SELECT last_value FROM shop.run_run_id_seq))
$$;
SELECT pg_temp.state() AS before \gset
TRUNCATE simulated;
INSERT INTO simulated SELECT * FROM settle.simulate('shop', '2025-10-01 00:00+08', '2026-01-01 00:00+08', 'winter');
SELECT is(pg_temp.state(), :'before', 'nothing is written');
SELECT is((SELECT digest IS NULL AND state = 'draft' FROM shop.pack WHERE pack = 'winter'), true, 'a draft is enough');
SELECT is_empty('SELECT * FROM simulated WHERE simulated <> posted + difference', 'the difference is between the two');
SELECT ok(count(*) > 0, 'parties that the book does not know are named') FROM simulated WHERE payee LIKE 'team:%' AND posted = 0 AND simulated > 0;
SELECT is_empty($$ SELECT month FROM simulated WHERE month < '2025-10-01' $$, 'tickets from before stay outside');
CREATE TABLE before AS SELECT * FROM paid;
SELECT pg_temp.approve('winter'), settle.enable_pack('shop', 'winter', '2025-10-01 00:00+08') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT set_eq('SELECT component, payee, month, unit, simulated FROM simulated WHERE simulated <> 0', 'SELECT * FROM paid WHERE month >= ''2025-10-01'' AND amount <> 0', 'enabled from then on, the run makes what was simulated');
SELECT set_eq('SELECT component, payee, month, unit, difference FROM simulated WHERE difference <> 0',
    'SELECT component, payee, month, unit, coalesce(p.amount, 0) - coalesce(b.amount, 0) FROM paid AS p FULL JOIN before AS b USING (component, payee, month, unit) WHERE coalesce(p.amount, 0) <> coalesce(b.amount, 0)',
    'and moves the differences');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- A yearly tally, a part of a month, a closed month, a change that is pending
----------------------------------------------------------------------------------------------------
SELECT settle.add_pack('shop', 'club', ends => '{year}') \g /dev/null
SELECT settle.add_rule('shop', 'year', 'year', 'hq', 'club', base => 'amount', tiers => 'volume 1% to 5000, 3%', accumulate => 'year', pack => 'club') \g /dev/null
TRUNCATE simulated;
INSERT INTO simulated SELECT * FROM settle.simulate('shop', NULL, NULL, 'club');
DROP TABLE before;
CREATE TABLE before AS SELECT * FROM paid;
SELECT pg_temp.approve('club'), settle.enable_pack('shop', 'club', '2025-01-01 00:00+08') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT is((SELECT sum(difference) FROM simulated), (SELECT sum(amount) FROM paid) - (SELECT sum(amount) FROM before), 'all time, a yearly tally: so much money moves');
SELECT is_empty('SELECT component, payee, month, unit, simulated FROM simulated WHERE simulated <> 0 EXCEPT SELECT * FROM paid', 'to whom and for which month');

INSERT INTO shop.period (period, state, changed_by) VALUES ('2025-09-01', 'closed', 'test');
UPDATE shop.ticket SET amount = amount + 100 WHERE ticket_id::int % 10 = 0;
CALL pg_temp.add(20);
SELECT settle.add_pack('shop', 'more') \g /dev/null
SELECT settle.add_rule('shop', 'warm', 'heat', 'hq', 'staff:{worker}', base => '1', applies_when => $$ region = 'east' $$, pack => 'more') \g /dev/null
TRUNCATE simulated;
INSERT INTO simulated SELECT * FROM settle.simulate('shop', '2025-09-10 00:00+08', NULL, 'more');
DROP TABLE before;
CREATE TABLE before AS SELECT * FROM paid;
SELECT is((SELECT sum(amount) FROM settle.plan('shop')) <> (SELECT sum(difference) FROM simulated), true, 'what is pending is part of it, and the pack''s tickets beside it');
UPDATE shop.ticket SET amount = amount WHERE done_at >= '2025-09-10 00:00+08';
SELECT pg_temp.approve('more'), settle.enable_pack('shop', 'more', '2025-09-10 00:00+08', reach_back => true) \g /dev/null
DELETE FROM shop.pending AS p USING shop.ticket AS t WHERE t.ticket_id = p.ticket_key AND t.done_at < '2025-09-10 00:00+08';
SELECT settle.run('shop') \g /dev/null
SELECT set_eq('SELECT component, payee, month, unit, difference FROM simulated WHERE difference <> 0',
    'SELECT component, payee, month, unit, coalesce(p.amount, 0) - coalesce(b.amount, 0) FROM paid AS p FULL JOIN before AS b USING (component, payee, month, unit) WHERE coalesce(p.amount, 0) <> coalesce(b.amount, 0)',
    'from the tenth of a closed month: the months are the tickets'' own');

----------------------------------------------------------------------------------------------------
-- Errors
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT * FROM settle.simulate('shop', NULL, NULL, 'summer') $$, '42704', 'pack "summer" does not exist', 'a pack that is none');
SELECT throws_ok($$ SELECT * FROM settle.simulate('shop', NULL, NULL, NULL) $$, '22004', 'pack is null', 'no pack');
SELECT throws_ok($$ SELECT * FROM settle.simulate(NULL, NULL, NULL, 'more') $$, '22004', 'book is null', 'no book');
SELECT throws_ok($$ SELECT * FROM settle.simulate('shop', '2025-10-01', '2025-10-01', 'more') $$, '22023', 'a time span must end after it begins', 'a span of nothing');
CREATE ROLE simulate_nobody;
SET ROLE simulate_nobody;
SELECT throws_ok($$ SELECT * FROM settle.simulate('shop', NULL, NULL, 'more') $$, '42501', 'permission denied for book "shop"', 'a stranger sees nothing');
RESET ROLE;
DROP ROLE simulate_nobody;

SELECT * FROM finish();
