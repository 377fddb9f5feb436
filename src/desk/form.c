/*
 * form.c
 *		Details of a ticket, as the form of its type has them.
 *
 * Each field is read as a value of its type, checked, put where the
 * expressions after it look for it, and written back in one spelling.  What is
 * refused names the field and the rule in the fields of the error that programs
 * read, COLUMN and CONSTRAINT, beside the sentence for people.
 *
 * A null in a personal or sensitive field of a ticket that is there is a value
 * that was erased: it is not asked for again.  Any other null is no value.
 */
#include "desk/desk.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

/* What orders say of where their tickets come from; no form has it, and none loses it. */
#define PROVENANCE	"order"

static const char *const systems[] = {"WGS-84", "GCJ-02", "BD-09"};

/* ---- refusing ---- */

/*
 * Raises what a form refuses.
 */
static void
refuse(const DeskForm *form, const char *field, const char *rule, int sqlstate, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("field \"%s\" of ticket \"%s\" %s", field, form->ticket, message),
			 hint == NULL ? 0 : errhint("%s", hint),
			 errcontext("form \"%s\", version %d", form->type->type, form->type->version),
			 err_generic_string(PG_DIAG_COLUMN_NAME, field),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, rule)));
}

static char *
listed(int n, char *const *names)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
	return list.data;
}

/* What stands in a message of a value; a personal one does not. */
static const char *
shown_value(const DeskField *field, const JsonbValue *value)
{
	char	   *text;

	if (field->private)
		return "what is given";
	if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else
		text = JsonbToCString(NULL, &JsonbValueToJsonb((JsonbValue *) value)->root, 0);
	return psprintf("\"%s\"", text);
}

static void
refuse_kind(const DeskForm *form, const DeskField *field, const JsonbValue *value, const char *wanted, const char *hint)
{
	refuse(form, field->name, "kind", ERRCODE_INVALID_TEXT_REPRESENTATION, psprintf("is %s, not %s", wanted, shown_value(field, value)), hint);
}

/* ---- values ---- */

static bool
is_blank(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
			return false;
	return true;
}

/* The text of a scalar; NULL where the value is none. */
static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/*
 * Tells whether a text has the digits of a number, date or time and nothing
 * else, so that no word such as "now" or "infinity" is read as one.
 */
static bool
is_plain(const char *text, const char *others)
{
	bool		digits = false;

	for (const char *at = text; *at != '\0'; at++)
	{
		if (*at >= '0' && *at <= '9')
			digits = true;
		else if (strchr(others, *at) == NULL)
			return false;
	}
	return digits;
}

