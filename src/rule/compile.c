/*
 * compile.c
 *		Turns a ruleset into something that prices tickets of one source.
 *
 * Compiled sets are kept per backend under (digest of the ruleset, source, row
 * type identifier).  The key is the content, so an entry is never wrong: an
 * edit of the rules has another digest, an ALTER of the row type another
 * identifier, and no invalidation is needed.  A set is built in a context of
 * its own that is attached to CacheMemoryContext only when it is complete.
 *
 * Names depend on each other: mapped values (t) and decisions (d) on one
 * another, components (c) on the rules that make them.  Cycles are errors;
 * what is left is an order in which choices are settled, one after the other,
 * so that a rule that reads c.x comes after every rule that adds to x.  A rule
 * that takes the remainder comes after all that do not read its component.
 */
#include "rule/compile.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

/* How many compiled sets a backend keeps beyond those in use. */
#define KEEP_SETS	16

static SettleSet **sets = NULL;
static int	nsets = 0;			/* places, some of which may be empty */
static uint64 use_counter = 0;

static const char *const field_names[T_FIELDS] = {
	"key", "ready_at", "rules_at", "period_at", "project", "region", "revenue", "cost", "tax", "currency"
};

/* ---- terms ---- */

/*
 * A numeric expression that only widens an integer column is read from the
 * column itself.
 */
static Node *
peel_widening(Node *node)
{
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *f = (FuncExpr *) node;

		if ((f->funcid == F_NUMERIC_INT4 || f->funcid == F_NUMERIC_INT8 || f->funcid == F_NUMERIC_INT2) &&
			IsA(linitial(f->args), Var))
			return linitial(f->args);
	}
	return node;
}

/*
 * Lists the names beyond the source's columns that an expression reads.
 */
static int
list_needs(const SettleSet *set, const Bitmapset *uses, int **needs)
{
	int			n = 0;
	int			position = set->ncolumns;

	*needs = palloc(sizeof(int) * Max(bms_num_members(uses), 1));
	while ((position = bms_next_member(uses, position)) >= 0)
		(*needs)[n++] = position;
	return n;
}

/*
 * Remembers which columns of the source an expression reads.
 */
static void
note_uses(SettleSet *set, const Bitmapset *uses)
{
	int			position = 0;

	while ((position = bms_next_member(uses, position)) >= 0 && position <= set->ncolumns)
		set->uses = bms_add_member(set->uses, position);
}

/*
 * Makes the term of an expression.
 */
static Term *
make_term(SettleSet *set, const SettleExpr *expr, const char *what)
{
	Term	   *term = palloc0(sizeof(Term));
	Node	   *node = peel_widening((Node *) expr->node);

	term->expr = expr;
	term->what = pstrdup(what);
	term->nneeds = list_needs(set, expr->uses, &term->needs);
	note_uses(set, expr->uses);
	if (IsA(node, Var))
		term->position = ((Var *) node)->varattno;
	else if (IsA(node, Const))
		term->is_const = true;
	else if (bms_num_members(expr->uses) == 1 && term->nneeds == 0)
		term->memo_position = bms_singleton_member(expr->uses);
	return term;
}

/* A text that was read already, so that 10,000 rules over one base read it once. */
typedef struct ReadText
{
	const char *text;
	bool		is_template;
	Oid			wanted;
	int			nnames;			/* of the scope it was read in */
	Term	   *term;
	struct ReadText *next;		/* of the same hash */
} ReadText;

typedef struct ReadTextBucket
{
	uint32		hash;
	ReadText   *first;
} ReadTextBucket;

/*
 * Reads an expression or template, once for all places that spell it alike.
 * Returns NULL for no text.
 */
static Term *
read_term(SettleSet *set, const char *text, bool is_template, Oid wanted, const char *what)
{
	ReadTextBucket *bucket;
	ReadText   *entry;
	SettleExpr *expr;
	uint32		hash;
	bool		found;

	if (text == NULL)
		return NULL;
	hash = hash_bytes((const unsigned char *) text, (int) strlen(text));
	bucket = hash_search(set->texts, &hash, HASH_ENTER, &found);
	if (!found)
		bucket->first = NULL;
	for (entry = bucket->first; entry != NULL; entry = entry->next)
		if (entry->wanted == wanted && entry->is_template == is_template &&
			entry->nnames == set->scope.nnames && strcmp(entry->text, text) == 0)
			return entry->term;

	expr = is_template ? settle_template_read(text, &set->scope, what)
		: settle_expr_read(text, &set->scope, wanted, what);
	entry = palloc(sizeof(ReadText));
	entry->text = text;
	entry->is_template = is_template;
	entry->wanted = wanted;
	entry->nnames = set->scope.nnames;
	entry->term = make_term(set, expr, what);
	entry->next = bucket->first;
	bucket->first = entry;
	return entry->term;
}

/*
 * Reads an amount.  Binary floating point is refused: 0.1 is not 0.1 there.
 */
