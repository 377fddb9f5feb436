-- The chain's book: its decisions and its rules.
SELECT settle.create_book('chain');

-- Decisions: numbers that depend on the ticket.
SELECT settle.add_decision('chain', 'region', fallback => '1');
SELECT settle.add_outcome('chain', 'region', $$region <@ 'cn.north.beijing'$$, '1.2');
SELECT settle.add_outcome('chain', 'region', $$region <@ 'cn.east.shanghai'$$, '1.2');
SELECT settle.add_outcome('chain', 'region', $$region <@ 'cn.east.zhejiang'$$, '1.1');
SELECT settle.add_outcome('chain', 'region', $$region <@ 'cn.south.guangdong'$$, '1.1');
SELECT settle.add_outcome('chain', 'region', $$region <@ 'cn.east.jiangsu'$$, '1.05');

SELECT settle.add_decision('chain', 'visit', fallback => '25');
SELECT settle.add_outcome('chain', 'visit', $$project <@ 'install.ac.central'$$, '90', priority => 2);
SELECT settle.add_outcome('chain', 'visit', $$project <@ 'install'$$, '40', priority => 1);
SELECT settle.add_outcome('chain', 'visit', $$project <@ 'repair'$$, '30', priority => 1);

SELECT settle.add_decision('chain', 'platform', fallback => '0');
SELECT settle.add_outcome('chain', 'platform', $$channel = 'tmall'$$, '0.05');
SELECT settle.add_outcome('chain', 'platform', $$channel = 'douyin'$$, '0.03');
SELECT settle.add_outcome('chain', 'platform', $$channel = 'youzan'$$, '0.006');

-- What a member gets back: the level, and on top of it the November sale.
SELECT settle.add_decision('chain', 'rebate', policy => 'sum', fallback => '0');
SELECT settle.add_outcome('chain', 'rebate', $$level = 'gold'$$, '0.02');
SELECT settle.add_outcome('chain', 'rebate', $$level = 'diamond'$$, '0.05');
SELECT settle.add_outcome('chain', 'rebate', $$level <> 'normal' AND done_at >= '2025-11-11' AND done_at < '2025-11-12'$$, '0.03');

-- The chain's own technicians: commission by the month's volume, in the price of
-- their region.
SELECT settle.add_rule('chain', 'install_commission', component => 'commission', payer => 'hq', payee => 'staff:{worker}',
    base => 'amount', applies_when => $$project <@ 'install' AND dealer IS NULL$$,
    tiers => '12% to 3000, 15% to 8000, 18% to 15000, 20%', factors => '{region}', accumulate => 'month');
SELECT settle.add_rule('chain', 'repair_commission', component => 'commission', payer => 'hq', payee => 'staff:{worker}',
    base => 'amount', applies_when => $$project <@ 'repair' AND dealer IS NULL$$,
    tiers => '18% to 2000, 22% to 6000, 26%', factors => '{region}', accumulate => 'month');
SELECT settle.add_rule('chain', 'maintain_commission', component => 'commission', payer => 'hq', payee => 'staff:{worker}',
    base => 'amount', applies_when => $$project <@ 'maintain' AND dealer IS NULL$$,
    tiers => '15% to 1500, 18%', factors => '{region}', accumulate => 'month');
SELECT settle.add_rule('chain', 'consult_fee', component => 'commission', payer => 'hq', payee => 'staff:{worker}',
    base => 'amount', applies_when => $$project <@ 'consult' AND dealer IS NULL$$, tiers => '12 flat');

-- For coming at all, in a hurry, at night, far away, with two.
SELECT settle.add_rule('chain', 'visit', component => 'service_fee', payer => 'hq', payee => 'staff:{worker}',
    base => 'd.visit', applies_when => $$NOT project <@ 'consult' AND dealer IS NULL$$);
SELECT settle.add_rule('chain', 'rush', component => 'rush', payer => 'hq', payee => 'staff:{worker}',
    base => 'c.service_fee * 0.3', applies_when => 'rush AND c.service_fee > 0');
SELECT settle.add_rule('chain', 'night', component => 'night', payer => 'hq', payee => 'staff:{worker}',
    base => '20', applies_when => $$night AND NOT project <@ 'consult' AND dealer IS NULL$$, repeats => 'pay');
SELECT settle.add_rule('chain', 'crew', component => 'crew', payer => 'hq',
    payees => $$ARRAY['staff:' || worker, 'staff:' || (details ->> 'helper')]$$,
    base => 'amount', applies_when => $$project <@ 'install.ac.central' AND dealer IS NULL$$, tiers => '4%');

-- A rework pays nothing: whoever did it badly pays the colleague's way.
SELECT settle.add_rule('chain', 'rework', component => 'rework', payer => $$staff:{details ->> 'first_worker'}$$, payee => 'staff:{worker}',
    base => '30', applies_when => 'dealer IS NULL', repeats => 'only');
SELECT settle.add_rule('chain', 'dealer_rework', component => 'rework', payer => 'dealer:{dealer}', payee => 'hq',
    base => '30', applies_when => 'dealer IS NOT NULL', repeats => 'only');

-- Where a dealer does the work: the customer's money comes in, the chain's fee
-- and the tax inside the price go out, the rest is the dealer's to the cent.
SELECT settle.add_rule('chain', 'intake', component => 'intake', payer => 'customer', payee => 'escrow',
    base => 'amount', applies_when => 'dealer IS NOT NULL');
SELECT settle.add_rule('chain', 'channel_fee', component => 'channel_fee', payer => 'escrow', payee => 'hq',
    base => 'c.intake', applies_when => 'c.intake > 0', tiers => '15%');
SELECT settle.add_rule('chain', 'vat', component => 'vat', payer => 'escrow', payee => 'tax:vat',
    base => 'c.intake / 1.06', applies_when => 'c.intake > 0', tiers => '6%');
SELECT settle.add_rule('chain', 'dealer_share', component => 'dealer_share', payer => 'escrow', payee => 'dealer:{dealer}',
    remainder => true, applies_when => 'c.intake > 0');
SELECT settle.add_rule('chain', 'dealer_bonus', component => 'dealer_bonus', payer => 'hq', payee => 'dealer:{dealer}',
    base => 'c.intake', applies_when => 'c.intake > 0', tiers => 'volume 0% below 40000, 1% below 100000, 1.5%', accumulate => 'month');

-- What the channel keeps and what the member gets back.
SELECT settle.add_rule('chain', 'platform_fee', component => 'platform_fee', payer => 'hq', payee => 'platform:{channel}',
    base => 'amount * d.platform', applies_when => $$channel IN ('tmall', 'douyin', 'youzan')$$);
SELECT settle.add_rule('chain', 'rebate', component => 'rebate', payer => 'hq', payee => 'customer:{customer}',
    base => 'amount * d.rebate', applies_when => 'd.rebate > 0');
