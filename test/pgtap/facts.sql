-- Facts: values of other relations in the expressions of rules, how they are
-- found, what becomes of a ticket without one or with two, and that what
-- changes later re-prices nothing.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT no_plan();

SELECT settle.create_book('shop') \g /dev/null
CREATE TABLE staff (id text, days daterange, leader text, level int, home ltree, goal numeric, day date, seen timestamptz, team jsonb, both_of text[], ok boolean, PRIMARY KEY (id, days));
INSERT INTO staff VALUES
    ('w1', '[2025-01-01,2025-06-01)', 'staff:8', 2, 'cn.sh', 100.50, '2025-01-01', '2025-01-01 12:00+00', '{"staff:1": 60, "staff:2": 40}', '{staff:1,staff:2}', true),
    ('w1', '[2025-06-01,)', 'staff:9', 3, 'cn.bj', 200, '2025-06-01', '2025-06-01 12:00+00', '{"staff:3": 1}', '{staff:3}', false),
    ('w2', '(,)', 'staff:8', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE FUNCTION lines_of(key text, OUT line text) RETURNS SETOF text LANGUAGE sql AS
$$ SELECT format('%s %s %s', component, payee, trim_scale(amount)) FROM shop.line_detail WHERE ticket_key = key GROUP BY component, payee, amount ORDER BY 1 $$;

----------------------------------------------------------------------------------------------------
-- Every type, and what each is read from
----------------------------------------------------------------------------------------------------
SELECT settle.add_fact('shop', fact, 'staff', key => 'id', valid => 'days', lookup => 'worker')
FROM unnest('{leader,level,home,goal,day,seen,team,both_of,ok}'::name[]) AS fact \g /dev/null
SELECT set_eq($$ SELECT fact::text, type FROM shop.fact $$,
    $$ VALUES ('both_of', 'text[]'), ('day', 'date'), ('goal', 'numeric'), ('home', 'ltree'), ('leader', 'text'), ('level', 'numeric'), ('ok', 'boolean'), ('seen', 'timestamptz'), ('team', 'jsonb') $$,
    'the type of a fact is that of its value');
SELECT settle.add_rule('shop', 'lead', 'lead', 'hq', '{f.leader}', base => 'amount', tiers => '10%', applies_when => 'f.level >= 2') \g /dev/null
SELECT settle.add_rule('shop', 'team', 'team', 'hq', payees => 'f.team', base => 'f.goal', applies_when => 'f.team IS NOT NULL') \g /dev/null
SELECT settle.add_rule('shop', 'pair', 'pair', 'hq', payees => 'f.both_of', base => '6', applies_when => 'f.ok') \g /dev/null
SELECT settle.add_rule('shop', 'home', 'home', 'hq', 'staff:{worker}', base => 'amount', tiers => '1%',
    applies_when => $$ f.home <@ 'cn.sh' AND f.day = '2025-01-01'::date AND f.seen < t.rules_at $$) \g /dev/null
SELECT settle.add_rule('shop', 'base', 'base', 'hq', 'staff:{worker}', base => '1') \g /dev/null

INSERT INTO shop.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('early', '2025-05-31 15:59:59+00', 'a', 'r', 'w1', 1000),
    ('late', '2025-05-31 16:00:00+00', 'a', 'r', 'w1', 1000),
    ('none', '2025-05-31', 'a', 'r', 'w9', 1000),
    ('null', '2025-05-31', 'a', 'r', NULL, 1000),
    ('plain', '2025-05-31', 'a', 'r', 'w2', 1000);
UPDATE shop.ticket SET worker = 'w9' WHERE ticket_id = 'none';
SELECT settle.add_rule('shop', 'free', 'free', 'hq', 'staff:x', base => '1', applies_when => 'f.leader IS NULL') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT lines_of('early') $$,
    ARRAY['base staff:w1 1', 'home staff:w1 10', 'lead staff:8 100', 'pair staff:1 3', 'pair staff:2 3', 'team staff:1 60.3', 'team staff:2 40.2'],
    'text, number, path, day, instant, object, list and truth of a fact');
SELECT results_eq($$ SELECT lines_of('late') $$, ARRAY['base staff:w1 1', 'lead staff:9 100', 'team staff:3 200'],
    'the day of a daterange begins in book time');
