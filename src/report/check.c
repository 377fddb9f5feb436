/*
 * check.c
 *		settle.check: what must always hold of a book, asked of its tables.
 *
 * Each invariant is one statement that returns a row for every place where it
 * does not hold.  %1$s is the book.  In a REPEATABLE READ transaction all read
 * one snapshot; else a run that commits between two of them may show as a
 * difference that is none.
 */
#include "settle/run.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

typedef struct Invariant
{
	const char *name;
	const char *sql;			/* gives object and detail */
} Invariant;

/* The lines of all sheets; used by several invariants. */
#define ALL_LINES \
	"(SELECT s.source_id, s.ticket_key, s.period, s.tickets, coalesce(r.unit, s.currency) AS unit, r.code, r.remainder, r.clock, r.repeats, l.* " \
	"FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l " \
	"LEFT JOIN %1$s.rule AS r ON r.rule_id = l.rule_id)"

/* What sheets add to the totals that tick keeps. */
#define FOLDED_FIGURES \
	"(SELECT x.* FROM %1$s.sheet_figure AS x WHERE NOT EXISTS (SELECT FROM %1$s.unfolded AS u WHERE u.run_id = x.run_id AND x.sheet_id >= u.first_sheet))"

/* What sheets add to the totals of rules. */
#define FOLDED_RULES \
	"(SELECT x.* FROM %1$s.rule_figure AS x WHERE NOT EXISTS (SELECT FROM %1$s.unfolded AS u WHERE u.run_id = x.run_id AND x.sheet_id >= u.first_sheet))"

/* The statements of closed periods; those of one that is open again are made anew when it closes. */
#define CLOSED_STATEMENTS \
	"(SELECT c.* FROM %1$s.statement AS c WHERE c.period <= settle._closed_until($1::regnamespace))"

/* What capture's triggers on a source s are called with: strings that end with a zero byte. */
#define TRIGGER_ARGS \
	"(SELECT convert_to(n.nspname, getdatabaseencoding()) || '\\x00' || convert_to(s.source, getdatabaseencoding()) || '\\x00' " \
	"FROM pg_namespace AS n WHERE n.oid = $1)"

