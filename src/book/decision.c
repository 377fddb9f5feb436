/*
 * decision.c
 *		Decisions of a book: outcomes from a table, and the answer for one row.
 *
 * Both run as the owner of the book, like everything that touches it.  Asking
 * reads the rules with the snapshot of the caller's statement, so that all its
 * rows are decided by the same rules.
 */
#include "book/fact.h"

#include "access/attnum.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* ---- asking ---- */

/*
 * Names the source that a row belongs to: the one that reads rows of its type,
 * or the only one.
 */
static const char *
source_of_row(const SettleBook *book, HeapTupleHeader row)
{
	Oid			row_type = HeapTupleHeaderGetTypeId(row);
	Oid			type = OIDOID;
	Datum		arg = ObjectIdGetDatum(get_typ_typrelid(row_type));
	bool		isnull;
	uint64		n;
	uint64		matching = 0;

	if (SPI_execute_with_args(psprintf("SELECT s.source, s.relation::pg_catalog.oid OPERATOR(pg_catalog.=) $1 FROM %s.source AS s "
									   "WHERE s.relation IS NOT NULL AND s.source OPERATOR(pg_catalog.<>) '" SETTLE_PERIOD_SOURCE "' ORDER BY 2 DESC", book->name),
							  1, &type, &arg, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the sources of book \"%s\"", book->label);
	n = SPI_processed;
	while (matching < n && DatumGetBool(settle_spi_datum((int) matching, 2, &isnull)))
		matching++;
	if (matching != 1 && n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%llu sources of book \"%s\" read rows of type %s", (unsigned long long) matching, book->label,
						format_type_be(row_type)),
				 errhint("Say which one the row belongs to: source => 'ticket'.")));
	return pstrdup(NameStr(*DatumGetName(settle_spi_datum(0, 1, &isnull))));
}

/*
 * settle.decide(book regnamespace, decision name, ticket record,
 *				 source name default null) returns jsonb
 *
 * Says what a decision gives for one row, which need not stand in any table; a
 * row without a time is decided as of now.
 */
PG_FUNCTION_INFO_V1(settle_decide);
Datum
settle_decide(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	SettleBook	book;
	SettleIdentity identity;
	HeapTupleHeader row;
	const SettleRuleset *ruleset;
	SettleSet  *set;
	Jsonb	   *value;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	row = PG_GETARG_HEAPTUPLEHEADER(2);

	identity = settle_book_enter(&book);
	SPI_connect();
	ruleset = settle_book_ruleset_seen(&book);
	set = settle_set_of_row(ruleset, PG_ARGISNULL(3) ? source_of_row(&book, row) : NameStr(*PG_GETARG_NAME(3)), row);
	settle_set_ask(set, settle_facts_reader(settle_facts_open(&book)));
	nestlevel = settle_env_enter(settle_set_time_zone(set));
	MemoryContextSwitchTo(caller);
	value = settle_decide_ticket(set, NameStr(*PG_GETARG_NAME(1)), GetCurrentTransactionStartTimestamp());
	settle_env_leave(nestlevel);
	settle_set_release(set);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_JSONB_P(value);
}

/* ---- outcomes from a table ---- */

/*
 * Finds a column of the table, telling its type; InvalidOid where it has none.
 */
static Oid
column_type(Oid relation, const char *column)
{
	AttrNumber	attnum = get_attnum(relation, column);

	return attnum > 0 ? get_atttype(relation, attnum) : InvalidOid;
}

/*
 * Appends the SQL expression that makes the condition of one key: equality
 * with what the row has, or the bounds of its range.  Constants stay without a
 * type, so that they become what the column of the ticket is.  A null is no
 * condition.
 */
