/*
 * withhold.c
 *		Tax withheld from a payment, given what came before it in the tax year.
 *
 * A model is either one of the named tables below, which change with the law
 * and so have a date each, or a definition in jsonb of a rate with thresholds.
 * Both are a pure function of the model, the state so far and the payment; the
 * state belongs to the caller, one a person, kind of income and tax year.
 *
 * What a maintainer must know: nothing is rounded here, a withheld amount is
 * rounded as the line that it becomes.  A new law is a new row of a table with
 * its date; a row that has been in force is never changed.
 */
#include "amount/amount.h"

#include "amount/json.h"
#include "utils/builtins.h"

/* Expenses that the law assumes. */
typedef enum Expenses
{
	NO_EXPENSES,
	FIFTH,						/* 20 % */
	EIGHT_HUNDRED_OR_FIFTH		/* 800 of a payment up to 4,000, else 20 % */
} Expenses;

/* Income above the bound of the bracket before this one, up to its own and that included. */
typedef struct Bracket
{
	int64		up_to;			/* 0: open */
	int			percent;
} Bracket;

static const Bracket comprehensive[] = {
	{36000, 3}, {144000, 10}, {300000, 20}, {420000, 25}, {660000, 30}, {960000, 35}, {0, 45}
};
static const Bracket labour[] = {{20000, 20}, {50000, 30}, {0, 40}};
static const Bracket one_fifth[] = {{0, 20}};

/* Individual income tax of China (residents). */
typedef struct NamedModel
{
	const char *name;
	const char *since;			/* in force from this day until a later row of the same name */
	bool		cumulative;		/* over the tax year; else each payment alone */
	Expenses	expenses;
	int			taxable_percent;	/* of the income less expenses */
	int			monthly_allowance;
	const Bracket *brackets;
} NamedModel;

static const NamedModel named_models[] = {
	{"cn_annual", "2019-01-01", false, NO_EXPENSES, 100, 0, comprehensive},
	{"cn_wages", "2019-01-01", true, NO_EXPENSES, 100, 5000, comprehensive},
	{"cn_labour", "2019-01-01", false, EIGHT_HUNDRED_OR_FIFTH, 100, 0, labour},
	{"cn_author", "2019-01-01", false, EIGHT_HUNDRED_OR_FIFTH, 70, 0, one_fifth},
	{"cn_platform", "2025-10-01", true, FIFTH, 100, 5000, comprehensive},
};

/* A reduced rate, limited and dated. */
typedef struct Certificate
{
	bool		given;
	bool		limited;
	SettleDec	rate_percent;
	SettleDec	limit;			/* of the base that it covers */
	const char *from;			/* days, both included; NULL where open */
	const char *until;
} Certificate;

typedef struct ThresholdModel
{
	SettleDec	rate_percent;
	bool		has_single;
	bool		has_cumulative;
	bool		excess_only;
	bool		sticky;
	SettleDec	single;
	SettleDec	cumulative;
	Certificate certificate;
} ThresholdModel;

/* What came before this payment. */
typedef struct SoFar
{
	SettleDec	income;
	SettleDec	months;			/* that allowances are due for, this one included */
	SettleDec	deductions;
	SettleDec	withheld;
	SettleDec	taxed;			/* income that thresholds have let through to the tax */
	SettleDec	certificate_used;
	const char *on;				/* day of this payment */
} SoFar;

static const SettleJson in_model = {"withholding model", ERRCODE_INVALID_PARAMETER_VALUE};
static const SettleJson in_state = {"state of withholding", ERRCODE_INVALID_PARAMETER_VALUE};

/*
 * Reads a day, YYYY-MM-DD, that may be absent.  Days are compared as texts.
 */
