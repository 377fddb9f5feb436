/*
 * parties.c
 *		Parties of a run: their numbers in the book, and whose side they are on.
 *
 * Codes are interned in the order of their text, so that two posters at commit
 * never wait for each other in a circle.
 */
#include "settle/post.h"

#include "book/rows.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

/* A party whose side is being asked for. */
#define ASKED	'?'

/*
 * Finds where the side of a party is kept; 0 stands for one that is not known.
 */
static char *
side_place(Run *run, int party)
{
	if (party >= run->sides_space)
	{
		int			space = Max(party + 1, Max(1024, run->sides_space * 2));

		run->sides = run->sides == NULL ? MemoryContextAllocZero(run->context, space) : repalloc(run->sides, space);
		memset(run->sides + run->sides_space, 0, space - run->sides_space);
		run->sides_space = space;
	}
	return &run->sides[party];
}

static void
remember_side(Run *run, int party, const char *side)
{
	/* own, outside, customer, tax and transit differ in their first two letters */
	*side_place(run, party) = side[0] == 't' ? (side[1] == 'a' ? 't' : 'r') : side[0] == 'o' ? (side[1] == 'w' ? 'w' : 'o') : 'c';
}

/*
 * Loads the sides of parties that are not known yet, in one statement.
 */
void
settle_load_sides(Run *run, const int *parties, int n)
{
	Oid			type = INT4ARRAYOID;
	Datum	   *unknown = palloc(sizeof(Datum) * Max(n, 1));
	Datum		value;
	int			nunknown = 0;
	bool		isnull;

	for (int i = 0; i < n; i++)
	{
		char	   *side = side_place(run, parties[i]);

		if (*side != 0)
			continue;
		/* listed once, however many lines it has */
		*side = ASKED;
		unknown[nunknown++] = Int32GetDatum(parties[i]);
	}
	if (nunknown > 0)
	{
		value = settle_array_of(INT4OID, unknown, nunknown);
		settle_book_execute(psprintf("SELECT p.party_id, p.side FROM %s.party AS p WHERE p.party_id OPERATOR(pg_catalog.=) ANY ($1)", run->book.name),
							1, &type, &value, NULL, SPI_OK_SELECT);
		for (uint64 row = 0; row < SPI_processed; row++)
			remember_side(run, DatumGetInt32(settle_spi_datum((int) row, 1, &isnull)),
						  TextDatumGetCString(settle_spi_datum((int) row, 2, &isnull)));
		SPI_freetuptable(SPI_tuptable);
		for (int i = 0; i < nunknown; i++)
			if (run->sides[DatumGetInt32(unknown[i])] == ASKED)
				run->sides[DatumGetInt32(unknown[i])] = 0;
	}
	pfree(unknown);
}

/*
 * Raises 40001 where a party has changed its side since the snapshot of a poster
 * at commit was taken: he would count it on the old one, and nobody would look at
 * his tickets again.  A side changes under the gate, which he has passed.
 */
void
settle_run_check_sides(Run *run)
{
	Oid			type = INT4ARRAYOID;
	Datum	   *parties = palloc(sizeof(Datum) * Max(run->sides_space, 1));
	Datum		value;
	int			n = 0;

	for (int i = 0; i < run->sides_space; i++)
		if (run->sides[i] != 0)
			parties[n++] = Int32GetDatum(i);
	value = settle_array_of(INT4OID, parties, n);
	PushActiveSnapshot(GetLatestSnapshot());
	settle_book_query(psprintf("SELECT p.party_id, p.side FROM %s.party AS p WHERE p.party_id OPERATOR(pg_catalog.=) ANY ($1)", run->book.name),
					  1, &type, &value, true);
	PopActiveSnapshot();
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		int			party = DatumGetInt32(settle_spi_datum((int) row, 1, &isnull));
		char		side = *side_place(run, party);

		remember_side(run, party, TextDatumGetCString(settle_spi_datum((int) row, 2, &isnull)));
		if (*side_place(run, party) != side)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access: a party of book \"%s\" has changed its side", run->book.label),
					 errhint("Repeat the transaction.")));
	}
}

static char
side_of(Run *run, int party)
{
	if (party >= run->sides_space || run->sides[party] == 0)
		settle_load_sides(run, &party, 1);
	if (party >= run->sides_space || run->sides[party] == 0)
		elog(ERROR, "party %d is missing in book \"%s\"", party, run->book.label);
	return run->sides[party];
}

