/*
 * scale.c
 *		What a price scale may be, and its stored form.
 *
 * The stored form is a string of bytes, the same in memory, on disk and on the
 * wire, and there is exactly one for each scale: equality is equality of bytes.
 *
 *		format version (1), mode, flags, unit rounding + 1 or 0,
 *		number of tiers (2 bytes, big-endian), number of dimensions, 0,
 *		the numbers that the flags announce, in the order of the flags,
 *		the tiers, each: a byte of flags and its numbers.
 *
 * A number is its scale, the length of its magnitude with the high bit for the
 * sign, and the magnitude, big-endian; no zero that could be left out is there.
 */
#include "tier/scale.h"

#include "miscadmin.h"

#define FORMAT_VERSION	1
#define HEADER_SIZE		8

/* flags of a scale */
#define HAS_FIRST_FLAT	0x01
#define HAS_FLOOR		0x02
#define HAS_CAP			0x04
#define HAS_FREE		0x08
#define HAS_FREE_EVENTS	0x10
#define HAS_DIVIDE		0x20
#define HAS_MULTIPLY	0x40
#define ALL_FLAGS		0x7F

/* flags of a tier */
#define BOUND_MASK		0x03
#define TIER_PERCENT	0x04
#define TIER_FLAT		0x08
#define ALL_TIER_FLAGS	0x0F

/* what stands for a limit that is not there, in place of its scale */
#define ANY_LIMIT		0xFF

struct SettleTiers
{
	int32		vl_len_;
	uint8		bytes[FLEXIBLE_ARRAY_MEMBER];
};

const char *const settle_mode_names[] = {
	"graduated", "volume", "package", "blocks_all", "blocks_top", "interpolated", "capacity", "percentage"
};

/*
 * Finds a mode by name; false where there is none.
 */
bool
settle_mode_in(const char *name, Size len, SettleTierMode *mode)
{
	for (int i = 0; i <= SETTLE_LAST_MODE; i++)
	{
		if (strlen(settle_mode_names[i]) == len && pg_strncasecmp(settle_mode_names[i], name, len) == 0)
		{
			*mode = (SettleTierMode) i;
			return true;
		}
	}
	return false;
}

/*
 * Says where in a text a tier stands, for errors; nothing for other forms.
 */
static int
tier_detail(const SettleTier *tier)
{
	return tier->position > 0 ? errdetail("The tier begins at character %d.", tier->position) : 0;
}

/*
 * Trims a number and requires that it has a stored form.
 */
static void
check_number(SettleDec *number, const char *what)
{
	*number = settle_dec_trim(*number);
	if (number->wide)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("invalid tiers: %s has too many digits: %.50s", what, settle_dec_out(*number)),
				 errhint("Numbers of tiers have up to 38 digits, %d of them after the point.", SETTLE_DEC_MAX_SCALE)));
}

/*
 * The same for a number that must be positive.
 */
static void
check_positive(SettleDec *number, const char *what, const SettleTier *tier)
{
	check_number(number, what);
	if (settle_dec_sign(*number) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: %s is not above zero: %s", what, settle_dec_out(*number)),
				 tier ? tier_detail(tier) : 0));
}

/*
 * True where a number, trimmed, has no places.
 */
static bool
is_whole(SettleDec number)
{
	return number.scale == 0;
}

/*
 * Checks the price of one tier.
 */
static void
check_price(SettleTier *tier)
{
	check_number(&tier->rate, "a price");
	check_number(&tier->flat, "a flat amount");
	if (tier->percent &&
		(settle_dec_sign(tier->rate) < 0 || settle_dec_cmp(tier->rate, settle_dec_int(100)) > 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: %s%% is not between 0%% and 100%%", settle_dec_out(tier->rate)),
				 tier_detail(tier),
				 errhint("A price above the quantity itself is written as a price of one unit: 1.3 each.")));
}

/*
 * Checks that the bounds of the tiers follow each other and where they end.
 */
