/*
 * matrix_io.c
 *		Text and binary forms of settle.matrix.
 *
 * The text form is JSON: the paths once, and the cells as [project, region,
 * period, tickets, revenue, cost], where project and region are places in the
 * list of paths, counted from 0, and amounts are strings, which no reader
 * rounds.  The binary form says the same.  Both are read strictly, and
 * sorted in whatever order they name paths and cells.
 */
#include "matrix/matrix.h"

#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#define MATRIX_WIRE_VERSION	1

/* A text that is being read. */
typedef struct Reader
{
	const char *text;
	const char *at;
} Reader;

/* A matrix that is being read: a cell names a path by its place in the list. */
typedef struct Draft
{
	MatrixEdit	edit;
	bool	   *used;			/* paths that a cell has named */
	int			code;			/* SQLSTATE of complaints */
} Draft;

PG_FUNCTION_INFO_V1(settle_matrix_in);
PG_FUNCTION_INFO_V1(settle_matrix_out);
PG_FUNCTION_INFO_V1(settle_matrix_recv);
PG_FUNCTION_INFO_V1(settle_matrix_send);

/*
 * Raises the error of a text that is not a matrix.
 */
static void pg_attribute_noreturn()
bad_text(const Reader *reader, const char *expected)
{
	if (*reader->at == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type settle.matrix"),
				 errdetail("The text ends where %s is expected.", expected)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type settle.matrix"),
			 errdetail("At character %d, near \"%s\", %s is expected.",
					   pg_mbstrlen_with_len(reader->text, reader->at - reader->text) + 1,
					   pnstrdup(reader->at, pg_mbcliplen(reader->at, strlen(reader->at), 20)), expected)));
}

/*
 * Passes over white space.
 */
static void
skip_space(Reader *reader)
{
	while (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r')
		reader->at++;
}

/*
 * Takes one mark if it comes next.
 */
static bool
take(Reader *reader, char mark)
{
	skip_space(reader);
	if (*reader->at != mark)
		return false;
	reader->at++;
	return true;
}

/*
 * Takes one mark, which must come next.
 */
static void
expect(Reader *reader, char mark)
{
	char		expected[] = {'"', mark, '"', '\0'};

	if (!take(reader, mark))
		bad_text(reader, expected);
}

/*
 * Takes a null if it comes next.
 */
static bool
take_null(Reader *reader)
{
	skip_space(reader);
	if (strncmp(reader->at, "null", 4) != 0)
		return false;
	reader->at += 4;
	return true;
}

/*
 * Takes a whole number that is not negative.
 */
static int64
take_count(Reader *reader)
{
	const char *start;
	int64		count = 0;

	skip_space(reader);
	start = reader->at;
	for (; *reader->at >= '0' && *reader->at <= '9'; reader->at++)
		if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, *reader->at - '0', &count))
		{
			reader->at = start;
			bad_text(reader, "a smaller number");
		}
	if (reader->at == start)
		bad_text(reader, "a whole number");
	if (*start == '0' && reader->at - start > 1)
	{
		reader->at = start;
		bad_text(reader, "a number without leading zeros");
	}
	return count;
}

/*
 * Takes a string; nothing that a matrix holds needs an escape.
 */
static const char *
take_string(Reader *reader, Size *len)
{
	const char *start;

	if (!take(reader, '"'))
		bad_text(reader, "a string");
	start = reader->at;
	while (*reader->at != '"')
	{
		if (*reader->at == '\\' || (unsigned char) *reader->at < ' ')
			bad_text(reader, "the end of a string");
		reader->at++;
	}
	*len = reader->at++ - start;
	return start;
}

/*
 * Starts to read a matrix.
 */
static Draft
start_draft(int code)
{
	Draft		draft;

	draft.edit = settle_matrix_new(MaxAllocSize);
	draft.used = NULL;
	draft.code = code;
	return draft;
}

/*
 * Reads one path in the form that ltree prints, by ltree's own rule of what a
 * label may hold, and enters it.
 */
