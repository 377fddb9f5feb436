/*
 * matrix.c
 *		The layout of settle.matrix: adding to it, sorting it, vetting it.
 *
 * A matrix that grows takes twice the room, so adding a ticket costs constant
 * time on average.  Sums are exact: 128-bit fixed point, numeric where that does
 * not fit.
 *
 * Hash tables are trusted only in a matrix that was made in this process; a value
 * that comes from outside is vetted by settle_matrix_arg() and indexed afresh.
 */
#include "matrix/matrix.h"

#include "common/int.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Room of a new matrix: small, since there may be one in each of many groups. */
#define FIRST_CELLS		8
#define FIRST_PATHS		8
#define FIRST_HEAP		512

#define MAX_ENTRIES		((uint32) 1 << 30)

/* A cell's key in sorted order, with the cell it stands for. */
typedef struct CellOrder
{
	uint64		paths;			/* ranks of project and region */
	uint32		period;
	uint32		cell;
} CellOrder;

/*
 * Compares two cells by their keys.
 */
static inline int
compare_order(const CellOrder *a, const CellOrder *b)
{
	if (a->paths != b->paths)
		return a->paths < b->paths ? -1 : 1;
	if (a->period != b->period)
		return a->period < b->period ? -1 : 1;
	return 0;
}

#define ST_SORT sort_orders
#define ST_ELEMENT_TYPE CellOrder
#define ST_COMPARE(a, b) compare_order(a, b)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * Gives the bytes of a matrix with such room.
 */
static Size
matrix_size(uint32 cells_max, uint32 paths_max, int cell_bits, int path_bits, uint32 heap_max)
{
	Size		size = MAXALIGN(sizeof(SettleMatrix));

	size += (Size) cells_max * sizeof(MatrixCell);
	size += (Size) paths_max * sizeof(MatrixPath);
	if (cell_bits)
		size += ((Size) 1 << cell_bits) * sizeof(uint32);
	if (path_bits)
		size += ((Size) 1 << path_bits) * sizeof(uint32);
	return MAXALIGN(size) + heap_max;
}

/*
 * Gives the size of a hash table that these entries fill by half at most.
 */
static int
index_bits(uint32 entries)
{
	int			bits = 1;

	while (((Size) 1 << bits) < (Size) entries * 2)
		bits++;
	return bits;
}

/*
 * Raises the error of a matrix that cannot become so large.
 */
static void pg_attribute_noreturn()
too_large(uint64 cells, uint64 paths)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("matrix of " UINT64_FORMAT " cells and " UINT64_FORMAT " paths is too large", cells, paths),
			 errdetail("A matrix takes at most %zu bytes.", (Size) MaxAllocSize),
			 errhint("Aggregate by coarser projects, regions or periods.")));
}

/*
 * Fills the header of an empty matrix.  One beyond the size of a datum, which no
 * datum can become, has no length.
 */
static void
matrix_init(SettleMatrix *matrix, Size size,
			uint32 cells_max, uint32 paths_max, int cell_bits, int path_bits, uint32 heap_max)
{
	memset(matrix, 0, MAXALIGN(sizeof(SettleMatrix)));
	SET_VARSIZE(matrix, size <= MaxAllocSize ? size : 0);
	matrix->version = MATRIX_VERSION;
	matrix->cell_bits = cell_bits;
	matrix->path_bits = path_bits;
	matrix->cells_max = cells_max;
	matrix->paths_max = paths_max;
	matrix->heap_max = heap_max;
}

/*
 * Hashes a key; all bits of the result depend on all of the key.
 */
static inline uint32
hash_key(MatrixKey key)
{
	uint64		hash = (((uint64) key.project << 32) | key.region) * UINT64CONST(0x9E3779B97F4A7C15);

	hash = ((hash ^ (hash >> 32)) + key.period) * UINT64CONST(0xD6E8FEB86659FD93);
	return (uint32) (hash >> 32);
}

/*
 * Hashes the labels of a path, eight bytes at a time.  The factors are odd and
 * their bits without a pattern, so each bit of a word reaches the upper half.
 */
static inline uint32
hash_labels(const char *labels, Size len)
{
	uint64		hash = len;
	uint64		word = 0;
	Size		at;

	for (at = 0; at + sizeof(word) <= len; at += sizeof(word))
	{
		memcpy(&word, labels + at, sizeof(word));
		hash = (hash ^ word) * UINT64CONST(0x9E3779B97F4A7C15);
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, labels + at, len - at);
	return (uint32) (((hash ^ word) * UINT64CONST(0xD6E8FEB86659FD93)) >> 32);
}

/*
 * Tells whether two keys are equal.
 */
