/*
 * text.c
 *		The text form of a price scale.
 *
 * It reads aloud and says one thing only: every number has a word or a sign
 * that says what it is, and there is one way to write each scale.  The grammar
 * is ASCII; any other byte is an error at its place.
 *
 *		[mode] tier [, tier ...] [; option ...]
 *
 *		5% to 1000, 8% to 5000, 10%
 *		volume 3% to 10000, 5% + 20 flat below 50000, 8%
 *		package of 100 at 15 after 20
 *		blocks_all 10 blocks of 100 at 1 + 2 flat, blocks of 1000 at 0.5
 *		interpolated 10 spread to 1000, 40 spread to 3000
 *		capacity 10 flat within (100, 1000), 30 flat within (any, any)
 *		percentage 1.3% + 2 flat; first 3 events free; first 500 free
 *
 * Options: min N; max N; first flat at zero; first N free; first N events free;
 * divide by N [rounded MODE]; multiply by N [rounded MODE].
 */
#include "tier/scale.h"

#include "amount/decimal.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Far above the longest text of a valid scale. */
#define MAX_TEXT		(1024 * 1024)
#define MAX_NUMBER		100

typedef enum TokenKind
{
	END,
	NUMBER,
	WORD,
	SIGN						/* one of % + , ; ( ) */
} TokenKind;

typedef struct Reader
{
	const char *text;
	const char *next;			/* where the token after this one begins */
	const char *token;			/* the current token */
	Size		length;
	TokenKind	kind;
} Reader;

/*
 * Position of the current token in characters, from 1.
 */
static int
position_of(const Reader *in)
{
	return pg_mbstrlen_with_len(in->text, (int) (in->token - in->text)) + 1;
}

/*
 * Refuses the text at the current token.
 */
