/*
 * erased.c
 *		What arrives of somebody who was erased.
 *
 * It is used like anything else and then forgotten again, in the transaction
 * that brings it.  All rows of a batch are looked at, not only those that were
 * written: a stale payload and a duplicate have a body too.
 */
#include "connect/ingest.h"

#include "miscadmin.h"

/* Whose the rows of a table are, as <book>.erased has it. */
static const struct
{
	const char *entity;
	const char *subject;
}			subjects[] = {
	{"shop_order", "m.platform || ':order:' || m.order_no"},
	{"refund", "m.platform || ':order:' || m.order_no"},
	{"shop_payment", "m.platform || ':payment:' || m.payment_no"},
	{"shipment", "'parcel:' || m.tracking_no"},
	{"customer_identity", "m.subject"},
	{"person", "m.subject"},
	{"platform_ticket", "m.platform || ':ticket:' || m.ticket_no"},
	{"signal", "m.platform || ':order:' || m.order_no"},
};

static const char *
subject_of(const char *entity)
{
	for (int i = 0; i < lengthof(subjects); i++)
		if (strcmp(subjects[i].entity, entity) == 0)
			return subjects[i].subject;
	return NULL;
}

/*
 * Forgets what the rows of one table have brought.
 */
static void
forget_rows(Ingest *ingest, int entity_no, const char *subject)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	int			n = 0;

	for (int i = 0; i < ingest->batch.nrows; i++)
		if (ingest->batch.rows[i].part->entity_no == entity_no)
		{
			tuplestore_puttuple(store, ingest->batch.rows[i].tuple);
			n++;
		}
	settle_show_rows(ingest, "mapped", ingest->batch.mappings->descs[entity_no], store, n);
	if (n > 0)
		settle_book_execute(psprintf("SELECT settle._forget(%u::regnamespace, array_agg(e.subject), array_agg(m.staging_id)) "
									 "FROM mapped AS m JOIN %s.erased AS e ON e.subject = %s HAVING count(*) > 0",
									 ingest->book.schema, ingest->book.name, subject),
							0, NULL, NULL, NULL, SPI_OK_SELECT);
	settle_hide_rows("mapped", store);
}

/*
 * Forgets what a batch has brought of those who were erased.
 */
void
settle_forget_erased(Ingest *ingest)
{
	if (settle_book_execute(psprintf("SELECT FROM %s.erased LIMIT 1", ingest->book.name), 0, NULL, NULL, NULL, SPI_OK_SELECT) == 0)
		return;
	for (int i = 0; i < settle_nentities; i++)
		if (ingest->batch.mappings->descs[i] != NULL && subject_of(settle_entities[i].name) != NULL)
			forget_rows(ingest, i, subject_of(settle_entities[i].name));
}