static void
check_bounds(SettleScale *scale)
{
	SettleDec	before = settle_dec_int(0);
	bool		closed = scale->mode == SETTLE_INTERPOLATED;

	for (int i = 0; i < scale->ntiers; i++)
	{
		SettleTier *tier = &scale->tiers[i];
		bool		last = i == scale->ntiers - 1;

		if (tier->bound_kind == SETTLE_OPEN)
		{
			if (!last)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid tiers: tier %d of %d has no upper bound", i + 1, scale->ntiers),
						 tier_detail(tier),
						 errhint("Only the last tier is open; give the others \"to\" or \"below\" and a bound.")));
			if (closed)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid tiers: the last interpolated tier is open"),
						 tier_detail(tier),
						 errhint("An amount is spread over a tier as it fills, so each tier needs a bound.")));
			continue;
		}
		check_number(&tier->bound, "a bound");
		if (settle_dec_sign(tier->bound) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid tiers: bound %s is negative", settle_dec_out(tier->bound)),
					 tier_detail(tier),
					 errhint("Tiers begin at zero; a negative quantity costs what the positive one costs, negated.")));
		if (settle_dec_cmp(tier->bound, before) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid tiers: bound %s is not above %s", settle_dec_out(tier->bound), settle_dec_out(before)),
					 tier_detail(tier),
					 errhint("Each tier begins where the one before it ends, so bounds ascend from zero.")));
		if (last && !closed)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid tiers: the last tier ends at %s", settle_dec_out(tier->bound)),
					 tier_detail(tier),
					 errhint("Leave the last tier without a bound, so that every quantity has a price.")));
		before = tier->bound;
	}
}

/*
 * Checks blocks: their sizes, and how many a tier has.
 */
static void
check_blocks(SettleScale *scale)
{
	for (int i = 0; i < scale->ntiers; i++)
	{
		SettleTier *tier = &scale->tiers[i];
		bool		last = i == scale->ntiers - 1;

		check_positive(&tier->size, "the size of a block", tier);
		if (last != (tier->bound_kind == SETTLE_OPEN))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 last ? errmsg("invalid tiers: the last tier ends after %s blocks", settle_dec_out(tier->count)) :
					 errmsg("invalid tiers: tier %d of %d has no number of blocks", i + 1, scale->ntiers),
					 tier_detail(tier),
					 errhint("Only the last tier is open: \"10 blocks of 100 at 1, blocks of 1000 at 0.5\".")));
		if (last)
			continue;
		check_positive(&tier->count, "the number of blocks", tier);
		if (!is_whole(tier->count))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid tiers: %s blocks are not a whole number", settle_dec_out(tier->count)),
					 tier_detail(tier)));
	}
}

/*
 * Checks the limits of capacities.
 */
static void
check_capacity(SettleScale *scale)
{
	if (scale->ndimensions < 1 || scale->ndimensions > SETTLE_MAX_DIMENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: capacities have %d dimensions", scale->ndimensions),
				 errhint("Give every tier the same 1 to %d limits.", SETTLE_MAX_DIMENSIONS)));
	for (int i = 0; i < scale->ntiers; i++)
	{
		SettleTier *tier = &scale->tiers[i];
		bool		open = true;

		for (int d = 0; d < scale->ndimensions; d++)
		{
			if (tier->limits[d].any)
				continue;
			open = false;
			check_number(&tier->limits[d].most, "a limit");
			if (settle_dec_sign(tier->limits[d].most) < 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid tiers: limit %s is negative", settle_dec_out(tier->limits[d].most)),
						 tier_detail(tier)));
		}
		if (open != (i == scale->ntiers - 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 open ? errmsg("invalid tiers: tier %d of %d has no limit", i + 1, scale->ntiers) :
					 errmsg("invalid tiers: the last capacity is limited"),
					 tier_detail(tier),
					 errhint("The last tier, and only that, takes any quantity: \"30 flat within (any, any)\".")));
	}
}

/*
 * Checks what applies to a scale as a whole.
 */
static void
check_options(SettleScale *scale)
{
	if (scale->first_flat_at_zero && scale->mode != SETTLE_GRADUATED)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: first flat at zero does not apply to mode %s", settle_mode_names[scale->mode]),
				 errhint("It says whether a graduated scale charges its first flat for a quantity of zero.")));
	if (scale->has_floor)
		check_number(&scale->floor, "the minimum");
	if (scale->has_cap)
		check_number(&scale->cap, "the maximum");
	if (scale->has_floor && scale->has_cap && settle_dec_cmp(scale->floor, scale->cap) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: the minimum %s is above the maximum %s",
						settle_dec_out(scale->floor), settle_dec_out(scale->cap))));
	/* an allowance of nothing is none */
	if (scale->has_free && settle_dec_sign(scale->free) == 0)
		scale->has_free = false;
	if (scale->has_free_events && settle_dec_sign(scale->free_events) == 0)
		scale->has_free_events = false;
	if (scale->has_free)
		check_positive(&scale->free, "the free allowance", NULL);
	if (scale->has_free_events)
	{
		if (scale->mode != SETTLE_PERCENTAGE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid tiers: free events do not apply to mode %s", settle_mode_names[scale->mode]),
					 errhint("Only mode percentage prices single events.")));
		check_positive(&scale->free_events, "the number of free events", NULL);
		if (!is_whole(scale->free_events))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid tiers: %s free events are not a whole number", settle_dec_out(scale->free_events))));
	}
	if (scale->conversion != SETTLE_NO_CONVERSION)
		check_positive(&scale->factor, "the factor of the conversion", NULL);
	else if (scale->rounds_units)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: units are rounded but not converted"),
				 errhint("Write the conversion too: \"divide by 1 rounded up\".")));
	if (scale->mode == SETTLE_CAPACITY && (scale->has_free || scale->conversion != SETTLE_NO_CONVERSION))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: capacities have no conversion and no free allowance")));
}