static void pg_attribute_noreturn()
refuse(const Reader *in, const char *what, const char *hint)
{
	int			length = (int) Min(strlen(in->token), 40);

	length = pg_mbcliplen(in->token, (int) strlen(in->token), length);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid tiers: %s", what),
			 length > 0 ? errdetail("At character %d: \"%.*s\".", position_of(in), length, in->token) :
			 errdetail("At the end of the text."),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * The three kinds of characters that tokens are made of, whatever the locale.
 */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/*
 * Steps to the next token.
 */
static void
advance(Reader *in)
{
	const char *at = in->next;

	while (is_blank(*at))
		at++;
	in->token = at;
	if (*at == '\0')
		in->kind = END;
	else if (is_digit(*at) || (*at == '-' && is_digit(at[1])))
	{
		in->kind = NUMBER;
		at++;
		while (is_digit(*at))
			at++;
		if (*at == '.' && is_digit(at[1]))
		{
			at++;
			while (is_digit(*at))
				at++;
		}
		if (is_letter(*at) || *at == '.')
			refuse(in, "a number is not plainly written", "Write digits and perhaps a point: 1000 or 2.5.");
		if (at - in->token > MAX_NUMBER)
			refuse(in, "a number is too long", NULL);
	}
	else if (is_letter(*at))
	{
		in->kind = WORD;
		while (is_letter(*at))
			at++;
	}
	else if (strchr("%+,;()", *at))
	{
		in->kind = SIGN;
		at++;
	}
	else
		refuse(in, "a character has no meaning here", "Only words, numbers and the signs % + , ; ( ) are used.");
	in->length = at - in->token;
	in->next = at;
}

/*
 * True where the current token is this word or sign.
 */
static bool
at(const Reader *in, const char *word)
{
	return (in->kind == WORD || in->kind == SIGN) && strlen(word) == in->length &&
		pg_strncasecmp(word, in->token, in->length) == 0;
}

/*
 * Takes this word or sign if it is the current token.
 */
static bool
take(Reader *in, const char *word)
{
	if (!at(in, word))
		return false;
	advance(in);
	return true;
}

/*
 * Takes this word or sign, which must be here.
 */
static void
expect(Reader *in, const char *word, const char *hint)
{
	if (!take(in, word))
		refuse(in, psprintf("\"%s\" is missing", word), hint);
}

/*
 * Takes a number, which must be here.
 */
static SettleDec
take_number(Reader *in, const char *what)
{
	SettleDec	number;

	if (in->kind != NUMBER)
		refuse(in, psprintf("%s is missing", what), "Write numbers plainly: 1000 or 2.5.");
	number = settle_dec_in(in->token, in->length);
	advance(in);
	return number;
}

/*
 * Reads the bound of a tier, if it has one.
 */
static void
read_bound(Reader *in, SettleTier *tier)
{
	if (take(in, "to"))
		tier->bound_kind = SETTLE_TO;
	else if (take(in, "below"))
		tier->bound_kind = SETTLE_BELOW;
	else
		return;
	tier->bound = take_number(in, "a bound");
}

/*
 * Reads a rate, a flat amount, or a rate and a flat amount.
 */
static void
read_price(Reader *in, SettleTier *tier)
{
	bool		rated = false;

	for (;;)
	{
		Reader		number = *in;
		SettleDec	amount = take_number(in, "a price");

		if (at(in, "%") || at(in, "each"))
		{
			if (rated)
				refuse(&number, "a tier has two rates", "Write a rate, a flat amount, or a rate + a flat amount.");
			tier->percent = at(in, "%");
			tier->rate = amount;
			rated = true;
			advance(in);
			if (!take(in, "+"))
				return;
		}
		else if (take(in, "flat"))
		{
			tier->flat = amount;
			return;
		}
		else if (number.length == 3 && number.token - number.text >= 2 &&
				 number.token[-1] == ',' && is_digit(number.token[-2]))
			refuse(&number, "a number has a thousands separator", "Write 10000, not 10,000.");
		else
			refuse(&number, psprintf("the bare number %.*s does not say what it is", (int) number.length, number.token),
				   psprintf("Write %.*s each, %.*s flat or %.*s%%.", (int) number.length, number.token,
							(int) number.length, number.token, (int) number.length, number.token));
	}
}

/*
 * Reads the price of a package or block, and perhaps a flat amount.
 */
static void
read_piece_price(Reader *in, SettleTier *tier, const char *hint)
{
	expect(in, "at", hint);
	tier->rate = take_number(in, "a price");
	if (take(in, "+"))
	{
		tier->flat = take_number(in, "a flat amount");
		expect(in, "flat", "Write \"blocks of 60 at 0.1 + 2 flat\".");
	}
}

/*
 * Reads the limits of a capacity.
 */
static void
read_limits(Reader *in, SettleScale *scale, SettleTier *tier)
{
	const char *hint = "Write the limits of all dimensions: \"10 flat within (100, any)\".";
	int			n = 0;

	tier->limits = palloc0(sizeof(SettleLimit) * SETTLE_MAX_DIMENSIONS);
	expect(in, "within", hint);
	expect(in, "(", hint);
	do
	{
		if (n == SETTLE_MAX_DIMENSIONS)
			refuse(in, "a tier has too many limits", NULL);
		if (take(in, "any"))
			tier->limits[n].any = true;
		else
			tier->limits[n].most = take_number(in, "a limit");
		n++;
	} while (take(in, ","));
	expect(in, ")", hint);
	if (scale->ntiers == 0)
		scale->ndimensions = n;
	else if (scale->ndimensions != n)
		refuse(in, psprintf("tiers differ in their number of limits: %d and %d", scale->ndimensions, n), hint);
}

/*
 * Reads one tier of the scale's mode.
 */
static void
read_tier(Reader *in, SettleScale *scale, SettleTier *tier)
{
	tier->position = position_of(in);
	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
			read_price(in, tier);
			read_bound(in, tier);
			break;
		case SETTLE_PERCENTAGE:
			read_price(in, tier);
			break;
		case SETTLE_PACKAGE:
			{
				const char *hint = "Write it as \"package of 100 at 15\", perhaps with \"after 20\".";

				expect(in, "of", hint);
				tier->size = take_number(in, "the size of a package");
				read_piece_price(in, tier, hint);
				if (take(in, "after"))
				{
					scale->has_free = true;
					scale->free = take_number(in, "the free allowance");
				}
				break;
			}
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			{
				const char *hint = "Write it as \"10 blocks of 100 at 1, blocks of 1000 at 0.5\".";

				if (in->kind == NUMBER)
				{
					tier->bound_kind = SETTLE_TO;
					tier->count = take_number(in, "the number of blocks");
				}
				expect(in, "blocks", hint);
				expect(in, "of", hint);
				tier->size = take_number(in, "the size of a block");
				read_piece_price(in, tier, hint);
				break;
			}
		case SETTLE_INTERPOLATED:
			{
				const char *hint = "Write it as \"10 spread to 1000, 40 spread to 3000\".";

				tier->rate = take_number(in, "the amount of a tier");
				expect(in, "spread", hint);
				expect(in, "to", hint);
				tier->bound_kind = SETTLE_TO;
				tier->bound = take_number(in, "a bound");
				break;
			}
		case SETTLE_CAPACITY:
			tier->rate = take_number(in, "a price");
			expect(in, "flat", "The price of a capacity is flat: \"10 flat within (100, 1000)\".");
			read_limits(in, scale, tier);
			break;
	}
}

