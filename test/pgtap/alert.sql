-- Alerts: one row each time something begins to be the matter, until it ends by
-- itself or somebody ends it; what a person has seen says so and stays open.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
DROP ROLE IF EXISTS alert_clerk, alert_reader;
CREATE ROLE alert_clerk;
CREATE ROLE alert_reader;
SELECT settle.create_book('shop') \g /dev/null
SELECT settle.grant_access('shop', 'alert_clerk', 'clerk'), settle.grant_access('shop', 'alert_reader', 'reader') \g /dev/null
CREATE FUNCTION public.open_alerts() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', level, kind, object) || ': ' || message, E'\n' ORDER BY alert_id) FROM shop.alert WHERE ended_at IS NULL $$;
CREATE FUNCTION public.raise(VARIADIC said text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(object, ' ' ORDER BY alert_id) FROM settle._raise_alerts('shop', (SELECT jsonb_agg(jsonb_build_object('kind', split_part(s, '|', 1), 'object', split_part(s, '|', 2), 'message', split_part(s, '|', 3), 'level', nullif(split_part(s, '|', 4), ''))) FROM unnest(said) AS s)) $$;

----------------------------------------------------------------------------------------------------
-- One law: raised once, brought up to date, ended, raised again
----------------------------------------------------------------------------------------------------
SELECT is(public.raise('late|R1|by ten', 'job|run|42703', 'due|R2|by noon', 'mine|x|look|critical'), 'R1 run R2 x', 'those that were not open');
SELECT is(public.open_alerts(), E'warning late R1: by ten\ncritical job run: 42703\ninfo due R2: by noon\ncritical mine x: look', 'each with the level of its kind, or its own, in the order in which they were said');
SELECT is(public.raise('late|R1|by ten', 'late|R3|by one', 'job|run|22012', 'late|R3|by one'), 'R3', 'once until it ends, though it be said twice at once');
SELECT is((SELECT message FROM shop.alert WHERE kind = 'job'), '22012', 'its message says how it is now');
SELECT is(settle._raise_alerts('shop', NULL), NULL, 'nothing to raise');
SELECT is(settle._end_alerts('shop', 'late', '{R1,R9}', 'has moved on'), 1::bigint, 'ended');
SELECT is((SELECT concat_ws(', ', object, reason, ended_by, ended_at >= first_seen) FROM shop.alert WHERE ended_at IS NOT NULL), 'R1, has moved on, t', 'by itself');
SELECT is(settle._end_alerts('shop', 'late', '{R1}', 'again'), 0::bigint, 'once');
SELECT is(public.raise('late|R1|by two'), 'R1', 'and raised again when it begins again');
SELECT is((SELECT count(*) FROM shop.alert WHERE kind = 'late' AND object = 'R1'), 2::bigint, 'as a row of its own');
SELECT is((SELECT concat_ws(' ', raised, ended) FROM settle._keep_alerts('shop', '{late}', '[{"kind": "late", "object": "R3", "message": "by one"}, {"kind": "late", "object": "R4", "message": "by four"}]', 'is in time')), '{R4} 1', 'what there is, and no other');
SELECT is((SELECT string_agg(concat_ws(' ', object, reason), ', ' ORDER BY object) FROM shop.alert WHERE kind = 'late' AND ended_at IS NOT NULL AND reason = 'is in time'), 'R1 is in time', 'what is not named ends');
SELECT is((SELECT count(*) FROM shop.alert WHERE kind <> 'late' AND ended_at IS NULL), 3::bigint, 'other kinds are left alone');
SELECT is((SELECT concat_ws(' ', raised, ended) FROM settle._keep_alerts('shop', '{late}', NULL, 'is in time')), '{} 2', 'nothing is');
SELECT is((SELECT count(*) FROM shop.alert WHERE kind = 'late' AND ended_at IS NULL), 0::bigint, 'so all end');
SELECT throws_ok($$ INSERT INTO shop.alert (kind, object, message) VALUES ('job', 'run', 'x') $$, '23505', NULL, 'one open row for each kind and object');
SELECT throws_ok($$ INSERT INTO shop.alert (kind, object, message, level) VALUES ('a', 'b', 'x', 'urgent') $$, '23514', NULL, 'three levels there are');

----------------------------------------------------------------------------------------------------
-- Somebody has seen it
----------------------------------------------------------------------------------------------------
SET SESSION AUTHORIZATION alert_clerk;
SELECT settle.acknowledge_alert('shop', 'job', 'run', 'the column comes back at noon') \g /dev/null
SELECT throws_ok($$ SELECT settle.acknowledge_alert('shop', 'job', 'walk', 'seen') $$, 'P0002', 'no alert of kind "job" is open for "walk"', 'one that is not there');
SELECT throws_ok($$ SELECT settle.acknowledge_alert('shop', 'late', 'R1', 'seen') $$, 'P0002', 'no alert of kind "late" is open for "R1"', 'one that is over');
SELECT throws_ok(format('SELECT settle.acknowledge_alert(''shop'', ''job'', ''run'', %L)', r), '22004', 'acknowledging an alert needs a reason', 'without a word') FROM unnest(ARRAY['', ' ', NULL]) AS r;
SET SESSION AUTHORIZATION alert_reader;
SELECT throws_ok($$ SELECT settle.acknowledge_alert('shop', 'job', 'run', 'seen') $$, '42501', NULL, 'not by a reader');
SELECT is((SELECT concat_ws(', ', acknowledged_by, acknowledged_reason, acknowledged_at > first_seen, ended_at) FROM shop.alert WHERE kind = 'job'), 'alert_clerk, the column comes back at noon, t', 'a reader sees who has seen it, and that it is open');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT concat_ws(', ', actor, object, reason) FROM shop.change WHERE table_name = 'alert'), 'alert_clerk, job run, the column comes back at noon', 'it stands in the journal');
SELECT is(public.raise('job|run|22013'), NULL, 'it is still one');
SELECT is((SELECT concat_ws(' ', message, acknowledged_by) FROM shop.alert WHERE kind = 'job'), '22013 alert_clerk', 'that was seen');

