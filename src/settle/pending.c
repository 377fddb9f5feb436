/*
 * pending.c
 *		Takes tickets out of pending, and puts them there.
 *
 * A row of pending names a ticket, or, with a null key, all tickets of its
 * source.  A run that is not limited takes keys a window at a time and reads a
 * source that is marked in one pass; a limited one first spells the mark out.
 */
#include "settle/run.h"

#include "expr/expr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Keys of pending tickets taken at a time. */
#define WINDOW			500000

/*
 * Raises 40001 where somebody has posted one of the tickets since the snapshot
 * of this transaction was taken.
 */
void
settle_check_snapshot(Run *run, RunSource *source, ArrayType *keys)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), PointerGetDatum(keys)};
	const char *sql = psprintf("SELECT pg_catalog.count(*) FROM %s.sheet AS s WHERE s.source_id OPERATOR(pg_catalog.=) $1 "
							   "AND s.ticket_key OPERATOR(pg_catalog.=) ANY ($2)", run->book.name);
	bool		isnull;

	settle_run_check_rules(run);
	settle_book_execute(sql, 2, types, values, NULL, SPI_OK_SELECT);
	if (DatumGetInt64(settle_spi_datum(0, 1, &isnull)) != settle_latest_number(sql, 2, types, values))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: a ticket of source \"%s\" has been settled meanwhile", source->name),
				 errhint("Repeat the transaction.")));
}

/*
 * Makes an array of the keys in one column of the last SPI result.
 */
static ArrayType *
keys_of_result(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum	   *keys = MemoryContextAllocHuge(context, sizeof(Datum) * Max(SPI_processed, 1));
	ArrayType  *array;
	bool		isnull;

	for (uint64 i = 0; i < SPI_processed; i++)
		keys[i] = settle_spi_datum((int) i, 1, &isnull);
	array = construct_array(keys, (int) SPI_processed, TEXTOID, -1, false, TYPALIGN_INT);
	MemoryContextSwitchTo(old);
	return array;
}

/*
 * Queues again what new rules may settle, and what has become due.  Rules are
 * new since the last scheduled run: tickets that settle at commit look at
 * nobody but themselves.
 */
static void
queue_again(Run *run)
{
	Oid			types[] = {BYTEAOID};
	Datum		values[1];
	bytea	   *digest = palloc(VARHDRSZ + SETTLE_DIGEST_LEN);
	const char *book = run->book.name;

	SET_VARSIZE(digest, VARHDRSZ + SETTLE_DIGEST_LEN);
	memcpy(VARDATA(digest), run->ruleset->digest, SETTLE_DIGEST_LEN);
	values[0] = PointerGetDatum(digest);
	settle_book_execute(psprintf("WITH new_rules AS (SELECT WHERE NOT EXISTS ("
								 "SELECT FROM (SELECT r.digest FROM %1$s.run AS r WHERE r.settled_on OPERATOR(pg_catalog.=) 'schedule' ORDER BY r.run_id DESC LIMIT 1) AS last WHERE last.digest OPERATOR(pg_catalog.=) $1)) "
								 "INSERT INTO %1$s.pending (source_id, ticket_key, scanned) "
								 "SELECT s.source_id, p.ticket_key, false FROM %1$s.problem AS p JOIN %1$s.source AS s ON s.source OPERATOR(pg_catalog.=) p.source "
								 "WHERE EXISTS (TABLE new_rules) AND p.sqlstate OPERATOR(pg_catalog.<>) 'ST005' AND pg_catalog.octet_length(p.ticket_key) OPERATOR(pg_catalog.<=) %2$d "
								 "UNION ALL "
								 "SELECT s.source_id, u.ticket_key, false FROM %1$s.unpaid AS u JOIN %1$s.source AS s ON s.source OPERATOR(pg_catalog.=) u.source "
								 "WHERE EXISTS (TABLE new_rules)", book, SETTLE_MAX_KEY),
						1, types, values, NULL, SPI_OK_INSERT);
	types[0] = TIMESTAMPTZOID;
	values[0] = TimestampTzGetDatum(run->now);
	settle_book_execute(psprintf("WITH due AS (DELETE FROM %1$s.waiting AS w WHERE w.due_at OPERATOR(pg_catalog.<=) $1 RETURNING w.source_id, w.ticket_key) "
								 "INSERT INTO %1$s.pending (source_id, ticket_key, scanned) SELECT d.source_id, d.ticket_key, false FROM due AS d", book),
						1, types, values, NULL, SPI_OK_INSERT);
}

/*
 * Tells whether a scan misses more than 1 % of the tickets that have sheets:
 * then the source is blind or truncated, and no money moves for it.
 */
