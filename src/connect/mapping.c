/*
 * mapping.c
 *		The mappings of a book, read from their tables and compiled.
 *
 * They are compiled once a call.  Expressions are read by the gateway of rules,
 * in the pinned environment of the book; the caller stands inside of it.  An
 * expression sees the fields before its own, the fields of the part its own
 * stands in as p.<field>, and s.platform, s.shop and s.received_at of the
 * staging row.
 */
#include "connect/connect.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

const Entity settle_entities[] = {
	{"shop_order", NULL, {"platform", "shop", "order_no"}},
	{"order_line", "shop_order", {"platform", "shop", "order_no", "line_no"}},
	{"promotion", "shop_order", {"platform", "shop", "order_no", "position"}},
	{"refund", NULL, {"platform", "shop", "refund_no"}},
	{"shop_payment", NULL, {"platform", "shop", "payment_no"}},
	{"profit_share", NULL, {"platform", "shop", "share_no", "receiver"}},
	{"shipment", NULL, {"platform", "carrier", "tracking_no"}},
	{"shipment_event", "shipment", {"platform", "carrier", "tracking_no", "position"}},
	{"customer_identity", NULL, {"platform", "scope", "key_type", "key_value", "subject"}},
	{"customer_follow", NULL, {"platform", "shop", "customer_no", "staff_ref"}},
	{"follow_event", NULL, {"platform", "shop", "customer_no", "staff_ref", "event_no"}},
	{"person", NULL, {"platform", "subject", "role"}},
	{"platform_ticket", NULL, {"platform", "shop", "ticket_no"}},
	{"platform_ticket_fee", NULL, {"platform", "shop", "ticket_no", "fee_no"}},
	{"platform_bill", NULL, {"platform", "shop", "bill_no", "line_no", "trade_type"}},
	{"signal", NULL, {"platform", "shop", "signal_no"}},
	/* makes no row: what stands in it is for the parts within */
	{"context", NULL, {NULL}},
};
const int	settle_nentities = lengthof(settle_entities);

/* What a staging row is to expressions, behind all fields. */
static const SettleName staging_names[] = {
	{"s", "platform", TEXTOID, -1, DEFAULT_COLLATION_OID},
	{"s", "shop", TEXTOID, -1, DEFAULT_COLLATION_OID},
	{"s", "received_at", TIMESTAMPTZOID, -1, InvalidOid},
};

static char *
spi_text(int row, int column)
{
	bool		isnull;
	Datum		value = settle_spi_datum(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static bool
spi_bool(int row, int column)
{
	bool		isnull;

	return DatumGetBool(settle_spi_datum(row, column, &isnull));
}

/* ---- statuses ---- */

/*
 * Gives what a raw status means; NULL where nobody has said.
 */
text *
settle_status(const Field *field, const text *raw)
{
	for (int i = 0; i < field->nstatuses; i++)
		if (VARSIZE_ANY_EXHDR(field->statuses[i].raw) == VARSIZE_ANY_EXHDR(raw) &&
			memcmp(VARDATA_ANY(field->statuses[i].raw), VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw)) == 0)
			return field->statuses[i].meaning;
	return NULL;
}

/*
 * Gives the fields of a mapping the words of their maps.
 */
static void
load_statuses(const SettleBook *book, Mapping *mapping)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(mapping->platform)};
	int			n = settle_book_execute(psprintf("SELECT m.map, m.raw, m.meaning FROM %s.status_map AS m WHERE m.platform = $1", book->name),
									   1, types, values, NULL, SPI_OK_SELECT);
	Status	   *statuses = palloc(sizeof(Status) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		statuses[i].map = spi_text(i, 1);
		statuses[i].raw = cstring_to_text(spi_text(i, 2));
		statuses[i].meaning = cstring_to_text(spi_text(i, 3));
	}
	for (int p = 0; p < mapping->nparts; p++)
		for (int f = 0; f < mapping->parts[p].nfields; f++)
		{
			Field	   *field = &mapping->parts[p].fields[f];

			if (field->map == NULL)
				continue;
			field->statuses = palloc(sizeof(Status) * Max(n, 1));
			for (int i = 0; i < n; i++)
				if (strcmp(statuses[i].map, field->map) == 0)
					field->statuses[field->nstatuses++] = statuses[i];
		}
}

/* ---- columns ---- */

/*
 * The columns of an entity's table, those that were dropped too: so its rows are
 * formed as the table stores them.
 */
