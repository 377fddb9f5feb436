/*
 * connect.h
 *		From the payloads of platforms to rows of the book.
 *
 * A mapping says how one kind of payload of a platform becomes rows.  It has
 * parts; a part makes rows of one entity, one for each element that its path
 * finds, and a part within another makes its rows from the elements of that.
 * The fields of a part are filled in their order, each by a path or by an
 * expression over the fields before it.
 *
 * A value that does not have the form its field declares is no error here but
 * the verdict on its payload: extraction goes on with the next one, so a bad
 * payload costs nothing.
 */
#ifndef SETTLE_CONNECT_H
#define SETTLE_CONNECT_H

#include "book/book.h"
#include "expr/expr.h"

#include "executor/tuptable.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

/* ---- entities: the tables that rows go to ---- */

/* a precedence: what decides but the content, and the hash of the content */
#define SETTLE_VERSION_BYTES	21
#define SETTLE_HASH_BYTES		64

#define SETTLE_MAX_KEYS		6
#define SETTLE_MAX_KEY_BYTES	2000	/* what an index can hold, with room to spare */

typedef struct Entity
{
	const char *name;
	const char *parent;			/* its rows are replaced with those of the parent; NULL: they have versions of their own */
	const char *keys[SETTLE_MAX_KEYS];	/* of the primary key, NULL behind the last */
} Entity;

extern const Entity settle_entities[];
extern const int settle_nentities;

/* ---- forms: what the values of a path look like ---- */

typedef enum Form
{
	FORM_TEXT,
	FORM_ID,
	FORM_ENUM,
	FORM_YUAN_TEXT,
	FORM_YUAN_NUMBER,
	FORM_FEN,
	FORM_FEN_TEXT,
	FORM_BEIJING,
	FORM_EPOCH_S,
	FORM_EPOCH_MS,
	FORM_RFC3339,
	FORM_COUNT,
	FORM_BOOLEAN,
	FORM_CHECK,
	FORM_FLAG
} Form;

typedef enum Take
{
	TAKE_FIRST,
	TAKE_LIST,
	TAKE_SUM,
	TAKE_COUNT
} Take;

/* Why a payload stands in quarantine, and which value of it is at fault. */
typedef struct Problem
{
	const char *field;			/* NULL: the payload as a whole */
	const char *reason;			/* a code: amount_type, timestamp, status ...; NULL: there is none */
	int			sqlstate;
	const char *message;
} Problem;

/* What a value showed that is worth a flag on its row, as bits. */
#define NOTE_BIG_ID			0x01	/* an id beyond 2^63 */
#define NOTE_AMOUNT_FORM	0x02	/* an amount as number where text is declared, or the reverse */
#define NOTE_GARBLED		0x04	/* text that was read in a wrong encoding */
#define NOTE_ROUNDED		0x08	/* an amount that was not whole cents */

extern Form settle_form_named(const char *name);
extern Oid	settle_form_type(Form form);
extern bool settle_read_form(Form form, bool is_signed, const JsonbValue *value, Datum *result, bool *isnull, int *notes, Problem *problem);
extern bool settle_check_amount(Datum amount, bool is_signed, Problem *problem);

/* ---- paths ---- */

/* What a path has found in the element that was looked at last. */
typedef struct Found
{
	int			n;
	int			size;
	JsonbValue *values;
	Datum		jsonpath;		/* left to the interpreter of jsonpath, else 0 */
	bool		asked;			/* which has been asked */
} Found;

typedef struct Step Step;

/* Paths that are looked for in one element, all in one walk. */
typedef struct Paths
{
	MemoryContext context;
	int			n;
	Found	   *found;			/* by number of the path */
	Step	   *root;
	const JsonbValue *element;
} Paths;

extern Paths *settle_make_paths(void);
extern int	settle_add_path(Paths *paths, Datum jsonpath);
extern void settle_find(Paths *paths, const JsonbValue *element);
extern const Found *settle_found(Paths *paths, int path);

/* ---- mappings ---- */

/* What a word of a platform means. */
typedef struct Status
{
	const char *map;
	text	   *raw;
	text	   *meaning;
} Status;

typedef struct Field
{
	const char *name;
	Form		form;
	Take		take;
	Oid			type;
	int			npaths;
	int		   *paths;			/* the first that finds a value counts */
	ExprState  *state;			/* or an expression */
	const char *map;			/* form enum */
	int			nstatuses;
	Status	   *statuses;		/* what the words of the map mean */
	bool		required;
	bool		is_signed;
	bool		strict;			/* a bad value stops the payload, else it is flagged and left null */
	int			column;			/* of the entity, from 0; -1 where it serves other fields only */
} Field;

