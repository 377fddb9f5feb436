-- A book over a table of tickets with one of the rule sets of bench.rule, said in the book's words.

-- The conditions of a rule as one SQL expression over the ticket.
CREATE FUNCTION bench.expression(r bench.rule) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN coalesce(nullif(concat_ws(' AND ',
	'project <@ ' || quote_literal(r.project::text),
	'project IN (' || (SELECT string_agg(quote_literal(p::text), ', ') FROM unnest(r.projects) AS p) || ')',
	'region <@ ' || quote_literal(r.region::text),
	'region IN (' || (SELECT string_agg(quote_literal(p::text), ', ') FROM unnest(r.regions) AS p) || ')',
	'amount >= ' || r.amount_from,
	'amount < ' || r.amount_below,
	'channel = ' || quote_literal(r.channel),
	'level = ' || quote_literal(r.level),
	CASE r.rush WHEN true THEN 'rush' WHEN false THEN 'NOT rush' END,
	CASE r.night WHEN true THEN 'night' WHEN false THEN 'NOT night' END,
	'dealer = ' || r.dealer), ''), 'true');

-- The tiers of a rule as text: '3% to 20000, 5% to 50000, 8%'.
CREATE FUNCTION bench.tiers_text(r bench.rule) RETURNS text
LANGUAGE sql STABLE
RETURN (
	SELECT string_agg(
		concat_ws(' + ', CASE WHEN t.rate > 0 THEN trim_scale(t.rate * 100) || '%' END, CASE WHEN t.flat > 0 THEN trim_scale(t.flat) || ' flat' END)
			|| coalesce(' to ' || t.upper, ''), ', ' ORDER BY t.lower)
	FROM bench.tier AS t WHERE t.rules = r.rules AND t.rule = r.rule
);

-- The rules go into the book's table in one statement, as a large rule set is
-- loaded: every statement on it compiles all rules of the book.
CREATE PROCEDURE bench.make_book(book text, size int, tickets text DEFAULT 'bench.ticket')
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM settle.create_book(book::name, time_zone => 'Asia/Shanghai', currency => 'CNY');
	PERFORM settle.add_source(book::regnamespace, 'visit', tickets::regclass, key => 'id', ready_at => 'done_at',
		project => 'project', region => 'region', revenue => 'amount', cost => 'cost');
	PERFORM settle.add_decision(book::regnamespace, 'coefficient', 'first', fallback => '1');
	PERFORM settle.add_outcome(book::regnamespace, 'coefficient', format('region <@ %L', p.region::text), to_jsonb(p.factor), source => 'visit')
	FROM bench.province AS p ORDER BY p.n;
	EXECUTE format($insert$
		INSERT INTO %I.rule (code, component, source, payer, payee, base, applies_when, tiers, factors, accumulate)
		SELECT r.code, r.component, 'visit', 'hq',
			CASE r.payee WHEN 'staff' THEN 'staff:{worker}' WHEN 'dealer' THEN 'dealer:{dealer}' ELSE 'channel:{channel}' END,
			'amount', bench.expression(r), bench.tiers_text(r)::settle.tiers,
			CASE WHEN r.coefficient THEN '{coefficient}'::text[] ELSE '{}' END,
			CASE WHEN r.accumulates THEN 'month' END
		FROM bench.rule AS r WHERE r.rules = $1 ORDER BY r.rule$insert$, book)
	USING size;
END
$$;

-- Removes a book, and from its tickets what queued them for it.
CREATE PROCEDURE bench.drop_book(book text)
LANGUAGE plpgsql
AS $$
DECLARE
	capture record;
BEGIN
	FOR capture IN SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger AS t 
		WHERE t.tgname IN ('settle_' || book || '_visit', 'settle_' || book || '_visit_all')
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', capture.tgname, capture.relation);
	END LOOP;
	EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', book);
END
$$;
