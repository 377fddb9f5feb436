/*
 * rows.h
 *		Rows of a book's tables, found and written without a statement.
 *
 * For code that runs often and asks little each time, and for code that writes
 * much.  Everything here answers that it cannot where a table has something on
 * it that only a statement serves; the caller has a statement that does the
 * same.
 */
#ifndef SETTLE_ROWS_H
#define SETTLE_ROWS_H

#include "book/book.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/sdir.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* ---- lookup.c: finding them ---- */

#define SETTLE_LOOKUP_KEYS		4
#define SETTLE_LOOKUP_COLUMNS	16

typedef struct SettleColumn
{
	const char *name;
	Oid			type;			/* InvalidOid: of a type that has no fixed number */
} SettleColumn;

/* What rows are found by, and what is read of them.  One that is static is found out about once a session. */
typedef struct SettleLookup
{
	const char *table;
	SettleColumn keys[SETTLE_LOOKUP_KEYS];	/* first columns of an index; none: all rows, in no order */
	SettleColumn columns[SETTLE_LOOKUP_COLUMNS];
	const char *index;			/* NULL: any that holds all rows */
	bool		backward;		/* the last of its order first */
	bool		told_of_all;	/* of a row that is remembered: sessions are told of new ones, too */
} SettleLookup;

typedef struct SettleScan
{
	Relation	table;
	Relation	index;
	bool		is_empty;
	Snapshot	snapshot;
	int			nkeys;
	ScanKeyData keys[SETTLE_LOOKUP_KEYS];
	IndexScanDesc index_scan;
	TableScanDesc table_scan;
	ScanDirection direction;
	TupleTableSlot *slot;		/* the row that was found */
	int			ncolumns;
	AttrNumber	columns[SETTLE_LOOKUP_COLUMNS];
	Datum		values[SETTLE_LOOKUP_COLUMNS];	/* valid until the next row */
	bool		nulls[SETTLE_LOOKUP_COLUMNS];
} SettleScan;

/* Begins to look, with a snapshot of its own, at the rows that have these keys; false where that takes a statement. */
extern bool settle_scan_begin(SettleScan *scan, const SettleBook *book, const SettleLookup *lookup, const Datum *keys);
/* The same of any relation, by a column whose values tell its rows apart; slot has the row. */
extern bool settle_scan_unique(SettleScan *scan, Oid relid, const char *column, Datum key);
/* Whether it would find a row that is at hand, which stands as it is and has the key alone. */
extern bool settle_row_stands(Oid relid, const char *column, TupleTableSlot *row);
extern bool settle_scan_next(SettleScan *scan);
/* Looks on at the rows that have other keys, with the same snapshot. */
extern void settle_scan_again(SettleScan *scan, const Datum *keys);
/*
 * Locks the row that was found against others that would change it; its values
 * are then those that it has as locked, place is where.  Waits for whoever has it.
 * Raises 40001 where it has changed since the snapshot of a transaction that has
 * one.
 */
extern void settle_scan_lock(SettleScan *scan, ItemPointer place);
/* Copies what is read of the row into the current memory context. */
extern void settle_scan_copy(const SettleScan *scan, Datum *values, bool *nulls);
extern void settle_scan_end(SettleScan *scan);

typedef enum SettleFound
{
	SETTLE_NOT_FOUND,
	SETTLE_FOUND,
	SETTLE_ASK					/* this takes a statement */
} SettleFound;

/* Finds one row and copies what is read of it. */
extern SettleFound settle_find_row(const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls);

/* The same as all see it that is committed by now, whatever the snapshot of this transaction. */
extern SettleFound settle_find_latest_row(const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls);

/* The sequence that numbers an identity column of one table. */
extern Oid	settle_identity_sequence(const SettleBook *book, const char *table, const char *column);

/* ---- remember.c: knowing them from before ---- */

/*
 * Finds one row as settle_find_row does, and knows it the next time.  Its table
 * tells sessions when rows change (settle.forget_rows); it is found by one key at
 * most, which is text, a name or bytes.
 */
extern SettleFound settle_find_known_row(const SettleBook *book, const SettleLookup *lookup, const Datum *keys, Datum *values, bool *nulls);

/* ---- bulk.c: writing them ---- */

/* Inserts rows that have the shape of their table; false where this takes a statement. */
extern bool settle_insert_rows(Oid relid, HeapTuple *rows, int n);

/*
 * Gives the values of the next row, made in memory that lives until it is
 * written; false when there is none left.
 */
typedef bool (*SettleNextRow) (Datum *values, bool *nulls, void *arg);

/* The values must be of the types that the columns have. */
extern bool settle_insert_values(Relation relation, const char *const *columns, int ncolumns, SettleNextRow row, void *arg, uint64 *n);

typedef void (*SettleRowValues) (int row, ItemPointer place, Datum *values, bool *nulls, void *arg);

/* Returns how many it has changed; -1 where this takes a statement. */
extern int	settle_update_rows(Oid relid, const int *columns, int ncolumns, SettleRowValues values, void *arg, int n);

#endif							/* SETTLE_ROWS_H */
