/*
 * region.c
 *		Sets of values of one column, closed under union, intersection and
 *		complement.
 *
 * Every kind of value is put in one order, so that a set is a list of intervals
 * and one algebra serves all.  A path becomes its labels, each ended by a byte
 * that is smaller than any in a label: then whatever lies at or below a path
 * begins with its bytes, and is one interval.
 */
#include "rule/region.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define END_OF_LABEL	'\1'
#define AFTER_LABEL		'\2'

/* ---- values in order ---- */

static int
compare(SettleValueKind kind, const SettleValue *a, const SettleValue *b)
{
	int			cmp;

	if (kind != SETTLE_VALUE_TEXT && kind != SETTLE_VALUE_PATH)
		return settle_compare_values(kind, a, b);
	cmp = memcmp(a->bytes, b->bytes, Min(a->len, b->len));
	return cmp != 0 ? cmp : a->len < b->len ? -1 : a->len > b->len;
}

int
settle_compare_lowers(SettleValueKind kind, const SettleInterval *a, const SettleInterval *b)
{
	int			cmp;

	if (!a->has_lower || !b->has_lower)
		return a->has_lower - b->has_lower;
	cmp = compare(kind, &a->lower, &b->lower);
	return cmp != 0 ? cmp : b->lower_closed - a->lower_closed;
}

static int
compare_uppers(SettleValueKind kind, const SettleInterval *a, const SettleInterval *b)
{
	int			cmp;

	if (!a->has_upper || !b->has_upper)
		return b->has_upper - a->has_upper;
	cmp = compare(kind, &a->upper, &b->upper);
	return cmp != 0 ? cmp : a->upper_closed - b->upper_closed;
}

/*
 * Tells whether a begins before b ends: not positive where they share a value
 * or might.
 */
int
settle_compare_lower_upper(SettleValueKind kind, const SettleInterval *a, const SettleInterval *b)
{
	int			cmp;

	if (!a->has_lower || !b->has_upper)
		return -1;
	cmp = compare(kind, &a->lower, &b->upper);
	return cmp != 0 ? cmp : a->lower_closed && b->upper_closed ? 0 : 1;
}

/*
 * Closes the bounds of values that count one by one.  Returns false where
 * nothing is between them.
 */
static bool
normalize(SettleValueKind kind, SettleInterval *interval)
{
	if (kind == SETTLE_VALUE_INT)
	{
		if (interval->has_lower && !interval->lower_closed)
		{
			if (interval->lower.i == PG_INT64_MAX)
				return false;
			interval->lower.i++;
			interval->lower_closed = true;
		}
		if (interval->has_upper && !interval->upper_closed)
		{
			if (interval->upper.i == PG_INT64_MIN)
				return false;
			interval->upper.i--;
			interval->upper_closed = true;
		}
	}
	return settle_compare_lower_upper(kind, interval, interval) <= 0;
}

/* ---- algebra ---- */

static SettleRegion *
new_region(SettleValueKind kind, bool nulls, int space)
{
	SettleRegion *region = palloc0(sizeof(SettleRegion));

	region->kind = kind;
	region->nulls = nulls;
	region->intervals = palloc(sizeof(SettleInterval) * Max(space, 1));
	return region;
}

static void
add_interval(SettleRegion *region, SettleInterval interval)
{
	if (normalize(region->kind, &interval))
		region->intervals[region->n++] = interval;
}

SettleRegion *
settle_region_all(SettleValueKind kind, bool nulls)
{
	SettleRegion *region = new_region(kind, nulls, 1);

	add_interval(region, (SettleInterval) {0});
	return region;
}

SettleRegion *
settle_region_between(SettleValueKind kind, const SettleInterval *interval)
{
	SettleRegion *region = new_region(kind, false, 1);

	add_interval(region, *interval);
	return region;
}

/*
 * Spells a path so that it sorts right before all that is below it.
 */
