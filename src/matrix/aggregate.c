/*
 * aggregate.c
 *		The aggregates settle.revenue_matrix and settle.matrix_sum.
 *
 * Their state is a settle.matrix in working form, a real type, so that parallel
 * query and Citus can ship it between processes.  It is changed in place, which
 * is right only for the state of an aggregate: every entry point insists on
 * being called as part of one.  When the state has to grow it is rebuilt in the
 * context of the row; the executor copies it to where states live and frees the
 * one before.
 */
#include "matrix/matrix.h"

#include "fmgr.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(settle_matrix_accumulate);
PG_FUNCTION_INFO_V1(settle_matrix_combine);
PG_FUNCTION_INFO_V1(settle_matrix_finish);

/*
 * Opens the state that is the first argument for changes, a new one if it is null.
 */
static MatrixEdit
open_state(FunctionCallInfo fcinfo)
{
	MatrixEdit	edit;

	if (!AggCheckCallContext(fcinfo, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("aggregate support function called outside of an aggregate")));
	if (PG_ARGISNULL(0))
		return settle_matrix_new(MaxAllocSize);

	edit.matrix = (SettleMatrix *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
	edit.owned = false;
	edit.limit = MaxAllocSize;
	if (edit.matrix->form != MATRIX_WORKING)
		return settle_matrix_edit(settle_matrix_arg(PG_GETARG_DATUM(0)), MaxAllocSize);
	return edit;
}

/*
 * Gives the number of the path in an argument.
 *
 * Neighbouring tickets often agree in a project or region, so the path of the
 * one before is compared before anything is hashed.
 */
static uint32
path_argument(MatrixEdit *edit, FunctionCallInfo fcinfo, int argument, int axis)
{
	struct varlena *path;
	uint32		number;

	if (PG_ARGISNULL(argument))
		return MATRIX_NO_PATH;
	path = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(argument));
	number = settle_matrix_add_path(edit, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));
	edit->matrix->last_path[axis] = number;
	return number;
}

/*
 * Adds the amount in an argument to a sum of a cell; a null adds nothing.
 */
static void
amount_argument(MatrixEdit *edit, FunctionCallInfo fcinfo, int argument, uint32 cell, int sum)
{
	SettleDec	amount;

	if (PG_ARGISNULL(argument))
		return;
	amount = settle_dec_from_numeric(PG_GETARG_NUMERIC(argument));
	settle_matrix_add_amount(edit, cell, sum, &amount);
}

/*
 * Adds one ticket.
 *
 * settle._matrix_add(state settle.matrix, project ltree, region ltree, period date, revenue numeric, cost numeric) -> settle.matrix
 */
Datum
settle_matrix_accumulate(PG_FUNCTION_ARGS)
{
	MatrixEdit	edit = open_state(fcinfo);
	MatrixKey	key;
	uint32		cell;

	key.project = path_argument(&edit, fcinfo, 1, 0);
	key.region = path_argument(&edit, fcinfo, 2, 1);
	key.period = PG_ARGISNULL(3) ? MATRIX_NO_PERIOD : settle_matrix_period(PG_GETARG_DATEADT(3));
	cell = settle_matrix_add_cell(&edit, key);
	settle_matrix_add_tickets(&edit, cell, 1);
	amount_argument(&edit, fcinfo, 4, cell, MATRIX_REVENUE);
	amount_argument(&edit, fcinfo, 5, cell, MATRIX_COST);
	PG_RETURN_POINTER(edit.matrix);
}

/*
 * Adds a whole matrix: the state of another process, or a value of a column.
 *
 * settle._matrix_merge(state settle.matrix, other settle.matrix) -> settle.matrix
 */
Datum
settle_matrix_combine(PG_FUNCTION_ARGS)
{
	MatrixEdit	edit;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	edit = open_state(fcinfo);
	settle_matrix_merge(&edit, settle_matrix_arg(PG_GETARG_DATUM(1)));
	PG_RETURN_POINTER(edit.matrix);
}

/*
 * Gives the matrix that a state amounts to: in sorted form, empty if nothing was
 * aggregated.
 *
 * settle._matrix_final(state settle.matrix) -> settle.matrix
 */
Datum
settle_matrix_finish(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_POINTER(settle_matrix_sort(settle_matrix_new(MaxAllocSize).matrix));
	PG_RETURN_POINTER(settle_matrix_sort(settle_matrix_arg(PG_GETARG_DATUM(0))));
}