static const Invariant invariants[] = {
	{
		"a book has the tables of the installed version",
		"SELECT 'version ' || u.version, 'settle.upgrade_book was not called since' FROM settle._upgrade_steps($1::regnamespace) AS u "
		"UNION ALL SELECT 'version ' || b.version, 'the extension is of ' || settle._version() FROM %1$s.book AS b WHERE settle._is_later(b.version, settle._version())"
	},
	{
		"revisions of a ticket are numbered from 1 without a gap, and it is settled once or not at all",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = s.source_id) || ' ' || s.ticket_key, "
		"'revisions ' || array_agg(s.revision ORDER BY s.revision)::text || ', settled ' || sum(s.tickets) || ' times' "
		"FROM %1$s.sheet AS s GROUP BY s.source_id, s.ticket_key "
		"HAVING max(s.revision) <> count(*) OR min(s.revision) <> 1 OR sum(s.tickets) NOT BETWEEN 0 AND 1"
	},
	{
		"lines of a withdrawn ticket sum to zero",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = l.source_id) || ' ' || l.ticket_key, "
		"'rule ' || l.code || ' leaves ' || sum(l.amount) "
		"FROM " ALL_LINES " AS l "
		"WHERE l.source_id <> 0 AND l.clock = 'ticket' AND (l.source_id, l.ticket_key) IN (SELECT s.source_id, s.ticket_key FROM %1$s.sheet AS s GROUP BY 1, 2 HAVING sum(s.tickets) = 0) "
		"GROUP BY l.source_id, l.ticket_key, l.code, l.payer_id, l.payee_id, l.unit HAVING sum(l.amount) <> 0"
	},
	{
		"a tally's state equals its lines",
		"SELECT coalesce(r.code, 'rule ' || coalesce(t.rule_id, l.rule_id)) || ' ' || coalesce(p.party, '?') || ' ' || coalesce(t.period, l.tally_period), "
		"'state ' || coalesce(format('%%s %%s %%s %%s', t.count, t.quantity, t.weighted, t.amount), 'none') || ', lines ' || coalesce(format('%%s %%s %%s %%s', l.count, l.quantity, l.weighted, l.amount), 'none') "
		"FROM %1$s.tally_state AS t FULL JOIN ("
		"SELECT a.rule_id, a.owner_id, a.tally_period, a.unit, sum(a.count) AS count, sum(a.quantity) AS quantity, sum(a.base * a.factor) AS weighted, sum(a.amount) AS amount "
		"FROM " ALL_LINES " AS a WHERE a.owner_id IS NOT NULL GROUP BY 1, 2, 3, 4) AS l "
		"ON l.rule_id = t.rule_id AND l.owner_id = t.owner_id AND l.tally_period = t.period AND l.unit = t.unit "
		"LEFT JOIN %1$s.rule AS r ON r.rule_id = coalesce(t.rule_id, l.rule_id) LEFT JOIN %1$s.party AS p ON p.party_id = coalesce(t.owner_id, l.owner_id) "
		"WHERE (coalesce(t.count, 0), coalesce(t.quantity, 0), coalesce(t.weighted, 0), coalesce(t.amount, 0)) "
		"IS DISTINCT FROM (coalesce(l.count, 0), coalesce(l.quantity, 0), coalesce(l.weighted, 0), coalesce(l.amount, 0))"
	},
	{
		"lines of a tally sum to what it owes",
		"SELECT t.code || ' ' || p.party || ' ' || t.period, 'lines ' || t.amount || ', owes ' || t.owes "
		"FROM (SELECT r.code, s.owner_id, s.period, s.unit, sum(s.amount) AS amount, "
		"settle._tally_fee(array_agg(r.tiers ORDER BY r.place), array_agg(s.count ORDER BY r.place), array_agg(s.quantity ORDER BY r.place), array_agg(s.weighted ORDER BY r.place), "
		"(array_agg(r.rounding ORDER BY s.count > 0 DESC, r.place DESC))[1], s.unit) AS owes "
		/* in the order of time, as the pricing has them: a version begins with its pack */
		"FROM %1$s.tally_state AS s JOIN (SELECT q.rule_id, q.code, q.tiers, q.rounding, "
		"row_number() OVER (PARTITION BY q.code ORDER BY greatest(lower(q.valid), lower(k.valid)) NULLS FIRST, nullif(q.pack, 'base') COLLATE \"C\" NULLS FIRST) AS place "
		"FROM %1$s.rule AS q JOIN %1$s.pack AS k ON k.pack = q.pack) AS r ON r.rule_id = s.rule_id GROUP BY r.code, s.owner_id, s.period, s.unit) AS t "
		"JOIN %1$s.party AS p ON p.party_id = t.owner_id WHERE t.amount <> t.owes"
	},
	{
		"a party that a remainder empties holds nothing of a ticket",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = b.source_id) || ' ' || b.ticket_key, p.party || ' holds ' || b.held || ' ' || b.unit "
		"FROM (SELECT e.source_id, e.ticket_key, e.party_id, e.unit, sum(CASE WHEN l.payee_id = e.party_id THEN l.amount ELSE -l.amount END) AS held "
		"FROM (SELECT DISTINCT x.source_id, x.ticket_key, x.payer_id AS party_id, x.unit FROM " ALL_LINES " AS x WHERE x.remainder) AS e "
		"JOIN " ALL_LINES " AS l ON l.source_id = e.source_id AND l.ticket_key = e.ticket_key AND l.unit = e.unit AND e.party_id IN (l.payer_id, l.payee_id) AND l.payer_id <> l.payee_id "
		"GROUP BY 1, 2, 3, 4) AS b JOIN %1$s.party AS p ON p.party_id = b.party_id WHERE b.held <> 0"
	},
	{
		"what parties received and gave equals the lines",
		"SELECT coalesce(p.party, '?') || ' ' || coalesce(d.period, l.period), 'sums ' || coalesce(d.received, 0) || ' and ' || coalesce(d.given, 0) || ', lines ' || coalesce(l.received, 0) || ' and ' || coalesce(l.given, 0) "
		"FROM (SELECT x.party_id, x.period, x.unit, sum(x.received) AS received, sum(x.given) AS given FROM %1$s.party_sum AS x GROUP BY 1, 2, 3) AS d "
		"FULL JOIN (SELECT y.party_id, y.period, y.unit, sum(y.received) AS received, sum(y.given) AS given FROM ("
		"SELECT a.payee_id AS party_id, a.period, a.unit, a.amount AS received, 0 AS given FROM " ALL_LINES " AS a "
		"UNION ALL SELECT a.payer_id, a.period, a.unit, 0, a.amount FROM " ALL_LINES " AS a) AS y GROUP BY 1, 2, 3) AS l "
		"ON l.party_id = d.party_id AND l.period = d.period AND l.unit = d.unit "
		"LEFT JOIN %1$s.party AS p ON p.party_id = coalesce(d.party_id, l.party_id) "
		"WHERE coalesce(d.received, 0) <> coalesce(l.received, 0) OR coalesce(d.given, 0) <> coalesce(l.given, 0)"
	},
	{
		/* tax counts or not, as the source said when the ticket was settled; tickets that are to be looked at again may not have heard of a new side */
		"what a ticket pays out is what its lines say by the sides of their parties",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = s.source_id) || ' ' || s.ticket_key, "
		"'sheets pay out ' || s.payout || ' ' || s.currency || ', lines ' || s.outside || ', to tax parties ' || s.tax "
		"FROM (SELECT h.source_id, h.ticket_key, h.currency, sum(h.payout) AS payout, sum(l.outside) AS outside, sum(l.tax) AS tax "
		"FROM %1$s.sheet AS h CROSS JOIN LATERAL ("
		"SELECT coalesce(sum(x.amount) FILTER (WHERE x.side = 'outside'), 0) AS outside, coalesce(sum(x.amount) FILTER (WHERE x.side = 'tax'), 0) AS tax FROM ("
		"SELECT CASE WHEN payer.side IN ('own', 'transit') THEN payee.side ELSE payer.side END AS side, CASE WHEN payer.side IN ('own', 'transit') THEN u.amount ELSE -u.amount END AS amount "
		"FROM settle._unpack(h.lines) AS u JOIN %1$s.rule AS r ON r.rule_id = u.rule_id "
		"JOIN %1$s.party AS payer ON payer.party_id = u.payer_id JOIN %1$s.party AS payee ON payee.party_id = u.payee_id "
		"WHERE coalesce(r.unit, h.currency) = h.currency AND (payer.side IN ('own', 'transit')) <> (payee.side IN ('own', 'transit'))) AS x) AS l "
		"WHERE h.source_id <> 0 GROUP BY 1, 2, 3) AS s "
		"WHERE s.payout NOT IN (s.outside, s.outside + s.tax) "
		"AND NOT EXISTS (SELECT FROM %1$s.pending AS q WHERE q.source_id = s.source_id AND (q.ticket_key = s.ticket_key OR q.ticket_key IS NULL)) "
		"AND NOT EXISTS (SELECT FROM %1$s.held AS q WHERE q.source_id = s.source_id AND q.ticket_key = s.ticket_key) "
		"AND NOT EXISTS (SELECT FROM %1$s.problem AS q JOIN %1$s.source AS so ON so.source = q.source WHERE so.source_id = s.source_id AND q.ticket_key = s.ticket_key)"
	},
	{
		"totals by nodes equal the sheets that are folded",
		"SELECT concat_ws(' ', project, region, period), "
		"'totals ' || coalesce(format('%%s %%s %%s %%s', t.tickets, t.revenue, t.cost, t.payout), 'none') || ', sheets ' || coalesce(format('%%s %%s %%s %%s', l.tickets, l.revenue, l.cost, l.payout), 'none') "
		"FROM %1$s.cell_total AS t FULL JOIN (SELECT p.level AS project_level, r.level AS region_level, f.period, f.currency, p.node COLLATE \"C\" AS project, r.node COLLATE \"C\" AS region, "
		"sum(f.tickets) AS tickets, sum(f.revenue) AS revenue, sum(f.cost) AS cost, sum(f.payout) AS payout "
		"FROM " FOLDED_FIGURES " AS f CROSS JOIN LATERAL settle._nodes(f.project) AS p CROSS JOIN LATERAL settle._nodes(f.region) AS r GROUP BY 1, 2, 3, 4, 5, 6) AS l "
		"USING (project_level, region_level, period, currency, project, region) "
		"WHERE (t.tickets, t.revenue, t.cost, t.payout) IS DISTINCT FROM (l.tickets, l.revenue, l.cost, l.payout)"
	},
	{
		"totals of parties equal the lines of the sheets that are folded",
		"SELECT coalesce(p.party, '?') || ' ' || coalesce(t.period, l.period) || ' ' || coalesce(r.code, '?'), "
		"'totals ' || coalesce(format('%%s %%s', t.tickets, t.amount), 'none') || ', lines ' || coalesce(format('%%s %%s', l.tickets, l.amount), 'none') "
		"FROM %1$s.party_total AS t FULL JOIN (SELECT f.party_id, f.period, f.rule_id, f.owner_id, f.unit, sum(f.tickets) AS tickets, sum(f.amount) AS amount "
		"FROM %1$s.party_figure AS f WHERE NOT EXISTS (SELECT FROM %1$s.unfolded AS u WHERE u.run_id = f.run_id AND f.sheet_id >= u.first_sheet) GROUP BY 1, 2, 3, 4, 5) AS l "
		"ON l.party_id = t.party_id AND l.period = t.period AND l.rule_id = t.rule_id AND coalesce(l.owner_id, 0) = coalesce(t.owner_id, 0) AND l.unit = t.unit "
		"LEFT JOIN %1$s.party AS p ON p.party_id = coalesce(t.party_id, l.party_id) LEFT JOIN %1$s.rule AS r ON r.rule_id = coalesce(t.rule_id, l.rule_id) "
		"WHERE (t.tickets, t.amount) IS DISTINCT FROM (l.tickets, l.amount)"
	},
	{
		"totals by day equal the sheets that are folded",
		"SELECT concat_ws(' ', day, nullif(region, ''), nullif(channel, '')), "
		"'totals ' || coalesce(format('%%s %%s %%s %%s', t.tickets, t.revenue, t.cost, t.payout), 'none') || ', sheets ' || coalesce(format('%%s %%s %%s %%s', l.tickets, l.revenue, l.cost, l.payout), 'none') "
		"FROM %1$s.day_total AS t FULL JOIN (SELECT f.day, f.period, f.currency, split_part(coalesce(f.region::text, ''), '.', 1) COLLATE \"C\" AS region, f.channel, "
		"sum(f.tickets) AS tickets, sum(f.revenue) AS revenue, sum(f.cost) AS cost, sum(f.payout) AS payout FROM " FOLDED_FIGURES " AS f GROUP BY 1, 2, 3, 4, 5) AS l "
		"USING (day, period, currency, region, channel) "
		"WHERE (t.tickets, t.revenue, t.cost, t.payout) IS DISTINCT FROM (l.tickets, l.revenue, l.cost, l.payout)"
	},
	{
		"totals by rule equal the sheets that are folded",
		"SELECT concat_ws(' ', coalesce((SELECT r.code FROM %1$s.rule AS r WHERE r.rule_id = coalesce(t.rule_id, l.rule_id)), 'tickets'), coalesce(t.period, l.period)), "
		"'totals ' || coalesce(format('%%s %%s %%s', t.hits, t.lines, t.amount), 'none') || ', sheets ' || coalesce(format('%%s %%s %%s', l.hits, l.lines, l.amount), 'none') "
		"FROM %1$s.rule_total AS t FULL JOIN (SELECT f.source_id, f.rule_id, f.retier, f.payer_id, f.period, f.unit, sum(f.hits) AS hits, sum(f.lines) AS lines, sum(f.amount) AS amount "
		"FROM " FOLDED_RULES " AS f GROUP BY 1, 2, 3, 4, 5, 6) AS l USING (source_id, rule_id, retier, payer_id, period, unit) "
		"WHERE (t.hits, t.lines, t.amount) IS DISTINCT FROM (l.hits, l.lines, l.amount)"
	},
	{
		"what a party is owed is due, held, carried or in no statement yet",
		"SELECT b.party || ' ' || b.unit, format('earned %%s, paid %%s, due %%s, held %%s, carried %%s, in no statement %%s', b.earned, b.paid, b.due, b.held, b.carried, b.unstated) "
		"FROM %1$s.balance_figure AS b WHERE b.earned - b.paid <> b.due + b.held + b.carried + b.unstated"
	},
	{
		"an alert of a step of settle.tick is open while the step fails",
		"SELECT coalesce(a.object, s.step), CASE WHEN s.step IS NULL THEN 'alert ' || a.alert_id || ' is open' ELSE 'fails, and no alert is open' END "
		"FROM (SELECT x.alert_id, x.object FROM %1$s.alert AS x WHERE x.kind = 'job' AND x.ended_at IS NULL) AS a "
		"FULL JOIN (SELECT j.step FROM %1$s.job_step AS j WHERE j.failures > 0) AS s ON s.step = a.object WHERE a.object IS NULL OR s.step IS NULL"
	},
	{
		"tickets settled by period are those of the sheets that runs have counted",
		"SELECT period::text, 'counted ' || coalesce(t.tickets, 0) || ', sheets settle ' || coalesce(s.tickets, 0) "
		"FROM %1$s.settled_total AS t FULL JOIN (SELECT h.period, sum(h.tickets) AS tickets FROM %1$s.sheet AS h "
		"WHERE h.sheet_id <= (SELECT max(x.last_sheet) FROM %1$s.settled_total AS x) GROUP BY 1) AS s USING (period) "
		"WHERE coalesce(t.tickets, 0) <> coalesce(s.tickets, 0)"
	},
	{
		"a run's figures equal its sheets",
		"SELECT 'run ' || r.run_id, 'recorded ' || r.lines || ' lines, sheets have ' || count(l.line) "
		"FROM %1$s.run AS r LEFT JOIN %1$s.sheet AS s ON s.run_id = r.run_id LEFT JOIN LATERAL settle._unpack(s.lines) AS l ON true "
		"GROUP BY r.run_id, r.lines HAVING r.lines <> count(l.line)"
	},
	{
		"a sheet corrects an earlier period than the one it stands in",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = s.source_id) || ' ' || s.ticket_key, 'sheet ' || s.sheet_id || ' of ' || s.period || ' corrects ' || s.corrects_period "
		"FROM %1$s.sheet AS s WHERE s.corrects_period >= s.period"
	},
	{
		/* a period is closed under the gate: whoever posted before had begun before */
		"nothing is posted in a period after it was closed",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = s.source_id) || ' ' || s.ticket_key, "
		"'sheet ' || s.sheet_id || ' of run ' || s.run_id || ' stands in ' || s.period || ', closed at ' || c.changed_at "
		"FROM %1$s.sheet AS s JOIN %1$s.run AS r ON r.run_id = s.run_id "
		"CROSS JOIN LATERAL (SELECT min(p.changed_at) AS changed_at FROM %1$s.period AS p WHERE p.state = 'closed' AND p.period >= s.period) AS c "
		"WHERE r.started_at > c.changed_at"
	},
	{
		"a held correction is one of a ticket that has been settled",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = h.source_id) || ' ' || h.ticket_key, 'held by run ' || h.run_id "
		"FROM %1$s.held AS h WHERE NOT EXISTS (SELECT FROM %1$s.sheet AS s WHERE s.source_id = h.source_id AND s.ticket_key = h.ticket_key)"
	},
	{
		"what a correction gains or loses by a rate is of its difference",
		"SELECT f.ticket_key, 'run ' || f.run_id || ': of ' || f.base || ', the difference is ' || coalesce(d.amount::text, 'none') FROM ("
		"SELECT s.ticket_key, s.run_id, l.rule_id, l.payer_id, sum(l.base) AS base FROM %1$s.sheet AS s CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
		"WHERE s.source_id = 0 AND NOT l.retier GROUP BY 1, 2, 3, 4) AS f LEFT JOIN ("
		"SELECT concat_ws(' ', 'fx', CASE WHEN so.source ~ '[ '']' THEN quote_literal(so.source) ELSE so.source END, "
		"CASE WHEN s.ticket_key ~ '[ '']' THEN quote_literal(s.ticket_key) ELSE s.ticket_key END) AS ticket_key, s.run_id, l.rule_id, l.payer_id, sum(l.amount) AS amount "
		"FROM %1$s.sheet AS s JOIN %1$s.source AS so ON so.source_id = s.source_id CROSS JOIN LATERAL settle._unpack(s.lines) AS l "
		"WHERE s.run_id IN (SELECT x.run_id FROM %1$s.sheet AS x WHERE x.source_id = 0 AND x.inputs IS NOT NULL) GROUP BY 1, 2, 3, 4) AS d "
		"ON d.ticket_key = f.ticket_key AND d.run_id = f.run_id AND d.rule_id = f.rule_id AND d.payer_id = f.payer_id WHERE f.base IS DISTINCT FROM d.amount"
	},
	{
		"a ticket that has a type stands in a stage of it, and is done only where that is ready",
		"SELECT t.ticket_id, CASE WHEN y.enabled_at IS NULL THEN format('version %%s of type \"%%s\" is not enabled', t.type_version, t.type) "
		"WHEN s.stage IS NULL THEN format('type \"%%s\" has no stage \"%%s\"', t.type, t.stage) ELSE format('stage \"%%s\", done_at %%s', t.stage, coalesce(t.done_at::text, 'null')) END "
		"FROM %1$s.ticket AS t LEFT JOIN %1$s.ticket_type AS y ON y.type = t.type AND y.version = t.type_version "
		"LEFT JOIN %1$s.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage "
		"WHERE t.type IS NOT NULL AND (y.enabled_at IS NULL OR s.stage IS NULL OR (t.done_at IS NOT NULL AND NOT s.ready))"
	},
	{
		"the journal of a ticket ends in the stage where it stands",
		"SELECT coalesce(t.ticket_id, e.ticket_id), format('stands in %%s, the journal says %%s', coalesce(t.stage, 'none'), coalesce(e.now, 'none')) "
		"FROM (SELECT x.ticket_id, x.stage FROM %1$s.ticket AS x WHERE x.type IS NOT NULL) AS t "
		"FULL JOIN (SELECT DISTINCT ON (x.ticket_id) x.ticket_id, x.now FROM %1$s.ticket_event AS x WHERE x.what IN ('opened', 'moved', 'moved over', 'deleted') ORDER BY x.ticket_id, x.event_id DESC) AS e "
		"ON e.ticket_id = t.ticket_id WHERE t.stage IS DISTINCT FROM e.now"
	},
	{
		/* of tickets that have been open with one person since, the later ones found the earlier ones there */
		"no team gives somebody more open tickets than his capacity",
		"SELECT n.ticket_id, format('is open ticket %%s of \"%%s\", whose capacity was %%s', n.n, n.staff, n.capacity) "
		"FROM (SELECT a.*, row_number() OVER (PARTITION BY a.staff ORDER BY a.assignment_id) AS n "
		"FROM (SELECT DISTINCT ON (x.ticket_id) x.* FROM %1$s.assignment AS x ORDER BY x.ticket_id, x.assignment_id DESC) AS a "
		"JOIN %1$s.ticket AS t ON t.ticket_id = a.ticket_id AND t.worker = a.staff AND t.done_at IS NULL "
		"JOIN %1$s.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage AND NOT s.ready AND s.ends IS NULL "
		"WHERE NOT EXISTS (SELECT FROM %1$s.ticket_event AS e LEFT JOIN %1$s.stage AS w ON w.type = t.type AND w.version = t.type_version AND w.stage = e.was "
		"WHERE e.ticket_id = a.ticket_id AND e.at > a.assigned_at "
		"AND (e.what IN ('assigned', 'opened', 'moved over') OR e.what = 'merged' AND e.changes ? 'merged_into' OR e.what = 'moved' AND (w.ready OR w.ends IS NOT NULL)))) AS n "
		"WHERE n.n > n.capacity"
	},
	{
		"who has a ticket by the choice of a team is a member of it",
		"SELECT a.ticket_id, format('\"%%s\" is no member of team \"%%s\"', a.staff, a.team) FROM %1$s.assignment AS a "
		"WHERE a.team IS NOT NULL AND NOT EXISTS (SELECT FROM %1$s.team_member AS m WHERE m.team = a.team AND m.staff = a.staff)"
	},
	{
		"what a ticket gave or got is what its parts, or those merged into it, got or gave",
		"SELECT d.ticket_id, format('%%s: %%s %%s %%s, the others %%s %%s %%s', d.what, d.amount_now - d.amount_was, d.cost_now - d.cost_was, d.tax_now - d.tax_was, s.amount, s.cost, s.tax) "
		"FROM %1$s.ticket_division AS d CROSS JOIN LATERAL (SELECT coalesce(sum(x.amount), 0) AS amount, coalesce(sum(x.cost), 0) AS cost, coalesce(sum(x.tax), 0) AS tax "
		"FROM %1$s.ticket_share AS x WHERE x.division_id = d.division_id) AS s "
		"CROSS JOIN LATERAL (SELECT CASE d.what WHEN 'split' THEN -1 ELSE 1 END AS sign) AS g "
		"WHERE (d.amount_now - d.amount_was, d.cost_now - d.cost_was, d.tax_now - d.tax_was) <> (s.amount * g.sign, s.cost * g.sign, s.tax * g.sign)"
	},
	{
		"a merged ticket is merged into one, rests and has no money",
		"SELECT coalesce(t.ticket_id, m.ticket_id), format('merged into %%s, given to %%s, amount %%s, done_at %%s', coalesce(t.merged_into, 'none'), coalesce(m.takers::text, 'none'), t.amount, coalesce(t.done_at::text, 'null')) "
		"FROM (SELECT x.* FROM %1$s.ticket AS x WHERE x.merged_into IS NOT NULL) AS t "
		"FULL JOIN (SELECT s.ticket_id, array_agg(d.ticket_id ORDER BY d.division_id) AS takers FROM %1$s.ticket_share AS s JOIN %1$s.ticket_division AS d ON d.division_id = s.division_id "
		"WHERE d.what <> 'split' AND d.undone_at IS NULL GROUP BY s.ticket_id) AS m ON m.ticket_id = t.ticket_id "
		"WHERE m.takers IS DISTINCT FROM ARRAY[t.merged_into] OR t.done_at IS NOT NULL OR t.amount <> 0 OR t.cost <> 0 OR t.tax <> 0"
	},
	{
		"a ticket waits for the parts that have not ended",
		"SELECT d.ticket_id, format('counts %%s open parts, has %%s, stands in %%s', d.open, p.open, coalesce(t.stage, 'none')) "
		"FROM %1$s.ticket_division AS d LEFT JOIN %1$s.ticket AS t ON t.ticket_id = d.ticket_id "
		"LEFT JOIN %1$s.stage AS w ON w.type = t.type AND w.version = t.type_version AND w.stage = t.stage "
		"CROSS JOIN LATERAL (SELECT count(*) AS open FROM %1$s.ticket_share AS s JOIN %1$s.ticket AS c ON c.ticket_id = s.ticket_id AND c.part_of = d.ticket_id "
		"JOIN %1$s.stage AS g ON g.type = c.type AND g.version = c.type_version AND g.stage = c.stage AND NOT g.ready AND g.ends IS NULL WHERE s.division_id = d.division_id) AS p "
		"WHERE d.what = 'split' AND d.undone_at IS NULL AND (d.open <> p.open OR (d.open > 0 AND w.waits IS NULL))"
	},
	{
		"no ticket is part of itself, or merged into itself, over others",
		"WITH RECURSIVE up (ticket_id, above) AS ("
		"SELECT t.ticket_id, coalesce(t.merged_into, t.part_of) FROM %1$s.ticket AS t WHERE coalesce(t.merged_into, t.part_of) IS NOT NULL "
		"UNION SELECT u.ticket_id, coalesce(t.merged_into, t.part_of) FROM up AS u JOIN %1$s.ticket AS t ON t.ticket_id = u.above WHERE coalesce(t.merged_into, t.part_of) IS NOT NULL) "
		"SELECT u.ticket_id, 'leads to itself' FROM up AS u WHERE u.above = u.ticket_id"
	},
	{
		"a ticket is away, and was in areas, as its check-ins say",
		"SELECT t.ticket_id, format('away %%s in %%s, its check-ins say %%s in %%s', coalesce(t.away::text, 'null'), coalesce(t.areas::text, 'none'), coalesce(v.away::text, 'null'), coalesce(v.areas::text, 'none')) "
		"FROM %1$s.ticket AS t LEFT JOIN %1$s.check_in_verdict AS v ON v.ticket_id = t.ticket_id "
		"WHERE t.type IS NOT NULL AND (t.away, t.areas, t.area_parties) IS DISTINCT FROM (v.away, v.areas, v.area_parties)"
	},
	{
		"no check-in keeps its point for longer than place_days and a day",
		"SELECT 'check_in', 'points: ' || count(*) || ', the oldest of ' || min(c.noted_at) FROM %1$s.check_in AS c "
		"WHERE c.place IS NOT NULL AND c.noted_at < now() - (SELECT make_interval(days => b.place_days + 1) FROM %1$s.book AS b) HAVING count(*) > 0"
	},
	{
		"a deadline runs for a ticket that is on its way, and no longer",
		"SELECT d.ticket_id || ' ' || d.kind, format('is %%s, the ticket stands in %%s', d.state, coalesce(t.stage, 'none')) "
		"FROM %1$s.ticket_due AS d LEFT JOIN %1$s.ticket AS t ON t.ticket_id = d.ticket_id "
		"LEFT JOIN %1$s.stage AS s ON s.type = t.type AND s.version = t.type_version AND s.stage = t.stage "
		"WHERE d.state IN ('running', 'paused') AND (s.stage IS NULL OR s.ready OR s.ends IS NOT NULL OR (d.kind = 'stage' AND d.stage <> t.stage) OR (d.state = 'paused') > s.pauses)"
	},
	{
		"an alert of a deadline is open while its row is one that was told",
		"SELECT a.object, 'alert ' || a.alert_id || ' of kind ' || a.kind FROM %1$s.alert AS a "
		"WHERE a.kind IN ('due', 'late') AND a.ended_at IS NULL AND NOT EXISTS (SELECT FROM %1$s.ticket_due AS d WHERE d.ticket_id || ' ' || d.kind = a.object AND d.alerted)"
	},
	{
		/* one that has gone is found when the tick has judged it */
		"what is special is a ticket of the desk",
		"SELECT s.ticket_id || ' ' || s.why, 'special since ' || s.since FROM %1$s.special_ticket AS s "
		"WHERE s.ended_at IS NULL AND NOT EXISTS (SELECT FROM %1$s.ticket AS t WHERE t.ticket_id = s.ticket_id AND t.type IS NOT NULL AND t.merged_into IS NULL) "
		"AND NOT EXISTS (SELECT FROM %1$s.special_pending AS q WHERE q.ticket_id = s.ticket_id)"
	},
	{
		"an alert of a special ticket is open while it is special",
		"SELECT a.object, 'alert ' || a.alert_id FROM %1$s.alert AS a "
		"WHERE a.kind = 'special' AND a.ended_at IS NULL AND NOT EXISTS (SELECT FROM %1$s.special_ticket AS s WHERE s.ticket_id || ' ' || s.why = a.object AND s.ended_at IS NULL)"
	},
	{
		"times of service are kept of periods that were closed",
		"SELECT concat_ws(' ', k.who, k.name, k.measure, k.period), format('%%s times, valid %%s', k.n, k.valid) FROM %1$s.service_kept AS k "
		"WHERE (k.period <= (SELECT max(p.period) FROM %1$s.period AS p)) IS NOT true OR k.n < 1 OR k.p50 > k.p90"
	},
	{
		"tickets of orders are what the rules say",
		/* a day's sample: every order would be evaluated again */
		"SELECT w.object, w.detail FROM settle._wrong_order_tickets($1, 1000) AS w"
	},
	{
		"nothing that was sold earns twice",
		"SELECT concat_ws(' ', o.platform, o.shop, o.order_no, o.line_no), 'its ticket ' || o.ticket || ' stands ' || count(*) || ' times: ' || string_agg(t.ticket_id, ', ' ORDER BY t.ticket_id) "
		"FROM %1$s.ticket AS t CROSS JOIN LATERAL jsonb_to_record(t.details -> 'order') AS o (platform text, shop text, order_no text, part text, line_no text, ticket text) "
		"WHERE t.done_at IS NOT NULL AND jsonb_typeof(t.details -> 'order') = 'object' AND o.ticket IS NOT NULL "
		"GROUP BY o.platform, o.shop, o.order_no, o.part, o.line_no, o.ticket HAVING count(*) > 1"
	},
	{
		"a run is sealed once or waits for it",
		"SELECT 'run ' || r.run_id, count(x.run_id) || ' times' FROM %1$s.run AS r "
		"LEFT JOIN (SELECT s.run_id FROM %1$s.sealed_run AS s UNION ALL SELECT u.run_id FROM %1$s.unsealed AS u) AS x ON x.run_id = r.run_id "
		"GROUP BY r.run_id HAVING count(x.run_id) <> 1"
	},
	{
		"seals follow each other",
		"SELECT 'seal ' || s.seal_id, CASE WHEN s.seal_id = coalesce(s.last_id, 0) + 1 THEN 'does not hold the digest of the one before it' ELSE 'follows ' || coalesce(s.last_id::text, 'none') END "
		"FROM (SELECT x.seal_id, x.previous, lag(x.seal_id) OVER w AS last_id, lag(x.digest) OVER w AS last FROM %1$s.seal AS x WINDOW w AS (ORDER BY x.seal_id)) AS s "
		"WHERE s.seal_id <> coalesce(s.last_id, 0) + 1 OR s.previous IS DISTINCT FROM s.last"
	},
	{
		"a statement equals the lines of its period",
		"SELECT format('%%s %%s %%s', p.party, coalesce(s.period, d.period), coalesce(s.unit, d.unit)), "
		"'statement ' || coalesce(s.amount::text, 'none') || ', lines ' || coalesce(d.amount::text, 'none') "
		"FROM (SELECT x.party, x.period, x.unit, x.earned + x.corrections + x.withheld AS amount FROM %1$s.statement AS x) AS s "
		"FULL JOIN (SELECT m.party, c.period, y.unit, sum(y.received - y.given) AS amount FROM %1$s.party_sum AS y "
		"JOIN %1$s.party AS m ON m.party_id = y.party_id AND m.side IN ('outside', 'tax') "
		"JOIN (SELECT z.period, coalesce(lag(z.period) OVER (ORDER BY z.period), '-infinity') AS since FROM %1$s.period AS z WHERE z.state = 'closed') AS c "
		"ON y.period > c.since AND y.period <= c.period GROUP BY 1, 2, 3) AS d ON d.party = s.party AND d.period = s.period AND d.unit = s.unit "
		"JOIN %1$s.party AS p ON p.party = coalesce(s.party, d.party) "
		"WHERE coalesce(s.amount, 0) <> coalesce(d.amount, 0) "
		"AND EXISTS (SELECT FROM %1$s.period AS o WHERE o.period = coalesce(s.period, d.period) AND o.state = 'closed')"
	},
	{
		"the items of a statement sum to it",
		"SELECT format('%%s %%s %%s', coalesce(s.party, i.party), coalesce(s.period, i.period), coalesce(s.unit, i.unit)), "
		"format('statement %%s %%s %%s, items %%s %%s %%s', s.earned, s.corrections, s.withheld, i.earned, i.corrections, i.withheld) "
		"FROM %1$s.statement AS s FULL JOIN (SELECT x.party, x.period, x.unit, "
		"coalesce(sum(x.amount) FILTER (WHERE x.kind = 'earned'), 0) AS earned, coalesce(sum(x.amount) FILTER (WHERE x.kind = 'correction'), 0) AS corrections, "
		"coalesce(sum(x.amount) FILTER (WHERE x.kind = 'withheld'), 0) AS withheld FROM %1$s.statement_item AS x GROUP BY 1, 2, 3) AS i "
		"ON i.party = s.party AND i.period = s.period AND i.unit = s.unit "
		"WHERE (coalesce(s.earned, 0), coalesce(s.corrections, 0), coalesce(s.withheld, 0)) IS DISTINCT FROM (coalesce(i.earned, 0), coalesce(i.corrections, 0), coalesce(i.withheld, 0))"
	},
	{
		"a statement brings forward what the one before it did not pay out",
		"SELECT format('%%s %%s %%s', n.party, n.period, n.unit), 'brings forward ' || n.brought_forward || ', the one before left ' || n.was_left "
		"FROM (SELECT s.party, s.period, s.unit, s.brought_forward, coalesce(lag(s.held + s.carried) OVER (PARTITION BY s.party, s.unit ORDER BY s.period), 0) AS was_left "
		"FROM " CLOSED_STATEMENTS " AS s) AS n WHERE n.brought_forward <> n.was_left "
		"UNION ALL SELECT format('%%s %%s %%s', s.party, s.period, s.unit), 'leaves ' || (s.held + s.carried) || ', which no statement of the next period brings forward' "
		"FROM %1$s.statement AS s CROSS JOIN LATERAL (SELECT min(x.period) AS period FROM " CLOSED_STATEMENTS " AS x WHERE x.period > s.period) AS next "
		"WHERE s.held + s.carried <> 0 AND next.period IS NOT NULL "
		"AND NOT EXISTS (SELECT FROM %1$s.statement AS x WHERE x.period = next.period AND x.party = s.party AND x.unit = s.unit)"
	},
	{
		"a statement holds what is in dispute",
		"SELECT format('%%s %%s %%s', s.party, s.period, s.unit), 'holds ' || s.held || ', disputes ' || coalesce(d.amount, 0) "
		"FROM " CLOSED_STATEMENTS " AS s CROSS JOIN LATERAL (SELECT sum(x.amount) AS amount FROM %1$s.dispute AS x "
		"WHERE x.party = s.party AND x.unit = s.unit AND x.period <= s.period AND (x.held_until IS NULL OR x.held_until >= s.period)) AS d "
		"WHERE s.held <> coalesce(d.amount, 0)"
	},
	{
		"a submitted statement is what was submitted, and what was approved of it",
		/* digests are made once a period */
		"WITH now AS MATERIALIZED (SELECT p.period, c.statement_party, c.unit, c.content "
		"FROM (SELECT DISTINCT x.period FROM %1$s.statement AS x WHERE x.state IN ('submitted', 'approved')) AS p "
		"CROSS JOIN LATERAL settle._statement_content($1::regnamespace, p.period) AS c) "
		"SELECT format('%%s %%s %%s', s.party, s.period, s.unit), CASE WHEN c.content IS DISTINCT FROM s.content THEN 'its digest is another one' ELSE 'approval ' || a.node || ' is of something else' END "
		"FROM now AS c JOIN %1$s.statement AS s ON s.period = c.period AND s.party = c.statement_party AND s.unit = c.unit AND s.state IN ('submitted', 'approved') "
		"LEFT JOIN %1$s.approval AS a ON a.period = s.period AND a.party = s.party AND a.unit = s.unit AND a.voided_at IS NULL AND (a.content, a.amount) IS DISTINCT FROM (s.content, s.payable) "
		"WHERE c.content IS DISTINCT FROM s.content OR a.node IS NOT NULL"
	},
	{
		"a statement is paid by one payment of its amount",
		"SELECT format('%%s %%s %%s', coalesce(s.party, p.party), coalesce(s.period, p.period), coalesce(s.unit, p.unit)), "
		"format('statement is %%s, paid %%s; payment %%s', coalesce(s.state, 'none'), coalesce(s.paid, 0), coalesce(p.amount::text, 'none')) "
		"FROM %1$s.statement AS s FULL JOIN %1$s.payment AS p ON p.period = s.period AND p.party = s.party AND p.unit = s.unit "
		"WHERE (coalesce(s.state, '') = 'paid') <> (p.amount IS NOT NULL) OR coalesce(s.paid, 0) <> coalesce(p.amount, 0)"
	},
	{
		"what came back of a leg equals its returns",
		"SELECT 'leg ' || l.leg_id, 'returned ' || l.returned || ', returns ' || coalesce(sum(r.amount), 0) "
		"FROM %1$s.leg AS l LEFT JOIN %1$s.leg_return AS r ON r.leg_id = l.leg_id GROUP BY l.leg_id, l.returned HAVING l.returned <> coalesce(sum(r.amount), 0)"
	},
	{
		"a pack is what was submitted until it is enabled",
		"SELECT k.pack, 'is ' || k.state || ', and its content has another digest' FROM %1$s.pack AS k "
		"WHERE k.state IN ('submitted', 'approved') AND k.digest <> settle._pack_digest($1::regnamespace, k.pack)"
	},
	{
		"a source is captured",
		"SELECT s.source || ' ' || m.relid::regclass, CASE WHEN t.oid IS NULL THEN 'has no capture trigger' ELSE 'capture trigger is not enabled always' END "
		"FROM %1$s.source AS s JOIN pg_class AS c ON c.oid = s.relation AND c.relkind IN ('r', 'p') "
		"CROSS JOIN LATERAL (WITH RECURSIVE family(relid) AS (SELECT c.oid UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN family AS f ON i.inhparent = f.relid) "
		"SELECT f.relid FROM family AS f) AS m "
		"LEFT JOIN pg_trigger AS t ON t.tgrelid = m.relid AND t.tgfoid = 'settle.capture()'::regprocedure AND t.tgtype & 1 = 1 "
		"AND substring(t.tgargs FOR length(" TRIGGER_ARGS ")) = " TRIGGER_ARGS " "
		"WHERE t.oid IS NULL OR t.tgenabled <> 'A'"
	},
	{
		"a TRUNCATE of a source is noted",
		"SELECT s.source || ' ' || m.relid::regclass, 'has no enabled trigger for it: settle.complete_capture' "
		"FROM %1$s.source AS s JOIN pg_class AS c ON c.oid = s.relation AND c.relkind IN ('r', 'p') "
		"CROSS JOIN LATERAL (WITH RECURSIVE family(relid) AS (SELECT c.oid UNION SELECT i.inhrelid FROM pg_inherits AS i JOIN family AS f ON i.inhparent = f.relid) "
		"SELECT f.relid FROM family AS f JOIN pg_class AS r ON r.oid = f.relid WHERE r.relkind <> 'f') AS m "
		"WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = m.relid AND t.tgfoid = 'settle.capture()'::regprocedure "
		"AND t.tgtype & 32 = 32 AND t.tgenabled = 'A' AND substring(t.tgargs FOR length(" TRIGGER_ARGS ")) = " TRIGGER_ARGS ")"
	},
	{
		"the first ticket of an order and project is the original",
		"SELECT (SELECT so.source FROM %1$s.source AS so WHERE so.source_id = o.source_id) || ' ' || o.ticket_key, "
		"'taken for ' || coalesce('a duplicate of ' || o.duplicate_of, 'the original') || ', the first is ' || o.first "
		"FROM (SELECT x.source_id, x.ticket_key, x.duplicate_of, first_value(x.ticket_key) OVER w AS first FROM %1$s.order_ticket AS x "
		"WINDOW w AS (PARTITION BY x.source_id, x.order_ref, x.project ORDER BY x.ready_at, x.ticket_key COLLATE \"C\")) AS o "
		"WHERE coalesce(o.duplicate_of, o.ticket_key) <> o.first"
	},
	{
		"no duplicate is paid by a rule that skips repeats",
		"SELECT so.source || ' ' || l.ticket_key, 'rule ' || l.code || ' pays ' || sum(l.amount) "
		"FROM %1$s.order_ticket AS o JOIN %1$s.source AS so ON so.source_id = o.source_id "
		"JOIN " ALL_LINES " AS l ON l.source_id = o.source_id AND l.ticket_key = o.ticket_key AND l.repeats = 'skip' "
		"WHERE o.duplicate_of IS NOT NULL "
		"AND NOT EXISTS (SELECT FROM %1$s.pending AS p WHERE p.source_id = o.source_id AND (p.ticket_key IS NULL OR p.ticket_key = o.ticket_key)) "
		"AND NOT EXISTS (SELECT FROM %1$s.problem AS p WHERE p.source = so.source AND p.ticket_key = o.ticket_key) "
		"AND NOT EXISTS (SELECT FROM %1$s.held AS h WHERE h.source_id = o.source_id AND h.ticket_key = o.ticket_key) "
		"GROUP BY so.source, l.ticket_key, l.code, l.payer_id, l.payee_id, l.unit HAVING sum(l.amount) <> 0"
	},
	{
		"a source has its relation",
		"SELECT s.source::text, 'its relation is gone' FROM %1$s.source AS s LEFT JOIN pg_class AS c ON c.oid = s.relation "
		"WHERE s.source_id <> 0 AND c.oid IS NULL"
	},
	{
		"periods are closed one after the other",
		"SELECT p.period::text, 'is not closed, and a later one is' FROM (SELECT settle._period_after(b.period, c.period) AS period "
		"FROM %1$s.period AS c CROSS JOIN %1$s.book AS b WHERE c.state = 'closed' AND c.period < settle._closed_until($1::regnamespace)) AS p "
		"WHERE NOT EXISTS (SELECT FROM %1$s.period AS o WHERE o.period = p.period AND o.state = 'closed')"
	},
	{
		"no sheet stands before the books begin",
		"SELECT so.source || ' ' || s.ticket_key, 'stands in ' || s.period FROM %1$s.sheet AS s JOIN %1$s.source AS so ON so.source_id = s.source_id "
		"WHERE s.period < (SELECT min(p.period) FROM %1$s.period AS p)"
	},
	{
		"what the rows of closed periods say was earned equals the lines",
		"SELECT o.party || ' ' || o.period, 'row ' || concat_ws(' ', o.earned, o.base, o.tickets) || ', lines ' || concat_ws(' ', x.earned, x.base, x.tickets) "
		"FROM %1$s.party_period AS o JOIN %1$s.period AS p ON p.period = o.period AND p.state = 'closed' LEFT JOIN ("
		"SELECT y.period, y.party, jsonb_object_agg(y.component, y.earned) AS earned, jsonb_object_agg(y.component, y.base) AS base, jsonb_object_agg(y.component, y.tickets) AS tickets "
		"FROM settle._period_sums($1::regnamespace, ARRAY(SELECT c.period FROM %1$s.period AS c WHERE c.state = 'closed'), settle._closed_until($1::regnamespace)) AS y GROUP BY 1, 2) AS x "
		"ON x.period = o.period AND x.party = o.party "
		"WHERE (o.earned, o.base, o.tickets) IS DISTINCT FROM (coalesce(x.earned, '{}'), coalesce(x.base, '{}'), coalesce(x.tickets, '{}')) "
		/* what was corrected in a period that is open again is written anew when it closes */
		"AND NOT EXISTS (SELECT FROM %1$s.sheet AS s JOIN %1$s.period AS q ON q.period = s.period AND q.state <> 'closed' WHERE s.corrects_period = o.period)"
	},
	{
		"every identity has a customer, unless it waits for the step customers",
		"SELECT i.platform || ' ' || i.subject, 'has a key of the type ' || min(i.key_type) "
		"FROM %1$s.customer_identity AS i "
		"WHERE NOT EXISTS (SELECT FROM %1$s.customer_subject AS s WHERE s.platform = i.platform AND s.subject = i.subject AND s.customer IS NOT NULL) "
		"AND NOT EXISTS (SELECT FROM %1$s.subject_changed AS q WHERE q.platform = i.platform AND q.subject = i.subject) "
		"GROUP BY i.platform, i.subject"
	},
	{
		"a customer has one value of an exclusive key in a scope",
		"SELECT 'customer:' || s.customer, count(DISTINCT k.key_id) || ' of the type ' || k.key_type "
		"FROM %1$s.customer_subject AS s JOIN %1$s.identity_link AS l ON l.subject_id = s.subject_id AND NOT l.cut JOIN %1$s.identity_key AS k ON k.key_id = l.key_id "
		"JOIN %1$s.key_type AS t ON t.key_type = k.key_type AND t.exclusive "
		"WHERE NOT s.contradicts AND NOT EXISTS (SELECT FROM %1$s.subject_changed) GROUP BY s.customer, k.key_type, k.scope HAVING count(DISTINCT k.key_id) > 1"
	},
	{
		"customers are the components of their keys, and a customer has the smallest number that is founded in his",
		"WITH c AS MATERIALIZED (SELECT * FROM settle._components($1, NULL)), "
		"s AS (SELECT DISTINCT c.subject_id, c.component FROM c), "
		"n AS (SELECT s.subject_id, s.component, min(f.customer) OVER (PARTITION BY s.component) AS customer FROM s LEFT JOIN %1$s.customer AS f ON f.subject_id = s.subject_id) "
		"SELECT m.platform || ' ' || m.subject, 'is of customer ' || m.customer || ', its keys say ' || coalesce(n.customer::text, 'none') "
		"FROM n JOIN %1$s.customer_subject AS m ON m.subject_id = n.subject_id WHERE m.customer IS DISTINCT FROM n.customer AND NOT EXISTS (SELECT FROM %1$s.subject_changed) "
		"UNION ALL "
		"SELECT k.key_type || ' ' || k.key_id, 'leads to customer ' || coalesce(k.customer::text, 'none') || ', its subjects are of ' || coalesce(v.customer::text, 'none') "
		"FROM (SELECT c.key_id, min(n.customer) FILTER (WHERE c.made) AS customer, coalesce(bool_or(NOT c.made), false) AS contested "
		"FROM c JOIN n ON n.subject_id = c.subject_id WHERE c.key_id IS NOT NULL GROUP BY c.key_id) AS v JOIN %1$s.identity_key AS k ON k.key_id = v.key_id "
		"WHERE (k.customer IS DISTINCT FROM v.customer OR k.contested <> v.contested) AND NOT EXISTS (SELECT FROM %1$s.subject_changed)"
	},
	{
		"the name of a promotion is known, as it is normalised now",
		"SELECT n.platform || ' ' || n.title, 'is kept as ' || n.name || ', and is ' || settle.normalize_text(left(n.title, 200)) FROM %1$s.campaign_name AS n "
		"WHERE n.name <> settle.normalize_text(left(n.title, 200)) "
		"UNION ALL SELECT DISTINCT p.platform || ' ' || p.title, 'is not in campaign_name' FROM %1$s.promotion AS p "
		"WHERE octet_length(p.title) < 2000 AND NOT EXISTS (SELECT FROM %1$s.campaign_name AS n WHERE n.platform = p.platform AND n.title = p.title) "
		"AND NOT EXISTS (SELECT FROM %1$s.order_changed AS c WHERE (c.platform, c.shop, c.order_no) = (p.platform, p.shop, p.order_no))"
	},
	{
		"nothing personal is left of who was erased",
		"SELECT e.subject, l.place FROM %1$s.erased AS e CROSS JOIN LATERAL ("
		"SELECT 'stands in person' AS place FROM %1$s.person AS p WHERE p.subject = e.subject AND p.platform = split_part(e.subject, ':', 1) "
		"UNION ALL SELECT 'has a key ' || i.key_type FROM %1$s.customer_identity AS i WHERE i.subject = e.subject AND settle._is_personal_key(i.key_type)) AS l"
	},
	{
		"no payload keeps its body for longer than staging_days and a day",
		"SELECT s.platform, 'bodies: ' || count(*) || ', the oldest of ' || min(s.received_at) FROM %1$s.staging AS s "
		"WHERE (s.payload IS NOT NULL OR s.raw IS NOT NULL) AND s.received_at < now() - (SELECT make_interval(days => b.staging_days + 1) FROM %1$s.book AS b) GROUP BY s.platform"
	},
	{
		"the code of a party is no phone and no identity card",
		"SELECT settle.mask_text(p.party), 'stands in sheets, which nothing changes' FROM %1$s.party AS p WHERE settle.looks_personal(p.party)"
	},
	{
		"lines and promotions stand with their order",
		"SELECT l.platform || ' ' || l.order_no, 'has lines, and is no order' FROM %1$s.order_line AS l "
		"WHERE NOT EXISTS (SELECT FROM %1$s.shop_order AS o WHERE (o.order_no, o.shop, o.platform) = (l.order_no, l.shop, l.platform)) "
		"UNION SELECT p.platform || ' ' || p.order_no, 'has promotions, and is no order' FROM %1$s.promotion AS p "
		"WHERE NOT EXISTS (SELECT FROM %1$s.shop_order AS o WHERE (o.order_no, o.shop, o.platform) = (p.order_no, p.shop, p.platform))"
	},
	{
		"a linked ticket names an order of the book",
		"SELECT l.platform || ' ' || l.ticket_no, 'is linked to ' || l.order_platform || ' ' || l.order_no || ', which is not there' FROM %1$s.ticket_link AS l "
		"WHERE l.order_no IS NOT NULL AND NOT EXISTS (SELECT FROM %1$s.shop_order AS o WHERE (o.platform, o.shop, o.order_no) = (l.order_platform, l.order_shop, l.order_no))"
	},
	{
		"a ticket of a platform is linked or waits for it",
		"SELECT t.platform || ' ' || t.ticket_no, 'has no row in ticket_link' FROM %1$s.platform_ticket AS t "
		"WHERE NOT EXISTS (SELECT FROM %1$s.ticket_link AS l WHERE (l.platform, l.shop, l.ticket_no) = (t.platform, t.shop, t.ticket_no)) "
		"AND NOT EXISTS (SELECT FROM %1$s.ticket_changed AS c WHERE (c.platform, c.shop, c.ticket_no) = (t.platform, t.shop, t.ticket_no))"
	},
	{
		"a ticket that names an order of the book is not unlinked",
		"SELECT l.platform || ' ' || l.ticket_no, 'names ' || n.number || ', which leads to ' || v.order_platform || ' ' || v.order_no FROM %1$s.ticket_link AS l "
		"JOIN %1$s.ticket_number AS n USING (platform, shop, ticket_no) "
		"JOIN %1$s.order_number AS v ON v.number = n.number AND (n.finds = 'reference') = (v.rank = 3) AND n.order_platform IN ('', v.order_platform) "
		"WHERE l.state = 'unlinked' AND l.decided_by IS NULL "
		"AND NOT EXISTS (SELECT FROM %1$s.ticket_changed AS c WHERE (c.platform, c.shop, c.ticket_no) = (l.platform, l.shop, l.ticket_no)) "
		"AND NOT EXISTS (SELECT FROM %1$s.order_changed AS c WHERE (c.platform, c.shop, c.order_no) = (v.order_platform, v.order_shop, v.order_no))"
	},
	{
		"a payload is unlinked because a ticket is",
		"SELECT 'payload ' || s.staging_id, 'its tickets are linked' FROM %1$s.staging AS s "
		"WHERE s.state = 'unlinked' AND NOT EXISTS (SELECT FROM %1$s.ticket_link AS l WHERE l.staging_id = s.staging_id AND l.state IN ('unlinked', 'suggested'))"
	},
	{
		"staff share an order line by positive weights, and by one attribution at a time",
		"SELECT format('%%s %%s %%s %%s', a.platform, a.shop, a.order_no, a.line_no), 'shares by ' || a.weights::text FROM %1$s.attribution AS a "
		"WHERE a.weights = '{}' OR EXISTS (SELECT FROM jsonb_each_text(a.weights) AS w WHERE w.value::numeric <= 0) "
		"UNION ALL SELECT format('%%s %%s %%s %%s', x.platform, x.shop, x.order_no, x.line_no), 'attributed from ' || x.attributed_at || ' while another holds until ' || coalesce(x.until::text, 'now') "
		"FROM (SELECT a.*, lag(coalesce(a.replaced_at, 'infinity')) OVER (PARTITION BY a.platform, a.shop, a.order_no, a.line_no ORDER BY a.attributed_at, a.attribution_id) AS until FROM %1$s.attribution AS a) AS x "
		"WHERE x.until > x.attributed_at"
	},
	{
		"an order line is attributed as its evidence says, or as was confirmed",
		"SELECT format('%%s %%s %%s %%s', x.platform, x.shop, x.order_no, x.line_no), 'attributed as ' || coalesce(x.weights::text, 'nobody''s') || ', should be ' || coalesce(x.found::text, 'nobody''s') "
		"FROM (SELECT platform, shop, order_no, line_no, a.weights, a.evidence, a.estimate, coalesce(c.weights, f.weights) AS found, coalesce(c.evidence, f.evidence) AS found_evidence, c.weights IS NULL AND f.estimate AS found_estimate "
		"FROM settle._staff_found($1::regnamespace) AS f "
		"FULL JOIN (SELECT s.* FROM %1$s.staff_confirmation AS s WHERE EXISTS (SELECT FROM %1$s.order_line AS l "
		"WHERE (l.platform, l.shop, l.order_no, l.line_no) = (s.platform, s.shop, s.order_no, s.line_no))) AS c USING (platform, shop, order_no, line_no) "
		"FULL JOIN (SELECT o.* FROM %1$s.attribution AS o WHERE o.replaced_at IS NULL) AS a USING (platform, shop, order_no, line_no)) AS x "
		"WHERE (x.weights, x.evidence, x.estimate) IS DISTINCT FROM (x.found, x.found_evidence, x.found_estimate) "
		/* what the step has not looked at yet */
		"AND NOT EXISTS (SELECT FROM %1$s.alias_changed) "
		"AND NOT EXISTS (SELECT FROM %1$s.order_changed AS q WHERE array_position(settle._order_steps(), q.step) <= array_position(settle._order_steps(), 'staff') "
		"AND (q.platform, q.shop, q.order_no) = (x.platform, x.shop, x.order_no))"
	},
	{
		"who followed whom is what the events come to",
		"SELECT format('%%s %%s %%s', x.platform, x.customer_no, x.staff_ref), format('%%s period %%s %%s', CASE WHEN x.n = 1 THEN 'no event makes the' ELSE 'events make a missing' END, x.valid, x.how) "
		"FROM (SELECT p.platform, p.shop, p.customer_no, p.staff_ref, p.valid, p.how, p.ended_by, sum(p.n) AS n FROM ("
		"SELECT f.platform, f.shop, f.customer_no, f.staff_ref, f.valid, f.how, f.ended_by, 1 AS n FROM %1$s.follow_period AS f "
		"UNION ALL SELECT d.platform, d.shop, d.customer_no, d.staff_ref, d.valid, d.how, d.ended_by, -1 FROM settle._derive_follow($1::regnamespace) AS d) AS p "
		"GROUP BY 1, 2, 3, 4, 5, 6, 7) AS x WHERE x.n <> 0"
	}
};

