/*
 * capture.c
 *		Triggers on the source of a book: what changed is noted, whoever wrote it.
 *
 * The row trigger appends the ticket's key straight to the heap of
 * <book>.pending.  That asks for no privilege, so a ticket writer needs no
 * right on the book, and costs a few percent of an insert.  It is ENABLE
 * ALWAYS and stands on every partition and child; a partition may have its
 * columns in another order, so the key's expression is compiled for the row
 * type of the relation that fires, by name.
 *
 * Trigger arguments can be forged, so the first time a trigger fires in a
 * session its relation, or an ancestor, must be the one that <book>.source
 * registers.  A book that is gone is a WARNING: it must not stop the company's
 * own tables.
 *
 * In a book that settles at commit the row trigger only collects keys; a
 * deferred trigger settles them all when it first fires, sorted, when the
 * application takes no more locks.
 */
#include "settle/settle.h"

#include "access/heapam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "expr/expr.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What is known of one trigger; rebuilt when its relation's row type changes. */
typedef struct Capture
{
	Oid			trigger;		/* hash key */
	uint64		row_type;
	MemoryContext context;
	Oid			relation;
	Oid			schema;			/* of the book */
	int16		source_id;
	char	   *time_zone;
	bool		needs_zone;		/* the key's text depends on book time */
	ExprState  *key;
	TupleTableSlot *slot;
	ExprContext *econtext;
} Capture;

static HTAB *captures = NULL;

/* ---- reading the book without its rights ---- */

/*
 * Finds a column of a book's table; the table may be forged.
 */
static AttrNumber
book_column(Relation relation, const char *name, Oid type)
{
	TupleDesc	desc = RelationGetDescr(relation);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (!a->attisdropped && strcmp(NameStr(a->attname), name) == 0 && a->atttypid == type)
			return i + 1;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"%s\" of the book has no column \"%s\" of type %s", RelationGetRelationName(relation), name, format_type_be(type))));
}

/*
 * Tells whether a relation is another one, a partition of it or its child.
 */
static bool
descends_from(Oid relid, Oid ancestor)
{
	List	   *family;

	if (relid == ancestor)
		return true;
	family = find_all_inheritors(ancestor, NoLock, NULL);
	return list_member_oid(family, relid);
}

/*
 * Reads the registration of a source; false where the relation is not it.
 */
static bool
read_registration(Capture *capture, Oid relid, const char *source, char **key, char **reverses)
{
	Relation	relation;
	TableScanDesc scan;
	TupleTableSlot *slot;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Oid			sources = get_relname_relid("source", capture->schema);
	Oid			book = get_relname_relid("book", capture->schema);
	AttrNumber	columns[4];
	AttrNumber	reverses_column;
	bool		found = false;

	/*
	 * Whoever takes the name of a dropped book finds the triggers it left; he
	 * must not read by them what he may not read himself.
	 */
	if (!OidIsValid(sources) || !OidIsValid(book) ||
		get_rel_relkind(sources) != RELKIND_RELATION || get_rel_relkind(book) != RELKIND_RELATION ||
		pg_class_aclcheck(relid, settle_book_owner(capture->schema), ACL_SELECT) != ACLCHECK_OK)
	{
		UnregisterSnapshot(snapshot);
		return false;
	}
	relation = table_open(sources, AccessShareLock);
	columns[0] = book_column(relation, "source_id", INT2OID);
	columns[1] = book_column(relation, "source", NAMEOID);
	columns[2] = book_column(relation, "relation", REGCLASSOID);
	columns[3] = book_column(relation, "key", TEXTOID);
	reverses_column = book_column(relation, "reverses", TEXTOID);
	slot = table_slot_create(relation, NULL);
	scan = table_beginscan(relation, snapshot, 0, NULL);
	while (!found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum		values[lengthof(columns)];
		bool		isnull = false;

		for (int i = 0; i < lengthof(columns) && !isnull; i++)
			values[i] = slot_getattr(slot, columns[i], &isnull);
		if (isnull || strcmp(NameStr(*DatumGetName(values[1])), source) != 0 ||
			!descends_from(relid, DatumGetObjectId(values[2])))
			continue;
		capture->source_id = DatumGetInt16(values[0]);
		*key = TextDatumGetCString(values[3]);
		values[0] = slot_getattr(slot, reverses_column, &isnull);
		*reverses = isnull ? NULL : TextDatumGetCString(values[0]);
		found = true;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, AccessShareLock);

	if (found)
	{
		Datum		time_zone = 0;
		bool		isnull = true;

		relation = table_open(book, AccessShareLock);
		columns[0] = book_column(relation, "time_zone", TEXTOID);
		slot = table_slot_create(relation, NULL);
		scan = table_beginscan(relation, snapshot, 0, NULL);
		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
		if (found)
			time_zone = slot_getattr(slot, columns[0], &isnull);
		found = !isnull;
		if (found)
			capture->time_zone = TextDatumGetCString(time_zone);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		table_close(relation, AccessShareLock);
	}
	UnregisterSnapshot(snapshot);
	return found;
}

