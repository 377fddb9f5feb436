/*
 * region.h
 *		Sets of values of a column, and of rows: the algebra that lint reasons by.
 */
#ifndef SETTLE_REGION_H
#define SETTLE_REGION_H

#include "rule/conjunct.h"

#include "lib/stringinfo.h"

/*
 * A stretch of values.  Values of kind INT count one by one, so their bounds
 * are always closed.  Paths are spelled so that a path and all below it lie
 * together: settle_region_of.
 */
typedef struct SettleInterval
{
	bool		has_lower;
	bool		has_upper;
	bool		lower_closed;
	bool		upper_closed;
	SettleValue lower;
	SettleValue upper;
} SettleInterval;

/* Any set of values that conditions can ask for: intervals in order that do not touch, and null or not. */
typedef struct SettleRegion
{
	SettleValueKind kind;
	bool		nulls;
	int			n;
	SettleInterval *intervals;
} SettleRegion;

extern SettleRegion *settle_region_all(SettleValueKind kind, bool nulls);
extern SettleRegion *settle_region_between(SettleValueKind kind, const SettleInterval *interval);
extern SettleRegion *settle_region_of(const SettleConjunct *conjunct);
extern SettleRegion *settle_region_complement(const SettleRegion *region, bool nulls);
extern SettleRegion *settle_region_intersect(const SettleRegion *a, const SettleRegion *b);
extern SettleRegion *settle_region_union(const SettleRegion *a, const SettleRegion *b);
extern bool settle_region_meets(const SettleRegion *a, const SettleRegion *b);
extern bool settle_region_covers(const SettleRegion *region, const SettleRegion *by);

static inline bool
settle_region_is_empty(const SettleRegion *region)
{
	return region->n == 0 && !region->nulls;
}

/* Compares the ends of intervals: a's lower with b's lower, a's lower with b's upper, a's upper with b's upper. */
extern int	settle_compare_lowers(SettleValueKind kind, const SettleInterval *a, const SettleInterval *b);
extern int	settle_compare_lower_upper(SettleValueKind kind, const SettleInterval *a, const SettleInterval *b);

/* One value as text; false where the region has none that can be named. */
extern bool settle_region_example(const SettleRegion *region, Oid type, StringInfo text);

/* The region in words: "from 100 to below 200", "'gold' or null". */
extern void settle_region_describe(const SettleRegion *region, Oid type, StringInfo text);

#endif							/* SETTLE_REGION_H */
