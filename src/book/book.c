/*
 * book.c
 *		A book: finding it, acting as its owner, defining its rules.
 *
 * Identity is what a maintainer must know.  Anybody may create a schema with
 * the right table names, and a superuser may be asked to run it.  So every
 * statement on a book runs as the owner of its schema, inside a
 * security-restricted operation, and no function of this extension is SECURITY
 * DEFINER.  Because of the restricted context a book has no deferrable
 * constraints.
 *
 * The rule revision is taken from a sequence: nextval is never rolled back and
 * never issued twice, so a revision names one content of the rule tables for
 * ever, and what is remembered under it is never wrong.
 */
#include "book/book.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "amount/amount.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* ---- finding a book ---- */

/*
 * The columns that C code reads, in tables that anybody can forge: a value of
 * another type, or a null, would be taken for a pointer.
 */
typedef struct Column
{
	const char *table;
	const char *name;			/* NULL: no more than the table is needed */
	Oid			type;			/* InvalidOid: a type of an extension */
	const char *type_name;		/* of such a type */
	bool		nullable;
} Column;

static const Column columns_read[] = {
	{"book", "rule_revision", INT8OID}, {"book", "time_zone", TEXTOID}, {"book", "currency", TEXTOID}, {"book", "settle_on", TEXTOID}, {"book", "keep_inputs", BOOLOID},
	{"book", "max_correction", INT4OID, .nullable = true}, {"book", "fx_party", TEXTOID, .nullable = true},
	{"gate", NULL},
	{"fact", "fact", NAMEOID}, {"fact", "relation", REGCLASSOID},
	{"rate", "valid", TSTZRANGEOID}, {"rate", "rate", NUMERICOID},
	{"source", "source_id", INT2OID}, {"source", "source", NAMEOID}, {"source", "relation", REGCLASSOID, .nullable = true},
	{"source", "tax", TEXTOID, .nullable = true}, {"source", "reverses", TEXTOID, .nullable = true}, {"source", "on_delete", TEXTOID},
	{"rule", "rule_id", INT4OID}, {"rule", "code", TEXTOID}, {"rule", "component", TEXTOID}, {"rule", "unit", TEXTOID, .nullable = true}, {"rule", "pack", TEXTOID}, {"rule", "valid", TSTZRANGEOID},
	{"pack", "pack", TEXTOID}, {"pack", "valid", TSTZRANGEOID, .nullable = true},
	{"party", "party_id", INT4OID}, {"party", "party", TEXTOID}, {"party", "side", TEXTOID},
	{"pending", "source_id", INT2OID}, {"pending", "ticket_key", TEXTOID, .nullable = true},
	{"sheet", "sheet_id", INT8OID}, {"sheet", "source_id", INT2OID}, {"sheet", "ticket_key", TEXTOID}, {"sheet", "revision", INT4OID}, {"sheet", "run_id", INT8OID},
	{"sheet", "ticket_time", TIMESTAMPTZOID}, {"sheet", "period", DATEOID}, {"sheet", "corrects_period", DATEOID, .nullable = true},
	{"sheet", "project", .type_name = "ltree", .nullable = true}, {"sheet", "region", .type_name = "ltree", .nullable = true},
	{"sheet", "currency", TEXTOID}, {"sheet", "revenue", NUMERICOID}, {"sheet", "cost", NUMERICOID}, {"sheet", "payout", NUMERICOID},
	{"sheet", "tickets", INT2OID}, {"sheet", "lines", .type_name = "lines"}, {"sheet", "inputs", JSONOID, .nullable = true},
	{"order_ticket", "ticket_key", TEXTOID}, {"order_ticket", "order_ref", TEXTOID}, {"order_ticket", "project", TEXTOID},
	{"order_ticket", "ready_at", TIMESTAMPTZOID}, {"order_ticket", "duplicate_of", TEXTOID, .nullable = true}, {"order_gate", NULL},
	{"seal", "seal_id", INT8OID}, {"seal", "previous", BYTEAOID, .nullable = true}, {"seal", "digest", BYTEAOID},
	{"sealed_run", "run_id", INT8OID}, {"sealed_run", "digest", BYTEAOID}, {"sealed_run", "sheets", BYTEAOID},
	{"unsealed", "run_id", INT8OID},
	{"period", "period", DATEOID}, {"edit", "edit_id", INT8OID}, {"held", "ticket_key", TEXTOID}, {"held", "release_id", INT8OID, .nullable = true},
	{"tally_state", "rule_id", INT4OID}, {"tally_state", "owner_id", INT4OID}, {"tally_state", "payer_id", INT4OID}, {"tally_state", "payee_id", INT4OID},
	{"tally_state", "count", INT8OID}, {"tally_state", "quantity", NUMERICOID}, {"tally_state", "weighted", NUMERICOID},
	{"tally_state", "amount", NUMERICOID}
};

