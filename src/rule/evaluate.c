/*
 * evaluate.c
 *		The one function: a ticket in, its lines out.
 *
 * Everything that a settlement does is a use of settle_evaluate_ticket.  What
 * it reads of the ticket stands in value.c, what one rule gives in apply.c; here
 * it is decided which rules apply.
 *
 * Nothing here traps an error.  Who must go on after a ticket that cannot be
 * priced evaluates inside a subtransaction.
 */
#include "rule/compile.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

/* ---- choices ---- */

void
settle_add_step(SettleSet *set, SettleStepKind kind, const char *name, const char *value, const char *detail, int first_line)
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
settle_choice(SettleSet *set, Choice *choice, const RuleFront **hits, int nhits, SettleTicket *ticket)
{
	int			n = 0;

	for (int i = 0; i < nhits; i++)
		if (hits[i]->has_overrides)
			mark_overridden(set, hits[i]->rule);
	for (int i = 0; i < nhits; i++)
	{
		CompiledRule *rule = hits[i]->rule;

		if (rule->overridden_epoch == set->epoch)
			settle_add_step(set, SETTLE_STEP_OVERRIDDEN, rule->code, NULL, rule->overridden_by->code, set->nlines);
		else
			hits[n++] = hits[i];
	}
	if (n == 0)
		return;

	set->failing = hits[0]->rule->code;
	if (n > 1 && (choice->policy == SETTLE_CHOICE_UNIQUE ||
				  (choice->policy == SETTLE_CHOICE_FIRST && hits[0]->rule->rule.def->priority == hits[1]->rule->rule.def->priority)))
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_RULE_CONFLICT),
				 errmsg("rules \"%s\" and \"%s\" both apply", hits[0]->rule->code, hits[1]->rule->code),
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
			Component  *component = &set->components[hits[i]->pricing->component];
			Component	saved = *component;
			List	  **trace = set->trace;
			SettleDec	sum = settle_dec_int(0);
			int			cmp;

			set->failing = hits[i]->rule->code;
			set->trace = NULL;
			settle_apply_rule(set, hits[i]->rule, hits[i]->pricing, ticket);
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
		set->failing = hits[i]->rule->code;
		settle_apply_rule(set, hits[i]->rule, hits[i]->pricing, ticket);
	}
	if (set->trace != NULL && choice->policy != SETTLE_CHOICE_ALL)
		for (int i = 1; i < n; i++)
			settle_add_step(set, SETTLE_STEP_BEATEN, hits[i]->rule->code, NULL, hits[0]->rule->code, set->nlines);
}

/*
 * The same of the rules that hit last.  Mostly it is one, and nothing to choose.
 */
static inline void
settle_hits(SettleSet *set, int choice, int nhits, SettleTicket *ticket)
{
	const RuleFront *front = set->hits[0];

	if (nhits == 1 && !front->has_overrides)
	{
		set->failing = NULL;
		set->failing_rule = front->rule;
		settle_apply_rule(set, front->rule, front->pricing, ticket);
	}
	else
		settle_choice(set, &set->choices[choice], set->hits, nhits, ticket);
}

/*
 * Tells whether a rule that matches applies to the ticket as far as it can be
 * told without the others of its choice.
 */
