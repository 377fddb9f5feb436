/*
 * round.c
 *		Exact quotients and the one place where an amount is rounded.
 *
 * A quotient is brought to a fraction of two integers, divided with remainder,
 * and moved by at most one: never numeric's "/", which rounds on its own.
 */
#include "amount/amount.h"
#include "amount/decimal.h"

#include "utils/builtins.h"

/*
 * Says whether a quotient is moved one away from its truncated value, given
 * its sign and how its remainder compares with half of the divisor.
 */
static inline bool
moves_away(SettleRoundMode mode, int sign, int against_half, bool odd)
{
	switch (mode)
	{
		case SETTLE_HALF_UP:
			return against_half >= 0;
		case SETTLE_HALF_EVEN:
			return against_half > 0 || (against_half == 0 && odd);
		case SETTLE_HALF_DOWN:
			return against_half > 0;
		case SETTLE_DOWN:
			return false;
		case SETTLE_UP:
			return true;
		case SETTLE_CEIL:
			return sign > 0;
		case SETTLE_FLOOR:
			return sign < 0;
	}
	elog(ERROR, "unknown rounding mode %d", (int) mode);
}

/*
 * Divides integers of 64 bits, den > 0, and rounds the quotient.
 */
static inline int64
divide_small(int64 num, int64 den, SettleRoundMode mode)
{
	int64		quotient = num / den;
	int64		rest = num % den;

	if (rest != 0)
	{
		int			sign = num < 0 ? -1 : 1;
		int64		distance = sign < 0 ? -rest : rest;
		int64		other = den - distance;

		if (moves_away(mode, sign, distance < other ? -1 : distance > other, (quotient & 1) != 0))
			quotient += sign;
	}
	return quotient;
}

/*
 * The same of integers of any size.
 */
static int128
divide_narrow(int128 num, int128 den, SettleRoundMode mode)
{
	int128		quotient;
	int128		rest;
	int			sign = num < 0 ? -1 : 1;

	/* what is moved by one fits as well: where there is a rest, den is at least 2 */
	if (settle_fits_int64(num) && settle_fits_int64(den))
		return divide_small((int64) num, (int64) den, mode);
	quotient = num / den;
	rest = num % den;
	if (rest != 0)
	{
		int128		distance = sign < 0 ? -rest : rest;
		int128		other = den - distance;

		if (moves_away(mode, sign, distance < other ? -1 : distance > other, (quotient & 1) != 0))
			quotient += sign;
	}
	return quotient;
}

/*
 * The same with numeric, for what does not fit.
 */
SettleDec
settle_divide_wide(SettleDec num, SettleDec den, SettleRoundMode mode)
{
	SettleDec	quotient = settle_wide_operation(numeric_div_trunc, num, den);
	SettleDec	rest = settle_dec_sub(num, settle_dec_mul(quotient, den));
	int			sign = settle_dec_sign(num);

	if (settle_dec_sign(rest) != 0)
	{
		SettleDec	distance = sign < 0 ? settle_dec_neg(rest) : rest;
		SettleDec	half_of_quotient;
		bool		odd;

		half_of_quotient = settle_wide_operation(numeric_div_trunc, quotient, settle_dec_int(2));
		odd = settle_dec_cmp(quotient, settle_dec_mul(half_of_quotient, settle_dec_int(2))) != 0;
		if (moves_away(mode, sign, settle_dec_cmp(distance, settle_dec_sub(den, distance)), odd))
			quotient = settle_dec_add(quotient, settle_dec_int(sign));
	}
	return quotient;
}

/*
 * Finds integers with the quotient num / (den x step); false where they do not fit.
 */
static inline bool
integer_quotient(SettleDec num, SettleDec den, SettleDec step, int128 *n, int128 *d)
{
	int			shift = den.scale + step.scale - num.scale;

	*n = num.coef;
	if (__builtin_mul_overflow(den.coef, step.coef, d))
		return false;
	return shift >= 0 ? settle_scale_up(n, shift) : settle_scale_up(d, -shift);
}

