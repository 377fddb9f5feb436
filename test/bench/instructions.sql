-- The hot paths that make bench-instructions counts, on input that is the same everywhere.
--
-- Each is one row of bench.path: the statement is executed once to warm up, then
-- counted, with its commit; before either, ready is executed.  With times, it is
-- executed and committed so often, as clients do.

CREATE SCHEMA bench;

CREATE TABLE bench.path (
	n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	path text NOT NULL UNIQUE,
	units int NOT NULL,				-- what is counted is divided by
	unit text NOT NULL,
	statement text NOT NULL,
	ready text,
	times int NOT NULL DEFAULT 1
);

CREATE FUNCTION bench.count_begin() RETURNS void AS :'counter', 'count_begin' LANGUAGE C;
CREATE FUNCTION bench.count_end(title text) RETURNS void AS :'counter', 'count_end' LANGUAGE C STRICT;

CREATE PROCEDURE bench.count(place int)
LANGUAGE plpgsql
AS $$
DECLARE
	counted bench.path;
BEGIN
	SELECT * INTO STRICT counted FROM bench.path AS p WHERE p.n = place;
	FOR warm IN REVERSE 1..0 LOOP
		IF counted.ready IS NOT NULL THEN
			EXECUTE counted.ready;
			COMMIT;
		END IF;
		IF warm = 0 THEN
			PERFORM bench.count_begin();
		END IF;
		FOR i IN 1..counted.times LOOP
			EXECUTE counted.statement;
			COMMIT;
		END LOOP;
	END LOOP;
	PERFORM bench.count_end(format('%s|%s|%s', counted.path, counted.units, counted.unit));
END
$$;

-- 2,000 tickets, 1,000 projects in 50 families, 300 sites in 30 provinces
CREATE SEQUENCE bench.number;
CREATE FUNCTION bench.draw(id bigint, purpose int, below int) RETURNS int
LANGUAGE sql IMMUTABLE
RETURN ((hashint8extended(id, purpose) & 9223372036854775807) % below)::int;
CREATE TABLE bench.ticket (
	id bigint PRIMARY KEY,
	done_at timestamptz NOT NULL,
	project ltree NOT NULL,
	region ltree NOT NULL,
	worker int NOT NULL,
	dealer int NOT NULL,
	amount numeric(10, 2) NOT NULL,
	rush boolean NOT NULL
);
CREATE PROCEDURE bench.add_tickets(n int)
LANGUAGE sql
AS $$
	INSERT INTO bench.ticket
	SELECT id, timestamptz '2025-11-01 00:00+08' + id * interval '1 minute',
		text2ltree('kind.family' || bench.draw(id, 1, 1000) / 20 || '.model' || bench.draw(id, 1, 1000)),
		text2ltree('cn.province' || bench.draw(id, 2, 300) / 10 || '.site' || bench.draw(id, 2, 300)),
		bench.draw(id, 3, 200), bench.draw(id, 4, 50), (2000 + bench.draw(id, 5, 98000)) * 0.01, bench.draw(id, 6, 4) = 0
	FROM (SELECT nextval('bench.number') AS id FROM generate_series(1, n)) AS t
$$;
CALL bench.add_tickets(2000);
VACUUM (ANALYZE, FREEZE) bench.ticket;

