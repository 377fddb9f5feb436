/*
 * rule.c
 *		SQL surface of the engine: settle.evaluate, settle.evaluate_decision.
 */
#include "rule/engine.h"

#include "access/htup_details.h"
#include "expr/expr.h"
#include "fmgr.h"
#include "rule/lines.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/*
 * Reads a row into the slot of a set.
 */
static void
read_row(SettleSet *set, HeapTupleHeader row, TupleDesc desc)
{
	TupleTableSlot *slot = settle_set_slot(set);
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	heap_deform_tuple(&tuple, desc, slot->tts_values, slot->tts_isnull);
}

SettleSet *
settle_set_of_row(const SettleRuleset *ruleset, const char *source, HeapTupleHeader row)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	SettleSet  *set = settle_set_get(ruleset, source, desc);

	read_row(set, row, desc);
	ReleaseTupleDesc(desc);
	return set;
}

/*
 * Gives the digest of a ruleset that is compressed or out of line, from its
 * first bytes.
 */
static const uint8 *
digest_of(Datum ruleset)
{
	struct varlena *front = PG_DETOAST_DATUM_SLICE(ruleset, 0, offsetof(SettleRuleset, document) - VARHDRSZ);

	if (VARSIZE_ANY_EXHDR(front) < offsetof(SettleRuleset, document) - VARHDRSZ)
		elog(ERROR, "a ruleset is cut off");
	return (const uint8 *) VARDATA_ANY(front) + offsetof(SettleRuleset, digest) - VARHDRSZ;
}

/*
 * Finds the compiled rules of a call, reading its row into their slot.  The
 * ticket is evaluated as of the source that is given, or of the only one that
 * the ruleset has.  A large ruleset that comes from a table is read in whole
 * only where it is not compiled yet.
 */
static SettleSet *
set_of_call(FunctionCallInfo fcinfo, int row_arg, int source_arg)
{
	Datum		value = PG_GETARG_DATUM(0);
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(row_arg);
	const char *source = PG_ARGISNULL(source_arg) ? NULL : NameStr(*PG_GETARG_NAME(source_arg));
	SettleRuleset *ruleset;

	if (source != NULL && (VARATT_IS_EXTERNAL(DatumGetPointer(value)) || VARATT_IS_COMPRESSED(DatumGetPointer(value))))
	{
		TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
		SettleSet  *set = settle_set_find(digest_of(value), source, desc);

		if (set != NULL)
			read_row(set, row, desc);
		ReleaseTupleDesc(desc);
		if (set != NULL)
			return set;
	}
	ruleset = DatumGetSettleRuleset(value);
	return settle_set_of_row(ruleset, source != NULL ? source : settle_ruleset_only_source(ruleset), row);
}

static SettleDec
state_dec(JsonbContainer *state, const char *key, const char *rule)
{
	JsonbValue *v = getKeyJsonValueFromContainer(state, key, (int) strlen(key), NULL);

	if (v != NULL && v->type == jbvNumeric)
		return settle_dec_from_numeric(v->val.numeric);
	if (v != NULL && v->type == jbvString)
		return settle_dec_in(v->val.string.val, v->val.string.len);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tally of rule \"%s\" in \"before\" has no \"%s\"", rule, key),
			 errhint("\"before\" is {rule: {owner: {\"count\": ..., \"quantity\": ..., \"weighted\": ...}}}.")));
}

/*
 * Looks up the state that a tally had before the ticket; empty where "before"
 * does not name it.
 */
