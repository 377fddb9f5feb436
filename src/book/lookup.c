/*
 * lookup.c
 *		Finds rows of a book's tables by an index, without a statement.
 *
 * A ticket that settles at its commit looks at a dozen rows, each by its key.
 * A statement for one, its plan kept, takes several times as long as the look
 * into the index that it makes.
 *
 * What was found out about a table, where its columns are and which index
 * serves, is kept in the session as long as the row type of the table has the
 * same identifier: it gets another one with any change of the table or of its
 * indexes.  As with statements, the table must be one that the current user,
 * the owner of the book, may read, and whose rows no policy hides.
 */
#include "book/rows.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/dependency.h"
#include "catalog/pg_am.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

typedef struct KnownKey
{
	const SettleLookup *lookup;
	Oid			table;
} KnownKey;

typedef struct KnownLookup
{
	KnownKey	key;			/* must be first */
	uint64		row_type;
	bool		usable;
	Oid			index;
	int			nkeys;
	ScanKeyData keys[SETTLE_LOOKUP_KEYS];
	int			ncolumns;
	AttrNumber	columns[SETTLE_LOOKUP_COLUMNS];
} KnownLookup;

/* How many of a kind are remembered at most; then a session begins anew. */
#define KNOWN_LOOKUPS	512

static HTAB *known_lookups = NULL;

/*
 * Empties a table of what is remembered once it is full.
 */
static void
make_room(HTAB *known)
{
	HASH_SEQ_STATUS scan;
	void	   *entry;

	if (hash_get_num_entries(known) < KNOWN_LOOKUPS)
		return;
	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
		(void) hash_search(known, entry, HASH_REMOVE, NULL);
}

static AttrNumber
column_number(Relation table, const SettleColumn *column)
{
	TupleDesc	desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (!a->attisdropped && (a->atttypid == column->type || !OidIsValid(column->type)) && strcmp(NameStr(a->attname), column->name) == 0)
			return i + 1;
	}
	return InvalidAttrNumber;
}

/*
 * Makes the key of a scan by one column of an index; false where its values
 * have no equality, or one that is not PostgreSQL's own: that is for a statement.
 */
static bool
make_key(Relation index, int column, ScanKey key)
{
	Oid			type = index->rd_opcintype[column];
	Oid			operator = get_opfamily_member(index->rd_opfamily[column], type, type, BTEqualStrategyNumber);

	if (!OidIsValid(operator) || index->rd_opfamily[column] >= FirstNormalObjectId)
		return false;
	ScanKeyEntryInitialize(key, 0, column + 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[column], get_opcode(operator), (Datum) 0);
	return true;
}

/*
 * Makes the keys of a scan of an index, where it serves.
 */
static bool
make_keys(Relation table, Relation index, const SettleLookup *lookup, KnownLookup *known)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || form->indcheckxmin || form->indnkeyatts < known->nkeys)
		return false;
	if (lookup->index != NULL ? strcmp(RelationGetRelationName(index), lookup->index) != 0 : RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < known->nkeys; i++)
		if (form->indkey.values[i] != column_number(table, &lookup->keys[i]) || form->indkey.values[i] == InvalidAttrNumber ||
			!make_key(index, i, &known->keys[i]))
			return false;
	return true;
}

/*
 * Finds out where the columns of a lookup are, and which index serves.
 */
static void
find_out(Relation table, const SettleLookup *lookup, KnownLookup *known)
{
	MemoryContext old;
	ListCell   *lc;

	known->usable = false;
	known->index = InvalidOid;
	known->nkeys = known->ncolumns = 0;
	for (int i = 0; i < SETTLE_LOOKUP_COLUMNS && lookup->columns[i].name != NULL; i++)
	{
		known->columns[i] = column_number(table, &lookup->columns[i]);
		if (known->columns[i] == InvalidAttrNumber)
			return;
		known->ncolumns++;
	}
	while (known->nkeys < SETTLE_LOOKUP_KEYS && lookup->keys[known->nkeys].name != NULL)
		known->nkeys++;
	if (known->nkeys == 0 && !lookup->backward)
	{
		known->usable = true;
		return;
	}
	/* what the keys' functions remember must live as long */
	old = MemoryContextSwitchTo(CacheMemoryContext);
	foreach(lc, RelationGetIndexList(table))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		known->usable = make_keys(table, index, lookup, known);
		known->index = RelationGetRelid(index);
		index_close(index, NoLock);
		if (known->usable)
			break;
	}
	MemoryContextSwitchTo(old);
}

