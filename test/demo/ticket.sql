-- One ticket with much on it: a member's installation in Beijing, at night and
-- in a hurry.
SELECT ticket_id FROM chain.ticket
WHERE region <@ 'cn.north.beijing' AND project <@ 'install' AND rush AND night AND level = 'diamond'
  AND dealer IS NULL AND rework_of IS NULL AND done_at IS NOT NULL
ORDER BY amount DESC LIMIT 1 \gset
SELECT ticket_id, done_at, project, region, channel, level, worker, amount FROM chain.ticket WHERE ticket_id = :'ticket_id';
SELECT * FROM settle.explain('chain', 'ticket', :'ticket_id');
