#!/bin/bash
# The matrix of a book after one new ticket in a hundred: what the tick takes to
# fold them into the totals, against a materialised view, which gets old until it
# is refreshed, and against sums that a trigger keeps; and what reading it takes
# before and after.  A tenth of the tickets, since a refresh takes as long as a
# settlement.  Folding also adds up days, parties and rules.
. "$(dirname "$0")/../library.sh"
book=bench_seen
columns='project_level, region_level, period, currency, project, region, tickets, revenue, cost, payout'
sheets="SELECT s.sheet_id, subltree(s.project, 0, 1)::text COLLATE \"C\" AS p1, subltree(s.project, 0, 2)::text COLLATE \"C\" AS p2, s.project::text COLLATE \"C\" AS p3,
	subltree(s.region, 0, 1)::text COLLATE \"C\" AS r1, subltree(s.region, 0, 2)::text COLLATE \"C\" AS r2, subltree(s.region, 0, 3)::text COLLATE \"C\" AS r3,
	s.region::text COLLATE \"C\" AS r4, s.period, s.currency COLLATE \"C\" AS currency, s.revenue, s.cost, s.payout FROM $book.sheet AS s"
fold="DO 'BEGIN WHILE settle.work(''$book'', ''fold'') LOOP COMMIT; END LOOP; END'"

# The seconds that a statement takes in the server.
server_seconds() { sql -c '\o /dev/null' -c '\timing on' -c "$1" | awk '/^Time: / { print $2 / 1000 }'; }
read_matrix() { server_seconds "SELECT $columns FROM $1 WHERE project_level = 1 AND region_level = 3"; }
figures_of() { sql -c "SELECT count(*), sum(hash_record_extended(f, 0)::numeric) FROM (SELECT project_level, region_level, period, currency, project, region, tickets, trim_scale(revenue), trim_scale(cost), trim_scale(payout) FROM $1) AS f"; }

say "totals"
sql -o /dev/null <<-SQL
	CREATE TABLE bench.seen (LIKE bench.ticket INCLUDING ALL);
	INSERT INTO bench.seen SELECT * FROM bench.ticket WHERE id % 10 = 0 AND id / 10 % 100 >= $rounds;
	CALL bench.make_book('$book', 200, 'bench.seen');
	SELECT settle.rescan('$book');
	CALL settle.run_all('$book');
	VACUUM (ANALYZE) $book.sheet, $book.unfolded, $book.rule, $book.source;
	$fold;
	VACUUM (ANALYZE) $book.cell_total, $book.day_total, $book.party_total, $book.rule_total, $book.unfolded;
	CREATE TABLE bench.seen_sheet AS $sheets;
	CREATE TABLE bench.seen_bare AS TABLE bench.seen_sheet;
	VACUUM (ANALYZE) bench.seen_sheet, bench.seen_bare;
SQL
sql -f peers/total.sql

for ((round = 1; round <= rounds; round++)); do
	sql -o /dev/null <<-SQL
		INSERT INTO bench.seen SELECT * FROM bench.ticket WHERE id % 10 = 0 AND id / 10 % 100 = $round - 1;
		CALL settle.run_all('$book');
		DROP TABLE IF EXISTS bench.seen_next;
		CREATE TABLE bench.seen_next AS $sheets WHERE s.sheet_id > (SELECT max(b.sheet_id) FROM bench.seen_bare AS b);
		CHECKPOINT;
	SQL
	note totals 'read waiting' $round "$(read_matrix $book.cell_figure)"
	note totals fold $round "$(server_seconds "$fold")"
	note totals read $round "$(read_matrix $book.cell_figure)"
	bare=$(server_seconds 'INSERT INTO bench.seen_bare TABLE bench.seen_next')
	note totals trigger $round "$(server_seconds 'INSERT INTO bench.seen_sheet TABLE bench.seen_next') - $bare"
	note totals 'read trigger' $round "$(read_matrix bench.seen_total)"
	note totals refresh $round "$(server_seconds 'REFRESH MATERIALIZED VIEW bench.seen_view')"
	note totals 'read view' $round "$(read_matrix bench.seen_view)"
	found=$(figures_of $book.cell_figure)
	same 'figures of the book and of the view' "$found" "$(figures_of bench.seen_view)"
	same 'figures of the book and of the trigger' "$found" "$(figures_of bench.seen_total)"
done
sql -c "CALL bench.drop_book('$book')" -c 'DROP TABLE bench.seen, bench.seen_sheet, bench.seen_bare, bench.seen_next, bench.seen_total CASCADE'
