/*
 * spell.c
 *		Kept inputs as JSON: what seals, replay and people read.
 *
 * Inputs may come from anywhere: every byte is checked, and what does not add
 * up is told, not raised, so that settle.verify can say where it stands.
 */
#include "rule/inputs.h"
#include "rule/varint.h"

#include "fmgr.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* ---- names ---- */

/*
 * Adds the names that stand in an array; false where it is none.
 */
static bool
add_names(SettleInputNames *names, Jsonb *of_source, const char *key)
{
	JsonbValue *array = JB_ROOT_IS_OBJECT(of_source) ? getKeyJsonValueFromContainer(&of_source->root, key, 1, NULL) : NULL;
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	int			space = names->n;

	if (array == NULL || array->type != jbvBinary || !JsonContainerIsArray(array->val.binary.data))
		return false;
	it = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvString)
			return false;
		names->labels = settle_grow(names->labels, names->n, &space, sizeof(char *));
		names->labels[names->n++] = pnstrdup(value.val.string.val, value.val.string.len);
	}
	return true;
}

bool
settle_read_input_names(SettleInputNames *names, Jsonb *kept, const char *source)
{
	JsonbValue *value = JB_ROOT_IS_OBJECT(kept) ? getKeyJsonValueFromContainer(&kept->root, source, (int) strlen(source), NULL) : NULL;
	Jsonb	   *of_source;

	memset(names, 0, sizeof(*names));
	if (value == NULL || value->type != jbvBinary)
		return false;
	of_source = JsonbValueToJsonb(value);
	if (!add_names(names, of_source, "c"))
		return false;
	names->ncolumns = names->n;
	return add_names(names, of_source, "f");
}

/* ---- spelling ---- */

/* What is left of packed inputs; "broken" once something did not add up. */
typedef struct Packed
{
	const uint8 *at;
	const uint8 *end;
	bool		broken;
} Packed;

/* One value of them. */
typedef struct Value
{
	int			kind;
	int			small;
	const char *bytes;
	Size		length;
	int128		number;
	int128		west;
} Value;

static uint128
get_number(Packed *in)
{
	uint128		value = 0;

	if (!in->broken && settle_get_varint(&in->at, in->end, &value) != NULL)
		in->broken = true;
	return value;
}

static Value
get_value(Packed *in)
{
	Value		value = {0};

	if (in->broken || in->at == in->end)
	{
		in->broken = true;
		return value;
	}
	value.kind = *in->at >> 5;
	value.small = *in->at++ & 31;
	switch (value.kind)
	{
		case VALUE_FIXED:
			in->broken = value.small > FIXED_ABSENT;
			break;
		case VALUE_NUMBER:
			value.number = settle_unzigzag(get_number(in));
			break;
		case VALUE_INSTANT:
			value.number = settle_unzigzag(get_number(in));
			value.west = settle_unzigzag(get_number(in));
			break;
		case VALUE_TEXT:
		case VALUE_JSON:
			{
				uint128		length = value.small == VALUE_LONG ? get_number(in) : value.small;

				if (in->broken || length > (uint128) (in->end - in->at))
				{
					in->broken = true;
					break;
				}
				value.bytes = (const char *) in->at;
				value.length = (Size) length;
				in->at += length;
				break;
			}
		default:
			in->broken = true;
	}
	return value;
}

static void
spell_text(StringInfo out, const char *text, Size length)
{
	Size		plain = 0;

	while (plain < length && (unsigned char) text[plain] >= ' ' && text[plain] != '"' && text[plain] != '\\')
		plain++;
	if (plain == length)
	{
		appendStringInfoCharMacro(out, '"');
		appendBinaryStringInfo(out, text, (int) length);
		appendStringInfoCharMacro(out, '"');
	}
	else
		escape_json(out, pnstrdup(text, length));
}

/*
 * Spells an instant as it was where it was packed.
 */
static bool
spell_instant(StringInfo out, const Value *value)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		text[MAXDATELEN + 1];
	int64		local;

	if (value->number != (int64) value->number || value->west != (int32) value->west ||
		pg_sub_s64_overflow((int64) value->number, (int64) value->west * USECS_PER_SEC, &local) ||
		timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	tm.tm_isdst = 0;
	EncodeDateTime(&tm, fsec, true, (int) value->west, NULL, USE_ISO_DATES, text);
	spell_text(out, text, strlen(text));
	return true;
}

static void
spell_number(StringInfo out, const Value *value)
{
	char		digits[MAXINT8LEN + 1];

	if (value->small == 0 && value->number == (int64) value->number)
		appendBinaryStringInfo(out, digits, pg_lltoa((int64) value->number, digits));
	else
		appendStringInfoString(out, settle_dec_out((SettleDec) {.coef = value->number, .scale = value->small}));
}

static void
spell_value(StringInfo out, Packed *in, const Value *value)
{
	static const char *const fixed[] = {"null", "false", "true", "null"};

	if (in->broken)
		return;
	switch (value->kind)
	{
		case VALUE_FIXED:
			appendStringInfoString(out, fixed[value->small]);
			break;
		case VALUE_NUMBER:
			spell_number(out, value);
			break;
		case VALUE_TEXT:
			spell_text(out, value->bytes, value->length);
			break;
		case VALUE_JSON:
			appendBinaryStringInfo(out, value->bytes, (int) value->length);
			break;
		case VALUE_INSTANT:
			in->broken = !spell_instant(out, value);
			break;
	}
}

