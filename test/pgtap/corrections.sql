-- Yesterday's ticket changes: whatever happens to it, what stands for it is what
-- the rules say, by difference lines, in the tally and with the rule version of
-- its own time, posted in the open period.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'America/New_York';		-- any zone but the book's
SELECT no_plan();
-- months are closed by hand here, without statements
SET check_function_bodies = off;		-- functions come before the book they ask

CREATE SCHEMA fix_test;
-- What differs, by own period, between the book and one that settles the tickets as they are now for the first time.
CREATE FUNCTION fix_test.afresh() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'fix.rule'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'rule_id');
BEGIN
    PERFORM settle.create_book('twin');
    INSERT INTO twin.decision SELECT * FROM fix.decision;
    INSERT INTO twin.outcome SELECT * FROM fix.outcome;
    EXECUTE format('INSERT INTO twin.rule (%1$s) SELECT %1$s FROM fix.rule ORDER BY rule_id', columns);
    INSERT INTO twin.ticket SELECT * FROM fix.ticket;
    PERFORM settle.run('twin');
    RETURN QUERY
        SELECT concat_ws(' ', f.*) || ' <> ' || concat_ws(' ', t.*)
        FROM (SELECT rule_code, payer, payee, coalesce(corrects_period, period) AS own, sum(amount) AS amount FROM fix.line_detail GROUP BY 1, 2, 3, 4 HAVING sum(amount) <> 0) AS f
        FULL JOIN (SELECT rule_code, payer, payee, coalesce(corrects_period, period) AS own, sum(amount) AS amount FROM twin.line_detail GROUP BY 1, 2, 3, 4 HAVING sum(amount) <> 0) AS t
        USING (rule_code, payer, payee, own) WHERE f.amount IS DISTINCT FROM t.amount
        UNION ALL
        SELECT concat_ws(' ', f.*) || ' <> ' || concat_ws(' ', t.*)
        FROM (SELECT project, region, coalesce(corrects_period, period) AS own, sum(tickets) AS tickets, sum(revenue) AS revenue, sum(payout) AS payout FROM fix.sheet WHERE source_id > 0 GROUP BY 1, 2, 3 HAVING sum(tickets) <> 0) AS f
        FULL JOIN (SELECT project, region, period AS own, sum(tickets) AS tickets, sum(revenue) AS revenue, sum(payout) AS payout FROM twin.sheet WHERE source_id > 0 GROUP BY 1, 2, 3 HAVING sum(tickets) <> 0) AS t
        USING (project, region, own) WHERE (f.tickets, f.revenue) IS DISTINCT FROM (t.tickets, t.revenue);
    DROP SCHEMA twin CASCADE;
END $$;
-- The lines of the last run: ticket, component, payee, amount, period and the one it corrects.
CREATE FUNCTION fix_test.posted() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', CASE source WHEN 'tally' THEN 'tally' ELSE ticket_key END, component, payee, amount, to_char(period, 'MM'), '<- ' || to_char(corrects_period, 'MM')), E'\n'
        ORDER BY source DESC, ticket_key COLLATE "C", component, payee, revision, line)
    FROM fix.line_detail WHERE run_id = (SELECT max(run_id) FROM fix.run)
