-- decide: what people say about who is who

/*
 * What a person says is a key like any other, so it is weighed with the others,
 * for ever, by the same function: "same" stands on subjects that are one
 * customer, the two values of an "apart" on two that are not.
 */
CREATE FUNCTION settle._say(book regnamespace, key_type text, one bigint[], other bigint[] DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	decision text;
BEGIN
	EXECUTE format('SELECT nextval(%L::regclass)::text', format('%s.customer_decision', book)) INTO decision;
	EXECUTE format($sql$
		WITH said AS (
			INSERT INTO %1$s.identity_key (key_type, scope, key_value)
			SELECT $1, CASE $1 WHEN 'apart' THEN $2 ELSE '' END, CASE $1 WHEN 'apart' THEN v.side ELSE $2 END
			FROM (VALUES ('one', $3), ('other', $4)) AS v (side, subjects)
			WHERE cardinality(v.subjects) > 0
			RETURNING key_id, key_value
		)
		INSERT INTO %1$s.identity_link (subject_id, key_id)
		SELECT u.subject_id, s.key_id
		FROM said AS s
		CROSS JOIN LATERAL unnest(CASE s.key_value WHEN 'other' THEN $4 ELSE $3 END) AS u (subject_id)
	$sql$, book) USING key_type, decision, one, other;
END
$function$;
COMMENT ON FUNCTION settle._say(regnamespace, text, bigint[], bigint[]) IS 'puts a key of the type same on subjects, or one of the type apart on two sides';

CREATE FUNCTION settle._founder_of(book regnamespace, customer bigint, OUT current bigint, OUT subject_id bigint)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($sql$
		SELECT c.customer, c.subject_id
		FROM %1$s.customer AS n
		JOIN %1$s.customer_subject AS s ON s.subject_id = n.subject_id
		JOIN %1$s.customer AS c ON c.customer = s.customer
		WHERE n.customer = $1
	$sql$, book) INTO current, subject_id USING customer;
	IF subject_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no customer %s', book, coalesce(customer::text, 'null'));
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._founder_of(regnamespace, bigint) IS 'the number that a customer has now, whichever of his numbers is given, and the subject that founded it';

CREATE FUNCTION settle.merge_customers(book regnamespace, a bigint, b bigint, reason text) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.merge_customers(regnamespace, bigint, bigint, text) IS
	'says that two customers are one, and takes back what was said to the contrary; returns the number that stays';

CREATE FUNCTION settle._merge_customers(book regnamespace, a bigint, b bigint, reason text) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	one record;
	other record;
	contrary text;
BEGIN
	PERFORM settle._require_reason('a merge', reason);
	EXECUTE format('LOCK TABLE %s.customer IN SHARE ROW EXCLUSIVE MODE', book);
	one := settle._founder_of(book, a);
	other := settle._founder_of(book, b);
	IF one.current = other.current THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('customers %s and %s are one already', a, b);
	END IF;
	EXECUTE format($sql$
		SELECT string_agg(DISTINCT k.key_type, ', ')
		FROM %1$s.identity_key AS k
		JOIN %1$s.key_type AS t ON t.key_type = k.key_type AND t.exclusive
		JOIN %1$s.identity_key AS o ON (o.key_type, o.scope) = (k.key_type, k.scope) AND o.key_id <> k.key_id AND o.customer = $2
		WHERE k.customer = $1 AND k.key_type <> 'apart'
	$sql$, book) INTO contrary USING one.current, other.current;
	IF contrary IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
			MESSAGE = format('customers %s and %s have different keys of the type %s', a, b, contrary),
			DETAIL = 'Nobody has two of them within a scope.',
			HINT = 'Where one is wrong, say so first: settle.cut_key(book, subject, key_type, key_value, reason).';
	END IF;
	EXECUTE format($sql$
		WITH contrary AS (
			DELETE FROM %1$s.identity_key AS k
			WHERE k.key_type = 'apart' AND k.scope IN (
				SELECT p.scope FROM %1$s.identity_key AS p JOIN %1$s.identity_key AS q ON q.key_type = 'apart' AND q.scope = p.scope AND q.customer = $2
				WHERE p.key_type = 'apart' AND p.customer = $1)
			RETURNING k.key_id
		)
		DELETE FROM %1$s.identity_link AS l USING contrary AS c WHERE l.key_id = c.key_id
	$sql$, book) USING one.current, other.current;
	PERFORM settle._say(book, 'same', ARRAY[one.subject_id, other.subject_id]);
	PERFORM settle._place_customers(book, ARRAY[one.subject_id, other.subject_id], '{}');
	RETURN (settle._founder_of(book, a)).current;
END
$function$;
COMMENT ON FUNCTION settle._merge_customers(regnamespace, bigint, bigint, text) IS 'body of settle.merge_customers';
REVOKE ALL ON FUNCTION settle._merge_customers(regnamespace, bigint, bigint, text) FROM PUBLIC;

CREATE FUNCTION settle.split_customer(book regnamespace, subjects text[], reason text) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.split_customer(regnamespace, text[], text) IS
	'says that subjects of a customer are of another one: keys that also stand on the rest are not theirs, and nothing joins the two again; returns the number of the other';

CREATE FUNCTION settle._split_customer(book regnamespace, subjects text[], reason text) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	leaving bigint[];
	customers bigint[];
	unknown text;
	staying bigint;
	result bigint;
BEGIN
	PERFORM settle._require_reason('a split', reason);
	IF coalesce(cardinality(subjects), 0) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'subjects must be given';
	END IF;
	EXECUTE format('LOCK TABLE %s.customer IN SHARE ROW EXCLUSIVE MODE', book);
	EXECUTE format($sql$
		SELECT array_agg(s.subject_id ORDER BY s.subject_id), array_agg(DISTINCT s.customer), min(u.subject) FILTER (WHERE s.customer IS NULL)
		FROM unnest($1) AS u (subject)
		LEFT JOIN %s.customer_subject AS s ON s.subject = u.subject
	$sql$, book) INTO leaving, customers, unknown USING subjects;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" knows no subject "%s"', book, unknown);
	END IF;
	IF cardinality(customers) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('the subjects are of customers %s', array_to_string(customers, ', ')),
			HINT = 'Split one customer at a time.';
	END IF;
	EXECUTE format($sql$
		SELECT coalesce(min(s.subject_id) FILTER (WHERE c.subject_id IS NOT NULL), min(s.subject_id))
		FROM %1$s.customer_subject AS s
		LEFT JOIN %1$s.customer AS c ON c.customer = s.customer AND c.subject_id = s.subject_id
		WHERE s.customer = $1 AND s.subject_id <> ALL ($2)
	$sql$, book) INTO staying USING customers[1], leaving;
	IF staying IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('nothing would be left of customer %s', customers[1]);
	END IF;
	-- what a person has joined stays joined without those who leave, if somebody is left on their side
	EXECUTE format($sql$
		INSERT INTO %1$s.identity_link (subject_id, key_id)
		SELECT n.subject_id, l.key_id
		FROM (
			SELECT min(o.subject_id) AS subject_id
			FROM %1$s.identity_link AS l
			JOIN %1$s.identity_key AS k ON k.key_id = l.key_id AND k.customer = $2 AND k.key_type NOT IN ('same', 'apart')
			JOIN %1$s.identity_link AS o ON o.key_id = l.key_id AND NOT o.cut AND o.subject_id <> ALL ($1)
			WHERE l.subject_id = ANY ($1) AND NOT l.cut
		) AS n
		JOIN %1$s.identity_link AS l ON l.subject_id = ANY ($1) AND NOT l.cut
		JOIN %1$s.identity_key AS k ON k.key_id = l.key_id AND k.key_type = 'same'
		WHERE n.subject_id IS NOT NULL
		ON CONFLICT DO NOTHING
	$sql$, book) USING leaving, customers[1];
	EXECUTE format($sql$
		WITH cut AS (
			UPDATE %1$s.identity_link AS l SET cut = true
			FROM %1$s.identity_key AS k
			WHERE l.subject_id = ANY ($1) AND NOT l.cut AND k.key_id = l.key_id AND k.customer = $2
				AND EXISTS (SELECT FROM %1$s.identity_link AS o WHERE o.key_id = l.key_id AND NOT o.cut AND o.subject_id <> ALL ($1))
			RETURNING l.key_id
		)
		UPDATE %1$s.identity_key AS k SET customer = NULL WHERE k.key_id IN (SELECT c.key_id FROM cut AS c)
	$sql$, book) USING leaving, customers[1];
	IF cardinality(leaving) > 1 THEN
		PERFORM settle._say(book, 'same', leaving);
	END IF;
	PERFORM settle._say(book, 'apart', leaving[1:1], ARRAY[staying]);
	PERFORM settle._place_customers(book, leaving || staying, leaving || staying);
	EXECUTE format('SELECT s.customer FROM %s.customer_subject AS s WHERE s.subject_id = $1', book) INTO result USING leaving[1];
	RETURN result;
END
$function$;
COMMENT ON FUNCTION settle._split_customer(regnamespace, text[], text) IS 'body of settle.split_customer';
REVOKE ALL ON FUNCTION settle._split_customer(regnamespace, text[], text) FROM PUBLIC;

CREATE FUNCTION settle.cut_key(book regnamespace, subject text, key_type text, key_value text, reason text) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.cut_key(regnamespace, text, text, text, text) IS 'says that a key is not of a subject that it was seen on';

CREATE FUNCTION settle._cut_key(book regnamespace, subject text, key_type text, key_value text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM settle._require_reason('a cut', reason);
	PERFORM settle._set_cut(book, subject, key_type, key_value, true);
END
$function$;
COMMENT ON FUNCTION settle._cut_key(regnamespace, text, text, text, text) IS 'body of settle.cut_key';
REVOKE ALL ON FUNCTION settle._cut_key(regnamespace, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle.restore_key(book regnamespace, subject text, key_type text, key_value text, reason text) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.restore_key(regnamespace, text, text, text, text) IS 'takes back settle.cut_key: the key is of the subject after all';

CREATE FUNCTION settle._restore_key(book regnamespace, subject text, key_type text, key_value text, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	PERFORM settle._require_reason('a key that is restored', reason);
	PERFORM settle._set_cut(book, subject, key_type, key_value, false);
END
$function$;
COMMENT ON FUNCTION settle._restore_key(regnamespace, text, text, text, text) IS 'body of settle.restore_key';
REVOKE ALL ON FUNCTION settle._restore_key(regnamespace, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle._set_cut(book regnamespace, subject text, key_type text, key_value text, cut boolean) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	shaken bigint[];
BEGIN
	EXECUTE format('LOCK TABLE %s.customer IN SHARE ROW EXCLUSIVE MODE', book);
	EXECUTE format($sql$
		WITH changed AS (
			UPDATE %1$s.identity_link AS l SET cut = $4
			FROM %1$s.identity_key AS k, %1$s.customer_subject AS s
			WHERE k.key_id = l.key_id AND s.subject_id = l.subject_id AND s.subject = $1 AND k.key_type = $2 AND k.key_value = $3 AND l.cut <> $4
			RETURNING l.key_id, s.customer, s.subject
		), cleared AS (
			UPDATE %1$s.identity_key AS k SET customer = NULL WHERE k.key_id IN (SELECT c.key_id FROM changed AS c)
		), noted AS (
			INSERT INTO %1$s.customer_event (kind, customer, subjects, evidence, actor, reason)
			SELECT CASE WHEN $4 THEN 'cut' ELSE 'restored' END, c.customer, ARRAY[c.subject], $2, settle.actor($5), settle.reason($5) FROM changed AS c
		)
		SELECT array_agg(DISTINCT l.subject_id) FROM changed AS c JOIN %1$s.identity_link AS l ON l.key_id = c.key_id
	$sql$, book) INTO shaken USING subject, key_type, key_value, cut, book;
	IF shaken IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('"%s" has no key of the type %s with that value%s', subject, key_type, CASE WHEN cut THEN '' ELSE ' that was cut' END);
	END IF;
	PERFORM settle._place_customers(book, shaken, shaken);
END
$function$;
COMMENT ON FUNCTION settle._set_cut(regnamespace, text, text, text, boolean) IS 'cuts or restores a key of a subject, and finds the customers of all that have the key';

CREATE FUNCTION settle.accept_suggestion(book regnamespace, suggestion bigint, reason text) RETURNS bigint AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.accept_suggestion(regnamespace, bigint, text) IS 'says that what is suggested is so: merges the two customers; returns the number that stays';

CREATE FUNCTION settle._accept_suggestion(book regnamespace, suggestion bigint, reason text) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	decided record;
BEGIN
	decided := settle._decide_suggestion(book, suggestion, 'accepted', reason);
	RETURN settle.merge_customers(book, decided.customer, decided.other, reason);
END
$function$;
COMMENT ON FUNCTION settle._accept_suggestion(regnamespace, bigint, text) IS 'body of settle.accept_suggestion';
REVOKE ALL ON FUNCTION settle._accept_suggestion(regnamespace, bigint, text) FROM PUBLIC;

CREATE FUNCTION settle.refuse_suggestion(book regnamespace, suggestion bigint, reason text) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.refuse_suggestion(regnamespace, bigint, text) IS 'says that two customers are not one: it is not suggested again, and nothing joins them';

CREATE FUNCTION settle._refuse_suggestion(book regnamespace, suggestion bigint, reason text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	decided record;
	one bigint;
	other bigint;
BEGIN
	decided := settle._decide_suggestion(book, suggestion, 'refused', reason);
	one := (settle._founder_of(book, decided.customer)).subject_id;
	other := (settle._founder_of(book, decided.other)).subject_id;
	PERFORM settle._say(book, 'apart', ARRAY[one], ARRAY[other]);
	PERFORM settle._place_customers(book, ARRAY[one, other], '{}');
END
$function$;
COMMENT ON FUNCTION settle._refuse_suggestion(regnamespace, bigint, text) IS 'body of settle.refuse_suggestion';
REVOKE ALL ON FUNCTION settle._refuse_suggestion(regnamespace, bigint, text) FROM PUBLIC;

CREATE FUNCTION settle._decide_suggestion(book regnamespace, suggestion bigint, decision text, reason text, OUT customer bigint, OUT other bigint, OUT key_id bigint)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	state text;
BEGIN
	PERFORM settle._require_reason('a decision', reason);
	EXECUTE format('LOCK TABLE %s.customer IN SHARE ROW EXCLUSIVE MODE', book);
	EXECUTE format('SELECT g.state, g.customer, g.other, g.key_id FROM %s.customer_suggestion AS g WHERE g.suggestion_id = $1', book)
		INTO state, customer, other, key_id USING suggestion;
	IF state IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('book "%s" has no suggestion %s', book, coalesce(suggestion::text, 'null'));
	END IF;
	IF state <> 'open' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('suggestion %s is %s', suggestion, state);
	END IF;
	EXECUTE format('UPDATE %s.customer_suggestion SET state = $2, decided_at = now(), decided_by = settle.actor($4), reason = $3 WHERE suggestion_id = $1', book)
		USING suggestion, decision, reason, book;
	EXECUTE format($sql$
		INSERT INTO %1$s.customer_event (kind, customer, other, evidence, actor, reason)
		SELECT $1, $2, $3, k.key_type, settle.actor($5), $6 FROM %1$s.identity_key AS k WHERE k.key_id = $4
	$sql$, book) USING decision, customer, other, key_id, book, reason;
END
$function$;
COMMENT ON FUNCTION settle._decide_suggestion(regnamespace, bigint, text, text) IS 'decides an open suggestion; returns what it was about';