static SettleValue
spell_path(const SettleValue *path)
{
	char	   *bytes = palloc(path->len + 1);
	SettleValue value = {.bytes = bytes, .len = path->len == 0 ? 0 : path->len + 1};

	for (Size i = 0; i < path->len; i++)
		bytes[i] = path->bytes[i] == '.' ? END_OF_LABEL : path->bytes[i];
	bytes[path->len] = END_OF_LABEL;
	return value;
}

/*
 * The stretch of one value, or of a path and all below it.
 */
static SettleInterval
stretch(const SettleConjunct *conjunct, const SettleValue *value)
{
	SettleInterval interval = {.has_lower = true, .has_upper = true, .lower_closed = true, .upper_closed = true};

	interval.lower = interval.upper = conjunct->kind == SETTLE_VALUE_PATH ? spell_path(value) : *value;
	if (conjunct->below)
	{
		char	   *bytes = pnstrdup(interval.lower.bytes, interval.lower.len);

		interval.upper_closed = false;
		interval.has_upper = interval.lower.len > 0;
		if (interval.has_upper)
			bytes[interval.lower.len - 1] = AFTER_LABEL;
		interval.upper.bytes = bytes;
	}
	return interval;
}

static int
compare_stretches(const void *a, const void *b, void *kind)
{
	return settle_compare_lowers(*(SettleValueKind *) kind, a, b);
}

/*
 * Sorts intervals and joins those that overlap or touch.
 */
static void
tidy(SettleRegion *region)
{
	int			n = 0;

	qsort_arg(region->intervals, region->n, sizeof(SettleInterval), compare_stretches, &region->kind);
	for (int i = 0; i < region->n; i++)
	{
		SettleInterval *last = n == 0 ? NULL : &region->intervals[n - 1];
		SettleInterval *next = &region->intervals[i];
		bool		touches = last != NULL && settle_compare_lower_upper(region->kind, next, last) <= 0;

		if (last != NULL && !touches && last->has_upper && next->has_lower)
		{
			if (region->kind == SETTLE_VALUE_INT)
				touches = last->upper.i != PG_INT64_MAX && last->upper.i + 1 == next->lower.i;
			else
				touches = compare(region->kind, &last->upper, &next->lower) == 0 && (last->upper_closed || next->lower_closed);
		}
		if (!touches)
			region->intervals[n++] = *next;
		else if (compare_uppers(region->kind, next, last) > 0)
		{
			last->has_upper = next->has_upper;
			last->upper = next->upper;
			last->upper_closed = next->upper_closed;
		}
	}
	region->n = n;
}

SettleRegion *
settle_region_of(const SettleConjunct *conjunct)
{
	SettleRegion *region = new_region(conjunct->kind, false, conjunct->nvalues);
	SettleInterval interval = {0};

	if (conjunct->strategy == BTEqualStrategyNumber)
	{
		for (int i = 0; i < conjunct->nvalues; i++)
			add_interval(region, stretch(conjunct, &conjunct->values[i]));
		tidy(region);
		return region;
	}
	if (conjunct->strategy < BTEqualStrategyNumber)
	{
		interval.has_upper = true;
		interval.upper = conjunct->values[0];
		interval.upper_closed = conjunct->strategy == BTLessEqualStrategyNumber;
	}
	else
	{
		interval.has_lower = true;
		interval.lower = conjunct->values[0];
		interval.lower_closed = conjunct->strategy == BTGreaterEqualStrategyNumber;
	}
	add_interval(region, interval);
	return region;
}

SettleRegion *
settle_region_complement(const SettleRegion *region, bool nulls)
{
	SettleRegion *result = new_region(region->kind, nulls, region->n + 1);
	SettleInterval gap = {0};

	for (int i = 0; i < region->n; i++)
	{
		const SettleInterval *interval = &region->intervals[i];

		if (interval->has_lower)
		{
			gap.has_upper = true;
			gap.upper = interval->lower;
			gap.upper_closed = !interval->lower_closed;
			add_interval(result, gap);
		}
		if (!interval->has_upper)
			return result;
		gap = (SettleInterval) {.has_lower = true, .lower = interval->upper, .lower_closed = !interval->upper_closed};
	}
	add_interval(result, gap);
	return result;
}

