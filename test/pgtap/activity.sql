-- rule_activity, cost_share and party_balance: they equal the lines, folded or
-- not, after corrections and withdrawals; a rate far off its past is marked.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SET jit = off;
SELECT no_plan();
SELECT settle.create_book('shop') \g /dev/null
UPDATE shop.book SET max_correction = NULL;
SELECT settle.add_rule('shop', 'fee', 'fee', '{dealer}', 'staff:{worker}', base => 'amount', tiers => 'volume 10% to 3000, 7%', accumulate => 'month', tally_by => 'staff:{worker}') \g /dev/null
SELECT settle.add_rule('shop', 'rush', 'extra', 'hq', 'staff:{worker}', base => '5', applies_when => 'rush') \g /dev/null
SELECT settle.add_rule('shop', 'night', 'nightly', 'dealer:d1', payees => $$ARRAY['staff:' || worker, 'staff:0']$$, base => 'amount', tiers => '3.33%', applies_when => 'night', unit => 'POINTS') \g /dev/null
SELECT settle.add_rule('shop', 'monthly', 'monthly', 'hq', '{party}', base => '50', source => 'period') \g /dev/null
SELECT settle.add_to_roster('shop', 'staff:w1') \g /dev/null
-- one ticket in ten rushes from January to May, two in five in June; night work stops with April
INSERT INTO shop.ticket (ticket_id, done_at, project, region, dealer, worker, amount, rush, night, currency)
SELECT m || '-' || i, make_timestamptz(2025, m, 1 + i % 28, i % 24, 0, 0), 'a.x', 'cn.e', 'dealer:d' || i % 3, 'w' || i % 4, 80 + i % 41, i % (CASE m WHEN 6 THEN 5 ELSE 10 END) < (CASE m WHEN 6 THEN 2 ELSE 1 END), i % 8 = 0 AND m < 5, CASE WHEN i % 50 = 0 THEN 'USD' END
FROM generate_series(1, 6) AS m CROSS JOIN generate_series(1, 200) AS i;
SELECT settle.run('shop') \g /dev/null

CREATE VIEW public.hit AS
    SELECT d.rule_code, d.period, d.unit, sum(d.lines) AS lines, sum(d.amount) AS amount
    FROM (SELECT rule_code, period, unit, 1 AS lines, amount FROM shop.line_detail) AS d GROUP BY 1, 2, 3;
CREATE VIEW public.wrong AS
    (SELECT 'rule' AS what, rule_code, period, unit, lines, amount FROM shop.rule_activity WHERE lines <> 0 OR amount <> 0
     EXCEPT ALL SELECT 'rule', rule_code, period, unit, lines, amount FROM public.hit)
    UNION ALL
    (SELECT 'rule', rule_code, period, unit, lines, amount FROM public.hit
     EXCEPT ALL SELECT 'rule', rule_code, period, unit, lines, amount FROM shop.rule_activity)
    UNION ALL
    (SELECT 'payer', payer || component, period, unit, lines, amount FROM shop.cost_share
     EXCEPT ALL SELECT 'payer', payer || component, period, unit, count(*), sum(amount) FROM shop.line_detail GROUP BY 2, 3, 4)
    UNION ALL
    (SELECT 'payer', payer || component, period, unit, count(*), sum(amount) FROM shop.line_detail GROUP BY 2, 3, 4
     EXCEPT ALL SELECT 'payer', payer || component, period, unit, lines, amount FROM shop.cost_share)
    UNION ALL
    SELECT 'party', b.party, NULL, b.unit, NULL, b.owed FROM shop.party_balance AS b
    FULL JOIN (SELECT p.party, l.unit, sum(CASE p.party WHEN l.payee THEN l.amount ELSE -l.amount END) AS amount FROM shop.party AS p JOIN shop.line_detail AS l ON p.party IN (l.payer, l.payee) WHERE p.side IN ('outside', 'tax') GROUP BY 1, 2) AS l USING (party, unit)
    LEFT JOIN (SELECT y.party, y.unit, sum(y.amount) AS paid FROM shop.payment AS y GROUP BY 1, 2) AS y USING (party, unit)
    WHERE (b.earned, b.paid, b.owed, b.owed) IS DISTINCT FROM (l.amount, coalesce(y.paid, 0), l.amount - coalesce(y.paid, 0), b.due + b.held + b.carried + b.unstated);

SELECT is_empty('SELECT * FROM public.wrong', 'views equal the lines before anything is folded');
SELECT is_empty($$ SELECT a.* FROM shop.rule_activity AS a JOIN (SELECT rule_code, period, unit, count(DISTINCT ticket_key) AS hits FROM shop.line_detail WHERE source = 'ticket' GROUP BY 1, 2, 3) AS l USING (rule_code, period, unit) WHERE a.hits <> l.hits $$, 'a hit is a ticket, however many lines it gets');
SELECT settle._fold('shop', 300) \g /dev/null
SELECT is_empty('SELECT * FROM public.wrong', 'nor while some is');
SELECT settle._fold('shop') \g /dev/null
SELECT is((SELECT count(*) FROM shop.unfolded), 0::bigint, 'nothing waits');
SELECT is_empty('SELECT * FROM public.wrong', 'nor when all is');

