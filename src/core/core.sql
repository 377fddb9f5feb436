\echo Use "CREATE EXTENSION scrm_settle CASCADE" to load this file. \quit

CREATE SCHEMA settle;
COMMENT ON SCHEMA settle IS 'functions and types of scrm_settle; business data stands in the schemas that settle.create_book makes';
GRANT USAGE ON SCHEMA settle TO PUBLIC;
