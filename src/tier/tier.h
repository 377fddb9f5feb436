/*
 * tier.h
 *		Price scales: the type settle.tiers and what a quantity costs on it.
 *
 * SettleTiers is the stored value.  A pricer is the same scale decoded once,
 * with the fees below each step summed up, for pricing many quantities.
 */
#ifndef SETTLE_TIER_H
#define SETTLE_TIER_H

#include "amount/amount.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct SettleTiers SettleTiers; /* a varlena; see tier.c */
typedef struct SettlePricer SettlePricer;

extern SettleTiers *settle_tiers_in_text(const char *text);
extern char *settle_tiers_out_text(const SettleTiers *tiers);

/* Decodes a scale into the current memory context.  The value is validated again: it may come from disk. */
extern SettlePricer *settle_pricer(const SettleTiers *tiers);

/*
 * F(quantity): the exact fee of a total.  F(-q) = -F(q) for every q but 0.
 * F(0) need not be 0: a minimum, the flat of a volume tier or
 * first_flat_at_zero make it due; "nothing there" is for the caller to know.
 */
extern SettleRatio settle_price_ratio(const SettlePricer *pricer, SettleDec quantity);

/*
 * The same as a decimal, exact too but where the division of an interpolated
 * tier or an unrounded conversion does not end: see settle_ratio_dec.
 */
extern SettleDec settle_price(const SettlePricer *pricer, SettleDec quantity);

/* The same in numbers of 64 bits, the fee as *fee / 10^*fee_scale; false where that is not how it is priced. */
extern bool settle_price_short(const SettlePricer *pricer, int64 quantity, int scale, int64 *fee, int *fee_scale);

/* The price of one more unit in the tier that quantity stands in, flats and packaging left out. */
extern SettleDec settle_price_rate(const SettlePricer *pricer, SettleDec quantity);

/* Where the tier of a quantity begins, and the next one. */
typedef struct SettleNextTier
{
	SettleDec	from;
	bool		is_last;		/* what follows is not set */
	SettleDec	at;				/* quantity at which the next one begins */
	SettleDec	rate;			/* price of one more unit there */
	SettleRatio fee;			/* of "at", as the next one has it */
} SettleNextTier;

/* False where a next tier has no meaning: of packages, blocks, capacities and events, and where units are rounded. */
extern bool settle_price_next(const SettlePricer *pricer, SettleDec quantity, SettleNextTier *next);

/* True where F is q * rate for every q: one open tier without flat, floor or cap. */
/* True where one rate, that of the tier which a quantity reaches, prices the whole. */
extern bool settle_pricer_is_volume(const SettlePricer *pricer);

extern bool settle_pricer_is_rate(const SettlePricer *pricer, SettleDec *rate);

/* What of a quantity, in units, is free; zero where the scale has no allowance. */
extern SettleDec settle_price_free(const SettlePricer *pricer, SettleDec quantity);

/* One step of a fee, as settle.fee_steps shows it. */
typedef struct SettleFeeStep
{
	int			step;			/* from 1; 0 for what the floor or cap adds or takes */
	SettleDec	lower;
	SettleDec	upper;			/* not set where open */
	bool		open;
	SettleDec	quantity;		/* units, packages or blocks priced in this step */
	SettleDec	rate;			/* fraction or price of one of them */
	SettleDec	flat;			/* charged on entry, 0 where none */
	SettleDec	fee;			/* quantity x rate + flat */
} SettleFeeStep;

/* A bound of a scale beyond which more costs less. */
typedef struct SettleCliff
{
	SettleDec	bound;			/* in units */
	SettleDec	before;			/* the fee just before it */
	SettleDec	after;			/* and just after */
} SettleCliff;

/* Finds the cliffs of a scale; with by_rate those of the rate that a quantity reaches, not of the fee. */
extern int	settle_tiers_cliffs(const SettleTiers *tiers, bool by_rate, SettleCliff **cliffs);

extern int	settle_price_steps(const SettlePricer *pricer, SettleDec quantity, SettleFeeStep **steps);

#endif							/* SETTLE_TIER_H */