$$;
CREATE FUNCTION fix_test.month(month text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', count(*), md5(string_agg(s::text, E'\n' ORDER BY sheet_id)), (SELECT sum(received - given) FROM fix.party_delta AS d JOIN fix.party USING (party_id) WHERE d.period = month::date AND party LIKE 'staff:%'))
    FROM fix.sheet AS s WHERE period = month::date
$$;

SELECT settle.create_book('fix') \g /dev/null
UPDATE fix.source SET on_delete = 'reverse';
SELECT settle.add_decision('fix', 'place', fallback => '1'), settle.add_outcome('fix', 'place', $$ region <@ 'cn.west' $$, '1.5') \g /dev/null
SELECT settle.add_rule('fix', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8% to 5000, 10%', accumulate => 'month', valid => '(,2025-10-15 00:00+08)'),
    settle.add_rule('fix', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 4% to 1000, 7%', accumulate => 'month', factors => '{place}', valid => '[2025-10-15 00:00+08,)'),
    settle.add_rule('fix', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', factors => '{place}') \g /dev/null
INSERT INTO fix.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('01', '2025-10-02 10:00+08', 'a', 'cn.east', '1', 600), ('02', '2025-10-03 10:00+08', 'a', 'cn.east', '1', 700), ('03', '2025-10-20 10:00+08', 'a', 'cn.west', '1', 800),
    ('04', '2025-10-21 10:00+08', 'b', 'cn.east', '2', 500), ('05', '2025-10-31 23:59+08', 'b', 'cn.west', '2', 900), ('06', '2025-11-01 00:01+08', 'b', 'cn.west', '2', 300),
    ('07', '2025-11-02 10:00+08', 'a', 'cn.east', '1', 1000);
SELECT settle.run('fix') \g /dev/null
SELECT is((SELECT count(*) FROM fix.edit), 0::bigint, 'rules before anything is posted are no edit of the past');
SELECT is((SELECT array_agg(DISTINCT valid) FROM fix.rule WHERE code = 'fee'), '{"(,)"}', 'and are in force for ever');

CREATE FUNCTION fix_test.edits() RETURNS text LANGUAGE sql SET timezone = 'Asia/Shanghai' AS $$
    SELECT string_agg(concat_ws(' ', coalesce(source, 'every'), to_char(lower(during), 'MM-DD'), to_char(upper(during), 'MM-DD')), ', ' ORDER BY lower(during) NULLS FIRST, upper(during)) FROM fix.edit
$$;
BEGIN;
SELECT settle.add_rule('fix', 'extra', 'extra', 'hq', 'pool', base => '1') \g /dev/null
SELECT is((SELECT lower(valid) FROM fix.rule WHERE code = 'extra'), '2025-10-01 00:00+08'::timestamptz, 'once something is posted, a rule without valid is in force from the oldest open month on');
SELECT settle.add_outcome('fix', 'place', $$ region <@ 'cn.north' $$, '2') \g /dev/null
SELECT is((SELECT lower(valid) FROM fix.outcome ORDER BY outcome_id DESC LIMIT 1), '2025-10-01 00:00+08'::timestamptz, 'so is an outcome');
CREATE TEMP TABLE places AS SELECT 'cn.south'::ltree AS region, 3 AS outcome;
SELECT settle.add_table('fix', 'place', '{region}', 'places') \g /dev/null
SELECT is((SELECT lower(valid) FROM fix.outcome ORDER BY outcome_id DESC LIMIT 1), '2025-10-01 00:00+08'::timestamptz, 'and a table of them');
SELECT is(fix_test.edits(), 'ticket 10-01, ticket 10-01, ticket 10-01', 'each reaches back so far and no further');
SELECT settle.add_pack('fix', 'later'), settle.add_rule('fix', 'more', 'more', 'hq', 'pool', base => '1', pack => 'later') \g /dev/null
SELECT is((SELECT valid FROM fix.rule WHERE code = 'more'), '(,)', 'what stands in a pack lasts as long as the pack');
SELECT is(fix_test.edits(), 'ticket 10-01, ticket 10-01, ticket 10-01', 'and is no edit before it is enabled');
ROLLBACK;

----------------------------------------------------------------------------------------------------
-- In the open month, and again once October is closed
----------------------------------------------------------------------------------------------------
SELECT fix_test.month('2025-10-01') AS october \gset open_
INSERT INTO fix.period (period, state, changed_by) VALUES ('2025-10-01', 'closed', 'test');
SELECT is((SELECT concat_ws(' ', tickets, lines) FROM settle.run('fix')), '0 0', 'closing moves nothing');
SELECT settle.rescan('fix') \g /dev/null
SELECT is((SELECT concat_ws(' ', tickets, lines, corrections) FROM settle.run('fix')), '0 0 0', 'an unchanged ticket of a closed month produces nothing');

UPDATE fix.ticket SET amount = 400 WHERE ticket_id = '01';
SELECT settle.run('fix') \g /dev/null
SELECT is(fix_test.posted(), '01 bonus staff:1 -7.00 11 <- 10
01 fee staff:1 -20.00 11 <- 10
tally bonus.retier staff:1 -9.00 11 <- 10', 'refunded in part: by the version of its own time, in the tally of October, posted in November');
SELECT is_empty('SELECT fix_test.afresh()', 'refunded in part');
SELECT is((SELECT string_agg(concat_ws(' ', rule_code, owner, to_char(period, 'MM'), tickets, quantity::int), ', ' ORDER BY owner, period) FROM fix.tally), 'bonus staff:1 10 3 1900, bonus staff:1 11 1 1000, bonus staff:2 10 2 1400, bonus staff:2 11 1 300', 'tallies keep the month of the tickets');

UPDATE fix.ticket SET amount = 0 WHERE ticket_id = '02';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'refunded in whole');
SELECT is((SELECT array_agg(DISTINCT concat_ws(' ', period, corrects_period)) FROM fix.line_detail WHERE run_id = (SELECT max(run_id) FROM fix.run)), '{"2025-11-01 2025-10-01"}', 'all of it in November, for October');

UPDATE fix.ticket SET done_at = NULL WHERE ticket_id = '03';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'cancelled');
SELECT is((SELECT sum(tickets) FROM fix.sheet WHERE ticket_key = '03'), 0::bigint, 'a cancelled ticket is settled no more');
UPDATE fix.ticket SET done_at = '2025-10-20 10:00+08' WHERE ticket_id = '03';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'and done after all');
UPDATE fix.ticket SET done_at = NULL WHERE ticket_id = '03';
SELECT settle.run('fix') \g /dev/null
UPDATE fix.ticket SET done_at = '2025-11-20 10:00+08' WHERE ticket_id = '03';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 're-opened and done in November: by the rules of November');
SELECT is((SELECT array_agg(DISTINCT corrects_period) FROM fix.sheet WHERE ticket_key = '03' AND tickets = 1 AND run_id = (SELECT max(run_id) FROM fix.run)), '{NULL}', 'what is November''s own corrects nothing');

UPDATE fix.ticket SET region = 'cn.west' WHERE ticket_id = '04';
SELECT settle.run('fix') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', revision, region, tickets, revenue::int, to_char(period, 'MM'), to_char(corrects_period, 'MM')), ', ' ORDER BY revision) FROM fix.sheet WHERE ticket_key = '04'),
    '1 cn.east 1 500 10, 2 cn.east -1 -500 11 10, 3 cn.west 1 500 11 10', 'its region was wrong: taken back where it stood and posted anew, both for October');
