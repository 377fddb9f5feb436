/*
 * commit.c
 *		Tickets that settle at the commit of their transaction.
 *
 * This is a run like any other: what evaluates, compares, prices and posts are
 * the functions of every run.  What is its own is how it begins.  A transaction
 * changes one ticket most of the time, and the little that it asks of the book
 * is looked up row by row, without a statement (book/lookup.c); where a table
 * does not allow that, statements are asked, whose plans the session keeps.
 */
#include "settle/run.h"

#include "book/rows.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "expr/expr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* A transaction that settles more has its statements planned for them. */
#define FEW_KEYS	16

/*
 * Reads the settings of the book and, in period, its kind of period.
 */
static bool
read_settings(Run *run, const char **time_zone, const char **period)
{
	static const SettleLookup lookup = {"book", .columns = {
		{"currency", TEXTOID}, {"time_zone", TEXTOID}, {"rule_revision", INT8OID}, {"period", TEXTOID}, {"keep_inputs", BOOLOID}, {"fx_party", TEXTOID}
	}};
	Datum		values[SETTLE_LOOKUP_COLUMNS];
	bool		nulls[SETTLE_LOOKUP_COLUMNS];

	if (settle_find_known_row(&run->book, &lookup, NULL, values, nulls) != SETTLE_FOUND)
		return false;
	run->currency = TextDatumGetCString(values[0]);
	*time_zone = TextDatumGetCString(values[1]);
	run->rule_revision = DatumGetInt64(values[2]);
	*period = TextDatumGetCString(values[3]);
	run->keep_inputs = DatumGetBool(values[4]);
	run->fx_party = nulls[5] ? NULL : TextDatumGetCString(values[5]);
	return true;
}

/*
 * Finds the oldest open period: the one after the last that is closed.
 */
static bool
read_open_period(Run *run, const char *period)
{
	static const SettleLookup lookup = {"period", .columns = {{"period", DATEOID}}, .index = "period_closed", .backward = true, .told_of_all = true};
	Datum		values[SETTLE_LOOKUP_COLUMNS];
	bool		nulls[SETTLE_LOOKUP_COLUMNS];
	SettleFound found = settle_find_known_row(&run->book, &lookup, NULL, values, nulls);

	if (found == SETTLE_FOUND)
		run->open_period = settle_span_after(settle_span_in(period), DatumGetDateADT(values[0]));
	return found != SETTLE_ASK;
}

/*
 * Reads the one source that takes part.
 */
static bool
read_source(Run *run, const char *name)
{
	static const SettleLookup lookup = {"source", {{"source", NAMEOID}}, {
		{"source_id", INT2OID}, {"relation", REGCLASSOID}, {"on_delete", TEXTOID}, {"tax", TEXTOID}
	}};
	NameData	key_name;
	Datum		key = NameGetDatum(&key_name);
	Datum		values[SETTLE_LOOKUP_COLUMNS];
	bool		nulls[SETTLE_LOOKUP_COLUMNS];
	RunSource  *source = palloc0(sizeof(RunSource));
	char		kind;

	namestrcpy(&key_name, name);
	if (settle_find_known_row(&run->book, &lookup, &key, values, nulls) != SETTLE_FOUND || nulls[1])
		return false;
	source->id = DatumGetInt16(values[0]);
	source->name = pstrdup(name);
	source->relation = DatumGetObjectId(values[1]);
	source->on_delete = *TextDatumGetCString(values[2]);
	source->tax_is_mapped = !nulls[3] && strcmp(TextDatumGetCString(values[3]), "0") != 0;
	kind = get_rel_relkind(source->relation);
	source->is_captured = kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
	source->is_period = strcmp(name, SETTLE_PERIOD_SOURCE) == 0;
	run->sources = palloc(sizeof(RunSource *));
	run->sources[0] = source;
	run->nsources = 1;
	return kind != '\0';
}

/*
 * Begins a run of tickets of one source.  Where its settings can be looked up,
 * the environment waits until somebody needs it.
 */
static void
begin(Run *run, const SettleBook *book, const char *source, SettleIdentity *identity, SettleLateEnv *env)
{
	const char *time_zone;
	const char *period;
	MemoryContext old;
	bool		is_read;

	settle_new_run(run, book, true);
	run->is_fresh = settle_book_asks_little();
	old = MemoryContextSwitchTo(run->context);
	is_read = read_settings(run, &time_zone, &period) && read_open_period(run, period) && read_source(run, source);
	MemoryContextSwitchTo(old);
	if (!is_read)
	{
		/* book time follows; settle_book_leave ends both */
		settle_book_pin(identity);
		settle_begin_run(run, book, true);
		/* what is wrong with other sources is no concern of this transaction */
		run->sources[0] = settle_find_source(run, source);
		run->nsources = 1;
		return;
	}
	settle_env_enter_late(env, time_zone);
	/* corrections are asked whether they are held; of anything else it is known that they are not */
	run->any_held = true;
	run->ruleset = settle_book_ruleset_of(book, run->rule_revision);
}

/*
 * Settles tickets of one source, inside enter and leave.
 */
static void
run_keys(const SettleBook *book, const char *source, Datum *keys, int n, TupleTableSlot *row, SettleIdentity *identity, SettleLateEnv *env)
{
	Run			run;
	ArrayType  *array;

	SPI_connect();
	settle_pass_gate(book, true);
	begin(&run, book, source, identity, env);
	run.row = row;
	settle_prepare_run(&run);
	array = construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT);
	settle_lock_reversed(&run, run.sources[0], array);
	if (IsolationUsesXactSnapshot())
		settle_check_snapshot(&run, run.sources[0], array);
	settle_keys(&run, run.sources[0], array);
	settle_post_tallies(&run);
	if (IsolationUsesXactSnapshot())
		settle_run_check_sides(&run);
	/* of a ticket that is not ready, or stays as it is, there is nothing to record */
	if (run.first_sheet > 0 || run.problems > 0 || run.held > 0 || run.unpaid > 0)
		settle_record_run(&run);
	settle_release_sources(&run);
	settle_env_leave_late(env);
	SPI_finish();
}

void
settle_run_keys(Oid schema, const char *source, List *keys, TupleTableSlot *row)
{
	SettleBook	book = settle_book_unchecked(schema);
	Datum	   *datums = palloc(sizeof(Datum) * Max(list_length(keys), 1));
	int			n = 0;
	ListCell   *lc;
	SettleIdentity identity = settle_book_become(&book);
	SettleLateEnv env = {0};

	foreach(lc, keys)
		datums[n++] = CStringGetTextDatum((char *) lfirst(lc));
	PG_TRY();
	{
		(void) settle_book_check_later(&book);
		if (n <= FEW_KEYS)
			settle_book_keep_plans();
		run_keys(&book, source, datums, n, row, &identity, &env);
	}
	PG_CATCH();
	{
		/* code of a book that catches this goes on, and must not look at a book that is gone from the stack */
		settle_book_ask_as_before(identity);
		settle_env_forget(&env);
		PG_RE_THROW();
	}
	PG_END_TRY();
	settle_book_leave(identity);
}
