/*
 * merge.c
 *		The rows that payloads became meet those that stand.
 *
 * One statement a table finds the rows that stand.  Which version stands in the
 * end is decided here, by precedence alone, and written set by set.  The lock of
 * ingests keeps others of them away meanwhile.
 */
#include "connect/ingest.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

/* ---- relations that statements read from memory ---- */

void
settle_show_rows(Ingest *ingest, const char *name, TupleDesc desc, Tuplestorestate *store, double rows)
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

void
settle_hide_rows(const char *name, Tuplestorestate *store)
{
	SPI_unregister_relation(name);
	tuplestore_end(store);
}

int
settle_column_number(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
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
		bool		skip = TupleDescAttr(desc, i)->attisdropped || TupleDescAttr(desc, i)->attgenerated != '\0';

		for (int k = 0; without != NULL && k < SETTLE_MAX_KEYS && without[k] != NULL; k++)
			skip |= strcmp(without[k], name) == 0;
		if (!skip)
			appendStringInfo(&list, "%s%s%s", list.len > 0 ? ", " : "", prefix, quote_identifier(name));
	}
	return list.data;
}

/* ---- judging ---- */

/* What is known of one key: the row that stands, and those of the batch. */
typedef struct Rivals
{
	int			entity_no;
	int			key_len;
	const char *key;
	int			first;			/* row of the batch */
	int			best;			/* the first of the greatest precedence */
	const char *stands;			/* precedence of the row that stands, NULL for none */
	int64		staging_id;		/* the payload that it came from */
	bool		tied;
	bool		again;			/* which is in the batch once more: it does not compete with itself */
	const char *greatest;		/* that was met so far, NULL for none */
} Rivals;

/* these begin a Rivals, and are what it is found by */
#define RIVALS_KEY_SIZE		offsetof(Rivals, first)

static uint32
hash_rivals(const void *key, Size size)
{
	const Rivals *rivals = key;

	return hash_combine(hash_bytes((const unsigned char *) rivals->key, rivals->key_len), rivals->entity_no);
}

static int
match_rivals(const void *a, const void *b, Size size)
{
	const Rivals *x = a;
	const Rivals *y = b;

	return x->entity_no != y->entity_no || x->key_len != y->key_len || memcmp(x->key, y->key, x->key_len) != 0;
}

/*
 * Finds, for one row of each key, the precedence of the row of the book that it
 * meets.  The subquery has the database look each of them up by its key, however
 * little it knows of the table yet.
 */
