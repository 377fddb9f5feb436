/*
 * inputs.h
 *		What the rules have read of a ticket, as it is kept beside its lines.
 *
 * As JSON it is {"c": {column: value}, "f": {fact: value, "USD/CNY": rate}}, and
 * in "d" the ticket that it is a duplicate of, where it is one: numbers and
 * booleans as they are printed, all other types as the text that their input
 * function takes, in the pinned environment both ways.  Digests are of this
 * text, so it must stay as it is, byte for byte.
 *
 * It is kept for every ticket of a run, hence packed, in a bytea; the names,
 * which all tickets of one source and run share, are kept once a run.  The first
 * byte tells the form:
 *
 *		text		the JSON itself
 *		digest		sha256 of the JSON
 *		packed		number of rates, of each its pair and value; the original of a
 *					duplicate, or null; a value for each name, first the columns'
 *
 * A value is a byte, its kind in the upper three bits and something small in the
 * others, and what the kind says.  Nothing of it depends on the server: no OIDs,
 * no byte order, no time zone.
 */
#ifndef SETTLE_INPUTS_H
#define SETTLE_INPUTS_H

#include "rule/engine.h"

#define INPUTS_TEXT		0
#define INPUTS_DIGEST	1
#define INPUTS_PACKED	2

/* Kinds of values, and what the small number beside them says. */
#define VALUE_FIXED		0		/* which one */
#define VALUE_NUMBER	1		/* decimal places; the coefficient follows */
#define VALUE_TEXT		2		/* bytes that follow, or LONG and their number before them */
#define VALUE_JSON		3		/* the same */
#define VALUE_INSTANT	4		/* nothing; microseconds since 2000 follow, then seconds west of UTC that it is spelt in */

#define FIXED_NULL		0
#define FIXED_FALSE		1
#define FIXED_TRUE		2
#define FIXED_ABSENT	3		/* a fact that nobody asked for */

#define VALUE_LONG		31

/* The names of the columns, then those of the facts, that packed inputs have values of. */
typedef struct SettleInputNames
{
	int			n;
	int			ncolumns;
	const char **labels;
} SettleInputNames;

/* ---- inputs.c ---- */

/* What the rules have read of the ticket just evaluated, or the digest of it. */
extern bytea *settle_ticket_inputs(SettleSet *set);
extern bytea *settle_ticket_inputs_digest(SettleSet *set);

/* Inputs of another shape, which say themselves. */
extern bytea *settle_inputs_of_text(const char *json);

/* The names of the inputs of a set, and the JSON that a run keeps of them: {"c": columns, "f": facts}. */
extern SettleInputNames settle_set_input_names(SettleSet *set);
extern void settle_put_input_names(StringInfo out, const SettleInputNames *names);

/*
 * Puts the columns of kept inputs into the slot and returns the facts.  Raises
 * what the types of the columns refuse, and 42703 where one is not there.
 */
extern Jsonb *settle_set_fill(SettleSet *set, Jsonb *inputs);

/* ---- spell.c ---- */

/* Finds the names of a source in what a run keeps, {source: {"c": columns, "f": facts}}; false where they are not there. */
extern bool settle_read_input_names(SettleInputNames *names, Jsonb *kept, const char *source);

/* Appends the JSON of kept inputs; false, and nothing, where they are none.  Without names only packed ones are. */
extern bool settle_inputs_text(StringInfo out, const bytea *inputs, const SettleInputNames *names);

/* Finds the rate of a pair such as "USD/CNY" that a ticket was priced with. */
extern bool settle_inputs_rate(const bytea *inputs, const char *pair, SettleDec *rate);

#endif							/* SETTLE_INPUTS_H */
