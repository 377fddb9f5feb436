#!/bin/bash
# First figures on a million tickets in one backend, each a ratio against a peer
# measured in the same run, alternately; medians, and the spread of the ratios.
#
# Works in the schema bench, and books named bench_..., of the database that
# PGHOST, PGDATABASE ... name; the role must be a superuser (server-side COPY).
#   TICKETS  number of tickets                          (1000000)
#   ROUNDS   measurements of each pair                  (3)
#   WORKERS  of 3,000, whose tickets the slow peers settle; their time is scaled  (150)
#
# Both sides of a pair must give the same lines, else nothing is printed and the
# exit status is 1.  A goal that is missed is no failure.
set -euo pipefail
cd "$(dirname "$0")"
tickets=${TICKETS:-1000000}
rounds=${ROUNDS:-3}
workers=${WORKERS:-150}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c jit=off -c work_mem=256MB -c max_parallel_workers_per_gather=0 -c timezone=UTC -c datestyle=ISO"

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# timed WORK SIDE ROUND SCALE psql-arguments: notes the seconds that all its statements took in the server
timed() {
	local work=$1 side=$2 round=$3 scale=$4 seconds
	shift 4
	sql -c CHECKPOINT
	seconds=$(sql -c '\timing on' "$@" | awk '/^Time: / { total += $2 } END { print total / 1000 }')
	sql -c "INSERT INTO bench.figure VALUES ('$work', '$side', $round, $seconds * $scale)"
}

# alternate WORK SIDE=STATEMENT ...: in one session, each statement once to warm up, then rounds times in turn
alternate() {
	local work=$1 sides=() statements=() round side seconds i
	shift
	for side; do
		sides+=("${side%%=*}")
		statements+=("${side#*=}")
	done
	{
		echo '\o /dev/null'
		printf '%s;\n' "${statements[@]}"
		echo '\timing on'
		for ((round = 1; round <= rounds; round++)); do printf '%s;\n' "${statements[@]}"; done
	} | sql -f - | awk '/^Time: / { print $2 / 1000 }' | {
		for ((round = 1; round <= rounds; round++)); do
			for i in "${!sides[@]}"; do
				read -r seconds
				echo "INSERT INTO bench.figure VALUES ('$work', '${sides[i]}', $round, $seconds);"
			done
		done
	} | sql -f -
}

# same WHAT QUERY QUERY: both queries give the same single value
same() {
	local ours peer
	ours=$(sql -c "$2")
	peer=$(sql -c "$3")
	[ "$ours" = "$peer" ] || die "$1 differ: $ours and $peer"
}

# The lines of a table, as one value: their number and a sum of their hashes.  The
# commission, which depends on the order in which a worker's tickets arrive, is
# taken by its tallies, which do not.
lines_of() {
	cat <<-SQL
		WITH line AS (
			SELECT CASE l.component WHEN 'commission' THEN 0 ELSE l.ticket_id END AS ticket_id, l.period,
				l.component, l.rule_code, l.payer, l.payee, count(*) AS lines, sum(l.amount) AS amount
			FROM $1 AS l ${2:-}
			GROUP BY 1, 2, 3, 4, 5, 6
		)
		SELECT sum(lines), sum(hash_record_extended(ROW(ticket_id, period, component, rule_code, payer, payee, lines, amount), 0)::numeric) FROM line
	SQL
}
sample="JOIN bench.ticket AS t ON t.id = l.ticket_id WHERE t.worker <= $workers"

empty_lines() { sql -c 'TRUNCATE bench.line'; }

remove_all() {
	sql <<-'SQL'
		SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace WHERE nspname LIKE 'bench\_%' \gexec
		DROP SCHEMA IF EXISTS bench CASCADE;
	SQL
}

#
# The tickets, the rules, the peers.
#
remove_all
say "$tickets tickets, $rounds rounds"
sql -v tickets="$tickets" -f tickets.sql -f rules.sql -f book.sql -f peers/line.sql -f peers/loop.sql -f peers/tier.sql
sql -c 'CREATE TABLE bench.figure (work text, side text, round int, seconds numeric)'
scale=$(sql -c "SELECT $tickets::numeric / count(*) FROM bench.ticket WHERE worker <= $workers")
copied=$(sql -c "SELECT current_setting('data_directory') || '/bench_lines'")

