/*
 * lint.c
 *		Finds what is wrong with rules before any ticket meets them: conditions
 *		that exclude, cover or overlap each other, and what they leave out.
 *
 * Only what is proven is an error.  The proofs are those of box.c: what no box
 * can say, an unread term, makes an overlap one that may be, covers nothing and
 * fills no gap.
 */
#include "rule/lint.h"

#include "access/relation.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

/* Pairs that are told of one choice or decision; of more, their number. */
#define MAX_TOLD		10
/* Earlier boxes that a proof of covering looks at. */
#define MAX_EARLIER		64

/* ---- findings ---- */

void
settle_lint_report(Lint *lint, SettleSeverity severity, const char *kind, const char *object, const char *detail, const char *hint)
{
	static const char *const names[] = {"error", "warning", "note"};
	Datum		values[] = {
		CStringGetTextDatum(names[severity]), CStringGetTextDatum(kind), CStringGetTextDatum(object),
		CStringGetTextDatum(detail), CStringGetTextDatum(hint)
	};
	bool		nulls[] = {false, false, false, false, false};

	tuplestore_putvalues(lint->store, lint->desc, values, nulls);
}

char *
settle_lint_rule(const CompiledRule *rule)
{
	return psprintf("rule %s", rule->code);
}

char *
settle_lint_outcome(const Decision *decision, const Outcome *outcome)
{
	return psprintf("decision %s: %s", decision->def->decision, outcome->def->title != NULL ? outcome->def->title : outcome->def->applies_when);
}

bool
settle_lists_meet(const List *a, const List *b)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, a)
		foreach(lc2, b)
		if (settle_boxes_meet(lfirst(lc), lfirst(lc2)))
			return true;
	return false;
}

/*
 * Tells whether every box of a list is covered by others.
 */
static bool
list_covered(const SettleSpace *space, const List *boxes, const List *others)
{
	ListCell   *lc;

	foreach(lc, boxes)
		if (!settle_box_covered(space, lfirst(lc), others))
			return false;
	return boxes != NIL;
}

/* ---- conditions that never hold ---- */

static void
report_barred(Lint *lint, LintSource *source, const char *object, const char *condition, const char *pack, int barred)
{
	const SettleSpace *space = source->space;
	const SettleSet *set = source->set;
	const char *hint = "Correct the condition, or take it out.";

	if (pack != NULL)
		condition = psprintf("%s, in the scope of pack \"%s\"", condition, pack);
	if (barred >= set->d0 && barred < set->c0)
	{
		StringInfoData values;

		initStringInfo(&values);
		settle_region_describe(space->values[barred], settle_space_type(space, barred), &values);
		hint = psprintf("The decision gives %s.", values.data);
	}
	settle_lint_report(lint, SETTLE_LINT_ERROR, "unreachable", object,
					   barred < 0 ? psprintf("Its condition is never true: %s.", condition)
					   : barred == 0 || barred == space->column[0] ? psprintf("No %s is both in its condition and in its validity: %s.", settle_space_name(space, barred), condition)
					   : psprintf("No value of %s is left by its condition: %s.", settle_space_name(space, barred), condition), hint);
}

/*
 * Tells whether a version was taken out of force before it came into it, as
 * those of a pack that was withdrawn; there is nothing to say of it.
 */
static bool
never_in_force(TimestampTz from, TimestampTz until)
{
	return until <= from;
}

/*
 * Takes a condition apart.  One of a draft, which is looked at as if it were
 * enabled now, may be for a time that is over: then it is meant to reach back.
 */
static List *
boxes_in_force(const SettleSpace *space, Expr *when, TimestampTz from, TimestampTz until, int owner, int *barred)
{
	List	   *boxes = settle_boxes(space, when, from, until, owner, barred);

	if (boxes == NIL && from == GetCurrentTransactionStartTimestamp())
		boxes = settle_boxes(space, when, DT_NOBEGIN, until, owner, barred);
	return boxes;
}

