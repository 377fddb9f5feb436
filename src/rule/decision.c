/*
 * decision.c
 *		Decisions: the outcomes whose conditions hold, and what the hit policy
 *		makes of them.
 *
 * Order is what a maintainer must know.  Outcomes are sorted once, when a
 * ruleset is compiled: by priority, and by the rank of their value where the
 * policy asks for it.  The matcher keeps that order, so "first" and "priority"
 * both take the first outcome that holds, and both ordered lists are the
 * outcomes as they come.  Conditions behind a first hit are not evaluated.
 *
 * Numbers are put together as exact decimals; d.<decision> becomes a numeric
 * only once.
 */
#include "rule/compile.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* ---- types ---- */

static bool
takes_first(SettleHitPolicy policy)
{
	return policy == SETTLE_HIT_FIRST || policy == SETTLE_HIT_PRIORITY;
}

static bool
ranks_values(SettleHitPolicy policy)
{
	return policy == SETTLE_HIT_PRIORITY || policy == SETTLE_HIT_OUTPUT_ORDER;
}

static bool
computes(SettleHitPolicy policy)
{
	return policy == SETTLE_HIT_SUM || policy == SETTLE_HIT_MIN || policy == SETTLE_HIT_MAX || policy == SETTLE_HIT_PRODUCT;
}

static Oid
type_of_outcomes(const SettleDecisionDef *def, Oid ltree)
{
	const struct
	{
		const char *name;
		Oid			type;
	}			types[] = {
		{"numeric", NUMERICOID}, {"text", TEXTOID}, {"boolean", BOOLOID}, {"date", DATEOID}, {"ltree", ltree}, {"jsonb", JSONBOID}
	};

	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(def->returns, types[i].name) == 0)
			return types[i].type;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("decision \"%s\" cannot return type \"%s\"", def->decision, def->returns),
			 errhint("A decision returns numeric, text, boolean, date, ltree or jsonb.")));
}

void
settle_decision_types(SettleSet *set, Oid ltree)
{
	set->ndecisions = set->def->ndecisions;
	set->decisions = palloc0(sizeof(Decision) * Max(set->ndecisions, 1));
	for (int i = 0; i < set->ndecisions; i++)
	{
		Decision   *decision = &set->decisions[i];
		const SettleDecisionDef *def = &set->def->decisions[i];

		decision->def = def;
		decision->outcome_type = type_of_outcomes(def, ltree);
		if (computes(def->policy) && decision->outcome_type != NUMERICOID)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("decision \"%s\" cannot put values of type \"%s\" together", def->decision, def->returns),
					 errhint("The policies sum, min, max and product need numeric outcomes.")));
		if (ranks_values(def->policy) && def->nvalues == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("decision \"%s\" has no output values to rank its outcomes by", def->decision),
					 errhint("List them, the first ranks highest: output_values => '[\"gold\", \"silver\"]'.")));
		decision->type = def->policy == SETTLE_HIT_COUNT ? NUMERICOID
			: settle_hit_gives_list(def->policy) ? JSONBOID : decision->outcome_type;
		decision->is_numeric = decision->type == NUMERICOID;
		decision->compare = lookup_type_cache(decision->outcome_type, TYPECACHE_EQ_OPR_FINFO);
	}
}

int
settle_decision_find(const SettleSet *set, const char *name, const char *what)
{
	const char **names;
	const char *near;

	for (int i = 0; i < set->ndecisions; i++)
		if (strcmp(set->decisions[i].def->decision, name) == 0)
			return i;
	names = palloc(sizeof(char *) * Max(set->ndecisions, 1));
	for (int i = 0; i < set->ndecisions; i++)
		names[i] = set->decisions[i].def->decision;
	near = settle_nearest_name(name, names, set->ndecisions);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 what != NULL ? errmsg("%s names the decision \"%s\", which does not exist", what, name)
			 : errmsg("decision \"%s\" does not exist", name),
			 near != NULL ? errhint("Perhaps you meant \"%s\".", near)
			 : errhint("Make it with settle.add_decision.")));
}

/* ---- values ---- */

static void
error_in_value(void *arg)
{
	errcontext("%s", (const char *) arg);
}

/*
 * Reads a value from its text form.
 */
