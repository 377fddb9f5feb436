/*
 * apply.c
 *		What one rule gives for a ticket: base, payees, price, lines.
 *
 * An amount is rounded once, when its line is made; where several payees share
 * it, their parts sum to what was rounded.
 */
#include "rule/compile.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

void
settle_refuse_size(SettleDec value, const char *part)
{
	if (settle_dec_cmp(value, settle_dec_int(SETTLE_MAX_AMOUNT)) >= 0 ||
		settle_dec_cmp(value, settle_dec_int(-SETTLE_MAX_AMOUNT)) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s of a ticket is out of range: %.100s", part, settle_dec_out(value)),
				 errdetail("Amounts and quantities of a ticket are below %lld.", (long long) SETTLE_MAX_AMOUNT)));
}

/*
 * Finds how a rule rounds amounts of a unit; rules that round alike share it.
 */
static const SettleRounding *
shared_rounding(SettleSet *set, const char *text, const char *unit)
{
	SharedRounding *shared;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, set->roundings)
	{
		shared = lfirst(lc);
		if (strcmp(shared->text, text) == 0 && strcmp(shared->unit, unit) == 0)
			return &shared->rounding;
	}
	old = MemoryContextSwitchTo(set->context);
	shared = palloc(sizeof(SharedRounding));
	shared->text = text;
	shared->unit = pstrdup(unit);
	shared->rounding = settle_rounding_in(text, settle_minor_units(unit));
	set->roundings = lappend(set->roundings, shared);
	MemoryContextSwitchTo(old);
	return &shared->rounding;
}

/*
 * The same while a ticket is priced: its unit is a string that stays where it
 * is as long as parties are kept, so the pointer tells it.
 */
static inline void
find_rounding(SettleSet *set, Pricing *pricing, const char *unit)
{
	if (pricing->rounding_unit == unit)
		return;
	pricing->rounding = shared_rounding(set, pricing->rounding_text, unit);
	pricing->rounding_unit = unit;
	pricing->places = settle_rounds_places(pricing->rounding) ? pricing->rounding->step.scale : -1;
}

const SettleRounding *
settle_rule_rounding(SettleSet *set, const SettleRule *rule, const char *unit)
{
	return shared_rounding(set, rule->def->rounding, unit);
}

/*
 * Gives what a party has received less what it has given on this ticket, in
 * one unit.
 */
static SettleDec
balance_of(SettleSet *set, const SettleParty *party, const char *unit, const CompiledRule *rule)
{
	SettleDec	balance = settle_dec_int(0);

	for (int i = 0; i < set->nlines; i++)
	{
		const SettleLine *line = &set->lines[i];

		if ((line->payer != party && line->payee != party) || strcmp(line->unit, unit) != 0)
			continue;
		if (line->owner != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_SETTLE_BAD_TICKET),
					 errmsg("rule \"%s\" empties \"%s\", which also takes part in the accumulating rule \"%s\"",
							rule->rule.def->code, party->code, line->rule->def->code),
					 errhint("Let another party pay the accumulating rule: its lines change with the tally.")));
		if (line->payee == party)
			balance = settle_dec_add(balance, line->amount);
		if (line->payer == party)
			balance = settle_dec_sub(balance, line->amount);
	}
	return balance;
}

/* The payees of one rule on one ticket. */
typedef struct Payees
{
	int			n;
	SettleParty **parties;
	SettleDec  *weights;
} Payees;

/*
 * Adds a payee; who is named twice gets one line, of both parts.
 */
static void
add_payee(Payees *payees, SettleParty *party, SettleDec weight)
{
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < payees->n; i++)
		if (payees->parties[i] == party)
		{
			payees->weights[i] = settle_dec_add(payees->weights[i], weight);
			return;
		}
	payees->parties[payees->n] = party;
	payees->weights[payees->n++] = weight;
}

/*
 * Reads an array of payees (equal parts) or an object of payee and weight.
 */
static Payees
read_payees(SettleSet *set, CompiledRule *rule)
{
	Payees		payees = {0};
	bool		isnull;
	Datum		value = settle_term_value(set, rule->pricing->payees, &isnull);
	const char *what = psprintf("payees of rule \"%s\"", rule->rule.def->code);

	if (isnull)
		settle_refuse_null(what);
	if (rule->pricing->payees->expr->type == TEXTARRAYOID)
	{
		Datum	   *items;
		bool	   *nulls;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &n);
		payees.parties = palloc(sizeof(SettleParty *) * Max(n, 1));
		payees.weights = palloc(sizeof(SettleDec) * Max(n, 1));
		for (int i = 0; i < n; i++)
		{
			if (nulls[i])
				settle_refuse_null(what);
			add_payee(&payees, settle_party_of(set, VARDATA_ANY(DatumGetTextPP(items[i])), VARSIZE_ANY_EXHDR(DatumGetTextPP(items[i]))),
					  settle_dec_int(1));
		}
	}
	else
	{
		Jsonb	   *object = DatumGetJsonbP(value);
		JsonbIterator *it;
		JsonbValue	v;
		JsonbIteratorToken token;

		if (!JB_ROOT_IS_OBJECT(object))
			ereport(ERROR,
					(errcode(ERRCODE_SETTLE_BAD_TICKET),
					 errmsg("%s is not an object of party and weight", what)));
		payees.parties = palloc(sizeof(SettleParty *) * Max(JB_ROOT_COUNT(object), 1));
		payees.weights = palloc(sizeof(SettleDec) * Max(JB_ROOT_COUNT(object), 1));
		it = JsonbIteratorInit(&object->root);
		while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
				payees.parties[payees.n] = settle_party_of(set, v.val.string.val, v.val.string.len);
			else if (token == WJB_VALUE)
			{
				if (v.type != jbvNumeric)
					ereport(ERROR,
							(errcode(ERRCODE_SETTLE_BAD_TICKET),
							 errmsg("%s has a weight that is not a number", what)));
				payees.weights[payees.n++] = settle_dec_from_numeric(v.val.numeric);
			}
		}
	}
	if (payees.n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("%s is empty", what)));
	return payees;
}

