-- October's ticket with the most lines, for paint: what it says, then its explanation.
SELECT ticket_key AS key FROM chain.line_detail WHERE period = '2025-10-01'
GROUP BY ticket_key ORDER BY count(*) DESC, ticket_key DESC LIMIT 1 \gset
SELECT 'about', ticket_id, done_at, project.names, region.names, to_char(amount, 'FM999,990.00') || ' ' || book.currency,
       concat_ws(', ', 'channel ' || channel, 'level ' || level, 'worker ' || worker, 'helper ' || (details ->> 'helper'),
                 'dealer ' || dealer, CASE WHEN rush THEN 'rush' END, CASE WHEN night THEN 'night' END)
FROM chain.ticket
CROSS JOIN chain.book
CROSS JOIN LATERAL (SELECT string_agg(name, ' ' ORDER BY number) FROM shop.project WHERE path @> ticket.project) project(names)
CROSS JOIN LATERAL (SELECT string_agg(name, ' ' ORDER BY number) FROM shop.region WHERE path @> ticket.region) region(names)
WHERE ticket_id = :'key';
SELECT kind, name, payer, payee, base, factor, amount, unit, detail FROM settle.explain('chain', 'ticket', :'key') ORDER BY step;
