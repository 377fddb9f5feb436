-- Every view of every book of this database, as the number of its rows and a hash
-- of them: all but "job", which says how long ago something was.
SET TimeZone = 'UTC';
SELECT format('SELECT %L, count(*), md5(string_agg(v::text, '''' ORDER BY v::text COLLATE "C")) FROM %s AS v', c.oid::regclass, c.oid::regclass)
FROM pg_class AS c
WHERE c.relkind = 'v' AND c.relname <> 'job' AND c.relnamespace IN (SELECT b.book FROM settle.books() AS b)
ORDER BY c.oid::regclass::text \gexec
