/*
 * lines.c
 *		The type settle.lines: encoding, input and output.
 *
 * Layout after the varlena header: format byte, form byte, then varints: in
 * the portable form the dictionary (count; length and bytes of each code),
 * then the number of lines and the lines.  A line is rule, payer, payee, a
 * flag byte, base where the line before has another one, factor where it is not
 * 1, amount, the tally's owner and period where it adds to one; portable lines
 * also say component and unit.
 * A decimal is its scale in one byte and its coefficient as a zigzag varint,
 * or 0xFF and a length for one that only numeric holds.
 *
 * A value may come from anywhere: the reader checks every byte it uses and
 * raises 22P03 for what does not add up.
 */
#include "rule/lines.h"
#include "rule/varint.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"

struct SettleLines
{
	int32		vl_len_;
	uint8		format;
	uint8		form;
	uint8		bytes[FLEXIBLE_ARRAY_MEMBER];
};

#define LINES_FORMAT	1
#define FORM_PORTABLE	0
#define FORM_PACKED		1

#define LINE_HAS_FACTOR		0x01
#define LINE_IN_TALLY		0x02
#define LINE_OWNER_IS_PAYEE	0x04
#define LINE_RETIER			0x08
#define LINE_COUNT_PLUS		0x10
#define LINE_COUNT_MINUS	0x20
#define LINE_HAS_QUANTITY	0x40
#define LINE_BASE_AS_BEFORE	0x80

#define DEC_IS_WIDE			0xFF

/* ---- writing ---- */

/* Room for a line but for its wide decimals: seven codes and dates, flags, four decimals. */
#define LINE_ROOM	(7 * SETTLE_VARINT_BYTES + 1 + 4 * (1 + SETTLE_VARINT_BYTES))

/* These take the room for granted. */

static inline void
add_byte(StringInfo buf, uint8 byte)
{
	buf->data[buf->len++] = (char) byte;
}

static inline void
add_varint(StringInfo buf, uint128 value)
{
	buf->len = (int) (settle_write_varint(buf->data + buf->len, value) - buf->data);
}

static void
add_dec(StringInfo buf, SettleDec dec)
{
	if (dec.wide != NULL)
	{
		char	   *text = settle_dec_out(dec);

		add_byte(buf, DEC_IS_WIDE);
		add_varint(buf, strlen(text));
		appendBinaryStringInfo(buf, text, (int) strlen(text));
		enlargeStringInfo(buf, LINE_ROOM);
		return;
	}
	add_byte(buf, (uint8) dec.scale);
	add_varint(buf, settle_zigzag(dec.coef));
}

/*
 * Tells whether two decimals are written alike.
 */
static inline bool
same_dec(const SettleDec *a, const SettleDec *b)
{
	return a->wide == NULL && b->wide == NULL && a->coef == b->coef && a->scale == b->scale;
}

static inline bool
is_one(SettleDec dec)
{
	if (dec.wide == NULL && dec.scale == 0)
		return dec.coef == 1;
	return settle_dec_cmp(dec, settle_dec_int(1)) == 0;
}

void
settle_lines_begin(SettleLinesWriter *writer, bool packed)
{
	memset(writer, 0, sizeof(*writer));
	initStringInfo(&writer->bytes);
	writer->packed = packed;
}

uint32
settle_lines_code(SettleLinesWriter *writer, const char *code)
{
	for (int i = 0; i < writer->ndictionary; i++)
		if (strcmp(writer->dictionary[i], code) == 0)
			return i;
	writer->dictionary = settle_grow(writer->dictionary, writer->ndictionary, &writer->dictionary_space, sizeof(char *));
	writer->dictionary[writer->ndictionary] = pstrdup(code);
	return writer->ndictionary++;
}

