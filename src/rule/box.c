/*
 * box.c
 *		Takes conditions apart into boxes, and compares boxes.
 *
 * A condition becomes a union of boxes: OR makes several, AND intersects them.
 * A box is exact but for its unread terms, which can only make it smaller: two
 * boxes that do not meet exclude each other whatever those say, and nothing is
 * covered by a box that has some the other has not.
 *
 * Truth has three values, so a node is read for being true or for being false;
 * what is neither is in no box.
 */
#include "rule/box.h"

#include "catalog/pg_enum.h"
#include "access/genam.h"
#include "access/table.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Boxes that a condition is taken apart into at most; beyond, a term is left unread. */
#define MAX_BOXES	64
/* Pieces that a proof of covering keeps at most. */
#define MAX_PIECES	256

/* ---- the space ---- */

const char *
settle_space_name(const SettleSpace *space, int position)
{
	const SettleName *name;

	if (position == 0)
		return "t.rules_at";
	name = &space->set->scope.names[position - 1];
	return name->qualifier == NULL ? name->name : psprintf("%s.%s", name->qualifier, name->name);
}

Oid
settle_space_type(const SettleSpace *space, int position)
{
	return position == 0 ? TIMESTAMPTZOID : space->set->scope.names[position - 1].type;
}

static SettleRegion *
region_of_values(SettleValueKind kind, SettleValue *values, int n)
{
	SettleConjunct conjunct = {.kind = kind, .strategy = BTEqualStrategyNumber, .nvalues = n, .values = values};

	return settle_region_of(&conjunct);
}

/*
 * All values of a type: of an enum its labels, else whatever fits the kind.
 */
static SettleRegion *
values_of_type(Oid type, bool nulls)
{
	SettleValueKind kind = settle_value_kind(type);
	SettleRegion *region;

	if (kind == SETTLE_VALUE_NONE)
		return NULL;
	if (type == BOOLOID)
	{
		SettleValue truths[] = {{.i = 0}, {.i = 1}};

		region = region_of_values(kind, truths, 2);
	}
	else if (get_typtype(type) == TYPTYPE_ENUM)
	{
		Relation	labels = table_open(EnumRelationId, AccessShareLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		region = region_of_values(kind, NULL, 0);
		ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(type));
		scan = systable_beginscan(labels, EnumTypIdLabelIndexId, true, NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			SettleValue label = {.i = ((Form_pg_enum) GETSTRUCT(tuple))->oid};

			region = settle_region_union(region, region_of_values(kind, &label, 1));
		}
		systable_endscan(scan);
		table_close(labels, AccessShareLock);
	}
	else
		return settle_region_all(kind, nulls);
	region->nulls = nulls;
	return region;
}

/*
 * All values that a decision can have: where it gives one of its outcomes as
 * it stands, those and its fallback.
 */
static SettleRegion *
values_of_decision(const Decision *decision)
{
	SettleHitPolicy policy = decision->def->policy;
	SettleValueKind kind = settle_value_kind(decision->type);
	SettleValue *values = palloc0(sizeof(SettleValue) * (decision->noutcomes + 1));
	int			n = 0;

	if (kind == SETTLE_VALUE_NONE || decision->noutcomes == 0 || settle_hit_gives_list(policy) ||
		policy == SETTLE_HIT_SUM || policy == SETTLE_HIT_PRODUCT || policy == SETTLE_HIT_COUNT)
		return values_of_type(decision->type, false);
	for (int i = 0; i < decision->noutcomes; i++)
		if (!settle_read_value(kind, decision->outcome_type, decision->outcomes[i].value, &values[n++]))
			return values_of_type(decision->type, false);
	if (decision->has_fallback && !settle_read_value(kind, decision->type, decision->fallback, &values[n++]))
		return values_of_type(decision->type, false);
	return region_of_values(kind, values, n);
}

/*
 * The column that a mapped value only repeats, or the mapped value itself.
 */
