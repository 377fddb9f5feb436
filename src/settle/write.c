/*
 * write.c
 *		Writes sheets and what they change for parties.
 *
 * A sheet's number is its place in the order of arrival, which settle.explain
 * relies on.  What is due to a closed period is posted in the oldest open one and
 * says which it corrects.
 */
#include "settle/post.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static const char *const sheet_columns[] = {
	"sheet_id", "source_id", "ticket_key", "revision", "ticket_time", "period", "corrects_period", "project", "region", "channel", "currency",
	"revenue", "cost", "payout", "tickets", "lines", "run_id", "inputs"
};

/* Those of them that may be null. */
#define CORRECTS_PERIOD	6
#define PROJECT			7
#define REGION			8
#define CHANNEL			9
#define INPUTS			17

static const char *const delta_columns[] = {
	"party_id", "period", "unit", "run_id", "received", "given", "sheets"
};

#define SHEETS			6

/* Sum of what a batch gives to and takes from a party. */
typedef struct DeltaKey
{
	int			party;
	DateADT		period;
	char		unit[SETTLE_MAX_UNIT + 1];
} DeltaKey;

typedef struct Delta
{
	DeltaKey	key;			/* must be first */
	SettleDec	received;
	SettleDec	given;
	int			nsheets;
	int			space;
	Datum	   *sheets;			/* their numbers */
} Delta;

/* A party that stands on more than one in this many sheets of a batch is on "most": no list of them is kept. */
#define MOST_SHEETS		8

#define MOST_AT_LEAST	1000

typedef struct SheetWriter
{
	Run		   *run;
	Drafts	   *drafts;
	int			next;
} SheetWriter;

/*
 * Gives the next sheet.
 */
static bool
write_sheet(Datum *values, bool *nulls, void *arg)
{
	SheetWriter *writer = arg;
	Draft	   *draft;
	SettleLinesWriter lines;

	if (writer->next >= writer->drafts->n)
		return false;
	CHECK_FOR_INTERRUPTS();
	draft = &writer->drafts->items[writer->next++];

	settle_lines_begin(&lines, true);
	for (int i = 0; i < draft->nlines; i++)
	{
		const RunLine *from = &draft->lines[i];
		SettleLineData line = {
			.rule = (uint32) from->rule_id, .payer = (uint32) from->payer, .payee = (uint32) from->payee,
			.base = from->base, .quantity = from->quantity, .factor = from->factor, .amount = from->amount,
			.in_tally = from->in_tally, .owner = (uint32) from->owner, .tally_period = from->tally_period,
			.count = from->count, .retier = draft->is_retier
		};

		settle_lines_add(&lines, &line);
	}
	memset(nulls, false, sizeof(bool) * lengthof(sheet_columns));
	*values++ = Int64GetDatum(draft->sheet_id);
	*values++ = Int16GetDatum(draft->source_id);
	*values++ = CStringGetTextDatum(draft->key);
	*values++ = Int32GetDatum(draft->revision);
	*values++ = TimestampTzGetDatum(draft->ticket_time);
	*values++ = DateADTGetDatum(draft->period);
	nulls[CORRECTS_PERIOD] = draft->own_period == draft->period;
	*values++ = DateADTGetDatum(draft->own_period);
	nulls[PROJECT] = draft->project == NULL;
	*values++ = PointerGetDatum(draft->project);
	nulls[REGION] = draft->region == NULL;
	*values++ = PointerGetDatum(draft->region);
	nulls[CHANNEL] = draft->channel == NULL;
	*values++ = PointerGetDatum(draft->channel);
	*values++ = CStringGetTextDatum(draft->currency);
	*values++ = NumericGetDatum(settle_dec_to_numeric(draft->revenue));
	*values++ = NumericGetDatum(settle_dec_to_numeric(draft->cost));
	*values++ = NumericGetDatum(settle_dec_to_numeric(draft->payout));
	*values++ = Int16GetDatum((int16) draft->tickets);
	*values++ = PointerGetDatum(settle_lines_end(&lines));
	*values++ = Int64GetDatum(writer->run->run_id);
	nulls[INPUTS] = draft->inputs == NULL;
	*values++ = PointerGetDatum(draft->inputs);
	return true;
}

/*
 * Adds one side of a line to the sums of its party.
 */