-- A book over them: a commission that accumulates by month, the others by project,
-- amount and place; about three apply to a ticket.
CREATE PROCEDURE bench.make_book(book text, rules int)
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM settle.create_book(book::name);
	EXECUTE format('UPDATE %I.book SET max_correction = NULL', book);
	PERFORM settle.add_choice(book::regnamespace, 'service', 'all');
	PERFORM settle.add_source(book::regnamespace, 'visit', 'bench.ticket', key => 'id', ready_at => 'done_at',
		project => 'project', region => 'region', revenue => 'amount');
	EXECUTE format($insert$
		INSERT INTO %I.rule (code, component, source, payer, payee, base, applies_when, tiers, accumulate)
		SELECT r.code, split_part(r.code, '_', 1), 'visit', 'hq', r.payee, 'amount', r.applies_when, r.tiers::settle.tiers, r.accumulate
		FROM (VALUES ('commission', 'staff:{worker}', 'true', '3%% to 2000, 5%% to 5000, 8%%', 'month')) AS r (code, payee, applies_when, tiers, accumulate)
		UNION ALL
		SELECT 'service_' || i, 'service', 'visit', 'hq', 'staff:{worker}', 'amount', CASE i %% 3
			WHEN 0 THEN format('project <@ %%L AND amount >= %%s', 'kind.family' || i * 7 %% 50, i * 1000 / $1)
			WHEN 1 THEN format('project IN (%%L, %%L) AND NOT rush', 'kind.family' || i %% 50 || '.model' || i %% 50 * 20, 'kind.family' || i * 3 %% 50 || '.model' || i * 3 %% 50 * 20 + 1)
			ELSE format('amount >= %%s AND amount < %%s AND region <@ %%L', i * 1000 / $1, (i + 3) * 1000 / $1, 'cn.province' || i %% 30) END,
			CASE i %% 4 WHEN 0 THEN '6%% to 500, 4%%' WHEN 1 THEN '8 flat' ELSE '5%%' END::settle.tiers, NULL
		FROM generate_series(1, $1 / 2) AS i
		UNION ALL
		SELECT 'area_' || i, 'area', 'visit', 'hq', 'dealer:{dealer}', 'amount',
			format('region <@ %%L AND dealer = %%s', 'cn.province' || i %% 30, i / 30 %% 50), '2%%', NULL
		FROM generate_series(1, $1 - $1 / 2 - 1) AS i$insert$, book) USING rules;
END
$$;
CALL bench.make_book('bench_20', 20);
CALL bench.make_book('bench_200', 200);
CALL bench.make_book('bench_2000', 2000);

INSERT INTO bench.path (path, units, unit, statement)
SELECT 'match and price under ' || n || ' rules', 2000, 'ticket', format('SELECT settle._bench_evaluate(%L, %L)', 'bench_' || n, 'visit')
FROM unnest(ARRAY[20, 200, 2000]) AS n;

-- Tiers, amounts and the matrix, over the same tickets.
CREATE AGGREGATE bench.matrix_state(project ltree, region ltree, period date, revenue numeric, cost numeric) (
	SFUNC = settle._matrix_step, STYPE = settle.matrix
);
CREATE TABLE bench.value AS
SELECT id, project, region, done_at::date AS period, amount, round(amount * 0.6, 2) AS cost,
	format('%s%% to %s, %s%% + 2 flat to %s, 8%%', id % 7 + 1, id % 500 + 100, id % 9 + 1, id % 500 + 1000) AS tiers
FROM bench.ticket ORDER BY id;
CREATE TABLE bench.matrix AS SELECT settle.revenue_matrix(project, region, period, amount, cost) AS matrix FROM bench.value;
VACUUM (ANALYZE, FREEZE) bench.value;

