/*
 * cells.c
 *		settle.cells: the rows of a matrix, with subtotals.
 *
 * A subtotal is the sum of the cells below it, made here from the cells of the
 * matrix and not from tickets: each cell is added to every combination of what
 * its project, its region and its period roll up to.
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
 * Gives for each path the one it rolls up to: its parent in a tree, the total
 * over all at the root.  Enters parents that no ticket has named.
 */
static uint32 *
find_parents(MatrixEdit *totals, Subtotals kind)
{
	uint32		room = Max(totals->matrix->npaths, 1);
	uint32	   *parents = palloc(room * sizeof(uint32));

	for (uint32 i = 0; i < totals->matrix->npaths; i++)
	{
		const ltree *path = settle_matrix_path(totals->matrix, i);
		ltree	   *parent;
		ltree_level *level = LTREE_FIRST(path);
		Size		size;

		if (i == room)
		{
			room *= 2;
			parents = repalloc(parents, room * sizeof(uint32));
		}
		parents[i] = MATRIX_ALL_PATHS;
		if (kind != SUBTOTALS_TREE || path->numlevel < 2)
			continue;

		for (int n = 1; n < path->numlevel; n++)
			level = LEVEL_NEXT(level);
		size = (char *) level - (char *) path;
		parent = palloc(size);
		memcpy(parent, path, size);
		parent->numlevel--;
		parents[i] = settle_matrix_add_path(totals, VARDATA(parent), size - VARHDRSZ);
		pfree(parent);
	}
	return parents;
}

static inline uint32
roll_up_path(const uint32 *parents, uint32 path)
{
	return path == MATRIX_NO_PATH ? MATRIX_ALL_PATHS : parents[path];
}

/*
 * Sums the cells of a matrix up.  The result holds the cells too; in a tree a
 * path's own tickets are part of what stands for its subtree.
 */
static SettleMatrix *
sum_up(const SettleMatrix *matrix, Subtotals kind)
{
	const MatrixCell *cells = settle_matrix_cells(matrix);
	MatrixEdit	totals = settle_matrix_new(MaxAllocHugeSize);
	uint32	   *parents;
	MatrixKey	key;

	/* the same paths under the same numbers */
	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		const ltree *path = settle_matrix_path(matrix, i);

		settle_matrix_add_path(&totals, VARDATA(path), VARSIZE(path) - VARHDRSZ);
	}
	parents = find_parents(&totals, kind);

	for (uint32 i = 0; i < matrix->ncells; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (key.project = cells[i].key.project;; key.project = roll_up_path(parents, key.project))
		{
			for (key.region = cells[i].key.region;; key.region = roll_up_path(parents, key.region))
			{
				key.period = cells[i].key.period;
				settle_matrix_add_sums(&totals, settle_matrix_add_cell(&totals, key), matrix, &cells[i]);
				key.period = MATRIX_ALL_PERIODS;
				settle_matrix_add_sums(&totals, settle_matrix_add_cell(&totals, key), matrix, &cells[i]);
				if (key.region == MATRIX_ALL_PATHS)
					break;
			}
			if (key.project == MATRIX_ALL_PATHS)
				break;
		}
	}

	/* a grand total of nothing is a row as well, as it is for GROUP BY CUBE */
	if (matrix->ncells == 0)
	{
		key.project = key.region = MATRIX_ALL_PATHS;
		key.period = MATRIX_ALL_PERIODS;
		settle_matrix_add_cell(&totals, key);
	}
	pfree(parents);
	return totals.matrix;
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
static void
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
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	MemoryContext outer;
	const MatrixCell *cells;

	InitMaterializedSRF(fcinfo, 0);
	if (matrix->form != MATRIX_SORTED)
		matrix = settle_matrix_sort(matrix);
	if (kind != SUBTOTALS_NONE)
		matrix = sum_up(matrix, kind);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "settle.cells row", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(row_context);
	cells = settle_matrix_cells(matrix);
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
	return (Datum) 0;
}
