/*
 * lines.h
 *		The type settle.lines: what one ticket's settlement says, in one value.
 *
 * Two forms under one type.  Portable: codes as text, in a dictionary inside
 * the value; what settle.evaluate returns.  Packed: numbers of one book's rule
 * and party tables; what sheets store.
 */
#ifndef SETTLE_LINES_H
#define SETTLE_LINES_H

#include "amount/amount.h"
#include "lib/stringinfo.h"
#include "utils/date.h"

/* One transfer.  Codes are indexes into the dictionary (portable) or numbers of the book (packed). */
typedef struct SettleLineData
{
	uint32		rule;
	uint32		payer;
	uint32		payee;
	uint32		component;		/* portable only */
	uint32		unit;			/* portable only */
	SettleDec	base;
	SettleDec	quantity;		/* of a line in a tally: what moves along its tiers, most often the base */
	SettleDec	factor;
	SettleDec	amount;

	/* of a line that adds to a tally */
	bool		in_tally;
	uint32		owner;
	DateADT		tally_period;
	int			count;			/* tickets that the line adds to those it is of, in a tally to the tally: -1, 0 or 1 */

	bool		retier;			/* a change of a tally that belongs to no ticket */
} SettleLineData;

/* Builds a value line by line. */
typedef struct SettleLinesWriter
{
	StringInfoData bytes;
	int			nlines;
	SettleDec	base;			/* of the last line */
	bool		packed;
	int			ndictionary;
	char	  **dictionary;
	int			dictionary_space;
} SettleLinesWriter;

typedef struct SettleLines SettleLines; /* a varlena */

extern void settle_lines_begin(SettleLinesWriter *writer, bool packed);
extern uint32 settle_lines_code(SettleLinesWriter *writer, const char *code);	/* portable: its index in the dictionary */
extern void settle_lines_add(SettleLinesWriter *writer, const SettleLineData *line);
extern SettleLines *settle_lines_end(SettleLinesWriter *writer);

/* Reads a value line by line; every byte is checked. */
typedef struct SettleLinesReader
{
	const uint8 *at;
	const uint8 *end;
	int			nlines;
	int			next;
	SettleDec	base;			/* of the line that was read last */
	bool		packed;
	int			ndictionary;
	char	  **dictionary;
} SettleLinesReader;

extern void settle_lines_open(SettleLinesReader *reader, const SettleLines *lines);
extern bool settle_lines_next(SettleLinesReader *reader, SettleLineData *line);

#define DatumGetSettleLines(d)	((SettleLines *) PG_DETOAST_DATUM(d))

#endif							/* SETTLE_LINES_H */
