/*
 * fact.c
 *		Facts of a book: reading their definitions, and their values for whoever
 *		evaluates tickets.
 *
 * Values are read as the owner of the book, inside settle_book_enter and the
 * pinned environment, and remembered for one run: the first keys one by one,
 * so that a ticket settled at commit costs one look-up in an index; who asks
 * for more gets a relation that is not too large read whole, so that a large
 * run costs no query per ticket.  What has changed since stays unseen until the
 * next run, and re-prices nothing by itself.
 */
#include "book/fact.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

/* ---- definitions ---- */

/* The expressions of a fact over the row of its relation. */
typedef struct FactTexts
{
	SettleExpr *key;
	SettleExpr *valid;			/* NULL: always */
	SettleExpr *value;
	const char *type;			/* name of the type of its value */
} FactTexts;

/*
 * Reads the expressions of a fact, inside the pinned environment.
 */
static FactTexts
read_texts(const char *fact, TupleDesc row, const char *key, const char *valid, const char *value)
{
	SettleScope scope = {row->natts, palloc0(sizeof(SettleName) * row->natts)};
	Oid			ltree = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("ltree"), ObjectIdGetDatum(settle_ltree_schema(NULL)));
	FactTexts	texts = {0};

	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(row, i);

		scope.names[i] = (SettleName)
		{
			NULL, a->attisdropped ? NULL : pstrdup(NameStr(a->attname)), a->atttypid, a->atttypmod, a->attcollation
		};
	}
	texts.key = settle_expr_read(key, &scope, InvalidOid, psprintf("key of fact \"%s\"", fact));
	texts.value = settle_expr_read(value, &scope, InvalidOid, psprintf("value of fact \"%s\"", fact));
	texts.type = settle_fact_type_name(texts.value->type, ltree);
	if (texts.type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("value of fact \"%s\" is of type %s", fact, format_type_be(texts.value->type)),
				 errdetail("A fact is numeric, text, boolean, date, timestamptz, ltree, jsonb or text[]."),
				 errhint("Cast it: value => '(%s)::text'.", value)));
	if (valid == NULL)
		return texts;
	texts.valid = settle_expr_read(valid, &scope, InvalidOid, psprintf("validity of fact \"%s\"", fact));
	if (texts.valid->type != TSTZRANGEOID && texts.valid->type != DATERANGEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("validity of fact \"%s\" is of type %s", fact, format_type_be(texts.valid->type)),
				 errhint("Give a tstzrange or a daterange, for example valid => 'daterange(from_day, to_day)'.")));
	return texts;
}

/*
 * Gives a column of the row that a trigger is to store, as text.
 */
static char *
new_text(TriggerData *trigger, HeapTuple row, const char *column)
{
	return SPI_getvalue(row, RelationGetDescr(trigger->tg_relation), SPI_fnumber(RelationGetDescr(trigger->tg_relation), column));
}

/*
 * settle.vet_fact() returns trigger
 *
 * Row trigger on the facts of a book: refuses what its relation cannot answer,
 * and writes down the type of the value, so that rules can be compiled
 * without the relation.
 */
PG_FUNCTION_INFO_V1(settle_vet_fact);
Datum
settle_vet_fact(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	SettleBook	book;
	SettleIdentity identity;
	const char *fact;
	const char *key;
	const char *value;
	Oid			relid;
	char		kind;
	bool		isnull;
	Relation	relation;
	FactTexts	texts;
	int			column;
	Datum		type;
	int			nestlevel;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.vet_fact is not called as a BEFORE INSERT OR UPDATE row trigger")));
	desc = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	fact = new_text(trigger, row, "fact");
	key = new_text(trigger, row, "key");
	value = new_text(trigger, row, "value");
	relid = DatumGetObjectId(SPI_getbinval(row, desc, SPI_fnumber(desc, "relation"), &isnull));
	/* the table's constraints say it of the others */
	if (fact == NULL || key == NULL || isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of a fact is null", fact == NULL ? "name" : key == NULL ? "key" : "relation"),
				 errhint("A fact needs a name, a relation and an expression for the key of its rows.")));
	kind = get_rel_relkind(relid);
	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot hold a fact", get_rel_name(relid)),
				 errhint("A fact comes from a table, a partitioned table, a view or a foreign table.")));
	if (pg_class_aclcheck(relid, book.owner, ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of book \"%s\" cannot read \"%s\"", book.label, get_rel_name(relid)),
				 errhint("GRANT SELECT ON %s TO %s.", quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
						 quote_identifier(GetUserNameFromId(book.owner, false)))));

	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("SELECT b.time_zone FROM %s.book AS b", book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	nestlevel = settle_env_enter(SPI_processed == 1 ? TextDatumGetCString(settle_spi_datum(0, 1, &isnull)) : "UTC");
	relation = relation_open(relid, AccessShareLock);
	texts = read_texts(fact, RelationGetDescr(relation), key, new_text(trigger, row, "valid"),
					   value != NULL ? value : quote_identifier(fact));
	relation_close(relation, NoLock);
	settle_env_leave(nestlevel);
	column = SPI_fnumber(desc, "type");
	type = CStringGetTextDatum(texts.type);
	row = SPI_modifytuple(trigger->tg_relation, row, 1, &column, &type, NULL);
	SPI_finish();
	settle_book_leave(identity);
	return PointerGetDatum(row);
}