#
# Settling altogether.
#
for ((round = 1; round <= rounds; round++)); do
	say "settling, round $round"
	book=bench_settled_$round
	sql -c "CALL bench.make_book('$book', 200)" -c "SELECT settle.rescan('$book')" >/dev/null
	timed run ours $round 1 -c "CALL settle.run_all('$book')"
	if [ $round = 1 ]; then
		sql -c "CREATE TABLE bench.settled AS
			SELECT ticket_key::bigint AS ticket_id, period::date, component, rule_code, payer, payee, base::numeric, factor::numeric, amount::numeric(18, 2)
			FROM $book.line_detail"
		sql -c "COPY bench.settled TO '$copied' (FORMAT binary)"
	fi
	sql -c "DROP SCHEMA $book CASCADE"

	empty_lines
	timed run copy $round 1 -c "COPY bench.line FROM '$copied' (FORMAT binary)"
	[ $round != 1 ] || same 'lines of settle.run_all and of COPY' "$(lines_of bench.settled)" "$(lines_of bench.line)"
	empty_lines
	timed run sets $round 1 -v rules=200 -f peers/sets.sql
	[ $round != 1 ] || same 'lines of settle.run_all and by sets' "$(lines_of bench.settled)" "$(lines_of bench.line)"
	empty_lines
	timed run join $round "$scale" -v rules=200 -v workers="$workers" -f peers/join.sql
	[ $round != 1 ] || same 'lines of settle.run_all and by joins' "$(lines_of bench.settled "$sample")" "$(lines_of bench.line)"
	empty_lines
	sql -c 'TRUNCATE bench.month_total'
	timed run loop $round "$scale" -c "CALL bench.settle_by_loop(200, $workers)"
	[ $round != 1 ] || same 'lines of settle.run_all and by a loop' "$(lines_of bench.settled "$sample")" "$(lines_of bench.line)"
	empty_lines
done
sql -c "COPY (SELECT) TO '$copied'"

#
# Matching and pricing.
#
sides=()
for size in 10 100 200 1000 10000; do
	say "matching, $size rules"
	sql -c "CALL bench.make_book('bench_$size', $size)"
	sides+=("$size=SELECT settle._bench_evaluate('bench_$size', 'visit')")
done
same 'numbers of lines' "SELECT settle._bench_evaluate('bench_200', 'visit')" 'SELECT count(*) FROM bench.settled'
alternate match 'sum=SELECT sum(amount) FROM bench.ticket' "${sides[@]}"

#
# Tiers.
#
say tiers
tiers="settle.tiers '3% to 20000, 5% to 50000, 8%'"
arrays="ARRAY[20000, 50000, NULL]::numeric[], ARRAY[0.03, 0.05, 0.08]"
fee="SELECT sum(settle.fee($tiers, amount * 50)) FROM bench.ticket"
array_fee="SELECT sum(bench.array_fee(amount * 50, $arrays)) FROM bench.ticket"
running_fee="SELECT sum(f) FROM (SELECT settle.tiered_fee(amount, $tiers) OVER (PARTITION BY worker ORDER BY done_at, id) AS f FROM bench.ticket) AS w"
running_array_fee="SELECT sum(f) FROM (SELECT bench.array_fee(sum(amount) OVER (PARTITION BY worker ORDER BY done_at, id), $arrays) AS f FROM bench.ticket) AS w"
same 'fees' "SELECT trim_scale(($fee))" "SELECT trim_scale(($array_fee))"
same 'running fees' "SELECT trim_scale(($running_fee))" "SELECT trim_scale(($running_array_fee))"
same 'fees of the workers' "SELECT trim_scale(sum(f)) FROM (SELECT settle.tiered_fee(amount, $tiers) AS f FROM bench.ticket GROUP BY worker) AS w" \
	"SELECT trim_scale(sum(f)) FROM (SELECT bench.array_fee(sum(amount), $arrays) AS f FROM bench.ticket GROUP BY worker) AS w"
alternate total "ours=SELECT settle.tiered_fee(amount, $tiers) FROM bench.ticket" 'sum=SELECT sum(amount) FROM bench.ticket'
alternate fee "ours=$fee" "plpgsql=$array_fee"
alternate running "ours=$running_fee" "plpgsql=$running_array_fee"

#
# The revenue matrix has a script of its own; it prints work, ours, peer and ratio.
#
if [ -x matrix.sh ]; then
	say matrix
	TICKETS=$tickets ROUNDS=$rounds ./matrix.sh |
		sed -n 's/^\(dense\|sparse\); \(GROUP BY CUBE\( over text\)\{0,1\}\)  *\([0-9.]*\)  *\([0-9.]*\) .*/\1\t\2\t\4\t\5/p' |
		while IFS=$'\t' read -r shape peer ours theirs; do
			echo "INSERT INTO bench.figure VALUES ('$shape $peer', 'ours', 1, $ours), ('$shape $peer', 'cube', 1, $theirs);"
		done | sql -f -
fi

psql -Xq -v ON_ERROR_STOP=1 -P footer=off -v tickets="$tickets" -v workers="$workers" -f table.sql
remove_all