static Term *
read_amount(SettleSet *set, const char *text, const char *what)
{
	Oid			type;

	if (text == NULL)
		return NULL;
	type = read_term(set, text, false, InvalidOid, what)->expr->type;
	if (type == FLOAT4OID || type == FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s is of type %s", what, format_type_be(type)),
				 errdetail("Amounts are exact decimals, and a binary floating-point number is not one."),
				 errhint("Cast it where its digits are known to be right, for example (%s)::numeric(12,2).", text)));
	return read_term(set, text, false, NUMERICOID, what);
}

/*
 * Reads an expression that must end as a type to which there may be no
 * implicit way: a text becomes the type as by a cast.
 */
static Term *
read_as(SettleSet *set, const char *text, Oid type, const char *type_name, const char *what)
{
	Term	   *term = read_term(set, text, false, InvalidOid, what);

	if (term == NULL || term->expr->type == type)
		return term;
	return read_term(set, psprintf("(%s\n)::%s", text, type_name), false, type, what);
}

/* ---- scope ---- */

/*
 * Finds the type ltree, which stands in whatever schema its extension is in.
 */
static Oid
ltree_type(void)
{
	Oid			type = typenameTypeId(NULL, makeTypeName("ltree"));

	if (getExtensionOfObject(TypeRelationId, type) != get_extension_oid("ltree", false))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type ltree is not the one of the extension ltree")));
	return type;
}

static SettleName
scope_name(const char *qualifier, const char *name, Oid type, int32 typmod, Oid collation)
{
	SettleName	n = {qualifier, name, type, typmod, collation};

	return n;
}

/*
 * Lays out the names: columns of the source, t, d, c.
 */
static void
build_scope(SettleSet *set, TupleDesc row_type)
{
	static const Oid field_types[T_FIELDS] = {
		TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, InvalidOid, InvalidOid,
		NUMERICOID, NUMERICOID, NUMERICOID, TEXTOID
	};
	int			n = row_type->natts + T_FIELDS + set->ndecisions + set->ncomponents;
	SettleName *names = palloc0(sizeof(SettleName) * n);
	Oid			ltree = ltree_type();
	TupleDesc	desc;
	int			at = 0;

	if (n > MaxAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("source \"%s\" has too many names: %d", set->source, n),
				 errdetail("Columns, mapped values, decisions and components together can be at most %d.", MaxAttrNumber)));

	set->ncolumns = row_type->natts;
	for (int i = 0; i < row_type->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(row_type, i);

		names[at++] = scope_name(NULL, a->attisdropped ? NULL : pstrdup(NameStr(a->attname)),
								 a->atttypid, a->atttypmod, a->attcollation);
	}
	set->t0 = at + 1;
	for (int i = 0; i < T_FIELDS; i++)
	{
		Oid			type = OidIsValid(field_types[i]) ? field_types[i] : ltree;

		names[at++] = scope_name("t", field_names[i], type, -1, type == TEXTOID ? DEFAULT_COLLATION_OID : InvalidOid);
	}
	set->d0 = at + 1;
	for (int i = 0; i < set->ndecisions; i++)
	{
		Oid			type = set->decisions[i].type;

		names[at++] = scope_name("d", set->decisions[i].def->decision, type, -1, get_typcollation(type));
	}
	set->c0 = at + 1;
	for (int i = 0; i < set->ncomponents; i++)
		names[at++] = scope_name("c", set->components[i].name, NUMERICOID, -1, InvalidOid);
	set->scope.nnames = n;
	set->scope.names = names;

	desc = CreateTemplateTupleDesc(n);
	for (int i = 0; i < n; i++)
	{
		if (names[i].name == NULL)
		{
			TupleDescInitEntry(desc, i + 1, "", INT4OID, -1, 0);
			TupleDescAttr(desc, i)->attisdropped = true;
			continue;
		}
		TupleDescInitEntry(desc, i + 1, names[i].name, names[i].type, names[i].typmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, names[i].collation);
	}
	set->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	ExecStoreAllNullTuple(set->slot);
	set->name_epoch = palloc0(sizeof(uint64) * (n + 1));
	set->econtext = CreateStandaloneExprContext();
	set->econtext->ecxt_scantuple = set->slot;
}

/* ---- cycles among mapped values and decisions ---- */

typedef struct NameWalk
{
	SettleSet  *set;
	char	   *state;			/* by position: 0 new, 1 on the way, 2 done */
} NameWalk;

static const Bitmapset *
uses_of_name(SettleSet *set, int position)
{
	if (position >= set->t0 && position < set->d0)
	{
		int			field = position - set->t0;

		if (set->fields[field] != NULL)
			return set->fields[field]->expr->uses;
		/* the other times default to ready_at */
		return field == T_RULES_AT || field == T_PERIOD_AT ? bms_make_singleton(set->t0 + T_READY_AT) : NULL;
	}
	if (position >= set->d0 && position < set->c0)
		return set->decisions[position - set->d0].uses;
	return NULL;
}

static const char *
spell_name(SettleSet *set, int position)
{
	const SettleName *name = &set->scope.names[position - 1];

	return psprintf("%s.%s", name->qualifier, name->name);
}

