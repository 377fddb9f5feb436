/*
 * engine.h
 *		A ruleset compiled for one source, and the function that everything is a
 *		use of: what do these rules say of this ticket?
 */
#ifndef SETTLE_ENGINE_H
#define SETTLE_ENGINE_H

#include "core/core.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "rule/ruleset.h"
#include "utils/date.h"

/* Longest code of a party and of a currency or unit, in bytes; what a ticket's amounts and quantities stay below. */
#define SETTLE_MAX_CODE		255
#define SETTLE_MAX_UNIT		23
#define SETTLE_MAX_AMOUNT	INT64CONST(100000000000000)
#define SETTLE_MAX_REFERENCE	1000	/* bytes of an order's reference, or of a channel */
#define SETTLE_MAX_PATH			1000	/* bytes of a project or region as it is stored: sums are kept by pairs of them */

typedef struct SettleSet SettleSet;

/* A party that lines name; one object a code for as long as the set keeps its parties. */
typedef struct SettleParty
{
	const char *code;
	uint32		ordinal;		/* from 0, dense */
} SettleParty;

/* What the engine needs of a rule beside its definition. */
typedef struct SettleRule
{
	const SettleRuleDef *def;
	SettlePricer *pricer;
	int			component;		/* ordinal among the set's components */
	int			ordinal;		/* in order of evaluation */
	struct SettleRuleCode *code;	/* shared by the versions of a code */
} SettleRule;

/* The versions of one rule code, in order of "from". */
typedef struct SettleRuleCode
{
	const char *code;
	int			nversions;
	SettleRule **versions;
} SettleRuleCode;

typedef struct SettleLine
{
	const SettleRule *rule;
	SettleParty *payer;
	SettleParty *payee;
	const char *unit;
	SettleDec	base;
	SettleDec	quantity;		/* what moves along the tiers of the tally: the base or the rule's measure */
	SettleDec	factor;
	SettleDec	amount;			/* of a line that adds to a tally: set by whoever knows the tally */
	SettleParty *owner;			/* NULL: adds to no tally */
	DateADT		tally_period;
} SettleLine;

/* One ticket as its source maps it, and its lines.  Valid until the set reads the next. */
typedef struct SettleTicket
{
	bool		has_ready_at;
	bool		is_ready;		/* or is taken to be, at the time of a quote */
	TimestampTz ready_at;
	TimestampTz rules_at;
	TimestampTz period_at;
	DateADT		period;			/* first day of the book's period, in book time; -infinity until it is known */
	struct varlena *project;	/* ltree or NULL */
	struct varlena *region;
	struct varlena *channel;	/* text or NULL, never empty */
	SettleDec	revenue;
	SettleDec	cost;
	SettleDec	tax;
	const char *currency;
	const char *order_ref;		/* NULL: of no order */
	const char *rework_of;		/* key of the ticket that it does again; NULL: it is no rework */
	const char *duplicate_of;	/* key of the first ticket of its order and project; NULL: it is the first */
	int			nlines;
	SettleLine *lines;
} SettleTicket;

/* What settle.explain tells of a rule or decision. */
typedef enum SettleStepKind
{
	SETTLE_STEP_DECISION,		/* name = value, by outcome detail */
	SETTLE_STEP_FACT,			/* name = value, looked up by detail; both NULL where there is none */
	SETTLE_STEP_RATE,			/* name = value, in force at detail */
	SETTLE_STEP_APPLIED,
	SETTLE_STEP_OVERRIDDEN,		/* by rule detail */
	SETTLE_STEP_BEATEN,			/* in its choice, by rule detail */
	SETTLE_STEP_PACK_BEATEN		/* rule of pack value, which is beaten in its choice by pack detail */
} SettleStepKind;

typedef struct SettleStep
{
	SettleStepKind kind;
	const char *name;
	const char *value;
	const char *detail;
	int			first_line;		/* lines that the step made */
	int			nlines;
} SettleStep;

