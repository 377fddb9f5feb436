/*
 * progress.c
 *		How far a long operation on a book is: settle.stat_progress().
 *
 * PostgreSQL knows no commands but its own in pg_stat_progress_*, so ours is
 * shown as a COPY of no table, told apart by a number in the last parameter.
 * What a maintainer must know is that there is one place a backend, which COPY
 * itself and the end of every subtransaction that fails overwrite; so whoever
 * copies calls settle_progress_keep, and every step forward looks whether the
 * place is still ours.  COPY counts in the first parameters, ours are the last.
 *
 * An operation stands in the memory of its (sub)transaction, and leaves the
 * place when that goes: no error, cancel or rollback leaves it behind.
 */
#include "book/progress.h"

#include "catalog/pg_namespace.h"
#include "commands/progress.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* "settle" */
#define MAGIC			INT64CONST(0x736574746c65)

enum
{
	BOOK = 10, OPERATION, PHASE, DONE, TOTAL, STARTED, SINCE, MARK = PGSTAT_NUM_PROGRESS_PARAM - 1
};

static const char *const operation_names[] = {"run", "close_period", "ingest", "seal"};
static const char *const phase_names[] = {
	"taking", "evaluating", "posting", "pricing tallies", "writing the period", "making statements", "mapping", "merging", "hashing"
};

typedef struct Progress
{
	struct Progress *outer;		/* that it began in */
	MemoryContextCallback callback;
	Oid			schema;
	const char *label;
	SettleOperation operation;
	SettlePhase phase;
	int64		done;
	int64		total;
	TimestampTz started;
	int64		tell_every;		/* milliseconds; negative: tells nothing */
	TimestampTz told;
} Progress;

static Progress *innermost = NULL;
static int64 tell_every = -1;

static bool
place_is_ours(void)
{
	return MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_COPY && MyBEEntry->st_progress_param[MARK] == MAGIC;
}

void
settle_progress_keep(void)
{
	static const int places[] = {BOOK, OPERATION, PHASE, DONE, TOTAL, STARTED, SINCE, MARK};
	const Progress *outermost = innermost;
	int64		values[lengthof(places)];

	if (innermost == NULL)
		return;
	while (outermost->outer != NULL)
		outermost = outermost->outer;
	values[0] = innermost->schema;
	values[1] = outermost->operation;
	values[2] = innermost->phase;
	values[3] = innermost->done;
	values[4] = innermost->total;
	values[5] = outermost->started;
	values[6] = innermost->started;
	values[7] = MAGIC;
	if (!place_is_ours())
		pgstat_progress_start_command(PROGRESS_COMMAND_COPY, InvalidOid);
	pgstat_progress_update_multi_param(lengthof(places), places, values);
}

/*
 * Takes an operation, and what began within it, out of the place.
 */
static void
leave(void *arg)
{
	Progress   *progress = arg;
	Progress   *p = innermost;

	while (p != NULL && p != progress)
		p = p->outer;
	if (p == NULL)
		return;					/* it has ended */
	innermost = progress->outer;
	if (innermost != NULL)
		settle_progress_keep();
	else if (place_is_ours())
		pgstat_progress_end_command();
}

void
settle_progress_begin(const SettleBook *book, SettleOperation operation, SettlePhase phase, int64 total)
{
	Progress   *progress = MemoryContextAllocZero(CurTransactionContext, sizeof(Progress));

	progress->schema = book->schema;
	progress->label = MemoryContextStrdup(CurTransactionContext, book->label);
	progress->operation = operation;
	progress->phase = phase;
	progress->tell_every = operation == SETTLE_RUNNING ? tell_every : -1;
	progress->total = total;
	progress->started = progress->told = GetCurrentTimestamp();
	progress->callback.func = leave;
	progress->callback.arg = progress;
	MemoryContextRegisterResetCallback(CurTransactionContext, &progress->callback);
	progress->outer = innermost;
	innermost = progress;
	settle_progress_keep();
}

void
settle_progress_end(void)
{
	if (innermost != NULL)
		leave(innermost);
}

void
settle_progress_phase(SettlePhase phase)
{
	if (innermost == NULL)
		return;
	innermost->phase = phase;
	settle_progress_keep();
}

