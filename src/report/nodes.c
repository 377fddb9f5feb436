/*
 * nodes.c
 *		The nodes of a tree that a path stands on or below.
 *
 * Written in C for the planner more than for speed: it must know that a path
 * has a few nodes, not the thousand that it supposes of generate_series.
 */
#include "core/core.h"

#include "extension/ltree/ltree.h"
#include "funcapi.h"
#include "utils/builtins.h"

/*
 * settle._nodes(path ltree) returns setof (level int, node text)
 *
 * Returns all, which is level 0 and the empty path, then each beginning of the
 * path.  A null path stands on no node but all.
 */
PG_FUNCTION_INFO_V1(settle_nodes);
Datum
settle_nodes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ltree	   *path = PG_ARGISNULL(0) ? NULL : (ltree *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
	int			nlevels = path == NULL ? 0 : path->numlevel;
	char	   *text = palloc(path == NULL ? 1 : VARSIZE(path));
	int			length = 0;
	ltree_level *label = path == NULL ? NULL : LTREE_FIRST(path);

	InitMaterializedSRF(fcinfo, 0);
	for (int level = 0; level <= nlevels; level++)
	{
		Datum		values[2];
		bool		nulls[2] = {false};

		if (level > 0)
		{
			if (level > 1)
				text[length++] = '.';
			memcpy(text + length, label->name, label->len);
			length += label->len;
			label = LEVEL_NEXT(label);
		}
		values[0] = Int32GetDatum(level);
		values[1] = PointerGetDatum(cstring_to_text_with_len(text, length));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
