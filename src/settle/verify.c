/*
 * verify.c
 *		settle.verify: whether what was sealed is still what it was.
 *
 * Everything is computed again from the tables and compared: sheets with the
 * lists of their runs, records of runs, each seal with what it covers, the
 * chain, and its end with an anchor that was kept outside.  Without an anchor
 * whoever may write all tables can rebuild the chain and nothing here sees it.
 */
#include "settle/seal.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* Seals that are read at once. */
#define CHUNK	100

typedef struct Findings
{
	Tuplestorestate *store;
	TupleDesc	desc;
	int64		n;
} Findings;

/*
 * Adds a finding; a run or a ticket that is not known is left out.
 */
static void
find(Findings *findings, int64 seal_id, int64 run_id, const SealedSheet *sheet, const char *what)
{
	Datum		values[5] = {0};
	bool		nulls[5] = {false, false, true, true, false};

	values[0] = Int64GetDatum(seal_id);
	nulls[0] = seal_id == 0;
	values[1] = Int64GetDatum(run_id);
	nulls[1] = run_id == 0;
	if (sheet != NULL)
	{
		values[2] = CStringGetTextDatum(sheet->source == NULL ? "?" : sheet->source);
		values[3] = sheet->ticket_key;
		nulls[2] = nulls[3] = false;
	}
	values[4] = CStringGetTextDatum(what);
	tuplestore_putvalues(findings->store, findings->desc, values, nulls);
	findings->n++;
}

/* The list of sheets of a sealed run. */
typedef struct SheetList
{
	const uint8 *at;
	const uint8 *end;
	int64		sheet_id;
	const uint8 *digest;
} SheetList;

/*
 * Reads the next sheet of a list.  What somebody has cut short ends there: the
 * digest of the seal tells.
 */
static bool
next_listed(SheetList *list)
{
	uint64		step = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		if (list->at >= list->end)
			return false;
		step |= (uint64) (*list->at & 0x7F) << shift;
		if (!(*list->at++ & 0x80))
			break;
	}
	if (list->end - list->at < SETTLE_SHORT_DIGEST)
		return false;
	list->sheet_id += (int64) step;
	list->digest = list->at;
	list->at += SETTLE_SHORT_DIGEST;
	return true;
}

/*
 * Compares the runs of one seal with what is there now, and computes the digest
 * of the seal anew.
 */
static void
verify_runs(const SettleBook *book, SealScan *scan, int64 seal_id, ArrayType *runs, pg_cryptohash_ctx *chain, Findings *findings)
{
	Oid			types[] = {INT8ARRAYOID, INT8OID};
	Datum		values[] = {PointerGetDatum(runs), Int64GetDatum(seal_id)};
	SealedSheet sheet;
	SPITupleTable *texts;
	SPITupleTable *lists;
	uint64		n;
	bool		more;
	pg_cryptohash_ctx *hash = settle_hash_begin();

	n = settle_book_execute(settle_run_texts(book), 1, types, values, NULL, SPI_OK_SELECT);
	texts = SPI_tuptable;
	settle_book_execute(psprintf("SELECT r.digest, r.sheets FROM %s.sealed_run AS r WHERE r.run_id = ANY ($1) AND r.seal_id = $2 ORDER BY r.run_id", book->name),
						2, types, values, NULL, SPI_OK_SELECT);
	lists = SPI_tuptable;
	if (lists->numvals != n)
		elog(ERROR, "seal " INT64_FORMAT " of book \"%s\" has changed while it was verified", seal_id, book->label);
	settle_seal_scan_runs(scan, runs);
	more = settle_seal_scan_next(scan, &sheet);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		int64		run_id = DatumGetInt64(SPI_getbinval(texts->vals[i], texts->tupdesc, 1, &isnull));
		Datum		text = SPI_getbinval(texts->vals[i], texts->tupdesc, 2, &isnull);
		bytea	   *sealed = DatumGetByteaPP(SPI_getbinval(lists->vals[i], lists->tupdesc, 1, &(bool) {false}));
		bytea	   *sheets = DatumGetByteaPP(SPI_getbinval(lists->vals[i], lists->tupdesc, 2, &(bool) {false}));
		SheetList	list = {(const uint8 *) VARDATA_ANY(sheets), (const uint8 *) VARDATA_ANY(sheets) + VARSIZE_ANY_EXHDR(sheets)};
		bool		listed = next_listed(&list);
		uint8		digest[PG_SHA256_DIGEST_LENGTH];

		settle_hash_again(hash);
		if (!isnull)
			settle_hash_add(hash, VARDATA_ANY(DatumGetPointer(text)), VARSIZE_ANY_EXHDR(DatumGetPointer(text)));
		settle_hash_end(hash, digest);
		settle_hash_add(chain, digest, sizeof(digest));
		if (isnull)
			find(findings, seal_id, run_id, NULL, "the record of the run was removed");
		else if (VARSIZE_ANY_EXHDR(sealed) != sizeof(digest) || memcmp(VARDATA_ANY(sealed), digest, sizeof(digest)) != 0)
			find(findings, seal_id, run_id, NULL, "the record of the run was changed");
		while (listed || (more && sheet.run_id == run_id))
		{
			bool		present = more && sheet.run_id == run_id;

			if (present)
				settle_hash_add(chain, sheet.digest, sizeof(sheet.digest));
			if (!present || (listed && list.sheet_id < sheet.sheet_id))
			{
				find(findings, seal_id, run_id, NULL, psprintf("sheet " INT64_FORMAT " was removed", list.sheet_id));
				listed = next_listed(&list);
				continue;
			}
			if (!listed || sheet.sheet_id < list.sheet_id)
				find(findings, seal_id, run_id, &sheet, psprintf("sheet " INT64_FORMAT " was added", sheet.sheet_id));
			else
			{
				if (memcmp(list.digest, sheet.digest, SETTLE_SHORT_DIGEST) != 0)
					find(findings, seal_id, run_id, &sheet, psprintf("sheet " INT64_FORMAT " was changed", sheet.sheet_id));
				listed = next_listed(&list);
			}
			more = settle_seal_scan_next(scan, &sheet);
		}
	}
	settle_seal_scan_end(scan);
	pg_cryptohash_free(hash);
	SPI_freetuptable(lists);
	SPI_freetuptable(texts);
}

