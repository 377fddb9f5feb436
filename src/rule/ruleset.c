/*
 * ruleset.c
 *		The type settle.ruleset: input, output and decoding.
 *
 * A ruleset is a JSON document whose keys are the parameters of add_source,
 * add_fact, add_choice, add_pack, add_decision, add_outcome and add_rule, so it
 * reads, diffs and lives in git like any text.  A key that is not known is an error: a misspelt
 * "overides" must not be a rule that overrides nothing.
 *
 * The digest is taken over the document as jsonb prints it, which has one
 * order of keys and one spelling of numbers.  Anybody can type a ruleset:
 * expressions in it are vetted when it is compiled, never trusted.
 */
#include "rule/ruleset.h"

#include <ctype.h>

#include "common/sha2.h"
#include "common/cryptohash.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* ---- names of the enumerations ---- */

typedef struct EnumName
{
	const char *name;
	int			value;
} EnumName;

static const EnumName choice_policies[] = {
	{"unique", SETTLE_CHOICE_UNIQUE}, {"first", SETTLE_CHOICE_FIRST}, {"highest", SETTLE_CHOICE_HIGHEST},
	{"lowest", SETTLE_CHOICE_LOWEST}, {"all", SETTLE_CHOICE_ALL}, {NULL, 0}
};

static const EnumName hit_policies[] = {
	{"unique", SETTLE_HIT_UNIQUE}, {"any", SETTLE_HIT_ANY}, {"first", SETTLE_HIT_FIRST}, {"priority", SETTLE_HIT_PRIORITY},
	{"rule_order", SETTLE_HIT_RULE_ORDER}, {"output_order", SETTLE_HIT_OUTPUT_ORDER}, {"collect", SETTLE_HIT_COLLECT},
	{"sum", SETTLE_HIT_SUM}, {"min", SETTLE_HIT_MIN}, {"max", SETTLE_HIT_MAX}, {"count", SETTLE_HIT_COUNT},
	{"product", SETTLE_HIT_PRODUCT}, {NULL, 0}
};

static const EnumName spans[] = {
	{"day", SETTLE_SPAN_DAY}, {"week", SETTLE_SPAN_WEEK}, {"month", SETTLE_SPAN_MONTH},
	{"quarter", SETTLE_SPAN_QUARTER}, {"year", SETTLE_SPAN_YEAR}, {"ever", SETTLE_SPAN_EVER}, {NULL, 0}
};

static const EnumName shares[] = {
	{"fee", SETTLE_SHARE_FEE}, {"base", SETTLE_SHARE_BASE}, {NULL, 0}
};

static const EnumName clocks[] = {
	{"ticket", SETTLE_CLOCK_TICKET}, {"posting", SETTLE_CLOCK_POSTING}, {NULL, 0}
};

static const EnumName repeats[] = {
	{"skip", SETTLE_REPEATS_SKIP}, {"pay", SETTLE_REPEATS_PAY}, {"only", SETTLE_REPEATS_ONLY}, {NULL, 0}
};

/*
 * Finds a name in a list; what says what the list is of.
 */
static int
name_in(const EnumName *names, const char *what, const char *name)
{
	StringInfoData all;

	for (const EnumName *n = names; n->name != NULL; n++)
		if (strcmp(n->name, name) == 0)
			return n->value;

	initStringInfo(&all);
	for (const EnumName *n = names; n->name != NULL; n++)
		appendStringInfo(&all, "%s%s", n == names ? "" : n[1].name == NULL ? " and " : ", ", n->name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", what, name),
			 errhint("Known are %s.", all.data)));
}

SettleChoicePolicy
settle_choice_policy_in(const char *name)
{
	return name_in(choice_policies, "policy of a choice", name);
}

SettleHitPolicy
settle_hit_policy_in(const char *name)
{
	return name_in(hit_policies, "hit policy", name);
}

SettleSpan
settle_span_in(const char *name)
{
	return name_in(spans, "accumulation period", name);
}

SettleShare
settle_share_in(const char *name)
{
	return name_in(shares, "share", name);
}

SettleClock
settle_clock_in(const char *name)
{
	return name_in(clocks, "clock", name);
}

SettleRepeats
settle_repeats_in(const char *name)
{
	return name_in(repeats, "value of repeats", name);
}

/* ---- reading the document ---- */

/* An object of the document, with its place for messages and the keys that were asked for. */
typedef struct Object
{
	JsonbContainer *container;
	const char *where;
	const char **asked;
	int			nasked;
} Object;

