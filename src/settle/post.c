/*
 * post.c
 *		What each ticket of a batch is to become: the difference between what the
 *		rules say now and what is posted, drafted as sheets.
 *
 * A sheet is never changed: what is posted for a ticket is the sum of its
 * revisions.  Where only lines or figures differ, one further revision holds
 * the difference; where the ticket moved to another project, region, channel,
 * currency or period of its own, one takes all back where it stood and one posts it anew.
 */
#include "settle/post.h"

#include "miscadmin.h"

Draft *
settle_new_draft(Drafts *drafts)
{
	Draft	   *draft;

	if (drafts->n == drafts->space)
	{
		drafts->space = Max(1024, drafts->space * 2);
		drafts->items = drafts->items == NULL
			? MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Draft) * drafts->space)
			: repalloc_huge(drafts->items, sizeof(Draft) * drafts->space);
	}
	draft = &drafts->items[drafts->n++];
	memset(draft, 0, sizeof(*draft));
	return draft;
}

void
settle_add_draft_line(Draft *draft, const RunLine *line)
{
	draft->lines = settle_grow(draft->lines, draft->nlines, &draft->space, sizeof(RunLine));
	draft->lines[draft->nlines++] = *line;
}

void
settle_negate_line(RunLine *line)
{
	line->base = settle_dec_neg(line->base);
	line->quantity = settle_dec_neg(line->quantity);
	line->amount = settle_dec_neg(line->amount);
	line->count = -line->count;
}

static void
add_reversal(Draft *draft, const RunLine *posted)
{
	RunLine		line = *posted;

	settle_negate_line(&line);
	if (line.by_posting)
	{
		line.tally_period = posted->back_period;
		line.amount = posted->back_amount;
	}
	settle_add_draft_line(draft, &line);
}

