/*
 * evaluate.c
 *		The one function: a ticket in, its lines out.
 *
 * Everything that a settlement does is a use of settle_evaluate_ticket.
 *
 * Memory: values of the current ticket live in the expression context's
 * per-tuple memory, which is reset when the next ticket is read.  A term's
 * value is computed once a ticket; "epoch" is the number of the ticket that a
 * remembered value belongs to.
 *
 * Nothing here traps an error.  Who must go on after a ticket that cannot be
 * priced evaluates inside a subtransaction.
 */
#include "rule/compile.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* ---- parties ---- */

typedef struct CodeKey
{
	const char *bytes;
	uint32		len;
} CodeKey;

typedef struct CodeEntry
{
	CodeKey		key;
	uint32		hash;
	char		status;
	SettleParty *party;
} CodeEntry;

#define SH_PREFIX			codes
#define SH_ELEMENT_TYPE		CodeEntry
#define SH_KEY_TYPE			CodeKey
#define SH_KEY				key
#define SH_HASH_KEY(tb, k)	hash_bytes((const unsigned char *) (k).bytes, (int) (k).len)
#define SH_EQUAL(tb, a, b)	((a).len == (b).len && memcmp((a).bytes, (b).bytes, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	((a)->hash)
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Most party codes are built of one number; its table keeps the number in place. */
typedef struct NumberEntry
{
	int64		number;
	SettleParty *party;
	char		status;
} NumberEntry;

#define SH_PREFIX			numbers
#define SH_ELEMENT_TYPE		NumberEntry
#define SH_KEY_TYPE			int64
#define SH_KEY				number
#define SH_HASH_KEY(tb, k)	murmurhash32((uint32) (k) ^ murmurhash32((uint32) ((uint64) (k) >> 32)))
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

void
settle_set_init_parties(SettleSet *set)
{
	set->party_context = AllocSetContextCreate(set->context, "scrm_settle parties", ALLOCSET_DEFAULT_SIZES);
	set->parties = codes_create(set->party_context, 256, NULL);
	set->nparties = 0;
	set->party_generation++;
}

int
settle_set_nparties(const SettleSet *set)
{
	return set->nparties;
}

/*
 * Forgets all parties and what templates gave, so that memory stays bounded
 * however many customers there are.  Pointers to parties die with them.
 */
void
settle_set_forget_parties(SettleSet *set)
{
	MemoryContextDelete(set->party_context);
	settle_set_init_parties(set);
	/* currencies are codes of that table, too */
	for (int i = 0; i < set->nrules; i++)
		set->rules[i]->rounding_unit = NULL;
}

void
settle_set_bound_parties(SettleSet *set)
{
	if (set->pins == 0 && set->nparties > SETTLE_KEEP_PARTIES)
		settle_set_forget_parties(set);
}

/*
 * Finds the party of a code, making it when it is new.
 */
static SettleParty *
find_party(SettleSet *set, const char *code, Size len)
{
	CodeKey		key = {code, (uint32) len};
	CodeEntry  *entry = codes_lookup(set->parties, key);
	bool		found;
	MemoryContext old;
	char	   *copy;

	if (entry != NULL)
		return entry->party;
	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_NULL_TERM),
				 errmsg("a party has an empty code")));
	if (len > SETTLE_MAX_CODE)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("a party has a code of %zu bytes", len),
				 errdetail("A code has at most %d bytes.", SETTLE_MAX_CODE)));
	old = MemoryContextSwitchTo(set->party_context);
	copy = pnstrdup(code, len);
	key.bytes = copy;
	entry = codes_insert(set->parties, key, &found);
	entry->party = palloc(sizeof(SettleParty));
	entry->party->code = copy;
	entry->party->ordinal = set->nparties++;
	MemoryContextSwitchTo(old);
	return entry->party;
}

/* ---- names ---- */

static void compute_name(SettleSet *set, int position);

static inline void
need_name(SettleSet *set, int position)
{
	if (set->name_epoch[position] != set->epoch)
		compute_name(set, position);
}

static inline void
need_names(SettleSet *set, const int *needs, int nneeds)
{
	for (int i = 0; i < nneeds; i++)
		need_name(set, needs[i]);
}

void
settle_need_names(SettleSet *set, const int *needs, int nneeds)
{
	need_names(set, needs, nneeds);
}

static void
put_name(SettleSet *set, int position, Datum value, bool isnull)
{
	set->slot->tts_values[position - 1] = value;
	set->slot->tts_isnull[position - 1] = isnull;
	set->name_epoch[position] = set->epoch;
}

/* ---- terms ---- */

/*
 * Computes a term, once a ticket.
 */
Datum
settle_term_value(SettleSet *set, Term *term, bool *isnull)
{
	if (term->epoch != set->epoch)
	{
		need_names(set, term->needs, term->nneeds);
		if (term->position > 0)
		{
			term->value = set->slot->tts_values[term->position - 1];
			term->isnull = set->slot->tts_isnull[term->position - 1];
		}
		else
		{
			if (term->state == NULL)
			{
				MemoryContext old = MemoryContextSwitchTo(set->context);

				term->state = settle_expr_init(term->expr);
				MemoryContextSwitchTo(old);
			}
			term->value = ExecEvalExprSwitchContext(term->state, set->econtext, &term->isnull);
		}
		term->epoch = set->epoch;
	}
	*isnull = term->isnull;
	return term->value;
}

