/*
 * pricing.c
 *		What rules pay and to whom.
 *
 * A Pricing is all of a rule but its conditions.  Rules that are alike in it
 * share one, which is found by its bytes: so whatever stands in its front must
 * be shared itself, scales, texts and terms, and has one place in memory for
 * all that spell it alike.
 */
#include "rule/compile.h"

#include "common/hashfn.h"
#include "utils/builtins.h"

/* A scale that rules share. */
typedef struct SharedScale
{
	const SettleTiers *tiers;
	SettlePricer *pricer;
} SharedScale;

/* Scales beyond so many different ones are not looked for again. */
#define MAX_SHARED_SCALES	256

/*
 * Decodes a scale, once for the rules that spell it alike.
 */
static SettlePricer *
shared_pricer(SettleSet *set, const SettleTiers *tiers)
{
	SharedScale *scale;
	ListCell   *lc;

	foreach(lc, set->scales)
	{
		scale = lfirst(lc);
		if (VARSIZE(scale->tiers) == VARSIZE(tiers) && memcmp(scale->tiers, tiers, VARSIZE(tiers)) == 0)
			return scale->pricer;
	}
	scale = palloc(sizeof(SharedScale));
	scale->tiers = tiers;
	scale->pricer = settle_pricer(tiers);
	if (list_length(set->scales) < MAX_SHARED_SCALES)
		set->scales = lappend(set->scales, scale);
	return scale->pricer;
}

/*
 * Gives the one copy of a text, so that its pointer tells it.
 */
static const char *
shared_text(SettleSet *set, const char *text)
{
	ListCell   *lc;

	if (text == NULL)
		return NULL;
	foreach(lc, set->shared_texts)
		if (strcmp(lfirst(lc), text) == 0)
			return lfirst(lc);
	set->shared_texts = lappend(set->shared_texts, unconstify(char *, text));
	return text;
}

/* Pricings of one hash. */
typedef struct PricingBucket
{
	uint32		hash;
	List	   *pricings;
} PricingBucket;

/*
 * Finds the same pricing of another rule, or keeps this one.
 */
