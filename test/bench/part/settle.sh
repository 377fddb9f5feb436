#!/bin/bash
# Settling altogether, by 200 and by 2,000 rules: a fresh book for each round,
# against COPY of the finished lines and against peers that write them into
# bench.line; and settling again what is settled.
. "$(dirname "$0")/../library.sh"
book=bench_settled
copied=$(sql -c "SELECT current_setting('data_directory') || '/bench_lines'")
said=$(mktemp)
trap 'rm -f "$said"' EXIT
declare -A settled	# digests of the lines of the first round, by the table of their tickets

run_all() { sql -c "CALL settle.run_all('$book')"; }
run_anew() { sql -o /dev/null -c "SELECT settle.rescan('$book')" -c "CALL settle.run_all('$book')"; }
by_copy() { sql -c "COPY bench.line FROM '$copied' (FORMAT binary)"; }
by_sets() { sql -v rules="$1" -v tickets="${2:-bench.ticket}" -f peers/sets.sql; }
by_join() { sql -v rules="$1" -v tickets="${2:-bench.ticket}" -f peers/join.sql; }
by_loop() { sql -c "CALL bench.settle_by_loop($1, '${2:-bench.ticket}')"; }
by_program() { peers/run "$1" "$2" "${3:-bench.ticket}" >"$said"; }

# Makes the book and settles everything, the figure of all peers; the first round keeps its lines.
settle() { # rules
	sql -c "CALL bench.drop_book('$book')" -c "CALL bench.make_book('$book', $1)" \
		-c "UPDATE $book.book SET max_correction = NULL"
	timed "run $1" ours "$round" run_anew
	[ "$round" != 1 ] || sql -c "CALL bench.keep_lines('$book', 'bench.ticket')"
	settled=()
}

# Times a peer that fills bench.line; its first lines must be those of the book.
peer() { # timed|sampled side rules command ...
	local of=bench.ticket
	[ "$1" = timed ] || of=${SAMPLE:-bench.twentieth}
	sql -c 'TRUNCATE bench.line, bench.month_total'
	"$1" "run $3" "$2" "$round" "${@:4}"
	if [ "$round" = 1 ]; then
		[ -n "${settled[$of]:-}" ] || settled[$of]=$(digest bench.settled "$of")
		same "lines of settle.run_all and of $2, $3 rules" "${settled[$of]}" "$(digest bench.line "$of")"
	fi
}

# Settles again: nothing changed, one ticket in a hundred dearer, the same as
# before again; and every ticket read and compared once more.
settle_again() {
	timed 'run 200' again "$round" run_all
	change 1
	timed 'run 200' 'again 1 %' "$round" run_all
	if [ "$round" = 1 ]; then
		sql -c "CALL bench.keep_lines('$book', 'bench.twentieth')" -c 'TRUNCATE bench.line'
		by_join 200 bench.twentieth
		same 'lines of corrected tickets and of a peer' "$(digest bench.settled bench.twentieth)" "$(digest bench.line bench.twentieth)"
	fi
	change -1
	run_all
	if [ "$round" = 1 ]; then
		sql -c "CALL bench.keep_lines('$book', 'bench.ticket')"
		same 'lines before and after two corrections' "${settled[bench.ticket]}" "$(digest bench.settled)"
	fi
	timed 'run 200' 'again all' "$round" run_anew
	sql -c 'VACUUM bench.ticket'
}
change() {
	sql -c "UPDATE bench.ticket SET amount = amount + $1 WHERE id % 100 = 1" -c "UPDATE bench.twentieth SET amount = amount + $1 WHERE id % 100 = 1"
}

# What needs other programs, where they are at hand.
programs=
if [ -x peers/run ]; then
	peers/run install >&2 && programs='zen json_rules duckdb' || say 'without the peers that need Node'
fi

for ((round = 1; round <= rounds; round++)); do
	say "settling by 200 rules, round $round of $rounds"
	settle 200
	[ "$round" != 1 ] || sql -c "COPY bench.settled TO '$copied' (FORMAT binary)"
	peer timed copy 200 by_copy
	peer timed sets 200 by_sets 200
	peer sampled join 200 by_join 200
	SAMPLE=bench.hundredth peer sampled loop 200 by_loop 200
	for program in $programs; do
		case $program in
		duckdb)
			peer timed duckdb 200 by_program duckdb 200
			note 'run 200' 'duckdb compute' "$round" "$(awk '$1 == "compute" { print $2 }' "$said")"
			;;
		zen) peer sampled zen 200 by_program zen 200 ;;
		*) SAMPLE=bench.hundredth peer sampled $program 200 by_program $program 200 ;;
		esac
	done
	settle_again
	say "settling by 2,000 rules, round $round of $rounds"
	settle 2000
	SAMPLE=bench.hundredth peer sampled join 2000 by_join 2000
	peer sampled sets 2000 by_sets 2000
done
sql -c "COPY (SELECT) TO '$copied'" -c 'TRUNCATE bench.line' -c "CALL bench.drop_book('$book')" -c 'DROP TABLE bench.settled'
