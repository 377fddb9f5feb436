/*
 * column.h
 *		One column's table of an index over conditions.
 *
 * It tells which conditions a value of the column leaves standing: those that
 * ask for the value and those that do not mention the column.  A value is found
 * with one look at a small table: what costs with many conditions is not
 * counting but fetching memory.
 */
#ifndef SETTLE_COLUMN_H
#define SETTLE_COLUMN_H

#include "core/core.h"

#include "access/detoast.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "rule/bits.h"
#include "rule/conjunct.h"
#include "rule/path.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* An interval; where it has no bound it is open. */
typedef struct Range
{
	bool		has_lower;
	bool		has_upper;
	bool		lower_inclusive;
	bool		upper_inclusive;
	SettleValue lower;
	SettleValue upper;
} Range;

/* What one condition asks of one column: one of some points, or an interval. */
typedef struct Demand
{
	int			condition;
	bool		is_interval;
	bool		below;			/* of a path: the points and all below them */
	int			npoints;
	SettleValue *points;
	Range		interval;
} Demand;

/*
 * What a value is compared by.  Bytes, up to eight of them, are all in the word;
 * of longer ones it is their hash.
 */
typedef struct Key
{
	uint64		word;			/* or the number itself */
	uint32		len;			/* 0 of a number */
	const char *bytes;
} Key;

/* One value that conditions ask for. */
typedef struct Point
{
	Key			key;
	SettleBits	set;			/* conditions that a value here leaves standing; NULL: the place is free */
} Point;

/*
 * One label of the paths that conditions ask for, below another one.  A value is
 * followed from its first label on, and not beyond the last that is here.
 */
typedef struct Label
{
	Key			key;
	uint32		above;			/* number of the label above, 0 for the first of a path */
	bool		is_last;		/* nobody asks for anything below */
	SettleBits	set;			/* conditions that a value which ends here leaves standing */
	SettleBits	below;			/* and one that goes on, to where nobody asks */
} Label;

/* Where a label is found: all that a look takes, in half a line of the cache. */
typedef struct LabelPlace
{
	uint64		word;			/* of the key */
	SettleBits	set;
	uint32		above;
	uint32		number;			/* 0: the place is free */
	uint32		len;			/* of the key */
	bool		is_last;
} LabelPlace;

/* One column's table: points in a hash, labels of paths in another, or elementary intervals in order. */
typedef struct Column
{
	int			position;		/* in the slot, from 1; 0 for the instant */
	SettleValueKind kind;
	bool		ordered;
	Oid			type;
	List	   *demands;		/* while building */

	SettleBits	otherwise;		/* conditions that do not mention the column; whole */

	/* points and labels: open addressing, a power of two of places */
	uint32		mask;
	Point	   *points;
	LabelPlace *places;
	uint32		nlabels;
	Label	   *labels;			/* by number; the first stands for no label at all */

	/* points that are numbers close to each other: the sets from the lowest on */
	int64		lowest;
	uint64		ndirect;
	SettleBits *direct;

	/* intervals: sets[2 * k] lies strictly between bounds k - 1 and k, sets[2 * k + 1] is bound k */
	int			nbounds;
	SettleValue *bounds;
	int64	   *scaled;			/* the bounds as integers of 10^-scale, where all fit */
	int			scale;
	SettleBits *sets;
} Column;

/* Builds the table of a column from its demands; which conditions do not mention it is known. */
extern void settle_column_build(SettleBitsSpace *space, Column *column);

/*
 * Finds the elementary interval of a value: 2k + 1 where it is bound k, else
 * 2k for the gap before bound k.
 */
extern int	settle_column_interval(const Column *column, const SettleValue *value);

/* ---- keys ---- */

/* 2^64 by the golden ratio, which spreads numbers that follow each other. */
#define HASH_FACTOR		UINT64CONST(0x9E3779B97F4A7C15)

/*
 * Makes the key of bytes.  Of most values a few bytes are all; to call a hash
 * function and memcmp for them takes longer than to find them.
 */
static inline Key
settle_key_of_bytes(const char *bytes, Size len)
{
	Key			key = {.len = (uint32) len, .bytes = bytes};

	if (len > 8)
		key.word = hash_bytes_extended((const unsigned char *) bytes, (int) len, 0);
	else if (len >= 4)
	{
		uint32		first;
		uint32		last;

		memcpy(&first, bytes, 4);
		memcpy(&last, bytes + len - 4, 4);
		key.word = (uint64) last << 32 | first;
	}
	else if (len >= 2)
	{
		uint16		first;
		uint16		last;

		memcpy(&first, bytes, 2);
		memcpy(&last, bytes + len - 2, 2);
		key.word = (uint64) last << 16 | first;
	}
	else if (len == 1)
		key.word = (uint8) bytes[0];
	return key;
}

static inline Key
settle_key_of_value(SettleValueKind kind, const SettleValue *value)
{
	if (kind == SETTLE_VALUE_INT)
		return (Key) {.word = (uint64) value->i};
	return settle_key_of_bytes(value->bytes, value->len);
}

