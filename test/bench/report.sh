#!/bin/bash
# What reports cost: the matrix of twelve months at several numbers of tickets,
# against GROUP BY over the sheets; one's own progress; the aggregate over a
# table, against GROUP BY CUBE.
#
# Works in the schema bench, and books named bench_..., of the database that
# PGHOST, PGDATABASE ... name; the role must be a superuser.
#   SIZES    numbers of tickets of a year, from the smallest   (10000 1000000)
#   ROUNDS   measurements of each query                        (9)
#   TICKETS  of the aggregate, 0: it is left out               (1000000)
#
# A view must give what the sheets give, else nothing is printed and the exit
# status is 1.  A goal that is missed is no failure.
set -euo pipefail
cd "$(dirname "$0")"
sizes=${SIZES:-10000 1000000}
rounds=${ROUNDS:-9}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c work_mem=64MB -c max_parallel_workers_per_gather=0 -c timezone=UTC -c datestyle=ISO"

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# timed WORK SIZE psql-arguments: notes the seconds that all its statements took in the server
timed() {
	local work=$1 size=$2 seconds
	shift 2
	seconds=$(sql -c '\timing on' "$@" | awk '/^Time: / { total += $2 } END { print total / 1000 }')
	sql -c "INSERT INTO bench.figure VALUES ('$work', $size, $seconds)"
}

# alternate ROLE WORK SIZE=STATEMENT ...: in one session, each statement twice to warm up, then rounds times in turn
alternate() {
	local role=$1 work=$2 side seconds
	shift 2
	{
		printf 'SET ROLE %s;\n\\o /dev/null\n' "$role"
		printf '%s;\n' "${@#*=}" "${@#*=}"
		echo '\timing on'
		for ((round = 1; round <= rounds; round++)); do printf '%s;\n' "${@#*=}"; done
	} | sql -f - | awk '/^Time: / { print $2 / 1000 }' | {
		for ((round = 1; round <= rounds; round++)); do
			for side; do
				read -r seconds
				echo "INSERT INTO bench.figure VALUES ('$work', ${side%%=*}, $seconds);"
			done
		done
	} | sql -f -
}

# each STATEMENT: SIZE=STATEMENT for the book of each size, which %s stands for
each() { for size in $sizes; do printf '%s=' "$size"; printf "$1\n" "bench_$size"; done; }

# measure ROLE WORK STATEMENT: the statement on the book of each size, one after the other
measure() {
	local sides
	mapfile -t sides < <(each "$3")
	alternate "$1" "$2" "${sides[@]}"
}

remove_all() {
	sql <<-'SQL'
		SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace WHERE nspname LIKE 'bench\_%' \gexec
		DROP SCHEMA IF EXISTS bench CASCADE;
		DROP ROLE IF EXISTS bench_staff;
	SQL
}
remove_all

