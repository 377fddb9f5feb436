/*
 * settle.h
 *		Inside of a run, shared by the files of this room.
 *
 *		run.c		gate, setting a run up, its record, entry points
 *		commit.c	tickets that settle at the commit of their transaction
 *		read.c		reading rows of a source and evaluating them
 *		receive.h	rows of a query as they come from the executor
 *		pending.c	taking tickets, rescan
 *		repeats.c	which tickets of an order are duplicates, alerts of repeats
 *		post.h		posting: comparing with what is posted, tallies, writing
 *		plan.c		looks ahead: plan, simulate
 *		copy.c		rows into a table of the book
 *		period.c	what closing a period needs of C; the rest stands in period.sql
 *		capture.c	triggers on the source
 *		explain.h	the steps of one ticket, and what stands in the book for it
 *		seal.h		seals: canon.c, seal.c, verify.c
 *		check.c		what must always hold
 */
#ifndef SETTLE_SETTLE_H
#define SETTLE_SETTLE_H

#include "book/fact.h"
#include "book/rows.h"
#include "rule/inputs.h"
#include "rule/lines.h"
#include "storage/itemptr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

/* A source of the book that takes part in a run. */
typedef struct RunSource
{
	int16		id;
	const char *name;
	Oid			relation;
	const char *relation_name;	/* quoted */
	char		on_delete;		/* 'h'old, 'r'everse, 'i'gnore */
	bool		tax_is_mapped;
	bool		is_captured;	/* a table: its triggers tell of every row that is deleted */
	bool		is_period;		/* the built-in one: a row that no rule pays is none to worry about */
	bool		has_inputs;		/* the run has kept inputs of its tickets */
	SettleSet  *set;
	int		   *rule_ids;		/* by ordinal of the rule */
	int			nparty_ids;
	int		   *party_ids;		/* by ordinal of the party; 0 = not known yet */
} RunSource;

/* What a look at one ticket gave. */
typedef enum TicketState
{
	TICKET_PRICED,
	TICKET_NOT_READY,
	TICKET_WAITING,				/* ready at a known time in the future */
	TICKET_VANISHED,
	TICKET_FAILED,
	TICKET_REPEATED,			/* of another row with the same key */
	TICKET_AGAIN				/* became a duplicate, or none any more: settled after the batch */
} TicketState;

/* One line that a ticket's rules give, or that is posted, by the book's numbers. */
typedef struct RunLine
{
	const SettleRule *rule;		/* NULL for a posted line until looked up */
	int			rule_id;
	SettleParty *payer_party;	/* of a new line, until interned */
	SettleParty *payee_party;
	SettleParty *owner_party;
	int			payer;
	int			payee;
	int			owner;
	const char *unit;
	SettleDec	base;
	SettleDec	quantity;		/* of a line in a tally */
	SettleDec	factor;
	SettleDec	amount;
	bool		in_tally;
	bool		by_posting;		/* its tally is that of the posting time */
	struct Tally *tally;		/* of a ticket that moves */
	DateADT		tally_period;
	int			count;
	/* of a posted line by_posting that is taken back: in which period, at what price */
	DateADT		back_period;
	SettleDec	back_amount;
} RunLine;

/* Whether the brake holds a ticket's correction. */
typedef enum TicketHold
{
	HOLD_NONE,
	HOLD_HELD,
	HOLD_RELEASED				/* somebody let it go: the next run makes it */
} TicketHold;

/* Where <book>.order_ticket has a ticket. */
typedef struct OrderPlace
{
	const char *order_ref;
	const char *project;
	TimestampTz ready_at;
} OrderPlace;

typedef struct RunTicket
{
	const char *key;
	TicketState state;
	TicketHold	hold;
	bool		known;			/* may have sheets */
	bool		reversed;		/* rows of the source take from it */
	const char *order_ref;		/* as in SettleTicket */
	const char *rework_of;
	const char *duplicate_of;
	OrderPlace *place;			/* NULL: in no order */
	TimestampTz ready_at;
	TimestampTz ticket_time;
	DateADT		period;			/* -infinity where it is not known */
	struct varlena *project;
	struct varlena *region;
	struct varlena *channel;
	SettleDec	revenue;
	SettleDec	cost;
	const char *currency;
	bytea	   *inputs;			/* what its rules have read, or the digest of that */
	int			nlines;
	RunLine    *lines;
	/* of a failed ticket */
	const char *failing;
	ErrorData  *error;
	struct Posted *posted;
} RunTicket;

/* What is posted for one ticket: its sheets summed up. */
typedef struct Posted
{
	const char *key;
	int			revision;		/* of the last sheet */
	int64		run_id;			/* of the last sheet */
	int64		sheet_id;
	int			tickets;		/* 1 while it is settled */
	TimestampTz ticket_time;
	DateADT		period;			/* its own, wherever it was posted */
	struct varlena *project;
	struct varlena *region;
	struct varlena *channel;
	const char *currency;
	SettleDec	revenue;
	SettleDec	cost;
	SettleDec	payout;			/* in its currency */
	List	   *payouts;		/* in each currency that it has stood in */
	int			nlines;
	int			space;
	RunLine    *lines;
	bytea	   *inputs;			/* that it was priced with last, where the book names an fx_party */
	List	   *gone;			/* lines by posting time that were taken back, at another price */
} Posted;