void
settle_lines_add(SettleLinesWriter *writer, const SettleLineData *line)
{
	StringInfo	buf = &writer->bytes;
	uint8		flags = 0;

	if (!is_one(line->factor))
		flags |= LINE_HAS_FACTOR;
	if (line->in_tally)
	{
		flags |= LINE_IN_TALLY;
		if (line->owner == line->payee)
			flags |= LINE_OWNER_IS_PAYEE;
		if (!same_dec(&line->quantity, &line->base) && settle_dec_cmp(line->quantity, line->base) != 0)
			flags |= LINE_HAS_QUANTITY;
	}
	if (writer->nlines > 0 && same_dec(&line->base, &writer->base))
		flags |= LINE_BASE_AS_BEFORE;
	if (line->count > 0)
		flags |= LINE_COUNT_PLUS;
	else if (line->count < 0)
		flags |= LINE_COUNT_MINUS;
	if (line->retier)
		flags |= LINE_RETIER;

	enlargeStringInfo(buf, LINE_ROOM);
	add_varint(buf, line->rule);
	add_varint(buf, line->payer);
	add_varint(buf, line->payee);
	add_byte(buf, flags);
	if (!(flags & LINE_BASE_AS_BEFORE))
		add_dec(buf, line->base);
	if (flags & LINE_HAS_FACTOR)
		add_dec(buf, line->factor);
	add_dec(buf, line->amount);
	if (flags & LINE_IN_TALLY)
	{
		if (!(flags & LINE_OWNER_IS_PAYEE))
			add_varint(buf, line->owner);
		add_varint(buf, settle_zigzag(line->tally_period));
		if (flags & LINE_HAS_QUANTITY)
			add_dec(buf, line->quantity);
	}
	if (!writer->packed)
	{
		add_varint(buf, line->component);
		add_varint(buf, line->unit);
	}
	writer->base = line->base;
	writer->nlines++;
}

SettleLines *
settle_lines_end(SettleLinesWriter *writer)
{
	int			space = offsetof(SettleLines, bytes) + SETTLE_VARINT_BYTES + writer->bytes.len + 1;
	StringInfoData all = {.data = palloc(space), .maxlen = space, .len = offsetof(SettleLines, bytes)};
	SettleLines *lines;

	if (!writer->packed)
	{
		settle_put_varint(&all, writer->ndictionary);
		for (int i = 0; i < writer->ndictionary; i++)
		{
			Size		len = strlen(writer->dictionary[i]);

			settle_put_varint(&all, len);
			appendBinaryStringInfo(&all, writer->dictionary[i], (int) len);
		}
	}
	settle_put_varint(&all, writer->nlines);
	appendBinaryStringInfo(&all, writer->bytes.data, writer->bytes.len);
	lines = (SettleLines *) all.data;
	SET_VARSIZE(lines, all.len);
	lines->format = LINES_FORMAT;
	lines->form = writer->packed ? FORM_PACKED : FORM_PORTABLE;
	pfree(writer->bytes.data);
	return lines;
}

/* ---- reading ---- */

static void
broken(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("malformed settle.lines value: %s", problem)));
}

static inline uint128
get_varint(SettleLinesReader *r)
{
	uint128		value;
	const char *problem = settle_get_varint(&r->at, r->end, &value);

	if (problem != NULL)
		broken(problem);
	return value;
}

static inline uint32
get_uint32(SettleLinesReader *r)
{
	uint128		value = get_varint(r);

	if (value > PG_UINT32_MAX)
		broken("a code is out of range");
	return (uint32) value;
}

static inline uint8
get_byte(SettleLinesReader *r)
{
	if (r->at >= r->end)
		broken("it ends early");
	return *r->at++;
}

static Size
get_length(SettleLinesReader *r)
{
	uint128		len = get_varint(r);

	if (len > (uint128) (r->end - r->at))
		broken("a length is out of range");
	return (Size) len;
}

static inline SettleDec
get_dec(SettleLinesReader *r)
{
	uint8		scale = get_byte(r);
	SettleDec	dec;

	if (scale == DEC_IS_WIDE)
	{
		Size		len = get_length(r);

		dec = settle_dec_in((const char *) r->at, len);
		r->at += len;
		return dec;
	}
	if (scale > SETTLE_DEC_MAX_SCALE)
		broken("a scale is out of range");
	dec.coef = settle_unzigzag(get_varint(r));
	dec.scale = scale;
	dec.wide = NULL;
	return dec;
}

