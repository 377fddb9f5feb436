/*
 * seal.c
 *		Seals: a chain of digests over what runs have posted.
 *
 * Runs do not chain, or tickets that settle at commit would wait for each
 * other.  A run notes itself in <book>.unsealed; whoever seals absorbs fresh runs
 * and takes what is committed there, in order of run_id, and a run that commits
 * later with a smaller number goes into a later seal.  The digest of a seal is
 * sha256 of the one before it and, for each run, the digest of its record and
 * those of its sheets.  <book>.sealed_run keeps a part of each sheet's digest, so
 * that settle.verify can say where something differs.
 *
 * Sealers exclude each other by a lock on <book>.seal; nobody else waits for it.
 */
#include "settle/seal.h"

#include "book/progress.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

/*
 * Appends a sheet to the list of its run: how much its number is greater than
 * that of the sheet before it, seven bits a byte, and the beginning of its
 * digest.
 */
static void
add_to_list(StringInfo list, int64 step, const uint8 *digest)
{
	uint64		value = (uint64) step;

	while (value >= 0x80)
	{
		appendStringInfoCharMacro(list, (char) (0x80 | (value & 0x7F)));
		value >>= 7;
	}
	appendStringInfoCharMacro(list, (char) value);
	appendBinaryStringInfo(list, (const char *) digest, SETTLE_SHORT_DIGEST);
}

static Datum
bytes_datum(const void *bytes, Size len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	return PointerGetDatum(value);
}

/*
 * Seals the runs of an array, in order; returns how many sheets they have.
 */
static int64
seal_runs(const SettleBook *book, int64 seal_id, ArrayType *runs, pg_cryptohash_ctx *chain, int64 *nruns)
{
	Oid			array_type = INT8ARRAYOID;
	Datum		value = PointerGetDatum(runs);
	Oid			types[] = {INT8OID, INT8OID, BYTEAOID, BYTEAOID};
	Datum		values[4];
	SealScan   *scan = settle_seal_scan(book);
	SealedSheet sheet;
	SPITupleTable *texts;
	StringInfoData list;
	int64		sheets = 0;
	bool		more;
	bool		isnull;
	pg_cryptohash_ctx *hash = settle_hash_begin();

	initStringInfo(&list);
	settle_book_execute(psprintf("SELECT coalesce(sum(r.tickets), 0)::int8 FROM ONLY %s.run AS r WHERE r.run_id = ANY ($1)", book->name), 1, &array_type, &value, NULL, SPI_OK_SELECT);
	settle_progress_begin(book, SETTLE_SEALING, SETTLE_HASHING, DatumGetInt64(settle_spi_datum(0, 1, &isnull)));
	*nruns = settle_book_execute(settle_run_texts(book), 1, &array_type, &value, NULL, SPI_OK_SELECT);
	texts = SPI_tuptable;
	settle_seal_scan_runs(scan, runs);
	more = settle_seal_scan_next(scan, &sheet);
	for (int64 i = 0; i < *nruns; i++)
	{
		int64		run_id = DatumGetInt64(SPI_getbinval(texts->vals[i], texts->tupdesc, 1, &isnull));
		Datum		text = SPI_getbinval(texts->vals[i], texts->tupdesc, 2, &isnull);
		uint8		digest[PG_SHA256_DIGEST_LENGTH];
		int64		last = 0;

		settle_hash_again(hash);
		if (!isnull)
			settle_hash_add(hash, VARDATA_ANY(DatumGetPointer(text)), VARSIZE_ANY_EXHDR(DatumGetPointer(text)));
		settle_hash_end(hash, digest);
		settle_hash_add(chain, digest, sizeof(digest));
		resetStringInfo(&list);
		for (; more && sheet.run_id == run_id; more = settle_seal_scan_next(scan, &sheet))
		{
			settle_hash_add(chain, sheet.digest, sizeof(sheet.digest));
			add_to_list(&list, sheet.sheet_id - last, sheet.digest);
			last = sheet.sheet_id;
			sheets++;
			settle_progress_add(1);
		}
		values[0] = Int64GetDatum(run_id);
		values[1] = Int64GetDatum(seal_id);
		values[2] = bytes_datum(digest, sizeof(digest));
		values[3] = bytes_datum(list.data, list.len);
		settle_book_execute(psprintf("INSERT INTO %s.sealed_run (run_id, seal_id, digest, sheets) VALUES ($1, $2, $3, $4)", book->name),
							lengthof(types), types, values, NULL, SPI_OK_INSERT);
		pfree(DatumGetPointer(values[2]));
		pfree(DatumGetPointer(values[3]));
	}
	settle_seal_scan_end(scan);
	pg_cryptohash_free(hash);
	settle_progress_end();
	return sheets;
}

