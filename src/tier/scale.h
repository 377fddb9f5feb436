/*
 * scale.h
 *		A price scale taken apart, and its four forms.
 *
 * Private to the room.  Text, jsonb and stored bytes are all read into a
 * SettleScale and judged by the one settle_scale_check(), so that no form lets
 * in what another refuses; all are written from it.
 */
#ifndef SETTLE_SCALE_H
#define SETTLE_SCALE_H

#include "tier/tier.h"

#define SETTLE_MAX_TIERS		1000
#define SETTLE_MAX_DIMENSIONS	16

/* Also the byte in the stored form: append only. */
typedef enum SettleTierMode
{
	SETTLE_GRADUATED,			/* each part of the quantity at the price of its tier */
	SETTLE_VOLUME,				/* the whole quantity at the price of the tier it reaches */
	SETTLE_PACKAGE,				/* started packages */
	SETTLE_BLOCKS_ALL,			/* started blocks, tier after tier */
	SETTLE_BLOCKS_TOP,			/* started blocks, all of the tier reached */
	SETTLE_INTERPOLATED,		/* an amount a tier, earned as the tier fills */
	SETTLE_CAPACITY,			/* the price of the first tier whose limits all hold */
	SETTLE_PERCENTAGE			/* a rate and a fixed amount an event */
} SettleTierMode;
#define SETTLE_LAST_MODE SETTLE_PERCENTAGE

typedef enum SettleBound
{
	SETTLE_OPEN,
	SETTLE_TO,					/* the bound belongs to the tier */
	SETTLE_BELOW				/* it belongs to the next one */
} SettleBound;

typedef struct SettleLimit
{
	bool		any;
	SettleDec	most;
} SettleLimit;

typedef struct SettleTier
{
	SettleBound bound_kind;
	SettleDec	bound;
	bool		percent;		/* rate is in percent of the quantity */
	SettleDec	rate;			/* price of one unit, package or block; the amount of a tier */
	SettleDec	flat;
	SettleDec	size;			/* units in a package or block */
	SettleDec	count;			/* blocks in the tier, where it is not open */
	SettleLimit *limits;		/* SETTLE_CAPACITY: one a dimension */
	int			position;		/* in the text it was read from, from 1; 0 where there is none */
} SettleTier;

typedef enum SettleConversion
{
	SETTLE_NO_CONVERSION,
	SETTLE_DIVIDE,
	SETTLE_MULTIPLY
} SettleConversion;

typedef struct SettleScale
{
	SettleTierMode mode;
	bool		first_flat_at_zero;
	bool		has_floor;
	bool		has_cap;
	bool		has_free;
	bool		has_free_events;
	bool		rounds_units;	/* after the conversion, to whole units */
	SettleRoundMode unit_rounding;
	SettleConversion conversion;
	SettleDec	floor;
	SettleDec	cap;
	SettleDec	free;			/* units, or amount of events, before anything is charged */
	SettleDec	free_events;
	SettleDec	factor;			/* of the conversion */
	int			ndimensions;
	int			ntiers;
	SettleTier *tiers;
} SettleScale;

extern const char *const settle_mode_names[];
extern bool settle_mode_in(const char *name, Size len, SettleTierMode *mode);

/* The one judge of what a scale may be.  Raises 22P02, 22003, 54000. */
extern void settle_scale_check(SettleScale *scale);

/* The stored form. */
extern SettleTiers *settle_scale_encode(const SettleScale *scale);
extern SettleScale *settle_scale_decode(const SettleTiers *tiers);

/* The other forms; what is read has been checked. */
extern SettleScale *settle_scale_from_text(const char *text);
extern char *settle_scale_to_text(const SettleScale *scale);
extern SettleScale *settle_scale_from_jsonb(Jsonb *value);
extern Jsonb *settle_scale_to_jsonb(const SettleScale *scale);

/* A pricer that stays as long as the call site and is made again when the scale differs. */
extern const SettlePricer *settle_pricer_cached(FmgrInfo *flinfo, const SettleTiers *tiers);

extern SettleTierMode settle_pricer_mode(const SettlePricer *pricer);

/* A fee as people see it: zeros trimmed, with at least the places that the scale is written with. */
extern SettleDec settle_price_tidy(const SettlePricer *pricer, SettleDec fee);

static inline const SettleTiers *
settle_tiers_from_datum(Datum value)
{
	return (const SettleTiers *) PG_DETOAST_DATUM_PACKED(value);
}

#endif							/* SETTLE_SCALE_H */
