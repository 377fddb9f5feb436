/*
 * run.c
 *		One execution of a settlement: its gate, its set-up, its record.
 *
 * Locking is what a maintainer must know.  The gate comes first, in its own
 * statement, before anything is read: SHARE ROW EXCLUSIVE by a run, ROW
 * EXCLUSIVE by tickets that settle at commit, so that runs exclude each other
 * and posters at commit, and posters go beside each other.  Every statement
 * after it takes a fresh snapshot, so it sees what the one before us in the
 * gate has posted.  Then pending and waiting, parties, tallies (created, then
 * locked in the order of their key), inserts.
 */
#include "settle/run.h"

#include "access/relation.h"
#include "book/progress.h"
#include "book/rows.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "expr/expr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

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

uint64
settle_query(const char *sql)
{
	return settle_book_execute(sql, 0, NULL, NULL, NULL, SPI_OK_SELECT);
}

/*
 * Locks the gate of the book.
 */
void
settle_pass_gate(const SettleBook *book, bool at_commit)
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
 * settle._shut_gate(book regnamespace) returns void
 *
 * Locks the gate of the book as a run does.  It must be the whole of a
 * statement: what comes after it then sees all that others have posted.
 */
PG_FUNCTION_INFO_V1(settle_shut_gate);
Datum
settle_shut_gate(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));

	settle_book_check_level(&book, SETTLE_ADMIN);
	settle_pass_gate(&book, false);
	PG_RETURN_VOID();
}

/*
 * Asks for one number as all see it that is committed by now, whatever the
 * snapshot of this transaction.
 */
int64
settle_latest_number(const char *sql, int nargs, Oid *types, Datum *values)
{
	uint64		n;
	bool		isnull;

	PushActiveSnapshot(GetLatestSnapshot());
	n = settle_book_query(sql, nargs, types, values, true);
	PopActiveSnapshot();
	if (n != 1)
		elog(ERROR, "not one row of \"%s\"", sql);
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
	static const SettleLookup lookup = {"book", .columns = {{"rule_revision", INT8OID}}};
	Datum		revision;
	bool		isnull;

	if (settle_find_latest_row(&run->book, &lookup, NULL, &revision, &isnull) != SETTLE_FOUND)
		revision = Int64GetDatum(settle_latest_number(psprintf("SELECT b.rule_revision FROM %s.book AS b", run->book.name), 0, NULL, NULL));
	if (DatumGetInt64(revision) != run->rule_revision)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: the rules of book \"%s\" have changed", run->book.label),
				 errhint("Repeat the transaction.")));
}

/*
 * Raises 40001 where periods have been closed, or opened again, since the
 * snapshot of a poster at commit was taken: he would post where nothing is to
 * be posted any more.  A period is closed under the gate, which he has passed.
 */
void
settle_run_check_periods(Run *run)
{
	const char *sql = psprintf("SELECT coalesce((" SETTLE_OPEN_PERIOD " OPERATOR(pg_catalog.-) '2000-01-01'::pg_catalog.date)::pg_catalog.int8, %2$d) FROM %1$s.book AS b",
							   run->book.name, DATEVAL_NOBEGIN);

	if (settle_latest_number(sql, 0, NULL, NULL) != run->open_period)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: a period of book \"%s\" has been closed or opened again", run->book.label),
				 errhint("Repeat the transaction.")));
}

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
	source->is_captured = DatumGetBool(settle_spi_datum(row, 6, &isnull));
	source->is_period = strcmp(source->name, SETTLE_PERIOD_SOURCE) == 0;
	MemoryContextSwitchTo(old);
	return source;
}

void
settle_compile_source(Run *run, RunSource *source)
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

	return cmp != 0 ? cmp : settle_compare_versions(ra->def, rb->def);
}

/*
 * Gives every rule the number that the book knows it by.
 */