static TupleDesc
entity_desc(const SettleBook *book, const char *entity, Bitmapset **not_null)
{
	Oid			relation = get_relname_relid(entity, book->schema);
	Oid			type = OidIsValid(relation) ? get_rel_type_id(relation) : InvalidOid;
	TupleDesc	desc;

	if (!OidIsValid(type))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"%s\" does not exist in book \"%s\"", entity, book->label)));
	desc = lookup_rowtype_tupdesc_copy(type, -1);
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attnotnull)
			*not_null = bms_add_member(*not_null, i);
	return desc;
}

static int
column_of(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i;
	return -1;
}

static const char *const column_names[NCOLUMNS] = {
	[COLUMN_PLATFORM] = "platform", [COLUMN_SHOP] = "shop", [COLUMN_POSITION] = "position", [COLUMN_VERSION] = "version",
	[COLUMN_PRECEDENCE] = "precedence", [COLUMN_STAGING_ID] = "staging_id", [COLUMN_TIED] = "tied", [COLUMN_FLAGS] = "flags",
	[COLUMN_LINE_NO] = "line_no", [COLUMN_LINE_PAID] = "line_paid", [COLUMN_ALLOCATED] = "allocated",
	[COLUMN_PAYABLE] = "payable_amount", [COLUMN_FREIGHT] = "freight_amount", [COLUMN_AMOUNT] = "amount", [COLUMN_IN_PRICE] = "in_price"
};

/*
 * Finds the columns of a part's table that are not read as fields.
 */
static void
find_columns(Part *part)
{
	for (int i = 0; i < NCOLUMNS; i++)
		part->columns[i] = part->desc == NULL ? -1 : column_of(part->desc, column_names[i]);
	for (int i = 0; i < SETTLE_MAX_KEYS; i++)
		part->keys[i] = part->entity->keys[i] == NULL ? -1 : column_of(part->desc, part->entity->keys[i]);
}

/* ---- parts and fields ---- */

/*
 * Adds the paths of an array to those of an element, and gives their numbers.
 */
static int *
add_paths(Paths *paths, Datum array, int *n)
{
	Datum	   *items;
	int		   *numbers;

	deconstruct_array(DatumGetArrayTypeP(array), JSONPATHOID, -1, false, TYPALIGN_INT, &items, NULL, n);
	numbers = palloc(sizeof(int) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		numbers[i] = settle_add_path(paths, items[i]);
	return numbers;
}

static Take
take_of(const char *name)
{
	return strcmp(name, "list") == 0 ? TAKE_LIST : strcmp(name, "sum") == 0 ? TAKE_SUM :
		strcmp(name, "count") == 0 ? TAKE_COUNT : TAKE_FIRST;
}

/*
 * Prepares what the expressions of a part see and the slot they read it from.
 */
static SettleScope
part_scope(const Mapping *mapping, Part *part)
{
	const Part *outer = part->within < 0 ? NULL : &mapping->parts[part->within];
	int			n = part->nfields + (outer == NULL ? 0 : outer->nfields) + lengthof(staging_names);
	SettleScope scope = {n, palloc0(sizeof(SettleName) * n)};
	TupleDesc	desc = CreateTemplateTupleDesc(n);
	int			at = 0;

	for (int level = 0; level < 2; level++)
	{
		const Part *owner = level == 0 ? part : outer;

		for (int i = 0; owner != NULL && i < owner->nfields; i++)
			scope.names[at++] = (SettleName)
		{
			level == 0 ? NULL : "p", owner->fields[i].name, owner->fields[i].type, -1, type_is_collatable(owner->fields[i].type) ? DEFAULT_COLLATION_OID : InvalidOid
		};
	}
	memcpy(scope.names + at, staging_names, sizeof(staging_names));
	for (int i = 0; i < n; i++)
	{
		TupleDescInitEntry(desc, i + 1, scope.names[i].name, scope.names[i].type, -1, 0);
		TupleDescInitEntryCollation(desc, i + 1, scope.names[i].collation);
	}
	part->nnames = n;
	part->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	return scope;
}

static void
check_column(const Part *part, const Field *field)
{
	Form_pg_attribute column = field->column < 0 ? NULL : TupleDescAttr(part->desc, field->column);

	if (column != NULL && column->atttypid != field->type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("field \"%s\" of a mapping is %s, its column %s", field->name, format_type_be(field->type), format_type_be(column->atttypid)),
				 errhint("Choose another form, or another way to take the values.")));
	if (column == NULL && part->desc != NULL && field->form != FORM_CHECK && field->form != FORM_FLAG && field->name[0] != '_')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"", part->entity->name, field->name),
				 errhint("A field that serves only other fields begins with an underscore.")));
}

/*
 * Reads the expressions of a part, once all its fields are known.
 */
