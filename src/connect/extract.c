/*
 * extract.c
 *		What a payload becomes: settle_map.
 *
 * Everything is read from the payload's own bytes, each path once.  Rows are
 * formed as tuples of their tables at once; nothing is written here.
 *
 * The precedence of a row is one text that decides among versions of the same
 * thing: whether it is final, its version, its rank among versions of the same
 * second, and the hash of its content.  The greatest wins, so every order of
 * arrival ends alike.
 */
#include "connect/connect.h"

#include "access/htup_details.h"
#include "amount/amount.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* One payload on its way. */
typedef struct Extraction
{
	Batch	   *batch;
	const Landed *landed;
	Mapped	   *mapped;
	const Mapping *mapping;
	List	   *flags;			/* of char * */
} Extraction;

/* An element of a part that was read. */
typedef struct Element
{
	const Part *part;
	const struct Element *outer;
	Datum	   *values;			/* by field */
	bool	   *nulls;
	int			notes;
	List	   *flags;			/* of char * */
	Datum	   *row;			/* by column */
	bool	   *row_nulls;
	const char *precedence;
	TimestampTz version;
	List	   *lines;			/* of the order lines within, Element * */
} Element;

static void
add_flag(List **flags, const char *flag)
{
	ListCell   *cell;

	foreach(cell, *flags)
		if (strcmp(lfirst(cell), flag) == 0)
			return;
	*flags = lappend(*flags, pstrdup(flag));
}

