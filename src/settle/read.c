/*
 * read.c
 *		Reads rows of a source and evaluates them, a batch at a time.
 *
 * Tickets are evaluated in chunks, each inside a subtransaction that writes
 * nothing.  Where one fails, the chunk is repeated ticket by ticket.  Only the
 * columns that some expression uses are read.
 */
#include "settle/run.h"

#include "common/hashfn.h"
#include "expr/expr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* Tickets evaluated in one subtransaction. */
#define CHUNK			256
/* Bits by which a pass of several batches knows a key that comes again. */
#define KEY_MARKS		(64 * 1024 * 1024)
/* A batch of at least this size in which one rule fails for more than 1 % stops the run. */
#define LARGE_BATCH		1000

/*
 * Copies what the engine said of a ticket into the batch.
 */
static void
keep_ticket(RunTicket *into, const SettleTicket *ticket, TimestampTz now)
{
	into->state = TICKET_PRICED;
	into->ready_at = ticket->ready_at;
	into->ticket_time = ticket->period_at;
	into->period = ticket->period;
	into->project = ticket->project == NULL ? NULL : (struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(ticket->project));
	into->region = ticket->region == NULL ? NULL : (struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(ticket->region));
	into->revenue = ticket->revenue;
	into->cost = ticket->cost;
	into->currency = ticket->currency;
	into->nlines = ticket->nlines;
	into->lines = palloc0(sizeof(RunLine) * Max(ticket->nlines, 1));
	/* revenue is what the source says less the tax inside it */
	into->revenue = settle_dec_sub(into->revenue, ticket->tax);
	for (int i = 0; i < ticket->nlines; i++)
	{
		const SettleLine *from = &ticket->lines[i];
		RunLine    *to = &into->lines[i];

		to->rule = from->rule;
		to->payer_party = from->payer;
		to->payee_party = from->payee;
		to->owner_party = from->owner;
		to->unit = from->unit;
		to->base = settle_dec_keep(from->base);
		to->quantity = settle_dec_keep(from->quantity);
		to->factor = settle_dec_keep(from->factor);
		to->amount = settle_dec_keep(from->amount);
		to->in_tally = from->owner != NULL;
		to->tally_period = from->tally_period;
		to->by_posting = from->rule->def->clock == SETTLE_CLOCK_POSTING;
		if (to->by_posting)
			to->tally_period = settle_span_start(from->rule->def->accumulate, now);
		to->count = to->in_tally ? 1 : 0;
	}
	into->revenue = settle_dec_keep(into->revenue);
	into->cost = settle_dec_keep(into->cost);
}

/*
 * How rows of a source come in: the ticket's key, whether it has sheets, the
 * key again as the source gives it (null: vanished), then the columns in use.
 */
#define ROW_KEY		1
#define ROW_KNOWN	2
#define ROW_SOURCE	3
#define ROW_COLUMNS	4

/*
 * Puts the columns of the row, from the given one on, where the engine reads
 * them.
 */
static void
fill_slot(Reader *reader, TupleTableSlot *slot, int first)
{
	for (int i = 0; i < reader->ncolumns; i++)
	{
		slot->tts_values[reader->columns[i] - 1] = reader->values[first - 1 + i];
		slot->tts_isnull[reader->columns[i] - 1] = reader->nulls[first - 1 + i];
	}
}

/*
 * Cuts a key that is too long for the indexes of a book, and tells so.  What
 * stays names the row well enough for a problem, and is longer than any key
 * that can be settled.
 */
static bool
clip_key(RunTicket *ticket)
{
	size_t		len = strlen(ticket->key);
	size_t		kept;

	if (len <= SETTLE_MAX_KEY)
		return false;
	kept = pg_mbcliplen(ticket->key, (int) len, SETTLE_MAX_KEY);
	ticket->key = psprintf("%.*s ... %016" INT64_MODIFIER "x", (int) kept, ticket->key,
						   hash_bytes_extended((const unsigned char *) ticket->key, (int) len, 0));
	return true;
}

/*
 * Evaluates one row of the source.
 */
