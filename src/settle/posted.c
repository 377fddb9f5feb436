/*
 * posted.c
 *		What is posted for a ticket: its sheets summed up.
 *
 * A correction is the difference to this sum, so it must be read under the gate,
 * and lines are told apart by everything but what they add up.
 */
#include "settle/post.h"

#include "book/rows.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "settle/receive.h"
#include "utils/builtins.h"

/* Tickets whose sheets are looked up by one statement: few enough to be sorted in memory. */
#define LOADED_AT_ONCE	2048

bool
settle_same_transfer(const RunLine *a, const RunLine *b)
{
	return a->rule_id == b->rule_id && a->payer == b->payer && a->payee == b->payee &&
		a->in_tally == b->in_tally &&
		(!a->in_tally || (a->owner == b->owner && (a->by_posting || a->tally_period == b->tally_period))) &&
		strcmp(a->unit, b->unit) == 0 && settle_dec_cmp(a->factor, b->factor) == 0;
}

/*
 * Tells whether a line is posted just as the rules say it now.
 */
bool
settle_same_line(const RunLine *now, const RunLine *posted)
{
	return settle_same_transfer(now, posted) && settle_dec_cmp(now->base, posted->base) == 0 &&
		(now->in_tally ? posted->count == 1 && settle_dec_cmp(now->quantity, posted->quantity) == 0 : settle_dec_cmp(now->amount, posted->amount) == 0);
}

/*
 * Adds a line of a further revision to what is posted.
 */
static void
add_posted_line(Posted *posted, const RunLine *line)
{
	for (int i = 0; i < posted->nlines; i++)
	{
		RunLine    *have = &posted->lines[i];

		if (!settle_same_transfer(have, line))
			continue;
		have->base = settle_dec_add(have->base, line->base);
		have->amount = settle_dec_add(have->amount, line->amount);
		have->count += line->count;
		if (have->in_tally)
			have->quantity = settle_dec_add(have->quantity, line->quantity);
		/* by posting time it may have come at one price and gone at another */
		if (settle_dec_sign(have->base) == 0 && have->count == 0 && (have->by_posting || settle_dec_sign(have->amount) == 0))
		{
			if (settle_dec_sign(have->amount) != 0)
			{
				RunLine    *gone = palloc(sizeof(RunLine));

				*gone = *have;
				posted->gone = lappend(posted->gone, gone);
			}
			*have = posted->lines[--posted->nlines];
		}
		return;
	}
	posted->lines = settle_grow(posted->lines, posted->nlines, &posted->space, sizeof(RunLine));
	posted->lines[posted->nlines++] = *line;
}

/*
 * The sheets of a ticket, the first revision first, and their columns in the
 * order in which they are read.
 */
static const SettleLookup sheets_of_ticket = {
	"sheet", {{"source_id", INT2OID}, {"ticket_key", TEXTOID}},
	{{"revision", INT4OID}, {"run_id", INT8OID}, {"ticket_time", TIMESTAMPTZOID}, {"period", DATEOID}, {"corrects_period", DATEOID},
	{"project"}, {"region"}, {"channel", TEXTOID}, {"currency", TEXTOID}, {"revenue", NUMERICOID}, {"cost", NUMERICOID},
	{"payout", NUMERICOID}, {"tickets", INT2OID}, {"lines"}, {"sheet_id", INT8OID}, {"inputs", BYTEAOID}},
	.index = "sheet_source_id_ticket_key_revision_key"
};

enum
{
	REVISION, RUN_ID, TICKET_TIME, PERIOD, CORRECTS_PERIOD, PROJECT, REGION, CHANNEL, CURRENCY, REVENUE, COST, PAYOUT, TICKETS, LINES, SHEET_ID, INPUTS,
	AT							/* which ticket, where a statement gives them */
};

static SettleDec
keep_numeric(Datum value)
{
	return settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(value)));
}

static struct varlena *
keep_varlena(Datum value, bool isnull)
{
	return isnull ? NULL : (struct varlena *) PG_DETOAST_DATUM_COPY(value);
}

/* What a ticket has paid out in one currency. */
typedef struct CurrencyPayout
{
	const char *currency;
	SettleDec	amount;
} CurrencyPayout;

/*
 * Adds the payout of a sheet.  What lines by posting time leave behind stays in
 * the currency in which the ticket stood then, so currencies are kept apart.
 */
static void
add_payout(Posted *posted, SettleDec amount)
{
	CurrencyPayout *sum = NULL;
	ListCell   *lc;

	foreach(lc, posted->payouts)
		if (strcmp(((CurrencyPayout *) lfirst(lc))->currency, posted->currency) == 0)
			sum = lfirst(lc);
	if (sum == NULL)
	{
		sum = palloc(sizeof(CurrencyPayout));
		sum->currency = posted->currency;
		sum->amount = settle_dec_int(0);
		posted->payouts = lappend(posted->payouts, sum);
	}
	sum->amount = settle_dec_add(sum->amount, amount);
	posted->payout = sum->amount;
}