void
settle_lines_open(SettleLinesReader *r, const SettleLines *lines)
{
	memset(r, 0, sizeof(*r));
	if (VARSIZE(lines) < offsetof(SettleLines, bytes) + 1 || lines->format != LINES_FORMAT || lines->form > FORM_PACKED)
		broken("its format is not known");
	r->at = lines->bytes;
	r->end = (const uint8 *) lines + VARSIZE(lines);
	r->packed = lines->form == FORM_PACKED;
	if (!r->packed)
	{
		r->ndictionary = (int) get_length(r);
		r->dictionary = palloc(sizeof(char *) * Max(r->ndictionary, 1));
		for (int i = 0; i < r->ndictionary; i++)
		{
			Size		len = get_length(r);

			r->dictionary[i] = pnstrdup((const char *) r->at, len);
			if (strlen(r->dictionary[i]) != len || !pg_verifymbstr(r->dictionary[i], (int) len, true))
				broken("a code is not text");
			r->at += len;
		}
	}
	r->nlines = (int) get_length(r);
	if (r->nlines == 0 && r->at != r->end)
		broken("bytes are left over");
}

static uint32
check_code(SettleLinesReader *r, uint32 code)
{
	if (!r->packed && code >= (uint32) r->ndictionary)
		broken("a code is not in the dictionary");
	return code;
}

bool
settle_lines_next(SettleLinesReader *r, SettleLineData *line)
{
	uint8		flags;

	if (r->next >= r->nlines)
		return false;
	memset(line, 0, sizeof(*line));
	line->rule = check_code(r, get_uint32(r));
	line->payer = check_code(r, get_uint32(r));
	line->payee = check_code(r, get_uint32(r));
	flags = get_byte(r);
	if ((flags & LINE_BASE_AS_BEFORE) && (r->next == 0 || r->base.wide != NULL))
		broken("a base is not said");
	line->base = r->base = flags & LINE_BASE_AS_BEFORE ? r->base : get_dec(r);
	line->factor = flags & LINE_HAS_FACTOR ? get_dec(r) : settle_dec_int(1);
	line->amount = get_dec(r);
	line->in_tally = (flags & LINE_IN_TALLY) != 0;
	if (line->in_tally)
	{
		int128		days;

		line->owner = flags & LINE_OWNER_IS_PAYEE ? line->payee : check_code(r, get_uint32(r));
		days = settle_unzigzag(get_varint(r));
		if (days < PG_INT32_MIN || days > PG_INT32_MAX || (!IS_VALID_DATE((DateADT) days) && !DATE_NOT_FINITE((DateADT) days)))
			broken("a date is out of range");
		line->tally_period = (DateADT) days;
		line->quantity = flags & LINE_HAS_QUANTITY ? get_dec(r) : line->base;
	}
	line->count = ((flags & LINE_COUNT_PLUS) != 0) - ((flags & LINE_COUNT_MINUS) != 0);
	line->retier = (flags & LINE_RETIER) != 0;
	if (!r->packed)
	{
		line->component = check_code(r, get_uint32(r));
		line->unit = check_code(r, get_uint32(r));
	}
	r->next++;
	if (r->next == r->nlines && r->at != r->end)
		broken("bytes are left over");
	return true;
}

/* ---- text ---- */

static void
put_json_dec(StringInfo buf, const char *key, SettleDec dec)
{
	appendStringInfo(buf, ", \"%s\": \"%s\"", key, settle_dec_out(dec));
}

static void
put_json_code(StringInfo buf, SettleLinesReader *r, const char *separator, const char *key, uint32 code)
{
	if (r->packed)
	{
		appendStringInfo(buf, "%s\"%s_id\": %u", separator, key, code);
		return;
	}
	appendStringInfo(buf, "%s\"%s\": ", separator, key);
	escape_json(buf, r->dictionary[code]);
}

