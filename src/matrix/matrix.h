/*
 * matrix.h
 *		The type settle.matrix: what tickets came to, by project, region and
 *		period.
 *
 * A matrix is one flat piece of memory.  While it is worked on it has room to
 * grow and hash tables over its cells and paths; such a one is the state of the
 * aggregate.  What users see and store is sorted: paths and cells in order, no
 * room left over and no hash tables.
 *
 * It holds one cell for each (project, region, period) that has a ticket, and
 * no subtotal: those are summed up when the cells are shown.
 */
#ifndef SETTLE_MATRIX_H
#define SETTLE_MATRIX_H

#include "amount/amount.h"

#include "extension/ltree/ltree.h"
#include "utils/date.h"

/* A project or region is the number of its path in the matrix, or one of these. */
#define MATRIX_NO_PATH		PG_UINT32_MAX			/* null */
#define MATRIX_ALL_PATHS	(PG_UINT32_MAX - 1)		/* of a total */

/* A period is its date moved to where unsigned order is date order, or one of these. */
#define MATRIX_NO_PERIOD	PG_UINT32_MAX			/* null */
#define MATRIX_INFINITY		(PG_UINT32_MAX - 1)
#define MATRIX_ALL_PERIODS	(PG_UINT32_MAX - 2)		/* of a total */

typedef struct MatrixKey
{
	uint32		project;
	uint32		region;
	uint32		period;
} MatrixKey;

/* The sums of a cell, and the two marks that stand in place of a scale. */
#define MATRIX_REVENUE		0
#define MATRIX_COST			1
#define MATRIX_SUMS			2

#define MATRIX_NO_SUM		(-1)	/* nothing but nulls was added */
#define MATRIX_WIDE_SUM		(-2)	/* does not fit: coef is the place of a MatrixWide in the heap */

typedef struct MatrixCell
{
	int128		coef[MATRIX_SUMS];
	int64		tickets;
	MatrixKey	key;
	int16		scale[MATRIX_SUMS];
} MatrixCell;

/* A sum beyond 128 bits, with the room that it may grow into. */
typedef struct MatrixWide
{
	uint32		room;			/* bytes after this field */
	char		number[FLEXIBLE_ARRAY_MEMBER];	/* a Numeric */
} MatrixWide;

typedef struct MatrixPath
{
	uint32		place;			/* of a whole ltree in the heap */
	uint32		hash;			/* while there is a hash table */
} MatrixPath;

#define MATRIX_VERSION		1

typedef struct SettleMatrix
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	uint8		version;
	uint8		sorted;			/* 1 or 0 */
	uint8		cell_bits;		/* log2 of the size of a hash table; 0 if there is none */
	uint8		path_bits;
	uint32		ncells;
	uint32		cells_max;
	uint32		npaths;
	uint32		paths_max;
	uint32		heap_used;
	uint32		heap_max;
	uint32		last_cell;		/* found last: what is sorted or rolled up asks for it again */
	/* MatrixCell[cells_max], MatrixPath[paths_max], uint32[2^cell_bits], uint32[2^path_bits], heap */
} SettleMatrix;

/*
 * A matrix with hash tables while it is changed.  Whatever adds to it may move
 * it: no pointer into it survives such a call.
 */
typedef struct MatrixEdit
{
	SettleMatrix *matrix;
	bool		owned;			/* may be reallocated; else a new one with clean spare room takes its place */
	Size		limit;			/* of its size without hash tables: MaxAllocSize where it becomes a datum */
} MatrixEdit;

static inline MatrixCell *
settle_matrix_cells(const SettleMatrix *matrix)
{
	return (MatrixCell *) ((char *) matrix + MAXALIGN(sizeof(SettleMatrix)));
}

static inline MatrixPath *
settle_matrix_paths(const SettleMatrix *matrix)
{
	return (MatrixPath *) (settle_matrix_cells(matrix) + matrix->cells_max);
}

static inline uint32 *
settle_matrix_cell_slots(const SettleMatrix *matrix)
{
	return (uint32 *) (settle_matrix_paths(matrix) + matrix->paths_max);
}

static inline uint32 *
settle_matrix_path_slots(const SettleMatrix *matrix)
{
	return settle_matrix_cell_slots(matrix) + (matrix->cell_bits ? (Size) 1 << matrix->cell_bits : 0);
}

static inline char *
settle_matrix_heap(const SettleMatrix *matrix)
{
	return (char *) MAXALIGN(settle_matrix_path_slots(matrix) +
							 (matrix->path_bits ? (Size) 1 << matrix->path_bits : 0));
}

static inline ltree *
settle_matrix_path(const SettleMatrix *matrix, uint32 path)
{
	return (ltree *) (settle_matrix_heap(matrix) + settle_matrix_paths(matrix)[path].place);
}

/* matrix.c */
extern MatrixEdit settle_matrix_new(Size limit);
extern MatrixEdit settle_matrix_edit(const SettleMatrix *matrix, Size limit);
extern uint32 settle_matrix_add_path(MatrixEdit *edit, const char *labels, Size len);
extern uint32 settle_matrix_add_cell(MatrixEdit *edit, MatrixKey key);
extern void settle_matrix_add_tickets(MatrixEdit *edit, uint32 cell, int64 tickets);
extern SettleDec settle_matrix_amount(Numeric number);
extern void settle_matrix_add_amount(MatrixEdit *edit, uint32 cell, int sum, const SettleDec *amount);
extern void settle_matrix_add_sums(MatrixEdit *edit, uint32 cell, const SettleMatrix *source, const MatrixCell *from);
extern uint32 *settle_matrix_add_paths(MatrixEdit *edit, const SettleMatrix *source);
extern void settle_matrix_merge(MatrixEdit *edit, const SettleMatrix *source);
extern SettleMatrix *settle_matrix_over_periods(const SettleMatrix *matrix);
extern bool settle_matrix_sum(const SettleMatrix *matrix, const MatrixCell *cell, int sum, SettleDec *amount);
extern Size settle_matrix_compact_size(const SettleMatrix *matrix);
extern void settle_matrix_compact(const SettleMatrix *matrix, SettleMatrix *copy, Size size);
extern SettleMatrix *settle_matrix_sort(const SettleMatrix *matrix);
extern SettleMatrix *settle_matrix_arg(Datum value);
extern uint32 settle_matrix_period(DateADT date);
extern DateADT settle_matrix_date(uint32 period);
extern bool settle_matrix_period_is_valid(uint32 period);

#endif							/* SETTLE_MATRIX_H */
