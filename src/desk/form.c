/*
 * form.c
 *		Details of a ticket, as the form of its type has them.
 *
 * Each field is read as a value of its type (field.c), checked, put where the
 * expressions after it look for it, and written back.
 *
 * A null in a personal or sensitive field of a ticket that is there is a value
 * that was erased: it is not asked for again.  Any other null is no value.
 */
#include "desk/desk.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

/* What orders say of where their tickets come from; no form has it, and none loses it. */
#define PROVENANCE	"order"

/* ---- references ---- */

/*
 * Looks up the row that a reference points to, as the owner of the book, and
 * puts what expressions read of it into the slot.
 */
static void
look_up(const DeskForm *form, const DeskField *field, Datum key, bool must_be_there)
{
	const DeskType *type = form->type;
	TupleTableSlot *slot = type->slot;
	Oid			key_type = TEXTOID;
	bool		found;
	SettleIdentity identity = settle_book_enter(&form->desk->book);

	SPI_connect();
	if (SPI_execute_with_args(field->lookup, 1, &key_type, &key, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up \"%s\"", field->name);
	found = SPI_processed == 1;
	for (int i = 0; i < field->nlooked_up && found; i++)
	{
		int			position = field->looked_up[i] - 1;
		Form_pg_attribute a = TupleDescAttr(slot->tts_tupleDescriptor, position);
		bool		isnull;
		Datum		value = settle_spi_datum(0, i + 2, &isnull);

		slot->tts_isnull[position] = isnull;
		if (!isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(type->econtext->ecxt_per_tuple_memory);

			slot->tts_values[position] = datumTransfer(value, a->attbyval, a->attlen);
			MemoryContextSwitchTo(old);
		}
	}
	SPI_finish();
	settle_book_leave(identity);
	if (!found && must_be_there)
		settle_field_refuse(form, field->name, "reference", ERRCODE_FOREIGN_KEY_VIOLATION,
							psprintf("refers to %s, which is not in %s", field->private ? "something" : psprintf("\"%s\"", TextDatumGetCString(key)), get_rel_name(field->relation)), NULL);
}

/* ---- filling in ---- */

static const DeskVariant *
variant_in(const DeskField *field, const char *region)
{
	for (int i = 0; i < field->nvariants; i++)
		if (settle_region_within(region, field->variants[i].region))
			return &field->variants[i];
	return NULL;
}

static void
put(const DeskForm *form, const DeskField *field, Datum value)
{
	TupleTableSlot *slot = form->type->slot;

	slot->tts_values[field->position - 1] = value;
	slot->tts_isnull[field->position - 1] = false;
}

bool
settle_form_has(const DeskType *type, const DeskField *field)
{
	return !type->slot->tts_isnull[field->position - 1];
}

/* What details have of a field; NULL: nothing, not even a null. */
static const JsonbValue *
given_value(Jsonb *details, const DeskField *field, JsonbValue *place)
{
	return details == NULL ? NULL : getKeyJsonValueFromContainer(&details->root, field->name, (int) strlen(field->name), place);
}

static const JsonbValue *
provenance_of(Jsonb *details, JsonbValue *place)
{
	return getKeyJsonValueFromContainer(&details->root, PROVENANCE, (int) strlen(PROVENANCE), place);
}

/*
 * Raises 42703 where details have something that the form does not.
 */
static void
check_names(const DeskForm *form, Jsonb *details)
{
	JsonbIterator *it = JsonbIteratorInit(&details->root);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	place;
	int			known = 0;

	if (!JB_ROOT_IS_OBJECT(details))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("details of ticket \"%s\" are not an object", form->ticket)));
	/* mostly all of them are known, and a look-up each tells it */
	for (int i = 0; i < form->type->nfields; i++)
	{
		known += given_value(details, &form->type->fields[i], &place) != NULL;
	}
	if (provenance_of(details, &place) != NULL)
		known++;
	if (known == JB_ROOT_COUNT(details))
		return;
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char	   *name;
		const char **names;
		const char *nearest;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		if (strcmp(name, PROVENANCE) == 0 || settle_desk_field(form->type, name) != NULL)
			continue;
		names = palloc(sizeof(char *) * Max(form->type->nfields, 1));
		for (int i = 0; i < form->type->nfields; i++)
			names[i] = form->type->fields[i].name;
		nearest = settle_nearest_name(name, names, form->type->nfields);
		settle_field_refuse(form, name, "unknown", ERRCODE_UNDEFINED_COLUMN, "is not in its form",
							nearest != NULL ? psprintf("Perhaps you meant \"%s\".", nearest)
							: form->type->nfields == 0 ? "The form has no fields." : psprintf("Fields are: %s.", settle_listed(form->type->nfields, (char **) names)));
	}
}

