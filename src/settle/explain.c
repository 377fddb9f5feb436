/*
 * explain.c
 *		settle.explain: the steps of one ticket, by the engine that priced it.
 *
 * The ticket is read and evaluated again with a trace; nothing is written.  A
 * line that adds to a tally is shown with the amount it was posted with, or,
 * where it is not posted, with what it would be on top of the tally now.
 */
#include "settle/run.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

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

/*
 * Shows how a stretch of quantity, from one total to another, falls into tiers.
 */
static void
show_tiers(Explanation *e, const SettleRule *rule, SettleDec from, SettleDec to, const char *of)
{
	SettleFeeStep *before;
	SettleFeeStep *after;
	int			nbefore = settle_dec_sign(from) == 0 ? 0 : settle_price_steps(rule->pricer, from, &before);
	int			nafter = settle_price_steps(rule->pricer, to, &after);

	for (int i = 0; i < nafter; i++)
	{
		SettleDec	quantity = after[i].quantity;
		SettleDec	fee = after[i].fee;

		for (int k = 0; k < nbefore; k++)
			if (before[k].step == after[i].step)
			{
				quantity = settle_dec_sub(quantity, before[k].quantity);
				fee = settle_dec_sub(fee, before[k].fee);
			}
		if (settle_dec_sign(quantity) == 0 && settle_dec_sign(fee) == 0)
			continue;
		begin_step(e, "tier", after[i].step == 0 ? "bounds" : psprintf("step %d", after[i].step),
				   after[i].step == 0 ? "what min or max adds or takes"
				   : psprintf("%sfrom %s %s at %s", of, settle_dec_out(settle_dec_trim(after[i].lower)),
							  after[i].open ? "on" : psprintf("to %s", settle_dec_out(settle_dec_trim(after[i].upper))),
							  rate_text(rule, after[i].rate)));
		set_dec(e, COL_BASE, settle_dec_trim(quantity));
		set_dec(e, COL_AMOUNT, settle_dec_trim(fee));
		end_step(e);
	}
}

/*
 * Shows a line: base, tiers, factor, amount.
 */
