#!/bin/bash
# What the desk costs while people work: a ticket is opened, given to somebody
# by his team, moved three times and done, in six transactions of its own each;
# pgbench with eight clients does so side by side.
#
# Runs in the database that PGHOST, PGDATABASE ... name, where the extension must
# be installed; works in the schema bench and in the book bench_desk, which it
# drops.  The role must be a superuser, the server be on this machine.
#   TICKETS  tickets of a side in a round          (8000)
#   ROUNDS   measurements of each side, in turn    (3)
#   CLIENTS  sessions that work at the same time   (8)
#   EVERY    seconds between two runs where a run settles  (5)
#
# Sides, in the order of what they add:
#   table      the same six statements on a copy of the ticket's table with its
#              indexes: no types, no journal, no teams, no settlement
#   desk       the book, which notes nothing for settlement
#   deadlines  the same, and its type has three targets
#   queued     tickets are noted, and a ninth session settles every few seconds
#   commit     tickets are settled at their commit
#
# Every side but the first must have all tickets done and, after a last run,
# settle to equal lines, else nothing is printed and the exit status is 1.
#
# "In the extension" is what the desk takes more than the table, as a share of
# what the desk takes: everything that the extension causes counts, journal and
# search for a person included.  It is told by the clock, and by the processor
# time of all sessions, which does not see other work on the machine, nor waits.
set -euo pipefail
tickets=${TICKETS:-8000}
rounds=${ROUNDS:-3}
clients=${CLIENTS:-8}
every=${EVERY:-5}
each=$((tickets / clients))
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c jit=off -c timezone=UTC"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The same ticket on all sides: a client counts its own.
cat >"$work/ticket" <<-'PGBENCH'
	\set n :n + 1
	\set key :client_id * 1000000 + :n
	\set place :key % 40
	\set dealer :key % 200
	\set amount 100 + :key % 900
PGBENCH
cat "$work/ticket" - >"$work/desk" <<-'PGBENCH'
	SELECT settle.open_ticket('bench_desk', 'repair', '{"fault": "noise", "phone": "138 0013 8000"}', region => 'cn.r' || :place, amount => :amount, dealer => 'd' || :dealer, ticket_id => 'T' || :key);
	SELECT settle.assign_ticket('bench_desk', 'T' || :key);
	SELECT settle.move_ticket('bench_desk', 'T' || :key, 'book', '{"visit_at": "2025-11-11 10:00"}');
	SELECT settle.move_ticket('bench_desk', 'T' || :key, 'begin');
	SELECT settle.move_ticket('bench_desk', 'T' || :key, 'test', '{"serial": "AB1234"}');
	SELECT settle.move_ticket('bench_desk', 'T' || :key, 'finish');
PGBENCH
cat "$work/ticket" - >"$work/table" <<-'PGBENCH'
	INSERT INTO bench.ticket (ticket_id, type, type_version, stage, opened_at, project, region, dealer, amount, details) VALUES ('T' || :key, 'repair', 1, 'new', now(), 'repair.ac', ('cn.r' || :place)::ltree, 'd' || :dealer, :amount, '{"fault": "noise", "phone": "13800138000"}');
	UPDATE bench.ticket SET worker = :place || '.' || :n % 10 WHERE ticket_id = 'T' || :key;
	UPDATE bench.ticket SET stage = 'booked', move = 'book', details = details || '{"visit_at": "2025-11-11T10:00:00+08:00"}' WHERE ticket_id = 'T' || :key;
	UPDATE bench.ticket SET stage = 'work', move = 'begin' WHERE ticket_id = 'T' || :key;
	UPDATE bench.ticket SET stage = 'test', move = 'test', details = details || '{"serial": "AB1234"}' WHERE ticket_id = 'T' || :key;
	UPDATE bench.ticket SET stage = 'done', move = 'finish', done_at = now() WHERE ticket_id = 'T' || :key;
PGBENCH

