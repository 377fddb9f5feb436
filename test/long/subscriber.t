#!/bin/sh
# A logical subscriber has the tables of books, as docs/backup.md has it: what is
# there when it subscribes, and what is settled then.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
kept=build/subscriber
rm -rf $kept
mkdir -p $kept
trap 'test/cluster stop subscriber; test/cluster stop publisher' EXIT
trap 'exit 130' INT TERM HUP
test/cluster start publisher fsync=off synchronous_commit=off full_page_writes=off wal_level=logical
test/cluster start subscriber fsync=off synchronous_commit=off full_page_writes=off max_logical_replication_workers=8 max_sync_workers_per_subscription=4 wal_retrieve_retry_interval=1s
eval "$(test/cluster env subscriber)"
there=$PGHOST
eval "$(test/cluster env publisher)"
here=$PGHOST
sql() { PGHOST=$1; shift; psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
for host in "$here" "$there"; do
	PGHOST=$host createdb books
done
export PGHOST PGDATABASE=books
rows() { sql "$1" -f test/backup/state.sql 2>/dev/null | grep -E '^[^:]+ [0-9]+ ([0-9a-f]{32}|nothing)$' >"$kept/$2"; }
views() { sql "$1" -f test/backup/views.sql >>"$kept/$2" 2>&1; }

sql "$here" -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' -v tickets=100 -f test/backup/books.sql
sql "$here" -c 'CREATE PUBLICATION books FOR ALL TABLES'
something "$(sql "$here" -c "INSERT INTO chain.pending VALUES (1, 'none', false)" -c "SELECT settle.run('chain')" 2>&1)" 'does not have a replica identity' 'a queue without identity would stop the settlement'
sql "$here" -c "SELECT format('ALTER TABLE %s REPLICA IDENTITY FULL;', c.oid::regclass) FROM pg_class AS c
	WHERE c.relkind = 'r' AND c.relnamespace IN (SELECT b.book FROM settle.books() AS b) AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)" |
	sql "$here"
sql "$there" -c 'CREATE ROLE backup_owner' -c 'CREATE ROLE backup_reader' -c 'CREATE ROLE backup_staff'
PGHOST=$here pg_dump --schema-only --no-publications books | sql "$there" -o /dev/null
sql "$there" -c "SELECT DISTINCT format('ALTER TABLE %s DISABLE TRIGGER USER;', t.tgrelid::regclass) FROM pg_trigger AS t WHERE NOT t.tgisinternal AND t.tgparentid = 0" | sql "$there"
sql "$there" -c 'SET client_min_messages = warning' -c "CREATE SUBSCRIPTION books CONNECTION 'host=$here user=postgres dbname=books' PUBLICATION books"

# Waits until everything has come, for four minutes at most.
arrive() {
	for _ in $(seq 240); do
		lsn=$(sql "$here" -c 'SELECT pg_current_wal_lsn()')
		[ "$(sql "$there" -c "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'")" = 0 ] &&
			[ "$(sql "$here" -c "SELECT coalesce(bool_and(replay_lsn >= '$lsn'), false) FROM pg_stat_replication WHERE application_name = 'books'")" = t ] && return
		sleep 1
	done
}
arrive
rows "$here" here
rows "$there" there
nothing "$(diff $kept/here $kept/there || true)" 'every table, as it was'
something "$(grep -c . $kept/here)" '^[1-9][0-9][0-9]$' 'which are hundreds'

sql "$here" -f test/backup/next.sql >/dev/null
arrive
rows "$here" here
views "$here" here
rows "$there" there
views "$there" there
nothing "$(diff $kept/here $kept/there || true)" 'and as it is after the next settlement, every view too'

done_testing
