/*
 * states.c
 *		Where tickets stand that are not simply settled: problem, unpaid, waiting.
 */
#include "settle/post.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
settle_add_key(KeyList *list, const char *key, TimestampTz time)
{
	if (list->n == list->space)
	{
		list->space = Max(64, list->space * 2);
		list->keys = list->keys == NULL ? palloc(sizeof(Datum) * list->space) : repalloc(list->keys, sizeof(Datum) * list->space);
		list->times = list->times == NULL ? palloc(sizeof(Datum) * list->space) : repalloc(list->times, sizeof(Datum) * list->space);
	}
	list->keys[list->n] = CStringGetTextDatum(key);
	list->times[list->n++] = TimestampTzGetDatum(time);
}

/*
 * Writes down a ticket that cannot be settled.
 */
void
settle_note_problem(Run *run, RunSource *source, const char *key, const char *rule, int sqlerrcode,
			 const char *message, const char *detail, const char *hint)
{
	Oid			types[] = {NAMEOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[7];
	char		nulls[8] = "       ";
	const char *texts[] = {key, rule, unpack_sql_state(sqlerrcode), message, detail, hint};
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
	settle_book_execute(psprintf("INSERT INTO %1$s.problem AS p (source, ticket_key, rule_code, sqlstate, message, detail, hint) "
								 "VALUES ($1, $2, $3, $4, $5, $6, $7) "
								 "ON CONFLICT (source, ticket_key) DO UPDATE SET rule_code = excluded.rule_code, sqlstate = excluded.sqlstate, "
								 "message = excluded.message, detail = excluded.detail, hint = excluded.hint, last_seen = excluded.last_seen",
								 run->book.name),
						7, types, values, nulls, SPI_OK_INSERT);
}

static void
forget_keys(Run *run, RunSource *source, const char *table, const char *column, Oid type, Datum id, KeyList *list)
{
	Oid			types[] = {type, TEXTARRAYOID};
	Datum		values[] = {id, 0};

	/* these tables are empty most of the time */
	if (list->n == 0 ||
		settle_book_execute(psprintf("SELECT FROM %s.%s LIMIT 1", run->book.name, table), 0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	values[1] = settle_array_of(TEXTOID, list->keys, list->n);
	settle_book_execute(psprintf("DELETE FROM %s.%s AS t WHERE t.%s OPERATOR(pg_catalog.=) $1 AND t.ticket_key OPERATOR(pg_catalog.=) ANY ($2)",
								 run->book.name, table, column),
						2, types, values, NULL, SPI_OK_DELETE);
}

void
settle_note_states(Run *run, RunSource *source, KeyList *solved, KeyList *paid, KeyList *unpaid, KeyList *waiting, KeyList *arrived)
{
	NameData	name;
	Oid			types[] = {NAMEOID, TEXTARRAYOID, get_array_type(TIMESTAMPTZOID)};
	Datum		values[3];

	namestrcpy(&name, source->name);
	forget_keys(run, source, "problem", "source", NAMEOID, NameGetDatum(&name), solved);
	forget_keys(run, source, "unpaid", "source", NAMEOID, NameGetDatum(&name), paid);
	forget_keys(run, source, "waiting", "source_id", INT2OID, Int16GetDatum(source->id), arrived);
	if (unpaid->n > 0)
	{
		values[0] = NameGetDatum(&name);
		values[1] = settle_array_of(TEXTOID, unpaid->keys, unpaid->n);
		values[2] = settle_array_of(TIMESTAMPTZOID, unpaid->times, unpaid->n);
		settle_book_execute(psprintf("INSERT INTO %s.unpaid (source, ticket_key, ready_at) "
									 "SELECT $1, u.k, u.t FROM unnest($2, $3) AS u(k, t) ON CONFLICT (source, ticket_key) DO NOTHING", run->book.name),
							3, types, values, NULL, SPI_OK_INSERT);
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