/*
 * Judges a scale and brings its numbers into their canonical form.
 */
void
settle_scale_check(SettleScale *scale)
{
	if (scale->ntiers < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: there is no tier"),
				 errhint("Write at least one price, for example \"10%%\" or \"2.5 each\".")));
	if (scale->ntiers > SETTLE_MAX_TIERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("invalid tiers: %d tiers are more than %d", scale->ntiers, SETTLE_MAX_TIERS)));

	check_options(scale);
	for (int i = 0; i < scale->ntiers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		check_price(&scale->tiers[i]);
	}
	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
		case SETTLE_INTERPOLATED:
			check_bounds(scale);
			break;
		case SETTLE_PACKAGE:
			check_positive(&scale->tiers[0].size, "the size of a package", &scale->tiers[0]);
			break;
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			check_blocks(scale);
			break;
		case SETTLE_CAPACITY:
			check_capacity(scale);
			break;
		case SETTLE_PERCENTAGE:
			if (!scale->tiers[0].percent)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid tiers: mode percentage has no rate in percent"),
						 tier_detail(&scale->tiers[0]),
						 errhint("Write it as \"percentage 1.3%% + 2 flat\".")));
			break;
	}
	if ((scale->mode == SETTLE_PACKAGE || scale->mode == SETTLE_PERCENTAGE) && scale->ntiers > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid tiers: mode %s has one price, not %d", settle_mode_names[scale->mode], scale->ntiers),
				 tier_detail(&scale->tiers[1])));
}

/*
 * True where the tiers of a mode may be in percent.
 */
static bool
has_percents(SettleTierMode mode)
{
	return mode == SETTLE_GRADUATED || mode == SETTLE_VOLUME || mode == SETTLE_PERCENTAGE;
}

/*
 * True where they may have a flat amount.
 */
static bool
has_flats(SettleTierMode mode)
{
	return mode != SETTLE_INTERPOLATED && mode != SETTLE_CAPACITY;
}

/*
 * True where they have upper bounds.
 */
static bool
has_bounds(SettleTierMode mode)
{
	return mode == SETTLE_GRADUATED || mode == SETTLE_VOLUME || mode == SETTLE_INTERPOLATED;
}

/*
 * True where they have packages or blocks.
 */
static bool
has_sizes(SettleTierMode mode)
{
	return mode == SETTLE_PACKAGE || mode == SETTLE_BLOCKS_ALL || mode == SETTLE_BLOCKS_TOP;
}

/*
 * Appends a number.
 */
static void
put_number(StringInfo out, SettleDec number)
{
	uint8		magnitude[16];
	int			n = 0;
	uint128		rest = number.coef < 0 ? -(uint128) number.coef : (uint128) number.coef;

	while (rest != 0)
	{
		magnitude[n++] = (uint8) rest;
		rest >>= 8;
	}
	appendStringInfoCharMacro(out, (char) number.scale);
	appendStringInfoCharMacro(out, (char) (n | (number.coef < 0 ? 0x80 : 0)));
	while (n > 0)
		appendStringInfoCharMacro(out, (char) magnitude[--n]);
}

/*
 * Writes the stored form of a checked scale.
 */
