/*
 * set.c
 *		Compiled rulesets: keeping them, and what may be asked of one.
 *
 * They are kept per backend under (digest of the ruleset, source, row type
 * identifier).  The key is the content, so an entry is never wrong: an edit of
 * the rules has another digest, an ALTER of the row type another identifier,
 * and no invalidation is needed.  A set is built in a context of its own that
 * is attached to CacheMemoryContext only when it is complete.
 */
#include "rule/compile.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

/* How many compiled sets a backend keeps beyond those in use. */
#define KEEP_SETS	16

static SettleSet **sets = NULL;
static int	nsets = 0;			/* places, some of which may be empty */
static uint64 use_counter = 0;

/*
 * Identifies a row type: the number changes whenever the type is altered, and
 * it exists for anonymous records too.  A type that is not blessed yet has none.
 */
static uint64
identify_row_type(TupleDesc row_type)
{
	return assign_record_type_identifier(row_type->tdtypeid, row_type->tdtypmod);
}

/*
 * Lets go of all sets at the end of a transaction, whoever still holds one
 * because an error took him away.
 */
static void
release_all(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE || event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	for (int i = 0; i < nsets; i++)
		if (sets[i] != NULL)
			sets[i]->pins = 0;
}

SettleSet *
settle_set_find(const uint8 *digest, const char *source, TupleDesc row_type)
{
	uint64		type;

	if (row_type->tdtypeid == RECORDOID && row_type->tdtypmod < 0)
		assign_record_type_typmod(row_type);
	type = identify_row_type(row_type);
	for (int i = 0; i < nsets; i++)
	{
		SettleSet  *set = sets[i];

		if (set == NULL || set->row_type != type || memcmp(set->digest, digest, SETTLE_DIGEST_LEN) != 0 || strcmp(set->source, source) != 0)
			continue;
		set->pins++;
		set->last_use = ++use_counter;
		set->duplicate_of = NULL;
		/* whoever answered before may be gone */
		set->reader = settle_given_facts(NULL);
		return set;
	}
	return NULL;
}

SettleSet *
settle_set_get(const SettleRuleset *ruleset, const char *source, TupleDesc row_type)
{
	static bool registered = false;
	int			place = -1;
	MemoryContext context;
	MemoryContext old;
	SettleSet  *set = settle_set_find(ruleset->digest, source, row_type);

	if (set != NULL)
		return set;
	if (!registered)
	{
		RegisterXactCallback(release_all, NULL);
		registered = true;
	}
	for (int i = 0; i < nsets; i++)
		if (sets[i] == NULL)
			place = i;
	/* those that were not used for longest make room: several, where a transaction that failed has held many */
	for (int kept = nsets; kept >= KEEP_SETS;)
	{
		int			oldest = -1;

		kept = 0;
		for (int i = 0; i < nsets; i++)
		{
			if (sets[i] == NULL)
				continue;
			kept++;
			if (sets[i]->pins == 0 && (oldest < 0 || sets[i]->last_use < sets[oldest]->last_use))
				oldest = i;
		}
		if (oldest < 0 || kept < KEEP_SETS)
			break;
		set = sets[oldest];
		sets[oldest] = NULL;
		MemoryContextDelete(set->context);
		place = oldest;
	}
	if (place < 0)
	{
		Size		size = sizeof(SettleSet *) * (nsets + 1);

		sets = sets == NULL ? MemoryContextAlloc(TopMemoryContext, size) : repalloc(sets, size);
		place = nsets;
		sets[nsets++] = NULL;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle ruleset", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	set = settle_compile(ruleset, source, row_type);
	MemoryContextSwitchTo(old);
	set->row_type = identify_row_type(row_type);
	set->pins = 1;
	set->reader = settle_given_facts(NULL);
	set->last_use = ++use_counter;
	MemoryContextSetParent(context, CacheMemoryContext);
	MemoryContextSetIdentifier(context, set->source);
	sets[place] = set;
	return set;
}

void
settle_set_release(SettleSet *set)
{
	set->pins--;
}

/* ---- questions ---- */

TupleTableSlot *
settle_set_slot(SettleSet *set)
{
	return set->slot;
}

const Bitmapset *
settle_set_uses(const SettleSet *set)
{
	return set->uses;
}

void
settle_set_ask(SettleSet *set, SettleReader reader)
{
	set->reader = reader;
}

const char *
settle_set_time_zone(const SettleSet *set)
{
	return set->def->time_zone;
}

SettleNumbers *
settle_set_numbers(SettleSet *set)
{
	return &set->numbers;
}

/*
 * Keeps a copy of the numbers.
 */
void
settle_set_remember_numbers(SettleSet *set, SettleNumbers numbers)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (OidIsValid(set->numbers.schema))
	{
		pfree(set->numbers.rule_ids);
		pfree(set->numbers.rules);
	}
	set->numbers.schema = InvalidOid;
	numbers.rule_ids = memcpy(palloc(sizeof(int) * Max(set->nrules, 1)), numbers.rule_ids, sizeof(int) * set->nrules);
	numbers.rules = memcpy(MemoryContextAllocHuge(set->context, sizeof(SettleRule *) * numbers.nrule_ids), numbers.rules, sizeof(SettleRule *) * numbers.nrule_ids);
	/* these are the set's, whatever the numbers are */
	numbers.input_names = set->numbers.input_names;
	set->numbers = numbers;
	MemoryContextSwitchTo(old);
}