/* ---- queries ---- */

/*
 * How the values of a fact are read.  It is kept by the backend as long as
 * relation, texts and zone are the same: the row type's number changes with
 * the relation.
 */
typedef struct FactQuery
{
	Oid			relation;
	uint64		row_type;
	char	   *identity;		/* zone, type and texts */
	Oid			key_type;		/* what one key is asked by */
	SPIPlanPtr	one;
	SPIPlanPtr	all;
	uint64		last_use;
} FactQuery;

#define KEEP_QUERIES	32

static FactQuery queries[KEEP_QUERIES];
static uint64 query_counter = 0;

/*
 * Finds what a key can be asked by so that an index serves: the column itself,
 * where the key is nothing else.
 */
static Oid
key_type(const SettleExpr *key)
{
	Node	   *node = (Node *) key->node;

	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, Var))
		switch (((Var *) node)->vartype)
		{
			case INT2OID:
			case INT4OID:
			case INT8OID:
				return INT8OID;
			case UUIDOID:
				return UUIDOID;
			case TEXTOID:
			case VARCHAROID:
				return TEXTOID;
			default:
				break;
		}
	return InvalidOid;
}

static SPIPlanPtr
keep_plan(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Prepares how a fact is read.
 */
static void
prepare_query(FactQuery *query, Relation relation, const SettleFactDef *def, Oid type)
{
	FactTexts	texts = read_texts(def->fact, RelationGetDescr(relation), def->key, def->valid, def->value);
	const char *valid = "'(,)'::pg_catalog.tstzrange";
	Oid			types[] = {TEXTOID, InvalidOid};
	StringInfoData sql;

	if (strcmp(texts.type, def->type) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("value of fact \"%s\" is of type %s now, and was %s when the fact was added", def->fact, texts.type, def->type),
				 errhint("Update the row of the fact, and look at the rules that use it.")));
	if (texts.valid != NULL && texts.valid->type == TSTZRANGEOID)
		valid = texts.valid->canonical;
	else if (texts.valid != NULL)
		valid = psprintf("CASE WHEN pg_catalog.isempty(%1$s) THEN 'empty'::pg_catalog.tstzrange "
						 "ELSE pg_catalog.tstzrange(pg_catalog.lower(%1$s)::pg_catalog.timestamptz, pg_catalog.upper(%1$s)::pg_catalog.timestamptz) END", texts.valid->canonical);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT (%s)::pg_catalog.text, %s, (%s)::%s FROM %s", texts.key->canonical, valid,
					 texts.value->canonical, format_type_be_qualified(type),
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation)));
	query->all = keep_plan(sql.data, 0, NULL);
	/* two keys are one only where every byte is, whatever the column's collation says; its index is under that collation */
	appendStringInfo(&sql, " WHERE (%s)::pg_catalog.text COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) $1", texts.key->canonical);
	types[1] = key_type(texts.key);
	if (OidIsValid(types[1]))
		appendStringInfo(&sql, " AND %s OPERATOR(pg_catalog.=) $2", texts.key->canonical);
	query->one = keep_plan(sql.data, OidIsValid(types[1]) ? 2 : 1, types);
	query->key_type = types[1];
}

