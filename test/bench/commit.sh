#!/bin/bash
# What settling costs whoever writes a ticket: inserts by pgbench into a table
# of tickets that nobody settles, into the same table as the source of a book,
# into the own tickets of a book whose changes are queued, and into those of one
# that settles at commit, in turn; then the same from one backend, by its
# processor time and WAL, and what the tick takes for them later.
#
# Beside them the floor: the rows that settling at commit leaves, written by
# hand.  Nothing is read and nothing computed; the sheet has the indexes and the
# width of a real one, the tally is updated at its place, the record of the run is
# as wide.  One statement does it all, the cheapest form that SQL has: a trigger
# in PL/pgSQL takes a tenth longer.
#
# Works in the schemas bench_bare, bench_table and bench_hand and the books
# bench_queue and bench_commit of the database that PGHOST, PGDATABASE ... name;
# the role must be a superuser, who may read its own processor time.
#   CLIENTS  of pgbench                     (8)
#   SECONDS_EACH  that a measurement takes  (10)
#   ROUNDS   measurements of each           (5)
#   TICKETS  that one backend inserts       (20000)
#
# Both books have a plain rule and one that accumulates by month, and 1,000
# workers.  In the end they must have given every worker the same for the same
# tickets, else the exit status is 1.
set -euo pipefail
clients=${CLIENTS:-8}
seconds=${SECONDS_EACH:-10}
rounds=${ROUNDS:-5}
tickets=${TICKETS:-20000}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c timezone=UTC -c datestyle=ISO"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

