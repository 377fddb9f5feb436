-- The ordinary line table of the peers: one row a line, indexed by ticket and by (payee, period).

CREATE TABLE bench.line (
	ticket_id bigint NOT NULL,
	period date NOT NULL,
	component text NOT NULL,
	rule_code text NOT NULL,
	payer text NOT NULL,
	payee text NOT NULL,
	base numeric NOT NULL,
	factor numeric NOT NULL,
	amount numeric(18, 2) NOT NULL
);
CREATE INDEX line_ticket ON bench.line (ticket_id);
CREATE INDEX line_payee ON bench.line (payee, period);
