/*
 * fx.c
 *		What a correction is worth at the rate of the day on which it is posted.
 *
 * A rule that converts prices a ticket with the rate of the ticket's own time,
 * whenever it is corrected.  Where the book names an fx_party, the difference d
 * that a correction makes in such a rule, r0 the ticket's rate and r1 today's,
 * is followed by one line of d * (r1 - r0) / r0 between the rule's payer and
 * that party.  It stands on no ticket, so that a ticket's lines stay a function
 * of the ticket, and is never priced again.
 *
 * r0 is read from the inputs that sheets keep, since a row of <book>.rate may
 * have been mended since.
 */
#include "settle/post.h"

#include "fmgr.h"
#include "rule/inputs.h"
#include "utils/builtins.h"

/* The rates of one line: of the ticket's own time, and of now. */
typedef struct Rates
{
	const char *from;
	SettleDec	own;
	SettleDec	now;
} Rates;

/*
 * Finds the rate between two units among kept inputs.
 */
static bool
rate_of_inputs(const bytea *inputs, const char *from, const char *to, SettleDec *rate)
{
	return inputs != NULL && settle_inputs_rate(inputs, psprintf("%s/%s", from, to), rate);
}

/*
 * Tells whether a line of the ticket, as it is or as it was posted, converts.
 */
static bool
converts(const RunTicket *ticket, const RunLine *line)
{
	const SettleRuleDef *def = line->rule->def;

	return def->unit != NULL && !def->remainder && settle_is_currency(def->unit) &&
		(strcmp(ticket->posted->currency, line->unit) != 0 || (ticket->nlines > 0 && strcmp(ticket->currency, line->unit) != 0));
}

/*
 * Finds the rates of a line: its own is that of the ticket as it is, or, where
 * nothing is converted any more, that of the ticket as it was posted.  Makes
 * the ticket a problem where one is missing.
 */
static bool
find_rates(Run *run, RunTicket *ticket, const RunLine *line, Rates *rates)
{
	Datum		value;
	bool		is_kept;

	rates->from = ticket->currency;
	is_kept = ticket->nlines > 0 && rate_of_inputs(ticket->inputs, ticket->currency, line->unit, &rates->own);
	if (!is_kept)
	{
		rates->from = ticket->posted->currency;
		is_kept = rate_of_inputs(ticket->posted->inputs, rates->from, line->unit, &rates->own);
	}
	if (is_kept && run->reader.rate(run->reader.arg, rates->from, line->unit, run->now, &value))
	{
		rates->now = settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(value)));
		return true;
	}
	ticket->state = TICKET_FAILED;
	ticket->failing = line->rule->def->code;
	ticket->error = palloc0(sizeof(ErrorData));
	ticket->error->sqlerrcode = ERRCODE_SETTLE_NO_RATE;
	ticket->error->message = is_kept
		? psprintf("no rate from \"%s\" to \"%s\" at %s, when its correction is posted", rates->from, line->unit,
				   DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(run->now))))
		: psprintf("the rate from \"%s\" to \"%s\" that it was settled with is not kept", rates->from, line->unit);
	ticket->error->hint = is_kept ? "Add one with settle.set_rate." : "Without fx_party of the book its correction needs none.";
	return false;
}

/*
 * Makes problems of the tickets whose correction has no rate: nothing of it is
 * posted then.
 */
void
settle_check_fx(Run *run, RunSource *source)
{
	if (run->fx_party == NULL)
		return;
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];
		Rates		rates;

		if (ticket->posted == NULL || ticket->hold == HOLD_HELD || ticket->state == TICKET_FAILED ||
			ticket->state == TICKET_REPEATED || ticket->state == TICKET_AGAIN ||
			(ticket->state == TICKET_VANISHED && (source->on_delete != 'r' || run->hold_vanished)))
			continue;
		for (int k = 0; k < ticket->nlines && ticket->state != TICKET_FAILED; k++)
			if (converts(ticket, &ticket->lines[k]) && settle_posted_same(ticket, &ticket->lines[k]) == NULL)
				(void) find_rates(run, ticket, &ticket->lines[k], &rates);
		for (int k = 0; k < ticket->posted->nlines && ticket->state != TICKET_FAILED; k++)
			if (converts(ticket, &ticket->posted->lines[k]) && !settle_stays(ticket, &ticket->posted->lines[k]))
				(void) find_rates(run, ticket, &ticket->posted->lines[k], &rates);
	}
}

