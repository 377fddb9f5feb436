/*
 * privacy.c
 *		Lint of rules that read what is personal or sensitive in the details of
 *		tickets: nobody is paid by the health, the place or the age of a customer,
 *		and sheets keep what rules have read.
 *
 * What a rule reads of details is seen where the key is a constant; whoever
 * reads all of them reads those fields too.
 */
#include "rule/lint.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

typedef struct Search
{
	const Lint *lint;
	AttrNumber	details;		/* place of the column among the names */
	const char *found;			/* a field that is read, or "" for all of them */
} Search;

static bool
is_details(Node *node, const Search *search)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node != NULL && IsA(node, Var) && ((Var *) node)->varattno == search->details;
}

/* The key, or the first of a path, that a constant names; NULL: none. */
static const char *
key_named(Node *node)
{
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull)
		return NULL;
	if (constant->consttype == TEXTOID)
		return TextDatumGetCString(constant->constvalue);
	if (constant->consttype == TEXTARRAYOID)
	{
		Datum	   *elements;
		bool	   *nulls;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(constant->constvalue), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
		return n > 0 && !nulls[0] ? TextDatumGetCString(elements[0]) : NULL;
	}
	return NULL;
}

static bool
search_node(Node *node, Search *search)
{
	List	   *args = NIL;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr))
		args = ((OpExpr *) node)->args;
	else if (IsA(node, FuncExpr))
		args = ((FuncExpr *) node)->args;
	/* details -> key, details #>> path and the functions behind them; @> and its kin look at all */
	if (list_length(args) == 2 && is_details(linitial(args), search))
	{
		const char *key = key_named(lsecond(args));

		if (key != NULL)
		{
			for (int i = 0; i < search->lint->nprivate && search->found == NULL; i++)
				if (strcmp(search->lint->private[i], key) == 0)
					search->found = search->lint->private[i];
			return search->found != NULL;
		}
	}
	if (is_details(node, search))
	{
		search->found = "";
		return true;
	}
	return expression_tree_walker(node, search_node, search);
}

static void
look(Lint *lint, AttrNumber details, const Node *node, const char *object)
{
	Search		search = {lint, details};

	if (!search_node((Node *) node, &search))
		return;
	settle_lint_report(lint, SETTLE_LINT_ERROR, "private", object,
					   search.found[0] == '\0' ? "It reads all details of a ticket, and forms mark some of them personal or sensitive."
					   : psprintf("It reads %s of the details, which a form marks personal or sensitive.", quote_literal_cstr(search.found)),
					   "Let what is paid depend on something else.");
}

/*
 * Finds rules and outcomes that read private details of the book's own tickets.
 */
void
settle_lint_private(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;
	AttrNumber	details = 0;

	if (lint->nprivate == 0 || strcmp(set->source, "ticket") != 0)
		return;
	for (int i = 0; i < set->scope.nnames && details == 0; i++)
		if (set->scope.names[i].qualifier == NULL && set->scope.names[i].name != NULL && strcmp(set->scope.names[i].name, "details") == 0)
			details = i + 1;
	if (details == 0)
		return;
	for (int i = 0; i < set->nrules; i++)
	{
		const CompiledRule *rule = set->rules[i];
		const Term *terms[] = PRICING_TERMS(rule->pricing);

		look(lint, details, (Node *) rule->when, settle_lint_rule(rule));
		for (int t = 0; t < lengthof(terms); t++)
			if (terms[t] != NULL)
				look(lint, details, (Node *) terms[t]->expr->node, settle_lint_rule(rule));
	}
	for (int d = 0; d < set->ndecisions; d++)
		for (int o = 0; o < set->decisions[d].noutcomes; o++)
			look(lint, details, (Node *) set->decisions[d].outcomes[o].when, settle_lint_outcome(&set->decisions[d], &set->decisions[d].outcomes[o]));
}
