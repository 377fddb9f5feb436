/*
 * expr.h
 *		The only gateway that turns a text of a rule into an expression that
 *		PostgreSQL evaluates.
 *
 * A text may be one scalar SQL expression over the names of a scope and
 * nothing else: no sub-select, aggregate, set, volatile or user-defined
 * function.  It is parsed, checked and planned in a pinned environment, so the
 * same text means the same in every session.
 */
#ifndef SETTLE_EXPR_H
#define SETTLE_EXPR_H

#include "core/core.h"

#include "nodes/bitmapset.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"

/* One name that expressions may use.  Its Var has varno 1 and varattno = position in the scope, from 1. */
typedef struct SettleName
{
	const char *qualifier;		/* "t", "d", "c" ...; NULL for a column of the source */
	const char *name;			/* NULL: the column is dropped and cannot be named */
	Oid			type;
	int32		typmod;
	Oid			collation;
} SettleName;

typedef struct SettleScope
{
	int			nnames;
	SettleName *names;
} SettleScope;

typedef struct SettleExpr
{
	char	   *canonical;		/* the text that is stored: every constant typed, every cast written out */
	Expr	   *node;			/* planned: constants folded, functions inlined */
	Oid			type;
	int32		typmod;
	Oid			collation;
	Bitmapset  *uses;			/* positions in the scope, from 1, that the planned node reads */
} SettleExpr;

/*
 * The pinned environment.  Between the two calls search_path, TimeZone,
 * DateStyle, IntervalStyle and whatever else changes the meaning of a text or
 * of a function are the book's; an error in between needs no clean-up.
 */
extern int	settle_env_enter(const char *time_zone);
extern void settle_env_leave(int nestlevel);

/*
 * The same for code that most of the time needs book time alone, which it has at
 * once: settings take longer than all else that a small transaction does.  The
 * rest is entered, for good, by settle_env_need and settle_env_enter.  Whoever
 * runs a statement, a trigger, a constraint or an expression in which a setting
 * could matter needs it, and says so outside of savepoints; JIT is off then.
 * After an error settle_env_forget takes the place of leave.
 */
typedef struct SettleLateEnv
{
	const char *time_zone;
	struct pg_tz *zone_before;
	int			level;			/* of the transaction */
	int			nestlevel;		/* since it was entered */
} SettleLateEnv;

extern void settle_env_enter_late(SettleLateEnv *env, const char *time_zone);
extern void settle_env_need(void);
extern void settle_env_leave_late(SettleLateEnv *env);
extern void settle_env_forget(const SettleLateEnv *env);

/* Pins that statements are not compiled, inside of an environment. */
extern void settle_env_without_jit(void);

/* The schema that ltree stands in; extension may be NULL. */
extern Oid	settle_ltree_schema(Oid *extension);

/*
 * Reads one expression, inside the pinned environment.
 *
 * wanted is the type that the result is coerced to by assignment rules
 * (BOOLOID for a condition), or InvalidOid to keep its own.  what names the
 * text in messages: "condition of rule \"rush\"".  Result and everything below
 * it are in the current memory context.  Raises 42601, 42703, 42804, 42P17,
 * 0A000, 54000 ... with the position in the text and a hint.
 */
extern SettleExpr *settle_expr_read(const char *text, const SettleScope *scope, Oid wanted, const char *what);

/*
 * Reads a template: text in which braces hold expressions, 'staff:{worker_id}'.
 * Doubled braces stand for themselves.  The result is of type text and null
 * where one of the expressions is null.
 */
extern SettleExpr *settle_template_read(const char *text, const SettleScope *scope, const char *what);

/* Makes it evaluable.  The slot that names are read from is econtext->ecxt_scantuple. */
extern ExprState *settle_expr_init(const SettleExpr *expr);

/* Nearest name by edit distance, for hints; NULL where none is near. */
extern const char *settle_nearest_name(const char *name, const char *const *candidates, int ncandidates);

#endif							/* SETTLE_EXPR_H */
