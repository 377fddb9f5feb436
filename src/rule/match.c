/*
 * match.c
 *		An index over conditions.
 *
 * For each column that conditions test, a table tells which conditions a value
 * of that column leaves standing: those that ask for the value and those that
 * do not mention the column.  A row's candidates are the intersection over the
 * columns; the terms that no column table can decide are left as a residual
 * expression.  Indexed are the top-level AND terms that conjunct.c reads, but
 * for lists of numbers.
 *
 * A value is found with one look at a small table: what costs with many
 * conditions is not counting but fetching memory.
 */
#include "rule/match.h"

#include "access/detoast.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "rule/bits.h"
#include "rule/conjunct.h"
#include "rule/path.h"
#include "utils/builtins.h"

typedef struct Range
{
	bool		has_lower;
	bool		has_upper;
	bool		lower_inclusive;
	bool		upper_inclusive;
	SettleValue lower;
	SettleValue upper;
} Range;

/* What one condition asks of one column: one of some points, or an interval. */
typedef struct Demand
{
	int			condition;
	bool		is_interval;
	bool		below;			/* of a path: the points and all below them */
	int			npoints;
	SettleValue *points;
	Range		interval;
} Demand;

/*
 * What a value is compared by.  Bytes, up to eight of them, are all in the word;
 * of longer ones it is their hash.
 */
typedef struct Key
{
	uint64		word;			/* or the number itself */
	uint32		len;			/* 0 of a number */
	const char *bytes;
} Key;

/* A point. */
typedef struct Point
{
	Key			key;
	SettleBits	set;			/* conditions that a value here leaves standing; NULL: the place is free */
} Point;

/*
 * One label of the paths that conditions ask for, below another one.  A value is
 * followed from its first label on, and not beyond the last that is here.
 */
typedef struct Label
{
	Key			key;
	uint32		above;			/* number of the label above, 0 for the first of a path */
	bool		is_last;		/* nobody asks for anything below */
	SettleBits	set;			/* conditions that a value which ends here leaves standing */
	SettleBits	below;			/* and one that goes on, to where nobody asks */
} Label;

/* Where a label is found: all that a look takes, in half a line of the cache. */
typedef struct LabelPlace
{
	uint64		word;			/* of the key */
	SettleBits	set;
	uint32		above;
	uint32		number;			/* 0: the place is free */
	uint32		len;			/* of the key */
	bool		is_last;
} LabelPlace;

/* One column's table: points in a hash, labels of paths in another, or elementary intervals in order. */
typedef struct Column
{
	int			position;		/* in the slot, from 1; 0 for the instant */
	SettleValueKind kind;
	bool		ordered;
	Oid			type;
	List	   *demands;		/* while building */

	SettleBits	otherwise;		/* conditions that do not mention the column; whole */

	/* points and labels: open addressing, a power of two of places */
	uint32		mask;
	Point	   *points;
	LabelPlace *places;
	uint32		nlabels;
	Label	   *labels;			/* by number; the first stands for no label at all */

	/* points that are numbers close to each other: the sets from the lowest on */
	int64		lowest;
	uint64		ndirect;
	SettleBits *direct;

	/* intervals: sets[2 * k] lies strictly between bounds k - 1 and k, sets[2 * k + 1] is bound k */
	int			nbounds;
	SettleValue *bounds;
	int64	   *scaled;			/* the bounds as integers of 10^-scale, where all fit */
	int			scale;
	SettleBits *sets;
} Column;

struct SettleMatcher
{
	int			n;
	SettleBitsSpace space;
	int			ncolumns;
	Column	   *columns;
	Expr	  **residuals;
	SettleBits *found;			/* scratch, one a column */
};

/* ---- demands ---- */

/*
 * Finds the table of a column among those that are being built, or adds it.
 */
static Column *
column_of(List **columns, int position, Oid type)
{
	ListCell   *lc;
	Column	   *column;

	foreach(lc, *columns)
	{
		column = lfirst(lc);
		if (column->position == position)
			return column;
	}
	column = palloc0(sizeof(Column));
	column->position = position;
	column->type = type;
	column->kind = position == 0 ? SETTLE_VALUE_INT : settle_value_kind(type);
	*columns = lappend(*columns, column);
	return column;
}

