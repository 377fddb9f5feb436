/*
 * compile.c
 *		Turns a ruleset into something that prices tickets of one source.
 *
 * Texts become expressions over one scope of names: the source's columns, then
 * the mapped values, facts, decisions and components.  The order in which they are
 * needed is found in order.c, the result is kept in set.c.
 */
#include "rule/compile.h"

#include "catalog/dependency.h"
#include "catalog/pg_collation.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

static const char *const field_names[T_FIELDS] = {
	"key", "ready_at", "rules_at", "period_at", "project", "region", "channel", "revenue", "cost", "tax", "currency",
	"order_ref", "rework_of", "duplicate_of"
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

int
settle_list_needs(const SettleSet *set, const Bitmapset *uses, int **needs)
{
	int			n = 0;
	int			position = set->ncolumns;

	*needs = palloc(sizeof(int) * Max(bms_num_members(uses), 1));
	while ((position = bms_next_member(uses, position)) >= 0)
		(*needs)[n++] = position;
	return n;
}

/*
 * Remembers which columns of the source, facts and components an expression reads.
 */
static void
note_uses(SettleSet *set, const Bitmapset *uses)
{
	int			position = 0;

	while ((position = bms_next_member(uses, position)) >= 0 && position <= set->ncolumns)
		set->uses = bms_add_member(set->uses, position);
	position = set->f0 - 1;
	while ((position = bms_next_member(uses, position)) >= 0 && position < set->d0)
		set->facts[position - set->f0].used = true;
	position = set->c0 - 1;
	while ((position = bms_next_member(uses, position)) >= 0)
		set->components[position - set->c0].is_read = true;
}

/*
 * Remembers whether settings could matter to an expression.
 */
void
settle_note_settings(SettleSet *set, const Expr *node)
{
	set->needs_settings = set->needs_settings || contain_mutable_functions((Node *) node);
}

/*
 * Makes the term of an expression; what a name is made of is no amount.
 */
static Term *
make_term(SettleSet *set, const SettleExpr *expr, bool is_name, const char *what)
{
	Term	   *term = palloc0(sizeof(Term));
	Node	   *node = peel_widening((Node *) expr->node);

	term->expr = expr;
	term->what = pstrdup(what);
	term->nneeds = settle_list_needs(set, expr->uses, &term->needs);
	note_uses(set, expr->uses);
	settle_note_settings(set, expr->node);
	if (is_name)
		set->names = bms_add_members(set->names, expr->uses);
	if (IsA(node, Var))
		term->position = ((Var *) node)->varattno;
	else if (IsA(node, Const))
		term->is_const = true;
	else if (bms_num_members(expr->uses) == 1 && term->nneeds == 0)
	{
		term->memo_position = bms_singleton_member(expr->uses);
		get_typlenbyval(set->scope.names[term->memo_position - 1].type, &term->memo_length, &term->memo_by_number);
	}
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
 * Tells whether a term is nothing but a column of the source, which every scope
 * calls the same.
 */
static inline bool
is_column(const SettleSet *set, const Term *term)
{
	return term->position > 0 && term->position <= set->ncolumns;
}

/*
 * Reads an expression or template, once for all places that spell it alike.
 * Returns NULL for no text.
 */
Term *
settle_read_term(SettleSet *set, const char *text, bool is_template, Oid wanted, const char *what)
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
			(entry->nnames == set->scope.nnames || is_column(set, entry->term)) && strcmp(entry->text, text) == 0)
			return entry->term;

	expr = is_template ? settle_template_read(text, &set->scope, what)
		: settle_expr_read(text, &set->scope, wanted, what);
	entry = palloc(sizeof(ReadText));
	entry->text = text;
	entry->is_template = is_template;
	entry->wanted = wanted;
	entry->nnames = set->scope.nnames;
	entry->term = make_term(set, expr, is_template, what);
	entry->next = bucket->first;
	bucket->first = entry;
	return entry->term;
}

/*
 * Reads an amount.  Binary floating point is refused: 0.1 is not 0.1 there.
 */
Term *
settle_read_amount(SettleSet *set, const char *text, const char *what)
{
	Oid			type;

	if (text == NULL)
		return NULL;
	type = settle_read_term(set, text, false, InvalidOid, what)->expr->type;
	if (type == FLOAT4OID || type == FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s is of type %s", what, format_type_be(type)),
				 errdetail("Amounts are exact decimals, and a binary floating-point number is not one."),
				 errhint("Cast it where its digits are known to be right, for example (%s)::numeric(12,2).", text)));
	return settle_read_term(set, text, false, NUMERICOID, what);
}

