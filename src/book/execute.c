/*
 * execute.c
 *		Statements that code runs on a book.
 *
 * A run asks much of a statement and has it planned for the values at hand.  A
 * ticket that settles at its commit asks a dozen statements a little each:
 * parsing and planning them takes longer than all else that it does.  So that
 * their plans are kept in the session, by their text, once settle_book_keep_plans
 * has said so; PostgreSQL makes them anew where something they name has
 * changed.  Such a plan is for any values, and tables may have been empty when
 * it was made: both are told to the planner, which then uses the indexes.
 */
#include "book/book.h"

#include "common/hashfn.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* A plan that is kept. */
typedef struct KeptPlan
{
	uint64		key;			/* hash of the text; must be first */
	char	   *sql;
	SPIPlanPtr	plan;
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

	unchecked = NULL;
	if (book != NULL)
		settle_book_check_tables(book);
}

void
settle_book_keep_plans(void)
{
	keeps_plans = true;
	(void) set_config_option("plan_cache_mode", "force_generic_plan", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
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
	pfree(kept->sql);
	(void) hash_search(kept_plans, &kept->key, HASH_REMOVE, NULL);
}

/*
 * Finds the plan of a statement, or makes one to keep.
 */
static SPIPlanPtr
find_plan(const char *sql, int nargs, Oid *types)
{
	uint64		key = hash_bytes_extended((const unsigned char *) sql, (int) strlen(sql), 0);
	KeptPlan   *kept;
	SPIPlanPtr	plan;

	if (kept_plans == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(uint64), .entrysize = sizeof(KeptPlan)};

		kept_plans = hash_create("scrm_settle plans", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	kept = hash_search(kept_plans, &key, HASH_FIND, NULL);
	if (kept != NULL)
	{
		if (strcmp(kept->sql, sql) == 0 && kept->nargs == nargs && memcmp(kept->types, types, sizeof(Oid) * nargs) == 0)
			return kept->plan;
		/* a type was made anew */
		forget_plan(kept);
	}
	if (hash_get_num_entries(kept_plans) >= KEPT_PLANS)
	{
		HASH_SEQ_STATUS scan;

		hash_seq_init(&scan, kept_plans);
		while ((kept = hash_seq_search(&scan)) != NULL)
			forget_plan(kept);
	}
	plan = SPI_prepare(sql, nargs, types);
	if (plan == NULL || nargs > lengthof(kept->types))
		elog(ERROR, "could not plan \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	kept = hash_search(kept_plans, &key, HASH_ENTER, NULL);
	kept->sql = MemoryContextStrdup(TopMemoryContext, sql);
	kept->plan = plan;
	kept->nargs = nargs;
	memcpy(kept->types, types, sizeof(Oid) * nargs);
	return plan;
}

static int
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, bool read_only)
{
	MemoryContext old = CurrentMemoryContext;
	int			result;

	check_now();
	result = keeps_plans
		? SPI_execute_plan(find_plan(sql, nargs, types), values, nulls, read_only, 0)
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
		? SPI_cursor_open(NULL, find_plan(sql, nargs, types), values, NULL, settle_book_reads_only)
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
