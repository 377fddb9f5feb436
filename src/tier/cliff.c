/*
 * cliff.c
 *		Finds where a scale charges less for more.
 *
 * A fee can fall only where a tier begins, or all along a tier of a negative
 * rate.  So the fees at both ends of every tier are compared, as the pricer
 * that is used for money gives them, whatever the mode.  Conversions and free
 * units move quantities along, never past each other, and are left out: bounds
 * are told in the units of the scale.
 */
#include "tier/pricer.h"

/* What "just before" and "just after" a bound is. */
#define STEP	"0.000000001"

static SettleDec
price_at(const SettlePricer *pricer, SettleDec quantity, bool by_rate)
{
	return by_rate ? settle_price_rate(pricer, quantity) : settle_price(pricer, quantity);
}

/*
 * A fee as it is told: what lies beyond six places comes from the step.
 */
static SettleDec
tell(SettleDec fee)
{
	SettleRounding rounding = settle_rounding_in("half_up 0.000001", 2);

	return settle_dec_trim(settle_round(fee, &rounding));
}

int
settle_tiers_cliffs(const SettleTiers *tiers, bool by_rate, SettleCliff **cliffs)
{
	SettleScale *scale = settle_scale_decode(tiers);
	SettleDec	step = settle_dec_in(STEP, strlen(STEP));
	SettlePricer *pricer;
	SettleDec	previous;
	int			n = 0;

	*cliffs = NULL;
	if (scale->mode == SETTLE_CAPACITY || scale->mode == SETTLE_PERCENTAGE)
		return 0;
	scale->conversion = SETTLE_NO_CONVERSION;
	scale->rounds_units = scale->has_free = false;
	pricer = settle_pricer(settle_scale_encode(scale));
	*cliffs = palloc(sizeof(SettleCliff) * 2 * Max(pricer->nsteps, 1));
	previous = price_at(pricer, step, by_rate);
	for (int i = 0; i < pricer->nsteps && !pricer->steps[i].open; i++)
	{
		const PriceStep *tier = &pricer->steps[i];
		SettleDec	last = tier->inclusive ? tier->upper : settle_dec_sub(tier->upper, step);
		SettleDec	fees[3];

		fees[0] = previous;
		fees[1] = price_at(pricer, last, by_rate);
		fees[2] = price_at(pricer, settle_dec_add(last, step), by_rate);
		for (int k = 0; k < 2; k++)
			if (settle_dec_cmp(tell(fees[k + 1]), tell(fees[k])) < 0)
				(*cliffs)[n++] = (SettleCliff) {settle_dec_trim(tier->upper), tell(fees[k]), tell(fees[k + 1])};
		previous = fees[2];
	}
	return n;
}
