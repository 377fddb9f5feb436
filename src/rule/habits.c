/*
 * habits.c
 *		Lint of what rules are made of: scales that pay less for more, components
 *		that nobody makes, parties that are emptied too early, chains of shares,
 *		and what nothing uses.
 */
#include "rule/lint.h"

#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"

/* Shares of shares beyond so many are told of. */
#define MAX_CHAIN	2

/* ---- scales ---- */

void
settle_lint_cliffs(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;

	for (int i = 0; i < set->nrules; i++)
	{
		const CompiledRule *rule = set->rules[i];
		bool		by_rate = rule->pricing->measure != NULL;
		SettleCliff *cliffs;
		int			n = rule->pricing->is_rate || source->rules[i] == NIL ? 0 : settle_tiers_cliffs(rule->rule.def->tiers, by_rate, &cliffs);

		for (int k = 0; k < n; k++)
			settle_lint_report(lint, SETTLE_LINT_WARNING, "cliff", settle_lint_rule(rule),
							   psprintf("More pays less at %s: %s falls from %s to %s.", settle_dec_out(cliffs[k].bound), by_rate ? "the rate" : "the fee",
										settle_dec_out(cliffs[k].before), settle_dec_out(cliffs[k].after)),
							   by_rate ? "Let the rates rise with the measure, if that is not meant."
							   : "Graduated tiers have no such step; or raise the price beyond the bound.");
	}
}

static bool
constant_of(const Term *term, SettleDec *dec)
{
	const Const *constant = term != NULL && term->is_const ? (const Const *) term->expr->node : NULL;

	if (constant == NULL || !IsA(constant, Const) || constant->constisnull)
		return false;
	*dec = settle_dec_from_numeric(DatumGetNumeric(constant->constvalue));
	return true;
}

/*
 * Finds rules whose least is more than their most.
 */
void
settle_lint_bounds(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;

	for (int i = 0; i < set->nrules; i++)
	{
		const CompiledRule *rule = set->rules[i];
		const Pricing *pricing = rule->pricing;
		SettleDec	least;
		SettleDec	most;

		if (constant_of(pricing->at_least, &least) && constant_of(pricing->at_most, &most) && settle_dec_cmp(least, most) > 0)
			settle_lint_report(lint, SETTLE_LINT_WARNING, "bounds", settle_lint_rule(rule),
							   psprintf("at_least %s is more than at_most %s, so every ticket gives %s.", settle_dec_out(least), settle_dec_out(most), settle_dec_out(most)),
							   "Exchange the two, or write the amount as the base.");
	}
}

/* ---- components ---- */

/*
 * The names that expressions of a rule read, by position in the scope.
 */
static Bitmapset *
names_read(const SettleSet *set, const CompiledRule *rule)
{
	const Term *terms[] = PRICING_TERMS(rule->pricing);
	Bitmapset  *names = NULL;
	ListCell   *lc;

	for (int i = 0; i < lengthof(terms); i++)
		if (terms[i] != NULL)
			names = bms_add_members(names, terms[i]->expr->uses);
	for (int i = 0; i < rule->pricing->nfactors; i++)
		names = bms_add_member(names, set->d0 + rule->pricing->factors[i]);
	foreach(lc, pull_var_clause((Node *) rule->when, 0))
		names = bms_add_member(names, ((Var *) lfirst(lc))->varattno);
	return names;
}

/*
 * Finds rules that read a component which no rule makes for any of their tickets.
 */
void
settle_lint_reads(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;
	List	  **makers = palloc0(sizeof(List *) * Max(set->ncomponents, 1));

	for (int i = 0; i < set->nrules; i++)
		makers[set->rules[i]->rule.component] = list_concat(makers[set->rules[i]->rule.component], source->rules[i]);
	for (int i = 0; i < set->nrules; i++)
	{
		Bitmapset  *names = names_read(set, set->rules[i]);
		int			position = set->c0 - 1;

		while ((position = bms_next_member(names, position)) >= 0)
			if (source->rules[i] != NIL && !settle_lists_meet(source->rules[i], makers[position - set->c0]))
				settle_lint_report(lint, SETTLE_LINT_WARNING, "empty component", settle_lint_rule(set->rules[i]),
								   psprintf("It reads c.%s, which no rule makes for a ticket that it applies to: it is always 0.", quote_identifier(set->components[position - set->c0].name)),
								   "Compare its condition and validity with those of the rules that make the component.");
	}
}

/*
 * Finds accumulating rules that a party takes part in which a remainder empties.
 */
