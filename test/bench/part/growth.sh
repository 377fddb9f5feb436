#!/bin/bash
# How time and memory of settling grow with the number of tickets: the smaller
# table before and after the larger one, which is settled once.
#
# Memory is the most that the backend has held less the shared buffers in it.
# It meets those one by one while it works, and what it held most came before it
# met the last: so it meets them first, by reading the larger table along its
# index, and then its own.
. "$(dirname "$0")/../library.sh"
growth=${GROWTH:-$((5 * tickets))}
book=bench_grown

# measure SIDE TABLE TICKETS ROUND...: settles the tickets of a table and notes it for these rounds
measure() {
	local taken seconds memory round
	say "growth, $3 tickets"
	sql -c "CALL bench.make_book('$book', 200, '$2')" -c CHECKPOINT
	taken=$(sql <<-SQL
		SET enable_seqscan = off;
		SET enable_bitmapscan = off;
		SELECT max(cost) FROM (SELECT cost FROM bench.large ORDER BY id OFFSET 0) AS t \g /dev/null
		RESET enable_seqscan;
		RESET enable_bitmapscan;
		SELECT count(*) FROM $2 \g /dev/null
		\timing on
		SELECT settle.rescan('$book') \g /dev/null
		CALL settle.run_all('$book');
		\timing off
		-- the most that the backend held in memory, but for the buffers that it shares
		SELECT (substring(s FROM 'VmHWM:\s*(\d+)')::numeric - substring(s FROM 'RssShmem:\s*(\d+)')::numeric) / 1024 FROM pg_read_file('/proc/self/status') AS s;
	SQL
	)
	seconds=$(awk '/^Time: / { total += $2 } END { print total / 1000 }' <<<"$taken")
	memory=$(tail -n 1 <<<"$taken")
	for round in "${@:4}"; do
		note growth "$1" "$round" "$seconds"
		note memory "$1" "$round" "$memory"
	done
	same 'lines evaluated and kept' "$(sql -c "SELECT settle._bench_evaluate('$book', 'visit')")" "$(sql -c "SELECT count(*) FROM $book.line_detail WHERE source = 'visit'")"
	sql -c "CALL bench.drop_book('$book')"
}

sql -c 'CREATE TABLE bench.large (LIKE bench.ticket INCLUDING ALL)' -c "CALL bench.make_tickets('bench.large', $growth)"
sql -c 'VACUUM (ANALYZE, FREEZE) bench.large'
measure small bench.ticket "$tickets" 1
measure large bench.large "$growth" 1 2
measure small bench.ticket "$tickets" 2
sql -c 'DROP TABLE bench.large'