static void
look_up_standing(Ingest *ingest, int entity_no, Rivals **rivals, int n)
{
	const Entity *entity = &settle_entities[entity_no];
	TupleDesc	full = ingest->batch.mappings->descs[entity_no];
	TupleDesc	narrow;
	Tuplestorestate *store;
	int			nkeys = 0;
	int			columns[SETTLE_MAX_KEYS];
	uint64		found;
	bool		isnull;

	for (; nkeys < SETTLE_MAX_KEYS && entity->keys[nkeys] != NULL; nkeys++)
		columns[nkeys] = settle_column_number(full, entity->keys[nkeys]);
	narrow = CreateTemplateTupleDesc(nkeys + 1);
	for (int k = 0; k < nkeys; k++)
		TupleDescCopyEntry(narrow, k + 1, full, columns[k]);
	TupleDescInitEntry(narrow, nkeys + 1, "n", INT4OID, -1, 0);
	store = tuplestore_begin_heap(false, false, work_mem);
	for (int i = 0; i < n; i++)
	{
		Datum		values[SETTLE_MAX_KEYS + 1];
		bool		nulls[SETTLE_MAX_KEYS + 1] = {false};

		for (int k = 0; k < nkeys; k++)
			values[k] = heap_getattr(ingest->batch.rows[rivals[i]->first].tuple, columns[k], full, &nulls[k]);
		values[nkeys] = Int32GetDatum(i);
		tuplestore_putvalues(store, narrow, values, nulls);
	}
	settle_show_rows(ingest, "arrived", narrow, store, n);
	found = settle_book_execute(psprintf("SELECT a.n, c.precedence, c.staging_id, c.tied FROM arrived AS a CROSS JOIN LATERAL (SELECT c.precedence, c.staging_id, c.tied FROM %s.%s AS c WHERE %s OFFSET 0) AS c",
										 ingest->book.name, entity->name, key_list(entity->keys, "c.? = a.?", " AND ")),
								0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < found; i++)
	{
		Rivals	   *met = rivals[DatumGetInt32(settle_spi_datum(i, 1, &isnull))];

		met->stands = TextDatumGetCString(settle_spi_datum(i, 2, &isnull));
		met->staging_id = DatumGetInt64(settle_spi_datum(i, 3, &isnull));
		met->tied = DatumGetBool(settle_spi_datum(i, 4, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	settle_hide_rows("arrived", store);
}

/* The hash of the content, which a signal has not. */
static const char *
hash_part(const char *precedence)
{
	return precedence[0] == '\0' ? precedence : precedence + SETTLE_VERSION_BYTES;
}

/*
 * What a row is to the greatest of its key before it.
 */
static Verdict
verdict_of(const char *precedence, const char *greatest)
{
	if (greatest == NULL)
		return VERDICT_APPLIED;
	if (strcmp(hash_part(precedence), hash_part(greatest)) == 0)
		return VERDICT_DUPLICATE;
	if (strncmp(precedence, greatest, SETTLE_VERSION_BYTES) == 0)
		return VERDICT_TIE;
	return strcmp(precedence, greatest) > 0 ? VERDICT_APPLIED : VERDICT_STALE;
}

/*
 * Whether the best row of a key is written.
 */
static void
decide(Ingest *ingest, int row, const Rivals *rivals)
{
	MappedRow  *best = &ingest->batch.rows[row];
	RowState   *state = &ingest->states[row];

	state->replaces = rivals->stands != NULL;
	state->wins = rivals->stands == NULL || rivals->again ||
		(strcmp(best->precedence, rivals->stands) > 0 && strcmp(hash_part(best->precedence), hash_part(rivals->stands)) != 0);
	/* what is read again of the same version stays tied */
	if (rivals->again && rivals->tied && strncmp(best->precedence, rivals->stands, SETTLE_VERSION_BYTES) == 0)
	{
		int			column = best->part->columns[COLUMN_TIED] + 1;
		Datum		value = BoolGetDatum(true);
		bool		isnull = false;

		best->tuple = heap_modify_tuple_by_cols(best->tuple, best->part->desc, 1, &column, &value, &isnull);
	}
}

/*
 * Finds out what every row is to those that stand and to those before it in the
 * batch, and which ones win.
 */
static void
judge(Ingest *ingest)
{
	Batch	   *batch = &ingest->batch;
	HASHCTL		control = {
		.keysize = RIVALS_KEY_SIZE, .entrysize = sizeof(Rivals), .hash = hash_rivals, .match = match_rivals, .hcxt = batch->context
	};
	HTAB	   *table = hash_create("rows that meet", Max(batch->nrows, 16), &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	Rivals	  **of_row = palloc_extended(sizeof(Rivals *) * Max(batch->nrows, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	Rivals	  **met = palloc_extended(sizeof(Rivals *) * Max(batch->nrows, 1), MCXT_ALLOC_HUGE);

	for (int e = 0; e < settle_nentities; e++)
	{
		int			n = 0;

		for (int i = 0; i < batch->nrows; i++)
		{
			Rivals		key = {e, batch->rows[i].key_len, batch->rows[i].key};
			bool		found;

			if (batch->rows[i].part->entity_no != e || batch->rows[i].precedence == NULL)
				continue;
			of_row[i] = hash_search(table, &key, HASH_ENTER, &found);
			if (found)
				continue;
			memset((char *) of_row[i] + RIVALS_KEY_SIZE, 0, sizeof(Rivals) - RIVALS_KEY_SIZE);
			of_row[i]->first = of_row[i]->best = i;
			met[n++] = of_row[i];
		}
		if (n > 0)
			look_up_standing(ingest, e, met, n);
	}
	for (int i = 0; i < batch->nrows; i++)
		if (of_row[i] != NULL && of_row[i]->stands != NULL && of_row[i]->staging_id == batch->rows[i].staging_id)
			of_row[i]->again = true;
	for (int i = 0; i < batch->nrows; i++)
	{
		const char *precedence = batch->rows[i].precedence;
		Rivals	   *rivals = of_row[i];

		if (rivals == NULL)
			continue;
		if (rivals->first == i && !rivals->again)
			rivals->greatest = rivals->stands;
		ingest->states[i].verdict = verdict_of(precedence, rivals->greatest);
		if (rivals->greatest == NULL || strcmp(precedence, rivals->greatest) > 0)
			rivals->greatest = precedence;
		if (strcmp(precedence, batch->rows[rivals->best].precedence) > 0)
			rivals->best = i;
	}
	for (int i = 0; i < batch->nrows; i++)
		if (of_row[i] != NULL && of_row[i]->best == i)
			decide(ingest, i, of_row[i]);
	hash_destroy(table);
}

/* ---- writing ---- */

typedef bool (*Choice) (Ingest *ingest, int row);

static bool
wins(Ingest *ingest, int row)
{
	int			parent = ingest->batch.rows[row].parent;

	return ingest->states[parent < 0 ? row : parent].wins;
}

/* A row of a key that does not stand yet. */
static bool
is_new(Ingest *ingest, int row)
{
	return ingest->states[row].wins && !ingest->states[row].replaces;
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
		if (ingest->batch.rows[i].part->entity_no == entity_no && choice(ingest, i))
		{
			tuplestore_puttuple(store, ingest->batch.rows[i].tuple);
			n++;
		}
	settle_show_rows(ingest, "mapped", ingest->batch.mappings->descs[entity_no], store, n);
	if (n > 0)
		settle_book_execute(sql, 0, NULL, NULL, NULL, expected);
	settle_hide_rows("mapped", store);
}

/*
 * Inserts some rows of an entity, pages at once where their table allows it.
 */
static void
insert(Ingest *ingest, int entity_no, Choice choice)
{
	const char *name = settle_entities[entity_no].name;
	TupleDesc	desc = ingest->batch.mappings->descs[entity_no];
	HeapTuple  *tuples = palloc_extended(sizeof(HeapTuple) * Max(ingest->batch.nrows, 1), MCXT_ALLOC_HUGE);
	int			n = 0;

	for (int i = 0; i < ingest->batch.nrows; i++)
		if (ingest->batch.rows[i].part->entity_no == entity_no && choice(ingest, i))
			tuples[n++] = ingest->batch.rows[i].tuple;
	if (n > 0 && !settle_insert_rows(get_relname_relid(name, ingest->book.schema), tuples, n))
		execute_over(ingest, entity_no, choice,
					 psprintf("INSERT INTO %s.%s (%s) SELECT %s FROM mapped AS m", ingest->book.name, name, column_list(desc, "", NULL), column_list(desc, "m.", NULL)),
					 SPI_OK_INSERT);
	pfree(tuples);
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

	insert(ingest, entity_no, is_new);
	execute_over(ingest, entity_no, replaces,
				 psprintf("INSERT INTO %1$s.%2$s (%3$s) SELECT %4$s FROM mapped AS m ON CONFLICT (%5$s) DO UPDATE SET (%6$s) = ROW (%7$s)",
						  book, entity->name, column_list(desc, "", NULL), column_list(desc, "m.", NULL), key_list(entity->keys, "?", ", "),
						  column_list(desc, "", entity->keys), column_list(desc, "excluded.", entity->keys)),
				 SPI_OK_INSERT);
	execute_over(ingest, entity_no, ties,
				 psprintf("UPDATE %1$s.%2$s AS c SET tied = true FROM mapped AS m WHERE %3$s "
						  "AND left(c.precedence, " CppAsString2(SETTLE_VERSION_BYTES) ") = left(m.precedence, " CppAsString2(SETTLE_VERSION_BYTES) ") AND NOT c.tied",
						  book, entity->name, key_list(entity->keys, "c.? = m.?", " AND ")),
				 SPI_OK_UPDATE);
	for (int i = 0; i < settle_nentities; i++)
	{
		const Entity *child = &settle_entities[i];

		if (child->parent == NULL || ingest->batch.mappings->descs[i] == NULL || strcmp(child->parent, entity->name) != 0)
			continue;
		execute_over(ingest, entity_no, replaces,
					 psprintf("DELETE FROM %s.%s AS c USING mapped AS m WHERE %s", book, child->name, key_list(entity->keys, "c.? = m.?", " AND ")),
					 SPI_OK_DELETE);
		insert(ingest, i, wins);
	}
}

/*
 * Brings the rows of a batch into their tables.
 */
void
settle_merge(Ingest *ingest)
{
	ingest->states = palloc_extended(sizeof(RowState) * Max(ingest->batch.nrows, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	judge(ingest);
	for (int i = 0; i < settle_nentities; i++)
		if (settle_entities[i].parent == NULL && ingest->batch.mappings->descs[i] != NULL)
			write_winners(ingest, i);
}
