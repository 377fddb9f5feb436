-- The statements and results of README.md and docs/start.md are those of golden tests; the
-- examples of some further pages run as they stand.
BEGIN;
SELECT plan(7);

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

-- What a block does otherwise than it says: an error that "-- ERROR:" below the statement does not
-- name, a row that is not how the comment behind the statement begins.
CREATE FUNCTION pg_temp.otherwise(block text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text; statement text := ''; raised text; gave record; shown text;
BEGIN
	FOREACH line IN ARRAY string_to_array(block, E'\n') LOOP
		IF line LIKE '-- ERROR:  %' AND raised = substr(line, 12) THEN
			raised := NULL;
		ELSIF line LIKE '-- ERROR:  %' THEN
			RETURN NEXT concat('not raised: ', line);
		ELSIF line NOT LIKE '--%' THEN
			statement := statement || line || E'\n';
		END IF;
		CONTINUE WHEN line LIKE '--%' OR line !~ '; *(--.*)?$';
		IF raised IS NOT NULL THEN
			RETURN NEXT concat('raised: ', raised);
		END IF;
		raised := NULL;
		BEGIN
			IF ltrim(statement, E'\n') LIKE 'SELECT %' THEN
				EXECUTE statement INTO gave;
				SELECT string_agg(regexp_replace(value, '^(\d{4}-\d\d-\d\d)T(\S+):00$', '\1 \2'), ', ') INTO shown FROM json_each_text(row_to_json(gave));
				IF line ~ '; +-- ' AND NOT starts_with(substring(line FROM '; +-- (.*)'), shown) THEN
					RETURN NEXT concat(line, ' is ', shown);
				END IF;
			ELSE
				EXECUTE statement;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			raised := SQLERRM;
		END;
		statement := '';
	END LOOP;
	IF raised IS NOT NULL THEN
		RETURN NEXT concat('raised: ', raised);
	END IF;
END $$;
SET LOCAL TimeZone = 'Asia/Shanghai';
\set page `cat docs/desk.md`
SELECT is((SELECT string_agg(o, E'\n') FROM pg_temp.otherwise(substring(:'page' FROM '```sql\n(.*?)\n```')) AS o), NULL, 'docs/desk.md begins with what happens');
\set page `cat docs/deadline.md`
SELECT is((SELECT string_agg(o, E'\n') FROM pg_temp.otherwise(substring(:'page' FROM '```sql\n(.*?)\n```')) AS o), NULL, 'docs/deadline.md goes on with it');

SELECT * FROM finish();
ROLLBACK;
