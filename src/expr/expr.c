/*
 * expr.c
 *		The gateway: reads a text and returns an expression that PostgreSQL
 *		evaluates.
 *
 * A text is put into "SELECT COALESCE(<text>\n)" and parsed.  Only a text that
 * is one expression by itself leaves a select list with one COALESCE of one
 * argument and nothing else: an alias, a clause, a second expression, a second
 * statement or an unbalanced parenthesis shows in the tree or does not parse.
 * (Behind a plain SELECT, "amount > 10 urgent" would be an alias.)
 *
 * What is stored of an expression is its canonical text, never a node tree.  It
 * is written from the analysed tree and read again here; both must plan to the
 * same tree.  Everything temporary is built in a context of its own; the result
 * is copied to the caller's.
 */
#include "expr/gate.h"

#include "catalog/heap.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/varlena.h"

#define WRAP_BEFORE		"SELECT COALESCE("
#define WRAP_AFTER		"\n)"
#define WRAP_BYTES		((int) sizeof(WRAP_BEFORE) - 1)

/* a canonical text that is not settled after so many rounds is refused */
#define CANONICAL_ROUNDS	3

/*
 * In a deparsed text a name of the scope first stands as a number of this many
 * digits.  No object has so long a name, so it is mistaken for nothing else.
 */
#define MARK_DIGITS		NAMEDATALEN

/* The text that is being read, for messages and for resolving names. */
typedef struct Reader
{
	const SettleScope *scope;
	const char *what;
	const char *text;			/* the whole text, as the user knows it */
	int			offset;			/* characters of it before the piece that is parsed */
	int			piece;			/* characters of that piece */
	const char *source;			/* the piece in its wrapping */
	List	   *literals;		/* its string constants, which stand in the tree as parameters */
} Reader;

/* What one text became: the tree that is printed and the tree that is used. */
typedef struct Reading
{
	char	   *canonical;
	Expr	   *planned;
} Reading;

/*
 * Moves the position of an error from the wrapped text to the user's text, and
 * says which text it was.
 */
static void
place_error(void *arg)
{
	Reader	   *reader = (Reader *) arg;
	int			position = geterrposition();

	if (position > 0 && reader->source)
	{
		position = Min(Max(position - WRAP_BYTES, 1), reader->piece + 1) + reader->offset;
		errposition(0);
		internalerrposition(position);
		internalerrquery(reader->text);
		errcontext("%s, at character %d", reader->what, position);
	}
	else
		errcontext("%s", reader->what);
}

/*
 * Returns a name of the scope as it is written in a text.
 */
static char *
written_name(const SettleName *name)
{
	if (name->qualifier == NULL)
		return pstrdup(quote_identifier(name->name));
	return psprintf("%s.%s", quote_identifier(name->qualifier), quote_identifier(name->name));
}

/*
 * Returns the nearest of some names by edit distance, or NULL where none is
 * near: one change in three letters, three at most.
 */
