-- The matrix of rights: every kind of role x every function of the schema settle,
-- which is called, and x every table, view and sequence of a book, which is read
-- and written.  What docs/access.md allows is allowed; the rest is refused (42501)
-- and has touched no row.  Functions and relations come from the catalogue, so a
-- new one stands here by itself.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

----------------------------------------------------------------------------------------------------
-- A book with something in it, and who there is
----------------------------------------------------------------------------------------------------
CREATE TEMP TABLE person (who text PRIMARY KEY, levels text[], views text, what text);
INSERT INTO person VALUES
    ('stranger',  '{}',                                       'none', 'has no right but PUBLIC''s'),
    ('guest',     '{}',                                       'none', 'may look into the schema, and has no level'),
    ('other',     '{}',                                       'none', 'owns another book'),
    ('tool',      '{}',                                       'all',  'a BI tool, which was granted the views by hand'),
    ('reader',    '{reader}',                                 'all',  NULL),
    ('clerk',     '{reader,clerk,staff,connector}',           'all',  NULL),
    ('approver',  '{reader,approver}',                        'all',  NULL),
    ('staff',     '{staff}',                                  'own',  NULL),
    ('party',     '{staff}',                                  'own',  'staff with a party, whose rows are theirs'),
    ('connector', '{connector}',                              'land', NULL),
    ('personal',  '{reader,personal}',                        'all',  NULL),
    ('delegate',  '{reader,delegate}',                        'all',  'acts for nobody'),
    ('admin',     '{reader,clerk,approver,staff,connector,admin}', 'all', NULL),
    ('owner',     '{reader,clerk,approver,staff,connector,admin,personal}', 'owns', 'owns the book');
SELECT format('DROP ROLE IF EXISTS %I', 'rights_' || who) FROM person \gexec
SELECT format('CREATE ROLE %I', 'rights_' || who) FROM person \gexec
SELECT format('GRANT CREATE ON DATABASE %I TO rights_owner, rights_other', current_database()) \gexec
SET ROLE rights_other;
SELECT settle.create_book('rights_elsewhere') \g /dev/null
SET ROLE rights_owner;
SELECT settle.create_book('rights') \g /dev/null
SELECT settle.grant_access('rights', ('rights_' || l)::regrole, l) FROM unnest('{reader,clerk,approver,staff,connector,personal,delegate,admin}'::text[]) AS l \g /dev/null
SELECT settle.grant_access('rights', 'rights_party', 'staff'), settle.grant_party('rights', 'dealer:1', 'rights_party') \g /dev/null
GRANT USAGE ON SCHEMA rights TO rights_guest, rights_tool;
SELECT settle.add_rule('rights', 'fee', 'fee', 'hq', 'dealer:1', base => 'amount', tiers => '10%') \g /dev/null
INSERT INTO rights.ticket (ticket_id, done_at, project, region, amount) VALUES ('1', '2025-11-11', 'a', 'b', 100);
SELECT settle.run('rights') \g /dev/null
INSERT INTO rights.ticket (ticket_id, done_at, project, region, amount) VALUES ('2', '2025-11-11', 'a', 'b', 100);
RESET ROLE;
CREATE TEMP VIEW relation AS
SELECT c.oid, c.relname::text AS name, c.relkind AS kind FROM pg_class AS c WHERE c.relnamespace = 'rights'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S');
SELECT format('GRANT SELECT ON rights.%I TO rights_tool', name) FROM relation WHERE kind = 'v' AND name <> 'sheet_inputs' \gexec

-- what the page allows
\set page `cat docs/access.md`
CREATE TEMP TABLE documented AS
SELECT m[1] AS function, m[2] AS level FROM regexp_matches(:'page', '^\| `([a-z_]+)` \| ([a-z]+) \|$', 'gn') AS m;
CREATE TEMP TABLE read_by_readers AS
SELECT m[1] AS name FROM regexp_matches(substring(:'page' FROM '\n\| `reader` \| ([^\n]*)\n'), '`([a-z_]+)`', 'g') AS m WHERE m[1] <> 'sheet_inputs';
CREATE TEMP TABLE read_by_staff AS
SELECT m[1] AS name FROM regexp_matches(substring(:'page' FROM '\n\| `staff` \| ([^\n]*)\n'), '`(my_[a-z_]+)`', 'g') AS m;
SELECT is_empty('SELECT name FROM read_by_readers UNION ALL SELECT name FROM read_by_staff EXCEPT SELECT name FROM relation', 'what docs/access.md lets people read is there');

