CREATE EXTENSION scrm_settle CASCADE;

SELECT settle.create_book('repairs', settle_on => 'commit');

SELECT settle.add_rule('repairs', 'commission', component => 'commission',
    payer => 'hq', payee => 'staff:{worker}', base => 'amount',
    tiers => '5% to 1000, 8% to 5000, 10%', accumulate => 'month');

INSERT INTO repairs.ticket (ticket_id, done_at, project, region, worker, amount, cost)
VALUES ('T1', '2025-11-03 10:00+08', 'repair.fridge', 'cn.north.beijing', '1001',  800, 120),
       ('T2', '2025-11-11 15:30+08', 'repair.fridge', 'cn.north.beijing', '1001',  900,  80),
       ('T3', '2025-11-20 09:15+08', 'install.ac',    'cn.north.beijing', '1001', 4000, 600),
       ('T4', '2025-11-08 11:20+08', 'repair.fridge', 'cn.east.shanghai', '2001', 1200, 150),
       ('T5', '2025-11-21 16:45+08', 'install.ac',    'cn.east.shanghai', '2001', 2600, 390);

SELECT project, region, tickets, revenue, cost, payout, profit, margin, heat
FROM repairs.revenue_matrix
WHERE period = '2025-11-01'
ORDER BY project, region;
