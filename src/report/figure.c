/*
 * figure.c
 *		What the lines of a sheet add to the sums by party and by rule.
 *
 * Read once for both, and without what neither of them asks for: base, factor
 * and quantity of a line would cost more than all the rest of it.
 */
#include "rule/lines.h"

#include "funcapi.h"
#include "miscadmin.h"

/* The rule and payer of lines that say something. */
typedef struct Saying
{
	uint32		rule;
	uint32		payer;
	bool		retier;
} Saying;

/*
 * Tells whether a line is the first of its rule and payer that says something,
 * and notes it.  The lines of a rule mostly stand together, so the latest are
 * looked at first.
 */
static bool
is_first_to_say(const SettleLineData *line, Saying *sayings, int *nsayings)
{
	if (!line->in_tally && settle_dec_sign(line->amount) == 0 && settle_dec_sign(line->base) == 0)
		return false;
	for (int i = *nsayings; i-- > 0;)
		if (sayings[i].rule == line->rule && sayings[i].payer == line->payer && sayings[i].retier == line->retier)
			return false;
	sayings[(*nsayings)++] = (Saying) {line->rule, line->payer, line->retier};
	return true;
}

/*
 * settle._line_figures(lines settle.lines) returns setof (rule_id, retier,
 * payer_id, payee_id, owner_id, tickets, hits, amount)
 *
 * Returns the packed lines of a sheet.  hits is 1 on the first line of each rule
 * and payer that says something, else 0: their sum is how many there are.
 */
PG_FUNCTION_INFO_V1(settle_line_figures);
Datum
settle_line_figures(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleLinesReader r;
	SettleLineData line;
	Saying	   *sayings;
	int			nsayings = 0;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	settle_lines_open(&r, DatumGetSettleLines(PG_GETARG_DATUM(0)));
	if (!r.packed)
		elog(ERROR, "lines of a sheet are packed");
	sayings = palloc(sizeof(Saying) * Max(r.nlines, 1));
	while (settle_lines_next(&r, &line))
	{
		Datum		values[8];
		bool		nulls[8] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(line.rule);
		values[1] = BoolGetDatum(line.retier);
		values[2] = Int32GetDatum(line.payer);
		values[3] = Int32GetDatum(line.payee);
		nulls[4] = !line.in_tally;
		values[4] = Int32GetDatum(line.owner);
		values[5] = Int32GetDatum(line.count);
		values[6] = Int32GetDatum(is_first_to_say(&line, sayings, &nsayings));
		values[7] = NumericGetDatum(settle_dec_to_numeric(line.amount));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