void
settle_lint_remainders(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;

	for (int r = 0; r < set->nrules; r++)
	{
		const CompiledRule *remainder = set->rules[r];

		for (int a = 0; a < set->nrules && remainder->pricing->remainder; a++)
		{
			const CompiledRule *rule = set->rules[a];
			const Pricing *pricing = rule->pricing;
			const Node *emptied = (const Node *) remainder->pricing->payer->expr->node;
			bool		pays = equal(pricing->payer->expr->node, emptied);

			/* a text of the rules stands once in memory */
			if (pricing->accumulate == SETTLE_SPAN_NONE || pricing->unit != remainder->pricing->unit ||
				(!pays && (pricing->payee == NULL || !equal(pricing->payee->expr->node, emptied))) ||
				!settle_lists_meet(source->rules[r], source->rules[a]))
				continue;
			settle_lint_report(lint, SETTLE_LINT_WARNING, "remainder", settle_lint_rule(rule),
							   psprintf("It accumulates and is %s \"%s\", which rule \"%s\" empties: a ticket to which both apply is a problem.",
										pays ? "paid by" : "paid to", pays ? rule->rule.def->payer : rule->rule.def->payee, remainder->code),
							   "Let another party pay it: its lines change with the tally.");
		}
	}
}

/* ---- chains of shares ---- */

/*
 * Tells whether a rule pays somebody outside of the house.
 */
static bool
pays_outside(const CompiledRule *rule)
{
	static const char *const others[] = {"hq", "escrow", "customer", "tax"};
	const char *payee = rule->rule.def->payee;

	for (int i = 0; payee != NULL && i < lengthof(others); i++)
	{
		Size		len = strlen(others[i]);

		if (strncmp(payee, others[i], len) == 0 && (payee[len] == '\0' || payee[len] == ':'))
			return false;
	}
	return true;
}

/* The longest chain of shares that ends with a rule. */
typedef struct Chain
{
	bool		known;
	int			length;			/* shares of shares */
	int			of;				/* the rule whose share it is a share of; -1: none */
} Chain;

/*
 * Components do not depend on themselves, so this ends.
 */
static void
find_chain(SettleSet *set, Chain *chains, int at)
{
	const Term *base = set->rules[at]->pricing->base;
	Chain	   *chain = &chains[at];

	if (chain->known)
		return;
	check_stack_depth();
	*chain = (Chain) {.known = true, .of = -1};
	if (base == NULL || bms_next_member(base->expr->uses, set->c0 - 1) < 0)
		return;
	for (int i = 0; i < set->nrules; i++)
		if (bms_is_member(set->c0 + set->rules[i]->rule.component, base->expr->uses) && pays_outside(set->rules[i]))
		{
			find_chain(set, chains, i);
			if (chains[i].length + 1 > chain->length)
			{
				chain->length = chains[i].length + 1;
				chain->of = i;
			}
		}
}

void
settle_lint_chains(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;
	Chain	   *chains = palloc0(sizeof(Chain) * Max(set->nrules, 1));

	for (int i = 0; i < set->nrules; i++)
	{
		StringInfoData text;

		find_chain(set, chains, i);
		if (chains[i].length <= MAX_CHAIN || !pays_outside(set->rules[i]))
			continue;
		initStringInfo(&text);
		for (int k = chains[i].of; k >= 0; k = chains[k].of)
			appendStringInfo(&text, ", of \"%s\"", set->rules[k]->code);
		settle_lint_report(lint, SETTLE_LINT_WARNING, "chain", settle_lint_rule(set->rules[i]),
						   psprintf("It is a share%s: more than %d levels of shares of shares.", text.data, MAX_CHAIN),
						   "More than two levels of people who earn by the earnings of others are forbidden in many places.");
	}
}

/* ---- tallies ---- */

/*
 * Finds tallies that all tickets of a period share.  Tickets that settle at
 * commit wait for each other there.
 */
void
settle_lint_hot_tallies(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;

	for (int i = 0; i < set->nrules; i++)
	{
		const CompiledRule *rule = set->rules[i];
		const Pricing *pricing = rule->pricing;
		const Term *owner = pricing->tally_by != NULL ? pricing->tally_by : pricing->payee;

		if (pricing->accumulate != SETTLE_SPAN_NONE && owner != NULL && owner->is_const)
			settle_lint_report(lint, SETTLE_LINT_NOTE, "hot tally", settle_lint_rule(rule),
							   psprintf("All its tickets of a period add to one tally, that of \"%s\", and the book settles at commit: they wait for each other.",
										pricing->tally_by != NULL ? rule->rule.def->tally_by : rule->rule.def->payee),
							   "Let a schedule settle the book, or give the tally more owners.");
	}
}

