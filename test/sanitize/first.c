/*
 * first.c: wakes ASan before any other library.
 *
 * The server of Debian is linked with libraries whose constructors call what ASan
 * intercepts, and with ASan preloaded it hangs in them.  This library is linked with
 * -z initfirst, so its constructor runs before theirs.
 */
#include <stdlib.h>

extern void __asan_init(void);

static void __attribute__((constructor))
wake(void)
{
	__asan_init();
	free(malloc(1));
}