----------------------------------------------------------------------------------------------------
-- A rule against its own past
----------------------------------------------------------------------------------------------------
SELECT results_eq($$ SELECT period, hits, tickets, rate, former_periods, is_off FROM shop.rule_activity WHERE rule_code = 'rush' AND unit = 'CNY' ORDER BY period $$,
    $$ SELECT make_date(2025, m, 1), CASE m WHEN 6 THEN 76 ELSE 16 END::bigint, 200::bigint, CASE m WHEN 6 THEN 0.380000 ELSE 0.080000 END, m - 1::bigint, m = 6 FROM generate_series(1, 6) AS m $$, 'twice as often and more is far off');
SELECT results_eq($$ SELECT period, hits, is_off FROM shop.rule_activity WHERE rule_code = 'night' AND unit = 'POINTS' AND period >= '2025-04-01' ORDER BY period $$,
    $$ VALUES (date '2025-04-01', 25::bigint, false), ('2025-05-01', 0, true), ('2025-06-01', 0, false) $$, 'one that has stopped is off, until that is its past');
SELECT is_empty($$ SELECT * FROM shop.rule_activity WHERE rule_code = 'fee' AND is_off $$, 'one that applies always is not');
SELECT results_eq($$ SELECT former_rate, spread, deviation FROM shop.rule_activity WHERE rule_code = 'rush' AND unit = 'CNY' AND period IN ('2025-01-01', '2025-06-01') ORDER BY period $$,
    $$ VALUES (NULL::numeric, NULL::numeric, NULL::numeric), (0.080000, 0.019229, 15.58) $$, 'by how many spreads: (0.38 - 80.5/1001) / sqrt(0.0804 * 0.9196 / 200)');
BEGIN;
UPDATE shop.book SET rate_factor = 15.6;
SELECT count(*) AS lenient FROM shop.rule_activity WHERE rule_code = 'rush' AND is_off \gset
UPDATE shop.book SET rate_factor = NULL;
SELECT count(*) AS never FROM shop.rule_activity WHERE is_off \gset
UPDATE shop.book SET rate_factor = 3, alert_tickets = 201;
SELECT count(*) AS few FROM shop.rule_activity WHERE is_off \gset
ROLLBACK;
SELECT is((:lenient, :never, :few), (0, 0, 0), 'by a larger factor, without one, and with fewer tickets than it takes, none is off');
SELECT settle.end_rule('shop', 'night', '2025-05-01') \g /dev/null
SELECT is((SELECT max(period) FROM shop.rule_activity WHERE rule_code = 'night'), '2025-04-01'::date, 'one that has ended has no rows after its end');

----------------------------------------------------------------------------------------------------
-- Corrections, withdrawals, closed periods, payments
----------------------------------------------------------------------------------------------------
UPDATE shop.ticket SET amount = amount + 7 WHERE ticket_id LIKE '%3';
UPDATE shop.ticket SET done_at = NULL WHERE ticket_id LIKE '1-%9';
UPDATE shop.ticket SET rush = true WHERE ticket_id = '1-11';
UPDATE shop.ticket SET done_at = '2025-02-27' WHERE ticket_id = '1-12';
SELECT settle.run('shop') \g /dev/null
SELECT is_empty('SELECT * FROM public.wrong', 'after corrections');
SELECT is((SELECT (hits, tickets) FROM shop.rule_activity WHERE rule_code = 'fee' AND period = '2025-01-01' AND unit = 'CNY'), (175::bigint, 179::bigint), 'withdrawn tickets are hits no more; one that moved is one of its new month');
SELECT is((SELECT (hits, lines) FROM shop.rule_activity WHERE rule_code = 'rush' AND period = '2025-01-01' AND unit = 'CNY'), (17::bigint, 17::bigint), 'what a correction adds is a hit');
SELECT settle.close_period('shop', '2025-01-01') \g /dev/null
SELECT settle.confirm_party('shop', party, 'known') FROM shop.party WHERE party = 'staff:w1' AND confirmed_at IS NULL \g /dev/null
DELETE FROM shop.approval_node;
SELECT settle.submit_statement('shop', 'staff:w1', '2025-01-01', 'CNY') \g /dev/null
SELECT settle.pay_statement('shop', 'staff:w1', '2025-01-01', 'CNY', 'bank 1') \g /dev/null
SELECT settle.dispute_statement('shop', 'staff:w2', '2025-01-01', 'CNY', 'was not there', 'ticket', '1-2') \g /dev/null
UPDATE shop.ticket SET amount = amount + 1 WHERE ticket_id LIKE '1-%5';
SELECT settle.run('shop') \g /dev/null
SELECT ok(paid > 0 AND due = 0 AND earned = paid + owed AND owed = unstated + carried, 'who was paid is owed the rest') FROM shop.party_balance WHERE party = 'staff:w1' AND unit = 'CNY';
SELECT ok(paid = 0 AND due > 0 AND held > 0, 'what is held is owed, not due') FROM shop.party_balance WHERE party = 'staff:w2' AND unit = 'CNY';
SELECT is_empty('SELECT * FROM public.wrong', 'after a period has closed, its lines are in statements and count once');
SELECT settle._fold('shop') \g /dev/null
SELECT is_empty('SELECT * FROM public.wrong', 'and when all is folded');
SELECT is_empty($$ SELECT component, period, unit, sum(share) FROM shop.cost_share WHERE total <> 0 GROUP BY 1, 2, 3 HAVING abs(sum(share) - 1) > 0.000002 $$, 'shares are parts of one whole');
SELECT results_eq($$ SELECT side, sum(amount) FROM shop.cost_share WHERE component = 'extra' AND period = '2025-06-01' AND unit = 'CNY' GROUP BY 1 $$, $$ VALUES ('own', 380.00) $$, 'who bears it');
CREATE VIEW public.standing AS
    SELECT l.rule_code, l.unit, count(DISTINCT l.ticket_key) AS hits
    FROM (SELECT rule_code, unit, source, ticket_key FROM shop.line_detail WHERE source IN ('ticket', 'period') GROUP BY 1, 2, 3, 4, payer, payee, factor HAVING sum(base) <> 0) AS l GROUP BY 1, 2;
