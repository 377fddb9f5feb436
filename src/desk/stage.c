/*
 * stage.c
 *		The law of a ticket's way: its form, the stage it may be opened in, and
 *		the moves from there.
 *
 * One row trigger on <book>.ticket is the law, so a plain UPDATE, a function of
 * the book and a program that writes its tables are bound alike.  A move is
 * asked for by its name (move, with stage left as it is or null) or by where it
 * leads (stage).  The trigger sees the row as it is once its lock is had: of two
 * sessions that move one ticket the second is judged from where the first has
 * left it.
 */
#include "desk/desk.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* A ticket that is written, and what is known of it. */
typedef struct Writing
{
	Desk	   *desk;
	const DeskType *type;
	const DeskColumns *columns;
	TupleDesc	desc;
	HeapTuple	before;			/* NULL: it comes to the desk now */
	HeapTuple	row;			/* as it is to be */
	const char *ticket;
	const char *region;
	Jsonb	   *details;		/* as they are to be */
} Writing;

/* ---- columns ---- */

/*
 * Tells whether two versions of a row have the same in a column.
 */
static bool
column_stays(const Writing *w, AttrNumber column)
{
	bool		isnull[2];
	Datum		values[2] = {heap_getattr(w->before, column, w->desc, &isnull[0]), heap_getattr(w->row, column, w->desc, &isnull[1])};
	Form_pg_attribute a = TupleDescAttr(w->desc, column - 1);

	return isnull[0] == isnull[1] && (isnull[0] || datum_image_eq(values[0], values[1], a->attbyval, a->attlen));
}

static Datum
need_column(const Writing *w, AttrNumber column)
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
find_move(const Writing *w, const DeskStage *from, const char *name)
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
may_make(const Writing *w, const DeskMove *move)
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
is_open(const Writing *w, const DeskMove *move)
{
	return may_make(w, move) && settle_term_holds(w->type, &move->guard);
}

/*
 * Lists the moves from a stage that may be made, each once.
 */
static List *
open_moves(const Writing *w, const DeskStage *from)
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
		if (move != NULL && is_open(w, move))
			found = lappend(found, (void *) move);
	}
	return found;
}

/*
 * Says how the ticket came where it is, as the journal has it now.
 */
static char *
last_move(const Writing *w)
{
	Oid			type = TEXTOID;
	Datum		ticket = CStringGetTextDatum(w->ticket);
	MemoryContext context = CurrentMemoryContext;
	SettleIdentity identity = settle_book_enter(&w->desk->book);
	char	   *said = NULL;
	bool		isnull;

	SPI_connect();
	if (settle_book_execute(psprintf("SELECT CASE e.what WHEN 'moved' THEN format('It came there from \"%%s\" by move \"%%s\", made by %%s at %%s.', e.was, e.move, e.actor, e.at) "
									 "ELSE format('It was opened there by %%s at %%s.', e.actor, e.at) END "
									 "FROM %s.ticket_event AS e WHERE e.ticket_id = $1 AND e.what IN ('opened', 'moved') ORDER BY e.event_id DESC LIMIT 1", w->desk->book.name),
							1, &type, &ticket, NULL, SPI_OK_SELECT) == 1)
		said = MemoryContextStrdup(context, TextDatumGetCString(settle_spi_datum(0, 1, &isnull)));
	SPI_finish();
	settle_book_leave(identity);
	return said;
}

/*
 * Raises that a move cannot be made, with those that can.
 */
static void
refuse_move(const Writing *w, const DeskStage *from, int sqlstate, const char *message, const char *detail)
{
	List	   *open = open_moves(w, from);
	StringInfoData hint;
	ListCell   *lc;

	initStringInfo(&hint);
	foreach(lc, open)
	{
		const DeskMove *move = lfirst(lc);

		appendStringInfo(&hint, "%s%s (to %s)", hint.len == 0 ? "" : ", ", move->name, move->to->name);
	}
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", message),
			 detail == NULL ? 0 : errdetail("%s", detail),
			 hint.len == 0 ? errhint("No move can be made from stage \"%s\".", from->name) : errhint("Moves from stage \"%s\": %s.", from->name, hint.data),
			 err_generic_string(PG_DIAG_COLUMN_NAME, "stage")));
}