static Datum
read_value(const Decision *decision, Oid type, const char *text, SettleDec *dec, const char *what)
{
	Oid			input;
	Oid			ioparam;
	Datum		value;
	ErrorContextCallback context;

	context.callback = error_in_value;
	context.arg = psprintf("%s of decision \"%s\"", what, decision->def->decision);
	context.previous = error_context_stack;
	error_context_stack = &context;
	getTypeInputInfo(type, &input, &ioparam);
	value = OidInputFunctionCall(input, unconstify(char *, text), ioparam, -1);
	if (type == NUMERICOID)
		*dec = settle_dec_from_numeric(DatumGetNumeric(value));
	error_context_stack = context.previous;
	return value;
}

static char *
value_text(Oid type, Datum value)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, value);
}

/*
 * Gives a value as JSON has it: numbers and booleans as such, dates and paths
 * as strings.  It refers to the memory of the value.
 */
static JsonbValue
json_value(Oid type, Datum value)
{
	JsonbValue	json = {0};

	switch (type)
	{
		case NUMERICOID:
			json.type = jbvNumeric;
			json.val.numeric = DatumGetNumeric(value);
			break;
		case BOOLOID:
			json.type = jbvBool;
			json.val.boolean = DatumGetBool(value);
			break;
		case JSONBOID:
			if (!JsonbExtractScalar(&DatumGetJsonbP(value)->root, &json))
			{
				json.type = jbvBinary;
				json.val.binary.data = &DatumGetJsonbP(value)->root;
				json.val.binary.len = VARSIZE(DatumGetJsonbP(value)) - VARHDRSZ;
			}
			break;
		default:
			json.type = jbvString;
			json.val.string.val = value_text(type, value);
			json.val.string.len = strlen(json.val.string.val);
			break;
	}
	return json;
}

/*
 * Finds the place of an outcome among the output values: the first that it
 * contains, which for anything but objects and lists means equals.
 */
static int
rank_of(const SettleDecisionDef *def, const Outcome *outcome)
{
	JsonbValue	item = outcome->item;
	Datum		json = JsonbPGetDatum(JsonbValueToJsonb(&item));

	for (int i = 0; i < def->nvalues; i++)
		if (DatumGetBool(DirectFunctionCall2(jsonb_contains, json, JsonbPGetDatum(def->values[i]))))
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("outcome %s of decision \"%s\" is not among its output values",
					JsonbToCString(NULL, &DatumGetJsonbP(json)->root, -1), def->decision),
			 errhint("Correct it, or add it to output_values.")));
}

/* ---- building ---- */

static int
compare_outcomes(const void *a, const void *b)
{
	const Outcome *oa = a;
	const Outcome *ob = b;

	if (oa->rank != ob->rank)
		return oa->rank < ob->rank ? -1 : 1;
	if (oa->def->priority != ob->def->priority)
		return oa->def->priority > ob->def->priority ? -1 : 1;
	return oa->def < ob->def ? -1 : oa->def > ob->def;
}

/*
 * Reads what the decision gives where no outcome holds.
 */
static void
build_fallback(Decision *decision)
{
	const SettleDecisionDef *def = decision->def;

	decision->has_fallback = def->fallback != NULL;
	if (def->fallback == NULL)
		return;
	decision->fallback = read_value(decision, decision->type, def->fallback, &decision->fallback_dec, "fallback");
	if (settle_hit_gives_list(def->policy) &&
		(!JB_ROOT_IS_ARRAY(DatumGetJsonbP(decision->fallback)) || JB_ROOT_IS_SCALAR(DatumGetJsonbP(decision->fallback))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fallback of decision \"%s\" is not a list: %s", def->decision, def->fallback),
				 errhint("Its policy gives a list: fallback => '[...]', or none for the empty list.")));
}

/*
 * Tells whether an outcome is one of a source.  Those of no source are for all
 * sources that were added; rows of the built-in one have other columns.
 */
static bool
is_for_source(const SettleOutcomeDef *def, const char *source)
{
	return def->source == NULL ? strcmp(source, SETTLE_PERIOD_SOURCE) != 0 : strcmp(def->source, source) == 0;
}

/*
 * Compiles one decision: its conditions see columns, t and d, not components.
 */
