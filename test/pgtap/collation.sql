-- A database whose collation passes over punctuation: names are read in the
-- order of their bytes all the same, so a book is made and reads payloads as
-- anywhere else.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\set here :DBNAME
CREATE DATABASE tap_collation_shifted TEMPLATE template0 ENCODING 'UTF8'
	LOCALE_PROVIDER icu ICU_LOCALE 'en-u-ka-shifted' LC_COLLATE 'C' LC_CTYPE 'C';
\connect tap_collation_shifted
SET client_min_messages = warning;
CREATE EXTENSION scrm_settle CASCADE;
CREATE EXTENSION pgtap;
SELECT no_plan();
SELECT ok('_phone' > 'key_value', 'an underscore does not count here');
SELECT lives_ok($$ SELECT settle.create_book('shifted') $$, 'a book is made');
INSERT INTO shifted.staging (platform, payload) VALUES ('wecom', '{"external_contact": {"external_userid": "w1", "unionid": "u1", "type": 1},
	"follow_user": [{"userid": "ann", "createtime": 1762912800, "add_way": 1, "remark_mobiles": ["13800138000"]}]}');
SELECT is((SELECT (i.applied, i.quarantined)::text FROM settle.ingest('shifted') AS i), '(1,0)', 'a payload is read');
SELECT is((SELECT string_agg(k.key_type, ' ' ORDER BY k.key_type) FROM shifted.customer_identity AS k), 'external_userid phone unionid', 'with the fields that others are made of');
SELECT is_empty($$ SELECT * FROM settle.check('shifted') $$, 'and the book agrees with itself');
SELECT * FROM finish();
\connect :here
DROP DATABASE tap_collation_shifted;
