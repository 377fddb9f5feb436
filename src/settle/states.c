/*
 * states.c
 *		Where tickets stand that are not simply settled: problem, unpaid, waiting.
 */
#include "settle/post.h"
#include "settle/run.h"

#include "book/rows.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
settle_add_key(KeyList *list, const char *key, TimestampTz time)
{
	if (list->unwanted)
		return;
	if (list->n == list->space)
	{
		Size		size;

		list->space = Max(64, list->space * 2);
		size = sizeof(Datum) * list->space;
		list->keys = list->keys == NULL ? palloc(size) : repalloc(list->keys, size);
		list->times = list->times == NULL ? palloc(size) : repalloc(list->times, size);
		list->periods = list->periods == NULL ? palloc(size) : repalloc(list->periods, size);
	}
	list->keys[list->n] = CStringGetTextDatum(key);
	list->times[list->n] = TimestampTzGetDatum(time);
	list->periods[list->n++] = DateADTGetDatum(DATEVAL_NOBEGIN);
}

/*
 * Adds a ticket with the time at which it was ready, and its period.
 */
void
settle_add_ticket(KeyList *list, const RunTicket *ticket)
{
	settle_add_key(list, ticket->key, ticket->ready_at);
	list->periods[list->n - 1] = DateADTGetDatum(ticket->period);
}

/*
 * Finds the period whose closing a failed ticket stands in the way of: that of
 * its row or that of what is posted for it, the earlier one; -infinity where
 * neither is known.
 */
static DateADT
period_of_failure(const RunTicket *ticket)
{
	bool		is_posted = ticket->posted != NULL && ticket->posted->tickets == 1;

	if (!is_posted)
		return ticket->period;
	return ticket->period == DATEVAL_NOBEGIN ? ticket->posted->period : Min(ticket->period, ticket->posted->period);
}

/*
 * Writes down a ticket that cannot be settled.  One that was deferred stays so
 * as long as the same is wrong with it.
 */