SELECT is_empty('SELECT fix_test.afresh()', 'region corrected');
UPDATE fix.ticket SET worker = '1' WHERE ticket_id = '05';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'staff corrected');
SELECT is((SELECT sum(amount) FROM fix.line_detail WHERE ticket_key = '05' AND payee = 'staff:2'), 0.00, 'the wrong one has nothing of it');

UPDATE fix.ticket SET done_at = '2025-11-01 00:00+08' WHERE ticket_id = '05';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'moved out of October');
UPDATE fix.ticket SET done_at = '2025-10-31 23:59+08' WHERE ticket_id = '06';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'moved into October, which is closed');
INSERT INTO fix.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('08', '2025-10-30 10:00+08', 'a', 'cn.east', '3', 2000);
SELECT settle.run('fix') \g /dev/null
SELECT is(fix_test.posted(), E'08 bonus staff:3 140.00 11 <- 10\n08 fee staff:3 200.00 11 <- 10', 'a late ticket of October');
SELECT is_empty('SELECT fix_test.afresh()', 'a late ticket');
DELETE FROM fix.ticket WHERE ticket_id = '08';
SELECT settle.run('fix') \g /dev/null
SELECT is_empty('SELECT fix_test.afresh()', 'deleted, and taken back');

SELECT is(fix_test.month('2025-10-01'), :'open_october', 'the sheets of October and what its parties got are as they were when it closed');
SELECT is((SELECT sum(revenue) FROM fix.revenue_matrix WHERE period = '2025-10-01' AND project_level = 0 AND region_level = 0), 3500.00, 'so are its revenue figures');
SELECT is((SELECT sum(amount) FROM fix.line_detail), (SELECT sum(received) FROM fix.party_delta), 'nothing is lost between them');
SELECT is_empty($$ SELECT * FROM settle.check('fix') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- A row is gone
----------------------------------------------------------------------------------------------------
UPDATE fix.source SET on_delete = 'hold';
DELETE FROM fix.ticket WHERE ticket_id = '04';
SELECT is((SELECT concat_ws(' ', tickets, lines, held, problems) FROM settle.run('fix')), '0 0 1 1', 'hold: the ticket stands in problem and keeps its money');
UPDATE fix.source SET on_delete = 'ignore';
DELETE FROM fix.ticket WHERE ticket_id = '01';
SELECT is((SELECT concat_ws(' ', tickets, lines, held, problems) FROM settle.run('fix')), '0 0 0 0', 'ignore: it keeps its money and nobody is asked');
SELECT is((SELECT string_agg(ticket_key, ' ') FROM fix.problem), '04', 'one is held, the other not');
UPDATE fix.source SET on_delete = 'reverse';
SELECT settle.rescan('fix') \g /dev/null
-- two of seven are missing: too many for a scan to take back
SELECT is((SELECT concat_ws(' ', tickets, held) FROM settle.run('fix')), '0 2', 'a scan that misses many takes nothing back');
INSERT INTO fix.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('04', '2025-10-21 10:00+08', 'b', 'cn.west', '2', 500), ('01', '2025-10-02 10:00+08', 'a', 'cn.east', '1', 400);
DELETE FROM fix.ticket WHERE ticket_id = '04';
SELECT is((SELECT concat_ws(' ', tickets, held) FROM settle.run('fix')), '1 0', 'reverse: it is taken back');
SELECT is_empty('SELECT fix_test.afresh()', 'after holding, ignoring and reversing');

----------------------------------------------------------------------------------------------------
-- Closed and opened again
----------------------------------------------------------------------------------------------------
INSERT INTO fix.period (period, state, changed_by) VALUES ('2025-11-01', 'closed', 'test');
UPDATE fix.ticket SET amount = amount + 100;
SELECT settle.run('fix') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT concat_ws(' ', period, corrects_period) ORDER BY concat_ws(' ', period, corrects_period)) FROM fix.line_detail WHERE run_id = (SELECT max(run_id) FROM fix.run)),
    '{"2025-12-01 2025-10-01","2025-12-01 2025-11-01"}', 'two closed months are corrected in the third');