/*
 * Marks an option as given; it may be given once.
 */
static void
give_once(const Reader *in, bool *given)
{
	if (*given)
		refuse(in, "an option is given twice", NULL);
	*given = true;
}

/*
 * Reads "divide by N" or "multiply by N" after its first word.
 */
static void
read_conversion(Reader *in, SettleScale *scale, SettleConversion conversion)
{
	const char *hint = "Write it as \"divide by 1000 rounded up\".";

	if (scale->conversion != SETTLE_NO_CONVERSION)
		refuse(in, "an option is given twice", NULL);
	scale->conversion = conversion;
	expect(in, "by", hint);
	scale->factor = take_number(in, "the factor of the conversion");
	if (take(in, "rounded"))
	{
		scale->rounds_units = true;
		if (in->kind != WORD || !settle_round_mode_in(in->token, in->length, &scale->unit_rounding))
			refuse(in, "a rounding is missing", "Use half_up, half_even, half_down, down, up, ceil or floor.");
		advance(in);
	}
}

/*
 * Reads one option after a semicolon.
 */
static void
read_option(Reader *in, SettleScale *scale)
{
	if (at(in, "min"))
	{
		give_once(in, &scale->has_floor);
		advance(in);
		scale->floor = take_number(in, "the minimum");
	}
	else if (at(in, "max"))
	{
		give_once(in, &scale->has_cap);
		advance(in);
		scale->cap = take_number(in, "the maximum");
	}
	else if (take(in, "divide"))
		read_conversion(in, scale, SETTLE_DIVIDE);
	else if (take(in, "multiply"))
		read_conversion(in, scale, SETTLE_MULTIPLY);
	else if (take(in, "first"))
	{
		const char *hint = "Write \"first flat at zero\", \"first 20 free\" or \"first 3 events free\".";
		SettleDec	number;

		if (at(in, "flat"))
		{
			give_once(in, &scale->first_flat_at_zero);
			advance(in);
			expect(in, "at", hint);
			expect(in, "zero", hint);
			return;
		}
		number = take_number(in, "a number, or \"flat at zero\",");
		if (at(in, "events"))
		{
			give_once(in, &scale->has_free_events);
			scale->free_events = number;
			advance(in);
		}
		else
		{
			if (scale->mode == SETTLE_PACKAGE)
				refuse(in, "a package says what is free with \"after\"", "Write \"package of 100 at 15 after 20\".");
			give_once(in, &scale->has_free);
			scale->free = number;
		}
		expect(in, "free", hint);
	}
	else
		refuse(in, "an option is not known",
			   "Options: min, max, first flat at zero, first N free, first N events free, divide by N, multiply by N.");
}

/*
 * Reads and checks the text form.
 */
SettleScale *
settle_scale_from_text(const char *text)
{
	SettleScale *scale = palloc0(sizeof(SettleScale));
	Reader		in = {.text = text, .next = text};
	int			room = 4;

	if (strlen(text) > MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("invalid tiers: the text has %zu bytes", strlen(text)),
				 errhint("A scale has up to %d tiers.", SETTLE_MAX_TIERS)));

	advance(&in);
	if (in.kind == WORD && settle_mode_in(in.token, in.length, &scale->mode))
		advance(&in);
	if (in.kind == END)
		refuse(&in, "there is no tier", "Write at least one price, for example \"10%\" or \"2.5 each\".");

	scale->tiers = palloc0(sizeof(SettleTier) * room);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (scale->ntiers == SETTLE_MAX_TIERS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("invalid tiers: there are more than %d tiers", SETTLE_MAX_TIERS),
					 errdetail("At character %d.", position_of(&in))));
		if (scale->ntiers == room)
		{
			scale->tiers = repalloc(scale->tiers, sizeof(SettleTier) * room * 2);
			memset(scale->tiers + room, 0, sizeof(SettleTier) * room);
			room *= 2;
		}
		read_tier(&in, scale, &scale->tiers[scale->ntiers]);
		scale->ntiers++;
	} while (take(&in, ","));

	while (take(&in, ";"))
		read_option(&in, scale);

	if (at(&in, "from"))
		refuse(&in, "tiers have no lower bound of their own",
			   "Write upper bounds only; each tier begins where the one before it ends.");
	if (in.kind != END)
		refuse(&in, "the text goes on after a tier", "Tiers are separated by commas, options follow after semicolons.");

	settle_scale_check(scale);
	return scale;
}

