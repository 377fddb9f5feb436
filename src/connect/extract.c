/*
 * extract.c
 *		What a payload becomes: settle_map.
 *
 * Everything is read from the payload's own bytes, all paths into an element in
 * one walk.  Rows are formed as tuples of their tables at once; nothing is
 * written here.
 *
 * The precedence of a row is one text that decides among versions of the same
 * thing: whether it is final, its version, its rank among versions of the same
 * second, and the hash of its content.  The greatest wins, so every order of
 * arrival ends alike.
 */
#include "connect/connect.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
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
	Datum		platform;
	Datum		shop;			/* 0 where the connector gave none */
	List	   *flags;			/* of char * */
} Extraction;

void
settle_add_flag(List **flags, const char *flag)
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
		*isnull = n == 0;
		*result = Int64GetDatum(n);
		return true;
	}
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
read_paths(Paths *paths, Field *field, Datum *result, bool *isnull, int *notes, Problem *problem)
{
	*isnull = true;
	for (int i = 0; i < field->npaths && *isnull; i++)
	{
		const Found *found = settle_found(paths, field->paths[i]);

		if (field->take != TAKE_FIRST)
		{
			if (!take_values(field, found, result, isnull, notes, problem))
				return false;
		}
		else if (found->n > 0 && !settle_read_form(field->form, field->is_signed, &found->values[0], result, isnull, notes, problem))
			return false;
	}
	if (field->take == TAKE_COUNT && *isnull)
	{
		*isnull = false;
		*result = Int64GetDatum(0);
	}
	return true;
}

/*
 * Evaluates an expression; what it gives lives as long as the payload.
 */
static bool
evaluate(Extraction *extraction, const Part *part, Field *field, Datum *result, bool *isnull, Problem *problem)
{
	ExprContext *econtext = extraction->batch->mappings->econtext;

	econtext->ecxt_scantuple = part->slot;
	*result = ExecEvalExpr(field->state, econtext, isnull);
	return *isnull || field->type != NUMERICOID || settle_check_amount(*result, field->is_signed, problem);
}

static bool
look_up_status(Extraction *extraction, Field *field, Datum *result, Problem *problem)
{
	text	   *raw = DatumGetTextPP(*result);
	text	   *meaning = settle_status(field, raw);

	if (meaning == NULL)
	{
		problem->reason = "status";
		problem->sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
		problem->message = psprintf("status \"%s\" stands in no status map \"%s\" of platform \"%s\"", text_to_cstring(raw), field->map, extraction->mapping->platform);
		return false;
	}
	*result = PointerGetDatum(meaning);
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
read_field(Extraction *extraction, Element *element, int number, Problem *problem)
{
	const Part *part = element->part;
	Field	   *field = &part->fields[number];
	Datum	   *value = &element->values[number];
	bool	   *isnull = &element->nulls[number];
	bool		good;

	if (field->state != NULL)
		good = evaluate(extraction, part, field, value, isnull, problem);
	else
		good = read_paths(part->paths, field, value, isnull, &element->notes, problem);
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
		settle_add_flag(&element->flags, field->name);
	if (!good && !field->strict)
	{
		settle_add_flag(&element->flags, psprintf("%s:%s", field->name, problem->reason));
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

/*
 * The sha256 of an element as jsonb stores it, which is the same wherever in a
 * document it stands, in hexadecimal digits.
 */
static void
append_hash(const JsonbValue *json, char *to)
{
	static const char digits[] = "0123456789abcdef";
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	const void *bytes = json->val.binary.data;
	int			len = json->val.binary.len;

	if (json->type != jbvBinary)
	{
		Jsonb	   *scalar = JsonbValueToJsonb((JsonbValue *) json);

		bytes = &scalar->root;
		len = VARSIZE_ANY_EXHDR(scalar);
	}
	if (pg_cryptohash_init(context) < 0 || pg_cryptohash_update(context, bytes, len) < 0 || pg_cryptohash_final(context, hash, sizeof(hash)) < 0)
		elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);
	for (int i = 0; i < sizeof(hash); i++)
	{
		*to++ = digits[hash[i] >> 4];
		*to++ = digits[hash[i] & 15];
	}
	*to = '\0';
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
	char	   *precedence;

	element->version = versioned ? DatumGetTimestampTz(element->values[part->version]) : extraction->landed->received_at;
	if (part->is_signal)
		return "";
	precedence = palloc(SETTLE_VERSION_BYTES + SETTLE_HASH_BYTES + 1);
	snprintf(precedence, SETTLE_VERSION_BYTES + 1, "%c%016llx%04x", final ? '1' : '0', (unsigned long long) element->version,
			 (unsigned int) Max(0, Min(rank, 0xFFFF)));
	append_hash(json, precedence + SETTLE_VERSION_BYTES);
	return precedence;
}

void
settle_set_column(Element *element, Column column, Datum value)
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
		settle_add_flag(&element->flags, "id_gt_int63");
	if (element->notes & NOTE_AMOUNT_FORM)
		settle_add_flag(&element->flags, "amount_form");
	if (element->notes & NOTE_GARBLED)
		settle_add_flag(&element->flags, "garbled_text");
	if (element->notes & NOTE_ROUNDED)
		settle_add_flag(&element->flags, "amount_rounded");
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
	settle_set_column(element, COLUMN_PLATFORM, extraction->platform);
	if (landed->shop != NULL)
		settle_set_column(element, COLUMN_SHOP, extraction->shop);
	else if (part->shop < 0 || element->nulls[part->shop])
		settle_set_column(element, COLUMN_SHOP, CStringGetTextDatum(""));
	settle_set_column(element, COLUMN_POSITION, Int64GetDatum(position));
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
		settle_set_column(element, COLUMN_VERSION, TimestampTzGetDatum(element->version));
		settle_set_column(element, COLUMN_PRECEDENCE, CStringGetTextDatum(element->precedence));
		settle_set_column(element, COLUMN_STAGING_ID, Int64GetDatum(landed->staging_id));
		settle_set_column(element, COLUMN_TIED, BoolGetDatum(false));
	}
	return check_row(element, problem);
}

