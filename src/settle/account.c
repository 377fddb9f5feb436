/*
 * account.c
 *		What stands in the book for one ticket: where it stands if it is not simply
 *		settled, what is posted for it, and by which revisions.
 *
 * It reads tables of the book only, so it serves for a ticket whose row is gone.
 * Each statement gives the columns of an explanation after the step; casts make
 * them of their types, whatever a table says.
 */
#include "settle/explain.h"

#include "settle/post.h"
#include "utils/builtins.h"

/* Where the ticket stands; in the order of how much it matters. */
static const char states[] =
	"SELECT 'state'::text, x.name::text, NULL::text, NULL::text, NULL::numeric, NULL::numeric, NULL::numeric, NULL::text, x.detail::text FROM ("
	"SELECT 1, 'problem', format('%%s%%s: %%s; since %%s', p.sqlstate, CASE WHEN p.rule_code IS NOT NULL THEN format(' in %%s', p.rule_code) END, p.message, p.first_seen) "
	"FROM %1$s.problem AS p WHERE p.source = $1 AND p.ticket_key = $2 "
	"UNION ALL SELECT 2, 'unpaid', CASE WHEN u.excused_at IS NULL THEN format('no rule gives it a line; since %%s', u.first_seen) "
	"ELSE format('no rule gives it a line, and none is to: %%s, %%s', u.excused_by, u.reason) END "
	"FROM %1$s.unpaid AS u WHERE u.source = $1 AND u.ticket_key = $2 "
	"UNION ALL SELECT 3, 'waiting', format('is ready at %%s', w.due_at) FROM %1$s.waiting AS w WHERE w.source_id = $3 AND w.ticket_key = $2 "
	"UNION ALL SELECT 4, 'held', CASE WHEN h.release_id IS NULL THEN format('the brake holds its correction since %%s, by run %%s', h.since, h.run_id) "
	"ELSE 'its correction is released; the next run makes it' END FROM %1$s.held AS h WHERE h.source_id = $3 AND h.ticket_key = $2 "
	"UNION ALL SELECT 5, 'pending', 'changed since it was last looked at; the next run settles what differs' "
	"WHERE EXISTS (SELECT FROM %1$s.pending AS q WHERE q.source_id = $3 AND (q.ticket_key = $2 OR q.ticket_key IS NULL))) AS x (rank, name, detail) ORDER BY x.rank";

/* The lines of the ticket's sheets. */
#define LINES \
	"(SELECT s.revision, s.period, s.corrects_period, s.run_id, r.code, r.component || CASE WHEN l.retier THEN '.retier' ELSE '' END AS component, " \
	"payer.party AS payer, payee.party AS payee, l.base, l.factor, l.amount, coalesce(r.unit, s.currency) AS unit, l.line " \
	"FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l JOIN %1$s.rule AS r ON r.rule_id = l.rule_id " \
	"JOIN %1$s.party AS payer ON payer.party_id = l.payer_id JOIN %1$s.party AS payee ON payee.party_id = l.payee_id " \
	"WHERE s.source_id = $3 AND s.ticket_key = $2)"

/* What is posted, all revisions together. */
static const char posted[] =
	"SELECT 'posted'::text, l.component::text, l.payer::text, l.payee::text, NULL::numeric, NULL::numeric, sum(l.amount)::numeric, l.unit::text, "
	"format('rule %%s, in %%s of %%s revisions', l.code, count(DISTINCT l.revision), (SELECT count(*) FROM %1$s.sheet AS s WHERE s.source_id = $3 AND s.ticket_key = $2)) "
	"FROM " LINES " AS l WHERE $1 IS NOT NULL GROUP BY l.component, l.payer, l.payee, l.unit, l.code ORDER BY min(l.revision), min(l.line)";

