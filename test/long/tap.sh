# TAP for tests written in sh: . test/long/tap.sh, and done_testing at the end.

tap_count=0

# ok STATUS NAME [what was seen]
ok() {
	tap_count=$((tap_count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tap_count - $2"
	else
		echo "not ok $tap_count - $2"
		printf '%s\n' "${3:-}" | head -n 40 | cut -c1-300 | sed 's/^/# /'
	fi
}

# is GOT WANTED NAME
is() {
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3" "have: $1
want: $2"
	fi
}

# nothing TEXT NAME
nothing() {
	if [ -z "$1" ]; then
		ok 0 "$2"
	else
		ok 1 "$2" "$1"
	fi
}

# something TEXT PATTERN NAME
something() {
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then
		ok 0 "$3"
	else
		ok 1 "$3" "no $2 in: $1"
	fi
}

# skip REASON NAME
skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $2 # SKIP $1"
}

# Runs a harness: nothing but its last line, the figures, is to be said.
# clean NAME PATTERN-OF-FIGURES harness ...
clean() {
	name=$1 pattern=$2
	shift 2
	said=$("$@" 2>&1) || said="$said
$* has failed"
	last=$(printf '%s\n' "$said" | tail -n 1)
	nothing "$(printf '%s\n' "$said" | sed '$d')" "$name"
	something "$last" "$pattern" "$last"
}

done_testing() {
	echo "1..$tap_count"
}