/* ---- what nothing uses ---- */

/*
 * What the mapping of a source and its decisions read.
 */
static Bitmapset *
read_by_others(const SettleSet *set)
{
	Bitmapset  *names = NULL;

	for (int i = 0; i < T_FIELDS; i++)
		if (set->fields[i] != NULL)
			names = bms_add_members(names, set->fields[i]->expr->uses);
	for (int i = 0; i < set->ndecisions; i++)
		names = bms_add_members(names, set->decisions[i].uses);
	return names;
}

/*
 * The boxes of the rules that read each decision; NIL where none does.
 */
static List **
readers_of_decisions(const LintSource *source)
{
	const SettleSet *set = source->set;
	List	  **readers = palloc0(sizeof(List *) * Max(set->ndecisions, 1));

	for (int i = 0; i < set->nrules; i++)
	{
		Bitmapset  *names = names_read(set, set->rules[i]);
		int			position = set->d0 - 1;

		while ((position = bms_next_member(names, position)) >= 0 && position < set->c0)
			readers[position - set->d0] = list_concat(readers[position - set->d0], source->rules[i]);
	}
	return readers;
}

void
settle_lint_unused(Lint *lint)
{
	const SettleRulesetDef *def;
	Bitmapset **read;

	if (lint->nsources == 0)
		return;
	def = lint->sources[0].set->def;
	read = palloc(sizeof(Bitmapset *) * lint->nsources);
	for (int s = 0; s < lint->nsources; s++)
	{
		const SettleSet *set = lint->sources[s].set;

		read[s] = read_by_others(set);
		for (int i = 0; i < set->nrules; i++)
			read[s] = bms_add_members(read[s], names_read(set, set->rules[i]));
	}
	for (int d = 0; d < def->ndecisions; d++)
	{
		bool		used = false;

		for (int s = 0; s < lint->nsources && !used; s++)
		{
			const SettleSet *set = lint->sources[s].set;

			used = bms_is_member(set->d0 + d, read[s]);
		}
		if (!used)
			settle_lint_report(lint, SETTLE_LINT_NOTE, "unused", psprintf("decision %s", def->decisions[d].decision),
							   "No rule, mapping or other decision reads it.", "settle.decide may still be asked for it; else take it out.");
	}
	for (int c = 0; c < def->nchoices; c++)
	{
		int			members = 0;
		const char *code = NULL;

		for (int i = 0; i < def->nrules; i++)
		{
			const SettleRuleDef *rule = &def->rules[i];

			/* versions of one rule do not choose among each other */
			if (strcmp(rule->choice != NULL ? rule->choice : rule->component, def->choices[c].choice) == 0 &&
				(code == NULL || strcmp(code, rule->code) != 0))
			{
				code = rule->code;
				members++;
			}
		}
		for (int i = 0; i < def->npacks; i++)
			if (def->packs[i].choice != NULL && strcmp(def->packs[i].choice, def->choices[c].choice) == 0)
			{
				code = def->packs[i].pack;
				members++;
			}
		if (members < 2)
			settle_lint_report(lint, SETTLE_LINT_NOTE, "unused", psprintf("choice %s", def->choices[c].choice),
							   members == 0 ? "No rule and no pack stands in it." : psprintf("Only \"%s\" stands in it.", code),
							   "A choice is made among two and more.");
	}
}

/*
 * Finds outcomes of decisions that only rules read, for tickets to which none
 * of those rules applies.
 */
void
settle_lint_unreached(Lint *lint)
{
	for (int s = 0; s < lint->nsources; s++)
	{
		LintSource *source = &lint->sources[s];
		SettleSet  *set = source->set;
		Bitmapset  *others = read_by_others(set);
		List	  **readers = readers_of_decisions(source);

		for (int d = 0; d < set->ndecisions; d++)
		{
			const Decision *decision = &set->decisions[d];

			if (readers[d] == NIL || bms_is_member(set->d0 + d, others))
				continue;
			for (int i = 0; i < decision->noutcomes; i++)
			{
				const Outcome *outcome = &decision->outcomes[i];

				CHECK_FOR_INTERRUPTS();
				/* one that stands for every source may be reached in another */
				if ((outcome->def->source != NULL || lint->nsources == 1) && source->outcomes[d][i] != NIL &&
					!settle_lists_meet(source->outcomes[d][i], readers[d]))
					settle_lint_report(lint, SETTLE_LINT_WARNING, "unreached", settle_lint_outcome(decision, outcome),
									   "No rule that reads the decision applies to a ticket for which the outcome holds.",
									   "Compare its condition and validity with those of the rules.");
			}
		}
	}
}