static inline bool
same_key(MatrixKey a, MatrixKey b)
{
	return a.project == b.project && a.region == b.region && a.period == b.period;
}

/*
 * A hash table has 2^bits slots, at most half of them in use.  A slot is 0 or
 * holds the number of an entry, counted from 1, in its lower bits, and in the
 * others what the hash has there: most entries that only share the slot are
 * told apart without a look at them, which is where the time goes once a matrix
 * is larger than the processor's caches.
 */
#define SLOT_MASK(bits)				((uint32) (((uint64) 1 << (bits)) - 1))
#define SLOT_ENTRY(slot, mask)		(((slot) & (mask)) - 1)
#define SLOT_MAY_BE(slot, hash, mask)	((((slot) ^ (hash)) & ~(mask)) == 0)

/*
 * Puts an entry into the first free slot of a hash table.
 */
static inline void
fill_slot(uint32 *slots, int bits, uint32 hash, uint32 entry)
{
	uint32		mask = SLOT_MASK(bits);
	uint32		at = hash & mask;

	while (slots[at] != 0)
		at = (at + 1) & mask;
	slots[at] = (hash & ~mask) | (entry + 1);
}

/*
 * Enters all cells and paths into the hash tables, which are empty.
 */
static void
fill_slots(SettleMatrix *matrix)
{
	const MatrixCell *cells = settle_matrix_cells(matrix);
	MatrixPath *paths = settle_matrix_paths(matrix);
	uint32	   *slots = settle_matrix_cell_slots(matrix);

	for (uint32 i = 0; i < matrix->ncells; i++)
		fill_slot(slots, matrix->cell_bits, hash_key(cells[i].key), i);
	slots = settle_matrix_path_slots(matrix);
	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		const ltree *path = settle_matrix_path(matrix, i);

		paths[i].hash = hash_labels(VARDATA(path), VARSIZE(path) - VARHDRSZ);
		fill_slot(slots, matrix->path_bits, paths[i].hash, i);
	}
}

/*
 * Copies the paths of a matrix, and its heap, into another that has the room.
 */
static void
copy_paths(SettleMatrix *to, const SettleMatrix *from)
{
	to->npaths = from->npaths;
	to->heap_used = from->heap_used;
	memcpy(settle_matrix_paths(to), settle_matrix_paths(from), (Size) from->npaths * sizeof(MatrixPath));
	memcpy(settle_matrix_heap(to), settle_matrix_heap(from), from->heap_used);
}

/*
 * Copies what a matrix holds into another that has the room.
 */
static void
copy_contents(SettleMatrix *to, const SettleMatrix *from)
{
	to->ncells = from->ncells;
	memcpy(settle_matrix_cells(to), settle_matrix_cells(from), (Size) from->ncells * sizeof(MatrixCell));
	copy_paths(to, from);
}

/*
 * Makes an empty matrix with such room and with hash tables.
 */
static SettleMatrix *
matrix_allocate(uint32 cells_max, uint32 paths_max, uint32 heap_max)
{
	int			cell_bits = index_bits(cells_max);
	int			path_bits = index_bits(paths_max);
	Size		size = matrix_size(cells_max, paths_max, cell_bits, path_bits, heap_max);
	SettleMatrix *matrix = MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	matrix_init(matrix, size, cells_max, paths_max, cell_bits, path_bits, heap_max);
	return matrix;
}

/*
 * Gives a new room of one part of the matrix: larger by all, half, a quarter ...
 * of it as thrift goes up from 0.  What is still a quarter empty is left alone;
 * the parts fill up together, and one move serves for all.
 */
static uint32
more_room(uint32 room, uint64 needed, int thrift)
{
	if (needed <= room - room / 4)
		return room;
	return (uint32) Max(needed, Min((uint64) room + (room >> thrift), PG_UINT32_MAX));
}

/*
 * Makes room for so many cells, paths and bytes of heap besides what the matrix
 * holds, twice the room if the limit allows it.
 *
 * A large matrix is moved by the memory allocator, which can do that without
 * copying; what follows the cells is shifted within it, last part first.
 */
