/*
 * guard.h: memory of the extension as a sanitizer sees it.
 *
 * PostgreSQL takes memory in blocks and cuts chunks from them, so that neither
 * ASan nor memcheck knows where a chunk ends.  A build for a sanitizer includes
 * this file before all others: what the extension allocates in a context comes
 * from a child of it instead, where each chunk is a malloc of its own.  The child
 * goes with its parent.  Strings and values that the server hands over are copied
 * there, so that reading past their end is seen, too.
 */
#ifndef SETTLE_GUARD_H
#define SETTLE_GUARD_H

#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/nodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#if PG_VERSION_NUM >= 160000
#error "the chunks of guard.c have the header of PostgreSQL 15"
#endif

/* guard.c */
extern MemoryContext settle_guard(MemoryContext context);
extern MemoryContext settle_guarded(MemoryContext context);
extern char *settle_guard_string(char *string);
extern void settle_guard_buffer(StringInfo buffer);
extern struct varlena *settle_guard_value(struct varlena *value);

#define GUARD_HERE settle_guard(CurrentMemoryContext)

#define palloc(n)						(MemoryContextAlloc)(GUARD_HERE, (n))
#define palloc0(n)						(MemoryContextAllocZero)(GUARD_HERE, (n))
#define palloc_extended(n, flags)		(MemoryContextAllocExtended)(GUARD_HERE, (n), (flags))
#define MemoryContextAlloc(c, n)		(MemoryContextAlloc)(settle_guard(c), (n))
#define MemoryContextAllocZero(c, n)	(MemoryContextAllocZero)(settle_guard(c), (n))
#define MemoryContextAllocZeroAligned(c, n) (MemoryContextAllocZeroAligned)(settle_guard(c), (n))
#define MemoryContextAllocHuge(c, n)	(MemoryContextAllocHuge)(settle_guard(c), (n))
#define MemoryContextAllocExtended(c, n, flags) (MemoryContextAllocExtended)(settle_guard(c), (n), (flags))
#define MemoryContextStrdup(c, s)		(MemoryContextStrdup)(settle_guard(c), (s))
#define pstrdup(s)						(MemoryContextStrdup)(GUARD_HERE, (s))
#define pnstrdup(s, n)					settle_guard_string((pnstrdup)((s), (n)))
#define psprintf(...)					settle_guard_string((psprintf)(__VA_ARGS__))
#define text_to_cstring(t)				settle_guard_string((text_to_cstring)(t))
#define initStringInfo(buffer)			settle_guard_buffer(buffer)
#define MemoryContextRegisterResetCallback(c, callback) (MemoryContextRegisterResetCallback)(settle_guard(c), (callback))
#define GetMemoryChunkContext(p)		settle_guarded((GetMemoryChunkContext)(p))

/* A state that an aggregate changes in place must stay where it is. */
#define GUARD_IN_PLACE						(__builtin_strstr(__BASE_FILE__, "/aggregate.c") != NULL)
#define pg_detoast_datum(d)				(GUARD_IN_PLACE ? (pg_detoast_datum)(d) : settle_guard_value((pg_detoast_datum)(d)))
#define pg_detoast_datum_packed(d)		(GUARD_IN_PLACE ? (pg_detoast_datum_packed)(d) : settle_guard_value((pg_detoast_datum_packed)(d)))

#endif