static void
read_ticket(Reader *reader, HeapTuple tuple, TupleDesc desc)
{
	Run		   *run = reader->run;
	RunTicket  *ticket = &run->tickets[run->ntickets];
	TupleTableSlot *slot = settle_set_slot(reader->source->set);
	SettleTicket *said = &reader->said;
	bool		is_long;

	memset(ticket, 0, sizeof(*ticket));
	ticket->period = said->period = DATEVAL_NOBEGIN;
	heap_deform_tuple(tuple, desc, reader->values, reader->nulls);
	ticket->key = TextDatumGetCString(reader->values[reader->nulls[ROW_KEY - 1] ? ROW_SOURCE - 1 : ROW_KEY - 1]);
	is_long = clip_key(ticket);
	ticket->known = DatumGetBool(reader->values[ROW_KNOWN - 1]);
	if (reader->nulls[ROW_SOURCE - 1])
	{
		ticket->state = TICKET_VANISHED;
		run->ntickets++;
		return;
	}
	if (is_long)
	{
		ticket->state = TICKET_FAILED;
		ticket->failing = "key";
		ticket->error = palloc0(sizeof(ErrorData));
		ticket->error->sqlerrcode = ERRCODE_SETTLE_BAD_TICKET;
		ticket->error->message = psprintf("a key of source \"%s\" is too long", reader->source->name);
		ticket->error->detail = psprintf("A key has at most %d bytes.", SETTLE_MAX_KEY);
		run->ntickets++;
		return;
	}
	fill_slot(reader, slot, ROW_COLUMNS);

	if (settle_evaluate_ticket(reader->source->set, run->now, false, said, NULL))
		keep_ticket(ticket, said, run->now);
	else
	{
		ticket->state = said->has_ready_at ? TICKET_WAITING : TICKET_NOT_READY;
		ticket->ready_at = said->ready_at;
	}
	run->ntickets++;
}

/*
 * Tells whether an error is one of a ticket, which the run goes on after.
 */
static bool
is_error_of_ticket(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(SETTLE_ERRCODE('0', '0', '0')) ||
		category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == ERRCODE_CARDINALITY_VIOLATION ||
		category == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
	/* what ltree says of a text that is no path */
		sqlerrcode == ERRCODE_SYNTAX_ERROR || sqlerrcode == ERRCODE_NAME_TOO_LONG;
}

/*
 * Evaluates rows inside one subtransaction.  Returns false, with nothing kept,
 * where one of them fails; a single row that fails is kept as failed.
 */
