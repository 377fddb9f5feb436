/*
 * move.c
 *		The moves of a ticket: which are to be had from a stage, who may make
 *		them, and what each still needs; and asking for them.
 *
 * What is raised here says what can be done instead.  stage.c asks for the move
 * that a row means, and writes where it leads.
 */
#include "desk/desk.h"
#include "settle/run.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

Datum
settle_need_column(const DeskWriting *w, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(w->row, column, w->desc, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("%s of ticket \"%s\" is null", NameStr(TupleDescAttr(w->desc, column - 1)->attname), w->ticket)));
	return value;
}

/* ---- moves ---- */

/*
 * Finds the row of a move that counts from a stage, in a region, now; NULL
 * where there is none or it is off.  Rows are in the order in which they count.
 */
static const DeskMove *
find_move(const DeskWriting *w, const DeskStage *from, const char *name)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	for (int i = 0; i < w->type->nmoves; i++)
	{
		const DeskMove *move = &w->type->moves[i];

		if (move->from == from && strcmp(move->name, name) == 0 && settle_region_within(w->region, move->region) &&
			move->since <= now && now < move->until)
			return move->off ? NULL : move;
	}
	return NULL;
}

/*
 * Tells whether somebody is one of those who may make a move: a role counts by
 * its members, unless the actor is somebody a delegate acts for.
 */
static bool
may_make(const DeskWriting *w, const DeskMove *move)
{
	const char *actor = settle_actor_name(w->desk->schema);

	if (move->nwho < 0)
		return true;
	for (int i = 0; i < move->nwho; i++)
	{
		bool		isnull;
		Datum		value = settle_term_datum(w->type, &move->who[i], &isnull);
		const char *one = isnull ? NULL : TextDatumGetCString(value);
		Oid			role;

		if (one == NULL)
			continue;
		if (strcmp(one, actor) == 0)
			return true;
		role = settle_acting_party(w->desk->schema) == NULL ? get_role_oid(one, true) : InvalidOid;
		if (OidIsValid(role) && is_member_of_role(GetSessionUserId(), role))
			return true;
	}
	return false;
}

static bool
is_open(const DeskWriting *w, const DeskMove *move)
{
	return may_make(w, move) && settle_term_holds(w->type, &move->guard);
}

/*
 * The same for a list, in which a move is not to be had whose guard fails: what
 * else may be done is told all the same.  Who makes that move gets its error.
 */
static bool
is_open_in_list(const DeskWriting *w, const DeskMove *move)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool open = false;

	if (move->guard.constant)
		return is_open(w, move);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		open = is_open(w, move);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (!settle_is_error_of_ticket(error->sqlerrcode))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return open;
}

/*
 * Lists the moves that are to be had from a stage, each once.
 */
static List *
moves_from(const DeskWriting *w, const DeskStage *from)
{
	List	   *found = NIL;
	const char *last = "";

	for (int i = 0; i < w->type->nmoves; i++)
	{
		const DeskMove *move = &w->type->moves[i];

		if (move->from != from || strcmp(move->name, last) == 0)
			continue;
		last = move->name;
		move = find_move(w, from, last);
		if (move != NULL)
			found = lappend(found, (void *) move);
	}
	return found;
}

/*
 * Lists those of them that may be made now.
 */
static List *
open_moves(const DeskWriting *w, const DeskStage *from)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, moves_from(w, from))
	{
		const DeskMove *move = lfirst(lc);

		if (is_open_in_list(w, move))
			found = lappend(found, (void *) move);
	}
	return found;
}

/*
 * Says how the ticket came where it is, as the journal has it now.
 */