/* A state of one tally for one version of its rule. */
typedef struct SettleTallyPart
{
	const SettlePricer *pricer;
	int64		count;			/* n */
	SettleDec	quantity;		/* X: sum of the base, or of the rule's measure */
	SettleDec	weighted;		/* W = sum of factor x base */
} SettleTallyPart;

/*
 * Who answers for what neither the ticket nor the rules hold.  Both give false
 * where there is no value; what they give stays until the next ticket.
 */
typedef struct SettleReader
{
	/* a fact of the given type, for a key at an instant */
	bool		(*fact) (void *arg, const SettleFactDef *fact, Oid type, const char *key, TimestampTz at, Datum *value);
	/* what a unit of one currency is in another, as numeric */
	bool		(*rate) (void *arg, const char *from, const char *to, TimestampTz at, Datum *value);
	void	   *arg;
} SettleReader;

/*
 * Finds or makes the compiled form of a ruleset for one source and row type.
 * It stays valid until released.  Raises what the gateway raises, naming the
 * rule, for a text that no longer compiles.
 */
extern SettleSet *settle_set_get(const SettleRuleset *ruleset, const char *source, TupleDesc row_type);
extern void settle_set_release(SettleSet *set);

/* The same by the digest of the ruleset; NULL where it is not compiled yet. */
extern SettleSet *settle_set_find(const uint8 *digest, const char *source, TupleDesc row_type);

/* The same for the type of a row, which is read into the set's slot and must outlive its evaluation. */
extern SettleSet *settle_set_of_row(const SettleRuleset *ruleset, const char *source, HeapTupleHeader row);

/* The slot whose first attributes are the source's columns; fill what settle_set_uses names, then read. */
extern TupleTableSlot *settle_set_slot(SettleSet *set);
extern const Bitmapset *settle_set_uses(const SettleSet *set);	/* attribute numbers of the source */
extern const char *settle_set_time_zone(const SettleSet *set);
extern Oid	settle_set_path_type(const SettleSet *set);	/* ltree */

/*
 * Says who answers for facts and rates of the tickets that follow.  A set that
 * was got anew has nobody: every fact is null, and there are no rates.
 */
extern void settle_set_ask(SettleSet *set, SettleReader reader);

/* Answers from an object of facts, and of rates as "CNY/USD": NULL has none. */
extern SettleReader settle_given_facts(Jsonb *facts);

/* The name of a fact's type for the type of an expression; NULL where it can be no fact. */
extern const char *settle_fact_type_name(Oid type, Oid ltree);

/*
 * The numbers that a book knows the rules by, as whoever settles for it has
 * last found them: remembered in the set, since they take reading all rules.
 */
typedef struct SettleNumbers
{
	Oid			schema;			/* InvalidOid: none are */
	int64		revision;		/* of the book's rules */
	int		   *rule_ids;		/* by ordinal */
	int			nrule_ids;
	const SettleRule **rules;	/* by number */
	struct varlena *input_names;	/* jsonb that a run of this one source keeps; NULL: not made yet */
} SettleNumbers;

extern SettleNumbers *settle_set_numbers(SettleSet *set);
extern void settle_set_remember_numbers(SettleSet *set, SettleNumbers numbers);
extern void settle_set_remember_input_names(SettleSet *set, struct varlena *names);

/* All rules of the source, in order of evaluation. */
extern int	settle_set_nrules(const SettleSet *set);
extern const SettleRule *settle_set_rule(const SettleSet *set, int ordinal);
extern const char *settle_set_ready_at(const SettleSet *set);	/* canonical text, or NULL */
extern const char *settle_set_time(const SettleSet *set);	/* canonical text of the ticket's time */
extern const char *settle_set_rules_at(const SettleSet *set);	/* canonical text, or NULL */
/* canonical text of the key; column is set where the key only spells that column as text */
extern const char *settle_set_key(const SettleSet *set, const char **column, Oid *type);
/* the same of what names the ticket that a row reverses; NULL where the source has no such rows */
extern const char *settle_set_reverses(const SettleSet *set, const char **column, Oid *type);
extern const Bitmapset *settle_set_amounts(const SettleSet *set);	/* number columns that a reversing row takes from */
extern bool settle_set_has_orders(const SettleSet *set);

