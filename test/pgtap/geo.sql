-- Places, against published points: Vincenty's own check of Geoscience
-- Australia, lines of known length, and the reference points of GCJ-02 and BD-09.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();

-- distances
SELECT is(round(settle.distance_m(point(144 + 25 / 60.0 + 29.52440 / 3600, -(37 + 57 / 60.0 + 3.72030 / 3600)), point(143 + 55 / 60.0 + 35.38390 / 3600, -(37 + 39 / 60.0 + 10.15610 / 3600)))::numeric, 3),
    54972.271, 'Flinders Peak to Buninyong');
SELECT is(round(settle.distance_m(a, b)::numeric, 3), metres, format('%s to %s', a, b)) FROM (VALUES
    (point(0, 0), point(0, 0), 0.000), (point(7, 50), point(7, 50), 0.000),
    -- a degree along the equator is 2 pi a / 360; a quarter of a meridian is 10,001,965.729 m
    (point(0, 0), point(1, 0), 111319.491), (point(0, 0), point(0, 90), 10001965.729), (point(0, -90), point(33, 0), 10001965.729),
    -- a degree of latitude at the equator and at the pole
    (point(10, 0), point(10, 1), 110574.389), (point(10, 89), point(10, 90), 111693.865),
    -- over the line of 180 degrees, and over a pole
    (point(179.5, 0), point(-179.5, 0), 111319.491), (point(0, 89), point(180, 89), 223387.730)) AS v (a, b, metres);
SELECT is(settle.distance_m(point(121.4737, 31.2304), point(116.4074, 39.9042)), settle.distance_m(point(116.4074, 39.9042), point(121.4737, 31.2304)), 'there and back');
SELECT ok(settle.distance_m(point(0, 0), point(180, 0)) BETWEEN 19900000 AND 20040000, 'opposite ends of the earth have a distance');
SELECT ok(settle.distance_m(point(0, 0), point(179.9, 0.1)) BETWEEN 19900000 AND 20040000, 'and what is nearly that');

-- areas
SELECT is(settle.inside(place, circle(point(121.48, 31.23), 1000)), is_in, format('%s within a kilometre', place))
FROM (VALUES (point(121.48, 31.23), true), (point(121.4737, 31.2304), true), (point(121.4696, 31.23), true), (point(121.4695, 31.23), false)) AS v (place, is_in);
SELECT is(settle.inside(place, polygon '((0,0),(4,0),(4,4),(2,2),(0,4))'), is_in, format('%s in an area with a notch', place))
FROM (VALUES (point(1, 1), true), (point(2, 3), false), (point(0, 0), true), (point(4, 4), true), (point(2, 2), true), (point(1, 3), true), (point(1, 3.1), false), (point(0, 2), true), (point(-1, 2), false), (point(5, 2), false), (point(3, 2), true), (point(1, 2), true), (point(-1, 4), false), (point(2, 0), true)) AS v (place, is_in);

-- systems
SELECT ok(settle.distance_m(settle.to_wgs84(gcj, 'GCJ-02'), wgs) < 0.001, name) FROM (VALUES
    ('Shanghai', point(121.531541859215, 31.17530398364597), point(121.5272106, 31.1774276)),
    ('Shenzhen', point(113.9171764808363, 22.540796131694766), point(113.912316, 22.543847)),
    ('Beijing', point(116.38404722455657, 39.91334545536069), point(116.377817, 39.911954))) AS v (name, gcj, wgs);
SELECT ok(settle.distance_m(settle.to_wgs84(point(116.41024449916938, 39.91640428150164), 'GCJ-02'), point(116.404, 39.915)) < 0.001, 'the gate of heavenly peace');
SELECT ok(settle.distance_m(settle.to_wgs84(bd, 'BD-09'), settle.to_wgs84(gcj, 'GCJ-02')) < 0.001, format('BD-09 %s', bd)) FROM (VALUES
    (point(116.404, 39.915), point(116.39762729119315, 39.90865673957631)), (point(118.76519558159015, 30.946576225978003), point(118.75866025417945, 30.940779294367676))) AS v (bd, gcj);
SELECT is(settle.to_wgs84(place, system)::text, place::text, format('%s in %s', place, system)) FROM (VALUES (point(121.5, 31.2), 'WGS-84'), (point(2.35, 48.85), 'GCJ-02'), (point(-122.4, 37.8), 'BD-09')) AS v (place, system);

