/*
 * amount.c
 *		Exact decimals: reading, writing, adding, multiplying, comparing.
 *
 * A value is an int128 coefficient and a number of decimal places.  Every
 * operation watches for overflow and then does the same work with numeric, so
 * nothing is ever lost and nothing but an explicit rounding rounds.
 *
 * What a maintainer must know: the digits of a numeric are decoded here
 * directly, because reading an amount is the hottest step of pricing.  The
 * layout of NumericData is private to the server but part of its on-disk
 * format, so it cannot change without breaking pg_upgrade; the self-test below
 * holds it against numeric's own arithmetic all the same.
 */
#include "amount/amount.h"
#include "amount/decimal.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "storage/shmem.h"
#include "utils/builtins.h"

/* The on-disk form of numeric: a 16-bit header, a weight in the long form, base-10000 digits. */
#define NUM_KIND_MASK		0xC000
#define NUM_LONG_NEGATIVE	0x4000
#define NUM_SHORT			0x8000
#define NUM_SPECIAL			0xC000
#define NUM_LONG_SCALE		0x3FFF
#define NUM_SHORT_NEGATIVE	0x2000
#define NUM_SHORT_SCALE(h)	(((h) & 0x1F80) >> 7)
#define NUM_SHORT_WEIGHT(h) ((((h) & 0x0040) ? ~0x003F : 0) | ((h) & 0x003F))
#define NUM_BASE			10000
#define NUM_BASE_DIGITS		4

/* Groups that 39 digits take wherever the point stands. */
#define MAX_NARROW_GROUPS	11

/* More places than this numeric itself would round away. */
#define NUMERIC_SCALE_LIMIT 16383

#define E18 INT64CONST(1000000000000000000)

const int64 settle_small_power[19] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
	INT64CONST(10000000000), INT64CONST(100000000000), INT64CONST(1000000000000),
	INT64CONST(10000000000000), INT64CONST(100000000000000), INT64CONST(1000000000000000),
	INT64CONST(10000000000000000), INT64CONST(100000000000000000), E18
};

/*
 * Returns 10^n, for n from 0 to 38.
 */
int128
settle_power_of_ten(int n)
{
	int128		power;

	if (n <= 18)
		return settle_small_power[n];
	power = (int128) E18 * settle_small_power[Min(n - 18, 18)];
	return n > 36 ? power * settle_small_power[n - 36] : power;
}

/*
 * Multiplies a coefficient by 10^places; false, and untouched, where it does
 * not fit.
 */
bool
settle_scale_up(int128 *coef, int places)
{
	int128		scaled;

	if (places <= 18 && settle_fits_int64(*coef))
	{
		*coef *= settle_small_power[places];
		return true;
	}
	if (*coef == 0)
		return true;
	if (places > 38 || __builtin_mul_overflow(*coef, settle_power_of_ten(places), &scaled))
		return false;
	*coef = scaled;
	return true;
}

/*
 * Wraps a numeric that has no fixed-point form.
 */
static SettleDec
make_wide(Numeric value)
{
	Size		payload = VARSIZE_ANY_EXHDR(value);
	char	   *copy = palloc(payload + VARHDRSZ);

	SET_VARSIZE(copy, payload + VARHDRSZ);
	memcpy(VARDATA(copy), VARDATA_ANY(value), payload);
	return (SettleDec) {.wide = (Numeric) copy};
}

/*
 * Decodes a numeric, which may have a short varlena header but must not be
 * compressed or out of line.
 */
