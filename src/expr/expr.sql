--
-- expr: the gateway that turns a text of a rule into an expression
--

CREATE FUNCTION settle.check_expression(expression text, source regclass, time_zone text DEFAULT 'UTC', result text DEFAULT NULL)
RETURNS text AS 'MODULE_PATHNAME', 'settle_check_expression' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION settle.check_expression(text, regclass, text, text) IS
'canonical text of an expression over the columns of a relation, or the error that a rule with it would raise; reads the catalogue only and needs no privilege on the relation';

CREATE FUNCTION settle.check_template(template text, source regclass, time_zone text DEFAULT 'UTC')
RETURNS text AS 'MODULE_PATHNAME', 'settle_check_template' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.check_template(text, regclass, text) IS
'canonical text of a template such as staff:{worker_id} over the columns of a relation; reads the catalogue only and needs no privilege on the relation';

CREATE FUNCTION settle.expression_functions(OUT purpose text, OUT function text)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_expression_functions' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.expression_functions() IS
'functions that expressions may use';

CREATE FUNCTION settle.fixed_date(value text)
RETURNS text AS 'MODULE_PATHNAME', 'settle_fixed_date' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.fixed_date(text) IS
'the text itself, or an error where it holds now, today, tomorrow or yesterday; stands before each conversion of text to a date in an expression';

CREATE FUNCTION settle._evaluate_expression(expression text, source_row record, time_zone text, template boolean DEFAULT false)
RETURNS text AS 'MODULE_PATHNAME', 'settle_evaluate_expression' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle._evaluate_expression(text, record, text, boolean) IS
'result of an expression, or of a template, for one row, as text; for tests';
REVOKE ALL ON FUNCTION settle._evaluate_expression(text, record, text, boolean) FROM PUBLIC;
