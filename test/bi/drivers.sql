-- What pgjdbc and psqlODBC said of the relations that readers are granted, held
-- against the catalogue, and the rows that they read, against those of psql.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
\ir exceptions.sql
CREATE TEMP VIEW seen AS
SELECT c.relname::text AS relation, c.relkind, a.attname::text AS column_name, a.atttypid::regtype AS type,
	CASE WHEN a.atttypmod > 0 THEN (a.atttypmod - 4) >> 16 END AS precision, CASE WHEN a.atttypmod > 0 THEN (a.atttypmod - 4) & 65535 END AS scale,
	col_description(c.oid, a.attnum) AS remarks
FROM public.reading AS r
JOIN pg_class AS c ON c.relnamespace = 'chain'::regnamespace AND c.relname = r.relation
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped;
CREATE TEMP VIEW reporting AS SELECT s.* FROM seen AS s WHERE s.relkind = 'v' AND s.relation NOT IN (SELECT e.relname FROM exception AS e);

-- each driver's names of the plain types; only a number's precision and scale are its own
CREATE TEMP TABLE plain (driver text, type regtype, called text);
INSERT INTO plain VALUES
	('JDBC', 'text', 'VARCHAR'), ('JDBC', 'bigint', 'BIGINT'), ('JDBC', 'integer', 'INTEGER'), ('JDBC', 'smallint', 'SMALLINT'), ('JDBC', 'boolean', 'BIT'),
	('JDBC', 'date', 'DATE'), ('JDBC', 'timestamptz', 'TIMESTAMP'), ('JDBC', 'numeric', 'NUMERIC'),
	('ODBC', 'text', 'WLONGVARCHAR'), ('ODBC', 'bigint', 'BIGINT'), ('ODBC', 'integer', 'INTEGER'), ('ODBC', 'smallint', 'SMALLINT'), ('ODBC', 'boolean', 'BIT'),
	('ODBC', 'date', 'DATE'), ('ODBC', 'timestamptz', 'TIMESTAMP'), ('ODBC', 'numeric', 'NUMERIC');

SELECT cmp_ok((SELECT count(DISTINCT relation) FROM reporting), '>', 20::bigint, 'there are reporting views');
SELECT is_empty(format($$
	SELECT s.relation, s.column_name, s.type, d.type AS driver_type FROM reporting AS s
	LEFT JOIN public.driver_column AS d ON d.driver = %1$L AND d.relation = s.relation AND d.column_name = s.column_name
	LEFT JOIN plain AS p ON p.driver = %1$L AND p.type = s.type
	WHERE (d.type = p.called) IS NOT TRUE $$, driver), driver || ': every column of every reporting view has a plain type')
FROM (VALUES ('JDBC'), ('ODBC')) AS v (driver);
SELECT is_empty(format($$
	SELECT s.relation, s.column_name, s.precision, s.scale, d.size, d.digits FROM seen AS s
	JOIN public.driver_column AS d ON d.driver = %1$L AND d.relation = s.relation AND d.column_name = s.column_name
	WHERE s.relation IN (SELECT r.relation FROM reporting AS r UNION VALUES ('tally'), ('line_detail'), ('my_items'), ('progress'), ('my_progress'))
		AND s.type = 'numeric'::regtype AND ((d.size, d.digits) = (s.precision, s.scale)) IS NOT TRUE $$, driver), driver || ': amounts and quantities have their precision and scale')
FROM (VALUES ('JDBC'), ('ODBC')) AS v (driver);
SELECT is_empty($$
	SELECT s.relation, s.column_name, d.remarks FROM seen AS s
	LEFT JOIN public.driver_column AS d ON d.driver = 'JDBC' AND d.relation = s.relation AND d.column_name = s.column_name
	WHERE (d.remarks = s.remarks) IS NOT TRUE $$, 'JDBC: every column that readers see has its comment as a remark');
SELECT is_empty($$
	SELECT r.relation FROM public.reading AS r
	LEFT JOIN public.driver_column AS d ON d.driver = 'JDBC' AND d.relation = r.relation AND d.column_name IS NULL
	WHERE (d.remarks = obj_description(format('chain.%I', r.relation)::regclass)) IS NOT TRUE $$, 'JDBC: and so has every relation');
SELECT is_empty($$ SELECT DISTINCT remarks FROM public.driver_column WHERE driver = 'ODBC' AND remarks <> '' $$, 'ODBC: the driver gives no remarks');

-- in both of these a clock runs: no two readers find the same
CREATE TEMP VIEW figure AS SELECT * FROM public.driver_row WHERE relation NOT IN ('job', 'ticket_deadline');
SELECT cmp_ok((SELECT count(*) FROM figure WHERE driver = 'psql'), '>', 10000::bigint, 'psql has read rows');
SELECT is_empty(format($$
	(SELECT relation, line FROM figure WHERE driver = 'psql' EXCEPT ALL SELECT relation, line FROM figure WHERE driver = %1$L)
	UNION ALL
	(SELECT relation, line FROM figure WHERE driver = %1$L EXCEPT ALL SELECT relation, line FROM figure WHERE driver = 'psql') LIMIT 10 $$, driver),
	driver || ' reads the same rows as psql, digit for digit')
FROM (VALUES ('JDBC'), ('ODBC')) AS v (driver);
SELECT is((SELECT count(*) FROM figure WHERE relation = 'line_detail' AND line LIKE '%|90071992547409.93%'), 3::bigint, 'and of the amount that a double does not hold');
SELECT * FROM finish();
