/*
 * rules.c
 *		The rules of a book as one value, and what happens when they change.
 *
 * The rule revision is taken from a sequence: nextval is never rolled back and
 * never issued twice, so a revision names one content of the rule tables for
 * ever, and what is remembered under it is never wrong.
 */
#include "book/book.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * Reads the rule tables as one value, as the owner of the book, through SPI.
 *
 * Null Datums: the range is unbounded; no packs but those in force.  The packs
 * that are named stand in it as if they had been enabled at "since", null for
 * always, and had ended what their "ends" name.  A rule is in force while its
 * own range and that of its pack last; one that its pack's end or another pack
 * has left no time stays, with "until": "-infinity", since sheets may refer to it.
 */
static SettleRuleset *
read_rules(const SettleBook *book, Datum during, Datum packs, Datum since, bool read_only)
{
	static const char query[] =
		"WITH v AS (SELECT coalesce($1, '(,)') AS during, coalesce($2, '{}') AS named, $3 AS since), "
		"k AS (SELECT p.pack, nullif(p.pack, 'base') AS label, p.applies_when, p.source, p.choice, p.priority, "
		"CASE WHEN p.pack <> 'base' AND p.pack = ANY (v.named) THEN tstzrange(v.since, NULL) ELSE p.valid END AS valid "
		"FROM %1$s.pack AS p CROSS JOIN v WHERE p.valid IS NOT NULL OR p.pack = ANY (v.named)), "
		"ended AS (SELECT DISTINCT e.code FROM %1$s.pack AS p CROSS JOIN v CROSS JOIN LATERAL unnest(p.ends) AS e (code) WHERE p.pack = ANY (v.named)), "
		"r AS (SELECT q.*, k.label, greatest(lower(q.valid), lower(k.valid)) AS starts, "
		"least(upper(q.valid), upper(k.valid), CASE WHEN isempty(k.valid) THEN '-infinity' "
		"WHEN q.pack <> ALL (v.named) AND q.code IN (SELECT e.code FROM ended AS e) THEN coalesce(v.since, '-infinity') END) AS stops "
		"FROM %1$s.rule AS q JOIN k ON k.pack = q.pack CROSS JOIN v "
		"WHERE (upper(q.valid) <= lower(k.valid)) IS NOT TRUE AND (v.during = '(,)' OR q.valid * k.valid && v.during)) "
		"SELECT jsonb_build_object("
		"'format', 1, 'time_zone', b.time_zone, 'currency', b.currency, 'period', b.period, "
		"'sources', (SELECT jsonb_object_agg(s.source, jsonb_strip_nulls(jsonb_build_object("
		"'key', s.key, 'ready_at', s.ready_at, 'rules_at', s.rules_at, 'period_at', s.period_at, "
		"'project', s.project, 'region', s.region, 'channel', s.channel, 'revenue', s.revenue, 'cost', s.cost, 'tax', s.tax, "
		"'currency', s.currency, 'reverses', s.reverses, 'order_ref', s.order_ref, 'rework_of', s.rework_of))) "
		"FROM %1$s.source AS s WHERE s.relation IS NOT NULL), "
		"'choices', (SELECT jsonb_object_agg(c.choice, CASE WHEN k.label IS NULL THEN to_jsonb(c.policy) "
		"ELSE jsonb_build_object('policy', c.policy, 'pack', k.label) END) FROM %1$s.choice AS c JOIN k ON k.pack = c.pack), "
		/* nulls inside a value are part of it */
		"'decisions', (SELECT jsonb_object_agg(d.decision, jsonb_build_object('policy', d.policy, 'returns', d.returns) "
		"|| CASE WHEN k.label IS NULL THEN '{}' ELSE jsonb_build_object('pack', k.label) END "
		"|| CASE WHEN d.fallback IS NULL THEN '{}' ELSE jsonb_build_object('fallback', d.fallback) END "
		"|| CASE WHEN d.output_values IS NULL THEN '{}' ELSE jsonb_build_object('output_values', d.output_values) END "
		"|| jsonb_build_object("
		"'outcomes', coalesce((SELECT jsonb_agg(jsonb_build_object('outcome', o.outcome) "
		"|| jsonb_strip_nulls(jsonb_build_object("
		"'source', o.source, 'applies_when', o.applies_when, 'priority', o.priority, 'pack', ok.label, "
		"'from', settle._instant(lower(o.valid * ok.valid)), 'until', settle._instant(upper(o.valid * ok.valid)), 'title', o.title)) ORDER BY o.outcome_id) "
		"FROM %1$s.outcome AS o JOIN k AS ok ON ok.pack = o.pack CROSS JOIN v "
		"WHERE o.decision = d.decision AND o.valid * ok.valid && v.during), '[]'))) "
		"FROM %1$s.decision AS d JOIN k ON k.pack = d.pack), "
		"'rules', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object("
		"'code', r.code, 'component', r.component, 'source', r.source, 'payer', r.payer, 'payee', r.payee, 'payees', r.payees, "
		"'base', r.base, 'remainder', r.remainder, 'applies_when', r.applies_when, 'tiers', r.tiers::text, 'factors', r.factors, "
		"'accumulate', r.accumulate, 'tally_by', r.tally_by, 'measure', r.measure, 'clock', nullif(r.clock, 'ticket'), 'share', nullif(r.share, 'fee'), 'repeats', nullif(r.repeats, 'skip'), 'at_least', r.at_least, 'at_most', r.at_most, "
		"'rounding', r.rounding, 'unit', r.unit, 'choice', r.choice, 'priority', r.priority, 'overrides', r.overrides, 'pack', r.label, "
		"'from', settle._instant(r.starts), "
		"'until', CASE WHEN r.stops <= coalesce(r.starts, '-infinity') THEN '-infinity' ELSE settle._instant(r.stops) END, "
		"'title', r.title)) ORDER BY r.code, r.valid, r.pack), '[]') FROM r)) "
		"|| coalesce((SELECT jsonb_build_object('packs', jsonb_object_agg(k.pack, jsonb_strip_nulls(jsonb_build_object("
		"'applies_when', nullif(k.applies_when, 'true'), 'source', CASE WHEN k.applies_when <> 'true' THEN k.source END, "
		"'choice', k.choice, 'priority', CASE WHEN k.choice IS NOT NULL THEN k.priority END, 'from', settle._instant(lower(k.valid)), "
		"'until', CASE WHEN isempty(k.valid) THEN '-infinity' ELSE settle._instant(upper(k.valid)) END)))) "
		"FROM k CROSS JOIN v WHERE k.label IS NOT NULL AND (v.during = '(,)' OR k.valid && v.during) HAVING count(*) > 0), '{}') "
		"|| coalesce((SELECT jsonb_build_object('facts', jsonb_object_agg(f.fact, jsonb_strip_nulls(jsonb_build_object("
		"'source', f.source, 'relation', f.relation::text, 'key', f.key, 'valid', f.valid, "
		"'value', coalesce(f.value, quote_ident(f.fact)), 'lookup', coalesce(f.lookup, f.key), 'type', f.type)))) "
		"FROM %1$s.fact AS f HAVING count(*) > 0), '{}') "
		"FROM %1$s.book AS b";
	Oid			types[] = {TSTZRANGEOID, TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {during, packs, since};
	const char	nulls[] = {during == (Datum) 0 ? 'n' : ' ', packs == (Datum) 0 ? 'n' : ' ', since == (Datum) 0 ? 'n' : ' '};
	bool		isnull;

	if (SPI_execute_with_args(psprintf(query, book->name), 3, types, values, nulls, read_only, 0) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("book \"%s\" has lost its settings", book->label),
				 errhint("The table book of a book holds exactly one row.")));
	return settle_ruleset_from_jsonb(DatumGetJsonbP(settle_spi_datum(0, 1, &isnull)));
}

