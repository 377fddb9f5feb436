/*
 * repeats.c
 *		Work that was entered or done twice: duplicates and rework.
 *
 * Of the ready tickets of one order and project the first, by time, then key, is
 * the original and the others are its duplicates, whatever the order in which
 * they come.  <book>.order_ticket holds every ready ticket that has an order, and
 * what it was last found to be a duplicate of.  The query that reads tickets
 * gives that along, so a ticket is evaluated as what the book takes it for;
 * where the batch has changed that, for itself or for others, the tickets
 * concerned are settled once more after it.
 *
 * Two sessions that settle at commit meet at the order.  Each inserts its
 * reference into <book>.order_gate and deletes it again: nothing is left there,
 * but whoever inserts the same waits until the one before him has ended.  That
 * comes before tallies, and a batch at commit that changes the originals is
 * begun again with all tickets it touches, so that tallies are locked once, in
 * their order.
 *
 * So do sessions whose rows take back the same ticket: each has a row of its own
 * in the company's table, and would not see what the other takes.
 */
#include "settle/post.h"
#include "settle/run.h"

#include "access/xact.h"
#include "book/rows.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Datums of one SQL array. */
typedef struct Column
{
	int			n;
	int			space;
	Datum	   *datums;
} Column;

static void
add_datum(Column *column, Datum datum)
{
	column->datums = settle_grow(column->datums, column->n, &column->space, sizeof(Datum));
	column->datums[column->n++] = datum;
}

static void
add_text(Column *column, const char *text)
{
	add_datum(column, CStringGetTextDatum(text));
}

static Datum
text_array(const Column *column)
{
	return settle_array_of(TEXTOID, column->datums, column->n);
}

bool
settle_source_has_orders(Run *run, RunSource *source)
{
	Oid			type = INT2OID;
	Datum		value = Int16GetDatum(source->id);

	if (!settle_set_has_orders(source->set))
		return false;
	/* one ticket is looked up faster than the question is asked */
	return run->at_commit ||
		settle_book_execute(psprintf("SELECT FROM %s.order_ticket AS o WHERE o.source_id OPERATOR(pg_catalog.=) $1 LIMIT 1", run->book.name),
							1, &type, &value, NULL, SPI_OK_SELECT) > 0;
}

/* ---- orders ---- */

static void
settle_later(Run *run, const char *key)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);

	run->again = lappend(run->again, pstrdup(key));
	MemoryContextSwitchTo(old);
}

/*
 * Begins a batch at commit again.
 */
static void
begin_again(Run *run)
{
	for (int i = 0; i < run->ntickets; i++)
		settle_later(run, run->tickets[i].key);
	run->ntickets = 0;
}

/*
 * Spells the ticket's project; no project is one like any other.
 */
static const char *
project_text(const RunSource *source, const RunTicket *ticket)
{
	Oid			out;
	bool		is_varlena;

	if (ticket->project == NULL)
		return "";
	getTypeOutputInfo(settle_set_path_type(source->set), &out, &is_varlena);
	return OidOutputFunctionCall(out, PointerGetDatum(ticket->project));
}

static bool
has_order(const RunTicket *ticket)
{
	return ticket->state == TICKET_PRICED && ticket->order_ref != NULL;
}

/*
 * Tells whether the ticket keeps the place in its order that it has: it cannot
 * be evaluated, or its row is gone and its money stays.
 */
static bool
keeps_place(const Run *run, const RunSource *source, const RunTicket *ticket)
{
	switch (ticket->state)
	{
		case TICKET_FAILED:
		case TICKET_REPEATED:
			return true;
		case TICKET_VANISHED:
			return ticket->posted != NULL && ticket->posted->tickets == 1 && (source->on_delete != 'r' || run->hold_vanished);
		default:
			return false;
	}
}

/*
 * Raises 40001 where somebody has changed one of the orders since the snapshot
 * of this transaction was taken.
 */
static void
check_order_snapshot(Run *run, RunSource *source, Datum orders)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), orders};
	const char *sql = psprintf("SELECT coalesce(pg_catalog.bit_xor(pg_catalog.hashtextextended(o::pg_catalog.text, 0)), 0) FROM %s.order_ticket AS o "
							   "WHERE o.source_id OPERATOR(pg_catalog.=) $1 AND o.order_ref OPERATOR(pg_catalog.=) ANY ($2)", run->book.name);
	bool		isnull;

	settle_book_execute(sql, 2, types, values, NULL, SPI_OK_SELECT);
	if (DatumGetInt64(settle_spi_datum(0, 1, &isnull)) != settle_latest_number(sql, 2, types, values))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: a ticket of the same order of source \"%s\" has been settled meanwhile", source->name),
				 errhint("Repeat the transaction.")));
}

