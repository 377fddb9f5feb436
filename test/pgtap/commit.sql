-- What a session remembers of settling at commit, plans of statements and the
-- numbers of rules, is never another book's and never old.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(29);

CREATE FUNCTION public.sell(book text, ids int[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.ticket (ticket_id, done_at, project, region, worker, amount) SELECT i, ''2025-11-05 10:00+08'', ''a'', ''b'', ''w'' || i %% 3, 100 * i FROM unnest($1) AS i', book) USING ids;
END $$;
CREATE FUNCTION public.lines(book text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT string_agg(concat_ws('' '', ticket_key, rule_code, payee, trim_scale(amount)), '', '' ORDER BY ticket_key, rule_code COLLATE "C") FROM %I.line_detail WHERE component NOT LIKE ''%%.retier''', book) INTO result;
    RETURN result;
END $$;
CREATE FUNCTION public.make(book text, rate text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle.create_book(book::name, settle_on => 'commit');
    PERFORM settle.add_rule(book::regnamespace, 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => rate::settle.tiers);
END $$;

-- many of one session, so that every plan is used again
SELECT public.make('till', '10%') \g /dev/null
SELECT public.sell('till', '{1}') \g /dev/null
SELECT public.sell('till', ARRAY[2, 3]) \g /dev/null
SELECT public.sell('till', ARRAY(SELECT generate_series(4, 30))) \g /dev/null
SELECT is((SELECT sum(amount) FROM till.line_detail), 4650.00, 'few at once and many at once');
UPDATE till.ticket SET amount = 50 WHERE ticket_id = '2';
DELETE FROM till.ticket WHERE ticket_id::int > 3;
SELECT is((SELECT sum(amount) FROM till.line_detail WHERE ticket_key = '2'), 5.00, 'a correction');
SELECT is((SELECT count(*) FROM till.problem), 27::bigint, 'rows that vanished are held');

-- rules change: their numbers, too
SELECT settle.add_rule('till', 'gift', 'gift', 'hq', 'staff:{worker}', base => 'amount', tiers => '1%') \g /dev/null
SELECT public.sell('till', '{41}') \g /dev/null
SELECT is((SELECT string_agg(rule_code || ' ' || amount::numeric(9, 2), ', ' ORDER BY rule_code COLLATE "C") FROM till.line_detail WHERE ticket_key = '41'), 'fee 410.00, gift 41.00', 'a rule more');
SELECT settle.add_rule('till', 'later', 'later', 'hq', 'staff:{worker}', base => 'amount', tiers => '2%', valid => '[2025-12-01 00:00+08,)') \g /dev/null
SELECT public.sell('till', '{42}') \g /dev/null
-- the same rule anew has another number and gives the same ruleset
SELECT settle._seal('till') \g /dev/null
SELECT rule_id AS before FROM till.rule WHERE code = 'later' \gset
SELECT encode(digest, 'hex') AS digest FROM till.run ORDER BY run_id DESC LIMIT 1 \gset
BEGIN;
CREATE TEMP TABLE kept AS SELECT * FROM till.rule WHERE code = 'later';
DELETE FROM till.rule WHERE code = 'later';
UPDATE kept SET rule_id = rule_id + 100;
INSERT INTO till.rule OVERRIDING SYSTEM VALUE SELECT * FROM kept;
COMMIT;
INSERT INTO till.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('43', '2025-12-05 10:00+08', 'a', 'b', 'w', 100);
SELECT is((SELECT encode(digest, 'hex') FROM till.run ORDER BY run_id DESC LIMIT 1), :'digest', 'the same rules');
SELECT is((SELECT l.rule_id - :before FROM till.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l WHERE s.ticket_key = '43' AND l.amount = 2), 100, 'by another number');
SELECT is_empty($$ SELECT * FROM settle.check('till') WHERE invariant NOT LIKE 'every settled%' $$, 'all agrees');
SELECT is_empty($$ SELECT * FROM settle.replay('till') $$, 'and is computed again');

-- another book of the same rules, whose numbers are others
SELECT public.make('kiosk', '10%') \g /dev/null
INSERT INTO kiosk.rule OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(r, '{"rule_id": 77, "code": "gift", "component": "gift", "tiers": "1%"}')).* FROM kiosk.rule AS r WHERE code = 'fee';
SELECT public.sell('kiosk', '{1,2}') \g /dev/null
SELECT is(public.lines('kiosk'), '1 fee staff:w1 10, 1 gift staff:w1 1, 2 fee staff:w2 20, 2 gift staff:w2 2', 'another book');
SELECT is_empty($$ SELECT * FROM settle.check('kiosk') $$, 'which agrees');

-- a book of the same name, a table that is made anew
DROP SCHEMA kiosk CASCADE;
SELECT public.make('kiosk', '20%') \g /dev/null
SELECT public.sell('kiosk', '{1}') \g /dev/null
SELECT is(public.lines('kiosk'), '1 fee staff:w1 20', 'a new book of an old name');
ALTER TABLE kiosk.ticket ADD COLUMN colour text;
ALTER TABLE kiosk.sheet ADD COLUMN note text;
SELECT public.sell('kiosk', '{2}') \g /dev/null
SELECT is(public.lines('kiosk'), '1 fee staff:w1 20, 2 fee staff:w2 40', 'tables with a further column');
SELECT is((SELECT current_setting('plan_cache_mode') || ' ' || current_setting('enable_seqscan')), 'auto on', 'the session''s settings are its own');
SELECT is_empty($$ SELECT * FROM settle.check('kiosk') $$, 'all agrees');

-- whoever writes a ticket, with whatever settings: where settings could matter, those of the book are in force
SET search_path = '$user', public;
SET TimeZone = 'Europe/Berlin';
SET DateStyle = 'German';
SELECT settle.create_book('stall', settle_on => 'commit') \g /dev/null
ALTER TABLE stall.ticket ADD COLUMN due date;
SELECT settle.add_rule('stall', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%', accumulate => 'day') \g /dev/null
INSERT INTO stall.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-05 00:30+08', 'a', 'b', 'w', 100);
SELECT is((SELECT min(t.period) FROM stall.tally_state AS t), '2025-11-05'::date, 'a day of the book, which had not begun in Berlin');
SELECT is(('2025-11-05 00:30+08'::timestamptz)::text, '04.11.2025 17:30:00 CET', 'what was in force is in force again');
CREATE FUNCTION public.settings() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', current_setting('search_path'), current_setting('TimeZone'), current_setting('DateStyle'), current_setting('row_security'), current_setting('jit')) $$;
CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('stall.trigger', public.settings(), false); RETURN NULL; END $$;
CREATE FUNCTION public.tell(what text, key text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM set_config('stall.' || what, public.settings(), false); RETURN true; END $$;
SELECT 'pg_catalog, public, pg_temp Asia/Shanghai ISO, YMD off off' AS pinned \gset
CREATE TRIGGER tell AFTER INSERT ON stall.sheet FOR EACH STATEMENT EXECUTE FUNCTION public.tell();
INSERT INTO stall.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('2', '2025-11-05 00:30+08', 'a', 'b', 'w', 100);
SELECT is(current_setting('stall.trigger'), :'pinned', 'for a trigger');
DROP TRIGGER tell ON stall.sheet;
ALTER TABLE stall.tally_state ADD CONSTRAINT tell CHECK (public.tell('check', unit));
INSERT INTO stall.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('3', '2025-11-05 00:30+08', 'a', 'b', 'w', 100);
SELECT is(current_setting('stall.check'), :'pinned', 'for a constraint');
ALTER TABLE stall.tally_state DROP CONSTRAINT tell;
CREATE INDEX tell ON stall.sheet (public.tell('index', ticket_key));
INSERT INTO stall.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('4', '2025-11-05 00:30+08', 'a', 'b', 'w', 100);
SELECT is(current_setting('stall.index'), :'pinned', 'for an index over an expression');
DROP INDEX stall.tell;
CREATE FUNCTION public.fails() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stall.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('5', '2025-11-05 00:30+08', 'a', 'b', 'w', 100);
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN 'none';
EXCEPTION WHEN sequence_generator_limit_exceeded THEN
    RETURN current_setting('TimeZone') || ' ' || ('2025-11-05 00:30+08'::timestamptz)::text;
END $$;
ALTER SEQUENCE stall.sheet_sheet_id_seq MAXVALUE 4;
SELECT is(public.fails(), 'Europe/Berlin 04.11.2025 17:30:00 CET', 'an error on the way takes nothing along');
ALTER SEQUENCE stall.sheet_sheet_id_seq NO MAXVALUE;
SELECT settle.add_rule('stall', 'day', 'day', 'hq', 'staff:{replace((done_at::date)::text, ''-'', '''')}', base => 'amount', tiers => '1%', applies_when => 'due > done_at::date') \g /dev/null
INSERT INTO stall.ticket (ticket_id, done_at, project, region, worker, amount, due) VALUES ('6', '2025-11-05 00:30+08', 'a', 'b', 'w', 100, '2025-11-06');
SELECT is((SELECT string_agg(payee, ' ' ORDER BY payee) FROM stall.line_detail WHERE ticket_key = '6'), 'staff:20251105 staff:w', 'for an expression');
SELECT is((SELECT i.inputs #>> '{c,due}' FROM stall.sheet_inputs AS i WHERE i.ticket_key = '6'), '2025-11-06', 'for an input');
RESET TimeZone;
RESET DateStyle;
RESET search_path;
SELECT is_empty($$ SELECT * FROM settle.replay('stall') $$, 'all is computed again');
SELECT is_empty($$ SELECT * FROM settle.check('stall') $$, 'and agrees');

-- the row that is settled is the one that commits
SELECT settle.create_book('booth', settle_on => 'commit') \g /dev/null
SELECT settle.add_rule('booth', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%') \g /dev/null
CREATE TABLE public.visit (id bigint PRIMARY KEY, at timestamptz NOT NULL, worker text NOT NULL, amount numeric NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE public.visit_late (amount numeric NOT NULL, worker text NOT NULL, at timestamptz NOT NULL, id bigint NOT NULL);
ALTER TABLE public.visit ATTACH PARTITION public.visit_late FOR VALUES FROM (100) TO (200);
CREATE TABLE public.visit_early PARTITION OF public.visit FOR VALUES FROM (0) TO (100);
SELECT settle.add_source('booth', 'visit', 'public.visit', key => 'id', ready_at => 'at', project => $$'a'$$, region => $$'b'$$, revenue => 'amount') \g /dev/null
SELECT settle.add_rule('booth', 'visit', 'visit', 'hq', 'staff:{worker}', base => 'amount', tiers => '20%', source => 'visit') \g /dev/null
CREATE FUNCTION public.paid(key text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(trim_scale(amount)::text || ' ' || payee, ' ' ORDER BY line_no) FROM (SELECT sum(amount) AS amount, payee, min(run_id) AS line_no FROM booth.line_detail WHERE ticket_key = key GROUP BY payee HAVING sum(amount) <> 0) AS l $$;
BEGIN;
INSERT INTO booth.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-05', 'a', 'b', 'w', 100);
UPDATE booth.ticket SET amount = 200 WHERE ticket_id = '1';
COMMIT;
BEGIN;
INSERT INTO booth.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('2', '2025-11-05', 'a', 'b', 'w', 100);
SAVEPOINT s;
UPDATE booth.ticket SET amount = 200 WHERE ticket_id = '2';
ROLLBACK TO s;
COMMIT;
BEGIN;
INSERT INTO booth.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('3', '2025-11-05', 'a', 'b', 'w', 100);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
UPDATE booth.ticket SET amount = 300 WHERE ticket_id = '3';
COMMIT;
SELECT is((SELECT string_agg(public.paid(k), ', ' ORDER BY k) FROM unnest('{1,2,3}'::text[]) AS k), '20 staff:w, 10 staff:w, 30 staff:w', 'changed again, changed and taken back, changed once it was settled');
BEGIN;
INSERT INTO booth.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('5', '2025-11-05', 'a', 'b', 'w', 100);
SET LOCAL session_replication_role = replica;
UPDATE booth.ticket SET amount = 500 WHERE ticket_id = '5';
SET LOCAL session_replication_role = origin;
COMMIT;
BEGIN;
INSERT INTO booth.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('6', '2025-11-05', 'a', 'b', 'w', 100);
SET LOCAL session_replication_role = replica;
DELETE FROM booth.ticket WHERE ticket_id = '6';
SET LOCAL session_replication_role = origin;
COMMIT;
SELECT is(public.paid('5') || coalesce(public.paid('6'), ', nothing'), '50 staff:w, nothing', 'changed and removed with triggers told to be silent');
UPDATE booth.ticket SET ticket_id = '4' WHERE ticket_id = '3';
SELECT is((SELECT string_agg(ticket_key, ' ') FROM booth.problem) || ' ' || public.paid('4'), '3 30 staff:w', 'under another key');
INSERT INTO public.visit VALUES (7, '2025-11-05', 'w', 100), (107, '2025-11-05', 'w', 200);
INSERT INTO public.visit VALUES (8, '2025-11-05', 'w', 300);
INSERT INTO public.visit VALUES (108, '2025-11-05', 'w', 400);
UPDATE public.visit SET id = 109 WHERE id = 8;
SELECT is((SELECT string_agg(public.paid(k), ', ' ORDER BY k) FROM unnest('{107,108,109,7}'::text[]) AS k), '40 staff:w, 80 staff:w, 60 staff:w, 20 staff:w', 'in a partition with its columns in another order');
SELECT is_empty($$ SELECT * FROM settle.check('booth') WHERE invariant NOT LIKE 'every settled%' $$, 'all agrees');
SELECT * FROM finish();
