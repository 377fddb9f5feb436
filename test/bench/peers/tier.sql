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
