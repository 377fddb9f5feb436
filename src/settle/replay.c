/*
 * replay.c
 *		One ticket computed again from what its sheet keeps: the inputs, and the
 *		ruleset of the run that wrote it.
 *
 * The row type of the source is needed to give the inputs their types, its rows
 * are not.  What cannot be computed any more, because a column has gone or
 * changed, is told in a row, so errors are trapped in a subtransaction.
 * A statement compares what comes out with what is posted.
 */
#include "settle/settle.h"

#include "access/relation.h"
#include "expr/expr.h"
#include "funcapi.h"
#include "rule/inputs.h"
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
 * Makes JSON of what a sheet keeps, with the names that its run keeps.
 */
static Jsonb *
read_inputs(Jsonb *kept, const char *source, const bytea *inputs)
{
	SettleInputNames names;
	bool		has_names = kept != NULL && settle_read_input_names(&names, kept, source);
	StringInfoData text;

	initStringInfo(&text);
	if (!settle_inputs_text(&text, inputs, has_names ? &names : NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("inputs are not what a run has kept")));
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));
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
 * settle._replay_ticket(book regnamespace, source name, digest bytea, names
 *						 jsonb, inputs bytea) returns setof (rule, payer, payee, unit, owner,
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
	SettleIdentity identity;
	LastRuleset *last;
	const char *volatile problem;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	last = find_ruleset(fcinfo, &book, NameStr(*PG_GETARG_NAME(1)), PG_GETARG_BYTEA_PP(2));
	problem = last->problem != NULL ? last->problem : PG_ARGISNULL(4) ? "no inputs are kept" : NULL;
	if (problem == NULL)
	{
		volatile bool compiling = false;

		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(old);
		PG_TRY();
		{
			Jsonb	   *inputs = read_inputs(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), NameStr(last->source), PG_GETARG_BYTEA_PP(4));
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
	settle_book_leave(identity);
	return (Datum) 0;
}

/*
 * Lines are compared by whom they go between; in a tally, whose amounts follow
 * from its state, by what they add to it.  $1 is since, $2 the size of the
 * sample, always the same one.  It runs under the search_path that
 * settle_book_enter pins.
 */
static const char replay_query[] =
	"WITH taken AS MATERIALIZED ( "
	"  SELECT so.source, h.source_id, h.ticket_key, h.run_id, n.digest, n.input_names, h.inputs "
	"  FROM ( "
	"    SELECT s.source_id, s.ticket_key, max(s.revision) AS revision FROM %1$s.sheet AS s "
	"    WHERE s.source_id <> 0 GROUP BY s.source_id, s.ticket_key HAVING sum(s.tickets) = 1 "
	"  ) AS l "
	"  JOIN %1$s.sheet AS h ON h.source_id = l.source_id AND h.ticket_key = l.ticket_key AND h.revision = l.revision "
	"  JOIN %1$s.source AS so ON so.source_id = h.source_id "
	"  JOIN %1$s.run AS n ON n.run_id = h.run_id "
	"  WHERE (n.started_at >= $1 OR $1 IS NULL) AND substr(h.inputs, 1, 1) IS DISTINCT FROM '\\x01' "
	"  ORDER BY hashtextextended(h.ticket_key, h.source_id), h.ticket_key LIMIT $2 "
	"), "
	"computed AS MATERIALIZED ( "
	"  SELECT t.source, t.source_id, t.ticket_key, t.run_id, t.digest, c.* FROM (SELECT * FROM taken ORDER BY source_id, digest) AS t "
	"  CROSS JOIN LATERAL settle._replay_ticket($3::oid::regnamespace, t.source, t.digest, t.input_names, t.inputs) AS c "
	"), "
	"line AS ( "
	"  SELECT c.source, c.source_id, c.ticket_key, c.run_id, c.rule, c.payer, c.payee, c.unit, c.owner, c.tally_period, "
	"    CASE WHEN c.owner IS NOT NULL THEN c.factor END AS factor, true AS is_computed, "
	"    c.amount, CASE WHEN c.owner IS NOT NULL THEN c.base END AS base, c.quantity, CASE WHEN c.owner IS NOT NULL THEN 1 END AS count "
	"  FROM computed AS c WHERE c.problem IS NULL "
	"  UNION ALL "
	"  SELECT t.source, t.source_id, t.ticket_key, t.run_id, coalesce(r.code, 'rule number ' || u.rule_id), p.party, q.party, coalesce(r.unit, s.currency), o.party, "
	"    CASE WHEN r.clock = 'ticket' THEN u.tally_period END, "
	"    CASE WHEN u.owner_id IS NOT NULL THEN u.factor END, false, "
	"    CASE WHEN u.owner_id IS NULL THEN u.amount END, CASE WHEN u.owner_id IS NOT NULL THEN u.base END, u.quantity, CASE WHEN u.owner_id IS NOT NULL THEN u.count END "
	"  FROM taken AS t JOIN %1$s.sheet AS s ON s.source_id = t.source_id AND s.ticket_key = t.ticket_key "
	"  CROSS JOIN LATERAL settle._unpack(s.lines) AS u "
	"  LEFT JOIN %1$s.rule AS r ON r.rule_id = u.rule_id "
	"  LEFT JOIN %1$s.party AS p ON p.party_id = u.payer_id "
	"  LEFT JOIN %1$s.party AS q ON q.party_id = u.payee_id "
	"  LEFT JOIN %1$s.party AS o ON o.party_id = u.owner_id "
	"  WHERE (t.source_id, t.ticket_key) NOT IN (SELECT c.source_id, c.ticket_key FROM computed AS c WHERE c.problem IS NOT NULL) "
	"), "
	"total AS ( "
	"  SELECT l.source, l.source_id, l.ticket_key, l.run_id, l.rule, l.payer, l.payee, l.unit, l.owner, l.tally_period, l.factor, l.is_computed, "
	"    sum(l.amount) AS amount, sum(l.base) AS base, sum(l.quantity) AS quantity, sum(l.count) AS count "
	"  FROM line AS l GROUP BY l.source, l.source_id, l.ticket_key, l.run_id, l.rule, l.payer, l.payee, l.unit, l.owner, l.tally_period, l.factor, l.is_computed "
	"  HAVING sum(l.amount) <> 0 OR sum(l.base) <> 0 OR sum(l.quantity) <> 0 OR sum(l.count) <> 0 "
	"), "
	"said AS ( "
	"  SELECT a.*, CASE WHEN a.owner IS NULL THEN format('%%s %%s from %%s to %%s', trim_scale(a.amount), a.unit, a.payer, a.payee) "
	"    ELSE format('%%s times %%s on %%s, factor %%s, for %%s%%s, %%s from %%s to %%s', a.count, trim_scale(a.base), trim_scale(a.quantity), "
	"      trim_scale(a.factor), a.owner, ' in ' || a.tally_period, a.unit, a.payer, a.payee) END AS text "
	"  FROM total AS a "
	") "
	"SELECT d.source, d.ticket_key, d.run_id, d.rule, d.expected, d.found "
	"FROM ( "
	"  SELECT s.source, s.ticket_key, s.run_id, s.rule, min(s.text) FILTER (WHERE s.is_computed) AS expected, min(s.text) FILTER (WHERE NOT s.is_computed) AS found "
	"  FROM said AS s GROUP BY s.source, s.ticket_key, s.run_id, s.rule, s.payer, s.payee, s.unit, s.owner, s.tally_period, s.factor "
	") AS d "
	"WHERE d.expected IS DISTINCT FROM d.found "
	"UNION ALL "
	"SELECT c.source, min(c.ticket_key), min(c.run_id), NULL, format('%%s; so for %%s tickets', c.problem, count(*)), NULL "
	"FROM computed AS c "
	"WHERE c.problem IS NOT NULL GROUP BY c.source, c.digest, c.problem "
	"ORDER BY 1, 2, 4, 5 ";

/*
 * Computes the tickets posted since again and leaves what differs in SPI's result.
 */
static uint64
query_replay(const SettleBook *book, bool all_times, TimestampTz since, int64 sample)
{
	Oid			types[] = {TIMESTAMPTZOID, INT8OID, OIDOID};
	Datum		values[] = {TimestampTzGetDatum(since), Int64GetDatum(sample), ObjectIdGetDatum(book->schema)};
	const char	nulls[] = {all_times ? 'n' : ' ', sample == 0 ? 'n' : ' ', ' ', '\0'};

	return settle_book_execute(psprintf(replay_query, book->name), lengthof(types), types, values, nulls, SPI_OK_SELECT);
}

/*
 * settle.replay(book regnamespace, since timestamptz default null) returns
 *				 setof (source, ticket_key, run_id, rule, expected, found)
 */
PG_FUNCTION_INFO_V1(settle_replay);
Datum
settle_replay(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book;
	SettleIdentity identity;
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	n = query_replay(&book, PG_ARGISNULL(1), PG_ARGISNULL(1) ? 0 : PG_GETARG_TIMESTAMPTZ(1), 0);
	for (uint64 row = 0; row < n; row++)
	{
		Datum		values[6];
		bool		nulls[6];

		for (int i = 0; i < lengthof(values); i++)
			values[i] = settle_spi_datum((int) row, i + 1, &nulls[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}

/* Tickets that settle.check computes again. */
#define CHECK_SAMPLE	100

void
settle_check_replay(const SettleBook *book, Tuplestorestate *store, TupleDesc desc)
{
	uint64		n = query_replay(book, true, 0, CHECK_SAMPLE);

	for (uint64 row = 0; row < n; row++)
	{
		char	   *cells[6];
		Datum		values[3];
		bool		nulls[3] = {false};

		for (int i = 0; i < lengthof(cells); i++)
			cells[i] = settle_spi_text(row, i + 1);
		values[0] = CStringGetTextDatum("tickets computed again from what was kept give what is posted");
		values[1] = CStringGetTextDatum(psprintf("%s %s", cells[0], cells[1]));
		values[2] = CStringGetTextDatum(psprintf("%s%s%sexpected %s, found %s", cells[3] ? "rule " : "", cells[3] ? cells[3] : "", cells[3] ? ": " : "",
												 cells[4] ? cells[4] : "nothing", cells[5] ? cells[5] : "nothing"));
		tuplestore_putvalues(store, desc, values, nulls);
	}
}
