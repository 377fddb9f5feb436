#!/bin/sh
# What a session keeps for as long as it lives does not grow: test/leaks/leaks.sql
# at length, and once with a library that keeps sixteen bytes an evaluation.
# EVALUATIONS, FAILING, EDITS and BOOKS say how often.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'test/cluster stop leaks' EXIT
trap 'exit 130' INT TERM HUP

# Measures in the house of a folder: assertions, as pgTAP tells them.
# measure FOLDER psql arguments ...
measure() {
	(
		cd "$1"
		shift
		test/cluster start leaks fsync=off synchronous_commit=off full_page_writes=off
		test/cluster psql leaks -Xq -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' -c 'CREATE EXTENSION pgtap'
		test/cluster psql leaks -XqAt "$@" -f test/leaks/leaks.sql 2>&1
		test/cluster stop leaks
	)
}

measure . -v evaluations="${EVALUATIONS:-1000000}" -v failing="${FAILING:-100000}" -v edits="${EDITS:-10000}" -v books="${BOOKS:-100}" >build/leaks.out
grep '^ok ' build/leaks.out | sed 's/^ok [0-9]* - //' >build/leaks.ok
while read -r name; do
	ok 0 "$name"
done <build/leaks.ok
nothing "$(grep -v -e '^ok ' -e '^1\.\.' build/leaks.out || true)" 'no growth, no error'
something "$(cat build/leaks.out)" '^ok 8 ' 'all was measured'

# ---- the test of the test ----

mkdir -p build/leaking
tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C build/leaking
(
	cd build/leaking
	sed -i '/^settle_evaluate_ticket(/,/^{/ s/^{/{\n\t(void) MemoryContextAlloc(TopMemoryContext, 16);/' src/rule/evaluate.c
	mkdir -p build
	make -s install with_llvm=no DESTDIR="$(pwd)/build/stage"
)
something "$(measure build/leaking)" '^not ok 1 .*TopMemoryContext [0-9]{6}' 'sixteen bytes an evaluation are seen'
done_testing
