-- All that can be told of the schemas of the books and of the company, one line
-- each: rows of tables, places of sequences, every object, findings.
\set ON_ERROR_STOP 1
\set QUIET 1
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET search_path = pg_catalog;
CREATE TEMP VIEW place AS SELECT n.oid, n.nspname FROM pg_namespace AS n WHERE n.nspname = 'company' OR n.oid IN (SELECT b.book FROM settle.books() AS b);
SELECT format('SELECT %L || '' '' || count(*) || '' '' || coalesce(md5(string_agg(t::text, E''\n'' ORDER BY t::text COLLATE "C")), ''nothing'') FROM %s AS t;', c.oid::regclass, c.oid::regclass)
FROM pg_class AS c JOIN pg_temp.place AS p ON p.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') ORDER BY c.oid::regclass::text COLLATE "C" \gexec
SELECT format('SELECT %L || '' '' || last_value || is_called FROM %s', c.oid::regclass, c.oid::regclass)
FROM pg_class AS c JOIN pg_temp.place AS p ON p.oid = c.relnamespace WHERE c.relkind = 'S' ORDER BY c.oid::regclass::text COLLATE "C" \gexec
SELECT p.nspname || ': ' || s.object || ': ' || settle._plain(s.definition) FROM pg_temp.place AS p, settle._shape(p.oid::regnamespace) AS s ORDER BY p.nspname COLLATE "C", s.object COLLATE "C";
SELECT b.book || ' ' || b.owner || ' ' || coalesce(settle.anchor(b.book), '') FROM settle.books() AS b ORDER BY b.book::text COLLATE "C";
SELECT 'FINDING ' || c::text FROM settle.books() AS b, settle.check(b.book) AS c ORDER BY 1;
SELECT 'FINDING ' || v::text FROM settle.books() AS b, settle.verify(b.book, settle.anchor(b.book)) AS v ORDER BY 1;
