/*
 * argument.c
 *		What the list of functions asks of the arguments of a call: patterns,
 *		formats and exponents that are constants, and small.
 *
 * Arguments are vetted before the node above them, so an argument may be folded
 * to see whether it is a constant.
 */
#include "expr/gate.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

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
vet_regex(ParseState *pstate, List *args, Oid collation, int location)
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
				 parser_errposition(pstate, location)));
	if (pattern->constisnull)
		return;
	value = DatumGetTextPP(pattern->constvalue);
	if (pattern_copies(text_to_cstring(value)) > SETTLE_EXPR_MAX_COPIES)
		settle_refuse_large(pstate, location, "copies of a part of a pattern", SETTLE_EXPR_MAX_COPIES);
	compiled = RE_compile_and_cache(value, REG_ADVANCED,
									OidIsValid(collation) ? collation : DEFAULT_COLLATION_OID);
	if (compiled->re_info & (REG_UBACKREF | REG_ULOOKAROUND))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a pattern with back-references or lookaround cannot be used in an expression"),
				 errdetail("The time that it takes has no useful bound."),
				 parser_errposition(pstate, location)));
}

/*
 * Refuses an lquery that is no constant or that has many wildcards: matching
 * tries them against each other.
 */
static void
vet_lquery(ParseState *pstate, List *args, int location)
{
	for (int i = 1; i <= list_length(args); i++)
	{
		Oid			type = exprType(list_nth(args, i - 1));
		Oid			element = get_element_type(type);
		Const	   *pattern;
		Oid			output;
		bool		is_varlena;
		int			stars = 0;

		if (!settle_is_lquery(OidIsValid(element) ? element : type))
			continue;
		pattern = constant_argument(args, i);
		if (pattern == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a pattern in an expression must be a constant"),
					 parser_errposition(pstate, location)));
		if (pattern->constisnull)
			continue;
		getTypeOutputInfo(type, &output, &is_varlena);
		for (char *p = OidOutputFunctionCall(output, pattern->constvalue); *p; p++)
			stars += *p == '*';
		if (stars > SETTLE_EXPR_MAX_STARS)
			settle_refuse_large(pstate, location, "wildcards in an lquery", SETTLE_EXPR_MAX_STARS);
	}
}

/*
 * Refuses a numeric power whose exponent is not a small constant: the digits
 * of the result are those of the base times the exponent.
 */
static void
vet_power(ParseState *pstate, List *args, int location)
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
			 parser_errposition(pstate, location)));
}

/*
 * Refuses a replace() that may make its text longer: inside each other such
 * calls would multiply.
 */
static void
vet_replace(ParseState *pstate, List *args, int location)
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
			 parser_errposition(pstate, location)));
}

/*
 * Does what the flags of a function or operator ask for.
 */
void
settle_vet_arguments(ParseState *pstate, int flags, List *args, Oid collation, int location)
{
	ListCell   *lc;

	/* what the flags say of an argument, they say of its position */
	foreach(lc, args)
	{
		if ((flags & SETTLE_FN_BY_POSITION) && IsA(lfirst(lc), NamedArgExpr))
			settle_refuse_syntax(pstate, lfirst(lc), "a named argument of this function", NULL);
	}
	if ((flags & SETTLE_FN_FORMAT) && list_length(args) > 1 && constant_argument(args, 2) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a format in an expression must be a constant"),
				 parser_errposition(pstate, location)));
	if (flags & SETTLE_FN_REGEX)
		vet_regex(pstate, args, collation, location);
	if (flags & SETTLE_FN_LQUERY)
		vet_lquery(pstate, args, location);
	if (flags & SETTLE_FN_POWER)
		vet_power(pstate, args, location);
	if (flags & SETTLE_FN_REPLACE)
		vet_replace(pstate, args, location);
}