/* ---- the key ---- */

/*
 * Compiles, for the row type of a relation, the key of the ticket that a row is
 * or takes back.
 */
static void
compile_key(Capture *capture, TupleDesc desc, const char *key, const char *reverses)
{
	SettleScope scope = {.nnames = desc->natts, .names = palloc0(sizeof(SettleName) * Max(desc->natts, 1))};
	SettleExpr *expr;
	int			nestlevel;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		scope.names[i].name = a->attisdropped ? NULL : pstrdup(NameStr(a->attname));
		scope.names[i].type = a->atttypid;
		scope.names[i].typmod = a->atttypmod;
		scope.names[i].collation = a->attcollation;
	}
	nestlevel = settle_env_enter(capture->time_zone);
	expr = settle_expr_read(reverses == NULL ? psprintf("(%s\n)::text", key) : psprintf("coalesce((%s\n)::text, (%s\n)::text)", reverses, key), &scope, TEXTOID, "key of the source");
	settle_env_leave(nestlevel);
	capture->key = settle_expr_init(expr);
	capture->needs_zone = contain_mutable_functions((Node *) expr->node);
	/* with constraints: an old row has a column's value from before it was added only there */
	capture->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(desc), &TTSOpsHeapTuple);
	capture->econtext = CreateStandaloneExprContext();
	capture->econtext->ecxt_scantuple = capture->slot;
}

/*
 * Forgets the triggers of relations and books that are gone, each time there
 * are twice as many as were left.
 */
static void
forget_gone(void)
{
	static long next = 4;
	HASH_SEQ_STATUS scan;
	Capture    *capture;

	if (hash_get_num_entries(captures) < next)
		return;
	hash_seq_init(&scan, captures);
	while ((capture = hash_seq_search(&scan)) != NULL)
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(capture->relation)) && SearchSysCacheExists1(NAMESPACEOID, ObjectIdGetDatum(capture->schema)))
			continue;
		MemoryContextDelete(capture->context);
		(void) hash_search(captures, &capture->trigger, HASH_REMOVE, NULL);
	}
	next = Max(2 * hash_get_num_entries(captures), 4);
}

/*
 * Finds what is known of the trigger that fires; NULL, after a warning, where
 * its book is gone.
 */
