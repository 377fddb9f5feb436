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
#include "miscadmin.h"
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
 * settle.distance_m(place point, area circle) returns double precision
 */
PG_FUNCTION_INFO_V1(settle_distance_to_circle);
Datum
settle_distance_to_circle(PG_FUNCTION_ARGS)
{
	const CIRCLE *circle = PG_GETARG_CIRCLE_P(1);

	PG_RETURN_FLOAT8(Max(0, distance_between(PG_GETARG_POINT_P(0), &circle->center) - circle->radius));
}

/*
 * Counts the sides that a line from the place to the east crosses; the border
 * belongs to the area.  Sides are straight in degrees, and no area lies across
 * the line of 180 degrees.
 */
static bool
lies_in(const Point *place, const POLYGON *area)
{
	bool		inside = false;

	check_place(place);
	for (int i = 0; i < area->npts; i++)
	{
		const Point *a = &area->p[i];
		const Point *b = &area->p[(i + 1) % area->npts];
		double		turn = (b->x - a->x) * (place->y - a->y) - (b->y - a->y) * (place->x - a->x);

		check_place(a);
		if (turn == 0 && place->x >= Min(a->x, b->x) && place->x <= Max(a->x, b->x) && place->y >= Min(a->y, b->y) && place->y <= Max(a->y, b->y))
			return true;
		/* a side takes its lower end and not its upper one, so that a corner counts once */
		if ((a->y <= place->y) != (b->y <= place->y) && (turn > 0) == (b->y > a->y))
			inside = !inside;
	}
	return inside;
}

/*
 * settle.inside(place point, area polygon) returns boolean
 */
PG_FUNCTION_INFO_V1(settle_inside_polygon);
Datum
settle_inside_polygon(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(lies_in(PG_GETARG_POINT_P(0), PG_GETARG_POLYGON_P(1)));
}

/*
 * settle.distance_m(place point, area polygon) returns double precision
 *
 * Metres to the border; nothing inside.  The nearest place of the border is
 * looked for on a plane that is true at the place: near enough where people go.
 */
PG_FUNCTION_INFO_V1(settle_distance_to_polygon);
Datum
settle_distance_to_polygon(PG_FUNCTION_ARGS)
{
	const Point *place = PG_GETARG_POINT_P(0);
	const POLYGON *area = PG_GETARG_POLYGON_P(1);
	double		shrink = SQUARE(cos(RADIANS(place->y)));	/* of degrees of longitude, squared */
	double		least = INFINITY;
	Point		nearest = *place;

	if (lies_in(place, area))
		PG_RETURN_FLOAT8(0);
	for (int i = 0; i < area->npts; i++)
	{
		const Point *a = &area->p[i];
		const Point *b = &area->p[(i + 1) % area->npts];
		double		length = SQUARE(b->x - a->x) * shrink + SQUARE(b->y - a->y);
		double		along = length == 0 ? 0 : ((place->x - a->x) * (b->x - a->x) * shrink + (place->y - a->y) * (b->y - a->y)) / length;
		Point		of_side;
		double		distance;

		along = Max(0, Min(1, along));
		of_side.x = a->x + along * (b->x - a->x);
		of_side.y = a->y + along * (b->y - a->y);
		distance = SQUARE(of_side.x - place->x) * shrink + SQUARE(of_side.y - place->y);
		if (distance < least)
		{
			least = distance;
			nearest = of_side;
		}
	}
	PG_RETURN_FLOAT8(distance_between(place, &nearest));
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
 * Reads the name of a system; one that is not known is an error.
 */
static GeoSystem
need_system(const text *name)
{
	GeoSystem	system = settle_geo_system(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));

	if (system == GEO_UNKNOWN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown system of coordinates \"%s\"", text_to_cstring(name)),
				 errhint("Known are " GEO_SYSTEMS ".")));
	return system;
}

/*
 * Gives the place of WGS-84 for one of a system.
 */
static Point
true_place(Point place, GeoSystem system)
{
	check_place(&place);
	switch (system)
	{
		case GEO_GCJ02:
			return unshifted(place);
		case GEO_BD09:
			return is_shifted(place) ? unshifted(from_bd09(place)) : place;
		default:
			return place;
	}
}

/*
 * settle.to_wgs84(place point, system text) returns point
 */
