#!/bin/bash
# Reading tickets, matching rules and pricing lines, without writing any: against
# a sum over the same tickets, and against itself with few rules.
. "$(dirname "$0")/../library.sh"

sides=()
for rules in 10 20 200 2000 10000; do
	say "matching, $rules rules"
	sql -c "CALL bench.make_book('bench_$rules', $rules)"
	sides+=("$rules=SELECT settle._bench_evaluate('bench_$rules', 'visit')")
done
# every set gives a ticket the same lines, but for campaigns, of which the smallest two have none
same 'numbers of lines' "$(sql -c "SELECT settle._bench_evaluate('bench_10', 'visit')")" "$(sql -c "SELECT settle._bench_evaluate('bench_20', 'visit')")"
alternate match 'sum=SELECT sum(amount) FROM bench.ticket' "${sides[@]}"
for rules in 10 20 200 2000 10000; do sql -c "CALL bench.drop_book('bench_$rules')"; done