static void
walk_names(NameWalk *walk, int position)
{
	const Bitmapset *uses = uses_of_name(walk->set, position);
	int			next = walk->set->ncolumns;

	check_stack_depth();
	if (walk->state[position] == 2)
		return;
	if (walk->state[position] == 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("%s depends on itself", spell_name(walk->set, position)),
				 errhint("Take it out of the expressions that it is made of.")));
	walk->state[position] = 1;
	while ((next = bms_next_member(uses, next)) >= 0)
		walk_names(walk, next);
	walk->state[position] = 2;
}

/*
 * Adds what the names among uses are made of, down to components.
 */
static Bitmapset *
components_behind(SettleSet *set, const Bitmapset *uses)
{
	Bitmapset  *components = NULL;
	int			position = set->c0 - 1;

	/* decisions and mapped values cannot read components, so only direct reads count */
	while ((position = bms_next_member(uses, position)) >= 0)
		components = bms_add_member(components, position - set->c0);
	return components;
}

/* ---- rules ---- */

static int
find_component(SettleSet *set, const char *name)
{
	for (int i = 0; i < set->ncomponents; i++)
		if (strcmp(set->components[i].name, name) == 0)
			return i;
	return -1;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/*
 * Lists the components that rules of the source make, in order of name.
 */
static void
build_components(SettleSet *set)
{
	const char **names = palloc(sizeof(char *) * Max(set->def->nrules, 1));
	int			n = 0;

	for (int i = 0; i < set->def->nrules; i++)
		if (strcmp(set->def->rules[i].source, set->source) == 0)
			names[n++] = set->def->rules[i].component;
	qsort(names, n, sizeof(char *), compare_names);
	set->components = palloc0(sizeof(Component) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (set->ncomponents == 0 || strcmp(set->components[set->ncomponents - 1].name, names[i]) != 0)
			set->components[set->ncomponents++].name = names[i];
	for (int i = 0; i < set->def->nrules; i++)
		if (set->def->rules[i].accumulate != SETTLE_SPAN_NONE && strcmp(set->def->rules[i].source, set->source) == 0)
			set->components[find_component(set, set->def->rules[i].component)].accumulates = true;
}

/*
 * Finds a choice by name, making it where it is not there yet.
 */
static int
find_choice(SettleSet *set, const char *name, SettleChoicePolicy policy)
{
	for (int i = 0; i < set->nchoices; i++)
		if (set->choices[i].name != NULL && strcmp(set->choices[i].name, name) == 0)
			return i;
	set->choices[set->nchoices].name = name;
	set->choices[set->nchoices].policy = policy;
	return set->nchoices++;
}

/*
 * Finds the choice that a rule stands in: the one it names, or its component.
 */
static int
choice_of_rule(SettleSet *set, const SettleRuleDef *def)
{
	const char *name = def->choice != NULL ? def->choice : def->component;

	/* "all" is no choice at all: each such rule stands alone */
	if (def->choice != NULL && strcmp(def->choice, "all") == 0)
	{
		set->choices[set->nchoices].policy = SETTLE_CHOICE_ALL;
		return set->nchoices++;
	}
	for (int i = 0; i < set->def->nchoices; i++)
		if (strcmp(set->def->choices[i].choice, name) == 0)
			return find_choice(set, name, set->def->choices[i].policy);
	if (def->choice != NULL && strcmp(def->choice, def->component) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("rule \"%s\" names the choice \"%s\", which does not exist", def->code, def->choice),
				 errhint("Make it with settle.add_choice, or use 'all' for rules that all apply.")));
	return find_choice(set, name, SETTLE_CHOICE_UNIQUE);
}

static void
refuse_rule(const SettleRuleDef *def, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rule \"%s\" %s", def->code, problem),
			 errhint("%s", hint)));
}

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
 * Compiles one rule.
 */