SettleDec
settle_dec_from_numeric(Numeric value)
{
	const char *data = VARDATA_ANY(value);
	int			size = (int) VARSIZE_ANY_EXHDR(value);
	uint16		header;
	bool		negative;
	int			places;			/* declared */
	int			weight;
	int			ndigits;
	int			groups;			/* of NUM_BASE_DIGITS places after the point */
	int			cut = 0;		/* zeros at the end of the last group that are no places */
	int			scale = 0;
	int128		coef;

	memcpy(&header, data, sizeof(header));
	if ((header & NUM_KIND_MASK) == NUM_SHORT)
	{
		negative = (header & NUM_SHORT_NEGATIVE) != 0;
		places = NUM_SHORT_SCALE(header);
		weight = NUM_SHORT_WEIGHT(header);
		data += sizeof(uint16);
		ndigits = (size - (int) sizeof(uint16)) / (int) sizeof(int16);
	}
	else if ((header & NUM_KIND_MASK) == NUM_SPECIAL)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s is not an amount",
						DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)))),
				 errhint("Amounts and quantities are finite decimal numbers.")));
	else
	{
		int16		long_weight;

		negative = (header & NUM_KIND_MASK) == NUM_LONG_NEGATIVE;
		places = header & NUM_LONG_SCALE;
		memcpy(&long_weight, data + sizeof(uint16), sizeof(long_weight));
		weight = long_weight;
		data += 2 * sizeof(uint16);
		ndigits = (size - 2 * (int) sizeof(uint16)) / (int) sizeof(int16);
	}

	if (ndigits <= 0)
		return settle_dec_int(0);

	groups = ndigits - 1 - weight;
	if (groups > 0)
	{
		scale = groups * NUM_BASE_DIGITS;
		if (scale > places && scale - places < NUM_BASE_DIGITS)
		{
			cut = scale - places;
			scale = places;
		}
	}
	/* ten groups may overflow, which is checked; more cannot fit, for the first is not zero */
	if (ndigits > 10 || scale > SETTLE_DEC_MAX_SCALE || groups < -9)
		return make_wide(value);

	if (ndigits <= 4)
	{
		int64		small = 0;
		int16		digit;

		for (int i = 0; i < ndigits - 1; i++)
		{
			memcpy(&digit, data + i * sizeof(int16), sizeof(digit));
			small = small * NUM_BASE + digit;
		}
		memcpy(&digit, data + (ndigits - 1) * sizeof(int16), sizeof(digit));
		switch (cut)
		{
			case 0:
				small = small * 10000 + digit;
				break;
			case 1:
				small = small * 1000 + digit / 10;
				break;
			case 2:
				small = small * 100 + digit / 100;
				break;
			default:
				small = small * 10 + digit / 1000;
				break;
		}
		coef = small;
	}
	else
	{
		coef = 0;
		for (int i = 0; i < ndigits; i++)
		{
			int16		digit;
			int			drop = i == ndigits - 1 ? cut : 0;

			memcpy(&digit, data + i * sizeof(int16), sizeof(digit));
			if (__builtin_mul_overflow(coef, (int128) settle_small_power[NUM_BASE_DIGITS - drop], &coef) ||
				__builtin_add_overflow(coef, (int128) (digit / settle_small_power[drop]), &coef))
				return make_wide(value);
		}
	}
	if (groups < 0 && !settle_scale_up(&coef, -groups * NUM_BASE_DIGITS))
		return make_wide(value);

	return (SettleDec) {.coef = negative ? -coef : coef, .scale = scale, .wide = NULL};
}

/*
 * Writes the digits of a narrow value, and a point before the last "scale" of
 * them, into a buffer of at least 82 bytes.
 */
static void
write_digits(int128 coef, int scale, char *out)
{
	char		digits[80];
	int			n = 0;
	uint128		rest = coef < 0 ? -(uint128) coef : (uint128) coef;

	do
	{
		digits[n++] = '0' + (int) (rest % 10);
		rest /= 10;
	} while (rest != 0 || n <= scale);

	if (coef < 0)
		*out++ = '-';
	while (n > 0)
	{
		if (n == scale)
			*out++ = '.';
		*out++ = digits[--n];
	}
	*out = '\0';
}

/*
 * Takes the last digits off a number, those below a power of ten.
 */
static inline uint64
take_digits(uint128 *number, uint64 power)
{
	uint64		low = (uint64) *number;
	uint64		digits;

	if (likely(*number == low))
	{
		*number = low / power;
		return low % power;
	}
	digits = (uint64) (*number % power);
	*number /= power;
	return digits;
}

/*
 * Encodes a value as numeric with "scale" places, as numeric itself would: no
 * zero groups at either end, and a zero without a sign.
 */
