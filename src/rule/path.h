/*
 * path.h
 *		Reads the labels of an ltree where it lies.
 *
 * A value with a short header is read as it is: its levels stand at the same
 * distances as after a header of four bytes, but unaligned.
 */
#ifndef SETTLE_PATH_H
#define SETTLE_PATH_H

#include "core/core.h"

#include "extension/ltree/ltree.h"

typedef struct SettlePathReader
{
	const char *level;
	int			left;
} SettlePathReader;

/* Begins with a value that is neither compressed nor out of line. */
static inline void
settle_path_begin(SettlePathReader *reader, const struct varlena *path)
{
	const char *start = VARDATA_ANY(path) - VARHDRSZ;
	uint16		nlevels;

	memcpy(&nlevels, start + offsetof(ltree, numlevel), sizeof(nlevels));
	reader->level = start + LTREE_HDRSIZE;
	reader->left = nlevels;
}

/* Gives the next label; false where there is none. */
static inline bool
settle_path_next(SettlePathReader *reader, const char **label, Size *len)
{
	uint16		label_len;

	if (reader->left-- == 0)
		return false;
	memcpy(&label_len, reader->level, sizeof(label_len));
	*label = reader->level + LEVEL_HDRSIZE;
	*len = label_len;
	reader->level += MAXALIGN(label_len + LEVEL_HDRSIZE);
	return true;
}

#endif							/* SETTLE_PATH_H */
