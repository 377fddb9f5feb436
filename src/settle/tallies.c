/*
 * tallies.c
 *		Tallies of a run: loading and locking them, pricing what adds to them,
 *		writing what is left.
 *
 * State rows are created and locked in the order of their key; that is what
 * keeps posters at commit from deadlocking.  First everything that is withdrawn
 * leaves, then tickets arrive in the order of their time and key; what is left
 * of the change of round(C) is posted at the end of the run, on no ticket.
 */
#include "settle/post.h"

#include "book/rows.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

static Tally *
find_tally(Run *run, RunSource *source, const RunLine *line)
{
	TallyKey	key;
	Tally	   *tally;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.code = line->rule->code;
	key.owner = line->owner;
	key.period = line->tally_period;
	strlcpy(key.unit, line->unit, sizeof(key.unit));
	tally = hash_search(run->tallies, &key, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);
		int			n = line->rule->code->nversions;

		tally->source = source;
		tally->payer = line->payer;
		tally->payee = line->payee;
		tally->moved = DATEVAL_NOBEGIN;
		tally->is_new = true;
		tally->parts = palloc0(sizeof(SettleTallyPart) * n);
		tally->amounts = palloc(sizeof(SettleDec) * n);
		tally->exists = palloc0(sizeof(bool) * n);
		tally->changed = palloc0(sizeof(bool) * n);
		tally->places = palloc0(sizeof(ItemPointerData) * n);
		for (int v = 0; v < n; v++)
		{
			tally->parts[v].pricer = line->rule->code->versions[v]->pricer;
			tally->parts[v].quantity = tally->parts[v].weighted = tally->amounts[v] = settle_dec_int(0);
		}
		MemoryContextSwitchTo(old);
	}
	return tally;
}

static int
version_of(const SettleRule *rule)
{
	for (int v = 0; v < rule->code->nversions; v++)
		if (rule->code->versions[v] == rule)
			return v;
	elog(ERROR, "rule \"%s\" is no version of its code", rule->def->code);
}

/* A row of tally_state: one version of one tally. */
typedef struct TallyRow
{
	Tally	   *tally;
	int			version;
	int			rule_id;
	Datum		unit;
} TallyRow;

/*
 * Compares rows as the key of their table orders them.
 */
static int
compare_rows(const void *a, const void *b)
{
	const TallyRow *ra = a;
	const TallyRow *rb = b;
	const TallyKey *ka = &ra->tally->key;
	const TallyKey *kb = &rb->tally->key;

	if (ra->rule_id != rb->rule_id)
		return ra->rule_id < rb->rule_id ? -1 : 1;
	if (ka->owner != kb->owner)
		return ka->owner < kb->owner ? -1 : 1;
	if (ka->period != kb->period)
		return ka->period < kb->period ? -1 : 1;
	return DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, DEFAULT_COLLATION_OID, ra->unit, rb->unit));
}

/*
 * Lists the rows of tallies that were met for the first time.
 */
static TallyRow *
list_new_rows(Run *run, int *n)
{
	HASH_SEQ_STATUS scan;
	Tally	   *tally;
	TallyRow   *rows;
	int			space = 0;

	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		if (tally->is_new)
			space += tally->key.code->nversions;
	rows = palloc_extended(sizeof(TallyRow) * Max(space, 1), MCXT_ALLOC_HUGE);
	*n = 0;
	if (space == 0)
		return rows;
	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
	{
		if (!tally->is_new)
			continue;
		for (int v = 0; v < tally->key.code->nversions; v++)
			rows[(*n)++] = (TallyRow)
			{
				tally, v, tally->source->rule_ids[tally->key.code->versions[v]->ordinal], CStringGetTextDatum(tally->key.unit)
			};
		tally->is_new = false;
	}
	return rows;
}

/*
 * Takes over the state that a row has: count, quantity, weighted, amount, payer
 * and payee.
 */
