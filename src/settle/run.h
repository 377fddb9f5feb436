/*
 * run.h
 *		A run, shared by the files that set it up, take tickets, read them, explain
 *		one and check all.
 */
#ifndef SETTLE_RUN_H
#define SETTLE_RUN_H

#include "settle/settle.h"

#include "executor/tuptable.h"
#include "utils/array.h"

/* Bytes that a key has at most; an index of the book takes no more than 2,704. */
#define SETTLE_MAX_KEY			1000
#define SETTLE_CUT_KEY_END		21		/* bytes behind one that was longer: " ... " and a digest */

/* How rows of a source come in. */
typedef struct Reader
{
	Run		   *run;
	RunSource  *source;
	int			ncolumns;
	AttrNumber *columns;		/* attribute of the source, by column of the row */
	bool		has_reversals;	/* rows of the source may take from a ticket */
	int			namounts;
	int		   *amounts;		/* the columns that they take from */
	Oid		   *amount_types;
	SettleTicket said;			/* by the engine of the row that was read last, as far as it came */
} Reader;

/* ---- run.c ---- */
extern uint64 settle_query(const char *sql);
extern int64 settle_latest_number(const char *sql, int nargs, Oid *types, Datum *values);
extern void settle_compile_source(Run *run, RunSource *source);
extern void settle_number_rules(Run *run);
extern void settle_pass_gate(const SettleBook *book, bool at_commit);
extern void settle_new_run(Run *run, const SettleBook *book, bool at_commit);
extern void settle_begin_run(Run *run, const SettleBook *book, bool at_commit);
extern void settle_prepare_run(Run *run);
extern void settle_release_sources(Run *run);
extern RunSource *settle_find_source(const Run *run, const char *name);
extern void settle_record_run(Run *run);

/* ---- read.c ---- */

/* Tells whether an error is one of the ticket, which makes it a problem, and not one of the machine. */
extern bool settle_is_error_of_ticket(int sqlerrcode);
extern char *settle_source_query(Reader *reader, const char **lookup_type);
extern char *settle_source_keys(const RunSource *source);
extern void settle_keys(Run *run, RunSource *source, ArrayType *keys);
extern void settle_all(Run *run, RunSource *source);
extern bool settle_fetch_row(Run *run, RunSource *source, const char *key);
extern int64 settle_evaluate_all(Run *run, RunSource *source);

/* ---- repeats.c ---- */
extern bool settle_source_has_orders(Run *run, RunSource *source);
/* Waits, at commit, for others that settle the same tickets by rows of their own, which take them back; before rows are read. */
extern void settle_lock_reversed(Run *run, RunSource *source, ArrayType *keys);

/* ---- pending.c ---- */
extern void settle_check_snapshot(Run *run, RunSource *source, ArrayType *keys);
extern void settle_run_pending(Run *run, int64 max_tickets);
extern void settle_plan_pending(Run *run);
extern void settle_span(Run *run, RunSource *source, Datum since, Datum until);

/* ---- brake.c ---- */
extern int64 settle_counted_before(Run *run);
extern void settle_keep_counts(Run *run);
extern void settle_run_braked(Run *run, const SettleBook *book, int64 max_tickets);

#endif							/* SETTLE_RUN_H */
