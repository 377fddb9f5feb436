/*
 * run.c
 *		One execution of a settlement: taking tickets, reading and evaluating
 *		them.
 *
 * Locking is what a maintainer must know.  The gate comes first, in its own
 * statement, before anything is read: SHARE ROW EXCLUSIVE by a run, ROW
 * EXCLUSIVE by tickets that settle at commit, so that runs exclude each other
 * and posters at commit, and posters go beside each other.  Every statement
 * after it takes a fresh snapshot, so it sees what the one before us in the
 * gate has posted.  Then pending and waiting, parties, tallies (created, then
 * locked in the order of their key), inserts.
 *
 * Tickets are evaluated in chunks, each inside a subtransaction that writes
 * nothing.  Where one fails, the chunk is repeated ticket by ticket.
 */
#include "settle/settle.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Tickets evaluated in one subtransaction. */
#define CHUNK			256
/* Keys of pending tickets taken at a time. */
#define WINDOW			500000
/* Bytes that a key has at most; an index of the book takes no more than 2,704. */
#define MAX_KEY			1000
/* Bits by which a pass of several batches knows a key that comes again. */
#define KEY_MARKS		(64 * 1024 * 1024)
/* A batch of at least this size in which one rule fails for more than 1 % stops the run. */
#define LARGE_BATCH		1000

/* ---- small helpers ---- */

/*
 * Makes an array of values of one type.
 */
Datum
settle_array_of(Oid type, Datum *datums, int n)
{
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_array(datums, n, type, len, byval, align));
}

static uint64
query(const char *sql)
{
	return settle_book_execute(sql, 0, NULL, NULL, NULL, SPI_OK_SELECT);
}

/*
 * Locks the gate of the book.
 */
static void
pass_gate(const SettleBook *book, bool at_commit)
{
	Oid			gate;

	if (IsolationUsesXactSnapshot() && !at_commit)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("a run cannot be made in isolation level %s", XactIsoLevel == XACT_SERIALIZABLE ? "serializable" : "repeatable read"),
				 errdetail("It must see what the run before it has posted, and the snapshot of this transaction may be older."),
				 errhint("Use read committed.")));
	gate = get_relname_relid("gate", book->schema);
	if (!OidIsValid(gate))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"gate\" of book \"%s\" is missing", book->label),
				 errhint("Runs exclude each other by it: CREATE TABLE %s.gate ().", book->name)));
	LockRelationOid(gate, at_commit ? RowExclusiveLock : ShareRowExclusiveLock);
}

/*
 * Asks for one number as all see it that is committed by now, whatever the
 * snapshot of this transaction.
 */
static int64
latest_number(const char *sql, int nargs, Oid *types, Datum *values)
{
	MemoryContext old = CurrentMemoryContext;
	int			result;
	bool		isnull;

	PushActiveSnapshot(GetLatestSnapshot());
	result = SPI_execute_with_args(sql, nargs, types, values, NULL, true, 0);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	if (result != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return DatumGetInt64(settle_spi_datum(0, 1, &isnull));
}

/*
 * Raises 40001 where the rules of a poster at commit are no longer those of
 * the book.  Others may then have settled with a version that this one does
 * not know of, in a tally that the two share.  Whoever holds the tally's rows
 * when he asks is right until he commits: the others wait for them.
 */
void
settle_run_check_rules(Run *run)
{
	if (latest_number(psprintf("SELECT b.rule_revision FROM %s.book AS b", run->book.name), 0, NULL, NULL) != run->rule_revision)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: the rules of book \"%s\" have changed", run->book.label),
				 errhint("Repeat the transaction.")));
}

/*
 * Raises 40001 where somebody has posted one of the tickets since the snapshot
 * of this transaction was taken.
 */
static void
check_snapshot(Run *run, RunSource *source, ArrayType *keys)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), PointerGetDatum(keys)};
	const char *sql = psprintf("SELECT pg_catalog.count(*) FROM %s.sheet AS s WHERE s.source_id OPERATOR(pg_catalog.=) $1 "
							   "AND s.ticket_key OPERATOR(pg_catalog.=) ANY ($2)", run->book.name);
	bool		isnull;

	settle_run_check_rules(run);
	settle_book_execute(sql, 2, types, values, NULL, SPI_OK_SELECT);
	if (DatumGetInt64(settle_spi_datum(0, 1, &isnull)) != latest_number(sql, 2, types, values))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: a ticket of source \"%s\" has been settled meanwhile", source->name),
				 errhint("Repeat the transaction.")));
}