static void
malformed(const char *where, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("malformed ruleset: %s %s", where, problem),
			 errhint("settle.rules prints the form that is expected.")));
}

/*
 * Opens an object; ends with close_object, which refuses keys nobody asked for.
 */
static Object
open_object(JsonbContainer *container, const char *where)
{
	Object		object = {container, where, palloc(sizeof(char *) * 64), 0};

	if (!JsonContainerIsObject(container))
		malformed(where, "is not an object");
	return object;
}

static void
close_object(Object *object)
{
	JsonbIterator *it = JsonbIteratorInit(object->container);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		bool		known = false;

		if (token != WJB_KEY)
			continue;
		for (int i = 0; i < object->nasked && !known; i++)
			known = strlen(object->asked[i]) == v.val.string.len &&
				memcmp(object->asked[i], v.val.string.val, v.val.string.len) == 0;
		if (!known)
			malformed(object->where, psprintf("has the unknown key \"%s\"", pnstrdup(v.val.string.val, v.val.string.len)));
	}
	pfree(object->asked);
}

/*
 * Fetches a key; NULL where it is absent or null.
 */
static JsonbValue *
get(Object *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object->container, key, strlen(key), NULL);

	Assert(object->nasked < 64);
	object->asked[object->nasked++] = key;
	return value == NULL || value->type == jbvNull ? NULL : value;
}

/*
 * Spells a value as JSON does.
 */
static char *
value_json(JsonbValue *value)
{
	return JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, -1);
}

/*
 * Fetches a text; numbers and booleans are taken as they are written.
 */
static char *
value_text(JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return value_json(value);
	}
}

static char *
get_text(Object *object, const char *key)
{
	JsonbValue *value = get(object, key);

	return value == NULL ? NULL : value_text(value);
}

/*
 * Fetches the text form of a value of some type: JSON where that is the type.
 */
static char *
get_value(Object *object, const char *key, bool json)
{
	JsonbValue *value = get(object, key);

	return value == NULL ? NULL : json ? value_json(value) : value_text(value);
}

static char *
need_text(Object *object, const char *key)
{
	char	   *text = get_text(object, key);

	if (text == NULL || text[0] == '\0')
		malformed(object->where, psprintf("has no \"%s\"", key));
	return text;
}

static int
get_int(Object *object, const char *key)
{
	JsonbValue *value = get(object, key);

	if (value == NULL)
		return 0;
	if (value->type != jbvNumeric)
		malformed(object->where, psprintf("has a \"%s\" that is not a number", key));
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
}

static bool
get_bool(Object *object, const char *key)
{
	JsonbValue *value = get(object, key);

	if (value == NULL)
		return false;
	if (value->type != jbvBool)
		malformed(object->where, psprintf("has a \"%s\" that is neither true nor false", key));
	return value->val.boolean;
}

/*
 * Tells whether a timestamp is written with its offset from UTC.
 */
static bool
has_offset(const char *text)
{
	Size		len = strlen(text);
	Size		end = len;

	if (len > 0 && (text[len - 1] == 'Z' || text[len - 1] == 'z'))
		return true;
	while (end > 0 && (isdigit((unsigned char) text[end - 1]) || text[end - 1] == ':'))
		end--;
	return end > 11 && (text[end - 1] == '+' || text[end - 1] == '-');
}

/*
 * Fetches an instant, written with its offset so that it means the same in
 * every session, or -infinity, before which nothing is in force.
 */
static TimestampTz
get_instant(Object *object, const char *key, TimestampTz otherwise)
{
	char	   *text = get_text(object, key);

	if (text == NULL)
		return otherwise;
	if (strcmp(text, "-infinity") == 0)
		return DT_NOBEGIN;
	if (!has_offset(text))
		malformed(object->where, psprintf("has a \"%s\" without an offset from UTC: \"%s\"", key, text));
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * Fetches a list of texts.
 */
static int
get_list(Object *object, const char *key, char ***items)
{
	JsonbValue *value = get(object, key);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	int			n = 0;

	if (value == NULL)
		return 0;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		malformed(object->where, psprintf("has a \"%s\" that is not a list", key));
	*items = palloc(sizeof(char *) * Max(JsonContainerSize(value->val.binary.data), 1));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (v.type != jbvString)
			malformed(object->where, psprintf("has a \"%s\" with an item that is not a text", key));
		(*items)[n++] = pnstrdup(v.val.string.val, v.val.string.len);
	}
	return n;
}

