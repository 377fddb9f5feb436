/*
 * raw.c
 *		The first look at a text: the raw tree, before any name is resolved.
 *
 * It refuses kinds of syntax, names of functions and named types, and counts how
 * large the tree becomes when PostgreSQL copies operands of BETWEEN and IN.
 *
 * Nothing that a stranger can define may run before the analysed tree is
 * vetted.  What analysis runs is the input functions of types, on the string
 * constants of the text, and a composite type may hold a domain whose CHECK
 * calls any function.  So this walk takes the string constants out of the tree
 * and leaves parameters in their place; expr.c puts each one back at the moment
 * when its type is known, and only if that type is allowed.
 */
#include "expr/gate.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* what the walk over a raw tree knows */
typedef struct RawVet
{
	ParseState *pstate;
	List	   *literals;		/* the string constants taken out, char * */
	int64		size;			/* nodes so far */
	int64		copies;			/* how often the parser will copy what is looked at */
} RawVet;

/*
 * Returns the nearest name in the list of functions, or NULL.
 */
static const char *
nearest_function(const char *name)
{
	int			n;
	const SettleAllowed *allowed = settle_allowed_functions(&n);
	const char **names = palloc(n * sizeof(char *));

	for (int i = 0; i < n; i++)
		names[i] = allowed[i].name;
	return settle_nearest_name(name, names, n);
}

/*
 * Refuses a call of a function that is not in the list, by what its name
 * stands for.
 */
static void
vet_raw_call(RawVet *vet, FuncCall *call)
{
	const char *name = strVal(llast(call->funcname));
	const char *shown = NameListToString(call->funcname);
	const char *nearest;
	FuncCandidateList candidates;

	if (call->over)
		settle_refuse_syntax(vet->pstate, (Node *) call, "a window function",
							 "An expression sees one row.");
	if (call->agg_order || call->agg_filter || call->agg_within_group ||
		call->agg_star || call->agg_distinct)
		settle_refuse_syntax(vet->pstate, (Node *) call, "an aggregate function",
							 "An expression sees one row.");
	if (settle_allowed_function(name))
		return;

	candidates = FuncnameGetCandidates(call->funcname, -1, NIL, false, false, false, true);
	for (FuncCandidateList c = candidates; c; c = c->next)
	{
		switch (get_func_prokind(c->oid))
		{
			case PROKIND_AGGREGATE:
				settle_refuse_syntax(vet->pstate, (Node *) call, psprintf("aggregate function %s", shown),
									 "An expression sees one row.");
				break;
			case PROKIND_WINDOW:
				settle_refuse_syntax(vet->pstate, (Node *) call, psprintf("window function %s", shown),
									 "An expression sees one row.");
				break;
			case PROKIND_PROCEDURE:
				settle_refuse_syntax(vet->pstate, (Node *) call, psprintf("procedure %s", shown), NULL);
				break;
			default:
				if (get_func_retset(c->oid))
					settle_refuse_syntax(vet->pstate, (Node *) call,
										 psprintf("set-returning function %s", shown),
										 "An expression gives one value.");
				break;
		}
	}

	if (candidates != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function %s cannot be used in an expression", shown),
				 errdetail("Expressions may use functions whose result depends on the row alone and whose cost is bounded."),
				 errhint("settle.expression_functions() lists them."),
				 parser_errposition(vet->pstate, call->location)));
	nearest = nearest_function(name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("function %s does not exist", shown),
			 nearest ? errhint("Perhaps you meant the function \"%s\".", nearest) : 0,
			 parser_errposition(vet->pstate, call->location)));
}

/*
 * Refuses a type that a text names, before any input function of it runs.
 */
static void
vet_raw_type(RawVet *vet, TypeName *name)
{
	Oid			type = LookupTypeNameOid(vet->pstate, name, true);
	int32		typmod;

	if (!OidIsValid(type))
		return;					/* the parser says so in its own words */
	settle_vet_type(vet->pstate, type, name->location);
	if (type == BPCHAROID)
	{
		typenameTypeIdAndMod(vet->pstate, name, &type, &typmod);
		if (typmod - (int32) VARHDRSZ > SETTLE_EXPR_MAX_CHAR)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("character(%d) cannot be used in an expression", typmod - (int32) VARHDRSZ),
					 errdetail("A value is padded to its length, which may be at most %d.",
							   SETTLE_EXPR_MAX_CHAR),
					 parser_errposition(vet->pstate, name->location)));
	}
}

/*
 * Takes a string constant out of the tree.  Its node becomes a parameter with
 * a negative number, -1 for the first of the list, which no text can write.
 */