/* ---- setting up ---- */

/*
 * Compiles the rules for a source that takes part and maps its rules to the
 * numbers they have in the book.
 */
static RunSource *
open_source(Run *run, int row)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	RunSource  *source = palloc0(sizeof(RunSource));
	bool		isnull;
	const char *on_delete;

	source->id = DatumGetInt16(settle_spi_datum(row, 1, &isnull));
	source->name = pstrdup(NameStr(*DatumGetName(settle_spi_datum(row, 2, &isnull))));
	source->relation = DatumGetObjectId(settle_spi_datum(row, 3, &isnull));
	on_delete = TextDatumGetCString(settle_spi_datum(row, 4, &isnull));
	source->on_delete = on_delete[0];
	source->tax_is_mapped = DatumGetBool(settle_spi_datum(row, 5, &isnull));
	MemoryContextSwitchTo(old);
	return source;
}

static void
compile_source(Run *run, RunSource *source)
{
	Relation	relation = relation_open(source->relation, AccessShareLock);
	int			nrules;

	source->relation_name = MemoryContextStrdup(run->context,
												quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
																		   RelationGetRelationName(relation)));
	source->set = settle_set_get(run->ruleset, source->name, RelationGetDescr(relation));
	relation_close(relation, AccessShareLock);
	nrules = settle_set_nrules(source->set);
	source->rule_ids = MemoryContextAllocZero(run->context, sizeof(int) * Max(nrules, 1));
}

static int
compare_version(const void *a, const void *b)
{
	const SettleRule *ra = *(const SettleRule *const *) a;
	const SettleRule *rb = *(const SettleRule *const *) b;
	int			cmp = strcmp(ra->def->code, rb->def->code);

	return cmp != 0 ? cmp : ra->def->from < rb->def->from ? -1 : ra->def->from > rb->def->from;
}

/*
 * Gives every rule the number that the book knows it by.
 */
static void
number_rules(Run *run)
{
	uint64		n = query(psprintf("SELECT r.rule_id, r.code, pg_catalog.lower(r.valid) FROM %s.rule AS r ORDER BY r.rule_id DESC", run->book.name));
	bool		isnull;

	run->nrule_ids = n == 0 ? 1 : DatumGetInt32(settle_spi_datum(0, 1, &isnull)) + 1;
	run->rules = MemoryContextAllocExtended(run->context, sizeof(SettleRule *) * run->nrule_ids, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < run->nsources; i++)
	{
		RunSource  *source = run->sources[i];
		int			nrules = settle_set_nrules(source->set);
		const SettleRule **sorted = palloc(sizeof(SettleRule *) * Max(nrules, 1));

		for (int k = 0; k < nrules; k++)
			sorted[k] = settle_set_rule(source->set, k);
		qsort(sorted, nrules, sizeof(SettleRule *), compare_version);
		for (uint64 row = 0; row < n; row++)
		{
			SettleRuleDef def = {0};
			SettleRule	wanted = {.def = &def};
			const SettleRule *key = &wanted;
			const SettleRule **found;

			def.code = TextDatumGetCString(settle_spi_datum(row, 2, &isnull));
			def.from = DatumGetTimestampTz(settle_spi_datum(row, 3, &isnull));
			if (isnull)
				def.from = DT_NOBEGIN;
			found = bsearch(&key, sorted, nrules, sizeof(SettleRule *), compare_version);
			if (found != NULL)
			{
				int			id = DatumGetInt32(settle_spi_datum(row, 1, &isnull));

				source->rule_ids[(*found)->ordinal] = id;
				run->rules[id] = *found;
			}
			pfree(def.code);
		}
		for (int k = 0; k < nrules; k++)
			if (source->rule_ids[k] == 0)
				elog(ERROR, "rule \"%s\" has no number in book \"%s\"", settle_set_rule(source->set, k)->def->code, run->book.label);
		pfree(sorted);
	}
}