static Datum
flags_datum(List *flags)
{
	Datum	   *items = palloc(sizeof(Datum) * Max(list_length(flags), 1));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, flags)
		items[n++] = CStringGetTextDatum(lfirst(cell));
	return PointerGetDatum(construct_array(items, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- fields ---- */

/*
 * Gives the value that a field takes from what its path has found.
 */
static bool
take_values(Field *field, const Found *found, Datum *result, bool *isnull, int *notes, Problem *problem)
{
	Oid			item_type = settle_form_type(field->form);
	Datum	   *items;
	int			n = 0;
	Datum		sum = (Datum) 0;

	*isnull = true;
	if (field->take == TAKE_COUNT)
	{
		for (int i = 0; i < found->n; i++)
			n += found->values[i].type != jbvNull;
		*isnull = false;
		*result = Int64GetDatum(n);
		return true;
	}
	if (field->take == TAKE_FIRST)
		return found->n == 0 || settle_read_form(field->form, field->is_signed, &found->values[0], result, isnull, notes, problem);
	items = palloc(sizeof(Datum) * Max(found->n, 1));
	for (int i = 0; i < found->n; i++)
	{
		bool		null;

		if (!settle_read_form(field->form, field->is_signed, &found->values[i], &items[n], &null, notes, problem))
			return false;
		if (null)
			continue;
		if (field->take == TAKE_SUM)
			sum = n == 0 ? items[0] : DirectFunctionCall2(numeric_add, sum, items[n]);
		n++;
	}
	if (field->take == TAKE_SUM)
	{
		*isnull = n == 0;
		*result = sum;
	}
	else
	{
		*isnull = false;
		*result = PointerGetDatum(construct_array(items, n, item_type, -1, false, TYPALIGN_INT));
	}
	return true;
}

static bool
read_paths(Field *field, const JsonbValue *element, Datum *result, bool *isnull, int *notes, Problem *problem)
{
	*isnull = true;
	for (int i = 0; i < field->npaths && *isnull; i++)
	{
		Found		found = {0};

		settle_find(&field->paths[i], element, &found);
		if (!take_values(field, &found, result, isnull, notes, problem))
			return false;
		if (field->take == TAKE_COUNT)
			return true;
	}
	return true;
}

static bool
evaluate(Extraction *extraction, const Part *part, Field *field, Datum *result, bool *isnull, Problem *problem)
{
	ExprContext *econtext = extraction->batch->mappings->econtext;

	ResetExprContext(econtext);
	econtext->ecxt_scantuple = part->slot;
	*result = ExecEvalExprSwitchContext(field->state, econtext, isnull);
	if (*isnull)
		return true;
	if (field->type != BOOLOID && field->type != INT8OID && field->type != TIMESTAMPTZOID)
		*result = datumCopy(*result, false, -1);
	return field->type != NUMERICOID || settle_check_amount(*result, field->is_signed, problem);
}

static bool
look_up_status(Extraction *extraction, Field *field, Datum *result, Problem *problem)
{
	char	   *raw = TextDatumGetCString(*result);
	const char *meaning = settle_status(extraction->batch->mappings, extraction->mapping->platform, field->map, raw);

	if (meaning == NULL)
	{
		problem->reason = "status";
		problem->sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
		problem->message = psprintf("status \"%s\" stands in no status map \"%s\" of platform \"%s\"", raw, field->map, extraction->mapping->platform);
		return false;
	}
	*result = CStringGetTextDatum(meaning);
	return true;
}

/* "missing_order_id" for the field order_no */
static const char *
missing(const char *field)
{
	int			len = strlen(field);

	return len > 3 && strcmp(field + len - 3, "_no") == 0 ? psprintf("missing_%.*s_id", len - 3, field) : psprintf("missing_%s", field);
}

/*
 * Reads one field of an element.  False where the payload cannot be used.
 */
static bool
read_field(Extraction *extraction, Element *element, const JsonbValue *json, int number, Problem *problem)
{
	const Part *part = element->part;
	Field	   *field = &part->fields[number];
	Datum	   *value = &element->values[number];
	bool	   *isnull = &element->nulls[number];
	bool		good;

	if (field->state != NULL)
		good = evaluate(extraction, part, field, value, isnull, problem);
	else
		good = read_paths(field, json, value, isnull, &element->notes, problem);
	if (good && !*isnull && field->form == FORM_ENUM && field->take == TAKE_FIRST)
		good = look_up_status(extraction, field, value, problem);
	if (good && *isnull && field->required)
	{
		problem->reason = missing(field->name);
		problem->sqlstate = ERRCODE_NOT_NULL_VIOLATION;
		problem->message = psprintf("field \"%s\" is missing", field->name);
		good = false;
	}
	if (good && field->form == FORM_CHECK && !*isnull && !DatumGetBool(*value))
	{
		problem->reason = field->name;
		problem->sqlstate = ERRCODE_CHECK_VIOLATION;
		problem->message = psprintf("the payload contradicts itself: %s", field->name);
		good = false;
	}
	if (good && field->form == FORM_FLAG && !*isnull && DatumGetBool(*value))
		add_flag(&element->flags, field->name);
	if (!good && !field->strict)
	{
		add_flag(&element->flags, psprintf("%s:%s", field->name, problem->reason));
		*isnull = true;
		problem->reason = NULL;
		good = true;
	}
	if (!good)
		problem->field = field->name;
	part->slot->tts_values[number] = *value;
	part->slot->tts_isnull[number] = *isnull;
	return good;
}

/* ---- rows ---- */

static const char *
hash_of(const JsonbValue *json)
{
	StringInfoData text;
	Datum		digest;
	bytea	   *bytes;
	char	   *hex;
	static const char digits[] = "0123456789abcdef";

	initStringInfo(&text);
	if (json->type == jbvBinary)
		JsonbToCString(&text, json->val.binary.data, json->val.binary.len);
	else
		JsonbToCString(&text, &JsonbValueToJsonb((JsonbValue *) json)->root, 16);
	digest = DirectFunctionCall1(sha256_bytea, PointerGetDatum(cstring_to_text_with_len(text.data, text.len)));
	pfree(text.data);
	bytes = DatumGetByteaPP(digest);
	hex = palloc(65);
	for (int i = 0; i < 32; i++)
	{
		unsigned char byte = (unsigned char) VARDATA_ANY(bytes)[i];

		hex[2 * i] = digits[byte >> 4];
		hex[2 * i + 1] = digits[byte & 15];
	}
	hex[64] = '\0';
	return hex;
}

/*
 * Gives the text that decides among versions.  A signal has none: the first
 * one of its key stands.
 */
static const char *
precedence_of(Extraction *extraction, Element *element, const JsonbValue *json)
{
	const Part *part = element->part;
	bool		final = part->final >= 0 && !element->nulls[part->final] && DatumGetBool(element->values[part->final]);
	int64		rank = part->rank < 0 || element->nulls[part->rank] ? 0 : DatumGetInt64(element->values[part->rank]);
	bool		versioned = part->version >= 0 && !element->nulls[part->version];

	element->version = versioned ? DatumGetTimestampTz(element->values[part->version]) : extraction->landed->received_at;
	if (strcmp(part->entity->name, "signal") == 0)
		return "";
	return psprintf("%c%016llx%04x%s", final ? '1' : '0', (unsigned long long) element->version,
					(unsigned int) Max(0, Min(rank, 0xFFFF)), hash_of(json));
}

static void
set_column(Element *element, Column column, Datum value)
{
	int			at = element->part->columns[column];

	if (at < 0)
		return;
	element->row[at] = value;
	element->row_nulls[at] = false;
}

static void
note_flags(Element *element)
{
	if (element->notes & NOTE_BIG_ID)
		add_flag(&element->flags, "id_gt_int63");
	if (element->notes & NOTE_AMOUNT_FORM)
		add_flag(&element->flags, "amount_form");
	if (element->notes & NOTE_GARBLED)
		add_flag(&element->flags, "garbled_text");
}

/*
 * Refuses a row that its table would refuse, which would cost the whole batch.
 */
static bool
check_row(Element *element, Problem *problem)
{
	const Part *part = element->part;
	Size		key_bytes = 0;

	for (int i = -1; (i = bms_next_member(part->not_null, i)) >= 0;)
		if (element->row_nulls[i] && i != part->columns[COLUMN_FLAGS])
		{
			problem->field = NameStr(TupleDescAttr(part->desc, i)->attname);
			problem->reason = missing(problem->field);
			problem->sqlstate = ERRCODE_NOT_NULL_VIOLATION;
			problem->message = psprintf("field \"%s\" is missing", problem->field);
			return false;
		}
	for (int i = 0; i < SETTLE_MAX_KEYS && part->keys[i] >= 0; i++)
		if (TupleDescAttr(part->desc, part->keys[i])->attlen == -1)
			key_bytes += VARSIZE_ANY_EXHDR(DatumGetPointer(element->row[part->keys[i]]));
	if (key_bytes > SETTLE_MAX_KEY_BYTES)
	{
		problem->reason = "key_length";
		problem->sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		problem->message = psprintf("the key of a row of \"%s\" has %zu bytes, at most %d are allowed", part->entity->name, key_bytes, SETTLE_MAX_KEY_BYTES);
		return false;
	}
	return true;
}

/*
 * Fills the columns of an element's row.
 */
static bool
fill_row(Extraction *extraction, Element *element, const JsonbValue *json, int position, Problem *problem)
{
	const Part *part = element->part;
	const Landed *landed = extraction->landed;

	element->row = palloc0(sizeof(Datum) * part->desc->natts);
	element->row_nulls = palloc(sizeof(bool) * part->desc->natts);
	memset(element->row_nulls, true, sizeof(bool) * part->desc->natts);
	for (int i = 0; i < part->nfields; i++)
		if (part->fields[i].column >= 0)
		{
			element->row[part->fields[i].column] = element->values[i];
			element->row_nulls[part->fields[i].column] = element->nulls[i];
		}
	set_column(element, COLUMN_PLATFORM, CStringGetTextDatum(landed->platform));
	if (landed->shop != NULL)
		set_column(element, COLUMN_SHOP, CStringGetTextDatum(landed->shop));
	else if (part->shop < 0 || element->nulls[part->shop])
		set_column(element, COLUMN_SHOP, CStringGetTextDatum(""));
	set_column(element, COLUMN_POSITION, Int64GetDatum(position));
	if (part->entity->parent != NULL)
	{
		const Part *outer = element->outer->part;

		/* the key of the parent is how the child's begins */
		for (int i = 0; i < SETTLE_MAX_KEYS && outer->keys[i] >= 0; i++)
		{
			element->row[part->keys[i]] = element->outer->row[outer->keys[i]];
			element->row_nulls[part->keys[i]] = false;
		}
	}
	else
	{
		if (part->version < 0 && element->outer != NULL && element->outer->precedence != NULL)
		{
			element->precedence = element->outer->precedence;
			element->version = element->outer->version;
		}
		else
			element->precedence = precedence_of(extraction, element, json);
		set_column(element, COLUMN_VERSION, TimestampTzGetDatum(element->version));
		set_column(element, COLUMN_PRECEDENCE, CStringGetTextDatum(element->precedence));
		set_column(element, COLUMN_STAGING_ID, Int64GetDatum(landed->staging_id));
		set_column(element, COLUMN_TIED, BoolGetDatum(false));
	}
	return check_row(element, problem);
}

static void
add_row(Extraction *extraction, Element *element, int parent)
{
	Batch	   *batch = extraction->batch;
	MappedRow  *row;
	StringInfoData key;
	MemoryContext old;

	set_column(element, COLUMN_FLAGS, flags_datum(element->flags));
	if (batch->nrows == batch->size)
	{
		batch->size = batch->size == 0 ? 1024 : batch->size * 2;
		batch->rows = batch->rows == NULL ? MemoryContextAllocHuge(batch->context, sizeof(MappedRow) * batch->size)
			: repalloc_huge(batch->rows, sizeof(MappedRow) * batch->size);
	}
	row = &batch->rows[batch->nrows++];
	row->part = element->part;
	row->parent = parent;
	row->precedence = element->part->entity->parent == NULL ? MemoryContextStrdup(batch->context, element->precedence) : NULL;
	row->version = element->version;
	initStringInfo(&key);
	for (int i = 2; i < SETTLE_MAX_KEYS && element->part->entity->parent == NULL && element->part->keys[i] >= 0; i++)
		if (TupleDescAttr(element->part->desc, element->part->keys[i])->attlen == -1)
			appendStringInfo(&key, "%s%s", i == 2 ? "" : " ", TextDatumGetCString(element->row[element->part->keys[i]]));
	row->key = MemoryContextStrdup(batch->context, key.data);
	old = MemoryContextSwitchTo(batch->context);
	row->tuple = heap_form_tuple(element->part->desc, element->row, element->row_nulls);
	MemoryContextSwitchTo(old);
	extraction->mapped->nrows++;
}

/* ---- lines ---- */

static SettleDec
amount_of(const Element *element, Column column, bool *isnull)
{
	int			at = element->part->columns[column];

	*isnull = at < 0 || element->row_nulls[at];
	return settle_dec_from_numeric(*isnull ? DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(0))) : DatumGetNumeric(element->row[at]));
}

