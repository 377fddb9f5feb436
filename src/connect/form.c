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

/*
 * A value as text.  It stands in the payload, which has no zero byte behind it.
 */
typedef struct Text
{
	const char *at;
	int			len;
} Text;

static bool
fail(Problem *problem, const char *reason, int sqlstate, const char *wanted, Text text)
{
	problem->reason = reason;
	problem->sqlstate = sqlstate;
	problem->message = psprintf("%s expected, not \"%.*s\"", wanted, pg_mbcliplen(text.at, text.len, 80), text.at);
	return false;
}

/* The text of a scalar; that of a null, an empty text or no scalar is NULL. */
static Text
scalar_text(const JsonbValue *value)
{
	char	   *number;

	switch (value->type)
	{
		case jbvString:
			return (Text) {value->val.string.len == 0 ? NULL : value->val.string.val, value->val.string.len};
		case jbvNumeric:
			number = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			return (Text) {number, strlen(number)};
		case jbvBool:
			return value->val.boolean ? (Text) {"true", 4} : (Text) {"false", 5};
		default:
			return (Text) {NULL, 0};
	}
}

static bool
is_text(Text text, const char *literal)
{
	return text.len == strlen(literal) && memcmp(text.at, literal, text.len) == 0;
}

static bool
is_digits(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return len > 0;
}

/* The value of digits that is_digits() has found, at most 18. */
static int64
digits_value(const char *text, int len)
{
	int64		value = 0;

	for (int i = 0; i < len; i++)
		value = value * 10 + (text[i] - '0');
	return value;
}

/*
 * Tells whether text was once read in a wrong encoding: the replacement
 * character, what it becomes as GBK, or GBK read as Latin-1, four letters of
 * its upper half in a row.
 */
static bool
is_garbled(Text text)
{
	const unsigned char *end = (const unsigned char *) text.at + text.len;
	int			run = 0;

	for (const unsigned char *at = (const unsigned char *) text.at; at < end; at++)
	{
		if ((at[0] & 0xFE) == 0xC2 && at + 1 < end)
		{
			if (++run >= 4)
				return true;
			at++;
			continue;
		}
		run = 0;
		if (*at == 0xEF && end - at >= 3 && memcmp(at, "\xEF\xBF\xBD", 3) == 0)
			return true;
		if (*at == 0xE9 && end - at >= 9 && memcmp(at, "锟斤拷", 9) == 0)
			return true;
	}
	return false;
}

/* A number as spreadsheets write it, 6.92E+18: its digits are lost. */
static bool
is_rounded(Text text)
{
	const char *at = text.at;
	const char *end = text.at + text.len;
	bool		point = false;

	for (; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && at > text.at)); at++)
		point |= *at == '.';
	if (!point || end - at < 2 || (*at != 'e' && *at != 'E'))
		return false;
	for (at++; at < end; at++)
		if (*at != '+' && (*at < '0' || *at > '9'))
			return false;
	return true;
}

