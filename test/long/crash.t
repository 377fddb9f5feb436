#!/bin/sh
# What a book is worth after the worst has happened to its server: SIGKILL over
# and over, disks and memory that are full, cancels at any point.
# KILLS=1000 CANCELS=1000 is the long form.  How long a cancel takes is told, not judged:
# that is for a quiet machine.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP

# ---- SIGKILL ----

clean 'killed anywhere: every invariant holds, nothing that was acknowledged is lost, nothing is settled twice' ' kills: ' test/crash/kill "${KILLS:-20}"
something "$(test/crash/kill 2 unlogged 2>&1)" '^kill .*(check|sums)' 'sheets that come back without their tallies are seen'

# ---- cancel ----

clean 'cancelled at any point: every invariant holds' ' cancels; ' test/crash/cancel

# ---- room and memory ----

if [ "$(id -u)" = 0 ]; then
	clean 'no room for tables: errors, and the next run goes on' '53100.*53100.*53100' test/crash/full data
	clean 'no room for the log: nothing that was acknowledged is lost' 'has stopped' test/crash/full log
else
	ok 0 'no room for tables # SKIP a tmpfs is for root to mount'
	ok 0 'no room for the log # SKIP a tmpfs is for root to mount'
fi
clean 'no memory: an error, and the backend lives' '^[1-9].* runs without enough memory' test/crash/full memory

done_testing
