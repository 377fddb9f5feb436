/*
 * assign.c
 *		Who does the work: which team a ticket goes to, who of it takes it, and
 *		giving it to him.
 *
 * A decision of the book chooses the team; of its members those who have the
 * skills, are at work and have room stand to choose, and the team's strategy
 * says who of them it is.
 *
 * Who counts somebody's open tickets must not count while another session gives
 * him one.  So whoever gives tickets first locks the ticket, then the rows of
 * all he may choose from in staff_turn, in order of staff, and looks only then;
 * the row of who was chosen is changed, which refuses a snapshot that was taken
 * before (40001).
 */
#include "book/book.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"

/* What one statement says: the columns of its first row. */
typedef struct Answer
{
	Datum		values[6];
	bool		nulls[6];
} Answer;

/*
 * Asks a statement, in whose result nothing but the first row counts, and gives
 * its columns in the current memory context; false where there is no row.  The
 * statement casts them to the types that they are taken for.
 */
static bool
ask(const SettleBook *book, const SettleStatement *statement, Datum *values, const char *nulls, Answer *answer)
{
	TupleDesc	desc;

	if (settle_book_ask(book, statement, values, nulls) == 0)
		return false;
	desc = SPI_tuptable->tupdesc;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);
		Datum		value = settle_spi_datum(0, i + 1, &answer->nulls[i]);

		answer->values[i] = answer->nulls[i] ? (Datum) 0 : datumCopy(value, a->attbyval, a->attlen);
	}
	SPI_freetuptable(SPI_tuptable);
	return true;
}

static const char *
answer_text(const Answer *answer, int i)
{
	return answer->nulls[i] ? NULL : TextDatumGetCString(answer->values[i]);
}

/* ---- the team ---- */

enum
{
	GOES_TEAM, GOES_SKILLS, GOES_TYPE, GOES_DECISION, GOES_SAID, GOES_KNOWN
};

/*
 * Asks the decision which team a ticket goes to, and what skills that takes.
 */
static void
choose_team(const SettleBook *book, Datum ticket, Answer *goes)
{
	static const SettleStatement team = {
		"SELECT CASE WHEN g.is_team THEN g.team END, ARRAY(SELECT e.skill FROM jsonb_array_elements_text(CASE WHEN g.is_team THEN g.said -> 'skills' END) AS e (skill)), "
		"g.type::text, g.decision::text, g.said::text, EXISTS (SELECT FROM %1$s.team AS m WHERE m.team = g.team) "
		"FROM (SELECT d.type, d.decision, d.said, d.team, d.team IS NOT NULL AND (jsonb_typeof(d.said) = 'string' "
		"OR (d.said @? 'strict $.skills ? (@.type() != \"array\" || exists (@[*] ? (@.type() != \"string\")))') IS NOT true) AS is_team "
		"FROM (SELECT x.*, CASE jsonb_typeof(x.said) WHEN 'string' THEN x.said #>> '{}' WHEN 'object' THEN x.said ->> 'team' END AS team "
		"FROM (SELECT t.type, y.decision, settle.decide($1::regnamespace, y.decision, t, 'ticket') AS said "
		"FROM %1$s.ticket AS t LEFT JOIN %1$s.type_team AS y ON y.type = t.type WHERE t.ticket_id = $2 OFFSET 0) AS x OFFSET 0) AS d OFFSET 0) AS g",
		SPI_OK_SELECT, 2, {OIDOID, TEXTOID}
	};
	Datum		values[] = {ObjectIdGetDatum(book->schema), ticket};
	const char *decision;

	if (!ask(book, &team, values, NULL, goes))
		elog(ERROR, "book \"%s\" has no ticket \"%s\"", book->label, TextDatumGetCString(ticket));
	decision = answer_text(goes, GOES_DECISION);
	if (decision == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tickets of type \"%s\" go to no team", answer_text(goes, GOES_TYPE)),
				 errhint("A row of %s.type_team names the decision that chooses one.", book->name)));
	if (goes->nulls[GOES_TEAM])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("decision \"%s\" gives %s for ticket \"%s\", which is no team", decision,
						goes->nulls[GOES_SAID] ? "nothing" : answer_text(goes, GOES_SAID), TextDatumGetCString(ticket)),
				 errhint("It gives the name of a team, or an object with \"team\" and a list \"skills\".")));
	if (!DatumGetBool(goes->values[GOES_KNOWN]))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("decision \"%s\" gives team \"%s\" for ticket \"%s\", which does not exist", decision, answer_text(goes, GOES_TEAM), TextDatumGetCString(ticket))));
}