static void
number_rules(Run *run)
{
	/* a version that ended before its pack began is in no ruleset */
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {run->with_pack == NULL ? (Datum) 0 : CStringGetTextDatum(run->with_pack), TimestampTzGetDatum(run->with_since)};
	const char	nulls[] = {run->with_pack == NULL ? 'n' : ' ', TIMESTAMP_IS_NOBEGIN(run->with_since) ? 'n' : ' ', '\0'};
	uint64		n = settle_book_execute(psprintf("SELECT r.rule_id, r.code, greatest(pg_catalog.lower(r.valid), k.starts), nullif(r.pack, 'base') "
												 "FROM %1$s.rule AS r JOIN (SELECT p.pack, CASE WHEN p.pack OPERATOR(pg_catalog.=) $1 THEN $2 ELSE pg_catalog.lower(p.valid) END AS starts "
												 "FROM %1$s.pack AS p) AS k ON k.pack OPERATOR(pg_catalog.=) r.pack "
												 "WHERE (pg_catalog.upper(r.valid) OPERATOR(pg_catalog.<=) k.starts) IS NOT TRUE "
												 "ORDER BY r.rule_id DESC", run->book.name),
										2, types, values, nulls, SPI_OK_SELECT);
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
			Datum		value;
			SettleRuleDef def = {0};
			SettleRule	wanted = {.def = &def};
			const SettleRule *key = &wanted;
			const SettleRule **found;

			def.code = TextDatumGetCString(settle_spi_datum(row, 2, &isnull));
			def.from = DatumGetTimestampTz(settle_spi_datum(row, 3, &isnull));
			if (isnull)
				def.from = DT_NOBEGIN;
			value = settle_spi_datum(row, 4, &isnull);
			def.pack = isnull ? NULL : TextDatumGetCString(value);
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

/*
 * The same, of the one source that a poster at commit settles, from what was
 * found before under the same revision of the rules.
 */
void
settle_number_rules(Run *run)
{
	RunSource  *source = run->sources[0];
	SettleNumbers *known;

	if (!run->at_commit)
	{
		number_rules(run);
		return;
	}
	known = settle_set_numbers(source->set);
	if (known->schema != run->book.schema || known->revision != run->rule_revision)
	{
		number_rules(run);
		settle_set_remember_numbers(source->set, (SettleNumbers) {run->book.schema, run->rule_revision, source->rule_ids, run->nrule_ids, run->rules});
	}
	source->rule_ids = known->rule_ids;
	run->rules = known->rules;
	run->nrule_ids = known->nrule_ids;
}

/* What a batch takes at most, most of the time; memory that is not touched is not there. */
#define BATCH_MEMORY	((Size) 64 * 1024 * 1024)

/*
 * Makes a run that knows nothing of its book yet.
 */
void
settle_new_run(Run *run, const SettleBook *book, bool at_commit)
{
	HASHCTL		control;

	memset(run, 0, sizeof(*run));
	run->book = *book;
	run->at_commit = at_commit;
	run->now = GetCurrentTransactionStartTimestamp();
	run->started_at = GetCurrentTimestamp();
	run->context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle run", ALLOCSET_DEFAULT_SIZES);
	/*
	 * Kept from batch to batch: given back and taken again it would be cleared by
	 * the kernel each time.  What a batch makes goes with it, so nothing is rounded
	 * up to be used anew.
	 */
	run->batch_context = at_commit ? AllocSetContextCreate(run->context, "scrm_settle batch", ALLOCSET_DEFAULT_SIZES)
		: GenerationContextCreate(run->context, "scrm_settle batch", BATCH_MEMORY, BATCH_MEMORY, BATCH_MEMORY);
	run->amount = settle_dec_int(0);
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->reader = settle_facts_reader(settle_facts_open(book));
		MemoryContextSwitchTo(old);
	}
	run->max_correction = run->before = -1;
	run->open_period = DATEVAL_NOBEGIN;

	memset(&control, 0, sizeof(control));
	control.hcxt = run->context;
	control.keysize = sizeof(TallyKey);
	control.entrysize = sizeof(Tally);
	run->tallies = hash_create("scrm_settle tallies", at_commit ? 8 : 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
settle_begin_run(Run *run, const SettleBook *book, bool at_commit)
{
	bool		isnull;
	uint64		n;
	const char *wanted;
	const char *time_zone = "UTC";
	static const char settings[] =
		"SELECT b.currency, b.time_zone, b.rule_revision, b.max_correction, " SETTLE_OPEN_PERIOD ", EXISTS (SELECT FROM %1$s.held), "
		"nullif(ARRAY(SELECT e.edit_id FROM %1$s.edit AS e), '{}'), b.keep_inputs, b.fx_party FROM %1$s.book AS b";

	settle_new_run(run, book, at_commit);

	/* revision and edits are read before the rules, which are then of this one or a later, and contain those edits */
	if (settle_query(psprintf(settings, book->name)) == 1)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);
		Datum		value;

		run->currency = TextDatumGetCString(settle_spi_datum(0, 1, &isnull));
		time_zone = TextDatumGetCString(settle_spi_datum(0, 2, &isnull));
		run->rule_revision = DatumGetInt64(settle_spi_datum(0, 3, &isnull));
		value = settle_spi_datum(0, 4, &isnull);
		if (!isnull && !at_commit)
			run->max_correction = DatumGetInt32(value);
		value = settle_spi_datum(0, 5, &isnull);
		if (!isnull)
			run->open_period = DatumGetDateADT(value);
		run->any_held = DatumGetBool(settle_spi_datum(0, 6, &isnull));
		value = settle_spi_datum(0, 7, &isnull);
		if (!isnull && !at_commit)
			run->edits = datumCopy(value, false, -1);
		run->keep_inputs = DatumGetBool(settle_spi_datum(0, 8, &isnull));
		value = settle_spi_datum(0, 9, &isnull);
		if (!isnull)
			run->fx_party = TextDatumGetCString(value);
		MemoryContextSwitchTo(old);
	}
	run->ruleset = settle_book_ruleset(book);
	/* book time for all that follows; settle_book_leave ends this one with its own */
	(void) settle_env_enter(time_zone);

	/* a relation that is gone can tell nothing; settle.check tells of it */
	wanted = psprintf("SELECT s.source_id, s.source, s.relation::pg_catalog.oid, s.on_delete, "
					  "coalesce(s.tax, '0') OPERATOR(pg_catalog.<>) '0', c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}') "
					  "FROM %s.source AS s JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid ORDER BY s.source_id", book->name);
	n = settle_query(wanted);
	run->sources = MemoryContextAlloc(run->context, sizeof(RunSource *) * (n + 1));
	for (uint64 i = 0; i < n; i++)
		run->sources[run->nsources++] = open_source(run, (int) i);
}