-- errors
SELECT throws_ok($$ SELECT settle.distance_m(point(31.2, 121.5), point(0, 0)) $$, '22003', 'latitude 121.5 is out of range', 'longitude and latitude exchanged');
SELECT throws_ok($$ SELECT settle.distance_m(point(0, 0), point(181, 0)) $$, '22003', 'longitude 181 is out of range', 'a longitude');
SELECT throws_ok($$ SELECT settle.inside(point('NaN', 0), circle(point(0, 0), 1)) $$, '22003', 'longitude NaN is out of range', 'no number');
SELECT throws_ok($$ SELECT settle.inside(point(5, 5), polygon '((0,0),(0,100),(1,1))') $$, '22003', 'latitude 100 is out of range', 'an area beyond the pole');
SELECT throws_ok($$ SELECT settle.to_wgs84(point(121.5, 31.2), 'gcj02') $$, '22023', 'unknown system of coordinates "gcj02"', 'a system');
SELECT is(settle.distance_m(NULL, point(0, 0)), NULL, 'a null is no place');

-- how far from an area, against the nearest of many places of its border
SELECT is(settle.distance_m(point(121.48, 31.23), circle(point(121.48, 31.23), 1000)), 0::float8, 'in the middle of a circle');
SELECT is(round(settle.distance_m(point(121.5, 31.23), circle(point(121.48, 31.23), 1000))::numeric, 3), round(settle.distance_m(point(121.5, 31.23), point(121.48, 31.23))::numeric, 3) - 1000, 'beyond its border');
SELECT is(settle.distance_m(point(121.45, 31.25), polygon '((121.4,31.2),(121.5,31.2),(121.5,31.3),(121.4,31.3))'), 0::float8, 'inside of an area');
SELECT set_eq($$
    SELECT n FROM generate_series(1, 60) AS n,
        LATERAL (SELECT point(121.3 + 0.3 * (n * 37 % 60) / 60, 31.1 + 0.3 * (n * 23 % 60) / 60) AS place, polygon '((121.4,31.2),(121.5,31.2),(121.5,31.3),(121.45,31.22),(121.4,31.3))' AS area) AS v,
        LATERAL (SELECT min(settle.distance_m(place, point(a[0] + (b[0] - a[0]) * k / 200.0, a[1] + (b[1] - a[1]) * k / 200.0))) AS nearest
            FROM (VALUES (point(121.4,31.2), point(121.5,31.2)), (point(121.5,31.2), point(121.5,31.3)), (point(121.5,31.3), point(121.45,31.22)), (point(121.45,31.22), point(121.4,31.3)), (point(121.4,31.3), point(121.4,31.2))) AS s (a, b), generate_series(0, 200) AS k) AS o
    WHERE settle.inside(place, area) <> (settle.distance_m(place, area) = 0) OR NOT settle.inside(place, area) AND NOT (o.nearest - settle.distance_m(place, area)) BETWEEN -0.02 * o.nearest AND 60$$, ARRAY[]::integer[], 'to the nearest side');
-- areas in other systems
SELECT is(settle.to_wgs84(polygon '((121,31),(122,31),(122,31),(122,32),(121,31))', 'WGS-84')::text, '((121,31),(122,31),(122,32))', 'a border that is closed by its first corner');
SELECT is((settle.to_wgs84(polygon '((121,31),(122,31),(122,32))', 'GCJ-02')::path)::text, format('(%s,%s,%s)', settle.to_wgs84(point(121,31), 'GCJ-02'), settle.to_wgs84(point(122,31), 'GCJ-02'), settle.to_wgs84(point(122,32), 'GCJ-02')), 'each corner');
SELECT is(box(settle.to_wgs84(polygon '((121,31),(122,31),(122,32))', 'BD-09'))::text, box(format('(%s,%s,%s)', settle.to_wgs84(point(121,31), 'BD-09'), settle.to_wgs84(point(122,31), 'BD-09'), settle.to_wgs84(point(122,32), 'BD-09'))::polygon)::text, 'and what is around it');
SELECT is(settle.to_wgs84(circle(point(121.5, 31.2), 700), 'GCJ-02')::text, circle(settle.to_wgs84(point(121.5, 31.2), 'GCJ-02'), 700)::text, 'a circle keeps its radius');
SELECT throws_ok(format('SELECT settle.to_wgs84(polygon %L, ''WGS-84'')', p), '22023', m, m) FROM (VALUES ('((1,1),(2,2),(2,1),(1,2))', 'sides 1 and 3 of an area meet'), ('((0,0),(4,0),(2,0),(2,4))', 'sides 1 and 3 of an area meet'), ('((1,1),(2,2))', 'an area needs three corners, not 2'),
    ('((1,1),(2,2),(3,3))', 'the corners of an area lie on one line'), ('((-179,0),(179,0),(179,1))', 'an area from longitude -179 to 179 is wider than half of the earth')) AS v (p, m);

-- in conditions
CREATE TABLE visit (at point, home point, area polygon);
SELECT is(settle.check_expression('settle.distance_m(settle.to_wgs84(at, ''GCJ-02''), home) <= 500 and settle.inside(at, area)', 'visit', result => 'boolean') IS NOT NULL, true, 'conditions may call them');
SELECT * FROM finish();
