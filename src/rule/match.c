/*
 * match.c
 *		An index over conditions.
 *
 * For each column that conditions test, a table tells which conditions a value
 * of that column leaves standing: those that ask for the value and those that
 * do not mention the column.  A row's candidates are the intersection over the
 * columns; the terms that no column table can decide are left as a residual
 * expression.  Indexed are top-level AND terms of the forms
 *
 *		column = constant, column IN (constants), column, NOT column,
 *		column < <= > >= constant, path <@ constant, path <@ ANY (constants)
 *
 * where column = constant is also for paths.
 *
 * Sets are bitmaps of two levels, so that an intersection that is nearly empty
 * costs a few words however many conditions there are.
 *
 * The one thing to know: a term may be taken out of the residual only where
 * the column table decides exactly as the operator would.  Hence the operator
 * must be the equality or ordering of the column type's own default family,
 * and text must be compared under a deterministic collation.
 */
#include "rule/match.h"

#include "access/detoast.h"
#include "amount/amount.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "extension/ltree/ltree.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* How the values of a column are compared. */
typedef enum ValueKind
{
	VALUE_NONE,					/* not indexable */
	VALUE_INT,					/* integers, booleans, dates and times, enums: one int64 */
	VALUE_TEXT,					/* bytes */
	VALUE_NUMERIC,				/* exact decimals */
	VALUE_PATH					/* ltree: a label path */
} ValueKind;

/* A constant of a condition. */
typedef struct Value
{
	int64		i;
	SettleDec	dec;
	const char *bytes;			/* text, or a path's labels joined by dots */
	Size		len;
} Value;

typedef struct Range
{
	bool		has_lower;
	bool		has_upper;
	bool		lower_inclusive;
	bool		upper_inclusive;
	Value		lower;
	Value		upper;
} Range;

/* What one condition asks of one column: one of some points, or an interval. */
typedef struct Demand
{
	int			condition;
	bool		is_interval;
	bool		below;			/* of a path: the points and all below them */
	int			npoints;
	Value	   *points;
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
	ValueKind	kind;
	bool		ordered;
	Oid			type;
	List	   *demands;		/* while building */

	Set			otherwise;		/* conditions that do not mention the column; whole */

	/* points: open addressing, a power of two of entries */
	uint32		mask;
	PointEntry *entries;

	/* intervals: sets[2 * k] lies strictly between bounds k - 1 and k, sets[2 * k + 1] is bound k */
	int			nbounds;
	Value	   *bounds;
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

/* ---- terms ---- */

/*
 * Tells how values of a type are compared, VALUE_NONE where the index must not.
 */
static ValueKind
kind_of_type(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case BOOLOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return VALUE_INT;
		case TEXTOID:
		case VARCHAROID:
			return VALUE_TEXT;
		case NUMERICOID:
			return VALUE_NUMERIC;
		default:
			if (get_typtype(type) == TYPTYPE_ENUM)
				return VALUE_INT;
			if (type >= FirstNormalObjectId)
			{
				HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
				bool		is_path = false;

				if (HeapTupleIsValid(tuple))
				{
					/* the gateway lets no type but ltree's own reach us from there */
					is_path = strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), "ltree") == 0;
					ReleaseSysCache(tuple);
				}
				if (is_path)
					return VALUE_PATH;
			}
			return VALUE_NONE;
	}
}

/*
 * Spells an ltree's labels, joined by dots, into a buffer that is kept from
 * call to call.  A value with a short header is read where it lies: its levels
 * stand at the same distances as after a header of four bytes, but unaligned.
 */
static void
path_text(struct varlena *path, MemoryContext context, char **buffer, Size *space, Value *value)
{
	const char *start;
	const char *level;
	uint16		nlevels;
	Size		len = 0;

	if (VARATT_IS_EXTERNAL(path) || VARATT_IS_COMPRESSED(path))
		path = detoast_attr(path);
	start = VARDATA_ANY(path) - VARHDRSZ;
	memcpy(&nlevels, start + offsetof(ltree, numlevel), sizeof(nlevels));
	/* the text is never longer than the value */
	if (VARSIZE_ANY(path) > *space)
	{
		*space = VARSIZE_ANY(path) * 2;
		*buffer = *buffer == NULL ? MemoryContextAlloc(context, *space) : repalloc(*buffer, *space);
	}
	level = start + LTREE_HDRSIZE;
	for (int i = 0; i < nlevels; i++)
	{
		uint16		level_len;

		memcpy(&level_len, level, sizeof(level_len));
		if (i > 0)
			(*buffer)[len++] = '.';
		memcpy(*buffer + len, level + LEVEL_HDRSIZE, level_len);
		len += level_len;
		level += MAXALIGN(level_len + LEVEL_HDRSIZE);
	}
	value->bytes = *buffer;
	value->len = len;
}

