/*
 * form.c
 *		The forms in which platforms write values.
 *
 * A form is declared for a path, never guessed from the value: one payload may
 * hold the same refund as "39.90" and as 3990.  What does not have its form is
 * a problem of the payload, told by reason and SQLSTATE.  The parsers accept
 * less than PostgreSQL's casts do: no "now", no 'infinity', no '12.50元', no
 * time whose meaning depends on the session.
 */
#include "connect/connect.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

static const struct
{
	const char *name;
	Oid			type;
}			forms[] = {
	[FORM_TEXT] = {"text", TEXTOID},
	[FORM_ID] = {"id", TEXTOID},
	[FORM_ENUM] = {"enum", TEXTOID},
	[FORM_YUAN_TEXT] = {"yuan_text", NUMERICOID},
	[FORM_YUAN_NUMBER] = {"yuan_number", NUMERICOID},
	[FORM_FEN] = {"fen", NUMERICOID},
	[FORM_FEN_TEXT] = {"fen_text", NUMERICOID},
	[FORM_BEIJING] = {"beijing", TIMESTAMPTZOID},
	[FORM_EPOCH_S] = {"epoch_s", TIMESTAMPTZOID},
	[FORM_EPOCH_MS] = {"epoch_ms", TIMESTAMPTZOID},
	[FORM_RFC3339] = {"rfc3339", TIMESTAMPTZOID},
	[FORM_COUNT] = {"count", INT8OID},
	[FORM_BOOLEAN] = {"boolean", BOOLOID},
	[FORM_CHECK] = {"check", BOOLOID},
	[FORM_FLAG] = {"flag", BOOLOID},
};

Form
settle_form_named(const char *name)
{
	for (int i = 0; i < lengthof(forms); i++)
		if (strcmp(forms[i].name, name) == 0)
			return i;
	elog(ERROR, "unknown form \"%s\"", name);
}

Oid
settle_form_type(Form form)
{
	return forms[form].type;
}

static bool
fail(Problem *problem, const char *reason, int sqlstate, const char *wanted, const char *text)
{
	problem->reason = reason;
	problem->sqlstate = sqlstate;
	problem->message = psprintf("%s expected, not \"%s\"", wanted, pnstrdup(text, pg_mbcliplen(text, strlen(text), 80)));
	return false;
}

/* The text of a scalar; NULL where it is null, empty, or no scalar. */
static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return value->val.string.len == 0 ? NULL : pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

static bool
is_digits(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return len > 0;
}

/*
 * Tells whether text was once read in a wrong encoding: the replacement
 * character, what it becomes as GBK, or GBK read as Latin-1, four letters of
 * its upper half in a row.
 */
static bool
is_garbled(const char *text)
{
	int			run = 0;

	for (const unsigned char *at = (const unsigned char *) text; *at != '\0'; at++)
	{
		if ((at[0] & 0xFE) == 0xC2 && at[1] != '\0')
		{
			if (++run >= 4)
				return true;
			at++;
			continue;
		}
		run = 0;
		if (*at == 0xEF && strncmp((const char *) at, "\xEF\xBF\xBD", 3) == 0)
			return true;
		if (*at == 0xE9 && strncmp((const char *) at, "锟斤拷", 9) == 0)
			return true;
	}
	return false;
}

