/*
 * version.c
 *		The version of this library against that of the extension.
 *
 * A library is replaced by installing it, the extension in a database by ALTER
 * EXTENSION, and between the two every session runs a later library under an
 * earlier script.  That works: a symbol that a script of any version names stays.
 * The other way round, as in a session that loaded the library before it was
 * replaced, functions may want what is not there, so it is refused.
 */
#include "core/core.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

/*
 * Compares two versions <x>.<y>.<z> number by number.
 */
static int
compare_versions(const char *a, const char *b)
{
	for (int i = 0; i < 3; i++)
	{
		char	   *a_end;
		char	   *b_end;
		long		x = strtol(a, &a_end, 10);
		long		y = strtol(b, &b_end, 10);

		if (x != y)
			return x < y ? -1 : 1;
		a = *a_end == '.' ? a_end + 1 : a_end;
		b = *b_end == '.' ? b_end + 1 : b_end;
	}
	return 0;
}

/*
 * Reads the version of the extension in this database; NULL where there is none.
 */
static char *
installed_version(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("scrm_settle"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(extensions), &isnull);

		version = isnull ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return version;
}

void
settle_check_version(void)
{
	static bool checked = false;	/* in this session; an error is raised again */
	const char *installed;
	int			cmp;

	if (checked || IsParallelWorker())
		return;
	installed = installed_version();
	cmp = installed == NULL ? 0 : compare_versions(installed, SETTLE_VERSION);
	if (cmp > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"scrm_settle\" is of version %s, its library of %s", installed, SETTLE_VERSION),
				 errhint("Install the library of that version; a session that has loaded the old one connects anew.")));
	checked = true;
	if (cmp < 0)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"scrm_settle\" is of version %s, its library of %s", installed, SETTLE_VERSION),
				 errhint("ALTER EXTENSION scrm_settle UPDATE.")));
}
