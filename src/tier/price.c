/*
 * price.c
 *		What a quantity costs on a price scale.
 *
 * Decoding a scale turns every tier into a straight line: the fee of a quantity
 * q in tier i is (a + b q) / d, with everything below the tier already in a.  So
 * pricing is finding the tier, one multiplication and one addition.  d is 1
 * but for interpolated tiers and for conversions that do not divide evenly.
 * Packages and blocks count whole pieces instead.
 *
 * What a maintainer must know: where units are divided and not rounded, the
 * pricer leaves quantities alone and multiplies bounds, sizes and allowances by
 * the divisor ("scaled units"), so that nothing is rounded on the way.
 */
#include "tier/scale.h"

#include "amount/decimal.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* A tier ready for pricing.  lower, upper and size are in units; "limit" is upper in scaled units. */
typedef struct PriceStep
{
	SettleDec	lower;
	SettleDec	upper;
	SettleDec	limit;
	bool		open;
	bool		inclusive;		/* limit belongs to this step */
	SettleDec	rate;			/* as a fraction, or a price of one piece */
	SettleDec	flat;
	SettleDec	size;			/* of a package or block, in scaled units */
	SettleDec	below;			/* blocks_all: fees of the tiers before */
	SettleDec	a;
	SettleDec	b;
	SettleDec	d;
} PriceStep;

struct SettlePricer
{
	SettleTierMode mode;
	bool		plain;			/* quantities are units and every d is 1 */
	bool		first_flat_at_zero;
	bool		has_floor;
	bool		has_cap;
	bool		has_free;
	bool		has_free_events;
	bool		rounds_units;
	bool		has_factor;
	SettleDec	floor;
	SettleDec	cap;
	SettleDec	free;			/* in scaled units */
	SettleDec	free_events;
	SettleDec	factor;			/* quantities are multiplied by it */
	SettleDec	divisor;		/* scaled units in a unit */
	SettleRounding unit_rounding;
	int			places;			/* that the scale is written with */
	int			ndimensions;
	int			nsteps;
	PriceStep  *steps;
	const SettleTier *tiers;	/* limits of capacities */
	/* Limits as integers of 10^-limit_scale, to be compared with <=; NULL where they do not fit. */
	int			limit_scale;
	int128	   *limits;
};

/*
 * Keeps the largest number of places.
 */
static void
note_places(SettlePricer *pricer, SettleDec number)
{
	pricer->places = Max(pricer->places, number.scale);
}

/*
 * Prepares the lines of a graduated, volume, interpolated or percentage scale.
 */
static void
prepare_lines(SettlePricer *pricer, const SettleScale *scale)
{
	SettleDec	divisor = pricer->divisor;
	SettleDec	below = settle_dec_int(0);
	SettleDec	lower = settle_dec_int(0);

	for (int i = 0; i < scale->ntiers; i++)
	{
		const SettleTier *tier = &scale->tiers[i];
		PriceStep  *step = &pricer->steps[i];

		CHECK_FOR_INTERRUPTS();
		step->lower = lower;
		step->upper = tier->bound;
		step->open = tier->bound_kind == SETTLE_OPEN;
		step->inclusive = tier->bound_kind == SETTLE_TO;
		step->limit = settle_dec_mul(tier->bound, divisor);
		step->rate = tier->rate;
		if (tier->percent)
			step->rate = settle_dec_trim(settle_dec_mul(tier->rate, (SettleDec) {.coef = 1, .scale = 2}));
		step->flat = tier->flat;
		step->b = step->rate;
		step->d = divisor;

		switch (scale->mode)
		{
			case SETTLE_VOLUME:
			case SETTLE_PERCENTAGE:
				step->a = settle_dec_mul(step->flat, divisor);
				break;
			case SETTLE_GRADUATED:
				below = settle_dec_add(below, step->flat);
				step->a = settle_dec_mul(settle_dec_sub(below, settle_dec_mul(lower, step->rate)), divisor);
				if (!step->open)
					below = settle_dec_add(below, settle_dec_mul(settle_dec_sub(tier->bound, lower), step->rate));
				break;
			case SETTLE_INTERPOLATED:
				{
					SettleDec	width = settle_dec_mul(settle_dec_sub(tier->bound, lower), divisor);

					step->d = width;
					step->a = settle_dec_sub(settle_dec_mul(below, width),
											 settle_dec_mul(settle_dec_mul(lower, divisor), tier->rate));
					below = settle_dec_add(below, tier->rate);
					step->rate = settle_ratio_dec((SettleRatio) {tier->rate, settle_dec_sub(tier->bound, lower)});
					break;
				}
			default:
				elog(ERROR, "mode %d has no lines", (int) scale->mode);
		}
		step->a = settle_dec_trim(step->a);
		lower = tier->bound;
	}
	/* beyond the last interpolated tier everything has been earned */
	if (scale->mode == SETTLE_INTERPOLATED)
		pricer->steps[pricer->nsteps++] = (PriceStep) {
			.lower = lower, .open = true, .a = below, .d = settle_dec_int(1)
		};
}

