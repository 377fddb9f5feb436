/*
 * price.c
 *		What a quantity costs on a price scale.
 */
#include "tier/pricer.h"

#include "amount/decimal.h"
#include "miscadmin.h"

/*
 * Finds the step by the integer limits.
 */
static inline const PriceStep *
find_by_limit(const SettlePricer *pricer, int128 position)
{
	int			low = 0;
	int			high = pricer->nsteps - 1;

	/* scales are short: only the long ones are halved first */
	while (high - low > 8)
	{
		int			middle = (low + high) / 2;

		if (position <= pricer->limits[middle])
			high = middle;
		else
			low = middle + 1;
	}
	while (low < high && position > pricer->limits[low])
		low++;
	return &pricer->steps[low];
}

/*
 * Prices a quantity above zero where everything fits 64 bits, so that no step
 * of the way can overflow; false where it does not.
 */
static inline bool
price_small(const SettlePricer *pricer, int128 coef, int scale, int128 *fee, int *fee_scale)
{
	int			shift = pricer->limit_scale - scale;
	int64		units = (int64) coef;
	const PriceStep *step;

	if (!pricer->limits || shift < 0 || shift > 18 || !settle_fits_int64(coef))
		return false;
	step = find_by_limit(pricer, (int128) units * settle_small_power[shift]);
	*fee_scale = scale + step->b.scale;
	shift = *fee_scale - step->a.scale;
	if (!step->small || shift < 0 || shift > 18 || *fee_scale > SETTLE_DEC_MAX_SCALE)
		return false;
	*fee = (int128) units * (int64) step->b.coef + (int128) (int64) step->a.coef * settle_small_power[shift];
	return true;
}

/*
 * Finds the step that a quantity, not negative and in scaled units, stands in.
 */
const PriceStep *
settle_find_step(const SettlePricer *pricer, SettleDec quantity)
{
	int			last = pricer->nsteps - 1;
	int			low = 0;

	if (likely(pricer->limits && !quantity.wide && quantity.scale <= pricer->limit_scale))
	{
		int128		position = quantity.coef;

		if (likely(settle_scale_up(&position, pricer->limit_scale - quantity.scale)))
			return find_by_limit(pricer, position);
	}
	for (; low < last; low++)
	{
		int			order = settle_dec_cmp(quantity, pricer->steps[low].limit);

		if (order < 0 || (order == 0 && pricer->steps[low].inclusive))
			break;
	}
	return &pricer->steps[low];
}

/*
 * Counts the started pieces of a size.
 */
static SettleDec
started(SettleDec quantity, SettleDec size)
{
	SettleRounding up = {SETTLE_UP, settle_dec_int(1)};

	return settle_ratio_round((SettleRatio) {quantity, size}, &up);
}

/*
 * The lower bound of a step in scaled units.
 */
static SettleDec
scaled_lower(const SettlePricer *pricer, const PriceStep *step)
{
	return step == pricer->steps ? settle_dec_int(0) : step[-1].limit;
}

/*
 * The price of the first capacity whose limits all hold.
 */
const SettleTier *
settle_find_capacity(const SettlePricer *pricer, const SettleDec *quantities)
{
	const SettleTier *tier = pricer->tiers;

	for (;; tier++)
	{
		int			d;

		for (d = 0; d < pricer->ndimensions; d++)
			if (!tier->limits[d].any && settle_dec_cmp(quantities[d], tier->limits[d].most) > 0)
				break;
		if (d == pricer->ndimensions)
			return tier;
	}
}

/*
 * True where a percentage charges nothing at all for a quantity, the first event.
 */
static bool
event_is_free(const SettlePricer *pricer, SettleDec quantity)
{
	if (pricer->mode != SETTLE_PERCENTAGE || (!pricer->has_free && !pricer->has_free_events))
		return false;
	return !pricer->has_free || settle_dec_cmp(quantity, pricer->free) <= 0;
}

/*
 * Converts a quantity, not negative, to scaled units.
 */
SettleDec
settle_to_units(const SettlePricer *pricer, SettleDec quantity)
{
	if (pricer->has_factor)
		quantity = settle_dec_mul(quantity, pricer->factor);
	if (pricer->rounds_units)
		quantity = settle_ratio_round((SettleRatio) {quantity, pricer->divisor}, &pricer->unit_rounding);
	return quantity;
}

/*
 * Takes the free allowance off.
 */