/*
 * Lists the fields that a move requires and the form does not have.
 */
static char *
missing_fields(const Writing *w, const DeskMove *move)
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
missing_approvals(const Writing *w, const DeskMove *move, int *own)
{
	Oid			types[] = {TEXTOID, TEXTOID, JSONBOID, NUMERICOID};
	Datum		values[] = {CStringGetTextDatum(w->ticket), CStringGetTextDatum(move->name), JsonbPGetDatum(w->details), need_column(w, w->columns->amount)};
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
 * Raises where a move that was found cannot be made now.
 */
static void
check_move(const Writing *w, const DeskMove *move)
{
	char	   *missing;
	int			own;

	if (!may_make(w, move))
		refuse_move(w, move->from, ERRCODE_INSUFFICIENT_PRIVILEGE,
					psprintf("\"%s\" cannot make move \"%s\" of ticket \"%s\"", settle_actor_name(w->desk->schema), move->name, w->ticket), "It is for others.");
	if (!settle_term_holds(w->type, &move->guard))
		refuse_move(w, move->from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
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
static const DeskMove *
move_named(const Writing *w, const DeskStage *from, const char *name)
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
			refuse_move(w, from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						psprintf("move \"%s\" of ticket \"%s\" is not made in region \"%s\" now", name, w->ticket, w->region), NULL);
		if (!exists)
			refuse_move(w, from, ERRCODE_UNDEFINED_OBJECT, psprintf("ticket type \"%s\" has no move \"%s\"", w->type->type, name), NULL);
		refuse_move(w, from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					psprintf("cannot make move \"%s\" of ticket \"%s\": it is in stage \"%s\"", name, w->ticket, from->name), last_move(w));
	}
	check_move(w, move);
	return move;
}

/*
 * Finds the move that is asked for by where it leads.
 */
static const DeskMove *
move_to(const Writing *w, const DeskStage *from, const char *stage)
{
	const DeskMove *found = NULL;
	const DeskMove *closed = NULL;
	const char *last = "";

	for (int i = 0; i < w->type->nmoves; i++)
	{
		const DeskMove *move = &w->type->moves[i];

		if (move->from != from || strcmp(move->name, last) == 0)
			continue;
		last = move->name;
		move = find_move(w, from, last);
		if (move == NULL || strcmp(move->to->name, stage) != 0)
			continue;
		if (!is_open(w, move))
			closed = move;
		else if (found == NULL)
			found = move;
		else
			refuse_move(w, from, ERRCODE_AMBIGUOUS_FUNCTION,
						psprintf("moves \"%s\" and \"%s\" lead ticket \"%s\" from stage \"%s\" to \"%s\"", found->name, move->name, w->ticket, from->name, stage),
						"Name the one that is meant.");
	}
	if (found == NULL)
		found = closed;
	if (found == NULL)
		refuse_move(w, from, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					psprintf("ticket \"%s\" cannot go from stage \"%s\" to \"%s\"", w->ticket, from->name, stage), last_move(w));
	check_move(w, found);
	return found;
}

/* ---- the trigger ---- */

static const DeskStage *
stage_named(const Writing *w, const char *name)
{
	for (int i = 0; i < w->type->nstages; i++)
		if (strcmp(w->type->stages[i].name, name) == 0)
			return &w->type->stages[i];
	return NULL;
}

/*
 * Finds the stage that a new ticket is opened in.
 */
static const DeskStage *
first_stage(const Writing *w, const char *name)
{
	const DeskStage *stage = name == NULL ? NULL : stage_named(w, name);
	StringInfoData initial;

	initStringInfo(&initial);
	for (int i = 0; i < w->type->nstages; i++)
	{
		if (!w->type->stages[i].initial)
			continue;
		if (name == NULL)
			return &w->type->stages[i];
		appendStringInfo(&initial, "%s%s", initial.len == 0 ? "" : ", ", w->type->stages[i].name);
	}
	if (stage == NULL || !stage->initial)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("ticket \"%s\" of type \"%s\" cannot be opened in stage \"%s\"", w->ticket, w->type->type, name),
				 errhint("It may be opened in %s.", initial.data),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "stage")));
	return stage;
}