Numeric
settle_dec_to_numeric(SettleDec value)
{
	int16		digits[MAX_NARROW_GROUPS];
	int			first = MAX_NARROW_GROUPS;	/* digits are found from the last to the first */
	int			last = MAX_NARROW_GROUPS;
	int			groups = (value.scale + NUM_BASE_DIGITS - 1) / NUM_BASE_DIGITS;
	int			lacking = groups * NUM_BASE_DIGITS - value.scale;	/* places, in the last group */
	int			weight;
	uint128		rest = value.coef < 0 ? -(uint128) value.coef : (uint128) value.coef;
	uint16		header;
	Size		size;
	char	   *number;

	if (value.wide)
		return value.wide;

	if (lacking > 0 && rest != 0)
		digits[--first] = (int16) (take_digits(&rest, settle_small_power[NUM_BASE_DIGITS - lacking]) *
								   settle_small_power[lacking]);
	while (rest != 0)
		digits[--first] = (int16) take_digits(&rest, NUM_BASE);
	weight = last - first - groups - 1;
	while (last > first && digits[last - 1] == 0)
		last--;
	while (last > first && digits[first] == 0)
	{
		first++;
		weight--;
	}
	if (first == last)
		weight = 0;

	header = NUM_SHORT | (value.coef < 0 ? NUM_SHORT_NEGATIVE : 0) | value.scale << 7 | (weight & 0x007F);
	size = VARHDRSZ + sizeof(header) + (last - first) * sizeof(int16);
	number = palloc(size);
	SET_VARSIZE(number, size);
	memcpy(VARDATA(number), &header, sizeof(header));
	memcpy(VARDATA(number) + sizeof(header), &digits[first], (last - first) * sizeof(int16));
	return (Numeric) number;
}

/*
 * Prints a value in plain notation.
 */
char *
settle_dec_out(SettleDec value)
{
	char	   *text;

	if (value.wide)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.wide)));
	text = palloc(96);
	write_digits(value.coef, value.scale, text);
	return text;
}

/*
 * Reads a number in plain notation: an optional sign, digits, and perhaps a
 * point with digits after it.
 */
SettleDec
settle_dec_in(const char *text, Size len)
{
	Size		at = 0;
	bool		negative = false;
	bool		point = false;
	bool		narrow = true;
	int			ndigits = 0;
	int			scale = 0;
	int128		coef = 0;

	if (at < len && (text[at] == '-' || text[at] == '+'))
		negative = text[at++] == '-';
	for (; at < len; at++)
	{
		if (text[at] == '.' && !point)
			point = true;
		else if (text[at] >= '0' && text[at] <= '9')
		{
			ndigits++;
			if (point && ++scale > SETTLE_DEC_MAX_SCALE)
				narrow = false;
			if (narrow &&
				(__builtin_mul_overflow(coef, (int128) 10, &coef) ||
				 __builtin_add_overflow(coef, (int128) (text[at] - '0'), &coef)))
				narrow = false;
		}
		else
			break;
	}
	if (at < len || ndigits == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("\"%.*s\" is not a decimal number", (int) Min(len, 40), text),
				 errhint("Write it plainly: digits, perhaps a point and more digits.")));

	if (!narrow)
		return settle_dec_from_numeric(DatumGetNumeric(DirectFunctionCall3(numeric_in,
																		   CStringGetDatum(pnstrdup(text, len)),
																		   ObjectIdGetDatum(InvalidOid),
																		   Int32GetDatum(-1))));
	return (SettleDec) {.coef = negative ? -coef : coef, .scale = scale, .wide = NULL};
}

/*
 * Drops the zeros at the end of the places.
 */
SettleDec
settle_dec_trim(SettleDec value)
{
	if (value.wide)
		return settle_dec_from_numeric(DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale,
																		   NumericGetDatum(value.wide))));
	if (value.coef == 0)
		return settle_dec_int(0);
	while (value.scale > 0 && !settle_fits_int64(value.coef) && value.coef % 10 == 0)
	{
		value.coef /= 10;
		value.scale--;
	}
	if (value.scale > 0 && settle_fits_int64(value.coef))
	{
		int64		small = (int64) value.coef;

		while (value.scale > 0 && small % 10 == 0)
		{
			small /= 10;
			value.scale--;
		}
		value.coef = small;
	}
	return value;
}

/*
 * Gives a value at least "scale" places, where it has room for them.
 */
SettleDec
settle_dec_widen_scale(SettleDec value, int scale)
{
	if (!value.wide && value.scale < scale && scale <= SETTLE_DEC_MAX_SCALE &&
		settle_scale_up(&value.coef, scale - value.scale))
		value.scale = scale;
	return value;
}

/*
 * Runs a function of two numerics; the result is narrow again where it fits.
 */
SettleDec
settle_wide_operation(PGFunction operation, SettleDec a, SettleDec b)
{
	Datum		result = DirectFunctionCall2(operation,
											 NumericGetDatum(settle_dec_to_numeric(a)),
											 NumericGetDatum(settle_dec_to_numeric(b)));

	return settle_dec_from_numeric(DatumGetNumeric(result));
}

/*
 * Number of places of either form.
 */
