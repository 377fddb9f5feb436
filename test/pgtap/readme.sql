-- The README's statements and results are those of the golden test sql/quickstart.sql.
BEGIN;
SELECT plan(2);

\set readme `cat README.md`
\set quickstart `cat sql/quickstart.sql`
\set transcript `cat expected/quickstart.out`
SELECT is((SELECT string_agg(block[1], E'\n\n') FROM regexp_matches(:'readme', '```sql\n(.*?)\n```', 'g') AS block),
    substring(:'quickstart' FROM '(CREATE EXTENSION.*?)\n\n-- what follows is not in the README'),
    'the blocks of SQL in README.md are sql/quickstart.sql');
SELECT is_empty(
    $$ SELECT block[1] FROM regexp_matches($$ || quote_literal(:'readme') || $$, E'\n```\n( .*?)\n```\n', 'g') AS block
       WHERE strpos(regexp_replace($$ || quote_literal(:'transcript') || $$, ' +$', '', 'ng'), block[1]) = 0 $$,
    'the results that README.md shows are those of the golden test');

SELECT * FROM finish();
ROLLBACK;
