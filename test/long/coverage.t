#!/bin/sh
# What the tests of make check execute: lines, and every error that the product
# can raise.  It takes the time of make check twice over; what was not executed is
# told by test/coverage/table rooms, errors and lines.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP

said=$(test/coverage/run 2>&1)
something "$said" '^[0-9]+ passed, 0 failed' "the suite passes on the copy that counts: $said"
rooms=$(test/coverage/table rooms)
printf '%s\n' "$rooms" | sed 's/^/# /'
ok "$(printf '%s\n' "$rooms" | awk '$1 == "total" { print $4 < 92 }')" 'at least 92 % of lines are executed' "$rooms"
nothing "$(test/coverage/table errors)" 'every error is raised by a test, or has its reason in test/coverage/unreached'

# The table itself: a room that nobody has executed, a reason that is none.
blind=$(mktemp -d)
trap 'rm -rf "$blind"' EXIT
sed 's/^\(src\/tier\/.*\) [0-9]*$/\1 0/' build/coverage/lines/* >"$blind/lines"
something "$(COUNTS=$blind test/coverage/table errors)" '^src/tier/text.c:.*the text goes on after a tier' 'errors of a room that is not executed are told'
something "$(COUNTS=$blind test/coverage/table rooms)" '^tier .* 0\.0 %' 'and so are its lines'
{
	cat test/coverage/unreached
	echo 'src/tier/tier.c | no such message | no reason'
} >"$blind/unreached"
something "$(UNREACHED=$blind/unreached test/coverage/table errors)" 'names none: src/tier/tier.c . no such message' 'a reason for what is no error, or is raised, is told'

done_testing
