/*
 * compat.h
 *		The only place that knows about differences between PostgreSQL versions.
 */
#ifndef SETTLE_COMPAT_H
#define SETTLE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "scrm_settle needs PostgreSQL 15 or later"
#endif

/* ltree.h's test of what a label may hold, for files that include it */
#if PG_VERSION_NUM >= 160000
#define settle_is_label_char(at)	ISLABEL(at)
#else
#define settle_is_label_char(at)	ISALNUM(at)
#endif

#endif							/* SETTLE_COMPAT_H */
