/*
 * type.c
 *		Ticket types of a book: which are enabled, and remembering what they
 *		were compiled to.
 *
 * The compiled types of a book are kept per backend under (schema, revision),
 * as long as it has its name and its owner.
 * The revision comes from the sequence of the rules' own: never rolled back,
 * never issued twice, so it names one content of the tables for ever.  It is
 * read once a statement, straight from the row of <book>.book, since whoever
 * writes tickets needs no right on the book.  A type is compiled as the owner
 * of the book at its first use.
 */
#include "desk/desk.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

/* ---- a type in use ---- */

const DeskField *
settle_desk_field(const DeskType *type, const char *name)
{
	for (int i = 0; i < type->nfields; i++)
		if (strcmp(type->fields[i].name, name) == 0)
			return &type->fields[i];
	return NULL;
}

const DeskStage *
settle_desk_stage(const DeskType *type, const char *name)
{
	for (int i = 0; i < type->nstages; i++)
		if (strcmp(type->stages[i].name, name) == 0)
			return &type->stages[i];
	return NULL;
}

bool
settle_term_holds(const DeskType *type, const DeskTerm *term)
{
	bool		isnull;
	Datum		value;

	if (term->constant)
		return term->holds;
	value = ExecEvalExprSwitchContext(term->state, type->econtext, &isnull);
	return !isnull && DatumGetBool(value);
}

Datum
settle_term_datum(const DeskType *type, const DeskTerm *term, bool *isnull)
{
	return ExecEvalExprSwitchContext(term->state, type->econtext, isnull);
}

bool
settle_region_within(const char *region, const char *around)
{
	size_t		len = strlen(around);

	return len == 0 || (strncmp(region, around, len) == 0 && (region[len] == '\0' || region[len] == '.'));
}

void
settle_desk_load(const DeskType *type, HeapTuple ticket, TupleDesc desc)
{
	TupleTableSlot *slot = type->slot;

	ResetExprContext(type->econtext);
	ExecClearTuple(slot);
	heap_deform_tuple(ticket, desc, slot->tts_values, slot->tts_isnull);
	memset(slot->tts_isnull + type->ncolumns, true, sizeof(bool) * (type->scope.nnames - type->ncolumns));
	ExecStoreVirtualTuple(slot);
}

char *
settle_ticket_text(HeapTuple ticket, TupleDesc desc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(ticket, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* ---- the types of a book ---- */

static AttrNumber
ticket_column(TupleDesc desc, const char *name, Oid type)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (!a->attisdropped && strcmp(NameStr(a->attname), name) == 0 && (a->atttypid == type || !OidIsValid(type)))
			return i + 1;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"ticket\" of the book has no column \"%s\" as settle.create_book makes it", name)));
}

bool
settle_ticket_has_type(HeapTuple ticket, TupleDesc desc)
{
	return !heap_attisnull(ticket, ticket_column(desc, "type", TEXTOID), desc);
}

/*
 * Reads what types are enabled, in the current memory context; they are
 * compiled later.
 */
