/*
 * book.h
 *		A book: a schema of ordinary tables, and whose rights its code has.
 */
#ifndef SETTLE_BOOK_H
#define SETTLE_BOOK_H

#include "core/core.h"

#include "executor/spi.h"
#include "fmgr.h"
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
	bool		keeps_plans;
	const struct SettleBook *unchecked;
} SettleIdentity;

/* Finds a book by its schema.  Raises 42704 where the schema is no book. */
extern SettleBook settle_book(Oid schema);

/*
 * Finds it without a look at its tables: each of them is to be checked before it
 * is used, or all of them by the first statement that runs after check_later.
 */
extern SettleBook settle_book_unchecked(Oid schema);
extern void settle_book_check_table(const SettleBook *book, const char *table);
extern void settle_book_check_tables(const SettleBook *book);
extern const SettleBook *settle_book_check_later(const SettleBook *book);

/*
 * The same for code that asks the tables in SQL only, and takes no value from
 * them but by a cast: whether they are as they should be, which takes longer
 * than a small statement, is not looked at.
 */
extern SettleBook settle_book_for_sql(Oid schema);

/* Owner of a schema; InvalidOid where there is no such schema. */
extern Oid	settle_book_owner(Oid schema);

/* What somebody may do in a book; <book>.access says who, beside its owner, who may all. */
typedef enum SettleLevel
{
	SETTLE_READER,
	SETTLE_CLERK,
	SETTLE_APPROVER,
	SETTLE_STAFF,
	SETTLE_CONNECTOR,
	SETTLE_PERSONAL,
	SETTLE_DELEGATE,
	SETTLE_ADMIN
} SettleLevel;

/* Raises 42501 unless the current user has the level in the book, or may act for its owner. */
extern void settle_book_check_level(const SettleBook *book, SettleLevel level);

/* Runs the body of the SQL function that is called, settle._f, as the owner of its book, if the caller has the level. */
extern Datum settle_call_as_owner(FunctionCallInfo fcinfo, SettleLevel level);

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
 * ticket.  An error in between needs no clean-up, but what check_later was told:
 * settle_book_ask_as_before is the part of leave that forgets it.
 */
extern SettleIdentity settle_book_enter(const SettleBook *book);

/*
 * The same in two steps, for code that finds book time in rows of the book
 * first: becoming the owner, and the environment, before any statement runs:
 * that of our own statements, or settle_env_enter_late, which is not left by
 * settle_book_leave.
 */
extern SettleIdentity settle_book_become(const SettleBook *book);
extern void settle_book_pin(SettleIdentity *identity);

/* Pins the environment of our own statements, in which no name is a stranger's, until settle_env_leave. */
extern int	settle_book_env(void);
extern void settle_book_leave(SettleIdentity identity);
extern void settle_book_ask_as_before(SettleIdentity identity);

/* Runs a statement through SPI inside enter and leave; expects a result code.  Format arguments are the text's. */
extern uint64 settle_book_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected);

/* The same of a query that is told whether to read with the snapshot that is active, and of one whose rows are fetched. */
extern uint64 settle_book_query(const char *sql, int nargs, Oid *types, Datum *values, bool read_only);
extern Portal settle_book_open(const char *sql, int nargs, Oid *types, Datum *values);

/*
 * A statement that is asked all day; in its text %1$s is the book and %2$s the
 * schema of ltree.  Its plan is kept for the session.
 */
typedef struct SettleStatement
{
	const char *sql;
	int			expected;		/* result code of SPI */
	int			nargs;
	Oid			types[16];
} SettleStatement;

/* Runs it inside enter, and SPI, and leave. */
extern uint64 settle_book_ask(const SettleBook *book, const SettleStatement *statement, Datum *values, const char *nulls);

/*
 * Begins, or ends, that the book's own tickets settle at the end of each
 * statement where else they do at commit; for use inside enter and leave.
 */
extern void settle_book_at_once(const SettleBook *book, bool at_once);

/*
 * From here to settle_book_leave, plans of statements are kept in the session:
 * for code that runs often and asks little each time.  begin_plans is for enter
 * and leave alone.
 */
extern void settle_book_keep_plans(void);
extern bool settle_book_asks_little(void);
extern bool settle_book_begin_plans(bool keeps);

/*
 * The rules in force now, or as the running statement sees them.  The value is
 * remembered by revision and stays valid until the end of the transaction.
 */
extern const SettleRuleset *settle_book_ruleset(const SettleBook *book);
extern const SettleRuleset *settle_book_ruleset_of(const SettleBook *book, int64 revision);
extern const SettleRuleset *settle_book_ruleset_seen(const SettleBook *book);

/*
 * First day of the oldest open period: the one after the last that is closed;
 * null where none is.  SQL text over the settings b; %1$s is the book.
 */
#define SETTLE_OPEN_PERIOD \
	"settle._period_after(b.period, (SELECT pg_catalog.max(c.period) FROM %1$s.period AS c WHERE c.state OPERATOR(pg_catalog.=) 'closed'))"

/* The validity of a rule or outcome of a pack that names none.  For use inside enter and leave. */
extern Datum settle_default_valid(const SettleBook *book, const char *pack);

/*
 * Set while statements on a book only read, and read with the snapshot of the
 * running statement, so that they see one state of it.  Whoever sets it resets
 * it in PG_FINALLY.
 */
extern bool settle_book_reads_only;

/* What is in force together with one pack, as if it had been enabled at an instant.  Raises 42704 where there is no such pack. */
extern SettleRuleset *settle_book_ruleset_with(const SettleBook *book, const char *pack, TimestampTz since);

/* Compiles rules for every source of the book, which raises what is wrong with them. */
extern void settle_book_check_rules(const SettleBook *book, const SettleRuleset *ruleset);

/* Raises an alert, once for each kind and object that nobody has settled.  For use inside enter and leave. */
extern void settle_raise_alert(const SettleBook *book, const char *kind, const char *object, const char *message);

/* Makes the triggers that a source lacks, of each of its tables; of all sources where it is null.  Returns on how many tables.  Needs SPI. */
extern int settle_create_captures(const SettleBook *book, const char *source);

/* One column of a row of the last SPI result. */
extern Datum settle_spi_datum(int row, int column, bool *isnull);

/* The same in the type's text form; NULL where it is null. */
extern char *settle_spi_text(int row, int column);

#endif							/* SETTLE_BOOK_H */
