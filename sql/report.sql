-- What a book shows: lines, the revenue matrix, tallies, the lines of a party.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off

-- 1,000 to escrow, 150 to hq, 56.60 of tax inside the price, 793.40 to the dealer
SELECT settle.create_book('figures');
SELECT settle.add_rule('figures', 'intake', 'intake', 'customer', 'escrow', base => 'amount');
SELECT settle.add_rule('figures', 'channel', 'channel', 'escrow', 'hq', base => 'amount', tiers => '15%');
SELECT settle.add_rule('figures', 'vat', 'vat', 'escrow', 'tax:vat', base => 'amount - amount / 1.06');
SELECT settle.add_rule('figures', 'dealer', 'dealer', 'escrow', 'dealer:{dealer}', remainder => true);
INSERT INTO figures.ticket (ticket_id, done_at, project, region, dealer, amount, tax) VALUES ('T1', '2025-11-11 10:00+08', 'repair.fridge', 'cn.east', 'd1', 1000, 56.60);
SELECT * FROM settle.run('figures');
SELECT source, ticket_key, ticket_time AT TIME ZONE 'UTC' AS utc, period, component, rule_code, payer, payee, base, factor, amount, unit, project, region, corrects_period, revision, line
FROM figures.line_detail ORDER BY line;
-- a row for every pair of a node of the projects and one of the regions
SELECT project_level, region_level, project, region, period, currency, tickets, revenue, cost, payout, profit, margin FROM figures.revenue_matrix ORDER BY 1, 2;
SELECT party, side FROM figures.party ORDER BY party;

-- the same where the source does not say what of its price is tax: then the tax is paid out like the rest
UPDATE figures.source SET tax = NULL WHERE source = 'ticket';
SELECT settle.rescan('figures');
SELECT tickets, lines, amount FROM settle.run('figures');
SELECT revenue, payout, profit FROM figures.revenue_matrix WHERE project_level = 0 AND region_level = 0;
UPDATE figures.source SET tax = 'tax' WHERE source = 'ticket';
SELECT settle.rescan('figures');
SELECT tickets, lines FROM settle.run('figures');
SELECT revenue, payout, profit FROM figures.revenue_matrix WHERE project_level = 0 AND region_level = 0;

