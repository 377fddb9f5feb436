/*
 * pricer.h
 *		A price scale ready for pricing.
 *
 * Every tier is a straight line: the fee of q units in tier i is (a + b q) / d,
 * with everything below the tier already in a.  So pricing is finding the tier,
 * one multiplication and one addition.  d is 1 but for interpolated tiers and
 * for conversions that do not divide evenly.  Packages and blocks count whole
 * pieces instead.
 *
 * What a maintainer must know: where units are divided and not rounded, the
 * pricer leaves quantities alone and multiplies bounds, sizes and allowances by
 * the divisor ("scaled units"), so that nothing is rounded on the way.
 */
#ifndef SETTLE_PRICER_H
#define SETTLE_PRICER_H

#include "tier/scale.h"

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
	bool		small;			/* a and b fit 64 bits */
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

/* The step that a quantity, not negative and in scaled units, stands in. */
extern const PriceStep *settle_find_step(const SettlePricer *pricer, SettleDec quantity);

/* The first capacity whose limits all hold. */
extern const SettleTier *settle_find_capacity(const SettlePricer *pricer, const SettleDec *quantities);

/* Converts a quantity, not negative, to scaled units. */
extern SettleDec settle_to_units(const SettlePricer *pricer, SettleDec quantity);

/* Applies floor and cap. */
extern SettleRatio settle_clamp(const SettlePricer *pricer, SettleRatio fee);

#endif							/* SETTLE_PRICER_H */
