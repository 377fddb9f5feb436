/*
 * ingest.c
 *		New rows of staging become rows of the book: settle.ingest.
 *
 * Ingests of a book exclude each other by a lock on its table mapping, which
 * also keeps the mappings as they are meanwhile; connectors go on landing.
 * Payloads are read in chunks inside a subtransaction that writes nothing.
 * What is wrong with a payload is its verdict, not an error; only where an
 * expression fails, or text inside of a payload does not parse, is the chunk
 * repeated payload by payload.  What comes out is merged with what stands
 * (merge.c), and each payload is given its verdict.
 */
#include "connect/ingest.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "book/progress.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* payloads that are read and merged at a time, and inside one subtransaction */
#define BATCH_PAYLOADS	5000
#define CHUNK_PAYLOADS	250

static const char *const verdict_names[] = {"applied", "duplicate", "stale", "tie", "applied", "quarantined"};

/* ---- reading ---- */

/*
 * Reads some rows of staging s: which is the rest of the query behind WHERE,
 * over one parameter.
 */
static void
read_batch(Ingest *ingest, const char *which, Oid type, Datum value)
{
	MemoryContext old = CurrentMemoryContext;

	ingest->npayloads = settle_book_execute(psprintf("SELECT s.ctid, s.staging_id, s.platform, s.kind, s.shop, s.received_at, s.payload, s.raw "
													 "FROM %s.staging AS s WHERE %s", ingest->book.name, which),
											1, &type, &value, NULL, SPI_OK_SELECT);
	MemoryContextSwitchTo(ingest->batch.context);
	ingest->landed = palloc0(sizeof(Landed) * Max(ingest->npayloads, 1));
	ingest->mapped = palloc0(sizeof(Mapped) * Max(ingest->npayloads, 1));
	for (int i = 0; i < ingest->npayloads; i++)
	{
		Landed	   *landed = &ingest->landed[i];
		bool		isnull;
		Datum		value;

		landed->place = *(ItemPointer) DatumGetPointer(settle_spi_datum(i, 1, &isnull));
		landed->staging_id = DatumGetInt64(settle_spi_datum(i, 2, &isnull));
		landed->platform = TextDatumGetCString(settle_spi_datum(i, 3, &isnull));
		value = settle_spi_datum(i, 4, &isnull);
		landed->kind = isnull ? NULL : TextDatumGetCString(value);
		value = settle_spi_datum(i, 5, &isnull);
		landed->shop = isnull ? NULL : TextDatumGetCString(value);
		landed->received_at = DatumGetTimestampTz(settle_spi_datum(i, 6, &isnull));
		landed->payload = settle_spi_datum(i, 7, &isnull);
		landed->raw = settle_spi_datum(i, 8, &isnull);
	}
	ingest->landed_rows = SPI_tuptable;
	MemoryContextSwitchTo(old);
}