/* The discounts that concern one line, and that its price does not contain. */
static SettleDec
promotions_of(List *within, const Element *line)
{
	SettleDec	sum = settle_dec_in("0", 1);
	Datum		line_no = line->row[line->part->columns[COLUMN_LINE_NO]];
	ListCell   *cell;

	foreach(cell, within)
	{
		const Element *promotion = lfirst(cell);
		int			of_line;
		int			in_price;
		bool		isnull;

		if (strcmp(promotion->part->entity->name, "promotion") != 0)
			continue;
		of_line = promotion->part->columns[COLUMN_LINE_NO];
		in_price = promotion->part->columns[COLUMN_IN_PRICE];
		if (!promotion->row_nulls[of_line] && datumIsEqual(promotion->row[of_line], line_no, false, -1) &&
			!(!promotion->row_nulls[in_price] && DatumGetBool(promotion->row[in_price])))
			sum = settle_dec_add(sum, amount_of(promotion, COLUMN_AMOUNT, &isnull));
	}
	return sum;
}

/*
 * Gives every line its share of what the order cost without freight, where the
 * platform says nothing of it: by largest remainder, weighted by what the lines
 * would have cost alone after their own discounts.
 */
static void
allocate_lines(Element *order, List *within, SettleDec goods)
{
	int			n = list_length(order->lines);
	SettleDec  *weights = palloc(sizeof(SettleDec) * n);
	SettleDec  *parts = palloc(sizeof(SettleDec) * n);
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		Element    *line = list_nth(order->lines, i);
		int			weight = line->part->weight;

		weights[i] = settle_dec_from_numeric(weight < 0 || line->nulls[weight] ? DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))
											 : DatumGetNumeric(line->values[weight]));
		weights[i] = settle_dec_sub(weights[i], promotions_of(within, line));
		if (settle_dec_sign(weights[i]) < 0)
			return;
		any |= settle_dec_sign(weights[i]) > 0;
	}
	if (!any)
		return;
	settle_allocate_parts(goods, weights, n, settle_dec_in("0.01", 4), parts);
	for (int i = 0; i < n; i++)
	{
		Element    *line = list_nth(order->lines, i);

		set_column(line, COLUMN_LINE_PAID, NumericGetDatum(settle_dec_to_numeric(parts[i])));
		set_column(line, COLUMN_ALLOCATED, BoolGetDatum(true));
	}
}

