/*
 * bulk.c
 *		Writes rows into a table of the book, many of them pages at once.
 *
 * This is how COPY writes: constraints are checked, indexes kept, and triggers
 * fired that come after the rows.  A table on which something hangs that only a
 * statement serves (triggers before a row, any of an update, rules, partitions,
 * generated columns, policies, defaults) is left to the caller, who has a
 * statement that does the same.
 *
 * Rows are written some hundred at a time, and what one of them is made of lives
 * that long.  Unlike COPY a slot keeps the values that its row was formed from,
 * so that constraints and indexes need not take it apart again; and an index
 * that sums up pages (BRIN) hears of a row only where it may be news to it.
 */
#include "book/rows.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "expr/expr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

/* rows, and bytes of them, that are written at a time */
#define BULK_ROWS	500
#define BULK_BYTES	(256 * 1024)

/* so few go into the pages that others fill, too */
#define FEW_ROWS	16

typedef struct Target
{
	Relation	relation;
	EState	   *estate;
	ResultRelInfo *info;
	ResultRelInfo *summaries;	/* the same with those of its indexes that sum up pages; NULL: none */
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

	if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition || relation->rd_rules != NULL ||
		(columns != NULL && relation->rd_rel->relhassubclass) ||	/* places may be those of a child */
		(constraints != NULL && constraints->has_generated_stored) ||
		check_enable_rls(RelationGetRelid(relation), InvalidOid, true) == RLS_ENABLED ||
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

static bool
is_summary(Relation index)
{
	return index->rd_rel->relam == BRIN_AM_OID;
}

/*
 * Parts the indexes of a table that sum up pages from the others.
 */
static void
part_summaries(Target *target)
{
	ResultRelInfo *info = target->info;
	ResultRelInfo *summaries = makeNode(ResultRelInfo);
	int			n = info->ri_NumIndices;
	int			kept = 0;

	*summaries = *info;
	summaries->ri_NumIndices = 0;
	summaries->ri_IndexRelationDescs = palloc(sizeof(Relation) * Max(n, 1));
	summaries->ri_IndexRelationInfo = palloc(sizeof(IndexInfo *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		ResultRelInfo *to = is_summary(info->ri_IndexRelationDescs[i]) ? summaries : info;
		int			at = to == info ? kept++ : summaries->ri_NumIndices++;

		to->ri_IndexRelationDescs[at] = info->ri_IndexRelationDescs[i];
		to->ri_IndexRelationInfo[at] = info->ri_IndexRelationInfo[i];
	}
	info->ri_NumIndices = kept;
	target->summaries = summaries->ri_NumIndices > 0 ? summaries : NULL;
}

static bool
fires_after_insert(const TriggerDesc *triggers)
{
	return triggers != NULL &&
		(triggers->trig_insert_after_row || triggers->trig_insert_before_statement ||
		 triggers->trig_insert_after_statement || triggers->trig_insert_new_table);
}

/*
 * Whether writing a row executes what somebody has hung on its table.  Of an
 * update no trigger is concerned, or it would take a statement.
 */
static bool
runs_code(const Target *target, bool inserts)
{
	TupleConstr *constraints = RelationGetDescr(target->relation)->constr;

	if ((inserts && fires_after_insert(target->relation->trigdesc)) || (constraints != NULL && constraints->num_check > 0))
		return true;
	for (int i = 0; i < target->info->ri_NumIndices; i++)
	{
		Relation	index = target->info->ri_IndexRelationDescs[i];
		IndexInfo  *info = target->info->ri_IndexRelationInfo[i];

		if (info->ii_Expressions != NIL || info->ii_Predicate != NIL)
			return true;
		for (int k = 0; k < info->ii_NumIndexKeyAttrs; k++)
			if (index->rd_opfamily[k] >= FirstNormalObjectId)
				return true;
	}
	return false;
}

/*
 * Opens a table for writing; false for one that takes a statement.
 */
static bool
open_target(Target *target, Oid relid, const Bitmapset *columns)
{
	target->relation = table_open(relid, RowExclusiveLock);
	target->summaries = NULL;
	if (!is_plain(target->relation, columns))
	{
		table_close(target->relation, NoLock);
		return false;
	}
	target->estate = CreateExecutorState();
	target->info = makeNode(ResultRelInfo);
	InitResultRelInfo(target->info, target->relation, 0, NULL, 0);
	ExecOpenIndices(target->info, false);
	if (runs_code(target, columns == NULL))
		settle_env_need();
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
	if (target->summaries != NULL)
		ExecCloseIndices(target->summaries);
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
 * Tells whether an index that sums up pages has heard of all that a row says of
 * its page from the row before it.
 */
static bool
is_summed_up(const IndexInfo *index, TupleDesc desc, TupleTableSlot *before, TupleTableSlot *slot)
{
	if (index->ii_Predicate != NIL || index->ii_Expressions != NIL ||
		ItemPointerGetBlockNumber(&before->tts_tid) != ItemPointerGetBlockNumber(&slot->tts_tid))
		return false;
	for (int i = 0; i < index->ii_NumIndexAttrs; i++)
	{
		AttrNumber	at = index->ii_IndexAttrNumbers[i];
		Form_pg_attribute column = TupleDescAttr(desc, at - 1);
		bool		isnull;
		bool		was_null;
		Datum		value = slot_getattr(slot, at, &isnull);
		Datum		was = slot_getattr(before, at, &was_null);

		if (isnull != was_null || (!isnull && !datumIsEqual(value, was, column->attbyval, column->attlen)))
			return false;
	}
	return true;
}

static void
add_to_summaries(Target *target, TupleTableSlot *before, TupleTableSlot *slot)
{
	ResultRelInfo *summaries = target->summaries;
	bool		is_news = before == NULL;

	for (int i = 0; i < summaries->ri_NumIndices && !is_news; i++)
		is_news = !is_summed_up(summaries->ri_IndexRelationInfo[i], RelationGetDescr(target->relation), before, slot);
	if (is_news)
		(void) settle_insert_index_entries(summaries, slot, target->estate, SETTLE_ALL_INDEXES);
	ResetPerTupleExprContext(target->estate);
}

/* An insertion under way. */
typedef struct Insertion
{
	Target		target;
	CommandId	command;
	BulkInsertState bulk;		/* NULL: not many rows, so far */
	TransitionCaptureState *capture;
	int			nslots;
	TupleTableSlot **slots;
	uint64		written;
} Insertion;

static bool
begin_insertion(Insertion *insertion, Oid relid)
{
	Target	   *target = &insertion->target;

	memset(insertion, 0, sizeof(*insertion));
	insertion->command = GetCurrentCommandId(true);
	if (!open_target(target, relid, NULL))
		return false;
	part_summaries(target);
	AfterTriggerBeginQuery();
	insertion->capture = MakeTransitionCaptureState(target->relation->trigdesc, relid, CMD_INSERT);
	ExecBSInsertTriggers(target->estate, target->info);
	insertion->slots = palloc(sizeof(TupleTableSlot *) * BULK_ROWS);
	return true;
}

/*
 * Puts a row, which goes with it, into a slot of the batch.
 */
static TupleTableSlot *
take_row(Insertion *insertion, int at, HeapTuple row)
{
	Target	   *target = &insertion->target;
	TupleTableSlot *slot;

	if (at == insertion->nslots)
	{
		MemoryContext old = MemoryContextSwitchTo(target->estate->es_query_cxt);

		insertion->slots[insertion->nslots++] = MakeSingleTupleTableSlot(RelationGetDescr(target->relation), &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	slot = insertion->slots[at];
	/* or writing would copy it, and forget the values */
	ExecStoreHeapTuple(row, slot, true);
	slot->tts_tableOid = RelationGetRelid(target->relation);
	return slot;
}

/*
 * Writes the first n slots, and forgets what their rows were made of.
 */
static void
write_batch(Insertion *insertion, int n, bool is_last)
{
	Target	   *target = &insertion->target;
	MemoryContext old = MemoryContextSwitchTo(target->scratch);
	bool		few = is_last && insertion->written == 0 && n <= FEW_ROWS;

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n; i++)
		check_constraints(target, insertion->slots[i]);
	if (few)
	{
		for (int i = 0; i < n; i++)
			table_tuple_insert(target->relation, insertion->slots[i], insertion->command, 0, NULL);
	}
	else if (n > 0)
	{
		if (insertion->bulk == NULL)
		{
			MemoryContextSwitchTo(target->estate->es_query_cxt);
			insertion->bulk = GetBulkInsertState();
			MemoryContextSwitchTo(target->scratch);
		}
		table_multi_insert(target->relation, insertion->slots, n, insertion->command, 0, insertion->bulk);
	}
	for (int i = 0; i < n; i++)
	{
		TupleTableSlot *slot = insertion->slots[i];
		List	   *recheck = add_index_entries(target, slot, SETTLE_ALL_INDEXES);

		if (target->summaries != NULL)
			add_to_summaries(target, i > 0 ? insertion->slots[i - 1] : NULL, slot);
		ExecARInsertTriggers(target->estate, target->info, slot, recheck, insertion->capture);
	}
	for (int i = 0; i < n; i++)
		ExecClearTuple(insertion->slots[i]);
	insertion->written += n;
	MemoryContextSwitchTo(old);
	MemoryContextReset(target->scratch);
}

static void
end_insertion(Insertion *insertion)
{
	Target	   *target = &insertion->target;

	for (int i = 0; i < insertion->nslots; i++)
		ExecDropSingleTupleTableSlot(insertion->slots[i]);
	if (insertion->bulk != NULL)
	{
		FreeBulkInsertState(insertion->bulk);
		table_finish_bulk_insert(target->relation, 0);
	}
	ExecASInsertTriggers(target->estate, target->info, insertion->capture);
	AfterTriggerEndQuery(target->estate);
	close_target(target);
}

/*
 * Inserts rows that have the shape of their table.  False, and nothing done,
 * where that takes a statement.
 */
bool
settle_insert_rows(Oid relid, HeapTuple *rows, int n)
{
	Insertion	insertion;

	if (!begin_insertion(&insertion, relid))
		return false;
	for (int from = 0; from < n; from += BULK_ROWS)
	{
		int			some = Min(n - from, BULK_ROWS);
		MemoryContext old = MemoryContextSwitchTo(insertion.target.scratch);

		for (int i = 0; i < some; i++)
			take_row(&insertion, i, heap_copytuple(rows[from + i]));
		MemoryContextSwitchTo(old);
		write_batch(&insertion, some, from + some == n);
	}
	end_insertion(&insertion);
	return true;
}

/*
 * Finds where the named columns are; false where another column has to be given
 * a value, which a domain may have, too.
 */
static bool
place_columns(TupleDesc desc, const char *const *columns, int ncolumns, int *places)
{
	int			placed = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);
		int			at = 0;

		while (at < ncolumns && (a->attisdropped || strcmp(NameStr(a->attname), columns[at]) != 0))
			at++;
		if (at < ncolumns)
		{
			places[at] = i;
			placed++;
		}
		else if (a->atthasdef || a->attidentity != '\0' || (!a->attisdropped && get_typtype(a->atttypid) == TYPTYPE_DOMAIN))
			return false;
	}
	return placed == ncolumns;
}

static void
place_values(const int *places, int ncolumns, const Datum *given, const bool *given_nulls, Datum *values, bool *nulls)
{
	for (int i = 0; i < ncolumns; i++)
	{
		values[places[i]] = given[i];
		nulls[places[i]] = given_nulls[i];
	}
}

/*
 * Whether a row of a table is no more than its place in the heap: nothing is to
 * be checked but nulls, found by an index or told to a trigger.
 */
static bool
is_bare(Relation relation)
{
	TupleConstr *constraints = RelationGetDescr(relation)->constr;

	return is_plain(relation, NULL) && relation->rd_rel->relam == HEAP_TABLE_AM_OID && !relation->rd_rel->relhasindex &&
		(constraints == NULL || constraints->num_check == 0) && !fires_after_insert(relation->trigdesc);
}

/*
 * Appends a row to such a table.
 */
static void
append_row(Relation relation, const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(relation);
	HeapTuple	tuple;

	for (int i = 0; i < desc->natts; i++)
		if (nulls[i] && TupleDescAttr(desc, i)->attnotnull)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("null value in column \"%s\" of relation \"%s\" violates not-null constraint",
							NameStr(TupleDescAttr(desc, i)->attname), RelationGetRelationName(relation)),
					 errtablecol(relation, i + 1)));
	tuple = heap_form_tuple(desc, unconstify(Datum *, values), unconstify(bool *, nulls));
	heap_insert(relation, tuple, GetCurrentCommandId(true), 0, NULL);
	heap_freetuple(tuple);
}