static void
begin_run(Run *run, const SettleBook *book, bool at_commit)
{
	HASHCTL		control;
	bool		isnull;
	uint64		n;
	const char *wanted;
	const char *time_zone = "UTC";

	memset(run, 0, sizeof(*run));
	run->book = *book;
	run->at_commit = at_commit;
	run->now = GetCurrentTransactionStartTimestamp();
	run->started_at = GetCurrentTimestamp();
	run->context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle run", ALLOCSET_DEFAULT_SIZES);
	run->batch_context = AllocSetContextCreate(run->context, "scrm_settle batch", ALLOCSET_DEFAULT_SIZES);
	run->amount = settle_dec_int(0);

	/* the revision is read before the rules, which are then of this one or a later */
	if (query(psprintf("SELECT b.currency, b.time_zone, b.rule_revision FROM %s.book AS b", book->name)) == 1)
	{
		run->currency = MemoryContextStrdup(run->context, TextDatumGetCString(settle_spi_datum(0, 1, &isnull)));
		time_zone = TextDatumGetCString(settle_spi_datum(0, 2, &isnull));
		run->rule_revision = DatumGetInt64(settle_spi_datum(0, 3, &isnull));
	}
	run->ruleset = settle_book_ruleset(book);
	/* book time for all that follows; settle_book_leave ends this one with its own */
	(void) settle_env_enter(time_zone);

	/* a relation that is gone can tell nothing; settle.check tells of it */
	wanted = psprintf("SELECT s.source_id, s.source, s.relation::pg_catalog.oid, s.on_delete, "
					  "coalesce(s.tax, '0') OPERATOR(pg_catalog.<>) '0' "
					  "FROM %s.source AS s JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid ORDER BY s.source_id", book->name);
	n = query(wanted);
	run->sources = MemoryContextAlloc(run->context, sizeof(RunSource *) * (n + 1));
	for (uint64 i = 0; i < n; i++)
		run->sources[run->nsources++] = open_source(run, (int) i);

	memset(&control, 0, sizeof(control));
	control.hcxt = run->context;
	control.keysize = sizeof(TallyKey);
	control.entrysize = sizeof(Tally);
	run->tallies = hash_create("scrm_settle tallies", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Opens what only a run with something to do needs.
 */
static void
prepare_run(Run *run)
{
	bool		isnull;

	for (int i = 0; i < run->nsources; i++)
		compile_source(run, run->sources[i]);
	number_rules(run);
	query(psprintf("SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence(%s, 'run_id')), "
				   "pg_catalog.pg_get_serial_sequence(%s, 'sheet_id')::pg_catalog.regclass::pg_catalog.oid",
				   quote_literal_cstr(psprintf("%s.run", run->book.name)),
				   quote_literal_cstr(psprintf("%s.sheet", run->book.name))));
	run->run_id = DatumGetInt64(settle_spi_datum(0, 1, &isnull));
	run->sheet_sequence = DatumGetObjectId(settle_spi_datum(0, 2, &isnull));
}

static void
release_sources(Run *run)
{
	for (int i = 0; i < run->nsources; i++)
		if (run->sources[i]->set != NULL)
			settle_set_release(run->sources[i]->set);
}

static RunSource *
find_source(const Run *run, const char *name)
{
	for (int i = 0; i < run->nsources; i++)
		if (strcmp(run->sources[i]->name, name) == 0)
			return run->sources[i];
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("book \"%s\" has no source \"%s\"", run->book.label, name)));
}

/* ---- evaluating ---- */

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

