-- Bad input gets one clear error and loses nothing; a ticket that cannot be
-- settled stands aside, and the run goes on.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

CREATE SCHEMA IF NOT EXISTS errors;
SELECT settle.create_book('repairs') \g /dev/null
SELECT settle.add_rule('repairs', 'standing', 'standing', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%') \g /dev/null
CREATE FUNCTION errors.rule(arguments text) RETURNS text LANGUAGE sql
RETURN format($$ SELECT settle.add_rule('repairs', 'r', 'r', 'hq', 'p', %s) $$, arguments);
CREATE FUNCTION errors.state() RETURNS text LANGUAGE sql
RETURN (SELECT md5(concat(settle.digest(settle.rules('repairs'))::text, (SELECT count(*) FROM repairs.source), (SELECT count(*) FROM repairs.pending), (SELECT count(*) FROM repairs.sheet))));
SELECT errors.state() AS state \gset

----------------------------------------------------------------------------------------------------
-- A text that is not one expression
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.mine(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN $1;
SELECT throws_ok(errors.rule(format('base => %L', base)), state, message, base) FROM (VALUES
    ('1; drop table repairs.ticket', '42601', 'syntax error at or near ";"'),
    ('amount > 10 urgent', '42601', 'syntax error at or near "urgent"'),
    ('amount limit 0', '42601', 'syntax error at or near "limit"'),
    ('amount)+(1', '42601', 'the text is not one expression'),
    (' ', '42601', 'expression is empty'),
    ('(select max(amount) from repairs.ticket)', '0A000', 'a sub-select cannot be used in an expression'),
    ('sum(amount)', '0A000', 'aggregate function sum cannot be used in an expression'),
    ('row_number() over ()', '0A000', 'a window function cannot be used in an expression'),
    ('generate_series(1, 3)', '0A000', 'set-returning function generate_series cannot be used in an expression'),
    ('random()::numeric', '0A000', 'function random cannot be used in an expression'),
    ('extract(day from now())', '0A000', 'function now cannot be used in an expression'),
    ('public.mine(amount)', '0A000', 'function public.mine cannot be used in an expression'),
    ('amuont', '42703', 'name "amuont" is not known here'),
    ('repairs.ticket', '42703', 'name "repairs.ticket" is not known here'),
    ('ticket', '42703', 'name "ticket" is not known here'),
    ('ctid', '42703', 'name "ctid" is not known here'),
    ('rush', '42804', 'expression must be of type numeric, not boolean'),
    ('amount + 1 / 0', '22012', 'division by zero')) AS v(base, state, message);
SELECT throws_ok(errors.rule($$ base => 'amount', applies_when => 'amount' $$), '42804', 'expression must be of type boolean, not numeric', 'a condition that is none');
SELECT throws_ok(errors.rule($$ base => 'amount', applies_when => 'rush' || repeat(' and rush', 30000) $$), '54000', NULL, '30,000 ANDs');
SELECT throws_ok(errors.rule($$ base => repeat('(', 20000) || 'amount' || repeat(')', 20000) $$), '54001', NULL, '20,000 parentheses');
SELECT throws_ok(errors.rule($$ base => 'amount', applies_when => 'done_at >= ''yesterday''' $$), '42P17', NULL, 'a day that is another one tomorrow');

----------------------------------------------------------------------------------------------------
-- Malformed tiers
----------------------------------------------------------------------------------------------------
SELECT throws_ok(errors.rule(format('base => ''amount'', tiers => %L', tiers)), '22P02', message, 'tiers: ' || left(tiers, 60)) FROM (VALUES
    ('5', 'invalid tiers: the bare number 5 does not say what it is'),
    ('5% to 1000, 8% to 500, 10%', 'invalid tiers: bound 500 is not above 1000'),
    ('5% to 1000, 8% to 5000', 'invalid tiers: the last tier ends at 5000'),
    ('5% to -5, 8%', 'invalid tiers: bound -5 is negative'),
    ('NaN each', NULL), ('5% to infinity', NULL)) AS v(tiers, message);
SELECT throws_ok(errors.rule(format('base => ''amount'', tiers => %L', repeat('5% to 1, ', 1200000))), '54000', 'invalid tiers: the text has 10800000 bytes', 'tiers of 10 MB');
SELECT throws_ok(errors.rule(format('base => ''amount'', tiers => %L::jsonb::settle.tiers', tiers)), '22P02', NULL, 'tiers: ' || tiers) FROM (VALUES
    ('{"tiers": [{"from": "0", "up_to": "10", "unit": "1"}, {"from": "11", "unit": "2"}]}'),
    ('{"tiers": [{"up_to": "10", "unit": "1"}, {"from": "9", "unit": "2"}]}')) AS v(tiers);

----------------------------------------------------------------------------------------------------
-- Books, sources, rules that cannot be
----------------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT settle.create_book('repairs') $$, '42P06', 'schema "repairs" exists already', 'a book name that is taken');
SELECT throws_ok($$ SELECT settle.create_book('x', 'Asia/Peking') $$, '22023', 'unknown time zone "Asia/Peking"', 'a time zone that does not exist');
SELECT throws_ok($$ SELECT settle.run('public') $$, '42704', 'schema "public" is not a book', 'a schema that is no book');
SELECT throws_ok($$ SELECT settle.add_source('repairs', 's', 'repairs.ticket', 'ticket_no', 'done_at') $$, '42703', 'name "ticket_no" is not known here', 'a source without the named key');
SELECT throws_ok($$ SELECT settle.add_source('repairs', 's', 'repairs.ticket', 'ticket_id', 'done_at', cost => 'costs') $$, '42703', 'name "costs" is not known here', 'a source without the named cost');
SELECT throws_ok($$ SELECT settle.add_source('repairs', 's', 'repairs.ticket', 'ticket_id', 'done_at', on_delete => 'keep') $$, '22023', 'unknown on_delete "keep"', 'an unknown on_delete');
SELECT throws_ok(errors.rule($$ base => 'c.r' $$), '42P17', 'component "r" depends on itself', 'a component that reads itself');
SELECT throws_ok($$ INSERT INTO repairs.rule (code, component, payer, payee, base, accumulate) VALUES ('a', 'a', 'hq', 'p', '1', 'month'), ('b', 'b', 'hq', 'p', 'c.a', NULL) $$,
    '22023', 'rule "b" reads c.a, which accumulates', 'a component whose amount only its tally knows');
SELECT throws_ok($$ INSERT INTO repairs.rule (code, component, payer, payee, base) VALUES ('a', 'a', 'hq', 'p', 'c.b'), ('b', 'b', 'hq', 'p', 'c.c'), ('c', 'c', 'hq', 'p', 'c.a') $$,
    '42P17', 'component "a" depends on itself', 'a cycle of three components');
SELECT throws_ok($$ INSERT INTO repairs.rule (code, component, payer, payee, base, overrides) VALUES ('a', 'a', 'hq', 'p', '1', '{b}'), ('b', 'b', 'hq', 'p', '1', '{c}'), ('c', 'c', 'hq', 'p', '1', '{a}') $$,
    '42P17', NULL, 'a circle of overrides');
SELECT throws_ok(errors.rule($$ base => 'amount', factors => '{coef}' $$), '42704', 'rule "r" names the decision "coef", which does not exist', 'a factor that does not exist');
SELECT throws_ok(errors.rule($$ base => 'amount', rounding => 'near' $$), '22023', 'unknown rounding "near"', 'an unknown rounding');
SELECT throws_ok(errors.rule($$ base => 'amount', accumulate => 'fortnight' $$), '22023', 'unknown accumulation period "fortnight"', 'an unknown period');
SELECT throws_ok(errors.rule($$ base => 'amount', tiers => (SELECT tiers FROM repairs.rule WHERE code = 'nothing') $$), '23502', NULL, 'a price that was not found is not the default');
SELECT throws_ok(errors.rule($$ base => 'amount::real' $$), '42804', 'base of rule "r" is of type real', 'money in binary floating point');
SELECT throws_ok($$ SELECT settle.add_rule('repairs', 'standing', 'r', 'hq', 'p', base => 'amount') $$, '23P01', NULL, 'a version that overlaps another');
SELECT throws_ok($$ SELECT settle.end_rule('repairs', 'nothing', now()) $$, '42704', NULL, 'ending a rule that does not exist');
SELECT throws_ok($$ SELECT settle.run('repairs', -1) $$, '22023', 'max_tickets must be positive, not -1', 'a run of -1 tickets');
SELECT throws_ok($$ SELECT settle.rescan('repairs', source => 'orders') $$, '42704', 'book "repairs" has no source "orders"', 'a source that does not exist');
SELECT throws_ok($$ SELECT settle.explain('repairs', 'ticket', '0') $$, 'P0002', 'source "ticket" has no ticket "0"', 'a ticket that does not exist');
SELECT throws_ok($$ SELECT settle.excuse('repairs', 'ticket', '0', '') $$, 'P0002', 'ticket "0" of source "ticket" is not unpaid', 'an excuse for nothing');
SELECT throws_ok($$ SELECT settle.capture() $$, '39P01', 'settle.capture is not called as an AFTER trigger', 'capture without a trigger');
SELECT throws_ok($$ SELECT settle.settle_at_commit() $$, '39P01', 'settle.settle_at_commit is not called as a trigger', 'settling without a trigger');
SELECT throws_ok($$ SELECT settle.note_rule_change() $$, '39P01', NULL, 'a rule change without a trigger');
SELECT throws_ok($$ SELECT settle.keep_used_rule() $$, '39P01', NULL, 'a used rule without a trigger');
SELECT is(errors.state(), :'state', 'whatever was refused has left nothing behind');

----------------------------------------------------------------------------------------------------
-- Tickets that cannot be settled: the others are
----------------------------------------------------------------------------------------------------
SELECT settle.add_decision('repairs', 'level', 'unique', fallback => '1') \g /dev/null
SELECT settle.add_outcome('repairs', 'level', 'rush', '2', source => 'ticket', title => 'rush') \g /dev/null
SELECT settle.add_outcome('repairs', 'level', 'night', '3', source => 'ticket', title => 'night') \g /dev/null
SELECT settle.add_rule('repairs', 'hourly', 'wage', 'hq', 'staff:{worker}', base => $$ amount / (details->>'hours')::numeric $$, factors => '{level}', applies_when => $$ project = 'job' $$) \g /dev/null
SELECT settle.add_rule('repairs', 'special', 'wage', 'hq', 'staff:{worker}', base => '7', applies_when => $$ level = 'vip' $$) \g /dev/null
SELECT settle.add_rule('repairs', 'split', 'split', 'hq', payees => $$ details->'split' $$, base => '10', applies_when => $$ details ? 'split' $$) \g /dev/null
CREATE FUNCTION errors.ticket(id text, done_at timestamptz DEFAULT '2025-11-11 10:00+08', worker text DEFAULT '1', amount numeric DEFAULT 100, details jsonb DEFAULT '{"hours": 8}', rush boolean DEFAULT false,
    night boolean DEFAULT false, level text DEFAULT NULL, currency text DEFAULT NULL) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, details, rush, night, level, currency)
    VALUES (id, done_at, 'job', 'cn', worker, amount, details, rush, night, level, currency);
