#!/bin/sh
# What the C code says to those who only read it: gcc with its warnings, nm and
# cppcheck; in the long form gcc's analyzer and clang-tidy too, and what shellcheck
# says of the scripts.  SHORT=1 is what make check runs.  Nothing is built that anybody uses, and no server is started.
#
# They find nothing but what test/static/reasons gives a reason for, file by file.
# A reason for what is not found any more fails, so the list says what is so.
# Each tool must first find its fault in test/static/fault.c.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'exit 130' INT TERM HUP
out=build/static
reasons=test/static/reasons
rm -rf $out
mkdir -p $out
[ -n "${SHORT:-}" ] || test/packages static >&2 || true

pg_config=${PG_CONFIG:-pg_config}
# shellcheck disable=SC2089  # the quotes are those of a string in C
flags="$("$pg_config" --cppflags) -I$("$pg_config" --includedir-server) -Isrc -DSETTLE_VERSION=\"0\""
cflags="$("$pg_config" --cflags) -Wno-declaration-after-statement -fvisibility=hidden -fPIC"
# shellcheck disable=SC2090
export out flags cflags

# ---- the tools ----
# Each reads files and prints FILE:LINE:COLUMN: warning: WHAT [CHECK]; what it finds
# in a header of the server is said of the file that was read.  All but gcc see the
# assertions: what one of them says needs no reason.

# one_by_one PROGRAM FILE ...: runs a program of the shell for each file
one_by_one() {
	program=$1
	shift
	rm -f $out/*.said
	# shellcheck disable=SC2016  # the inner shell expands
	printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh -c '
		object=$out/$(echo "${1%.c}" | tr / _).o
		{ '"$program"' || echo "$1:1:1: warning: exit status $? [failed]"; } 2>&1 | sed -n "s|^$PWD/||; s|^/[^:]*\(:[0-9:]* warning: \)|$1\1|; s|: error: |: warning: |; /: warning: /p" >"$object.said"' sh
	cat $out/*.said
}
# shellcheck disable=SC2016
read_gcc() {
	one_by_one 'gcc $cflags $flags -Wall -Wextra -fdiagnostics-plain-output -c -o "$object" "$1"' "$@"
}
# shellcheck disable=SC2016
read_analyzer() {
	one_by_one 'gcc $cflags $flags -DUSE_ASSERT_CHECKING -fanalyzer -fdiagnostics-plain-output -S -o /dev/null "$1"' "$@" | grep -e -Wanalyzer
}
# members stand in the order in which they are read, not in that of their sizes
# shellcheck disable=SC2016
read_tidy() {
	one_by_one 'clang-tidy --quiet --checks="-*,bugprone-*,cert-*,clang-analyzer-*,-clang-analyzer-optin.performance.Padding" --header-filter="src/.*" "$1" -- -std=gnu11 -w $flags -DUSE_ASSERT_CHECKING' "$@"
}
read_cppcheck() {
	cppcheck -q -j "$(nproc)" --std=c11 --enable=warning,performance,portability -Isrc --include=test/static/server.h \
		--template='{file}:{line}:{column}: warning: {message} [{id}]' --template-location= "$@" 2>&1
}
# the objects that gcc made of the files
read_nm() {
	for file; do
		object=$out/$(echo "${file%.c}" | tr / _).o
		test -e "$object" || echo "$file:1:1: warning: no object [prefix]"
		nm --defined-only --extern-only --format=posix "$object" |
			awk -v "file=$file" 'NF > 1 && $1 !~ /^(settle_|pg_finfo_settle_|_PG_init$|Pg_magic_func$)/ { print file ":1:1: warning: " $1 " [prefix]" }'
	done
}

# ---- what is made of it ----

# unexplained TOOL REASONS <FINDINGS: prints findings that have no reason, or more
# or fewer than it is for, and reasons for nothing.
unexplained() {
	awk -v "tool=$1" '
		FNR == NR { if ($1 == tool && $2 != "version") { number[$2, $3] = $4; entry[$2, $3] = $2 " " $3 }; next }
		{
			check = $0
			sub(/^.* \[/, "", check)
			sub(/\]$/, "", check)
			key = ("*", check) in number ? "*" SUBSEP check : substr($0, 1, index($0, ":") - 1) SUBSEP check
			found[key]++
			said[key] = said[key] $0 "\n"
		}
		END {
			for (key in found)
				if (!(key in number) || number[key] != "all" && number[key] != found[key])
					printf "%s", said[key]
			for (key in number)
				if (!(key in found))
					print "a reason for nothing: " entry[key]
		}' "$2" -
}

# reads PROGRAM TOOL CHECK FILE ...: it finds CHECK in the fault, and in the files
# nothing without a reason.  Another version finds other things.
reads() {
	program=$1 tool=$2 check=$3
	shift 3
	version=$(awk -v "tool=$tool" '$1 == tool && $2 == "version" { print $3 }' $reasons)
	if ! command -v "$program" >/dev/null; then
		skip "$program is not installed" "$tool"
		return
	elif ! "$program" --version | grep -Eq "[ (]$version\\b"; then
		skip "the reasons are for $program $version" "$tool"
		return
	fi
	something "$("read_$tool" test/static/fault.c)" "\[$check" "$tool finds its fault"
	"read_$tool" "$@" | sort -u >"$out/$tool"
	nothing "$(unexplained "$tool" $reasons <"$out/$tool")" "$tool: nothing without a reason in $# files; $(wc -l <"$out/$tool") with one"
}

fault='src/fault.c:1:1: warning: 1 [x]
src/fault.c:2:1: warning: 2 [x]'
printf '%s\n' 'tool src/fault.c x 2 known' >$out/two
printf '%s\n' 'tool src/fault.c x 1 known' 'tool src/fault.c y 1 gone' >$out/one
nothing "$(echo "$fault" | unexplained tool $out/two)" 'a reason is for what it names'
is "$(echo "$fault" | unexplained tool $out/one)" "$fault
a reason for nothing: src/fault.c y" 'not for more of it, and not for nothing'

reads gcc gcc -Wunused-variable src/*/*.c
reads nm nm prefix src/*/*.c
# the library as it is shipped
library=$(find build/stage -name scrm_settle.so)
is "$(nm -D --defined-only --format=posix "$library" | awk '$1 !~ /^(settle_|pg_finfo_settle_|Pg_magic_func$)/ { print $1 }')" _PG_init 'the library shows no other name'
reads cppcheck cppcheck arrayIndexOutOfBounds src/*/*.c src/*/*.h
if [ -z "${SHORT:-}" ]; then
	reads gcc analyzer -Wanalyzer-null-dereference src/*/*.c
	reads clang-tidy tidy clang-analyzer-core.NullDereference src/*/*.c
	# a script has its reasons beside what they are for
	if command -v shellcheck >/dev/null; then
		# shellcheck disable=SC2016  # the fault
		something "$(echo 'rm $1' | shellcheck -s sh - || true)" SC2086 'shellcheck finds its fault'
		# shellcheck disable=SC2046  # names without blanks
		nothing "$(shellcheck -x -f gcc $(grep -rl '^#!/bin/sh' test versions src) || true)" 'shellcheck: nothing in the scripts'
	else
		skip 'shellcheck is not installed' shellcheck
	fi
fi
done_testing
