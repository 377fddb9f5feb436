/*
 * aggregate.c
 *		settle.tiered_fee: the fee of the sum of many quantities.
 *
 * The state is a type of its own and not "internal": it goes between parallel
 * workers, and between the nodes of a distributed database, as an ordinary
 * value, so it needs no serial functions.  It is flat and changed in place,
 * which only an aggregate may do; an expanded object would be a memory context
 * for every group, and hash aggregation walks all of them at each new group.
 *
 * What a maintainer must know: the scale stands in the state byte for byte, and
 * every row is compared with it, because one sum can have one scale only.
 */
#include "tier/scale.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"

typedef struct FeeState
{
	int32		vl_len_;
	int32		tiers_size;		/* bytes of the scale at the beginning of data */
	int64		count;			/* rows in the sum */
	int128		coef;			/* the sum, unless data goes on after the scale */
	int32		scale;
	int32		zero;			/* no hole */
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* scale, then the sum as numeric where it is wide */
} FeeState;

#define STATE_SIZE(tiers_size)	(offsetof(FeeState, data) + (tiers_size))

/*
 * Makes a state.
 */
static FeeState *
make_state(const char *tiers, int tiers_size, int64 count, SettleDec sum)
{
	int			wide_size = sum.wide ? (int) VARSIZE_ANY_EXHDR(sum.wide) : 0;
	Size		size = STATE_SIZE((Size) tiers_size) + wide_size;
	FeeState   *state = palloc0(size);

	SET_VARSIZE(state, size);
	state->tiers_size = tiers_size;
	state->count = count;
	memcpy(state->data, tiers, tiers_size);
	if (sum.wide)
		memcpy(state->data + tiers_size, VARDATA_ANY(sum.wide), wide_size);
	else
	{
		state->coef = sum.coef;
		state->scale = sum.scale;
	}
	return state;
}

/*
 * Takes a state from an argument and checks that its parts lie inside it.
 */
static FeeState *
get_state(Datum datum)
{
	FeeState   *state = (FeeState *) PG_DETOAST_DATUM(datum);

	if (VARSIZE(state) < STATE_SIZE(0) || state->tiers_size < 0 ||
		state->tiers_size > VARSIZE(state) - STATE_SIZE(0) ||
		state->scale < 0 || state->scale > SETTLE_DEC_MAX_SCALE)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("state of settle.tiered_fee is damaged")));
	return state;
}

/*
 * Bytes of a wide sum in a state.
 */
static int
wide_size(const FeeState *state)
{
	return (int) (VARSIZE(state) - STATE_SIZE(state->tiers_size));
}

/*
 * The sum of a state.
 */
static SettleDec
sum_of(const FeeState *state)
{
	int			size = wide_size(state);
	char	   *numeric;

	if (size == 0)
		return (SettleDec) {.coef = state->coef, .scale = state->scale};
	numeric = palloc(VARHDRSZ + size);
	SET_VARSIZE(numeric, VARHDRSZ + size);
	memcpy(VARDATA(numeric), state->data + state->tiers_size, size);
	return settle_dec_from_numeric((Numeric) numeric);
}

/*
 * The scale of a state as a value.
 */
static SettleTiers *
tiers_of(const FeeState *state)
{
	char	   *tiers = palloc(VARHDRSZ + state->tiers_size);

	SET_VARSIZE(tiers, VARHDRSZ + state->tiers_size);
	memcpy(VARDATA(tiers), state->data, state->tiers_size);
	return (SettleTiers *) tiers;
}

/*
 * Requires that a scale is that of the state.
 */
static void
require_same(const FeeState *state, const char *tiers, int size)
{
	if (likely(state->tiers_size == size && memcmp(state->data, tiers, size) == 0))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("settle.tiered_fee met different tiers in one group"),
			 errdetail("One row has \"%.200s\".", settle_tiers_out_text(tiers_of(state))),
			 errhint("Group by the tiers too.")));
}

/*
 * Adds to the sum of a state, in place where the caller owns it and it fits.
 */
static FeeState *
add_to(FeeState *state, bool in_place, int64 rows, SettleDec amount)
{
	SettleDec	sum = settle_dec_add(sum_of(state), amount);

	if (likely(in_place && !sum.wide && wide_size(state) == 0))
	{
		state->coef = sum.coef;
		state->scale = sum.scale;
		state->count += rows;
		return state;
	}
	return make_state(state->data, state->tiers_size, state->count + rows, sum);
}

/*
 * Adds or takes away one row.  Strict functions and a state to begin with: a
 * moving aggregate may never have a null state, and nulls are skipped for us.
 */
static Datum
step(FunctionCallInfo fcinfo, bool forward)
{
	FeeState   *state = get_state(PG_GETARG_DATUM(0));
	SettleDec	quantity = settle_dec_from_datum(PG_GETARG_DATUM(1));
	const SettleTiers *tiers = settle_tiers_from_datum(PG_GETARG_DATUM(2));
	const char *bytes = VARDATA_ANY(tiers);
	int			size = (int) VARSIZE_ANY_EXHDR(tiers);
	bool		in_place;
	int128		sum;

	/* the first row brings its scale, also into a moving frame that has become empty */
	if (forward && state->count == 0)
		PG_RETURN_POINTER(make_state(bytes, size, 1, quantity));
	if (!forward && state->count <= 0)
		elog(ERROR, "a row is taken from an empty state of settle.tiered_fee");
	require_same(state, bytes, size);
	in_place = AggCheckCallContext(fcinfo, NULL) != 0;

	/* nearly every row: what settle_dec_add() would do, without a copy of the sum */
	if (likely(in_place && forward && !quantity.wide && quantity.scale == state->scale && wide_size(state) == 0 &&
			   !__builtin_add_overflow(state->coef, quantity.coef, &sum)))
	{
		state->coef = sum;
		state->count++;
		PG_RETURN_POINTER(state);
	}
	PG_RETURN_POINTER(add_to(state, in_place, forward ? 1 : -1, forward ? quantity : settle_dec_neg(quantity)));
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_step);

