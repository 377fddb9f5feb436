/*
 * pricer.c
 *		Decodes a price scale for pricing, once for each call site.
 */
#include "tier/pricer.h"

#include "amount/decimal.h"
#include "miscadmin.h"
#include "utils/memutils.h"

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
		step->small = !step->a.wide && !step->b.wide &&
			settle_fits_int64(step->a.coef) && settle_fits_int64(step->b.coef);
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

		CHECK_FOR_INTERRUPTS();
		step->lower = lower;
		step->open = tier->bound_kind == SETTLE_OPEN;
		step->inclusive = true;
		step->rate = tier->rate;
		step->flat = tier->flat;
		step->size = settle_dec_mul(tier->size, pricer->divisor);
		step->b = tier->rate;
		step->d = step->size;
		step->below = below;
		if (!step->open)
		{
			lower = settle_dec_add(lower, settle_dec_mul(tier->size, tier->count));
			below = settle_dec_add(below, settle_dec_mul(tier->rate, tier->count));
			below = settle_dec_add(below, tier->flat);
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
