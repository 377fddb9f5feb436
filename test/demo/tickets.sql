-- The names of the places and services, then the quarter's tickets, :tickets of
-- them, the same on every machine: whatever is drawn for a ticket depends on its
-- number alone.
INSERT INTO chain.label (tree, path, name, name_en)
SELECT tree, path::text, name, CASE label WHEN 'cn' THEN 'China' WHEN 'ac' THEN 'AC' ELSE initcap(label) END
FROM (SELECT 'project' AS tree, path, name FROM shop.project UNION ALL SELECT 'region', path, name FROM shop.region) AS node
CROSS JOIN LATERAL (SELECT subpath(path, -1, 1)::text AS label) AS last;

INSERT INTO chain.ticket (ticket_id, order_ref, rework_of, opened_at, done_at, project, region, channel,
                          customer, level, worker, dealer, amount, cost, tax, rush, night, details)
WITH number AS MATERIALIZED (
    SELECT n, shop.chance(n, 1) < 0.022 AND n > 2000 AS rework
    FROM generate_series(1, :tickets) n
),
-- A rework goes where an earlier ticket, its origin, was done.
visit AS MATERIALIZED (
    SELECT n, rework, origin,
           width_bucket((n - 0.5) / :tickets, (SELECT array_agg(starts ORDER BY number) FROM shop.day)) AS day,
           width_bucket(shop.chance(origin, 2), (SELECT array_agg(starts ORDER BY number) FROM shop.region)) AS region,
           width_bucket(shop.chance(origin, 4), (SELECT array_agg(starts ORDER BY number) FROM shop.channel)) AS channel,
           shop.chance(n, 5) < 0.08 AS rush,
           shop.chance(n, 6) < 0.06 AS night,
           1 + floor(90000 * shop.chance(origin, 7))::int AS customer
    FROM number
    CROSS JOIN LATERAL (SELECT CASE WHEN rework THEN n - 1 - floor(1500 * shop.chance(n, 8))::bigint ELSE n END) o(origin)
),
-- Some technicians have more work than others; a rework is done by somebody else.
ticket AS MATERIALIZED (
    SELECT n, rework, origin, rush, night, customer, day.day, channel.code AS channel, project.path AS project, parts,
           region.path AS region, region.weight, dealers, dealers IS NULL AS own,
           first_worker + seat AS first, first_worker + (seat + further) % nullif(workers, 0) AS other,
           (day.day + make_interval(mins => CASE WHEN night THEN 22 * 60 ELSE 8 * 60 END
                                            + (CASE WHEN night THEN 110 ELSE 780 END * shop.chance(n, 9))::int))
               AT TIME ZONE 'Asia/Shanghai' AS finished,
           CASE WHEN rework THEN 0
                ELSE round(price * level * CASE WHEN sale THEN 0.92 ELSE 1 END * CASE WHEN rush THEN 1.2 ELSE 1 END
                           * (0.85 + 0.4 * shop.chance(n, 10))::numeric(6, 4), 2) END AS amount
    FROM visit
    CROSS JOIN (SELECT array_agg(starts ORDER BY number) AS projects FROM shop.project) p
    JOIN shop.day ON day.number = visit.day
    JOIN shop.region ON region.number = visit.region
    JOIN shop.project ON project.number = width_bucket(power(shop.chance(origin, 3), youth), projects)
    JOIN shop.channel ON channel.number = visit.channel
    CROSS JOIN LATERAL (
        SELECT floor(workers * power(shop.chance(origin, 11), 1.25))::int,
               1 + floor((workers - 1) * shop.chance(n, 12))::int) s(seat, further)
)
SELECT 'T' || to_char(n, 'FM000000'),
       'SO' || to_char(n * 7 + 100000, 'FM0000000'),
       CASE WHEN rework THEN 'T' || to_char(origin, 'FM000000') END,
       finished - make_interval(hours => 2 + (60 * shop.chance(n, 13))::int),
       CASE WHEN day < '2025-12-30' OR shop.chance(n, 14) < 0.7 THEN finished END,
       project,
       region || ('s' || 1 + floor((1 + weight / 10) * shop.chance(origin, 15)))::text,
       channel,
       'c' || to_char(customer, 'FM00000'),
       CASE WHEN customer % 20 = 0 THEN 'diamond' WHEN customer % 7 = 0 THEN 'gold'
            WHEN customer % 3 = 0 THEN 'silver' ELSE 'normal' END,
       -- A few tickets come without their technician: they will stand in chain.problem.
       CASE WHEN own AND n % 9973 <> 3 THEN 'w' || to_char(1 + CASE WHEN rework THEN other ELSE first END, 'FM0000') END,
       dealers || '-' || to_char(1 + floor(8 * shop.chance(origin, 16)), 'FM00'),
       amount,
       CASE WHEN rework THEN 60 ELSE round(amount * parts, 2) END,
       round(amount * 6 / 106, 2),
       rush,
       night,
       CASE WHEN rework AND own THEN jsonb_build_object('first_worker', 'w' || to_char(1 + first, 'FM0000'))
            WHEN project = 'install.ac.central' AND own THEN jsonb_build_object('helper', 'w' || to_char(1 + other, 'FM0000'))
            ELSE '{}' END
FROM ticket
ORDER BY n;

ANALYZE chain.ticket;