static const char *
optional_day(const SettleJson *in, JsonbContainer *object, const char *key)
{
	static const char pattern[] = "dddd-dd-dd";
	JsonbValue *value = settle_json_member(object, key);
	bool		good = value && value->type == jbvString && value->val.string.len == strlen(pattern);

	if (!value)
		return NULL;
	for (int i = 0; good && pattern[i]; i++)
	{
		char		c = value->val.string.val[i];

		good = pattern[i] == 'd' ? c >= '0' && c <= '9' : c == pattern[i];
	}
	if (!good)
		settle_json_refuse(in, psprintf("\"%s\" is not a day", key), "Write days as \"2025-10-01\".");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/*
 * Reads a number that may be absent and must not be negative.
 */
static bool
optional_positive(const SettleJson *in, JsonbContainer *object, const char *key, SettleDec *number)
{
	if (!settle_json_optional_number(in, object, key, number))
		return false;
	if (settle_dec_sign(*number) < 0)
		settle_json_refuse(in, psprintf("\"%s\" is negative: %s", key, settle_dec_out(*number)), NULL);
	return true;
}

/*
 * Reads a rate in percent.
 */
static SettleDec
required_rate(JsonbContainer *object)
{
	SettleDec	rate = settle_json_required_number(&in_model, object, "rate_percent");

	if (settle_dec_sign(rate) < 0 || settle_dec_cmp(rate, settle_dec_int(100)) > 0)
		settle_json_refuse(&in_model, psprintf("the rate %s%% is not between 0%% and 100%%", settle_dec_out(rate)), NULL);
	return rate;
}

/*
 * Reads the state so far.
 */
static SoFar
read_so_far(Jsonb *jsonb)
{
	static const char *const keys[] = {
		"income", "months", "deductions", "withheld", "taxed", "certificate_used", "on", NULL
	};
	JsonbContainer *object = &jsonb->root;
	SoFar		so_far = {.months = settle_dec_int(1)};

	if (!JsonContainerIsObject(object))
		settle_json_refuse(&in_state, "it is not an object", "Write {} at the beginning of a tax year.");
	settle_json_require_keys(&in_state, object, "it", keys);
	settle_json_optional_number(&in_state, object, "income", &so_far.income);
	optional_positive(&in_state, object, "months", &so_far.months);
	optional_positive(&in_state, object, "deductions", &so_far.deductions);
	settle_json_optional_number(&in_state, object, "withheld", &so_far.withheld);
	settle_json_optional_number(&in_state, object, "taxed", &so_far.taxed);
	optional_positive(&in_state, object, "certificate_used", &so_far.certificate_used);
	so_far.on = optional_day(&in_state, object, "on");
	return so_far;
}

/*
 * Reads a threshold model.
 */
static ThresholdModel
read_threshold_model(Jsonb *jsonb)
{
	static const char *const keys[] = {
		"rate_percent", "single_threshold", "cumulative_threshold", "excess_only", "sticky", "certificate", NULL
	};
	static const char *const certificate_keys[] = {"rate_percent", "limit", "from", "until", NULL};
	JsonbContainer *object = &jsonb->root;
	JsonbValue *certificate;
	ThresholdModel model = {0};

	settle_json_require_keys(&in_model, object, "it", keys);
	model.rate_percent = required_rate(object);
	model.has_single = optional_positive(&in_model, object, "single_threshold", &model.single);
	model.has_cumulative = optional_positive(&in_model, object, "cumulative_threshold", &model.cumulative);
	model.excess_only = settle_json_optional_boolean(&in_model, object, "excess_only");
	model.sticky = settle_json_optional_boolean(&in_model, object, "sticky");
	if (model.excess_only && !model.has_cumulative)
		settle_json_refuse(&in_model, "\"excess_only\" needs a cumulative threshold", NULL);

	certificate = settle_json_member(object, "certificate");
	if (certificate)
	{
		Certificate *c = &model.certificate;

		object = settle_json_object(certificate);
		if (!object)
			settle_json_refuse(&in_model, "\"certificate\" is not an object", NULL);
		settle_json_require_keys(&in_model, object, "the certificate", certificate_keys);
		c->given = true;
		c->rate_percent = required_rate(object);
		c->limited = optional_positive(&in_model, object, "limit", &c->limit);
		c->from = optional_day(&in_model, object, "from");
		c->until = optional_day(&in_model, object, "until");
	}
	return model;
}

/*
 * A percentage of an amount.
 */
static SettleDec
percent_of(SettleDec amount, SettleDec percent)
{
	return settle_dec_mul(settle_dec_mul(amount, percent), (SettleDec) {.coef = 1, .scale = 2});
}

/*
 * The larger of two amounts.
 */
static SettleDec
at_least(SettleDec a, SettleDec b)
{
	return settle_dec_cmp(a, b) < 0 ? b : a;
}

/*
 * The smaller of two amounts.
 */
static SettleDec
at_most(SettleDec a, SettleDec b)
{
	return settle_dec_cmp(a, b) > 0 ? b : a;
}

/*
 * Tax on a taxable amount, bracket by bracket.
 */
static SettleDec
tax_by_brackets(const Bracket *bracket, SettleDec taxable)
{
	SettleDec	tax = settle_dec_int(0);
	SettleDec	lower = settle_dec_int(0);

	for (;; bracket++)
	{
		SettleDec	upper = settle_dec_int(bracket->up_to);
		bool		last = bracket->up_to == 0 || settle_dec_cmp(taxable, upper) <= 0;
		SettleDec	part = settle_dec_sub(last ? taxable : upper, lower);

		if (settle_dec_sign(part) > 0)
			tax = settle_dec_add(tax, percent_of(part, settle_dec_int(bracket->percent)));
		if (last)
			return tax;
		lower = upper;
	}
}

/*
 * The expenses that the law assumes for an income.
 */
static SettleDec
expenses_of(Expenses expenses, SettleDec income)
{
	if (expenses == NO_EXPENSES)
		return settle_dec_int(0);
	if (expenses == EIGHT_HUNDRED_OR_FIFTH && settle_dec_cmp(income, settle_dec_int(4000)) <= 0)
		return settle_dec_int(800);
	return percent_of(income, settle_dec_int(20));
}

/*
 * Tax on an income that is not negative by a named model.
 */
static SettleDec
named_tax(const NamedModel *model, SettleDec income, SettleDec months, SettleDec deductions)
{
	SettleDec	taxable = settle_dec_sub(income, expenses_of(model->expenses, income));

	taxable = percent_of(taxable, settle_dec_int(model->taxable_percent));
	taxable = settle_dec_sub(taxable, settle_dec_mul(months, settle_dec_int(model->monthly_allowance)));
	taxable = settle_dec_sub(taxable, deductions);
	return tax_by_brackets(model->brackets, at_least(taxable, settle_dec_int(0)));
}

/*
 * Withholds by a named model.
 */
static SettleDec
withhold_named(const NamedModel *model, const SoFar *so_far, SettleDec amount)
{
	SettleDec	zero = settle_dec_int(0);
	SettleDec	tax;

	if (model->cumulative)
	{
		tax = named_tax(model, at_least(settle_dec_add(so_far->income, amount), zero), so_far->months, so_far->deductions);
		/* what was withheld too much is for the annual return */
		return at_least(settle_dec_sub(tax, so_far->withheld), zero);
	}
	if (settle_dec_sign(amount) < 0)
		return settle_dec_neg(named_tax(model, settle_dec_neg(amount), so_far->months, zero));
	return named_tax(model, amount, so_far->months, zero);
}

/*
 * The part of an amount above a threshold.
 */
static SettleDec
above(SettleDec amount, SettleDec threshold)
{
	return at_least(settle_dec_sub(amount, threshold), settle_dec_int(0));
}

/*
 * The base that a payment adds to what is taxed.
 */
static SettleDec
taxed_base(const ThresholdModel *model, const SoFar *so_far, SettleDec amount)
{
	SettleDec	total = settle_dec_add(so_far->income, amount);

	if (!model->has_single && !model->has_cumulative)
		return amount;
	if (model->sticky && settle_dec_sign(so_far->taxed) > 0)
		return amount;
	if (model->has_cumulative && settle_dec_cmp(total, model->cumulative) >= 0)
		return model->excess_only ?
			settle_dec_sub(above(total, model->cumulative), above(so_far->income, model->cumulative)) :
			settle_dec_sub(total, so_far->taxed);
	if (settle_dec_sign(amount) < 0)
		return at_least(amount, settle_dec_neg(so_far->taxed));	/* gives back what was taxed, not more */
	if (model->has_single && settle_dec_cmp(amount, model->single) >= 0)
		return amount;
	return settle_dec_int(0);
}

/*
 * The part of a base that the certificate covers; of a negative one, what it
 * had covered.
 */
static SettleDec
certified(const Certificate *certificate, const SoFar *so_far, SettleDec base)
{
	SettleDec	zero = settle_dec_int(0);

	if (!certificate->given)
		return zero;
	if (settle_dec_sign(base) < 0)
		return at_least(base, settle_dec_neg(so_far->certificate_used));
	if ((certificate->from || certificate->until) && !so_far->on)
		settle_json_refuse(&in_state, "\"on\" is missing", "A dated certificate needs the day of the payment.");
	if ((certificate->from && strcmp(so_far->on, certificate->from) < 0) ||
		(certificate->until && strcmp(so_far->on, certificate->until) > 0))
		return zero;
	return certificate->limited ? at_most(base, above(certificate->limit, so_far->certificate_used)) : base;
}

/*
 * Finds the row of a named model that is in force.
 */
static const NamedModel *
find_model(const char *name, const char *on)
{
	const NamedModel *found = NULL;
	bool		known = false;

	for (int i = 0; i < lengthof(named_models); i++)
	{
		const NamedModel *model = &named_models[i];

		if (strcmp(model->name, name) != 0)
			continue;
		known = true;
		if ((!on || strcmp(model->since, on) <= 0) && (!found || strcmp(model->since, found->since) > 0))
			found = model;
	}
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown withholding model \"%.40s\"", name),
				 errhint("Use cn_wages, cn_labour, cn_author, cn_platform, cn_annual, or a definition like "
						 "{\"rate_percent\": \"10\", \"cumulative_threshold\": \"30000\"}.")));
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("withholding model %s is not in force on %s", name, on)));
	return found;
}