----------------------------------------------------------------------------------------------------
-- They end by themselves
----------------------------------------------------------------------------------------------------
-- a step that succeeds again
SELECT settle.work('shop', 'run') \g /dev/null
SELECT is((SELECT concat_ws(', ', reason, ended_by) FROM shop.alert WHERE kind = 'job'), 'it succeeds again', 'a step of settle.tick');
-- figures of others that agree again
SELECT settle.add_rule('shop', 'fee', 'fee', 'hq', 'dealer:1', base => 'amount', tiers => '10%') \g /dev/null
INSERT INTO shop.ticket (ticket_id, done_at, project, region, amount) SELECT 'T' || m, make_timestamptz(2025, m, 15, 12, 0, 0, 'Asia/Shanghai'), 'a', 'b', 1000 FROM generate_series(1, 4) AS m;
SELECT settle.run('shop') \g /dev/null
INSERT INTO shop.external_figure (kind, period, party, unit, amount) SELECT 'erp_invoice', make_date(2025, m, 1), 'dealer:1', 'CNY', 90 FROM generate_series(1, 3) AS m;
SELECT settle.close_period('shop', make_date(2025, m, 1)) FROM generate_series(1, 3) AS m \g /dev/null
SELECT is((SELECT concat_ws(' ', level, object) FROM shop.alert WHERE kind = 'audit' AND ended_at IS NULL), 'critical erp_invoice dealer:1 CNY', 'three months running');
INSERT INTO shop.external_figure (kind, period, party, unit, amount) VALUES ('erp_invoice', '2025-03-01', 'dealer:1', 'CNY', 10);
SELECT is_empty($$ SELECT * FROM settle.audit_differences('shop') $$, 'a third bill comes late');
SELECT is((SELECT reason FROM shop.alert WHERE kind = 'audit'), 'does not differ any more', 'figures of others');
SELECT settle._end_alerts('shop', 'due', '{R2}', 'was never there') \g /dev/null
SELECT is_empty($$ SELECT * FROM settle.check('shop') $$, 'all is well');

