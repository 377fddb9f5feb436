#!/bin/sh
# How many faults the tests see: every lock and constraint, and MUTANTS others of
# the C core (200 if none is said), drawn by SEED.  A mutant takes half a minute
# to some minutes; which test executes which line is counted first, where the
# sources have changed since.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP

test/packages mutants >&2

# The runner itself: what is no fault must survive.
said=$(test/mutants/run 1 --nothing --seed 1 --kind comparison 2>&1) || said="$said
the runner has failed"
something "$said" '^0 of 1 mutants killed' 'a mutant that changes nothing survives' "$said"

# shellcheck disable=SC2086  # SEED may be nothing
said=$(test/mutants/run "${MUTANTS:-200}" ${SEED:+--seed "$SEED"} 2>&1) || said="$said
the runner has failed"
printf '%s\n' "$said" | sed 's/^/# /'
nothing "$(printf '%s\n' "$said" | grep -E '^(survived|broken)	(lock|constraint)' || true)" 'every lock and constraint is missed when it is gone'
score=$(printf '%s\n' "$said" | tail -n 1)
ok "$(printf '%s\n' "$score" | awk '{ print !($1 > 0 && $1 >= 0.9 * $3) }')" "at least 90 % are killed: $score"

done_testing