static pg_noinline void
matrix_grow(MatrixEdit *edit, uint32 cells, uint32 paths, uint32 heap)
{
	SettleMatrix *old = edit->matrix;
	uint64		ncells = (uint64) old->ncells + cells;
	uint64		npaths = (uint64) old->npaths + paths;
	uint64		nheap = (uint64) old->heap_used + heap;
	uint32		cells_max;
	uint32		paths_max;
	uint32		heap_max;
	int			thrift = 0;
	SettleMatrix *matrix;

	if (ncells > MAX_ENTRIES || npaths > MAX_ENTRIES || nheap > PG_UINT32_MAX)
		too_large(ncells, npaths);
	for (;;)
	{
		cells_max = more_room(old->cells_max, ncells, thrift);
		paths_max = more_room(old->paths_max, npaths, thrift);
		heap_max = more_room(old->heap_max, nheap, thrift);
		if (matrix_size(cells_max, paths_max, 0, 0, heap_max) <= edit->limit)
			break;
		if (++thrift > 8)
			too_large(ncells, npaths);
	}

	if (edit->owned)
	{
		SettleMatrix before = *old;
		char	   *paths_from;
		char	   *heap_from;
		int			cell_bits = index_bits(cells_max);
		int			path_bits = index_bits(paths_max);
		Size		size = matrix_size(cells_max, paths_max, cell_bits, path_bits, heap_max);

		matrix = repalloc_huge(old, size);
		paths_from = (char *) settle_matrix_paths(matrix);
		heap_from = settle_matrix_heap(matrix);
		matrix_init(matrix, size, cells_max, paths_max, cell_bits, path_bits, heap_max);
		matrix->ncells = before.ncells;
		matrix->npaths = before.npaths;
		matrix->heap_used = before.heap_used;
		memmove(settle_matrix_heap(matrix), heap_from, before.heap_used);
		memmove(settle_matrix_paths(matrix), paths_from, (Size) before.npaths * sizeof(MatrixPath));
		memset(settle_matrix_cell_slots(matrix), 0,
			   settle_matrix_heap(matrix) - (char *) settle_matrix_cell_slots(matrix));
	}
	else
	{
		matrix = matrix_allocate(cells_max, paths_max, heap_max);
		copy_contents(matrix, old);
	}
	fill_slots(matrix);
	edit->matrix = matrix;
}

/*
 * Makes sure that so many cells, paths and bytes of heap fit.
 */
static inline void
matrix_reserve(MatrixEdit *edit, uint32 cells, uint32 paths, uint32 heap)
{
	SettleMatrix *matrix = edit->matrix;

	if (unlikely(matrix->cells_max - matrix->ncells < cells ||
				 matrix->paths_max - matrix->npaths < paths ||
				 matrix->heap_max - matrix->heap_used < heap))
		matrix_grow(edit, cells, paths, heap);
}

/*
 * Starts an empty matrix.
 */
MatrixEdit
settle_matrix_new(Size limit)
{
	MatrixEdit	edit;

	edit.matrix = matrix_allocate(FIRST_CELLS, FIRST_PATHS, FIRST_HEAP);
	edit.owned = true;
	edit.limit = limit;
	return edit;
}

/*
 * Starts a copy of a vetted matrix.
 */
MatrixEdit
settle_matrix_edit(const SettleMatrix *matrix, Size limit)
{
	MatrixEdit	edit;

	edit.matrix = matrix_allocate(Max(matrix->ncells, FIRST_CELLS), Max(matrix->npaths, FIRST_PATHS),
								  Max(matrix->heap_used, FIRST_HEAP));
	copy_contents(edit.matrix, matrix);
	fill_slots(edit.matrix);
	edit.owned = true;
	edit.limit = limit;
	return edit;
}

/*
 * Gives the bytes of a matrix without hash tables and spare room.
 */
Size
settle_matrix_compact_size(const SettleMatrix *matrix)
{
	return matrix_size(matrix->ncells, matrix->npaths, 0, 0, matrix->heap_used);
}

/*
 * Copies a matrix without hash tables and spare room.
 */
void
settle_matrix_compact(const SettleMatrix *matrix, SettleMatrix *copy, Size size)
{
	matrix_init(copy, size, matrix->ncells, matrix->npaths, 0, 0, matrix->heap_used);
	copy_contents(copy, matrix);
}

/*
 * Gives a period as a matrix keeps it.
 */
uint32
settle_matrix_period(DateADT date)
{
	if (DATE_IS_NOEND(date))
		return MATRIX_INFINITY;
	return (uint32) date ^ ((uint32) 1 << 31);
}

/*
 * Gives the date of a period that is neither null nor a total.
 */
DateADT
settle_matrix_date(uint32 period)
{
	if (period == MATRIX_INFINITY)
		return DATEVAL_NOEND;
	return (DateADT) (period ^ ((uint32) 1 << 31));
}

/*
 * Copies the labels of an ltree, what follows its length word, into a whole
 * ltree whose spare bytes are zero.  Returns NULL if they are not a path.
 *
 * The source need not be aligned.
 */