typedef struct Reader
{
	Run		   *run;
	RunSource  *source;
	int			ncolumns;
	AttrNumber *columns;		/* attribute of the source, by column of the row */
	Datum	   *values;			/* of the row */
	bool	   *nulls;
} Reader;

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

	if (len <= MAX_KEY)
		return false;
	kept = pg_mbcliplen(ticket->key, (int) len, MAX_KEY);
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
	SettleTicket said;
	bool		is_long;

	memset(ticket, 0, sizeof(*ticket));
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
		ticket->error->detail = psprintf("A key has at most %d bytes.", MAX_KEY);
		run->ntickets++;
		return;
	}
	fill_slot(reader, slot, ROW_COLUMNS);

	if (settle_evaluate_ticket(reader->source->set, run->now, false, &said, NULL))
		keep_ticket(ticket, &said, run->now);
	else
	{
		ticket->state = said.has_ready_at ? TICKET_WAITING : TICKET_NOT_READY;
		ticket->ready_at = said.ready_at;
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

/* ---- reading the source ---- */

/*
 * Makes the part of a query that gives the source's rows: key as text, what it
 * is looked up by, and the columns in use, numbered.
 */
static char *
source_query(Reader *reader, const char **lookup_type)
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
static void
settle_keys(Run *run, RunSource *source, ArrayType *keys)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), PointerGetDatum(keys)};
	const char *lookup_type;
	const char *rows = source_query(&reader, &lookup_type);
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
static void
settle_all(Run *run, RunSource *source)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {INT2OID};
	Datum		values[] = {Int16GetDatum(source->id)};
	const char *lookup_type;
	const char *rows = source_query(&reader, &lookup_type);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT k.ticket_key, k.ticket_key IS NOT NULL AS known, s.source_key");
	append_columns(&sql, &reader);
	/* a row without a key is no ticket; settle.check tells of it */
	appendStringInfo(&sql, " FROM (SELECT DISTINCT h.ticket_key FROM %s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1) AS k "
					 "FULL JOIN (SELECT * FROM (%s) AS a WHERE a.source_key IS NOT NULL) AS s ON s.source_key OPERATOR(pg_catalog.=) k.ticket_key", run->book.name, rows);
	settle_rows(run, source, &reader, sql.data, 1, types, values);
}

/* ---- taking tickets ---- */

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
								 "WHERE EXISTS (TABLE new_rules)", book, MAX_KEY),
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
	const char *rows = source_query(&reader, &lookup_type);
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
		prepare_run(run);
	run->hold_vanished = scanned && scan_is_thin(run, source, keys);
	settle_keys(run, source, keys);
	MemoryContextDelete(context);
	return n;
}

/*
 * Takes the marks that stand for all tickets of a source.
 */
static bool
take_marks(Run *run, RunSource *source)
{
	Oid			types[] = {INT2OID};
	Datum		values[] = {Int16GetDatum(source->id)};

	return settle_book_execute(psprintf("DELETE FROM %s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND p.ticket_key IS NULL", run->book.name),
							   1, types, values, NULL, SPI_OK_DELETE) > 0;
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

	if (!take_marks(run, source))
		return;
	if (run->run_id == 0)
		prepare_run(run);
	settle_book_execute(psprintf("INSERT INTO %1$s.pending (source_id, ticket_key, scanned) "
								 "SELECT $1, s.source_key, true FROM (%2$s) AS s WHERE s.source_key IS NOT NULL "
								 "UNION SELECT $1, h.ticket_key, true FROM %1$s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1",
								 run->book.name, source_query(&reader, &lookup_type)),
						1, types, values, NULL, SPI_OK_INSERT);
}

/* ---- finishing ---- */

