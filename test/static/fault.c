/*
 * fault.c
 *		One fault for each tool of test/long/static.t, which must find it.  It is
 *		never built.
 */
#include <stdio.h>
#include <stdlib.h>

int			fault(const int *at, const char *text);

/* Its name has no prefix: nm. */
int
fault(const int *at, const char *text)
{
	int			seen[2] = {0, 1},
				unused;			/* gcc */
	int		   *made = at == NULL ? NULL : malloc(sizeof(at));	/* clang-tidy: the size of a pointer */

	if (at == NULL)
		printf("%d", *made);	/* the analyzers: nothing was made */
	seen[2] = atoi(text);		/* cppcheck: an element too many */
	return seen[0] + *made;
}