/*
 * Compares an order with its lines; what does not add up is flagged.
 */
static void
check_lines(Element *order, List *within)
{
	bool		isnull;
	bool		no_freight;
	SettleDec	payable;
	SettleDec	goods;
	SettleDec	difference;
	SettleDec	tolerance;
	int			n = list_length(order->lines);
	int			missing_lines = 0;
	char	   *cents = psprintf("%d.%02d", n / 100, n % 100);
	ListCell   *cell;

	if (n == 0)
		return;
	payable = amount_of(order, COLUMN_PAYABLE, &isnull);
	if (isnull)
		return;
	goods = settle_dec_sub(payable, amount_of(order, COLUMN_FREIGHT, &no_freight));
	tolerance = settle_dec_in(cents, strlen(cents));
	difference = goods;
	foreach(cell, order->lines)
	{
		SettleDec	paid = amount_of(lfirst(cell), COLUMN_LINE_PAID, &isnull);

		missing_lines += isnull;
		difference = settle_dec_sub(difference, paid);
	}
	if (missing_lines == n && settle_dec_sign(goods) >= 0)
		allocate_lines(order, within, goods);
	else if (missing_lines == 0)
	{
		if (settle_dec_sign(difference) < 0)
			difference = settle_dec_neg(difference);
		if (settle_dec_cmp(difference, tolerance) > 0)
			add_flag(&order->flags, "amount_mismatch");
	}
}

