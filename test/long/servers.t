#!/bin/sh
# Servers that take over from another: one that pg_upgrade made, and a hot standby
# that is read and promoted.  Each has what the first has, and settles on as it
# would have.
set -eu
cd "$(dirname "$0")/../.."
. test/long/tap.sh
kept=build/servers
rm -rf $kept
mkdir -p $kept
trap 'rest upgrading; rest standby; test/cluster stop serving' EXIT
trap 'exit 130' INT TERM HUP
test/cluster start serving fsync=off synchronous_commit=off full_page_writes=off wal_level=logical
eval "$(test/cluster env serving)"
home=$PGHOST bin=${PATH%%:*}
createdb books
export PGDATABASE=books

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
as_server() {
	if [ "$(id -u)" = 0 ]; then
		(cd "$home" && exec runuser -u postgres -- "$@")
	else
		(cd "$home" && exec "$@")
	fi
}
control() { as_server "$bin/pg_ctl" -s -w -D "$home/$1" -l "$home/$1.log" "$2" </dev/null; }
rest() { ! [ -e "$home/$1/postmaster.pid" ] || as_server "$bin/pg_ctl" -s -w -m fast -D "$home/$1" stop; }
# what the server that PGPORT names says of itself
state() { sql -f test/backup/state.sql 2>&1; }
next() { sql -f test/backup/next.sql 2>&1; }
differences() { diff "$1" "$2" | head -n 40 || true; }

sql -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION scrm_settle CASCADE' -v tickets=200 -f test/backup/books.sql
state >$kept/state

# ---- hot standby ----

as_server "$bin/pg_basebackup" -h "$home" -U postgres -D "$home/standby" -R -c fast
echo 'port = 5433' | as_server tee -a "$home/standby/postgresql.conf" >/dev/null
control standby start
followed() { sql -c "SELECT pg_current_wal_lsn()" >$kept/lsn; until [ "$(PGPORT=5433 sql -c "SELECT pg_last_wal_replay_lsn() >= '$(cat $kept/lsn)'")" = t ]; do sleep 0.5; done; }
read_views() { sql -f test/backup/views.sql 2>&1; }
sql -c "UPDATE chain.ticket SET amount = amount + 1 WHERE ticket_id = (SELECT min(ticket_id) FROM chain.ticket)" -c 'SELECT 1' >/dev/null
followed
read_views >$kept/views
PGPORT=5433 read_views >$kept/standby.views
nothing "$(differences $kept/views $kept/standby.views)" 'a hot standby reads every view as the first server does'
is "$(grep -c . $kept/views)" "$(sql -c "SELECT count(*) FROM pg_class AS c WHERE c.relkind = 'v' AND c.relname <> 'job' AND c.relnamespace IN (SELECT b.book FROM settle.books() AS b)")" 'which are all'
nothing "$(PGPORT=5433 sql -c "SELECT c.* FROM settle.books() AS b, settle.check(b.book) AS c" -c "SELECT v.* FROM settle.books() AS b, settle.verify(b.book) AS v" 2>&1)" 'and checks and verifies'
something "$(PGPORT=5433 sql -c "SELECT settle.run('chain')" 2>&1)" 'read-only|recovery' 'it settles nothing'

# ---- it takes over ----

state >$kept/state
followed
as_server "$bin/pg_ctl" -s -w -D "$home/standby" promote
PGPORT=5433 state >$kept/standby.state
nothing "$(differences $kept/state $kept/standby.state)" 'promoted it has every row, sequence and object'
PGPORT=5433 next >$kept/standby.next
rest standby

# ---- pg_upgrade ----

rest data
as_server "$bin/initdb" -D "$home/upgrading" -A trust -U postgres --no-sync -E UTF8 --locale=C.UTF-8 >/dev/null
as_server cp "$home/data/postgresql.conf" "$home/upgrading/postgresql.conf"
as_server "$bin/pg_upgrade" -b "$bin" -B "$bin" -d "$home/data" -D "$home/upgrading" -s "$home" -U postgres >$kept/pg_upgrade.log 2>&1 && upgraded=0 || upgraded=1
ok "$upgraded" 'pg_upgrade goes through' "$(tail -n 20 $kept/pg_upgrade.log)"
control upgrading start
state >$kept/upgrading.state
nothing "$(differences $kept/state $kept/upgrading.state)" 'upgraded it has every row, sequence and object'
next >$kept/upgrading.next
rest upgrading

control data start
next >$kept/next
nothing "$(differences $kept/next $kept/standby.next)" 'a promoted standby settles on as the first server'
nothing "$(differences $kept/next $kept/upgrading.next)" 'and so does one that was upgraded'
nothing "$(grep -h FINDING $kept/*.state $kept/state $kept/*next || true)" 'nothing is found anywhere'

done_testing
