-- What the tables of a book never hold: every constraint and unique index, and
-- the columns that are never null.  A fault that takes one away is seen here,
-- whether or not a row of another test would have run into it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\pset format unaligned
SELECT settle.create_book('tables') \g /dev/null

SELECT conrelid::regclass AS "table", conname AS "constraint", pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE connamespace = 'tables'::regnamespace AND conparentid = 0
ORDER BY conrelid::regclass::text COLLATE "C", contype, conname COLLATE "C";

SELECT i.indrelid::regclass AS "table", pg_get_indexdef(i.indexrelid) AS "unique index"
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'tables'::regnamespace AND i.indisunique AND NOT c.relispartition
	AND NOT EXISTS (SELECT FROM pg_constraint AS x WHERE x.conindid = i.indexrelid AND x.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid::regclass::text COLLATE "C", pg_get_indexdef(i.indexrelid) COLLATE "C";

SELECT a.attrelid::regclass AS "table", string_agg(a.attname, ', ' ORDER BY a.attnum) AS "never null"
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'tables'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND a.attnotnull
GROUP BY a.attrelid
ORDER BY a.attrelid::regclass::text COLLATE "C";
