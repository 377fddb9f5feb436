-- Random bytes for the receive function of every type of schema settle that has
-- one.  Valid messages are damaged; what is refused is refused with an ordinary
-- error of bad data, what is accepted is accepted in text form too, and is the
-- same value there.  Anything else raises.  Expects fuzz.receive and, in
-- fuzz.seed (type, value), texts of each type.
CREATE FUNCTION fuzz.damaged(message bytea) RETURNS bytea
LANGUAGE plpgsql AS $$
DECLARE
    b bytea := message;
    at int;
BEGIN
    IF random() < 0.05 THEN
        RETURN decode(left(repeat(md5(random()::text), 8), 2 * floor(random() * 100)::int), 'hex');
    END IF;
    FOR i IN 1 .. 1 + floor(random() * random() * 5)::int LOOP
        EXIT WHEN length(b) = 0;
        at := floor(random() * length(b))::int;
        b := CASE floor(random() * 6)::int
            WHEN 0 THEN set_byte(b, at, floor(random() * 256)::int)
            WHEN 1 THEN set_byte(b, at, CASE WHEN random() < 0.5 THEN 255 ELSE 127 END)
            WHEN 2 THEN substr(b, 1, at)
            WHEN 3 THEN b || substr(b, at + 1)
            WHEN 4 THEN substr(b, 1, at) || substr(b, at + 1 + ceil(random() * 4)::int)
            ELSE set_byte(b, at, get_byte(b, at) # (1 << floor(random() * 8)::int)) END;
    END LOOP;
    RETURN b;
END $$;

CREATE FUNCTION fuzz.receive_all(seed float8, rounds int, OUT type regtype, OUT taken int, OUT refused int) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    seeds text[];
    sent bytea;
    message bytea;
    got text;
    again text;
    state text;
BEGIN
    PERFORM setseed(seed);
    FOR type IN SELECT t.oid FROM pg_type AS t WHERE t.typnamespace = 'settle'::regnamespace AND t.typreceive <> 0 ORDER BY t.typname COLLATE "C" LOOP
        taken := 0;
        refused := 0;
        seeds := ARRAY(SELECT CASE WHEN t.typcategory = 'A' THEN ARRAY[s.value, NULL, s.value]::text ELSE s.value END
            FROM fuzz.seed AS s, pg_type AS t WHERE t.oid = receive_all.type AND s.type IN (t.oid, t.typelem) ORDER BY s.value COLLATE "C");
        IF seeds = '{}' THEN
            RAISE 'no value of type % to begin with', type;
        END IF;
        FOR i IN 1 .. rounds LOOP
            EXECUTE format('SELECT %s($1::%s)', (SELECT t.typsend FROM pg_type AS t WHERE t.oid = receive_all.type), type) INTO sent USING seeds[1 + i % cardinality(seeds)];
            message := fuzz.damaged(sent);
            BEGIN
                got := fuzz.receive(type, message);
            EXCEPTION WHEN OTHERS THEN
                refused := refused + 1;
                IF SQLSTATE !~ '^(22|54)' AND SQLSTATE NOT IN ('08P01', '42804', '2202E') THEN
                    RAISE '% %', SQLSTATE, SQLERRM USING DETAIL = format('seed %s: type %s, %s', seed, type, message);
                END IF;
                CONTINUE;
            END;
            taken := taken + 1;
            BEGIN
                EXECUTE format('SELECT $1::%s::text', type) INTO again USING got;
            EXCEPTION WHEN OTHERS THEN
                again := SQLERRM;
            END;
            IF again IS DISTINCT FROM got THEN
                RAISE 'type % takes bytes as % and says of that text: %', type, got, again USING DETAIL = format('seed %s: %s', seed, message);
            END IF;
        END LOOP;
        RETURN NEXT;
    END LOOP;
END $$;
