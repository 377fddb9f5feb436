-- The revenue matrix over foreign tables, without a book: what is grouped by the
-- key of the partitions is summed up where the rows stand, and only matrices travel.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw') AS there \gset
\if :there
\else
    SELECT plan(0, 'postgres_fdw is not there');
    \quit
\endif
SELECT plan(7);
CREATE EXTENSION postgres_fdw;
CREATE TABLE public.ticket (dealer int, project ltree, region ltree, period date, revenue numeric(12,2), cost numeric(12,2)) PARTITION BY HASH (dealer);
CREATE TABLE public.near_0 AS SELECT * FROM public.ticket;
CREATE TABLE public.near_1 AS SELECT * FROM public.ticket;
-- this database stands for both of the others
SELECT format('CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L, extensions %L)', :'HOST', :'PORT', :'DBNAME', 'scrm_settle, ltree') \gexec
SELECT format('CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user %L)', :'USER') \gexec
CREATE FOREIGN TABLE public.far_0 PARTITION OF public.ticket FOR VALUES WITH (MODULUS 2, REMAINDER 0) SERVER far OPTIONS (schema_name 'public', table_name 'near_0');
CREATE FOREIGN TABLE public.far_1 PARTITION OF public.ticket FOR VALUES WITH (MODULUS 2, REMAINDER 1) SERVER far OPTIONS (schema_name 'public', table_name 'near_1');
INSERT INTO public.ticket
SELECT n % 20, format('install.k%s', n % 7)::ltree, format('cn.p%s.s%s', n % 5, n % 11)::ltree, date '2025-01-01' + (n % 3) * 31, n, n * 0.6 FROM generate_series(1, 600) AS n;
INSERT INTO public.ticket VALUES (3, NULL, 'cn', '2025-01-01', NULL, 1);
ANALYZE public.near_0, public.near_1, public.far_0, public.far_1;
CREATE VIEW public.by_dealer AS SELECT dealer, settle.revenue_matrix(project, region, period, revenue, cost) AS matrix FROM public.ticket GROUP BY dealer;
CREATE FUNCTION public.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
        plan := plan || line || E'\n';
    END LOOP;
    RETURN plan;
END $$;
-- the rows as the two tables have them
CREATE TABLE public.here AS SELECT * FROM public.near_0 UNION ALL SELECT * FROM public.near_1;
PREPARE here AS SELECT c.* FROM (SELECT settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM public.here) AS t, settle.cells(m, 'tree') AS c;

SELECT is((SELECT (SELECT count(*) > 0 FROM public.near_0) AND (SELECT count(*) > 0 FROM public.near_1)), true, 'both have tickets');
SET enable_partitionwise_aggregate = on;
SELECT is((SELECT count(*) FROM regexp_matches(plan_of('SELECT * FROM public.by_dealer'), 'Relations: Aggregate on .*?Remote SQL: SELECT dealer, settle\.revenue_matrix', 'g')), 2::bigint, 'each of the others makes the matrices of its dealers');
SELECT results_eq('SELECT dealer, matrix::text FROM public.by_dealer ORDER BY 1', 'SELECT dealer, settle.revenue_matrix(project, region, period, revenue, cost)::text FROM public.here GROUP BY 1 ORDER BY 1', 'they are those of the rows');
SELECT matches(plan_of('SELECT settle.matrix_sum(matrix) FROM public.by_dealer'), '^Aggregate.*Append.*Foreign Scan.*Foreign Scan', 'a second step sums them up here');
SELECT bag_eq('SELECT c.* FROM (SELECT settle.matrix_sum(matrix) AS m FROM public.by_dealer) AS t, settle.cells(m, ''tree'') AS c', 'here', 'and gives the cells of all rows');
SELECT bag_eq('SELECT c.* FROM (SELECT settle.revenue_matrix(project, region, period, revenue, cost) AS m FROM public.ticket) AS t, settle.cells(m, ''tree'') AS c', 'here', 'as one step does, for which the rows travel');
ALTER SERVER far OPTIONS (SET extensions 'ltree');
SELECT unalike(plan_of('SELECT * FROM public.by_dealer'), '%Remote SQL: SELECT dealer, settle.%', 'without the option of the server rows travel, too');
SELECT * FROM finish();
