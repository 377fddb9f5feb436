/*
 * line.c
 *		The lines of an order: what each costs, and whether they add up.
 *
 * Amounts are exact decimals here.  A platform that says nothing of what the
 * buyer owes for a line leaves it to its share of the order, by largest
 * remainder.
 */
#include "connect/connect.h"

#include "amount/amount.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/numeric.h"

static SettleDec
amount_of(const Element *element, Column column, bool *isnull)
{
	int			at = element->part->columns[column];

	*isnull = at < 0 || element->row_nulls[at];
	return settle_dec_from_numeric(*isnull ? DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(0))) : DatumGetNumeric(element->row[at]));
}

/* The discounts that concern one line, and that its price does not contain. */
typedef struct Discount
{
	char		line_no[512];
	SettleDec	amount;
} Discount;

static HTAB *
discounts_of_lines(List *within)
{
	HASHCTL		control = {.keysize = sizeof(((Discount *) NULL)->line_no), .entrysize = sizeof(Discount), .hcxt = CurrentMemoryContext};
	HTAB	   *discounts = NULL;
	ListCell   *cell;

	foreach(cell, within)
	{
		const Element *promotion = lfirst(cell);
		const int  *columns = promotion->part->columns;
		Discount   *discount;
		bool		found;
		bool		isnull;

		if (!promotion->part->is_promotion || promotion->row_nulls[columns[COLUMN_LINE_NO]] ||
			(!promotion->row_nulls[columns[COLUMN_IN_PRICE]] && DatumGetBool(promotion->row[columns[COLUMN_IN_PRICE]])))
			continue;
		if (discounts == NULL)
			discounts = hash_create("discounts of lines", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
		discount = hash_search(discounts, TextDatumGetCString(promotion->row[columns[COLUMN_LINE_NO]]), HASH_ENTER, &found);
		if (!found)
			discount->amount = settle_dec_in("0", 1);
		discount->amount = settle_dec_add(discount->amount, amount_of(promotion, COLUMN_AMOUNT, &isnull));
	}
	return discounts;
}

/*
 * Gives every line its share of what the order cost without freight, where the
 * platform says nothing of it: by largest remainder, weighted by what the lines
 * would have cost alone after their own discounts.
 */
static void
allocate_lines(Element *order, List *within, SettleDec goods)
{
	int			n = list_length(order->lines);
	SettleDec  *weights = palloc(sizeof(SettleDec) * n);
	SettleDec  *parts = palloc(sizeof(SettleDec) * n);
	HTAB	   *discounts = discounts_of_lines(within);
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		Element    *line = list_nth(order->lines, i);
		int			weight = line->part->weight;

		weights[i] = settle_dec_from_numeric(weight < 0 || line->nulls[weight] ? DatumGetNumeric(DirectFunctionCall1(int4_numeric, Int32GetDatum(0)))
											 : DatumGetNumeric(line->values[weight]));
		if (discounts != NULL)
		{
			Discount   *discount = hash_search(discounts, TextDatumGetCString(line->row[line->part->columns[COLUMN_LINE_NO]]), HASH_FIND, NULL);

			if (discount != NULL)
				weights[i] = settle_dec_sub(weights[i], discount->amount);
		}
		if (settle_dec_sign(weights[i]) < 0)
			return;
		any |= settle_dec_sign(weights[i]) > 0;
	}
	if (!any)
		return;
	settle_allocate_parts(goods, weights, n, settle_dec_in("0.01", 4), parts);
	for (int i = 0; i < n; i++)
	{
		Element    *line = list_nth(order->lines, i);

		settle_set_column(line, COLUMN_LINE_PAID, NumericGetDatum(settle_dec_to_numeric(parts[i])));
		settle_set_column(line, COLUMN_ALLOCATED, BoolGetDatum(true));
	}
}

/*
 * Compares an order with its lines; what does not add up is flagged.
 */
void
settle_check_lines(Element *order, List *within)
{
	bool		isnull;
	bool		no_freight;
	SettleDec	payable;
	SettleDec	goods;
	SettleDec	difference;
	SettleDec	tolerance;
	int			n = list_length(order->lines);
	int			missing_lines = 0;
	char	   *cents = psprintf("%d.%02d", n / 100, n % 100);
	ListCell   *cell;

	if (n == 0)
		return;
	payable = amount_of(order, COLUMN_PAYABLE, &isnull);
	if (isnull)
		return;
	goods = settle_dec_sub(payable, amount_of(order, COLUMN_FREIGHT, &no_freight));
	tolerance = settle_dec_in(cents, strlen(cents));
	difference = goods;
	foreach(cell, order->lines)
	{
		SettleDec	paid = amount_of(lfirst(cell), COLUMN_LINE_PAID, &isnull);

		missing_lines += isnull;
		difference = settle_dec_sub(difference, paid);
	}
	if (missing_lines == n && settle_dec_sign(goods) >= 0)
		allocate_lines(order, within, goods);
	else if (missing_lines == 0)
	{
		if (settle_dec_sign(difference) < 0)
			difference = settle_dec_neg(difference);
		if (settle_dec_cmp(difference, tolerance) > 0)
			settle_add_flag(&order->flags, "amount_mismatch");
	}
}

/*
 * Tells lines apart that have no number of their own: where a product stands in
 * an order twice, the second line is called after it with #2, or the next number
 * that no line before it has.
 */
void
settle_tell_lines_apart(Element *order)
{
	HASHCTL		control = {.keysize = 512, .entrysize = 512 + sizeof(int), .hcxt = CurrentMemoryContext};
	HTAB	   *seen;
	ListCell   *cell;

	if (list_length(order->lines) < 2)
		return;
	seen = hash_create("lines of an order", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	foreach(cell, order->lines)
	{
		Element    *line = lfirst(cell);
		Datum	   *line_no = &line->row[line->part->columns[COLUMN_LINE_NO]];
		char	   *first = TextDatumGetCString(*line_no);
		char	   *name = first;
		int		   *times = NULL;	/* how many lines are called after the first of the name */
		bool		found;

		for (;;)
		{
			char	   *entry = hash_search(seen, name, HASH_ENTER, &found);

			if (!found)
				*(int *) (entry + 512) = 1;
			if (times == NULL)
				times = (int *) (entry + 512);
			if (!found)
				break;
			name = psprintf("%.480s#%d", first, ++*times);
		}
		if (name != first)
			*line_no = CStringGetTextDatum(name);
	}
	hash_destroy(seen);
}
