/* tier: price scales */

CREATE TYPE settle.tiers;

CREATE FUNCTION settle.tiers_in(cstring) RETURNS settle.tiers
AS 'MODULE_PATHNAME', 'settle_tiers_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_in(cstring) IS 'reads the text form';

CREATE FUNCTION settle.tiers_out(settle.tiers) RETURNS cstring
AS 'MODULE_PATHNAME', 'settle_tiers_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_out(settle.tiers) IS 'writes the text form';

CREATE FUNCTION settle.tiers_recv(internal) RETURNS settle.tiers
AS 'MODULE_PATHNAME', 'settle_tiers_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_recv(internal) IS 'reads the binary form';

CREATE FUNCTION settle.tiers_send(settle.tiers) RETURNS bytea
AS 'MODULE_PATHNAME', 'settle_tiers_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_send(settle.tiers) IS 'writes the binary form';

CREATE TYPE settle.tiers (
    INPUT = settle.tiers_in,
    OUTPUT = settle.tiers_out,
    RECEIVE = settle.tiers_recv,
    SEND = settle.tiers_send,
    STORAGE = extended
);
COMMENT ON TYPE settle.tiers IS 'a price scale: ''5% to 1000, 8% to 5000, 10%''';

CREATE FUNCTION settle.tiers(jsonb) RETURNS settle.tiers
AS 'MODULE_PATHNAME', 'settle_tiers_from_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers(jsonb) IS 'reads the jsonb form';

CREATE FUNCTION settle.to_jsonb(settle.tiers) RETURNS jsonb
AS 'MODULE_PATHNAME', 'settle_tiers_to_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.to_jsonb(settle.tiers) IS 'writes the jsonb form';

CREATE CAST (jsonb AS settle.tiers) WITH FUNCTION settle.tiers(jsonb);
CREATE CAST (settle.tiers AS jsonb) WITH FUNCTION settle.to_jsonb(settle.tiers);

CREATE FUNCTION settle.tiers_eq(settle.tiers, settle.tiers) RETURNS boolean
AS 'MODULE_PATHNAME', 'settle_tiers_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_eq(settle.tiers, settle.tiers) IS 'implementation of =';

CREATE FUNCTION settle.tiers_ne(settle.tiers, settle.tiers) RETURNS boolean
AS 'MODULE_PATHNAME', 'settle_tiers_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_ne(settle.tiers, settle.tiers) IS 'implementation of <>';

CREATE FUNCTION settle.tiers_lt(settle.tiers, settle.tiers) RETURNS boolean
AS 'MODULE_PATHNAME', 'settle_tiers_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_lt(settle.tiers, settle.tiers) IS 'implementation of <';

CREATE FUNCTION settle.tiers_le(settle.tiers, settle.tiers) RETURNS boolean
AS 'MODULE_PATHNAME', 'settle_tiers_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_le(settle.tiers, settle.tiers) IS 'implementation of <=';

CREATE FUNCTION settle.tiers_gt(settle.tiers, settle.tiers) RETURNS boolean
AS 'MODULE_PATHNAME', 'settle_tiers_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_gt(settle.tiers, settle.tiers) IS 'implementation of >';

CREATE FUNCTION settle.tiers_ge(settle.tiers, settle.tiers) RETURNS boolean
AS 'MODULE_PATHNAME', 'settle_tiers_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_ge(settle.tiers, settle.tiers) IS 'implementation of >=';

CREATE FUNCTION settle.tiers_cmp(settle.tiers, settle.tiers) RETURNS int
AS 'MODULE_PATHNAME', 'settle_tiers_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_cmp(settle.tiers, settle.tiers) IS 'order of bytes, for btree';

CREATE FUNCTION settle.tiers_hash(settle.tiers) RETURNS int
AS 'MODULE_PATHNAME', 'settle_tiers_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiers_hash(settle.tiers) IS 'hash of the bytes';