/* ---- the person ---- */

enum
{
	CHOSEN_STAFF, CHOSEN_STRATEGY, CHOSEN_OPEN, CHOSEN_CAPACITY, CHOSEN_REASON, CHOSEN_UNTIL
};

/*
 * The members of team $1 at $2: when they work, how many tickets beside $3 they
 * have open, and which assignment of the team was their last.  Working times are
 * those from the day before, whose shift may last, to a fortnight after.
 */
#define MEMBERS \
	"WITH hours AS MATERIALIZED (" \
	/* a clock that is put forward may skip the whole of a shift */ \
	"SELECT h.staff, range_agg(tstzrange(least(h.starts, h.ends), h.ends)) AS shifts FROM (" \
	"SELECT s.staff, (d.day + s.starts) AT TIME ZONE b.time_zone AS starts, (d.day + (s.ends <= s.starts)::integer + s.ends) AT TIME ZONE b.time_zone AS ends " \
	"FROM %1$s.shift AS s CROSS JOIN %1$s.book AS b CROSS JOIN LATERAL (SELECT ($2 AT TIME ZONE b.time_zone)::date + n AS day FROM generate_series(-1, 14) AS n) AS d " \
	"WHERE s.team = $1 AND extract(isodow FROM d.day) = ANY (s.weekdays)) AS h GROUP BY h.staff), " \
	"member AS (SELECT m.staff, m.skills, m.weight, m.capacity, m.place, " \
	"coalesce((SELECT own.shifts FROM hours AS own WHERE own.staff = m.staff), (SELECT common.shifts FROM hours AS common WHERE common.staff IS NULL), '{(,)}') " \
	"- coalesce((SELECT range_agg(a.during) FROM %1$s.absence AS a WHERE a.staff = m.staff), '{}') AS working, " \
	"(SELECT count(*) FROM %1$s.ticket AS t JOIN %1$s.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage " \
	"WHERE t.worker = m.staff AND t.type IS NOT NULL AND t.done_at IS NULL AND t.merged_into IS NULL AND NOT s.ready AND s.ends IS NULL AND t.ticket_id <> coalesce($3, '')) AS open_tickets, " \
	"(SELECT max(a.assignment_id) FROM %1$s.assignment AS a WHERE a.team = m.team AND a.staff = m.staff) AS turn " \
	"FROM %1$s.team_member AS m WHERE m.team = $1 AND m.valid @> $2) "

/*
 * Says who of a team takes a ticket at an instant, among people where they are
 * named; or why nobody does, and until when.
 */