static void
draft_path(Draft *draft, const char *text, Size len)
{
	const char *end = text + len;
	const char *start = text;
	uint32		before = draft->edit.matrix->npaths;
	int			nlevels = 0;
	ltree	   *path;
	ltree_level *level;

	/* every label takes a mark and at most MAXALIGN more than its own bytes */
	path = palloc0(add_size(LTREE_HDRSIZE, mul_size(len + 1, MAXALIGN(LEVEL_HDRSIZE + 1))));
	level = LTREE_FIRST(path);
	for (const char *at = text; len > 0; at += pg_mblen(at))
	{
		if (at < end && *at != '.')
		{
			if (!settle_is_label_char(at))
				break;
			continue;
		}
		if (at == start || pg_mbstrlen_with_len(start, at - start) > LTREE_LABEL_MAX_CHARS || nlevels == LTREE_MAX_LEVELS)
			break;
		level->len = at - start;
		memcpy(level->name, start, at - start);
		level = LEVEL_NEXT(level);
		nlevels++;
		start = at + 1;
		if (at == end)
			break;
	}
	if (len > 0 && start != end + 1)
		ereport(ERROR,
				(errcode(draft->code),
				 errmsg("invalid path \"%s\" in a value of type settle.matrix", pnstrdup(text, pg_mbcliplen(text, len, 60))),
				 errdetail("A path consists of labels of 1 to %d letters, digits and underscores, with dots between them.",
						   LTREE_LABEL_MAX_CHARS)));
	path->numlevel = nlevels;
	settle_matrix_add_path(&draft->edit, (char *) path + VARHDRSZ, (char *) level - (char *) path - VARHDRSZ);
	if (draft->edit.matrix->npaths == before)
		ereport(ERROR,
				(errcode(draft->code),
				 errmsg("path \"%s\" stands twice in a value of type settle.matrix", pnstrdup(text, pg_mbcliplen(text, len, 60)))));
	pfree(path);
}

/*
 * Gives the path at a place of the list.
 */
static uint32
draft_place(Draft *draft, int64 place)
{
	uint32		npaths = draft->edit.matrix->npaths;

	if (draft->used == NULL)
		draft->used = palloc0(npaths);
	if (place < 0 || place >= npaths)
		ereport(ERROR,
				(errcode(draft->code),
				 errmsg("cell of a value of type settle.matrix names path " INT64_FORMAT " of %u", place, npaths),
				 errdetail("Paths are counted from 0.")));
	draft->used[place] = true;
	return (uint32) place;
}

/*
 * Enters a cell, without its amounts.
 */
static uint32
draft_cell(Draft *draft, MatrixKey key, int64 tickets)
{
	uint32		before = draft->edit.matrix->ncells;
	uint32		cell = settle_matrix_add_cell(&draft->edit, key);

	if (draft->edit.matrix->ncells == before)
		ereport(ERROR,
				(errcode(draft->code),
				 errmsg("two cells of a value of type settle.matrix have the same project, region and period")));
	if (tickets < 1)
		ereport(ERROR,
				(errcode(draft->code),
				 errmsg("cell of a value of type settle.matrix has " INT64_FORMAT " tickets", tickets),
				 errdetail("A cell has at least one ticket.")));
	settle_matrix_add_tickets(&draft->edit, cell, tickets);
	return cell;
}

/*
 * Ends reading: every path must belong to a cell.
 */
static SettleMatrix *
finish_draft(Draft *draft)
{
	const SettleMatrix *matrix = draft->edit.matrix;

	for (uint32 i = 0; i < matrix->npaths; i++)
		if (draft->used == NULL || !draft->used[i])
			ereport(ERROR,
					(errcode(draft->code),
					 errmsg("path %u of a value of type settle.matrix belongs to no cell", i),
					 errdetail("Paths are counted from 0.")));
	return settle_matrix_sort(matrix);
}

/*
 * Gives a period in text form.  The session's DateStyle has no say.
 */
static void
print_period(uint32 period, char *text)
{
	DateADT		date = settle_matrix_date(period);
	struct pg_tm tm;

	if (DATE_NOT_FINITE(date))
	{
		EncodeSpecialDate(date, text);
		return;
	}
	j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	EncodeDateOnly(&tm, USE_ISO_DATES, text);
}