/*
 * The texts of the key of a row, each with a zero byte behind it.
 */
static char *
key_of(const Element *element, MemoryContext context, int *len)
{
	const Part *part = element->part;
	char	   *key;

	*len = 0;
	for (int i = 0; i < SETTLE_MAX_KEYS && part->keys[i] >= 0; i++)
		*len += VARSIZE_ANY_EXHDR(DatumGetPointer(element->row[part->keys[i]])) + 1;
	key = MemoryContextAlloc(context, *len);
	*len = 0;
	for (int i = 0; i < SETTLE_MAX_KEYS && part->keys[i] >= 0; i++)
	{
		text	   *value = DatumGetTextPP(element->row[part->keys[i]]);
		int			bytes = VARSIZE_ANY_EXHDR(value);

		memcpy(key + *len, VARDATA_ANY(value), bytes);
		*len += bytes;
		key[(*len)++] = '\0';
	}
	return key;
}

static void
add_row(Extraction *extraction, Element *element, int parent)
{
	Batch	   *batch = extraction->batch;
	MappedRow  *row;
	MemoryContext old;

	settle_set_column(element, COLUMN_FLAGS, flags_datum(element->flags));
	if (batch->nrows == batch->size)
	{
		batch->size = batch->size == 0 ? 1024 : batch->size * 2;
		batch->rows = batch->rows == NULL ? MemoryContextAllocHuge(batch->context, sizeof(MappedRow) * batch->size)
			: repalloc_huge(batch->rows, sizeof(MappedRow) * batch->size);
	}
	row = &batch->rows[batch->nrows++];
	memset(row, 0, sizeof(*row));
	row->part = element->part;
	row->parent = parent;
	row->version = element->version;
	row->staging_id = extraction->landed->staging_id;
	if (element->part->entity->parent == NULL)
	{
		row->precedence = MemoryContextStrdup(batch->context, element->precedence);
		row->key = key_of(element, batch->context, &row->key_len);
	}
	old = MemoryContextSwitchTo(batch->context);
	row->tuple = heap_form_tuple(element->part->desc, element->row, element->row_nulls);
	MemoryContextSwitchTo(old);
	extraction->mapped->nrows++;
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
	slot->tts_values[at] = extraction->platform;
	slot->tts_isnull[at++] = false;
	slot->tts_values[at] = extraction->shop;
	slot->tts_isnull[at++] = landed->shop == NULL;
	slot->tts_values[at] = TimestampTzGetDatum(landed->received_at);
	slot->tts_isnull[at] = false;
	ExecStoreVirtualTuple(slot);
	settle_find(part->paths, json);
	for (int i = 0; i < part->nfields; i++)
		if (!read_field(extraction, element, i, &extraction->mapped->problem))
			return NULL;
	note_flags(element);
	if (part->desc == NULL)
		return element;
	return fill_row(extraction, element, json, position, &extraction->mapped->problem) ? element : NULL;
}

