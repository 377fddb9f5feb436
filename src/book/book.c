/*
 * book.c
 *		A book: finding it, and acting as its owner.
 *
 * Identity is what a maintainer must know.  Anybody may create a schema with
 * the right table names, and a superuser may be asked to run it.  So every
 * statement on a book runs as the owner of its schema, inside a
 * security-restricted operation, and no function of this extension is SECURITY
 * DEFINER.  Because of the restricted context a book has no deferrable
 * constraints.
 */
#include "book/book.h"

#include "amount/amount.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* ---- finding a book ---- */

/*
 * The columns that C code reads, in tables that anybody can forge: a value of
 * another type, or a null, would be taken for a pointer.
 */
typedef struct Column
{
	const char *table;
	const char *name;			/* NULL: no more than the table is needed */
	Oid			type;			/* InvalidOid: a type of an extension */
	const char *type_name;		/* of such a type */
	bool		nullable;
} Column;

static const Column columns_read[] = {
	{"book", "rule_revision", INT8OID}, {"book", "time_zone", TEXTOID}, {"book", "currency", TEXTOID}, {"book", "settle_on", TEXTOID}, {"book", "keep_inputs", BOOLOID},
	{"book", "desk_revision", INT8OID},
	{"book", "max_correction", INT4OID, .nullable = true}, {"book", "fx_party", TEXTOID, .nullable = true},
	{"gate", NULL},
	{"fact", "fact", NAMEOID}, {"fact", "relation", REGCLASSOID},
	{"rate", "valid", TSTZRANGEOID}, {"rate", "rate", NUMERICOID},
	{"source", "source_id", INT2OID}, {"source", "source", NAMEOID}, {"source", "relation", REGCLASSOID, .nullable = true},
	{"source", "tax", TEXTOID, .nullable = true}, {"source", "reverses", TEXTOID, .nullable = true}, {"source", "on_delete", TEXTOID},
	{"rule", "rule_id", INT4OID}, {"rule", "code", TEXTOID}, {"rule", "component", TEXTOID}, {"rule", "unit", TEXTOID, .nullable = true}, {"rule", "pack", TEXTOID}, {"rule", "valid", TSTZRANGEOID},
	{"pack", "pack", TEXTOID}, {"pack", "valid", TSTZRANGEOID, .nullable = true},
	{"party", "party_id", INT4OID}, {"party", "party", TEXTOID}, {"party", "side", TEXTOID},
	{"pending", "source_id", INT2OID}, {"pending", "ticket_key", TEXTOID, .nullable = true},
	{"sheet", "sheet_id", INT8OID}, {"sheet", "source_id", INT2OID}, {"sheet", "ticket_key", TEXTOID}, {"sheet", "revision", INT4OID}, {"sheet", "run_id", INT8OID},
	{"sheet", "ticket_time", TIMESTAMPTZOID}, {"sheet", "period", DATEOID}, {"sheet", "corrects_period", DATEOID, .nullable = true},
	{"sheet", "project", .type_name = "ltree", .nullable = true}, {"sheet", "region", .type_name = "ltree", .nullable = true}, {"sheet", "channel", TEXTOID, .nullable = true},
	{"sheet", "currency", TEXTOID}, {"sheet", "revenue", NUMERICOID}, {"sheet", "cost", NUMERICOID}, {"sheet", "payout", NUMERICOID},
	{"sheet", "tickets", INT2OID}, {"sheet", "lines", .type_name = "lines"}, {"sheet", "inputs", BYTEAOID, .nullable = true},
	{"run", "run_id", INT8OID}, {"run", "started_at", TIMESTAMPTZOID}, {"run", "finished_at", TIMESTAMPTZOID}, {"run", "settled_on", TEXTOID}, {"run", "digest", BYTEAOID},
	{"run", "actor", TEXTOID}, {"run", "tickets", INT8OID}, {"run", "lines", INT8OID}, {"run", "amount", NUMERICOID}, {"run", "corrections", INT8OID},
	{"run", "held", INT8OID}, {"run", "problems", INT8OID}, {"run", "unpaid", INT8OID}, {"run", "counted", INT8OID}, {"run", "input_names", JSONBOID, .nullable = true},
	/* what it inherits from run, nobody can change */
	{"fresh_run", "run_id", INT8OID}, {"fresh_run", "first_sheet", INT8OID}, {"fresh_run", "last_sheet", INT8OID},
	{"order_ticket", "ticket_key", TEXTOID}, {"order_ticket", "order_ref", TEXTOID}, {"order_ticket", "project", TEXTOID},
	{"order_ticket", "ready_at", TIMESTAMPTZOID}, {"order_ticket", "duplicate_of", TEXTOID, .nullable = true}, {"order_gate", NULL},
	{"seal", "seal_id", INT8OID}, {"seal", "previous", BYTEAOID, .nullable = true}, {"seal", "digest", BYTEAOID},
	{"sealed_run", "run_id", INT8OID}, {"sealed_run", "digest", BYTEAOID}, {"sealed_run", "sheets", BYTEAOID},
	{"unsealed", "run_id", INT8OID}, {"unfolded", "run_id", INT8OID}, {"unfolded", "first_sheet", INT8OID}, {"unfolded", "last_sheet", INT8OID},
	{"period", "period", DATEOID}, {"edit", "edit_id", INT8OID}, {"held", "ticket_key", TEXTOID}, {"held", "release_id", INT8OID, .nullable = true},
	{"tally_state", "rule_id", INT4OID}, {"tally_state", "owner_id", INT4OID}, {"tally_state", "payer_id", INT4OID}, {"tally_state", "payee_id", INT4OID},
	{"tally_state", "count", INT8OID}, {"tally_state", "quantity", NUMERICOID}, {"tally_state", "weighted", NUMERICOID},
	{"tally_state", "amount", NUMERICOID},
	{"party_delta", "party_id", INT4OID}, {"party_delta", "period", DATEOID}, {"party_delta", "unit", TEXTOID}, {"party_delta", "run_id", INT8OID},
	{"party_delta", "received", NUMERICOID}, {"party_delta", "given", NUMERICOID}, {"party_delta", "sheets", INT8ARRAYOID, .nullable = true}
};

