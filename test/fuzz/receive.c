/*
 * receive.c
 *		Calls the receive function of a type, from SQL, on any bytes.
 *
 * test/fuzz/run compiles it; it is no part of the extension.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz_receive);

/*
 * Reads bytes as a client's binary parameter is read, and returns what the type
 * prints of the value.
 *
 * fuzz.receive(type oid, bytes bytea) returns text
 */
Datum
fuzz_receive(PG_FUNCTION_ARGS)
{
	Oid			type = PG_GETARG_OID(0);
	bytea	   *bytes = PG_GETARG_BYTEA_PP(1);
	Oid			function;
	Oid			element;
	bool		is_varlena;
	StringInfoData message;
	Datum		value;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	getTypeBinaryInputInfo(type, &function, &element);
	value = OidReceiveFunctionCall(function, &message, element, -1);
	if (message.cursor != message.len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("incorrect binary data format")));
	getTypeOutputInfo(type, &function, &is_varlena);
	PG_RETURN_TEXT_P(cstring_to_text(OidOutputFunctionCall(function, value)));
}