static void
build_rule(SettleSet *set, CompiledRule *rule, const SettleRuleDef *def)
{
	SettleExpr *when;
	Bitmapset  *reads = NULL;
	Choice	   *choice;
	int			component;

#define OF_RULE(part) psprintf("%s of rule \"%s\"", part, def->code)
	if ((def->payee == NULL) == (def->payees == NULL))
		refuse_rule(def, def->payee == NULL ? "has no payee" : "has both payee and payees",
					"Give payee, a template of one party, or payees, an expression for several.");
	if (def->remainder == (def->base != NULL))
		refuse_rule(def, def->remainder ? "has both a base and the remainder" : "has no base",
					"Give base, an expression, or say remainder => true.");

	rule->rule.def = def;
	rule->rule.pricer = shared_pricer(set, def->tiers);
	rule->code = def->code;
	rule->unit = def->unit;
	rule->accumulate = def->accumulate;
	rule->remainder = def->remainder;
	rule->has_bounds = def->at_least != NULL || def->at_most != NULL;
	rule->is_rate = settle_pricer_is_rate(rule->rule.pricer, &rule->rate);
	rule->rule.component = find_component(set, def->component);
	(void) settle_rounding_in(def->rounding, 2);

	if (def->remainder && (!rule->is_rate || settle_dec_cmp(rule->rate, settle_dec_int(1)) != 0 ||
						   def->nfactors > 0 || def->at_least || def->at_most || def->accumulate != SETTLE_SPAN_NONE))
		refuse_rule(def, "takes the remainder and changes it",
					"A remainder is what is left, whole: leave out tiers, factors, at_least, at_most and accumulate.");
	if (def->accumulate != SETTLE_SPAN_NONE && (def->at_least || def->at_most))
		refuse_rule(def, "accumulates and has at_least or at_most",
					"These bound the amount of one ticket; a total has its bounds in its tiers: '5%; min 30; max 2000'.");
	if (def->accumulate == SETTLE_SPAN_NONE && def->tally_by)
		refuse_rule(def, "has tally_by and does not accumulate", "Say accumulate => 'month', or leave tally_by out.");
	if (def->unit != NULL && (def->unit[0] == '\0' || strlen(def->unit) > SETTLE_MAX_UNIT))
		refuse_rule(def, psprintf("has the unit \"%s\"", def->unit), psprintf("A unit is a code of 1 to %d bytes, such as USD or POINTS.", SETTLE_MAX_UNIT));
	if (def->accumulate == SETTLE_SPAN_NONE && (def->measure || def->clock != SETTLE_CLOCK_TICKET))
		refuse_rule(def, psprintf("has %s and does not accumulate", def->measure ? "measure" : "clock"),
					"Say accumulate => 'month', or leave it out.");
	if (def->measure && !settle_pricer_is_volume(rule->rule.pricer))
		refuse_rule(def, "has a measure and tiers that are not volume rates",
					"What moves along the tiers chooses one rate for the whole base: 'volume 10% to 50, 12%'.");
	if (def->measure && def->payees)
		refuse_rule(def, "has a measure and several payees", "Nobody can say which of them the measure belongs to; write a rule for each.");
	if (def->share == SETTLE_SHARE_BASE && def->payees == NULL)
		refuse_rule(def, "shares its base among one payee", "Give payees, or leave share out.");

	when = settle_expr_read(def->applies_when, &set->scope, BOOLOID, OF_RULE("condition"));
	rule->when = when->node;
	note_uses(set, when->uses);
	reads = components_behind(set, when->uses);

	rule->base = read_amount(set, def->base, OF_RULE("base"));
	rule->payer = read_term(set, def->payer, true, InvalidOid, OF_RULE("payer"));
	rule->payee = read_term(set, def->payee, true, InvalidOid, OF_RULE("payee"));
	rule->payees = read_term(set, def->payees, false, InvalidOid, OF_RULE("payees"));
	if (rule->payees != NULL && rule->payees->expr->type != JSONBOID && rule->payees->expr->type != TEXTARRAYOID)
		refuse_rule(def, psprintf("has payees of type %s", format_type_be(rule->payees->expr->type)),
					"payees is a text array (equal parts) or a jsonb object of party and weight.");
	rule->tally_by = read_term(set, def->tally_by, true, InvalidOid, OF_RULE("tally_by"));
	rule->measure = read_amount(set, def->measure, OF_RULE("measure"));
	rule->at_least = read_amount(set, def->at_least, OF_RULE("at_least"));
	rule->at_most = read_amount(set, def->at_most, OF_RULE("at_most"));
	rule->nfactors = def->nfactors;
	rule->factors = palloc(sizeof(int) * Max(def->nfactors, 1));
	for (int i = 0; i < def->nfactors; i++)
	{
		rule->factors[i] = settle_decision_find(set, def->factors[i], psprintf("rule \"%s\"", def->code));
		if (!set->decisions[rule->factors[i]].is_numeric)
			refuse_rule(def, psprintf("has the factor \"%s\", which is not numeric", def->factors[i]),
						"A factor is a decision that returns numeric.");
	}

	{
		Term	   *terms[] = {rule->base, rule->payer, rule->payee, rule->payees, rule->tally_by, rule->measure, rule->at_least, rule->at_most};

		for (int i = 0; i < lengthof(terms); i++)
			if (terms[i] != NULL)
				reads = bms_add_members(reads, components_behind(set, terms[i]->expr->uses));
	}

	rule->choice = choice_of_rule(set, def);
	choice = &set->choices[rule->choice];
	choice->rules = lappend(choice->rules, rule);
	choice->has_remainder |= def->remainder;
	if (def->accumulate != SETTLE_SPAN_NONE &&
		(choice->policy == SETTLE_CHOICE_HIGHEST || choice->policy == SETTLE_CHOICE_LOWEST))
		refuse_rule(def, psprintf("accumulates and stands in the choice \"%s\", which compares amounts", choice->name),
					"The amount of an accumulating rule is known only with its tally; use the policy first.");

	if (rule->nfactors > 0)
		rule->factor = rule->factors[0];

	/* what the rule reads must be complete before its choice; noted by component until all choices are known */
	component = -1;
	while ((component = bms_next_member(reads, component)) >= 0)
	{
		if (set->components[component].accumulates)
			refuse_rule(def, psprintf("reads c.%s, which accumulates", quote_identifier(set->components[component].name)),
						"The amount of an accumulating line is known only with its tally, and changes with it; read what it is made of.");
		choice->after = bms_add_member(choice->after, component);
	}
}