static void
compile_expressions(const Mapping *mapping, Part *part, char **texts)
{
	SettleScope scope = part_scope(mapping, part);
	const char **hidden = palloc(sizeof(char *) * Max(part->nfields, 1));

	for (int i = 0; i < part->nfields; i++)
	{
		hidden[i] = scope.names[i].name;
		scope.names[i].name = NULL;
	}
	for (int i = 0; i < part->nfields; i++)
	{
		Field	   *field = &part->fields[i];

		if (texts[i] != NULL)
			field->state = settle_expr_init(settle_expr_read(texts[i], &scope, field->type,
															 psprintf("field \"%s\" of mapping %s/%s", field->name, mapping->platform, mapping->kind)));
		scope.names[i].name = hidden[i];
	}
}

static int
field_named(const Part *part, const char *name)
{
	for (int i = 0; i < part->nfields; i++)
		if (strcmp(part->fields[i].name, name) == 0)
			return i;
	return -1;
}

static void
require_field_type(const Part *part, int field, Oid type)
{
	if (field >= 0 && part->fields[field].type != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("field \"%s\" of a mapping must be %s", part->fields[field].name, format_type_be(type))));
}

static void
load_fields(Mappings *mappings, const SettleBook *book, Mapping *mapping, Part *part, const char *kind)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(mapping->platform), CStringGetTextDatum(kind), CStringGetTextDatum(part->name)};
	char	  **texts;

	part->nfields = settle_book_execute(psprintf("SELECT f.field, f.form, f.take, f.path, f.expression, f.map, f.required, f.signed, f.strict "
												 "FROM %s.mapping_field AS f WHERE f.platform = $1 AND f.kind = $2 AND f.part = $3 ORDER BY f.place, f.field COLLATE pg_catalog.\"C\"", book->name),
										3, types, values, NULL, SPI_OK_SELECT);
	part->fields = palloc0(sizeof(Field) * Max(part->nfields, 1));
	texts = palloc0(sizeof(char *) * Max(part->nfields, 1));
	for (int i = 0; i < part->nfields; i++)
	{
		Field	   *field = &part->fields[i];
		bool		isnull;
		Datum		path = settle_spi_datum(i, 4, &isnull);

		field->name = spi_text(i, 1);
		field->form = settle_form_named(spi_text(i, 2));
		field->take = take_of(spi_text(i, 3));
		field->type = settle_form_type(field->form);
		if (!isnull)
			field->paths = add_paths(part->paths, path, &field->npaths);
		texts[i] = spi_text(i, 5);
		field->map = spi_text(i, 6);
		field->required = spi_bool(i, 7);
		field->is_signed = spi_bool(i, 8);
		field->strict = spi_bool(i, 9);
		field->column = field->form == FORM_CHECK || field->form == FORM_FLAG || part->desc == NULL ? -1 : column_of(part->desc, field->name);
		if (field->take == TAKE_COUNT)
			field->type = INT8OID;
		else if (field->take == TAKE_LIST)
			field->type = get_array_type(field->type);
		check_column(part, field);
	}
	part->version = field_named(part, "version");
	part->rank = field_named(part, "_rank");
	part->final = field_named(part, "_final");
	part->weight = field_named(part, "_weight");
	part->skip = field_named(part, "_skip");
	part->shop = field_named(part, "shop");
	require_field_type(part, part->rank, INT8OID);
	require_field_type(part, part->final, BOOLOID);
	require_field_type(part, part->weight, NUMERICOID);
	require_field_type(part, part->skip, BOOLOID);
	compile_expressions(mapping, part, texts);
}

static const Entity *
find_entity(const char *name, int *number)
{
	for (*number = 0; *number < settle_nentities; ++*number)
		if (strcmp(settle_entities[*number].name, name) == 0)
			return &settle_entities[*number];
	elog(ERROR, "unknown entity \"%s\"", name);
}

/*
 * Reads the parts of a mapping, those that others stand in first.
 */
