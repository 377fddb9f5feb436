-- What a session remembers of settling at commit, plans of statements and the
-- numbers of rules, is never another book's and never old.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT plan(14);

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
SELECT * FROM finish();
