/*
 * inputs.c
 *		Packs what the rules have read of a ticket, and reads it again; inputs.h
 *		describes the format, spell.c turns it into JSON.
 */
#include "rule/inputs.h"
#include "rule/compile.h"
#include "rule/varint.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "extension/ltree/ltree.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* How a value is packed. */
typedef enum Packing
{
	PACK_INTEGER,
	PACK_NUMERIC,
	PACK_BOOLEAN,
	PACK_TEXT,
	PACK_JSON,
	PACK_PATH,
	PACK_INSTANT,
	PACK_OTHER					/* as the text of its output function */
} Packing;

typedef struct InputColumn
{
	int			position;
	Oid			type;
	Packing		packing;
	FmgrInfo	output;
} InputColumn;

/*
 * Tells how values of a name of the scope are packed.
 */
static InputColumn
input_column(const SettleSet *set, int position)
{
	const SettleName *name = &set->scope.names[position - 1];
	InputColumn column = {.position = position, .type = name->type};
	Oid			output;
	bool		is_varlena;

	switch (name->type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			column.packing = PACK_INTEGER;
			break;
		case NUMERICOID:
			column.packing = PACK_NUMERIC;
			break;
		case BOOLOID:
			column.packing = PACK_BOOLEAN;
			break;
		case TEXTOID:
		case VARCHAROID:
			column.packing = PACK_TEXT;
			break;
		case JSONBOID:
		case JSONOID:
			column.packing = PACK_JSON;
			break;
		case TIMESTAMPTZOID:
			column.packing = PACK_INSTANT;
			break;
		default:
			column.packing = name->type == settle_set_path_type(set) ? PACK_PATH : PACK_OTHER;
			break;
	}
	getTypeOutputInfo(name->type, &output, &is_varlena);
	fmgr_info(output, &column.output);
	return column;
}

/*
 * Tells whether a column in use is packed as text that settings make.
 */
bool
settle_inputs_need_settings(const SettleSet *set)
{
	int			position = -1;

	while ((position = bms_next_member(set->uses, position)) >= 0)
		if (input_column(set, position).packing == PACK_OTHER)
			return true;
	return false;
}

/*
 * Looks up once how columns in use, then facts in use, are packed.
 */
static void
prepare_columns(SettleSet *set)
{
	MemoryContext old;
	int			position = -1;

	if (set->input_columns != NULL)
		return;
	old = MemoryContextSwitchTo(set->context);
	initStringInfo(&set->inputs);
	set->input_columns = palloc(sizeof(InputColumn) * (bms_num_members(set->uses) + set->nfacts + 1));
	while ((position = bms_next_member(set->uses, position)) >= 0)
		set->input_columns[set->ninput_columns++] = input_column(set, position);
	for (int i = 0; i < set->nfacts; i++)
		if (set->facts[i].used)
			set->input_columns[set->ninput_columns++] = input_column(set, set->f0 + i);
	MemoryContextSwitchTo(old);
}

/* ---- packing ---- */

static inline void
put_kind(StringInfo out, int kind, int small)
{
	appendStringInfoCharMacro(out, (char) (kind << 5 | small));
}

static void
put_head(StringInfo out, int kind, int length)
{
	put_kind(out, kind, Min(length, VALUE_LONG));
	if (length >= VALUE_LONG)
		settle_put_varint(out, length);
}

static void
put_bytes(StringInfo out, int kind, const char *bytes, int length)
{
	put_head(out, kind, length);
	appendBinaryStringInfo(out, bytes, length);
}

static void
put_numeric(StringInfo out, Numeric value)
{
	int			places = settle_numeric_places(value);
	Numeric		whole;
	char	   *text;

	if (!settle_numeric_is_special(value) && places < VALUE_LONG)
	{
		SettleDec	dec = settle_dec_widen_scale(settle_dec_from_numeric(value), places);

		if (dec.wide == NULL && dec.scale == places)
		{
			put_kind(out, VALUE_NUMBER, places);
			settle_put_varint(out, settle_zigzag(dec.coef));
			return;
		}
	}
	whole = DatumGetNumeric(PointerGetDatum(value));
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(whole)));
	/* NaN and the infinities are no numbers of JSON */
	put_bytes(out, numeric_is_nan(whole) || numeric_is_inf(whole) ? VALUE_TEXT : VALUE_JSON, text, (int) strlen(text));
}

