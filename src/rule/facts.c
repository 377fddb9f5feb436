/*
 * facts.c
 *		Facts: named values that come from other relations, and rates between
 *		currencies.
 *
 * A ruleset says what a fact is looked up by, and of which type it is; the
 * value comes from whoever evaluates, through the SettleReader of the set.  So
 * a ruleset is compiled and evaluated without the relation: settle.evaluate is
 * given the facts, a run reads them for its book, settle.replay takes those
 * that were kept.
 *
 * A fact holds at the ticket's rules_at, which therefore must not depend on one.
 */
#include "rule/compile.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* ---- types ---- */

static Oid
fact_type(const char *name, Oid ltree)
{
	const struct
	{
		const char *name;
		Oid			type;
	}			types[] = {
		{"numeric", NUMERICOID}, {"text", TEXTOID}, {"boolean", BOOLOID}, {"date", DATEOID}, {"timestamptz", TIMESTAMPTZOID},
		{"ltree", ltree}, {"jsonb", JSONBOID}, {"text[]", TEXTARRAYOID}
	};

	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(name, types[i].name) == 0)
			return types[i].type;
	return InvalidOid;
}

const char *
settle_fact_type_name(Oid type, Oid ltree)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			return "numeric";
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case TEXTOID:
			return "text";
		case BOOLOID:
			return "boolean";
		case DATEOID:
			return "date";
		case TIMESTAMPTZOID:
			return "timestamptz";
		case JSONBOID:
			return "jsonb";
		case TEXTARRAYOID:
			return "text[]";
		default:
			return type == ltree ? "ltree" : NULL;
	}
}

/* ---- compiling ---- */

void
settle_fact_types(SettleSet *set, Oid ltree)
{
	set->facts = palloc0(sizeof(Fact) * Max(set->def->nfacts, 1));
	for (int i = 0; i < set->def->nfacts; i++)
	{
		const SettleFactDef *def = &set->def->facts[i];
		Fact	   *fact;

		if (def->source != NULL && strcmp(def->source, set->source) != 0)
			continue;
		fact = &set->facts[set->nfacts++];
		fact->def = def;
		fact->type = fact_type(def->type, ltree);
		/* what is meant for this source alone is read whether a rule uses it or not, so that a wrong text is found */
		fact->used = def->source != NULL;
		if (!OidIsValid(fact->type))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("fact \"%s\" cannot be of type \"%s\"", def->fact, def->type),
					 errhint("A fact is numeric, text, boolean, date, timestamptz, ltree, jsonb or text[].")));
	}
}

/*
 * Reads what facts are looked up by, of those that some expression uses: one
 * that this source has no column for may be there for another.
 */
void
settle_facts_build(SettleSet *set)
{
	int			all = set->scope.nnames;
	bool		again = true;

	set->scope.nnames = set->c0 - 1;
	while (again)
	{
		again = false;
		for (int i = 0; i < set->nfacts; i++)
		{
			Fact	   *fact = &set->facts[i];

			if (!fact->used || fact->lookup != NULL)
				continue;
			fact->lookup = settle_read_as(set, fact->def->lookup, TEXTOID, "text", psprintf("lookup of fact \"%s\"", fact->def->fact));
			fact->uses = bms_add_member(bms_copy(fact->lookup->expr->uses), set->t0 + T_RULES_AT);
			/* it may use another one */
			again = true;
		}
	}
	set->scope.nnames = all;
}

/* ---- asking ---- */

bool
settle_fact_compute(SettleSet *set, Fact *fact, const char *key, TimestampTz at, Datum *value)
{
	return set->reader.fact(set->reader.arg, fact->def, fact->type, key, at, value);
}

SettleDec
settle_rate_of(SettleSet *set, const char *from, const char *to, TimestampTz at)
{
	Rate	   *rate = NULL;
	Datum		value;

	for (int i = 0; i < set->nrates && rate == NULL; i++)
		if (strcmp(set->rates[i].from, from) == 0 && strcmp(set->rates[i].to, to) == 0)
			rate = &set->rates[i];
	if (rate == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);

		set->rates = set->rates == NULL ? palloc(sizeof(Rate)) : repalloc(set->rates, sizeof(Rate) * (set->nrates + 1));
		rate = &set->rates[set->nrates];
		*rate = (Rate) {.from = pstrdup(from), .to = pstrdup(to)};
		set->nrates++;
		MemoryContextSwitchTo(old);
	}
	if (rate->epoch == set->epoch)
		return rate->rate;
	if (!set->reader.rate(set->reader.arg, from, to, at, &value))
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_NO_RATE),
				 errmsg("no rate from \"%s\" to \"%s\" at %s", from, to,
						DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(at)))),
				 errhint("Add one with settle.set_rate; the rate of the other direction does not stand in for it.")));
	rate->value = DatumGetNumeric(value);
	rate->rate = settle_dec_from_numeric(rate->value);
	rate->epoch = set->epoch;
	if (set->trace != NULL)
		settle_add_step(set, SETTLE_STEP_RATE, psprintf("%s/%s", from, to), settle_dec_out(rate->rate),
						DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(at))), set->nlines);
	return rate->rate;
}

/* ---- facts that are given ---- */

/*
 * Finds a member of the object and spells it as its type reads it.
 */
static char *
given_text(Jsonb *facts, const char *name, bool as_json)
{
	JsonbValue *value;

	if (facts == NULL)
		return NULL;
	value = getKeyJsonValueFromContainer(&facts->root, name, (int) strlen(name), NULL);
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type == jbvString && !as_json)
		return pnstrdup(value->val.string.val, value->val.string.len);
	return JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, -1);
}

static Datum
input_value(Oid type, char *text)
{
	Oid			input;
	Oid			ioparam;

	getTypeInputInfo(type, &input, &ioparam);
	return OidInputFunctionCall(input, text, ioparam, -1);
}

static bool
given_fact(void *arg, const SettleFactDef *fact, Oid type, const char *key, TimestampTz at, Datum *value)
{
	char	   *text = given_text(arg, fact->fact, type == JSONBOID);

	if (text == NULL)
		return false;
	*value = input_value(type, text);
	return true;
}

static bool
given_rate(void *arg, const char *from, const char *to, TimestampTz at, Datum *value)
{
	char	   *text = given_text(arg, psprintf("%s/%s", from, to), false);

	if (text == NULL)
		return false;
	*value = input_value(NUMERICOID, text);
	return true;
}

SettleReader
settle_given_facts(Jsonb *facts)
{
	if (facts != NULL && !JB_ROOT_IS_OBJECT(facts))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("facts are not an object"),
				 errhint("Give {\"leader\": \"staff:9\"}, and rates as {\"USD/CNY\": 7.1}.")));
	return (SettleReader) {given_fact, given_rate, facts};
}
