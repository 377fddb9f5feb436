-- A rule of the source period that fails for one party: its row exists only
-- inside the close, so it is put off before.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('put') \g /dev/null
SELECT settle.add_rule('put', 'install', 'install', 'hq', '{worker}', base => 'amount') \g /dev/null
SELECT settle.add_rule('put', 'bonus', 'bonus', 'hq', '{party}', base => '100 / (settle.part(earned, ''install'') - 7)', source => 'period') \g /dev/null
SELECT settle.add_to_roster('put', 'staff:ann'), settle.add_to_roster('put', 'staff:bob') \g /dev/null
INSERT INTO put.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('1', '2025-11-03', 'a', 'b', 'staff:ann', 7), ('2', '2025-11-03', 'a', 'b', 'staff:bob', 17);
SELECT throws_matching($$ SELECT settle.close_period('put', '2025-11-01') $$, 'cannot be closed: 1 ticket stands in its way', 'the close is refused');
CREATE FUNCTION pg_temp.detail() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	PERFORM settle.close_period('put', '2025-11-01');
	RETURN 'closed';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
	RETURN said;
END
$$;
SELECT is(pg_temp.detail(), 'problem: ticket "staff:ann 2025-11-01" of source "period": division by zero', 'and says whose row it is, and why');
SELECT throws_ok($$ SELECT settle.defer('put', 'period', 'staff:cleo 2025-11-01', 'x') $$, 'P0002', 'ticket "staff:cleo 2025-11-01" of source "period" is not in problem', 'of a party that is on no roster');
SELECT settle.defer('put', 'period', 'staff:ann 2025-11-01', 'the bonus is looked into') \g /dev/null
SELECT is(pg_temp.detail(), 'closed', 'put off before, it lets the period close');
SELECT results_eq($$ SELECT payee, amount FROM put.line_detail WHERE component = 'bonus' $$, $$ VALUES ('staff:bob', 10.00) $$, 'with what the others get');
SELECT is((SELECT concat_ws(' ', sqlstate, reason) FROM put.problem), '22012 the bonus is looked into', 'the problem stands, and who put it off');
UPDATE put.ticket SET amount = 12 WHERE ticket_id = '1';
SELECT settle.close_period('put', '2025-12-01') \g /dev/null
SELECT is((SELECT concat_ws(' ', amount, period, corrects_period) FROM put.line_detail WHERE component = 'bonus' AND payee = 'staff:ann' AND coalesce(corrects_period, period) = '2025-11-01'), '20.00 2025-12-01 2025-11-01', 'what the row gives comes later');
SELECT is_empty($$ SELECT * FROM settle.check('put') $$, 'all figures agree');
DROP SCHEMA put CASCADE;
SELECT * FROM finish();