static void
record_run(Run *run)
{
	Oid			types[] = {
		INT8OID, TIMESTAMPTZOID, TEXTOID, BYTEAOID, INT8OID, INT8OID, NUMERICOID, INT8OID, INT8OID, INT8OID, INT8OID
	};
	Datum		values[lengthof(types)];
	bytea	   *digest = palloc(VARHDRSZ + SETTLE_DIGEST_LEN);
	Oid			ruleset_types[] = {BYTEAOID, GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("ruleset"),
														ObjectIdGetDatum(get_namespace_oid("settle", false)))};
	Datum		ruleset_values[2];

	SET_VARSIZE(digest, VARHDRSZ + SETTLE_DIGEST_LEN);
	memcpy(VARDATA(digest), run->ruleset->digest, SETTLE_DIGEST_LEN);
	ruleset_values[0] = PointerGetDatum(digest);
	ruleset_values[1] = PointerGetDatum(run->ruleset);
	settle_book_execute(psprintf("INSERT INTO %1$s.ruleset_used (digest, ruleset) SELECT $1, $2 "
								 "WHERE NOT EXISTS (SELECT FROM %1$s.ruleset_used AS u WHERE u.digest OPERATOR(pg_catalog.=) $1) ON CONFLICT DO NOTHING", run->book.name),
						2, ruleset_types, ruleset_values, NULL, SPI_OK_INSERT);

	values[0] = Int64GetDatum(run->run_id);
	values[1] = TimestampTzGetDatum(run->started_at);
	values[2] = CStringGetTextDatum(run->at_commit ? "commit" : "schedule");
	values[3] = PointerGetDatum(digest);
	values[4] = Int64GetDatum(run->settled);
	values[5] = Int64GetDatum(run->lines);
	values[6] = NumericGetDatum(settle_dec_to_numeric(run->amount));
	values[7] = Int64GetDatum(run->corrections);
	values[8] = Int64GetDatum(run->held);
	values[9] = Int64GetDatum(run->problems);
	values[10] = Int64GetDatum(run->unpaid);
	settle_book_execute(psprintf("INSERT INTO %s.run (run_id, started_at, settled_on, digest, tickets, lines, amount, corrections, held, problems, unpaid) "
								 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", run->book.name),
						lengthof(types), types, values, NULL, SPI_OK_INSERT);
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
static void
run_pending(Run *run, int64 max_tickets)
{
	int64		left = max_tickets;

	queue_again(run);
	for (int i = 0; i < run->nsources; i++)
	{
		RunSource  *source = run->sources[i];

		if (max_tickets > 0)
		{
			spell_out_marks(run, source);
			left -= take_all_keys(run, source, false, left);
			left -= take_all_keys(run, source, true, left);
			continue;
		}
		take_all_keys(run, source, false, PG_INT64_MAX);
		take_all_keys(run, source, true, PG_INT64_MAX);
		if (take_marks(run, source))
		{
			if (run->run_id == 0)
				prepare_run(run);
			run->hold_vanished = scan_is_thin(run, source, NULL);
			settle_all(run, source);
		}
	}
	if (run->run_id == 0)
		return;
	settle_post_tallies(run);
	record_run(run);
}

/*
 * Puts the row of one ticket into the slot of its source; false where there is
 * none.
 */
static bool
fetch_row(Run *run, RunSource *source, const char *key)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(key)};
	const char *lookup_type;
	const char *rows = source_query(&reader, &lookup_type);
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
static int64
evaluate_all(Run *run, RunSource *source)
{
	Reader		reader = {.run = run, .source = source};
	const char *lookup_type;
	const char *rows;
	StringInfoData sql;
	Portal		portal;
	int64		nlines = 0;
	TupleTableSlot *slot = settle_set_slot(source->set);

	initStringInfo(&sql);
	rows = source_query(&reader, &lookup_type);
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

/*
 * settle.run(book regnamespace, max_tickets bigint default null)
 *
 * Settles what is pending, in this transaction.
 */
PG_FUNCTION_INFO_V1(settle_run);
Datum
settle_run(PG_FUNCTION_ARGS)
{
	SettleBook	book;
	SettleIdentity identity;
	Run			run;
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {false};
	MemoryContext caller = CurrentMemoryContext;
	int64		max_tickets = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	if (!PG_ARGISNULL(1) && max_tickets <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_tickets must be positive, not %lld", (long long) max_tickets),
				 errhint("Leave it out to settle all that is pending.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_rights(&book);

	identity = settle_book_enter(&book);
	SPI_connect();
	pass_gate(&book, false);
	begin_run(&run, &book, false);
	run_pending(&run, max_tickets);
	release_sources(&run);
	/* the run's memory goes with SPI's */
	MemoryContextSwitchTo(caller);
	values[2] = NumericGetDatum(settle_dec_to_numeric(run.amount));
	SPI_finish();
	settle_book_leave(identity);

	values[0] = Int64GetDatum(run.settled);
	values[1] = Int64GetDatum(run.lines);
	values[3] = Int64GetDatum(run.corrections);
	values[4] = Int64GetDatum(run.held);
	values[5] = Int64GetDatum(run.problems);
	values[6] = Int64GetDatum(run.unpaid);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

void
settle_run_keys(const SettleBook *book, const char *source, List *keys)
{
	Run			run;
	Datum	   *datums = palloc(sizeof(Datum) * Max(list_length(keys), 1));
	int			n = 0;
	ListCell   *lc;
	ArrayType  *array;
	SettleIdentity identity = settle_book_enter(book);

	foreach(lc, keys)
		datums[n++] = CStringGetTextDatum((char *) lfirst(lc));
	SPI_connect();
	pass_gate(book, true);
	begin_run(&run, book, true);
	/* what is wrong with other sources is no concern of this transaction */
	run.sources[0] = find_source(&run, source);
	run.nsources = 1;
	prepare_run(&run);
	array = construct_array(datums, n, TEXTOID, -1, false, TYPALIGN_INT);
	if (IsolationUsesXactSnapshot())
		check_snapshot(&run, run.sources[0], array);
	settle_keys(&run, run.sources[0], array);
	settle_post_tallies(&run);
	record_run(&run);
	release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
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
	settle_book_check_rights(&book);
	identity = settle_book_enter(&book);
	SPI_connect();
	begin_run(&run, &book, false);
	if (!PG_ARGISNULL(3))
		(void) find_source(&run, NameStr(*PG_GETARG_NAME(3)));
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
		compile_source(&run, source);
		settle_book_execute(psprintf("INSERT INTO %1$s.pending (source_id, ticket_key, scanned) "
									 "SELECT $1, s.source_key, true FROM (%2$s WHERE (%3$s) OPERATOR(pg_catalog.>=) coalesce($2, '-infinity') "
									 "AND (%3$s) OPERATOR(pg_catalog.<) coalesce($3, 'infinity')) AS s WHERE s.source_key IS NOT NULL "
									 "UNION SELECT $1, h.ticket_key, true FROM %1$s.sheet AS h WHERE h.source_id OPERATOR(pg_catalog.=) $1 "
									 "AND h.ticket_time OPERATOR(pg_catalog.>=) coalesce($2, '-infinity') AND h.ticket_time OPERATOR(pg_catalog.<) coalesce($3, 'infinity')",
									 book.name, source_query(&reader, &lookup_type), settle_set_time(source->set)),
							3, types, values, nulls, SPI_OK_INSERT);
	}
	release_sources(&run);
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

	settle_book_check_rights(&book);
	identity = settle_book_enter(&book);
	SPI_connect();
	/* what is left of a source that is given up stays, and nobody waits for it */
	result = query(psprintf("SELECT FROM %1$s.pending AS p JOIN %1$s.source AS s ON s.source_id OPERATOR(pg_catalog.=) p.source_id "
							"JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid LIMIT 1", book.name)) > 0;
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_BOOL(result);
}

/*
 * settle.explain(book regnamespace, source name, key text) returns setof
 *				  (step, kind, name, payer, payee, base, factor, amount, unit, detail)
 *
 * Returns the steps that give the lines of one ticket.
 */
PG_FUNCTION_INFO_V1(settle_explain);
Datum
settle_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book;
	SettleIdentity identity;
	Run			run;
	RunSource  *source;
	const char *name;
	char	   *key;

	InitMaterializedSRF(fcinfo, 0);
	book = settle_book(PG_GETARG_OID(0));
	name = NameStr(*PG_GETARG_NAME(1));
	key = text_to_cstring(PG_GETARG_TEXT_PP(2));
	settle_book_check_rights(&book);
	identity = settle_book_enter(&book);
	SPI_connect();
	begin_run(&run, &book, false);
	source = run.sources[0] = find_source(&run, name);
	run.nsources = 1;
	compile_source(&run, source);
	number_rules(&run);
	if (!fetch_row(&run, source, key))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("source \"%s\" has no ticket \"%s\"", name, key)));
	settle_explain_ticket(&run, source, key, rsinfo->setResult, rsinfo->setDesc);
	release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}

