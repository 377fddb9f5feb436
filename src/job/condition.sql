-- condition: alerts of what a query tells, and the end of those whose cause is gone

CREATE FUNCTION settle._alert_conditions(book regnamespace) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET jit = off
AS $function$
DECLARE
	conditions jsonb;
BEGIN
	EXECUTE format($sql$
		WITH closed AS (
			SELECT coalesce(max(p.period), '-infinity') AS until FROM %1$s.period AS p WHERE p.state = 'closed'
		), first_level AS (
			-- cells of the first levels, and what is left of all: what stands in no project or no region, as in a book that maps none
			SELECT
				CASE WHEN p.level = 1 THEN m.project ELSE '-' END AS project, CASE WHEN r.level = 1 THEN m.region ELSE '-' END AS region, m.period, m.currency,
				sum(s.sign * m.tickets) AS tickets, sum(s.sign * m.revenue) AS revenue, sum(s.sign * m.profit) AS profit
			FROM %1$s.revenue_matrix AS m
			CROSS JOIN closed AS c
			CROSS JOIN LATERAL generate_series(0, m.project_level) AS p (level)
			CROSS JOIN LATERAL generate_series(0, m.region_level) AS r (level)
			CROSS JOIN LATERAL (SELECT CASE m.project_level - p.level + m.region_level - r.level WHEN 1 THEN -1 ELSE 1 END) AS s (sign)
			WHERE m.project_level <= 1 AND m.region_level <= 1 AND m.period > c.until
			GROUP BY 1, 2, m.period, m.currency
		), condition AS (
			SELECT 'rule' AS kind, concat_ws(' ', a.rule_code, a.period, a.unit) AS object,
				format('applied to %%s %%%% of %%s tickets, in %%s periods before to %%s %%%%', round(100 * a.rate, 2), a.tickets, a.former_periods, round(100 * a.former_rate, 2)) AS message
			FROM %1$s.rule_activity AS a CROSS JOIN closed AS c
			WHERE a.is_off AND a.period > c.until
			UNION ALL
			SELECT 'margin', concat_ws(' ', m.project, m.region, m.period, m.currency),
				format('profit of %%s %%s from a revenue of %%s is less than %%s %%%%', m.profit, m.currency, m.revenue, trim_scale(100 * b.margin_bound))
			FROM first_level AS m CROSS JOIN %1$s.book AS b
			WHERE m.tickets >= b.alert_tickets AND m.profit < m.revenue * b.margin_bound
			UNION ALL
			SELECT 'quarantine growing', s.platform, format('%%s payloads were quarantined within a day', count(*))
			FROM %1$s.staging AS s CROSS JOIN %1$s.book AS b
			WHERE s.state = 'quarantined' AND s.received_at > now() - interval '1 day'
			GROUP BY s.platform, b.quarantine_limit
			HAVING count(*) >= b.quarantine_limit
			UNION ALL
			-- this step is the last of the tick: when it was done last, all was
			SELECT 'job delay', CASE j.step WHEN 'alerts' THEN 'tick' ELSE j.step END, format('has not been done since %%s', to_char(j.last_success AT TIME ZONE b.time_zone, 'YYYY-MM-DD HH24:MI'))
			FROM %1$s.job AS j CROSS JOIN %1$s.book AS b
			WHERE j.last_success IS NOT NULL AND j.delay > b.job_delay
		)
		SELECT jsonb_agg(jsonb_build_object('kind', n.kind, 'object', n.object, 'message', n.message) ORDER BY n.kind, n.object) FROM condition AS n
	$sql$, book) INTO conditions;
	RETURN conditions;
END
$function$;
COMMENT ON FUNCTION settle._alert_conditions(regnamespace) IS 'what there is to alert of in rules, margins, quarantine and job, as _raise_alerts takes it';

/*
 * What raises these alerts is an event, and nothing tells when its cause is
 * gone.  So that is asked while one is open, which most of the time none is.
 */
CREATE FUNCTION settle._end_solved_alerts(book regnamespace) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	ended bigint;
BEGIN
	EXECUTE format($sql$
		SELECT coalesce(sum(settle._end_alerts($1, o.kind, o.objects, o.reason)), 0)
		FROM (
			SELECT a.kind, array_agg(a.object) AS objects, CASE a.kind
				WHEN 'outbox' THEN 'no message of it is dead any more'
				WHEN 'quarantine' THEN 'none of its payloads without a body is quarantined any more'
				WHEN 'shared account' THEN 'they are paid to one account no more'
				ELSE 'nothing is held any more' END AS reason
			FROM %1$s.alert AS a
			WHERE a.ended_at IS NULL AND CASE a.kind
				WHEN 'outbox' THEN NOT EXISTS (SELECT FROM %1$s.outbox AS x WHERE x.platform = a.object AND x.state = 'dead')
				WHEN 'quarantine' THEN NOT EXISTS (SELECT FROM %1$s.staging AS x WHERE x.platform = a.object AND x.state = 'quarantined' AND x.payload IS NULL AND x.raw IS NULL)
				WHEN 'shared account' THEN NOT EXISTS (SELECT FROM %1$s.party AS x WHERE x.account IS NOT NULL
					GROUP BY x.account HAVING string_agg(x.party, ', ' ORDER BY x.party COLLATE "C") = a.object)
				WHEN 'max_correction' THEN NOT EXISTS (SELECT FROM %1$s.held AS x WHERE x.release_id IS NULL)
				ELSE false END
			GROUP BY a.kind
		) AS o
	$sql$, book) INTO ended USING book;
	RETURN ended;
END
$function$;
COMMENT ON FUNCTION settle._end_solved_alerts(regnamespace) IS 'ends alerts that events have raised and whose cause is gone; returns how many';

CREATE FUNCTION settle._tick_alerts(book regnamespace) RETURNS jsonb
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	conditions jsonb := settle._alert_conditions(book);
	solved bigint := settle._end_solved_alerts(book);
	kept record;
BEGIN
	kept := settle._keep_alerts(book, '{rule,margin,quarantine growing,job delay}'::text[], conditions, 'holds no more');
	RETURN CASE WHEN cardinality(kept.raised) + kept.ended + solved > 0
		THEN jsonb_build_object('raised', cardinality(kept.raised), 'ended', kept.ended + solved) END;
END
$function$;
COMMENT ON FUNCTION settle._tick_alerts(regnamespace) IS 'step of settle.tick: has an alert open for each rule, margin, quarantine or step that is off, and for no other, and ends those whose cause is gone';