/*
 * Returns the demand of the condition that is being read on a column, if any.
 */
static Demand *
demand_on(Column *column, int condition)
{
	Demand	   *last = column->demands == NIL ? NULL : llast(column->demands);

	return last != NULL && last->condition == condition ? last : NULL;
}

/*
 * Adds "column is one of these points"; false where the condition already
 * demands something else of the column.
 */
static bool
demand_points(Column *column, int condition, SettleValue *points, int npoints, bool below)
{
	Demand	   *demand = demand_on(column, condition);

	if (demand != NULL)
		return false;
	demand = palloc0(sizeof(Demand));
	demand->condition = condition;
	demand->points = points;
	demand->npoints = npoints;
	demand->below = below;
	column->demands = lappend(column->demands, demand);
	return true;
}

/*
 * Narrows the interval that a condition demands of a column by one bound.
 */
static bool
demand_bound(Column *column, int condition, int strategy, SettleValue bound)
{
	Demand	   *demand = demand_on(column, condition);
	Range	   *interval;

	if (demand != NULL && !demand->is_interval)
		return false;
	if (demand == NULL)
	{
		demand = palloc0(sizeof(Demand));
		demand->condition = condition;
		demand->is_interval = true;
		column->demands = lappend(column->demands, demand);
	}
	column->ordered = true;
	interval = &demand->interval;

	if (strategy >= BTEqualStrategyNumber)
	{
		bool		inclusive = strategy != BTGreaterStrategyNumber;
		int			cmp = interval->has_lower ? settle_compare_values(column->kind, &bound, &interval->lower) : 1;

		if (cmp > 0)
			interval->lower_inclusive = inclusive;
		else if (cmp == 0)
			interval->lower_inclusive &= inclusive;
		if (cmp > 0)
			interval->lower = bound;
		interval->has_lower = true;
	}
	if (strategy <= BTEqualStrategyNumber)
	{
		bool		inclusive = strategy != BTLessStrategyNumber;
		int			cmp = interval->has_upper ? settle_compare_values(column->kind, &bound, &interval->upper) : -1;

		if (cmp < 0)
			interval->upper_inclusive = inclusive;
		else if (cmp == 0)
			interval->upper_inclusive &= inclusive;
		if (cmp < 0)
			interval->upper = bound;
		interval->has_upper = true;
	}
	return true;
}

/*
 * Takes one AND term into the column tables; false where it has to stay.
 */
static bool
take_term(List **columns, int condition, Node *term, const Bitmapset *indexable)
{
	SettleConjunct asked;
	Column	   *column;

	if (!settle_read_conjunct(term, indexable, &asked))
		return false;
	column = column_of(columns, asked.position, asked.type);
	if (asked.strategy != BTEqualStrategyNumber)
		return demand_bound(column, condition, asked.strategy, asked.values[0]);
	/* a number, or a value of a column that has a demand already, narrows the interval */
	if (asked.nvalues == 1 &&
		(column->kind == SETTLE_VALUE_NUMERIC || (column->kind == SETTLE_VALUE_INT && demand_on(column, condition) != NULL)))
		return demand_bound(column, condition, asked.strategy, asked.values[0]);
	return column->kind != SETTLE_VALUE_NUMERIC &&
		demand_points(column, condition, asked.values, asked.nvalues, asked.below);
}

/* ---- keys ---- */

#define HASH_FACTOR		UINT64CONST(0x9E3779B97F4A7C15)

/*
 * Makes the key of bytes.  Of most values a few bytes are all; to call a hash
 * function and memcmp for them takes longer than to find them.
 */
static inline Key
key_of_bytes(const char *bytes, Size len)
{
	Key			key = {.len = (uint32) len, .bytes = bytes};

	if (len > 8)
		key.word = hash_bytes_extended((const unsigned char *) bytes, (int) len, 0);
	else if (len >= 4)
	{
		uint32		first;
		uint32		last;

		memcpy(&first, bytes, 4);
		memcpy(&last, bytes + len - 4, 4);
		key.word = (uint64) last << 32 | first;
	}
	else if (len > 0)
		key.word = (uint64) (uint8) bytes[len - 1] << 16 | (uint64) (uint8) bytes[len / 2] << 8 | (uint8) bytes[0];
	return key;
}

