/*
 * replay.c
 *		One ticket computed again from what its sheet keeps: the inputs, and the
 *		ruleset of the run that wrote it.
 *
 * The row type of the source is needed to give the inputs their types, its rows
 * are not.  What cannot be computed any more, because a column has gone or
 * changed, is told in a row, so errors are trapped in a subtransaction.
 * replay.sql compares what comes out with what is posted.
 */
#include "settle/settle.h"

#include "access/relation.h"
#include "expr/expr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

/* The ruleset of the last call, and what is wrong with it for a source. */
typedef struct LastRuleset
{
	Oid			schema;
	uint8		digest[SETTLE_DIGEST_LEN];
	NameData	source;
	Oid			relation;
	SettleRuleset *ruleset;
	const char *problem;		/* NULL: it compiles */
} LastRuleset;

/* Columns of the result. */
enum
{
	COL_RULE, COL_PAYER, COL_PAYEE, COL_UNIT, COL_OWNER, COL_TALLY_PERIOD, COL_BASE, COL_QUANTITY, COL_FACTOR, COL_AMOUNT, COL_PROBLEM, NCOLUMNS
};

/*
 * Finds the ruleset and the relation, once for tickets that come together.
 */
static LastRuleset *
find_ruleset(FunctionCallInfo fcinfo, const SettleBook *book, const char *source, bytea *digest)
{
	LastRuleset *last = fcinfo->flinfo->fn_extra;
	Oid			types[] = {NAMEOID, BYTEAOID};
	NameData	name;
	Datum		values[] = {NameGetDatum(&name), PointerGetDatum(digest)};
	SettleRuleset *ruleset;
	bool		isnull;

	if (VARSIZE_ANY_EXHDR(digest) != SETTLE_DIGEST_LEN)
		elog(ERROR, "digest of a ruleset has %d bytes", (int) VARSIZE_ANY_EXHDR(digest));
	if (last != NULL && last->schema == book->schema && strcmp(NameStr(last->source), source) == 0 &&
		memcmp(last->digest, VARDATA_ANY(digest), SETTLE_DIGEST_LEN) == 0)
		return last;
	last = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(LastRuleset));
	last->schema = book->schema;
	memcpy(last->digest, VARDATA_ANY(digest), SETTLE_DIGEST_LEN);
	namestrcpy(&last->source, source);
	namestrcpy(&name, source);

	SPI_connect();
	settle_book_execute(psprintf("SELECT u.ruleset, c.oid FROM %1$s.ruleset_used AS u "
								 "LEFT JOIN (%1$s.source AS s JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid) ON s.source OPERATOR(pg_catalog.=) $1 "
								 "WHERE u.digest OPERATOR(pg_catalog.=) $2", book->name),
						2, types, values, NULL, SPI_OK_SELECT);
	if (SPI_processed != 1)
		last->problem = "the ruleset of its run is gone";
	else
	{
		ruleset = DatumGetSettleRuleset(settle_spi_datum(0, 1, &isnull));
		last->ruleset = MemoryContextAllocHuge(fcinfo->flinfo->fn_mcxt, VARSIZE(ruleset));
		memcpy(last->ruleset, ruleset, VARSIZE(ruleset));
		last->relation = DatumGetObjectId(settle_spi_datum(0, 2, &isnull));
		if (isnull)
			last->problem = "the relation of its source is gone";
		else if (memcmp(last->ruleset->digest, last->digest, SETTLE_DIGEST_LEN) != 0)
			last->problem = "the ruleset of its run is not the one that the run has used";
	}
	SPI_finish();
	fcinfo->flinfo->fn_extra = last;
	return last;
}

/*
 * Tells whether an error says something of the ticket or its rules, not of the
 * server or of whoever waits.
 */
static bool
is_finding(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category != ERRCODE_OPERATOR_INTERVENTION && category != ERRCODE_INSUFFICIENT_RESOURCES &&
		category != ERRCODE_SYSTEM_ERROR && category != ERRCODE_INTERNAL_ERROR && category != ERRCODE_TRANSACTION_ROLLBACK;
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	values[column] = CStringGetTextDatum(text);
	nulls[column] = false;
}

