#!/bin/bash
# Matching and pricing by settle.evaluate in a query, in one backend and with two
# workers, which leave nothing to the backend but to count.
. "$(dirname "$0")/../library.sh"
one='max_parallel_workers_per_gather=0'
two='max_parallel_workers_per_gather=2 -c parallel_leader_participation=off -c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0'

evaluate() { PGOPTIONS="$PGOPTIONS -c $1" sql -v book=bench_parallel -v figure="${2:-count(lines)}" -f parallel.sql; }
digest_of='sum(hashtextextended(lines::text, 0))'

say 'evaluating with two workers'
sql -c "CALL bench.make_book('bench_parallel', 200)"
same 'lines of one backend and of two workers' "$(evaluate "$one" "$digest_of")" "$(evaluate "$two" "$digest_of")"
for ((round = 1; round <= rounds; round++)); do
	timed parallel one "$round" evaluate "$one"
	timed parallel two "$round" evaluate "$two"
done
sql -c "CALL bench.drop_book('bench_parallel')"
