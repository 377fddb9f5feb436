/*
 * event.c
 *		What happened to a ticket is noted in <book>.ticket_event, and what a move
 *		brings with it is done.
 *
 * One row trigger, after the row is written: what another trigger keeps from
 * being written happened to nobody.  Everything that follows is computed before
 * any of it is done, since a ticket that opens may be of the same type, whose
 * expressions have one place for the row that they read.
 */
#include "desk/desk.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

typedef struct Event
{
	const char *what;
	const char *move;
	const char *was;
	const char *now;
	int			version;		/* 0: as before */
	Jsonb	   *changes;
	const char *reason;
} Event;

/* ---- what happens ---- */

static const char *const kinds[] = {
	"opened", "moved", "assigned", "form", "approved", "note", "moved over", "deleted", "split", "unsplit", "merged", "unmerged",
	"checked in", "overruled"
};

/*
 * settle._is_event(what text) returns boolean
 *
 * Tells whether there is such an event: a CHECK of the journal, which an IN
 * list would have read at each statement.
 */
PG_FUNCTION_INFO_V1(settle_is_event);
Datum
settle_is_event(PG_FUNCTION_ARGS)
{
	text	   *what = PG_GETARG_TEXT_PP(0);

	for (int i = 0; i < lengthof(kinds); i++)
		if (strlen(kinds[i]) == VARSIZE_ANY_EXHDR(what) && memcmp(kinds[i], VARDATA_ANY(what), VARSIZE_ANY_EXHDR(what)) == 0)
			PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(false);
}

static const SettleStatement note = {
	"INSERT INTO %1$s.ticket_event (ticket_id, actor, what, move, was, now, version, changes, reason, worker) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
	SPI_OK_INSERT, 10, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, TEXTOID, TEXTOID}
};

