/*
 * compat.h
 *		The only place that knows about differences between PostgreSQL versions.
 */
#ifndef SETTLE_COMPAT_H
#define SETTLE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "scrm_settle needs PostgreSQL 15 or later"
#endif

/*
 * With hidden visibility the entry points must be exported; until PostgreSQL 16
 * PGDLLEXPORT is empty on Unix and PG_FUNCTION_INFO_V1 does not use it for the
 * function itself.
 */
#if PG_VERSION_NUM < 160000 && !defined(WIN32)
#include "fmgr.h"
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = { 1 }; \
	return &my_finfo; \
} \
extern int no_such_variable
#endif

/* ltree.h's test of what a label may hold, for files that include it */
#if PG_VERSION_NUM >= 160000
#define settle_is_label_char(at)	ISLABEL(at)
#else
#define settle_is_label_char(at)	ISALNUM(at)
#endif

/* which indexes get entries of a row; not 0 where any does */
#if PG_VERSION_NUM >= 160000
#define SettleIndexUpdate	TU_UpdateIndexes
#define SETTLE_ALL_INDEXES	TU_All
#define settle_insert_index_entries(info, slot, estate, which) \
	ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, (which) == TU_Summarizing)
#else
#define SettleIndexUpdate	bool
#define SETTLE_ALL_INDEXES	true
#define settle_insert_index_entries(info, slot, estate, which) \
	ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL)
#endif

#if PG_VERSION_NUM >= 180000
#define settle_index_beginscan(table, index, snapshot, nkeys)	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define settle_index_beginscan(table, index, snapshot, nkeys)	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* whether somebody may look into a schema */
#if PG_VERSION_NUM >= 160000
#define settle_may_use_schema(schema, user)	(object_aclcheck(NamespaceRelationId, schema, user, ACL_USAGE) == ACLCHECK_OK)
#define pgstat_fetch_stat_local_beentry(i)	pgstat_get_local_beentry_by_index(i)
#else
#define settle_may_use_schema(schema, user)	(pg_namespace_aclcheck(schema, user, ACL_USAGE) == ACLCHECK_OK)
#endif

#endif							/* SETTLE_COMPAT_H */
