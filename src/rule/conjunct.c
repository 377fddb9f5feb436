/*
 * conjunct.c
 *		Reads what the terms of a condition ask of columns.
 *
 * The one thing to know: a term may be read only where what is read decides
 * exactly as the operator would.  Hence the operator must be the equality or
 * ordering of the column type's own default family, and text must be compared
 * under a deterministic collation.
 */
#include "rule/conjunct.h"

#include "access/detoast.h"
#include "catalog/pg_operator.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rule/path.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* ---- values ---- */

SettleValueKind
settle_value_kind(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case BOOLOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return SETTLE_VALUE_INT;
		case TEXTOID:
		case VARCHAROID:
			return SETTLE_VALUE_TEXT;
		case NUMERICOID:
			return SETTLE_VALUE_NUMERIC;
		default:
			if (get_typtype(type) == TYPTYPE_ENUM)
				return SETTLE_VALUE_INT;
			if (type >= FirstNormalObjectId)
			{
				HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
				bool		is_path = false;

				if (HeapTupleIsValid(tuple))
				{
					/* the gateway lets no type but ltree's own reach us from there */
					is_path = strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), "ltree") == 0;
					ReleaseSysCache(tuple);
				}
				if (is_path)
					return SETTLE_VALUE_PATH;
			}
			return SETTLE_VALUE_NONE;
	}
}

/*
 * Spells a path, labels joined by dots.
 */
static void
spell_path(struct varlena *path, SettleValue *value)
{
	SettlePathReader reader;
	const char *label;
	char	   *text;
	Size		label_len;

	if (VARATT_IS_EXTERNAL(path) || VARATT_IS_COMPRESSED(path))
		path = detoast_attr(path);
	/* the text is never longer than the value */
	text = palloc(VARSIZE_ANY(path));
	value->bytes = text;
	value->len = 0;
	settle_path_begin(&reader, path);
	while (settle_path_next(&reader, &label, &label_len))
	{
		if (value->len > 0)
			text[value->len++] = '.';
		memcpy(text + value->len, label, label_len);
		value->len += label_len;
	}
}

bool
settle_read_value(SettleValueKind kind, Oid type, Datum datum, SettleValue *value)
{
	switch (kind)
	{
		case SETTLE_VALUE_INT:
			value->i = settle_read_int(type, datum);
			return true;
		case SETTLE_VALUE_TEXT:
			{
				text	   *t = DatumGetTextPP(datum);

				value->bytes = VARDATA_ANY(t);
				value->len = VARSIZE_ANY_EXHDR(t);
				return true;
			}
		case SETTLE_VALUE_NUMERIC:
			{
				Numeric		n = (Numeric) PG_DETOAST_DATUM_PACKED(datum);

				if (settle_numeric_is_special(n))
					return false;
				value->dec = settle_dec_from_numeric(n);
				return true;
			}
		case SETTLE_VALUE_PATH:
			spell_path((struct varlena *) DatumGetPointer(datum), value);
			return true;
		default:
			return false;
	}
}

/* ---- terms ---- */

/*
 * Returns the Var that a term tests, looking through binary-compatible
 * relabelling, or NULL where it is none that may be read.
 */
static Var *
readable_var(Node *node, const Bitmapset *readable)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (!IsA(node, Var) || !bms_is_member(((Var *) node)->varattno, readable))
		return NULL;
	return (Var *) node;
}

/*
 * Tells what a comparison operator does between two values of a kind:
 * BTLessStrategyNumber ... BTGreaterStrategyNumber, or 0.
 */
static int
comparison_strategy(Oid opno, Oid left, Oid right, SettleValueKind kind, Oid collation)
{
	TypeCacheEntry *cache;

	if (kind == SETTLE_VALUE_TEXT)
	{
		/* only the equality of text under a collation that compares bytes */
		return opno == TextEqualOperator && get_collation_isdeterministic(collation) ? BTEqualStrategyNumber : 0;
	}
	if (kind == SETTLE_VALUE_INT && get_typtype(left) == TYPTYPE_ENUM)
	{
		cache = lookup_type_cache(ANYENUMOID, TYPECACHE_EQ_OPR);
		return left == right && opno == cache->eq_opr ? BTEqualStrategyNumber : 0;
	}
	cache = lookup_type_cache(left, TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(cache->btree_opf))
		return 0;
	if (left != right)
	{
		/* across types only where both are plain integers */
		if ((left != INT2OID && left != INT4OID && left != INT8OID) ||
			(right != INT2OID && right != INT4OID && right != INT8OID))
			return 0;
	}
	return get_op_opfamily_strategy(opno, cache->btree_opf);
}

/*
 * Tells whether an operator is ltree's "is at or below" or its equality.
 */
static bool
is_path_operator(Oid opno, Oid left, Oid right, bool *below)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(opno));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_operator op = (Form_pg_operator) GETSTRUCT(tuple);

		*below = strcmp(NameStr(op->oprname), "<@") == 0;
		result = (*below || strcmp(NameStr(op->oprname), "=") == 0) && op->oprleft == left && op->oprright == right && left == right;
		ReleaseSysCache(tuple);
	}
	return result;
}

/*
 * Begins what is asked of a column; false where its values are not comparable.
 */
