-- Books that are dumped and restored are the same, and settle on as they would
-- have: the way of most, in short; make check-long TESTS=backup has the others.
\set ON_ERROR_STOP on
SELECT plan(1);
\! createdb -T settle_template tap_backup_books && psql -Xq -d tap_backup_books -v tickets=60 -f test/backup/books.sql
\set differences `rm -rf build/backup/tap_backup_books; test/backup/compare tap_backup_books custom 2>&1 | head -c 3000`
SELECT is(:'differences'::text, '', 'every row, sequence, object and finding is the same, and so is what the next settlement comes to');
\! dropdb tap_backup_books
DROP OWNED BY backup_owner, backup_reader, backup_staff;
DROP ROLE backup_owner, backup_reader, backup_staff;
SELECT * FROM finish();