----------------------------------------------------------------------------------------------------
-- The step alerts of settle.tick asks what holds now
----------------------------------------------------------------------------------------------------
SELECT settle.create_book('mart') \g /dev/null
SELECT settle.add_rule('mart', 'fee', 'fee', 'hq', 'dealer:1', base => 'amount', tiers => '10%') \g /dev/null
UPDATE mart.book SET max_correction = NULL;
CREATE FUNCTION public.look() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle.work('mart', 'alerts');
    RETURN (SELECT string_agg(concat_ws(' ', kind, object) || ': ' || message, E'\n' ORDER BY kind, object COLLATE "C") FROM mart.alert WHERE ended_at IS NULL AND kind IN ('rule', 'margin', 'quarantine growing', 'job delay'));
END $$;
SELECT is(public.look(), NULL, 'nothing is the matter');
SELECT is((SELECT count(*) FROM mart.job_run WHERE what = 'alerts'), 0::bigint, 'and nothing is noted');
-- a rule whose rate is far off, in a period that is open
SELECT settle.add_rule('mart', 'rush', 'rush', 'hq', 'staff:{worker}', base => 'amount', tiers => '30%', applies_when => 'rush') \g /dev/null
INSERT INTO mart.ticket (ticket_id, done_at, project, region, worker, amount, rush) SELECT m || '-' || i, make_timestamptz(2025, m, 1 + i % 28, 12, 0, 0, 'Asia/Shanghai'), 'a.x', 'b.y', i % 5, 100, i % 10 < CASE m WHEN 9 THEN 4 ELSE 1 END
FROM generate_series(4, 9) AS m CROSS JOIN generate_series(1, 200) AS i;
SELECT settle.run('mart') \g /dev/null
SELECT is(public.look(), 'rule rush 2025-09-01 CNY: applied to 40.00 % of 200 tickets, in 5 periods before to 10.00 %', 'a rate far off');
SELECT is(public.look(), 'rule rush 2025-09-01 CNY: applied to 40.00 % of 200 tickets, in 5 periods before to 10.00 %', 'once');
SELECT is((SELECT figures::text FROM mart.job_run WHERE what = 'alerts'), '{"ended": 0, "raised": 1}', 'that is noted, and noted once');
UPDATE mart.ticket SET rush = (split_part(ticket_id, '-', 2)::integer % 10 = 0);
SELECT settle.run('mart') \g /dev/null
SELECT is(public.look(), NULL, 'corrected it is as ever');
SELECT is((SELECT reason FROM mart.alert WHERE kind = 'rule'), 'holds no more', 'and the alert has ended');
-- a margin under the bound
UPDATE mart.book SET margin_bound = 0.97;
SELECT is(public.look(), (SELECT string_agg(format('margin a b 2025-%s-01 CNY: profit of 17400.00 CNY from a revenue of 20000.00 is less than 97 %%', to_char(m, 'FM00')), E'\n' ORDER BY m) FROM generate_series(4, 9) AS m), 'of cells of the first levels, in periods that are open');
SELECT settle.close_period('mart', '2025-04-01') \g /dev/null
UPDATE mart.book SET alert_tickets = 201;
INSERT INTO mart.ticket (ticket_id, done_at, project, region, worker, amount) VALUES ('one more', '2025-08-05', 'a', 'b', '1', 1);
SELECT settle.run('mart') \g /dev/null
SELECT is(public.look(), 'margin a b 2025-08-01 CNY: profit of 17400.90 CNY from a revenue of 20001.00 is less than 97 %', 'of so many tickets at least');
-- what stands in no region, in no project, in neither: 3 of 4 lose
INSERT INTO mart.ticket (ticket_id, done_at, project, region, worker, amount, cost, rush)
SELECT k || i, '2025-11-05', project::ltree, region::ltree, '1', 10, cost, i % 10 = 0 FROM (VALUES ('p', 'a', '', 11), ('r', '', 'b', 12), ('n', '', '', 13), ('b', 'a', 'b.z', 0)) AS v(k, project, region, cost), generate_series(1, 201) AS i;
SELECT settle.run('mart') \g /dev/null
UPDATE mart.book SET margin_bound = 0;
SELECT is(public.look(), E'margin - - 2025-11-01 CNY: profit of -864.00 CNY from a revenue of 2010.00 is less than 0 %\n'
    'margin - b 2025-11-01 CNY: profit of -663.00 CNY from a revenue of 2010.00 is less than 0 %\nmargin a - 2025-11-01 CNY: profit of -462.00 CNY from a revenue of 2010.00 is less than 0 %', 'what stands in no project or no region is looked at by itself');
