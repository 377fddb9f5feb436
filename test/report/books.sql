-- Books that the page must cope with: the demo's chain in small, of which two
-- months are closed and one ticket was corrected since, and three more.
\set ON_ERROR_STOP 1
\set QUIET 1
SET client_min_messages = warning;
CREATE EXTENSION scrm_settle CASCADE;
\o /dev/null
\set tickets 6000
\ir ../demo/shop.sql
\ir ../demo/book.sql
\ir ../demo/tickets.sql
CALL settle.run_all('chain');
\ir ../demo/close.sql
\o /dev/null
\ir ../demo/correct.sql
\o /dev/null

-- Many: a thousand projects side by side in all provinces, one ticket each.
SELECT settle.create_book('wide');
SELECT settle.add_rule('wide', 'share', 'share', 'hq', 'staff:{worker}', base => 'amount', tiers => '40%');
INSERT INTO wide.ticket (ticket_id, done_at, project, region, worker, amount)
SELECT format('W%s-%s', p, r), '2025-11-05', format('p%s', to_char(p, 'FM0000'))::ltree, format('r%s', to_char(r, 'FM00'))::ltree, 'w' || p % 7, 100 + (p * 31 + r) % 997 + 0.01 * (r % 100)
FROM generate_series(1, 1000) AS p, generate_series(1, 31) AS r;
CALL settle.run_all('wide');

-- One: a single project and region, and names that would like to be HTML.
SELECT settle.create_book('one');
SELECT settle.add_rule('one', 'share', 'share', 'hq', 'staff:{worker}', base => 'amount', tiers => '10% to 1000, 20%', accumulate => 'month');
INSERT INTO one.ticket (ticket_id, done_at, project, region, worker, amount) VALUES
    ('<img src=x onerror="window.broken=1">', '2025-11-05', 'repair', 'cn', '<b>1</b>', 800.10),
    ('</script><script>window.broken=2</script>', '2025-11-06', 'repair', 'cn', $$'"&amp;{{data}}$&$$, 1234567890.99);
SELECT settle.set_label('one', 'project', 'repair', '<img src=x onerror="window.broken=3">');
SELECT settle.set_label('one', 'region', 'cn', '</script><script>window.broken=4</script>');
INSERT INTO one.alert (kind, object, message, level) VALUES
    ('<svg onload="window.broken=5">', '</td><script>window.broken=6</script>', 'javascript:window.broken=7 <!-- <a href=//x>', 'critical');
CALL settle.run_all('one');

-- None: no ticket yet.
SELECT settle.create_book('none');
\o
-- Whoever makes the page needs no more than to read.
CREATE ROLE page_reader LOGIN;
SELECT settle.grant_access(book, 'page_reader', 'reader') FROM unnest('{chain,wide,one,none}'::regnamespace[]) AS book \g /dev/null
