/*
 * due.c
 *		The deadlines of a ticket follow what happens to it.
 *
 * Called by the trigger that writes the journal, for types that have targets.  A
 * clock that has run out is not stopped: what is late stays late until the
 * ticket moves on.
 */
#include "desk/desk.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

/*
 * Ends what runs: all of it, or what a move from stage to stage ends.
 */
static void
end_clocks(const SettleBook *book, Datum ticket, Datum moment, bool dropped, bool all)
{
	static const SettleStatement end = {
		"UPDATE %1$s.ticket_due AS d SET done_at = $2, paused_at = NULL, state = CASE WHEN $3 THEN 'dropped' WHEN d.due_at < $2 THEN 'missed' ELSE 'met' END, "
		"next_at = CASE WHEN d.alerted THEN $2 END WHERE d.ticket_id = $1 AND d.state IN ('running', 'paused') AND (d.kind <> 'done' OR $4)",
		SPI_OK_UPDATE, 4, {TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID}
	};
	Datum		values[] = {ticket, moment, BoolGetDatum(dropped), BoolGetDatum(all)};

	(void) settle_book_ask(book, &end, values, NULL);
}

/*
 * Has the clocks of a ticket stand in a stage that pauses, and go on after it.
 */
static void
stop_or_go(const SettleBook *book, Datum ticket, Datum moment, bool pauses)
{
	static const SettleStatement stop = {
		"UPDATE %1$s.ticket_due AS d SET state = 'paused', paused_at = $2, due_at = NULL, "
		"used = d.within - settle._working_time($3::regnamespace, d.calendar, $2, d.due_at), next_at = CASE WHEN d.alerted THEN $2 END "
		"WHERE d.ticket_id = $1 AND d.state = 'running' AND d.due_at > $2",
		SPI_OK_UPDATE, 3, {TEXTOID, TIMESTAMPTZOID, OIDOID}
	};
	static const SettleStatement go = {
		"UPDATE %1$s.ticket_due AS d SET state = 'running', paused_at = NULL, due_at = r.due_at, next_at = greatest($2, r.due_at - least(r.due_soon, d.within / 4)) "
		"FROM (SELECT x.due_id, b.due_soon, settle._add_working_time($3::regnamespace, x.calendar, $2, x.within - x.used) AS due_at "
		"FROM %1$s.ticket_due AS x CROSS JOIN %1$s.book AS b WHERE x.ticket_id = $1 AND x.state = 'paused') AS r WHERE d.due_id = r.due_id",
		SPI_OK_UPDATE, 3, {TEXTOID, TIMESTAMPTZOID, OIDOID}
	};
	Datum		values[] = {ticket, moment, ObjectIdGetDatum(book->schema)};

	(void) settle_book_ask(book, pauses ? &stop : &go, values, NULL);
}

/*
 * Starts the clocks of a ticket that was opened, came into a stage, or came back
 * from where it was final: of the targets for it the most specific one of each
 * kind.
 */
static void
start_clocks(const SettleBook *book, Datum ticket, Datum moment, bool opened, bool of_stage, bool of_whole, bool pauses)
{
	static const SettleStatement start = {
		"INSERT INTO %1$s.ticket_due (ticket_id, kind, stage, target_id, within, calendar, started_at, state, paused_at, due_at, next_at) "
		"SELECT $1, g.kind, g.stage, g.target_id, g.within, g.calendar, g.started_at, CASE WHEN $7 THEN 'paused' ELSE 'running' END, "
		"CASE WHEN $7 THEN $2 END, due.at, due.at - least(b.due_soon, g.within / 4) "
		"FROM (SELECT DISTINCT ON (d.kind) d.kind, d.target_id, d.within, d.calendar, x.stage, start.started_at "
		"FROM %1$s.ticket AS x "
		"CROSS JOIN LATERAL (SELECT CASE WHEN $4 THEN x.opened_at ELSE $2 END AS started_at) AS start "
		"JOIN %1$s.deadline_target AS d ON d.type = x.type AND (d.level IS NULL OR d.level = x.level) "
		"AND (d.stage = x.stage) IS NOT false AND d.region OPERATOR(%2$s.@>) x.region AND d.valid @> start.started_at "
		"WHERE x.ticket_id = $1 AND CASE d.kind WHEN 'stage' THEN $5 WHEN 'response' THEN $4 ELSE $6 END "
		"ORDER BY d.kind, num_nonnulls(d.level, d.stage) DESC, %2$s.nlevel(d.region) DESC) AS g CROSS JOIN %1$s.book AS b "
		"CROSS JOIN LATERAL (SELECT CASE WHEN NOT $7 THEN settle._add_working_time($3::regnamespace, g.calendar, g.started_at, g.within) END AS at) AS due",
		SPI_OK_INSERT, 7, {TEXTOID, TIMESTAMPTZOID, OIDOID, BOOLOID, BOOLOID, BOOLOID, BOOLOID}
	};
	Datum		values[] = {
		ticket, moment, ObjectIdGetDatum(book->schema), BoolGetDatum(opened), BoolGetDatum(of_stage), BoolGetDatum(of_whole), BoolGetDatum(pauses)
	};

	if (opened || of_stage || of_whole)
		(void) settle_book_ask(book, &start, values, NULL);
}

/*
 * Another version calls a stage by another name; a clock of the stage runs on.
 */
static void
rename_stage(const SettleBook *book, Datum ticket, const char *stage)
{
	static const SettleStatement rename = {
		"UPDATE %1$s.ticket_due AS d SET stage = $2 WHERE d.ticket_id = $1 AND d.kind = 'stage' AND d.state IN ('running', 'paused')",
		SPI_OK_UPDATE, 2, {TEXTOID, TEXTOID}
	};
	Datum		values[] = {ticket, CStringGetTextDatum(stage)};

	(void) settle_book_ask(book, &rename, values, NULL);
}

void
settle_desk_due(const SettleBook *book, const DeskType *type, const char *ticket_id, DeskHappening what, const DeskStage *was, const DeskStage *now)
{
	Datum		ticket = CStringGetTextDatum(ticket_id);
	Datum		moment = TimestampTzGetDatum(GetCurrentTimestamp());
	bool		is_final = now != NULL && (now->ready || now->ends != NULL);
	bool		was_final = was != NULL && (was->ready || was->ends != NULL);

	if (what == DESK_MOVED_OVER)
		rename_stage(book, ticket, now->name);
	else if (what != DESK_OPENED)
		end_clocks(book, ticket, moment, what == DESK_DELETED || (now->ends != NULL && strcmp(now->ends, "cancelled") == 0), what == DESK_DELETED || is_final);
	if (what == DESK_DELETED || is_final)
		return;
	if (what != DESK_OPENED && (now->pauses || was == NULL || was->pauses || what == DESK_MOVED_OVER))
		stop_or_go(book, ticket, moment, now->pauses);
	start_clocks(book, ticket, moment, what == DESK_OPENED, type->times_stages && what != DESK_MOVED_OVER && !now->pauses, what == DESK_OPENED || was_final, now->pauses);
}

/*
 * settle._drop_due(book regnamespace, ticket_id text) returns void
 *
 * Ends the clocks of a ticket that rests: it was merged into another one.
 */
PG_FUNCTION_INFO_V1(settle_drop_due);
Datum
settle_drop_due(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book_for_sql(PG_GETARG_OID(0));

	SPI_connect();
	end_clocks(&book, PG_GETARG_DATUM(1), TimestampTzGetDatum(GetCurrentTimestamp()), true, true);
	SPI_finish();
	PG_RETURN_VOID();
}
