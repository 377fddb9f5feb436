# What the parts of make bench share: read by bench.sh and by part/*.sh.
#
#   sql ARGUMENT...               psql as every figure is taken
#   note WORK SIDE ROUND SECONDS  keeps a figure, in bench.figure
#   timed WORK SIDE ROUND COMMAND...    runs a command and keeps its seconds
#   sampled WORK SIDE ROUND COMMAND...  the same on a part of the tickets, scaled
#   alternate WORK SIDE=STATEMENT...    statements of one session in turn
#   same WHAT ONE OTHER           ends everything where two results differ
#   digest LINES [TICKETS]        lines as one value, for same
#
# The goals name work and side: goals.sql.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")"
tickets=${TICKETS:-1000000}
rounds=${ROUNDS:-5}
export PGOPTIONS="-c client_min_messages=warning -c jit=off -c work_mem=256MB -c max_parallel_workers_per_gather=0 -c timezone=UTC -c datestyle=ISO"

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

note() { sql -c "INSERT INTO bench.figure VALUES ('$1', '$2', $3, $4)"; }

# The seconds that a command takes, after a checkpoint: what others wrote is not its to flush.
seconds() {
	local started
	sql -c CHECKPOINT
	started=$EPOCHREALTIME
	"$@" >/dev/null
	awk "BEGIN { print $EPOCHREALTIME - $started }"
}

timed() {
	local taken
	taken=$(seconds "${@:4}")
	note "$1" "$2" "$3" "$taken"
}

# The command gets one more argument, the table of its tickets: SAMPLE, else
# bench.twentieth.  What it takes for no ticket is not scaled.
sampled() {
	local sample=${SAMPLE:-bench.twentieth} nothing some scale
	nothing=$(seconds "${@:4}" bench.nothing)
	some=$(seconds "${@:4}" "$sample")
	scale=$(sql -c "SELECT $tickets::numeric / count(*) FROM $sample")
	note "$1" "$2" "$3" "$nothing + greatest($some - $nothing, 0) * $scale"
}

# In one session, each statement once to warm up, then rounds times in turn; seconds are those of the server.
alternate() {
	local work=$1 round side taken
	shift
	{
		echo '\o /dev/null'
		printf '%s;\n' "${@#*=}"
		echo '\timing on'
		for ((round = 1; round <= rounds; round++)); do printf '%s;\n' "${@#*=}"; done
	} | sql -f - | awk '/^Time: / { print $2 / 1000 }' | {
		for ((round = 1; round <= rounds; round++)); do
			for side; do
				read -r taken
				echo "INSERT INTO bench.figure VALUES ('$work', '${side%%=*}', $round, $taken);"
			done
		done
	} | sql -f -
}

same() { [ -n "$2" ] && [ "$2" = "$3" ] || die "$1 differ: $2 and $3"; }

digest() { sql -c "SELECT bench.digest('$1', '${2:-bench.ticket}')"; }
