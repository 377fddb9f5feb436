/*
 * fact.h
 *		Facts and rates of a book, as a set asks for them.
 */
#ifndef SETTLE_FACT_H
#define SETTLE_FACT_H

#include "book/book.h"

typedef struct SettleFacts SettleFacts;

/*
 * What is read of the facts of a book stays in the current memory context,
 * which must outlive all that is evaluated with the reader.  Evaluation then
 * runs between settle_book_enter and settle_book_leave.
 */
extern SettleFacts *settle_facts_open(const SettleBook *book);
extern SettleReader settle_facts_reader(SettleFacts *facts);

#endif							/* SETTLE_FACT_H */
