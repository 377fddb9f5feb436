-- Whatever happens over several periods, what is payable and what is left equals
-- the lines of every party: random tickets, late ones, changes, refunds,
-- disputes, approvals, payments, periods that are opened again.  A failing
-- round names its seed.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'Asia/Shanghai';
SELECT no_plan();
\if :{?seeds} \else \set seeds 4 \endif
\if :{?actions} \else \set actions 40 \endif
SELECT settle.create_book('luck') \g /dev/null
UPDATE luck.source SET on_delete = 'reverse' WHERE source = 'ticket';
UPDATE luck.approval_node SET not_submitter = false;
SELECT settle.add_rule('luck', 'wage', 'wage', 'hq', 'staff:{worker}', base => 'amount', tiers => '5% to 1000, 12.5%', accumulate => 'month', applies_when => 'amount > 0') \g /dev/null
SELECT settle.add_rule('luck', 'share', 'share', 'hq', 'staff:{worker}', base => 'amount', tiers => '3.3%', rounding => 'half_up 0.001', applies_when => 'rush') \g /dev/null
SELECT settle.add_rule('luck', 'fine', 'fine', 'staff:{worker}', 'hq', base => '-amount', applies_when => 'amount < 0') \g /dev/null
SELECT settle.add_rule('luck', 'tax', 'tax', 'staff:{worker}', 'tax:iit', base => 'amount', tiers => '1%', applies_when => 'amount > 0') \g /dev/null
SELECT settle.add_rule('luck', 'points', 'points', 'hq', 'staff:{worker}', base => 'amount', unit => 'POINTS', rounding => 'down 1', applies_when => 'rush AND amount > 0') \g /dev/null
CREATE FUNCTION pg_temp.luck(low int, high int) RETURNS int LANGUAGE sql VOLATILE RETURN low + floor(random() * (high - low + 1))::int;

