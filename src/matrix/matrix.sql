
-- matrix: revenue by project, region and period

CREATE TYPE settle.matrix;

CREATE FUNCTION settle.matrix_in(cstring) RETURNS settle.matrix
	AS 'MODULE_PATHNAME', 'settle_matrix_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_in(cstring) IS 'I/O';

CREATE FUNCTION settle.matrix_out(settle.matrix) RETURNS cstring
	AS 'MODULE_PATHNAME', 'settle_matrix_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_out(settle.matrix) IS 'I/O';

CREATE FUNCTION settle.matrix_recv(internal) RETURNS settle.matrix
	AS 'MODULE_PATHNAME', 'settle_matrix_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_recv(internal) IS 'I/O';

CREATE FUNCTION settle.matrix_send(settle.matrix) RETURNS bytea
	AS 'MODULE_PATHNAME', 'settle_matrix_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_send(settle.matrix) IS 'I/O';

CREATE TYPE settle.matrix (
	INPUT = settle.matrix_in,
	OUTPUT = settle.matrix_out,
	RECEIVE = settle.matrix_recv,
	SEND = settle.matrix_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = extended
);
COMMENT ON TYPE settle.matrix IS 'tickets, revenue and cost by project, region and period; settle.cells shows it as rows with subtotals';

CREATE CAST (settle.matrix AS jsonb) WITH INOUT;
COMMENT ON CAST (settle.matrix AS jsonb) IS 'the text form of a matrix is JSON';

CREATE CAST (jsonb AS settle.matrix) WITH INOUT;
COMMENT ON CAST (jsonb AS settle.matrix) IS 'the text form of a matrix is JSON';

-- ltree stands wherever CREATE EXTENSION ltree has put it.  "requires" in the
-- control file adds that schema to the path of this script, so its type is
-- named without one, here and below.
CREATE FUNCTION settle._matrix_add(state settle.matrix, project ltree, region ltree, period date, revenue numeric, cost numeric)
	RETURNS settle.matrix
	AS 'MODULE_PATHNAME', 'settle_matrix_accumulate' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION settle._matrix_add(settle.matrix, ltree, ltree, date, numeric, numeric) IS 'transition function of settle.revenue_matrix';
REVOKE ALL ON FUNCTION settle._matrix_add(settle.matrix, ltree, ltree, date, numeric, numeric) FROM PUBLIC;

CREATE FUNCTION settle._matrix_merge(state settle.matrix, other settle.matrix) RETURNS settle.matrix
	AS 'MODULE_PATHNAME', 'settle_matrix_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION settle._matrix_merge(settle.matrix, settle.matrix) IS 'combine function of settle.revenue_matrix, transition function of settle.matrix_sum';
REVOKE ALL ON FUNCTION settle._matrix_merge(settle.matrix, settle.matrix) FROM PUBLIC;

CREATE FUNCTION settle._matrix_final(state settle.matrix) RETURNS settle.matrix
	AS 'MODULE_PATHNAME', 'settle_matrix_finish' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION settle._matrix_final(settle.matrix) IS 'final function of settle.revenue_matrix and settle.matrix_sum';
REVOKE ALL ON FUNCTION settle._matrix_final(settle.matrix) FROM PUBLIC;

-- The state type is a real type, not internal: parallel query and Citus ship it.
CREATE AGGREGATE settle.revenue_matrix(project ltree, region ltree, period date, revenue numeric, cost numeric) (
	SFUNC = settle._matrix_add,
	STYPE = settle.matrix,
	SSPACE = 1024,
	FINALFUNC = settle._matrix_final,
	COMBINEFUNC = settle._matrix_merge,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE settle.revenue_matrix(ltree, ltree, date, numeric, numeric) IS 'tickets, revenue and cost by project, region and period, all subtotals in one pass; see settle.cells';

CREATE AGGREGATE settle.matrix_sum(settle.matrix) (
	SFUNC = settle._matrix_merge,
	STYPE = settle.matrix,
	SSPACE = 1024,
	FINALFUNC = settle._matrix_final,
	COMBINEFUNC = settle._matrix_merge,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE settle.matrix_sum(settle.matrix) IS 'one matrix of several, such as the stored ones of twelve months';

CREATE FUNCTION settle.cells(
	matrix settle.matrix, subtotals text DEFAULT 'cube',
	OUT project ltree, OUT region ltree, OUT period date, OUT "grouping" integer, OUT project_level integer, OUT region_level integer,
	OUT tickets bigint, OUT revenue numeric, OUT cost numeric, OUT profit numeric, OUT margin numeric)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'settle_cells' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10000;
COMMENT ON FUNCTION settle.cells(settle.matrix, text) IS 'the rows of a matrix; subtotals are ''cube'' (what GROUP BY CUBE gives), ''tree'' (along the levels of both paths) or ''none''';

CREATE FUNCTION settle.heat(value numeric, lowest numeric, highest numeric) RETURNS integer
	AS 'MODULE_PATHNAME', 'settle_heat' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.heat(numeric, numeric, numeric) IS 'the tenth of the span from lowest to highest that a value lies in, 0 to 9';

CREATE FUNCTION settle.heat_color(level integer) RETURNS text
	AS 'MODULE_PATHNAME', 'settle_heat_color' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.heat_color(integer) IS 'the colour of a heat level, ''#rrggbb'', from pale to dark';
