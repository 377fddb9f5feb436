-- Random histories of guides, followings, payments, memos, aliases, customers and
-- confirmations, which arrive in random order and cut anywhere by steps, end in
-- what plain SQL says of their end.  More: psql -v seeds=20 -v rounds=300 -f ...
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
\if :{?seeds} \else \set seeds 3 \endif
\if :{?rounds} \else \set rounds 120 \endif
SET check_function_bodies = off;
SELECT no_plan();

CREATE FUNCTION public.pick(items anyarray) RETURNS anyelement LANGUAGE sql VOLATILE AS $$ SELECT items[1 + floor(random() * cardinality(items))::integer] $$;
CREATE FUNCTION public.hour() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT '2025-11-01'::timestamptz + floor(random() * 240) * interval '1 hour' $$;

-- One thing that somebody or some platform says.  What it says does not depend on
-- when it is said but for an alias, which is set or ended anew.
CREATE PROCEDURE public.happen(what integer) LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := public.hour();
    no text := 'o' || floor(random() * 12);
    customer text := 'w' || floor(random() * 5);
    staff text := public.pick('{ann,bob,cat,dan}'::text[]);
    guide text := public.pick('{g1,g2,g3,NULL,NULL}'::text[]);
BEGIN
    CASE
    WHEN what < 25 THEN
        INSERT INTO served.shop_order AS o (platform, shop, order_no, created_at, lifecycle, staff_ref, staff_refs, live_author, seller_memo, pay_trade_no, version, precedence, tied, flags, staging_id)
        VALUES ('p', 's', no, at, 'paid', guide, CASE WHEN random() < 0.2 THEN ARRAY[public.pick('{g1,g2,g3}'::text[]), public.pick('{g1,g2,g3}'::text[])] END,
            public.pick('{a1,a2,NULL,NULL,NULL}'::text[]), public.pick('{找小满,小满二号来过,谢谢,NULL,NULL}'::text[]), 'pay' || no, at, '', false, '{}', 0)
        ON CONFLICT (order_no, shop, platform) DO UPDATE SET created_at = excluded.created_at, staff_ref = excluded.staff_ref, staff_refs = excluded.staff_refs,
            live_author = excluded.live_author, seller_memo = excluded.seller_memo;
        DELETE FROM served.order_line WHERE order_no = no;
        INSERT INTO served.order_line (platform, shop, order_no, line_no, position, staff_ref, live_author)
        SELECT 'p', 's', no, n::text, n, public.pick('{g1,g2,NULL,NULL,NULL}'::text[]), public.pick('{a1,a2,NULL,NULL,NULL}'::text[]) FROM generate_series(1, 1 + floor(random() * 3)::integer) AS n;
    WHEN what < 55 THEN
        INSERT INTO served.follow_event (platform, shop, customer_no, staff_ref, event_no, what, happened_at, add_way, version, precedence, tied, flags, staging_id)
        SELECT 'wecom', public.pick('{"",corp}'::text[]), customer, staff, w || at, w, at, CASE WHEN w = 'followed' THEN public.pick('{1,202}'::integer[]) END, at, '', false, '{}', 0
        FROM public.pick('{followed,followed,added,removed_by_customer,removed_by_staff,transfer_failed}'::text[]) AS w
        ON CONFLICT DO NOTHING;
    WHEN what < 62 THEN
        INSERT INTO served.shop_payment AS p (platform, shop, payment_no, order_ref, attach, status, total_amount, refunded_amount, staff_ref, version, precedence, tied, flags, staging_id)
        VALUES ('wecom', 'm', public.pick(ARRAY['pay' || no, 't' || no]), public.pick(ARRAY[no, 'x']), public.pick(ARRAY[no, 'y']), public.pick('{success,success,refunded,closed}'::text[]),
            10, public.pick('{0,4,10}'::numeric[]), staff, at, '', false, '{}', 0)
        ON CONFLICT (payment_no, shop, platform) DO UPDATE SET status = excluded.status, refunded_amount = excluded.refunded_amount, staff_ref = excluded.staff_ref, order_ref = excluded.order_ref, attach = excluded.attach;
    WHEN what < 75 THEN
        INSERT INTO served.customer_identity (platform, shop, scope, key_type, key_value, subject, version, precedence, tied, flags, staging_id)
        SELECT split_part(s, ':', 1), '', '', 'unionid', 'union-' || customer, s, now(), '', false, '{}', 0
        FROM unnest(public.pick(ARRAY['{p:order:' || no || '}', '{wecom:contact:' || customer || '}', '{wecom:contact:' || customer || ',p:order:' || no || '}'])::text[]) AS s
        ON CONFLICT DO NOTHING;
    WHEN what < 92 THEN
        CASE public.pick('{1,2,3,4,5}'::integer[])
        WHEN 1 THEN PERFORM settle.set_staff_alias('served', 'wecom', public.pick('{"",corp}'::text[]), staff, public.pick('{1,2,3,NULL}'::text[]), since => public.pick(ARRAY['-infinity', at]));
        WHEN 2 THEN PERFORM settle.set_staff_alias('served', public.pick('{"",p}'::text[]), public.pick('{"",s}'::text[]), public.pick('{g1,g2,g3,a1,a2}'::text[]), public.pick('{1,2,3,4,NULL}'::text[]), since => public.pick(ARRAY['-infinity', at]));
        WHEN 3 THEN PERFORM settle.set_staff_alias('served', '', '', public.pick('{小满,小满二号}'::text[]), public.pick('{5,6}'::text[]), since => public.pick(ARRAY['-infinity', at]), kind => 'word');
        WHEN 4 THEN DELETE FROM served.staff_alias WHERE random() < 0.1;
        ELSE UPDATE served.staff_alias SET staff = '7' WHERE random() < 0.1;
        END CASE;
    WHEN what < 95 THEN
        UPDATE served.book SET follower_policy = public.pick('{first,last}'::text[]), follower_inherited = random() < 0.5;
    WHEN what < 97 THEN
        UPDATE served.evidence SET enabled = random() < 0.8, estimate = random() < 0.3 WHERE evidence = public.pick('{payment,line_guide,order_guide,live_room,follower,memo}'::text[]);
    WHEN what < 98 THEN
        INSERT INTO served.staff_confirmation (platform, shop, order_no, line_no, weights, evidence, confirmed_by)
        SELECT 'p', 's', l.order_no, l.line_no, '{"9": 1}', 'confirmed', 'somebody' FROM served.order_line AS l WHERE l.order_no = no ON CONFLICT DO NOTHING;
        INSERT INTO served.order_changed (platform, shop, order_no) VALUES ('p', 's', no);
    ELSE
        WHILE settle.work('served', public.pick('{customers,links,campaigns,staff}'::text[])) LOOP END LOOP;
    END CASE;
