/*
 * decimal.h
 *		What the room "amount" and the type settle.tiers share about decimals
 *		and nobody else needs.
 */
#ifndef SETTLE_DECIMAL_H
#define SETTLE_DECIMAL_H

#include "amount/amount.h"
#include "utils/array.h"

#define SETTLE_INT128_MAX ((int128) (~(uint128) 0 >> 1))

static inline bool
settle_fits_int64(int128 value)
{
	return value == (int64) value;
}

/* 10^n, for n from 0 to 38. */
extern int128 settle_power_of_ten(int n);

/* Multiplies a coefficient by 10^places; false, and untouched, where it does not fit. */
extern bool settle_scale_up(int128 *coef, int places);

/* Runs a function of two numerics; the result is narrow again where it fits. */
extern SettleDec settle_wide_operation(PGFunction operation, SettleDec a, SettleDec b);

/* num / den rounded to an integer by way of numeric, den > 0. */
extern SettleDec settle_divide_wide(SettleDec num, SettleDec den, SettleRoundMode mode);

/*
 * The same quotient with smaller parts, for long sums of unlike fractions: in
 * lowest terms, or, where that does not keep the denominator below 10^18, as
 * settle_ratio_dec gives it.
 */
extern SettleRatio settle_ratio_reduce(SettleRatio value);

/* Reads a plain array of numbers without nulls; "what" is one of them, for errors. */
extern SettleDec *settle_dec_array(ArrayType *array, const char *what, int *n);

/* Names of rounding modes. */
extern bool settle_round_mode_in(const char *text, Size len, SettleRoundMode *mode);
extern const char *settle_round_mode_name(SettleRoundMode mode);

#endif							/* SETTLE_DECIMAL_H */