----------------------------------------------------------------------------------------------------
-- Functions
----------------------------------------------------------------------------------------------------
-- What was done to rows of the book since the transaction began: PostgreSQL counts
-- what is rolled back, too.  Who may do what stands in two tables of the book, and
-- to ask is no look at it.
CREATE TEMP TABLE watched AS
SELECT array_agg(c.oid) FILTER (WHERE coalesce(i.indrelid, c.oid) <> ALL ('{rights.access,rights.book}'::regclass[])) AS looks, array_agg(c.oid) FILTER (WHERE c.relkind = 'r') AS writes
FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid WHERE c.relnamespace = 'rights'::regnamespace AND c.relkind IN ('r', 'i');
CREATE FUNCTION public.rights_touched(OUT looks bigint, OUT writes bigint) LANGUAGE sql AS $$
    SELECT (SELECT sum(pg_stat_get_xact_numscans(o)) FROM unnest(w.looks) AS o),
        (SELECT sum(pg_stat_get_xact_tuples_inserted(o) + pg_stat_get_xact_tuples_updated(o) + pg_stat_get_xact_tuples_deleted(o)) FROM unnest(w.writes) AS o)
    FROM pg_temp.watched AS w $$;
-- Calls as somebody and takes it back: "done" or the error, and what was touched.
CREATE FUNCTION public.rights_call(who text, statement text, OUT answer text, OUT touched text) LANGUAGE plpgsql AS $$
DECLARE
    before record := public.rights_touched();
    after record;
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', 'rights_' || who);
        EXECUTE statement;
        RAISE EXCEPTION SQLSTATE 'ZZ999';
    EXCEPTION WHEN SQLSTATE 'ZZ999' THEN
        answer := 'done';
    WHEN OTHERS THEN
        answer := SQLSTATE || ' ' || SQLERRM;
    END;
    after := public.rights_touched();
    touched := CASE WHEN after.writes > before.writes THEN 'written' WHEN after.looks > before.looks THEN 'read' ELSE 'nothing' END;
END $$;
SELECT settle.rules('rights')::text AS ruleset \gset
CREATE TEMP TABLE call AS
SELECT p.oid, p.proname::text AS function, d.level, (CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END) || format(' settle.%I(%s)', p.proname,
    (SELECT string_agg(format(CASE WHEN a.type = 'regnamespace'::regtype OR a.name = 'book' THEN '''rights''' ELSE CASE a.type::text
            WHEN 'regclass' THEN '''rights.ticket''' WHEN 'regrole' THEN '''rights_stranger''' WHEN 'record' THEN 'ROW(1)' WHEN 'settle.ruleset' THEN quote_literal(replace(:'ruleset', '%', '%%'))
            WHEN 'text' THEN '''1''' WHEN 'name' THEN '''x''' WHEN 'text[]' THEN '''{1}''' WHEN 'bigint[]' THEN '''{1}''' WHEN 'bytea' THEN '''x''' WHEN 'jsonb' THEN '''{}'''
            WHEN 'boolean' THEN 'true' WHEN 'settle.tiers' THEN '''5%%''' WHEN 'daterange' THEN '''(,)''' WHEN 'tstzrange' THEN '''(,)''' WHEN 'date' THEN '''2025-11-01'''
            WHEN 'timestamp with time zone' THEN '''2025-11-11''' WHEN 'interval' THEN '''1 day''' WHEN 'integer' THEN '1' WHEN 'bigint' THEN '1' WHEN 'numeric' THEN '1' ELSE 'NULL' END END || '::%s', a.type), ', ' ORDER BY a.n)
     FROM (SELECT t AS type, n, p.proargnames[n] AS name FROM unnest(p.proargtypes::regtype[]) WITH ORDINALITY AS u(t, n)) AS a WHERE a.n <= p.pronargs - p.pronargdefaults)) AS statement