/*
 * Raises 42704 where a book has not all the packs that are named.
 */
static void
check_packs(const SettleBook *book, Datum packs, bool read_only)
{
	Oid			types[] = {TEXTARRAYOID};
	bool		isnull;

	if (SPI_execute_with_args(psprintf("SELECT n.pack FROM unnest($1) AS n (pack) WHERE n.pack IS NULL OR n.pack NOT IN (SELECT k.pack FROM %s.pack AS k)", book->name),
							  1, types, &packs, NULL, read_only, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the packs of book \"%s\"", book->label);
	if (SPI_processed > 0)
	{
		Datum		pack = settle_spi_datum(0, 1, &isnull);

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 isnull ? errmsg("a pack is null") : errmsg("pack \"%s\" does not exist", TextDatumGetCString(pack)),
				 errhint("Make it with settle.add_pack.")));
	}
}

/*
 * Reads rules for a reader, into the caller's memory.
 */
static SettleRuleset *
rules_for_reader(Oid schema, Datum during, Datum packs, Datum since)
{
	MemoryContext context = CurrentMemoryContext;
	SettleBook	book = settle_book(schema);
	SettleIdentity identity;
	SettleRuleset *ruleset;
	SettleRuleset *result;

	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	if (packs != (Datum) 0)
		check_packs(&book, packs, true);
	ruleset = read_rules(&book, during, packs, since, true);
	result = MemoryContextAllocHuge(context, VARSIZE(ruleset));
	memcpy(result, ruleset, VARSIZE(ruleset));
	SPI_finish();
	settle_book_leave(identity);
	return result;
}