static char *
last_move(const DeskWriting *w)
{
	Oid			type = TEXTOID;
	Datum		ticket = CStringGetTextDatum(w->ticket);
	MemoryContext context = CurrentMemoryContext;
	SettleIdentity identity = settle_book_enter(&w->desk->book);
	char	   *said = NULL;
	bool		isnull;

	SPI_connect();
	if (settle_book_execute(psprintf("SELECT CASE e.what WHEN 'moved' THEN format('It came there from \"%%s\" by move \"%%s\", made by %%s at %%s.', e.was, e.move, e.actor, l.at) "
									 "ELSE format('It was opened there by %%s at %%s.', e.actor, l.at) END "
									 "FROM %1$s.ticket_event AS e CROSS JOIN %1$s.book AS b CROSS JOIN LATERAL to_char(e.at AT TIME ZONE b.time_zone, 'YYYY-MM-DD HH24:MI') AS l (at) "
									 "WHERE e.ticket_id = $1 AND e.what IN ('opened', 'moved') ORDER BY e.event_id DESC LIMIT 1", w->desk->book.name),
							1, &type, &ticket, NULL, SPI_OK_SELECT) == 1)
		said = MemoryContextStrdup(context, TextDatumGetCString(settle_spi_datum(0, 1, &isnull)));
	SPI_finish();
	settle_book_leave(identity);
	return said;
}

/*
 * Raises that a move cannot be made, with those that can.
 */
void
settle_refuse_move(const DeskWriting *w, const DeskStage *from, int sqlstate, const char *message, const char *detail)
{
	List	   *open = open_moves(w, from);
	StringInfoData hint;
	ListCell   *lc;

	initStringInfo(&hint);
	if (open == NIL)
		appendStringInfo(&hint, "No move can be made from stage \"%s\"%s.", from->name, moves_from(w, from) == NIL ? "" : " now");
	foreach(lc, open)
	{
		const DeskMove *move = lfirst(lc);

		if (hint.len == 0)
			appendStringInfo(&hint, "Moves from stage \"%s\": ", from->name);
		else
			appendStringInfoString(&hint, ", ");
		appendStringInfo(&hint, "%s (to %s)%s", move->name, move->to->name, lnext(open, lc) == NULL ? "." : "");
	}
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", message),
			 detail == NULL ? 0 : errdetail("%s", detail),
			 errhint("%s", hint.data),
			 err_generic_string(PG_DIAG_COLUMN_NAME, "stage")));
}

/*
 * Lists the fields that a move requires and the form does not have.
 */
static char *
missing_fields(const DeskWriting *w, const DeskMove *move)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < move->nrequired; i++)
		if (!settle_form_has(w->type, move->required[i]))
			appendStringInfo(&list, "%s%s", list.len == 0 ? "" : ", ", move->required[i]->name);
	return list.data;
}

/*
 * Lists the approvals that a move still needs; *own is the node that the actor
 * gave himself, 0 where he gave none.
 */
static char *
missing_approvals(const DeskWriting *w, const DeskMove *move, int *own)
{
	Oid			types[] = {TEXTOID, TEXTOID, JSONBOID, NUMERICOID};
	Datum		values[] = {CStringGetTextDatum(w->ticket), CStringGetTextDatum(move->name), JsonbPGetDatum(w->details), settle_need_column(w, w->columns->amount)};
	const char *actor = settle_actor_name(w->desk->schema);
	MemoryContext context = CurrentMemoryContext;
	StringInfoData list;
	SettleIdentity identity;
	uint64		n;

	*own = 0;
	initStringInfo(&list);
	for (int i = 0; i < w->type->nnodes; i++)
		if (strcmp(w->type->nodes[i].move, move->name) == 0)
			break;
		else if (i + 1 == w->type->nnodes)
			return list.data;
	if (w->type->nnodes == 0)
		return list.data;
	identity = settle_book_enter(&w->desk->book);
	SPI_connect();
	n = settle_book_execute(psprintf("SELECT a.node::int2, a.actor FROM %s.ticket_approval AS a WHERE a.ticket_id = $1 AND a.move = $2 AND a.content = settle._ticket_content($3, $4)",
									 w->desk->book.name), lengthof(types), types, values, NULL, SPI_OK_SELECT);
	MemoryContextSwitchTo(context);
	for (int i = 0; i < w->type->nnodes; i++)
	{
		const DeskNode *node = &w->type->nodes[i];
		bool		given = strcmp(node->move, move->name) != 0;
		bool		isnull;

		for (uint64 k = 0; k < n && !given; k++)
			if (DatumGetInt16(settle_spi_datum((int) k, 1, &isnull)) == node->node)
			{
				given = true;
				if (strcmp(TextDatumGetCString(settle_spi_datum((int) k, 2, &isnull)), actor) == 0)
					*own = node->node;
			}
		if (!given)
			appendStringInfo(&list, "%s%d (%s)", list.len == 0 ? "" : ", ", node->node, node->title);
	}
	SPI_finish();
	settle_book_leave(identity);
	return list.data;
}

