/*
 * cells.c
 *		settle.cells: the rows of a matrix, with subtotals.
 *
 * Subtotals are summed up here, from the cells of the matrix and not from
 * tickets, one axis after the other: what is summed up along the first is summed
 * up further along the next.
 */
#include "matrix/matrix.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* GROUPING(project, region, period): a bit is set where a row is a total over that axis */
#define OVER_PROJECTS	4
#define OVER_REGIONS	2
#define OVER_PERIODS	1

#define CELL_COLUMNS	11

typedef enum Subtotals
{
	SUBTOTALS_NONE,
	SUBTOTALS_CUBE,
	SUBTOTALS_TREE
} Subtotals;

/* What a path rolls up to, and in how many steps it gets to the total over all. */
typedef struct Parent
{
	uint32		path;
	uint32		level;
} Parent;

PG_FUNCTION_INFO_V1(settle_cells);

/*
 * Reads the word that says which subtotals are wanted.
 */
static Subtotals
subtotals_wanted(const char *word)
{
	if (strcmp(word, "none") == 0)
		return SUBTOTALS_NONE;
	if (strcmp(word, "cube") == 0)
		return SUBTOTALS_CUBE;
	if (strcmp(word, "tree") == 0)
		return SUBTOTALS_TREE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown kind of subtotals \"%s\"", word),
			 errhint("Kinds are \"none\", \"cube\" and \"tree\".")));
}

/*
 * Lists what the paths of a matrix roll up to.  Parents that no ticket has named
 * are entered into it.
 */
static Parent *
find_parents(MatrixEdit *totals, Subtotals kind)
{
	uint32		room = Max(totals->matrix->npaths, 1);
	Parent	   *parents = palloc(room * sizeof(Parent));

	for (uint32 i = 0; i < totals->matrix->npaths; i++)
	{
		const ltree *path = settle_matrix_path(totals->matrix, i);
		const ltree_level *level = LTREE_FIRST(path);
		ltree	   *parent;
		Size		size;

		CHECK_FOR_INTERRUPTS();
		if (i == room)
		{
			room *= 2;
			parents = repalloc(parents, room * sizeof(Parent));
		}
		parents[i].path = MATRIX_ALL_PATHS;
		parents[i].level = 1;
		if (kind != SUBTOTALS_TREE || path->numlevel < 2)
			continue;

		for (int n = 1; n < path->numlevel; n++)
			level = LEVEL_NEXT(level);
		size = (const char *) level - (const char *) path;
		parent = palloc(size);
		memcpy(parent, path, size);
		parent->numlevel--;
		parents[i].level = path->numlevel;
		parents[i].path = settle_matrix_add_path(totals, VARDATA(parent), size - VARHDRSZ);
		pfree(parent);
	}
	return parents;
}

/*
 * Gives the key that a cell is added to on its way up along one axis; false if
 * it stands on another level.
 */
static inline bool
roll_up_key(MatrixKey *key, int axis, int level, const Parent *parents)
{
	uint32	   *path = axis == OVER_PROJECTS ? &key->project : &key->region;

	if (axis == OVER_PERIODS)
	{
		key->period = MATRIX_ALL_PERIODS;
		return level == 1;
	}
	if (*path == MATRIX_ALL_PATHS)
		return false;
	if (*path == MATRIX_NO_PATH)
	{
		*path = MATRIX_ALL_PATHS;
		return level == 1;
	}
	if (parents[*path].level != level)
		return false;
	*path = parents[*path].path;
	return true;
}

/*
 * Adds the first cells of a matrix, or of the totals themselves if source is
 * NULL, to what stands above them on one axis.
 */
static void
roll_up(MatrixEdit *totals, const SettleMatrix *source, uint32 ncells, int axis, int level, const Parent *parents)
{
	for (uint32 i = 0; i < ncells; i++)
	{
		MatrixCell	from = settle_matrix_cells(source ? source : totals->matrix)[i];
		MatrixKey	key = from.key;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (roll_up_key(&key, axis, level, parents))
			settle_matrix_add_sums(totals, settle_matrix_add_cell(totals, key), source, &from);
	}
}

/*
 * Sums the cells of a matrix up along the levels of both paths, axis after axis.
 *
 * The result holds the cells as well, since a path's own tickets are part of the
 * sum of its subtree.  The deepest level goes first, so that whatever is added to
 * a parent is complete.
 */
static SettleMatrix *
sum_up_tree(const SettleMatrix *matrix)
{
	static const int axes[] = {OVER_PERIODS, OVER_REGIONS, OVER_PROJECTS};
	MatrixEdit	totals = settle_matrix_new(MaxAllocHugeSize);
	const Parent *parents;
	int			deepest = 1;

	settle_matrix_merge(&totals, matrix);
	parents = find_parents(&totals, SUBTOTALS_TREE);
	for (uint32 i = 0; i < totals.matrix->npaths; i++)
		deepest = Max(deepest, parents[i].level);

	for (int i = 0; i < lengthof(axes); i++)
		for (int level = deepest; level > 0; level--)
			roll_up(&totals, NULL, totals.matrix->ncells, axes[i], level, parents);
	return totals.matrix;
}

/*
 * Sums the cells of a matrix, and what they come to over the periods, up over
 * regions, then over projects.
 */
static SettleMatrix *
sum_up_cube(const SettleMatrix *matrix, const SettleMatrix *over_periods)
{
	static const int axes[] = {OVER_REGIONS, OVER_PROJECTS};
	MatrixEdit	totals = settle_matrix_new(MaxAllocHugeSize);
	const Parent *parents;

	settle_matrix_add_paths(&totals, matrix);
	parents = find_parents(&totals, SUBTOTALS_CUBE);
	for (int i = 0; i < lengthof(axes); i++)
	{
		uint32		ntotals = totals.matrix->ncells;

		roll_up(&totals, matrix, matrix->ncells, axes[i], 1, parents);
		roll_up(&totals, over_periods, over_periods->ncells, axes[i], 1, parents);
		roll_up(&totals, NULL, ntotals, axes[i], 1, parents);
	}
	return totals.matrix;
}