static bool
read_id(const JsonbValue *value, Text text, int *notes, Problem *problem)
{
	if (value->type == jbvBool)
		return fail(problem, "id_type", ERRCODE_INVALID_TEXT_REPRESENTATION, "an id", text);
	if (text.len > 500)
		return fail(problem, "id_type", ERRCODE_STRING_DATA_RIGHT_TRUNCATION, "an id of at most 500 bytes", text);
	if ((value->type == jbvNumeric && !is_digits(text.at, text.len)) || is_rounded(text))
		return fail(problem, "id_precision_lost", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an id in whole digits", text);
	if (value->type == jbvNumeric && (text.len > 19 || (text.len == 19 && memcmp(text.at, "9223372036854775807", 19) > 0)))
		*notes |= NOTE_BIG_ID;
	return true;
}

/* ---- amounts ---- */

bool
settle_check_amount(Datum amount, bool is_signed, Problem *problem)
{
	Numeric		value = DatumGetNumeric(amount);
	char	   *text;

	if (is_signed && !numeric_is_nan(value) && !numeric_is_inf(value))
		return true;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, amount));
	if (numeric_is_nan(value) || numeric_is_inf(value))
		return fail(problem, "amount_type", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an amount", (Text) {text, strlen(text)});
	if (text[0] == '-')
		return fail(problem, "negative_amount", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an amount that is not negative", (Text) {text, strlen(text)});
	return true;
}

/*
 * Makes an amount of whole fen.
 */
static bool
give_fen(int64 fen, bool minus, bool is_signed, Text text, Datum *result, Problem *problem)
{
	if (minus && fen > 0 && !is_signed)
		return fail(problem, "negative_amount", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "an amount that is not negative", text);
	*result = NumericGetDatum(int64_div_fast_to_numeric(minus ? -fen : fen, 2));
	return true;
}

/*
 * Says whether digits behind the cents are the noise of a double: a millionth of
 * a yuan from whole cents at most.
 */
static bool
is_noise(const char *digits, int n)
{
	char		first = digits[0];

	for (int i = 1; i < 4; i++)
		if ((i < n ? digits[i] : '0') != first)
			return false;
	return first == '0' || first == '9';
}

/*
 * Reads an amount in yuan, rounded half up to cents.
 */
static bool
read_yuan(Form form, bool is_signed, const JsonbValue *value, Text text, Datum *result, int *notes, Problem *problem)
{
	bool		minus = text.at[0] == '-';
	const char *digits = text.at + minus;
	int			len = text.len - minus;
	const char *point = memchr(digits, '.', len);
	int			whole = point == NULL ? len : (int) (point - digits);
	int			places = point == NULL ? 0 : len - whole - 1;
	int64		fen;

	if (value->type == jbvBool || whole > 15 || !is_digits(digits, whole) || (point != NULL && (places >= 40 || !is_digits(point + 1, places))))
		return fail(problem, "amount_type", ERRCODE_INVALID_TEXT_REPRESENTATION, "an amount in yuan", text);
	if ((value->type == jbvNumeric) != (form == FORM_YUAN_NUMBER))
		*notes |= NOTE_AMOUNT_FORM;
	fen = digits_value(digits, whole) * 100;
	if (places > 0)
		fen += (point[1] - '0') * 10;
	if (places > 1)
		fen += point[2] - '0';
	if (places > 2 && point[3] >= '5')
		fen++;
	if (places > 2 && !is_noise(point + 3, places - 2))
		*notes |= NOTE_ROUNDED;
	return give_fen(fen, minus, is_signed, text, result, problem);
}

/*
 * Reads an amount in fen.  One with a point is yuan, and an error.
 */
static bool
read_fen(Form form, bool is_signed, const JsonbValue *value, Text text, Datum *result, Problem *problem)
{
	bool		minus = text.at[0] == '-';
	int			len = text.len - minus;

	if (!is_digits(text.at + minus, len) || len > 17 || (value->type != jbvNumeric && (form != FORM_FEN_TEXT || value->type != jbvString)))
		return fail(problem, "amount_type", ERRCODE_INVALID_TEXT_REPRESENTATION, "an amount in whole fen", text);
	return give_fen(digits_value(text.at + minus, len), minus, is_signed, text, result, problem);
}

/* ---- times ---- */

/* Reads so many digits, or gives -1. */
static int
number_at(const char *text, int len)
{
	return is_digits(text, len) ? (int) digits_value(text, len) : -1;
}

/*
 * Reads "2023-11-11 00:03:00", with a T in between where offsets follow, as
 * seconds since 2000 without a zone.  Gives the number of bytes read, 0 where
 * the text is no time, -1 where it stands for none: years 0, 1 and 1970 do.
 */
static int
read_clock(Text text, bool with_t, int64 *seconds)
{
	const char *c = text.at;
	int			part[6];
	static const int at[] = {0, 5, 8, 11, 14, 17};

	if (text.len < 19 || c[4] != '-' || c[7] != '-' || (c[10] != ' ' && !(with_t && c[10] == 'T')) || c[13] != ':' || c[16] != ':')
		return 0;
	for (int i = 0; i < 6; i++)
		if ((part[i] = number_at(c + at[i], i == 0 ? 4 : 2)) < 0)
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

/*
 * Reads what follows the clock: a fraction, then Z or an offset.
 */
static bool
read_offset(const char *at, const char *end, int64 *micros, int *offset)
{
	int			minutes_at;

	*micros = *offset = 0;
	if (at < end && *at == '.')
	{
		int			scale = 100000;

		for (at++; at < end && *at >= '0' && *at <= '9'; at++, scale /= 10)
			*micros += (*at - '0') * scale;
	}
	if (at < end && *at == ' ')
		at++;
	if (end - at == 1 && *at == 'Z')
		return true;
	/* +08:00 or +0800 */
	if (end - at < 5 || (*at != '+' && *at != '-'))
		return false;
	minutes_at = at[3] == ':' ? 4 : 3;
	if (end - at != minutes_at + 2)
		return false;
	else
	{
		int			hours = number_at(at + 1, 2);
		int			minutes = number_at(at + minutes_at, 2);

		*offset = (*at == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
		return hours >= 0 && hours <= 15 && minutes >= 0 && minutes < 60;
	}
}

static bool
read_time(Form form, const JsonbValue *value, Text text, Datum *result, bool *isnull, Problem *problem)
{
	int64		seconds = 0;
	int64		micros = 0;
	int			offset = BEIJING_OFFSET;

	if ((form == FORM_RFC3339 || form == FORM_BEIJING) && value->type == jbvString)
	{
		int			read = read_clock(text, form == FORM_RFC3339, &seconds);

		*isnull = read < 0;
		if (read < 0)
			return true;
		if (read > 0 && (form == FORM_BEIJING ? read == text.len : read_offset(text.at + read, text.at + text.len, &micros, &offset)))
		{
			*result = TimestampTzGetDatum((seconds - offset) * USECS_PER_SEC + micros);
			return true;
		}
	}
	if ((form == FORM_EPOCH_S || form == FORM_EPOCH_MS) && value->type != jbvBool && text.len < 17 && is_digits(text.at, text.len))
	{
		int64		scale = form == FORM_EPOCH_S ? 1 : 1000;
		int64		number = digits_value(text.at, text.len);

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

/* ---- all of them ---- */

static bool
read_boolean(Text text, Datum *result, Problem *problem)
{
	bool		yes = is_text(text, "true") || is_text(text, "1");

	if (!yes && !is_text(text, "false") && !is_text(text, "0"))
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
	Text		text = scalar_text(value);

	*isnull = text.at == NULL;
	if (text.at == NULL && value->type == jbvBinary)
		return fail(problem, forms[form].type == NUMERICOID ? "amount_type" : forms[form].type == TIMESTAMPTZOID ? "timestamp" : "type",
					ERRCODE_INVALID_TEXT_REPRESENTATION, "a single value", (Text) {"an object or array", 18});
	if (text.at == NULL)
		return true;
	switch (form)
	{
		case FORM_TEXT:
			*isnull = is_text(text, "null");
			if (is_garbled(text))
				*notes |= NOTE_GARBLED;
			break;
		case FORM_ENUM:
			break;
		case FORM_ID:
			*isnull = is_text(text, "null");
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
			if (value->type == jbvBool || text.len > 15 || !is_digits(text.at, text.len))
				return fail(problem, "count", ERRCODE_INVALID_TEXT_REPRESENTATION, "a whole number", text);
			*result = Int64GetDatum(digits_value(text.at, text.len));
			return true;
		case FORM_BOOLEAN:
			return read_boolean(text, result, problem);
		case FORM_CHECK:
		case FORM_FLAG:
			elog(ERROR, "form \"%s\" reads no value", forms[form].name);
	}
	*result = PointerGetDatum(cstring_to_text_with_len(text.at, text.len));
	return true;
}