/*
 * Raises that a term which must have a value has none.
 */
static void
null_term(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_SETTLE_NULL_TERM),
			 errmsg("%s is null", what),
			 errhint("Give it a value for every ticket that it applies to, for example with coalesce().")));
}

/*
 * Computes a term as an exact decimal; integer columns are taken as they are.
 */
static bool
term_dec(SettleSet *set, Term *term, SettleDec *dec)
{
	bool		isnull;
	Datum		value = settle_term_value(set, term, &isnull);

	if (isnull)
		return false;
	if (term->dec_epoch != set->epoch)
	{
		Oid			type = term->position > 0 ? set->scope.names[term->position - 1].type : NUMERICOID;
		MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);

		switch (type)
		{
			case INT2OID:
				term->dec = settle_dec_int(DatumGetInt16(value));
				break;
			case INT4OID:
				term->dec = settle_dec_int(DatumGetInt32(value));
				break;
			case INT8OID:
				term->dec = settle_dec_int(DatumGetInt64(value));
				break;
			default:
				term->dec = settle_dec_from_numeric(DatumGetNumeric(value));
				break;
		}
		MemoryContextSwitchTo(old);
		term->dec_epoch = set->epoch;
	}
	*dec = term->dec;
	return true;
}

static SettleDec
need_dec(SettleSet *set, Term *term, const CompiledRule *rule, const char *part)
{
	SettleDec	dec;

	if (!term_dec(set, term, &dec))
		null_term(psprintf("%s of rule \"%s\"", part, rule->rule.def->code));
	return dec;
}

/*
 * Finds what a template gave before for the value of the one column it reads.
 * A place that is returned without a party is to be filled.
 */
static SettleParty **
recall_party(SettleSet *set, Term *term)
{
	Form_pg_attribute a = TupleDescAttr(set->slot->tts_tupleDescriptor, term->memo_position - 1);
	Datum		value = set->slot->tts_values[term->memo_position - 1];
	CodeKey		key;
	CodeEntry  *entry;
	MemoryContext old;
	bool		found;
	char	   *copy;

	if (term->memo_generation != set->party_generation)
	{
		/* the tables went with the parties */
		term->memo = NULL;
		term->numbers = NULL;
		term->memo_generation = set->party_generation;
	}
	if (a->attbyval)
	{
		NumberEntry *number;

		if (term->numbers == NULL)
			term->numbers = numbers_create(set->party_context, 256, NULL);
		number = numbers_insert(term->numbers, (int64) value, &found);
		if (!found)
			number->party = NULL;
		return &number->party;
	}
	if (a->attlen != -1 || VARATT_IS_EXTERNAL(DatumGetPointer(value)) || VARATT_IS_COMPRESSED(DatumGetPointer(value)))
		return NULL;
	if (term->memo == NULL)
		term->memo = codes_create(set->party_context, 256, NULL);
	key = (CodeKey) {VARDATA_ANY(DatumGetPointer(value)), (uint32) VARSIZE_ANY_EXHDR(DatumGetPointer(value))};
	entry = codes_lookup(term->memo, key);
	if (entry == NULL)
	{
		old = MemoryContextSwitchTo(set->party_context);
		copy = palloc(Max(key.len, 1));
		memcpy(copy, key.bytes, key.len);
		key.bytes = copy;
		entry = codes_insert(term->memo, key, &found);
		entry->party = NULL;
		MemoryContextSwitchTo(old);
	}
	return &entry->party;
}

/*
 * Computes a party template.  One that reads a single column remembers what it
 * gave for each value, which saves building the code again for every ticket.
 */
static SettleParty *
term_party(SettleSet *set, Term *term, const CompiledRule *rule, const char *part)
{
	SettleParty **place = NULL;
	SettleParty *party;
	Datum		value;
	bool		isnull;
	text	   *code;

	if (term->party_epoch == set->epoch ||
		(term->is_const && term->party != NULL && term->memo_generation == set->party_generation))
		return term->party;

	if (term->memo_position > 0 && !set->slot->tts_isnull[term->memo_position - 1])
		place = recall_party(set, term);
	if (place != NULL && *place != NULL)
		party = *place;
	else
	{
		value = settle_term_value(set, term, &isnull);
		if (isnull)
			null_term(psprintf("%s of rule \"%s\"", part, rule->code));
		code = DatumGetTextPP(value);
		party = find_party(set, VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code));
		if (place != NULL)
			*place = party;
		else if (term->is_const)
			term->memo_generation = set->party_generation;
	}
	term->party = party;
	term->party_epoch = set->epoch;
	return party;
}

/* ---- decisions ---- */

static void
add_step(SettleSet *set, SettleStepKind kind, const char *name, const char *value, const char *detail, int first_line)
{
	SettleStep *step;

	if (set->trace == NULL)
		return;
	step = palloc0(sizeof(SettleStep));
	step->kind = kind;
	step->name = pstrdup(name);
	step->value = value == NULL ? NULL : pstrdup(value);
	step->detail = detail == NULL ? NULL : pstrdup(detail);
	step->first_line = first_line;
	step->nlines = set->nlines - first_line;
	*set->trace = lappend(*set->trace, step);
}