static void
put_dec(Datum *values, bool *nulls, int column, SettleDec dec)
{
	values[column] = NumericGetDatum(settle_dec_to_numeric(dec));
	nulls[column] = false;
}

/*
 * Evaluates the inputs and puts the lines they give out.
 */
static void
replay(SettleSet *set, Jsonb *inputs, ReturnSetInfo *rsinfo)
{
	SettleTicket ticket;
	int			nestlevel = settle_env_enter(settle_set_time_zone(set));

	settle_set_ask(set, settle_given_facts(settle_set_fill(set, inputs)));
	settle_evaluate_ticket(set, DT_NOBEGIN, true, &ticket, NULL);
	for (int i = 0; i < ticket.nlines; i++)
	{
		const SettleLine *line = &ticket.lines[i];
		Datum		values[NCOLUMNS];
		bool		nulls[NCOLUMNS];

		memset(nulls, true, sizeof(nulls));
		put_text(values, nulls, COL_RULE, line->rule->def->code);
		put_text(values, nulls, COL_PAYER, line->payer->code);
		put_text(values, nulls, COL_PAYEE, line->payee->code);
		put_text(values, nulls, COL_UNIT, line->unit);
		put_dec(values, nulls, COL_BASE, line->base);
		put_dec(values, nulls, COL_FACTOR, line->factor);
		if (line->owner == NULL)
			put_dec(values, nulls, COL_AMOUNT, line->amount);
		else
		{
			put_text(values, nulls, COL_OWNER, line->owner->code);
			put_dec(values, nulls, COL_QUANTITY, line->quantity);
			/* by posting time it is that of the run */
			if (line->rule->def->clock == SETTLE_CLOCK_TICKET)
			{
				values[COL_TALLY_PERIOD] = DateADTGetDatum(line->tally_period);
				nulls[COL_TALLY_PERIOD] = false;
			}
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	settle_env_leave(nestlevel);
}

/*
 * settle._replay_ticket(book regnamespace, source name, digest bytea, inputs
 *						 json) returns setof (rule, payer, payee, unit, owner,
 *						 tally_period, base, quantity, factor, amount, problem)
 *
 * Gives the lines that a ruleset says of kept inputs, or one row that says why
 * it says none.
 */
PG_FUNCTION_INFO_V1(settle_replay_ticket);
Datum
settle_replay_ticket(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	SettleBook	book;
	LastRuleset *last;
	const char *volatile problem;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	book = settle_book(PG_GETARG_OID(0));
	last = find_ruleset(fcinfo, &book, NameStr(*PG_GETARG_NAME(1)), PG_GETARG_BYTEA_PP(2));
	problem = last->problem != NULL ? last->problem : PG_ARGISNULL(3) ? "no inputs are kept" : NULL;
	if (problem == NULL)
	{
		volatile bool compiling = false;

		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(old);
		PG_TRY();
		{
			Jsonb	   *inputs = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(3)))));
			Relation	relation = relation_open(last->relation, AccessShareLock);
			SettleSet  *set;

			compiling = true;
			set = settle_set_get(last->ruleset, NameStr(last->source), RelationGetDescr(relation));

			compiling = false;
			relation_close(relation, NoLock);
			replay(set, inputs, rsinfo);
			settle_set_release(set);
			ReleaseCurrentSubTransaction();
		}
		PG_CATCH();
		{
			ErrorData  *error;

			MemoryContextSwitchTo(old);
			error = CopyErrorData();
			FlushErrorState();
			RollbackAndReleaseCurrentSubTransaction();
			CurrentResourceOwner = owner;
			MemoryContextSwitchTo(old);
			if (!is_finding(error->sqlerrcode))
				ReThrowError(error);
			problem = error->message;
			if (compiling)
				last->problem = MemoryContextStrdup(fcinfo->flinfo->fn_mcxt, error->message);
		}
		PG_END_TRY();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
	}
	if (problem != NULL)
	{
		Datum		values[NCOLUMNS];
		bool		nulls[NCOLUMNS];

		memset(nulls, true, sizeof(nulls));
		put_text(values, nulls, COL_PROBLEM, problem);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
