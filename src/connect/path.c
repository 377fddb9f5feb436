/*
 * path.c
 *		Where in a payload a value stands.
 *
 * Paths are jsonpath.  Nearly all of them name one member after the other, with
 * [*] here and there; those that are looked for in the same element stand in
 * one tree of steps, and one walk over the element's own bytes finds them all.
 * Members stand sorted in jsonb, and so do the branches of the tree, so a walk
 * is a merge.  It finds what jsonpath finds in lax mode: a member of an array is
 * that of each of its elements, and [*] of what is no array is the thing itself.
 * Filters and whatever else there is are left to the interpreter of jsonpath,
 * which works on a copy of the element, and only when somebody asks.
 */
#include "connect/connect.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"

struct Step
{
	const char *key;			/* member it stands for; NULL for the root and for [*] */
	int			len;
	int			nends;
	int		   *ends;			/* numbers of the paths that end here */
	int			nmembers;
	Step	  **members;		/* as jsonb sorts keys */
	int		   *places;			/* where the walk found them, -1 for nowhere */
	Step	   *each;			/* elements */
};

/* ---- compiling ---- */

/* Compares keys as jsonb does: by length, then by bytes. */
static int
compare_keys(const char *a, int a_len, const char *b, int b_len)
{
	return a_len != b_len ? (a_len < b_len ? -1 : 1) : memcmp(a, b, a_len);
}

static Step *
member_step(Step *step, const char *key, int len)
{
	int			at = 0;
	Step	   *member;

	while (at < step->nmembers && compare_keys(step->members[at]->key, step->members[at]->len, key, len) < 0)
		at++;
	if (at < step->nmembers && compare_keys(step->members[at]->key, step->members[at]->len, key, len) == 0)
		return step->members[at];
	step->members = step->members == NULL ? palloc(sizeof(Step *)) : repalloc(step->members, sizeof(Step *) * (step->nmembers + 1));
	step->places = step->places == NULL ? palloc(sizeof(int)) : repalloc(step->places, sizeof(int) * (step->nmembers + 1));
	memmove(step->members + at + 1, step->members + at, sizeof(Step *) * (step->nmembers - at));
	step->nmembers++;
	member = step->members[at] = palloc0(sizeof(Step));
	member->key = pnstrdup(key, len);
	member->len = len;
	return member;
}

/*
 * The step at which a path ends; NULL for one that asks for more than members
 * and elements.  Steps that it makes on the way there do no harm.
 */
static Step *
last_step(Step *root, const char *at)
{
	Step	   *step = root;

	if (*at++ != '$')
		return NULL;
	while (*at != '\0')
	{
		if (strncmp(at, "[*]", 3) == 0)
		{
			if (step->each == NULL)
				step->each = palloc0(sizeof(Step));
			step = step->each;
			at += 3;
		}
		else if (at[0] == '.' && at[1] == '"')
		{
			int			len = strcspn(at + 2, "\"\\");

			if (at[2 + len] != '"')
				return NULL;
			step = member_step(step, at + 2, len);
			at += len + 3;
		}
		else
			return NULL;
	}
	return step;
}

Paths *
settle_make_paths(void)
{
	Paths	   *paths = palloc0(sizeof(Paths));

	paths->context = CurrentMemoryContext;
	paths->root = palloc0(sizeof(Step));
	return paths;
}

/*
 * Adds a path to those that are looked for together, and gives its number.
 */
int
settle_add_path(Paths *paths, Datum jsonpath)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(jsonpath_out, jsonpath));
	Step	   *step;
	int			number = paths->n++;

	paths->found = number == 0 ? palloc(sizeof(Found)) : repalloc(paths->found, sizeof(Found) * paths->n);
	paths->found[number] = (Found) {0};
	step = last_step(paths->root, text);
	if (step == NULL)
		paths->found[number].jsonpath = PointerGetDatum(PG_DETOAST_DATUM_COPY(jsonpath));
	else
	{
		step->ends = step->nends == 0 ? palloc(sizeof(int)) : repalloc(step->ends, sizeof(int) * (step->nends + 1));
		step->ends[step->nends++] = number;
	}
	return number;
}

/* ---- walking ---- */

static void
add_found(Paths *paths, int path, const JsonbValue *value)
{
	Found	   *found = &paths->found[path];

	if (found->n == found->size)
	{
		found->size = found->size == 0 ? 1 : found->size * 2;
		found->values = found->values == NULL ? MemoryContextAlloc(paths->context, sizeof(JsonbValue))
			: repalloc_huge(found->values, sizeof(JsonbValue) * found->size);
	}
	found->values[found->n++] = *value;
}

/*
 * Gives an entry of a container: a key, a value or an element.
 */
