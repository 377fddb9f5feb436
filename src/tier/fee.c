/*
 * fee.c
 *		The SQL functions that price one quantity.
 */
#include "tier/scale.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(settle_fee);

/*
 * settle.fee(tiers settle.tiers, quantity numeric) returns numeric
 */
Datum
settle_fee(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	SettleDec	fee = settle_price(pricer, settle_dec_from_datum(PG_GETARG_DATUM(1)));

	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_price_tidy(pricer, fee)));
}

PG_FUNCTION_INFO_V1(settle_fee_on_top);

/*
 * settle.fee(tiers settle.tiers, quantity numeric, before numeric) returns numeric
 */
Datum
settle_fee_on_top(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	SettleDec	quantity = settle_dec_from_datum(PG_GETARG_DATUM(1));
	SettleDec	before = settle_dec_from_datum(PG_GETARG_DATUM(2));
	SettleRatio less = settle_price_ratio(pricer, before);
	SettleRatio fee;

	less.num = settle_dec_neg(less.num);
	fee = settle_ratio_add(settle_price_ratio(pricer, settle_dec_add(before, quantity)), less);
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_price_tidy(pricer, settle_ratio_dec(fee))));
}

PG_FUNCTION_INFO_V1(settle_fee_steps);

/*
 * settle.fee_steps(tiers settle.tiers, quantity numeric)
 *		returns table (step int, lower numeric, upper numeric, quantity numeric, rate numeric, flat numeric, fee numeric)
 */
Datum
settle_fee_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const SettlePricer *pricer = settle_pricer(settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	SettleFeeStep *steps;
	int			n = settle_price_steps(pricer, settle_dec_from_datum(PG_GETARG_DATUM(1)), &steps);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		SettleFeeStep *step = &steps[i];
		bool		adjustment = step->step == 0;
		Datum		values[7];
		bool		nulls[7] = {false, adjustment, adjustment || step->open};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(step->step);
		values[1] = NumericGetDatum(settle_dec_to_numeric(step->lower));
		values[2] = NumericGetDatum(settle_dec_to_numeric(step->upper));
		values[3] = NumericGetDatum(settle_dec_to_numeric(settle_dec_trim(step->quantity)));
		values[4] = NumericGetDatum(settle_dec_to_numeric(settle_dec_trim(step->rate)));
		values[5] = NumericGetDatum(settle_dec_to_numeric(settle_dec_trim(step->flat)));
		values[6] = NumericGetDatum(settle_dec_to_numeric(settle_price_tidy(pricer, step->fee)));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