static void
add_posted_sheet(Run *run, const RunSource *source, Posted *posted, const Datum *values, const bool *nulls)
{
	SettleLinesReader reader;
	SettleLineData data;

	posted->revision = DatumGetInt32(values[REVISION]);
	posted->run_id = DatumGetInt64(values[RUN_ID]);
	posted->ticket_time = DatumGetTimestampTz(values[TICKET_TIME]);
	posted->period = DatumGetDateADT(values[nulls[CORRECTS_PERIOD] ? PERIOD : CORRECTS_PERIOD]);
	posted->project = keep_varlena(values[PROJECT], nulls[PROJECT]);
	posted->region = keep_varlena(values[REGION], nulls[REGION]);
	posted->channel = keep_varlena(values[CHANNEL], nulls[CHANNEL]);
	posted->currency = TextDatumGetCString(values[CURRENCY]);
	posted->revenue = settle_dec_add(posted->revenue, keep_numeric(values[REVENUE]));
	posted->cost = settle_dec_add(posted->cost, keep_numeric(values[COST]));
	add_payout(posted, keep_numeric(values[PAYOUT]));
	posted->tickets += DatumGetInt16(values[TICKETS]);

	posted->sheet_id = DatumGetInt64(values[SHEET_ID]);
	if (!nulls[INPUTS] && run->fx_party != NULL)
		posted->inputs = DatumGetByteaPCopy(values[INPUTS]);
	settle_lines_open(&reader, DatumGetSettleLines(values[LINES]));
	if (!reader.packed)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a sheet of ticket \"%s\" of source \"%s\" holds codes, not numbers of the book", posted->key, source->name),
				 errhint("Nobody but a run writes sheets.")));
	while (settle_lines_next(&reader, &data))
	{
		RunLine		line = {0};

		if ((int) data.rule >= run->nrule_ids || run->rules[data.rule] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("ticket \"%s\" of source \"%s\" was settled by rule number %u, which is not there any more", posted->key, source->name, data.rule),
					 errhint("A rule that sheets refer to can be ended, never removed or moved.")));
		line.rule = run->rules[data.rule];
		line.rule_id = (int) data.rule;
		line.payer = (int) data.payer;
		line.payee = (int) data.payee;
		line.owner = (int) data.owner;
		line.unit = line.rule->def->unit != NULL ? line.rule->def->unit : posted->currency;
		line.base = settle_dec_keep(data.base);
		line.quantity = settle_dec_keep(data.quantity);
		line.by_posting = line.rule->def->clock == SETTLE_CLOCK_POSTING;
		line.factor = settle_dec_keep(data.factor);
		line.amount = settle_dec_keep(data.amount);
		line.in_tally = data.in_tally;
		line.tally_period = data.tally_period;
		line.count = data.count;
		add_posted_line(posted, &line);
	}
}

static int
compare_tickets_by_key(const void *a, const void *b)
{
	return strcmp((*(RunTicket *const *) a)->key, (*(RunTicket *const *) b)->key);
}

/*
 * Loads the sides of the parties of posted lines.
 */
static void
load_posted_sides(Run *run, RunTicket **tickets, int n)
{
	int		   *parties;
	int			nparties = 0;

	for (int i = 0; i < n; i++)
		nparties += tickets[i]->posted == NULL ? 0 : 2 * tickets[i]->posted->nlines;
	parties = palloc(sizeof(int) * Max(nparties, 1));
	nparties = 0;
	for (int i = 0; i < n; i++)
		for (int k = 0; tickets[i]->posted != NULL && k < tickets[i]->posted->nlines; k++)
		{
			parties[nparties++] = tickets[i]->posted->lines[k].payer;
			parties[nparties++] = tickets[i]->posted->lines[k].payee;
		}
	settle_load_sides(run, parties, nparties);
}

static void
take_sheet(Run *run, const RunSource *source, RunTicket *ticket, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(run->batch_context);

	if (ticket->posted == NULL)
	{
		ticket->posted = palloc0(sizeof(Posted));
		ticket->posted->key = ticket->key;
		ticket->posted->revenue = ticket->posted->cost = ticket->posted->payout = settle_dec_int(0);
	}
	add_posted_sheet(run, source, ticket->posted, values, nulls);
	MemoryContextSwitchTo(old);
}

/*
 * Reads the sheets of tickets by their index; false where that takes a
 * statement.
 */
static bool
load_by_index(Run *run, const RunSource *source, RunTicket **tickets, int n)
{
	SettleScan	scan;

	for (int i = 0; i < n; i++)
	{
		Datum		keys[] = {Int16GetDatum(source->id), CStringGetTextDatum(tickets[i]->key)};

		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			settle_scan_again(&scan, keys);
		else if (!settle_scan_begin(&scan, &run->book, &sheets_of_ticket, keys))
			return false;
		while (settle_scan_next(&scan))
			take_sheet(run, source, tickets[i], scan.values, scan.nulls);
	}
	settle_scan_end(&scan);
	return true;
}

