-- What is due in a book, every minute: tickets are settled, runs are sealed, and
-- an anchor that is kept outside tells of whatever happens behind our back.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off
SET timezone = 'Asia/Shanghai';
SELECT settle.create_book('job_test');
SELECT settle.add_rule('job_test', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%');
INSERT INTO job_test.ticket (ticket_id, done_at, project, region, worker, amount)
VALUES ('T1', '2025-11-03 10:00+08', 'repair', 'cn.north', '1001', 800), ('T2', '2025-11-04 10:00+08', 'repair', 'cn.north', '1002', 900);
CALL settle.tick('job_test');
SELECT what, figures, error FROM job_test.job_run ORDER BY job_run_id;
SELECT seal_id, runs, sheets, previous IS NULL AS is_first, length(digest) AS bytes FROM job_test.seal;
-- nothing is due
CALL settle.tick('job_test');
SELECT count(*) FROM job_test.job_run;
-- a correction goes into the next seal
UPDATE job_test.ticket SET amount = 700 WHERE ticket_id = 'T1';
CALL settle.tick('job_test');
SELECT seal_id, runs, sheets, previous IS NULL AS is_first FROM job_test.seal ORDER BY 1;
SELECT settle.anchor('job_test') AS anchor \gset
SELECT * FROM settle.verify('job_test', :'anchor');
-- somebody who may do everything
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE job_test.sheet SET revenue = 8000 WHERE ticket_key = 'T1' AND revision = 1;
DELETE FROM job_test.sheet WHERE ticket_key = 'T2';
SELECT * FROM settle.verify('job_test', :'anchor');
ROLLBACK;
-- a step that fails stops no other, and raises one alert
ALTER TABLE job_test.ticket RENAME COLUMN worker TO technician;
INSERT INTO job_test.ticket (ticket_id, done_at, project, region, technician, amount) VALUES ('T3', '2025-11-05 10:00+08', 'repair', 'cn.north', '1001', 100);
CALL settle.tick('job_test');
CALL settle.tick('job_test');
SELECT what, error FROM job_test.job_run WHERE error IS NOT NULL ORDER BY job_run_id;
SELECT kind, object, message FROM job_test.alert;
ALTER TABLE job_test.ticket RENAME COLUMN technician TO worker;
CALL settle.tick('job_test');
SELECT what, figures -> 'tickets' AS tickets, figures -> 'runs' AS runs FROM job_test.job_run ORDER BY job_run_id DESC LIMIT 3;
-- who did what, and why
BEGIN;
SELECT settle.because('the busy season');
UPDATE job_test.rule SET title = 'Fee';
COMMIT;
SELECT table_name, action, object, reason, after -> 'title' AS title FROM job_test.change WHERE table_name = 'rule' ORDER BY change_id;
SET client_min_messages = warning;
DROP SCHEMA job_test CASCADE;