bool
settle_residual_holds(SettleSet *set, Expr *residual, ExprState **state)
{
	bool		isnull;
	Datum		value;

	if (*state == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->context);
		SettleExpr	expr = {.node = residual};

		*state = settle_expr_init(&expr);
		MemoryContextSwitchTo(old);
	}
	value = ExecEvalExprSwitchContext(*state, set->econtext, &isnull);
	return !isnull && DatumGetBool(value);
}

TimestampTz
settle_rules_at(const SettleSet *set)
{
	return DatumGetTimestampTz(set->slot->tts_values[set->t0 - 1 + T_RULES_AT]);
}

/*
 * Computes a decision for the current ticket and puts it into the slot.
 */
static void
compute_decision(SettleSet *set, int at)
{
	Decision   *decision = &set->decisions[at];
	const char *failing = set->failing;
	int			position = set->ncolumns;
	MemoryContext old;

	set->failing = decision->def->decision;
	while ((position = bms_next_member(decision->uses, position)) >= 0)
		need_name(set, position);
	old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);
	settle_decision_compute(set, decision, settle_rules_at(set));
	put_name(set, set->d0 + at, decision->value, false);
	MemoryContextSwitchTo(old);
	if (set->trace != NULL)
		add_step(set, SETTLE_STEP_DECISION, decision->def->decision, settle_decision_text(decision),
				 settle_decision_reason(decision), set->nlines);
	set->failing = failing;
}

/* ---- facts ---- */

/*
 * Asks for one fact of the ticket, null where what it is looked up by is.
 */
static void
compute_fact(SettleSet *set, int at)
{
	Fact	   *fact = &set->facts[at];
	const char *failing = set->failing;
	MemoryContext old;
	Datum		key;
	Datum		value = 0;
	bool		isnull;

	set->failing = fact->def->fact;
	need_name(set, set->t0 + T_RULES_AT);
	key = settle_term_value(set, fact->lookup, &isnull);
	isnull |= set->slot->tts_isnull[set->t0 - 1 + T_RULES_AT];
	old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);
	if (!isnull)
		isnull = !settle_fact_compute(set, fact, TextDatumGetCString(key),
									  DatumGetTimestampTz(set->slot->tts_values[set->t0 - 1 + T_RULES_AT]), &value);
	put_name(set, set->f0 + at, value, isnull);
	MemoryContextSwitchTo(old);
	set->failing = failing;
}

/* ---- mapped values ---- */

/*
 * Computes one mapped value of the ticket; what is not mapped has a default.
 */
static void
compute_field(SettleSet *set, TicketField field)
{
	Term	   *term = set->fields[field];
	Datum		value = 0;
	bool		isnull = true;

	if (term != NULL)
	{
		value = settle_term_value(set, term, &isnull);
		if (!isnull && field >= T_REVENUE && field <= T_TAX && term->position > 0 &&
			set->scope.names[term->position - 1].type != NUMERICOID)
		{
			SettleDec	dec;
			MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);

			term_dec(set, term, &dec);
			value = NumericGetDatum(settle_dec_to_numeric(dec));
			MemoryContextSwitchTo(old);
		}
	}
	else if (field == T_RULES_AT || field == T_PERIOD_AT)
	{
		need_name(set, set->t0 + T_READY_AT);
		value = set->slot->tts_values[set->t0 - 1 + T_READY_AT];
		isnull = set->slot->tts_isnull[set->t0 - 1 + T_READY_AT];
	}
	else if (field == T_DUPLICATE_OF && set->duplicate_of != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);

		value = CStringGetTextDatum(set->duplicate_of);
		isnull = false;
		MemoryContextSwitchTo(old);
	}
	put_name(set, set->t0 + field, value, isnull);
}

/*
 * Puts the sum of a component's lines so far into the slot.
 */
static void
compute_component(SettleSet *set, int at)
{
	Component  *component = &set->components[at];
	MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);
	SettleDec	sum = component->sum_epoch == set->epoch ? component->sum : settle_dec_int(0);

	put_name(set, set->c0 + at, NumericGetDatum(settle_dec_to_numeric(sum)), false);
	MemoryContextSwitchTo(old);
}

static void
compute_name(SettleSet *set, int position)
{
	if (position >= set->c0)
		compute_component(set, position - set->c0);
	else if (position >= set->d0)
		compute_decision(set, position - set->d0);
	else if (position >= set->f0)
		compute_fact(set, position - set->f0);
	else
		compute_field(set, position - set->t0);
}

/* ---- spans ---- */

/*
 * First day of the span that a local date falls in.
 */
static int
span_start_day(SettleSpan span, int year, int month, int day)
{
	int			julian;

	switch (span)
	{
		case SETTLE_SPAN_WEEK:
			julian = date2j(year, month, day);
			return julian - (j2day(julian) + 6) % 7;
		case SETTLE_SPAN_YEAR:
			return date2j(year, 1, 1);
		case SETTLE_SPAN_QUARTER:
			return date2j(year, month - (month - 1) % 3, 1);
		case SETTLE_SPAN_MONTH:
			return date2j(year, month, 1);
		default:
			return date2j(year, month, day);
	}
}

