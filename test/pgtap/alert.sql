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
SELECT is((SELECT string_agg(object, ' ') FROM settle._keep_alerts('shop', '{late}', '[{"kind": "late", "object": "R3", "message": "by one"}, {"kind": "late", "object": "R4", "message": "by four"}]', 'is in time')), 'R4', 'what there is, and no other');
SELECT is((SELECT string_agg(concat_ws(' ', object, reason), ', ' ORDER BY object) FROM shop.alert WHERE kind = 'late' AND ended_at IS NOT NULL AND reason = 'is in time'), 'R1 is in time', 'what is not named ends');
SELECT is((SELECT count(*) FROM shop.alert WHERE kind <> 'late' AND ended_at IS NULL), 3::bigint, 'other kinds are left alone');
SELECT is((SELECT count(*) FROM settle._keep_alerts('shop', '{late}', NULL, 'is in time')), 0::bigint, 'nothing is');
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

DROP SCHEMA shop CASCADE;
DROP OWNED BY alert_clerk, alert_reader;
DROP ROLE alert_clerk, alert_reader;
SELECT * FROM finish();