/*
 * Calls a reader for each member of an object, in the order of its keys, or of
 * an array.
 */
typedef void (*MemberReader) (SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg);

static int
members(Object *object, const char *key, bool keyed, JsonbContainer **container)
{
	JsonbValue *value = get(object, key);

	*container = NULL;
	if (value == NULL)
		return 0;
	if (value->type != jbvBinary ||
		(keyed ? !JsonContainerIsObject(value->val.binary.data) : !JsonContainerIsArray(value->val.binary.data)))
		malformed(object->where, psprintf("has a \"%s\" that is not %s", key, keyed ? "an object" : "a list"));
	*container = value->val.binary.data;
	return JsonContainerSize(*container);
}

static void
each_member(SettleRulesetDef *def, JsonbContainer *container, const char *what, MemberReader reader, void *arg)
{
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	char	   *key = NULL;
	int			at = 0;

	if (container == NULL)
		return;
	it = JsonbIteratorInit(container);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			key = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE || token == WJB_ELEM)
		{
			const char *where = key != NULL ? psprintf("%s \"%s\"", what, key) : psprintf("%s %d", what, at + 1);

			if (v.type != jbvBinary && v.type != jbvString)
				malformed(where, "is not an object");
			def->reading = where;
			reader(def, at, key, v.type == jbvBinary ? v.val.binary.data : NULL, &v, arg);
			at++;
		}
	}
}

static void
read_source(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	SettleSourceDef *source = &def->sources[at];
	Object		o;

	if (member == NULL)
		malformed(psprintf("source \"%s\"", key), "is not an object");
	o = open_object(member, psprintf("source \"%s\"", key));
	source->source = unconstify(char *, key);
	source->key = need_text(&o, "key");
	source->ready_at = need_text(&o, "ready_at");
	source->rules_at = get_text(&o, "rules_at");
	source->period_at = get_text(&o, "period_at");
	source->project = get_text(&o, "project");
	source->region = get_text(&o, "region");
	source->channel = get_text(&o, "channel");
	source->revenue = get_text(&o, "revenue");
	source->cost = get_text(&o, "cost");
	source->tax = get_text(&o, "tax");
	source->currency = get_text(&o, "currency");
	source->reverses = get_text(&o, "reverses");
	source->order_ref = get_text(&o, "order_ref");
	source->rework_of = get_text(&o, "rework_of");
	close_object(&o);
}

static void
read_fact(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	SettleFactDef *fact = &def->facts[at];
	Object		o;

	if (member == NULL)
		malformed(psprintf("fact \"%s\"", key), "is not an object");
	o = open_object(member, psprintf("fact \"%s\"", key));
	fact->fact = unconstify(char *, key);
	fact->source = get_text(&o, "source");
	fact->relation = need_text(&o, "relation");
	fact->key = need_text(&o, "key");
	fact->valid = get_text(&o, "valid");
	fact->value = need_text(&o, "value");
	fact->lookup = need_text(&o, "lookup");
	fact->type = need_text(&o, "type");
	close_object(&o);
}

static void
read_choice(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	char	   *policy;

	if (member == NULL)
		policy = pnstrdup(value->val.string.val, value->val.string.len);
	else
	{
		/* one that came with a pack */
		Object		o = open_object(member, psprintf("choice \"%s\"", key));

		policy = need_text(&o, "policy");
		(void) get(&o, "pack");
		close_object(&o);
	}
	def->choices[at].choice = unconstify(char *, key);
	def->choices[at].policy = settle_choice_policy_in(policy);
}

/*
 * Fetches the pack that something belongs to, NULL for the base.
 */
static char *
get_pack(Object *object)
{
	char	   *pack = get_text(object, "pack");

	return pack == NULL || strcmp(pack, "base") == 0 ? NULL : pack;
}

static void
read_pack(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	SettlePackDef *pack = &def->packs[at];
	Object		o;

	if (member == NULL)
		malformed(psprintf("pack \"%s\"", key), "is not an object");
	o = open_object(member, psprintf("pack \"%s\"", key));
	pack->pack = unconstify(char *, key);
	pack->applies_when = get_text(&o, "applies_when");
	pack->source = get_text(&o, "source");
	/* without a scope there is nothing that reads the source */
	if (pack->applies_when != NULL && strcmp(pack->applies_when, "true") == 0)
		pack->applies_when = NULL;
	if (pack->applies_when == NULL)
		pack->source = NULL;
	pack->choice = get_text(&o, "choice");
	pack->priority = get_int(&o, "priority");
	pack->from = get_instant(&o, "from", DT_NOBEGIN);
	pack->until = get_instant(&o, "until", DT_NOEND);
	close_object(&o);
}