static ltree *
copy_labels(const char *labels, Size len)
{
	const Size	header = LTREE_HDRSIZE - VARHDRSZ;
	ltree	   *path;
	ltree_level *level;
	uint16		nlevels;
	Size		at = header;

	if (len < header || len > MaxAllocSize - VARHDRSZ)
		return NULL;
	memcpy(&nlevels, labels, sizeof(nlevels));

	path = palloc0(VARHDRSZ + len);
	SET_VARSIZE(path, VARHDRSZ + len);
	path->numlevel = nlevels;
	level = LTREE_FIRST(path);
	for (int i = 0; i < nlevels; i++)
	{
		uint16		label;

		if (len - at < LEVEL_HDRSIZE)
			return NULL;
		memcpy(&label, labels + at, sizeof(label));
		if (label == 0 || len - at < MAXALIGN(LEVEL_HDRSIZE + label))
			return NULL;
		level->len = label;
		memcpy(level->name, labels + at + LEVEL_HDRSIZE, label);
		level = LEVEL_NEXT(level);
		at += MAXALIGN(LEVEL_HDRSIZE + label);
	}
	return at == len ? path : NULL;
}

/*
 * Tells whether a path of the matrix has these labels.
 */
static inline bool
path_is(const SettleMatrix *matrix, uint32 path, const char *labels, Size len)
{
	const ltree *known = settle_matrix_path(matrix, path);

	return VARSIZE(known) - VARHDRSZ == len && memcmp(VARDATA(known), labels, len) == 0;
}

/*
 * Finds a path by its bytes; MATRIX_NO_PATH if the matrix has none such.
 */
static inline uint32
find_path(const SettleMatrix *matrix, const char *labels, Size len, uint32 hash)
{
	const uint32 *slots = settle_matrix_path_slots(matrix);
	const MatrixPath *paths = settle_matrix_paths(matrix);
	uint32		mask = SLOT_MASK(matrix->path_bits);

	for (uint32 at = hash & mask; slots[at] != 0; at = (at + 1) & mask)
	{
		uint32		path = SLOT_ENTRY(slots[at], mask);

		if (SLOT_MAY_BE(slots[at], hash, mask) && paths[path].hash == hash && path_is(matrix, path, labels, len))
			return path;
	}
	return MATRIX_NO_PATH;
}

/*
 * Gives the number of a path, entering it if it is new.
 *
 * Paths are equal where their bytes are; ltree keeps spare bytes zero.  One that
 * another library has made is looked up once more with zeros in them.
 */
uint32
settle_matrix_add_path(MatrixEdit *edit, const char *labels, Size len)
{
	uint32		hash = hash_labels(labels, len);
	uint32		path = find_path(edit->matrix, labels, len, hash);
	ltree	   *copy;
	SettleMatrix *matrix;

	if (likely(path != MATRIX_NO_PATH))
		return path;

	copy = copy_labels(labels, len);
	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("ltree value of %zu bytes is damaged", len)));
	hash = hash_labels(VARDATA(copy), len);
	path = find_path(edit->matrix, VARDATA(copy), len, hash);
	if (path == MATRIX_NO_PATH)
	{
		matrix_reserve(edit, 0, 1, MAXALIGN(VARSIZE(copy)));
		matrix = edit->matrix;
		path = matrix->npaths++;
		settle_matrix_paths(matrix)[path].place = matrix->heap_used;
		settle_matrix_paths(matrix)[path].hash = hash;
		memcpy(settle_matrix_heap(matrix) + matrix->heap_used, copy, VARSIZE(copy));
		matrix->heap_used += MAXALIGN(VARSIZE(copy));
		fill_slot(settle_matrix_path_slots(matrix), matrix->path_bits, hash, path);
	}
	pfree(copy);
	return path;
}

/*
 * Puts an empty cell at the end, and not into the hash table.
 */
static inline uint32
append_cell(MatrixEdit *edit, MatrixKey key)
{
	MatrixCell *cell;

	matrix_reserve(edit, 1, 0, 0);
	cell = &settle_matrix_cells(edit->matrix)[edit->matrix->ncells];
	cell->key = key;
	cell->tickets = 0;
	for (int sum = 0; sum < MATRIX_SUMS; sum++)
	{
		cell->coef[sum] = 0;
		cell->scale[sum] = MATRIX_NO_SUM;
	}
	return edit->matrix->ncells++;
}

/*
 * Gives the number of a cell, entering it if it is new.
 */