/*
 * Appends a number.
 */
static void
put_number(StringInfo out, SettleDec number)
{
	appendStringInfoString(out, settle_dec_out(number));
}

/*
 * Appends a rate and a flat amount, those that are there.
 */
static void
put_price(StringInfo out, const SettleTier *tier)
{
	bool		flat = settle_dec_sign(tier->flat) != 0;

	if (tier->percent || settle_dec_sign(tier->rate) != 0 || !flat)
		appendStringInfo(out, "%s%s%s", settle_dec_out(tier->rate), tier->percent ? "%" : " each", flat ? " + " : "");
	if (flat)
		appendStringInfo(out, "%s flat", settle_dec_out(tier->flat));
}

/*
 * Appends what a package or block costs.
 */
static void
put_piece_price(StringInfo out, const SettleTier *tier)
{
	appendStringInfo(out, "of %s at %s", settle_dec_out(tier->size), settle_dec_out(tier->rate));
	if (settle_dec_sign(tier->flat) != 0)
		appendStringInfo(out, " + %s flat", settle_dec_out(tier->flat));
}

/*
 * Appends one tier.
 */
static void
put_tier(StringInfo out, const SettleScale *scale, const SettleTier *tier)
{
	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
		case SETTLE_PERCENTAGE:
			put_price(out, tier);
			if (tier->bound_kind != SETTLE_OPEN)
				appendStringInfo(out, " %s %s", tier->bound_kind == SETTLE_TO ? "to" : "below",
								 settle_dec_out(tier->bound));
			break;
		case SETTLE_PACKAGE:
			put_piece_price(out, tier);
			if (scale->has_free)
				appendStringInfo(out, " after %s", settle_dec_out(scale->free));
			break;
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			if (tier->bound_kind != SETTLE_OPEN)
				appendStringInfo(out, "%s ", settle_dec_out(tier->count));
			appendStringInfoString(out, "blocks ");
			put_piece_price(out, tier);
			break;
		case SETTLE_INTERPOLATED:
			appendStringInfo(out, "%s spread to %s", settle_dec_out(tier->rate), settle_dec_out(tier->bound));
			break;
		case SETTLE_CAPACITY:
			put_number(out, tier->rate);
			for (int d = 0; d < scale->ndimensions; d++)
			{
				appendStringInfoString(out, d == 0 ? " flat within (" : ", ");
				if (tier->limits[d].any)
					appendStringInfoString(out, "any");
				else
					put_number(out, tier->limits[d].most);
			}
			appendStringInfoChar(out, ')');
			break;
	}
}

/*
 * Writes the text form.
 */
char *
settle_scale_to_text(const SettleScale *scale)
{
	StringInfoData out;

	initStringInfo(&out);
	if (scale->mode != SETTLE_GRADUATED)
		appendStringInfo(&out, "%s ", settle_mode_names[scale->mode]);
	for (int i = 0; i < scale->ntiers; i++)
	{
		if (i > 0)
			appendStringInfoString(&out, ", ");
		put_tier(&out, scale, &scale->tiers[i]);
	}
	if (scale->conversion != SETTLE_NO_CONVERSION)
	{
		appendStringInfo(&out, "; %s by %s", scale->conversion == SETTLE_DIVIDE ? "divide" : "multiply",
						 settle_dec_out(scale->factor));
		if (scale->rounds_units)
			appendStringInfo(&out, " rounded %s", settle_round_mode_name(scale->unit_rounding));
	}
	if (scale->has_free_events)
		appendStringInfo(&out, "; first %s events free", settle_dec_out(scale->free_events));
	if (scale->has_free && scale->mode != SETTLE_PACKAGE)
		appendStringInfo(&out, "; first %s free", settle_dec_out(scale->free));
	if (scale->first_flat_at_zero)
		appendStringInfoString(&out, "; first flat at zero");
	if (scale->has_floor)
		appendStringInfo(&out, "; min %s", settle_dec_out(scale->floor));
	if (scale->has_cap)
		appendStringInfo(&out, "; max %s", settle_dec_out(scale->cap));
	return out.data;
}
