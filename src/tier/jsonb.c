/*
 * jsonb.c
 *		The jsonb form of a price scale.
 *
 * Numbers are written as strings, so that no program on the way turns them into
 * floating point; they are read as strings or as numbers.  A null is the same
 * as a key that is not there.  An unknown key is an error: a misspelt "max"
 * must not lift a cap.
 */
#include "tier/scale.h"

#include "amount/decimal.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/*
 * Refuses the value; says what is wrong with it.
 */
static void
pg_attribute_noreturn()
refuse(const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid tiers: %s", what),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Fetches a member of an object; NULL where it is absent or null.
 */
static JsonbValue *
member(JsonbContainer *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key), NULL);

	return value && value->type != jbvNull ? value : NULL;
}

/*
 * Requires that every key of an object is in a list that ends with NULL.
 */
static void
require_keys(JsonbContainer *object, const char *what, const char *const *known)
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
		while (*key && !(strlen(*key) == value.val.string.len &&
						 memcmp(*key, value.val.string.val, value.val.string.len) == 0))
			key++;
		if (*key)
			continue;
		initStringInfo(&list);
		for (key = known; *key; key++)
			appendStringInfo(&list, "%s%s", key == known ? "" : ", ", *key);
		refuse(psprintf("%s has an unknown key \"%.*s\"", what,
						Min(value.val.string.len, 40), value.val.string.val),
			   psprintf("Known keys: %s.", list.data));
	}
}

/*
 * Reads a number from a string or a number.
 */
static SettleDec
number_of(JsonbValue *value, const char *what)
{
	if (value->type == jbvNumeric)
		return settle_dec_from_numeric(value->val.numeric);
	if (value->type != jbvString)
		refuse(psprintf("%s is not a number", what), "Write numbers as strings, like \"2.5\".");
	return settle_dec_in(value->val.string.val, value->val.string.len);
}

/*
 * Reads a number that may be absent.
 */
static bool
optional_number(JsonbContainer *object, const char *key, SettleDec *number)
{
	JsonbValue *value = member(object, key);

	if (value)
		*number = number_of(value, key);
	return value != NULL;
}

/*
 * Reads a number that must be there.
 */
static SettleDec
required_number(JsonbContainer *object, const char *key)
{
	SettleDec	number;

	if (!optional_number(object, key, &number))
		refuse(psprintf("\"%s\" is missing", key), NULL);
	return number;
}

/*
 * Reads true, false or nothing.
 */
static bool
optional_boolean(JsonbContainer *object, const char *key)
{
	JsonbValue *value = member(object, key);

	if (value && value->type != jbvBool)
		refuse(psprintf("%s is neither true nor false", key), NULL);
	return value && value->val.boolean;
}

/*
 * Reads the array of tiers; returns how many there are.
 */
static int
tiers_of(JsonbContainer *object, JsonbContainer **array)
{
	JsonbValue *value = member(object, "tiers");

	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data) ||
		JsonContainerIsScalar(value->val.binary.data))
		refuse("\"tiers\" is not an array", "Write {\"tiers\": [{\"up_to\": \"10\", \"unit\": \"1.5\"}, {\"unit\": \"1\"}]}.");
	*array = value->val.binary.data;
	return (int) JsonContainerSize(*array);
}

/*
 * Reads the limits of a capacity.
 */
static void
read_limits(JsonbContainer *object, SettleScale *scale, int i)
{
	JsonbValue *value = member(object, "limits");
	SettleTier *tier = &scale->tiers[i];
	int			n;

	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse(psprintf("\"limits\" of tier %d is not an array", i + 1),
			   "Write one limit a dimension, null for none: [\"100\", null].");
	n = (int) JsonContainerSize(value->val.binary.data);
	if (i == 0)
		scale->ndimensions = n;
	if (n != scale->ndimensions)
		refuse(psprintf("tier %d has %d limits, the first one has %d", i + 1, n, scale->ndimensions), NULL);
	if (n > SETTLE_MAX_DIMENSIONS)
		refuse(psprintf("tier %d has %d limits", i + 1, n), NULL);
	tier->limits = palloc0(sizeof(SettleLimit) * Max(n, 1));
	for (int d = 0; d < n; d++)
	{
		JsonbValue *limit = getIthJsonbValueFromContainer(value->val.binary.data, d);

		if (limit->type == jbvNull)
			tier->limits[d].any = true;
		else
			tier->limits[d].most = number_of(limit, "a limit");
	}
}