/* ---- order ---- */

typedef struct ChoiceWalk
{
	SettleSet  *set;
	Bitmapset **after;			/* by choice: choices before it */
	char	   *state;
	int		   *order;
	int			n;
} ChoiceWalk;

/*
 * Settles into "order" first what a choice depends on, then the choice.
 */
static void
walk_choices(ChoiceWalk *walk, int at)
{
	int			before = -1;

	check_stack_depth();
	if (walk->state[at] == 2)
		return;
	if (walk->state[at] == 1)
	{
		CompiledRule *rule = linitial(walk->set->choices[at].rules);

		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("component \"%s\" depends on itself", rule->rule.def->component),
				 errdetail("Rule \"%s\" adds to it, and what that rule reads or what overrides it comes back to the component.", rule->rule.def->code),
				 errhint("Break the cycle: a rule can read with c.<component> only components that are complete before it.")));
	}
	walk->state[at] = 1;
	while ((before = bms_next_member(walk->after[at], before)) >= 0)
		walk_choices(walk, before);
	walk->state[at] = 2;
	walk->order[walk->n++] = at;
}

/*
 * Tells for a choice whether it comes after another one; marks what it learns.
 */
static bool
depends_on(Bitmapset **after, int at, int on, char *known)
{
	enum {NEW, NO, YES};
	int			before = -1;

	if (at == on)
		return true;
	if (known[at] != NEW)
		return known[at] == YES;
	check_stack_depth();
	known[at] = NO;
	while ((before = bms_next_member(after[at], before)) >= 0)
		if (depends_on(after, before, on, known))
		{
			known[at] = YES;
			return true;
		}
	return false;
}

/*
 * Orders the choices so that each comes after all that it depends on.
 */
static int *
order_choices(SettleSet *set)
{
	Bitmapset **after = palloc0(sizeof(Bitmapset *) * Max(set->nchoices, 1));
	Bitmapset **makers = palloc0(sizeof(Bitmapset *) * Max(set->ncomponents, 1));
	ChoiceWalk	walk = {set, after, palloc0(set->nchoices + 1), palloc(sizeof(int) * Max(set->nchoices, 1)), 0};
	ListCell   *lc;

	for (int i = 0; i < set->nchoices; i++)
		foreach(lc, set->choices[i].rules)
		{
			int			component = ((CompiledRule *) lfirst(lc))->rule.component;

			makers[component] = bms_add_member(makers[component], i);
		}
	for (int i = 0; i < set->nchoices; i++)
	{
		int			component = -1;

		while ((component = bms_next_member(set->choices[i].after, component)) >= 0)
			after[i] = bms_add_members(after[i], makers[component]);
		foreach(lc, set->choices[i].rules)
		{
			CompiledRule *rule = lfirst(lc);

			for (int k = 0; k < rule->noverrides; k++)
				if (rule->overrides[k]->choice != i)
					after[rule->overrides[k]->choice] = bms_add_member(after[rule->overrides[k]->choice], i);
		}
	}
	for (int i = 0; i < set->nchoices; i++)
	{
		char	   *known;

		if (!set->choices[i].has_remainder)
			continue;
		known = palloc0(set->nchoices);
		for (int k = 0; k < set->nchoices; k++)
			if (k != i && !set->choices[k].has_remainder &&
				!depends_on(after, k, i, known))
				after[i] = bms_add_member(after[i], k);
	}
	for (int i = 0; i < set->nchoices; i++)
		walk_choices(&walk, i);
	return walk.order;
}

static int
compare_rules(const ListCell *a, const ListCell *b)
{
	const SettleRuleDef *ra = ((CompiledRule *) lfirst(a))->rule.def;
	const SettleRuleDef *rb = ((CompiledRule *) lfirst(b))->rule.def;
	int			cmp;

	if (ra->priority != rb->priority)
		return ra->priority > rb->priority ? -1 : 1;
	cmp = strcmp(ra->code, rb->code);
	if (cmp != 0)
		return cmp;
	return ra->from < rb->from ? -1 : ra->from > rb->from;
}

static int
compare_versions(const void *a, const void *b)
{
	const CompiledRule *ra = *(CompiledRule *const *) a;
	const CompiledRule *rb = *(CompiledRule *const *) b;
	int			cmp = strcmp(ra->rule.def->code, rb->rule.def->code);

	if (cmp != 0)
		return cmp;
	return ra->rule.def->from < rb->rule.def->from ? -1 : ra->rule.def->from > rb->rule.def->from;
}

static bool
overrides_already(const CompiledRule *rule, const CompiledRule *other)
{
	for (int i = 0; i < rule->noverrides; i++)
		if (rule->overrides[i] == other)
			return true;
	return false;
}

/*
 * Refuses rules that override each other in a circle: where all of them hit,
 * none would apply, and nobody would be paid.  "state" is by ordinal: 0 new, 1
 * on the way, 2 done.
 */