void
settle_check_sources(const SettleBook *book, Tuplestorestate *store, TupleDesc desc)
{
	Run			run;

	begin_run(&run, book, false);
	for (int i = 0; i < run.nsources; i++)
	{
		RunSource  *source = run.sources[i];
		Reader		reader = {.run = &run, .source = source};
		Oid			types[] = {INT2OID, NAMEOID, TIMESTAMPTZOID};
		NameData	name;
		Datum		values[] = {Int16GetDatum(source->id), NameGetDatum(&name), TimestampTzGetDatum(run.now)};
		const char *ready_at;
		const char *lookup_type;
		uint64		n;

		if (get_rel_name(source->relation) == NULL)
			continue;
		namestrcpy(&name, source->name);
		compile_source(&run, source);
		/* readiness that depends on decisions cannot be asked of the table alone */
		ready_at = settle_set_ready_at(source->set);
		n = settle_book_execute(psprintf("SELECT coalesce(s.source_key, h.ticket_key), h.ticket_key IS NULL "
										 "FROM (%2$s%3$s) AS s FULL JOIN (SELECT x.ticket_key FROM %1$s.sheet AS x WHERE x.source_id OPERATOR(pg_catalog.=) $1 GROUP BY 1 HAVING sum(x.tickets) OPERATOR(pg_catalog.=) 1) AS h "
										 "ON h.ticket_key OPERATOR(pg_catalog.=) s.source_key "
										 "WHERE (h.ticket_key IS NULL OR s.source_key IS NULL) "
										 "AND NOT EXISTS (SELECT FROM %1$s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND (p.ticket_key IS NULL OR p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key))) "
										 "AND NOT EXISTS (SELECT FROM %1$s.problem AS p WHERE p.source OPERATOR(pg_catalog.=) $2 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 "AND NOT EXISTS (SELECT FROM %1$s.unpaid AS p WHERE p.source OPERATOR(pg_catalog.=) $2 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 "AND NOT EXISTS (SELECT FROM %1$s.waiting AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 "AND NOT EXISTS (SELECT FROM %1$s.source AS o WHERE o.source_id OPERATOR(pg_catalog.=) $1 AND o.on_delete OPERATOR(pg_catalog.=) 'ignore' AND s.source_key IS NULL) "
										 "ORDER BY 1 LIMIT 100",
										 book->name, source_query(&reader, &lookup_type),
										 ready_at == NULL ? " WHERE false" : psprintf(" WHERE (%s) OPERATOR(pg_catalog.<=) $3", ready_at)),
								3, types, values, NULL, SPI_OK_SELECT);
		for (uint64 row = 0; row < n; row++)
		{
			Datum		cells[3];
			bool		nulls[3] = {false};
			Datum		key;
			bool		isnull;
			bool		unknown = DatumGetBool(settle_spi_datum((int) row, 2, &isnull));

			if (ready_at == NULL && !unknown)
				continue;
			key = settle_spi_datum((int) row, 1, &isnull);
			cells[0] = CStringGetTextDatum("every ready ticket is known, and every settled ticket has its row");
			cells[1] = CStringGetTextDatum(isnull ? source->name : psprintf("%s %s", source->name, TextDatumGetCString(key)));
			cells[2] = CStringGetTextDatum(isnull ? "has a ready row without a key, which cannot be settled"
										   : unknown ? "is ready and the book does not know of it: settle.rescan"
										   : "is settled and has no row any more, or is not ready: settle.rescan");
			tuplestore_putvalues(store, desc, cells, nulls);
		}
	}
	release_sources(&run);
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
	Oid			types[] = {NAMEOID, TEXTOID, TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};
	SettleIdentity identity;
	uint64		n;

	settle_book_check_rights(&book);
	identity = settle_book_enter(&book);
	SPI_connect();
	n = settle_book_execute(psprintf("UPDATE %s.unpaid SET excused_by = session_user, excused_at = now(), reason = $3 "
									 "WHERE source = $1 AND ticket_key = $2", book.name),
							3, types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	settle_book_leave(identity);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("ticket \"%s\" of source \"%s\" is not unpaid", text_to_cstring(PG_GETARG_TEXT_PP(2)), NameStr(*PG_GETARG_NAME(1)))));
	PG_RETURN_VOID();
}

/*
 * settle._bench_evaluate(book regnamespace, source name) returns bigint
 *
 * Reads, matches and prices every ticket of a source as a run does, without
 * comparing or writing; returns the number of lines.
 */
PG_FUNCTION_INFO_V1(settle_bench_evaluate);
Datum
settle_bench_evaluate(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	const char *name = NameStr(*PG_GETARG_NAME(1));
	SettleIdentity identity;
	Run			run;
	int64		nlines = 0;

	settle_book_check_rights(&book);
	identity = settle_book_enter(&book);
	SPI_connect();
	begin_run(&run, &book, false);
	for (int i = 0; i < run.nsources; i++)
		if (strcmp(run.sources[i]->name, name) == 0)
		{
			compile_source(&run, run.sources[i]);
			nlines = evaluate_all(&run, run.sources[i]);
		}
	release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_INT64(nlines);
}
