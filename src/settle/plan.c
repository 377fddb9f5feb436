/*
 * plan.c
 *		Looks ahead: what the next run would do, and what it would do with other
 *		rules.
 *
 * Both are the run itself: it reads, evaluates, compares and prices, and where
 * it would write its sheets they are summed up instead.  Nothing is locked and
 * nothing written: every statement reads with the snapshot of the statement
 * that asks, which sees the edits of its own transaction.  Parties that the
 * book does not know yet have numbers beyond those that it has given.
 */
#include "settle/post.h"
#include "settle/run.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Longest code of a party, and its terminating zero. */
typedef struct NewParty
{
	char		code[SETTLE_MAX_CODE + 1];	/* must be first */
	int			number;
} NewParty;

/* What lines are summed by; a month stands in period. */
typedef struct SumKey
{
	int			component;		/* place in the plan's list; -1: a ticket without a line that differs */
	int			payee;
	DateADT		period;
	DateADT		corrects;		/* the same where it corrects no other */
	int16		source_id;
	bool		is_retier;
	char		unit[SETTLE_MAX_UNIT + 1];
} SumKey;

typedef struct Sum
{
	SumKey		key;			/* must be first */
	const RunTicket *last;		/* ticket that was counted last */
	int64		tickets;
	int64		fresh;
	int64		corrected;
	int64		withdrawn;
	int64		lines;
	SettleDec	amount;
	SettleDec	posted;
} Sum;

typedef struct RunPlan
{
	bool		simulates;
	HTAB	   *sums;
	HTAB	   *parties;
	int			nparties;		/* numbers that are given, by the book and by us */
	List	   *components;
} RunPlan;

/* ---- hooks of the run ---- */

bool
settle_plan_simulates(const Run *run)
{
	return run->plan->simulates;
}

/*
 * Gives a party that the book does not know a number for the time of the look.
 */
int
settle_plan_party(Run *run, const char *code)
{
	NewParty   *party;
	bool		found;

	party = hash_search(run->plan->parties, code, HASH_ENTER, &found);
	if (!found)
		party->number = ++run->plan->nparties;
	return party->number;
}

static int
component_number(RunPlan *plan, const char *component)
{
	ListCell   *lc;

	foreach(lc, plan->components)
		if (strcmp(lfirst(lc), component) == 0)
			return foreach_current_index(lc);
	plan->components = lappend(plan->components, MemoryContextStrdup(GetMemoryChunkContext(plan->components), component));
	return list_length(plan->components) - 1;
}

static Sum *
find_sum(RunPlan *plan, const SumKey *key)
{
	Sum		   *sum;
	bool		found;

	sum = hash_search(plan->sums, key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) sum + sizeof(SumKey), 0, sizeof(Sum) - sizeof(SumKey));
		sum->amount = sum->posted = settle_dec_int(0);
	}
	return sum;
}

static void
add_to(Run *run, SettleDec *sum, SettleDec amount)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	*sum = settle_dec_keep(settle_dec_add(*sum, amount));
	MemoryContextSwitchTo(old);
}

/*
 * Counts a ticket once in a sum; the sheets of one ticket come together.
 */
static void
count_ticket(Sum *sum, const RunTicket *ticket)
{
	if (ticket == NULL || sum->last == ticket)
		return;
	sum->last = ticket;
	sum->tickets++;
	if (ticket->posted == NULL)
		sum->fresh++;
	else if (ticket->nlines == 0)
		sum->withdrawn++;
	else
		sum->corrected++;
}

/*
 * Finds the sum that a line belongs to; a simulation asks for the month of the
 * ticket's own period, and puts what a tally owes beyond its tickets with them.
 */
static Sum *
sum_of_line(Run *run, const RunLine *line, int source_id, DateADT period, DateADT own_period, bool is_retier)
{
	RunPlan    *plan = run->plan;
	const char *component = line->rule->def->component;
	SumKey		key;

	memset(&key, 0, sizeof(key));
	/* what stands on no ticket is of a tally, or of a rate */
	key.component = component_number(plan, source_id == 0 && !is_retier && !plan->simulates ? psprintf("%s.fx", component) : component);
	key.payee = line->payee;
	strlcpy(key.unit, line->unit, sizeof(key.unit));
	if (plan->simulates)
		key.period = own_period;
	else
	{
		key.source_id = source_id;
		key.period = period;
		key.corrects = own_period;
		key.is_retier = is_retier;
	}
	return find_sum(plan, &key);
}

