/*
 * split.c
 *		Nested splits: who gets what of an amount, level by level.
 *
 *		["to", party]						all of it
 *		["split", [[share, node], ...]]		shares of it, at the same time
 *		["seq", [[cap, node], ...]]			one after the other, each up to its cap
 *
 * A share is a percentage of the amount that the split has, {"fixed": amount},
 * or "remaining".  A fixed share never moves; percentages are cut down to whole
 * steps and "remaining", of which there is one, takes the rest.  Without it the
 * percentages must sum to exactly 100 and are divided by largest remainder.
 * Each cap that is reached lets the excess go on to the next node.
 */
#include "amount/amount.h"

#include "amount/decimal.h"
#include "amount/json.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define MAX_LEGS	10000

typedef struct PartyAmount
{
	char	   *party;
	SettleDec	amount;
} PartyAmount;

typedef struct Split
{
	SettleDec	step;
	int			nlegs;			/* read so far */
	int			nparties;
	int			room;
	PartyAmount *parties;
} Split;

typedef enum LegKind
{
	LEG_PERCENT,
	LEG_FIXED,
	LEG_REMAINING
} LegKind;

typedef struct Leg
{
	LegKind		kind;
	SettleDec	number;			/* percent, fixed amount or cap */
	JsonbContainer *node;
	SettleDec	amount;
} Leg;


static const SettleJson in = {"split", ERRCODE_INVALID_PARAMETER_VALUE};

static void split_node(Split *split, JsonbContainer *node, SettleDec amount);

/*
 * Returns the two elements of a pair; false where the value is none.
 */
static bool
pair_of(JsonbContainer *array, JsonbValue **first, JsonbValue **second)
{
	if (!array || JsonContainerSize(array) != 2)
		return false;
	*first = getIthJsonbValueFromContainer(array, 0);
	*second = getIthJsonbValueFromContainer(array, 1);
	return true;
}

/*
 * Reads one leg: a share or cap, and a node.
 */
static void
read_leg(const JsonbValue *value, bool percent, Leg *leg)
{
	JsonbValue *share;
	JsonbValue *node;
	JsonbContainer *object;

	if (!pair_of(settle_json_array(value), &share, &node))
		settle_json_refuse(&in, "a leg is not a pair of a share and a node", "Write [\"15\", [\"to\", \"hq\"]].");
	leg->node = settle_json_array(node);
	object = settle_json_object(share);

	if (settle_json_is_word(share, "remaining"))
		leg->kind = LEG_REMAINING;
	else if (percent && object)
	{
		static const char *const keys[] = {"fixed", NULL};

		settle_json_require_keys(&in, object, "a share", keys);
		leg->kind = LEG_FIXED;
		leg->number = settle_json_required_number(&in, object, "fixed");
	}
	else
	{
		leg->kind = LEG_PERCENT;
		leg->number = settle_json_number(&in, share, "a share");
	}
	if (percent && settle_dec_sign(leg->number) < 0)
		settle_json_refuse(&in, psprintf("the share %s is negative", settle_dec_out(leg->number)), NULL);
}

/*
 * Reads all legs of a node.
 */
static Leg *
read_legs(Split *split, const JsonbValue *value, bool percent, int *n)
{
	JsonbContainer *array = settle_json_array(value);
	Leg		   *legs;

	if (!array || JsonContainerSize(array) == 0)
		settle_json_refuse(&in, "legs are not an array of pairs",
						   "Write [[\"15\", [\"to\", \"hq\"]], [\"remaining\", [\"to\", \"dealer\"]]].");
	*n = (int) JsonContainerSize(array);
	split->nlegs += *n;
	if (*n > MAX_LEGS || split->nlegs > MAX_LEGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("invalid split: there are more than %d legs", MAX_LEGS)));
	legs = palloc0(sizeof(Leg) * *n);
	for (int i = 0; i < *n; i++)
		read_leg(getIthJsonbValueFromContainer(array, i), percent, &legs[i]);
	return legs;
}

/*
 * Cuts an amount down to whole steps.
 */
static SettleDec
cut(const Split *split, SettleRatio amount)
{
	SettleRounding down = {SETTLE_DOWN, split->step};

	return settle_ratio_round(amount, &down);
}