static int
column_behind(const SettleSet *set, int position)
{
	for (int hops = 0; hops < T_FIELDS && position >= set->t0 && position < set->f0; hops++)
	{
		int			field = position - set->t0;
		const Term *term = set->fields[field];
		int			next;

		if (term == NULL && (field == T_RULES_AT || field == T_PERIOD_AT))
			next = set->t0 + T_READY_AT;
		else if (term != NULL && term->position > 0)
			next = term->position;
		else
			break;
		if (set->scope.names[next - 1].type != set->scope.names[position - 1].type)
			break;
		position = next;
	}
	return position;
}

SettleSpace *
settle_space(const SettleSet *set)
{
	SettleSpace *space = palloc0(sizeof(SettleSpace));

	space->set = set;
	space->nnames = set->scope.nnames;
	space->column = palloc0(sizeof(int) * (space->nnames + 1));
	space->values = palloc0(sizeof(SettleRegion *) * (space->nnames + 1));
	for (int position = 1; position <= space->nnames; position++)
	{
		const SettleName *name = &set->scope.names[position - 1];

		space->column[position] = column_behind(set, position);
		if (position >= set->d0 && position < set->c0)
			space->values[position] = values_of_decision(&set->decisions[position - set->d0]);
		else if (name->name != NULL)
			space->values[position] = values_of_type(name->type, position < set->c0);
	}
	space->values[0] = settle_region_all(SETTLE_VALUE_INT, false);
	space->column[0] = column_behind(set, set->t0 + T_RULES_AT);
	return space;
}

/* ---- boxes ---- */

static int
find_position(const SettleBox *box, int position)
{
	for (int i = 0; i < box->n; i++)
		if (box->positions[i] == position)
			return i;
	return -1;
}

static const SettleRegion *
box_region(const SettleSpace *space, const SettleBox *box, int position)
{
	int			at = find_position(box, position);

	return at < 0 ? space->values[position] : box->regions[at];
}

static SettleBox *
new_box(int space)
{
	SettleBox  *box = palloc0(sizeof(SettleBox));

	box->positions = palloc(sizeof(int) * Max(space, 1));
	box->regions = palloc(sizeof(SettleRegion *) * Max(space, 1));
	return box;
}

/*
 * Joins the columns of two boxes.  Where one is left without a value, says
 * which and returns NULL.
 */
static SettleBox *
intersect(const SettleBox *a, const SettleBox *b, int *barred)
{
	SettleBox  *box = new_box(a->n + b->n);
	int			i = 0;
	int			k = 0;

	box->owner = a->owner;
	box->unread = list_concat_copy(a->unread, b->unread);
	while (i < a->n || k < b->n)
	{
		SettleRegion *region;
		int			position;

		if (k == b->n || (i < a->n && a->positions[i] < b->positions[k]))
		{
			position = a->positions[i];
			region = a->regions[i++];
		}
		else if (i == a->n || b->positions[k] < a->positions[i])
		{
			position = b->positions[k];
			region = b->regions[k++];
		}
		else
		{
			position = a->positions[i];
			region = settle_region_intersect(a->regions[i++], b->regions[k++]);
		}
		if (settle_region_is_empty(region))
		{
			*barred = position;
			return NULL;
		}
		box->positions[box->n] = position;
		box->regions[box->n++] = region;
	}
	return box;
}

SettleBox *
settle_box_intersect(const SettleBox *a, const SettleBox *b)
{
	int			barred;

	return intersect(a, b, &barred);
}

bool
settle_boxes_meet(const SettleBox *a, const SettleBox *b)
{
	int			i = 0;
	int			k = 0;

	while (i < a->n && k < b->n)
	{
		if (a->positions[i] < b->positions[k])
			i++;
		else if (b->positions[k] < a->positions[i])
			k++;
		else if (!settle_region_meets(a->regions[i++], b->regions[k++]))
			return false;
	}
	return true;
}

/* ---- conditions ---- */