/*
 * Takes a period: only the form that print_period() gives.
 */
static uint32
take_period(Reader *reader)
{
	Reader		before = *reader;
	Size		len;
	const char *text = take_string(reader, &len);
	char		given[MAXDATELEN + 1];
	char		again[MAXDATELEN + 1];
	char	   *rest;
	long		year,
				month,
				day;
	uint32		period;

	if (len <= MAXDATELEN)
	{
		memcpy(given, text, len);
		given[len] = '\0';
		if (strcmp(given, LATE) == 0)
			return MATRIX_INFINITY;
		if (strcmp(given, EARLY) == 0)
			return settle_matrix_period(DATEVAL_NOBEGIN);

		year = strtol(given, &rest, 10);
		month = -strtol(rest, &rest, 10);
		day = -strtol(rest, &rest, 10);
		if (strcmp(rest, " BC") == 0)
			year = 1 - year;
		if (year >= JULIAN_MINYEAR && year < JULIAN_MAXYEAR && month >= 1 && month <= MONTHS_PER_YEAR && day >= 1 && day <= 31 &&
			IS_VALID_JULIAN(year, month, day))
		{
			period = settle_matrix_period(date2j(year, month, day) - POSTGRES_EPOCH_JDATE);
			if (IS_VALID_DATE(settle_matrix_date(period)))
			{
				print_period(period, again);
				if (strcmp(given, again) == 0)
					return period;
			}
		}
	}
	skip_space(&before);
	bad_text(&before, "a date such as \"2025-01-31\"");
}

/*
 * Takes the paths.
 */
static void
take_paths(Reader *reader, Draft *draft)
{
	expect(reader, '[');
	if (take(reader, ']'))
		return;
	do
	{
		Size		len;
		const char *text;

		CHECK_FOR_INTERRUPTS();
		text = take_string(reader, &len);
		draft_path(draft, text, len);
	} while (take(reader, ','));
	expect(reader, ']');
}

/*
 * Takes the cells.
 */
static void
take_cells(Reader *reader, Draft *draft)
{
	expect(reader, '[');
	if (take(reader, ']'))
		return;
	do
	{
		MatrixKey	key;
		uint32		cell;

		CHECK_FOR_INTERRUPTS();
		expect(reader, '[');
		key.project = take_null(reader) ? MATRIX_NO_PATH : draft_place(draft, take_count(reader));
		expect(reader, ',');
		key.region = take_null(reader) ? MATRIX_NO_PATH : draft_place(draft, take_count(reader));
		expect(reader, ',');
		key.period = take_null(reader) ? MATRIX_NO_PERIOD : take_period(reader);
		expect(reader, ',');
		cell = draft_cell(draft, key, take_count(reader));
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
		{
			expect(reader, ',');
			if (!take_null(reader))
			{
				Size		len;
				const char *text = take_string(reader, &len);
				SettleDec	amount = settle_dec_in(text, len);

				settle_matrix_add_amount(&draft->edit, cell, sum, &amount);
			}
		}
		expect(reader, ']');
	} while (take(reader, ','));
	expect(reader, ']');
}

/*
 * Passes over an array, to read it later.
 */
static void
skip_array(Reader *reader)
{
	int64		depth = 1;
	Size		len;

	expect(reader, '[');
	while (depth > 0)
	{
		if (*reader->at == '\0')
			bad_text(reader, "\"]\"");
		if (*reader->at == '"')
			take_string(reader, &len);
		else
		{
			depth += *reader->at == '[' ? 1 : *reader->at == ']' ? -1 : 0;
			reader->at++;
		}
	}
}

/*
 * Reads the text form.
 *
 * settle.matrix_in(cstring) -> settle.matrix
 */