/*
 * Opens what only a run with something to do needs.
 */
void
settle_prepare_run(Run *run)
{
	for (int i = 0; i < run->nsources; i++)
		settle_compile_source(run, run->sources[i]);
	settle_number_rules(run);
	run->prepared = true;
	if (run->plan != NULL)
		return;
	run->run_id = nextval_internal(settle_identity_sequence(&run->book, "run", "run_id"), false);
	run->sheet_sequence = settle_identity_sequence(&run->book, "sheet", "sheet_id");
}

void
settle_release_sources(Run *run)
{
	for (int i = 0; i < run->nsources; i++)
		if (run->sources[i]->set != NULL)
			settle_set_release(run->sources[i]->set);
}

RunSource *
settle_find_source(const Run *run, const char *name)
{
	for (int i = 0; i < run->nsources; i++)
		if (strcmp(run->sources[i]->name, name) == 0)
			return run->sources[i];
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("book \"%s\" has no source \"%s\"", run->book.label, name)));
}

/* The columns of run, and then those that fresh_run has of unfolded. */
static const char *const fresh_columns[] = {
	"run_id", "started_at", "finished_at", "settled_on", "digest", "actor", "tickets", "lines", "amount", "corrections", "held", "problems", "unpaid",
	"counted", "input_names", "first_sheet", "last_sheet"
};

#define RUN_COLUMNS		(lengthof(fresh_columns) - 2)

/*
 * Makes the names that the inputs of this run's sheets have values of; null
 * where it has kept none.
 */
static Datum
make_input_names(const Run *run, bool *isnull)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < run->nsources; i++)
	{
		SettleInputNames names;

		if (!run->sources[i]->has_inputs)
			continue;
		names = settle_set_input_names(run->sources[i]->set);
		appendStringInfoChar(&text, text.len == 0 ? '{' : ',');
		escape_json(&text, run->sources[i]->name);
		appendStringInfoChar(&text, ':');
		settle_put_input_names(&text, &names);
	}
	*isnull = text.len == 0;
	appendStringInfoChar(&text, '}');
	return text.len == 1 ? (Datum) 0 : DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
}

/*
 * The same; a poster at commit has one source, whose rules remember it.
 */
static Datum
input_names(const Run *run, bool *isnull)
{
	SettleSet  *set;
	Datum		names;

	if (!run->at_commit || !run->sources[0]->has_inputs)
		return make_input_names(run, isnull);
	set = run->sources[0]->set;
	*isnull = false;
	if (settle_set_numbers(set)->input_names != NULL)
		return PointerGetDatum(settle_set_numbers(set)->input_names);
	names = make_input_names(run, isnull);
	settle_set_remember_input_names(set, (struct varlena *) DatumGetPointer(names));
	return names;
}

/* The record of a run, handed to COPY. */
typedef struct Record
{
	Run		   *run;
	Datum		digest;
	int			ncolumns;
	bool		written;
} Record;

