/*
 * box.h
 *		Conditions taken apart into boxes: for each of some columns a set of values.
 */
#ifndef SETTLE_BOX_H
#define SETTLE_BOX_H

#include "rule/compile.h"
#include "rule/region.h"

/* All rows whose columns have values in the regions, and for which the terms that could not be read are true. */
typedef struct SettleBox
{
	int			owner;			/* number of its condition */
	int			n;
	int		   *positions;		/* ascending */
	SettleRegion **regions;
	List	   *unread;			/* terms; NIL: the box is exact */
} SettleBox;

/* What names stand for, and what values they can have. */
typedef struct SettleSpace
{
	const SettleSet *set;
	int			nnames;
	int		   *column;			/* by position: the position that it is another name for; 0 is the rules' time */
	SettleRegion **values;		/* by position, NULL where not comparable */
} SettleSpace;

extern SettleSpace *settle_space(const SettleSet *set);
extern const char *settle_space_name(const SettleSpace *space, int position);
extern Oid	settle_space_type(const SettleSpace *space, int position);

/*
 * Takes a condition in force from one instant to before another apart: the
 * union of the boxes.  Where it can never hold, gives no box and sets barred to
 * the position of a column that no value of is left for, or -1.
 */
extern List *settle_boxes(const SettleSpace *space, Expr *when, TimestampTz from, TimestampTz until, int owner, int *barred);

extern bool settle_boxes_meet(const SettleBox *a, const SettleBox *b);
extern SettleBox *settle_box_intersect(const SettleBox *a, const SettleBox *b);

/* Adds what of a box another does not cover; the pieces are disjoint. */
extern List *settle_box_subtract(const SettleSpace *space, const SettleBox *box, const SettleBox *other, List *pieces);

/* Tells whether every row of the box is in one of the others; false where that cannot be proven. */
extern bool settle_box_covered(const SettleSpace *space, const SettleBox *box, const List *others);

/* A row of the box, or the box, in words; false where a column has no value that can be named. */
extern bool settle_box_example(const SettleSpace *space, const SettleBox *box, StringInfo text);
extern void settle_box_describe(const SettleSpace *space, const SettleBox *box, StringInfo text);

/* Calls a function for each two boxes of a list that have a row in common. */
typedef void (*SettlePairVisitor) (SettleBox *a, SettleBox *b, void *arg);
extern void settle_each_meeting_pair(const List *boxes, SettlePairVisitor visit, void *arg);

#endif							/* SETTLE_BOX_H */
