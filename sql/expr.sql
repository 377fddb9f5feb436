-- The gateway that turns a text of a rule into an expression: what it reads,
-- what it stores, what it refuses and in which words.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;

CREATE SCHEMA expr_test;
CREATE TYPE expr_test.stage AS ENUM ('open', 'done', 'refunded');
CREATE DOMAIN expr_test.money_amount AS numeric(12,2) CHECK (value >= 0);
CREATE TABLE expr_test.ticket (
    id bigint, amount numeric(12,2), stage expr_test.stage, note text, worker_id bigint,
    done_at timestamptz, on_day date, project ltree, tags text[], form jsonb,
    deposit expr_test.money_amount, code varchar(20), "Order" int);

-- canonical texts: every constant typed, every cast written out
CREATE FUNCTION expr_test.canonical(text) RETURNS text LANGUAGE sql
RETURN settle.check_expression($1, 'expr_test.ticket', 'Asia/Shanghai');

\pset format unaligned
\pset tuples_only on
SELECT expr_test.canonical($$ amount > 10 $$);
SELECT expr_test.canonical($$ stage = 'done' and project <@ 'install.ac' $$);
SELECT expr_test.canonical($$ done_at >= '2025-11-11' and done_at < '2025-11-12' $$);
SELECT expr_test.canonical($$ extract(dow from done_at) in (0, 6) $$);
SELECT expr_test.canonical($$ 'staff:' || worker_id $$);
SELECT expr_test.canonical($$ deposit in (100, 200) $$);
SELECT expr_test.canonical($$ code in ('a', 'b') or code like 'x%' $$);
SELECT expr_test.canonical($$ case when "Order" between 1 and 5 then amount * 0.05 else 0 end $$);
SELECT expr_test.canonical($$ (form->>'finished')::timestamptz + interval '3 days' > done_at $$);
SELECT expr_test.canonical($$ tags && array['vip', 'gold'] and form @> '{"urgent": true}' $$);
SELECT expr_test.canonical($$ jsonb_build_object('staff:' || worker_id, 0.6, 'staff:7', 0.4) $$);
SELECT expr_test.canonical($$ make_interval(days => 3) $$);
SELECT expr_test.canonical($$ amount > 10 -- and stage = 'done' $$);

-- the wanted type
SELECT settle.check_expression('amount', 'expr_test.ticket', result => 'text');
SELECT settle.check_expression('amount', 'expr_test.ticket', result => 'boolean');

-- templates
SELECT settle.check_template('staff:{worker_id}', 'expr_test.ticket');
SELECT settle.check_template('dealer:{{{code || ''}''}}}', 'expr_test.ticket');
SELECT settle._evaluate_expression('staff:{worker_id}/{{{note}}}', ROW(t.*)::expr_test.ticket, 'UTC', template => true)
FROM (SELECT (jsonb_populate_record(NULL::expr_test.ticket, '{"worker_id": 1001, "note": "x"}')).*) t;
SELECT settle.check_template('staff:{worker_id', 'expr_test.ticket');
SELECT settle.check_template('staff:{wroker_id}', 'expr_test.ticket');

-- names
SELECT expr_test.canonical($$ amuont > 10 $$);
SELECT expr_test.canonical($$ note = "done" $$);
SELECT expr_test.canonical($$ note = “done” $$);
SELECT expr_test.canonical($$ ctid is null $$);

-- not one expression
SELECT expr_test.canonical($$ 1; drop table x $$);
SELECT expr_test.canonical($$ amount > 10 urgent $$);
SELECT expr_test.canonical($$ amount > $$);
SELECT expr_test.canonical($$ amount) + (1 $$);
SELECT expr_test.canonical($$ amount /* never closed $$);

-- not of the row alone
SELECT expr_test.canonical($$ amount > (select max(amount) from expr_test.ticket) $$);
SELECT expr_test.canonical($$ sum(amount) > 10 $$);
SELECT expr_test.canonical($$ done_at > now() - interval '1 day' $$);
SELECT expr_test.canonical($$ done_at > 'yesterday' $$);
SELECT expr_test.canonical($$ expr_test.canonical(note) = '' $$);

-- not of bounded cost
SELECT expr_test.canonical($$ length(repeat('x', 900000000)) > 1 $$);
SELECT expr_test.canonical($$ note ~ '(a*)\1' $$);
SELECT expr_test.canonical($$ amount ^ worker_id $$);

-- a constant that fails, fails when the text is read
SELECT expr_test.canonical($$ amount > 5 and 1/0 = 1 $$);
SELECT settle.check_expression('amount', 'expr_test.ticket', 'Asia/Shangai');
SELECT settle.check_expression('amount', 'expr_test.ticket', 'UTC+8');

-- what may be called
SELECT purpose, string_agg(function, ' ' ORDER BY function COLLATE "C")
FROM settle.expression_functions() GROUP BY purpose ORDER BY purpose COLLATE "C";

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA expr_test CASCADE;