static SettleDec
less_free(const SettlePricer *pricer, SettleDec units)
{
	if (!pricer->has_free)
		return units;
	if (settle_dec_cmp(units, pricer->free) <= 0)
		return settle_dec_int(0);
	return settle_dec_sub(units, pricer->free);
}

SettleDec
settle_price_free(const SettlePricer *pricer, SettleDec quantity)
{
	bool		negative = settle_dec_sign(quantity) < 0;
	SettleDec	units = settle_to_units(pricer, negative ? settle_dec_neg(quantity) : quantity);
	SettleDec	divisor = pricer->rounds_units ? settle_dec_int(1) : pricer->divisor;
	SettleDec	free = settle_ratio_dec((SettleRatio) {settle_dec_sub(units, less_free(pricer, units)), divisor});

	return negative ? settle_dec_neg(free) : free;
}

/*
 * Prices scaled units that are not free, before floor and cap.
 */
static SettleRatio
price_units(const SettlePricer *pricer, SettleDec units)
{
	SettleDec	one = settle_dec_int(1);
	const PriceStep *step;

	if (pricer->mode == SETTLE_CAPACITY)
	{
		if (pricer->ndimensions != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("tiers have %d dimensions and one quantity is given", pricer->ndimensions),
					 errhint("Give a quantity for each of them.")));
		return (SettleRatio) {settle_find_capacity(pricer, &units)->rate, one};
	}

	step = settle_find_step(pricer, units);
	switch (pricer->mode)
	{
		case SETTLE_GRADUATED:
			if (settle_dec_sign(units) == 0)
				return (SettleRatio) {pricer->first_flat_at_zero ? step->flat : units, one};
			break;
		case SETTLE_PACKAGE:
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			{
				bool		all_tiers = pricer->mode == SETTLE_BLOCKS_ALL;
				SettleDec	here = all_tiers ? settle_dec_sub(units, scaled_lower(pricer, step)) : units;
				SettleDec	fee = settle_dec_mul(started(here, step->size), step->rate);

				if (settle_dec_sign(units) != 0)
					fee = settle_dec_add(fee, step->flat);
				return (SettleRatio) {all_tiers ? settle_dec_add(step->below, fee) : fee, one};
			}
		default:
			break;
	}
	return (SettleRatio) {settle_dec_add(step->a, settle_dec_mul(step->b, units)), step->d};
}

/*
 * Applies floor and cap.
 */
SettleRatio
settle_clamp(const SettlePricer *pricer, SettleRatio fee)
{
	if (pricer->has_floor && settle_dec_cmp(fee.num, settle_dec_mul(pricer->floor, fee.den)) < 0)
		return (SettleRatio) {pricer->floor, settle_dec_int(1)};
	if (pricer->has_cap && settle_dec_cmp(fee.num, settle_dec_mul(pricer->cap, fee.den)) > 0)
		return (SettleRatio) {pricer->cap, settle_dec_int(1)};
	return fee;
}

/*
 * Prices a total exactly.
 */
SettleRatio
settle_price_ratio(const SettlePricer *pricer, SettleDec quantity)
{
	bool		negative = settle_dec_sign(quantity) < 0;
	SettleDec	units = settle_to_units(pricer, negative ? settle_dec_neg(quantity) : quantity);
	SettleRatio fee;

	if (event_is_free(pricer, units))
		return (SettleRatio) {settle_dec_int(0), settle_dec_int(1)};
	fee = settle_clamp(pricer, price_units(pricer, less_free(pricer, units)));
	if (negative)
		fee.num = settle_dec_neg(fee.num);
	return fee;
}

/*
 * Prices a total.
 */
SettleDec
settle_price(const SettlePricer *pricer, SettleDec quantity)
{
	bool		negative = quantity.coef < 0;
	int128		fee;
	int			scale;

	/* a quantity of zero is the business of the general path */
	if (likely(pricer->plain && !quantity.wide && quantity.coef != 0) &&
		likely(price_small(pricer, negative ? -quantity.coef : quantity.coef, quantity.scale, &fee, &scale)))
	{
		if (unlikely(pricer->has_floor || pricer->has_cap))
		{
			SettleDec	bounded = {.coef = fee, .scale = scale};

			if (pricer->has_floor && settle_dec_cmp(bounded, pricer->floor) < 0)
				bounded = pricer->floor;
			else if (pricer->has_cap && settle_dec_cmp(bounded, pricer->cap) > 0)
				bounded = pricer->cap;
			return negative ? settle_dec_neg(bounded) : bounded;
		}
		/* put together once, where it goes: to copy it here would take longer than to price */
		return (SettleDec) {.coef = negative ? -fee : fee, .scale = scale, .wide = NULL};
	}
	return settle_ratio_dec(settle_price_ratio(pricer, quantity));
}

