-- The statements and results of README.md and docs/start.md are those of golden tests.
BEGIN;
SELECT plan(5);

CREATE TEMPORARY TABLE page (name text PRIMARY KEY, page text, statements text, transcript text);
\set page `cat README.md`
\set statements `cat sql/quickstart.sql`
\set transcript `cat expected/quickstart.out`
INSERT INTO page VALUES ('README.md', :'page', substring(:'statements' FROM '(CREATE EXTENSION.*?)\n\n-- what follows'), :'transcript');
\set page `cat docs/start.md`
\set statements `cat sql/start.sql`
\set transcript `cat expected/start.out`
INSERT INTO page VALUES ('docs/start.md', :'page', substring(:'statements' FROM '(CREATE ROLE.*?)\n\n-- what follows'), :'transcript');

SELECT is((SELECT string_agg(block[1], E'\n\n') FROM regexp_matches(page, '```sql\n(.*?)\n```', 'g') AS block), statements, 'the blocks of SQL in ' || name || ' are its golden test')
FROM page ORDER BY name;
SELECT is((SELECT string_agg(block[1], E'\n\n') FROM regexp_matches(page, E'\n```\n( .*?)\n```\n', 'g') AS block WHERE strpos(regexp_replace(transcript, ' +$', '', 'ng'), block[1]) = 0), NULL,
    'the results that ' || name || ' shows are those of its golden test')
FROM page ORDER BY name;
\set pages `cd docs && ls *.md */*.md`
SELECT is((SELECT string_agg(file, ' ') FROM regexp_split_to_table(:'pages', E'\n') AS file JOIN page ON name = 'README.md' WHERE strpos(page, '(docs/' || file || ')') = 0), NULL, 'README.md names every page of docs/');

SELECT * FROM finish();
ROLLBACK;