/*
 * Divides an amount among legs at the same time.
 */
static void
split_at_once(Split *split, Leg *legs, int n, SettleDec amount)
{
	SettleDec	hundred = settle_dec_int(100);
	SettleDec	percents = settle_dec_int(0);
	SettleDec	fixed = settle_dec_int(0);
	SettleDec	rest;
	Leg		   *residual = NULL;
	int			nfixed = 0;

	for (int i = 0; i < n; i++)
	{
		switch (legs[i].kind)
		{
			case LEG_REMAINING:
				if (residual)
					settle_json_refuse(&in, "two legs of a split are \"remaining\"", "One residual party takes the rest.");
				residual = &legs[i];
				break;
			case LEG_FIXED:
				nfixed++;
				legs[i].amount = legs[i].number;
				fixed = settle_dec_add(fixed, legs[i].number);
				if (settle_dec_cmp(cut(split, (SettleRatio) {legs[i].number, settle_dec_int(1)}), legs[i].number) != 0)
					settle_json_refuse(&in, psprintf("the fixed share %s is not a multiple of %s",
													 settle_dec_out(legs[i].number), settle_dec_out(split->step)), NULL);
				break;
			case LEG_PERCENT:
				percents = settle_dec_add(percents, legs[i].number);
				break;
		}
	}
	rest = settle_dec_sub(amount, fixed);

	if (residual)
	{
		if (settle_dec_cmp(percents, hundred) > 0)
			settle_json_refuse(&in, psprintf("the shares of a split sum to %s%%", settle_dec_out(percents)), NULL);
		for (int i = 0; i < n; i++)
		{
			if (legs[i].kind != LEG_PERCENT)
				continue;
			legs[i].amount = cut(split, (SettleRatio) {settle_dec_mul(amount, legs[i].number), hundred});
			rest = settle_dec_sub(rest, legs[i].amount);
		}
		if (settle_dec_sign(rest) < 0)
			settle_json_refuse(&in, psprintf("the fixed shares of a split do not fit into %s", settle_dec_out(amount)),
							   "Take fixed amounts in sequence: [\"seq\", [[\"500\", node], ...]].");
		residual->amount = rest;
		return;
	}

	/* fixed shares and percentages of the whole must be the whole, exactly */
	if (nfixed == 0 ? settle_dec_cmp(percents, hundred) != 0 :
		settle_dec_cmp(settle_dec_mul(amount, percents), settle_dec_mul(rest, hundred)) != 0)
		settle_json_refuse(&in, psprintf("the shares of a split sum to %s%%%s", settle_dec_out(percents),
										 nfixed > 0 ? psprintf(" and %s of %s", settle_dec_out(fixed), settle_dec_out(amount)) : ""),
						   "Let them sum to exactly 100 or make one of them \"remaining\".");
	if (settle_dec_sign(percents) != 0)
	{
		SettleDec  *weights = palloc0(sizeof(SettleDec) * n);
		SettleDec  *parts = palloc(sizeof(SettleDec) * n);

		for (int i = 0; i < n; i++)
			if (legs[i].kind == LEG_PERCENT)
				weights[i] = legs[i].number;
		settle_allocate_parts(rest, weights, n, split->step, parts);
		for (int i = 0; i < n; i++)
			if (legs[i].kind == LEG_PERCENT)
				legs[i].amount = parts[i];
	}
}

/*
 * Gives an amount to legs one after the other, each up to its cap.
 */
static void
split_in_sequence(Split *split, Leg *legs, int n, SettleDec amount)
{
	SettleDec	left = amount;

	for (int i = 0; i < n; i++)
	{
		SettleDec	take = left;

		if (i < n - 1 && legs[i].kind == LEG_REMAINING)
			settle_json_refuse(&in, "\"remaining\" is not the last leg of a sequence", "What comes after it could never get anything.");
		if (legs[i].kind != LEG_REMAINING)
		{
			SettleDec	cap = cut(split, (SettleRatio) {legs[i].number, settle_dec_int(1)});

			if (settle_dec_sign(cap) < 0)
				cap = settle_dec_int(0);
			if (settle_dec_cmp(cap, left) < 0)
				take = cap;
		}
		legs[i].amount = take;
		left = settle_dec_sub(left, take);
	}
	if (settle_dec_sign(left) != 0)
		settle_json_refuse(&in, psprintf("%s of %s are above all caps of a sequence", settle_dec_out(left), settle_dec_out(amount)),
			   "Let its last leg be \"remaining\".");
}