END;
SELECT errors.ticket('good ' || n) FROM generate_series(1, 600) AS n \g /dev/null
SELECT errors.ticket('division by zero', details => '{"hours": 0}'), errors.ticket('overflow', details => '{"hours": 1e-20}'),
    errors.ticket('too large', amount => 1e15), errors.ticket('not a number', amount => 'NaN'), errors.ticket('infinite', amount => 'infinity'),
    errors.ticket('word', details => '{"hours": "eight"}'), errors.ticket('null base', details => '{}'), errors.ticket('null payee', worker => NULL),
    errors.ticket('empty payee', details => '{"hours": 8, "split": {"": 1}}'), errors.ticket('two rules', level => 'vip'), errors.ticket('two outcomes', rush => true, night => true),
    errors.ticket('long currency', currency => repeat('X', 24)), errors.ticket('empty currency', currency => ''), errors.ticket('long payee', worker => repeat('x', 300)),
    errors.ticket('negative weight', details => '{"hours": 8, "split": {"a": -1}}'), errors.ticket('no weight', details => '{"hours": 8, "split": {"a": 0}}'),
    errors.ticket('no object', details => '{"hours": 8, "split": 5}'), errors.ticket('begin of time', done_at => '-infinity') \g /dev/null
SELECT results_eq($$ SELECT tickets, lines, problems FROM settle.run('repairs') $$, $$ VALUES (600::bigint, 1200::bigint, 18::bigint) $$, 'the run goes on: 600 tickets settled, 18 problems');
SELECT results_eq($$ SELECT ticket_key, rule_code, sqlstate, message FROM repairs.problem ORDER BY ticket_key COLLATE "C" $$, $$ VALUES
    ('begin of time', 'rules_at', 'ST006', 'rules_at of a ready ticket is infinite'),
    ('division by zero', 'hourly', '22012', 'division by zero'),
    ('empty currency', 'currency', 'ST006', 'currency of a ticket is empty'),
    ('empty payee', 'split', 'ST004', 'a party has an empty code'),
    ('infinite', 'revenue', '22003', 'Infinity is not an amount'),
    ('long currency', 'currency', 'ST006', 'currency of a ticket has 24 bytes'),
    ('long payee', 'hourly', 'ST006', 'a party has a code of 306 bytes'),
    ('negative weight', 'split', '22023', 'weight 1 is negative: -1'),
    ('no object', 'split', 'ST006', 'payees of rule "split" is not an object of party and weight'),
    ('no weight', 'split', '22023', 'no weight is positive'),
    ('not a number', 'revenue', '22003', 'NaN is not an amount'),
    ('null base', 'hourly', 'ST004', 'base of rule "hourly" is null'),
    ('null payee', 'hourly', 'ST004', 'payee of rule "hourly" is null'),
    ('overflow', 'hourly', '22003', 'base of a ticket is out of range: 10000000000000000000000'),
    ('too large', 'revenue', '22003', 'revenue of a ticket is out of range: 1000000000000000'),
    ('two outcomes', 'level', 'ST002', 'two outcomes of decision "level" apply'),
    ('two rules', 'hourly', 'ST001', 'rules "hourly" and "special" both apply'),
    ('word', 'hourly', '22P02', 'invalid input syntax for type numeric: "eight"') $$, 'each problem names the rule or mapping, its code and its message');
