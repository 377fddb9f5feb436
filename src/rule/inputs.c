/*
 * inputs.c
 *		What the rules have read of a ticket, as a text that it can be priced from
 *		again.
 *
 * {"c": {column: value}, "f": {fact: value, "USD/CNY": rate}}, and in "d" the
 * ticket that it is a duplicate of, where it is one: numbers and
 * booleans as they are printed, all other types as the text that their input
 * function takes, in the pinned environment both ways.  The text is appended
 * by hand: it is written for every ticket of a run.
 */
#include "rule/compile.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

/* How a value is spelt. */
typedef enum Spelling
{
	SPELL_INTEGER,
	SPELL_NUMBER,
	SPELL_BOOLEAN,
	SPELL_TEXT,
	SPELL_JSON,
	SPELL_QUOTED				/* by its output function */
} Spelling;

typedef struct InputColumn
{
	int			position;
	Oid			type;
	Spelling	spelling;
	FmgrInfo	output;
	const char *label;			/* as JSON, with its colon */
	int			label_length;
} InputColumn;

/*
 * Tells how values of a name of the scope are spelt.
 */
static InputColumn
input_column(const SettleSet *set, int position)
{
	const SettleName *name = &set->scope.names[position - 1];
	InputColumn column = {.position = position, .type = name->type};
	StringInfoData label;
	Oid			output;
	bool		is_varlena;

	switch (name->type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			column.spelling = SPELL_INTEGER;
			break;
		case NUMERICOID:
			column.spelling = SPELL_NUMBER;
			break;
		case BOOLOID:
			column.spelling = SPELL_BOOLEAN;
			break;
		case TEXTOID:
		case VARCHAROID:
			column.spelling = SPELL_TEXT;
			break;
		case JSONBOID:
		case JSONOID:
			column.spelling = SPELL_JSON;
			break;
		default:
			column.spelling = SPELL_QUOTED;
			break;
	}
	getTypeOutputInfo(name->type, &output, &is_varlena);
	fmgr_info(output, &column.output);
	initStringInfo(&label);
	escape_json(&label, name->name);
	appendStringInfoChar(&label, ':');
	column.label = label.data;
	column.label_length = label.len;
	return column;
}

/*
 * Looks up once how columns in use, then facts in use, are spelt.
 */
static void
prepare_columns(SettleSet *set)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);
	int			position = -1;

	set->input_columns = palloc(sizeof(InputColumn) * (bms_num_members(set->uses) + set->nfacts + 1));
	while ((position = bms_next_member(set->uses, position)) >= 0)
		set->input_columns[set->ninput_columns++] = input_column(set, position);
	for (int i = 0; i < set->nfacts; i++)
		if (set->facts[i].used)
			set->input_columns[set->ninput_columns++] = input_column(set, set->f0 + i);
	MemoryContextSwitchTo(old);
}

static void
append_text(StringInfo out, const char *text, int length)
{
	int			plain = 0;

	while (plain < length && (unsigned char) text[plain] >= ' ' && text[plain] != '"' && text[plain] != '\\')
		plain++;
	if (plain == length)
	{
		appendStringInfoCharMacro(out, '"');
		appendBinaryStringInfo(out, text, length);
		appendStringInfoCharMacro(out, '"');
	}
	else
		escape_json(out, pnstrdup(text, length));
}

static void
append_number(StringInfo out, Numeric value)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)));

	/* NaN and the infinities are no numbers of JSON */
	if (numeric_is_nan(value) || numeric_is_inf(value))
		append_text(out, text, (int) strlen(text));
	else
		appendStringInfoString(out, text);
}

static void
append_value(StringInfo out, InputColumn *column, Datum value)
{
	char	   *text;
	struct varlena *bytes;
	char		digits[MAXINT8LEN + 1];

	switch (column->spelling)
	{
		case SPELL_INTEGER:
			pg_lltoa(column->type == INT2OID ? DatumGetInt16(value) : column->type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value), digits);
			appendStringInfoString(out, digits);
			break;
		case SPELL_NUMBER:
			append_number(out, DatumGetNumeric(value));
			break;
		case SPELL_BOOLEAN:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			break;
		case SPELL_TEXT:
			bytes = PG_DETOAST_DATUM_PACKED(value);
			append_text(out, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
			break;
		case SPELL_JSON:
			appendStringInfoString(out, OutputFunctionCall(&column->output, value));
			break;
		case SPELL_QUOTED:
			text = OutputFunctionCall(&column->output, value);
			append_text(out, text, (int) strlen(text));
			break;
	}
}

static void
append_member(StringInfo out, bool *first, InputColumn *column, Datum value, bool isnull)
{
	if (!*first)
		appendStringInfoCharMacro(out, ',');
	*first = false;
	appendBinaryStringInfo(out, column->label, column->label_length);
	if (isnull)
		appendBinaryStringInfo(out, "null", 4);
	else
		append_value(out, column, value);
}

void
settle_ticket_inputs(SettleSet *set, StringInfo out)
{
	MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);
	TupleTableSlot *slot = set->slot;
	bool		first = true;
	int			at = 0;

	if (set->input_columns == NULL)
		prepare_columns(set);
	appendBinaryStringInfo(out, "{\"c\":{", 6);
	for (; at < set->ninput_columns && set->input_columns[at].position <= set->ncolumns; at++)
	{
		int			i = set->input_columns[at].position - 1;

		append_member(out, &first, &set->input_columns[at], slot->tts_values[i], slot->tts_isnull[i]);
	}
	appendBinaryStringInfo(out, "},\"f\":{", 7);
	first = true;
	for (; at < set->ninput_columns; at++)
	{
		int			position = set->input_columns[at].position;

		/* one that no rule came to ask for is no input */
		if (set->name_epoch[position] == set->epoch)
			append_member(out, &first, &set->input_columns[at], slot->tts_values[position - 1], slot->tts_isnull[position - 1]);
	}
	for (int i = 0; i < set->nrates; i++)
		if (set->rates[i].epoch == set->epoch)
		{
			appendStringInfo(out, "%s\"%s/%s\":", first ? "" : ",", set->rates[i].from, set->rates[i].to);
			append_number(out, set->rates[i].value);
			first = false;
		}
	appendStringInfoCharMacro(out, '}');
	if (set->duplicate_of != NULL)
	{
		appendBinaryStringInfo(out, ",\"d\":", 5);
		append_text(out, set->duplicate_of, (int) strlen(set->duplicate_of));
	}
	appendStringInfoCharMacro(out, '}');
	MemoryContextSwitchTo(old);
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
