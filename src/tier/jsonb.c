/*
 * jsonb.c
 *		The jsonb form of a price scale.
 *
 * It has the shape of docs/tier.md; keys and numbers are read as json.h says.
 */
#include "tier/scale.h"

#include "amount/decimal.h"
#include "amount/json.h"
#include "miscadmin.h"

static const SettleJson in = {"tiers", ERRCODE_INVALID_TEXT_REPRESENTATION};

/*
 * Reads the array of tiers; returns how many there are.
 */
static int
tiers_of(JsonbContainer *object, JsonbContainer **array)
{
	*array = settle_json_array(settle_json_member(object, "tiers"));
	if (!*array)
		settle_json_refuse(&in, "\"tiers\" is not an array",
						   "Write {\"tiers\": [{\"up_to\": \"10\", \"unit\": \"1.5\"}, {\"unit\": \"1\"}]}.");
	return (int) JsonContainerSize(*array);
}

/*
 * Reads the limits of a capacity.
 */
static void
read_limits(JsonbContainer *object, SettleScale *scale, int i)
{
	JsonbContainer *limits = settle_json_array(settle_json_member(object, "limits"));
	SettleTier *tier = &scale->tiers[i];
	int			n;

	if (!limits)
		settle_json_refuse(&in, psprintf("\"limits\" of tier %d is not an array", i + 1),
			   "Write one limit a dimension, null for none: [\"100\", null].");
	n = (int) JsonContainerSize(limits);
	if (i == 0)
		scale->ndimensions = n;
	if (n != scale->ndimensions)
		settle_json_refuse(&in, psprintf("tiers differ in their number of limits: %d and %d", scale->ndimensions, n), NULL);
	if (n > SETTLE_MAX_DIMENSIONS)
		settle_json_refuse(&in, psprintf("tier %d has more than %d limits", i + 1, SETTLE_MAX_DIMENSIONS), NULL);
	tier->limits = palloc0(sizeof(SettleLimit) * Max(n, 1));
	for (int d = 0; d < n; d++)
	{
		JsonbValue *limit = getIthJsonbValueFromContainer(limits, d);

		if (limit->type == jbvNull)
			tier->limits[d].any = true;
		else
			tier->limits[d].most = settle_json_number(&in, limit, "a limit");
	}
}

/*
 * Reads the price of one tier of the modes that have rates.
 */