SELECT is(detail, 'Both "rush" and "night" hold, and the decision is unique.', 'a conflict names both outcomes') FROM repairs.problem WHERE ticket_key = 'two outcomes';
SELECT is((SELECT count(*) FROM settle.check('repairs')), 0::bigint, 'the book agrees with itself');

-- every one of them, mended, is settled; nothing else is
UPDATE repairs.ticket SET details = '{"hours": 8}', worker = '1', amount = 100, currency = NULL, rush = false, level = NULL, done_at = '2025-11-11 10:00+08' WHERE ticket_id NOT LIKE 'good%';
SELECT results_eq($$ SELECT tickets, lines, problems FROM settle.run('repairs') $$, $$ VALUES (18::bigint, 36::bigint, 0::bigint) $$, 'mended, they are settled');
SELECT is((SELECT count(*) FROM repairs.problem), 0::bigint, 'and are no problem any more');

-- a rule that fails for more than 1 % of a large batch is broken, and stops the run
SELECT errors.ticket('bulk ' || n, details => CASE WHEN n <= 11 THEN '{"hours": 0}' ELSE '{"hours": 8}' END::jsonb) FROM generate_series(1, 1000) AS n \g /dev/null
SELECT throws_ok($$ SELECT settle.run('repairs') $$, '22012', '"hourly" fails for 11 of 1000 tickets: division by zero', '11 of 1,000 stop the run, which says which rule');
SELECT is((SELECT count(*) FROM repairs.sheet WHERE ticket_key LIKE 'bulk%'), 0::bigint, 'it has posted nothing');
SELECT is((SELECT count(*) FROM repairs.pending), 1000::bigint, 'and lost nothing');
UPDATE repairs.ticket SET details = '{"hours": 8}' WHERE ticket_id = 'bulk 1';
SELECT results_eq($$ SELECT tickets, problems FROM settle.run('repairs') $$, $$ VALUES (990::bigint, 10::bigint) $$, '10 of 1,000 do not');
UPDATE repairs.ticket SET details = '{"hours": 8}' WHERE ticket_id LIKE 'bulk%';
SELECT settle.run('repairs') \g /dev/null

