/*
 * server.h
 *		What cppcheck, which does not read the server's headers, must know of them:
 *		what does not return, and the macros that are not written as expressions.
 */
#define PG_VERSION_NUM 150000
#define SETTLE_VERSION "0"

#define pg_attribute_noreturn() __attribute__((noreturn))
#define REPORT_ERROR(...) do { (void) (__VA_ARGS__); abort(); } while (0)
#define REPORT_WARNING(...) ((void) (__VA_ARGS__))
#define REPORT_NOTICE(...) ((void) (__VA_ARGS__))
#define ereport(level, ...) REPORT_ ## level(__VA_ARGS__)
#define elog(level, ...) REPORT_ ## level(__VA_ARGS__)

#define PG_RETURN_ARRAYTYPE_P(x) return (x)
#define PG_RETURN_BOOL(x) return (x)
#define PG_RETURN_BYTEA_P(x) return (x)
#define PG_RETURN_CIRCLE_P(x) return (x)
#define PG_RETURN_CSTRING(x) return (x)
#define PG_RETURN_DATUM(x) return (x)
#define PG_RETURN_FLOAT8(x) return (x)
#define PG_RETURN_INT32(x) return (x)
#define PG_RETURN_INT64(x) return (x)
#define PG_RETURN_JSONB_P(x) return (x)
#define PG_RETURN_NUMERIC(x) return (x)
#define PG_RETURN_POINTER(x) return (x)
#define PG_RETURN_POINT_P(x) return (x)
#define PG_RETURN_POLYGON_P(x) return (x)
#define PG_RETURN_TEXT_P(x) return (x)
#define PG_RETURN_NULL() return 0
#define PG_RETURN_VOID() return 0

#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY()

#define foreach(cell, list) for (ListCell *cell = list_head(list); cell; cell = lnext(list, cell))
#define lengthof(array) (sizeof(array) / sizeof((array)[0]))
#define CppAsString2(x) #x