const char *
settle_nearest_name(const char *name, const char *const *candidates, int ncandidates)
{
	const char *nearest = NULL;
	int			length = strlen(name);
	int			best = Min(Max(1, Min(3, length / 3)) + 1, length);

	if (length > 2 * NAMEDATALEN)
		return NULL;
	for (int i = 0; i < ncandidates; i++)
	{
		int			distance;

		if (candidates[i] == NULL || strlen(candidates[i]) > 2 * NAMEDATALEN)
			continue;
		distance = varstr_levenshtein_less_equal(name, length, candidates[i], strlen(candidates[i]),
												 1, 1, 1, best, true);
		if (distance < best)
		{
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}

/*
 * Says whether a name holds quotes, parentheses, operators or commas of a
 * Chinese keyboard, which PostgreSQL takes for letters.
 */
static bool
has_wide_punctuation(const char *name)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		return false;
	for (const unsigned char *p = (const unsigned char *) name; *p; p++)
	{
		/* U+2018 to U+201F, U+3000 to U+303F, U+FF01 to U+FF20 */
		if ((p[0] == 0xE2 && p[1] == 0x80 && p[2] >= 0x98 && p[2] <= 0x9F) ||
			(p[0] == 0xE3 && p[1] == 0x80) ||
			(p[0] == 0xEF && p[1] == 0xBC && p[2] >= 0x81 && p[2] <= 0xA0))
			return true;
	}
	return false;
}

/*
 * Raises 42703 for a name that the scope does not have, with the best hint
 * that can be given.
 */
static void
unknown_name(ParseState *pstate, Reader *reader, ColumnRef *ref,
			 const char *qualifier, const char *name)
{
	const SettleScope *scope = reader->scope;
	const char **names = palloc0(Max(scope->nnames, 1) * sizeof(char *));
	const char *given = qualifier ? psprintf("%s.%s", qualifier, name) : name;
	const char *nearest = NULL;
	const char *hint = NULL;
	bool		quoted = ref->location >= 0 && reader->source[ref->location] == '"';

	for (int i = 0; i < scope->nnames; i++)
	{
		const SettleName *known = &scope->names[i];

		if (known->name == NULL)
			continue;
		if (!qualifier && known->qualifier && strcmp(known->qualifier, name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the whole row \"%s\" cannot be used in an expression", name),
					 errhint("Name one of its columns, as in %s.", written_name(known)),
					 parser_errposition(pstate, ref->location)));
		names[i] = known->qualifier ? psprintf("%s.%s", known->qualifier, known->name) : known->name;
		/* the right name behind another qualifier, or behind none */
		if (nearest == NULL && strcmp(known->name, name) == 0)
			nearest = names[i];
	}
	if (nearest == NULL)
		nearest = settle_nearest_name(given, names, scope->nnames);

	if (!qualifier && SystemAttributeByName(name))
		hint = "A column that PostgreSQL itself keeps is not part of the row.";
	else if (has_wide_punctuation(name))
		hint = "Quotes, parentheses, commas and operators are those of a Latin keyboard.";
	else if (quoted && !qualifier)
		hint = psprintf("A text constant takes single quotes: %s.", quote_literal_cstr(name));
	if (nearest)
		hint = psprintf("Perhaps you meant \"%s\".%s%s", nearest, hint ? " " : "", hint ? hint : "");

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("name \"%s\" is not known here", given),
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(pstate, ref->location)));
}

/*
 * Resolves a name of the text against the scope.  No relation is involved, so
 * there are no whole rows and no system columns.
 *
 * A column of a domain is returned as its base type, or PostgreSQL would cast
 * the constants beside it to the domain and run the domain's checks.
 */
static Node *
resolve_name(ParseState *pstate, ColumnRef *ref)
{
	Reader	   *reader = (Reader *) pstate->p_ref_hook_state;
	const SettleScope *scope = reader->scope;
	const char *qualifier = NULL;
	const char *name;

	if (IsA(llast(ref->fields), A_Star))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a whole row cannot be used in an expression"),
				 errhint("Name its columns."),
				 parser_errposition(pstate, ref->location)));
	if (list_length(ref->fields) > 2)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("name \"%s\" has too many parts", NameListToString(ref->fields)),
				 parser_errposition(pstate, ref->location)));
	if (list_length(ref->fields) == 2)
		qualifier = strVal(linitial(ref->fields));
	name = strVal(llast(ref->fields));

	for (int i = 0; i < scope->nnames; i++)
	{
		const SettleName *known = &scope->names[i];
		Var		   *var;
		Oid			base;
		int32		typmod;

		if (known->name == NULL || strcmp(known->name, name) != 0 ||
			(qualifier == NULL) != (known->qualifier == NULL) ||
			(qualifier && strcmp(known->qualifier, qualifier) != 0))
			continue;

		typmod = known->typmod;
		base = getBaseTypeAndTypmod(known->type, &typmod);
		if (!settle_column_allowed(base))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a column of type %s cannot be used in an expression",
							format_type_be(known->type)),
					 errhint("Show it as another type in a view."),
					 parser_errposition(pstate, ref->location)));
		var = makeVar(1, i + 1, known->type, known->typmod, known->collation, 0);
		var->location = ref->location;
		if (base == known->type)
			return (Node *) var;
		return (Node *) makeRelabelType((Expr *) var, base, typmod, known->collation,
										COERCE_IMPLICIT_CAST);
	}
	unknown_name(pstate, reader, ref, qualifier, name);
	return NULL;
}

