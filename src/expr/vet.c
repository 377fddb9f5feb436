/*
 * vet.c
 *		What the gateway refuses, and in which words.
 *
 * A text is looked at three times.  The raw tree, before any name is resolved:
 * the kinds of syntax, names of functions, named types, and how large the tree
 * becomes when PostgreSQL copies operands of BETWEEN and IN.  The analysed tree:
 * an allow-list of nodes, and every function, operator, cast and type by OID.
 * The planned tree, after SQL functions are inlined: the same nodes, and nothing
 * whose result may change.
 *
 * Nothing that a stranger can define may run before the analysed tree is
 * vetted.  What analysis runs is the input functions of types, on the string
 * constants of the text, and a composite type may hold a domain whose CHECK
 * calls any function.  So the raw walk takes the string constants out of the
 * tree and leaves parameters in their place; expr.c puts each one back at the
 * moment when its type is known, and only if that type is allowed.
 *
 * Arguments are vetted before the node above them (the walk is in post-order),
 * so an argument may be folded to see whether it is a constant.
 */
#include "expr/gate.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "regex/regex.h"
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

/* what the walk over a raw tree knows */
typedef struct RawVet
{
	ParseState *pstate;
	List	   *literals;		/* the string constants taken out, char * */
	int64		size;			/* nodes so far */
	int64		copies;			/* how often the parser will copy what is looked at */
} RawVet;

/* what the walk over an analysed tree knows */
typedef struct Vet
{
	ParseState *pstate;
	int			costly;			/* operations with SETTLE_FN_COSTLY so far */
	int			quoting;		/* how many of SETTLE_FN_QUOTING stand above this node */
} Vet;

/*
 * Where the objects of the text that is being read come from.  The same few
 * come up again and again, and each look into pg_depend costs microseconds.
 */
typedef struct KnownHome
{
	Oid			class_id;
	Oid			object_id;
	SettleHome	home;
} KnownHome;

static KnownHome known_homes[16];
static int	known_home_count = 0;

/*
 * Forgets where objects come from, since the catalogue may have changed.
 */
void
settle_forget_homes(void)
{
	known_home_count = 0;
}

/*
 * Finds the extension that an object belongs to.
 */
static SettleHome
find_home(Oid class_id, Oid object_id)
{
	Oid			extension = getExtensionOfObject(class_id, object_id);
	Oid			ltree;

	if (!OidIsValid(extension))
		return SETTLE_HOME_STRANGE;
	(void) settle_ltree_schema(&ltree);
	if (extension == ltree)
		return SETTLE_HOME_LTREE;
	if (extension == get_extension_oid("scrm_settle", true))
		return SETTLE_HOME_SETTLE;
	return SETTLE_HOME_STRANGE;
}

/*
 * Says where an object comes from.
 */
static SettleHome
home_of(Oid class_id, Oid object_id)
{
	KnownHome	found = {.class_id = class_id, .object_id = object_id};

	if (object_id < FirstUnpinnedObjectId)
		return SETTLE_HOME_CORE;
	for (int i = 0; i < known_home_count; i++)
	{
		if (known_homes[i].class_id == class_id && known_homes[i].object_id == object_id)
			return known_homes[i].home;
	}
	found.home = find_home(class_id, object_id);
	if (known_home_count < lengthof(known_homes))
		known_homes[known_home_count++] = found;
	return found.home;
}

/*
 * Says whether a type is the one of an extension that has this name.
 */
static bool
is_type_of(Oid type, SettleHome home, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		same = false;

	if (HeapTupleIsValid(tuple))
	{
		same = strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), name) == 0 &&
			home_of(TypeRelationId, type) == home;
		ReleaseSysCache(tuple);
	}
	return same;
}

/*
 * Says whether a type is the pattern type of ltree.
 */
static bool
is_lquery(Oid type)
{
	return type >= FirstUnpinnedObjectId && is_type_of(type, SETTLE_HOME_LTREE, "lquery");
}

/*
 * Says whether values of a type may occur in an expression: the built-in types
 * of the list, enums, the types of ltree, settle.tiers, and arrays of these.
 */
bool
settle_type_allowed(Oid type)
{
	Oid			element;

	if (settle_core_type_allowed(type))
		return true;
	element = get_element_type(type);
	if (OidIsValid(element))
		type = element;
	if (type < FirstUnpinnedObjectId)
		return settle_core_type_allowed(type);
	if (type_is_enum(type))
		return true;
	switch (home_of(TypeRelationId, type))
	{
		case SETTLE_HOME_LTREE:
			return true;
		case SETTLE_HOME_SETTLE:
			return is_type_of(type, SETTLE_HOME_SETTLE, "tiers");
		default:
			return false;
	}
}