static void
append_condition(StringInfo sql, const char *key, Oid type)
{
	const char *column = quote_identifier(key);
	const char *name = quote_literal_cstr(column);

	if (get_typtype(type) == TYPTYPE_RANGE)
		appendStringInfo(sql, ", CASE WHEN pg_catalog.isempty(r.%1$s) THEN 'false' END"
						 ", CASE WHEN pg_catalog.lower(r.%1$s) IS NOT NULL THEN pg_catalog.format('%%s %%s %%L', %2$s,"
						 " CASE WHEN pg_catalog.lower_inc(r.%1$s) THEN '>=' ELSE '>' END, pg_catalog.lower(r.%1$s)) END"
						 ", CASE WHEN pg_catalog.upper(r.%1$s) IS NOT NULL THEN pg_catalog.format('%%s %%s %%L', %2$s,"
						 " CASE WHEN pg_catalog.upper_inc(r.%1$s) THEN '<=' ELSE '<' END, pg_catalog.upper(r.%1$s)) END",
						 column, name);
	else
		appendStringInfo(sql, ", CASE WHEN r.%1$s IS NOT NULL THEN pg_catalog.format('%%s = %%L', %2$s, r.%1$s) END", column, name);
}

/*
 * settle.add_table(book regnamespace, decision name, keys text[], relation
 *					regclass, source name default null, pack text default
 *					'base') returns bigint
 *
 * Copies the rows of a relation into the outcomes of a decision, in one
 * statement: the rules are compiled once.  Returns how many there were.
 */
PG_FUNCTION_INFO_V1(settle_add_table);
Datum
settle_add_table(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"book", "decision", "keys", "relation"};
	static const char *const optional[][2] = {{"priority", "0"}, {"valid", "$4"}, {"title", "NULL"}};
	SettleBook	book;
	SettleIdentity identity;
	Oid			relation;
	const char *table;
	Datum	   *keys;
	bool	   *nulls;
	int			nkeys;
	StringInfoData columns;
	StringInfoData values;
	StringInfoData condition;
	Oid			types[] = {NAMEOID, NAMEOID, TEXTOID, TSTZRANGEOID};
	Datum		args[4];
	uint64		n;

	for (int i = 0; i < lengthof(names); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s is null", names[i])));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_CLERK);
	relation = PG_GETARG_OID(3);
	if (get_rel_name(relation) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	settle_book_check_relation(&book, relation);
	table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
	if (!OidIsValid(column_type(relation, "outcome")))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation %s has no column \"outcome\"", table),
				 errhint("It holds what the decision gives; a view can call another column so, or build it with jsonb_build_object.")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &keys, &nulls, &nkeys);
	if (nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("keys is empty"),
				 errhint("Name the columns that are compared with those of the ticket: keys => '{region, level}'.")));
	initStringInfo(&condition);
	for (int i = 0; i < nkeys; i++)
	{
		const char *key = nulls[i] ? "" : TextDatumGetCString(keys[i]);
		Oid			type = column_type(relation, key);

		if (!OidIsValid(type))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("relation %s has no column \"%s\"", table, key),
					 errhint("Each of keys is a column of the relation and of the ticket.")));
		append_condition(&condition, key, type);
	}
	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 0; i < lengthof(optional); i++)
	{
		bool		is_column = OidIsValid(column_type(relation, optional[i][0]));

		appendStringInfo(&columns, ", %s", optional[i][0]);
		appendStringInfo(&values, is_column ? ", COALESCE(r.%2$s, %1$s)" : ", %1$s", optional[i][1], optional[i][0]);
	}

	args[0] = PG_GETARG_DATUM(1);
	args[1] = PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4);
	args[2] = PG_ARGISNULL(5) ? CStringGetTextDatum("base") : PG_GETARG_DATUM(5);
	identity = settle_book_enter(&book);
	SPI_connect();
	args[3] = settle_default_valid(&book, TextDatumGetCString(args[2]));
	n = settle_book_execute(psprintf("INSERT INTO %s.outcome (decision, source, pack, outcome, applies_when%s) "
									 "SELECT $1, $2, $3, pg_catalog.to_jsonb(r.outcome), "
									 "COALESCE(NULLIF(pg_catalog.concat_ws(' AND '%s), ''), 'true')%s FROM %s AS r",
									 book.name, columns.data, condition.data, values.data, table),
							4, types, args, PG_ARGISNULL(4) ? " n  " : NULL, SPI_OK_INSERT);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_INT64((int64) n);
}