/*
 * Prices one base: tiers, factor, floor and cap.  Not rounded.
 */
static SettleDec
price(SettleSet *set, const CompiledRule *rule, const Pricing *pricing, const SettleDec *base, const SettleDec *factor)
{
	SettleDec	amount = pricing->is_rate ? settle_dec_mul(*base, pricing->rate) : settle_price(pricing->pricer, *base);

	if (factor != NULL)
		amount = settle_dec_mul(amount, *factor);
	if (pricing->at_least != NULL)
	{
		const SettleDec *bound = settle_need_dec(set, pricing->at_least, rule, "at_least");

		if (settle_dec_cmp(amount, *bound) < 0)
			amount = *bound;
	}
	if (pricing->at_most != NULL)
	{
		const SettleDec *bound = settle_need_dec(set, pricing->at_most, rule, "at_most");

		if (settle_dec_cmp(amount, *bound) > 0)
			amount = *bound;
	}
	return amount;
}

/*
 * Prices one base and rounds, in numbers of 64 bits; false where something does
 * not fit.  A decimal that is put together and copied stalls the processor for
 * longer than all of this takes, so only its parts are written.
 */
static inline bool
price_short(const Pricing *pricing, const SettleDec *base, const SettleDec *factor, SettleDec *amount)
{
	int64		fee;
	int			scale;

	if (pricing->places < 0 || pricing->has_bounds || !settle_dec_is_short(base))
		return false;
	if (!pricing->is_rate)
	{
		if (!settle_price_short(pricing->pricer, (int64) base->coef, base->scale, &fee, &scale))
			return false;
	}
	else if (!settle_dec_is_short(&pricing->rate) || __builtin_mul_overflow((int64) base->coef, (int64) pricing->rate.coef, &fee))
		return false;
	else
		scale = base->scale + pricing->rate.scale;
	if (factor != NULL)
	{
		if (!settle_dec_is_short(factor) || __builtin_mul_overflow(fee, (int64) factor->coef, &fee))
			return false;
		scale += factor->scale;
	}
	if (scale < pricing->places || scale > pricing->places + 18)
		return false;
	amount->coef = settle_cut_half_up(fee, scale - pricing->places);
	amount->scale = pricing->places;
	amount->wide = NULL;
	return true;
}

/*
 * Gives what the fee of a rule is multiplied with: its decisions, and the rate
 * to its unit.  NULL is 1; a product is put into "product".
 */
static inline const SettleDec *
factor_of(SettleSet *set, const Pricing *pricing, const char *unit, const SettleTicket *ticket, SettleDec *product)
{
	if (pricing->nfactors > 0)
		settle_need_name(set, set->d0 + pricing->factor);
	if (pricing->nfactors <= 1 && !pricing->converts)
		return pricing->nfactors == 0 ? NULL : &set->decisions[pricing->factor].dec;

	*product = pricing->nfactors == 0 ? settle_dec_int(1) : set->decisions[pricing->factor].dec;
	for (int i = 1; i < pricing->nfactors; i++)
	{
		settle_need_name(set, set->d0 + pricing->factors[i]);
		*product = settle_dec_mul(*product, set->decisions[pricing->factors[i]].dec);
	}
	if (pricing->converts && strcmp(unit, ticket->currency) != 0)
		*product = settle_dec_mul(*product, settle_rate_of(set, ticket->currency, unit, ticket->rules_at));
	return product;
}

/*
 * Appends a line, whose amount is still to be said.
 */
static inline SettleLine *
begin_line(SettleSet *set, const CompiledRule *rule, SettleParty *payer, SettleParty *payee,
		   const char *unit, const SettleDec *base, const SettleDec *factor)
{
	SettleLine *line;

	if (unlikely(set->nlines == set->lines_space))
	{
		set->lines_space *= 2;
		set->lines = repalloc(set->lines, sizeof(SettleLine) * set->lines_space);
	}
	line = &set->lines[set->nlines++];
	line->rule = &rule->rule;
	line->payer = payer;
	line->payee = payee;
	line->unit = unit;
	line->base = line->quantity = *base;
	line->factor = factor != NULL ? *factor : settle_dec_int(1);
	line->owner = NULL;
	line->tally_period = 0;
	return line;
}