/*
 * Reads an expression that must end as a type to which there may be no
 * implicit way: a text becomes the type as by a cast.
 */
Term *
settle_read_as(SettleSet *set, const char *text, Oid type, const char *type_name, const char *what)
{
	Term	   *term = settle_read_term(set, text, false, InvalidOid, what);

	if (term == NULL || term->expr->type == type)
		return term;
	return settle_read_term(set, psprintf("(%s\n)::%s", text, type_name), false, type, what);
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
 * Lays out the names: columns of the source, t, f, d, c.
 */
static void
build_scope(SettleSet *set, TupleDesc row_type)
{
	static const Oid field_types[T_FIELDS] = {
		TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, InvalidOid, InvalidOid, TEXTOID,
		NUMERICOID, NUMERICOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID
	};
	int			n = row_type->natts + T_FIELDS + set->nfacts + set->ndecisions + set->ncomponents;
	SettleName *names = palloc0(sizeof(SettleName) * n);
	Oid			ltree = ltree_type();
	TupleDesc	desc;
	int			at = 0;

	if (n > MaxAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("source \"%s\" has too many names: %d", set->source, n),
				 errdetail("Columns, mapped values, facts, decisions and components together can be at most %d.", MaxAttrNumber)));

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
	set->f0 = at + 1;
	for (int i = 0; i < set->nfacts; i++)
	{
		Oid			type = set->facts[i].type;

		names[at++] = scope_name("f", set->facts[i].def->fact, type, -1, get_typcollation(type));
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

/*
 * Adds what the names among uses are made of, down to components.
 */
static Bitmapset *
components_behind(SettleSet *set, const Bitmapset *uses)
{
	Bitmapset  *components = NULL;
	int			position = set->c0 - 1;

	/* decisions, facts and mapped values cannot read components, so only direct reads count */
	while ((position = bms_next_member(uses, position)) >= 0)
		components = bms_add_member(components, position - set->c0);
	return components;
}

/*
 * Finds the components that a rule reads, in its condition or to price.
 */
static Bitmapset *
components_read(SettleSet *set, const CompiledRule *rule, const Bitmapset *condition)
{
	Bitmapset  *components = components_behind(set, condition);
	const Term *terms[] = PRICING_TERMS(rule->pricing);

	for (int i = 0; i < lengthof(terms); i++)
		if (terms[i] != NULL)
			components = bms_add_members(components, components_behind(set, terms[i]->expr->uses));
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

void
settle_refuse_rule(const SettleRuleDef *def, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rule \"%s\" %s", def->code, problem),
			 errhint("%s", hint)));
}

/*
 * Compiles one rule.
 */
