/*
 * bulk.c
 *		Writes rows into a table of the book, many of them pages at once.
 *
 * This is how COPY writes: constraints are checked, indexes kept, and triggers
 * fired that come after the rows.  A table on which something hangs that only a
 * statement serves (triggers before a row, any of an update, partitions,
 * generated columns, policies) is left to the caller, who has a statement that
 * does the same.
 */
#include "book/rows.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* rows that are written at a time */
#define BULK_ROWS	500

/* so few go into the pages that others fill, too */
#define FEW_ROWS	16

typedef struct Target
{
	Relation	relation;
	EState	   *estate;
	ResultRelInfo *info;
	MemoryContext scratch;
} Target;

/*
 * Whether a foreign key is checked, and is of other columns.
 */
static bool
is_of_others(Relation relation, const Trigger *trigger, const Bitmapset *columns)
{
	ListCell   *lc;

	if (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_FK)
		return false;
	foreach(lc, RelationGetFKeyList(relation))
	{
		const ForeignKeyCacheInfo *key = lfirst(lc);

		if (key->conoid != trigger->tgconstraint)
			continue;
		for (int i = 0; i < key->nkeys; i++)
			if (bms_is_member(key->conkey[i], columns))
				return false;
		return true;
	}
	return false;
}

/*
 * Whether a trigger fires where these columns are updated, and does anything.
 */
static bool
is_concerned(Relation relation, const Trigger *trigger, const Bitmapset *columns)
{
	if (trigger->tgenabled == TRIGGER_DISABLED || !TRIGGER_FOR_UPDATE(trigger->tgtype) || is_of_others(relation, trigger, columns))
		return false;
	for (int i = 0; i < trigger->tgnattr; i++)
		if (bms_is_member(trigger->tgattr[i], columns))
			return true;
	return trigger->tgnattr == 0;
}

/*
 * Whether rows can be written without a statement; "columns" are those of an
 * update, NULL for an insertion.
 */
static bool
is_plain(Relation relation, const Bitmapset *columns)
{
	TupleConstr *constraints = RelationGetDescr(relation)->constr;
	TriggerDesc *triggers = relation->trigdesc;

	if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition || relation->rd_rel->relforcerowsecurity ||
		(constraints != NULL && constraints->has_generated_stored) ||
		pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), columns != NULL ? ACL_UPDATE : ACL_INSERT) != ACLCHECK_OK)
		return false;
	if (triggers == NULL)
		return true;
	if (columns == NULL)
		return !triggers->trig_insert_before_row;
	for (int i = 0; i < triggers->numtriggers; i++)
		if (is_concerned(relation, &triggers->triggers[i], columns))
			return false;
	return true;
}

bool
settle_takes_rows(Relation relation)
{
	return is_plain(relation, NULL);
}

/*
 * Opens a table for writing; false for one that takes a statement.
 */
static bool
open_target(Target *target, Oid relid, const Bitmapset *columns)
{
	target->relation = table_open(relid, RowExclusiveLock);
	if (!is_plain(target->relation, columns))
	{
		table_close(target->relation, NoLock);
		return false;
	}
	target->estate = CreateExecutorState();
	target->info = makeNode(ResultRelInfo);
	InitResultRelInfo(target->info, target->relation, 0, NULL, 0);
	ExecOpenIndices(target->info, false);
	/* where triggers find it, and closing does */
	target->estate->es_opened_result_relations = list_make1(target->info);
	target->scratch = AllocSetContextCreate(CurrentMemoryContext, "rows that are written", ALLOCSET_DEFAULT_SIZES);
	PushActiveSnapshot(GetTransactionSnapshot());
	return true;
}

static void
close_target(Target *target)
{
	PopActiveSnapshot();
	ExecResetTupleTable(target->estate->es_tupleTable, false);
	ExecCloseResultRelations(target->estate);
	FreeExecutorState(target->estate);
	MemoryContextDelete(target->scratch);
	table_close(target->relation, NoLock);
}

static void
check_constraints(Target *target, TupleTableSlot *slot)
{
	if (RelationGetDescr(target->relation)->constr != NULL)
		ExecConstraints(target->info, slot, target->estate);
}

/*
 * Gives a row its index entries; returns the indexes that are to be checked once
 * more when the statement, or the transaction, ends.
 */
static List *
add_index_entries(Target *target, TupleTableSlot *slot, SettleIndexUpdate which)
{
	List	   *recheck = NIL;

	if (target->info->ri_NumIndices > 0)
		recheck = settle_insert_index_entries(target->info, slot, target->estate, which);
	ResetPerTupleExprContext(target->estate);
	return recheck;
}

/*
 * Whether a row is no more than its place in the heap: nothing is to be checked,
 * found by an index or told to a trigger.
 */
static bool
is_bare(Relation relation, HeapTuple row)
{
	TupleConstr *constraints = RelationGetDescr(relation)->constr;
	TriggerDesc *triggers = relation->trigdesc;

	if (relation->rd_rel->relam != HEAP_TABLE_AM_OID || relation->rd_rel->relhasindex || (constraints != NULL && constraints->num_check > 0) ||
		(triggers != NULL && (triggers->trig_insert_after_row || triggers->trig_insert_before_statement || triggers->trig_insert_after_statement || triggers->trig_insert_new_table)))
		return false;
	for (int i = 0; HeapTupleHasNulls(row) && i < RelationGetNumberOfAttributes(relation); i++)
		if (TupleDescAttr(RelationGetDescr(relation), i)->attnotnull && heap_attisnull(row, i + 1, NULL))
			return false;
	return true;
}