INSERT INTO bench.path (path, units, unit, statement)
SELECT v.path, CASE v.n WHEN 1 THEN 1800 ELSE 2000 END, v.unit, replace(v.statement, 'SCALE', $$settle.tiers '3% to 200, 5% to 500, 8%'$$) FROM (VALUES
	(1, 'settle.fee', 'row', 'SELECT sum(settle.fee(SCALE, amount)) FROM bench.value WHERE id <= 1800'),
	(1, 'slower: settle.fee', 'row', 'SELECT sum(settle.fee(SCALE, amount)) FROM bench.value WHERE id <= 1980'),
	(2, 'settle.tiered_fee of all rows', 'row', 'SELECT settle.tiered_fee(amount, SCALE) FROM bench.value'),
	(3, 'settle.tiered_fee of groups of one row', 'row', 'SELECT count(f) FROM (SELECT settle.tiered_fee(amount, SCALE) AS f FROM bench.value GROUP BY id) AS g'),
	(4, 'settle.tiered_fee, running', 'row', 'SELECT count(f) FROM (SELECT settle.tiered_fee(amount, SCALE) OVER (ORDER BY id) AS f FROM bench.value) AS w'),
	(5, 'tiers read from text', 'value', 'SELECT count(tiers::settle.tiers) FROM bench.value'),
	(6, 'settle.round_amount', 'row', 'SELECT sum(settle.round_amount(amount * 1.0371, 2)) FROM bench.value'),
	(7, 'settle.allocate', 'row', $$SELECT count(settle.allocate(amount, '{3, 2, 1}')) FROM bench.value$$),
	(8, 'settle.revenue_matrix, adding a ticket', 'row', 'SELECT pg_column_size(bench.matrix_state(project, region, period, amount, cost)) FROM bench.value'),
	(9, 'settle.revenue_matrix, added and sorted', 'row', 'SELECT settle.revenue_matrix(project, region, period, amount, cost) FROM bench.value'),
	(10, 'settle.cells of it', 'ticket', 'SELECT count(*) FROM bench.matrix, settle.cells(matrix)')
) AS v (n, path, unit, statement) ORDER BY v.n, v.path;

-- The lines of a ticket as a value.
CREATE TABLE bench.lines AS
SELECT settle.evaluate(r.rules, t, source => 'visit') AS lines
FROM bench.ticket AS t, (SELECT settle.rules('bench_200') AS rules) AS r WHERE t.id <= 500;
INSERT INTO bench.path (path, units, unit, statement) VALUES
	('lines written as text', 500, 'ticket', 'SELECT sum(length(lines::text)) FROM bench.lines'),
	('lines as rows', 500, 'ticket', 'SELECT count(*) FROM bench.lines, settle.unnest(lines)');

-- The book of 200 rules settles what is new, the same again, and what has changed.
INSERT INTO bench.path (path, units, unit, statement, ready) VALUES
	('settling new tickets by a run', 500, 'ticket', $$SELECT tickets FROM settle.run('bench_200')$$, 'CALL bench.add_tickets(500)'),
	('settling unchanged tickets again', 500, 'ticket', $$SELECT tickets FROM settle.run('bench_200')$$,
		$$SELECT settle.rescan('bench_200', until => timestamptz '2025-11-01 00:00+08' + interval '500.5 minutes')$$),
	('settling changed tickets again', 500, 'ticket', $$SELECT tickets FROM settle.run('bench_200')$$,
		'UPDATE bench.ticket SET amount = amount + 1 WHERE id <= 500');

