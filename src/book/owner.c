/*
 * owner.c
 *		Functions of a book that are written in SQL or PL/pgSQL, and who may call
 *		them.
 *
 * Such a function stands twice: settle.f(book regnamespace, ...) is declared
 * with one of the symbols settle_as_<level> below and is what people call;
 * settle._f, of the same parameters, is its body and is revoked from PUBLIC.
 * The first checks that the caller has the level in the book, becomes the
 * book's owner as all code of a book does, and calls the second.  So no body
 * has to think of rights, and the level is read where the function is declared.
 * A parameter of the name "reason" is the reason of all that the body changes.
 */
#include "book/book.h"

#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static const char *const level_names[] = {"reader", "clerk", "approver", "staff", "connector", "personal", "delegate", "admin"};

/*
 * Tells whether one level has the rights of another: an admin those of all, and
 * whoever works on the book may read it.  A clerk does not approve and an
 * approver does not enter, so that maker and checker can be told apart.  Staff
 * move the tickets that they work on, and a connector, a program that talks to a
 * platform, carries messages: a clerk could do both, they nothing else.  A delegate, who answers for who his people are, has their rights while he acts
 * for one of them; to act for others is a right that nobody has by another, and
 * neither is to see personal data.
 */
static bool
level_includes(const char *has, SettleLevel wanted, bool acting)
{
	if (strcmp(has, level_names[wanted]) == 0)
		return true;
	if (wanted == SETTLE_DELEGATE || wanted == SETTLE_PERSONAL)
		return false;
	if (strcmp(has, "delegate") == 0)
		return wanted == SETTLE_READER || (acting && wanted != SETTLE_ADMIN);
	return strcmp(has, "admin") == 0 ||
		(wanted == SETTLE_READER && (strcmp(has, "clerk") == 0 || strcmp(has, "approver") == 0 || strcmp(has, "personal") == 0)) ||
		((wanted == SETTLE_CONNECTOR || wanted == SETTLE_STAFF) && strcmp(has, "clerk") == 0);
}

void
settle_book_check_level(const SettleBook *book, SettleLevel level)
{
	Oid			user = GetUserId();
	bool		acting = settle_acting_party(book->schema) != NULL;
	bool		allowed = false;
	bool		is_delegate = false;
	SettleIdentity identity;

	if (level != SETTLE_DELEGATE && has_privs_of_role(user, book->owner))
		return;
	identity = settle_book_enter(book);
	SPI_connect();
	if (SPI_execute(psprintf("SELECT a.role::pg_catalog.oid, a.level::pg_catalog.text FROM %s.access AS a", book->name), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read who has access to book \"%s\"", book->label);
	for (uint64 row = 0; row < SPI_processed && !allowed; row++)
	{
		bool		isnull;
		Oid			role = DatumGetObjectId(settle_spi_datum((int) row, 1, &isnull));
		const char *has = TextDatumGetCString(settle_spi_datum((int) row, 2, &isnull));

		if (!has_privs_of_role(user, role))
			continue;
		allowed = level_includes(has, level, acting);
		is_delegate = is_delegate || strcmp(has, "delegate") == 0;
	}
	SPI_finish();
	settle_book_leave(identity);
	if (allowed)
		return;
	if (is_delegate && !acting && level != SETTLE_ADMIN)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" acts for nobody in book \"%s\"", GetUserNameFromId(user, false), book->label),
				 errdetail("It has the level delegate there, which may read but changes nothing in its own name."),
				 errhint("Say first, in the same transaction, for whom: settle.act_as(book, party, reason).")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for book \"%s\"", book->label),
			 errdetail("This needs the level %s.", level_names[level]),
			 errhint("Its owner, role \"%s\", gives it with settle.grant_access.", GetUserNameFromId(book->owner, false))));
}

/*
 * Raises 42501 where a caller who is not the owner has him read a relation that
 * is not the owner's own, or that the caller may not read himself.  A view calls
 * functions, and they would run as the owner.
 */
void
settle_book_check_relation(const SettleBook *book, Oid relation)
{
	Oid			user = GetUserId();
	HeapTuple	tuple;
	Oid			owner;

	if (has_privs_of_role(user, book->owner))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	/* not what he may act for: a superuser may act for everybody */
	owner = HeapTupleIsValid(tuple) ? ((Form_pg_class) GETSTRUCT(tuple))->relowner : InvalidOid;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (owner == book->owner && pg_class_aclcheck(relation, user, ACL_SELECT) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for relation \"%s\"", get_rel_name(relation)),
			 errdetail("Book \"%s\" reads it as role \"%s\". Others have only such relations read that belong to this role and that they may read themselves.",
					   book->label, GetUserNameFromId(book->owner, false))));
}

