-- Sheets are written pages at once, and by COPY where something hangs on their
-- table that only a statement serves.  Both ways write the same, and whatever the
-- owner of a book puts on the table holds.  Each way is tried on one book and
-- taken back.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

-- Tickets of three months side by side, a commission that accumulates, and some tickets that are corrected
CREATE PROCEDURE pg_temp.make(book name) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle.create_book(book);
    PERFORM settle.add_rule(book::text::regnamespace, 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '5%');
    PERFORM settle.add_rule(book::text::regnamespace, 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '3% to 2000, 5%', accumulate => 'month');
    EXECUTE format('INSERT INTO %I.ticket (ticket_id, done_at, project, region, worker, amount, channel)
        SELECT ''T'' || i, timestamptz ''2025-09-03'' + i %% 3 * interval ''1 month'', ''a.b'', ''c.d'', i %% 7, i + 0.5, CASE WHEN i %% 2 = 0 THEN ''app'' END
        FROM generate_series(1, 1200) AS i', book);
END $$;
CREATE PROCEDURE pg_temp.settle(book name) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setval(pg_get_serial_sequence(format('%I.%I', book, t), t || '_id'), 100, false) FROM unnest(ARRAY['sheet', 'run', 'party']) AS t;
    PERFORM settle.run(book::text::regnamespace);
    EXECUTE format('UPDATE %I.ticket SET amount = 7, channel = ''web'' WHERE worker = ''3''', book);
    PERFORM settle.run(book::text::regnamespace);
END $$;
-- What stands in the table, but for columns of one's own
CREATE FUNCTION pg_temp.sheets(book name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT count(*) || '' '' || md5(string_agg((to_jsonb(s) - ''note'' - ''written_by'')::text, '' '' ORDER BY s.sheet_id)) FROM %I.sheet AS s', book) INTO result;
    RETURN result;
END $$;

CALL pg_temp.make('plain');
CALL pg_temp.settle('plain');
SELECT pg_temp.sheets('plain') AS plain \gset
SELECT is(split_part(:'plain', ' ', 1), '1544', 'sheets are written');
CALL pg_temp.make('other');

-- What a statement serves: a trigger before the row, a further column with a value of its own, partitions
BEGIN;
CREATE FUNCTION pg_temp.as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER before_row BEFORE INSERT ON other.sheet FOR EACH ROW EXECUTE FUNCTION pg_temp.as_it_is();
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS fired \gset
SELECT count(*) AS failing FROM settle.check('other') \gset
ROLLBACK;
SELECT is(:'fired'::text, :'plain', 'a trigger before the row: the same sheets');
SELECT is(:failing::bigint, 0::bigint, 'and the book agrees with itself');

BEGIN;
ALTER TABLE other.sheet ADD written_by text NOT NULL DEFAULT session_user;
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS wider \gset
SELECT count(*) AS written_by FROM other.sheet WHERE written_by = session_user \gset
ROLLBACK;
SELECT is(:'wider'::text, :'plain', 'a further column with a default: the same sheets');
SELECT is(:written_by::bigint, 1544::bigint, 'each with its value');

CREATE DOMAIN pg_temp.remark AS text DEFAULT 'as it came';
BEGIN;
ALTER TABLE other.sheet ADD written_by pg_temp.remark;
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS remarked \gset
SELECT count(*) AS remarks FROM other.sheet WHERE written_by = 'as it came' \gset
ROLLBACK;
SELECT is(:'remarked'::text, :'plain', 'a further column whose domain has a default: the same sheets');
SELECT is(:remarks::bigint, 1544::bigint, 'each with its value');

BEGIN;
ALTER TABLE other.sheet RENAME TO sheet_whole;
CREATE TABLE other.sheet (LIKE other.sheet_whole INCLUDING IDENTITY) PARTITION BY RANGE (period);
CREATE TABLE other.sheet_before PARTITION OF other.sheet FOR VALUES FROM (MINVALUE) TO ('2025-10-01');
CREATE TABLE other.sheet_after PARTITION OF other.sheet FOR VALUES FROM ('2025-10-01') TO (MAXVALUE);
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS parted \gset
SELECT count(*) AS misplaced FROM other.sheet WHERE (tableoid = 'other.sheet_before'::regclass) <> (period < '2025-10-01') \gset
ROLLBACK;
SELECT is(:'parted'::text, :'plain', 'partitions: the same sheets');
SELECT is(:misplaced::bigint, 0::bigint, 'each in its place');

-- Sheets and tallies are looked up by their indexes, and by statements where rows may stand elsewhere or an index is another
BEGIN;
ALTER TABLE other.sheet RENAME CONSTRAINT sheet_source_id_ticket_key_revision_key TO told_otherwise;
CREATE TABLE other.elsewhere () INHERITS (other.tally_state);
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS asked \gset
SELECT count(*) AS failing FROM settle.check('other') WHERE object NOT LIKE '%elsewhere%' \gset
ROLLBACK;
SELECT is(:'asked'::text, :'plain', 'another index, and a table that inherits: the same corrections');
SELECT is(:failing::bigint, 0::bigint, 'and the book agrees with itself');

-- What needs no statement
BEGIN;
ALTER TABLE other.sheet ADD gone text;
ALTER TABLE other.sheet DROP gone, ADD note text;
ALTER TABLE other.sheet SET UNLOGGED;
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS nullable \gset
ROLLBACK;
SELECT is(:'nullable'::text, :'plain', 'a column that is gone, one that may be null, an unlogged table: the same sheets');

-- What comes after the rows is fired
CREATE TABLE heard (what text, sheets bigint);
CREATE FUNCTION pg_temp.hear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        INSERT INTO heard VALUES ('row', NEW.sheet_id);
    ELSE
        INSERT INTO heard SELECT 'statement', count(*) FROM written;
    END IF;
    RETURN NULL;
END $$;
BEGIN;
CREATE TRIGGER after_row AFTER INSERT ON other.sheet FOR EACH ROW EXECUTE FUNCTION pg_temp.hear();
CREATE TRIGGER after_statement AFTER INSERT ON other.sheet REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.hear();
CALL pg_temp.settle('other');
SELECT pg_temp.sheets('other') AS after \gset
SELECT count(*) AS rows FROM heard AS h JOIN other.sheet AS s ON s.sheet_id = h.sheets WHERE h.what = 'row' \gset
SELECT string_agg(sheets::text, ' ' ORDER BY sheets) AS statements FROM heard WHERE what = 'statement' \gset
ROLLBACK;
SELECT is(:'after'::text, :'plain', 'triggers after: the same sheets');
SELECT is(:rows::bigint, 1544::bigint, 'that hear of each row');
SELECT is(:'statements'::text, '344 1200', 'and of all that a run wrote');

-- Constraints hold
ALTER TABLE other.sheet ADD CONSTRAINT small CHECK (revenue < 900);
SELECT throws_ok($$ SELECT settle.run('other') $$, '23514', 'new row for relation "sheet" violates check constraint "small"', 'a CHECK');
SELECT is_empty('SELECT FROM other.sheet', 'and nothing is written');
ALTER TABLE other.sheet DROP CONSTRAINT small, ALTER channel SET NOT NULL;
SELECT throws_ok($$ SELECT settle.run('other') $$, '23502', 'null value in column "channel" of relation "sheet" violates not-null constraint', 'NOT NULL');
ALTER TABLE other.sheet ALTER channel DROP NOT NULL;
SELECT last_value + 1100 AS taken FROM other.sheet_sheet_id_seq \gset
INSERT INTO other.sheet (sheet_id, run_id, ticket_time, period, revision, source_id, tickets, ticket_key, currency, revenue, cost, payout, lines)
    SELECT :taken, 1, now(), '2025-09-01', 1, 99, 1, 'other', 'CNY', 0, 0, 0, '{"packed": []}';
SELECT throws_ok($$ SELECT settle.run('other') $$, '23505', 'duplicate key value violates unique constraint "sheet_pkey"', 'a number that is taken');
ALTER TABLE other.sheet DISABLE TRIGGER append_only;
DELETE FROM other.sheet;
ALTER TABLE other.sheet ENABLE TRIGGER append_only;
CREATE UNIQUE INDEX once ON other.sheet (revenue) WHERE revenue > 1000;
UPDATE other.ticket SET amount = 1150.5 WHERE ticket_id = 'T1180';
SELECT throws_ok($$ SELECT settle.run('other') $$, '23505', 'duplicate key value violates unique constraint "once"', 'an index of one''s own, of some rows');
DROP INDEX other.once;
ALTER TABLE other.sheet ADD CONSTRAINT once_later UNIQUE (revenue) DEFERRABLE;
SELECT throws_ok($$ SELECT settle.run('other') $$, '23505', 'duplicate key value violates unique constraint "once_later"', 'and one that is checked when all are written');
ALTER TABLE other.sheet DROP CONSTRAINT once_later;
UPDATE other.ticket SET amount = 1180.5 WHERE ticket_id = 'T1180';
SELECT is(tickets, 1200::bigint, 'without anything in the way all are written') FROM settle.run('other');
SELECT is_empty($$ SELECT * FROM settle.check('other') $$, 'and the book agrees with itself');

-- Rows are updated where they stand, and by a statement where only that serves them
SELECT settle.create_book('shop') \g /dev/null
INSERT INTO shop.mapping (platform, kind, marker) VALUES ('corner', 'sale', '$.no');
INSERT INTO shop.mapping_part (platform, kind, part, entity, rows) VALUES ('corner', 'sale', 'order', 'shop_order', '{$}');
INSERT INTO shop.mapping_field (platform, kind, part, field, form, path, place) VALUES ('corner', 'sale', 'order', 'order_no', 'id', '{$.no}', 1);
INSERT INTO shop.mapping_field (platform, kind, part, field, form, expression, place) VALUES ('corner', 'sale', 'order', 'lifecycle', 'text', '''created''', 2);
CREATE PROCEDURE pg_temp.land(first int, last int) LANGUAGE sql AS $$
    INSERT INTO shop.staging (platform, payload) SELECT 'corner', jsonb_build_object('no', i::text) FROM generate_series(first, last) AS i
$$;
CREATE TABLE told (what text);
BEGIN;
CREATE RULE tell AS ON UPDATE TO shop.staging DO ALSO INSERT INTO told VALUES (NEW.external_key);
CREATE RULE tell AS ON INSERT TO shop.shop_order DO ALSO INSERT INTO told VALUES (NEW.order_no);
CALL pg_temp.land(1, 5);
SELECT applied FROM settle.ingest('shop') \gset
SELECT coalesce(string_agg(what, ' ' ORDER BY what), '') AS told FROM told \gset
ROLLBACK;
SELECT is(:'told'::text, '1 1 2 2 3 3 4 4 5 5', 'rules hear of rows that are inserted and updated');

BEGIN;
CREATE TABLE shop.staging_aside () INHERITS (shop.staging);
CALL pg_temp.land(1, 3);
INSERT INTO shop.staging_aside (staging_id, platform, payload) SELECT 100 + i, 'corner', jsonb_build_object('no', i::text) FROM generate_series(4, 5) AS i;
SELECT applied FROM settle.ingest('shop') \gset
SELECT string_agg(format('%s %s', external_key, state), ', ' ORDER BY external_key) AS states FROM shop.staging \gset
ROLLBACK;
SELECT is(:'states'::text, '1 applied, 2 applied, 3 applied, 4 applied, 5 applied', 'rows of a child are updated in the child');

CALL pg_temp.land(1, 5);
CREATE PUBLICATION told FOR TABLE shop.staging;
ALTER TABLE shop.staging REPLICA IDENTITY NOTHING;
SELECT throws_ok($$ SELECT settle.ingest('shop') $$, '55000', 'cannot update table "staging" because it does not have a replica identity and publishes updates',
    'a subscriber misses no update');
ALTER TABLE shop.staging REPLICA IDENTITY DEFAULT;
SELECT is(applied, 5::bigint, 'and gets those of rows that it can find') FROM settle.ingest('shop');
DROP PUBLICATION told;

-- An index that sums up pages knows of all that stands in them
SELECT brin_summarize_new_values('plain.sheet_period') \g /dev/null
INSERT INTO plain.ticket (ticket_id, done_at, project, region, worker, amount)
    SELECT 'L' || i, timestamptz '2024-01-03' + (i - 1) * interval '1 day', 'a.b', 'c.d', 1, 10 FROM generate_series(1, 120) AS i;
SELECT settle.run('plain') \g /dev/null
SET enable_seqscan = off;
SELECT results_eq($$ SELECT p::date, (SELECT count(*) FROM plain.sheet AS s WHERE s.period = p::date) FROM generate_series(timestamp '2024-01-01', '2024-05-01', interval '1 month') AS p $$,
    $$ VALUES (date '2024-01-01', 29::bigint), ('2024-02-01', 29), ('2024-03-01', 31), ('2024-04-01', 30), ('2024-05-01', 1) $$, 'sheets are found by their period');
RESET enable_seqscan;

-- A line whose base is that of the line before does not say it again, and reads the same
SELECT is(l::settle.lines::text, l, 'bases in a row read as they were given')
FROM (VALUES ('{"packed": [{"rule_id": 1, "payer_id": 2, "payee_id": 3, "base": "100.50", "amount": "5.03"}, {"rule_id": 2, "payer_id": 2, "payee_id": 4, "base": "100.50", "amount": "1.00"}, {"rule_id": 2, "payer_id": 2, "payee_id": 4, "base": "100.5", "amount": "1.00"}, {"rule_id": 2, "payer_id": 2, "payee_id": 4, "base": "100.5", "amount": "1.00", "owner_id": 4, "tally_period": "2025-11-01", "count": 1, "quantity": "1"}]}'),
    ('{"packed": [{"rule_id": 1, "payer_id": 2, "payee_id": 3, "base": "1' || repeat('0', 60) || '", "amount": "1"}, {"rule_id": 1, "payer_id": 2, "payee_id": 3, "base": "1' || repeat('0', 60) || '", "amount": "1"}]}')) AS v (l);
SELECT is((SELECT pg_column_size(('{"packed": [' || string_agg(format('{"rule_id": 1, "payer_id": 2, "payee_id": 3, "base": "%s", "amount": "1"}', i * 1000000 + 1234567), ', ') || ']}')::settle.lines) FROM generate_series(1, 5) AS i)
    - (SELECT pg_column_size(('{"packed": [' || string_agg('{"rule_id": 1, "payer_id": 2, "payee_id": 3, "base": "1234567", "amount": "1"}', ', ') || ']}')::settle.lines) FROM generate_series(1, 5) AS i),
    4 * 5, 'and takes no bytes again');

SELECT * FROM finish();
