/*
 * explain.c
 *		settle.explain: the steps of one ticket, by the engine that priced it.
 *
 * The ticket is read and evaluated again with a trace; nothing is written.  A
 * line that adds to a tally is shown with the amount it was posted with, or,
 * where it is not posted, with what it would be on top of the tally now.  What
 * stands in the book for the ticket is told by account.c.
 */
#include "settle/explain.h"

#include "access/xact.h"
#include "expr/expr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

/* ---- rows of the result ---- */

static void
step_text(Explanation *e, int column, const char *value)
{
	e->values[column] = CStringGetTextDatum(value);
	e->nulls[column] = false;
}

static void
step_dec(Explanation *e, int column, SettleDec value)
{
	e->values[column] = NumericGetDatum(settle_dec_to_numeric(value));
	e->nulls[column] = false;
}

void
settle_begin_step(Explanation *e, const char *kind, const char *name, const char *detail)
{
	memset(e->nulls, true, sizeof(e->nulls));
	e->values[EXPLAIN_STEP] = Int32GetDatum(++e->steps);
	e->nulls[EXPLAIN_STEP] = false;
	step_text(e, EXPLAIN_KIND, kind);
	step_text(e, EXPLAIN_NAME, name);
	if (detail != NULL)
		step_text(e, EXPLAIN_DETAIL, detail);
}

void
settle_end_step(Explanation *e)
{
	tuplestore_putvalues(e->store, e->desc, e->values, e->nulls);
}

static void
show_value(Explanation *e, const char *name, const char *value)
{
	settle_begin_step(e, "ticket", name, value);
	settle_end_step(e);
}

static void
show_money(Explanation *e, const char *name, SettleDec amount, const char *currency, const char *detail)
{
	settle_begin_step(e, "ticket", name, detail);
	step_dec(e, EXPLAIN_AMOUNT, amount);
	step_text(e, EXPLAIN_UNIT, currency);
	settle_end_step(e);
}

static const char *
instant_text(TimestampTz at)
{
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(at)));
}

static const char *
path_text(SettleSet *set, struct varlena *path)
{
	Oid			out;
	bool		is_varlena;

	if (path == NULL)
		return "none";
	getTypeOutputInfo(settle_set_path_type(set), &out, &is_varlena);
	return OidOutputFunctionCall(out, PointerGetDatum(path));
}

/*
 * Says a tier's price as its scale does: a percentage or an amount each.
 */
static const char *
rate_text(const SettleRule *rule, SettleDec rate)
{
	if (settle_dec_cmp(rate, settle_dec_int(1)) <= 0 && strchr(settle_tiers_out_text(rule->def->tiers), '%') != NULL)
		return psprintf("%s%%", settle_dec_out(settle_dec_trim(settle_dec_mul(rate, settle_dec_int(100)))));
	return psprintf("%s each", settle_dec_out(settle_dec_trim(rate)));
}

static void
show_step(Explanation *e, const SettleRule *rule, const SettleFeeStep *step, const char *of, SettleDec quantity, SettleDec fee)
{
	if (settle_dec_sign(quantity) == 0 && settle_dec_sign(fee) == 0)
		return;
	settle_begin_step(e, "tier", step->step == 0 ? "bounds" : psprintf("step %d", step->step),
					  step->step == 0 ? "what min or max adds or takes"
					  : psprintf("%sfrom %s %s at %s%s", of, settle_dec_out(settle_dec_trim(step->lower)),
								 step->open ? "on" : psprintf("to %s", settle_dec_out(settle_dec_trim(step->upper))), rate_text(rule, step->rate),
								 settle_dec_sign(step->flat) == 0 ? "" : psprintf(" and %s flat", settle_dec_out(settle_dec_trim(step->flat)))));
	step_dec(e, EXPLAIN_BASE, settle_dec_trim(quantity));
	step_dec(e, EXPLAIN_AMOUNT, settle_dec_trim(fee));
	settle_end_step(e);
}