void
settle_plan_drafts(Run *run, const Drafts *drafts)
{
	for (int i = 0; i < drafts->n; i++)
	{
		const Draft *draft = &drafts->items[i];

		for (int k = 0; k < draft->nlines; k++)
		{
			Sum		   *sum = sum_of_line(run, &draft->lines[k], draft->source_id, draft->period, draft->own_period, draft->is_retier);

			count_ticket(sum, draft->ticket);
			sum->lines++;
			add_to(run, &sum->amount, draft->lines[k].amount);
		}
		if (draft->nlines == 0 && !run->plan->simulates)
		{
			SumKey		key;

			memset(&key, 0, sizeof(key));
			key.component = -1;
			key.source_id = draft->source_id;
			key.period = draft->period;
			key.corrects = draft->own_period;
			strlcpy(key.unit, draft->currency, sizeof(key.unit));
			count_ticket(find_sum(run->plan, &key), draft->ticket);
		}
	}
	/* the batch's tickets go, and others may come to lie where they were */
	{
		HASH_SEQ_STATUS scan;
		Sum		   *sum;

		hash_seq_init(&scan, run->plan->sums);
		while ((sum = hash_seq_search(&scan)) != NULL)
			sum->last = NULL;
	}
}

/*
 * A simulation shows what stands for a ticket beside what it would become.
 */
void
settle_plan_posted(Run *run, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;

	if (!run->plan->simulates)
		return;
	for (int i = 0; i < posted->nlines; i++)
	{
		Sum		   *sum = sum_of_line(run, &posted->lines[i], 0, posted->period, posted->period, false);

		add_to(run, &sum->posted, posted->lines[i].amount);
	}
}

/* ---- the looks ---- */

