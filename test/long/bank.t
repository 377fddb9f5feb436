#!/bin/sh
# A bank: what readers see while eight write, correct, give back, run, tick, seal
# and close at once, and that nobody is the victim of a deadlock.  SHORT=1 is what
# make check runs, TRANSACTIONS=1000000 a longer form.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP

if [ -n "${SHORT:-}" ]; then
	TRANSACTIONS=480 ticks='2 16'
fi
clean 'a reader sees the same total and no half ticket, each ticket is settled once, and nobody deadlocks' '^[1-9][0-9]* transactions .* [1-9][0-9]* looks .* 40P01: 0, ' \
	test/bank/run "${TRANSACTIONS:-100000}" "${ticks:-2 4 8 16}"
something "$(test/bank/run 240 2 halves 2>&1)" '^a (statement|snapshot).*\|(totals|party)\|' 'sums without what is fresh are seen'
if [ -z "${SHORT:-}" ]; then
	something "$(test/bank/run 4000 2 order 2>&1)" ' 40P01: [1-9]' 'tallies that are locked as they are met deadlock'
fi
done_testing
