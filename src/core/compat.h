/*
 * compat.h
 *		The only place that knows about differences between PostgreSQL versions.
 */
#ifndef SETTLE_COMPAT_H
#define SETTLE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "scrm_settle needs PostgreSQL 15 or later"
#endif

#endif							/* SETTLE_COMPAT_H */