SettleTiers *
settle_scale_encode(const SettleScale *scale)
{
	StringInfoData out;
	uint8		header[HEADER_SIZE] = {
		FORMAT_VERSION,
		(uint8) scale->mode,
		(scale->first_flat_at_zero ? HAS_FIRST_FLAT : 0) |
		(scale->has_floor ? HAS_FLOOR : 0) |
		(scale->has_cap ? HAS_CAP : 0) |
		(scale->has_free ? HAS_FREE : 0) |
		(scale->has_free_events ? HAS_FREE_EVENTS : 0) |
		(scale->conversion == SETTLE_DIVIDE ? HAS_DIVIDE : 0) |
		(scale->conversion == SETTLE_MULTIPLY ? HAS_MULTIPLY : 0),
		(uint8) (scale->rounds_units ? scale->unit_rounding + 1 : 0),
		(uint8) (scale->ntiers >> 8), (uint8) scale->ntiers,
		(uint8) scale->ndimensions,
		0
	};

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	appendBinaryStringInfo(&out, (char *) header, HEADER_SIZE);
	if (scale->has_floor)
		put_number(&out, scale->floor);
	if (scale->has_cap)
		put_number(&out, scale->cap);
	if (scale->has_free)
		put_number(&out, scale->free);
	if (scale->has_free_events)
		put_number(&out, scale->free_events);
	if (scale->conversion != SETTLE_NO_CONVERSION)
		put_number(&out, scale->factor);

	for (int i = 0; i < scale->ntiers; i++)
	{
		const SettleTier *tier = &scale->tiers[i];
		bool		flat = settle_dec_sign(tier->flat) != 0;
		bool		open = tier->bound_kind == SETTLE_OPEN;

		appendStringInfoCharMacro(&out, (char) (tier->bound_kind |
												(tier->percent ? TIER_PERCENT : 0) |
												(flat ? TIER_FLAT : 0)));
		put_number(&out, tier->rate);
		if (flat)
			put_number(&out, tier->flat);
		if (has_bounds(scale->mode) && !open)
			put_number(&out, tier->bound);
		if (has_sizes(scale->mode))
		{
			put_number(&out, tier->size);
			if (!open)
				put_number(&out, tier->count);
		}
		for (int d = 0; d < scale->ndimensions; d++)
		{
			if (tier->limits[d].any)
				appendStringInfoCharMacro(&out, (char) ANY_LIMIT);
			else
				put_number(&out, tier->limits[d].most);
		}
	}
	SET_VARSIZE(out.data, out.len);
	return (SettleTiers *) out.data;
}

/* A cursor over the stored form. */
typedef struct Bytes
{
	const uint8 *at;
	const uint8 *end;
} Bytes;

/*
 * Refuses a stored form; says what is wrong with it.
 */
static void pg_attribute_noreturn()
refuse_bytes(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid binary form of tiers: %s", why)));
}

/*
 * Reads a byte.
 */
static uint8
take_byte(Bytes *in)
{
	if (in->at >= in->end)
		refuse_bytes("it ends too early");
	return *in->at++;
}

/*
 * Reads a number, in its shortest form only.
 */
static SettleDec
take_number(Bytes *in)
{
	SettleDec	number = {.scale = take_byte(in)};
	uint8		length = take_byte(in);
	bool		negative = (length & 0x80) != 0;
	uint128		magnitude = 0;

	length &= 0x7F;
	if (number.scale > SETTLE_DEC_MAX_SCALE || length > sizeof(magnitude))
		refuse_bytes("a number is too long");
	for (int i = 0; i < length; i++)
	{
		uint8		byte = take_byte(in);

		if (i == 0 && byte == 0)
			refuse_bytes("a number has a leading zero");
		magnitude = (magnitude << 8) | byte;
	}
	if (magnitude > (~(uint128) 0 >> 1))
		refuse_bytes("a number is too large");
	if ((length == 0 && (negative || number.scale > 0)) || (number.scale > 0 && magnitude % 10 == 0))
		refuse_bytes("a number is not in its shortest form");
	number.coef = negative ? -(int128) magnitude : (int128) magnitude;
	return number;
}

/*
 * Reads one tier.
 */
