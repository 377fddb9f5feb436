/*
 * copy.c
 *		Writes rows into a table of the book, many through COPY's own machinery.
 *
 * COPY inserts in bulk and still does all that an ordinary INSERT does:
 * constraints, defaults, triggers, partition routing.  What it reads says only
 * how many columns a row has and which of them are null; the values are handed
 * over as they are, by a function that stands in for the receive functions of
 * their types, so that nothing is encoded and decoded.  They must therefore be
 * of the types that the columns have, which settle_book has checked and locked.
 *
 * COPY from a callback checks no privileges, hence the check here; the caller
 * acts as the owner of the book.
 *
 * Setting COPY up takes longer than writing a few rows.  Where the session asks
 * little of the book each time they are inserted one by one, by bulk.c.
 */
#include "book/rows.h"
#include "settle/settle.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "book/progress.h"
#include "catalog/namespace.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

/* The rows being written; COPY's callback has no argument of its own. */
typedef struct RowSource
{
	SettleCopyRow row;
	void	   *arg;
	int			ncolumns;
	bool		begun;
	bool		finished;
	Datum	   *values;			/* of the row that COPY is about to read */
	bool	   *nulls;
	StringInfoData buf;
} RowSource;

static RowSource *row_source;

/*
 * Stands in for a receive function.
 */
static Datum
take_value(PG_FUNCTION_ARGS)
{
	return *(Datum *) fcinfo->flinfo->fn_extra;
}

/*
 * Gives COPY its header, then the next row, and never more than one: what is
 * allocated here lives as long as COPY needs the row.
 */
static int
copy_callback(void *outbuf, int minread, int maxread)
{
	static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
	RowSource *c = row_source;

	resetStringInfo(&c->buf);
	if (!c->begun)
		appendBinaryStringInfo(&c->buf, header, 19);
	else if (!c->finished && c->row(c->values, c->nulls, c->arg))
	{
		pq_sendint16(&c->buf, (uint16) c->ncolumns);
		for (int i = 0; i < c->ncolumns; i++)
			pq_sendint32(&c->buf, c->nulls[i] ? (uint32) -1 : 0);
	}
	else if (!c->finished)
	{
		pq_sendint16(&c->buf, (uint16) -1);
		c->finished = true;
	}
	c->begun = true;
	Assert(c->buf.len <= maxread);
	memcpy(outbuf, c->buf.data, c->buf.len);
	return c->buf.len;
}

/*
 * Finds where the named columns are; false where another column has to be given
 * a value.
 */
static bool
place_columns(TupleDesc desc, const char *const *columns, int ncolumns, int *places)
{
	int			placed = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);
		int			at = 0;

		while (at < ncolumns && (a->attisdropped || strcmp(NameStr(a->attname), columns[at]) != 0))
			at++;
		if (at < ncolumns)
		{
			places[at] = i;
			placed++;
		}
		else if (a->atthasdef || a->attidentity != '\0')
			return false;
	}
	return placed == ncolumns;
}

/*
 * Inserts the rows one by one; false, and none is asked for, where that takes
 * more.
 */
static bool
insert_rows(Relation relation, const char *const *columns, int ncolumns, SettleCopyRow row, void *arg, uint64 *n)
{
	TupleDesc	desc = RelationGetDescr(relation);
	int		   *places = palloc(sizeof(int) * ncolumns);
	Datum	   *given = palloc(sizeof(Datum) * ncolumns);
	bool	   *given_nulls = palloc(sizeof(bool) * ncolumns);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	HeapTuple  *rows = NULL;
	int			space = 0;
	SettleBook	book;

	*n = 0;
	book = settle_book_unchecked(RelationGetNamespace(relation));
	settle_book_check_table(&book, RelationGetRelationName(relation));
	if (!settle_takes_rows(relation) || !place_columns(desc, columns, ncolumns, places))
		return false;
	memset(nulls, true, sizeof(bool) * desc->natts);
	while (row(given, given_nulls, arg))
	{
		for (int i = 0; i < ncolumns; i++)
		{
			values[places[i]] = given[i];
			nulls[places[i]] = given_nulls[i];
		}
		rows = settle_grow(rows, (int) *n, &space, sizeof(HeapTuple));
		rows[(*n)++] = heap_form_tuple(desc, values, nulls);
	}
	if (*n > 0 && !settle_insert_rows(RelationGetRelid(relation), rows, (int) *n))
		elog(ERROR, "table \"%s\" takes rows no more", RelationGetRelationName(relation));
	return true;
}

/*
 * Writes all rows that "row" gives into the named columns of a table.
 */
uint64
settle_copy_into(Oid schema, const char *table, const char *const *columns, int ncolumns, SettleCopyRow row, void *arg)
{
	RowSource	source = {.row = row, .arg = arg, .ncolumns = ncolumns};
	RowSource *outer = row_source;
	List	   *names = NIL;
	Oid			relid = get_relname_relid(table, schema);
	Relation	relation;
	ParseState *pstate;
	CopyFromState state;
	uint64		n;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of the book is missing", table)));
	if (pg_class_aclcheck(relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, table);
	if (check_enable_rls(relid, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("row security of table \"%s\" would bind the owner of the book", table)));

	relation = table_open(relid, RowExclusiveLock);
	if (settle_book_asks_little() && insert_rows(relation, columns, ncolumns, row, arg, &n))
	{
		table_close(relation, NoLock);
		return n;
	}
	source.values = palloc(sizeof(Datum) * ncolumns);
	source.nulls = palloc(sizeof(bool) * ncolumns);
	initStringInfo(&source.buf);
	for (int i = 0; i < ncolumns; i++)
		names = lappend(names, makeString(pstrdup(columns[i])));
	row_source = &source;
	PG_TRY();
	{
		pstate = make_parsestate(NULL);
		addRangeTableEntryForRelation(pstate, relation, RowExclusiveLock, NULL, false, false);
		state = BeginCopyFrom(pstate, relation, NULL, NULL, false, copy_callback, names,
							  list_make1(makeDefElem("format", (Node *) makeString("binary"), -1)));
		settle_progress_keep();
		for (int i = 0; i < ncolumns; i++)
			state->in_functions[list_nth_int(state->attnumlist, i) - 1] =
				(FmgrInfo) {.fn_addr = take_value, .fn_nargs = 3, .fn_strict = true, .fn_mcxt = CurrentMemoryContext, .fn_extra = &source.values[i]};
		n = CopyFrom(state);
		EndCopyFrom(state);
		settle_progress_keep();
		free_parsestate(pstate);
	}
	PG_FINALLY();
	{
		row_source = outer;
	}
	PG_END_TRY();
	table_close(relation, NoLock);
	return n;
}
