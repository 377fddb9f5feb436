/*
 * allocate.c
 *		Division of an amount among several, without losing or making a cent.
 *
 * Everything is counted in whole steps: an exact share is its whole part and a
 * remainder, and what the whole parts leave over goes out one step at a time.
 * A share that comes out even has no remainder and so never moves.  A negative
 * amount is divided as its absolute value, then every part is negated.
 */
#include "amount/amount.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* A party while an amount is divided. */
typedef struct Share
{
	int			party;
	SettleDec	weight;
	SettleDec	steps;			/* whole steps of its exact share */
	SettleDec	remainder;		/* in units of step / total weight */
} Share;

/*
 * Orders by remainder, largest first, then by party.
 */
static int
by_remainder(const void *a, const void *b)
{
	const Share *x = a;
	const Share *y = b;
	int			order = settle_dec_cmp(y->remainder, x->remainder);

	return order != 0 ? order : x->party - y->party;
}

/*
 * Sums the weights, which must not be negative.
 */
static SettleDec
total_weight(const SettleDec *weights, int n)
{
	SettleDec	total = settle_dec_int(0);

	for (int i = 0; i < n; i++)
	{
		if (settle_dec_sign(weights[i]) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("weight %d is negative: %s", i + 1, settle_dec_out(weights[i])),
					 errhint("To take back a division, divide the negative amount by the same weights.")));
		total = settle_dec_add(total, weights[i]);
	}
	if (settle_dec_sign(total) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no weight is positive"),
				 errdetail("An amount needs somebody to go to.")));
	return total;
}

/*
 * Counts the steps in an amount, which must be a whole number of them.
 */
static SettleDec
count_steps(SettleDec amount, SettleDec step)
{
	SettleRounding whole = {SETTLE_DOWN, settle_dec_int(1)};
	SettleDec	count;

	if (settle_dec_sign(step) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("step %s is not positive", settle_dec_out(step))));
	count = settle_ratio_round((SettleRatio) {amount, step}, &whole);
	if (settle_dec_cmp(settle_dec_mul(count, step), amount) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount %s is not a multiple of %s", settle_dec_out(amount), settle_dec_out(step)),
				 errhint("Round the amount first; a division neither makes nor loses money.")));
	return count;
}

/*
 * Divides by largest remainder.
 */
void
settle_allocate_parts(SettleDec amount, const SettleDec *weights, int n, SettleDec step, SettleDec *parts)
{
	SettleRounding whole = {SETTLE_DOWN, settle_dec_int(1)};
	SettleDec	total = total_weight(weights, n);
	SettleDec	left = count_steps(amount, step);
	bool		negative = settle_dec_sign(left) < 0;
	Share	   *shares = palloc(mul_size(sizeof(Share), n));
	SettleDec	one = settle_dec_int(1);
	SettleDec	count;

	if (negative)
		left = settle_dec_neg(left);
	count = left;
	for (int i = 0; i < n; i++)
	{
		SettleDec	exact = settle_dec_mul(count, weights[i]);

		CHECK_FOR_INTERRUPTS();
		shares[i].party = i;
		shares[i].weight = weights[i];
		shares[i].steps = settle_ratio_round((SettleRatio) {exact, total}, &whole);
		shares[i].remainder = settle_dec_sub(exact, settle_dec_mul(shares[i].steps, total));
		left = settle_dec_sub(left, shares[i].steps);
	}
	qsort(shares, n, sizeof(Share), by_remainder);
	for (int i = 0; i < n; i++)
	{
		SettleDec	part = shares[i].steps;

		if (settle_dec_sign(left) > 0)
		{
			part = settle_dec_add(part, one);
			left = settle_dec_sub(left, one);
		}
		part = settle_dec_mul(part, step);
		parts[shares[i].party] = negative ? settle_dec_neg(part) : part;
	}
	pfree(shares);
}

/*
 * Reads an array of weights.
 */
static SettleDec *
weights_of(ArrayType *array, int *n)
{
	Datum	   *values;
	bool	   *nulls;
	SettleDec  *weights;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &values, &nulls, n);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("weights have %d dimensions", ARR_NDIM(array)),
				 errhint("Give one weight a party, in a plain array.")));
	weights = palloc(mul_size(sizeof(SettleDec), *n));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("weight %d is null", i + 1),
					 errhint("Give 0 to whoever gets nothing.")));
		weights[i] = settle_dec_from_datum(values[i]);
	}
	return weights;
}

PG_FUNCTION_INFO_V1(settle_allocate);

/*
 * settle.allocate(amount numeric, weights numeric[], step numeric, mode text) returns numeric[]
 */
Datum
settle_allocate(PG_FUNCTION_ARGS)
{
	SettleDec	amount = settle_dec_from_datum(PG_GETARG_DATUM(0));
	SettleDec	step = settle_dec_from_datum(PG_GETARG_DATUM(2));
	char	   *mode = text_to_cstring(PG_GETARG_TEXT_PP(3));
	int			n;
	SettleDec  *weights = weights_of(PG_GETARG_ARRAYTYPE_P(1), &n);
	SettleDec  *parts = palloc(mul_size(sizeof(SettleDec), n));
	Datum	   *values = palloc(mul_size(sizeof(Datum), n));

	if (strcmp(mode, "largest_remainder") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown way to allocate: \"%.40s\"", mode),
				 errhint("Use largest_remainder.")));
	settle_allocate_parts(amount, weights, n, step, parts);
	for (int i = 0; i < n; i++)
		values[i] = NumericGetDatum(settle_dec_to_numeric(parts[i]));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, NUMERICOID, -1, false, TYPALIGN_INT));
}
