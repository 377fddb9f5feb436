/* matrix: revenue by project, region and period */

CREATE TYPE settle.matrix;

CREATE FUNCTION settle.matrix_in(cstring) RETURNS settle.matrix
AS 'MODULE_PATHNAME', 'settle_matrix_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_in(cstring) IS 'reads the text form';

CREATE FUNCTION settle.matrix_out(settle.matrix) RETURNS cstring
AS 'MODULE_PATHNAME', 'settle_matrix_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_out(settle.matrix) IS 'writes the text form';

CREATE FUNCTION settle.matrix_recv(internal) RETURNS settle.matrix
AS 'MODULE_PATHNAME', 'settle_matrix_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_recv(internal) IS 'reads the binary form';

CREATE FUNCTION settle.matrix_send(settle.matrix) RETURNS bytea
AS 'MODULE_PATHNAME', 'settle_matrix_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.matrix_send(settle.matrix) IS 'writes the binary form';

CREATE TYPE settle.matrix (
    INPUT = settle.matrix_in,
    OUTPUT = settle.matrix_out,
    RECEIVE = settle.matrix_recv,
    SEND = settle.matrix_send,
    ALIGNMENT = double,
    STORAGE = extended
);
COMMENT ON TYPE settle.matrix IS 'tickets, revenue and cost by project, region and period; settle.cells shows it as rows';

CREATE CAST (settle.matrix AS jsonb) WITH INOUT;
CREATE CAST (jsonb AS settle.matrix) WITH INOUT;

/*
 * ltree stands in whatever schema CREATE EXTENSION ltree has put it.  "requires"
 * in the control file adds that schema to the path of this script; so this one
 * type is named without a schema, here and below.
 */
CREATE FUNCTION settle._matrix_step(settle.matrix, project ltree, region ltree, period date, revenue numeric, cost numeric) RETURNS settle.matrix
AS 'MODULE_PATHNAME', 'settle_matrix_step' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._matrix_step(settle.matrix, ltree, ltree, date, numeric, numeric) FROM PUBLIC;
COMMENT ON FUNCTION settle._matrix_step(settle.matrix, ltree, ltree, date, numeric, numeric) IS 'adds a ticket';

CREATE FUNCTION settle._matrix_combine(settle.matrix, settle.matrix) RETURNS settle.matrix
AS 'MODULE_PATHNAME', 'settle_matrix_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._matrix_combine(settle.matrix, settle.matrix) FROM PUBLIC;
COMMENT ON FUNCTION settle._matrix_combine(settle.matrix, settle.matrix) IS 'adds the tickets of another matrix';

CREATE FUNCTION settle._matrix_final(settle.matrix) RETURNS settle.matrix
AS 'MODULE_PATHNAME', 'settle_matrix_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._matrix_final(settle.matrix) FROM PUBLIC;
COMMENT ON FUNCTION settle._matrix_final(settle.matrix) IS 'sorts the state; an empty matrix where there is none';

CREATE AGGREGATE settle.revenue_matrix(project ltree, region ltree, period date, revenue numeric, cost numeric) (
    SFUNC = settle._matrix_step,
    STYPE = settle.matrix,
    SSPACE = 2048,
    FINALFUNC = settle._matrix_final,
    COMBINEFUNC = settle._matrix_combine,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE settle.revenue_matrix(ltree, ltree, date, numeric, numeric) IS
'tickets, revenue and cost by project, region and period; settle.cells adds the subtotals';

CREATE AGGREGATE settle.matrix_sum(settle.matrix) (
    SFUNC = settle._matrix_combine,
    STYPE = settle.matrix,
    SSPACE = 2048,
    FINALFUNC = settle._matrix_final,
    COMBINEFUNC = settle._matrix_combine,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE settle.matrix_sum(settle.matrix) IS 'one matrix of several, such as the stored ones of twelve months';

CREATE FUNCTION settle.cells(matrix settle.matrix, subtotals text DEFAULT 'cube',
    OUT project ltree, OUT region ltree, OUT period date, OUT "grouping" int, OUT project_level int, OUT region_level int,
    OUT tickets bigint, OUT revenue numeric, OUT cost numeric, OUT profit numeric, OUT margin numeric)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'settle_cells' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10000;
COMMENT ON FUNCTION settle.cells(settle.matrix, text) IS
'the rows of a matrix, with subtotals as GROUP BY CUBE has them (cube), along the levels of both paths (tree), or none';

CREATE FUNCTION settle.heat(value numeric, lowest numeric, highest numeric) RETURNS int
AS 'MODULE_PATHNAME', 'settle_heat' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.heat(numeric, numeric, numeric) IS
'the tenth of the span from lowest to highest that value lies in, 0 to 9';

CREATE FUNCTION settle.heat_color(level int) RETURNS text
AS 'MODULE_PATHNAME', 'settle_heat_color' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.heat_color(int) IS 'the colour of a heat level, ''#rrggbb'', from cream to dark red';
