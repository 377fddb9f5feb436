/*
 * match.c
 *		An index over conditions.
 *
 * For each column that conditions test, a table (column.h) tells which
 * conditions a value of that column leaves standing.  A row's candidates are the
 * intersection over the columns; the terms that no column table can decide are
 * left as a residual expression.  Indexed are the top-level AND terms that
 * conjunct.c reads, but for lists of numbers.
 */
#include "rule/match.h"

#include "nodes/makefuncs.h"
#include "rule/column.h"

struct SettleMatcher
{
	int			n;
	SettleBitsSpace space;
	int			ncolumns;
	Column	   *columns;
	Expr	  **residuals;
	SettleBits *found;			/* scratch, one a column */
	int		   *numbers;		/* of words that may have candidates; scratch, as are these words */
	uint64	   *words;
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

/* ---- building ---- */

/*
 * Tells whether a term is the constant true, which asks for nothing.
 */
static bool
is_true(const Node *term)
{
	return IsA(term, Const) && !((const Const *) term)->constisnull && DatumGetBool(((const Const *) term)->constvalue);
}

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

				if (!is_true(term) && !take_term(&columns, i, term, indexable))
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
	m->numbers = palloc(sizeof(int) * m->space.nwords);
	m->words = palloc(sizeof(uint64) * m->space.nwords);
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
		settle_column_build(&m->space, column);
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
 * Lists the words in which every column leaves something standing, as far as
 * the summaries tell; returns how many there are.
 */
static inline int
list_words(SettleMatcher *m)
{
	int			n = 0;

	for (int s = 0; s < m->space.nsummary; s++)
	{
		uint64		alive = settle_bits_summary(m->found[0])[s];

		for (int i = 1; i < m->ncolumns; i++)
			alive &= settle_bits_summary(m->found[i])[s];
		for (; alive != 0; alive &= alive - 1)
			m->numbers[n++] = s * 64 + pg_rightmost_one_pos64(alive);
	}
	return n;
}

int
settle_candidates(SettleMatcher *m, TupleTableSlot *slot, TimestampTz at, int *candidates)
{
	const SettleBitsSpace *space = &m->space;
	const int  *numbers = space->all;
	int			nwords = space->nwords;
	int			n = 0;

	if (m->ncolumns == 0)
	{
		for (int i = 0; i < m->n; i++)
			candidates[i] = i;
		return m->n;
	}
	for (int i = 0; i < m->ncolumns; i++)
		m->found[i] = settle_column_set(&m->columns[i], slot, at);
	if (nwords > SETTLE_FEW_WORDS)
	{
		numbers = m->numbers;
		nwords = list_words(m);
	}
	for (int k = 0; k < nwords; k++)
		m->words[k] = PG_UINT64_MAX;
	for (int i = 0; i < m->ncolumns; i++)
		settle_bits_intersect(space, m->found[i], m->columns[i].otherwise, numbers, nwords, m->words);
	for (int k = 0; k < nwords; k++)
		for (uint64 word = m->words[k]; word != 0; word &= word - 1)
			candidates[n++] = numbers[k] * 64 + pg_rightmost_one_pos64(word);
	return n;
}
