/*
 * journal.c
 *		<book>.change: who changed what in a book, when, from where and why.
 *
 * One row trigger writes it, for every table that people decide by; settle._journal
 * puts it on a table.  It writes as the owner of the book, so whoever may change
 * a table needs no right on the journal, and nobody but its owner has one.
 */
#include "book/book.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

/*
 * settle.journal() returns trigger
 *
 * Row trigger, and statement trigger for TRUNCATE, on a table of a book: notes
 * the change in <book>.change.  Its arguments are two arrays of columns: those
 * that name a row, and those whose change alone is not worth noting.
 */
PG_FUNCTION_INFO_V1(settle_journal);
Datum
settle_journal(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	before = NULL;
	HeapTuple	after = NULL;
	const char *action;
	const char *reason;
	SettleBook	book;
	SettleIdentity identity;
	Oid			types[9] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[9] = {0};
	char		nulls[] = "         ";

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		TRIGGER_FIRED_FOR_ROW(trigger->tg_event) == TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) || trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.journal is not called as an AFTER row trigger, or for TRUNCATE, with two arguments")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		action = "insert", after = trigger->tg_trigtuple;
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		action = "update", before = trigger->tg_trigtuple, after = trigger->tg_newtuple;
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		action = "delete", before = trigger->tg_trigtuple;
	else
		action = "truncate";

	identity = settle_book_enter(&book);
	SPI_connect();
	reason = settle_reason_given(book.schema);
	values[0] = CStringGetTextDatum(settle_actor_name(book.schema));
	values[1] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	if (reason != NULL)
		values[2] = CStringGetTextDatum(reason);
	else
		nulls[2] = 'n';
	values[3] = CStringGetTextDatum(RelationGetRelationName(trigger->tg_relation));
	values[4] = CStringGetTextDatum(action);
	values[5] = CStringGetTextDatum(trigger->tg_trigger->tgargs[0]);
	values[6] = CStringGetTextDatum(trigger->tg_trigger->tgargs[1]);
	types[7] = types[8] = desc->tdtypeid;
	if (before != NULL)
		values[7] = heap_copy_tuple_as_datum(before, desc);
	else
		nulls[7] = 'n';
	if (after != NULL)
		values[8] = heap_copy_tuple_as_datum(after, desc);
	else
		nulls[8] = 'n';
	settle_book_execute(psprintf("INSERT INTO %s.change (actor, login, client, reason, table_name, action, object, before, after) "
								 "SELECT $1, $2, inet_client_addr(), $3, $4, $5, "
								 "coalesce((SELECT string_agg(coalesce(v.after, v.before) ->> k.key, ' ' ORDER BY k.n) FROM unnest($6::text[]) WITH ORDINALITY AS k(key, n)), $4), "
								 "v.before, v.after "
								 "FROM (SELECT to_jsonb($8) AS before, to_jsonb($9) AS after) AS v "
								 "WHERE v.before - $7::text[] IS DISTINCT FROM v.after - $7::text[] OR $5 = 'truncate'", book.name),
						lengthof(types), types, values, nulls, SPI_OK_INSERT);
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}

/*
 * settle.note_account() returns trigger
 *
 * Row trigger on the parties of a book: raises an alert where two of them are
 * paid to one account.
 */
PG_FUNCTION_INFO_V1(settle_note_account);
Datum
settle_note_account(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	SettleBook	book;
	SettleIdentity identity;
	char	   *account;
	Oid			type = TEXTOID;
	Datum		value;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_account is not called as an AFTER INSERT OR UPDATE row trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	identity = settle_book_enter(&book);
	SPI_connect();
	account = SPI_getvalue(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple,
						   desc, SPI_fnumber(desc, "account"));
	if (account != NULL)
	{
		value = CStringGetTextDatum(account);
		settle_book_execute(psprintf("SELECT string_agg(p.party, ', ' ORDER BY p.party COLLATE \"C\") FROM %s.party AS p WHERE p.account = $1 HAVING count(*) > 1", book.name),
							1, &type, &value, NULL, SPI_OK_SELECT);
		if (SPI_processed == 1)
		{
			char	   *parties = TextDatumGetCString(settle_spi_datum(0, 1, &isnull));

			settle_raise_alert(&book, "shared account", parties, psprintf("parties %s are paid to one account", parties));
		}
	}
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}