static void
show_line(Explanation *e, const SettleLine *line, int part, int nparts)
{
	const SettleRuleDef *def = line->rule->def;
	SettleDec	rate;

	bool		whole = settle_pricer_is_rate(line->rule->pricer, &rate) && settle_dec_cmp(rate, settle_dec_int(1)) == 0;

	begin_step(e, "line", def->component,
			   psprintf("rule %s%s%s: %s%s%s%s", def->code, def->title != NULL ? ", " : "", def->title != NULL ? def->title : "",
						def->remainder ? "the remainder" : def->base,
						whole ? "" : " at ", whole ? "" : settle_tiers_out_text(def->tiers),
						nparts > 1 ? psprintf(", part %d of %d", part, nparts) : ""));
	set_text(e, COL_PAYER, line->payer->code);
	set_text(e, COL_PAYEE, line->payee->code);
	set_dec(e, COL_BASE, line->base);
	set_dec(e, COL_FACTOR, line->factor);
	set_dec(e, COL_AMOUNT, line->amount);
	set_text(e, COL_UNIT, line->unit);
	end_step(e);
	if (line->owner == NULL && !settle_pricer_is_rate(line->rule->pricer, &rate))
		show_tiers(e, line->rule, settle_dec_int(0), line->base, "");
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
	bool		has_before;
	SettleDec	before;			/* the total when it arrived */
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

	n = settle_book_execute(psprintf("SELECT sum(l.amount), count(*), min(s.sheet_id) FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
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
		settle_book_execute(psprintf("SELECT sum(l.quantity), (SELECT bool_and(d.sheets IS NOT NULL) FROM %1$s.party_delta AS d WHERE d.party_id = (SELECT p.party_id FROM %1$s.party AS p WHERE p.party = $2)) "
									 "FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
									 "JOIN %1$s.rule AS r ON r.rule_id = l.rule_id JOIN %1$s.party AS p ON p.party_id = l.owner_id "
									 "WHERE s.sheet_id < $5 AND s.sheet_id IN (SELECT pg_catalog.unnest(d.sheets) FROM %1$s.party_delta AS d "
									 "WHERE d.party_id = (SELECT p.party_id FROM %1$s.party AS p WHERE p.party = $2)) "
									 "AND r.code = $1 AND p.party = $2 AND l.tally_period = $3 AND coalesce(r.unit, s.currency) = $4", run->book.name),
							5, before_types, before_values, NULL, SPI_OK_SELECT);
		now.before = spi_dec(0, 1, &isnull);
		now.has_before = DatumGetBool(settle_spi_datum(0, 2, &isnull)) && !isnull;
	}
	return now;
}

/*
 * Shows a line that adds to a tally, the tiers it fell into when it arrived,
 * and where the tally stands.
 */
static void
show_tally(Explanation *e, Run *run, RunSource *source, SettleLine *line, const char *key, int part, int nparts)
{
	const SettleRuleCode *code = line->rule->code;
	const SettleRounding *rounding = settle_rule_rounding(source->set, line->rule, line->unit);
	TallyNow	now = read_tally(run, source, line, key);
	char		period[MAXDATELEN + 1];

	/* rounding shows the digits of the unit */
	line->amount = now.is_posted ? settle_round(now.posted_amount, rounding)
		: settle_tally_arrive(now.parts, code->nversions, now.version, line->quantity, line->base, line->factor, 1, rounding);
	show_line(e, line, part, nparts);
	if (now.has_before)
		show_tiers(e, line->rule, now.before, settle_dec_add(now.before, line->quantity),
				   settle_dec_sign(now.before) == 0 ? "" : psprintf("on top of %s: ", settle_dec_out(settle_dec_trim(now.before))));

	if (DATE_NOT_FINITE(line->tally_period))
		strcpy(period, "the beginning");
	else
		JsonEncodeDateTime(period, DateADTGetDatum(line->tally_period), DATEOID, NULL);
	begin_step(e, "tally", code->code, psprintf("%s from %s: %lld tickets; its lines sum to what it owes", line->owner->code, period, (long long) now.tickets));
	set_dec(e, COL_BASE, now.total);
	if (settle_dec_sign(now.total) > 0)
		set_dec(e, COL_FACTOR, settle_dec_trim(settle_ratio_dec((SettleRatio) {now.weighted, now.total})));
	set_dec(e, COL_AMOUNT, settle_round(now.amount, rounding));
	set_text(e, COL_UNIT, line->unit);
	end_step(e);
	show_tiers(e, line->rule, settle_dec_int(0), now.total, "of the tally: ");
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
	show_value(&e, "project", path_text(source->set, ticket.project));
	show_value(&e, "region", path_text(source->set, ticket.region));
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
			case SETTLE_STEP_PACK_BEATEN:
				begin_step(&e, "beaten", step->name, psprintf("its pack %s, in its choice, by pack %s", step->value, step->detail));
				end_step(&e);
				break;
			case SETTLE_STEP_APPLIED:
				for (int i = step->first_line; i < step->first_line + step->nlines; i++)
				{
					int			part = i - step->first_line + 1;

					if (ticket.lines[i].owner != NULL)
						show_tally(&e, run, source, &ticket.lines[i], key, part, step->nlines);
					else
						show_line(&e, &ticket.lines[i], part, step->nlines);
				}
				break;
		}
	}
}

/*
 * settle.explain(book regnamespace, source name, key text) returns setof
 *				  (step, kind, name, payer, payee, base, factor, amount, unit, detail)
 *
 * Returns the steps that give the lines of one ticket.
 */
PG_FUNCTION_INFO_V1(settle_explain);
Datum
settle_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book;
	SettleIdentity identity;
	Run			run;
	RunSource  *source;
	const char *name;
	char	   *key;

	InitMaterializedSRF(fcinfo, 0);
	book = settle_book(PG_GETARG_OID(0));
	name = NameStr(*PG_GETARG_NAME(1));
	key = text_to_cstring(PG_GETARG_TEXT_PP(2));
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_begin_run(&run, &book, false);
	source = run.sources[0] = settle_find_source(&run, name);
	run.nsources = 1;
	settle_compile_source(&run, source);
	settle_number_rules(&run);
	if (!settle_fetch_row(&run, source, key))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("source \"%s\" has no ticket \"%s\"", name, key)));
	settle_explain_ticket(&run, source, key, rsinfo->setResult, rsinfo->setDesc);
	settle_release_sources(&run);
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
