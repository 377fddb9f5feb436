-- check: what must always hold of a book

CREATE FUNCTION settle.check(book regnamespace, OUT invariant text, OUT object text, OUT detail text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_check' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.check(regnamespace) IS 'one row for each place where an invariant of the book does not hold; no row when all is well';

CREATE FUNCTION settle._tally_fee(tiers settle.tiers[], counts bigint[], quantities numeric[], weighted numeric[], rounding text, unit text)
	RETURNS numeric AS 'MODULE_PATHNAME', 'settle_tally_fee_sql' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle._tally_fee(settle.tiers[], bigint[], numeric[], numeric[], text, text) IS
	'what a tally owes, from its state for each version of its rule in order';
