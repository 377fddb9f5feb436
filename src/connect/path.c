/*
 * path.c
 *		Where in a payload a value stands.
 *
 * Paths are jsonpath.  Nearly all of them name one member after the other, at
 * most with [*] at the end; these are walked in the payload's own bytes, which
 * costs a fraction of the interpreter's copy of the element.  What a walk finds
 * is what jsonpath in lax mode finds: where it would have to open an array on
 * the way, the interpreter does it.
 */
#include "connect/connect.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"

void
settle_compile_path(Path *path, Datum jsonpath)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(jsonpath_out, jsonpath));
	char	   *at = text;

	path->jsonpath = jsonpath;
	path->nkeys = -1;
	path->each = false;
	path->keys = palloc(sizeof(char *) * (strlen(text) / 4 + 1));
	if (*at++ != '$')
		return;
	path->nkeys = 0;
	while (at[0] == '.' && at[1] == '"')
	{
		char	   *end = at + 2;

		while (*end != '"' && *end != '\\' && *end != '\0')
			end++;
		if (*end != '"')
			break;
		path->keys[path->nkeys++] = pnstrdup(at + 2, end - at - 2);
		at = end + 1;
	}
	if (strcmp(at, "[*]") == 0)
		path->each = true;
	else if (*at != '\0')
		path->nkeys = -1;
}

static void
add_found(Found *found, const JsonbValue *value)
{
	if (found->n == found->size)
	{
		found->size = found->size == 0 ? 8 : found->size * 2;
		found->values = found->values == NULL ? palloc(sizeof(JsonbValue) * found->size)
			: repalloc(found->values, sizeof(JsonbValue) * found->size);
	}
	found->values[found->n++] = *value;
}

/* Adds what the elements of an array are; an empty array has none. */
static void
add_elements(Found *found, JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			add_found(found, &value);
}

static void
interpret(const Path *path, const JsonbValue *element, Found *found)
{
	Jsonb	   *document = JsonbValueToJsonb((JsonbValue *) element);
	Jsonb	   *nothing = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	Datum		result = DirectFunctionCall4(jsonb_path_query_array, JsonbPGetDatum(document), path->jsonpath,
											 JsonbPGetDatum(nothing), BoolGetDatum(true));

	add_elements(found, &DatumGetJsonbP(result)->root);
}

/*
 * Appends what a path finds in an element.
 */
void
settle_find(const Path *path, const JsonbValue *element, Found *found)
{
	JsonbValue	value = *element;

	if (path->nkeys < 0)
	{
		interpret(path, element, found);
		return;
	}
	for (int i = 0; i < path->nkeys; i++)
	{
		JsonbValue	member;

		if (value.type != jbvBinary)
			return;
		if (JsonContainerIsArray(value.val.binary.data))
		{
			interpret(path, element, found);
			return;
		}
		if (getKeyJsonValueFromContainer(value.val.binary.data, path->keys[i], strlen(path->keys[i]), &member) == NULL)
			return;
		value = member;
	}
	if (path->each && value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
		add_elements(found, value.val.binary.data);
	else
		add_found(found, &value);
}
