/*
 * type.c
 *		Ticket types of a book: reading what was enabled, compiling it, and
 *		remembering it.
 *
 * The compiled types of a book are kept per backend under (schema, revision).
 * The revision comes from the sequence of the rules' own: never rolled back,
 * never issued twice, so it names one content of the tables for ever.  It is
 * read once a statement, straight from the row of <book>.book, since whoever
 * writes tickets needs no right on the book.  Types are compiled as the owner of
 * the book at their first use; their expressions see the ticket, the fields of
 * the form before them and the rows that these refer to, and nothing else.
 */
#include "desk/desk.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

static const struct
{
	const char *name;
	Oid			type;
}			kinds[] = {
	[DESK_TEXT] = {"text", TEXTOID},
	[DESK_INTEGER] = {"integer", INT8OID},
	[DESK_NUMERIC] = {"numeric", NUMERICOID},
	[DESK_BOOLEAN] = {"boolean", BOOLOID},
	[DESK_DATE] = {"date", DATEOID},
	[DESK_TIMESTAMP] = {"timestamp", TIMESTAMPTZOID},
	[DESK_CHOICE] = {"choice", TEXTOID},
	[DESK_CHOICES] = {"choices", TEXTARRAYOID},
	[DESK_PHONE] = {"phone", TEXTOID},
	[DESK_PLACE] = {"place", JSONBOID},
	[DESK_REFERENCE] = {"reference", TEXTOID},
};

/* ---- reading definitions ---- */

static char *
column_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static bool
column_bool(int row, int column)
{
	bool		isnull;

	return DatumGetBool(settle_spi_datum(row, column, &isnull));
}

/* The elements of a text array; -1 where it is null. */
static int
column_texts(int row, int column, char ***texts)
{
	bool		isnull;
	Datum		value = settle_spi_datum(row, column, &isnull);
	Datum	   *elements;
	int			n;

	*texts = NULL;
	if (isnull)
		return -1;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	*texts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*texts)[i] = TextDatumGetCString(elements[i]);
	return n;
}

/*
 * Reads rows of one table of a version with the snapshot that its revision was
 * read with; %1$s is the book.  What the query gives is cast to what is read here, since
 * anybody may forge a table.
 */
static int
read_rows(const Desk *desk, const DeskType *type, const char *query)
{
	MemoryContext old = CurrentMemoryContext;
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(type == NULL ? "" : type->type), Int32GetDatum(type == NULL ? 0 : type->version)};

	if (SPI_execute_with_args(psprintf(query, desk->book.name), 2, types, values, NULL, desk->revision != 0, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the ticket types of book \"%s\"", desk->book.label);
	MemoryContextSwitchTo(old);
	return (int) SPI_processed;
}

/* ---- expressions ---- */

/* Positions of the scope that some expression of the type uses; while one is compiled. */
static Bitmapset *positions_used;

/*
 * Compiles an expression over the first names of the scope; a template where
 * wanted is InvalidOid.
 */
static DeskTerm
compile_term(const DeskType *type, int nnames, const char *text, Oid wanted, const char *what)
{
	SettleScope scope = {nnames, type->scope.names};
	SettleExpr *expr = OidIsValid(wanted) ? settle_expr_read(text, &scope, wanted, what) : settle_template_read(text, &scope, what);
	const Const *constant = (const Const *) expr->node;
	DeskTerm	term = {.text = pstrdup(text)};

	positions_used = bms_add_members(positions_used, expr->uses);
	if (wanted == BOOLOID && IsA(constant, Const))
	{
		term.constant = true;
		term.holds = !constant->constisnull && DatumGetBool(constant->constvalue);
	}
	else
		term.state = settle_expr_init(expr);
	return term;
}

static DeskTerm *
compile_optional(const DeskType *type, int nnames, const char *text, Oid wanted, const char *what)
{
	DeskTerm   *term;

	if (text == NULL)
		return NULL;
	term = palloc(sizeof(DeskTerm));
	*term = compile_term(type, nnames, text, wanted, what);
	return term;
}