/*
 * Adds what the difference of one line makes to the lines of the draft: one
 * for each rule and payer, its base the difference itself.
 */
static void
add_difference(List **sums, const RunLine *line)
{
	ListCell   *lc;
	RunLine    *sum;

	foreach(lc, *sums)
	{
		sum = lfirst(lc);
		if (sum->rule_id == line->rule_id && sum->payer == line->payer && strcmp(sum->unit, line->unit) == 0)
		{
			sum->base = settle_dec_add(sum->base, line->amount);
			return;
		}
	}
	sum = palloc0(sizeof(RunLine));
	sum->rule = line->rule;
	sum->rule_id = line->rule_id;
	sum->payer = line->payer;
	sum->unit = line->unit;
	sum->base = line->amount;
	sum->quantity = settle_dec_int(0);
	sum->factor = settle_dec_int(1);
	*sums = lappend(*sums, sum);
}

/*
 * Drafts what the correction of a ticket, which the drafts from "first" on
 * make, is worth at today's rates.
 */
void
settle_draft_fx(Run *run, Drafts *drafts, RunSource *source, RunTicket *ticket, int first)
{
	List	   *sums = NIL;
	ListCell   *lc;
	Draft	   *draft = NULL;
	StringInfoData was;
	StringInfoData is;

	if (run->fx_party == NULL || ticket->posted == NULL || (run->plan != NULL && settle_plan_simulates(run)))
		return;
	for (int i = first; i < drafts->n; i++)
		for (int k = 0; k < drafts->items[i].nlines; k++)
			if (converts(ticket, &drafts->items[i].lines[k]))
				add_difference(&sums, &drafts->items[i].lines[k]);
	foreach(lc, sums)
	{
		RunLine    *line = lfirst(lc);
		Rates		rates;

		if (settle_dec_sign(line->base) == 0 || !find_rates(run, ticket, line, &rates))
			continue;
		line->payee = settle_number_party(run, run->fx_party);
		line->amount = settle_ratio_round((SettleRatio) {settle_dec_mul(line->base, settle_dec_sub(rates.now, rates.own)), rates.own},
										  settle_rule_rounding(source->set, line->rule, line->unit));
		if (settle_dec_sign(line->amount) == 0 || line->payer == line->payee)
			continue;
		if (draft == NULL)
		{
			draft = settle_new_draft(drafts);
			draft->key = settle_fx_key(source, ticket->key);
			draft->ticket_time = run->now;
			draft->own_period = ticket->posted->period;
			draft->currency = ticket->posted->currency;
			draft->revenue = draft->cost = settle_dec_int(0);
			initStringInfo(&was);
			initStringInfo(&is);
		}
		appendStringInfo(&was, "%s\"%s/%s\":%s", was.len > 0 ? "," : "", rates.from, line->unit, settle_dec_out(rates.own));
		appendStringInfo(&is, "%s\"%s/%s\":%s", is.len > 0 ? "," : "", rates.from, line->unit, settle_dec_out(rates.now));
		settle_add_draft_line(draft, line);
	}
	if (draft == NULL)
		return;
	draft->payout = settle_payout_of(run, NULL, draft->lines, draft->nlines, draft->currency);
	draft->inputs = settle_inputs_of_text(psprintf("{\"own\":{%s},\"now\":{%s}}", was.data, is.data));
	if (run->plan == NULL)
		draft->revision = settle_next_revision(run, draft->key);
}
