-- A book over anything: tables with other names and types, partitions,
-- children, views; whatever writes them is noted once, and what no trigger sees
-- is found by a scan.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS sources_writer;
CREATE ROLE sources_writer;

CREATE SCHEMA company;
CREATE FUNCTION company.lines(book name, source text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT string_agg(ticket_key || '' '' || amount, '', '' ORDER BY ticket_key COLLATE "C") FROM
        (SELECT ticket_key, sum(amount) AS amount FROM %I.line_detail WHERE source = $1 GROUP BY 1 HAVING sum(amount) <> 0) AS l', book) INTO result USING source;
    RETURN result;
END $$;
CREATE FUNCTION company.run(book regnamespace) RETURNS text LANGUAGE sql
RETURN (SELECT format('%s tickets, %s, %s corrections, %s held, %s problems', tickets, amount, corrections, held, problems) FROM settle.run(book));
SELECT settle.create_book('books') \g /dev/null

----------------------------------------------------------------------------------------------------
-- Keys and columns of every type
----------------------------------------------------------------------------------------------------
CREATE TYPE company.stage AS ENUM ('open', 'done');
CREATE DOMAIN company.price AS numeric(12,2) CHECK (value >= 0);
CREATE TABLE company."Großer Auftrag" ("Nr." uuid PRIMARY KEY, "am" timestamp, "Wert" company.price, doppelt numeric GENERATED ALWAYS AS ("Wert" * 2) STORED, stage company.stage, worker varchar(20), weg int);
ALTER TABLE company."Großer Auftrag" DROP COLUMN weg;
SELECT settle.add_source('books', 'auftrag', 'company."Großer Auftrag"', key => '"Nr."', ready_at => $$ case when stage = 'done' then "am" end $$, revenue => '"Wert"') \g /dev/null
SELECT settle.add_rule('books', 'auftrag', 'lohn', 'hq', 'staff:{worker}', base => 'doppelt', tiers => '5%', source => 'auftrag') \g /dev/null
INSERT INTO company."Großer Auftrag" VALUES ('00000000-0000-0000-0000-00000000000A', '2025-11-11 00:30', 100, DEFAULT, 'done', 'w'), ('00000000-0000-0000-0000-00000000000b', '2025-11-11', 100, DEFAULT, 'open', 'w');
SELECT is(company.run('books'), '1 tickets, 10.00, 0 corrections, 0 held, 0 problems', 'a uuid key, a domain, a generated column, an enum, names that need quotes');
SELECT is(company.lines('books', 'auftrag'), '00000000-0000-0000-0000-00000000000a 10.00', 'the key is the text of the uuid');
UPDATE company."Großer Auftrag" SET stage = 'done';
SELECT is(company.run('books'), '1 tickets, 10.00, 0 corrections, 0 held, 0 problems', 'and finds its row again');

CREATE TABLE company.counted (n bigint, part smallint, at timestamptz, amount int, PRIMARY KEY (n, part));
SELECT settle.add_source('books', 'counted', 'company.counted', key => $$ n || '-' || part $$, ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('books', 'counted', 'c', 'hq', 'p', base => 'amount', source => 'counted') \g /dev/null
INSERT INTO company.counted VALUES (9223372036854775807, 1, '2025-11-11', 7), (-1, 2, '2025-11-11', 8);
UPDATE company.counted SET part = 3 WHERE n = -1;
SELECT is(company.run('books'), '2 tickets, 15.00, 0 corrections, 0 held, 0 problems', 'a key of two columns; a new key before it was settled is one ticket');
UPDATE company.counted SET part = 4 WHERE n = -1;
SELECT is(company.run('books'), '1 tickets, 8.00, 0 corrections, 1 held, 1 problems', 'a new key after it was settled: the old one is held, and stands out');

-- what is stored out of line is read like the rest
CREATE TABLE company.wide (id text PRIMARY KEY, at timestamptz, amount numeric, worker text, note text);
ALTER TABLE company.wide ALTER COLUMN worker SET STORAGE external;
SELECT settle.add_source('books', 'wide', 'company.wide', key => 'id', ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('books', 'wide', 'c', 'hq', 'staff:{left(worker, 5)}', base => 'amount', source => 'wide', applies_when => 'length(note) > 1000') \g /dev/null
SELECT settle.add_rule('books', 'wide_too', 'd', 'hq', '{worker}', base => '1', source => 'wide', applies_when => 'length(worker) < 5000') \g /dev/null
INSERT INTO company.wide SELECT 'w' || n, '2025-11-11', n, repeat(chr(96 + n), 3000 * n), repeat('x', 100000) FROM generate_series(1, 3) AS n;
SELECT is(company.run('books'), '2 tickets, 5.00, 0 corrections, 0 held, 1 problems', 'columns out of line');
SELECT is((SELECT message FROM books.problem WHERE source = 'wide'), 'a party has a code of 3000 bytes', 'a party of 3,000 bytes is a problem, not the end');
SELECT is((SELECT string_agg(DISTINCT payee, ' ') FROM books.line_detail WHERE source = 'wide'), 'staff:bbbbb staff:ccccc', 'the others are settled');
UPDATE company.wide SET worker = 'aaaaa' WHERE id = 'w1';
SELECT is(company.run('books'), '1 tickets, 2.00, 0 corrections, 0 held, 0 problems', 'with a shorter one it is settled');

-- what a session remembers of a key follows the registration
CREATE TABLE company.keyed (id int, alias text, at timestamptz, amount numeric);
SELECT settle.add_source('books', 'keyed', 'company.keyed', key => 'id', ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('books', 'keyed', 'c', 'hq', 'p', base => 'amount', source => 'keyed') \g /dev/null
INSERT INTO company.keyed VALUES (1, 'one', NULL, 1);
UPDATE books.source SET key = 'alias' WHERE source = 'keyed';
INSERT INTO company.keyed VALUES (2, 'two', '2025-11-11', 2);
SELECT is((SELECT string_agg(ticket_key, ' ') FROM books.pending), '1 two', 'a key that is registered anew is noted from then on');
SELECT is(company.run('books'), '1 tickets, 2.00, 0 corrections, 0 held, 0 problems', 'and finds its row');

----------------------------------------------------------------------------------------------------
-- However a row comes, changes and goes
----------------------------------------------------------------------------------------------------
CREATE TABLE company.customer (id int PRIMARY KEY);
CREATE TABLE company.sale (id int PRIMARY KEY, customer int REFERENCES company.customer ON DELETE CASCADE ON UPDATE CASCADE, at timestamptz, amount numeric);
SELECT settle.add_source('books', 'sale', 'company.sale', key => 'id', ready_at => 'at', revenue => 'amount', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('books', 'sale', 'c', 'hq', 'customer:{customer}', base => 'amount', source => 'sale') \g /dev/null
CREATE FUNCTION company.noted() RETURNS text LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (DELETE FROM books.pending RETURNING ticket_key) SELECT string_agg(DISTINCT coalesce(ticket_key, 'all'), ' ') FROM gone;
END;
INSERT INTO company.customer VALUES (1), (2);
COPY company.sale FROM stdin;
1	1	2025-11-11	10
2	2	2025-11-11	20
\.
SELECT is(company.noted(), '1 2', 'COPY');
INSERT INTO company.sale VALUES (2, 2, '2025-11-11', 21), (3, 2, '2025-11-11', 30) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
SELECT is(company.noted(), '2 3', 'INSERT ... ON CONFLICT');
MERGE INTO company.sale AS s USING (VALUES (3), (4)) AS v(id) ON s.id = v.id WHEN MATCHED THEN UPDATE SET amount = 31 WHEN NOT MATCHED THEN INSERT VALUES (v.id, 1, '2025-11-11', 40);
SELECT is(company.noted(), '3 4', 'MERGE');
UPDATE company.customer SET id = 20 WHERE id = 2;
SELECT is(company.noted(), '2 3', 'a foreign key that cascades an update');
UPDATE company.sale SET id = 5 WHERE id = 4;
SELECT is(company.noted(), '4 5', 'an UPDATE of the key: both');
SET session_replication_role = replica;
UPDATE company.sale SET amount = 11 WHERE id = 1;
RESET session_replication_role;
SELECT is(company.noted(), '1', 'what replication applies');
BEGIN;
SAVEPOINT a;
UPDATE company.sale SET amount = 12 WHERE id = 1;
ROLLBACK TO a;
COMMIT;
SELECT is(company.noted(), NULL, 'nothing of what was rolled back');
SELECT settle.rescan('books', source => 'sale') \g /dev/null
SELECT is(company.run('books'), '4 tickets, 103.00, 0 corrections, 0 held, 0 problems', 'a scan finds them all');
DELETE FROM company.customer WHERE id = 20;
SELECT is(company.run('books'), '2 tickets, -52.00, 2 corrections, 0 held, 0 problems', 'a foreign key that cascades a deletion');
TRUNCATE company.sale;
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 2 held, 2 problems', 'a TRUNCATE holds, whatever on_delete says');
INSERT INTO company.sale VALUES (1, 1, '2025-11-11', 11);
DELETE FROM company.sale;
SELECT is(company.run('books'), '1 tickets, -11.00, 1 corrections, 0 held, 0 problems', 'a row written again and deleted is reversed');

----------------------------------------------------------------------------------------------------
-- Partitions
----------------------------------------------------------------------------------------------------
CREATE TABLE company.job (id int, region text, at timestamptz, amount numeric, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE company.job_east PARTITION OF company.job FOR VALUES IN ('east');
-- attached with columns in another order, of which one is dropped
CREATE TABLE company.job_west (amount numeric, gone int, at timestamptz, region text NOT NULL, id int NOT NULL);
ALTER TABLE company.job_west DROP COLUMN gone;
INSERT INTO company.job_west VALUES (5, '2025-11-11', 'west', 100);
SELECT settle.add_source('books', 'job', 'company.job', key => 'id', ready_at => 'at', region => $$ 'cn.' || region $$, revenue => 'amount', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('books', 'job', 'c', 'hq', 'team:{region}', base => 'amount', source => 'job') \g /dev/null
ALTER TABLE company.job ATTACH PARTITION company.job_west FOR VALUES IN ('west');
CREATE TABLE company.job_north PARTITION OF company.job FOR VALUES IN ('north') PARTITION BY RANGE (id);
CREATE TABLE company.job_north_1 PARTITION OF company.job_north FOR VALUES FROM (1) TO (1000);
SELECT is((SELECT count(*) FROM settle.check('books') WHERE invariant = 'a source is captured'), 0::bigint, 'partitions made later are captured');
INSERT INTO company.job VALUES (1, 'east', '2025-11-11', 10), (2, 'west', '2025-11-11', 20);
INSERT INTO company.job_west (id, region, at, amount) VALUES (3, 'west', '2025-11-11', 30);
INSERT INTO company.job_north_1 VALUES (4, 'north', '2025-11-11', 40);
UPDATE company.job_west SET amount = 21 WHERE id = 2;
SELECT is(company.noted(), '1 2 3 4', 'through the parent and into partitions, by name of the column');
SELECT is((SELECT string_agg(object, ' ') FROM settle.check('books') WHERE object LIKE 'job%' AND invariant LIKE 'every ready ticket%'), 'job 1 job 100 job 2 job 3 job 4', 'check misses what was taken from pending, and what an attached partition brought along');
SELECT is((SELECT string_agg(object, ' ' ORDER BY object) FROM settle.check('books') WHERE invariant = 'a TRUNCATE of a source is noted'),
	'job company.job_north job company.job_north_1 job company.job_west', 'nobody would hear of a TRUNCATE of these');
SELECT is(settle.complete_capture('books'), 3, 'they are given the trigger for it');
SELECT is(settle.complete_capture('books'), 0, 'once');
SELECT settle.rescan('books', source => 'job') \g /dev/null
SELECT is(company.run('books'), '5 tickets, 106.00, 0 corrections, 0 held, 0 problems', 'a scan finds all');
UPDATE company.job SET region = 'east' WHERE id = 3;
SELECT is(company.run('books'), '1 tickets, 0.00, 1 corrections, 0 held, 0 problems', 'a row that moves to another partition is one ticket');
SELECT is(company.lines('books', 'job'), '1 10.00, 100 5.00, 2 21.00, 3 30.00, 4 40.00', 'paid once');
ALTER TABLE company.job DETACH PARTITION company.job_west;
UPDATE company.job_west SET amount = 99;
DELETE FROM company.job_west WHERE id = 100;
SELECT is((SELECT count(*) FROM books.pending), 0::bigint, 'a detached partition is no source any more');
SELECT settle.rescan('books', source => 'job') \g /dev/null
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 2 held, 2 problems', 'a scan holds what went with it');
ALTER TABLE company.job ATTACH PARTITION company.job_west FOR VALUES IN ('west');
UPDATE company.job SET amount = 22 WHERE id = 2;
INSERT INTO company.job VALUES (100, 'west', '2025-11-11', 5);
SELECT is(company.run('books'), '1 tickets, 1.00, 1 corrections, 0 held, 0 problems', 'attached again it is captured again');
SELECT is((SELECT count(*) FROM books.problem WHERE source = 'job'), 0::bigint, 'and holds nothing');
TRUNCATE company.job_east;
SELECT is((SELECT count(*) FROM books.pending), 1::bigint, 'a TRUNCATE of one partition is noted');
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 2 held, 2 problems', 'what it took is held');

----------------------------------------------------------------------------------------------------
-- Children of an ordinary table
----------------------------------------------------------------------------------------------------
CREATE TABLE company.visit (id int, at timestamptz, amount numeric);
CREATE TABLE company.far_visit (km numeric, id int, at timestamptz, amount numeric);
ALTER TABLE company.far_visit INHERIT company.visit;
CREATE TABLE company.farther_visit (hotel numeric) INHERITS (company.far_visit);
SELECT settle.add_source('books', 'visit', 'company.visit', key => 'id', ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('books', 'visit', 'c', 'hq', 'p', base => 'amount', source => 'visit') \g /dev/null
INSERT INTO company.visit VALUES (1, '2025-11-11', 1);
INSERT INTO company.far_visit (id, at, amount, km) VALUES (2, '2025-11-11', 2, 777);
INSERT INTO company.farther_visit (id, at, amount, km) VALUES (3, '2025-11-11', 3, 888);
SELECT is(company.run('books'), '3 tickets, 6.00, 0 corrections, 0 held, 0 problems', 'children and their children');
CREATE TABLE company.next_visit () INHERITS (company.visit);
CREATE TABLE company.last_visit () INHERITS (company.farther_visit);
SELECT is((SELECT string_agg(object, ' ' ORDER BY object) FROM settle.check('books') WHERE invariant = 'a source is captured'), 'visit company.last_visit visit company.next_visit', 'check finds children that came later, at any depth');
SELECT is(settle.complete_capture('books'), 2, 'and they are given triggers');
INSERT INTO company.next_visit VALUES (4, '2025-11-11', 4);
INSERT INTO company.last_visit (id, at, amount) VALUES (5, '2025-11-11', 5);
SELECT is(company.run('books'), '2 tickets, 9.00, 0 corrections, 0 held, 0 problems', 'that work');
DELETE FROM company.visit WHERE id > 3;
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 2 held, 2 problems', 'and tell of deletions');
DROP TABLE company.last_visit, company.next_visit;

----------------------------------------------------------------------------------------------------
-- A view: looked through both ways
----------------------------------------------------------------------------------------------------
CREATE TABLE company.raw (id int PRIMARY KEY, at timestamptz, amount numeric, cancelled boolean DEFAULT false);
CREATE VIEW company.good AS SELECT 'g' || id AS no, at, amount FROM company.raw WHERE NOT cancelled;
SELECT settle.add_source('books', 'good', 'company.good', key => 'no', ready_at => 'at', revenue => 'amount', on_delete => 'reverse') \g /dev/null
SELECT settle.add_rule('books', 'good', 'c', 'hq', 'p', base => 'amount', source => 'good') \g /dev/null
INSERT INTO company.raw SELECT n, '2025-11-11', 1 FROM generate_series(1, 200) AS n;
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 0 held, 0 problems', 'nobody has noted anything');
SELECT is((SELECT count(*) FROM settle.check('books') WHERE object LIKE 'good %'), 100::bigint, 'check knows, and stops at 100');
SELECT settle.rescan('books', source => 'good') \g /dev/null
SELECT is(company.run('books'), '200 tickets, 200.00, 0 corrections, 0 held, 0 problems', 'a scan finds new rows');
UPDATE company.raw SET amount = 3 WHERE id = 7;
UPDATE company.raw SET cancelled = true WHERE id IN (8, 9);
SELECT settle.rescan('books', source => 'good') \g /dev/null
SELECT is(company.run('books'), '3 tickets, 0.00, 3 corrections, 0 held, 0 problems', 'changed rows, and those that vanished');
UPDATE company.raw SET cancelled = true WHERE id < 20;
SELECT settle.rescan('books', source => 'good') \g /dev/null
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 17 held, 17 problems', 'when more than one of a hundred vanish, it is the view that is broken');
UPDATE company.raw SET cancelled = false WHERE id NOT IN (8, 9);
SELECT settle.rescan('books', source => 'good') \g /dev/null
SELECT is(company.run('books'), '0 tickets, 0, 0 corrections, 0 held, 0 problems', 'mended, nothing has happened');
SELECT is((SELECT count(*) FROM books.problem WHERE source = 'good'), 0::bigint, 'and nothing is held');

----------------------------------------------------------------------------------------------------
-- Writers without any right on the book; a pending table that is not plain
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('counter', settle_on => 'commit') \g /dev/null
SELECT settle.add_source('counter', 'sale', 'company.sale', key => 'id', ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('counter', 'sale', 'c', 'hq', 'p', base => 'amount', source => 'sale') \g /dev/null
GRANT USAGE ON SCHEMA company TO sources_writer;
GRANT INSERT ON company.sale TO sources_writer;
SET ROLE sources_writer;
INSERT INTO company.sale VALUES (10, 1, '2025-11-11', 5);
SELECT throws_ok('SELECT * FROM books.pending', '42501', NULL, 'a ticket writer sees nothing of a book');
SELECT throws_ok($$ SELECT settle.run('books') $$, '42501', 'permission denied for book "books"', 'and runs nothing');
RESET ROLE;
SELECT is(company.lines('counter', 'sale'), '10 5.00', 'his ticket is settled at commit in one book');
SELECT is(company.run('books'), '1 tickets, 5.00, 0 corrections, 0 held, 0 problems', 'and noted in another');

CREATE INDEX pending_key ON books.pending (ticket_key);
SET ROLE sources_writer;
INSERT INTO company.sale VALUES (11, 1, '2025-11-11', 6);
RESET ROLE;
SET enable_seqscan = off;
SELECT is((SELECT count(*) FROM books.pending WHERE ticket_key = '11'), 1::bigint, 'a pending table with an index has the row in its index');
RESET enable_seqscan;
DROP INDEX books.pending_key;
CREATE TABLE company.seen (by name);
CREATE FUNCTION company.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO company.seen VALUES (current_user); RETURN NEW; END $$;
CREATE TRIGGER see BEFORE INSERT ON books.pending FOR EACH ROW EXECUTE FUNCTION company.see();
SET ROLE sources_writer;
INSERT INTO company.sale VALUES (12, 1, '2025-11-11', 7);
RESET ROLE;
SELECT is((SELECT string_agg(by, ' ') FROM company.seen), (SELECT current_user::text), 'one with a trigger fires it, as the owner of the book');
DROP TRIGGER see ON books.pending;
ALTER TABLE books.pending ADD COLUMN noted_at timestamptz DEFAULT now();
SET ROLE sources_writer;
INSERT INTO company.sale VALUES (13, 1, '2025-11-11', 8);
RESET ROLE;
SELECT is((SELECT count(*) FROM books.pending WHERE noted_at IS NOT NULL), 3::bigint, 'one with a further column fills it');
ALTER TABLE books.pending DROP COLUMN noted_at;
SELECT is(company.run('books'), '3 tickets, 21.00, 0 corrections, 0 held, 0 problems', 'all were noted');
SELECT is(company.lines('counter', 'sale'), '10 5.00, 11 6.00, 12 7.00, 13 8.00', 'and settled');

-- in a book that settles at commit: deferred, immediate, by replication, and with its trigger disabled
BEGIN;
UPDATE company.sale SET amount = 1 WHERE id = 10;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is((SELECT sum(amount) FROM counter.line_detail WHERE ticket_key = '10'), 1.00, 'SET CONSTRAINTS IMMEDIATE settles at once');
SAVEPOINT a;
UPDATE company.sale SET amount = 2 WHERE id = 10;
ROLLBACK TO a;
UPDATE company.sale SET amount = 3 WHERE id = 11;
COMMIT;
SELECT is(company.lines('counter', 'sale'), '10 1.00, 11 3.00, 12 7.00, 13 8.00', 'what was rolled back is not settled');
SET session_replication_role = replica;
UPDATE company.sale SET amount = 4 WHERE id = 12;
RESET session_replication_role;
SELECT is((SELECT string_agg(ticket_key, ' ') FROM counter.pending), '12', 'what replication applies waits for a run');
ALTER TABLE company.sale DISABLE TRIGGER settle_counter_sale_now;
UPDATE company.sale SET amount = 5 WHERE id = 13;
ALTER TABLE company.sale ENABLE TRIGGER settle_counter_sale_now;
SELECT is((SELECT string_agg(ticket_key, ' ') FROM counter.pending), '12 13', 'so does what no deferred trigger settles');
SELECT is(company.run('counter'), '2 tickets, -6.00, 2 corrections, 0 held, 0 problems', 'which comes');
SELECT is((SELECT count(*) FROM settle.check('counter')), 0::bigint, 'the book agrees with itself');

-- a problem at commit is tried again by the run after its rule is mended, though others have settled since
SELECT settle.end_rule('counter', 'sale', '2025-12-01') \g /dev/null
SELECT settle.add_rule('counter', 'sale', 'c', 'hq', 'p', base => '100 / (amount - amount)', source => 'sale', valid => '[2025-12-01,)') \g /dev/null
INSERT INTO company.sale VALUES (14, 1, '2025-12-11', 9);
SELECT is((SELECT sqlstate FROM counter.problem WHERE ticket_key = '14'), '22012', 'a problem at commit does not stop the writer');
UPDATE counter.rule SET base = 'amount' WHERE upper_inf(valid);
INSERT INTO company.sale VALUES (15, 1, '2025-12-11', 10);
SELECT is(company.run('counter'), '1 tickets, 9.00, 0 corrections, 0 held, 0 problems', 'mended rules try it again');

----------------------------------------------------------------------------------------------------
-- The table changes under compiled rules; drafts of rules that are rolled back
----------------------------------------------------------------------------------------------------
SELECT company.run('books') \g /dev/null
ALTER TABLE company.sale ADD COLUMN extra numeric DEFAULT 1000, DROP COLUMN customer;
INSERT INTO company.sale VALUES (20, '2025-11-11', 20, 5);
SELECT throws_ok($$ SELECT settle.run('books') $$, '42703', 'name "customer" is not known here', 'a rule whose column is gone stops the run');
SELECT is(company.lines('counter', 'sale'), '10 1.00, 11 3.00, 12 4.00, 13 5.00, 14 9.00, 15 10.00, 20 20.00', 'a book whose rules do not read it goes on at commit');
ALTER TABLE company.sale ADD COLUMN customer int DEFAULT 1;
SELECT is(company.run('books'), '1 tickets, 20.00, 0 corrections, 0 held, 0 problems', 'a column of that name heals it');
ALTER TABLE company.sale ALTER COLUMN amount TYPE int USING amount::int;
ALTER TABLE company.sale ALTER COLUMN id TYPE bigint;
INSERT INTO company.sale (id, at, amount) VALUES (3000000000, '2025-11-11', 30);
SELECT is(company.run('books'), '1 tickets, 30.00, 0 corrections, 0 held, 0 problems', 'columns of other types are read as such');
ALTER TABLE company.sale RENAME TO sales;
ALTER TABLE company.sales SET SCHEMA public;
INSERT INTO public.sales (id, at, amount) VALUES (22, '2025-11-11', 40);
SELECT is(company.run('books'), '1 tickets, 40.00, 0 corrections, 0 held, 0 problems', 'the table may be renamed and moved');

BEGIN;
SELECT settle.add_rule('books', 'draft', 'draft', 'hq', 'p', base => '1000000', source => 'sale') \g /dev/null
INSERT INTO public.sales (id, at, amount) VALUES (23, '2025-11-11', 1);
SELECT is(company.run('books'), '10 tickets, 10000001.00, 9 corrections, 0 held, 0 problems', 'a draft of a rule is in force inside its transaction');
ROLLBACK;
INSERT INTO public.sales (id, at, amount) VALUES (24, '2025-11-11', 1);
SELECT is(company.run('books'), '1 tickets, 1.00, 0 corrections, 0 held, 0 problems', 'rolled back, it never pays');
BEGIN;
SAVEPOINT a;
SELECT settle.add_rule('books', 'draft', 'draft', 'hq', 'p', base => '1000000', source => 'sale') \g /dev/null
SELECT settle.digest(settle.rules('books')) AS draft \gset
ROLLBACK TO a;
SELECT settle.add_rule('books', 'other', 'other', 'hq', 'p', base => '2', source => 'sale') \g /dev/null
INSERT INTO public.sales (id, at, amount) VALUES (25, '2025-11-11', 1);
SELECT is(company.run('books'), '11 tickets, 23.00, 10 corrections, 0 held, 0 problems', 'nor after another edit of the same transaction');
COMMIT;
SELECT isnt(settle.digest(settle.rules('books')), :'draft'::bytea, 'the draft is gone');
SELECT is((SELECT count(*) FROM books.ruleset_used WHERE digest = :'draft'), 0::bigint, 'no ticket was priced by it');

----------------------------------------------------------------------------------------------------
-- A book that is gone; names as long as names can be
----------------------------------------------------------------------------------------------------
BEGIN;
INSERT INTO public.sales (id, at, amount) VALUES (26, '2025-11-11', 1);
DROP SCHEMA counter CASCADE;
COMMIT;
SELECT lives_ok($$ INSERT INTO public.sales (id, at, amount) VALUES (27, '2025-11-11', 1) $$, 'a book that is gone does not stop the company''s own table');
SELECT is(company.run('books'), '2 tickets, 6.00, 0 corrections, 0 held, 0 problems', 'nor its other books');

SELECT repeat('长', 20) || 'x' AS book, repeat('é', 31) AS source \gset
SELECT settle.create_book(:'book'::name, settle_on => 'commit') \g /dev/null
CREATE TABLE company.short (id int PRIMARY KEY, at timestamptz, amount numeric);
SELECT settle.add_source(quote_ident(:'book')::regnamespace, :'source', 'company.short', key => 'id', ready_at => 'at') \g /dev/null
SELECT settle.add_rule(quote_ident(:'book')::regnamespace, 'r', 'r', 'hq', 'p', base => 'amount', source => :'source') \g /dev/null
INSERT INTO company.short VALUES (1, '2025-11-11', 1);
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO company.short VALUES (2, '2025-11-11', 2);
COMMIT;
SELECT company.run(quote_ident(:'book')::regnamespace) \g /dev/null
SELECT is(company.lines(:'book', :'source'), '1 1.00, 2 2.00', 'names of 61 and 62 bytes');
SELECT is((SELECT count(*) FROM settle.check(quote_ident(:'book')::regnamespace)), 0::bigint, 'check finds its triggers');

----------------------------------------------------------------------------------------------------
-- A book that settles otherwise from now on
----------------------------------------------------------------------------------------------------
CREATE TABLE company.trip (id int, at timestamptz, amount numeric) PARTITION BY RANGE (at);
CREATE TABLE company.trip_10 PARTITION OF company.trip FOR VALUES FROM ('2025-10-01') TO ('2025-11-01');
CREATE TABLE company.trip_11 PARTITION OF company.trip FOR VALUES FROM ('2025-11-01') TO ('2025-12-01');
SELECT settle.create_book('turns') \g /dev/null
SELECT settle.add_source('turns', 'trip', 'company.trip', key => 'id', ready_at => 'at', revenue => 'amount') \g /dev/null
SELECT settle.add_rule('turns', 'trip', 'c', 'hq', 'p', base => 'amount', source => 'trip') \g /dev/null
SELECT settle.create_book('turned', settle_on => 'commit') \g /dev/null
CREATE VIEW company.turns_capture AS SELECT tgname, tgtype, tgdeferrable, tgenabled, replace(encode(tgargs, 'escape'), 'turned', 'turns') AS arguments FROM pg_trigger WHERE tgrelid = 'turns.ticket'::regclass AND tgname LIKE 'settle%';
INSERT INTO company.trip VALUES (1, '2025-11-11', 1);
SELECT is(company.lines('turns', 'trip'), NULL, 'a ticket waits for the schedule');
UPDATE turns.book SET settle_on = 'commit';
SELECT bag_eq($$ SELECT * FROM company.turns_capture $$, $$ SELECT replace(tgname, 'turned', 'turns')::name, tgtype, tgdeferrable, tgenabled, replace(encode(tgargs, 'escape'), 'turned', 'turns') AS arguments FROM pg_trigger WHERE tgrelid = 'turned.ticket'::regclass AND tgname LIKE 'settle%' $$, 'the triggers are those of a book that is made so');
INSERT INTO company.trip VALUES (2, '2025-10-11', 2);
SELECT is(company.lines('turns', 'trip'), '2 2.00', 'one of later is settled at its commit, in a partition');
SELECT is(company.run('turns'), '1 tickets, 1.00, 0 corrections, 0 held, 0 problems', 'the one that waited by the next run');
UPDATE turns.book SET settle_on = 'schedule';
INSERT INTO company.trip VALUES (3, '2025-11-13', 3);
SELECT is(company.lines('turns', 'trip'), '1 1.00, 2 2.00', 'and back: one waits again');
SELECT is(company.run('turns'), '1 tickets, 3.00, 0 corrections, 0 held, 0 problems', 'for a run');
SELECT throws_ok($$ UPDATE turns.book SET settle_on = 'sometimes' $$, '23514', NULL, 'there is no third way');
SELECT throws_ok($$ DO $do$ BEGIN UPDATE turns.book SET settle_on = 'commit'; INSERT INTO company.trip VALUES (4, '2025-11-14', 4); UPDATE turns.book SET settle_on = 'schedule'; END $do$ $$, '55006', NULL, 'not back again before what is written is settled');
SELECT is((SELECT count(*) FROM settle.check('turns')), 0::bigint, 'check finds its triggers');

SELECT is((SELECT string_agg(DISTINCT invariant, ', ') FROM settle.check('books') WHERE object NOT LIKE 'job %'), NULL, 'at the end every figure agrees with every other');
REVOKE ALL ON ALL TABLES IN SCHEMA company, public FROM sources_writer;
REVOKE ALL ON SCHEMA company FROM sources_writer;
DROP ROLE sources_writer;
SELECT * FROM finish();
