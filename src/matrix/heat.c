/*
 * heat.c
 *		The heat scale: ten steps between a lowest and a highest value, and a
 *		colour for each.
 *
 * The colours run from cream over orange to dark red.  CIELAB lightness falls
 * from 96 to 22 by equal steps, so levels keep their order in black and white,
 * and neighbours stay at least 5.8 apart (CIEDE2000) for readers who lack any one
 * of the three cone types.  Black text reads on levels 0 to 5, white on 6 to 9.
 */
#include "amount/amount.h"

#include "fmgr.h"
#include "utils/builtins.h"

#define HEAT_LEVELS		10

static const char *const heat_colors[HEAT_LEVELS] = {
	"#fff4c4", "#ffd78c", "#ffb854", "#ff9516", "#f37600",
	"#e25700", "#d13300", "#ba0108", "#940116", "#710117"
};

PG_FUNCTION_INFO_V1(settle_heat);
PG_FUNCTION_INFO_V1(settle_heat_color);

/*
 * Gives the tenth of the span from lowest to highest that a value lies in.
 *
 * settle.heat(value numeric, lowest numeric, highest numeric) -> integer
 */
Datum
settle_heat(PG_FUNCTION_ARGS)
{
	SettleDec	value = settle_dec_from_numeric(PG_GETARG_NUMERIC(0));
	SettleDec	lowest = settle_dec_from_numeric(PG_GETARG_NUMERIC(1));
	SettleDec	highest = settle_dec_from_numeric(PG_GETARG_NUMERIC(2));
	SettleDec	span = settle_dec_sub(highest, lowest);
	SettleDec	above;
	int			level = 0;

	if (settle_dec_sign(span) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lowest value %s is above the highest, %s", settle_dec_out(lowest), settle_dec_out(highest))));

	above = settle_dec_mul(settle_dec_sub(value, lowest), settle_dec_int(HEAT_LEVELS));
	if (settle_dec_sign(span) == 0)
		PG_RETURN_INT32(settle_dec_sign(above) < 0 ? 0 : settle_dec_sign(above) > 0 ? HEAT_LEVELS - 1 : HEAT_LEVELS / 2);
	while (level < HEAT_LEVELS - 1 && settle_dec_cmp(above, settle_dec_mul(span, settle_dec_int(level + 1))) >= 0)
		level++;
	PG_RETURN_INT32(level);
}

/*
 * Gives the colour of a level.
 *
 * settle.heat_color(level integer) -> text
 */
Datum
settle_heat_color(PG_FUNCTION_ARGS)
{
	int32		level = PG_GETARG_INT32(0);

	if (level < 0 || level >= HEAT_LEVELS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("heat level %d does not exist", level),
				 errhint("Levels run from 0 to %d.", HEAT_LEVELS - 1)));
	PG_RETURN_TEXT_P(cstring_to_text(heat_colors[level]));
}
