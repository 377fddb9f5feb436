/*
 * ingest.c
 *		New rows of staging become rows of the book: settle.ingest.
 *
 * Ingests of a book exclude each other by a lock on its table mapping, which
 * also keeps the mappings as they are meanwhile; connectors go on landing.
 * Payloads are read in chunks inside a subtransaction that writes nothing.
 * What is wrong with a payload is its verdict, not an error; only where an
 * expression fails, or text inside of a payload does not parse, is the chunk
 * repeated payload by payload.  What comes out is merged set by set: one
 * statement says of all rows of a table what they are to the ones that stand,
 * another writes those that win.
 */
#include "connect/connect.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

/* payloads that are read and merged at a time, and inside one subtransaction */
#define BATCH_PAYLOADS	5000
#define CHUNK_PAYLOADS	250

/* bytes of a precedence before the hash of the content */
#define VERSION_BYTES	"21"

typedef enum Verdict
{
	VERDICT_NONE,
	VERDICT_DUPLICATE,
	VERDICT_STALE,
	VERDICT_TIE,
	VERDICT_APPLIED,
	VERDICT_QUARANTINED
} Verdict;

static const char *const verdict_names[] = {"applied", "duplicate", "stale", "tie", "applied", "quarantined"};

typedef struct RowState
{
	Verdict		verdict;
	bool		wins;
	bool		replaces;		/* another version that stands */
} RowState;

typedef struct Ingest
{
	SettleBook	book;
	MemoryContext context;		/* lives as long as the connection to SPI, which keeps its list of relations in it */
	Batch		batch;
	RowState   *states;			/* by row of the batch */
	int			npayloads;
	SPITupleTable *landed_rows;	/* that landed points to */
	Landed	   *landed;
	Mapped	   *mapped;
	int64		counts[lengthof(verdict_names)];
} Ingest;

/* ---- reading ---- */

static void
read_batch(Ingest *ingest, int limit)
{
	MemoryContext old = CurrentMemoryContext;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(limit)};

	ingest->npayloads = settle_book_execute(psprintf("SELECT s.staging_id, s.platform, s.kind, s.shop, s.received_at, s.payload, s.raw "
													 "FROM %s.staging AS s WHERE s.state = 'new' ORDER BY s.staging_id LIMIT $1", ingest->book.name),
											1, types, values, NULL, SPI_OK_SELECT);
	MemoryContextSwitchTo(ingest->batch.context);
	ingest->landed = palloc0(sizeof(Landed) * Max(ingest->npayloads, 1));
	ingest->mapped = palloc0(sizeof(Mapped) * Max(ingest->npayloads, 1));
	for (int i = 0; i < ingest->npayloads; i++)
	{
		Landed	   *landed = &ingest->landed[i];
		bool		isnull;
		Datum		value;

		landed->staging_id = DatumGetInt64(settle_spi_datum(i, 1, &isnull));
		landed->platform = TextDatumGetCString(settle_spi_datum(i, 2, &isnull));
		value = settle_spi_datum(i, 3, &isnull);
		landed->kind = isnull ? NULL : TextDatumGetCString(value);
		value = settle_spi_datum(i, 4, &isnull);
		landed->shop = isnull ? NULL : TextDatumGetCString(value);
		landed->received_at = DatumGetTimestampTz(settle_spi_datum(i, 5, &isnull));
		landed->payload = settle_spi_datum(i, 6, &isnull);
		landed->raw = settle_spi_datum(i, 7, &isnull);
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
	}
}

/* ---- relations that statements read from memory ---- */

static void
show_rows(Ingest *ingest, const char *name, TupleDesc desc, Tuplestorestate *store, double rows)
{
	MemoryContext old = MemoryContextSwitchTo(ingest->context);
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = pstrdup(name);
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = Max(rows, 1);
	relation->reldata = store;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", name);
	MemoryContextSwitchTo(old);
}

static void
hide_rows(const char *name, Tuplestorestate *store)
{
	SPI_unregister_relation(name);
	tuplestore_end(store);
}

