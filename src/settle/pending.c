/*
 * pending.c
 *		Takes tickets out of pending, and puts them there.
 *
 * A row of pending names a ticket, or, with a null key, all tickets of its
 * source.  A run that is not limited takes keys a window at a time and reads a
 * source that is marked in one pass; a limited one first spells the mark out.
 * What new rules, an edit of the past or the time of day asks to look at again
 * is queued as if it had changed.
 */
#include "settle/run.h"

#include "book/progress.h"
#include "expr/expr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Keys of pending tickets settled at a time. */
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
	settle_run_check_periods(run);
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
 * Tells whether the rules are new since the last scheduled run: tickets that
 * settle at commit look at nobody but themselves.
 */
static bool
rules_are_new(Run *run)
{
	Oid			types[] = {BYTEAOID};
	Datum		values[1];
	bytea	   *digest = palloc(VARHDRSZ + SETTLE_DIGEST_LEN);

	SET_VARSIZE(digest, VARHDRSZ + SETTLE_DIGEST_LEN);
	memcpy(VARDATA(digest), run->ruleset->digest, SETTLE_DIGEST_LEN);
	values[0] = PointerGetDatum(digest);
	return settle_book_execute(psprintf("SELECT FROM (SELECT r.digest FROM ONLY %s.run AS r WHERE r.settled_on OPERATOR(pg_catalog.=) 'schedule' ORDER BY r.run_id DESC LIMIT 1) AS last "
										"WHERE last.digest OPERATOR(pg_catalog.=) $1", run->book.name),
							   1, types, values, NULL, SPI_OK_SELECT) == 0;
}

/*
 * Tells whether an edit in the past touches a source.
 */
static bool
is_edited(Run *run, RunSource *source)
{
	Oid			types[] = {NAMEOID, INT8ARRAYOID};
	NameData	name;
	Datum		values[] = {NameGetDatum(&name), run->edits};

	namestrcpy(&name, source->name);
	return run->edits != (Datum) 0 &&
		settle_book_execute(psprintf("SELECT FROM %s.edit AS e WHERE e.edit_id OPERATOR(pg_catalog.=) ANY ($2) AND (e.source IS NULL OR e.source OPERATOR(pg_catalog.=) $1) LIMIT 1", run->book.name),
							2, types, values, NULL, SPI_OK_SELECT) > 0;
}

/*
 * Makes the query for the keys of a source that are to be looked at again:
 * problems and unpaid tickets under new rules, settled tickets whose rules an
 * edit has changed, waiting tickets that have become due.  Its parameters are
 * those of again_values.
 */
static const char *
again_query(Run *run, RunSource *source, bool new_rules)
{
	const char *book = run->book.name;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT w.ticket_key FROM %s.waiting AS w WHERE w.source_id OPERATOR(pg_catalog.=) $1 AND w.due_at OPERATOR(pg_catalog.<=) $3", book);
	if (new_rules)
		appendStringInfo(&sql, " UNION ALL SELECT p.ticket_key FROM %1$s.problem AS p WHERE p.source OPERATOR(pg_catalog.=) $2 "
						 "AND p.sqlstate OPERATOR(pg_catalog.<>) ALL ('{ST005,00000}') AND pg_catalog.octet_length(p.ticket_key) OPERATOR(pg_catalog.<=) %2$d "
						 "UNION ALL SELECT u.ticket_key FROM %1$s.unpaid AS u WHERE u.source OPERATOR(pg_catalog.=) $2", book, SETTLE_MAX_KEY);
	if (is_edited(run, source))
	{
		Reader		reader = {.run = run, .source = source};
		const char *lookup_type;
		const char *rows;
		const char *rules_at;

		if (!run->prepared)
			settle_prepare_run(run);
		rows = settle_source_query(&reader, &lookup_type);
		/* a time that depends on decisions cannot be asked of the table: then every ticket is looked at */
		rules_at = settle_set_rules_at(source->set);
		appendStringInfo(&sql, " UNION ALL SELECT s.source_key FROM (%2$s%3$s) AS s WHERE EXISTS (SELECT FROM %1$s.sheet AS h "
						 "WHERE h.source_id OPERATOR(pg_catalog.=) $1 AND h.ticket_key OPERATOR(pg_catalog.=) s.source_key)", book, rows,
						 rules_at == NULL ? "" : psprintf(" WHERE (%2$s) OPERATOR(pg_catalog.<@) (SELECT pg_catalog.range_agg(e.during) FROM %1$s.edit AS e "
														  "WHERE e.edit_id OPERATOR(pg_catalog.=) ANY ($4) AND (e.source IS NULL OR e.source OPERATOR(pg_catalog.=) $2))", book, rules_at));
	}
	return sql.data;
}