/*
 * Finds the stage of a ticket that is moved over to another version: where it
 * is, or, where the version has no such stage, one that means the same for
 * money.  Moving over is no move.
 */
static const DeskStage *
same_stage(Writing *w, const char *was, const char *wanted)
{
	bool		isnull;
	int			version = DatumGetInt32(heap_getattr(w->before, w->columns->type_version, w->desc, &isnull));
	const DeskStage *stage = stage_named(w, was);
	const DeskStage *before = NULL;
	const DeskType *to = w->type;

	if (stage != NULL && (wanted == NULL || strcmp(wanted, was) == 0))
		return stage;
	w->type = settle_desk_type(w->desk, w->type->type, version);
	before = stage_named(w, was);
	w->type = to;
	if (stage == NULL && wanted != NULL)
		stage = stage_named(w, wanted);
	else
		stage = NULL;
	if (before == NULL || stage == NULL || stage->ready != before->ready || (stage->ends == NULL) != (before->ends == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("ticket \"%s\" cannot be moved over to version %d in stage \"%s\"", w->ticket, w->type->version, wanted != NULL ? wanted : was),
				 errhint("It stays in stage \"%s\"; where the version has none of that name, say another that is ready and final where this one is.", was),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "stage")));
	return stage;
}

/*
 * Decides when the ticket was done: when it came into a ready stage.  In one
 * that is not ready it is not; in one that is, another may withhold it.
 */
static void
decide_done(const Writing *w, const DeskStage *stage, bool stays, Datum *done_at, bool *isnull)
{
	*done_at = heap_getattr(w->row, w->columns->done_at, w->desc, isnull);
	if (stage->ready && *isnull && !stays)
	{
		*done_at = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		*isnull = false;
	}
	else if (!stage->ready && !*isnull && w->before != NULL && !stays && column_stays(w, w->columns->done_at))
		*isnull = true;
	if (!stage->ready && !*isnull)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("done_at of ticket \"%s\" does not go with its stage \"%s\"", w->ticket, stage->name),
				 errdetail("A ticket in that stage is not ready to be settled."),
				 errhint("It is set and taken back by moves; while a ticket is ready, another time may be written."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "done_at")));
}

static Desk *
desk_of(FunctionCallInfo fcinfo, Relation ticket)
{
	Desk	   *desk = fcinfo->flinfo->fn_extra;

	/* the call site is of one statement */
	if (desk == NULL)
		fcinfo->flinfo->fn_extra = desk = settle_desk(ticket);
	return desk;
}

/*
 * settle.vet_ticket() returns trigger
 *
 * Row trigger before a ticket that has a type is written.
 */