Datum
settle_matrix_in(PG_FUNCTION_ARGS)
{
	Draft		draft = start_draft(ERRCODE_INVALID_TEXT_REPRESENTATION);
	Reader		reader;
	Reader		cells = {NULL, NULL};
	bool		have_paths = false;

	/* members come in any order, but a cell is understood only when the paths are known */
	reader.text = reader.at = PG_GETARG_CSTRING(0);
	expect(&reader, '{');
	for (int member = 0; member < 2; member++)
	{
		Reader		name;
		Size		len;
		const char *text;

		if (member > 0)
			expect(&reader, ',');
		skip_space(&reader);
		name = reader;
		text = take_string(&reader, &len);
		expect(&reader, ':');
		if (!have_paths && len == strlen("paths") && strncmp(text, "paths", len) == 0)
		{
			take_paths(&reader, &draft);
			have_paths = true;
		}
		else if (cells.at == NULL && len == strlen("cells") && strncmp(text, "cells", len) == 0)
		{
			cells = reader;
			skip_array(&reader);
		}
		else
			bad_text(&name, have_paths ? "\"cells\"" : cells.at ? "\"paths\"" : "\"paths\" or \"cells\"");
	}
	expect(&reader, '}');
	skip_space(&reader);
	if (*reader.at != '\0')
		bad_text(&reader, "the end");

	take_cells(&cells, &draft);
	PG_RETURN_POINTER(finish_draft(&draft));
}

/*
 * Prints a path as ltree does.
 */
static void
print_path(StringInfo text, const ltree *path)
{
	const ltree_level *level = LTREE_FIRST(path);

	for (int i = 0; i < path->numlevel; i++)
	{
		if (i > 0)
			appendStringInfoChar(text, '.');
		appendBinaryStringInfo(text, level->name, level->len);
		level = LEVEL_NEXT(level);
	}
}

/*
 * Gives a matrix that comes from outside, sorted.
 */
static SettleMatrix *
sorted_argument(Datum value)
{
	SettleMatrix *matrix = settle_matrix_arg(value);

	return matrix->sorted ? matrix : settle_matrix_sort(matrix);
}

/*
 * Prints a matrix.
 *
 * settle.matrix_out(settle.matrix) -> cstring
 */
Datum
settle_matrix_out(PG_FUNCTION_ARGS)
{
	SettleMatrix *matrix = sorted_argument(PG_GETARG_DATUM(0));
	const MatrixCell *cell = settle_matrix_cells(matrix);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"paths\": [");
	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		appendStringInfoString(&text, i > 0 ? ", \"" : "\"");
		print_path(&text, settle_matrix_path(matrix, i));
		appendStringInfoChar(&text, '"');
	}
	appendStringInfoString(&text, "], \"cells\": [");
	for (uint32 i = 0; i < matrix->ncells; i++, cell++)
	{
		char		period[MAXDATELEN + 1];

		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(&text, i > 0 ? ", [" : "[");
		if (cell->key.project == MATRIX_NO_PATH)
			appendStringInfoString(&text, "null, ");
		else
			appendStringInfo(&text, "%u, ", cell->key.project);
		if (cell->key.region == MATRIX_NO_PATH)
			appendStringInfoString(&text, "null, ");
		else
			appendStringInfo(&text, "%u, ", cell->key.region);
		if (cell->key.period == MATRIX_NO_PERIOD)
			appendStringInfoString(&text, "null, ");
		else
		{
			print_period(cell->key.period, period);
			appendStringInfo(&text, "\"%s\", ", period);
		}
		appendStringInfo(&text, INT64_FORMAT, cell->tickets);
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
		{
			SettleDec	amount;

			if (settle_matrix_sum(matrix, cell, sum, &amount))
			{
				char	   *digits = settle_dec_out(amount);

				appendStringInfo(&text, ", \"%s\"", digits);
				pfree(digits);
			}
			else
				appendStringInfoString(&text, ", null");
		}
		appendStringInfoChar(&text, ']');
	}
	appendStringInfoString(&text, "]}");
	PG_RETURN_CSTRING(text.data);
}

/*
 * Reads the binary form: version, the paths as counted strings, then for each
 * cell the places of its paths, its period, its tickets and its sums, each sum
 * as numeric sends itself with its length before it, -1 for null.
 *
 * settle.matrix_recv(internal) -> settle.matrix
 */
