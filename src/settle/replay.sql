
-- replay: tickets computed again from what their sheets keep

CREATE FUNCTION settle._replay_ticket(
	book regnamespace, source name, digest bytea, names jsonb, inputs bytea,
	OUT rule text, OUT payer text, OUT payee text, OUT unit text, OUT owner text, OUT tally_period date,
	OUT base numeric, OUT quantity numeric, OUT factor numeric, OUT amount numeric, OUT problem text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_replay_ticket' LANGUAGE C ROWS 5;
COMMENT ON FUNCTION settle._replay_ticket(regnamespace, name, bytea, jsonb, bytea) IS 'the lines that a ruleset in use says of kept inputs, or why it says none';

CREATE FUNCTION settle.replay(
	book regnamespace, since timestamptz DEFAULT NULL,
	OUT source name, OUT ticket_key text, OUT run_id bigint, OUT rule text, OUT expected text, OUT found text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_replay' LANGUAGE C;
COMMENT ON FUNCTION settle.replay(regnamespace, timestamptz) IS
	'computes every settled ticket posted since again, from the inputs and the ruleset that were kept, and returns what differs from what is posted: no row when nothing does';