/*
 * Prepares packages and blocks.
 */
static void
prepare_pieces(SettlePricer *pricer, const SettleScale *scale)
{
	SettleDec	below = settle_dec_int(0);
	SettleDec	lower = settle_dec_int(0);

	for (int i = 0; i < scale->ntiers; i++)
	{
		const SettleTier *tier = &scale->tiers[i];
		PriceStep  *step = &pricer->steps[i];

		step->lower = lower;
		step->open = tier->bound_kind == SETTLE_OPEN;
		step->inclusive = true;
		step->rate = tier->rate;
		step->size = settle_dec_mul(tier->size, pricer->divisor);
		step->b = tier->rate;
		step->d = step->size;
		step->below = below;
		if (!step->open)
		{
			lower = settle_dec_add(lower, settle_dec_mul(tier->size, tier->count));
			below = settle_dec_add(below, settle_dec_mul(tier->rate, tier->count));
		}
		step->upper = lower;
		step->limit = settle_dec_mul(lower, pricer->divisor);
	}
}

/*
 * Prepares the integers that quantities are compared with, if all fit.
 */
static void
prepare_limits(SettlePricer *pricer)
{
	int			n = pricer->nsteps - 1;
	int128	   *limits = palloc(sizeof(int128) * Max(n, 1));

	pricer->limit_scale = 6;	/* room for the places of usual quantities */
	for (int i = 0; i < n; i++)
	{
		if (pricer->steps[i].limit.wide)
			return;
		pricer->limit_scale = Max(pricer->limit_scale, pricer->steps[i].limit.scale);
	}
	for (int i = 0; i < n; i++)
	{
		limits[i] = pricer->steps[i].limit.coef;
		if (!settle_scale_up(&limits[i], pricer->limit_scale - pricer->steps[i].limit.scale))
			return;
		if (!pricer->steps[i].inclusive)
			limits[i]--;
	}
	pricer->limits = limits;
}

/*
 * Prepares the conversion and the free allowance.
 */
static void
prepare_units(SettlePricer *pricer, const SettleScale *scale)
{
	SettleDec	one = settle_dec_int(1);

	pricer->divisor = one;
	pricer->rounds_units = scale->rounds_units;
	pricer->unit_rounding = (SettleRounding) {scale->unit_rounding, one};
	if (scale->conversion == SETTLE_MULTIPLY)
	{
		pricer->has_factor = true;
		pricer->factor = scale->factor;
	}
	else if (scale->conversion == SETTLE_DIVIDE)
	{
		SettleDec	inverse = settle_ratio_dec((SettleRatio) {one, scale->factor});

		if (settle_dec_cmp(settle_dec_mul(inverse, scale->factor), one) == 0)
		{
			pricer->has_factor = true;
			pricer->factor = inverse;
		}
		else
			pricer->divisor = scale->factor;
	}
	pricer->has_free = scale->has_free;
	pricer->has_free_events = scale->has_free_events;
	pricer->free_events = scale->free_events;
	/* rounded units are units, so nothing else is scaled then */
	pricer->free = scale->has_free && !scale->rounds_units ?
		settle_dec_mul(scale->free, pricer->divisor) : scale->free;
}

/*
 * Decodes a scale into the current memory context.
 */