-- one action; what is not allowed just now is refused and changes nothing
CREATE FUNCTION pg_temp.act(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s record;
    dice int := pg_temp.luck(1, 100);
BEGIN
    -- of the last two periods, in a state from which the action may lead
    SELECT * INTO s FROM luck.statement
    WHERE period >= (SELECT max(period) - 31 FROM luck.statement) AND state = ANY (CASE
        WHEN dice <= 72 THEN '{draft,rejected}' WHEN dice <= 80 THEN '{submitted}' WHEN dice <= 86 THEN '{approved}' WHEN dice <= 91 THEN '{submitted,approved}' ELSE '{draft,submitted,approved}' END::text[])
    ORDER BY random() LIMIT 1;
    IF dice <= 35 THEN
        INSERT INTO luck.ticket (ticket_id, done_at, project, region, worker, amount, rush)
        VALUES (md5(random()::text), greatest('2020-01-01', month + make_interval(days => pg_temp.luck(-40, 26))), 'a', 'b', pg_temp.luck(1, 5), pg_temp.luck(-200, 900) + pg_temp.luck(1, 99) / 100.0, random() < 0.3);
    ELSIF dice <= 45 THEN
        UPDATE luck.ticket SET amount = pg_temp.luck(-200, 900) + 0.5 WHERE ticket_id = (SELECT ticket_id FROM luck.ticket ORDER BY random() LIMIT 1);
    ELSIF dice <= 50 THEN
        UPDATE luck.ticket SET worker = pg_temp.luck(1, 5) WHERE ticket_id = (SELECT ticket_id FROM luck.ticket ORDER BY random() LIMIT 1);
    ELSIF dice <= 54 THEN
        DELETE FROM luck.ticket WHERE ticket_id = (SELECT ticket_id FROM luck.ticket ORDER BY random() LIMIT 1);
    ELSIF dice <= 60 THEN
        PERFORM settle.run('luck');
    ELSIF s IS NULL THEN
        RETURN;
    ELSIF dice <= 72 THEN
        PERFORM settle.submit_statement('luck', s.party, s.period, s.unit);
    ELSIF dice <= 80 THEN
        PERFORM settle.approve_statement('luck', s.party, s.period, s.unit);
    ELSIF dice <= 86 THEN
        UPDATE luck.party SET confirmed_at = now(), confirmed_by = 'somebody', entered_by = 'another', entered_at = now() WHERE party = s.party AND confirmed_at IS NULL;
        PERFORM settle.pay_statement('luck', s.party, s.period, s.unit);
    ELSIF dice <= 95 THEN
        PERFORM settle.dispute_statement('luck', s.party, s.period, s.unit, 'luck', l.source::name, l.ticket_key, CASE WHEN random() < 0.3 THEN l.component END)
        FROM (SELECT t.source, t.ticket_key, t.component FROM settle.trace_payout('luck', s.party, s.period, s.unit) AS t WHERE t.source = 'ticket'
            UNION ALL SELECT NULL, NULL, NULL ORDER BY 1 LIMIT pg_temp.luck(1, 3)) AS l;
        UPDATE luck.dispute SET opened_by = 'somebody';
    ELSE
        PERFORM settle.resolve_dispute('luck', d.dispute_id, CASE WHEN random() < 0.5 THEN 'upheld' ELSE 'dismissed' END, 'luck')
        FROM (SELECT dispute_id FROM luck.dispute WHERE outcome IS NULL ORDER BY random() LIMIT 1) AS d;
    END IF;
EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found OR insufficient_privilege THEN
    NULL;
END $$;
-- parties whose money is not where it should be
CREATE VIEW pg_temp.lost AS
SELECT l.party, l.unit, l.amount, s.payable, s.remains
FROM (
    SELECT p.party, d.unit, sum(d.received - d.given) AS amount
    FROM luck.party_delta AS d JOIN luck.party AS p USING (party_id)
    WHERE p.side IN ('outside', 'tax') AND d.period <= (SELECT max(period) FROM luck.period WHERE state = 'closed')
    GROUP BY 1, 2) AS l
FULL JOIN (
    SELECT party, unit, sum(payable) AS payable, sum(held + carried) FILTER (WHERE period = (SELECT max(period) FROM luck.statement)) AS remains
    FROM luck.statement GROUP BY 1, 2) AS s USING (party, unit)
WHERE coalesce(l.amount, 0) <> coalesce(s.payable, 0) + coalesce(s.remains, 0);
CREATE FUNCTION pg_temp.play(seed int, actions int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    month date;
    before date;
    wrong text;
BEGIN
    PERFORM setseed(seed / 1000.0);
    FOR month IN SELECT make_date(2020, 1, 1) + make_interval(months => 6 * (seed - 1) + m) FROM generate_series(0, 5) AS m LOOP
        FOR n IN 1 .. actions LOOP
            PERFORM pg_temp.act(month);
        END LOOP;
        PERFORM settle.close_period('luck', month);
        IF random() < 0.5 AND settle._paid_statements('luck', month) = 0 THEN
            PERFORM pg_temp.act(month) FROM generate_series(1, 5);
            IF settle._paid_statements('luck', month) = 0 THEN
                PERFORM settle.reopen_period('luck', month, 'a ticket was wrong');
                PERFORM pg_temp.act(month) FROM generate_series(1, 5);
                -- and the one before it, where none of it is paid
                before := (SELECT max(period) FROM luck.period WHERE state = 'closed');
                IF before IS NOT NULL AND settle._paid_statements('luck', before) = 0 THEN
                    PERFORM settle.reopen_period('luck', before, 'so was one of the month before');
                    PERFORM pg_temp.act(month) FROM generate_series(1, 5);
                    RETURN NEXT is_empty($q$ SELECT * FROM settle.check('luck') $q$, format('seed %s, %s: all figures agree while two months are open again', seed, month));
                    PERFORM settle.close_period('luck', before);
                    PERFORM pg_temp.act(month) FROM generate_series(1, 5);
                    RETURN NEXT is_empty($q$ SELECT * FROM settle.check('luck') $q$, format('seed %s, %s: and when one is closed', seed, month));
                END IF;
                PERFORM settle.close_period('luck', month);
            END IF;
        END IF;
        SELECT string_agg(concat_ws(' ', l.party, l.unit, 'lines', l.amount, 'payable', l.payable, 'remains', l.remains), '; ') INTO wrong FROM pg_temp.lost AS l;
        RETURN NEXT is(wrong, NULL, format('seed %s, %s: what is payable and what is left equals the lines of every party', seed, month));
        RETURN NEXT is_empty($q$ SELECT * FROM settle.check('luck') $q$, format('seed %s, %s: all figures agree', seed, month));
    END LOOP;
END $$;
SELECT p.* FROM generate_series(1, :seeds) AS seed CROSS JOIN LATERAL pg_temp.play(seed, :actions) AS p;
SELECT diag(format('%s statements, %s paid, %s disputes, %s approvals voided', count(*), count(*) FILTER (WHERE state = 'paid'), (SELECT count(*) FROM luck.dispute), (SELECT count(*) FROM luck.approval WHERE voided_at IS NOT NULL))) FROM luck.statement;
SELECT ok((SELECT count(*) > 0 FROM luck.payment) AND (SELECT count(*) > 0 FROM luck.dispute WHERE held_until IS NOT NULL) AND (SELECT count(*) > 0 FROM luck.approval WHERE voided_at IS NOT NULL)
    AND (SELECT count(*) > 0 FROM luck.statement_item WHERE kind = 'correction') AND (SELECT count(*) > 0 FROM luck.statement WHERE carried < 0), 'payments, disputes, corrections and negative balances came up');
DROP SCHEMA luck CASCADE;
SELECT * FROM finish();
