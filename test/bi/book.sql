-- The book that tools read: the demo's chain in small, with a closed month, a
-- correction after it, and texts and figures that tools like to spoil.
\set ON_ERROR_STOP 1
\set QUIET 1
SET client_min_messages = warning;
CREATE EXTENSION scrm_settle CASCADE;
CREATE EXTENSION pgtap;
\o /dev/null
\ir ../demo/shop.sql
\ir ../demo/book.sql
\ir ../demo/tickets.sql

-- A number with more digits than a double has, and words that a spreadsheet would evaluate.
INSERT INTO chain.ticket (ticket_id, done_at, project, region, channel, worker, amount)
VALUES ('690000000000012345', '2025-10-07 10:00+08', 'install.ac.wall', 'cn.east.shanghai', 'shop', '0012', 90071992547409.93);
SELECT settle.add_party('chain', 'staff:0012', title => '=1+1');
SELECT settle.set_label('chain', 'project', 'install', '安装', 'Installation');
SELECT settle.set_label('chain', 'region', 'cn', '@全国');
CALL settle.run_all('chain');
SELECT settle.defer('chain', source, ticket_key, '+ 待查, "the branch" looks') FROM chain.problem WHERE period < '2025-11-01';
INSERT INTO chain.alert (kind, object, message, level, first_seen) VALUES ('late', 'T000001 done', '@HR: please look', 'warning', '2025-10-09 12:00+08');
SELECT settle.close_period('chain', '2025-10-01', 'all branches have reported');
UPDATE chain.ticket SET amount = amount - 10
WHERE ticket_id = (SELECT ticket_key FROM chain.line_detail WHERE period = '2025-10-01' AND base > 100 ORDER BY ticket_key LIMIT 1);
CALL settle.run_all('chain');

CREATE ROLE bi_reader LOGIN;
SELECT settle.grant_access('chain', 'bi_reader', 'reader');
\o
