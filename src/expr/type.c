/*
 * type.c
 *		Which types an expression may have to do with, and which words a text that
 *		becomes a date may not hold.
 *
 * The input function of a type runs while a text is analysed, so a type that a
 * stranger can define is refused before.  Where an object comes from is asked
 * of pg_depend; what it is called says nothing.
 */
#include "expr/gate.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Where the objects of the text that is being read come from.  The same few
 * come up again and again, and each look into pg_depend costs microseconds.
 */
typedef struct KnownHome
{
	Oid			class_id;
	Oid			object_id;
	SettleHome	home;
} KnownHome;

static KnownHome known_homes[16];
static int	known_home_count = 0;

/*
 * Forgets where objects come from, since the catalogue may have changed.
 */
void
settle_forget_homes(void)
{
	known_home_count = 0;
}

/*
 * Finds the extension that an object belongs to.
 */
static SettleHome
find_home(Oid class_id, Oid object_id)
{
	Oid			extension = getExtensionOfObject(class_id, object_id);
	Oid			ltree;

	if (!OidIsValid(extension))
		return SETTLE_HOME_STRANGE;
	(void) settle_ltree_schema(&ltree);
	if (extension == ltree)
		return SETTLE_HOME_LTREE;
	if (extension == get_extension_oid("scrm_settle", true))
		return SETTLE_HOME_SETTLE;
	return SETTLE_HOME_STRANGE;
}

/*
 * Says where an object comes from.
 */
SettleHome
settle_home_of(Oid class_id, Oid object_id)
{
	KnownHome	found = {.class_id = class_id, .object_id = object_id};

	if (object_id < FirstUnpinnedObjectId)
		return SETTLE_HOME_CORE;
	for (int i = 0; i < known_home_count; i++)
	{
		if (known_homes[i].class_id == class_id && known_homes[i].object_id == object_id)
			return known_homes[i].home;
	}
	found.home = find_home(class_id, object_id);
	if (known_home_count < lengthof(known_homes))
		known_homes[known_home_count++] = found;
	return found.home;
}

/*
 * Says whether a type is the one of an extension that has this name.
 */
static bool
is_type_of(Oid type, SettleHome home, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		same = false;

	if (HeapTupleIsValid(tuple))
	{
		same = strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), name) == 0 &&
			settle_home_of(TypeRelationId, type) == home;
		ReleaseSysCache(tuple);
	}
	return same;
}

/*
 * Says whether a type is the pattern type of ltree.
 */
bool
settle_is_lquery(Oid type)
{
	return type >= FirstUnpinnedObjectId && is_type_of(type, SETTLE_HOME_LTREE, "lquery");
}

/*
 * Says whether values of a type may occur in an expression: the built-in types
 * of the list, enums, the types of ltree, settle.tiers, and arrays of these.
 */
bool
settle_type_allowed(Oid type)
{
	Oid			element;

	if (settle_core_type_allowed(type))
		return true;
	element = get_element_type(type);
	if (OidIsValid(element))
		type = element;
	if (type < FirstUnpinnedObjectId)
		return settle_core_type_allowed(type);
	if (type_is_enum(type))
		return true;
	switch (settle_home_of(TypeRelationId, type))
	{
		case SETTLE_HOME_LTREE:
			return true;
		case SETTLE_HOME_SETTLE:
			return is_type_of(type, SETTLE_HOME_SETTLE, "tiers");
		default:
			return false;
	}
}

/*
 * Says whether a column of this type may be named at all.
 *
 * Comparing a column with a constant runs the input function of its type while
 * the text is analysed.  Only a superuser can define base types, but anybody
 * can define a composite type, a range, or an array over a domain whose CHECK
 * calls a function.
 */
bool
settle_column_allowed(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		return settle_type_allowed(type);
	switch (get_typtype(type))
	{
		case TYPTYPE_BASE:
		case TYPTYPE_ENUM:
			return true;
		case TYPTYPE_RANGE:
		case TYPTYPE_MULTIRANGE:
			return type < FirstUnpinnedObjectId;
		default:
			return false;
	}
}

/*
 * Says whether input of this type knows words that mean another time at each
 * reading.
 */
bool
settle_type_takes_date_words(Oid type)
{
	Oid			element = get_element_type(type);

	switch (OidIsValid(element) ? element : type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
			return true;
		default:
			return false;
	}
}

/*
 * Says whether a text holds one of the words now, today, tomorrow, yesterday.
 *
 * Date input takes a run of letters for a word.  Backslashes and double quotes
 * are passed over because the input of arrays and ranges drops them first.
 */
bool
settle_has_date_word(const char *text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	char		word[16];
	int			len = 0;

	for (const char *p = text;; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c == '\\' || c == '"')
			continue;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		{
			if (len < (int) sizeof(word))
				word[len++] = pg_ascii_tolower(c);
			continue;
		}
		for (int i = 0; i < lengthof(words); i++)
		{
			if (len == (int) strlen(words[i]) && memcmp(word, words[i], len) == 0)
				return true;
		}
		len = 0;
		if (c == '\0')
			return false;
	}
}

/*
 * Raises 22007 for a text that is to become a date or time and holds such a
 * word.
 */
void
settle_check_date_text(const char *text)
{
	if (settle_has_date_word(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("\"%s\" would mean another time at each reading", text)));
}

/*
 * Refuses a type of a cast or of a constant.
 */
void
settle_vet_type(ParseState *pstate, Oid type, int location)
{
	if (settle_type_allowed(type))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("type %s cannot be used in an expression", format_type_be(type)),
			 get_typtype(type) == TYPTYPE_DOMAIN ?
			 errhint("Cast to the type under the domain, %s.", format_type_be(getBaseType(type))) :
			 errdetail("Expressions may use plain types, enums, the types of ltree, and arrays of these."),
			 parser_errposition(pstate, location)));
}
