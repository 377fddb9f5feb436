#!/bin/bash
# What settling costs whoever inserts a ticket: test/bench/commit.sh, whose rates these are.
. "$(dirname "$0")/../library.sh"
said=$(mktemp)
trap 'rm -f "$said"' EXIT

say 'inserting by 8 clients'
TICKETS=3000 ROUNDS=$rounds SECONDS_EACH=${SECONDS_EACH:-6} ./commit.sh >&2 2>"$said" || die "$(cat "$said")"
awk '$1 ~ /^bench_(bare|queue|hand|commit)$/ && NF == 2 {
		side = $1 == "bench_queue" ? "capture" : substr($1, 7)
		printf "INSERT INTO bench.figure VALUES (\47insert\47, \47%s\47, %d, %s);\n", side, ++round[side], $2
	}' "$said" | sql -f -
