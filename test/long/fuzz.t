#!/bin/sh
# Hostile input: random texts and bytes of the types, every function with any
# arguments over forged books, sqlsmith, libFuzzer with sanitizers.  SECONDS=3600
# is how long each part takes; 60 where it is not said.  With SHORT=1 it is what
# make check runs, always the same.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP

# Runs parts of test/fuzz/run, and tells what was tried, or why nothing was.
# tried LIMIT [PART]
tried() {
	said=$(test/fuzz/run "$@" 2>&1) && status=0 || status=1
	ok "$status" "$(printf '%s\n' "$said" | sed '/tests passed/d; s/^skipped: /# SKIP /' | paste -s -d ';' | cut -c1-600)" "$said"
}

if [ -n "${SHORT:-}" ]; then
	tried short receive calls
	tried short parsers
else
	test/packages fuzz >&2 || true
	# shellcheck disable=SC3028  # it comes from make, and sh has none of its own
	for part in tiers receive calls smith parsers; do
		tried "${SECONDS:-60}" $part
	done
fi

done_testing