SELECT bag_eq($$ SELECT rule_code, unit, sum(hits) FROM shop.rule_activity GROUP BY 1, 2 $$, $$ SELECT rule_code, unit, hits::numeric FROM public.standing $$, 'hits of all periods are the tickets that have lines of the rule now');
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all is well');

----------------------------------------------------------------------------------------------------
-- Many rules of which the planner knows nothing
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('many') \g /dev/null
ALTER TABLE many.rule SET (autovacuum_enabled = false);
INSERT INTO many.rule (code, component, source, payer, payee, base, applies_when, valid)
SELECT 'r' || n, 'fee' || n / 100, 'ticket', 'hq', 'staff:{worker}', 'amount', format('amount %% 100 = %s', n % 100), '(,)' FROM generate_series(1, 300) AS n;
INSERT INTO many.ticket (ticket_id, done_at, project, region, worker, amount) SELECT n, '2025-01-01', 'a', 'cn', 'w' || n % 3, n FROM generate_series(1, 400) AS n;
SELECT settle.run('many') \g /dev/null
CREATE VIEW public.look AS SELECT seq_tup_read + idx_tup_fetch AS looks FROM pg_stat_xact_user_tables WHERE relid = 'many.rule'::regclass;
BEGIN;
SELECT looks AS before FROM public.look \gset
SELECT * FROM many.progress \g /dev/null
SELECT looks - :before AS waiting, looks AS before FROM public.look \gset
SELECT settle._fold('many') \g /dev/null
SELECT looks - :before AS folded FROM public.look \gset
COMMIT;
SELECT cmp_ok(:waiting::integer, '<=', 5000, 'what waits is read with a look at the rules for each side of a line, not at all of them for each sheet');
SELECT cmp_ok(:folded::integer, '<=', 900, 'and folded with one for each rule and party');
SELECT is((SELECT (sum(lines)::bigint, sum(amount)) FROM many.rule_total), (1200::bigint, 240600.00), 'which sums up all of them');

----------------------------------------------------------------------------------------------------
-- For BI tools
----------------------------------------------------------------------------------------------------
SELECT is_empty($$ SELECT table_name, column_name, data_type FROM information_schema.columns AS c
    WHERE table_schema = 'shop' AND table_name IN ('rule_activity', 'cost_share', 'party_balance')
        AND (data_type = 'numeric' AND numeric_precision IS DISTINCT FROM 18 OR data_type NOT IN ('text', 'numeric', 'integer', 'bigint', 'date', 'boolean', 'timestamp with time zone')
            OR col_description(format('shop.%I', table_name)::regclass, ordinal_position) IS NULL) $$, 'columns have plain types and a comment');
SELECT is_empty($$ SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'shop'::regnamespace AND c.relname IN ('problem', 'unpaid', 'job_run', 'alert') AND col_description(c.oid, a.attnum) IS NULL $$, 'so have the tables that reports read');
-- what was tampered with is told
UPDATE shop.rule_total SET hits = hits + 1 WHERE rule_id = 0 AND period = '2025-06-01';
SELECT is((SELECT string_agg(DISTINCT invariant || ': ' || object, '; ') FROM settle.check('shop')), 'totals by rule equal the sheets that are folded: tickets 2025-06-01', 'settle.check compares the totals');
SELECT * FROM finish();