/*
 * Inserts the rows that "row" gives: the named columns have its values, all
 * others are null.  False, and none is asked for, where that takes a statement.
 */
bool
settle_insert_values(Relation relation, const char *const *columns, int ncolumns, SettleNextRow row, void *arg, uint64 *n)
{
	TupleDesc	desc = RelationGetDescr(relation);
	int		   *places = palloc(sizeof(int) * ncolumns);
	Datum	   *given = palloc(sizeof(Datum) * ncolumns);
	bool	   *given_nulls = palloc(sizeof(bool) * ncolumns);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	Insertion	insertion;
	bool		more = true;

	if (!place_columns(desc, columns, ncolumns, places))
		return false;
	memset(nulls, true, sizeof(bool) * desc->natts);
	if (is_bare(relation))
	{
		for (*n = 0; row(given, given_nulls, arg); (*n)++)
		{
			place_values(places, ncolumns, given, given_nulls, values, nulls);
			append_row(relation, values, nulls);
		}
		return true;
	}
	if (!begin_insertion(&insertion, RelationGetRelid(relation)))
		return false;
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(insertion.target.scratch);
		Size		bytes = 0;
		int			some = 0;

		while (some < BULK_ROWS && bytes < BULK_BYTES && (more = row(given, given_nulls, arg)))
		{
			HeapTuple	tuple;
			TupleTableSlot *slot;

			place_values(places, ncolumns, given, given_nulls, values, nulls);
			tuple = heap_form_tuple(desc, values, nulls);
			bytes += tuple->t_len;
			slot = take_row(&insertion, some++, tuple);
			memcpy(slot->tts_values, values, sizeof(Datum) * desc->natts);
			memcpy(slot->tts_isnull, nulls, sizeof(bool) * desc->natts);
			slot->tts_nvalid = desc->natts;
		}
		MemoryContextSwitchTo(old);
		write_batch(&insertion, some, !more);
	}
	end_insertion(&insertion);
	*n = insertion.written;
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
	CheckCmdReplicaIdentity(target.relation, CMD_UPDATE);
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