static const SettleFeeStep *
same_step(const SettleFeeStep *step, const SettleFeeStep *steps, int n)
{
	for (int i = 0; i < n; i++)
		if (steps[i].step == step->step)
			return &steps[i];
	return NULL;
}

/*
 * Shows how a stretch of quantity, from one total to another, falls into tiers.
 * What the lower total had and the higher has not, as a volume tier that was
 * left or a minimum that was reached, is taken back.
 */
static void
show_tiers(Explanation *e, const SettleRule *rule, SettleDec from, SettleDec to, const char *of)
{
	SettleFeeStep *before = NULL;
	SettleFeeStep *after;
	int			nbefore = settle_dec_sign(from) == 0 ? 0 : settle_price_steps(rule->pricer, from, &before);
	int			nafter = settle_price_steps(rule->pricer, to, &after);

	for (int i = 0; i < nafter; i++)
	{
		const SettleFeeStep *was = same_step(&after[i], before, nbefore);

		show_step(e, rule, &after[i], of,
				  was == NULL ? after[i].quantity : settle_dec_sub(after[i].quantity, was->quantity),
				  was == NULL ? after[i].fee : settle_dec_sub(after[i].fee, was->fee));
	}
	for (int i = 0; i < nbefore; i++)
		if (same_step(&before[i], after, nafter) == NULL)
			show_step(e, rule, &before[i], of, settle_dec_neg(before[i].quantity), settle_dec_neg(before[i].fee));
}

/*
 * Shows what multiplies a line.
 */
static void
show_factors(Explanation *e, SettleSet *set, const SettleRule *rule)
{
	SettleFactor *factors;
	int			n = settle_rule_factors(set, rule, &factors);

	for (int i = 0; i < n; i++)
	{
		settle_begin_step(e, "factor", factors[i].decision, psprintf("by %s", factors[i].reason));
		step_dec(e, EXPLAIN_FACTOR, factors[i].value);
		settle_end_step(e);
	}
}

/*
 * Shows what something adds to an amount, or takes from it; nothing where it
 * does neither.
 */
static void
show_change(Explanation *e, const char *kind, const char *name, SettleDec change, const char *unit, const char *detail)
{
	if (settle_dec_sign(change) == 0)
		return;
	settle_begin_step(e, kind, name, detail);
	step_dec(e, EXPLAIN_AMOUNT, settle_dec_trim(change));
	step_text(e, EXPLAIN_UNIT, unit);
	settle_end_step(e);
}

/*
 * Shows a line itself.
 */
static void
show_line(Explanation *e, const SettleLine *line, int part, int nparts)
{
	const SettleRuleDef *def = line->rule->def;
	SettleDec	rate;
	bool		whole = settle_pricer_is_rate(line->rule->pricer, &rate) && settle_dec_cmp(rate, settle_dec_int(1)) == 0;

	settle_begin_step(e, "line", def->component,
					  psprintf("rule %s%s%s: %s%s%s%s", def->code, def->title != NULL ? ", " : "", def->title != NULL ? def->title : "",
							   def->remainder ? "the remainder" : def->base,
							   whole ? "" : " at ", whole ? "" : settle_tiers_out_text(def->tiers),
							   nparts > 1 ? psprintf(", part %d of %d", part, nparts) : ""));
	step_text(e, EXPLAIN_PAYER, line->payer->code);
	step_text(e, EXPLAIN_PAYEE, line->payee->code);
	step_dec(e, EXPLAIN_BASE, line->base);
	step_dec(e, EXPLAIN_FACTOR, line->factor);
	step_dec(e, EXPLAIN_AMOUNT, line->amount);
	step_text(e, EXPLAIN_UNIT, line->unit);
	settle_end_step(e);
}

/*
 * Shows how the amount of a line came about.  The tiers, or else the base,
 * times the factor, and what follows, sum to the line.
 */