/* A tally that the run has touched. */
typedef struct TallyKey
{
	const SettleRuleCode *code;
	int			owner;
	DateADT		period;
	char		unit[SETTLE_MAX_UNIT + 1];
} TallyKey;

typedef struct Tally
{
	TallyKey	key;			/* must be first */
	RunSource  *source;
	int			payer;
	int			payee;			/* of its retier lines: the payee of its tickets' lines, where they have one */
	DateADT		moved;			/* latest period of tickets' own that the run has moved a ticket of */
	bool		is_new;			/* not loaded yet */
	SettleTallyPart *parts;		/* by version */
	SettleDec  *amounts;		/* posted, by version */
	bool	   *exists;			/* has a row, by version */
	bool	   *changed;
	ItemPointerData *places;	/* of rows that were locked one by one, by version */
	int			payee_before;	/* that those rows have */
} Tally;

/* How many tickets the sheets of a run settle in one period. */
typedef struct SettledCount
{
	DateADT		period;
	int64		tickets;
} SettledCount;

typedef struct Run
{
	SettleBook	book;
	MemoryContext context;		/* lives as long as the run */
	MemoryContext batch_context;	/* reset with every batch */
	const SettleRuleset *ruleset;
	int64		rule_revision;	/* that the ruleset has, or an earlier one */
	SettleReader reader;		/* of the facts and rates of the book */
	bool		keep_inputs;
	const char *fx_party;		/* who has what corrections gain or lose by rates; NULL: nobody asks */
	char	   *currency;
	int64		run_id;
	TimestampTz now;
	TimestampTz started_at;
	bool		at_commit;
	bool		is_fresh;		/* leaves one row of fresh_run for all but its sheets */
	bool		prepared;		/* sources are compiled, rules numbered */
	DateADT		open_period;	/* the oldest; what is due to one before it is posted in it */
	Datum		edits;			/* numbers of the edits that the rules contain, of a run that takes them */
	struct RunPlan *plan;		/* of a look ahead, which collects sheets instead of writing them */
	const char *with_pack;		/* that it takes to be in force, from with_since on */
	TimestampTz with_since;
	int			nsources;
	RunSource **sources;

	int			ntickets;
	int			space;
	RunTicket  *tickets;		/* of the batch */

	HTAB	   *tallies;
	int			nrule_ids;
	const SettleRule **rules;	/* by the book's number */
	bool		hold_vanished;	/* of the scan under way: it misses too many */
	char	   *sides;			/* by number of the party: first letter, 't' tax, 'r' transit */
	int			sides_space;
	Oid			sheet_sequence;
	int64		first_sheet;	/* that the run has written; 0: none */
	int64		last_sheet;
	uint8	   *marks;			/* bits of keys that came in this pass, where it has several batches */
	TupleTableSlot *row;		/* of a ticket that settles at commit, if at hand */
	int64		pass_after;		/* sheets beyond this one were written by this pass over a source */
	List	   *again;			/* keys of the source to be settled once more, in the run's memory */
	bool		settling_again; /* that is being done */

	/* the brake */
	bool		any_held;		/* the book holds corrections */
	bool		with_held;		/* a look ahead at those, too */
	int64		max_correction; /* -1: no brake */
	bool		share_known;	/* max_correction is what it is of the tickets settled */
	bool		brakes;			/* holds every correction that is not released */
	bool		tripped;		/* too many: go back, and brake */
	int64		braked;			/* corrections that count */
	int64		before;			/* of earlier runs of the same backlog; -1: not asked yet */
	int64		counted;		/* those that count on in the next run */
	int			ncounts;
	int			counts_space;
	SettledCount *counts;		/* of its sheets */

	/* figures of the run */
	int64		settled;
	int64		lines;
	SettleDec	amount;
	int64		corrections;
	int64		held;
	int64		problems;
	int64		unpaid;
} Run;

/* A part of a run that is interned, compared, priced and written. */
extern void settle_post_batch(Run *run, RunSource *source);
extern void settle_post_tallies(Run *run);

/* Copies a decimal's digits into the current memory context, where it has any there. */
static inline SettleDec
settle_dec_keep(SettleDec dec)
{
	if (dec.wide != NULL)
		dec.wide = DatumGetNumericCopy(NumericGetDatum(dec.wide));
	return dec;
}

/* Tickets a batch holds at most. */
#define SETTLE_BATCH	32768

/* ---- copy.c ---- */

extern uint64 settle_copy_into(Oid schema, const char *table, const char *const *columns, int ncolumns, SettleNextRow row, void *arg);

/* ---- replay.c ---- */

/* Reports tickets of a sample whose kept inputs do not give what is posted. */
extern void settle_check_replay(const SettleBook *book, Tuplestorestate *store, TupleDesc desc);

/* ---- commit.c ---- */

/*
 * Settles the given tickets of one source, for capture at commit; "row" is the
 * row of a single one as it is now, where it is at hand.
 */
extern void settle_run_keys(Oid schema, const char *source, List *keys, TupleTableSlot *row);

/* ---- run.c ---- */

/* Raises 40001 where the rules of a poster at commit are no longer those of the book. */
extern void settle_run_check_rules(Run *run);

/* Raises 40001 where a poster at commit does not know of a period that was closed or opened again. */
extern void settle_run_check_periods(Run *run);
extern void settle_run_check_sides(Run *run);

/* Makes an array of values of one type. */
extern Datum settle_array_of(Oid type, Datum *datums, int n);

#endif							/* SETTLE_SETTLE_H */