/* Columns that mean the same in every table that has them. */
typedef enum Column
{
	COLUMN_PLATFORM,
	COLUMN_SHOP,
	COLUMN_POSITION,
	COLUMN_VERSION,
	COLUMN_PRECEDENCE,
	COLUMN_STAGING_ID,
	COLUMN_TIED,
	COLUMN_FLAGS,
	COLUMN_LINE_NO,
	COLUMN_LINE_PAID,
	COLUMN_ALLOCATED,
	COLUMN_PAYABLE,
	COLUMN_FREIGHT,
	COLUMN_AMOUNT,
	COLUMN_IN_PRICE,
	NCOLUMNS
} Column;

typedef struct Part
{
	const char *name;
	const Entity *entity;
	int			entity_no;
	bool		is_line,
				is_promotion,
				is_signal;		/* entities with a meaning of their own */
	int			within;			/* number of the part it stands in, -1 for none */
	int			nrows;
	int		   *rows;			/* paths to its elements, among those of what it stands in; the first that finds any counts */
	Paths	   *paths;			/* of its fields and of the parts within */
	int			nfields;
	Field	   *fields;
	int			nnames;			/* fields, those of the part it stands in, and the staging row's */
	TupleTableSlot *slot;		/* what expressions read */
	TupleDesc	desc;			/* of the entity's table */
	const Bitmapset *not_null;	/* columns that must have a value */
	int			columns[NCOLUMNS];	/* that are not fields, -1 where the table has none */
	int			keys[SETTLE_MAX_KEYS];	/* columns of the entity's key */
	int			version,
				rank,
				final,
				weight,
				skip,
				shop;			/* fields with a meaning of their own, -1 where there is none */
} Part;

typedef struct Mapping
{
	const char *platform;
	const char *kind;
	Paths	   *paths;			/* in the document */
	int			marker;			/* path, -1 for none */
	int			inner;			/* path to a text that holds the document proper, -1 for none */
	int			nparts;
	Part	   *parts;
} Mapping;

typedef struct Mappings
{
	int			n;
	Mapping    *mappings;
	ExprContext *econtext;
	TupleDesc	descs[32];		/* by entity */
	Bitmapset  *not_null[32];
} Mappings;

extern Mappings *settle_load_mappings(const SettleBook *book);
extern text *settle_status(const Field *field, const text *raw);

/* ---- extraction ---- */

/* One row that a payload becomes. */
typedef struct MappedRow
{
	const Part *part;
	int			parent;			/* number of the row it belongs to, -1 for none */
	HeapTuple	tuple;			/* of part->desc */
	const char *precedence;		/* decides among versions; NULL for rows that belong to others */
	TimestampTz version;
	const char *key;			/* texts of the key, each with a zero byte behind it; NULL as precedence is */
	int			key_len;
	int64		staging_id;
} MappedRow;

/* What a payload, or one of its rows, comes to; the further down, the better. */
typedef enum Verdict
{
	VERDICT_NONE,
	VERDICT_DUPLICATE,
	VERDICT_STALE,
	VERDICT_TIE,
	VERDICT_APPLIED,
	VERDICT_QUARANTINED,
	NVERDICTS
} Verdict;

/* What a payload becomes. */
typedef struct Mapped
{
	const Mapping *mapping;
	int			first;			/* its rows among those of the batch */
	int			nrows;
	Problem		problem;
	const char *flags;			/* with commas; NULL for none */
	Verdict		verdict;
} Mapped;

typedef struct Batch
{
	const Mappings *mappings;
	MemoryContext context;		/* rows and whatever they point to */
	MemoryContext scratch;		/* one payload */
	int			nrows;
	int			size;
	MappedRow  *rows;
} Batch;

typedef struct Landed
{
	ItemPointerData place;		/* in the table staging */
	int64		staging_id;
	const char *platform;
	const char *kind;			/* NULL: found by the markers */
	const char *shop;			/* NULL: found by the mapping */
	TimestampTz received_at;
	Datum		payload;		/* as it is stored, 0 where there is none */
	Datum		raw;			/* or */
} Landed;

/* An element of a part that was read, on its way to a row. */
typedef struct Element
{
	const Part *part;
	const struct Element *outer;
	Datum	   *values;			/* by field */
	bool	   *nulls;
	int			notes;
	List	   *flags;			/* of char * */
	Datum	   *row;			/* by column */
	bool	   *row_nulls;
	const char *precedence;
	TimestampTz version;
	List	   *lines;			/* of the order lines within, Element * */
} Element;

extern void settle_map(Batch *batch, const Landed *landed, Mapped *mapped);

/* what extract.c and line.c share */
extern void settle_add_flag(List **flags, const char *flag);
extern void settle_set_column(Element *element, Column column, Datum value);
extern void settle_tell_lines_apart(Element *order);
extern void settle_check_lines(Element *order, List *within);

/* body.c: bodies that did not arrive as jsonb */
extern Jsonb *settle_body(const bytea *raw, Problem *problem);
extern Jsonb *settle_inner_document(const char *text, int len);

#endif							/* SETTLE_CONNECT_H */
