/*
 * seal.h
 *		Sheets as the text that seals are made of, shared by those who seal and
 *		those who verify.
 */
#ifndef SETTLE_SEAL_H
#define SETTLE_SEAL_H

#include "settle/settle.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"

/* Bytes of a sheet's digest that the list of a sealed run keeps. */
#define SETTLE_SHORT_DIGEST		8

/* The sheets of some runs, in order of run and sheet. */
typedef struct SealScan SealScan;

/* A sheet; valid until the next one is asked for. */
typedef struct SealedSheet
{
	int64		run_id;
	int64		sheet_id;
	const char *source;
	Datum		ticket_key;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
} SealedSheet;

/* ---- canon.c ---- */
extern SealScan *settle_seal_scan(const SettleBook *book);
extern void settle_seal_scan_runs(SealScan *scan, ArrayType *runs);
extern bool settle_seal_scan_next(SealScan *scan, SealedSheet *sheet);
extern void settle_seal_scan_end(SealScan *scan);

/* The query that gives runs of an array as (run_id, text), in order; the text is null where there is no such run. */
extern const char *settle_run_texts(const SettleBook *book);

/* A digest, which may be used again for another once it has ended, until pg_cryptohash_free. */
extern pg_cryptohash_ctx *settle_hash_begin(void);
extern void settle_hash_again(pg_cryptohash_ctx *hash);
extern void settle_hash_add(pg_cryptohash_ctx *hash, const void *bytes, Size len);
extern void settle_hash_end(pg_cryptohash_ctx *hash, uint8 *digest);

#endif							/* SETTLE_SEAL_H */