schemas='bench_bare bench_table bench_queue bench_hand bench_commit'
for book in bench_queue bench_commit; do
	sql >/dev/null <<-SQL
		DROP SCHEMA IF EXISTS $book CASCADE;
		SELECT settle.create_book('$book', settle_on => '$([ $book = bench_queue ] && echo schedule || echo commit)');
		SELECT settle.add_rule('$book', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%');
		SELECT settle.add_rule('$book', 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8%', accumulate => 'month');
	SQL
done
sql >/dev/null <<-SQL
	DROP SCHEMA IF EXISTS bench_bare, bench_table, bench_hand CASCADE;
	CREATE SCHEMA bench_bare;
	CREATE SCHEMA bench_table;
	CREATE SCHEMA bench_hand;
	CREATE TABLE bench_bare.ticket (LIKE bench_queue.ticket INCLUDING ALL);
	CREATE TABLE bench_table.ticket (LIKE bench_queue.ticket INCLUDING ALL);
	SELECT settle.add_source('bench_queue', 'company', 'bench_table.ticket', key => 'ticket_id', ready_at => 'done_at', revenue => 'amount');
SQL
# one real ticket, whose sheet and record the hand copies
sql <<-SQL
	INSERT INTO bench_commit.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('first', '2025-11-05', 'a', 'b', 'w1', 100);
	CREATE TABLE bench_hand.ticket (LIKE bench_queue.ticket INCLUDING ALL);
	CREATE TABLE bench_hand.sheet (LIKE bench_commit.sheet INCLUDING ALL);
	CREATE TABLE bench_hand.fresh_run (LIKE bench_commit.fresh_run);
	CREATE TABLE bench_hand.tally_state (LIKE bench_commit.tally_state INCLUDING ALL) WITH (fillfactor = 70);
	INSERT INTO bench_hand.tally_state
	SELECT t.rule_id, w, t.period, t.unit, t.payer_id, w, t.count, t.quantity, t.weighted, t.amount FROM bench_commit.tally_state AS t, generate_series(0, 999) AS w;
SQL

# insert SCHEMA KEY WORKER AMOUNT: the statement that writes a ticket; the worker's number is what his code ends with
insert() {
	local ticket="INSERT INTO $1.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ($2, '2025-11-05', 'a', 'b', 'w' || $3, $4)"
	if [ "$1" != bench_hand ]; then
		echo "$ticket"
		return
	fi
	sql -v key="$2" -v worker="$3" -v amount="$4" -v ticket="$ticket" <<-'SQL'
		SELECT format('WITH t AS (%s), a AS (UPDATE bench_hand.tally_state SET count = count + 1, quantity = quantity + %s, weighted = weighted + %2$s, amount = amount + %s '
			'WHERE rule_id = %s AND owner_id = %s AND period = %L AND unit = %L), ',
			:'ticket', :'amount', a.amount, a.rule_id, :'worker', a.period, a.unit)
		|| format('s AS (INSERT INTO bench_hand.sheet (run_id, ticket_time, period, revision, source_id, tickets, ticket_key, project, region, currency, revenue, cost, payout, lines, inputs) '
			'VALUES (%s, %L, %L, %s, %s, %s, %s, %L, %L, %L, %s, %s, %s, %L, %L) RETURNING sheet_id) ',
			s.run_id, s.ticket_time, s.period, s.revision, s.source_id, s.tickets, :'key', s.project, s.region, s.currency, :'amount', s.cost, s.payout, s.lines, s.inputs)
		|| format('INSERT INTO bench_hand.fresh_run SELECT s.sheet_id, now(), clock_timestamp(), %L, %L, %L, %s, %s, %s, %s, %s, %s, %s, %s, %L::jsonb, s.sheet_id, s.sheet_id FROM s',
			r.settled_on, r.digest, r.actor, r.tickets, r.lines, r.amount, r.corrections, r.held, r.problems, r.unpaid, r.counted, r.input_names)
		FROM bench_commit.sheet AS s, bench_commit.fresh_run AS r, bench_commit.tally_state AS a
		WHERE s.ticket_key = 'first' AND r.run_id = s.run_id;
	SQL
}
for schema in $schemas; do
	{
		echo '\set n random(1, 2000000000)'
		insert $schema "('p' || :client_id || ' ' || :n)" '(:n % 1000)' 100
	} >"$work/$schema.sql"
	sql <<-SQL
		CREATE PROCEDURE $schema.many(first int, last int) LANGUAGE plpgsql AS \$\$
		BEGIN
			FOR i IN first..last LOOP
				$(insert $schema "('m' || i)" '(i % 1000)' '(i % 700 + 20)');
				COMMIT;
			END LOOP;
		END \$\$;
	SQL
done

# measure SCHEMA: transactions a second
measure() {
	pgbench -n -M prepared -f "$work/$1.sql" -c "$clients" -j 1 -T "$seconds" 2>"$work/errors" | awk '/^tps/ { print $3 }' ||
		die "$(cat "$work/errors")"
}
for schema in $schemas; do sql -c "CALL $schema.many(1, 1000)"; done
for ((round = 1; round <= rounds; round++)); do
	for schema in $schemas; do echo "$schema $(measure $schema)"; done
done | tee "$work/rates" | awk '{ print > "/dev/stderr" }'
awk '{ rate[$1] = $2; if ($1 != "bench_bare") print $1, $2 / rate["bench_bare"] }' "$work/rates" | sort -k1,1 -k2,2n |
	awk '{ if ($1 in n) ; else order[++kinds] = $1; all[$1, ++n[$1]] = $2 }
		END { for (k = 1; k <= kinds; k++) { s = order[k]; printf "%-14s %.2f of the bare rate, %.2f to %.2f\n", s, all[s, int((n[s] + 1) / 2)], all[s, 1], all[s, n[s]] } }'

for schema in $schemas; do
	sql <<-SQL
		SELECT split_part(s, ' ', 1) AS spent, pg_current_wal_insert_lsn() AS wal FROM pg_read_file('/proc/self/schedstat') AS s \gset
		CALL $schema.many(1001, $tickets);
		SELECT format('%-14s %s us of processor time, %s bytes of WAL a ticket', '$schema',
			round((split_part(s, ' ', 1)::numeric - :spent) / 1000 / ($tickets - 1000), 1),
			round((pg_current_wal_insert_lsn() - :'wal') / ($tickets - 1000))) FROM pg_read_file('/proc/self/schedstat') AS s;
	SQL
done

sql <<-SQL
	SELECT split_part(s, ' ', 1) AS spent FROM pg_read_file('/proc/self/schedstat') AS s \gset
	SELECT settle._absorb('bench_commit') AS absorbed \gset
	SELECT format('absorbed later  %s us of processor time a ticket', round((split_part(s, ' ', 1)::numeric - :spent) / 1000 / :absorbed, 1)) FROM pg_read_file('/proc/self/schedstat') AS s;
SQL

# the same tickets, settled later and together
sql -c "DELETE FROM bench_queue.ticket WHERE ticket_id LIKE 'p%'" -c "TRUNCATE bench_table.ticket" -c "SELECT 1 FROM settle.run('bench_queue')" >/dev/null
paid() {
	sql -c "SELECT md5(string_agg(format('%s %s %s', payee, component, amount), ',' ORDER BY payee, component)) FROM (
		SELECT payee, split_part(component, '.', 1) AS component, trim_scale(sum(amount)) AS amount FROM $1.line_detail
		WHERE ticket_key LIKE 'm%' GROUP BY 1, 2) AS x WHERE component = 'wage'"
}
[ "$(paid bench_queue)" = "$(paid bench_commit)" ] || die 'the two books have paid something else'
[ "$(sql -c "SELECT count(*) FROM settle.check('bench_commit')")" = 0 ] || die 'settle.check finds what is wrong'
sql -c 'DROP SCHEMA bench_commit, bench_queue, bench_table, bench_hand, bench_bare CASCADE'
