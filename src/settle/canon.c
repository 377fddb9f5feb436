/*
 * canon.c
 *		A sheet as canonical text, and its digest.
 *
 * The text says what was decided in words that mean the same everywhere: codes
 * instead of the book's numbers, decimals without zeros at their end, instants
 * in UTC, keys in order, nothing for what is null.  Numbers of sheets, parties
 * and rules and the packed format of lines do not stand in it, so a dump, an
 * upgrade or another session's habits change no digest.  A key that is added
 * one day must be absent where it has nothing to say, or every seal breaks.
 */
#include "settle/seal.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* Sheets that are read at once. */
#define CHUNK	2000

/* What lines say by a number, as JSON strings. */
typedef struct RuleText
{
	const char *code;
	const char *component;
	const char *from;			/* NULL: for ever */
	const char *unit;			/* NULL: the currency of the sheet */
} RuleText;

struct SealScan
{
	SettleBook	book;
	MemoryContext context;		/* as long as the scan */
	MemoryContext sheet_context;	/* one sheet */
	int			nrules;
	RuleText   *rules;			/* by number */
	int			nparties;
	const char **parties;		/* by number, as they are met */
	int			nsources;
	const char **sources;		/* by number */
	SPITupleTable *kept_names;	/* those that runs keep, in order of the run */
	uint64		nkept;
	uint64		kept_at;
	MemoryContext names_context;
	int64		names_run;		/* of which run and source the names are */
	int			names_source;
	bool		has_names;
	SettleInputNames names;
	pg_cryptohash_ctx *hash;
	Portal		portal;
	SPITupleTable *rows;
	uint64		nrows;
	uint64		at;
};

/* Columns of the sheets as they are asked for. */
enum
{
	RUN_ID = 1, SHEET_ID, SOURCE_ID, TICKET_KEY, REVISION, TICKET_TIME, PERIOD, CORRECTS_PERIOD, PROJECT, REGION,
	CURRENCY, REVENUE, COST, PAYOUT, TICKETS, LINES, INPUTS, CHANNEL
};

/* ---- digests ---- */

pg_cryptohash_ctx *
settle_hash_begin(void)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL)
		elog(ERROR, "could not begin a digest: %s", pg_cryptohash_error(hash));
	settle_hash_again(hash);
	return hash;
}

void
settle_hash_again(pg_cryptohash_ctx *hash)
{
	if (pg_cryptohash_init(hash) < 0)
		elog(ERROR, "could not begin a digest: %s", pg_cryptohash_error(hash));
}

void
settle_hash_add(pg_cryptohash_ctx *hash, const void *bytes, Size len)
{
	if (pg_cryptohash_update(hash, bytes, len) < 0)
		elog(ERROR, "could not compute a digest: %s", pg_cryptohash_error(hash));
}

