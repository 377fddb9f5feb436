/*
 * receive.h
 *		Rows of a query, taken from the executor as they come.
 */
#ifndef SETTLE_RECEIVE_H
#define SETTLE_RECEIVE_H

#include "core/core.h"

#include "access/tupdesc.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* Takes one row, in the memory of the query; nothing of it may be kept. */
typedef void (*SettleTakeRow) (void *arg, Datum *values, bool *nulls);

/* Has the next rows of a portal taken, as many at most; returns how many there were. */
extern int64 settle_receive(Portal portal, int64 most, SettleTakeRow take, void *arg);

/* Rows that stay until they are emptied. */
typedef struct SettleRows
{
	int			n;
	Datum	  **values;
	bool	  **nulls;
	int			space;
	TupleDesc	desc;
	MemoryContext context;		/* of the rows; reset by emptying */
} SettleRows;

/* Makes room for so many rows in the current memory context. */
extern SettleRows *settle_rows_make(TupleDesc desc, int space);
extern void settle_rows_empty(SettleRows *rows);

/* A SettleTakeRow that copies the row; arg is the rows. */
extern void settle_rows_gather(void *arg, Datum *values, bool *nulls);

#endif							/* SETTLE_RECEIVE_H */