/*
 * Reads the price of one tier of the modes that have rates.
 */
static void
read_price(JsonbContainer *object, SettleTier *tier, int i)
{
	bool		unit = optional_number(object, "unit", &tier->rate);

	tier->percent = optional_number(object, "rate_percent", &tier->rate);
	if (unit && tier->percent)
		refuse(psprintf("tier %d has both \"unit\" and \"rate_percent\"", i + 1), "Give one of them.");
	if (!optional_number(object, "flat", &tier->flat) && !unit && !tier->percent)
		refuse(psprintf("tier %d has no price", i + 1), "Give \"unit\", \"rate_percent\" or \"flat\".");
}

/*
 * Reads the bounds of one tier.  "from" may say where the tier begins; it must
 * be where the one before it ends.
 */
static void
read_bounds(JsonbContainer *object, const SettleScale *scale, int i)
{
	SettleTier *tier = &scale->tiers[i];
	SettleDec	before = i == 0 ? settle_dec_int(0) : scale->tiers[i - 1].bound;
	SettleDec	from;

	if (optional_number(object, "up_to", &tier->bound))
		tier->bound_kind = SETTLE_TO;
	if (optional_number(object, "below", &tier->bound))
	{
		if (tier->bound_kind != SETTLE_OPEN)
			refuse(psprintf("tier %d has both \"up_to\" and \"below\"", i + 1), "Give one of them.");
		tier->bound_kind = SETTLE_BELOW;
	}
	if (optional_number(object, "from", &from))
	{
		int			order = settle_dec_cmp(from, before);

		if (order != 0)
			refuse(psprintf("there is %s between %s and %s", order > 0 ? "a gap" : "an overlap",
							settle_dec_out(before), settle_dec_out(from)),
				   "Each tier begins where the one before it ends; \"from\" may be left out.");
	}
}

/*
 * Reads one tier.
 */
static void
read_tier(JsonbContainer *object, SettleScale *scale, int i)
{
	static const char *const priced[] = {"from", "up_to", "below", "unit", "rate_percent", "flat", NULL};
	static const char *const blocks[] = {"size", "max_blocks", "price", NULL};
	static const char *const spread[] = {"from", "up_to", "amount", NULL};
	static const char *const capacity[] = {"limits", "price", NULL};
	SettleTier *tier = &scale->tiers[i];
	const char *what = psprintf("tier %d", i + 1);

	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
			require_keys(object, what, priced);
			read_price(object, tier, i);
			read_bounds(object, scale, i);
			break;
		case SETTLE_INTERPOLATED:
			require_keys(object, what, spread);
			tier->rate = required_number(object, "amount");
			read_bounds(object, scale, i);
			break;
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			require_keys(object, what, blocks);
			tier->size = required_number(object, "size");
			tier->rate = required_number(object, "price");
			if (optional_number(object, "max_blocks", &tier->count))
				tier->bound_kind = SETTLE_TO;
			break;
		case SETTLE_CAPACITY:
			require_keys(object, what, capacity);
			tier->rate = required_number(object, "price");
			read_limits(object, scale, i);
			break;
		case SETTLE_PACKAGE:
		case SETTLE_PERCENTAGE:
			elog(ERROR, "mode %s has no tiers", settle_mode_names[scale->mode]);
	}
}

/*
 * Reads the options that every mode may have, and requires that nothing else
 * is there but the keys given.
 */
