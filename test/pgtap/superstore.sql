-- A company's own table, 9,994 order lines of a retail chain, settled where it
-- stands: every figure known beforehand, five ways to settle, one result.
--
-- The file superstore.csv is looked for in the folder that the psql variable
-- data or the environment variable SETTLE_DATA names, else in ../shared/data;
-- without it the test is skipped.

\set ON_ERROR_STOP on
\if :{?data} \else
	\getenv data SETTLE_DATA
	\if :{?data} \else \set data ../shared/data \endif
\endif
\set file :data/superstore.csv
\setenv SETTLE_SUPERSTORE :file
\set there `test -r "$SETTLE_SUPERSTORE" && echo true || echo false`
\if :there \else
	\echo 1..0 # SKIP no file :file (set SETTLE_DATA to the folder that has it)
	\quit
\endif

SET client_min_messages = warning;
SET timezone = 'Asia/Tokyo';			-- any zone but the book's
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
CREATE EXTENSION IF NOT EXISTS pgtap;
\ir ../oracle/oracle.sql

CREATE SCHEMA shop;
CREATE TABLE shop.order_line (
	row_id int PRIMARY KEY,
	order_id text,
	order_date date,
	ship_date date,
	ship_mode text,
	customer_id text,
	segment text,
	state text,
	city text,
	region text,
	product_id text,
	category text,
	sub_category text,
	sales numeric,
	quantity int,
	discount numeric,
	profit numeric
);
\set copy '\\copy shop.order_line FROM ' :'file' ' WITH (FORMAT csv, HEADER)'
:copy

-- The book of the page over one such table.
CREATE PROCEDURE shop.make_book(book text, relation regclass, settle_on text DEFAULT 'schedule')
LANGUAGE plpgsql
AS $$
DECLARE
	-- lower case, everything but letters and digits as _
	label CONSTANT text := $label$translate(lower(%s), ' -&/.,''()', '_________')$label$;
	staff CONSTANT text := 'staff:{lower(region)}';
BEGIN
	PERFORM settle.create_book(book::name, time_zone => 'UTC', currency => 'USD', settle_on => settle_on);
	PERFORM settle.add_source(book::regnamespace, 'order_line', relation,
		key => 'row_id::text',
		ready_at => 'ship_date::timestamptz',
		project => format('text2ltree(%s || ''.'' || %s)', format(label, 'category'), format(label, 'sub_category')),
		region => format('text2ltree(''us.'' || %s || ''.'' || %s)', format(label, 'region'), format(label, 'state')),
		revenue => 'sales',
		cost => 'sales - profit',
		on_delete => 'reverse');

	PERFORM settle.add_decision(book::regnamespace, 'region', 'unique');
	PERFORM settle.add_outcome(book::regnamespace, 'region', format('region = %L', o.region), o.factor, source => 'order_line')
	FROM (VALUES ('West', jsonb '1.2'), ('East', '1.1'), ('Central', '1.0'), ('South', '0.9')) AS o (region, factor);

	PERFORM settle.add_rule(book::regnamespace, 'commission', 'commission', 'hq', staff,
		base => 'sales', tiers => 'graduated 3% to 20000, 5% to 50000, 8%', accumulate => 'month', factors => '{region}',
		source => 'order_line');
	PERFORM settle.add_rule(book::regnamespace, 'rush', 'rush', 'hq', staff,
		base => 'sales', tiers => '1%', applies_when => $rule$ship_mode = 'Same Day'$rule$, source => 'order_line');
	PERFORM settle.add_rule(book::regnamespace, 'loss_share', 'loss_share', 'hq', staff,
		base => 'profit', tiers => '10%', applies_when => 'profit < 0', source => 'order_line');
	PERFORM settle.add_rule(book::regnamespace, 'intake', 'intake', 'customer', 'escrow',
		base => 'sales', source => 'order_line');
	PERFORM settle.add_rule(book::regnamespace, 'channel_fee', 'channel_fee', 'escrow', 'hq',
		base => 'sales', tiers => '15%', source => 'order_line');
	PERFORM settle.add_rule(book::regnamespace, 'vat', 'vat', 'escrow', 'tax:vat',
		base => 'sales', tiers => '6%', source => 'order_line');
	PERFORM settle.add_rule(book::regnamespace, 'dealer_share', 'dealer_share', 'escrow',
		$rule$dealer:{translate(lower(state), ' .', '_')}$rule$, remainder => true, source => 'order_line');
END
$$;

----------------------------------------------------------------------------------------------------
-- Five ways.
----------------------------------------------------------------------------------------------------

-- One run over a table that was full before the book knew it.
CALL shop.make_book('superstore_once', 'shop.order_line');
SELECT settle.rescan('superstore_once') \g /dev/null
SELECT settle.run('superstore_once') \g /dev/null

