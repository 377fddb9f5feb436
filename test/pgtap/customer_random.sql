-- Who is who does not depend on when it became known: identities in every order
-- of arrival, in one step or in many, with people who merge, split and cut in
-- between, against a second answer in plain SQL. A failing round names its seed.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
\if :{?seeds} \else \set seeds 8 \endif
\if :{?orders} \else \set orders 6 \endif
\if :{?actions} \else \set actions 60 \endif
\i test/oracle/customers.sql
SELECT settle.create_book('who') \g /dev/null
CREATE FUNCTION pg_temp.luck(low int, high int) RETURNS int LANGUAGE sql VOLATILE RETURN low + floor(random() * (high - low + 1))::int;

CREATE TABLE drawn (n serial, scope text, key_type text, key_value text, subject text);
CREATE FUNCTION pg_temp.draw(how_many int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO drawn (scope, key_type, key_value, subject)
    SELECT CASE WHEN t = 1 THEN '' WHEN t <= 3 THEN (ARRAY['', 'A', 'B'])[pg_temp.luck(1, 3)] ELSE '' END,
        CASE WHEN t = 1 THEN 'unionid' WHEN t <= 3 THEN 'openid' WHEN t = 4 THEN 'yz_open_id' WHEN t = 5 THEN 'address' ELSE 'nick' END,
        CASE WHEN t = 1 THEN 'u' || pg_temp.luck(1, 4) ELSE 'k' || pg_temp.luck(1, 9) END, 's' || pg_temp.luck(1, 14)
    FROM (SELECT pg_temp.luck(1, 6) AS t FROM generate_series(1, how_many)) AS x;
$$;
CREATE FUNCTION pg_temp.identify(which int[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO who.customer_identity (platform, shop, scope, key_type, key_value, subject, version, precedence, tied, flags, staging_id)
    SELECT 'p', '', d.scope, d.key_type, d.key_value, d.subject, now(), '', false, '{}', 0 FROM drawn AS d WHERE d.n = ANY (which) ON CONFLICT DO NOTHING;
$$;
CREATE FUNCTION pg_temp.place() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE (settle._tick_customers('who') ->> 'more')::boolean LOOP END LOOP;
END
$$;
CREATE FUNCTION pg_temp.customers() RETURNS text[] LANGUAGE sql AS $$
    SELECT ARRAY(SELECT string_agg(s.subject, ' ' ORDER BY s.subject COLLATE "C") FROM who.customer_subject AS s WHERE s.customer IS NOT NULL GROUP BY s.customer ORDER BY 1)
$$;
CREATE FUNCTION pg_temp.forget() RETURNS void LANGUAGE sql AS $$
    TRUNCATE who.customer_identity, who.customer_subject, who.customer, who.identity_key, who.identity_link, who.customer_suggestion, who.alert;
    DELETE FROM who.subject_changed;
$$;

-- one set of identities, in many orders
CREATE TABLE ending (seed int, way int, got text[], wanted text[], checked bigint);
CREATE FUNCTION pg_temp.arrive(seed int, orders int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    arrival int[];
    at int;
    upto int;
BEGIN
    PERFORM setseed(seed / 1000.0);
    TRUNCATE drawn;
    PERFORM pg_temp.draw(pg_temp.luck(5, 30));
    FOR way IN 1 .. orders LOOP
        PERFORM pg_temp.forget();
        arrival := ARRAY(SELECT n FROM drawn ORDER BY random());
        at := 1;
        WHILE at <= cardinality(arrival) LOOP
            upto := CASE way WHEN 1 THEN cardinality(arrival) WHEN 2 THEN at ELSE at + pg_temp.luck(0, 4) END;
            PERFORM pg_temp.identify(arrival[at:upto]);
            PERFORM pg_temp.place();
            at := upto + 1;
        END LOOP;
        INSERT INTO ending VALUES (seed, way, pg_temp.customers(), oracle.customers('who'), (SELECT count(*) FROM settle.check('who')));
    END LOOP;
END
$$;
SELECT pg_temp.arrive(seed, :orders) FROM generate_series(1, :seeds) AS seed \g /dev/null
SELECT is_empty(format('SELECT way, got, wanted FROM ending WHERE seed = %s AND got <> wanted', seed), format('seed %s: customers are the components of their keys, in %s orders of arrival', seed, :orders)) FROM generate_series(1, :seeds) AS seed;
SELECT is_empty($$ SELECT seed, way FROM ending WHERE checked > 0 $$, 'settle.check finds nothing');
SELECT cmp_ok((SELECT count(DISTINCT seed) FROM ending WHERE wanted <> '{}' AND cardinality(wanted) > 1), '>', 0::bigint, 'there was something to tell apart');

-- a history: identities come and go, types change, people decide
CREATE TABLE fault (seed int, invariant text, object text, detail text);
CREATE TABLE step (seed int, n int, action text, got text[], wanted text[]);
CREATE FUNCTION pg_temp.act() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    dice int := pg_temp.luck(1, 100);
    a record;
    b record;
BEGIN
    SELECT s.* INTO a FROM who.customer_subject AS s WHERE s.customer IS NOT NULL ORDER BY random() LIMIT 1;
    SELECT s.* INTO b FROM who.customer_subject AS s WHERE s.customer IS NOT NULL AND s.customer <> a.customer ORDER BY random() LIMIT 1;
    IF dice <= 50 OR a IS NULL THEN
        TRUNCATE drawn;
        PERFORM pg_temp.draw(pg_temp.luck(1, 3));
        PERFORM pg_temp.identify(ARRAY(SELECT n FROM drawn));
        RETURN 'identities';
    ELSIF dice <= 60 THEN
        DELETE FROM who.customer_identity WHERE (key_type, key_value, scope, subject) IN (SELECT i.key_type, i.key_value, i.scope, i.subject FROM who.customer_identity AS i ORDER BY random() LIMIT 1);
        RETURN 'one less';
    ELSIF dice <= 72 THEN
        PERFORM settle.merge_customers('who', a.customer, b.customer, 'dice');
        RETURN format('merge %s %s', a.subject, b.subject);
    ELSIF dice <= 84 THEN
        PERFORM settle.split_customer('who', ARRAY(SELECT s.subject FROM who.customer_subject AS s WHERE s.customer = a.customer AND (s.subject = a.subject OR random() < 0.3)), 'dice');
        RETURN 'split ' || a.subject;
    ELSIF dice <= 90 THEN
        PERFORM settle.cut_key('who', s.subject, k.key_type, k.key_value, 'dice')
        FROM (SELECT * FROM who.identity_link WHERE NOT cut ORDER BY random() LIMIT 1) AS l JOIN who.identity_key AS k USING (key_id) JOIN who.customer_subject AS s USING (subject_id);
        RETURN 'cut';
    ELSIF dice <= 94 THEN
        PERFORM settle.restore_key('who', s.subject, k.key_type, k.key_value, 'dice')
        FROM (SELECT * FROM who.identity_link WHERE cut ORDER BY random() LIMIT 1) AS l JOIN who.identity_key AS k USING (key_id) JOIN who.customer_subject AS s USING (subject_id);
        RETURN 'restore';
    ELSIF dice <= 97 THEN
        UPDATE who.key_type SET strength = CASE strength WHEN 'weak' THEN 'strong' ELSE 'weak' END WHERE key_type = 'address';
        RETURN 'type';
    ELSE
        PERFORM settle.refuse_suggestion('who', suggestion_id, 'dice') FROM (SELECT suggestion_id FROM who.customer_suggestion WHERE state = 'open' ORDER BY random() LIMIT 1) AS g;
        RETURN 'refuse';
    END IF;
EXCEPTION WHEN integrity_constraint_violation OR invalid_parameter_value OR undefined_object OR object_not_in_prerequisite_state THEN
    RETURN 'refused: ' || SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.live(seed int, actions int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    action text;
BEGIN
    PERFORM setseed(seed / 1000.0);
    PERFORM pg_temp.forget();
    UPDATE who.key_type SET strength = 'weak' WHERE key_type = 'address';
    FOR n IN 1 .. actions LOOP
        action := pg_temp.act();
        CONTINUE WHEN random() < 0.3;
        PERFORM pg_temp.place();
        INSERT INTO step VALUES (seed, n, action, pg_temp.customers(), oracle.customers('who'));
    END LOOP;
    PERFORM pg_temp.place();
    INSERT INTO fault SELECT seed, c.* FROM settle.check('who') AS c;
END
$$;
CREATE FUNCTION pg_temp.unlike(seed int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s (%s): %s, wanted %s', n, action, got, wanted) FROM step WHERE step.seed = unlike.seed AND got <> wanted ORDER BY n LIMIT 1
$$;
SELECT pg_temp.live(seed, :actions) FROM generate_series(1, :seeds) AS seed \g /dev/null
SELECT is_empty(format('SELECT pg_temp.unlike(%s)', seed), format('seed %s: so they are after each of %s actions', seed, :actions)) FROM generate_series(1, :seeds) AS seed;
SELECT is_empty($$ SELECT * FROM fault $$, 'settle.check finds nothing');
SELECT cmp_ok((SELECT count(DISTINCT split_part(action, ' ', 1)) FROM step), '>', 6::bigint, 'much has happened');

-- numbers
SELECT is_empty($$ SELECT s.customer FROM who.customer_subject AS s LEFT JOIN who.customer AS c USING (subject_id) WHERE s.customer IS NOT NULL GROUP BY s.customer HAVING s.customer IS DISTINCT FROM min(c.customer) $$,
    'a customer has the smallest of the numbers that his subjects founded');
SELECT * FROM finish();
