/*
 * body.c
 *		Bodies that did not arrive as jsonb.
 *
 * A connector lands what is not JSON, or what jsonb refuses, as bytes; so
 * nothing that a platform sent is lost before anything has looked at it.
 * Callbacks of WeCom are XML of one level, and are read as an object of texts.
 */
#include "connect/connect.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static Jsonb *
jsonb_of(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* Decodes %XX and + of a form; a % before anything else is one. */
static char *
url_decoded(const char *text, int len)
{
	char	   *result = palloc(len + 1);
	char	   *to = result;

	for (int i = 0; i < len; i++)
	{
		if (text[i] == '%' && i + 2 < len && isxdigit((unsigned char) text[i + 1]) && isxdigit((unsigned char) text[i + 2]))
		{
			to += hex_decode(text + i + 1, 2, to);
			i += 2;
		}
		else
			*to++ = text[i] == '+' ? ' ' : text[i];
	}
	*to = '\0';
	pg_verify_mbstr(PG_UTF8, result, to - result, false);
	return result;
}

/*
 * Reads JSON that stands in a text of a payload, URL-encoded or as it is.
 */
Jsonb *
settle_inner_document(const char *text, int len)
{
	return jsonb_of(len > 0 && text[0] == '%' ? url_decoded(text, len) : pnstrdup(text, len));
}

/*
 * Reads XML of one level, <xml><Name><![CDATA[value]]></Name>...</xml>; NULL
 * where it is anything else.
 */
static Jsonb *
read_xml(const char *text)
{
	JsonbParseState *state = NULL;
	const char *at = strchr(text, '>');

	if (strncmp(text, "<xml", 4) != 0 || at == NULL)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (at++;; )
	{
		const char *name;
		int			name_len;
		JsonbValue	value = {.type = jbvString};
		const char *end;

		at += strspn(at, " \t\r\n");
		if (strcmp(at, "</xml>") == 0 || strncmp(at, "</xml>", 6) == 0)
			break;
		if (*at != '<' || (end = strchr(at, '>')) == NULL)
			return NULL;
		name = at + 1;
		name_len = end - name;
		at = end + 1;
		if (strncmp(at, "<![CDATA[", 9) == 0)
		{
			at += 9;
			end = strstr(at, "]]>");
		}
		else
			end = strchr(at, '<');
		if (end == NULL || name_len == 0)
			return NULL;
		value.val.string.val = pnstrdup(at, end - at);
		value.val.string.len = end - at;
		at = *end == ']' ? end + 3 : end;
		if (strncmp(at, "</", 2) != 0 || strncmp(at + 2, name, name_len) != 0 || at[name_len + 2] != '>')
			return NULL;
		at += name_len + 3;
		{
			JsonbValue	key = {.type = jbvString};

			key.val.string.val = pnstrdup(name, name_len);
			key.val.string.len = name_len;
			pushJsonbValue(&state, WJB_KEY, &key);
			pushJsonbValue(&state, WJB_VALUE, &value);
		}
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Reads bytes as what they are: JSON or flat XML in UTF-8.  NULL, with the
 * problem filled in, where they are neither; JSON that does not parse raises.
 */
Jsonb *
settle_body(const bytea *raw, Problem *problem)
{
	const char *bytes = VARDATA_ANY(raw);
	int			len = VARSIZE_ANY_EXHDR(raw);
	char	   *text;
	Jsonb	   *xml;

	problem->reason = "encoding";
	if (memchr(bytes, 0, len) != NULL)
	{
		problem->reason = "nul_char";
		problem->sqlstate = ERRCODE_UNTRANSLATABLE_CHARACTER;
		problem->message = "the body holds a zero byte";
		return NULL;
	}
	if (!pg_verify_mbstr(PG_UTF8, bytes, len, true))
	{
		problem->sqlstate = ERRCODE_CHARACTER_NOT_IN_REPERTOIRE;
		problem->message = "the body is not UTF-8";
		return NULL;
	}
	text = pnstrdup(bytes, len);
	text += strspn(text, " \t\r\n");
	problem->reason = NULL;
	if (*text != '<')
		return jsonb_of(text);
	xml = read_xml(text);
	if (xml == NULL)
	{
		problem->reason = "encoding";
		problem->sqlstate = ERRCODE_INVALID_XML_CONTENT;
		problem->message = "the body is XML of more than one level";
	}
	return xml;
}
