/*
 * ingest.h
 *		A batch of payloads on its way into the tables of a book.
 */
#ifndef SETTLE_INGEST_H
#define SETTLE_INGEST_H

#include "book/rows.h"
#include "connect/connect.h"

#include "executor/spi.h"
#include "utils/tuplestore.h"

/* What a row of the batch is to those of its key. */
typedef struct RowState
{
	Verdict		verdict;
	bool		wins;
	bool		replaces;		/* another version that stands */
} RowState;

typedef struct Ingest
{
	SettleBook	book;
	MemoryContext context;		/* lives as long as the connection to SPI, which keeps its list of relations in it */
	Batch		batch;
	RowState   *states;			/* by row of the batch */
	int			npayloads;
	SPITupleTable *landed_rows;	/* that landed points to */
	Landed	   *landed;
	Mapped	   *mapped;
	int64		counts[NVERDICTS];
} Ingest;

/* merge.c */
extern void settle_merge(Ingest *ingest);

/* relations that statements read from memory */
extern void settle_show_rows(Ingest *ingest, const char *name, TupleDesc desc, Tuplestorestate *store, double rows);
extern void settle_hide_rows(const char *name, Tuplestorestate *store);
extern int	settle_column_number(TupleDesc desc, const char *name);

/* erased.c */
extern void settle_forget_erased(Ingest *ingest);

#endif							/* SETTLE_INGEST_H */