void
settle_hash_end(pg_cryptohash_ctx *hash, uint8 *digest)
{
	if (pg_cryptohash_final(hash, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not end a digest: %s", pg_cryptohash_error(hash));
}

/* ---- what numbers stand for ---- */

static const char *
json_string(MemoryContext context, const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, text);
	text = MemoryContextStrdup(context, buf.data);
	pfree(buf.data);
	return text;
}

static const char *
json_column(MemoryContext context, int row, int column)
{
	bool		isnull;
	Datum		value = settle_spi_datum(row, column, &isnull);

	return isnull ? NULL : json_string(context, TextDatumGetCString(value));
}

SealScan *
settle_seal_scan(const SettleBook *book)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle seal", ALLOCSET_DEFAULT_SIZES);
	SealScan   *scan = MemoryContextAllocZero(context, sizeof(SealScan));
	uint64		n;
	bool		isnull;

	scan->book = *book;
	scan->context = context;
	scan->sheet_context = AllocSetContextCreate(context, "scrm_settle sheet", ALLOCSET_DEFAULT_SIZES);
	scan->names_context = AllocSetContextCreate(context, "scrm_settle names", ALLOCSET_SMALL_SIZES);
	n = settle_book_execute(psprintf("SELECT r.rule_id, r.code, r.component, settle._instant(lower(r.valid)), r.unit FROM %s.rule AS r ORDER BY r.rule_id DESC", book->name),
							0, NULL, NULL, NULL, SPI_OK_SELECT);
	scan->nrules = n == 0 ? 0 : DatumGetInt32(settle_spi_datum(0, 1, &isnull)) + 1;
	scan->rules = MemoryContextAllocExtended(context, sizeof(RuleText) * Max(scan->nrules, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int row = 0; row < (int) n; row++)
	{
		int			id = DatumGetInt32(settle_spi_datum(row, 1, &isnull));

		if (id < 0)
			continue;
		scan->rules[id].code = json_column(context, row, 2);
		scan->rules[id].component = json_column(context, row, 3);
		scan->rules[id].from = json_column(context, row, 4);
		scan->rules[id].unit = json_column(context, row, 5);
	}
	SPI_freetuptable(SPI_tuptable);
	n = settle_book_execute(psprintf("SELECT s.source_id, s.source FROM %s.source AS s WHERE s.source_id >= 0 ORDER BY s.source_id DESC", book->name),
							0, NULL, NULL, NULL, SPI_OK_SELECT);
	scan->nsources = n == 0 ? 0 : DatumGetInt16(settle_spi_datum(0, 1, &isnull)) + 1;
	scan->sources = MemoryContextAllocZero(context, sizeof(char *) * Max(scan->nsources, 1));
	for (int row = 0; row < (int) n; row++)
		scan->sources[DatumGetInt16(settle_spi_datum(row, 1, &isnull))] =
			MemoryContextStrdup(context, NameStr(*DatumGetName(settle_spi_datum(row, 2, &isnull))));
	SPI_freetuptable(SPI_tuptable);
	return scan;
}

/*
 * Notes a party as one to be looked up, where it is not known yet.
 */
static void
want_party(SealScan *scan, uint32 party, Datum **wanted, int *n, int *space)
{
	if (party >= (uint32) scan->nparties)
	{
		int			nparties = (int) Min(Max((int64) party + 1, (int64) scan->nparties * 2), PG_INT32_MAX);

		if (party >= PG_INT32_MAX)
			return;
		scan->parties = scan->parties == NULL
			? MemoryContextAllocHuge(scan->context, sizeof(char *) * nparties)
			: repalloc_huge(scan->parties, sizeof(char *) * nparties);
		memset(scan->parties + scan->nparties, 0, sizeof(char *) * (nparties - scan->nparties));
		scan->nparties = nparties;
	}
	if (scan->parties[party] != NULL)
		return;
	*wanted = settle_grow(*wanted, *n, space, sizeof(Datum));
	(*wanted)[(*n)++] = Int32GetDatum((int32) party);
	/* a number that is in no table stays a number */
	scan->parties[party] = MemoryContextStrdup(scan->context, psprintf("%u", party));
}

/*
 * Looks up the parties of the sheets that were read.
 */
static void
load_parties(SealScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->sheet_context);
	Datum	   *wanted = NULL;
	int			n = 0;
	int			space = 0;
	Oid			type = INT4ARRAYOID;
	Datum		value;

	for (uint64 row = 0; row < scan->nrows; row++)
	{
		SettleLinesReader reader;
		SettleLineData line;
		bool		isnull;

		settle_lines_open(&reader, DatumGetSettleLines(SPI_getbinval(scan->rows->vals[row], scan->rows->tupdesc, LINES, &isnull)));
		while (settle_lines_next(&reader, &line))
		{
			want_party(scan, line.payer, &wanted, &n, &space);
			want_party(scan, line.payee, &wanted, &n, &space);
			if (line.in_tally)
				want_party(scan, line.owner, &wanted, &n, &space);
		}
	}
	if (n > 0)
	{
		value = settle_array_of(INT4OID, wanted, n);
		settle_book_execute(psprintf("SELECT p.party_id, p.party FROM %s.party AS p WHERE p.party_id = ANY ($1)", scan->book.name), 1, &type, &value, NULL, SPI_OK_SELECT);
		for (int row = 0; row < (int) SPI_processed; row++)
		{
			bool		isnull;

			scan->parties[DatumGetInt32(settle_spi_datum(row, 1, &isnull))] = json_column(scan->context, row, 2);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(scan->sheet_context);
}

/* ---- the text ---- */

static void
put_dec(StringInfo buf, const char *key, SettleDec dec)
{
	appendStringInfoString(buf, key);
	appendStringInfoChar(buf, '"');
	appendStringInfoString(buf, settle_dec_out(settle_dec_trim(dec)));
	appendStringInfoChar(buf, '"');
}

static void
put_text(StringInfo buf, const char *key, const char *json)
{
	appendStringInfoString(buf, key);
	appendStringInfoString(buf, json);
}

static void
put_date(StringInfo buf, const char *key, DateADT date)
{
	char		text[MAXDATELEN + 1];

	JsonEncodeDateTime(text, DateADTGetDatum(date), DATEOID, NULL);
	appendStringInfoString(buf, key);
	appendStringInfoChar(buf, '"');
	appendStringInfoString(buf, text);
	appendStringInfoChar(buf, '"');
}

static void
put_party(StringInfo buf, const SealScan *scan, const char *key, uint32 party)
{
	put_text(buf, key, party < (uint32) scan->nparties ? scan->parties[party] : "null");
}

static void
put_line(StringInfo buf, const SealScan *scan, const SettleLineData *line, const char *currency)
{
	static const RuleText unknown = {"null", "null"};
	const RuleText *rule = line->rule < (uint32) scan->nrules && scan->rules[line->rule].code != NULL ? &scan->rules[line->rule] : &unknown;

	put_dec(buf, "{\"amount\":", line->amount);
	put_dec(buf, ",\"base\":", line->base);
	put_text(buf, ",\"component\":", rule->component);
	if (line->in_tally && line->count != 0)
		appendStringInfo(buf, ",\"count\":%d", line->count);
	put_dec(buf, ",\"factor\":", line->factor);
	if (rule->from != NULL)
		put_text(buf, ",\"from\":", rule->from);
	if (line->in_tally)
		put_party(buf, scan, ",\"owner\":", line->owner);
	put_party(buf, scan, ",\"payee\":", line->payee);
	put_party(buf, scan, ",\"payer\":", line->payer);
	if (line->in_tally)
		put_dec(buf, ",\"quantity\":", line->quantity);
	if (line->retier)
		appendStringInfoString(buf, ",\"retier\":true");
	put_text(buf, ",\"rule\":", rule->code);
	if (line->in_tally)
		put_date(buf, ",\"tally_period\":", line->tally_period);
	put_text(buf, ",\"unit\":", rule->unit != NULL ? rule->unit : currency);
	appendStringInfoChar(buf, '}');
}

/*
 * Finds the names of the inputs of a sheet, which it shares with most of those
 * before it; NULL where its run has kept none.
 */
static const SettleInputNames *
find_names(SealScan *scan, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	int64		run = DatumGetInt64(SPI_getbinval(tuple, desc, RUN_ID, &isnull));
	int			source = DatumGetInt16(SPI_getbinval(tuple, desc, SOURCE_ID, &isnull));

	if (scan->names_run != run || scan->names_source != source)
	{
		MemoryContext old;
		int64		at = -1;

		MemoryContextReset(scan->names_context);
		old = MemoryContextSwitchTo(scan->names_context);
		for (; scan->kept_at < scan->nkept; scan->kept_at++)
			if ((at = DatumGetInt64(SPI_getbinval(scan->kept_names->vals[scan->kept_at], scan->kept_names->tupdesc, 1, &isnull))) >= run)
				break;
		scan->has_names = at == run && source >= 0 && source < scan->nsources && scan->sources[source] != NULL &&
			settle_read_input_names(&scan->names, DatumGetJsonbPCopy(SPI_getbinval(scan->kept_names->vals[scan->kept_at], scan->kept_names->tupdesc, 2, &isnull)),
									scan->sources[source]);
		scan->names_run = run;
		scan->names_source = source;
		MemoryContextSwitchTo(old);
	}
	return scan->has_names ? &scan->names : NULL;
}

/*
 * Appends the canonical text of a sheet, in the memory of one sheet.
 */
static void
put_sheet(StringInfo buf, SealScan *scan, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	int			source = DatumGetInt16(SPI_getbinval(tuple, desc, SOURCE_ID, &isnull));
	const char *currency = json_string(CurrentMemoryContext, TextDatumGetCString(SPI_getbinval(tuple, desc, CURRENCY, &isnull)));
	SettleLinesReader reader;
	SettleLineData line;
	Datum		value;
	char		instant[MAXDATELEN + 1];

	appendStringInfoChar(buf, '{');
	value = SPI_getbinval(tuple, desc, CHANNEL, &isnull);
	if (!isnull)
	{
		put_text(buf, "\"channel\":", json_string(CurrentMemoryContext, TextDatumGetCString(value)));
		appendStringInfoChar(buf, ',');
	}
	value = SPI_getbinval(tuple, desc, CORRECTS_PERIOD, &isnull);
	if (!isnull)
	{
		put_date(buf, "\"corrects_period\":", DatumGetDateADT(value));
		appendStringInfoChar(buf, ',');
	}
	put_dec(buf, "\"cost\":", settle_dec_from_datum(SPI_getbinval(tuple, desc, COST, &isnull)));
	put_text(buf, ",\"currency\":", currency);
	value = SPI_getbinval(tuple, desc, INPUTS, &isnull);
	if (!isnull)
	{
		appendStringInfoString(buf, ",\"inputs\":");
		/* what cannot be read is another text than what was sealed */
		if (!settle_inputs_text(buf, DatumGetByteaPP(value), find_names(scan, tuple, desc)))
			appendStringInfoString(buf, "null");
	}
	settle_lines_open(&reader, DatumGetSettleLines(SPI_getbinval(tuple, desc, LINES, &isnull)));
	appendStringInfoString(buf, ",\"lines\":[");
	for (int i = 0; settle_lines_next(&reader, &line); i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, ',');
		put_line(buf, scan, &line, currency);
	}
	appendStringInfoChar(buf, ']');
	put_dec(buf, ",\"payout\":", settle_dec_from_datum(SPI_getbinval(tuple, desc, PAYOUT, &isnull)));
	put_date(buf, ",\"period\":", DatumGetDateADT(SPI_getbinval(tuple, desc, PERIOD, &isnull)));
	value = SPI_getbinval(tuple, desc, PROJECT, &isnull);
	if (!isnull)
		put_text(buf, ",\"project\":", json_string(CurrentMemoryContext, TextDatumGetCString(value)));
	value = SPI_getbinval(tuple, desc, REGION, &isnull);
	if (!isnull)
		put_text(buf, ",\"region\":", json_string(CurrentMemoryContext, TextDatumGetCString(value)));
	put_dec(buf, ",\"revenue\":", settle_dec_from_datum(SPI_getbinval(tuple, desc, REVENUE, &isnull)));
	appendStringInfo(buf, ",\"revision\":%d", DatumGetInt32(SPI_getbinval(tuple, desc, REVISION, &isnull)));
	put_text(buf, ",\"source\":", source >= 0 && source < scan->nsources && scan->sources[source] != NULL
			 ? json_string(CurrentMemoryContext, scan->sources[source]) : "null");
	put_text(buf, ",\"ticket_key\":", json_string(CurrentMemoryContext, TextDatumGetCString(SPI_getbinval(tuple, desc, TICKET_KEY, &isnull))));
	/* as a timestamp without a zone it is the time in UTC */
	JsonEncodeDateTime(instant, SPI_getbinval(tuple, desc, TICKET_TIME, &isnull), TIMESTAMPOID, NULL);
	appendStringInfo(buf, ",\"ticket_time\":\"%sZ\"", instant);
	appendStringInfo(buf, ",\"tickets\":%d}", DatumGetInt16(SPI_getbinval(tuple, desc, TICKETS, &isnull)));
}

const char *
settle_run_texts(const SettleBook *book)
{
	return psprintf("SELECT u.run_id, CASE WHEN r.run_id IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object('actor', r.actor, 'amount', trim_scale(r.amount), "
					"'corrections', r.corrections, 'finished_at', settle._instant(r.finished_at), 'held', r.held, 'lines', r.lines, 'problems', r.problems, "
					"'ruleset', encode(r.digest, 'hex'), 'settled_on', r.settled_on, 'started_at', settle._instant(r.started_at), "
					"'tickets', r.tickets, 'unpaid', r.unpaid))::text END "
					"FROM unnest($1) AS u(run_id) LEFT JOIN ONLY %s.run AS r ON r.run_id = u.run_id ORDER BY u.run_id", book->name);
}

/* ---- reading ---- */

void
settle_seal_scan_runs(SealScan *scan, ArrayType *runs)
{
	Oid			type = INT8ARRAYOID;
	Datum		value = PointerGetDatum(runs);

	scan->nkept = settle_book_execute(psprintf("SELECT r.run_id, r.input_names FROM ONLY %s.run AS r WHERE r.run_id = ANY ($1) AND r.input_names IS NOT NULL ORDER BY r.run_id", scan->book.name),
									  1, &type, &value, NULL, SPI_OK_SELECT);
	scan->kept_names = SPI_tuptable;
	scan->kept_at = 0;
	scan->names_source = -1;
	/* the bounds are for the index, which knows ranges only */
	scan->portal = SPI_cursor_open_with_args(NULL, psprintf(
		"SELECT s.run_id, s.sheet_id, s.source_id, s.ticket_key, s.revision, s.ticket_time, s.period, s.corrects_period, s.project::text, s.region::text, "
		"s.currency, s.revenue, s.cost, s.payout, s.tickets, s.lines, s.inputs, s.channel FROM %s.sheet AS s "
		"WHERE s.run_id BETWEEN (SELECT min(u) FROM unnest($1) AS u) AND (SELECT max(u) FROM unnest($1) AS u) AND s.run_id = ANY ($1) "
		"ORDER BY s.run_id, s.sheet_id", scan->book.name), 1, &type, &value, NULL, false, 0);
	scan->nrows = scan->at = 0;
	scan->rows = NULL;
	scan->hash = settle_hash_begin();
}

bool
settle_seal_scan_next(SealScan *scan, SealedSheet *sheet)
{
	MemoryContext old;
	StringInfoData text;
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;
	int			source;

	if (scan->at == scan->nrows)
	{
		if (scan->rows != NULL)
			SPI_freetuptable(scan->rows);
		SPI_cursor_fetch(scan->portal, true, CHUNK);
		scan->rows = SPI_tuptable;
		scan->nrows = SPI_processed;
		scan->at = 0;
		if (scan->nrows == 0)
			return false;
		load_parties(scan);
	}
	CHECK_FOR_INTERRUPTS();
	tuple = scan->rows->vals[scan->at++];
	desc = scan->rows->tupdesc;
	MemoryContextReset(scan->sheet_context);
	old = MemoryContextSwitchTo(scan->sheet_context);
	initStringInfo(&text);
	put_sheet(&text, scan, tuple, desc);
	settle_hash_again(scan->hash);
	settle_hash_add(scan->hash, text.data, text.len);
	settle_hash_end(scan->hash, sheet->digest);
	MemoryContextSwitchTo(old);
	sheet->run_id = DatumGetInt64(SPI_getbinval(tuple, desc, RUN_ID, &isnull));
	sheet->sheet_id = DatumGetInt64(SPI_getbinval(tuple, desc, SHEET_ID, &isnull));
	source = DatumGetInt16(SPI_getbinval(tuple, desc, SOURCE_ID, &isnull));
	sheet->source = source >= 0 && source < scan->nsources ? scan->sources[source] : NULL;
	sheet->ticket_key = SPI_getbinval(tuple, desc, TICKET_KEY, &isnull);
	return true;
}

void
settle_seal_scan_end(SealScan *scan)
{
	if (scan->rows != NULL)
		SPI_freetuptable(scan->rows);
	scan->rows = NULL;
	SPI_freetuptable(scan->kept_names);
	pg_cryptohash_free(scan->hash);
	SPI_cursor_close(scan->portal);
}
