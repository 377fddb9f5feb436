/*
 * conjunct.h
 *		What a term of a condition asks of one column.
 *
 * The matcher builds its index of it, lint its algebra.
 */
#ifndef SETTLE_CONJUNCT_H
#define SETTLE_CONJUNCT_H

#include "core/core.h"

#include "access/stratnum.h"
#include "amount/amount.h"
#include "catalog/pg_type.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* How the values of a column are compared. */
typedef enum SettleValueKind
{
	SETTLE_VALUE_NONE,			/* not comparable here */
	SETTLE_VALUE_INT,			/* integers, booleans, dates and times, enums: one int64 */
	SETTLE_VALUE_TEXT,			/* bytes */
	SETTLE_VALUE_NUMERIC,		/* exact decimals */
	SETTLE_VALUE_PATH			/* ltree: a label path */
} SettleValueKind;

/* A constant of a condition. */
typedef struct SettleValue
{
	int64		i;
	SettleDec	dec;
	const char *bytes;			/* text, or a path's labels joined by dots */
	Size		len;
} SettleValue;

/* "column is one of these values", "column lies at or below one of these paths", "column < value" and so on. */
typedef struct SettleConjunct
{
	int			position;		/* of the column in the scope, from 1 */
	Oid			type;			/* of the column */
	SettleValueKind kind;
	int			strategy;		/* BTEqualStrategyNumber, or that of the one bound */
	bool		below;			/* of a path: the values and all below them */
	int			nvalues;
	SettleValue *values;
} SettleConjunct;

/*
 * Reads a term over one column whose position is a member of readable; false
 * where it is of none of the forms
 *
 *		column = constant, column IN (constants), column, NOT column,
 *		column < <= > >= constant, path <@ constant, path <@ ANY (constants)
 *
 * A term that is read is true for exactly the values that the conjunct names,
 * and for no null.
 */
extern bool settle_read_conjunct(Node *term, const Bitmapset *readable, SettleConjunct *conjunct);

/* Splits a condition into its top-level AND terms. */
extern List *settle_and_terms(Node *node);

/* How values of a type are compared, SETTLE_VALUE_NONE where they must not be. */
extern SettleValueKind settle_value_kind(Oid type);

/*
 * Reads a value of a type that is compared as an integer.
 */
static inline int64
settle_read_int(Oid type, Datum datum)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(datum);
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(datum);
		case BOOLOID:
			return DatumGetBool(datum);
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DatumGetInt64(datum);
		default:
			return DatumGetObjectId(datum);
	}
}

/* Reads a value as it is compared; false for a number that is none, or infinite. */
extern bool settle_read_value(SettleValueKind kind, Oid type, Datum datum, SettleValue *value);

/* Compares two values of an ordered column. */
static inline int
settle_compare_values(SettleValueKind kind, const SettleValue *a, const SettleValue *b)
{
	if (kind == SETTLE_VALUE_NUMERIC)
		return settle_dec_cmp(a->dec, b->dec);
	return a->i < b->i ? -1 : a->i > b->i;
}

#endif							/* SETTLE_CONJUNCT_H */