typedef struct Reading
{
	const SettleSpace *space;
	int			owner;
	int			barred;
	Bitmapset  *readable;
} Reading;

/*
 * A list of one box, that of a region of one column; of none, where no value
 * can be in it.
 */
static List *
box_of_region(Reading *reading, int position, SettleRegion *region)
{
	SettleBox  *box = new_box(1);
	int			column = reading->space->column[position];

	box->owner = reading->owner;
	box->n = 1;
	box->positions[0] = column;
	box->regions[0] = region;
	if (column > 0)
		box->regions[0] = settle_region_intersect(region, reading->space->values[column]);
	if (!settle_region_is_empty(box->regions[0]))
		return list_make1(box);
	reading->barred = column;
	return NIL;
}

static List *
box_of_all(Reading *reading, Node *unread)
{
	SettleBox  *box = new_box(0);

	box->owner = reading->owner;
	box->unread = unread == NULL ? NIL : list_make1(unread);
	return list_make1(box);
}

/*
 * Reads the opposite of a term that names an operator with a negator:
 * "column <> constant", "column <> ALL (constants)".
 */
static bool
read_opposite(Node *term, const Bitmapset *readable, SettleConjunct *conjunct)
{
	if (IsA(term, OpExpr))
	{
		OpExpr	   *opposite = makeNode(OpExpr);

		*opposite = *(OpExpr *) term;
		opposite->opno = get_negator(opposite->opno);
		return OidIsValid(opposite->opno) && settle_read_conjunct((Node *) opposite, readable, conjunct);
	}
	if (IsA(term, ScalarArrayOpExpr) && !((ScalarArrayOpExpr *) term)->useOr)
	{
		ScalarArrayOpExpr *opposite = makeNode(ScalarArrayOpExpr);

		*opposite = *(ScalarArrayOpExpr *) term;
		opposite->useOr = true;
		opposite->opno = get_negator(opposite->opno);
		return OidIsValid(opposite->opno) && settle_read_conjunct((Node *) opposite, readable, conjunct);
	}
	return false;
}

/*
 * Tells whether a list of constants has a null, with which membership is never
 * false.
 */
static bool
lists_null(Node *term)
{
	Node	   *list;

	if (!IsA(term, ScalarArrayOpExpr))
		return false;
	list = lsecond(((ScalarArrayOpExpr *) term)->args);
	while (IsA(list, RelabelType))
		list = (Node *) ((RelabelType *) list)->arg;
	return !IsA(list, Const) || ((Const *) list)->constisnull || array_contains_nulls(DatumGetArrayTypeP(((Const *) list)->constvalue));
}

/*
 * Reads "column IS NULL" and "column IS DISTINCT FROM constant", which are
 * never null themselves.
 */
static List *
boxes_of_test(Reading *reading, Node *term, bool wanted)
{
	SettleConjunct conjunct;

	if (IsA(term, NullTest))
	{
		NullTest   *test = (NullTest *) term;
		Node	   *arg = (Node *) test->arg;
		SettleRegion *values;

		while (IsA(arg, RelabelType))
			arg = (Node *) ((RelabelType *) arg)->arg;
		if (!IsA(arg, Var) || test->argisrow)
			return NIL;
		values = reading->space->values[((Var *) arg)->varattno];
		if (values == NULL)
			return NIL;
		if ((test->nulltesttype == IS_NULL) == wanted)
			return box_of_region(reading, ((Var *) arg)->varattno, settle_region_complement(settle_region_all(values->kind, false), true));
		return box_of_region(reading, ((Var *) arg)->varattno, settle_region_all(values->kind, false));
	}
	if (IsA(term, DistinctExpr))
	{
		OpExpr	   *equality = makeNode(OpExpr);

		*equality = *(OpExpr *) term;
		equality->xpr.type = T_OpExpr;
		if (!settle_read_conjunct((Node *) equality, reading->readable, &conjunct))
			return NIL;
		return box_of_region(reading, conjunct.position,
							 wanted ? settle_region_complement(settle_region_of(&conjunct), true) : settle_region_of(&conjunct));
	}
	return NIL;
}