static inline Key
key_of_value(SettleValueKind kind, const SettleValue *value)
{
	if (kind == SETTLE_VALUE_INT)
		return (Key) {.word = (uint64) value->i};
	return key_of_bytes(value->bytes, value->len);
}

static inline bool
same_key(const Key *a, const Key *b)
{
	return a->word == b->word && a->len == b->len && (a->len <= 8 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

static inline uint32
hash_key(const Key *key, uint32 above)
{
	uint64		hash = (key->word ^ ((uint64) above << 32 | key->len) * HASH_FACTOR) * HASH_FACTOR;

	return (uint32) (hash >> 32);
}

/* ---- points ---- */

/*
 * Looks a point up; one without a set is the free place for it.
 */
static inline Point *
find_point(const Column *column, const Key *key)
{
	uint32		at = hash_key(key, 0) & column->mask;

	while (column->points[at].set != NULL && !same_key(&column->points[at].key, key))
		at = (at + 1) & column->mask;
	return &column->points[at];
}

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
build_points(SettleMatcher *m, Column *column)
{
	ListCell   *lc;
	ListCell   *lc2;
	Size		nvalues = 0;
	Size		size = 16;
	List	  **asking;			/* conditions, by place */
	SettleBits	whole = settle_bits_make(&m->space, NULL);
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
			Key			key = key_of_value(column->kind, &demand->points[i]);
			Point	   *point = find_point(column, &key);

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
		settle_bits_load(&m->space, whole, column->otherwise, column->otherwise);
		foreach(lc2, asking[at])
			settle_bits_set(&m->space, whole, lfirst_int(lc2));
		column->points[at].set = settle_bits_keep(&m->space, whole, column->otherwise);
		npoints++;
	}
	pfree(asking);
	if (column->kind == SETTLE_VALUE_INT)
		list_direct(column, npoints);
}

/* ---- paths ---- */

/*
 * Looks a label up below another one; a place without a number is the free one
 * for it.
 */
static inline LabelPlace *
find_label(const Column *column, uint32 above, const Key *key)
{
	uint32		at = hash_key(key, above) & column->mask;
	LabelPlace *place = &column->places[at];

	while (place->number != 0 &&
		   (place->word != key->word || place->above != above || place->len != key->len ||
			(key->len > 8 && memcmp(column->labels[place->number].key.bytes, key->bytes, key->len) != 0)))
	{
		at = (at + 1) & column->mask;
		place = &column->places[at];
	}
	return place;
}

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
		Key			key = key_of_bytes(label, (dot == NULL ? end : dot) - label);
		LabelPlace *place = find_label(column, above, &key);

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
build_paths(SettleMatcher *m, Column *column)
{
	Size		most = count_labels(column);
	Asking	   *asking = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(Asking) * (most + 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	SettleBits	whole = settle_bits_make(&m->space, NULL);
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
		settle_bits_load(&m->space, whole, inherited, column->otherwise);
		foreach(lc2, asking[i].conditions_below)
			settle_bits_set(&m->space, whole, lfirst_int(lc2));
		label->below = asking[i].conditions_below == NIL ? inherited : settle_bits_keep(&m->space, whole, column->otherwise);
		foreach(lc2, asking[i].conditions)
			settle_bits_set(&m->space, whole, lfirst_int(lc2));
		label->set = asking[i].conditions == NIL ? label->below : settle_bits_keep(&m->space, whole, column->otherwise);
	}
	pfree(asking);

	/* paths share most of their labels: the table is made anew, of those that there are */
	pfree(column->places);
	make_places(column, column->nlabels);
	for (uint32 i = 1; i <= column->nlabels; i++)
	{
		const Label *label = &column->labels[i];

		*find_label(column, label->above, &label->key) = (LabelPlace)
		{
			.word = label->key.word, .len = label->key.len, .set = label->set, .above = label->above, .number = i, .is_last = label->is_last
		};
	}
}

/*
 * Follows a path of a row label by label.
 */
static inline SettleBits
follow_path(const Column *column, struct varlena *path)
{
	uint32		number = 0;
	bool		is_last = column->labels[0].is_last;
	SettleBits	set = column->labels[0].set;
	SettlePathReader reader;
	const char *bytes;
	Size		len;

	if (unlikely(VARATT_IS_EXTERNAL(path) || VARATT_IS_COMPRESSED(path)))
		path = detoast_attr(path);
	settle_path_begin(&reader, path);
	while (settle_path_next(&reader, &bytes, &len))
	{
		const LabelPlace *place;
		Key			key;

		if (is_last)
			return column->labels[number].below;
		key = key_of_bytes(bytes, len);
		place = find_label(column, number, &key);
		if (place->number == 0)
			return column->labels[number].below;
		number = place->number;
		is_last = place->is_last;
		set = place->set;
	}
	return set;
}

/* ---- intervals ---- */

/* Decimals of up to MAX_SCALE places and MAX_SCALED units of their last place fit 64 bits at any scale up to it. */
#define MAX_SCALE	6
#define MAX_SCALED	INT64CONST(1000000000000)

static const int64 power_of_ten[MAX_SCALE + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000};

static SettleValueKind sort_kind;

static int
compare_bounds(const void *a, const void *b)
{
	return settle_compare_values(sort_kind, a, b);
}

/*
 * Finds the elementary interval of a value: 2k + 1 where it is bound k, else
 * 2k for the gap before bound k.
 */
static int
find_interval(const Column *column, const SettleValue *value)
{
	int			low = 0;
	int			high = column->nbounds;

	if (column->scaled != NULL && value->dec.wide == NULL && value->dec.scale <= column->scale &&
		value->dec.coef >= -MAX_SCALED && value->dec.coef <= MAX_SCALED)
	{
		int64		scaled = (int64) value->dec.coef * power_of_ten[column->scale - value->dec.scale];

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

		scaled[i] = (int64) bound.coef * power_of_ten[scale - bound.scale];
	}
	column->scaled = scaled;
	column->scale = scale;
}

/*
 * Builds the intervals of an ordered column.
 */
static void
build_intervals(SettleMatcher *m, Column *column)
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
		column->sets[i] = settle_bits_make(&m->space, column->otherwise);
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
				first = find_interval(column, &interval->lower) + (interval->lower_inclusive ? 0 : 1);
			if (interval->has_upper)
				last = find_interval(column, &interval->upper) - (interval->upper_inclusive ? 0 : 1);
			for (int i = first; i <= last; i++)
				settle_bits_set(&m->space, column->sets[i], demand->condition);
		}
		else
			for (int i = 0; i < demand->npoints; i++)
				settle_bits_set(&m->space, column->sets[find_interval(column, &demand->points[i])], demand->condition);
	}
}

