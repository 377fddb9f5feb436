/*
 * book.c
 *		A book: finding it, acting as its owner, defining its rules.
 *
 * Identity is what a maintainer must know.  Anybody may create a schema with
 * the right table names, and a superuser may be asked to run it.  So every
 * statement on a book runs as the owner of its schema, inside a
 * security-restricted operation, and no function of this extension is SECURITY
 * DEFINER.  Because of the restricted context a book has no deferrable
 * constraints.
 *
 * The rule revision is taken from a sequence: nextval is never rolled back and
 * never issued twice, so a revision names one content of the rule tables for
 * ever, and what is remembered under it is never wrong.
 */
#include "book/book.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* ---- finding a book ---- */

SettleBook
settle_book(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	SettleBook	book;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with OID %u does not exist", schema)));
	book.schema = schema;
	book.owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	book.label = pstrdup(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname));
	book.name = quote_identifier(book.label);
	ReleaseSysCache(tuple);
	if (!OidIsValid(get_relname_relid("book", schema)) || !OidIsValid(get_relname_relid("gate", schema)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" is not a book", book.label),
				 errhint("settle.create_book makes one; settle.books lists those that exist.")));
	return book;
}

void
settle_book_check_rights(const SettleBook *book)
{
	if (!has_privs_of_role(GetUserId(), book->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for book \"%s\"", book->label),
				 errhint("Act as its owner, role \"%s\".", GetUserNameFromId(book->owner, false))));
}

/* ---- acting as its owner ---- */

SettleIdentity
settle_book_enter(const SettleBook *book)
{
	SettleIdentity identity;

	GetUserIdAndSecContext(&identity.user, &identity.security_context);
	SetUserIdAndSecContext(book->owner, identity.security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	/* row_security and search_path are part of the pinned environment */
	identity.nestlevel = settle_env_enter("UTC");
	return identity;
}

void
settle_book_leave(SettleIdentity identity)
{
	settle_env_leave(identity.nestlevel);
	SetUserIdAndSecContext(identity.user, identity.security_context);
}

uint64
settle_book_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

uint64
settle_book_read(const char *sql, int nargs, Oid *types, Datum *values)
{
	int			result = SPI_execute_with_args(sql, nargs, types, values, NULL, true, 0);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

Datum
settle_spi_datum(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* ---- the rules in force ---- */

/* Rulesets that were read, by book and revision. */
#define MAX_READ	8

typedef struct ReadRuleset
{
	Oid			schema;
	int64		revision;
	uint64		last_use;
	SettleRuleset *ruleset;
} ReadRuleset;

static ReadRuleset read_rulesets[MAX_READ];
static uint64 read_counter = 0;

/*
 * Reads the rules through one of the two ways to query, unless the revision
 * that it sees was read already.
 */
static const SettleRuleset *
read_ruleset(const SettleBook *book, bool seen)
{
	Oid			type = REGNAMESPACEOID;
	Datum		arg = ObjectIdGetDatum(book->schema);
	int64		revision;
	bool		isnull;
	ReadRuleset *place = &read_rulesets[0];
	SettleRuleset *ruleset;

	const char *query = psprintf("SELECT b.rule_revision FROM %s.book AS b", book->name);

	if ((seen ? settle_book_read(query, 0, NULL, NULL) : settle_book_execute(query, 0, NULL, NULL, NULL, SPI_OK_SELECT)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("book \"%s\" has lost its settings", book->label),
				 errhint("The table book of a book holds exactly one row.")));
	revision = DatumGetInt64(settle_spi_datum(0, 1, &isnull));
	for (int i = 0; i < MAX_READ; i++)
	{
		ReadRuleset *r = &read_rulesets[i];

		if (r->ruleset != NULL && r->schema == book->schema && r->revision == revision)
		{
			r->last_use = ++read_counter;
			return r->ruleset;
		}
		if (r->last_use < place->last_use)
			place = r;
	}
	query = "SELECT settle.rules($1)";
	if (seen)
		settle_book_read(query, 1, &type, &arg);
	else
		settle_book_execute(query, 1, &type, &arg, NULL, SPI_OK_SELECT);
	ruleset = DatumGetSettleRuleset(settle_spi_datum(0, 1, &isnull));

	/* an older value may still be in use further up; the transaction's memory keeps it */
	if (place->ruleset != NULL)
	{
		MemoryContext doomed = GetMemoryChunkContext(place->ruleset);

		place->ruleset = NULL;
		MemoryContextSetParent(doomed, TopTransactionContext);
	}
	{
		MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "scrm_settle rules", ALLOCSET_SMALL_SIZES);

		place->ruleset = MemoryContextAllocHuge(context, VARSIZE(ruleset));
		memcpy(place->ruleset, ruleset, VARSIZE(ruleset));
	}
	place->schema = book->schema;
	place->revision = revision;
	place->last_use = ++read_counter;
	return place->ruleset;
}

const SettleRuleset *
settle_book_ruleset(const SettleBook *book)
{
	return read_ruleset(book, false);
}

const SettleRuleset *
settle_book_ruleset_seen(const SettleBook *book)
{
	return read_ruleset(book, true);
}

/*
 * Compiles the rules for every source of the book, which raises what is wrong
 * with them.
 */
static void
check_rules(const SettleBook *book)
{
	const SettleRuleset *ruleset = settle_book_ruleset(book);
	uint64		n;
	Oid		   *relations;
	char	  **sources;
	bool		isnull;

	n = settle_book_execute(psprintf("SELECT s.source, s.relation::pg_catalog.oid FROM %s.source AS s "
									 "JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid", book->name),
							0, NULL, NULL, NULL, SPI_OK_SELECT);
	relations = palloc(sizeof(Oid) * (n + 1));
	sources = palloc(sizeof(char *) * (n + 1));
	for (uint64 i = 0; i < n; i++)
	{
		sources[i] = pstrdup(NameStr(*DatumGetName(settle_spi_datum(i, 1, &isnull))));
		relations[i] = DatumGetObjectId(settle_spi_datum(i, 2, &isnull));
	}
	for (uint64 i = 0; i < n; i++)
	{
		Relation	relation = relation_open(relations[i], AccessShareLock);

		settle_set_release(settle_set_get(ruleset, sources[i], RelationGetDescr(relation)));
		relation_close(relation, AccessShareLock);
	}
}

/* ---- triggers ---- */

/*
 * settle.note_rule_change() returns trigger
 *
 * Statement trigger on the rule tables: gives the rules a new revision and
 * refuses them where they do not compile, so that what stands can be run.
 */
PG_FUNCTION_INFO_V1(settle_note_rule_change);
Datum
settle_note_rule_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SettleBook	book;
	SettleIdentity identity;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_rule_change is not called as an AFTER statement trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("UPDATE %s.book SET rule_revision = pg_catalog.nextval(%s::pg_catalog.regclass)", book.name,
								 quote_literal_cstr(psprintf("%s.rule_revision", book.name))),
						0, NULL, NULL, NULL, SPI_OK_UPDATE);
	check_rules(&book);
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
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

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.refuse_change is not called as a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" of a book is append-only", RelationGetRelationName(trigger->tg_relation)),
			 errhint("Change the ticket or the rules: a run posts the difference as a further revision.")));
}