SELECT results_eq($$ SELECT lines_of('none') $$, ARRAY['base staff:w9 1', 'free staff:x 1'], 'no row is a null');
SELECT results_eq($$ SELECT sqlstate, rule_code FROM shop.problem WHERE ticket_key = 'null' $$, $$ VALUES ('ST004', 'base') $$, 'a null key is no row, and asks nobody');
SELECT results_eq($$ SELECT lines_of('plain') $$, ARRAY['base staff:w2 1'], 'a null value is a null, and a row without bounds always holds');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all agrees');

----------------------------------------------------------------------------------------------------
-- What was read is kept; what changes later re-prices nothing until a rescan
----------------------------------------------------------------------------------------------------
SELECT is((SELECT inputs -> 'f' ->> 'leader' FROM shop.sheet_inputs WHERE ticket_key = 'early'), 'staff:8', 'the value stands in the sheet');
UPDATE staff SET leader = 'staff:7' WHERE id = 'w1';
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT lines_of('late') $$, ARRAY['base staff:w1 1', 'lead staff:9 100', 'team staff:3 200'], 'a changed fact re-prices nothing');
SELECT settle.rescan('shop') \g /dev/null
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT payee, sum(amount) FROM shop.line_detail WHERE ticket_key = 'late' AND component = 'lead' GROUP BY payee ORDER BY payee $$,
    $$ VALUES ('staff:7', 100.00), ('staff:9', 0.00) $$, 'until the tickets are scanned again');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all agrees after the correction');

----------------------------------------------------------------------------------------------------
-- Two values are a problem
----------------------------------------------------------------------------------------------------
INSERT INTO staff (id, days, leader, level) VALUES ('w2', '[2025-05-30,2025-06-02)', 'staff:6', 5);
UPDATE shop.ticket SET amount = 1001 WHERE ticket_id = 'plain';
SELECT settle.run('shop') \g /dev/null
SELECT results_eq($$ SELECT rule_code, sqlstate, message, hint FROM shop.problem WHERE ticket_key = 'plain' $$,
    $$ VALUES ('leader', 'ST007', 'fact "leader" has two values for "w2" at 2025-05-31 08:00:00+08', 'One row of "staff" may hold for a key at a time.') $$, 'two rows that hold');
DELETE FROM staff WHERE id = 'w2' AND level = 5;
UPDATE shop.ticket SET amount = 1002 WHERE ticket_id = 'plain';
SELECT settle.run('shop') \g /dev/null
SELECT is_empty($$ SELECT FROM shop.problem WHERE ticket_key = 'plain' $$, 'one row, and it is settled');

----------------------------------------------------------------------------------------------------
-- Keys: numbers, uuids, expressions; many of them are read at once
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('keys', time_zone => 'UTC') \g /dev/null
CREATE TABLE by_number (id int PRIMARY KEY, word text);
INSERT INTO by_number SELECT i, 'n' || i FROM generate_series(-1, 300) AS i;
CREATE TABLE by_uuid (id uuid PRIMARY KEY, word varchar(20));
INSERT INTO by_uuid VALUES ('00000000-0000-0000-0000-00000000000a', 'u');
CREATE VIEW by_view AS SELECT region, word FROM (VALUES ('cn.sh'::ltree, 'sh')) AS v(region, word);
SELECT settle.add_fact('keys', 'number', 'by_number', key => 'id', value => 'word', lookup => 'worker') \g /dev/null
SELECT settle.add_fact('keys', 'uuid', 'by_uuid', key => 'id', value => 'word', lookup => 'customer') \g /dev/null
SELECT settle.add_fact('keys', 'place', 'by_view', key => 'region', value => 'word', lookup => 't.region') \g /dev/null
SELECT settle.add_fact('keys', 'second', 'by_number', key => $$ 'n' || (id + 1) $$, value => 'id', lookup => 'f.number') \g /dev/null
SELECT settle.add_rule('keys', 'r', 'c', 'hq', $$a:{coalesce(f.number, '-')}:{coalesce(f.uuid, '-')}:{coalesce(f.place, '-')}:{coalesce(f.second::text, '-')}$$, base => 'amount') \g /dev/null
CREATE TABLE wanted (ticket_id text, worker text, customer text, region ltree, payee text);
INSERT INTO wanted VALUES
    ('1', '7', '00000000-0000-0000-0000-00000000000a', 'cn.sh', 'a:n7:u:sh:6'),
    ('2', '-1', '00000000-0000-0000-0000-00000000000A', 'cn.bj', 'a:n-1:-:-:-'),
    ('3', '07', 'no uuid', 'cn', 'a:-:-:-:-'),
    ('4', '99999999999999999999', NULL, 'cn', 'a:-:-:-:-'),
    ('5', 'x', '', 'cn', 'a:-:-:-:-'),
    ('6', '99999999999', NULL, 'cn', 'a:-:-:-:-');