static bool
same_value(const JsonbValue *a, const JsonbValue *b)
{
	return a != NULL && b != NULL &&
		compareJsonbContainers(&JsonbValueToJsonb((JsonbValue *) a)->root, &JsonbValueToJsonb((JsonbValue *) b)->root) == 0;
}

static JsonbValue
key_of(const DeskField *field)
{
	return (JsonbValue)
	{
		.type = jbvString, .val.string = {(int) strlen(field->name), (char *) field->name}
	};
}

/*
 * Gives what a field takes over as somebody would have filled it in; NULL:
 * nothing.
 */
static const JsonbValue *
taken_value(const DeskType *type, const DeskField *field, const DeskTerm *takes, JsonbValue *place)
{
	JsonbParseState *state = NULL;
	JsonbValue	key = key_of(field);
	bool		isnull;
	Datum		value = settle_term_datum(type, takes, &isnull);

	if (isnull)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &key);
	settle_field_write(&state, field, value);
	return given_value(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)), field, place);
}

/*
 * Reads one field and writes what it has, if anything.
 */
static void
fill_field(const DeskForm *form, const DeskField *field, Jsonb *details, JsonbParseState **state)
{
	const DeskType *type = form->type;
	const DeskVariant *variant = variant_in(field, form->region);
	bool		shown = variant != NULL && settle_term_holds(type, &variant->shown);
	JsonbValue	places[2];
	JsonbValue	key = key_of(field);
	const JsonbValue *given = given_value(details, field, &places[0]);
	const JsonbValue *was = given_value(form->before, field, &places[1]);
	bool		required;
	Datum		value;

	if (field->private && was != NULL && given != NULL && given->type == jbvNull)
	{
		pushJsonbValue(state, WJB_KEY, &key);
		pushJsonbValue(state, WJB_VALUE, (JsonbValue *) given);
		return;
	}
	given = settle_field_has(given) ? given : NULL;
	if (!shown)
	{
		/* what is not asked for any more goes; what is given anew is a mistake */
		if (given != NULL && !same_value(given, was))
			settle_field_refuse(form, field->name, "shown", ERRCODE_CHECK_VIOLATION, "is not asked for here",
								variant == NULL ? "It is a field of other regions." : psprintf("It is asked for where %s.", variant->shown.text));
		return;
	}
	required = settle_term_holds(type, &variant->required);
	if (given == NULL && variant->takes != NULL && (form->before == NULL || (required && !settle_field_has(was))))
		given = taken_value(type, field, variant->takes, &places[0]);
	if (given == NULL)
	{
		if (required)
			settle_field_refuse(form, field->name, "required", ERRCODE_NOT_NULL_VIOLATION, "is required",
								variant->required.constant ? NULL : psprintf("It is required where %s.", variant->required.text));
		return;
	}
	value = settle_field_read(form, field, variant, given);
	put(form, field, value);
	if (variant->pattern != NULL && !settle_term_holds(type, variant->pattern))
		settle_field_refuse(form, field->name, "pattern", ERRCODE_CHECK_VIOLATION, psprintf("cannot be %s", settle_field_shown(field, given)),
							psprintf("It matches the pattern %s.", variant->pattern->text));
	if (field->kind == DESK_REFERENCE)
		look_up(form, field, value, !same_value(given, was));
	pushJsonbValue(state, WJB_KEY, &key);
	settle_field_write(state, field, value);
}

