#!/bin/sh
# What a session keeps for as long as it lives does not grow: test/leaks/leaks.sql
# at length, and once with a library that keeps sixteen bytes an evaluation.
# EVALUATIONS, FAILING, EDITS and BOOKS say how often.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'test/cluster stop leaks' EXIT
trap 'exit 130' INT TERM HUP

# Measures on a server of its own: assertions, as pgTAP tells them.  SPOILT keeps
# sixteen bytes an evaluation.
# measure psql arguments ...
measure() {
	test/cluster start leaks fsync=off synchronous_commit=off full_page_writes=off
	[ -z "${SPOILT:-}" ] || test/long/mutant "$(readlink -f build/leaks)/stage" src/rule/evaluate.c '/^settle_evaluate_ticket(/,/^{/ s/^{/{\n\t(void) MemoryContextAlloc(TopMemoryContext, 16);/'
	test/cluster psql leaks -Xq -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' -c 'CREATE EXTENSION pgtap'
	test/cluster psql leaks -XqAt "$@" -f test/leaks/leaks.sql 2>&1
}

measure -v evaluations="${EVALUATIONS:-1000000}" -v failing="${FAILING:-100000}" -v edits="${EDITS:-10000}" -v books="${BOOKS:-100}" >build/leaks.out
grep '^ok ' build/leaks.out | sed 's/^ok [0-9]* - //' >build/leaks.ok
while read -r name; do
	ok 0 "$name"
done <build/leaks.ok
nothing "$(grep -v -e '^ok ' -e '^1\.\.' build/leaks.out || true)" 'no growth, no error'
something "$(cat build/leaks.out)" '^ok 8 ' 'all was measured'

something "$(SPOILT=yes measure)" '^not ok 1 .*TopMemoryContext [0-9]{6}' 'sixteen bytes an evaluation are seen'
done_testing