bool
settle_term_holds(const DeskType *type, const DeskTerm *term)
{
	bool		isnull;
	Datum		value;

	if (term->constant)
		return term->holds;
	value = ExecEvalExprSwitchContext(term->state, type->econtext, &isnull);
	return !isnull && DatumGetBool(value);
}

Datum
settle_term_datum(const DeskType *type, const DeskTerm *term, bool *isnull)
{
	return ExecEvalExprSwitchContext(term->state, type->econtext, isnull);
}

bool
settle_region_within(const char *region, const char *around)
{
	size_t		len = strlen(around);

	return len == 0 || (strncmp(region, around, len) == 0 && (region[len] == '\0' || region[len] == '.'));
}

/* ---- the scope ---- */

static void
add_name(DeskType *type, const char *qualifier, const char *name, Oid oid, int32 typmod, Oid collation)
{
	SettleScope *scope = &type->scope;

	scope->names = scope->names == NULL ? palloc(sizeof(SettleName)) : repalloc(scope->names, sizeof(SettleName) * (scope->nnames + 1));
	scope->names[scope->nnames++] = (SettleName)
	{
		qualifier, name, oid, typmod, collation
	};
}

const DeskField *
settle_desk_field(const DeskType *type, const char *name)
{
	for (int i = 0; i < type->nfields; i++)
		if (strcmp(type->fields[i].name, name) == 0)
			return &type->fields[i];
	return NULL;
}

static const DeskStage *
find_stage(const DeskType *type, const char *name)
{
	for (int i = 0; i < type->nstages; i++)
		if (strcmp(type->stages[i].name, name) == 0)
			return &type->stages[i];
	return NULL;
}

/* ---- compiling ---- */

static DeskKind
kind_named(const char *name)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return i;
	elog(ERROR, "unknown kind of a field \"%s\"", name);
}

/* A row of form_field, before it is compiled. */
typedef struct FieldRow
{
	char	   *field;
	char	   *kind;
	bool		private;
	char	   *region;
	char	   *required;
	char	   *shown;
	char	   *takes;
	char	   *pattern;
	int			nchoices;
	char	  **choices;
	Oid			relation;
	char	   *key;
} FieldRow;

static int
read_fields(const Desk *desk, const DeskType *type, FieldRow **rows)
{
	int			n = read_rows(desk, type,
							  "SELECT f.field, f.kind, f.privacy IS NOT NULL, f.region::text, f.required, f.shown, f.takes, f.pattern, f.choices::text[], f.relation::oid, f.key "
							  "FROM (SELECT x.*, min(x.place) OVER (PARTITION BY x.field) AS first FROM %1$s.form_field AS x WHERE x.type = $1 AND x.version = $2) AS f "
							  "ORDER BY f.first, f.field, length(f.region::text) DESC, f.region::text");

	*rows = palloc(sizeof(FieldRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		relation = settle_spi_datum(i, 10, &isnull);
		FieldRow   *row = &(*rows)[i];

		*row = (FieldRow)
		{
			.field = column_text(i, 1), .kind = column_text(i, 2), .private = column_bool(i, 3), .region = column_text(i, 4),
			.required = column_text(i, 5), .shown = column_text(i, 6), .takes = column_text(i, 7), .pattern = column_text(i, 8),
			.relation = isnull ? InvalidOid : DatumGetObjectId(relation), .key = column_text(i, 11)
		};
		row->nchoices = column_texts(i, 9, &row->choices);
	}
	return n;
}

/*
 * Adds the columns of the relation that a reference points to, and writes the
 * beginning of the query for its row.
 */
static void
add_reference(DeskType *type, DeskField *field)
{
	Relation	relation = try_relation_open(field->relation, AccessShareLock);

	if (relation == NULL || get_attnum(field->relation, field->key) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("field \"%s\" of ticket type \"%s\" refers to a column that is gone", field->name, type->type),
				 errdetail("It names column \"%s\" of %s.", field->key, relation == NULL ? "a relation that does not exist" : RelationGetRelationName(relation))));
	for (int i = 0; i < RelationGetDescr(relation)->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(RelationGetDescr(relation), i);

		add_name(type, field->name, a->attisdropped ? NULL : pstrdup(NameStr(a->attname)), a->atttypid, a->atttypmod, a->attcollation);
	}
	relation_close(relation, AccessShareLock);
}