# 1,000 projects in a tree of 5 roots and 50 families, 31 provinces in 6 areas with 10 sites each, 3,000 staff; what a ticket has depends on its number alone
sql -o /dev/null <<-'SQL'
	CREATE SCHEMA bench;
	CREATE ROLE bench_staff;
	CREATE TABLE bench.figure (work text, tickets bigint, seconds numeric);
	CREATE FUNCTION bench.draw(ticket bigint, purpose int, below int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
		RETURN ((hashint8extended(ticket, purpose) & 9223372036854775807) % below)::int;
	CREATE PROCEDURE bench.make_year(book text, tickets bigint) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM settle.create_book(book::name);
		PERFORM settle.add_rule(book::regnamespace, 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '8%', valid => '(,)');
		PERFORM settle.add_rule(book::regnamespace, 'commission', 'commission', 'hq', 'staff:{worker}', base => 'amount', tiers => '1% to 5000, 2% to 20000, 3%', accumulate => 'month', valid => '(,)');
		EXECUTE format($insert$
			INSERT INTO %I.ticket (ticket_id, done_at, project, region, channel, worker, amount, cost)
			SELECT n, timestamptz '2025-01-01 00:00+08' + n * (interval '365 days' / ($1 + 1)),
				format('%%s.f%%s.k%%s', (ARRAY['install', 'repair', 'maintain', 'consult', 'parts'])[1 + p / 200], p / 20, p)::ltree,
				format('cn.a%%s.p%%s.s%%s', r / 10 * 6 / 31, r / 10, r)::ltree,
				(ARRAY['store', 'app', 'web', 'call', 'partner', 'insurer'])[1 + bench.draw(n, 3, 6)], 1 + bench.draw(n, 4, 3000), a, round(a * 0.6, 2)
			FROM generate_series(1, $1) AS n
			CROSS JOIN LATERAL (SELECT bench.draw(n, 1, 1000) AS p, bench.draw(n, 2, 310) AS r, (2000 + bench.draw(n, 5, 98000)) * 0.01 AS a) AS d
		$insert$, book) USING tickets;
	END $$;
SQL

matrix='SELECT * FROM %s.revenue_matrix WHERE project_level = 1 AND region_level = 3'
sheets='SELECT subpath(s.project, 0, 1)::text AS project, subpath(s.region, 0, 3)::text AS region, s.period, s.currency, sum(s.tickets) AS tickets, sum(s.revenue) AS revenue, sum(s.cost) AS cost, sum(s.payout) AS payout FROM %s.sheet AS s GROUP BY 1, 2, 3, 4'
same() {
	local view peer
	printf -v view "SELECT project, region, period, currency, tickets, revenue, cost, payout FROM ($matrix) AS m" "$1"
	printf -v peer "$sheets" "$1"
	[ "$(sql -c "SELECT count(*) FROM (($view EXCEPT ALL $peer) UNION ALL ($peer EXCEPT ALL $view)) AS d")" = 0 ] || die "$1: the matrix and the sheets differ"
}

for size in $sizes; do
	book=bench_$size
	say "$size tickets"
	sql -c "CALL bench.make_year('$book', $size)"
	timed post "$size" -c "CALL settle.run_all('$book')" >/dev/null
	[ "$size" -gt 10000 ] || same "$book"
	timed fold "$size" -c "DO 'BEGIN WHILE settle.work(''$book'', ''fold'') LOOP COMMIT; END LOOP; END'"
	sql -c "VACUUM (ANALYZE) $book.cell_total, $book.day_total, $book.sheet, $book.unfolded"
	same "$book"
	sql -c "INSERT INTO bench.figure SELECT 'nodes', $size, count(*) FROM $book.cell_total"
done
say 'matrix, trend, channels'
measure none matrix "$matrix"
measure none families 'SELECT * FROM %s.revenue_matrix WHERE project_level = 2 AND region_level = 0'
measure none trend "SELECT * FROM %s.trend WHERE grain = 'month'"
measure none channel 'SELECT * FROM %s.margin_by_channel'
measure none sheets "$sheets"
say '1,000 sheets wait; progress'
for size in $sizes; do
	book=bench_$size
	sql -o /dev/null -c "UPDATE $book.ticket SET cost = cost + 1 WHERE ticket_id IN (SELECT n::text FROM generate_series(1, 1000) AS n)" -c "SELECT settle.run('$book')"
	same "$book"
	sql -o /dev/null -c "SELECT settle.grant_access('$book', 'bench_staff', 'staff'), settle.grant_party('$book', 'staff:17', 'bench_staff')" -c "ANALYZE"
done
measure none waiting "$matrix"
measure bench_staff progress 'SELECT * FROM %s.my_progress'

psql -Xq -v ON_ERROR_STOP=1 -P footer=off <<'SQL'
\pset null ''
WITH work (n, work, what, goal) AS (VALUES
	(1, 'matrix', 'matrix of 12 months, 5 projects x 31 provinces', 20), (2, 'waiting', 'the same, 1,000 sheets wait', NULL), (3, 'families', '50 families of projects, 12 months', NULL),
	(4, 'trend', 'trend by months', NULL), (5, 'channel', 'margin by channel', NULL), (6, 'progress', 'my_progress of one of 3,000', 5), (7, 'sheets', 'GROUP BY over the sheets', NULL)
), median AS (
	SELECT f.work, f.tickets, 1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY f.seconds)::numeric AS ms, 1000 * min(f.seconds) AS lowest FROM bench.figure AS f GROUP BY f.work, f.tickets
)
SELECT w.what, m.tickets, round(m.ms, 1) AS ms, round(m.lowest, 1) AS lowest, round(m.ms / first_value(m.ms) OVER (PARTITION BY w.n ORDER BY m.tickets), 2) AS "of smallest",
	round(m.lowest / first_value(m.lowest) OVER (PARTITION BY w.n ORDER BY m.tickets), 2) AS "of lowest", w.goal AS "goal ms"
FROM work AS w JOIN median AS m ON m.work = w.work ORDER BY w.n, m.tickets;

SELECT p.tickets, round(p.seconds, 1) AS "settled in s", round(f.seconds, 1) AS "folded in s", n.seconds::bigint AS "pairs of nodes"
FROM bench.figure AS p JOIN bench.figure AS f ON f.work = 'fold' AND f.tickets = p.tickets JOIN bench.figure AS n ON n.work = 'nodes' AND n.tickets = p.tickets
WHERE p.work = 'post' ORDER BY p.tickets;
\echo 'ms: in the server and to the client, planning included; medians of the rounds. The goal for the matrix is at most 1.5 from the smallest to the largest.'
\echo
SQL
remove_all
[ "${TICKETS:-1000000}" = 0 ] || TICKETS=${TICKETS:-1000000} ./matrix.sh
