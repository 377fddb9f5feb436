/*
 * own.c
 *		Whose rows a role may call its own.
 *
 * The views my_* of a book read with the rights of the book's owner and keep
 * the rows of the parties that settle.own_parties names.  It runs as whoever
 * reads the view, so that is whom it answers for: the current user, by
 * <book>.party_role, or the party that a delegate acts for.  Neither is a
 * setting, which anybody could SET.
 */
#include "book/book.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

/*
 * The roles whose rights the current user has by himself: a superuser has those
 * of all roles, but is not everybody.
 */
#define ROLES_OF_USER \
	"WITH RECURSIVE above (role) AS (SELECT $1 UNION SELECT m.roleid FROM above AS a JOIN pg_catalog.pg_auth_members AS m ON m.member OPERATOR(pg_catalog.=) a.role) " \
	"SELECT a.role::pg_catalog.regrole FROM above AS a WHERE pg_catalog.pg_has_role($1, a.role, 'USAGE')"

/*
 * settle.own_parties(book regnamespace) returns text[]
 *
 * The parties whose rows the current user may call his own: those of his roles,
 * or the one that he acts for where he has the level delegate.
 */
PG_FUNCTION_INFO_V1(settle_own_parties);
Datum
settle_own_parties(PG_FUNCTION_ARGS)
{
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	const char *acting = settle_acting_party(book.schema);
	Oid			types[] = {OIDOID};
	Datum		user = ObjectIdGetDatum(GetUserId());
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inner;
	SettleIdentity identity = settle_book_enter(&book);
	bool		isnull;
	Datum		parties;

	SPI_connect();
	settle_book_keep_plans();
	/* who has become another role since has that role's rows */
	if (acting != NULL &&
		settle_book_query(psprintf("SELECT FROM %s.access AS a WHERE a.level OPERATOR(pg_catalog.=) 'delegate' "
								   "AND a.role OPERATOR(pg_catalog.=) ANY (ARRAY(" ROLES_OF_USER "))", book.name),
						  1, types, &user, true) > 0)
	{
		Datum		party = CStringGetTextDatum(acting);

		parties = PointerGetDatum(construct_array(&party, 1, TEXTOID, -1, false, TYPALIGN_INT));
	}
	else
	{
		(void) settle_book_query(psprintf("SELECT ARRAY(SELECT DISTINCT r.party::pg_catalog.text FROM %s.party_role AS r "
										  "WHERE r.role OPERATOR(pg_catalog.=) ANY (ARRAY(" ROLES_OF_USER ")) ORDER BY 1)", book.name),
								 1, types, &user, true);
		parties = settle_spi_datum(0, 1, &isnull);
	}
	inner = MemoryContextSwitchTo(context);
	parties = PointerGetDatum(PG_DETOAST_DATUM_COPY(parties));
	MemoryContextSwitchTo(inner);
	SPI_finish();
	settle_book_leave(identity);
	return parties;
}
