/*
 * post.c
 *		Compares what the rules say now with what is posted, prices what adds to
 *		tallies, and writes the difference.
 *
 * A sheet is never changed: what is posted for a ticket is the sum of its
 * revisions.  Where only lines or figures differ, one further revision holds
 * the difference; where the ticket moved to another project, region, currency
 * or period, one takes all back where it stood and one posts it anew.
 *
 * Tallies: first everything that is withdrawn leaves, then tickets arrive in
 * the order of their time and key; what is left of the change of round(C) is
 * posted at the end of the run, on no ticket.
 */
#include "settle/settle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* One sheet to be written. */
typedef struct Draft
{
	const char *key;
	int16		source_id;
	int			revision;
	TimestampTz ticket_time;
	DateADT		period;
	struct varlena *project;
	struct varlena *region;
	const char *currency;
	SettleDec	revenue;
	SettleDec	cost;
	SettleDec	payout;
	int			tickets;
	int			nlines;
	int			space;
	RunLine    *lines;
	int64		sheet_id;
	bool		is_retier;
} Draft;

typedef struct Drafts
{
	int			n;
	int			space;
	Draft	   *items;
} Drafts;

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

/*
 * Makes an array of values of one type.
 */
static Datum
array_of(Oid type, Datum *datums, int n)
{
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_array(datums, n, type, len, byval, align));
}

/* ---- parties ---- */

static void
remember_side(Run *run, int party, const char *side)
{
	if (party >= run->sides_space)
	{
		int			space = Max(party + 1, Max(1024, run->sides_space * 2));

		run->sides = run->sides == NULL ? MemoryContextAllocZero(run->context, space) : repalloc(run->sides, space);
		memset(run->sides + run->sides_space, 0, space - run->sides_space);
		run->sides_space = space;
	}
	/* own, outside, customer, tax and transit differ in their first two letters */
	run->sides[party] = side[0] == 't' ? (side[1] == 'a' ? 't' : 'r') : side[0] == 'o' ? (side[1] == 'w' ? 'w' : 'o') : 'c';
}

/*
 * Loads the sides of parties that are not known yet, in one statement.
 */
static void
load_sides(Run *run, const int *parties, int n)
{
	Oid			type = INT4ARRAYOID;
	Datum	   *unknown = palloc(sizeof(Datum) * Max(n, 1));
	Datum		value;
	int			nunknown = 0;
	bool		isnull;

	for (int i = 0; i < n; i++)
		if (parties[i] >= run->sides_space || run->sides[parties[i]] == 0)
			unknown[nunknown++] = Int32GetDatum(parties[i]);
	if (nunknown > 0)
	{
		value = array_of(INT4OID, unknown, nunknown);
		settle_book_execute(psprintf("SELECT p.party_id, p.side FROM %s.party AS p WHERE p.party_id OPERATOR(pg_catalog.=) ANY ($1)", run->book.name),
							1, &type, &value, NULL, SPI_OK_SELECT);
		for (uint64 row = 0; row < SPI_processed; row++)
			remember_side(run, DatumGetInt32(settle_spi_datum((int) row, 1, &isnull)),
						  TextDatumGetCString(settle_spi_datum((int) row, 2, &isnull)));
		SPI_freetuptable(SPI_tuptable);
	}
	pfree(unknown);
}

static char
side_of(Run *run, int party)
{
	if (party >= run->sides_space || run->sides[party] == 0)
		load_sides(run, &party, 1);
	if (party >= run->sides_space || run->sides[party] == 0)
		elog(ERROR, "party %d is missing in book \"%s\"", party, run->book.label);
	return run->sides[party];
}

static int
compare_parties(const void *a, const void *b)
{
	return strcmp((*(SettleParty *const *) a)->code, (*(SettleParty *const *) b)->code);
}

/*
 * Gives every party that new lines name its number in the book; new codes are
 * added in order of code, so that two posters never wait for each other.
 */