static void
read_options(JsonbContainer *object, SettleScale *scale, const char *const *keys)
{
	static const char *const common[] = {"mode", "min", "max", "divide_by", "multiply_by", "round", "first_flat_at_zero", NULL};
	const char *known[lengthof(common) + 6];
	int			n = 0;
	JsonbValue *value;

	for (const char *const *key = common; *key; key++)
		known[n++] = *key;
	for (const char *const *key = keys; *key; key++)
		known[n++] = *key;
	known[n] = NULL;
	require_keys(object, "the object", known);

	scale->first_flat_at_zero = optional_boolean(object, "first_flat_at_zero");
	scale->has_floor = optional_number(object, "min", &scale->floor);
	scale->has_cap = optional_number(object, "max", &scale->cap);
	if (optional_number(object, "divide_by", &scale->factor))
		scale->conversion = SETTLE_DIVIDE;
	if (optional_number(object, "multiply_by", &scale->factor))
	{
		if (scale->conversion != SETTLE_NO_CONVERSION)
			refuse("units are both divided and multiplied", "Give one of \"divide_by\" and \"multiply_by\".");
		scale->conversion = SETTLE_MULTIPLY;
	}
	value = member(object, "round");
	if (value)
	{
		if (value->type != jbvString ||
			!settle_round_mode_in(value->val.string.val, value->val.string.len, &scale->unit_rounding))
			refuse("\"round\" is no way of rounding", "Use half_up, half_even, half_down, down, up, ceil or floor.");
		scale->rounds_units = true;
	}
}

/*
 * Reads and checks the jsonb form.
 */
SettleScale *
settle_scale_from_jsonb(Jsonb *jsonb)
{
	static const char *const tiered[] = {"tiers", "free_units", NULL};
	static const char *const package[] = {"package_size", "package_price", "free_units", NULL};
	static const char *const percentage[] = {"rate_percent", "fixed", "free_events", "free_amount", NULL};
	SettleScale *scale = palloc0(sizeof(SettleScale));
	JsonbContainer *object = &jsonb->root;
	JsonbValue *mode;
	JsonbContainer *array;

	if (!JsonContainerIsObject(object))
		refuse("the jsonb value is not an object", "Write {\"mode\": \"graduated\", \"tiers\": [...]}.");
	mode = member(object, "mode");
	if (mode && (mode->type != jbvString ||
				 !settle_mode_in(mode->val.string.val, mode->val.string.len, &scale->mode)))
		refuse("the mode is not known",
			   "Modes: graduated, volume, package, blocks_all, blocks_top, interpolated, capacity, percentage.");

	if (scale->mode == SETTLE_PACKAGE || scale->mode == SETTLE_PERCENTAGE)
	{
		SettleTier *tier = palloc0(sizeof(SettleTier));

		scale->ntiers = 1;
		scale->tiers = tier;
		if (scale->mode == SETTLE_PACKAGE)
		{
			read_options(object, scale, package);
			tier->size = required_number(object, "package_size");
			tier->rate = required_number(object, "package_price");
			scale->has_free = optional_number(object, "free_units", &scale->free);
		}
		else
		{
			read_options(object, scale, percentage);
			tier->percent = true;
			tier->rate = required_number(object, "rate_percent");
			optional_number(object, "fixed", &tier->flat);
			scale->has_free_events = optional_number(object, "free_events", &scale->free_events);
			scale->has_free = optional_number(object, "free_amount", &scale->free);
		}
	}
	else
	{
		read_options(object, scale, tiered);
		scale->has_free = optional_number(object, "free_units", &scale->free);
		scale->ntiers = tiers_of(object, &array);
		if (scale->ntiers > SETTLE_MAX_TIERS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("invalid tiers: %d tiers are more than %d", scale->ntiers, SETTLE_MAX_TIERS)));
		scale->tiers = palloc0(sizeof(SettleTier) * Max(scale->ntiers, 1));
		for (int i = 0; i < scale->ntiers; i++)
		{
			JsonbValue *value = getIthJsonbValueFromContainer(array, i);

			CHECK_FOR_INTERRUPTS();
			if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
				refuse(psprintf("tier %d is not an object", i + 1), NULL);
			read_tier(value->val.binary.data, scale, i);
		}
	}

	settle_scale_check(scale);
	return scale;
}

