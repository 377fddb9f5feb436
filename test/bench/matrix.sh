#!/bin/bash
# What the revenue matrix costs, against GROUP BY CUBE that gives the same rows.
#
# Runs in the database that PGHOST, PGDATABASE ... name, where the extension must
# be installed, and in a schema of its own, which it drops.  Each pair is first
# held equal, then measured alternately; printed are medians in seconds.
#   TICKETS  number of tickets            (1000000)
#   ROUNDS   measurements of each query   (5)
set -euo pipefail
tickets=${TICKETS:-1000000}
rounds=${ROUNDS:-5}
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c search_path=matrix_bench,public -c jit=off
	-c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0"

run() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# Seconds that a query takes in the server, which makes its rows and throws them away.
seconds() { # settings query
	run -c "$1" -c '\timing on' -c "$2 OFFSET 1000000000" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | awk '{ print $1 / 1000 }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# Measures two queries and prints a row of the table.
compare() { # work settings ours peer [weight of the peer]
	local ours='' peer=''
	for ((i = 0; i < rounds; i++)); do
		ours+=$(seconds "$2" "$3")$'\n'
		peer+=$(seconds "$2" "$4")$'\n'
	done
	awk -v work="$1" -v ours="$(median <<<"${ours%?}")" -v peer="$(median <<<"${peer%?}")" -v weight="${5:-1}" \
		'BEGIN { peer *= weight; printf "%-58s %8.3f %8.3f %7.1f\n", work, ours, peer, peer / ours }'
}

# Ends the measurement where two queries differ.
same() { # ours peer
	local differing
	differing=$(run -c "SELECT count(*) FROM (($1 EXCEPT ALL $2) UNION ALL ($2 EXCEPT ALL $1)) d")
	if [ "$differing" != 0 ]; then
		echo "$differing rows differ between: $1 and: $2" >&2
		exit 1
	fi
}

trap 'run -c "DROP SCHEMA IF EXISTS matrix_bench CASCADE"' EXIT
run <<SQL
DROP SCHEMA IF EXISTS matrix_bench CASCADE;
CREATE SCHEMA matrix_bench;
\set tickets $tickets
\i $(dirname "$0")/matrix.sql
CREATE TABLE grouped AS
	SELECT (row_number() OVER () - 1) / 10 AS key, project, region, period, revenue, cost FROM dense;
VACUUM ANALYZE grouped;
SQL

matrix() { echo "SELECT project, region, period, \"grouping\", tickets, revenue, cost FROM settle.cells((SELECT settle.revenue_matrix(project, region, period, revenue, cost) FROM $1))"; }
cube() { echo "SELECT project, region, period, GROUPING(project, region, period), count(*), sum(revenue), sum(cost) FROM $1 GROUP BY CUBE (project, region, period)"; }
groups() { echo "SELECT key, settle.revenue_matrix(project, region, period, revenue, cost) FROM grouped WHERE key < $1 GROUP BY key"; }

settings="SET work_mem = '256MB'; SET max_parallel_workers_per_gather ="
printf '%-58s %8s %8s %7s\n' work ours peer ratio
for shape in dense sparse; do
	same "$(matrix $shape)" "$(cube $shape)"
	compare "$shape; GROUP BY CUBE" "$settings 0" "$(matrix $shape)" "$(cube $shape)"
	compare "$shape, 2 workers; GROUP BY CUBE, 2 workers" "$settings 2" "$(matrix $shape)" "$(cube $shape)"
	# ltree has no hash functions before PostgreSQL 17, so CUBE has to sort; text has them
	compare "$shape; GROUP BY CUBE over text" "$settings 0" "$(matrix $shape)" \
		"$(cube "(SELECT project::text, region::text, period, revenue, cost FROM $shape) t")"
done

# Many small groups must not cost more than their tickets do: a ratio of 1 is linear.
many=$((tickets / 10)) some=$((tickets / 40))
compare "$many groups of 10 tickets; 4 times $some" \
	"SET work_mem = '4GB'; SET enable_sort = off; SET max_parallel_workers_per_gather = 0" "$(groups $many)" "$(groups $some)" 4
