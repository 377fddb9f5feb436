-- actor: who acts in this transaction, and why

CREATE FUNCTION settle.act_as(book regnamespace, party text, reason text DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_act_as' LANGUAGE C;
COMMENT ON FUNCTION settle.act_as(regnamespace, text, text) IS
	'says for whom a role with the level delegate acts in a book, until the transaction ends';

CREATE FUNCTION settle.because(reason text) RETURNS void AS 'MODULE_PATHNAME', 'settle_because' LANGUAGE C;
COMMENT ON FUNCTION settle.because(text) IS 'gives the reason of the changes that follow in this transaction';

CREATE FUNCTION settle.actor(book regnamespace DEFAULT NULL) RETURNS text AS 'MODULE_PATHNAME', 'settle_actor' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION settle.actor(regnamespace) IS
	'who acts in a book: the party of act_as, else the session user; without a book in the one that is asked for last, in the code of a book among those of its owner';

CREATE FUNCTION settle.reason(book regnamespace DEFAULT NULL) RETURNS text AS 'MODULE_PATHNAME', 'settle_reason' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION settle.reason(regnamespace) IS 'the reason that was given for what this transaction changes in a book; null where none was';

CREATE FUNCTION settle._require_reason(what text, reason text) RETURNS void
	LANGUAGE plpgsql
	IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF coalesce(btrim(reason), '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = format('%s needs a reason', what);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._require_reason(text, text) IS 'raises 22004 where no reason is given';