static List *boxes_of(Reading *reading, Node *node, bool wanted);

/*
 * All boxes of one list with all of another.
 */
static List *
cross(Reading *reading, List *left, List *right)
{
	List	   *boxes = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, left)
		foreach(lc2, right)
	{
		SettleBox  *box = intersect(lfirst(lc), lfirst(lc2), &reading->barred);

		if (box != NULL)
			boxes = lappend(boxes, box);
	}
	return boxes;
}

/*
 * Takes AND and OR apart.  One that would make too many boxes is left unread.
 */
static List *
boxes_of_connective(Reading *reading, BoolExpr *connective, bool wanted)
{
	bool		all = (connective->boolop == AND_EXPR) == wanted;
	List	   *boxes = all ? box_of_all(reading, NULL) : NIL;
	ListCell   *lc;

	foreach(lc, connective->args)
	{
		List	   *more = boxes_of(reading, lfirst(lc), wanted);

		if (all && list_length(boxes) * list_length(more) > MAX_BOXES)
			more = box_of_all(reading, wanted ? lfirst(lc) : (Node *) makeBoolExpr(NOT_EXPR, list_make1(lfirst(lc)), -1));
		boxes = all ? cross(reading, boxes, more) : list_concat(boxes, more);
		if (all && boxes == NIL)
			return NIL;
	}
	if (list_length(boxes) > MAX_BOXES)
		return box_of_all(reading, wanted ? (Node *) connective : (Node *) makeBoolExpr(NOT_EXPR, list_make1(connective), -1));
	return boxes;
}

/*
 * The boxes in which a node is true, or in which it is false.
 */
static List *
boxes_of(Reading *reading, Node *node, bool wanted)
{
	SettleConjunct conjunct;

	check_stack_depth();
	if (IsA(node, Const))
	{
		Const	   *constant = (Const *) node;

		return !constant->constisnull && DatumGetBool(constant->constvalue) == wanted ? box_of_all(reading, NULL) : NIL;
	}
	if (settle_read_conjunct(node, reading->readable, &conjunct))
	{
		SettleRegion *region = settle_region_of(&conjunct);

		if (wanted)
			return box_of_region(reading, conjunct.position, region);
		/* IS TRUE is false of nulls, too */
		if (!lists_null(node))
			return box_of_region(reading, conjunct.position, settle_region_complement(region, IsA(node, BooleanTest)));
	}
	else if (read_opposite(node, reading->readable, &conjunct) && !lists_null(node))
		return box_of_region(reading, conjunct.position,
							 wanted ? settle_region_complement(settle_region_of(&conjunct), false) : settle_region_of(&conjunct));
	else if (IsA(node, BoolExpr))
	{
		BoolExpr   *connective = (BoolExpr *) node;

		return connective->boolop == NOT_EXPR ? boxes_of(reading, linitial(connective->args), !wanted)
			: boxes_of_connective(reading, connective, wanted);
	}
	else if (IsA(node, BooleanTest) &&
			 (((BooleanTest *) node)->booltesttype == IS_TRUE || ((BooleanTest *) node)->booltesttype == IS_FALSE) && wanted)
		return boxes_of(reading, (Node *) ((BooleanTest *) node)->arg, ((BooleanTest *) node)->booltesttype == IS_TRUE);
	else
	{
		int			barred = reading->barred;
		List	   *boxes = boxes_of_test(reading, node, wanted);

		if (boxes != NIL || reading->barred != barred)
			return boxes;
	}
	return box_of_all(reading, wanted ? node : (Node *) makeBoolExpr(NOT_EXPR, list_make1(node), -1));
}