static Desk *
open_desk(Oid schema, int64 revision, Relation relation)
{
	TupleDesc	ticket = RelationGetDescr(relation);
	Desk	   *desk = palloc0(sizeof(Desk));
	SettleIdentity identity;

	desk->schema = schema;
	desk->revision = revision;
	desk->ticket = CreateTupleDescCopy(ticket);
	desk->context = CurrentMemoryContext;
	desk->book = settle_book(schema);
	desk->row_type = assign_record_type_identifier(ticket->tdtypeid, ticket->tdtypmod);
	desk->columns = (DeskColumns)
	{
		.ticket_id = ticket_column(ticket, "ticket_id", TEXTOID), .type = ticket_column(ticket, "type", TEXTOID),
		.type_version = ticket_column(ticket, "type_version", INT4OID), .stage = ticket_column(ticket, "stage", TEXTOID),
		.move = ticket_column(ticket, "move", TEXTOID), .details = ticket_column(ticket, "details", JSONBOID),
		.region = ticket_column(ticket, "region", InvalidOid), .worker = ticket_column(ticket, "worker", TEXTOID),
		.amount = ticket_column(ticket, "amount", NUMERICOID), .cost = ticket_column(ticket, "cost", NUMERICOID), .tax = ticket_column(ticket, "tax", NUMERICOID), .currency = ticket_column(ticket, "currency", TEXTOID),
		.opened_at = ticket_column(ticket, "opened_at", TIMESTAMPTZOID), .done_at = ticket_column(ticket, "done_at", TIMESTAMPTZOID),
		.part_of = ticket_column(ticket, "part_of", TEXTOID), .merged_into = ticket_column(ticket, "merged_into", TEXTOID),
		.away = ticket_column(ticket, "away", BOOLOID), .areas = ticket_column(ticket, "areas", JSONBOID), .area_parties = ticket_column(ticket, "area_parties", JSONBOID)
	};

	identity = settle_book_enter(&desk->book);
	SPI_connect();
	MemoryContextSwitchTo(desk->context);
	if (settle_desk_read(desk, NULL, "SELECT b.time_zone FROM %1$s.book AS b") != 1)
		elog(ERROR, "book \"%s\" has lost its settings", desk->book.label);
	desk->time_zone = settle_spi_text(0, 1);
	desk->ntypes = settle_desk_read(desk, NULL, "SELECT t.type, t.version::int4, t.project FROM %1$s.ticket_type AS t WHERE t.enabled_at IS NOT NULL ORDER BY t.type COLLATE \"C\", t.version");
	desk->types = palloc0(sizeof(DeskType) * Max(desk->ntypes, 1));
	for (int i = 0; i < desk->ntypes; i++)
	{
		bool		isnull;

		desk->types[i].type = settle_spi_text(i, 1);
		desk->types[i].version = DatumGetInt32(settle_spi_datum(i, 2, &isnull));
		desk->types[i].project = settle_spi_text(i, 3);
	}
	SPI_finish();
	settle_book_leave(identity);
	return desk;
}

/*
 * Reads the revision of the types that the running statement sees.
 */
static int64
read_revision(Oid schema)
{
	Oid			relid = get_relname_relid("book", schema);
	AttrNumber	column = OidIsValid(relid) ? get_attnum(relid, "desk_revision") : InvalidAttrNumber;
	Relation	relation;
	TableScanDesc scan;
	TupleTableSlot *slot;
	bool		isnull = true;
	Datum		revision = 0;

	if (column <= 0 || get_atttype(relid, column) != INT8OID || get_rel_relkind(relid) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" is not a book", get_namespace_name(schema))));
	relation = table_open(relid, AccessShareLock);
	slot = table_slot_create(relation, NULL);
	scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		revision = slot_getattr(slot, column, &isnull);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, AccessShareLock);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("book \"%s\" has lost its settings", get_namespace_name(schema)),
				 errhint("The table book of a book holds exactly one row.")));
	return DatumGetInt64(revision);
}

#define MAX_DESKS	8

static Desk *desks[MAX_DESKS];
static uint64 desk_counter = 0;

Desk *
settle_desk(Relation ticket)
{
	Oid			schema = RelationGetNamespace(ticket);
	TupleDesc	desc = RelationGetDescr(ticket);
	uint64		row_type = assign_record_type_identifier(desc->tdtypeid, desc->tdtypmod);
	int64		revision = read_revision(schema);
	MemoryContext context;
	MemoryContext old;
	Desk	   *desk;
	int			place = 0;

	for (int i = 0; i < MAX_DESKS; i++)
	{
		desk = desks[i];
		if (desk != NULL && desk->schema == schema && desk->revision == revision && desk->row_type == row_type &&
			desk->book.owner == settle_book_owner(schema) && strcmp(desk->book.label, get_namespace_name(schema)) == 0)
		{
			desk->last_use = ++desk_counter;
			return desk;
		}
		if (desks[place] != NULL && (desk == NULL || desk->last_use < desks[place]->last_use))
			place = i;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle desk", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	desk = open_desk(schema, revision, ticket);
	MemoryContextSwitchTo(old);
	/* an older one may still be in use further up; the transaction's memory keeps it */
	if (desks[place] != NULL)
		MemoryContextSetParent(desks[place]->context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	desk->last_use = ++desk_counter;
	desks[place] = desk;
	return desk;
}

Relation
settle_open_tickets(Oid schema)
{
	Oid			relid = get_relname_relid("ticket", schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" is not a book", get_namespace_name(schema)),
				 errdetail("It has no table \"ticket\".")));
	return table_open(relid, AccessShareLock);
}

