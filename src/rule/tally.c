/*
 * tally.c
 *		What a tally owes.
 *
 * What a tally owes is a function of what is in it, never of how it came
 * there.  Its state is, for each version v of its rule in order of "from", the
 * number of tickets n_v, their quantity X_v (the base, or the measure of a rule
 * whose tiers something else moves along) and their weighted base W_v, the sum
 * of factor times base.  Then
 *
 *		C = sum over v of (F_v(X_1 + .. + X_v) - F_v(X_1 + .. + X_v-1)) W_v / X_v
 *
 * and nothing where nothing is in v; where X_v is 0 but something is, the price
 * of the tier reached times W_v.  C is kept as an exact quotient and rounded once.
 * Before the first ticket F is 0, whatever the scale charges for a quantity of
 * nothing: a floor or a flat at zero is owed from the first ticket on.
 */
#include "rule/engine.h"

/*
 * F of the total that stands before a part; nothing where no ticket does.
 */
static SettleDec
price_before(const SettlePricer *pricer, SettleDec total, bool empty)
{
	return empty ? settle_dec_int(0) : settle_price(pricer, total);
}

/*
 * Tells whether a part is as if nothing had ever come.  By posting time a
 * correction may come alone, so the number of tickets does not tell it.
 */
static bool
is_empty(const SettleTallyPart *part)
{
	return part->count == 0 && settle_dec_sign(part->quantity) == 0 && settle_dec_sign(part->weighted) == 0;
}

/*
 * Gives what one part contributes to C, starting at a total of "before".
 */
static SettleRatio
part_fee(const SettleTallyPart *part, SettleDec before, bool empty)
{
	SettleDec	step;

	if (is_empty(part))
		return (SettleRatio) {settle_dec_int(0), settle_dec_int(1)};
	if (settle_dec_sign(part->quantity) == 0)
		return (SettleRatio) {settle_dec_mul(settle_price_rate(part->pricer, before), part->weighted), settle_dec_int(1)};

	step = settle_dec_sub(settle_price(part->pricer, settle_dec_add(before, part->quantity)),
						  price_before(part->pricer, before, empty));
	if (settle_dec_cmp(part->weighted, part->quantity) == 0)
		return (SettleRatio) {step, settle_dec_int(1)};
	if (settle_dec_sign(part->quantity) < 0)
		return (SettleRatio) {settle_dec_neg(settle_dec_mul(step, part->weighted)), settle_dec_neg(part->quantity)};
	return (SettleRatio) {settle_dec_mul(step, part->weighted), part->quantity};
}

SettleRatio
settle_tally_fee(const SettleTallyPart *parts, int nparts)
{
	SettleRatio fee = {settle_dec_int(0), settle_dec_int(1)};
	SettleDec	before = settle_dec_int(0);
	bool		any = false;

	for (int v = 0; v < nparts; v++)
	{
		if (is_empty(&parts[v]))
			continue;
		fee = any ? settle_ratio_add(fee, part_fee(&parts[v], before, false)) : part_fee(&parts[v], before, true);
		any = true;
		before = settle_dec_add(before, parts[v].quantity);
	}
	return fee;
}

SettleDec
settle_tally_arrive(SettleTallyPart *parts, int nparts, int version,
					SettleDec quantity, SettleDec base, SettleDec factor, int count, const SettleRounding *rounding)
{
	SettleRatio before = settle_tally_fee(parts, nparts);
	const SettlePricer *pricer = parts[version].pricer;
	SettleDec	total = settle_dec_int(0);
	SettleDec	after;
	SettleDec	marginal;
	bool		empty = true;

	for (int v = 0; v <= version; v++)
	{
		total = settle_dec_add(total, parts[v].quantity);
		empty &= is_empty(&parts[v]);
	}
	after = settle_dec_add(total, quantity);
	if (settle_dec_cmp(quantity, base) == 0)
		marginal = settle_dec_mul(settle_dec_sub(settle_price(pricer, after), price_before(pricer, total, empty)), factor);
	else
		marginal = settle_dec_mul(settle_dec_mul(settle_price_rate(pricer, after), base), factor);

	parts[version].count += count;
	parts[version].quantity = settle_dec_add(parts[version].quantity, quantity);
	parts[version].weighted = settle_dec_add(parts[version].weighted, settle_dec_mul(base, factor));

	return settle_dec_sub(settle_ratio_round(settle_ratio_add(before, (SettleRatio) {marginal, settle_dec_int(1)}), rounding),
						  settle_ratio_round(before, rounding));
}