/*
 * Raises that the rows of a field do not agree in what no region may change.
 */
static void
refuse_variant(const DeskType *type, const char *field, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("field \"%s\" of ticket type \"%s\" has another %s in a region", field, type->type, what),
			 errhint("Regions differ in what is asked for and allowed. What differs in its %s is another field.", what)));
}

static void
compile_fields(const Desk *desk, DeskType *type)
{
	FieldRow   *rows;
	int			n = read_fields(desk, type, &rows);

	type->fields = palloc0(sizeof(DeskField) * Max(n, 1));
	for (int i = 0; i < n;)
	{
		FieldRow   *row = &rows[i];
		DeskField  *field = &type->fields[type->nfields++];
		int			before = type->scope.nnames;

		*field = (DeskField)
		{
			.name = row->field, .kind = kind_named(row->kind), .private = row->private, .position = before + 1,
			.relation = row->relation, .key = row->key
		};
		add_name(type, "form", field->name, kinds[field->kind].type, -1, get_typcollation(kinds[field->kind].type));
		if (field->kind == DESK_REFERENCE)
			add_reference(type, field);
		while (i + field->nvariants < n && strcmp(rows[i + field->nvariants].field, field->name) == 0)
			field->nvariants++;
		field->variants = palloc0(sizeof(DeskVariant) * field->nvariants);
		for (int v = 0; v < field->nvariants; v++)
		{
			DeskVariant *variant = &field->variants[v];
			const char *of = psprintf("field \"%s\" of ticket type \"%s\"", field->name, type->type);

			row = &rows[i + v];
			if (kind_named(row->kind) != field->kind)
				refuse_variant(type, field->name, "kind");
			if (row->private != field->private)
				refuse_variant(type, field->name, "privacy");
			if (row->relation != field->relation || (row->key != NULL && strcmp(row->key, field->key) != 0))
				refuse_variant(type, field->name, "relation");
			variant->region = row->region;
			variant->nchoices = row->nchoices;
			variant->choices = row->choices;
			variant->required = compile_term(type, before, row->required, BOOLOID, psprintf("required of %s", of));
			variant->shown = compile_term(type, before, row->shown, BOOLOID, psprintf("shown of %s", of));
			variant->takes = compile_optional(type, before, row->takes, kinds[field->kind].type, psprintf("takes of %s", of));
			if (row->pattern != NULL)
			{
				variant->pattern = compile_optional(type, before + 1, psprintf("form.%s ~ %s", quote_identifier(field->name), quote_literal_cstr(psprintf("^(?:%s)$", row->pattern))),
													BOOLOID, psprintf("pattern of %s", of));
				variant->pattern->text = row->pattern;
			}
		}
		i += field->nvariants;
	}
}

static void
compile_stages(const Desk *desk, DeskType *type)
{
	type->nstages = read_rows(desk, type,
							  "SELECT s.stage, s.initial::boolean, s.ready::boolean, s.ends FROM %1$s.stage AS s WHERE s.type = $1 AND s.version = $2 ORDER BY s.place, s.stage");
	type->stages = palloc0(sizeof(DeskStage) * Max(type->nstages, 1));
	for (int i = 0; i < type->nstages; i++)
		type->stages[i] = (DeskStage)
	{
		column_text(i, 1), column_bool(i, 2), column_bool(i, 3), column_text(i, 4)
	};
	for (int i = 0; i < type->nstages; i++)
		if (type->stages[i].initial)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("version %d of ticket type \"%s\" has no initial stage", type->version, type->type),
			 errhint("Tickets are opened in the first stage that is marked initial.")));
}

/*
 * A ticket remembers the move that brought it where it is, so a move that is
 * asked for must be another one: no move begins where it leads.
 */
