/* amount: exact decimals, rounding, allocation, withholding */

CREATE FUNCTION settle.round_amount(amount numeric, minor_units int, mode text DEFAULT 'half_up') RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_round_amount' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.round_amount(numeric, int, text) IS
'amount rounded to minor_units decimal places, or to the step that the mode names (half_up 0.05); negative amounts mirror positive ones but for ceil and floor';

CREATE FUNCTION settle.prorate(amount numeric, part numeric, whole numeric, minor_units int DEFAULT 2, mode text DEFAULT 'half_up') RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_prorate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.prorate(numeric, numeric, numeric, int, text) IS
'amount x part / whole, exact until it is rounded once';

CREATE FUNCTION settle.true_up(minimum numeric, used numeric, days numeric DEFAULT 1, period_days numeric DEFAULT 1, minor_units int DEFAULT 2, mode text DEFAULT 'half_up') RETURNS numeric
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
RETURN GREATEST(0, settle.prorate((minimum * days) - (used * period_days), 1, period_days, minor_units, mode));
COMMENT ON FUNCTION settle.true_up(numeric, numeric, numeric, numeric, int, text) IS
'what lifts used to the minimum of days out of a period, 0 where used is more';

CREATE FUNCTION settle.draw(earned numeric, guarantee numeric, balance numeric, recovers boolean DEFAULT true,
    OUT draw numeric, OUT recovered numeric, OUT paid numeric, OUT new_balance numeric)
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.draw, d.recovered, earned + d.draw - d.recovered, balance + d.draw - d.recovered
    FROM (SELECT GREATEST(guarantee - earned, 0) AS draw,
                 CASE WHEN recovers THEN GREATEST(LEAST(earned - guarantee, balance), 0) ELSE 0 END AS recovered) d;
END;
COMMENT ON FUNCTION settle.draw(numeric, numeric, numeric, boolean) IS
'recoverable draw of a period: what is advanced up to the guarantee, what of the balance is recovered from earnings above it, what is paid, the balance after it';

CREATE FUNCTION settle.allocate(amount numeric, weights numeric[], step numeric DEFAULT 0.01, mode text DEFAULT 'largest_remainder') RETURNS numeric[]
AS 'MODULE_PATHNAME', 'settle_allocate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.allocate(numeric, numeric[], numeric, text) IS
'amount divided by weights into multiples of step; the parts add up to it exactly, but for the modes that say otherwise';

CREATE FUNCTION settle.allocate(spec jsonb, amount numeric, step numeric DEFAULT 0.01, OUT party text, OUT part numeric)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'settle_allocate_nested' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION settle.allocate(jsonb, numeric, numeric) IS
'amount divided level by level: percentages of the parent, fixed shares, caps whose excess goes on, one remaining party';

CREATE FUNCTION settle.withhold(model text, so_far jsonb, amount numeric) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_withhold' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.withhold(text, jsonb, numeric) IS
'tax to withhold from a payment, not rounded; so_far is what came before it in the tax year';

CREATE FUNCTION settle.withhold_next(model text, so_far jsonb, amount numeric) RETURNS jsonb
AS 'MODULE_PATHNAME', 'settle_withhold_next' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.withhold_next(text, jsonb, numeric) IS
'so_far of the payment after this one';

CREATE FUNCTION settle._amount_selftest(seed bigint, n bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'settle_amount_selftest' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._amount_selftest(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION settle._amount_selftest(bigint, bigint) IS
'compares fixed-point arithmetic with numeric on n random pairs; returns how many needed no numeric; for tests';
