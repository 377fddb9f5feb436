/*
 * bits.c
 *		Makes sets of conditions; bits.h tells what they look like.
 */
#include "rule/bits.h"

#include "utils/memutils.h"

/* More words than this are kept as a whole bitmap. */
#define MAX_EXTRAS	64

#define CACHE_LINE	64
#define BLOCK		(32 * 1024)

SettleBitsSpace
settle_bits_space(int nconditions)
{
	int			nwords = Max((nconditions + 63) / 64, 1);
	SettleBitsSpace space = {.context = CurrentMemoryContext, .nwords = nwords, .nsummary = (nwords + 63) / 64};

	space.all = palloc(sizeof(int) * nwords);
	for (int w = 0; w < nwords; w++)
		space.all[w] = w;
	return space;
}

/*
 * Finds room for a set.
 */
static SettleBits
place_set(SettleBitsSpace *space, Size nwords)
{
	Size		size = sizeof(uint64) * nwords;
	Size		offset = (uintptr_t) space->next & (CACHE_LINE - 1);
	Size		skip = offset + Min(size, CACHE_LINE) > CACHE_LINE ? CACHE_LINE - offset : 0;
	SettleBits	set;

	if (size > BLOCK / 4)
		return MemoryContextAllocHuge(space->context, size);
	if (space->room < skip + size)
	{
		space->next = (char *) TYPEALIGN(CACHE_LINE, MemoryContextAlloc(space->context, BLOCK + CACHE_LINE));
		space->room = BLOCK;
		skip = 0;
	}
	set = (SettleBits) (space->next + skip);
	space->next += skip + size;
	space->room -= skip + size;
	return set;
}

SettleBits
settle_bits_make(SettleBitsSpace *space, SettleBits copy_of)
{
	Size		nwords = (Size) 1 + space->nsummary + space->nwords;
	SettleBits	set = place_set(space, nwords);

	if (copy_of != NULL)
		memcpy(set, copy_of, sizeof(uint64) * nwords);
	else
		memset(set, 0, sizeof(uint64) * nwords);
	set[0] = SETTLE_WHOLE;
	return set;
}

void
settle_bits_load(const SettleBitsSpace *space, SettleBits into, SettleBits from, SettleBits otherwise)
{
	uint64	   *words = settle_bits_words(space, into);

	memcpy(settle_bits_summary(into), settle_bits_summary(from), sizeof(uint64) * space->nsummary);
	memset(words, -1, sizeof(uint64) * space->nwords);
	settle_bits_intersect(space, from, otherwise, space->all, space->nwords, words);
}

SettleBits
settle_bits_keep(SettleBitsSpace *space, SettleBits whole, SettleBits otherwise)
{
	const uint64 *words = settle_bits_words(space, whole);
	const uint64 *others = settle_bits_words(space, otherwise);
	SettleBits	set;
	uint16	   *number;
	uint64	   *extra;
	int			n = 0;

	for (int w = 0; w < space->nwords; w++)
		n += words[w] != others[w];
	if (space->nwords <= SETTLE_FEW_WORDS || space->nwords > SETTLE_NO_WORD || n > MAX_EXTRAS || 2 * n >= space->nwords)
		return settle_bits_make(space, whole);
	set = place_set(space, (Size) 1 + space->nsummary + SETTLE_NUMBERS_WORDS(n) + n);
	set[0] = n;
	memcpy(settle_bits_summary(set), settle_bits_summary(whole), sizeof(uint64) * space->nsummary);
	number = (uint16 *) settle_bits_words(space, set);
	extra = settle_bits_words(space, set) + SETTLE_NUMBERS_WORDS(n);
	for (int w = 0; w < space->nwords; w++)
		if (words[w] != others[w])
		{
			*number++ = (uint16) w;
			*extra++ = words[w];
		}
	*number = SETTLE_NO_WORD;
	return set;
}
