-- Rows as they come: keys that compare equal and are not, columns added later,
-- rows, times and texts that cannot be settled.  Each is looked at alone, and
-- none stops a run.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

CREATE FUNCTION pg_temp.standing(book text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT string_agg(ticket_key || '' '' || amount, '', '' ORDER BY ticket_key COLLATE "C")
        FROM (SELECT ticket_key, sum(amount) AS amount FROM %I.line_detail GROUP BY 1) AS l WHERE amount <> 0', book) INTO result;
    RETURN result;
END $$;

-- A key is what its bytes are, whatever the column's collation or type takes for equal
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE visit (code text COLLATE any_case PRIMARY KEY, at timestamptz, amount numeric);
SELECT settle.create_book('visits') \g /dev/null
SELECT settle.add_source('visits', 'visit', 'visit', key => 'code', ready_at => 'at', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('visits', 'r', 'c', 'hq', 'p', base => 'amount', source => 'visit') \g /dev/null
INSERT INTO visit VALUES ('a1', '2025-11-03', 100), ('007', '2025-11-03', 7);
SELECT settle.run('visits') \g /dev/null
UPDATE visit SET code = 'A1' WHERE code = 'a1';
SELECT settle.run('visits') \g /dev/null
SELECT is(pg_temp.standing('visits'), '007 7.00, A1 100.00', 'a key in another case is another ticket, and the old one is gone');
SELECT settle.rescan('visits') \g /dev/null
SELECT settle.run('visits') \g /dev/null
SELECT is(pg_temp.standing('visits'), '007 7.00, A1 100.00', 'a scan says the same');
SELECT is_empty($$ SELECT * FROM settle.check('visits') $$, 'and so does the check');
UPDATE visits.source SET on_delete = 'ignore' WHERE source = 'visit';
DELETE FROM visit WHERE code = 'A1';
SELECT settle.run('visits') \g /dev/null
UPDATE visits.source SET on_delete = 'reverse' WHERE source = 'visit';
ALTER TABLE visit ALTER code TYPE integer USING code::integer;
INSERT INTO visits.pending SELECT s.source_id, k.key, false FROM visits.source AS s, (VALUES ('007'), ('7')) AS k(key) WHERE s.source = 'visit';
SELECT settle.run('visits') \g /dev/null
SELECT is(pg_temp.standing('visits'), '7 7.00, A1 100.00', 'a number that is spelled another way is another key');

-- A column that was added later has a value in old rows too
CREATE TABLE orders (id integer PRIMARY KEY, at timestamptz, amount numeric);
INSERT INTO orders VALUES (1, '2025-11-03', 100), (2, '2025-11-03', 200), (3, '2025-11-03', 300);
ALTER TABLE orders ADD COLUMN shop text NOT NULL DEFAULT 'S1';
SELECT settle.create_book('shops') \g /dev/null
SELECT settle.add_source('shops', 'orders', 'orders', key => $$ shop || '-' || id $$, ready_at => 'at', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('shops', 'r', 'c', 'hq', 'p', base => 'amount', source => 'orders') \g /dev/null
SELECT settle.rescan('shops') \g /dev/null
SELECT settle.run('shops') \g /dev/null
DELETE FROM orders WHERE id = 1;
UPDATE orders SET id = 20 WHERE id = 2;
SELECT settle.run('shops') \g /dev/null
SELECT is(pg_temp.standing('shops'), 'S1-20 200.00, S1-3 300.00', 'old rows that are deleted or change their key are noticed');
SELECT is_empty($$ SELECT * FROM settle.check('shops') $$, 'all figures agree');

-- Two rows of one key, in batches that are far apart
CREATE TABLE piece (id integer, at timestamptz, amount numeric);
INSERT INTO piece SELECT CASE WHEN i = 100000 THEN 1 ELSE i END, '2025-11-03', i FROM generate_series(1, 100000) AS i;
SELECT settle.create_book('pieces') \g /dev/null
SELECT settle.add_source('pieces', 'piece', 'piece', key => 'id', ready_at => 'at') \g /dev/null
SELECT settle.add_rule('pieces', 'r', 'c', 'hq', 'p', base => 'amount', source => 'piece') \g /dev/null
SELECT settle.rescan('pieces') \g /dev/null
SELECT is(tickets, 99999::bigint, 'all others are settled') FROM settle.run('pieces');
SELECT results_eq($$ SELECT ticket_key, sqlstate, message FROM pieces.problem $$,
    $$ VALUES ('1', 'ST006', 'two rows of source "piece" have the key "1"') $$, 'the two are a problem');
SELECT settle.rescan('pieces') \g /dev/null
SELECT is(ROW(tickets, corrections, problems)::text, '(0,0,1)', 'a scan says the same again') FROM settle.run('pieces');
SELECT is((SELECT sum(amount) FROM pieces.line_detail WHERE ticket_key = '1'), 1.00, 'and the first, which was settled before the second came, stays');
DELETE FROM piece WHERE id = 1 AND amount = 1;
SELECT settle.rescan('pieces') \g /dev/null
SELECT is(ROW(tickets, corrections, problems)::text, '(1,1,0)', 'once there is one row, it is the ticket') FROM settle.run('pieces');
SELECT is_empty($$ SELECT * FROM settle.check('pieces') $$, 'all figures agree');

-- The longest key, and one that is too long, of two rows each
CREATE TABLE long_piece (id text, at timestamptz, amount numeric, label integer);
INSERT INTO long_piece SELECT CASE i WHEN 1 THEN repeat('x', 1000) WHEN 60000 THEN repeat('x', 1000) WHEN 2 THEN repeat('y', 1001) WHEN 59999 THEN repeat('y', 1001) ELSE i::text END, '2025-11-03', 1, i
    FROM generate_series(1, 60000) AS i;
SELECT settle.create_book('long_pieces') \g /dev/null
SELECT settle.add_source('long_pieces', 'piece', 'long_piece', key => 'id', ready_at => 'at') \g /dev/null
-- a party a number, of which each power of two is met before any that is greater
SELECT settle.add_rule('long_pieces', 'r', 'c', 'hq', 'staff:{label}', base => 'amount', source => 'piece') \g /dev/null
SELECT settle.rescan('long_pieces') \g /dev/null
SELECT is(tickets, 59997::bigint, 'all others are settled') FROM settle.run('long_pieces');
SELECT results_eq($$ SELECT left(ticket_key, 3), message FROM long_pieces.problem ORDER BY ticket_key COLLATE "C" $$, format($$ VALUES
    ('xxx', 'two rows of source "piece" have the key "%s"'), ('yyy', 'a key of source "piece" is too long') $$, repeat('x', 1000)), 'the longest key is one of two rows');
SELECT is((SELECT count(*) FROM long_pieces.line_detail WHERE payee IS DISTINCT FROM 'staff:' || ticket_key AND length(ticket_key) < 10), 0::bigint, 'each number is paid under its own name');
SELECT is_empty($$ SELECT * FROM settle.check('long_pieces') $$, 'all figures agree');

-- Keys, paths and times that no book can hold
CREATE TABLE odd (id integer PRIMARY KEY, code text, at timestamptz, path text);
SELECT settle.create_book('odds') \g /dev/null
SELECT settle.add_source('odds', 'odd', 'odd', key => 'code', ready_at => 'at', project => 'path::ltree') \g /dev/null
SELECT settle.add_rule('odds', 'r', 'c', 'hq', 'p', base => '1', source => 'odd', accumulate => 'month') \g /dev/null
INSERT INTO odd VALUES
    (1, 'good', '2025-11-03', 'a.b'),
    (2, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) AS i), '2025-11-03', 'a.b'),
    (3, 'bad path', '2025-11-03', 'a..b'),
    (4, 'long label', '2025-11-03', repeat('x', 300)),
    (5, 'before all time', '4714-11-24 00:00:00+00 BC', 'a.b'),
    (6, 'never', '-infinity', 'a.b');
SELECT is(ROW(tickets, problems)::text, '(1,5)', 'the good one is settled') FROM settle.run('odds');
SELECT is(pg_temp.standing('odds'), 'good 1.00', 'and nothing else');
SELECT results_eq($$ SELECT left(ticket_key, 15), rule_code, sqlstate, message FROM odds.problem ORDER BY ticket_key COLLATE "C" $$, $$ VALUES
    ('bad path', 'project', '42601', 'ltree syntax error at character 3'),
    ('before all time', 'period_at', '22008', 'a ticket''s time is out of range'),
    ('c4ca4238a0b9238', 'key', 'ST006', 'a key of source "odd" is too long'),
    ('long label', 'project', '42622', 'label string is too long'),
    ('never', 'rules_at', 'ST006', 'rules_at of a ready ticket is infinite') $$, 'each says why');
SELECT settle.add_rule('odds', 'r2', 'c2', 'hq', 'p', base => '1', source => 'odd') \g /dev/null
SELECT is(ROW(tickets, problems)::text, '(1,4)', 'new rules look at them again, and pay the good one more') FROM settle.run('odds');
SELECT is((SELECT count(*) FROM odds.problem), 5::bigint, 'and the one whose key is too long stays');
UPDATE odd SET code = 'short' WHERE id = 2;
SELECT is(ROW(tickets, problems)::text, '(1,0)', 'with another key it is settled') FROM settle.run('odds');
SELECT is((SELECT count(*) FROM odds.problem), 4::bigint, 'and its problem is gone');

-- Codes with spaces in them, whose tallies would be spelled alike
SELECT settle.create_book('spaces') \g /dev/null
SELECT settle.add_rule('spaces', 'bonus', 'x', 'hq', 'p', base => 'amount', tiers => 'volume 5% to 1000, 8%', accumulate => 'month', tally_by => '{worker}') \g /dev/null
SELECT settle.add_rule('spaces', 'bonus north', 'y', 'hq', 'p', base => 'amount', tiers => 'volume 5% to 1000, 8%', accumulate => 'month', tally_by => '{dealer}') \g /dev/null
INSERT INTO spaces.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES
    ('T1', '2025-11-03', 'a', 'b', 'north 7', '7', 800), ('T2', '2025-11-03', 'a', 'b', 'north 7', '7', 800);
SELECT settle.run('spaces') \g /dev/null
UPDATE spaces.ticket SET amount = 100 WHERE ticket_id = 'T1';
SELECT settle.run('spaces') \g /dev/null
SELECT is((SELECT string_agg(amount::text, ' ') FROM spaces.tally), '45.00 45.00', 'both are corrected');
SELECT is_empty($$ SELECT * FROM settle.check('spaces') $$, 'all figures agree');

-- Versions of one code that cannot share a tally
SELECT settle.add_source('spaces', 'odd', 'odd', key => 'id', ready_at => 'at') \g /dev/null
SELECT settle.add_rule('spaces', 'v', 'v', 'hq', 'p', base => 'amount', accumulate => 'month', valid => '(,2025-11-01)') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_rule('spaces', 'v', 'v', 'hq', 'p', base => '1', accumulate => 'month', valid => '[2025-11-01,)', source => 'odd') $$,
    '22023', 'rule "v" accumulates for tickets of two sources', 'of two sources');
SELECT throws_ok($$ SELECT settle.add_rule('spaces', 'v', 'v', 'hq', 'p', base => 'amount', accumulate => 'quarter', valid => '[2025-11-01,)') $$,
    '22023', 'rule "v" accumulates by two kinds of period', 'of a month and a quarter that begin on one day');
SELECT throws_ok($$ UPDATE spaces.rule SET measure = '1' WHERE code = 'bonus' $$, '55000', NULL, 'what a used rule measures stays');
SELECT throws_ok($$ UPDATE spaces.rule SET clock = 'posting' WHERE code = 'bonus' $$, '55000', NULL, 'and so does its clock');

SELECT * FROM finish();