-- Runs of 1,000 over lines that came after.
CREATE TABLE shop.line_by_thousands (LIKE shop.order_line INCLUDING ALL);
CALL shop.make_book('superstore_by_thousands', 'shop.line_by_thousands');
INSERT INTO shop.line_by_thousands SELECT * FROM shop.order_line ORDER BY row_id;
CREATE PROCEDURE shop.run_by(book regnamespace, tickets int)
LANGUAGE plpgsql
AS $$
BEGIN
	LOOP
		EXIT WHEN (SELECT r.tickets FROM settle.run(book, run_by.tickets) AS r) = 0;
		COMMIT;
	END LOOP;
END
$$;
CALL shop.run_by('superstore_by_thousands', 1000);

-- One ticket at a time: a line comes, a run settles it.
CREATE TABLE shop.line_one_by_one (LIKE shop.order_line INCLUDING ALL);
CALL shop.make_book('superstore_one_by_one', 'shop.line_one_by_one');
DO $$
DECLARE
	o shop.order_line;
BEGIN
	FOR o IN SELECT * FROM shop.order_line ORDER BY row_id LOOP
		INSERT INTO shop.line_one_by_one SELECT o.*;
		PERFORM settle.run('superstore_one_by_one', 1);
		COMMIT;
	END LOOP;
END
$$;

-- In shuffled order: whatever the calendar says, each run meets lines of all four years.
CREATE TABLE shop.line_shuffled (LIKE shop.order_line INCLUDING ALL);
CALL shop.make_book('superstore_shuffled', 'shop.line_shuffled');
DO $$
BEGIN
	FOR part IN 0 .. 22 LOOP
		INSERT INTO shop.line_shuffled
		SELECT * FROM shop.order_line WHERE abs(hashint4(row_id)) % 23 = part ORDER BY md5(row_id::text);
		PERFORM settle.run('superstore_shuffled', 300);
		COMMIT;
	END LOOP;
END
$$;
CALL shop.run_by('superstore_shuffled', 77);

-- Inside the inserting transaction: lines of several sizes of transaction, one line in each tenth; no run is ever called.
CREATE TABLE shop.line_at_commit (LIKE shop.order_line INCLUDING ALL);
CALL shop.make_book('superstore_at_commit', 'shop.line_at_commit', 'commit');
DO $$
DECLARE
	first int := 1;
	size int;
BEGIN
	WHILE first <= 9994 LOOP
		size := CASE first % 10 WHEN 0 THEN 1 ELSE 1 + first % 37 END;
		INSERT INTO shop.line_at_commit
		SELECT * FROM shop.order_line WHERE row_id >= first AND row_id < first + size ORDER BY row_id;
		IF first % 7 = 0 THEN
			ROLLBACK;		-- what is rolled back is not settled; it comes again
			INSERT INTO shop.line_at_commit
			SELECT * FROM shop.order_line WHERE row_id >= first AND row_id < first + size ORDER BY row_id DESC;
		END IF;
		COMMIT;
		first := first + size;
	END LOOP;
END
$$;

----------------------------------------------------------------------------------------------------
-- What must come out.
----------------------------------------------------------------------------------------------------

CREATE TABLE shop.way (way text PRIMARY KEY, relation regclass);
INSERT INTO shop.way VALUES
	('once', 'shop.order_line'), ('by_thousands', 'shop.line_by_thousands'), ('one_by_one', 'shop.line_one_by_one'),
	('shuffled', 'shop.line_shuffled'), ('at_commit', 'shop.line_at_commit');
CREATE TABLE shop.line (
	way text, ticket_key text, month text, component text, payer text, payee text, amount numeric, project text, region text
);
CREATE TABLE shop.cell (way text, project text, region ltree, month text);
SELECT format($query$
	INSERT INTO shop.line
	SELECT %1$L, ticket_key, left(period::text, 7), component, payer, payee, amount, project::text, region::text
	FROM superstore_%1$s.line_detail;
	INSERT INTO shop.cell
	SELECT %1$L, project, region::ltree, left(period::text, 7) FROM superstore_%1$s.revenue_matrix WHERE project_level = 2 AND region_level = 2;
	$query$, way) FROM shop.way \gexec
ANALYZE shop.line;

-- The commissions once more, from the rows of the file.
INSERT INTO oracle.setting VALUES ('UTC');
INSERT INTO oracle.ticket
SELECT o.row_id::text, o.ship_date::timestamp AT TIME ZONE 'UTC', to_jsonb(o) || jsonb_build_object('staff', lower(o.region))
FROM shop.order_line AS o;
INSERT INTO oracle.rule (rule, code, component, payee_kind, payee_key, base, decisions, accumulates)
VALUES (1, 'commission', 'commission', 'staff', 'staff', 'sales', '{region}', true);
INSERT INTO oracle.tier (rule, step, upper, rate) VALUES (1, 1, 20000, 0.03), (1, 2, 50000, 0.05), (1, 3, NULL, 0.08);
INSERT INTO oracle.outcome VALUES
	('region', 1, 'region', 'is', 'West', 1.2), ('region', 2, 'region', 'is', 'East', 1.1),
	('region', 3, 'region', 'is', 'Central', 1.0), ('region', 4, 'region', 'is', 'South', 0.9);
