/*
 * vet.c
 *		The second and the third look at a text: the analysed and the planned tree.
 *
 * A text is looked at three times.  The raw tree (raw.c), before any name is
 * resolved.  The analysed tree: an allow-list of nodes, and every function,
 * operator, cast and type by OID.  The planned tree, after SQL functions are
 * inlined: the same nodes, and nothing whose result may change.
 *
 * Arguments are vetted before the node above them (the walk is in post-order).
 */
#include "expr/gate.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* what the walk over an analysed tree knows */
typedef struct Vet
{
	ParseState *pstate;
	int			costly;			/* operations with SETTLE_FN_COSTLY so far */
	int			quoting;		/* how many of SETTLE_FN_QUOTING stand above this node */
} Vet;

/*
 * Raises an error about syntax that expressions do not have.
 */
void
settle_refuse_syntax(ParseState *pstate, Node *node, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s cannot be used in an expression", what),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(pstate, exprLocation(node))));
}

/*
 * Raises an error about the size of an expression.
 */
void
settle_refuse_large(ParseState *pstate, int location, const char *what, int limit)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("expression has more than %d %s", limit, what),
			 parser_errposition(pstate, location)));
}

/*
 * Says whether a function always gives the same result in the pinned
 * environment.
 */
static bool
is_steady(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		steady;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	steady = form->provolatile == PROVOLATILE_IMMUTABLE ||
		(form->provolatile == PROVOLATILE_STABLE &&
		 function < FirstUnpinnedObjectId &&
		 settle_stable_under_pins(NameStr(form->proname)));
	ReleaseSysCache(tuple);
	return steady;
}

/*
 * Refuses a function that is a stranger's or whose result may change.
 */
static void
vet_function(ParseState *pstate, Oid function, int location)
{
	if (settle_home_of(ProcedureRelationId, function) == SETTLE_HOME_STRANGE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function %s cannot be used in an expression", format_procedure(function)),
				 errdetail("Only built-in functions and those of the extensions ltree and scrm_settle can be used."),
				 parser_errposition(pstate, location)));
	if (!is_steady(function))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("function %s does not always give the same result", format_procedure(function)),
				 errhint("A result depends on the row alone; take times and the like from a column."),
				 parser_errposition(pstate, location)));
}

/*
 * Counts a call that is costly, and does what the flags of its function or
 * operator ask for.
 */
static void
vet_flags(Vet *vet, int flags, List *args, Oid collation, int location)
{
	if ((flags & SETTLE_FN_COSTLY) && ++vet->costly > SETTLE_EXPR_MAX_COSTLY)
		settle_refuse_large(vet->pstate, location, "concatenations, powers and the like",
							SETTLE_EXPR_MAX_COSTLY);
	settle_vet_arguments(vet->pstate, flags, args, collation, location);
}

/*
 * Vets a call.  A cast needs no entry in the list: its types are vetted, and
 * the casts between them are as harmless as their input and output.
 */
static const SettleAllowed *
vet_call(Vet *vet, FuncExpr *call)
{
	const SettleAllowed *allowed = NULL;

	vet_function(vet->pstate, call->funcid, call->location);
	if (call->funcformat == COERCE_EXPLICIT_CALL || call->funcformat == COERCE_SQL_SYNTAX)
	{
		allowed = settle_allowed_function(get_func_name(call->funcid));

		/* substring(text, text, text) has its pattern in another language */
		if (allowed == NULL || call->funcid == F_SUBSTRING_TEXT_TEXT_TEXT ||
			allowed->home != settle_home_of(ProcedureRelationId, call->funcid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("function %s cannot be used in an expression",
							format_procedure(call->funcid)),
					 parser_errposition(vet->pstate, call->location)));
	}
	return allowed;
}

/*
 * Vets an operator and the function behind it.
 */
static const SettleAllowed *
vet_operator(Vet *vet, Oid operator, int location)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	const SettleAllowed *allowed;
	SettleHome	home;
	Oid			function;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	allowed = settle_allowed_operator(NameStr(form->oprname));
	function = form->oprcode;
	ReleaseSysCache(tuple);

	/* ltree gives its own meaning to many of the built-in names */
	home = settle_home_of(OperatorRelationId, operator);
	if (allowed == NULL ||
		(home != SETTLE_HOME_LTREE && home != allowed->home))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("operator %s cannot be used in an expression", format_operator(operator)),
				 home == SETTLE_HOME_STRANGE || home == SETTLE_HOME_SETTLE ?
				 errdetail("Only built-in operators and those of the extension ltree can be used.") : 0,
				 parser_errposition(vet->pstate, location)));
	vet_function(vet->pstate, function, location);
	return allowed;
}

/*
 * Refuses a type that values in an expression may not have.
 */
static void
vet_type(Vet *vet, Node *node)
{
	Oid			type = exprType(node);

	if (settle_type_allowed(type))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 IsA(node, Var) ?
			 errmsg("a column of type %s cannot be used in an expression", format_type_be(type)) :
			 errmsg("a value of type %s cannot be used in an expression", format_type_be(type)),
			 IsA(node, Var) ?
			 errhint("Test it for null, or show it as another type in a view.") : 0,
			 parser_errposition(vet->pstate, exprLocation(node))));
}