/* ---- definitions ---- */

/*
 * settle.add_rule(book regnamespace, ...) returns void, and add_choice,
 * add_decision, add_outcome
 *
 * Inserts a row into the table that the function is named after: parameters
 * are columns, and a null parameter leaves the column's default.  The table's
 * trigger checks what the rules have become.
 */
PG_FUNCTION_INFO_V1(settle_add_definition);
Datum
settle_add_definition(PG_FUNCTION_ARGS)
{
	HeapTuple	proc;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			nparams;
	const char *table;
	StringInfoData columns;
	StringInfoData values;
	Oid			arg_types[FUNC_MAX_ARGS];
	Datum		args[FUNC_MAX_ARGS];
	int			nargs = 0;
	SettleBook	book;
	SettleIdentity identity;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_rights(&book);

	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	nparams = get_func_arg_info(proc, &types, &names, &modes);
	table = pstrdup(NameStr(((Form_pg_proc) GETSTRUCT(proc))->proname) + strlen("add_"));
	ReleaseSysCache(proc);

	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 1; i < nparams; i++)
	{
		if (PG_ARGISNULL(i))
			continue;
		appendStringInfo(&columns, "%s%s", nargs == 0 ? "" : ", ", quote_identifier(names[i]));
		arg_types[nargs] = types[i];
		args[nargs++] = PG_GETARG_DATUM(i);
		appendStringInfo(&values, "%s$%d", nargs == 1 ? "" : ", ", nargs);
	}

	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("INSERT INTO %s.%s (%s) VALUES (%s)", book.name, quote_identifier(table), columns.data, values.data),
						nargs, arg_types, args, NULL, SPI_OK_INSERT);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}

/*
 * settle.end_rule(book regnamespace, code text, at timestamptz) returns void
 *
 * Ends the version that is in force at an instant.
 */
PG_FUNCTION_INFO_V1(settle_end_rule);
Datum
settle_end_rule(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	SettleIdentity identity;
	uint64		n;

	settle_book_check_rights(&book);
	identity = settle_book_enter(&book);
	SPI_connect();
	n = settle_book_execute(psprintf("UPDATE %s.rule SET valid = pg_catalog.tstzrange(pg_catalog.lower(valid), $2) "
									 "WHERE code OPERATOR(pg_catalog.=) $1 AND valid OPERATOR(pg_catalog.@>) $2 "
									 "AND pg_catalog.lower(valid) IS DISTINCT FROM $2", book.name),
							2, types, args, NULL, SPI_OK_UPDATE);
	SPI_finish();
	settle_book_leave(identity);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no version of rule \"%s\" is in force before and at %s", text_to_cstring(PG_GETARG_TEXT_PP(1)),
						DatumGetCString(DirectFunctionCall1(timestamptz_out, args[1])))));
	PG_RETURN_VOID();
}