static void
choose_staff(const SettleBook *book, Datum *values, const char *nulls, Answer *chosen)
{
	/* where a strategy says nothing, the next term of the order does */
	static const SettleStatement staff = {
		MEMBERS
		"SELECT m.staff::text, x.strategy::text, m.open_tickets, m.capacity::integer, NULL::text, NULL::timestamptz "
		"FROM (SELECT y.strategy, "
		"CASE y.strategy WHEN 'nearest' THEN ("
		"SELECT settle.to_wgs84(point((t.details #>> ARRAY[f.field, 'lon'])::float8, (t.details #>> ARRAY[f.field, 'lat'])::float8), t.details #>> ARRAY[f.field, 'system']) "
		"FROM %1$s.ticket AS t JOIN %1$s.form_field AS f ON f.type = t.type AND f.version = t.type_version AND f.kind = 'place' "
		"WHERE t.ticket_id = $3 AND jsonb_typeof(t.details -> f.field) = 'object' ORDER BY f.place, f.field LIMIT 1) END AS here, "
		"CASE y.strategy WHEN 'same_as_last' THEN ("
		"SELECT o.worker FROM %1$s.ticket AS t JOIN %1$s.ticket AS o ON o.customer = t.customer "
		"WHERE t.ticket_id = $3 AND o.ticket_id <> $3 AND o.type IS NOT NULL AND o.customer IS NOT NULL AND o.worker IS NOT NULL "
		"ORDER BY o.opened_at DESC, o.ticket_id COLLATE \"C\" DESC LIMIT 1) END AS last "
		"FROM %1$s.team AS y WHERE y.team = $1 OFFSET 0) AS x "
		"LEFT JOIN LATERAL (SELECT m.staff, m.open_tickets, m.capacity FROM member AS m "
		"WHERE m.skills @> $4 AND m.working @> $2 AND (m.capacity IS NULL OR m.open_tickets < m.capacity) AND ($5 IS NULL OR m.staff = ANY ($5)) "
		"ORDER BY coalesce(m.staff = x.last, false) DESC, settle.distance_m(m.place, x.here) NULLS LAST, "
		"CASE WHEN x.strategy <> 'round_robin' THEN round((m.open_tickets + 1) / m.weight, 12) END, m.turn NULLS FIRST, m.staff COLLATE \"C\" LIMIT 1) AS m ON true",
		SPI_OK_SELECT, 5, {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID}
	};
	static const SettleStatement why = {
		MEMBERS
		"SELECT NULL::text, NULL::text, NULL::bigint, NULL::integer, CASE "
		"WHEN w.members = 0 THEN format('team \"%%s\" has no members', $1) "
		"WHEN w.skilled = 0 THEN format('nobody in team \"%%s\" has the skills %%s', $1, array_to_string($4, ', ')) "
		"WHEN w.at_work > 0 THEN format('all in team \"%%s\" who could take it are at capacity', $1) "
		"WHEN w.until IS NULL THEN format('nobody in team \"%%s\" who could take it is at work in the next fortnight', $1) "
		"ELSE format('nobody in team \"%%s\" who could take it is at work until %%s', $1, to_char(w.until AT TIME ZONE b.time_zone, 'YYYY-MM-DD HH24:MI')) END, "
		"CASE WHEN w.at_work = 0 AND w.skilled > 0 THEN w.until END "
		"FROM (SELECT count(*) AS members, count(*) FILTER (WHERE m.skills @> $4) AS skilled, count(*) FILTER (WHERE m.skills @> $4 AND m.working @> $2) AS at_work, "
		"min(lower(m.working * tstzmultirange(tstzrange($2, NULL)))) FILTER (WHERE m.skills @> $4) AS until FROM member AS m) AS w CROSS JOIN %1$s.book AS b",
		SPI_OK_SELECT, 4, {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID}
	};
	Answer		reason;

	if (!ask(book, &staff, values, nulls, chosen))
		elog(ERROR, "book \"%s\" has no such team", book->label);
	if (!chosen->nulls[CHOSEN_STAFF])
		return;
	if (!ask(book, &why, values, nulls, &reason))
		elog(ERROR, "book \"%s\" has lost its settings", book->label);
	for (int i = CHOSEN_REASON; i <= CHOSEN_UNTIL; i++)
	{
		chosen->values[i] = reason.values[i];
		chosen->nulls[i] = reason.nulls[i];
	}
}

/* ---- giving ---- */

/*
 * Has nobody else give tickets to people until the end of the transaction.
 * Rows that are missing come first: to add one while others are locked would not
 * be in their order.
 */