static void
show_price(Explanation *e, SettleSet *set, const SettleLine *line, SettleDec whole, int nparts)
{
	const SettleRuleDef *def = line->rule->def;
	SettleLinePrice price = settle_line_price(set, line);
	SettleDec	rate;
	SettleDec	free = settle_price_free(line->rule->pricer, line->base);

	if (settle_dec_sign(free) != 0)
	{
		settle_begin_step(e, "free", "allowance", "is not charged");
		step_dec(e, EXPLAIN_BASE, settle_dec_trim(free));
		settle_end_step(e);
	}
	if (!settle_pricer_is_rate(line->rule->pricer, &rate) || settle_dec_cmp(rate, settle_dec_int(1)) != 0)
		show_tiers(e, line->rule, settle_dec_int(0), line->base, "");
	show_factors(e, set, line->rule);
	if (price.bound != NULL)
		show_change(e, "bound", price.bound, settle_dec_sub(price.exact, price.unbounded), line->unit,
					psprintf("%s instead of %s", settle_dec_out(settle_dec_trim(price.exact)), settle_dec_out(settle_dec_trim(price.unbounded))));
	/* a base that was divided is priced part by part */
	if (nparts > 1 && def->share == SETTLE_SHARE_BASE)
		whole = line->amount;
	show_change(e, "rounding", def->rounding, settle_dec_sub(whole, price.exact), line->unit, psprintf("of %s", settle_dec_out(settle_dec_trim(price.exact))));
	show_change(e, "division", line->payee->code, settle_dec_sub(line->amount, whole), line->unit,
				psprintf("%s of %s, divided among %d", settle_dec_out(line->amount), settle_dec_out(whole), nparts));
}

/* What the book holds of the tally that a line adds to, and of the line itself. */
typedef struct TallyNow
{
	SettleTallyPart *parts;
	int			version;		/* of the line's rule */
	int64		tickets;
	SettleDec	total;
	SettleDec	weighted;
	SettleDec	amount;
	bool		is_posted;		/* the line is, once, at arrived */
	SettleDec	posted_amount;
	SettleTallyPart *before;	/* the parts when it arrived, or would; NULL where that is not known */
} TallyNow;

static SettleDec
spi_dec(int row, int column, bool *isnull)
{
	Datum		value = settle_spi_datum(row, column, isnull);

	return *isnull ? settle_dec_int(0) : settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(value)));
}

/*
 * Reads the tally's state, what the line was posted with, and, where the
 * ticket was settled once, what had arrived before it.
 */
