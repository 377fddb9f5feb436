/*
 * actor.c
 *		Who acts in this transaction, and why.
 *
 * An application that serves many people through one login role says for whom
 * it acts.  What it says is kept in this process until the transaction ends,
 * not in a setting, which anybody could SET: settle.act_as asks for the level
 * delegate in the book, and what it notes holds for that book alone, so nobody
 * becomes another in a book of others by being a delegate in his own.
 *
 * Acts are a stack.  A savepoint that is rolled back takes its own with it, and
 * the reason that a function of the book is given ends with the function.
 */
#include "book/book.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct Act
{
	struct Act *before;
	int			depth;
	SubTransactionId subxact;
	Oid			book;			/* InvalidOid: no more than a reason, for all books */
	const char *party;			/* NULL where only a reason is given */
	const char *reason;
} Act;

static Act *acts = NULL;

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		acts = NULL;			/* their memory goes with the transaction */
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId subxact, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (acts != NULL && acts->subxact == subxact)
			acts = acts->before;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (Act *act = acts; act != NULL && act->subxact == subxact; act = act->before)
			act->subxact = parent;
}

/*
 * Notes who acts or why, on top of what was said before.
 */
static void
push_act(Oid book, const char *party, const char *reason)
{
	static bool registered = false;
	Act		   *act = MemoryContextAlloc(TopTransactionContext, sizeof(Act));

	if (!registered)
	{
		RegisterXactCallback(end_of_transaction, NULL);
		RegisterSubXactCallback(end_of_subtransaction, NULL);
		registered = true;
	}
	act->before = acts;
	act->depth = acts == NULL ? 1 : acts->depth + 1;
	act->subxact = GetCurrentSubTransactionId();
	act->book = book;
	act->party = party == NULL ? NULL : MemoryContextStrdup(TopTransactionContext, party);
	act->reason = reason == NULL ? NULL : MemoryContextStrdup(TopTransactionContext, reason);
	acts = act;
}

int
settle_begin_reason(const char *reason)
{
	int			depth = acts == NULL ? 0 : acts->depth;

	push_act(InvalidOid, NULL, reason);
	return depth;
}

void
settle_end_reason(int depth)
{
	while (acts != NULL && acts->depth > depth)
		acts = acts->before;
}

const char *
settle_acting_party(Oid book)
{
	for (const Act *act = acts; act != NULL; act = act->before)
		if (act->book == book && act->party != NULL)
			return act->party;
	return NULL;
}

const char *
settle_actor_name(Oid book)
{
	const char *party = settle_acting_party(book);

	return party != NULL ? party : GetUserNameFromId(GetSessionUserId(), false);
}

const char *
settle_reason_given(Oid book)
{
	for (const Act *act = acts; act != NULL; act = act->before)
		if (act->reason != NULL && (act->book == book || !OidIsValid(act->book)))
			return act->reason;
	return NULL;
}

/*
 * Says of which book the question without one is: of the latest that somebody
 * acts in.  Inside the code of a book, which runs as its owner, only those of
 * this owner count.
 */
static Oid
book_in_question(void)
{
	for (const Act *act = acts; act != NULL; act = act->before)
		if (OidIsValid(act->book) && (!InSecurityRestrictedOperation() || settle_book_owner(act->book) == GetUserId()))
			return act->book;
	return InvalidOid;
}

/*
 * Raises 42501 inside the code of a book: a trigger that somebody put on one of
 * its tables is not to say who acts.
 */
static void
refuse_in_code(const char *function)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call settle.%s within security-restricted operation", function)));
}

static char *
text_given(FunctionCallInfo fcinfo, int arg, const char *what)
{
	char	   *given = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));

	if (given == NULL || given[strspn(given, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(given == NULL ? ERRCODE_NULL_VALUE_NOT_ALLOWED : ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s", what, given == NULL ? "null" : "empty")));
	return given;
}

/*
 * settle.act_as(book regnamespace, party text, reason text default null) returns void
 *
 * Says for whom a delegate of the book acts until the transaction ends.
 */
PG_FUNCTION_INFO_V1(settle_act_as);
Datum
settle_act_as(PG_FUNCTION_ARGS)
{
	SettleBook	book;
	char	   *party;

	refuse_in_code("act_as");
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_DELEGATE);
	party = text_given(fcinfo, 1, "party");
	push_act(book.schema, party, PG_ARGISNULL(2) ? NULL : text_given(fcinfo, 2, "reason"));
	PG_RETURN_VOID();
}

/*
 * settle.because(reason text) returns void
 *
 * Gives the reason of the changes that follow in this transaction.
 */
PG_FUNCTION_INFO_V1(settle_because);
Datum
settle_because(PG_FUNCTION_ARGS)
{
	refuse_in_code("because");
	push_act(InvalidOid, NULL, text_given(fcinfo, 0, "reason"));
	PG_RETURN_VOID();
}

/*
 * settle.actor(book regnamespace default null) returns text
 *
 * Tells who acts in this transaction.
 */
PG_FUNCTION_INFO_V1(settle_actor);
Datum
settle_actor(PG_FUNCTION_ARGS)
{
	Oid			book = PG_ARGISNULL(0) ? book_in_question() : PG_GETARG_OID(0);

	PG_RETURN_TEXT_P(cstring_to_text(settle_actor_name(book)));
}

/*
 * settle.reason(book regnamespace default null) returns text
 *
 * Tells the reason that was given for what this transaction changes.
 */
PG_FUNCTION_INFO_V1(settle_reason);
Datum
settle_reason(PG_FUNCTION_ARGS)
{
	const char *reason = settle_reason_given(PG_ARGISNULL(0) ? book_in_question() : PG_GETARG_OID(0));

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