/*
 * Withholds from a payment and brings the state up to after it.
 */
static SettleDec
withhold(const char *model, SoFar *so_far, SettleDec amount)
{
	SettleDec	tax;

	if (model[strspn(model, " \t\n\r")] == '{')
	{
		Datum		definition = DirectFunctionCall1(jsonb_in, CStringGetDatum(model));
		ThresholdModel threshold = read_threshold_model(DatumGetJsonbP(definition));
		SettleDec	base = taxed_base(&threshold, so_far, amount);
		SettleDec	part = certified(&threshold.certificate, so_far, base);

		tax = settle_dec_add(percent_of(part, threshold.certificate.rate_percent),
							 percent_of(settle_dec_sub(base, part), threshold.rate_percent));
		so_far->taxed = settle_dec_add(so_far->taxed, base);
		so_far->certificate_used = settle_dec_add(so_far->certificate_used, part);
	}
	else
		tax = withhold_named(find_model(model, so_far->on), so_far, amount);

	so_far->income = settle_dec_add(so_far->income, amount);
	so_far->withheld = settle_dec_add(so_far->withheld, tax);
	return settle_dec_trim(tax);
}

PG_FUNCTION_INFO_V1(settle_withhold);

/*
 * settle.withhold(model text, so_far jsonb, amount numeric) returns numeric
 */