static bool
scan_is_thin(Run *run, RunSource *source, ArrayType *keys)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), PointerGetDatum(keys)};
	const char *lookup_type;
	const char *rows = settle_source_query(&reader, &lookup_type);
	bool		isnull;

	settle_book_execute(psprintf("SELECT pg_catalog.count(*) FILTER (WHERE s.source_key IS NULL) OPERATOR(pg_catalog.*) 100 OPERATOR(pg_catalog.>) pg_catalog.count(*) "
								 "FROM (SELECT DISTINCT h.ticket_key FROM %s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1%s) AS k "
								 "LEFT JOIN (%s) AS s ON s.source_key OPERATOR(pg_catalog.=) k.ticket_key",
								 run->book.name, keys == NULL ? "" : " AND h.ticket_key OPERATOR(pg_catalog.=) ANY ($2)", rows),
						keys == NULL ? 1 : 2, types, values, NULL, SPI_OK_SELECT);
	return DatumGetBool(settle_spi_datum(0, 1, &isnull));
}

/*
 * Takes keys of one source out of pending, those that a scan queued or those
 * that changes queued, at most "limit", and settles them.  Returns how many
 * rows it took.
 */
static uint64
take_keys(Run *run, RunSource *source, bool scanned, uint64 limit)
{
	Oid			types[] = {INT2OID, INT8OID, BOOLOID};
	Datum		values[] = {Int16GetDatum(source->id), Int64GetDatum((int64) limit), BoolGetDatum(scanned)};
	MemoryContext context;
	ArrayType  *keys;
	uint64		n;

	n = settle_book_execute(psprintf("DELETE FROM %1$s.pending AS p WHERE p.ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
									 "SELECT q.ctid FROM %1$s.pending AS q WHERE q.source_id OPERATOR(pg_catalog.=) $1 "
									 "AND q.scanned OPERATOR(pg_catalog.=) $3 AND q.ticket_key IS NOT NULL LIMIT $2)) RETURNING p.ticket_key", run->book.name),
							3, types, values, NULL, SPI_OK_DELETE_RETURNING);
	if (n == 0)
		return 0;
	context = AllocSetContextCreate(run->context, "scrm_settle keys", ALLOCSET_DEFAULT_SIZES);
	keys = keys_of_result(context);
	SPI_freetuptable(SPI_tuptable);
	if (run->run_id == 0)
		settle_prepare_run(run);
	run->hold_vanished = scanned && scan_is_thin(run, source, keys);
	settle_keys(run, source, keys);
	MemoryContextDelete(context);
	return n;
}

/*
 * Takes the marks that stand for all tickets of a source: those of scans, or
 * those of a TRUNCATE.
 */
static bool
take_marks(Run *run, RunSource *source, bool scanned)
{
	Oid			types[] = {INT2OID, BOOLOID};
	Datum		values[] = {Int16GetDatum(source->id), BoolGetDatum(scanned)};

	return settle_book_execute(psprintf("DELETE FROM %s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 "
										"AND p.scanned OPERATOR(pg_catalog.=) $2 AND p.ticket_key IS NULL", run->book.name),
							   2, types, values, NULL, SPI_OK_DELETE) > 0;
}

/*
 * Looks at all tickets of a source in one pass.  What a TRUNCATE took away is
 * held, and so is what a scan misses where it misses too much.
 */
static void
settle_source(Run *run, RunSource *source, bool hold)
{
	if (run->run_id == 0)
		settle_prepare_run(run);
	run->hold_vanished = hold || scan_is_thin(run, source, NULL);
	settle_all(run, source);
}

/*
 * Replaces such a mark by the keys it stands for, for a run that takes a
 * limited number of tickets.
 */
static void
spell_out_marks(Run *run, RunSource *source)
{
	Reader		reader = {.run = run, .source = source};
	const char *lookup_type;
	Oid			types[] = {INT2OID};
	Datum		values[] = {Int16GetDatum(source->id)};

	if (!take_marks(run, source, true))
		return;
	if (run->run_id == 0)
		settle_prepare_run(run);
	settle_book_execute(psprintf("INSERT INTO %1$s.pending (source_id, ticket_key, scanned) "
								 "SELECT $1, s.source_key, true FROM (%2$s) AS s WHERE s.source_key IS NOT NULL "
								 "UNION SELECT $1, h.ticket_key, true FROM %1$s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1",
								 run->book.name, settle_source_query(&reader, &lookup_type)),
						1, types, values, NULL, SPI_OK_INSERT);
}

/*
 * Takes keys, at most "limit", a window at a time.  Returns how many.
 */
static int64
take_all_keys(Run *run, RunSource *source, bool scanned, int64 limit)
{
	int64		taken = 0;

	while (taken < limit)
	{
		int64		window = Min(limit - taken, WINDOW);
		int64		n = (int64) take_keys(run, source, scanned, (uint64) window);

		CHECK_FOR_INTERRUPTS();
		taken += n;
		if (n < window)
			break;
	}
	return taken;
}

/*
 * Settles what is pending, at most max_tickets changes of it (0: all).
 */