static const KnownLookup *
know(const SettleBook *book, Relation table, const SettleLookup *lookup)
{
	uint64		row_type = assign_record_type_identifier(RelationGetDescr(table)->tdtypeid, -1);
	KnownKey	key;
	KnownLookup *known;
	bool		found;

	/* it is hashed as bytes, those between and behind its fields too */
	memset(&key, 0, sizeof(key));
	key.lookup = lookup;
	key.table = RelationGetRelid(table);

	if (known_lookups == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(KnownKey), .entrysize = sizeof(KnownLookup), .hcxt = CacheMemoryContext};

		known_lookups = hash_create("scrm_settle lookups", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	known = hash_search(known_lookups, &key, HASH_FIND, NULL);
	if (known != NULL && known->row_type == row_type)
		return known;
	/* a scan that is under way has taken what it needs */
	if (known == NULL)
		make_room(known_lookups);
	known = hash_search(known_lookups, &key, HASH_ENTER, &found);
	known->row_type = 0;
	settle_book_check_table(book, lookup->table);
	find_out(table, lookup, known);
	known->row_type = row_type;
	return known;
}

/*
 * Tells whether the current user may read a table, all of whose rows stand in
 * it and are his to see.
 */
static bool
is_readable(Relation table)
{
	return table->rd_rel->relkind == RELKIND_RELATION && !table->rd_rel->relhassubclass && !table->rd_rel->relrowsecurity &&
		pg_class_aclcheck(RelationGetRelid(table), GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

static void
begin_scan(SettleScan *scan, Snapshot snapshot)
{
	scan->snapshot = RegisterSnapshot(snapshot);
	scan->slot = table_slot_create(scan->table, NULL);
	if (scan->index == NULL)
	{
		scan->table_scan = table_beginscan(scan->table, scan->snapshot, 0, NULL);
		return;
	}
	scan->index_scan = settle_index_beginscan(scan->table, scan->index, scan->snapshot, scan->nkeys);
	index_rescan(scan->index_scan, scan->keys, scan->nkeys, NULL, 0);
}

static void
set_keys(SettleScan *scan, const Datum *keys)
{
	for (int i = 0; i < scan->nkeys; i++)
		scan->keys[i].sk_argument = keys[i];
}

/*
 * Gives the snapshot that a statement would read with: it sees all that this
 * transaction has done so far.
 */
static Snapshot
own_snapshot(void)
{
	if (settle_book_reads_only)
		return GetActiveSnapshot();
	CommandCounterIncrement();
	return GetTransactionSnapshot();
}

static bool
scan_with(SettleScan *scan, Snapshot snapshot, const SettleBook *book, const SettleLookup *lookup, const Datum *keys)
{
	Oid			relid = get_relname_relid(lookup->table, book->schema);
	const KnownLookup *known;

	if (!OidIsValid(relid))
		return false;
	scan->table = table_open(relid, AccessShareLock);
	known = know(book, scan->table, lookup);
	if (!known->usable || !is_readable(scan->table))
	{
		table_close(scan->table, NoLock);
		return false;
	}
	scan->ncolumns = known->ncolumns;
	memcpy(scan->columns, known->columns, sizeof(known->columns));
	scan->direction = lookup->backward ? BackwardScanDirection : ForwardScanDirection;
	scan->nkeys = known->nkeys;
	memcpy(scan->keys, known->keys, sizeof(ScanKeyData) * known->nkeys);
	set_keys(scan, keys);
	scan->index = NULL;
	/* nothing is to be found in a table without a page, which most tables of what is wrong with tickets are */
	scan->is_empty = !IsolationIsSerializable() && RelationGetNumberOfBlocks(scan->table) == 0;
	if (scan->is_empty)
		return true;
	if (OidIsValid(known->index))
		scan->index = index_open(known->index, AccessShareLock);
	begin_scan(scan, snapshot);
	return true;
}

bool
settle_scan_begin(SettleScan *scan, const SettleBook *book, const SettleLookup *lookup, const Datum *keys)
{
	return scan_with(scan, own_snapshot(), book, lookup, keys);
}

/* A column of a table, and the index that tells its rows apart by it. */
typedef struct UniqueKey
{
	Oid			table;
	AttrNumber	column;
} UniqueKey;

typedef struct KnownUnique
{
	UniqueKey	key;			/* must be first */
	uint64		row_type;
	Oid			index;			/* or InvalidOid */
} KnownUnique;

/*
 * Finds the index that tells rows of a table apart by one column, or InvalidOid.
 */
static Oid
find_unique_index(Relation table, AttrNumber column)
{
	ListCell   *lc;
	Oid			found = InvalidOid;
	ScanKeyData key;

	foreach(lc, RelationGetIndexList(table))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (!OidIsValid(found) &&
			index->rd_rel->relam == BTREE_AM_OID && form->indisunique && form->indimmediate && form->indisvalid && !form->indcheckxmin &&
			form->indnkeyatts == 1 && form->indkey.values[0] == column && RelationGetIndexPredicate(index) == NIL && make_key(index, 0, &key))
			found = RelationGetRelid(index);
		index_close(index, AccessShareLock);
	}
	return found;
}

/*
 * The same, remembered as long as neither table nor indexes change.
 */
static Oid
unique_index(Relation table, const char *column)
{
	static HTAB *known_uniques = NULL;
	UniqueKey	key;
	uint64		row_type = assign_record_type_identifier(RelationGetDescr(table)->tdtypeid, -1);
	KnownUnique *known;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.table = RelationGetRelid(table);
	key.column = get_attnum(key.table, column);
	if (known_uniques == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(UniqueKey), .entrysize = sizeof(KnownUnique), .hcxt = CacheMemoryContext};

		known_uniques = hash_create("scrm_settle unique columns", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (hash_search(known_uniques, &key, HASH_FIND, NULL) == NULL)
		make_room(known_uniques);
	known = hash_search(known_uniques, &key, HASH_ENTER, &found);
	if (!found || known->row_type != row_type)
	{
		known->row_type = 0;
		known->index = find_unique_index(table, key.column);
		known->row_type = row_type;
	}
	return known->index;
}

bool
settle_row_stands(Oid relid, const char *column, TupleTableSlot *row)
{
	Relation	table = relation_open(relid, AccessShareLock);
	bool		is = is_readable(table) && OidIsValid(unique_index(table, column)) && table_tuple_satisfies_snapshot(table, row, SnapshotSelf);

	relation_close(table, NoLock);
	return is;
}

bool
settle_scan_unique(SettleScan *scan, Oid relid, const char *column, Datum key)
{
	Oid			index = InvalidOid;

	scan->table = relation_open(relid, AccessShareLock);
	if (is_readable(scan->table))
		index = unique_index(scan->table, column);
	if (!OidIsValid(index))
	{
		relation_close(scan->table, NoLock);
		return false;
	}
	scan->is_empty = false;
	scan->index = index_open(index, AccessShareLock);
	(void) make_key(scan->index, 0, &scan->keys[0]);
	scan->nkeys = 1;
	set_keys(scan, &key);
	scan->ncolumns = 0;
	scan->direction = ForwardScanDirection;
	begin_scan(scan, own_snapshot());
	return true;
}

static void
read_columns(SettleScan *scan)
{
	for (int i = 0; i < scan->ncolumns; i++)
		scan->values[i] = slot_getattr(scan->slot, scan->columns[i], &scan->nulls[i]);
}

bool
settle_scan_next(SettleScan *scan)
{
	bool		found = scan->is_empty ? false : scan->index != NULL
		? index_getnext_slot(scan->index_scan, scan->direction, scan->slot)
		: table_scan_getnextslot(scan->table_scan, scan->direction, scan->slot);

	if (found)
		read_columns(scan);
	return found;
}

void
settle_scan_again(SettleScan *scan, const Datum *keys)
{
	set_keys(scan, keys);
	if (!scan->is_empty)
		index_rescan(scan->index_scan, scan->keys, scan->nkeys, NULL, 0);
}

void
settle_scan_copy(const SettleScan *scan, Datum *values, bool *nulls)
{
	for (int i = 0; i < scan->ncolumns; i++)
	{
		Form_pg_attribute a = TupleDescAttr(scan->slot->tts_tupleDescriptor, scan->columns[i] - 1);

		nulls[i] = scan->nulls[i];
		values[i] = nulls[i] ? (Datum) 0 : datumCopy(scan->values[i], a->attbyval, a->attlen);
	}
}

void
settle_scan_end(SettleScan *scan)
{
	if (scan->is_empty)
	{
		table_close(scan->table, NoLock);
		return;
	}
	if (scan->index != NULL)
	{
		index_endscan(scan->index_scan);
		index_close(scan->index, NoLock);
	}
	else
		table_endscan(scan->table_scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
	table_close(scan->table, NoLock);
}

static SettleFound
find_with(Snapshot snapshot, const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls)
{
	SettleScan	scan;
	bool		found;

	if (!scan_with(&scan, snapshot, book, lookup, keys))
		return SETTLE_ASK;
	found = settle_scan_next(&scan);
	if (found)
		settle_scan_copy(&scan, values, nulls);
	settle_scan_end(&scan);
	return found ? SETTLE_FOUND : SETTLE_NOT_FOUND;
}

SettleFound
settle_find_row(const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls)
{
	return find_with(own_snapshot(), book, lookup, keys, values, nulls);
}

SettleFound
settle_find_latest_row(const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls)
{
	return find_with(GetLatestSnapshot(), book, lookup, keys, values, nulls);
}

void
settle_scan_lock(SettleScan *scan, ItemPointer place)
{
	TM_FailureData failure;
	uint8		flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	TM_Result	result;

	*place = scan->slot->tts_tid;
	result = table_tuple_lock(scan->table, place, scan->snapshot, scan->slot, GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive, LockWaitBlock, flags, &failure);
	if (result != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	*place = scan->slot->tts_tid;
	read_columns(scan);
}

/* A column that is an identity, and its sequence. */
typedef struct KnownSequence
{
	Oid			table;			/* must be first */
	uint64		row_type;
	Oid			sequence;
} KnownSequence;

Oid
settle_identity_sequence(const SettleBook *book, const char *table, const char *column)
{
	static HTAB *known_sequences = NULL;
	Oid			relid = get_relname_relid(table, book->schema);
	uint64		row_type = OidIsValid(relid) ? assign_record_type_identifier(get_rel_type_id(relid), -1) : 0;
	KnownSequence *known;
	bool		found;

	if (known_sequences == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownSequence), .hcxt = CacheMemoryContext};

		known_sequences = hash_create("scrm_settle sequences", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (hash_search(known_sequences, &relid, HASH_FIND, NULL) == NULL)
		make_room(known_sequences);
	known = hash_search(known_sequences, &relid, HASH_ENTER, &found);
	if (!found || known->row_type != row_type)
	{
		known->row_type = 0;
		known->sequence = getIdentitySequence(relid, get_attnum(relid, column), false);
		known->row_type = row_type;
	}
	return known->sequence;
}
