/*
 * parsers.c
 *		libFuzzer on the parsers of the types, inside a server of one process.
 *
 * test/fuzz/parsers links this beside the product's own files, unchanged but
 * compiled by clang with its sanitizers, and calls settle_fuzz() from SQL; it is
 * no part of the extension.  So the parsers have the server's own numeric, jsonb,
 * memory and errors, and nothing stands in for them.
 *
 * What a maintainer must know: AddressSanitizer does not see into the blocks of
 * an ordinary memory context.  A target runs in a guard (test/sanitize/guard.h),
 * whose chunks are each a malloc of its own, those of the server included.
 *
 * An input is a letter, which says in what form the rest is: t for text, j for
 * the text of jsonb, b for the binary form.  An input is refused with an ordinary
 * error, or its value goes through all forms and comes back the same.  Whatever
 * else happens aborts, which is how libFuzzer learns of it.
 */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "rule/inputs.h"
#include "rule/lines.h"
#include "rule/ruleset.h"
#include "tier/scale.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target) (const uint8 *data, size_t size));

/* ---- what every target needs ---- */

/* What is wrong with a value; libFuzzer keeps the input. */
static void
fault(const char *what, const char *one, const char *other)
{
	fprintf(stderr, "fault: %s\n  %s\n  %s\n", what, one, other);
	abort();
}

static void
require_same(const char *what, const char *one, const char *other)
{
	if (strcmp(one, other) != 0)
		fault(what, one, other);
}

/*
 * The input as a text of the server; NULL where it is none, which the protocol
 * refuses before any parser.
 */
static char *
text_of(const uint8 *data, size_t size)
{
	if (!pg_verifymbstr((const char *) data, (int) size, true) || memchr(data, 0, size) != NULL)
		return NULL;
	return pnstrdup((const char *) data, size);
}

/*
 * Calls an input function of the product.
 */