static Pricing *
shared_pricing(SettleSet *set, const Pricing *pricing)
{
	uint32		hash = hash_bytes((const unsigned char *) pricing, PRICING_KEY);
	PricingBucket *bucket;
	Pricing    *kept;
	ListCell   *lc;
	bool		found;

	if (set->pricing_buckets == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(uint32), .entrysize = sizeof(PricingBucket), .hcxt = set->context};

		set->pricing_buckets = hash_create("scrm_settle pricings", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	bucket = hash_search(set->pricing_buckets, &hash, HASH_ENTER, &found);
	if (!found)
		bucket->pricings = NIL;
	foreach(lc, bucket->pricings)
		if (memcmp(lfirst(lc), pricing, PRICING_KEY) == 0)
			return lfirst(lc);
	kept = palloc(sizeof(Pricing));
	*kept = *pricing;
	if (kept->nfactors == 1)
		kept->factors = &kept->factor;
	bucket->pricings = lappend(bucket->pricings, kept);
	set->pricings = lappend(set->pricings, kept);
	return kept;
}

void
settle_pricing_check(const SettleRuleDef *def)
{
	if ((def->payee == NULL) == (def->payees == NULL))
		settle_refuse_rule(def, def->payee == NULL ? "has no payee" : "has both payee and payees",
					"Give payee, a template of one party, or payees, an expression for several.");
	if (def->remainder == (def->base != NULL))
		settle_refuse_rule(def, def->remainder ? "has both a base and the remainder" : "has no base",
					"Give base, an expression, or say remainder => true.");
}

/*
 * Refuses what cannot be paid together.
 */
static void
check_together(const SettleRuleDef *def, const Pricing *pricing)
{
	if (def->remainder && (!pricing->is_rate || settle_dec_cmp(pricing->rate, settle_dec_int(1)) != 0 ||
						   def->nfactors > 0 || def->at_least || def->at_most || def->accumulate != SETTLE_SPAN_NONE))
		settle_refuse_rule(def, "takes the remainder and changes it",
					"A remainder is what is left, whole: leave out tiers, factors, at_least, at_most and accumulate.");
	if (def->accumulate != SETTLE_SPAN_NONE && (def->at_least || def->at_most))
		settle_refuse_rule(def, "accumulates and has at_least or at_most",
					"These bound the amount of one ticket; a total has its bounds in its tiers: '5%; min 30; max 2000'.");
	if (def->accumulate == SETTLE_SPAN_NONE && def->tally_by)
		settle_refuse_rule(def, "has tally_by and does not accumulate", "Say accumulate => 'month', or leave tally_by out.");
	if (def->unit != NULL && (def->unit[0] == '\0' || strlen(def->unit) > SETTLE_MAX_UNIT))
		settle_refuse_rule(def, psprintf("has the unit \"%s\"", def->unit), psprintf("A unit is a code of 1 to %d bytes, such as USD or POINTS.", SETTLE_MAX_UNIT));
	if (def->accumulate == SETTLE_SPAN_NONE && (def->measure || def->clock != SETTLE_CLOCK_TICKET))
		settle_refuse_rule(def, psprintf("has %s and does not accumulate", def->measure ? "measure" : "clock"),
					"Say accumulate => 'month', or leave it out.");
	if (def->measure && !settle_pricer_is_volume(pricing->pricer))
		settle_refuse_rule(def, "has a measure and tiers that are not volume rates",
					"What moves along the tiers chooses one rate for the whole base: 'volume 10% to 50, 12%'.");
	if (def->measure && def->payees)
		settle_refuse_rule(def, "has a measure and several payees", "Nobody can say which of them the measure belongs to; write a rule for each.");
	if (def->share == SETTLE_SHARE_BASE && def->payees == NULL)
		settle_refuse_rule(def, "shares its base among one payee", "Give payees, or leave share out.");
}

/*
 * Reads the expressions and templates of a rule.
 */
static void
read_terms(SettleSet *set, const SettleRuleDef *def, Pricing *pricing)
{
#define OF_RULE(part) psprintf("%s of rule \"%s\"", part, def->code)
	pricing->base = settle_read_amount(set, def->base, OF_RULE("base"));
	pricing->payer = settle_read_term(set, def->payer, true, InvalidOid, OF_RULE("payer"));
	pricing->payee = settle_read_term(set, def->payee, true, InvalidOid, OF_RULE("payee"));
	pricing->payees = settle_read_term(set, def->payees, false, InvalidOid, OF_RULE("payees"));
	if (pricing->payees != NULL && pricing->payees->expr->type != JSONBOID && pricing->payees->expr->type != TEXTARRAYOID)
		settle_refuse_rule(def, psprintf("has payees of type %s", format_type_be(pricing->payees->expr->type)),
					"payees is a text array (equal parts) or a jsonb object of party and weight.");
	if (pricing->payees != NULL)
		set->names = bms_add_members(set->names, pricing->payees->expr->uses);
	pricing->tally_by = settle_read_term(set, def->tally_by, true, InvalidOid, OF_RULE("tally_by"));
	pricing->measure = settle_read_amount(set, def->measure, OF_RULE("measure"));
	pricing->at_least = settle_read_amount(set, def->at_least, OF_RULE("at_least"));
	pricing->at_most = settle_read_amount(set, def->at_most, OF_RULE("at_most"));
}

/*
 * Finds the decisions that a rule is multiplied with.  A list of several stands
 * in memory for each rule, so such rules share nothing.
 */
static void
find_factors(SettleSet *set, const SettleRuleDef *def, Pricing *pricing)
{
	pricing->nfactors = def->nfactors;
	if (def->nfactors > 1)
		pricing->factors = palloc(sizeof(int) * def->nfactors);
	for (int i = 0; i < def->nfactors; i++)
	{
		int			decision = settle_decision_find(set, def->factors[i], psprintf("rule \"%s\"", def->code));

		if (i == 0)
			pricing->factor = decision;
		if (def->nfactors > 1)
			pricing->factors[i] = decision;
		if (!set->decisions[decision].is_numeric)
			settle_refuse_rule(def, psprintf("has the factor \"%s\", which is not numeric", def->factors[i]),
						"A factor is a decision that returns numeric.");
	}
}

Pricing *
settle_pricing_read(SettleSet *set, const SettleRuleDef *def, int component)
{
	Pricing		pricing;

	/* its bytes are compared, those between its fields too */
	memset(&pricing, 0, sizeof(pricing));
	pricing.pricer = shared_pricer(set, def->tiers);
	pricing.unit = shared_text(set, def->unit);
	pricing.converts = def->unit != NULL && !def->remainder && settle_is_currency(def->unit);
	pricing.component = component;
	pricing.accumulate = def->accumulate;
	pricing.remainder = def->remainder;
	pricing.has_bounds = def->at_least != NULL || def->at_most != NULL;
	pricing.share = def->share;
	pricing.rounding_text = shared_text(set, def->rounding);
	pricing.is_rate = settle_pricer_is_rate(pricing.pricer, &pricing.rate);
	(void) settle_rounding_in(def->rounding, 2);
	check_together(def, &pricing);
	read_terms(set, def, &pricing);
	find_factors(set, def, &pricing);
	return shared_pricing(set, &pricing);
}