/*
 * Says whether a column of this type may be named at all.
 *
 * Comparing a column with a constant runs the input function of its type while
 * the text is analysed.  Only a superuser can define base types, but anybody
 * can define a composite type, a range, or an array over a domain whose CHECK
 * calls a function.
 */
bool
settle_column_allowed(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		return settle_type_allowed(type);
	switch (get_typtype(type))
	{
		case TYPTYPE_BASE:
		case TYPTYPE_ENUM:
			return true;
		case TYPTYPE_RANGE:
		case TYPTYPE_MULTIRANGE:
			return type < FirstUnpinnedObjectId;
		default:
			return false;
	}
}

/*
 * Says whether input of this type knows words that mean another time at each
 * reading.
 */
bool
settle_type_takes_date_words(Oid type)
{
	Oid			element = get_element_type(type);

	switch (OidIsValid(element) ? element : type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
			return true;
		default:
			return false;
	}
}

/*
 * Says whether a text holds one of the words now, today, tomorrow, yesterday.
 *
 * Date input takes a run of letters for a word.  Backslashes and double quotes
 * are passed over because the input of arrays and ranges drops them first.
 */
bool
settle_has_date_word(const char *text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	char		word[16];
	int			len = 0;

	for (const char *p = text;; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c == '\\' || c == '"')
			continue;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		{
			if (len < (int) sizeof(word))
				word[len++] = pg_ascii_tolower(c);
			continue;
		}
		for (int i = 0; i < lengthof(words); i++)
		{
			if (len == (int) strlen(words[i]) && memcmp(word, words[i], len) == 0)
				return true;
		}
		len = 0;
		if (c == '\0')
			return false;
	}
}

/*
 * Raises 22007 for a text that is to become a date or time and holds such a
 * word.
 */
void
settle_check_date_text(const char *text)
{
	if (settle_has_date_word(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("\"%s\" would mean another time at each reading", text)));
}

/*
 * Raises an error about syntax that expressions do not have.
 */