/*
 * Adds a key and its value to the object under construction.
 */
static void
put(JsonbParseState **state, const char *key, JsonbValue value)
{
	JsonbValue	name = {.type = jbvString};

	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static JsonbValue
json_string(const char *text)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	return value;
}

static JsonbValue
json_number(bool given, SettleDec number)
{
	return given ? json_string(settle_dec_out(number)) : (JsonbValue) {.type = jbvNull};
}

/*
 * Adds a number, or nothing where it is not given.
 */
static void
put_number(JsonbParseState **state, const char *key, bool given, SettleDec number)
{
	if (given)
		put(state, key, json_number(true, number));
}

/*
 * Adds one tier to the array under construction.
 */
static void
put_tier(JsonbParseState **state, const SettleScale *scale, const SettleTier *tier)
{
	bool		open = tier->bound_kind == SETTLE_OPEN;
	bool		flat = settle_dec_sign(tier->flat) != 0;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
			put(state, tier->bound_kind == SETTLE_BELOW ? "below" : "up_to", json_number(!open, tier->bound));
			put(state, tier->percent ? "rate_percent" : "unit", json_number(true, tier->rate));
			put_number(state, "flat", flat, tier->flat);
			break;
		case SETTLE_INTERPOLATED:
			put(state, "up_to", json_number(true, tier->bound));
			put(state, "amount", json_number(true, tier->rate));
			break;
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			put(state, "size", json_number(true, tier->size));
			put(state, "max_blocks", json_number(!open, tier->count));
			put(state, "price", json_number(true, tier->rate));
			break;
		case SETTLE_CAPACITY:
			{
				JsonbValue	name = json_string("limits");

				pushJsonbValue(state, WJB_KEY, &name);
				pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
				for (int d = 0; d < scale->ndimensions; d++)
				{
					JsonbValue	limit = json_number(!tier->limits[d].any, tier->limits[d].most);

					pushJsonbValue(state, WJB_ELEM, &limit);
				}
				pushJsonbValue(state, WJB_END_ARRAY, NULL);
				put(state, "price", json_number(true, tier->rate));
				break;
			}
		case SETTLE_PACKAGE:
		case SETTLE_PERCENTAGE:
			break;
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Writes the jsonb form.
 */
Jsonb *
settle_scale_to_jsonb(const SettleScale *scale)
{
	JsonbParseState *state = NULL;
	const SettleTier *first = &scale->tiers[0];

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	put(&state, "mode", json_string(settle_mode_names[scale->mode]));
	if (scale->mode == SETTLE_PACKAGE)
	{
		put(&state, "package_size", json_number(true, first->size));
		put(&state, "package_price", json_number(true, first->rate));
	}
	else if (scale->mode == SETTLE_PERCENTAGE)
	{
		put(&state, "rate_percent", json_number(true, first->rate));
		put(&state, "fixed", json_number(true, first->flat));
		put_number(&state, "free_events", scale->has_free_events, scale->free_events);
	}
	else
	{
		JsonbValue	name = json_string("tiers");

		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < scale->ntiers; i++)
			put_tier(&state, scale, &scale->tiers[i]);
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	if (scale->mode == SETTLE_GRADUATED)
		put(&state, "first_flat_at_zero", (JsonbValue) {.type = jbvBool, .val.boolean = scale->first_flat_at_zero});
	put_number(&state, scale->mode == SETTLE_PERCENTAGE ? "free_amount" : "free_units", scale->has_free, scale->free);
	put_number(&state, "divide_by", scale->conversion == SETTLE_DIVIDE, scale->factor);
	put_number(&state, "multiply_by", scale->conversion == SETTLE_MULTIPLY, scale->factor);
	if (scale->rounds_units)
		put(&state, "round", json_string(settle_round_mode_name(scale->unit_rounding)));
	put(&state, "min", json_number(scale->has_floor, scale->floor));
	put(&state, "max", json_number(scale->has_cap, scale->cap));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