/*
 * settle._tally_fee(tiers settle.tiers[], counts bigint[], quantities numeric[],
 *					 weighted numeric[], rounding text, unit text) returns numeric
 *
 * Gives what a tally owes, of the versions of its rule in order.
 */
PG_FUNCTION_INFO_V1(settle_tally_fee_sql);
Datum
settle_tally_fee_sql(PG_FUNCTION_ARGS)
{
	ArrayType  *arrays[4];
	Datum	   *datums[4];
	int			n = 0;
	SettleTallyPart *parts;
	SettleRounding rounding;

	for (int i = 0; i < 4; i++)
	{
		int16		len;
		bool		byval;
		char		align;
		bool	   *nulls;
		int			count;

		arrays[i] = PG_GETARG_ARRAYTYPE_P(i);
		get_typlenbyvalalign(ARR_ELEMTYPE(arrays[i]), &len, &byval, &align);
		deconstruct_array(arrays[i], ARR_ELEMTYPE(arrays[i]), len, byval, align, &datums[i], &nulls, &count);
		if ((i > 0 && count != n) || array_contains_nulls(arrays[i]))
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("arrays of a tally differ in length or hold nulls")));
		n = count;
	}
	parts = palloc(sizeof(SettleTallyPart) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		parts[i].pricer = settle_pricer((SettleTiers *) PG_DETOAST_DATUM(datums[0][i]));
		parts[i].count = DatumGetInt64(datums[1][i]);
		parts[i].quantity = settle_dec_from_numeric(DatumGetNumeric(datums[2][i]));
		parts[i].weighted = settle_dec_from_numeric(DatumGetNumeric(datums[3][i]));
	}
	rounding = settle_rounding_in(text_to_cstring(PG_GETARG_TEXT_PP(4)), settle_minor_units(text_to_cstring(PG_GETARG_TEXT_PP(5))));
	PG_RETURN_NUMERIC(settle_dec_to_numeric(settle_ratio_round(settle_tally_fee(parts, n), &rounding)));
}