DateADT
settle_span_start(SettleSpan span, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	DateADT		start;

	if (span == SETTLE_SPAN_EVER || span == SETTLE_SPAN_NONE)
		return DATEVAL_NOBEGIN;
	/* the span of the earliest instants begins before the earliest date */
	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, &tz, &tm, &fsec, NULL, NULL) != 0 ||
		!IS_VALID_DATE(start = span_start_day(span, tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a ticket's time is out of range")));
	return start;
}

/*
 * The instant at which a day begins in the zone of the pinned environment.
 */
static TimestampTz
local_midnight(int julian)
{
	struct pg_tm tm = {0};
	TimestampTz at;
	int			tz;

	j2date(julian, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tz = DetermineTimeZoneOffset(&tm, session_timezone);
	return tm2timestamp(&tm, 0, &tz, &at) == 0 ? at : DT_NOBEGIN;
}

/*
 * The same for a ticket: tickets of one span come together, so the day that
 * was found last, with its span, answers for most of them.
 */
static DateADT
ticket_span_start(SettleSet *set, SettleSpan span, TimestampTz at)
{
	LastDay    *last = &set->last_day[span];

	if (at < last->from || at >= last->until)
	{
		struct pg_tm tm;
		fsec_t		fsec;
		int			tz;

		last->start = settle_span_start(span, at);
		if (span == SETTLE_SPAN_EVER)
		{
			last->from = DT_NOBEGIN + 1;
			last->until = DT_NOEND;
			return last->start;
		}
		/* from local midnight to the next */
		(void) timestamp2tm(at, &tz, &tm, &fsec, NULL, NULL);
		last->from = local_midnight(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday));
		last->until = local_midnight(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1);
	}
	return last->start;
}

/* ---- lines ---- */

/*
 * Finds how a rule rounds amounts of a unit; rules that round alike share it.
 */
static const SettleRounding *
find_rounding(SettleSet *set, const char *text, const char *unit)
{
	SharedRounding *shared;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, set->roundings)
	{
		shared = lfirst(lc);
		if (strcmp(shared->text, text) == 0 && strcmp(shared->unit, unit) == 0)
			return &shared->rounding;
	}
	old = MemoryContextSwitchTo(set->context);
	shared = palloc(sizeof(SharedRounding));
	shared->text = text;
	shared->unit = pstrdup(unit);
	shared->rounding = settle_rounding_in(text, settle_minor_units(unit));
	set->roundings = lappend(set->roundings, shared);
	MemoryContextSwitchTo(old);
	return &shared->rounding;
}

/*
 * The same while a ticket is priced: its unit is a string that stays where it
 * is as long as parties are kept, so the pointer tells it.
 */
static inline const SettleRounding *
rounding_of(SettleSet *set, CompiledRule *rule, const char *unit)
{
	if (rule->rounding_unit != unit)
	{
		rule->rounding = find_rounding(set, rule->rule.def->rounding, unit);
		rule->rounding_unit = unit;
	}
	return rule->rounding;
}

const SettleRounding *
settle_rule_rounding(SettleSet *set, const SettleRule *rule, const char *unit)
{
	return find_rounding(set, rule->def->rounding, unit);
}

static SettleLine *
new_line(SettleSet *set)
{
	SettleLine *line;

	if (set->nlines == set->lines_space)
	{
		set->lines_space *= 2;
		set->lines = repalloc(set->lines, sizeof(SettleLine) * set->lines_space);
	}
	line = &set->lines[set->nlines++];
	memset(line, 0, sizeof(*line));
	return line;
}

/*
 * Gives what a party has received less what it has given on this ticket, in
 * one unit.
 */
static SettleDec
balance_of(SettleSet *set, const SettleParty *party, const char *unit, const CompiledRule *rule)
{
	SettleDec	balance = settle_dec_int(0);

	for (int i = 0; i < set->nlines; i++)
	{
		const SettleLine *line = &set->lines[i];

		if ((line->payer != party && line->payee != party) || strcmp(line->unit, unit) != 0)
			continue;
		if (line->owner != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_SETTLE_BAD_TICKET),
					 errmsg("rule \"%s\" empties \"%s\", which also takes part in the accumulating rule \"%s\"",
							rule->rule.def->code, party->code, line->rule->def->code),
					 errhint("Let another party pay the accumulating rule: its lines change with the tally.")));
		if (line->payee == party)
			balance = settle_dec_add(balance, line->amount);
		if (line->payer == party)
			balance = settle_dec_sub(balance, line->amount);
	}
	return balance;
}

/*
 * Raises 22003 for an amount so large that its column in the reports could not
 * show it, nor any row beside it.
 */
static inline void
check_size(SettleDec value, const char *part)
{
	if (value.wide == NULL && value.coef < SETTLE_MAX_AMOUNT && value.coef > -SETTLE_MAX_AMOUNT)
		return;
	if (settle_dec_cmp(value, settle_dec_int(SETTLE_MAX_AMOUNT)) >= 0 ||
		settle_dec_cmp(value, settle_dec_int(-SETTLE_MAX_AMOUNT)) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s of a ticket is out of range: %.100s", part, settle_dec_out(value)),
				 errdetail("Amounts and quantities of a ticket are below %lld.", (long long) SETTLE_MAX_AMOUNT)));
}

