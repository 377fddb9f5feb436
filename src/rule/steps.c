/*
 * steps.c
 *		How a line of the current ticket came about: what settle.explain tells of
 *		a rule beside its lines.
 *
 * Asked between the evaluation of a ticket and that of the next: what the
 * ticket's pricing has computed is read, nothing is computed anew but the price
 * of the base.
 */
#include "rule/compile.h"

int
settle_rule_factors(SettleSet *set, const SettleRule *rule, SettleFactor **factors)
{
	const CompiledRule *compiled = (const CompiledRule *) rule;

	*factors = palloc(sizeof(SettleFactor) * Max(compiled->pricing->nfactors, 1));
	for (int i = 0; i < compiled->pricing->nfactors; i++)
	{
		const Decision *decision = &set->decisions[compiled->pricing->factors[i]];

		(*factors)[i] = (SettleFactor) {decision->def->decision, decision->dec, settle_decision_reason(decision)};
	}
	return compiled->pricing->nfactors;
}

/*
 * Gives the value that a bound had for the current ticket.
 */
static bool
bound_of(const SettleSet *set, const Term *term, SettleDec *bound)
{
	if (term == NULL || term->dec_epoch != set->epoch)
		return false;
	*bound = term->dec;
	return true;
}

SettleLinePrice
settle_line_price(SettleSet *set, const SettleLine *line)
{
	const CompiledRule *compiled = (const CompiledRule *) line->rule;
	SettleLinePrice price = {0};
	SettleDec	bound;

	price.fee = settle_price(line->rule->pricer, line->base);
	price.exact = price.unbounded = settle_dec_mul(price.fee, line->factor);
	if (bound_of(set, compiled->pricing->at_least, &bound) && settle_dec_cmp(price.exact, bound) < 0)
	{
		price.exact = bound;
		price.bound = "at_least";
	}
	if (bound_of(set, compiled->pricing->at_most, &bound) && settle_dec_cmp(price.exact, bound) > 0)
	{
		price.exact = bound;
		price.bound = "at_most";
	}
	return price;
}