PG_FUNCTION_INFO_V1(settle_vet_ticket);
Datum
settle_vet_ticket(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Writing		w = {0};
	char	   *type;
	char	   *was_type;
	char	   *wanted;
	char	   *asked;
	const char *was = NULL;
	Datum		version;
	bool		isnull;
	bool		opened;
	bool		fill;
	bool		other_version = false;
	const DeskStage *stage;
	const DeskMove *move = NULL;
	Datum		values[5];
	bool		nulls[5] = {false};
	int			columns[5];
	DeskForm	form;
	int			nestlevel;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.vet_ticket is not called as a BEFORE INSERT OR UPDATE row trigger")));
	w.desc = RelationGetDescr(trigger->tg_relation);
	w.before = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_trigtuple : NULL;
	w.row = w.before != NULL ? trigger->tg_newtuple : trigger->tg_trigtuple;
	if (!settle_ticket_has_type(w.row, w.desc) && (w.before == NULL || !settle_ticket_has_type(w.before, w.desc)))
		return PointerGetDatum(w.row);
	w.desk = desk_of(fcinfo, trigger->tg_relation);
	w.columns = &w.desk->columns;
	if (w.before != NULL && column_stays(&w, w.columns->type) && column_stays(&w, w.columns->type_version) && column_stays(&w, w.columns->stage) &&
		column_stays(&w, w.columns->move) && column_stays(&w, w.columns->details) && column_stays(&w, w.columns->region) && column_stays(&w, w.columns->done_at))
		return PointerGetDatum(w.row);

	w.ticket = settle_ticket_text(w.row, w.desc, w.columns->ticket_id);
	if (w.ticket == NULL)
		w.ticket = "";
	type = settle_ticket_text(w.row, w.desc, w.columns->type);
	was_type = w.before == NULL ? NULL : settle_ticket_text(w.before, w.desc, w.columns->type);
	if (was_type != NULL && (type == NULL || strcmp(type, was_type) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ticket \"%s\" is of type \"%s\" and stays so", w.ticket, was_type),
				 errhint("Open another ticket of the other type.")));
	if (type == NULL)
		return PointerGetDatum(w.row);
	opened = was_type == NULL;
	version = heap_getattr(w.row, w.columns->type_version, w.desc, &isnull);
	if (isnull && !opened)
		(void) need_column(&w, w.columns->type_version);
	w.type = settle_desk_type(w.desk, type, isnull ? 0 : DatumGetInt32(version));
	other_version = !opened && !column_stays(&w, w.columns->type_version);
	w.region = SPI_getvalue(w.row, w.desc, w.columns->region);
	if (w.region == NULL)
		(void) need_column(&w, w.columns->region);
	w.details = DatumGetJsonbP(need_column(&w, w.columns->details));
	wanted = settle_ticket_text(w.row, w.desc, w.columns->stage);
	asked = settle_ticket_text(w.row, w.desc, w.columns->move);
	if (opened)
		w.before = NULL;

	/* the form */
	form = (DeskForm)
	{
		w.desk, w.type, w.ticket, w.region, opened ? NULL : DatumGetJsonbP(heap_getattr(w.before, w.columns->details, w.desc, &isnull))
	};
	fill = opened || other_version || !column_stays(&w, w.columns->details) || !column_stays(&w, w.columns->region);
	settle_desk_load(w.type, w.row, w.desc);
	if (!opened)
	{
		/* expressions see where the ticket is, not where it is to go */
		was = settle_ticket_text(w.before, w.desc, w.columns->stage);
		w.type->slot->tts_values[w.columns->stage - 1] = heap_getattr(w.before, w.columns->stage, w.desc, &isnull);
		w.type->slot->tts_isnull[w.columns->stage - 1] = isnull;
	}
	nestlevel = settle_env_enter(w.desk->time_zone);
	if (fill)
		w.details = settle_form_fill(&form, w.details);
	else
		settle_form_load(&form, w.details);

	/* the stage */
	if (opened)
	{
		if (asked != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("ticket \"%s\" is opened, not brought to its stage by move \"%s\"", w.ticket, asked)));
		stage = first_stage(&w, wanted);
	}
	else if (other_version)
		stage = same_stage(&w, was, wanted);
	else
	{
		const DeskStage *from = stage_named(&w, was);

		if (from == NULL)
			elog(ERROR, "ticket \"%s\" is in stage \"%s\", which its type does not have", w.ticket, was);
		stage = from;
		if (wanted == NULL || (strcmp(wanted, was) == 0 && !column_stays(&w, w.columns->move)))
		{
			if (asked == NULL)
				(void) need_column(&w, w.columns->stage);
			move = move_named(&w, from, asked);
		}
		else if (strcmp(wanted, was) != 0)
		{
			move = column_stays(&w, w.columns->move) ? move_to(&w, from, wanted) : move_named(&w, from, asked);
			if (strcmp(move->to->name, wanted) != 0)
				refuse_move(&w, from, ERRCODE_CHECK_VIOLATION,
							psprintf("move \"%s\" of ticket \"%s\" leads to stage \"%s\", not to \"%s\"", move->name, w.ticket, move->to->name, wanted), NULL);
		}
		if (move != NULL)
			stage = move->to;
	}
	settle_env_leave(nestlevel);

	columns[0] = w.columns->type_version;
	values[0] = Int32GetDatum(w.type->version);
	columns[1] = w.columns->stage;
	values[1] = CStringGetTextDatum(stage->name);
	columns[2] = w.columns->details;
	values[2] = JsonbPGetDatum(w.details);
	columns[3] = w.columns->done_at;
	decide_done(&w, stage, !opened && strcmp(stage->name, was) == 0, &values[3], &nulls[3]);
	columns[4] = w.columns->move;
	values[4] = move != NULL ? CStringGetTextDatum(move->name) : heap_getattr(w.row, w.columns->move, w.desc, &nulls[4]);
	return PointerGetDatum(heap_modify_tuple_by_cols(w.row, w.desc, lengthof(columns), columns, values, nulls));
}

