-- What readers of a book are granted, as tools find it in the catalogue: a comment
-- on every relation and column, and plain types, precision and scale in the views.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT no_plan();
SELECT settle.create_book('reporting') \g /dev/null
CREATE ROLE reporting_reader;
SELECT settle.grant_access('reporting', 'reporting_reader', 'reader') \g /dev/null
CREATE TEMP VIEW seen AS
SELECT c.oid, c.relname, c.relkind, a.attname, a.attnum, a.atttypid, format_type(a.atttypid, a.atttypmod) AS type, a.atttypmod
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'reporting'::regnamespace AND has_table_privilege('reporting_reader', c.oid, 'SELECT');

SELECT cmp_ok((SELECT count(DISTINCT relname) FROM seen WHERE relkind = 'v'), '>', 40::bigint, 'readers see views');
SELECT is_empty($$ SELECT DISTINCT relname FROM seen WHERE obj_description(oid, 'pg_class') IS NULL $$, 'what they see has comments');
SELECT is_empty($$ SELECT relname, attname FROM seen WHERE coalesce(btrim(col_description(oid, attnum)), '') = '' $$, 'and so has every column of it');

-- Who reads a view that is not of plain types, and why it is as it is.
CREATE TEMP TABLE exception (relname name PRIMARY KEY, reason text NOT NULL);
INSERT INTO exception
SELECT unnest(names), reason FROM (VALUES
	('{sold,order_sold,refund_sold,ticket_figure,special_customer,special_project,service_person,service_team}'::name[],
		'conditions of rules read it: paths, arrays and ranges have the types that conditions compare'),
	('{sheet_figure,unfolded_figure,party_figure,cell_figure,day_figure,rule_figure,rule_sum,service_measure,service_open,check_in_verdict,campaign_match,campaign_verdict,order_goods,order_refund,order_store,order_staff}',
		'other views read it: rounding before the last sum would be wrong, and a path is compared as one'),
	('{campaign_review,customer_conflict,unlinked_ticket}', 'a list of what somebody decides by hand: what it could be is a set of its own'),
	('{ticket_masked,ticket_timeline,check_in_masked}', 'rows of the desk as they stand, masked: forms differ by type of ticket'),
	('{ticket_deadline,service_time,job}', 'how long something takes is an interval, in service_person and service_team a number of seconds'),
	('{tally,line_detail,my_items,progress,my_progress}', 'quantities along tiers, bases and factors have up to 18 digits before the point and 6 behind it; amounts are plain')
) AS e (names, reason);
CREATE TEMP VIEW odd AS
SELECT relname, attname, type FROM seen
WHERE relkind = 'v'
	AND type <> ALL ('{text,bigint,integer,smallint,boolean,date,timestamp with time zone}')
	AND (atttypid <> 'numeric'::regtype OR atttypmod < 0 OR ((atttypmod - 4) >> 16) > 18);

SELECT is_empty($$ SELECT * FROM odd WHERE relname NOT IN (SELECT x.relname FROM exception AS x) $$, 'views are of plain types, amounts numeric(18, d), but for the exceptions');
SELECT is_empty($$ SELECT relname FROM exception WHERE relname NOT IN (SELECT o.relname FROM odd AS o) $$, 'none is an exception without need');
SELECT is_empty($$ SELECT * FROM odd WHERE relname IN ('tally', 'line_detail', 'my_items', 'progress', 'my_progress') AND type <> 'numeric(24,6)' $$, 'quantities are numeric(24,6), and nothing else is odd beside them');
SELECT is_empty($$ SELECT relname, attname FROM seen WHERE relkind = 'v' AND attname IN ('date', 'time', 'timestamp', 'interval', 'numeric', 'decimal', 'integer', 'int', 'float', 'real', 'text', 'char', 'boolean', 'bit', 'json', 'xml', 'money') $$, 'no column has the name of a type');
SELECT is_empty($$ SELECT relname, attname FROM seen WHERE attname !~ '^[a-z][a-z0-9_]*$' OR relname !~ '^[a-z][a-z0-9_]*$' $$, 'names are small letters, digits and underscores');

-- Words: a meaning that no column has is one that was forgotten.
SELECT is_empty($$
	SELECT relation, word FROM settle._words()
	WHERE NOT EXISTS (SELECT FROM seen WHERE attname = word AND relname = coalesce(relation, relname) AND col_description(oid, attnum) = meaning) $$, 'every word is that of a column');
SELECT is_empty($$ SELECT relation, word FROM settle._words() GROUP BY relation, word HAVING count(*) > 1 $$, 'and has one meaning');
SELECT settle._create_comments('reporting') \g /dev/null
SELECT pass('a book whose columns all have comments stays as it is');

DROP SCHEMA reporting CASCADE;
DROP ROLE reporting_reader;
SELECT * FROM finish();