static void
add_delta(HTAB *deltas, Delta **last, int party, const Draft *draft, const RunLine *line, bool received)
{
	Delta	   *delta = *last;

	/* most lines have the payer of the one before */
	if (delta == NULL || delta->key.party != party || delta->key.period != draft->period || strcmp(delta->key.unit, line->unit) != 0)
	{
		DeltaKey	key;
		bool		found;

		memset(&key, 0, sizeof(key));
		key.party = party;
		key.period = draft->period;
		strlcpy(key.unit, line->unit, sizeof(key.unit));
		delta = *last = hash_search(deltas, &key, HASH_ENTER, &found);
		if (!found)
		{
			delta->received = delta->given = settle_dec_int(0);
			delta->nsheets = 0;
			delta->space = 4;
			delta->sheets = palloc(sizeof(Datum) * delta->space);
		}
	}
	if (received)
		delta->received = settle_dec_add(delta->received, line->amount);
	else
		delta->given = settle_dec_add(delta->given, line->amount);
	if (delta->nsheets == 0 || DatumGetInt64(delta->sheets[delta->nsheets - 1]) != draft->sheet_id)
	{
		if (delta->nsheets == delta->space)
		{
			delta->space *= 2;
			delta->sheets = repalloc(delta->sheets, sizeof(Datum) * delta->space);
		}
		delta->sheets[delta->nsheets++] = Int64GetDatum(draft->sheet_id);
	}
}

typedef struct DeltaWriter
{
	Run		   *run;
	HASH_SEQ_STATUS scan;
	int			nsheets;
} DeltaWriter;

/*
 * Gives the next sum of a party.
 */
static bool
write_delta(Datum *values, bool *nulls, void *arg)
{
	DeltaWriter *writer = arg;
	Delta	   *delta = hash_seq_search(&writer->scan);

	if (delta == NULL)
		return false;
	memset(nulls, false, sizeof(bool) * lengthof(delta_columns));
	*values++ = Int32GetDatum(delta->key.party);
	*values++ = DateADTGetDatum(delta->key.period);
	*values++ = CStringGetTextDatum(delta->key.unit);
	*values++ = Int64GetDatum(writer->run->run_id);
	*values++ = NumericGetDatum(settle_dec_to_numeric(delta->received));
	*values++ = NumericGetDatum(settle_dec_to_numeric(delta->given));
	nulls[SHEETS] = delta->nsheets > MOST_AT_LEAST && delta->nsheets > writer->nsheets / MOST_SHEETS;
	*values++ = nulls[SHEETS] ? (Datum) 0 : settle_array_of(INT8OID, delta->sheets, delta->nsheets);
	return true;
}

/*
 * Numbers the sheets.  Posters at commit number theirs beside each other; a run
 * has the gate for itself and takes all its numbers at once.
 */
static void
number_sheets(Run *run, Drafts *drafts)
{
	int64		next = nextval_internal(run->sheet_sequence, false);

	if (run->first_sheet == 0)
		run->first_sheet = next;
	for (int i = 0; i < drafts->n; i++)
	{
		if (i > 0)
			next = run->at_commit ? nextval_internal(run->sheet_sequence, false) : next + 1;
		drafts->items[i].sheet_id = run->last_sheet = next;
	}
	if (!run->at_commit && drafts->n > 1)
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(run->sheet_sequence), Int64GetDatum(next));
}

/*
 * Writes the sheets and what they change for parties, and counts them.
 */
void
settle_write_drafts(Run *run, Drafts *drafts)
{
	SheetWriter sheets = {.run = run, .drafts = drafts};
	DeltaWriter deltas = {.run = run, .nsheets = drafts->n};
	HASHCTL		control;
	HTAB	   *sums = NULL;	/* those of fresh runs are made when they are absorbed */
	Delta	   *last_payee = NULL;
	Delta	   *last_payer = NULL;

	if (drafts->n == 0)
		return;
	for (int i = 0; i < drafts->n; i++)
		drafts->items[i].period = Max(drafts->items[i].own_period, run->open_period);
	if (run->plan != NULL)
	{
		settle_plan_drafts(run, drafts);
		return;
	}
	if (!run->is_fresh)
	{
		memset(&control, 0, sizeof(control));
		control.hcxt = CurrentMemoryContext;
		control.keysize = sizeof(DeltaKey);
		control.entrysize = sizeof(Delta);
		sums = hash_create("scrm_settle deltas", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	number_sheets(run, drafts);
	for (int i = 0; i < drafts->n; i++)
	{
		Draft	   *draft = &drafts->items[i];

		CHECK_FOR_INTERRUPTS();
		settle_count_sheet(run, draft->period, draft->tickets);
		run->lines += draft->nlines;
		for (int k = 0; k < draft->nlines; k++)
		{
			RunLine    *line = &draft->lines[k];

			if (sums != NULL)
			{
				add_delta(sums, &last_payee, line->payee, draft, line, true);
				add_delta(sums, &last_payer, line->payer, draft, line, false);
			}
			if (strcmp(line->unit, run->currency) == 0)
			{
				MemoryContext old = MemoryContextSwitchTo(run->context);

				run->amount = settle_dec_add(run->amount, line->amount);
				MemoryContextSwitchTo(old);
			}
		}
	}
	settle_copy_into(run->book.schema, "sheet", sheet_columns, lengthof(sheet_columns), write_sheet, &sheets);
	if (sums == NULL)
		return;
	hash_seq_init(&deltas.scan, sums);
	settle_copy_into(run->book.schema, "party_delta", delta_columns, lengthof(delta_columns), write_delta, &deltas);
}
