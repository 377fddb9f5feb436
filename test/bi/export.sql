-- The statements of docs/export.md for any view, made from the catalogue so that
-- no column of text is left out: \set view chain.statement_detail.
SELECT format('COPY (SELECT %s FROM %s) TO STDOUT (FORMAT csv, HEADER)', string_agg(
	CASE WHEN atttypid IN ('text'::regtype, 'name'::regtype) THEN format('settle.csv_text(%1$I) AS %1$I', attname) ELSE quote_ident(attname) END,
	', ' ORDER BY attnum), :'view')
FROM pg_attribute WHERE attrelid = :'view'::regclass AND attnum > 0 AND NOT attisdropped