/*
 * Refuses a number with very many digits.  A few characters such as 1e100000
 * would do, and a canonical text writes them all out.
 */
static void
vet_digits(Vet *vet, Numeric number, int location)
{
	char	   *text = numeric_out_sci(number, 0);
	char	   *exponent = strchr(text, 'e');

	/* NaN and infinity have no exponent */
	if (exponent &&
		(abs(atoi(exponent + 1)) >= SETTLE_EXPR_MAX_DIGITS ||
		 DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number))) > SETTLE_EXPR_MAX_DIGITS))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a number in an expression has at most %d digits on either side of the point",
						SETTLE_EXPR_MAX_DIGITS),
				 parser_errposition(vet->pstate, location)));
	pfree(text);
}

/*
 * Vets the numbers inside a constant.
 */
static void
vet_numbers(Vet *vet, Const *constant)
{
	Datum		value = constant->constvalue;

	switch (constant->consttype)
	{
		case NUMERICOID:
			vet_digits(vet, DatumGetNumeric(value), constant->location);
			break;
		case NUMERICARRAYOID:
		case NUMRANGEARRAYOID:
			{
				Datum	   *elements;
				bool	   *nulls;
				int			n;
				int16		length;
				bool		by_value;
				char		alignment;
				Const		element = *constant;

				element.consttype = get_element_type(constant->consttype);
				get_typlenbyvalalign(element.consttype, &length, &by_value, &alignment);
				deconstruct_array(DatumGetArrayTypeP(value), element.consttype,
								  length, by_value, alignment, &elements, &nulls, &n);
				for (int i = 0; i < n; i++)
				{
					element.constvalue = elements[i];
					if (!nulls[i])
						vet_numbers(vet, &element);
				}
			}
			break;
		case JSONBOID:
			{
				JsonbIterator *it = JsonbIteratorInit(&DatumGetJsonbP(value)->root);
				JsonbIteratorToken token;
				JsonbValue	v;

				while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
				{
					CHECK_FOR_INTERRUPTS();
					if ((token == WJB_ELEM || token == WJB_VALUE) && v.type == jbvNumeric)
						vet_digits(vet, v.val.numeric, constant->location);
				}
			}
			break;
		case NUMRANGEOID:
			{
				RangeType  *range = DatumGetRangeTypeP(value);
				RangeBound	bounds[2];
				bool		empty;

				range_deserialize(lookup_type_cache(NUMRANGEOID, TYPECACHE_RANGE_INFO), range,
								  &bounds[0], &bounds[1], &empty);
				for (int i = 0; i < 2; i++)
				{
					if (!empty && !bounds[i].infinite)
						vet_digits(vet, DatumGetNumeric(bounds[i].val), constant->location);
				}
			}
			break;
		default:
			break;
	}
}

/*
 * Says whether printing a value of this type may quote what it holds.
 */
static bool
is_quoted_in_text(Oid type)
{
	switch (type)
	{
		case JSONOID:
		case JSONBOID:
		case BYTEAOID:
			return true;
		default:
			return type_is_array(type) || get_typtype(type) == TYPTYPE_RANGE;
	}
}

/*
 * Vets a cast by way of text.
 *
 * Reading a value that is made of others is refused: a number in a JSON text
 * may have as many digits as it likes, and would be printed with all of them.
 */
static void
vet_cast_by_text(Vet *vet, CoerceViaIO *cast)
{
	Oid			function;
	Oid			ioparam;
	bool		is_varlena;

	if (is_quoted_in_text(cast->resulttype) || settle_is_lquery(cast->resulttype) ||
		type_is_enum(cast->resulttype))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only a constant can be read as %s in an expression",
						format_type_be(cast->resulttype)),
				 parser_errposition(vet->pstate, cast->location)));
	getTypeInputInfo(cast->resulttype, &function, &ioparam);
	vet_function(vet->pstate, function, cast->location);
	getTypeOutputInfo(exprType((Node *) cast->arg), &function, &is_varlena);
	vet_function(vet->pstate, function, cast->location);
}

static bool vet_walker(Node *node, Vet *vet);

/*
 * Vets what stands below a node; quoting says that the node may double a text.
 */
static void
vet_below(Node *node, Vet *vet, bool quoting)
{
	if (quoting && ++vet->quoting > SETTLE_EXPR_MAX_QUOTING)
		settle_refuse_large(vet->pstate, exprLocation(node), "levels of json or quoted text",
							SETTLE_EXPR_MAX_QUOTING);
	(void) expression_tree_walker(node, vet_walker, vet);
	if (quoting)
		vet->quoting--;
}

/*
 * Says whether a node is a column whose own type does not matter, because the
 * node above takes it only for null or for another type of the same bytes.
 */
static bool
is_bare_column(Node *node)
{
	return IsA(node, Var);
}

/*
 * Walks over an analysed tree in post-order.  Never stops early: what is wrong
 * raises an error.
 */