/*
 * Finds how a fact is read, inside the pinned environment and SPI.
 */
static FactQuery *
find_query(Relation relation, const SettleFactDef *def, Oid type)
{
	uint64		row_type = assign_record_type_identifier(RelationGetDescr(relation)->tdtypeid, -1);
	char	   *identity = psprintf("%s\n%s\n%s\n%s\n%s", pg_get_timezone_name(session_timezone), def->type, def->key,
									def->valid == NULL ? "" : def->valid, def->value);
	FactQuery  *place = &queries[0];
	FactQuery	made = {0};

	for (int i = 0; i < KEEP_QUERIES; i++)
	{
		FactQuery  *query = &queries[i];

		if (query->identity != NULL && query->relation == RelationGetRelid(relation) && query->row_type == row_type &&
			strcmp(query->identity, identity) == 0)
		{
			query->last_use = ++query_counter;
			return query;
		}
		if (query->last_use < place->last_use)
			place = query;
	}
	prepare_query(&made, relation, def, type);
	made.relation = RelationGetRelid(relation);
	made.row_type = row_type;
	made.identity = MemoryContextStrdup(TopMemoryContext, identity);
	made.last_use = ++query_counter;
	if (place->identity != NULL)
	{
		SPI_freeplan(place->one);
		SPI_freeplan(place->all);
		pfree(place->identity);
	}
	*place = made;
	return place;
}

/*
 * Makes the value that a column is compared with of a key's text; false where
 * no value of the column is spelt so.
 */