/*
 * Finds the numbers of a few codes; false where not all have one.
 */
static bool
find_codes(Run *run, const Datum *codes, int n, int *ids)
{
	static const SettleLookup lookup = {"party", {{"party", TEXTOID}}, {{"party_id", INT4OID}, {"side", TEXTOID}}};
	Datum		values[SETTLE_LOOKUP_COLUMNS];
	bool		nulls[SETTLE_LOOKUP_COLUMNS];

	for (int i = 0; i < n; i++)
	{
		if (settle_find_known_row(&run->book, &lookup, &codes[i], values, nulls) != SETTLE_FOUND)
			return false;
		ids[i] = DatumGetInt32(values[0]);
		remember_side(run, ids[i], TextDatumGetCString(values[1]));
	}
	return true;
}

/*
 * Gives codes their numbers in the book; new ones are added in order of code, so
 * that two posters never wait for each other.
 */
static void
number_codes(Run *run, const char **codes, int n, int *ids)
{
	Oid			type = TEXTARRAYOID;
	Datum	   *datums = palloc(sizeof(Datum) * n);
	Datum		value;

	for (int i = 0; i < n; i++)
		datums[i] = CStringGetTextDatum(codes[i]);
	if (settle_book_asks_little() && find_codes(run, datums, n, ids))
		return;
	value = settle_array_of(TEXTOID, datums, n);
	for (int attempt = 0;; attempt++)
	{
		bool		all = true;

		/* WITH ORDINALITY keeps the order of the array */
		settle_book_execute(psprintf("SELECT p.party_id, coalesce(p.side, settle.side_of(u.code)) FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(code, at) "
									 "LEFT JOIN %s.party AS p ON p.party OPERATOR(pg_catalog.=) u.code ORDER BY u.at", run->book.name),
							1, &type, &value, NULL, SPI_OK_SELECT);
		for (int i = 0; i < n; i++)
		{
			bool		isnull;

			ids[i] = DatumGetInt32(settle_spi_datum(i, 1, &isnull));
			/* a look ahead gives it a number of its own */
			if (isnull && run->plan != NULL)
			{
				ids[i] = settle_plan_party(run, codes[i]);
				isnull = false;
			}
			if (isnull)
				all = false;
			else
				remember_side(run, ids[i], TextDatumGetCString(settle_spi_datum(i, 2, &isnull)));
		}
		if (all)
			break;
		if (attempt == 1)
			elog(ERROR, "could not add a party to book \"%s\"", run->book.label);
		settle_book_execute(psprintf("INSERT INTO %1$s.party (party, side) SELECT u.code, settle.side_of(u.code) "
									 "FROM pg_catalog.unnest($1) AS u(code) "
									 "WHERE NOT EXISTS (SELECT FROM %1$s.party AS p WHERE p.party OPERATOR(pg_catalog.=) u.code) "
									 "ORDER BY u.code ON CONFLICT DO NOTHING", run->book.name),
							1, &type, &value, NULL, SPI_OK_INSERT);
	}
}

/*
 * Gives every party that new lines name its number in the book.
 */
void
settle_intern_parties(Run *run, RunSource *source)
{
	int			nparties = settle_set_nparties(source->set);
	SettleParty **unknown = NULL;
	int			n = 0;
	int			space = 0;
	const char **codes;
	int		   *ids;

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
					unknown = settle_grow(unknown, n, &space, sizeof(SettleParty *));
					unknown[n++] = parties[m];
					/* marked, so that it is listed once */
					source->party_ids[parties[m]->ordinal] = -1;
				}
		}
	if (n == 0)
		return;

	codes = palloc(sizeof(char *) * n);
	ids = palloc(sizeof(int) * n);
	for (int i = 0; i < n; i++)
		codes[i] = unknown[i]->code;
	number_codes(run, codes, n, ids);
	for (int i = 0; i < n; i++)
		source->party_ids[unknown[i]->ordinal] = ids[i];
}

/*
 * Gives one party its number in the book, which is added where it is new.
 */
int
settle_number_party(Run *run, const char *code)
{
	int			id;

	number_codes(run, &code, 1, &id);
	return id;
}

void
settle_number_lines(Run *run, RunSource *source)
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

/*
 * Sums what leaves own and transit parties to outside and tax parties, less
 * what returns; tax is not counted where the source says what of its revenue
 * is tax.
 */
SettleDec
settle_payout_of(Run *run, const RunSource *source, const RunLine *lines, int nlines, const char *currency)
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
