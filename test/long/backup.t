#!/bin/sh
# Every way to copy books by pg_dump: whatever comes out is the same, and settles
# on as the first would have.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
rm -rf build/backup
trap 'test/cluster stop backups' EXIT
trap 'exit 130' INT TERM HUP
test/cluster start backups fsync=off synchronous_commit=off full_page_writes=off
eval "$(test/cluster env backups)"
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# pg_cron sits in the database that is called as the cluster, and nobody may in one that is copied
createdb books
export PGDATABASE=books
sql -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' -f test/backup/books.sql
for way in plain custom directory locale books data; do
	nothing "$(test/backup/compare books $way 2>&1)" "pg_dump: $way"
done
something "$(test/backup/compare books forgetful 2>&1)" 'enabledO' 'triggers that came back as ordinary ones are seen'
something "$(test/backup/compare books spoilt 2>&1)" 'FINDING .*was changed' 'an amount that came back as another one is seen'

createdb elsewhere
sql -d elsewhere -c 'SET client_min_messages = warning' -c 'CREATE SCHEMA other' -c 'GRANT USAGE ON SCHEMA other TO PUBLIC' -c 'CREATE EXTENSION ltree SCHEMA other' -c 'ALTER DATABASE elsewhere SET search_path = public, other'
sql -d elsewhere -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' -f test/backup/books.sql
for way in plain books; do
	nothing "$(test/backup/compare elsewhere $way 2>&1)" "ltree in another schema, pg_dump: $way"
done
dropdb elsewhere

done_testing