uint32
settle_matrix_add_cell(MatrixEdit *edit, MatrixKey key)
{
	SettleMatrix *matrix = edit->matrix;
	MatrixCell *cells = settle_matrix_cells(matrix);
	uint32	   *slots = settle_matrix_cell_slots(matrix);
	uint32		hash = hash_key(key);
	uint32		mask = SLOT_MASK(matrix->cell_bits);
	uint32		cell;

	if (matrix->last_cell < matrix->ncells && same_key(cells[matrix->last_cell].key, key))
		return matrix->last_cell;

	for (uint32 at = hash & mask; slots[at] != 0; at = (at + 1) & mask)
	{
		cell = SLOT_ENTRY(slots[at], mask);
		if (SLOT_MAY_BE(slots[at], hash, mask) && same_key(cells[cell].key, key))
			return matrix->last_cell = cell;
	}

	cell = append_cell(edit, key);
	matrix = edit->matrix;
	fill_slot(settle_matrix_cell_slots(matrix), matrix->cell_bits, hash, cell);
	return matrix->last_cell = cell;
}

/*
 * Counts tickets in a cell.
 */
void
settle_matrix_add_tickets(MatrixEdit *edit, uint32 cell, int64 tickets)
{
	int64	   *count = &settle_matrix_cells(edit->matrix)[cell].tickets;

	if (pg_add_s64_overflow(*count, tickets, count))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("number of tickets in a cell exceeds " INT64_FORMAT, PG_INT64_MAX)));
}

/*
 * Reads an amount with as many places as it shows, so that a sum shows what
 * sum() would.  With one scale for all amounts of a column most additions are
 * one of integers, too.
 */
SettleDec
settle_matrix_amount(Numeric number)
{
	SettleDec	amount = settle_dec_from_numeric(number);
	int			places = settle_numeric_places(number);

	if (amount.wide == NULL && amount.scale < places && places <= SETTLE_DEC_MAX_SCALE)
		amount = settle_dec_add(amount, (SettleDec) {.coef = 0, .scale = places});
	return amount;
}

/*
 * Gives a sum of a cell; false where nothing but nulls was added.
 *
 * A wide one points into the matrix.
 */
bool
settle_matrix_sum(const SettleMatrix *matrix, const MatrixCell *cell, int sum, SettleDec *amount)
{
	amount->coef = cell->coef[sum];
	amount->scale = cell->scale[sum];
	amount->wide = NULL;
	if (amount->scale == MATRIX_NO_SUM)
		return false;
	if (amount->scale == MATRIX_WIDE_SUM)
	{
		MatrixWide *wide = (MatrixWide *) (settle_matrix_heap(matrix) + (uint32) cell->coef[sum]);

		amount->scale = 0;
		amount->wide = (Numeric) wide->number;
	}
	return true;
}

/*
 * Writes down a sum that 128 bits do not hold: over the one before if it has the
 * room, else at the end of the heap with room to spare.
 */
static void
put_wide(MatrixEdit *edit, uint32 cell, int sum, Numeric number)
{
	uint32		size = VARSIZE(number);
	SettleMatrix *matrix = edit->matrix;
	MatrixCell *target = &settle_matrix_cells(matrix)[cell];
	MatrixWide *wide = NULL;

	if (target->scale[sum] == MATRIX_WIDE_SUM)
		wide = (MatrixWide *) (settle_matrix_heap(matrix) + (uint32) target->coef[sum]);
	if (wide == NULL || wide->room < size)
	{
		uint32		total = MAXALIGN(offsetof(MatrixWide, number) + size + size / 2);

		matrix_reserve(edit, 0, 0, total);
		matrix = edit->matrix;
		target = &settle_matrix_cells(matrix)[cell];
		wide = (MatrixWide *) (settle_matrix_heap(matrix) + matrix->heap_used);
		wide->room = total - offsetof(MatrixWide, number);
		target->scale[sum] = MATRIX_WIDE_SUM;
		target->coef[sum] = matrix->heap_used;
		matrix->heap_used += total;
	}
	memcpy(wide->number, number, size);
}

/*
 * Adds an amount where the scales differ or 128 bits do not hold the sum.
 */
static pg_noinline void
add_amount_slowly(MatrixEdit *edit, uint32 cell, int sum, SettleDec amount)
{
	MatrixCell *target = &settle_matrix_cells(edit->matrix)[cell];
	SettleDec	before;

	if (settle_matrix_sum(edit->matrix, target, sum, &before))
		amount = settle_dec_add(before, amount);
	if (amount.wide != NULL)
	{
		/* it may still be the number in the matrix, which is about to move */
		Numeric		number = (Numeric) palloc(VARSIZE(amount.wide));

		memcpy(number, amount.wide, VARSIZE(amount.wide));
		put_wide(edit, cell, sum, number);
		pfree(number);
		return;
	}
	target->coef[sum] = amount.coef;
	target->scale[sum] = amount.scale;
}

