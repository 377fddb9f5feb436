-- A short run of test/fuzz: random text, jsonb and bytes given to the types of tiers.
SET client_min_messages = warning;
SELECT plan(1);
\i test/fuzz/tiers.sql
SELECT (random() * 2 - 1)::numeric(7, 6) AS seed \gset
SELECT diag('seed ' || :seed);
SELECT ok(taken > 100 AND refused > 100, taken || ' values taken, ' || refused || ' refused, none of them otherwise')
FROM fuzz.run(:seed, 5000);
SELECT * FROM finish();