static void
build_rule(SettleSet *set, CompiledRule *rule, const SettleRuleDef *def)
{
	SettleExpr *when;
	Bitmapset  *reads;
	Pack	   *pack;
	Choice	   *choice;
	int			component;

	settle_pricing_check(def);
	rule->rule.def = def;
	rule->code = def->code;
	rule->repeats = def->repeats;
	rule->rule.component = find_component(set, def->component);

	when = settle_expr_read(def->applies_when, &set->scope, BOOLOID, psprintf("condition of rule \"%s\"", def->code));
	pack = settle_pack_find(set, def->pack, def->source, psprintf("rule \"%s\"", def->code));
	rule->when = settle_pack_narrow(pack, when->node);
	if (pack != NULL && pack->choice != NULL)
		rule->pack = pack;
	note_uses(set, when->uses);
	settle_note_settings(set, when->node);
	/* rates are asked of a statement */
	set->needs_settings = set->needs_settings || def->unit != NULL;
	set->matched = bms_add_members(set->matched, when->uses);
	if (pack != NULL)
		set->matched = bms_add_members(set->matched, pack->uses);

	rule->pricing = settle_pricing_read(set, def, rule->rule.component);
	rule->rule.pricer = rule->pricing->pricer;

	rule->choice = choice_of_rule(set, def);
	choice = &set->choices[rule->choice];
	choice->rules = lappend(choice->rules, rule);
	choice->has_remainder |= def->remainder;
	if (def->accumulate != SETTLE_SPAN_NONE &&
		(choice->policy == SETTLE_CHOICE_HIGHEST || choice->policy == SETTLE_CHOICE_LOWEST))
		settle_refuse_rule(def, psprintf("accumulates and stands in the choice \"%s\", which compares amounts", choice->name),
					"The amount of an accumulating rule is known only with its tally; use the policy first.");

	/* what the rule reads must be complete before its choice; noted by component until all choices are known */
	reads = components_read(set, rule, when->uses);
	component = -1;
	while ((component = bms_next_member(reads, component)) >= 0)
	{
		if (set->components[component].accumulates)
			settle_refuse_rule(def, psprintf("reads c.%s, which accumulates", quote_identifier(set->components[component].name)),
						"The amount of an accumulating line is known only with its tally, and changes with it; read what it is made of.");
		choice->after = bms_add_member(choice->after, component);
	}
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

/*
 * Makes what matching looks at of a rule.
 */
static RuleFront
front_of(const SettleSet *set, CompiledRule *rule, bool has_residual)
{
	RuleFront	front = {.rule = rule, .pricing = rule->pricing, .choice = rule->choice};

	front.has_residual = has_residual;
	/* where no ticket can repeat another one, all are paid alike */
	front.has_repeats = rule->repeats == SETTLE_REPEATS_ONLY || (rule->repeats != SETTLE_REPEATS_PAY && settle_set_has_repeats(set));
	front.has_pack = rule->pack != NULL;
	front.has_overrides = rule->noverrides > 0 || rule->can_be_overridden;
	front.is_plain = !front.has_residual && !front.has_repeats && !front.has_pack && !front.has_overrides;
	return front;
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
	settle_check_codes(set->def->rules, set->def->nrules);
	settle_link_codes(rules, n);
	order = settle_order_choices(set);

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
	set->hits = palloc(sizeof(RuleFront *) * Max(n, 1));
	set->fronts = palloc(sizeof(RuleFront) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		Expr	   *residual = settle_residual(set->matcher, i);
		Bitmapset  *uses = NULL;
		List	   *vars;

		set->rules[i]->rule.ordinal = i;
		set->fronts[i] = front_of(set, set->rules[i], residual != NULL);
		if (residual == NULL)
			continue;
		vars = pull_var_clause((Node *) residual, 0);
		foreach(lc, vars)
			uses = bms_add_member(uses, ((Var *) lfirst(lc))->varattno);
		set->rules[i]->nneeds = settle_list_needs(set, uses, &set->rules[i]->needs);
	}
}

/* ---- the set ---- */

/*
 * Reads the mapping of the source.
 */
static void
build_fields(SettleSet *set)
{
	static const TicketField named_by[] = {T_KEY, T_PROJECT, T_REGION, T_CHANNEL, T_CURRENCY, T_ORDER_REF, T_REWORK_OF};
	const SettleSourceDef *def = set->source_def;
	int			all = set->scope.nnames;

#define OF_SOURCE(part) psprintf("%s of source \"%s\"", part, set->source)
	/* a mapping sees columns, t, facts and decisions, not components */
	set->scope.nnames = set->c0 - 1;
	set->fields[T_KEY] = settle_read_as(set, def->key, TEXTOID, "text", OF_SOURCE("key"));
	if (set->fields[T_KEY]->nneeds > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key of source \"%s\" uses more than its columns", set->source)));
	set->fields[T_READY_AT] = settle_read_term(set, def->ready_at, false, TIMESTAMPTZOID, OF_SOURCE("ready_at"));
	set->fields[T_RULES_AT] = settle_read_term(set, def->rules_at, false, TIMESTAMPTZOID, OF_SOURCE("rules_at"));
	set->fields[T_PERIOD_AT] = settle_read_term(set, def->period_at, false, TIMESTAMPTZOID, OF_SOURCE("period_at"));
	set->fields[T_PROJECT] = settle_read_as(set, def->project, set->scope.names[set->t0 - 1 + T_PROJECT].type, "ltree", OF_SOURCE("project"));
	set->fields[T_REGION] = settle_read_as(set, def->region, set->scope.names[set->t0 - 1 + T_REGION].type, "ltree", OF_SOURCE("region"));
	set->fields[T_CHANNEL] = settle_read_as(set, def->channel, TEXTOID, "text", OF_SOURCE("channel"));
	set->fields[T_REVENUE] = settle_read_amount(set, def->revenue, OF_SOURCE("revenue"));
	set->fields[T_COST] = settle_read_amount(set, def->cost, OF_SOURCE("cost"));
	set->fields[T_TAX] = settle_read_amount(set, def->tax, OF_SOURCE("tax"));
	set->fields[T_CURRENCY] = settle_read_as(set, def->currency, TEXTOID, "text", OF_SOURCE("currency"));
	set->fields[T_ORDER_REF] = settle_read_as(set, def->order_ref, TEXTOID, "text", OF_SOURCE("order_ref"));
	set->fields[T_REWORK_OF] = settle_read_as(set, def->rework_of, TEXTOID, "text", OF_SOURCE("rework_of"));
	set->reverses = settle_read_as(set, def->reverses, TEXTOID, "text", OF_SOURCE("reverses"));
	if (set->reverses != NULL && set->reverses->nneeds > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reverses of source \"%s\" uses more than its columns", set->source)));
	set->scope.nnames = all;
	for (int i = 0; i < lengthof(named_by); i++)
		if (set->fields[named_by[i]] != NULL)
			set->names = bms_add_members(set->names, set->fields[named_by[i]]->expr->uses);
	if (set->reverses != NULL)
		set->names = bms_add_members(set->names, set->reverses->expr->uses);
}