/*
 * What two intervals have in common.
 */
static SettleInterval
common(SettleValueKind kind, const SettleInterval *a, const SettleInterval *b)
{
	SettleInterval both = settle_compare_lowers(kind, a, b) >= 0 ? *a : *b;
	const SettleInterval *end = compare_uppers(kind, a, b) <= 0 ? a : b;

	both.has_upper = end->has_upper;
	both.upper = end->upper;
	both.upper_closed = end->upper_closed;
	return both;
}

SettleRegion *
settle_region_intersect(const SettleRegion *a, const SettleRegion *b)
{
	SettleRegion *result = new_region(a->kind, a->nulls && b->nulls, a->n + b->n);
	int			i = 0;
	int			k = 0;

	while (i < a->n && k < b->n)
	{
		add_interval(result, common(a->kind, &a->intervals[i], &b->intervals[k]));
		if (compare_uppers(a->kind, &a->intervals[i], &b->intervals[k]) <= 0)
			i++;
		else
			k++;
	}
	return result;
}

SettleRegion *
settle_region_union(const SettleRegion *a, const SettleRegion *b)
{
	SettleRegion *result = new_region(a->kind, a->nulls || b->nulls, a->n + b->n);

	for (int i = 0; i < a->n; i++)
		add_interval(result, a->intervals[i]);
	for (int i = 0; i < b->n; i++)
		add_interval(result, b->intervals[i]);
	tidy(result);
	return result;
}

bool
settle_region_meets(const SettleRegion *a, const SettleRegion *b)
{
	int			i = 0;
	int			k = 0;

	if (a->nulls && b->nulls)
		return true;
	while (i < a->n && k < b->n)
	{
		SettleInterval both = common(a->kind, &a->intervals[i], &b->intervals[k]);

		if (normalize(a->kind, &both))
			return true;
		if (compare_uppers(a->kind, &a->intervals[i], &b->intervals[k]) <= 0)
			i++;
		else
			k++;
	}
	return false;
}

bool
settle_region_covers(const SettleRegion *region, const SettleRegion *by)
{
	return !(region->nulls && !by->nulls) && !settle_region_meets(region, settle_region_complement(by, false));
}

/* ---- in words ---- */

/*
 * Spells a value as its type does, quoted where it is a text.
 */
static void
append_value(StringInfo text, SettleValueKind kind, Oid type, const SettleValue *value)
{
	Oid			output;
	bool		is_varlena;
	Datum		datum;

	switch (kind)
	{
		case SETTLE_VALUE_NUMERIC:
			appendStringInfoString(text, settle_dec_out(settle_dec_trim(value->dec)));
			return;
		case SETTLE_VALUE_TEXT:
			appendStringInfoString(text, quote_literal_cstr(pnstrdup(value->bytes, value->len)));
			return;
		case SETTLE_VALUE_PATH:
			{
				char	   *path = pnstrdup(value->bytes, value->len);

				for (Size i = 0; i < value->len; i++)
					if (path[i] < AFTER_LABEL + 1)
						path[i] = '.';
				if (value->len > 0)
					path[value->len - 1] = '\0';
				appendStringInfo(text, "'%s'", path);
				return;
			}
		default:
			break;
	}
	switch (type)
	{
		case BOOLOID:
			appendStringInfoString(text, value->i ? "true" : "false");
			return;
		case INT2OID:
			datum = Int16GetDatum((int16) value->i);
			break;
		case INT4OID:
		case DATEOID:
			datum = Int32GetDatum((int32) value->i);
			break;
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			datum = Int64GetDatum(value->i);
			break;
		default:
			datum = ObjectIdGetDatum((Oid) value->i);
			break;
	}
	getTypeOutputInfo(type, &output, &is_varlena);
	if (type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID || get_typtype(type) == TYPTYPE_ENUM)
		appendStringInfo(text, "'%s'", OidOutputFunctionCall(output, datum));
	else
		appendStringInfoString(text, OidOutputFunctionCall(output, datum));
}

/*
 * A value inside an interval of numbers whose bounds are both open.
 */