void
settle_progress_add(int64 done)
{
	TimestampTz now;
	double		seconds;
	double		rate;

	if (innermost == NULL)
		return;
	innermost->done += done;
	settle_progress_keep();
	if (innermost->tell_every < 0)
		return;
	now = GetCurrentTimestamp();
	if (now - innermost->told < innermost->tell_every * INT64CONST(1000))
		return;
	innermost->told = now;
	seconds = Max(now - innermost->started, 1) / 1000000.0;
	rate = innermost->done / seconds;
	if (innermost->total >= innermost->done && rate > 0)
		ereport(NOTICE,
				(errmsg("%lld of %lld tickets of book \"%s\", %.0f a second, %.0f seconds left",
						(long long) innermost->done, (long long) innermost->total, innermost->label,
						rate, (innermost->total - innermost->done) / rate)));
	else
		ereport(NOTICE,
				(errmsg("%lld tickets of book \"%s\", %.0f a second", (long long) innermost->done, innermost->label, rate)));
}

void
settle_progress_tell(int64 every)
{
	tell_every = every;
}

static int
number_of(const char *name, const char *const *names, int n, const char *what)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	elog(ERROR, "unknown %s \"%s\"", what, name);
}

/*
 * settle._begin_progress(book regnamespace, operation text) returns void
 *
 * Bodies that run as the owner of a book call it, and nobody else: what it shows
 * is believed.
 */
PG_FUNCTION_INFO_V1(settle_begin_progress);
Datum
settle_begin_progress(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));

	if (!InSecurityRestrictedOperation() || GetUserId() != book.owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call settle._begin_progress outside the code of book \"%s\"", book.label)));
	settle_progress_begin(&book, number_of(text_to_cstring(PG_GETARG_TEXT_PP(1)), operation_names, lengthof(operation_names), "operation"),
						  SETTLE_TAKING, SETTLE_UNKNOWN_TOTAL);
	PG_RETURN_VOID();
}

/*
 * settle._note_progress(phase text) returns void
 */
PG_FUNCTION_INFO_V1(settle_note_progress);
Datum
settle_note_progress(PG_FUNCTION_ARGS)
{
	settle_progress_phase(number_of(text_to_cstring(PG_GETARG_TEXT_PP(0)), phase_names, lengthof(phase_names), "phase"));
	PG_RETURN_VOID();
}

/*
 * settle._end_progress() returns void
 */
PG_FUNCTION_INFO_V1(settle_end_progress);
Datum
settle_end_progress(PG_FUNCTION_ARGS)
{
	settle_progress_end();
	PG_RETURN_VOID();
}

/*
 * settle._progress() returns setof (book, pid, operation, phase, done, total,
 *									 started_at, since)
 *
 * Returns a row for each backend of this database that is at work on a book
 * whose schema the caller may use.  Whose session it is does not matter:
 * readers of a book may know how far it is without pg_read_all_stats.
 */
PG_FUNCTION_INFO_V1(settle_progress);
Datum
settle_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= n; i++)
	{
		const PgBackendStatus *backend = &pgstat_fetch_stat_local_beentry(i)->backendStatus;
		const int64 *param = backend->st_progress_param;
		Oid			schema;
		char	   *name;
		Datum		values[8];
		bool		nulls[8] = {false};

		if (backend->st_progress_command != PROGRESS_COMMAND_COPY || param[MARK] != MAGIC || backend->st_databaseid != MyDatabaseId)
			continue;
		schema = (Oid) param[BOOK];
		name = get_namespace_name(schema);
		if (name == NULL || !settle_may_use_schema(schema, GetUserId()) ||
			param[OPERATION] < 0 || param[OPERATION] >= lengthof(operation_names) || param[PHASE] < 0 || param[PHASE] >= lengthof(phase_names))
			continue;
		values[0] = CStringGetTextDatum(name);
		values[1] = Int32GetDatum(backend->st_procpid);
		values[2] = CStringGetTextDatum(operation_names[param[OPERATION]]);
		values[3] = CStringGetTextDatum(phase_names[param[PHASE]]);
		values[4] = Int64GetDatum(param[DONE]);
		values[5] = Int64GetDatum(param[TOTAL]);
		nulls[5] = param[TOTAL] < 0;
		values[6] = TimestampTzGetDatum(param[STARTED]);
		values[7] = TimestampTzGetDatum(param[SINCE]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
