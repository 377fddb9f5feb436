-- How a book ends: settle.drop_book takes what it left outside of its schema and
-- nothing else, and keeps the book while money is owed; DROP SCHEMA leaves triggers
-- that warn; DROP EXTENSION is refused while there is a book.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS drop_owner, drop_admin, drop_other;
CREATE ROLE drop_owner; CREATE ROLE drop_admin; CREATE ROLE drop_other;
SELECT format('GRANT CREATE ON DATABASE %I TO drop_owner', current_database()) \gexec
CREATE FUNCTION public.advice(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END $$;
CREATE VIEW public.capture AS SELECT tgrelid::regclass || ' ' || tgname AS name FROM pg_trigger WHERE tgname LIKE 'settle\_%' AND NOT EXISTS (SELECT FROM settle.books() AS b JOIN pg_class AS c ON c.relnamespace = b.book WHERE c.oid = tgrelid);

-- a company with partitions, one of them detached, and two books of nearly one name
CREATE SCHEMA company AUTHORIZATION drop_owner;
GRANT USAGE ON SCHEMA public TO drop_owner;
SET ROLE drop_owner;
CREATE TABLE company.visit (id int, at date, worker text, amount numeric, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE company.visit_10 PARTITION OF company.visit FOR VALUES FROM ('2025-10-01') TO ('2025-11-01');
CREATE TABLE company.visit_11 PARTITION OF company.visit FOR VALUES FROM ('2025-11-01') TO ('2025-12-01');
CREATE TABLE company.base (id int, at date, amount numeric);
CREATE TABLE company.child () INHERITS (company.base);
SELECT settle.create_book('going', settle_on => 'commit') \g /dev/null
SELECT settle.create_book('going_2') \g /dev/null
SELECT settle.add_source(book, 'visit', 'company.visit', key => 'id', ready_at => 'at::timestamptz', revenue => 'amount'), settle.add_source(book, 'base', 'company.base', key => 'id', ready_at => 'at::timestamptz', revenue => 'amount'),
    settle.add_rule(book, 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', source => 'visit'), settle.grant_access(book, 'drop_admin', 'admin')
FROM settle.books() AS b WHERE owner = 'drop_owner'::regrole \g /dev/null
ALTER TABLE company.visit DETACH PARTITION company.visit_10;
INSERT INTO company.visit VALUES (1, '2025-11-11', 'w1', 1000), (2, '2025-11-12', 'w2', 300);
CALL settle.tick('going');
SELECT settle.anchor('going') AS anchor \gset
RESET ROLE;
SELECT count(*) AS captures FROM public.capture \gset

-- what keeps it
SELECT is(public.advice(format('SELECT settle.drop_book(''going'', %L)', reason)), '22004 | dropping a book needs a reason', 'a reason is given') FROM unnest(ARRAY[NULL, ' ']) AS reason;
SELECT is(public.advice($$ SELECT settle.drop_book('going', 'moved') $$), '55000 | book "going" is not settled up | Earned and paid differ by 65 CNY of 2 parties, first staff:w1.', 'what is owed');
SET ROLE drop_other;
SELECT is(public.advice($$ SELECT settle.drop_book('going', 'moved', true) $$), '42501 | permission denied for book "going" | This needs the level admin.', 'who may not');
RESET ROLE;
SELECT is(public.advice($$ SELECT settle.drop_book('company', 'moved') $$), '42704 | schema "company" is not a book | It has no table "book".', 'what is no book');
SELECT is(public.advice($$ SELECT settle.drop_book(NULL, 'moved') $$), '22004 | book is null', 'and nothing');
CREATE VIEW company.paid AS SELECT sum(amount) FROM going.line_detail;
CREATE TABLE company.more () INHERITS (going.ticket);
SELECT is(public.advice($$ SELECT settle.drop_book('going', 'moved', true) $$), '2BP01 | what is not of book "going" depends on it | It would be dropped too: company.more, company.paid.', 'what it would take with it');
DROP VIEW company.paid;
DROP TABLE company.more;
SELECT is((SELECT count(*) FROM public.capture), :captures::bigint, 'nothing was touched');

-- it goes, but for a trigger that is not its owner's to drop
ALTER TABLE company.child OWNER TO drop_other;
SET ROLE drop_admin;
\set warned `psql -Xq -c 'SET ROLE drop_admin' -c 'BEGIN' -c "SELECT settle.drop_book('going', 'moved', discard => true)" -c 'ROLLBACK' 2>&1 | grep -E '^(WARNING|HINT)'`
SELECT is(:'warned'::text, E'WARNING:  trigger "settle_going_base" stays on "company.child", which belongs to role "drop_other"\nHINT:  DROP TRIGGER settle_going_base ON company.child.\n'
    || E'WARNING:  trigger "settle_going_base_all" stays on "company.child", which belongs to role "drop_other"\nHINT:  DROP TRIGGER settle_going_base_all ON company.child.\n'
    || E'WARNING:  trigger "settle_going_base_now" stays on "company.child", which belongs to role "drop_other"\nHINT:  DROP TRIGGER settle_going_base_now ON company.child.', 'what stays is named, with the statement that ends it');
SELECT is(settle.drop_book('going', 'moved', discard => true), :'anchor', 'the last anchor is for whoever keeps a dump');
RESET ROLE;
SELECT is((SELECT count(*) FROM settle.books() WHERE book::text IN ('going', 'going_2')), 1::bigint, 'one book is left');
SELECT is((SELECT string_agg(name, ', ' ORDER BY name) FROM public.capture WHERE name !~ ' settle_going_2_'),
    'company.child settle_going_base, company.child settle_going_base_all, company.child settle_going_base_now', 'and of the one that went what was named');
SELECT is((SELECT count(*) FROM public.capture WHERE name ~ ' settle_going_2_'), 9::bigint, 'all of the other, on partitions and a detached one');
INSERT INTO company.visit VALUES (4, '2025-11-12', 'w2', 300);
SELECT is((SELECT tickets FROM settle.run('going_2')), 3::bigint, 'which settles as before');

-- a book that nobody is owed anything needs no word but a reason
SELECT settle.create_book('odd "book''s') \g /dev/null
SELECT is(settle.drop_book('"odd ""book''s"', 'made by mistake'), NULL, 'a new one goes at once, and has no anchor');
SELECT settle.create_book('odd "book''s') \g /dev/null
INSERT INTO "odd ""book's".ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2025-11-11', 'a', 'b', 100);
SELECT is(public.advice($$ SELECT settle.drop_book('"odd ""book''s"', 'x') $$), '55000 | book "odd "book''s" is not settled up | Changes of tickets are pending.', 'tickets that wait');
SELECT settle.add_rule('"odd ""book''s"', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount') \g /dev/null
SELECT settle.run('"odd ""book''s"') \g /dev/null
SELECT is(public.advice($$ SELECT settle.drop_book('"odd ""book''s"', 'x') $$), '55000 | book "odd "book''s" is not settled up | 1 tickets are problems.', 'tickets that cannot be settled');
UPDATE "odd ""book's".ticket SET worker = 'w';
SELECT settle.run('"odd ""book''s"') \g /dev/null
SELECT settle.close_period('"odd ""book''s"', '2025-10-01', 'first'), settle.close_period('"odd ""book''s"', '2025-11-01', 'done') \g /dev/null
SELECT ok(public.advice($$ SELECT settle.drop_book('"odd ""book''s"', 'x') $$) ~ 'Earned and paid differ by 100 CNY of 1 parties, first staff:w', 'a statement that is not paid');

----------------------------------------------------------------------------------------------------
-- DROP SCHEMA leaves the triggers on the company's tables; they warn and do no harm
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('razed', settle_on => 'commit') \g /dev/null
SELECT settle.add_source('razed', 'visit', 'company.visit', key => 'id', ready_at => 'at::timestamptz', revenue => 'amount') \g /dev/null
DROP SCHEMA razed CASCADE;
\set warned `psql -Xq -c "INSERT INTO company.visit VALUES (5, '2025-11-12', 'w2', 300)" -c 'TRUNCATE company.visit_11' 2>&1`
SELECT is(:'warned'::text, E'WARNING:  book "razed" is gone, changes of "visit_11" are not noted\nHINT:  DROP TRIGGER settle_razed_visit ON company.visit_11.\n'
    || E'WARNING:  book "razed" is gone, changes of "visit_11" are not noted\nHINT:  DROP TRIGGER settle_razed_visit_all ON company.visit_11.', 'a write warns, and a TRUNCATE');
SELECT is((SELECT count(*) FROM company.visit), 0::bigint, 'and both are done');
BEGIN;
SELECT settle.create_book('razed', settle_on => 'commit') \g /dev/null
SELECT settle.add_source('razed', 'base', 'company.base', key => 'id', ready_at => 'at::timestamptz', revenue => 'amount') \g /dev/null
COMMIT;
\set warned `psql -Xq -c BEGIN -c "INSERT INTO company.base VALUES (5, '2025-11-12', 300)" -c 'DROP SCHEMA razed CASCADE' -c COMMIT 2>&1 | grep -E '^(WARNING|ERROR)'`
SELECT is(:'warned'::text, '', 'a ticket whose book goes in the same transaction stands');
SELECT is((SELECT count(*) FROM company.base), 1::bigint, 'indeed');
DELETE FROM company.base;
-- a book of the same name takes no note of them: they are not of its sources
SELECT is((SELECT count(*) FROM settle._captures_of('going_2')), 12::bigint, 'a book knows its own triggers');

----------------------------------------------------------------------------------------------------
-- DROP EXTENSION
----------------------------------------------------------------------------------------------------
SELECT is(split_part(public.advice('DROP EXTENSION scrm_settle'), ' | ', 2), 'cannot drop extension scrm_settle because other objects depend on it', 'refused while there is a book');
SELECT ok(public.advice('DROP EXTENSION scrm_settle') ~ '^2BP01.* of table going_2\.', 'what needs it is named');
BEGIN;
SET LOCAL client_min_messages = error;
DROP EXTENSION scrm_settle CASCADE;
SELECT count(*) AS left, string_agg(attname::text, ' ') FILTER (WHERE attname IN ('lines', 'revenue')) AS columns FROM pg_attribute WHERE attrelid = 'going_2.sheet'::regclass AND attnum > 0 AND NOT attisdropped \gset
SELECT (SELECT count(*) FROM going_2.sheet) AS sheets, (SELECT count(*) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace = 'company'::regnamespace AND NOT t.tgisinternal) AS triggers \gset
ROLLBACK;
SELECT is(:'columns'::text || ' ' || :sheets || ' ' || :triggers, 'revenue 3 0', 'with CASCADE the sheets stay and have lost their lines, and the company its triggers');
SELECT count(settle.drop_book(book, 'end of test', discard => true)) FROM settle.books() AS b WHERE book::text <> 'going_2' \g /dev/null
SET ROLE drop_owner;
SELECT settle.drop_book('going_2', 'end of test', discard => true) \g /dev/null
RESET ROLE;

DROP OWNED BY drop_owner, drop_admin, drop_other CASCADE;
DROP ROLE drop_owner, drop_admin, drop_other;
SELECT * FROM finish();