static bool
same_bytes(const bytea *a, const bytea *b)
{
	return a == NULL || b == NULL ? a == b
		: VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) && memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/*
 * Goes along the chain.
 */
static void
verify_chain(const SettleBook *book, Findings *findings)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle verify", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	SealScan   *scan = settle_seal_scan(book);
	Portal		portal = SPI_cursor_open_with_args(NULL, psprintf(
		"SELECT s.seal_id, s.previous, s.digest, s.runs, s.sheets, "
		"(SELECT array_agg(r.run_id ORDER BY r.run_id) FROM %1$s.sealed_run AS r WHERE r.seal_id = s.seal_id) "
		"FROM %1$s.seal AS s ORDER BY s.seal_id", book->name), 0, NULL, NULL, NULL, false, 0);
	int64		last_id = 0;
	bytea	   *last = NULL;

	for (;;)
	{
		SPITupleTable *seals;
		uint64		n;

		SPI_cursor_fetch(portal, true, CHUNK);
		seals = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		for (uint64 i = 0; i < n; i++)
		{
			bool		isnull;
			bool		first;
			bool		none;
			int64		seal_id = DatumGetInt64(SPI_getbinval(seals->vals[i], seals->tupdesc, 1, &isnull));
			Datum		previous = SPI_getbinval(seals->vals[i], seals->tupdesc, 2, &first);
			Datum		stored = SPI_getbinval(seals->vals[i], seals->tupdesc, 3, &isnull);
			Datum		runs = SPI_getbinval(seals->vals[i], seals->tupdesc, 6, &none);
			int64		before;
			pg_cryptohash_ctx *chain;
			bytea	   *digest;

			CHECK_FOR_INTERRUPTS();
			MemoryContextSwitchTo(context);
			if (seal_id != last_id + 1)
				find(findings, last_id + 1, 0, NULL, seal_id == last_id + 2 ? "the seal is missing"
					 : psprintf("the seals " INT64_FORMAT " to " INT64_FORMAT " are missing", last_id + 1, seal_id - 1));
			if (!same_bytes(first ? NULL : DatumGetByteaPP(previous), last))
				find(findings, seal_id, 0, NULL, "the seal does not follow the one before it");
			before = findings->n;
			chain = settle_hash_begin();
			if (!first)
				settle_hash_add(chain, VARDATA_ANY(DatumGetByteaPP(previous)), VARSIZE_ANY_EXHDR(DatumGetByteaPP(previous)));
			if (!none)
				verify_runs(book, scan, seal_id, DatumGetArrayTypeP(runs), chain, findings);
			digest = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
			SET_VARSIZE(digest, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
			settle_hash_end(chain, (uint8 *) VARDATA(digest));
			pg_cryptohash_free(chain);
			if (findings->n == before && !same_bytes(digest, DatumGetByteaPP(stored)))
				find(findings, seal_id, 0, NULL, "the seal does not fit what it covers");
			MemoryContextSwitchTo(old);
			if (last != NULL)
				pfree(last);
			last = DatumGetByteaPCopy(stored);
			last_id = seal_id;
			MemoryContextReset(context);
		}
		SPI_freetuptable(seals);
	}
	SPI_cursor_close(portal);
}

/*
 * Adds what a query finds: seal, run, source, ticket, finding.
 */
