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
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* ---- stages ---- */

bool
settle_column_stays(const DeskWriting *w, AttrNumber column)
{
	bool		isnull[2] = {true};
	Datum		values[2] = {0};
	Form_pg_attribute a = TupleDescAttr(w->desc, column - 1);

	if (w->before != NULL)
		values[0] = heap_getattr(w->before, column, w->desc, &isnull[0]);
	values[1] = heap_getattr(w->row, column, w->desc, &isnull[1]);
	return isnull[0] == isnull[1] && (isnull[0] || datum_image_eq(values[0], values[1], a->attbyval, a->attlen));
}

/*
 * Finds the stage that a new ticket is opened in.
 */
static const DeskStage *
first_stage(const DeskWriting *w, const char *name)
{
	const DeskStage *stage = name == NULL ? NULL : settle_desk_stage(w->type, name);
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
same_stage(DeskWriting *w, const char *was, const char *wanted)
{
	bool		isnull;
	int			version = DatumGetInt32(heap_getattr(w->before, w->columns->type_version, w->desc, &isnull));
	const DeskStage *stage = settle_desk_stage(w->type, was);
	const DeskStage *before = NULL;
	const DeskType *to = w->type;

	if (stage != NULL && (wanted == NULL || strcmp(wanted, was) == 0))
		return stage;
	w->type = settle_desk_type(w->desk, w->type->type, version);
	before = settle_desk_stage(w->type, was);
	w->type = to;
	if (stage == NULL && wanted != NULL)
		stage = settle_desk_stage(w->type, wanted);
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
decide_done(const DeskWriting *w, const DeskStage *stage, bool stays, Datum *done_at, bool *isnull)
{
	*done_at = heap_getattr(w->row, w->columns->done_at, w->desc, isnull);
	if (stage->ready && *isnull && !stays)
	{
		*done_at = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		*isnull = false;
	}
	else if (!stage->ready && !*isnull && w->before != NULL && !stays && settle_column_stays(w, w->columns->done_at))
		*isnull = true;
	if (!stage->ready && !*isnull)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("done_at of ticket \"%s\" does not go with its stage \"%s\"", w->ticket, stage->name),
				 errdetail("A ticket in that stage is not ready to be settled."),
				 errhint("It is set and taken back by moves; while a ticket is ready, another time may be written."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "done_at")));
}

/*
 * Its journal, deadlines, check-ins and divisions know a ticket by its name.
 */
static void
keep_name(const DeskWriting *w)
{
	if (settle_column_stays(w, w->columns->ticket_id) || !settle_ticket_has_type(w->before, w->desc))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ticket \"%s\" keeps its name", settle_ticket_text(w->before, w->desc, w->columns->ticket_id)),
			 errhint("Its journal, and its money where it was split or merged, are under that name."),
			 err_generic_string(PG_DIAG_COLUMN_NAME, "ticket_id")));
}

static void
refuse_bound(const DeskWriting *w, AttrNumber column, int sqlstate)
{
	const char *name = NameStr(TupleDescAttr(w->desc, column - 1)->attname);

	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s of ticket \"%s\" cannot be %s", name, w->ticket, SPI_getvalue(w->row, w->desc, column)),
			 err_generic_string(PG_DIAG_COLUMN_NAME, name)));
}

/*
 * What the desk adds, divides and takes from each other: money that is a
 * number, times that have a year of four digits.
 */
static void
check_bounds(const DeskWriting *w)
{
	static const Timestamp first = (1721426 - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;	/* of the year 1 */
	static const Timestamp end = (5373485 - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;	/* of the year 9999 */
	const AttrNumber money[] = {w->columns->amount, w->columns->cost, w->columns->tax};
	const AttrNumber times[] = {w->columns->opened_at, w->columns->done_at};

	for (int i = 0; i < lengthof(money); i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(w->row, money[i], w->desc, &isnull);

		if (!isnull && (numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value))))
			refuse_bound(w, money[i], ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE);
	}
	for (int i = 0; i < lengthof(times); i++)
	{
		bool		isnull;
		TimestampTz value = DatumGetTimestampTz(heap_getattr(w->row, times[i], w->desc, &isnull));

		if (!isnull && (value < first || value >= end))
			refuse_bound(w, times[i], ERRCODE_DATETIME_VALUE_OUT_OF_RANGE);
	}
}

/*
 * A ticket that was merged into another one rests: its money and its way are
 * those of the other until it is taken out again.
 */
static void
keep_merged(const DeskWriting *w)
{
	const DeskColumns *c = w->columns;

	if (heap_attisnull(w->before, c->merged_into, w->desc) || heap_attisnull(w->row, c->merged_into, w->desc))
		return;
	if (settle_column_stays(w, c->stage) && settle_column_stays(w, c->move) && settle_column_stays(w, c->type_version) && settle_column_stays(w, c->done_at) &&
		settle_column_stays(w, c->amount) && settle_column_stays(w, c->cost) && settle_column_stays(w, c->tax) && settle_column_stays(w, c->currency) && settle_column_stays(w, c->merged_into))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ticket \"%s\" was merged into \"%s\"", w->ticket, settle_ticket_text(w->before, w->desc, c->merged_into)),
			 errhint("Its money and its way are those of that ticket; settle.unmerge_tickets takes it out again.")));
}

/*
 * What a ticket is part of, and what it was merged into, is what its divisions
 * say, so that money goes with it; whoever writes only the column is refused.
 */
