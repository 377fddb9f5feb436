/*
 * field.c
 *		One value of a form: read as the type of its field, and written back in
 *		one spelling.
 *
 * What is refused names the field and the rule in the fields of the error that
 * programs read, COLUMN and CONSTRAINT, beside the sentence for people; and no
 * message repeats what is personal or sensitive.
 */
#include "desk/desk.h"
#include "geo/geo.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#define LONGEST_SHOWN	100		/* bytes of a value that a message repeats */

/* ---- refusing ---- */

/*
 * Raises what a form refuses.
 */
void
settle_field_refuse(const DeskForm *form, const char *field, const char *rule, int sqlstate, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("field \"%s\" of ticket \"%s\" %s", field, form->ticket, message),
			 hint == NULL ? 0 : errhint("%s", hint),
			 errcontext("form \"%s\", version %d", form->type->type, form->type->version),
			 err_generic_string(PG_DIAG_COLUMN_NAME, field),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, rule)));
}

char *
settle_listed(int n, char *const *names)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
	return list.data;
}

/*
 * What stands in a message of a value: its beginning; of a personal one nothing.
 */
const char *
settle_field_shown(const DeskField *field, const JsonbValue *value)
{
	char	   *text;
	int			length;
	int			shown;

	if (field->private)
		return "what is given";
	if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else
		text = JsonbToCString(NULL, &JsonbValueToJsonb((JsonbValue *) value)->root, 0);
	length = (int) strlen(text);
	shown = pg_mbcliplen(text, length, LONGEST_SHOWN);
	return psprintf("\"%.*s%s\"", shown, text, shown < length ? "..." : "");
}

static void pg_attribute_noreturn()
refuse_kind(const DeskForm *form, const DeskField *field, const JsonbValue *value, const char *wanted, const char *hint)
{
	settle_field_refuse(form, field->name, "kind", ERRCODE_INVALID_TEXT_REPRESENTATION, psprintf("is %s, not %s", wanted, settle_field_shown(field, value)), hint);
}

/* ---- values ---- */

/*
 * Tells whether a text is nothing but space, the wide one that Chinese keyboards
 * type included.
 */
static bool
is_blank(const char *text, int len)
{
	static const char wide[] = "\xE3\x80\x80";
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (int i = 0; i < len; i++)
		if (is_utf8 && len - i >= 3 && memcmp(text + i, wide, 3) == 0)
			i += 2;
		else if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
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

bool
settle_field_has(const JsonbValue *value)
{
	return value != NULL && value->type != jbvNull && !(value->type == jbvString && is_blank(value->val.string.val, value->val.string.len));
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
	bool		known = system != NULL && system->type == jbvString && settle_geo_system(system->val.string.val, system->val.string.len) != GEO_UNKNOWN;

	if (!known || !is_between(lon, -180, 180) || !is_between(lat, -90, 90) || JsonContainerSize(value->val.binary.data) != 3)
		refuse_kind(form, field, value, "a place", "Write {\"lon\": 121.47, \"lat\": 31.23, \"system\": \"GCJ-02\"}; the systems are " GEO_SYSTEMS ".");
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
		refuse_kind(form, field, value, "a list of choices", psprintf("They are: %s.", settle_listed(variant->nchoices, variant->choices)));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		char	   *text = token == WJB_ELEM ? scalar_text(&element) : NULL;
		int			choice = text == NULL ? -1 : choice_of(variant, text);

		if (token != WJB_ELEM)
			continue;
		if (choice < 0)
			settle_field_refuse(form, field->name, "choices", ERRCODE_CHECK_VIOLATION, psprintf("cannot be %s", settle_field_shown(field, &element)),
								psprintf("Choices are: %s.", settle_listed(variant->nchoices, variant->choices)));
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
Datum
settle_field_read(const DeskForm *form, const DeskField *field, const DeskVariant *variant, const JsonbValue *value)
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
		settle_field_refuse(form, field->name, "choices", ERRCODE_CHECK_VIOLATION, psprintf("cannot be %s", settle_field_shown(field, value)),
							psprintf("Choices are: %s.", settle_listed(variant->nchoices, variant->choices)));
	return CStringGetTextDatum(text);
}

/*
 * Writes one value, in its one spelling.
 */
void
settle_field_write(JsonbParseState **state, const DeskField *field, Datum value)
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


Datum
settle_field_reread(const DeskForm *form, const DeskField *field, const JsonbValue *value)
{
	switch (field->kind)
	{
		case DESK_CHOICE:
		case DESK_PHONE:
			return CStringGetTextDatum(scalar_text(value));
		case DESK_CHOICES:
			return texts_of(value);
		default:
			return settle_field_read(form, field, NULL, value);
	}
}
