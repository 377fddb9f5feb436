/*
 * period.c
 *		What closing a period needs of C: the sums of a period's lines by party
 *		and rule.  The rest stands in period.sql.
 *
 * The sums are made here and not by a GROUP BY because a million sheets are
 * three million lines, which SQL unpacks, sorts and adds in half a minute.
 */
#include "settle/run.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

/* Sheets fetched at a time. */
#define FETCH			2000

/*
 * settle.part(parts jsonb, component text) returns numeric
 *
 * Gives one number of an object of numbers, 0 where it is not there.
 */
PG_FUNCTION_INFO_V1(settle_part);
Datum
settle_part(PG_FUNCTION_ARGS)
{
	Jsonb	   *parts = PG_GETARG_JSONB_P(0);
	text	   *component = PG_GETARG_TEXT_PP(1);
	JsonbValue *value;

	if (!JB_ROOT_IS_OBJECT(parts))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settle.part reads an object of numbers, not another json value")));
	value = getKeyJsonValueFromContainer(&parts->root, VARDATA_ANY(component), (int) VARSIZE_ANY_EXHDR(component), NULL);
	if (value == NULL)
		PG_RETURN_NUMERIC(int64_to_numeric(0));
	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a number", text_to_cstring(component))));
	PG_RETURN_NUMERIC(DatumGetNumericCopy(NumericGetDatum(value->val.numeric)));
}

/* What the lines of one rule gave a party, less what they took. */
typedef struct SumKey
{
	DateADT		period;
	int			party;
	int			rule;
	char		currency[SETTLE_MAX_UNIT + 1];
} SumKey;

typedef struct Sum
{
	SumKey		key;			/* must be first */
	SettleDec	amount;
	SettleDec	base;
	int64		tickets;
} Sum;

typedef struct Sums
{
	HTAB	   *all;
	HTAB	   *ticket;			/* of the ticket with several sheets that is being read */
	MemoryContext context;		/* of digits that do not fit */
	Bitmapset  *parties;
} Sums;

