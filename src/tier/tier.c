/*
 * tier.c
 *		The type settle.tiers: input, output, casts and comparison.
 *
 * The stored form is canonical, so comparison is that of bytes; its order means
 * nothing and is there for indexes, DISTINCT and the like.
 */
#include "tier/scale.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

/*
 * Reads the text form.
 */
SettleTiers *
settle_tiers_in_text(const char *text)
{
	return settle_scale_encode(settle_scale_from_text(text));
}

/*
 * Writes the text form.
 */
char *
settle_tiers_out_text(const SettleTiers *tiers)
{
	return settle_scale_to_text(settle_scale_decode(tiers));
}

/*
 * Reads the jsonb form.
 */
static SettleTiers *
from_jsonb(Jsonb *value)
{
	return settle_scale_encode(settle_scale_from_jsonb(value));
}

PG_FUNCTION_INFO_V1(settle_tiers_in);

/*
 * settle.tiers_in(cstring) returns settle.tiers
 */
Datum
settle_tiers_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(settle_tiers_in_text(PG_GETARG_CSTRING(0)));
}

PG_FUNCTION_INFO_V1(settle_tiers_out);

/*
 * settle.tiers_out(settle.tiers) returns cstring
 */
Datum
settle_tiers_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(settle_tiers_out_text(settle_tiers_from_datum(PG_GETARG_DATUM(0))));
}

PG_FUNCTION_INFO_V1(settle_tiers_recv);

/*
 * settle.tiers_recv(internal) returns settle.tiers
 */
Datum
settle_tiers_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			size = message->len - message->cursor;
	char	   *value = palloc(VARHDRSZ + size);

	SET_VARSIZE(value, VARHDRSZ + size);
	memcpy(VARDATA(value), pq_getmsgbytes(message, size), size);
	settle_scale_decode((SettleTiers *) value);
	PG_RETURN_POINTER(value);
}

PG_FUNCTION_INFO_V1(settle_tiers_send);

/*
 * settle.tiers_send(settle.tiers) returns bytea
 */
Datum
settle_tiers_send(PG_FUNCTION_ARGS)
{
	const SettleTiers *tiers = settle_tiers_from_datum(PG_GETARG_DATUM(0));
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendbytes(&message, VARDATA_ANY(tiers), VARSIZE_ANY_EXHDR(tiers));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

PG_FUNCTION_INFO_V1(settle_tiers_from_json);

/*
 * settle.tiers(jsonb) returns settle.tiers
 */
Datum
settle_tiers_from_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(from_jsonb(PG_GETARG_JSONB_P(0)));
}

PG_FUNCTION_INFO_V1(settle_tiers_to_json);

/*
 * settle.to_jsonb(settle.tiers) returns jsonb
 */
Datum
settle_tiers_to_json(PG_FUNCTION_ARGS)
{
	SettleScale *scale = settle_scale_decode(settle_tiers_from_datum(PG_GETARG_DATUM(0)));

	PG_RETURN_JSONB_P(settle_scale_to_jsonb(scale));
}

/*
 * Compares the bytes of two values.
 */
static int
compare(FunctionCallInfo fcinfo)
{
	const SettleTiers *a = settle_tiers_from_datum(PG_GETARG_DATUM(0));
	const SettleTiers *b = settle_tiers_from_datum(PG_GETARG_DATUM(1));
	Size		size_a = VARSIZE_ANY_EXHDR(a);
	Size		size_b = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(size_a, size_b));

	if (order == 0)
		order = size_a < size_b ? -1 : size_a > size_b;
	PG_FREE_IF_COPY(unconstify(SettleTiers *, a), 0);
	PG_FREE_IF_COPY(unconstify(SettleTiers *, b), 1);
	return order;
}

PG_FUNCTION_INFO_V1(settle_tiers_cmp);

/*
 * settle.tiers_cmp(settle.tiers, settle.tiers) returns int
 */
Datum
settle_tiers_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

PG_FUNCTION_INFO_V1(settle_tiers_eq);

/*
 * settle.tiers_eq(settle.tiers, settle.tiers) returns boolean
 */
Datum
settle_tiers_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

PG_FUNCTION_INFO_V1(settle_tiers_ne);

/*
 * settle.tiers_ne(settle.tiers, settle.tiers) returns boolean
 */
Datum
settle_tiers_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

PG_FUNCTION_INFO_V1(settle_tiers_lt);

/*
 * settle.tiers_lt(settle.tiers, settle.tiers) returns boolean
 */
Datum
settle_tiers_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(settle_tiers_le);

/*
 * settle.tiers_le(settle.tiers, settle.tiers) returns boolean
 */
Datum
settle_tiers_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(settle_tiers_gt);

/*
 * settle.tiers_gt(settle.tiers, settle.tiers) returns boolean
 */
Datum
settle_tiers_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(settle_tiers_ge);

/*
 * settle.tiers_ge(settle.tiers, settle.tiers) returns boolean
 */
Datum
settle_tiers_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

PG_FUNCTION_INFO_V1(settle_tiers_hash);

/*
 * settle.tiers_hash(settle.tiers) returns int
 */
Datum
settle_tiers_hash(PG_FUNCTION_ARGS)
{
	const SettleTiers *tiers = settle_tiers_from_datum(PG_GETARG_DATUM(0));

	return hash_any((const unsigned char *) VARDATA_ANY(tiers), (int) VARSIZE_ANY_EXHDR(tiers));
}