static void
check_direction(const DeskType *type)
{
	for (int i = 0; i < type->nmoves; i++)
		for (int k = 0; k < type->nmoves; k++)
			if (type->moves[i].from == type->moves[k].to && strcmp(type->moves[i].name, type->moves[k].name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						 errmsg("move \"%s\" of ticket type \"%s\" both begins and ends in stage \"%s\"", type->moves[i].name, type->type, type->moves[i].from->name),
						 errhint("Give one of the ways another name.")));
}

static void
compile_moves(const Desk *desk, DeskType *type)
{
	char	 ***requires;
	char	 ***who;
	char	  **guards;
	int			n = read_rows(desk, type,
							  "SELECT m.move, m.from_stage, m.to_stage, m.region::text, coalesce(lower(m.valid::tstzrange), '-infinity'), coalesce(upper(m.valid::tstzrange), 'infinity'), "
							  "m.off::boolean, m.guard, m.requires::text[], m.who::text[], m.title FROM %1$s.move AS m WHERE m.type = $1 AND m.version = $2 "
							  "ORDER BY m.move, m.from_stage, length(m.region::text) DESC, m.region::text, lower(m.valid::tstzrange) DESC NULLS LAST, m.valid");

	type->nmoves = n;
	type->moves = palloc0(sizeof(DeskMove) * Max(n, 1));
	guards = palloc(sizeof(char *) * Max(n, 1));
	requires = palloc(sizeof(char **) * Max(n, 1));
	who = palloc(sizeof(char **) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		DeskMove   *move = &type->moves[i];
		bool		isnull;

		move->name = column_text(i, 1);
		move->from = find_stage(type, column_text(i, 2));
		move->to = find_stage(type, column_text(i, 3));
		move->region = column_text(i, 4);
		move->since = DatumGetTimestampTz(settle_spi_datum(i, 5, &isnull));
		move->until = DatumGetTimestampTz(settle_spi_datum(i, 6, &isnull));
		move->off = column_bool(i, 7);
		guards[i] = column_text(i, 8);
		move->nrequired = Max(column_texts(i, 9, &requires[i]), 0);
		move->nwho = column_texts(i, 10, &who[i]);
		move->title = column_text(i, 11);
		if (move->from == NULL || move->to == NULL)
			elog(ERROR, "move \"%s\" has no stage", move->name);
	}
	for (int i = 0; i < n; i++)
	{
		DeskMove   *move = &type->moves[i];
		const char *of = psprintf("move \"%s\" of ticket type \"%s\"", move->name, type->type);

		move->guard = compile_term(type, type->scope.nnames, guards[i], BOOLOID, psprintf("guard of %s", of));
		move->required = palloc(sizeof(DeskField *) * Max(move->nrequired, 1));
		for (int k = 0; k < move->nrequired; k++)
		{
			move->required[k] = settle_desk_field(type, requires[i][k]);
			if (move->required[k] == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_COLUMN),
						 errmsg("%s requires field \"%s\", which its form does not have", of, requires[i][k])));
		}
		move->who = palloc(sizeof(DeskTerm) * Max(move->nwho, 1));
		for (int k = 0; k < move->nwho; k++)
			move->who[k] = compile_term(type, type->scope.nnames, who[i][k], InvalidOid, psprintf("who of %s", of));
	}
	check_direction(type);
}

/*
 * Raises 42704 where a name is that of no move.
 */
static void
check_move(const DeskType *type, const char *name, const char *what)
{
	for (int i = 0; i < type->nmoves; i++)
		if (strcmp(type->moves[i].name, name) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s of ticket type \"%s\" belongs to move \"%s\", which does not exist", what, type->type, name)));
}

static void
compile_nodes(const Desk *desk, DeskType *type)
{
	type->nnodes = read_rows(desk, type,
							 "SELECT n.move, n.node::int2, n.title FROM %1$s.move_node AS n WHERE n.type = $1 AND n.version = $2 ORDER BY n.move, n.node");
	type->nodes = palloc0(sizeof(DeskNode) * Max(type->nnodes, 1));
	for (int i = 0; i < type->nnodes; i++)
	{
		bool		isnull;

		type->nodes[i] = (DeskNode)
		{
			column_text(i, 1), DatumGetInt16(settle_spi_datum(i, 2, &isnull)), column_text(i, 3)
		};
	}
	for (int i = 0; i < type->nnodes; i++)
		check_move(type, type->nodes[i].move, psprintf("approval %d", type->nodes[i].node));
}