/*
 * settle._seal(book regnamespace, max_runs int default null) returns bigint
 *
 * Seals the runs that are committed and not sealed, at most max_runs of them;
 * returns how many there were.
 */
PG_FUNCTION_INFO_V1(settle_seal);
Datum
settle_seal(PG_FUNCTION_ARGS)
{
	SettleBook	book;
	SettleIdentity identity;
	Oid			limit_type = INT4OID;
	Datum		limit = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	int64		taken;
	int64		nruns = 0;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_CLERK);
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("LOCK TABLE %s.seal IN SHARE ROW EXCLUSIVE MODE", book.name), 0, NULL, NULL, NULL, SPI_OK_UTILITY);
	settle_book_execute(psprintf("SELECT settle._absorb(%u::oid::regnamespace)", book.schema), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	taken = settle_book_execute(psprintf("WITH taken AS (DELETE FROM ONLY %1$s.unsealed WHERE ctid = ANY (ARRAY(SELECT u.ctid FROM ONLY %1$s.unsealed AS u ORDER BY u.run_id LIMIT $1)) RETURNING run_id) "
										 "SELECT array_agg(DISTINCT t.run_id) FROM taken AS t HAVING count(*) > 0", book.name),
								1, &limit_type, &limit, PG_ARGISNULL(1) ? "n" : " ", SPI_OK_SELECT);
	if (taken > 0)
	{
		bool		isnull;
		ArrayType  *runs = DatumGetArrayTypePCopy(settle_spi_datum(0, 1, &isnull));
		pg_cryptohash_ctx *chain = settle_hash_begin();
		Oid			types[] = {INT8OID, BYTEAOID, BYTEAOID, INT8OID, INT8OID};
		Datum		values[5];
		char		nulls[] = "     ";
		uint8		digest[PG_SHA256_DIGEST_LENGTH];
		int64		seal_id = 1;

		nulls[1] = 'n';
		values[1] = (Datum) 0;
		if (settle_book_execute(psprintf("SELECT s.seal_id, s.digest FROM %s.seal AS s ORDER BY s.seal_id DESC LIMIT 1", book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT) == 1)
		{
			bytea	   *previous;

			seal_id = DatumGetInt64(settle_spi_datum(0, 1, &isnull)) + 1;
			previous = DatumGetByteaPCopy(settle_spi_datum(0, 2, &isnull));
			values[1] = PointerGetDatum(previous);
			nulls[1] = ' ';
			settle_hash_add(chain, VARDATA(previous), VARSIZE(previous) - VARHDRSZ);
		}
		values[4] = Int64GetDatum(seal_runs(&book, seal_id, runs, chain, &nruns));
		settle_hash_end(chain, digest);
		pg_cryptohash_free(chain);
		values[0] = Int64GetDatum(seal_id);
		values[2] = bytes_datum(digest, sizeof(digest));
		values[3] = Int64GetDatum(nruns);
		settle_book_execute(psprintf("INSERT INTO %s.seal (seal_id, previous, digest, runs, sheets) VALUES ($1, $2, $3, $4, $5)", book.name),
							lengthof(types), types, values, nulls, SPI_OK_INSERT);
	}
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_INT64(nruns);
}
