-- rule: rules as a value, and what they say of a ticket

CREATE TYPE settle.ruleset;
CREATE FUNCTION settle.ruleset_in(cstring) RETURNS settle.ruleset AS 'MODULE_PATHNAME', 'settle_ruleset_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.ruleset_in(cstring) IS 'I/O';
CREATE FUNCTION settle.ruleset_out(settle.ruleset) RETURNS cstring AS 'MODULE_PATHNAME', 'settle_ruleset_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.ruleset_out(settle.ruleset) IS 'I/O';
CREATE FUNCTION settle.ruleset_recv(internal) RETURNS settle.ruleset AS 'MODULE_PATHNAME', 'settle_ruleset_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.ruleset_recv(internal) IS 'I/O';
CREATE FUNCTION settle.ruleset_send(settle.ruleset) RETURNS bytea AS 'MODULE_PATHNAME', 'settle_ruleset_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.ruleset_send(settle.ruleset) IS 'I/O';
CREATE TYPE settle.ruleset (
	INPUT = settle.ruleset_in, OUTPUT = settle.ruleset_out, RECEIVE = settle.ruleset_recv, SEND = settle.ruleset_send,
	INTERNALLENGTH = variable, ALIGNMENT = int4, STORAGE = extended
);
COMMENT ON TYPE settle.ruleset IS 'the rules of a book as one self-contained value; its text form is a JSON document';

CREATE FUNCTION settle.ruleset(jsonb) RETURNS settle.ruleset AS 'MODULE_PATHNAME', 'settle_ruleset_from_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.ruleset(jsonb) IS 'makes a ruleset of its JSON document';
CREATE CAST (jsonb AS settle.ruleset) WITH FUNCTION settle.ruleset(jsonb);

CREATE FUNCTION settle.to_jsonb(settle.ruleset) RETURNS jsonb AS 'MODULE_PATHNAME', 'settle_ruleset_to_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.to_jsonb(settle.ruleset) IS 'the JSON document of a ruleset';
CREATE CAST (settle.ruleset AS jsonb) WITH FUNCTION settle.to_jsonb(settle.ruleset);

CREATE FUNCTION settle.digest(settle.ruleset) RETURNS bytea AS 'MODULE_PATHNAME', 'settle_ruleset_digest' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.digest(settle.ruleset) IS 'sha256 of the document of a ruleset: equal digests are equal rules';

CREATE TYPE settle.lines;
CREATE FUNCTION settle.lines_in(cstring) RETURNS settle.lines AS 'MODULE_PATHNAME', 'settle_lines_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.lines_in(cstring) IS 'I/O';
CREATE FUNCTION settle.lines_out(settle.lines) RETURNS cstring AS 'MODULE_PATHNAME', 'settle_lines_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.lines_out(settle.lines) IS 'I/O';
CREATE FUNCTION settle.lines_recv(internal) RETURNS settle.lines AS 'MODULE_PATHNAME', 'settle_lines_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.lines_recv(internal) IS 'I/O';
CREATE FUNCTION settle.lines_send(settle.lines) RETURNS bytea AS 'MODULE_PATHNAME', 'settle_lines_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.lines_send(settle.lines) IS 'I/O';
CREATE TYPE settle.lines (
	INPUT = settle.lines_in, OUTPUT = settle.lines_out, RECEIVE = settle.lines_recv, SEND = settle.lines_send,
	INTERNALLENGTH = variable, ALIGNMENT = int4, STORAGE = main
);
COMMENT ON TYPE settle.lines IS 'the lines of one settlement in one value: with codes as evaluate returns them, or packed as sheets store them';

CREATE FUNCTION settle.unnest(
	lines settle.lines,
	OUT line integer, OUT rule text, OUT component text, OUT payer text, OUT payee text,
	OUT base numeric, OUT factor numeric, OUT amount numeric, OUT unit text, OUT owner text, OUT tally_period date
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_lines_unnest' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION settle.unnest(settle.lines) IS 'the lines as rows; owner and tally_period are set where a line adds to a tally';

CREATE FUNCTION settle.parties(settle.lines) RETURNS text[] AS 'MODULE_PATHNAME', 'settle_lines_parties' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.parties(settle.lines) IS 'every payer and payee of the lines, once';

CREATE FUNCTION settle._unpack(
	lines settle.lines,
	OUT line integer, OUT rule_id integer, OUT payer_id integer, OUT payee_id integer,
	OUT base numeric, OUT factor numeric, OUT amount numeric,
	OUT owner_id integer, OUT tally_period date, OUT count integer, OUT quantity numeric, OUT retier boolean
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_lines_unpack' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION settle._unpack(settle.lines) IS 'the packed lines of a sheet as rows with the numbers of its book';

CREATE FUNCTION settle._inputs(names jsonb, source name, inputs bytea) RETURNS json AS 'MODULE_PATHNAME', 'settle_inputs' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION settle._inputs(jsonb, name, bytea) IS 'what inputs that a sheet keeps say; names are those that its run keeps';

CREATE FUNCTION settle.evaluate(rules settle.ruleset, ticket record, before jsonb DEFAULT NULL, source name DEFAULT NULL, facts jsonb DEFAULT NULL)
	RETURNS settle.lines AS 'MODULE_PATHNAME', 'settle_evaluate' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION settle.evaluate(settle.ruleset, record, jsonb, name, jsonb) IS
	'what the rules say of a row, without reading any table; accumulating rules are priced on top of the tallies in before, facts and rates are those given';

CREATE FUNCTION settle.evaluate_decision(rules settle.ruleset, decision name, ticket record, source name DEFAULT NULL, facts jsonb DEFAULT NULL)
	RETURNS jsonb AS 'MODULE_PATHNAME', 'settle_evaluate_decision' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION settle.evaluate_decision(settle.ruleset, name, record, name, jsonb) IS
	'what one decision of the rules gives for a row, without reading any table';

CREATE FUNCTION settle._lint_rules(
	rules settle.ruleset, sources name[], relations regclass[], at_commit boolean, private text[],
	OUT severity text, OUT kind text, OUT object text, OUT detail text, OUT hint text
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_lint_rules' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION settle._lint_rules(settle.ruleset, name[], regclass[], boolean, text[]) IS 'what is wrong with rules, for rows of the relations that are their sources';