SettlePricer *
settle_pricer(const SettleTiers *tiers)
{
	SettleScale *scale = settle_scale_decode(tiers);
	SettlePricer *pricer = palloc0(sizeof(SettlePricer));
	SettleDec	divisor;

	pricer->mode = scale->mode;
	pricer->first_flat_at_zero = scale->first_flat_at_zero;
	pricer->has_floor = scale->has_floor;
	pricer->floor = scale->floor;
	pricer->has_cap = scale->has_cap;
	pricer->cap = scale->cap;
	pricer->ndimensions = scale->ndimensions;
	pricer->tiers = scale->tiers;
	pricer->nsteps = scale->ntiers;
	pricer->steps = palloc0(sizeof(PriceStep) * (scale->ntiers + 1));
	prepare_units(pricer, scale);

	divisor = pricer->divisor;
	if (scale->rounds_units)
		pricer->divisor = settle_dec_int(1);
	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
		case SETTLE_INTERPOLATED:
		case SETTLE_PERCENTAGE:
			prepare_lines(pricer, scale);
			prepare_limits(pricer);
			break;
		case SETTLE_PACKAGE:
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			prepare_pieces(pricer, scale);
			prepare_limits(pricer);
			break;
		case SETTLE_CAPACITY:
			break;
	}
	pricer->divisor = divisor;
	pricer->plain = (scale->mode == SETTLE_GRADUATED || scale->mode == SETTLE_VOLUME) &&
		scale->conversion == SETTLE_NO_CONVERSION && !scale->has_free;

	note_places(pricer, scale->floor);
	note_places(pricer, scale->cap);
	for (int i = 0; i < scale->ntiers; i++)
	{
		note_places(pricer, scale->tiers[i].rate);
		note_places(pricer, scale->tiers[i].flat);
		note_places(pricer, scale->tiers[i].bound);
	}
	return pricer;
}

/*
 * Finds the step that a quantity, not negative and in scaled units, stands in.
 */
static const PriceStep *
find_step(const SettlePricer *pricer, SettleDec quantity)
{
	int			last = pricer->nsteps - 1;
	int			low = 0;

	if (likely(pricer->limits && !quantity.wide && quantity.scale <= pricer->limit_scale))
	{
		int128		position = quantity.coef;

		if (likely(settle_scale_up(&position, pricer->limit_scale - quantity.scale)))
		{
			/* scales are short: only the long ones are halved first */
			int			high = last;

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
static const SettleTier *
find_capacity(const SettlePricer *pricer, const SettleDec *quantities)
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
static SettleDec
to_units(const SettlePricer *pricer, SettleDec quantity)
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
		return (SettleRatio) {find_capacity(pricer, &units)->rate, one};
	}

	step = find_step(pricer, units);
	switch (pricer->mode)
	{
		case SETTLE_GRADUATED:
			if (settle_dec_sign(units) == 0)
				return (SettleRatio) {pricer->first_flat_at_zero ? step->flat : units, one};
			break;
		case SETTLE_PACKAGE:
		case SETTLE_BLOCKS_TOP:
			return (SettleRatio) {settle_dec_mul(started(units, step->size), step->rate), one};
		case SETTLE_BLOCKS_ALL:
			{
				SettleDec	here = settle_dec_sub(units, scaled_lower(pricer, step));

				return (SettleRatio) {
					settle_dec_add(step->below, settle_dec_mul(started(here, step->size), step->rate)), one
				};
			}
		default:
			break;
	}
	return (SettleRatio) {settle_dec_add(step->a, settle_dec_mul(step->b, units)), step->d};
}

/*
 * Applies floor and cap.
 */
static SettleRatio
clamp(const SettlePricer *pricer, SettleRatio fee)
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
	SettleDec	units = to_units(pricer, negative ? settle_dec_neg(quantity) : quantity);
	SettleRatio fee;

	if (event_is_free(pricer, units))
		return (SettleRatio) {settle_dec_int(0), settle_dec_int(1)};
	fee = clamp(pricer, price_units(pricer, less_free(pricer, units)));
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
	if (likely(pricer->plain))
	{
		int			sign = settle_dec_sign(quantity);
		const PriceStep *step;
		SettleDec	fee;

		if (sign < 0)
			quantity = settle_dec_neg(quantity);
		step = find_step(pricer, quantity);
		if (sign == 0 && pricer->mode == SETTLE_GRADUATED)
			fee = pricer->first_flat_at_zero ? step->flat : quantity;
		else
			fee = settle_dec_add(step->a, settle_dec_mul(step->b, quantity));
		if (pricer->has_floor && settle_dec_cmp(fee, pricer->floor) < 0)
			fee = pricer->floor;
		else if (pricer->has_cap && settle_dec_cmp(fee, pricer->cap) > 0)
			fee = pricer->cap;
		return sign < 0 ? settle_dec_neg(fee) : fee;
	}
	return settle_ratio_dec(settle_price_ratio(pricer, quantity));
}