/*
 * Waits for whoever settles something of the same name at commit: an order of a
 * source, or a ticket, whose names are told apart by the sign of the number.
 */
static void
pass_order_gate(Run *run, int16 source_id, Datum names)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source_id), names};

	settle_book_execute(psprintf("INSERT INTO %s.order_gate (source_id, order_ref) SELECT $1, o.order_ref "
								 "FROM (SELECT DISTINCT u.order_ref FROM pg_catalog.unnest($2) AS u(order_ref)) AS o ORDER BY o.order_ref COLLATE pg_catalog.\"C\"", run->book.name),
						2, types, values, NULL, SPI_OK_INSERT);
	settle_book_execute(psprintf("DELETE FROM %s.order_gate AS g WHERE g.source_id OPERATOR(pg_catalog.=) $1 AND g.order_ref OPERATOR(pg_catalog.=) ANY ($2)", run->book.name),
						2, types, values, NULL, SPI_OK_DELETE);
}

void
settle_lock_reversed(Run *run, RunSource *source, ArrayType *keys)
{
	const char *column;
	Oid			type;

	if (settle_set_reverses(source->set, &column, &type) != NULL)
		pass_order_gate(run, -source->id, PointerGetDatum(keys));
}

void
settle_lock_orders(Run *run, RunSource *source)
{
	Datum		names;
	Oid			taken_types[] = {INT2OID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		taken_values[] = {Int16GetDatum(source->id), 0, 0};
	Column		orders = {0};
	Column		keys = {0};
	Column		originals = {0};

	for (int i = 0; i < run->ntickets; i++)
	{
		const RunTicket *ticket = &run->tickets[i];

		if (has_order(ticket))
			add_text(&orders, ticket->order_ref);
		if (ticket->place != NULL)
		{
			add_text(&orders, ticket->place->order_ref);
			add_text(&keys, ticket->key);
			add_text(&originals, ticket->duplicate_of != NULL ? ticket->duplicate_of : ticket->key);
		}
	}
	if (orders.n == 0)
		return;
	names = text_array(&orders);
	pass_order_gate(run, source->id, names);
	if (IsolationUsesXactSnapshot())
		check_order_snapshot(run, source, names);
	/* whoever we have waited for may have made a ticket of ours a duplicate, or the original */
	taken_values[1] = text_array(&keys);
	taken_values[2] = text_array(&originals);
	if (keys.n > 0 &&
		settle_book_execute(psprintf("SELECT FROM unnest($2, $3) AS u(k, original) JOIN %s.order_ticket AS o "
									 "ON o.source_id OPERATOR(pg_catalog.=) $1 AND o.ticket_key OPERATOR(pg_catalog.=) u.k "
									 "WHERE coalesce(o.duplicate_of, o.ticket_key) OPERATOR(pg_catalog.<>) u.original", run->book.name),
							lengthof(taken_types), taken_types, taken_values, NULL, SPI_OK_SELECT) > 0)
		begin_again(run);
}

/* What a batch changes in order_ticket. */
typedef struct OrderChanges
{
	Column		gone;			/* keys */
	Column		keys;			/* of tickets that stand in an order now */
	Column		orders;
	Column		projects;
	Column		times;
	Column		touched_orders; /* those that have other tickets now */
	Column		touched_projects;
} OrderChanges;

static void
touch_order(OrderChanges *changes, const char *order_ref, const char *project)
{
	add_text(&changes->touched_orders, order_ref);
	add_text(&changes->touched_projects, project);
}

static OrderChanges
list_changes(Run *run, RunSource *source)
{
	OrderChanges changes = {0};

	for (int i = 0; i < run->ntickets; i++)
	{
		const RunTicket *ticket = &run->tickets[i];
		const OrderPlace *place = ticket->place;
		const char *project;

		if (keeps_place(run, source, ticket) || (place == NULL && !has_order(ticket)))
			continue;
		if (!has_order(ticket))
		{
			add_text(&changes.gone, ticket->key);
			touch_order(&changes, place->order_ref, place->project);
			continue;
		}
		project = project_text(source, ticket);
		if (place != NULL)
		{
			if (place->ready_at == ticket->ready_at && strcmp(place->order_ref, ticket->order_ref) == 0 && strcmp(place->project, project) == 0)
				continue;
			touch_order(&changes, place->order_ref, place->project);
		}
		add_text(&changes.keys, ticket->key);
		add_text(&changes.orders, ticket->order_ref);
		add_text(&changes.projects, project);
		add_datum(&changes.times, TimestampTzGetDatum(ticket->ready_at));
		touch_order(&changes, ticket->order_ref, project);
	}
	return changes;
}

/*
 * Writes down which tickets stand in which order.
 */
static void
write_changes(Run *run, RunSource *source, const OrderChanges *changes)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, get_array_type(TIMESTAMPTZOID)};
	Datum		values[lengthof(types)] = {Int16GetDatum(source->id)};

	if (changes->gone.n > 0)
	{
		values[1] = text_array(&changes->gone);
		settle_book_execute(psprintf("DELETE FROM %s.order_ticket AS o WHERE o.source_id OPERATOR(pg_catalog.=) $1 "
									 "AND o.ticket_key OPERATOR(pg_catalog.=) ANY ($2)", run->book.name),
							2, types, values, NULL, SPI_OK_DELETE);
	}
	if (changes->keys.n > 0)
	{
		values[1] = text_array(&changes->keys);
		values[2] = text_array(&changes->orders);
		values[3] = text_array(&changes->projects);
		values[4] = settle_array_of(TIMESTAMPTZOID, changes->times.datums, changes->times.n);
		settle_book_execute(psprintf("INSERT INTO %s.order_ticket (source_id, ticket_key, order_ref, project, ready_at) "
									 "SELECT $1, u.k, u.o, u.p, u.t FROM unnest($2, $3, $4, $5) AS u(k, o, p, t) "
									 "ON CONFLICT (source_id, ticket_key) DO UPDATE SET order_ref = excluded.order_ref, project = excluded.project, ready_at = excluded.ready_at",
									 run->book.name),
							lengthof(types), types, values, NULL, SPI_OK_INSERT);
	}
}

