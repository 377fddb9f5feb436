-- The README's statements are those of the golden test sql/quickstart.sql.
BEGIN;
SELECT plan(2);

\set readme `cat README.md`
\set quickstart `cat sql/quickstart.sql`
\set transcript `cat expected/quickstart.out`
SELECT is(substring(:'readme' FROM '```sql\n(.*?)\n```'), :'quickstart',
    'the first block of SQL in README.md is sql/quickstart.sql');
SELECT isnt(strpos(regexp_replace(:'transcript', ' +$', '', 'ng'), substring(:'readme' FROM '```\n( +project .*?)\n```')), 0,
    'the result that README.md shows is that of the golden test');

SELECT * FROM finish();
ROLLBACK;
