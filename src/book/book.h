/*
 * book.h
 *		A book: a schema of ordinary tables, and whose rights its code has.
 */
#ifndef SETTLE_BOOK_H
#define SETTLE_BOOK_H

#include "core/core.h"

#include "executor/spi.h"
#include "rule/engine.h"

typedef struct SettleBook
{
	Oid			schema;
	Oid			owner;
	const char *name;			/* quoted, ready for SQL */
	const char *label;			/* as it is, for messages */
} SettleBook;

/* What was in force before the code of a book ran. */
typedef struct SettleIdentity
{
	Oid			user;
	int			security_context;
	int			nestlevel;
} SettleIdentity;

/* Finds a book by its schema.  Raises 42704 where the schema is no book. */
extern SettleBook settle_book(Oid schema);

/* Owner of a schema; InvalidOid where there is no such schema. */
extern Oid	settle_book_owner(Oid schema);

/* What somebody may do in a book; <book>.access says who, beside its owner, who may all. */
typedef enum SettleLevel
{
	SETTLE_READER,
	SETTLE_CLERK,
	SETTLE_APPROVER,
	SETTLE_STAFF,
	SETTLE_DELEGATE,
	SETTLE_ADMIN
} SettleLevel;

/* Raises 42501 unless the current user has the level in the book, or may act for its owner. */
extern void settle_book_check_level(const SettleBook *book, SettleLevel level);

/* Raises 42501 where the current user may not let the book read a relation. */
extern void settle_book_check_relation(const SettleBook *book, Oid relation);

/*
 * Who acts in a book: the party of settle.act_as, else the session user; and
 * why, NULL where nobody said.  A reason holds from begin to end, which is given
 * what begin returned.  settle_acting_party is NULL without act_as.
 */
extern const char *settle_actor_name(Oid book);
extern const char *settle_acting_party(Oid book);
extern const char *settle_reason_given(Oid book);
extern int	settle_begin_reason(const char *reason);
extern void settle_end_reason(int depth);

/*
 * Between these two everything runs as the owner of the book, in the
 * restricted context of REFRESH MATERIALIZED VIEW, with row security off and a
 * pinned search_path: never with the rights of whoever happens to write a
 * ticket.  An error in between needs no clean-up.
 */
extern SettleIdentity settle_book_enter(const SettleBook *book);
extern void settle_book_leave(SettleIdentity identity);

/* Runs a statement through SPI inside enter and leave; expects a result code.  Format arguments are the text's. */
extern uint64 settle_book_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected);

/*
 * The rules in force now, or as the running statement sees them.  The value is
 * remembered by revision and stays valid until the end of the transaction.
 */
extern const SettleRuleset *settle_book_ruleset(const SettleBook *book);
extern const SettleRuleset *settle_book_ruleset_seen(const SettleBook *book);

/* What is in force together with one pack, as if it were enabled now. */
extern SettleRuleset *settle_book_ruleset_with(const SettleBook *book, const char *pack);

/* Compiles rules for every source of the book, which raises what is wrong with them. */
extern void settle_book_check_rules(const SettleBook *book, const SettleRuleset *ruleset);

/* Raises an alert, once for each kind and object that nobody has settled.  For use inside enter and leave. */
extern void settle_raise_alert(const SettleBook *book, const char *kind, const char *object, const char *message);

/* One column of a row of the last SPI result. */
extern Datum settle_spi_datum(int row, int column, bool *isnull);

#endif							/* SETTLE_BOOK_H */