/*
 * Finds out what the tickets of the orders that were touched are duplicates of.
 * Gives those for which that has changed, in the order of their keys' bytes.
 */
static int
find_changed(Run *run, RunSource *source, const OrderChanges *changes, const char ***keys)
{
	Oid			types[] = {INT2OID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[] = {Int16GetDatum(source->id), text_array(&changes->touched_orders), text_array(&changes->touched_projects)};
	uint64		n;

	n = settle_book_execute(psprintf("WITH found AS ("
									 "SELECT m.ticket_key, m.duplicate_of AS was, CASE WHEN pg_catalog.row_number() OVER w OPERATOR(pg_catalog.>) 1 THEN pg_catalog.first_value(m.ticket_key) OVER w END AS duplicate_of "
									 "FROM (SELECT DISTINCT u.o, u.p FROM unnest($2, $3) AS u(o, p)) AS t "
									 "JOIN %1$s.order_ticket AS m ON m.source_id OPERATOR(pg_catalog.=) $1 AND m.order_ref OPERATOR(pg_catalog.=) t.o AND m.project OPERATOR(pg_catalog.=) t.p "
									 "WINDOW w AS (PARTITION BY m.order_ref, m.project ORDER BY m.ready_at, m.ticket_key COLLATE pg_catalog.\"C\")), "
									 "changed AS (UPDATE %1$s.order_ticket AS o SET duplicate_of = f.duplicate_of FROM found AS f "
									 "WHERE o.source_id OPERATOR(pg_catalog.=) $1 AND o.ticket_key OPERATOR(pg_catalog.=) f.ticket_key AND f.duplicate_of IS DISTINCT FROM f.was "
									 "RETURNING o.ticket_key) "
									 "SELECT c.ticket_key FROM changed AS c ORDER BY c.ticket_key COLLATE pg_catalog.\"C\"", run->book.name),
							lengthof(types), types, values, NULL, SPI_OK_SELECT);
	*keys = palloc(sizeof(char *) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		(*keys)[i] = TextDatumGetCString(settle_spi_datum((int) i, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	return (int) n;
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/*
 * Tells whether a ticket stands in no order any more and was priced as the
 * duplicate that it was in one.
 */
static bool
has_left_as_duplicate(const RunTicket *ticket)
{
	return ticket->state == TICKET_PRICED && ticket->order_ref == NULL && ticket->duplicate_of != NULL;
}

void
settle_sort_out_repeats(Run *run, RunSource *source)
{
	OrderChanges changes;
	const char **keys;
	int			n;
	int			nleft = 0;

	if (!settle_set_has_orders(source->set))
		return;
	changes = list_changes(run, source);
	if (changes.touched_orders.n == 0)
		return;
	write_changes(run, source, &changes);
	n = find_changed(run, source, &changes, &keys);
	for (int i = 0; i < n; i++)
		settle_later(run, keys[i]);
	for (int i = 0; i < run->ntickets; i++)
		if (has_left_as_duplicate(&run->tickets[i]))
		{
			settle_later(run, run->tickets[i].key);
			nleft++;
		}
	if (n + nleft == 0)
		return;
	if (run->at_commit)
		begin_again(run);
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];

		if (has_left_as_duplicate(ticket) || bsearch(&ticket->key, keys, n, sizeof(char *), compare_keys) != NULL)
		{
			ticket->state = TICKET_AGAIN;
			ticket->nlines = 0;
		}
	}
}

/* ---- alerts ---- */

bool
settle_is_repeat(const RunTicket *ticket)
{
	return ticket->rework_of != NULL || ticket->duplicate_of != NULL;
}

/*
 * Tells whether one of a few tickets may have an open alert of a repeat.
 */
static bool
have_alerts(Run *run, RunSource *source)
{
	static const SettleLookup lookup = {"alert", {{"kind", TEXTOID}, {"object", TEXTOID}}, .index = "alert_once"};
	static const char *const alert_kinds[] = {"duplicate", "rework"};

	for (int i = 0; i < run->ntickets; i++)
	{
		Datum		keys[2] = {0, CStringGetTextDatum(psprintf("%s %s", source->name, run->tickets[i].key))};

		for (int k = 0; k < lengthof(alert_kinds); k++)
		{
			keys[0] = CStringGetTextDatum(alert_kinds[k]);
			if (settle_find_row(&run->book, &lookup, keys, NULL, NULL) != SETTLE_NOT_FOUND)
				return true;
		}
	}
	return false;
}

/*
 * Raises an alert of every repeat that nothing pays, and ends those of
 * tickets that are none any more.
 */
void
settle_note_repeats(Run *run, RunSource *source)
{
	Oid			types[] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, OIDOID};
	Datum		values[lengthof(types)];
	Column		kinds = {0};
	Column		objects = {0};
	Column		messages = {0};
	Column		looked_at = {0};
	const char *book = run->book.name;

	if (!settle_set_has_repeats(source->set))
		return;
	for (int i = 0; i < run->ntickets; i++)
	{
		const RunTicket *ticket = &run->tickets[i];

		if (ticket->state != TICKET_PRICED || ticket->nlines > 0 || !settle_is_repeat(ticket))
			continue;
		add_text(&kinds, ticket->rework_of != NULL ? "rework" : "duplicate");
		add_text(&objects, psprintf("%s %s", source->name, ticket->key));
		add_text(&messages, ticket->rework_of != NULL
				 ? psprintf("ticket \"%s\" is rework of ticket \"%s\", and no rule pays it", ticket->key, ticket->rework_of)
				 : psprintf("ticket \"%s\" is a duplicate of ticket \"%s\" of the order \"%s\", and no rule pays it", ticket->key, ticket->duplicate_of, ticket->order_ref));
	}
	values[0] = text_array(&kinds);
	values[1] = text_array(&objects);
	values[3] = ObjectIdGetDatum(run->book.schema);
	if (kinds.n == 0 && settle_book_asks_little() && !have_alerts(run, source))
		return;
	/* open alerts of repeats are few, most of the time none */
	if (settle_book_execute(psprintf("SELECT FROM %s.alert AS a WHERE a.kind OPERATOR(pg_catalog.=) ANY ('{duplicate,rework}') AND a.ended_at IS NULL LIMIT 1", book),
							0, NULL, NULL, NULL, SPI_OK_SELECT) > 0)
	{
		for (int i = 0; i < run->ntickets; i++)
			if (run->tickets[i].state != TICKET_AGAIN && !keeps_place(run, source, &run->tickets[i]))
				add_text(&looked_at, psprintf("%s %s", source->name, run->tickets[i].key));
		values[2] = text_array(&looked_at);
		settle_book_execute(psprintf("SELECT settle._end_alerts($4::pg_catalog.regnamespace, a.kind, pg_catalog.array_agg(a.object), 'is paid, or is no repeat any more') FROM %s.alert AS a "
									 "WHERE a.kind OPERATOR(pg_catalog.=) ANY ('{duplicate,rework}') AND a.ended_at IS NULL AND a.object OPERATOR(pg_catalog.=) ANY ($3) "
									 "AND NOT EXISTS (SELECT FROM unnest($1, $2) AS u(k, o) WHERE u.k OPERATOR(pg_catalog.=) a.kind AND u.o OPERATOR(pg_catalog.=) a.object) "
									 "GROUP BY a.kind", book),
							lengthof(types), types, values, NULL, SPI_OK_SELECT);
	}
	if (kinds.n == 0)
		return;
	values[2] = text_array(&messages);
	/* what somebody has ended by hand is not raised again for the same reason */
	settle_book_execute(psprintf("SELECT settle._raise_alerts($4::pg_catalog.regnamespace, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('kind', u.k, 'object', u.o, 'message', u.m))) "
								 "FROM unnest($1, $2, $3) AS u(k, o, m) "
								 "WHERE NOT EXISTS (SELECT FROM %1$s.alert AS a WHERE a.kind OPERATOR(pg_catalog.=) u.k AND a.object OPERATOR(pg_catalog.=) u.o "
								 "AND a.message OPERATOR(pg_catalog.=) u.m AND a.ended_by IS NOT NULL)", book),
						lengthof(types), types, values, NULL, SPI_OK_SELECT);
}
