/*
 * bits.h
 *		Sets of conditions, for the index over them.
 *
 * A set is a bitmap of two levels, bit w of the summary telling whether word w
 * is not zero.  It is one run of words:
 *
 *		number of extras, or SETTLE_WHOLE
 *		the summary
 *		SETTLE_WHOLE: all words; else the numbers of the extras, of 16 bits each
 *		and ended by SETTLE_NO_WORD, then the extras
 *
 * Most sets differ from another one that is at hand anyway, "otherwise", by a
 * few conditions.  They keep only the words that differ, so that the tables of
 * 10,000 conditions stay in the processor's cache; and a set that fits a line
 * of the cache does not lie on two.
 */
#ifndef SETTLE_BITS_H
#define SETTLE_BITS_H

#include "core/core.h"

typedef uint64 *SettleBits;

#define SETTLE_WHOLE	PG_UINT64_MAX

/* Ends the numbers of extras. */
#define SETTLE_NO_WORD	PG_UINT16_MAX

/* Words of so few are not looked for in summaries, and are always whole. */
#define SETTLE_FEW_WORDS	8

/* The sets of one index, all of the same number of conditions. */
typedef struct SettleBitsSpace
{
	MemoryContext context;
	int			nwords;
	int			nsummary;		/* words of the summary */
	int		   *all;			/* the numbers of all words */
	char	   *next;			/* where the next set goes, and how much room there is */
	Size		room;
} SettleBitsSpace;

extern SettleBitsSpace settle_bits_space(int nconditions);

/* Makes a whole set, empty or a copy of one. */
extern SettleBits settle_bits_make(SettleBitsSpace *space, SettleBits copy_of);

/* Copies a set into a whole one. */
extern void settle_bits_load(const SettleBitsSpace *space, SettleBits into, SettleBits from, SettleBits otherwise);

/* Keeps a whole set as its difference to "otherwise" where that is smaller. */
extern SettleBits settle_bits_keep(SettleBitsSpace *space, SettleBits whole, SettleBits otherwise);

static inline uint64 *
settle_bits_summary(SettleBits set)
{
	return set + 1;
}

static inline uint64 *
settle_bits_words(const SettleBitsSpace *space, SettleBits set)
{
	return set + 1 + space->nsummary;
}

static inline void
settle_bits_set(const SettleBitsSpace *space, SettleBits set, int bit)
{
	settle_bits_words(space, set)[bit / 64] |= UINT64CONST(1) << (bit % 64);
	settle_bits_summary(set)[bit / 4096] |= UINT64CONST(1) << ((bit / 64) % 64);
}

/* Room that the numbers of so many extras take, in words. */
#define SETTLE_NUMBERS_WORDS(n)	(((n) + 1 + 3) / 4)

/*
 * Intersects words, whose numbers ascend, with those of a set.
 */
static inline void
settle_bits_intersect(const SettleBitsSpace *space, SettleBits set, SettleBits otherwise, const int *numbers, int n, uint64 *words)
{
	const uint64 *own = settle_bits_words(space, set);

	if (set[0] == SETTLE_WHOLE)
		for (int k = 0; k < n; k++)
			words[k] &= own[numbers[k]];
	else
	{
		const uint64 *rest = settle_bits_words(space, otherwise);
		const uint16 *number = (const uint16 *) own;
		const uint64 *extra = own + SETTLE_NUMBERS_WORDS(set[0]);

		for (int k = 0; k < n; k++)
		{
			int			w = numbers[k];

			for (; *number < w; number++)
				extra++;
			words[k] &= *number == w ? *extra : rest[w];
		}
	}
}

#endif							/* SETTLE_BITS_H */