/*
 * Finds the type of a column, which may belong to ltree or to us.
 */
static Oid
column_type(const Column *column)
{
	Oid			schema;

	if (column->type_name == NULL)
		return column->type;
	schema = strcmp(column->type_name, "ltree") == 0 ? settle_ltree_schema(NULL) : get_namespace_oid("settle", false);
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(column->type_name), ObjectIdGetDatum(schema));
}

/* A table that was in order, by the identifier that its row type had then. */
typedef struct CheckedTable
{
	Oid			relid;
	uint64		row_type;
} CheckedTable;

#define CHECKED_TABLES	1024

static HTAB *checked_tables = NULL;

static CheckedTable *
checked_table(Oid relid)
{
	CheckedTable *checked;
	bool		found;

	if (checked_tables != NULL && hash_get_num_entries(checked_tables) >= CHECKED_TABLES)
	{
		hash_destroy(checked_tables);
		checked_tables = NULL;
	}
	if (checked_tables == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(CheckedTable), .hcxt = CacheMemoryContext};

		checked_tables = hash_create("scrm_settle tables", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	checked = hash_search(checked_tables, &relid, HASH_ENTER, &found);
	if (!found)
		checked->row_type = 0;
	return checked;
}

/*
 * Raises 42704 where a table is not as a book has it, which is looked up from
 * the given place of columns_read on.  It is locked against ALTER until the end
 * of the transaction.
 */
static void
check_table(const SettleBook *book, const char *table, int first)
{
	Oid			relid = get_relname_relid(table, book->schema);
	char		kind = '\0';
	uint64		row_type;
	CheckedTable *checked;

	if (OidIsValid(relid))
	{
		LockRelationOid(relid, AccessShareLock);
		kind = get_rel_relkind(relid);
	}
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" is not a book", book->label),
				 errdetail("It has no table \"%s\".", table),
				 errhint("settle.create_book makes one; settle.books() lists those that exist.")));
	row_type = assign_record_type_identifier(get_rel_type_id(relid), -1);
	checked = checked_table(relid);
	if (checked->row_type == row_type)
		return;
	for (int i = first; i < lengthof(columns_read); i++)
	{
		const Column *column = &columns_read[i];
		HeapTuple	tuple;
		Form_pg_attribute a;

		if (column->name == NULL || strcmp(table, column->table) != 0)
			continue;
		tuple = SearchSysCacheAttName(relid, column->name);
		a = HeapTupleIsValid(tuple) ? (Form_pg_attribute) GETSTRUCT(tuple) : NULL;
		if (a == NULL || a->atttypid != column_type(column) || !(a->attnotnull || column->nullable))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("schema \"%s\" is not a book", book->label),
					 errdetail("Column \"%s\" of its table \"%s\" is not as settle.create_book makes it.", column->name, table),
					 errhint("settle.upgrade_book gives a book of an earlier version the tables of this one.")));
		ReleaseSysCache(tuple);
	}
	checked->row_type = row_type;
}

