/*
 * read.c
 *		Reads rows of a source and evaluates them, a batch at a time.
 *
 * Tickets are evaluated in chunks, each inside a subtransaction that writes
 * nothing.  Where one fails, the chunk is repeated ticket by ticket.  Only the
 * columns that some expression uses are read.
 *
 * Where a source has rows that take back others, "reverses" names the ticket
 * of each: such a row is no ticket, and what it says below zero is taken from
 * the ticket's own row before that is evaluated.
 */
#include "settle/run.h"

#include "book/progress.h"
#include "book/rows.h"
#include "common/hashfn.h"
#include "expr/expr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "settle/receive.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

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
	into->channel = ticket->channel == NULL ? NULL : (struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(ticket->channel));
	into->revenue = ticket->revenue;
	into->cost = ticket->cost;
	into->currency = ticket->currency;
	into->order_ref = ticket->order_ref == NULL ? NULL : pstrdup(ticket->order_ref);
	into->rework_of = ticket->rework_of == NULL ? NULL : pstrdup(ticket->rework_of);
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
		to->count = to->in_tally || settle_dec_sign(to->base) != 0 || settle_dec_sign(to->amount) != 0 ? 1 : 0;
	}
	into->revenue = settle_dec_keep(into->revenue);
	into->cost = settle_dec_keep(into->cost);
}

/*
 * How rows of a source come in: the ticket's key, whether it may have sheets, the
 * key again as the source gives it (null: vanished), where it stands in its
 * order, whether rows take from it, then the columns in use and what is taken
 * from them.
 */
#define ROW_KEY		1
#define ROW_KNOWN	2
#define ROW_SOURCE	3
#define ROW_DUPLICATE	4
#define ROW_ORDER	5
#define ROW_PROJECT	6
#define ROW_READY_AT	7
#define ROW_REVERSED	8
#define ROW_COLUMNS	9

/*
 * Takes from a column what reversing rows say below zero in it.
 */
static Datum
take_back(Datum value, Oid type, Numeric amount)
{
	static const PGFunction widen[] = {int2_numeric, int4_numeric, int8_numeric};
	static const PGFunction narrow[] = {numeric_int2, numeric_int4, numeric_int8};
	int			width = type == INT2OID ? 0 : type == INT4OID ? 1 : type == INT8OID ? 2 : -1;
	Datum		number = width < 0 ? value : DirectFunctionCall1(widen[width], value);

	number = DirectFunctionCall2(numeric_add, number, NumericGetDatum(amount));
	return width < 0 ? number : DirectFunctionCall1(narrow[width], number);
}

/*
 * Puts the columns of the row where the engine reads them, less what is taken
 * from them, which follows, and says who answers for facts.
 */
static void
fill_slot(Reader *reader, TupleTableSlot *slot, const Datum *values, const bool *nulls, bool reversed)
{
	/* held here, since what is stored might be one of them for all the compiler knows */
	const AttrNumber *columns = reader->columns;
	int			ncolumns = reader->ncolumns;
	Datum	   *slot_values = slot->tts_values;
	bool	   *slot_nulls = slot->tts_isnull;

	for (int i = 0; i < ncolumns; i++)
	{
		slot_values[columns[i] - 1] = values[i];
		slot_nulls[columns[i] - 1] = nulls[i];
	}
	for (int i = 0; reversed && i < reader->namounts; i++)
	{
		int			column = reader->columns[reader->amounts[i]] - 1;
		int			taken = reader->ncolumns + i;

		if (!slot->tts_isnull[column] && !nulls[taken])
			slot->tts_values[column] = take_back(slot->tts_values[column], reader->amount_types[i], DatumGetNumeric(values[taken]));
	}
	/* a row that was fetched since may have been a view's, which evaluates with other facts */
	settle_set_ask(reader->source->set, reader->run->reader);
}

/*
 * Makes the ticket one that cannot be settled as it stands.
 */
