-- What make bench compares, in the order of its table, and the goals.
--
--   work, figure, ours   what is ours: a side of a work of bench.figure, see part/*.sh
--   peer, side           what it is compared with: another side of the same work
--   unit                 s, and the smaller the better; /s, and the larger the better; MB
--   at_most, goal        of ours by the peer where at_most, else of the peer by ours;
--                        of rates always ours by the peer.  No goal: the line is there
--                        to judge the others by.  No peer: the goal is of ours itself
--
-- * a part of the tickets, scaled, see peers/README.md

CREATE TABLE bench.goal (
	n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	work text NOT NULL,
	figure text NOT NULL,
	ours text NOT NULL,
	peer text,
	side text,
	unit text NOT NULL DEFAULT 's',
	at_most boolean NOT NULL,
	goal numeric
);

INSERT INTO bench.goal (work, figure, ours, peer, side, unit, at_most, goal) VALUES
	('match and price, 200 rules', 'match', '200', '`sum(amount)`', 'sum', 's', true, 8),
	('match and price, 10,000 rules', 'match', '10000', 'itself, 10 rules', '10', 's', true, 2),
	('match and price, 2,000 rules', 'match', '2000', 'itself, 10 rules', '10', 's', true, NULL),
	('match and price, 20 rules', 'match', '20', 'itself, 10 rules', '10', 's', true, NULL),
	('`settle.evaluate` of each ticket, two workers', 'parallel', 'two', 'one backend', 'one', 's', false, 1.6),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'COPY of its lines, two indexes', 'copy', 's', true, 0.5),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'SQL by sets, rule columns joined *', 'join', 's', false, 5),
	('`settle.run_all`, 2,000 rules', 'run 2000', 'ours', 'SQL by sets, rule columns joined *', 'join', 's', false, 20),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'SQL by sets, paths resolved first', 'sets', 's', false, NULL),
	('`settle.run_all`, 2,000 rules', 'run 2000', 'ours', 'SQL by sets, paths resolved first *', 'sets', 's', false, NULL),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'PL/pgSQL row loop *', 'loop', 's', false, 40),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'GoRules ZEN *', 'zen', 's', false, 20),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'json-rules-engine *', 'json_rules', 's', false, 20),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'DuckDB, all cores, with its transfers', 'duckdb', 's', false, 1),
	('`settle.run_all`, 200 rules', 'run 200', 'ours', 'DuckDB, its compute alone', 'duckdb compute', 's', false, NULL),
	('again, nothing changed', 'run 200', 'again', 'the full run', 'ours', 's', true, 0.02),
	('again, 1 % of the tickets changed', 'run 200', 'again 1 %', 'the full run', 'ours', 's', true, 0.03),
	('again, every ticket queued and read once more', 'run 200', 'again all', 'the full run', 'ours', 's', true, NULL),
	('`settle.run_all`, five times the tickets', 'growth', 'large', 'itself', 'small', 's', true, 5.5),
	('memory of its backend', 'memory', 'large', 'itself', 'small', 'MB', true, 1.1),
	('memory of its backend', 'memory', 'large', NULL, NULL, 'MB', true, 300),
	('`tiered_fee(amount)`, one group', 'fee of one', 'ours', '`sum(amount)`', 'sum', 's', true, 1.3),
	('`tiered_fee(amount)`, one group', 'fee of one', 'ours', '`count(*)`', 'count', 's', true, NULL),
	('`tiered_fee(amount)`, one group', 'fee of one', 'ours', 'LATERAL of the sum', 'lateral', 's', false, 15),
	('`tiered_fee(amount)`, one group', 'fee of one', 'ours', 'PL/pgSQL of the sum', 'plpgsql', 's', false, 40),
	('`tiered_fee(amount)`, one group', 'fee of one', 'ours', 'PL/pgSQL aggregate', 'aggregate', 's', false, NULL),
	('`tiered_fee(amount)`, 100,000 groups', 'fee of groups', 'ours', '`sum(amount)`', 'sum', 's', true, 1.3),
	('`tiered_fee(amount)`, 100,000 groups', 'fee of groups', 'ours', '`count(*)`', 'count', 's', true, NULL),
	('`tiered_fee(amount)`, 100,000 groups', 'fee of groups', 'ours', 'LATERAL of the sums', 'lateral', 's', false, 15),
	('`tiered_fee(amount)`, 100,000 groups', 'fee of groups', 'ours', 'PL/pgSQL of the sums', 'plpgsql', 's', false, 40),
	('`tiered_fee(amount)`, 100,000 groups', 'fee of groups', 'ours', 'PL/pgSQL aggregate', 'aggregate', 's', false, NULL),
	('`tiered_fee(amount)` over a month', 'fee so far', 'ours', '`sum(amount)` over it', 'sum', 's', true, NULL),
	('`tiered_fee(amount)` over a month', 'fee so far', 'ours', 'LATERAL of `sum(amount)` over it', 'lateral', 's', false, NULL),
	('`tiered_fee(amount)` over a month', 'fee so far', 'ours', 'PL/pgSQL of `sum(amount)` over it', 'plpgsql', 's', false, NULL),
	('`tiered_fee(amount)` over a month', 'fee so far', 'ours', 'PL/pgSQL aggregate over it', 'aggregate', 's', false, NULL),
	('`fee(tiers, amount)` of each ticket', 'fee of each', 'ours', 'reading the tickets', 'sum', 's', true, NULL),
	('`fee(tiers, amount)` of each ticket', 'fee of each', 'ours', 'LATERAL', 'lateral', 's', false, NULL),
	('`fee(tiers, amount)` of each ticket', 'fee of each', 'ours', 'PL/pgSQL', 'plpgsql', 's', false, NULL),
	('`revenue_matrix`, dense', 'matrix dense', 'ours', '`GROUP BY CUBE`', 'cube', 's', false, 4),
	('`revenue_matrix`, dense', 'matrix dense', 'ours', '`GROUP BY CUBE`, paths as text', 'text', 's', false, NULL),
	('`revenue_matrix`, dense', 'matrix dense', 'ours', 'REFRESH of a view of that CUBE', 'view', 's', false, NULL),
	('`revenue_matrix`, sparse', 'matrix sparse', 'ours', '`GROUP BY CUBE`', 'cube', 's', false, 4),
	('`revenue_matrix`, sparse', 'matrix sparse', 'ours', '`GROUP BY CUBE`, paths as text', 'text', 's', false, NULL),
	('`revenue_matrix`, sparse', 'matrix sparse', 'ours', 'REFRESH of a view of that CUBE', 'view', 's', false, NULL),
	('totals of a tenth of the tickets, 1 % new ones folded', 'totals', 'fold', 'REFRESH of a view of them', 'refresh', 's', false, NULL),
	('totals of a tenth of the tickets, 1 % new ones folded', 'totals', 'fold', 'kept by a trigger, for the matrix alone', 'trigger', 's', false, NULL),
	('the matrix read from them', 'totals', 'read', 'from the view', 'read view', 's', false, NULL),
	('the matrix read before they are folded', 'totals', 'read waiting', 'from the view, which is old', 'read view', 's', false, NULL),
	('tickets inserted by 8 clients, capture on', 'insert', 'capture', 'into a bare table', 'bare', '/s', false, 0.92),
	('tickets inserted by 8 clients, settled at commit', 'insert', 'commit', 'into a bare table', 'bare', '/s', false, 0.65),
	('tickets inserted by 8 clients, settled at commit', 'insert', 'commit', 'the same rows written by hand', 'hand', '/s', false, NULL),
	('the rows of that, written by hand', 'insert', 'hand', 'into a bare table', 'bare', '/s', false, NULL);
