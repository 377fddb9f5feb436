/*
 * remember.c
 *		Rows of a book that the session knows from before.
 *
 * What each ticket that settles at its commit asks of the book is the same from
 * one to the next: its settings, the source, whether a period is closed, the
 * numbers of the parties.  Such a row is looked up once and kept until its table
 * is said to have changed.  PostgreSQL says so of a table that is altered; of
 * its rows settle.forget_rows does, a trigger on those whose rows change.
 *
 * Whoever changes a row tells others right after his commit, before he lets go
 * of his locks: what must not be missed by a moment needs a lock that both take,
 * or has to be looked up.  A row of this transaction, which may yet be rolled
 * back, is not remembered, and in a transaction that keeps one snapshot nothing
 * is: what is known may be newer.
 */
#include "book/rows.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Bytes of a key; a row of a longer one is looked up each time. */
#define LONGEST_KEY			64

/* Rows; with so many the session begins anew, some megabytes later. */
#define MOST_REMEMBERED		20000

typedef struct RememberedKey
{
	const SettleLookup *lookup;
	Oid			schema;
	Oid			user;			/* who was found to be allowed to read it */
	int32		len;
	char		bytes[LONGEST_KEY];
} RememberedKey;

typedef struct RememberedRow
{
	RememberedKey key;			/* must be first */
	bool		found;
	Datum		values[SETTLE_LOOKUP_COLUMNS];
	bool		nulls[SETTLE_LOOKUP_COLUMNS];
	bool		byval[SETTLE_LOOKUP_COLUMNS];
	int16		len[SETTLE_LOOKUP_COLUMNS];
} RememberedRow;

static HTAB *watched = NULL;	/* tables of which rows are remembered */
static uint64 changes = 0;		/* of any of them */

static MemoryContext memory = NULL;
static HTAB *rows = NULL;
static uint64 rows_as_of;		/* changes that there had been before */

/*
 * Hears that a table has changed; InvalidOid stands for any.
 */
static void
hear_of_change(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || watched == NULL || hash_search(watched, &relid, HASH_FIND, NULL) != NULL)
		changes++;
}

static void
begin_memory(void)
{
	HASHCTL		tables = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};
	HASHCTL		control = {.keysize = sizeof(RememberedKey), .entrysize = sizeof(RememberedRow)};

	if (memory == NULL)
	{
		memory = AllocSetContextCreate(CacheMemoryContext, "scrm_settle remembered rows", ALLOCSET_DEFAULT_SIZES);
		CacheRegisterRelcacheCallback(hear_of_change, (Datum) 0);
	}
	rows = watched = NULL;
	MemoryContextReset(memory);
	tables.hcxt = control.hcxt = memory;
	watched = hash_create("scrm_settle watched tables", 64, &tables, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	rows = hash_create("scrm_settle remembered rows", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	rows_as_of = changes;
}

/*
 * Makes the key that a row is remembered by; false where it is too long.
 */
static bool
make_key(RememberedKey *key, const SettleBook *book, const SettleLookup *lookup, const Datum *keys)
{
	memset(key, 0, sizeof(*key));
	key->lookup = lookup;
	key->schema = book->schema;
	key->user = GetUserId();
	for (int i = 0; i < SETTLE_LOOKUP_KEYS && lookup->keys[i].name != NULL; i++)
	{
		const char *bytes;
		int			len;

		if (lookup->keys[i].type == NAMEOID)
		{
			bytes = NameStr(*DatumGetName(keys[i]));
			len = (int) strlen(bytes) + 1;
		}
		else
		{
			Assert(lookup->keys[i].type == TEXTOID || lookup->keys[i].type == BYTEAOID);
			bytes = VARDATA_ANY(DatumGetPointer(keys[i]));
			len = (int) VARSIZE_ANY_EXHDR(DatumGetPointer(keys[i]));
		}
		/* several would need to be told apart */
		if (i > 0 || len > LONGEST_KEY)
			return false;
		memcpy(key->bytes, bytes, len);
		key->len = len;
	}
	return true;
}

/*
 * Tells whether a row that was found is one that this transaction has written.
 */
static bool
is_own(const SettleScan *scan)
{
	bool		isnull;

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot_getsysattr(scan->slot, MinTransactionIdAttributeNumber, &isnull)));
}

static void
remember(const RememberedKey *key, const SettleScan *scan, bool found)
{
	RememberedRow *row = hash_search(rows, key, HASH_ENTER, NULL);
	MemoryContext old = MemoryContextSwitchTo(memory);

	/* nothing is found should memory run out */
	row->found = false;
	if (found)
		settle_scan_copy(scan, row->values, row->nulls);
	for (int i = 0; found && i < scan->ncolumns; i++)
	{
		Form_pg_attribute a = TupleDescAttr(scan->slot->tts_tupleDescriptor, scan->columns[i] - 1);

		row->byval[i] = a->attbyval;
		row->len[i] = a->attlen;
	}
	row->found = found;
	MemoryContextSwitchTo(old);
}

/*
 * Looks a row up, and remembers it where that is allowed.
 */
static SettleFound
look(const RememberedKey *key, const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls)
{
	Oid			relid = get_relname_relid(lookup->table, book->schema);
	uint64		before;
	SettleScan	scan;
	bool		found;

	if (!OidIsValid(relid))
		return SETTLE_ASK;
	/* what changes from here on is heard of, and a snapshot is taken after it */
	(void) hash_search(watched, &relid, HASH_ENTER, NULL);
	before = changes;
	if (!settle_scan_begin(&scan, book, lookup, keys))
		return SETTLE_ASK;
	found = settle_scan_next(&scan);
	if (found)
		settle_scan_copy(&scan, values, nulls);
	if (before == changes && rows_as_of == changes && RelationGetRelid(scan.table) == relid && (found ? !is_own(&scan) : lookup->told_of_all))
		remember(key, &scan, found);
	settle_scan_end(&scan);
	return found ? SETTLE_FOUND : SETTLE_NOT_FOUND;
}

SettleFound
settle_find_known_row(const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls)
{
	RememberedKey key;
	const RememberedRow *row;

	if (IsolationUsesXactSnapshot() || settle_book_reads_only || !make_key(&key, book, lookup, keys))
		return settle_find_row(book, lookup, keys, values, nulls);
	if (rows == NULL || rows_as_of != changes || hash_get_num_entries(rows) >= MOST_REMEMBERED)
		begin_memory();
	row = hash_search(rows, &key, HASH_FIND, NULL);
	if (row == NULL)
		return look(&key, book, lookup, keys, values, nulls);
	for (int i = 0; row->found && i < SETTLE_LOOKUP_COLUMNS && lookup->columns[i].name != NULL; i++)
	{
		nulls[i] = row->nulls[i];
		values[i] = nulls[i] ? (Datum) 0 : datumCopy(row->values[i], row->byval[i], row->len[i]);
	}
	return row->found ? SETTLE_FOUND : SETTLE_NOT_FOUND;
}

/*
 * settle.forget_rows() returns trigger
 *
 * Statement trigger on tables of which sessions remember rows.
 */
PG_FUNCTION_INFO_V1(settle_forget_rows);
Datum
settle_forget_rows(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.forget_rows is not called as an AFTER statement trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