static void
fail_ticket(RunTicket *ticket, const char *failing, int sqlerrcode, const char *message, const char *detail, const char *hint)
{
	ticket->state = TICKET_FAILED;
	ticket->nlines = 0;
	ticket->failing = failing;
	ticket->error = palloc0(sizeof(ErrorData));
	ticket->error->sqlerrcode = sqlerrcode;
	ticket->error->message = unconstify(char *, message);
	ticket->error->detail = unconstify(char *, detail);
	ticket->error->hint = unconstify(char *, hint);
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
read_ticket(Reader *reader, Datum *values, bool *nulls)
{
	Run		   *run = reader->run;
	RunTicket  *ticket = &run->tickets[run->ntickets];
	TupleTableSlot *slot = settle_set_slot(reader->source->set);
	SettleTicket *said = &reader->said;
	bool		is_long;

	memset(ticket, 0, sizeof(*ticket));
	ticket->period = said->period = DATEVAL_NOBEGIN;
	ticket->key = TextDatumGetCString(values[nulls[ROW_KEY - 1] ? ROW_SOURCE - 1 : ROW_KEY - 1]);
	is_long = clip_key(ticket);
	ticket->known = DatumGetBool(values[ROW_KNOWN - 1]);
	ticket->reversed = DatumGetBool(values[ROW_REVERSED - 1]);
	if (!nulls[ROW_ORDER - 1])
	{
		ticket->place = palloc(sizeof(OrderPlace));
		ticket->place->order_ref = TextDatumGetCString(values[ROW_ORDER - 1]);
		ticket->place->project = TextDatumGetCString(values[ROW_PROJECT - 1]);
		ticket->place->ready_at = DatumGetTimestampTz(values[ROW_READY_AT - 1]);
		if (!nulls[ROW_DUPLICATE - 1])
			ticket->duplicate_of = TextDatumGetCString(values[ROW_DUPLICATE - 1]);
	}
	if (nulls[ROW_SOURCE - 1])
	{
		ticket->state = TICKET_VANISHED;
		run->ntickets++;
		return;
	}
	if (is_long)
	{
		fail_ticket(ticket, "key", ERRCODE_SETTLE_BAD_TICKET, psprintf("a key of source \"%s\" is too long", reader->source->name),
					psprintf("A key has at most %d bytes.", SETTLE_MAX_KEY), NULL);
		run->ntickets++;
		return;
	}
	fill_slot(reader, slot, values + ROW_COLUMNS - 1, nulls + ROW_COLUMNS - 1, ticket->reversed);
	settle_set_duplicate_of(reader->source->set, ticket->duplicate_of);

	if (settle_evaluate_ticket(reader->source->set, run->now, false, said, NULL))
	{
		keep_ticket(ticket, said, run->now);
		if (ticket->reversed && settle_dec_sign(said->revenue) < 0)
			fail_ticket(ticket, "reverses", ERRCODE_SETTLE_REVERSAL, psprintf("rows take back more than ticket \"%s\" had", ticket->key),
						psprintf("Its revenue would be %s.", settle_dec_out(settle_dec_trim(said->revenue))),
						"Look for a refund that was entered twice.");
		ticket->inputs = run->keep_inputs ? settle_ticket_inputs(reader->source->set) : settle_ticket_inputs_digest(reader->source->set);
		reader->source->has_inputs = true;
	}
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
bool
settle_is_error_of_ticket(int sqlerrcode)
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
evaluate_some(Reader *reader, const SettleRows *rows, int from, int to)
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
		for (int i = from; i < to; i++)
			read_ticket(reader, rows->values[i], rows->nulls[i]);
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
		if (!settle_is_error_of_ticket(error->sqlerrcode))
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
 * Evaluates rows in chunks; those of one that fails, one by one.
 */
static void
evaluate_rows(Reader *reader, const SettleRows *rows)
{
	if (settle_set_needs_settings(reader->source->set))
		settle_env_need();
	for (int from = 0; from < rows->n; from += CHUNK)
	{
		int			to = Min(from + CHUNK, rows->n);

		if (!evaluate_some(reader, rows, from, to) && to - from > 1)
			for (int i = from; i < to; i++)
				evaluate_some(reader, rows, i, i + 1);
		settle_progress_add(to - from);
	}
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
start_batch(Run *run, int space)
{
	MemoryContextReset(run->batch_context);
	run->tickets = MemoryContextAllocHuge(run->batch_context, sizeof(RunTicket) * space);
	run->ntickets = 0;
}

static void
finish_batch(Run *run, RunSource *source)
{
	if (run->ntickets == 0)
		return;
	check_failures(run);
	settle_progress_phase(SETTLE_POSTING);
	/* what statements leave behind goes with the batch */
	SPI_connect();
	settle_post_batch(run, source);
	SPI_finish();
	settle_progress_phase(SETTLE_EVALUATING);
	if (settle_set_nparties(source->set) > SETTLE_KEEP_PARTIES)
	{
		settle_set_forget_parties(source->set);
		source->nparty_ids = 0;
	}
}

/*
 * Finds the two bits that a key is known by.
 */
static void
find_marks(const char *key, uint32 marks[2])
{
	uint64		hash = hash_bytes_extended((const unsigned char *) key, (int) strlen(key), 0);

	marks[0] = (uint32) hash % KEY_MARKS;
	marks[1] = (uint32) (hash >> 32) % KEY_MARKS;
}

static bool
is_marked(const Run *run, const char *key)
{
	uint32		marks[2];

	find_marks(key, marks);
	return (run->marks[marks[0] / 8] & (1 << marks[0] % 8)) && (run->marks[marks[1] / 8] & (1 << marks[1] % 8));
}

static void
mark_key(Run *run, const char *key)
{
	uint32		marks[2];

	find_marks(key, marks);
	run->marks[marks[0] / 8] |= 1 << marks[0] % 8;
	run->marks[marks[1] / 8] |= 1 << marks[1] % 8;
}

/*
 * Marks the keys of a batch where a pass has several.  A ticket whose key may
 * have come in an earlier one leaves the batch: after the pass all rows of its
 * key are looked at together, for two of them are a problem.  Where that is done
 * already, it may have sheets now that the query did not know of.
 */
static void
mark_keys(Run *run)
{
	bool	   *may_repeat = palloc(sizeof(bool) * Max(run->ntickets, 1));
	int			kept = 0;

	if (run->marks == NULL)
		run->marks = MemoryContextAllocZero(run->context, KEY_MARKS / 8);
	/* rows of one key in one batch are compared there */
	for (int i = 0; i < run->ntickets; i++)
		may_repeat[i] = is_marked(run, run->tickets[i].key);
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];

		mark_key(run, ticket->key);
		if (may_repeat[i] && !run->settling_again && strlen(ticket->key) <= SETTLE_MAX_KEY)
		{
			MemoryContext old = MemoryContextSwitchTo(run->context);

			run->again = lappend(run->again, pstrdup(ticket->key));
			MemoryContextSwitchTo(old);
			continue;
		}
		ticket->known |= may_repeat[i];
		if (kept < i)
			run->tickets[kept] = *ticket;
		kept++;
	}
	run->ntickets = kept;
	pfree(may_repeat);
}

static int
compare_keys(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/*
 * Settles what is to be settled once more, so few keys at a time that all rows
 * of one come in the same batch.
 */
static void
settle_again(Run *run, RunSource *source)
{
	List	   *keys = run->again;
	bool		outer = run->settling_again;
	Datum	   *datums;
	const char *last = NULL;
	int			n = 0;
	ListCell   *lc;

	run->again = NIL;
	if (keys == NIL)
		return;
	datums = palloc(sizeof(Datum) * list_length(keys));
	list_sort(keys, compare_keys);
	foreach(lc, keys)
	{
		if (last == NULL || strcmp(last, lfirst(lc)) != 0)
			datums[n++] = CStringGetTextDatum((char *) lfirst(lc));
		last = lfirst(lc);
	}
	run->settling_again = true;
	for (int from = 0; from < n; from += SETTLE_BATCH / 4)
		settle_keys(run, source, construct_array(datums + from, Min(n - from, SETTLE_BATCH / 4), TEXTOID, -1, false, TYPALIGN_INT));
	run->settling_again = outer;
	list_free_deep(keys);
}

/*
 * Evaluates and posts all rows of a query that gives rows of the source, then
 * the tickets that others of their order have made duplicates, or none any more.
 */
static void
settle_rows(Run *run, RunSource *source, Reader *reader, const char *sql, int nargs, Oid *types, Datum *values)
{
	Portal		portal = settle_book_open(sql, nargs, types, values);
	SettleRows *rows = settle_rows_make(portal->tupDesc, CHUNK);

	/* a key that comes again within one pass is two rows; in the next pass it is the same ticket again */
	run->pass_after = run->last_sheet;
	start_batch(run, SETTLE_BATCH);
	settle_progress_phase(SETTLE_EVALUATING);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		settle_rows_empty(rows);
		if (settle_receive(portal, CHUNK, settle_rows_gather, rows) == 0)
			break;
		evaluate_rows(reader, rows);
		if (run->ntickets > SETTLE_BATCH - CHUNK)
		{
			mark_keys(run);
			finish_batch(run, source);
			start_batch(run, SETTLE_BATCH);
		}
	}
	if (run->marks != NULL)
		mark_keys(run);
	finish_batch(run, source);
	SPI_cursor_close(portal);
	if (run->marks != NULL)
		pfree(run->marks);
	run->marks = NULL;
	settle_again(run, source);
}

/*
 * Finds out which columns of the source are in use, and makes room for a row.
 */
static void
list_columns(Reader *reader)
{
	const Bitmapset *uses = settle_set_uses(reader->source->set);
	int			n = bms_num_members(uses);
	int			position = -1;

	reader->columns = palloc(sizeof(AttrNumber) * (n + 1));
	reader->ncolumns = reader->namounts = 0;
	while ((position = bms_next_member(uses, position)) >= 0)
		reader->columns[reader->ncolumns++] = position;
}

/*
 * Makes the part of a query that gives the source's tickets: key as text, what
 * it is looked up by, and the columns in use, numbered.  A WHERE may follow.
 */
char *
settle_source_query(Reader *reader, const char **lookup_type)
{
	RunSource  *source = reader->source;
	StringInfoData sql;
	const char *column;
	Oid			type;
	Oid			reverses_type;
	const char *reverses = settle_set_reverses(source->set, &column, &reverses_type);
	const char *key = settle_set_key(source->set, &column, &type);
	TupleDesc	desc = settle_set_slot(source->set)->tts_tupleDescriptor;

	initStringInfo(&sql);
	/* two keys are one only where every byte is, whatever the column's collation says; its index is under that collation */
	appendStringInfo(&sql, "SELECT (%s)::pg_catalog.text COLLATE pg_catalog.\"C\" AS source_key, %s AS lookup", key,
					 column == NULL ? psprintf("(%s)::pg_catalog.text", key) : quote_identifier(column));
	*lookup_type = column == NULL ? "pg_catalog.text" : format_type_be_qualified(type);
	list_columns(reader);
	reader->has_reversals = reverses != NULL;
	reader->amounts = palloc(sizeof(int) * (reader->ncolumns + 1));
	reader->amount_types = palloc(sizeof(Oid) * (reader->ncolumns + 1));
	for (int i = 0; i < reader->ncolumns; i++)
	{
		AttrNumber	position = reader->columns[i];

		if (reverses != NULL && bms_is_member(position, settle_set_amounts(source->set)))
		{
			reader->amounts[reader->namounts] = i;
			reader->amount_types[reader->namounts++] = getBaseType(TupleDescAttr(desc, position - 1)->atttypid);
		}
		appendStringInfo(&sql, ", %s AS c%d", quote_identifier(NameStr(TupleDescAttr(desc, position - 1)->attname)), position);
	}
	/* a row that takes a ticket back is none itself */
	if (reverses != NULL)
		appendStringInfo(&sql, " FROM (SELECT * FROM %s WHERE (%s) IS NULL) AS tickets", source->relation_name, reverses);
	else
		appendStringInfo(&sql, " FROM %s", source->relation_name);
	return sql.data;
}

/*
 * Makes the part of a query that gives, for every row of the source, the key of
 * the ticket that it is or takes from.  A WHERE may follow.
 */
char *
settle_source_keys(const RunSource *source)
{
	const char *column;
	Oid			type;
	const char *key = settle_set_key(source->set, &column, &type);
	const char *reverses = settle_set_reverses(source->set, &column, &type);

	if (reverses != NULL)
		key = psprintf("coalesce((%s)::pg_catalog.text, (%s)::pg_catalog.text)", reverses, key);
	return psprintf("SELECT (%s)::pg_catalog.text COLLATE pg_catalog.\"C\" AS source_key FROM %s", key, source->relation_name);
}

/*
 * Spells a key as what it is looked up by.  Keys of one column may come from
 * another one, of another type: then some of them name nothing.
 */
static const char *
key_as(const RunSource *source, const char *key, Oid type)
{
	const char *column;
	Oid			key_type;
	Oid			reverses_type = InvalidOid;
	const char *name = format_type_be_qualified(type);

	(void) settle_set_key(source->set, &column, &key_type);
	if (settle_set_reverses(source->set, &column, &reverses_type) == NULL || key_type == reverses_type || type == TEXTOID || type == VARCHAROID)
		return psprintf("%s::%s", key, name);
	if (type == UUIDOID)
		return psprintf("CASE WHEN %1$s OPERATOR(pg_catalog.~) '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN %1$s::%2$s END", key, name);
	return psprintf("CASE WHEN %1$s OPERATOR(pg_catalog.~) '^-?[0-9]{1,18}$' OR %1$s OPERATOR(pg_catalog.~) '^-?[0-9]{19}$' "
					"AND pg_catalog.ltrim(%1$s, '-') COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.<=) '9223372036854775807' "
					"THEN %1$s::pg_catalog.int8 END", key);
}

/*
 * Appends what is read of a ticket whose key is given: known to read_ticket.
 */
static void
append_columns(StringInfo sql, Reader *reader, bool with_orders)
{
	appendStringInfo(sql, ", s.source_key, %s, %s", with_orders ? "o.duplicate_of, o.order_ref, o.project, o.ready_at" : "NULL, NULL, NULL, NULL",
					 reader->has_reversals ? "x.reversed IS NOT NULL" : "false");
	for (int i = 0; i < reader->ncolumns; i++)
		appendStringInfo(sql, ", s.c%d", reader->columns[i]);
	for (int i = 0; i < reader->namounts; i++)
		appendStringInfo(sql, ", x.c%d", reader->columns[reader->amounts[i]]);
}

/*
 * Appends the sums that reversing rows take, by ticket; those of the keys in
 * $2, where there are such.
 */
static void
append_reversals(StringInfo sql, Reader *reader, bool of_keys)
{
	const char *column;
	Oid			type;
	const char *reverses = settle_set_reverses(reader->source->set, &column, &type);
	TupleDesc	desc = settle_set_slot(reader->source->set)->tts_tupleDescriptor;

	appendStringInfoString(sql, "(SELECT r.reversed");
	for (int i = 0; i < reader->namounts; i++)
		appendStringInfo(sql, ", sum(least(r.c%1$d, 0))::pg_catalog.numeric AS c%1$d", reader->columns[reader->amounts[i]]);
	appendStringInfo(sql, " FROM (SELECT (%s)::pg_catalog.text COLLATE pg_catalog.\"C\" AS reversed, %s AS lookup", reverses,
					 column == NULL ? psprintf("(%s)::pg_catalog.text", reverses) : quote_identifier(column));
	for (int i = 0; i < reader->namounts; i++)
	{
		int			position = reader->columns[reader->amounts[i]];

		appendStringInfo(sql, ", %s AS c%d", quote_identifier(NameStr(TupleDescAttr(desc, position - 1)->attname)), position);
	}
	appendStringInfo(sql, " FROM %s) AS r ", reader->source->relation_name);
	if (of_keys)
		appendStringInfo(sql, "JOIN (SELECT DISTINCT u.ticket_key FROM pg_catalog.unnest($2) AS u(ticket_key)) AS q "
						 "ON r.lookup OPERATOR(pg_catalog.=) %s AND r.reversed OPERATOR(pg_catalog.=) q.ticket_key",
						 key_as(reader->source, "q.ticket_key", column == NULL ? TEXTOID : type));
	else
		appendStringInfoString(sql, "WHERE r.reversed IS NOT NULL");
	appendStringInfoString(sql, " GROUP BY r.reversed) AS x");
}

/*
 * Makes the column that tells whether a ticket may have sheets: where any of its
 * source has.  Which ones do is found out where sheets are read.
 */
static const char *
known_column(const Run *run)
{
	return psprintf("(SELECT true FROM %s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1 LIMIT 1) IS NOT NULL", run->book.name);
}

/*
 * Makes the query that gives the tickets of the keys in $2 of the source in $1.
 */
static char *
keys_query(Reader *reader)
{
	RunSource  *source = reader->source;
	const char *book = reader->run->book.name;
	bool		with_orders = settle_source_has_orders(reader->run, source);
	const char *column;
	Oid			type;
	const char *lookup_type;
	const char *rows = settle_source_query(reader, &lookup_type);
	StringInfoData sql;

	(void) settle_set_key(source->set, &column, &type);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT k.ticket_key, %s", known_column(reader->run));
	append_columns(&sql, reader, with_orders);
	/* in the order of keys, which is that of the indexes that are read and written */
	appendStringInfo(&sql, " FROM (SELECT d.ticket_key COLLATE pg_catalog.\"default\" AS ticket_key FROM (SELECT DISTINCT u.ticket_key COLLATE pg_catalog.\"C\" AS ticket_key "
					 "FROM pg_catalog.unnest($2) AS u(ticket_key) ORDER BY 1) AS d) AS k "
					 "LEFT JOIN (%s) AS s ON s.lookup OPERATOR(pg_catalog.=) %s "
					 "AND s.source_key OPERATOR(pg_catalog.=) k.ticket_key", rows, key_as(source, "k.ticket_key", column == NULL ? TEXTOID : type));
	if (with_orders)
		appendStringInfo(&sql, " LEFT JOIN %s.order_ticket AS o ON o.source_id OPERATOR(pg_catalog.=) $1 AND o.ticket_key OPERATOR(pg_catalog.=) k.ticket_key", book);
	if (reader->has_reversals)
	{
		appendStringInfoString(&sql, " LEFT JOIN ");
		append_reversals(&sql, reader, true);
		appendStringInfoString(&sql, " ON x.reversed OPERATOR(pg_catalog.=) k.ticket_key");
	}
	return sql.data;
}

/* ---- few tickets, looked up one by one ---- */

/*
 * Makes the value of the column that a key spells.
 */
static Datum
column_value(Datum key, Oid type)
{
	Oid			input;
	Oid			parameter;

	if (type == TEXTOID || type == VARCHAROID)
		return key;
	getTypeInputInfo(type, &input, &parameter);
	return OidInputFunctionCall(input, TextDatumGetCString(key), parameter, -1);
}

/*
 * Tells whether the column of a row spells a key byte for byte, whatever its
 * collation says.
 */
static bool
spells_key(Datum value, Form_pg_attribute column, Datum key)
{
	text	   *a;
	text	   *b;

	if (column->atttypid != TEXTOID && column->atttypid != VARCHAROID)
		return datumIsEqual(value, key, column->attbyval, column->attlen);
	a = DatumGetTextPP(key);
	b = DatumGetTextPP(value);
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) && memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * Takes the columns in use from a row, where its column "at" has the key.
 */
static bool
take_row(Reader *reader, TupleTableSlot *row, AttrNumber at, Datum key, Datum *values, bool *nulls)
{
	bool		isnull;
	Datum		spelt = slot_getattr(row, at, &isnull);

	if (isnull || !spells_key(spelt, TupleDescAttr(row->tts_tupleDescriptor, at - 1), key))
		return false;
	values[ROW_SOURCE - 1] = values[ROW_KEY - 1];
	nulls[ROW_SOURCE - 1] = false;
	for (int i = 0; i < reader->ncolumns; i++)
	{
		Form_pg_attribute a = TupleDescAttr(row->tts_tupleDescriptor, reader->columns[i] - 1);
		Datum		value = slot_getattr(row, reader->columns[i], &nulls[ROW_COLUMNS - 1 + i]);

		values[ROW_COLUMNS - 1 + i] = nulls[ROW_COLUMNS - 1 + i] ? (Datum) 0 : datumCopy(value, a->attbyval, a->attlen);
	}
	return true;
}

/*
 * Reads the row of one ticket as the query of keys_query would give it; false
 * where that has to be asked.
 */
static bool
look_up(Reader *reader, Datum key, Datum *values, bool *nulls)
{
	static const SettleLookup sheets = {"sheet", {{"source_id", INT2OID}, {"ticket_key", TEXTOID}}};
	static const SettleLookup places = {"order_ticket", {{"source_id", INT2OID}, {"ticket_key", TEXTOID}},
		{{"duplicate_of", TEXTOID}, {"order_ref", TEXTOID}, {"project", TEXTOID}, {"ready_at", TIMESTAMPTZOID}}};
	Run		   *run = reader->run;
	RunSource  *source = reader->source;
	Datum		keys[] = {Int16GetDatum(source->id), key};
	const char *column;
	Oid			type;
	AttrNumber	at;
	SettleScan	scan;
	SettleFound found;

	(void) settle_set_key(source->set, &column, &type);
	memset(nulls, true, sizeof(bool) * (ROW_COLUMNS + reader->ncolumns));
	values[ROW_KEY - 1] = key;
	values[ROW_REVERSED - 1] = BoolGetDatum(false);
	nulls[ROW_KEY - 1] = nulls[ROW_KNOWN - 1] = nulls[ROW_REVERSED - 1] = false;

	found = settle_find_row(&run->book, &sheets, keys, NULL, NULL);
	values[ROW_KNOWN - 1] = BoolGetDatum(found == SETTLE_FOUND);
	if (found == SETTLE_ASK)
		return false;
	if (settle_set_has_orders(source->set) &&
		settle_find_row(&run->book, &places, keys, &values[ROW_DUPLICATE - 1], &nulls[ROW_DUPLICATE - 1]) == SETTLE_ASK)
		return false;

	at = get_attnum(source->relation, column);
	key = column_value(key, type);
	if (run->row != NULL && run->row->tts_tableOid == source->relation &&
		settle_row_stands(source->relation, column, run->row) && take_row(reader, run->row, at, key, values, nulls))
		return true;
	if (!settle_scan_unique(&scan, source->relation, column, key))
		return false;
	while (settle_scan_next(&scan))
		(void) take_row(reader, scan.slot, at, key, values, nulls);
	settle_scan_end(&scan);
	return true;
}

/*
 * Tells whether a key is the value of one column, by which its row can be
 * looked up.
 */
static bool
is_plain_key(const RunSource *source)
{
	const char *column;
	Oid			type;

	if (settle_set_reverses(source->set, &column, &type) != NULL)
		return false;
	(void) settle_set_key(source->set, &column, &type);
	return column != NULL && (type == TEXTOID || type == VARCHAROID || type == UUIDOID || type == INT2OID || type == INT4OID || type == INT8OID);
}

/*
 * Settles a few tickets, whose rows are looked up one by one; false, and nothing
 * done, where that takes a query.
 */
static bool
settle_few(Reader *reader, ArrayType *array)
{
	Run		   *run = reader->run;
	SettleRows	rows = {0};
	Datum	   *keys;
	int			n;

	if (!is_plain_key(reader->source))
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, &n);
	list_columns(reader);
	start_batch(run, n);
	rows.values = palloc(sizeof(Datum *) * n);
	rows.nulls = palloc(sizeof(bool *) * n);
	for (int i = 0; i < n; i++)
	{
		rows.values[i] = palloc(sizeof(Datum) * (ROW_COLUMNS + reader->ncolumns));
		rows.nulls[i] = palloc(sizeof(bool) * (ROW_COLUMNS + reader->ncolumns));
		if (!look_up(reader, keys[i], rows.values[i], rows.nulls[i]))
			return false;
	}
	rows.n = n;
	run->pass_after = run->last_sheet;
	evaluate_rows(reader, &rows);
	finish_batch(run, reader->source);
	settle_again(run, reader->source);
	return true;
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

	if (settle_book_asks_little() && settle_few(&reader, keys))
		return;
	settle_rows(run, source, &reader, keys_query(&reader), 2, types, values);
}

