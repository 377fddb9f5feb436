/*
 * desk.h
 *		Ticket types, compiled: what a form asks for, and which moves there are.
 *
 * type.c remembers them, compile.c compiles one; form.c makes details of a
 * ticket what its form says, field.c one value of them; stage.c is the law of a
 * ticket's way, move.c finds the moves of it, place.c keeps what check-ins say;
 * event.c notes what happened and does what follows, due.c sets deadlines;
 * ticket.c opens tickets and moves them, assign.c gives them to people.
 */
#ifndef SETTLE_DESK_H
#define SETTLE_DESK_H

#include "book/book.h"

#include "expr/expr.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

/* Kinds of fields, in the order of their names in type.c. */
typedef enum DeskKind
{
	DESK_TEXT,
	DESK_INTEGER,
	DESK_NUMERIC,
	DESK_BOOLEAN,
	DESK_DATE,
	DESK_TIMESTAMP,
	DESK_CHOICE,
	DESK_CHOICES,
	DESK_PHONE,
	DESK_PLACE,
	DESK_REFERENCE
} DeskKind;

/* An expression of a definition; one that is a constant is not evaluated. */
typedef struct DeskTerm
{
	const char *text;
	bool		constant;
	bool		holds;			/* a constant condition's value */
	ExprState  *state;
} DeskTerm;

/* A field as it is in a region. */
typedef struct DeskVariant
{
	const char *region;			/* "" is everywhere */
	DeskTerm	required;
	DeskTerm	shown;
	DeskTerm   *takes;			/* NULL: nothing */
	int			nchoices;
	char	  **choices;
	DeskTerm   *pattern;		/* a condition on the value; NULL: any */
} DeskVariant;

typedef struct DeskField
{
	const char *name;
	DeskKind	kind;
	bool		private;		/* personal or sensitive */
	int			position;		/* in the scope, from 1 */
	int			nvariants;		/* the nearest region first */
	DeskVariant *variants;
	Oid			relation;		/* that a reference points to */
	const char *key;
	char	   *lookup;			/* query for the row whose key is $1: the columns that expressions use */
	int			nlooked_up;
	int		   *looked_up;		/* their positions in the scope */
} DeskField;

typedef struct DeskStage
{
	const char *name;
	bool		initial;
	bool		ready;
	bool		pauses;			/* its deadlines stand */
	const char *ends;			/* NULL: the way goes on */
	const char *waits;			/* the move that is made once all parts of the ticket have ended, or NULL */
} DeskStage;

/* A row of a move from one stage. */
typedef struct DeskMove
{
	const char *name;
	const char *title;
	const DeskStage *from;
	const DeskStage *to;
	const char *region;
	TimestampTz since;
	TimestampTz until;
	bool		off;
	DeskTerm	guard;
	int			nrequired;
	const DeskField **required;
	int			nwho;			/* -1: anybody */
	DeskTerm   *who;
} DeskMove;

typedef struct DeskNode
{
	const char *move;
	int16		node;
	const char *title;
} DeskNode;

typedef struct DeskFollowUp
{
	const char *move;
	const char *name;
	DeskTerm	applies_when;
	Interval	after;
	const char *opens;			/* a type, or NULL */
	DeskTerm   *fields;
	const char *platform;		/* of a message, or NULL */
	const char *kind;
	DeskTerm   *payload;
	DeskTerm   *note;
} DeskFollowUp;

/* The columns of <book>.ticket that the desk reads or sets, by attribute number. */
typedef struct DeskColumns
{
	AttrNumber	ticket_id,
				type,
				type_version,
				stage,
				move,
				details,
				region,
				worker,
				amount,
				cost,
				tax,
				currency,
				opened_at,
				done_at,
				part_of,
				merged_into,
				away,
				areas,
				area_parties;
} DeskColumns;

typedef struct DeskType
{
	bool		compiled;		/* else no more than its name is known */
	const char *type;
	int			version;
	const char *project;		/* of tickets that name none, or NULL */
	int			nfields;
	DeskField  *fields;
	int			nstages;
	DeskStage  *stages;			/* in order of place */
	int			nmoves;
	DeskMove   *moves;			/* by name; of one name the row that counts first */
	int			nnodes;
	DeskNode   *nodes;
	int			nfollow_ups;
	DeskFollowUp *follow_ups;
	bool		timed;			/* has targets for deadlines */
	bool		times_stages;	/* and some for single stages */
	SettleScope scope;			/* the ticket's columns, then its form and what it refers to */
	int			ncolumns;		/* of the ticket */
	TupleTableSlot *slot;
	ExprContext *econtext;
} DeskType;

/* The enabled types of a book at one revision. */
typedef struct Desk
{
	Oid			schema;
	int64		revision;
	uint64		row_type;		/* of <book>.ticket */
	uint64		last_use;
	MemoryContext context;
	SettleBook	book;
	const char *time_zone;
	TupleDesc	ticket;			/* rows of <book>.ticket */
	DeskColumns columns;
	int			ntypes;			/* by name and version; each compiled at its first use */
	DeskType   *types;
} Desk;

/* ---- type.c ---- */

/* The desk of a book as the running statement sees it; stays until the end of the transaction. */
extern Desk *settle_desk(Relation ticket);

/* Opens <book>.ticket for a look.  Raises 42704 where the schema has none. */
extern Relation settle_open_tickets(Oid schema);

/* The same, with the desk of the book. */
extern Relation settle_desk_open(const SettleBook *book, Desk **desk);

/* A type that is enabled; version 0 is the last one.  Raises 42704 where there is none. */
extern const DeskType *settle_desk_type(Desk *desk, const char *type, int version);

