/*
 * pack.c
 *		What may be changed in the rule tables: the contents of packs.
 *
 * The one thing a maintainer must know is the lock.  Whatever changes rules or
 * moves a pack first locks the row of <book>.book, before any row of a rule
 * table, so that edits and moves come one after the other: what was checked
 * here still holds at commit, and what is submitted is what was edited.
 *
 * The law is asked of the tables, not of the function that changes them: a
 * plain UPDATE by the owner meets it as well.
 */
#include "book/book.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

static void
lock_rules(const SettleBook *book)
{
	settle_book_execute(psprintf("SELECT FROM %s.book FOR NO KEY UPDATE", book->name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
}

/*
 * settle._lock_rules(book regnamespace) returns void
 *
 * Makes edits of the rules wait until this transaction ends.
 */
PG_FUNCTION_INFO_V1(settle_lock_rules);
Datum
settle_lock_rules(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));

	SPI_connect();
	lock_rules(&book);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Gives a column of the first row as text; NULL where it is null.
 */
static char *
text_column(int column)
{
	bool		isnull;
	Datum		value = settle_spi_datum(0, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Refuses a change of what stands in a pack that is not a draft.  The base is
 * free until a period has closed.
 */
static void
refuse_frozen(const SettleBook *book, const char *touched)
{
	const char *pack;
	const char *state;

	if (settle_book_execute(psprintf("SELECT k.pack, k.state FROM %1$s.pack AS k WHERE k.pack IN (%2$s) AND "
									 "CASE WHEN k.pack = 'base' THEN EXISTS (SELECT FROM %1$s.period AS p WHERE p.state = 'closed') ELSE k.state <> 'draft' END "
									 "ORDER BY k.pack LIMIT 1", book->name, touched),
							0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	pack = text_column(1);
	state = text_column(2);
	if (strcmp(pack, "base") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pack \"base\" of book \"%s\" can no longer be changed directly", book->label),
				 errdetail("A period of the book has closed."),
				 errhint("Draft a pack with settle.add_pack; rules of the base that its \"ends\" name end when it is enabled.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pack \"%s\" is %s and cannot be changed", pack, state),
			 strcmp(state, "submitted") == 0 || strcmp(state, "approved") == 0
			 ? errhint("settle.redraft_pack makes it a draft again, to be submitted and approved anew.")
			 : errhint("Draft another pack with settle.add_pack; rules that its \"ends\" name end when it is enabled.")));
}

/*
 * Refuses a pack that goes a way of its own.  This is the table of the moves
 * that there are.
 */
static void
refuse_move(const char *older, const char *newer)
{
	const char *pack;
	const char *from;
	const char *to;

	if (settle_book_execute(psprintf("SELECT coalesce(o.pack, n.pack), o.state, n.state FROM %1$s AS o FULL JOIN %2$s AS n ON n.pack = o.pack "
									 "WHERE NOT CASE "
									 "WHEN o.pack IS NULL THEN n.state = 'draft' "
									 "WHEN n.pack IS NULL THEN o.state = 'draft' "
									 "WHEN o.state = n.state THEN o.state = 'draft' OR to_jsonb(o) - 'title' = to_jsonb(n) - 'title' "
									 "ELSE (o.state, n.state) IN (VALUES ('draft', 'submitted'), ('submitted', 'approved'), ('submitted', 'draft'), "
									 "('approved', 'draft'), ('approved', 'enabled'), ('enabled', 'disabled')) AND o.pack <> 'base' "
									 "AND (o.applies_when, o.source, o.choice, o.priority, o.ends) IS NOT DISTINCT FROM (n.applies_when, n.source, n.choice, n.priority, n.ends) END "
									 "ORDER BY 1 LIMIT 1", older, newer),
							0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	pack = text_column(1);
	from = text_column(2);
	to = text_column(3);
	if (from != NULL && to != NULL && strcmp(from, to) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pack \"%s\" cannot go from %s to %s", pack, from, to),
				 errhint("A pack is drafted, submitted, approved, enabled and disabled, unchanged from its submission on; until it is enabled it can be made a draft again.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 from == NULL ? errmsg("pack \"%s\" cannot begin as %s", pack, to)
			 : errmsg("pack \"%s\" is %s and cannot be changed", pack, from),
			 errhint("Use settle.add_pack, submit_pack, approve_pack, enable_pack and disable_pack.")));
}

/*
 * Lists the packs whose rules a statement has changed, leaving out the rules
 * that an enabled pack has ended: an end is set at its start, and a version that
 * would begin later goes.
 */
static const char *
packs_of_rules(const SettleBook *book, const char *older, const char *newer)
{
	return psprintf("SELECT unnest(ARRAY[o.pack, n.pack]) FROM %2$s AS o FULL JOIN %3$s AS n ON n.rule_id = o.rule_id "
					"WHERE NOT EXISTS (SELECT FROM %1$s.pack AS e JOIN %1$s.pack AS k ON k.pack = o.pack "
					"WHERE e.state = 'enabled' AND e.pack <> o.pack AND o.code = ANY (e.ends) AND CASE "
					"WHEN n.rule_id IS NULL THEN greatest(lower(o.valid), lower(k.valid)) >= lower(e.valid) "
					"ELSE to_jsonb(n) - 'valid' = to_jsonb(o) - 'valid' AND lower(n.valid) IS NOT DISTINCT FROM lower(o.valid) "
					"AND upper(n.valid) = lower(e.valid) AND (upper(o.valid) <= upper(n.valid)) IS NOT TRUE END)", book->name, older, newer);
}

/*
 * Refuses a draft that ends what is not there: a misspelt code would leave two
 * rules that pay.
 */
static void
refuse_unknown_ends(const SettleBook *book, const char *touched)
{
	if (settle_book_execute(psprintf("SELECT k.pack, e.code FROM %1$s.pack AS k CROSS JOIN LATERAL unnest(k.ends) AS e (code) "
									 "WHERE k.pack IN (%2$s) AND k.state IN ('draft', 'submitted') "
									 "AND NOT EXISTS (SELECT FROM %1$s.rule AS r JOIN %1$s.pack AS p ON p.pack = r.pack AND p.valid IS NOT NULL "
									 "WHERE r.code = e.code AND r.pack <> k.pack) LIMIT 1", book->name, touched),
							0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("pack \"%s\" ends the rule \"%s\", which does not exist", text_column(1), text_column(2) == NULL ? "" : text_column(2)),
			 errhint("It can end rules of the base and of packs that were enabled.")));
}

/*
 * Compiles the drafts among some packs, each together with what is in force.
 */
static void
check_drafts(const SettleBook *book, const char *touched)
{
	uint64		n = settle_book_execute(psprintf("SELECT k.pack FROM %1$s.pack AS k WHERE k.pack IN (%2$s) AND k.state IN ('draft', 'submitted', 'approved') ORDER BY 1",
												 book->name, touched),
										0, NULL, NULL, NULL, SPI_OK_SELECT);
	char	  **packs = palloc(sizeof(char *) * (n + 1));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		packs[i] = TextDatumGetCString(settle_spi_datum((int) i, 1, &isnull));
	for (uint64 i = 0; i < n; i++)
		settle_book_check_rules(book, settle_book_ruleset_with(book, packs[i], GetCurrentTransactionStartTimestamp()));
}

/*
 * Notes who edits a draft: he does not approve it.
 */
static void
note_editor(const SettleBook *book, const char *edited)
{
	Oid			type = TEXTOID;
	Datum		actor = CStringGetTextDatum(settle_actor_name(book->schema));

	const char *new_editor = psprintf("pack IN (%s) AND state = 'draft' AND $1 <> drafted_by AND $1 <> ALL (edited_by)", edited);

	/* an UPDATE of no row would come back here */
	if (settle_book_execute(psprintf("SELECT FROM %s.pack WHERE %s LIMIT 1", book->name, new_editor), 1, &type, &actor, NULL, SPI_OK_SELECT) > 0)
		settle_book_execute(psprintf("UPDATE %s.pack SET edited_by = edited_by || $1 WHERE %s", book->name, new_editor), 1, &type, &actor, NULL, SPI_OK_UPDATE);
}

/*
 * settle.keep_packs() returns trigger
 *
 * Statement trigger on packs and what stands in them.  Before the statement it
 * takes the lock; after it, it refuses what may not be changed, and compiles
 * the drafts that were and notes by whom.
 */
PG_FUNCTION_INFO_V1(settle_keep_packs);
Datum
settle_keep_packs(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SettleBook	book;
	SettleIdentity identity;
	const char *table;
	const char *all;
	const char *none;
	const char *older;
	const char *newer;
	const char *touched;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.keep_packs is not called as a statement trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	identity = settle_book_enter(&book);
	SPI_connect();
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		lock_rules(&book);
	else
	{
		if (SPI_register_trigger_data(trigger) != SPI_OK_TD_REGISTER)
			elog(ERROR, "could not read the rows that a statement has changed");
		table = RelationGetRelationName(trigger->tg_relation);
		all = psprintf("%s.%s", book.name, quote_identifier(table));
		none = psprintf("(SELECT * FROM %s WHERE false)", all);
		older = trigger->tg_trigger->tgoldtable != NULL ? trigger->tg_trigger->tgoldtable : none;
		newer = trigger->tg_trigger->tgnewtable != NULL ? trigger->tg_trigger->tgnewtable : none;
		if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
			/* whatever it held is gone */
			touched = psprintf("SELECT k.pack FROM %s.pack AS k", book.name);
		else if (strcmp(table, "rule") == 0)
			touched = packs_of_rules(&book, older, newer);
		else
			touched = psprintf("SELECT o.pack FROM %s AS o UNION ALL SELECT n.pack FROM %s AS n", older, newer);
		if (strcmp(table, "pack") == 0)
			refuse_move(older, newer);
		else
			refuse_frozen(&book, touched);
		refuse_unknown_ends(&book, touched);
		check_drafts(&book, touched);
		if (strcmp(table, "pack") == 0)
			touched = psprintf("SELECT n.pack FROM %s AS o JOIN %s AS n ON n.pack = o.pack AND n.state = o.state "
							   "WHERE to_jsonb(o) - 'edited_by' <> to_jsonb(n) - 'edited_by'", older, newer);
		note_editor(&book, touched);
	}
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}