static void
read_outcome(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	SettleDecisionDef *decision = arg;
	SettleOutcomeDef *outcome = &decision->outcomes[at];
	const char *where = def->reading = psprintf("outcome %d of decision \"%s\"", at + 1, decision->decision);
	Object		o;

	if (member == NULL)
		malformed(where, "is not an object");
	o = open_object(member, where);
	outcome->source = get_text(&o, "source");
	outcome->pack = get_pack(&o);
	outcome->applies_when = need_text(&o, "applies_when");
	outcome->outcome = get_value(&o, "outcome", strcmp(decision->returns, "jsonb") == 0);
	if (outcome->outcome == NULL)
		malformed(where, "has no \"outcome\"");
	outcome->priority = get_int(&o, "priority");
	outcome->from = get_instant(&o, "from", DT_NOBEGIN);
	outcome->until = get_instant(&o, "until", DT_NOEND);
	outcome->title = get_text(&o, "title");
	close_object(&o);
}

/*
 * Reads the list of values that a decision ranks its outcomes by.
 */
static void
read_output_values(Object *object, SettleDecisionDef *decision)
{
	JsonbContainer *list;
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	int			n = members(object, "output_values", false, &list);

	if (list == NULL)
		return;
	if (n == 0)
		malformed(object->where, "has no value in \"output_values\"");
	decision->values = palloc(sizeof(Jsonb *) * n);
	it = JsonbIteratorInit(list);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			decision->values[decision->nvalues++] = JsonbValueToJsonb(&v);
}

static void
read_decision(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	SettleDecisionDef *decision = &def->decisions[at];
	JsonbContainer *outcomes;
	Object		o;

	if (member == NULL)
		malformed(psprintf("decision \"%s\"", key), "is not an object");
	o = open_object(member, psprintf("decision \"%s\"", key));
	decision->decision = unconstify(char *, key);
	decision->policy = settle_hit_policy_in(need_text(&o, "policy"));
	decision->returns = need_text(&o, "returns");
	(void) get(&o, "pack");
	decision->fallback = get_value(&o, "fallback",
								   strcmp(decision->returns, "jsonb") == 0 || settle_hit_gives_list(decision->policy));
	read_output_values(&o, decision);
	decision->noutcomes = members(&o, "outcomes", false, &outcomes);
	decision->outcomes = palloc0(sizeof(SettleOutcomeDef) * Max(decision->noutcomes, 1));
	each_member(def, outcomes, "outcome", read_outcome, decision);
	def->reading = o.where;
	close_object(&o);
}

static void
read_rule(SettleRulesetDef *def, int at, const char *key, JsonbContainer *member, JsonbValue *value, void *arg)
{
	SettleRuleDef *rule = &def->rules[at];
	char	   *where = psprintf("rule %d", at + 1);
	Object		o;
	char	   *text;

	if (member == NULL)
		malformed(where, "is not an object");
	o = open_object(member, where);
	rule->code = need_text(&o, "code");
	o.where = def->reading = psprintf("rule \"%s\"", rule->code);
	rule->component = need_text(&o, "component");
	rule->source = need_text(&o, "source");
	rule->payer = need_text(&o, "payer");
	rule->payee = get_text(&o, "payee");
	rule->payees = get_text(&o, "payees");
	rule->base = get_text(&o, "base");
	rule->remainder = get_bool(&o, "remainder");
	rule->applies_when = need_text(&o, "applies_when");
	rule->tiers = settle_tiers_in_text(need_text(&o, "tiers"));
	rule->nfactors = get_list(&o, "factors", &rule->factors);
	text = get_text(&o, "accumulate");
	rule->accumulate = text == NULL ? SETTLE_SPAN_NONE : settle_span_in(text);
	rule->tally_by = get_text(&o, "tally_by");
	rule->measure = get_text(&o, "measure");
	text = get_text(&o, "clock");
	rule->clock = text == NULL ? SETTLE_CLOCK_TICKET : settle_clock_in(text);
	text = get_text(&o, "share");
	rule->share = text == NULL ? SETTLE_SHARE_FEE : settle_share_in(text);
	rule->at_least = get_text(&o, "at_least");
	rule->at_most = get_text(&o, "at_most");
	rule->rounding = need_text(&o, "rounding");
	rule->unit = get_text(&o, "unit");
	rule->choice = get_text(&o, "choice");
	text = get_text(&o, "repeats");
	rule->repeats = text == NULL ? SETTLE_REPEATS_SKIP : settle_repeats_in(text);
	rule->priority = get_int(&o, "priority");
	rule->noverrides = get_list(&o, "overrides", &rule->overrides);
	rule->pack = get_pack(&o);
	rule->from = get_instant(&o, "from", DT_NOBEGIN);
	rule->until = get_instant(&o, "until", DT_NOEND);
	rule->title = get_text(&o, "title");
	close_object(&o);
}