static void
take_state(Run *run, const TallyRow *row, const Datum *values)
{
	Tally	   *tally = row->tally;
	int			v = row->version;
	SettleDec	quantity = settle_dec_from_numeric(DatumGetNumeric(values[1]));
	SettleDec	weighted = settle_dec_from_numeric(DatumGetNumeric(values[2]));
	SettleDec	amount = settle_dec_from_numeric(DatumGetNumeric(values[3]));
	MemoryContext old = MemoryContextSwitchTo(run->context);

	tally->parts[v].count = DatumGetInt64(values[0]);
	tally->parts[v].quantity = settle_dec_keep(quantity);
	tally->parts[v].weighted = settle_dec_keep(weighted);
	tally->amounts[v] = settle_dec_keep(amount);
	tally->payer = DatumGetInt32(values[4]);
	tally->payee = tally->payee_before = DatumGetInt32(values[5]);
	tally->exists[v] = true;
	MemoryContextSwitchTo(old);
}

/*
 * Loads rows by their index, in the order of their key, and locks them unless
 * this is a look ahead.  False where that takes statements: at commit rows that
 * are missing must be made, to be locked, since posters go beside each other.
 */
static bool
load_by_index(Run *run, TallyRow *rows, int n)
{
	static const SettleLookup lookup = {
		"tally_state", {{"rule_id", INT4OID}, {"owner_id", INT4OID}, {"period", DATEOID}, {"unit", TEXTOID}},
		{{"count", INT8OID}, {"quantity", NUMERICOID}, {"weighted", NUMERICOID}, {"amount", NUMERICOID}, {"payer_id", INT4OID}, {"payee_id", INT4OID}}
	};
	SettleScan	scan;
	bool		complete = true;

	qsort(rows, n, sizeof(TallyRow), compare_rows);
	for (int i = 0; i < n && complete; i++)
	{
		Tally	   *tally = rows[i].tally;
		Datum		keys[] = {Int32GetDatum(rows[i].rule_id), Int32GetDatum(tally->key.owner), DateADTGetDatum(tally->key.period), rows[i].unit};

		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			settle_scan_again(&scan, keys);
		else if (!settle_scan_begin(&scan, &run->book, &lookup, keys))
			return false;
		if (!settle_scan_next(&scan))
		{
			complete = !run->at_commit;
			continue;
		}
		if (run->plan == NULL)
			settle_scan_lock(&scan, &tally->places[rows[i].version]);
		take_state(run, &rows[i], scan.values);
	}
	settle_scan_end(&scan);
	return complete;
}

/*
 * Loads rows by statements, and locks them unless this is a look ahead.
 */