static void
load_parts(Mappings *mappings, const SettleBook *book, Mapping *mapping, const char *kind)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(mapping->platform), CStringGetTextDatum(kind)};

	mapping->nparts = settle_book_execute(psprintf("SELECT p.part, p.entity, p.within, p.rows FROM %s.mapping_part AS p "
												   "WHERE p.platform = $1 AND p.kind = $2 ORDER BY p.within IS NOT NULL, p.place, p.part COLLATE pg_catalog.\"C\"", book->name),
										  2, types, values, NULL, SPI_OK_SELECT);
	mapping->parts = palloc0(sizeof(Part) * Max(mapping->nparts, 1));
	for (int i = 0; i < mapping->nparts; i++)
	{
		Part	   *part = &mapping->parts[i];
		char	   *within = spi_text(i, 3);
		bool		isnull;

		part->name = spi_text(i, 1);
		part->entity = find_entity(spi_text(i, 2), &part->entity_no);
		part->is_line = strcmp(part->entity->name, "order_line") == 0;
		part->is_promotion = strcmp(part->entity->name, "promotion") == 0;
		part->is_signal = strcmp(part->entity->name, "signal") == 0;
		part->paths = settle_make_paths();
		part->within = -1;
		for (int j = 0; within != NULL && j < i; j++)
			if (strcmp(mapping->parts[j].name, within) == 0)
				part->within = j;
		if ((within != NULL && (part->within < 0 || mapping->parts[part->within].within >= 0)) ||
			(part->entity->parent != NULL && (part->within < 0 || strcmp(mapping->parts[part->within].entity->name, part->entity->parent) != 0)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("part \"%s\" of mapping %s/%s does not stand within a part that it can belong to", part->name, mapping->platform, kind),
					 part->entity->parent != NULL ? errhint("A %s belongs to a %s.", part->entity->name, part->entity->parent) : 0));
		part->rows = add_paths(part->within < 0 ? mapping->paths : mapping->parts[part->within].paths, settle_spi_datum(i, 4, &isnull), &part->nrows);
	}
	for (int i = 0; i < mapping->nparts; i++)
	{
		Part	   *part = &mapping->parts[i];

		if (mappings->descs[part->entity_no] == NULL && part->entity->keys[0] != NULL)
			mappings->descs[part->entity_no] = entity_desc(book, part->entity->name, &mappings->not_null[part->entity_no]);
		part->desc = mappings->descs[part->entity_no];
		part->not_null = mappings->not_null[part->entity_no];
		find_columns(part);
		load_fields(mappings, book, mapping, part, kind);
	}
}

/*
 * Reads and compiles all mappings of a book, through SPI as its owner, inside
 * the pinned environment.  Everything is in the current memory context.
 */
Mappings *
settle_load_mappings(const SettleBook *book)
{
	Mappings   *mappings = palloc0(sizeof(Mappings));
	char	  **uses;

	mappings->econtext = CreateStandaloneExprContext();
	mappings->n = settle_book_execute(psprintf("SELECT m.platform, m.kind, m.marker, m.inner_text, coalesce(m.uses, m.kind) "
											   "FROM %s.mapping AS m ORDER BY m.platform COLLATE pg_catalog.\"C\", m.place, m.kind COLLATE pg_catalog.\"C\"", book->name),
									  0, NULL, NULL, NULL, SPI_OK_SELECT);
	mappings->mappings = palloc0(sizeof(Mapping) * Max(mappings->n, 1));
	uses = palloc(sizeof(char *) * Max(mappings->n, 1));
	for (int i = 0; i < mappings->n; i++)
	{
		Mapping    *mapping = &mappings->mappings[i];
		bool		isnull;
		Datum		path;

		mapping->platform = spi_text(i, 1);
		mapping->kind = spi_text(i, 2);
		uses[i] = spi_text(i, 5);
		path = settle_spi_datum(i, 3, &isnull);
		mapping->paths = settle_make_paths();
		mapping->marker = isnull ? -1 : settle_add_path(mapping->paths, path);
		path = settle_spi_datum(i, 4, &isnull);
		mapping->inner = isnull ? -1 : settle_add_path(mapping->paths, path);
	}
	for (int i = 0; i < mappings->n; i++)
	{
		load_parts(mappings, book, &mappings->mappings[i], uses[i]);
		load_statuses(book, &mappings->mappings[i]);
	}
	return mappings;
}

PG_FUNCTION_INFO_V1(settle_vet_mappings);

/*
 * settle.vet_mappings() trigger: compiles the mappings as they are after the
 * statement, which raises what is wrong with them.
 */
Datum
settle_vet_mappings(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	SettleBook	book;
	SettleIdentity identity;
	MemoryContext context;
	MemoryContext old;
	int			nestlevel;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("function settle.vet_mappings must be called as a trigger")));
	trigger = (TriggerData *) fcinfo->context;
	book = settle_book(RelationGetNamespace(trigger->tg_relation));
	context = AllocSetContextCreate(CurrentMemoryContext, "mappings that are vetted", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	identity = settle_book_enter(&book);
	SPI_connect();
	MemoryContextSwitchTo(context);
	settle_book_execute(psprintf("SELECT b.time_zone FROM %s.book AS b", book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT);
	nestlevel = settle_env_enter(spi_text(0, 1));
	settle_load_mappings(&book);
	settle_env_leave(nestlevel);
	SPI_finish();
	settle_book_leave(identity);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}