/*
 * The price of one more unit where a quantity stands.
 */
SettleDec
settle_price_rate(const SettlePricer *pricer, SettleDec quantity)
{
	const PriceStep *step;

	if (pricer->mode == SETTLE_CAPACITY)
		return settle_dec_int(0);
	if (settle_dec_sign(quantity) < 0)
		quantity = settle_dec_neg(quantity);
	step = find_step(pricer, less_free(pricer, to_units(pricer, quantity)));
	if (pricer->plain)
		return step->b;
	return settle_ratio_dec((SettleRatio) {
		pricer->has_factor ? settle_dec_mul(step->b, pricer->factor) : step->b,
		pricer->rounds_units ? settle_dec_mul(step->d, pricer->divisor) : step->d
	});
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
	SettleDec	units = to_units(pricer, negative ? settle_dec_neg(quantity) : quantity);
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

		fill_step(pricer, &out[n++], (int) (find_capacity(pricer, &units) - pricer->tiers) + 1, zero, zero, fee.num);
		last = -1;
	}
	else
		last = (int) (find_step(pricer, units) - pricer->steps);

	for (int i = 0; i <= last; i++)
	{
		const PriceStep *step = &pricer->steps[i];
		bool		all_tiers = pricer->mode == SETTLE_GRADUATED || pricer->mode == SETTLE_BLOCKS_ALL ||
			pricer->mode == SETTLE_INTERPOLATED;
		SettleDec	from = all_tiers ? scaled_lower(pricer, step) : zero;
		SettleDec	part = settle_dec_sub(all_tiers && i < last ? step->limit : units, from);
		SettleDec	flat = step->flat;

		CHECK_FOR_INTERRUPTS();
		if (!all_tiers && i < last)
			continue;
		if (pricer->mode == SETTLE_GRADUATED && settle_dec_sign(units) == 0 && !pricer->first_flat_at_zero)
			flat = zero;
		if (pricer->mode == SETTLE_PACKAGE || pricer->mode == SETTLE_BLOCKS_ALL || pricer->mode == SETTLE_BLOCKS_TOP)
			part = started(part, step->size);
		else
			part = settle_ratio_dec((SettleRatio) {part, divisor});
		fill_step(pricer, &out[n++], i + 1, part, step->rate, flat);
	}

	for (int i = 0; i < n; i++)
		sum = settle_dec_add(sum, out[i].fee);
	exact = price_units(pricer, units);
	bounded = clamp(pricer, exact);
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

/* A pricer, and the bytes of the scale that it was made from. */
typedef struct CachedPricer
{
	MemoryContext context;		/* of everything below */
	SettlePricer *pricer;
	Size		size;
	char	   *bytes;
} CachedPricer;

/*
 * Returns the pricer of a call site.  It is known again by the content of the
 * scale: the same address may hold another value in the next row.
 */
const SettlePricer *
settle_pricer_cached(FmgrInfo *flinfo, const SettleTiers *tiers)
{
	CachedPricer *cached = flinfo->fn_extra;
	Size		size = VARSIZE_ANY_EXHDR(tiers);
	MemoryContext caller;

	if (likely(cached && cached->pricer && cached->size == size &&
			   memcmp(cached->bytes, VARDATA_ANY(tiers), size) == 0))
		return cached->pricer;

	if (!cached)
	{
		cached = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(CachedPricer));
		cached->context = AllocSetContextCreate(flinfo->fn_mcxt, "settle pricer", ALLOCSET_SMALL_SIZES);
		flinfo->fn_extra = cached;
	}
	cached->pricer = NULL;
	MemoryContextReset(cached->context);
	caller = MemoryContextSwitchTo(cached->context);
	cached->bytes = palloc(size);
	memcpy(cached->bytes, VARDATA_ANY(tiers), size);
	cached->size = size;
	cached->pricer = settle_pricer(tiers);
	MemoryContextSwitchTo(caller);
	return cached->pricer;
}
