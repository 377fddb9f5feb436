-- A book: an ordinary schema of ordinary tables; its sources, choices,
-- decisions and rules, and how they are refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off

SELECT settle.create_book('book_test');
SELECT book FROM settle.books() WHERE book = 'book_test'::regnamespace;
SELECT string_agg(relname, ' ' ORDER BY relname) AS tables FROM pg_class WHERE relnamespace = 'book_test'::regnamespace AND relkind = 'r';
SELECT string_agg(relname, ' ' ORDER BY relname) AS views FROM pg_class WHERE relnamespace = 'book_test'::regnamespace AND relkind = 'v';
SELECT time_zone, currency, period, settle_on FROM book_test.book;
SELECT source_id, source, key, ready_at, project, region, revenue, cost, tax, currency, on_delete FROM book_test.source ORDER BY 1;
-- ordinary tables belong to whoever made the book, and to no extension
SELECT count(*) AS members FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'book_test'::regnamespace);

CREATE FUNCTION book_test.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END $$;

-- books that cannot be
SELECT book_test.error_of('SELECT settle.create_book(' || arguments || ')') FROM (VALUES
    ('''book_test'''), ('''public'''), ('''pg_mine'''), ('''x'', time_zone => ''Asia/Peking'''), ('''x'', time_zone => ''UTC+8'''), ('''x'', currency => ''yuan'''),
    ('''x'', period => ''fortnight'''), ('''x'', settle_on => ''sunday'''), ('NULL'), ('''x'', currency => NULL')) AS v(arguments);
SELECT book_test.error_of($$ SELECT settle.add_choice('public', 'c', 'first') $$);
SELECT book_test.error_of($$ SELECT settle.add_choice('nowhere', 'c', 'first') $$);

-- any name will do
SELECT settle.create_book('维修 "Book"', time_zone => 'Europe/Berlin', currency => 'EUR', period => 'quarter', settle_on => 'commit');
SELECT settle.add_rule('"维修 ""Book"""', '提成', '提成', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%');
INSERT INTO "维修 ""Book""".ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('单-1', '2025-12-31 23:30+01', 'a', 'b', '王', 100);
SELECT ticket_key, component, payee, amount, unit, period FROM "维修 ""Book""".line_detail;
SELECT * FROM settle.check('"维修 ""Book"""');

-- the company's own tables: other names, types and keys
CREATE SCHEMA company;
CREATE TABLE company.visit (visit_no bigint PRIMARY KEY, finished timestamptz, city text, fee numeric(12,2), parts numeric(12,2));
CREATE TABLE company.order_line (id uuid PRIMARY KEY, shipped date, shop text, price numeric, state text);
CREATE TABLE company.call (call_id text, ended timestamptz, minutes int, agent int, PRIMARY KEY (call_id, ended)) PARTITION BY RANGE (ended);
CREATE TABLE company.call_2025 PARTITION OF company.call FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE company.job (job_id int, done timestamptz, pay numeric);
CREATE TABLE company.night_job (bonus numeric) INHERITS (company.job);
CREATE VIEW company.paid_order AS SELECT 'o' || row_number() OVER (ORDER BY id) AS no, shipped, price FROM company.order_line WHERE state = 'paid';

SELECT settle.add_source('book_test', 'visit', 'company.visit', key => 'visit_no', ready_at => 'finished',
    project => $$ 'visit' $$, region => $$ 'cn.' || lower(city) $$, revenue => 'fee', cost => 'parts');
SELECT settle.add_source('book_test', 'order_line', 'company.order_line', key => 'id', ready_at => $$ case when state in ('paid', 'closed') then shipped end $$,
    period_at => $$ shipped + interval '7 days' $$, project => $$ 'order' $$, revenue => 'price', tax => 'price * 0.06', currency => $$ 'CNY' $$, on_delete => 'reverse');
SELECT settle.add_source('book_test', 'call', 'company.call', key => $$ call_id || '@' || ended::date $$, ready_at => 'ended');
SELECT settle.add_source('book_test', 'job', 'company.job', key => 'job_id', ready_at => 'done', on_delete => 'ignore');
SELECT settle.add_source('book_test', 'paid_order', 'company.paid_order', key => 'no', ready_at => 'shipped', revenue => 'price');
SELECT source_id, source, relation, key, on_delete FROM book_test.source WHERE source_id > 1 ORDER BY 1;
-- what captures changes: on tables, partitions and children, on no view
SELECT tgrelid::regclass AS relation, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'company.%' ORDER BY 1, 2;

-- sources that cannot be
SELECT book_test.error_of($$ SELECT settle.add_source('book_test', $$ || arguments || ')') FROM (VALUES
    ($$ 's', 'company.visit', 'visit_number', 'finished' $$), ($$ 's', 'company.visit', 'visit_no', 'finished_at' $$),
    ($$ 's', 'company.visit', 'visit_no', 'finished', revenue => 'city' $$), ($$ 's', 'company.visit', 'visit_no', 'fee' $$),
    ($$ 's', 'company.visit', 'visit_no', 'finished', region => 'd.region' $$), ($$ 's', 'company.visit', 't.ready_at', 'finished' $$),
    ($$ 's', 'company.visit', 'visit_no', 't.rules_at', rules_at => 't.period_at', period_at => 't.ready_at' $$),
    ($$ 's', 'company.visit', 'visit_no', 'finished', revenue => 'fee::float8' $$),
    ($$ 's', 'company.visit', 'visit_no', 'now()' $$), ($$ 's', 'company.visit', 'visit_no', 'finished', on_delete => 'forget' $$),
    ($$ 'visit', 'company.visit', 'visit_no', 'finished' $$), ($$ 'tally', 'company.visit', 'visit_no', 'finished' $$),
    ($$ 's', 'company.visit', NULL, 'finished' $$), ($$ 's', NULL, 'visit_no', 'finished' $$), ($$ NULL, 'company.visit', 'visit_no', 'finished' $$),
    ($$ 's', 'company.nowhere', 'visit_no', 'finished' $$), ($$ 's', 'company.visit_pkey', 'visit_no', 'finished' $$)) AS v(arguments);

-- one rule for each source; a rule belongs to one
SELECT settle.add_rule('book_test', 'visit_fee', 'fee', 'hq', 'tech:{t.region}', base => 'fee - parts', tiers => '30%', source => 'visit');
SELECT settle.add_rule('book_test', 'order_fee', 'fee', 'hq', 'shop:{shop}', base => 't.revenue - t.tax', tiers => '2%', source => 'order_line');
SELECT settle.add_rule('book_test', 'call_pay', 'pay', 'hq', 'agent:{agent}', base => 'minutes', tiers => '1.5 each', source => 'call');
SELECT settle.add_rule('book_test', 'job_pay', 'pay', 'hq', 'pool', base => 'pay', source => 'job');
SELECT settle.add_rule('book_test', 'view_fee', 'fee', 'hq', 'shop', base => 'price', tiers => '1%', source => 'paid_order');
INSERT INTO company.visit VALUES (9007199254740993, '2025-11-01 08:00+08', 'East', 300, 60), (2, NULL, 'West', 100, 0);
INSERT INTO company.order_line VALUES ('6c2b1f3e-0000-4000-8000-000000000001', '2025-10-28', 'A7', 100, 'paid'), ('6c2b1f3e-0000-4000-8000-000000000002', '2025-11-02', 'A7', 50, 'open');
INSERT INTO company.call VALUES ('c1', '2025-11-03 10:00+08', 7, 12);
INSERT INTO company.job VALUES (1, '2025-11-04 12:00+08', 20);
INSERT INTO company.night_job VALUES (2, '2025-11-04 23:00+08', 30, 5);
-- a view has no triggers: it is looked through
SELECT settle.rescan('book_test', source => 'paid_order');
SELECT * FROM settle.run('book_test');
SELECT source, ticket_key, payee, base, amount, period, region FROM book_test.line_detail ORDER BY source, ticket_key;
SELECT * FROM settle.check('book_test');

-- decisions, choices, rules that cannot be
SELECT settle.add_choice('book_test', 'bonus', 'highest');
SELECT settle.add_decision('book_test', 'level', fallback => '1');
SELECT settle.add_decision('book_test', 'team', returns => 'text');
SELECT book_test.error_of('SELECT settle.' || call) FROM (VALUES
    ($$ add_choice('book_test', 'bonus', 'first') $$), ($$ add_choice('book_test', 'c', 'best') $$), ($$ add_choice('book_test', 'all', 'all') $$), ($$ add_choice(NULL, 'c', 'first') $$),
    ($$ add_decision('book_test', 'd', 'best') $$), ($$ add_decision('book_test', 'd', 'sum', 'text') $$), ($$ add_decision('book_test', 'd', returns => 'money') $$),
    ($$ add_decision('book_test', 'd', fallback => '"high"') $$), ($$ add_decision('book_test', 'level') $$),
    ($$ add_outcome('book_test', 'level', 'true', '"high"') $$), ($$ add_outcome('book_test', 'level', 'amount', '1') $$), ($$ add_outcome('book_test', 'level', 'fee > 100', '1', source => 'call') $$),
    ($$ add_outcome('book_test', 'levle', 'true', '1') $$), ($$ add_outcome('book_test', 'level', 'true', '1', source => 'visits') $$),
    ($$ add_outcome('book_test', 'level', 'true', '1', valid => '(2025-01-01,)') $$)) AS v(call);
SELECT book_test.error_of($$ SELECT settle.add_rule('book_test', $$ || arguments || ')') FROM (VALUES
    ($$ 'r', 'x', 'hq', 'p' $$), ($$ 'r', 'x', 'hq', base => 'amount' $$), ($$ 'r', 'x', NULL, 'p', base => 'amount' $$), ($$ '', 'x', 'hq', 'p', base => 'amount' $$),
    ($$ 'visit_fee', 'x', 'hq', 'p', base => 'amount' $$), ($$ 'r', 'x', 'hq', 'p', base => 'amount', source => 'visits' $$), ($$ 'r', 'x', 'hq', 'p', base => 'minutes' $$),
    ($$ 'r', 'x', 'hq', 'p', base => 'amount', valid => 'empty' $$), ($$ 'r', 'x', 'hq', 'p', base => 'amount', valid => '[2025-01-01,2025-02-01]' $$),
    ($$ 'r', 'x', 'hq', 'p', base => 'amount', tiers => '5' $$), ($$ 'r', 'x', 'hq', 'p', base => 'amount', factors => '{levle}' $$), ($$ 'r', 'x', 'hq', 'p', base => 'amount', factors => '{team}' $$),
    ($$ 'r', 'x', 'hq', 'p', base => 'amount', overrides => '{visit_fee}' $$), ($$ 'r', 'x', 'hq', 'p', base => 'amount', accumulate => 'month', choice => 'bonus' $$),
    ($$ 'r', 'x', 'hq', 'p', base => 'c.x' $$), ($$ 'r', 'x', 'hq', 'staff:{worker', base => 'amount' $$)) AS v(arguments);
-- whatever was refused has left nothing behind
SELECT (SELECT count(*) FROM book_test.rule) AS rules, (SELECT count(*) FROM book_test.decision) AS decisions, (SELECT count(*) FROM book_test.outcome) AS outcomes, (SELECT count(*) FROM book_test.choice) AS choices;

-- versions of a rule do not overlap: one ends where the next begins, by an instant of book time
SELECT settle.add_rule('book_test', 'rate', 'rate', 'hq', 'p', base => 'amount', tiers => '5%', valid => '[2025-01-01 00:00+08,)');
SELECT book_test.error_of($$ SELECT settle.add_rule('book_test', 'rate', 'rate', 'hq', 'p', base => 'amount', tiers => '6%', valid => '[2025-07-01 00:00+08,)') $$);
SELECT settle.end_rule('book_test', 'rate', '2025-07-01 00:00+08');
SELECT settle.add_rule('book_test', 'rate', 'rate', 'hq', 'p', base => 'amount', tiers => '6%', valid => '[2025-07-01 00:00+08,)');
SELECT book_test.error_of($$ SELECT settle.end_rule('book_test', 'rate', '2024-01-01') $$);
SELECT book_test.error_of($$ SELECT settle.end_rule('book_test', 'rate', '2025-07-01 00:00+08') $$);
SELECT book_test.error_of($$ SELECT settle.end_rule('book_test', 'rete', '2025-07-01') $$);

-- rules as a value: all, or those in force at some time; an unchanged book has an unchanged digest
SELECT during, jsonb_path_query_array(settle.rules('book_test', during::tstzrange)::jsonb, '$.rules[*] ? (@.code == "rate").tiers') AS rates
FROM unnest('{"(,)","[2025-06-01,2025-06-30]","[2025-07-01 00:00+08,2025-08-01)","[2024-01-01,2024-06-01)"}'::text[]) AS during;
SELECT settle.rules('book_test')::jsonb #> '{rules,0}' AS one_rule;
SELECT settle.digest(settle.rules('book_test')) = settle.digest(settle.rules('book_test')) AS same,
    settle.digest(settle.rules('book_test')) = settle.digest(settle.rules('book_test', '[2025-08-01,)')) AS narrower;
SELECT book_test.error_of($$ SELECT settle.rules('company') $$);

-- what was posted is not changed and not removed
SELECT book_test.error_of(statement || ' book_test.sheet') FROM unnest('{DELETE FROM,TRUNCATE}'::text[]) AS statement;
SELECT book_test.error_of('UPDATE book_test.sheet SET revenue = 0');
SELECT book_test.error_of('DELETE FROM book_test.run');
SELECT book_test.error_of('DELETE FROM book_test.ruleset_used');
SELECT book_test.error_of('DELETE FROM book_test.party');
SELECT book_test.error_of($$ UPDATE book_test.party SET party = 'somebody' $$);
UPDATE book_test.party SET side = 'own', title = 'Pool' WHERE party = 'pool';
-- a rule that has settled tickets can only be ended; one that has not may change and go
SELECT book_test.error_of($$ UPDATE book_test.rule SET tiers = '40%' WHERE code = 'visit_fee' $$);
SELECT book_test.error_of($$ DELETE FROM book_test.rule WHERE code = 'visit_fee' $$);
SELECT book_test.error_of('TRUNCATE book_test.rule CASCADE');
UPDATE book_test.rule SET title = 'Fee of a visit' WHERE code = 'visit_fee';
UPDATE book_test.rule SET tiers = '7%' WHERE code = 'rate' AND upper_inf(valid);
DELETE FROM book_test.rule WHERE code = 'rate';
SELECT settle.end_rule('book_test', 'visit_fee', '2025-12-01 00:00+08');

-- a pack: rules that are drafted, approved by another person and enabled together, for the tickets of its scope
SELECT settle.create_book('pack_test');
SELECT settle.add_rule('pack_test', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%');
INSERT INTO pack_test.ticket (ticket_id, done_at, project, region, worker, amount)
VALUES ('e1', '2025-12-20 10:00+08', 'install', 'cn.east.sh', 'w1', 1000), ('e2', '2026-01-05 10:00+08', 'install', 'cn.east.sh', 'w1', 1000), ('w2', '2026-01-05 10:00+08', 'install', 'cn.west.cd', 'w2', 1000);
SELECT settle.grant_access('pack_test', current_user::regrole, 'delegate', 'one login for all');
BEGIN;
SELECT settle.act_as('pack_test', 'staff:anna');
SELECT settle.add_pack('pack_test', 'rates2026', ends => '{visit}', title => 'Rates of 2026');
SELECT settle.add_rule('pack_test', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '6%', pack => 'rates2026');
SELECT settle.add_pack('pack_test', 'east', $$region <@ 'cn.east'$$);
SELECT settle.add_rule('pack_test', 'metro', 'metro', 'hq', 'staff:{worker}', base => '20', pack => 'east');
SELECT settle.submit_pack('pack_test', p, 'agreed with the regions') FROM unnest('{rates2026,east}'::text[]) AS p;
COMMIT;
SELECT book_test.error_of($$ SELECT settle.add_rule('pack_test', 'late', 'late', 'hq', 'p', base => '1', pack => 'east') $$);
SELECT book_test.error_of($$ SELECT settle.enable_pack('pack_test', 'east') $$);
SELECT book_test.error_of($$ SELECT settle.act_as('pack_test', 'staff:anna'), settle.approve_pack('pack_test', 'east', 'fine') $$);
BEGIN;
SELECT settle.act_as('pack_test', 'staff:boris');
SELECT settle.approve_pack('pack_test', p, 'board of 12 December') FROM unnest('{rates2026,east}'::text[]) AS p;
SELECT settle.enable_pack('pack_test', p, '2026-01-01 00:00+08') FROM unnest('{rates2026,east}'::text[]) AS p;
COMMIT;
SELECT pack, state, applies_when, ends, valid, drafted_by, approved_by FROM pack_test.pack WHERE pack <> 'base' ORDER BY pack;
SELECT code, pack, tiers, valid FROM pack_test.rule ORDER BY code, pack;
SELECT settle.rules('pack_test')::jsonb -> 'packs' AS packs;
SELECT * FROM settle.run('pack_test');
SELECT ticket_key, rule_code, payee, amount FROM pack_test.line_detail ORDER BY 1, 2;

-- a ruleset from a file: what it changes, and nothing the second time
SELECT settle.add_pack('pack_test', 'gifts');
SELECT settle.rules('pack_test', packs => '{gifts}')::jsonb || '{"packs": null, "choices": null, "decisions": null,
	"rules": [{"code": "gift", "component": "gift", "source": "ticket", "payer": "hq", "payee": "customer", "base": "10", "applies_when": "amount > 500", "tiers": "100%", "rounding": "half_up"}]}' AS file \gset
SELECT * FROM settle.load_rules('pack_test', :'file', 'gifts');
SELECT * FROM settle.load_rules('pack_test', :'file', 'gifts');
SELECT * FROM settle.load_rules('pack_test', replace(:'file', '500', '700')::settle.ruleset, 'gifts');

-- once a period has closed, the base is changed by packs alone
INSERT INTO pack_test.period (period, state, changed_by) VALUES ('2025-11-01', 'closed', 'anna');
SELECT book_test.error_of($$ SELECT settle.end_rule('pack_test', 'visit', '2025-12-01') $$);

-- a book goes as it came; triggers on the company's tables stay, warn, and can be dropped
SET client_min_messages = warning;
DROP SCHEMA book_test, pack_test CASCADE;
INSERT INTO company.visit VALUES (3, NULL, 'West', 100, 0);
DROP TRIGGER settle_book_test_visit ON company.visit;
UPDATE company.visit SET fee = 1 WHERE visit_no = 3;
DROP SCHEMA company, "维修 ""Book""" CASCADE;
SELECT count(*) FROM settle.books() WHERE book::text IN ('book_test', '"维修 ""Book"""');