static inline bool
settle_key_is(const Key *a, const Key *b)
{
	return a->word == b->word && a->len == b->len && (a->len <= 8 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

static inline uint32
settle_key_hash(const Key *key, uint32 above)
{
	uint64		hash = (key->word ^ ((uint64) above << 32 | key->len) * HASH_FACTOR) * HASH_FACTOR;

	return (uint32) (hash >> 32);
}

/* ---- points ---- */

/*
 * Looks a point up; one without a set is the free place for it.
 */
static inline Point *
settle_column_point(const Column *column, const Key *key)
{
	uint32		at = settle_key_hash(key, 0) & column->mask;

	while (column->points[at].set != NULL && !settle_key_is(&column->points[at].key, key))
		at = (at + 1) & column->mask;
	return &column->points[at];
}

/* ---- paths ---- */

/*
 * Looks a label up below another one; a place without a number is the free one
 * for it.
 */
static inline LabelPlace *
settle_column_label(const Column *column, uint32 above, const Key *key)
{
	uint32		at = settle_key_hash(key, above) & column->mask;
	LabelPlace *place = &column->places[at];

	while (place->number != 0 &&
		   (place->word != key->word || place->above != above || place->len != key->len ||
			(key->len > 8 && memcmp(column->labels[place->number].key.bytes, key->bytes, key->len) != 0)))
	{
		at = (at + 1) & column->mask;
		place = &column->places[at];
	}
	return place;
}

/*
 * Follows a path of a row label by label.
 */
static inline SettleBits
settle_column_path(const Column *column, struct varlena *path)
{
	uint32		number = 0;
	bool		is_last = column->labels[0].is_last;
	SettleBits	set = column->labels[0].set;
	SettlePathReader reader;
	const char *bytes;
	Size		len;

	if (unlikely(VARATT_IS_EXTERNAL(path) || VARATT_IS_COMPRESSED(path)))
		path = detoast_attr(path);
	settle_path_begin(&reader, path);
	while (settle_path_next(&reader, &bytes, &len))
	{
		const LabelPlace *place;
		Key			key;

		if (is_last)
			return column->labels[number].below;
		key = settle_key_of_bytes(bytes, len);
		place = settle_column_label(column, number, &key);
		if (place->number == 0)
			return column->labels[number].below;
		number = place->number;
		is_last = place->is_last;
		set = place->set;
	}
	return set;
}

/* ---- numbers and texts ---- */

/*
 * Finds the set of a number: among intervals, in the list, or as a point.
 */
static inline SettleBits
settle_column_int(const Column *column, int64 number)
{
	Key			key = {.word = (uint64) number};
	uint64		place = (uint64) number - (uint64) column->lowest;
	Point	   *point;

	if (column->ordered)
		return column->sets[settle_column_interval(column, &(SettleValue) {.i = number})];
	if (column->direct != NULL)
		return place < column->ndirect ? column->direct[place] : column->otherwise;
	point = settle_column_point(column, &key);
	return point->set != NULL ? point->set : column->otherwise;
}

static inline SettleBits
settle_column_text(const Column *column, text *value)
{
	Key			key;
	Point	   *point;

	if (unlikely(VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value)))
		value = (text *) detoast_attr((struct varlena *) value);
	key = settle_key_of_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	point = settle_column_point(column, &key);
	return point->set != NULL ? point->set : column->otherwise;
}

/*
 * Finds the interval of a decimal.
 */
static inline SettleBits
settle_column_numeric(const Column *column, Datum datum)
{
	SettleValue value;

	if (unlikely(!settle_read_value(SETTLE_VALUE_NUMERIC, column->type, datum, &value)))
	{
		/* NaN and infinity stand above all numbers, minus infinity below */
		Numeric		n = DatumGetNumeric(datum);
		bool		below = !numeric_is_nan(n) && DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(n), NumericGetDatum(int64_to_numeric(0))));

		return column->sets[below ? 0 : 2 * column->nbounds];
	}
	return column->sets[settle_column_interval(column, &value)];
}

/* ---- any of them ---- */

/*
 * Finds the set that one column leaves standing for the row.
 */
static inline SettleBits
settle_column_set(const Column *column, TupleTableSlot *slot, TimestampTz at)
{
	Datum		datum;

	if (column->position == 0)
		return settle_column_int(column, at);
	if (slot->tts_isnull[column->position - 1])
		return column->otherwise;
	datum = slot->tts_values[column->position - 1];
	switch (column->kind)
	{
		case SETTLE_VALUE_PATH:
			return settle_column_path(column, (struct varlena *) DatumGetPointer(datum));
		case SETTLE_VALUE_TEXT:
			return settle_column_text(column, (text *) DatumGetPointer(datum));
		case SETTLE_VALUE_NUMERIC:
			return settle_column_numeric(column, datum);
		default:
			return settle_column_int(column, settle_read_int(column->type, datum));
	}
}

#endif							/* SETTLE_COLUMN_H */
