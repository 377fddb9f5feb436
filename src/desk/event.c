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

/*
 * Statements that every ticket needs; %s is the book.  Their plans are kept
 * apart from those of book/execute.c, which may give up plans to make room: a
 * move is still being executed while what settles at once asks for its own.
 */
static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[10];
	bool		calls;			/* a function, to which the book is a value */
}			statements[] = {
	[DESK_NOTE] = {
		"INSERT INTO %s.ticket_event (ticket_id, actor, what, move, was, now, version, changes, reason, worker) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		10, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, TEXTOID, TEXTOID}
	},
	/* a stage that is null asks for where the move leads, even if it is the one that was made last */
	[DESK_MOVE] = {
		"UPDATE %s.ticket AS t SET stage = NULL, move = $2, details = t.details || coalesce($3, '{}') "
		"WHERE t.ticket_id = $1 AND t.type IS NOT NULL RETURNING t.stage",
		3, {TEXTOID, TEXTOID, JSONBOID}
	},
	[DESK_DUE] = {
		"SELECT settle._set_due(%s, $1, $2, $3)",
		3, {TEXTOID, TEXTOID, TEXTOID}, true
	},
	[DESK_AT_ONCE] = {
		"SELECT settle._settle_at_once(%s, $1)",
		1, {BOOLOID}, true
	},
};

/* One of them, planned for one book. */
typedef struct KeptPlan
{
	struct
	{
		Oid			schema;
		DeskStatement statement;
	}			key;
	SPIPlanPtr	plan;
} KeptPlan;

static HTAB *plans = NULL;