static bool
write_record(Datum *values, bool *nulls, void *arg)
{
	Record	   *record = arg;
	Run		   *run = record->run;

	if (record->written)
		return false;
	memset(nulls, false, sizeof(bool) * record->ncolumns);
	*values++ = Int64GetDatum(run->run_id);
	*values++ = TimestampTzGetDatum(run->started_at);
	*values++ = TimestampTzGetDatum(GetCurrentTimestamp());
	*values++ = CStringGetTextDatum(run->at_commit ? "commit" : "schedule");
	*values++ = record->digest;
	*values++ = CStringGetTextDatum(settle_actor_name(run->book.schema));
	*values++ = Int64GetDatum(run->settled);
	*values++ = Int64GetDatum(run->lines);
	*values++ = NumericGetDatum(settle_dec_to_numeric(run->amount));
	*values++ = Int64GetDatum(run->corrections);
	*values++ = Int64GetDatum(run->held);
	*values++ = Int64GetDatum(run->problems);
	*values++ = Int64GetDatum(run->unpaid);
	*values++ = Int64GetDatum(run->counted);
	*values++ = input_names(run, &nulls[RUN_COLUMNS - 1]);
	if (record->ncolumns > RUN_COLUMNS)
	{
		*values++ = Int64GetDatum(run->first_sheet);
		*values++ = Int64GetDatum(run->last_sheet);
	}
	record->written = true;
	return true;
}

/*
 * Hands COPY the run's place in a queue: its number and, where the queue has
 * them, its first and last sheet.
 */
static bool
write_place(Datum *values, bool *nulls, void *arg)
{
	Record	   *record = arg;
	Run		   *run = record->run;

	if (record->written)
		return false;
	memset(nulls, false, sizeof(bool) * record->ncolumns);
	values[0] = Int64GetDatum(run->run_id);
	if (record->ncolumns > 1)
	{
		values[1] = Int64GetDatum(run->first_sheet);
		values[2] = Int64GetDatum(run->last_sheet);
	}
	record->written = true;
	return true;
}

/*
 * Puts the run into a queue.
 */
static void
queue_run(Run *run, const char *queue, int ncolumns)
{
	static const char *const columns[] = {"run_id", "first_sheet", "last_sheet"};
	Record		record = {.run = run, .ncolumns = ncolumns};

	settle_copy_into(run->book.schema, queue, columns, ncolumns, write_place, &record);
}

/*
 * Keeps the rules of the run, where they are not kept yet.
 */
static void
keep_ruleset(Run *run, Datum digest)
{
	static const SettleLookup lookup = {"ruleset_used", {{"digest", BYTEAOID}}};
	Oid			types[] = {BYTEAOID, InvalidOid};
	Datum		values[] = {digest, PointerGetDatum(run->ruleset)};

	if (settle_find_known_row(&run->book, &lookup, &digest, NULL, NULL) == SETTLE_FOUND)
		return;
	types[1] = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("ruleset"), ObjectIdGetDatum(get_namespace_oid("settle", false)));
	settle_book_execute(psprintf("INSERT INTO %s.ruleset_used (digest, ruleset) VALUES ($1, $2) ON CONFLICT DO NOTHING", run->book.name),
						2, types, values, NULL, SPI_OK_INSERT);
}

void
settle_record_run(Run *run)
{
	bytea	   *digest = palloc(VARHDRSZ + SETTLE_DIGEST_LEN);
	bool		is_fresh = run->is_fresh && run->first_sheet > 0;
	Record		record = {.run = run, .digest = PointerGetDatum(digest), .ncolumns = is_fresh ? lengthof(fresh_columns) : RUN_COLUMNS};

	SET_VARSIZE(digest, VARHDRSZ + SETTLE_DIGEST_LEN);
	memcpy(VARDATA(digest), run->ruleset->digest, SETTLE_DIGEST_LEN);
	keep_ruleset(run, PointerGetDatum(digest));
	settle_copy_into(run->book.schema, is_fresh ? "fresh_run" : "run", fresh_columns, record.ncolumns, write_record, &record);
	if (is_fresh)
		return;
	if (!run->at_commit)
		settle_keep_counts(run);
	queue_run(run, "unsealed", 1);
	if (run->first_sheet > 0)
		queue_run(run, "unfolded", 3);
}

/*
 * settle.run(book regnamespace, max_tickets bigint default null)
 * settle._run_aloud(book regnamespace, max_tickets bigint, every bigint)
 *
 * Settles what is pending, in this transaction; the second tells its client
 * every so many milliseconds how far it is.
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
	settle_book_check_level(&book, SETTLE_CLERK);

	settle_progress_tell(PG_NARGS() > 2 && !PG_ARGISNULL(2) ? PG_GETARG_INT64(2) : -1);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_pass_gate(&book, false);
	settle_run_braked(&run, &book, max_tickets);
	settle_release_sources(&run);
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

	settle_book_check_level(&book, SETTLE_ADMIN);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_begin_run(&run, &book, false);
	for (int i = 0; i < run.nsources; i++)
		if (strcmp(run.sources[i]->name, name) == 0)
		{
			settle_compile_source(&run, run.sources[i]);
			nlines = settle_evaluate_all(&run, run.sources[i]);
		}
	settle_release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_INT64(nlines);
}
