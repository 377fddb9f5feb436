-- What the three readers are asked for: the relations of the book that readers
-- are granted, out of the catalogue, with a statement that has psql print the
-- same lines as the drivers.
CREATE VIEW public.reading AS
SELECT
	c.relname::text AS relation,
	format('COPY (SELECT %L, concat_ws(''|'', %s) FROM chain.%I) TO STDOUT', c.relname, string_agg(format(
		CASE a.atttypid
			WHEN 'timestamptz'::regtype THEN 'coalesce(to_char(%I AT TIME ZONE ''UTC'', ''YYYY-MM-DD HH24:MI:SS.US''), '''')'
			ELSE 'coalesce(%I::text, '''')'
		END, a.attname), ', ' ORDER BY a.attnum), c.relname) AS statement
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'chain'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege('bi_reader', c.oid, 'SELECT')
GROUP BY c.relname
ORDER BY c.relname;
GRANT SELECT ON public.reading TO bi_reader;

CREATE TABLE public.driver_column (driver text, relation text, column_name text, type text, size bigint, digits integer, remarks text);
CREATE TABLE public.driver_row (driver text, relation text, line text);
