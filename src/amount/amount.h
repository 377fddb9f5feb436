/*
 * amount.h
 *		Exact decimals, rounding and minor units.
 *
 * A SettleDec is coef / 10^scale with a 128-bit coefficient: the main path of
 * all pricing.  Where a result does not fit, the operation falls back to
 * numeric and the value carries it in "wide"; every function takes and returns
 * both forms, so callers never care.  Nothing is rounded but by a function that
 * says so.  Wide values live in the current memory context.
 */
#ifndef SETTLE_AMOUNT_H
#define SETTLE_AMOUNT_H

#include "core/core.h"
#include "fmgr.h"
#include "utils/numeric.h"

/* largest scale of the fixed-point form; beyond it a value is wide */
#define SETTLE_DEC_MAX_SCALE	36

typedef struct SettleDec
{
	int128		coef;
	int32		scale;			/* digits after the decimal point, >= 0 */
	Numeric		wide;			/* if not NULL it is the value, and coef and scale mean nothing */
} SettleDec;

typedef enum SettleRoundMode
{
	SETTLE_HALF_UP,				/* half away from zero */
	SETTLE_HALF_EVEN,
	SETTLE_HALF_DOWN,			/* half towards zero */
	SETTLE_DOWN,				/* towards zero */
	SETTLE_UP,					/* away from zero */
	SETTLE_CEIL,
	SETTLE_FLOOR
} SettleRoundMode;

/* A way of rounding: to the nearest multiple of step that mode asks for. */
typedef struct SettleRounding
{
	SettleRoundMode mode;
	SettleDec	step;			/* > 0; 0.01, 0.1, 1, 0.05 ... */
} SettleRounding;

/* An exact quotient, for sums that must be rounded once: num / den, den > 0. */
typedef struct SettleRatio
{
	SettleDec	num;
	SettleDec	den;
} SettleRatio;

static inline SettleDec
settle_dec_int(int64 value)
{
	return (SettleDec) {.coef = value, .scale = 0, .wide = NULL};
}

/*
 * NaN and infinity raise 22003 (numeric_value_out_of_range).  The numeric may
 * have a short header: nothing is copied but what becomes wide.
 */
extern SettleDec settle_dec_from_numeric(Numeric value);

/* Reads a numeric datum as it stands in a row; the fastest way in. */
static inline SettleDec
settle_dec_from_datum(Datum value)
{
	return settle_dec_from_numeric((Numeric) PG_DETOAST_DATUM_PACKED(value));
}

/* Whether a numeric is NaN or infinite; it may have a short header. */
static inline bool
settle_numeric_is_special(Numeric value)
{
	uint16		header;

	memcpy(&header, VARDATA_ANY(value), sizeof(header));
	return (header & 0xC000) == 0xC000;
}

/*
 * Decimal places that a numeric shows.  Zeros at the end are among them, which
 * settle_dec_from_numeric may leave out.
 */
static inline int
settle_numeric_places(Numeric value)
{
	uint16		header;

	memcpy(&header, VARDATA_ANY(value), sizeof(header));
	return (header & 0xC000) == 0x8000 ? (header & 0x1F80) >> 7 : header & 0x3FFF;
}

extern Numeric settle_dec_to_numeric(SettleDec value);	/* display scale = scale */
extern char *settle_dec_out(SettleDec value);	/* palloc'd, plain notation, all digits of the scale */
extern SettleDec settle_dec_in(const char *text, Size len);	/* exact; raises 22P02 */
extern SettleDec settle_dec_trim(SettleDec value);	/* smallest scale that holds the value */
extern SettleDec settle_dec_widen_scale(SettleDec value, int scale);	/* at least so many places, where it has room for them */

