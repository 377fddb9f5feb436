-- The harness of "make vectors" on a few vectors of our own, each as it is and
-- with a wrong expectation; then on the folder ../shared/vectors where it is.
BEGIN;
SET client_min_messages = warning;
SELECT no_plan();

\i test/vectors/vectors.sql
\set files `test/vectors/bundle test/vectors/sample`
SELECT vectors.load(:'files');
SELECT is_empty($$ SELECT id, got FROM vectors.check_all() WHERE NOT passed $$, 'the sample passes');
SELECT is((SELECT count(*) FROM vectors.check_all() WHERE passed), 19::bigint, 'and every vector of it ran');
SELECT is((SELECT array_agg(line) FILTER (WHERE line ~ '^skipped') FROM vectors.report() line),
    '{"skipped ledger-a (a workflow of documents: holds that are later posted or voided; a settlement posts lines and corrects them)"}',
    'a skip names its reason');
SELECT is((SELECT line FROM vectors.report() WITH ORDINALITY r(line, n) ORDER BY n DESC LIMIT 1), '19 passed, 0 failed, 1 skipped',
    'the count stands alone on the last line');

-- one digit of an expectation, or its error, changed
UPDATE vectors.vector SET target = CASE
    WHEN target ? 'error' THEN '{"amount": "0"}'
    WHEN target ->> 'result' ~ '^ERROR' THEN '{"result": "0"}'
    WHEN target ? 'ok' THEN '{"ok": true}'
    ELSE regexp_replace(target::text, '"([0-9.-]*)([0-9])"', '"\1\21"')::jsonb END;
SELECT is((SELECT count(*) FROM vectors.check_all() WHERE NOT passed), 19::bigint, 'a wrong expectation fails, every one of them');
SELECT ok((SELECT bool_or(line ~ 'FAILED graduated-a\n  input .*"quantity": "250".*\n  expected .*\n  got      \{"amount": "20"\}') FROM vectors.report() line),
    'a failure shows id, input, what was expected and what came');
SELECT is((SELECT line FROM vectors.report() WITH ORDINALITY r(line, n) ORDER BY n DESC LIMIT 1), '0 passed, 19 failed, 1 skipped',
    'and is counted');
-- what has no mapping fails, it is not skipped
DELETE FROM vectors.vector;
INSERT INTO vectors.vector VALUES ('horoscope', 'horoscope-1', '{}', '{"amount": "1"}'), ('rounding', 'rounding-1', '{"moon": "full"}', '{"value": "1"}');
SELECT is((SELECT count(*) FROM vectors.check_all() WHERE NOT passed), 2::bigint, 'an input that nobody understands fails');
DELETE FROM vectors.vector;

\set there `test -d ../shared/vectors && echo true || echo false`
\if :there
\set files `test/vectors/bundle ../shared/vectors`
SELECT vectors.load(:'files');
SELECT is_empty($$ SELECT id, got FROM vectors.check_all() WHERE NOT passed $$, 'every vector of ../shared/vectors passes');
\else
SELECT skip('there is no folder ../shared/vectors', 1);
\endif

SELECT * FROM finish();
ROLLBACK;