/*
 * Compiles a note, which the journal keeps for ever: it reads nothing personal.
 */
static DeskTerm *
compile_note(const DeskType *type, const char *text, const char *what)
{
	Bitmapset  *others = positions_used;
	DeskTerm   *term;
	AttrNumber	details = 0;

	positions_used = NULL;
	term = compile_optional(type, type->scope.nnames, text, InvalidOid, what);
	for (int i = 0; i < type->ncolumns; i++)
		if (type->scope.names[i].name != NULL && strcmp(type->scope.names[i].name, "details") == 0)
			details = i + 1;
	for (int i = 0; i < type->nfields; i++)
		if (type->fields[i].private && (bms_is_member(type->fields[i].position, positions_used) || bms_is_member(details, positions_used)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("%s reads field \"%s\", which is personal or sensitive", what, type->fields[i].name),
					 errdetail("The journal is kept when a person is erased.")));
	positions_used = bms_join(others, positions_used);
	return term;
}

static void
compile_follow_ups(const Desk *desk, DeskType *type)
{
	typedef struct Texts
	{
		char	   *applies_when;
		char	   *fields;
		char	   *payload;
		char	   *note;
	} Texts;
	Texts	   *texts;
	int			all = type->scope.nnames;

	type->nfollow_ups = read_rows(desk, type,
								  "SELECT u.move, u.follow_up, u.applies_when, u.after::interval, u.opens, u.fields, u.platform, u.kind, u.payload, u.note "
								  "FROM %1$s.follow_up AS u WHERE u.type = $1 AND u.version = $2 ORDER BY u.move, u.follow_up");
	type->follow_ups = palloc0(sizeof(DeskFollowUp) * Max(type->nfollow_ups, 1));
	texts = palloc(sizeof(Texts) * Max(type->nfollow_ups, 1));
	for (int i = 0; i < type->nfollow_ups; i++)
	{
		bool		isnull;

		type->follow_ups[i] = (DeskFollowUp)
		{
			.move = column_text(i, 1), .name = column_text(i, 2), .after = *DatumGetIntervalP(settle_spi_datum(i, 4, &isnull)),
			.opens = column_text(i, 5), .platform = column_text(i, 7), .kind = column_text(i, 8)
		};
		texts[i] = (Texts)
		{
			column_text(i, 3), column_text(i, 6), column_text(i, 9), column_text(i, 10)
		};
	}
	for (int i = 0; i < type->nfollow_ups; i++)
	{
		DeskFollowUp *f = &type->follow_ups[i];
		const char *of = psprintf("\"%s\", which follows move \"%s\" of ticket type \"%s\"", f->name, f->move, type->type);

		check_move(type, f->move, psprintf("follow-up \"%s\"", f->name));
		f->applies_when = compile_term(type, all, texts[i].applies_when, BOOLOID, psprintf("condition of %s", of));
		f->fields = compile_optional(type, all, texts[i].fields, JSONBOID, psprintf("fields of %s", of));
		f->payload = compile_optional(type, all, texts[i].payload, JSONBOID, psprintf("payload of %s", of));
		f->note = compile_note(type, texts[i].note, psprintf("note of %s", of));
	}
}

/*
 * Writes, for each reference, the query for the columns that some expression
 * reads; all of them are cast to what they were when they were compiled.
 */