extern SettleDec settle_dec_add(SettleDec a, SettleDec b);
extern SettleDec settle_dec_sub(SettleDec a, SettleDec b);
extern SettleDec settle_dec_mul_any(SettleDec a, SettleDec b);
extern SettleDec settle_dec_neg(SettleDec a);
extern int	settle_dec_cmp(SettleDec a, SettleDec b);
extern int	settle_dec_sign_wide(SettleDec a);

/* a x b; here where both fit 64 bits, as nearly all do */
static inline SettleDec
settle_dec_mul(SettleDec a, SettleDec b)
{
	if (likely(a.wide == NULL && b.wide == NULL && a.coef == (int64) a.coef && b.coef == (int64) b.coef &&
			   a.scale + b.scale <= SETTLE_DEC_MAX_SCALE))
		return (SettleDec) {.coef = (int128) (int64) a.coef * (int64) b.coef, .scale = a.scale + b.scale, .wide = NULL};
	return settle_dec_mul_any(a, b);
}

/* -1, 0, 1 */
static inline int
settle_dec_sign(SettleDec a)
{
	if (likely(a.wide == NULL))
		return a.coef < 0 ? -1 : a.coef > 0;
	return settle_dec_sign_wide(a);
}

/* 10^n as far as it fits 64 bits. */
extern const int64 settle_small_power[19];

/* Whether the coefficient of a decimal fits 64 bits. */
static inline bool
settle_dec_is_short(const SettleDec *value)
{
	return value->wide == NULL && value->coef == (int64) value->coef;
}

/* Cuts 0 to 18 places off a number, rounding half away from zero. */
static inline int64
settle_cut_half_up(int64 number, int places)
{
	int64		unit = settle_small_power[places];
	int64		quotient = number / unit;
	int64		rest = number % unit;

	/* twice a rest of less than 10^18 fits */
	quotient += 2 * rest >= unit;
	quotient -= 2 * rest <= -unit;
	return quotient;
}

/* Whether rounding is that of nearly every price: half up to a number of places. */
static inline bool
settle_rounds_places(const SettleRounding *how)
{
	return how->mode == SETTLE_HALF_UP && how->step.wide == NULL && how->step.coef == 1;
}

extern SettleDec settle_round_any(SettleDec value, const SettleRounding *how);

/* Rounds to a multiple of the step, whose scale the result has; here what nearly every price is: places cut off a number of 64 bits. */
static inline SettleDec
settle_round(SettleDec value, const SettleRounding *how)
{
	int			cut = value.scale - how->step.scale;

	if (likely(settle_rounds_places(how) && cut >= 0 && cut <= 18 && settle_dec_is_short(&value)))
		return (SettleDec) {.coef = settle_cut_half_up((int64) value.coef, cut), .scale = how->step.scale, .wide = NULL};
	return settle_round_any(value, how);
}

extern SettleRatio settle_ratio_add(SettleRatio a, SettleRatio b);
extern SettleDec settle_ratio_round(SettleRatio value, const SettleRounding *how);

/* The quotient as a decimal, for display: exact where it ends within so many places, else half to even there. */
#define SETTLE_RATIO_PLACES	20
extern SettleDec settle_ratio_dec(SettleRatio value);

/* 'half_up', 'down 1', 'half_even 0.05'; without a step the minor unit given by digits.  Raises 22023. */
extern SettleRounding settle_rounding_in(const char *text, int digits);
/* ISO 4217 minor units of a currency code; 2 for a code that ISO does not list */
extern int	settle_minor_units(const char *unit);

/* Whether ISO 4217 lists the code as a currency in use. */
extern bool settle_is_currency(const char *unit);

/*
 * Divides amount among n weights so that the parts add up to it exactly, by
 * largest remainder on multiples of step, ties to the earlier; negative amounts
 * mirror positive ones and a zero weight gets nothing.  Raises 22023 where no
 * weight is positive or one is negative.
 */
extern void settle_allocate_parts(SettleDec amount, const SettleDec *weights, int n, SettleDec step, SettleDec *parts);

#endif							/* SETTLE_AMOUNT_H */