/*
 * Takes the conditions of a source apart.  An outcome that stands for every
 * source is told of once, by the first.
 */
static void
read_source(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;
	int			barred;

	source->space = settle_space(set);
	source->rules = palloc0(sizeof(List *) * Max(set->nrules, 1));
	source->overridden = palloc0(sizeof(bool) * Max(set->nrules, 1));
	source->outcomes = palloc0(sizeof(List **) * Max(set->ndecisions, 1));
	for (int i = 0; i < set->nrules; i++)
	{
		const CompiledRule *rule = set->rules[i];

		CHECK_FOR_INTERRUPTS();
		if (never_in_force(rule->rule.def->from, rule->rule.def->until))
			continue;
		source->rules[i] = boxes_in_force(source->space, rule->when, rule->rule.def->from, rule->rule.def->until, i, &barred);
		if (source->rules[i] == NIL)
			report_barred(lint, source, settle_lint_rule(rule), rule->rule.def->applies_when, rule->rule.def->pack, barred);
		for (int k = 0; k < rule->noverrides; k++)
			source->overridden[rule->overrides[k]->rule.ordinal] = true;
	}
	for (int d = 0; d < set->ndecisions; d++)
	{
		const Decision *decision = &set->decisions[d];

		source->outcomes[d] = palloc0(sizeof(List *) * Max(decision->noutcomes, 1));
		for (int i = 0; i < decision->noutcomes; i++)
		{
			const Outcome *outcome = &decision->outcomes[i];

			CHECK_FOR_INTERRUPTS();
			if (never_in_force(outcome->def->from, outcome->def->until))
				continue;
			source->outcomes[d][i] = boxes_in_force(source->space, outcome->when, outcome->def->from, outcome->def->until, i, &barred);
			if (source->outcomes[d][i] == NIL && (outcome->def->source != NULL || source == lint->sources))
				report_barred(lint, source, settle_lint_outcome(decision, outcome), outcome->def->applies_when, outcome->def->pack, barred);
		}
	}
}

/* ---- pairs ---- */

/* A group of conditions of which at most one may hold, or the first that holds counts. */
typedef struct LintGroup
{
	Lint	   *lint;
	LintSource *source;
	const Decision *decision;	/* or */
	const Choice *choice;
	const PackChoice *packs;	/* or */
	const char *object;
	bool		ranked;			/* the first counts */
	int			first;			/* owner */
	List	  **earlier;		/* by owner, from the first: boxes before it that share rows with its own */
	int			told;
	int			more;
	HTAB	   *seen;			/* pairs of owners that were told */
	List	   *all;			/* boxes */
} LintGroup;

typedef struct PairKey
{
	int			a;
	int			b;
} PairKey;

/*
 * Tells whether of two conditions that hold together the first counts, in
 * silence.
 */
static bool
first_counts(const LintGroup *group, int first, int second)
{
	const SettleSet *set = group->source->set;

	if (!group->ranked)
		return false;
	if (group->packs != NULL)
		return group->packs->packs[first]->def->priority != group->packs->packs[second]->def->priority;
	return group->decision != NULL || set->rules[first]->rule.def->priority != set->rules[second]->rule.def->priority;
}

static bool
overrides(const CompiledRule *rule, const CompiledRule *other)
{
	for (int i = 0; i < rule->noverrides; i++)
		if (rule->overrides[i] == other)
			return true;
	return false;
}

/*
 * The pack of a condition, where it stands in a choice among packs: then
 * another pack may take the condition's place.
 */
static const Pack *
contested_pack(const LintGroup *group, int owner)
{
	const Pack *pack;

	if (group->packs != NULL)
		return NULL;
	pack = group->decision != NULL ? group->decision->outcomes[owner].pack : group->source->set->rules[owner]->pack;
	return pack != NULL && pack->choice != NULL && pack->choice->npacks > 1 ? pack : NULL;
}

/*
 * Tells whether no choice among packs can leave the first of two conditions
 * out and the second in.
 */