/*
 * settle.rules(book regnamespace, during tstzrange default '(,)', packs text[]
 *				default null) returns settle.ruleset
 *
 * Gives the rules in force at any time of a range as one value; packs that are
 * named are in it as if they had always been enabled.
 */
PG_FUNCTION_INFO_V1(settle_rules);
Datum
settle_rules(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_POINTER(rules_for_reader(PG_GETARG_OID(0), PG_GETARG_DATUM(1), PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2), (Datum) 0));
}

/*
 * settle._rules_from_now(book regnamespace, packs text[]) returns settle.ruleset
 *
 * Gives the rules as they are if packs are enabled now.
 */
PG_FUNCTION_INFO_V1(settle_rules_from_now);
Datum
settle_rules_from_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(rules_for_reader(PG_GETARG_OID(0), (Datum) 0, PG_GETARG_DATUM(1), TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())));
}

/* Rulesets that were read, by book and revision. */
#define MAX_READ	8

typedef struct ReadRuleset
{
	Oid			schema;
	int64		revision;
	uint64		last_use;
	SettleRuleset *ruleset;
} ReadRuleset;

static ReadRuleset read_rulesets[MAX_READ];
static uint64 read_counter = 0;

/*
 * Finds rules that were read; NULL where these were not.
 */
static const SettleRuleset *
find_read(const SettleBook *book, int64 revision)
{
	for (int i = 0; i < MAX_READ; i++)
	{
		ReadRuleset *r = &read_rulesets[i];

		if (r->ruleset == NULL || r->schema != book->schema || r->revision != revision)
			continue;
		r->last_use = ++read_counter;
		return r->ruleset;
	}
	return NULL;
}

/*
 * Reads the rules, unless the revision that it sees was read already.
 */
static const SettleRuleset *
read_ruleset(const SettleBook *book, bool read_only)
{
	int64		revision;
	bool		isnull;
	ReadRuleset *place = &read_rulesets[0];
	const SettleRuleset *read;
	SettleRuleset *ruleset;

	if (settle_book_query(psprintf("SELECT b.rule_revision FROM %s.book AS b", book->name), 0, NULL, NULL, read_only) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("book \"%s\" has lost its settings", book->label),
				 errhint("The table book of a book holds exactly one row.")));
	revision = DatumGetInt64(settle_spi_datum(0, 1, &isnull));
	read = find_read(book, revision);
	if (read != NULL)
		return read;
	for (int i = 1; i < MAX_READ; i++)
		if (read_rulesets[i].last_use < place->last_use)
			place = &read_rulesets[i];
	ruleset = read_rules(book, (Datum) 0, (Datum) 0, (Datum) 0, read_only);
	/* an older value may still be in use further up; the transaction's memory keeps it */
	if (place->ruleset != NULL)
	{
		MemoryContext doomed = GetMemoryChunkContext(place->ruleset);

		place->ruleset = NULL;
		MemoryContextSetParent(doomed, TopTransactionContext);
	}
	{
		MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "scrm_settle rules", ALLOCSET_SMALL_SIZES);

		place->ruleset = MemoryContextAllocHuge(context, VARSIZE(ruleset));
		memcpy(place->ruleset, ruleset, VARSIZE(ruleset));
	}
	place->schema = book->schema;
	place->revision = revision;
	place->last_use = ++read_counter;
	return place->ruleset;
}