/*
 * Finds out where mapped values are read: what is a column is not copied to
 * its name first, unless the index over rules looks it up there.
 */
static void
place_fields(SettleSet *set)
{
	for (int i = 0; i < T_FIELDS; i++)
	{
		Term	   *term = set->fields[i];

		if (bms_is_member(set->t0 + i, set->matched))
			set->field_places[i] = FIELD_NAMED;
		else if (term == NULL)
			set->field_places[i] = FIELD_UNMAPPED;
		else
			set->field_places[i] = is_column(set, term) ? term->position : FIELD_NAMED;
	}
}

/*
 * Lists the number columns that a reversing row takes from: all in use but
 * those that something is named by.
 */
static void
list_amounts(SettleSet *set)
{
	int			position = -1;

	for (int i = 0; i < set->nfacts; i++)
		if (set->facts[i].lookup != NULL)
			set->names = bms_add_members(set->names, set->facts[i].lookup->expr->uses);
	while ((position = bms_next_member(set->uses, position)) >= 0)
	{
		Oid			type = getBaseType(set->scope.names[position - 1].type);

		if ((type == NUMERICOID || type == INT2OID || type == INT4OID || type == INT8OID) && !bms_is_member(position, set->names))
			set->amounts = bms_add_member(set->amounts, position);
	}
}

static void
error_in_ruleset(void *arg)
{
	errcontext("ruleset of source \"%s\"", (const char *) arg);
}

/*
 * Compiles into the current memory context.
 */
SettleSet *
settle_compile(const SettleRuleset *ruleset, const char *source, TupleDesc row_type)
{
	SettleSet  *set = palloc0(sizeof(SettleSet));
	Bitmapset  *indexable = NULL;
	SettleScope without_components;
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

	settle_fact_types(set, ltree_type());
	settle_decision_types(set, ltree_type());
	build_components(set);
	build_scope(set, row_type);
	build_fields(set);

	/* columns and mapped values are in the slot before anything is matched, but for the key and what few rules ask for */
	for (int position = 1; position < set->t0 + T_ORDER_REF; position++)
		if (position != set->t0 + T_KEY)
			indexable = bms_add_member(indexable, position);
	without_components = set->scope;
	without_components.nnames = set->c0 - 1;
	settle_packs_build(set, &without_components, indexable);
	for (int i = 0; i < set->npacks; i++)
		note_uses(set, set->packs[i].uses);
	for (int i = 0; i < set->ndecisions; i++)
	{
		settle_decision_build(set, &set->decisions[i], &without_components, indexable);
		note_uses(set, set->decisions[i].uses);
	}
	build_rules(set, indexable);
	settle_facts_build(set);
	place_fields(set);
	list_amounts(set);
	set->needs_settings = set->needs_settings || set->nfacts > 0 || settle_inputs_need_settings(set);
	settle_check_names(set);
	settle_set_init_parties(set);
	set->lines_space = 16;
	set->lines = palloc(sizeof(SettleLine) * set->lines_space);

	settle_env_leave(nestlevel);
	error_context_stack = context.previous;
	return set;
}