static void
walk_overrides(CompiledRule *rule, char *state)
{
	check_stack_depth();
	state[rule->rule.ordinal] = 1;
	for (int i = 0; i < rule->noverrides; i++)
	{
		CompiledRule *other = rule->overrides[i];

		/* versions that are never in force together cannot both hold */
		if (rule->rule.def->until <= other->rule.def->from || other->rule.def->until <= rule->rule.def->from)
			continue;
		if (state[other->rule.ordinal] == 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 rule == other ? errmsg("rule \"%s\" overrides itself", rule->rule.def->code)
					 : errmsg("rules \"%s\" and \"%s\" override each other", rule->rule.def->code, other->rule.def->code),
					 errhint("Where both hold neither would apply; leave one of them out.")));
		if (state[other->rule.ordinal] == 0)
			walk_overrides(other, state);
	}
	state[rule->rule.ordinal] = 2;
}

/*
 * Ties the versions of a code together, and overrides to the rules they name.
 */
static void
link_codes(SettleSet *set, CompiledRule **rules, int n)
{
	CompiledRule **sorted = palloc(sizeof(CompiledRule *) * Max(n, 1));
	char	   *state;
	int			first = 0;

	memcpy(sorted, rules, sizeof(CompiledRule *) * n);
	qsort(sorted, n, sizeof(CompiledRule *), compare_versions);
	for (int i = 1; i <= n; i++)
	{
		SettleRuleCode *code;

		if (i < n && strcmp(sorted[i]->rule.def->code, sorted[first]->rule.def->code) == 0)
		{
			if (sorted[i]->rule.def->from < sorted[i - 1]->rule.def->until)
				ereport(ERROR,
						(errcode(ERRCODE_EXCLUSION_VIOLATION),
						 errmsg("two versions of rule \"%s\" are in force at the same time", sorted[i]->rule.def->code),
						 errhint("Versions of one code must not overlap; end one before the other begins.")));
			continue;
		}
		code = palloc0(sizeof(SettleRuleCode));
		code->code = sorted[first]->rule.def->code;
		code->nversions = i - first;
		code->versions = palloc(sizeof(SettleRule *) * code->nversions);
		for (int k = first; k < i; k++)
		{
			code->versions[k - first] = &sorted[k]->rule;
			sorted[k]->rule.code = code;
		}
		first = i;
	}
	for (int i = 0; i < n; i++)
	{
		CompiledRule *rule = rules[i];

		if (rule->rule.def->noverrides == 0)
			continue;
		rule->overrides = palloc(sizeof(CompiledRule *) * n);
		for (int k = 0; k < rule->rule.def->noverrides; k++)
		{
			bool		known = false;

			for (int m = 0; m < n; m++)
				if (strcmp(sorted[m]->rule.def->code, rule->rule.def->overrides[k]) == 0)
				{
					known = true;
					/* a code may be named twice */
					if (!overrides_already(rule, sorted[m]))
						rule->overrides[rule->noverrides++] = sorted[m];
				}
			if (!known)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_OBJECT),
						 errmsg("rule \"%s\" overrides the rule \"%s\", which does not exist", rule->rule.def->code, rule->rule.def->overrides[k]),
						 errhint("Only rules of the same source can be overridden.")));
		}
	}
	state = palloc0(n + 1);
	for (int i = 0; i < n; i++)
		rules[i]->rule.ordinal = i;
	for (int i = 0; i < n; i++)
		if (state[i] == 0)
			walk_overrides(rules[i], state);
}

/*
 * Compiles the rules of the source and puts them in order.
 */
