/*
 * Keeps apart what tests execute: a session's counts go to a folder of its own,
 * which is named after the golden or isolation test that the client says it is
 * (pg_regress/tier), else after the database (tap_tier).
 *
 * libgcov reads GCOV_PREFIX when a process ends, so it is enough to set it when
 * a session begins: session_preload_libraries.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Sets the folder of this session below that of the server. */
void
_PG_init(void)
{
	const char *base = getenv("GCOV_PREFIX");
	const char *name = GetConfigOption("application_name", true, false);

	if (base == NULL || !OidIsValid(MyDatabaseId))
		return;
	if (name == NULL || strchr(name, '/') == NULL)
		name = get_database_name(MyDatabaseId);
	if (name != NULL)
	{
		char	   *folder = psprintf("%s/%s", base, name);

		for (char *c = folder + strlen(base) + 1; *c != '\0'; c++)
			if (strchr("/ :", *c) != NULL)
				*c = '_';
		setenv("GCOV_PREFIX", folder, 1);
	}
}