/* What is not the payload's fault stops the whole. */
static bool
is_error_of_payload(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		sqlstate == ERRCODE_STATEMENT_TOO_COMPLEX || sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/*
 * Maps some payloads inside a subtransaction.  False where one of several has
 * raised an error: nothing of them is kept.
 */
static bool
map_payloads(Ingest *ingest, int from, int to)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			start = ingest->batch.nrows;
	volatile bool good = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(ingest->batch.context);
	PG_TRY();
	{
		for (int i = from; i < to; i++)
			settle_map(&ingest->batch, &ingest->landed[i], &ingest->mapped[i]);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(ingest->batch.context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		if (!is_error_of_payload(error->sqlerrcode))
			ReThrowError(error);
		MemoryContextReset(ingest->batch.scratch);
		ingest->batch.nrows = start;
		good = false;
		if (to - from == 1)
		{
			Mapped	   *mapped = &ingest->mapped[from];

			mapped->first = start;
			mapped->nrows = 0;
			mapped->problem = (Problem)
			{
				NULL, error->sqlerrcode == ERRCODE_UNTRANSLATABLE_CHARACTER ? "nul_char" : "error", error->sqlerrcode, error->message
			};
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return good;
}

static void
map_batch(Ingest *ingest)
{
	for (int from = 0; from < ingest->npayloads; from += CHUNK_PAYLOADS)
	{
		int			to = Min(from + CHUNK_PAYLOADS, ingest->npayloads);

		if (!map_payloads(ingest, from, to))
			for (int i = from; i < to; i++)
				map_payloads(ingest, i, i + 1);
		settle_progress_add(to - from);
	}
}

/* ---- the verdicts ---- */

/*
 * What a payload comes to: what the best of the rows of its first part does.
 */
static Verdict
verdict_on(Ingest *ingest, const Mapped *mapped)
{
	Verdict		best = VERDICT_NONE;

	if (mapped->problem.reason != NULL)
		return VERDICT_QUARANTINED;
	for (int i = mapped->first; i < mapped->first + mapped->nrows; i++)
		if (ingest->batch.rows[i].part == ingest->batch.rows[mapped->first].part && ingest->states[i].verdict > best)
			best = ingest->states[i].verdict;
	return best;
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* What the key of a row says beyond platform and shop, with blanks between. */
static char *
key_behind_shop(const MappedRow *row)
{
	const char *from = row->key + strlen(row->key) + 1;
	int			len;
	char	   *text;

	from += strlen(from) + 1;
	len = Max(row->key + row->key_len - from - 1, 0);
	text = palloc(len + 1);
	for (int i = 0; i < len; i++)
		text[i] = from[i] == '\0' ? ' ' : from[i];
	text[len] = '\0';
	return text;
}

/* Columns of staging that say what became of a payload. */
static const struct
{
	const char *name;
	Oid			type;
}			verdict_columns[] = {
	{"kind", TEXTOID}, {"external_key", TEXTOID}, {"version", TIMESTAMPTZOID}, {"content_hash", BYTEAOID}, {"state", TEXTOID},
	{"field", TEXTOID}, {"reason", TEXTOID}, {"sqlstate", TEXTOID}, {"message", TEXTOID}, {"ingested_at", TIMESTAMPTZOID}
};

#define NVERDICT_COLUMNS	lengthof(verdict_columns)

static Datum
hash_bytes_of(const char *precedence)
{
	bytea	   *hash = palloc(VARHDRSZ + SETTLE_HASH_BYTES / 2);

	SET_VARSIZE(hash, VARHDRSZ + SETTLE_HASH_BYTES / 2);
	hex_decode(precedence + SETTLE_VERSION_BYTES, SETTLE_HASH_BYTES, VARDATA(hash));
	return PointerGetDatum(hash);
}

/*
 * What stands in these columns for a payload of the batch.
 */
static void
verdict_values(int payload, ItemPointer place, Datum *values, bool *nulls, void *arg)
{
	const Ingest *ingest = arg;
	const Landed *landed = &ingest->landed[payload];
	const Mapped *mapped = &ingest->mapped[payload];
	const MappedRow *first = mapped->nrows > 0 ? &ingest->batch.rows[mapped->first] : NULL;
	const Problem *problem = &mapped->problem;

	*place = landed->place;
	memset(nulls, false, sizeof(bool) * NVERDICT_COLUMNS);
	values[0] = text_or_null(mapped->mapping == NULL ? landed->kind : mapped->mapping->kind, &nulls[0]);
	values[1] = text_or_null(first == NULL ? NULL : key_behind_shop(first), &nulls[1]);
	values[2] = TimestampTzGetDatum(first == NULL ? 0 : first->version);
	nulls[2] = first == NULL;
	nulls[3] = first == NULL || first->precedence[0] == '\0';
	values[3] = nulls[3] ? (Datum) 0 : hash_bytes_of(first->precedence);
	values[4] = CStringGetTextDatum(verdict_names[mapped->verdict]);
	values[5] = text_or_null(problem->field, &nulls[5]);
	values[6] = text_or_null(problem->reason != NULL ? problem->reason : mapped->flags, &nulls[6]);
	values[7] = text_or_null(problem->reason == NULL ? NULL : unpack_sql_state(problem->sqlstate), &nulls[7]);
	values[8] = text_or_null(problem->reason == NULL ? NULL : problem->message, &nulls[8]);
	values[9] = TimestampTzGetDatum(GetCurrentTimestamp());
}

/*
 * Has a statement write the verdicts, where the table asks for one.
 */
static void
update_verdicts(Ingest *ingest)
{
	TupleDesc	desc = CreateTemplateTupleDesc(NVERDICT_COLUMNS + 1);
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	StringInfoData set;

	initStringInfo(&set);
	TupleDescInitEntry(desc, 1, "staging_id", INT8OID, -1, 0);
	for (int i = 0; i < NVERDICT_COLUMNS; i++)
	{
		TupleDescInitEntry(desc, i + 2, verdict_columns[i].name, verdict_columns[i].type, -1, 0);
		appendStringInfo(&set, "%s%s = v.%s", i > 0 ? ", " : "", verdict_columns[i].name, verdict_columns[i].name);
	}
	for (int i = 0; i < ingest->npayloads; i++)
	{
		Datum		values[NVERDICT_COLUMNS + 1];
		bool		nulls[NVERDICT_COLUMNS + 1] = {false};
		ItemPointerData place;

		values[0] = Int64GetDatum(ingest->landed[i].staging_id);
		verdict_values(i, &place, values + 1, nulls + 1, ingest);
		tuplestore_putvalues(store, desc, values, nulls);
	}
	settle_show_rows(ingest, "verdict", desc, store, ingest->npayloads);
	settle_book_execute(psprintf("UPDATE %s.staging AS s SET %s FROM verdict AS v WHERE s.staging_id = v.staging_id", ingest->book.name, set.data),
						0, NULL, NULL, NULL, SPI_OK_UPDATE);
	settle_hide_rows("verdict", store);
}

static void
write_verdicts(Ingest *ingest)
{
	Oid			staging = get_relname_relid("staging", ingest->book.schema);
	int			columns[NVERDICT_COLUMNS];

	for (int i = 0; i < NVERDICT_COLUMNS; i++)
		columns[i] = get_attnum(staging, verdict_columns[i].name);
	for (int i = 0; i < ingest->npayloads; i++)
	{
		ingest->mapped[i].verdict = verdict_on(ingest, &ingest->mapped[i]);
		ingest->counts[ingest->mapped[i].verdict]++;
	}
	if (settle_update_rows(staging, columns, NVERDICT_COLUMNS, verdict_values, ingest, ingest->npayloads) < 0)
		update_verdicts(ingest);
}

static void
ingest_batch(Ingest *ingest)
{
	settle_progress_phase(SETTLE_MAPPING);
	map_batch(ingest);
	SPI_freetuptable(ingest->landed_rows);
	settle_progress_phase(SETTLE_MERGING);
	settle_merge(ingest);
	write_verdicts(ingest);
	settle_forget_erased(ingest);
}

/* ---- in SQL ---- */

/*
 * Locks the mappings against changes and other ingests, and compiles them.
 */
static Mappings *
take_mappings(const SettleBook *book, MemoryContext context, bool lock, int *nestlevel)
{
	Mappings   *mappings;
	MemoryContext old;
	bool		isnull;

	if (lock)
		settle_book_execute(psprintf("LOCK TABLE %s.mapping IN SHARE ROW EXCLUSIVE MODE", book->name), 0, NULL, NULL, NULL, SPI_OK_UTILITY);
	settle_book_execute(psprintf("SELECT b.time_zone FROM %s.book AS b", book->name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	old = MemoryContextSwitchTo(context);
	*nestlevel = settle_env_enter(TextDatumGetCString(settle_spi_datum(0, 1, &isnull)));
	mappings = settle_load_mappings(book);
	MemoryContextSwitchTo(old);
	return mappings;
}

/*
 * Counts the new payloads, at most "most".
 */
static int64
count_new(const SettleBook *book, int64 most)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(most);
	bool		isnull;

	settle_book_execute(psprintf("SELECT count(*) FROM (SELECT FROM %s.staging AS s WHERE s.state = 'new' LIMIT $1) AS n", book->name), 1, &type, &value, NULL, SPI_OK_SELECT);
	return DatumGetInt64(settle_spi_datum(0, 1, &isnull));
}

PG_FUNCTION_INFO_V1(settle_ingest);

/*
 * settle.ingest(book regnamespace, max_rows bigint) -> payloads, applied,
 * duplicates, stale, ties, quarantined.
 */
Datum
settle_ingest(PG_FUNCTION_ARGS)
{
	int64		left = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);
	MemoryContext outer = AllocSetContextCreate(CurrentMemoryContext, "ingest", ALLOCSET_DEFAULT_SIZES);
	Ingest		ingest = {0};
	SettleIdentity identity;
	TupleDesc	desc;
	Datum		values[6] = {0};
	bool		nulls[6] = {false};
	int64		total = 0;
	int			nestlevel;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	ingest.book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&ingest.book, SETTLE_CLERK);
	if (left < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_rows must not be negative, it is " INT64_FORMAT, left)));
	identity = settle_book_enter(&ingest.book);
	SPI_connect();
	MemoryContextSwitchTo(outer);
	ingest.context = outer;
	ingest.batch.mappings = take_mappings(&ingest.book, outer, true, &nestlevel);
	ingest.batch.context = AllocSetContextCreate(outer, "rows of an ingest", ALLOCSET_DEFAULT_SIZES);
	ingest.batch.scratch = AllocSetContextCreate(outer, "payload", ALLOCSET_DEFAULT_SIZES);
	do
	{
		MemoryContext old;

		read_batch(&ingest, "s.state = 'new' ORDER BY s.staging_id LIMIT $1", INT8OID, Int64GetDatum(Min(left, BATCH_PAYLOADS)));
		old = MemoryContextSwitchTo(ingest.batch.context);
		if (total == 0)
			settle_progress_begin(&ingest.book, SETTLE_INGESTING, SETTLE_MAPPING, ingest.npayloads < BATCH_PAYLOADS ? ingest.npayloads : count_new(&ingest.book, left));
		if (ingest.npayloads > 0)
			ingest_batch(&ingest);
		MemoryContextSwitchTo(old);
		MemoryContextReset(ingest.batch.context);
		ingest.batch.nrows = ingest.batch.size = 0;
		ingest.batch.rows = NULL;
		total += ingest.npayloads;
		left -= ingest.npayloads;
	} while (ingest.npayloads == BATCH_PAYLOADS && left > 0);
	settle_progress_end();
	settle_env_leave(nestlevel);
	SPI_finish();
	settle_book_leave(identity);
	values[0] = Int64GetDatum(total);
	values[1] = Int64GetDatum(ingest.counts[VERDICT_NONE] + ingest.counts[VERDICT_APPLIED]);
	values[2] = Int64GetDatum(ingest.counts[VERDICT_DUPLICATE]);
	values[3] = Int64GetDatum(ingest.counts[VERDICT_STALE]);
	values[4] = Int64GetDatum(ingest.counts[VERDICT_TIE]);
	values[5] = Int64GetDatum(ingest.counts[VERDICT_QUARANTINED]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * Gives the rows of a batch as objects, without what only a book that stores
 * them knows.
 */
static Datum *
row_objects(Ingest *ingest)
{
	Batch	   *batch = &ingest->batch;
	Datum	   *objects = palloc0(sizeof(Datum) * Max(batch->nrows, 1));
	int		   *rows = palloc(sizeof(int) * Max(batch->nrows, 1));

	for (int entity_no = 0; entity_no < settle_nentities; entity_no++)
	{
		Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
		MemoryContext old;
		int			n = 0;

		for (int i = 0; i < batch->nrows; i++)
			if (batch->rows[i].part->entity_no == entity_no)
			{
				tuplestore_puttuple(store, batch->rows[i].tuple);
				rows[n++] = i;
			}
		if (n == 0)
		{
			tuplestore_end(store);
			continue;
		}
		settle_show_rows(ingest, "mapped", batch->mappings->descs[entity_no], store, n);
		settle_book_execute("SELECT jsonb_strip_nulls(to_jsonb(m)) - '{staging_id,precedence,tied,flags}'::text[] FROM mapped AS m", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		old = MemoryContextSwitchTo(ingest->context);
		for (int i = 0; i < n; i++)
		{
			bool		isnull;

			objects[rows[i]] = PointerGetDatum(PG_DETOAST_DATUM_COPY(settle_spi_datum(i, 1, &isnull)));
		}
		MemoryContextSwitchTo(old);
		SPI_freetuptable(SPI_tuptable);
		settle_hide_rows("mapped", store);
	}
	return objects;
}

PG_FUNCTION_INFO_V1(settle_map_payload);

/*
 * settle.map_payload(book regnamespace, platform text, kind text, payload
 * jsonb, raw bytea) -> rows (entity, columns, flags, field, reason, sqlstate,
 * message): what a payload would become, or why it would become nothing.
 */
Datum
settle_map_payload(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "payload", ALLOCSET_DEFAULT_SIZES);
	Ingest		ingest = {0};
	SettleIdentity identity;
	Landed		landed = {0};
	Mapped		mapped;
	Datum	   *objects;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book and platform must be given")));
	ingest.book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&ingest.book, SETTLE_READER);
	if (PG_ARGISNULL(3) == PG_ARGISNULL(4))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("either payload or raw must be given")));
	InitMaterializedSRF(fcinfo, 0);
	landed.platform = text_to_cstring(PG_GETARG_TEXT_PP(1));
	landed.kind = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	landed.payload = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	landed.raw = PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4);
	landed.received_at = GetCurrentTransactionStartTimestamp();
	identity = settle_book_enter(&ingest.book);
	SPI_connect();
	MemoryContextSwitchTo(context);
	ingest.batch.mappings = take_mappings(&ingest.book, context, false, &nestlevel);
	ingest.context = ingest.batch.context = context;
	ingest.batch.scratch = AllocSetContextCreate(context, "scratch", ALLOCSET_DEFAULT_SIZES);
	ingest.landed = &landed;
	ingest.mapped = &mapped;
	ingest.npayloads = 1;
	map_payloads(&ingest, 0, 1);
	if (mapped.problem.reason != NULL)
	{
		Datum		values[7] = {0};
		bool		nulls[7] = {true, true, true, false, false, false, false};

		values[3] = text_or_null(mapped.problem.field, &nulls[3]);
		values[4] = CStringGetTextDatum(mapped.problem.reason);
		values[5] = CStringGetTextDatum(unpack_sql_state(mapped.problem.sqlstate));
		values[6] = CStringGetTextDatum(mapped.problem.message);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	objects = row_objects(&ingest);
	for (int i = mapped.first; mapped.problem.reason == NULL && i < mapped.first + mapped.nrows; i++)
	{
		const MappedRow *row = &ingest.batch.rows[i];
		TupleDesc	desc = row->part->desc;
		Datum		values[7] = {0};
		bool		nulls[7] = {false, false, true, true, true, true, true};

		values[0] = CStringGetTextDatum(row->part->entity->name);
		values[1] = objects[i];
		if (row->parent < 0)
			values[2] = heap_getattr(row->tuple, settle_column_number(desc, "flags"), desc, &nulls[2]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	settle_env_leave(nestlevel);
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(settle_map_staging);

/*
 * settle._map_staging(book regnamespace, ids bigint[]) -> rows (staging_id,
 * entity, columns): what payloads that stand in staging would become now.  It
 * has the rights of its caller, who is the book.
 */
Datum
settle_map_staging(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "payloads", ALLOCSET_DEFAULT_SIZES);
	Ingest		ingest = {0};
	Datum	   *objects;
	int			nestlevel;

	InitMaterializedSRF(fcinfo, 0);
	ingest.book = settle_book(PG_GETARG_OID(0));
	SPI_connect();
	MemoryContextSwitchTo(context);
	ingest.batch.mappings = take_mappings(&ingest.book, context, false, &nestlevel);
	ingest.context = ingest.batch.context = context;
	ingest.batch.scratch = AllocSetContextCreate(context, "scratch", ALLOCSET_DEFAULT_SIZES);
	read_batch(&ingest, "s.staging_id = ANY ($1) AND num_nonnulls(s.payload, s.raw) = 1 ORDER BY s.staging_id", INT8ARRAYOID, PG_GETARG_DATUM(1));
	map_batch(&ingest);
	objects = row_objects(&ingest);
	for (int i = 0; i < ingest.npayloads; i++)
		for (int row = ingest.mapped[i].first; row < ingest.mapped[i].first + ingest.mapped[i].nrows; row++)
		{
			Datum		values[3] = {Int64GetDatum(ingest.landed[i].staging_id), CStringGetTextDatum(ingest.batch.rows[row].part->entity->name), objects[row]};
			bool		nulls[3] = {false};

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	settle_env_leave(nestlevel);
	SPI_finish();
	return (Datum) 0;
}
