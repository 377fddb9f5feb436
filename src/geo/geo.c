/*
 * geo.c
 *		Places: how far two of them are apart, what lies inside of what, and the
 *		three systems in which coordinates are written in China.
 *
 * A place is a point (longitude, latitude) in degrees.  GCJ-02, in which maps of
 * mainland China are drawn, shifts a true place (WGS-84) by some hundred metres
 * as a function of where it is; BD-09 shifts that once more.  Whoever takes one
 * for the other is half a kilometre off, so the system is always named.
 */
#include "core/core.h"
#include "geo/geo.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/geo_decls.h"

/* The ellipsoid of WGS-84, and that of Krassovsky, on which GCJ-02 is defined. */
#define EQUATOR			6378137.0
#define FLATTENING		(1 / 298.257223563)
#define GCJ_EQUATOR		6378245.0
#define GCJ_ECCENTRICITY2	0.00669342162296594323

/* The radius of a sphere of the same area. */
#define MEAN_RADIUS		6371007.2

#define RADIANS(degrees)	((degrees) * (M_PI / 180))
#define SQUARE(x)			((x) * (x))

static void
check_place(const Point *place)
{
	bool		is_lon = !(place->x >= -180 && place->x <= 180);

	if (is_lon || !(place->y >= -90 && place->y <= 90))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s %g is out of range", is_lon ? "longitude" : "latitude", is_lon ? place->x : place->y),
				 errhint("A place is a point of longitude and latitude in degrees, such as point(121.47, 31.23).")));
}

/* ---- distance ---- */

/*
 * Gives the length of the geodesic between two places in metres: Vincenty's
 * inverse formula on the ellipsoid of WGS-84, to the millimetre.  For places at
 * opposite ends of the earth it has no solution; there the arc of a sphere has
 * to do, which is off by 0.6 % at most.
 */
static double
distance_between(const Point *a, const Point *b)
{
	double		u1 = atan((1 - FLATTENING) * tan(RADIANS(a->y)));
	double		u2 = atan((1 - FLATTENING) * tan(RADIANS(b->y)));
	double		between = RADIANS(remainder(b->x - a->x, 360));	/* the short way round */
	double		lambda = between;
	double		chord;

	check_place(a);
	check_place(b);
	for (int i = 0; i < 100; i++)
	{
		double		sin_sigma = hypot(cos(u2) * sin(lambda), cos(u1) * sin(u2) - sin(u1) * cos(u2) * cos(lambda));
		double		cos_sigma = sin(u1) * sin(u2) + cos(u1) * cos(u2) * cos(lambda);
		double		sigma = atan2(sin_sigma, cos_sigma);
		double		sin_alpha;
		double		cos2_alpha;
		double		cos_2m;
		double		c;
		double		last = lambda;

		if (sin_sigma == 0)
		{
			if (cos_sigma > 0)
				return 0;
			break;
		}
		sin_alpha = cos(u1) * cos(u2) * sin(lambda) / sin_sigma;
		cos2_alpha = 1 - SQUARE(sin_alpha);
		/* it is nothing along the equator, where the quotient is not defined */
		cos_2m = cos2_alpha < 1e-12 ? 0 : cos_sigma - 2 * sin(u1) * sin(u2) / cos2_alpha;
		c = FLATTENING / 16 * cos2_alpha * (4 + FLATTENING * (4 - 3 * cos2_alpha));
		lambda = between + (1 - c) * FLATTENING * sin_alpha *
			(sigma + c * sin_sigma * (cos_2m + c * cos_sigma * (2 * SQUARE(cos_2m) - 1)));
		if (fabs(lambda) > M_PI)
			break;
		if (fabs(lambda - last) < 1e-12)
		{
			double		polar = EQUATOR * (1 - FLATTENING);
			double		u_squared = cos2_alpha * (SQUARE(EQUATOR) - SQUARE(polar)) / SQUARE(polar);
			double		big_a = 1 + u_squared / 16384 * (4096 + u_squared * (-768 + u_squared * (320 - 175 * u_squared)));
			double		big_b = u_squared / 1024 * (256 + u_squared * (-128 + u_squared * (74 - 47 * u_squared)));
			double		correction = big_b * sin_sigma *
				(cos_2m + big_b / 4 * (cos_sigma * (2 * SQUARE(cos_2m) - 1) -
									   big_b / 6 * cos_2m * (4 * SQUARE(sin_sigma) - 3) * (4 * SQUARE(cos_2m) - 3)));

			return polar * big_a * (sigma - correction);
		}
	}
	chord = SQUARE(sin(RADIANS(b->y - a->y) / 2)) + cos(RADIANS(a->y)) * cos(RADIANS(b->y)) * SQUARE(sin(between / 2));
	return 2 * MEAN_RADIUS * asin(Min(1, sqrt(chord)));
}

/*
 * settle.distance_m(a point, b point) returns double precision
 */
PG_FUNCTION_INFO_V1(settle_distance_m);
Datum
settle_distance_m(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(distance_between(PG_GETARG_POINT_P(0), PG_GETARG_POINT_P(1)));
}

/* ---- inside ---- */

/*
 * settle.inside(place point, area circle) returns boolean
 *
 * The centre of the circle is a place, its radius is in metres.
 */
PG_FUNCTION_INFO_V1(settle_inside_circle);
Datum
settle_inside_circle(PG_FUNCTION_ARGS)
{
	const CIRCLE *circle = PG_GETARG_CIRCLE_P(1);

	PG_RETURN_BOOL(distance_between(PG_GETARG_POINT_P(0), &circle->center) <= circle->radius);
}

