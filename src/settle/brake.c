/*
 * brake.c
 *		The brake: a run that would correct too many settled tickets at once posts
 *		what is new and holds the corrections.
 *
 * A backlog that is cut into several runs is one: corrections count from the last
 * run that left nothing pending on, or from the last release.  How many a run
 * corrects is only known at its end, so a run goes on until it
 * is too many, goes back by a subtransaction, and is made once more with the
 * brake on.  Only a run that brakes pays twice.  A held ticket stands in
 * <book>.held, once, until its correction is released; then the next run makes
 * it, however it looks by then.  Tickets that settle at commit are not braked:
 * whoever changes one sees what he does.
 *
 * What 1 % is taken of is not counted anew: <book>.settled_total has all sheets
 * up to a number.  Sheets are never changed, and a run has the gate to itself, so
 * none of a lower number can come later.
 */
#include "settle/post.h"
#include "settle/run.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

/*
 * Tells which tickets of the batch are held.
 */
void
settle_load_held(Run *run, RunSource *source)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), 0};
	Datum	   *keys;
	RunTicket **known;
	int			n = 0;

	if (!run->any_held)
		return;
	keys = palloc(sizeof(Datum) * Max(run->ntickets, 1));
	known = palloc(sizeof(RunTicket *) * Max(run->ntickets, 1));
	for (int i = 0; i < run->ntickets; i++)
		if (run->tickets[i].posted != NULL)
		{
			known[n] = &run->tickets[i];
			keys[n++] = CStringGetTextDatum(run->tickets[i].key);
		}
	if (n == 0)
		return;
	values[1] = settle_array_of(TEXTOID, keys, n);
	settle_book_execute(psprintf("SELECT u.at, h.release_id IS NOT NULL FROM pg_catalog.unnest($2) WITH ORDINALITY AS u(ticket_key, at) "
								 "JOIN %s.held AS h ON h.source_id OPERATOR(pg_catalog.=) $1 AND h.ticket_key OPERATOR(pg_catalog.=) u.ticket_key", run->book.name),
						2, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		int			at = (int) DatumGetInt64(settle_spi_datum((int) row, 1, &isnull)) - 1;

		known[at]->hold = DatumGetBool(settle_spi_datum((int) row, 2, &isnull)) ? HOLD_RELEASED : HOLD_HELD;
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Tells how many corrections of the runs before this one count: those since
 * nothing was left pending, unless somebody has let corrections go since.
 */
int64
settle_counted_before(Run *run)
{
	bool		isnull;

	if (run->before < 0)
	{
		settle_query(psprintf("SELECT coalesce((SELECT r.counted FROM ONLY %1$s.run AS r WHERE r.run_id OPERATOR(pg_catalog.=) "
							  "(SELECT pg_catalog.max(x.run_id) FROM ONLY %1$s.run AS x WHERE x.settled_on OPERATOR(pg_catalog.=) 'schedule') "
							  "AND NOT EXISTS (SELECT FROM %1$s.release AS l WHERE l.released_at OPERATOR(pg_catalog.>) r.started_at)), 0)", run->book.name));
		run->before = DatumGetInt64(settle_spi_datum(0, 1, &isnull));
	}
	return run->before;
}

/*
 * Adds a sheet of this run to the count by period; what posters at commit write
 * is counted by the run after them.
 */
void
settle_count_sheet(Run *run, DateADT period, int tickets)
{
	int			at = 0;

	if (run->at_commit)
		return;
	while (at < run->ncounts && run->counts[at].period != period)
		at++;
	if (at == run->ncounts)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->counts = settle_grow(run->counts, run->ncounts, &run->counts_space, sizeof(SettledCount));
		run->counts[run->ncounts++] = (SettledCount) {.period = period};
		MemoryContextSwitchTo(old);
	}
	run->counts[at].tickets += tickets;
}

/*
 * Finds the last sheet that settled_total counts.
 */
static Datum
last_counted(Run *run)
{
	bool		isnull;

	settle_query(psprintf("SELECT coalesce(pg_catalog.max(t.last_sheet), 0) FROM %s.settled_total AS t", run->book.name));
	return settle_spi_datum(0, 1, &isnull);
}

/*
 * Adds the sheets of this run to settled_total, and those that posters at commit
 * have written since the run before: the gate keeps them out until it is done.
 */
void
settle_keep_counts(Run *run)
{
	Oid			types[] = {get_array_type(DATEOID), INT8ARRAYOID, INT8OID, INT8OID, INT8OID};
	Datum		values[lengthof(types)];
	Datum	   *periods = palloc(sizeof(Datum) * Max(run->ncounts, 1));
	Datum	   *tickets = palloc(sizeof(Datum) * Max(run->ncounts, 1));

	if (run->first_sheet == 0)
		return;
	for (int i = 0; i < run->ncounts; i++)
	{
		periods[i] = DateADTGetDatum(run->counts[i].period);
		tickets[i] = Int64GetDatum(run->counts[i].tickets);
	}
	values[0] = settle_array_of(DATEOID, periods, run->ncounts);
	values[1] = settle_array_of(INT8OID, tickets, run->ncounts);
	values[2] = last_counted(run);
	values[3] = Int64GetDatum(run->first_sheet);
	values[4] = Int64GetDatum(run->last_sheet);
	settle_book_execute(psprintf("INSERT INTO %1$s.settled_total AS t (period, tickets, last_sheet) "
								 "SELECT n.period, pg_catalog.sum(n.tickets)::pg_catalog.int8, $5 FROM (SELECT u.period, u.tickets FROM unnest($1, $2) AS u(period, tickets) "
								 "UNION ALL SELECT s.period, s.tickets FROM %1$s.sheet AS s WHERE s.sheet_id OPERATOR(pg_catalog.>) $3 AND s.sheet_id OPERATOR(pg_catalog.<) $4) AS n "
								 "GROUP BY n.period ON CONFLICT (period) DO UPDATE SET tickets = t.tickets OPERATOR(pg_catalog.+) excluded.tickets, last_sheet = excluded.last_sheet",
								 run->book.name),
						lengthof(types), types, values, NULL, SPI_OK_INSERT);
}