static void
write_lookups(DeskType *type)
{
	for (int i = 0; i < type->nfields; i++)
	{
		DeskField  *field = &type->fields[i];
		StringInfoData query;

		if (field->kind != DESK_REFERENCE)
			continue;
		initStringInfo(&query);
		appendStringInfoString(&query, "SELECT true");
		field->looked_up = palloc(sizeof(int) * type->scope.nnames);
		for (int p = field->position + 1; p <= type->scope.nnames; p++)
		{
			const SettleName *name = &type->scope.names[p - 1];

			if (name->qualifier == NULL || strcmp(name->qualifier, field->name) != 0)
				break;
			if (!bms_is_member(p, positions_used))
				continue;
			appendStringInfo(&query, ", r.%s::%s", quote_identifier(name->name), format_type_extended(name->type, name->typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
			field->looked_up[field->nlooked_up++] = p;
		}
		appendStringInfo(&query, " FROM %s AS r WHERE r.%s OPERATOR(pg_catalog.=) $1::%s LIMIT 1",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(field->relation)), get_rel_name(field->relation)),
						 quote_identifier(field->key), format_type_extended(get_atttype(field->relation, get_attnum(field->relation, field->key)), -1, FORMAT_TYPE_FORCE_QUALIFY));
		field->lookup = query.data;
	}
}

/*
 * Compiles a type in the current memory context, as the owner of the book and
 * inside SPI.
 */
static void
compile_type(const Desk *desk, DeskType *type, TupleDesc ticket)
{
	int			nestlevel = settle_env_enter(desk->time_zone);
	TupleDesc	desc;

	positions_used = NULL;
	type->ncolumns = ticket->natts;
	for (int i = 0; i < ticket->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(ticket, i);

		add_name(type, NULL, a->attisdropped ? NULL : pstrdup(NameStr(a->attname)), a->atttypid, a->atttypmod, a->attcollation);
	}
	/* the book's own statements are written for pg_catalog, texts of people for the pinned environment */
	compile_fields(desk, type);
	compile_stages(desk, type);
	compile_moves(desk, type);
	compile_nodes(desk, type);
	compile_follow_ups(desk, type);
	write_lookups(type);

	desc = CreateTemplateTupleDesc(type->scope.nnames);
	for (int i = 0; i < type->scope.nnames; i++)
	{
		const SettleName *name = &type->scope.names[i];

		TupleDescInitEntry(desc, i + 1, name->name, name->name == NULL ? INT4OID : name->type, name->typmod, 0);
		TupleDescInitEntryCollation(desc, i + 1, name->collation);
	}
	type->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	type->econtext = CreateStandaloneExprContext();
	type->econtext->ecxt_scantuple = type->slot;
	type->compiled = true;
	settle_env_leave(nestlevel);
}

void
settle_desk_load(const DeskType *type, HeapTuple ticket, TupleDesc desc)
{
	TupleTableSlot *slot = type->slot;

	ResetExprContext(type->econtext);
	ExecClearTuple(slot);
	heap_deform_tuple(ticket, desc, slot->tts_values, slot->tts_isnull);
	memset(slot->tts_isnull + type->ncolumns, true, sizeof(bool) * (type->scope.nnames - type->ncolumns));
	ExecStoreVirtualTuple(slot);
}

char *
settle_ticket_text(HeapTuple ticket, TupleDesc desc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(ticket, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* ---- the types of a book ---- */

static AttrNumber
ticket_column(TupleDesc desc, const char *name, Oid type)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		if (!a->attisdropped && strcmp(NameStr(a->attname), name) == 0 && (a->atttypid == type || !OidIsValid(type)))
			return i + 1;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"ticket\" of the book has no column \"%s\" as settle.create_book makes it", name)));
}

bool
settle_ticket_has_type(HeapTuple ticket, TupleDesc desc)
{
	return !heap_attisnull(ticket, ticket_column(desc, "type", TEXTOID), desc);
}

/*
 * Reads what types are enabled, in the current memory context; they are
 * compiled later.
 */