static void
verify_by_query(const char *sql, Findings *findings)
{
	uint64		n = settle_book_execute(sql, 0, NULL, NULL, NULL, SPI_OK_SELECT);

	for (uint64 row = 0; row < n; row++)
	{
		Datum		values[5];
		bool		nulls[5];

		for (int c = 0; c < 5; c++)
			values[c] = settle_spi_datum((int) row, c + 1, &nulls[c]);
		tuplestore_putvalues(findings->store, findings->desc, values, nulls);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Compares the chain with what was kept outside.
 */
static void
verify_anchor(const SettleBook *book, const char *anchor, Findings *findings)
{
	char	   *end;
	int64		seal_id;
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		values[2];
	bool		isnull;

	errno = 0;
	seal_id = strtoll(anchor, &end, 10);
	if (errno != 0 || seal_id <= 0 || end == anchor || *end != ':' || strlen(end + 1) != 2 * PG_SHA256_DIGEST_LENGTH ||
		strspn(end + 1, "0123456789abcdef") != 2 * PG_SHA256_DIGEST_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an anchor", anchor),
				 errhint("It is what settle.anchor gave: the number of a seal, a colon and 64 hexadecimal digits.")));
	values[0] = Int64GetDatum(seal_id);
	values[1] = CStringGetTextDatum(end + 1);
	if (settle_book_execute(psprintf("SELECT encode(s.digest, 'hex') = $2 FROM %s.seal AS s WHERE s.seal_id = $1", book->name), 2, types, values, NULL, SPI_OK_SELECT) == 0)
		find(findings, seal_id, 0, NULL, "the seal of the anchor is missing");
	else if (!DatumGetBool(settle_spi_datum(0, 1, &isnull)))
		find(findings, seal_id, 0, NULL, "the seal is another than that of the anchor");
}

/*
 * settle.verify(book regnamespace, anchor text default null)
 *			returns setof (seal_id, run_id, source, ticket_key, finding)
 *
 * Returns a row for whatever was changed, added or removed after it was sealed.
 */
PG_FUNCTION_INFO_V1(settle_verify);
Datum
settle_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book;
	SettleIdentity identity;
	Findings	findings = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	InitMaterializedSRF(fcinfo, 0);
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	findings.store = rsinfo->setResult;
	findings.desc = rsinfo->setDesc;
	identity = settle_book_enter(&book);
	SPI_connect();
	verify_chain(&book, &findings);
	verify_by_query(psprintf("SELECT NULL::bigint, s.run_id, coalesce(so.source::text, '?'), s.ticket_key, 'sheet ' || s.sheet_id || ' belongs to no run' "
							 "FROM %1$s.sheet AS s LEFT JOIN %1$s.source AS so ON so.source_id = s.source_id "
							 "WHERE NOT EXISTS (SELECT FROM %1$s.run AS r WHERE r.run_id = s.run_id) AND NOT EXISTS (SELECT FROM %1$s.sealed_run AS r WHERE r.run_id = s.run_id) "
							 "ORDER BY s.sheet_id", book.name), &findings);
	verify_by_query(psprintf("SELECT NULL::bigint, r.run_id, NULL::text, NULL::text, 'the run is not sealed and does not wait for it' FROM %1$s.run AS r "
							 "WHERE NOT EXISTS (SELECT FROM %1$s.sealed_run AS x WHERE x.run_id = r.run_id) AND NOT EXISTS (SELECT FROM %1$s.unsealed AS x WHERE x.run_id = r.run_id) "
							 "ORDER BY 2", book.name), &findings);
	verify_by_query(psprintf("SELECT x.seal_id, x.run_id, NULL::text, NULL::text, 'the seal of the run is missing' FROM %1$s.sealed_run AS x "
							 "WHERE NOT EXISTS (SELECT FROM %1$s.seal AS s WHERE s.seal_id = x.seal_id) ORDER BY 2", book.name), &findings);
	verify_by_query(psprintf("SELECT NULL::bigint, NULL::bigint, NULL::text, NULL::text, 'the ruleset of digest ' || encode(u.digest, 'hex') || ' is another' "
							 "FROM %1$s.ruleset_used AS u WHERE settle.digest(u.ruleset) <> u.digest ORDER BY u.digest", book.name), &findings);
	verify_by_query(psprintf("SELECT NULL::bigint, r.run_id, NULL::text, NULL::text, 'the ruleset that the run has used is missing' "
							 "FROM %1$s.run AS r WHERE NOT EXISTS (SELECT FROM %1$s.ruleset_used AS u WHERE u.digest = r.digest) ORDER BY 2", book.name), &findings);
	if (!PG_ARGISNULL(1))
		verify_anchor(&book, text_to_cstring(PG_GETARG_TEXT_PP(1)), &findings);
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
