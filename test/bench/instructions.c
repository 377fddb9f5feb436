/*
 * instructions.c
 *		Tells valgrind's callgrind, from SQL, where counting begins and ends.
 *
 * test/bench/count compiles it; it is no part of the extension.  Outside of
 * valgrind both functions do nothing.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include <valgrind/callgrind.h>

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(count_begin);
PG_FUNCTION_INFO_V1(count_end);

/*
 * Begins to count.
 *
 * bench.count_begin() returns void
 */
Datum
count_begin(PG_FUNCTION_ARGS)
{
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
	PG_RETURN_VOID();
}

/*
 * Writes the profile of what was executed since, under a title.
 *
 * bench.count_end(title text) returns void
 */
Datum
count_end(PG_FUNCTION_ARGS)
{
	char	   *title = text_to_cstring(PG_GETARG_TEXT_PP(0));

	CALLGRIND_DUMP_STATS_AT(title);
	CALLGRIND_STOP_INSTRUMENTATION;
	PG_RETURN_VOID();
}