/*
 * Makes the parameter that stands for a string constant, of type unknown.
 */
static Node *
resolve_literal(ParseState *pstate, ParamRef *ref)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = UNKNOWNOID;
	param->paramtypmod = -1;
	param->location = ref->location;
	return (Node *) param;
}

/*
 * Puts a string constant back into the tree as a value of the type that it has
 * turned out to have.
 */
static Node *
coerce_literal(ParseState *pstate, Param *param, Oid type, int32 typmod, int location)
{
	Reader	   *reader = (Reader *) pstate->p_ref_hook_state;
	char	   *value = list_nth(reader->literals, -param->paramid - 1);
	Const	   *constant;

	if (param->paramtype != UNKNOWNOID)
		return NULL;
	settle_vet_type(pstate, type, param->location);
	if (settle_type_takes_date_words(type) && settle_has_date_word(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the constant '%s' would mean another time at each reading", value),
				 errhint("Write the date, or take it from a column."),
				 parser_errposition(pstate, param->location)));

	constant = makeConst(UNKNOWNOID, -1, InvalidOid, -2, CStringGetDatum(value), false, false);
	constant->location = param->location;
	return coerce_type(pstate, (Node *) constant, UNKNOWNOID, type, typmod,
					   COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, location);
}

/*
 * Makes text of the constants that have been given no type, as the arguments of
 * jsonb_build_object are not.
 */
static Node *
settle_literals(Node *node, ParseState *pstate)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) ||
		(IsA(node, Const) && ((Const *) node)->consttype == UNKNOWNOID))
		return coerce_type(pstate, node, UNKNOWNOID, TEXTOID, -1, COERCION_IMPLICIT,
						   COERCE_IMPLICIT_CAST, -1);
	return expression_tree_mutator(node, settle_literals, pstate);
}

/*
 * Puts an expression in the place of the CaseTestExpr of another.
 */
static Node *
replace_case_test(Node *node, Node *value)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return copyObject(value);
	return expression_tree_mutator(node, replace_case_test, value);
}

/*
 * Casts the elements of an array constructor, at whatever depth.
 */
static Node *
cast_elements(ArrayExpr *array, ArrayCoerceExpr *cast)
{
	ArrayExpr  *result = copyObject(array);
	ListCell   *lc;

	result->array_typeid = cast->resulttype;
	result->element_typeid = get_element_type(cast->resulttype);
	foreach(lc, result->elements)
		lfirst(lc) = array->multidims ?
			cast_elements(lfirst_node(ArrayExpr, lc), cast) :
			replace_case_test((Node *) cast->elemexpr, lfirst(lc));
	return (Node *) result;
}

/*
 * Turns a cast of ARRAY[...] into casts of its elements, because that
 * is how PostgreSQL reads ARRAY[...]::type[], the text that it writes for it.
 */
static Node *
spread_array_casts(Node *node, void *context)
{
	if (node)
		node = expression_tree_mutator(node, spread_array_casts, context);
	if (node && IsA(node, ArrayCoerceExpr) && IsA(((ArrayCoerceExpr *) node)->arg, ArrayExpr))
	{
		ArrayCoerceExpr *cast = (ArrayCoerceExpr *) node;

		return cast_elements((ArrayExpr *) cast->arg, cast);
	}
	return node;
}

/*
 * Raises the error of the parser in terms of the text without its wrapping.
 */
static void
rethrow_syntax_error(Reader *reader, MemoryContext context)
{
	ErrorData  *error;
	const char *exhausted = _("memory exhausted");
	char	   *tail;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode != ERRCODE_SYNTAX_ERROR)
		PG_RE_THROW();
	FlushErrorState();

	if (strncmp(error->message, exhausted, strlen(exhausted)) == 0)
	{
		error->sqlerrcode = ERRCODE_STATEMENT_TOO_COMPLEX;
		error->message = "expression is nested too deeply";
	}
	else if (error->internalpos > reader->offset + reader->piece)
	{
		const char *text = reader->source + WRAP_BYTES;

		if (text[strspn(text, " \t\r\n")] == ')')
			error->message = "expression is empty";
		else
			error->message = "syntax error at end of expression";
	}
	else if ((tail = strstr(error->message, WRAP_AFTER "\"")) != NULL &&
			 tail[strlen(WRAP_AFTER "\"")] == '\0')
		strcpy(tail, "\"");		/* an unterminated quote or comment took the wrapping in */
	ReThrowError(error);		/* the context has been added already */
}