static void
spell_label(StringInfo out, bool *first, const char *label, Size length)
{
	if (!*first)
		appendStringInfoCharMacro(out, ',');
	*first = false;
	spell_text(out, label, length);
	appendStringInfoCharMacro(out, ':');
}

/*
 * Spells the values that have names, from one up to before another.
 */
static void
spell_named(StringInfo out, Packed *in, const SettleInputNames *names, int from, int to, bool *first)
{
	for (int i = from; i < to && !in->broken; i++)
	{
		Value		value = get_value(in);

		if (value.kind == VALUE_FIXED && value.small == FIXED_ABSENT)
			continue;
		spell_label(out, first, names->labels[i], strlen(names->labels[i]));
		spell_value(out, in, &value);
	}
}

static bool
spell_packed(StringInfo out, Packed in, const SettleInputNames *names)
{
	uint128		nrates = get_number(&in);
	Packed		rates = in;
	Value		original;
	bool		first = true;

	for (uint128 i = 0; i < nrates && !in.broken; i++)
	{
		(void) get_value(&in);
		(void) get_value(&in);
	}
	original = get_value(&in);
	appendStringInfoString(out, "{\"c\":{");
	spell_named(out, &in, names, 0, names->ncolumns, &first);
	appendStringInfoString(out, "},\"f\":{");
	first = true;
	spell_named(out, &in, names, names->ncolumns, names->n, &first);
	for (uint128 i = 0; i < nrates && !in.broken; i++)
	{
		Value		pair = get_value(&rates);
		Value		rate = get_value(&rates);

		spell_label(out, &first, pair.bytes, pair.length);
		spell_value(out, &rates, &rate);
	}
	appendStringInfoChar(out, '}');
	if (original.kind == VALUE_TEXT)
	{
		appendStringInfoString(out, ",\"d\":");
		spell_text(out, original.bytes, original.length);
	}
	appendStringInfoChar(out, '}');
	return !in.broken && !rates.broken && in.at == in.end;
}

bool
settle_inputs_text(StringInfo out, const bytea *inputs, const SettleInputNames *names)
{
	Packed		in = {(const uint8 *) VARDATA_ANY(inputs), (const uint8 *) VARDATA_ANY(inputs) + VARSIZE_ANY_EXHDR(inputs)};
	int			start = out->len;

	bool		known = false;

	switch (in.at == in.end ? -1 : *in.at++)
	{
		case INPUTS_TEXT:
			appendBinaryStringInfo(out, (const char *) in.at, (int) (in.end - in.at));
			known = true;
			break;
		case INPUTS_DIGEST:
			appendStringInfoString(out, "{\"sha256\":\"");
			enlargeStringInfo(out, (int) (in.end - in.at) * 2);
			out->len += (int) hex_encode((const char *) in.at, in.end - in.at, out->data + out->len);
			appendStringInfoString(out, "\"}");
			known = true;
			break;
		case INPUTS_PACKED:
			known = names != NULL && spell_packed(out, in, names);
			break;
	}
	if (known && pg_verifymbstr(out->data + start, out->len - start, true))
		return true;
	out->len = start;
	out->data[start] = '\0';
	return false;
}

bool
settle_inputs_rate(const bytea *inputs, const char *pair, SettleDec *rate)
{
	Packed		in = {(const uint8 *) VARDATA_ANY(inputs), (const uint8 *) VARDATA_ANY(inputs) + VARSIZE_ANY_EXHDR(inputs)};
	uint128		nrates;

	if (in.at == in.end || *in.at++ != INPUTS_PACKED)
		return false;
	nrates = get_number(&in);
	for (uint128 i = 0; i < nrates && !in.broken; i++)
	{
		Value		name = get_value(&in);
		Value		value = get_value(&in);

		if (in.broken || name.length != strlen(pair) || memcmp(name.bytes, pair, name.length) != 0)
			continue;
		if (value.kind == VALUE_NUMBER)
			*rate = (SettleDec) {.coef = value.number, .scale = value.small};
		else if (value.kind == VALUE_JSON)
			*rate = settle_dec_in(value.bytes, value.length);
		else
			return false;
		return true;
	}
	return false;
}

/*
 * settle._inputs(names jsonb, source name, inputs bytea) returns json
 */
PG_FUNCTION_INFO_V1(settle_inputs);
Datum
settle_inputs(PG_FUNCTION_ARGS)
{
	SettleInputNames names;
	bool		has_names;
	StringInfoData out;

	if (PG_ARGISNULL(2))
		PG_RETURN_NULL();
	has_names = !PG_ARGISNULL(0) && !PG_ARGISNULL(1) && settle_read_input_names(&names, PG_GETARG_JSONB_P(0), NameStr(*PG_GETARG_NAME(1)));
	initStringInfo(&out);
	if (!settle_inputs_text(&out, PG_GETARG_BYTEA_PP(2), has_names ? &names : NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("inputs are not what a run has kept")));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

