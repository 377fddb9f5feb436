/*
 * column.c
 *		Builds one column's table of an index over conditions.
 *
 * There are three kinds: points in a hash, labels of paths in another, and
 * elementary intervals in order.  An ordered column has a whole bitmap for each
 * elementary interval, so it grows with the number of bounds times that of
 * conditions.
 */
#include "rule/column.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* ---- points ---- */

/* Places that such a list may have: few enough of them empty, or so few at all that it does not matter. */
#define DIRECT_PLACES(npoints)	(4 * (npoints) + 64)

/*
 * Lists the sets of points that are numbers close to each other, such as a
 * boolean's, so that they are found without a hash.
 */
static void
list_direct(Column *column, uint64 npoints)
{
	int64		lowest = PG_INT64_MAX;
	int64		highest = PG_INT64_MIN;

	for (uint32 at = 0; at <= column->mask; at++)
		if (column->points[at].set != NULL)
		{
			lowest = Min(lowest, (int64) column->points[at].key.word);
			highest = Max(highest, (int64) column->points[at].key.word);
		}
	/* unsigned, because two numbers may lie further apart than a signed one can say */
	if (npoints == 0 || (uint64) highest - (uint64) lowest >= DIRECT_PLACES(npoints))
		return;
	column->lowest = lowest;
	column->ndirect = (uint64) highest - (uint64) lowest + 1;
	column->direct = palloc(sizeof(SettleBits) * column->ndirect);
	for (uint64 i = 0; i < column->ndirect; i++)
		column->direct[i] = column->otherwise;
	for (uint32 at = 0; at <= column->mask; at++)
		if (column->points[at].set != NULL)
			column->direct[column->points[at].key.word - (uint64) lowest] = column->points[at].set;
}

/*
 * Builds the hash of a column whose conditions ask for points.  The set of one
 * is those that do not mention the column and those that ask for it.
 */
static void
build_points(SettleBitsSpace *space, Column *column)
{
	ListCell   *lc;
	ListCell   *lc2;
	Size		nvalues = 0;
	Size		size = 16;
	List	  **asking;			/* conditions, by place */
	SettleBits	whole = settle_bits_make(space, NULL);
	uint64		npoints = 0;

	foreach(lc, column->demands)
		nvalues += ((Demand *) lfirst(lc))->npoints;
	while (size < nvalues * 2)
		size *= 2;
	column->mask = (uint32) (size - 1);
	column->points = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(Point) * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	asking = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(List *) * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		for (int i = 0; i < demand->npoints; i++)
		{
			Key			key = settle_key_of_value(column->kind, &demand->points[i]);
			Point	   *point = settle_column_point(column, &key);

			point->key = key;
			/* marks the place as taken */
			point->set = column->otherwise;
			asking[point - column->points] = lappend_int(asking[point - column->points], demand->condition);
		}
	}
	for (Size at = 0; at < size; at++)
	{
		CHECK_FOR_INTERRUPTS();
		if (asking[at] == NIL)
			continue;
		settle_bits_load(space, whole, column->otherwise, column->otherwise);
		foreach(lc2, asking[at])
			settle_bits_set(space, whole, lfirst_int(lc2));
		column->points[at].set = settle_bits_keep(space, whole, column->otherwise);
		npoints++;
	}
	pfree(asking);
	if (column->kind == SETTLE_VALUE_INT)
		list_direct(column, npoints);
}

/* ---- paths ---- */

/* Who asks for a path, while building. */
typedef struct Asking
{
	List	   *conditions;
	List	   *conditions_below;
} Asking;

/*
 * Enters the labels of a path that a condition asks for, into tables with room
 * for them; returns the number of its last one, 0 where it has none.
 */
