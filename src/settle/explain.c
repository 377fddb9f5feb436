/*
 * explain.c
 *		settle.explain: the steps of one ticket, by the engine that priced it.
 *
 * The ticket is read and evaluated again with a trace; nothing is written.  A
 * line that adds to a tally is shown with the amount it was posted with, or,
 * where it is not posted, with what it would be on top of the tally now.
 */
#include "settle/settle.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* Columns of the result. */
enum
{
	COL_STEP, COL_KIND, COL_NAME, COL_PAYER, COL_PAYEE, COL_BASE, COL_FACTOR, COL_AMOUNT, COL_UNIT, COL_DETAIL, NCOLUMNS
};

typedef struct Explanation
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int			steps;
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];
} Explanation;

static void
begin_step(Explanation *e, const char *kind, const char *name, const char *detail)
{
	memset(e->nulls, true, sizeof(e->nulls));
	e->values[COL_STEP] = Int32GetDatum(++e->steps);
	e->values[COL_KIND] = CStringGetTextDatum(kind);
	e->values[COL_NAME] = CStringGetTextDatum(name);
	e->nulls[COL_STEP] = e->nulls[COL_KIND] = e->nulls[COL_NAME] = false;
	if (detail != NULL)
	{
		e->values[COL_DETAIL] = CStringGetTextDatum(detail);
		e->nulls[COL_DETAIL] = false;
	}
}

static void
set_text(Explanation *e, int column, const char *value)
{
	e->values[column] = CStringGetTextDatum(value);
	e->nulls[column] = false;
}

static void
set_dec(Explanation *e, int column, SettleDec value)
{
	e->values[column] = NumericGetDatum(settle_dec_to_numeric(value));
	e->nulls[column] = false;
}

static void
end_step(Explanation *e)
{
	tuplestore_putvalues(e->store, e->desc, e->values, e->nulls);
}

static void
show_value(Explanation *e, const char *name, const char *value)
{
	begin_step(e, "ticket", name, value);
	end_step(e);
}

static const char *
instant_text(TimestampTz at)
{
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(at)));
}

static const char *
path_text(struct varlena *path)
{
	StringInfoData text;
	StringInfoData binary;

	if (path == NULL)
		return "none";
	/* the copy format holds the path's text */
	initStringInfo(&binary);
	settle_copy_ltree(&binary, path);
	initStringInfo(&text);
	appendBinaryStringInfo(&text, binary.data + 5, binary.len - 5);
	return text.data;
}

/*
 * Shows a line: base, tiers, factor, amount.
 */
static void
show_line(Explanation *e, const SettleLine *line)
{
	const SettleRuleDef *def = line->rule->def;
	SettleFeeStep *steps;
	int			nsteps;
	SettleDec	rate;
	const char *tiers = settle_tiers_out_text(def->tiers);

	begin_step(e, "line", def->component,
			   psprintf("rule %s%s%s, %s%s", def->code, def->title != NULL ? " " : "", def->title != NULL ? def->title : "", tiers,
						def->remainder ? ", the remainder" : ""));
	set_text(e, COL_PAYER, line->payer->code);
	set_text(e, COL_PAYEE, line->payee->code);
	set_dec(e, COL_BASE, line->base);
	set_dec(e, COL_FACTOR, line->factor);
	set_dec(e, COL_AMOUNT, line->amount);
	set_text(e, COL_UNIT, line->unit);
	end_step(e);

	if (line->owner != NULL || settle_pricer_is_rate(line->rule->pricer, &rate))
		return;
	nsteps = settle_price_steps(line->rule->pricer, line->base, &steps);
	for (int i = 0; i < nsteps; i++)
	{
		begin_step(e, "tier", psprintf("step %d", steps[i].step),
				   psprintf("from %s to %s at %s", settle_dec_out(settle_dec_trim(steps[i].lower)),
							steps[i].open ? "any" : settle_dec_out(settle_dec_trim(steps[i].upper)), settle_dec_out(settle_dec_trim(steps[i].rate))));
		set_dec(e, COL_BASE, steps[i].quantity);
		set_dec(e, COL_AMOUNT, steps[i].fee);
		end_step(e);
	}
}

/*
 * Shows the tally that a line adds to: where it stands along its tiers.
 */
