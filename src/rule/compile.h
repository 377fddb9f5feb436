/*
 * compile.h
 *		Inside of a compiled ruleset, shared by the files that build it
 *		and those that evaluate with it.
 */
#ifndef SETTLE_COMPILE_H
#define SETTLE_COMPILE_H

#include "rule/engine.h"

#include "expr/expr.h"
#include "rule/match.h"
#include "utils/hsearch.h"

/* The mapped values of a ticket, "t" in expressions. */
typedef enum TicketField
{
	T_KEY,
	T_READY_AT,
	T_RULES_AT,
	T_PERIOD_AT,
	T_PROJECT,
	T_REGION,
	T_CHANNEL,
	T_REVENUE,
	T_COST,
	T_TAX,
	T_CURRENCY,
	T_ORDER_REF,
	T_REWORK_OF,
	T_DUPLICATE_OF,				/* not mapped: known to whoever has all tickets */
	T_FIELDS
} TicketField;

/* Where a mapped value is found, beside the position of a column of the source that it is. */
#define FIELD_UNMAPPED	0
#define FIELD_NAMED		(-1)	/* by the name: an expression, or a value that conditions look up */

struct codes_hash;				/* bytes -> SettleParty; see party.c */
struct numbers_hash;			/* number -> SettleParty */

/*
 * An expression of the rules, one for all rules that spell it alike.  Its value
 * is kept for the rest of the ticket.
 */
typedef struct Term
{
	const SettleExpr *expr;
	const char *what;			/* for messages: the first rule that uses it */
	int			position;		/* > 0: nothing but this name */
	bool		is_const;
	ExprState  *state;			/* made at first use */
	int			nneeds;
	int		   *needs;			/* names beyond the source's columns that must be computed before */

	uint64		epoch;			/* ticket for which value holds */
	Datum		value;
	bool		isnull;
	uint64		dec_epoch;
	SettleDec	dec;
	uint64		party_epoch;
	SettleParty *party;

	int			memo_position;	/* > 0: the one column of the source that a party template reads */
	bool		memo_by_number; /* it is a number */
	int16		memo_length;	/* -1: bytes */
	struct codes_hash *memo;	/* what it gave, by the column's bytes */
	struct numbers_hash *numbers;	/* or by its number */
	SettleParty **small_numbers;	/* those from 0 on, in place */
	uint32		nsmall_numbers;
	uint64		memo_generation;	/* of the parties that the memo points to */
} Term;

/* A value that comes from another relation, for the current ticket. */
typedef struct Fact
{
	const SettleFactDef *def;
	Oid			type;
	bool		used;			/* some expression reads it */
	Term	   *lookup;			/* of a fact that is used */
	Bitmapset  *uses;			/* what must be known before */
} Fact;

/* What one unit of a currency is in another, for the current ticket. */
typedef struct Rate
{
	const char *from;			/* a code that stays while parties are kept */
	const char *to;
	uint64		epoch;
	SettleDec	rate;
	Numeric		value;
} Rate;

/* Packs of which one counts for a ticket. */
typedef struct PackChoice
{
	const char *name;
	SettleChoicePolicy policy;
	int			npacks;
	struct Pack **packs;		/* in the order in which they are tried */
	Bitmapset  *uses;
	int			nneeds;
	int		   *needs;			/* names that their scopes read */
	SettleMatcher *matcher;
	int		   *candidates;
	uint64		epoch;			/* ticket for which winner holds */
	const struct Pack *winner;
} PackChoice;

typedef struct Pack
{
	const SettlePackDef *def;
	Expr	   *when;			/* its scope; NULL: every ticket */
	Bitmapset  *uses;
	ExprState  *residual;
	PackChoice *choice;			/* NULL: stands in none */
} Pack;

typedef struct Outcome
{
	const SettleOutcomeDef *def;
	const Pack *pack;			/* NULL: the base */
	int			rank;			/* place of its value among the output values */
	Datum		value;
	SettleDec	dec;			/* of a number */
	JsonbValue	item;			/* as the item of a list */
	Expr	   *when;			/* planned */
	ExprState  *residual;
} Outcome;

typedef struct Decision
{
	const SettleDecisionDef *def;
	Oid			outcome_type;
	Oid			type;			/* of what it gives: a count is a number, a list is jsonb */
	bool		is_numeric;		/* it gives a number */
	struct TypeCacheEntry *compare; /* equality of outcomes */
	int			noutcomes;
	Outcome    *outcomes;		/* in the order in which they are tried */
	SettleMatcher *matcher;
	int		   *candidates;
	Bitmapset  *uses;
	int			nneeds;
	int		   *needs;			/* names that its conditions read */
	bool		has_fallback;
	Datum		fallback;
	SettleDec	fallback_dec;

	/* of the current ticket */
	const Outcome *hit;			/* the last that hit; NULL where none did */
	int			nhits;
	Datum		value;
	SettleDec	dec;
} Decision;