static void
refuse_syntax(ParseState *pstate, Node *node, const char *what, const char *hint)
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
static void
refuse_size(ParseState *pstate, int location, const char *what, int limit)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("expression has more than %d %s", limit, what),
			 parser_errposition(pstate, location)));
}

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
		refuse_syntax(vet->pstate, (Node *) call, "a window function",
					  "An expression sees one row.");
	if (call->agg_order || call->agg_filter || call->agg_within_group ||
		call->agg_star || call->agg_distinct)
		refuse_syntax(vet->pstate, (Node *) call, "an aggregate function",
					  "An expression sees one row.");
	if (settle_allowed_function(name))
		return;

	candidates = FuncnameGetCandidates(call->funcname, -1, NIL, false, false, false, true);
	for (FuncCandidateList c = candidates; c; c = c->next)
	{
		switch (get_func_prokind(c->oid))
		{
			case PROKIND_AGGREGATE:
				refuse_syntax(vet->pstate, (Node *) call, psprintf("aggregate function %s", shown),
							  "An expression sees one row.");
				break;
			case PROKIND_WINDOW:
				refuse_syntax(vet->pstate, (Node *) call, psprintf("window function %s", shown),
							  "An expression sees one row.");
				break;
			case PROKIND_PROCEDURE:
				refuse_syntax(vet->pstate, (Node *) call, psprintf("procedure %s", shown), NULL);
				break;
			default:
				if (get_func_retset(c->oid))
					refuse_syntax(vet->pstate, (Node *) call,
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
 * Refuses a type of a cast or of a constant.
 */
void
settle_vet_type(ParseState *pstate, Oid type, int location)
{
	if (settle_type_allowed(type))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("type %s cannot be used in an expression", format_type_be(type)),
			 get_typtype(type) == TYPTYPE_DOMAIN ?
			 errhint("Cast to the type under the domain, %s.", format_type_be(getBaseType(type))) :
			 errdetail("Expressions may use plain types, enums, the types of ltree, and arrays of these."),
			 parser_errposition(pstate, location)));
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
		refuse_size(vet->pstate, exprLocation(node), "terms", SETTLE_EXPR_MAX_NODES);

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
			refuse_syntax(vet->pstate, node, "a sub-select",
						  "Values from other tables come in as facts or through a view.");
			break;
		case T_SQLValueFunction:
			refuse_syntax(vet->pstate, node, "the current time or user",
						  "A result depends on the row alone; take times from a column.");
			break;
		case T_ParamRef:
			refuse_syntax(vet->pstate, node, "a parameter", NULL);
			break;
		case T_XmlExpr:
		case T_XmlSerialize:
			refuse_syntax(vet->pstate, node, "XML", NULL);
			break;
		case T_GroupingFunc:
			refuse_syntax(vet->pstate, node, "GROUPING", NULL);
			break;
		case T_SetToDefault:
			refuse_syntax(vet->pstate, node, "DEFAULT", NULL);
			break;
		default:
			refuse_syntax(vet->pstate, node, "this syntax", NULL);
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
	if (home_of(ProcedureRelationId, function) == SETTLE_HOME_STRANGE)
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
 * Returns the value of an argument where it is a constant, or NULL.  The
 * argument has been vetted, so folding it is safe.
 */
static Const *
constant_argument(List *args, int position)
{
	Node	   *folded;

	if (list_length(args) < position)
		return NULL;
	folded = (Node *) expression_planner(copyObject(list_nth(args, position - 1)));
	while (IsA(folded, RelabelType))
		folded = (Node *) ((RelabelType *) folded)->arg;
	return IsA(folded, Const) ? (Const *) folded : NULL;
}

/*
 * Says whether a type is text of one kind or another.
 */
static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

/*
 * Estimates how many copies of its parts a pattern compiles to: bounds such as
 * {1,50} behind a group multiply with each other and with the largest other
 * one.  An estimate that is too high, for a parenthesis inside brackets say,
 * does no harm.
 */
static int64
pattern_copies(const char *pattern)
{
	int64		groups = 1;
	int64		largest = 1;

	for (const char *p = pattern; *p; p++)
	{
		bool		group = *p == ')';
		int64		bound = 0;

		if (*p == '\\' && p[1])
			p++;
		if (p[1] != '{')
			continue;
		for (const char *q = p + 2; *q && *q != '}'; q++)
		{
			if (*q == ',' && isdigit((unsigned char) q[1]))
				bound = 0;
			else if (isdigit((unsigned char) *q))
				bound = Min(bound * 10 + (*q - '0'), SETTLE_EXPR_MAX_COPIES + 1);
		}
		if (group)
			groups = Min(groups * Max(bound, 1), SETTLE_EXPR_MAX_COPIES + 1);
		else
			largest = Max(largest, bound);
	}
	return groups * largest;
}

/*
 * Refuses a pattern that is no constant or that can take long: matching is
 * linear in the text but for back-references and lookaround.
 */
static void
vet_regex(Vet *vet, List *args, Oid collation, int location)
{
	Const	   *pattern;
	text	   *value;
	regex_t    *compiled;

	if (list_length(args) < 2 || !is_text(exprType(lsecond(args))))
		return;					/* bit-wise NOT, substring by position, lquery */
	pattern = constant_argument(args, 2);
	if (pattern == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a pattern in an expression must be a constant"),
				 parser_errposition(vet->pstate, location)));
	if (pattern->constisnull)
		return;
	value = DatumGetTextPP(pattern->constvalue);
	if (pattern_copies(text_to_cstring(value)) > SETTLE_EXPR_MAX_COPIES)
		refuse_size(vet->pstate, location, "copies of a part of a pattern", SETTLE_EXPR_MAX_COPIES);
	compiled = RE_compile_and_cache(value, REG_ADVANCED,
									OidIsValid(collation) ? collation : DEFAULT_COLLATION_OID);
	if (compiled->re_info & (REG_UBACKREF | REG_ULOOKAROUND))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a pattern with back-references or lookaround cannot be used in an expression"),
				 errdetail("The time that it takes has no useful bound."),
				 parser_errposition(vet->pstate, location)));
}

/*
 * Refuses an lquery that is no constant or that has many wildcards: matching
 * tries them against each other.
 */
