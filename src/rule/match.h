/*
 * match.h
 *		Finds, among many conditions, the few that can hold for a row.
 */
#ifndef SETTLE_MATCH_H
#define SETTLE_MATCH_H

#include "core/core.h"

#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "nodes/primnodes.h"
#include "utils/timestamp.h"

typedef struct SettleMatcher SettleMatcher;

/* One condition to be indexed. */
typedef struct SettleCondition
{
	Expr	   *when;			/* planned, boolean; NULL is true */
	TimestampTz from;			/* in force from ... */
	TimestampTz until;			/* ... to before this instant */
} SettleCondition;

/*
 * Builds the index in the current memory context.  Positions of the slot that
 * are members of indexable are filled whenever candidates are asked for; terms
 * over others stay with the condition.
 */
extern SettleMatcher *settle_matcher(const SettleCondition *conditions, int n, const Bitmapset *indexable);

/*
 * Lists the conditions that may hold for the row in the slot at an instant, in
 * order; candidates has room for all.  Returns their number.  What is left to
 * check of each is its residual.
 */
extern int	settle_candidates(SettleMatcher *matcher, TupleTableSlot *slot, TimestampTz at, int *candidates);

/* What the index did not decide of a condition; NULL where nothing is left. */
extern Expr *settle_residual(const SettleMatcher *matcher, int condition);

#endif							/* SETTLE_MATCH_H */