static SettleTallyPart
tally_before(const SettleLine *line, Jsonb *before)
{
	SettleTallyPart part = {line->rule->pricer, 0, settle_dec_int(0), settle_dec_int(0)};
	const char *rule = line->rule->def->code;
	JsonbValue *owners;
	JsonbValue *state;

	if (before == NULL || !JB_ROOT_IS_OBJECT(before))
		return part;
	owners = getKeyJsonValueFromContainer(&before->root, rule, (int) strlen(rule), NULL);
	if (owners == NULL || owners->type != jbvBinary || !JsonContainerIsObject(owners->val.binary.data))
		return part;
	state = getKeyJsonValueFromContainer(owners->val.binary.data, line->owner->code, (int) strlen(line->owner->code), NULL);
	if (state == NULL || state->type != jbvBinary || !JsonContainerIsObject(state->val.binary.data))
		return part;
	part.count = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(settle_dec_to_numeric(state_dec(state->val.binary.data, "count", rule)))));
	part.quantity = state_dec(state->val.binary.data, "quantity", rule);
	part.weighted = state_dec(state->val.binary.data, "weighted", rule);
	return part;
}

/*
 * Makes the portable lines of the ticket in the slot of a set, inside its
 * pinned environment.  Accumulating rules are priced on top of "before", from
 * nothing where it does not name their tally.
 */
static SettleLines *
evaluate_lines(SettleSet *set, Jsonb *before)
{
	SettleTicket ticket;
	SettleLinesWriter writer;

	settle_evaluate_ticket(set, DT_NOBEGIN, true, &ticket, NULL);
	settle_lines_begin(&writer, false);
	for (int i = 0; i < ticket.nlines; i++)
	{
		SettleLine *line = &ticket.lines[i];
		SettleLineData data = {.count = 1};

		if (line->owner != NULL)
		{
			SettleTallyPart part = tally_before(line, before);

			line->amount = settle_tally_arrive(&part, 1, 0, line->quantity, line->base, line->factor, 1,
											   settle_rule_rounding(set, line->rule, line->unit));
			data.in_tally = true;
			data.owner = settle_lines_code(&writer, line->owner->code);
			data.tally_period = line->tally_period;
		}
		data.rule = settle_lines_code(&writer, line->rule->def->code);
		data.component = settle_lines_code(&writer, line->rule->def->component);
		data.payer = settle_lines_code(&writer, line->payer->code);
		data.payee = settle_lines_code(&writer, line->payee->code);
		data.unit = settle_lines_code(&writer, line->unit);
		data.base = line->base;
		data.quantity = line->quantity;
		data.factor = line->factor;
		data.amount = line->amount;
		settle_lines_add(&writer, &data);
	}
	return settle_lines_end(&writer);
}

/*
 * settle.evaluate(settle.ruleset, ticket record, before jsonb default null,
 *				   source name default null, facts jsonb default null)
 *				   returns settle.lines
 *
 * Prices one row as the ruleset's source maps it, ready now or in the future;
 * it needs a time, and a pure function has no "now" to lend it.
 */
PG_FUNCTION_INFO_V1(settle_evaluate);
Datum
settle_evaluate(PG_FUNCTION_ARGS)
{
	Jsonb	   *before;
	SettleSet  *set;
	SettleLines *lines;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	before = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	set = set_of_call(fcinfo, 1, 3);
	settle_set_ask(set, settle_given_facts(PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4)));

	nestlevel = settle_env_enter(settle_set_time_zone(set));
	lines = evaluate_lines(set, before);
	settle_env_leave(nestlevel);
	settle_set_release(set);
	settle_set_bound_parties(set);
	PG_RETURN_POINTER(lines);
}

/*
 * settle.evaluate_decision(settle.ruleset, decision name, ticket record,
 *							source name default null, facts jsonb default
 *							null) returns jsonb
 *
 * Says what a decision gives for one row, without reading a table.
 */
PG_FUNCTION_INFO_V1(settle_evaluate_decision);
Datum
settle_evaluate_decision(PG_FUNCTION_ARGS)
{
	SettleSet  *set;
	Jsonb	   *value;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	set = set_of_call(fcinfo, 2, 3);
	settle_set_ask(set, settle_given_facts(PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4)));
	nestlevel = settle_env_enter(settle_set_time_zone(set));
	value = settle_decide_ticket(set, NameStr(*PG_GETARG_NAME(1)), DT_NOBEGIN);
	settle_env_leave(nestlevel);
	settle_set_release(set);
	PG_RETURN_JSONB_P(value);
}