SPIPlanPtr
settle_desk_plan(const SettleBook *book, DeskStatement statement)
{
	KeptPlan	wanted = {{book->schema, statement}};
	KeptPlan   *kept;

	if (plans == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(wanted.key), .entrysize = sizeof(KeptPlan), .hcxt = CacheMemoryContext};

		plans = hash_create("scrm_settle desk plans", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	kept = hash_search(plans, &wanted.key, HASH_FIND, NULL);
	if (kept == NULL)
	{
		const char *sql = psprintf(statements[statement].sql, statements[statement].calls ? quote_literal_cstr(book->name) : book->name);
		SPIPlanPtr	plan = SPI_prepare(sql, statements[statement].nargs, (Oid *) statements[statement].types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement on tickets of book \"%s\": %s", book->label, SPI_result_code_string(SPI_result));
		kept = hash_search(plans, &wanted.key, HASH_ENTER, NULL);
		kept->plan = plan;
	}
	return kept->plan;
}

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
	MemoryContext old = CurrentMemoryContext;

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
	if (SPI_execute_plan(settle_desk_plan(book, DESK_NOTE), values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not note an event of ticket \"%s\"", ticket);
	MemoryContextSwitchTo(old);
}

/*
 * Has the deadlines of a ticket follow what happened to it; inside enter and SPI.
 */
static void
set_due(const SettleBook *book, const char *ticket, const Event *event)
{
	Datum		values[3];
	char		nulls[3];
	MemoryContext old = CurrentMemoryContext;

	set_text(values, nulls, 0, ticket);
	set_text(values, nulls, 1, event->what);
	set_text(values, nulls, 2, event->was);
	if (SPI_execute_plan(settle_desk_plan(book, DESK_DUE), values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not set the deadlines of ticket \"%s\"", ticket);
	MemoryContextSwitchTo(old);
}

/*
 * A move that was made has used up the approvals of what the ticket was.
 */
static void
forget_approvals(const SettleBook *book, const char *ticket)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(ticket);

	settle_book_execute(psprintf("DELETE FROM %s.ticket_approval WHERE ticket_id = $1", book->name), 1, &type, &value, NULL, SPI_OK_DELETE);
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

void
settle_desk_at_once(const SettleBook *book, bool at_once)
{
	MemoryContext old = CurrentMemoryContext;
	Datum		value = BoolGetDatum(at_once);

	if (SPI_execute_plan(settle_desk_plan(book, DESK_AT_ONCE), &value, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not say when tickets of book \"%s\" settle", book->label);
	MemoryContextSwitchTo(old);
}

/*
 * Opens the ticket that follows: at once, with the time at which it is due, so
 * that nothing has to be awake then.  Its name says what it follows, so a move
 * that is made again opens no other one.
 */
static void
open_ticket(const SettleBook *book, const char *ticket, const Consequence *c)
{
	const DeskFollowUp *f = c->follow_up;
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, INTERVALOID, JSONBOID};
	Datum		values[] = {
		CStringGetTextDatum(ticket), CStringGetTextDatum(f->name), CStringGetTextDatum(f->opens), IntervalPGetDatum(&f->after),
		c->document == NULL ? (Datum) 0 : JsonbPGetDatum(c->document)
	};

	settle_desk_at_once(book, true);
	settle_book_execute(psprintf("INSERT INTO %1$s.ticket (ticket_id, type, follows, opened_at, project, region, channel, customer, level, dealer, amount, currency, details) "
								 "SELECT t.ticket_id || ':' || $2, $3, t.ticket_id, now() + $4, "
								 "coalesce((SELECT y.project FROM %1$s.ticket_type AS y WHERE y.type = $3 AND y.enabled_at IS NOT NULL ORDER BY y.version DESC LIMIT 1), t.project), "
								 "t.region, t.channel, t.customer, t.level, t.dealer, 0, t.currency, coalesce($5, '{}') "
								 "FROM %1$s.ticket AS t WHERE t.ticket_id = $1 ON CONFLICT (ticket_id) DO NOTHING", book->name),
						lengthof(types), types, values, c->document == NULL ? "    n" : NULL, SPI_OK_INSERT);
	settle_desk_at_once(book, false);
}

static void
send_message(const SettleBook *book, const char *ticket, const Consequence *c)
{
	const DeskFollowUp *f = c->follow_up;
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, INTERVALOID};
	Datum		values[] = {
		ObjectIdGetDatum(book->schema), CStringGetTextDatum(f->platform), CStringGetTextDatum(f->kind), CStringGetTextDatum(ticket),
		c->document == NULL ? (Datum) 0 : JsonbPGetDatum(c->document), IntervalPGetDatum(&f->after)
	};

	/* a null payload is refused there */
	settle_book_execute("SELECT settle.send($1::regnamespace, $2, $3, $4, $5, due_at => now() + $6)",
						lengthof(types), types, values, c->document == NULL ? "    n " : NULL, SPI_OK_SELECT);
}

/*
 * Has the ticket that waits for a part go on, or come back: the part has moved.
 * A ticket leaves a stage that waits only once its parts have ended.
 */
static void
follow_parts(const SettleBook *book, const char *ticket, const DeskStage *was, const DeskStage *now, bool is_part)
{
	Oid			types[] = {TEXTOID, BOOLOID, INT4OID};
	int			ended = (now->ready || now->ends != NULL) - (was->ready || was->ends != NULL);
	Datum		values[] = {CStringGetTextDatum(ticket), BoolGetDatum(was->waits != NULL && now->waits == NULL), Int32GetDatum(is_part ? ended : 0)};

	if (!DatumGetBool(values[1]) && DatumGetInt32(values[2]) == 0)
		return;
	settle_book_execute(psprintf("SELECT settle._follow_parts(%s, $1, $2, $3)", quote_literal_cstr(book->name)), lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

/* ---- the trigger ---- */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

/*
 * settle.note_ticket() returns trigger
 *
 * Row trigger after a ticket that has a type was written: journal and
 * follow-ups.
 */
PG_FUNCTION_INFO_V1(settle_note_ticket);
Datum
settle_note_ticket(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	before;
	HeapTuple	after;
	Desk	   *desk;
	const DeskColumns *c;
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

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_ticket is not called as an AFTER row trigger")));
	desc = RelationGetDescr(trigger->tg_relation);
	/* the call site is of one statement */
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = settle_desk(trigger->tg_relation);
	desk = fcinfo->flinfo->fn_extra;
	c = &desk->columns;
	before = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? NULL : trigger->tg_trigtuple;
	after = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigtuple : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : NULL;
	ticket = settle_ticket_text(after != NULL ? after : before, desc, c->ticket_id);
	stages[0] = before == NULL ? NULL : settle_ticket_text(before, desc, c->stage);
	stages[1] = after == NULL ? NULL : settle_ticket_text(after, desc, c->stage);
	workers[0] = before == NULL ? NULL : settle_ticket_text(before, desc, c->worker);
	workers[1] = after == NULL ? NULL : settle_ticket_text(after, desc, c->worker);

	type = settle_desk_type(desk, settle_ticket_text(after != NULL ? after : before, desc, c->type),
							DatumGetInt32(heap_getattr(after != NULL ? after : before, c->type_version, desc, &isnull)));
	if (after == NULL && (!heap_attisnull(before, c->part_of, desc) || !heap_attisnull(before, c->merged_into, desc)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ticket \"%s\" belongs to ticket \"%s\" and is not deleted", ticket,
						settle_ticket_text(before, desc, heap_attisnull(before, c->merged_into, desc) ? c->part_of : c->merged_into)),
				 errhint("Cancel it, by a move, or undo the merge.")));
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
		return PointerGetDatum(NULL);

	identity = settle_book_enter(&desk->book);
	SPI_connect();
	for (int i = 0; i < n; i++)
		note_event(&desk->book, ticket, workers[after != NULL], &events[i]);
	if (type->timed && (after == NULL || events[0].version != 0 || move != NULL))
		set_due(&desk->book, ticket, &events[0]);
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
	return PointerGetDatum(NULL);
}
