/*
 * fee.c
 *		The SQL functions that price one quantity.
 */
#include "tier/scale.h"

#include "access/htup_details.h"
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

PG_FUNCTION_INFO_V1(settle_next_tier);

/*
 * settle.next_tier(tiers settle.tiers, quantity numeric)
 *		returns (tier_from numeric, next_tier_at numeric, next_rate numeric, next_fee numeric)
 */
Datum
settle_next_tier(PG_FUNCTION_ARGS)
{
	const SettlePricer *pricer = settle_pricer_cached(fcinfo->flinfo, settle_tiers_from_datum(PG_GETARG_DATUM(0)));
	SettleNextTier next;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "settle.next_tier returns no row type");
	if (settle_price_next(pricer, settle_dec_from_datum(PG_GETARG_DATUM(1)), &next))
	{
		values[0] = NumericGetDatum(settle_dec_to_numeric(settle_dec_trim(next.from)));
		nulls[0] = false;
		if (!next.is_last)
		{
			values[1] = NumericGetDatum(settle_dec_to_numeric(settle_dec_trim(next.at)));
			values[2] = NumericGetDatum(settle_dec_to_numeric(settle_dec_trim(next.rate)));
			values[3] = NumericGetDatum(settle_dec_to_numeric(settle_price_tidy(pricer, settle_ratio_dec(next.fee))));
			nulls[1] = nulls[2] = nulls[3] = false;
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