typedef struct Component
{
	const char *name;
	bool		accumulates;	/* some rule of it does */
	bool		is_read;		/* some expression asks for the sum */
	SettleDec	sum;			/* of the current ticket's lines so far */
	uint64		sum_epoch;
} Component;

typedef struct Choice
{
	const char *name;
	SettleChoicePolicy policy;
	List	   *rules;			/* of CompiledRule */
	bool		has_remainder;
	Bitmapset  *after;			/* choices that must be settled before */
} Choice;

/*
 * What a rule pays and to whom.  Rules that differ in nothing but their
 * conditions share one: of 10,000 rules there are a few dozen, and they stay in
 * the processor's cache.
 */
typedef struct Pricing
{
	/* what makes two of them alike */
	SettlePricer *pricer;
	const char *unit;			/* NULL: the ticket's currency */
	const char *rounding_text;
	Term	   *base;			/* NULL: the remainder */
	Term	   *payer;
	Term	   *payee;
	Term	   *payees;
	Term	   *tally_by;
	Term	   *measure;
	Term	   *at_least;
	Term	   *at_most;
	int		   *factors;		/* decisions, of more than one */
	int			nfactors;
	int			factor;			/* the first decision */
	int			component;
	SettleSpan	accumulate;
	SettleShare share;
	bool		remainder;
	bool		converts;		/* the unit is a currency: another one is converted to it */

	/* what follows from that */
	bool		has_bounds;		/* at_least or at_most */
	bool		is_rate;
	SettleDec	rate;
	const char *rounding_unit;
	const SettleRounding *rounding; /* for that unit; shared */
	int			places;			/* that it rounds half up to; -1: it is not as simple */
} Pricing;

#define PRICING_KEY		offsetof(Pricing, has_bounds)

/* All terms of one, as the values of an array; NULL for those it has not. */
#define PRICING_TERMS(p) \
	{(p)->base, (p)->payer, (p)->payee, (p)->payees, (p)->tally_by, (p)->measure, (p)->at_least, (p)->at_most}

/* A rule ready for use. */
typedef struct CompiledRule
{
	SettleRule	rule;			/* must be first */
	const char *code;
	Pricing    *pricing;
	int			choice;
	SettleRepeats repeats;
	const Pack *pack;			/* NULL: the base, or a pack that stands in no choice */
	Expr	   *when;
	ExprState  *residual;
	int			nneeds;			/* of the residual */
	int		   *needs;
	int			noverrides;
	struct CompiledRule **overrides;
	bool		can_be_overridden;
	uint64		overridden_epoch;
	struct CompiledRule *overridden_by;
} CompiledRule;

/*
 * What matching looks at of a rule, in order of evaluation.  Most rules are
 * plain, and pricing a ticket needs no more of them than this: of 10,000 rules
 * it meets a few, and each stretch of memory that it has to fetch costs more
 * than pricing does.
 */
typedef struct RuleFront
{
	CompiledRule *rule;
	Pricing    *pricing;
	int			choice;
	bool		is_plain;		/* nothing of the following */
	bool		has_residual;
	bool		has_repeats;	/* repeats are not paid as other tickets are */
	bool		has_pack;
	bool		has_overrides;	/* or is overridden by others */
} RuleFront;

/* A way of rounding that rules share. */
typedef struct SharedRounding
{
	const char *text;
	const char *unit;
	SettleRounding rounding;
} SharedRounding;

/* The day of the last ticket whose span was asked for. */
typedef struct LastDay
{
	TimestampTz from;
	TimestampTz until;
	DateADT		start;			/* of the span */
} LastDay;

struct SettleSet
{
	MemoryContext context;
	uint8		digest[SETTLE_DIGEST_LEN];
	char	   *source;
	uint64		row_type;
	int			pins;
	uint64		last_use;

	SettleRulesetDef *def;
	SettleSpan	period;
	LastDay		last_day[SETTLE_SPAN_EVER + 1];
	const SettleSourceDef *source_def;
	int			ncolumns;		/* of the source */
	SettleScope scope;
	int			t0;				/* position of t's first field; then facts, decisions, components */
	int			f0;
	int			d0;
	int			c0;
	Bitmapset  *uses;			/* columns of the source that any expression reads */
	Bitmapset  *names;			/* those that parties, keys, paths and the like are named by */
	Bitmapset  *amounts;		/* number columns in use that are no names */
	Bitmapset  *matched;		/* names that conditions of rules read */
	bool		needs_settings;	/* evaluating may ask a statement, or do what depends on settings */

	TupleTableSlot *slot;
	ExprContext *econtext;
	uint64		epoch;			/* number of the current ticket */
	uint64	   *name_epoch;		/* by position: ticket for which the slot's value holds */