static bool
rule_applies(SettleSet *set, int ordinal, CompiledRule *rule, bool is_repeat)
{
	if (rule->repeats != SETTLE_REPEATS_PAY && (rule->repeats == SETTLE_REPEATS_ONLY) != is_repeat)
		return false;
	set->failing = rule->code;
	if (set->fronts[ordinal].has_residual)
	{
		settle_need_names(set, rule->needs, rule->nneeds);
		if (!settle_residual_holds(set, settle_residual(set->matcher, ordinal), &rule->residual))
			return false;
	}
	if (rule->pack != NULL)
	{
		const Pack *winner = settle_pack_winner(set, rule->pack);

		if (winner != rule->pack)
		{
			settle_add_step(set, SETTLE_STEP_PACK_BEATEN, rule->code, rule->pack->def->pack, winner->def->pack, set->nlines);
			return false;
		}
	}
	if (rule->overridden_epoch == set->epoch)
	{
		/* what overrides what depends on conditions alone, not on the order of choices */
		mark_overridden(set, rule);
		settle_add_step(set, SETTLE_STEP_OVERRIDDEN, rule->code, NULL, rule->overridden_by->code, set->nlines);
		return false;
	}
	return true;
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

	/* of many rules they lie far apart: fetched one after the other they would take longer than what is done with them */
	for (int c = 0; c < ncandidates; c++)
		__builtin_prefetch(&set->fronts[set->candidates[c]]);
	for (int c = 0; c < ncandidates; c++)
	{
		int			i = set->candidates[c];
		const RuleFront *front = &set->fronts[i];

		if (front->choice != choice)
		{
			if (nhits > 0)
				settle_hits(set, choice, nhits, ticket);
			choice = front->choice;
			nhits = 0;
		}
		if (front->is_plain || rule_applies(set, i, front->rule, is_repeat))
			set->hits[nhits++] = front;
	}
	if (nhits > 0)
		settle_hits(set, choice, nhits, ticket);
}

/* ---- the ticket ---- */

/*
 * Gives a mapped value; false where it is null.
 */
static inline bool
field_value(SettleSet *set, TicketField field, Datum *value)
{
	int			place = set->field_places[field];

	if (place == FIELD_UNMAPPED)
		return false;
	if (place == FIELD_NAMED)
	{
		place = set->t0 + field;
		settle_need_name(set, place);
	}
	*value = set->slot->tts_values[place - 1];
	return !set->slot->tts_isnull[place - 1];
}

/*
 * Gives one of the times that a ticket must have; not mapped, it is ready_at.
 */
static TimestampTz
need_time(SettleSet *set, TicketField field, const char *name, const SettleTicket *ticket)
{
	Datum		value = TimestampTzGetDatum(ticket->ready_at);

	if (set->field_places[field] == FIELD_UNMAPPED ? !ticket->is_ready : !field_value(set, field, &value))
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

static void
amount_field(SettleSet *set, TicketField field, const char *name, SettleDec *amount)
{
	Datum		value;

	set->failing = name;
	*amount = settle_dec_int(0);
	if (!field_value(set, field, &value))
		return;
	(void) settle_term_dec(set, set->fields[field], amount);
	settle_check_size(amount, name);
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
	return settle_party_of(set, VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code))->code;
}

/*
 * Gives a path or text that tickets are told apart by; NULL where it is not
 * mapped or null.  What is longer than it may be fits into no index.
 */
static struct varlena *
short_field(SettleSet *set, TicketField field, const char *name, int most)
{
	Datum		value;
	struct varlena *found;

	set->failing = name;
	if (!field_value(set, field, &value))
		return NULL;
	found = (struct varlena *) DatumGetPointer(value);
	if (VARATT_IS_EXTERNAL(found) || VARATT_IS_COMPRESSED(found))
		found = pg_detoast_datum_packed(found);
	if (VARSIZE_ANY_EXHDR(found) > most)
		ereport(ERROR,
				(errcode(ERRCODE_SETTLE_BAD_TICKET),
				 errmsg("%s of a ticket has %d bytes", name, (int) VARSIZE_ANY_EXHDR(found)),
				 errdetail("It may have at most %d bytes.", most)));
	return found;
}

/*
 * Gives a text that tells tickets of an order or of rework from others; NULL
 * where it is not mapped, null or empty.
 */
static const char *
reference_field(SettleSet *set, TicketField field, const char *name)
{
	text	   *reference = short_field(set, field, name, SETTLE_MAX_REFERENCE);

	return reference == NULL || VARSIZE_ANY_EXHDR(reference) == 0 ? NULL : text_to_cstring(reference);
}

/*
 * Reads what makes a ticket a repeat of another one.
 */
static void
read_references(SettleSet *set, SettleTicket *ticket)
{
	ticket->order_ref = reference_field(set, T_ORDER_REF, "order_ref");
	ticket->rework_of = reference_field(set, T_REWORK_OF, "rework_of");
	ticket->duplicate_of = set->duplicate_of;
	if (ticket->rework_of != NULL)
	{
		Datum		key;

		/* a ticket is no rework of itself */
		if (field_value(set, T_KEY, &key) && strcmp(TextDatumGetCString(key), ticket->rework_of) == 0)
			ticket->rework_of = NULL;
	}
}

