/*
 * surface.c
 *		The gateway in SQL: for people who write rules, and for tests.
 *
 * None of this reads a row of a table.  check_expression takes the columns from
 * the row type of the relation, which asks for no privilege on it and takes no
 * lock, as a composite type in a query does.
 */
#include "expr/gate.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(settle_check_expression);
PG_FUNCTION_INFO_V1(settle_check_template);
PG_FUNCTION_INFO_V1(settle_evaluate_expression);
PG_FUNCTION_INFO_V1(settle_expression_functions);
PG_FUNCTION_INFO_V1(settle_fixed_date);

/*
 * Makes the scope of a row: its columns, without a qualifier.
 */
static SettleScope
scope_of_row(TupleDesc desc)
{
	SettleScope scope;

	scope.nnames = desc->natts;
	scope.names = palloc0(Max(desc->natts, 1) * sizeof(SettleName));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		scope.names[i].name = column->attisdropped ? NULL : NameStr(column->attname);
		scope.names[i].type = column->atttypid;
		scope.names[i].typmod = column->atttypmod;
		scope.names[i].collation = column->attcollation;
	}
	return scope;
}

/*
 * Returns the row type of a relation, as a copy.
 */
static TupleDesc
row_of_relation(Oid relation)
{
	Oid			row_type = get_rel_type_id(relation);

	if (!OidIsValid(row_type))
	{
		const char *name = get_rel_name(relation);

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", relation)));
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no rows that an expression could read", name),
				 errhint("Name a table, a view or a foreign table.")));
	}
	return lookup_rowtype_tupdesc_copy(row_type, -1);
}

/*
 * settle.check_expression(expression text, source regclass, time_zone text, result text) returns text
 *
 * Reads an expression over the columns of a relation and returns its canonical
 * text.  result names the type that the expression must give; null keeps its
 * own.
 */
Datum
settle_check_expression(PG_FUNCTION_ARGS)
{
	SettleScope scope;
	SettleExpr *expr;
	Oid			wanted = InvalidOid;
	int32		typmod;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	scope = scope_of_row(row_of_relation(PG_GETARG_OID(1)));

	nestlevel = settle_env_enter(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(3))
		parseTypeString(text_to_cstring(PG_GETARG_TEXT_PP(3)), &wanted, &typmod, false);
	expr = settle_expr_read(text_to_cstring(PG_GETARG_TEXT_PP(0)), &scope, wanted, "expression");
	settle_env_leave(nestlevel);

	PG_RETURN_TEXT_P(cstring_to_text(expr->canonical));
}

/*
 * settle.check_template(template text, source regclass, time_zone text) returns text
 *
 * Reads a template over the columns of a relation and returns its canonical
 * text.
 */
Datum
settle_check_template(PG_FUNCTION_ARGS)
{
	SettleScope scope = scope_of_row(row_of_relation(PG_GETARG_OID(1)));
	SettleExpr *expr;
	int			nestlevel;

	nestlevel = settle_env_enter(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	expr = settle_template_read(text_to_cstring(PG_GETARG_TEXT_PP(0)), &scope, "template");
	settle_env_leave(nestlevel);

	PG_RETURN_TEXT_P(cstring_to_text(expr->canonical));
}

/*
 * settle._evaluate_expression(expression text, source_row record, time_zone text, template boolean) returns text
 *
 * Evaluates an expression, or a template, against a row and returns the result
 * as text.
 */
Datum
settle_evaluate_expression(PG_FUNCTION_ARGS)
{
	char	   *source = text_to_cstring(PG_GETARG_TEXT_PP(0));
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	int			nestlevel = settle_env_enter(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(row),
												   HeapTupleHeaderGetTypMod(row));
	SettleScope scope = scope_of_row(desc);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	ExprContext *econtext = CreateStandaloneExprContext();
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	SettleExpr *expr;
	Datum		value;
	bool		isnull;
	text	   *result = NULL;

	expr = PG_GETARG_BOOL(3) ?
		settle_template_read(source, &scope, "template") :
		settle_expr_read(source, &scope, InvalidOid, "expression");

	heap_deform_tuple(&tuple, desc, slot->tts_values, slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	econtext->ecxt_scantuple = slot;
	value = ExecEvalExprSwitchContext(settle_expr_init(expr), econtext, &isnull);
	if (!isnull)
	{
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(expr->type, &output, &is_varlena);
		result = cstring_to_text(OidOutputFunctionCall(output, value));
	}
	ExecDropSingleTupleTableSlot(slot);
	FreeExprContext(econtext, true);
	settle_env_leave(nestlevel);

	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/*
 * settle.expression_functions() returns table (purpose text, function text)
 *
 * Lists the functions that expressions may use.
 */
Datum
settle_expression_functions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n;
	const SettleAllowed *allowed = settle_allowed_functions(&n);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {CStringGetTextDatum(allowed[i].purpose),
		CStringGetTextDatum(allowed[i].name)};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * settle.fixed_date(text) returns text
 *
 * Returns a text that is to become a date or time, unless it holds one of the
 * words that mean another time at each reading.  The gateway puts it before
 * each such conversion.
 */
Datum
settle_fixed_date(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	char	   *cstring = text_to_cstring(value);

	settle_check_date_text(cstring);
	pfree(cstring);
	PG_RETURN_TEXT_P(value);
}
