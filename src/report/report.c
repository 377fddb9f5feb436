/*
 * report.c
 *		Reads of a book that a view cannot give.
 */
#include "book/book.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/*
 * settle.lines_of(book regnamespace, party text, during daterange default
 *				   '(,)') returns setof (source, ticket_key, ticket_time, period, component,
 *				   rule_code, payer, payee, base, factor, amount, unit, project, region, run_id)
 *
 * Returns the lines that name a party, in the periods that begin in a range.
 * The sheets are found by the sums that every run keeps by party, not by
 * unpacking all of them, which a filter on line_detail would have to.
 */
PG_FUNCTION_INFO_V1(settle_lines_of);
Datum
settle_lines_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book = settle_book(PG_GETARG_OID(0));
	Oid			types[] = {TEXTOID, DATERANGEOID};
	Datum		values[] = {PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	SettleIdentity identity;
	uint64		n;
	int			ncolumns;

	InitMaterializedSRF(fcinfo, 0);
	ncolumns = rsinfo->setDesc->natts;
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	n = settle_book_execute(psprintf(
		"WITH mine AS (SELECT d.run_id, d.sheets FROM %1$s.party AS me JOIN %1$s.party_sum AS d ON d.party_id = me.party_id "
		"WHERE me.party = $1 AND d.period <@ $2) "
		"SELECT so.source::text, sh.ticket_key, sh.ticket_time, sh.period, r.component || CASE WHEN l.retier THEN '.retier' WHEN sh.source_id = 0 THEN '.fx' ELSE '' END, r.code, "
		"payer.party, payee.party, l.base, l.factor, l.amount, coalesce(r.unit, sh.currency), sh.project::text, sh.region::text, sh.run_id "
		"FROM %1$s.sheet AS sh "
		"CROSS JOIN LATERAL settle._unpack(sh.lines) AS l "
		"JOIN %1$s.rule AS r ON r.rule_id = l.rule_id "
		"JOIN %1$s.source AS so ON so.source_id = sh.source_id "
		"JOIN %1$s.party AS payer ON payer.party_id = l.payer_id "
		"JOIN %1$s.party AS payee ON payee.party_id = l.payee_id "
		/* a party that is on most sheets of a run is looked for in all of them */
		"WHERE sh.sheet_id IN (SELECT unnest(m.sheets) FROM mine AS m UNION "
		"SELECT s.sheet_id FROM %1$s.sheet AS s WHERE s.run_id IN (SELECT m.run_id FROM mine AS m WHERE m.sheets IS NULL)) "
		"AND sh.period <@ $2 AND $1 IN (payer.party, payee.party) "
		"ORDER BY sh.ticket_time, sh.sheet_id, l.line", book.name),
							2, types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < n; row++)
	{
		Datum		cells[16];
		bool		nulls[16];

		CHECK_FOR_INTERRUPTS();
		for (int c = 0; c < ncolumns; c++)
			cells[c] = settle_spi_datum((int) row, c + 1, &nulls[c]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, cells, nulls);
	}
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