/*
 * Finds the elements of a part: what the first of its paths finds that finds
 * any.
 */
static const Found *
find_elements(Paths *paths, const Part *part)
{
	const Found *found = settle_found(paths, part->rows[0]);

	for (int i = 1; i < part->nrows && found->n == 0; i++)
		found = settle_found(paths, part->rows[i]);
	return found;
}

static bool
is_nothing(const JsonbValue *json)
{
	return json->type == jbvNull ||
		(json->type == jbvString && (json->val.string.len == 0 || (json->val.string.len == 4 && memcmp(json->val.string.val, "null", 4) == 0)));
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
		const Found *found;
		int			position = 0;

		if (part->within != number)
			continue;
		found = find_elements(mapping->parts[number].paths, part);
		for (int j = 0; j < found->n; j++)
		{
			Element    *element;

			if (is_nothing(&found->values[j]))
				continue;
			element = read_element(extraction, part, root, &found->values[j], ++position);
			if (element == NULL)
				return false;
			if (is_skipped(element))
				continue;
			within = lappend(within, element);
			if (part->is_line)
				root->lines = lappend(root->lines, element);
		}
	}
	foreach(cell, within)
	{
		ListCell   *flag;

		if (((Element *) lfirst(cell))->part->entity->parent != NULL)
			foreach(flag, ((Element *) lfirst(cell))->flags)
				settle_add_flag(&root->flags, lfirst(flag));
	}
	settle_tell_lines_apart(root);
	settle_check_lines(root, within);
	if (root->part->desc != NULL)
		add_row(extraction, root, -1);
	foreach(cell, within)
	{
		Element    *element = lfirst(cell);

		add_row(extraction, element, element->part->entity->parent == NULL ? -1 : row);
	}
	foreach(cell, root->flags)
		settle_add_flag(&extraction->flags, lfirst(cell));
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
 * whose marker finds something.  Its paths have looked at the document.
 */
static const Mapping *
find_mapping(const Mappings *mappings, const Landed *landed, const JsonbValue *document)
{
	for (int i = 0; i < mappings->n; i++)
	{
		const Mapping *mapping = &mappings->mappings[i];
		if (strcmp(mapping->platform, landed->platform) != 0 || (landed->kind != NULL && strcmp(mapping->kind, landed->kind) != 0))
			continue;
		settle_find(mapping->paths, document);
		if (landed->kind != NULL || (mapping->marker >= 0 && settle_found(mapping->paths, mapping->marker)->n > 0))
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
read_document(Extraction *extraction)
{
	const Mapping *mapping = extraction->mapping;

	for (int i = 0; i < mapping->nparts; i++)
	{
		const Found *found;

		if (mapping->parts[i].within >= 0)
			continue;
		found = find_elements(mapping->paths, &mapping->parts[i]);
		for (int j = 0; j < found->n; j++)
			if (!is_nothing(&found->values[j]) && !read_root(extraction, i, &found->values[j]))
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
	if (mapped->mapping->inner >= 0)
	{
		const Found *found = settle_found(mapped->mapping->paths, mapped->mapping->inner);

		if (found->n > 0 && found->values[0].type == jbvString)
		{
			document = document_of(settle_inner_document(found->values[0].val.string.val, found->values[0].val.string.len));
			settle_find(mapped->mapping->paths, &document);
		}
	}
	if (!read_document(extraction))
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
	Extraction	extraction = {batch, landed, mapped};
	MemoryContext old = MemoryContextSwitchTo(batch->scratch);

	extraction.platform = CStringGetTextDatum(landed->platform);
	if (landed->shop != NULL)
		extraction.shop = CStringGetTextDatum(landed->shop);
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
