-- Trace: from a payment to its tickets and back, with nothing in between lost.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
DROP ROLE IF EXISTS trace_reader, trace_lead;
CREATE ROLE trace_reader; CREATE ROLE trace_lead SUPERUSER;
SELECT settle.create_book('traced') \g /dev/null
SELECT settle.grant_access('traced', 'trace_reader', 'reader') \g /dev/null
SELECT settle.add_rule('traced', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10% to 1000, 20%', accumulate => 'month', applies_when => 'amount > 0') \g /dev/null
SELECT settle.add_rule('traced', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'amount', tiers => '1%', applies_when => 'amount > 0') \g /dev/null
SELECT settle.add_rule('traced', 'fine', 'fine', 'staff:{worker}', 'hq', base => '-amount', applies_when => 'amount < 0') \g /dev/null
CREATE TABLE public.shift (id int PRIMARY KEY, worker text, hours numeric, ended timestamptz);
SELECT settle.add_source('traced', 'shift', 'public.shift', key => 'id::text', ready_at => 'ended') \g /dev/null
SELECT settle.add_rule('traced', 'hours', 'hours', 'hq', 'staff:{worker}', base => 'hours', tiers => '0 each to 1, 30 each', source => 'shift') \g /dev/null
INSERT INTO traced.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('1', '2025-11-03', 'a', 'b', 'w1', 800), ('2', '2025-11-04', 'a', 'b', 'w1', 700), ('3', '2025-11-05', 'a', 'b', 'w2', 100), ('4', '2025-11-05', 'a', 'b', 'w2', -500);
INSERT INTO public.shift VALUES (7, 'w1', 9, '2025-11-06'), (8, 'w2', 3, '2025-11-06');
SELECT settle.run('traced') \g /dev/null
SELECT results_eq($$ SELECT component, amount, party, statement_period, state FROM settle.trace_ticket('traced', 'ticket', '1') $$,
    $$ VALUES ('tax', 8.00, 'staff:w1', NULL::date, NULL::text), ('tax', 8.00, 'tax:iit', NULL, NULL), ('wage', 80.00, 'staff:w1', NULL, NULL) $$, 'lines of an open period stand in no statement yet');
SELECT settle.close_period('traced', '2025-11-01') \g /dev/null
SELECT settle.dispute_statement('traced', 'staff:w1', '2025-11-01', reason => 'x', ticket_key => '2') \g /dev/null
SELECT settle.submit_statement('traced', 'staff:w1', '2025-11-01') \g /dev/null
SET SESSION AUTHORIZATION trace_lead;
SELECT settle.confirm_party('traced', 'staff:w1', 'known'), settle.approve_statement('traced', 'staff:w1', '2025-11-01'),
    settle.pay_statement('traced', 'staff:w1', '2025-11-01', reference => 'bank-1', paid_at => '2025-12-10') \g /dev/null
RESET SESSION AUTHORIZATION;

SELECT results_eq($$ SELECT reference, kind, component, amount, source::text COLLATE "default", ticket_key, relation::text COLLATE "default", ticket->>'worker' FROM settle.trace_payout('traced', 'staff:w1', '2025-11-01') $$, $$ VALUES
    ('bank-1', 'withheld', 'tax', -8.00, 'ticket', '1', 'traced.ticket', 'w1'), ('bank-1', 'earned', 'wage', 80.00, 'ticket', '1', 'traced.ticket', 'w1'),
    ('bank-1', 'withheld', 'tax', -7.00, 'ticket', '2', 'traced.ticket', 'w1'), ('bank-1', 'earned', 'wage', 120.00, 'ticket', '2', 'traced.ticket', 'w1'),
    ('bank-1', 'earned', 'hours', 240.00, 'shift', '7', 'shift', 'w1'), ('bank-1', 'held', NULL, -113.00, NULL, NULL, NULL, NULL) $$, 'a payment: its lines and tickets of every source, and what was held');
SELECT is((SELECT sum(amount) FROM settle.trace_payout('traced', 'staff:w1', '2025-11-01')), (SELECT amount FROM traced.payment), 'they sum to what was paid');
SELECT is_empty($$ SELECT s.party, s.payable, t.amount FROM traced.statement AS s CROSS JOIN LATERAL (SELECT sum(amount) AS amount FROM settle.trace_payout('traced', s.party, s.period, s.unit)) AS t WHERE t.amount IS DISTINCT FROM s.payable $$,
    'of every statement they sum to what is payable');
SELECT results_eq($$ SELECT component, payer, payee, amount, party, statement_period, state, reference, paid_at FROM settle.trace_ticket('traced', 'shift', '7') $$,
    $$ VALUES ('hours', 'hq', 'staff:w1', 240.00, 'staff:w1', '2025-11-01'::date, 'paid', 'bank-1', '2025-12-10'::timestamptz) $$, 'from a ticket to its payment');
SELECT is_empty($$ SELECT * FROM settle.trace_ticket('traced', 'ticket', 'nothing') $$, 'a ticket that is not there has no line');
SELECT is_empty($$ SELECT * FROM settle.trace_payout('traced', 'staff:nobody', '2025-11-01') $$, 'nor has a party');

-- the row of the source is shown to whom the source itself would show it
SET SESSION AUTHORIZATION trace_reader;
SELECT results_eq($$ SELECT count(*), count(ticket) FROM settle.trace_payout('traced', 'staff:w1', '2025-11-01') $$, $$ VALUES (6::bigint, 0::bigint) $$, 'a reader of the book sees lines, not rows of tables that he may not read');
RESET SESSION AUTHORIZATION;
GRANT SELECT ON public.shift TO trace_reader;
SET SESSION AUTHORIZATION trace_reader;
SELECT results_eq($$ SELECT ticket_key, ticket->>'hours' FROM settle.trace_payout('traced', 'staff:w1', '2025-11-01') WHERE ticket IS NOT NULL $$, $$ VALUES ('7', '9') $$, 'but those that he may');
RESET SESSION AUTHORIZATION;
ALTER TABLE public.shift ENABLE ROW LEVEL SECURITY;
SELECT is((SELECT count(ticket) FROM settle.trace_payout('traced', 'staff:w1', '2025-11-01') WHERE source = 'shift'), 0::bigint, 'rows under a policy are not shown past it');
ALTER TABLE public.shift DISABLE ROW LEVEL SECURITY;
DELETE FROM traced.ticket WHERE ticket_id = '3';
SELECT is((SELECT count(*) FILTER (WHERE ticket IS NULL) FROM settle.trace_payout('traced', 'staff:w2', '2025-11-01') WHERE ticket_key = '3'), 2::bigint, 'a row that is gone leaves its lines');
DROP SCHEMA traced CASCADE;
DROP TABLE public.shift;
DROP ROLE trace_reader, trace_lead;
SELECT * FROM finish();