/*
 * settle.lines output: a JSON array with one object a line.
 */
PG_FUNCTION_INFO_V1(settle_lines_out);
Datum
settle_lines_out(PG_FUNCTION_ARGS)
{
	SettleLinesReader r;
	SettleLineData line;
	StringInfoData buf;

	settle_lines_open(&r, DatumGetSettleLines(PG_GETARG_DATUM(0)));
	initStringInfo(&buf);
	appendStringInfoString(&buf, r.packed ? "{\"packed\": [" : "{\"lines\": [");
	while (settle_lines_next(&r, &line))
	{
		if (r.next > 1)
			appendStringInfoString(&buf, ", ");
		put_json_code(&buf, &r, "{", "rule", line.rule);
		if (!r.packed)
			put_json_code(&buf, &r, ", ", "component", line.component);
		put_json_code(&buf, &r, ", ", "payer", line.payer);
		put_json_code(&buf, &r, ", ", "payee", line.payee);
		put_json_dec(&buf, "base", line.base);
		if (!is_one(line.factor))
			put_json_dec(&buf, "factor", line.factor);
		put_json_dec(&buf, "amount", line.amount);
		if (!r.packed)
			put_json_code(&buf, &r, ", ", "unit", line.unit);
		if (line.in_tally)
		{
			char		date[MAXDATELEN + 1];

			put_json_code(&buf, &r, ", ", "owner", line.owner);
			JsonEncodeDateTime(date, DateADTGetDatum(line.tally_period), DATEOID, NULL);
			appendStringInfo(&buf, ", \"tally_period\": \"%s\", \"count\": %d", date, line.count);
			if (settle_dec_cmp(line.quantity, line.base) != 0)
				put_json_dec(&buf, "quantity", line.quantity);
		}
		else if (line.count != 1)
			appendStringInfo(&buf, ", \"count\": %d", line.count);
		if (line.retier)
			appendStringInfoString(&buf, ", \"retier\": true");
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoString(&buf, "]}");
	PG_RETURN_CSTRING(buf.data);
}

/* An object's value under a key; NULL where absent. */
static JsonbValue *
json_get(JsonbContainer *object, const char *key)
{
	return getKeyJsonValueFromContainer(object, key, (int) strlen(key), NULL);
}

static void pg_attribute_noreturn()
not_lines(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type settle.lines: %s", problem)));
}

static char *
json_text(JsonbContainer *object, const char *key)
{
	JsonbValue *v = json_get(object, key);

	if (v == NULL || v->type != jbvString)
		not_lines(psprintf("\"%s\" is missing or not a text", key));
	return pnstrdup(v->val.string.val, v->val.string.len);
}

static uint32
json_code(SettleLinesWriter *w, JsonbContainer *object, const char *key)
{
	JsonbValue *v;
	int64		id;

	if (!w->packed)
		return settle_lines_code(w, json_text(object, key));
	v = json_get(object, psprintf("%s_id", key));
	if (v == NULL || v->type != jbvNumeric)
		not_lines(psprintf("\"%s_id\" is missing or not a number", key));
	id = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(v->val.numeric)));
	if (id < 0 || id > PG_UINT32_MAX)
		not_lines(psprintf("\"%s_id\" is out of range", key));
	return (uint32) id;
}

static SettleDec
json_dec(JsonbContainer *object, const char *key)
{
	char	   *text = json_text(object, key);

	return settle_dec_in(text, strlen(text));
}

/*
 * settle.lines input: what settle_lines_out prints.
 */
