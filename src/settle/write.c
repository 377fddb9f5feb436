/*
 * write.c
 *		Writes sheets and what they change for parties.
 *
 * Both go in through COPY.  A sheet's number is its place in the order of
 * arrival, which settle.explain relies on.  What is due to a closed period is
 * posted in the oldest open one and says which it corrects.
 */
#include "settle/post.h"

#include "commands/sequence.h"
#include "libpq/pqformat.h"

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
	int64	   *sheets;
} Delta;

/* A party that stands on more than one in this many sheets of a batch is on "most": no list of them is kept. */
#define MOST_SHEETS		8

#define MOST_AT_LEAST	1000

typedef struct SheetWriter
{
	Run		   *run;
	Drafts	   *drafts;
	int			next;
	MemoryContext context;
} SheetWriter;

/*
 * Hands the next sheet to COPY.
 */
static bool
write_sheet(StringInfo buf, void *arg)
{
	SheetWriter *writer = arg;
	Draft	   *draft;
	SettleLinesWriter lines;
	SettleLines *packed;
	MemoryContext old;

	if (writer->next >= writer->drafts->n)
		return false;
	draft = &writer->drafts->items[writer->next++];
	old = MemoryContextSwitchTo(writer->context);
	MemoryContextReset(writer->context);

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
	packed = settle_lines_end(&lines);

	settle_copy_int64(buf, draft->sheet_id);
	settle_copy_int16(buf, draft->source_id);
	settle_copy_text(buf, draft->key);
	settle_copy_int32(buf, draft->revision);
	settle_copy_int64(buf, draft->ticket_time);
	settle_copy_int32(buf, draft->period);
	if (draft->own_period == draft->period)
		settle_copy_null(buf);
	else
		settle_copy_int32(buf, draft->own_period);
	settle_copy_ltree(buf, draft->project);
	settle_copy_ltree(buf, draft->region);
	settle_copy_text(buf, draft->currency);
	settle_copy_dec(buf, draft->revenue);
	settle_copy_dec(buf, draft->cost);
	settle_copy_dec(buf, draft->payout);
	settle_copy_int16(buf, (int16) draft->tickets);
	settle_copy_bytes(buf, (char *) packed + VARHDRSZ, (int) (VARSIZE(packed) - VARHDRSZ));
	settle_copy_int64(buf, writer->run->run_id);
	if (draft->inputs == NULL)
		settle_copy_null(buf);
	else
		settle_copy_bytes(buf, VARDATA(draft->inputs), (int) (VARSIZE(draft->inputs) - VARHDRSZ));
	MemoryContextSwitchTo(old);
	return true;
}

static List *
column_list(const char *const *names, int n)
{
	List	   *list = NIL;

	for (int i = 0; i < n; i++)
		list = lappend(list, makeString(pstrdup(names[i])));
	return list;
}

/*
 * Adds one side of a line to the sums of its party.
 */
static void
add_delta(HTAB *deltas, int party, const Draft *draft, const RunLine *line, bool received)
{
	DeltaKey	key;
	Delta	   *delta;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.party = party;
	key.period = draft->period;
	strlcpy(key.unit, line->unit, sizeof(key.unit));
	delta = hash_search(deltas, &key, HASH_ENTER, &found);
	if (!found)
	{
		delta->received = delta->given = settle_dec_int(0);
		delta->nsheets = 0;
		delta->space = 4;
		delta->sheets = palloc(sizeof(int64) * delta->space);
	}
	if (received)
		delta->received = settle_dec_add(delta->received, line->amount);
	else
		delta->given = settle_dec_add(delta->given, line->amount);
	if (delta->nsheets == 0 || delta->sheets[delta->nsheets - 1] != draft->sheet_id)
	{
		if (delta->nsheets == delta->space)
		{
			delta->space *= 2;
			delta->sheets = repalloc(delta->sheets, sizeof(int64) * delta->space);
		}
		delta->sheets[delta->nsheets++] = draft->sheet_id;
	}
}

