#!/bin/bash
# make bench: what settling costs, each figure against a peer of the same run.
# Prints one table, and writes it into docs/performance.md where the run is whole.
#
# Works in the schema bench, and books named bench_..., of the database that
# PGHOST, PGDATABASE ... name; the role must be a superuser, who may COPY files
# of the server and read what its own backend takes.
#   TICKETS  number of tickets                                       (1000000)
#   ROUNDS   measurements of each pair, alternately                  (5)
#   GROWTH   number of tickets of the larger book of growth          (5 x TICKETS)
#   PARTS    some of the scripts in part/, in the order in which they are run
#            (match parallel settle tiers matrix totals commit growth)
#   PAGE     the file that gets the table between its two marks; none: it is only
#            printed (docs/performance.md where nothing above is set, else none)
#
# Both sides of a pair must give the same result, else nothing is printed and the
# exit status is 1.  A goal that is missed is no failure.
. "$(dirname "$0")/library.sh"
all='match parallel settle tiers matrix totals commit growth'
parts=${PARTS:-$all}
page=${PAGE:-none}
if [ -z "${PAGE:-}" ] && [ "$parts $tickets $rounds" = "$all 1000000 5" ]; then page=docs/performance.md; fi
case $page in
none | /*) ;;
*) page=$PWD/../../$page ;;
esac

for setting in fsync synchronous_commit full_page_writes; do
	[ "$(sql -c "SHOW $setting")" = on ] || die "$setting is off: figures are taken on a durable server"
done
for part in $parts; do [ -x "part/$part.sh" ] || die "no part is called $part"; done

remove_all() {
	sql <<-'SQL'
		SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace WHERE nspname LIKE 'bench\_%' \gexec
		DROP SCHEMA IF EXISTS bench CASCADE;
	SQL
}

remove_all
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
started=$(date +%s)
load=$(cut -d ' ' -f 1-3 /proc/loadavg)
say "$tickets tickets, $rounds rounds"
sql -v tickets="$tickets" -f tickets.sql -f rules.sql -f book.sql -f lines.sql -f peers/line.sql -f peers/loop.sql -f peers/tier.sql
for part in $parts; do "part/$part.sh"; done

#
# The table, and what it was taken on.
#
taken=$(($(date +%s) - started))
processor=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo)
numbers=$(sql -c "SELECT format('%s tickets; 1,000 projects, 31 provinces, 300 sites, 6 channels, 5 levels, 3,000 staff, 300 dealers', to_char($tickets, 'FM999,999,999'))")
server=$(sql -c "SELECT split_part(version(), ',', 1)")
compiler=$(${CC:-cc} --version 2>/dev/null | sed -n 1p)
programs=$(peers/run versions 2>/dev/null || true)
{
	echo "Taken on $(date -u +%F) in $((taken / 60)) minutes: ${processor:-an unknown processor}, $(nproc) cores, $memory, load $load before. $server; $compiler${programs:+; $programs}."
	echo "$numbers; $rounds rounds. Nothing is drawn at random but the tables of the matrix, by \`setseed(0.5)\`."
	echo
	sql -f goals.sql -f table.sql | awk -F ' *[|] *' '
		{ for (f = 2; f < NF; f++) { cell[NR, f] = $f; if (length($f) > width[f] && $f !~ /^-+$/) width[f] = length($f) } }
		END {
			for (r = 1; r <= NR; r++) {
				for (f = 2; f < NF; f++) {
					text = cell[r, f]
					while (length(text) < width[f]) text = text (r == 2 ? "-" : " ")
					printf "| %s ", text
				}
				print "|"
			}
		}'
} >"$work/table"
cat "$work/table"
if [ "$page" != none ]; then
	awk -v table="$work/table" '
		/^<!-- make bench -->$/ { print; print ""; while ((getline line < table) > 0) print line; print ""; between = 1 }
		/^<!-- end of make bench -->$/ { between = 0 }
		!between && !/^<!-- make bench -->$/' "$page" >"$work/page"
	cat "$work/page" >"$page"
fi
remove_all
