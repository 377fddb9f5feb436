/*
 * core.h
 *		What every room shares: the SQLSTATEs of settlement and small helpers.
 *
 * Ordinary faults carry PostgreSQL's own codes (42601 for a text that does not
 * parse, 22023 for a value out of its domain, 22P02 for a literal that a type
 * refuses).  Class ST is for what only a settlement can get wrong; every code
 * of it may stand in <book>.problem.
 */
#ifndef SETTLE_CORE_H
#define SETTLE_CORE_H

#include "postgres.h"
#include "core/compat.h"

#define SETTLE_ERRCODE(a, b, c)	MAKE_SQLSTATE('S', 'T', a, b, c)

/* two rules of one component, or of a "unique" choice, apply to one ticket */
#define ERRCODE_SETTLE_RULE_CONFLICT	SETTLE_ERRCODE('0', '0', '1')
/* more than one outcome of a decision with hit policy "unique" applies */
#define ERRCODE_SETTLE_DECISION_CONFLICT SETTLE_ERRCODE('0', '0', '2')
/* no outcome of a decision applies and it has no fallback */
#define ERRCODE_SETTLE_NO_OUTCOME		SETTLE_ERRCODE('0', '0', '3')
/* a base, factor or party of an applicable rule is null */
#define ERRCODE_SETTLE_NULL_TERM		SETTLE_ERRCODE('0', '0', '4')
/* a settled ticket has vanished from its source and on_delete is "hold" */
#define ERRCODE_SETTLE_VANISHED			SETTLE_ERRCODE('0', '0', '5')
/* a ticket's mapped values (times, project, currency) cannot be used */
#define ERRCODE_SETTLE_BAD_TICKET		SETTLE_ERRCODE('0', '0', '6')

/* a fact has two values for one key at one time */
#define ERRCODE_SETTLE_FACT_CONFLICT	SETTLE_ERRCODE('0', '0', '7')
/* there is no rate from the currency of a ticket to that of a rule on its day */
#define ERRCODE_SETTLE_NO_RATE			SETTLE_ERRCODE('0', '0', '8')
/* a row takes back more than its ticket had, or a ticket that is not there */
#define ERRCODE_SETTLE_REVERSAL			SETTLE_ERRCODE('0', '0', '9')

/*
 * Makes room for one more item behind n in an array that has room for "space";
 * NULL is an array of none.
 */
static inline void *
settle_grow(void *items, int n, int *space, Size size)
{
	if (n < *space)
		return items;
	*space = Max(8, *space * 2);
	return items == NULL ? palloc(size * *space) : repalloc(items, size * *space);
}

/*
 * Tells, once a session, of a library that is not of the version of the
 * extension: an earlier one is refused (55000), a later one warns.
 */
extern void settle_check_version(void);

/* Symbols are hidden by default; SQL entry points are exported by PG_FUNCTION_INFO_V1. */

#endif							/* SETTLE_CORE_H */
