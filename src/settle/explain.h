/*
 * explain.h
 *		An explanation as it is written, shared by explain.c, which tells how the
 *		lines of a ticket come about, and account.c, which tells what stands in the
 *		book for it.
 */
#ifndef SETTLE_EXPLAIN_H
#define SETTLE_EXPLAIN_H

#include "settle/run.h"

/* Columns of the result. */
enum
{
	EXPLAIN_STEP, EXPLAIN_KIND, EXPLAIN_NAME, EXPLAIN_PAYER, EXPLAIN_PAYEE, EXPLAIN_BASE, EXPLAIN_FACTOR, EXPLAIN_AMOUNT, EXPLAIN_UNIT, EXPLAIN_DETAIL,
	EXPLAIN_COLUMNS
};

typedef struct Explanation
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int			steps;
	Datum		values[EXPLAIN_COLUMNS];
	bool		nulls[EXPLAIN_COLUMNS];
} Explanation;

/* ---- explain.c ---- */
extern void settle_begin_step(Explanation *e, const char *kind, const char *name, const char *detail);
extern void settle_end_step(Explanation *e);

/* ---- account.c ---- */

/* The source that knows a key: "ticket" where it does, else the only one. */
extern RunSource *settle_source_of_key(Run *run, const char *key);
extern bool settle_has_sheets(Run *run, RunSource *source, const char *key);
extern void settle_explain_states(Explanation *e, Run *run, RunSource *source, const char *key, bool has_row);
extern void settle_explain_posted(Explanation *e, Run *run, RunSource *source, const char *key);

#endif							/* SETTLE_EXPLAIN_H */
