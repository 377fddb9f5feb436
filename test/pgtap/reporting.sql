-- What readers of a book are granted, as tools find it in the catalogue: a comment
-- on every relation and column, and plain types, precision and scale in the views.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('reporting') \g /dev/null
CREATE ROLE reporting_reader;
SELECT settle.grant_access('reporting', 'reporting_reader', 'reader') \g /dev/null
CREATE TEMP VIEW seen AS
SELECT c.oid, c.relname, c.relkind, a.attname, a.attnum, a.atttypid, format_type(a.atttypid, a.atttypmod) AS type, a.atttypmod
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'reporting'::regnamespace AND has_table_privilege('reporting_reader', c.oid, 'SELECT');

SELECT cmp_ok((SELECT count(DISTINCT relname) FROM seen WHERE relkind = 'v'), '>', 40::bigint, 'readers see views');
SELECT is_empty($$ SELECT DISTINCT relname FROM seen WHERE obj_description(oid, 'pg_class') IS NULL $$, 'what they see has comments');
SELECT is_empty($$ SELECT relname, attname FROM seen WHERE coalesce(btrim(col_description(oid, attnum)), '') = '' $$, 'and so has every column of it');
SELECT is_empty($$ SELECT attname FROM pg_attribute WHERE attrelid = 'reporting.book'::regclass AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL $$, 'settings, which an admin reads, have comments, too');

\ir ../bi/exceptions.sql
CREATE TEMP VIEW odd AS
SELECT relname, attname, type FROM seen
WHERE relkind = 'v'
	AND type <> ALL ('{text,bigint,integer,smallint,boolean,date,timestamp with time zone}')
	AND (atttypid <> 'numeric'::regtype OR atttypmod < 0 OR ((atttypmod - 4) >> 16) > 18);

SELECT is_empty($$ SELECT * FROM odd WHERE relname NOT IN (SELECT x.relname FROM exception AS x) $$, 'views are of plain types, amounts numeric(18, d), but for the exceptions');
SELECT is_empty($$ SELECT relname FROM exception WHERE relname NOT IN (SELECT o.relname FROM odd AS o) $$, 'none is an exception without need');
SELECT is_empty($$ SELECT * FROM odd WHERE relname IN ('tally', 'line_detail', 'my_items', 'progress', 'my_progress') AND type <> 'numeric(24,6)' $$, 'quantities are numeric(24,6), and nothing else is odd beside them');
SELECT is_empty($$ SELECT relname, attname FROM seen WHERE relkind = 'v' AND attname IN ('date', 'time', 'timestamp', 'interval', 'numeric', 'decimal', 'integer', 'int', 'float', 'real', 'text', 'char', 'boolean', 'bit', 'json', 'xml', 'money') $$, 'no column has the name of a type');
SELECT is_empty($$ SELECT relname, attname FROM seen WHERE attname !~ '^[a-z][a-z0-9_]*$' OR relname !~ '^[a-z][a-z0-9_]*$' $$, 'names are small letters, digits and underscores');

-- Words: a meaning that no column has is one that was forgotten.
SELECT is_empty($$
	SELECT relation, word FROM settle._words()
	WHERE NOT EXISTS (SELECT FROM seen WHERE attname = word AND relname = coalesce(relation, relname) AND col_description(oid, attnum) = meaning) $$, 'every word is that of a column');
SELECT is_empty($$ SELECT relation, word FROM settle._words() GROUP BY relation, word HAVING count(*) > 1 $$, 'and has one meaning');
SELECT settle._create_comments('reporting') \g /dev/null
SELECT pass('a book whose columns all have comments stays as it is');

DROP SCHEMA reporting CASCADE;
DROP ROLE reporting_reader;
SELECT * FROM finish();