-- a rule that no longer compiles stops the run before it takes a ticket, and says which it is
ALTER TABLE repairs.ticket ADD COLUMN helper text;
SELECT settle.add_rule('repairs', 'help', 'help', 'hq', 'staff:{helper}', base => '1', applies_when => 'helper is not null') \g /dev/null
ALTER TABLE repairs.ticket DROP COLUMN helper;
UPDATE repairs.ticket SET amount = 101 WHERE ticket_id = 'good 1';
SELECT throws_ok($$ SELECT settle.run('repairs') $$, '42703', 'name "helper" is not known here', 'a column that is gone stops the run');
DO $$ BEGIN PERFORM settle.run('repairs'); EXCEPTION WHEN OTHERS THEN
    DECLARE context text; BEGIN GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT; PERFORM set_config('errors.context', context, false); END; END $$;
SELECT matches(current_setting('errors.context'), 'rule "help"', 'the error names the rule');
SELECT is((SELECT count(*) FROM repairs.pending), 1::bigint, 'no ticket was taken');
DELETE FROM repairs.rule WHERE code = 'help';
SELECT results_eq($$ SELECT tickets, corrections FROM settle.run('repairs') $$, $$ VALUES (1::bigint, 1::bigint) $$, 'without the rule the run goes on where it was');

-- two rows with one key are a problem, too
CREATE TABLE errors.visit (id int, done timestamptz, fee numeric);
SELECT settle.add_source('repairs', 'visit', 'errors.visit', 'id', 'done', revenue => 'fee') \g /dev/null
SELECT settle.add_rule('repairs', 'visit', 'visit', 'hq', 'p', base => 'fee', source => 'visit') \g /dev/null
INSERT INTO errors.visit VALUES (1, '2025-11-11', 10), (2, '2025-11-11', 20), (2, '2025-11-11', 30), (NULL, '2025-11-11', 40);
SELECT results_eq($$ SELECT tickets, amount, problems FROM settle.run('repairs') $$, $$ VALUES (1::bigint, 10.00, 1::bigint) $$, 'two rows with one key: neither is paid');
SELECT results_eq($$ SELECT sqlstate, message FROM repairs.problem WHERE source = 'visit' $$, $$ VALUES ('ST006', 'two rows of source "visit" have the key "2"') $$, 'the problem says so');
SELECT settle.rescan('repairs', source => 'visit') \g /dev/null
SELECT lives_ok($$ SELECT settle.run('repairs') $$, 'a scan passes over a row without a key');
SELECT results_eq($$ SELECT object, detail FROM settle.check('repairs') $$, $$ VALUES ('visit', 'has a ready row without a key, which cannot be settled') $$, 'check tells of it');
DELETE FROM errors.visit WHERE fee IN (30, 40);
SELECT results_eq($$ SELECT tickets, amount, problems FROM settle.run('repairs') $$, $$ VALUES (1::bigint, 20.00, 0::bigint) $$, 'one row left: it is paid');