static bool
stands_beside(const LintGroup *group, int first, int second)
{
	const Pack *pack = contested_pack(group, first);

	return pack == NULL || pack == contested_pack(group, second);
}

/*
 * Tells whether two conditions may hold together without a conflict.
 */
static bool
compatible(const LintGroup *group, int a, int b)
{
	const SettleSet *set = group->source->set;
	const Pack *pa = contested_pack(group, a);
	const Pack *pb = contested_pack(group, b);

	if (group->packs != NULL)
		return false;
	/* of a choice among packs one counts */
	if (pa != NULL && pb != NULL && pa != pb && pa->choice == pb->choice)
		return true;
	if (group->decision != NULL)
		return group->decision->def->policy == SETTLE_HIT_ANY &&
			DatumGetBool(FunctionCall2Coll(&group->decision->compare->eq_opr_finfo, group->decision->compare->typcollation,
										   group->decision->outcomes[a].value, group->decision->outcomes[b].value));
	return overrides(set->rules[a], set->rules[b]) || overrides(set->rules[b], set->rules[a]);
}

static const char *
label(const LintGroup *group, int owner)
{
	const Outcome *outcome;

	if (group->packs != NULL)
		return group->packs->packs[owner]->def->pack;
	if (group->decision == NULL)
		return group->source->set->rules[owner]->code;
	outcome = &group->decision->outcomes[owner];
	return outcome->def->title != NULL ? outcome->def->title : outcome->def->applies_when;
}

/*
 * Tells whether a shared box shows a conflict beyond doubt: nothing unread, no
 * column that depends on others, no third rule that might take one of the two
 * away, and a row that can be named.
 */
static bool
is_proof(const LintGroup *group, const SettleBox *both, StringInfo example)
{
	const SettleSet *set = group->source->set;

	for (int i = 0; i < both->n; i++)
		if (both->positions[i] >= set->t0)
			return false;
	return both->unread == NIL && settle_box_example(group->source->space, both, example);
}

static void
report_overlap(LintGroup *group, const SettleBox *a, const SettleBox *b)
{
	const SettleBox *both = settle_box_intersect(a, b);
	StringInfoData example;
	bool		proven;

	initStringInfo(&example);
	proven = is_proof(group, both, &example);
	/* packs meet in a ticket only where a rule of one would apply */
	if (group->packs != NULL || contested_pack(group, a->owner) != NULL || contested_pack(group, b->owner) != NULL ||
		(group->choice != NULL && (group->source->overridden[a->owner] || group->source->overridden[b->owner])))
		proven = false;
	if (!proven)
	{
		resetStringInfo(&example);
		settle_box_describe(group->source->space, both, &example);
	}
	settle_lint_report(group->lint, proven ? SETTLE_LINT_ERROR : SETTLE_LINT_WARNING, "overlap", group->object,
					   psprintf("\"%s\" and \"%s\" %s for %s%s.", label(group, a->owner), label(group, b->owner),
								proven ? "hold together" : "may hold together", example.data,
								both->unread == NIL ? "" : ", where further terms hold"),
					   group->decision != NULL ? "Make the conditions exclude each other, or choose the policy first."
					   : group->packs != NULL ? "Make their scopes exclude each other, or give them different priorities in a choice of the policy first."
					   : group->ranked ? "Give them different priorities, or make the conditions exclude each other."
					   : "Make the conditions exclude each other, let one override the other, or say choice => 'all' where both are to pay.");
}

