/*
 * ruleset.h
 *		The type settle.ruleset: the rules of a book as one self-contained value.
 *
 * The value holds a digest and a JSON document.  What the document says is
 * decoded into the structs below, which is also how its input is checked.
 */
#ifndef SETTLE_RULESET_H
#define SETTLE_RULESET_H

#include "core/core.h"

#include "tier/tier.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define SETTLE_DIGEST_LEN	32

/* The built-in source whose rows are the periods of a party, written when a period closes. */
#define SETTLE_PERIOD_SOURCE	"period"

/* How many of the rules that hit may apply. */
typedef enum SettleChoicePolicy
{
	SETTLE_CHOICE_UNIQUE,		/* one; two are a conflict */
	SETTLE_CHOICE_FIRST,		/* the one of the highest priority */
	SETTLE_CHOICE_HIGHEST,		/* the one that gives most */
	SETTLE_CHOICE_LOWEST,		/* the one that gives least */
	SETTLE_CHOICE_ALL
} SettleChoicePolicy;

/* What the outcomes of a decision that hit make together; docs/decision.md. */
typedef enum SettleHitPolicy
{
	SETTLE_HIT_UNIQUE,			/* one; two are a conflict */
	SETTLE_HIT_ANY,				/* all say the same, or it is a conflict */
	SETTLE_HIT_FIRST,			/* the one of the highest priority */
	SETTLE_HIT_PRIORITY,		/* the one whose value comes first among the output values */
	SETTLE_HIT_RULE_ORDER,		/* a list, highest priority first */
	SETTLE_HIT_OUTPUT_ORDER,	/* a list, in the order of the output values */
	SETTLE_HIT_COLLECT,			/* a list whose order means nothing */
	SETTLE_HIT_SUM,
	SETTLE_HIT_MIN,
	SETTLE_HIT_MAX,
	SETTLE_HIT_COUNT,
	SETTLE_HIT_PRODUCT
} SettleHitPolicy;

static inline bool
settle_hit_gives_list(SettleHitPolicy policy)
{
	return policy == SETTLE_HIT_RULE_ORDER || policy == SETTLE_HIT_OUTPUT_ORDER || policy == SETTLE_HIT_COLLECT;
}

typedef enum SettleSpan
{
	SETTLE_SPAN_NONE,
	SETTLE_SPAN_DAY,
	SETTLE_SPAN_WEEK,
	SETTLE_SPAN_MONTH,
	SETTLE_SPAN_QUARTER,
	SETTLE_SPAN_YEAR,
	SETTLE_SPAN_EVER
} SettleSpan;

/* Whose time says which accumulation period a line adds to. */
typedef enum SettleClock
{
	SETTLE_CLOCK_TICKET,
	SETTLE_CLOCK_POSTING		/* that of the run: what is declared is never re-opened */
} SettleClock;

typedef enum SettleShare
{
	SETTLE_SHARE_FEE,
	SETTLE_SHARE_BASE
} SettleShare;

/* Which tickets a rule is for: repeats are rework and duplicates. */
typedef enum SettleRepeats
{
	SETTLE_REPEATS_SKIP,		/* not for repeats */
	SETTLE_REPEATS_PAY,			/* for all */
	SETTLE_REPEATS_ONLY			/* for repeats alone */
} SettleRepeats;

/* How a relation is read as tickets; SQL expressions over its columns, NULL where not mapped. */
typedef struct SettleSourceDef
{
	char	   *source;
	char	   *key;
	char	   *ready_at;
	char	   *rules_at;
	char	   *period_at;
	char	   *project;
	char	   *region;
	char	   *channel;
	char	   *revenue;
	char	   *cost;
	char	   *tax;
	char	   *currency;
	char	   *reverses;		/* key of the ticket that a row takes back; NULL for a ticket */
	char	   *order_ref;
	char	   *rework_of;
} SettleSourceDef;

/* A value that comes from another relation; all but fact, source and type are SQL expressions. */
typedef struct SettleFactDef
{
	char	   *fact;
	char	   *source;			/* NULL: of every source */
	char	   *relation;		/* by name, for reading back; a run knows it by its number */
	char	   *key;			/* over the relation's row */
	char	   *valid;			/* NULL: always */
	char	   *value;
	char	   *lookup;			/* over the ticket */
	char	   *type;			/* name of the type of the value */
} SettleFactDef;

