/*
 * functions.c
 *		What expressions may use: functions, operators and types.
 *
 * The lists bound what an expression can cost.  PostgreSQL folds constants
 * while planning, so length(repeat('x', 900000000)) would run when a rule is
 * read; and a ticket's own values would do the same at each evaluation.  A
 * function belongs here only if its result is not longer than its arguments
 * together (or a flag bounds how often it is used), if its time is at most
 * quadratic in their size, and if it depends on nothing but its arguments and
 * the settings that env.c pins.
 *
 * An entry is a name; it stands for every overload of that name that is a
 * pinned built-in (or a member of the extension named) over the types below,
 * and is immutable or in the list stable_under_pins.  docs/expr.md shows the
 * same lists, which test/pgtap/expr.sql checks.
 */
#include "expr/gate.h"

#include "catalog/pg_type.h"

#define CORE(name, flags)	{name, SETTLE_HOME_CORE, purpose_of_group, flags}

static const SettleAllowed functions[] = {
#define purpose_of_group "numbers"
	CORE("abs", 0), CORE("ceil", 0), CORE("ceiling", 0), CORE("div", 0),
	CORE("exp", SETTLE_FN_COSTLY), CORE("floor", 0), CORE("ln", SETTLE_FN_COSTLY),
	CORE("log", SETTLE_FN_COSTLY), CORE("mod", 0), CORE("pow", SETTLE_FN_POWER | SETTLE_FN_COSTLY),
	CORE("power", SETTLE_FN_POWER | SETTLE_FN_COSTLY), CORE("round", 0), CORE("sign", 0),
	CORE("sqrt", SETTLE_FN_COSTLY), CORE("to_number", SETTLE_FN_FORMAT), CORE("trunc", 0),
	CORE("width_bucket", 0),
#undef purpose_of_group
#define purpose_of_group "text"
	CORE("ascii", 0), CORE("btrim", 0), CORE("char_length", 0), CORE("character_length", 0),
	CORE("chr", 0), CORE("initcap", 0), CORE("left", 0), CORE("length", 0),
	CORE("like_escape", SETTLE_FN_QUOTING), CORE("lower", 0), CORE("ltrim", 0), CORE("md5", 0),
	CORE("octet_length", 0), CORE("overlay", SETTLE_FN_COSTLY), CORE("position", 0),
	CORE("replace", SETTLE_FN_REPLACE), CORE("reverse", 0), CORE("right", 0), CORE("rtrim", 0),
	CORE("split_part", 0), CORE("starts_with", 0), CORE("strpos", 0), CORE("substr", 0),
	CORE("substring", SETTLE_FN_REGEX), CORE("translate", 0), CORE("upper", 0),
#undef purpose_of_group
#define purpose_of_group "patterns"
	CORE("regexp_count", SETTLE_FN_REGEX), CORE("regexp_instr", SETTLE_FN_REGEX),
	CORE("regexp_like", SETTLE_FN_REGEX), CORE("regexp_match", SETTLE_FN_REGEX),
	CORE("regexp_substr", SETTLE_FN_REGEX), CORE("similar_to_escape", SETTLE_FN_QUOTING),
#undef purpose_of_group
#define purpose_of_group "dates and times"
	CORE("age", 0), CORE("date", 0), CORE("date_bin", 0), CORE("date_part", 0),
	CORE("date_trunc", 0), CORE("extract", 0), CORE("isfinite", 0), CORE("justify_days", 0),
	CORE("justify_hours", 0), CORE("justify_interval", 0), CORE("make_date", 0),
	CORE("make_interval", 0), CORE("make_time", 0), CORE("make_timestamp", 0),
	CORE("make_timestamptz", 0), CORE("overlaps", 0), CORE("timezone", 0),
	CORE("to_char", SETTLE_FN_FORMAT), CORE("to_date", SETTLE_FN_FORMAT),
	CORE("to_timestamp", SETTLE_FN_FORMAT),
#undef purpose_of_group
#define purpose_of_group "json"
	CORE("json_array_length", 0), CORE("json_extract_path", 0), CORE("json_extract_path_text", 0),
	CORE("json_typeof", 0), CORE("jsonb_array_length", 0),
	CORE("jsonb_build_array", SETTLE_FN_QUOTING | SETTLE_FN_COSTLY),
	CORE("jsonb_build_object", SETTLE_FN_QUOTING | SETTLE_FN_COSTLY),
	CORE("jsonb_extract_path", 0), CORE("jsonb_extract_path_text", 0),
	CORE("jsonb_object", SETTLE_FN_QUOTING | SETTLE_FN_COSTLY),
	CORE("jsonb_strip_nulls", 0), CORE("jsonb_typeof", 0),
	CORE("to_jsonb", SETTLE_FN_QUOTING | SETTLE_FN_COSTLY),
#undef purpose_of_group
#define purpose_of_group "arrays"
	CORE("array_append", SETTLE_FN_COSTLY), CORE("array_cat", SETTLE_FN_COSTLY),
	CORE("array_length", 0), CORE("array_lower", 0), CORE("array_ndims", 0),
	CORE("array_position", 0), CORE("array_positions", 0),
	CORE("array_prepend", SETTLE_FN_COSTLY), CORE("array_remove", 0), CORE("array_upper", 0),
	CORE("cardinality", 0), CORE("string_to_array", SETTLE_FN_COSTLY), CORE("trim_array", 0),
#undef purpose_of_group
#define purpose_of_group "ranges"
	CORE("daterange", 0), CORE("int4range", 0), CORE("int8range", 0), CORE("isempty", 0),
	CORE("lower_inc", 0), CORE("lower_inf", 0), CORE("numrange", 0), CORE("range_merge", 0),
	CORE("tsrange", 0), CORE("tstzrange", 0), CORE("upper_inc", 0), CORE("upper_inf", 0),
#undef purpose_of_group
#define purpose_of_group "nulls"
	CORE("num_nonnulls", 0), CORE("num_nulls", 0),
#undef purpose_of_group
#define purpose_of_group "places"
	CORE("box", 0), CORE("circle", 0), CORE("point", 0),
#undef purpose_of_group
	{"index", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"lca", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"ltree2text", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"nlevel", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"subltree", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"subpath", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"text2ltree", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"allocate", SETTLE_HOME_SETTLE, "settlement (schema settle)", SETTLE_FN_COSTLY},
	{"distance_m", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"fee", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"fixed_date", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"heat", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"inside", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"part", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"round_amount", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
	{"to_wgs84", SETTLE_HOME_SETTLE, "settlement (schema settle)", 0},
};

static const SettleAllowed operators[] = {
#define purpose_of_group "comparison"
	CORE("<", 0), CORE("<=", 0), CORE("<>", 0), CORE("=", 0), CORE(">", 0), CORE(">=", 0),
#undef purpose_of_group
#define purpose_of_group "arithmetic"
	CORE("%", 0), CORE("*", 0), CORE("+", 0), CORE("-", 0), CORE("/", 0), CORE("@", 0),
	CORE("^", SETTLE_FN_POWER | SETTLE_FN_COSTLY),
	CORE("#", 0), CORE("&", 0), CORE("|", 0), CORE("<<", 0), CORE(">>", 0),
#undef purpose_of_group
#define purpose_of_group "text"
	CORE("||", SETTLE_FN_COSTLY), CORE("^@", 0),
	CORE("~~", 0), CORE("!~~", 0), CORE("~~*", 0), CORE("!~~*", 0),
#undef purpose_of_group
#define purpose_of_group "patterns"
	CORE("~", SETTLE_FN_REGEX | SETTLE_FN_LQUERY), CORE("~*", SETTLE_FN_REGEX),
	CORE("!~", SETTLE_FN_REGEX), CORE("!~*", SETTLE_FN_REGEX),
#undef purpose_of_group
#define purpose_of_group "json"
	CORE("->", 0), CORE("->>", 0), CORE("#>", 0), CORE("#>>", 0), CORE("#-", 0),
	CORE("?", SETTLE_FN_LQUERY), CORE("?|", 0), CORE("?&", 0),
#undef purpose_of_group
#define purpose_of_group "containment and ranges"
	CORE("@>", 0), CORE("<@", 0), CORE("&&", 0), CORE("&<", 0), CORE("&>", 0), CORE("-|-", 0),
	CORE("<->", 0),
#undef purpose_of_group
	{"?<@", SETTLE_HOME_LTREE, "paths (ltree)", 0},
	{"?@>", SETTLE_HOME_LTREE, "paths (ltree)", 0},
};

/*
 * Built-in functions that are marked stable and yet give one result in the
 * pinned environment: they depend on TimeZone, DateStyle, IntervalStyle, the
 * lc_ settings or, for polymorphic ones, on the output functions of their
 * argument types, and on nothing else.  enum_out depends on the labels of the
 * type, as the constants of a text do.
 *
 * The input functions of dates stand here for text converted while evaluating;
 * expr.c keeps the words now, today ... away from them.
 */
static const char *const stable_under_pins[] = {
	/* calls and casts */
	"date", "date_part", "date_trunc", "extract", "jsonb_build_array", "jsonb_build_object",
	"make_timestamptz", "overlaps", "time", "timestamp", "timestamptz", "timezone", "to_char",
	"to_date", "to_jsonb", "to_number", "to_timestamp",
	/* operators */
	"anytextcat", "textanycat",
	"date_eq_timestamptz", "date_ge_timestamptz", "date_gt_timestamptz",
	"date_le_timestamptz", "date_lt_timestamptz", "date_ne_timestamptz",
	"interval_pl_timestamptz",
	"timestamp_eq_timestamptz", "timestamp_ge_timestamptz", "timestamp_gt_timestamptz",
	"timestamp_le_timestamptz", "timestamp_lt_timestamptz", "timestamp_ne_timestamptz",
	"timestamptz_eq_date", "timestamptz_ge_date", "timestamptz_gt_date",
	"timestamptz_le_date", "timestamptz_lt_date", "timestamptz_ne_date",
	"timestamptz_eq_timestamp", "timestamptz_ge_timestamp", "timestamptz_gt_timestamp",
	"timestamptz_le_timestamp", "timestamptz_lt_timestamp", "timestamptz_ne_timestamp",
	"timestamptz_mi_interval", "timestamptz_pl_interval",
	/* comparison of GREATEST, LEAST and row values */
	"date_cmp_timestamptz", "timestamp_cmp_timestamptz", "timestamptz_cmp_date",
	"timestamptz_cmp_timestamp",
	/* values as text and text as values */
	"array_out", "date_in", "date_out", "enum_out", "interval_in", "interval_out", "range_out",
	"time_in", "timestamp_in", "timestamp_out", "timestamptz_in", "timestamptz_out",
};

#define MAX_ALLOWED	256

/* An index over one of the lists, in order of the names. */
typedef struct AllowedIndex
{
	int			n;
	const SettleAllowed *entry[MAX_ALLOWED];
} AllowedIndex;

StaticAssertDecl(lengthof(functions) <= MAX_ALLOWED, "too many functions for the index");
StaticAssertDecl(lengthof(operators) <= MAX_ALLOWED, "too many operators for the index");

static AllowedIndex function_index;
static AllowedIndex operator_index;

/*
 * Compares two entries by name.
 */
static int
compare_entries(const void *a, const void *b)
{
	return strcmp((*(const SettleAllowed *const *) a)->name,
				  (*(const SettleAllowed *const *) b)->name);
}

/*
 * Finds a name in a list, which is put in order at the first use.
 */
static const SettleAllowed *
find_allowed(AllowedIndex *index, const SettleAllowed *list, int n, const char *name)
{
	SettleAllowed key = {.name = name};
	const SettleAllowed *wanted = &key;
	const SettleAllowed **found;

	if (index->n == 0)
	{
		for (int i = 0; i < n; i++)
			index->entry[i] = &list[i];
		qsort(index->entry, n, sizeof(index->entry[0]), compare_entries);
		index->n = n;
	}
	found = bsearch(&wanted, index->entry, index->n, sizeof(index->entry[0]), compare_entries);
	return found ? *found : NULL;
}

/*
 * Returns the entry of a function, or NULL where expressions may not use it.
 */
const SettleAllowed *
settle_allowed_function(const char *name)
{
	return find_allowed(&function_index, functions, lengthof(functions), name);
}

/*
 * Returns the entry of an operator, or NULL where expressions may not use it.
 */
const SettleAllowed *
settle_allowed_operator(const char *name)
{
	return find_allowed(&operator_index, operators, lengthof(operators), name);
}

/*
 * Returns the list of functions in the order of this file.
 */
const SettleAllowed *
settle_allowed_functions(int *n)
{
	*n = lengthof(functions);
	return functions;
}

/*
 * Says whether a stable built-in function gives one result in the pinned
 * environment.
 */
bool
settle_stable_under_pins(const char *function_name)
{
	for (int i = 0; i < lengthof(stable_under_pins); i++)
	{
		if (strcmp(stable_under_pins[i], function_name) == 0)
			return true;
	}
	return false;
}

/*
 * Says whether values of a built-in type may occur in an expression.
 *
 * Left out with reason: money (its meaning depends on lc_monetary, and a
 * stored value does not say which), time with time zone (reading one looks at
 * today's date), the types of catalogues (they look up objects), xml, text
 * search (dictionaries are configuration), bit strings (bit(n) is long at no
 * cost), multiranges and json paths (no bound on their cost).
 */
bool
settle_core_type_allowed(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case UUIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case JSONOID:
		case JSONBOID:
		case INT4RANGEOID:
		case INT8RANGEOID:
		case NUMRANGEOID:
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
		case POINTOID:
		case BOXOID:
		case CIRCLEOID:
		case POLYGONOID:
			return true;
		default:
			return false;
	}
}
