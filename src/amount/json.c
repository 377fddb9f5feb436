/*
 * json.c
 *		Reads and writes amounts in jsonb, strictly; see json.h.
 */
#include "amount/json.h"

#include "lib/stringinfo.h"

/*
 * Refuses the value; says what is wrong with it.
 */
void
settle_json_refuse(const SettleJson *in, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(in->errcode),
			 errmsg("invalid %s: %s", in->subject, what),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Fetches a member of an object.
 */
JsonbValue *
settle_json_member(JsonbContainer *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), NULL);

	return value && value->type != jbvNull ? value : NULL;
}

/*
 * The array that a value is.
 */
JsonbContainer *
settle_json_array(const JsonbValue *value)
{
	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data) ||
		JsonContainerIsScalar(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/*
 * The object that a value is.
 */
JsonbContainer *
settle_json_object(const JsonbValue *value)
{
	if (!value || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/*
 * True where a value is this string.
 */
bool
settle_json_is_word(const JsonbValue *value, const char *word)
{
	return value && value->type == jbvString && value->val.string.len == strlen(word) &&
		memcmp(value->val.string.val, word, strlen(word)) == 0;
}

/*
 * Requires that every key of an object is known.
 */
void
settle_json_require_keys(const SettleJson *in, JsonbContainer *object, const char *what, const char *const *known)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	value;
	JsonbIteratorToken token;
	StringInfoData list;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const char *const *key = known;

		if (token != WJB_KEY)
			continue;
		while (*key && !settle_json_is_word(&value, *key))
			key++;
		if (*key)
			continue;
		initStringInfo(&list);
		for (key = known; *key; key++)
			appendStringInfo(&list, "%s%s", key == known ? "" : ", ", *key);
		settle_json_refuse(in, psprintf("%s has an unknown key \"%.*s\"", what,
										Min(value.val.string.len, 40), value.val.string.val),
						   psprintf("Known keys: %s.", list.data));
	}
}

/*
 * Reads a number from a string or a number.
 */
SettleDec
settle_json_number(const SettleJson *in, const JsonbValue *value, const char *what)
{
	if (value && value->type == jbvNumeric)
		return settle_dec_from_numeric(value->val.numeric);
	if (!value || value->type != jbvString)
		settle_json_refuse(in, psprintf("%s is not a number", what), "Write numbers as strings, like \"2.5\".");
	return settle_dec_in(value->val.string.val, value->val.string.len);
}

/*
 * Reads a number that may be absent.
 */
bool
settle_json_optional_number(const SettleJson *in, JsonbContainer *object, const char *key, SettleDec *number)
{
	JsonbValue *value = settle_json_member(object, key);

	if (value)
		*number = settle_json_number(in, value, psprintf("\"%s\"", key));
	return value != NULL;
}

/*
 * Reads a number that must be there.
 */
SettleDec
settle_json_required_number(const SettleJson *in, JsonbContainer *object, const char *key)
{
	SettleDec	number;

	if (!settle_json_optional_number(in, object, key, &number))
		settle_json_refuse(in, psprintf("\"%s\" is missing", key), NULL);
	return number;
}

/*
 * Reads true, false or nothing.
 */
bool
settle_json_optional_boolean(const SettleJson *in, JsonbContainer *object, const char *key)
{
	JsonbValue *value = settle_json_member(object, key);

	if (value && value->type != jbvBool)
		settle_json_refuse(in, psprintf("\"%s\" is neither true nor false", key), NULL);
	return value && value->val.boolean;
}

/*
 * Wraps a text.
 */
JsonbValue
settle_json_string(const char *text)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	return value;
}

/*
 * Wraps a number.
 */
JsonbValue
settle_json_from_dec(bool given, SettleDec number)
{
	return given ? settle_json_string(settle_dec_out(number)) : (JsonbValue) {.type = jbvNull};
}

/*
 * Adds a key and its value to the object under construction.
 */
void
settle_json_put(JsonbParseState **state, const char *key, JsonbValue value)
{
	JsonbValue	name = settle_json_string(key);

	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * Adds a number, if it is given.
 */
void
settle_json_put_number(JsonbParseState **state, const char *key, bool given, SettleDec number)
{
	if (given)
		settle_json_put(state, key, settle_json_from_dec(true, number));
}