static bool
ask(SettleConjunct *conjunct, const Var *var, int nvalues)
{
	conjunct->position = var->varattno;
	conjunct->type = var->vartype;
	conjunct->kind = settle_value_kind(var->vartype);
	conjunct->strategy = BTEqualStrategyNumber;
	conjunct->below = false;
	conjunct->nvalues = 0;
	conjunct->values = palloc0(sizeof(SettleValue) * Max(nvalues, 1));
	return conjunct->kind != SETTLE_VALUE_NONE;
}

/*
 * Looks through binary-compatible relabelling at a constant that is not null.
 */
static Const *
readable_const(Node *node)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return IsA(node, Const) && !((Const *) node)->constisnull ? (Const *) node : NULL;
}

/*
 * Reads "left op constant".
 */
static bool
read_comparison(OpExpr *op, const Bitmapset *readable, SettleConjunct *conjunct)
{
	Node	   *left = linitial(op->args);
	Node	   *right = list_length(op->args) == 2 ? lsecond(op->args) : NULL;
	Oid			opno = op->opno;
	Var		   *var;
	Const	   *constant;

	if (right == NULL)
		return false;
	if (IsA(left, Const))
	{
		Node	   *swap = left;

		opno = get_commutator(opno);
		left = right;
		right = swap;
		if (!OidIsValid(opno))
			return false;
	}
	var = readable_var(left, readable);
	constant = readable_const(right);
	if (var == NULL || constant == NULL || !ask(conjunct, var, 1))
		return false;
	if (conjunct->kind == SETTLE_VALUE_PATH)
	{
		if (!is_path_operator(opno, var->vartype, constant->consttype, &conjunct->below))
			return false;
	}
	else
	{
		if (settle_value_kind(constant->consttype) != conjunct->kind)
			return false;
		conjunct->strategy = comparison_strategy(opno, exprType(left), exprType((Node *) constant), conjunct->kind, op->inputcollid);
		if (conjunct->strategy == 0)
			return false;
	}
	conjunct->nvalues = 1;
	return settle_read_value(conjunct->kind, constant->consttype, constant->constvalue, &conjunct->values[0]);
}

/*
 * Reads "column = ANY (constants)" or "path <@ ANY (constants)".
 */
static bool
read_membership(ScalarArrayOpExpr *op, const Bitmapset *readable, SettleConjunct *conjunct)
{
	Var		   *var = readable_var(linitial(op->args), readable);
	Const	   *constant = readable_const(lsecond(op->args));
	ArrayType  *array;
	Oid			element;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *datums;
	bool	   *nulls;
	int			n;

	if (!op->useOr || var == NULL || constant == NULL)
		return false;
	array = DatumGetArrayTypeP(constant->constvalue);
	element = ARR_ELEMTYPE(array);
	get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element, typlen, typbyval, typalign, &datums, &nulls, &n);
	if (!ask(conjunct, var, n) || settle_value_kind(element) != conjunct->kind)
		return false;
	if (conjunct->kind == SETTLE_VALUE_PATH)
	{
		if (!is_path_operator(op->opno, var->vartype, element, &conjunct->below))
			return false;
	}
	else if (comparison_strategy(op->opno, exprType(linitial(op->args)), element, conjunct->kind, op->inputcollid) != BTEqualStrategyNumber)
		return false;
	for (int i = 0; i < n; i++)
	{
		/* a null among them can make the term null but never true */
		if (!nulls[i] && !settle_read_value(conjunct->kind, element, datums[i], &conjunct->values[conjunct->nvalues++]))
			return false;
	}
	return true;
}

/*
 * Reads a boolean column, plain or negated.
 */
static bool
read_boolean(Node *node, bool wanted, const Bitmapset *readable, SettleConjunct *conjunct)
{
	Var		   *var = readable_var(node, readable);

	if (var == NULL || var->vartype != BOOLOID || !ask(conjunct, var, 1))
		return false;
	conjunct->values[conjunct->nvalues++].i = wanted;
	return true;
}

bool
settle_read_conjunct(Node *term, const Bitmapset *readable, SettleConjunct *conjunct)
{
	switch (nodeTag(term))
	{
		case T_OpExpr:
			return read_comparison((OpExpr *) term, readable, conjunct);
		case T_ScalarArrayOpExpr:
			return read_membership((ScalarArrayOpExpr *) term, readable, conjunct);
		case T_Var:
		case T_RelabelType:
			return read_boolean(term, true, readable, conjunct);
		case T_BoolExpr:
			return ((BoolExpr *) term)->boolop == NOT_EXPR &&
				read_boolean(linitial(((BoolExpr *) term)->args), false, readable, conjunct);
		case T_BooleanTest:
			{
				BooleanTest *test = (BooleanTest *) term;

				if (test->booltesttype != IS_TRUE && test->booltesttype != IS_FALSE)
					return false;
				return read_boolean((Node *) test->arg, test->booltesttype == IS_TRUE, readable, conjunct);
			}
		default:
			return false;
	}
}

List *
settle_and_terms(Node *node)
{
	List	   *terms = NIL;
	ListCell   *lc;

	if (!IsA(node, BoolExpr) || ((BoolExpr *) node)->boolop != AND_EXPR)
		return list_make1(node);
	check_stack_depth();
	foreach(lc, ((BoolExpr *) node)->args)
		terms = list_concat(terms, settle_and_terms(lfirst(lc)));
	return terms;
}
