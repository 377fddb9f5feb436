/*
 * progress.h
 *		How far a long operation on a book is, for other sessions to see.
 */
#ifndef SETTLE_PROGRESS_H
#define SETTLE_PROGRESS_H

#include "book/book.h"

typedef enum SettleOperation
{
	SETTLE_RUNNING,
	SETTLE_CLOSING,
	SETTLE_INGESTING,
	SETTLE_SEALING
} SettleOperation;

typedef enum SettlePhase
{
	SETTLE_TAKING,
	SETTLE_EVALUATING,
	SETTLE_POSTING,
	SETTLE_PRICING_TALLIES,
	SETTLE_WRITING_PERIOD,
	SETTLE_MAKING_STATEMENTS,
	SETTLE_MAPPING,
	SETTLE_MERGING,
	SETTLE_HASHING
} SettlePhase;

/* What is not known beforehand. */
#define SETTLE_UNKNOWN_TOTAL	(-1)

/*
 * Shows an operation until settle_progress_end, or until the transaction or
 * subtransaction it began in ends.  One that begins within another shows its
 * phase and figures under the other's name.
 */
extern void settle_progress_begin(const SettleBook *book, SettleOperation operation, SettlePhase phase, int64 total);
extern void settle_progress_end(void);

extern void settle_progress_phase(SettlePhase phase);
extern void settle_progress_add(int64 done);

/* Shows it again where PostgreSQL has shown something else in its place, or nothing. */
extern void settle_progress_keep(void);

/* Has the runs that begin from now on tell the client how far they are, every so many milliseconds; negative: not at all. */
extern void settle_progress_tell(int64 every);

#endif							/* SETTLE_PROGRESS_H */
