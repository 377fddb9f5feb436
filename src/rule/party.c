/*
 * party.c
 *		The parties of a compiled ruleset: one object for each code, found by its
 *		bytes, and what templates gave before.
 *
 * Parties and what remembers them live in a context of their own, so that they
 * can be forgotten together; "party_generation" tells what is left from before.
 */
#include "rule/compile.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct CodeKey
{
	const char *bytes;
	uint32		len;
} CodeKey;

typedef struct CodeEntry
{
	CodeKey		key;
	uint32		hash;
	char		status;
	SettleParty *party;
} CodeEntry;

#define SH_PREFIX			codes
#define SH_ELEMENT_TYPE		CodeEntry
#define SH_KEY_TYPE			CodeKey
#define SH_KEY				key
#define SH_HASH_KEY(tb, k)	hash_bytes((const unsigned char *) (k).bytes, (int) (k).len)
#define SH_EQUAL(tb, a, b)	((a).len == (b).len && memcmp((a).bytes, (b).bytes, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	((a)->hash)
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Most party codes are built of one number, and most numbers are small: they are places of an array. */
#define SMALL_NUMBERS	65536

typedef struct NumberEntry
{
	int64		number;
	SettleParty *party;
	char		status;
} NumberEntry;

#define SH_PREFIX			numbers
#define SH_ELEMENT_TYPE		NumberEntry
#define SH_KEY_TYPE			int64
#define SH_KEY				number
#define SH_HASH_KEY(tb, k)	murmurhash32((uint32) (k) ^ murmurhash32((uint32) ((uint64) (k) >> 32)))
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

void
settle_set_init_parties(SettleSet *set)
{
	set->party_context = AllocSetContextCreate(set->context, "scrm_settle parties", ALLOCSET_DEFAULT_SIZES);
	set->parties = codes_create(set->party_context, 256, NULL);
	set->nparties = 0;
	set->party_generation++;
}

int
settle_set_nparties(const SettleSet *set)
{
	return set->nparties;
}

/*
 * Forgets all parties and what templates gave, so that memory stays bounded
 * however many customers there are.  Pointers to parties die with them.
 */
void
settle_set_forget_parties(SettleSet *set)
{
	ListCell   *lc;

	MemoryContextDelete(set->party_context);
	settle_set_init_parties(set);
	/* currencies are codes of that table, too */
	foreach(lc, set->pricings)
		((Pricing *) lfirst(lc))->rounding_unit = NULL;
}

void
settle_set_bound_parties(SettleSet *set)
{
	if (set->pins == 0 && set->nparties > SETTLE_KEEP_PARTIES)
		settle_set_forget_parties(set);
}

/*
 * Finds the party of a code, making it when it is new.
 */
SettleParty *
settle_party_of(SettleSet *set, const char *code, Size len)
{
	CodeKey		key = {code, (uint32) len};
	CodeEntry  *entry = codes_lookup(set->parties, key);
	bool		found;
	MemoryContext old;
	char	   *copy;

	if (entry != NULL)
		return entry->party;
	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_NULL_TERM),
				 errmsg("a party has an empty code")));
	if (len > SETTLE_MAX_CODE)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("a party has a code of %zu bytes", len),
				 errdetail("A code has at most %d bytes.", SETTLE_MAX_CODE)));
	old = MemoryContextSwitchTo(set->party_context);
	copy = pnstrdup(code, len);
	key.bytes = copy;
	entry = codes_insert(set->parties, key, &found);
	entry->party = palloc(sizeof(SettleParty));
	entry->party->code = copy;
	entry->party->ordinal = set->nparties++;
	MemoryContextSwitchTo(old);
	return entry->party;
}

/*
 * Makes room for a small number.
 */
static void
grow_small_numbers(SettleSet *set, Term *term, uint32 number)
{
	uint32		n = Max(pg_nextpower2_32(number + 1), 256);
	SettleParty **places = MemoryContextAllocZero(set->party_context, sizeof(SettleParty *) * n);

	if (term->small_numbers != NULL)
	{
		memcpy(places, term->small_numbers, sizeof(SettleParty *) * term->nsmall_numbers);
		pfree(term->small_numbers);
	}
	term->small_numbers = places;
	term->nsmall_numbers = n;
}

/*
 * Finds what a template gave before for the value of the one column it reads.
 * A place that is returned without a party is to be filled.
 */
static SettleParty **
recall_party(SettleSet *set, Term *term)
{
	Datum		value = set->slot->tts_values[term->memo_position - 1];
	CodeKey		key;
	CodeEntry  *entry;
	MemoryContext old;
	bool		found;
	char	   *copy;

	if (term->memo_generation != set->party_generation)
	{
		/* the tables went with the parties */
		term->memo = NULL;
		term->numbers = NULL;
		term->small_numbers = NULL;
		term->nsmall_numbers = 0;
		term->memo_generation = set->party_generation;
	}
	if (term->memo_by_number)
	{
		NumberEntry *number;

		if (value < SMALL_NUMBERS)
		{
			if (value >= term->nsmall_numbers)
				grow_small_numbers(set, term, (uint32) value);
			return &term->small_numbers[value];
		}
		if (term->numbers == NULL)
			term->numbers = numbers_create(set->party_context, 256, NULL);
		number = numbers_insert(term->numbers, (int64) value, &found);
		if (!found)
			number->party = NULL;
		return &number->party;
	}
	if (term->memo_length != -1 || VARATT_IS_EXTERNAL(DatumGetPointer(value)) || VARATT_IS_COMPRESSED(DatumGetPointer(value)))
		return NULL;
	if (term->memo == NULL)
		term->memo = codes_create(set->party_context, 256, NULL);
	key = (CodeKey) {VARDATA_ANY(DatumGetPointer(value)), (uint32) VARSIZE_ANY_EXHDR(DatumGetPointer(value))};
	entry = codes_lookup(term->memo, key);
	if (entry == NULL)
	{
		old = MemoryContextSwitchTo(set->party_context);
		copy = palloc(Max(key.len, 1));
		memcpy(copy, key.bytes, key.len);
		key.bytes = copy;
		entry = codes_insert(term->memo, key, &found);
		entry->party = NULL;
		MemoryContextSwitchTo(old);
	}
	return &entry->party;
}

/*
 * Computes a party template.  One that reads a single column remembers what it
 * gave for each value, which saves building the code again for every ticket.
 */
SettleParty *
settle_term_find_party(SettleSet *set, Term *term, const CompiledRule *rule, const char *part)
{
	SettleParty **place = NULL;
	SettleParty *party;
	Datum		value;
	bool		isnull;
	text	   *code;

	if (term->is_const && term->party != NULL && term->memo_generation == set->party_generation)
	{
		term->party_epoch = set->epoch;
		return term->party;
	}

	if (term->memo_position > 0 && !set->slot->tts_isnull[term->memo_position - 1])
		place = recall_party(set, term);
	if (place != NULL && *place != NULL)
		party = *place;
	else
	{
		value = settle_term_value(set, term, &isnull);
		if (isnull)
			settle_refuse_null_part(rule, part);
		code = DatumGetTextPP(value);
		party = settle_party_of(set, VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code));
		if (place != NULL)
			*place = party;
		else if (term->is_const)
			term->memo_generation = set->party_generation;
	}
	term->party = party;
	term->party_epoch = set->epoch;
	return party;
}
