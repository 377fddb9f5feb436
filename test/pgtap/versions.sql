-- A library that is not of the version of the extension: a later one works and
-- says so once a session, an earlier one is refused.
\set ON_ERROR_STOP on
SELECT plan(5);
SELECT settle.create_book('repairs') \g /dev/null
SELECT extversion AS version FROM pg_extension WHERE extname = 'scrm_settle' \gset
UPDATE pg_extension SET extversion = '0.0.99' WHERE extname = 'scrm_settle';
\set told `psql -XqAt -v VERBOSITY=verbose -c "SELECT tickets FROM settle.run('repairs')" -c "SELECT tickets FROM settle.run('repairs')" 2>&1 | grep -v LOCATION`
SELECT is(:'told'::text, format(E'WARNING:  55000: extension "scrm_settle" is of version 0.0.99, its library of %s\nHINT:  ALTER EXTENSION scrm_settle UPDATE.\n0\n0', :'version'), 'a later library works, and says so once');
UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'scrm_settle';
\set told `psql -XqAt -v VERBOSITY=verbose -c "SELECT tickets FROM settle.run('repairs')" -c "SELECT settle.anchor('repairs')" 2>&1 | grep -v -e LOCATION -e HINT`
SELECT is(:'told'::text, format(E'ERROR:  55000: extension "scrm_settle" is of version 0.10.0, its library of %1$s\nERROR:  55000: extension "scrm_settle" is of version 0.10.0, its library of %1$s', :'version'), 'an earlier one is refused, each time');
UPDATE pg_extension SET extversion = :'version' WHERE extname = 'scrm_settle';
\set told `psql -XqAt -c "SELECT tickets FROM settle.run('repairs')" 2>&1`
SELECT is(:'told'::text, '0', 'one of the same version says nothing');

-- what an upgrade script is made of
\set told `printf '%s\n' '-- room' 'CREATE FUNCTION settle.a() RETURNS int' '    LANGUAGE sql RETURN 1;' 'COMMENT ON FUNCTION settle.a() IS 1;' > build/old.sql; printf '%s\n' '/*' ' * Other words.' ' */' 'CREATE FUNCTION settle.a() RETURNS int' '    LANGUAGE sql RETURN 1;' '-- words' 'COMMENT ON FUNCTION settle.a() IS 2;' 'CREATE FUNCTION settle.b() RETURNS int AS $f$' '-- inside' 'SELECT 1;' '$f$ LANGUAGE sql;' 'CREATE TYPE settle.c;' > build/new.sql; versions/edge build/old.sql build/new.sql`
SELECT is(:'told'::text, E'\\echo Use "ALTER EXTENSION scrm_settle UPDATE" to load this file. \\quit\n\nCOMMENT ON FUNCTION settle.a() IS 2;\n\nCREATE OR REPLACE FUNCTION settle.b() RETURNS int AS $f$\n-- inside\nSELECT 1;\n$f$ LANGUAGE sql;\n\nCREATE TYPE settle.c;', 'an upgrade script has the statements that the version before had not');
\set told `versions/edge build/new.sql build/new.sql; rm build/old.sql build/new.sql`
SELECT is(:'told'::text, '\echo Use "ALTER EXTENSION scrm_settle UPDATE" to load this file. \quit', 'and nothing where nothing has changed');
SELECT * FROM finish();
