#!/bin/sh
# The extension is the same object by object whether it is made, upgraded from an
# earlier version, or restored from a dump of that: for each version of versions/,
# and for one that is made up here of what a release may change.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
trap 'test/cluster stop versions' EXIT
trap 'exit 130' INT TERM HUP
test/cluster start versions fsync=off synchronous_commit=off full_page_writes=off
eval "$(test/cluster env versions)"
current=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" scrm_settle.control)
new=$(find build/stage -name "scrm_settle--$current.sql")
kept=build/earlier
rm -rf $kept
mkdir -p $kept/lost

# An earlier version: one function that is no more, one with another body and one
# with another comment, one that is not there yet, a helper that is open to all.
awk '/^CREATE FUNCTION settle.drop_book\(/ { left_out = 1 } left_out && /;$/ && comment { left_out = 0; comment = 0; next } left_out { if (/^COMMENT/) comment = 1; if (comment && /;$/) left_out = comment = 0; next } { print }' "$new" |
	sed -e 's/^COMMENT ON FUNCTION settle._has_pending.*/COMMENT ON FUNCTION settle._has_pending(regnamespace) IS '\''another one'\'';/' \
		-e '/^REVOKE ALL ON FUNCTION settle._anchor/d' -e "s/RETURN 'hq'/RETURN 'head'/" \
		-e "/settle._is_later(version text/,/RETURN/s/OPERATOR(pg_catalog.>)/OPERATOR(pg_catalog.>=)/" >$kept/old.sql
cat >>$kept/old.sql <<-'SQL'
	CREATE FUNCTION settle.gone(n integer) RETURNS integer LANGUAGE sql RETURN n;
	COMMENT ON FUNCTION settle.gone(integer) IS 'no more';
SQL
echo 'DROP FUNCTION settle.gone(integer);' >$kept/by_hand.sql
edge=$kept/scrm_settle--0.0.1--$current.sql
versions/edge $kept/old.sql "$new" $kept/by_hand.sql >"$edge"
is "$(grep -c -E '^(DROP|CREATE|COMMENT|REVOKE)' "$edge")" 6 'an edge is the difference of two versions, and what was written by hand'
nothing "$(test/versions/compare 0.0.1 $kept/old.sql "$edge" 2>&1)" 'made, upgraded and restored it is the same'

# What make does of a version that was released, and of this one.
tree=$kept/tree
mkdir -p $tree/build
cp -r Makefile scrm_settle.control src versions $tree/
cp $kept/old.sql $tree/versions/scrm_settle--0.0.1.sql
cp $kept/by_hand.sql "$tree/versions/0.0.1--$current.sql"
make -s -C $tree freeze
is "$(cat "$tree/versions/scrm_settle--0.0.1--$current.sql")" "$(cat "$edge")" 'make assembles the upgrade script, and freezes it'
is "$(cat "$tree/versions/scrm_settle--$current.sql")" "$(cat "$new")" 'with the install script of this version'
rm $tree/scrm_settle--*.sql
is "$(make -s -C $tree -n freeze)" "$(printf '%s\n' "cat $(cd $tree && make -s -n "scrm_settle--$current.sql" | sed 's/^cat //')" "cp scrm_settle--$current.sql versions/")" 'once frozen it is not assembled again'

# What an edge may forget.
lost=$kept/lost/${edge##*/}
grep -v '^DROP' "$edge" >"$lost"
something "$(test/versions/compare 0.0.1 $kept/old.sql "$lost" 2>&1)" 'function settle.gone' 'a function that was not dropped is seen'
grep -v '^REVOKE' "$edge" >"$lost"
something "$(test/versions/compare 0.0.1 $kept/old.sql "$lost" 2>&1)" '> .*=X/postgres postgres=X' 'a right that was not taken away is seen'
grep -v '^CREATE OR REPLACE FUNCTION settle._is_later' "$edge" | grep -v 'RETURN pg_catalog.string_to_array' | grep -v 'LANGUAGE sql IMMUTABLE PARALLEL SAFE' >"$lost"
something "$(test/versions/compare 0.0.1 $kept/old.sql "$lost" 2>&1)" '> .*>= \(string_to_array\(other' 'a body that was not replaced is seen'

if [ -e "versions/scrm_settle--$current.sql" ]; then
	nothing "$(diff "versions/scrm_settle--$current.sql" "$new")" "version $current is as it was released"
fi
for script in versions/scrm_settle--*.sql; do
	version=${script#versions/scrm_settle--}
	version=${version%.sql}
	case $version in
	'*' | *--* | "$current") continue ;;
	esac
	# shellcheck disable=SC2046  # names without blanks
	nothing "$(test/versions/compare "$version" "$script" $(find build/stage -name 'scrm_settle--*--*.sql') 2>&1)" "from version $version"
done

done_testing