/*
 * Finds the type of a column, which may belong to ltree or to us.
 */
static Oid
column_type(const Column *column)
{
	Oid			schema;

	if (column->type_name == NULL)
		return column->type;
	schema = strcmp(column->type_name, "ltree") == 0 ? settle_ltree_schema(NULL) : get_namespace_oid("settle", false);
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(column->type_name), ObjectIdGetDatum(schema));
}

/*
 * Raises 42704 where a schema does not have the tables of a book.  They are
 * locked against ALTER until the end of the transaction.
 */
static void
check_tables(const SettleBook *book)
{
	const char *table = "";
	Oid			relid = InvalidOid;

	for (int i = 0; i < lengthof(columns_read); i++)
	{
		const Column *column = &columns_read[i];
		HeapTuple	tuple;
		Form_pg_attribute a;

		if (strcmp(table, column->table) != 0)
		{
			table = column->table;
			relid = get_relname_relid(table, book->schema);
			if (OidIsValid(relid))
				LockRelationOid(relid, AccessShareLock);
			if (get_rel_relkind(relid) != RELKIND_RELATION && get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_OBJECT),
						 errmsg("schema \"%s\" is not a book", book->label),
						 errdetail("It has no table \"%s\".", table),
						 errhint("settle.create_book makes one; settle.books() lists those that exist.")));
		}
		if (column->name == NULL)
			continue;
		tuple = SearchSysCacheAttName(relid, column->name);
		a = HeapTupleIsValid(tuple) ? (Form_pg_attribute) GETSTRUCT(tuple) : NULL;
		if (a == NULL || a->atttypid != column_type(column) || !(a->attnotnull || column->nullable))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("schema \"%s\" is not a book", book->label),
					 errdetail("Column \"%s\" of its table \"%s\" is not as settle.create_book makes it.", column->name, table)));
		ReleaseSysCache(tuple);
	}
}

SettleBook
settle_book(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	SettleBook	book;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with OID %u does not exist", schema)));
	book.schema = schema;
	book.owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	book.label = pstrdup(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname));
	book.name = quote_identifier(book.label);
	ReleaseSysCache(tuple);
	check_tables(&book);
	return book;
}

