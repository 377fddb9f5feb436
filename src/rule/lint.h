/*
 * lint.h
 *		What lint keeps while it looks at a ruleset, shared by lint.c, which looks
 *		at conditions, and habits.c, which looks at what rules are made of.
 */
#ifndef SETTLE_LINT_H
#define SETTLE_LINT_H

#include "rule/box.h"
#include "utils/tuplestore.h"

typedef enum SettleSeverity
{
	SETTLE_LINT_ERROR,			/* proven wrong */
	SETTLE_LINT_WARNING,
	SETTLE_LINT_NOTE
} SettleSeverity;

/* The rules as one source has them. */
typedef struct LintSource
{
	SettleSet  *set;
	SettleSpace *space;
	List	  **rules;			/* boxes of each rule, by ordinal */
	List	 ***outcomes;		/* boxes of each outcome, by decision and place */
	bool	   *overridden;		/* some rule overrides it, by ordinal */
} LintSource;

typedef struct Lint
{
	Tuplestorestate *store;
	TupleDesc	desc;
	bool		at_commit;		/* the book settles at commit */
	int			nprivate;		/* keys of details that forms mark personal or sensitive */
	char	  **private;
	int			nsources;
	LintSource *sources;
} Lint;

/* Adds a finding; texts are in the current memory context. */
extern void settle_lint_report(Lint *lint, SettleSeverity severity, const char *kind, const char *object, const char *detail, const char *hint);

extern char *settle_lint_rule(const CompiledRule *rule);	/* "rule rush" */
extern char *settle_lint_outcome(const Decision *decision, const Outcome *outcome);

/* Tells whether a row may be in a box of both lists. */
extern bool settle_lists_meet(const List *a, const List *b);

/* ---- habits.c ---- */
extern void settle_lint_cliffs(Lint *lint, LintSource *source);
extern void settle_lint_bounds(Lint *lint, LintSource *source);
extern void settle_lint_reads(Lint *lint, LintSource *source);
extern void settle_lint_remainders(Lint *lint, LintSource *source);
extern void settle_lint_chains(Lint *lint, LintSource *source);
extern void settle_lint_hot_tallies(Lint *lint, LintSource *source);
extern void settle_lint_unused(Lint *lint);
extern void settle_lint_unreached(Lint *lint);

/* ---- privacy.c ---- */
extern void settle_lint_private(Lint *lint, LintSource *source);

#endif							/* SETTLE_LINT_H */