/*
 * Adds an amount to a sum of a cell.
 */
void
settle_matrix_add_amount(MatrixEdit *edit, uint32 cell, int sum, const SettleDec *amount)
{
	MatrixCell *target = &settle_matrix_cells(edit->matrix)[cell];
	int128		total;

	if (likely(amount->wide == NULL && amount->scale == target->scale[sum] &&
			   !__builtin_add_overflow(target->coef[sum], amount->coef, &total)))
		target->coef[sum] = total;
	else if (amount->wide == NULL && target->scale[sum] == MATRIX_NO_SUM)
	{
		target->coef[sum] = amount->coef;
		target->scale[sum] = amount->scale;
	}
	else
		add_amount_slowly(edit, cell, sum, *amount);
}

/*
 * Adds tickets and sums of a cell of another matrix, or of this one if source is
 * NULL; the cell itself must not lie in a matrix that moves.
 */
void
settle_matrix_add_sums(MatrixEdit *edit, uint32 cell, const SettleMatrix *source, const MatrixCell *from)
{
	SettleDec	amount;

	settle_matrix_add_tickets(edit, cell, from->tickets);
	for (int sum = 0; sum < MATRIX_SUMS; sum++)
		if (settle_matrix_sum(source ? source : edit->matrix, from, sum, &amount))
			settle_matrix_add_amount(edit, cell, sum, &amount);
}

/*
 * Enters the paths of another, vetted matrix and gives their numbers here; in an
 * empty matrix they are the same.
 */
uint32 *
settle_matrix_add_paths(MatrixEdit *edit, const SettleMatrix *source)
{
	uint32	   *here = palloc(((Size) source->npaths + 1) * sizeof(uint32));

	for (uint32 i = 0; i < source->npaths; i++)
	{
		const ltree *path = settle_matrix_path(source, i);

		here[i] = settle_matrix_add_path(edit, VARDATA(path), VARSIZE(path) - VARHDRSZ);
	}
	return here;
}

/*
 * Adds all of another, vetted matrix.
 */
void
settle_matrix_merge(MatrixEdit *edit, const SettleMatrix *source)
{
	const MatrixCell *cells = settle_matrix_cells(source);
	const uint32 *here = settle_matrix_add_paths(edit, source);

	for (uint32 i = 0; i < source->ncells; i++)
	{
		MatrixKey	key = cells[i].key;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (key.project != MATRIX_NO_PATH)
			key.project = here[key.project];
		if (key.region != MATRIX_NO_PATH)
			key.region = here[key.region];
		settle_matrix_add_sums(edit, settle_matrix_add_cell(edit, key), source, &cells[i]);
	}
}

/*
 * Sums a sorted, vetted matrix up over its periods.  Cells of one project and
 * region stand side by side in it, so nothing has to be looked up, and the
 * result has no hash tables.
 */
SettleMatrix *
settle_matrix_over_periods(const SettleMatrix *matrix)
{
	const MatrixCell *cells = settle_matrix_cells(matrix);
	uint32		ncells = 0;
	MatrixEdit	totals = {.owned = true,.limit = MaxAllocHugeSize};
	Size		size;

	for (uint32 i = 0; i < matrix->ncells; i++)
		if (i == 0 || cells[i].key.region != cells[i - 1].key.region || cells[i].key.project != cells[i - 1].key.project)
			ncells++;
	size = matrix_size(ncells, matrix->npaths, 0, 0, matrix->heap_used);
	totals.matrix = MemoryContextAllocHuge(CurrentMemoryContext, size);
	matrix_init(totals.matrix, size, ncells, matrix->npaths, 0, 0, matrix->heap_used);
	copy_paths(totals.matrix, matrix);

	for (uint32 i = 0; i < matrix->ncells; i++)
	{
		MatrixKey	key = {cells[i].key.project, cells[i].key.region, MATRIX_ALL_PERIODS};
		uint32		last = totals.matrix->ncells;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (last == 0 || !same_key(settle_matrix_cells(totals.matrix)[--last].key, key))
			last = append_cell(&totals, key);
		settle_matrix_add_sums(&totals, last, matrix, &cells[i]);
	}
	return totals.matrix;
}

/*
 * Compares two paths as ltree does: label by label, bytewise, the shorter first.
 */