/*
 * Reports rows that take back a ticket which is not there, and no problem yet.
 */
static void
check_reversals(Run *run, Reader *reader, Tuplestorestate *store, TupleDesc desc)
{
	RunSource  *source = reader->source;
	Oid			types[] = {INT2OID, TEXTOID};
	Datum		values[] = {Int16GetDatum(source->id), CStringGetTextDatum(source->name)};
	const char *lookup_type;
	uint64		n;

	n = settle_book_execute(psprintf("SELECT DISTINCT a.source_key FROM (%2$s) AS a "
									 "WHERE a.source_key IS NOT NULL AND NOT EXISTS (SELECT FROM (%3$s) AS s WHERE s.source_key OPERATOR(pg_catalog.=) a.source_key) "
									 "AND NOT EXISTS (SELECT FROM %1$s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND (p.ticket_key IS NULL OR p.ticket_key OPERATOR(pg_catalog.=) a.source_key)) "
									 "AND NOT EXISTS (SELECT FROM %1$s.problem AS p WHERE p.source OPERATOR(pg_catalog.=) $2 AND p.ticket_key OPERATOR(pg_catalog.=) a.source_key) "
									 "ORDER BY 1 LIMIT 100",
									 run->book.name, settle_source_keys(source), settle_source_query(reader, &lookup_type)),
							lengthof(types), types, values, NULL, SPI_OK_SELECT);
	for (uint64 row = 0; row < n; row++)
	{
		bool		nulls[3] = {false};
		Datum		key = settle_spi_datum((int) row, 1, &nulls[1]);
		Datum		cells[] = {
			CStringGetTextDatum("a row that reverses names a ticket, or stands in problem"),
			CStringGetTextDatum(psprintf("%s %s", source->name, TextDatumGetCString(key))),
			CStringGetTextDatum("is taken back and is not there: settle.rescan")
		};

		tuplestore_putvalues(store, desc, cells, nulls);
	}
}

