-- The README's statements are those of the golden test sql/quickstart.sql.
BEGIN;
SELECT plan(1);

\set readme `cat README.md`
\set quickstart `cat sql/quickstart.sql`
SELECT is(substring(:'readme' FROM '```sql\n(.*?)\n```'), :'quickstart',
    'the first block of SQL in README.md is sql/quickstart.sql');

SELECT * FROM finish();
ROLLBACK;