void
settle_book_check_table(const SettleBook *book, const char *table)
{
	for (int i = 0; i < lengthof(columns_read); i++)
		if (strcmp(columns_read[i].table, table) == 0)
		{
			check_table(book, table, i);
			return;
		}
}

void
settle_book_check_tables(const SettleBook *book)
{
	const char *table = "";

	for (int i = 0; i < lengthof(columns_read); i++)
		if (strcmp(table, columns_read[i].table) != 0)
		{
			table = columns_read[i].table;
			check_table(book, table, i);
		}
}

SettleBook
settle_book_unchecked(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	SettleBook	book;

	settle_check_version();
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with OID %u does not exist", schema)));
	book.schema = schema;
	book.owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	book.label = pstrdup(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname));
	book.name = quote_identifier(book.label);
	ReleaseSysCache(tuple);
	return book;
}

SettleBook
settle_book(Oid schema)
{
	SettleBook	book = settle_book_unchecked(schema);

	settle_book_check_tables(&book);
	return book;
}

SettleBook
settle_book_for_sql(Oid schema)
{
	SettleBook	book = settle_book_unchecked(schema);

	settle_book_check_table(&book, "book");
	return book;
}

Oid
settle_book_owner(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* ---- acting as its owner ---- */

SettleIdentity
settle_book_become(const SettleBook *book)
{
	SettleIdentity identity;

	identity.keeps_plans = settle_book_begin_plans(false);
	identity.unchecked = settle_book_check_later(NULL);
	GetUserIdAndSecContext(&identity.user, &identity.security_context);
	SetUserIdAndSecContext(book->owner, identity.security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	identity.nestlevel = 0;
	return identity;
}

int
settle_book_env(void)
{
	int			nestlevel = settle_env_enter("UTC");

	/* the schema of ltree is for texts of rules, whose operators are vetted; our own statements do without it */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	return nestlevel;
}

void
settle_book_pin(SettleIdentity *identity)
{
	/* row_security and search_path are part of the pinned environment */
	identity->nestlevel = settle_book_env();
	/* tables of a book are guessed too large until they are analyzed: then compiling takes a second for what runs in a tenth */
	settle_env_without_jit();
}

SettleIdentity
settle_book_enter(const SettleBook *book)
{
	SettleIdentity identity = settle_book_become(book);

	settle_book_pin(&identity);
	return identity;
}

void
settle_book_ask_as_before(SettleIdentity identity)
{
	(void) settle_book_begin_plans(identity.keeps_plans);
	(void) settle_book_check_later(identity.unchecked);
}

void
settle_book_leave(SettleIdentity identity)
{
	settle_book_ask_as_before(identity);
	if (identity.nestlevel > 0)
		settle_env_leave(identity.nestlevel);
	SetUserIdAndSecContext(identity.user, identity.security_context);
}

void
settle_raise_alert(const SettleBook *book, const char *kind, const char *object, const char *message)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, OIDOID};
	Datum		values[] = {CStringGetTextDatum(kind), CStringGetTextDatum(object), CStringGetTextDatum(message), ObjectIdGetDatum(book->schema)};

	settle_book_execute("SELECT settle._raise_alerts($4::pg_catalog.oid::pg_catalog.regnamespace, "
						"pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('kind', $1, 'object', $2, 'message', $3)))",
						lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

/*
 * settle._minor_units(unit text) returns int
 */
PG_FUNCTION_INFO_V1(settle_minor_units_sql);
Datum
settle_minor_units_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(settle_minor_units(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * settle.refuse_change() returns trigger
 *
 * Statement trigger on append-only tables.
 */
PG_FUNCTION_INFO_V1(settle_refuse_change);
Datum
settle_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *table;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.refuse_change is not called as a trigger")));
	table = RelationGetRelationName(trigger->tg_relation);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" of a book is append-only", table),
			 strcmp(table, "change") == 0 || strncmp(table, "seal", 4) == 0 ? 0
			 : errhint("Change the ticket or the rules: a run posts the difference as a further revision.")));
}
