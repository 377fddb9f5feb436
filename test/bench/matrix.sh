#!/bin/bash
# What the revenue matrix costs, against GROUP BY CUBE that gives the same rows.
#
# Runs in the database that PGHOST, PGDATABASE ... name, where the extension must
# be installed; works in a schema of its own, which it drops.  Each pair is first
# held equal, then measured alternately; printed are medians in seconds.
#   TICKETS  number of tickets            (1000000)
#   ROUNDS   measurements of each query   (5)
set -euo pipefail
tickets=${TICKETS:-1000000}
rounds=${ROUNDS:-5}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c search_path=matrix_bench,public -c jit=off -c work_mem=256MB
	-c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0"

run() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# Seconds that a statement takes in the server; its rows are made and thrown away.
seconds() {
	run -c "SET max_parallel_workers_per_gather = $1" -c '\timing on' -c "$2 OFFSET 1000000000" |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk 'END { print $1 / 1000 }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# compare <what> <workers> <ours> <peer>: one row of the table
compare() {
	local ours=() peer=() i
	for ((i = 0; i < rounds; i++)); do
		ours+=("$(seconds "$2" "$3")")
		peer+=("$(seconds "$2" "$4")")
	done
	printf '%s\n' "${ours[@]}" | median > "$scratch/ours"
	printf '%s\n' "${peer[@]}" | median > "$scratch/peer"
	paste "$scratch/ours" "$scratch/peer" |
		awk -v what="$1" '{ printf "%-58s %8.3f %8.3f %7.1f\n", what, $1, $2, $2 / $1 }'
}

# same <ours> <peer>: both give the same rows, as many times
same() {
	local differing
	differing=$(run -c "SELECT count(*) FROM (($1 EXCEPT ALL $2) UNION ALL ($2 EXCEPT ALL $1)) d")
	if [ "$differing" != 0 ]; then
		echo "$differing rows differ between: $1 and: $2" >&2
		exit 1
	fi
}

scratch=$(mktemp -d)
trap 'run -c "DROP SCHEMA IF EXISTS matrix_bench CASCADE" || true; rm -rf "$scratch"' EXIT

run <<SQL
DROP SCHEMA IF EXISTS matrix_bench CASCADE;
CREATE SCHEMA matrix_bench;
SELECT setseed(0.5) \g /dev/null
CREATE TABLE dense AS
	SELECT text2ltree('install.kind' || p / 10 || '.model' || p) AS project, text2ltree('cn.area' || r / 6 || '.province' || r) AS region,
		date '2025-01-01' + (m || ' months')::interval AS period, revenue, round(revenue * 0.6, 2) AS cost
	FROM (SELECT floor(random() * 60)::int AS p, floor(random() * 31)::int AS r, floor(random() * 12)::int AS m,
			(50 + random() * 2000)::numeric(12,2) AS revenue
		FROM generate_series(1, $tickets)) t;
ALTER TABLE dense ALTER period TYPE date;
CREATE TABLE sparse AS
	SELECT text2ltree('install.kind' || p / 100 || '.family' || p / 10 || '.model' || p) AS project,
		text2ltree('cn.area' || r / 60 || '.province' || r / 10 || '.site' || r) AS region,
		date '2025-01-01' + (m || ' months')::interval AS period, revenue, round(revenue * 0.6, 2) AS cost
	FROM (SELECT floor(random() * 1000)::int AS p, floor(random() * 300)::int AS r, floor(random() * 12)::int AS m,
			(50 + random() * 2000)::numeric(12,2) AS revenue
		FROM generate_series(1, $tickets)) t;
ALTER TABLE sparse ALTER period TYPE date;
VACUUM ANALYZE dense;
VACUUM ANALYZE sparse;
SQL

columns='project, region, period, "grouping", tickets, revenue, cost'
ours() { echo "SELECT $columns FROM settle.cells((SELECT settle.revenue_matrix(project, region, period, revenue, cost) FROM $1))"; }
peer() { echo "SELECT project, region, period, GROUPING(project, region, period), count(*), sum(revenue), sum(cost) FROM $1 GROUP BY CUBE (project, region, period)"; }

printf '%-58s %8s %8s %7s\n' work ours peer ratio
for shape in dense sparse; do
	same "$(ours $shape)" "$(peer $shape)"
	for workers in 0 2; do
		compare "$shape, $tickets tickets, $workers workers, GROUP BY CUBE" $workers "$(ours $shape)" "$(peer $shape)"
	done
done
