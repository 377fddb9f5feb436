/*
 * varint.h
 *		Whole numbers of few bytes, for values that are packed: seven bits a byte,
 *		the lowest first, the eighth bit where another byte follows.
 */
#ifndef SETTLE_VARINT_H
#define SETTLE_VARINT_H

#include "core/core.h"
#include "lib/stringinfo.h"

static inline void
settle_put_varint(StringInfo buf, uint128 value)
{
	char		bytes[20];
	int			n = 0;

	while (value >= 0x80)
	{
		bytes[n++] = (char) (0x80 | (value & 0x7F));
		value >>= 7;
	}
	bytes[n++] = (char) value;
	appendBinaryStringInfo(buf, bytes, n);
}

/*
 * Reads one that ends before "end" and moves "at" behind it.  Returns NULL, or
 * what is wrong with it.
 */
static inline const char *
settle_get_varint(const uint8 **at, const uint8 *end, uint128 *value)
{
	int			shift = 0;

	*value = 0;
	for (;;)
	{
		uint8		byte;

		if (*at >= end)
			return "it ends early";
		byte = *(*at)++;
		if (shift > 126 || (shift == 126 && (byte & 0x7F) > 3))
			return "a number is too large";
		*value |= (uint128) (byte & 0x7F) << shift;
		if (!(byte & 0x80))
			return NULL;
		shift += 7;
	}
}

/* A number of either sign as one without, so that small ones stay small. */
static inline uint128
settle_zigzag(int128 value)
{
	return ((uint128) value << 1) ^ (uint128) (value >> 127);
}

static inline int128
settle_unzigzag(uint128 value)
{
	return (int128) (value >> 1) ^ -(int128) (value & 1);
}

#endif							/* SETTLE_VARINT_H */
