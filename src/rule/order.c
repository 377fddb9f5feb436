/*
 * order.c
 *		What depends on what in a ruleset: names, choices, versions, overrides.
 *
 * Mapped values (t), facts (f) and decisions (d) depend on one another, components (c) on
 * the rules that make them.  Cycles are errors; what is left is an order in
 * which choices are settled, one after the other, so that a rule that reads
 * c.x comes after every rule that adds to x, one that is overridden after those
 * that override it, and one that takes the remainder after all that do not
 * read its component.
 */
#include "rule/compile.h"

#include "miscadmin.h"

/* ---- mapped values, facts and decisions ---- */

typedef struct NameWalk
{
	SettleSet  *set;
	char	   *state;			/* by position: 0 new, 1 on the way, 2 done */
} NameWalk;

static const Bitmapset *
uses_of_name(SettleSet *set, int position)
{
	if (position >= set->t0 && position < set->f0)
	{
		int			field = position - set->t0;

		if (set->fields[field] != NULL)
			return set->fields[field]->expr->uses;
		if (field == T_DUPLICATE_OF)
			return bms_add_member(bms_add_member(bms_make_singleton(set->t0 + T_ORDER_REF), set->t0 + T_PROJECT), set->t0 + T_READY_AT);
		/* the other times default to ready_at */
		return field == T_RULES_AT || field == T_PERIOD_AT ? bms_make_singleton(set->t0 + T_READY_AT) : NULL;
	}
	if (position >= set->f0 && position < set->d0)
		return set->facts[position - set->f0].uses;
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
 * Refuses mapped values, facts and decisions that depend on themselves.
 */
void
settle_check_names(SettleSet *set)
{
	NameWalk	walk = {set, palloc0(set->scope.nnames + 1)};

	for (int position = set->t0; position < set->c0; position++)
		walk_names(&walk, position);
}

/* ---- choices ---- */

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
int *
settle_order_choices(SettleSet *set)
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

/* ---- versions and overrides ---- */

/*
 * Orders the versions of a code by their start.  A pack that was withdrawn
 * leaves versions that are never in force, and begin where another may begin.
 */
int
settle_compare_versions(const SettleRuleDef *a, const SettleRuleDef *b)
{
	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return strcmp(a->pack != NULL ? a->pack : "", b->pack != NULL ? b->pack : "");
}

/*
 * Tells whether there is no time at which a version is in force.
 */
static bool
is_never(const SettleRuleDef *def)
{
	return def->until <= def->from;
}

static int
compare_versions(const void *a, const void *b)
{
	const CompiledRule *ra = *(CompiledRule *const *) a;
	const CompiledRule *rb = *(CompiledRule *const *) b;
	int			cmp = strcmp(ra->rule.def->code, rb->rule.def->code);

	if (cmp != 0)
		return cmp;
	return settle_compare_versions(ra->rule.def, rb->rule.def);
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
		if (is_never(rule->rule.def) || is_never(other->rule.def) || rule->rule.def->until <= other->rule.def->from || other->rule.def->until <= rule->rule.def->from)
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

static int
compare_codes(const void *a, const void *b)
{
	return strcmp((*(const SettleRuleDef *const *) a)->code, (*(const SettleRuleDef *const *) b)->code);
}

/*
 * Refuses versions of one code that cannot share a tally: of two sources,
 * whose tickets are priced apart from each other, or of two accumulation
 * periods, which may begin on the same day.
 */
void
settle_check_codes(const SettleRuleDef *defs, int n)
{
	const SettleRuleDef **sorted = palloc(sizeof(SettleRuleDef *) * Max(n, 1));
	const SettleRuleDef *first = NULL;

	for (int i = 0; i < n; i++)
		sorted[i] = &defs[i];
	qsort(sorted, n, sizeof(SettleRuleDef *), compare_codes);
	for (int i = 0; i < n; i++)
	{
		const SettleRuleDef *def = sorted[i];

		if (def->accumulate == SETTLE_SPAN_NONE)
			continue;
		if (first == NULL || strcmp(first->code, def->code) != 0)
			first = def;
		else if (strcmp(first->source, def->source) != 0)
			settle_refuse_rule(def, "accumulates for tickets of two sources", "A tally belongs to one source; give the rule of the other a code of its own.");
		else if (first->accumulate != def->accumulate)
			settle_refuse_rule(def, "accumulates by two kinds of period", "Give the version with the other period a code of its own.");
	}
	pfree(sorted);
}

/*
 * Refuses a version that begins before one of the same code has ended.
 */
static void
refuse_overlap(CompiledRule **sorted, int at)
{
	const SettleRuleDef *def = sorted[at]->rule.def;
	const SettleRuleDef *before;

	if (is_never(def))
		return;
	for (int i = at - 1; i >= 0 && strcmp((before = sorted[i]->rule.def)->code, def->code) == 0; i--)
	{
		if (is_never(before))
			continue;
		if (def->from < before->until)
			ereport(ERROR,
					(errcode(ERRCODE_EXCLUSION_VIOLATION),
					 errmsg("two versions of rule \"%s\" are in force at the same time", def->code),
					 strcmp(def->pack != NULL ? def->pack : "base", before->pack != NULL ? before->pack : "base") == 0 ? 0
					 : errdetail("One stands in the pack \"%s\", the other in \"%s\".",
								 before->pack != NULL ? before->pack : "base", def->pack != NULL ? def->pack : "base"),
					 errhint("Versions of one code must not overlap; end one before the other begins.")));
		break;
	}
}

/*
 * Ties the versions of a code together, and overrides to the rules they name.
 */
void
settle_link_codes(CompiledRule **rules, int n)
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
			refuse_overlap(sorted, i);
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
					{
						rule->overrides[rule->noverrides++] = sorted[m];
						sorted[m]->can_be_overridden = true;
					}
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