/* Puts the columns of a ticket into the type's slot; the form is empty until it is read. */
extern void settle_desk_load(const DeskType *type, HeapTuple ticket, TupleDesc desc);

/* Both inside the pinned environment, over the slot. */
extern bool settle_term_holds(const DeskType *type, const DeskTerm *term);
extern Datum settle_term_datum(const DeskType *type, const DeskTerm *term, bool *isnull);

/* Tells whether a ticket is one for the desk. */
extern bool settle_ticket_has_type(HeapTuple ticket, TupleDesc desc);

/* Notes a ticket that was written, to be judged by the next tick (special.c). */
extern void settle_note_special(Relation tickets, HeapTuple row);

/* A column of a ticket that is a text; NULL where it is null. */
extern char *settle_ticket_text(HeapTuple ticket, TupleDesc desc, AttrNumber column);

/* Tells whether a region is another one or lies in it. */
extern bool settle_region_within(const char *region, const char *around);

/* NULL where the type has none of that name. */
extern const DeskField *settle_desk_field(const DeskType *type, const char *name);
extern const DeskStage *settle_desk_stage(const DeskType *type, const char *name);

/* ---- compile.c ---- */

/* Compiles a type in the current memory context; inside enter and SPI. */
extern void settle_desk_compile(const Desk *desk, DeskType *type);

/*
 * Reads rows that define a type, or with NULL those of the book, with the
 * snapshot that the revision was read with; %1$s is the book.
 */
extern int	settle_desk_read(const Desk *desk, const DeskType *type, const char *query);

/* ---- form.c ---- */

/* What is filled in, and whose ticket it is, for messages. */
typedef struct DeskForm
{
	Desk	   *desk;
	const DeskType *type;
	const char *ticket;
	const char *region;
	Jsonb	   *before;			/* details as they were; NULL: the ticket is new */
} DeskForm;

/*
 * Reads details by the form into the slot and gives them back as the form has
 * them: typed, with defaults.  Raises what the form refuses.
 */
extern Jsonb *settle_form_fill(const DeskForm *form, Jsonb *details);

/* Reads details that were filled into the slot. */
extern void settle_form_load(const DeskForm *form, Jsonb *details);

/* Tells whether a field has a value, after one of the two. */
extern bool settle_form_has(const DeskType *type, const DeskField *field);

/* What changed from one to the other, as {"field": [was, now]}; NULL: nothing. */
extern Jsonb *settle_form_changes(const DeskType *type, Jsonb *was, Jsonb *now);

/* ---- field.c ---- */

/* Reads a value that somebody gives, and raises what the field refuses. */
extern Datum settle_field_read(const DeskForm *form, const DeskField *field, const DeskVariant *variant, const JsonbValue *value);

/* Reads a value that was filled in, whatever the form allows now. */
extern Datum settle_field_reread(const DeskForm *form, const DeskField *field, const JsonbValue *value);

/* Writes a value, in its one spelling. */
extern void settle_field_write(JsonbParseState **state, const DeskField *field, Datum value);

/* Tells whether what is given is a value: neither null nor blank. */
extern bool settle_field_has(const JsonbValue *value);

/* What stands in a message of a value; a personal one does not. */
extern const char *settle_field_shown(const DeskField *field, const JsonbValue *value);

/* Raises what a form refuses: message goes on from the field's name. */
extern void settle_field_refuse(const DeskForm *form, const char *field, const char *rule, int sqlstate, const char *message, const char *hint) pg_attribute_noreturn();

/* Names with commas between them, for messages. */
extern char *settle_listed(int n, char *const *names);

/* ---- move.c ---- */

/* A ticket that is written or asked about, and what is known of it. */
typedef struct DeskWriting
{
	Desk	   *desk;
	const DeskType *type;
	const DeskColumns *columns;
	TupleDesc	desc;
	HeapTuple	before;			/* NULL: it comes to the desk now */
	HeapTuple	row;			/* as it is to be */
	const char *ticket;
	const char *region;
	Jsonb	   *details;		/* as they are to be */
} DeskWriting;

/* Both find the move that is asked for, by its name or by where it leads; what cannot be made raises. */
extern const DeskMove *settle_move_named(const DeskWriting *w, const DeskStage *from, const char *name);
extern const DeskMove *settle_move_to(const DeskWriting *w, const DeskStage *from, const char *stage);

/* Raises that a move cannot be made, with those that can. */
extern void settle_refuse_move(const DeskWriting *w, const DeskStage *from, int sqlstate, const char *message, const char *detail) pg_attribute_noreturn();

/* Whether a column is as it was; in a row that comes new, whether it is null. */
extern bool settle_column_stays(const DeskWriting *w, AttrNumber column);

/* A column of the row; raises 23502 where it is null. */
extern Datum settle_need_column(const DeskWriting *w, AttrNumber column);

/* ---- place.c ---- */

/* Raises 23514 where a ticket is to be away, or in areas, otherwise than its check-ins say. */
extern void settle_keep_place(const DeskWriting *w);

/* ---- due.c ---- */

typedef enum DeskHappening
{
	DESK_OPENED,
	DESK_MOVED,
	DESK_MOVED_OVER,			/* to another version of its type */
	DESK_DELETED
} DeskHappening;

/*
 * Has the deadlines of a ticket follow what happened to it; was and now are its
 * stages, NULL where it has none.  Inside enter and SPI.
 */
extern void settle_desk_due(const SettleBook *book, const DeskType *type, const char *ticket, DeskHappening what, const DeskStage *was, const DeskStage *now);

#endif							/* SETTLE_DESK_H */