/*
 * Reads a constant as the index compares it.
 */
static bool
read_value(ValueKind kind, Oid type, Datum datum, Value *value)
{
	switch (kind)
	{
		case VALUE_INT:
			switch (type)
			{
				case INT2OID:
					value->i = DatumGetInt16(datum);
					return true;
				case INT4OID:
				case DATEOID:
					value->i = DatumGetInt32(datum);
					return true;
				case BOOLOID:
					value->i = DatumGetBool(datum);
					return true;
				case INT8OID:
				case TIMESTAMPOID:
				case TIMESTAMPTZOID:
					value->i = DatumGetInt64(datum);
					return true;
				default:
					value->i = DatumGetObjectId(datum);
					return true;
			}
		case VALUE_TEXT:
			{
				text	   *t = DatumGetTextPP(datum);

				value->bytes = VARDATA_ANY(t);
				value->len = VARSIZE_ANY_EXHDR(t);
				return true;
			}
		case VALUE_NUMERIC:
			{
				Numeric		n = DatumGetNumeric(datum);

				if (numeric_is_nan(n) || numeric_is_inf(n))
					return false;
				value->dec = settle_dec_from_numeric(n);
				return true;
			}
		case VALUE_PATH:
			{
				char	   *buffer = NULL;
				Size		space = 0;

				path_text((struct varlena *) DatumGetPointer(datum), CurrentMemoryContext, &buffer, &space, value);
				return true;
			}
		default:
			return false;
	}
}

/*
 * Compares two values of an ordered column.
 */
static inline int
compare_values(ValueKind kind, const Value *a, const Value *b)
{
	if (kind == VALUE_NUMERIC)
		return settle_dec_cmp(a->dec, b->dec);
	return a->i < b->i ? -1 : a->i > b->i;
}

/*
 * Returns the Var that a term tests, looking through binary-compatible
 * relabelling, or NULL where it is none that the index may read.
 */
static Var *
indexable_var(Node *node, const Bitmapset *indexable)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (!IsA(node, Var) || !bms_is_member(((Var *) node)->varattno, indexable))
		return NULL;
	return (Var *) node;
}

/*
 * Tells what a comparison operator does between two values of a kind:
 * BTLessStrategyNumber ... BTGreaterStrategyNumber, or 0.
 */
static int
comparison_strategy(Oid opno, Oid left, Oid right, ValueKind kind, Oid collation)
{
	TypeCacheEntry *cache;

	if (kind == VALUE_TEXT)
	{
		/* only the equality of text under a collation that compares bytes */
		return opno == TextEqualOperator && get_collation_isdeterministic(collation) ? BTEqualStrategyNumber : 0;
	}
	if (kind == VALUE_INT && get_typtype(left) == TYPTYPE_ENUM)
	{
		cache = lookup_type_cache(ANYENUMOID, TYPECACHE_EQ_OPR);
		return left == right && opno == cache->eq_opr ? BTEqualStrategyNumber : 0;
	}
	cache = lookup_type_cache(left, TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(cache->btree_opf))
		return 0;
	if (left != right)
	{
		/* across types only where both are plain integers */
		if ((left != INT2OID && left != INT4OID && left != INT8OID) ||
			(right != INT2OID && right != INT4OID && right != INT8OID))
			return 0;
	}
	return get_op_opfamily_strategy(opno, cache->btree_opf);
}

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
	column->kind = position == 0 ? VALUE_INT : kind_of_type(type);
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
demand_points(Column *column, int condition, Value *points, int npoints, bool below)
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
demand_bound(Column *column, int condition, int strategy, Value bound)
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
		int			cmp = interval->has_lower ? compare_values(column->kind, &bound, &interval->lower) : 1;

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
		int			cmp = interval->has_upper ? compare_values(column->kind, &bound, &interval->upper) : -1;

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
 * Tells whether an operator is ltree's "is at or below" or its equality.
 */
static bool
is_path_operator(Oid opno, Oid left, Oid right, bool *below)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(opno));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_operator op = (Form_pg_operator) GETSTRUCT(tuple);

		*below = strcmp(NameStr(op->oprname), "<@") == 0;
		result = (*below || strcmp(NameStr(op->oprname), "=") == 0) && op->oprleft == left && op->oprright == right && left == right;
		ReleaseSysCache(tuple);
	}
	return result;
}

/*
 * Takes "left op constant" into a column table.
 */
