/*
 * post.h
 *		Posting a batch, shared by the files that do it.
 *
 *		posted.c	what is posted for a ticket
 *		parties.c	numbers and sides of parties
 *		tallies.c	tallies: state, pricing, what is left
 *		post.c		what each ticket is to become, as drafts of sheets
 *		fx.c		what corrections are worth at today's rates
 *		brake.c		corrections that are held
 *		write.c		writes the drafts and the sums of parties
 *		states.c	problem, unpaid, waiting
 *		repeats.c	duplicates and rework
 */
#ifndef SETTLE_POST_H
#define SETTLE_POST_H

#include "settle/settle.h"

/* One sheet to be written. */
typedef struct Draft
{
	const char *key;
	int16		source_id;
	int			revision;
	TimestampTz ticket_time;
	DateADT		own_period;		/* of what it corrects */
	DateADT		period;			/* the same, or the oldest open one where that is closed */
	struct varlena *project;
	struct varlena *region;
	struct varlena *channel;
	const char *currency;
	bytea	   *inputs;			/* NULL where nothing was priced */
	SettleDec	revenue;
	SettleDec	cost;
	SettleDec	payout;
	int			tickets;
	int			nlines;
	int			space;
	RunLine    *lines;
	int64		sheet_id;
	bool		is_retier;
	const RunTicket *ticket;	/* NULL: of a tally */
} Draft;

typedef struct Drafts
{
	int			n;
	int			space;
	Draft	   *items;
} Drafts;

typedef struct KeyList
{
	bool		unwanted;		/* keys are not noted: nobody has them */
	int			n;
	int			space;
	Datum	   *keys;
	Datum	   *times;
	Datum	   *periods;
} KeyList;

/* ---- parties.c ---- */
extern void settle_load_sides(Run *run, const int *parties, int n);
extern void settle_intern_parties(Run *run, RunSource *source);
extern void settle_number_lines(Run *run, RunSource *source);
extern int	settle_number_party(Run *run, const char *code);
extern SettleDec settle_payout_of(Run *run, const RunSource *source, const RunLine *lines, int nlines, const char *currency);

/* ---- posted.c ---- */
extern bool settle_same_transfer(const RunLine *a, const RunLine *b);
extern bool settle_same_line(const RunLine *now, const RunLine *posted);
extern void settle_load_posted(Run *run, RunSource *source);
extern void settle_check_keys(Run *run, RunSource *source);
extern bool settle_stays(const RunTicket *ticket, const RunLine *posted);
extern const RunLine *settle_posted_same(const RunTicket *ticket, const RunLine *line);

/* ---- tallies.c ---- */
extern void settle_price_tallies(Run *run, RunSource *source, RunTicket **moving, int nmoving);

extern const char *settle_fx_key(const RunSource *source, const char *key);
extern int	settle_next_revision(Run *run, const char *key);

/* ---- fx.c ---- */
extern void settle_check_fx(Run *run, RunSource *source);
extern void settle_draft_fx(Run *run, Drafts *drafts, RunSource *source, RunTicket *ticket, int first);

/* ---- write.c ---- */
extern void settle_write_drafts(Run *run, Drafts *drafts);

/* ---- states.c ---- */
extern void settle_add_key(KeyList *list, const char *key, TimestampTz time);
extern void settle_add_ticket(KeyList *list, const RunTicket *ticket);
extern void settle_note_failure(Run *run, RunSource *source, const RunTicket *ticket, const char *rule, int sqlerrcode, const char *message, const char *detail, const char *hint);

/* Asks whether tickets of the batch may stand in problem, unpaid and waiting, before any is to be taken out; most of the time none does. */
extern void settle_ask_states(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *arrived);
extern void settle_note_states(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *unpaid, KeyList *waiting, KeyList *arrived);

/* ---- brake.c ---- */
extern void settle_load_held(Run *run, RunSource *source);
extern bool settle_brake_holds(Run *run, const RunTicket *ticket);
extern void settle_count_sheet(Run *run, DateADT period, int tickets);
extern void settle_note_held(Run *run, RunSource *source, KeyList *held, KeyList *freed);

/* ---- plan.c ---- */
extern void settle_plan_drafts(Run *run, const Drafts *drafts);
extern void settle_plan_posted(Run *run, const RunTicket *ticket);
extern bool settle_plan_simulates(const Run *run);
extern int	settle_plan_party(Run *run, const char *code);

/* ---- repeats.c ---- */

/* Waits, at commit, for others that settle tickets of the same orders; before what is posted is read. */
extern void settle_lock_orders(Run *run, RunSource *source);

/* Finds the duplicates of the orders that the batch touches; tickets that change are taken out and settled after it. */
extern void settle_sort_out_repeats(Run *run, RunSource *source);
extern bool settle_is_repeat(const RunTicket *ticket);
extern void settle_note_repeats(Run *run, RunSource *source);

/* ---- post.c ---- */
extern Draft *settle_new_draft(Drafts *drafts);
extern void settle_add_draft_line(Draft *draft, const RunLine *line);
extern void settle_negate_line(RunLine *line);

#endif							/* SETTLE_POST_H */
