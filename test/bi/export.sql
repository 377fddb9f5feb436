-- The statements of docs/export.md for any view, made from the catalogue so that
-- no column of text is left out: psql -v view=chain.statement_detail.
SELECT
	format('COPY (SELECT %s FROM %s AS v ORDER BY v) TO STDOUT (FORMAT csv, HEADER)', string_agg(
		CASE WHEN atttypid IN ('text'::regtype, 'name'::regtype) THEN format('settle.csv_text(%1$I) AS %1$I', attname) ELSE quote_ident(attname) END,
		', ' ORDER BY attnum), :'view') AS csv,
	string_agg(format('%s/%s', attnum, CASE atttypid WHEN 'text'::regtype THEN 2 WHEN 'name'::regtype THEN 2 WHEN 'date'::regtype THEN 5 ELSE 1 END),
		'/' ORDER BY attnum) AS filter
FROM pg_attribute WHERE attrelid = :'view'::regclass AND attnum > 0 AND NOT attisdropped
\gset
\o :stem.csv
:csv;
\o :stem.filter
\qecho :filter
\o :stem.text
COPY (SELECT v.* FROM :view AS v ORDER BY v) TO STDOUT;
\o :stem.json
\pset format unaligned
\pset tuples_only on
SELECT (
	SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'number' THEN to_jsonb(value #>> '{}') ELSE value END)
	FROM jsonb_each(to_jsonb(v))
) FROM :view AS v ORDER BY v;
