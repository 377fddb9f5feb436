-- Two books with a bit of everything that a dump may lose: the demo's chain, of
-- which a month is closed, and a shop of another owner, over a partitioned table,
-- that settles at commit; levels, grants, policies, objects that their owners
-- added; tickets that wait, corrections that are held, messages, payloads.
\set ON_ERROR_STOP 1
\set QUIET 1
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
\o /dev/null
SELECT format('CREATE ROLE %I', r) FROM unnest('{backup_owner,backup_reader,backup_staff}'::name[]) AS r WHERE r NOT IN (SELECT rolname FROM pg_roles) \gexec
SELECT format('GRANT CREATE ON DATABASE %I TO backup_owner', current_database()) \gexec
\if :{?tickets}
\else
    \set tickets 400
\endif
\ir ../demo/shop.sql
\ir ../demo/book.sql
\ir ../demo/tickets.sql
CALL settle.run_all('chain');
CALL settle.tick('chain');
SELECT settle.defer('chain', source, ticket_key, 'the branch still looks for the technician') FROM chain.problem WHERE period < '2025-12-01';
SELECT settle.close_period('chain', '2025-10-01', 'all branches have reported');
UPDATE chain.ticket SET amount = amount + 100 WHERE ticket_id IN (SELECT ticket_key FROM chain.line_detail WHERE period = '2025-10-01' ORDER BY ticket_key COLLATE "C" LIMIT 3);
SELECT settle.run('chain');
CALL settle.tick('chain');
UPDATE chain.book SET max_correction = 0, hold_share = 0.2;
-- comes to nothing before the copy is made: 2 tickets wait
UPDATE chain.ticket SET amount = amount + 7 WHERE ticket_id IN (SELECT ticket_key FROM chain.line_detail WHERE period = '2025-11-01' ORDER BY ticket_key COLLATE "C" LIMIT 2);
SELECT settle.add_pack('chain', 'winter');
SELECT settle.add_rule('chain', 'winter', 'winter', 'hq', 'staff:{worker}', base => '5', pack => 'winter');
SELECT settle.send('chain', 'tmall', 'note', 'T1', '{"text": "one"}');

CREATE SCHEMA IF NOT EXISTS company AUTHORIZATION backup_owner;
SET ROLE backup_owner;
CREATE TABLE company.visit (id int, at timestamptz, project text, worker text, fee numeric, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE company.visit_11 PARTITION OF company.visit FOR VALUES FROM ('2025-11-01') TO ('2025-12-01');
-- a partition with its columns in another order
CREATE TABLE company.visit_12 (fee numeric, worker text, project text, gone int, at timestamptz NOT NULL, id int NOT NULL, PRIMARY KEY (id, at));
ALTER TABLE company.visit_12 DROP COLUMN gone;
ALTER TABLE company.visit ATTACH PARTITION company.visit_12 FOR VALUES FROM ('2025-12-01') TO ('2026-01-01');
CREATE TABLE company.staff_level (worker text PRIMARY KEY, level int NOT NULL);
INSERT INTO company.staff_level VALUES ('1001', 2), ('1002', 1);
SELECT settle.create_book('shop "A"', currency => 'EUR', settle_on => 'commit');
SELECT settle.add_source('"shop ""A"""', 'visit', 'company.visit', key => 'id', ready_at => 'at', project => 'project', region => $$ 'cn' $$, revenue => 'fee');
SELECT settle.add_fact('"shop ""A"""', 'level', 'company.staff_level', key => 'worker');
SELECT settle.add_rule('"shop ""A"""', 'visit', 'fee', 'hq', 'staff:{worker}', base => 'fee', tiers => '5% to 1000, 8% to 5000, 10%', accumulate => 'month', source => 'visit');
SELECT settle.add_rule('"shop ""A"""', 'level', 'level', 'hq', 'staff:{worker}', base => 'f.level', source => 'visit', applies_when => 'f.level IS NOT NULL');
INSERT INTO company.visit SELECT i, '2025-11-03'::timestamptz + i * interval '1 day', 'repair', CASE WHEN i % 2 = 0 THEN '1001' ELSE '1002' END, 300 + i FROM generate_series(1, 45) AS i;
CALL settle.tick('"shop ""A"""');
SELECT settle.grant_access('"shop ""A"""', 'backup_reader', 'reader', 'reads'), settle.grant_access('"shop ""A"""', 'backup_staff', 'staff'), settle.grant_party('"shop ""A"""', 'staff:1001', 'backup_staff');
ALTER TABLE "shop ""A""".ticket ADD COLUMN colour text DEFAULT 'red';
CREATE INDEX by_colour ON "shop ""A""".ticket (colour);
CREATE POLICY everybody ON "shop ""A""".leg FOR SELECT TO backup_reader USING (amount > 0);
ALTER TABLE "shop ""A""".leg ENABLE ROW LEVEL SECURITY;
CREATE VIEW company.paid AS SELECT worker, sum(fee) AS fee FROM company.visit GROUP BY worker;
RESET ROLE;