static TallyNow
read_tally(Run *run, RunSource *source, SettleLine *line, const char *key)
{
	const SettleRuleCode *code = line->rule->code;
	Oid			types[] = {TEXTOID, TEXTOID, DATEOID, TEXTOID, INT2OID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(code->code), CStringGetTextDatum(line->owner->code), DateADTGetDatum(line->tally_period),
		CStringGetTextDatum(line->unit), Int16GetDatum(source->id), CStringGetTextDatum(key)
	};
	TallyNow	now = {.parts = palloc0(sizeof(SettleTallyPart) * code->nversions)};
	bool		isnull;
	uint64		n;

	if (line->rule->def->clock == SETTLE_CLOCK_POSTING)
	{
		/* its tally is that of the run that posted it, or of one that would now */
		settle_book_execute(psprintf("SELECT max(l.tally_period) FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
									 "JOIN %1$s.rule AS r ON r.rule_id = l.rule_id JOIN %1$s.party AS p ON p.party_id = l.owner_id "
									 "WHERE s.source_id = $5 AND s.ticket_key = $6 AND r.code = $1 AND p.party = $2", run->book.name),
							6, types, values, NULL, SPI_OK_SELECT);
		values[2] = settle_spi_datum(0, 1, &isnull);
		line->tally_period = isnull ? settle_span_start(line->rule->def->accumulate, run->now) : DatumGetDateADT(values[2]);
		values[2] = DateADTGetDatum(line->tally_period);
	}
	now.total = now.weighted = now.amount = settle_dec_int(0);
	for (int v = 0; v < code->nversions; v++)
	{
		now.parts[v].pricer = code->versions[v]->pricer;
		now.parts[v].quantity = now.parts[v].weighted = settle_dec_int(0);
		if (code->versions[v] == line->rule)
			now.version = v;
	}
	n = settle_book_execute(psprintf("SELECT t.rule_id, t.count, t.quantity, t.weighted, t.amount FROM %1$s.tally_state AS t "
									 "JOIN %1$s.rule AS r ON r.rule_id = t.rule_id JOIN %1$s.party AS p ON p.party_id = t.owner_id "
									 "WHERE r.code = $1 AND p.party = $2 AND t.period = $3 AND t.unit = $4", run->book.name),
							4, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < n; row++)
	{
		int			id = DatumGetInt32(settle_spi_datum((int) row, 1, &isnull));

		for (int v = 0; v < code->nversions; v++)
			if (source->rule_ids[code->versions[v]->ordinal] == id)
			{
				now.parts[v].count = DatumGetInt64(settle_spi_datum((int) row, 2, &isnull));
				now.parts[v].quantity = spi_dec((int) row, 3, &isnull);
				now.parts[v].weighted = spi_dec((int) row, 4, &isnull);
				now.tickets += now.parts[v].count;
				now.total = settle_dec_add(now.total, now.parts[v].quantity);
				now.weighted = settle_dec_add(now.weighted, now.parts[v].weighted);
				now.amount = settle_dec_add(now.amount, spi_dec((int) row, 5, &isnull));
			}
	}

	settle_book_execute(psprintf("SELECT sum(l.amount), count(*), min(s.sheet_id) FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
								 "JOIN %1$s.rule AS r ON r.rule_id = l.rule_id JOIN %1$s.party AS p ON p.party_id = l.owner_id "
								 "WHERE s.source_id = $5 AND s.ticket_key = $6 AND r.code = $1 AND p.party = $2 AND (l.tally_period = $3 OR r.clock = 'posting') "
								 "AND coalesce(r.unit, s.currency) = $4", run->book.name),
						6, types, values, NULL, SPI_OK_SELECT);
	now.posted_amount = spi_dec(0, 1, &isnull);
	now.is_posted = !isnull;
	if (now.is_posted && DatumGetInt64(settle_spi_datum(0, 2, &isnull)) == 1 && code->nversions == 1 && line->owner == line->payee)
	{
		Oid			before_types[] = {TEXTOID, TEXTOID, DATEOID, TEXTOID, INT8OID};
		Datum		before_values[] = {values[0], values[1], values[2], values[3], settle_spi_datum(0, 3, &isnull)};

		/* sheets are numbered in the order of arrival; a party that is on most of them keeps no list */
		settle_book_execute(psprintf("SELECT sum(l.quantity), sum(l.base * l.factor), sum(l.count), (SELECT bool_and(d.sheets IS NOT NULL) FROM %1$s.party_sum AS d WHERE d.party_id = (SELECT p.party_id FROM %1$s.party AS p WHERE p.party = $2)) "
									 "FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
									 "JOIN %1$s.rule AS r ON r.rule_id = l.rule_id JOIN %1$s.party AS p ON p.party_id = l.owner_id "
									 "WHERE s.sheet_id < $5 AND s.sheet_id IN (SELECT pg_catalog.unnest(d.sheets) FROM %1$s.party_sum AS d "
									 "WHERE d.party_id = (SELECT p.party_id FROM %1$s.party AS p WHERE p.party = $2)) "
									 "AND r.code = $1 AND p.party = $2 AND l.tally_period = $3 AND coalesce(r.unit, s.currency) = $4", run->book.name),
							5, before_types, before_values, NULL, SPI_OK_SELECT);
		if (DatumGetBool(settle_spi_datum(0, 4, &isnull)) && !isnull)
		{
			now.before = palloc0(sizeof(SettleTallyPart));
			now.before->pricer = now.parts[0].pricer;
			now.before->quantity = spi_dec(0, 1, &isnull);
			now.before->weighted = spi_dec(0, 2, &isnull);
			now.before->count = isnull ? 0 : DatumGetInt64(settle_spi_datum(0, 3, &isnull));
		}
	}
	return now;
}