/*
 * settle.inside(place point, area polygon) returns boolean
 *
 * Counts the sides that a line from the place to the east crosses; the border
 * belongs to the area.  Sides are straight in degrees, and no area lies across
 * the line of 180 degrees.
 */
PG_FUNCTION_INFO_V1(settle_inside_polygon);
Datum
settle_inside_polygon(PG_FUNCTION_ARGS)
{
	const Point *place = PG_GETARG_POINT_P(0);
	const POLYGON *area = PG_GETARG_POLYGON_P(1);
	bool		inside = false;

	check_place(place);
	for (int i = 0; i < area->npts; i++)
	{
		const Point *a = &area->p[i];
		const Point *b = &area->p[(i + 1) % area->npts];
		double		turn = (b->x - a->x) * (place->y - a->y) - (b->y - a->y) * (place->x - a->x);

		check_place(a);
		if (turn == 0 && place->x >= Min(a->x, b->x) && place->x <= Max(a->x, b->x) && place->y >= Min(a->y, b->y) && place->y <= Max(a->y, b->y))
			PG_RETURN_BOOL(true);
		/* a side takes its lower end and not its upper one, so that a corner counts once */
		if ((a->y <= place->y) != (b->y <= place->y) && (turn > 0) == (b->y > a->y))
			inside = !inside;
	}
	PG_RETURN_BOOL(inside);
}

/* ---- systems of coordinates ---- */

GeoSystem
settle_geo_system(const char *name, size_t len)
{
	static const char *const names[] = {
		[GEO_WGS84] = "WGS-84",
		[GEO_GCJ02] = "GCJ-02",
		[GEO_BD09] = "BD-09"
	};

	for (int i = 0; i < lengthof(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return i;
	return GEO_UNKNOWN;
}

/*
 * Tells whether GCJ-02 shifts a place: in a rectangle around China.
 */
static bool
is_shifted(Point place)
{
	return place.x >= 72.004 && place.x <= 137.8347 && place.y >= 0.8293 && place.y <= 55.8271;
}

/* The waves that both shifts share. */
static double
waves(double x)
{
	return 20 * (sin(6 * x * M_PI) + sin(2 * x * M_PI)) * 2 / 3;
}

/*
 * Gives the place of GCJ-02 for one of WGS-84.
 */
static Point
shifted(Point place)
{
	double		x = place.x - 105;
	double		y = place.y - 35;
	double		latitude = RADIANS(place.y);
	double		north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(fabs(x)) + waves(x) +
		(20 * sin(y * M_PI) + 40 * sin(y / 3 * M_PI)) * 2 / 3 + (160 * sin(y / 12 * M_PI) + 320 * sin(y * M_PI / 30)) * 2 / 3;
	double		east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(fabs(x)) + waves(x) +
		(20 * sin(x * M_PI) + 40 * sin(x / 3 * M_PI)) * 2 / 3 + (150 * sin(x / 12 * M_PI) + 300 * sin(x / 30 * M_PI)) * 2 / 3;
	double		magic = 1 - GCJ_ECCENTRICITY2 * SQUARE(sin(latitude));

	/* metres to degrees, by the radii of curvature there */
	place.y += north * 180 * magic * sqrt(magic) / (GCJ_EQUATOR * (1 - GCJ_ECCENTRICITY2) * M_PI);
	place.x += east * 180 * sqrt(magic) / (GCJ_EQUATOR * cos(latitude) * M_PI);
	return place;
}

/*
 * Gives the place of WGS-84 for one of GCJ-02: the one that is shifted there.
 * The shift changes slowly, so each look at it takes away nearly all that is
 * left of the difference.
 */
static Point
unshifted(Point gcj)
{
	Point		place = gcj;

	if (!is_shifted(gcj))
		return gcj;
	for (int i = 0; i < 20; i++)
	{
		Point		seen = shifted(place);

		place.x += gcj.x - seen.x;
		place.y += gcj.y - seen.y;
		if (fabs(gcj.x - seen.x) < 1e-12 && fabs(gcj.y - seen.y) < 1e-12)
			break;
	}
	return place;
}

/*
 * Gives the place of GCJ-02 for one of BD-09.
 */
static Point
from_bd09(Point place)
{
	double		x = place.x - 0.0065;
	double		y = place.y - 0.006;
	double		radius = hypot(x, y) - 0.00002 * sin(y * M_PI * 3000 / 180);
	double		angle = atan2(y, x) - 0.000003 * cos(x * M_PI * 3000 / 180);

	place.x = radius * cos(angle);
	place.y = radius * sin(angle);
	return place;
}

/*
 * settle.to_wgs84(place point, system text) returns point
 */
PG_FUNCTION_INFO_V1(settle_to_wgs84);
Datum
settle_to_wgs84(PG_FUNCTION_ARGS)
{
	text	   *system = PG_GETARG_TEXT_PP(1);
	Point	   *place = palloc(sizeof(Point));

	*place = *PG_GETARG_POINT_P(0);
	check_place(place);
	switch (settle_geo_system(VARDATA_ANY(system), VARSIZE_ANY_EXHDR(system)))
	{
		case GEO_WGS84:
			break;
		case GEO_GCJ02:
			*place = unshifted(*place);
			break;
		case GEO_BD09:
			*place = is_shifted(*place) ? unshifted(from_bd09(*place)) : *place;
			break;
		case GEO_UNKNOWN:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown system of coordinates \"%s\"", text_to_cstring(system)),
					 errhint("Known are " GEO_SYSTEMS ".")));
	}
	PG_RETURN_POINT_P(place);
}