FROM pg_proc AS p LEFT JOIN documented AS d ON d.function = p.proname AND p.proargtypes[0] = 'regnamespace'::regtype
WHERE p.pronamespace = 'settle'::regnamespace AND p.prokind IN ('f', 'p') AND p.prorettype <> ALL ('{trigger,internal}'::regtype[]) AND NOT 'internal'::regtype = ANY (p.proargtypes::regtype[]);
SELECT cmp_ok((SELECT count(*) FROM call), '>', 500::bigint, 'functions are called');

-- His own code is not refused an owner: he calls what has a level.
CREATE TEMP VIEW outcome AS
SELECT p.who, p.levels, k.function, k.level, k.statement, r.*
FROM person AS p CROSS JOIN call AS k CROSS JOIN LATERAL public.rights_call(p.who, k.statement) AS r WHERE p.who <> 'owner' OR k.level IS NOT NULL;
-- What is not as it should be.  A function without a level is a plain one, or a
-- helper that the code of books calls: it has the rights of who calls it, or asks
-- for the level of settle.tick, whose work it does.
CREATE TEMP VIEW fault AS
SELECT who, function, statement, answer, touched FROM outcome
WHERE CASE WHEN level IS NULL THEN CASE touched WHEN 'written' THEN NOT 'clerk' = ANY (levels) OR function <> ALL ('{_run_aloud,_tick_run,_seal,_tick_seal,_give_ticket,_lock_staff}')
            -- who asks which parties are his own is answered from a table that he does not read, and what hides personal fields in views looks up which they are
            WHEN 'read' THEN who IN ('stranger', 'guest', 'other', 'connector') AND function <> ALL ('{own_parties,_masked_details}') END
    WHEN level = ANY (levels) THEN answer ~ '^42501 (permission denied for book|role ".*" acts for nobody)'
    ELSE answer NOT LIKE '42501 %' OR touched <> 'nothing' END;
SELECT format('SELECT is_empty($$ SELECT * FROM fault WHERE who = %L $$, %L)', who, format('%s calls %s functions: who has the level is let in, others are refused before a row is touched', who, (SELECT count(*) FROM call))) FROM person \gexec
SELECT throws_ok($$ SELECT settle._begin_progress('rights', 'close_period') $$, '42501', 'cannot call settle._begin_progress outside the code of book "rights"', 'nobody shows an operation that is none');

----------------------------------------------------------------------------------------------------
-- Tables, views, sequences, the schema
----------------------------------------------------------------------------------------------------
-- What each may do to which relation, as the page has it; what else there is to
-- be allowed, nobody is but the owner.
CREATE TEMP VIEW action AS
SELECT p.who, r.oid, r.name, r.kind, a.action,
    CASE p.views WHEN 'owns' THEN true
        WHEN 'all' THEN a.action = 'SELECT' AND (r.kind = 'v' AND r.name <> 'sheet_inputs' OR p.levels <> '{}' AND r.name IN (SELECT n.name FROM read_by_readers AS n))
        WHEN 'own' THEN a.action = 'SELECT' AND r.name IN (SELECT n.name FROM read_by_staff AS n)
        WHEN 'land' THEN a.action = 'INSERT' AND r.name = 'staging'
        ELSE false END AS allowed
FROM person AS p CROSS JOIN relation AS r
JOIN (VALUES ('SELECT', true), ('INSERT', false), ('UPDATE', true), ('DELETE', false), ('TRUNCATE', false), ('REFERENCES', false), ('TRIGGER', false), ('USAGE', NULL)) AS a(action, of_sequence)
    ON CASE r.kind WHEN 'S' THEN a.of_sequence IS NOT FALSE ELSE a.of_sequence IS NOT NULL END;
-- as the catalogue has it, with what is granted on a column alone
CREATE TEMP VIEW wrong_grant AS
SELECT who, name, action, allowed FROM action
WHERE allowed <> CASE WHEN kind = 'S' THEN has_sequence_privilege('rights_' || who, oid, action) ELSE has_table_privilege('rights_' || who, oid, action)
    OR (action IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege('rights_' || who, oid, action)) END;
SELECT is_empty('SELECT * FROM wrong_grant', format('%s rights on %s relations are as docs/access.md has them', count(*), count(DISTINCT name))) FROM action;
SELECT set_eq($$ SELECT who || CASE WHEN has_schema_privilege('rights_' || who, 'rights', 'CREATE') THEN ' makes' ELSE '' END FROM person WHERE has_schema_privilege('rights_' || who, 'rights', 'USAGE') $$,
    ARRAY['guest', 'tool', 'reader', 'clerk', 'approver', 'staff', 'party', 'connector', 'personal', 'delegate', 'admin', 'owner makes'], 'the schema is the owner''s');