/*
 * Lists for whom a move is, as the type says it: whose names stand there for the
 * ticket is nobody else's business.
 */
static char *
those_who_may(const DeskMove *move)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < move->nwho; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", move->who[i].text);
	return move->nwho == 0 ? "nobody" : list.data;
}

/*
 * Raises where a move that was found cannot be made now.
 */
static void
check_move(const DeskWriting *w, const DeskMove *move)
{
	char	   *missing;
	int			own;

	if (!may_make(w, move))
		settle_refuse_move(w, move->from, ERRCODE_INSUFFICIENT_PRIVILEGE,
						   psprintf("\"%s\" cannot make move \"%s\" of ticket \"%s\"", settle_actor_name(w->desk->schema), move->name, w->ticket),
						   psprintf("It is for %s.", those_who_may(move)));
	if (!settle_term_holds(w->type, &move->guard))
		settle_refuse_move(w, move->from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   psprintf("cannot make move \"%s\" of ticket \"%s\": its guard does not hold", move->name, w->ticket), psprintf("The guard is: %s.", move->guard.text));
	missing = missing_fields(w, move);
	if (missing[0] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("cannot make move \"%s\" of ticket \"%s\" without %s", move->name, w->ticket, missing),
				 errhint("Give the move what it requires: fields => '{...}'."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, missing),
				 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "requires")));
	missing = missing_approvals(w, move, &own);
	if (missing[0] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("move \"%s\" of ticket \"%s\" is not approved", move->name, w->ticket),
				 errdetail("It lacks approval %s of the ticket as it would be.", missing),
				 errhint("settle.approve_move gives it. Fill in the form first: an approval holds for what it says.")));
	if (own != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("\"%s\" cannot make move \"%s\" of ticket \"%s\"", settle_actor_name(w->desk->schema), move->name, w->ticket),
				 errdetail("Who gave approval %d does not make the move.", own)));
}

/*
 * Finds the move that is asked for by name.
 */
const DeskMove *
settle_move_named(const DeskWriting *w, const DeskStage *from, const char *name)
{
	const DeskMove *move = find_move(w, from, name);

	if (move == NULL)
	{
		bool		exists = false;
		bool		from_here = false;

		for (int i = 0; i < w->type->nmoves; i++)
			if (strcmp(w->type->moves[i].name, name) == 0)
			{
				exists = true;
				from_here = from_here || w->type->moves[i].from == from;
			}
		if (from_here)
			settle_refuse_move(w, from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							   psprintf("move \"%s\" of ticket \"%s\" is not made in region \"%s\" now", name, w->ticket, w->region), NULL);
		if (!exists)
			settle_refuse_move(w, from, ERRCODE_UNDEFINED_OBJECT, psprintf("ticket type \"%s\" has no move \"%s\"", w->type->type, name), NULL);
		settle_refuse_move(w, from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   psprintf("cannot make move \"%s\" of ticket \"%s\": it is in stage \"%s\"", name, w->ticket, from->name), last_move(w));
	}
	check_move(w, move);
	return move;
}

/*
 * Finds the move that is asked for by where it leads.
 */
