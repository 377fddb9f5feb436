/*
 * gate.h
 *		What the files of the gateway share among themselves.
 *
 * expr.c reads; raw.c, vet.c, argument.c and type.c refuse; functions.c lists
 * what is allowed, env.c pins the environment, surface.c shows it in SQL.
 */
#ifndef SETTLE_GATE_H
#define SETTLE_GATE_H

#include "expr/expr.h"

#include "parser/parse_node.h"

/* longest text, typed or canonical, in bytes */
#define SETTLE_EXPR_MAX_BYTES		65536
/* most nodes, copies that the parser makes of BETWEEN and IN included */
#define SETTLE_EXPR_MAX_NODES		100000
/* most operations whose cost grows with their input: concatenations, powers, patterns */
#define SETTLE_EXPR_MAX_COSTLY		100
/* most operations inside each other that may double a text by quoting it */
#define SETTLE_EXPR_MAX_QUOTING		4
/* most digits of a numeric constant on either side of the point */
#define SETTLE_EXPR_MAX_DIGITS		100
/* largest constant exponent of a numeric power */
#define SETTLE_EXPR_MAX_EXPONENT	100
/* longest char(n) */
#define SETTLE_EXPR_MAX_CHAR		1000
/* most copies of its parts that a pattern may compile to */
#define SETTLE_EXPR_MAX_COPIES		10000
/* most wildcards of an lquery */
#define SETTLE_EXPR_MAX_STARS		4

/* Where an object that expressions may use comes from. */
typedef enum SettleHome
{
	SETTLE_HOME_CORE,			/* a pinned built-in */
	SETTLE_HOME_LTREE,
	SETTLE_HOME_SETTLE,
	SETTLE_HOME_STRANGE			/* anybody's */
} SettleHome;

/* what has to be looked at besides the name */
#define SETTLE_FN_COSTLY	0x01	/* counts towards SETTLE_EXPR_MAX_COSTLY */
#define SETTLE_FN_QUOTING	0x02	/* counts towards SETTLE_EXPR_MAX_QUOTING */
#define SETTLE_FN_FORMAT	0x04	/* the second argument must be a constant */
#define SETTLE_FN_REGEX		0x08	/* the second argument must be a constant, harmless pattern */
#define SETTLE_FN_POWER		0x10	/* the exponent of numeric must be a small constant */
#define SETTLE_FN_REPLACE	0x20	/* must not make its text longer */
#define SETTLE_FN_LQUERY	0x40	/* an lquery among the arguments must be a small constant */
#define SETTLE_FN_BY_POSITION (SETTLE_FN_FORMAT | SETTLE_FN_REGEX | SETTLE_FN_POWER | SETTLE_FN_REPLACE)

typedef struct SettleAllowed
{
	const char *name;
	SettleHome	home;
	const char *purpose;
	int			flags;
} SettleAllowed;

/* functions.c */
extern const SettleAllowed *settle_allowed_function(const char *name);
extern const SettleAllowed *settle_allowed_operator(const char *name);
extern const SettleAllowed *settle_allowed_functions(int *n);
extern bool settle_stable_under_pins(const char *function_name);
extern bool settle_core_type_allowed(Oid type);

/* type.c */
extern void settle_forget_homes(void);
extern SettleHome settle_home_of(Oid class_id, Oid object_id);
extern bool settle_is_lquery(Oid type);
extern bool settle_type_allowed(Oid type);
extern bool settle_column_allowed(Oid type);
extern void settle_vet_type(ParseState *pstate, Oid type, int location);
extern bool settle_type_takes_date_words(Oid type);
extern bool settle_has_date_word(const char *text);
extern void settle_check_date_text(const char *text);

/* raw.c */
extern List *settle_vet_raw(ParseState *pstate, Node *raw);

/* argument.c */
extern void settle_vet_arguments(ParseState *pstate, int flags, List *args, Oid collation, int location);

/* vet.c */
extern void settle_refuse_syntax(ParseState *pstate, Node *node, const char *what, const char *hint);
extern void settle_refuse_large(ParseState *pstate, int location, const char *what, int limit);
extern void settle_vet_analysed(ParseState *pstate, Node *node);
extern void settle_vet_planned(Node *node);

#endif							/* SETTLE_GATE_H */