static Datum
read_text(PGFunction function, const char *text)
{
	return DirectFunctionCall3(function, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static char *
write_text(PGFunction function, Datum value)
{
	return DatumGetCString(DirectFunctionCall1(function, value));
}

/*
 * Calls a receive function on bytes of exactly their length, as COPY does; what
 * it leaves is an error there.
 */
static Datum
read_binary(PGFunction function, const void *data, size_t size)
{
	StringInfoData message = {.data = palloc(size + 1), .len = (int) size, .maxlen = (int) size + 1};
	Datum		value;

	memcpy(message.data, data, size);
	message.data[size] = '\0';
	value = DirectFunctionCall3(function, PointerGetDatum(&message), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	if (message.cursor != message.len)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("incorrect binary data format")));
	return value;
}

static Datum
jsonb_of(const char *text)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

/* A type with its four functions. */
typedef struct Type
{
	PGFunction	in;
	PGFunction	out;
	PGFunction	recv;
	PGFunction	send;
} Type;

/*
 * Reads an input of one of the forms t and b.  The value has come through text
 * and binary form and is the same.  False where the input is no text.
 */
static bool
round_trip(const Type *type, const uint8 *data, size_t size, Datum *value)
{
	char	   *text;
	bytea	   *sent;
	Datum		again;

	if (size == 0 || (data[0] != 't' && data[0] != 'b'))
		return false;
	if (data[0] == 'b')
		*value = read_binary(type->recv, data + 1, size - 1);
	else
	{
		char	   *input = text_of(data + 1, size - 1);

		if (input == NULL)
			return false;
		*value = read_text(type->in, input);
	}
	PG_TRY();
	{
		text = write_text(type->out, *value);
		again = read_text(type->in, text);
		require_same("text form does not come back the same", text, write_text(type->out, again));
		sent = DatumGetByteaPP(DirectFunctionCall1(type->send, *value));
		again = read_binary(type->recv, VARDATA_ANY(sent), VARSIZE_ANY_EXHDR(sent));
		require_same("binary form does not come back the same", text, write_text(type->out, again));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		fault("one form refuses what another accepts", "", CopyErrorData()->message);
	}
	PG_END_TRY();
	return true;
}

/* ---- the targets ---- */

extern Datum settle_tiers_in(PG_FUNCTION_ARGS);
extern Datum settle_tiers_out(PG_FUNCTION_ARGS);
extern Datum settle_tiers_recv(PG_FUNCTION_ARGS);
extern Datum settle_tiers_send(PG_FUNCTION_ARGS);
extern Datum settle_tiers_from_json(PG_FUNCTION_ARGS);
extern Datum settle_tiers_to_json(PG_FUNCTION_ARGS);
extern Datum settle_tiered_fee_state_in(PG_FUNCTION_ARGS);
extern Datum settle_tiered_fee_state_out(PG_FUNCTION_ARGS);
extern Datum settle_tiered_fee_state_recv(PG_FUNCTION_ARGS);
extern Datum settle_tiered_fee_state_send(PG_FUNCTION_ARGS);
extern Datum settle_matrix_in(PG_FUNCTION_ARGS);
extern Datum settle_matrix_out(PG_FUNCTION_ARGS);
extern Datum settle_matrix_recv(PG_FUNCTION_ARGS);
extern Datum settle_matrix_send(PG_FUNCTION_ARGS);
extern Datum settle_ruleset_in(PG_FUNCTION_ARGS);
extern Datum settle_ruleset_out(PG_FUNCTION_ARGS);
extern Datum settle_ruleset_recv(PG_FUNCTION_ARGS);
extern Datum settle_ruleset_send(PG_FUNCTION_ARGS);
extern Datum settle_lines_in(PG_FUNCTION_ARGS);
extern Datum settle_lines_out(PG_FUNCTION_ARGS);
extern Datum settle_lines_recv(PG_FUNCTION_ARGS);
extern Datum settle_lines_send(PG_FUNCTION_ARGS);

/*
 * settle.tiers: what is accepted also has one stored and one jsonb form, and a
 * price for any quantity, mirrored below zero.
 */
static void
tiers(const uint8 *data, size_t size)
{
	static const Type type = {settle_tiers_in, settle_tiers_out, settle_tiers_recv, settle_tiers_send};
	static const char *const quantities[] = {"0.000001", "1", "99.99", "1000", "123456789012345678", "99999999999999999999999999999999999999999"};
	const SettlePricer *pricer;
	Datum		value;
	Datum		json;
	SettleTiers *again;

	if (size > 0 && data[0] == 'j')
	{
		char	   *input = text_of(data + 1, size - 1);

		if (input == NULL)
			return;
		value = DirectFunctionCall1(settle_tiers_from_json, jsonb_of(input));
	}
	else if (!round_trip(&type, data, size, &value))
		return;
	json = DirectFunctionCall1(settle_tiers_to_json, value);
	again = (SettleTiers *) DatumGetPointer(DirectFunctionCall1(settle_tiers_from_json, json));
	if (VARSIZE(again) != VARSIZE(DatumGetPointer(value)) || memcmp(again, DatumGetPointer(value), VARSIZE(again)) != 0)
		fault("jsonb form does not come back the same", write_text(settle_tiers_out, value), write_text(jsonb_out, json));
	pricer = settle_pricer((SettleTiers *) DatumGetPointer(value));
	for (int i = 0; i < lengthof(quantities); i++)
	{
		SettleDec	quantity = settle_dec_in(quantities[i], strlen(quantities[i]));
		SettleRatio fee = settle_price_ratio(pricer, quantity);
		SettleRatio back = settle_price_ratio(pricer, settle_dec_neg(quantity));
		SettleFeeStep *steps;

		if (settle_dec_cmp(settle_dec_mul(fee.num, back.den), settle_dec_neg(settle_dec_mul(back.num, fee.den))) != 0)
			fault("the fee does not mirror", write_text(settle_tiers_out, value), quantities[i]);
		(void) settle_price_steps(pricer, quantity, &steps);
	}
}

/*
 * The state of settle.tiered_fee.
 */
static void
fee_state(const uint8 *data, size_t size)
{
	static const Type type = {settle_tiered_fee_state_in, settle_tiered_fee_state_out, settle_tiered_fee_state_recv, settle_tiered_fee_state_send};
	Datum		value;

	(void) round_trip(&type, data, size, &value);
}

/*
 * settle.matrix.
 */
static void
matrix(const uint8 *data, size_t size)
{
	static const Type type = {settle_matrix_in, settle_matrix_out, settle_matrix_recv, settle_matrix_send};
	Datum		value;

	(void) round_trip(&type, data, size, &value);
}

/*
 * settle.ruleset.
 */
static void
ruleset(const uint8 *data, size_t size)
{
	static const Type type = {settle_ruleset_in, settle_ruleset_out, settle_ruleset_recv, settle_ruleset_send};
	Datum		value;

	if (round_trip(&type, data, size, &value))
		(void) settle_ruleset_decode((SettleRuleset *) DatumGetPointer(value));
}

/*
 * settle.lines: what is accepted can be read whole.
 */
static void
lines(const uint8 *data, size_t size)
{
	static const Type type = {settle_lines_in, settle_lines_out, settle_lines_recv, settle_lines_send};
	SettleLinesReader reader;
	SettleLineData line;
	Datum		value;

	if (!round_trip(&type, data, size, &value))
		return;
	settle_lines_open(&reader, (SettleLines *) DatumGetPointer(value));
	while (settle_lines_next(&reader, &line))
		(void) settle_dec_to_numeric(settle_dec_add(line.amount, settle_dec_mul(line.base, line.factor)));
}

/*
 * The inputs that a sheet keeps: a book's owner may write any bytes there.  They
 * are never raised about, only told to be none.
 */
static void
inputs(const uint8 *data, size_t size)
{
	static const char *const labels[] = {"amount", "worker", "done_at", "level", "rate"};
	SettleInputNames names = {.n = 5, .ncolumns = 3, .labels = (const char **) labels};
	bytea	   *kept;
	StringInfoData out;
	SettleDec	rate;

	if (size == 0)
		return;
	/* without the letter */
	kept = palloc(VARHDRSZ + size - 1);
	SET_VARSIZE(kept, VARHDRSZ + size - 1);
	memcpy(VARDATA(kept), data + 1, size - 1);
	initStringInfo(&out);
	PG_TRY();
	{
		(void) settle_inputs_text(&out, kept, &names);
		(void) settle_inputs_text(&out, kept, NULL);
		if (settle_inputs_rate(kept, "USD/CNY", &rate))
			(void) settle_dec_out(rate);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		fault("inputs are raised about", "", CopyErrorData()->message);
	}
	PG_END_TRY();
}

static const struct
{
	const char *name;
	void		(*run) (const uint8 *data, size_t size);
}			targets[] = {
	{"tiers", tiers}, {"fee_state", fee_state}, {"matrix", matrix}, {"ruleset", ruleset}, {"lines", lines}, {"inputs", inputs}
};

/* ---- running one ---- */

static void (*target) (const uint8 *data, size_t size);
static MemoryContext guard;
static bool blind;				/* the test of the test: a byte is read behind its chunk */

/*
 * Runs the target on one input.  It may refuse it with an error of bad data
 * (class 22), of a limit (54), of the protocol (08P01) or with 0A000.
 */
static int
run_one(const uint8 *data, size_t size)
{
	MemoryContext old = MemoryContextSwitchTo(guard);

	PG_TRY();
	{
		target(data, size);
		if (blind && size > 3 && data[1] == '1')
			((volatile char *) palloc(size))[size];
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION && ERRCODE_TO_CATEGORY(code) != ERRCODE_PROGRAM_LIMIT_EXCEEDED &&
			code != ERRCODE_PROTOCOL_VIOLATION && code != ERRCODE_FEATURE_NOT_SUPPORTED)
		{
			MemoryContextSwitchTo(TopMemoryContext);
			fault("an error that is none of bad data", unpack_sql_state(code), CopyErrorData()->message);
		}
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(guard);
	return 0;
}

PG_FUNCTION_INFO_V1(settle_fuzz);

/*
 * settle_fuzz(target text, arguments text[]) returns void
 *
 * Hands over to libFuzzer, which ends the process when it is done.
 */
PGDLLEXPORT Datum
settle_fuzz(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum	   *items;
	int			n;
	char	  **arguments;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &items, NULL, &n);
	arguments = palloc0((n + 2) * sizeof(char *));
	arguments[0] = name;
	for (int i = 0; i < n; i++)
		arguments[i + 1] = TextDatumGetCString(items[i]);
	n++;
	if (strcmp(name, "blind") == 0)
	{
		blind = true;
		name = "tiers";
	}
	for (int i = 0; i < lengthof(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			target = targets[i].run;
	if (target == NULL)
		elog(ERROR, "there is no target \"%s\"", name);
	guard = settle_guard(CurrentMemoryContext);
	/* libFuzzer leaves signals alone that somebody else handles */
	pqsignal(SIGALRM, SIG_DFL);
	pqsignal(SIGFPE, SIG_DFL);
	pqsignal(SIGINT, SIG_DFL);
	pqsignal(SIGTERM, SIG_DFL);
	exit(LLVMFuzzerRunDriver(&n, &arguments, run_one));
}