SELECT is_empty('SELECT fix_test.afresh()', 'two closed months');
UPDATE fix.period SET state = 'open', changed_at = clock_timestamp() WHERE period = '2025-11-01';
UPDATE fix.ticket SET amount = amount - 30;
SELECT settle.run('fix') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT concat_ws(' ', period, corrects_period) ORDER BY concat_ws(' ', period, corrects_period)) FROM fix.line_detail WHERE run_id = (SELECT max(run_id) FROM fix.run)),
    '{2025-11-01,"2025-11-01 2025-10-01"}', 'opened again, November is posted in');
SELECT is_empty('SELECT fix_test.afresh()', 'opened again');
UPDATE fix.period SET state = 'closing', changed_at = clock_timestamp() WHERE period = '2025-11-01';
UPDATE fix.ticket SET amount = amount - 1 WHERE ticket_id = '07';
SELECT settle.run('fix') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT period) FROM fix.sheet WHERE run_id = (SELECT max(run_id) FROM fix.run)), '{2025-11-01}', 'a month that is being closed is open');
SELECT is_empty($$ SELECT * FROM settle.check('fix') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

-- What check says of sheets that stand where they must not
BEGIN;
UPDATE fix.period SET state = 'closed', changed_at = '2025-01-01' WHERE period = '2025-11-01';
SELECT is((SELECT array_agg(DISTINCT invariant) FROM settle.check('fix') WHERE invariant !~ 'statement'), '{"nothing is posted in a period after it was closed"}', 'posted after the close');
ROLLBACK;
BEGIN;
ALTER TABLE fix.sheet DISABLE TRIGGER append_only;
UPDATE fix.sheet SET corrects_period = period WHERE sheet_id = 1;
SELECT is((SELECT array_agg(DISTINCT invariant) FROM settle.check('fix') WHERE invariant !~ 'statement'), '{"a sheet corrects an earlier period than the one it stands in"}', 'corrects itself');
ROLLBACK;

----------------------------------------------------------------------------------------------------
-- Edits of the past
----------------------------------------------------------------------------------------------------
SELECT is((SELECT count(*) FROM fix.edit), 0::bigint, 'an edit that is rolled back leaves nothing');
BEGIN;
-- the base is free where nothing is closed
UPDATE fix.period SET state = 'open';
UPDATE fix.rule SET title = 'a title' WHERE code = 'fee';
SELECT is((SELECT count(*) FROM fix.edit), 0::bigint, 'a title is no edit');
SELECT settle.end_rule('fix', 'fee', '2025-10-20 00:00+08') \g /dev/null
SELECT is(fix_test.edits(), 'ticket 10-20', 'an end touches what comes after it');
UPDATE fix.rule SET valid = '(,2025-10-25 00:00+08)' WHERE code = 'fee';
SELECT is(fix_test.edits(), 'ticket 10-20 10-25, ticket 10-20', 'moved, what lies between');
UPDATE fix.outcome SET valid = '[2025-10-10 00:00+08,2025-10-12 00:00+08)';
SELECT is(fix_test.edits(), 'ticket 10-10, ticket 10-12, ticket 10-20 10-25, ticket 10-20', 'what is cut off at both ends');
DELETE FROM fix.edit;
UPDATE fix.outcome SET outcome = '9', valid = '[2025-10-11 00:00+08,2025-10-14 00:00+08)', source = NULL;
SELECT is(fix_test.edits(), 'ticket 10-10 10-12, every 10-11 10-14', 'another outcome: all of both');
DELETE FROM fix.edit;
SELECT settle.add_pack('fix', 'draft') \g /dev/null
UPDATE fix.outcome SET pack = 'draft';
SELECT is(fix_test.edits(), 'every 10-11 10-14', 'out of force is like removed');
UPDATE fix.outcome SET outcome = '10';
DELETE FROM fix.outcome;
SELECT is(fix_test.edits(), 'every 10-11 10-14', 'what is not in force is edited without a note');
ROLLBACK;

BEGIN;
UPDATE fix.period SET state = 'open';
SELECT settle.end_rule('fix', 'fee', '2025-11-01 00:00+08') \g /dev/null
SELECT settle.add_rule('fix', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '20%', factors => '{place}', valid => '[2025-11-01 00:00+08,)') \g /dev/null
UPDATE fix.period SET state = 'closed', changed_at = clock_timestamp() WHERE period = '2025-10-01';
COMMIT;
SELECT is((SELECT array_agg(ticket_id ORDER BY 1) FROM fix.ticket WHERE done_at >= '2025-11-01 00:00+08'), '{03,05,07}', 'three tickets are of November');
SELECT is((SELECT tickets FROM settle.run('fix')), 3::bigint, 'only they are settled again');
SELECT is_empty('SELECT fix_test.afresh()', 'a version changed in the past');
SELECT is((SELECT count(*) FROM fix.edit), 0::bigint, 'the edit is forgotten');
SELECT is((SELECT count(*) FROM fix.pending), 0::bigint, 'and nothing is left pending');
SELECT is((SELECT concat_ws(' ', tickets, lines) FROM settle.run('fix')), '0 0', 'once is enough');
BEGIN;
UPDATE fix.period SET state = 'open';
INSERT INTO fix.outcome (decision, applies_when, outcome, priority) VALUES ('place', $$ region <@ 'cn.west' AND worker = '2' $$, '3', 1);
UPDATE fix.period SET state = 'closed', changed_at = clock_timestamp() WHERE period = '2025-10-01';
COMMIT;
SELECT settle.run('fix', 1) \g /dev/null
CALL settle.run_all('fix', 1);
SELECT is_empty('SELECT fix_test.afresh()', 'an outcome for all time, in runs of one ticket');
SELECT is(fix_test.month('2025-10-01'), :'open_october', 'October is still as it was');

-- a pack that is enabled in the past
SELECT settle.add_pack('fix', 'fuel'), settle.add_rule('fix', 'fuel', 'fuel', 'hq', 'staff:{worker}', base => '7', pack => 'fuel'),
    settle.add_rule('fix', 'toll', 'toll', 'hq', 'staff:{worker}', base => '1', valid => '(,2025-10-30)', pack => 'fuel') \g /dev/null
UPDATE fix.pack SET state = 'submitted', submitted_by = 'maker', digest = settle._pack_digest('fix', 'fuel') WHERE pack = 'fuel';
UPDATE fix.pack SET state = 'approved', approved_by = 'checker' WHERE pack = 'fuel';
SELECT is((SELECT count(*) FROM fix.edit), 0::bigint, 'a pack that is not in force edits nothing');
SELECT settle.enable_pack('fix', 'fuel', '2025-10-20 00:00+08', reach_back => true) \g /dev/null
SELECT is(fix_test.edits(), 'ticket 10-20 10-30, ticket 10-20', 'enabled, it edits while it and its rules are valid');
SELECT is((SELECT tickets FROM settle.run('fix')), (SELECT count(*) FROM fix.ticket WHERE done_at >= '2025-10-20 00:00+08'), 'the tickets since then are settled again');
SELECT settle.disable_pack('fix', 'fuel', '2025-11-01 00:00+08') \g /dev/null
SELECT is(fix_test.edits(), 'ticket 11-01', 'disabled, what comes after its end');
SELECT settle.run('fix') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', rule_code, tickets), ', ' ORDER BY rule_code) FROM (SELECT rule_code, sum(amount)::int AS tickets FROM fix.line_detail WHERE rule_code IN ('fuel', 'toll') GROUP BY 1) AS l),
    'fuel 7', 'those of its time keep what it gives');