/*
 * Tells how many corrections a run may make: as many as the book says, or 1 %
 * of the tickets that are settled in what is open before it, where that is more.
 */
static int64
most_corrections(Run *run)
{
	Oid			types[] = {DATEOID, INT8OID, INT8OID};
	Datum		values[] = {DateADTGetDatum(run->open_period), last_counted(run), Int64GetDatum(run->first_sheet == 0 ? PG_INT64_MAX : run->first_sheet)};
	bool		isnull;

	settle_book_execute(psprintf("SELECT coalesce(pg_catalog.sum(n.tickets), 0)::pg_catalog.int8 OPERATOR(pg_catalog./) 100 FROM ("
								 "SELECT t.tickets FROM %1$s.settled_total AS t WHERE t.period OPERATOR(pg_catalog.>=) $1 UNION ALL "
								 "SELECT s.tickets FROM %1$s.sheet AS s WHERE s.sheet_id OPERATOR(pg_catalog.>) $2 AND s.sheet_id OPERATOR(pg_catalog.<) $3 "
								 "AND s.period OPERATOR(pg_catalog.>=) $1) AS n", run->book.name),
						3, types, values, NULL, SPI_OK_SELECT);
	return Max(run->max_correction, DatumGetInt64(settle_spi_datum(0, 1, &isnull)));
}

/*
 * Tells whether the correction of a settled ticket is held.  Raises an error
 * that ends this attempt of the run where corrections have become too many.
 */
bool
settle_brake_holds(Run *run, const RunTicket *ticket)
{
	if (run->at_commit || ticket->hold == HOLD_RELEASED)
		return false;
	if (ticket->hold == HOLD_HELD)
		return !run->with_held;
	if (run->plan != NULL || run->max_correction < 0)
		return false;
	run->braked++;
	if (run->brakes)
		return true;
	/* the share of what is settled is counted once the number alone is passed */
	if (!run->share_known && settle_counted_before(run) + run->braked > run->max_correction)
	{
		run->max_correction = most_corrections(run);
		run->share_known = true;
	}
	if (settle_counted_before(run) + run->braked <= run->max_correction)
		return false;
	run->tripped = true;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("more than %lld settled tickets would be corrected", (long long) run->max_correction)));
}

/*
 * Writes down which tickets of a batch are held, and forgets those whose
 * correction is made or no longer needed.
 */
void
settle_note_held(Run *run, RunSource *source, KeyList *held, KeyList *freed)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID, INT8OID};
	Datum		values[] = {Int16GetDatum(source->id), 0, Int64GetDatum(run->run_id)};

	if (freed->n > 0)
	{
		values[1] = settle_array_of(TEXTOID, freed->keys, freed->n);
		settle_book_execute(psprintf("DELETE FROM %s.held AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1 AND h.ticket_key OPERATOR(pg_catalog.=) ANY ($2)", run->book.name),
							2, types, values, NULL, SPI_OK_DELETE);
	}
	if (held->n > 0)
	{
		values[1] = settle_array_of(TEXTOID, held->keys, held->n);
		settle_book_execute(psprintf("INSERT INTO %s.held (source_id, ticket_key, run_id) SELECT $1, u.ticket_key, $3 FROM pg_catalog.unnest($2) AS u(ticket_key) "
									 "ON CONFLICT DO NOTHING", run->book.name),
							3, types, values, NULL, SPI_OK_INSERT);
		run->any_held = true;
	}
}

/*
 * Makes a run in a subtransaction; false, with nothing done, where it would
 * correct too many tickets.
 */
static bool
try_run(Run *run, int64 max_tickets)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		settle_run_pending(run, max_tickets);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		if (!run->tripped)
			ReThrowError(error);
		FreeErrorData(error);
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return done;
}

/*
 * Makes a run, with the brake on where it needs it.
 */
void
settle_run_braked(Run *run, const SettleBook *book, int64 max_tickets)
{
	int64		most;

	settle_begin_run(run, book, false);
	if (run->max_correction < 0)
	{
		settle_run_pending(run, max_tickets);
		return;
	}
	if (try_run(run, max_tickets))
		return;

	most = run->max_correction;
	settle_release_sources(run);
	MemoryContextDelete(run->context);
	settle_begin_run(run, book, false);
	run->brakes = true;
	settle_run_pending(run, max_tickets);
	if (run->braked > 0)
		settle_raise_alert(book, "max_correction", psprintf("run %lld", (long long) run->run_id),
						   psprintf("%lld corrections are held: more than %lld settled tickets would be corrected at once",
									(long long) run->braked, (long long) most));
}