/*
 * Builds the tables.  An ordered column has a whole bitmap for each elementary
 * interval, so it grows with the number of bounds times that of conditions.
 */
SettleMatcher *
settle_matcher(const SettleCondition *conditions, int n, const Bitmapset *indexable)
{
	SettleMatcher *m = palloc0(sizeof(SettleMatcher));
	List	   *columns = NIL;
	ListCell   *lc;

	m->n = n;
	m->space = settle_bits_space(n);
	m->residuals = palloc0(sizeof(Expr *) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		List	   *left = NIL;

		if (conditions[i].when != NULL)
		{
			foreach(lc, settle_and_terms((Node *) conditions[i].when))
			{
				Node	   *term = lfirst(lc);

				if (!take_term(&columns, i, term, indexable))
					left = lappend(left, term);
			}
		}
		if (!TIMESTAMP_IS_NOBEGIN(conditions[i].from) || !TIMESTAMP_IS_NOEND(conditions[i].until))
		{
			Column	   *instant = column_of(&columns, 0, TIMESTAMPTZOID);

			demand_bound(instant, i, BTGreaterEqualStrategyNumber, (SettleValue) {.i = conditions[i].from});
			demand_bound(instant, i, BTLessStrategyNumber, (SettleValue) {.i = conditions[i].until});
		}
		m->residuals[i] = left == NIL ? NULL : make_ands_explicit(left);
	}

	m->columns = palloc0(sizeof(Column) * Max(list_length(columns), 1));
	m->found = palloc0(sizeof(SettleBits) * Max(list_length(columns), 1));
	foreach(lc, columns)
	{
		Column	   *column = lfirst(lc);
		ListCell   *lc2;
		bool	   *mentioned;

		if (column->demands == NIL)
			continue;
		mentioned = palloc0(sizeof(bool) * n);
		foreach(lc2, column->demands)
			mentioned[((Demand *) lfirst(lc2))->condition] = true;
		column->otherwise = settle_bits_make(&m->space, NULL);
		for (int i = 0; i < n; i++)
			if (!mentioned[i])
				settle_bits_set(&m->space, column->otherwise, i);
		pfree(mentioned);
		if (column->kind == SETTLE_VALUE_NUMERIC)
			column->ordered = true;
		if (column->ordered)
			build_intervals(m, column);
		else if (column->kind == SETTLE_VALUE_PATH)
			build_paths(m, column);
		else
			build_points(m, column);
		m->columns[m->ncolumns++] = *column;
	}
	return m;
}

