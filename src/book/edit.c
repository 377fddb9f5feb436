/*
 * edit.c
 *		Edits of the rules: from when a new rule is in force, and which stretch of
 *		time an edit touches.
 *
 * A row trigger notes, for each rule or outcome that is added, removed or
 * changed, and for a pack that is enabled or disabled, during which times of
 * tickets other rules are in force than before.
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
 * so that nothing reaches back by accident.  What stands in another pack than
 * the base lasts as long as its pack.
 */
Datum
settle_default_valid(const SettleBook *book, const char *pack)
{
	Oid			type = TEXTOID;
	Datum		value = pack == NULL ? (Datum) 0 : CStringGetTextDatum(pack);
	bool		isnull;

	settle_book_execute(psprintf("SELECT CASE WHEN $1 OPERATOR(pg_catalog.=) 'base' AND EXISTS (SELECT FROM %1$s.sheet) THEN pg_catalog.tstzrange(pg_catalog.timezone(b.time_zone, "
								 "coalesce(" SETTLE_OPEN_PERIOD ", (SELECT pg_catalog.min(s.period) FROM %1$s.sheet AS s))::pg_catalog.timestamp), NULL) "
								 "ELSE '(,)' END FROM %1$s.book AS b", book->name),
						1, &type, &value, pack == NULL ? "n" : NULL, SPI_OK_SELECT);
	return settle_spi_datum(0, 1, &isnull);
}

/* A row of the rules, as it was or as it is; what stands in a pack is in force while both are. */
typedef struct Version
{
	bool		any_source;		/* an outcome for every source */
	Datum		source;
	Datum		valid;
	Datum		pack;
} Version;

static Version
read_version(HeapTuple tuple, TupleDesc desc)
{
	Version		version;
	bool		isnull;

	version.source = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "source"), &version.any_source);
	version.valid = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "valid"), &isnull);
	version.pack = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "pack"), &isnull);
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
 * Notes the times of one version, or, of two, those that only one of them has.
 * Before anything is posted there is nothing to settle again.
 */
static void
note_times(const SettleBook *book, const Version *version, const Version *other)
{
	Oid			types[] = {NAMEOID, TSTZRANGEOID, TSTZRANGEOID, TEXTOID};
	Datum		values[] = {version->source, version->valid, other == NULL ? (Datum) 0 : other->valid, version->pack};
	const char	nulls[] = {version->any_source ? 'n' : ' ', ' ', other == NULL ? 'n' : ' ', ' ', '\0'};

	settle_book_execute(psprintf("INSERT INTO %1$s.edit (source, during) SELECT $1, u.during "
								 "FROM (SELECT pg_catalog.tstzmultirange(k.valid OPERATOR(pg_catalog.*) $2) AS one, "
								 "coalesce(pg_catalog.tstzmultirange(k.valid OPERATOR(pg_catalog.*) $3), '{}') AS other "
								 "FROM %1$s.pack AS k WHERE k.pack OPERATOR(pg_catalog.=) $4 AND k.valid IS NOT NULL) AS v "
								 "CROSS JOIN LATERAL pg_catalog.unnest((v.one OPERATOR(pg_catalog.+) v.other) OPERATOR(pg_catalog.-) (v.one OPERATOR(pg_catalog.*) v.other)) AS u(during) "
								 "WHERE EXISTS (SELECT FROM %1$s.sheet)", book->name),
						4, types, values, nulls, SPI_OK_INSERT);
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
	Version		was = {0};
	Version		is = {0};
	bool		was_there;
	bool		is_there;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_edit is not called as an AFTER row trigger")));
	was_there = !TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	is_there = !TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	identity = settle_book_enter(&book);
	SPI_connect();
	if (was_there)
		was = read_version(trigger->tg_trigtuple, desc);
	if (is_there)
		is = read_version(was_there ? trigger->tg_newtuple : trigger->tg_trigtuple, desc);
	if (was_there && is_there && says_the_same(trigger->tg_trigtuple, trigger->tg_newtuple, desc))
		note_times(&book, &was, &is);
	else
	{
		if (was_there)
			note_times(&book, &was, NULL);
		if (is_there)
			note_times(&book, &is, NULL);
	}
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}

/*
 * settle.note_pack_edit() returns trigger
 *
 * Row trigger on packs: one that is enabled or disabled edits what stands in it.
 */
PG_FUNCTION_INFO_V1(settle_note_pack_edit);
Datum
settle_note_pack_edit(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	SettleBook	book;
	SettleIdentity identity;
	Oid			types[] = {TEXTOID, TSTZRANGEOID, TSTZRANGEOID};
	Datum		values[3];
	char		nulls[] = "   ";
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_pack_edit is not called as an AFTER UPDATE row trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	values[0] = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "pack"), &isnull);
	for (int i = 1; i < 3; i++)
	{
		values[i] = SPI_getbinval(i == 1 ? trigger->tg_trigtuple : trigger->tg_newtuple, desc, SPI_fnumber(desc, "valid"), &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("INSERT INTO %1$s.edit (source, during) SELECT DISTINCT d.source, u.during "
								 "FROM (SELECT coalesce(pg_catalog.tstzmultirange($2), '{}') AS was, coalesce(pg_catalog.tstzmultirange($3), '{}') AS is) AS v "
								 "CROSS JOIN (SELECT r.source, r.valid FROM %1$s.rule AS r WHERE r.pack OPERATOR(pg_catalog.=) $1 "
								 "UNION ALL SELECT o.source, o.valid FROM %1$s.outcome AS o WHERE o.pack OPERATOR(pg_catalog.=) $1) AS d "
								 "CROSS JOIN LATERAL pg_catalog.unnest(((v.was OPERATOR(pg_catalog.+) v.is) OPERATOR(pg_catalog.-) (v.was OPERATOR(pg_catalog.*) v.is)) "
								 "OPERATOR(pg_catalog.*) pg_catalog.tstzmultirange(d.valid)) AS u(during) "
								 "WHERE EXISTS (SELECT FROM %1$s.sheet)", book.name),
						3, types, values, nulls, SPI_OK_INSERT);
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}