/*
 * Appends what is read of a ticket beside its row, which is found by its key.
 */
static void
append_joins(StringInfo sql, Reader *reader, bool with_orders, const char *key)
{
	if (reader->has_reversals)
	{
		appendStringInfoString(sql, " LEFT JOIN ");
		append_reversals(sql, reader, false);
		appendStringInfo(sql, " ON x.reversed OPERATOR(pg_catalog.=) %s", key);
	}
	if (with_orders)
		appendStringInfo(sql, " LEFT JOIN %s.order_ticket AS o ON o.source_id OPERATOR(pg_catalog.=) $1 "
						 "AND o.ticket_key OPERATOR(pg_catalog.=) %s", reader->run->book.name, key);
}

/*
 * Settles all tickets of a source: every row as it lies there, which is much the
 * order of its sheets, then every ticket that has sheets or is taken from and
 * has no row.
 */
void
settle_all(Run *run, RunSource *source)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {INT2OID};
	Datum		values[] = {Int16GetDatum(source->id)};
	bool		with_orders = settle_source_has_orders(run, source);
	const char *lookup_type;
	/* a row without a key is no ticket; settle.check tells of it */
	const char *rows = psprintf("(SELECT * FROM (%s) AS a WHERE a.source_key IS NOT NULL)", settle_source_query(&reader, &lookup_type));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT NULL::pg_catalog.text, %s", known_column(run));
	append_columns(&sql, &reader, with_orders);
	appendStringInfo(&sql, " FROM %s AS s", rows);
	append_joins(&sql, &reader, with_orders, "s.source_key");

	appendStringInfoString(&sql, " UNION ALL SELECT k.ticket_key, true");
	append_columns(&sql, &reader, with_orders);
	appendStringInfo(&sql, " FROM (SELECT DISTINCT v.ticket_key FROM (SELECT h.ticket_key FROM %s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1", run->book.name);
	if (reader.has_reversals)
	{
		appendStringInfoString(&sql, " UNION ALL SELECT x.reversed FROM ");
		append_reversals(&sql, &reader, false);
	}
	appendStringInfo(&sql, ") AS v LEFT JOIN %1$s AS g ON g.source_key OPERATOR(pg_catalog.=) v.ticket_key WHERE g.source_key IS NULL) AS k LEFT JOIN %1$s AS s ON false", rows);
	append_joins(&sql, &reader, with_orders, "k.ticket_key");
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
	Datum		keys[] = {CStringGetTextDatum(key)};
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		args[] = {Int16GetDatum(source->id), settle_array_of(TEXTOID, keys, 1)};
	Datum	   *values;
	bool	   *nulls;

	settle_book_execute(keys_query(&reader), 2, types, args, NULL, SPI_OK_SELECT);
	values = palloc(sizeof(Datum) * SPI_tuptable->tupdesc->natts);
	nulls = palloc(sizeof(bool) * SPI_tuptable->tupdesc->natts);
	heap_deform_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, values, nulls);
	if (nulls[ROW_SOURCE - 1])
		return false;
	fill_slot(&reader, settle_set_slot(source->set), values + ROW_COLUMNS - 1, nulls + ROW_COLUMNS - 1, DatumGetBool(values[ROW_REVERSED - 1]));
	settle_set_duplicate_of(source->set, nulls[ROW_DUPLICATE - 1] ? NULL : TextDatumGetCString(values[ROW_DUPLICATE - 1]));
	return true;
}

