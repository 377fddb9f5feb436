#!/bin/sh
# The suite with a library built for ASan and UBSan, and its core under valgrind:
# no report that has a frame of the extension.
#
#   PARTS=regress TAP='tier rule' MEMCHECK='tier rule' make check-long TESTS=sanitizers
#
# PARTS are those of test/check, MEMCHECK golden transcripts; '' leaves one out.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP
PARTS=${PARTS-regress tap isolation}
MEMCHECK=${MEMCHECK-tier matrix rule book settle statement desk connect order}

figures='^[1-9][0-9]* passed, 0 failed, .* 0 reports$'

if [ -n "$PARTS" ]; then
	found=$(test/sanitize/run spoilt address 2>&1)
	for sin in overrun overread kept overflow shift; do
		something "$found" "^$sin: .*(AddressSanitizer.*spoilt.c|spoilt.c:[0-9:]* runtime error)" "ASan and UBSan see $sin"
	done
	# shellcheck disable=SC2086  # a list of words
	clean 'ASan and UBSan: no report' "$figures" test/sanitize/run address $PARTS
fi
if [ -n "$MEMCHECK" ]; then
	if command -v valgrind >/dev/null; then
		found=$(test/sanitize/run spoilt memcheck 2>&1)
		for sin in overrun overread kept uninitialised; do
			something "$found" "^$sin: .*spoilt.c" "memcheck sees $sin"
		done
		clean 'memcheck: no report' "$figures" env REGRESS="$MEMCHECK" test/sanitize/run memcheck regress
	else
		skip 'there is no valgrind' memcheck
	fi
fi
done_testing
