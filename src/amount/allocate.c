/*
 * allocate.c
 *		Division of an amount among several, without losing or making a cent.
 *
 * Everything is counted in whole steps: an exact share is its whole part and a
 * remainder, and what the whole parts leave over goes out one step at a time,
 * in an order that is all that most of the modes differ in.  With the default,
 * largest remainder, a share that comes out even has no remainder and so never
 * moves.  A negative amount is divided as its absolute value, then every part
 * is negated: what is taken back mirrors what was given.
 */
#include "amount/amount.h"

#include "amount/decimal.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Who gets the steps that the whole parts leave over. */
typedef enum Division
{
	LARGEST_REMAINDER,			/* ties to the earlier party */
	FIRST,						/* the first parties with a weight */
	FIRST_INCL_ZERO,			/* the first parties, with a weight or without */
	LAST,						/* the last parties with a weight */
	LARGEST_WEIGHT,				/* ties to the earlier party */
	SEQUENTIAL_FROM_LAST,		/* from the last party on, each takes its whole part of what is left */
	SEPARATE,					/* nobody */
	BLOCK_SEPARATE,				/* nobody; whole blocks of the weights in lowest terms */
	PROPORTIONAL_WITH_CAPS		/* weights are also the most that a party can take */
} Division;

static const char *const mode_names[] = {
	"largest_remainder", "first", "first_incl_zero", "last", "largest_weight",
	"sequential_from_last", "separate", "block_separate", "proportional_with_caps"
};

/* A party while an amount is divided. */
typedef struct Share
{
	int			party;
	SettleDec	weight;
	SettleDec	steps;			/* whole steps of its exact share */
	SettleDec	remainder;		/* in units of step / total weight */
} Share;

static const SettleRounding whole = {SETTLE_DOWN, {.coef = 1}};

/*
 * Finds a mode by name.
 */
static Division
mode_in(const char *name)
{
	for (int i = 0; i < lengthof(mode_names); i++)
		if (strcmp(mode_names[i], name) == 0)
			return (Division) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown way to allocate: \"%.40s\"", name),
			 errhint("Use largest_remainder, first, first_incl_zero, last, largest_weight, sequential_from_last, "
					 "separate, block_separate or proportional_with_caps.")));
}

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
 * Orders by weight, largest first, then by party.
 */
static int
by_weight(const void *a, const void *b)
{
	const Share *x = a;
	const Share *y = b;
	int			order = settle_dec_cmp(y->weight, x->weight);

	return order != 0 ? order : x->party - y->party;
}

/*
 * Orders parties with a weight before those without, each as they come.
 */
static int
by_place(const void *a, const void *b)
{
	const Share *x = a;
	const Share *y = b;
	int			order = settle_dec_sign(y->weight) - settle_dec_sign(x->weight);

	return order != 0 ? order : x->party - y->party;
}

/*
 * The same, each from the last.
 */
static int
by_place_from_last(const void *a, const void *b)
{
	const Share *x = a;
	const Share *y = b;
	int			order = settle_dec_sign(y->weight) - settle_dec_sign(x->weight);

	return order != 0 ? order : y->party - x->party;
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
	return total;
}

/*
 * Counts the steps in an amount, which must be a whole number of them.
 */