static bool
same_value(const struct varlena *a, const struct varlena *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/*
 * What of the payout stays though a line is taken back: by posting time it may
 * go at another price than it came.
 */
static SettleDec
payout_left(Run *run, const RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	SettleDec	left = settle_dec_int(0);
	ListCell   *lc;

	foreach(lc, posted->gone)
		left = settle_dec_add(left, settle_payout_of(run, source, lfirst(lc), 1, posted->currency));
	for (int i = 0; i < posted->nlines; i++)
	{
		RunLine		line = posted->lines[i];

		if (!line.by_posting || settle_stays(ticket, &posted->lines[i]))
			continue;
		line.amount = settle_dec_add(line.amount, line.back_amount);
		left = settle_dec_add(left, settle_payout_of(run, source, &line, 1, posted->currency));
	}
	return left;
}

/*
 * Drafts what takes a settled ticket back where it stands.
 */
static Draft *
draft_withdrawal(Run *run, Drafts *drafts, RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	Draft	   *draft = settle_new_draft(drafts);

	draft->key = posted->key;
	draft->source_id = source->id;
	draft->revision = posted->revision + 1;
	draft->ticket_time = posted->ticket_time;
	draft->own_period = posted->period;
	draft->ticket = ticket;
	draft->project = posted->project;
	draft->region = posted->region;
	draft->channel = posted->channel;
	draft->currency = posted->currency;
	draft->revenue = settle_dec_neg(posted->revenue);
	draft->cost = settle_dec_neg(posted->cost);
	draft->payout = settle_dec_sub(payout_left(run, source, ticket), posted->payout);
	draft->tickets = -posted->tickets;
	for (int i = 0; i < posted->nlines; i++)
		add_reversal(draft, &posted->lines[i]);
	return draft;
}

static Draft *
draft_ticket(Drafts *drafts, RunSource *source, const RunTicket *ticket, int revision)
{
	Draft	   *draft = settle_new_draft(drafts);

	draft->key = ticket->key;
	draft->source_id = source->id;
	draft->revision = revision;
	draft->ticket_time = ticket->ticket_time;
	draft->own_period = ticket->period;
	draft->ticket = ticket;
	draft->project = ticket->project;
	draft->region = ticket->region;
	draft->channel = ticket->channel;
	draft->currency = ticket->currency;
	draft->inputs = ticket->inputs;
	draft->revenue = ticket->revenue;
	draft->cost = ticket->cost;
	draft->tickets = 1;
	return draft;
}

/*
 * Tells whether a settled ticket stands somewhere else than what is posted for it.
 */
static bool
has_moved(const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;

	return posted->period != ticket->period || !same_value(posted->project, ticket->project) ||
		!same_value(posted->region, ticket->region) || !same_value(posted->channel, ticket->channel) || strcmp(posted->currency, ticket->currency) != 0;
}

/*
 * Tells whether a line says nothing: where what was posted for it has been
 * taken back, it is as if it had never been there.
 */
static bool
is_void(const RunLine *line)
{
	return !line->in_tally && settle_dec_sign(line->base) == 0 && settle_dec_sign(line->amount) == 0;
}

/*
 * Tells whether a settled ticket is to become anything else than what is
 * posted: known before its lines are priced in their tallies, since a line
 * that says the same keeps its amount.
 */
static bool
has_changed(Run *run, const RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	bool	   *matched;

	if (has_moved(ticket) || settle_dec_cmp(ticket->revenue, posted->revenue) != 0 || settle_dec_cmp(ticket->cost, posted->cost) != 0)
		return true;
	matched = palloc0(sizeof(bool) * Max(posted->nlines, 1));
	for (int i = 0; i < ticket->nlines; i++)
	{
		int			k = 0;

		while (k < posted->nlines && (matched[k] || !settle_same_line(&ticket->lines[i], &posted->lines[k])))
			k++;
		if (k < posted->nlines)
			matched[k] = true;
		else if (!is_void(&ticket->lines[i]))
			return true;
	}
	for (int k = 0; k < posted->nlines; k++)
		if (!matched[k] && !is_void(&posted->lines[k]))
			return true;
	/* the same lines may count otherwise: a party's side, what is tax */
	return settle_dec_cmp(posted->payout, settle_dec_add(payout_left(run, source, ticket),
														 settle_payout_of(run, source, posted->lines, posted->nlines, posted->currency))) != 0;
}

/*
 * Drafts the difference between a settled ticket and what the rules say now;
 * none where there is none.
 */
static void
draft_correction(Run *run, Drafts *drafts, RunSource *source, const RunTicket *ticket)
{
	const Posted *posted = ticket->posted;
	bool	   *matched = palloc0(sizeof(bool) * Max(posted->nlines, 1));
	SettleDec	payout = settle_payout_of(run, source, ticket->lines, ticket->nlines, ticket->currency);
	Draft	   *draft;

	if (posted->tickets == 1 && has_moved(ticket))
	{
		draft_withdrawal(run, drafts, source, ticket);
		draft = draft_ticket(drafts, source, ticket, posted->revision + 2);
		draft->payout = payout;
		draft->lines = ticket->lines;
		draft->nlines = draft->space = ticket->nlines;
		return;
	}

	draft = draft_ticket(drafts, source, ticket, posted->revision + 1);
	draft->revenue = settle_dec_sub(ticket->revenue, posted->revenue);
	draft->cost = settle_dec_sub(ticket->cost, posted->cost);
	draft->payout = settle_dec_sub(settle_dec_add(payout, payout_left(run, source, ticket)), posted->payout);
	draft->tickets = 1 - posted->tickets;
	for (int i = 0; i < ticket->nlines; i++)
	{
		RunLine		line = ticket->lines[i];
		bool		unchanged = false;

		for (int k = 0; k < posted->nlines; k++)
		{
			const RunLine *old = &posted->lines[k];

			if (matched[k] || !settle_same_transfer(&line, old))
				continue;
			unchanged = settle_same_line(&line, old);
			/* by posting time the two are priced in tallies of their own */
			if (line.by_posting && !unchanged)
				continue;
			matched[k] = true;
			line.base = settle_dec_sub(line.base, old->base);
			line.quantity = settle_dec_sub(line.quantity, old->quantity);
			line.amount = settle_dec_sub(line.amount, old->amount);
			line.count -= old->count;
			break;
		}
		if (!unchanged && !is_void(&line))
			settle_add_draft_line(draft, &line);
	}
	for (int k = 0; k < posted->nlines; k++)
		if (!matched[k] && !is_void(&posted->lines[k]))
			add_reversal(draft, &posted->lines[k]);
	if (draft->nlines == 0 && draft->tickets == 0 && settle_dec_sign(draft->revenue) == 0 &&
		settle_dec_sign(draft->cost) == 0 && settle_dec_sign(draft->payout) == 0)
		drafts->n--;
}

void
settle_post_batch(Run *run, RunSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(run->batch_context);
	Drafts		drafts = {0};
	RunTicket **moving = palloc(sizeof(RunTicket *) * Max(run->ntickets, 1));
	int			nmoving = 0;
	KeyList		solved = {0};
	KeyList		paid = {0};
	KeyList		unpaid = {0};
	KeyList		waiting = {0};
	KeyList		arrived = {0};
	KeyList		held = {0};
	KeyList		freed = {0};

	if (run->at_commit)
		settle_lock_orders(run, source);
	settle_load_posted(run, source);
	settle_check_keys(run, source);
	if (run->plan == NULL)
		settle_sort_out_repeats(run, source);
	settle_intern_parties(run, source);
	settle_number_lines(run, source);
	settle_load_held(run, source);
	settle_check_fx(run, source);

	settle_ask_states(run, source, &solved, &paid, &arrived);

	/* what each ticket is to become */
	for (int i = 0; i < run->ntickets; i++)
	{
		RunTicket  *ticket = &run->tickets[i];
		bool		settled = ticket->posted != NULL && ticket->posted->tickets == 1;
		bool		moves = false;

		CHECK_FOR_INTERRUPTS();
		switch (ticket->state)
		{
			case TICKET_PRICED:
				settle_add_key(&solved, ticket->key, 0);
				settle_add_key(&arrived, ticket->key, 0);
				if (ticket->nlines > 0 || settle_is_repeat(ticket))
					settle_add_key(&paid, ticket->key, 0);
				else if (!source->is_period)
					settle_add_ticket(&unpaid, ticket);
				moves = settled ? ticket->nlines == 0 || has_changed(run, source, ticket) : ticket->nlines > 0;
				break;
			case TICKET_NOT_READY:
			case TICKET_WAITING:
				settle_add_key(&solved, ticket->key, 0);
				settle_add_key(&paid, ticket->key, 0);
				settle_add_key(ticket->state == TICKET_WAITING ? &waiting : &arrived, ticket->key, ticket->ready_at);
				moves = settled;
				break;
			case TICKET_VANISHED:
				if (settled && source->on_delete != 'i' && (source->on_delete == 'h' || run->hold_vanished))
				{
					settle_note_failure(run, source, ticket, NULL, ERRCODE_SETTLE_VANISHED,
								 psprintf("ticket \"%s\" is settled and has no row any more", ticket->key),
								 !run->hold_vanished ? NULL : source->is_captured
								 ? "No DELETE was noted: it went with a TRUNCATE or a partition, or while its trigger did not fire."
								 : "Too many tickets are missing at once to be cancellations.",
								 "Write the row again; to take the money back set on_delete of the source to reverse and delete the row then.");
					run->held++;
				}
				else
				{
					if (ticket->reversed)
						settle_note_failure(run, source, ticket, "reverses", ERRCODE_SETTLE_REVERSAL,
											psprintf("a row takes back ticket \"%s\", which is not there", ticket->key), NULL,
											"It is settled as soon as the ticket comes.");
					else
						settle_add_key(&solved, ticket->key, 0);
					moves = settled && source->on_delete == 'r';
				}
				settle_add_key(&paid, ticket->key, 0);
				settle_add_key(&arrived, ticket->key, 0);
				break;
			case TICKET_FAILED:
				settle_note_failure(run, source, ticket, ticket->failing, ticket->error->sqlerrcode,
							 ticket->error->message, ticket->error->detail, ticket->error->hint);
				break;
			case TICKET_REPEATED:
			case TICKET_AGAIN:
				break;
		}
		/* rows of a period follow from tickets whose corrections were let go */
		if (moves && ticket->posted != NULL && !source->is_period && settle_brake_holds(run, ticket))
		{
			settle_add_key(&held, ticket->key, 0);
			run->held++;
			moves = false;
		}
		else if (ticket->hold != HOLD_NONE && ticket->state != TICKET_FAILED && ticket->state != TICKET_REPEATED && ticket->state != TICKET_AGAIN)
			settle_add_key(&freed, ticket->key, 0);
		if (run->plan != NULL && ticket->posted != NULL)
			settle_plan_posted(run, ticket);
		if (moves)
			moving[nmoving++] = ticket;
	}

	settle_price_tallies(run, source, moving, nmoving);
	for (int i = 0; i < nmoving; i++)
	{
		RunTicket  *ticket = moving[i];
		int			before = drafts.n;

		CHECK_FOR_INTERRUPTS();
		if (ticket->nlines == 0)
			draft_withdrawal(run, &drafts, source, ticket);
		else if (ticket->posted != NULL)
			draft_correction(run, &drafts, source, ticket);
		else
		{
			Draft	   *draft = draft_ticket(&drafts, source, ticket, 1);

			draft->payout = settle_payout_of(run, source, ticket->lines, ticket->nlines, ticket->currency);
			draft->lines = ticket->lines;
			draft->nlines = draft->space = ticket->nlines;
		}
		settle_draft_fx(run, &drafts, source, ticket, before);
		if (drafts.n > before)
		{
			run->settled++;
			run->corrections += ticket->posted != NULL;
		}
	}
	settle_write_drafts(run, &drafts);
	if (run->plan == NULL)
	{
		settle_note_states(run, source, &solved, &paid, &unpaid, &waiting, &arrived);
		settle_note_repeats(run, source);
		settle_note_held(run, source, &held, &freed);
	}
	MemoryContextSwitchTo(old);
}