/* The text of a string without the blanks around it; NULL where the value is none. */
static char *
trimmed_text(const JsonbValue *value)
{
	char	   *text;
	int			len;

	if (value->type != jbvString)
		return NULL;
	text = scalar_text(value);
	text += strspn(text, " ");
	for (len = (int) strlen(text); len > 0 && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	return text;
}

static Numeric
number_of(const DeskForm *form, const DeskField *field, const JsonbValue *value, const char *wanted)
{
	char	   *text = trimmed_text(value);

	if (value->type == jbvNumeric)
		return value->val.numeric;
	if (text == NULL || !is_plain(text, "+-.") || strlen(text) > 100 || strpbrk(text + 1, "+-") != NULL || strchr(text, '.') != strrchr(text, '.'))
		refuse_kind(form, field, value, wanted, NULL);
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * Reads a telephone number: digits, perhaps with a plus before them; what
 * people write between them is left out, and so is the prefix of a number of
 * mainland China that has eleven digits.
 */
static Datum
phone_of(const DeskForm *form, const DeskField *field, const JsonbValue *value)
{
	char	   *text = scalar_text(value);
	char	   *digits;
	int			n = 0;

	if (text == NULL || !is_plain(text, "+-() ."))
		refuse_kind(form, field, value, "a telephone number", "Write digits, with + and the country before them where it is not a number of this one.");
	digits = palloc(strlen(text) + 1);
	for (const char *at = text; *at != '\0'; at++)
		if ((*at >= '0' && *at <= '9') || (*at == '+' && n == 0))
			digits[n++] = *at;
	digits[n] = '\0';
	if (strncmp(digits, "0086", 4) == 0 && strlen(digits) == 15 && digits[4] == '1')
		digits += 4;
	else if (strncmp(digits, "+86", 3) == 0 && strlen(digits) == 14 && digits[3] == '1')
		digits += 3;
	n = (int) strlen(digits) - (digits[0] == '+');
	if (n < 5 || n > 15 || strpbrk(digits + 1, "+") != NULL)
		refuse_kind(form, field, value, "a telephone number", "It has 5 to 15 digits.");
	return CStringGetTextDatum(digits);
}

static const JsonbValue *
member(const JsonbValue *object, const char *name, JsonbValue *place)
{
	return getKeyJsonValueFromContainer(object->val.binary.data, name, (int) strlen(name), place);
}

static bool
is_between(const JsonbValue *value, int least, int most)
{
	Datum		number;

	if (value == NULL || value->type != jbvNumeric)
		return false;
	number = NumericGetDatum(value->val.numeric);
	return DatumGetBool(DirectFunctionCall2(numeric_ge, number, NumericGetDatum(int64_to_numeric(least)))) &&
		DatumGetBool(DirectFunctionCall2(numeric_le, number, NumericGetDatum(int64_to_numeric(most))));
}

/*
 * Reads a place: longitude, latitude, and the system they are meant in, which
 * nobody can guess afterwards.
 */
static Datum
place_of(const DeskForm *form, const DeskField *field, const JsonbValue *value)
{
	bool		is_object = value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
	JsonbValue	places[3];
	const JsonbValue *lon = is_object ? member(value, "lon", &places[0]) : NULL;
	const JsonbValue *lat = is_object ? member(value, "lat", &places[1]) : NULL;
	const JsonbValue *system = is_object ? member(value, "system", &places[2]) : NULL;
	bool		known = false;

	for (int i = 0; system != NULL && system->type == jbvString && i < lengthof(systems); i++)
		known = known || (system->val.string.len == (int) strlen(systems[i]) && memcmp(system->val.string.val, systems[i], system->val.string.len) == 0);
	if (!known || !is_between(lon, -180, 180) || !is_between(lat, -90, 90) || JsonContainerSize(value->val.binary.data) != 3)
		refuse_kind(form, field, value, "a place", "Write {\"lon\": 121.47, \"lat\": 31.23, \"system\": \"GCJ-02\"}; the systems are WGS-84, GCJ-02 and BD-09.");
	return JsonbPGetDatum(JsonbValueToJsonb((JsonbValue *) value));
}

/*
 * Tells which of the choices a text is; -1: none.
 */
static int
choice_of(const DeskVariant *variant, const char *text)
{
	for (int i = 0; i < variant->nchoices; i++)
		if (strcmp(variant->choices[i], text) == 0)
			return i;
	return -1;
}

/*
 * Reads several choices, each once, in the order of the form.
 */
static Datum
choices_of(const DeskForm *form, const DeskField *field, const DeskVariant *variant, const JsonbValue *value)
{
	bool	   *chosen = palloc0(sizeof(bool) * variant->nchoices);
	Datum	   *elements = palloc(sizeof(Datum) * variant->nchoices);
	int			n = 0;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse_kind(form, field, value, "a list of choices", psprintf("They are: %s.", listed(variant->nchoices, variant->choices)));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		char	   *text = token == WJB_ELEM ? scalar_text(&element) : NULL;
		int			choice = text == NULL ? -1 : choice_of(variant, text);

		if (token != WJB_ELEM)
			continue;
		if (choice < 0)
			refuse(form, field->name, "choices", ERRCODE_CHECK_VIOLATION, psprintf("cannot be %s", shown_value(field, &element)),
				   psprintf("Choices are: %s.", listed(variant->nchoices, variant->choices)));
		chosen[choice] = true;
	}
	for (int i = 0; i < variant->nchoices; i++)
		if (chosen[i])
			elements[n++] = CStringGetTextDatum(variant->choices[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Reads one value as the type of its field.
 */
static Datum
read_value(const DeskForm *form, const DeskField *field, const DeskVariant *variant, const JsonbValue *value)
{
	char	   *text;

	switch (field->kind)
	{
		case DESK_INTEGER:
			{
				Datum		number = NumericGetDatum(number_of(form, field, value, "an integer"));
				Datum		whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
				Datum		limit = NumericGetDatum(int64_to_numeric(INT64CONST(1000000000000000)));

				if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)) ||
					!DatumGetBool(DirectFunctionCall2(numeric_lt, DirectFunctionCall1(numeric_abs, whole), limit)))
					refuse_kind(form, field, value, "an integer", NULL);
				return DirectFunctionCall1(numeric_int8, whole);
			}
		case DESK_NUMERIC:
			return NumericGetDatum(number_of(form, field, value, "a number"));
		case DESK_BOOLEAN:
			text = scalar_text(value);
			if (text == NULL || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
				refuse_kind(form, field, value, "true or false", NULL);
			return BoolGetDatum(text[0] == 't');
		case DESK_DATE:
			text = scalar_text(value);
			if (text == NULL || value->type != jbvString || !is_plain(text, "-") || strlen(text) != strlen("2025-11-11") || text[4] != '-' || text[7] != '-')
				refuse_kind(form, field, value, "a date", "Write it as 2025-11-11.");
			return DirectFunctionCall1(date_in, CStringGetDatum(text));
		case DESK_TIMESTAMP:
			text = scalar_text(value);
			if (text == NULL || value->type != jbvString || !is_plain(text, "-:+.TZ ") || strlen(text) < strlen("2025-11-11 10:00") || text[4] != '-' || text[7] != '-')
				refuse_kind(form, field, value, "a time", "Write it as 2025-11-11 10:00, in book time, or with its zone as 2025-11-11T10:00:00+08:00.");
			return DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		case DESK_CHOICES:
			return choices_of(form, field, variant, value);
		case DESK_PHONE:
			return phone_of(form, field, value);
		case DESK_PLACE:
			return place_of(form, field, value);
		case DESK_TEXT:
		case DESK_CHOICE:
		case DESK_REFERENCE:
			break;
	}
	text = scalar_text(value);
	if (text == NULL || value->type == jbvBool)
		refuse_kind(form, field, value, "a text", NULL);
	if (field->kind == DESK_CHOICE && choice_of(variant, text) < 0)
		refuse(form, field->name, "choices", ERRCODE_CHECK_VIOLATION, psprintf("cannot be %s", shown_value(field, value)),
			   psprintf("Choices are: %s.", listed(variant->nchoices, variant->choices)));
	return CStringGetTextDatum(text);
}

/*
 * Writes one value, in its one spelling.
 */
static void
write_value(JsonbParseState **state, const DeskField *field, Datum value)
{
	JsonbValue	out;
	char		buffer[MAXDATELEN + 1];

	switch (field->kind)
	{
		case DESK_INTEGER:
			out.type = jbvNumeric;
			out.val.numeric = int64_to_numeric(DatumGetInt64(value));
			break;
		case DESK_NUMERIC:
			out.type = jbvNumeric;
			out.val.numeric = DatumGetNumeric(value);
			break;
		case DESK_BOOLEAN:
			out.type = jbvBool;
			out.val.boolean = DatumGetBool(value);
			break;
		case DESK_DATE:
		case DESK_TIMESTAMP:
			out.type = jbvString;
			out.val.string.val = pstrdup(JsonEncodeDateTime(buffer, value, field->kind == DESK_DATE ? DATEOID : TIMESTAMPTZOID, NULL));
			out.val.string.len = (int) strlen(out.val.string.val);
			break;
		case DESK_CHOICES:
			{
				Datum	   *elements;
				int			n;

				deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
				pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
				for (int i = 0; i < n; i++)
				{
					out.type = jbvString;
					out.val.string.val = TextDatumGetCString(elements[i]);
					out.val.string.len = (int) strlen(out.val.string.val);
					pushJsonbValue(state, WJB_ELEM, &out);
				}
				pushJsonbValue(state, WJB_END_ARRAY, NULL);
				return;
			}
		case DESK_PLACE:
			{
				Jsonb	   *place = DatumGetJsonbP(value);

				out.type = jbvBinary;
				out.val.binary.data = &place->root;
				out.val.binary.len = VARSIZE(place) - VARHDRSZ;
				break;
			}
		default:
			out.type = jbvString;
			out.val.string.val = TextDatumGetCString(value);
			out.val.string.len = (int) strlen(out.val.string.val);
			break;
	}
	pushJsonbValue(state, WJB_VALUE, &out);
}

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
		refuse(form, field->name, "reference", ERRCODE_FOREIGN_KEY_VIOLATION,
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

static bool
is_value(const JsonbValue *value)
{
	return value != NULL && value->type != jbvNull && !(value->type == jbvString && is_blank(value->val.string.val, value->val.string.len));
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
		refuse(form, name, "unknown", ERRCODE_UNDEFINED_COLUMN, "is not in its form",
			   nearest != NULL ? psprintf("Perhaps you meant \"%s\".", nearest)
			   : form->type->nfields == 0 ? "The form has no fields." : psprintf("Fields are: %s.", listed(form->type->nfields, (char **) names)));
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
	write_value(&state, field, value);
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
	given = is_value(given) ? given : NULL;
	if (!shown)
	{
		/* what is not asked for any more goes; what is given anew is a mistake */
		if (given != NULL && !same_value(given, was))
			refuse(form, field->name, "shown", ERRCODE_CHECK_VIOLATION, "is not asked for here",
				   variant == NULL ? "It is a field of other regions." : psprintf("It is asked for where %s.", variant->shown.text));
		return;
	}
	required = settle_term_holds(type, &variant->required);
	if (given == NULL && variant->takes != NULL && (form->before == NULL || (required && !is_value(was))))
		given = taken_value(type, field, variant->takes, &places[0]);
	if (given == NULL)
	{
		if (required)
			refuse(form, field->name, "required", ERRCODE_NOT_NULL_VIOLATION, "is required",
				   variant->required.constant ? NULL : psprintf("It is required where %s.", variant->required.text));
		return;
	}
	value = read_value(form, field, variant, given);
	put(form, field, value);
	if (variant->pattern != NULL && !settle_term_holds(type, variant->pattern))
		refuse(form, field->name, "pattern", ERRCODE_CHECK_VIOLATION, psprintf("cannot be %s", shown_value(field, given)),
			   psprintf("It matches the pattern %s.", variant->pattern->text));
	if (field->kind == DESK_REFERENCE)
		look_up(form, field, value, !same_value(given, was));
	pushJsonbValue(state, WJB_KEY, &key);
	write_value(state, field, value);
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

/*
 * Reads a list of texts, whatever the form allows now.
 */
static Datum
texts_of(const JsonbValue *value)
{
	JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	element;
	Datum	   *elements = palloc(sizeof(Datum) * Max(JsonContainerSize(value->val.binary.data), 1));
	int			n = 0;

	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			elements[n++] = CStringGetTextDatum(scalar_text(&element));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
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

		if (!is_value(given))
			continue;
		switch (field->kind)
		{
			case DESK_CHOICE:
			case DESK_PHONE:
				put(form, field, CStringGetTextDatum(scalar_text(given)));
				break;
			case DESK_CHOICES:
				put(form, field, texts_of(given));
				break;
			default:
				put(form, field, read_value(form, field, NULL, given));
				break;
		}
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

Jsonb *
settle_form_mask(const DeskType *type, Jsonb *details)
{
	JsonbIterator *it = JsonbIteratorInit(&details->root);
	JsonbIteratorToken token;
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(details))
		return details;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &key, true)) == WJB_KEY)
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
