/*
 * selftest.c
 *		Random values through the fixed-point path and through numeric.
 *
 * It ships, because only an installed library can be held against the server
 * that it runs in; it is revoked from PUBLIC and called by the test suite.
 */
#include "amount/amount.h"
#include "amount/decimal.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * Draws a value: any number of bits, any scale, often one at a limit.
 */
static SettleDec
random_dec(pg_prng_state *prng)
{
	int			bits = (int) pg_prng_uint64_range(prng, 0, 127);
	uint128		raw = ((uint128) pg_prng_uint64(prng) << 64) | pg_prng_uint64(prng);
	int128		coef = bits == 0 ? 0 : (int128) (raw >> (128 - bits));
	int			choice = (int) pg_prng_uint64_range(prng, 0, 99);

	if (choice == 0)
		coef = SETTLE_INT128_MAX;
	else if (choice == 1)
		coef = -SETTLE_INT128_MAX - 1;
	else if (choice < 12)
		coef = settle_power_of_ten((int) pg_prng_uint64_range(prng, 0, 38));
	else if (choice < 15)
		coef = settle_power_of_ten((int) pg_prng_uint64_range(prng, 1, 38)) - 1;
	if (coef > 0 && (raw & 1))
		coef = -coef;
	return (SettleDec) {
		.coef = coef,
		.scale = choice < 60 ? (int) pg_prng_uint64_range(prng, 0, 6) :
		(int) pg_prng_uint64_range(prng, 0, SETTLE_DEC_MAX_SCALE)
	};
}

/*
 * Raises an error where two results of one operation differ.
 */
static void
require_equal(const char *operation, SettleDec a, SettleDec b, SettleDec fast, Datum exact)
{
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(settle_dec_to_numeric(fast)), exact)))
		elog(ERROR, "%s of %s and %s is %s by fixed point and %s by numeric", operation,
			 settle_dec_out(a), settle_dec_out(b), settle_dec_out(fast),
			 DatumGetCString(DirectFunctionCall1(numeric_out, exact)));
}

PG_FUNCTION_INFO_V1(settle_amount_selftest);

/*
 * settle._amount_selftest(seed bigint, n bigint) returns bigint
 *
 * Compares every operation on decimals with numeric on n random pairs and
 * returns how many of them took the fixed-point path throughout.
 */
Datum
settle_amount_selftest(PG_FUNCTION_ARGS)
{
	pg_prng_state prng;
	int64		n = PG_GETARG_INT64(1);
	int64		narrow = 0;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "settle self-test",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);

	pg_prng_seed(&prng, (uint64) PG_GETARG_INT64(0));
	for (int64 i = 0; i < n; i++)
	{
		SettleDec	a = random_dec(&prng);
		SettleDec	b = random_dec(&prng);
		Datum		na = DirectFunctionCall3(numeric_in, CStringGetDatum(settle_dec_out(a)),
											 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		Datum		nb = DirectFunctionCall3(numeric_in, CStringGetDatum(settle_dec_out(b)),
											 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		Numeric		written = settle_dec_to_numeric(a);
		SettleDec	read = settle_dec_from_numeric(DatumGetNumeric(na));
		SettleDec	sum = settle_dec_add(a, b);
		SettleDec	product = settle_dec_mul(a, b);
		SettleRounding how;
		SettleDec	den = settle_dec_sign(b) < 0 ? settle_dec_neg(b) : b;
		int			order = settle_dec_cmp(a, b);

		CHECK_FOR_INTERRUPTS();

		require_equal("reading", a, a, read, na);
		if (!read.wide && read.scale > a.scale)
			elog(ERROR, "reading %s gave %d places", settle_dec_out(a), read.scale);
		if (strcmp(settle_dec_out(a), DatumGetCString(DirectFunctionCall1(numeric_out,
																		  NumericGetDatum(written)))) != 0)
			elog(ERROR, "writing %s as numeric changed it", settle_dec_out(a));
		if (VARSIZE(written) != VARSIZE(DatumGetPointer(na)) || memcmp(written, DatumGetPointer(na), VARSIZE(written)) != 0)
			elog(ERROR, "%s is not written as numeric writes it", settle_dec_out(a));
		require_equal("trim", a, a, settle_dec_trim(a), na);
		require_equal("sum", a, b, sum, DirectFunctionCall2(numeric_add, na, nb));
		require_equal("difference", a, b, settle_dec_sub(a, b), DirectFunctionCall2(numeric_sub, na, nb));
		require_equal("product", a, b, product, DirectFunctionCall2(numeric_mul, na, nb));
		if (order != DatumGetInt32(DirectFunctionCall2(numeric_cmp, na, nb)))
			elog(ERROR, "comparison of %s and %s gave %d", settle_dec_out(a), settle_dec_out(b), order);

		/* rounding against the numeric path and, where the server has the same rule, against the server */
		how.mode = (SettleRoundMode) pg_prng_uint64_range(&prng, 0, SETTLE_FLOOR);
		how.step = (SettleDec) {
			.coef = (int128) (int[]) {1, 5, 25, 125, 7}[pg_prng_uint64_range(&prng, 0, 4)],
			.scale = (int) pg_prng_uint64_range(&prng, 0, 6)
		};
		if (settle_dec_sign(den) > 0)
			require_equal(settle_round_mode_name(how.mode), a, den,
						  settle_ratio_round((SettleRatio) {a, den}, &how),
						  NumericGetDatum(settle_dec_to_numeric(settle_dec_mul(settle_divide_wide(a, settle_dec_mul(den, how.step),
																						   how.mode), how.step))));
		require_equal(settle_round_mode_name(how.mode), a, how.step, settle_round(a, &how),
					  NumericGetDatum(settle_dec_to_numeric(settle_dec_mul(settle_divide_wide(a, how.step, how.mode), how.step))));
		how.step.coef = 1;
		if (how.mode == SETTLE_HALF_UP)
			require_equal("half_up", a, how.step, settle_round(a, &how),
						  DirectFunctionCall2(numeric_round, na, Int32GetDatum(how.step.scale)));
		if (how.mode == SETTLE_DOWN)
			require_equal("down", a, how.step, settle_round(a, &how),
						  DirectFunctionCall2(numeric_trunc, na, Int32GetDatum(how.step.scale)));

		if (!sum.wide && !product.wide)
			narrow++;
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	PG_RETURN_INT64(narrow);
}