PG_FUNCTION_INFO_V1(settle_to_wgs84);
Datum
settle_to_wgs84(PG_FUNCTION_ARGS)
{
	Point	   *place = palloc(sizeof(Point));

	*place = true_place(*PG_GETARG_POINT_P(0), need_system(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_POINT_P(place);
}

/*
 * settle.to_wgs84(area circle, system text) returns circle
 *
 * The radius is in metres in every system.
 */
PG_FUNCTION_INFO_V1(settle_circle_to_wgs84);
Datum
settle_circle_to_wgs84(PG_FUNCTION_ARGS)
{
	CIRCLE	   *circle = palloc(sizeof(CIRCLE));

	*circle = *PG_GETARG_CIRCLE_P(0);
	circle->center = true_place(circle->center, need_system(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_CIRCLE_P(circle);
}

/* Which side of the line from a to b a place lies on: 1, -1, or 0 on the line. */
static int
side_of(const Point *a, const Point *b, const Point *place)
{
	double		turn = (b->x - a->x) * (place->y - a->y) - (b->y - a->y) * (place->x - a->x);

	return (turn > 0) - (turn < 0);
}

/* Tells whether a place on the line through a and b lies between them. */
static bool
is_between(const Point *a, const Point *b, const Point *place)
{
	return place->x >= Min(a->x, b->x) && place->x <= Max(a->x, b->x) && place->y >= Min(a->y, b->y) && place->y <= Max(a->y, b->y);
}

/*
 * Tells whether the side from a to b meets the one from c to d.
 */
static bool
sides_meet(const Point *a, const Point *b, const Point *c, const Point *d)
{
	int			of_c = side_of(a, b, c);
	int			of_d = side_of(a, b, d);
	int			of_a = side_of(c, d, a);
	int			of_b = side_of(c, d, b);

	if (of_c * of_d < 0 && of_a * of_b < 0)
		return true;
	return (of_c == 0 && is_between(a, b, c)) || (of_d == 0 && is_between(a, b, d)) ||
		(of_a == 0 && is_between(c, d, a)) || (of_b == 0 && is_between(c, d, b));
}

/*
 * Raises what is no area: too few corners, no surface, or sides that meet.
 */
static void
check_area(const POLYGON *area)
{
	static const char *const hint = "Name its corners, points of longitude and latitude, one after the other along the border.";
	int			n = area->npts;
	double		surface = 0;

	if (n < 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an area needs three corners, not %d", n),
				 errhint("%s", hint)));
	if (area->boundbox.high.x - area->boundbox.low.x > 180)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an area from longitude %g to %g is wider than half of the earth", area->boundbox.low.x, area->boundbox.high.x),
				 errhint("One that lies across the line of 180 degrees is two areas.")));
	for (int i = 0; i < n; i++)
	{
		const Point *a = &area->p[i];
		const Point *b = &area->p[(i + 1) % n];

		CHECK_FOR_INTERRUPTS();
		surface += (a->x - area->p[0].x) * (b->y - area->p[0].y) - (b->x - area->p[0].x) * (a->y - area->p[0].y);
		/* neighbours share a corner */
		for (int j = i + 2; j < n - (i == 0); j++)
			if (sides_meet(a, b, &area->p[j], &area->p[(j + 1) % n]))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("sides %d and %d of an area meet", i + 1, j + 1),
						 errhint("%s", hint)));
	}
	if (surface == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the corners of an area lie on one line"),
				 errhint("%s", hint)));
}

static bool
is_same(const Point *a, const Point *b)
{
	return a->x == b->x && a->y == b->y;
}

/*
 * settle.to_wgs84(area polygon, system text) returns polygon
 *
 * A corner that is named twice in succession is one, so a border may be closed
 * by its first corner, as GeoJSON has it.
 */
PG_FUNCTION_INFO_V1(settle_polygon_to_wgs84);
Datum
settle_polygon_to_wgs84(PG_FUNCTION_ARGS)
{
	const POLYGON *from = PG_GETARG_POLYGON_P(0);
	GeoSystem	system = need_system(PG_GETARG_TEXT_PP(1));
	POLYGON    *area = palloc0(VARSIZE(from));

	for (int i = 0; i < from->npts; i++)
	{
		if (i > 0 && (is_same(&from->p[i], &from->p[i - 1]) || (i == from->npts - 1 && is_same(&from->p[i], &from->p[0]))))
			continue;
		area->p[area->npts++] = true_place(from->p[i], system);
	}
	SET_VARSIZE(area, offsetof(POLYGON, p) + sizeof(Point) * area->npts);
	area->boundbox.high = area->boundbox.low = area->p[0];
	for (int i = 1; i < area->npts; i++)
	{
		area->boundbox.high.x = Max(area->boundbox.high.x, area->p[i].x);
		area->boundbox.high.y = Max(area->boundbox.high.y, area->p[i].y);
		area->boundbox.low.x = Min(area->boundbox.low.x, area->p[i].x);
		area->boundbox.low.y = Min(area->boundbox.low.y, area->p[i].y);
	}
	check_area(area);
	PG_RETURN_POLYGON_P(area);
}