static void
load_by_statements(Run *run, const TallyRow *rows, int n)
{
	static const Oid types[] = {INT4OID, INT4OID, DATEOID, TEXTOID, INT4OID, INT4OID};
	Datum	   *columns[lengthof(types)];
	Oid			array_types[lengthof(types)];
	Datum		values[lengthof(types)];
	uint64		nrows;

	for (int c = 0; c < lengthof(types); c++)
		columns[c] = palloc_extended(sizeof(Datum) * n, MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		const Tally *tally = rows[i].tally;

		columns[0][i] = Int32GetDatum(rows[i].rule_id);
		columns[1][i] = Int32GetDatum(tally->key.owner);
		columns[2][i] = DateADTGetDatum(tally->key.period);
		columns[3][i] = rows[i].unit;
		columns[4][i] = Int32GetDatum(tally->payer);
		columns[5][i] = Int32GetDatum(tally->payee);
	}
	for (int c = 0; c < lengthof(types); c++)
	{
		array_types[c] = get_array_type(types[c]);
		values[c] = settle_array_of(types[c], columns[c], n);
	}

	/* at commit the rows must be there to be locked: posters go beside each other */
	if (run->at_commit)
		settle_book_execute(psprintf("INSERT INTO %s.tally_state (rule_id, owner_id, period, unit, payer_id, payee_id, count, quantity, weighted, amount) "
									 "SELECT u.r, u.o, u.p, u.u, u.y, u.e, 0, 0, 0, 0 FROM unnest($1, $2, $3, $4, $5, $6) AS u(r, o, p, u, y, e) "
									 "ORDER BY u.r, u.o, u.p, u.u ON CONFLICT DO NOTHING", run->book.name),
							6, array_types, values, NULL, SPI_OK_INSERT);
	/*
	 * The lock is taken in the order of the key; an outer query gives the
	 * position back.
	 */
	nrows = settle_book_execute(psprintf("SELECT u.at, t.count, t.quantity, t.weighted, t.amount, t.payer_id, t.payee_id "
										 "FROM %s.tally_state AS t JOIN unnest($1, $2, $3, $4) WITH ORDINALITY AS u(r, o, p, u, at) "
										 "ON t.rule_id OPERATOR(pg_catalog.=) u.r AND t.owner_id OPERATOR(pg_catalog.=) u.o "
										 "AND t.period OPERATOR(pg_catalog.=) u.p AND t.unit OPERATOR(pg_catalog.=) u.u "
										 "ORDER BY t.rule_id, t.owner_id, t.period, t.unit%s", run->book.name, run->plan != NULL ? "" : " FOR NO KEY UPDATE OF t"),
								4, array_types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		Datum		state[6];

		for (int c = 0; c < lengthof(state); c++)
			state[c] = settle_spi_datum((int) row, c + 2, &isnull);
		take_state(run, &rows[DatumGetInt64(settle_spi_datum((int) row, 1, &isnull)) - 1], state);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Loads and locks the state of the tallies that were met for the first time.
 */
static void
load_tallies(Run *run)
{
	int			n;
	TallyRow   *rows = list_new_rows(run, &n);

	if (n == 0)
		return;
	if (!load_by_index(run, rows, n))
		load_by_statements(run, rows, n);
	if (run->at_commit)
		settle_run_check_rules(run);
}

/*
 * Keeps the decimals of a part beyond the batch.
 */
static void
keep_part(Run *run, Tally *tally, int v)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	tally->parts[v].quantity = settle_dec_keep(tally->parts[v].quantity);
	tally->parts[v].weighted = settle_dec_keep(tally->parts[v].weighted);
	tally->amounts[v] = settle_dec_keep(tally->amounts[v]);
	tally->changed[v] = true;
	MemoryContextSwitchTo(old);
}

static void
leave_tally(Run *run, const RunLine *line, DateADT period)
{
	Tally	   *tally = line->tally;
	int			v = version_of(line->rule);
	SettleTallyPart *part = &tally->parts[v];

	part->count -= line->count;
	part->quantity = settle_dec_sub(part->quantity, line->quantity);
	part->weighted = settle_dec_sub(part->weighted, settle_dec_mul(line->base, line->factor));
	tally->amounts[v] = settle_dec_sub(tally->amounts[v], line->amount);
	tally->moved = Max(tally->moved, period);
	keep_part(run, tally, v);
}

static void
arrive_at_tally(Run *run, RunSource *source, RunLine *line, DateADT period)
{
	Tally	   *tally = line->tally;
	int			v = version_of(line->rule);
	const SettleRounding *rounding = settle_rule_rounding(source->set, line->rule, tally->key.unit);

	line->amount = settle_tally_arrive(tally->parts, tally->key.code->nversions, v, line->quantity, line->base, line->factor, line->count, rounding);
	tally->amounts[v] = settle_dec_add(tally->amounts[v], line->amount);
	tally->moved = Max(tally->moved, period);
	/* several payees: the owner answers for the tally, unless it is he who pays */
	if (tally->payee != line->payee && tally->payer != tally->key.owner)
		tally->payee = tally->key.owner;
	keep_part(run, tally, v);
}

static int
compare_arrival(const void *a, const void *b)
{
	const RunTicket *ta = *(RunTicket *const *) a;
	const RunTicket *tb = *(RunTicket *const *) b;

	if (ta->ticket_time != tb->ticket_time)
		return ta->ticket_time < tb->ticket_time ? -1 : 1;
	return strcmp(ta->key, tb->key);
}

/*
 * Meets the tallies that a ticket comes to or leaves.
 */
static void
meet_tallies(Run *run, RunSource *source, RunTicket *ticket)
{
	for (int k = 0; k < ticket->nlines; k++)
		if (ticket->lines[k].in_tally)
			ticket->lines[k].tally = find_tally(run, source, &ticket->lines[k]);
	for (int k = 0; ticket->posted != NULL && k < ticket->posted->nlines; k++)
	{
		RunLine    *posted = &ticket->posted->lines[k];

		if (!posted->in_tally)
			continue;
		posted->tally = find_tally(run, source, posted);
		if (posted->by_posting)
		{
			RunLine		back = *posted;

			back.tally_period = settle_span_start(posted->rule->def->accumulate, run->now);
			find_tally(run, source, &back);
		}
	}
}

/*
 * Prices the lines of the batch that add to tallies.
 */
void
settle_price_tallies(Run *run, RunSource *source, RunTicket **moving, int nmoving)
{
	/* all are met, then loaded at once, in order */
	for (int i = 0; i < nmoving; i++)
	{
		CHECK_FOR_INTERRUPTS();
		meet_tallies(run, source, moving[i]);
	}
	load_tallies(run);

	for (int i = 0; i < nmoving; i++)
	{
		RunTicket  *ticket = moving[i];

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; ticket->posted != NULL && k < ticket->posted->nlines; k++)
		{
			RunLine    *posted = &ticket->posted->lines[k];

			if (!posted->in_tally)
				continue;
			if (settle_stays(ticket, posted))
			{
				/* where its sheet is taken back to stand elsewhere, it goes as it came */
				posted->back_period = posted->tally_period;
				posted->back_amount = settle_dec_neg(posted->amount);
			}
			else if (posted->by_posting)
			{
				RunLine		back = *posted;

				settle_negate_line(&back);
				back.tally_period = posted->back_period = settle_span_start(posted->rule->def->accumulate, run->now);
				back.tally = find_tally(run, source, &back);
				arrive_at_tally(run, source, &back, ticket->posted->period);
				posted->back_amount = back.amount;
			}
			else
				leave_tally(run, posted, ticket->posted->period);
		}
	}
	qsort(moving, nmoving, sizeof(RunTicket *), compare_arrival);
	for (int i = 0; i < nmoving; i++)
	{
		RunTicket  *ticket = moving[i];

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < ticket->nlines; k++)
		{
			RunLine    *line = &ticket->lines[k];
			const RunLine *posted;

			if (!line->in_tally)
				continue;
			posted = settle_posted_same(ticket, line);
			if (posted != NULL)
			{
				line->amount = posted->amount;
				line->tally_period = posted->tally_period;
			}
			else
				arrive_at_tally(run, source, line, ticket->period);
		}
	}
}

