-- Peer of settle.fee and settle.tiered_fee: the same tiers as arrays, priced by
-- a PL/pgSQL function.  The last bound is null.

CREATE FUNCTION bench.array_fee(quantity numeric, bounds numeric[], rates numeric[]) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
	lower numeric := 0;
	fee numeric := 0;
BEGIN
	FOR i IN 1 .. cardinality(rates) LOOP
		EXIT WHEN quantity <= lower;
		fee := fee + (least(quantity, bounds[i]) - lower) * rates[i];
		lower := bounds[i];
	END LOOP;
	RETURN fee;
END
$$;

-- The same as an aggregate, which may be used wherever settle.tiered_fee is: its
-- state is the sum, with the tiers of the last row.
CREATE TYPE bench.array_fee_state AS (total numeric, bounds numeric[], rates numeric[]);

CREATE FUNCTION bench.array_fee_step(state bench.array_fee_state, quantity numeric, bounds numeric[], rates numeric[]) RETURNS bench.array_fee_state
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
	RETURN (coalesce(state.total, 0) + quantity, bounds, rates);
END
$$;

CREATE FUNCTION bench.array_fee_end(state bench.array_fee_state) RETURNS numeric
LANGUAGE sql IMMUTABLE
RETURN bench.array_fee(state.total, state.bounds, state.rates);

CREATE AGGREGATE bench.array_fee_sum(quantity numeric, bounds numeric[], rates numeric[]) (
	SFUNC = bench.array_fee_step, STYPE = bench.array_fee_state, FINALFUNC = bench.array_fee_end
);