static int
compare_paths(const ltree *a, const ltree *b)
{
	const ltree_level *al = LTREE_FIRST(a);
	const ltree_level *bl = LTREE_FIRST(b);

	for (int i = Min(a->numlevel, b->numlevel); i > 0; i--)
	{
		int			order = memcmp(al->name, bl->name, Min(al->len, bl->len));

		if (order != 0)
			return order;
		if (al->len != bl->len)
			return (int) al->len - (int) bl->len;
		al = LEVEL_NEXT(al);
		bl = LEVEL_NEXT(bl);
	}
	return (int) a->numlevel - (int) b->numlevel;
}

/*
 * Compares two paths of a matrix by their numbers, for qsort_arg.
 */
static int
compare_path_numbers(const void *a, const void *b, void *matrix)
{
	return compare_paths(settle_matrix_path(matrix, *(const uint32 *) a),
						 settle_matrix_path(matrix, *(const uint32 *) b));
}

/*
 * Copies a vetted matrix into its sorted form.
 */
SettleMatrix *
settle_matrix_sort(const SettleMatrix *matrix)
{
	const MatrixCell *cells = settle_matrix_cells(matrix);
	CellOrder  *orders = MemoryContextAllocExtended(CurrentMemoryContext,
													((Size) matrix->ncells + 1) * sizeof(CellOrder), MCXT_ALLOC_HUGE);
	uint32	   *paths = palloc(((Size) matrix->npaths + 1) * sizeof(uint32));
	uint32	   *ranks = palloc(((Size) matrix->npaths + 1) * sizeof(uint32));
	uint64		heap = 0;
	Size		size;
	SettleMatrix *sorted;
	MatrixCell *target;
	char	   *to;

	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		paths[i] = i;
		heap += MAXALIGN(VARSIZE(settle_matrix_path(matrix, i)));
	}
	qsort_arg(paths, matrix->npaths, sizeof(uint32), compare_path_numbers, (void *) matrix);
	for (uint32 i = 0; i < matrix->npaths; i++)
		ranks[paths[i]] = i;

	for (uint32 i = 0; i < matrix->ncells; i++)
	{
		MatrixKey	key = cells[i].key;
		SettleDec	amount;

		orders[i].paths = (uint64) (key.project == MATRIX_NO_PATH ? MATRIX_NO_PATH : ranks[key.project]) << 32 |
			(key.region == MATRIX_NO_PATH ? MATRIX_NO_PATH : ranks[key.region]);
		orders[i].period = key.period;
		orders[i].cell = i;
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
			if (cells[i].scale[sum] == MATRIX_WIDE_SUM && settle_matrix_sum(matrix, &cells[i], sum, &amount))
				heap += MAXALIGN(offsetof(MatrixWide, number) + VARSIZE(amount.wide));
	}
	sort_orders(orders, matrix->ncells);

	size = matrix_size(matrix->ncells, matrix->npaths, 0, 0, (uint32) Min(heap, PG_UINT32_MAX));
	if (size > MaxAllocSize)
		too_large(matrix->ncells, matrix->npaths);
	sorted = palloc0(size);
	matrix_init(sorted, size, matrix->ncells, matrix->npaths, 0, 0, (uint32) heap);
	sorted->sorted = true;
	to = settle_matrix_heap(sorted);
	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		const ltree *path = settle_matrix_path(matrix, paths[i]);

		settle_matrix_paths(sorted)[i].place = to - settle_matrix_heap(sorted);
		memcpy(to, path, VARSIZE(path));
		to += MAXALIGN(VARSIZE(path));
	}
	target = settle_matrix_cells(sorted);
	for (uint32 i = 0; i < matrix->ncells; i++, target++)
	{
		const MatrixCell *cell = &cells[orders[i].cell];
		SettleDec	amount;

		*target = *cell;
		target->key.project = (uint32) (orders[i].paths >> 32);
		target->key.region = (uint32) orders[i].paths;
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
			if (cell->scale[sum] == MATRIX_WIDE_SUM && settle_matrix_sum(matrix, cell, sum, &amount))
			{
				uint32		size = MAXALIGN(offsetof(MatrixWide, number) + VARSIZE(amount.wide));
				MatrixWide *wide = (MatrixWide *) to;

				wide->room = size - offsetof(MatrixWide, number);
				memcpy(wide->number, amount.wide, VARSIZE(amount.wide));
				target->coef[sum] = to - settle_matrix_heap(sorted);
				to += size;
			}
	}
	sorted->npaths = matrix->npaths;
	sorted->ncells = matrix->ncells;
	sorted->heap_used = sorted->heap_max;
	pfree(orders);
	pfree(paths);
	pfree(ranks);
	return sorted;
}

/*
 * Tells whether size bytes at a place of the heap are in use and aligned.
 */
static inline bool
in_heap(const SettleMatrix *matrix, uint64 place, uint64 size)
{
	return place % MAXIMUM_ALIGNOF == 0 && place <= matrix->heap_used && size <= matrix->heap_used - place;
}

