#!/bin/sh
# Hostile input for a while: random texts and bytes of the types, every function
# with any arguments over forged books, sqlsmith, libFuzzer with sanitizers.
# SECONDS=3600 is how long each part takes; 60 where it is not said.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP
test/packages fuzz || true

for part in tiers receive calls smith parsers; do
	said=$(test/fuzz/run "${SECONDS:-60}" $part 2>&1) && status=0 || status=1
	ok $status "$part: $(printf '%s\n' "$said" | grep -v 'tests passed' | paste -s -d ';' | cut -c1-300)" "$said"
done

done_testing