/* What a tally owes beyond its tickets' own lines. */
typedef struct Retier
{
	Tally	   *tally;
	int			version;		/* whose rule the line names */
	SettleDec	amount;
	const char *key;
	int			revision;
} Retier;

/*
 * Quotes a code that is not one plain word, so that no two tallies are spelled
 * alike.
 */
static const char *
one_word(const char *code)
{
	return strpbrk(code, " '") == NULL ? code : quote_literal_cstr(code);
}

/*
 * Finds what is left of a tally; false where its lines sum to what it owes.
 */
static bool
find_retier(Tally *tally, Retier *retier)
{
	const SettleRuleCode *code = tally->key.code;
	SettleDec	posted = settle_dec_int(0);
	const SettleRounding *rounding;
	int			version = -1;

	for (int v = 0; v < code->nversions; v++)
	{
		posted = settle_dec_add(posted, tally->amounts[v]);
		if (tally->parts[v].count > 0 || (version < 0 && tally->exists[v]))
			version = v;
	}
	retier->tally = tally;
	retier->version = Max(version, 0);
	rounding = settle_rule_rounding(tally->source->set, code->versions[retier->version], tally->key.unit);
	retier->amount = settle_dec_sub(settle_ratio_round(settle_tally_fee(tally->parts, code->nversions), rounding), posted);
	return settle_dec_sign(retier->amount) != 0;
}