/*
 * Packs an instant with the offset that it is spelt with in the book's time
 * zone, which may be told otherwise one day.
 */
static void
put_instant(StringInfo out, TimestampTz value)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			west;

	if (TIMESTAMP_NOT_FINITE(value) || timestamp2tm(value, &west, &tm, &fsec, NULL, NULL) != 0)
	{
		const char *text = DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(value)));

		put_bytes(out, VALUE_TEXT, text, (int) strlen(text));
		return;
	}
	put_kind(out, VALUE_INSTANT, 0);
	settle_put_varint(out, settle_zigzag(value));
	settle_put_varint(out, settle_zigzag(west));
}

static void
put_path(StringInfo out, Datum value)
{
	ltree	   *path = (ltree *) PG_DETOAST_DATUM(value);
	ltree_level *level = LTREE_FIRST(path);
	int			length = Max(path->numlevel - 1, 0);
	char	   *at;

	for (int i = 0; i < path->numlevel; i++, level = LEVEL_NEXT(level))
		length += level->len;
	put_head(out, VALUE_TEXT, length);
	enlargeStringInfo(out, length);
	at = out->data + out->len;
	level = LTREE_FIRST(path);
	for (int i = 0; i < path->numlevel; i++, level = LEVEL_NEXT(level))
	{
		if (i > 0)
			*at++ = '.';
		memcpy(at, level->name, level->len);
		at += level->len;
	}
	out->len += length;
}

static void
put_value(StringInfo out, InputColumn *column, Datum value)
{
	struct varlena *bytes;
	char	   *text;

	switch (column->packing)
	{
		case PACK_INTEGER:
			put_kind(out, VALUE_NUMBER, 0);
			settle_put_varint(out, settle_zigzag(column->type == INT2OID ? DatumGetInt16(value) : column->type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value)));
			break;
		case PACK_NUMERIC:
			put_numeric(out, (Numeric) PG_DETOAST_DATUM_PACKED(value));
			break;
		case PACK_BOOLEAN:
			put_kind(out, VALUE_FIXED, DatumGetBool(value) ? FIXED_TRUE : FIXED_FALSE);
			break;
		case PACK_TEXT:
			bytes = PG_DETOAST_DATUM_PACKED(value);
			put_bytes(out, VALUE_TEXT, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
			break;
		case PACK_PATH:
			put_path(out, value);
			break;
		case PACK_INSTANT:
			put_instant(out, DatumGetTimestampTz(value));
			break;
		case PACK_JSON:
		case PACK_OTHER:
			text = OutputFunctionCall(&column->output, value);
			put_bytes(out, column->packing == PACK_JSON ? VALUE_JSON : VALUE_TEXT, text, (int) strlen(text));
			break;
	}
}

static bytea *
make_inputs(int form, const char *bytes, int length)
{
	bytea	   *inputs = palloc(VARHDRSZ + 1 + length);

	SET_VARSIZE(inputs, VARHDRSZ + 1 + length);
	VARDATA(inputs)[0] = (char) form;
	memcpy(VARDATA(inputs) + 1, bytes, length);
	return inputs;
}

static void
put_rates(StringInfo out, SettleSet *set)
{
	int			n = 0;

	for (int i = 0; i < set->nrates; i++)
		n += set->rates[i].epoch == set->epoch;
	settle_put_varint(out, n);
	for (int i = 0; i < set->nrates && n > 0; i++)
	{
		const char *pair;

		if (set->rates[i].epoch != set->epoch)
			continue;
		pair = psprintf("%s/%s", set->rates[i].from, set->rates[i].to);
		put_bytes(out, VALUE_TEXT, pair, (int) strlen(pair));
		put_numeric(out, set->rates[i].value);
	}
}