static bool
evaluate_rows(Reader *reader, SPITupleTable *rows, uint64 from, uint64 to)
{
	Run		   *run = reader->run;
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			start = run->ntickets;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(run->batch_context);
	PG_TRY();
	{
		for (uint64 i = from; i < to; i++)
			read_ticket(reader, rows->vals[i], rows->tupdesc);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(run->batch_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		if (!is_error_of_ticket(error->sqlerrcode))
			ReThrowError(error);
		ok = false;
		run->ntickets = start;
		if (to - from == 1)
		{
			RunTicket  *ticket = &run->tickets[run->ntickets++];

			/* read_ticket has set the key before anything can fail */
			ticket->state = TICKET_FAILED;
			ticket->period = reader->said.period;
			ticket->error = error;
			ticket->failing = settle_set_failing(reader->source->set);
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return ok;
}

/*
 * Stops the run where one rule fails for so many tickets that the rule is
 * broken, not the tickets.
 */
static void
check_failures(Run *run)
{
	const char *failing[8];		/* that many things at most fail for more than 1 % each and are worth naming */
	int			count[lengthof(failing)];
	RunTicket  *first[lengthof(failing)];
	int			n = 0;

	if (run->ntickets < LARGE_BATCH)
		return;
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];
		int			at = 0;

		if (ticket->state != TICKET_FAILED || ticket->failing == NULL)
			continue;
		while (at < n && failing[at] != ticket->failing)
			at++;
		if (at == n && n < lengthof(failing))
		{
			failing[n] = ticket->failing;
			first[n] = ticket;
			count[n++] = 0;
		}
		if (at < n)
			count[at]++;
	}
	for (int at = 0; at < n; at++)
		if (count[at] > run->ntickets / 100)
			ereport(ERROR,
					(errcode(first[at]->error->sqlerrcode),
					 errmsg("\"%s\" fails for %d of %d tickets: %s", failing[at], count[at], run->ntickets, first[at]->error->message),
					 errdetail("The first is ticket \"%s\".", first[at]->key),
					 errhint("A rule or mapping that fails so often is broken; mend it and run again.")));
}

static void
start_batch(Run *run)
{
	MemoryContextReset(run->batch_context);
	run->tickets = MemoryContextAllocHuge(run->batch_context, sizeof(RunTicket) * SETTLE_BATCH);
	run->ntickets = 0;
}

static void
finish_batch(Run *run, RunSource *source)
{
	if (run->ntickets == 0)
		return;
	check_failures(run);
	settle_post_batch(run, source);
	if (settle_set_nparties(source->set) > SETTLE_KEEP_PARTIES)
	{
		settle_set_forget_parties(source->set);
		source->nparty_ids = 0;
	}
	start_batch(run);
}

/*
 * Marks the keys of a batch that another one follows.  A ticket whose mark is
 * set already may have come in an earlier batch of this pass, after the query
 * told which tickets have sheets: then it has some now.
 */
static void
mark_keys(Run *run)
{
	if (run->marks == NULL)
		run->marks = MemoryContextAllocZero(run->context, KEY_MARKS / 8);
	for (int i = 0; i < run->ntickets; i++)
	{
		const char *key = run->tickets[i].key;
		uint32		mark = hash_bytes((const unsigned char *) key, (int) strlen(key)) % KEY_MARKS;

		if (run->marks[mark / 8] & (1 << mark % 8))
			run->tickets[i].known = true;
		run->marks[mark / 8] |= 1 << mark % 8;
	}
}

/*
 * Evaluates and posts all rows of a query that gives rows of the source.
 */
static void
settle_rows(Run *run, RunSource *source, Reader *reader, const char *sql, int nargs, Oid *types, Datum *values)
{
	Portal		portal = SPI_cursor_open_with_args(NULL, sql, nargs, types, values, NULL, false, 0);

	/* a key that comes again within one pass is two rows; in the next pass it is the same ticket again */
	run->pass_after = run->last_sheet;
	start_batch(run);
	for (;;)
	{
		SPITupleTable *rows;
		uint64		n;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, CHUNK * 8);
		rows = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		for (uint64 from = 0; from < n; from += CHUNK)
		{
			uint64		to = Min(from + CHUNK, n);

			if (!evaluate_rows(reader, rows, from, to) && to - from > 1)
				for (uint64 i = from; i < to; i++)
					evaluate_rows(reader, rows, i, i + 1);
		}
		SPI_freetuptable(rows);
		if (run->ntickets > SETTLE_BATCH - CHUNK * 8)
		{
			mark_keys(run);
			finish_batch(run, source);
		}
	}
	if (run->marks != NULL)
		mark_keys(run);
	finish_batch(run, source);
	SPI_cursor_close(portal);
	if (run->marks != NULL)
		pfree(run->marks);
	run->marks = NULL;
}

/*
 * Makes the part of a query that gives the source's rows: key as text, what it
 * is looked up by, and the columns in use, numbered.
 */
char *
settle_source_query(Reader *reader, const char **lookup_type)
{
	RunSource  *source = reader->source;
	StringInfoData sql;
	const char *column;
	Oid			type;
	const char *key = settle_set_key(source->set, &column, &type);
	const Bitmapset *uses = settle_set_uses(source->set);
	TupleDesc	desc = settle_set_slot(source->set)->tts_tupleDescriptor;
	int			position = -1;

	initStringInfo(&sql);
	/* two keys are one only where every byte is, whatever the column's collation says; its index is under that collation */
	appendStringInfo(&sql, "SELECT (%s)::pg_catalog.text COLLATE pg_catalog.\"C\" AS source_key, %s AS lookup", key,
					 column == NULL ? psprintf("(%s)::pg_catalog.text", key) : quote_identifier(column));
	*lookup_type = column == NULL ? "pg_catalog.text" : format_type_be_qualified(type);
	reader->columns = palloc(sizeof(AttrNumber) * (bms_num_members(uses) + 1));
	reader->values = palloc(sizeof(Datum) * (bms_num_members(uses) + ROW_COLUMNS));
	reader->nulls = palloc(sizeof(bool) * (bms_num_members(uses) + ROW_COLUMNS));
	reader->ncolumns = 0;
	while ((position = bms_next_member(uses, position)) >= 0)
	{
		reader->columns[reader->ncolumns++] = position;
		appendStringInfo(&sql, ", %s AS c%d", quote_identifier(NameStr(TupleDescAttr(desc, position - 1)->attname)), position);
	}
	appendStringInfo(&sql, " FROM %s", source->relation_name);
	return sql.data;
}