UPDATE mart.book SET margin_bound = NULL;
SELECT is(public.look(), NULL, 'where nobody asks');
-- payloads in quarantine
INSERT INTO mart.staging (platform, kind, shop, payload) SELECT 'nobody', 'order', '1', '{"a": 1}' FROM generate_series(1, 100);
SELECT settle.ingest('mart') \g /dev/null
SELECT is(public.look(), 'quarantine growing nobody: 100 payloads were quarantined within a day', 'quarantine that grows');
UPDATE mart.book SET quarantine_limit = 101;
SELECT is(public.look(), NULL, 'or does not');
-- the job: what fails, and a tick that nobody has called
SELECT settle.work('mart', 'seal'), settle.work('mart', 'alerts') \g /dev/null
UPDATE mart.job_step SET succeeded_at = now() - interval '17 minutes' WHERE step IN ('seal', 'alerts');
SELECT to_char(succeeded_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI') AS since FROM mart.job_step WHERE step = 'seal' \gset
SELECT is(public.look(), format(E'job delay seal: has not been done since %1$s\njob delay tick: has not been done since %1$s', :'since'), 'a step, and all of them');
SELECT is(public.look(), format('job delay seal: has not been done since %s', :'since'), 'whoever comes to say so has called it');
SELECT settle.work('mart', 'seal') \g /dev/null
SELECT is(public.look(), NULL, 'it is done again');

----------------------------------------------------------------------------------------------------
-- and whether the cause of what events have raised is gone
----------------------------------------------------------------------------------------------------
CREATE FUNCTION public.left_over() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settle.work('mart', 'alerts');
    RETURN (SELECT string_agg(concat_ws(' ', kind, object), ', ' ORDER BY kind, object) FROM mart.alert WHERE ended_at IS NULL AND kind <> 'mine');
END $$;
SELECT settle.add_party('mart', 'dealer:7', account => '1'), settle.add_party('mart', 'dealer:8', account => '1'), settle.add_party('mart', 'dealer:9', account => '1') \g /dev/null
UPDATE mart.book SET outbox_attempts = 1;
SELECT settle.send('mart', 'erp', 'bill', 'b1', '{}') AS message \gset
SELECT settle.take_outbox('mart', 'erp', 1, '1 minute') \g /dev/null
SELECT settle.fail_outbox('mart', :message, 'no route') \g /dev/null
SELECT is(public.left_over(), 'outbox erp, shared account dealer:7, dealer:8, dealer:9', 'two parties with one account are told as one with the third; a message was given up');
SELECT settle.add_party('mart', 'dealer:9', account => '2') \g /dev/null
SELECT is(public.left_over(), 'outbox erp', 'one has another account');
SELECT settle.retry_outbox('mart', ARRAY[:message]::bigint[]) \g /dev/null
SELECT is(public.left_over(), NULL, 'the message goes again');
SELECT is_empty($$ SELECT * FROM settle.check('mart') $$, 'all is well');
UPDATE mart.job_step SET failures = 1 WHERE step = 'seal';
SELECT is((SELECT string_agg(invariant || ': ' || object, '; ') FROM settle.check('mart')), 'an alert of a step of settle.tick is open while the step fails: seal', 'a step that fails without one is told');

DROP SCHEMA shop, mart CASCADE;
DROP OWNED BY alert_clerk, alert_reader;
DROP ROLE alert_clerk, alert_reader;
SELECT * FROM finish();
