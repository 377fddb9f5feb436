-- The short form of test/long/leaks.t.
\i test/leaks/leaks.sql