-- what goes to customers is no payout, what comes back lessens it, what others pay each other is none of ours; cost counts
SELECT settle.add_rule('figures', 'voucher', 'voucher', 'hq', 'customer:{customer}', base => '20', applies_when => $$ project <@ 'fees' $$, valid => '(,)');
SELECT settle.add_rule('figures', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', applies_when => $$ project <@ 'fees' $$, valid => '(,)');
SELECT settle.add_rule('figures', 'penalty', 'penalty', 'staff:{worker}', 'hq', base => '5', applies_when => $$ project = 'fees.late' $$);
SELECT settle.add_rule('figures', 'share', 'share', 'staff:{worker}', 'staff:helper', base => '8', applies_when => $$ project = 'fees.late' $$);
SELECT settle.add_rule('figures', 'points', 'points', 'hq', 'staff:{worker}', base => 'amount', unit => 'POINTS', rounding => 'down 1', applies_when => $$ project <@ 'fees' $$, valid => '(,)');
INSERT INTO figures.ticket (ticket_id, done_at, project, region, dealer, worker, customer, amount, cost) VALUES
    ('T2', '2025-11-12 10:00+08', 'fees.late', 'cn.east', 'd1', '1001', '88', 200, 30),
    ('T3', '2025-11-13 10:00+08', 'fees', 'cn.west', 'd1', '1002', '88', 300, 0),
    ('T4', '2025-10-31 23:59+08', 'fees', 'cn.west', 'd1', '1002', '88', 10, 400),
    ('T5', '2025-11-14 10:00+08', 'fees', 'cn.west', 'd1', '1002', '88', -50, 0);
SELECT tickets, lines, amount FROM settle.run('figures');
SELECT component, payer, payee, amount, unit FROM figures.line_detail WHERE ticket_key = 'T2' ORDER BY line;
-- heat: the place of a cell's profit among those of its period and its two levels; a node has all that stands on it or below
SELECT settle.set_label('figures', 'project', 'fees', '费用', 'Fees'), settle.set_label('figures', 'region', 'cn.west', '西部');
SELECT project, region, period, tickets, revenue, cost, payout, profit, margin, heat, color, project_name, region_name
FROM figures.revenue_matrix WHERE project_level = 1 AND region_level = 2 ORDER BY period, profit;
SELECT settle._fold('figures');
SELECT project, period, tickets, profit, heat FROM figures.revenue_matrix WHERE project_level = 2 AND region_level = 0 ORDER BY period, profit;
SELECT sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout, sum(profit) AS profit FROM figures.revenue_matrix WHERE project_level = 0 AND region_level = 0;

-- from a cell to its tickets, and from one of them to its explanation
SELECT source, ticket_key, project, region, currency, revenue, cost, payout, profit, tickets FROM settle.drill('figures', 'fees', 'cn', '2025-11-01');
SELECT sum(revenue) AS revenue, sum(cost) AS cost, sum(payout) AS payout, sum(profit) AS profit FROM settle.drill('figures', '', '', '2025-11-01', 'CNY');
SELECT kind, name, payer, payee, base, amount FROM settle.explain('figures', 'ticket', 'T2') WHERE kind = 'line';

-- how often each rule applied, who bears what, what parties are owed
SELECT rule_code, period, unit, hits, tickets, rate, amount, is_off FROM figures.rule_activity ORDER BY rule_code COLLATE "C", period, unit;
SELECT payer, side, component, period, unit, amount, total, share FROM figures.cost_share ORDER BY component COLLATE "C", period, payer COLLATE "C";
SELECT party, side, unit, earned, paid, owed, due, held, carried, unstated FROM figures.party_balance ORDER BY party COLLATE "C", unit;

-- the lines of one party, found without reading all sheets
SELECT ticket_key, component, payer, payee, amount, unit FROM settle.lines_of('figures', 'staff:1001');
SELECT ticket_key, period, component, amount FROM settle.lines_of('figures', 'staff:1002', '[2025-11-01,2025-12-01)') WHERE unit = 'CNY';
SELECT count(*) AS lines FROM settle.lines_of('figures', 'staff:nobody');
SELECT count(*) AS lines, sum(CASE payee WHEN 'hq' THEN amount ELSE -amount END) AS balance FROM settle.lines_of('figures', 'hq') WHERE unit = 'CNY';

-- tallies: how far along the tiers; what is due beyond the tickets stands on no ticket and in no region
SELECT settle.create_book('along', currency => 'KWD');
SELECT settle.add_rule('along', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% to 1000, 2.5%', accumulate => 'quarter', tally_by => 'store:{dealer}');
UPDATE along.source SET on_delete = 'reverse';
INSERT INTO along.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES
    ('1', '2025-11-01 10:00+08', 'a', 'b', 'w1', 's1', 600.555), ('2', '2025-12-02 10:00+08', 'a', 'b', 'w2', 's1', 600), ('3', '2025-12-03 10:00+08', 'a', 'b', 'w3', 's2', 7);
SELECT tickets, amount FROM settle.run('along');
SELECT * FROM along.tally ORDER BY owner;
DELETE FROM along.ticket WHERE ticket_id = '1';
SELECT tickets, amount FROM settle.run('along');
-- several payees shared the tally: its owner answers for the rest
SELECT source, ticket_key, component, payer, payee, amount, period, project FROM along.line_detail ORDER BY run_id, ticket_key, revision;
SELECT * FROM along.tally ORDER BY owner;
SELECT project, period, tickets, revenue, payout, profit FROM along.revenue_matrix WHERE region_level = 0 ORDER BY project, period;
-- amounts of this currency have three digits
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'along.line_detail'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'along.revenue_matrix'::regclass AND attnum > 0 ORDER BY attnum;
-- one payee, here the tax office: the rest of a withholding goes the same way
SELECT settle.add_rule('along', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'amount', tiers => 'volume 3% to 1000, 10%', accumulate => 'year', tally_by => 'staff:{worker}', applies_when => $$ project = 'wage' $$);
INSERT INTO along.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES
    ('8', '2025-11-01 10:00+08', 'wage', 'b', 'w8', 's8', 800), ('9', '2025-12-01 10:00+08', 'wage', 'b', 'w8', 's8', 900);
SELECT tickets FROM settle.run('along');
DELETE FROM along.ticket WHERE ticket_id = '8';
SELECT tickets FROM settle.run('along');
SELECT ticket_key, component, payer, payee, amount, period FROM along.line_detail WHERE rule_code = 'tax' ORDER BY run_id, ticket_key;
SELECT * FROM settle.check('along');
SELECT * FROM settle.check('figures');

SET client_min_messages = warning;
DROP SCHEMA figures, along CASCADE;

-- what staff see: own rows, by the party of a role
SELECT settle.create_book('team');
SELECT settle.add_rule('team', 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% below 1000, 8% below 5000, 10%', accumulate => 'month', title => 'commission of the month');
SELECT settle.add_rule('team', 'store', 'store bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => 'volume 1% below 2000, 2.5%', accumulate => 'month', tally_by => 'store:{dealer}');
SELECT settle.add_rule('team', 'call', 'call', 'hq', 'staff:{worker}', base => '30');
INSERT INTO team.ticket (ticket_id, done_at, project, region, worker, dealer, amount) VALUES
    ('T1', '2025-11-03 10:00+08', 'repair.ac', 'cn.east', '1001', 's1', 800), ('T2', '2025-11-04 10:00+08', 'repair.ac', 'cn.east', '1001', 's1', 700),
    ('T3', '2025-11-05 10:00+08', 'repair.tv', 'cn.west', '1002', 's1', 100);
SELECT tickets, lines FROM settle.run('team');
CREATE ROLE report_anna;
SELECT settle.grant_access('team', 'report_anna', 'staff');
SELECT settle.grant_party('team', 'staff:1001', 'report_anna', 'hired');
SELECT settle.add_party('team', 'staff:1001', title => 'Anna');
SET ROLE report_anna;
SELECT component, tickets, amount, trim_scale(quantity) AS quantity, trim_scale(next_tier_at) AS next_tier_at, trim_scale(to_next_tier) AS to_next_tier, trim_scale(next_rate) AS next_rate, next_gain
FROM team.my_progress WHERE period = '2025-11-01' ORDER BY component;
SELECT ticket_key, component, rule_title, other_party, trim_scale(base) AS base, amount, project FROM team.my_items ORDER BY ticket_time, line;
SELECT * FROM team.progress;
RESET ROLE;
SELECT settle.close_period('team', '2025-11-01', 'month end');
SET ROLE report_anna;
SELECT party, title, period, state, earned, payable, paid FROM team.my_statement;
SELECT kind, component, tickets, amount FROM team.my_statement_item ORDER BY component;
RESET ROLE;
SELECT party, title, component, tickets, amount, to_next_tier::numeric(10,2) AS to_next_tier, next_gain, rank, ranked_of FROM team.progress WHERE party <> 'hq' ORDER BY component, rank;
-- the place among others is shown where the book says so
UPDATE team.book SET show_rank = true;
SET ROLE report_anna;
SELECT component, rank, ranked_of FROM team.my_progress ORDER BY component;
RESET ROLE;
SELECT * FROM settle.next_tier('5% to 1000, 8% below 5000, 10% + 20 flat', 1500);
DROP OWNED BY report_anna;
DROP ROLE report_anna;
DROP SCHEMA team CASCADE;