/* The payees of one rule on one ticket. */
typedef struct Payees
{
	int			n;
	SettleParty **parties;
	SettleDec  *weights;
} Payees;

/*
 * Adds a payee; who is named twice gets one line, of both parts.
 */
static void
add_payee(Payees *payees, SettleParty *party, SettleDec weight)
{
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < payees->n; i++)
		if (payees->parties[i] == party)
		{
			payees->weights[i] = settle_dec_add(payees->weights[i], weight);
			return;
		}
	payees->parties[payees->n] = party;
	payees->weights[payees->n++] = weight;
}

/*
 * Reads an array of payees (equal parts) or an object of payee and weight.
 */
static Payees
read_payees(SettleSet *set, CompiledRule *rule)
{
	Payees		payees = {0};
	bool		isnull;
	Datum		value = settle_term_value(set, rule->payees, &isnull);
	const char *what = psprintf("payees of rule \"%s\"", rule->rule.def->code);

	if (isnull)
		null_term(what);
	if (rule->payees->expr->type == TEXTARRAYOID)
	{
		Datum	   *items;
		bool	   *nulls;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &n);
		payees.parties = palloc(sizeof(SettleParty *) * Max(n, 1));
		payees.weights = palloc(sizeof(SettleDec) * Max(n, 1));
		for (int i = 0; i < n; i++)
		{
			if (nulls[i])
				null_term(what);
			add_payee(&payees, find_party(set, VARDATA_ANY(DatumGetTextPP(items[i])), VARSIZE_ANY_EXHDR(DatumGetTextPP(items[i]))),
					  settle_dec_int(1));
		}
	}
	else
	{
		Jsonb	   *object = DatumGetJsonbP(value);
		JsonbIterator *it;
		JsonbValue	v;
		JsonbIteratorToken token;

		if (!JB_ROOT_IS_OBJECT(object))
			ereport(ERROR,
					(errcode(ERRCODE_SETTLE_BAD_TICKET),
					 errmsg("%s is not an object of party and weight", what)));
		payees.parties = palloc(sizeof(SettleParty *) * Max(JB_ROOT_COUNT(object), 1));
		payees.weights = palloc(sizeof(SettleDec) * Max(JB_ROOT_COUNT(object), 1));
		it = JsonbIteratorInit(&object->root);
		while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
				payees.parties[payees.n] = find_party(set, v.val.string.val, v.val.string.len);
			else if (token == WJB_VALUE)
			{
				if (v.type != jbvNumeric)
					ereport(ERROR,
							(errcode(ERRCODE_SETTLE_BAD_TICKET),
							 errmsg("%s has a weight that is not a number", what)));
				payees.weights[payees.n++] = settle_dec_from_numeric(v.val.numeric);
			}
		}
	}
	if (payees.n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("%s is empty", what)));
	return payees;
}

/*
 * Prices one base: tiers, factor, floor and cap.  Not rounded.
 */
static SettleDec
price(SettleSet *set, CompiledRule *rule, SettleDec base, SettleDec factor)
{
	SettleDec	amount = rule->is_rate ? settle_dec_mul(base, rule->rate) : settle_price(rule->rule.pricer, base);

	if (rule->nfactors > 0 || rule->converts)
		amount = settle_dec_mul(amount, factor);
	if (!rule->has_bounds)
		return amount;
	if (rule->at_least != NULL)
	{
		SettleDec	bound = need_dec(set, rule->at_least, rule, "at_least");

		if (settle_dec_cmp(amount, bound) < 0)
			amount = bound;
	}
	if (rule->at_most != NULL)
	{
		SettleDec	bound = need_dec(set, rule->at_most, rule, "at_most");

		if (settle_dec_cmp(amount, bound) > 0)
			amount = bound;
	}
	return amount;
}

/*
 * Applies a rule to the ticket: its lines are appended.
 */
