-- Forms of ticket types: what each kind of field takes and refuses, what depends
-- on other fields, on regions and on rows elsewhere, versions, and privacy.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT no_plan();
SELECT settle.create_book('desk') \g /dev/null
SET search_path = public, desk;
-- says how a statement fails: SQLSTATE, field, rule, message, hint
CREATE FUNCTION public.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE field text; rule text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS field = COLUMN_NAME, rule = CONSTRAINT_NAME, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, nullif(field, ''), nullif(rule, ''), SQLERRM, nullif(hint, ''));
END $$;
-- a type of one field, enabled; its tickets are refused by nothing else
CREATE FUNCTION public.type_of(name text, fields jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT settle.add_type('desk', jsonb_build_object('type', name, 'fields', fields, 'stages', '[{"stage": "open", "initial": true}]'::jsonb));
    SELECT settle.enable_type('desk', name);
$$;
CREATE SEQUENCE public.n;
-- what becomes of a value that is filled in
CREATE FUNCTION public.filled(name text, details jsonb, region text DEFAULT 'cn') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE answer jsonb;
BEGIN
    INSERT INTO desk.ticket (ticket_id, type, project, region, amount, opened_at, details) VALUES ('T' || nextval('public.n'), name, 'x', region::ltree, 100, '2025-11-11 20:00+00', details) RETURNING ticket.details INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE || ' ' || regexp_replace(SQLERRM, 'ticket "T[0-9]+" ', ''));
END $$;

----------------------------------------------------------------------------------------------------
-- Kinds
----------------------------------------------------------------------------------------------------
SELECT public.type_of(kind, jsonb_build_array(jsonb_build_object('field', 'x', 'kind', kind) || CASE WHEN kind ~ 'choice' THEN '{"choices": ["a", "b", "c"]}'::jsonb ELSE '{}' END))
FROM unnest('{text,integer,numeric,boolean,date,timestamp,choice,choices,phone,place}'::text[]) AS kind \g /dev/null
SELECT is(public.filled(kind, jsonb_build_object('x', given)), coalesce(jsonb_build_object('x', becomes), '{}'), format('%s takes %s', kind, given))
FROM (VALUES ('text', '"a b"'::jsonb, '"a b"'::jsonb), ('text', '12', '"12"'), ('integer', '7', '7'), ('integer', '" 007 "', '7'), ('integer', '-3.0', '-3'), ('numeric', '"1.50"', '1.50'), ('numeric', '1e3', '1000'),
    ('boolean', 'true', 'true'), ('boolean', '"false"', 'false'), ('date', '"2025-11-11"', '"2025-11-11"'), ('timestamp', '"2025-11-11 10:00"', '"2025-11-11T10:00:00+08:00"'),
    ('timestamp', '"2025-11-11T02:00:00Z"', '"2025-11-11T10:00:00+08:00"'), ('choice', '"b"', '"b"'), ('choices', '["c", "a", "c"]', '["a", "c"]'), ('choices', '[]', '[]'),
    ('phone', '"+86 138-0013-8000"', '"13800138000"'), ('phone', '"(010) 6552 9988"', '"01065529988"'), ('phone', '"+1 415 555 0100"', '"+14155550100"'), ('phone', '13800138000', '"13800138000"'),
    ('place', '{"lat": 31.2, "lon": 121.5, "system": "GCJ-02"}', '{"lat": 31.2, "lon": 121.5, "system": "GCJ-02"}')) AS v (kind, given, becomes);