static void
read_price(JsonbContainer *object, SettleTier *tier, int i)
{
	bool		unit = settle_json_optional_number(&in, object, "unit", &tier->rate);

	tier->percent = settle_json_optional_number(&in, object, "rate_percent", &tier->rate);
	if (unit && tier->percent)
		settle_json_refuse(&in, psprintf("tier %d has both \"unit\" and \"rate_percent\"", i + 1), "Give one of them.");
	if (!settle_json_optional_number(&in, object, "flat", &tier->flat) && !unit && !tier->percent)
		settle_json_refuse(&in, psprintf("tier %d has no price", i + 1), "Give \"unit\", \"rate_percent\" or \"flat\".");
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

	if (settle_json_optional_number(&in, object, "up_to", &tier->bound))
		tier->bound_kind = SETTLE_TO;
	if (settle_json_optional_number(&in, object, "below", &tier->bound))
	{
		if (tier->bound_kind != SETTLE_OPEN)
			settle_json_refuse(&in, psprintf("tier %d has both \"up_to\" and \"below\"", i + 1), "Give one of them.");
		tier->bound_kind = SETTLE_BELOW;
	}
	if (settle_json_optional_number(&in, object, "from", &from))
	{
		int			order = settle_dec_cmp(from, before);

		if (order != 0)
			settle_json_refuse(&in, psprintf("there is %s between %s and %s", order > 0 ? "a gap" : "an overlap",
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
	static const char *const blocks[] = {"size", "max_blocks", "price", "flat", NULL};
	static const char *const spread[] = {"from", "up_to", "amount", NULL};
	static const char *const capacity[] = {"limits", "price", NULL};
	SettleTier *tier = &scale->tiers[i];
	const char *what = psprintf("tier %d", i + 1);

	switch (scale->mode)
	{
		case SETTLE_GRADUATED:
		case SETTLE_VOLUME:
			settle_json_require_keys(&in, object, what, priced);
			read_price(object, tier, i);
			read_bounds(object, scale, i);
			break;
		case SETTLE_INTERPOLATED:
			settle_json_require_keys(&in, object, what, spread);
			tier->rate = settle_json_required_number(&in, object, "amount");
			read_bounds(object, scale, i);
			break;
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			settle_json_require_keys(&in, object, what, blocks);
			tier->size = settle_json_required_number(&in, object, "size");
			tier->rate = settle_json_required_number(&in, object, "price");
			settle_json_optional_number(&in, object, "flat", &tier->flat);
			if (settle_json_optional_number(&in, object, "max_blocks", &tier->count))
				tier->bound_kind = SETTLE_TO;
			break;
		case SETTLE_CAPACITY:
			settle_json_require_keys(&in, object, what, capacity);
			tier->rate = settle_json_required_number(&in, object, "price");
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
	static const char *const common[] = {
		"mode", "min", "max", "divide_by", "multiply_by", "round", "first_flat_at_zero", NULL
	};
	const char *known[lengthof(common) + 6];
	int			n = 0;
	JsonbValue *value;

	for (const char *const *key = common; *key; key++)
		known[n++] = *key;
	for (const char *const *key = keys; *key; key++)
		known[n++] = *key;
	known[n] = NULL;
	settle_json_require_keys(&in, object, "the object", known);

	scale->first_flat_at_zero = settle_json_optional_boolean(&in, object, "first_flat_at_zero");
	scale->has_floor = settle_json_optional_number(&in, object, "min", &scale->floor);
	scale->has_cap = settle_json_optional_number(&in, object, "max", &scale->cap);
	if (settle_json_optional_number(&in, object, "divide_by", &scale->factor))
		scale->conversion = SETTLE_DIVIDE;
	if (settle_json_optional_number(&in, object, "multiply_by", &scale->factor))
	{
		if (scale->conversion != SETTLE_NO_CONVERSION)
			settle_json_refuse(&in, "units are both divided and multiplied",
							   "Give one of \"divide_by\" and \"multiply_by\".");
		scale->conversion = SETTLE_MULTIPLY;
	}
	value = settle_json_member(object, "round");
	if (value)
	{
		if (value->type != jbvString ||
			!settle_round_mode_in(value->val.string.val, value->val.string.len, &scale->unit_rounding))
			settle_json_refuse(&in, "\"round\" is no way of rounding",
							   "Use half_up, half_even, half_down, down, up, ceil or floor.");
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
	static const char *const package[] = {"package_size", "package_price", "flat", "free_units", NULL};
	static const char *const percentage[] = {"rate_percent", "fixed", "free_events", "free_amount", NULL};
	SettleScale *scale = palloc0(sizeof(SettleScale));
	JsonbContainer *object = &jsonb->root;
	JsonbValue *mode;
	JsonbContainer *array;

	if (!JsonContainerIsObject(object))
		settle_json_refuse(&in, "the jsonb value is not an object", "Write {\"mode\": \"graduated\", \"tiers\": [...]}.");
	mode = settle_json_member(object, "mode");
	if (mode && (mode->type != jbvString ||
				 !settle_mode_in(mode->val.string.val, mode->val.string.len, &scale->mode)))
		settle_json_refuse(&in, "the mode is not known",
			   "Modes: graduated, volume, package, blocks_all, blocks_top, interpolated, capacity, percentage.");

	if (scale->mode == SETTLE_PACKAGE || scale->mode == SETTLE_PERCENTAGE)
	{
		SettleTier *tier = palloc0(sizeof(SettleTier));

		scale->ntiers = 1;
		scale->tiers = tier;
		if (scale->mode == SETTLE_PACKAGE)
		{
			read_options(object, scale, package);
			tier->size = settle_json_required_number(&in, object, "package_size");
			tier->rate = settle_json_required_number(&in, object, "package_price");
			settle_json_optional_number(&in, object, "flat", &tier->flat);
			scale->has_free = settle_json_optional_number(&in, object, "free_units", &scale->free);
		}
		else
		{
			read_options(object, scale, percentage);
			tier->percent = true;
			tier->rate = settle_json_required_number(&in, object, "rate_percent");
			settle_json_optional_number(&in, object, "fixed", &tier->flat);
			scale->has_free_events = settle_json_optional_number(&in, object, "free_events", &scale->free_events);
			scale->has_free = settle_json_optional_number(&in, object, "free_amount", &scale->free);
		}
	}
	else
	{
		read_options(object, scale, tiered);
		scale->has_free = settle_json_optional_number(&in, object, "free_units", &scale->free);
		scale->ntiers = tiers_of(object, &array);
		if (scale->ntiers > SETTLE_MAX_TIERS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("invalid tiers: %d tiers are more than %d", scale->ntiers, SETTLE_MAX_TIERS)));
		scale->tiers = palloc0(sizeof(SettleTier) * Max(scale->ntiers, 1));
		for (int i = 0; i < scale->ntiers; i++)
		{
			JsonbContainer *tier = settle_json_object(getIthJsonbValueFromContainer(array, i));

			CHECK_FOR_INTERRUPTS();
			if (!tier)
				settle_json_refuse(&in, psprintf("tier %d is not an object", i + 1), NULL);
			read_tier(tier, scale, i);
		}
	}

	settle_scale_check(scale);
	return scale;
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
			settle_json_put(state, tier->bound_kind == SETTLE_BELOW ? "below" : "up_to", settle_json_from_dec(!open, tier->bound));
			settle_json_put(state, tier->percent ? "rate_percent" : "unit", settle_json_from_dec(true, tier->rate));
			settle_json_put_number(state, "flat", flat, tier->flat);
			break;
		case SETTLE_INTERPOLATED:
			settle_json_put(state, "up_to", settle_json_from_dec(true, tier->bound));
			settle_json_put(state, "amount", settle_json_from_dec(true, tier->rate));
			break;
		case SETTLE_BLOCKS_ALL:
		case SETTLE_BLOCKS_TOP:
			settle_json_put(state, "size", settle_json_from_dec(true, tier->size));
			settle_json_put(state, "max_blocks", settle_json_from_dec(!open, tier->count));
			settle_json_put(state, "price", settle_json_from_dec(true, tier->rate));
			settle_json_put_number(state, "flat", flat, tier->flat);
			break;
		case SETTLE_CAPACITY:
			{
				JsonbValue	name = settle_json_string("limits");

				pushJsonbValue(state, WJB_KEY, &name);
				pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
				for (int d = 0; d < scale->ndimensions; d++)
				{
					JsonbValue	limit = settle_json_from_dec(!tier->limits[d].any, tier->limits[d].most);

					pushJsonbValue(state, WJB_ELEM, &limit);
				}
				pushJsonbValue(state, WJB_END_ARRAY, NULL);
				settle_json_put(state, "price", settle_json_from_dec(true, tier->rate));
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
	settle_json_put(&state, "mode", settle_json_string(settle_mode_names[scale->mode]));
	if (scale->mode == SETTLE_PACKAGE)
	{
		settle_json_put(&state, "package_size", settle_json_from_dec(true, first->size));
		settle_json_put(&state, "package_price", settle_json_from_dec(true, first->rate));
		settle_json_put_number(&state, "flat", settle_dec_sign(first->flat) != 0, first->flat);
	}
	else if (scale->mode == SETTLE_PERCENTAGE)
	{
		settle_json_put(&state, "rate_percent", settle_json_from_dec(true, first->rate));
		settle_json_put(&state, "fixed", settle_json_from_dec(true, first->flat));
		settle_json_put_number(&state, "free_events", scale->has_free_events, scale->free_events);
	}
	else
	{
		JsonbValue	name = settle_json_string("tiers");

		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < scale->ntiers; i++)
			put_tier(&state, scale, &scale->tiers[i]);
		pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	if (scale->mode == SETTLE_GRADUATED)
		settle_json_put(&state, "first_flat_at_zero",
						(JsonbValue) {.type = jbvBool, .val.boolean = scale->first_flat_at_zero});
	settle_json_put_number(&state, scale->mode == SETTLE_PERCENTAGE ? "free_amount" : "free_units",
						   scale->has_free, scale->free);
	settle_json_put_number(&state, "divide_by", scale->conversion == SETTLE_DIVIDE, scale->factor);
	settle_json_put_number(&state, "multiply_by", scale->conversion == SETTLE_MULTIPLY, scale->factor);
	if (scale->rounds_units)
		settle_json_put(&state, "round", settle_json_string(settle_round_mode_name(scale->unit_rounding)));
	settle_json_put(&state, "min", settle_json_from_dec(scale->has_floor, scale->floor));
	settle_json_put(&state, "max", settle_json_from_dec(scale->has_cap, scale->cap));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