static bool
take_comparison(List **columns, int condition, OpExpr *op, const Bitmapset *indexable)
{
	Node	   *left = linitial(op->args);
	Node	   *right = list_length(op->args) == 2 ? lsecond(op->args) : NULL;
	Oid			opno = op->opno;
	Var		   *var;
	Const	   *constant;
	Column	   *column;
	Value		value = {0};
	int			strategy;

	if (right == NULL)
		return false;
	if (IsA(left, Const))
	{
		Node	   *swap = left;

		opno = get_commutator(opno);
		left = right;
		right = swap;
		if (!OidIsValid(opno))
			return false;
	}
	while (IsA(right, RelabelType))
		right = (Node *) ((RelabelType *) right)->arg;
	var = indexable_var(left, indexable);
	if (var == NULL || !IsA(right, Const))
		return false;
	constant = (Const *) right;
	if (constant->constisnull)
		return false;

	column = column_of(columns, var->varattno, var->vartype);
	if (column->kind == VALUE_NONE)
		return false;

	if (column->kind == VALUE_PATH)
	{
		Value	   *point = palloc0(sizeof(Value));
		bool		below;

		return is_path_operator(opno, var->vartype, constant->consttype, &below) &&
			read_value(VALUE_PATH, constant->consttype, constant->constvalue, point) &&
			demand_points(column, condition, point, 1, below);
	}

	if (kind_of_type(constant->consttype) != column->kind)
		return false;
	strategy = comparison_strategy(opno, exprType(left), exprType((Node *) constant), column->kind, op->inputcollid);
	if (strategy == 0 || !read_value(column->kind, constant->consttype, constant->constvalue, &value))
		return false;
	if (strategy == BTEqualStrategyNumber && column->kind != VALUE_NUMERIC && demand_on(column, condition) == NULL)
	{
		Value	   *point = palloc(sizeof(Value));

		*point = value;
		return demand_points(column, condition, point, 1, false);
	}
	if (column->kind == VALUE_TEXT)
		return false;
	return demand_bound(column, condition, strategy, value);
}

/*
 * Takes "column = ANY (constants)" or "path <@ ANY (constants)".
 */
static bool
take_membership(List **columns, int condition, ScalarArrayOpExpr *op, const Bitmapset *indexable)
{
	Var		   *var = indexable_var(linitial(op->args), indexable);
	Node	   *right = lsecond(op->args);
	Const	   *constant;
	Column	   *column;
	ArrayType  *array;
	Oid			element;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *datums;
	bool	   *nulls;
	int			n;
	int			npoints = 0;
	Value	   *points;
	bool		below = false;

	while (IsA(right, RelabelType))
		right = (Node *) ((RelabelType *) right)->arg;
	if (!op->useOr || var == NULL || !IsA(right, Const))
		return false;
	constant = (Const *) right;
	if (constant->constisnull)
		return false;
	column = column_of(columns, var->varattno, var->vartype);
	array = DatumGetArrayTypeP(constant->constvalue);
	element = ARR_ELEMTYPE(array);
	if (column->kind == VALUE_NONE || column->kind == VALUE_NUMERIC || kind_of_type(element) != column->kind)
		return false;
	if (column->kind == VALUE_PATH)
	{
		if (!is_path_operator(op->opno, var->vartype, element, &below))
			return false;
	}
	else if (comparison_strategy(op->opno, exprType(linitial(op->args)), element, column->kind, op->inputcollid) != BTEqualStrategyNumber)
		return false;

	get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element, typlen, typbyval, typalign, &datums, &nulls, &n);
	points = palloc0(sizeof(Value) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		/* a null among them can make the term null but never true */
		if (nulls[i])
			continue;
		if (!read_value(column->kind, element, datums[i], &points[npoints++]))
			return false;
	}
	return demand_points(column, condition, points, npoints, below);
}

/*
 * Takes a boolean column, plain or negated.
 */
static bool
take_boolean(List **columns, int condition, Node *node, bool wanted, const Bitmapset *indexable)
{
	Var		   *var = indexable_var(node, indexable);
	Value	   *point;

	if (var == NULL || var->vartype != BOOLOID)
		return false;
	point = palloc0(sizeof(Value));
	point->i = wanted;
	return demand_points(column_of(columns, var->varattno, BOOLOID), condition, point, 1, false);
}

/*
 * Takes one AND term into the column tables; false where it has to stay.
 */