static void
build_rules(SettleSet *set, const Bitmapset *indexable)
{
	CompiledRule **rules = palloc(sizeof(CompiledRule *) * Max(set->def->nrules, 1));
	CompiledRule *all = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(CompiledRule) * Max(set->def->nrules, 1),
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	SettleCondition *conditions;
	int		   *order;
	int			n = 0;
	ListCell   *lc;

	set->choices = palloc0(sizeof(Choice) * Max(set->def->nrules, 1));
	for (int i = 0; i < set->def->nrules; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (strcmp(set->def->rules[i].source, set->source) == 0)
		{
			rules[n] = &all[n];
			build_rule(set, rules[n], &set->def->rules[i]);
			n++;
		}
	}
	link_codes(set, rules, n);
	order = order_choices(set);

	set->nrules = 0;
	set->rules = palloc(sizeof(CompiledRule *) * Max(n, 1));
	for (int i = 0; i < set->nchoices; i++)
	{
		Choice	   *choice = &set->choices[order[i]];

		list_sort(choice->rules, compare_rules);
		foreach(lc, choice->rules)
			set->rules[set->nrules++] = lfirst(lc);
	}

	conditions = palloc0(sizeof(SettleCondition) * Max(n, 1));
	for (int i = 0; i < n; i++)
		conditions[i] = (SettleCondition)
		{
			.when = set->rules[i]->when, .from = set->rules[i]->rule.def->from, .until = set->rules[i]->rule.def->until
		};
	set->matcher = settle_matcher(conditions, n, indexable);
	set->candidates = palloc(sizeof(int) * Max(n, 1));
	set->hits = palloc(sizeof(CompiledRule *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		Expr	   *residual = settle_residual(set->matcher, i);
		Bitmapset  *uses = NULL;
		List	   *vars;

		set->rules[i]->rule.ordinal = i;
		set->rules[i]->has_residual = residual != NULL;
		if (residual == NULL)
			continue;
		vars = pull_var_clause((Node *) residual, 0);
		foreach(lc, vars)
			uses = bms_add_member(uses, ((Var *) lfirst(lc))->varattno);
		set->rules[i]->nneeds = list_needs(set, uses, &set->rules[i]->needs);
	}
}

/* ---- the set ---- */

/*
 * Reads the mapping of the source.
 */
static void
build_fields(SettleSet *set)
{
	const SettleSourceDef *def = set->source_def;
	int			all = set->scope.nnames;

#define OF_SOURCE(part) psprintf("%s of source \"%s\"", part, set->source)
	/* a mapping sees columns, t and decisions, not components */
	set->scope.nnames = set->c0 - 1;
	set->fields[T_KEY] = read_as(set, def->key, TEXTOID, "text", OF_SOURCE("key"));
	if (set->fields[T_KEY]->nneeds > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key of source \"%s\" uses more than its columns", set->source)));
	set->fields[T_READY_AT] = read_term(set, def->ready_at, false, TIMESTAMPTZOID, OF_SOURCE("ready_at"));
	set->fields[T_RULES_AT] = read_term(set, def->rules_at, false, TIMESTAMPTZOID, OF_SOURCE("rules_at"));
	set->fields[T_PERIOD_AT] = read_term(set, def->period_at, false, TIMESTAMPTZOID, OF_SOURCE("period_at"));
	set->fields[T_PROJECT] = read_as(set, def->project, set->scope.names[set->t0 - 1 + T_PROJECT].type, "ltree", OF_SOURCE("project"));
	set->fields[T_REGION] = read_as(set, def->region, set->scope.names[set->t0 - 1 + T_REGION].type, "ltree", OF_SOURCE("region"));
	set->fields[T_REVENUE] = read_amount(set, def->revenue, OF_SOURCE("revenue"));
	set->fields[T_COST] = read_amount(set, def->cost, OF_SOURCE("cost"));
	set->fields[T_TAX] = read_amount(set, def->tax, OF_SOURCE("tax"));
	set->fields[T_CURRENCY] = read_as(set, def->currency, TEXTOID, "text", OF_SOURCE("currency"));
	set->scope.nnames = all;
}

static void
error_in_ruleset(void *arg)
{
	errcontext("ruleset of source \"%s\"", (const char *) arg);
}

/*
 * Compiles into the current memory context.
 */
static SettleSet *
compile(const SettleRuleset *ruleset, const char *source, TupleDesc row_type)
{
	SettleSet  *set = palloc0(sizeof(SettleSet));
	Bitmapset  *indexable = NULL;
	SettleScope without_components;
	NameWalk	walk;
	int			nestlevel;
	HASHCTL		hash_control;
	ErrorContextCallback context;

	set->context = CurrentMemoryContext;
	memcpy(set->digest, ruleset->digest, SETTLE_DIGEST_LEN);
	set->source = pstrdup(source);
	set->def = settle_ruleset_decode(ruleset);
	set->period = settle_span_in(set->def->period);
	for (int i = 0; i < set->def->nsources; i++)
		if (strcmp(set->def->sources[i].source, source) == 0)
			set->source_def = &set->def->sources[i];
	if (set->source_def == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the ruleset has no source \"%s\"", source)));

	context.callback = error_in_ruleset;
	context.arg = set->source;
	context.previous = error_context_stack;
	error_context_stack = &context;
	hash_control.keysize = sizeof(uint32);
	hash_control.entrysize = sizeof(ReadTextBucket);
	hash_control.hcxt = CurrentMemoryContext;
	set->texts = hash_create("scrm_settle texts", 256, &hash_control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	nestlevel = settle_env_enter(set->def->time_zone);

	settle_decision_types(set, ltree_type());
	build_components(set);
	build_scope(set, row_type);
	build_fields(set);

	/* columns and mapped values are in the slot before anything is matched */
	for (int position = 1; position < set->d0; position++)
		indexable = bms_add_member(indexable, position);
	without_components = set->scope;
	without_components.nnames = set->c0 - 1;
	for (int i = 0; i < set->ndecisions; i++)
	{
		settle_decision_build(set, &set->decisions[i], &without_components, indexable);
		note_uses(set, set->decisions[i].uses);
	}
	walk.set = set;
	walk.state = palloc0(set->scope.nnames + 1);
	for (int position = set->t0; position < set->c0; position++)
		walk_names(&walk, position);

	build_rules(set, indexable);
	settle_set_init_parties(set);
	set->lines_space = 16;
	set->lines = palloc(sizeof(SettleLine) * set->lines_space);

	settle_env_leave(nestlevel);
	error_context_stack = context.previous;
	return set;
}

/*
 * Identifies a row type: the number changes whenever the type is altered, and
 * it exists for anonymous records too.  A type that is not blessed yet has none.
 */
