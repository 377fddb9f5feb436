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
 * Sets are bitmaps of two levels, so that an intersection that is nearly empty
 * costs a few words however many conditions there are.
 */
#include "rule/match.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "rule/conjunct.h"
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
 * A set of conditions: a bitmap of two levels, bit w of the summary telling
 * whether word w is not zero.  It is one run of words:
 *
 *		number of extras, or WHOLE
 *		the summary
 *		WHOLE: all words; else pairs of a word's number and the word
 *
 * Most sets differ from "those that do not mention the column" by a few
 * conditions and keep only the words that differ, so that the tables of 10,000
 * conditions stay in the processor's cache.
 */
typedef uint64 *Set;

#define WHOLE		PG_UINT64_MAX
/* More words than this are kept as a whole bitmap. */
#define MAX_EXTRAS	16

/* A point; the conditions that ask for it are kept beside while building. */
typedef struct PointEntry
{
	union
	{
		const char *bytes;
		int64		i;
	}			key;
	uint32		len;
	uint32		hash;
	Set			set;			/* conditions that a value here leaves standing; NULL: the entry is free */
	Set			below;			/* of a path: that a value below here leaves standing */
} PointEntry;

typedef struct PointDemand
{
	PointEntry *entry;
	List	   *conditions;
	List	   *conditions_below;
} PointDemand;

/* One column's table: either points in a hash, or elementary intervals in order. */
typedef struct Column
{
	int			position;		/* in the slot, from 1; 0 for the instant */
	SettleValueKind kind;
	bool		ordered;
	Oid			type;
	List	   *demands;		/* while building */

	Set			otherwise;		/* conditions that do not mention the column; whole */

	/* points: open addressing, a power of two of entries */
	uint32		mask;
	PointEntry *entries;

	/* intervals: sets[2 * k] lies strictly between bounds k - 1 and k, sets[2 * k + 1] is bound k */
	int			nbounds;
	SettleValue *bounds;
	int64	   *scaled;			/* the bounds as integers of 10^-scale, where all fit */
	int			scale;
	Set		   *sets;
} Column;

struct SettleMatcher
{
	MemoryContext context;
	int			n;
	int			nwords;
	int			nsummary;
	int			ncolumns;
	Column	   *columns;
	Expr	  **residuals;
	Set		   *found;			/* scratch, one a column */
	char	   *path;			/* scratch, the labels of a path */
	Size		path_space;
};

/* ---- demands ---- */

/*
 * Finds the demand that a condition has on a column, making it where wanted.
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

/* ---- sets ---- */

static inline uint64 *
summary_of(Set set)
{
	return set + 1;
}

static inline uint64 *
words_of(const SettleMatcher *m, Set set)
{
	return set + 1 + m->nsummary;
}

/*
 * Makes a whole set, empty or a copy.
 */
static Set
new_set(const SettleMatcher *m, Set copy_of)
{
	Size		size = sizeof(uint64) * ((Size) 1 + m->nsummary + m->nwords);
	Set			set = MemoryContextAllocHuge(CurrentMemoryContext, size);

	if (copy_of != NULL)
		memcpy(set, copy_of, size);
	else
		memset(set, 0, size);
	set[0] = WHOLE;
	return set;
}

static inline void
set_bit(const SettleMatcher *m, Set set, int bit)
{
	words_of(m, set)[bit / 64] |= UINT64CONST(1) << (bit % 64);
	summary_of(set)[bit / 4096] |= UINT64CONST(1) << ((bit / 64) % 64);
}

static inline uint64
word_of(const SettleMatcher *m, Set set, Set otherwise, int w)
{
	uint64	   *words = words_of(m, set);

	if (set[0] == WHOLE)
		return words[w];
	for (uint64 i = 0; i < set[0]; i++)
		if (words[2 * i] == (uint64) w)
			return words[2 * i + 1];
	return words_of(m, otherwise)[w];
}

/*
 * Copies a set into a whole one.
 */
static void
load_set(const SettleMatcher *m, Set into, Set from, Set otherwise)
{
	memcpy(summary_of(into), summary_of(from), sizeof(uint64) * m->nsummary);
	for (int w = 0; w < m->nwords; w++)
		words_of(m, into)[w] = word_of(m, from, otherwise, w);
}

/*
 * Keeps a whole set as its difference to "otherwise" where that is smaller.
 */