/* Tickets whose sheets a statement gives. */
typedef struct Loading
{
	Run		   *run;
	const RunSource *source;
	RunTicket **tickets;
} Loading;

static void
take_row(void *arg, Datum *values, bool *nulls)
{
	Loading    *loading = arg;

	take_sheet(loading->run, loading->source, loading->tickets[DatumGetInt64(values[AT]) - 1], values, nulls);
}

/*
 * Reads the sheets of some tickets by a statement.
 */
static void
load_by_statement(Run *run, const RunSource *source, RunTicket **tickets, int n)
{
	Loading		loading = {run, source, tickets};
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), 0};
	Datum	   *keys = palloc(sizeof(Datum) * n);
	StringInfoData sql;
	Portal		portal;

	for (int i = 0; i < n; i++)
		keys[i] = CStringGetTextDatum(tickets[i]->key);
	values[1] = settle_array_of(TEXTOID, keys, n);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < AT; i++)
		appendStringInfo(&sql, "s.%s, ", sheets_of_ticket.columns[i].name);
	/* OFFSET, or it might be planned as a hash of all sheets */
	appendStringInfo(&sql, "u.at FROM pg_catalog.unnest($2) WITH ORDINALITY AS u(ticket_key, at) "
					 "CROSS JOIN LATERAL (SELECT h.* FROM %s.sheet AS h "
					 "WHERE h.source_id OPERATOR(pg_catalog.=) $1 AND h.ticket_key OPERATOR(pg_catalog.=) u.ticket_key OFFSET 0) AS s "
					 "ORDER BY u.at, s.revision", run->book.name);
	/* SPI plans a cursor in the memory of its level, which would grow with every statement */
	SPI_connect();
	portal = settle_book_open(sql.data, lengthof(types), types, values);
	while (settle_receive(portal, LOADED_AT_ONCE, take_row, &loading) > 0)
		CHECK_FOR_INTERRUPTS();
	SPI_cursor_close(portal);
	SPI_finish();
}

/*
 * Loads what is posted for the tickets that may have sheets.
 */
void
settle_load_posted(Run *run, RunSource *source)
{
	RunTicket **known = palloc(sizeof(RunTicket *) * Max(run->ntickets, 1));
	int			n = 0;

	for (int i = 0; i < run->ntickets; i++)
		if (run->tickets[i].known)
			known[n++] = &run->tickets[i];
	if (n == 0)
		return;
	qsort(known, n, sizeof(RunTicket *), compare_tickets_by_key);
	if (!load_by_index(run, source, known, n))
		for (int i = 0; i < n; i += LOADED_AT_ONCE)
			load_by_statement(run, source, known + i, Min(LOADED_AT_ONCE, n - i));
	load_posted_sides(run, known, n);
}

/*
 * Makes a problem of a key that two rows of the source share: one of them would
 * silently replace the other.
 */
void
settle_check_keys(Run *run, RunSource *source)
{
	uint32		mask = 1;
	RunTicket **seen;

	while (mask < (uint32) run->ntickets * 2)
		mask = mask * 2 + 1;
	seen = palloc0(sizeof(RunTicket *) * ((Size) mask + 1));
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];
		uint32		at = hash_bytes((const unsigned char *) ticket->key, (int) strlen(ticket->key)) & mask;

		while (seen[at] != NULL && strcmp(seen[at]->key, ticket->key) != 0)
			at = (at + 1) & mask;
		if (seen[at] != NULL)
			seen[at]->state = TICKET_REPEATED;
		else if (ticket->posted == NULL || ticket->posted->run_id != run->run_id || ticket->posted->sheet_id <= run->pass_after)
		{
			seen[at] = ticket;
			continue;
		}
		seen[at] = ticket;
		ticket->state = TICKET_FAILED;
		ticket->failing = "key";
		ticket->error = palloc0(sizeof(ErrorData));
		ticket->error->sqlerrcode = ERRCODE_SETTLE_BAD_TICKET;
		ticket->error->message = psprintf("two rows of source \"%s\" have the key \"%s\"", source->name, ticket->key);
		ticket->error->hint = "The key of a source must name one row.";
	}
	pfree(seen);
}

/*
 * Tells whether a posted line is what the rules say now, and stays.
 */
bool
settle_stays(const RunTicket *ticket, const RunLine *posted)
{
	for (int i = 0; i < ticket->nlines; i++)
		if (settle_same_line(&ticket->lines[i], posted))
			return true;
	return false;
}

/*
 * Finds the posted line that says the same as a line does now, so that it
 * stays: a ticket that did not change keeps its place in its tally.
 */
const RunLine *
settle_posted_same(const RunTicket *ticket, const RunLine *line)
{
	if (ticket->posted == NULL)
		return NULL;
	for (int i = 0; i < ticket->posted->nlines; i++)
		if (settle_same_line(line, &ticket->posted->lines[i]))
			return &ticket->posted->lines[i];
	return NULL;
}
