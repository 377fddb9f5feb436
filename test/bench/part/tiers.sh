#!/bin/bash
# Fees of tiers: of all tickets in one group, of 100,000 groups, of each ticket by
# itself, and of each ticket on top of the worker's month so far.
#
# Whoever knows SQL sums first and looks up the fee of the sum: the LATERAL and
# the PL/pgSQL function below do so.  An aggregate written in PL/pgSQL, as one
# may be used wherever ours is, is measured beside them.  "sum" and "count" are
# the floor: nobody sums for less, nobody reads and groups for less.
. "$(dirname "$0")/../library.sh"
tiers="settle.tiers '3% to 20000, 5% to 50000, 8%'"
arrays="ARRAY[20000, 50000, NULL]::numeric[], ARRAY[0.03, 0.05, 0.08]"
window='OVER (PARTITION BY worker ORDER BY done_at, id ROWS UNBOUNDED PRECEDING)'
lookup='CROSS JOIN LATERAL (SELECT v.fee_below + (q - v.lower) * v.rate AS f FROM bench.tier AS v WHERE v.rules = 200 AND v.rule = 1 AND q > v.lower AND (v.upper IS NULL OR q <= v.upper)) AS fee'

# WORK, then SIDE=QUERY of a column f: all sides but the floor give the same sum of f
fees() {
	local work=$1 side statements=() ours=
	shift
	for side; do
		statements+=("${side%%=*}=SELECT sum(f) FROM (${side#*=}) AS fees")
		case $side in sum=* | count=*) continue ;; esac
		[ -n "$ours" ] || ours=$(sql -c "SELECT trim_scale(sum(f)) FROM (${side#*=}) AS fees")
		same "fees of $work, ours and ${side%%=*}," "$ours" "$(sql -c "SELECT trim_scale(sum(f)) FROM (${side#*=}) AS fees")"
	done
	alternate "$work" "${statements[@]}"
}

say 'tiers, one group'
fees 'fee of one' "ours=SELECT settle.tiered_fee(amount, $tiers) AS f FROM bench.ticket" \
	'sum=SELECT sum(amount) AS f FROM bench.ticket' \
	'count=SELECT count(*) AS f FROM bench.ticket' \
	"lateral=SELECT f FROM (SELECT sum(amount) AS q FROM bench.ticket) AS s $lookup" \
	"plpgsql=SELECT bench.array_fee(sum(amount), $arrays) AS f FROM bench.ticket" \
	"aggregate=SELECT bench.array_fee_sum(amount, $arrays) AS f FROM bench.ticket"
say 'tiers, 100,000 groups'
fees 'fee of groups' "ours=SELECT settle.tiered_fee(amount, $tiers) AS f FROM bench.ticket GROUP BY id % 100000" \
	'sum=SELECT sum(amount) AS f FROM bench.ticket GROUP BY id % 100000' \
	'count=SELECT count(*) AS f FROM bench.ticket GROUP BY id % 100000' \
	"lateral=SELECT f FROM (SELECT sum(amount) AS q FROM bench.ticket GROUP BY id % 100000) AS s $lookup" \
	"plpgsql=SELECT bench.array_fee(sum(amount), $arrays) AS f FROM bench.ticket GROUP BY id % 100000" \
	"aggregate=SELECT bench.array_fee_sum(amount, $arrays) AS f FROM bench.ticket GROUP BY id % 100000"
say 'tiers, each ticket'
fees 'fee of each' "ours=SELECT settle.fee($tiers, amount * 50) AS f FROM bench.ticket" \
	'sum=SELECT amount * 50 AS f FROM bench.ticket' \
	"lateral=SELECT f FROM (SELECT amount * 50 AS q FROM bench.ticket OFFSET 0) AS s $lookup" \
	"plpgsql=SELECT bench.array_fee(amount * 50, $arrays) AS f FROM bench.ticket"
say 'tiers, running'
fees 'fee so far' "ours=SELECT settle.tiered_fee(amount, $tiers) $window AS f FROM bench.ticket" \
	"sum=SELECT sum(amount) $window AS f FROM bench.ticket" \
	"lateral=SELECT f FROM (SELECT sum(amount) $window AS q FROM bench.ticket) AS s $lookup" \
	"plpgsql=SELECT bench.array_fee(sum(amount) $window, $arrays) AS f FROM bench.ticket" \
	"aggregate=SELECT bench.array_fee_sum(amount, $arrays) $window AS f FROM bench.ticket"
