/*
 * aggregate.c
 *		The aggregates settle.revenue_matrix and settle.matrix_sum.
 *
 * Their state is a settle.matrix with hash tables: a real type, so that parallel
 * query and Citus can ship it between processes, and changed in place, which is
 * right only for the state of an aggregate.  Every entry point insists on being
 * called as part of one.
 *
 * A small state is a flat value.  When it has to grow it is rebuilt in the
 * context of the row; the executor copies it to where states live and frees the
 * one before.  A large state is an expanded object, which grows without copies.
 * It must not be one before it is large: an expanded object is a memory context,
 * and a hash aggregate visits the contexts of all its states for every new
 * group.
 */
#include "matrix/matrix.h"

#include "fmgr.h"
#include "utils/expandeddatum.h"
#include "utils/memutils.h"

/* Bytes from which on a state is an expanded object. */
#define LARGE_STATE		(256 * 1024)

/* A large state. */
typedef struct LargeState
{
	ExpandedObjectHeader header;
	SettleMatrix *matrix;
} LargeState;

/* The state of an aggregate while it is changed. */
typedef struct State
{
	MatrixEdit	edit;
	LargeState *large;			/* NULL while it is small */
	MemoryContext context;		/* where the states of the aggregate live */
} State;

PG_FUNCTION_INFO_V1(settle_matrix_step);
PG_FUNCTION_INFO_V1(settle_matrix_combine);
PG_FUNCTION_INFO_V1(settle_matrix_final);

/*
 * Gives the size of a large state as a flat value.
 */
static Size
large_state_size(ExpandedObjectHeader *header)
{
	return settle_matrix_compact_size(((LargeState *) header)->matrix);
}

/*
 * Copies a large state into a flat value.
 */
static void
flatten_large_state(ExpandedObjectHeader *header, void *result, Size size)
{
	settle_matrix_compact(((LargeState *) header)->matrix, result, size);
}

static const ExpandedObjectMethods large_state_methods = {large_state_size, flatten_large_state};

/*
 * Turns a state into a large one that starts as a copy of a matrix.
 */
static void
enlarge_state(State *state, const SettleMatrix *matrix)
{
	MemoryContext context = AllocSetContextCreate(state->context, "settle.matrix", ALLOCSET_START_SMALL_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);

	state->large = palloc(sizeof(LargeState));
	EOH_init_header(&state->large->header, &large_state_methods, context);
	state->edit = settle_matrix_edit(matrix, MaxAllocSize);
	state->large->matrix = state->edit.matrix;
	MemoryContextSwitchTo(outer);
}

/*
 * Turns a state into a copy of a vetted matrix.
 */
static void
copy_to_state(State *state, const SettleMatrix *matrix)
{
	if (settle_matrix_compact_size(matrix) > LARGE_STATE)
		enlarge_state(state, matrix);
	else
	{
		state->edit = settle_matrix_edit(matrix, MaxAllocSize);
		state->edit.owned = false;
	}
}

/*
 * Opens the state that is the first argument for changes.
 */
static State
open_state(FunctionCallInfo fcinfo)
{
	State		state;
	Pointer		value;

	if (!AggCheckCallContext(fcinfo, &state.context))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("support function of an aggregate called outside of one")));

	state.large = NULL;
	if (PG_ARGISNULL(0))
	{
		state.edit = settle_matrix_new(MaxAllocSize);
		state.edit.owned = false;
		return state;
	}

	value = DatumGetPointer(PG_GETARG_DATUM(0));
	if (VARATT_IS_EXTERNAL_EXPANDED_RW(value))
	{
		state.large = (LargeState *) DatumGetEOHP(PG_GETARG_DATUM(0));
		state.edit.matrix = state.large->matrix;
		state.edit.owned = true;
	}
	else
	{
		state.edit.matrix = (SettleMatrix *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
		state.edit.owned = false;
	}
	state.edit.limit = MaxAllocSize;

	/* a value without hash tables is not ours: the start of somebody's own aggregate */
	if (state.edit.matrix->cell_bits == 0)
		copy_to_state(&state, settle_matrix_arg(PG_GETARG_DATUM(0)));
	return state;
}

/*
 * Gives the state back to the executor.
 */
static Datum
close_state(State *state)
{
	if (state->large == NULL && unlikely(VARSIZE(state->edit.matrix) > LARGE_STATE))
		enlarge_state(state, state->edit.matrix);
	if (state->large == NULL)
		return PointerGetDatum(state->edit.matrix);
	state->large->matrix = state->edit.matrix;
	return EOHPGetRWDatum(&state->large->header);
}

/*
 * Gives the number of the path in an argument.
 */
static uint32
path_argument(MatrixEdit *edit, FunctionCallInfo fcinfo, int argument)
{
	struct varlena *path;

	if (PG_ARGISNULL(argument))
		return MATRIX_NO_PATH;
	path = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(argument));
	return settle_matrix_add_path(edit, VARDATA_ANY(path), VARSIZE_ANY_EXHDR(path));
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
	amount = settle_matrix_amount((Numeric) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(argument)));
	settle_matrix_add_amount(edit, cell, sum, &amount);
}

/*
 * Adds one ticket.
 *
 * settle._matrix_step(state settle.matrix, project ltree, region ltree, period date, revenue numeric, cost numeric) -> settle.matrix
 */
Datum
settle_matrix_step(PG_FUNCTION_ARGS)
{
	State		state = open_state(fcinfo);
	MatrixKey	key;
	uint32		cell;

	key.project = path_argument(&state.edit, fcinfo, 1);
	key.region = path_argument(&state.edit, fcinfo, 2);
	key.period = PG_ARGISNULL(3) ? MATRIX_NO_PERIOD : settle_matrix_period(PG_GETARG_DATEADT(3));
	cell = settle_matrix_add_cell(&state.edit, key);
	settle_matrix_add_tickets(&state.edit, cell, 1);
	amount_argument(&state.edit, fcinfo, 4, cell, MATRIX_REVENUE);
	amount_argument(&state.edit, fcinfo, 5, cell, MATRIX_COST);
	PG_RETURN_DATUM(close_state(&state));
}

/*
 * Adds a whole matrix: the state of another process, or a value of a column.
 *
 * settle._matrix_combine(state settle.matrix, other settle.matrix) -> settle.matrix
 */
Datum
settle_matrix_combine(PG_FUNCTION_ARGS)
{
	State		state = open_state(fcinfo);

	if (PG_ARGISNULL(0) && !PG_ARGISNULL(1))
		copy_to_state(&state, settle_matrix_arg(PG_GETARG_DATUM(1)));
	else if (!PG_ARGISNULL(1))
		settle_matrix_merge(&state.edit, settle_matrix_arg(PG_GETARG_DATUM(1)));
	PG_RETURN_DATUM(close_state(&state));
}

/*
 * Gives the matrix that a state amounts to, sorted; empty if nothing was added.
 *
 * settle._matrix_final(state settle.matrix) -> settle.matrix
 */
Datum
settle_matrix_final(PG_FUNCTION_ARGS)
{
	Datum		state = PG_GETARG_DATUM(0);

	if (PG_ARGISNULL(0))
		PG_RETURN_POINTER(settle_matrix_sort(settle_matrix_new(MaxAllocSize).matrix));
	if (VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(state)))
		PG_RETURN_POINTER(settle_matrix_sort(((LargeState *) DatumGetEOHP(state))->matrix));
	PG_RETURN_POINTER(settle_matrix_sort(settle_matrix_arg(state)));
}