static void
begin_look(Run *run, const SettleBook *book, bool simulates)
{
	HASHCTL		control;
	RunPlan    *plan;
	MemoryContext old;
	bool		isnull;

	settle_begin_run(run, book, false);
	old = MemoryContextSwitchTo(run->context);
	run->plan = plan = palloc0(sizeof(RunPlan));
	plan->simulates = simulates;
	plan->components = list_make1(pstrdup(""));
	memset(&control, 0, sizeof(control));
	control.hcxt = run->context;
	control.keysize = sizeof(SumKey);
	control.entrysize = sizeof(Sum);
	plan->sums = hash_create("scrm_settle plan", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = sizeof(((NewParty *) NULL)->code);
	control.entrysize = sizeof(NewParty);
	plan->parties = hash_create("scrm_settle new parties", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	MemoryContextSwitchTo(old);
	settle_book_execute(psprintf("SELECT coalesce(pg_catalog.max(p.party_id), 0) FROM %s.party AS p", book->name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	plan->nparties = DatumGetInt32(settle_spi_datum(0, 1, &isnull));
}

/* Columns of what a look has summed, as the queries below call them. */
#define SUM_COLUMNS "component, payee, period, corrects, source_id, is_retier, unit, tickets, fresh, corrected, withdrawn, lines, amount, posted"

static const Oid sum_types[] = {
	TEXTOID, TEXTOID, DATEOID, DATEOID, INT2OID, BOOLOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, NUMERICOID, NUMERICOID
};

/*
 * Names the parties that sums are for, by their place in the array of numbers.
 */
static char **
party_codes(Run *run)
{
	RunPlan    *plan = run->plan;
	char	  **codes = palloc0(sizeof(char *) * (plan->nparties + 1));
	HASH_SEQ_STATUS scan;
	NewParty   *party;
	Sum		   *sum;
	Datum	   *numbers = palloc(sizeof(Datum) * (hash_get_num_entries(plan->sums) + 1));
	int			n = 0;
	Oid			type = INT4ARRAYOID;
	Datum		value;
	bool		isnull;

	hash_seq_init(&scan, plan->parties);
	while ((party = hash_seq_search(&scan)) != NULL)
		codes[party->number] = party->code;
	hash_seq_init(&scan, plan->sums);
	while ((sum = hash_seq_search(&scan)) != NULL)
		numbers[n++] = Int32GetDatum(sum->key.payee);
	value = settle_array_of(INT4OID, numbers, n);
	settle_book_execute(psprintf("SELECT p.party_id, p.party FROM %s.party AS p WHERE p.party_id OPERATOR(pg_catalog.=) ANY ($1)", run->book.name),
						1, &type, &value, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		codes[DatumGetInt32(settle_spi_datum((int) row, 1, &isnull))] = TextDatumGetCString(settle_spi_datum((int) row, 2, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return codes;
}

/*
 * Returns the rows of a query over the sums, whose format arguments are the
 * book and a FROM item; it has further parameters after those of the sums.
 */
static void
return_sums(Run *run, const char *query, int nmore, Oid *more_types, Datum *more_values, ReturnSetInfo *rsinfo)
{
	RunPlan    *plan = run->plan;
	int			n = hash_get_num_entries(plan->sums);
	char	  **codes = party_codes(run);
	HASH_SEQ_STATUS scan;
	Sum		   *sum;
	Datum	   *columns[lengthof(sum_types)];
	Oid			types[lengthof(sum_types) + 2];
	Datum		values[lengthof(sum_types) + 2];
	StringInfoData from;
	int			at = 0;
	uint64		nrows;

	for (int c = 0; c < lengthof(sum_types); c++)
		columns[c] = palloc(sizeof(Datum) * Max(n, 1));
	hash_seq_init(&scan, plan->sums);
	while ((sum = hash_seq_search(&scan)) != NULL)
	{
		bool		any = sum->key.component >= 0;

		columns[0][at] = CStringGetTextDatum(any ? list_nth(plan->components, sum->key.component) : "");
		columns[1][at] = CStringGetTextDatum(any ? codes[sum->key.payee] : "");
		columns[2][at] = DateADTGetDatum(sum->key.period);
		columns[3][at] = DateADTGetDatum(sum->key.corrects);
		columns[4][at] = Int16GetDatum(sum->key.source_id);
		columns[5][at] = BoolGetDatum(sum->key.is_retier);
		columns[6][at] = CStringGetTextDatum(sum->key.unit);
		columns[7][at] = Int64GetDatum(sum->tickets);
		columns[8][at] = Int64GetDatum(sum->fresh);
		columns[9][at] = Int64GetDatum(sum->corrected);
		columns[10][at] = Int64GetDatum(sum->withdrawn);
		columns[11][at] = Int64GetDatum(sum->lines);
		columns[12][at] = NumericGetDatum(settle_dec_to_numeric(sum->amount));
		columns[13][at++] = NumericGetDatum(settle_dec_to_numeric(sum->posted));
	}
	initStringInfo(&from);
	appendStringInfoString(&from, "unnest(");
	for (int c = 0; c < lengthof(sum_types); c++)
	{
		appendStringInfo(&from, "%s$%d", c == 0 ? "" : ", ", c + 1);
		types[c] = get_array_type(sum_types[c]);
		values[c] = settle_array_of(sum_types[c], columns[c], n);
	}
	appendStringInfoString(&from, ") AS u(" SUM_COLUMNS ")");
	for (int i = 0; i < nmore; i++)
	{
		types[lengthof(sum_types) + i] = more_types[i];
		values[lengthof(sum_types) + i] = more_values[i];
	}
	nrows = settle_book_execute(psprintf(query, run->book.name, from.data), lengthof(sum_types) + nmore, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < nrows; row++)
	{
		Datum		cells[12];
		bool		nulls[12];

		for (int c = 0; c < rsinfo->setDesc->natts; c++)
			cells[c] = settle_spi_datum((int) row, c + 1, &nulls[c]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, cells, nulls);
	}
}

static void
plan_run(const SettleBook *book, bool with_held, ReturnSetInfo *rsinfo)
{
	Run			run;

	begin_look(&run, book, false);
	run.with_held = with_held;
	settle_plan_pending(&run);
	return_sums(&run, "SELECT so.source::pg_catalog.text, nullif(u.component, '') || CASE WHEN u.is_retier THEN '.retier' ELSE '' END, nullif(u.payee, ''), "
				"u.period, nullif(u.corrects, u.period), u.unit, u.tickets, u.lines, u.amount, u.fresh, u.corrected, u.withdrawn "
				"FROM %2$s JOIN %1$s.source AS so ON so.source_id = u.source_id ORDER BY so.source_id = 0, so.source_id, 4, 5, 2, 3, 6",
				0, NULL, NULL, rsinfo);
	settle_release_sources(&run);
}

/*
 * settle.plan(book regnamespace, held boolean default false) returns setof
 *			   (source, component, payee, period, corrects_period, unit,
 *				tickets, lines, amount, new, corrected, withdrawn)
 *
 * Returns what the next run would post.
 */
PG_FUNCTION_INFO_V1(settle_plan);
Datum
settle_plan(PG_FUNCTION_ARGS)
{
	SettleBook	book;
	SettleIdentity identity;

	InitMaterializedSRF(fcinfo, 0);
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_reads_only = true;
	PG_TRY();
	{
		plan_run(&book, PG_GETARG_BOOL(1), (ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_FINALLY();
	{
		settle_book_reads_only = false;
	}
	PG_END_TRY();
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}

static void
simulate_run(const SettleBook *book, const char *pack, Datum since, Datum until, ReturnSetInfo *rsinfo)
{
	Run			run;
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		bounds[] = {since, until};

	begin_look(&run, book, true);
	run.with_held = true;
	/* the base is in force anyway */
	run.with_pack = strcmp(pack, "base") == 0 ? NULL : pack;
	run.with_since = DatumGetTimestampTz(since);
	run.ruleset = settle_book_ruleset_with(book, pack, run.with_since);
	settle_prepare_run(&run);
	for (int i = 0; i < run.nsources; i++)
		settle_span(&run, run.sources[i], since, until);
	settle_post_tallies(&run);
	/* what tallies owe beyond their tickets stands in the period of the latest one */
	return_sums(&run, "SELECT a.component, a.payee, pg_catalog.date_trunc('month', a.period)::pg_catalog.date AS month, a.unit, "
				"sum(a.posted), sum(a.posted) + sum(a.amount), sum(a.amount) FROM ("
				"SELECT u.component, u.payee, u.period, u.unit, u.amount, u.posted FROM %2$s "
				"UNION ALL SELECT r.component, p.party, coalesce(s.corrects_period, s.period), s.currency, 0, l.amount "
				"FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l JOIN %1$s.rule AS r ON r.rule_id = l.rule_id JOIN %1$s.party AS p ON p.party_id = l.payee_id "
				"CROSS JOIN %1$s.book AS b WHERE s.source_id = 0 "
				"AND coalesce(s.corrects_period, s.period) >= pg_catalog.date_trunc(b.period, pg_catalog.timezone(b.time_zone, $15)) "
				"AND coalesce(s.corrects_period, s.period) < pg_catalog.timezone(b.time_zone, $16)) AS a "
				"GROUP BY 1, 2, 3, 4 ORDER BY 3, 1, 2, 4",
				2, types, bounds, rsinfo);
	settle_release_sources(&run);
}

/*
 * settle.simulate(book regnamespace, since timestamptz, until timestamptz,
 *				   pack text) returns setof
 *				   (component, payee, month, unit, posted, simulated, difference)
 *
 * Returns what the tickets of a time span would be paid under a pack.
 */
PG_FUNCTION_INFO_V1(settle_simulate);
Datum
settle_simulate(PG_FUNCTION_ARGS)
{
	SettleBook	book;
	SettleIdentity identity;
	Datum		since = PG_ARGISNULL(1) ? TimestampTzGetDatum(DT_NOBEGIN) : PG_GETARG_DATUM(1);
	Datum		until = PG_ARGISNULL(2) ? TimestampTzGetDatum(DT_NOEND) : PG_GETARG_DATUM(2);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s is null", PG_ARGISNULL(0) ? "book" : "pack")));
	InitMaterializedSRF(fcinfo, 0);
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	if (DatumGetTimestampTz(since) >= DatumGetTimestampTz(until))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a time span must end after it begins"),
				 errhint("A ticket of the instant \"until\" itself is not part of it.")));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_reads_only = true;
	PG_TRY();
	{
		simulate_run(&book, text_to_cstring(PG_GETARG_TEXT_PP(3)), since, until, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_FINALLY();
	{
		settle_book_reads_only = false;
	}
	PG_END_TRY();
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
