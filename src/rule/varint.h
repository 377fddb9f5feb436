/*
 * varint.h
 *		Whole numbers of few bytes, for values that are packed: seven bits a byte,
 *		the lowest first, the eighth bit where another byte follows.
 */
#ifndef SETTLE_VARINT_H
#define SETTLE_VARINT_H

#include "core/core.h"
#include "lib/stringinfo.h"

/* bytes that one has at most */
#define SETTLE_VARINT_BYTES		19

/*
 * Writes one, without asking whether there is room, and returns where it ends.
 */
static inline char *
settle_write_varint(char *at, uint128 value)
{
	uint64		rest;

	while (value > PG_UINT64_MAX)
	{
		*at++ = (char) (0x80 | (value & 0x7F));
		value >>= 7;
	}
	for (rest = (uint64) value; rest >= 0x80; rest >>= 7)
		*at++ = (char) (0x80 | (rest & 0x7F));
	*at++ = (char) rest;
	return at;
}

static inline void
settle_put_varint(StringInfo buf, uint128 value)
{
	enlargeStringInfo(buf, SETTLE_VARINT_BYTES);
	buf->len = (int) (settle_write_varint(buf->data + buf->len, value) - buf->data);
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