List *
settle_boxes(const SettleSpace *space, Expr *when, TimestampTz from, TimestampTz until, int owner, int *barred)
{
	Reading		reading = {.space = space, .owner = owner, .barred = -1};
	List	   *boxes;

	/* whatever can be compared can be read: decisions and components have one value a ticket */
	for (int position = 1; position <= space->nnames; position++)
		if (space->values[position] != NULL)
			reading.readable = bms_add_member(reading.readable, position);
	boxes = when == NULL ? box_of_all(&reading, NULL) : boxes_of(&reading, (Node *) when, true);
	if (!TIMESTAMP_IS_NOBEGIN(from) || !TIMESTAMP_IS_NOEND(until))
	{
		SettleInterval force = {
			.has_lower = !TIMESTAMP_IS_NOBEGIN(from), .lower_closed = true, .lower.i = from,
			.has_upper = !TIMESTAMP_IS_NOEND(until), .upper.i = until
		};

		boxes = cross(&reading, boxes, box_of_region(&reading, 0, settle_region_between(SETTLE_VALUE_INT, &force)));
	}
	*barred = boxes == NIL ? reading.barred : -1;
	return boxes;
}

/* ---- covering ---- */

List *
settle_box_subtract(const SettleSpace *space, const SettleBox *box, const SettleBox *other, List *pieces)
{
	SettleBox  *rest = unconstify(SettleBox *, box);

	if (!settle_boxes_meet(box, other))
		return lappend(pieces, rest);
	for (int i = 0; i < other->n; i++)
	{
		int			position = other->positions[i];
		const SettleRegion *mine = box_region(space, rest, position);
		SettleBox	outside = {.n = 1, .positions = &position};
		SettleBox	inside = outside;
		SettleRegion *regions[2];
		SettleBox  *piece;

		regions[0] = settle_region_intersect(mine, settle_region_complement(other->regions[i], !other->regions[i]->nulls));
		regions[1] = settle_region_intersect(mine, other->regions[i]);
		outside.regions = &regions[0];
		inside.regions = &regions[1];
		piece = settle_box_intersect(rest, &outside);
		if (piece != NULL)
			pieces = lappend(pieces, piece);
		rest = settle_box_intersect(rest, &inside);
		if (rest == NULL)
			break;
	}
	return pieces;
}

/*
 * Tells whether every term that one box leaves unread is one of the other's.
 */
static bool
same_terms(const SettleBox *other, const SettleBox *box)
{
	ListCell   *lc;

	foreach(lc, other->unread)
		if (!list_member(box->unread, lfirst(lc)))
			return false;
	return true;
}

bool
settle_box_covered(const SettleSpace *space, const SettleBox *box, const List *others)
{
	List	   *left = list_make1(unconstify(SettleBox *, box));
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, others)
	{
		SettleBox  *other = lfirst(lc);
		List	   *next = NIL;

		CHECK_FOR_INTERRUPTS();
		if (!same_terms(other, box))
			continue;
		foreach(lc2, left)
			next = settle_box_subtract(space, lfirst(lc2), other, next);
		left = next;
		if (left == NIL)
			return true;
		if (list_length(left) > MAX_PIECES)
			return false;
	}
	return false;
}

/* ---- in words ---- */

bool
settle_box_example(const SettleSpace *space, const SettleBox *box, StringInfo text)
{
	for (int i = 0; i < box->n; i++)
	{
		appendStringInfo(text, "%s%s = ", i == 0 ? "" : ", ", settle_space_name(space, box->positions[i]));
		if (!settle_region_example(box->regions[i], settle_space_type(space, box->positions[i]), text))
			return false;
	}
	if (box->n == 0)
		appendStringInfoString(text, "any ticket");
	return true;
}

void
settle_box_describe(const SettleSpace *space, const SettleBox *box, StringInfo text)
{
	bool		any = false;

	for (int i = 0; i < box->n; i++)
	{
		const SettleRegion *values = space->values[box->positions[i]];

		/* what can have any value is no news */
		if (settle_region_covers(settle_region_intersect(values, settle_region_all(values->kind, false)), box->regions[i]))
			continue;
		appendStringInfo(text, "%s%s ", any ? ", " : "", settle_space_name(space, box->positions[i]));
		settle_region_describe(box->regions[i], settle_space_type(space, box->positions[i]), text);
		any = true;
	}
	if (!any)
		appendStringInfoString(text, "every ticket");
}