static void
lock_staff(const SettleBook *book, Datum people)
{
	static const SettleStatement missing = {
		"SELECT FROM unnest($1) AS p WHERE NOT EXISTS (SELECT FROM %1$s.staff_turn AS s WHERE s.staff = p) LIMIT 1", SPI_OK_SELECT, 1, {TEXTARRAYOID}
	};
	static const SettleStatement add = {
		"INSERT INTO %1$s.staff_turn (staff) SELECT p FROM unnest($1) AS p GROUP BY p ORDER BY p COLLATE \"C\" ON CONFLICT DO NOTHING", SPI_OK_INSERT, 1, {TEXTARRAYOID}
	};
	static const SettleStatement lock = {
		"SELECT FROM %1$s.staff_turn AS s WHERE s.staff = ANY ($1) ORDER BY s.staff COLLATE \"C\" FOR NO KEY UPDATE", SPI_OK_SELECT, 1, {TEXTARRAYOID}
	};

	if (settle_book_ask(book, &missing, &people, NULL) > 0)
		(void) settle_book_ask(book, &add, &people, NULL);
	(void) settle_book_ask(book, &lock, &people, NULL);
}

/*
 * Gives a ticket to somebody whose row is locked, and notes how he was chosen;
 * values are ticket, staff, team, strategy, open tickets and capacity.
 */
static void
give_ticket(const SettleBook *book, const Datum *values, const char *nulls)
{
	static const SettleStatement give = {
		"UPDATE %1$s.ticket AS t SET worker = $2 WHERE t.ticket_id = $1 AND t.worker IS DISTINCT FROM $2", SPI_OK_UPDATE, 2, {TEXTOID, TEXTOID}
	};
	static const SettleStatement note = {
		"WITH turn AS (UPDATE %1$s.staff_turn AS s SET turns = s.turns + 1 WHERE s.staff = $2) "
		"INSERT INTO %1$s.assignment (ticket_id, staff, team, strategy, open_before, capacity, actor) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		SPI_OK_INSERT, 7, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT4OID, TEXTOID}
	};
	static const SettleStatement waits = {
		"SELECT settle._end_waiting($2::regnamespace, w.ticket_id) FROM %1$s.assignment_wait AS w WHERE w.ticket_id = $1", SPI_OK_SELECT, 2, {TEXTOID, OIDOID}
	};
	Datum		all[7];
	char		all_nulls[7] = "       ";
	Datum		waiting[] = {values[0], ObjectIdGetDatum(book->schema)};

	memcpy(all, values, sizeof(Datum) * 6);
	memcpy(all_nulls, nulls, 6);
	all[6] = CStringGetTextDatum(settle_actor_name(book->schema));
	settle_book_at_once(book, true);
	(void) settle_book_ask(book, &give, all, all_nulls);
	settle_book_at_once(book, false);
	(void) settle_book_ask(book, &note, all, all_nulls);
	(void) settle_book_ask(book, &waits, waiting, all_nulls[0] == 'n' ? "n " : NULL);
}

/* ---- for SQL ---- */

/* Inside a function of this file that SQL calls. */
typedef struct Call
{
	SettleBook	book;
	SettleIdentity identity;
	MemoryContext caller;
} Call;

static Call
begin_call(FunctionCallInfo fcinfo)
{
	Call		call = {.caller = CurrentMemoryContext};

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	call.book = settle_book_for_sql(PG_GETARG_OID(0));
	settle_book_check_level(&call.book, SETTLE_CLERK);
	call.identity = settle_book_enter(&call.book);
	SPI_connect();
	MemoryContextSwitchTo(call.caller);
	return call;
}

static void
end_call(const Call *call)
{
	SPI_finish();
	settle_book_leave(call->identity);
}

static Datum
answer_record(FunctionCallInfo fcinfo, Answer *answer)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), answer->values, answer->nulls));
}

/*
 * settle._team_of(book regnamespace, ticket_id text, out team text, out skills text[])
 */