static bool
append_row(Oid relid, HeapTuple row, CommandId command)
{
	Relation	relation = table_open(relid, RowExclusiveLock);
	bool		is_done = is_plain(relation, NULL) && is_bare(relation, row);

	if (is_done)
		heap_insert(relation, row, command, 0, NULL);
	table_close(relation, NoLock);
	return is_done;
}

/*
 * Inserts rows that have the shape of their table.  False, and nothing done,
 * where that takes a statement.
 */
bool
settle_insert_rows(Oid relid, HeapTuple *rows, int n)
{
	Target		target;
	BulkInsertState bulk;
	TransitionCaptureState *capture;
	TupleTableSlot **slots;
	CommandId	command = GetCurrentCommandId(true);

	if (n == 1 && append_row(relid, rows[0], command))
		return true;
	if (!open_target(&target, relid, NULL))
		return false;
	AfterTriggerBeginQuery();
	capture = MakeTransitionCaptureState(target.relation->trigdesc, relid, CMD_INSERT);
	ExecBSInsertTriggers(target.estate, target.info);
	bulk = n > FEW_ROWS ? GetBulkInsertState() : NULL;
	slots = palloc(sizeof(TupleTableSlot *) * BULK_ROWS);
	for (int i = 0; i < Min(n, BULK_ROWS); i++)
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(target.relation), &TTSOpsHeapTuple);
	for (int from = 0; from < n; from += BULK_ROWS)
	{
		int			some = Min(n - from, BULK_ROWS);
		MemoryContext old = MemoryContextSwitchTo(target.scratch);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < some; i++)
		{
			ExecStoreHeapTuple(rows[from + i], slots[i], false);
			slots[i]->tts_tableOid = relid;
			check_constraints(&target, slots[i]);
		}
		if (n > FEW_ROWS)
			table_multi_insert(target.relation, slots, some, command, 0, bulk);
		for (int i = 0; i < some && n <= FEW_ROWS; i++)
			table_tuple_insert(target.relation, slots[i], command, 0, NULL);
		for (int i = 0; i < some; i++)
		{
			List	   *recheck = add_index_entries(&target, slots[i], SETTLE_ALL_INDEXES);

			ExecARInsertTriggers(target.estate, target.info, slots[i], recheck, capture);
			ExecClearTuple(slots[i]);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(target.scratch);
	}
	for (int i = 0; i < Min(n, BULK_ROWS); i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	if (bulk != NULL)
		FreeBulkInsertState(bulk);
	ExecASInsertTriggers(target.estate, target.info, capture);
	AfterTriggerEndQuery(target.estate);
	close_target(&target);
	return true;
}

/*
 * Gives columns of rows other values: "columns" are their numbers, and "values"
 * fills in those of a row.  A row that somebody has changed since it was found
 * stays as it is.  Returns how many have changed; -1, and nothing done, where this
 * takes a statement.
 */
int
settle_update_rows(Oid relid, const int *columns, int ncolumns, SettleRowValues values, void *arg, int n)
{
	Target		target;
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	Bitmapset  *changed = NULL;
	CommandId	command = GetCurrentCommandId(true);
	int			updated = 0;
	Datum	   *new_values = palloc(sizeof(Datum) * ncolumns);
	bool	   *new_nulls = palloc(sizeof(bool) * ncolumns);

	for (int i = 0; i < ncolumns; i++)
		changed = bms_add_member(changed, columns[i]);
	if (!open_target(&target, relid, changed))
		return -1;
	old_row = table_slot_create(target.relation, NULL);
	new_row = MakeSingleTupleTableSlot(RelationGetDescr(target.relation), &TTSOpsHeapTuple);
	for (int i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(target.scratch);
		ItemPointerData place;
		TM_FailureData failure;
		LockTupleMode mode;
		SettleIndexUpdate which;
		bool		should_free;

		CHECK_FOR_INTERRUPTS();
		values(i, &place, new_values, new_nulls, arg);
		if (table_tuple_fetch_row_version(target.relation, &place, GetActiveSnapshot(), old_row))
		{
			ExecStoreHeapTuple(heap_modify_tuple_by_cols(ExecFetchSlotHeapTuple(old_row, false, &should_free), RelationGetDescr(target.relation),
														 ncolumns, unconstify(int *, columns), new_values, new_nulls), new_row, false);
			new_row->tts_tableOid = relid;
			check_constraints(&target, new_row);
			if (table_tuple_update(target.relation, &place, new_row, command, GetActiveSnapshot(), InvalidSnapshot, true, &failure, &mode, &which) == TM_Ok)
			{
				if (which)
					add_index_entries(&target, new_row, which);
				updated++;
			}
		}
		ExecClearTuple(old_row);
		ExecClearTuple(new_row);
		MemoryContextSwitchTo(old);
		MemoryContextReset(target.scratch);
	}
	ExecDropSingleTupleTableSlot(old_row);
	ExecDropSingleTupleTableSlot(new_row);
	close_target(&target);
	return updated;
}
