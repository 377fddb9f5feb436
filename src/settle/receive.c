/*
 * receive.c
 *		Takes the rows of a query from the executor as they come.
 *
 * SPI would copy each row into a table of tuples, from which it is taken apart
 * again.  Here whoever asks sees the executor's own row.  It is gone when he
 * returns: what must stay is gathered, values apart, in memory that the next
 * rows take.
 *
 * The portal is kept between two calls, so that whoever has taken some rows may
 * write before he takes more.
 */
#include "settle/receive.h"

#include "executor/executor.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"

typedef struct Receiver
{
	DestReceiver dest;			/* must be first */
	SettleTakeRow take;
	void	   *arg;
} Receiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *dest)
{
	Receiver   *receiver = (Receiver *) dest;

	slot_getallattrs(slot);
	receiver->take(receiver->arg, slot->tts_values, slot->tts_isnull);
	return true;
}

static void
begin_rows(DestReceiver *dest, int operation, TupleDesc desc)
{
}

static void
end_rows(DestReceiver *dest)
{
}

int64
settle_receive(Portal portal, int64 most, SettleTakeRow take, void *arg)
{
	Receiver	receiver = {{receive_row, begin_rows, end_rows, end_rows, DestNone}, take, arg};

	return (int64) PortalRunFetch(portal, FETCH_FORWARD, (long) most, &receiver.dest);
}

SettleRows *
settle_rows_make(TupleDesc desc, int space)
{
	SettleRows *rows = palloc0(sizeof(SettleRows));

	rows->desc = desc;
	rows->space = space;
	rows->values = palloc(sizeof(Datum *) * space);
	rows->nulls = palloc(sizeof(bool *) * space);
	rows->context = AllocSetContextCreate(CurrentMemoryContext, "scrm_settle rows", ALLOCSET_DEFAULT_SIZES);
	return rows;
}

void
settle_rows_empty(SettleRows *rows)
{
	MemoryContextReset(rows->context);
	rows->n = 0;
}

/*
 * Tells whether a value is an object in memory that only its own methods copy.
 */
static inline bool
is_expanded(Datum value, int16 length)
{
	return length == -1 && VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value));
}

/*
 * Copies a row: one piece of memory holds its values, which of them are null,
 * and what they point to.
 */
void
settle_rows_gather(void *arg, Datum *values, bool *nulls)
{
	SettleRows *rows = arg;
	int			natts = rows->desc->natts;
	Size		front = MAXALIGN((sizeof(Datum) + sizeof(bool)) * natts);
	Size		size = front;
	Datum	   *copy;
	char	   *at;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(rows->desc, i);

		if (!nulls[i] && !a->attbyval && !is_expanded(values[i], a->attlen))
			size += MAXALIGN(datumGetSize(values[i], false, a->attlen));
	}
	copy = MemoryContextAlloc(rows->context, size);
	at = (char *) copy + front;
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(rows->desc, i);
		Size		length;

		if (nulls[i])
			copy[i] = (Datum) 0;
		else if (a->attbyval)
			copy[i] = values[i];
		else if (is_expanded(values[i], a->attlen))
		{
			MemoryContext old = MemoryContextSwitchTo(rows->context);

			copy[i] = datumCopy(values[i], false, a->attlen);
			MemoryContextSwitchTo(old);
		}
		else
		{
			length = datumGetSize(values[i], false, a->attlen);
			copy[i] = PointerGetDatum(memcpy(at, DatumGetPointer(values[i]), length));
			at += MAXALIGN(length);
		}
	}
	rows->values[rows->n] = copy;
	rows->nulls[rows->n] = memcpy(copy + natts, nulls, sizeof(bool) * natts);
	rows->n++;
}