static uint32
enter_path(Column *column, const SettleValue *path)
{
	const char *end = path->bytes + path->len;
	uint32		above = 0;

	for (const char *label = path->bytes; label < end;)
	{
		const char *dot = memchr(label, '.', end - label);
		Key			key = settle_key_of_bytes(label, (dot == NULL ? end : dot) - label);
		LabelPlace *place = settle_column_label(column, above, &key);

		if (place->number == 0)
		{
			*place = (LabelPlace) {.word = key.word, .len = key.len, .above = above, .number = ++column->nlabels};
			column->labels[place->number] = (Label) {.key = key, .above = above, .is_last = true};
			column->labels[above].is_last = false;
		}
		above = place->number;
		label = dot == NULL ? end : dot + 1;
	}
	return above;
}

/*
 * Makes room for a number of labels.
 */
static void
make_places(Column *column, Size nlabels)
{
	Size		size = 16;

	while (size < nlabels * 2)
		size *= 2;
	column->mask = (uint32) (size - 1);
	column->places = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(LabelPlace) * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/*
 * Counts the labels of all paths that conditions ask for, each as often as it
 * is asked for.
 */
static Size
count_labels(const Column *column)
{
	Size		n = 0;
	ListCell   *lc;

	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		for (int i = 0; i < demand->npoints; i++)
		{
			n++;
			for (Size at = 0; at < demand->points[i].len; at++)
				n += demand->points[i].bytes[at] == '.';
		}
	}
	return n;
}

/*
 * Builds the table of a column whose conditions ask for paths.  The set of one
 * is those that do not mention the column, those that ask for it, and what the
 * one above hands down.
 */
static void
build_paths(SettleBitsSpace *space, Column *column)
{
	Size		most = count_labels(column);
	Asking	   *asking = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(Asking) * (most + 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	SettleBits	whole = settle_bits_make(space, NULL);
	ListCell   *lc;
	ListCell   *lc2;

	column->labels = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Label) * (most + 1));
	column->labels[0] = (Label) {.is_last = true};
	make_places(column, most);
	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		for (int i = 0; i < demand->npoints; i++)
		{
			Asking	   *ask = &asking[enter_path(column, &demand->points[i])];

			if (demand->below)
				ask->conditions_below = lappend_int(ask->conditions_below, demand->condition);
			else
				ask->conditions = lappend_int(ask->conditions, demand->condition);
		}
	}
	column->labels = repalloc_huge(column->labels, sizeof(Label) * (column->nlabels + 1));

	/* a label has a larger number than the one above it */
	for (uint32 i = 0; i <= column->nlabels; i++)
	{
		Label	   *label = &column->labels[i];
		SettleBits	inherited = i == 0 ? column->otherwise : column->labels[label->above].below;

		CHECK_FOR_INTERRUPTS();
		settle_bits_load(space, whole, inherited, column->otherwise);
		foreach(lc2, asking[i].conditions_below)
			settle_bits_set(space, whole, lfirst_int(lc2));
		label->below = asking[i].conditions_below == NIL ? inherited : settle_bits_keep(space, whole, column->otherwise);
		foreach(lc2, asking[i].conditions)
			settle_bits_set(space, whole, lfirst_int(lc2));
		label->set = asking[i].conditions == NIL ? label->below : settle_bits_keep(space, whole, column->otherwise);
	}
	pfree(asking);

	/* paths share most of their labels: the table is made anew, of those that there are */
	pfree(column->places);
	make_places(column, column->nlabels);
	for (uint32 i = 1; i <= column->nlabels; i++)
	{
		const Label *label = &column->labels[i];

		*settle_column_label(column, label->above, &label->key) = (LabelPlace)
		{
			.word = label->key.word, .len = label->key.len, .set = label->set, .above = label->above, .number = i, .is_last = label->is_last
		};
	}
}

/* ---- intervals ---- */

/* Decimals of up to MAX_SCALE places and MAX_SCALED units of their last place fit 64 bits at any scale up to it. */
#define MAX_SCALE	6
#define MAX_SCALED	INT64CONST(1000000000000)