static void
read_entry(JEntry entry, char *base, uint32 offset, uint32 end, JsonbValue *value)
{
	if (JBE_ISSTRING(entry))
	{
		value->type = jbvString;
		value->val.string.val = base + offset;
		value->val.string.len = end - offset;
	}
	else if (JBE_ISNUMERIC(entry))
	{
		value->type = jbvNumeric;
		value->val.numeric = (Numeric) (base + INTALIGN(offset));
	}
	else if (JBE_ISBOOL(entry))
	{
		value->type = jbvBool;
		value->val.boolean = JBE_ISBOOL_TRUE(entry);
	}
	else if (JBE_ISNULL(entry))
		value->type = jbvNull;
	else
	{
		value->type = jbvBinary;
		value->val.binary.data = (JsonbContainer *) (base + INTALIGN(offset));
		value->val.binary.len = end - INTALIGN(offset);
	}
}

static void walk(Paths *paths, const Step *step, const JsonbValue *value);

/*
 * Goes on into those members of an object that the tree asks for.
 */
static void
walk_members(Paths *paths, const Step *step, JsonbContainer *object)
{
	int			n = JsonContainerSize(object);
	JEntry	   *entries = object->children;
	char	   *base = (char *) (entries + 2 * n);
	uint32		offset = 0;
	int			member = 0;
	int			found = 0;

	for (int i = 0; i < step->nmembers; i++)
		step->places[i] = -1;
	for (int i = 0; i < n && member < step->nmembers; i++)
	{
		uint32		start = offset;
		int			order = -1;

		JBE_ADVANCE_OFFSET(offset, entries[i]);
		while (member < step->nmembers &&
			   (order = compare_keys(step->members[member]->key, step->members[member]->len, base + start, offset - start)) < 0)
			member++;
		if (order == 0)
		{
			step->places[member++] = i;
			found++;
		}
	}
	if (found == 0)
		return;
	offset = getJsonbOffset(object, n);
	member = 0;
	for (int i = 0; i < n && found > 0; i++)
	{
		uint32		start = offset;
		JsonbValue	value;

		JBE_ADVANCE_OFFSET(offset, entries[n + i]);
		while (step->places[member] < 0)
			member++;
		if (step->places[member] != i)
			continue;
		read_entry(entries[n + i], base, start, offset, &value);
		walk(paths, step->members[member++], &value);
		found--;
	}
}

static void
walk(Paths *paths, const Step *step, const JsonbValue *value)
{
	bool		is_array = value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);

	for (int i = 0; i < step->nends; i++)
		add_found(paths, step->ends[i], value);
	if (step->each != NULL && !is_array)
		walk(paths, step->each, value);
	if (is_array && (step->each != NULL || step->nmembers > 0))
	{
		JsonbContainer *array = value->val.binary.data;
		int			n = JsonContainerSize(array);
		char	   *base = (char *) (array->children + n);
		uint32		offset = 0;

		for (int i = 0; i < n; i++)
		{
			uint32		start = offset;
			JsonbValue	element;

			JBE_ADVANCE_OFFSET(offset, array->children[i]);
			read_entry(array->children[i], base, start, offset, &element);
			if (step->each != NULL)
				walk(paths, step->each, &element);
			if (step->nmembers > 0 && element.type == jbvBinary && JsonContainerIsObject(element.val.binary.data))
				walk_members(paths, step, element.val.binary.data);
		}
	}
	else if (step->nmembers > 0 && value->type == jbvBinary)
		walk_members(paths, step, value->val.binary.data);
}

/*
 * Looks for all the paths in an element.  What was found in another is gone,
 * and what is found points into the element.
 */
void
settle_find(Paths *paths, const JsonbValue *element)
{
	for (int i = 0; i < paths->n; i++)
	{
		paths->found[i].n = 0;
		paths->found[i].asked = false;
	}
	paths->element = element;
	walk(paths, paths->root, element);
}

static void
interpret(Paths *paths, int path)
{
	Jsonb	   *document = JsonbValueToJsonb((JsonbValue *) paths->element);
	Jsonb	   *nothing = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	Datum		result = DirectFunctionCall4(jsonb_path_query_array, JsonbPGetDatum(document), paths->found[path].jsonpath,
											 JsonbPGetDatum(nothing), BoolGetDatum(true));
	JsonbIterator *iterator = JsonbIteratorInit(&DatumGetJsonbP(result)->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			add_found(paths, path, &value);
}

/*
 * What a path has found in the element that was looked at last.
 */
const Found *
settle_found(Paths *paths, int path)
{
	Found	   *found = &paths->found[path];

	if (found->jsonpath != (Datum) 0 && !found->asked)
	{
		found->asked = true;
		interpret(paths, path);
	}
	return found;
}