Oid
settle_book_owner(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* ---- acting as its owner ---- */

SettleIdentity
settle_book_enter(const SettleBook *book)
{
	SettleIdentity identity;

	GetUserIdAndSecContext(&identity.user, &identity.security_context);
	SetUserIdAndSecContext(book->owner, identity.security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	/* row_security and search_path are part of the pinned environment */
	identity.nestlevel = settle_env_enter("UTC");
	/* the schema of ltree is for texts of rules, whose operators are vetted; our own statements do without it */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	/* tables of a book are guessed too large until they are analyzed: then compiling takes a second for what runs in a tenth */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	return identity;
}

void
settle_book_leave(SettleIdentity identity)
{
	settle_env_leave(identity.nestlevel);
	SetUserIdAndSecContext(identity.user, identity.security_context);
}

bool		settle_book_reads_only = false;

uint64
settle_book_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	MemoryContext old = CurrentMemoryContext;
	int			result = SPI_execute_with_args(sql, nargs, types, values, nulls, settle_book_reads_only, 0);

	/* SPI leaves its procedure's memory behind, where all that a run does next would stay until its end */
	MemoryContextSwitchTo(old);
	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

Datum
settle_spi_datum(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

void
settle_raise_alert(const SettleBook *book, const char *kind, const char *object, const char *message)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(kind), CStringGetTextDatum(object), CStringGetTextDatum(message)};

	settle_book_execute(psprintf("INSERT INTO %s.alert (kind, object, message) VALUES ($1, $2, $3) "
								 "ON CONFLICT (kind, object) WHERE settled_at IS NULL DO NOTHING", book->name),
						3, types, values, NULL, SPI_OK_INSERT);
}

/* ---- the rules in force ---- */

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
		"'project', s.project, 'region', s.region, 'revenue', s.revenue, 'cost', s.cost, 'tax', s.tax, "
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
 * Reads the rules, unless the revision that it sees was read already.
 */
static const SettleRuleset *
read_ruleset(const SettleBook *book, bool read_only)
{
	int64		revision;
	bool		isnull;
	ReadRuleset *place = &read_rulesets[0];
	SettleRuleset *ruleset;

	if (SPI_execute(psprintf("SELECT b.rule_revision FROM %s.book AS b", book->name), read_only, 0) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("book \"%s\" has lost its settings", book->label),
				 errhint("The table book of a book holds exactly one row.")));
	revision = DatumGetInt64(settle_spi_datum(0, 1, &isnull));
	for (int i = 0; i < MAX_READ; i++)
	{
		ReadRuleset *r = &read_rulesets[i];

		if (r->ruleset != NULL && r->schema == book->schema && r->revision == revision)
		{
			r->last_use = ++read_counter;
			return r->ruleset;
		}
		if (r->last_use < place->last_use)
			place = r;
	}
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
 * settle._minor_units(unit text) returns int
 */
PG_FUNCTION_INFO_V1(settle_minor_units_sql);
Datum
settle_minor_units_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(settle_minor_units(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* ---- triggers ---- */

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

/*
 * settle.refuse_change() returns trigger
 *
 * Statement trigger on append-only tables.
 */
PG_FUNCTION_INFO_V1(settle_refuse_change);
Datum
settle_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *table;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.refuse_change is not called as a trigger")));
	table = RelationGetRelationName(trigger->tg_relation);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" of a book is append-only", table),
			 strcmp(table, "change") == 0 || strncmp(table, "seal", 4) == 0 ? 0
			 : errhint("Change the ticket or the rules: a run posts the difference as a further revision.")));
}

/*
 * settle.keep_used_rule() returns trigger
 *
 * Row trigger on the rules: a version that sheets refer to can be ended, but
 * neither removed nor changed, since what was posted takes its component, unit
 * and tally from it.
 */
PG_FUNCTION_INFO_V1(settle_keep_used_rule);
Datum
settle_keep_used_rule(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	SettleBook	book;
	SettleIdentity identity;
	Oid			type = INT4OID;
	Datum		id;
	bool		isnull;
	bool		used;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.keep_used_rule is not called as a BEFORE UPDATE OR DELETE row trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	desc = RelationGetDescr(trigger->tg_relation);
	SPI_connect();
	id = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "rule_id"), &isnull);
	identity = settle_book_enter(&book);
	/* whoever posts with it by now has to be seen, and nobody else begins to */
	LockRelationOid(get_relname_relid("gate", book.schema), ShareRowExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());
	used = SPI_execute_with_args(psprintf("SELECT FROM %s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
										  "WHERE l.rule_id OPERATOR(pg_catalog.=) $1 LIMIT 1", book.name), 1, &type, &id, NULL, true, 1) == SPI_OK_SELECT &&
		SPI_processed > 0;
	PopActiveSnapshot();
	settle_book_leave(identity);
	if (used)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rule \"%s\" has settled tickets and can only be ended", SPI_getvalue(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "code"))),
				 errhint("End it with settle.end_rule and add the version that follows with settle.add_rule.")));
	SPI_finish();
	return PointerGetDatum(TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? trigger->tg_trigtuple : trigger->tg_newtuple);
}