/*
 * Shows a state of a tally: how much is in it, and what it owes.
 */
static void
show_state(Explanation *e, const char *kind, const SettleLine *line, const SettleTallyPart *parts, const SettleRounding *rounding)
{
	const SettleRuleCode *code = line->rule->code;
	SettleDec	total = settle_dec_int(0);
	int64		tickets = 0;

	for (int v = 0; v < code->nversions; v++)
	{
		total = settle_dec_add(total, parts[v].quantity);
		tickets += parts[v].count;
	}
	settle_begin_step(e, kind, code->code, psprintf("%lld tickets in the tally of %s", (long long) tickets, line->owner->code));
	step_dec(e, EXPLAIN_BASE, settle_dec_trim(total));
	step_dec(e, EXPLAIN_AMOUNT, settle_ratio_round(settle_tally_fee(parts, code->nversions), rounding));
	step_text(e, EXPLAIN_UNIT, line->unit);
	settle_end_step(e);
}

/*
 * Shows how a line came about on top of a tally: the tally before, the tiers
 * that the line fell into, what multiplies and rounds it, the tally after.
 */
static void
show_arrival(Explanation *e, SettleSet *set, const SettleLine *line, SettleTallyPart *parts, int version, const SettleRounding *rounding)
{
	const SettleRule *rule = line->rule;
	SettleDec	before = settle_dec_int(0);
	SettleDec	after;
	SettleDec	marginal;
	SettleDec	amount;

	for (int v = 0; v <= version; v++)
		before = settle_dec_add(before, parts[v].quantity);
	after = settle_dec_add(before, line->quantity);
	show_state(e, "before", line, parts, rounding);
	if (rule->def->measure == NULL)
	{
		bool		first = parts[version].count == 0 && settle_dec_sign(before) == 0;

		show_tiers(e, rule, before, after, settle_dec_sign(before) == 0 ? "" : psprintf("on top of %s: ", settle_dec_out(settle_dec_trim(before))));
		marginal = settle_dec_sub(settle_price(rule->pricer, after), first ? settle_dec_int(0) : settle_price(rule->pricer, before));
	}
	else
	{
		SettleDec	rate = settle_price_rate(rule->pricer, after);

		marginal = settle_dec_mul(rate, line->base);
		settle_begin_step(e, "tier", "rate", psprintf("at %s, that of %s, the measure reaches", rate_text(rule, rate), settle_dec_out(settle_dec_trim(after))));
		step_dec(e, EXPLAIN_BASE, settle_dec_trim(line->base));
		step_dec(e, EXPLAIN_AMOUNT, settle_dec_trim(marginal));
		settle_end_step(e);
	}
	show_factors(e, set, rule);
	marginal = settle_dec_mul(marginal, line->factor);
	amount = settle_tally_arrive(parts, rule->code->nversions, version, line->quantity, line->base, line->factor, 1, rounding);
	show_change(e, "rounding", rule->def->rounding, settle_dec_sub(amount, marginal), line->unit,
				psprintf("of %s, where it stands in the tally", settle_dec_out(settle_dec_trim(marginal))));
	show_change(e, "since", rule->code->code, settle_dec_sub(line->amount, amount), line->unit, "what was posted since then");
	show_state(e, "after", line, parts, rounding);
}

/*
 * Shows a line that adds to a tally, and where the tally stands.
 */
