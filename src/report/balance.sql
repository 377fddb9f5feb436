-- balance: what each party has earned, has been paid and is owed

CREATE FUNCTION settle._create_balance_views(book name, digits integer) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($view$
		CREATE VIEW %1$I.balance_figure AS
			WITH closed AS (
				SELECT coalesce(max(p.period), '-infinity') AS until FROM %1$I.period AS p WHERE p.state = 'closed'
			), stated AS (
				SELECT
					s.party, s.unit, sum(s.earned + s.corrections + s.withheld) AS earned, sum(s.paid) AS paid, sum(s.payable - s.paid) AS due,
					(array_agg(s.held ORDER BY s.period DESC))[1] AS held, (array_agg(s.carried ORDER BY s.period DESC))[1] AS carried
				FROM %1$I.statement AS s
				JOIN closed AS c ON s.period <= c.until
				GROUP BY s.party, s.unit
			), unstated AS (
				SELECT a.party, a.unit, sum(a.received - a.given) AS earned
				FROM (
					SELECT y.party, y.side, d.unit, d.received, d.given
					FROM %1$I.party AS y
					CROSS JOIN closed AS c
					CROSS JOIN LATERAL (
						SELECT x.unit, x.received, x.given FROM %1$I.party_delta AS x WHERE x.party_id = y.party_id AND x.period > c.until OFFSET 0
					) AS d
					UNION ALL
					SELECT y.party, y.side, f.unit, f.received, f.given
					FROM %1$I.fresh_delta AS f
					JOIN closed AS c ON f.period > c.until
					JOIN %1$I.party AS y ON y.party_id = f.party_id
				) AS a
				WHERE a.side IN ('outside', 'tax')
				GROUP BY a.party, a.unit
			)
			SELECT
				party, unit, coalesce(s.earned, 0) + coalesce(u.earned, 0) AS earned, coalesce(s.paid, 0) AS paid,
				coalesce(s.due, 0) AS due, coalesce(s.held, 0) AS held, coalesce(s.carried, 0) AS carried, coalesce(u.earned, 0) AS unstated
			FROM stated AS s FULL JOIN unstated AS u USING (party, unit);
		COMMENT ON VIEW %1$I.balance_figure IS 'one row an outside or tax party and unit, with all digits: what it has earned and been paid, and where the rest is; party_balance shows it';

		CREATE VIEW %1$I.party_balance AS
			SELECT
				p.party, p.title, p.side, b.unit,
				b.earned::numeric(18,%2$s) AS earned, b.paid::numeric(18,%2$s) AS paid, (b.earned - b.paid)::numeric(18,%2$s) AS owed,
				b.due::numeric(18,%2$s) AS due, b.held::numeric(18,%2$s) AS held, b.carried::numeric(18,%2$s) AS carried, b.unstated::numeric(18,%2$s) AS unstated
			FROM %1$I.balance_figure AS b
			JOIN %1$I.party AS p ON p.party = b.party;
		COMMENT ON VIEW %1$I.party_balance IS 'one row an outside or tax party and unit: earned, paid and owed since the book began; owed = due + held + carried + unstated, each of them rounded by itself where a unit has more digits';
		COMMENT ON COLUMN %1$I.balance_figure.earned IS 'received less given by all lines';
		COMMENT ON COLUMN %1$I.balance_figure.paid IS 'paid by statements';
		COMMENT ON COLUMN %1$I.balance_figure.due IS 'payable by statements of closed periods that are not paid yet';
		COMMENT ON COLUMN %1$I.balance_figure.held IS 'in dispute in its last statement';
		COMMENT ON COLUMN %1$I.balance_figure.carried IS 'what its last statement leaves to the next one: a negative balance, or less than a minor unit';
		COMMENT ON COLUMN %1$I.balance_figure.unstated IS 'of periods that are not closed, so in no statement yet';
		COMMENT ON COLUMN %1$I.party_balance.side IS 'outside or tax';
		COMMENT ON COLUMN %1$I.party_balance.earned IS 'received less given by all lines';
		COMMENT ON COLUMN %1$I.party_balance.paid IS 'paid by statements';
		COMMENT ON COLUMN %1$I.party_balance.owed IS 'earned less paid; negative where the party owes';
		COMMENT ON COLUMN %1$I.party_balance.due IS 'payable by statements of closed periods that are not paid yet';
		COMMENT ON COLUMN %1$I.party_balance.held IS 'in dispute in its last statement';
		COMMENT ON COLUMN %1$I.party_balance.carried IS 'what its last statement leaves to the next one: a negative balance, or less than a minor unit';
		COMMENT ON COLUMN %1$I.party_balance.unstated IS 'of periods that are not closed, so in no statement yet';
	$view$, book, digits);
END
$function$;
COMMENT ON FUNCTION settle._create_balance_views(name, integer) IS 'makes the views of what parties are owed in a book; amounts show so many decimal places';
