-- Random input for settle.tiers and the state of settle.tiered_fee.
--
-- Whatever bytes come, in text, jsonb or binary form: an input is refused with
-- an ordinary error (class 22 or 54), or it is a value that round-trips through
-- all three forms and prices without surprise.  Anything else raises here, and
-- a crash ends the connection.  Superuser: binary input is reached by COPY of a
-- file in the data directory.
CREATE SCHEMA IF NOT EXISTS fuzz;
SET search_path = fuzz, pg_catalog;

CREATE UNLOGGED TABLE tiers (value settle.tiers);
CREATE UNLOGGED TABLE state (value settle.tiered_fee_state);

CREATE FUNCTION pick(list text[]) RETURNS text
LANGUAGE sql VOLATILE
RETURN list[1 + floor(random() * cardinality(list))::int];

-- A valid text of any mode.
CREATE FUNCTION valid_text() RETURNS text
LANGUAGE sql VOLATILE
RETURN fuzz.pick(ARRAY['5% to 1000, 8% to 5000, 10%', 'volume 3% to 10000, 5% + 20 flat below 50000, 8%',
        '0 each to 60, 2.5 each; min 30; max 2000', '10 flat', 'package of 100 at 15 + 2 flat after 20',
        'blocks_all 10 blocks of 100 at 1, blocks of 1000 at 0.5', 'blocks_top 3 blocks of 7 at 1 + 1 flat, blocks of 0.5 at 2',
        'interpolated 10 spread to 1000, 40 spread to 3001', 'capacity 10 flat within (100, any), 30 flat within (any, any)',
        'percentage 1.3% + 2 flat; first 3 events free; first 500 free; min 1; max 9',
        '2 each + 1 flat to 7, 1 each; divide by 3; first 2 free; first flat at zero', '1 each; multiply by 0.001 rounded half_even']);

-- A text near the grammar: a valid one, or words in any order, then some damage.
CREATE FUNCTION text_input() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    words text[] := '{5,10,0,1000,2.5,-3,99999999999999999999999999999999999999,0.000000000000000000000000000000000001,%,each,flat,to,below,",",;,+,(,),any,within,of,at,after,blocks,spread,min,max,first,free,events,zero,divide,multiply,by,rounded,up,graduated,volume,package,blocks_all,blocks_top,interpolated,capacity,percentage,from,NaN,infinity,1e9,漢,"\t"}';
    t text;
    place int;
BEGIN
    IF random() < 0.3 THEN
        SELECT string_agg(fuzz.pick(words), fuzz.pick('{" ","",", ","; "}')) INTO t FROM generate_series(1, 1 + floor(random() * 15)::int);
    ELSE
        t := fuzz.valid_text();
    END IF;
    FOR i IN 1 .. floor(random() * random() * 5)::int LOOP
        place := 1 + floor(random() * (length(t) + 1))::int;
        t := CASE floor(random() * 4)::int
            WHEN 0 THEN left(t, place - 1) || substr(t, place + 1 + floor(random() * 5)::int)
            WHEN 1 THEN left(t, place - 1) || fuzz.pick(words) || substr(t, place)
            WHEN 2 THEN overlay(t PLACING chr(1 + floor(random() * 300)::int) FROM place FOR 1)
            ELSE t || fuzz.pick('{", ","; "," "}') || fuzz.valid_text() END;
    END LOOP;
    RETURN t;
END $$;

-- Bytes near the stored form: of a valid value or of none, then some damage.
CREATE FUNCTION binary_input(valid bytea) RETURNS bytea
LANGUAGE plpgsql AS $$
DECLARE
    b bytea := valid;
    place int;