static Set
keep_set(const SettleMatcher *m, Set whole, Set otherwise)
{
	const uint64 *words = words_of(m, whole);
	const uint64 *others = words_of(m, otherwise);
	Set			set;
	int			n = 0;

	for (int w = 0; w < m->nwords; w++)
		n += words[w] != others[w];
	if (n > MAX_EXTRAS || 2 * n >= m->nwords)
		return new_set(m, whole);
	set = palloc(sizeof(uint64) * (1 + m->nsummary + 2 * n));
	set[0] = n;
	memcpy(summary_of(set), summary_of(whole), sizeof(uint64) * m->nsummary);
	n = 0;
	for (int w = 0; w < m->nwords; w++)
		if (words[w] != others[w])
		{
			words_of(m, set)[n++] = w;
			words_of(m, set)[n++] = words[w];
		}
	return set;
}

/* ---- building ---- */

static inline uint32
hash_int64(int64 value)
{
	return murmurhash32((uint32) value ^ murmurhash32((uint32) ((uint64) value >> 32)));
}

static inline uint32
hash_point(SettleValueKind kind, const SettleValue *value)
{
	if (kind == SETTLE_VALUE_INT)
		return hash_int64(value->i);
	return hash_bytes((const unsigned char *) value->bytes, (int) value->len);
}

static inline bool
same_point(SettleValueKind kind, const PointEntry *entry, const SettleValue *value, uint32 hash)
{
	if (entry->hash != hash)
		return false;
	if (kind == SETTLE_VALUE_INT)
		return entry->key.i == value->i;
	return entry->len == value->len && memcmp(entry->key.bytes, value->bytes, value->len) == 0;
}

/*
 * Looks a point up; an entry without a set is the free place for it.
 */
static inline PointEntry *
find_point(const Column *column, const SettleValue *value, uint32 hash)
{
	uint32		at = hash & column->mask;

	while (column->entries[at].set != NULL && !same_point(column->kind, &column->entries[at], value, hash))
		at = (at + 1) & column->mask;
	return &column->entries[at];
}

static int
compare_path_length(const void *a, const void *b)
{
	uint32		la = ((const PointDemand *) a)->entry->len;
	uint32		lb = ((const PointDemand *) b)->entry->len;

	return la < lb ? -1 : la > lb;
}

/*
 * Finds the longest proper prefix, whole labels only, that has an entry.
 */
static PointEntry *
nearest_ancestor(const Column *column, const char *path, Size len)
{
	while (len > 0)
	{
		SettleValue value = {0};
		PointEntry *entry;

		while (len > 0 && path[len - 1] != '.')
			len--;
		if (len > 0)
			len--;
		value.bytes = path;
		value.len = len;
		entry = find_point(column, &value, hash_point(SETTLE_VALUE_PATH, &value));
		if (entry->set != NULL)
			return entry;
	}
	return NULL;
}

/*
 * Builds the hash of a column whose conditions ask for points.  An entry's set
 * is those that do not mention the column and those that ask for it; a path's
 * also what its nearest ancestor hands down.
 */
