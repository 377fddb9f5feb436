-- export: text that a spreadsheet opens as text

CREATE FUNCTION settle.csv_text(value text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE WHEN value OPERATOR(pg_catalog.~) E'^[-=+@\\t\\n\\r\\uff1d\\uff0b\\uff0d\\uff20]' THEN pg_catalog.concat('''', value) ELSE value END;
COMMENT ON FUNCTION settle.csv_text(text) IS
	'a text with an apostrophe before it where it begins with what a spreadsheet would take for a formula: = + - @, in either width, or a tab or line end';