static int
compare_tallies(const void *a, const void *b)
{
	const TallyKey *ka = &(*(Tally *const *) a)->key;
	const TallyKey *kb = &(*(Tally *const *) b)->key;
	int			cmp = strcmp(ka->code->code, kb->code->code);

	if (cmp != 0)
		return cmp;
	if (ka->owner != kb->owner)
		return ka->owner < kb->owner ? -1 : 1;
	if (ka->period != kb->period)
		return ka->period < kb->period ? -1 : 1;
	return strcmp(ka->unit, kb->unit);
}

/*
 * Names the sheet of what a ticket's corrections gain or lose by rates: three
 * words, where those of tallies have four.
 */
const char *
settle_fx_key(const RunSource *source, const char *key)
{
	return psprintf("fx %s %s", one_word(source->name), one_word(key));
}

/*
 * Gives the revisions that sheets of keys on no ticket get.
 */
static void
next_revisions(Run *run, Datum *keys, int *revisions, int n)
{
	Oid			type = TEXTARRAYOID;
	Datum		value = settle_array_of(TEXTOID, keys, n);
	bool		isnull;

	settle_book_execute(psprintf("SELECT coalesce((SELECT pg_catalog.max(s.revision) FROM %s.sheet AS s "
								 "WHERE s.source_id OPERATOR(pg_catalog.=) 0 AND s.ticket_key OPERATOR(pg_catalog.=) u.key), 0) "
								 "FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(key, at) ORDER BY u.at", run->book.name),
						1, &type, &value, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
		revisions[i] = DatumGetInt32(settle_spi_datum(i, 1, &isnull)) + 1;
	SPI_freetuptable(SPI_tuptable);
}

int
settle_next_revision(Run *run, const char *key)
{
	Datum		datum = CStringGetTextDatum(key);
	int			revision;

	next_revisions(run, &datum, &revision, 1);
	return revision;
}

/*
 * Names the sheets of retiers by rule, owner, period and unit, and finds their
 * next revisions.
 */
static void
name_retiers(Run *run, Retier *retiers, int n)
{
	Oid			type = INT4ARRAYOID;
	Datum	   *datums = palloc(sizeof(Datum) * n);
	int		   *revisions = palloc(sizeof(int) * n);
	Datum		value;
	bool		isnull;

	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(retiers[i].tally->key.owner);
	value = settle_array_of(INT4OID, datums, n);
	settle_book_execute(psprintf("SELECT p.party FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(id, at) "
								 "JOIN %s.party AS p ON p.party_id OPERATOR(pg_catalog.=) u.id ORDER BY u.at", run->book.name),
						1, &type, &value, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		char		period[MAXDATELEN + 1];

		JsonEncodeDateTime(period, DateADTGetDatum(retiers[i].tally->key.period), DATEOID, NULL);
		retiers[i].key = psprintf("%s %s %s %s", one_word(retiers[i].tally->key.code->code),
								  one_word(TextDatumGetCString(settle_spi_datum(i, 1, &isnull))), period, one_word(retiers[i].tally->key.unit));
		datums[i] = CStringGetTextDatum(retiers[i].key);
	}
	SPI_freetuptable(SPI_tuptable);
	next_revisions(run, datums, revisions, n);
	for (int i = 0; i < n; i++)
		retiers[i].revision = revisions[i];
}

static void
draft_retier(Run *run, Drafts *drafts, const Retier *retier)
{
	Tally	   *tally = retier->tally;
	RunLine		line = {0};
	Draft	   *draft;

	line.rule = tally->key.code->versions[retier->version];
	line.rule_id = tally->source->rule_ids[line.rule->ordinal];
	line.payer = tally->payer;
	line.payee = tally->payee;
	line.owner = tally->key.owner;
	line.unit = tally->key.unit;
	line.base = line.quantity = settle_dec_int(0);
	line.factor = settle_dec_int(1);
	line.amount = retier->amount;
	line.in_tally = true;
	line.tally_period = tally->key.period;
	tally->amounts[retier->version] = settle_dec_add(tally->amounts[retier->version], retier->amount);
	keep_part(run, tally, retier->version);

	draft = settle_new_draft(drafts);
	draft->key = retier->key;
	draft->is_retier = true;
	draft->revision = retier->revision;
	draft->ticket_time = run->now;
	draft->own_period = tally->moved;
	draft->currency = tally->key.unit;
	draft->revenue = draft->cost = settle_dec_int(0);
	settle_add_draft_line(draft, &line);
	draft->payout = settle_payout_of(run, NULL, draft->lines, 1, draft->currency);
}

/*
 * Tells whether a row stands where it was locked and only its state has changed.
 */
static bool
is_placed(const TallyRow *row)
{
	return ItemPointerIsValid(&row->tally->places[row->version]) && row->tally->payee == row->tally->payee_before;
}

static int
compare_places(const void *a, const void *b)
{
	const TallyRow *ra = a;
	const TallyRow *rb = b;

	return ItemPointerCompare(&ra->tally->places[ra->version], &rb->tally->places[rb->version]);
}

/*
 * Lists the rows that changed, in the order of their places: first those that
 * are new or get another payee, "others" of them.
 */
static TallyRow *
list_changed_rows(Run *run, int *n, int *others)
{
	HASH_SEQ_STATUS scan;
	Tally	   *tally;
	TallyRow   *rows;
	int			space = 0;
	int			at;

	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		for (int v = 0; v < tally->key.code->nversions; v++)
			space += tally->changed[v];
	rows = palloc_extended(sizeof(TallyRow) * Max(space, 1), MCXT_ALLOC_HUGE);
	*n = space;
	*others = 0;
	at = space;
	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		for (int v = 0; v < tally->key.code->nversions; v++)
		{
			TallyRow	row = {.tally = tally, .version = v};

			if (tally->changed[v])
				rows[is_placed(&row) ? --at : (*others)++] = row;
		}
	qsort(rows + *others, *n - *others, sizeof(TallyRow), compare_places);
	return rows;
}

static void
placed_values(int at, ItemPointer place, Datum *values, bool *nulls, void *arg)
{
	const TallyRow *row = &((const TallyRow *) arg)[at];
	const Tally *tally = row->tally;
	int			v = row->version;

	*place = tally->places[v];
	*values++ = Int64GetDatum(tally->parts[v].count);
	*values++ = NumericGetDatum(settle_dec_to_numeric(tally->parts[v].quantity));
	*values++ = NumericGetDatum(settle_dec_to_numeric(tally->parts[v].weighted));
	*values++ = NumericGetDatum(settle_dec_to_numeric(tally->amounts[v]));
	memset(nulls, false, sizeof(bool) * 4);
}

/*
 * Writes rows where they stand; false, and nothing done, where that takes a
 * statement.
 */
static bool
write_at_places(Run *run, TallyRow *rows, int n)
{
	static const char *const names[] = {"count", "quantity", "weighted", "amount"};
	Oid			relid = get_relname_relid("tally_state", run->book.schema);
	int			columns[lengthof(names)];
	int			written;

	if (n == 0)
		return true;
	for (int c = 0; c < lengthof(names); c++)
		columns[c] = get_attnum(relid, names[c]);
	written = settle_update_rows(relid, columns, lengthof(names), placed_values, rows, n);
	if (written >= 0 && written != n)
		elog(ERROR, "a tally that was locked has changed");
	return written >= 0;
}

static void
write_by_statement(Run *run, const TallyRow *rows, int n)
{
	static const Oid types[] = {INT4OID, INT4OID, DATEOID, TEXTOID, INT4OID, INT4OID, INT8OID, NUMERICOID, NUMERICOID, NUMERICOID};
	Datum	   *columns[lengthof(types)];
	Oid			array_types[lengthof(types)];
	Datum		values[lengthof(types)];

	if (n == 0)
		return;
	for (int c = 0; c < lengthof(types); c++)
		columns[c] = palloc_extended(sizeof(Datum) * n, MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		const Tally *tally = rows[i].tally;
		int			v = rows[i].version;

		columns[0][i] = Int32GetDatum(tally->source->rule_ids[tally->key.code->versions[v]->ordinal]);
		columns[1][i] = Int32GetDatum(tally->key.owner);
		columns[2][i] = DateADTGetDatum(tally->key.period);
		columns[3][i] = CStringGetTextDatum(tally->key.unit);
		columns[4][i] = Int32GetDatum(tally->payer);
		columns[5][i] = Int32GetDatum(tally->payee);
		columns[6][i] = Int64GetDatum(tally->parts[v].count);
		columns[7][i] = NumericGetDatum(settle_dec_to_numeric(tally->parts[v].quantity));
		columns[8][i] = NumericGetDatum(settle_dec_to_numeric(tally->parts[v].weighted));
		columns[9][i] = NumericGetDatum(settle_dec_to_numeric(tally->amounts[v]));
	}
	for (int c = 0; c < lengthof(types); c++)
	{
		array_types[c] = get_array_type(types[c]);
		values[c] = settle_array_of(types[c], columns[c], n);
	}
	settle_book_execute(psprintf("INSERT INTO %s.tally_state (rule_id, owner_id, period, unit, payer_id, payee_id, count, quantity, weighted, amount) "
								 "SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS u(r, o, p, u, y, e, n, x, w, a) ORDER BY u.r, u.o, u.p, u.u "
								 "ON CONFLICT (rule_id, owner_id, period, unit) DO UPDATE "
								 "SET payee_id = excluded.payee_id, count = excluded.count, quantity = excluded.quantity, weighted = excluded.weighted, amount = excluded.amount",
								 run->book.name),
						lengthof(types), array_types, values, NULL, SPI_OK_INSERT);
}

/*
 * Writes the state of the tallies that changed.
 */
static void
write_tallies(Run *run)
{
	int			n;
	int			others;
	TallyRow   *rows = list_changed_rows(run, &n, &others);

	write_by_statement(run, rows, write_at_places(run, rows + others, n - others) ? others : n);
}

void
settle_post_tallies(Run *run)
{
	HASH_SEQ_STATUS scan;
	Tally	   *tally;
	Tally	  **changed;
	Retier	   *retiers;
	int		   *parties;
	int			n = 0;
	int			nretiers = 0;
	Drafts		drafts = {0};
	MemoryContext old;

	MemoryContextReset(run->batch_context);
	old = MemoryContextSwitchTo(run->batch_context);
	changed = palloc(sizeof(Tally *) * (hash_get_num_entries(run->tallies) + 1));
	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		for (int v = 0; v < tally->key.code->nversions; v++)
			if (tally->changed[v])
			{
				changed[n++] = tally;
				break;
			}
	/* in an order that does not depend on where things lie in memory */
	qsort(changed, n, sizeof(Tally *), compare_tallies);
	retiers = palloc(sizeof(Retier) * Max(n, 1));
	parties = palloc(sizeof(int) * Max(n * 2, 1));
	for (int i = 0; i < n; i++)
		if (find_retier(changed[i], &retiers[nretiers]))
		{
			parties[2 * nretiers] = changed[i]->payer;
			parties[2 * nretiers++ + 1] = changed[i]->payee;
		}
	if (nretiers > 0)
	{
		settle_load_sides(run, parties, 2 * nretiers);
		if (run->plan == NULL)
			name_retiers(run, retiers, nretiers);
	}
	for (int i = 0; i < nretiers; i++)
		draft_retier(run, &drafts, &retiers[i]);
	settle_write_drafts(run, &drafts);
	if (run->plan == NULL)
		write_tallies(run);
	MemoryContextSwitchTo(old);
}