static void
visit_pair(SettleBox *a, SettleBox *b, void *arg)
{
	LintGroup	   *group = arg;
	PairKey		key;
	bool		found;

	if (a->owner == b->owner)
		return;
	if (a->owner > b->owner)
	{
		SettleBox  *swap = a;

		a = b;
		b = swap;
	}
	if (first_counts(group, a->owner, b->owner))
	{
		/* a rule that another takes away leaves its place to the next */
		if (stands_beside(group, a->owner, b->owner) && (group->choice == NULL || !group->source->overridden[a->owner]) &&
			list_length(group->earlier[b->owner - group->first]) < MAX_EARLIER)
			group->earlier[b->owner - group->first] = lappend(group->earlier[b->owner - group->first], a);
		return;
	}
	if (compatible(group, a->owner, b->owner))
		return;
	if (group->told == MAX_TOLD)
	{
		group->more++;
		return;
	}
	key = (PairKey) {a->owner, b->owner};
	(void) hash_search(group->seen, &key, HASH_ENTER, &found);
	if (found)
		return;
	group->told++;
	report_overlap(group, a, b);
}

/*
 * Looks at conditions of which one may hold, or the first that holds counts.
 */
static void
look_at_pairs(LintGroup *group, List **boxes, int first, int n)
{
	HASHCTL		control = {.keysize = sizeof(PairKey), .entrysize = sizeof(PairKey), .hcxt = CurrentMemoryContext};

	group->first = first;
	group->earlier = palloc0(sizeof(List *) * Max(n, 1));
	group->seen = hash_create("lint pairs", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = first; i < first + n; i++)
		group->all = list_concat(group->all, boxes[i]);
	settle_each_meeting_pair(group->all, visit_pair, group);
	if (group->more > 0)
		settle_lint_report(group->lint, SETTLE_LINT_WARNING, "overlap", group->object,
						   psprintf("%d further overlaps are not listed.", group->more), "Look again when those that are listed are gone.");
}

/* ---- gaps ---- */

static bool
is_ordered(const SettleRegion *region, Oid type)
{
	return region->kind == SETTLE_VALUE_NUMERIC ||
		(region->kind == SETTLE_VALUE_INT && type != BOOLOID && get_typtype(type) != TYPTYPE_ENUM);
}

static bool
is_listed(const SettleRegion *region)
{
	return region->kind == SETTLE_VALUE_TEXT || region->kind == SETTLE_VALUE_PATH;
}

/*
 * What lies between the lowest and the highest bound of two sets.
 */
static SettleRegion *
hull_of(const SettleRegion *a, const SettleRegion *b)
{
	SettleRegion *both = settle_region_union(a, b);
	SettleInterval hull;

	if (both->n == 0)
		return both;
	hull = both->intervals[0];
	hull.has_upper = both->intervals[both->n - 1].has_upper;
	hull.upper = both->intervals[both->n - 1].upper;
	hull.upper_closed = both->intervals[both->n - 1].upper_closed;
	return settle_region_between(both->kind, &hull);
}

/* Boxes that ask for the same texts and paths, and what they are to fill together. */
typedef struct Bundle
{
	uint64		hash;			/* must be first */
	SettleBox  *whole;
	List	   *boxes;
} Bundle;

static char *
signature(const SettleSpace *space, const SettleBox *box)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < box->n; i++)
		if (is_listed(box->regions[i]))
		{
			appendStringInfo(&text, "%d ", box->positions[i]);
			settle_region_describe(box->regions[i], settle_space_type(space, box->positions[i]), &text);
		}
	return text.data;
}

/*
 * Widens what a bundle is to fill by a box: over ordered columns to the hull,
 * over booleans and enums to all values.
 */
static void
widen(const SettleSpace *space, Bundle *bundle, const SettleBox *box)
{
	SettleBox  *whole = palloc0(sizeof(SettleBox));
	const SettleBox *before = bundle->whole == NULL ? box : bundle->whole;

	whole->positions = palloc(sizeof(int) * (before->n + box->n + 1));
	whole->regions = palloc(sizeof(SettleRegion *) * (before->n + box->n + 1));
	for (int position = 0; position <= space->nnames; position++)
	{
		const SettleRegion *a = NULL;
		const SettleRegion *b = NULL;

		for (int i = 0; i < before->n; i++)
			if (before->positions[i] == position)
				a = before->regions[i];
		for (int i = 0; i < box->n; i++)
			if (box->positions[i] == position)
				b = box->regions[i];
		if (a == NULL && b == NULL)
			continue;
		a = a == NULL ? b : a;
		b = b == NULL ? a : b;
		whole->positions[whole->n] = position;
		if (is_listed(a))
			whole->regions[whole->n++] = unconstify(SettleRegion *, a);
		else if (is_ordered(a, settle_space_type(space, position)))
			whole->regions[whole->n++] = hull_of(a, b);
		else
			whole->regions[whole->n++] = settle_region_intersect(space->values[position], settle_region_all(a->kind, false));
	}
	bundle->whole = whole;
}

