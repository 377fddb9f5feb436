/*
 * commit.c
 *		Tickets of a book that its own code writes, where tickets settle at
 *		commit.
 *
 * Code of a book runs in a security-restricted operation, which may leave no
 * trigger for later: what it writes into <book>.ticket is settled at the end of
 * its own statement instead.
 */
#include "book/book.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

void
settle_book_at_once(const SettleBook *book, bool at_once)
{
	Relation	ticket = table_openrv(makeRangeVar(pstrdup(book->label), "ticket", -1), AccessShareLock);
	ConstraintsSetStmt *set = makeNode(ConstraintsSetStmt);

	set->deferred = !at_once;
	for (int i = 0; ticket->trigdesc != NULL && i < ticket->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &ticket->trigdesc->triggers[i];

		if (trigger->tgdeferrable && !trigger->tgisinternal)
			set->constraints = lappend(set->constraints, makeRangeVar(pstrdup(book->label), get_constraint_name(trigger->tgconstraint), -1));
	}
	table_close(ticket, NoLock);
	if (set->constraints != NIL)
		AfterTriggerSetState(set);
}

/*
 * settle._settle_at_once(book regnamespace, at_once boolean) returns void
 */
PG_FUNCTION_INFO_V1(settle_settle_at_once);
Datum
settle_settle_at_once(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book_for_sql(PG_GETARG_OID(0));

	settle_book_at_once(&book, PG_GETARG_BOOL(1));
	PG_RETURN_VOID();
}