static void
show_tally(Explanation *e, Run *run, RunSource *source, SettleLine *line, const char *key, int part, int nparts)
{
	const SettleRuleCode *code = line->rule->code;
	const SettleRounding *rounding = settle_rule_rounding(source->set, line->rule, line->unit);
	TallyNow	now = read_tally(run, source, line, key);
	char		period[MAXDATELEN + 1];
	Size		size = sizeof(SettleTallyPart) * code->nversions;

	/* rounding shows the digits of the unit */
	if (now.is_posted)
		line->amount = settle_round(now.posted_amount, rounding);
	else
	{
		now.before = memcpy(palloc(size), now.parts, size);
		line->amount = settle_tally_arrive(now.parts, code->nversions, now.version, line->quantity, line->base, line->factor, 1, rounding);
	}
	show_line(e, line, part, nparts);
	if (now.before != NULL)
		show_arrival(e, source->set, line, now.before, now.version, rounding);

	if (DATE_NOT_FINITE(line->tally_period))
		strcpy(period, "the beginning");
	else
		JsonEncodeDateTime(period, DateADTGetDatum(line->tally_period), DATEOID, NULL);
	settle_begin_step(e, "tally", code->code, psprintf("%s from %s: %lld tickets; its lines sum to what it owes", line->owner->code, period, (long long) now.tickets));
	step_dec(e, EXPLAIN_BASE, now.total);
	if (settle_dec_sign(now.total) > 0)
		step_dec(e, EXPLAIN_FACTOR, settle_dec_trim(settle_ratio_dec((SettleRatio) {now.weighted, now.total})));
	step_dec(e, EXPLAIN_AMOUNT, settle_round(now.amount, rounding));
	step_text(e, EXPLAIN_UNIT, line->unit);
	settle_end_step(e);
	show_tiers(e, line->rule, settle_dec_int(0), now.total, "of the tally: ");
}

/*
 * Shows decisions and rules in the order in which they were looked at; lines
 * only where the ticket was priced to its end.
 */
static void
show_trace(Explanation *e, Run *run, RunSource *source, const char *key, const List *trace, SettleTicket *ticket)
{
	ListCell   *lc;

	foreach(lc, trace)
	{
		SettleStep *step = lfirst(lc);

		switch (step->kind)
		{
			case SETTLE_STEP_DECISION:
				settle_begin_step(e, "decision", step->name, psprintf("%s, by %s", step->value, step->detail));
				settle_end_step(e);
				break;
			case SETTLE_STEP_FACT:
				settle_begin_step(e, "fact", step->name, psprintf("%s, of %s", step->value == NULL ? "null" : step->value, step->detail == NULL ? "no key" : step->detail));
				settle_end_step(e);
				break;
			case SETTLE_STEP_RATE:
				settle_begin_step(e, "rate", step->name, psprintf("in force at %s", step->detail));
				step_dec(e, EXPLAIN_FACTOR, settle_dec_in(step->value, strlen(step->value)));
				settle_end_step(e);
				break;
			case SETTLE_STEP_OVERRIDDEN:
				settle_begin_step(e, "overridden", step->name, psprintf("by rule %s", step->detail));
				settle_end_step(e);
				break;
			case SETTLE_STEP_BEATEN:
				settle_begin_step(e, "beaten", step->name, psprintf("in its choice, by rule %s", step->detail));
				settle_end_step(e);
				break;
			case SETTLE_STEP_PACK_BEATEN:
				settle_begin_step(e, "beaten", step->name, psprintf("its pack %s, in its choice, by pack %s", step->value, step->detail));
				settle_end_step(e);
				break;
			case SETTLE_STEP_APPLIED:
				{
					SettleDec	whole = settle_dec_int(0);

					for (int i = 0; i < step->nlines && ticket != NULL; i++)
						whole = settle_dec_add(whole, ticket->lines[step->first_line + i].amount);
					for (int i = 0; i < step->nlines && ticket != NULL; i++)
					{
						SettleLine *line = &ticket->lines[step->first_line + i];

						if (line->owner != NULL)
							show_tally(e, run, source, line, key, i + 1, step->nlines);
						else
						{
							show_line(e, line, i + 1, step->nlines);
							show_price(e, source->set, line, whole, step->nlines);
						}
					}
					break;
				}
		}
	}
}

/*
 * Evaluates the ticket in the slot.  Returns the error that it is a problem
 * for, NULL where it was priced.
 */
