/*
 * json.h
 *		Reads and writes amounts in jsonb, strictly.
 *
 * Numbers are written as strings, so that no program on the way turns them into
 * floating point; they are read as strings or as numbers.  A null is the same
 * as a key that is not there.  An unknown key is an error: a misspelt "max"
 * must not lift a cap.
 */
#ifndef SETTLE_JSON_H
#define SETTLE_JSON_H

#include "amount/amount.h"
#include "utils/jsonb.h"

/* What is being read, for errors: "invalid <subject>: ..." with this code. */
typedef struct SettleJson
{
	const char *subject;
	int			errcode;
} SettleJson;

extern void settle_json_refuse(const SettleJson *in, const char *what, const char *hint) pg_attribute_noreturn();

/* A member of an object; NULL where it is absent or null. */
extern JsonbValue *settle_json_member(JsonbContainer *object, const char *key);

/* The array or object that a value is; NULL where it is something else. */
extern JsonbContainer *settle_json_array(const JsonbValue *value);
extern JsonbContainer *settle_json_object(const JsonbValue *value);
extern bool settle_json_is_word(const JsonbValue *value, const char *word);

/* Requires that every key of an object is in a list that ends with NULL. */
extern void settle_json_require_keys(const SettleJson *in, JsonbContainer *object, const char *what, const char *const *known);

extern SettleDec settle_json_number(const SettleJson *in, const JsonbValue *value, const char *what);
extern bool settle_json_optional_number(const SettleJson *in, JsonbContainer *object, const char *key, SettleDec *number);
extern SettleDec settle_json_required_number(const SettleJson *in, JsonbContainer *object, const char *key);
extern bool settle_json_optional_boolean(const SettleJson *in, JsonbContainer *object, const char *key);

extern JsonbValue settle_json_string(const char *text);
extern JsonbValue settle_json_from_dec(bool given, SettleDec number);	/* null where it is not given */
extern void settle_json_put(JsonbParseState **state, const char *key, JsonbValue value);
extern void settle_json_put_number(JsonbParseState **state, const char *key, bool given, SettleDec number); /* nothing where it is not given */

#endif							/* SETTLE_JSON_H */