BEGIN
    IF random() < 0.1 THEN
        RETURN decode(left(repeat(md5(random()::text), 8), 2 * floor(random() * 100)::int), 'hex');
    END IF;
    FOR i IN 1 .. 1 + floor(random() * 3)::int LOOP
        EXIT WHEN length(b) = 0;
        place := floor(random() * length(b))::int;
        b := CASE floor(random() * 4)::int
            WHEN 0 THEN set_byte(b, place, floor(random() * 256)::int)
            WHEN 1 THEN substr(b, 1, place)
            WHEN 2 THEN b || substr(b, place + 1)
            ELSE set_byte(b, place, get_byte(b, place) # (1 << floor(random() * 8)::int)) END;
    END LOOP;
    RETURN b;
END $$;

-- What holds for every value.
CREATE FUNCTION examine(t settle.tiers) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    q numeric := round((random() * 10 ^ floor(random() * 12 - 4))::numeric, floor(random() * 8)::int);
    fee numeric;
BEGIN
    IF t::text::settle.tiers <> t OR t::text::settle.tiers::text <> t::text THEN
        RAISE 'text form does not round-trip: %', t USING ERRCODE = 'FU001';
    ELSIF t::jsonb::settle.tiers <> t OR t::jsonb::settle.tiers::jsonb <> t::jsonb THEN
        RAISE 'jsonb form does not round-trip: %', t USING ERRCODE = 'FU001';
    END IF;
    PERFORM settle.fee_steps(t, q), settle.tiers_hash(t);
    fee := settle.fee(t, q);
    IF q <> 0 AND settle.fee(t, -q) <> -fee THEN
        RAISE 'fee of % does not mirror: %', q, t USING ERRCODE = 'FU001';
    ELSIF fee <> (SELECT coalesce(sum(s.fee), 0) FROM settle.fee_steps(t, q) s) THEN
        RAISE 'steps of % do not sum up to the fee: %', q, t USING ERRCODE = 'FU001';
    END IF;
EXCEPTION WHEN invalid_parameter_value THEN
    -- a capacity of several dimensions has no price for one quantity
    IF t::jsonb ->> 'mode' <> 'capacity' THEN
        RAISE;
    END IF;
END $$;

-- Runs a number of rounds; returns how many inputs were values and how many were refused.
CREATE FUNCTION run(seed float8, rounds int, OUT taken int, OUT refused int)
LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/fuzz.bin';
    t settle.tiers;
    input text;
    b bytea;
BEGIN
    PERFORM setseed(seed);
    taken := 0;
    refused := 0;
    FOR i IN 1 .. rounds LOOP
        t := fuzz.valid_text();
        BEGIN
            CASE i % 5
            WHEN 0, 1 THEN
                input := fuzz.text_input();
                t := input::settle.tiers;
            WHEN 2 THEN
                -- a jsonb value with members of another, or without some of its own
                input := (CASE WHEN random() < 0.4 THEN t::jsonb || (fuzz.valid_text()::settle.tiers::jsonb - fuzz.pick('{mode,tiers,min,max}'))
                               ELSE t::jsonb #- ARRAY['tiers', floor(random() * 3)::text, fuzz.pick('{up_to,unit,price,limits,rate_percent,below,flat}')] END
                          || CASE WHEN random() < 0.5 THEN jsonb_build_object(fuzz.pick('{min,max,round,mode,free_units,divide_by,tiers}'),
                                                                             fuzz.pick('{5,-1,"",NaN,up,volume,1e5}')) ELSE '{}' END)::text;
                t := input::jsonb::settle.tiers;
            WHEN 3 THEN
                b := fuzz.binary_input(settle.tiers_send(t));
                input := b::text;
                DELETE FROM fuzz.tiers;
                EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', b, file);
                EXECUTE format('COPY fuzz.tiers FROM %L (FORMAT binary)', file);
                SELECT value INTO t FROM fuzz.tiers;
                IF settle.tiers_send(t) <> b THEN
                    RAISE 'two binary forms of one value' USING ERRCODE = 'FU001';
                END IF;
            ELSE
                b := fuzz.binary_input(settle.tiered_fee_state_send(('2 10.5 ' || t)::settle.tiered_fee_state));
                input := b::text;
                DELETE FROM fuzz.state;
                EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', b, file);
                EXECUTE format('COPY fuzz.state FROM %L (FORMAT binary)', file);
                PERFORM value::text::settle.tiered_fee_state, settle._tiered_fee_final(value) FROM fuzz.state;
            END CASE;
            PERFORM fuzz.examine(t);
            taken := taken + 1;
        EXCEPTION WHEN OTHERS THEN
            -- a message that ends too early is 08P01, a sum of events 0A000
            IF SQLSTATE !~ '^(22|54)' AND NOT (i % 5 = 4 AND SQLSTATE IN ('08P01', '0A000')) THEN
                RAISE EXCEPTION 'round % of seed %: % %', i, seed, SQLSTATE, SQLERRM USING DETAIL = 'Input: ' || input;
            END IF;
            refused := refused + 1;
        END;
    END LOOP;
END $$;

RESET search_path;