static bool
read_id(const JsonbValue *value, const char *text, int *notes, Problem *problem)
{
	int			len = strlen(text);
	const char *e = strpbrk(text, "eE");

	if (value->type == jbvBool)
		return fail(problem, "id_type", ERRCODE_INVALID_TEXT_REPRESENTATION, "an id", text);
	if (len > 500)
		return fail(problem, "id_type", ERRCODE_STRING_DATA_RIGHT_TRUNCATION, "an id of at most 500 bytes", text);
	if (value->type == jbvNumeric && !is_digits(text, len))
		return fail(problem, "id_precision_lost", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an id in whole digits", text);
	/* as spreadsheets write it: the digits are lost */
	if (e != NULL && e > text && text[0] >= '0' && text[0] <= '9' && strspn(text, "0123456789.") == (size_t) (e - text) &&
		memchr(text, '.', e - text) != NULL && strlen(e) > 1 && strspn(e + 1, "+0123456789") == strlen(e + 1))
		return fail(problem, "id_precision_lost", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an id in whole digits", text);
	if (value->type == jbvNumeric && (len > 19 || (len == 19 && strcmp(text, "9223372036854775807") > 0)))
		*notes |= NOTE_BIG_ID;
	return true;
}

bool
settle_check_amount(Datum amount, bool is_signed, Problem *problem)
{
	Numeric		value = DatumGetNumeric(amount);

	if (numeric_is_nan(value) || numeric_is_inf(value))
		return fail(problem, "amount_type", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an amount",
					DatumGetCString(DirectFunctionCall1(numeric_out, amount)));
	if (!is_signed && DatumGetCString(DirectFunctionCall1(numeric_out, amount))[0] == '-')
		return fail(problem, "negative_amount", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an amount that is not negative",
					DatumGetCString(DirectFunctionCall1(numeric_out, amount)));
	return true;
}

static Datum
numeric_of(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/*
 * Reads an amount in yuan.  Double noise is rounded half up to cents.
 */
static bool
read_yuan(Form form, bool is_signed, const JsonbValue *value, const char *text, Datum *result, int *notes, Problem *problem)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	const char *point = strchr(digits, '.');
	int			whole = point == NULL ? (int) strlen(digits) : (int) (point - digits);

	if (value->type == jbvBool || whole > 15 || !is_digits(digits, whole) || (point != NULL && (strlen(point) > 40 || !is_digits(point + 1, strlen(point + 1)))))
		return fail(problem, "amount_type", ERRCODE_INVALID_TEXT_REPRESENTATION, "an amount in yuan", text);
	if ((value->type == jbvNumeric) != (form == FORM_YUAN_NUMBER))
		*notes |= NOTE_AMOUNT_FORM;
	*result = DirectFunctionCall2(numeric_round, numeric_of(text), Int32GetDatum(2));
	return settle_check_amount(*result, is_signed, problem);
}

/*
 * Reads an amount in fen.  One with a point is yuan, and an error.
 */
static bool
read_fen(Form form, bool is_signed, const JsonbValue *value, const char *text, Datum *result, Problem *problem)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	int			len = strlen(digits);
	char		yuan[32];

	if (!is_digits(digits, len) || len > 17 || (value->type != jbvNumeric && (form != FORM_FEN_TEXT || value->type != jbvString)))
		return fail(problem, "amount_type", ERRCODE_INVALID_TEXT_REPRESENTATION, "an amount in whole fen", text);
	if (len < 3)
		snprintf(yuan, sizeof(yuan), "%s0.%s%s", digits == text ? "" : "-", len == 1 ? "0" : "", digits);
	else
		snprintf(yuan, sizeof(yuan), "%s%.*s.%s", digits == text ? "" : "-", len - 2, digits, digits + len - 2);
	*result = numeric_of(yuan);
	return settle_check_amount(*result, is_signed, problem);
}

/* Reads so many digits, or gives -1. */
static int
number_at(const char *text, int len)
{
	int			number = 0;

	for (int i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		number = number * 10 + (text[i] - '0');
	}
	return number;
}

/*
 * Reads "2023-11-11 00:03:00", with a T in between where offsets follow, as
 * seconds since 2000 without a zone.  Gives the number of bytes read, 0 where
 * the text is no time, -1 where it stands for none: years 0, 1 and 1970 do.
 */
static int
read_clock(const char *text, bool with_t, int64 *seconds)
{
	int			part[6];
	static const int at[] = {0, 5, 8, 11, 14, 17};

	if (strlen(text) < 19 || text[4] != '-' || text[7] != '-' || (text[10] != ' ' && !(with_t && text[10] == 'T')) || text[13] != ':' || text[16] != ':')
		return 0;
	for (int i = 0; i < 6; i++)
		if ((part[i] = number_at(text + at[i], i == 0 ? 4 : 2)) < 0)
			return 0;
	if ((part[0] == 0 && part[1] == 0 && part[2] == 0) || (part[0] == 1 && part[1] == 1 && part[2] == 1) ||
		(part[0] == 1970 && part[1] == 1 && part[2] == 1))
		return -1;
	if (part[0] < 2000 || part[0] >= 2100 || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > day_tab[isleap(part[0])][part[1] - 1] ||
		part[3] > 23 || part[4] > 59 || part[5] > 59)
		return 0;
	*seconds = (int64) (date2j(part[0], part[1], part[2]) - POSTGRES_EPOCH_JDATE) * SECS_PER_DAY + part[3] * 3600 + part[4] * 60 + part[5];
	return 19;
}

/* China has had one zone without summer time since 1992. */
#define BEIJING_OFFSET	(8 * 3600)

static bool
read_rfc3339(const char *text, Datum *result, bool *isnull, Problem *problem)
{
	int64		seconds;
	int64		micros = 0;
	int			read = read_clock(text, true, &seconds);
	const char *rest = text + read;
	int			offset = 0;

	if (read < 0)
	{
		*isnull = true;
		return true;
	}
	if (read > 0 && *rest == '.')
	{
		int			scale = 100000;

		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			micros += (*rest - '0') * scale;
	}
	if (*rest == ' ')
		rest++;
	if (read > 0 && (*rest == '+' || *rest == '-') && strlen(rest) >= 5)
	{
		int			hours = number_at(rest + 1, 2);
		const char *after = rest[3] == ':' ? rest + 4 : rest + 3;
		int			minutes = strlen(after) == 2 ? number_at(after, 2) : -1;

		if (hours >= 0 && hours <= 15 && minutes >= 0 && minutes < 60)
		{
			offset = (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
			rest = "Z";
		}
	}
	if (read == 0 || strcmp(rest, "Z") != 0)
		return fail(problem, "timestamp", ERRCODE_INVALID_DATETIME_FORMAT, "a time with an offset, such as 2023-11-14T05:00:00Z", text);
	*result = TimestampTzGetDatum((seconds - offset) * USECS_PER_SEC + micros);
	return true;
}

static bool
read_time(Form form, const JsonbValue *value, const char *text, Datum *result, bool *isnull, Problem *problem)
{
	int64		seconds;

	if (form == FORM_RFC3339 && value->type == jbvString)
		return read_rfc3339(text, result, isnull, problem);
	if (form == FORM_BEIJING && value->type == jbvString)
	{
		int			read = read_clock(text, false, &seconds);

		*isnull = read < 0;
		if (read == 0 || (read > 0 && text[read] != '\0'))
			return fail(problem, "timestamp", ERRCODE_INVALID_DATETIME_FORMAT, "a time such as 2023-11-11 00:03:00", text);
		*result = TimestampTzGetDatum((seconds - BEIJING_OFFSET) * USECS_PER_SEC);
		return true;
	}
	if ((form == FORM_EPOCH_S || form == FORM_EPOCH_MS) && value->type != jbvBool && is_digits(text, strlen(text)) && strlen(text) < 17)
	{
		int64		scale = form == FORM_EPOCH_S ? 1 : 1000;
		int64		number = strtoll(text, NULL, 10);

		*isnull = number == 0;
		/* from 2000 to 2100: milliseconds where seconds are declared are neither */
		if (number == 0 || (number >= 946684800 * scale && number < 4102444800 * scale))
		{
			*result = TimestampTzGetDatum(number * (USECS_PER_SEC / scale) -
										  (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC);
			return true;
		}
	}
	return fail(problem, "timestamp", ERRCODE_INVALID_DATETIME_FORMAT,
				form == FORM_BEIJING ? "a time such as 2023-11-11 00:03:00" :
				form == FORM_RFC3339 ? "a time with an offset, such as 2023-11-14T05:00:00Z" :
				form == FORM_EPOCH_S ? "seconds since 1970" : "milliseconds since 1970", text);
}

static bool
read_boolean(const char *text, Datum *result, Problem *problem)
{
	bool		yes = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

	if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
		return fail(problem, "boolean", ERRCODE_INVALID_TEXT_REPRESENTATION, "true or false", text);
	*result = BoolGetDatum(yes);
	return true;
}

/*
 * Reads one value of a payload in the form that its field declares.  False, with
 * the problem filled in, where it does not have that form.
 */
bool
settle_read_form(Form form, bool is_signed, const JsonbValue *value, Datum *result, bool *isnull, int *notes, Problem *problem)
{
	char	   *text = scalar_text(value);

	*isnull = text == NULL;
	if (text == NULL && value->type == jbvBinary)
		return fail(problem, forms[form].type == NUMERICOID ? "amount_type" : forms[form].type == TIMESTAMPTZOID ? "timestamp" : "type",
					ERRCODE_INVALID_TEXT_REPRESENTATION, "a single value", "an object or array");
	if (text == NULL)
		return true;
	switch (form)
	{
		case FORM_TEXT:
			if (strcmp(text, "null") == 0)
			{
				*isnull = true;
				return true;
			}
			if (is_garbled(text))
				*notes |= NOTE_GARBLED;
			break;
		case FORM_ENUM:
			break;
		case FORM_ID:
			if (!read_id(value, text, notes, problem))
				return false;
			break;
		case FORM_YUAN_TEXT:
		case FORM_YUAN_NUMBER:
			return read_yuan(form, is_signed, value, text, result, notes, problem);
		case FORM_FEN:
		case FORM_FEN_TEXT:
			return read_fen(form, is_signed, value, text, result, problem);
		case FORM_BEIJING:
		case FORM_EPOCH_S:
		case FORM_EPOCH_MS:
		case FORM_RFC3339:
			return read_time(form, value, text, result, isnull, problem);
		case FORM_COUNT:
			if (value->type == jbvBool || !is_digits(text, strlen(text)) || strlen(text) > 15)
				return fail(problem, "count", ERRCODE_INVALID_TEXT_REPRESENTATION, "a whole number", text);
			*result = Int64GetDatum(strtoll(text, NULL, 10));
			return true;
		case FORM_BOOLEAN:
			return read_boolean(text, result, problem);
		case FORM_CHECK:
		case FORM_FLAG:
			elog(ERROR, "form \"%s\" reads no value", forms[form].name);
	}
	*result = CStringGetTextDatum(text);
	return true;
}