/*
 * Parses a wrapped text.
 */
static List *
parse_wrapped(Reader *reader)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *statements = NIL;

	PG_TRY();
	{
		statements = raw_parser(reader->source, RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		rethrow_syntax_error(reader, context);
	}
	PG_END_TRY();
	return statements;
}

/*
 * Parses a piece of text and returns the raw tree of the one expression in it.
 */
static Node *
parse_piece(Reader *reader)
{
	List	   *statements = parse_wrapped(reader);
	SelectStmt *select;
	SelectStmt *plain;
	ResTarget  *target;
	CoalesceExpr *wrapping;
	int			location = -1;

	if (list_length(statements) != 1)
		goto not_one_expression;
	select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	if (!IsA(select, SelectStmt) || list_length(select->targetList) == 0)
		goto not_one_expression;
	target = linitial_node(ResTarget, select->targetList);
	if (!IsA(target->val, CoalesceExpr))
		goto not_one_expression;
	wrapping = (CoalesceExpr *) target->val;
	if (list_length(wrapping->args) != 1)
	{
		location = exprLocation(lsecond(wrapping->args));
		goto not_one_expression;
	}

	plain = makeNode(SelectStmt);
	plain->limitOption = select->limitOption;	/* says nothing where there is no limit */
	target = makeNode(ResTarget);
	target->val = (Node *) wrapping;
	plain->targetList = list_make1(target);
	if (!equal(select, plain))
		goto not_one_expression;
	return linitial(wrapping->args);

not_one_expression:
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("the text is not one expression"),
			 location < 0 ? 0 :
			 errposition(pg_mbstrlen_with_len(reader->source, location) + 1)));
}

/*
 * Brings an analysed tree into the form that its canonical text is read as.
 */
static Node *
settle_form(Node *node, ParseState *pstate)
{
	return spread_array_casts(settle_literals(node, pstate), NULL);
}

/*
 * Analyses a piece of text: names resolved, coerced to a type, vetted.
 *
 * offset is the place of the piece in the whole text, in bytes.  In *own is
 * returned the tree before it was coerced by the cast that only a template
 * makes.
 */
static Node *
analyse_piece(Reader *reader, const char *piece, int offset, Oid wanted,
			  CoercionContext context, Node **own)
{
	ParseState *pstate = make_parsestate(NULL);
	Node	   *node;
	Oid			type;

	reader->source = psprintf(WRAP_BEFORE "%s" WRAP_AFTER, piece);
	reader->offset = pg_mbstrlen_with_len(reader->text, offset);
	reader->piece = pg_mbstrlen(piece);

	pstate->p_sourcetext = reader->source;
	pstate->p_pre_columnref_hook = resolve_name;
	pstate->p_paramref_hook = resolve_literal;
	pstate->p_coerce_param_hook = coerce_literal;
	pstate->p_ref_hook_state = reader;

	node = parse_piece(reader);
	reader->literals = settle_vet_raw(pstate, node);
	node = transformExpr(pstate, node, EXPR_KIND_CHECK_CONSTRAINT);

	type = exprType(node);
	if (type == UNKNOWNOID && (own || !OidIsValid(wanted)))
	{
		node = coerce_type(pstate, node, type, TEXTOID, -1, COERCION_IMPLICIT,
						   COERCE_IMPLICIT_CAST, -1);
		type = TEXTOID;
	}
	/* a constant alone becomes what is wanted, not text */
	if (type != UNKNOWNOID)
		node = settle_form(node, pstate);
	if (own)
		*own = node;
	if (OidIsValid(wanted) && type != wanted)
	{
		Node	   *coerced = coerce_to_target_type(pstate, node, type, wanted, -1,
													context, COERCE_IMPLICIT_CAST, -1);

		if (coerced == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("expression must be of type %s, not %s",
							format_type_be(wanted), format_type_be(type)),
					 parser_errposition(pstate, exprLocation(node))));
		node = coerced;
	}
	node = settle_form(node, pstate);
	assign_expr_collations(pstate, node);
	settle_vet_analysed(pstate, node);

	free_parsestate(pstate);
	reader->source = NULL;
	return node;
}

