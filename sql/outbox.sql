-- What must go back to the platforms, and how far each was read.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off
\pset null -
SET timezone = 'Asia/Shanghai';
SELECT settle.create_book('outbox_test');
-- whoever changes something says what the platform must know
SELECT settle.send('outbox_test', 'youzan', 'address changed', 'E20251111001', '{"person": "P1"}', shop => 'hz');
SELECT settle.send('outbox_test', 'youzan', 'ticket done', 'E20251111001', '{"ticket": "T1"}', shop => 'hz', key => 'T1 done');
SELECT settle.send('outbox_test', 'youzan', 'ticket done', 'E20251111002', '{"ticket": "T2"}', shop => 'hz', key => 'T2 done');
-- said twice it is sent once; said otherwise it is refused
SELECT settle.send('outbox_test', 'youzan', 'ticket done', 'E20251111001', '{"ticket": "T1"}', shop => 'hz', key => 'T1 done');
SELECT settle.send('outbox_test', 'youzan', 'ticket done', 'E20251111001', '{"ticket": "T3"}', shop => 'hz', key => 'T1 done');
-- a connector takes what is due: of one order one message at a time
SELECT message_id, attempt, kind, object, payload, key FROM settle.take_outbox('outbox_test', 'youzan', 10);
SELECT message_id FROM settle.take_outbox('outbox_test', 'youzan', 10);
SELECT settle.done_outbox('outbox_test', '{1}');
SELECT settle.fail_outbox('outbox_test', 3, '429: too many calls', attempt => 1);
SELECT message_id, attempt, kind, object FROM settle.take_outbox('outbox_test', 'youzan', 10);
SELECT message_id, kind, object, state, attempts, due_at > now() AS later, error FROM outbox_test.outbox ORDER BY message_id;
-- given up after as many attempts as the book says
UPDATE outbox_test.book SET outbox_attempts = 1;
SELECT settle.fail_outbox('outbox_test', 2, '404: no such order');
SELECT kind, object, message FROM outbox_test.alert;
SELECT settle.retry_outbox('outbox_test', '{2}');
SELECT message_id, attempt FROM settle.take_outbox('outbox_test', 'youzan', 10);

-- a shop is read from the day it opened, a day at a time, ten minutes twice
SELECT settle.set_watermark('outbox_test', 'youzan', 'hz', 'trades.sold', '2025-11-10 00:00+08', reason => 'the shop opens');
SELECT * FROM settle.next_window('outbox_test', 'youzan', 'hz', 'trades.sold');
SELECT settle.advance_watermark('outbox_test', 'youzan', 'hz', 'trades.sold', '2025-11-09 23:50+08', '2025-11-10 23:50+08', seen => '2025-11-10 23:47:11+08');
SELECT * FROM settle.next_window('outbox_test', 'youzan', 'hz', 'trades.sold');
-- a day on which nothing was sold
SELECT settle.advance_watermark('outbox_test', 'youzan', 'hz', 'trades.sold', '2025-11-10 23:37:11+08', '2025-11-11 23:37:11+08');
-- never backwards, never past what was fetched
SELECT settle.advance_watermark('outbox_test', 'youzan', 'hz', 'trades.sold', '2025-11-09 23:50+08', '2025-11-10 23:50+08');
SELECT settle.advance_watermark('outbox_test', 'youzan', 'hz', 'trades.sold', '2025-11-11 23:17:11+08', '2025-11-12 23:17:11+08', seen => '2025-11-13 00:00+08');
SELECT settle.advance_watermark('outbox_test', 'youzan', 'hz', 'trades.sold', '2025-11-12 00:00+08', '2025-11-12 23:17:11+08');
SET client_min_messages = warning;
DROP SCHEMA outbox_test CASCADE;