static void
check_family(const DeskWriting *w)
{
	static const SettleStatement ask = {
		"SELECT (SELECT d.ticket_id::pg_catalog.text FROM %1$s.ticket_share AS s JOIN %1$s.ticket_division AS d ON d.division_id = s.division_id "
		"WHERE s.ticket_id = $1 AND d.what = 'split' ORDER BY d.division_id LIMIT 1), "
		"(SELECT d.ticket_id::pg_catalog.text FROM %1$s.ticket_share AS s JOIN %1$s.ticket_division AS d ON d.division_id = s.division_id "
		"WHERE s.ticket_id = $1 AND d.what <> 'split' AND d.undone_at IS NULL ORDER BY d.division_id LIMIT 1)",
		SPI_OK_SELECT, 1, {TEXTOID}
	};
	const struct
	{
		AttrNumber	column;
		const char *hint;
	}			family[] = {
		{w->columns->part_of, "Parts come with their money: settle.split_ticket opens them."},
		{w->columns->merged_into, "Its money goes with it: settle.merge_tickets merges tickets, settle.unmerge_tickets takes them out again."}
	};
	bool		comes = w->before == NULL || !settle_ticket_has_type(w->before, w->desc);
	bool		writes = false;
	Datum		ticket;
	SettleIdentity identity;

	for (int i = 0; i < lengthof(family); i++)
		writes = writes || (comes ? !heap_attisnull(w->row, family[i].column, w->desc) : !settle_column_stays(w, family[i].column));
	if (!writes)
		return;
	ticket = CStringGetTextDatum(w->ticket);
	identity = settle_book_enter(&w->desk->book);
	SPI_connect();
	(void) settle_book_ask(&w->desk->book, &ask, &ticket, NULL);
	for (int i = 0; i < lengthof(family); i++)
	{
		const char *is = settle_ticket_text(w->row, w->desc, family[i].column);
		const char *said = settle_spi_text(0, i + 1);

		if (is == NULL ? said != NULL : said == NULL || strcmp(is, said) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s of ticket \"%s\" is not written by hand", NameStr(TupleDescAttr(w->desc, family[i].column - 1)->attname), w->ticket),
					 errhint("%s", family[i].hint),
					 err_generic_string(PG_DIAG_COLUMN_NAME, NameStr(TupleDescAttr(w->desc, family[i].column - 1)->attname))));
	}
	SPI_finish();
	settle_book_leave(identity);
}

/* ---- the trigger ---- */

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
	DeskWriting w = {0};
	char	   *type;
	char	   *was_type;
	char	   *wanted;
	char	   *asked;
	const char *was = NULL;
	Datum		version;
	bool		isnull;
	bool		opened;
	bool		fill;
	bool		other_version;
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
	w.ticket = settle_ticket_text(w.row, w.desc, w.columns->ticket_id);
	if (w.ticket == NULL)
		w.ticket = "";
	check_bounds(&w);
	if (w.before != NULL)
	{
		keep_name(&w);
		keep_merged(&w);
	}
	check_family(&w);
	settle_keep_place(&w);
	if (w.before != NULL && settle_column_stays(&w, w.columns->type) && settle_column_stays(&w, w.columns->type_version) && settle_column_stays(&w, w.columns->stage) &&
		settle_column_stays(&w, w.columns->move) && settle_column_stays(&w, w.columns->details) && settle_column_stays(&w, w.columns->region) && settle_column_stays(&w, w.columns->done_at))
		return PointerGetDatum(w.row);

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
		(void) settle_need_column(&w, w.columns->type_version);
	w.type = settle_desk_type(w.desk, type, isnull ? 0 : DatumGetInt32(version));
	other_version = !opened && !settle_column_stays(&w, w.columns->type_version);
	w.region = SPI_getvalue(w.row, w.desc, w.columns->region);
	if (w.region == NULL)
		(void) settle_need_column(&w, w.columns->region);
	w.details = DatumGetJsonbP(settle_need_column(&w, w.columns->details));
	wanted = settle_ticket_text(w.row, w.desc, w.columns->stage);
	asked = settle_ticket_text(w.row, w.desc, w.columns->move);
	if (opened)
		w.before = NULL;

	/* the form */
	form = (DeskForm)
	{
		w.desk, w.type, w.ticket, w.region, opened ? NULL : DatumGetJsonbP(heap_getattr(w.before, w.columns->details, w.desc, &isnull))
	};
	fill = opened || other_version || !settle_column_stays(&w, w.columns->details) || !settle_column_stays(&w, w.columns->region);
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
		const DeskStage *from = settle_desk_stage(w.type, was);

		if (from == NULL)
			elog(ERROR, "ticket \"%s\" is in stage \"%s\", which its type does not have", w.ticket, was);
		stage = from;
		if (wanted == NULL || (strcmp(wanted, was) == 0 && !settle_column_stays(&w, w.columns->move)))
		{
			if (asked == NULL)
				(void) settle_need_column(&w, w.columns->stage);
			move = settle_move_named(&w, from, asked);
		}
		else if (strcmp(wanted, was) != 0)
		{
			move = settle_column_stays(&w, w.columns->move) ? settle_move_to(&w, from, wanted) : settle_move_named(&w, from, asked);
			if (strcmp(move->to->name, wanted) != 0)
				settle_refuse_move(&w, from, ERRCODE_CHECK_VIOLATION,
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