static int
places_of(SettleDec value)
{
	if (!value.wide)
		return value.scale;
	return DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(value.wide)));
}

/*
 * Brings two narrow values to one scale; false where they do not fit.
 */
static inline bool
align(SettleDec *a, SettleDec *b)
{
	if (a->scale < b->scale)
	{
		if (!settle_scale_up(&a->coef, b->scale - a->scale))
			return false;
		a->scale = b->scale;
	}
	else if (b->scale < a->scale)
	{
		if (!settle_scale_up(&b->coef, a->scale - b->scale))
			return false;
		b->scale = a->scale;
	}
	return true;
}

/*
 * Adds narrow values; false where the sum does not fit.
 */
static inline bool
add_narrow(SettleDec a, SettleDec b, SettleDec *sum)
{
	sum->wide = NULL;
	if (!align(&a, &b) || __builtin_add_overflow(a.coef, b.coef, &sum->coef))
		return false;
	sum->scale = a.scale;
	return true;
}

/*
 * Multiplies narrow values; false where the product does not fit.
 */
static inline bool
mul_narrow(SettleDec a, SettleDec b, SettleDec *product)
{
	product->wide = NULL;
	product->scale = a.scale + b.scale;
	if (settle_fits_int64(a.coef) && settle_fits_int64(b.coef))
		product->coef = (int128) (int64) a.coef * (int64) b.coef;
	else if (__builtin_mul_overflow(a.coef, b.coef, &product->coef))
		return false;
	return product->scale <= SETTLE_DEC_MAX_SCALE;
}

/*
 * a + b
 */
SettleDec
settle_dec_add(SettleDec a, SettleDec b)
{
	SettleDec	sum;

	if (likely(!a.wide && !b.wide))
	{
		if (likely(add_narrow(a, b, &sum)))
			return sum;
		if (add_narrow(settle_dec_trim(a), settle_dec_trim(b), &sum))
			return sum;
	}
	return settle_wide_operation(numeric_add, a, b);
}

/*
 * -a
 */
SettleDec
settle_dec_neg(SettleDec a)
{
	if (likely(!a.wide && a.coef != -SETTLE_INT128_MAX - 1))
	{
		a.coef = -a.coef;
		return a;
	}
	return settle_dec_from_numeric(DatumGetNumeric(DirectFunctionCall1(numeric_uminus,
																	   NumericGetDatum(settle_dec_to_numeric(a)))));
}

/*
 * a - b
 */
SettleDec
settle_dec_sub(SettleDec a, SettleDec b)
{
	return settle_dec_add(a, settle_dec_neg(b));
}

/*
 * a x b, whatever their size.
 */
SettleDec
settle_dec_mul_any(SettleDec a, SettleDec b)
{
	SettleDec	product;

	if (likely(!a.wide && !b.wide))
	{
		if (likely(mul_narrow(a, b, &product)))
			return product;
		a = settle_dec_trim(a);
		b = settle_dec_trim(b);
		if (mul_narrow(a, b, &product))
			return product;
	}
	if (places_of(a) + places_of(b) > NUMERIC_SCALE_LIMIT)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a product would have more than %d decimal places", NUMERIC_SCALE_LIMIT)));
	return settle_wide_operation(numeric_mul, a, b);
}

/*
 * Compares: negative, 0, positive as a <, =, > b.
 */
int
settle_dec_cmp(SettleDec a, SettleDec b)
{
	if (likely(!a.wide && !b.wide) && likely(align(&a, &b)))
		return a.coef < b.coef ? -1 : a.coef > b.coef;
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp,
											 NumericGetDatum(settle_dec_to_numeric(a)),
											 NumericGetDatum(settle_dec_to_numeric(b))));
}

/*
 * -1, 0 or 1 of a wide value.
 */
int
settle_dec_sign_wide(SettleDec a)
{
	return settle_dec_cmp(a, settle_dec_int(0));
}

/*
 * Reads an array.
 */
SettleDec *
settle_dec_array(ArrayType *array, const char *what, int *n)
{
	Datum	   *values;
	bool	   *nulls;
	SettleDec  *numbers;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array of %d dimensions where each element is a %s", ARR_NDIM(array), what),
				 errhint("Give a plain array.")));
	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &values, &nulls, n);
	numbers = palloc(mul_size(sizeof(SettleDec), *n));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s %d is null", what, i + 1),
					 errhint("Write 0 where there is nothing.")));
		numbers[i] = settle_dec_from_datum(values[i]);
	}
	return numbers;
}
