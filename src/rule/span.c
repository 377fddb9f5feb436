/*
 * span.c
 *		Days, weeks, months, quarters and years in which tallies are kept, by
 *		their first day in the time zone of the pinned environment.
 */
#include "rule/compile.h"

#include "utils/date.h"
#include "utils/datetime.h"

/*
 * First day of the span that a local date falls in.
 */
static int
span_start_day(SettleSpan span, int year, int month, int day)
{
	int			julian;

	switch (span)
	{
		case SETTLE_SPAN_WEEK:
			julian = date2j(year, month, day);
			return julian - (j2day(julian) + 6) % 7;
		case SETTLE_SPAN_YEAR:
			return date2j(year, 1, 1);
		case SETTLE_SPAN_QUARTER:
			return date2j(year, month - (month - 1) % 3, 1);
		case SETTLE_SPAN_MONTH:
			return date2j(year, month, 1);
		default:
			return date2j(year, month, day);
	}
}

DateADT
settle_span_start(SettleSpan span, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	DateADT		start;

	if (span == SETTLE_SPAN_EVER || span == SETTLE_SPAN_NONE)
		return DATEVAL_NOBEGIN;
	/* the span of the earliest instants begins before the earliest date */
	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, &tz, &tm, &fsec, NULL, NULL) != 0 ||
		!IS_VALID_DATE(start = span_start_day(span, tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a ticket's time is out of range")));
	return start;
}

DateADT
settle_span_after(SettleSpan span, DateADT start)
{
	/* a day that lies in the next one, whatever the year */
	static const int step[] = {[SETTLE_SPAN_DAY] = 1, [SETTLE_SPAN_WEEK] = 7, [SETTLE_SPAN_MONTH] = 31, [SETTLE_SPAN_QUARTER] = 92, [SETTLE_SPAN_YEAR] = 366};
	int			year;
	int			month;
	int			day;

	j2date(start + POSTGRES_EPOCH_JDATE + step[span], &year, &month, &day);
	return span_start_day(span, year, month, day) - POSTGRES_EPOCH_JDATE;
}

/*
 * The instant at which a day begins in the zone of the pinned environment.
 */
static TimestampTz
local_midnight(int julian)
{
	struct pg_tm tm = {0};
	TimestampTz at;
	int			tz;

	j2date(julian, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tz = DetermineTimeZoneOffset(&tm, session_timezone);
	return tm2timestamp(&tm, 0, &tz, &at) == 0 ? at : DT_NOBEGIN;
}

/*
 * The same for a ticket: tickets of one span come together, so the day that
 * was found last, with its span, answers for most of them.
 */
DateADT
settle_ticket_span_start(SettleSet *set, SettleSpan span, TimestampTz at)
{
	LastDay    *last = &set->last_day[span];

	if (at < last->from || at >= last->until)
	{
		struct pg_tm tm;
		fsec_t		fsec;
		int			tz;

		last->start = settle_span_start(span, at);
		if (span == SETTLE_SPAN_EVER)
		{
			last->from = DT_NOBEGIN + 1;
			last->until = DT_NOEND;
			return last->start;
		}
		/* from local midnight to the next */
		(void) timestamp2tm(at, &tz, &tm, &fsec, NULL, NULL);
		last->from = local_midnight(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday));
		last->until = local_midnight(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1);
	}
	return last->start;
}
