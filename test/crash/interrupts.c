/*
 * interrupts.c
 *		Measures how long a backend works without looking for a cancel, and what it
 *		does from a cancel until it is ready again.
 *
 * A timer says every millisecond that there is something to look at, as a cancel
 * does; the next CHECK_FOR_INTERRUPTS finds nothing and takes that back.  While
 * it has not, the backend is on a stretch, whose length is its processor time:
 * the load of the machine does not count.  What a critical section or a holdoff
 * keeps back counts, since it keeps a cancel back as well.
 *
 * test/crash/stretch and test/crash/cancel compile it; it is no part of the
 * extension.
 */
#include "postgres.h"

#include <execinfo.h>
#include <math.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(stretch_begin);
PG_FUNCTION_INFO_V1(stretch_end);
PG_FUNCTION_INFO_V1(cancel_in);
PG_FUNCTION_INFO_V1(cancelled);

#define NFRAMES 40

static timer_t timer;
static bool timer_is_made = false;
static bool cancels = false;	/* the timer cancels once, or says every millisecond that there is something */
static double since;			/* processor time when the present stretch was seen first, or of the cancel */
static double since_wall;
static double longest;
static void *frames[NFRAMES];	/* where the longest was seen last */
static int	nframes;

/*
 * Reads a clock, in milliseconds.
 */
static double
read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void
tick(SIGNAL_ARGS)
{
	int			save_errno = errno;
	double		now = read_clock(CLOCK_THREAD_CPUTIME_ID);

	if (cancels)
	{
		since = now;
		since_wall = read_clock(CLOCK_MONOTONIC);
		raise(SIGINT);
	}
	else if (!InterruptPending)
	{
		since = now;
		InterruptPending = true;
	}
	else if (now - since > longest)
	{
		longest = now - since;
		nframes = backtrace(frames, NFRAMES);
	}
	errno = save_errno;
}

/*
 * Has the timer fire first and then every so many milliseconds; 0 is never.
 */
static void
set_timer(double first, double every)
{
	struct itimerspec setting = {{0, (long) (every * 1e6)}, {(time_t) (first / 1e3), (long) (fmod(first, 1e3) * 1e6)}};

	if (!timer_is_made)
	{
		struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
		struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};

		event._sigev_un._tid = getpid();
		sigemptyset(&action.sa_mask);
		if (sigaction(SIGRTMIN, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
			elog(ERROR, "timer_create: %m");
		/* the first call loads a library, which a signal handler must not */
		(void) backtrace(frames, NFRAMES);
		timer_is_made = true;
	}
	if (timer_settime(timer, 0, &setting, NULL) != 0)
		elog(ERROR, "timer_settime: %m");
}

/*
 * interrupt.begin() returns void
 *
 * Begins to measure stretches.
 */
Datum
stretch_begin(PG_FUNCTION_ARGS)
{
	cancels = false;
	longest = 0;
	nframes = 0;
	set_timer(1, 1);
	PG_RETURN_VOID();
}

/*
 * interrupt.end(OUT longest float8, OUT calls text) returns record
 *
 * Ends it, and returns the longest stretch in milliseconds and the calls it was
 * in.
 */
Datum
stretch_end(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};
	char	  **symbols;
	StringInfoData calls;

	set_timer(0, 0);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	initStringInfo(&calls);
	symbols = backtrace_symbols(frames, nframes);
	for (int i = 0; i < nframes; i++)
		appendStringInfo(&calls, "%s\n", symbols[i]);
	free(symbols);
	values[0] = Float8GetDatum(longest);
	values[1] = CStringGetTextDatum(calls.data);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * interrupt.cancel_in(milliseconds float8) returns void
 *
 * Cancels whatever this backend does then.
 */
Datum
cancel_in(PG_FUNCTION_ARGS)
{
	cancels = true;
	since = since_wall = 0;
	set_timer(PG_GETARG_FLOAT8(0), 0);
	PG_RETURN_VOID();
}

/*
 * interrupt.cancelled(OUT processor float8, OUT wall float8) returns record
 *
 * Returns how many milliseconds ago that was; null where it was not yet, and will
 * not be.
 */
Datum
cancelled(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2] = {Float8GetDatum(read_clock(CLOCK_THREAD_CPUTIME_ID) - since), Float8GetDatum(read_clock(CLOCK_MONOTONIC) - since_wall)};
	bool		nulls[2] = {since == 0, since == 0};

	set_timer(0, 0);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