/* What settle_evaluate_all does with each row. */
typedef struct Evaluating
{
	Reader		reader;
	int64		nlines;
} Evaluating;

static void
evaluate_row(void *arg, Datum *values, bool *nulls)
{
	Evaluating *evaluating = arg;
	Reader	   *reader = &evaluating->reader;

	fill_slot(reader, settle_set_slot(reader->source->set), values + 1, nulls + 1, false);
	if (settle_evaluate_ticket(reader->source->set, reader->run->now, false, &reader->said, NULL))
		evaluating->nlines += reader->said.nlines;
}

/*
 * Evaluates every row of a source, keeping nothing: so each is evaluated where
 * it comes.
 */
int64
settle_evaluate_all(Run *run, RunSource *source)
{
	Evaluating	evaluating = {.reader = {.run = run, .source = source}};
	const char *lookup_type;
	const char *rows = settle_source_query(&evaluating.reader, &lookup_type);
	StringInfoData sql;
	Portal		portal;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT 1");
	for (int i = 0; i < evaluating.reader.ncolumns; i++)
		appendStringInfo(&sql, ", s.c%d", evaluating.reader.columns[i]);
	appendStringInfo(&sql, " FROM (%s) AS s", rows);
	portal = settle_book_open(sql.data, 0, NULL, NULL);
	while (settle_receive(portal, SETTLE_BATCH, evaluate_row, &evaluating) > 0)
		CHECK_FOR_INTERRUPTS();
	SPI_cursor_close(portal);
	return evaluating.nlines;
}
