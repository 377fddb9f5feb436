#!/bin/bash
# The revenue matrix with all its subtotals, against GROUP BY CUBE over paths as
# ltree, and as text, which has hash functions before PostgreSQL 17; and against
# a materialised view of the same rows, which is refreshed.
. "$(dirname "$0")/../library.sh"
export PGOPTIONS="$PGOPTIONS -c search_path=bench,public"
sql -v tickets="$tickets" -f matrix.sql

matrix() { echo "SELECT project, region, period, \"grouping\", tickets, revenue, cost FROM settle.cells((SELECT settle.revenue_matrix(project, region, period, revenue, cost) FROM $1))"; }
cube() { echo "SELECT project, region, period, GROUPING(project, region, period), count(*), sum(revenue), sum(cost) FROM $1 GROUP BY CUBE (project, region, period)"; }
digest_cells() { sql -c "SELECT count(*), sum(hash_record_extended(cell, 0)::numeric) FROM (SELECT c.project::text, c.region::text, c.period, c.g, c.tickets, c.revenue, c.cost FROM ($1) AS c (project, region, period, g, tickets, revenue, cost)) AS cell"; }

for shape in dense sparse; do
	say "matrix, $shape"
	ours=$(matrix $shape)
	peer=$(cube $shape)
	text=$(cube "(SELECT project::text, region::text, period, revenue, cost FROM $shape) AS t")
	found=$(digest_cells "$ours")
	same "cells, $shape," "$found" "$(digest_cells "$peer")"
	same "cells over text, $shape," "$found" "$(digest_cells "$text")"
	sql -c "CREATE MATERIALIZED VIEW matrix_view (project, region, period, "grouping", tickets, revenue, cost) AS $text"
	# rows are made and thrown away, but for the view, which keeps them
	alternate "matrix $shape" "ours=$ours OFFSET 1000000000" "cube=$peer OFFSET 1000000000" "text=$text OFFSET 1000000000" 'view=REFRESH MATERIALIZED VIEW matrix_view'
	sql -c 'DROP MATERIALIZED VIEW matrix_view'
done
sql -c 'DROP TABLE dense, sparse'