static Capture *
find_capture(TriggerData *trigger)
{
	Relation	relation = trigger->tg_relation;
	Oid			id = trigger->tg_trigger->tgoid;
	uint64		row_type = assign_record_type_identifier(RelationGetDescr(relation)->tdtypeid, RelationGetDescr(relation)->tdtypmod);
	char	  **args = trigger->tg_trigger->tgargs;
	Capture    *capture;
	Capture		fresh = {0};
	MemoryContext context;
	MemoryContext old;
	char	   *key;
	char	   *reverses;
	bool		found;

	if (trigger->tg_trigger->tgnargs < 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" does not name a book and a source", trigger->tg_trigger->tgname),
				 errhint("settle.add_source makes these triggers.")));
	fresh.schema = get_namespace_oid(args[0], true);
	if (!OidIsValid(fresh.schema) || !OidIsValid(get_relname_relid("pending", fresh.schema)))
	{
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("book \"%s\" is gone, changes of \"%s\" are not noted", args[0], RelationGetRelationName(relation)),
				 errhint("DROP TRIGGER %s ON %s.", quote_identifier(trigger->tg_trigger->tgname),
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation)))));
		return NULL;
	}

	if (captures == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Capture), .hcxt = CacheMemoryContext};

		captures = hash_create("scrm_settle captures", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	capture = hash_search(captures, &id, HASH_FIND, NULL);
	if (capture != NULL && capture->row_type == row_type && capture->schema == fresh.schema)
		return capture;
	if (capture != NULL)
	{
		MemoryContextDelete(capture->context);
		hash_search(captures, &id, HASH_REMOVE, NULL);
	}

	forget_gone();
	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle capture", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	fresh.trigger = id;
	fresh.relation = RelationGetRelid(relation);
	fresh.row_type = row_type;
	fresh.context = context;
	if (!read_registration(&fresh, RelationGetRelid(relation), args[1], &key, &reverses))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is not the source \"%s\" of book \"%s\"", RelationGetRelationName(relation), args[1], args[0]),
				 errhint("settle.add_source registers a source and makes its triggers.")));
	compile_key(&fresh, RelationGetDescr(relation), key, reverses);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	capture = hash_search(captures, &id, HASH_ENTER, &found);
	*capture = fresh;
	return capture;
}

/*
 * Computes the key of a row; NULL where it is null.
 */
static char *
key_of(Capture *capture, HeapTuple tuple)
{
	int			nestlevel = capture->needs_zone ? settle_env_enter(capture->time_zone) : 0;
	Datum		value;
	bool		isnull;
	char	   *key;

	ExecStoreHeapTuple(tuple, capture->slot, false);
	value = ExecEvalExprSwitchContext(capture->key, capture->econtext, &isnull);
	key = isnull ? NULL : TextDatumGetCString(value);
	ExecClearTuple(capture->slot);
	ResetExprContext(capture->econtext);
	if (capture->needs_zone)
		settle_env_leave(nestlevel);
	return key;
}

/* ---- appending to pending ---- */

/*
 * Tells whether pending is as create_book made it, so that a row may go
 * straight to its heap.
 */
static bool
is_plain_pending(Relation pending)
{
	TupleDesc	desc = RelationGetDescr(pending);

	return pending->rd_rel->relkind == RELKIND_RELATION && !pending->rd_rel->relhasindex &&
		!pending->rd_rel->relhastriggers && !pending->rd_rel->relrowsecurity && !pending->rd_rel->relispartition &&
		pending->rd_rel->relam == HEAP_TABLE_AM_OID && desc->natts == 3 && desc->constr != NULL && desc->constr->num_check == 0 &&
		!TupleDescAttr(desc, 0)->attisdropped && TupleDescAttr(desc, 0)->atttypid == INT2OID &&
		!TupleDescAttr(desc, 1)->attisdropped && TupleDescAttr(desc, 1)->atttypid == TEXTOID &&
		!TupleDescAttr(desc, 2)->attisdropped && TupleDescAttr(desc, 2)->atttypid == BOOLOID;
}

/*
 * Notes one key; NULL stands for all tickets of the source.  Does nothing where
 * the book has gone since.
 */
