/*
 * special.c
 *		Tickets that were written are noted, to be judged by the next tick.
 *
 * The row trigger of the desk (event.c) appends the ticket's name straight to the
 * heap of <book>.special_pending, as capture does with <book>.pending: that asks
 * for no privilege of whoever writes tickets, and costs a small part of the
 * journal.
 */
#include "desk/desk.h"

#include "access/heapam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
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
 * Notes a ticket that was written, to be judged.
 */
void
settle_note_special(Relation tickets, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(tickets);
	Oid			schema = RelationGetNamespace(tickets);
	Oid			relid = get_relname_relid("special_pending", schema);
	Relation	queue;
	Datum		ticket;
	bool		isnull;

	if (!OidIsValid(relid))
		return;
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
}