static bool
take_term(List **columns, int condition, Node *term, const Bitmapset *indexable)
{
	switch (nodeTag(term))
	{
		case T_OpExpr:
			return take_comparison(columns, condition, (OpExpr *) term, indexable);
		case T_ScalarArrayOpExpr:
			return take_membership(columns, condition, (ScalarArrayOpExpr *) term, indexable);
		case T_Var:
		case T_RelabelType:
			return take_boolean(columns, condition, term, true, indexable);
		case T_BoolExpr:
			return ((BoolExpr *) term)->boolop == NOT_EXPR &&
				take_boolean(columns, condition, linitial(((BoolExpr *) term)->args), false, indexable);
		case T_BooleanTest:
			{
				BooleanTest *test = (BooleanTest *) term;

				if (test->booltesttype != IS_TRUE && test->booltesttype != IS_FALSE)
					return false;
				return take_boolean(columns, condition, (Node *) test->arg, test->booltesttype == IS_TRUE, indexable);
			}
		default:
			return false;
	}
}

/*
 * Splits a condition into its top-level AND terms.
 */
static List *
and_terms(Node *node, List *terms)
{
	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == AND_EXPR)
	{
		ListCell   *lc;

		check_stack_depth();
		foreach(lc, ((BoolExpr *) node)->args)
			terms = and_terms(lfirst(lc), terms);
		return terms;
	}
	return lappend(terms, node);
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
hash_point(ValueKind kind, const Value *value)
{
	if (kind == VALUE_INT)
		return hash_int64(value->i);
	return hash_bytes((const unsigned char *) value->bytes, (int) value->len);
}

static inline bool
same_point(ValueKind kind, const PointEntry *entry, const Value *value, uint32 hash)
{
	if (entry->hash != hash)
		return false;
	if (kind == VALUE_INT)
		return entry->key.i == value->i;
	return entry->len == value->len && memcmp(entry->key.bytes, value->bytes, value->len) == 0;
}

/*
 * Looks a point up; an entry without a set is the free place for it.
 */
static inline PointEntry *
find_point(const Column *column, const Value *value, uint32 hash)
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
		Value		value = {0};
		PointEntry *entry;

		while (len > 0 && path[len - 1] != '.')
			len--;
		if (len > 0)
			len--;
		value.bytes = path;
		value.len = len;
		entry = find_point(column, &value, hash_point(VALUE_PATH, &value));
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
			Value	   *value = &demand->points[i];
			uint32		hash = hash_point(column->kind, value);
			PointEntry *entry = find_point(column, value, hash);
			PointDemand *point;

			if (entry->set == NULL)
			{
				entry->hash = hash;
				entry->len = (uint32) value->len;
				if (column->kind == VALUE_INT)
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
	if (column->kind == VALUE_PATH)
		qsort(points, n, sizeof(PointDemand), compare_path_length);
	for (int i = 0; i < n; i++)
	{
		PointEntry *entry = points[i].entry;
		PointEntry *above = column->kind == VALUE_PATH ? nearest_ancestor(column, entry->key.bytes, entry->len) : NULL;
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

static ValueKind sort_kind;

static int
compare_bounds(const void *a, const void *b)
{
	return compare_values(sort_kind, a, b);
}

/*
 * Finds the elementary interval of a value: 2k + 1 where it is bound k, else
 * 2k for the gap before bound k.
 */
static int
find_interval(const Column *column, const Value *value)
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
		int			cmp = compare_values(column->kind, &column->bounds[middle], value);

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

	if (column->kind != VALUE_NUMERIC)
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
	column->bounds = palloc(sizeof(Value) * Max(nvalues, 1));
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
	qsort(column->bounds, n, sizeof(Value), compare_bounds);
	for (int i = 0; i < n; i++)
		if (column->nbounds == 0 || compare_values(column->kind, &column->bounds[column->nbounds - 1], &column->bounds[i]) != 0)
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
			foreach(lc, and_terms((Node *) conditions[i].when, NIL))
			{
				Node	   *term = lfirst(lc);

				if (!take_term(&columns, i, term, indexable))
					left = lappend(left, term);
			}
		}
		if (!TIMESTAMP_IS_NOBEGIN(conditions[i].from) || !TIMESTAMP_IS_NOEND(conditions[i].until))
		{
			Column	   *instant = column_of(&columns, 0, TIMESTAMPTZOID);

			demand_bound(instant, i, BTGreaterEqualStrategyNumber, (Value) {.i = conditions[i].from});
			demand_bound(instant, i, BTLessStrategyNumber, (Value) {.i = conditions[i].until});
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
		if (column->kind == VALUE_NUMERIC)
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
	Value		value = {0};
	PointEntry *entry;
	Datum		datum;

	if (column->position == 0)
		value.i = at;
	else
	{
		if (slot->tts_isnull[column->position - 1])
			return column->otherwise;
		datum = slot->tts_values[column->position - 1];
		if (column->kind == VALUE_PATH)
			path_text((struct varlena *) DatumGetPointer(datum), m->context, &m->path, &m->path_space, &value);
		else if (!read_value(column->kind, column->type, datum, &value))
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
	if (column->kind != VALUE_PATH)
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
