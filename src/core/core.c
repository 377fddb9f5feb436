/*
 * core.c
 *		Module magic and load-time set-up.
 *
 * The library needs no shared_preload_libraries entry and allocates nothing at
 * load time.
 */
#include "core/core.h"

#include "fmgr.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

/*
 * Reserves the configuration prefix, so that a misspelt setting is an error.
 */
PGDLLEXPORT void
_PG_init(void)
{
	MarkGUCPrefixReserved("scrm_settle");
}