/*
 * Divides exactly, then rounds once to a multiple of the step.
 */
SettleDec
settle_ratio_round(SettleRatio value, const SettleRounding *how)
{
	SettleDec	step = how->step;
	SettleDec	multiple;

	if (settle_dec_sign(value.den) <= 0)
		elog(ERROR, "denominator of a ratio is not positive");
	if (likely(!value.num.wide && !value.den.wide && !step.wide))
	{
		int128		n;
		int128		d;

		if (integer_quotient(value.num, value.den, step, &n, &d) ||
			integer_quotient(settle_dec_trim(value.num), settle_dec_trim(value.den), settle_dec_trim(step), &n, &d))
		{
			multiple = (SettleDec) {.coef = divide_narrow(n, d, how->mode)};
			return settle_dec_widen_scale(settle_dec_mul(multiple, step), step.scale);
		}
	}
	multiple = settle_divide_wide(value.num, settle_dec_mul(value.den, step), how->mode);
	return settle_dec_widen_scale(settle_dec_mul(multiple, step), step.wide ? 0 : step.scale);
}

/*
 * Rounds to a multiple of the step, whatever both are.
 */
SettleDec
settle_round_any(SettleDec value, const SettleRounding *how)
{
	if (likely(!value.wide && !how->step.wide && how->step.coef == 1))
	{
		int			cut = value.scale - how->step.scale;

		/* a multiple of a power of ten already: only the places change */
		if (cut <= 0 && settle_scale_up(&value.coef, -cut))
			return (SettleDec) {.coef = value.coef, .scale = how->step.scale};
		/* places are cut off a number of 64 bits, as of nearly every price */
		if (cut > 0 && cut <= 18 && settle_fits_int64(value.coef))
			return (SettleDec) {.coef = divide_small((int64) value.coef, settle_small_power[cut], how->mode), .scale = how->step.scale};
	}
	return settle_ratio_round((SettleRatio) {value, settle_dec_int(1)}, how);
}

/*
 * a + b of exact quotients.
 */
SettleRatio
settle_ratio_add(SettleRatio a, SettleRatio b)
{
	if (settle_dec_cmp(a.den, b.den) == 0)
		return (SettleRatio) {settle_dec_add(a.num, b.num), a.den};
	return (SettleRatio) {
		settle_dec_add(settle_dec_mul(a.num, b.den), settle_dec_mul(b.num, a.den)),
		settle_dec_mul(a.den, b.den)
	};
}

/*
 * The quotient as a decimal: exact where it ends within SETTLE_RATIO_PLACES
 * places, else rounded there.
 */
SettleDec
settle_ratio_dec(SettleRatio value)
{
	SettleRounding places = {SETTLE_HALF_EVEN, {.coef = 1, .scale = SETTLE_RATIO_PLACES}};

	if (settle_dec_cmp(value.den, settle_dec_int(1)) == 0)
		return value.num;
	return settle_dec_trim(settle_ratio_round(value, &places));
}

/*
 * Keeps a quotient small.
 */
SettleRatio
settle_ratio_reduce(SettleRatio value)
{
	SettleDec	num = settle_dec_trim(value.num);
	SettleDec	den = settle_dec_trim(value.den);

	if (!num.wide && !den.wide)
	{
		uint128		a = num.coef < 0 ? -(uint128) num.coef : (uint128) num.coef;
		uint128		b = (uint128) den.coef;

		while (b != 0)
		{
			uint128		rest = a % b;

			a = b;
			b = rest;
		}
		num.coef /= (int128) a;
		den.coef /= (int128) a;
		if (den.coef < settle_power_of_ten(18))
			return (SettleRatio) {num, den};
	}
	return (SettleRatio) {settle_ratio_dec(value), settle_dec_int(1)};
}

static const char *const mode_names[] = {
	"half_up", "half_even", "half_down", "down", "up", "ceil", "floor"
};

