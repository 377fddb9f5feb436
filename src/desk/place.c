/*
 * place.c
 *		Whether a ticket is away, and which areas it was in, is what its check-ins
 *		say.
 *
 * Money depends on both, so the law of <book>.ticket keeps them: who writes them
 * may write nothing else than <book>.check_in_verdict has.  Check-ins are only
 * looked at where one of the columns changes.
 */
#include "desk/desk.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

void
settle_keep_place(const DeskWriting *w)
{
	static const SettleStatement as_said = {
		"SELECT FROM (SELECT $2 AS away, $3 AS areas, $4 AS area_parties) AS t LEFT JOIN %1$s.check_in_verdict AS v ON v.ticket_id = $1 "
		"WHERE (t.away, t.areas, t.area_parties) IS NOT DISTINCT FROM (v.away, v.areas, v.area_parties)",
		SPI_OK_SELECT, 4, {TEXTOID, BOOLOID, JSONBOID, JSONBOID}
	};
	const DeskColumns *c = w->columns;
	const AttrNumber columns[] = {c->ticket_id, c->away, c->areas, c->area_parties};
	Datum		values[lengthof(columns)];
	char		nulls[lengthof(columns)];
	SettleIdentity identity;
	uint64		found;

	/* what a ticket had before it came to the desk was said by no check-in */
	if (settle_column_stays(w, c->away) && settle_column_stays(w, c->areas) && settle_column_stays(w, c->area_parties) &&
		((heap_attisnull(w->row, c->away, w->desc) && heap_attisnull(w->row, c->areas, w->desc) && heap_attisnull(w->row, c->area_parties, w->desc)) ||
		 settle_ticket_has_type(w->before, w->desc)))
		return;
	for (int i = 0; i < lengthof(columns); i++)
	{
		bool		isnull;

		values[i] = heap_getattr(w->row, columns[i], w->desc, &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	identity = settle_book_enter(&w->desk->book);
	SPI_connect();
	found = settle_book_ask(&w->desk->book, &as_said, values, nulls);
	SPI_finish();
	settle_book_leave(identity);
	if (found == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("whether ticket \"%s\" is away, and in which areas it was, is what its check-ins say", nulls[0] == 'n' ? "" : TextDatumGetCString(values[0])),
				 errhint("settle.check_in notes where somebody is, settle.overrule_check_in corrects what that says."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "away")));
}