REFRESH MATERIALIZED VIEW oracle.hit;
CREATE TABLE shop.tally AS SELECT payee, month, amount FROM oracle.tally;

CREATE FUNCTION shop.judge(way text) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
	book CONSTANT text := 'superstore_' || way;
BEGIN
	RETURN NEXT results_eq(
		format('SELECT component, sum(amount) FROM shop.line WHERE way = %L GROUP BY component ORDER BY component', way),
		$want$VALUES ('channel_fee', 344583.51), ('commission', 79476.69), ('dealer_share', 1814782.85), ('intake', 2297201.07),
			('loss_share', -15613.24), ('rush', 1283.53), ('vat', 137834.71)$want$,
		way || ': the totals of the seven components');
	RETURN NEXT is((SELECT count(*) FROM shop.line AS l WHERE l.way = judge.way AND l.amount <> 0), 52384::bigint,
		way || ': 52,384 lines that are not zero');
	RETURN NEXT is((SELECT count(DISTINCT (l.payee, l.month)) FROM shop.line AS l
			WHERE l.way = judge.way AND l.component = 'commission'), 196::bigint,
		way || ': 196 monthly commission tallies');
	RETURN NEXT is((SELECT count(*) FROM shop.cell AS c WHERE c.way = judge.way), 2545::bigint,
		way || ': 2,545 cells project x region x month');
	RETURN NEXT results_eq(
		format($query$SELECT component, payee, month, sum(amount) FROM shop.line
			WHERE way = %L AND (component, payee, month) IN (('commission', 'staff:west', '2018-11'),
				('commission', 'staff:south', '2019-12'), ('dealer_share', 'dealer:california', '2019-09'))
			GROUP BY component, payee, month ORDER BY component, payee$query$, way),
		$want$VALUES ('commission', 'staff:south', '2019-12', 441.79), ('commission', 'staff:west', '2018-11', 1123.16),
			('dealer_share', 'dealer:california', '2019-09', 15195.73)$want$,
		way || ': two commissions and a dealer share');
	RETURN NEXT results_eq(
		format($query$SELECT payee, month, sum(amount) FROM shop.line WHERE way = %L AND component = 'commission'
			GROUP BY payee, month ORDER BY payee COLLATE "C", month$query$, way),
		'SELECT payee, month, amount FROM shop.tally ORDER BY payee COLLATE "C", month',
		way || ': each commission tally is what the oracle says');
	RETURN NEXT results_eq(
		format($query$SELECT count(*), count(*) FILTER (WHERE left_over <> 0) FROM (
				SELECT sum(CASE 'escrow' WHEN payee THEN amount WHEN payer THEN -amount END) AS left_over
				FROM shop.line WHERE way = %L AND 'escrow' IN (payer, payee) GROUP BY ticket_key) AS t$query$, way),
		'VALUES (9994::bigint, 0::bigint)',
		way || ': escrow is empty on every ticket');
	RETURN NEXT is_empty(
		format($query$
			(SELECT ticket_key, component, payer, payee, month, amount FROM shop.line WHERE way = %1$L AND component <> 'commission'
			EXCEPT ALL
			SELECT ticket_key, component, payer, payee, month, amount FROM shop.line WHERE way = 'once' AND component <> 'commission')
			UNION ALL
			(SELECT ticket_key, component, payer, payee, month, amount FROM shop.line WHERE way = 'once' AND component <> 'commission'
			EXCEPT ALL
			SELECT ticket_key, component, payer, payee, month, amount FROM shop.line WHERE way = %1$L AND component <> 'commission')
			LIMIT 20$query$, way),
		way || ': every ordinary line is the same as in one run');
	RETURN NEXT is_empty(
		format($query$SELECT l.ticket_key, l.project, l.region FROM shop.line AS l
			JOIN shop.order_line AS o ON o.row_id::text = l.ticket_key
			WHERE way = %L AND (l.project, l.region) IS DISTINCT FROM (
				regexp_replace(lower(o.category), '[^a-z0-9]', '_', 'g') || '.' || regexp_replace(lower(o.sub_category), '[^a-z0-9]', '_', 'g'),
				'us.' || lower(o.region) || '.' || regexp_replace(lower(o.state), '[^a-z0-9]', '_', 'g'))
			LIMIT 20$query$, way),
		way || ': project and region are clean labels');
	RETURN NEXT is_empty(format('SELECT * FROM %I.problem LIMIT 20', book), way || ': no problem');
	RETURN NEXT is_empty(format('SELECT * FROM %I.unpaid LIMIT 20', book), way || ': nothing unpaid');
	RETURN NEXT is_empty(format('SELECT * FROM settle.check(%L)', book), way || ': settle.check finds nothing');
END
$$;

SELECT plan(60);
SELECT shop.judge(way) FROM shop.way ORDER BY way <> 'once', way;
SELECT * FROM finish();

SELECT format('DROP SCHEMA superstore_%s CASCADE', way) FROM shop.way \gexec
DROP SCHEMA shop CASCADE;
DROP SCHEMA oracle CASCADE;