int
settle_column_interval(const Column *column, const SettleValue *value)
{
	int			low = 0;
	int			high = column->nbounds;

	if (column->scaled != NULL && value->dec.wide == NULL && value->dec.scale <= column->scale &&
		value->dec.coef >= -MAX_SCALED && value->dec.coef <= MAX_SCALED)
	{
		int64		scaled = (int64) value->dec.coef * settle_small_power[column->scale - value->dec.scale];

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (column->scaled[middle] < scaled)
				low = middle + 1;
			else
				high = middle;
		}
		return 2 * low + (low < column->nbounds && column->scaled[low] == scaled);
	}
	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			cmp = settle_compare_values(column->kind, &column->bounds[middle], value);

		if (cmp == 0)
			return 2 * middle + 1;
		if (cmp < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 2 * low;
}

static SettleValueKind sort_kind;

static int
compare_bounds(const void *a, const void *b)
{
	return settle_compare_values(sort_kind, a, b);
}

/*
 * Spells decimal bounds as integers of one scale, if none is too large: then
 * the usual value is found by comparing integers.
 */
static void
scale_bounds(Column *column)
{
	int64	   *scaled;
	int			scale = 2;

	if (column->kind != SETTLE_VALUE_NUMERIC)
		return;
	for (int i = 0; i < column->nbounds; i++)
	{
		SettleDec	bound = settle_dec_trim(column->bounds[i].dec);

		if (bound.wide != NULL || bound.scale > MAX_SCALE || bound.coef < -MAX_SCALED || bound.coef > MAX_SCALED)
			return;
		scale = Max(scale, bound.scale);
	}
	scaled = palloc(sizeof(int64) * Max(column->nbounds, 1));
	for (int i = 0; i < column->nbounds; i++)
	{
		SettleDec	bound = settle_dec_trim(column->bounds[i].dec);

		scaled[i] = (int64) bound.coef * settle_small_power[scale - bound.scale];
	}
	column->scaled = scaled;
	column->scale = scale;
}

/*
 * Builds the intervals of an ordered column.
 */
static void
build_intervals(SettleBitsSpace *space, Column *column)
{
	ListCell   *lc;
	Size		nvalues = 0;
	int			n = 0;

	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		nvalues += demand->is_interval ? 2 : demand->npoints;
	}
	column->bounds = palloc(sizeof(SettleValue) * Max(nvalues, 1));
	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		if (demand->is_interval)
		{
			if (demand->interval.has_lower)
				column->bounds[n++] = demand->interval.lower;
			if (demand->interval.has_upper)
				column->bounds[n++] = demand->interval.upper;
		}
		else
			for (int i = 0; i < demand->npoints; i++)
				column->bounds[n++] = demand->points[i];
	}
	sort_kind = column->kind;
	qsort(column->bounds, n, sizeof(SettleValue), compare_bounds);
	for (int i = 0; i < n; i++)
		if (column->nbounds == 0 || settle_compare_values(column->kind, &column->bounds[column->nbounds - 1], &column->bounds[i]) != 0)
			column->bounds[column->nbounds++] = column->bounds[i];

	scale_bounds(column);
	column->sets = palloc(sizeof(SettleBits) * (2 * (Size) column->nbounds + 1));
	for (int i = 0; i <= 2 * column->nbounds; i++)
		column->sets[i] = settle_bits_make(space, column->otherwise);
	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (demand->is_interval)
		{
			Range	   *interval = &demand->interval;
			int			first = 0;
			int			last = 2 * column->nbounds;

			if (interval->has_lower)
				first = settle_column_interval(column, &interval->lower) + (interval->lower_inclusive ? 0 : 1);
			if (interval->has_upper)
				last = settle_column_interval(column, &interval->upper) - (interval->upper_inclusive ? 0 : 1);
			for (int i = first; i <= last; i++)
				settle_bits_set(space, column->sets[i], demand->condition);
		}
		else
			for (int i = 0; i < demand->npoints; i++)
				settle_bits_set(space, column->sets[settle_column_interval(column, &demand->points[i])], demand->condition);
	}
}

void
settle_column_build(SettleBitsSpace *space, Column *column)
{
	if (column->kind == SETTLE_VALUE_NUMERIC)
		column->ordered = true;
	if (column->ordered)
		build_intervals(space, column);
	else if (column->kind == SETTLE_VALUE_PATH)
		build_paths(space, column);
	else
		build_points(space, column);
}