	Term	   *fields[T_FIELDS];
	int			field_places[T_FIELDS];	/* position of a column, or FIELD_... */
	Term	   *reverses;		/* NULL: no row of the source reverses a ticket */
	const char *duplicate_of;	/* of the ticket to be read */
	int			nfacts;
	Fact	   *facts;
	SettleReader reader;		/* who answers for facts and rates; whoever evaluates says so */
	Rate	   *rates;			/* that were asked for */
	int			nrates;
	struct InputColumn *input_columns;	/* see inputs.c */
	int			ninput_columns;
	StringInfoData inputs;		/* those of one ticket */
	SettleNumbers numbers;
	int			npacks;
	Pack	   *packs;
	List	   *pack_choices;	/* of PackChoice */
	int			ndecisions;
	Decision   *decisions;
	int			ncomponents;
	Component  *components;
	int			nchoices;
	Choice	   *choices;
	int			nrules;
	CompiledRule **rules;		/* in order of evaluation */
	RuleFront  *fronts;			/* in the same order */
	SettleMatcher *matcher;
	int		   *candidates;
	HTAB	   *texts;			/* texts that were read already */
	List	   *scales;			/* of SharedScale */
	List	   *pricings;		/* of Pricing */
	HTAB	   *pricing_buckets;
	List	   *shared_texts;
	List	   *roundings;		/* of SharedRounding */

	MemoryContext party_context;
	struct codes_hash *parties;
	int			nparties;
	uint64		party_generation;	/* grows when parties are forgotten */

	/* the current ticket's lines */
	SettleLine *lines;
	int			nlines;
	int			lines_space;
	const RuleFront **hits;
	const char *failing;		/* what is at work, for messages */
	const CompiledRule *failing_rule;	/* it is this rule, where failing is NULL */
	List	  **trace;
};

/* ---- compile.c ---- */

/* Lists the names beyond the source's columns that an expression reads; returns how many there are. */
extern int	settle_list_needs(const SettleSet *set, const Bitmapset *uses, int **needs);

/* Compiles into the current memory context. */
extern SettleSet *settle_compile(const SettleRuleset *ruleset, const char *source, TupleDesc row_type);
extern void settle_refuse_rule(const SettleRuleDef *def, const char *problem, const char *hint);

/* Reads an expression or a template once for all places that spell it alike; NULL for no text. */
extern Term *settle_read_term(SettleSet *set, const char *text, bool is_template, Oid wanted, const char *what);

/* The same of an amount, which must be an exact decimal. */
extern Term *settle_read_amount(SettleSet *set, const char *text, const char *what);

/* The same as the given type. */
extern Term *settle_read_as(SettleSet *set, const char *text, Oid type, const char *type_name, const char *what);

/* ---- pricing.c ---- */

/* Refuses a rule whose parts do not say what is paid to whom, before any of them is read. */
extern void settle_pricing_check(const SettleRuleDef *def);

/* Reads what a rule pays and to whom: the pricing of another rule where both are alike. */
extern Pricing *settle_pricing_read(SettleSet *set, const SettleRuleDef *def, int component);

/* ---- facts.c ---- */

/*
 * Facts are built in two steps, too: their types are part of the scope, and
 * what they are looked up by is read once it is known which are used.
 */
extern void settle_fact_types(SettleSet *set, Oid ltree);
extern void settle_facts_build(SettleSet *set);

/* Asks for a fact of the current ticket; false where there is none. */
extern bool settle_fact_compute(SettleSet *set, Fact *fact, const char *key, TimestampTz at, Datum *value);

/* Gives what a unit of one currency is in another, at an instant.  Raises ST008 where nobody knows. */
extern SettleDec settle_rate_of(SettleSet *set, const char *from, const char *to, TimestampTz at);

/* ---- compile.c, inputs.c: what of the environment evaluating takes ---- */
extern void settle_note_settings(SettleSet *set, const Expr *node);
extern bool settle_inputs_need_settings(const SettleSet *set);

/* ---- order.c ---- */
extern void settle_check_names(SettleSet *set);
extern void settle_check_codes(const SettleRuleDef *defs, int n);
extern void settle_link_codes(CompiledRule **rules, int n);
extern int *settle_order_choices(SettleSet *set);	/* the choices, each after all that it depends on */

/* ---- pack.c ---- */
extern void settle_packs_build(SettleSet *set, const SettleScope *scope, const Bitmapset *indexable);
extern Pack *settle_pack_find(SettleSet *set, const char *name, const char *source, const char *what);
extern Expr *settle_pack_narrow(const Pack *pack, Expr *when);

/* The pack that counts for the current ticket in the choice of a pack: that pack itself where it stands in none. */
extern const Pack *settle_pack_winner(SettleSet *set, const Pack *pack);

