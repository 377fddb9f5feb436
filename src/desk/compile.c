/*
 * compile.c
 *		A ticket type as it is worked with, compiled from the rows that define it.
 *
 * A form is compiled field by field: the expressions of a field see the ticket,
 * the fields before it and the rows that these refer to.  All others see the
 * whole form.  Nothing that a table of the book gives is believed, since anybody
 * may forge a schema that looks like a book: each query casts what is read of it.
 */
#include "desk/desk.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

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

int
settle_desk_read(const Desk *desk, const DeskType *type, const char *query)
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
	int			n = settle_desk_read(desk, type,
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
			.field = settle_spi_text(i, 1), .kind = settle_spi_text(i, 2), .private = column_bool(i, 3), .region = settle_spi_text(i, 4),
			.required = settle_spi_text(i, 5), .shown = settle_spi_text(i, 6), .takes = settle_spi_text(i, 7), .pattern = settle_spi_text(i, 8),
			.relation = isnull ? InvalidOid : DatumGetObjectId(relation), .key = settle_spi_text(i, 11)
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
	type->nstages = settle_desk_read(desk, type,
									 "SELECT s.stage, s.initial::boolean, s.ready::boolean, s.pauses::boolean, s.ends, s.waits FROM %1$s.stage AS s WHERE s.type = $1 AND s.version = $2 ORDER BY s.place, s.stage");
	type->stages = palloc0(sizeof(DeskStage) * Max(type->nstages, 1));
	for (int i = 0; i < type->nstages; i++)
		type->stages[i] = (DeskStage)
	{
		settle_spi_text(i, 1), column_bool(i, 2), column_bool(i, 3), column_bool(i, 4), settle_spi_text(i, 5), settle_spi_text(i, 6)
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

/*
 * A stage that waits for the parts of a ticket is left by the move it names,
 * so it has that move, and is no end.
 */
static void
check_waiting(const DeskType *type)
{
	for (int i = 0; i < type->nstages; i++)
	{
		const DeskStage *stage = &type->stages[i];
		bool		found = stage->waits == NULL;

		for (int k = 0; k < type->nmoves; k++)
			found = found || (type->moves[k].from == stage && strcmp(type->moves[k].name, stage->waits) == 0);
		if (!found || (stage->waits != NULL && (stage->ready || stage->ends != NULL)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("stage \"%s\" of ticket type \"%s\" cannot wait for parts", stage->name, type->type),
					 errdetail("A stage that waits is neither ready nor an end, and its move \"%s\" begins there.", stage->waits)));
	}
}

static void
compile_moves(const Desk *desk, DeskType *type)
{
	char	 ***requires;
	char	 ***who;
	char	  **guards;
	int			n = settle_desk_read(desk, type,
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

		move->name = settle_spi_text(i, 1);
		move->from = settle_desk_stage(type, settle_spi_text(i, 2));
		move->to = settle_desk_stage(type, settle_spi_text(i, 3));
		move->region = settle_spi_text(i, 4);
		move->since = DatumGetTimestampTz(settle_spi_datum(i, 5, &isnull));
		move->until = DatumGetTimestampTz(settle_spi_datum(i, 6, &isnull));
		move->off = column_bool(i, 7);
		guards[i] = settle_spi_text(i, 8);
		move->nrequired = Max(column_texts(i, 9, &requires[i]), 0);
		move->nwho = column_texts(i, 10, &who[i]);
		move->title = settle_spi_text(i, 11);
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
	check_waiting(type);
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
	type->nnodes = settle_desk_read(desk, type,
									"SELECT n.move, n.node::int2, n.title FROM %1$s.move_node AS n WHERE n.type = $1 AND n.version = $2 ORDER BY n.move, n.node");
	type->nodes = palloc0(sizeof(DeskNode) * Max(type->nnodes, 1));
	for (int i = 0; i < type->nnodes; i++)
	{
		bool		isnull;

		type->nodes[i] = (DeskNode)
		{
			settle_spi_text(i, 1), DatumGetInt16(settle_spi_datum(i, 2, &isnull)), settle_spi_text(i, 3)
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

	type->nfollow_ups = settle_desk_read(desk, type,
										 "SELECT u.move, u.follow_up, u.applies_when, u.after::interval, u.opens, u.fields, u.platform, u.kind, u.payload, u.note "
										 "FROM %1$s.follow_up AS u WHERE u.type = $1 AND u.version = $2 ORDER BY u.move, u.follow_up");
	type->follow_ups = palloc0(sizeof(DeskFollowUp) * Max(type->nfollow_ups, 1));
	texts = palloc(sizeof(Texts) * Max(type->nfollow_ups, 1));
	for (int i = 0; i < type->nfollow_ups; i++)
	{
		bool		isnull;

		type->follow_ups[i] = (DeskFollowUp)
		{
			.move = settle_spi_text(i, 1), .name = settle_spi_text(i, 2), .after = *DatumGetIntervalP(settle_spi_datum(i, 4, &isnull)),
			.opens = settle_spi_text(i, 5), .platform = settle_spi_text(i, 7), .kind = settle_spi_text(i, 8)
		};
		texts[i] = (Texts)
		{
			settle_spi_text(i, 3), settle_spi_text(i, 6), settle_spi_text(i, 9), settle_spi_text(i, 10)
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
void
settle_desk_compile(const Desk *desk, DeskType *type)
{
	TupleDesc	ticket = desk->ticket;
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
	type->timed = settle_desk_read(desk, type, "SELECT d.kind = 'stage' FROM %1$s.deadline_target AS d WHERE d.type = $1 AND $2 > 0 ORDER BY 1 DESC LIMIT 1") > 0;
	type->times_stages = type->timed && column_bool(0, 1);
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