/* ---- moving and asking ---- */

/*
 * settle.move_ticket(book regnamespace, ticket_id text, move text, fields jsonb
 *					  default null, reason text default null) returns text
 *
 * Makes a move: an UPDATE, of which the trigger above is the law.  It is what a
 * desk does all day, so its plan is kept.
 */
PG_FUNCTION_INFO_V1(settle_move_ticket);
Datum
settle_move_ticket(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	SettleBook	book;
	SettleIdentity identity;
	Datum		values[3];
	char		nulls[] = "   ";
	int			depth = -1;
	text	   *stage = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a book, a ticket and a move must be given")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_STAFF);
	values[0] = PG_GETARG_DATUM(1);
	values[1] = PG_GETARG_DATUM(2);
	values[2] = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	nulls[2] = PG_ARGISNULL(3) ? 'n' : ' ';
	if (!PG_ARGISNULL(4))
		depth = settle_begin_reason(text_to_cstring(PG_GETARG_TEXT_PP(4)));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_desk_at_once(&book, true);
	if (SPI_execute_plan(settle_desk_plan(&book, DESK_MOVE), values, nulls, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not move ticket \"%s\"", TextDatumGetCString(values[0]));
	if (SPI_processed == 1)
	{
		bool		isnull;
		Datum		value = settle_spi_datum(0, 1, &isnull);

		MemoryContextSwitchTo(caller);
		stage = cstring_to_text(TextDatumGetCString(value));
	}
	else
	{
		Oid			types[] = {OIDOID, TEXTOID};
		Datum		args[] = {ObjectIdGetDatum(book.schema), values[0]};

		settle_book_execute("SELECT settle._require_ticket($1::regnamespace, $2)", 2, types, args, NULL, SPI_OK_SELECT);
	}
	settle_desk_at_once(&book, false);
	SPI_finish();
	settle_book_leave(identity);
	if (depth >= 0)
		settle_end_reason(depth);
	if (stage == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(stage);
}

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
	Writing		w = {0};
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
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is null", PG_ARGISNULL(0) ? "book" : "ticket_id")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_STAFF);
	InitMaterializedSRF(fcinfo, 0);
	relation = table_open(get_relname_relid("ticket", book.schema), AccessShareLock);
	w.desk = settle_desk(relation);
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
		w.type = settle_desk_type(w.desk, name, DatumGetInt32(need_column(&w, w.columns->type_version)));
		w.region = SPI_getvalue(w.row, w.desc, w.columns->region);
		w.details = DatumGetJsonbP(need_column(&w, w.columns->details));
		form = (DeskForm)
		{
			w.desk, w.type, w.ticket, w.region, w.details
		};
		settle_desk_load(w.type, w.row, w.desc);
		nestlevel = settle_env_enter(w.desk->time_zone);
		settle_form_load(&form, w.details);
		moves = open_moves(&w, stage_named(&w, settle_ticket_text(w.row, w.desc, w.columns->stage)));
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