-- a change and a scan of the same ticket in one run are one ticket
UPDATE errors.visit SET fee = 11 WHERE id = 1;
SELECT settle.rescan('repairs', source => 'visit'), settle.rescan('repairs', '2025-01-01', '2026-01-01', 'visit') \g /dev/null
SELECT results_eq($$ SELECT tickets, amount, problems FROM settle.run('repairs') $$, $$ VALUES (1::bigint, 1.00, 0::bigint) $$, 'changed, scanned and scanned again: one correction');

-- a relation that is gone holds up no other source
DROP TABLE errors.visit;
UPDATE repairs.ticket SET amount = 102 WHERE ticket_id = 'good 1';
SELECT lives_ok($$ SELECT settle.run('repairs') $$, 'a source whose table is gone does not stop the others');
SELECT results_eq($$ SELECT invariant, object FROM settle.check('repairs') $$, $$ VALUES ('a source has its relation', 'visit') $$, 'check tells of it');
INSERT INTO repairs.pending VALUES (2, '1', false);
SET statement_timeout = '20s';
CALL settle.run_all('repairs');
SELECT pass('run_all ends although something is pending for it');
RESET statement_timeout;

----------------------------------------------------------------------------------------------------
-- Transactions
----------------------------------------------------------------------------------------------------
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT settle.run('repairs') $$, '25001', 'a run cannot be made in isolation level repeatable read', 'a run in repeatable read');
ROLLBACK;
BEGIN;
INSERT INTO repairs.sheet (source_id, ticket_key, revision, ticket_time, period, currency, revenue, cost, payout, tickets, lines, run_id)
    SELECT 1, ticket_id, 9, now(), '2025-11-01', 'CNY', 0, 0, 0, 0, settle.evaluate(settle.rules('repairs'), t, source => 'ticket'), 1 FROM repairs.ticket AS t WHERE ticket_id = 'good 1';
UPDATE repairs.ticket SET amount = 1 WHERE ticket_id = 'good 1';
SELECT throws_ok($$ SELECT settle.run('repairs') $$, 'XX001', 'a sheet of ticket "good 1" of source "ticket" holds codes, not numbers of the book', 'a sheet that no run has written');
ROLLBACK;
BEGIN;
DELETE FROM repairs.book;
SELECT throws_ok($$ SELECT settle.run('repairs') $$, '55000', 'book "repairs" has lost its settings', 'a book without settings');
ROLLBACK;
-- a rollback takes the count of tests back, so the last one stands outside
SELECT errors.ticket('late 1'), errors.ticket('late 2') \g /dev/null
SELECT throws_ok($$ CALL settle.run_all('repairs', 1) $$, '2D000', NULL, 'run_all cannot commit a transaction that is not its own');

----------------------------------------------------------------------------------------------------
-- Functions of triggers, called as no trigger calls them
----------------------------------------------------------------------------------------------------
SELECT throws_like(format('SELECT settle.%I()', p.proname), '%settle.' || p.proname || ' % called as a%', p.proname::text)
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = 'settle'::regnamespace AND p.prorettype = 'trigger'::regtype AND l.lanname = 'c';
SELECT throws_ok('SELECT settle._matrix_combine(NULL, NULL)', '22023', 'support function of an aggregate called outside of one', 'a part of an aggregate by itself');