bool
settle_price_short(const SettlePricer *pricer, int64 quantity, int scale, int64 *fee, int *fee_scale)
{
	int128		exact;

	if (!pricer->plain || pricer->has_floor || pricer->has_cap || quantity <= 0 ||
		!price_small(pricer, quantity, scale, &exact, fee_scale))
		return false;
	*fee = (int64) exact;
	return settle_fits_int64(exact);
}

/*
 * The price of one more unit in a tier.
 */
static SettleDec
rate_of_step(const SettlePricer *pricer, const PriceStep *step)
{
	if (pricer->plain)
		return step->b;
	return settle_ratio_dec((SettleRatio) {
		pricer->has_factor ? settle_dec_mul(step->b, pricer->factor) : step->b,
		pricer->rounds_units ? settle_dec_mul(step->d, pricer->divisor) : step->d
	});
}

/*
 * The price of one more unit where a quantity stands.
 */
SettleDec
settle_price_rate(const SettlePricer *pricer, SettleDec quantity)
{
	if (pricer->mode == SETTLE_CAPACITY)
		return settle_dec_int(0);
	if (settle_dec_sign(quantity) < 0)
		quantity = settle_dec_neg(quantity);
	return rate_of_step(pricer, settle_find_step(pricer, less_free(pricer, settle_to_units(pricer, quantity))));
}

/*
 * The quantity that has so many scaled units above what is free.
 */
static SettleDec
quantity_at(const SettlePricer *pricer, SettleDec units)
{
	if (pricer->has_free)
		units = settle_dec_add(units, pricer->free);
	return pricer->has_factor ? settle_ratio_dec((SettleRatio) {units, pricer->factor}) : units;
}

/*
 * Says where the tier of a quantity begins and what the next one needs.  The
 * fee there is by the next tier's own line, which for a bound that still
 * belongs to the tier before is the fee of the least that goes beyond it.
 */
bool
settle_price_next(const SettlePricer *pricer, SettleDec quantity, SettleNextTier *next)
{
	SettleDec	zero = settle_dec_int(0);
	SettleDec	units;
	const PriceStep *step;

	/* a bound between rounded units is no quantity; pieces and events have no next tier */
	if (pricer->rounds_units ||
		(pricer->mode != SETTLE_GRADUATED && pricer->mode != SETTLE_VOLUME && pricer->mode != SETTLE_INTERPOLATED))
		return false;
	units = settle_dec_sign(quantity) < 0 ? zero : less_free(pricer, settle_to_units(pricer, quantity));
	step = settle_find_step(pricer, units);
	next->from = step == pricer->steps ? zero : quantity_at(pricer, scaled_lower(pricer, step));
	next->is_last = step->open || step == &pricer->steps[pricer->nsteps - 1];
	if (next->is_last)
		return true;
	next->at = quantity_at(pricer, step->limit);
	units = step->limit;
	step++;
	next->rate = rate_of_step(pricer, step);
	next->fee = settle_clamp(pricer, (SettleRatio) {settle_dec_add(step->a, settle_dec_mul(step->b, units)), step->d});
	return true;
}

/*
 * True where the fee is the quantity times one rate.
 */
bool
settle_pricer_is_rate(const SettlePricer *pricer, SettleDec *rate)
{
	if (!pricer->plain || pricer->nsteps != 1 || pricer->has_floor || pricer->has_cap ||
		settle_dec_sign(pricer->steps[0].flat) != 0)
		return false;
	*rate = pricer->steps[0].rate;
	return true;
}

bool
settle_pricer_is_volume(const SettlePricer *pricer)
{
	if (pricer->mode != SETTLE_VOLUME || !pricer->plain || pricer->has_floor || pricer->has_cap)
		return false;
	for (int i = 0; i < pricer->nsteps; i++)
		if (settle_dec_sign(pricer->steps[i].flat) != 0)
			return false;
	return true;
}

/*
 * The mode of the scale.
 */
SettleTierMode
settle_pricer_mode(const SettlePricer *pricer)
{
	return pricer->mode;
}

/*
 * Trims a fee for display.
 */
SettleDec
settle_price_tidy(const SettlePricer *pricer, SettleDec fee)
{
	return settle_dec_widen_scale(settle_dec_trim(fee), pricer->places);
}