static void
take_literal(RawVet *vet, A_Const *constant)
{
	ParamRef   *param = (ParamRef *) constant;
	int			location = constant->location;

	StaticAssertStmt(sizeof(ParamRef) <= sizeof(A_Const), "a parameter fits where a constant stood");
	vet->literals = lappend(vet->literals, strVal(&constant->val));
	MemSet(param, 0, sizeof(ParamRef));
	NodeSetTag(param, T_ParamRef);
	param->number = -list_length(vet->literals);
	param->location = location;
}

static bool vet_raw_walker(Node *node, RawVet *vet);

/*
 * Vets an operand that the parser will copy.
 */
static void
vet_raw_copied(Node *node, RawVet *vet, int64 copies)
{
	int64		outside = vet->copies;

	/* the size is checked at each node, so the product cannot overflow */
	vet->copies = outside * copies;
	(void) vet_raw_walker(node, vet);
	vet->copies = outside;
}

/*
 * Vets an operator, with the copies that its parse analysis makes.
 */
static void
vet_raw_operator(A_Expr *expr, RawVet *vet)
{
	switch (expr->kind)
	{
		case AEXPR_BETWEEN:
		case AEXPR_NOT_BETWEEN:
			/* a BETWEEN b AND c is read as a >= b AND a <= c */
			vet_raw_copied(expr->lexpr, vet, 2);
			vet_raw_copied(expr->rexpr, vet, 1);
			break;
		case AEXPR_BETWEEN_SYM:
		case AEXPR_NOT_BETWEEN_SYM:
			vet_raw_copied(expr->lexpr, vet, 4);
			vet_raw_copied(expr->rexpr, vet, 2);
			break;
		case AEXPR_IN:
			{
				/* each element that is no constant is compared on its own */
				List	   *elements = castNode(List, expr->rexpr);
				int64		copies = 1;
				ListCell   *lc;

				foreach(lc, elements)
				{
					if (!IsA(lfirst(lc), A_Const))
						copies++;
				}
				vet_raw_copied(expr->lexpr, vet, copies);
				vet_raw_copied(expr->rexpr, vet, 1);
			}
			break;
		default:
			vet_raw_copied(expr->lexpr, vet, 1);
			vet_raw_copied(expr->rexpr, vet, 1);
			break;
	}
}

/*
 * Walks over a raw tree.  Never stops early: what is wrong raises an error.
 */
static bool
vet_raw_walker(Node *node, RawVet *vet)
{
	if (node == NULL)
		return false;
	check_stack_depth();
	vet->size += vet->copies;
	if (vet->size > SETTLE_EXPR_MAX_NODES)
		settle_refuse_large(vet->pstate, exprLocation(node), "terms", SETTLE_EXPR_MAX_NODES);

	switch (nodeTag(node))
	{
		case T_A_Expr:
			vet_raw_operator((A_Expr *) node, vet);
			return false;
		case T_A_Const:
			{
				A_Const    *constant = (A_Const *) node;

				if (!constant->isnull && IsA(&constant->val, String))
					take_literal(vet, constant);
				return false;
			}
		case T_FuncCall:
			vet_raw_call(vet, (FuncCall *) node);
			break;
		case T_TypeName:
			vet_raw_type(vet, (TypeName *) node);
			return false;		/* below it stand only its modifiers */
		case T_List:
		case T_ColumnRef:
		case T_TypeCast:
		case T_BoolExpr:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_A_ArrayExpr:
		case T_A_Indices:
		case T_A_Indirection:
		case T_CollateClause:
		case T_RowExpr:
		case T_NamedArgExpr:
		case T_String:
		case T_Integer:
			break;
		case T_SubLink:
			settle_refuse_syntax(vet->pstate, node, "a sub-select",
								 "Values from other tables come in as facts or through a view.");
			break;
		case T_SQLValueFunction:
			settle_refuse_syntax(vet->pstate, node, "the current time or user",
								 "A result depends on the row alone; take times from a column.");
			break;
		case T_ParamRef:
			settle_refuse_syntax(vet->pstate, node, "a parameter", NULL);
			break;
		case T_XmlExpr:
		case T_XmlSerialize:
			settle_refuse_syntax(vet->pstate, node, "XML", NULL);
			break;
		case T_GroupingFunc:
			settle_refuse_syntax(vet->pstate, node, "GROUPING", NULL);
			break;
		case T_SetToDefault:
			settle_refuse_syntax(vet->pstate, node, "DEFAULT", NULL);
			break;
		default:
			settle_refuse_syntax(vet->pstate, node, "this syntax", NULL);
			break;
	}
	return raw_expression_tree_walker(node, vet_raw_walker, vet);
}

/*
 * Vets a raw tree, takes the string constants out of it and returns them.
 */
List *
settle_vet_raw(ParseState *pstate, Node *raw)
{
	RawVet		vet = {.pstate = pstate, .copies = 1};

	(void) vet_raw_walker(raw, &vet);
	return vet.literals;
}