const DeskMove *
settle_move_to(const DeskWriting *w, const DeskStage *from, const char *stage)
{
	const DeskMove *found = NULL;
	const DeskMove *closed = NULL;
	ListCell   *lc;

	foreach(lc, moves_from(w, from))
	{
		const DeskMove *move = lfirst(lc);

		if (strcmp(move->to->name, stage) != 0)
			continue;
		if (!is_open(w, move))
			closed = move;
		else if (found == NULL)
			found = move;
		else
			settle_refuse_move(w, from, ERRCODE_AMBIGUOUS_FUNCTION,
							   psprintf("moves \"%s\" and \"%s\" lead ticket \"%s\" from stage \"%s\" to \"%s\"", found->name, move->name, w->ticket, from->name, stage),
							   "Name the one that is meant.");
	}
	if (found == NULL)
		found = closed;
	if (found == NULL)
		settle_refuse_move(w, from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						   psprintf("ticket \"%s\" cannot go from stage \"%s\" to \"%s\"", w->ticket, from->name, stage), last_move(w));
	check_move(w, found);
	return found;
}

/* ---- asking for them ---- */

/*
 * settle.legal_moves(book regnamespace, ticket_id text) returns table (...)
 *
 * Lists the moves that the actor may make of a ticket now, with what each still
 * needs.
 */
PG_FUNCTION_INFO_V1(settle_legal_moves);
Datum
settle_legal_moves(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	SettleBook	book;
	SettleIdentity identity;
	Relation	relation;
	DeskWriting w = {0};
	Oid			type = TEXTOID;
	Datum		ticket;
	HeapTupleData tuple;
	DeskForm	form;
	const char *name;
	List	   *moves;
	ListCell   *lc;
	bool		isnull;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a book and a ticket must be given")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_STAFF);
	InitMaterializedSRF(fcinfo, 0);
	relation = settle_desk_open(&book, &w.desk);
	w.columns = &w.desk->columns;
	w.desc = RelationGetDescr(relation);
	w.ticket = text_to_cstring(PG_GETARG_TEXT_PP(1));

	identity = settle_book_enter(&book);
	SPI_connect();
	ticket = PG_GETARG_DATUM(1);
	if (settle_book_execute(psprintf("SELECT t FROM %s.ticket AS t WHERE t.ticket_id = $1", book.name), 1, &type, &ticket, NULL, SPI_OK_SELECT) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("book \"%s\" has no ticket \"%s\"", book.label, w.ticket)));
	MemoryContextSwitchTo(context);
	tuple.t_data = DatumGetHeapTupleHeaderCopy(settle_spi_datum(0, 1, &isnull));
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = RelationGetRelid(relation);
	SPI_finish();
	settle_book_leave(identity);
	w.row = &tuple;
	name = settle_ticket_text(w.row, w.desc, w.columns->type);
	if (name != NULL)
	{
		w.type = settle_desk_type(w.desk, name, DatumGetInt32(settle_need_column(&w, w.columns->type_version)));
		w.region = SPI_getvalue(w.row, w.desc, w.columns->region);
		w.details = DatumGetJsonbP(settle_need_column(&w, w.columns->details));
		form = (DeskForm)
		{
			w.desk, w.type, w.ticket, w.region, w.details
		};
		settle_desk_load(w.type, w.row, w.desc);
		nestlevel = settle_env_enter(w.desk->time_zone);
		settle_form_load(&form, w.details);
		moves = open_moves(&w, settle_desk_stage(w.type, settle_ticket_text(w.row, w.desc, w.columns->stage)));
		foreach(lc, moves)
		{
			const DeskMove *move = lfirst(lc);
			int			own;
			char	   *fields = missing_fields(&w, move);
			char	   *approvals = missing_approvals(&w, move, &own);
			Datum		values[] = {
				CStringGetTextDatum(move->name), CStringGetTextDatum(move->to->name), move->title == NULL ? (Datum) 0 : CStringGetTextDatum(move->title),
				CStringGetTextDatum(fields), CStringGetTextDatum(approvals)
			};
			bool		nulls[] = {false, false, move->title == NULL, fields[0] == '\0', approvals[0] == '\0'};

			if (own == 0)
				tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
		settle_env_leave(nestlevel);
	}
	table_close(relation, NoLock);
	return (Datum) 0;
}