static bool
vet_walker(Node *node, Vet *vet)
{
	const SettleAllowed *allowed;

	if (node == NULL)
		return false;
	check_stack_depth();

	switch (nodeTag(node))
	{
		case T_List:
		case T_CaseWhen:
		case T_NamedArgExpr:
			vet_below(node, vet, false);
			return false;		/* no value of its own */
		case T_Var:
		case T_CaseTestExpr:
			break;
		case T_Const:
			if (!((Const *) node)->constisnull)
				vet_numbers(vet, (Const *) node);
			break;
		case T_BoolExpr:
		case T_ArrayCoerceExpr:
		case T_CaseExpr:
		case T_ArrayExpr:
		case T_CoalesceExpr:
		case T_BooleanTest:
		case T_CollateExpr:
			vet_below(node, vet, false);
			break;
		case T_NullTest:
			if (!is_bare_column((Node *) ((NullTest *) node)->arg))
				vet_below(node, vet, false);
			break;
		case T_RelabelType:
			if (!is_bare_column((Node *) ((RelabelType *) node)->arg))
				vet_below(node, vet, false);
			break;
		case T_FuncExpr:
			{
				FuncExpr   *call = (FuncExpr *) node;

				allowed = vet_call(vet, call);
				vet_below(node, vet, allowed && (allowed->flags & SETTLE_FN_QUOTING));
				if (allowed)
					vet_flags(vet, allowed->flags, call->args, call->inputcollid, call->location);
			}
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			{
				OpExpr	   *op = (OpExpr *) node;

				allowed = vet_operator(vet, op->opno, op->location);
				vet_below(node, vet, false);
				vet_flags(vet, allowed->flags, op->args, op->inputcollid, op->location);
			}
			break;
		case T_ScalarArrayOpExpr:
			{
				ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) node;

				allowed = vet_operator(vet, op->opno, op->location);
				if (allowed->flags & (SETTLE_FN_REGEX | SETTLE_FN_POWER))
					settle_refuse_syntax(vet->pstate, node, "a choice of patterns",
										 "Write the alternatives into one pattern, as in 'a|b'.");
				vet_below(node, vet, false);
				vet_flags(vet, allowed->flags, op->args, op->inputcollid, op->location);
			}
			break;
		case T_RowCompareExpr:
			{
				ListCell   *lc;

				foreach(lc, ((RowCompareExpr *) node)->opnos)
					(void) vet_operator(vet, lfirst_oid(lc), exprLocation(node));
				vet_below(node, vet, false);
			}
			break;
		case T_MinMaxExpr:
			{
				MinMaxExpr *minmax = (MinMaxExpr *) node;
				TypeCacheEntry *type = lookup_type_cache(minmax->minmaxtype, TYPECACHE_CMP_PROC);

				if (OidIsValid(type->cmp_proc))
					vet_function(vet->pstate, type->cmp_proc, minmax->location);
				vet_below(node, vet, false);
			}
			break;
		case T_CoerceViaIO:
			{
				CoerceViaIO *cast = (CoerceViaIO *) node;

				vet_below(node, vet, is_quoted_in_text(exprType((Node *) cast->arg)));
				vet_cast_by_text(vet, cast);
			}
			break;
		case T_SubscriptingRef:
			if (!settle_type_allowed(((SubscriptingRef *) node)->refcontainertype))
				settle_refuse_syntax(vet->pstate, node, "this subscript", NULL);
			vet_below(node, vet, false);
			break;
		case T_RowExpr:
			settle_refuse_syntax(vet->pstate, node, "a row value", "Compare its columns one by one.");
			break;
		case T_CoerceToDomain:
			settle_refuse_syntax(vet->pstate, node, "a cast to a domain",
								 "Cast to the type under the domain.");
			break;
		default:
			settle_refuse_syntax(vet->pstate, node, "this syntax", NULL);
			break;
	}
	vet_type(vet, node);
	return false;
}

/*
 * Vets an analysed tree.
 */
void
settle_vet_analysed(ParseState *pstate, Node *node)
{
	Vet			vet = {.pstate = pstate};

	(void) vet_walker(node, &vet);
}

/*
 * Raises an error for a function of a planned tree that may not stand there.
 */
static bool
vet_planned_function(Oid function, void *context)
{
	vet_function(NULL, function, -1);
	return false;
}

/*
 * Walks over a planned tree.  Never stops early: what is wrong raises an error.
 */
static bool
vet_planned_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_CaseWhen:
		case T_Var:
		case T_Const:
		case T_CaseTestExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_ArrayCoerceExpr:
		case T_CaseExpr:
		case T_ArrayExpr:
		case T_CoalesceExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_CollateExpr:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_RowCompareExpr:
		case T_MinMaxExpr:
		case T_CoerceViaIO:
		case T_SubscriptingRef:
			break;
		default:
			settle_refuse_syntax(NULL, node, "this syntax", NULL);
			break;
	}
	(void) check_functions_in_node(node, vet_planned_function, NULL);
	return expression_tree_walker(node, vet_planned_walker, context);
}

/*
 * Vets a planned tree: functions that came in when SQL functions were inlined
 * have not been seen before.
 */
void
settle_vet_planned(Node *node)
{
	(void) vet_planned_walker(node, NULL);
}
