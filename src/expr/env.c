/*
 * env.c
 *		The pinned environment in which texts of rules are read and evaluated.
 *
 * Settings are changed with GUC_ACTION_SAVE inside a nest level of their own,
 * as the SET clause of a function does: leaving restores them, an error
 * restores them too, and it is allowed in a parallel worker.  A setting that
 * has the wanted value already is not touched; in the usual session that leaves
 * search_path, TimeZone and row_security.
 *
 * Whoever adds a setting here must also look at functions.c: the list of
 * functions that are stable and yet allowed rests on these pins.
 */
#include "expr/gate.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/catcache.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/rls.h"
#include "utils/syscache.h"

/*
 * The extension ltree as last found.  The type is looked up by OID through the
 * system cache at each use, so a move to another schema is seen at once and a
 * dropped extension leads to a new search.
 */
static Oid	ltree_extension = InvalidOid;
static Oid	ltree_type = InvalidOid;

/*
 * Returns the schema that the remembered type ltree stands in, or InvalidOid
 * where that type is gone.
 */
static Oid
remembered_ltree_schema(void)
{
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	if (!OidIsValid(ltree_type))
		return InvalidOid;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(ltree_type));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_type form = (Form_pg_type) GETSTRUCT(tuple);

		if (strcmp(NameStr(form->typname), "ltree") == 0)
			schema = form->typnamespace;
		ReleaseSysCache(tuple);
	}
	return schema;
}

/*
 * Returns the schema of extension ltree and, in *extension, the extension
 * itself.
 */
Oid
settle_ltree_schema(Oid *extension)
{
	Oid			schema = remembered_ltree_schema();

	if (!OidIsValid(schema))
	{
		Oid			ext = get_extension_oid("ltree", false);
		CatCList   *types = SearchSysCacheList1(TYPENAMENSP, CStringGetDatum("ltree"));
		Oid			found = InvalidOid;

		for (int i = 0; i < types->n_members; i++)
		{
			Oid			candidate = ((Form_pg_type) GETSTRUCT(&types->members[i]->tuple))->oid;

			if (getExtensionOfObject(TypeRelationId, candidate) == ext)
				found = candidate;
		}
		ReleaseSysCacheList(types);

		ltree_extension = ext;
		ltree_type = found;
		schema = remembered_ltree_schema();
		if (!OidIsValid(schema))
			elog(ERROR, "extension ltree has no type ltree");
	}
	if (extension)
		*extension = ltree_extension;
	return schema;
}

/*
 * Raises 22023 where a text is not the name of a time zone.
 *
 * A POSIX rule such as UTC+8 is refused although PostgreSQL takes it: it means
 * eight hours west of Greenwich, the opposite of what its author meant.
 */
static void
check_time_zone(const char *time_zone)
{
	pg_tz	   *zone = NULL;
	bool		named = true;

	if (pg_strncasecmp(time_zone, "Etc/", 4) != 0)
	{
		for (const char *p = time_zone; *p; p++)
		{
			if (*p == '<' || *p == ',' ||
				((*p == '+' || *p == '-') && isdigit((unsigned char) p[1])))
				named = false;
		}
	}
	if (named && strlen(time_zone) <= TZ_STRLEN_MAX)
		zone = pg_tzset(time_zone);
	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is not known", time_zone),
				 named ? 0 : errdetail("A rule in the style of POSIX would count hours west of Greenwich."),
				 errhint("Use a name from pg_timezone_names, such as Asia/Shanghai.")));
}

/*
 * Gives a setting its value until the environment is left, unless it has it.
 */
static void
pin(const char *name, const char *value, bool pinned)
{
	if (!pinned)
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, ERROR, false);
}

/*
 * Enters the pinned environment of a book with this time zone.
 */
int
settle_env_enter(const char *time_zone)
{
	int			nestlevel;
	char	   *path;
	const char *abbreviations;

	settle_env_need();
	check_time_zone(time_zone);
	path = psprintf("pg_catalog, %s, pg_temp",
					quote_identifier(get_namespace_name(settle_ltree_schema(NULL))));
	abbreviations = GetConfigOption("timezone_abbreviations", false, false);

	nestlevel = NewGUCNestLevel();

	/* what names and literals mean */
	pin("search_path", path, strcmp(namespace_search_path, path) == 0);
	pin("standard_conforming_strings", "on", standard_conforming_strings);
	pin("backslash_quote", "safe_encoding", backslash_quote == BACKSLASH_QUOTE_SAFE_ENCODING);
	pin("transform_null_equals", "off", !Transform_null_equals);
	pin("array_nulls", "on", Array_nulls);

	/* dates and times */
	pin("TimeZone", time_zone, strcmp(pg_get_timezone_name(session_timezone), time_zone) == 0);
	pin("timezone_abbreviations", "Default", strcmp(abbreviations, "Default") == 0);
	pin("DateStyle", "ISO, YMD", DateStyle == USE_ISO_DATES && DateOrder == DATEORDER_YMD);
	pin("IntervalStyle", "postgres", IntervalStyle == INTSTYLE_POSTGRES);
	pin("lc_time", "C", strcmp(locale_time, "C") == 0);

	/* numbers and other values as text */
	pin("extra_float_digits", "1", extra_float_digits == 1);
	pin("bytea_output", "hex", bytea_output == BYTEA_OUTPUT_HEX);
	pin("lc_numeric", "C", strcmp(locale_numeric, "C") == 0);
	pin("lc_monetary", "C", strcmp(locale_monetary, "C") == 0);

	/* canonical texts */
	pin("quote_all_identifiers", "off", !quote_all_identifiers);

	/* fewer rows than there are would be wrong money */
	pin("row_security", "off", !row_security);

	pfree(path);
	return nestlevel;
}

/*
 * Leaves the pinned environment.
 */
void
settle_env_leave(int nestlevel)
{
	AtEOXact_GUC(true, nestlevel);
}

/* ---- entering it when somebody needs it ---- */

static SettleLateEnv *late = NULL;

/*
 * Tells whether the settings that even immutable functions read are as they are
 * pinned.
 */
static bool
is_pinned_anyway(void)
{
	return extra_float_digits == 1 && bytea_output == BYTEA_OUTPUT_HEX && IntervalStyle == INTSTYLE_POSTGRES && !quote_all_identifiers;
}

void
settle_env_without_jit(void)
{
	if (jit_enabled)
		(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
}

void
settle_env_enter_late(SettleLateEnv *env, const char *time_zone)
{
	settle_env_need();
	check_time_zone(time_zone);
	env->time_zone = time_zone;
	env->zone_before = session_timezone;
	env->level = GetCurrentTransactionNestLevel();
	env->nestlevel = 0;
	session_timezone = pg_tzset(time_zone);
	late = env;
	if (!is_pinned_anyway())
		settle_env_need();
}

void
settle_env_need(void)
{
	SettleLateEnv *env = late;

	if (env == NULL)
		return;
	/* the end of a savepoint would end it */
	if (env->level != GetCurrentTransactionNestLevel())
		elog(ERROR, "the environment of a book is needed in a savepoint and was not entered before");
	settle_env_forget(env);
	env->nestlevel = settle_env_enter(env->time_zone);
	settle_env_without_jit();
}

void
settle_env_leave_late(SettleLateEnv *env)
{
	if (env->nestlevel > 0)
		settle_env_leave(env->nestlevel);
	settle_env_forget(env);
}

void
settle_env_forget(const SettleLateEnv *env)
{
	if (late != env)
		return;
	session_timezone = env->zone_before;
	late = NULL;
}