/*
 * Gives the grand total of nothing, which GROUP BY CUBE has too.
 */
static SettleMatrix *
empty_total(void)
{
	MatrixEdit	total = settle_matrix_new(MaxAllocSize);

	settle_matrix_add_cell(&total, (MatrixKey) {MATRIX_ALL_PATHS, MATRIX_ALL_PATHS, MATRIX_ALL_PERIODS});
	return total.matrix;
}

/*
 * Fills the columns of one axis: the path and its depth, null for a null and
 * for a total.  Returns whether it is a total.
 */
static bool
path_columns(const SettleMatrix *matrix, uint32 path, Datum *values, bool *nulls, int path_column, int level_column)
{
	nulls[path_column] = nulls[level_column] = path == MATRIX_NO_PATH || path == MATRIX_ALL_PATHS;
	if (!nulls[path_column])
	{
		values[path_column] = PointerGetDatum(settle_matrix_path(matrix, path));
		values[level_column] = Int32GetDatum(settle_matrix_path(matrix, path)->numlevel);
	}
	return path == MATRIX_ALL_PATHS;
}

/*
 * Fills the columns of one cell.
 */
static inline void
cell_columns(const SettleMatrix *matrix, const MatrixCell *cell, Datum *values, bool *nulls)
{
	static const SettleRounding margin_rounding = {
		.mode = SETTLE_HALF_UP,
		.step = {.coef = 1, .scale = 4}
	};
	SettleDec	revenue,
				cost,
				profit;
	int			grouping = 0;

	if (path_columns(matrix, cell->key.project, values, nulls, 0, 4))
		grouping |= OVER_PROJECTS;
	if (path_columns(matrix, cell->key.region, values, nulls, 1, 5))
		grouping |= OVER_REGIONS;
	if (cell->key.period == MATRIX_ALL_PERIODS)
		grouping |= OVER_PERIODS;
	nulls[2] = cell->key.period == MATRIX_NO_PERIOD || cell->key.period == MATRIX_ALL_PERIODS;
	if (!nulls[2])
		values[2] = DateADTGetDatum(settle_matrix_date(cell->key.period));
	values[3] = Int32GetDatum(grouping);
	values[6] = Int64GetDatum(cell->tickets);

	nulls[7] = !settle_matrix_sum(matrix, cell, MATRIX_REVENUE, &revenue);
	nulls[8] = !settle_matrix_sum(matrix, cell, MATRIX_COST, &cost);
	nulls[9] = nulls[10] = nulls[7] || nulls[8];
	if (!nulls[7])
		values[7] = NumericGetDatum(settle_dec_to_numeric(revenue));
	if (!nulls[8])
		values[8] = NumericGetDatum(settle_dec_to_numeric(cost));
	if (nulls[9])
		return;

	profit = settle_dec_sub(revenue, cost);
	values[9] = NumericGetDatum(settle_dec_to_numeric(profit));
	if (settle_dec_sign(revenue) > 0)
		values[10] = NumericGetDatum(settle_dec_to_numeric(settle_ratio_round((SettleRatio) {profit, revenue}, &margin_rounding)));
	else
		nulls[10] = true;
}

/*
 * Puts the cells of a matrix into the result.
 */
static void
show_cells(ReturnSetInfo *result, const SettleMatrix *matrix)
{
	const MatrixCell *cells = settle_matrix_cells(matrix);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "settle.cells row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(row_context);

	for (uint32 i = 0; i < matrix->ncells; i++)
	{
		Datum		values[CELL_COLUMNS];
		bool		nulls[CELL_COLUMNS] = {false};

		CHECK_FOR_INTERRUPTS();
		cell_columns(matrix, &cells[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(row_context);
}

/*
 * Starts the result.  Its rows are never freed one by one; in a generation
 * context, where PostgreSQL 17 keeps them by itself, they take a fifth less
 * memory, and fresh memory is what many rows cost most.
 */
static ReturnSetInfo *
begin_result(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext outer;

	InitMaterializedSRF(fcinfo, 0);
	tuplestore_end(result->setResult);
	outer = MemoryContextSwitchTo(GenerationContextCreate(result->econtext->ecxt_per_query_memory, "settle.cells", ALLOCSET_DEFAULT_SIZES));
	result->setResult = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(outer);
	return result;
}

/*
 * Shows a matrix as rows.
 *
 * settle.cells(matrix settle.matrix, subtotals text default 'cube') -> setof (project, region, period, grouping,
 * project_level, region_level, tickets, revenue, cost, profit, margin)
 */
Datum
settle_cells(PG_FUNCTION_ARGS)
{
	SettleMatrix *matrix = settle_matrix_arg(PG_GETARG_DATUM(0));
	Subtotals	kind = subtotals_wanted(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	ReturnSetInfo *result = begin_result(fcinfo);

	if (!matrix->sorted)
		matrix = settle_matrix_sort(matrix);
	if (kind != SUBTOTALS_NONE && matrix->ncells == 0)
		show_cells(result, empty_total());
	else if (kind == SUBTOTALS_TREE)
		show_cells(result, sum_up_tree(matrix));
	else
		show_cells(result, matrix);
	if (kind == SUBTOTALS_CUBE && matrix->ncells > 0)
	{
		const SettleMatrix *over_periods = settle_matrix_over_periods(matrix);

		show_cells(result, over_periods);
		show_cells(result, sum_up_cube(matrix, over_periods));
	}
	return (Datum) 0;
}
