-- party: master data of whoever is paid, and the second person who confirms it

CREATE FUNCTION settle.note_party() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	closed_until date;
BEGIN
	IF TG_OP = 'UPDATE' AND NEW.side IS DISTINCT FROM OLD.side THEN
		-- beside runs and whoever closes a period
		EXECUTE format('LOCK TABLE %I.gate IN ROW EXCLUSIVE MODE', TG_TABLE_SCHEMA);
		EXECUTE format('SELECT max(p.period) FROM %1$I.period AS p WHERE p.state = ''closed'' AND EXISTS (SELECT FROM %1$I.party_delta AS d WHERE d.party_id = $1 AND d.period <= p.period)', TG_TABLE_SCHEMA)
			INTO closed_until USING OLD.party_id;
		IF closed_until IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('party "%s" stays %s: it has lines in closed periods', OLD.party, OLD.side),
				DETAIL = format('The statements up to %s count it on that side.', closed_until),
				HINT = 'Let the rules name another party from now on.';
		END IF;
	END IF;
	NEW.entered_by := settle.actor(quote_ident(TG_TABLE_SCHEMA)::regnamespace);
	NEW.entered_at := now();
	NEW.confirmed_by := NULL;
	NEW.confirmed_at := NULL;
	RETURN NEW;
END
$function$;
COMMENT ON FUNCTION settle.note_party() IS 'row trigger on the parties of a book: a new account or side voids what was confirmed; a side is kept once a period with lines of the party has closed';

CREATE FUNCTION settle.note_account() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_note_account' LANGUAGE C;
COMMENT ON FUNCTION settle.note_account() IS 'row trigger on the parties of a book: raises an alert where two have one account';

-- Parties that a run meets for the first time pass no trigger.
CREATE FUNCTION settle._watch_parties(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($triggers$
		CREATE TRIGGER entered BEFORE INSERT ON %1$I.party FOR EACH ROW
			WHEN (NEW.account IS NOT NULL OR NEW.entered_by IS NOT NULL OR NEW.confirmed_by IS NOT NULL) EXECUTE FUNCTION settle.note_party();
		CREATE TRIGGER entered_anew BEFORE UPDATE ON %1$I.party FOR EACH ROW
			WHEN ((OLD.account, OLD.side) IS DISTINCT FROM (NEW.account, NEW.side)) EXECUTE FUNCTION settle.note_party();
		CREATE TRIGGER account AFTER INSERT OR UPDATE OF account ON %1$I.party FOR EACH ROW
			WHEN (NEW.account IS NOT NULL) EXECUTE FUNCTION settle.note_account();
		CREATE TRIGGER journal AFTER INSERT ON %1$I.party FOR EACH ROW WHEN (NEW.entered_by IS NOT NULL) EXECUTE FUNCTION settle.journal('{party}', '{}');
		CREATE TRIGGER journal_change AFTER UPDATE ON %1$I.party FOR EACH ROW EXECUTE FUNCTION settle.journal('{party}', '{}');
		CREATE INDEX party_account ON %1$I.party (account) WHERE account IS NOT NULL;
	$triggers$, book);
END
$function$;
COMMENT ON FUNCTION settle._watch_parties(name) IS 'makes the triggers on the parties of a book';

CREATE FUNCTION settle.add_party(book regnamespace, party text, side text DEFAULT NULL, title text DEFAULT NULL, account text DEFAULT NULL)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.add_party(regnamespace, text, text, text, text) IS
	'enters a party, or what is new of one that is there; a new side or account has to be confirmed by somebody else';

CREATE FUNCTION settle._add_party(book regnamespace, party text, side text, title text, account text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF party IS NULL OR party = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a party must be given';
	END IF;
	EXECUTE format($sql$
		INSERT INTO %s.party AS p (party, side, title, account, entered_by)
		VALUES ($1, coalesce($2, settle.side_of($1)), $3, $4, settle.actor($5))
		ON CONFLICT (party) DO UPDATE SET
			side = coalesce($2, p.side), title = coalesce($3, p.title), account = coalesce($4, p.account)
	$sql$, book) USING party, side, title, account, book;
END
$function$;
COMMENT ON FUNCTION settle._add_party(regnamespace, text, text, text, text) IS 'body of settle.add_party';
REVOKE ALL ON FUNCTION settle._add_party(regnamespace, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle.confirm_party(book regnamespace, party text, reason text)
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_approver' LANGUAGE C;
COMMENT ON FUNCTION settle.confirm_party(regnamespace, text, text) IS
	'confirms who a party is and where it is paid; by another than the one who entered it';

CREATE FUNCTION settle._confirm_party(book regnamespace, party text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	entered text;
	confirmed text;
	known bigint;
BEGIN
	IF party IS NULL OR reason IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a party and a reason must be given';
	END IF;
	EXECUTE format('SELECT p.entered_by, p.confirmed_by FROM %s.party AS p WHERE p.party = $1 FOR UPDATE', book) INTO entered, confirmed USING party;
	GET DIAGNOSTICS known = ROW_COUNT;
	IF known = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no party "%s"', book, party);
	END IF;
	IF confirmed IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('party "%s" is confirmed already, by "%s"', party, confirmed);
	END IF;
	IF entered = settle.actor(book) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('party "%s" was entered by "%s"', party, entered),
			HINT = 'Another person confirms it.';
	END IF;
	EXECUTE format('UPDATE %s.party SET confirmed_by = settle.actor($2), confirmed_at = now() WHERE party = $1', book) USING party, book;
END
$function$;
COMMENT ON FUNCTION settle._confirm_party(regnamespace, text, text) IS 'body of settle.confirm_party';
REVOKE ALL ON FUNCTION settle._confirm_party(regnamespace, text, text) FROM PUBLIC;

CREATE FUNCTION settle._require_confirmed(book regnamespace, party text) RETURNS void
	LANGUAGE plpgsql
	STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	confirmed timestamptz;
BEGIN
	EXECUTE format('SELECT p.confirmed_at FROM %s.party AS p WHERE p.party = $1', book) INTO confirmed USING party;
	IF confirmed IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('party "%s" is not confirmed and cannot be paid', party),
			HINT = 'Somebody confirms it with settle.confirm_party; until then what it gets accrues.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._require_confirmed(regnamespace, text) IS 'raises 55000 where a party is not confirmed';