/* A pack that is not the base: what limits its rules and outcomes. */
typedef struct SettlePackDef
{
	char	   *pack;
	char	   *applies_when;	/* its scope; NULL: every ticket */
	char	   *source;			/* whose columns the scope reads; NULL: only what every source has */
	char	   *choice;			/* NULL: stands in none */
	int			priority;
	TimestampTz from;
	TimestampTz until;
} SettlePackDef;

typedef struct SettleOutcomeDef
{
	char	   *source;			/* NULL: of every source */
	char	   *pack;			/* NULL: the base */
	char	   *applies_when;
	char	   *outcome;		/* text form of the value */
	int			priority;
	TimestampTz from;
	TimestampTz until;
	char	   *title;
} SettleOutcomeDef;

typedef struct SettleDecisionDef
{
	char	   *decision;
	SettleHitPolicy policy;
	char	   *returns;		/* name of the type of its outcomes */
	char	   *fallback;		/* text form of what it gives where none hits; NULL where none */
	int			nvalues;
	Jsonb	  **values;			/* output values, the first ranks highest */
	int			noutcomes;
	SettleOutcomeDef *outcomes;
} SettleDecisionDef;

typedef struct SettleChoiceDef
{
	char	   *choice;
	SettleChoicePolicy policy;
} SettleChoiceDef;

typedef struct SettleRuleDef
{
	char	   *code;
	char	   *component;
	char	   *source;
	char	   *payer;
	char	   *payee;
	char	   *payees;
	char	   *base;
	bool		remainder;
	char	   *applies_when;
	SettleTiers *tiers;
	int			nfactors;
	char	  **factors;
	SettleSpan	accumulate;
	char	   *tally_by;
	char	   *measure;		/* NULL: the base */
	SettleClock clock;
	char	   *at_least;
	char	   *at_most;
	char	   *rounding;
	char	   *unit;
	char	   *choice;
	SettleShare share;
	SettleRepeats repeats;
	int			priority;
	int			noverrides;
	char	  **overrides;
	char	   *pack;			/* NULL: the base */
	TimestampTz from;
	TimestampTz until;
	char	   *title;
} SettleRuleDef;

typedef struct SettleRulesetDef
{
	char	   *time_zone;
	char	   *currency;
	char	   *period;
	int			nsources;
	SettleSourceDef *sources;
	int			nfacts;
	SettleFactDef *facts;
	int			nchoices;
	SettleChoiceDef *choices;
	int			npacks;
	SettlePackDef *packs;
	int			ndecisions;
	SettleDecisionDef *decisions;
	int			nrules;
	SettleRuleDef *rules;
	const char *reading;		/* what is being read, for messages */
} SettleRulesetDef;

/* The stored value. */
typedef struct SettleRuleset
{
	int32		vl_len_;		/* varlena header */
	uint32		format;			/* SETTLE_RULESET_FORMAT */
	uint8		digest[SETTLE_DIGEST_LEN];	/* sha256 of the document's canonical text */
	JsonbContainer document;	/* to the end of the value */
} SettleRuleset;

#define SETTLE_RULESET_FORMAT	1
#define DatumGetSettleRuleset(d)	((SettleRuleset *) PG_DETOAST_DATUM(d))

extern SettleRuleset *settle_ruleset_from_jsonb(Jsonb *document);
extern SettleRulesetDef *settle_ruleset_decode(const SettleRuleset *ruleset);

/* The name of the only source beside the built-in one; raises 22023 where there are others. */
extern const char *settle_ruleset_only_source(const SettleRuleset *ruleset);

extern SettleSpan settle_span_in(const char *name);
extern SettleChoicePolicy settle_choice_policy_in(const char *name);
extern SettleHitPolicy settle_hit_policy_in(const char *name);
extern SettleShare settle_share_in(const char *name);
extern SettleClock settle_clock_in(const char *name);
extern SettleRepeats settle_repeats_in(const char *name);

#endif							/* SETTLE_RULESET_H */
