-- drop: a book goes, with all that it left outside of its schema

CREATE FUNCTION settle.drop_book(book regnamespace, reason text, discard boolean DEFAULT false)
	RETURNS text AS 'MODULE_PATHNAME', 'settle_as_admin' LANGUAGE C;
COMMENT ON FUNCTION settle.drop_book(regnamespace, text, boolean) IS
	'drops a book, the triggers on its sources and its job; refused while anything is owed or waits, unless it is to be discarded; returns the last anchor, null where nothing was sealed';

-- Each sentence is a reason to keep the book; no row where it is settled up.
CREATE FUNCTION settle._unsettled(book regnamespace) RETURNS SETOF text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		SELECT format('Earned and paid differ by %%s %%s of %%s parties, first %%s.', trim_scale(sum(b.owed)), b.unit, count(*), min(b.party))
		FROM (SELECT f.party, f.unit, abs(f.earned - f.paid) AS owed FROM %1$s.balance_figure AS f) AS b
		WHERE b.owed <> 0
		GROUP BY b.unit
		UNION ALL
		SELECT format('%%s legs are not paid, or not returned.', count(*)) FROM %1$s.leg AS l
		WHERE l.state IN ('planned', 'sent', 'failed') OR l.to_return > 0
		HAVING count(*) > 0
		UNION ALL
		SELECT format('%%s tickets are problems.', count(*)) FROM %1$s.problem AS p
		HAVING count(*) > 0
		UNION ALL
		SELECT format('Corrections of %%s tickets are held.', count(*)) FROM %1$s.held AS h
		HAVING count(*) > 0
	$sql$, book);
	IF settle._has_pending(book) THEN
		RETURN NEXT 'Changes of tickets are pending.';
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._unsettled(regnamespace) IS 'what is still owed in a book, or waits to be settled, as sentences';

-- What CASCADE would take although it stands elsewhere: views, columns, children.
CREATE FUNCTION settle._dependents(book regnamespace) RETURNS text[]
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		WITH member AS (
			SELECT 'pg_catalog.pg_class'::pg_catalog.regclass AS class, c.oid FROM pg_catalog.pg_class AS c WHERE c.relnamespace OPERATOR(pg_catalog.=) $1::pg_catalog.oid
			UNION ALL
			SELECT 'pg_catalog.pg_type', t.oid FROM pg_catalog.pg_type AS t WHERE t.typnamespace OPERATOR(pg_catalog.=) $1::pg_catalog.oid
			UNION ALL
			SELECT 'pg_catalog.pg_proc', p.oid FROM pg_catalog.pg_proc AS p WHERE p.pronamespace OPERATOR(pg_catalog.=) $1::pg_catalog.oid
		), dependent AS (
			-- what belongs to a relation, such as the rule of a view, begins with the name of that
			SELECT DISTINCT a.object_names[1] AS schema, a.object_names[2] AS name
			FROM member AS m
			JOIN pg_catalog.pg_depend AS d ON d.refclassid OPERATOR(pg_catalog.=) m.class::pg_catalog.oid AND d.refobjid OPERATOR(pg_catalog.=) m.oid
			CROSS JOIN LATERAL pg_catalog.pg_identify_object_as_address(d.classid, d.objid, d.objsubid) AS a
			WHERE d.deptype OPERATOR(pg_catalog.=) ANY ('{n,a}'::"char"[])
				AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid
		)
		SELECT pg_catalog.array_agg(pg_catalog.format('%I.%I', d.schema, d.name) ORDER BY d.schema, d.name)
		FROM dependent AS d
		JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) d.schema
		WHERE n.oid OPERATOR(pg_catalog.<>) $1::pg_catalog.oid;
	END;
COMMENT ON FUNCTION settle._dependents(regnamespace) IS 'what stands outside of a book and needs what is in it; null where nothing does';

/*
 * The sources are locked before the gate, in the order of whoever writes tickets
 * and settles them.  Then nothing is posted any more, and what is found owed is
 * all that is.
 */
CREATE FUNCTION settle._drop_book(book regnamespace, reason text, discard boolean) RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $function$
DECLARE
	label name := (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = book);
	capture record;
	dependents text[];
	unsettled text;
	anchor text;
BEGIN
	PERFORM settle._require_reason('dropping a book', reason);
	FOR capture IN SELECT DISTINCT c.relation FROM settle._captures_of(book) AS c WHERE pg_has_role(c.owner, 'USAGE') ORDER BY c.relation LOOP
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', capture.relation);
	END LOOP;
	EXECUTE format('LOCK TABLE %s.gate IN ACCESS EXCLUSIVE MODE', book);

	dependents := settle._dependents(book);
	IF dependents IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = format('what is not of book "%s" depends on it', label),
			DETAIL = format('It would be dropped too: %s.', array_to_string(dependents, ', ')),
			HINT = 'Drop it first, or give it tables of its own.';
	END IF;
	unsettled := (SELECT string_agg(u, ' ') FROM settle._unsettled(book) AS u);
	IF unsettled IS NOT NULL AND discard IS NOT TRUE THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('book "%s" is not settled up', label),
			DETAIL = unsettled,
			HINT = 'Settle and pay what is owed. Or dump the book, and say discard => true.';
	END IF;
	anchor := settle.anchor(book);

	FOR capture IN SELECT * FROM settle._captures_of(book) LOOP
		IF pg_has_role(capture.owner, 'USAGE') THEN
			EXECUTE format('DROP TRIGGER %I ON %s', capture.trigger, capture.relation);
		ELSE
			RAISE WARNING USING MESSAGE = format('trigger "%s" stays on "%s", which belongs to role "%s"', capture.trigger, capture.relation, capture.owner),
				HINT = format('DROP TRIGGER %I ON %s.', capture.trigger, capture.relation);
		END IF;
	END LOOP;
	IF settle._uses_cron() THEN
		PERFORM settle._end_job(book);
	END IF;
	RAISE LOG USING MESSAGE = format('book "%s" is dropped by %s: %s', label, settle.actor(book), reason),
		DETAIL = concat_ws(' ', format('Its last anchor is %s.', coalesce(anchor, 'none')), unsettled);
	EXECUTE format('DROP SCHEMA %s CASCADE', book);
	RETURN anchor;
END
$function$;
COMMENT ON FUNCTION settle._drop_book(regnamespace, text, boolean) IS 'body of settle.drop_book';
REVOKE ALL ON FUNCTION settle._drop_book(regnamespace, text, boolean) FROM PUBLIC;
