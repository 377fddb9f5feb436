/*
 * ticket.c
 *		Opening tickets and moving them: ordinary statements on <book>.ticket, of
 *		which the trigger of stage.c is the law.
 *
 * A desk makes them all day, so their plans are kept.  They ask the tables of a
 * book in SQL only, and so do without looking at all of these first.
 */
#include "desk/desk.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Arguments of settle.open_ticket. */
enum
{
	OPEN_BOOK, OPEN_TYPE, OPEN_FIELDS, OPEN_REGION, OPEN_PROJECT, OPEN_AMOUNT, OPEN_CUSTOMER, OPEN_WORKER, OPEN_DEALER, OPEN_CHANNEL, OPEN_ORDER_REF,
	OPEN_STAGE, OPEN_TICKET_ID, OPEN_OPENED_AT, OPEN_REASON
};

/* $n is argument n of the function, and $14 the sequence. */
static const SettleStatement open_ticket = {
	"INSERT INTO %1$s.ticket AS t (ticket_id, type, details, region, project, amount, customer, worker, dealer, channel, order_ref, stage, opened_at) "
	"VALUES (coalesce($12, $1 || '-' || nextval($14::pg_catalog.regclass)), $1, coalesce($2, '{}'), $3::%2$s.ltree, $4::%2$s.ltree, $5, $6, $7, $8, $9, $10, $11, coalesce($13, now())) "
	"RETURNING t.ticket_id::pg_catalog.text",
	SPI_OK_INSERT_RETURNING, 14,
	{TEXTOID, JSONBOID, TEXTOID, TEXTOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, OIDOID}
};

/*
 * Finds what a ticket that names no project takes of its type.
 */
static const char *
project_of(const SettleBook *book, const char *type)
{
	Desk	   *desk;
	Relation	ticket = settle_desk_open(book, &desk);
	const char *project = settle_desk_type(desk, type, 0)->project;

	table_close(ticket, NoLock);
	if (project == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a ticket of type \"%s\" needs a project", type),
				 errhint("Its type has none that a ticket could take.")));
	return project;
}

/*
 * Gives the one text of the one row of the last SPI result, in the caller's memory.
 */
static text *
result_text(MemoryContext caller)
{
	MemoryContext old = MemoryContextSwitchTo(caller);
	bool		isnull;
	text	   *result = cstring_to_text(TextDatumGetCString(settle_spi_datum(0, 1, &isnull)));

	MemoryContextSwitchTo(old);
	return result;
}

/*
 * settle.open_ticket(book regnamespace, type text, fields jsonb, region text,
 *					  project text, amount numeric, customer text, worker text,
 *					  dealer text, channel text, order_ref text, stage text,
 *					  ticket_id text, opened_at timestamptz, reason text) returns text
 */
PG_FUNCTION_INFO_V1(settle_open_ticket);
Datum
settle_open_ticket(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	SettleBook	book;
	SettleIdentity identity;
	Datum		values[OPEN_REASON];
	char		nulls[OPEN_REASON];
	int			depth = -1;
	text	   *id;

	if (PG_ARGISNULL(OPEN_BOOK))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	book = settle_book_for_sql(PG_GETARG_OID(OPEN_BOOK));
	settle_book_check_level(&book, SETTLE_STAFF);
	if (PG_ARGISNULL(OPEN_TYPE) || PG_ARGISNULL(OPEN_REGION))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a ticket needs a type and a region")));
	for (int i = OPEN_TYPE; i < OPEN_REASON; i++)
	{
		values[i - 1] = PG_GETARG_DATUM(i);
		nulls[i - 1] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (PG_ARGISNULL(OPEN_PROJECT))
	{
		values[OPEN_PROJECT - 1] = CStringGetTextDatum(project_of(&book, text_to_cstring(PG_GETARG_TEXT_PP(OPEN_TYPE))));
		nulls[OPEN_PROJECT - 1] = ' ';
	}
	values[OPEN_REASON - 1] = ObjectIdGetDatum(get_relname_relid("ticket_serial", book.schema));
	nulls[OPEN_REASON - 1] = ' ';
	if (!PG_ARGISNULL(OPEN_REASON))
		depth = settle_begin_reason(text_to_cstring(PG_GETARG_TEXT_PP(OPEN_REASON)));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_at_once(&book, true);
	(void) settle_book_ask(&book, &open_ticket, values, nulls);
	id = result_text(caller);
	settle_book_at_once(&book, false);
	SPI_finish();
	settle_book_leave(identity);
	if (depth >= 0)
		settle_end_reason(depth);
	PG_RETURN_TEXT_P(id);
}

/*
 * settle.move_ticket(book regnamespace, ticket_id text, move text, fields jsonb
 *					  default null, reason text default null) returns text
 */
PG_FUNCTION_INFO_V1(settle_move_ticket);
Datum
settle_move_ticket(PG_FUNCTION_ARGS)
{
	/* a stage that is null asks for where the move leads, even if it is the one that was made last */
	static const SettleStatement move = {
		"UPDATE %1$s.ticket AS t SET stage = NULL, move = $2, details = t.details || coalesce($3, '{}') "
		"WHERE t.ticket_id = $1 AND t.type IS NOT NULL RETURNING t.stage::pg_catalog.text",
		SPI_OK_UPDATE_RETURNING, 3, {TEXTOID, TEXTOID, JSONBOID}
	};
	MemoryContext caller = CurrentMemoryContext;
	SettleBook	book;
	SettleIdentity identity;
	Datum		values[3];
	char		nulls[] = "   ";
	int			depth = -1;
	text	   *stage = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a book, a ticket and a move must be given")));
	book = settle_book_for_sql(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_STAFF);
	values[0] = PG_GETARG_DATUM(1);
	values[1] = PG_GETARG_DATUM(2);
	values[2] = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	nulls[2] = PG_ARGISNULL(3) ? 'n' : ' ';
	if (!PG_ARGISNULL(4))
		depth = settle_begin_reason(text_to_cstring(PG_GETARG_TEXT_PP(4)));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_at_once(&book, true);
	if (settle_book_ask(&book, &move, values, nulls) == 1)
		stage = result_text(caller);
	else
	{
		static const SettleStatement require = {
			"SELECT settle._require_ticket($1::pg_catalog.regnamespace, $2)", SPI_OK_SELECT, 2, {OIDOID, TEXTOID}
		};
		Datum		args[] = {ObjectIdGetDatum(book.schema), values[0]};

		(void) settle_book_ask(&book, &require, args, NULL);
	}
	settle_book_at_once(&book, false);
	SPI_finish();
	settle_book_leave(identity);
	if (depth >= 0)
		settle_end_reason(depth);
	if (stage == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(stage);
}