Datum
settle_withhold(PG_FUNCTION_ARGS)
{
	SoFar		so_far = read_so_far(PG_GETARG_JSONB_P(1));

	PG_RETURN_NUMERIC(settle_dec_to_numeric(withhold(text_to_cstring(PG_GETARG_TEXT_PP(0)), &so_far,
													 settle_dec_from_datum(PG_GETARG_DATUM(2)))));
}

PG_FUNCTION_INFO_V1(settle_withhold_next);

/*
 * settle.withhold_next(model text, so_far jsonb, amount numeric) returns jsonb
 *
 * The state so far of the next payment.  Months, deductions and the day are the
 * caller's to bring up to date.
 */
Datum
settle_withhold_next(PG_FUNCTION_ARGS)
{
	SoFar		so_far = read_so_far(PG_GETARG_JSONB_P(1));
	JsonbParseState *state = NULL;

	(void) withhold(text_to_cstring(PG_GETARG_TEXT_PP(0)), &so_far, settle_dec_from_datum(PG_GETARG_DATUM(2)));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	settle_json_put_number(&state, "income", true, settle_dec_trim(so_far.income));
	settle_json_put_number(&state, "months", true, settle_dec_trim(so_far.months));
	settle_json_put_number(&state, "deductions", true, settle_dec_trim(so_far.deductions));
	settle_json_put_number(&state, "withheld", true, settle_dec_trim(so_far.withheld));
	settle_json_put_number(&state, "taxed", true, settle_dec_trim(so_far.taxed));
	settle_json_put_number(&state, "certificate_used", true, settle_dec_trim(so_far.certificate_used));
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