void
settle_decision_build(SettleSet *set, Decision *decision, const SettleScope *scope, const Bitmapset *indexable)
{
	const SettleDecisionDef *def = decision->def;
	const char *what = psprintf("condition of decision \"%s\"", def->decision);
	SettleCondition *conditions = palloc0(sizeof(SettleCondition) * Max(def->noutcomes, 1));
	int			n = 0;

	decision->outcomes = palloc0(sizeof(Outcome) * Max(def->noutcomes, 1));
	for (int i = 0; i < def->noutcomes; i++)
	{
		Outcome    *outcome = &decision->outcomes[n];

		outcome->def = &def->outcomes[i];
		outcome->pack = settle_pack_find(set, outcome->def->pack, outcome->def->source,
										 psprintf("an outcome of decision \"%s\"", def->decision));
		if (!is_for_source(outcome->def, set->source))
			continue;
		outcome->value = read_value(decision, decision->outcome_type, outcome->def->outcome, &outcome->dec, "outcome");
		outcome->item = json_value(decision->outcome_type, outcome->value);
		if (def->nvalues > 0)
		{
			int			rank = rank_of(def, outcome);

			outcome->rank = ranks_values(def->policy) ? rank : 0;
		}
		n++;
	}
	qsort(decision->outcomes, n, sizeof(Outcome), compare_outcomes);

	for (int i = 0; i < n; i++)
	{
		const SettleOutcomeDef *outcome = decision->outcomes[i].def;
		const Pack *pack = decision->outcomes[i].pack;
		SettleExpr *when = settle_expr_read(outcome->applies_when, scope, BOOLOID, what);

		CHECK_FOR_INTERRUPTS();
		settle_note_settings(set, when->node);
		decision->outcomes[i].when = settle_pack_narrow(pack, when->node);
		conditions[i] = (SettleCondition) {.when = decision->outcomes[i].when, .from = outcome->from, .until = outcome->until};
		decision->uses = bms_add_members(decision->uses, when->uses);
		if (pack != NULL)
			decision->uses = bms_add_members(decision->uses, pack->choice != NULL ? pack->choice->uses : pack->uses);
	}
	/* outcomes are chosen by the ticket's rules_at */
	decision->uses = bms_add_member(decision->uses, set->t0 + T_RULES_AT);
	decision->nneeds = settle_list_needs(set, decision->uses, &decision->needs);
	decision->noutcomes = n;
	decision->matcher = settle_matcher(conditions, n, indexable);
	decision->candidates = palloc(sizeof(int) * Max(n, 1));
	build_fallback(decision);
}

/* ---- computing ---- */

static const char *
outcome_label(const Outcome *outcome)
{
	return outcome->def->title != NULL ? outcome->def->title : outcome->def->applies_when;
}

/*
 * Raises that a second outcome holds which the policy does not allow beside
 * the first.
 */
static void
conflict(const Decision *decision, const Outcome *first, const Outcome *second)
{
	if (decision->def->policy == SETTLE_HIT_UNIQUE)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_DECISION_CONFLICT),
				 errmsg("two outcomes of decision \"%s\" apply", decision->def->decision),
				 errdetail("Both \"%s\" and \"%s\" hold, and the decision is unique.", outcome_label(first), outcome_label(second)),
				 errhint("Make the conditions exclude each other, or choose the policy first.")));
	ereport(ERROR,
			(errcode(ERRCODE_SETTLE_DECISION_CONFLICT),
			 errmsg("outcomes of decision \"%s\" disagree", decision->def->decision),
			 errdetail("\"%s\" gives %s and \"%s\" gives %s, and with the policy any all that hold must say the same.",
					   outcome_label(first), value_text(decision->outcome_type, first->value),
					   outcome_label(second), value_text(decision->outcome_type, second->value)),
			 errhint("Make the conditions exclude each other, or choose another policy.")));
}

static bool
same_value(const Decision *decision, const Outcome *a, const Outcome *b)
{
	return DatumGetBool(FunctionCall2Coll(&decision->compare->eq_opr_finfo, decision->compare->typcollation, a->value, b->value));
}

/*
 * Gives what a decision is where no outcome holds.
 */
