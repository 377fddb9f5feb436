-- commit: tickets of the book that its own code writes, where tickets settle at commit

CREATE FUNCTION settle._settle_at_once(book regnamespace, at_once boolean) RETURNS void AS 'MODULE_PATHNAME', 'settle_settle_at_once' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle._settle_at_once(regnamespace, boolean) IS 'begins, or ends, that the book''s own tickets settle at the end of each statement where else they do at commit; code of a book that writes into <book>.ticket stands between the two';