static void
apply_rule(SettleSet *set, CompiledRule *rule, SettleTicket *ticket)
{
	const char *unit = rule->unit != NULL ? rule->unit : ticket->currency;
	SettleDec	factor = settle_dec_int(1);
	SettleParty *payer = term_party(set, rule->payer, rule, "payer");
	SettleParty *one_payee = NULL;
	SettleDec	one_weight = settle_dec_int(1);
	Payees		payees;
	const SettleRounding *rounding = rounding_of(set, rule, unit);
	SettleDec	base;
	SettleDec	amount = settle_dec_int(0);
	SettleDec  *bases;
	SettleDec  *amounts;
	bool		accumulates = rule->accumulate != SETTLE_SPAN_NONE;
	int			first = set->nlines;

	if (rule->payee != NULL)
	{
		one_payee = term_party(set, rule->payee, rule, "payee");
		payees = (Payees) {1, &one_payee, &one_weight};
	}
	else
		payees = read_payees(set, rule);

	base = rule->remainder ? balance_of(set, payer, unit, rule) : need_dec(set, rule->base, rule, "base");
	/* a remainder of nothing is no line */
	if (rule->remainder && settle_dec_sign(base) == 0)
		return;
	if (rule->nfactors > 0)
	{
		need_name(set, set->d0 + rule->factor);
		factor = set->decisions[rule->factor].dec;
	}
	for (int i = 1; i < rule->nfactors; i++)
	{
		need_name(set, set->d0 + rule->factors[i]);
		factor = settle_dec_mul(factor, set->decisions[rule->factors[i]].dec);
	}
	if (rule->converts && strcmp(unit, ticket->currency) != 0)
		factor = settle_dec_mul(factor, settle_rate_of(set, ticket->currency, unit, ticket->rules_at));

	/* a single payee of no weight is refused as several are */
	if (payees.n == 1 && settle_dec_sign(payees.weights[0]) > 0)
	{
		bases = &base;
		amounts = &amount;
		if (!accumulates)
			amount = settle_round(price(set, rule, base, factor), rounding);
	}
	else
	{
		/* accumulating rules price each party's part of the base in his own tally */
		bool		divide_base = rule->rule.def->share == SETTLE_SHARE_BASE || accumulates;

		bases = palloc(sizeof(SettleDec) * payees.n);
		amounts = palloc0(sizeof(SettleDec) * payees.n);
		if (divide_base)
		{
			settle_allocate_parts(base, payees.weights, payees.n, rounding->step, bases);
			for (int i = 0; i < payees.n && !accumulates; i++)
				amounts[i] = settle_round(price(set, rule, bases[i], factor), rounding);
		}
		else
		{
			amount = settle_round(price(set, rule, base, factor), rounding);
			settle_allocate_parts(amount, payees.weights, payees.n, rounding->step, amounts);
			for (int i = 0; i < payees.n; i++)
				bases[i] = base;
		}
	}

	for (int i = 0; i < payees.n; i++)
	{
		SettleLine *line;

		if (payees.n > 1 && settle_dec_sign(payees.weights[i]) == 0)
			continue;
		line = new_line(set);
		line->rule = &rule->rule;
		line->payer = payer;
		line->payee = payees.parties[i];
		line->unit = unit;
		line->base = line->quantity = bases[i];
		line->factor = factor;
		line->amount = amounts[i];
		check_size(line->base, "base");
		check_size(line->factor, "factor");
		check_size(line->amount, "amount");
		if (accumulates)
		{
			line->owner = rule->tally_by != NULL ? term_party(set, rule->tally_by, rule, "tally_by") : line->payee;
			line->tally_period = ticket_span_start(set, rule->accumulate, ticket->period_at);
			if (rule->measure != NULL)
			{
				line->quantity = need_dec(set, rule->measure, rule, "measure");
				check_size(line->quantity, "measure");
			}
		}
		else
		{
			Component  *component = &set->components[rule->rule.component];

			component->sum = component->sum_epoch == set->epoch ? settle_dec_add(component->sum, line->amount) : line->amount;
			component->sum_epoch = set->epoch;
		}
	}
	add_step(set, SETTLE_STEP_APPLIED, rule->code, NULL, NULL, first);
}

/* ---- choices ---- */

static void
mark_overridden(SettleSet *set, CompiledRule *rule)
{
	for (int i = 0; i < rule->noverrides; i++)
	{
		CompiledRule *other = rule->overrides[i];

		if (other->overridden_epoch != set->epoch && other != rule)
		{
			other->overridden_epoch = set->epoch;
			other->overridden_by = rule;
		}
	}
}

/*
 * Applies what a choice leaves of the rules that hit.  They come highest
 * priority first.
 */
static void
settle_choice(SettleSet *set, Choice *choice, CompiledRule **hits, int nhits, SettleTicket *ticket)
{
	int			n = 0;

	for (int i = 0; i < nhits; i++)
		if (hits[i]->noverrides > 0)
			mark_overridden(set, hits[i]);
	for (int i = 0; i < nhits; i++)
	{
		if (hits[i]->overridden_epoch == set->epoch)
			add_step(set, SETTLE_STEP_OVERRIDDEN, hits[i]->code, NULL, hits[i]->overridden_by->rule.def->code, set->nlines);
		else
			hits[n++] = hits[i];
	}
	if (n == 0)
		return;

	set->failing = hits[0]->code;
	if (n > 1 && (choice->policy == SETTLE_CHOICE_UNIQUE ||
				  (choice->policy == SETTLE_CHOICE_FIRST && hits[0]->rule.def->priority == hits[1]->rule.def->priority)))
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_RULE_CONFLICT),
				 errmsg("rules \"%s\" and \"%s\" both apply", hits[0]->code, hits[1]->code),
				 choice->policy == SETTLE_CHOICE_UNIQUE
				 ? errdetail("They stand in the choice \"%s\", in which one rule may apply to a ticket.", choice->name)
				 : errdetail("They have the same priority in the choice \"%s\".", choice->name),
				 choice->policy == SETTLE_CHOICE_UNIQUE
				 ? errhint("Make the conditions exclude each other, let one override the other, or say choice => 'all' where both are to pay.")
				 : errhint("Give them different priorities.")));

	if (n > 1 && (choice->policy == SETTLE_CHOICE_HIGHEST || choice->policy == SETTLE_CHOICE_LOWEST))
	{
		int			best = 0;
		SettleDec	best_sum = settle_dec_int(0);

		for (int i = 0; i < n; i++)
		{
			int			first = set->nlines;
			Component  *component = &set->components[hits[i]->rule.component];
			Component	saved = *component;
			List	  **trace = set->trace;
			SettleDec	sum = settle_dec_int(0);
			int			cmp;

			set->failing = hits[i]->code;
			set->trace = NULL;
			apply_rule(set, hits[i], ticket);
			set->trace = trace;
			for (int k = first; k < set->nlines; k++)
				sum = settle_dec_add(sum, set->lines[k].amount);
			cmp = settle_dec_cmp(sum, best_sum);
			if (i == 0 || (choice->policy == SETTLE_CHOICE_HIGHEST ? cmp > 0 : cmp < 0))
			{
				best = i;
				best_sum = sum;
			}
			set->nlines = first;
			*component = saved;
		}
		hits[0] = hits[best];
	}

	for (int i = 0; i < n; i++)
	{
		if (i > 0 && choice->policy != SETTLE_CHOICE_ALL)
			break;
		set->failing = hits[i]->code;
		apply_rule(set, hits[i], ticket);
	}
	if (set->trace != NULL && choice->policy != SETTLE_CHOICE_ALL)
		for (int i = 1; i < n; i++)
			add_step(set, SETTLE_STEP_BEATEN, hits[i]->code, NULL, hits[0]->code, set->nlines);
}