static int
column_number(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	elog(ERROR, "column \"%s\" does not exist", name);
}

/* The columns of a key, after a prefix, with a separator between them. */
static char *
key_list(const char *const *keys, const char *format, const char *separator)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < SETTLE_MAX_KEYS && keys[i] != NULL; i++)
	{
		if (i > 0)
			appendStringInfoString(&list, separator);
		for (const char *at = format; *at != '\0'; at++)
			if (*at == '?')
				appendStringInfoString(&list, quote_identifier(keys[i]));
			else
				appendStringInfoChar(&list, *at);
	}
	return list.data;
}

static char *
column_list(TupleDesc desc, const char *prefix, const char *const *without)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);
		bool		skip = false;

		for (int k = 0; without != NULL && k < SETTLE_MAX_KEYS && without[k] != NULL; k++)
			skip |= strcmp(without[k], name) == 0;
		if (!skip)
			appendStringInfo(&list, "%s%s%s", list.len > 0 ? ", " : "", prefix, quote_identifier(name));
	}
	return list.data;
}

/* ---- merging ---- */

/*
 * Has the database say what the rows of an entity are to those that stand and
 * to those before them in the batch.
 */
static void
judge(Ingest *ingest, int entity_no)
{
	const Entity *entity = &settle_entities[entity_no];
	TupleDesc	full = ingest->batch.mappings->descs[entity_no];
	TupleDesc	narrow;
	Tuplestorestate *store;
	int			nkeys = 0;
	int			columns[SETTLE_MAX_KEYS + 1];
	int			n = 0;
	uint64		found;
	bool		isnull;

	for (int i = 0; i < ingest->batch.nrows; i++)
		n += ingest->batch.rows[i].part->entity == entity;
	if (n == 0)
		return;
	while (nkeys < SETTLE_MAX_KEYS && entity->keys[nkeys] != NULL)
	{
		columns[nkeys] = column_number(full, entity->keys[nkeys]);
		nkeys++;
	}
	columns[nkeys] = column_number(full, "precedence");
	narrow = CreateTemplateTupleDesc(nkeys + 2);
	for (int i = 0; i <= nkeys; i++)
		TupleDescCopyEntry(narrow, i + 1, full, columns[i]);
	TupleDescInitEntry(narrow, nkeys + 2, "n", INT4OID, -1, 0);

	store = tuplestore_begin_heap(false, false, work_mem);
	for (int i = 0; i < ingest->batch.nrows; i++)
	{
		Datum		values[SETTLE_MAX_KEYS + 2];
		bool		nulls[SETTLE_MAX_KEYS + 2] = {false};

		if (ingest->batch.rows[i].part->entity != entity)
			continue;
		for (int k = 0; k <= nkeys; k++)
			values[k] = heap_getattr(ingest->batch.rows[i].tuple, columns[k], full, &nulls[k]);
		values[nkeys + 1] = Int32GetDatum(i);
		tuplestore_putvalues(store, narrow, values, nulls);
	}
	show_rows(ingest, "arrived", narrow, store, n);
	found = settle_book_execute(psprintf(
		"SELECT w.n, CASE "
		"WHEN w.prior IS NULL THEN 4 "
		"WHEN right(w.prior, 64) = right(w.precedence, 64) THEN 1 "
		"WHEN left(w.prior, " VERSION_BYTES ") = left(w.precedence, " VERSION_BYTES ") THEN 3 "
		"WHEN w.prior < w.precedence THEN 4 ELSE 2 END, "
		"w.precedence = w.best AND w.same = 1 AND (w.stands IS NULL OR w.precedence > w.stands AND right(w.precedence, 64) <> right(w.stands, 64)), "
		"w.stands IS NOT NULL "
		"FROM (SELECT a.n, a.precedence, c.precedence AS stands, "
		"greatest(max(a.precedence) OVER (PARTITION BY %1$s ORDER BY a.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), c.precedence) AS prior, "
		"max(a.precedence) OVER (PARTITION BY %1$s) AS best, "
		"row_number() OVER (PARTITION BY %1$s, a.precedence ORDER BY a.n) AS same "
		"FROM arrived AS a LEFT JOIN %2$s.%3$s AS c ON %4$s) AS w",
		key_list(entity->keys, "a.?", ", "), ingest->book.name, entity->name, key_list(entity->keys, "c.? = a.?", " AND ")),
								0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < found; i++)
	{
		RowState   *state = &ingest->states[DatumGetInt32(settle_spi_datum(i, 1, &isnull))];

		state->verdict = DatumGetInt32(settle_spi_datum(i, 2, &isnull));
		state->wins = DatumGetBool(settle_spi_datum(i, 3, &isnull));
		state->replaces = DatumGetBool(settle_spi_datum(i, 4, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	hide_rows("arrived", store);
}

typedef bool (*Choice) (Ingest *ingest, int row);

static bool
wins(Ingest *ingest, int row)
{
	int			parent = ingest->batch.rows[row].parent;

	return ingest->states[parent < 0 ? row : parent].wins;
}

static bool
replaces(Ingest *ingest, int row)
{
	return ingest->states[row].wins && ingest->states[row].replaces;
}

static bool
ties(Ingest *ingest, int row)
{
	return ingest->states[row].verdict == VERDICT_TIE;
}

/*
 * Runs a statement over some rows of an entity, which it sees as "mapped".
 */
static void
execute_over(Ingest *ingest, int entity_no, Choice choice, const char *sql, int expected)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	int			n = 0;

	for (int i = 0; i < ingest->batch.nrows; i++)
		if (ingest->batch.rows[i].part->entity == &settle_entities[entity_no] && choice(ingest, i))
		{
			tuplestore_puttuple(store, ingest->batch.rows[i].tuple);
			n++;
		}
	show_rows(ingest, "mapped", ingest->batch.mappings->descs[entity_no], store, n);
	if (n > 0)
		settle_book_execute(sql, 0, NULL, NULL, NULL, expected);
	hide_rows("mapped", store);
}

/*
 * Writes the rows of an entity that win, replaces what belongs to them, and
 * flags what has another version of the same second.
 */
static void
write_winners(Ingest *ingest, int entity_no)
{
	const Entity *entity = &settle_entities[entity_no];
	TupleDesc	desc = ingest->batch.mappings->descs[entity_no];
	const char *book = ingest->book.name;

	execute_over(ingest, entity_no, wins,
				 psprintf("INSERT INTO %1$s.%2$s (%3$s) SELECT %4$s FROM mapped AS m ON CONFLICT (%5$s) DO UPDATE SET (%6$s) = ROW (%7$s)",
						  book, entity->name, column_list(desc, "", NULL), column_list(desc, "m.", NULL), key_list(entity->keys, "?", ", "),
						  column_list(desc, "", entity->keys), column_list(desc, "excluded.", entity->keys)),
				 SPI_OK_INSERT);
	execute_over(ingest, entity_no, ties,
				 psprintf("UPDATE %1$s.%2$s AS c SET tied = true FROM mapped AS m WHERE %3$s "
						  "AND left(c.precedence, " VERSION_BYTES ") = left(m.precedence, " VERSION_BYTES ") AND NOT c.tied",
						  book, entity->name, key_list(entity->keys, "c.? = m.?", " AND ")),
				 SPI_OK_UPDATE);
	for (int i = 0; i < settle_nentities; i++)
	{
		const Entity *child = &settle_entities[i];
		TupleDesc	columns = ingest->batch.mappings->descs[i];

		if (child->parent == NULL || columns == NULL || strcmp(child->parent, entity->name) != 0)
			continue;
		execute_over(ingest, entity_no, replaces,
					 psprintf("DELETE FROM %s.%s AS c USING mapped AS m WHERE %s", book, child->name, key_list(entity->keys, "c.? = m.?", " AND ")),
					 SPI_OK_DELETE);
		execute_over(ingest, i, wins,
					 psprintf("INSERT INTO %s.%s (%s) SELECT %s FROM mapped AS m", book, child->name, column_list(columns, "", NULL), column_list(columns, "m.", NULL)),
					 SPI_OK_INSERT);
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

static TupleDesc
verdict_desc(void)
{
	static const struct
	{
		const char *name;
		Oid			type;
	}			columns[] = {
		{"staging_id", INT8OID}, {"kind", TEXTOID}, {"external_key", TEXTOID}, {"version", TIMESTAMPTZOID}, {"content_hash", TEXTOID},
		{"state", TEXTOID}, {"field", TEXTOID}, {"reason", TEXTOID}, {"sqlstate", TEXTOID}, {"message", TEXTOID}
	};
	TupleDesc	desc = CreateTemplateTupleDesc(lengthof(columns));

	for (int i = 0; i < lengthof(columns); i++)
		TupleDescInitEntry(desc, i + 1, columns[i].name, columns[i].type, -1, 0);
	return desc;
}

static void
write_verdicts(Ingest *ingest)
{
	TupleDesc	desc = verdict_desc();
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);

	for (int i = 0; i < ingest->npayloads; i++)
	{
		const Mapped *mapped = &ingest->mapped[i];
		const MappedRow *first = mapped->nrows > 0 ? &ingest->batch.rows[mapped->first] : NULL;
		Verdict		verdict = verdict_on(ingest, mapped);
		Datum		values[10];
		bool		nulls[10] = {false};

		ingest->counts[verdict]++;
		values[0] = Int64GetDatum(ingest->landed[i].staging_id);
		values[1] = text_or_null(mapped->mapping == NULL ? ingest->landed[i].kind : mapped->mapping->kind, &nulls[1]);
		values[2] = text_or_null(first == NULL ? NULL : first->key, &nulls[2]);
		values[3] = TimestampTzGetDatum(first == NULL ? 0 : first->version);
		nulls[3] = first == NULL;
		values[4] = text_or_null(first == NULL || first->precedence[0] == '\0' ? NULL : first->precedence + strlen(first->precedence) - 64, &nulls[4]);
		values[5] = CStringGetTextDatum(verdict_names[verdict]);
		values[6] = text_or_null(mapped->problem.field, &nulls[6]);
		values[7] = text_or_null(mapped->problem.reason != NULL ? mapped->problem.reason : mapped->flags, &nulls[7]);
		values[8] = text_or_null(mapped->problem.reason == NULL ? NULL : unpack_sql_state(mapped->problem.sqlstate), &nulls[8]);
		values[9] = text_or_null(mapped->problem.reason == NULL ? NULL : mapped->problem.message, &nulls[9]);
		tuplestore_putvalues(store, desc, values, nulls);
	}
	show_rows(ingest, "verdict", desc, store, ingest->npayloads);
	settle_book_execute(psprintf("UPDATE %s.staging AS s SET kind = v.kind, external_key = v.external_key, version = v.version, "
								 "content_hash = decode(v.content_hash, 'hex'), state = v.state, field = v.field, reason = v.reason, "
								 "sqlstate = v.sqlstate, message = v.message, ingested_at = statement_timestamp() "
								 "FROM verdict AS v WHERE s.staging_id = v.staging_id", ingest->book.name),
						0, NULL, NULL, NULL, SPI_OK_UPDATE);
	hide_rows("verdict", store);
}

/* ---- who was erased ---- */

static bool
any(Ingest *ingest, int row)
{
	return true;
}

/*
 * Forgets again what a batch has brought of somebody who was erased, whatever
 * became of its payloads: stale ones and duplicates have a body too.
 */
static void
forget_erased(Ingest *ingest)
{
	static const struct
	{
		const char *entity;
		const char *subject;	/* as <book>.erased has it */
	}			subjects[] = {
		{"shop_order", "m.platform || ':order:' || m.order_no"},
		{"refund", "m.platform || ':order:' || m.order_no"},
		{"shop_payment", "m.platform || ':payment:' || m.payment_no"},
		{"shipment", "'parcel:' || m.tracking_no"},
		{"customer_identity", "m.subject"},
		{"person", "m.subject"},
		{"platform_ticket", "m.platform || ':ticket:' || m.ticket_no"},
		{"signal", "m.platform || ':order:' || m.order_no"},
	};

	if (settle_book_execute(psprintf("SELECT FROM %s.erased LIMIT 1", ingest->book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	for (int i = 0; i < lengthof(subjects); i++)
		for (int entity_no = 0; entity_no < settle_nentities; entity_no++)
			if (strcmp(settle_entities[entity_no].name, subjects[i].entity) == 0 && ingest->batch.mappings->descs[entity_no] != NULL)
				execute_over(ingest, entity_no, any,
							 psprintf("SELECT settle._forget(%u::regnamespace, array_agg(e.subject), array_agg(m.staging_id)) "
									  "FROM mapped AS m JOIN %s.erased AS e ON e.subject = %s HAVING count(*) > 0",
									  ingest->book.schema, ingest->book.name, subjects[i].subject),
							 SPI_OK_SELECT);
}

static void
ingest_batch(Ingest *ingest)
{
	map_batch(ingest);
	SPI_freetuptable(ingest->landed_rows);
	ingest->states = palloc0(sizeof(RowState) * Max(ingest->batch.nrows, 1));
	for (int i = 0; i < settle_nentities; i++)
		if (settle_entities[i].parent == NULL && ingest->batch.mappings->descs[i] != NULL)
			judge(ingest, i);
	for (int i = 0; i < settle_nentities; i++)
		if (settle_entities[i].parent == NULL && ingest->batch.mappings->descs[i] != NULL)
			write_winners(ingest, i);
	write_verdicts(ingest);
	forget_erased(ingest);
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

		read_batch(&ingest, (int) Min(left, BATCH_PAYLOADS));
		old = MemoryContextSwitchTo(ingest.batch.context);
		if (ingest.npayloads > 0)
			ingest_batch(&ingest);
		MemoryContextSwitchTo(old);
		MemoryContextReset(ingest.batch.context);
		ingest.batch.nrows = ingest.batch.size = 0;
		ingest.batch.rows = NULL;
		total += ingest.npayloads;
		left -= ingest.npayloads;
	} while (ingest.npayloads == BATCH_PAYLOADS && left > 0);
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
 * Gives a row as an object, without what only a book that stores it knows.
 */
static Datum
row_object(Ingest *ingest, const MappedRow *row, TupleDesc desc)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	MemoryContext old;
	Datum		result;
	bool		isnull;

	tuplestore_puttuple(store, row->tuple);
	show_rows(ingest, "mapped", desc, store, 1);
	settle_book_execute("SELECT jsonb_strip_nulls(to_jsonb(m)) - '{staging_id,precedence,tied,flags}'::text[] FROM mapped AS m", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	old = MemoryContextSwitchTo(ingest->context);
	result = PointerGetDatum(PG_DETOAST_DATUM_COPY(settle_spi_datum(0, 1, &isnull)));
	MemoryContextSwitchTo(old);
	hide_rows("mapped", store);
	return result;
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
	for (int i = mapped.first; mapped.problem.reason == NULL && i < mapped.first + mapped.nrows; i++)
	{
		const MappedRow *row = &ingest.batch.rows[i];
		TupleDesc	desc = row->part->desc;
		Datum		values[7] = {0};
		bool		nulls[7] = {false, false, true, true, true, true, true};

		values[0] = CStringGetTextDatum(row->part->entity->name);
		values[1] = row_object(&ingest, row, desc);
		if (row->parent < 0)
			values[2] = heap_getattr(row->tuple, column_number(desc, "flags"), desc, &nulls[2]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	settle_env_leave(nestlevel);
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