/*
 * Finds the body of a function: the same name after an underscore, the same
 * parameters.
 */
static Oid
body_of(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	char	   *name;
	Oid			body;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	name = psprintf("_%s", NameStr(form->proname));
	body = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(&form->proargtypes), ObjectIdGetDatum(form->pronamespace));
	if (!OidIsValid(body))
		elog(ERROR, "function settle.%s of these parameters does not exist", name);
	ReleaseSysCache(tuple);
	return body;
}

/* What a call site remembers of the function it calls. */
typedef struct Body
{
	FmgrInfo	function;
	int			reason;			/* its parameter, or -1 */
} Body;

static Body *
remember_body(FmgrInfo *flinfo)
{
	Body	   *body = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(Body));
	HeapTuple	tuple;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			nparams;

	fmgr_info_cxt(body_of(flinfo->fn_oid), &body->function, flinfo->fn_mcxt);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
	nparams = get_func_arg_info(tuple, &types, &names, &modes);
	ReleaseSysCache(tuple);
	body->reason = -1;
	for (int i = 0; i < nparams && names != NULL && (modes == NULL || modes[i] == PROARGMODE_IN); i++)
		if (strcmp(names[i], "reason") == 0 && types[i] == TEXTOID)
			body->reason = i;
	return body;
}

static Oid
schema_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("book is null")));
	return PG_GETARG_OID(0);
}

/*
 * Runs the body of the function that is called as the owner of a book, if the
 * caller has the level there.
 */
static Datum
call_body(FunctionCallInfo fcinfo, SettleBook book, SettleLevel level)
{
	Body	   *body = fcinfo->flinfo->fn_extra;
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SettleIdentity identity;
	Datum		result;
	int			depth = -1;

	settle_book_check_level(&book, level);

	if (body == NULL)
		fcinfo->flinfo->fn_extra = body = remember_body(fcinfo->flinfo);
	/* all rows at once: they must not be asked for when we are the caller again */
	if (rsinfo != NULL && IsA(rsinfo, ReturnSetInfo))
		rsinfo->allowedModes |= SFRM_Materialize_Preferred;
	InitFunctionCallInfoData(*call, &body->function, fcinfo->nargs, fcinfo->fncollation, NULL, fcinfo->resultinfo);
	for (int i = 0; i < fcinfo->nargs; i++)
	{
		call->args[i] = fcinfo->args[i];
		if (body->function.fn_strict && call->args[i].isnull)
			PG_RETURN_NULL();
	}
	if (body->reason >= 0 && !PG_ARGISNULL(body->reason))
		depth = settle_begin_reason(text_to_cstring(PG_GETARG_TEXT_PP(body->reason)));
	identity = settle_book_enter(&book);
	result = FunctionCallInvoke(call);
	settle_book_leave(identity);
	if (depth >= 0)
		settle_end_reason(depth);
	fcinfo->isnull = call->isnull;
	return result;
}

Datum
settle_call_as_owner(FunctionCallInfo fcinfo, SettleLevel level)
{
	return call_body(fcinfo, settle_book(schema_argument(fcinfo)), level);
}

PG_FUNCTION_INFO_V1(settle_as_reader);
Datum
settle_as_reader(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_READER);
}

PG_FUNCTION_INFO_V1(settle_as_clerk);
Datum
settle_as_clerk(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_CLERK);
}

PG_FUNCTION_INFO_V1(settle_as_approver);
Datum
settle_as_approver(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_APPROVER);
}

PG_FUNCTION_INFO_V1(settle_as_staff);
Datum
settle_as_staff(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_STAFF);
}

PG_FUNCTION_INFO_V1(settle_as_connector);
Datum
settle_as_connector(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_CONNECTOR);
}

PG_FUNCTION_INFO_V1(settle_as_personal);
Datum
settle_as_personal(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_PERSONAL);
}

PG_FUNCTION_INFO_V1(settle_as_admin);
Datum
settle_as_admin(PG_FUNCTION_ARGS)
{
	return settle_call_as_owner(fcinfo, SETTLE_ADMIN);
}

/*
 * The tables of a book of another version are not as this code expects them.
 */
PG_FUNCTION_INFO_V1(settle_as_admin_of_any_version);
Datum
settle_as_admin_of_any_version(PG_FUNCTION_ARGS)
{
	return call_body(fcinfo, settle_book_unchecked(schema_argument(fcinfo)), SETTLE_ADMIN);
}