INSERT INTO keys.ticket (ticket_id, done_at, project, region, worker, customer, amount) SELECT ticket_id, '2025-05-31', 'a', region, worker, customer, 5 FROM wanted;
SELECT settle.run('keys') \g /dev/null
SELECT results_eq($$ SELECT ticket_key, payee FROM keys.line_detail ORDER BY 1 $$, $$ SELECT ticket_id, payee FROM wanted ORDER BY 1 $$, 'a key is one where its text is, and a fact may lead to another');
INSERT INTO keys.ticket (ticket_id, done_at, project, region, worker, amount) SELECT 'many' || i, '2025-05-31', 'a', 'cn', i, 5 FROM generate_series(1, 300) AS i;
SELECT settle.run('keys') \g /dev/null
SELECT is_empty($$ SELECT ticket_key, payee FROM keys.line_detail WHERE ticket_key ~ 'many' AND payee <> format('a:n%s:-:-:%s', substr(ticket_key, 5), substr(ticket_key, 5)::int - 1) $$,
    'more keys than are read one by one');
SELECT is((SELECT count(*) FROM keys.line_detail WHERE ticket_key ~ 'many'), 300::bigint, 'each has its line');
SELECT is_empty($$ SELECT * FROM settle.check('keys') $$, 'all agrees');