SELECT is_empty($$ SELECT * FROM settle.check('fix') WHERE invariant !~ 'statement' $$, 'the book agrees with itself');

-- rules_at, not period_at, says which tickets an edit touches; rows that the book never settled stay alone
SELECT settle.create_book('times') \g /dev/null
CREATE TABLE fix_test.job (id int PRIMARY KEY, ordered timestamptz, done timestamptz, amount numeric);
INSERT INTO fix_test.job VALUES (0, '2025-01-01', '2025-01-01', 1);
SELECT settle.add_source('times', 'job', 'fix_test.job', key => 'id', ready_at => 'done', rules_at => 'ordered', revenue => 'amount'),
    settle.add_rule('times', 'r', 'c', 'hq', 'p', base => 'amount', source => 'job') \g /dev/null
INSERT INTO fix_test.job VALUES (1, '2025-10-01', '2025-11-01', 10), (2, '2025-11-01', '2025-11-02', 20);
SELECT settle.run('times') \g /dev/null
SELECT settle.add_rule('times', 's', 's', 'hq', 'q', base => 'amount', source => 'job', valid => '(,2025-10-15)') \g /dev/null
SELECT is((SELECT concat_ws(' ', tickets, amount) FROM settle.run('times')), '1 10.00', 'ordered in October, done in November: the edit in October touches it');
SELECT is((SELECT count(*) FROM times.sheet WHERE ticket_key = '0'), 0::bigint, 'a row from before the source was added is not settled by it');
SELECT is_empty($$ SELECT * FROM settle.check('times') WHERE object <> 'job 0' $$, 'the book agrees with itself');