PG_FUNCTION_INFO_V1(settle_team_of);
Datum
settle_team_of(PG_FUNCTION_ARGS)
{
	Call		call = begin_call(fcinfo);
	Answer		goes;

	choose_team(&call.book, PG_GETARG_DATUM(1), &goes);
	end_call(&call);
	return answer_record(fcinfo, &goes);
}

/*
 * settle._choose_staff(book regnamespace, ticket_id text, team text, skills
 *						text[], at timestamptz, people text[] default null, out
 *						staff text, out strategy text, out open_before bigint,
 *						out capacity integer, out reason text, out until timestamptz)
 */
PG_FUNCTION_INFO_V1(settle_choose_staff);
Datum
settle_choose_staff(PG_FUNCTION_ARGS)
{
	static const int order[] = {2, 4, 1, 3, 5};
	Call		call = begin_call(fcinfo);
	Datum		values[lengthof(order)];
	char		nulls[lengthof(order)];
	Answer		chosen;

	for (int i = 0; i < lengthof(order); i++)
	{
		values[i] = PG_GETARG_DATUM(order[i]);
		nulls[i] = PG_ARGISNULL(order[i]) ? 'n' : ' ';
	}
	choose_staff(&call.book, values, nulls, &chosen);
	end_call(&call);
	return answer_record(fcinfo, &chosen);
}

/*
 * settle._lock_staff(book regnamespace, people text[]) returns void
 */
PG_FUNCTION_INFO_V1(settle_lock_staff);
Datum
settle_lock_staff(PG_FUNCTION_ARGS)
{
	Call		call = begin_call(fcinfo);

	lock_staff(&call.book, PG_GETARG_DATUM(1));
	end_call(&call);
	PG_RETURN_VOID();
}

/*
 * settle._give_ticket(book regnamespace, ticket_id text, staff text, team text,
 *					   strategy text, open_before bigint, capacity integer) returns void
 */
PG_FUNCTION_INFO_V1(settle_give_ticket);
Datum
settle_give_ticket(PG_FUNCTION_ARGS)
{
	Call		call = begin_call(fcinfo);
	Datum		values[6];
	char		nulls[6];

	for (int i = 0; i < lengthof(values); i++)
	{
		values[i] = PG_GETARG_DATUM(i + 1);
		nulls[i] = PG_ARGISNULL(i + 1) ? 'n' : ' ';
	}
	give_ticket(&call.book, values, nulls);
	end_call(&call);
	PG_RETURN_VOID();
}

/*
 * Has the strategy of its team choose who takes a ticket, which is locked, and
 * gives it to him; NULL where nobody could take it, which is noted where nobody
 * has it.
 */
static text *
give_by_team(const SettleBook *book, Datum ticket, bool nobody_has_it)
{
	static const SettleStatement members = {
		"SELECT coalesce(array_agg(m.staff::text), '{}') FROM %1$s.team_member AS m WHERE m.team = $1", SPI_OK_SELECT, 1, {TEXTOID}
	};
	static const SettleStatement note = {
		"SELECT settle._note_waiting($1::regnamespace, $2, $3, $4, $5)", SPI_OK_SELECT, 5, {OIDOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	};
	Answer		goes;
	Answer		people;
	Answer		chosen;

	choose_team(book, ticket, &goes);
	(void) ask(book, &members, &goes.values[GOES_TEAM], NULL, &people);
	lock_staff(book, people.values[0]);
	choose_staff(book, (Datum[])
				 {
					 goes.values[GOES_TEAM], TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()), ticket, goes.values[GOES_SKILLS], people.values[0]
				 }, NULL, &chosen);
	if (!chosen.nulls[CHOSEN_STAFF])
	{
		give_ticket(book, (Datum[])
					{
						ticket, chosen.values[CHOSEN_STAFF], goes.values[GOES_TEAM], chosen.values[CHOSEN_STRATEGY], chosen.values[CHOSEN_OPEN], chosen.values[CHOSEN_CAPACITY]
					}, chosen.nulls[CHOSEN_CAPACITY] ? "     n" : "      ");
		return DatumGetTextP(chosen.values[CHOSEN_STAFF]);
	}
	if (nobody_has_it)
		(void) settle_book_ask(book, &note, (Datum[])
							   {
								   ObjectIdGetDatum(book->schema), ticket, goes.values[GOES_TEAM], chosen.values[CHOSEN_REASON], chosen.values[CHOSEN_UNTIL]
							   }, chosen.nulls[CHOSEN_UNTIL] ? "    n" : "     ");
	return NULL;
}