typedef struct Again
{
	NameData	name;
	Oid			types[4];
	Datum		values[4];
	char		nulls[5];
} Again;

static void
again_values(Run *run, RunSource *source, Again *again)
{
	namestrcpy(&again->name, source->name);
	again->types[0] = INT2OID;
	again->types[1] = NAMEOID;
	again->types[2] = TIMESTAMPTZOID;
	again->types[3] = INT8ARRAYOID;
	again->values[0] = Int16GetDatum(source->id);
	again->values[1] = NameGetDatum(&again->name);
	again->values[2] = TimestampTzGetDatum(run->now);
	again->values[3] = run->edits;
	strcpy(again->nulls, run->edits == (Datum) 0 ? "   n" : "    ");
}

/*
 * Queues what is to be looked at again, and forgets why.
 */
static void
queue_again(Run *run)
{
	bool		new_rules = rules_are_new(run);
	const char *book = run->book.name;
	Again		again;

	for (int i = 0; i < run->nsources; i++)
	{
		again_values(run, run->sources[i], &again);
		settle_book_execute(psprintf("INSERT INTO %s.pending (source_id, ticket_key, scanned) SELECT $1, a.ticket_key, false FROM (%s) AS a",
									 book, again_query(run, run->sources[i], new_rules)),
							4, again.types, again.values, again.nulls, SPI_OK_INSERT);
		settle_book_execute(psprintf("DELETE FROM %s.waiting AS w WHERE w.source_id OPERATOR(pg_catalog.=) $1 AND w.due_at OPERATOR(pg_catalog.<=) $3", book),
							4, again.types, again.values, again.nulls, SPI_OK_DELETE);
	}
	if (run->edits != (Datum) 0)
		settle_book_execute(psprintf("DELETE FROM %s.edit AS e WHERE e.edit_id OPERATOR(pg_catalog.=) ANY ($4)", book),
							4, again.types, again.values, again.nulls, SPI_OK_DELETE);
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
 * held, and so is what a scan misses of a table: a deleted row is told of by
 * its trigger, so that what is gone without a word went with a partition, or
 * while nobody listened.  Of what has no triggers a scan may miss a little.
 */
static void
settle_source(Run *run, RunSource *source, bool hold)
{
	if (!run->prepared)
		settle_prepare_run(run);
	run->hold_vanished = hold || source->is_captured || scan_is_thin(run, source, NULL);
	settle_all(run, source);
}

/*
 * Replaces such a mark by the keys it stands for, for a run that takes a
 * limited number of tickets.
 */
static void
spell_out_marks(Run *run, RunSource *source)
{
	Oid			types[] = {INT2OID};
	Datum		values[] = {Int16GetDatum(source->id)};

	if (!take_marks(run, source, true))
		return;
	if (!run->prepared)
		settle_prepare_run(run);
	settle_book_execute(psprintf("INSERT INTO %1$s.pending (source_id, ticket_key, scanned) "
								 "SELECT $1, s.source_key, true FROM (%2$s) AS s WHERE s.source_key IS NOT NULL "
								 "UNION SELECT $1, h.ticket_key, true FROM %1$s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1",
								 run->book.name, settle_source_keys(source)),
						1, types, values, NULL, SPI_OK_INSERT);
}

/*
 * Takes keys of one source out of pending, those that a scan queued or those
 * that changes queued, at most "limit", and settles them a window at a time.
 * Returns how many rows it took.
 */
static int64
take_keys(Run *run, RunSource *source, bool scanned, int64 limit)
{
	Oid			types[] = {INT2OID, BOOLOID, INT8OID};
	Datum		values[] = {Int16GetDatum(source->id), BoolGetDatum(scanned), Int64GetDatum(limit)};
	const char *book = run->book.name;
	const char *those = "p.source_id OPERATOR(pg_catalog.=) $1 AND p.scanned OPERATOR(pg_catalog.=) $2 AND p.ticket_key IS NOT NULL";
	int64		taken = 0;
	Portal		portal;

	if (limit <= 0)
		return 0;
	if (limit < PG_INT64_MAX)
		those = psprintf("p.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT p.ctid FROM %s.pending AS p WHERE %s LIMIT $3))", book, those);
	/* the first fetch takes all of them; the portal keeps what is not asked for yet */
	portal = settle_book_open(psprintf("DELETE FROM %s.pending AS p WHERE %s RETURNING p.ticket_key", book, those), lengthof(types), types, values);
	for (;;)
	{
		MemoryContext context;
		ArrayType  *keys;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, WINDOW);
		if (SPI_processed == 0)
			break;
		taken += (int64) SPI_processed;
		context = AllocSetContextCreate(run->context, "scrm_settle keys", ALLOCSET_DEFAULT_SIZES);
		keys = keys_of_result(context);
		SPI_freetuptable(SPI_tuptable);
		if (!run->prepared)
			settle_prepare_run(run);
		run->hold_vanished = scanned && (source->is_captured || scan_is_thin(run, source, keys));
		settle_keys(run, source, keys);
		MemoryContextDelete(context);
	}
	SPI_cursor_close(portal);
	return taken;
}