static void
show_tally(Explanation *e, Run *run, RunSource *source, SettleLine *line, const char *key)
{
	const SettleRuleCode *code = line->rule->code;
	Oid			types[] = {TEXTOID, TEXTOID, DATEOID, TEXTOID, INT2OID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(code->code), CStringGetTextDatum(line->owner->code), DateADTGetDatum(line->tally_period),
		CStringGetTextDatum(line->unit), Int16GetDatum(source->id), CStringGetTextDatum(key)
	};
	SettleTallyPart *parts = palloc0(sizeof(SettleTallyPart) * code->nversions);
	SettleDec	total = settle_dec_int(0);
	SettleDec	posted = settle_dec_int(0);
	const SettleRounding *rounding = settle_rule_rounding(source->set, line->rule, line->unit);
	SettleFeeStep *steps;
	int			nsteps;
	int			version = 0;
	bool		isnull;
	char		period[MAXDATELEN + 1];
	uint64		n;

	for (int v = 0; v < code->nversions; v++)
	{
		parts[v].pricer = code->versions[v]->pricer;
		parts[v].quantity = parts[v].weighted = settle_dec_int(0);
		if (code->versions[v] == line->rule)
			version = v;
	}
	n = settle_book_execute(psprintf("SELECT t.rule_id, t.count, t.quantity, t.weighted, t.amount FROM %1$s.tally_state AS t JOIN %1$s.rule AS r ON r.rule_id OPERATOR(pg_catalog.=) t.rule_id "
									 "JOIN %1$s.party AS p ON p.party_id OPERATOR(pg_catalog.=) t.owner_id "
									 "WHERE r.code OPERATOR(pg_catalog.=) $1 AND p.party OPERATOR(pg_catalog.=) $2 AND t.period OPERATOR(pg_catalog.=) $3 AND t.unit OPERATOR(pg_catalog.=) $4", run->book.name),
							4, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < n; row++)
	{
		int			id = DatumGetInt32(settle_spi_datum((int) row, 1, &isnull));

		for (int v = 0; v < code->nversions; v++)
			if (source->rule_ids[code->versions[v]->ordinal] == id)
			{
				parts[v].count = DatumGetInt64(settle_spi_datum((int) row, 2, &isnull));
				parts[v].quantity = settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(settle_spi_datum((int) row, 3, &isnull))));
				parts[v].weighted = settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(settle_spi_datum((int) row, 4, &isnull))));
				posted = settle_dec_add(posted, settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(settle_spi_datum((int) row, 5, &isnull)))));
				total = settle_dec_add(total, parts[v].quantity);
			}
	}

	/* what the ticket's own line was posted with */
	n = settle_book_execute(psprintf("SELECT pg_catalog.sum(l.amount) FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
									 "JOIN %1$s.rule AS r ON r.rule_id OPERATOR(pg_catalog.=) l.rule_id JOIN %1$s.party AS p ON p.party_id OPERATOR(pg_catalog.=) l.owner_id "
									 "WHERE s.source_id OPERATOR(pg_catalog.=) $5 AND s.ticket_key OPERATOR(pg_catalog.=) $6 "
									 "AND r.code OPERATOR(pg_catalog.=) $1 AND p.party OPERATOR(pg_catalog.=) $2 AND l.tally_period OPERATOR(pg_catalog.=) $3", run->book.name),
							6, types, values, NULL, SPI_OK_SELECT);
	{
		Datum		amount = settle_spi_datum(0, 1, &isnull);

		/* rounding shows the digits of the unit */
		line->amount = isnull
			? settle_tally_arrive(parts, code->nversions, version, line->quantity, line->base, line->factor, 1, rounding)
			: settle_round(settle_dec_from_numeric(DatumGetNumeric(amount)), rounding);
		posted = settle_round(posted, rounding);
	}
	show_line(e, line);

	JsonEncodeDateTime(period, DateADTGetDatum(line->tally_period), DATEOID, NULL);
	begin_step(e, "tally", code->code, psprintf("%s from %s: %lld tickets, posted in all %s", line->owner->code, period,
												(long long) parts[version].count, settle_dec_out(posted)));
	set_dec(e, COL_BASE, total);
	set_dec(e, COL_AMOUNT, posted);
	set_text(e, COL_UNIT, line->unit);
	end_step(e);
	nsteps = settle_price_steps(line->rule->pricer, total, &steps);
	for (int i = 0; i < nsteps; i++)
	{
		if (settle_dec_sign(steps[i].quantity) == 0)
			continue;
		begin_step(e, "tier", psprintf("step %d", steps[i].step),
				   psprintf("of the tally: from %s to %s at %s", settle_dec_out(settle_dec_trim(steps[i].lower)),
							steps[i].open ? "any" : settle_dec_out(settle_dec_trim(steps[i].upper)), settle_dec_out(settle_dec_trim(steps[i].rate))));
		set_dec(e, COL_BASE, steps[i].quantity);
		set_dec(e, COL_AMOUNT, steps[i].fee);
		end_step(e);
	}
}

void
settle_explain_ticket(Run *run, RunSource *source, const char *key, Tuplestorestate *store, TupleDesc desc)
{
	Explanation e = {.store = store, .desc = desc};
	SettleTicket ticket;
	List	   *trace = NIL;
	ListCell   *lc;

	if (!settle_evaluate_ticket(source->set, run->now, true, &ticket, &trace))
		elog(ERROR, "a ticket that is always evaluated was not");
	show_value(&e, "ready at", ticket.has_ready_at ? instant_text(ticket.ready_at) : "not ready");
	show_value(&e, "rules of", instant_text(ticket.rules_at));
	show_value(&e, "project", path_text(ticket.project));
	show_value(&e, "region", path_text(ticket.region));
	begin_step(&e, "ticket", "revenue", "what the source says, tax inside");
	set_dec(&e, COL_AMOUNT, ticket.revenue);
	set_text(&e, COL_UNIT, ticket.currency);
	end_step(&e);
	begin_step(&e, "ticket", "cost", NULL);
	set_dec(&e, COL_AMOUNT, ticket.cost);
	set_text(&e, COL_UNIT, ticket.currency);
	end_step(&e);

	foreach(lc, trace)
	{
		SettleStep *step = lfirst(lc);

		switch (step->kind)
		{
			case SETTLE_STEP_DECISION:
				begin_step(&e, "decision", step->name, psprintf("%s, by %s", step->value, step->detail));
				end_step(&e);
				break;
			case SETTLE_STEP_OVERRIDDEN:
				begin_step(&e, "overridden", step->name, psprintf("by rule %s", step->detail));
				end_step(&e);
				break;
			case SETTLE_STEP_BEATEN:
				begin_step(&e, "beaten", step->name, psprintf("in its choice, by rule %s", step->detail));
				end_step(&e);
				break;
			case SETTLE_STEP_APPLIED:
				for (int i = step->first_line; i < step->first_line + step->nlines; i++)
				{
					if (ticket.lines[i].owner != NULL)
						show_tally(&e, run, source, &ticket.lines[i], key);
					else
						show_line(&e, &ticket.lines[i]);
				}
				break;
		}
	}
}