----------------------------------------------------------------------------------------------------
-- By posting time: what comes at one price and goes at another
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('late') \g /dev/null
UPDATE late.source SET on_delete = 'reverse';
SELECT settle.add_rule('late', 'pay', 'pay', 'hq', 'staff:{worker}', base => 'amount', tiers => '1% to 1000, 10%', accumulate => 'month', clock => 'posting') \g /dev/null
INSERT INTO late.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-10-02 10:00+08', 'a', 'b', '1', 1000), ('2', '2025-10-03 10:00+08', 'a', 'b', '1', 500);
SELECT settle.run('late') \g /dev/null
UPDATE late.ticket SET amount = 100 WHERE ticket_id = '1';
SELECT settle.run('late') \g /dev/null
SELECT settle.rescan('late') \g /dev/null
SELECT is((SELECT concat_ws(' ', tickets, lines) FROM settle.run('late')), '0 0', 'an unchanged ticket produces nothing by posting time, either');
UPDATE late.ticket SET worker = '2' WHERE ticket_id = '1';
DELETE FROM late.ticket WHERE ticket_id = '2';
SELECT settle.run('late') \g /dev/null
SELECT settle.rescan('late') \g /dev/null
SELECT is((SELECT concat_ws(' ', tickets, lines) FROM settle.run('late')), '0 0', 'nor does one that went from one to another');
INSERT INTO late.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('2', '2025-10-03 10:00+08', 'a', 'b', '1', 500);
SELECT settle.run('late') \g /dev/null
SELECT is((SELECT sum(payout) FROM late.sheet), (SELECT sum(amount) FROM late.line_detail), 'its payout is what its lines sum to');
SELECT is_empty($$ SELECT * FROM settle.check('late') $$, 'the book agrees with itself');

SELECT * FROM finish();
DROP SCHEMA fix_test, fix, times, late CASCADE;
