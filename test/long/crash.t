#!/bin/sh
# What a book is worth after the worst has happened to its server: SIGKILL over
# and over, disks and memory that are full, cancels at any point.
# KILLS=1000 CANCELS=1000 is the long form, SHORT=1 what make check runs.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP

# ---- SIGKILL ----

if [ -n "${SHORT:-}" ]; then
	KILLS=2
fi
clean 'killed anywhere: every invariant holds, nothing that was acknowledged is lost, nothing is settled twice' '[1-9][0-9]* postmasters; .* [1-9][0-9]* transactions' test/crash/kill "${KILLS:-20}"
if [ -n "${SHORT:-}" ]; then
	done_testing
	exit
fi
something "$(test/crash/kill 2 spoilt 2>&1)" '^kill .*(check|sums)' 'sheets that come back without their tallies are seen'

# ---- cancel ----

clean 'cancelled at any point: every invariant holds, and the backend is soon ready again' '^[1-9][0-9]* cancels; ' test/crash/cancel
something "$(CANCELS=20 SPAN=1000 test/crash/cancel spoilt 2>&1)" '^(check|sums|verify)' 'sheets that stay though their run was cancelled are seen'
clean 'no work goes on for 50 ms without looking for a cancel' '^[1-9][0-9]* kinds of work; ' test/crash/stretch 1
something "$(LIMIT=5 test/crash/stretch 0.25 spoilt 2>&1)" '^(writing|changing) tickets: ' 'triggers that look for none are seen'

# ---- room and memory ----

if [ "$(id -u)" = 0 ]; then
	clean 'no room for tables: errors, and the next run goes on' '53100.*53100.*53100' test/crash/full data
	something "$(test/crash/full data spoilt 2>&1)" '^(check|sums|verify)' 'sheets that stay though their run had no room are seen'
	clean 'no room for the log: nothing that was acknowledged is lost' 'has stopped' test/crash/full log
else
	skip 'a tmpfs is for root to mount' 'no room for tables'
	skip 'a tmpfs is for root to mount' 'no room for the log'
fi
clean 'no memory: an error, and the backend lives' '^[1-9].* runs without enough memory' test/crash/full memory

done_testing
