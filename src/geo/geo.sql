-- geo: places, how far apart they are, and in which system they are written

CREATE FUNCTION settle.distance_m(a point, b point) RETURNS double precision AS 'MODULE_PATHNAME', 'settle_distance_m' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.distance_m(point, point) IS 'metres between two places, points of longitude and latitude in WGS-84';

CREATE FUNCTION settle.inside(place point, area circle) RETURNS boolean AS 'MODULE_PATHNAME', 'settle_inside_circle' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.inside(point, circle) IS 'whether a place lies around another one; the radius of the circle is in metres';

CREATE FUNCTION settle.inside(place point, area polygon) RETURNS boolean AS 'MODULE_PATHNAME', 'settle_inside_polygon' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.inside(point, polygon) IS 'whether a place lies in an area, its border included';

CREATE FUNCTION settle.to_wgs84(place point, system text) RETURNS point AS 'MODULE_PATHNAME', 'settle_to_wgs84' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION settle.to_wgs84(point, text) IS 'a place in WGS-84 that is written in WGS-84, GCJ-02 or BD-09';
