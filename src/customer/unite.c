/*
 * unite.c
 *		Union-find with values that must not meet: settle._unite.
 *
 * A join is a set of nodes; it makes one component of those that its nodes are
 * in, unless two values of one slot would meet in it: then it joins nothing.
 * So the outcome is a function of the order of the joins, which the caller
 * fixes by what they are, and not of the order in which anybody learnt of them.
 * A node that holds two values of one slot itself is left out of every join.
 * All memory is the caller's context; it is gone with the call.
 */
#include "core/core.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct Holding
{
	int64		slot;
	int64		value;
} Holding;

typedef struct Place
{
	int64		id;
	int			parent;
	int			size;
	int64		least;			/* of a root: the smallest id of its component */
	Holding    *held;			/* of a root, sorted by slot */
	int			nheld;
	bool		contradicts;	/* it holds two values of a slot */
} Place;

typedef struct Forest
{
	Place	   *nodes;			/* sorted by id */
	int			n;
} Forest;

static int64 *
numbers_in(FunctionCallInfo fcinfo, int arg, int *n)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(arg);

	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (ARR_ELEMTYPE(array) != INT8OID || array_contains_nulls(array))
		elog(ERROR, "argument %d is not an array of numbers without nulls", arg + 1);
	return (int64 *) ARR_DATA_PTR(array);
}

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

static Forest
plant(const int64 *members, int n)
{
	int64	   *ids = palloc_extended(sizeof(int64) * Max(n, 1), MCXT_ALLOC_HUGE);
	Forest		forest = {palloc_extended(sizeof(Place) * Max(n, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO), 0};

	memcpy(ids, members, sizeof(int64) * n);
	qsort(ids, n, sizeof(int64), compare_ids);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && ids[i] == ids[i - 1])
			continue;
		forest.nodes[forest.n] = (Place)
		{
			.id = ids[i], .parent = forest.n, .size = 1, .least = ids[i]
		};
		forest.n++;
	}
	pfree(ids);
	return forest;
}

static int
find_node(const Forest *forest, int64 id)
{
	Place	   *node = bsearch(&id, forest->nodes, forest->n, sizeof(Place), compare_ids);	/* the id stands first */

	return node == NULL ? -1 : (int) (node - forest->nodes);
}

static int
root_of(Forest *forest, int node)
{
	Place	   *nodes = forest->nodes;

	while (nodes[node].parent != node)
		node = nodes[node].parent = nodes[nodes[node].parent].parent;
	return node;
}

/*
 * Merges two lists sorted by slot.  False where two values of a slot meet.
 */
static bool
merge_held(const Holding *a, int na, const Holding *b, int nb, Holding **result, int *n)
{
	int			i = 0;
	int			j = 0;

	*n = 0;
	*result = palloc(sizeof(Holding) * Max(na + nb, 1));
	while (i < na || j < nb)
	{
		if (j == nb || (i < na && a[i].slot < b[j].slot))
			(*result)[(*n)++] = a[i++];
		else if (i == na || b[j].slot < a[i].slot)
			(*result)[(*n)++] = b[j++];
		else if (a[i].value != b[j].value)
			return false;
		else
		{
			(*result)[(*n)++] = a[i++];
			j++;
		}
	}
	return true;
}

static void
give_holdings(Forest *forest, const int64 *holders, const int64 *slots, const int64 *values, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			at = find_node(forest, holders[i]);
		Place	   *node = at < 0 ? NULL : &forest->nodes[at];
		Holding		held = {slots[i], values[i]};

		if (node != NULL && !merge_held(node->held, node->nheld, &held, 1, &node->held, &node->nheld))
			node->contradicts = true;
	}
}

/*
 * Makes a join of some nodes, given by index; false where it must not be.
 */
static bool
unite(Forest *forest, const int *members, int n)
{
	Place	   *nodes = forest->nodes;
	int			largest = -1;
	Holding    *held = NULL;
	int			nheld = 0;
	int64		least = PG_INT64_MAX;

	for (int i = 0; i < n; i++)
	{
		int			root = root_of(forest, members[i]);

		if (nodes[members[i]].contradicts)
			continue;
		if (nodes[root].nheld > 0 && !merge_held(held, nheld, nodes[root].held, nodes[root].nheld, &held, &nheld))
			return false;
		least = Min(least, nodes[root].least);
		if (largest < 0 || nodes[root].size > nodes[largest].size)
			largest = root;
	}
	for (int i = 0; i < n; i++)
	{
		int			root = root_of(forest, members[i]);

		if (nodes[members[i]].contradicts || root == largest)
			continue;
		nodes[root].parent = largest;
		nodes[largest].size += nodes[root].size;
	}
	if (largest >= 0)
	{
		nodes[largest].held = held;
		nodes[largest].nheld = nheld;
		nodes[largest].least = least;
	}
	return true;
}

PG_FUNCTION_INFO_V1(settle_unite);

/*
 * settle._unite(joins bigint[], nodes bigint[], holders bigint[], slots bigint[], held bigint[])
 * returns setof (join_no bigint, node bigint, component bigint, made boolean)
 *
 * One row for each of joins and nodes, which stand in parallel, the nodes of a
 * join one after the other.  component is the smallest node of it; made is
 * null for a node that is left out.
 */
Datum
settle_unite(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n;
	int			nnodes;
	int			nheld[3];
	int64	   *joins = numbers_in(fcinfo, 0, &n);
	int64	   *members = numbers_in(fcinfo, 1, &nnodes);
	int64	   *holders = numbers_in(fcinfo, 2, &nheld[0]);
	int64	   *slots = numbers_in(fcinfo, 3, &nheld[1]);
	int64	   *held = numbers_in(fcinfo, 4, &nheld[2]);
	Forest		forest;
	int		   *index;
	bool	   *made;

	if (n != nnodes || nheld[0] != nheld[1] || nheld[0] != nheld[2])
		elog(ERROR, "arrays of different lengths");
	InitMaterializedSRF(fcinfo, 0);
	forest = plant(members, n);
	give_holdings(&forest, holders, slots, held, nheld[0]);
	index = palloc_extended(sizeof(int) * Max(n, 1), MCXT_ALLOC_HUGE);
	made = palloc_extended(Max(n, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		index[i] = find_node(&forest, members[i]);
	for (int from = 0, to; from < n; from = to)
	{
		CHECK_FOR_INTERRUPTS();
		for (to = from + 1; to < n && joins[to] == joins[from]; to++)
			;
		memset(made + from, unite(&forest, index + from, to - from), to - from);
	}
	for (int i = 0; i < n; i++)
	{
		bool		nulls[4] = {false, false, false, forest.nodes[index[i]].contradicts};
		Datum		values[4] = {Int64GetDatum(joins[i]), Int64GetDatum(members[i]),
			Int64GetDatum(forest.nodes[root_of(&forest, index[i])].least), BoolGetDatum(made[i])};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
