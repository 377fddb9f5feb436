-- The shape of a book: settle.upgrade_book says what is not as in a new book, and
-- takes one of an earlier version through the steps since, with all that it holds.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
CREATE FUNCTION public.advice(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(hint, ''));
END $$;

-- its name stands in its definitions as well, and so does what a setting is called
SELECT settle.create_book('first', 'Europe/Berlin', 'JPY', 'day', 'commit') \g /dev/null
SELECT settle.add_rule('first', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%', accumulate => 'month') \g /dev/null
INSERT INTO first.ticket (ticket_id, done_at, project, region, worker, amount) SELECT i, '2025-11-11', 'a', 'b', 'w' || i % 3, 100 * i FROM generate_series(1, 9) AS i;
CALL settle.tick('first');
SELECT settle.anchor('first') AS anchor \gset
CREATE TABLE public.fresh AS SELECT * FROM settle._shape('first');
SELECT is_empty($$ SELECT * FROM settle.upgrade_book('first') $$, 'a book of this version is as it is made');
SELECT is((SELECT count(*) FROM settle.books()), 1::bigint, 'the one that it is compared with was made and undone');
SELECT is(version, settle._version(), 'it says which version its tables are of') FROM first.book;

-- what an owner adds is his
ALTER TABLE first.ticket ADD COLUMN colour text;
CREATE INDEX by_colour ON first.ticket (colour);
CREATE POLICY p ON first.ticket USING (true);
ALTER TABLE first.ticket ENABLE ROW LEVEL SECURITY;
ALTER TABLE first.pending REPLICA IDENTITY FULL;
GRANT SELECT ON first.ticket TO pg_monitor;
SELECT is_empty($$ SELECT * FROM settle.upgrade_book('first') $$, 'what its owner added is no difference');
DROP POLICY p ON first.ticket;
ALTER TABLE first.ticket DISABLE ROW LEVEL SECURITY;
ALTER TABLE first.pending REPLICA IDENTITY DEFAULT;
REVOKE SELECT ON first.ticket FROM pg_monitor;
ALTER TABLE first.ticket DROP COLUMN colour;

-- made older by hand
BEGIN;
DROP TRIGGER append_only ON first.sheet;
ALTER TABLE first.change DISABLE TRIGGER append_only;
DROP INDEX first.change_object;
ALTER TABLE first.ticket ALTER COLUMN cost DROP DEFAULT, ALTER COLUMN region DROP NOT NULL;
ALTER TABLE first.rate DROP CONSTRAINT rate_rate_check;
ALTER SEQUENCE first.rule_revision INCREMENT 2;
COMMENT ON TABLE first.gate IS NULL;
ALTER TABLE first.book DROP COLUMN place_days;
ALTER TABLE first.run ALTER COLUMN lines TYPE numeric;
SELECT object, found IS NULL AS is_missing INTO public.differences FROM settle.upgrade_book('first');
SELECT string_agg(object || CASE WHEN is_missing THEN ' -' ELSE '' END, ', ' ORDER BY object COLLATE "C") AS differences FROM public.differences \gset
ROLLBACK;
SELECT is(:'differences'::text, 'column book.place_days -, column fresh_run.lines, column run.lines, column ticket.cost, column ticket.region, constraint book_place_days_check of book -, constraint rate_rate_check of rate -, '
    'index change_object of change -, sequence rule_revision, table gate, trigger append_only of change, trigger append_only of sheet -', 'every difference is named');

-- a step: the book of the version before had no check-ins to keep, a table that is gone and counted in another way
CREATE TABLE public.before AS SELECT s::text AS sheet FROM first.sheet AS s;
ALTER TABLE first.book DROP COLUMN place_days;
ALTER TABLE first.job_run RENAME COLUMN what TO step;
CREATE TABLE first.forgotten AS SELECT job_run_id, step AS what FROM first.job_run;
DROP INDEX first.change_object;
UPDATE first.book SET version = '0.0.9', staging_days = 17;
SELECT results_eq($$ SELECT version FROM settle._upgrade_steps('first') $$, ARRAY[]::text[], 'no version has had another shape');
CREATE FUNCTION settle._upgrade_0_0_9(book regnamespace) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'a step of the past'; END $$;
CREATE FUNCTION settle._upgrade_0_0_10(book regnamespace) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s.job_run RENAME COLUMN step TO what', book);
    EXECUTE format('DROP TABLE %s.forgotten', book);
END $$;
CREATE FUNCTION settle._upgrade_0_0_11(book regnamespace) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX change_object ON %s.change (table_name, object)', book);
    EXECUTE format($sql$
        ALTER TABLE %1$s.book ADD COLUMN place_days integer NOT NULL DEFAULT 90 CHECK (place_days > 0);
        COMMENT ON COLUMN %1$s.book.place_days IS 'so many days after a check-in the point where it was is taken away';
        UPDATE %1$s.book SET place_days = staging_days
    $sql$, book);
END $$;
SELECT results_eq($$ SELECT version, step::text FROM settle._upgrade_steps('first') $$, $$ VALUES ('0.0.10', 'settle._upgrade_0_0_10'), ('0.0.11', 'settle._upgrade_0_0_11') $$, 'steps in order, none of those it has taken');
SELECT results_eq($$ SELECT object, detail FROM settle.check('first') $$, $$ VALUES ('version 0.0.10', 'settle.upgrade_book was not called since'), ('version 0.0.11', 'settle.upgrade_book was not called since') $$, 'check tells');
SELECT is_empty($$ SELECT * FROM settle.upgrade_book('first') $$, 'and then it is as a new one');
SELECT is_empty($$ SELECT * FROM settle._shape('first') EXCEPT SELECT * FROM public.fresh $$, 'with nothing left over');
SELECT is_empty($$ SELECT * FROM public.fresh EXCEPT SELECT * FROM settle._shape('first') $$, 'and nothing missing');
SELECT is((SELECT (version, place_days)::text FROM first.book), '(0.0.11,17)', 'a step has the values it needs');
SELECT results_eq('SELECT s::text COLLATE "C" FROM first.sheet AS s ORDER BY 1', 'SELECT sheet COLLATE "C" FROM public.before ORDER BY 1', 'all that was posted stands');
INSERT INTO first.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('10', '2025-11-11', 'a', 'b', 'w1', 100);
CALL settle.tick('first');
SELECT is_empty($$ SELECT * FROM settle.check('first') $$, 'check finds nothing');
SELECT is_empty(format($$ SELECT * FROM settle.verify('first', %L) $$, :'anchor'), 'the anchor from before holds');
SELECT is((SELECT string_agg(after ->> 'version', ' ' ORDER BY change_id) FROM first.change WHERE table_name = 'book' AND before ->> 'version' <> after ->> 'version'), '0.0.9 0.0.10 0.0.11', 'the journal tells');

-- a step that fails
CREATE FUNCTION settle._upgrade_0_0_12(book regnamespace) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('DROP TABLE %s.rate', book); RAISE division_by_zero; END $$;
SELECT is(public.advice($$ SELECT settle.upgrade_book('first') $$), '22012 | division_by_zero', 'a step that fails');
SELECT is((SELECT version FROM first.book) || to_regclass('first.rate'), '0.0.11first.rate', 'leaves the book as it was');
DROP FUNCTION settle._upgrade_0_0_12;

-- code that needs what an older book does not have
ALTER TABLE first.book RENAME COLUMN desk_revision TO revision_of_desk;
SELECT is(public.advice($$ SELECT settle.run('first') $$), '42704 | schema "first" is not a book | settle.upgrade_book gives a book of an earlier version the tables of this one.', 'says what to do');
SELECT is((SELECT object FROM settle.upgrade_book('first') WHERE found IS NULL), 'column book.desk_revision', 'which reaches it all the same');
ALTER TABLE first.book RENAME COLUMN revision_of_desk TO desk_revision;
UPDATE first.book SET version = '999.0.0';
SELECT is(public.advice($$ SELECT settle.upgrade_book('first') $$), '55000 | book "first" is of version 999.0.0, the extension of ' || settle._version() || ' | Install the later version and say ALTER EXTENSION scrm_settle UPDATE.', 'a book of a later version');
SELECT results_eq($$ SELECT object, detail FROM settle.check('first') $$, $$ SELECT 'version 999.0.0', 'the extension is of ' || settle._version() $$, 'check tells of it');
SELECT is(public.advice($$ SELECT settle.upgrade_book('pg_catalog') $$), '42704 | schema "pg_catalog" is not a book | settle.create_book makes one; settle.books() lists those that exist.', 'what is no book');
SELECT * FROM finish();