/*
 * Finds a rounding mode by name; false where there is none.
 */
bool
settle_round_mode_in(const char *text, Size len, SettleRoundMode *mode)
{
	for (int i = 0; i < lengthof(mode_names); i++)
	{
		if (strlen(mode_names[i]) == len && memcmp(mode_names[i], text, len) == 0)
		{
			*mode = (SettleRoundMode) i;
			return true;
		}
	}
	return false;
}

/*
 * Name of a rounding mode.
 */
const char *
settle_round_mode_name(SettleRoundMode mode)
{
	return mode_names[mode];
}

/*
 * Reads a way of rounding: a mode and, after a blank, perhaps a step.
 */
SettleRounding
settle_rounding_in(const char *text, int digits)
{
	SettleRounding how;
	Size		word = strcspn(text, " ");

	if (!settle_round_mode_in(text, word, &how.mode))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown rounding \"%.40s\"", text),
				 errhint("Use half_up, half_even, half_down, down, up, ceil or floor, perhaps with a step: half_up 0.05.")));
	if (text[word] == '\0')
	{
		if (digits < 0 || digits > SETTLE_DEC_MAX_SCALE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%d is no number of minor units", digits),
					 errhint("Minor units are decimal places, from 0 to %d; for a larger step write it with the mode: half_up 100.",
							 SETTLE_DEC_MAX_SCALE)));
		how.step = (SettleDec) {.coef = 1, .scale = digits};
		return how;
	}
	how.step = settle_dec_in(text + word + 1, strlen(text + word + 1));
	if (settle_dec_sign(how.step) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rounding step %.40s is not positive", text + word + 1)));
	return how;
}

/*
 * ISO 4217 minor units; currencies with two are not listed.
 */
int
settle_minor_units(const char *unit)
{
	static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
	static const char three[] = "BHD IQD JOD KWD LYD OMR TND";
	static const char four[] = "CLF UYW";

	if (strlen(unit) != 3 || strchr(unit, ' ') != NULL)
		return 2;
	if (strstr(none, unit))
		return 0;
	if (strstr(three, unit))
		return 3;
	if (strstr(four, unit))
		return 4;
	return 2;
}

bool
settle_is_currency(const char *unit)
{
	static const char all[] =
		"AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
		"CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP "
		"GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT "
		"LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR "
		"PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL "
		"THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF "
		"YER ZAR ZMW ZWG ZWL ";

	return strlen(unit) == 3 && strchr(unit, ' ') == NULL && strstr(all, unit) != NULL;
}

PG_FUNCTION_INFO_V1(settle_round_amount);

/*
 * settle.round_amount(amount numeric, minor_units int, mode text) returns numeric
 */
Datum
settle_round_amount(PG_FUNCTION_ARGS)
{
	SettleDec	value = settle_dec_from_datum(PG_GETARG_DATUM(0));
	SettleRounding how = settle_rounding_in(text_to_cstring(PG_GETARG_TEXT_PP(2)), PG_GETARG_INT32(1));

	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_round(value, &how)));
}

PG_FUNCTION_INFO_V1(settle_prorate);

/*
 * settle.prorate(amount numeric, part numeric, whole numeric, minor_units int, mode text) returns numeric
 */
Datum
settle_prorate(PG_FUNCTION_ARGS)
{
	SettleDec	amount = settle_dec_from_datum(PG_GETARG_DATUM(0));
	SettleDec	part = settle_dec_from_datum(PG_GETARG_DATUM(1));
	SettleDec	whole = settle_dec_from_datum(PG_GETARG_DATUM(2));
	SettleRounding how = settle_rounding_in(text_to_cstring(PG_GETARG_TEXT_PP(4)), PG_GETARG_INT32(3));

	if (settle_dec_sign(whole) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("whole is not positive: %s", settle_dec_out(whole))));
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_ratio_round((SettleRatio) {settle_dec_mul(amount, part), whole}, &how)));
}