/*
 * Tells lines apart that have no number of their own: where a product stands in
 * an order twice, the second line is called after it with #2.
 */
static void
tell_lines_apart(Element *order)
{
	HASHCTL		control = {.keysize = 512, .entrysize = 512 + sizeof(int), .hcxt = CurrentMemoryContext};
	HTAB	   *seen;
	ListCell   *cell;

	if (list_length(order->lines) < 2)
		return;
	seen = hash_create("lines of an order", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	foreach(cell, order->lines)
	{
		Element    *line = lfirst(cell);
		int			column = line->part->columns[COLUMN_LINE_NO];
		char	   *line_no = TextDatumGetCString(line->row[column]);
		bool		found;
		char	   *entry = hash_search(seen, line_no, HASH_ENTER, &found);
		int		   *times = (int *) (entry + 512);

		*times = found ? *times + 1 : 1;
		if (found)
			line->row[column] = CStringGetTextDatum(psprintf("%s#%d", line_no, *times));
	}
	hash_destroy(seen);
}

/* ---- the document ---- */

/*
 * Reads one element of a part: its fields, its row.
 */
static Element *
read_element(Extraction *extraction, const Part *part, const Element *outer, const JsonbValue *json, int position)
{
	Element    *element = palloc0(sizeof(Element));
	TupleTableSlot *slot = part->slot;
	const Landed *landed = extraction->landed;
	int			at = part->nfields;

	element->part = part;
	element->outer = outer;
	element->values = palloc0(sizeof(Datum) * Max(part->nfields, 1));
	element->nulls = palloc(sizeof(bool) * Max(part->nfields, 1));
	memset(element->nulls, true, sizeof(bool) * Max(part->nfields, 1));
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * part->nnames);
	for (int i = 0; outer != NULL && i < outer->part->nfields; i++, at++)
	{
		slot->tts_values[at] = outer->values[i];
		slot->tts_isnull[at] = outer->nulls[i];
	}
	slot->tts_values[at] = CStringGetTextDatum(landed->platform);
	slot->tts_isnull[at++] = false;
	if (landed->shop != NULL)
		slot->tts_values[at] = CStringGetTextDatum(landed->shop);
	slot->tts_isnull[at++] = landed->shop == NULL;
	slot->tts_values[at] = TimestampTzGetDatum(landed->received_at);
	slot->tts_isnull[at] = false;
	ExecStoreVirtualTuple(slot);
	for (int i = 0; i < part->nfields; i++)
		if (!read_field(extraction, element, json, i, &extraction->mapped->problem))
			return NULL;
	note_flags(element);
	if (part->desc == NULL)
		return element;
	return fill_row(extraction, element, json, position, &extraction->mapped->problem) ? element : NULL;
}