/*
 * Reports tickets of the sources that the book does not know, and settled ones
 * whose row is gone.
 */
static void
check_sources(const SettleBook *book, Tuplestorestate *store, TupleDesc desc)
{
	Run			run;

	settle_begin_run(&run, book, false);
	for (int i = 0; i < run.nsources; i++)
	{
		RunSource  *source = run.sources[i];
		Reader		reader = {.run = &run, .source = source};
		Oid			types[] = {INT2OID, NAMEOID, TIMESTAMPTZOID};
		NameData	name;
		Datum		values[] = {Int16GetDatum(source->id), NameGetDatum(&name), TimestampTzGetDatum(run.now)};
		const char *ready_at;
		const char *lookup_type;
		uint64		n;

		if (get_rel_name(source->relation) == NULL)
			continue;
		namestrcpy(&name, source->name);
		settle_compile_source(&run, source);
		/* readiness that depends on decisions cannot be asked of the table alone */
		ready_at = settle_set_ready_at(source->set);
		n = settle_book_execute(psprintf("SELECT coalesce(s.source_key, h.ticket_key), h.ticket_key IS NULL "
										 "FROM (%2$s%3$s) AS s FULL JOIN (SELECT x.ticket_key FROM %1$s.sheet AS x WHERE x.source_id OPERATOR(pg_catalog.=) $1 GROUP BY 1 HAVING sum(x.tickets) OPERATOR(pg_catalog.=) 1) AS h "
										 "ON h.ticket_key OPERATOR(pg_catalog.=) s.source_key "
										 "WHERE (%4$s OR s.source_key IS NULL) "
										 "AND NOT EXISTS (SELECT FROM %1$s.pending AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND (p.ticket_key IS NULL OR p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key))) "
										 "AND NOT EXISTS (SELECT FROM %1$s.problem AS p WHERE p.source OPERATOR(pg_catalog.=) $2 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 /* where a key that is too long was cut */
										 "AND NOT (s.source_key IS NOT NULL AND pg_catalog.octet_length(s.source_key) OPERATOR(pg_catalog.>) %5$d AND EXISTS (SELECT FROM %1$s.problem AS p "
										 "WHERE p.source OPERATOR(pg_catalog.=) $2 AND pg_catalog.starts_with(s.source_key, pg_catalog.left(p.ticket_key, -%6$d)))) "
										 "AND NOT EXISTS (SELECT FROM %1$s.unpaid AS p WHERE p.source OPERATOR(pg_catalog.=) $2 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 "AND NOT EXISTS (SELECT FROM %1$s.held AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 "AND NOT EXISTS (SELECT FROM %1$s.waiting AS p WHERE p.source_id OPERATOR(pg_catalog.=) $1 AND p.ticket_key OPERATOR(pg_catalog.=) coalesce(s.source_key, h.ticket_key)) "
										 /* a repeat that nothing pays has its alert */
										 "AND NOT EXISTS (SELECT FROM %1$s.alert AS p WHERE p.kind OPERATOR(pg_catalog.=) ANY ('{duplicate,rework}') AND p.object OPERATOR(pg_catalog.=) pg_catalog.concat($2, ' ', s.source_key)) "
										 "AND NOT EXISTS (SELECT FROM %1$s.source AS o WHERE o.source_id OPERATOR(pg_catalog.=) $1 AND o.on_delete OPERATOR(pg_catalog.=) 'ignore' AND s.source_key IS NULL) "
										 "ORDER BY 1 LIMIT 100",
										 book->name, settle_source_query(&reader, &lookup_type),
										 ready_at == NULL ? " WHERE false" : psprintf(" WHERE (%s) OPERATOR(pg_catalog.<=) $3", ready_at),
										 /* no rule need pay a row of a period */
										 source->is_period ? "false" : "h.ticket_key IS NULL",
										 SETTLE_MAX_KEY, SETTLE_CUT_KEY_END),
								3, types, values, NULL, SPI_OK_SELECT);
		for (uint64 row = 0; row < n; row++)
		{
			Datum		cells[3];
			bool		nulls[3] = {false};
			Datum		key;
			bool		isnull;
			bool		unknown = DatumGetBool(settle_spi_datum((int) row, 2, &isnull));

			if (ready_at == NULL && !unknown)
				continue;
			key = settle_spi_datum((int) row, 1, &isnull);
			cells[0] = CStringGetTextDatum("every ready ticket is known, and every settled ticket has its row");
			cells[1] = CStringGetTextDatum(isnull ? source->name : psprintf("%s %s", source->name, TextDatumGetCString(key)));
			cells[2] = CStringGetTextDatum(isnull ? "has a ready row without a key, which cannot be settled"
										   : unknown ? "is ready and the book does not know of it: settle.rescan"
										   : "is settled and has no row any more, or is not ready: settle.rescan");
			tuplestore_putvalues(store, desc, cells, nulls);
		}
		if (reader.has_reversals)
			check_reversals(&run, &reader, store, desc);
	}
	settle_release_sources(&run);
}

/*
 * settle.check(book regnamespace) returns setof (invariant, object, detail)
 *
 * Returns a row for each place where an invariant of the book does not hold.
 */
PG_FUNCTION_INFO_V1(settle_check);
Datum
settle_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleBook	book;
	SettleIdentity identity;
	Oid			type = OIDOID;
	Datum		arg;
	bool		of_this_version = true;

	InitMaterializedSRF(fcinfo, 0);
	book = settle_book(PG_GETARG_OID(0));
	settle_book_check_level(&book, SETTLE_READER);
	identity = settle_book_enter(&book);
	SPI_connect();
	arg = ObjectIdGetDatum(book.schema);
	for (int i = 0; i < lengthof(invariants) && of_this_version; i++)
	{
		uint64		n;

		CHECK_FOR_INTERRUPTS();
		n = settle_book_execute(psprintf(invariants[i].sql, book.name), 1, &type, &arg, NULL, SPI_OK_SELECT);
		for (uint64 row = 0; row < n; row++)
		{
			Datum		values[3];
			bool		nulls[3] = {false};

			values[0] = CStringGetTextDatum(invariants[i].name);
			values[1] = settle_spi_datum((int) row, 1, &nulls[1]);
			values[2] = settle_spi_datum((int) row, 2, &nulls[2]);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
		SPI_freetuptable(SPI_tuptable);
		/* the first one; of tables of another version nothing else can be asked */
		of_this_version = i > 0 || n == 0;
	}
	if (of_this_version)
	{
		settle_check_replay(&book, rsinfo->setResult, rsinfo->setDesc);
		/* last, since it leaves the search_path of expressions behind */
		check_sources(&book, rsinfo->setResult, rsinfo->setDesc);
	}
	SPI_finish();
	settle_book_leave(identity);
	return (Datum) 0;
}