const SettleRuleset *
settle_book_ruleset(const SettleBook *book)
{
	return read_ruleset(book, settle_book_reads_only);
}

const SettleRuleset *
settle_book_ruleset_of(const SettleBook *book, int64 revision)
{
	const SettleRuleset *read = find_read(book, revision);
	int			nestlevel;

	if (read != NULL)
		return read;
	/* what is pinned may be book time and the path of rules' texts */
	nestlevel = settle_book_env();
	read = settle_book_ruleset(book);
	settle_env_leave(nestlevel);
	return read;
}

const SettleRuleset *
settle_book_ruleset_seen(const SettleBook *book)
{
	return read_ruleset(book, true);
}

SettleRuleset *
settle_book_ruleset_with(const SettleBook *book, const char *pack, TimestampTz since)
{
	Datum		name = CStringGetTextDatum(pack);
	Datum		packs = PointerGetDatum(construct_array(&name, 1, TEXTOID, -1, false, TYPALIGN_INT));

	check_packs(book, packs, settle_book_reads_only);
	return read_rules(book, (Datum) 0, packs, TIMESTAMP_IS_NOBEGIN(since) ? (Datum) 0 : TimestampTzGetDatum(since), settle_book_reads_only);
}

/* A relation that is a source of the book. */
typedef struct SourceRelation
{
	char	   *source;
	Oid			relation;
} SourceRelation;

static uint64
read_sources(const SettleBook *book, SourceRelation **sources)
{
	uint64		n = settle_book_execute(psprintf("SELECT s.source, s.relation::oid FROM %s.source AS s "
												 "JOIN pg_class AS c ON c.oid = s.relation::oid", book->name),
										0, NULL, NULL, NULL, SPI_OK_SELECT);
	bool		isnull;

	*sources = palloc(sizeof(SourceRelation) * (n + 1));
	for (uint64 i = 0; i < n; i++)
		(*sources)[i] = (SourceRelation)
		{
			pstrdup(NameStr(*DatumGetName(settle_spi_datum(i, 1, &isnull)))), DatumGetObjectId(settle_spi_datum(i, 2, &isnull))
		};
	return n;
}

void
settle_book_check_rules(const SettleBook *book, const SettleRuleset *ruleset)
{
	SourceRelation *sources;
	uint64		n = read_sources(book, &sources);

	for (uint64 i = 0; i < n; i++)
	{
		Relation	relation = relation_open(sources[i].relation, AccessShareLock);

		settle_set_release(settle_set_get(ruleset, sources[i].source, RelationGetDescr(relation)));
		relation_close(relation, AccessShareLock);
	}
}

/*
 * Has sessions read anew what they remember of the row types of the sources:
 * the key that capture computes with it.
 */
static void
forget_sources(const SettleBook *book)
{
	SourceRelation *sources;
	uint64		n = read_sources(book, &sources);
	ListCell   *lc;

	for (uint64 i = 0; i < n; i++)
		foreach(lc, find_all_inheritors(sources[i].relation, NoLock, NULL))
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

/*
 * settle.note_rule_change() returns trigger
 *
 * Statement trigger on the rule tables: gives the rules a new revision and
 * refuses them where they do not compile, so that what stands can be run.
 */
PG_FUNCTION_INFO_V1(settle_note_rule_change);
Datum
settle_note_rule_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SettleBook	book;
	SettleIdentity identity;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_rule_change is not called as an AFTER statement trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("UPDATE %s.book SET rule_revision = pg_catalog.nextval(%s::pg_catalog.regclass)", book.name,
								 quote_literal_cstr(psprintf("%s.rule_revision", book.name))),
						0, NULL, NULL, NULL, SPI_OK_UPDATE);
	settle_book_check_rules(&book, settle_book_ruleset(&book));
	forget_sources(&book);
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(NULL);
}