static void
error_in_member(void *arg)
{
	errcontext("%s of the ruleset", ((SettleRulesetDef *) arg)->reading);
}

/*
 * Decodes a document into the current memory context.
 */
static SettleRulesetDef *
decode(JsonbContainer *document)
{
	SettleRulesetDef *def = palloc0(sizeof(SettleRulesetDef));
	Object		o;
	JsonbContainer *sources;
	JsonbContainer *facts;
	JsonbContainer *choices;
	JsonbContainer *packs;
	JsonbContainer *decisions;
	JsonbContainer *rules;
	ErrorContextCallback context;

	if (JsonContainerIsScalar(document))
		malformed("the document", "is not an object");
	o = open_object(document, "the document");
	if (get_int(&o, "format") != SETTLE_RULESET_FORMAT)
		malformed("the document", psprintf("has not the \"format\" %d", SETTLE_RULESET_FORMAT));
	def->time_zone = need_text(&o, "time_zone");
	def->currency = need_text(&o, "currency");
	def->period = need_text(&o, "period");
	(void) settle_span_in(def->period);
	def->nsources = members(&o, "sources", true, &sources);
	def->nfacts = members(&o, "facts", true, &facts);
	def->nchoices = members(&o, "choices", true, &choices);
	def->npacks = members(&o, "packs", true, &packs);
	def->ndecisions = members(&o, "decisions", true, &decisions);
	def->nrules = members(&o, "rules", false, &rules);
	close_object(&o);

	def->sources = palloc0(sizeof(SettleSourceDef) * Max(def->nsources, 1));
	def->facts = palloc0(sizeof(SettleFactDef) * Max(def->nfacts, 1));
	def->choices = palloc0(sizeof(SettleChoiceDef) * Max(def->nchoices, 1));
	def->packs = palloc0(sizeof(SettlePackDef) * Max(def->npacks, 1));
	def->decisions = palloc0(sizeof(SettleDecisionDef) * Max(def->ndecisions, 1));
	def->rules = palloc0(sizeof(SettleRuleDef) * Max(def->nrules, 1));
	context.callback = error_in_member;
	context.arg = def;
	context.previous = error_context_stack;
	error_context_stack = &context;
	each_member(def, sources, "source", read_source, NULL);
	each_member(def, facts, "fact", read_fact, NULL);
	each_member(def, choices, "choice", read_choice, NULL);
	each_member(def, packs, "pack", read_pack, NULL);
	each_member(def, decisions, "decision", read_decision, NULL);
	each_member(def, rules, "rule", read_rule, NULL);
	error_context_stack = context.previous;
	return def;
}

static JsonbContainer *
document_of(const SettleRuleset *ruleset)
{
	if (VARSIZE(ruleset) < sizeof(SettleRuleset) || ruleset->format != SETTLE_RULESET_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("settle.ruleset value has unknown format %u", VARSIZE(ruleset) < sizeof(SettleRuleset) ? 0 : ruleset->format)));
	return unconstify(JsonbContainer *, &ruleset->document);
}

SettleRulesetDef *
settle_ruleset_decode(const SettleRuleset *ruleset)
{
	return decode(document_of(ruleset));
}

