/*
 * geo.h
 *		The systems in which coordinates are written.
 */
#ifndef SETTLE_GEO_H
#define SETTLE_GEO_H

typedef enum GeoSystem
{
	GEO_WGS84,
	GEO_GCJ02,
	GEO_BD09,
	GEO_UNKNOWN
} GeoSystem;

/* For hints. */
#define GEO_SYSTEMS		"WGS-84, GCJ-02 and BD-09"

/* The system of a name of so many bytes. */
extern GeoSystem settle_geo_system(const char *name, size_t len);

#endif							/* SETTLE_GEO_H */