/*
 * Tells whether tickets are pending.  What is left of a source that is given up
 * stays, and nobody waits for it.
 */
static bool
has_pending(const SettleBook *book)
{
	return settle_query(psprintf("SELECT FROM %1$s.pending AS p JOIN %1$s.source AS s ON s.source_id OPERATOR(pg_catalog.=) p.source_id "
								 "JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid LIMIT 1", book->name)) > 0;
}

/*
 * Counts what a run is going to look at, as far as that is known: changes that
 * are pending, and of a source that is looked at as a whole the rows that the
 * planner believes it has.
 */
static int64
count_pending(Run *run, int64 max_tickets)
{
	bool		isnull;
	Datum		total;

	if (settle_query(psprintf("SELECT CASE WHEN pg_catalog.min(c.reltuples) OPERATOR(pg_catalog.<=) 0 THEN NULL "
							  "ELSE pg_catalog.sum(n.changes) OPERATOR(pg_catalog.+) coalesce(pg_catalog.sum(c.reltuples)::pg_catalog.numeric, 0) END::pg_catalog.int8 "
							  "FROM (SELECT p.source_id, pg_catalog.count(p.ticket_key) AS changes, pg_catalog.bool_or(p.ticket_key IS NULL) AS is_marked FROM %1$s.pending AS p GROUP BY p.source_id) AS n "
							  "LEFT JOIN (%1$s.source AS s JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid) ON s.source_id OPERATOR(pg_catalog.=) n.source_id AND n.is_marked",
							  run->book.name)) != 1)
		return SETTLE_UNKNOWN_TOTAL;
	total = settle_spi_datum(0, 1, &isnull);
	if (isnull)
		return max_tickets > 0 ? max_tickets : SETTLE_UNKNOWN_TOTAL;
	return max_tickets > 0 ? Min(max_tickets, DatumGetInt64(total)) : DatumGetInt64(total);
}

/*
 * Settles what is pending, at most max_tickets changes of it (0: all).
 */
void
settle_run_pending(Run *run, int64 max_tickets)
{
	int64		left = max_tickets;

	queue_again(run);
	settle_progress_begin(&run->book, SETTLE_RUNNING, SETTLE_TAKING, count_pending(run, max_tickets));
	for (int i = 0; i < run->nsources; i++)
	{
		RunSource  *source = run->sources[i];

		if (take_marks(run, source, false))
			settle_source(run, source, true);
		if (max_tickets > 0)
		{
			spell_out_marks(run, source);
			left -= take_keys(run, source, false, left);
			left -= take_keys(run, source, true, left);
			continue;
		}
		take_keys(run, source, false, PG_INT64_MAX);
		take_keys(run, source, true, PG_INT64_MAX);
		if (take_marks(run, source, true))
			settle_source(run, source, false);
	}
	if (!run->prepared)
	{
		settle_progress_end();
		return;
	}
	settle_progress_phase(SETTLE_PRICING_TALLIES);
	settle_post_tallies(run);
	if (run->max_correction >= 0 && max_tickets > 0 && has_pending(&run->book))
		run->counted = settle_counted_before(run) + run->braked;
	settle_record_run(run);
	settle_progress_end();
}