static void
intern_parties(Run *run, RunSource *source)
{
	int			nparties = settle_set_nparties(source->set);
	SettleParty **unknown = NULL;
	int			n = 0;
	int			space = 0;
	Datum	   *codes;
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[1];
	char	   *name = unconstify(char *, run->book.name);

	if (nparties > source->nparty_ids)
	{
		int			wanted = Max(nparties, Max(256, source->nparty_ids * 2));

		source->party_ids = source->party_ids == NULL
			? MemoryContextAllocZero(run->context, sizeof(int) * wanted)
			: repalloc(source->party_ids, sizeof(int) * wanted);
		memset(source->party_ids + source->nparty_ids, 0, sizeof(int) * (wanted - source->nparty_ids));
		source->nparty_ids = wanted;
	}
	for (int i = 0; i < run->ntickets; i++)
		for (int k = 0; k < run->tickets[i].nlines; k++)
		{
			RunLine    *line = &run->tickets[i].lines[k];
			SettleParty *parties[] = {line->payer_party, line->payee_party, line->owner_party};

			for (int m = 0; m < 3; m++)
				if (parties[m] != NULL && source->party_ids[parties[m]->ordinal] == 0)
				{
					if (n == space)
					{
						space = Max(64, space * 2);
						unknown = unknown == NULL ? palloc(sizeof(SettleParty *) * space) : repalloc(unknown, sizeof(SettleParty *) * space);
					}
					unknown[n++] = parties[m];
					/* marked, so that it is listed once */
					source->party_ids[parties[m]->ordinal] = -1;
				}
		}
	if (n == 0)
		return;

	qsort(unknown, n, sizeof(SettleParty *), compare_parties);
	codes = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
		codes[i] = CStringGetTextDatum(unknown[i]->code);
	values[0] = array_of(TEXTOID, codes, n);
	for (int attempt = 0;; attempt++)
	{
		bool		all = true;

		/* WITH ORDINALITY keeps the order of the array */
		settle_book_execute(psprintf("SELECT p.party_id, p.side FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(code, at) "
									 "LEFT JOIN %s.party AS p ON p.party OPERATOR(pg_catalog.=) u.code ORDER BY u.at", name),
							1, types, values, NULL, SPI_OK_SELECT);
		for (int i = 0; i < n; i++)
		{
			bool		isnull;
			int			id = DatumGetInt32(settle_spi_datum(i, 1, &isnull));

			if (isnull)
			{
				all = false;
				continue;
			}
			source->party_ids[unknown[i]->ordinal] = id;
			remember_side(run, id, TextDatumGetCString(settle_spi_datum(i, 2, &isnull)));
		}
		if (all)
			break;
		if (attempt == 1)
			elog(ERROR, "could not add a party to book \"%s\"", run->book.label);
		settle_book_execute(psprintf("INSERT INTO %1$s.party (party, side) SELECT u.code, settle.side_of(u.code) "
									 "FROM pg_catalog.unnest($1) AS u(code) "
									 "WHERE NOT EXISTS (SELECT FROM %1$s.party AS p WHERE p.party OPERATOR(pg_catalog.=) u.code) "
									 "ORDER BY u.code ON CONFLICT DO NOTHING", name),
							1, types, values, NULL, SPI_OK_INSERT);
	}
}

static void
number_lines(Run *run, RunSource *source)
{
	for (int i = 0; i < run->ntickets; i++)
		for (int k = 0; k < run->tickets[i].nlines; k++)
		{
			RunLine    *line = &run->tickets[i].lines[k];

			line->rule_id = source->rule_ids[line->rule->ordinal];
			line->payer = source->party_ids[line->payer_party->ordinal];
			line->payee = source->party_ids[line->payee_party->ordinal];
			line->owner = line->owner_party == NULL ? 0 : source->party_ids[line->owner_party->ordinal];
		}
}

/* ---- what is posted ---- */

static bool
same_transfer(const RunLine *a, const RunLine *b)
{
	return a->rule_id == b->rule_id && a->payer == b->payer && a->payee == b->payee &&
		a->in_tally == b->in_tally &&
		(!a->in_tally || (a->owner == b->owner && (a->by_posting || a->tally_period == b->tally_period))) &&
		strcmp(a->unit, b->unit) == 0 && settle_dec_cmp(a->factor, b->factor) == 0;
}

/*
 * Tells whether a line is posted just as the rules say it now.
 */
static bool
same_line(const RunLine *now, const RunLine *posted)
{
	return same_transfer(now, posted) && settle_dec_cmp(now->base, posted->base) == 0 &&
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

		if (!same_transfer(have, line))
			continue;
		have->base = settle_dec_add(have->base, line->base);
		have->amount = settle_dec_add(have->amount, line->amount);
		have->count += line->count;
		if (have->in_tally)
			have->quantity = settle_dec_add(have->quantity, line->quantity);
		/* by posting time it may have come at one price and gone at another */
		if (settle_dec_sign(have->base) == 0 && have->count == 0 && (have->by_posting || settle_dec_sign(have->amount) == 0))
			*have = posted->lines[--posted->nlines];
		return;
	}
	if (posted->nlines == posted->space)
	{
		posted->space = Max(8, posted->space * 2);
		posted->lines = posted->lines == NULL ? palloc(sizeof(RunLine) * posted->space) : repalloc(posted->lines, sizeof(RunLine) * posted->space);
	}
	posted->lines[posted->nlines++] = *line;
}

static SettleDec
numeric_column(int row, int column)
{
	bool		isnull;
	Datum		value = settle_spi_datum(row, column, &isnull);

	return settle_dec_keep(settle_dec_from_numeric(DatumGetNumeric(value)));
}

static struct varlena *
varlena_column(int row, int column)
{
	bool		isnull;
	Datum		value = settle_spi_datum(row, column, &isnull);

	return isnull ? NULL : (struct varlena *) PG_DETOAST_DATUM_COPY(value);
}

static void
add_posted_sheet(Run *run, RunSource *source, Posted *posted, int row)
{
	bool		isnull;
	SettleLinesReader reader;
	SettleLineData data;

	posted->revision = DatumGetInt32(settle_spi_datum(row, 2, &isnull));
	posted->run_id = DatumGetInt64(settle_spi_datum(row, 3, &isnull));
	posted->ticket_time = DatumGetTimestampTz(settle_spi_datum(row, 4, &isnull));
	posted->period = DatumGetDateADT(settle_spi_datum(row, 5, &isnull));
	posted->project = varlena_column(row, 6);
	posted->region = varlena_column(row, 7);
	posted->currency = TextDatumGetCString(settle_spi_datum(row, 8, &isnull));
	posted->revenue = settle_dec_add(posted->revenue, numeric_column(row, 9));
	posted->cost = settle_dec_add(posted->cost, numeric_column(row, 10));
	posted->payout = settle_dec_add(posted->payout, numeric_column(row, 11));
	posted->tickets += DatumGetInt16(settle_spi_datum(row, 12, &isnull));

	posted->sheet_id = DatumGetInt64(settle_spi_datum(row, 14, &isnull));
	settle_lines_open(&reader, DatumGetSettleLines(settle_spi_datum(row, 13, &isnull)));
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
	load_sides(run, parties, nparties);
}