/*
 * Finds the elements of a part: what the first of its paths finds that finds
 * any.  Nulls and empty texts are none.
 */
static Found
find_elements(const Part *part, const JsonbValue *json)
{
	Found		found = {0};
	int			kept = 0;

	for (int i = 0; i < part->npaths && found.n == 0; i++)
		settle_find(&part->paths[i], json, &found);
	for (int i = 0; i < found.n; i++)
		if (found.values[i].type != jbvNull && !(found.values[i].type == jbvString && found.values[i].val.string.len == 0))
			found.values[kept++] = found.values[i];
	found.n = kept;
	return found;
}

/* Whether an element says of itself that neither it nor what stands in it makes a row. */
static bool
is_skipped(const Element *element)
{
	int			skip = element->part->skip;

	return skip >= 0 && !element->nulls[skip] && DatumGetBool(element->values[skip]);
}

/*
 * Reads an element of a part that stands in no other, and all within it.
 */
static bool
read_root(Extraction *extraction, int number, const JsonbValue *json)
{
	const Mapping *mapping = extraction->mapping;
	Element    *root = read_element(extraction, &mapping->parts[number], NULL, json, 0);
	List	   *within = NIL;
	int			row = extraction->batch->nrows;
	ListCell   *cell;

	if (root == NULL)
		return false;
	if (is_skipped(root))
		return true;
	for (int i = number + 1; i < mapping->nparts; i++)
	{
		const Part *part = &mapping->parts[i];
		Found		found;

		if (part->within != number)
			continue;
		found = find_elements(part, json);
		for (int j = 0; j < found.n; j++)
		{
			Element    *element = read_element(extraction, part, root, &found.values[j], j + 1);

			if (element == NULL)
				return false;
			if (is_skipped(element))
				continue;
			within = lappend(within, element);
			if (strcmp(part->entity->name, "order_line") == 0)
				root->lines = lappend(root->lines, element);
		}
	}
	foreach(cell, within)
	{
		ListCell   *flag;

		if (((Element *) lfirst(cell))->part->entity->parent != NULL)
			foreach(flag, ((Element *) lfirst(cell))->flags)
				add_flag(&root->flags, lfirst(flag));
	}
	tell_lines_apart(root);
	check_lines(root, within);
	if (root->part->desc != NULL)
		add_row(extraction, root, -1);
	foreach(cell, within)
	{
		Element    *element = lfirst(cell);

		add_row(extraction, element, element->part->entity->parent == NULL ? -1 : row);
	}
	foreach(cell, root->flags)
		add_flag(&extraction->flags, lfirst(cell));
	return true;
}

static void
set_problem(Mapped *mapped, const char *reason, int sqlstate, const char *message)
{
	mapped->problem = (Problem)
	{
		NULL, reason, sqlstate, message
	};
}

/*
 * The mapping of a payload: that of its kind, or else the first of its platform
 * whose marker finds something.
 */