/* Revision by revision, and what each has changed. */
static const char revisions[] =
	"SELECT x.kind::text, x.name::text, x.payer::text, x.payee::text, x.base::numeric, x.factor::numeric, x.amount::numeric, x.unit::text, x.detail::text FROM ("
	"SELECT s.revision, 0, 'revision', s.revision::text, NULL, NULL, NULL::numeric, NULL::numeric, NULL::numeric, NULL, "
	"format('run %%s, posted at %%s, in the period of %%s%%s%%s', s.run_id, u.finished_at, s.period, CASE WHEN s.corrects_period IS NOT NULL THEN format(', for that of %%s', s.corrects_period) END, "
	"CASE WHEN s.tickets > 0 THEN ': the ticket is settled' WHEN s.tickets < 0 THEN ': the ticket is taken back' ELSE ': what has changed' END) "
	"FROM %1$s.sheet AS s LEFT JOIN %1$s.run AS u ON u.run_id = s.run_id WHERE s.source_id = $3 AND s.ticket_key = $2 "
	"UNION ALL SELECT s.revision, 1000000 + l.line, 'difference', r.component || '.fx', payer.party, payee.party, l.base, NULL, l.amount, r.unit, "
	"format('rule %%s, %%s at the rates of its posting, %%s, not its own, %%s', r.code, l.base, settle._inputs(NULL, NULL, x.inputs) -> 'now', settle._inputs(NULL, NULL, x.inputs) -> 'own') "
	"FROM %1$s.sheet AS x CROSS JOIN LATERAL settle._unpack(x.lines) AS l JOIN %1$s.rule AS r ON r.rule_id = l.rule_id "
	"JOIN %1$s.party AS payer ON payer.party_id = l.payer_id JOIN %1$s.party AS payee ON payee.party_id = l.payee_id "
	"CROSS JOIN LATERAL (SELECT max(s.revision) AS revision FROM %1$s.sheet AS s WHERE s.source_id = $3 AND s.ticket_key = $2 AND s.run_id = x.run_id AND s.sheet_id < x.sheet_id) AS s "
	"WHERE x.source_id = 0 AND x.ticket_key = $4 "
	"UNION ALL SELECT l.revision, l.line, 'difference', l.component, l.payer, l.payee, l.base, l.factor, l.amount, l.unit, format('rule %%s', l.code) FROM " LINES " AS l "
	"WHERE (SELECT count(*) FROM %1$s.sheet AS s WHERE s.source_id = $3 AND s.ticket_key = $2) > 1) "
	"AS x (revision, line, kind, name, payer, payee, base, factor, amount, unit, detail) WHERE $1 IS NOT NULL ORDER BY x.revision, x.line";

static uint64
ask(Run *run, const char *query, RunSource *source, const char *key)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT2OID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(source->name), CStringGetTextDatum(key), Int16GetDatum(source->id), CStringGetTextDatum(settle_fx_key(source, key))};

	return settle_book_execute(psprintf(query, run->book.name), lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

/*
 * Adds what a statement gives as steps.
 */
static void
tell(Explanation *e, Run *run, const char *query, RunSource *source, const char *key)
{
	uint64		n = ask(run, query, source, key);

	for (uint64 row = 0; row < n; row++)
	{
		e->values[EXPLAIN_STEP] = Int32GetDatum(++e->steps);
		e->nulls[EXPLAIN_STEP] = false;
		for (int column = EXPLAIN_KIND; column < EXPLAIN_COLUMNS; column++)
			e->values[column] = settle_spi_datum((int) row, column, &e->nulls[column]);
		settle_end_step(e);
	}
}

bool
settle_has_sheets(Run *run, RunSource *source, const char *key)
{
	return ask(run, "SELECT FROM %1$s.sheet AS s WHERE s.source_id = $3 AND s.ticket_key = $2 AND $1 IS NOT NULL LIMIT 1", source, key) > 0;
}

/*
 * Tells whether a source has a row of a key.  The key is compared as a text: of
 * a source whose keys are numbers it may be none.
 */
static bool
has_row(Run *run, RunSource *source, const char *key)
{
	Reader		reader = {.run = run, .source = source};
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(key)};
	const char *lookup_type;

	settle_compile_source(run, source);
	return settle_book_execute(psprintf("SELECT FROM (%s) AS s WHERE s.source_key OPERATOR(pg_catalog.=) $1 LIMIT 1", settle_source_query(&reader, &lookup_type)),
							   1, types, values, NULL, SPI_OK_SELECT) > 0;
}

RunSource *
settle_source_of_key(Run *run, const char *key)
{
	RunSource  *found = NULL;

	for (int i = 0; i < run->nsources; i++)
	{
		RunSource  *source = run->sources[i];

		if (!settle_has_sheets(run, source, key) && !has_row(run, source, key))
			continue;
		if (strcmp(source->name, "ticket") == 0)
			return source;
		if (found != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
					 errmsg("sources \"%s\" and \"%s\" both have a ticket \"%s\"", found->name, source->name, key),
					 errhint("Name the source: settle.explain(book, source, key).")));
		found = source;
	}
	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("book \"%s\" has no ticket \"%s\"", run->book.label, key)));
	return found;
}

void
settle_explain_states(Explanation *e, Run *run, RunSource *source, const char *key, bool has_row)
{
	if (!has_row)
	{
		settle_begin_step(e, "state", "vanished", "its row is gone; this is what was posted for it");
		settle_end_step(e);
	}
	tell(e, run, states, source, key);
}

void
settle_explain_posted(Explanation *e, Run *run, RunSource *source, const char *key)
{
	tell(e, run, posted, source, key);
	tell(e, run, revisions, source, key);
}