/*
 * Adds an amount to a party.
 */
static void
give(Split *split, JsonbValue *name, SettleDec amount)
{
	int			length;

	if (!name || name->type != jbvString || name->val.string.len == 0)
		settle_json_refuse(&in, "a party is not a text", "Write [\"to\", \"hq\"].");
	length = name->val.string.len;
	for (int i = 0; i < split->nparties; i++)
	{
		PartyAmount *known = &split->parties[i];

		if (strlen(known->party) == length && memcmp(known->party, name->val.string.val, length) == 0)
		{
			known->amount = settle_dec_add(known->amount, amount);
			return;
		}
	}
	split->parties = settle_grow(split->parties, split->nparties, &split->room, sizeof(PartyAmount));
	split->parties[split->nparties++] = (PartyAmount) {pnstrdup(name->val.string.val, length), amount};
}

/*
 * Splits an amount that is not negative along one node.
 */
static void
split_node(Split *split, JsonbContainer *node, SettleDec amount)
{
	JsonbValue *word;
	JsonbValue *rest;
	Leg		   *legs;
	int			n;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (!pair_of(node, &word, &rest))
		settle_json_refuse(&in, "a node is not a pair of a word and what it governs",
						   "Use [\"to\", party], [\"split\", legs] or [\"seq\", legs].");
	if (settle_json_is_word(word, "to"))
	{
		give(split, rest, amount);
		return;
	}
	if (settle_json_is_word(word, "split"))
	{
		legs = read_legs(split, rest, true, &n);
		split_at_once(split, legs, n, amount);
	}
	else if (settle_json_is_word(word, "seq"))
	{
		legs = read_legs(split, rest, false, &n);
		split_in_sequence(split, legs, n, amount);
	}
	else
		settle_json_refuse(&in, "a node begins with an unknown word",
						   "Use [\"to\", party], [\"split\", legs] or [\"seq\", legs].");
	for (int i = 0; i < n; i++)
		split_node(split, legs[i].node, legs[i].amount);
}

PG_FUNCTION_INFO_V1(settle_allocate_nested);

/*
 * settle.allocate(spec jsonb, amount numeric, step numeric) returns table (party text, part numeric)
 */
Datum
settle_allocate_nested(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	JsonbContainer *root = &PG_GETARG_JSONB_P(0)->root;
	SettleDec	amount = settle_dec_from_datum(PG_GETARG_DATUM(1));
	Split		split = {.step = settle_dec_from_datum(PG_GETARG_DATUM(2))};
	bool		negative = settle_dec_sign(amount) < 0;

	if (settle_dec_sign(split.step) <= 0)
		settle_json_refuse(&in, psprintf("step %s is not positive", settle_dec_out(split.step)), NULL);
	if (settle_dec_cmp(cut(&split, (SettleRatio) {amount, settle_dec_int(1)}), amount) != 0)
		settle_json_refuse(&in, psprintf("amount %s is not a multiple of %s", settle_dec_out(amount), settle_dec_out(split.step)),
			   "Round the amount first; a division neither makes nor loses money.");
	split_node(&split, JsonContainerIsArray(root) && !JsonContainerIsScalar(root) ? root : NULL,
			   negative ? settle_dec_neg(amount) : amount);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < split.nparties; i++)
	{
		SettleDec	part = split.parties[i].amount;
		Datum		values[2];
		bool		nulls[2] = {false, false};

		if (settle_dec_sign(part) == 0)
			continue;
		part = settle_dec_widen_scale(part, split.step.wide ? 0 : split.step.scale);
		values[0] = CStringGetTextDatum(split.parties[i].party);
		values[1] = NumericGetDatum(settle_dec_to_numeric(negative ? settle_dec_neg(part) : part));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