/* ---- definitions ---- */

/*
 * settle.add_rule(book regnamespace, ...) returns void, and add_choice,
 * add_decision, add_outcome
 *
 * Inserts a row into the table that the function is named after: parameters
 * are columns; without "valid" a row is in force from where settle_default_valid
 * says.  The table's trigger checks what the rules have become.
 */
PG_FUNCTION_INFO_V1(settle_add_definition);
Datum
settle_add_definition(PG_FUNCTION_ARGS)
{
	HeapTuple	proc;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			nparams;
	const char *table;
	StringInfoData columns;
	StringInfoData values;
	Oid			arg_types[FUNC_MAX_ARGS];
	Datum		args[FUNC_MAX_ARGS];
	char		nulls[FUNC_MAX_ARGS];
	int			nargs = 0;
	Oid			valid_type = InvalidOid;	/* of a "valid" that is left out */
	const char *pack = NULL;
	SettleBook	book;
	SettleIdentity identity;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("book is null")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_CLERK);

	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	nparams = get_func_arg_info(proc, &types, &names, &modes);
	table = pstrdup(NameStr(((Form_pg_proc) GETSTRUCT(proc))->proname) + strlen("add_"));
	ReleaseSysCache(proc);

	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 1; i < nparams; i++)
	{
		/* a null is a null, not the default, or a price that a sub-select did not find would be 100 % */
		if (PG_ARGISNULL(i) && strcmp(names[i], "valid") == 0)
		{
			if (types[i] == TSTZRANGEOID)
				valid_type = types[i];
			continue;
		}
		if (!PG_ARGISNULL(i) && strcmp(names[i], "pack") == 0)
			pack = text_to_cstring(PG_GETARG_TEXT_PP(i));
		if (types[i] == REGCLASSOID && !PG_ARGISNULL(i))
			settle_book_check_relation(&book, PG_GETARG_OID(i));
		appendStringInfo(&columns, "%s%s", nargs == 0 ? "" : ", ", quote_identifier(names[i]));
		arg_types[nargs] = types[i];
		nulls[nargs] = PG_ARGISNULL(i) ? 'n' : ' ';
		args[nargs++] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		appendStringInfo(&values, "%s$%d", nargs == 1 ? "" : ", ", nargs);
	}

	identity = settle_book_enter(&book);
	SPI_connect();
	if (valid_type != InvalidOid)
	{
		appendStringInfo(&columns, "%svalid", nargs == 0 ? "" : ", ");
		arg_types[nargs] = valid_type;
		nulls[nargs] = ' ';
		args[nargs++] = settle_default_valid(&book, pack);
		appendStringInfo(&values, "%s$%d", nargs == 1 ? "" : ", ", nargs);
	}
	settle_book_execute(psprintf("INSERT INTO %s.%s (%s) VALUES (%s)", book.name, quote_identifier(table), columns.data, values.data),
						nargs, arg_types, args, nulls, SPI_OK_INSERT);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}

/*
 * settle.end_rule(book regnamespace, code text, at timestamptz, pack text
 *				   default 'base') returns void
 *
 * Ends the version that is in force at an instant.
 */
PG_FUNCTION_INFO_V1(settle_end_rule);
Datum
settle_end_rule(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID};
	Datum		args[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};
	SettleIdentity identity;
	uint64		n;

	settle_book_check_level(&book, SETTLE_CLERK);
	identity = settle_book_enter(&book);
	SPI_connect();
	n = settle_book_execute(psprintf("UPDATE %s.rule SET valid = pg_catalog.tstzrange(pg_catalog.lower(valid), $2) "
									 "WHERE code OPERATOR(pg_catalog.=) $1 AND pack OPERATOR(pg_catalog.=) $3 AND valid OPERATOR(pg_catalog.@>) $2 "
									 "AND pg_catalog.lower(valid) IS DISTINCT FROM $2", book.name),
							3, types, args, NULL, SPI_OK_UPDATE);
	SPI_finish();
	settle_book_leave(identity);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no version of rule \"%s\" is in force before and at %s", text_to_cstring(PG_GETARG_TEXT_PP(1)),
						DatumGetCString(DirectFunctionCall1(timestamptz_out, args[1])))));
	PG_RETURN_VOID();
}

