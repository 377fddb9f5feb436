/*
 * usage.c
 *		Prices of more than one quantity: events in order, several dimensions,
 *		a quantity at the price that another one reaches, prorated units.
 */
#include "tier/pricer.h"

#include "amount/decimal.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/*
 * Requires a mode; says which function wants it.
 */
static void
require_mode(const SettlePricer *pricer, SettleTierMode mode, const char *function)
{
	if (pricer->mode != mode)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s needs tiers of mode %s, not %s", function,
						settle_mode_names[mode], settle_mode_names[pricer->mode])));
}

/*
 * What of a running total is above the free amount.
 */
static SettleDec
above_free(const SettlePricer *pricer, SettleDec total)
{
	if (settle_dec_cmp(total, pricer->free) <= 0)
		return settle_dec_int(0);
	return settle_dec_sub(total, pricer->free);
}

/*
 * Charges one event, which is not free.
 */
static SettleDec
charge_event(const SettlePricer *pricer, SettleDec base)
{
	const PriceStep *step = &pricer->steps[0];
	bool		negative = settle_dec_sign(base) < 0;
	SettleRatio fee;

	if (negative)
		base = settle_dec_neg(base);
	fee.num = settle_dec_add(step->a, settle_dec_mul(step->b, base));
	fee.den = step->d;
	fee = settle_clamp(pricer, fee);
	return settle_ratio_dec((SettleRatio) {negative ? settle_dec_neg(fee.num) : fee.num, fee.den});
}

PG_FUNCTION_INFO_V1(settle_event_fees);

/*
 * settle.event_fees(tiers settle.tiers, events numeric[]) returns numeric[]
 *
 * An event is free while every limit that is set still holds, the number of
 * events and their running total.  The event that goes over the free amount is
 * charged on what is above it; floor and cap bind each charged event.
 */
Datum
settle_event_fees(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	int			n;
	SettleDec  *events = settle_dec_array(PG_GETARG_ARRAYTYPE_P(1), "quantity", &n);
	Datum	   *fees = palloc(mul_size(sizeof(Datum), n));
	SettleDec	total = settle_dec_int(0);

	require_mode(pricer, SETTLE_PERCENTAGE, "settle.event_fees");
	for (int i = 0; i < n; i++)
	{
		bool		negative = settle_dec_sign(events[i]) < 0;
		SettleDec	base = settle_to_units(pricer, negative ? settle_dec_neg(events[i]) : events[i]);
		SettleDec	before = total;
		bool		is_free = false;

		CHECK_FOR_INTERRUPTS();
		if (negative)
			base = settle_dec_neg(base);
		total = settle_dec_add(before, base);
		if (pricer->has_free_events ? settle_dec_cmp(settle_dec_int(i + 1), pricer->free_events) <= 0 : pricer->has_free)
		{
			if (pricer->has_free)
			{
				base = settle_dec_sub(above_free(pricer, total), above_free(pricer, before));
				is_free = settle_dec_cmp(total, pricer->free) <= 0 && settle_dec_sign(base) == 0;
			}
			else
				is_free = true;
		}
		fees[i] = NumericGetDatum(settle_dec_to_numeric(settle_price_tidy(pricer, is_free ? settle_dec_int(0) :
																		  charge_event(pricer, base))));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(fees, n, NUMERICOID, -1, false, TYPALIGN_INT));
}

PG_FUNCTION_INFO_V1(settle_capacity_fee);

/*
 * settle.capacity_fee(tiers settle.tiers, quantities numeric[]) returns numeric
 *
 * The price of the first tier whose every limit holds.
 */
Datum
settle_capacity_fee(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	int			n;
	SettleDec  *quantities = settle_dec_array(PG_GETARG_ARRAYTYPE_P(1), "quantity", &n);
	SettleRatio fee;

	require_mode(pricer, SETTLE_CAPACITY, "settle.capacity_fee");
	if (n != pricer->ndimensions)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tiers have %d dimensions, quantities given: %d", pricer->ndimensions, n)));
	fee.num = settle_find_capacity(pricer, quantities)->rate;
	fee.den = settle_dec_int(1);
	fee = settle_clamp(pricer, fee);
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_price_tidy(pricer, fee.num)));
}

PG_FUNCTION_INFO_V1(settle_fee_at);

/*
 * settle.fee_at(tiers settle.tiers, quantity numeric, reached numeric) returns numeric
 *
 * Prices quantity by the volume tier that another number reaches: full units
 * choose the tier and prorated ones are priced, a store's total chooses and a
 * person's share is priced.
 */