typedef struct DeltaWriter
{
	Run		   *run;
	HASH_SEQ_STATUS scan;
	int			nsheets;
} DeltaWriter;

/*
 * Hands the next sum of a party to COPY.
 */
static bool
write_delta(StringInfo buf, void *arg)
{
	DeltaWriter *writer = arg;
	Delta	   *delta = hash_seq_search(&writer->scan);

	if (delta == NULL)
		return false;
	settle_copy_int32(buf, delta->key.party);
	settle_copy_int32(buf, delta->key.period);
	settle_copy_text(buf, delta->key.unit);
	settle_copy_int64(buf, writer->run->run_id);
	settle_copy_dec(buf, delta->received);
	settle_copy_dec(buf, delta->given);
	if (delta->nsheets > MOST_AT_LEAST && delta->nsheets > writer->nsheets / MOST_SHEETS)
		settle_copy_null(buf);
	else
	{
		StringInfoData array;

		/* int8[] in binary: one dimension from 1, no nulls */
		initStringInfo(&array);
		pq_sendint32(&array, 1);
		pq_sendint32(&array, 0);
		pq_sendint32(&array, INT8OID);
		pq_sendint32(&array, (uint32) delta->nsheets);
		pq_sendint32(&array, 1);
		for (int i = 0; i < delta->nsheets; i++)
			settle_copy_int64(&array, delta->sheets[i]);
		settle_copy_bytes(buf, array.data, array.len);
		pfree(array.data);
	}
	return true;
}

/*
 * Writes the sheets and what they change for parties, and counts them.
 */
void
settle_write_drafts(Run *run, Drafts *drafts)
{
	static const char *const sheet_columns[] = {
		"sheet_id", "source_id", "ticket_key", "revision", "ticket_time", "period", "corrects_period", "project", "region", "currency",
		"revenue", "cost", "payout", "tickets", "lines", "run_id", "inputs"
	};
	static const char *const delta_columns[] = {
		"party_id", "period", "unit", "run_id", "received", "given", "sheets"
	};
	SheetWriter sheets = {.run = run, .drafts = drafts};
	DeltaWriter deltas = {.run = run, .nsheets = drafts->n};
	HASHCTL		control;
	HTAB	   *sums;

	if (drafts->n == 0)
		return;
	for (int i = 0; i < drafts->n; i++)
		drafts->items[i].period = Max(drafts->items[i].own_period, run->open_period);
	if (run->plan != NULL)
	{
		settle_plan_drafts(run, drafts);
		return;
	}
	memset(&control, 0, sizeof(control));
	control.hcxt = CurrentMemoryContext;
	control.keysize = sizeof(DeltaKey);
	control.entrysize = sizeof(Delta);
	sums = hash_create("scrm_settle deltas", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (int i = 0; i < drafts->n; i++)
	{
		Draft	   *draft = &drafts->items[i];

		draft->sheet_id = run->last_sheet = nextval_internal(run->sheet_sequence, false);
		run->lines += draft->nlines;
		for (int k = 0; k < draft->nlines; k++)
		{
			RunLine    *line = &draft->lines[k];

			add_delta(sums, line->payee, draft, line, true);
			add_delta(sums, line->payer, draft, line, false);
			if (strcmp(line->unit, run->currency) == 0)
			{
				MemoryContext old = MemoryContextSwitchTo(run->context);

				run->amount = settle_dec_add(run->amount, line->amount);
				MemoryContextSwitchTo(old);
			}
		}
	}
	sheets.context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle sheet", ALLOCSET_DEFAULT_SIZES);
	settle_copy_into(run->book.schema, "sheet", column_list(sheet_columns, lengthof(sheet_columns)), write_sheet, &sheets);
	hash_seq_init(&deltas.scan, sums);
	settle_copy_into(run->book.schema, "party_delta", column_list(delta_columns, lengthof(delta_columns)), write_delta, &deltas);
}