Datum
settle_matrix_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	Draft		draft = start_draft(ERRCODE_INVALID_BINARY_REPRESENTATION);
	int			version = pq_getmsgint(message, 1);
	uint32		npaths;
	uint32		ncells;

	if (version != MATRIX_WIRE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported version %d of the binary form of settle.matrix", version)));

	/* a false count runs into the end of the message, nothing is allocated by it */
	npaths = pq_getmsgint(message, 4);
	for (uint32 i = 0; i < npaths; i++)
	{
		int			len = pq_getmsgint(message, 4);
		int			nbytes;
		char	   *text;

		CHECK_FOR_INTERRUPTS();
		if (len < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("path %u of a value of type settle.matrix has length %d", i, len)));
		text = pq_getmsgtext(message, len, &nbytes);
		draft_path(&draft, text, nbytes);
		pfree(text);
	}

	ncells = pq_getmsgint(message, 4);
	for (uint32 i = 0; i < ncells; i++)
	{
		MatrixKey	key;
		uint32		cell;

		CHECK_FOR_INTERRUPTS();
		key.project = pq_getmsgint(message, 4);
		if (key.project != MATRIX_NO_PATH)
			key.project = draft_place(&draft, key.project);
		key.region = pq_getmsgint(message, 4);
		if (key.region != MATRIX_NO_PATH)
			key.region = draft_place(&draft, key.region);
		key.period = pq_getmsgint(message, 4);
		if (!settle_matrix_period_is_valid(key.period))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("cell of a value of type settle.matrix has a period that is no date")));
		cell = draft_cell(&draft, key, pq_getmsgint64(message));
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
		{
			int			len = pq_getmsgint(message, 4);
			StringInfoData number;
			SettleDec	amount;

			if (len == -1)
				continue;
			initStringInfo(&number);
			appendBinaryStringInfo(&number, pq_getmsgbytes(message, len), len);
			amount = settle_matrix_amount(DatumGetNumeric(DirectFunctionCall3(numeric_recv, PointerGetDatum(&number),
																			  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
			pq_getmsgend(&number);
			settle_matrix_add_amount(&draft.edit, cell, sum, &amount);
			pfree(number.data);
		}
	}
	PG_RETURN_POINTER(finish_draft(&draft));
}

/*
 * Sends the binary form.
 *
 * settle.matrix_send(settle.matrix) -> bytea
 */
Datum
settle_matrix_send(PG_FUNCTION_ARGS)
{
	SettleMatrix *matrix = sorted_argument(PG_GETARG_DATUM(0));
	const MatrixCell *cell = settle_matrix_cells(matrix);
	StringInfoData message;
	StringInfoData path;

	pq_begintypsend(&message);
	pq_sendint8(&message, MATRIX_WIRE_VERSION);
	pq_sendint32(&message, matrix->npaths);
	initStringInfo(&path);
	for (uint32 i = 0; i < matrix->npaths; i++)
	{
		resetStringInfo(&path);
		print_path(&path, settle_matrix_path(matrix, i));
		pq_sendcountedtext(&message, path.data, path.len, false);
	}
	pq_sendint32(&message, matrix->ncells);
	for (uint32 i = 0; i < matrix->ncells; i++, cell++)
	{
		CHECK_FOR_INTERRUPTS();
		pq_sendint32(&message, cell->key.project);
		pq_sendint32(&message, cell->key.region);
		pq_sendint32(&message, cell->key.period);
		pq_sendint64(&message, cell->tickets);
		for (int sum = 0; sum < MATRIX_SUMS; sum++)
		{
			SettleDec	amount;

			if (settle_matrix_sum(matrix, cell, sum, &amount))
			{
				Numeric		number = settle_dec_to_numeric(amount);
				bytea	   *sent = DatumGetByteaP(DirectFunctionCall1(numeric_send, NumericGetDatum(number)));

				pq_sendint32(&message, VARSIZE(sent) - VARHDRSZ);
				pq_sendbytes(&message, VARDATA(sent), VARSIZE(sent) - VARHDRSZ);
				pfree(sent);
				if (number != amount.wide)
					pfree(number);
			}
			else
				pq_sendint32(&message, -1);
		}
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
