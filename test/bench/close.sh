#!/bin/bash
# Figures of what follows settling, in one backend: kept inputs, seals, looking
# ahead, closing periods, statements.
#
# Works in the book bench_close of the database that PGHOST, PGDATABASE ... name.
#   TICKETS  number of tickets, over three months            (1000000)
#   PARTIES  workers, each with a statement a month          (100000)
#   ROSTER   of them, settled by a rule of the source period (3000)
#   ROUNDS   measurements with and without kept inputs       (3)
#
# Nothing is analyzed before the first close, as after a load: its plans must
# not depend on statistics.  Whatever is wrong afterwards, as settle.check
# finds, is an error.
set -euo pipefail
cd "$(dirname "$0")"
tickets=${TICKETS:-1000000}
parties=${PARTIES:-100000}
roster=${ROSTER:-3000}
rounds=${ROUNDS:-3}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c timezone=UTC -c datestyle=ISO"

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# timed WORK STATEMENT: prints the work and the seconds that the statement took in the server
timed() {
	local seconds
	sql -c CHECKPOINT
	seconds=$(sql -c '\timing on' -c "$2" | awk '/^Time: / { print $2 / 1000 }')
	printf '%-44s %8.2f s\n' "$1" "$seconds"
}

make_book() {
	sql >/dev/null <<-SQL
		DROP SCHEMA IF EXISTS bench_close CASCADE;
		SELECT settle.create_book('bench_close');
		UPDATE bench_close.book SET keep_inputs = $1;
		SELECT settle.add_rule('bench_close', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%');
		SELECT settle.add_rule('bench_close', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8%', accumulate => 'month');
		SELECT settle.add_rule('bench_close', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'c.wage', tiers => '3%');
		SELECT settle.add_rule('bench_close', 'guarantee', 'guarantee', 'hq', '{party}', source => 'period',
			base => 'greatest(0, 100 - settle.part(earned, ''wage''))', tiers => '100%');
		INSERT INTO bench_close.roster (party) SELECT 'staff:' || n FROM generate_series(0, $roster - 1) AS n;
		ALTER TABLE bench_close.sheet SET (autovacuum_enabled = off);
		INSERT INTO bench_close.ticket (ticket_id, done_at, project, region, worker, amount)
		SELECT n::text, timestamptz '2025-11-05' + (n / $parties % 3) * interval '1 month', 'a', 'b', (n % $parties)::text, n % 700 + 20
		FROM generate_series(1, $tickets) AS n;
	SQL
}

for ((round = 1; round <= rounds; round++)); do
	for keep in false true; do
		make_book $keep
		timed "settle.run_all, keep_inputs $keep" "CALL settle.run_all('bench_close')"
		sql -c "SELECT '  its sheets: ' || pg_size_pretty(pg_table_size('bench_close.sheet'))"
	done
done
timed 'settle._seal' "SELECT settle._seal('bench_close')"
timed 'settle.verify' "SELECT * FROM settle.verify('bench_close')"
timed 'settle.close_period, the first' "SELECT settle.close_period('bench_close', '2025-11-01')"
timed 'settle.close_period, the second' "SELECT settle.close_period('bench_close', '2025-12-01')"
sql -c "SELECT '  statements of ' || period || ': ' || count(*) FROM bench_close.statement GROUP BY period ORDER BY period"
sql -c "INSERT INTO bench_close.ticket (ticket_id, done_at, project, region, worker, amount)
	SELECT 'late ' || n, '2025-11-06', 'a', 'b', (n % $parties)::text, n % 700 + 20 FROM generate_series(1, $tickets / 100) AS n"
timed 'settle.plan, one ticket in a hundred late' "SELECT * FROM settle.plan('bench_close')"
timed 'settle.run of them' "SELECT * FROM settle.run('bench_close')"
[ "$(sql -c "SELECT count(*) FROM settle.check('bench_close')")" = 0 ] || die 'settle.check finds what is wrong'
say "$tickets tickets, $parties parties, $roster on the roster"
sql -c 'DROP SCHEMA bench_close CASCADE'