/*
 * Fills in one step: quantity x rate + flat.
 */
static void
fill_step(const SettlePricer *pricer, SettleFeeStep *out, int number, SettleDec quantity, SettleDec rate, SettleDec flat)
{
	out->step = number;
	if (number > 0 && pricer->mode != SETTLE_CAPACITY)
	{
		const PriceStep *step = &pricer->steps[number - 1];

		out->lower = step->lower;
		out->upper = step->upper;
		out->open = step->open;
	}
	else
		out->open = true;
	out->quantity = quantity;
	out->rate = rate;
	out->flat = flat;
	out->fee = settle_dec_add(settle_dec_mul(quantity, rate), flat);
}

/*
 * Negates a step.
 */
static void
mirror_step(SettleFeeStep *step)
{
	step->quantity = settle_dec_neg(step->quantity);
	step->flat = settle_dec_neg(step->flat);
	step->fee = settle_dec_neg(step->fee);
}

/*
 * Shows how a fee comes about; the fees of the steps sum up to it.
 */
int
settle_price_steps(const SettlePricer *pricer, SettleDec quantity, SettleFeeStep **steps)
{
	SettleDec	zero = settle_dec_int(0);
	bool		negative = settle_dec_sign(quantity) < 0;
	SettleDec	units = settle_to_units(pricer, negative ? settle_dec_neg(quantity) : quantity);
	SettleDec	divisor = pricer->rounds_units ? settle_dec_int(1) : pricer->divisor;
	SettleFeeStep *out = palloc0(mul_size(sizeof(SettleFeeStep), pricer->nsteps + 2));
	SettleDec	sum = zero;
	SettleDec	change;
	SettleRatio exact;
	SettleRatio bounded;
	int			last;
	int			n = 0;

	*steps = out;
	if (event_is_free(pricer, units))
		return 0;
	units = less_free(pricer, units);

	if (pricer->mode == SETTLE_CAPACITY)
	{
		SettleRatio fee = price_units(pricer, units);

		fill_step(pricer, &out[n++], (int) (settle_find_capacity(pricer, &units) - pricer->tiers) + 1, zero, zero, fee.num);
		last = -1;
	}
	else
		last = (int) (settle_find_step(pricer, units) - pricer->steps);

	for (int i = 0; i <= last; i++)
	{
		const PriceStep *step = &pricer->steps[i];
		bool		all_tiers = pricer->mode == SETTLE_GRADUATED || pricer->mode == SETTLE_BLOCKS_ALL ||
			pricer->mode == SETTLE_INTERPOLATED;
		SettleDec	from = all_tiers ? scaled_lower(pricer, step) : zero;
		SettleDec	scaled = settle_dec_sub(all_tiers && i < last ? step->limit : units, from);
		SettleDec	part;
		SettleDec	flat = step->flat;
		bool		pieces = pricer->mode == SETTLE_PACKAGE || pricer->mode == SETTLE_BLOCKS_ALL ||
			pricer->mode == SETTLE_BLOCKS_TOP;

		CHECK_FOR_INTERRUPTS();
		if (!all_tiers && i < last)
			continue;
		if (settle_dec_sign(units) == 0 &&
			(pieces || (pricer->mode == SETTLE_GRADUATED && !pricer->first_flat_at_zero)))
			flat = zero;
		if (pieces)
			part = started(scaled, step->size);
		else
			part = settle_ratio_dec((SettleRatio) {scaled, divisor});
		fill_step(pricer, &out[n], i + 1, part, step->rate, flat);
		if (pricer->mode == SETTLE_INTERPOLATED)	/* a full tier is worth its amount, whatever its rate is rounded to */
			out[n].fee = settle_ratio_dec((SettleRatio) {settle_dec_mul(step->b, scaled), step->d});
		n++;
	}

	for (int i = 0; i < n; i++)
		sum = settle_dec_add(sum, out[i].fee);
	exact = price_units(pricer, units);
	bounded = settle_clamp(pricer, exact);
	change = settle_dec_sub(settle_ratio_dec(bounded), sum);
	if (settle_dec_cmp(exact.num, bounded.num) != 0)
		fill_step(pricer, &out[n++], 0, zero, zero, change);
	else						/* the last place of rates that do not end */
		out[n - 1].fee = settle_dec_add(out[n - 1].fee, change);
	if (negative)
		for (int i = 0; i < n; i++)
			mirror_step(&out[i]);
	return n;
}