static uint64
identify_row_type(TupleDesc row_type)
{
	return assign_record_type_identifier(row_type->tdtypeid, row_type->tdtypmod);
}

/*
 * Lets go of all sets at the end of a transaction, whoever still holds one
 * because an error took him away.
 */
static void
release_all(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE || event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	for (int i = 0; i < nsets; i++)
		if (sets[i] != NULL)
			sets[i]->pins = 0;
}

SettleSet *
settle_set_get(const SettleRuleset *ruleset, const char *source, TupleDesc row_type)
{
	static bool registered = false;
	uint64		type;
	int			place = -1;
	MemoryContext context;
	MemoryContext old;
	SettleSet  *set;

	if (!registered)
	{
		RegisterXactCallback(release_all, NULL);
		registered = true;
	}
	if (row_type->tdtypeid == RECORDOID && row_type->tdtypmod < 0)
		assign_record_type_typmod(row_type);
	type = identify_row_type(row_type);

	for (int i = 0; i < nsets; i++)
	{
		if (sets[i] == NULL)
			place = i;
		else if (sets[i]->row_type == type && memcmp(sets[i]->digest, ruleset->digest, SETTLE_DIGEST_LEN) == 0 &&
				 strcmp(sets[i]->source, source) == 0)
		{
			sets[i]->pins++;
			sets[i]->last_use = ++use_counter;
			return sets[i];
		}
	}
	if (place < 0 && nsets >= KEEP_SETS)
	{
		/* the one that was not used for longest makes room */
		for (int i = 0; i < nsets; i++)
			if (sets[i]->pins == 0 && (place < 0 || sets[i]->last_use < sets[place]->last_use))
				place = i;
		if (place >= 0)
		{
			set = sets[place];
			sets[place] = NULL;
			MemoryContextDelete(set->context);
		}
	}
	if (place < 0)
	{
		Size		size = sizeof(SettleSet *) * (nsets + 1);

		sets = sets == NULL ? MemoryContextAlloc(TopMemoryContext, size) : repalloc(sets, size);
		place = nsets;
		sets[nsets++] = NULL;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle ruleset", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	set = compile(ruleset, source, row_type);
	MemoryContextSwitchTo(old);
	set->row_type = type;
	set->pins = 1;
	set->last_use = ++use_counter;
	MemoryContextSetParent(context, CacheMemoryContext);
	MemoryContextSetIdentifier(context, set->source);
	sets[place] = set;
	return set;
}

void
settle_set_release(SettleSet *set)
{
	set->pins--;
}

/* ---- questions ---- */

TupleTableSlot *
settle_set_slot(SettleSet *set)
{
	return set->slot;
}

const Bitmapset *
settle_set_uses(const SettleSet *set)
{
	return set->uses;
}

const char *
settle_set_time_zone(const SettleSet *set)
{
	return set->def->time_zone;
}

Oid
settle_set_path_type(const SettleSet *set)
{
	return set->scope.names[set->t0 - 1 + T_PROJECT].type;
}

/*
 * Gives the expression that tells when a ticket is ready, NULL where it needs
 * more than the ticket's columns.
 */
const char *
settle_set_ready_at(const SettleSet *set)
{
	return set->fields[T_READY_AT]->nneeds > 0 ? NULL : set->fields[T_READY_AT]->expr->canonical;
}

/*
 * Gives the expression for the time of a ticket, by which scans are bounded.
 */
const char *
settle_set_time(const SettleSet *set)
{
	Term	   *term = set->fields[T_PERIOD_AT] != NULL ? set->fields[T_PERIOD_AT] : set->fields[T_READY_AT];

	if (term->nneeds > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tickets of source \"%s\" cannot be bounded by time", set->source),
				 errdetail("Their time is an expression over more than their columns."),
				 errhint("Rescan the source without bounds.")));
	return term->expr->canonical;
}

int
settle_set_nrules(const SettleSet *set)
{
	return set->nrules;
}

const SettleRule *
settle_set_rule(const SettleSet *set, int ordinal)
{
	return &set->rules[ordinal]->rule;
}

/*
 * Gives the key expression in its canonical text.  Where it only spells one
 * column, an integer or a uuid, as text, tells the column and its type, so
 * that tickets are looked up by the column and its index.
 */
const char *
settle_set_key(const SettleSet *set, const char **column, Oid *type)
{
	const SettleExpr *key = set->fields[T_KEY]->expr;
	Node	   *node = (Node *) key->node;

	*column = NULL;
	*type = TEXTOID;
	if (IsA(node, CoerceViaIO))
		node = (Node *) ((CoerceViaIO *) node)->arg;
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, Var))
	{
		switch (((Var *) node)->vartype)
		{
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case UUIDOID:
			case TEXTOID:
			case VARCHAROID:
				*column = set->scope.names[((Var *) node)->varattno - 1].name;
				*type = ((Var *) node)->vartype;
				break;
			default:
				break;
		}
	}
	return key->canonical;
}

const char *
settle_set_failing(const SettleSet *set)
{
	return set->failing;
}