/*
 * Looks at what is pending as a run does, and takes nothing.
 */
void
settle_plan_pending(Run *run)
{
	bool		new_rules = rules_are_new(run);
	const char *book = run->book.name;

	settle_prepare_run(run);
	for (int i = 0; i < run->nsources; i++)
	{
		RunSource  *source = run->sources[i];
		const char *queued = psprintf("SELECT p.ticket_key FROM %s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1", book);
		Again		again;
		bool		isnull;
		bool		is_marked;

		again_values(run, source, &again);
		settle_book_execute(psprintf("SELECT coalesce(pg_catalog.bool_or(NOT p.scanned), false), pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 "
									 "FROM %s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND p.ticket_key IS NULL", book),
							1, again.types, again.values, NULL, SPI_OK_SELECT);
		run->hold_vanished = DatumGetBool(settle_spi_datum(0, 1, &isnull));
		is_marked = DatumGetBool(settle_spi_datum(0, 2, &isnull));
		if (is_marked)
		{
			settle_source(run, source, run->hold_vanished);
			continue;
		}
		for (int scanned = 0; scanned < 2; scanned++)
		{
			const char *changed = psprintf("%s AND NOT p.scanned UNION ALL %s%s", queued, again_query(run, source, new_rules),
										   !run->with_held ? "" : psprintf(" UNION ALL SELECT h.ticket_key FROM %s.held AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1", book));
			ArrayType  *keys;

			settle_book_execute(scanned == 0 ? changed : psprintf("%s AND p.scanned EXCEPT (%s)", queued, changed),
								4, again.types, again.values, again.nulls, SPI_OK_SELECT);
			if (SPI_processed == 0)
				continue;
			keys = keys_of_result(run->context);
			run->hold_vanished = scanned == 1 && scan_is_thin(run, source, keys);
			settle_keys(run, source, keys);
		}
	}
	settle_post_tallies(run);
}

/*
 * Makes the query for the keys of a source whose time lies from $2 to before
 * $3: rows that it has, and tickets that have sheets.
 */
static const char *
span_query(Run *run, RunSource *source)
{
	return psprintf("SELECT s.source_key AS ticket_key FROM (%2$s WHERE (%3$s) OPERATOR(pg_catalog.>=) $2 AND (%3$s) OPERATOR(pg_catalog.<) $3) AS s WHERE s.source_key IS NOT NULL "
					"UNION SELECT h.ticket_key FROM %1$s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1 "
					"AND h.ticket_time OPERATOR(pg_catalog.>=) $2 AND h.ticket_time OPERATOR(pg_catalog.<) $3",
					run->book.name, settle_source_keys(source), settle_set_time(source->set));
}

/*
 * Settles the tickets of a time span, whatever is pending.
 */
void
settle_span(Run *run, RunSource *source, Datum since, Datum until)
{
	Oid			types[] = {INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {Int16GetDatum(source->id), since, until};

	if (settle_book_execute(span_query(run, source), 3, types, values, NULL, SPI_OK_SELECT) > 0)
		settle_keys(run, source, keys_of_result(run->context));
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
		Oid			types[] = {INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
		Datum		values[] = {
			Int16GetDatum(source->id),
			PG_ARGISNULL(1) ? TimestampTzGetDatum(DT_NOBEGIN) : PG_GETARG_DATUM(1),
			PG_ARGISNULL(2) ? TimestampTzGetDatum(DT_NOEND) : PG_GETARG_DATUM(2)
		};

		if (!PG_ARGISNULL(3) && strcmp(source->name, NameStr(*PG_GETARG_NAME(3))) != 0)
			continue;
		if (PG_ARGISNULL(1) && PG_ARGISNULL(2))
		{
			settle_book_execute(psprintf("INSERT INTO %s.pending (source_id, scanned) VALUES ($1, true)", book.name),
								1, types, values, NULL, SPI_OK_INSERT);
			continue;
		}
		settle_compile_source(&run, source);
		settle_book_execute(psprintf("INSERT INTO %s.pending (source_id, ticket_key, scanned) SELECT $1, k.ticket_key, true FROM (%s) AS k",
									 book.name, span_query(&run, source)),
							3, types, values, NULL, SPI_OK_INSERT);
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
	result = has_pending(&book);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_BOOL(result);
}