----------------------------------------------------------------------------------------------------
-- Nulls where there are none, names that are not there
----------------------------------------------------------------------------------------------------
CREATE TABLE errors.shape (path ltree, pattern lquery);
SELECT throws_ok(call, state, message, message) FROM (VALUES
    ($$ INSERT INTO repairs.fact (fact, relation, key, value) VALUES (NULL, 'repairs.ticket', 'ticket_id', 'amount') $$, '22004', 'name of a fact is null'),
    ($$ INSERT INTO repairs.fact (fact, relation, key, value) VALUES ('f', 'repairs.ticket', NULL, 'amount') $$, '22004', 'key of a fact is null'),
    ($$ INSERT INTO repairs.fact (fact, relation, key, value) VALUES ('f', NULL, 'ticket_id', 'amount') $$, '22004', 'relation of a fact is null'),
    ($$ SELECT settle.rules('repairs', '(,)', ARRAY[NULL]) $$, '42704', 'a pack is null'),
    ($$ SELECT settle.map_payload(NULL, 'taobao', payload => '{}') $$, '22004', 'book and platform must be given'),
    ($$ SELECT settle.legal_moves('repairs', NULL) $$, '22004', 'a book and a ticket must be given'),
    ($$ SELECT settle.run(4000000000::oid::regnamespace) $$, '3F000', 'schema with OID 4000000000 does not exist'),
    ($$ SELECT settle.check_expression('x', 'repairs.ticket_pkey') $$, '42809', '"ticket_pkey" has no rows that an expression could read'),
    ($$ SELECT settle._tally_fee('{5%}', '{1,2}', '{1}', '{1}', '0.01', 'CNY') $$, '2202E', 'arrays of a tally differ in length or hold nulls'),
    ($$ SELECT settle.ingest('repairs', -1) $$, '22023', 'max_rows must not be negative, it is -1'),
    ($$ SELECT settle.add_source('repairs', 's', 4000000000::oid::regclass, key => 'k', ready_at => 'x') $$, '42P01', 'relation with OID 4000000000 does not exist'),
    ($$ SELECT settle.add_fact('repairs', 's', 4000000000::oid::regclass, 'k') $$, '42P01', 'relation with OID 4000000000 does not exist'),
    ($$ SELECT settle.check_expression('x', 4000000000::oid::regclass) $$, '42P01', 'relation with OID 4000000000 does not exist'),
    ($$ SELECT settle.check_expression('worker ~ region::text', 'repairs.ticket') $$, '0A000', 'a pattern in an expression must be a constant'),
    ($$ SELECT settle.check_expression('path ~ pattern', 'errors.shape') $$, '0A000', 'a pattern in an expression must be a constant'),
    ($$ SELECT '{"mode": "interpolated", "tiers": [{"up_to": 10, "amount": 5}, {"amount": 10}]}'::jsonb::settle.tiers $$, '22P02', 'invalid tiers: the last interpolated tier is open'),
    ($$ SELECT settle.check_expression('substring(worker, ''a'', ''#'')', 'repairs.ticket') $$, '0A000', 'function "substring"(text,text,text) cannot be used in an expression'),
    ($$ SELECT settle._inputs(NULL, NULL, '\xff') $$, '22P03', 'inputs are not what a run has kept'),
    ($$ SELECT settle.allocate(1, '{1}', -1, 'proportional_with_caps') $$, '22023', 'step -1 is not positive'),
    ((SELECT format('SELECT %L::settle.tiers', string_agg(format('1%% to %s', i), ', ') || ', 2%') FROM generate_series(1, 1000) AS i), '54000', 'invalid tiers: there are more than 1000 tiers'),
    ((SELECT format('SELECT %L::jsonb::settle.tiers', '{"tiers": [' || string_agg('{"unit": "1"}', ', ') || ']}') FROM generate_series(1, 1001)), '54000', 'invalid tiers: 1001 tiers are more than 1000'),
    ($$ SELECT settle.fee('0.0000000000001 each', ('0.' || repeat('0', 16370) || '1')::numeric) $$, '22003', 'a product would have more than 16383 decimal places'),
    (errors.rule($$ base => 't' $$), '0A000', 'the whole row "t" cannot be used in an expression')) AS v(call, state, message);

-- every function of a book that takes no null book says so
SELECT throws_ok(format('SELECT settle.%I(%s)', p.proname, (SELECT string_agg(format('NULL::%s', t::regtype), ', ') FROM unnest(p.proargtypes) AS t)), '22004', NULL, p.oid::regprocedure::text)
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = 'settle'::regnamespace AND l.lanname = 'c' AND p.prokind = 'f' AND NOT p.proisstrict AND p.proargtypes[0] = 'regnamespace'::regtype
    AND p.prosrc !~ '^settle_as_' AND p.proname NOT IN ('_masked_details', '_replay_ticket', 'actor', 'reason', 'decide', 'rules');