static void
set_text(Datum *values, char *nulls, int i, const char *text)
{
	nulls[i] = text == NULL ? 'n' : ' ';
	values[i] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/*
 * Notes one event, and who has the ticket; inside enter and SPI.
 */
static void
note_event(const SettleBook *book, const char *ticket, const char *worker, const Event *event)
{
	Datum		values[10];
	char		nulls[10];

	set_text(values, nulls, 0, ticket);
	set_text(values, nulls, 1, settle_actor_name(book->schema));
	set_text(values, nulls, 2, event->what);
	set_text(values, nulls, 3, event->move);
	set_text(values, nulls, 4, event->was);
	set_text(values, nulls, 5, event->now);
	values[6] = Int32GetDatum(event->version);
	nulls[6] = event->version == 0 ? 'n' : ' ';
	values[7] = event->changes == NULL ? (Datum) 0 : JsonbPGetDatum(event->changes);
	nulls[7] = event->changes == NULL ? 'n' : ' ';
	set_text(values, nulls, 8, event->reason != NULL ? event->reason : settle_reason_given(book->schema));
	set_text(values, nulls, 9, worker);
	(void) settle_book_ask(book, &note, values, nulls);
}

/*
 * A move that was made has used up the approvals of what the ticket was.
 */
static void
forget_approvals(const SettleBook *book, const char *ticket)
{
	static const SettleStatement forget = {
		"DELETE FROM %1$s.ticket_approval WHERE ticket_id = $1", SPI_OK_DELETE, 1, {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(ticket);

	(void) settle_book_ask(book, &forget, &value, NULL);
}

/* ---- what follows ---- */

/* A follow-up of a move that was made, computed. */
typedef struct Consequence
{
	const DeskFollowUp *follow_up;
	Jsonb	   *document;		/* fields or payload */
	char	   *note;
} Consequence;

static Jsonb *
document_of(const DeskType *type, const DeskTerm *term)
{
	bool		isnull;
	Datum		value = settle_term_datum(type, term, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

/*
 * Computes what follows a move, over the ticket as it is now.
 */
static List *
consequences(Desk *desk, const DeskType *type, const char *ticket, const char *move, HeapTuple row, TupleDesc desc, const char *region, Jsonb *details)
{
	List	   *found = NIL;
	DeskForm	form = {desk, type, ticket, region, details};
	int			nlevel = 0;
	bool		loaded = false;

	for (int i = 0; i < type->nfollow_ups; i++)
	{
		const DeskFollowUp *f = &type->follow_ups[i];
		Consequence *c;

		if (strcmp(f->move, move) != 0)
			continue;
		if (!loaded)
		{
			settle_desk_load(type, row, desc);
			nlevel = settle_env_enter(desk->time_zone);
			settle_form_load(&form, details);
			loaded = true;
		}
		if (!settle_term_holds(type, &f->applies_when))
			continue;
		c = palloc0(sizeof(Consequence));
		c->follow_up = f;
		if (f->fields != NULL)
			c->document = document_of(type, f->fields);
		if (f->payload != NULL)
			c->document = document_of(type, f->payload);
		if (f->note != NULL)
		{
			bool		isnull;
			Datum		note = settle_term_datum(type, f->note, &isnull);

			c->note = isnull ? NULL : TextDatumGetCString(note);
		}
		found = lappend(found, c);
	}
	if (loaded)
		settle_env_leave(nlevel);
	return found;
}

/*
 * Opens the ticket that follows: at once, with the time at which it is due, so
 * that nothing has to be awake then.  Its name says what it follows, so a move
 * that is made again opens no other one.
 */
static void
open_ticket(const SettleBook *book, const char *ticket, const Consequence *c)
{
	static const SettleStatement open = {
		"INSERT INTO %1$s.ticket (ticket_id, type, follows, opened_at, project, region, channel, customer, level, dealer, amount, currency, details) "
		"SELECT t.ticket_id || ':' || $2, $3, t.ticket_id, now() + $4, "
		"coalesce((SELECT y.project FROM %1$s.ticket_type AS y WHERE y.type = $3 AND y.enabled_at IS NOT NULL ORDER BY y.version DESC LIMIT 1), t.project), "
		"t.region, t.channel, t.customer, t.level, t.dealer, 0, t.currency, coalesce($5, '{}') "
		"FROM %1$s.ticket AS t WHERE t.ticket_id = $1 ON CONFLICT (ticket_id) DO NOTHING",
		SPI_OK_INSERT, 5, {TEXTOID, TEXTOID, TEXTOID, INTERVALOID, JSONBOID}
	};
	const DeskFollowUp *f = c->follow_up;
	Datum		values[] = {
		CStringGetTextDatum(ticket), CStringGetTextDatum(f->name), CStringGetTextDatum(f->opens), IntervalPGetDatum(&f->after),
		c->document == NULL ? (Datum) 0 : JsonbPGetDatum(c->document)
	};

	settle_book_at_once(book, true);
	(void) settle_book_ask(book, &open, values, c->document == NULL ? "    n" : NULL);
	settle_book_at_once(book, false);
}

static void
send_message(const SettleBook *book, const char *ticket, const Consequence *c)
{
	/* a null payload is refused there */
	static const SettleStatement send = {
		"SELECT settle.send($1::pg_catalog.regnamespace, $2, $3, $4, $5, due_at => now() + $6)",
		SPI_OK_SELECT, 6, {OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, INTERVALOID}
	};
	const DeskFollowUp *f = c->follow_up;
	Datum		values[] = {
		ObjectIdGetDatum(book->schema), CStringGetTextDatum(f->platform), CStringGetTextDatum(f->kind), CStringGetTextDatum(ticket),
		c->document == NULL ? (Datum) 0 : JsonbPGetDatum(c->document), IntervalPGetDatum(&f->after)
	};

	(void) settle_book_ask(book, &send, values, c->document == NULL ? "    n " : NULL);
}

/*
 * Has the ticket that waits for a part go on, or come back: the part has moved.
 * A ticket leaves a stage that waits only once its parts have ended.
 */
static void
follow_parts(const SettleBook *book, const char *ticket, const DeskStage *was, const DeskStage *now, bool is_part)
{
	static const SettleStatement follow = {
		"SELECT settle._follow_parts($1::pg_catalog.regnamespace, $2, $3, $4)", SPI_OK_SELECT, 4, {OIDOID, TEXTOID, BOOLOID, INT4OID}
	};
	int			ended = (now->ready || now->ends != NULL) - (was->ready || was->ends != NULL);
	bool		leaves = was->waits != NULL && now->waits == NULL;
	Datum		values[] = {ObjectIdGetDatum(book->schema), CStringGetTextDatum(ticket), BoolGetDatum(leaves), Int32GetDatum(is_part ? ended : 0)};

	if (leaves || (is_part && ended != 0))
		(void) settle_book_ask(book, &follow, values, NULL);
}

/*
 * Raises where a ticket that is deleted has money of others, or others have its
 * money; above is the ticket that it belongs to, or NULL.
 */
static void
refuse_family(const SettleBook *book, const char *ticket, const char *above)
{
	static const SettleStatement ask = {
		"SELECT FROM %1$s.ticket_division WHERE ticket_id = $1 AND undone_at IS NULL LIMIT 1", SPI_OK_SELECT, 1, {TEXTOID}
	};
	Datum		value = CStringGetTextDatum(ticket);
	SettleIdentity identity;

	if (above != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ticket \"%s\" belongs to ticket \"%s\" and is not deleted", ticket, above),
				 errhint("Cancel it, by a move, or undo the merge.")));
	identity = settle_book_enter(book);
	SPI_connect();
	if (settle_book_ask(book, &ask, &value, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("other tickets belong to ticket \"%s\", which is not deleted", ticket),
				 errhint("Cancel it, by a move, or undo the merge.")));
	SPI_finish();
	settle_book_leave(identity);
}

/* ---- the trigger ---- */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

/*
 * Notes what happened to a ticket that has a type, and does what follows; before
 * or after is NULL where there is none.
 */
static void
note_change(Desk *desk, TupleDesc desc, HeapTuple before, HeapTuple after)
{
	const DeskColumns *c = &desk->columns;
	const DeskType *type;
	Event		events[3] = {{0}};
	int			n = 0;
	const char *ticket;
	const char *stages[2];
	const char *workers[2];
	const char *move = NULL;
	List	   *follow = NIL;
	ListCell   *lc;
	SettleIdentity identity;
	bool		isnull;

	ticket = settle_ticket_text(after != NULL ? after : before, desc, c->ticket_id);
	stages[0] = before == NULL ? NULL : settle_ticket_text(before, desc, c->stage);
	stages[1] = after == NULL ? NULL : settle_ticket_text(after, desc, c->stage);
	workers[0] = before == NULL ? NULL : settle_ticket_text(before, desc, c->worker);
	workers[1] = after == NULL ? NULL : settle_ticket_text(after, desc, c->worker);

	type = settle_desk_type(desk, settle_ticket_text(after != NULL ? after : before, desc, c->type),
							DatumGetInt32(heap_getattr(after != NULL ? after : before, c->type_version, desc, &isnull)));
	if (after == NULL)
		refuse_family(&desk->book, ticket, settle_ticket_text(before, desc, heap_attisnull(before, c->merged_into, desc) ? c->part_of : c->merged_into));
	if (after == NULL)
		events[n++] = (Event)
	{
		.what = "deleted", .was = stages[0]
	};
	else if (before == NULL || !settle_ticket_has_type(before, desc))
		events[n++] = (Event)
	{
		.what = "opened", .now = stages[1], .version = DatumGetInt32(heap_getattr(after, c->type_version, desc, &isnull))
	};
	else
	{
		Jsonb	   *details[2] = {DatumGetJsonbP(heap_getattr(before, c->details, desc, &isnull)), DatumGetJsonbP(heap_getattr(after, c->details, desc, &isnull))};
		int			versions[2] = {DatumGetInt32(heap_getattr(before, c->type_version, desc, &isnull)), DatumGetInt32(heap_getattr(after, c->type_version, desc, &isnull))};
		Jsonb	   *changes = NULL;

		if (compareJsonbContainers(&details[0]->root, &details[1]->root) != 0)
			changes = settle_form_changes(type, details[0], details[1]);
		if (versions[0] != versions[1])
			events[n++] = (Event)
		{
			.what = "moved over", .was = stages[0], .now = stages[1], .version = versions[1], .changes = changes
		};
		else if (strcmp(stages[0], stages[1]) != 0)
		{
			move = settle_ticket_text(after, desc, c->move);
			events[n++] = (Event)
			{
				.what = "moved", .move = move, .was = stages[0], .now = stages[1], .changes = changes
			};
			follow = consequences(desk, type, ticket, move, after, desc, SPI_getvalue(after, desc, c->region), details[1]);
		}
		else if (changes != NULL)
			events[n++] = (Event)
		{
			.what = "form", .changes = changes
		};
	}
	if (after != NULL && !same_text(workers[0], workers[1]))
		events[n++] = (Event)
	{
		.what = "assigned", .was = workers[0], .now = workers[1]
	};
	if (n == 0)
		return;

	identity = settle_book_enter(&desk->book);
	SPI_connect();
	for (int i = 0; i < n; i++)
		note_event(&desk->book, ticket, workers[after != NULL], &events[i]);
	if (type->timed && (after == NULL || events[0].version != 0 || move != NULL))
		settle_desk_due(&desk->book, type, ticket,
						after == NULL ? DESK_DELETED : move != NULL ? DESK_MOVED : events[0].was == NULL ? DESK_OPENED : DESK_MOVED_OVER,
						stages[0] == NULL ? NULL : settle_desk_stage(type, stages[0]), stages[1] == NULL ? NULL : settle_desk_stage(type, stages[1]));
	if (type->nnodes > 0 && (move != NULL || after == NULL))
		forget_approvals(&desk->book, ticket);
	foreach(lc, follow)
	{
		const Consequence *consequence = lfirst(lc);

		if (consequence->follow_up->opens != NULL)
			open_ticket(&desk->book, ticket, consequence);
		else if (consequence->follow_up->platform != NULL)
			send_message(&desk->book, ticket, consequence);
		else if (consequence->note != NULL)
			note_event(&desk->book, ticket, workers[1], &(Event)
					   {
						   .what = "note", .move = move, .reason = consequence->note
					   });
	}
	if (move != NULL)
		follow_parts(&desk->book, ticket, settle_desk_stage(type, stages[0]), settle_desk_stage(type, stages[1]), !heap_attisnull(after, c->part_of, desc));
	SPI_finish();
	settle_book_leave(identity);
}

/*
 * settle.note_ticket() returns trigger
 *
 * Row trigger after a ticket was written: journal and follow-ups of one that has
 * a type, and its name for those that are judged.
 *
 * There is no condition in the trigger: PostgreSQL reads one once a statement,
 * which costs a single ticket more than to ask here.
 */
PG_FUNCTION_INFO_V1(settle_note_ticket);
Datum
settle_note_ticket(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	tickets;
	HeapTuple	before;
	HeapTuple	after;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_ticket is not called as an AFTER row trigger")));
	/* as in settle.capture */
	CHECK_FOR_INTERRUPTS();
	tickets = trigger->tg_relation;
	before = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? NULL : trigger->tg_trigtuple;
	after = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigtuple : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : NULL;
	if (!settle_ticket_has_type(after != NULL ? after : before, RelationGetDescr(tickets)))
		return PointerGetDatum(NULL);
	/* the call site is of one statement */
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = settle_desk(tickets);
	note_change(fcinfo->flinfo->fn_extra, RelationGetDescr(tickets), before, after);
	settle_note_special(tickets, after != NULL ? after : before);
	return PointerGetDatum(NULL);
}
