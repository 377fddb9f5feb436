-- One ticket with as much on it as there is: an installation by an own
-- technician, in a hurry, at night, for a member, in Beijing.
SELECT ticket_id FROM chain.ticket
WHERE project <@ 'install' AND worker IS NOT NULL AND rework_of IS NULL AND done_at IS NOT NULL
ORDER BY rush::int + night::int + (level = 'diamond')::int + 2 * (region <@ 'cn.north.beijing')::int DESC, ticket_id
LIMIT 1 \gset
SELECT ticket_id, done_at, project, region, channel, level, worker, amount FROM chain.ticket WHERE ticket_id = :'ticket_id';
SELECT * FROM settle.explain('chain', 'ticket', :'ticket_id');