-- Operators are found by search_path alone: these stand where every path looks, and no path can shadow them.
CREATE OPERATOR pg_catalog.= (
    LEFTARG = settle.tiers, RIGHTARG = settle.tiers, FUNCTION = settle.tiers_eq,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
CREATE OPERATOR pg_catalog.<> (
    LEFTARG = settle.tiers, RIGHTARG = settle.tiers, FUNCTION = settle.tiers_ne,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
    RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE OPERATOR pg_catalog.< (
    LEFTARG = settle.tiers, RIGHTARG = settle.tiers, FUNCTION = settle.tiers_lt,
    COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
    RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
CREATE OPERATOR pg_catalog.<= (
    LEFTARG = settle.tiers, RIGHTARG = settle.tiers, FUNCTION = settle.tiers_le,
    COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
    RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
CREATE OPERATOR pg_catalog.> (
    LEFTARG = settle.tiers, RIGHTARG = settle.tiers, FUNCTION = settle.tiers_gt,
    COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
    RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
CREATE OPERATOR pg_catalog.>= (
    LEFTARG = settle.tiers, RIGHTARG = settle.tiers, FUNCTION = settle.tiers_ge,
    COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
    RESTRICT = scalargesel, JOIN = scalargejoinsel
);

CREATE OPERATOR CLASS settle.tiers_btree_ops DEFAULT FOR TYPE settle.tiers USING btree AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 settle.tiers_cmp(settle.tiers, settle.tiers);

CREATE OPERATOR CLASS settle.tiers_hash_ops DEFAULT FOR TYPE settle.tiers USING hash AS
    OPERATOR 1 pg_catalog.=,
    FUNCTION 1 settle.tiers_hash(settle.tiers);

CREATE FUNCTION settle.fee(tiers settle.tiers, quantity numeric) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_fee' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.fee(settle.tiers, numeric) IS
'exact fee of a total; a negative quantity costs the negative of the positive one';

CREATE FUNCTION settle.fee(tiers settle.tiers, quantity numeric, before numeric) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_fee_on_top' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.fee(settle.tiers, numeric, numeric) IS
'what quantity adds on top of before: fee(before + quantity) - fee(before)';

CREATE FUNCTION settle.fee_steps(tiers settle.tiers, quantity numeric,
    OUT step int, OUT lower numeric, OUT upper numeric, OUT quantity numeric, OUT rate numeric, OUT flat numeric, OUT fee numeric)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'settle_fee_steps' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION settle.fee_steps(settle.tiers, numeric) IS
'how a fee comes about, a row a step: fee = quantity x rate + flat; step 0 is what a minimum adds or a maximum takes';

CREATE FUNCTION settle.next_tier(tiers settle.tiers, quantity numeric,
    OUT tier_from numeric, OUT next_tier_at numeric, OUT next_rate numeric, OUT next_fee numeric)
AS 'MODULE_PATHNAME', 'settle_next_tier' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.next_tier(settle.tiers, numeric) IS
'where the tier of a quantity begins, where the next one does, its rate and the fee at which it begins; nulls where there is none';

CREATE FUNCTION settle.fee_at(tiers settle.tiers, quantity numeric, reached numeric) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_fee_at' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.fee_at(settle.tiers, numeric, numeric) IS
'fee of quantity by the volume tier that reached stands in';

CREATE FUNCTION settle.event_fees(tiers settle.tiers, events numeric[]) RETURNS numeric[]
AS 'MODULE_PATHNAME', 'settle_event_fees' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.event_fees(settle.tiers, numeric[]) IS
'fees of events in their order by percentage tiers, free events and free amount first';

CREATE FUNCTION settle.capacity_fee(tiers settle.tiers, quantities numeric[]) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_capacity_fee' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.capacity_fee(settle.tiers, numeric[]) IS
'price of the first capacity whose every limit holds';

CREATE FUNCTION settle.prorated_fee(tiers settle.tiers, units numeric[], prorated numeric[]) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_prorated_fee' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.prorated_fee(settle.tiers, numeric[], numeric[]) IS
'graduated fee of units that come and go: full units choose the tiers, prorated units are priced';

CREATE TYPE settle.tiered_fee_state;

CREATE FUNCTION settle.tiered_fee_state_in(cstring) RETURNS settle.tiered_fee_state
AS 'MODULE_PATHNAME', 'settle_tiered_fee_state_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiered_fee_state_in(cstring) IS 'reads the text form';

CREATE FUNCTION settle.tiered_fee_state_out(settle.tiered_fee_state) RETURNS cstring
AS 'MODULE_PATHNAME', 'settle_tiered_fee_state_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiered_fee_state_out(settle.tiered_fee_state) IS 'writes the text form';

CREATE FUNCTION settle.tiered_fee_state_recv(internal) RETURNS settle.tiered_fee_state
AS 'MODULE_PATHNAME', 'settle_tiered_fee_state_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiered_fee_state_recv(internal) IS 'reads the binary form';

CREATE FUNCTION settle.tiered_fee_state_send(settle.tiered_fee_state) RETURNS bytea
AS 'MODULE_PATHNAME', 'settle_tiered_fee_state_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.tiered_fee_state_send(settle.tiered_fee_state) IS 'writes the binary form';

CREATE TYPE settle.tiered_fee_state (
    INPUT = settle.tiered_fee_state_in,
    OUTPUT = settle.tiered_fee_state_out,
    RECEIVE = settle.tiered_fee_state_recv,
    SEND = settle.tiered_fee_state_send,
    ALIGNMENT = double,
    STORAGE = extended
);
COMMENT ON TYPE settle.tiered_fee_state IS 'state of settle.tiered_fee: number of rows, sum, tiers';

CREATE FUNCTION settle._tiered_fee_step(settle.tiered_fee_state, quantity numeric, tiers settle.tiers) RETURNS settle.tiered_fee_state
AS 'MODULE_PATHNAME', 'settle_tiered_fee_step' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._tiered_fee_step(settle.tiered_fee_state, numeric, settle.tiers) FROM PUBLIC;
COMMENT ON FUNCTION settle._tiered_fee_step(settle.tiered_fee_state, numeric, settle.tiers) IS 'adds a row';

CREATE FUNCTION settle._tiered_fee_unstep(settle.tiered_fee_state, quantity numeric, tiers settle.tiers) RETURNS settle.tiered_fee_state
AS 'MODULE_PATHNAME', 'settle_tiered_fee_unstep' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._tiered_fee_unstep(settle.tiered_fee_state, numeric, settle.tiers) FROM PUBLIC;
COMMENT ON FUNCTION settle._tiered_fee_unstep(settle.tiered_fee_state, numeric, settle.tiers) IS 'takes a row away';

CREATE FUNCTION settle._tiered_fee_combine(settle.tiered_fee_state, settle.tiered_fee_state) RETURNS settle.tiered_fee_state
AS 'MODULE_PATHNAME', 'settle_tiered_fee_combine' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._tiered_fee_combine(settle.tiered_fee_state, settle.tiered_fee_state) FROM PUBLIC;
COMMENT ON FUNCTION settle._tiered_fee_combine(settle.tiered_fee_state, settle.tiered_fee_state) IS 'adds the rows of another state';

CREATE FUNCTION settle._tiered_fee_final(settle.tiered_fee_state) RETURNS numeric
AS 'MODULE_PATHNAME', 'settle_tiered_fee_final' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION settle._tiered_fee_final(settle.tiered_fee_state) FROM PUBLIC;
COMMENT ON FUNCTION settle._tiered_fee_final(settle.tiered_fee_state) IS 'prices the sum';

CREATE AGGREGATE settle.tiered_fee(quantity numeric, tiers settle.tiers) (
    SFUNC = settle._tiered_fee_step,
    STYPE = settle.tiered_fee_state,
    SSPACE = 128,
    INITCOND = '0 0 0 each',
    FINALFUNC = settle._tiered_fee_final,
    COMBINEFUNC = settle._tiered_fee_combine,
    MSFUNC = settle._tiered_fee_step,
    MINVFUNC = settle._tiered_fee_unstep,
    MSTYPE = settle.tiered_fee_state,
    MSSPACE = 128,
    MINITCOND = '0 0 0 each',
    MFINALFUNC = settle._tiered_fee_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE settle.tiered_fee(numeric, settle.tiers) IS
'fee of the sum of the quantities; all rows of a group have the same tiers, nulls are skipped';