/*
 * settle._tiered_fee_step(settle.tiered_fee_state, quantity numeric, tiers settle.tiers) returns settle.tiered_fee_state
 */
Datum
settle_tiered_fee_step(PG_FUNCTION_ARGS)
{
	return step(fcinfo, true);
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_unstep);

/*
 * settle._tiered_fee_unstep(settle.tiered_fee_state, quantity numeric, tiers settle.tiers) returns settle.tiered_fee_state
 */
Datum
settle_tiered_fee_unstep(PG_FUNCTION_ARGS)
{
	return step(fcinfo, false);
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_combine);

/*
 * settle._tiered_fee_combine(settle.tiered_fee_state, settle.tiered_fee_state) returns settle.tiered_fee_state
 */
Datum
settle_tiered_fee_combine(PG_FUNCTION_ARGS)
{
	FeeState   *a = get_state(PG_GETARG_DATUM(0));
	FeeState   *b = get_state(PG_GETARG_DATUM(1));

	if (b->count == 0)
		PG_RETURN_POINTER(a);
	if (a->count == 0)
		PG_RETURN_POINTER(b);
	require_same(a, b->data, b->tiers_size);
	PG_RETURN_POINTER(add_to(a, AggCheckCallContext(fcinfo, NULL) != 0, b->count, sum_of(b)));
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_final);

/*
 * settle._tiered_fee_final(settle.tiered_fee_state) returns numeric
 */
Datum
settle_tiered_fee_final(PG_FUNCTION_ARGS)
{
	FeeState   *state = get_state(PG_GETARG_DATUM(0));
	const SettlePricer *pricer;

	if (state->count == 0)
		PG_RETURN_NULL();
	pricer = settle_pricer_cached(fcinfo->flinfo, tiers_of(state));
	if (settle_pricer_mode(pricer) == SETTLE_PERCENTAGE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tiers of mode percentage price single events, not a sum"),
				 errhint("Sum the fees of the events instead: sum(settle.fee(tiers, quantity)).")));
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_price_tidy(pricer, settle_price(pricer, sum_of(state)))));
}

/*
 * Makes a state from parts that came from outside.
 */
static FeeState *
checked_state(int64 count, SettleDec sum, const SettleTiers *tiers)
{
	if (count < 0 || (count == 0 && settle_dec_sign(sum) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid state of settle.tiered_fee: %lld rows with the sum %s",
						(long long) count, settle_dec_out(sum))));
	return make_state(VARDATA_ANY(tiers), (int) VARSIZE_ANY_EXHDR(tiers), count, sum);
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_state_in);

/*
 * settle.tiered_fee_state_in(cstring) returns settle.tiered_fee_state
 *
 * Number of rows, sum and scale, a blank between them.
 */
Datum
settle_tiered_fee_state_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	char	   *sum = strchr(text, ' ');
	char	   *tiers = sum ? strchr(sum + 1, ' ') : NULL;

	if (!tiers)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid state of settle.tiered_fee: \"%.40s\"", text),
				 errhint("It is the number of rows, their sum and the tiers: \"3 250.00 5%% to 100, 8%%\".")));
	PG_RETURN_POINTER(checked_state(pg_strtoint64(pnstrdup(text, sum - text)),
									settle_dec_in(sum + 1, tiers - sum - 1),
									settle_tiers_in_text(tiers + 1)));
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_state_out);

/*
 * settle.tiered_fee_state_out(settle.tiered_fee_state) returns cstring
 */
Datum
settle_tiered_fee_state_out(PG_FUNCTION_ARGS)
{
	FeeState   *state = get_state(PG_GETARG_DATUM(0));

	PG_RETURN_CSTRING(psprintf("%lld %s %s", (long long) state->count, settle_dec_out(sum_of(state)),
							   settle_tiers_out_text(tiers_of(state))));
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_state_recv);

/*
 * settle.tiered_fee_state_recv(internal) returns settle.tiered_fee_state
 */
Datum
settle_tiered_fee_state_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int64		count = pq_getmsgint64(message);
	int			sum_size = (int) pq_getmsgint(message, 4);
	const char *sum = pq_getmsgbytes(message, sum_size);
	int			size = message->len - message->cursor;
	char	   *tiers = palloc(VARHDRSZ + size);

	SET_VARSIZE(tiers, VARHDRSZ + size);
	memcpy(VARDATA(tiers), pq_getmsgbytes(message, size), size);
	settle_scale_decode((SettleTiers *) tiers);
	PG_RETURN_POINTER(checked_state(count, settle_dec_in(sum, sum_size), (SettleTiers *) tiers));
}

PG_FUNCTION_INFO_V1(settle_tiered_fee_state_send);

/*
 * settle.tiered_fee_state_send(settle.tiered_fee_state) returns bytea
 */
Datum
settle_tiered_fee_state_send(PG_FUNCTION_ARGS)
{
	FeeState   *state = get_state(PG_GETARG_DATUM(0));
	char	   *sum = settle_dec_out(sum_of(state));
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint64(&message, state->count);
	pq_sendint32(&message, strlen(sum));
	pq_sendbytes(&message, sum, strlen(sum));
	pq_sendbytes(&message, state->data, state->tiers_size);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