static void
take_tier(Bytes *in, const SettleScale *scale, SettleTier *tier)
{
	uint8		flags = take_byte(in);
	bool		bounded;

	if ((flags & ~ALL_TIER_FLAGS) != 0 || (flags & BOUND_MASK) > SETTLE_BELOW)
		refuse_bytes("a tier has unknown flags");
	tier->bound_kind = (SettleBound) (flags & BOUND_MASK);
	tier->percent = (flags & TIER_PERCENT) != 0;
	bounded = tier->bound_kind != SETTLE_OPEN;
	if ((tier->percent && !has_percents(scale->mode)) ||
		((flags & TIER_FLAT) != 0 && !has_flats(scale->mode)) ||
		(bounded && !has_bounds(scale->mode) &&
		 !(has_sizes(scale->mode) && scale->mode != SETTLE_PACKAGE)) ||
		(tier->bound_kind == SETTLE_BELOW && scale->mode != SETTLE_GRADUATED && scale->mode != SETTLE_VOLUME))
		refuse_bytes("a tier has flags that its mode has not");

	tier->rate = take_number(in);
	if (flags & TIER_FLAT)
	{
		tier->flat = take_number(in);
		if (settle_dec_sign(tier->flat) == 0)
			refuse_bytes("a flat amount is zero");
	}
	if (has_bounds(scale->mode) && bounded)
		tier->bound = take_number(in);
	if (has_sizes(scale->mode))
	{
		tier->size = take_number(in);
		if (bounded)
			tier->count = take_number(in);
	}
	if (scale->ndimensions > 0)
	{
		tier->limits = palloc0(sizeof(SettleLimit) * scale->ndimensions);
		for (int d = 0; d < scale->ndimensions; d++)
		{
			if (in->at < in->end && *in->at == ANY_LIMIT)
			{
				in->at++;
				tier->limits[d].any = true;
			}
			else
				tier->limits[d].most = take_number(in);
		}
	}
}

/*
 * Reads the stored form, which may come from anywhere.
 */
SettleScale *
settle_scale_decode(const SettleTiers *tiers)
{
	SettleScale *scale = palloc0(sizeof(SettleScale));
	Bytes		in;
	const uint8 *header;
	uint8		flags;

	in.at = (const uint8 *) VARDATA_ANY(tiers);
	in.end = in.at + VARSIZE_ANY_EXHDR(tiers);
	if (in.end - in.at < HEADER_SIZE)
		refuse_bytes("it ends too early");
	header = in.at;
	in.at += HEADER_SIZE;
	if (header[0] != FORMAT_VERSION)
		refuse_bytes("its format version is not known");
	if (header[1] > SETTLE_LAST_MODE)
		refuse_bytes("its mode is not known");
	flags = header[2];
	if ((flags & ~ALL_FLAGS) != 0 || (flags & (HAS_DIVIDE | HAS_MULTIPLY)) == (HAS_DIVIDE | HAS_MULTIPLY) ||
		header[3] > SETTLE_FLOOR + 1 || header[7] != 0)
		refuse_bytes("it has unknown flags");

	scale->mode = (SettleTierMode) header[1];
	scale->first_flat_at_zero = (flags & HAS_FIRST_FLAT) != 0;
	scale->has_floor = (flags & HAS_FLOOR) != 0;
	scale->has_cap = (flags & HAS_CAP) != 0;
	scale->has_free = (flags & HAS_FREE) != 0;
	scale->has_free_events = (flags & HAS_FREE_EVENTS) != 0;
	scale->conversion = (flags & HAS_DIVIDE) ? SETTLE_DIVIDE :
		(flags & HAS_MULTIPLY) ? SETTLE_MULTIPLY : SETTLE_NO_CONVERSION;
	scale->rounds_units = header[3] != 0;
	scale->unit_rounding = header[3] != 0 ? (SettleRoundMode) (header[3] - 1) : SETTLE_HALF_UP;
	scale->ntiers = (header[4] << 8) | header[5];
	scale->ndimensions = header[6];
	if (scale->ntiers > SETTLE_MAX_TIERS)
		refuse_bytes("it has too many tiers");
	if (scale->ndimensions > SETTLE_MAX_DIMENSIONS || (scale->ndimensions > 0) != (scale->mode == SETTLE_CAPACITY))
		refuse_bytes("its dimensions do not suit its mode");

	if (scale->has_floor)
		scale->floor = take_number(&in);
	if (scale->has_cap)
		scale->cap = take_number(&in);
	if (scale->has_free)
		scale->free = take_number(&in);
	if (scale->has_free_events)
		scale->free_events = take_number(&in);
	if (scale->conversion != SETTLE_NO_CONVERSION)
		scale->factor = take_number(&in);
	if ((scale->has_free && scale->free.coef == 0) || (scale->has_free_events && scale->free_events.coef == 0))
		refuse_bytes("a free allowance is zero");

	scale->tiers = palloc0(sizeof(SettleTier) * Max(scale->ntiers, 1));
	for (int i = 0; i < scale->ntiers; i++)
		take_tier(&in, scale, &scale->tiers[i]);
	if (in.at != in.end)
		refuse_bytes("it has bytes after its end");

	settle_scale_check(scale);
	return scale;
}
