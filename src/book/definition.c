/*
 * definition.c
 *		Adding and ending what a book is defined by: sources, rules, choices,
 *		decisions, outcomes, facts and packs.
 *
 * Nothing is checked here that a plain INSERT would not be: the triggers of the
 * tables look at what the rules have become.
 */
#include "book/book.h"

#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/*
 * settle.add_rule(book regnamespace, ...) returns void, and add_choice,
 * add_decision, add_outcome
 *
 * Inserts a row into the table that the function is named after: parameters
 * are columns; without "valid" a row is in force from where settle_default_valid
 * says.  The table's trigger checks what the rules have become.
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
	char		nulls[FUNC_MAX_ARGS];
	int			nargs = 0;
	Oid			valid_type = InvalidOid;	/* of a "valid" that is left out */
	const char *pack = NULL;
	SettleBook	book;
	SettleIdentity identity;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_CLERK);

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
		/* a null is a null, not the default, or a price that a sub-select did not find would be 100 % */
		if (PG_ARGISNULL(i) && strcmp(names[i], "valid") == 0)
		{
			if (types[i] == TSTZRANGEOID)
				valid_type = types[i];
			continue;
		}
		if (!PG_ARGISNULL(i) && strcmp(names[i], "pack") == 0)
			pack = text_to_cstring(PG_GETARG_TEXT_PP(i));
		if (types[i] == REGCLASSOID && !PG_ARGISNULL(i))
			settle_book_check_relation(&book, PG_GETARG_OID(i));
		appendStringInfo(&columns, "%s%s", nargs == 0 ? "" : ", ", quote_identifier(names[i]));
		arg_types[nargs] = types[i];
		nulls[nargs] = PG_ARGISNULL(i) ? 'n' : ' ';
		args[nargs++] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		appendStringInfo(&values, "%s$%d", nargs == 1 ? "" : ", ", nargs);
	}

	identity = settle_book_enter(&book);
	SPI_connect();
	if (valid_type != InvalidOid)
	{
		appendStringInfo(&columns, "%svalid", nargs == 0 ? "" : ", ");
		arg_types[nargs] = valid_type;
		nulls[nargs] = ' ';
		args[nargs++] = settle_default_valid(&book, pack);
		appendStringInfo(&values, "%s$%d", nargs == 1 ? "" : ", ", nargs);
	}
	settle_book_execute(psprintf("INSERT INTO %s.%s (%s) VALUES (%s)", book.name, quote_identifier(table), columns.data, values.data),
						nargs, arg_types, args, nulls, SPI_OK_INSERT);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}

/*
 * settle.end_rule(book regnamespace, code text, at timestamptz, pack text
 *				   default 'base') returns void
 *
 * Ends the version that is in force at an instant.
 */
PG_FUNCTION_INFO_V1(settle_end_rule);
Datum
settle_end_rule(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID};
	Datum		args[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};
	SettleIdentity identity;
	uint64		n;

	settle_book_check_level(&book, SETTLE_CLERK);
	identity = settle_book_enter(&book);
	SPI_connect();
	n = settle_book_execute(psprintf("UPDATE %s.rule SET valid = pg_catalog.tstzrange(pg_catalog.lower(valid), $2) "
									 "WHERE code OPERATOR(pg_catalog.=) $1 AND pack OPERATOR(pg_catalog.=) $3 AND valid OPERATOR(pg_catalog.@>) $2 "
									 "AND pg_catalog.lower(valid) IS DISTINCT FROM $2", book.name),
							3, types, args, NULL, SPI_OK_UPDATE);
	SPI_finish();
	settle_book_leave(identity);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no version of rule \"%s\" is in force before and at %s", text_to_cstring(PG_GETARG_TEXT_PP(1)),
						DatumGetCString(DirectFunctionCall1(timestamptz_out, args[1])))));
	PG_RETURN_VOID();
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
		"revenue", "cost", "tax", "currency", "reverses", "on_delete", "order_ref", "rework_of", "channel"
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

	for (int i = 0; i < 5; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s of a source is null", i == 0 ? "book" : i == 1 ? "name" : names[i - 1]),
					 errhint("A source needs a name, a relation, an expression for its key and one for the time at which a ticket is ready.")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_ADMIN);
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
	settle_book_check_relation(&book, relid);
	if (!PG_ARGISNULL(14))
	{
		const char *on_delete = text_to_cstring(PG_GETARG_TEXT_PP(14));

		if (strcmp(on_delete, "hold") != 0 && strcmp(on_delete, "reverse") != 0 && strcmp(on_delete, "ignore") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown on_delete \"%s\"", on_delete),
					 errhint("Known are hold, reverse and ignore.")));
	}
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
	settle_create_captures(&book, source);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}

/*
 * settle.keep_used_rule() returns trigger
 *
 * Row trigger on the rules: a version that sheets refer to can be ended, but
 * neither removed nor changed, since what was posted takes its component, unit
 * and tally from it.
 */
PG_FUNCTION_INFO_V1(settle_keep_used_rule);
Datum
settle_keep_used_rule(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	SettleBook	book;
	SettleIdentity identity;
	Oid			type = INT4OID;
	Datum		id;
	bool		isnull;
	bool		used;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.keep_used_rule is not called as a BEFORE UPDATE OR DELETE row trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	SPI_connect();
	id = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "rule_id"), &isnull);
	identity = settle_book_enter(&book);
	/* whoever posts with it by now has to be seen, and nobody else begins to */
	LockRelationOid(get_relname_relid("gate", book.schema), ShareRowExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());
	used = SPI_execute_with_args(psprintf("SELECT FROM %s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
										  "WHERE l.rule_id OPERATOR(pg_catalog.=) $1 LIMIT 1", book.name), 1, &type, &id, NULL, true, 1) == SPI_OK_SELECT &&
		SPI_processed > 0;
	PopActiveSnapshot();
	settle_book_leave(identity);
	if (used)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rule \"%s\" has settled tickets and can only be ended", SPI_getvalue(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "code"))),
				 errhint("End it with settle.end_rule and add the version that follows with settle.add_rule.")));
	SPI_finish();
	return PointerGetDatum(TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? trigger->tg_trigtuple : trigger->tg_newtuple);
}