/*
 * Finds the rules that apply and prices them, choice after choice.
 */
static void
price_ticket(SettleSet *set, SettleTicket *ticket)
{
	int			ncandidates = settle_candidates(set->matcher, set->slot, ticket->rules_at, set->candidates);
	bool		is_repeat = ticket->rework_of != NULL || ticket->duplicate_of != NULL;
	int			nhits = 0;
	int			choice = -1;

	for (int c = 0; c < ncandidates; c++)
	{
		int			i = set->candidates[c];
		CompiledRule *rule = set->rules[i];

		if (rule->repeats != SETTLE_REPEATS_PAY && (rule->repeats == SETTLE_REPEATS_ONLY) != is_repeat)
			continue;
		if (rule->choice != choice)
		{
			if (nhits > 0)
				settle_choice(set, &set->choices[choice], set->hits, nhits, ticket);
			choice = rule->choice;
			nhits = 0;
		}
		if (rule->has_residual)
		{
			set->failing = rule->code;
			need_names(set, rule->needs, rule->nneeds);
			if (!settle_residual_holds(set, settle_residual(set->matcher, i), &rule->residual))
				continue;
		}
		if (rule->pack != NULL)
		{
			const Pack *winner;

			set->failing = rule->code;
			winner = settle_pack_winner(set, rule->pack);
			if (winner != rule->pack)
			{
				add_step(set, SETTLE_STEP_PACK_BEATEN, rule->code, rule->pack->def->pack, winner->def->pack, set->nlines);
				continue;
			}
		}
		if (rule->overridden_epoch == set->epoch)
		{
			/* what overrides what depends on conditions alone, not on the order of choices */
			mark_overridden(set, rule);
			add_step(set, SETTLE_STEP_OVERRIDDEN, rule->rule.def->code, NULL, rule->overridden_by->rule.def->code, set->nlines);
			continue;
		}
		set->hits[nhits++] = rule;
	}
	if (nhits > 0)
		settle_choice(set, &set->choices[choice], set->hits, nhits, ticket);
}

/* ---- the ticket ---- */

static bool
field_value(SettleSet *set, TicketField field, Datum *value)
{
	need_name(set, set->t0 + field);
	*value = set->slot->tts_values[set->t0 - 1 + field];
	return !set->slot->tts_isnull[set->t0 - 1 + field];
}

static TimestampTz
need_time(SettleSet *set, TicketField field, const char *name)
{
	Datum		value;

	if (!field_value(set, field, &value))
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("%s of a ready ticket is null", name),
				 errhint("Map it with an expression that has a value whenever ready_at has one.")));
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("%s of a ready ticket is infinite", name)));
	return DatumGetTimestampTz(value);
}

static SettleDec
amount_field(SettleSet *set, TicketField field)
{
	Datum		value;
	SettleDec	dec;

	if (!field_value(set, field, &value))
		return settle_dec_int(0);
	if (set->fields[field] == NULL || !term_dec(set, set->fields[field], &dec))
		dec = settle_dec_from_numeric(DatumGetNumeric(value));
	check_size(dec, set->failing);
	return dec;
}

/*
 * Gives the ticket's currency; the same pointer for the same code, so that
 * what hangs on it is found again quickly.
 */
static const char *
ticket_currency(SettleSet *set)
{
	Datum		value;
	text	   *code;

	if (!field_value(set, T_CURRENCY, &value))
		return set->def->currency;
	code = DatumGetTextPP(value);
	if (VARSIZE_ANY_EXHDR(code) == strlen(set->def->currency) &&
		memcmp(VARDATA_ANY(code), set->def->currency, VARSIZE_ANY_EXHDR(code)) == 0)
		return set->def->currency;
	if (VARSIZE_ANY_EXHDR(code) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("currency of a ticket is empty"),
				 errhint("Leave it null for the currency of the book.")));
	if (VARSIZE_ANY_EXHDR(code) > SETTLE_MAX_UNIT)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("currency of a ticket has %d bytes", (int) VARSIZE_ANY_EXHDR(code)),
				 errdetail("A currency or unit has at most %d bytes.", SETTLE_MAX_UNIT)));
	return find_party(set, VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code))->code;
}

