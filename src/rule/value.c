/*
 * value.c
 *		What expressions read of the current ticket: terms, and the names that
 *		stand behind its columns, which are mapped values, facts, decisions and
 *		sums of components.
 *
 * Nothing is computed before it is asked for, and nothing twice: "epoch" is the
 * number of the ticket that a remembered value belongs to.  All of it runs in
 * the expression context's per-tuple memory, which is reset when the next ticket
 * is read.
 */
#include "rule/compile.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* ---- terms ---- */

/*
 * Computes a term, once a ticket.
 */
Datum
settle_term_value(SettleSet *set, Term *term, bool *isnull)
{
	if (term->epoch != set->epoch)
	{
		settle_need_names(set, term->needs, term->nneeds);
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
void
settle_refuse_null(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_SETTLE_NULL_TERM),
			 errmsg("%s is null", what),
			 errhint("Give it a value for every ticket that it applies to, for example with coalesce().")));
}

void
settle_refuse_null_part(const CompiledRule *rule, const char *part)
{
	settle_refuse_null(psprintf("%s of rule \"%s\"", part, rule->code));
	pg_unreachable();
}

/*
 * Computes a term as an exact decimal; integer columns are taken as they are.
 */
bool
settle_term_decode(SettleSet *set, Term *term)
{
	Oid			type = term->position > 0 ? set->scope.names[term->position - 1].type : NUMERICOID;
	bool		isnull;
	Datum		value;

	if (term->position > 0 && term->nneeds == 0)
	{
		value = set->slot->tts_values[term->position - 1];
		isnull = set->slot->tts_isnull[term->position - 1];
	}
	else
		value = settle_term_value(set, term, &isnull);

	if (isnull)
		return false;
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
			term->dec = settle_dec_from_datum(value);
			break;
	}
	term->dec_epoch = set->epoch;
	return true;
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

/* ---- decisions and facts ---- */

/*
 * The instant whose rules a ticket is priced by.
 */
TimestampTz
settle_rules_at(SettleSet *set)
{
	settle_need_name(set, set->t0 + T_RULES_AT);
	return DatumGetTimestampTz(set->slot->tts_values[set->t0 - 1 + T_RULES_AT]);
}

void
settle_put_name(SettleSet *set, int position, Datum value, bool isnull)
{
	set->slot->tts_values[position - 1] = value;
	set->slot->tts_isnull[position - 1] = isnull;
	set->name_epoch[position] = set->epoch;
}

/*
 * Computes a decision for the current ticket and puts it into the slot.
 */
static void
compute_decision(SettleSet *set, int at)
{
	Decision   *decision = &set->decisions[at];
	const char *failing = set->failing;

	set->failing = decision->def->decision;
	settle_need_names(set, decision->needs, decision->nneeds);
	settle_decision_compute(set, decision, settle_rules_at(set));
	settle_put_name(set, set->d0 + at, decision->value, false);
	if (set->trace != NULL)
		settle_add_step(set, SETTLE_STEP_DECISION, decision->def->decision, settle_decision_text(decision),
				 settle_decision_reason(decision), set->nlines);
	set->failing = failing;
}

/*
 * Asks for one fact of the ticket, null where what it is looked up by is.
 */
static void
compute_fact(SettleSet *set, int at)
{
	Fact	   *fact = &set->facts[at];
	const char *failing = set->failing;
	Datum		key;
	Datum		value = 0;
	bool		has_key;
	bool		isnull;

	set->failing = fact->def->fact;
	settle_need_name(set, set->t0 + T_RULES_AT);
	key = settle_term_value(set, fact->lookup, &isnull);
	has_key = !isnull;
	isnull |= set->slot->tts_isnull[set->t0 - 1 + T_RULES_AT];
	if (!isnull)
		isnull = !settle_fact_compute(set, fact, TextDatumGetCString(key),
									  DatumGetTimestampTz(set->slot->tts_values[set->t0 - 1 + T_RULES_AT]), &value);
	settle_put_name(set, set->f0 + at, value, isnull);
	if (set->trace != NULL)
	{
		Oid			out;
		bool		is_varlena;

		getTypeOutputInfo(fact->type, &out, &is_varlena);
		settle_add_step(set, SETTLE_STEP_FACT, fact->def->fact, isnull ? NULL : OidOutputFunctionCall(out, value),
						has_key ? TextDatumGetCString(key) : NULL, set->nlines);
	}
	set->failing = failing;
}

/* ---- mapped values and sums ---- */

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
			(void) settle_term_decode(set, term);
			value = NumericGetDatum(settle_dec_to_numeric(term->dec));
		}
	}
	else if (field == T_RULES_AT || field == T_PERIOD_AT)
	{
		settle_need_name(set, set->t0 + T_READY_AT);
		value = set->slot->tts_values[set->t0 - 1 + T_READY_AT];
		isnull = set->slot->tts_isnull[set->t0 - 1 + T_READY_AT];
	}
	else if (field == T_DUPLICATE_OF && set->duplicate_of != NULL)
	{
		value = CStringGetTextDatum(set->duplicate_of);
		isnull = false;
	}
	settle_put_name(set, set->t0 + field, value, isnull);
}

/*
 * Puts the sum of a component's lines so far into the slot.
 */
static void
compute_component(SettleSet *set, int at)
{
	Component  *component = &set->components[at];
	SettleDec	sum = component->sum_epoch == set->epoch ? component->sum : settle_dec_int(0);

	settle_put_name(set, set->c0 + at, NumericGetDatum(settle_dec_to_numeric(sum)), false);
}

void
settle_compute_name(SettleSet *set, int position)
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