Datum
settle_fee_at(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	SettleDec	quantity = settle_dec_from_datum(PG_GETARG_DATUM(1));
	SettleDec	reached = settle_dec_from_datum(PG_GETARG_DATUM(2));
	bool		negative = settle_dec_sign(quantity) < 0;
	const PriceStep *step;
	SettleRatio fee;

	require_mode(pricer, SETTLE_VOLUME, "settle.fee_at");
	if (settle_dec_sign(reached) < 0)
		reached = settle_dec_neg(reached);
	if (negative)
		quantity = settle_dec_neg(quantity);
	step = settle_find_step(pricer, settle_to_units(pricer, reached));
	fee.num = settle_dec_add(step->a, settle_dec_mul(step->b, settle_to_units(pricer, quantity)));
	fee.den = step->d;
	fee = settle_clamp(pricer, fee);
	if (negative)
		fee.num = settle_dec_neg(fee.num);
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_price_tidy(pricer, settle_ratio_dec(fee))));
}

/*
 * The graduated fee of a running total without its flats.
 */
static SettleRatio
fee_without_flats(const SettlePricer *pricer, SettleDec total)
{
	bool		negative = settle_dec_sign(total) < 0;
	SettleDec	units = settle_to_units(pricer, negative ? settle_dec_neg(total) : total);
	const PriceStep *step = settle_find_step(pricer, units);
	SettleRatio fee = {settle_dec_add(step->a, settle_dec_mul(step->b, units)), step->d};

	for (const PriceStep *entered = pricer->steps; entered <= step; entered++)
		fee.num = settle_dec_sub(fee.num, settle_dec_mul(entered->flat, fee.den));
	if (negative)
		fee.num = settle_dec_neg(fee.num);
	return fee;
}

PG_FUNCTION_INFO_V1(settle_prorated_fee);

/*
 * settle.prorated_fee(tiers settle.tiers, units numeric[], prorated numeric[]) returns numeric
 *
 * Events add units and take them away.  Full units move along the tiers, and
 * the prorated units of an event are spread evenly over the way it goes; flats
 * follow the highest running total; a negative total is charged nothing.
 */
Datum
settle_prorated_fee(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	int			n;
	int			nprorated;
	SettleDec  *units = settle_dec_array(PG_GETARG_ARRAYTYPE_P(1), "quantity", &n);
	SettleDec  *prorated = settle_dec_array(PG_GETARG_ARRAYTYPE_P(2), "quantity", &nprorated);
	SettleDec	zero = settle_dec_int(0);
	SettleDec	total = zero;
	SettleDec	highest = zero;
	SettleRatio fee = {zero, settle_dec_int(1)};

	require_mode(pricer, SETTLE_GRADUATED, "settle.prorated_fee");
	if (n != nprorated)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d units and %d prorated units are given", n, nprorated),
				 errhint("Give both for each event.")));
	for (int i = 0; i < n; i++)
	{
		SettleDec	next = settle_dec_add(total, units[i]);
		SettleRatio way;

		CHECK_FOR_INTERRUPTS();
		if (settle_dec_sign(units[i]) == 0)
			way = (SettleRatio) {settle_price_rate(pricer, total), settle_dec_int(1)};
		else
		{
			/* (fee of the next total - fee of this one) / units */
			way = fee_without_flats(pricer, total);
			way.num = settle_dec_neg(way.num);
			way = settle_ratio_add(fee_without_flats(pricer, next), way);
			if (settle_dec_sign(units[i]) < 0)
				way.num = settle_dec_neg(way.num);
			way.den = settle_dec_mul(way.den, settle_dec_sign(units[i]) < 0 ? settle_dec_neg(units[i]) : units[i]);
		}
		way.num = settle_dec_mul(way.num, prorated[i]);
		fee = settle_ratio_reduce(settle_ratio_add(fee, way));
		total = next;
		if (settle_dec_cmp(total, highest) > 0)
			highest = total;
	}
	if (settle_dec_sign(highest) > 0 || pricer->first_flat_at_zero)
	{
		const PriceStep *step = settle_find_step(pricer, settle_to_units(pricer, highest));

		for (const PriceStep *entered = pricer->steps; entered <= step; entered++)
			fee.num = settle_dec_add(fee.num, settle_dec_mul(entered->flat, fee.den));
	}
	if (settle_dec_sign(total) < 0 || settle_dec_sign(fee.num) < 0)
		fee.num = zero;
	fee = settle_clamp(pricer, fee);
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_price_tidy(pricer, settle_ratio_dec(fee))));
}
