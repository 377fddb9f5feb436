-- geo: places, how far apart they are, and in which system they are written

CREATE FUNCTION settle.distance_m(a point, b point) RETURNS double precision AS 'MODULE_PATHNAME', 'settle_distance_m' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.distance_m(point, point) IS 'metres between two places, points of longitude and latitude in WGS-84';

CREATE FUNCTION settle.distance_m(place point, area circle) RETURNS double precision AS 'MODULE_PATHNAME', 'settle_distance_to_circle' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.distance_m(point, circle) IS 'metres from a place to the border of a circle, whose radius is in metres; 0 inside';

CREATE FUNCTION settle.distance_m(place point, area polygon) RETURNS double precision AS 'MODULE_PATHNAME', 'settle_distance_to_polygon' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.distance_m(point, polygon) IS 'metres from a place to the border of an area; 0 inside';

CREATE FUNCTION settle.inside(place point, area circle) RETURNS boolean AS 'MODULE_PATHNAME', 'settle_inside_circle' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.inside(point, circle) IS 'whether a place lies around another one; the radius of the circle is in metres';

CREATE FUNCTION settle.inside(place point, area polygon) RETURNS boolean AS 'MODULE_PATHNAME', 'settle_inside_polygon' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.inside(point, polygon) IS 'whether a place lies in an area, its border included';

CREATE FUNCTION settle.to_wgs84(place point, system text) RETURNS point AS 'MODULE_PATHNAME', 'settle_to_wgs84' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.to_wgs84(point, text) IS 'a place in WGS-84 that is written in WGS-84, GCJ-02 or BD-09';

CREATE FUNCTION settle.to_wgs84(area circle, system text) RETURNS circle AS 'MODULE_PATHNAME', 'settle_circle_to_wgs84' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.to_wgs84(circle, text) IS 'a circle in WGS-84 whose centre is written in WGS-84, GCJ-02 or BD-09; its radius is in metres';

CREATE FUNCTION settle.to_wgs84(area polygon, system text) RETURNS polygon AS 'MODULE_PATHNAME', 'settle_polygon_to_wgs84' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.to_wgs84(polygon, text) IS 'an area in WGS-84 whose corners are written in WGS-84, GCJ-02 or BD-09; refuses what is no area';