/*
 * Loads what is posted for the tickets that have sheets.
 */
static void
load_posted(Run *run, RunSource *source)
{
	RunTicket **known = palloc(sizeof(RunTicket *) * Max(run->ntickets, 1));
	Datum	   *keys;
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[2];
	int			n = 0;
	uint64		nrows;

	for (int i = 0; i < run->ntickets; i++)
		if (run->tickets[i].known)
			known[n++] = &run->tickets[i];
	if (n == 0)
		return;
	qsort(known, n, sizeof(RunTicket *), compare_tickets_by_key);
	keys = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
		keys[i] = CStringGetTextDatum(known[i]->key);
	values[0] = Int16GetDatum(source->id);
	values[1] = array_of(TEXTOID, keys, n);
	nrows = settle_book_execute(psprintf("SELECT s.ticket_key, s.revision, s.run_id, s.ticket_time, s.period, s.project, s.region, s.currency, "
										 "s.revenue, s.cost, s.payout, s.tickets, s.lines, s.sheet_id "
										 "FROM pg_catalog.unnest($2) AS u(ticket_key) JOIN %s.sheet AS s "
										 "ON s.source_id OPERATOR(pg_catalog.=) $1 AND s.ticket_key OPERATOR(pg_catalog.=) u.ticket_key "
										 "ORDER BY s.revision", run->book.name),
								2, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		RunTicket	wanted = {.key = TextDatumGetCString(settle_spi_datum((int) row, 1, &isnull))};
		RunTicket  *key = &wanted;
		RunTicket **found = bsearch(&key, known, n, sizeof(RunTicket *), compare_tickets_by_key);
		RunTicket  *ticket = *found;

		if (ticket->posted == NULL)
		{
			ticket->posted = palloc0(sizeof(Posted));
			ticket->posted->key = ticket->key;
			ticket->posted->revenue = ticket->posted->cost = ticket->posted->payout = settle_dec_int(0);
		}
		add_posted_sheet(run, source, ticket->posted, (int) row);
	}
	SPI_freetuptable(SPI_tuptable);
	load_posted_sides(run, known, n);
}

/*
 * Makes a problem of a key that two rows of the source share: one of them would
 * silently replace the other.
 */
static void
check_keys(Run *run, RunSource *source)
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

/* ---- tallies ---- */

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

/*
 * Loads and locks the state of the tallies that were met for the first time.
 */