/*
 * Checks a line that is complete but for its tally, and adds it up.
 */
static inline void
end_line(SettleSet *set, const CompiledRule *rule, const Pricing *pricing, const SettleTicket *ticket, SettleLine *line)
{
	settle_check_size(&line->base, "base");
	settle_check_size(&line->factor, "factor");
	settle_check_size(&line->amount, "amount");
	if (pricing->accumulate != SETTLE_SPAN_NONE)
	{
		line->owner = pricing->tally_by != NULL ? settle_term_party(set, pricing->tally_by, rule, "tally_by") : line->payee;
		line->tally_period = settle_ticket_span_start(set, pricing->accumulate, ticket->period_at);
		if (pricing->measure != NULL)
		{
			line->quantity = *settle_need_dec(set, pricing->measure, rule, "measure");
			settle_check_size(&line->quantity, "measure");
		}
	}
	else if (set->components[pricing->component].is_read)
	{
		Component  *component = &set->components[pricing->component];

		component->sum = component->sum_epoch == set->epoch ? settle_dec_add(component->sum, line->amount) : line->amount;
		component->sum_epoch = set->epoch;
	}
}

/*
 * Makes a line of a base; one that adds to a tally has no amount yet.
 */
static inline void
pay(SettleSet *set, const CompiledRule *rule, const Pricing *pricing, const SettleTicket *ticket, SettleParty *payer, SettleParty *payee,
	const char *unit, const SettleDec *base, const SettleDec *factor)
{
	SettleLine *line = begin_line(set, rule, payer, payee, unit, base, factor);

	if (pricing->accumulate != SETTLE_SPAN_NONE)
		line->amount = settle_dec_int(0);
	else if (!price_short(pricing, base, factor, &line->amount))
		line->amount = settle_round(price(set, rule, pricing, base, factor), pricing->rounding);
	end_line(set, rule, pricing, ticket, line);
}

/*
 * Divides what a rule pays, or its base, among several payees.
 */
static void
pay_several(SettleSet *set, const CompiledRule *rule, const Pricing *pricing, const SettleTicket *ticket, SettleParty *payer, const Payees *payees,
			const char *unit, const SettleDec *base, const SettleDec *factor)
{
	const SettleRounding *rounding = pricing->rounding;
	SettleDec  *parts = palloc(sizeof(SettleDec) * payees->n);

	/* accumulating rules price each party's part of the base in his own tally */
	if (pricing->share == SETTLE_SHARE_BASE || pricing->accumulate != SETTLE_SPAN_NONE)
	{
		settle_allocate_parts(*base, payees->weights, payees->n, rounding->step, parts);
		for (int i = 0; i < payees->n; i++)
			if (settle_dec_sign(payees->weights[i]) != 0)
				pay(set, rule, pricing, ticket, payer, payees->parties[i], unit, &parts[i], factor);
	}
	else
	{
		settle_allocate_parts(settle_round(price(set, rule, pricing, base, factor), rounding), payees->weights, payees->n, rounding->step, parts);
		for (int i = 0; i < payees->n; i++)
			if (settle_dec_sign(payees->weights[i]) != 0)
			{
				SettleLine *line = begin_line(set, rule, payer, payees->parties[i], unit, base, factor);

				line->amount = parts[i];
				end_line(set, rule, pricing, ticket, line);
			}
	}
}

/*
 * Applies a rule to the ticket: its lines are appended.
 */
void
settle_apply_rule(SettleSet *set, CompiledRule *rule, Pricing *pricing, SettleTicket *ticket)
{
	const char *unit = pricing->unit != NULL ? pricing->unit : ticket->currency;
	SettleParty *payer = settle_term_party(set, pricing->payer, rule, "payer");
	SettleParty *payee = NULL;
	Payees		payees = {0};
	SettleDec	balance;
	SettleDec	product;
	const SettleDec *base;
	const SettleDec *factor;
	int			first = set->nlines;

	find_rounding(set, pricing, unit);
	if (pricing->payee != NULL)
		payee = settle_term_party(set, pricing->payee, rule, "payee");
	else
		payees = read_payees(set, rule);

	if (pricing->remainder)
	{
		balance = balance_of(set, payer, unit, rule);
		/* a remainder of nothing is no line */
		if (settle_dec_sign(balance) == 0)
			return;
		base = &balance;
	}
	else
		base = settle_need_dec(set, pricing->base, rule, "base");
	factor = factor_of(set, pricing, unit, ticket, &product);

	/* a single payee of no weight is refused as several are */
	if (payee == NULL && payees.n == 1 && settle_dec_sign(payees.weights[0]) > 0)
		payee = payees.parties[0];
	if (payee != NULL)
		pay(set, rule, pricing, ticket, payer, payee, unit, base, factor);
	else
		pay_several(set, rule, pricing, ticket, payer, &payees, unit, base, factor);
	if (set->trace != NULL)
		settle_add_step(set, SETTLE_STEP_APPLIED, rule->code, NULL, NULL, first);
}