static bool
key_datum(Oid type, const char *key, Datum *value)
{
	const char *digits = key[0] == '-' ? key + 1 : key;

	switch (type)
	{
		case INT8OID:
			if (digits[0] == '\0' || strlen(digits) > 18 || strspn(digits, "0123456789") != strlen(digits))
				return false;
			*value = DirectFunctionCall1(int8in, CStringGetDatum(key));
			return true;
		case UUIDOID:
			if (strlen(key) != 36 || strspn(key, "0123456789abcdef-") != 36)
				return false;
			for (int i = 0; i < 36; i++)
				if ((key[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
					return false;
			*value = DirectFunctionCall1(uuid_in, CStringGetDatum(key));
			return true;
		default:
			*value = CStringGetTextDatum(key);
			return true;
	}
}

/* ---- values of one run ---- */

/* A value and when it holds, from its start to before its end. */
typedef struct FactRow
{
	TimestampTz from;
	TimestampTz until;
	bool		isnull;
	Datum		value;
	struct FactRow *next;
} FactRow;

typedef struct FactKey
{
	const char *key;
	uint32		hash;
	char		status;
	FactRow    *rows;
} FactKey;

#define SH_PREFIX			fact_keys
#define SH_ELEMENT_TYPE		FactKey
#define SH_KEY_TYPE			const char *
#define SH_KEY				key
#define SH_HASH_KEY(tb, k)	hash_bytes((const unsigned char *) (k), (int) strlen(k))
#define SH_EQUAL(tb, a, b)	(strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	((a)->hash)
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct FactTable
{
	const char *fact;			/* NULL: the rates */
	Oid			relation;
	MemoryContext context;
	fact_keys_hash *keys;
	int			asked;			/* keys read one by one */
	bool		whole;
	bool		too_large;		/* to be read whole */
} FactTable;

struct SettleFacts
{
	SettleBook	book;
	MemoryContext context;
	bool		loaded;
	int			ntables;
	FactTable  *tables;
	FactTable	rates;
};

/* So many keys are read one by one before a relation of at most so many rows is read whole. */
#define ONE_BY_ONE		64
#define LARGEST_WHOLE	1000000
/* As many keys of a relation that is larger are remembered. */
#define KEEP_KEYS		200000

static void
forget_keys(FactTable *table)
{
	MemoryContextReset(table->context);
	table->keys = fact_keys_create(table->context, 256, NULL);
	table->asked = 0;
}

static void
init_table(SettleFacts *facts, FactTable *table, const char *fact, Oid relation)
{
	memset(table, 0, sizeof(*table));
	table->fact = fact;
	table->relation = relation;
	table->context = AllocSetContextCreate(facts->context, "scrm_settle fact", ALLOCSET_DEFAULT_SIZES);
	forget_keys(table);
}

SettleFacts *
settle_facts_open(const SettleBook *book)
{
	SettleFacts *facts = palloc0(sizeof(SettleFacts));

	facts->book = *book;
	facts->context = CurrentMemoryContext;
	return facts;
}

/*
 * Reads which relations the facts of the book come from.
 */
static void
load_facts(SettleFacts *facts)
{
	MemoryContext old;
	bool		isnull;
	int			n;

	n = (int) settle_book_execute(psprintf("SELECT f.fact, f.relation::pg_catalog.oid FROM %s.fact AS f", facts->book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	old = MemoryContextSwitchTo(facts->context);
	facts->tables = palloc0(sizeof(FactTable) * Max(n, 1));
	for (int i = 0; i < n; i++)
		init_table(facts, &facts->tables[i], pstrdup(NameStr(*DatumGetName(settle_spi_datum(i, 1, &isnull)))),
				   DatumGetObjectId(settle_spi_datum(i, 2, &isnull)));
	init_table(facts, &facts->rates, NULL, InvalidOid);
	facts->ntables = n;
	MemoryContextSwitchTo(old);
	facts->loaded = true;
}

/*
 * Finds a key, making it where it is new.
 */
static FactKey *
add_key(FactTable *table, const char *key)
{
	FactKey    *entry = fact_keys_lookup(table->keys, key);
	bool		found;

	if (entry == NULL)
	{
		entry = fact_keys_insert(table->keys, MemoryContextStrdup(table->context, key), &found);
		entry->rows = NULL;
	}
	return entry;
}

/*
 * Remembers the rows of a result: key, when, value.
 */
static void
keep_rows(FactTable *table, Oid type)
{
	int16		len;
	bool		byval;
	TypeCacheEntry *range = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	TupleDesc	desc = SPI_tuptable->tupdesc;
	MemoryContext old = MemoryContextSwitchTo(table->context);

	get_typlenbyval(type, &len, &byval);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		FactRow    *row = palloc0(sizeof(FactRow));
		FactKey    *key;
		RangeBound	lower;
		RangeBound	upper;
		bool		empty;
		Datum		value;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();

		/* a null contains no time */
		value = SPI_getbinval(tuple, desc, 2, &isnull);
		if (isnull)
			continue;
		range_deserialize(range, DatumGetRangeTypeP(value), &lower, &upper, &empty);
		if (empty)
			continue;
		row->from = lower.infinite ? DT_NOBEGIN : DatumGetTimestampTz(lower.val);
		row->until = upper.infinite ? DT_NOEND : DatumGetTimestampTz(upper.val);
		if (!lower.inclusive && !TIMESTAMP_NOT_FINITE(row->from))
			row->from++;
		if (upper.inclusive && !TIMESTAMP_NOT_FINITE(row->until))
			row->until++;
		value = SPI_getbinval(tuple, desc, 1, &isnull);
		if (isnull)
			continue;
		key = add_key(table, TextDatumGetCString(value));
		value = SPI_getbinval(tuple, desc, 3, &row->isnull);
		if (!row->isnull)
			row->value = datumCopy(len == -1 ? PointerGetDatum(PG_DETOAST_DATUM(value)) : value, byval, len);
		row->next = key->rows;
		key->rows = row;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Reads the rows of one key, or all that the relation has.
 */
static void
read_rows(FactTable *table, const SettleFactDef *def, Oid type, const char *key)
{
	Relation	relation = try_relation_open(table->relation, AccessShareLock);
	FactQuery  *query;
	Datum		values[2] = {0};
	bool		spelt = true;

	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the relation of fact \"%s\" is gone", def->fact),
				 errhint("Take the fact out of the rules, or add it anew over another relation.")));
	if (!table->whole && table->asked == ONE_BY_ONE)
	{
		BlockNumber pages;
		double		tuples = relation->rd_rel->reltuples;
		double		visible;

		if (RELKIND_HAS_TABLE_AM(relation->rd_rel->relkind))
			estimate_rel_size(relation, NULL, &pages, &tuples, &visible);
		table->too_large = tuples > LARGEST_WHOLE;
		if (!table->too_large)
		{
			forget_keys(table);
			table->whole = true;
		}
	}
	settle_env_need();
	SPI_connect();
	query = find_query(relation, def, type);
	relation_close(relation, NoLock);
	if (table->whole)
	{
		if (SPI_execute_plan(query->all, NULL, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read fact \"%s\"", def->fact);
		keep_rows(table, type);
	}
	else
	{
		if (table->asked >= KEEP_KEYS)
			forget_keys(table);
		values[0] = CStringGetTextDatum(key);
		if (OidIsValid(query->key_type))
			spelt = key_datum(query->key_type, key, &values[1]);
		if (spelt)
		{
			if (SPI_execute_plan(query->one, values, NULL, false, 0) != SPI_OK_SELECT)
				elog(ERROR, "could not read fact \"%s\"", def->fact);
			keep_rows(table, type);
		}
		(void) add_key(table, key);
		table->asked++;
	}
	SPI_finish();
}

/*
 * Finds the row of a key that holds at an instant; the first of two is told.
 */
static FactRow *
row_at(FactKey *key, TimestampTz at, bool *two)
{
	FactRow    *found = NULL;

	*two = false;
	for (FactRow *row = key == NULL ? NULL : key->rows; row != NULL; row = row->next)
		if (row->from <= at && at < row->until)
		{
			*two |= found != NULL;
			found = row;
		}
	return found;
}

/*
 * Answers for a fact: SettleReader.
 */
static bool
read_fact(void *arg, const SettleFactDef *def, Oid type, const char *key, TimestampTz at, Datum *value)
{
	SettleFacts *facts = arg;
	FactTable  *table = NULL;
	FactKey    *entry;
	FactRow    *row;
	bool		two;
	int16		len;
	bool		byval;

	if (!facts->loaded)
		load_facts(facts);
	for (int i = 0; i < facts->ntables && table == NULL; i++)
		if (strcmp(facts->tables[i].fact, def->fact) == 0)
			table = &facts->tables[i];
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("book \"%s\" has no fact \"%s\"", facts->book.label, def->fact)));
	entry = fact_keys_lookup(table->keys, key);
	if (entry == NULL && !table->whole)
	{
		read_rows(table, def, type, key);
		entry = fact_keys_lookup(table->keys, key);
	}
	row = row_at(entry, at, &two);
	if (two)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_FACT_CONFLICT),
				 errmsg("fact \"%s\" has two values for \"%s\" at %s", def->fact, key,
						DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(at)))),
				 errhint("One row of \"%s\" may hold for a key at a time.", get_rel_name(table->relation))));
	if (row == NULL || row->isnull)
		return false;
	/* what is remembered may be forgotten before the ticket is done */
	get_typlenbyval(type, &len, &byval);
	*value = datumCopy(row->value, byval, len);
	return true;
}