bytea *
settle_ticket_inputs(SettleSet *set)
{
	MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);
	TupleTableSlot *slot = set->slot;
	StringInfo	out = &set->inputs;

	prepare_columns(set);
	resetStringInfo(out);
	put_rates(out, set);
	if (set->duplicate_of == NULL)
		put_kind(out, VALUE_FIXED, FIXED_NULL);
	else
		put_bytes(out, VALUE_TEXT, set->duplicate_of, (int) strlen(set->duplicate_of));
	for (int i = 0; i < set->ninput_columns; i++)
	{
		InputColumn *column = &set->input_columns[i];

		/* a fact that no rule came to ask for is no input */
		if (column->position > set->ncolumns && set->name_epoch[column->position] != set->epoch)
			put_kind(out, VALUE_FIXED, FIXED_ABSENT);
		else if (slot->tts_isnull[column->position - 1])
			put_kind(out, VALUE_FIXED, FIXED_NULL);
		else
			put_value(out, column, slot->tts_values[column->position - 1]);
	}
	MemoryContextSwitchTo(old);
	return make_inputs(INPUTS_PACKED, out->data, out->len);
}

bytea *
settle_ticket_inputs_digest(SettleSet *set)
{
	SettleInputNames names = settle_set_input_names(set);
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	StringInfoData text;

	initStringInfo(&text);
	if (!settle_inputs_text(&text, settle_ticket_inputs(set), &names))
		elog(ERROR, "packed inputs cannot be read");
	if (pg_cryptohash_init(hash) < 0 || pg_cryptohash_update(hash, (const uint8 *) text.data, text.len) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the digest of the inputs of a ticket: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	return make_inputs(INPUTS_DIGEST, (char *) digest, sizeof(digest));
}

bytea *
settle_inputs_of_text(const char *json)
{
	return make_inputs(INPUTS_TEXT, json, (int) strlen(json));
}

/* ---- names ---- */

SettleInputNames
settle_set_input_names(SettleSet *set)
{
	SettleInputNames names = {0};

	prepare_columns(set);
	names.labels = palloc(sizeof(char *) * Max(set->ninput_columns, 1));
	for (int i = 0; i < set->ninput_columns; i++)
	{
		int			position = set->input_columns[i].position;

		names.labels[names.n++] = set->scope.names[position - 1].name;
		names.ncolumns += position <= set->ncolumns;
	}
	return names;
}

static void
put_names(StringInfo out, const char *key, const char *const *labels, int n)
{
	appendStringInfo(out, "\"%s\":[", key);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		escape_json(out, labels[i]);
	}
	appendStringInfoChar(out, ']');
}

void
settle_put_input_names(StringInfo out, const SettleInputNames *names)
{
	appendStringInfoChar(out, '{');
	put_names(out, "c", names->labels, names->ncolumns);
	appendStringInfoChar(out, ',');
	put_names(out, "f", names->labels + names->ncolumns, names->n - names->ncolumns);
	appendStringInfoChar(out, '}');
}

/* ---- and back ---- */

static Jsonb *
member_of(Jsonb *inputs, const char *key)
{
	JsonbValue *value = JB_ROOT_IS_OBJECT(inputs) ? getKeyJsonValueFromContainer(&inputs->root, key, 1, NULL) : NULL;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("inputs have no object \"%s\"", key)));
	return JsonbValueToJsonb(value);
}

Jsonb *
settle_set_fill(SettleSet *set, Jsonb *inputs)
{
	Jsonb	   *columns = member_of(inputs, "c");
	JsonbValue *original = getKeyJsonValueFromContainer(&inputs->root, "d", 1, NULL);
	TupleTableSlot *slot = set->slot;
	int			position = -1;

	settle_set_duplicate_of(set, original != NULL && original->type == jbvString ? pnstrdup(original->val.string.val, original->val.string.len) : NULL);
	while ((position = bms_next_member(set->uses, position)) >= 0)
	{
		const SettleName *name = &set->scope.names[position - 1];
		JsonbValue *value = getKeyJsonValueFromContainer(&columns->root, name->name, (int) strlen(name->name), NULL);
		bool		as_json = name->type == JSONBOID || name->type == JSONOID;
		char	   *text;
		Oid			input;
		Oid			ioparam;

		if (value == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("inputs have no column \"%s\"", name->name)));
		slot->tts_isnull[position - 1] = value->type == jbvNull;
		slot->tts_values[position - 1] = (Datum) 0;
		if (value->type == jbvNull)
			continue;
		text = value->type == jbvString && !as_json ? pnstrdup(value->val.string.val, value->val.string.len)
			: JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, -1);
		getTypeInputInfo(name->type, &input, &ioparam);
		slot->tts_values[position - 1] = OidInputFunctionCall(input, text, ioparam, -1);
	}
	return member_of(inputs, "f");
}
