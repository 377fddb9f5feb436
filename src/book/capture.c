/*
 * capture.c
 *		Making the triggers that tell a book of changes of its sources; what they
 *		do stands in settle/capture.c.
 *
 * Row triggers of a partitioned table are cloned to its partitions, those that
 * are attached later too.  Statement triggers, which a TRUNCATE fires, are not,
 * and nothing is cloned to children of an ordinary table.
 */
#include "book/book.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/*
 * Names the triggers of a source.
 */
static char *
trigger_name(const SettleBook *book, const char *source, const char *label)
{
	char	   *base = psprintf("settle_%s_%s", book->label, source);

	if (label != NULL)
		return makeObjectName(base, NULL, label);
	truncate_identifier(base, (int) strlen(base), false);
	return base;
}

/*
 * Makes triggers of a source on one of its tables.
 */
static void
create_capture(const SettleBook *book, const char *source, Oid relid, bool of_rows, bool of_truncate, bool at_commit)
{
	const char *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	const char *arguments = psprintf("%s, %s%s", quote_literal_cstr(book->label), quote_literal_cstr(source), at_commit ? ", 'commit'" : "");
	const char *on_row = quote_identifier(trigger_name(book, source, NULL));
	const char *on_truncate = quote_identifier(trigger_name(book, source, "all"));
	const char *on_commit = quote_identifier(trigger_name(book, source, "now"));

	if (of_rows)
	{
		settle_book_execute(psprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s "
									 "FOR EACH ROW EXECUTE FUNCTION settle.capture(%s)", on_row, table, arguments),
							0, NULL, NULL, NULL, SPI_OK_UTILITY);
		settle_book_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, on_row), 0, NULL, NULL, NULL, SPI_OK_UTILITY);
	}
	if (of_truncate)
	{
		settle_book_execute(psprintf("CREATE TRIGGER %s AFTER TRUNCATE ON %s "
									 "FOR EACH STATEMENT EXECUTE FUNCTION settle.capture(%s)", on_truncate, table, arguments),
							0, NULL, NULL, NULL, SPI_OK_UTILITY);
		settle_book_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, on_truncate), 0, NULL, NULL, NULL, SPI_OK_UTILITY);
	}
	if (of_rows && at_commit)
		settle_book_execute(psprintf("CREATE CONSTRAINT TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s "
									 "DEFERRABLE INITIALLY DEFERRED "
									 "FOR EACH ROW EXECUTE FUNCTION settle.settle_at_commit(%s)", on_commit, table, arguments),
							0, NULL, NULL, NULL, SPI_OK_UTILITY);
}

/*
 * Makes the triggers that a source lacks, all sources where it is null; returns
 * on how many tables.  Rows of periods are written by the code of the book, which
 * settles them itself and may queue no deferred trigger.
 */
int
settle_create_captures(const SettleBook *book, const char *source)
{
	Oid			type = NAMEOID;
	Datum		name = source == NULL ? (Datum) 0 : DirectFunctionCall1(namein, CStringGetDatum(source));
	uint64		n;
	char	  **sources;
	Oid		   *relations;
	bool	   *at_commit;
	bool		isnull;
	int			completed = 0;

	n = settle_book_execute(psprintf("SELECT s.source, s.relation::pg_catalog.oid, b.settle_on OPERATOR(pg_catalog.=) 'commit' "
									 "AND s.source OPERATOR(pg_catalog.<>) '" SETTLE_PERIOD_SOURCE "'::pg_catalog.name "
									 "FROM %1$s.source AS s CROSS JOIN %1$s.book AS b JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.relation::pg_catalog.oid "
									 "WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}') AND ($1 IS NULL OR s.source OPERATOR(pg_catalog.=) $1) ORDER BY s.source_id", book->name),
							1, &type, &name, source == NULL ? "n" : " ", SPI_OK_SELECT);
	sources = palloc(sizeof(char *) * (n + 1));
	relations = palloc(sizeof(Oid) * (n + 1));
	at_commit = palloc(sizeof(bool) * (n + 1));
	for (uint64 i = 0; i < n; i++)
	{
		sources[i] = pstrdup(NameStr(*DatumGetName(settle_spi_datum((int) i, 1, &isnull))));
		relations[i] = DatumGetObjectId(settle_spi_datum((int) i, 2, &isnull));
		at_commit[i] = DatumGetBool(settle_spi_datum((int) i, 3, &isnull));
	}
	for (uint64 i = 0; i < n; i++)
	{
		ListCell   *lc;

		/* a parent comes before those that its row triggers are cloned to; those of statements are not */
		foreach(lc, find_all_inheritors(relations[i], AccessShareLock, NULL))
		{
			Oid			relid = lfirst_oid(lc);
			bool		of_rows = !OidIsValid(get_trigger_oid(relid, trigger_name(book, sources[i], NULL), true));
			bool		of_truncate = !OidIsValid(get_trigger_oid(relid, trigger_name(book, sources[i], "all"), true));

			if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE || (!of_rows && !of_truncate))
				continue;
			create_capture(book, sources[i], relid, of_rows, of_truncate, at_commit[i]);
			completed++;
		}
	}
	return completed;
}

/*
 * settle.complete_capture(book regnamespace) returns int
 *
 * Makes the triggers that partitions and children lack which came after their
 * source was added; returns on how many tables.
 */
PG_FUNCTION_INFO_V1(settle_complete_capture);
Datum
settle_complete_capture(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	SettleIdentity identity;
	int			completed;

	settle_book_check_level(&book, SETTLE_ADMIN);
	identity = settle_book_enter(&book);
	SPI_connect();
	completed = settle_create_captures(&book, NULL);
	SPI_finish();
	settle_book_leave(identity);
	PG_RETURN_INT32(completed);
}