#define MAX_BUNDLE	2000
#define MAX_HOLES	200

/*
 * What boxes leave of a whole; NIL also where that would be too much to say.
 */
static List *
holes_of(const SettleSpace *space, SettleBox *whole, const List *boxes)
{
	List	   *holes = list_make1(whole);
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, boxes)
	{
		List	   *next = NIL;

		CHECK_FOR_INTERRUPTS();
		/* an unread term may leave what it fills, or not: nothing is said of its box */
		foreach(lc2, holes)
			next = settle_box_subtract(space, lfirst(lc2), lfirst(lc), next);
		holes = next;
		if (holes == NIL || list_length(holes) > MAX_HOLES)
			return NIL;
	}
	return holes;
}

/*
 * Looks for values that no outcome of a decision without fallback is for.
 */
static void
look_for_gaps(LintGroup *group)
{
	const SettleSpace *space = group->source->space;
	HASHCTL		control = {.keysize = sizeof(uint64), .entrysize = sizeof(Bundle), .hcxt = CurrentMemoryContext};
	HTAB	   *bundles = hash_create("lint bundles", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	HASH_SEQ_STATUS status;
	Bundle	   *bundle;
	ListCell   *lc;
	int			told = 0;

	foreach(lc, group->all)
	{
		SettleBox  *box = lfirst(lc);
		char	   *text = signature(space, box);
		uint64		hash = DatumGetUInt64(hash_any_extended((unsigned char *) text, (int) strlen(text), 0));
		bool		found;

		bundle = hash_search(bundles, &hash, HASH_ENTER, &found);
		if (!found)
		{
			bundle->whole = NULL;
			bundle->boxes = NIL;
		}
		widen(space, bundle, box);
		bundle->boxes = lappend(bundle->boxes, box);
	}
	hash_seq_init(&status, bundles);
	while ((bundle = hash_seq_search(&status)) != NULL)
	{
		List	   *holes;

		if (list_length(bundle->boxes) > MAX_BUNDLE)
			continue;
		holes = holes_of(space, bundle->whole, bundle->boxes);
		/* what other outcomes fill */
		if (holes != NIL)
		{
			List	   *left = NIL;

			foreach(lc, holes)
				left = list_concat(left, holes_of(space, lfirst(lc), group->all));
			holes = left;
		}
		foreach(lc, holes)
		{
			StringInfoData hole;

			if (told++ == MAX_TOLD)
				break;
			initStringInfo(&hole);
			settle_box_describe(space, lfirst(lc), &hole);
			settle_lint_report(group->lint, SETTLE_LINT_WARNING, "gap", group->object,
							   psprintf("No outcome holds for %s.", hole.data), "Add an outcome, or give the decision a fallback.");
		}
	}
}

/*
 * Finds the one range of numbers that a box asks for; NULL where there are
 * none or several.
 */
static const SettleInterval *
range_of(const SettleSpace *space, const SettleBox *box, int *position)
{
	const SettleInterval *range = NULL;

	for (int i = 0; i < box->n; i++)
	{
		const SettleRegion *region = box->regions[i];
		Oid			type = settle_space_type(space, box->positions[i]);

		if (!is_ordered(region, type) || type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID)
			continue;
		if (range != NULL || region->n != 1 || region->nulls)
			return NULL;
		range = &region->intervals[0];
		*position = box->positions[i];
		/* a single value is no range */
		if (range->has_lower && range->has_upper && range->lower_closed && range->upper_closed &&
			settle_compare_values(region->kind, &range->lower, &range->upper) == 0)
			return NULL;
	}
	return range;
}

/*
 * What a box asks for beside one column, in words.
 */
static char *
besides(const SettleSpace *space, const SettleBox *box, int position)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < box->n; i++)
		if (box->positions[i] != position)
		{
			appendStringInfo(&text, "%d ", box->positions[i]);
			settle_region_describe(box->regions[i], settle_space_type(space, box->positions[i]), &text);
		}
	return text.data;
}