/* Whether evaluating takes more of the pinned environment than book time. */
extern bool settle_set_needs_settings(const SettleSet *set);
extern bool settle_set_has_repeats(const SettleSet *set);
extern int	settle_set_nparties(const SettleSet *set);
extern void settle_set_forget_parties(SettleSet *set);

/* Forgets parties where there are too many of them and nobody holds the set. */
extern void settle_set_bound_parties(SettleSet *set);

/* As many parties are kept from ticket to ticket. */
#define SETTLE_KEEP_PARTIES	100000

/* Says, before a ticket is read, which ticket it is a duplicate of; NULL: of none.  The text must outlive its evaluation. */
extern void settle_set_duplicate_of(SettleSet *set, const char *key);

/*
 * Reads the ticket in the slot: its times first, then, if it is ready at
 * "now" or "always" is set, its mapped values and its lines.  Both run inside
 * the pinned environment.  Returns whether it was priced.  Errors of the
 * ticket are raised; settle_set_failing names the rule, decision or mapping
 * that was at work, or NULL.
 */
extern bool settle_evaluate_ticket(SettleSet *set, TimestampTz now, bool always, SettleTicket *ticket, List **trace);

extern const char *settle_set_failing(const SettleSet *set);

/*
 * Computes one decision for the ticket in the slot, ready or not, inside the
 * pinned environment; "now" is the time of a ticket that has none, DT_NOBEGIN
 * where such a ticket is an error.  Allocates the value in the current memory context.
 */
extern Jsonb *settle_decide_ticket(SettleSet *set, const char *decision, TimestampTz now);

/* First day of the span that an instant falls in, in the zone of the pinned environment. */
extern DateADT settle_span_start(SettleSpan span, TimestampTz at);

/* First day of the span that follows the one that begins with a day. */
extern DateADT settle_span_after(SettleSpan span, DateADT start);

/* C of a tally: DESIGN of accumulation in docs/rule.md.  Parts are in order of "from". */
extern SettleRatio settle_tally_fee(const SettleTallyPart *parts, int nparts);

/*
 * A ticket arrives: gives its own line, round(G + m) - round(G), where G is the
 * exact fee before and m its marginal price with its own version and factor,
 * and adds it to the part.  count is 1, or -1 where a correction by posting time
 * takes base back.
 */
extern SettleDec settle_tally_arrive(SettleTallyPart *parts, int nparts, int version,
									 SettleDec quantity, SettleDec base, SettleDec factor, int count, const SettleRounding *rounding);

/* Orders versions of one code: by time, then by pack. */
extern int	settle_compare_versions(const SettleRuleDef *a, const SettleRuleDef *b);

/* A decision that multiplied a line, and by which outcome it is what it is. */
typedef struct SettleFactor
{
	const char *decision;
	SettleDec	value;
	const char *reason;
} SettleFactor;

/* How the amount of a line that adds to no tally came about, before it was rounded and divided. */
typedef struct SettleLinePrice
{
	SettleDec	fee;			/* of the base by the tiers */
	SettleDec	unbounded;		/* times the factor */
	SettleDec	exact;			/* within at_least and at_most */
	const char *bound;			/* the one that counts; NULL: none */
} SettleLinePrice;

/* Both of the ticket that was evaluated last. */
extern int	settle_rule_factors(SettleSet *set, const SettleRule *rule, SettleFactor **factors);
extern SettleLinePrice settle_line_price(SettleSet *set, const SettleLine *line);

extern const SettleRounding *settle_rule_rounding(SettleSet *set, const SettleRule *rule, const char *unit);

#endif							/* SETTLE_ENGINE_H */