/* ---- sources ---- */

/*
 * settle.add_source(book regnamespace, source name, relation regclass, key
 *					 text, ready_at text, ...) returns void
 *
 * Registers a relation and, where it is a table, the triggers that capture its
 * changes: on a partitioned table they are cloned to every partition, on the
 * children of an ordinary table they are created one by one.
 */
PG_FUNCTION_INFO_V1(settle_add_source);
Datum
settle_add_source(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"source", "relation", "key", "ready_at", "rules_at", "period_at", "project", "region",
		"revenue", "cost", "tax", "currency", "reverses", "on_delete", "order_ref", "rework_of"
	};
	Oid			types[lengthof(names)];
	Datum		args[lengthof(names)];
	char		nulls[lengthof(names) + 1];
	StringInfoData columns;
	StringInfoData values;
	SettleBook	book;
	SettleIdentity identity;
	const char *source;
	Oid			relid;
	char		kind;
	bool		at_commit;
	bool		isnull;

	for (int i = 0; i < 5; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s of a source is null", i == 0 ? "book" : i == 1 ? "name" : names[i - 1]),
					 errhint("A source needs a name, a relation, an expression for its key and one for the time at which a ticket is ready.")));
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_ADMIN);
	source = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	relid = PG_GETARG_OID(2);
	kind = get_rel_relkind(relid);
	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be a source", get_rel_name(relid)),
				 errhint("A source is a table, a partitioned table, a view or a foreign table.")));
	settle_book_check_relation(&book, relid);
	if (!PG_ARGISNULL(14))
	{
		const char *on_delete = text_to_cstring(PG_GETARG_TEXT_PP(14));

		if (strcmp(on_delete, "hold") != 0 && strcmp(on_delete, "reverse") != 0 && strcmp(on_delete, "ignore") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown on_delete \"%s\"", on_delete),
					 errhint("Known are hold, reverse and ignore.")));
	}
	if (pg_class_aclcheck(relid, book.owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of book \"%s\" cannot read \"%s\"", book.label, get_rel_name(relid)),
				 errhint("GRANT SELECT ON %s TO %s.", quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
						 quote_identifier(GetUserNameFromId(book.owner, false)))));

	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 0; i < lengthof(names); i++)
	{
		types[i] = i == 0 ? NAMEOID : i == 1 ? REGCLASSOID : TEXTOID;
		args[i] = PG_ARGISNULL(i + 1) ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
		nulls[i] = PG_ARGISNULL(i + 1) ? 'n' : ' ';
		appendStringInfo(&columns, ", %s", names[i]);
		appendStringInfo(&values, ", $%d", i + 1);
	}
	nulls[lengthof(names)] = '\0';

	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("INSERT INTO %1$s.source (source_id%2$s) "
								 "SELECT pg_catalog.max(s.source_id) OPERATOR(pg_catalog.+) 1%3$s FROM %1$s.source AS s",
								 book.name, columns.data, values.data),
						lengthof(names), types, args, nulls, SPI_OK_INSERT);
	settle_book_execute(psprintf("SELECT b.settle_on OPERATOR(pg_catalog.=) 'commit' FROM %s.book AS b", book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	/* rows of periods are written by the code of the book, which settles them itself and may queue no deferred trigger */
	at_commit = DatumGetBool(settle_spi_datum(0, 1, &isnull)) && strcmp(source, SETTLE_PERIOD_SOURCE) != 0;
	if (kind == RELKIND_PARTITIONED_TABLE || kind == RELKIND_RELATION)
	{
		ListCell   *lc;

		foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
			/* row triggers are cloned to partitions, statement triggers are not */
			if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE)
				settle_create_capture(&book, source, lfirst_oid(lc), !get_rel_relispartition(lfirst_oid(lc)) || lfirst_oid(lc) == relid, true, at_commit);
	}
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_VOID();
}
