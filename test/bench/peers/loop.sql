-- Peer: settlement row by row in PL/pgSQL, as most teams write it: a loop over
-- tickets, a query for the rules that apply, a function for the tiers, a row
-- of the month's total locked and updated, an INSERT a line.
--
-- CALL bench.settle_by_loop(200, 'bench.ticket') settles the tickets of that
-- table by the rules of bench.rule with rules = 200, into bench.line.

CREATE TABLE bench.month_total (
	worker int,
	period date,
	rule int,
	base numeric NOT NULL,
	PRIMARY KEY (worker, period, rule)
);

CREATE FUNCTION bench.tier_fee(of_rules int, of_rule int, quantity numeric) RETURNS numeric
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	tier record;
	fee numeric := 0;
BEGIN
	FOR tier IN SELECT * FROM bench.tier WHERE rules = of_rules AND rule = of_rule ORDER BY lower LOOP
		EXIT WHEN quantity <= tier.lower;
		fee := fee + (least(quantity, tier.upper) - tier.lower) * tier.rate + tier.flat;
	END LOOP;
	RETURN fee;
END
$$;

CREATE PROCEDURE bench.settle_by_loop(of_rules int, tickets regclass)
LANGUAGE plpgsql
AS $$
DECLARE
	t bench.ticket;
	r bench.rule;
	of_period date;
	factor numeric;
	so_far numeric;
	amount numeric;
BEGIN
	FOR t IN EXECUTE format('SELECT * FROM %s ORDER BY done_at, id', tickets) LOOP
		of_period := date_trunc('month', t.done_at AT TIME ZONE 'Asia/Shanghai');
		FOR r IN
			SELECT * FROM bench.rule
			WHERE rules = of_rules
				AND (project IS NULL OR t.project <@ project)
				AND (projects IS NULL OR t.project = ANY (projects))
				AND (region IS NULL OR t.region <@ region)
				AND (regions IS NULL OR t.region = ANY (regions))
				AND (amount_from IS NULL OR t.amount >= amount_from)
				AND (amount_below IS NULL OR t.amount < amount_below)
				AND (channel IS NULL OR t.channel = channel)
				AND (level IS NULL OR t.level = level)
				AND (rush IS NULL OR t.rush = rush)
				AND (night IS NULL OR t.night = night)
				AND (dealer IS NULL OR t.dealer = dealer)
			ORDER BY rule
		LOOP
			factor := 1;
			IF r.coefficient THEN
				SELECT p.factor INTO factor FROM bench.province AS p WHERE t.region <@ p.region;
			END IF;
			IF r.accumulates THEN
				INSERT INTO bench.month_total VALUES (t.worker, of_period, r.rule, 0) ON CONFLICT DO NOTHING;
				SELECT m.base INTO so_far FROM bench.month_total AS m
				WHERE m.worker = t.worker AND m.period = of_period AND m.rule = r.rule FOR UPDATE;
				amount := round(bench.tier_fee(of_rules, r.rule, so_far + t.amount) * factor, 2)
					- round(bench.tier_fee(of_rules, r.rule, so_far) * factor, 2);
				UPDATE bench.month_total AS m SET base = m.base + t.amount
				WHERE m.worker = t.worker AND m.period = of_period AND m.rule = r.rule;
			ELSE
				amount := round(bench.tier_fee(of_rules, r.rule, t.amount) * factor, 2);
			END IF;
			INSERT INTO bench.line VALUES (t.id, of_period, r.component, r.code, 'hq',
				CASE r.payee WHEN 'staff' THEN 'staff:' || t.worker WHEN 'dealer' THEN 'dealer:' || t.dealer ELSE 'channel:' || t.channel END, t.amount, factor, amount);
		END LOOP;
	END LOOP;
END
$$;