static void
vet_lquery(Vet *vet, List *args, int location)
{
	for (int i = 1; i <= list_length(args); i++)
	{
		Oid			type = exprType(list_nth(args, i - 1));
		Oid			element = get_element_type(type);
		Const	   *pattern;
		Oid			output;
		bool		is_varlena;
		int			stars = 0;

		if (!is_lquery(OidIsValid(element) ? element : type))
			continue;
		pattern = constant_argument(args, i);
		if (pattern == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a pattern in an expression must be a constant"),
					 parser_errposition(vet->pstate, location)));
		if (pattern->constisnull)
			continue;
		getTypeOutputInfo(type, &output, &is_varlena);
		for (char *p = OidOutputFunctionCall(output, pattern->constvalue); *p; p++)
			stars += *p == '*';
		if (stars > SETTLE_EXPR_MAX_STARS)
			refuse_size(vet->pstate, location, "wildcards in an lquery", SETTLE_EXPR_MAX_STARS);
	}
}

/*
 * Refuses a numeric power whose exponent is not a small constant: the digits
 * of the result are those of the base times the exponent.
 */
static void
vet_power(Vet *vet, List *args, int location)
{
	Const	   *exponent;

	if (exprType(linitial(args)) != NUMERICOID)
		return;
	exponent = constant_argument(args, 2);
	if (exponent && exponent->constisnull)
		return;
	if (exponent)
	{
		Datum		size = DirectFunctionCall1(numeric_abs, exponent->constvalue);
		Datum		most = NumericGetDatum(int64_to_numeric(SETTLE_EXPR_MAX_EXPONENT));

		/* NaN is greater than any number */
		if (DatumGetBool(DirectFunctionCall2(numeric_le, size, most)))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the exponent of a numeric power must be a constant between -%d and %d",
					SETTLE_EXPR_MAX_EXPONENT, SETTLE_EXPR_MAX_EXPONENT),
			 parser_errposition(vet->pstate, location)));
}

/*
 * Refuses a replace() that may make its text longer: inside each other such
 * calls would multiply.
 */
static void
vet_replace(Vet *vet, List *args, int location)
{
	Const	   *from = constant_argument(args, 2);
	Const	   *to = constant_argument(args, 3);

	if (from && to &&
		(from->constisnull || to->constisnull ||
		 VARSIZE_ANY_EXHDR(DatumGetPointer(to->constvalue)) <=
		 VARSIZE_ANY_EXHDR(DatumGetPointer(from->constvalue))))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("replace() in an expression must replace a constant by a constant that is not longer"),
			 parser_errposition(vet->pstate, location)));
}

/*
 * Does what the flags of a function or operator ask for.
 */
static void
vet_flags(Vet *vet, int flags, List *args, Oid collation, int location)
{
	ListCell   *lc;

	/* what the flags say of an argument, they say of its position */
	foreach(lc, args)
	{
		if ((flags & SETTLE_FN_BY_POSITION) && IsA(lfirst(lc), NamedArgExpr))
			refuse_syntax(vet->pstate, lfirst(lc), "a named argument of this function", NULL);
	}
	if ((flags & SETTLE_FN_COSTLY) && ++vet->costly > SETTLE_EXPR_MAX_COSTLY)
		refuse_size(vet->pstate, location, "concatenations, powers and the like",
					SETTLE_EXPR_MAX_COSTLY);
	if ((flags & SETTLE_FN_FORMAT) && list_length(args) > 1 && constant_argument(args, 2) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a format in an expression must be a constant"),
				 parser_errposition(vet->pstate, location)));
	if (flags & SETTLE_FN_REGEX)
		vet_regex(vet, args, collation, location);
	if (flags & SETTLE_FN_LQUERY)
		vet_lquery(vet, args, location);
	if (flags & SETTLE_FN_POWER)
		vet_power(vet, args, location);
	if (flags & SETTLE_FN_REPLACE)
		vet_replace(vet, args, location);
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
			allowed->home != home_of(ProcedureRelationId, call->funcid))
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
	home = home_of(OperatorRelationId, operator);
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

	if (is_quoted_in_text(cast->resulttype) || is_lquery(cast->resulttype) ||
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
		refuse_size(vet->pstate, exprLocation(node), "levels of json or quoted text",
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
					refuse_syntax(vet->pstate, node, "a choice of patterns",
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
				refuse_syntax(vet->pstate, node, "this subscript", NULL);
			vet_below(node, vet, false);
			break;
		case T_RowExpr:
			refuse_syntax(vet->pstate, node, "a row value", "Compare its columns one by one.");
			break;
		case T_CoerceToDomain:
			refuse_syntax(vet->pstate, node, "a cast to a domain",
						  "Cast to the type under the domain.");
			break;
		default:
			refuse_syntax(vet->pstate, node, "this syntax", NULL);
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
			refuse_syntax(NULL, node, "this syntax", NULL);
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