Expr *
settle_residual(const SettleMatcher *matcher, int condition)
{
	return matcher->residuals[condition];
}

/* ---- matching ---- */

/*
 * Finds the set that one column leaves standing for the row.
 */
static inline SettleBits
lookup(const Column *column, TupleTableSlot *slot, TimestampTz at)
{
	SettleValue value;
	Key			key;
	Point	   *point;

	if (column->position == 0)
		value.i = at;
	else
	{
		Datum		datum = slot->tts_values[column->position - 1];

		if (slot->tts_isnull[column->position - 1])
			return column->otherwise;
		if (column->kind == SETTLE_VALUE_PATH)
			return follow_path(column, (struct varlena *) DatumGetPointer(datum));
		if (!settle_read_value(column->kind, column->type, datum, &value))
		{
			/* NaN and infinity stand above all numbers, minus infinity below */
			Numeric		n = DatumGetNumeric(datum);
			bool		below = !numeric_is_nan(n) && DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(n), NumericGetDatum(int64_to_numeric(0))));

			return column->sets[below ? 0 : 2 * column->nbounds];
		}
	}
	if (column->ordered)
		return column->sets[find_interval(column, &value)];
	if (column->direct != NULL)
	{
		uint64		place = (uint64) value.i - (uint64) column->lowest;

		return place < column->ndirect ? column->direct[place] : column->otherwise;
	}
	key = key_of_value(column->kind, &value);
	point = find_point(column, &key);
	return point->set != NULL ? point->set : column->otherwise;
}

int
settle_candidates(SettleMatcher *m, TupleTableSlot *slot, TimestampTz at, int *candidates)
{
	const SettleBitsSpace *space = &m->space;
	int			ncolumns = m->ncolumns;
	int			n = 0;

	if (ncolumns == 0)
	{
		for (int i = 0; i < m->n; i++)
			candidates[i] = i;
		return m->n;
	}
	for (int i = 0; i < ncolumns; i++)
		m->found[i] = lookup(&m->columns[i], slot, at);
	for (int s = 0; s < space->nsummary; s++)
	{
		uint64		alive = settle_bits_summary(m->found[0])[s];

		for (int i = 1; i < ncolumns; i++)
			alive &= settle_bits_summary(m->found[i])[s];
		for (; alive != 0; alive &= alive - 1)
		{
			int			w = s * 64 + pg_rightmost_one_pos64(alive);
			uint64		word = settle_bits_word(space, m->found[0], m->columns[0].otherwise, w);

			for (int i = 1; i < ncolumns && word != 0; i++)
				word &= settle_bits_word(space, m->found[i], m->columns[i].otherwise, w);
			for (; word != 0; word &= word - 1)
				candidates[n++] = w * 64 + pg_rightmost_one_pos64(word);
		}
	}
	return n;
}