-- A book's own table of tickets: noted for a run, and settled at their commit.
CREATE PROCEDURE bench.make_own_book(book text, settle_on text)
LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM settle.create_book(book::name, settle_on => settle_on);
	PERFORM settle.add_rule(book::regnamespace, 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '10%');
	PERFORM settle.add_rule(book::regnamespace, 'bonus', 'bonus', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 8%', accumulate => 'month');
END
$$;
CALL bench.make_own_book('bench_queue', 'schedule');
CALL bench.make_own_book('bench_commit', 'commit');
CREATE FUNCTION bench.add_ticket() RETURNS void	-- with a plan that is kept
LANGUAGE plpgsql
AS $$
BEGIN
	INSERT INTO bench_commit.ticket (ticket_id, done_at, project, region, worker, amount)
	SELECT 't' || n, '2025-11-05', 'a', 'b', 'w' || n % 100, 100 FROM nextval('bench.number') AS n;
END
$$;
INSERT INTO bench.path (path, units, unit, times, statement) VALUES
	('noting a ticket of a table for a run', 1000, 'ticket', 1,
		$$INSERT INTO bench_queue.ticket (ticket_id, done_at, project, region, worker, amount) SELECT 't' || nextval('bench.number'), '2025-11-05', 'a', 'b', 'w' || i % 100, 100 FROM generate_series(1, 1000) AS i$$),
	('a ticket settled at its commit', 100, 'ticket', 100, 'SELECT bench.add_ticket()');

-- Payloads of a platform.
SELECT settle.create_book('bench_connect') \g /dev/null
CREATE PROCEDURE bench.land(n int)
LANGUAGE sql
AS $$
	INSERT INTO bench_connect.staging (platform, payload)
	SELECT 'taobao', jsonb_build_object('trade_fullinfo_get_response', jsonb_build_object('trade', jsonb_build_object(
		'tid', 4000000000000000000 + n * 10, 'tid_str', (4000000000000000000 + n * 10)::text, 'type', 'fixed', 'status', 'WAIT_SELLER_SEND_GOODS', 'seller_nick', 'bench', 'buyer_open_uid', 'AAG-' || n % 500,
		'created', '2025-11-11 00:03:00', 'pay_time', '2025-11-11 00:03:40', 'modified', '2025-11-11 00:03:41', 'payment', '257.92', 'total_fee', '318.80', 'discount_fee', '38.88', 'post_fee', '8.00',
		'receiver_name', '*', 'receiver_state', 'Zhejiang', 'receiver_city', 'Hangzhou', 'receiver_district', 'Xihu', 'receiver_address', '**',
		'orders', jsonb_build_object('order', (SELECT jsonb_agg(jsonb_build_object('oid', 4000000000000000000 + n * 10 + l, 'oid_str', (4000000000000000000 + n * 10 + l)::text, 'num_iid', 680011112222 + l,
			'sku_id', (5011223344551 + l)::text, 'outer_sku_id', 'SKU-' || l, 'title', 'shirt ' || l, 'num', 1, 'price', '169.00', 'total_fee', '169.00', 'payment', '146.25', 'discount_fee', '0.00',
			'divide_order_fee', '146.25', 'status', 'WAIT_SELLER_SEND_GOODS', 'refund_status', 'NO_REFUND')) FROM generate_series(1, 2) AS l)))))
	FROM (SELECT nextval('bench.number') AS n FROM generate_series(1, n)) AS t
$$;
INSERT INTO bench.path (path, units, unit, statement, ready) VALUES
	('ingesting a payload', 200, 'payload', $$SELECT applied FROM settle.ingest('bench_connect')$$, 'CALL bench.land(200)');

-- A ticket of the desk, from stage to stage.
SELECT settle.create_book('bench_desk');
SELECT settle.add_type('bench_desk', '{"type": "repair", "project": "repair.ac",
	"fields": [{"field": "fault", "kind": "choice", "choices": ["cold", "noise"], "required": true}, {"field": "phone", "kind": "phone", "privacy": "personal"}, {"field": "visit_at", "kind": "timestamp"}],
	"stages": [{"stage": "new", "initial": true}, {"stage": "booked"}, {"stage": "done", "ready": true, "ends": "done"}],
	"moves": [{"move": "book", "from_stage": "new", "to_stage": "booked", "requires": ["visit_at"]}, {"move": "finish", "from_stage": "booked", "to_stage": "done", "guard": "amount > 0"}]}');
SELECT settle.enable_type('bench_desk', 'repair');
INSERT INTO bench.path (path, units, unit, times, statement, ready)
VALUES ('moving a ticket of the desk', 40, 'ticket', 40,
	$$SELECT settle.move_ticket('bench_desk', 'T' || nextval('bench.number'), 'book', '{"visit_at": "2025-11-11 10:00"}')$$,
	$$SELECT settle.open_ticket('bench_desk', 'repair', '{"fault": "noise", "phone": "138 0013 8000"}', region => 'cn.r1', amount => 100, ticket_id => 'T' || last_value + n) FROM bench.number, generate_series(1, 40) AS n$$);