static void
note_key(Oid schema, int16 source_id, const char *key)
{
	Oid			relid = get_relname_relid("pending", schema);
	Relation	pending;
	Datum		values[3] = {Int16GetDatum(source_id), 0, BoolGetDatum(false)};
	bool		nulls[3] = {false, key == NULL, false};

	if (!OidIsValid(relid))
		return;
	pending = table_open(relid, RowExclusiveLock);
	if (key != NULL)
		values[1] = CStringGetTextDatum(key);
	if (is_plain_pending(pending))
	{
		HeapTuple	tuple = heap_form_tuple(RelationGetDescr(pending), values, nulls);

		simple_heap_insert(pending, tuple);
		heap_freetuple(tuple);
	}
	else
	{
		/* somebody gave it an index, a trigger or a policy: the long way, as the owner of the book */
		SettleBook	book = settle_book(schema);
		SettleIdentity identity = settle_book_enter(&book);
		Oid			types[] = {INT2OID, TEXTOID, BOOLOID};
		char		null_marks[] = {' ', key == NULL ? 'n' : ' ', ' '};

		SPI_connect();
		settle_book_execute(psprintf("INSERT INTO %s.pending (source_id, ticket_key, scanned) VALUES ($1, $2, $3)", book.name),
							3, types, values, null_marks, SPI_OK_INSERT);
		SPI_finish();
		settle_book_leave(identity);
	}
	table_close(pending, NoLock);
}

/* ---- tickets to settle at commit ---- */

typedef struct Change
{
	Oid			schema;
	int16		source_id;
	char	   *source;
	char	   *key;
	Oid			relation;		/* the row that has the key now, if it has one */
	ItemPointerData place;
	SubTransactionId subid;		/* that changed it */
} Change;

/* Changes that were settled in a savepoint, which may yet be rolled back. */
typedef struct Settled
{
	SubTransactionId subid;
	List	   *changes;
} Settled;

/* Both lists, and all in them, live in TopTransactionContext. */
static List *changes = NIL;		/* to be settled */
static List *settled = NIL;

/*
 * Drops the changes of a savepoint that is rolled back; hands those of one
 * that is released to the transaction around it.
 */
static List *
end_changes(List *list, SubXactEvent event, SubTransactionId subid, SubTransactionId parent)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		Change	   *change = lfirst(lc);

		if (change->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			change->subid = parent;
		else
			list = foreach_delete_current(list, lc);
	}
	return list;
}

/*
 * What was settled in a savepoint that is rolled back is to be settled again.
 */
static void
follow_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	MemoryContext old;
	ListCell   *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	foreach(lc, settled)
	{
		Settled    *batch = lfirst(lc);

		if (batch->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
		{
			batch->subid = parent;
			batch->changes = end_changes(batch->changes, event, subid, parent);
		}
		else
		{
			changes = list_concat(changes, batch->changes);
			settled = foreach_delete_current(settled, lc);
		}
	}
	changes = end_changes(changes, event, subid, parent);
	MemoryContextSwitchTo(old);
}

/*
 * Takes all changes that are to be settled now.
 */
static List *
take_changes(void)
{
	List	   *taken = changes;

	changes = NIL;
	if (taken != NIL && GetCurrentTransactionNestLevel() > 1)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
		Settled    *batch = palloc(sizeof(Settled));

		batch->subid = GetCurrentSubTransactionId();
		batch->changes = list_copy(taken);
		settled = lappend(settled, batch);
		MemoryContextSwitchTo(old);
	}
	return taken;
}

/*
 * Ends the transaction: what no deferred trigger has settled, because somebody
 * disabled it, is left to a run.
 */
static void
end_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		ListCell   *lc;

		foreach(lc, changes)
		{
			Change	   *change = lfirst(lc);

			note_key(change->schema, change->source_id, change->key);
		}
	}
	else if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	changes = NIL;
	settled = NIL;
}