SELECT is_empty($$ SELECT attname, relname FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid WHERE relnamespace = 'rights'::regnamespace AND attacl IS NOT NULL
    AND (relname <> 'staging' OR attname <> ALL ('{platform,kind,shop,payload,raw}') OR attacl::text <> '{rights_connector=a/rights_owner}') $$, 'a connector lands in five columns, and no other column has rights of its own');
-- and as those find it who try
CREATE TEMP VIEW wrong_answer AS
SELECT a.who, w.statement, a.allowed, r.answer FROM action AS a
JOIN (VALUES ('SELECT', '{r,p,v}'::"char"[], 'SELECT FROM rights.%I LIMIT 0'), ('INSERT', '{r,p}', 'INSERT INTO rights.%I DEFAULT VALUES'), ('UPDATE', '{r,p}', 'UPDATE rights.%I SET %I = DEFAULT WHERE false'),
    ('DELETE', '{r,p}', 'DELETE FROM rights.%I WHERE false'), ('TRUNCATE', '{r,p}', 'TRUNCATE rights.%I CASCADE'), ('SELECT', '{S}', 'SELECT last_value FROM rights.%I'), ('USAGE', '{S}', 'SELECT nextval(''rights.%I'')')) AS t(action, kinds, statement)
    ON t.action = a.action AND a.kind = ANY (t.kinds)
JOIN LATERAL (SELECT format(t.statement, a.name, min(c.attname::text)) AS statement FROM pg_attribute AS c WHERE c.attrelid = a.oid AND c.attnum > 0 AND NOT c.attisdropped HAVING count(*) > 0) AS w ON true
CROSS JOIN LATERAL public.rights_call(a.who, w.statement) AS r
WHERE a.who <> 'owner' AND a.allowed <> (r.answer NOT LIKE '42501 permission denied for %');
SELECT format('SELECT is_empty($$ SELECT * FROM wrong_answer WHERE who = %L $$, %L)', who, who || ' tries, and has what is allowed and 42501 for the rest') FROM person WHERE who <> 'owner' \gexec

----------------------------------------------------------------------------------------------------
-- A right too many is found
----------------------------------------------------------------------------------------------------
BEGIN;
GRANT UPDATE (amount) ON rights.payment TO PUBLIC;
GRANT USAGE ON SEQUENCE rights.rule_revision TO rights_staff;
SELECT string_agg(DISTINCT who || ' ' || action || ' ' || name, ', ' ORDER BY who || ' ' || action || ' ' || name) FILTER (WHERE who IN ('staff', 'stranger')) AS found FROM wrong_grant \gset
ROLLBACK;
SELECT is(:'found'::text, 'staff UPDATE payment, staff USAGE rule_revision, stranger UPDATE payment', 'a column, a sequence');
BEGIN;
GRANT EXECUTE ON FUNCTION settle._add_to_roster TO PUBLIC;
SELECT count(*) AS as_caller FROM fault WHERE function = '_add_to_roster' \gset
ALTER FUNCTION settle._add_to_roster SECURITY DEFINER;
SELECT string_agg(who || ' ' || touched, ', ' ORDER BY who) FILTER (WHERE who IN ('stranger', 'reader')) AS as_definer FROM fault WHERE function = '_add_to_roster' \gset
ROLLBACK;
SELECT is(:'as_caller' || ' ' || :'as_definer', '0 reader written, stranger written', 'a body that runs with the rights of its owner');
BEGIN;
SELECT settle.grant_access('rights', 'rights_stranger', 'clerk') \g /dev/null
SELECT string_agg(who || ' ' || function, ', ') AS found FROM fault WHERE function IN ('add_party', 'confirm_party', 'run') AND who = 'stranger' \gset
ROLLBACK;
SELECT is(:'found'::text, 'stranger add_party, stranger run', 'a level');

DROP SCHEMA rights, rights_elsewhere CASCADE;
SELECT format('DROP OWNED BY %I CASCADE', 'rights_' || who) FROM person \gexec
SELECT format('DROP ROLE %I', 'rights_' || who) FROM person \gexec
SELECT * FROM finish();