static SettleValue
between(const SettleInterval *interval)
{
	SettleValue value = {0};

	if (interval->has_lower && interval->has_upper)
		value.dec = settle_dec_mul(settle_dec_add(interval->lower.dec, interval->upper.dec), settle_dec_in("0.5", 3));
	else if (interval->has_lower)
		value.dec = settle_dec_add(interval->lower.dec, settle_dec_int(1));
	else if (interval->has_upper)
		value.dec = settle_dec_sub(interval->upper.dec, settle_dec_int(1));
	else
		value.dec = settle_dec_int(0);
	return value;
}

bool
settle_region_example(const SettleRegion *region, Oid type, StringInfo text)
{
	for (int i = 0; i < region->n; i++)
	{
		const SettleInterval *interval = &region->intervals[i];
		SettleValue value = {0};

		if (interval->has_lower && interval->lower_closed)
			value = interval->lower;
		else if (interval->has_upper && interval->upper_closed)
			value = interval->upper;
		else if (region->kind == SETTLE_VALUE_NUMERIC)
			value = between(interval);
		else if (region->kind != SETTLE_VALUE_INT || get_typtype(type) == TYPTYPE_ENUM)
			continue;
		append_value(text, region->kind, type, &value);
		return true;
	}
	if (region->nulls)
		appendStringInfoString(text, "null");
	return region->nulls;
}

/*
 * Tells whether an interval is one value, or a path and all below it.
 */
static bool
is_point(const SettleRegion *region, const SettleInterval *interval, bool *below)
{
	*below = false;
	if (!interval->has_lower || !interval->has_upper || !interval->lower_closed)
		return false;
	if (interval->upper_closed)
		return compare(region->kind, &interval->lower, &interval->upper) == 0;
	*below = region->kind == SETTLE_VALUE_PATH && interval->lower.len == interval->upper.len &&
		memcmp(interval->lower.bytes, interval->upper.bytes, interval->lower.len - 1) == 0;
	return *below;
}

static void
describe_interval(const SettleRegion *region, const SettleInterval *interval, Oid type, StringInfo text)
{
	bool		is_time = type == TIMESTAMPOID || type == TIMESTAMPTZOID;
	bool		below;

	if (is_point(region, interval, &below))
	{
		append_value(text, region->kind, type, &interval->lower);
		if (below)
			appendStringInfoString(text, " and below");
		return;
	}
	if (interval->has_lower)
	{
		appendStringInfoString(text, interval->lower_closed ? "from " : "above ");
		append_value(text, region->kind, type, &interval->lower);
	}
	if (interval->has_upper)
	{
		SettleValue upper = interval->upper;
		bool		closed = interval->upper_closed;

		/* the microsecond before midnight is no bound that people write */
		if (is_time && upper.i != PG_INT64_MAX)
		{
			upper.i++;
			closed = false;
		}
		appendStringInfo(text, "%s%s", interval->has_lower ? " " : "", closed ? "to " : is_time ? "to before " : "to below ");
		append_value(text, region->kind, type, &upper);
	}
	if (!interval->has_lower && !interval->has_upper)
		appendStringInfoString(text, "any value");
}

void
settle_region_describe(const SettleRegion *region, Oid type, StringInfo text)
{
	const char *separator = "";
	bool		by_value = region->kind == SETTLE_VALUE_TEXT || region->kind == SETTLE_VALUE_PATH;
	SettleRegion *others = settle_region_complement(region, false);

	/* of texts, what is left out is what can be said */
	if (by_value && region->n > 0 && others->n > 0 && !region->intervals[0].has_lower)
	{
		appendStringInfoString(text, "anything but ");
		settle_region_describe(others, type, text);
		return;
	}
	for (int i = 0; i < region->n && i < 5; i++)
	{
		appendStringInfoString(text, separator);
		describe_interval(region, &region->intervals[i], type, text);
		separator = " or ";
	}
	if (region->n > 5)
		appendStringInfo(text, " or %d more", region->n - 5);
	if (region->nulls)
		appendStringInfo(text, "%snull", separator);
}