----------------------------------------------------------------------------------------------------
-- Decisions and mapped values read facts, too; the ruleset is self-contained
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('grades') \g /dev/null
SELECT settle.add_fact('grades', 'goal', 'staff', key => 'id', valid => 'days', lookup => 'worker') \g /dev/null
SELECT settle.add_decision('grades', 'grade') \g /dev/null
SELECT settle.add_outcome('grades', 'grade', 'amount >= f.goal', '1.5') \g /dev/null
SELECT settle.add_outcome('grades', 'grade', 'true', '1') \g /dev/null
SELECT settle.add_rule('grades', 'r', 'c', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', factors => '{grade}') \g /dev/null
INSERT INTO grades.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-03-01', 'a', 'r', 'w1', 200), ('2', '2025-03-01', 'a', 'r', 'w1', 100);
SELECT settle.run('grades') \g /dev/null
SELECT results_eq($$ SELECT ticket_key, factor, amount FROM grades.line_detail ORDER BY 1 $$, $$ VALUES ('1', 1.5, 30.00), ('2', 1.0, 10.00) $$, 'a decision compares with a goal');
SELECT is(settle.decide('grades', 'grade', t), '1.5'::jsonb, 'settle.decide reads the book''s facts') FROM grades.ticket AS t WHERE ticket_id = '1';
CREATE FUNCTION says(facts jsonb) RETURNS numeric LANGUAGE sql AS
$$ SELECT u.amount FROM grades.ticket AS t, settle.unnest(settle.evaluate(settle.rules('grades'), t, facts => facts)) AS u WHERE t.ticket_id = '1' $$;
SELECT is(says('{"goal": 500}'), 20.00, 'settle.evaluate is given its facts');
SELECT is(says('{"goal": "150"}'), 30.00, 'as numbers or as text');
SELECT is(says(NULL), 20.00, 'one that is not given is null');
SELECT is(settle.evaluate_decision(settle.rules('grades'), 'grade', t, facts => '{"goal": 1}'), '1.5'::jsonb, 'a decision, too') FROM grades.ticket AS t WHERE ticket_id = '1';
SELECT throws_ok($$ SELECT says('[1]') $$, '22023', 'facts are not an object', 'facts that are none');
SELECT throws_ok($$ SELECT says('{"goal": "much"}') $$, '22P02', 'invalid input syntax for type numeric: "much"', 'a fact of another type');
SELECT is(settle.rules('grades')::jsonb -> 'facts',
    '{"goal": {"key": "id", "type": "numeric", "valid": "days", "value": "goal", "lookup": "worker", "relation": "public.staff"}}', 'the document holds the fact');
SELECT is(settle.digest((settle.rules('grades')::text)::settle.ruleset), settle.digest(settle.rules('grades')), 'and comes back from its text');

-- at commit: one look-up, in the transaction of the ticket
SELECT settle.create_book('now', settle_on => 'commit') \g /dev/null
SELECT settle.add_fact('now', 'leader', 'staff', key => 'id', valid => 'days', lookup => 'worker') \g /dev/null
SELECT settle.add_rule('now', 'r', 'c', 'hq', '{f.leader}', base => 'amount') \g /dev/null
INSERT INTO now.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-03-01', 'a', 'r', 'w1', 200);
UPDATE staff SET leader = 'staff:5' WHERE id = 'w1';
INSERT INTO now.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('2', '2025-03-01', 'a', 'r', 'w1', 200);
SELECT results_eq($$ SELECT ticket_key, payee FROM now.line_detail ORDER BY 1 $$, $$ VALUES ('1', 'staff:7'), ('2', 'staff:5') $$, 'each transaction reads anew');
ALTER TABLE staff RENAME TO people;
INSERT INTO now.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('3', '2025-03-01', 'a', 'r', 'w1', 200);
SELECT is((SELECT payee FROM now.line_detail WHERE ticket_key = '3'), 'staff:5', 'a relation may be renamed');
ALTER TABLE people RENAME TO staff;

----------------------------------------------------------------------------------------------------
-- What is refused
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'staff', key => 'id', value => 'days') $$, '42804', 'value of fact "x" is of type daterange', 'a type that no fact has');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'staff', key => 'id') $$, '42703', NULL, 'no column of that name');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'staff', key => 'idd', value => 'level') $$, '42703', NULL, 'a key over no column');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'staff', key => 'id', value => 'level', valid => 'level') $$, '42804', 'validity of fact "x" is of type integer', 'a validity that is no range');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'staff', key => '(SELECT 1)', value => 'level') $$, '0A000', NULL, 'a sub-select');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'staff', key => 'id', value => 'level', lookup => 'wrker', source => 'ticket') $$, '42703', NULL, 'a lookup over no column');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'a/b', 'staff', key => 'id', value => 'level') $$, '23514', NULL, 'a name that is a rate''s');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'leader', 'staff', key => 'id') $$, '23505', NULL, 'a name that is taken');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', NULL, key => 'id') $$, '22004', NULL, 'no relation');
SELECT throws_ok($$ SELECT settle.add_fact('shop', 'x', 'shop.rule_revision', key => 'last_value', value => 'last_value') $$, '42809', '"rule_revision" cannot hold a fact', 'a sequence');
SELECT throws_ok($$ DELETE FROM shop.fact WHERE fact = 'leader' $$, '42703', NULL, 'one that rules use stays');
SELECT throws_ok($$ INSERT INTO shop.fact (fact, relation, key, type) VALUES ('x', 'staff', 'nobody', 'text') $$, '42703', NULL, 'a plain INSERT is looked at, too');
SELECT lives_ok($$ SELECT settle.add_fact('shop', 'spare', 'staff', key => 'id', value => 'level', lookup => 'no_column') $$, 'one for whatever source has the column');
SELECT throws_ok($$ SELECT settle.add_rule('shop', 'uses', 'uses', 'hq', 'a', base => 'f.spare') $$, '42703', NULL, 'is refused where one without it uses the fact');
SELECT settle.add_fact('shop', 'loop', 'staff', key => 'id', value => 'leader', lookup => 'f.loop') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_rule('shop', 'uses', 'uses', 'hq', '{f.loop}', base => '1') $$, '42P17', 'f.loop depends on itself', 'a fact that leads to itself');
SELECT throws_ok($$ UPDATE shop.source SET rules_at = 'f.seen' WHERE source = 'ticket' $$, '42P17', NULL, 'rules_at cannot be a fact, which holds at rules_at');
ALTER TABLE staff ALTER COLUMN level TYPE text;
UPDATE shop.ticket SET amount = amount + 1;
SELECT throws_ok($$ SELECT settle.run('shop') $$, '42804', 'value of fact "level" is of type text now, and was numeric when the fact was added', 'a column that has changed its type');
DROP TABLE staff CASCADE;
SELECT throws_ok($$ SELECT settle.run('shop') $$, '42P01', NULL, 'a relation that is gone stops the run');

DROP ROLE IF EXISTS facts_owner;
CREATE ROLE facts_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO facts_owner', current_database()) \gexec
CREATE TABLE secret (id text, word text);
SET ROLE facts_owner;
SELECT settle.create_book('theirs') \g /dev/null
SELECT throws_ok($$ SELECT settle.add_fact('theirs', 'word', 'secret', key => 'id') $$, '42501', 'the owner of book "theirs" cannot read "secret"', 'what the owner of the book cannot read');
RESET ROLE;
DROP SCHEMA theirs CASCADE;
SELECT format('REVOKE ALL ON DATABASE %I FROM facts_owner', current_database()) \gexec
DROP ROLE facts_owner;

SELECT * FROM finish();