SELECT is(public.filled(kind, jsonb_build_object('x', given)), '{}', format('%s: %s is no value', kind, given))
FROM (VALUES ('text', 'null'::jsonb), ('text', '"  "'), ('text', '"\u3000 \u3000"'), ('integer', '""'), ('choice', 'null')) AS v (kind, given);
SELECT is(public.filled(kind, jsonb_build_object('x', given)) #>> '{}', refused, format('%s refuses %s', kind, given))
FROM (VALUES ('text', '[1]'::jsonb, '22P02 field "x" of is a text, not "[1]"'), ('text', 'true', '22P02 field "x" of is a text, not "true"'), ('integer', '1.5', '22P02 field "x" of is an integer, not "1.5"'),
    ('integer', '"12 3"', '22P02 field "x" of is an integer, not "12 3"'), ('integer', '1e20', '22P02 field "x" of is an integer, not "100000000000000000000"'), ('integer', '"now"', '22P02 field "x" of is an integer, not "now"'),
    ('numeric', '"NaN"', '22P02 field "x" of is a number, not "NaN"'), ('numeric', '"1.2.3"', '22P02 field "x" of is a number, not "1.2.3"'), ('numeric', '"1e5"', '22P02 field "x" of is a number, not "1e5"'), ('boolean', '1', '22P02 field "x" of is true or false, not "1"'),
    ('date', '"today"', '22P02 field "x" of is a date, not "today"'), ('date', '"11.11.2025"', '22P02 field "x" of is a date, not "11.11.2025"'), ('date', '"2025-02-30"', '22008 date/time field value out of range: "2025-02-30"'),
    ('timestamp', '"infinity"', '22P02 field "x" of is a time, not "infinity"'), ('timestamp', '"2025-11-11"', '22P02 field "x" of is a time, not "2025-11-11"'),
    ('choice', '"d"', '23514 field "x" of cannot be "d"'), ('choices', '"a"', '22P02 field "x" of is a list of choices, not "a"'), ('choices', '["a", "d"]', '23514 field "x" of cannot be "d"'), ('choices', '[["a"]]', '23514 field "x" of cannot be "["a"]"'),
    ('phone', '"12"', '22P02 field "x" of is a telephone number, not "12"'), ('phone', '"138 0013 8000 ext 7"', '22P02 field "x" of is a telephone number, not "138 0013 8000 ext 7"'),
    ('place', '[121.5, 31.2]', '22P02 field "x" of is a place, not "[121.5, 31.2]"'), ('place', '{"lon": 121.5, "lat": 31.2}', '22P02 field "x" of is a place, not "{"lat": 31.2, "lon": 121.5}"'),
    ('place', '{"lon": 121.5, "lat": 131.2, "system": "WGS-84"}', '22P02 field "x" of is a place, not "{"lat": 131.2, "lon": 121.5, "system": "WGS-84"}"')) AS v (kind, given, refused);

----------------------------------------------------------------------------------------------------
-- Rules of fields, and what the error tells a program
----------------------------------------------------------------------------------------------------
CREATE TABLE public.product (product_no int PRIMARY KEY, model text, warranty_until date, "the price" numeric(10,2));
INSERT INTO public.product VALUES (7, 'KFR-35', '2026-05-01', 2599), (8, 'BCD-216', NULL, 1899);
SELECT public.type_of('repair', $$[
    {"field": "fault", "kind": "choice", "choices": ["water", "noise"], "required": true},
    {"field": "litres", "kind": "numeric", "shown": "form.fault = 'water'", "required": "amount >= 100"},
    {"field": "product", "kind": "reference", "relation": "public.product", "key": "product_no"},
    {"field": "model", "kind": "text", "takes": "product.model"},
    {"field": "in_warranty", "kind": "boolean", "takes": "product.warranty_until >= opened_at::date"},
    {"field": "price", "kind": "numeric", "takes": "product.\"the price\" * 2"},
    {"field": "serial", "kind": "text", "pattern": "[A-Z]{2}|[0-9]{4}"},
    {"field": "level", "kind": "choice", "choices": ["low", "high"], "takes": "case when amount > 50 then 'high' else 'low' end"}]$$) \g /dev/null
SELECT is(public.filled('repair', '{"fault": "noise", "product": "7"}'), '{"fault": "noise", "level": "high", "model": "KFR-35", "price": 5198.00, "product": "7", "in_warranty": true}', 'what is taken over from the row that a field refers to, and from the ticket');
SELECT is(public.filled('repair', '{"fault": "noise", "product": 8, "model": "mine"}'), '{"fault": "noise", "level": "high", "model": "mine", "price": 3798.00, "product": "8"}', 'what is filled in stays');
CREATE FUNCTION public.opening(details jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT public.failure(format('INSERT INTO desk.ticket (ticket_id, type, project, region, amount, details) VALUES (''T'', ''repair'', ''x'', ''cn'', 100, %L)', details)) $$;
SELECT is(public.opening(details), refused, details::text) FROM (VALUES
    ('{}'::jsonb, '23502 | fault | required | field "fault" of ticket "T" is required'),
    ('{"fault": "water"}', '23502 | litres | required | field "litres" of ticket "T" is required | It is required where amount >= 100.'),
    ('{"fault": "noise", "litres": 3}', '23514 | litres | shown | field "litres" of ticket "T" is not asked for here | It is asked for where form.fault = ''water''.'),
    ('{"fault": "noise", "serail": "AB"}', '42703 | serail | unknown | field "serail" of ticket "T" is not in its form | Perhaps you meant "serial".'),
    ('{"fault": "noise", "serial": "AB1"}', '23514 | serial | pattern | field "serial" of ticket "T" cannot be "AB1" | It matches the pattern [A-Z]{2}|[0-9]{4}.'),
    ('{"fault": "fire"}', '23514 | fault | choices | field "fault" of ticket "T" cannot be "fire" | Choices are: water, noise.'),
    ('{"fault": "noise", "product": "9"}', '23503 | product | reference | field "product" of ticket "T" refers to "9", which is not in product'),
    (jsonb_build_object('fault', repeat('é', 1000)), format('23514 | fault | choices | field "fault" of ticket "T" cannot be "%s..." | Choices are: water, noise.', repeat('é', 50))),
    ('[]', '22P02 | details of ticket "T" are not an object')) AS v (details, refused);
SELECT is(public.failure($$ INSERT INTO ticket (ticket_id, type, project, region, amount) VALUES ('T', 'repairs', 'x', 'cn', 1) $$), '42704 | ticket type "repairs" does not exist | Enabled are: boolean, choice, choices, date, integer, numeric, phone, place, repair, text, timestamp.', 'no such type');
SELECT is(public.failure($$ INSERT INTO ticket (ticket_id, type, type_version, project, region, amount) VALUES ('T', 'repair', 2, 'x', 'cn', 1) $$), '42704 | version 2 of ticket type "repair" does not exist | Enabled are: boolean, choice, choices, date, integer, numeric, phone, place, repair, text, timestamp.', 'no such version');

-- later changes
INSERT INTO ticket (ticket_id, type, project, region, amount, details) VALUES ('R', 'repair', 'x', 'cn', 100, '{"fault": "water", "litres": 3, "product": 7}');
UPDATE ticket SET details = details || '{"fault": "noise"}' WHERE ticket_id = 'R';
SELECT is((SELECT details FROM ticket WHERE ticket_id = 'R'), '{"fault": "noise", "level": "high", "model": "KFR-35", "price": 5198.00, "product": "7", "in_warranty": false}', 'what is not asked for any more goes');
UPDATE ticket SET details = details - 'model' WHERE ticket_id = 'R';
SELECT is((SELECT details ? 'model' FROM ticket WHERE ticket_id = 'R'), false, 'what is taken out is not taken over again');
SELECT is(public.failure($$ UPDATE ticket SET details = details - 'fault' WHERE ticket_id = 'R' $$), '23502 | fault | required | field "fault" of ticket "R" is required', 'what is required stays');
DELETE FROM public.product WHERE product_no = 7;
SELECT lives_ok($$ UPDATE ticket SET details = details || '{"serial": "AB"}' WHERE ticket_id = 'R' $$, 'a row that was referred to may go');
UPDATE ticket SET amount = 5, worker = '1' WHERE ticket_id = 'R';
SELECT is((SELECT array_agg(what || ' ' || coalesce(changes::text, now) ORDER BY event_id) FROM ticket_event WHERE ticket_id = 'R'),
    '{"opened open", "form {\"fault\": [\"water\", \"noise\"], \"litres\": [3, null]}", "form {\"model\": [\"KFR-35\", null]}", "form {\"serial\": [null, \"AB\"]}", "assigned 1"}', 'what changed is noted');
SELECT is((SELECT count(*) FROM settle.check('desk')), 0::bigint, 'all of it holds');

----------------------------------------------------------------------------------------------------
-- Regions: the nearest row of a field counts
----------------------------------------------------------------------------------------------------
SELECT public.type_of('visit', $$[
    {"field": "floor", "kind": "integer", "required": false},
    {"field": "floor", "kind": "integer", "region": "cn.north", "required": true},
    {"field": "floor", "kind": "integer", "region": "cn.north.beijing", "shown": false},
    {"field": "island", "kind": "text", "region": "cn.south"}]$$) \g /dev/null
SELECT is(public.filled('visit', details, region) #>> '{}', becomes, format('%s in %s', details, region)) FROM (VALUES
    ('{}'::jsonb, 'cn.east', '{}'), ('{}', 'cn.north', '23502 field "floor" of is required'), ('{"floor": 3}', 'cn.north.tianjin', '{"floor": 3}'), ('{"floor": 3}', 'cn.northwest', '{"floor": 3}'),
    ('{"floor": 3}', 'cn.north.beijing', '23514 field "floor" of is not asked for here'), ('{"island": "a"}', 'cn.south', '{"island": "a"}'), ('{"island": "a"}', 'cn.east', '23514 field "island" of is not asked for here')) AS v (details, region, becomes);

----------------------------------------------------------------------------------------------------
-- Versions
----------------------------------------------------------------------------------------------------
INSERT INTO ticket (ticket_id, type, project, region, amount, details) VALUES ('V', 'visit', 'x', 'cn.east', 1, '{"floor": 3}');
SELECT is(settle.add_type('desk', settle.type_document('desk', 'visit') || '{"fields": [{"field": "storey", "kind": "integer", "required": true}]}'), 2, 'a document drafts the next version');
SELECT is(public.failure($$ INSERT INTO ticket (ticket_id, type, type_version, project, region, amount) VALUES ('T', 'visit', 2, 'x', 'cn', 1) $$), '42704 | version 2 of ticket type "visit" does not exist | Enabled are: boolean, choice, choices, date, integer, numeric, phone, place, repair, text, timestamp, visit.', 'a draft takes no tickets');
SELECT is(settle.enable_type('desk', 'visit'), 2, 'enabled');
SELECT is(public.filled('visit', '{"storey": 4}'), '{"storey": 4}', 'new tickets are of the new version');
SELECT lives_ok($$ UPDATE ticket SET details = '{"floor": 5}' WHERE ticket_id = 'V' $$, 'old ones of theirs');
SELECT is(public.failure($$ SELECT settle.upgrade_ticket('desk', 'V') $$), '23502 | storey | required | field "storey" of ticket "V" is required', 'moving over asks for what is new');
SELECT is(settle.upgrade_ticket('desk', 'V', '{"storey": 5}'), 2, 'a ticket is moved over');
SELECT is((SELECT details FROM ticket WHERE ticket_id = 'V'), '{"storey": 5}', 'and loses what the version does not have');
SELECT is((SELECT format('%s %s %s %s', what, was, now, version) FROM ticket_event WHERE ticket_id = 'V' ORDER BY event_id DESC LIMIT 1), 'moved over open open 2', 'which is noted');
SELECT is(public.failure(statement), refused, statement) FROM (VALUES
    ($$UPDATE form_field SET required = 'true' WHERE type = 'visit' AND version = 1$$, '55000 | version 1 of ticket type "visit" is enabled, its fields stay | Tickets were opened under it. Draft another version with settle.add_type.'),
    ($$INSERT INTO form_field (type, version, field, place, kind) VALUES ('visit', 1, 'y', 9, 'text')$$, '55000 | version 1 of ticket type "visit" is enabled, its fields stay | Tickets were opened under it. Draft another version with settle.add_type.'),
    ($$DELETE FROM stage WHERE type = 'visit'$$, '55000 | version 1 of ticket type "visit" is enabled, its stages stay | Tickets were opened under it. Draft another version with settle.add_type.'),
    ($$UPDATE ticket_type SET enabled_at = NULL WHERE type = 'visit'$$, '55000 | version 1 of ticket type "visit" is enabled, its rows stay | Tickets were opened under it. Draft another version with settle.add_type.'),
    ($$TRUNCATE ticket_type CASCADE$$, '55000 | table "ticket_type" of a book is append-only | Change the ticket or the rules: a run posts the difference as a further revision.'),
    ($$SELECT settle.enable_type('desk', 'visit')$$, '55000 | ticket type "visit" has no draft | settle.add_type makes one.'),
    ($$SELECT settle.type_document('desk', 'none')$$, '42704 | ticket type "none" does not exist')) AS v (statement, refused);
SELECT lives_ok($$ UPDATE form_field SET title = 'Storey' WHERE type = 'visit' AND field = 'storey' $$, 'titles may change');
UPDATE ticket SET type = 'text', details = '{}' WHERE false;
SELECT is(public.failure($$ UPDATE ticket SET type = NULL WHERE ticket_id = 'V' $$), '55000 | ticket "V" is of type "visit" and stays so | Open another ticket of the other type.', 'a type is for good');

-- documents that mean nothing, drafts that do not compile
SELECT is(public.failure(format('SELECT settle.add_type(''desk'', %L)', document)), refused, document) FROM (VALUES
    ('{"fields": []}', '22004 | the document of a ticket type names no type | It is an object with "type", "fields", "stages", "moves", and what else docs/desk.md lists.'),
    ('{"type": "a", "field": []}', '42703 | the document of ticket type "a" has "field", which means nothing | It has type, version, title, project, radius, fields, stages, moves, nodes and follow_ups.'),
    ('{"type": "a", "fields": {}}', '22023 | "fields" of ticket type "a" is no list of objects'),
    ('{"type": "a", "version": 3}', '42704 | ticket type "a" has no version 3 | Without a version the document drafts the next one.'),
    ('{"type": "a", "stages": [{"stage": "x", "inital": true}]}', '42703 | "stages" of ticket type "a" have no "inital" | They have stage, place, title, initial, ready, work, pauses, ends, waits.'),
    ('{"type": "A"}', '23514 | ticket_type_type_check | new row for relation "ticket_type" violates check constraint "ticket_type_type_check"'),
    ('{"type": "a", "fields": [{"field": "x", "kind": "choice"}]}', '23514 | choices_of_a_choice | new row for relation "form_field" violates check constraint "choices_of_a_choice"')) AS v (document, refused);
CREATE FUNCTION public.enabling(fields jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT public.failure(format('SELECT public.type_of(''broken'', %L)', fields)) $$;
SELECT is(public.enabling(fields::jsonb), refused, fields) FROM (VALUES
    ('[{"field": "x", "kind": "text", "required": "form.y = 1"}, {"field": "y", "kind": "integer"}]', '42703 | name "form.y" is not known here'),
    ('[{"field": "x", "kind": "text", "required": "amount"}]', '42804 | expression must be of type boolean, not numeric'),
    ('[{"field": "x", "kind": "text", "shown": "now() > opened_at"}]', '0A000 | function now cannot be used in an expression | settle.expression_functions() lists them.'),
    ('[{"field": "x", "kind": "text", "pattern": "(a)\\1"}]', '0A000 | a pattern with back-references or lookaround cannot be used in an expression'),
    ('[{"field": "x", "kind": "text"}, {"field": "x", "kind": "integer", "region": "cn"}]', '42P16 | field "x" of ticket type "broken" has another kind in a region | Regions differ in what is asked for and allowed. What differs in its kind is another field.'),
    ('[{"field": "x", "kind": "text"}, {"field": "x", "kind": "text", "privacy": "personal", "region": "cn"}]', '42P16 | field "x" of ticket type "broken" has another privacy in a region | Regions differ in what is asked for and allowed. What differs in its privacy is another field.'),
    ('[{"field": "x", "kind": "reference", "relation": "public.product", "key": "number"}]', '42703 | field "x" of ticket type "broken" refers to a column that is gone')) AS v (fields, refused);
SELECT is((SELECT count(*) FROM ticket_type WHERE type = 'broken'), 0::bigint, 'nothing of it is there');

----------------------------------------------------------------------------------------------------
-- Privacy
----------------------------------------------------------------------------------------------------
SELECT public.type_of('care', $$[{"field": "phone", "kind": "phone", "privacy": "personal", "required": true}, {"field": "diagnosis", "kind": "text", "privacy": "sensitive", "pattern": "[A-Z][0-9]+"},
    {"field": "room", "kind": "text"}]$$) \g /dev/null
INSERT INTO ticket (ticket_id, type, project, region, customer, amount, details) VALUES ('C', 'care', 'x', 'cn', 'customer:1', 100, '{"phone": "13800138000", "diagnosis": "J45", "room": "12"}');
UPDATE ticket SET details = details || '{"phone": "13900139000"}' WHERE ticket_id = 'C';
SELECT is((SELECT details FROM ticket_masked WHERE ticket_id = 'C'), '{"room": "12", "phone": "***", "diagnosis": "***"}', 'masked in views');
SELECT is((SELECT changes FROM ticket_event WHERE ticket_id = 'C' AND what = 'form'), '{"phone": ["***", "***"]}', 'not kept in the journal');
SELECT is(public.failure($$ UPDATE ticket SET details = details || '{"diagnosis": "asthma"}' WHERE ticket_id = 'C' $$), '23514 | diagnosis | pattern | field "diagnosis" of ticket "C" cannot be what is given | It matches the pattern [A-Z][0-9]+.', 'nor told in errors');
SELECT is(settle._erase_form('desk', 'customer:1'), 1::bigint, 'erased with the person');
SELECT is((SELECT details FROM ticket WHERE ticket_id = 'C'), '{"room": "12", "phone": null, "diagnosis": null}', 'what is erased is null');
SELECT is(settle._erase_form('desk', 'customer:1'), 0::bigint, 'once');
SELECT lives_ok($$ UPDATE ticket SET details = details || '{"room": "13"}' WHERE ticket_id = 'C' $$, 'and is not asked for again');
SELECT is((SELECT count(*) FROM ticket_event WHERE ticket_id = 'C' AND changes::text ~ '1[39]00|J45'), 0::bigint, 'no trace of it in the journal');
SELECT is(public.failure($$ INSERT INTO ticket (ticket_id, type, project, region, amount, details) VALUES ('C2', 'care', 'x', 'cn', 1, '{"phone": null}') $$), '23502 | phone | required | field "phone" of ticket "C2" is required', 'a new ticket has nothing to erase');
-- what orders say of where a ticket comes from is no field, and stays
UPDATE ticket SET details = details || '{"order": {"order_no": "4711"}}' WHERE ticket_id = 'C';
SELECT is((SELECT details FROM ticket_masked WHERE ticket_id = 'C'), '{"room": "13", "order": {"order_no": "4711"}, "phone": null, "diagnosis": null}', 'what a ticket of an order comes from stays');
-- rules
SELECT settle.add_decision('desk', 'risk') \g /dev/null
SELECT settle.add_outcome('desk', 'risk', $$details ->> 'diagnosis' = 'J45'$$, '2') \g /dev/null
SELECT settle.add_rule('desk', 'fee', 'fee', 'hq', 'staff:{worker}', base => 'amount', applies_when => $$details ->> 'room' = '12'$$) \g /dev/null
SELECT settle.add_rule('desk', 'by_phone', 'phone', 'hq', $$staff:{details #>> '{phone}'}$$, base => 'amount') \g /dev/null
SELECT settle.add_rule('desk', 'by_all', 'all', 'hq', 'staff:{worker}', base => 'amount', applies_when => $$details @> '{"room": "1"}'$$) \g /dev/null
SELECT set_eq($$ SELECT severity, object, detail FROM settle.lint('desk') WHERE kind = 'private' $$, $$ VALUES
    ('error', 'decision risk: details ->> ''diagnosis'' = ''J45''', 'It reads ''diagnosis'' of the details, which a form marks personal or sensitive.'),
    ('error', 'rule by_phone', 'It reads ''phone'' of the details, which a form marks personal or sensitive.'),
    ('error', 'rule by_all', 'It reads all details of a ticket, and forms mark some of them personal or sensitive.') $$, 'lint refuses it in rules');

SELECT * FROM finish();