static HTAB *
new_sums(const char *name)
{
	HASHCTL		control = {.keysize = sizeof(SumKey), .entrysize = sizeof(Sum), .hcxt = CurrentMemoryContext};

	return hash_create(name, 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
add_to_sum(Sums *sums, HTAB *table, const SumKey *key, SettleDec amount, SettleDec base, int64 tickets)
{
	bool		found;
	Sum		   *sum = hash_search(table, key, HASH_ENTER, &found);
	MemoryContext old = MemoryContextSwitchTo(sums->context);

	if (!found)
	{
		sum->amount = sum->base = settle_dec_int(0);
		sum->tickets = 0;
	}
	sum->amount = settle_dec_keep(settle_dec_add(sum->amount, amount));
	sum->base = settle_dec_keep(settle_dec_add(sum->base, base));
	sum->tickets += tickets;
	MemoryContextSwitchTo(old);
}

/*
 * Adds the lines of a sheet to both of their parties.
 */
static void
add_sheet(Sums *sums, HTAB *table, DateADT period, const char *currency, SettleLines *lines)
{
	SettleLinesReader reader;
	SettleLineData line;
	SumKey		key;

	memset(&key, 0, sizeof(key));
	key.period = period;
	strlcpy(key.currency, currency, sizeof(key.currency));
	settle_lines_open(&reader, lines);
	while (settle_lines_next(&reader, &line))
	{
		bool		counts = !line.retier && (settle_dec_sign(line.amount) != 0 || settle_dec_sign(line.base) != 0);

		key.rule = (int) line.rule;
		key.party = (int) line.payee;
		if (bms_is_member(key.party, sums->parties))
			add_to_sum(sums, table, &key, line.amount, line.base, counts);
		key.party = (int) line.payer;
		if (bms_is_member(key.party, sums->parties))
			add_to_sum(sums, table, &key, settle_dec_neg(line.amount), settle_dec_neg(line.base), counts);
	}
}

/*
 * Adds what is left of a ticket with several sheets, of which it counts once
 * or not at all.
 */
static void
end_ticket(Sums *sums)
{
	HASH_SEQ_STATUS scan;
	Sum		   *sum;

	hash_seq_init(&scan, sums->ticket);
	while ((sum = hash_seq_search(&scan)) != NULL)
	{
		bool		counts = sum->tickets > 0 && (settle_dec_sign(sum->amount) != 0 || settle_dec_sign(sum->base) != 0);

		add_to_sum(sums, sums->all, &sum->key, sum->amount, sum->base, counts);
		hash_search(sums->ticket, &sum->key, HASH_REMOVE, NULL);
	}
}

/*
 * Reads the sheets of a query: own period, currency, lines, and whether its
 * ticket begins here, null for a ticket with this one sheet.
 */
static void
read_sheets(Sums *sums, const char *sql, int nargs, Oid *types, Datum *values)
{
	Portal		portal = SPI_cursor_open_with_args(NULL, sql, nargs, types, values, NULL, true, 0);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle sheets", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(scratch);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool		isnull;
			DateADT		period = DatumGetDateADT(settle_spi_datum((int) row, 1, &isnull));
			const char *currency = TextDatumGetCString(settle_spi_datum((int) row, 2, &isnull));
			SettleLines *lines = DatumGetSettleLines(settle_spi_datum((int) row, 3, &isnull));
			bool		begins = DatumGetBool(settle_spi_datum((int) row, 4, &isnull));

			if (begins && !isnull)
				end_ticket(sums);
			add_sheet(sums, isnull ? sums->all : sums->ticket, period, currency, lines);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		SPI_freetuptable(SPI_tuptable);
	}
	end_ticket(sums);
	SPI_cursor_close(portal);
	MemoryContextDelete(scratch);
}

/*
 * settle._period_transfers(book regnamespace, periods date[], posted_until
 *							date) returns setof (period, party_id, rule_id,
 *							currency, amount, base, tickets)
 *
 * Sums the lines of tickets of some periods, posted in periods up to another,
 * for parties on the roster: what they received less what they gave.  What
 * corrections gain or lose by rates is of no ticket, and has inputs of its own.
 */
PG_FUNCTION_INFO_V1(settle_period_transfers);
Datum
settle_period_transfers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	Oid			types[] = {get_array_type(DATEOID), DATEOID};
	Datum		values[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	SettleIdentity identity;
	Sums		sums = {0};
	HASH_SEQ_STATUS scan;
	Sum		   *sum;
	uint64		n;
	/* a sheet of a period is posted in it or, where that was closed, in a later one */
	const char *own = psprintf("%s.sheet AS s WHERE s.period BETWEEN (SELECT min(u.p) FROM unnest($1) AS u(p)) AND $2 "
							   "AND coalesce(s.corrects_period, s.period) = ANY ($1) AND (s.source_id <> 0 OR s.inputs IS NULL)", book.name);

	InitMaterializedSRF(fcinfo, 0);
	settle_book_check_level(&book, SETTLE_ADMIN);
	identity = settle_book_enter(&book);
	SPI_connect();
	sums.context = CurrentMemoryContext;
	sums.all = new_sums("scrm_settle sums of a period");
	sums.ticket = new_sums("scrm_settle sums of a ticket");
	n = settle_book_execute(psprintf("SELECT p.party_id FROM %1$s.party AS p WHERE p.party IN (SELECT o.party FROM %1$s.roster AS o "
									 "UNION SELECT o.party FROM %1$s.party_period AS o WHERE o.period = ANY ($1))", book.name),
							1, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < n; row++)
	{
		bool		isnull;

		sums.parties = bms_add_member(sums.parties, DatumGetInt32(settle_spi_datum((int) row, 1, &isnull)));
	}

	read_sheets(&sums, psprintf("SELECT coalesce(s.corrects_period, s.period), s.currency, s.lines, NULL::bool FROM %1$s "
								"AND (s.source_id, s.ticket_key) NOT IN (SELECT s.source_id, s.ticket_key FROM %1$s AND s.revision > 1)", own),
				2, types, values);
	read_sheets(&sums, psprintf("SELECT coalesce(s.corrects_period, s.period), s.currency, s.lines, "
								"row_number() OVER (PARTITION BY s.source_id, s.ticket_key) = 1 FROM %1$s "
								"AND (s.source_id, s.ticket_key) IN (SELECT s.source_id, s.ticket_key FROM %1$s AND s.revision > 1)", own),
				2, types, values);

	hash_seq_init(&scan, sums.all);
	while ((sum = hash_seq_search(&scan)) != NULL)
	{
		Datum		cells[7];
		bool		nulls[7] = {false};

		cells[0] = DateADTGetDatum(sum->key.period);
		cells[1] = Int32GetDatum(sum->key.party);
		cells[2] = Int32GetDatum(sum->key.rule);
		cells[3] = CStringGetTextDatum(sum->key.currency);
		cells[4] = NumericGetDatum(settle_dec_to_numeric(sum->amount));
		cells[5] = NumericGetDatum(settle_dec_to_numeric(sum->base));
		cells[6] = Int64GetDatum(sum->tickets);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, cells, nulls);
	}
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