void
settle_note_failure(Run *run, RunSource *source, const RunTicket *ticket, const char *rule, int sqlerrcode,
			 const char *message, const char *detail, const char *hint)
{
	Oid			types[] = {NAMEOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, DATEOID};
	Datum		values[8];
	char		nulls[9] = "        ";
	const char *texts[] = {ticket->key, rule, unpack_sql_state(sqlerrcode), message, detail, hint};
	DateADT		period = period_of_failure(ticket);
	NameData	name;

	run->problems++;
	if (run->plan != NULL)
		return;
	namestrcpy(&name, source->name);
	values[0] = NameGetDatum(&name);
	for (int i = 0; i < 6; i++)
	{
		nulls[i + 1] = texts[i] == NULL ? 'n' : ' ';
		values[i + 1] = texts[i] == NULL ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	nulls[7] = period == DATEVAL_NOBEGIN ? 'n' : ' ';
	values[7] = DateADTGetDatum(period);
	settle_book_execute(psprintf("INSERT INTO %1$s.problem AS p (source, ticket_key, rule_code, sqlstate, message, detail, hint, period) "
								 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
								 "ON CONFLICT (source, ticket_key) DO UPDATE SET (deferred_at, deferred_by, reason) = (SELECT p.deferred_at, p.deferred_by, p.reason "
								 "WHERE p.sqlstate OPERATOR(pg_catalog.=) '00000' OR (p.rule_code, p.sqlstate, p.message, p.detail, p.period) IS NOT DISTINCT FROM "
								 "(excluded.rule_code, excluded.sqlstate, excluded.message, excluded.detail, excluded.period)), "
								 "rule_code = excluded.rule_code, sqlstate = excluded.sqlstate, message = excluded.message, detail = excluded.detail, "
								 "hint = excluded.hint, period = excluded.period, last_seen = excluded.last_seen",
								 run->book.name),
						8, types, values, nulls, SPI_OK_INSERT);
}

static void
forget_keys(Run *run, const char *table, const char *column, Oid type, Datum id, KeyList *list)
{
	Oid			types[] = {type, TEXTARRAYOID};
	Datum		values[] = {id, 0};

	if (list->n == 0)
		return;
	values[1] = settle_array_of(TEXTOID, list->keys, list->n);
	settle_book_execute(psprintf("DELETE FROM %s.%s AS t WHERE t.%s OPERATOR(pg_catalog.=) $1 AND t.ticket_key OPERATOR(pg_catalog.=) ANY ($2)",
								 run->book.name, table, column),
						2, types, values, NULL, SPI_OK_DELETE);
}

/*
 * Tells whether one of a few tickets stands in a table.
 */
static SettleFound
find_tickets(Run *run, const SettleLookup *table, Datum source)
{
	SettleFound found = SETTLE_NOT_FOUND;

	for (int i = 0; i < run->ntickets && found == SETTLE_NOT_FOUND; i++)
	{
		Datum		keys[] = {source, CStringGetTextDatum(run->tickets[i].key)};

		found = settle_find_row(&run->book, table, keys, NULL, NULL);
	}
	return found;
}

/*
 * Asks of a few tickets whether they stand there; false where that takes a
 * statement.
 */
static bool
ask_one_by_one(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *arrived)
{
	static const SettleLookup problems = {"problem", {{"source", NAMEOID}, {"ticket_key", TEXTOID}}};
	static const SettleLookup unpaids = {"unpaid", {{"source", NAMEOID}, {"ticket_key", TEXTOID}}};
	static const SettleLookup waitings = {"waiting", {{"source_id", INT2OID}, {"ticket_key", TEXTOID}}};
	NameData	name;
	SettleFound problem;
	SettleFound unpaid;
	SettleFound waiting;

	namestrcpy(&name, source->name);
	problem = find_tickets(run, &problems, NameGetDatum(&name));
	unpaid = find_tickets(run, &unpaids, NameGetDatum(&name));
	waiting = find_tickets(run, &waitings, Int16GetDatum(source->id));
	solved->unwanted = problem == SETTLE_NOT_FOUND;
	paid->unwanted = unpaid == SETTLE_NOT_FOUND;
	arrived->unwanted = waiting == SETTLE_NOT_FOUND;
	return problem != SETTLE_ASK && unpaid != SETTLE_ASK && waiting != SETTLE_ASK;
}

void
settle_ask_states(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *arrived)
{
	KeyList    *lists[] = {solved, paid, arrived};
	bool		isnull;

	if (run->plan == NULL && settle_book_asks_little() && ask_one_by_one(run, source, solved, paid, arrived))
		return;
	if (run->plan == NULL)
		settle_query(psprintf("SELECT EXISTS (SELECT FROM %1$s.problem), EXISTS (SELECT FROM %1$s.unpaid), EXISTS (SELECT FROM %1$s.waiting)", run->book.name));
	for (int i = 0; i < lengthof(lists); i++)
		lists[i]->unwanted = run->plan != NULL || !DatumGetBool(settle_spi_datum(0, i + 1, &isnull));
}

void
settle_note_states(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *unpaid, KeyList *waiting, KeyList *arrived)
{
	NameData	name;
	Oid			types[] = {NAMEOID, TEXTARRAYOID, get_array_type(TIMESTAMPTZOID), get_array_type(DATEOID)};
	Datum		values[4];

	namestrcpy(&name, source->name);
	forget_keys(run, "problem", "source", NAMEOID, NameGetDatum(&name), solved);
	forget_keys(run, "unpaid", "source", NAMEOID, NameGetDatum(&name), paid);
	forget_keys(run, "waiting", "source_id", INT2OID, Int16GetDatum(source->id), arrived);
	if (unpaid->n > 0)
	{
		values[0] = NameGetDatum(&name);
		values[1] = settle_array_of(TEXTOID, unpaid->keys, unpaid->n);
		values[2] = settle_array_of(TIMESTAMPTZOID, unpaid->times, unpaid->n);
		values[3] = settle_array_of(DATEOID, unpaid->periods, unpaid->n);
		settle_book_execute(psprintf("INSERT INTO %s.unpaid AS p (source, ticket_key, ready_at, period) "
									 "SELECT $1, u.k, u.t, u.p FROM unnest($2, $3, $4) AS u(k, t, p) "
									 "ON CONFLICT (source, ticket_key) DO UPDATE SET ready_at = excluded.ready_at, period = excluded.period "
									 "WHERE (p.ready_at, p.period) IS DISTINCT FROM (excluded.ready_at, excluded.period)", run->book.name),
							4, types, values, NULL, SPI_OK_INSERT);
		run->unpaid += unpaid->n;
	}
	if (waiting->n > 0)
	{
		types[0] = INT2OID;
		values[0] = Int16GetDatum(source->id);
		values[1] = settle_array_of(TEXTOID, waiting->keys, waiting->n);
		values[2] = settle_array_of(TIMESTAMPTZOID, waiting->times, waiting->n);
		settle_book_execute(psprintf("INSERT INTO %s.waiting (source_id, ticket_key, due_at) "
									 "SELECT $1, u.k, u.t FROM unnest($2, $3) AS u(k, t) "
									 "ON CONFLICT (source_id, ticket_key) DO UPDATE SET due_at = excluded.due_at", run->book.name),
							3, types, values, NULL, SPI_OK_INSERT);
	}
}