static void
load_tallies(Run *run, RunSource *source)
{
	HASH_SEQ_STATUS scan;
	Tally	   *tally;
	Datum	   *rules;
	Datum	   *owners;
	Datum	   *periods;
	Datum	   *units;
	Tally	  **tallies;
	int		   *versions;
	int			n = 0;
	int			space = 0;
	uint64		nrows;
	Oid			date_array = get_array_type(DATEOID);
	Oid			types[] = {INT4ARRAYOID, INT4ARRAYOID, date_array, TEXTARRAYOID};
	Datum		values[4];

	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		if (tally->is_new)
			space += tally->key.code->nversions;
	if (space == 0)
		return;
	rules = palloc(sizeof(Datum) * space);
	owners = palloc(sizeof(Datum) * space);
	periods = palloc(sizeof(Datum) * space);
	units = palloc(sizeof(Datum) * space);
	tallies = palloc(sizeof(Tally *) * space);
	versions = palloc(sizeof(int) * space);
	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
	{
		if (!tally->is_new)
			continue;
		for (int v = 0; v < tally->key.code->nversions; v++)
		{
			rules[n] = Int32GetDatum(tally->source->rule_ids[tally->key.code->versions[v]->ordinal]);
			owners[n] = Int32GetDatum(tally->key.owner);
			periods[n] = DateADTGetDatum(tally->key.period);
			units[n] = CStringGetTextDatum(tally->key.unit);
			tallies[n] = tally;
			versions[n++] = v;
		}
		tally->is_new = false;
	}
	values[0] = array_of(INT4OID, rules, n);
	values[1] = array_of(INT4OID, owners, n);
	values[2] = array_of(DATEOID, periods, n);
	values[3] = array_of(TEXTOID, units, n);

	/* at commit the rows must be there to be locked: posters go beside each other */
	if (run->at_commit)
	{
		Oid			insert_types[] = {INT4ARRAYOID, INT4ARRAYOID, date_array, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID};
		Datum		insert_values[] = {values[0], values[1], values[2], values[3], 0, 0};
		Datum	   *payers = palloc(sizeof(Datum) * n);
		Datum	   *payees = palloc(sizeof(Datum) * n);

		for (int i = 0; i < n; i++)
		{
			payers[i] = Int32GetDatum(tallies[i]->payer);
			payees[i] = Int32GetDatum(tallies[i]->payee);
		}
		insert_values[4] = array_of(INT4OID, payers, n);
		insert_values[5] = array_of(INT4OID, payees, n);
		settle_book_execute(psprintf("INSERT INTO %s.tally_state (rule_id, owner_id, period, unit, payer_id, payee_id, count, quantity, weighted, amount) "
									 "SELECT u.r, u.o, u.p, u.u, u.y, u.e, 0, 0, 0, 0 FROM unnest($1, $2, $3, $4, $5, $6) AS u(r, o, p, u, y, e) "
									 "ORDER BY u.r, u.o, u.p, u.u ON CONFLICT DO NOTHING", run->book.name),
							6, insert_types, insert_values, NULL, SPI_OK_INSERT);
	}
	/*
	 * The lock is taken in the order of the key; an outer query gives the
	 * position back.
	 */
	nrows = settle_book_execute(psprintf("SELECT u.at, t.count, t.quantity, t.weighted, t.amount, t.payer_id, t.payee_id "
										 "FROM %s.tally_state AS t JOIN unnest($1, $2, $3, $4) WITH ORDINALITY AS u(r, o, p, u, at) "
										 "ON t.rule_id OPERATOR(pg_catalog.=) u.r AND t.owner_id OPERATOR(pg_catalog.=) u.o "
										 "AND t.period OPERATOR(pg_catalog.=) u.p AND t.unit OPERATOR(pg_catalog.=) u.u "
										 "ORDER BY t.rule_id, t.owner_id, t.period, t.unit FOR NO KEY UPDATE OF t", run->book.name),
								4, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		int			at = (int) DatumGetInt64(settle_spi_datum((int) row, 1, &isnull)) - 1;
		int			v = versions[at];
		MemoryContext old = MemoryContextSwitchTo(run->context);

		tally = tallies[at];
		tally->parts[v].count = DatumGetInt64(settle_spi_datum((int) row, 2, &isnull));
		tally->parts[v].quantity = numeric_column((int) row, 3);
		tally->parts[v].weighted = numeric_column((int) row, 4);
		tally->amounts[v] = numeric_column((int) row, 5);
		tally->payer = DatumGetInt32(settle_spi_datum((int) row, 6, &isnull));
		tally->payee = DatumGetInt32(settle_spi_datum((int) row, 7, &isnull));
		tally->exists[v] = true;
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(SPI_tuptable);
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
leave_tally(Run *run, RunSource *source, const RunLine *line, DateADT period)
{
	Tally	   *tally = find_tally(run, source, line);
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
	Tally	   *tally = find_tally(run, source, line);
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

/* ---- drafts ---- */

static Draft *
new_draft(Drafts *drafts)
{
	Draft	   *draft;

	if (drafts->n == drafts->space)
	{
		drafts->space = Max(1024, drafts->space * 2);
		drafts->items = drafts->items == NULL
			? MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Draft) * drafts->space)
			: repalloc_huge(drafts->items, sizeof(Draft) * drafts->space);
	}
	draft = &drafts->items[drafts->n++];
	memset(draft, 0, sizeof(*draft));
	return draft;
}

static void
add_draft_line(Draft *draft, const RunLine *line)
{
	if (draft->nlines == draft->space)
	{
		draft->space = Max(8, draft->space * 2);
		draft->lines = draft->lines == NULL ? palloc(sizeof(RunLine) * draft->space) : repalloc(draft->lines, sizeof(RunLine) * draft->space);
	}
	draft->lines[draft->nlines++] = *line;
}

static void
negate_line(RunLine *line)
{
	line->base = settle_dec_neg(line->base);
	line->quantity = settle_dec_neg(line->quantity);
	line->amount = settle_dec_neg(line->amount);
	line->count = -line->count;
}

static void
add_reversal(Draft *draft, const RunLine *posted)
{
	RunLine		line = *posted;

	negate_line(&line);
	if (line.by_posting)
	{
		line.tally_period = posted->back_period;
		line.amount = posted->back_amount;
	}
	add_draft_line(draft, &line);
}

/*
 * Sums what leaves own and transit parties to outside and tax parties, less
 * what returns; tax is not counted where the source says what of its revenue
 * is tax.
 */
static SettleDec
payout_of(Run *run, const RunSource *source, const RunLine *lines, int nlines, const char *currency)
{
	SettleDec	payout = settle_dec_int(0);

	for (int i = 0; i < nlines; i++)
	{
		char		payer = side_of(run, lines[i].payer);
		char		payee = side_of(run, lines[i].payee);
		bool		from_us = payer == 'w' || payer == 'r';
		bool		to_us = payee == 'w' || payee == 'r';

		if (from_us == to_us || strcmp(lines[i].unit, currency) != 0)
			continue;
		payer = from_us ? payee : payer;	/* the other one */
		if (payer == 'c' || (payer == 't' && source != NULL && source->tax_is_mapped))
			continue;
		payout = from_us ? settle_dec_add(payout, lines[i].amount) : settle_dec_sub(payout, lines[i].amount);
	}
	return payout;
}

static bool
same_path(const struct varlena *a, const struct varlena *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/*
 * Tells whether a posted line is what the rules say now, and stays.
 */
static bool
stays(const RunTicket *ticket, const RunLine *posted)
{
	for (int i = 0; i < ticket->nlines; i++)
		if (same_line(&ticket->lines[i], posted))
			return true;
	return false;
}

/*
 * What of the payout stays though a line is taken back: by posting time it may
 * go at another price than it came.
 */
static SettleDec
payout_left(Run *run, const RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	SettleDec	left = settle_dec_int(0);

	for (int i = 0; i < posted->nlines; i++)
	{
		RunLine		line = posted->lines[i];

		if (!line.by_posting || stays(ticket, &posted->lines[i]))
			continue;
		line.amount = settle_dec_add(line.amount, line.back_amount);
		left = settle_dec_add(left, payout_of(run, source, &line, 1, posted->currency));
	}
	return left;
}

/*
 * Drafts what takes a settled ticket back where it stands.
 */
static Draft *
draft_withdrawal(Run *run, Drafts *drafts, RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	Draft	   *draft = new_draft(drafts);

	draft->key = posted->key;
	draft->source_id = source->id;
	draft->revision = posted->revision + 1;
	draft->ticket_time = posted->ticket_time;
	draft->period = posted->period;
	draft->project = posted->project;
	draft->region = posted->region;
	draft->currency = posted->currency;
	draft->revenue = settle_dec_neg(posted->revenue);
	draft->cost = settle_dec_neg(posted->cost);
	draft->payout = settle_dec_sub(payout_left(run, source, ticket), posted->payout);
	draft->tickets = -posted->tickets;
	for (int i = 0; i < posted->nlines; i++)
		add_reversal(draft, &posted->lines[i]);
	return draft;
}

static Draft *
draft_ticket(Drafts *drafts, RunSource *source, const RunTicket *ticket, int revision)
{
	Draft	   *draft = new_draft(drafts);

	draft->key = ticket->key;
	draft->source_id = source->id;
	draft->revision = revision;
	draft->ticket_time = ticket->ticket_time;
	draft->period = ticket->period;
	draft->project = ticket->project;
	draft->region = ticket->region;
	draft->currency = ticket->currency;
	draft->revenue = ticket->revenue;
	draft->cost = ticket->cost;
	draft->tickets = 1;
	return draft;
}

/*
 * Drafts the difference between a settled ticket and what the rules say now;
 * none where there is none.
 */
static void
draft_correction(Run *run, Drafts *drafts, RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	bool	   *matched = palloc0(sizeof(bool) * Max(posted->nlines, 1));
	SettleDec	payout = payout_of(run, source, ticket->lines, ticket->nlines, ticket->currency);
	Draft	   *draft;

	if (posted->tickets == 1 &&
		(posted->period != ticket->period || !same_path(posted->project, ticket->project) ||
		 !same_path(posted->region, ticket->region) || strcmp(posted->currency, ticket->currency) != 0))
	{
		draft_withdrawal(run, drafts, source, ticket);
		draft = draft_ticket(drafts, source, ticket, posted->revision + 2);
		draft->payout = payout;
		draft->lines = ticket->lines;
		draft->nlines = draft->space = ticket->nlines;
		return;
	}

	draft = draft_ticket(drafts, source, ticket, posted->revision + 1);
	draft->revenue = settle_dec_sub(ticket->revenue, posted->revenue);
	draft->cost = settle_dec_sub(ticket->cost, posted->cost);
	draft->payout = settle_dec_sub(settle_dec_add(payout, payout_left(run, source, ticket)), posted->payout);
	draft->tickets = 1 - posted->tickets;
	for (int i = 0; i < ticket->nlines; i++)
	{
		RunLine		line = ticket->lines[i];
		bool		unchanged = false;

		for (int k = 0; k < posted->nlines; k++)
		{
			const RunLine *old = &posted->lines[k];

			if (matched[k] || !same_transfer(&line, old))
				continue;
			unchanged = same_line(&line, old);
			/* by posting time the two are priced in tallies of their own */
			if (line.by_posting && !unchanged)
				continue;
			matched[k] = true;
			line.base = settle_dec_sub(line.base, old->base);
			line.quantity = settle_dec_sub(line.quantity, old->quantity);
			line.amount = settle_dec_sub(line.amount, old->amount);
			line.count -= old->count;
			break;
		}
		if (!unchanged)
			add_draft_line(draft, &line);
	}
	for (int k = 0; k < posted->nlines; k++)
		if (!matched[k])
			add_reversal(draft, &posted->lines[k]);
	if (draft->nlines == 0 && draft->tickets == 0 && settle_dec_sign(draft->revenue) == 0 &&
		settle_dec_sign(draft->cost) == 0 && settle_dec_sign(draft->payout) == 0)
		drafts->n--;
}

/* ---- writing ---- */

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
	settle_copy_ltree(buf, draft->project);
	settle_copy_ltree(buf, draft->region);
	settle_copy_text(buf, draft->currency);
	settle_copy_dec(buf, draft->revenue);
	settle_copy_dec(buf, draft->cost);
	settle_copy_dec(buf, draft->payout);
	settle_copy_int16(buf, (int16) draft->tickets);
	settle_copy_bytes(buf, (char *) packed + VARHDRSZ, (int) (VARSIZE(packed) - VARHDRSZ));
	settle_copy_int64(buf, writer->run->run_id);
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
static void
write_drafts(Run *run, Drafts *drafts)
{
	static const char *const sheet_columns[] = {
		"sheet_id", "source_id", "ticket_key", "revision", "ticket_time", "period", "project", "region", "currency",
		"revenue", "cost", "payout", "tickets", "lines", "run_id"
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

/* ---- problems, unpaid, waiting ---- */

typedef struct KeyList
{
	int			n;
	int			space;
	Datum	   *keys;
	Datum	   *times;
} KeyList;

static void
add_key(KeyList *list, const char *key, TimestampTz time)
{
	if (list->n == list->space)
	{
		list->space = Max(64, list->space * 2);
		list->keys = list->keys == NULL ? palloc(sizeof(Datum) * list->space) : repalloc(list->keys, sizeof(Datum) * list->space);
		list->times = list->times == NULL ? palloc(sizeof(Datum) * list->space) : repalloc(list->times, sizeof(Datum) * list->space);
	}
	list->keys[list->n] = CStringGetTextDatum(key);
	list->times[list->n++] = TimestampTzGetDatum(time);
}

/*
 * Writes down a ticket that cannot be settled.
 */
static void
note_problem(Run *run, RunSource *source, const char *key, const char *rule, int sqlerrcode,
			 const char *message, const char *detail, const char *hint)
{
	Oid			types[] = {NAMEOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[7];
	char		nulls[8] = "       ";
	const char *texts[] = {key, rule, unpack_sql_state(sqlerrcode), message, detail, hint};
	NameData	name;

	namestrcpy(&name, source->name);
	values[0] = NameGetDatum(&name);
	for (int i = 0; i < 6; i++)
	{
		nulls[i + 1] = texts[i] == NULL ? 'n' : ' ';
		values[i + 1] = texts[i] == NULL ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	settle_book_execute(psprintf("INSERT INTO %1$s.problem AS p (source, ticket_key, rule_code, sqlstate, message, detail, hint) "
								 "VALUES ($1, $2, $3, $4, $5, $6, $7) "
								 "ON CONFLICT (source, ticket_key) DO UPDATE SET rule_code = excluded.rule_code, sqlstate = excluded.sqlstate, "
								 "message = excluded.message, detail = excluded.detail, hint = excluded.hint, last_seen = excluded.last_seen",
								 run->book.name),
						7, types, values, nulls, SPI_OK_INSERT);
	run->problems++;
}

static void
forget_keys(Run *run, RunSource *source, const char *table, const char *column, Oid type, Datum id, KeyList *list)
{
	Oid			types[] = {type, TEXTARRAYOID};
	Datum		values[] = {id, 0};

	/* these tables are empty most of the time */
	if (list->n == 0 ||
		settle_book_execute(psprintf("SELECT FROM %s.%s LIMIT 1", run->book.name, table), 0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	values[1] = array_of(TEXTOID, list->keys, list->n);
	settle_book_execute(psprintf("DELETE FROM %s.%s AS t WHERE t.%s OPERATOR(pg_catalog.=) $1 AND t.ticket_key OPERATOR(pg_catalog.=) ANY ($2)",
								 run->book.name, table, column),
						2, types, values, NULL, SPI_OK_DELETE);
}

static void
note_states(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *unpaid, KeyList *waiting, KeyList *arrived)
{
	NameData	name;
	Oid			types[] = {NAMEOID, TEXTARRAYOID, get_array_type(TIMESTAMPTZOID)};
	Datum		values[3];

	namestrcpy(&name, source->name);
	forget_keys(run, source, "problem", "source", NAMEOID, NameGetDatum(&name), solved);
	forget_keys(run, source, "unpaid", "source", NAMEOID, NameGetDatum(&name), paid);
	forget_keys(run, source, "waiting", "source_id", INT2OID, Int16GetDatum(source->id), arrived);
	if (unpaid->n > 0)
	{
		values[0] = NameGetDatum(&name);
		values[1] = array_of(TEXTOID, unpaid->keys, unpaid->n);
		values[2] = array_of(TIMESTAMPTZOID, unpaid->times, unpaid->n);
		settle_book_execute(psprintf("INSERT INTO %s.unpaid (source, ticket_key, ready_at) "
									 "SELECT $1, u.k, u.t FROM unnest($2, $3) AS u(k, t) ON CONFLICT (source, ticket_key) DO NOTHING", run->book.name),
							3, types, values, NULL, SPI_OK_INSERT);
		run->unpaid += unpaid->n;
	}
	if (waiting->n > 0)
	{
		types[0] = INT2OID;
		values[0] = Int16GetDatum(source->id);
		values[1] = array_of(TEXTOID, waiting->keys, waiting->n);
		values[2] = array_of(TIMESTAMPTZOID, waiting->times, waiting->n);
		settle_book_execute(psprintf("INSERT INTO %s.waiting (source_id, ticket_key, due_at) "
									 "SELECT $1, u.k, u.t FROM unnest($2, $3) AS u(k, t) "
									 "ON CONFLICT (source_id, ticket_key) DO UPDATE SET due_at = excluded.due_at", run->book.name),
							3, types, values, NULL, SPI_OK_INSERT);
	}
}

/* ---- a batch ---- */

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
 * Finds the posted line that says the same as a line does now, so that it
 * stays: a ticket that did not change keeps its place in its tally.
 */
static const RunLine *
posted_same(const RunTicket *ticket, const RunLine *line)
{
	if (ticket->posted == NULL)
		return NULL;
	for (int i = 0; i < ticket->posted->nlines; i++)
		if (same_line(line, &ticket->posted->lines[i]))
			return &ticket->posted->lines[i];
	return NULL;
}

/*
 * Prices the lines of the batch that add to tallies.
 */
static void
price_tallies(Run *run, RunSource *source, RunTicket **moving, int nmoving)
{
	/* meet all tallies, then load them at once, in order */
	for (int i = 0; i < nmoving; i++)
	{
		RunTicket  *ticket = moving[i];

		for (int k = 0; k < ticket->nlines; k++)
			if (ticket->lines[k].in_tally)
				find_tally(run, source, &ticket->lines[k]);
		for (int k = 0; ticket->posted != NULL && k < ticket->posted->nlines; k++)
		{
			RunLine    *posted = &ticket->posted->lines[k];

			if (!posted->in_tally)
				continue;
			find_tally(run, source, posted);
			if (posted->by_posting)
			{
				RunLine		back = *posted;

				back.tally_period = posted->back_period = settle_span_start(posted->rule->def->accumulate, run->now);
				find_tally(run, source, &back);
			}
		}
	}
	load_tallies(run, source);

	for (int i = 0; i < nmoving; i++)
	{
		RunTicket  *ticket = moving[i];

		for (int k = 0; ticket->posted != NULL && k < ticket->posted->nlines; k++)
		{
			RunLine    *posted = &ticket->posted->lines[k];

			if (!posted->in_tally || stays(ticket, posted))
				continue;
			if (posted->by_posting)
			{
				RunLine		back = *posted;

				negate_line(&back);
				back.tally_period = posted->back_period;
				arrive_at_tally(run, source, &back, ticket->posted->period);
				posted->back_amount = back.amount;
			}
			else
				leave_tally(run, source, posted, ticket->posted->period);
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
			posted = posted_same(ticket, line);
			if (posted != NULL)
				line->amount = posted->amount;
			else
				arrive_at_tally(run, source, line, ticket->period);
		}
	}
}

void
settle_post_batch(Run *run, RunSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(run->batch_context);
	Drafts		drafts = {0};
	RunTicket **moving = palloc(sizeof(RunTicket *) * Max(run->ntickets, 1));
	int			nmoving = 0;
	KeyList		solved = {0};
	KeyList		paid = {0};
	KeyList		unpaid = {0};
	KeyList		waiting = {0};
	KeyList		arrived = {0};

	load_posted(run, source);
	check_keys(run, source);
	intern_parties(run, source);
	number_lines(run, source);

	/* what each ticket is to become */
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];
		bool		settled = ticket->posted != NULL && ticket->posted->tickets == 1;
		bool		moves = false;

		switch (ticket->state)
		{
			case TICKET_PRICED:
				add_key(&solved, ticket->key, 0);
				add_key(&arrived, ticket->key, 0);
				if (ticket->nlines > 0)
					add_key(&paid, ticket->key, 0);
				else
					add_key(&unpaid, ticket->key, ticket->ready_at);
				moves = ticket->nlines > 0 || settled;
				break;
			case TICKET_NOT_READY:
			case TICKET_WAITING:
				add_key(&solved, ticket->key, 0);
				add_key(&paid, ticket->key, 0);
				add_key(ticket->state == TICKET_WAITING ? &waiting : &arrived, ticket->key, ticket->ready_at);
				moves = settled;
				break;
			case TICKET_VANISHED:
				if (settled && source->on_delete != 'i' && (source->on_delete == 'h' || run->hold_vanished))
				{
					note_problem(run, source, ticket->key, NULL, ERRCODE_SETTLE_VANISHED,
								 psprintf("ticket \"%s\" is settled and has no row any more", ticket->key),
								 run->hold_vanished ? "Too many tickets are missing at once to be cancellations." : NULL,
								 "Write the row again; to take the money back set on_delete of the source to reverse and delete the row then.");
					run->held++;
				}
				else
				{
					add_key(&solved, ticket->key, 0);
					moves = settled && source->on_delete == 'r';
				}
				add_key(&paid, ticket->key, 0);
				add_key(&arrived, ticket->key, 0);
				break;
			case TICKET_FAILED:
				note_problem(run, source, ticket->key, ticket->failing, ticket->error->sqlerrcode,
							 ticket->error->message, ticket->error->detail, ticket->error->hint);
				break;
			case TICKET_REPEATED:
				break;
		}
		if (moves)
			moving[nmoving++] = ticket;
	}

	price_tallies(run, source, moving, nmoving);
	for (int i = 0; i < nmoving; i++)
	{
		RunTicket  *ticket = moving[i];
		int			before = drafts.n;

		if (ticket->nlines == 0)
			draft_withdrawal(run, &drafts, source, ticket);
		else if (ticket->posted != NULL)
			draft_correction(run, &drafts, source, ticket);
		else
		{
			Draft	   *draft = draft_ticket(&drafts, source, ticket, 1);

			draft->payout = payout_of(run, source, ticket->lines, ticket->nlines, ticket->currency);
			draft->lines = ticket->lines;
			draft->nlines = draft->space = ticket->nlines;
		}
		if (drafts.n > before)
		{
			run->settled++;
			run->corrections += ticket->posted != NULL;
		}
	}
	write_drafts(run, &drafts);
	note_states(run, source, &solved, &paid, &unpaid, &waiting, &arrived);
	MemoryContextSwitchTo(old);
}

/* ---- the end of a run ---- */

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
 * Names the sheets of retiers by rule, owner, period and unit, and finds their
 * next revisions.
 */
static void
name_retiers(Run *run, Retier *retiers, int n)
{
	Oid			types[] = {INT4ARRAYOID, TEXTARRAYOID};
	Datum	   *datums = palloc(sizeof(Datum) * n);
	Datum		values[2];
	bool		isnull;

	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(retiers[i].tally->key.owner);
	values[0] = array_of(INT4OID, datums, n);
	settle_book_execute(psprintf("SELECT p.party FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(id, at) "
								 "JOIN %s.party AS p ON p.party_id OPERATOR(pg_catalog.=) u.id ORDER BY u.at", run->book.name),
						1, types, values, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		char		period[MAXDATELEN + 1];

		JsonEncodeDateTime(period, DateADTGetDatum(retiers[i].tally->key.period), DATEOID, NULL);
		retiers[i].key = psprintf("%s %s %s %s", one_word(retiers[i].tally->key.code->code),
								  one_word(TextDatumGetCString(settle_spi_datum(i, 1, &isnull))), period, one_word(retiers[i].tally->key.unit));
		datums[i] = CStringGetTextDatum(retiers[i].key);
	}
	SPI_freetuptable(SPI_tuptable);
	types[0] = TEXTARRAYOID;
	values[0] = array_of(TEXTOID, datums, n);
	settle_book_execute(psprintf("SELECT coalesce((SELECT pg_catalog.max(s.revision) FROM %s.sheet AS s "
								 "WHERE s.source_id OPERATOR(pg_catalog.=) 0 AND s.ticket_key OPERATOR(pg_catalog.=) u.key), 0) "
								 "FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(key, at) ORDER BY u.at", run->book.name),
						1, types, values, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
		retiers[i].revision = DatumGetInt32(settle_spi_datum(i, 1, &isnull)) + 1;
	SPI_freetuptable(SPI_tuptable);
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

	draft = new_draft(drafts);
	draft->key = retier->key;
	draft->is_retier = true;
	draft->revision = retier->revision;
	draft->ticket_time = run->now;
	draft->period = tally->moved;
	draft->currency = tally->key.unit;
	draft->revenue = draft->cost = settle_dec_int(0);
	add_draft_line(draft, &line);
	draft->payout = payout_of(run, NULL, draft->lines, 1, draft->currency);
}

/*
 * Writes the state of the tallies that changed.
 */
static void
write_tallies(Run *run)
{
	HASH_SEQ_STATUS scan;
	Tally	   *tally;
	int			n = 0;
	int			space = 0;
	static const Oid types[] = {INT4OID, INT4OID, DATEOID, TEXTOID, INT4OID, INT4OID, INT8OID, NUMERICOID, NUMERICOID, NUMERICOID};
	Datum	   *columns[lengthof(types)];
	Oid			array_types[lengthof(types)];
	Datum		values[lengthof(types)];

	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		for (int v = 0; v < tally->key.code->nversions; v++)
			space += tally->changed[v];
	if (space == 0)
		return;
	for (int c = 0; c < lengthof(types); c++)
		columns[c] = palloc(sizeof(Datum) * space);
	hash_seq_init(&scan, run->tallies);
	while ((tally = hash_seq_search(&scan)) != NULL)
		for (int v = 0; v < tally->key.code->nversions; v++)
		{
			if (!tally->changed[v])
				continue;
			columns[0][n] = Int32GetDatum(tally->source->rule_ids[tally->key.code->versions[v]->ordinal]);
			columns[1][n] = Int32GetDatum(tally->key.owner);
			columns[2][n] = DateADTGetDatum(tally->key.period);
			columns[3][n] = CStringGetTextDatum(tally->key.unit);
			columns[4][n] = Int32GetDatum(tally->payer);
			columns[5][n] = Int32GetDatum(tally->payee);
			columns[6][n] = Int64GetDatum(tally->parts[v].count);
			columns[7][n] = NumericGetDatum(settle_dec_to_numeric(tally->parts[v].quantity));
			columns[8][n] = NumericGetDatum(settle_dec_to_numeric(tally->parts[v].weighted));
			columns[9][n++] = NumericGetDatum(settle_dec_to_numeric(tally->amounts[v]));
		}
	for (int c = 0; c < lengthof(types); c++)
	{
		array_types[c] = get_array_type(types[c]);
		values[c] = array_of(types[c], columns[c], n);
	}
	settle_book_execute(psprintf("INSERT INTO %s.tally_state (rule_id, owner_id, period, unit, payer_id, payee_id, count, quantity, weighted, amount) "
								 "SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS u(r, o, p, u, y, e, n, x, w, a) ORDER BY u.r, u.o, u.p, u.u "
								 "ON CONFLICT (rule_id, owner_id, period, unit) DO UPDATE "
								 "SET payee_id = excluded.payee_id, count = excluded.count, quantity = excluded.quantity, weighted = excluded.weighted, amount = excluded.amount",
								 run->book.name),
						lengthof(types), array_types, values, NULL, SPI_OK_INSERT);
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
		load_sides(run, parties, 2 * nretiers);
		name_retiers(run, retiers, nretiers);
	}
	for (int i = 0; i < nretiers; i++)
		draft_retier(run, &drafts, &retiers[i]);
	write_drafts(run, &drafts);
	write_tallies(run);
	MemoryContextSwitchTo(old);
}
