/*
 * copy.c
 *		Writes rows into a table of the book: by bulk.c, or by COPY where
 *		something hangs on the table that only a statement serves.
 *
 * COPY inserts in bulk and still does all that an ordinary INSERT does:
 * constraints, defaults, triggers, partition routing.  What it reads says only
 * how many columns a row has and which of them are null; the values are handed
 * over as they are, by a function that stands in for the receive functions of
 * their types, so that nothing is encoded and decoded.  They must therefore be
 * of the types that the columns have, which settle_book has checked and locked.
 *
 * Neither way checks privileges as a statement does, hence the check here; the
 * caller acts as the owner of the book.
 */
#include "book/rows.h"
#include "settle/settle.h"

#include "access/table.h"
#include "book/progress.h"
#include "catalog/namespace.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "expr/expr.h"
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
	SettleNextRow row;
	void	   *arg;
	int			ncolumns;
	uint64		given;			/* rows so far */
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
		c->given++;
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
 * Writes all rows that "row" gives into the named columns of a table.
 */
uint64
settle_copy_into(Oid schema, const char *table, const char *const *columns, int ncolumns, SettleNextRow row, void *arg)
{
	RowSource	source = {.row = row, .arg = arg, .ncolumns = ncolumns};
	RowSource *outer = row_source;
	List	   *names = NIL;
	Oid			relid = get_relname_relid(table, schema);
	Relation	relation;
	ParseState *pstate;
	CopyFromState state;
	SettleBook	book;
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
	book = settle_book_unchecked(schema);
	settle_book_check_table(&book, table);
	if (settle_insert_values(relation, columns, ncolumns, row, arg, &n))
	{
		table_close(relation, NoLock);
		return n;
	}
	settle_env_need();
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
	/* sheets and tallies, and the record of both, stand or fall together */
	if (n != source.given)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("%llu rows of table \"%s\" were not written", (unsigned long long) (source.given - n), table),
				 errdetail("A trigger before them gave null."),
				 errhint("Use a trigger that raises an error, or none.")));
	table_close(relation, NoLock);
	return n;
}