----------------------------------------------------------------------------------------------------
-- Rulesets that somebody has written himself
----------------------------------------------------------------------------------------------------
CREATE FUNCTION errors.forged(members text) RETURNS text LANGUAGE sql
RETURN format($$ SELECT settle.evaluate('{"format": 1, "period": "month", "sources": {"ticket": {"key": "ticket_id", "ready_at": "done_at"}}, "currency": "CNY", "time_zone": "UTC", %s}', t) FROM repairs.ticket AS t LIMIT 1 $$, members);
SELECT throws_ok(errors.forged(members), state, message, message) FROM (VALUES
    ('"rules": [], "facts": {"f": {"key": "k", "type": "bytea", "value": "v", "lookup": "worker", "relation": "t"}}', '22023', 'fact "f" cannot be of type "bytea"'),
    ((SELECT format('"rules": [], "facts": {%s}', string_agg(format('"f%s": {"key": "k", "type": "numeric", "value": "v", "lookup": "1", "relation": "t"}', i), ',')) FROM generate_series(1, 32767) AS i),
        '54000', (SELECT format('source "ticket" has too many names: %s', 32767 + 14 + c.relnatts) FROM pg_class AS c WHERE c.oid = 'repairs.ticket'::regclass))) AS v(members, state, message);

----------------------------------------------------------------------------------------------------
-- A book that somebody has spoilt, values that are damaged
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('spoilt', settle_on => 'commit') \g /dev/null
CREATE TABLE errors.price (k text, v numeric, now_is timestamptz);
CREATE FUNCTION errors.swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
INSERT INTO errors.price VALUES ('1', 2);
SELECT settle.add_fact('spoilt', 'price', 'errors.price', 'k', value => 'v', lookup => 'worker') \g /dev/null
SELECT settle.add_rule('spoilt', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount * f.price') \g /dev/null
INSERT INTO spoilt.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('T', '2025-11-03', 'a', 'b', '1', 1000);
CREATE FUNCTION errors.after(damage text) RETURNS text LANGUAGE sql
RETURN damage || $$; UPDATE spoilt.ticket SET amount = 7; SET CONSTRAINTS ALL IMMEDIATE $$;
CREATE CAST (bytea AS settle.tiers) WITHOUT FUNCTION;
CREATE CAST (bytea AS settle.lines) WITHOUT FUNCTION;
CREATE CAST (bytea AS settle.ruleset) WITHOUT FUNCTION;
CREATE CAST (settle.lines AS bytea) WITHOUT FUNCTION;
SELECT is(settle.lines_send(s.lines), s.lines::bytea, 'lines are sent as they are stored') FROM spoilt.sheet AS s;
-- bytes that stand where a type aligned to four or to eight is read
CREATE TYPE errors.by_four;
CREATE TYPE errors.by_eight;
CREATE FUNCTION errors.by_four_in(cstring) RETURNS errors.by_four AS 'byteain' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION errors.by_four_out(errors.by_four) RETURNS cstring AS 'byteaout' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION errors.by_eight_in(cstring) RETURNS errors.by_eight AS 'byteain' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION errors.by_eight_out(errors.by_eight) RETURNS cstring AS 'byteaout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE errors.by_four (INPUT = errors.by_four_in, OUTPUT = errors.by_four_out, ALIGNMENT = int4, STORAGE = extended);
CREATE TYPE errors.by_eight (INPUT = errors.by_eight_in, OUTPUT = errors.by_eight_out, ALIGNMENT = double, STORAGE = extended);
CREATE CAST (errors.by_four AS ltree) WITHOUT FUNCTION;
CREATE CAST (errors.by_eight AS settle.tiered_fee_state) WITHOUT FUNCTION;
SELECT throws_ok(call, state, message, message) FROM (VALUES
    (errors.after('DROP TABLE spoilt.gate CASCADE'), '42P01', 'table "gate" of book "spoilt" is missing'),
    (errors.after('DROP TABLE errors.price'), '42P01', 'the relation of fact "price" is gone'),
    (errors.after($$ ALTER TABLE spoilt.rule DISABLE TRIGGER ALL; DELETE FROM spoilt.rule; ALTER TABLE spoilt.rule ENABLE TRIGGER ALL;
        SELECT settle.add_rule('spoilt', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount') $$), 'XX001', 'ticket "T" of source "ticket" was settled by rule number 1, which is not there any more'),
    (errors.after('CREATE TRIGGER swallow BEFORE INSERT ON spoilt.sheet FOR EACH ROW EXECUTE FUNCTION errors.swallow()'), '09000', '1 rows of table "sheet" were not written'),
    (errors.after('DELETE FROM spoilt.fresh_run; ALTER TABLE spoilt.fresh_run ADD COLUMN mine integer NOT NULL'), '23502', 'null value in column "mine" of relation "fresh_run" violates not-null constraint'),
    (errors.after('ALTER TABLE spoilt.sheet DROP COLUMN inputs CASCADE'), '42704', 'schema "spoilt" is not a book'),
    ('DELETE FROM spoilt.book; SELECT settle.rules(''spoilt'')', '55000', 'book "spoilt" has lost its settings'),
    ('DROP TABLE spoilt.ticket CASCADE; UPDATE spoilt.ticket_type SET project = project', '42704', 'schema "spoilt" is not a book'),
    ('CREATE TRIGGER stray AFTER INSERT ON errors.price FOR EACH ROW EXECUTE FUNCTION settle.capture(); INSERT INTO errors.price VALUES (2)', '39P01', 'trigger "stray" does not name a book and a source'),
    ('CREATE TRIGGER stray AFTER INSERT ON errors.price FOR EACH ROW EXECUTE FUNCTION settle.capture(''spoilt'', ''stray''); INSERT INTO errors.price VALUES (2)', '55000', '"price" is not the source "stray" of book "spoilt"'),
    ($$ SELECT settle.add_fact('spoilt', 'day', 'errors.price', 'k', value => 'now_is', lookup => 'worker'); SELECT settle.add_source('spoilt', 'late', 'spoilt.ticket', key => 'ticket_id', ready_at => 'done_at', period_at => 'coalesce(f.day, done_at)');
        SELECT settle.rescan('spoilt', '2025-01-01', source => 'late') $$, '0A000', 'tickets of source "late" cannot be bounded by time'),
    ($$ ALTER TABLE spoilt.ticket DROP COLUMN details CASCADE; SELECT settle.open_ticket('spoilt', 'job', region => 'a') $$, '42703', 'table "ticket" of the book has no column "details" as settle.create_book makes it'),
    ($$ DROP TABLE spoilt.promotion CASCADE; SELECT settle.map_payload('spoilt', 'taobao', payload => '{}') $$, '42P01', 'table "promotion" does not exist in book "spoilt"'),
    ($$ UPDATE spoilt.pack SET state = 'disabled', valid = '(,)', digest = '\x00', submitted_by = 'a' WHERE pack = 'base' $$, '55000', 'pack "base" cannot go from enabled to disabled'),
    ($$ DELETE FROM spoilt.book; SELECT settle.legal_moves('spoilt', 'T') $$, '55000', 'book "spoilt" has lost its settings'),
    ($$ DROP TABLE spoilt.ticket CASCADE; SELECT settle.legal_moves('spoilt', 'T') $$, '42704', 'schema "spoilt" is not a book'),
    ($$ CREATE SCHEMA astray; CREATE TABLE astray.ticket (LIKE spoilt.ticket); CREATE TRIGGER vet BEFORE INSERT ON astray.ticket FOR EACH ROW EXECUTE FUNCTION settle.vet_ticket();
        INSERT INTO astray.ticket (ticket_id, type, region) VALUES ('T', 'job', 'a') $$, '42704', 'schema "astray" is not a book'),
    ($$ SELECT settle._tiered_fee_final('\x00'::errors.by_eight::settle.tiered_fee_state) $$, 'XX001', 'state of settle.tiered_fee is damaged'),
    ($$ SELECT settle.revenue_matrix('\x05000000'::errors.by_four::ltree, 'a', '2025-01-01', 1, 1) $$, 'XX001', 'ltree value of 4 bytes is damaged'),
    ($$ SELECT settle.evaluate(replace(settle.rules('spoilt')::text, '"code": "fee"', '"pack": "none", "code": "fee"')::settle.ruleset, t) FROM spoilt.ticket AS t $$, '42704', 'rule "fee" belongs to the pack "none", which the ruleset does not have'),
    ($$ SELECT settle.fee('\x00'::bytea::settle.tiers, 1) $$, '22P03', 'invalid binary form of tiers: it ends too early'),
    ($$ SELECT settle.unnest('\x00'::bytea::settle.lines) $$, '22P03', 'malformed settle.lines value: its format is not known'),
    ($$ SELECT settle.unnest(s.lines) FROM spoilt.sheet AS s $$, '22023', 'lines of a sheet hold numbers of their book, not codes'),
    ($$ SELECT settle._unpack(settle.evaluate(settle.rules('spoilt'), t, facts => '{"price": 1}')) FROM spoilt.ticket AS t $$, '22023', 'lines hold codes, not numbers of a book'),
    ($$ SELECT settle.evaluate('\x0000000000000000'::bytea::settle.ruleset, t) FROM spoilt.ticket AS t $$, 'XX001', 'settle.ruleset value has unknown format 0')) AS v(call, state, message);

----------------------------------------------------------------------------------------------------
-- A source that the owner of the book cannot read
----------------------------------------------------------------------------------------------------
CREATE ROLE errors_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO errors_owner', :'DBNAME') \gexec
SET ROLE errors_owner;
SELECT settle.create_book('poor') \g /dev/null
RESET ROLE;
SELECT throws_ok($$ SELECT settle.add_source('poor', 'price', 'errors.price', key => 'k', ready_at => 'now_is') $$, '42501', 'the owner of book "poor" cannot read "price"', 'a source that the owner of its book cannot read');
DROP OWNED BY errors_owner CASCADE;
DROP ROLE errors_owner;

SELECT * FROM finish();
