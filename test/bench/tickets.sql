-- A month of a chain: tickets of November 2025, the same on every machine.
--
-- 1,000 projects in a tree of 5 roots and 50 families, 31 provinces in 6 areas
-- with 300 sites in all, 9 or 10 a province, 6 channels, 5 levels, 3,000 staff
-- at home in one province each, 300 dealers.  Nothing is random: whatever is
-- drawn for a ticket depends on its number alone.

CREATE SCHEMA bench;

-- The draw of a ticket for one purpose: an integer from 0 to below "below".
CREATE FUNCTION bench.draw(ticket bigint, purpose int, below int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((hashint8extended(ticket, purpose) & 9223372036854775807) % below)::int;

CREATE TABLE bench.project AS
SELECT n, text2ltree(format('%s.f%s.k%s', (ARRAY['install', 'repair', 'maintain', 'consult', 'parts'])[1 + n / 200],
	to_char(1 + n / 20 % 10, 'FM00'), to_char(1 + n % 20, 'FM00'))) AS project
FROM generate_series(0, 999) AS n;

CREATE TABLE bench.province AS
SELECT n, text2ltree(format('cn.a%s.p%s', 1 + n * 6 / 31, to_char(1 + n, 'FM00'))) AS region,
	1 + (n % 9 - 3) * 0.05 AS factor,		-- the regional coefficient, 0.85 to 1.25
	(n * 300 + 30) / 31 AS first_site, ((n + 1) * 300 + 30) / 31 - (n * 300 + 30) / 31 AS sites
FROM generate_series(0, 30) AS n;

CREATE TABLE bench.site AS
SELECT s AS n, p.region || to_char(1 + s, '"s"FM000') AS region, p.factor
FROM generate_series(0, 299) AS s JOIN bench.province AS p ON s >= p.first_site AND s < p.first_site + p.sites;

CREATE TABLE bench.ticket (
	id bigint PRIMARY KEY,
	order_ref text NOT NULL,
	done_at timestamptz NOT NULL,
	project_no int NOT NULL,		-- for the peers, which join by numbers
	site_no int NOT NULL,
	project ltree NOT NULL,
	region ltree NOT NULL,
	channel text NOT NULL,
	level text NOT NULL,
	worker int NOT NULL,
	dealer int NOT NULL,
	amount numeric(10, 2) NOT NULL,
	cost numeric(10, 2) NOT NULL,
	rush boolean NOT NULL,
	night boolean NOT NULL
);

-- Fills a table of tickets.  Amounts are 20.00 to 999.99, one in fifty up to
-- 12,000; some projects are asked for more than others.
CREATE PROCEDURE bench.make_tickets(into_table regclass, tickets bigint)
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format($insert$
		INSERT INTO %s
		SELECT id, 'SO' || to_char(id * 7 + 100000, 'FM00000000'),
			timestamptz '2025-11-01 00:00+08' + (id - 1) * (interval '30 days' / $1),
			p.n, s.n, p.project, s.region,
			(ARRAY['store', 'app', 'web', 'call', 'partner', 'insurer'])[1 + bench.draw(id, 5, 6)],
			(ARRAY['plain', 'bronze', 'silver', 'gold', 'diamond'])[1 + bench.draw(id, 6, 5)],
			1 + d.worker, 1 + bench.draw(id, 7, 300),
			d.amount, round(d.amount * 0.6, 2),
			bench.draw(id, 8, 100) < 15, bench.draw(id, 9, 100) < 12
		FROM generate_series(1, $1) AS id
		CROSS JOIN LATERAL (
			SELECT bench.draw(id, 1, 3000) AS worker,
				(CASE bench.draw(id, 2, 50) WHEN 0 THEN 100000 + bench.draw(id, 3, 1100000) ELSE 2000 + bench.draw(id, 3, 98000) END)
					* 0.01 AS amount
		) AS d
		JOIN bench.project AS p ON p.n = bench.draw(id, 4, 1000) * (500 + bench.draw(id, 10, 501)) / 1000
		JOIN bench.province AS h ON h.n = d.worker %% 31
		JOIN bench.site AS s ON s.n = h.first_site + bench.draw(id, 11, h.sites)
		ORDER BY id$insert$, into_table)
	USING tickets;
END
$$;

CALL bench.make_tickets('bench.ticket', :tickets);
VACUUM (ANALYZE, FREEZE) bench.ticket;
ANALYZE bench.project, bench.province, bench.site;

-- The tickets of 150 and of 30 of the 3,000 staff, for peers that take too long
-- for all, and a table of none.
CREATE TABLE bench.twentieth (LIKE bench.ticket INCLUDING ALL);
CREATE TABLE bench.hundredth (LIKE bench.ticket INCLUDING ALL);
CREATE TABLE bench.nothing (LIKE bench.ticket INCLUDING ALL);
INSERT INTO bench.twentieth SELECT * FROM bench.ticket WHERE worker <= 150 ORDER BY id;
INSERT INTO bench.hundredth SELECT * FROM bench.ticket WHERE worker <= 30 ORDER BY id;
VACUUM (ANALYZE, FREEZE) bench.twentieth, bench.hundredth, bench.nothing;