# make_book SETTLE_ON: forty regions with a team of ten each; a wage, a dealer's share, and his bonus, which accumulates
make_book() {
	sql -v settle_on="$1" -o /dev/null <<-'SQL'
		DROP SCHEMA IF EXISTS bench_desk CASCADE;
		SELECT settle.create_book('bench_desk', settle_on => :'settle_on');
		SELECT settle.add_type('bench_desk', '{"type": "repair", "project": "repair.ac",
			"fields": [
				{"field": "fault", "kind": "choice", "choices": ["cold", "noise", "water"], "required": true},
				{"field": "litres", "kind": "numeric", "shown": "form.fault = ''water''", "required": true},
				{"field": "phone", "kind": "phone", "required": true, "privacy": "personal"},
				{"field": "visit_at", "kind": "timestamp"},
				{"field": "serial", "kind": "text", "pattern": "[A-Z]{2}[0-9]{4}"}],
			"stages": [{"stage": "new", "initial": true}, {"stage": "booked"}, {"stage": "work", "work": true}, {"stage": "test", "work": true}, {"stage": "done", "ready": true, "ends": "done"}],
			"moves": [
				{"move": "book", "from_stage": "new", "to_stage": "booked", "requires": ["visit_at"]},
				{"move": "begin", "from_stage": "booked", "to_stage": "work"},
				{"move": "test", "from_stage": "work", "to_stage": "test", "requires": ["serial"]},
				{"move": "finish", "from_stage": "test", "to_stage": "done", "guard": "amount > 0"}]}');
		SELECT settle.enable_type('bench_desk', 'repair');
		SELECT settle.add_decision('bench_desk', 'team', returns => 'text');
		SELECT settle.add_outcome('bench_desk', 'team', format('region <@ %L', 'cn.r' || r), to_jsonb('team ' || r)) FROM generate_series(0, 39) AS r;
		INSERT INTO bench_desk.type_team (type, decision) VALUES ('repair', 'team');
		INSERT INTO bench_desk.team (team, strategy) SELECT 'team ' || r, 'least_open' FROM generate_series(0, 39) AS r;
		INSERT INTO bench_desk.team_member (team, staff) SELECT 'team ' || r, r || '.' || n FROM generate_series(0, 39) AS r, generate_series(0, 9) AS n;
		SELECT settle.add_rule('bench_desk', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%');
		SELECT settle.add_rule('bench_desk', 'share', 'share', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '5% to 500, 4%', applies_when => $$type = 'repair'$$);
		SELECT settle.add_rule('bench_desk', 'bonus', 'bonus', 'hq', 'dealer:{dealer}', base => 'amount', tiers => '1% to 5000, 2%', accumulate => 'month');
		DROP TABLE IF EXISTS bench.ticket;
		CREATE TABLE bench.ticket (LIKE bench_desk.ticket INCLUDING ALL);
		CREATE TABLE IF NOT EXISTS bench.figure (side text, round int, seconds numeric, processor numeric, behind numeric, lines text, steps numeric[]);
	SQL
}

# capture DISABLE | 'ENABLE ALWAYS': whether what happens to tickets is noted for settlement
capture() {
	sql -v action="$1" -o /dev/null <<-'SQL'
		SELECT format('ALTER TABLE bench_desk.ticket %s TRIGGER %I', :'action', t.tgname) FROM pg_trigger AS t
		WHERE t.tgrelid = 'bench_desk.ticket'::regclass AND t.tgfoid = 'settle.capture'::regproc \gexec
	SQL
}

# Seconds of processor time of all sessions that have ended.
postmaster=$(sql -c "SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)")
processor() {
	sleep 0.3
	awk -v hz="$(getconf CLK_TCK)" '{ print ($16 + $17) / hz }' "/proc/$postmaster/stat"
}

# What a book's tickets were settled to; who was given a ticket depends on who came first, and so does which of a dealer's tickets his bonus stands with.
lines="SELECT md5(string_agg(format('%s %s %s', what, component, amount), ';' ORDER BY what, component)) FROM (
	SELECT CASE split_part(component, '.', 1) WHEN 'bonus' THEN payee ELSE ticket_key END AS what, split_part(component, '.', 1) AS component, sum(amount) AS amount
	FROM bench_desk.line_detail GROUP BY 1, 2) AS l"

# measure SIDE ROUND: makes everything anew, has the clients work, and notes what they took
measure() {
	local side=$1 round=$2 script=desk before after runner= started seconds found behind=0 settled=
	make_book "$([ "$side" = commit ] && echo commit || echo schedule)"
	case $side in
	table) script=table ;;
	desk | deadlines) capture DISABLE ;;
	esac
	if [ "$side" = deadlines ]; then
		sql -c "INSERT INTO bench_desk.deadline_target (type, kind, within) VALUES ('repair', 'response', '2 hours'), ('repair', 'stage', '8 hours'), ('repair', 'done', '24 hours')"
	fi
	sql -c CHECKPOINT
	before=$(processor)
	if [ "$side" = queued ]; then
		echo "SELECT FROM settle.run('bench_desk') \\watch $every" | psql -XqAt -o /dev/null &
		runner=$!
	fi
	pgbench -n -M prepared -c "$clients" -j 1 -t "$each" -D n=0 -r -f "$work/$script" >"$work/out" 2>"$work/err" || die "$(cat "$work/err")"
	[ -z "$runner" ] || { kill "$runner"; wait "$runner" || true; } 2>/dev/null
	seconds=$(awk '/^tps = / { print "'"$((each * clients))"'" / $3 }' "$work/out")
	if [ "$side" != table ]; then
		found=$(sql -c "SELECT count(*) FILTER (WHERE stage = 'done' AND done_at IS NOT NULL AND worker IS NOT NULL) || ' of ' || count(*) FROM bench_desk.ticket")
		[ "$found" = "$((each * clients)) of $((each * clients))" ] || die "$side: $found tickets are done"
		if [ "$side" = commit ]; then
			[ "$(sql -c 'SELECT count(*) FROM bench_desk.pending')" = 0 ] || die "$side: not everything was settled"
		elif [ "$side" = queued ]; then
			started=$EPOCHREALTIME
			sql -c "CALL settle.run_all('bench_desk')"
			behind=$(echo "$EPOCHREALTIME $started" | awk '{ print $1 - $2 }')
		fi
	fi
	after=$(processor)
	if [ "$side" != table ]; then
		case $side in
		desk | deadlines)
			capture 'ENABLE ALWAYS'
			sql -c "SELECT FROM settle.rescan('bench_desk')" -c "CALL settle.run_all('bench_desk')"
			;;
		esac
		[ "$(sql -c "SELECT count(*) FROM settle.check('bench_desk')")" = 0 ] || die "$side: settle.check finds what is wrong"
		settled=$(sql -c "$lines")
	fi
	# latencies of the six statements, milliseconds
	sql -c "INSERT INTO bench.figure VALUES ('$side', $round, $seconds, $after - $before, $behind, nullif('$settled', ''), '{$(awk '/(SELECT|INSERT|UPDATE) / { printf "%s%s", comma, $1; comma = "," }' "$work/out")}')"
}

