/* amount: exact decimals, rounding, allocation */

CREATE FUNCTION settle.round_amount(amount numeric, minor_units int, mode text DEFAULT 'half_up') RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_round_amount' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.round_amount(numeric, int, text) IS
'amount rounded to minor_units decimal places, or to the step that the mode names (half_up 0.05); negative amounts mirror positive ones but for ceil and floor';

CREATE FUNCTION settle.allocate(amount numeric, weights numeric[], step numeric DEFAULT 0.01, mode text DEFAULT 'largest_remainder') RETURNS numeric[]
AS 'MODULE_PATHNAME', 'settle_allocate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.allocate(numeric, numeric[], numeric, text) IS
'amount divided by weights into multiples of step that add up to it exactly';

CREATE FUNCTION settle._amount_selftest(seed bigint, n bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'settle_amount_selftest' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._amount_selftest(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION settle._amount_selftest(bigint, bigint) IS
'compares fixed-point arithmetic with numeric on n random pairs; returns how many needed no numeric; for tests';