PG_FUNCTION_INFO_V1(settle_lines_in);
Datum
settle_lines_in(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, PG_GETARG_DATUM(0)));
	JsonbValue *list = NULL;
	SettleLinesWriter w;
	uint32		n;
	bool		packed = false;

	if (JB_ROOT_IS_OBJECT(document) && JB_ROOT_COUNT(document) == 1)
	{
		list = json_get(&document->root, "lines");
		if (list == NULL)
		{
			list = json_get(&document->root, "packed");
			packed = true;
		}
	}
	if (list == NULL || list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data))
		not_lines("neither {\"lines\": [...]} nor {\"packed\": [...]}");
	settle_lines_begin(&w, packed);
	n = JsonContainerSize(list->val.binary.data);
	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(list->val.binary.data, i);
		JsonbContainer *o;
		SettleLineData line = {0};
		JsonbValue *v;

		CHECK_FOR_INTERRUPTS();
		if (item == NULL || item->type != jbvBinary || !JsonContainerIsObject(item->val.binary.data))
			not_lines("a line is not an object");
		o = item->val.binary.data;
		line.rule = json_code(&w, o, "rule");
		if (!w.packed)
			line.component = json_code(&w, o, "component");
		line.payer = json_code(&w, o, "payer");
		line.payee = json_code(&w, o, "payee");
		line.base = json_dec(o, "base");
		line.factor = json_get(o, "factor") != NULL ? json_dec(o, "factor") : settle_dec_int(1);
		line.amount = json_dec(o, "amount");
		if (!w.packed)
			line.unit = json_code(&w, o, "unit");
		if (json_get(o, "tally_period") != NULL)
		{
			char	   *text = json_text(o, "tally_period");

			line.in_tally = true;
			line.owner = json_code(&w, o, "owner");
			line.tally_period = DatumGetDateADT(DirectFunctionCall1(date_in, CStringGetDatum(text)));
			line.quantity = json_get(o, "quantity") != NULL ? json_dec(o, "quantity") : line.base;
		}
		v = json_get(o, "count");
		if (v == NULL ? line.in_tally : v->type != jbvNumeric)
			not_lines("\"count\" is missing or not a number");
		line.count = v == NULL ? 1 : DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(v->val.numeric)));
		if (line.count < -1 || line.count > 1)
			not_lines("\"count\" is out of range");
		v = json_get(o, "retier");
		line.retier = v != NULL && v->type == jbvBool && v->val.boolean;
		settle_lines_add(&w, &line);
	}
	PG_RETURN_POINTER(settle_lines_end(&w));
}

/*
 * settle.lines binary input: the stored bytes, read through once to check them.
 */
PG_FUNCTION_INFO_V1(settle_lines_recv);
Datum
settle_lines_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			len = buf->len - buf->cursor;
	SettleLines *lines = palloc(VARHDRSZ + len);
	SettleLinesReader r;
	SettleLineData line;

	SET_VARSIZE(lines, VARHDRSZ + len);
	pq_copymsgbytes(buf, (char *) lines + VARHDRSZ, len);
	settle_lines_open(&r, lines);
	while (settle_lines_next(&r, &line))
		CHECK_FOR_INTERRUPTS();
	PG_RETURN_POINTER(lines);
}

/*
 * settle.lines binary output: the stored bytes.
 */
PG_FUNCTION_INFO_V1(settle_lines_send);
Datum
settle_lines_send(PG_FUNCTION_ARGS)
{
	SettleLines *lines = DatumGetSettleLines(PG_GETARG_DATUM(0));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, (char *) lines + VARHDRSZ, VARSIZE(lines) - VARHDRSZ);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* ---- rows ---- */

static void
refuse_form(bool packed)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg(packed ? "lines of a sheet hold numbers of their book, not codes" : "lines hold codes, not numbers of a book"),
			 errhint(packed ? "Read them through the view line_detail of the book." : "Read them with settle.unnest.")));
}

static Datum
code_datum(SettleLinesReader *r, uint32 code)
{
	return CStringGetTextDatum(r->dictionary[code]);
}

/*
 * settle.unnest(settle.lines) returns setof (line, rule, component, payer,
 * payee, base, factor, amount, unit, owner, tally_period)
 *
 * Returns the lines of a portable value as rows.
 */
