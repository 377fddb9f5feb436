/*
 * pack.c
 *		Packs: a scope over rules and outcomes, and choices among packs.
 *
 * A scope is read once and ANDed to the condition of every rule and outcome of
 * its pack, so that the matcher indexes it like any other term; in a ruleset
 * without packs nothing of this runs.  A choice among packs works as a decision
 * does: its packs have a matcher of their own, in order of priority, and the one
 * that counts is found at most once a ticket, when a rule or outcome of one of
 * them would apply.
 */
#include "rule/compile.h"

#include "nodes/makefuncs.h"

/* ---- building ---- */

static int
compare_packs(const void *a, const void *b)
{
	const SettlePackDef *pa = (*(Pack *const *) a)->def;
	const SettlePackDef *pb = (*(Pack *const *) b)->def;

	if (pa->priority != pb->priority)
		return pa->priority > pb->priority ? -1 : 1;
	return strcmp(pa->pack, pb->pack);
}

/*
 * Gives the policy of a choice among packs.
 */
static SettleChoicePolicy
policy_of(const SettleSet *set, const SettlePackDef *pack)
{
	for (int i = 0; i < set->def->nchoices; i++)
	{
		const SettleChoiceDef *choice = &set->def->choices[i];

		if (strcmp(choice->choice, pack->choice) != 0)
			continue;
		if (choice->policy != SETTLE_CHOICE_UNIQUE && choice->policy != SETTLE_CHOICE_FIRST)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("pack \"%s\" stands in the choice \"%s\", which is not for packs", pack->pack, pack->choice),
					 errhint("The policy of a choice among packs is unique or first.")));
		return choice->policy;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("pack \"%s\" names the choice \"%s\", which does not exist", pack->pack, pack->choice),
			 errhint("Make it with settle.add_choice, policy unique or first.")));
}

/*
 * Adds a pack to the choice that it stands in.
 */
static void
join_choice(SettleSet *set, Pack *pack)
{
	SettleChoicePolicy policy = policy_of(set, pack->def);
	PackChoice *choice = NULL;
	ListCell   *lc;

	foreach(lc, set->pack_choices)
		if (strcmp(((PackChoice *) lfirst(lc))->name, pack->def->choice) == 0)
			choice = lfirst(lc);
	if (choice == NULL)
	{
		choice = palloc0(sizeof(PackChoice));
		choice->name = pack->def->choice;
		choice->policy = policy;
		choice->packs = palloc(sizeof(Pack *) * set->npacks);
		set->pack_choices = lappend(set->pack_choices, choice);
	}
	choice->packs[choice->npacks++] = pack;
	choice->uses = bms_add_members(choice->uses, pack->uses);
	pack->choice = choice;
}

/*
 * Reads the scopes of the packs that can hold for the source.  They see
 * columns, t and d, not components.
 */
void
settle_packs_build(SettleSet *set, const SettleScope *scope, const Bitmapset *indexable)
{
	ListCell   *lc;

	set->npacks = set->def->npacks;
	set->packs = palloc0(sizeof(Pack) * Max(set->npacks, 1));
	for (int i = 0; i < set->npacks; i++)
	{
		Pack	   *pack = &set->packs[i];

		pack->def = &set->def->packs[i];
		if (pack->def->source != NULL && strcmp(pack->def->source, set->source) != 0)
			continue;
		if (pack->def->applies_when != NULL)
		{
			SettleExpr *when = settle_expr_read(pack->def->applies_when, scope, BOOLOID, psprintf("scope of pack \"%s\"", pack->def->pack));

			settle_note_settings(set, when->node);
			pack->when = when->node;
			pack->uses = when->uses;
		}
		if (pack->def->choice != NULL)
			join_choice(set, pack);
	}
	foreach(lc, set->pack_choices)
	{
		PackChoice *choice = lfirst(lc);
		SettleCondition *conditions = palloc0(sizeof(SettleCondition) * choice->npacks);

		qsort(choice->packs, choice->npacks, sizeof(Pack *), compare_packs);
		for (int i = 0; i < choice->npacks; i++)
			conditions[i] = (SettleCondition)
			{
				.when = choice->packs[i]->when, .from = choice->packs[i]->def->from, .until = choice->packs[i]->def->until
			};
		choice->matcher = settle_matcher(conditions, choice->npacks, indexable);
		choice->candidates = palloc(sizeof(int) * choice->npacks);
		choice->nneeds = settle_list_needs(set, choice->uses, &choice->needs);
	}
}

/*
 * Finds the pack that a rule or outcome belongs to; NULL for the base.
 */
Pack *
settle_pack_find(SettleSet *set, const char *name, const char *source, const char *what)
{
	if (name == NULL)
		return NULL;
	for (int i = 0; i < set->npacks; i++)
	{
		Pack	   *pack = &set->packs[i];

		if (strcmp(pack->def->pack, name) != 0)
			continue;
		if (pack->def->source != NULL && (source == NULL || strcmp(pack->def->source, source) != 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 source == NULL ? errmsg("%s is of every source, and its pack \"%s\" is not", what, name)
					 : errmsg("%s is of source \"%s\", and its pack \"%s\" is not", what, source, name),
					 errdetail("The scope of the pack reads the columns of source \"%s\".", pack->def->source),
					 errhint("Use a pack for each source, or a scope that reads only what every source has, with source => null.")));
		return pack;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s belongs to the pack \"%s\", which the ruleset does not have", what, name)));
}

/*
 * Narrows a condition to the scope of its pack.
 */
Expr *
settle_pack_narrow(const Pack *pack, Expr *when)
{
	if (pack == NULL || pack->when == NULL)
		return when;
	return make_andclause(list_make2(pack->when, when));
}

/* ---- the ticket ---- */

/*
 * Finds the pack of a choice that counts for the current ticket; NULL where no
 * scope holds.
 */
static const Pack *
winner_of(SettleSet *set, PackChoice *choice)
{
	const Pack *winner = NULL;
	int			ncandidates;

	settle_need_names(set, choice->needs, choice->nneeds);
	ncandidates = settle_candidates(choice->matcher, set->slot, settle_rules_at(set), choice->candidates);
	for (int c = 0; c < ncandidates; c++)
	{
		int			i = choice->candidates[c];
		Pack	   *pack = choice->packs[i];
		Expr	   *residual = settle_residual(choice->matcher, i);

		/* they come highest priority first */
		if (winner != NULL && choice->policy == SETTLE_CHOICE_FIRST && pack->def->priority < winner->def->priority)
			break;
		if (residual != NULL && !settle_residual_holds(set, residual, &pack->residual))
			continue;
		if (winner != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_SETTLE_RULE_CONFLICT),
					 errmsg("packs \"%s\" and \"%s\" both apply", winner->def->pack, pack->def->pack),
					 choice->policy == SETTLE_CHOICE_UNIQUE
					 ? errdetail("They stand in the choice \"%s\", in which one pack may apply to a ticket.", choice->name)
					 : errdetail("They have the same priority in the choice \"%s\".", choice->name),
					 choice->policy == SETTLE_CHOICE_UNIQUE
					 ? errhint("Make their scopes exclude each other, or give the choice the policy first.")
					 : errhint("Give them different priorities.")));
		winner = pack;
	}
	return winner;
}

const Pack *
settle_pack_winner(SettleSet *set, const Pack *pack)
{
	PackChoice *choice = pack->choice;

	if (choice == NULL)
		return pack;
	if (choice->epoch != set->epoch)
	{
		choice->winner = winner_of(set, choice);
		choice->epoch = set->epoch;
	}
	return choice->winner;
}