/*
 * Begins the ticket in the slot: its times, from which the rules follow.
 * Returns false where it is not ready and need not be.  The caller runs in
 * the memory of the ticket.
 */
static bool
begin_ticket(SettleSet *set, TimestampTz now, bool always, SettleTicket *ticket, List **trace)
{
	Datum		value;

	set->epoch++;
	set->failing_rule = NULL;
	set->nlines = 0;
	set->trace = trace;
	memset(ticket, 0, sizeof(*ticket));
	ticket->period = DATEVAL_NOBEGIN;

	set->failing = "ready_at";
	ticket->has_ready_at = ticket->is_ready = field_value(set, T_READY_AT, &value);
	if (ticket->has_ready_at)
		ticket->ready_at = DatumGetTimestampTz(value);
	else if (always && !TIMESTAMP_IS_NOBEGIN(now))
	{
		/* a quote prices what is not ready yet as if it were ready now */
		ticket->ready_at = now;
		ticket->is_ready = true;
		settle_put_name(set, set->t0 + T_READY_AT, TimestampTzGetDatum(now), false);
	}
	if (!always && (!ticket->has_ready_at || ticket->ready_at > now))
		return false;

	set->failing = "rules_at";
	ticket->rules_at = need_time(set, T_RULES_AT, "rules_at", ticket);
	/* every decision asks for it */
	settle_put_name(set, set->t0 + T_RULES_AT, TimestampTzGetDatum(ticket->rules_at), false);
	return true;
}

/*
 * Reads and prices the ticket in the slot, in the memory of the ticket.
 */
static bool
evaluate_ticket(SettleSet *set, TimestampTz now, bool always, SettleTicket *ticket, List **trace)
{
	if (!begin_ticket(set, now, always, ticket, trace))
		return false;
	set->failing = "period_at";
	ticket->period_at = need_time(set, T_PERIOD_AT, "period_at", ticket);
	ticket->period = settle_ticket_span_start(set, set->period, ticket->period_at);
	ticket->project = short_field(set, T_PROJECT, "project", SETTLE_MAX_PATH);
	ticket->region = short_field(set, T_REGION, "region", SETTLE_MAX_PATH);
	ticket->channel = short_field(set, T_CHANNEL, "channel", SETTLE_MAX_REFERENCE);
	if (ticket->channel != NULL && VARSIZE_ANY_EXHDR(ticket->channel) == 0)
		ticket->channel = NULL;
	amount_field(set, T_REVENUE, "revenue", &ticket->revenue);
	amount_field(set, T_COST, "cost", &ticket->cost);
	amount_field(set, T_TAX, "tax", &ticket->tax);
	set->failing = "currency";
	ticket->currency = ticket_currency(set);
	read_references(set, ticket);

	set->failing = NULL;
	price_ticket(set, ticket);
	set->failing = NULL;
	set->failing_rule = NULL;
	ticket->lines = set->lines;
	ticket->nlines = set->nlines;
	return true;
}

/*
 * Enters the memory of the ticket, and forgets what the one before has left.
 */
static MemoryContext
enter_ticket_memory(SettleSet *set)
{
	MemoryContextReset(set->econtext->ecxt_per_tuple_memory);
	return MemoryContextSwitchTo(set->econtext->ecxt_per_tuple_memory);
}

bool
settle_evaluate_ticket(SettleSet *set, TimestampTz now, bool always, SettleTicket *ticket, List **trace)
{
	MemoryContext old = enter_ticket_memory(set);
	bool		priced = evaluate_ticket(set, now, always, ticket, trace);

	MemoryContextSwitchTo(old);
	return priced;
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
	MemoryContext old;

	context.callback = error_in_decision;
	context.arg = set;
	context.previous = error_context_stack;
	error_context_stack = &context;
	old = enter_ticket_memory(set);
	begin_ticket(set, now, true, &ticket, NULL);
	settle_need_name(set, set->d0 + at);
	MemoryContextSwitchTo(old);
	set->failing = NULL;
	error_context_stack = context.previous;
	return settle_decision_json(&set->decisions[at]);
}