static Desk *
open_desk(Oid schema, int64 revision, Relation relation)
{
	TupleDesc	ticket = RelationGetDescr(relation);
	Desk	   *desk = palloc0(sizeof(Desk));
	SettleIdentity identity;

	desk->schema = schema;
	desk->revision = revision;
	desk->ticket = CreateTupleDescCopy(ticket);
	desk->context = CurrentMemoryContext;
	desk->book = settle_book(schema);
	desk->row_type = assign_record_type_identifier(ticket->tdtypeid, ticket->tdtypmod);
	desk->columns = (DeskColumns)
	{
		.ticket_id = ticket_column(ticket, "ticket_id", TEXTOID), .type = ticket_column(ticket, "type", TEXTOID),
		.type_version = ticket_column(ticket, "type_version", INT4OID), .stage = ticket_column(ticket, "stage", TEXTOID),
		.move = ticket_column(ticket, "move", TEXTOID), .details = ticket_column(ticket, "details", JSONBOID),
		.region = ticket_column(ticket, "region", InvalidOid), .worker = ticket_column(ticket, "worker", TEXTOID),
		.amount = ticket_column(ticket, "amount", NUMERICOID), .done_at = ticket_column(ticket, "done_at", TIMESTAMPTZOID)
	};

	identity = settle_book_enter(&desk->book);
	SPI_connect();
	MemoryContextSwitchTo(desk->context);
	if (read_rows(desk, NULL, "SELECT b.time_zone FROM %1$s.book AS b") != 1)
		elog(ERROR, "book \"%s\" has lost its settings", desk->book.label);
	desk->time_zone = column_text(0, 1);
	desk->ntypes = read_rows(desk, NULL, "SELECT t.type, t.version::int4 FROM %1$s.ticket_type AS t WHERE t.enabled_at IS NOT NULL ORDER BY t.type COLLATE \"C\", t.version");
	desk->types = palloc0(sizeof(DeskType) * Max(desk->ntypes, 1));
	for (int i = 0; i < desk->ntypes; i++)
	{
		bool		isnull;

		desk->types[i].type = column_text(i, 1);
		desk->types[i].version = DatumGetInt32(settle_spi_datum(i, 2, &isnull));
	}
	SPI_finish();
	settle_book_leave(identity);
	return desk;
}

/*
 * Reads the revision of the types that the running statement sees.
 */
static int64
read_revision(Oid schema)
{
	Oid			relid = get_relname_relid("book", schema);
	AttrNumber	column = OidIsValid(relid) ? get_attnum(relid, "desk_revision") : InvalidAttrNumber;
	Relation	relation;
	TableScanDesc scan;
	TupleTableSlot *slot;
	bool		isnull = true;
	Datum		revision = 0;

	if (column <= 0 || get_atttype(relid, column) != INT8OID || get_rel_relkind(relid) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" is not a book", get_namespace_name(schema))));
	relation = table_open(relid, AccessShareLock);
	slot = table_slot_create(relation, NULL);
	scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		revision = slot_getattr(slot, column, &isnull);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, AccessShareLock);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("book \"%s\" has lost its settings", get_namespace_name(schema)),
				 errhint("The table book of a book holds exactly one row.")));
	return DatumGetInt64(revision);
}

#define MAX_DESKS	8

static Desk *desks[MAX_DESKS];
static uint64 desk_counter = 0;