/*
 * Answers for a rate: SettleReader.  Of each pair the rates of the days that
 * tickets have are remembered.
 */
static bool
read_rate(void *arg, const char *from, const char *to, TimestampTz at, Datum *value)
{
	SettleFacts *facts = arg;
	const char *pair = psprintf("%s/%s", from, to);
	FactRow    *row;
	bool		two;

	if (!facts->loaded)
		load_facts(facts);
	row = row_at(fact_keys_lookup(facts->rates.keys, pair), at, &two);
	if (row == NULL)
	{
		Oid			types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
		Datum		values[] = {CStringGetTextDatum(from), CStringGetTextDatum(to), TimestampTzGetDatum(at)};

		SPI_connect();
		settle_book_execute(psprintf("SELECT pg_catalog.concat(r.from_unit, '/', r.to_unit), r.valid, r.rate FROM %s.rate AS r "
									 "WHERE r.from_unit OPERATOR(pg_catalog.=) $1 AND r.to_unit OPERATOR(pg_catalog.=) $2 AND r.valid OPERATOR(pg_catalog.@>) $3", facts->book.name),
							3, types, values, NULL, SPI_OK_SELECT);
		keep_rows(&facts->rates, NUMERICOID);
		SPI_finish();
		row = row_at(fact_keys_lookup(facts->rates.keys, pair), at, &two);
	}
	if (row == NULL)
		return false;
	*value = datumCopy(row->value, false, -1);
	return true;
}

SettleReader
settle_facts_reader(SettleFacts *facts)
{
	return (SettleReader) {read_fact, read_rate, facts};
}