static const Mapping *
find_mapping(const Mappings *mappings, const Landed *landed, const JsonbValue *document)
{
	for (int i = 0; i < mappings->n; i++)
	{
		const Mapping *mapping = &mappings->mappings[i];
		Found		found = {0};

		if (strcmp(mapping->platform, landed->platform) != 0)
			continue;
		if (landed->kind != NULL)
		{
			if (strcmp(mapping->kind, landed->kind) == 0)
				return mapping;
			continue;
		}
		if (!mapping->has_marker)
			continue;
		settle_find(&mapping->marker, document, &found);
		if (found.n > 0)
			return mapping;
	}
	return NULL;
}

static JsonbValue
document_of(Jsonb *payload)
{
	JsonbValue	value = {.type = jbvBinary};

	value.val.binary.data = &payload->root;
	value.val.binary.len = VARSIZE_ANY_EXHDR(payload);
	return value;
}

/* The flags with commas between them; NULL where there are none. */
static char *
joined(List *flags)
{
	StringInfoData text;
	ListCell   *cell;

	if (flags == NIL)
		return NULL;
	initStringInfo(&text);
	foreach(cell, flags)
		appendStringInfo(&text, "%s%s", text.len > 0 ? "," : "", (char *) lfirst(cell));
	return text.data;
}

static bool
read_document(Extraction *extraction, const JsonbValue *document)
{
	const Mapping *mapping = extraction->mapping;

	for (int i = 0; i < mapping->nparts; i++)
	{
		Found		found;

		if (mapping->parts[i].within >= 0)
			continue;
		found = find_elements(&mapping->parts[i], document);
		for (int j = 0; j < found.n; j++)
			if (!read_root(extraction, i, &found.values[j]))
				return false;
	}
	return true;
}

static void
map_payload(Extraction *extraction)
{
	const Landed *landed = extraction->landed;
	Mapped	   *mapped = extraction->mapped;
	Jsonb	   *payload;
	JsonbValue	document;

	if (landed->payload != (Datum) 0)
		payload = DatumGetJsonbP(landed->payload);
	else
		payload = settle_body(DatumGetByteaPP(landed->raw), &mapped->problem);
	if (payload == NULL)
		return;
	document = document_of(payload);
	mapped->mapping = extraction->mapping = find_mapping(extraction->batch->mappings, landed, &document);
	if (mapped->mapping == NULL)
	{
		set_problem(mapped, "mapping", ERRCODE_UNDEFINED_OBJECT,
					landed->kind == NULL ? psprintf("no mapping of platform \"%s\" knows this payload", landed->platform)
					: psprintf("platform \"%s\" has no mapping for kind \"%s\"", landed->platform, landed->kind));
		return;
	}
	if (mapped->mapping->has_inner)
	{
		Found		found = {0};

		settle_find(&mapped->mapping->inner, &document, &found);
		if (found.n > 0 && found.values[0].type == jbvString)
			document = document_of(settle_inner_document(found.values[0].val.string.val, found.values[0].val.string.len));
	}
	if (!read_document(extraction, &document))
	{
		extraction->batch->nrows = mapped->first;
		mapped->nrows = 0;
	}
	else if (mapped->nrows == 0)
		set_problem(mapped, "empty", ERRCODE_INVALID_PARAMETER_VALUE,
					psprintf("the payload holds nothing that mapping %s/%s reads", landed->platform, mapped->mapping->kind));
}

/*
 * Adds the rows that a payload becomes to a batch, or says why it becomes none.
 *
 * Raises only what an expression raises, or JSON inside a text that does not
 * parse; the rows that were added before stay until the caller takes them back.
 */
void
settle_map(Batch *batch, const Landed *landed, Mapped *mapped)
{
	Extraction	extraction = {batch, landed, mapped, NULL, NIL};
	MemoryContext old = MemoryContextSwitchTo(batch->scratch);

	CHECK_FOR_INTERRUPTS();
	memset(mapped, 0, sizeof(*mapped));
	mapped->first = batch->nrows;
	map_payload(&extraction);
	MemoryContextSwitchTo(batch->context);
	mapped->flags = joined(extraction.flags);
	if (mapped->problem.reason != NULL)
	{
		mapped->problem.reason = pstrdup(mapped->problem.reason);
		mapped->problem.message = pstrdup(mapped->problem.message);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(batch->scratch);
}