sql -c 'DROP SCHEMA IF EXISTS bench CASCADE' -c 'CREATE SCHEMA bench' -c 'CREATE EXTENSION IF NOT EXISTS ltree'
sides='table desk deadlines queued commit'
for ((round = 1; round <= rounds; round++)); do
	say "round $round of $rounds, $((each * clients)) tickets, $clients clients"
	for side in $sides; do measure "$side" "$round"; done
done
[ "$(sql -c 'SELECT count(DISTINCT lines) FROM bench.figure')" = 1 ] || die 'sides settled to other lines'

psql -Xq -v ON_ERROR_STOP=1 -P footer=off <<'SQL'
\pset null ''
WITH side (n, side, what) AS (VALUES (1, 'table', 'a table alone'), (2, 'desk', 'desk, nothing is settled'), (3, 'deadlines', 'the same, with deadlines'),
	(4, 'queued', 'desk, settled by runs'), (5, 'commit', 'desk, settled at commit'))
SELECT s.what, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY (SELECT count(*) FROM bench_desk.ticket) / f.seconds)::numeric) AS "tickets/s",
	round(percentile_cont(0.5) WITHIN GROUP (ORDER BY 1000 * f.processor / (SELECT count(*) FROM bench_desk.ticket))::numeric, 2) AS "processor ms",
	round(percentile_cont(0.5) WITHIN GROUP (ORDER BY f.steps[1])::numeric, 2) AS create, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY f.steps[2])::numeric, 2) AS assign,
	round(percentile_cont(0.5) WITHIN GROUP (ORDER BY (f.steps[3] + f.steps[4] + f.steps[5]) / 3)::numeric, 2) AS move, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY f.steps[6])::numeric, 2) AS done,
	round(nullif(percentile_cont(0.5) WITHIN GROUP (ORDER BY f.behind)::numeric, 0), 2) AS "last run s"
FROM side AS s JOIN bench.figure AS f ON f.side = s.side GROUP BY s.n, s.what ORDER BY s.n;
\echo 'processor ms: of all sessions, a ticket. create, assign, move, done: milliseconds that a client waits; medians of the rounds.'
\echo

WITH pair (n, figure, ours, peer, share, goal) AS (VALUES
	(1, 'in the extension, by the clock', 'desk', 'table', true, NULL), (2, 'in the extension, processor time', 'desk', 'table', true, NULL),
	(3, 'settled by runs / nothing is settled', 'queued', 'desk', false, 0.9), (4, 'the same, processor time', 'queued', 'desk', false, NULL),
	(5, 'settled at commit / nothing is settled', 'commit', 'desk', false, 0.6), (6, 'the same, processor time', 'commit', 'desk', false, NULL),
	(7, 'with deadlines / without', 'deadlines', 'desk', false, NULL)),
ratio AS (
	SELECT p.*, CASE WHEN p.figure LIKE '%processor time' THEN q.processor / o.processor ELSE q.seconds / o.seconds END AS ratio
	FROM pair AS p JOIN bench.figure AS o ON o.side = p.ours JOIN bench.figure AS q ON q.side = p.peer AND q.round = o.round
), summary AS (
	SELECT n, figure, goal, percentile_cont(0.5) WITHIN GROUP (ORDER BY r.ratio)::numeric AS ratio, min(r.ratio) AS lowest, max(r.ratio) AS highest, count(*) AS rounds
	FROM (SELECT x.n, x.figure, x.goal, CASE WHEN x.share THEN 1 - x.ratio ELSE x.ratio END AS ratio FROM ratio AS x) AS r GROUP BY n, figure, goal
)
SELECT figure, round(ratio, 2) AS ratio, CASE WHEN rounds > 1 THEN round(lowest, 2) || ' to ' || round(highest, 2) END AS spread,
	'at least ' || goal AS goal, CASE WHEN ratio >= goal THEN 'met' WHEN ratio < goal THEN 'missed' END AS result
FROM summary ORDER BY n;
SQL
sql -c 'DROP SCHEMA bench, bench_desk CASCADE'