static ErrorData *
evaluate(Run *run, RunSource *source, SettleTicket *ticket, List **trace)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (!settle_evaluate_ticket(source->set, run->now, true, ticket, trace))
			elog(ERROR, "a ticket that is always evaluated was not");
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!settle_is_error_of_ticket(error->sqlerrcode))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Explains the ticket in the slot of its source.
 */
static void
explain_row(Explanation *e, Run *run, RunSource *source, const char *key)
{
	SettleTicket ticket;
	List	   *trace = NIL;
	ErrorData  *error = evaluate(run, source, &ticket, &trace);

	if (error != NULL)
	{
		const char *failing = settle_set_failing(source->set);

		settle_begin_step(e, "problem", failing == NULL ? source->name : failing,
						  psprintf("%s%s%s%s%s", error->message, error->detail == NULL ? "" : ": ", error->detail == NULL ? "" : error->detail,
								   error->hint == NULL ? "" : ". ", error->hint == NULL ? "" : error->hint));
		settle_end_step(e);
		show_trace(e, run, source, key, trace, NULL);
		return;
	}
	show_value(e, "ready at", ticket.has_ready_at ? instant_text(ticket.ready_at) : "not ready");
	show_value(e, "rules of", instant_text(ticket.rules_at));
	show_value(e, "project", path_text(source->set, ticket.project));
	show_value(e, "region", path_text(source->set, ticket.region));
	if (ticket.channel != NULL)
		show_value(e, "channel", TextDatumGetCString(PointerGetDatum(ticket.channel)));
	if (ticket.rework_of != NULL)
		show_value(e, "rework of", ticket.rework_of);
	if (ticket.duplicate_of != NULL)
		show_value(e, "duplicate of", ticket.duplicate_of);
	show_money(e, "revenue", ticket.revenue, ticket.currency, "what the source says, tax inside");
	show_money(e, "cost", ticket.cost, ticket.currency, NULL);
	show_trace(e, run, source, key, trace, &ticket);
}

/*
 * Explains a ticket of one source, or of the one that knows it where name is NULL.
 */
static void
explain(FunctionCallInfo fcinfo, const char *name, const char *key)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book;
	SettleIdentity identity;
	Run			run;
	RunSource  *source;
	Explanation e = {0};
	bool		has_row;
	bool		has_sheets;

	InitMaterializedSRF(fcinfo, 0);
	e.store = rsinfo->setResult;
	e.desc = rsinfo->setDesc;
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_begin_run(&run, &book, false);
	source = name == NULL ? settle_source_of_key(&run, key) : settle_find_source(&run, name);
	run.sources[0] = source;
	run.nsources = 1;
	settle_compile_source(&run, source);
	settle_number_rules(&run);
	has_sheets = settle_has_sheets(&run, source, key);
	has_row = settle_fetch_row(&run, source, key);
	if (!has_row && !has_sheets)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("source \"%s\" has no ticket \"%s\"", source->name, key)));
	settle_explain_states(&e, &run, source, key, has_row);
	/* what was asked since has left the row where it is: in the slot */
	if (has_row)
		explain_row(&e, &run, source, key);
	settle_explain_posted(&e, &run, source, key);
	settle_release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
}

/*
 * settle.explain(book regnamespace, source name, key text) returns setof
 *				  (step, kind, name, payer, payee, base, factor, amount, unit, detail)
 *
 * Returns the steps that give the lines of one ticket, and what stands in the
 * book for it.
 */
PG_FUNCTION_INFO_V1(settle_explain);
Datum
settle_explain(PG_FUNCTION_ARGS)
{
	explain(fcinfo, NameStr(*PG_GETARG_NAME(1)), text_to_cstring(PG_GETARG_TEXT_PP(2)));
	return (Datum) 0;
}

/*
 * settle.explain(book regnamespace, ticket_key text)
 *
 * The same for the source that knows the key.
 */
PG_FUNCTION_INFO_V1(settle_explain_key);
Datum
settle_explain_key(PG_FUNCTION_ARGS)
{
	explain(fcinfo, NULL, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	return (Datum) 0;
}