/*
 * Plans an analysed tree: constants are folded and SQL functions inlined.  A
 * constant part that fails, such as 1/0, fails here.
 */
static Expr *
plan(Node *node)
{
	Expr	   *planned = expression_planner((Expr *) copyObject(node));

	settle_vet_planned((Node *) planned);
	return planned;
}

/*
 * Collects the positions in the scope that a tree reads.
 */
static bool
collect_uses(Node *node, Bitmapset **uses)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		*uses = bms_add_member(*uses, ((Var *) node)->varattno);
		return false;
	}
	return expression_tree_walker(node, collect_uses, uses);
}

/*
 * Puts the names of the scope where a deparsed text has their marks.
 */
static void
append_with_names(StringInfo out, const char *text, const SettleScope *scope)
{
	const char *p = text;

	while (*p)
	{
		const char *start = p;
		char		quote = *p++;

		if (quote == '"' && strspn(p, "0123456789") == MARK_DIGITS && p[MARK_DIGITS] == '"')
		{
			appendStringInfoString(out, written_name(&scope->names[atoi(p + MARK_DIGITS - 9) - 1]));
			p += MARK_DIGITS + 1;
			continue;
		}
		/* pass over a constant or an identifier; a doubled quote starts it again */
		if (quote == '\'' || quote == '"')
		{
			while (*p && *p != quote)
				p++;
			if (*p)
				p++;
		}
		appendBinaryStringInfo(out, start, p - start);
	}
}

/*
 * Says whether a node is the value that CASE compares, under whatever casts.
 */
static bool
is_case_test(Node *node)
{
	for (;;)
	{
		if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) > 0)
			node = linitial(((FuncExpr *) node)->args);
		else if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (IsA(node, CoerceViaIO))
			node = (Node *) ((CoerceViaIO *) node)->arg;
		else if (IsA(node, ArrayCoerceExpr))
			node = (Node *) ((ArrayCoerceExpr *) node)->arg;
		else
			return IsA(node, CaseTestExpr);
	}
}

/*
 * Makes every cast of a tree an explicit one, in place, so that it is printed;
 * PostgreSQL leaves an implicit cast out where another one stands above it.
 * The value that CASE compares is not printed and must stay as it is.
 */
static bool
show_casts(Node *node, void *context)
{
	CoercionForm *form = NULL;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr))
		form = &((FuncExpr *) node)->funcformat;
	else if (IsA(node, RelabelType))
		form = &((RelabelType *) node)->relabelformat;
	else if (IsA(node, CoerceViaIO))
		form = &((CoerceViaIO *) node)->coerceformat;
	else if (IsA(node, ArrayCoerceExpr))
		form = &((ArrayCoerceExpr *) node)->coerceformat;
	if (form && *form == COERCE_IMPLICIT_CAST && !is_case_test(node))
		*form = COERCE_EXPLICIT_CAST;
	return expression_tree_walker(node, show_casts, context);
}

/*
 * Appends an analysed tree as text, every implicit cast written out.
 *
 * PostgreSQL takes the names of columns from a range table entry.  This one has
 * a mark for each name that is used and nothing for the others, which keeps its
 * search for duplicates short.
 */
static void
append_canonical(StringInfo out, Node *node, const SettleScope *scope)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	PlannedStmt *statement = makeNode(PlannedStmt);
	Bitmapset  *uses = NULL;
	List	   *marks = NIL;
	List	   *context;

	(void) collect_uses(node, &uses);
	for (int i = 1; i <= scope->nnames; i++)
		marks = lappend(marks, makeString(bms_is_member(i, uses) ?
										  psprintf("%0*d", MARK_DIGITS, i) : ""));
	entry->rtekind = RTE_NAMEDTUPLESTORE;
	entry->eref = makeAlias("scope", marks);
	statement->rtable = list_make1(entry);

	(void) show_casts(node, NULL);
	context = deparse_context_for_plan_tree(statement, list_make1("scope"));
	append_with_names(out, deparse_expression(node, context, false, true), scope);
}

/*
 * Reads an expression once.
 */