static void
fall_back(Decision *decision)
{
	if (decision->has_fallback)
	{
		decision->value = decision->fallback;
		decision->dec = decision->fallback_dec;
	}
	else if (decision->def->policy == SETTLE_HIT_COUNT)
	{
		decision->dec = settle_dec_int(0);
		decision->value = NumericGetDatum(settle_dec_to_numeric(decision->dec));
	}
	else if (settle_hit_gives_list(decision->def->policy))
	{
		JsonbParseState *list = NULL;

		pushJsonbValue(&list, WJB_BEGIN_ARRAY, NULL);
		decision->value = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&list, WJB_END_ARRAY, NULL)));
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_NO_OUTCOME),
				 errmsg("no outcome of decision \"%s\" applies", decision->def->decision),
				 errhint("Add an outcome, or give the decision a fallback.")));
}

void
settle_decision_compute(SettleSet *set, Decision *decision, TimestampTz at)
{
	SettleHitPolicy policy = decision->def->policy;
	int			ncandidates = settle_candidates(decision->matcher, set->slot, at, decision->candidates);
	JsonbParseState *list = NULL;
	const Outcome *hit = NULL;
	SettleDec	dec = settle_dec_int(policy == SETTLE_HIT_PRODUCT ? 1 : 0);
	int			nhits = 0;

	for (int c = 0; c < ncandidates; c++)
	{
		int			i = decision->candidates[c];
		Outcome    *outcome = &decision->outcomes[i];
		Expr	   *residual = settle_residual(decision->matcher, i);

		if (residual != NULL && !settle_residual_holds(set, residual, &outcome->residual))
			continue;
		if (outcome->pack != NULL && settle_pack_winner(set, outcome->pack) != outcome->pack)
			continue;
		nhits++;
		switch (policy)
		{
			case SETTLE_HIT_UNIQUE:
				if (hit != NULL)
					conflict(decision, hit, outcome);
				dec = outcome->dec;
				break;
			case SETTLE_HIT_ANY:
				if (hit != NULL && !same_value(decision, hit, outcome))
					conflict(decision, hit, outcome);
				dec = outcome->dec;
				break;
			case SETTLE_HIT_FIRST:
			case SETTLE_HIT_PRIORITY:
				dec = outcome->dec;
				break;
			case SETTLE_HIT_RULE_ORDER:
			case SETTLE_HIT_OUTPUT_ORDER:
			case SETTLE_HIT_COLLECT:
				if (hit == NULL)
					pushJsonbValue(&list, WJB_BEGIN_ARRAY, NULL);
				pushJsonbValue(&list, WJB_ELEM, &outcome->item);
				break;
			case SETTLE_HIT_SUM:
				dec = settle_dec_add(dec, outcome->dec);
				break;
			case SETTLE_HIT_MIN:
				if (hit == NULL || settle_dec_cmp(outcome->dec, dec) < 0)
					dec = outcome->dec;
				break;
			case SETTLE_HIT_MAX:
				if (hit == NULL || settle_dec_cmp(outcome->dec, dec) > 0)
					dec = outcome->dec;
				break;
			case SETTLE_HIT_COUNT:
				dec = settle_dec_int(nhits);
				break;
			case SETTLE_HIT_PRODUCT:
				dec = settle_dec_mul(dec, outcome->dec);
				break;
		}
		hit = outcome;
		if (takes_first(policy))
			break;
	}
	decision->hit = hit;
	decision->nhits = nhits;
	if (hit == NULL)
	{
		fall_back(decision);
		return;
	}
	decision->dec = dec;
	if (list != NULL)
		decision->value = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&list, WJB_END_ARRAY, NULL)));
	else if (policy == SETTLE_HIT_COUNT || (nhits > 1 && computes(policy)))
		decision->value = NumericGetDatum(settle_dec_to_numeric(dec));
	else
		decision->value = hit->value;
}

/* ---- what it gave ---- */

char *
settle_decision_text(const Decision *decision)
{
	return value_text(decision->type, decision->value);
}

const char *
settle_decision_reason(const Decision *decision)
{
	if (decision->hit == NULL)
		return decision->has_fallback ? "fallback" : "no outcome";
	return decision->nhits > 1 ? psprintf("%d outcomes", decision->nhits) : outcome_label(decision->hit);
}

Jsonb *
settle_decision_json(const Decision *decision)
{
	JsonbValue	json = json_value(decision->type, decision->value);

	return JsonbValueToJsonb(&json);
}