PG_FUNCTION_INFO_V1(settle_lines_unnest);
Datum
settle_lines_unnest(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleLinesReader r;
	SettleLineData line;

	InitMaterializedSRF(fcinfo, 0);
	settle_lines_open(&r, DatumGetSettleLines(PG_GETARG_DATUM(0)));
	if (r.packed)
		refuse_form(true);
	while (settle_lines_next(&r, &line))
	{
		Datum		values[11];
		bool		nulls[11] = {false};

		values[0] = Int32GetDatum(r.next);
		values[1] = code_datum(&r, line.rule);
		values[2] = code_datum(&r, line.component);
		values[3] = code_datum(&r, line.payer);
		values[4] = code_datum(&r, line.payee);
		values[5] = NumericGetDatum(settle_dec_to_numeric(line.base));
		values[6] = NumericGetDatum(settle_dec_to_numeric(line.factor));
		values[7] = NumericGetDatum(settle_dec_to_numeric(line.amount));
		values[8] = code_datum(&r, line.unit);
		nulls[9] = nulls[10] = !line.in_tally;
		values[9] = line.in_tally ? code_datum(&r, line.owner) : 0;
		values[10] = DateADTGetDatum(line.tally_period);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * settle._unpack(settle.lines) returns setof (line, rule_id, payer_id,
 * payee_id, base, factor, amount, owner_id, tally_period, count, quantity, retier)
 *
 * Returns the lines of a packed value as rows, a row a call.
 */
PG_FUNCTION_INFO_V1(settle_lines_unpack);
Datum
settle_lines_unpack(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	SettleLinesReader *r;
	SettleLineData line;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	desc;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		call->tuple_desc = BlessTupleDesc(desc);
		r = palloc(sizeof(SettleLinesReader));
		settle_lines_open(r, (SettleLines *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
		if (!r->packed)
			refuse_form(false);
		call->user_fctx = r;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	r = call->user_fctx;
	if (settle_lines_next(r, &line))
	{
		Datum		values[12];
		bool		nulls[12] = {false};

		values[0] = Int32GetDatum(r->next);
		values[1] = Int32GetDatum(line.rule);
		values[2] = Int32GetDatum(line.payer);
		values[3] = Int32GetDatum(line.payee);
		values[4] = NumericGetDatum(settle_dec_to_numeric(line.base));
		values[5] = NumericGetDatum(settle_dec_to_numeric(line.factor));
		values[6] = NumericGetDatum(settle_dec_to_numeric(line.amount));
		nulls[7] = nulls[8] = !line.in_tally;
		values[7] = Int32GetDatum(line.owner);
		values[8] = DateADTGetDatum(line.tally_period);
		values[9] = Int32GetDatum(line.count);
		nulls[10] = !line.in_tally;
		values[10] = line.in_tally ? NumericGetDatum(settle_dec_to_numeric(line.quantity)) : (Datum) 0;
		values[11] = BoolGetDatum(line.retier);
		SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(call);
}

/*
 * settle.parties(settle.lines) returns text[]
 *
 * Returns every party that a portable value names as payer or payee, once.
 */
PG_FUNCTION_INFO_V1(settle_lines_parties);
Datum
settle_lines_parties(PG_FUNCTION_ARGS)
{
	SettleLinesReader r;
	SettleLineData line;
	bool	   *seen;
	Datum	   *codes;
	int			n = 0;

	settle_lines_open(&r, DatumGetSettleLines(PG_GETARG_DATUM(0)));
	if (r.packed)
		refuse_form(true);
	seen = palloc0(sizeof(bool) * Max(r.ndictionary, 1));
	codes = palloc(sizeof(Datum) * Max(r.ndictionary, 1));
	while (settle_lines_next(&r, &line))
		seen[line.payer] = seen[line.payee] = true;
	for (int i = 0; i < r.ndictionary; i++)
		if (seen[i])
			codes[n++] = code_datum(&r, i);
	PG_RETURN_ARRAYTYPE_P(construct_array(codes, n, TEXTOID, -1, false, TYPALIGN_INT));
}
