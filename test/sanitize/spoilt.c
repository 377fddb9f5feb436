/*
 * spoilt.c: what a sanitizer must find, one of each.
 *
 * Compiled into builds for a sanitizer, by the same flags as all else; the test of
 * the test calls it.
 */
#include "postgres.h"

#include "core/core.h"
#include "fmgr.h"
#include "utils/builtins.h"

/*
 * spoilt(sin text, n int) returns int
 *
 * n is 10; that it is given keeps the compiler from knowing.
 */
PG_FUNCTION_INFO_V1(settle_spoilt);
Datum
settle_spoilt(PG_FUNCTION_ARGS)
{
	const char *sin = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			n = PG_GETARG_INT32(1);
	int		   *numbers = palloc(sizeof(int) * n);
	volatile int result = 0;

	if (strcmp(sin, "overrun") == 0)
		numbers[n] = 1;
	else if (strcmp(sin, "kept") == 0)
	{
		int		   *moved = repalloc(numbers, sizeof(int) * n * 2);

		moved[0] = n;
		result = numbers[0];
	}
	else if (strcmp(sin, "overread") == 0)
		result = VARDATA_ANY(PG_GETARG_TEXT_PP(0))[n];
	else if (strcmp(sin, "uninitialised") == 0)
	{
		if (numbers[1] > n)
			elog(DEBUG5, "more than %d", n);
	}
	else if (strcmp(sin, "overflow") == 0)
		result = n + PG_INT32_MAX;
	else if (strcmp(sin, "shift") == 0)
		result = 1 << (n + 22);
	PG_RETURN_INT32(result);
}