static SettleDec
count_steps(SettleDec amount, SettleDec step)
{
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
 * Cuts every share down to whole steps; returns the steps that are left over.
 */
static SettleDec
cut_shares(SettleDec count, const SettleDec *weights, SettleDec total, int n, Share *shares)
{
	SettleDec	left = count;

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
	return left;
}

/*
 * Gives one step more to each, in the order of the shares, while there are any.
 */
static void
hand_out(SettleDec left, Share *shares, int n)
{
	SettleDec	one = settle_dec_int(1);

	for (int i = 0; i < n && settle_dec_sign(left) > 0; i++)
	{
		shares[i].steps = settle_dec_add(shares[i].steps, one);
		left = settle_dec_sub(left, one);
	}
}

/*
 * From the last party on, gives each its whole part of what is left.
 */
static void
cut_in_sequence(SettleDec count, const SettleDec *weights, SettleDec total, int n, Share *shares)
{
	for (int i = n - 1; i >= 0; i--)
	{
		CHECK_FOR_INTERRUPTS();
		shares[i].party = i;
		shares[i].steps = settle_dec_int(0);
		if (settle_dec_sign(total) > 0)
			shares[i].steps = settle_ratio_round((SettleRatio) {settle_dec_mul(count, weights[i]), total}, &whole);
		count = settle_dec_sub(count, shares[i].steps);
		total = settle_dec_sub(total, weights[i]);
	}
}

/*
 * Greatest common divisor of weights, by subtraction of multiples.
 */
static SettleDec
common_divisor(const SettleDec *weights, int n)
{
	SettleDec	divisor = settle_dec_int(0);

	for (int i = 0; i < n; i++)
	{
		SettleDec	a = divisor;
		SettleDec	b = weights[i];

		while (settle_dec_sign(b) > 0)
		{
			SettleDec	multiple = settle_ratio_round((SettleRatio) {a, b}, &whole);
			SettleDec	rest = settle_dec_sub(a, settle_dec_mul(multiple, b));

			CHECK_FOR_INTERRUPTS();
			a = b;
			b = rest;
		}
		divisor = a;
	}
	return divisor;
}

/*
 * Divides a number of steps that is not negative.
 */
static void
divide_steps(SettleDec count, const SettleDec *weights, int n, Division mode, Share *shares)
{
	SettleDec	total = total_weight(weights, n);
	SettleDec	left;

	if (settle_dec_sign(total) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no weight is positive"),
				 errdetail("An amount needs somebody to go to.")));
	switch (mode)
	{
		case SEQUENTIAL_FROM_LAST:
			cut_in_sequence(count, weights, total, n, shares);
			return;
		case BLOCK_SEPARATE:
			{
				/* one block has total / divisor steps */
				SettleDec	divisor = common_divisor(weights, n);
				SettleDec	blocks = settle_ratio_round((SettleRatio) {settle_dec_mul(count, divisor), total}, &whole);

				(void) cut_shares(settle_ratio_round((SettleRatio) {settle_dec_mul(blocks, total), divisor}, &whole),
								  weights, total, n, shares);
				return;
			}
		default:
			break;
	}

	left = cut_shares(count, weights, total, n, shares);
	switch (mode)
	{
		case LARGEST_REMAINDER:
		case PROPORTIONAL_WITH_CAPS:
			qsort(shares, n, sizeof(Share), by_remainder);
			break;
		case FIRST:
			qsort(shares, n, sizeof(Share), by_place);
			break;
		case LAST:
			qsort(shares, n, sizeof(Share), by_place_from_last);
			break;
		case LARGEST_WEIGHT:
			qsort(shares, n, sizeof(Share), by_weight);
			break;
		case SEPARATE:
			return;
		default:
			break;
	}
	hand_out(left, shares, n);
}

/*
 * Divides an amount.
 */
static void
allocate(SettleDec amount, const SettleDec *weights, int n, SettleDec step, Division mode, SettleDec *parts)
{
	bool		negative = settle_dec_sign(amount) < 0;
	SettleDec	count;
	Share	   *shares = palloc(mul_size(sizeof(Share), n));

	if (mode == PROPORTIONAL_WITH_CAPS)
	{
		SettleDec  *caps = palloc(mul_size(sizeof(SettleDec), n));
		SettleDec	room;

		if (settle_dec_sign(step) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("step %s is not positive", settle_dec_out(step))));
		(void) total_weight(weights, n);
		for (int i = 0; i < n; i++)
			caps[i] = settle_dec_mul(settle_ratio_round((SettleRatio) {weights[i], step}, &whole), step);
		room = total_weight(caps, n);
		if (negative)
			room = settle_dec_neg(room);
		/* what the caps cannot take stays with the payer */
		if (negative ? settle_dec_cmp(amount, room) < 0 : settle_dec_cmp(amount, room) > 0)
			amount = room;
		if (settle_dec_sign(room) == 0)
		{
			for (int i = 0; i < n; i++)
				parts[i] = settle_dec_int(0);
			return;
		}
		weights = caps;
	}

	count = count_steps(amount, step);
	divide_steps(negative ? settle_dec_neg(count) : count, weights, n, mode, shares);
	for (int i = 0; i < n; i++)
	{
		SettleDec	part = settle_dec_mul(shares[i].steps, step);

		parts[shares[i].party] = negative ? settle_dec_neg(part) : part;
	}
	pfree(shares);
}

/*
 * Divides by largest remainder.
 */
void
settle_allocate_parts(SettleDec amount, const SettleDec *weights, int n, SettleDec step, SettleDec *parts)
{
	allocate(amount, weights, n, step, LARGEST_REMAINDER, parts);
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
	Division		mode = mode_in(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	int			n;
	SettleDec  *weights = settle_dec_array(PG_GETARG_ARRAYTYPE_P(1), "weight", &n);
	SettleDec  *parts = palloc(mul_size(sizeof(SettleDec), n));
	Datum	   *values = palloc(mul_size(sizeof(Datum), n));

	allocate(amount, weights, n, step, mode, parts);
	for (int i = 0; i < n; i++)
		values[i] = NumericGetDatum(settle_dec_to_numeric(settle_dec_widen_scale(parts[i], step.wide ? 0 : step.scale)));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, NUMERICOID, -1, false, TYPALIGN_INT));
}