static void
collect_change(Capture *capture, const char *source, const char *key, Oid relation, const ItemPointerData *place)
{
	static bool registered = false;
	MemoryContext old;
	Change	   *change;

	if (!registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(follow_subtransaction, NULL);
		registered = true;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	change = palloc(sizeof(Change));
	change->schema = capture->schema;
	change->source_id = capture->source_id;
	change->source = pstrdup(source);
	change->key = pstrdup(key);
	change->relation = relation;
	change->place = *place;
	change->subid = GetCurrentSubTransactionId();
	changes = lappend(changes, change);
	MemoryContextSwitchTo(old);
}

static int
compare_changes(const ListCell *a, const ListCell *b)
{
	const Change *ca = lfirst(a);
	const Change *cb = lfirst(b);
	int			cmp;

	if (ca->schema != cb->schema)
		return ca->schema < cb->schema ? -1 : 1;
	cmp = strcmp(ca->source, cb->source);
	return cmp != 0 ? cmp : strcmp(ca->key, cb->key);
}

/* ---- triggers ---- */

/*
 * settle.capture(book, source [, 'commit']) returns trigger
 *
 * Notes the keys of a changed row, old and new where they differ; a TRUNCATE
 * notes that every ticket of the source has to be looked at.
 */
PG_FUNCTION_INFO_V1(settle_capture);
Datum
settle_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Capture    *capture;
	bool		at_commit;
	char	   *keys[2] = {NULL, NULL};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.capture is not called as an AFTER trigger")));
	/* the server fires the triggers of a statement's rows one after the other, and looks for a cancel at none */
	CHECK_FOR_INTERRUPTS();
	capture = find_capture(trigger);
	if (capture == NULL)
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		note_key(capture->schema, capture->source_id, NULL);
		return PointerGetDatum(NULL);
	}

	/* where the deferred trigger does not fire, as when replication applies rows, a run has to come */
	at_commit = trigger->tg_trigger->tgnargs > 2 && SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
	keys[0] = key_of(capture, trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		keys[1] = key_of(capture, trigger->tg_newtuple);
		if (keys[0] != NULL && keys[1] != NULL && strcmp(keys[0], keys[1]) == 0)
			keys[1] = NULL;
	}
	for (int i = 0; i < 2; i++)
	{
		if (keys[i] == NULL)
			continue;
		if (at_commit)
			collect_change(capture, trigger->tg_trigger->tgargs[1], keys[i], RelationGetRelid(trigger->tg_relation),
						   TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? &trigger->tg_newtuple->t_self : &trigger->tg_trigtuple->t_self);
		else
			note_key(capture->schema, capture->source_id, keys[i]);
		pfree(keys[i]);
	}
	return PointerGetDatum(NULL);
}

/*
 * Settles keys of one source, unless its book is gone by now.
 */
static void
settle_changes(const Change *any, List *keys, TupleTableSlot *row)
{
	if (any != NULL && SearchSysCacheExists1(NAMESPACEOID, ObjectIdGetDatum(any->schema)))
		settle_run_keys(any->schema, any->source, keys, row);
}

/*
 * Gives the row of the one change that there is, where the trigger fires for
 * it; NULL for any other.  What is not committed nobody else changes, and what
 * this transaction does to the row is another change, unless it was told that its
 * triggers are to be silent: settle_row_stands asks for that.
 */
static TupleTableSlot *
row_at_hand(const TriggerData *trigger, const Change *change)
{
	TupleTableSlot *row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newslot : trigger->tg_trigslot;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || row == NULL || change->relation != RelationGetRelid(trigger->tg_relation) ||
		!ItemPointerEquals(&row->tts_tid, unconstify(ItemPointerData *, &change->place)))
		return NULL;
	return row;
}

/*
 * settle.settle_at_commit(book, source, 'commit') returns trigger
 *
 * Deferred trigger: settles all tickets that the transaction has changed, in
 * order of book, source and key, when it first fires.
 */
PG_FUNCTION_INFO_V1(settle_at_commit);
Datum
settle_at_commit(PG_FUNCTION_ARGS)
{
	List	   *all;
	ListCell   *lc;
	List	   *keys = NIL;
	Change	   *last = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.settle_at_commit is not called as a trigger")));
	CHECK_FOR_INTERRUPTS();
	all = take_changes();
	list_sort(all, compare_changes);
	foreach(lc, all)
	{
		Change	   *change = lfirst(lc);
		bool		same = last != NULL && last->schema == change->schema && strcmp(last->source, change->source) == 0;

		if (!same)
		{
			settle_changes(last, keys, NULL);
			keys = NIL;
		}
		if (!same || strcmp(last->key, change->key) != 0)
			keys = lappend(keys, change->key);
		last = change;
	}
	settle_changes(last, keys, list_length(all) == 1 ? row_at_hand((TriggerData *) fcinfo->context, last) : NULL);
	return PointerGetDatum(NULL);
}