/*
 * Tells whether a path that a matrix names lies in it and is one.
 */
static bool
path_is_sound(const SettleMatrix *matrix, uint32 path)
{
	uint32		place = settle_matrix_paths(matrix)[path].place;
	const ltree *whole;
	ltree	   *copy;
	bool		sound;

	if (!in_heap(matrix, place, LTREE_HDRSIZE))
		return false;
	whole = settle_matrix_path(matrix, path);
	if (!VARATT_IS_4B_U(whole) || VARSIZE(whole) < LTREE_HDRSIZE || !in_heap(matrix, place, VARSIZE(whole)))
		return false;
	copy = copy_labels(VARDATA(whole), VARSIZE(whole) - VARHDRSZ);
	sound = copy != NULL && memcmp(copy, whole, VARSIZE(whole)) == 0;
	if (copy)
		pfree(copy);
	return sound;
}

/*
 * Tells whether a sum that a cell names is one.
 */
static bool
sum_is_sound(const SettleMatrix *matrix, const MatrixCell *cell, int sum)
{
	const MatrixWide *wide;

	if (cell->scale[sum] != MATRIX_WIDE_SUM)
		return cell->scale[sum] >= MATRIX_NO_SUM && cell->scale[sum] <= SETTLE_DEC_MAX_SCALE;
	if (cell->coef[sum] < 0 || cell->coef[sum] > PG_UINT32_MAX ||
		!in_heap(matrix, (uint64) cell->coef[sum], sizeof(MatrixWide) + VARHDRSZ))
		return false;
	wide = (const MatrixWide *) (settle_matrix_heap(matrix) + (uint32) cell->coef[sum]);
	return in_heap(matrix, (uint64) cell->coef[sum], offsetof(MatrixWide, number) + (uint64) wide->room) &&
		VARATT_IS_4B_U(wide->number) && VARSIZE(wide->number) <= wide->room &&
		VARSIZE(wide->number) >= VARHDRSZ + 2 * sizeof(uint16);
}

/*
 * Tells whether a period is a date or null.
 */
bool
settle_matrix_period_is_valid(uint32 period)
{
	return period == 0 || period == MATRIX_INFINITY || period == MATRIX_NO_PERIOD ||
		IS_VALID_DATE(settle_matrix_date(period));
}

/*
 * Tells whether bytes are a matrix.  Hash tables are left out: nobody reads them
 * in a value from outside.
 */
static bool
matrix_is_sound(const SettleMatrix *matrix)
{
	Size		size = VARSIZE(matrix);
	const MatrixCell *cells;

	if (size < MAXALIGN(sizeof(SettleMatrix)) || matrix->version != MATRIX_VERSION || matrix->sorted > 1)
		return false;
	if (matrix->cell_bits > 31 || matrix->path_bits > 31 ||
		matrix->ncells > matrix->cells_max || matrix->npaths > matrix->paths_max || matrix->heap_used > matrix->heap_max ||
		matrix_size(matrix->cells_max, matrix->paths_max, matrix->cell_bits, matrix->path_bits, matrix->heap_max) != size)
		return false;

	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!path_is_sound(matrix, i))
			return false;
		if (matrix->sorted && i > 0 && compare_paths(settle_matrix_path(matrix, i - 1), settle_matrix_path(matrix, i)) >= 0)
			return false;
	}
	cells = settle_matrix_cells(matrix);
	for (uint32 i = 0; i < matrix->ncells; i++)
	{
		MatrixKey	key = cells[i].key;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if ((key.project >= matrix->npaths && key.project != MATRIX_NO_PATH) ||
			(key.region >= matrix->npaths && key.region != MATRIX_NO_PATH) ||
			!settle_matrix_period_is_valid(key.period) || cells[i].tickets < 1)
			return false;
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
			if (!sum_is_sound(matrix, &cells[i], sum))
				return false;
		if (matrix->sorted && i > 0)
		{
			MatrixKey	last = cells[i - 1].key;

			if (last.project > key.project ||
				(last.project == key.project &&
				 (last.region > key.region ||
				  (last.region == key.region && last.period >= key.period))))
				return false;
		}
	}
	return true;
}

/*
 * Gives a matrix that comes from outside, after vetting it.
 */
SettleMatrix *
settle_matrix_arg(Datum value)
{
	SettleMatrix *matrix = (SettleMatrix *) PG_DETOAST_DATUM(value);

	if (!matrix_is_sound(matrix))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("settle.matrix value of %zu bytes is damaged", (Size) VARSIZE(matrix))));
	return matrix;
}