Relation
settle_desk_open(const SettleBook *book, Desk **desk)
{
	Relation	ticket = settle_open_tickets(book->schema);

	*desk = settle_desk(ticket);
	return ticket;
}

/*
 * Compiles a type, as the owner of the book, into the memory of the desk.
 */
static void
need_type(Desk *desk, DeskType *type)
{
	MemoryContext context;
	MemoryContext old;
	DeskType	fresh = {.type = type->type, .version = type->version, .project = type->project};
	SettleIdentity identity;

	if (type->compiled)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle ticket type", ALLOCSET_SMALL_SIZES);
	identity = settle_book_enter(&desk->book);
	SPI_connect();
	old = MemoryContextSwitchTo(context);
	settle_desk_compile(desk, &fresh);
	MemoryContextSwitchTo(old);
	SPI_finish();
	settle_book_leave(identity);
	MemoryContextSetParent(context, desk->context);
	*type = fresh;
}

const DeskType *
settle_desk_type(Desk *desk, const char *name, int version)
{
	DeskType   *found = NULL;

	for (int i = 0; i < desk->ntypes; i++)
		if (strcmp(desk->types[i].type, name) == 0 && (version == 0 || desk->types[i].version == version))
			found = &desk->types[i];	/* the last one, of those in order */
	if (found == NULL)
	{
		StringInfoData known;

		initStringInfo(&known);
		for (int i = 0; i < desk->ntypes; i++)
			if (i + 1 == desk->ntypes || strcmp(desk->types[i].type, desk->types[i + 1].type) != 0)
				appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "", desk->types[i].type);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 version == 0 ? errmsg("ticket type \"%s\" does not exist", name)
				 : errmsg("version %d of ticket type \"%s\" does not exist", version, name),
				 known.len > 0 ? errhint("Enabled are: %s.", known.data) : errhint("settle.add_type drafts a type, settle.enable_type enables it.")));
	}
	need_type(desk, found);
	return found;
}

/* ---- changes ---- */

/*
 * settle.note_type_change() returns trigger
 *
 * Statement trigger on the tables of ticket types: gives them a new revision
 * and refuses them where an enabled one does not compile.
 */
PG_FUNCTION_INFO_V1(settle_note_type_change);
Datum
settle_note_type_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old;
	SettleBook	book;
	SettleIdentity identity;
	Relation	ticket;
	Desk	   *desk;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_type_change is not called as an AFTER statement trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("UPDATE %s.book SET desk_revision = nextval(%s::regclass)", book.name,
								 quote_literal_cstr(psprintf("%s.rule_revision", book.name))),
						0, NULL, NULL, NULL, SPI_OK_UPDATE);
	SPI_finish();
	settle_book_leave(identity);

	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle desk", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	ticket = settle_open_tickets(book.schema);
	desk = open_desk(book.schema, 0, ticket);
	for (int i = 0; i < desk->ntypes; i++)
		need_type(desk, &desk->types[i]);
	table_close(ticket, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}

/*
 * settle.add_type(book regnamespace, definition jsonb, reason text default null) returns integer
 *
 * Looks at the relations that fields refer to as whoever calls, then lets the
 * owner of the book do the rest.
 */
PG_FUNCTION_INFO_V1(settle_add_type);
Datum
settle_add_type(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		SettleBook	book = settle_book(PG_GETARG_OID(0));
		JsonbIterator *it = JsonbIteratorInit(&PG_GETARG_JSONB_P(1)->root);
		JsonbIteratorToken token;
		JsonbValue	value;
		bool		relation = false;

		settle_book_check_level(&book, SETTLE_CLERK);
		/* whatever is called so, wherever it stands */
		while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		{
			if (token == WJB_VALUE && relation && value.type == jbvString)
				settle_book_check_relation(&book, DatumGetObjectId(DirectFunctionCall1(regclassin, CStringGetDatum(pnstrdup(value.val.string.val, value.val.string.len)))));
			relation = token == WJB_KEY && value.val.string.len == strlen("relation") && memcmp(value.val.string.val, "relation", strlen("relation")) == 0;
		}
	}
	return settle_call_as_owner(fcinfo, SETTLE_CLERK);
}
