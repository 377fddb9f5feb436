/*
 * execute.c
 *		Statements that code runs on a book.
 *
 * A run asks much of a statement and has it planned for the values at hand.  A
 * ticket that is moved, or settles at its commit, asks a dozen statements a
 * little each: parsing and planning them takes longer than all else that it
 * does.  So the plans of settle_book_ask are kept in the session, and after
 * settle_book_keep_plans those of all texts; PostgreSQL makes them anew where
 * something they name has changed.  Such a plan is for any values, and tables
 * may have been empty when it was made: both are told to the planner, which
 * then uses the indexes.
 */
#include "book/book.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "expr/expr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

/* What a plan is of: a statement of the code for a book, or a text. */
typedef struct PlanKey
{
	const SettleStatement *statement;
	Oid			schema;
	Oid			ltree;
	uint64		text;			/* its hash */
} PlanKey;

typedef struct KeptPlan
{
	PlanKey		key;
	char	   *name;			/* of the book, which may be renamed; or the text itself */
	SPIPlanPtr	plan;
	TimestampTz used;			/* start of the last transaction that did */
	int			nargs;
	Oid			types[16];
} KeptPlan;

#define KEPT_PLANS	512			/* of some thirty books */

bool		settle_book_reads_only = false;
static bool keeps_plans = false;
static HTAB *kept_plans = NULL;

/* A book whose tables nobody has looked at yet; of the code that runs now. */
static const SettleBook *unchecked = NULL;

bool
settle_book_begin_plans(bool keeps)
{
	bool		before = keeps_plans;

	keeps_plans = keeps;
	return before;
}

const SettleBook *
settle_book_check_later(const SettleBook *book)
{
	const SettleBook *before = unchecked;

	unchecked = book;
	return before;
}

static void
check_now(void)
{
	const SettleBook *book = unchecked;

	settle_env_need();
	unchecked = NULL;
	if (book != NULL)
		settle_book_check_tables(book);
}

void
settle_book_keep_plans(void)
{
	keeps_plans = true;
}

bool
settle_book_asks_little(void)
{
	return keeps_plans;
}

static void
forget_plan(KeptPlan *kept)
{
	SPI_freeplan(kept->plan);
	pfree(kept->name);
	(void) hash_search(kept_plans, &kept->key, HASH_REMOVE, NULL);
}

/*
 * Makes room: whatever this transaction has used may still run further up.
 */
static void
forget_plans(void)
{
	HASH_SEQ_STATUS scan;
	KeptPlan   *kept;

	hash_seq_init(&scan, kept_plans);
	while ((kept = hash_seq_search(&scan)) != NULL)
		if (kept->used != GetCurrentTransactionStartTimestamp())
			forget_plan(kept);
}

/*
 * Finds a plan that is kept; NULL where there is none, or what it was made for
 * has another name or other types now.
 */
static SPIPlanPtr
find_plan(const PlanKey *key, const char *name, int nargs, const Oid *types)
{
	KeptPlan   *kept;

	if (kept_plans == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(PlanKey), .entrysize = sizeof(KeptPlan)};

		kept_plans = hash_create("scrm_settle plans", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	kept = hash_search(kept_plans, key, HASH_FIND, NULL);
	if (kept == NULL)
		return NULL;
	if (strcmp(kept->name, name) != 0 || kept->nargs != nargs || (nargs > 0 && memcmp(kept->types, types, sizeof(Oid) * nargs) != 0))
	{
		forget_plan(kept);
		return NULL;
	}
	kept->used = GetCurrentTransactionStartTimestamp();
	return kept->plan;
}

static SPIPlanPtr
keep_plan(const PlanKey *key, const char *name, const char *sql, int nargs, const Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, (Oid *) types, CURSOR_OPT_GENERIC_PLAN);
	KeptPlan   *kept;
	char	   *kept_name;

	if (plan == NULL || nargs > lengthof(kept->types))
		elog(ERROR, "could not plan \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	if (hash_get_num_entries(kept_plans) >= KEPT_PLANS)
		forget_plans();
	/* before there is an entry that would lack it, should memory run out */
	kept_name = MemoryContextStrdup(TopMemoryContext, name);
	kept = hash_search(kept_plans, key, HASH_ENTER, NULL);
	kept->name = kept_name;
	kept->plan = plan;
	kept->used = GetCurrentTransactionStartTimestamp();
	kept->nargs = nargs;
	if (nargs > 0)
		memcpy(kept->types, types, sizeof(Oid) * nargs);
	return plan;
}

/*
 * Has a kept plan made, if there is none that is valid, as one that stays good
 * while the tables grow.
 */
static SPIPlanPtr
ready_plan(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	int			nestlevel;

	if (source->is_valid && source->gplan != NULL && source->gplan->is_valid)
		return plan;
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	ReleaseCachedPlan(SPI_plan_get_cached_plan(plan), CurrentResourceOwner);
	AtEOXact_GUC(true, nestlevel);
	return plan;
}

static SPIPlanPtr
plan_of_text(const char *sql, int nargs, const Oid *types)
{
	PlanKey		key = {.text = hash_bytes_extended((const unsigned char *) sql, (int) strlen(sql), 0)};
	SPIPlanPtr	plan = find_plan(&key, sql, nargs, types);

	return ready_plan(plan != NULL ? plan : keep_plan(&key, sql, sql, nargs, types));
}

static SPIPlanPtr
plan_of_statement(const SettleBook *book, const SettleStatement *statement)
{
	PlanKey		key = {statement, book->schema, settle_ltree_schema(NULL)};
	SPIPlanPtr	plan = find_plan(&key, book->name, statement->nargs, statement->types);

	if (plan == NULL)
		plan = keep_plan(&key, book->name, psprintf(statement->sql, book->name, quote_identifier(get_namespace_name(key.ltree))), statement->nargs, statement->types);
	return ready_plan(plan);
}

uint64
settle_book_ask(const SettleBook *book, const SettleStatement *statement, Datum *values, const char *nulls)
{
	MemoryContext old = CurrentMemoryContext;
	int			result;

	settle_env_need();
	result = SPI_execute_plan(plan_of_statement(book, statement), values, nulls, settle_book_reads_only, 0);
	MemoryContextSwitchTo(old);
	if (result != statement->expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), statement->sql);
	return SPI_processed;
}

static int
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, bool read_only)
{
	MemoryContext old = CurrentMemoryContext;
	int			result;

	check_now();
	result = keeps_plans
		? SPI_execute_plan(plan_of_text(sql, nargs, types), values, nulls, read_only, 0)
		: SPI_execute_with_args(sql, nargs, types, values, nulls, read_only, 0);

	/* SPI leaves its procedure's memory behind, where all that a run does next would stay until its end */
	MemoryContextSwitchTo(old);
	return result;
}

uint64
settle_book_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			result = execute(sql, nargs, types, values, nulls, settle_book_reads_only);

	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

uint64
settle_book_query(const char *sql, int nargs, Oid *types, Datum *values, bool read_only)
{
	int			result = execute(sql, nargs, types, values, NULL, read_only);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

Portal
settle_book_open(const char *sql, int nargs, Oid *types, Datum *values)
{
	check_now();
	return keeps_plans
		? SPI_cursor_open(NULL, plan_of_text(sql, nargs, types), values, NULL, settle_book_reads_only)
		: SPI_cursor_open_with_args(NULL, sql, nargs, types, values, NULL, settle_book_reads_only, 0);
}

Datum
settle_spi_datum(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
settle_spi_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}
