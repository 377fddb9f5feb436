-- plan: what a run would do, and what it would do with other rules

CREATE FUNCTION settle.plan(
	book regnamespace, held boolean DEFAULT false,
	OUT source text, OUT component text, OUT payee text, OUT period date, OUT corrects_period date, OUT unit text,
	OUT tickets bigint, OUT lines bigint, OUT amount numeric, OUT new bigint, OUT corrected bigint, OUT withdrawn bigint
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_plan' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION settle.plan(regnamespace, boolean) IS
	'what the next run would post, before the brake: lines and tickets per component, payee and period; with held also the corrections that the brake holds. Writes nothing';

CREATE FUNCTION settle.simulate(
	book regnamespace, since timestamptz, until timestamptz, pack text,
	OUT component text, OUT payee text, OUT month date, OUT unit text, OUT posted numeric, OUT simulated numeric, OUT difference numeric
) RETURNS SETOF record AS 'MODULE_PATHNAME', 'settle_simulate' LANGUAGE C STABLE;
COMMENT ON FUNCTION settle.simulate(regnamespace, timestamptz, timestamptz, text) IS
	'what the tickets of a time span would be paid had a pack been in force in it, beside what they are paid; a null bound is none. Writes nothing';