/*
 * Gives a text that tells tickets of an order or of rework from others; NULL
 * where it is not mapped, null or empty.
 */
static const char *
reference_field(SettleSet *set, TicketField field)
{
	Datum		value;
	text	   *reference;

	if (set->fields[field] == NULL || !field_value(set, field, &value))
		return NULL;
	reference = DatumGetTextPP(value);
	if (VARSIZE_ANY_EXHDR(reference) > SETTLE_MAX_REFERENCE)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("%s of a ticket has %d bytes", set->failing, (int) VARSIZE_ANY_EXHDR(reference)),
				 errdetail("A reference has at most %d bytes.", SETTLE_MAX_REFERENCE)));
	return VARSIZE_ANY_EXHDR(reference) == 0 ? NULL : text_to_cstring(reference);
}

/*
 * Reads what makes a ticket a repeat of another one.
 */
static void
read_references(SettleSet *set, SettleTicket *ticket)
{
	MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);

	set->failing = "order_ref";
	ticket->order_ref = reference_field(set, T_ORDER_REF);
	set->failing = "rework_of";
	ticket->rework_of = reference_field(set, T_REWORK_OF);
	ticket->duplicate_of = set->duplicate_of;
	if (ticket->rework_of != NULL)
	{
		Datum		key;

		/* a ticket is no rework of itself */
		if (field_value(set, T_KEY, &key) && strcmp(TextDatumGetCString(key), ticket->rework_of) == 0)
			ticket->rework_of = NULL;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Begins the ticket in the slot: its times, from which the rules follow.
 * Returns false where it is not ready and need not be.
 */
static bool
begin_ticket(SettleSet *set, TimestampTz now, bool always, SettleTicket *ticket, List **trace)
{
	Datum		value;

	MemoryContextReset(set->econtext->ecxt_per_tuple_memory);
	set->epoch++;
	set->nlines = 0;
	set->trace = trace;
	memset(ticket, 0, sizeof(*ticket));
	ticket->period = DATEVAL_NOBEGIN;

	set->failing = "ready_at";
	ticket->has_ready_at = field_value(set, T_READY_AT, &value);
	if (ticket->has_ready_at)
		ticket->ready_at = DatumGetTimestampTz(value);
	else if (always && !TIMESTAMP_IS_NOBEGIN(now))
	{
		/* a quote prices what is not ready yet as if it were ready now */
		ticket->ready_at = now;
		put_name(set, set->t0 + T_READY_AT, TimestampTzGetDatum(now), false);
	}
	if (!always && (!ticket->has_ready_at || ticket->ready_at > now))
		return false;

	set->failing = "rules_at";
	ticket->rules_at = need_time(set, T_RULES_AT, "rules_at");
	return true;
}

bool
settle_evaluate_ticket(SettleSet *set, TimestampTz now, bool always, SettleTicket *ticket, List **trace)
{
	Datum		value;

	if (!begin_ticket(set, now, always, ticket, trace))
		return false;
	set->failing = "period_at";
	ticket->period_at = need_time(set, T_PERIOD_AT, "period_at");
	ticket->period = ticket_span_start(set, set->period, ticket->period_at);
	set->failing = "project";
	if (field_value(set, T_PROJECT, &value))
		ticket->project = (struct varlena *) DatumGetPointer(value);
	set->failing = "region";
	if (field_value(set, T_REGION, &value))
		ticket->region = (struct varlena *) DatumGetPointer(value);
	set->failing = "revenue";
	ticket->revenue = amount_field(set, T_REVENUE);
	set->failing = "cost";
	ticket->cost = amount_field(set, T_COST);
	set->failing = "tax";
	ticket->tax = amount_field(set, T_TAX);
	set->failing = "currency";
	ticket->currency = ticket_currency(set);
	read_references(set, ticket);

	set->failing = NULL;
	{
		MemoryContext old = MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);

		price_ticket(set, ticket);
		MemoryContextSwitchTo(old);
	}
	set->failing = NULL;
	ticket->lines = set->lines;
	ticket->nlines = set->nlines;
	return true;
}

/*
 * Says what was being computed when an error came.
 */
static void
error_in_decision(void *arg)
{
	const SettleSet *set = arg;

	if (set->failing != NULL)
		errcontext("\"%s\" of source \"%s\"", set->failing, set->source);
}

Jsonb *
settle_decide_ticket(SettleSet *set, const char *decision, TimestampTz now)
{
	int			at = settle_decision_find(set, decision, NULL);
	SettleTicket ticket;
	ErrorContextCallback context;

	context.callback = error_in_decision;
	context.arg = set;
	context.previous = error_context_stack;
	error_context_stack = &context;
	begin_ticket(set, now, true, &ticket, NULL);
	need_name(set, set->d0 + at);
	set->failing = NULL;
	error_context_stack = context.previous;
	return settle_decision_json(&set->decisions[at]);
}