static void
build_points(SettleMatcher *m, Column *column)
{
	ListCell   *lc;
	ListCell   *lc2;
	Size		npoints = 0;
	Size		size = 16;
	PointDemand *points;
	int			n = 0;
	Set			whole = new_set(m, NULL);

	foreach(lc, column->demands)
		npoints += ((Demand *) lfirst(lc))->npoints;
	while (size < npoints * 2)
		size *= 2;
	column->mask = (uint32) (size - 1);
	column->entries = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(PointEntry) * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	points = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(PointDemand) * Max(npoints, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	foreach(lc, column->demands)
	{
		Demand	   *demand = lfirst(lc);

		for (int i = 0; i < demand->npoints; i++)
		{
			SettleValue *value = &demand->points[i];
			uint32		hash = hash_point(column->kind, value);
			PointEntry *entry = find_point(column, value, hash);
			PointDemand *point;

			if (entry->set == NULL)
			{
				entry->hash = hash;
				entry->len = (uint32) value->len;
				if (column->kind == SETTLE_VALUE_INT)
					entry->key.i = value->i;
				else
					entry->key.bytes = value->bytes;
				/* marks the entry as taken, and remembers its demand by number */
				entry->set = column->otherwise;
				entry->below = (Set) (uintptr_t) n;
				points[n++].entry = entry;
			}
			point = &points[(uintptr_t) entry->below];
			if (demand->below)
				point->conditions_below = lappend_int(point->conditions_below, demand->condition);
			else
				point->conditions = lappend_int(point->conditions, demand->condition);
		}
	}

	/* ancestors first: they are shorter */
	if (column->kind == SETTLE_VALUE_PATH)
		qsort(points, n, sizeof(PointDemand), compare_path_length);
	for (int i = 0; i < n; i++)
	{
		PointEntry *entry = points[i].entry;
		PointEntry *above = column->kind == SETTLE_VALUE_PATH ? nearest_ancestor(column, entry->key.bytes, entry->len) : NULL;
		Set			inherited = above == NULL ? column->otherwise : above->below;

		CHECK_FOR_INTERRUPTS();
		load_set(m, whole, inherited, column->otherwise);
		foreach(lc2, points[i].conditions_below)
			set_bit(m, whole, lfirst_int(lc2));
		entry->below = points[i].conditions_below == NIL ? inherited : keep_set(m, whole, column->otherwise);
		foreach(lc2, points[i].conditions)
			set_bit(m, whole, lfirst_int(lc2));
		entry->set = points[i].conditions == NIL ? entry->below : keep_set(m, whole, column->otherwise);
	}
	pfree(points);
}

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
	column->sets = palloc(sizeof(Set) * (2 * (Size) column->nbounds + 1));
	for (int i = 0; i <= 2 * column->nbounds; i++)
		column->sets[i] = new_set(m, column->otherwise);
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
				set_bit(m, column->sets[i], demand->condition);
		}
		else
			for (int i = 0; i < demand->npoints; i++)
				set_bit(m, column->sets[find_interval(column, &demand->points[i])], demand->condition);
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

	m->context = CurrentMemoryContext;
	m->n = n;
	m->nwords = Max((n + 63) / 64, 1);
	m->nsummary = (m->nwords + 63) / 64;
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
	m->found = palloc0(sizeof(Set) * Max(list_length(columns), 1));
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
		column->otherwise = new_set(m, NULL);
		for (int i = 0; i < n; i++)
			if (!mentioned[i])
				set_bit(m, column->otherwise, i);
		pfree(mentioned);
		if (column->kind == SETTLE_VALUE_NUMERIC)
			column->ordered = true;
		if (column->ordered)
			build_intervals(m, column);
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
static inline Set
lookup(SettleMatcher *m, Column *column, TupleTableSlot *slot, TimestampTz at)
{
	SettleValue value = {0};
	PointEntry *entry;
	Datum		datum;

	if (column->position == 0)
		value.i = at;
	else
	{
		if (slot->tts_isnull[column->position - 1])
			return column->otherwise;
		datum = slot->tts_values[column->position - 1];
		if (column->kind == SETTLE_VALUE_PATH)
			settle_path_text((struct varlena *) DatumGetPointer(datum), m->context, &m->path, &m->path_space, &value);
		else if (!settle_read_value(column->kind, column->type, datum, &value))
		{
			/* NaN and infinity stand above all numbers, minus infinity below */
			Numeric		n = DatumGetNumeric(datum);
			bool		below = !numeric_is_nan(n) && DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(n), NumericGetDatum(int64_to_numeric(0))));

			return column->sets[below ? 0 : 2 * column->nbounds];
		}
	}
	if (column->ordered)
		return column->sets[find_interval(column, &value)];

	entry = find_point(column, &value, hash_point(column->kind, &value));
	if (entry->set != NULL)
		return entry->set;
	if (column->kind != SETTLE_VALUE_PATH)
		return column->otherwise;
	entry = nearest_ancestor(column, value.bytes, value.len);
	return entry == NULL ? column->otherwise : entry->below;
}

int
settle_candidates(SettleMatcher *m, TupleTableSlot *slot, TimestampTz at, int *candidates)
{
	int			ncolumns = m->ncolumns;
	int			n = 0;

	if (ncolumns == 0)
	{
		for (int i = 0; i < m->n; i++)
			candidates[i] = i;
		return m->n;
	}
	for (int i = 0; i < ncolumns; i++)
		m->found[i] = lookup(m, &m->columns[i], slot, at);
	for (int s = 0; s < m->nsummary; s++)
	{
		uint64		alive = summary_of(m->found[0])[s];

		for (int i = 1; i < ncolumns; i++)
			alive &= summary_of(m->found[i])[s];
		for (; alive != 0; alive &= alive - 1)
		{
			int			w = s * 64 + pg_rightmost_one_pos64(alive);
			uint64		word = word_of(m, m->found[0], m->columns[0].otherwise, w);

			for (int i = 1; i < ncolumns && word != 0; i++)
				word &= word_of(m, m->found[i], m->columns[i].otherwise, w);
			for (; word != 0; word &= word - 1)
				candidates[n++] = w * 64 + pg_rightmost_one_pos64(word);
		}
	}
	return n;
}