void
settle_run_pending(Run *run, int64 max_tickets)
{
	int64		left = max_tickets;

	queue_again(run);
	for (int i = 0; i < run->nsources; i++)
	{
		RunSource  *source = run->sources[i];

		if (take_marks(run, source, false))
			settle_source(run, source, true);
		if (max_tickets > 0)
		{
			spell_out_marks(run, source);
			left -= take_all_keys(run, source, false, left);
			left -= take_all_keys(run, source, true, left);
			continue;
		}
		take_all_keys(run, source, false, PG_INT64_MAX);
		take_all_keys(run, source, true, PG_INT64_MAX);
		if (take_marks(run, source, true))
			settle_source(run, source, false);
	}
	if (run->run_id == 0)
		return;
	settle_post_tallies(run);
	settle_record_run(run);
}

/*
 * settle.rescan(book regnamespace, since timestamptz default null, until
 *				 timestamptz default null, source name default null)
 *				 returns void
 *
 * Queues the tickets of a time span, those from before the source was added
 * too, and those that are settled and have no row any more.
 */
PG_FUNCTION_INFO_V1(settle_rescan);
Datum
settle_rescan(PG_FUNCTION_ARGS)
{
	SettleBook	book;
	SettleIdentity identity;
	Run			run;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_CLERK);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_begin_run(&run, &book, false);
	if (!PG_ARGISNULL(3))
		(void) settle_find_source(&run, NameStr(*PG_GETARG_NAME(3)));
	for (int i = 0; i < run.nsources; i++)
	{
		RunSource  *source = run.sources[i];
		Reader		reader = {.run = &run, .source = source};
		Oid			types[] = {INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
		Datum		values[] = {Int16GetDatum(source->id), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
		char		nulls[] = {' ', PG_ARGISNULL(1) ? 'n' : ' ', PG_ARGISNULL(2) ? 'n' : ' '};
		const char *lookup_type;

		if (!PG_ARGISNULL(3) && strcmp(source->name, NameStr(*PG_GETARG_NAME(3))) != 0)
			continue;
		if (PG_ARGISNULL(1) && PG_ARGISNULL(2))
		{
			settle_book_execute(psprintf("INSERT INTO %s.pending (source_id, scanned) VALUES ($1, true)", book.name),
								1, types, values, nulls, SPI_OK_INSERT);
			continue;
		}
		settle_compile_source(&run, source);
		settle_book_execute(psprintf("INSERT INTO %1$s.pending (source_id, ticket_key, scanned) "
									 "SELECT $1, s.source_key, true FROM (%2$s WHERE (%3$s) OPERATOR(pg_catalog.>=) coalesce($2, '-infinity') "
									 "AND (%3$s) OPERATOR(pg_catalog.<) coalesce($3, 'infinity')) AS s WHERE s.source_key IS NOT NULL "
									 "UNION SELECT $1, h.ticket_key, true FROM %1$s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1 "
									 "AND h.ticket_time OPERATOR(pg_catalog.>=) coalesce($2, '-infinity') AND h.ticket_time OPERATOR(pg_catalog.<) coalesce($3, 'infinity')",
									 book.name, settle_source_query(&reader, &lookup_type), settle_set_time(source->set)),
							3, types, values, nulls, SPI_OK_INSERT);
	}
	settle_release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}

/*
 * settle._has_pending(book regnamespace) returns boolean
 */
PG_FUNCTION_INFO_V1(settle_has_pending);
Datum
settle_has_pending(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	SettleIdentity identity;
	bool		result;

	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	/* what is left of a source that is given up stays, and nobody waits for it */
	result = settle_query(psprintf("SELECT FROM %1$s.pending AS p JOIN %1$s.source AS s ON s.source_id OPERATOR(pg_catalog.=) p.source_id "
							"JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid LIMIT 1", book.name)) > 0;
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_BOOL(result);
}

/*
 * settle.excuse(book regnamespace, source name, key text, reason text) returns void
 *
 * Says of a ready ticket that no rule is to pay it.
 */
PG_FUNCTION_INFO_V1(settle_excuse);
Datum
settle_excuse(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	Oid			types[] = {NAMEOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(3), CStringGetTextDatum(settle_actor_name(book.schema))};
	SettleIdentity identity;
	uint64		n;
	int			depth;

	settle_book_check_level(&book, SETTLE_CLERK);
	identity = settle_book_enter(&book);
	SPI_connect();
	depth = settle_begin_reason(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	n = settle_book_execute(psprintf("UPDATE %s.unpaid SET excused_by = $4, excused_at = now(), reason = $3 "
									 "WHERE source = $1 AND ticket_key = $2", book.name),
							4, types, values, NULL, SPI_OK_UPDATE);
	settle_end_reason(depth);
	SPI_finish();
	settle_book_leave(identity);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("ticket \"%s\" of source \"%s\" is not unpaid", text_to_cstring(PG_GETARG_TEXT_PP(2)), NameStr(*PG_GETARG_NAME(1)))));
	PG_RETURN_VOID();
}