/* ---- party.c ---- */
extern void settle_set_init_parties(SettleSet *set);

/* Finds the party of a code, making it when it is new. */
extern SettleParty *settle_party_of(SettleSet *set, const char *code, Size len);

/* Computes a party template; part is what it is to the rule. */
extern SettleParty *settle_term_find_party(SettleSet *set, Term *term, const CompiledRule *rule, const char *part);

/* The same, once a ticket. */
static inline SettleParty *
settle_term_party(SettleSet *set, Term *term, const CompiledRule *rule, const char *part)
{
	return term->party_epoch == set->epoch ? term->party : settle_term_find_party(set, term, rule, part);
}

/* ---- value.c ---- */

/* Computes a term, once a ticket, with all that it needs. */
extern Datum settle_term_value(SettleSet *set, Term *term, bool *isnull);

/* The same as an exact decimal, kept in the term; false where it is null. */
extern bool settle_term_decode(SettleSet *set, Term *term);
extern void settle_refuse_null(const char *what);
extern void settle_refuse_null_part(const CompiledRule *rule, const char *part) pg_attribute_noreturn();

static inline bool
settle_term_dec(SettleSet *set, Term *term, SettleDec *dec)
{
	if (term->dec_epoch != set->epoch && !settle_term_decode(set, term))
		return false;
	*dec = term->dec;
	return true;
}

/* The same of a part of a rule, which must have a value; it stays in the term. */
static inline const SettleDec *
settle_need_dec(SettleSet *set, Term *term, const CompiledRule *rule, const char *part)
{
	if (term->dec_epoch != set->epoch && !settle_term_decode(set, term))
		settle_refuse_null_part(rule, part);
	return &term->dec;
}

/* Evaluates what the index left open of a condition; the state is made at first use. */
extern bool settle_residual_holds(SettleSet *set, Expr *residual, ExprState **state);

/* Puts a name of the current ticket into the slot: a mapped value, fact, decision or sum. */
extern void settle_compute_name(SettleSet *set, int position);
extern void settle_put_name(SettleSet *set, int position, Datum value, bool isnull);
extern TimestampTz settle_rules_at(SettleSet *set);

static inline void
settle_need_name(SettleSet *set, int position)
{
	if (set->name_epoch[position] != set->epoch)
		settle_compute_name(set, position);
}

static inline void
settle_need_names(SettleSet *set, const int *needs, int nneeds)
{
	for (int i = 0; i < nneeds; i++)
		settle_need_name(set, needs[i]);
}

/* ---- span.c ---- */

/* First day of the span of a ticket's time. */
extern DateADT settle_ticket_span_start(SettleSet *set, SettleSpan span, TimestampTz at);

/* ---- apply.c ---- */

/* Applies a rule to the current ticket: its lines are appended. */
extern void settle_apply_rule(SettleSet *set, CompiledRule *rule, Pricing *pricing, SettleTicket *ticket);

/* What a value is held against that a word alone does not show to be small. */
extern void settle_refuse_size(SettleDec value, const char *part);

/*
 * Raises 22003 for an amount so large that its column in the reports could not
 * show it, nor any row beside it.
 */
static inline void
settle_check_size(const SettleDec *value, const char *part)
{
	/* one comparison for both bounds: what lies below the lower one becomes very large */
	if (value->wide != NULL || (uint128) value->coef + (SETTLE_MAX_AMOUNT - 1) > 2 * (SETTLE_MAX_AMOUNT - 1))
		settle_refuse_size(*value, part);
}

/* ---- evaluate.c ---- */

/* Notes a step of the current ticket, where somebody asked for them. */
extern void settle_add_step(SettleSet *set, SettleStepKind kind, const char *name, const char *value, const char *detail, int first_line);

/* ---- decision.c ---- */

/*
 * Decisions are built in two steps: their types are part of the scope that
 * their conditions are read in.
 */
extern void settle_decision_types(SettleSet *set, Oid ltree);
extern void settle_decision_build(SettleSet *set, Decision *decision, const SettleScope *scope, const Bitmapset *indexable);

/* Finds a decision by name; what names it, for the message where there is none. */
extern int	settle_decision_find(const SettleSet *set, const char *name, const char *what);

/*
 * Computes a decision for the ticket in the slot, once all names that its
 * conditions read are there.  The value is in the current memory context or in
 * that of the set.
 */
extern void settle_decision_compute(SettleSet *set, Decision *decision, TimestampTz at);

/* What a computed decision gave: as text, why, and as jsonb. */
extern char *settle_decision_text(const Decision *decision);
extern const char *settle_decision_reason(const Decision *decision);
extern Jsonb *settle_decision_json(const Decision *decision);

#endif							/* SETTLE_COMPILE_H */