/* ---- sources ---- */

/*
 * Makes the triggers that tell the book of changes of one table.
 */
static void
create_capture(const SettleBook *book, const char *source, Oid relid, bool at_commit)
{
	const char *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	const char *arguments = psprintf("%s, %s%s", quote_literal_cstr(book->label), quote_literal_cstr(source), at_commit ? ", 'commit'" : "");
	const char *base = psprintf("settle_%s_%s", book->label, source);
	const char *on_row = quote_identifier(base);
	const char *on_truncate = quote_identifier(psprintf("%.*s_all", NAMEDATALEN - 5, base));
	const char *on_commit = quote_identifier(psprintf("%.*s_now", NAMEDATALEN - 5, base));

	settle_book_execute(psprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s "
								 "FOR EACH ROW EXECUTE FUNCTION settle.capture(%s)", on_row, table, arguments),
						0, NULL, NULL, NULL, SPI_OK_UTILITY);
	settle_book_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, on_row), 0, NULL, NULL, NULL, SPI_OK_UTILITY);
	settle_book_execute(psprintf("CREATE TRIGGER %s AFTER TRUNCATE ON %s "
								 "FOR EACH STATEMENT EXECUTE FUNCTION settle.capture(%s)", on_truncate, table, arguments),
						0, NULL, NULL, NULL, SPI_OK_UTILITY);
	settle_book_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, on_truncate), 0, NULL, NULL, NULL, SPI_OK_UTILITY);
	if (at_commit)
		settle_book_execute(psprintf("CREATE CONSTRAINT TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s "
									 "DEFERRABLE INITIALLY DEFERRED "
									 "FOR EACH ROW EXECUTE FUNCTION settle.settle_at_commit(%s)", on_commit, table, arguments),
							0, NULL, NULL, NULL, SPI_OK_UTILITY);
}

/*
 * settle.add_source(book regnamespace, source name, relation regclass, key
 *					 text, ready_at text, ...) returns void
 *
 * Registers a relation and, where it is a table, the triggers that capture its
 * changes: on a partitioned table they are cloned to every partition, on the
 * children of an ordinary table they are created one by one.
 */
PG_FUNCTION_INFO_V1(settle_add_source);
Datum
settle_add_source(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"source", "relation", "key", "ready_at", "rules_at", "period_at", "project", "region",
		"revenue", "cost", "tax", "currency", "reverses", "on_delete"
	};
	Oid			types[lengthof(names)];
	Datum		args[lengthof(names)];
	char		nulls[lengthof(names) + 1];
	StringInfoData columns;
	StringInfoData values;
	SettleBook	book;
	SettleIdentity identity;
	const char *source;
	Oid			relid;
	char		kind;
	bool		at_commit;
	bool		isnull;

	for (int i = 0; i < 5; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s of a source is null", i == 0 ? "book" : names[i - 1]),
					 errhint("A source needs a relation, an expression for its key and one for the time at which a ticket is ready.")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_rights(&book);
	source = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	relid = PG_GETARG_OID(2);
	kind = get_rel_relkind(relid);
	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be a source", get_rel_name(relid)),
				 errhint("A source is a table, a partitioned table, a view or a foreign table.")));
	if (pg_class_aclcheck(relid, book.owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of book \"%s\" cannot read \"%s\"", book.label, get_rel_name(relid)),
				 errhint("GRANT SELECT ON %s TO %s.", quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
						 quote_identifier(GetUserNameFromId(book.owner, false)))));

	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 0; i < lengthof(names); i++)
	{
		types[i] = i == 0 ? NAMEOID : i == 1 ? REGCLASSOID : TEXTOID;
		args[i] = PG_ARGISNULL(i + 1) ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
		nulls[i] = PG_ARGISNULL(i + 1) ? 'n' : ' ';
		appendStringInfo(&columns, ", %s", names[i]);
		appendStringInfo(&values, ", $%d", i + 1);
	}
	nulls[lengthof(names)] = '\0';

	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("INSERT INTO %1$s.source (source_id%2$s) "
								 "SELECT pg_catalog.max(s.source_id) OPERATOR(pg_catalog.+) 1%3$s FROM %1$s.source AS s",
								 book.name, columns.data, values.data),
						lengthof(names), types, args, nulls, SPI_OK_INSERT);
	settle_book_execute(psprintf("SELECT b.settle_on OPERATOR(pg_catalog.=) 'commit' FROM %s.book AS b", book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	at_commit = DatumGetBool(settle_spi_datum(0, 1, &isnull));
	if (kind == RELKIND_PARTITIONED_TABLE)
		create_capture(&book, source, relid, at_commit);
	else if (kind == RELKIND_RELATION)
	{
		ListCell   *lc;

		foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
			create_capture(&book, source, lfirst_oid(lc), at_commit);
	}
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}
