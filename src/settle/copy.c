/*
 * copy.c
 *		Writes rows into a table of the book through COPY's own machinery.
 *
 * COPY inserts in bulk and still does all that an ordinary INSERT does:
 * constraints, defaults, triggers, partition routing.  Rows are handed over in
 * its binary format, so that nothing is printed and parsed.  COPY from a
 * callback checks no privileges, hence the check here; the caller acts as the
 * owner of the book.
 */
#include "settle/settle.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "commands/copy.h"
#include "extension/ltree/ltree.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

/* The rows being written; COPY's callback has no argument of its own. */
typedef struct CopySource
{
	SettleCopyRow row;
	void	   *arg;
	StringInfoData buf;
	int			sent;
	int			ncolumns;
	bool		finished;
} CopySource;

static CopySource *copy_source;

#define COPY_CHUNK	65536

/*
 * Gives COPY the next bytes.
 */
static int
copy_callback(void *outbuf, int minread, int maxread)
{
	CopySource *c = copy_source;
	int			n;

	if (c->sent == c->buf.len && !c->finished)
	{
		resetStringInfo(&c->buf);
		c->sent = 0;
		while (c->buf.len < COPY_CHUNK && !c->finished)
		{
			int			start = c->buf.len;

			pq_sendint16(&c->buf, (uint16) c->ncolumns);
			if (!c->row(&c->buf, c->arg))
			{
				c->buf.len = start;
				pq_sendint16(&c->buf, (uint16) -1);
				c->finished = true;
			}
		}
	}
	n = Min(maxread, c->buf.len - c->sent);
	memcpy(outbuf, c->buf.data + c->sent, n);
	c->sent += n;
	return n;
}

/*
 * Writes all rows that "row" gives into the named columns of a table.
 */
uint64
settle_copy_into(Oid schema, const char *table, List *columns, SettleCopyRow row, void *arg)
{
	static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
	CopySource	source = {0};
	CopySource *outer = copy_source;
	int			client_encoding = pg_get_client_encoding();
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
	source.row = row;
	source.arg = arg;
	source.ncolumns = list_length(columns);
	initStringInfo(&source.buf);
	appendBinaryStringInfo(&source.buf, header, 19);
	copy_source = &source;
	PG_TRY();
	{
		/* texts of the binary format are in the client's encoding; ours are in the server's */
		SetClientEncoding(GetDatabaseEncoding());
		pstate = make_parsestate(NULL);
		addRangeTableEntryForRelation(pstate, relation, RowExclusiveLock, NULL, false, false);
		state = BeginCopyFrom(pstate, relation, NULL, NULL, false, copy_callback, columns,
							  list_make1(makeDefElem("format", (Node *) makeString("binary"), -1)));
		n = CopyFrom(state);
		EndCopyFrom(state);
		free_parsestate(pstate);
	}
	PG_FINALLY();
	{
		SetClientEncoding(client_encoding);
		copy_source = outer;
	}
	PG_END_TRY();
	table_close(relation, NoLock);
	return n;
}

void
settle_copy_null(StringInfo buf)
{
	pq_sendint32(buf, (uint32) -1);
}

void
settle_copy_int16(StringInfo buf, int16 value)
{
	pq_sendint32(buf, 2);
	pq_sendint16(buf, (uint16) value);
}

void
settle_copy_int32(StringInfo buf, int32 value)
{
	pq_sendint32(buf, 4);
	pq_sendint32(buf, (uint32) value);
}

void
settle_copy_int64(StringInfo buf, int64 value)
{
	pq_sendint32(buf, 8);
	pq_sendint64(buf, (uint64) value);
}

void
settle_copy_bytes(StringInfo buf, const void *bytes, int len)
{
	pq_sendint32(buf, (uint32) len);
	appendBinaryStringInfo(buf, bytes, len);
}

void
settle_copy_text(StringInfo buf, const char *value)
{
	settle_copy_bytes(buf, value, (int) strlen(value));
}

/*
 * An exact decimal in numeric's binary form: digits to the base of 10,000.
 */
void
settle_copy_dec(StringInfo buf, SettleDec value)
{
	uint128		coef;
	int16		digits[16];
	int			n = 0;
	int			first = 0;
	int			last;
	int			pad;
	int			fraction;

	if (value.wide != NULL)
	{
		bytea	   *bytes = DatumGetByteaPP(DirectFunctionCall1(numeric_send, NumericGetDatum(value.wide)));

		settle_copy_bytes(buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
		return;
	}
	coef = value.coef < 0 ? -(uint128) value.coef : (uint128) value.coef;
	/* align the decimal point to a multiple of four digits */
	fraction = (value.scale + 3) / 4;
	pad = fraction * 4 - value.scale;
	if (pad > 0)
	{
		static const int scale10[] = {1, 10, 100, 1000};
		int			low = (int) (coef % (10000 / scale10[pad])) * scale10[pad];

		digits[n++] = (int16) low;
		coef /= 10000 / scale10[pad];
	}
	while (coef > 0)
	{
		digits[n++] = (int16) (coef % 10000);
		coef /= 10000;
	}
	/* digits[] is least significant first; strip zeros at both ends */
	last = n;
	while (last > 0 && digits[last - 1] == 0)
		last--;
	while (first < last && digits[first] == 0)
		first++;

	pq_sendint32(buf, 8 + 2 * (last - first));
	pq_sendint16(buf, (uint16) (last - first));
	pq_sendint16(buf, (uint16) (last - fraction - 1));
	pq_sendint16(buf, last > first && value.coef < 0 ? 0x4000 : 0);
	pq_sendint16(buf, (uint16) value.scale);
	for (int i = last - 1; i >= first; i--)
		pq_sendint16(buf, (uint16) digits[i]);
}

/*
 * A label path in ltree's binary form: a version byte and its text.
 */
void
settle_copy_ltree(StringInfo buf, struct varlena *path)
{
	ltree	   *tree;
	ltree_level *level;
	StringInfoData text;

	if (path == NULL)
	{
		settle_copy_null(buf);
		return;
	}
	tree = (ltree *) PG_DETOAST_DATUM(path);
	level = LTREE_FIRST(tree);
	initStringInfo(&text);
	for (int i = 0; i < tree->numlevel; i++)
	{
		if (i > 0)
			appendStringInfoChar(&text, '.');
		appendBinaryStringInfo(&text, level->name, level->len);
		level = LEVEL_NEXT(level);
	}
	pq_sendint32(buf, (uint32) (1 + text.len));
	pq_sendbyte(buf, 1);
	appendBinaryStringInfo(buf, text.data, text.len);
	pfree(text.data);
}
