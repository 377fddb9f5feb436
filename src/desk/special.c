/*
 * special.c
 *		Tickets that were written are noted, to be judged by the next tick.
 *
 * The row trigger appends the ticket's name straight to the heap of
 * <book>.special_pending, as capture does with <book>.pending: that asks for no
 * privilege of whoever writes tickets, and costs a small part of the journal.
 * Its condition is asked here: one in the trigger is read once a statement,
 * which costs a single ticket more.
 */
#include "desk/desk.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * Tells whether the queue is as create_book made it, so that a row may go
 * straight to its heap.
 */
static bool
is_plain(Relation queue)
{
	TupleDesc	desc = RelationGetDescr(queue);

	return queue->rd_rel->relkind == RELKIND_RELATION && !queue->rd_rel->relhasindex &&
		!queue->rd_rel->relhastriggers && !queue->rd_rel->relrowsecurity && !queue->rd_rel->relispartition &&
		queue->rd_rel->relam == HEAP_TABLE_AM_OID && desc->natts == 1 && desc->constr != NULL && desc->constr->num_check == 0 &&
		!TupleDescAttr(desc, 0)->attisdropped && TupleDescAttr(desc, 0)->atttypid == TEXTOID;
}

/*
 * settle.note_special() returns trigger
 *
 * Row trigger after a ticket was written: notes those that have a type.
 */
PG_FUNCTION_INFO_V1(settle_note_special);
Datum
settle_note_special(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	Oid			schema;
	Oid			relid;
	Relation	queue;
	Datum		ticket;
	bool		isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_special is not called as an AFTER row trigger")));
	/* as in settle.capture */
	CHECK_FOR_INTERRUPTS();
	desc = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	if (!settle_ticket_has_type(row, desc))
		return PointerGetDatum(NULL);
	schema = RelationGetNamespace(trigger->tg_relation);
	relid = get_relname_relid("special_pending", schema);
	if (!OidIsValid(relid))
		return PointerGetDatum(NULL);
	ticket = SPI_getbinval(row, desc, SPI_fnumber(desc, "ticket_id"), &isnull);
	queue = table_open(relid, RowExclusiveLock);
	if (is_plain(queue))
	{
		HeapTuple	tuple = heap_form_tuple(RelationGetDescr(queue), &ticket, &isnull);

		simple_heap_insert(queue, tuple);
		heap_freetuple(tuple);
	}
	else
	{
		/* somebody gave it an index, a trigger or a policy: the long way, as the owner of the book */
		SettleBook	book = settle_book(schema);
		SettleIdentity identity = settle_book_enter(&book);
		Oid			type = TEXTOID;

		SPI_connect();
		settle_book_execute(psprintf("INSERT INTO %s.special_pending (ticket_id) VALUES ($1)", book.name), 1, &type, &ticket, NULL, SPI_OK_INSERT);
		SPI_finish();
		settle_book_leave(identity);
	}
	table_close(queue, NoLock);
	return PointerGetDatum(NULL);
}