Jsonb *
settle_form_fill(const DeskForm *form, Jsonb *details)
{
	MemoryContext old = MemoryContextSwitchTo(form->type->econtext->ecxt_per_tuple_memory);
	JsonbParseState *state = NULL;
	JsonbValue	place;
	const JsonbValue *kept;

	check_names(form, details);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < form->type->nfields; i++)
		fill_field(form, &form->type->fields[i], details, &state);
	kept = provenance_of(details, &place);
	if (kept != NULL)
	{
		JsonbValue	key = {.type = jbvString, .val.string = {(int) strlen(PROVENANCE), PROVENANCE}};

		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, (JsonbValue *) kept);
	}
	details = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	MemoryContextSwitchTo(old);
	return details;
}

void
settle_form_load(const DeskForm *form, Jsonb *details)
{
	MemoryContext old = MemoryContextSwitchTo(form->type->econtext->ecxt_per_tuple_memory);

	for (int i = 0; i < form->type->nfields; i++)
	{
		const DeskField *field = &form->type->fields[i];
		JsonbValue	place;
		const JsonbValue *given = given_value(details, field, &place);

		if (!settle_field_has(given))
			continue;
		put(form, field, settle_field_reread(form, field, given));
		if (field->kind == DESK_REFERENCE)
			look_up(form, field, form->type->slot->tts_values[field->position - 1], false);
	}
	MemoryContextSwitchTo(old);
}

/* ---- for others ---- */

static JsonbValue
masked_value(const JsonbValue *value)
{
	if (value == NULL || value->type == jbvNull)
		return (JsonbValue)
	{
		.type = jbvNull
	};
	return (JsonbValue)
	{
		.type = jbvString, .val.string = {3, "***"}
	};
}

/*
 * Gives details with "***" for what is personal or sensitive.
 */
static Jsonb *
mask_details(const DeskType *type, Jsonb *details)
{
	JsonbIterator *it = JsonbIteratorInit(&details->root);
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(details))
		return details;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) JsonbIteratorNext(&it, &value, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		const char *name = pnstrdup(key.val.string.val, key.val.string.len);
		const DeskField *field = settle_desk_field(type, name);

		(void) JsonbIteratorNext(&it, &value, true);
		if (field == NULL ? strcmp(name, PROVENANCE) != 0 : field->private)
			value = masked_value(&value);
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
settle_form_changes(const DeskType *type, Jsonb *was, Jsonb *now)
{
	JsonbParseState *state = NULL;
	bool		any = false;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < type->nfields; i++)
	{
		const DeskField *field = &type->fields[i];
		JsonbValue	places[2];
		JsonbValue	null = {.type = jbvNull};
		JsonbValue	key = key_of(field);
		const JsonbValue *values[] = {given_value(was, field, &places[0]), given_value(now, field, &places[1])};

		if ((values[0] == NULL && values[1] == NULL) || same_value(values[0], values[1]))
			continue;
		any = true;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int k = 0; k < 2; k++)
		{
			JsonbValue	value = values[k] == NULL ? null : field->private ? masked_value(values[k]) : *values[k];

			pushJsonbValue(&state, WJB_ELEM, &value);
		}
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	now = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return any ? now : NULL;
}

/*
 * settle._masked_details(book regnamespace, type text, version integer, details jsonb) returns jsonb
 *
 * Gives the details of a ticket with "***" for what its form calls personal or
 * sensitive; reads the book's types, and no ticket.
 */
PG_FUNCTION_INFO_V1(settle_masked_details);
Datum
settle_masked_details(PG_FUNCTION_ARGS)
{
	Relation	ticket;
	Desk	   *desk;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_DATUM(PG_GETARG_DATUM(3));
	ticket = settle_open_tickets(PG_GETARG_OID(0));
	desk = settle_desk(ticket);
	table_close(ticket, NoLock);
	PG_RETURN_JSONB_P(mask_details(settle_desk_type(desk, text_to_cstring(PG_GETARG_TEXT_PP(1)), PG_GETARG_INT32(2)), PG_GETARG_JSONB_P(3)));
}