/*
 * settle.assign_ticket(book regnamespace, ticket_id text, staff text default
 *						null, reason text default null) returns text
 */
PG_FUNCTION_INFO_V1(settle_assign_ticket);
Datum
settle_assign_ticket(PG_FUNCTION_ARGS)
{
	static const SettleStatement lock = {
		"SELECT t.worker::text, t.stage::text FROM %1$s.ticket AS t WHERE t.ticket_id = $1 AND t.type IS NOT NULL FOR NO KEY UPDATE", SPI_OK_SELECT, 1, {TEXTOID}
	};
	static const SettleStatement require = {
		"SELECT settle._require_ticket($1::regnamespace, $2)", SPI_OK_SELECT, 2, {OIDOID, TEXTOID}
	};
	/* after the lock, so that it sees who was given the ticket meanwhile */
	static const SettleStatement state = {
		"SELECT NOT s.ready AND s.ends IS NULL AND t.merged_into IS NULL, t.worker IS NOT NULL AND NOT coalesce("
		"(SELECT a.team IS NOT NULL AND a.staff = t.worker FROM %1$s.assignment AS a WHERE a.ticket_id = $1 ORDER BY a.assignment_id DESC LIMIT 1), false) "
		"FROM %1$s.ticket AS t JOIN %1$s.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage WHERE t.ticket_id = $1",
		SPI_OK_SELECT, 1, {TEXTOID}
	};
	int			depth = -1;
	Call		call = begin_call(fcinfo);
	Datum		ticket = PG_GETARG_DATUM(1);
	const char *ticket_nulls = PG_ARGISNULL(1) ? "n" : NULL;
	Answer		had;
	Answer		now;
	text	   *staff = NULL;

	if (!PG_ARGISNULL(3))
		depth = settle_begin_reason(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	if (!PG_ARGISNULL(2) && VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nobody is named for ticket \"%s\"", PG_ARGISNULL(1) ? "" : TextDatumGetCString(ticket)),
				 errhint("Without staff the strategy of its team chooses.")));
	if (!ask(&call.book, &lock, &ticket, ticket_nulls, &had))
	{
		Datum		values[] = {ObjectIdGetDatum(call.book.schema), ticket};

		(void) settle_book_ask(&call.book, &require, values, ticket_nulls == NULL ? NULL : " n");
	}
	if (!PG_ARGISNULL(2))
	{
		Datum		values[6] = {ticket, PG_GETARG_DATUM(2)};

		staff = PG_GETARG_TEXT_PP(2);
		lock_staff(&call.book, PointerGetDatum(construct_array(&values[1], 1, TEXTOID, -1, false, TYPALIGN_INT)));
		give_ticket(&call.book, values, "  nnnn");
	}
	else
	{
		(void) ask(&call.book, &state, &ticket, NULL, &now);
		if (!DatumGetBool(now.values[0]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("ticket \"%s\" is in stage \"%s\", where no team takes it", TextDatumGetCString(ticket), answer_text(&had, 1)),
					 errhint("Name somebody of the staff to have its work stand with him.")));
		if (!DatumGetBool(now.values[1]))
			staff = give_by_team(&call.book, ticket, had.nulls[0]);
		if (staff == NULL && !had.nulls[0])
			staff = DatumGetTextP(had.values[0]);
	}
	end_call(&call);
	if (depth >= 0)
		settle_end_reason(depth);
	if (staff == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(staff);
}