void
settle_set_remember_input_names(SettleSet *set, struct varlena *names)
{
	set->numbers.input_names = memcpy(MemoryContextAlloc(set->context, VARSIZE(names)), names, VARSIZE(names));
}

Oid
settle_set_path_type(const SettleSet *set)
{
	return set->scope.names[set->t0 - 1 + T_PROJECT].type;
}

/*
 * Gives the expression that tells when a ticket is ready, NULL where it needs
 * more than the ticket's columns.
 */
const char *
settle_set_ready_at(const SettleSet *set)
{
	return set->fields[T_READY_AT]->nneeds > 0 ? NULL : set->fields[T_READY_AT]->expr->canonical;
}

/*
 * Gives the expression for the time of a ticket, by which scans are bounded.
 */
const char *
settle_set_time(const SettleSet *set)
{
	Term	   *term = set->fields[T_PERIOD_AT] != NULL ? set->fields[T_PERIOD_AT] : set->fields[T_READY_AT];

	if (term->nneeds > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tickets of source \"%s\" cannot be bounded by time", set->source),
				 errdetail("Their time is an expression over more than their columns."),
				 errhint("Rescan the source without bounds.")));
	return term->expr->canonical;
}

/*
 * Gives the expression for the time whose rules a ticket is settled by, NULL
 * where it needs more than the ticket's columns.
 */
const char *
settle_set_rules_at(const SettleSet *set)
{
	Term	   *term = set->fields[T_RULES_AT] != NULL ? set->fields[T_RULES_AT] : set->fields[T_READY_AT];

	return term->nneeds > 0 ? NULL : term->expr->canonical;
}

int
settle_set_nrules(const SettleSet *set)
{
	return set->nrules;
}

const SettleRule *
settle_set_rule(const SettleSet *set, int ordinal)
{
	return &set->rules[ordinal]->rule;
}

/*
 * Gives an expression of a key in its canonical text.  Where it only spells one
 * column, an integer or a uuid, as text, tells the column and its type, so
 * that tickets are looked up by the column and its index.
 */
static const char *
key_text(const SettleSet *set, const SettleExpr *key, const char **column, Oid *type)
{
	Node	   *node = (Node *) key->node;

	*column = NULL;
	*type = TEXTOID;
	if (IsA(node, CoerceViaIO))
		node = (Node *) ((CoerceViaIO *) node)->arg;
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, Var))
	{
		switch (((Var *) node)->vartype)
		{
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case UUIDOID:
			case TEXTOID:
			case VARCHAROID:
				*column = set->scope.names[((Var *) node)->varattno - 1].name;
				*type = ((Var *) node)->vartype;
				break;
			default:
				break;
		}
	}
	return key->canonical;
}

const char *
settle_set_key(const SettleSet *set, const char **column, Oid *type)
{
	return key_text(set, set->fields[T_KEY]->expr, column, type);
}

const char *
settle_set_reverses(const SettleSet *set, const char **column, Oid *type)
{
	return set->reverses == NULL ? NULL : key_text(set, set->reverses->expr, column, type);
}

const Bitmapset *
settle_set_amounts(const SettleSet *set)
{
	return set->amounts;
}

bool
settle_set_needs_settings(const SettleSet *set)
{
	return set->needs_settings;
}

bool
settle_set_has_orders(const SettleSet *set)
{
	return set->fields[T_ORDER_REF] != NULL;
}

bool
settle_set_has_repeats(const SettleSet *set)
{
	return set->fields[T_ORDER_REF] != NULL || set->fields[T_REWORK_OF] != NULL;
}

void
settle_set_duplicate_of(SettleSet *set, const char *key)
{
	set->duplicate_of = key;
}

const char *
settle_set_failing(const SettleSet *set)
{
	return set->failing == NULL && set->failing_rule != NULL ? set->failing_rule->code : set->failing;
}