END $$;

-- Plain SQL: who follows at a time, by looking at the events one by one.
CREATE FUNCTION public.corp(customer text, shop text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN shop <> '' THEN shop ELSE coalesce((SELECT min(e.shop) FROM served.follow_event AS e WHERE e.customer_no = customer AND e.shop <> ''), '') END $$;
CREATE FUNCTION public.followers(customer text, at timestamptz) RETURNS TABLE (corp text, staff text, since timestamptz, inherited boolean) LANGUAGE plpgsql STABLE AS $$
DECLARE
    e record;
BEGIN
    FOR corp, staff IN SELECT DISTINCT public.corp(customer, f.shop), f.staff_ref FROM served.follow_event AS f WHERE f.customer_no = customer LOOP
        since := NULL;
        FOR e IN SELECT f.happened_at, bool_or(f.what IN ('followed', 'added')) AS begins, bool_or(coalesce(f.add_way = 202, false)) AS assigned, bool_or(f.what LIKE 'removed%') AS removed
            FROM served.follow_event AS f WHERE f.customer_no = customer AND f.staff_ref = staff AND public.corp(customer, f.shop) = corp AND f.happened_at <= at GROUP BY 1 ORDER BY 1 LOOP
            IF e.begins THEN since := e.happened_at; inherited := e.assigned;
            ELSIF e.removed OR inherited THEN since := NULL; END IF;
        END LOOP;
        IF since IS NOT NULL THEN RETURN NEXT; END IF;
    END LOOP;
END $$;
CREATE FUNCTION public.meant(system text, system_shop text, alias_kind text, reference text, at timestamptz, OUT known boolean, OUT staff text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    p text;
    s text;
BEGIN
    known := false;
    FOREACH p IN ARRAY ARRAY[system, ''] LOOP
        FOREACH s IN ARRAY ARRAY[system_shop, ''] LOOP
            CONTINUE WHEN known;
            SELECT true, a.staff INTO known, staff FROM served.staff_alias AS a WHERE a.platform = p AND a.shop = s AND a.kind = alias_kind AND a.staff_ref = reference AND a.valid @> at;
            known := coalesce(known, false);
        END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION public.said(no text, line text, evidence text, at timestamptz) RETURNS TABLE (system text, system_shop text, kind text, reference text, weight numeric) LANGUAGE plpgsql STABLE AS $$
DECLARE
    o record;
    l record;
    owner bigint;
BEGIN
    SELECT * INTO o FROM served.shop_order WHERE order_no = no;
    SELECT * INTO l FROM served.order_line WHERE order_no = no AND line_no = line;
    CASE evidence
    WHEN 'line_guide' THEN RETURN QUERY SELECT 'p', 's', 'person', l.staff_ref, 1::numeric;
    WHEN 'order_guide' THEN RETURN QUERY SELECT 'p', 's', 'person', r, 1::numeric FROM unnest(coalesce(o.staff_refs, ARRAY[o.staff_ref])) AS r;
    WHEN 'live_room' THEN RETURN QUERY SELECT 'p', 's', 'person', coalesce(l.live_author, o.live_author), 1::numeric;
    WHEN 'payment' THEN RETURN QUERY SELECT p.platform, p.shop, 'person', p.staff_ref, 10 - p.refunded_amount FROM served.shop_payment AS p
        WHERE p.status <> 'closed' AND p.refunded_amount < 10 AND no = ANY (ARRAY[substr(p.payment_no, 4), p.order_ref, p.attach]) AND (p.payment_no LIKE 'pay%' OR no IN (p.order_ref, p.attach));
    WHEN 'follower' THEN
        SELECT c.customer INTO owner FROM served.subject_customer AS c WHERE c.subject = 'p:order:' || no;
        RETURN QUERY WITH f AS (
            SELECT x.*, min(x.since) OVER () AS first, max(x.since) OVER () AS last FROM served.subject_customer AS c CROSS JOIN LATERAL public.followers(substr(c.subject, 15), at) AS x
            WHERE c.customer = owner AND c.subject LIKE 'wecom:contact:%' AND ((SELECT follower_inherited FROM served.book) OR NOT x.inherited))
        SELECT 'wecom', f.corp, 'person', f.staff, 1::numeric FROM f WHERE f.since = CASE (SELECT follower_policy FROM served.book) WHEN 'first' THEN f.first ELSE f.last END;
    WHEN 'memo' THEN RETURN QUERY SELECT 'p', 's', 'word', w, 1::numeric FROM unnest(CASE WHEN o.seller_memo LIKE '%小满二号%' AND (public.meant('p', 's', 'word', '小满二号', at)).known THEN '{小满二号}'
        WHEN o.seller_memo LIKE '%小满%' AND (public.meant('p', 's', 'word', '小满', at)).known THEN '{小满}' ELSE '{}' END::text[]) AS w;
    END CASE;
END $$;
CREATE FUNCTION public.should() RETURNS TABLE (order_no text, line_no text, weights jsonb, evidence text, estimate boolean) LANGUAGE plpgsql STABLE AS $$
DECLARE
    e record;
    at timestamptz;
    unsure boolean;
    unknown boolean;
BEGIN
    FOR order_no, line_no, at IN SELECT l.order_no, l.line_no, o.created_at FROM served.order_line AS l JOIN served.shop_order AS o USING (order_no) LOOP
        SELECT c.weights, c.evidence, false INTO weights, evidence, estimate FROM served.staff_confirmation AS c WHERE c.order_no = should.order_no AND c.line_no = should.line_no;
        IF FOUND THEN RETURN NEXT; CONTINUE; END IF;
        unsure := false;
        FOR e IN SELECT v.* FROM served.evidence AS v WHERE v.platform = '' AND v.enabled ORDER BY v.rank LOOP
            SELECT jsonb_object_agg(x.staff, x.weight) FILTER (WHERE x.staff IS NOT NULL), coalesce(bool_or(x.unknown), false) INTO weights, unknown
            FROM (SELECT m.staff, sum(r.weight) AS weight, bool_or(NOT m.known AND r.kind = 'person') AS unknown
                FROM public.said(order_no, line_no, e.evidence, at) AS r CROSS JOIN LATERAL public.meant(r.system, r.system_shop, r.kind, r.reference, at) AS m
                WHERE r.reference IS NOT NULL GROUP BY 1) AS x;
            unsure := unsure OR unknown;
            IF weights IS NOT NULL THEN
                evidence := e.evidence;
                estimate := e.estimate OR unsure;
                RETURN NEXT;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE PROCEDURE public.play(seed integer, rounds integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed / 1000.0);
    PERFORM settle.create_book('served');
    FOR i IN 1 .. rounds LOOP CALL public.happen(floor(random() * 100)::integer); END LOOP;
    -- each step once more, as the next tick does
    FOR i IN 1 .. 2 LOOP
        WHILE settle.work('served', 'customers') LOOP END LOOP;
        WHILE settle.work('served', 'links') OR settle.work('served', 'campaigns') OR settle.work('served', 'staff') LOOP END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION public.differences() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s: is %s, should be %s', order_no, line_no, coalesce(a.weights || a.evidence::text || a.estimate, 'nobody''s'), coalesce(s.weights || s.evidence || s.estimate, 'nobody''s'))
    FROM (SELECT order_no, line_no, weights::text, evidence, estimate::text FROM served.attribution WHERE replaced_at IS NULL) AS a
    FULL JOIN (SELECT order_no, line_no, weights::text, evidence, estimate::text FROM public.should()) AS s USING (order_no, line_no)
    WHERE (a.weights::jsonb, a.evidence, a.estimate) IS DISTINCT FROM (s.weights::jsonb, s.evidence, s.estimate) $$;

SELECT format($f$
    CALL public.play(%1$s, %2$s);
    SELECT is((SELECT string_agg(d, E'\n' ORDER BY d) FROM public.differences() AS d), NULL, 'seed %1$s: ' || (SELECT count(*) FROM served.attribution) || ' attributions end as plain SQL says');
    SELECT is((SELECT string_agg(what || ': ' || error, E'\n') FROM served.job_run WHERE error IS NOT NULL), NULL, 'seed %1$s: no step has failed');
    SELECT is_empty($$ SELECT * FROM settle.check('served') $$, 'seed %1$s: all invariants hold');
    DROP SCHEMA served CASCADE;
$f$, seed, :rounds) FROM generate_series(1, :seeds) AS seed \gexec
SELECT * FROM finish();