/* ---- pairs ---- */

/* A box by the stretch that its values of the chosen column lie in. */
typedef struct Placed
{
	SettleValueKind kind;
	SettleInterval hull;
	SettleBox  *box;
} Placed;

static int
compare_placed(const void *a, const void *b)
{
	return settle_compare_lowers(((const Placed *) a)->kind, &((const Placed *) a)->hull, &((const Placed *) b)->hull);
}

/*
 * Splits boxes into those that have values of a column, in order of the lowest,
 * and the others.
 */
static Placed *
place(const List *boxes, int position, int *nplaced, List **others)
{
	Placed	   *placed = palloc(sizeof(Placed) * Max(list_length(boxes), 1));
	ListCell   *lc;

	*nplaced = 0;
	*others = NIL;
	foreach(lc, boxes)
	{
		SettleBox  *box = lfirst(lc);
		int			at = find_position(box, position);
		const SettleRegion *region = at < 0 ? NULL : box->regions[at];

		if (region == NULL || region->nulls || region->n == 0)
		{
			*others = lappend(*others, box);
			continue;
		}
		placed[*nplaced] = (Placed) {.kind = region->kind, .hull = region->intervals[0], .box = box};
		placed[*nplaced].hull.has_upper = region->intervals[region->n - 1].has_upper;
		placed[*nplaced].hull.upper = region->intervals[region->n - 1].upper;
		placed[(*nplaced)++].hull.upper_closed = region->intervals[region->n - 1].upper_closed;
	}
	qsort(placed, *nplaced, sizeof(Placed), compare_placed);
	return placed;
}

/*
 * The place after the last box that begins before one ends.
 */
static int
reach(const Placed *placed, int n, int at)
{
	int			low = at + 1;
	int			high = n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (settle_compare_lower_upper(placed[at].kind, &placed[middle].hull, &placed[at].hull) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Looks at the pairs whose stretches overlap in the column that leaves fewest.
 */
void
settle_each_meeting_pair(const List *boxes, SettlePairVisitor visit, void *arg)
{
	Bitmapset  *positions = NULL;
	List	   *others = unconstify(List *, boxes);
	int			best = -1;
	double		fewest = list_length(boxes) * (double) list_length(boxes) / 2;
	int			position = -1;
	Placed	   *placed;
	int			n;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, boxes)
	{
		SettleBox  *box = lfirst(lc);

		for (int i = 0; i < box->n; i++)
			positions = bms_add_member(positions, box->positions[i]);
	}
	while ((position = bms_next_member(positions, position)) >= 0)
	{
		double		pairs = 0;

		placed = place(boxes, position, &n, &others);
		for (int i = 0; i < n; i++)
			pairs += reach(placed, n, i) - i - 1;
		pairs += list_length(others) * ((double) list_length(others) / 2 + n);
		if (pairs < fewest)
		{
			fewest = pairs;
			best = position;
		}
		pfree(placed);
	}

	placed = place(boxes, best, &n, &others);
	for (int i = 0; i < n; i++)
	{
		int			end = reach(placed, n, i);

		CHECK_FOR_INTERRUPTS();
		for (int k = i + 1; k < end; k++)
			if (settle_boxes_meet(placed[i].box, placed[k].box))
				visit(placed[i].box, placed[k].box, arg);
		foreach(lc, others)
			if (settle_boxes_meet(placed[i].box, lfirst(lc)))
				visit(placed[i].box, lfirst(lc), arg);
	}
	foreach(lc, others)
	{
		CHECK_FOR_INTERRUPTS();
		for_each_cell(lc2, others, lnext(others, lc))
			if (settle_boxes_meet(lfirst(lc), lfirst(lc2)))
				visit(lfirst(lc), lfirst(lc2), arg);
	}
}