const char *
settle_ruleset_only_source(const SettleRuleset *ruleset)
{
	JsonbValue *sources = getKeyJsonValueFromContainer(document_of(ruleset), "sources", strlen("sources"), NULL);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	const char *only = NULL;
	int			n = 0;

	if (sources != NULL && sources->type == jbvBinary)
	{
		it = JsonbIteratorInit(sources->val.binary.data);
		while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		{
			if (token != WJB_KEY ||
				(v.val.string.len == strlen(SETTLE_PERIOD_SOURCE) && memcmp(v.val.string.val, SETTLE_PERIOD_SOURCE, v.val.string.len) == 0))
				continue;
			only = pnstrdup(v.val.string.val, v.val.string.len);
			n++;
		}
	}
	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the ruleset has %d sources", n),
				 errhint("Say which one the ticket belongs to: source => 'ticket'.")));
	return only;
}

/*
 * Makes the value of a document, after checking that it can be read.
 */
SettleRuleset *
settle_ruleset_from_jsonb(Jsonb *document)
{
	Size		doc_size = VARSIZE(document) - VARHDRSZ;
	Size		size = offsetof(SettleRuleset, document) + doc_size;
	SettleRuleset *ruleset;
	char	   *text;
	pg_cryptohash_ctx *hash;

	(void) decode(&document->root);

	ruleset = palloc0(size);
	SET_VARSIZE(ruleset, size);
	ruleset->format = SETTLE_RULESET_FORMAT;
	memcpy(&ruleset->document, &document->root, doc_size);

	text = JsonbToCString(NULL, &document->root, (int) doc_size);
	hash = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(hash, ruleset->digest, SETTLE_DIGEST_LEN) < 0)
		elog(ERROR, "could not compute the digest of a ruleset: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	pfree(text);
	return ruleset;
}

/*
 * settle.ruleset input: a JSON document.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_in);
Datum
settle_ruleset_in(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, PG_GETARG_DATUM(0)));

	PG_RETURN_POINTER(settle_ruleset_from_jsonb(document));
}

/*
 * settle.ruleset output: the document, one key a line.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_out);
Datum
settle_ruleset_out(PG_FUNCTION_ARGS)
{
	SettleRuleset *ruleset = DatumGetSettleRuleset(PG_GETARG_DATUM(0));

	PG_RETURN_CSTRING(JsonbToCStringIndent(NULL, &ruleset->document, VARSIZE(ruleset)));
}

/*
 * settle.ruleset binary input: the document's text.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_recv);
Datum
settle_ruleset_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			nbytes;
	char	   *text = pq_getmsgtext(buf, buf->len - buf->cursor, &nbytes);

	PG_RETURN_POINTER(settle_ruleset_from_jsonb(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)))));
}

/*
 * settle.ruleset binary output: the document's text.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_send);
Datum
settle_ruleset_send(PG_FUNCTION_ARGS)
{
	SettleRuleset *ruleset = DatumGetSettleRuleset(PG_GETARG_DATUM(0));
	StringInfoData buf;
	char	   *text = JsonbToCString(NULL, &ruleset->document, VARSIZE(ruleset));

	pq_begintypsend(&buf);
	pq_sendtext(&buf, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * settle.ruleset(jsonb) returns settle.ruleset: the cast.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_from_json);
Datum
settle_ruleset_from_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(settle_ruleset_from_jsonb(PG_GETARG_JSONB_P(0)));
}

/*
 * settle.to_jsonb(settle.ruleset) returns jsonb: the document.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_to_json);
Datum
settle_ruleset_to_json(PG_FUNCTION_ARGS)
{
	SettleRuleset *ruleset = DatumGetSettleRuleset(PG_GETARG_DATUM(0));
	Size		doc_size = VARSIZE(ruleset) - offsetof(SettleRuleset, document);
	Jsonb	   *document = palloc(VARHDRSZ + doc_size);

	SET_VARSIZE(document, VARHDRSZ + doc_size);
	memcpy(&document->root, &ruleset->document, doc_size);
	PG_RETURN_JSONB_P(document);
}

/*
 * settle.digest(settle.ruleset) returns bytea: sha256 of the document.
 */
PG_FUNCTION_INFO_V1(settle_ruleset_digest);
Datum
settle_ruleset_digest(PG_FUNCTION_ARGS)
{
	SettleRuleset *ruleset = DatumGetSettleRuleset(PG_GETARG_DATUM(0));
	bytea	   *digest = palloc(VARHDRSZ + SETTLE_DIGEST_LEN);

	SET_VARSIZE(digest, VARHDRSZ + SETTLE_DIGEST_LEN);
	memcpy(VARDATA(digest), ruleset->digest, SETTLE_DIGEST_LEN);
	PG_RETURN_BYTEA_P(digest);
}
