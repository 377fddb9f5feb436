-- statements that parties have, by item
SELECT party, title, side, period, unit, state, kind, component, corrects_period, tickets, amount
FROM statement_detail