static Reading
read_expression(Reader *reader, const char *text, Oid wanted)
{
	Reading		reading;
	StringInfoData canonical;
	Node	   *node;

	reader->text = text;
	node = analyse_piece(reader, text, 0, wanted, COERCION_ASSIGNMENT, NULL);
	reading.planned = plan(node);
	initStringInfo(&canonical);
	append_canonical(&canonical, node, reader->scope);
	reading.canonical = canonical.data;
	return reading;
}

/*
 * Returns the place of the brace that ends an expression of a template: the
 * first one outside of '...' and "...".
 */
static const char *
find_closing_brace(const char *p)
{
	char		quote = '\0';

	for (; *p; p++)
	{
		if (quote)
		{
			if (*p == quote)
				quote = '\0';
		}
		else if (*p == '\'' || *p == '"')
			quote = *p;
		else if (*p == '}')
			return p;
	}
	return NULL;
}

/*
 * Raises 42601 for a brace of a template that stands alone.
 */
static void
lone_brace(const char *text, const char *at)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("brace \"%c\" at character %d has no partner", *at,
					pg_mbstrlen_with_len(text, at - text) + 1),
			 errhint("A brace that stands for itself is doubled."),
			 internalerrposition(pg_mbstrlen_with_len(text, at - text) + 1),
			 internalerrquery(text)));
}

/*
 * Joins a tree of type text and a further one.
 */
static Expr *
join_texts(Expr *left, Expr *right)
{
	if (left == NULL)
		return right;
	return (Expr *) makeFuncExpr(F_TEXTCAT, TEXTOID, list_make2(left, right),
								 DEFAULT_COLLATION_OID, DEFAULT_COLLATION_OID,
								 COERCE_EXPLICIT_CALL);
}

/*
 * Makes a constant of type text.
 */
static Expr *
text_constant(const char *value)
{
	return (Expr *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
							  CStringGetTextDatum(value), false, false);
}

/*
 * Reads a template once.
 */
static Reading
read_template(Reader *reader, const char *text, Oid wanted)
{
	Reading		reading;
	StringInfoData canonical;
	StringInfoData literal;
	Expr	   *joined = NULL;
	int			pieces = 0;
	const char *p = text;

	reader->text = text;
	initStringInfo(&canonical);
	initStringInfo(&literal);
	while (*p)
	{
		const char *end;
		Node	   *own;
		Node	   *piece;

		if ((*p == '{' || *p == '}') && p[1] == *p)
		{
			appendStringInfoChar(&literal, *p);
			appendBinaryStringInfo(&canonical, p, 2);
			p += 2;
			continue;
		}
		if (*p != '{' && *p != '}')
		{
			appendStringInfoChar(&literal, *p);
			appendStringInfoChar(&canonical, *p++);
			continue;
		}
		end = *p == '{' ? find_closing_brace(p + 1) : NULL;
		if (end == NULL)
			lone_brace(text, p);
		if (++pieces > SETTLE_EXPR_MAX_COSTLY)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("template has more than %d expressions", SETTLE_EXPR_MAX_COSTLY)));
		if (literal.len > 0)
			joined = join_texts(joined, text_constant(literal.data));
		resetStringInfo(&literal);

		p++;
		piece = analyse_piece(reader, pnstrdup(p, end - p), p - text, wanted,
							  COERCION_EXPLICIT, &own);
		joined = join_texts(joined, (Expr *) piece);
		appendStringInfoChar(&canonical, '{');
		append_canonical(&canonical, own, reader->scope);
		appendStringInfoChar(&canonical, '}');
		p = end + 1;
	}
	if (literal.len > 0 || joined == NULL)
		joined = join_texts(joined, text_constant(literal.data));

	reading.planned = plan((Node *) joined);
	reading.canonical = canonical.data;
	return reading;
}

/*
 * Returns the call of settle.fixed_date(text) on an expression of any text
 * type.
 */
static Expr *
guard_date_text(Expr *arg)
{
	Oid			text_type = TEXTOID;
	Oid			function = LookupFuncName(list_make2(makeString("settle"), makeString("fixed_date")),
										  1, &text_type, false);

	if (exprType((Node *) arg) != TEXTOID)
		arg = (Expr *) makeRelabelType(arg, TEXTOID, -1, exprCollation((Node *) arg),
									   COERCE_IMPLICIT_CAST);
	return (Expr *) makeFuncExpr(function, TEXTOID, list_make1(arg),
								 exprCollation((Node *) arg), exprCollation((Node *) arg),
								 COERCE_EXPLICIT_CALL);
}

