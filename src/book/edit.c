/*
 * edit.c
 *		Edits of the rules: from when a new rule is in force, and which stretch of
 *		time an edit touches.
 *
 * A row trigger notes, for each rule or outcome that is added, removed or
 * changed, during which times of tickets another rule is in force than before.
 * The next run settles the tickets of those times again, and forgets the note:
 * an edit reaches exactly as far back as it says, and one that is rolled back
 * leaves nothing.
 */
#include "book/book.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

/*
 * Gives the validity of a rule or outcome that names none: all time while
 * nothing is posted, from the start of the oldest open period on afterwards,
 * so that nothing reaches back by accident.
 */
Datum
settle_default_valid(const SettleBook *book)
{
	bool		isnull;

	settle_book_execute(psprintf("SELECT CASE WHEN EXISTS (SELECT FROM %1$s.sheet) THEN pg_catalog.tstzrange(pg_catalog.timezone(b.time_zone, "
								 "coalesce(" SETTLE_OPEN_PERIOD ", (SELECT pg_catalog.min(s.period) FROM %1$s.sheet AS s))::pg_catalog.timestamp), NULL) "
								 "ELSE '(,)' END FROM %1$s.book AS b", book->name),
						0, NULL, NULL, NULL, SPI_OK_SELECT);
	return settle_spi_datum(0, 1, &isnull);
}

/* A row of the rules, as it was or as it is. */
typedef struct Version
{
	bool		in_force;
	bool		any_source;		/* an outcome for every source */
	Datum		source;
	Datum		valid;
} Version;

static Version
read_version(HeapTuple tuple, TupleDesc desc)
{
	Version		version;
	bool		isnull;

	version.source = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "source"), &version.any_source);
	version.valid = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "valid"), &isnull);
	version.in_force = strcmp(SPI_getvalue(tuple, desc, SPI_fnumber(desc, "pack")), "base") == 0;
	return version;
}

/*
 * Tells whether two versions of a row differ in when they are valid and in
 * their title at most.
 */
static bool
says_the_same(HeapTuple was, HeapTuple is, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);
		bool		null[2];
		Datum		value[] = {heap_getattr(was, i + 1, desc, &null[0]), heap_getattr(is, i + 1, desc, &null[1])};

		if (a->attisdropped || strcmp(NameStr(a->attname), "valid") == 0 || strcmp(NameStr(a->attname), "title") == 0)
			continue;
		if (null[0] != null[1] || (!null[0] && !datum_image_eq(value[0], value[1], a->attbyval, a->attlen)))
			return false;
	}
	return true;
}

/*
 * Notes the times of one range, or, of two, those that only one of them has.
 * Before anything is posted there is nothing to settle again.
 */
static void
note_times(const SettleBook *book, const Version *version, const Version *other)
{
	Oid			types[] = {NAMEOID, TSTZRANGEOID, TSTZRANGEOID};
	Datum		values[] = {version->source, version->valid, other == NULL ? (Datum) 0 : other->valid};
	const char	nulls[] = {version->any_source ? 'n' : ' ', ' ', other == NULL ? 'n' : ' '};

	settle_book_execute(psprintf("INSERT INTO %1$s.edit (source, during) SELECT $1, u.during "
								 "FROM (SELECT pg_catalog.tstzmultirange($2) AS one, coalesce(pg_catalog.tstzmultirange($3), '{}') AS other) AS v "
								 "CROSS JOIN LATERAL pg_catalog.unnest((v.one OPERATOR(pg_catalog.+) v.other) OPERATOR(pg_catalog.-) (v.one OPERATOR(pg_catalog.*) v.other)) AS u(during) "
								 "WHERE EXISTS (SELECT FROM %1$s.sheet)", book->name),
						3, types, values, nulls, SPI_OK_INSERT);
}

/*
 * settle.note_edit() returns trigger
 *
 * Row trigger on rules and outcomes: notes the times in which the change of a
 * row changes what is in force.
 */
PG_FUNCTION_INFO_V1(settle_note_edit);
Datum
settle_note_edit(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	SettleBook	book;
	SettleIdentity identity;
	Version		was = {false};
	Version		is = {false};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_edit is not called as an AFTER row trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	identity = settle_book_enter(&book);
	SPI_connect();
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		was = read_version(trigger->tg_trigtuple, desc);
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		is = read_version(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigtuple : trigger->tg_newtuple, desc);
	if (was.in_force && is.in_force && says_the_same(trigger->tg_trigtuple, trigger->tg_newtuple, desc))
		note_times(&book, &was, &is);
	else
	{
		if (was.in_force)
			note_times(&book, &was, NULL);
		if (is.in_force)
			note_times(&book, &is, NULL);
	}
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}