/* A rule that asks for a range of one column. */
typedef struct Ranged
{
	int			position;
	char	   *besides;
	SettleBox  *box;
	SettleValueKind kind;
	const SettleInterval *range;
} Ranged;

static int
compare_ranged(const void *a, const void *b)
{
	const Ranged *ra = a;
	const Ranged *rb = b;
	int			cmp = ra->position != rb->position ? ra->position - rb->position : strcmp(ra->besides, rb->besides);

	return cmp != 0 ? cmp : settle_compare_lowers(ra->kind, ra->range, rb->range);
}

/*
 * Looks for holes between rules of a choice that are split by ranges of one
 * column and alike in all else.
 */
static void
look_between_ranges(LintGroup *group)
{
	const SettleSpace *space = group->source->space;
	Ranged	   *ranged = palloc(sizeof(Ranged) * Max(list_length(group->all), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, group->all)
	{
		SettleBox  *box = lfirst(lc);
		int			position = 0;
		const SettleInterval *range = box->unread == NIL ? range_of(space, box, &position) : NULL;

		if (range != NULL)
			ranged[n++] = (Ranged) {position, besides(space, box, position), box, space->values[position]->kind, range};
	}
	qsort(ranged, n, sizeof(Ranged), compare_ranged);
	for (int i = 1; i < n; i++)
	{
		const Ranged *last = &ranged[i - 1];
		const Ranged *next = &ranged[i];
		SettleRegion *both;
		SettleRegion *hole;
		SettleBox  *whole;

		if (last->position != next->position || strcmp(last->besides, next->besides) != 0 || last->box->owner == next->box->owner)
			continue;
		both = settle_region_union(settle_region_between(last->kind, last->range), settle_region_between(next->kind, next->range));
		if (both->n < 2)
			continue;
		hole = settle_region_intersect(settle_region_complement(both, false), hull_of(both, both));
		whole = palloc(sizeof(SettleBox));
		*whole = *last->box;
		whole->regions = palloc(sizeof(SettleRegion *) * whole->n);
		for (int k = 0; k < whole->n; k++)
			whole->regions[k] = whole->positions[k] == last->position ? hole : last->box->regions[k];
		foreach(lc, holes_of(space, whole, group->all))
		{
			StringInfoData text;

			initStringInfo(&text);
			settle_box_describe(space, lfirst(lc), &text);
			settle_lint_report(group->lint, SETTLE_LINT_WARNING, "gap", group->object,
							   psprintf("Between \"%s\" and \"%s\" no rule holds for %s.", label(group, last->box->owner), label(group, next->box->owner), text.data),
							   "Move a bound, or add a rule.");
		}
	}
}

/* ---- choices and decisions ---- */

/*
 * Looks at the rules of one choice, which stand together in the set.
 */
static void
look_at_choice(Lint *lint, LintSource *source, int choice, int first, int n)
{
	SettleSet  *set = source->set;
	const Choice *def = &set->choices[choice];
	LintGroup		group = {.lint = lint, .source = source, .choice = def};

	/* rules that all apply, or are compared by what they give, exclude nothing */
	if (n < 2 || def->policy == SETTLE_CHOICE_ALL || def->policy == SETTLE_CHOICE_HIGHEST || def->policy == SETTLE_CHOICE_LOWEST)
		return;
	group.object = psprintf("choice %s", def->name);
	group.ranked = def->policy == SETTLE_CHOICE_FIRST;
	look_at_pairs(&group, source->rules, first, n);
	for (int i = first; i < first + n && group.ranked; i++)
		if (list_covered(source->space, source->rules[i], group.earlier[i - first]))
			settle_lint_report(lint, SETTLE_LINT_ERROR, "unreachable", settle_lint_rule(set->rules[i]),
							   psprintf("Whenever it holds, a rule of higher priority in the choice \"%s\" holds too: \"%s\".", def->name,
										label(&group, ((SettleBox *) linitial(group.earlier[i - first]))->owner)),
							   "Give it a higher priority, or take it out.");
	look_between_ranges(&group);
}

/*
 * Tells of rules whose condition lies within those of the rules that override
 * them.
 */
static void
look_at_overrides(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;

	for (int i = 0; i < set->nrules; i++)
	{
		List	   *over = NIL;
		const char *by = NULL;

		for (int k = 0; k < set->nrules && source->overridden[i]; k++)
			/* a rule whose pack another takes the place of overrides nothing */
			if (overrides(set->rules[k], set->rules[i]) && (set->rules[k]->pack == NULL || set->rules[k]->pack == set->rules[i]->pack))
			{
				over = list_concat(over, source->rules[k]);
				by = set->rules[k]->code;
			}
		if (by != NULL && list_covered(source->space, source->rules[i], over))
			settle_lint_report(lint, SETTLE_LINT_WARNING, "unreachable", settle_lint_rule(set->rules[i]),
							   psprintf("Whenever it holds, a rule that overrides it holds too: \"%s\".", by),
							   "End it, or narrow the condition of the other.");
	}
}

static void
look_at_decision(Lint *lint, LintSource *source, int d)
{
	const Decision *decision = &source->set->decisions[d];
	SettleHitPolicy policy = decision->def->policy;
	LintGroup		group = {.lint = lint, .source = source, .decision = decision};
	bool		excludes = policy == SETTLE_HIT_UNIQUE || policy == SETTLE_HIT_ANY;

	group.object = psprintf("decision %s", decision->def->decision);
	group.ranked = policy == SETTLE_HIT_FIRST || policy == SETTLE_HIT_PRIORITY;
	if (excludes || group.ranked)
		look_at_pairs(&group, source->outcomes[d], 0, decision->noutcomes);
	else
		for (int i = 0; i < decision->noutcomes; i++)
			group.all = list_concat(group.all, source->outcomes[d][i]);
	for (int i = 0; i < decision->noutcomes && group.ranked; i++)
	{
		const Outcome *outcome = &decision->outcomes[i];

		/* one that stands for every source may be needed by another */
		if ((outcome->def->source != NULL || lint->nsources == 1) &&
			list_covered(source->space, source->outcomes[d][i], group.earlier[i]))
			settle_lint_report(lint, SETTLE_LINT_ERROR, "unreachable", settle_lint_outcome(decision, outcome),
							   psprintf("Whenever it holds, an earlier outcome holds too: \"%s\".",
										label(&group, ((SettleBox *) linitial(group.earlier[i]))->owner)),
							   "Give it a higher priority, or take it out.");
	}
	if (!decision->has_fallback && !settle_hit_gives_list(policy) && policy != SETTLE_HIT_COUNT)
		look_for_gaps(&group);
}

/*
 * Looks at packs of which one counts.
 */
static void
look_at_packs(Lint *lint, LintSource *source, const PackChoice *choice)
{
	LintGroup	group = {.lint = lint, .source = source, .packs = choice};
	List	  **boxes = palloc(sizeof(List *) * choice->npacks);
	int			barred;

	group.object = psprintf("choice %s", choice->name);
	group.ranked = choice->policy == SETTLE_CHOICE_FIRST;
	for (int i = 0; i < choice->npacks; i++)
	{
		const SettlePackDef *def = choice->packs[i]->def;

		boxes[i] = never_in_force(def->from, def->until) ? NIL
			: boxes_in_force(source->space, choice->packs[i]->when, def->from, def->until, i, &barred);
	}
	look_at_pairs(&group, boxes, 0, choice->npacks);
	for (int i = 0; i < choice->npacks && group.ranked; i++)
		if (list_covered(source->space, boxes[i], group.earlier[i]))
			settle_lint_report(lint, SETTLE_LINT_ERROR, "unreachable", psprintf("pack %s", choice->packs[i]->def->pack),
							   psprintf("Whenever its scope holds, that of a pack of higher priority in the choice \"%s\" holds too: \"%s\".", choice->name,
										label(&group, ((SettleBox *) linitial(group.earlier[i]))->owner)),
							   "Give it a higher priority, or take it out.");
}

static void
look_at_source(Lint *lint, LintSource *source)
{
	SettleSet  *set = source->set;
	ListCell   *lc;

	for (int first = 0; first < set->nrules;)
	{
		int			n = 1;

		while (first + n < set->nrules && set->rules[first + n]->choice == set->rules[first]->choice)
			n++;
		look_at_choice(lint, source, set->rules[first]->choice, first, n);
		first += n;
	}
	look_at_overrides(lint, source);
	foreach(lc, set->pack_choices)
		look_at_packs(lint, source, lfirst(lc));
	for (int d = 0; d < set->ndecisions; d++)
		look_at_decision(lint, source, d);
	settle_lint_cliffs(lint, source);
	settle_lint_bounds(lint, source);
	settle_lint_reads(lint, source);
	settle_lint_remainders(lint, source);
	settle_lint_chains(lint, source);
	settle_lint_private(lint, source);
	if (lint->at_commit)
		settle_lint_hot_tallies(lint, source);
}

/*
 * settle._lint_rules(rules settle.ruleset, sources name[], relations regclass[],
 *					  at_commit boolean, private text[]) returns setof (severity, kind, object, detail, hint)
 *
 * Looks at rules as they are for the rows of the relations that are their sources.
 */
PG_FUNCTION_INFO_V1(settle_lint_rules);
Datum
settle_lint_rules(PG_FUNCTION_ARGS)
{
	SettleRuleset *ruleset = DatumGetSettleRuleset(PG_GETARG_DATUM(0));
	Lint		lint = {.at_commit = PG_GETARG_BOOL(3)};
	Datum	   *names;
	Datum	   *relations;
	Datum	   *private;
	int			nrelations;
	int			nestlevel;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	lint.store = rsinfo->setResult;
	lint.desc = rsinfo->setDesc;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, NULL, &lint.nsources);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(4), TEXTOID, -1, false, TYPALIGN_INT, &private, NULL, &lint.nprivate);
	lint.private = palloc(sizeof(char *) * Max(lint.nprivate, 1));
	for (int i = 0; i < lint.nprivate; i++)
		lint.private[i] = TextDatumGetCString(private[i]);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &relations, NULL, &nrelations);
	if (nrelations != lint.nsources)
		elog(ERROR, "%d sources and %d relations", lint.nsources, nrelations);
	lint.sources = palloc0(sizeof(LintSource) * Max(lint.nsources, 1));
	for (int i = 0; i < lint.nsources; i++)
	{
		Oid			relid = DatumGetObjectId(relations[i]);
		Relation	relation;

		if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
		relation = relation_open(relid, AccessShareLock);
		lint.sources[i].set = settle_set_get(ruleset, NameStr(*DatumGetName(names[i])), RelationGetDescr(relation));
		relation_close(relation, AccessShareLock);
	}
	for (int i = 0; i < lint.nsources; i++)
	{
		nestlevel = settle_env_enter(settle_set_time_zone(lint.sources[i].set));
		read_source(&lint, &lint.sources[i]);
		look_at_source(&lint, &lint.sources[i]);
		settle_env_leave(nestlevel);
	}
	settle_lint_unused(&lint);
	settle_lint_unreached(&lint);
	for (int i = 0; i < lint.nsources; i++)
		settle_set_release(lint.sources[i].set);
	return (Datum) 0;
}