/*
 * Does what the guard does for a constant that planning has left to the
 * evaluation: a text, or its output as a C string.
 */
static void
check_date_constant(Const *constant)
{
	Oid			output;
	bool		is_varlena;

	if (constant->constisnull)
		return;
	getTypeOutputInfo(constant->consttype, &output, &is_varlena);
	settle_check_date_text(OidOutputFunctionCall(output, constant->constvalue));
}

/*
 * Puts the guard against now, today ... before each conversion of text into a
 * date or time that is left to the evaluation.
 */
static Node *
guard_dates(Node *node, void *context)
{
	node = node ? expression_tree_mutator(node, guard_dates, context) : NULL;
	if (node && IsA(node, CoerceViaIO))
	{
		CoerceViaIO *cast = (CoerceViaIO *) node;

		if (!settle_type_takes_date_words(cast->resulttype))
			return node;
		if (IsA(cast->arg, Const))
			check_date_constant((Const *) cast->arg);
		else
			cast->arg = guard_date_text(cast->arg);
	}
	return node;
}

/*
 * Reads a text and its canonical text in turn until the latter stays as it is,
 * which it does at once for nearly all.
 */
static SettleExpr *
read_text(Reading (*read) (Reader *, const char *, Oid), const char *text,
		  const SettleScope *scope, Oid wanted, const char *what)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	Reader		reader = {.scope = scope, .what = what, .text = text};
	ErrorContextCallback callback = {
		.previous = error_context_stack, .callback = place_error, .arg = &reader
	};
	SettleExpr *result;
	Reading		first;
	Reading		again;
	int			round = 0;

	settle_forget_homes();
	error_context_stack = &callback;
	scratch = AllocSetContextCreate(caller, "settle expression", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);

	if (strlen(text) > SETTLE_EXPR_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("expression is longer than %d bytes", SETTLE_EXPR_MAX_BYTES)));
	if (OidIsValid(wanted) && !settle_type_allowed(wanted))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an expression cannot give type %s", format_type_be(wanted))));

	first = read(&reader, text, wanted);
	for (again = first;; again = read(&reader, again.canonical, wanted))
	{
		if (!equal(again.planned, first.planned) || round > CANONICAL_ROUNDS)
			elog(ERROR, "expression means something else when read again as %s", first.canonical);
		if (round > 0 && strcmp(again.canonical, first.canonical) == 0)
			break;
		first.canonical = again.canonical;
		round++;
		if (strlen(again.canonical) > SETTLE_EXPR_MAX_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("expression is longer than %d bytes when every cast is written out",
							SETTLE_EXPR_MAX_BYTES)));
	}

	first.planned = (Expr *) guard_dates((Node *) first.planned, NULL);
	convert_saop_to_hashed_saop((Node *) first.planned);

	MemoryContextSwitchTo(caller);
	result = palloc0(sizeof(SettleExpr));
	result->canonical = pstrdup(first.canonical);
	result->node = copyObject(first.planned);
	result->type = exprType((Node *) result->node);
	result->typmod = exprTypmod((Node *) result->node);
	result->collation = exprCollation((Node *) result->node);
	(void) collect_uses((Node *) result->node, &result->uses);

	MemoryContextDelete(scratch);
	error_context_stack = callback.previous;
	return result;
}

/*
 * Reads one expression.
 */
SettleExpr *
settle_expr_read(const char *text, const SettleScope *scope, Oid wanted, const char *what)
{
	return read_text(read_expression, text, scope, wanted, what);
}

/*
 * Reads a template.
 */
SettleExpr *
settle_template_read(const char *text, const SettleScope *scope, const char *what)
{
	return read_text(read_template, text, scope, TEXTOID, what);
}

/*
 * Makes an expression evaluable, in the current memory context.
 */
ExprState *
settle_expr_init(const SettleExpr *expr)
{
	return ExecInitExpr(expr->node, NULL);
}