Desk *
settle_desk(Relation ticket)
{
	Oid			schema = RelationGetNamespace(ticket);
	TupleDesc	desc = RelationGetDescr(ticket);
	uint64		row_type = assign_record_type_identifier(desc->tdtypeid, desc->tdtypmod);
	int64		revision = read_revision(schema);
	MemoryContext context;
	MemoryContext old;
	Desk	   *desk;
	int			place = 0;

	for (int i = 0; i < MAX_DESKS; i++)
	{
		desk = desks[i];
		if (desk != NULL && desk->schema == schema && desk->revision == revision && desk->row_type == row_type)
		{
			desk->last_use = ++desk_counter;
			return desk;
		}
		if (desks[place] != NULL && (desk == NULL || desk->last_use < desks[place]->last_use))
			place = i;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle desk", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	desk = open_desk(schema, revision, ticket);
	MemoryContextSwitchTo(old);
	/* an older one may still be in use further up; the transaction's memory keeps it */
	if (desks[place] != NULL)
		MemoryContextSetParent(desks[place]->context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	desk->last_use = ++desk_counter;
	desks[place] = desk;
	return desk;
}

/*
 * Compiles a type, as the owner of the book, into the memory of the desk.
 */
static void
need_type(Desk *desk, DeskType *type)
{
	MemoryContext context;
	MemoryContext old;
	DeskType	fresh = {.type = type->type, .version = type->version};
	SettleIdentity identity;

	if (type->compiled)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle ticket type", ALLOCSET_SMALL_SIZES);
	identity = settle_book_enter(&desk->book);
	SPI_connect();
	old = MemoryContextSwitchTo(context);
	compile_type(desk, &fresh, desk->ticket);
	MemoryContextSwitchTo(old);
	SPI_finish();
	settle_book_leave(identity);
	MemoryContextSetParent(context, desk->context);
	*type = fresh;
}

const DeskType *
settle_desk_type(Desk *desk, const char *name, int version)
{
	DeskType   *found = NULL;

	for (int i = 0; i < desk->ntypes; i++)
		if (strcmp(desk->types[i].type, name) == 0 && (version == 0 || desk->types[i].version == version))
			found = &desk->types[i];	/* the last one, of those in order */
	if (found == NULL)
	{
		StringInfoData known;

		initStringInfo(&known);
		for (int i = 0; i < desk->ntypes; i++)
			if (i + 1 == desk->ntypes || strcmp(desk->types[i].type, desk->types[i + 1].type) != 0)
				appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "", desk->types[i].type);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 version == 0 ? errmsg("ticket type \"%s\" does not exist", name)
				 : errmsg("version %d of ticket type \"%s\" does not exist", version, name),
				 known.len > 0 ? errhint("Enabled are: %s.", known.data) : errhint("settle.add_type drafts a type, settle.enable_type enables it.")));
	}
	need_type(desk, found);
	return found;
}

/* ---- changes ---- */

/*
 * settle.note_type_change() returns trigger
 *
 * Statement trigger on the tables of ticket types: gives them a new revision
 * and refuses them where an enabled one does not compile.
 */
PG_FUNCTION_INFO_V1(settle_note_type_change);
Datum
settle_note_type_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old;
	SettleBook	book;
	SettleIdentity identity;
	Relation	ticket;
	Desk	   *desk;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("settle.note_type_change is not called as an AFTER statement trigger")));
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	identity = settle_book_enter(&book);
	SPI_connect();
	settle_book_execute(psprintf("UPDATE %s.book SET desk_revision = nextval(%s::regclass)", book.name,
								 quote_literal_cstr(psprintf("%s.rule_revision", book.name))),
						0, NULL, NULL, NULL, SPI_OK_UPDATE);
	SPI_finish();
	settle_book_leave(identity);

	context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle desk", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	ticket = table_open(get_relname_relid("ticket", book.schema), AccessShareLock);
	desk = open_desk(book.schema, 0, ticket);
	for (int i = 0; i < desk->ntypes; i++)
		need_type(desk, &desk->types[i]);
	table_close(ticket, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}

/*
 * settle.add_type(book regnamespace, definition jsonb, reason text default null) returns integer
 *
 * Looks at the relations that fields refer to as whoever calls, then lets the
 * owner of the book do the rest.
 */
PG_FUNCTION_INFO_V1(settle_add_type);
Datum
settle_add_type(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		SettleBook	book = settle_book(PG_GETARG_OID(0));
		JsonbIterator *it = JsonbIteratorInit(&PG_GETARG_JSONB_P(1)->root);
		JsonbIteratorToken token;
		JsonbValue	value;
		bool		relation = false;

		settle_book_check_level(&book, SETTLE_CLERK);
		/* whatever is called so, wherever it stands */
		while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		{
			if (token == WJB_VALUE && relation && value.type == jbvString)
				settle_book_check_relation(&book, DatumGetObjectId(DirectFunctionCall1(regclassin, CStringGetDatum(pnstrdup(value.val.string.val, value.val.string.len)))));
			relation = token == WJB_KEY && value.val.string.len == strlen("relation") && memcmp(value.val.string.val, "relation", strlen("relation")) == 0;
		}
	}
	return settle_call_as_owner(fcinfo, SETTLE_CLERK);
}