static void
append_columns(StringInfo sql, Reader *reader)
{
	for (int i = 0; i < reader->ncolumns; i++)
		appendStringInfo(sql, ", s.c%d", reader->columns[i]);
}

/*
 * Settles the tickets of the given keys.
 */
void
settle_keys(Run *run, RunSource *source, ArrayType *keys)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), PointerGetDatum(keys)};
	const char *lookup_type;
	const char *rows = settle_source_query(&reader, &lookup_type);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT k.ticket_key, EXISTS (SELECT FROM %s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1 "
					 "AND h.ticket_key OPERATOR(pg_catalog.=) k.ticket_key) AS known, s.source_key", run->book.name);
	append_columns(&sql, &reader);
	appendStringInfo(&sql, " FROM (SELECT DISTINCT u.ticket_key FROM pg_catalog.unnest($2) AS u(ticket_key)) AS k "
					 "LEFT JOIN (%s) AS s ON s.lookup OPERATOR(pg_catalog.=) k.ticket_key::%s "
					 "AND s.source_key OPERATOR(pg_catalog.=) k.ticket_key", rows, lookup_type);
	settle_rows(run, source, &reader, sql.data, 2, types, values);
}

/*
 * Settles all tickets of a source: every row it has, and every ticket that has
 * sheets and no row any more.
 */
void
settle_all(Run *run, RunSource *source)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {INT2OID};
	Datum		values[] = {Int16GetDatum(source->id)};
	const char *lookup_type;
	const char *rows = settle_source_query(&reader, &lookup_type);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT k.ticket_key, k.ticket_key IS NOT NULL AS known, s.source_key");
	append_columns(&sql, &reader);
	/* a row without a key is no ticket; settle.check tells of it */
	appendStringInfo(&sql, " FROM (SELECT DISTINCT h.ticket_key FROM %s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1) AS k "
					 "FULL JOIN (SELECT * FROM (%s) AS a WHERE a.source_key IS NOT NULL) AS s ON s.source_key OPERATOR(pg_catalog.=) k.ticket_key", run->book.name, rows);
	settle_rows(run, source, &reader, sql.data, 1, types, values);
}

/*
 * Puts the row of one ticket into the slot of its source; false where there is
 * none.
 */
bool
settle_fetch_row(Run *run, RunSource *source, const char *key)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(key)};
	const char *lookup_type;
	const char *rows = settle_source_query(&reader, &lookup_type);
	TupleTableSlot *slot = settle_set_slot(source->set);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT s.source_key");
	append_columns(&sql, &reader);
	appendStringInfo(&sql, " FROM (%s) AS s WHERE s.lookup OPERATOR(pg_catalog.=) $1::%s AND s.source_key OPERATOR(pg_catalog.=) $1", rows, lookup_type);
	if (settle_book_execute(sql.data, 1, types, values, NULL, SPI_OK_SELECT) == 0)
		return false;
	heap_deform_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, reader.values, reader.nulls);
	fill_slot(&reader, slot, 2);
	return true;
}

/*
 * Evaluates every row of a source, keeping nothing.
 */
int64
settle_evaluate_all(Run *run, RunSource *source)
{
	Reader		reader = {.run = run, .source = source};
	const char *lookup_type;
	const char *rows;
	StringInfoData sql;
	Portal		portal;
	int64		nlines = 0;
	TupleTableSlot *slot = settle_set_slot(source->set);

	initStringInfo(&sql);
	rows = settle_source_query(&reader, &lookup_type);
	appendStringInfoString(&sql, "SELECT 1");
	append_columns(&sql, &reader);
	appendStringInfo(&sql, " FROM (%s) AS s", rows);
	portal = SPI_cursor_open_with_args(NULL, sql.data, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, CHUNK * 8);
		if (SPI_processed == 0)
			break;
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			SettleTicket ticket;

			heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, reader.values, reader.nulls);
			fill_slot(&reader, slot, 2);
			if (settle_evaluate_ticket(source->set, run->now, false, &ticket, NULL))
				nlines += ticket.nlines;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	return nlines;
}
